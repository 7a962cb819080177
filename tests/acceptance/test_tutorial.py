"""The tutorial, as a newcomer walks it: every command is run, and every line shown is printed."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.commands import planner
from tests.waiting import until

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
GAPS = ("planner gaps", "planner explain")  # exit code 1 where there are some
UP_SECONDS = 60


@dataclass
class Command:
    """A command of the page, and the lines shown below it."""

    text: str
    shown: list[str]


def commands() -> list[Command]:
    found: list[Command] = []
    for block in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Command(text=line[2:], shown=[]))
            else:
                found[-1].shown.append(line)
    return found


def plain(line: str) -> str:
    """A line without what is another one every day: numbers, ids, folders, widths and ticks."""
    line = re.sub(r"run-\w+-\w+", "RUN", line)
    line = re.sub(r"logs are in .*", "logs", line)
    return re.sub(r"[\d,/✓✗… ]+", " ", line).strip()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "COLUMNS": "80", "BACKFILL_HOME": str(tmp_path / "home")}


@pytest.mark.slow
def test_the_tutorial_is_as_it_says(tmp_path: Path, environment: dict[str, str]) -> None:
    fleet: subprocess.Popen[str] | None = None
    try:
        for command in commands():
            words = shlex.split(command.text)
            if words[0] == "export":
                environment |= dict(word.split("=", 1) for word in words[1:])
                continue
            here = environment | dict(w.split("=", 1) for w in words[: words.index("planner")])
            words = words[words.index("planner") + 1 :]
            if words[0] == "up":
                fleet = up(tmp_path, here, words)
                continue
            done = planner(*words, environment=here, cwd=tmp_path)
            is_judging = any(name in command.text for name in GAPS)
            assert done.code in ((0, 1) if is_judging else (0,)), done.err
            printed = {plain(line) for line in (done.out + done.err).splitlines()}
            for line in command.shown:
                assert plain(line) in printed, f"{command.text}: {line}: {done.out}{done.err}"
    finally:
        if fleet is not None:
            fleet.send_signal(signal.SIGINT)
            fleet.wait(UP_SECONDS)


def up(place: Path, environment: dict[str, str], words: list[str]) -> subprocess.Popen[str]:
    """A fleet, once it is there."""
    with (place / "up.log").open("w") as log:
        fleet = subprocess.Popen(
            [sys.executable, "-m", "planner", *words],
            env=environment,
            cwd=place,
            stderr=log,
            text=True,
        )
    until(lambda: "workers are up" in (place / "up.log").read_text(), seconds=UP_SECONDS)
    return fleet


def test_every_command_of_the_tutorial_is_read() -> None:
    words = [command.text.split()[0:2] for command in commands()]
    assert ["planner", "enqueue"] in words
    assert len(words) > 10
