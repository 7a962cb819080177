"""What tests of bad input share: hostile words, and a command in a place where all is in order."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from planner import cli

UP = "../../etc/passwd"
SIGNS = "'; DROP TABLE lake.raw; --"
LINES = "run-1\nrun-2"
ESCAPE = "\x1b]0;owned\x07\x1b[2J"
BYTES = "\udcff\udcfe"  # what is not UTF-8 in an argument, as Python keeps it
LONG = "x" * 5000
TURNED = "\u202ecod.nosj"
HOSTILE = (UP, "/etc/passwd", SIGNS, LINES, ESCAPE, BYTES, LONG, "", " ", "*", "[red]x[/]", TURNED)


@dataclass(kw_only=True)
class Told:
    """What a command said."""

    code: int
    out: str
    err: str


Run = Callable[..., Told]


def runner(
    place: Path,
    environment: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs a command in this process and in a folder, as the console script does."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("worker.ledger.connection.PLANNER_TRIES", 0)  # nothing here comes back
    monkeypatch.chdir(place)

    def run_it(*arguments: str) -> Told:
        monkeypatch.setattr(sys, "argv", ["planner", *arguments])
        with pytest.raises(SystemExit) as ended:  # anything else would be a traceback
            cli.main()
        said = capsys.readouterr()
        assert "\x1b" not in said.out + said.err
        assert isinstance(ended.value.code, int)
        return Told(code=ended.value.code, out=said.out, err=said.err)

    return run_it


def everything(place: Path, client: redis.Redis) -> Any:
    """Every file around, and everything in Redis."""
    files = {path: path.read_bytes() for path in place.parent.rglob("*") if path.is_file()}
    return files, {key: client.dump(key) for key in client.scan_iter()}
