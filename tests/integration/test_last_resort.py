"""What nobody foresaw ends in one line and an exit code of its own, never in that of gaps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from planner import cli
from planner.errors import Exit

PLANNER = Path(sys.executable).with_name("planner")
FULL = Path("/dev/full")


def said(
    *arguments: str, out: int | None = subprocess.PIPE, **more: str
) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **more}
    return subprocess.run(
        [PLANNER, *arguments],
        env=environment,
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [("settings",), ("settings", "--json"), ("gaps", "--help")])
def test_an_output_that_is_full_is_told(arguments: tuple[str, ...]) -> None:
    with FULL.open("w") as full:
        done = said(*arguments, out=full.fileno())

    assert done.returncode == Exit.USAGE
    assert done.stderr.splitlines() == [
        "The output cannot be written: No space left on device. Make room for it."
    ]


def test_a_terminal_that_knows_ascii_alone_is_written_to() -> None:
    done = said("settings", PYTHONIOENCODING="ascii", BACKFILL_PIPELINE="caf\u00e9")

    assert (done.returncode, done.stderr) == (0, "")
    assert "caf\\xe9" in done.stdout


def test_the_home_of_nobody_is_told() -> None:
    done = said("runs", BACKFILL_HOME="~nobody-of-that-name")

    assert done.returncode == Exit.USAGE
    assert len(done.stderr.splitlines()) == 1
    assert "no user's here" in done.stderr


def test_a_mistake_has_a_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("one\nmore")

    monkeypatch.setattr(cli, "app", broken)
    monkeypatch.setattr(sys, "argv", ["planner"])

    with pytest.raises(SystemExit) as ended:
        cli.main()

    assert ended.value.code == 70
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("A mistake of the planner's: ZeroDivisionError: one more. ")
