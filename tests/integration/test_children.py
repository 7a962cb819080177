"""Children are supervised one by one: what befalls one keeps no other from being started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import redis

from planner.errors import Exit
from planner.sandbox.workers import environment_of
from planner.settings import Settings
from tests import commands
from tests.integration.bench import Bench
from tests.waiting import until
from worker.processes import children
from worker.processes.children import RESTART_MAX_SECONDS, Child, start_process, supervised


def child(folder: Path, name: str, command: str = "exec sleep 600") -> Child:
    return Child(
        name=name,
        command=["sh", "-c", command],
        log=folder / name / "log",
        stop_seconds=5,
        restart_seconds=0.05,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_one_that_cannot_be_started_again_keeps_no_other_from_it(folder: Path) -> None:
    one, two, said = child(folder, "one"), child(folder, "two"), []
    with supervised([one, two], say=said.append):
        # Given one whose log cannot be opened any more
        assert one.process is not None
        assert two.process is not None
        (folder / "one").rename(folder / "away")
        one.process.kill()
        until(lambda: any("one died of signal 9 and cannot be started again" in s for s in said))

        # When another dies, it is started again
        two.process.send_signal(signal.SIGTERM)
        until(lambda: two.restarts == 1 and two.is_alive)

        # And the first is, once its log can be opened
        (folder / "away").rename(folder / "one")
        until(lambda: one.restarts == 1 and one.is_alive)

    assert not one.is_alive
    assert not two.is_alive
    assert any("two died of signal 15 and was started again" in s for s in said)


def test_one_that_ends_at_once_is_started_ever_less_often(folder: Path) -> None:
    one, said = child(folder, "one", "exit 3"), []
    with supervised([one], say=said.append):
        until(lambda: one.restarts == 3)

    assert all("one ended with exit code 3 and was started again; its log is" in s for s in said)
    assert one._pause == 0.05 * 2**3 < RESTART_MAX_SECONDS


def test_one_that_others_kill_is_started_again_soon(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fleet whose workers are killed all the time would stand still for ever longer pauses."""
    monkeypatch.setattr(children, "KILLED_MAX_SECONDS", 0.1)
    one = child(folder, "one")
    with supervised([one]):
        for n in range(4):
            until(lambda n=n: one.restarts == n and one.is_alive)
            assert one.process is not None
            one.process.kill()
        until(lambda: one.restarts == 4)

    assert one._pause == 0.1


def test_the_error_of_a_first_start_is_the_block_s(folder: Path) -> None:
    one, two = child(folder, "one"), child(folder, "three")

    with pytest.raises(FileNotFoundError, match="three"), supervised([one, two]):
        pytest.fail("it began")

    assert not one.is_alive


@pytest.mark.parametrize("fault", ["a broken pipeline file", "a log that cannot be opened"])
def test_up_ends_with_what_its_workers_cannot_start_with(
    redis_settings: Settings, tmp_path: Path, fault: str
) -> None:
    bench = Bench(place=tmp_path)
    bench.context(bench.script())
    home, file = tmp_path / "home", tmp_path / "bench.toml"
    match fault:
        case "a broken pipeline file":
            file.write_text("name = ")
            told = str(file)
        case _:
            (home / "logs" / "worker-1.log").mkdir(parents=True)
            told = str(home / "logs" / "worker-1.log")
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        broker_url=redis_settings.redis_url,
        pipeline=str(file),
        home=home,
    )

    environment = {**os.environ, **environment_of(settings)}
    done = commands.planner("up", environment=environment, cwd=tmp_path, seconds=30)

    assert done.code == Exit.USAGE, done
    assert told in done.err


