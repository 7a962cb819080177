"""A pipe that nothing is written to, and a device without end, in the place of any input."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.commands import planner
from tests.integration.bench import Bench

SECONDS = 20.0  # on a machine that is shared; nothing waits for what does not come
RUNNER = """
[[phases.runners]]
kind = "http_batch"
url = "http://127.0.0.1:9"
token = {{ file = "{token}" }}
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    bench = Bench(place=tmp_path)
    settings = bench.context(bench.script()).settings
    return {
        **os.environ,
        "BACKFILL_WAREHOUSE": settings.warehouse,
        "BACKFILL_PIPELINE": settings.pipeline,
        "BACKFILL_HOME": str(settings.home),
    }


@pytest.fixture(params=["pipe", "/dev/zero", "folder"])
def hostile(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        (tmp_path / "folder").mkdir()
        return str(tmp_path / "folder")
    if request.param == "pipe":
        os.mkfifo(tmp_path / "pipe")
        return str(tmp_path / "pipe")
    return str(request.param)


@pytest.mark.parametrize(
    "command",
    [["enqueue", "--plan", "{path}"], ["compare", "{path}", "{path}"]],
    ids=lambda words: words[0],
)
def test_a_file_that_is_named(
    command: list[str], hostile: str, environment: dict[str, str], tmp_path: Path
) -> None:
    words = [word.format(path=hostile) for word in command]

    done = planner(*words, environment=environment, cwd=tmp_path, seconds=SECONDS)

    assert done.code == 2, done.err


@pytest.mark.parametrize(
    ("variable", "value", "codes"),
    [
        ("BACKFILL_PIPELINE", "{path}", {2}),
        ("BACKFILL_WAREHOUSE", "local:{path}", {2, 3}),
        ("BACKFILL_HOME", "{path}", {0, 1, 2}),
        ("BACKFILL_BROKER_URL", "rediss://h/0?ssl_ca_certs={path}", {2}),
        ("BACKFILL_BROKER_URL", "unix://{path}", {0, 1, 2, 3}),
    ],
)
@pytest.mark.quick(0, 6, 12, 13)
def test_a_setting(
    variable: str,
    value: str,
    codes: set[int],
    hostile: str,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    environment[variable] = value.format(path=hostile)

    done = planner("gaps", environment=environment, cwd=tmp_path, seconds=SECONDS)

    assert done.code in codes, done.err


@pytest.mark.parametrize("name", [".env", "warehouse/.backfill-id"])
def test_a_file_that_has_its_place(name: str, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)

    done = planner("gaps", environment=environment, cwd=tmp_path, seconds=SECONDS)

    assert done.code in (0, 1, 2), done.err


def test_a_token_s_file(hostile: str, environment: dict[str, str], tmp_path: Path) -> None:
    text = (tmp_path / "bench.toml").read_text()
    at = text.index("[[phases.runners]]")
    (tmp_path / "bench.toml").write_text(text[:at] + RUNNER.format(token=hostile))

    done = planner("doctor", environment=environment, cwd=tmp_path, seconds=SECONDS)

    assert done.code == 3, done.out
