"""The check of a worker's sign of life: what it says, and what it ends."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.processes import alive


@pytest.fixture
def sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(alive.VARIABLE, str(tmp_path / "alive"))
    return tmp_path / "alive"


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield started
    started.kill()
    started.wait()


def test_a_worker_that_beats_is_alive(sign: Path) -> None:
    alive.beat(str(sign))
    assert alive.check([]) == 0
    assert [file.name for file in sign.parent.iterdir()] == ["alive"]


@pytest.mark.parametrize("text", [None, "", "4711", "x y"])
def test_a_sign_that_is_missing_or_damaged_ends_nothing(sign: Path, text: str | None) -> None:
    if text is not None:
        sign.write_text(text)
    assert alive.check(["--end"]) == 1


@pytest.mark.parametrize(
    ("silent", "arguments", "code", "ended"),
    [
        (alive.UNHEALTHY_SECONDS - 5, ["--end"], 0, False),
        (alive.UNHEALTHY_SECONDS + 5, ["--end"], 1, False),
        (alive.END_SECONDS + 5, [], 1, False),
        (alive.END_SECONDS + 5, ["--end"], 1, True),
    ],
)
def test_a_silent_worker_is_ill_and_one_silent_for_long_is_ended(
    sign: Path,
    process: subprocess.Popen[bytes],
    silent: float,
    arguments: list[str],
    code: int,
    ended: bool,
) -> None:
    sign.write_text(f"{process.pid} {time.monotonic() - silent}")

    assert alive.check(arguments) == code

    if ended:
        assert process.wait(timeout=10) == -9
    else:
        assert process.poll() is None


def test_without_a_file_to_look_at_it_says_how_to_call_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(alive.VARIABLE, raising=False)
    assert alive.check([]) == 2
    assert "BACKFILL_ALIVE_FILE" in capsys.readouterr().err


def test_the_check_starts_neither_celery_nor_anything_else_that_costs(sign: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-P", "-m", "worker", "alive"],
        capture_output=True,
        text=True,
        env={alive.VARIABLE: str(sign)},
        check=False,
    )

    assert done.returncode == 1
    assert not {"celery", "redis", "pydantic", "planner"} & {
        line.rpartition("|")[2].strip() for line in done.stderr.splitlines()
    }
