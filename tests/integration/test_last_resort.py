"""What nobody foresaw ends in one line and an exit code of its own, never in that of gaps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from planner import cli
from planner.errors import Exit
from tests.integration.bench import Bench

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
@pytest.mark.quick(0)
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


@pytest.mark.parametrize("arguments", [("--help",), ("gaps", "--help"), ("settings", "--json")])
@pytest.mark.quick(1)
def test_a_reader_that_goes_away_is_no_gap(arguments: tuple[str, ...]) -> None:
    ours, theirs = os.pipe()
    os.close(ours)

    done = said(*arguments, out=theirs)

    os.close(theirs)
    assert (done.returncode, done.stderr) == (Exit.CLOSED, "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.quick(0, 1)
def test_an_output_that_is_closed_is_none(tmp_path: Path, closed: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f"exec {PLANNER} settings {closed}"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (Exit.DONE, "")


STUB = """
import os, signal
print("here", flush=True)
signal.pause()
"""


def test_ctrl_c_while_the_command_is_imported_ends_it_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text(STUB)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(
        [PLANNER, "runs"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()

    assert (process.returncode, told) == (-signal.SIGINT, "")  # 130 to a shell


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is Linux's")
def test_a_file_that_does_not_fit_is_named(tmp_path: Path) -> None:
    bench = Bench(place=tmp_path)
    settings = bench.context(bench.script()).settings
    plan = tmp_path / "plan.json"
    done = subprocess.run(
        ["prlimit", "--fsize=16", PLANNER, "plan", "--out", str(plan)],
        env={
            **os.environ,
            "BACKFILL_WAREHOUSE": settings.warehouse,
            "BACKFILL_PIPELINE": settings.pipeline,
            "BACKFILL_HOME": str(settings.home),
            "PYTHONDONTWRITEBYTECODE": "1",  # or Python leaves the first 16 bytes of it
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == Exit.USAGE, done.stderr
    assert f"{plan} cannot be written: File too large." in done.stderr
    assert not plan.exists()


@pytest.mark.parametrize("arguments", [("settings",), ("gaps",), ("runs",), ("validate",)])
@pytest.mark.quick(1)
def test_a_machine_that_knows_ascii_alone_is_told(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = said(
        *arguments,
        LC_ALL="C",
        PYTHONUTF8="0",
        PYTHONCOERCECLOCALE="0",
        BACKFILL_HOME=str(tmp_path / "caf\u00e9"),
        BACKFILL_WAREHOUSE=f"local:{tmp_path}/caf\u00e9",
    )

    assert done.returncode in (Exit.DONE, Exit.USAGE, Exit.UNREACHABLE), done.stderr
    assert "Traceback" not in done.stderr