@pytest.mark.slow
def test_up_and_its_workers_say_by_what_their_redis_would_lose_runs(
    client: redis.Redis, redis_settings: Settings, tmp_path: Path
) -> None:
    # Given a Redis of the user's own that drops keys when it is full, and writes nothing down
    bench = Bench(place=tmp_path, broker_url=redis_settings.redis_url)
    settings = bench.context(bench.script()).settings
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("appendonly", "no")
    told, worker = tmp_path / "told", tmp_path / "home" / "logs" / "worker-1.log"
    try:
        with told.open("wb") as err:
            up = subprocess.Popen(
                [sys.executable, "-m", "planner", "up", "--workers", "2"],
                env={**os.environ, **environment_of(settings)},
                cwd=tmp_path,
                stderr=err,
            )
        # Then each is one line of `up`, and one of the worker
        for place in (told, worker):
            for lack in ("maxmemory-policy is allkeys-lru", "writes nothing to its disk"):
                until(lambda lack=lack, place=place: place.exists() and lack in place.read_text())
        _one_dies_whose_log_cannot_be_opened(up, told, worker)
    finally:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("appendonly", "yes")
        up.terminate()
        assert up.wait(60) == 0
    assert sum("Redis: it" in line for line in told.read_text().splitlines()) == 2


def _one_dies_whose_log_cannot_be_opened(
    up: subprocess.Popen[bytes], told: Path, log: Path
) -> None:
    """`up` says so, starts its other worker again all the same, and that one too as soon as it can
    be."""
    log.rename(log.with_name("away"))
    log.mkdir()
    for each in [_worker_of(up, number) for number in (1, 2)]:
        each.kill()
    until(lambda: "worker-1 died of signal 9 and cannot be started again" in told.read_text())
    until(lambda: "worker-2 died of signal 9 and was started again" in told.read_text())
    log.rmdir()
    until(lambda: "worker-1 is not there and was started again" in told.read_text())
    until(lambda: "ready." in log.read_text())


def _worker_of(up: subprocess.Popen[bytes], number: int) -> psutil.Process:
    children = psutil.Process(up.pid).children()
    (found,) = (each for each in children if f"worker-{number}@%h" in each.cmdline())
    return found


@pytest.fixture(params=["with a launcher", "without"])
def launched(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether what asks for the parent-death signal is a program of its own."""
    if request.param == "without":
        monkeypatch.setattr(children, "_launcher", lambda: None)
    elif children._launcher() is None:
        pytest.skip("this machine has no setpriv that knows the parent-death signal")
    return request.param != "without"


@pytest.mark.parametrize(
    ("program", "error"),
    [("missing", FileNotFoundError), ("./missing", FileNotFoundError), ("./data", PermissionError)],
)
@pytest.mark.usefixtures("launched")
def test_what_cannot_be_started_is_an_error_at_once(
    tmp_path: Path, program: str, error: type[OSError]
) -> None:
    (tmp_path / "data").write_text("no program")
    with pytest.raises(error, match=program):
        start_process([program], stdout=subprocess.DEVNULL, cwd=str(tmp_path))
    with pytest.raises(FileNotFoundError):
        start_process(["true"], stdout=subprocess.DEVNULL, cwd=str(tmp_path / "nowhere"))


STARTS = """
import subprocess, time
from worker.processes import children
if not {launched}:
    children._launcher = lambda: None
found = children.start_process(["sleep", "600"], stdout=subprocess.DEVNULL)
print(found.pid, flush=True)
time.sleep(600)
"""


def test_a_process_dies_with_the_one_that_started_it(launched: bool) -> None:
    starts = [sys.executable, "-c", STARTS.format(launched=launched)]
    with subprocess.Popen(starts, stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            until(lambda: Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep"))
        finally:
            parent.kill()
    until(lambda: not _lives(pid))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_process_is_started_without_a_fork_where_a_launcher_is(
    launched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function to be called in the child makes Python copy the page tables of a large worker."""
    options: dict[str, object] = {}
    monkeypatch.setattr(subprocess, "Popen", lambda command, **found: options.update(found))
    start_process(["true"], stdout=subprocess.DEVNULL)
    assert (options["preexec_fn"] is None) is launched
