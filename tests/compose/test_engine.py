"""Image and compose file on a Docker Engine: `make compose-test`, which says where there is none.

PYTHON_IMAGE, REDIS_IMAGE         base images, where others than the file's are to be used
PIP_CONFIG_FILE, CA_BUNDLE_FILE   what pip needs for the build, as a secret of it
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.compose.stack import PIPELINE, Stack, docker, engine_absence
from tests.waiting import until

ABSENCE = engine_absence()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(ABSENCE), reason=f"no Docker Engine to build and run on: {ABSENCE}"),
]
WAIT_SECONDS = 240.0
EVERYTHING = ("--profile", "heal", "--profile", "metrics", "--profile", "serve")


@pytest.fixture(scope="module")
def image() -> str:
    """The image, built anew."""
    place = Path.cwd() / ".compose"
    place.mkdir(exist_ok=True)
    try:
        Stack(place=place).compose("build", "image")
    finally:
        shutil.rmtree(place)
    return "backfill-fleet"


@pytest.fixture(scope="module")
def stack(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Redis, four workers, Flower and metrics; and a warehouse in which everything is to do."""
    stack = Stack(place=tmp_path_factory.mktemp("compose"))
    try:
        stack.compose("--profile", "metrics", "up", "--detach", "--wait", "--scale", "worker=4")
        stack.script("make.py")
        yield stack
    finally:
        print(stack.compose("logs", "--tail", "40", "worker", code=None).stdout)
        stack.compose(*EVERYTHING, "down", "--volumes", "--timeout", "20", code=None)


def test_a_repair_survives_a_killed_worker_another_redis_and_fewer_workers(stack: Stack) -> None:
    # Given a run with four workers
    assert len(stack.containers("worker")) == 4
    run_id = json.loads(stack.planner("enqueue", "--gaps", "--yes", "--json"))["run_id"]

    def done(least: int) -> None:
        until(lambda: stack.steps(run_id)[1].get("succeeded", 0) >= least, seconds=WAIT_SECONDS)

    # When a worker is killed, Redis is started anew, three of four are stopped, and then all
    done(4)
    docker("kill", stack.containers("worker")[0])
    done(12)
    stack.compose("restart", "redis")
    done(20)
    stack.compose("up", "--detach", "--no-recreate", "--scale", "worker=1", "worker")
    assert len(stack.containers("worker")) == 1
    (last,) = stack.containers("worker")
    stack.compose("stop", "worker")
    assert stack.inspect(last)["State"]["ExitCode"] != 137  # it was not killed
    assert stack.steps(run_id)[0] == "running"
    stack.compose("up", "--detach", "--no-recreate", "--scale", "worker=3", "worker")

    # Then the run is complete, and every row is there once
    until(lambda: stack.steps(run_id)[0] not in ("running", "?"), seconds=WAIT_SECONDS)
    state, steps = stack.steps(run_id)
    assert (state, steps["succeeded"], sum(steps.values())) == ("complete", 80, 80)
    assert stack.script("rows.py").splitlines() == ["raw 80 80", "copied 80 80", "counted 80 80"]
    stack.planner("gaps")


def test_a_worker_that_is_silent_is_ended_by_its_health_check_and_started_again(
    stack: Stack,
) -> None:
    (worker, *_) = stack.containers("worker")
    pid = docker("exec", worker, "sh", "-c", "cut -d' ' -f1 /tmp/alive").stdout.strip()
    assert docker("exec", worker, "python", "-P", "-m", "worker", "alive").stdout == ""
    began = stack.inspect(worker)["State"]["StartedAt"]

    # When it is frozen, and was for long
    freeze = f"kill -STOP {pid}; echo {pid} -1000 > /tmp/alive"
    docker("exec", worker, "sh", "-c", freeze)
    docker("exec", worker, "python", "-P", "-m", "worker", "alive", "--end", code=None)

    # Then it is another one that is alive
    def is_new() -> bool:
        state = stack.inspect(worker)["State"]
        return bool(state["Running"] and state["StartedAt"] != began)

    until(is_new, seconds=60)
    alive = ("exec", worker, "python", "-P", "-m", "worker", "alive")
    until(lambda: docker(*alive, code=None).returncode == 0, seconds=60)


def test_a_container_may_do_what_it_has_to_and_no_more(stack: Stack) -> None:
    (worker, *_) = stack.containers("worker")
    asked = """
        id -u; cd; pwd
        printf '#!/bin/sh\necho runs\n' > /tmp/job; chmod +x /tmp/job; /tmp/job
        cp /tmp/job ~/job; ~/job
        touch /opt/fleet/x /pipeline/x 2>&1 | grep -c 'Read-only'
    """
    said = docker("exec", worker, "sh", "-c", asked).stdout.split()
    assert said == ["10001", "/home/fleet", "runs", "runs", "2"]
    host = stack.inspect(worker)["HostConfig"]
    assert (host["Memory"], host["PidsLimit"]) == (2 << 30, 512)
    key = docker("exec", worker, "sh", "-c", "echo [$GOOGLE_APPLICATION_CREDENTIALS]").stdout
    assert key.strip() == "[]"


