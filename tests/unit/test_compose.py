"""The compose file and the Dockerfile, read as YAML and text: what they promise without an engine.

`make compose-test` builds and runs them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from planner.settings import Settings, variables

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
FLEET = ("worker", "flower", "heal", "metrics", "serve", "planner")
CHECK = ["CMD", "python", "-P", "-m", "worker", "alive", "--end"]
SETTINGS = {name for field in Settings.model_fields for name in variables(field)}


def test_the_services_and_which_of_them_up_starts() -> None:
    assert {name: service.get("profiles") for name, service in SERVICES.items()} == {
        "image": ["image"],
        "redis": None,
        "worker": None,
        "flower": None,
        "heal": ["heal"],
        "metrics": ["metrics"],
        "serve": ["serve"],
        "planner": ["planner"],
    }


def test_the_image_is_built_by_its_own_name_whatever_image_is_used() -> None:
    assert [name for name, service in SERVICES.items() if "build" in service] == ["image"]
    assert SERVICES["image"]["image"] == "backfill-fleet"
    assert {SERVICES[name]["image"] for name in FLEET} == {"${FLEET_IMAGE:-backfill-fleet}"}
    for name in ("README.md", "docs/operations.md", "docker-compose.yml"):
        said = (ROOT / name).read_text(encoding="utf-8")
        assert "docker compose build image" in said, name
        assert not re.search(r"docker compose build$", said, re.MULTILINE), name


def test_pages_and_figures_are_published_on_loopback_alone() -> None:
    published = {name: of["ports"] for name, of in SERVICES.items() if "ports" in of}
    assert published == {
        "flower": ["127.0.0.1:${FLOWER_PORT:-5555}:5555"],
        "metrics": ["127.0.0.1:${METRICS_PORT:-9464}:9464"],
        "serve": ["127.0.0.1:${SERVE_PORT:-9465}:9465"],
    }
    assert {of.get("network_mode") for of in SERVICES.values()} == {None, "none"}
    assert not any(of.get("privileged") for of in SERVICES.values())


def test_flower_asks_for_a_password_and_has_no_buttons() -> None:
    assert "FLOWER_BASIC_AUTH" in SERVICES["flower"]["environment"]
    assert "--read-only=${FLOWER_READ_ONLY:-True}" in SERVICES["flower"]["command"]


@pytest.mark.parametrize("secret", ["REDIS_PASSWORD", "FLOWER_BASIC_AUTH"])
def test_no_password_has_a_default(secret: str) -> None:
    uses = re.findall(rf"\${{{secret}(.*?)}}", TEXT)
    assert uses
    assert all(use.startswith(":?") for use in uses)


@pytest.mark.parametrize("name", ["redis", *FLEET])
def test_nothing_runs_as_root_or_writes_where_it_is_not_told_or_takes_all(name: str) -> None:
    service = SERVICES[name]
    assert service["user"] == ("redis" if name == "redis" else "${FLEET_UID:-10001}")
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert all("size=" in mount for mount in service["tmpfs"])


@pytest.mark.parametrize("name", FLEET)
def test_scripts_have_a_home_and_may_run_what_they_put_into_tmp(name: str) -> None:
    mounts = dict(each.split(":", 1) for each in SERVICES[name]["tmpfs"])
    assert {path for path, options in mounts.items() if "exec" in options.split(",")} == {
        "/tmp",
        "/home/fleet",
    }
    assert "uid=${FLEET_UID:-10001}" in mounts["/home/fleet"]
    assert re.search(r"\bHOME=/home/fleet\b", DOCKERFILE)


@pytest.mark.parametrize("name", FLEET)
def test_a_folder_that_is_not_there_is_an_error_and_a_key_is_not_needed(name: str) -> None:
    binds = {of["source"]: of for of in SERVICES[name]["volumes"] if "bind" in of}
    assert all(not of["bind"]["create_host_path"] and of["read_only"] for of in binds.values())
    assert not [of for of in SERVICES[name]["volumes"] if isinstance(of, str) and "$" in of]
    if name != "flower":  # which has no business with the warehouse
        key = binds["${GOOGLE_CREDENTIALS_FILE:-/dev/null}"]["target"]
        told = SERVICES[name]["environment"]["GOOGLE_APPLICATION_CREDENTIALS"]
        assert told == f"${{GOOGLE_CREDENTIALS_FILE:+{key}}}"


@pytest.mark.parametrize("name", FLEET)
def test_every_setting_is_handed_on_and_none_that_is_none(name: str) -> None:
    told = {each for each in SERVICES[name]["environment"] if each.startswith("BACKFILL_")}
    own = {"worker": "BACKFILL_ALIVE_FILE", "serve": "BACKFILL_SERVE_PASSWORD"}
    assert told == SETTINGS - set(own.values()) | {own.get(name, "BACKFILL_HOME")}


def test_a_worker_is_given_longer_to_stop_than_it_needs() -> None:
    found = re.search(r"(\d+)s", SERVICES["worker"]["stop_grace_period"])
    assert found
    assert int(found[1]) > 2 * Settings.model_fields["grace_seconds"].default + 10


def test_a_worker_that_is_ill_is_ended_and_what_ends_is_started_again() -> None:
    worker = SERVICES["worker"]
    assert worker["healthcheck"]["test"] == [
        "CMD",
        "python",
        "-P",
        "-m",
        "worker",
        "alive",
        "--end",
    ]
    assert worker["environment"]["BACKFILL_ALIVE_FILE"].startswith("/tmp/")
    assert worker["init"] is True  # the first process of a container cannot be killed from inside
    for name in ("redis", "worker", "flower", "heal", "metrics", "serve"):
        assert SERVICES[name]["restart"] == "unless-stopped"


def test_the_broker_is_reached_by_the_fleet_alone() -> None:
    assert SERVICES["redis"]["networks"] == ["broker"]
    assert COMPOSE["networks"]["broker"] == {"internal": True}
    assert "requirepass $$REDISCLI_AUTH" in SERVICES["redis"]["command"][-1]
    assert {tuple(SERVICES[name]["networks"]) for name in FLEET} == {("broker", "outside")}


def test_redis_refuses_before_its_container_is_full() -> None:
    redis = SERVICES["redis"]
    assert "maxmemory $${REDIS_MAXMEMORY}" in redis["command"][-1]
    most, limit = (
        int(re.sub(r"\D", "", value.partition(":-")[2]))
        for value in (redis["environment"]["REDIS_MAXMEMORY"], redis["mem_limit"])
    )
    assert limit >= 2 * most  # it is copied while its file is written anew


# -- the image ----------------------------------------------------------------------------------


def test_what_pip_needs_is_a_secret_of_the_build_and_in_no_layer() -> None:
    build = SERVICES["image"]["build"]
    assert set(build["secrets"]) == set(COMPOSE["secrets"]) == {"pip", "certificates"}
    for name in build["secrets"]:
        assert f"--mount=type=secret,id={name}," in DOCKERFILE
    assert not re.findall(r"^(ARG|ENV|COPY).*(PIP_INDEX|PIP_CONF|PROXY)", DOCKERFILE, re.MULTILINE)


def test_the_base_images_are_arguments() -> None:
    assert SERVICES["image"]["build"]["args"]["PYTHON_IMAGE"].startswith("${PYTHON_IMAGE:-python:")
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${PYTHON_IMAGE}"] * 2
    assert SERVICES["redis"]["image"].startswith("${REDIS_IMAGE:-redis:")


def test_an_image_that_is_built_on_it_keeps_its_versions() -> None:
    for tool in ("PIP", "UV"):
        assert f"{tool}_CONSTRAINT=/opt/fleet/constraints.txt" in DOCKERFILE


def test_its_lock_is_that_of_development_without_the_tools() -> None:
    def pinned(name: str) -> set[str]:
        text = (ROOT / name).read_text(encoding="utf-8")
        return set(re.findall(r"^(\S+==\S+)", text, re.MULTILINE))

    image, all_of_them = pinned("runtime.lock"), pinned("requirements.lock")
    assert image < all_of_them
    names = {each.partition("==")[0] for each in image}
    assert {"celery", "opentelemetry-sdk"} <= names
    assert not names & {"pytest", "mypy", "ruff", "playwright"}


def test_nothing_gets_into_the_build_by_accident() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = set(re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE, re.MULTILINE))
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert "*" in ignored