def test_metrics_and_healing_are_services(stack: Stack) -> None:
    address = stack.compose("port", "metrics", "9464").stdout.strip()
    until(lambda: "backfill_redis_up 1.0" in httpx.get(f"http://{address}/metrics").text)

    stack.compose("--profile", "heal", "up", "--detach", "heal", HEAL_OPTIONS="--days 3660")
    said = ("--profile", "heal", "logs", "heal")
    until(lambda: "Nothing to do" in stack.compose(*said).stdout, seconds=60)


def test_the_page_is_a_service_with_a_password(stack: Stack) -> None:
    password = {"BACKFILL_SERVE_PASSWORD": "a-long-enough-word"}
    stack.compose("--profile", "serve", "up", "--detach", "--wait", "serve", **password)
    address = stack.compose("--profile", "serve", "port", "serve", "9465").stdout.strip()
    url = f"http://{address}/gaps"

    assert httpx.get(url).status_code == 401
    until(lambda: httpx.get(url, auth=("me", "a-long-enough-word")).status_code == 200)


def test_the_shipped_pipeline_is_enqueued_with_the_scripts_of_its_folder(
    image: str, tmp_path: Path
) -> None:
    from planner.sandbox.workers import ROOT as SCRIPTS

    stack = Stack(place=tmp_path)
    nba = {"PIPELINE_DIR": str(SCRIPTS), "BACKFILL_PIPELINE": "nba"}
    try:
        sandbox = ("sandbox", "build", "/state/warehouse", "--seasons", "2021")
        stack.planner(*sandbox, "--until", "2021-11-20", **nba)
        stack.planner("sandbox", "punch", "/state/warehouse", "--holes", "10", **nba)
        made = json.loads(stack.planner("enqueue", "--gaps", "--yes", "--json", **nba))
        assert made["steps_total"] > 0
        stack.planner("cancel", made["run_id"], "--yes", code=None, **nba)
        assert "there is no .venv/bin/python" not in stack.planner("doctor", code=None, **nba)
    finally:
        stack.compose(*EVERYTHING, "down", "--volumes", "--timeout", "5", code=None)


def test_a_folder_that_is_not_there_or_may_not_be_read_is_named(image: str, tmp_path: Path) -> None:
    stack = Stack(place=tmp_path)
    try:
        absent = stack.planner("gaps", code=None, PIPELINE_DIR="/nowhere-at-all")
        assert "/nowhere-at-all" in absent
        assert not Path("/nowhere-at-all").exists()

        # And a folder that is the owner's alone
        closed = tmp_path / "closed"
        shutil.copytree(PIPELINE, closed)
        closed.chmod(0o700)
        said = stack.planner("gaps", code=2, PIPELINE_DIR=str(closed))
        assert "/pipeline may not be read by user 10001" in " ".join(said.split())

        # And a key
        key = tmp_path / "key.json"
        key.write_text("{}")
        key.chmod(0o600)
        said = stack.planner(
            "gaps",
            code=3,
            GOOGLE_CREDENTIALS_FILE=str(key),
            BACKFILL_WAREHOUSE="bigquery:p",
        )
        assert "/credentials/google.json" in " ".join(said.split())
        assert "10001" in said
    finally:
        stack.compose(*EVERYTHING, "down", "--volumes", "--timeout", "5", code=None)


def test_an_image_of_ones_own_is_not_overwritten_and_keeps_the_versions(
    image: str, tmp_path: Path
) -> None:
    # Given an image that is built on it
    derived = f"{Stack(place=tmp_path).name}:derived"
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\nLABEL of=mine\n")
    docker("build", "--quiet", "--tag", derived, str(tmp_path))
    before = docker("image", "inspect", "--format", "{{.Id}}", derived).stdout
    try:
        # When the product is built with that name set
        Stack(place=tmp_path).compose("build", FLEET_IMAGE=derived)
        Stack(place=tmp_path).compose("build", "image", FLEET_IMAGE=derived)

        # Then it is what it was, and pip takes no other version of what the fleet needs
        assert docker("image", "inspect", "--format", "{{.Id}}", derived).stdout == before
        pip = ("-m", "pip", "install", "--dry-run", "--no-index", "celery==5.0")
        done = docker("run", "--rm", "--entrypoint", "python", derived, *pip, code=1)
        assert "(constraint) celery==" in done.stdout
    finally:
        docker("image", "rm", derived, code=None)


def test_the_health_check_costs_a_tenth_of_what_asking_over_redis_does(stack: Stack) -> None:
    (worker, *_) = stack.containers("worker")
    cost = (
        "import resource as r; u = r.getrusage(r.RUSAGE_CHILDREN); print(u.ru_utime + u.ru_stime)"
    )
    script = f"import subprocess as s; s.run(['python', '-P', '-m', 'worker', 'alive']); {cost}"
    found = float(docker("exec", worker, "python", "-c", script).stdout)
    assert found < 0.15  # asking over Redis took 1 s and more
