"""The tutorial, as a newcomer walks it: every command is run, and every line shown is printed."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.commands import planner
from tests.console import Command, blocks, plain
from tests.waiting import until

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
GAPS = ("planner gaps", "planner explain")  # exit code 1 where there are some
UP_SECONDS = 60
OURS = "ours.toml"  # what a block of TOML belongs to


@dataclass
class Reader:
    """Who walks the tutorial: a folder, variables, and what runs in other terminals."""

    place: Path
    environment: dict[str, str]
    running: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    seen: str = ""
    """What `planner gaps` printed last."""

    def type(self, command: Command) -> None:
        """Do what a line of the page says, and see what it says is to be seen."""
        words = shlex.split(command.text)
        if words[0] == "export":
            self.environment |= dict(word.split("=", 1) for word in words[1:])
        elif words[0] == "python":
            self.start("service", words[1:], ready=command.shown[0])
        elif words[:2] == ["planner", "up"]:
            self.start("fleet", ["-m", *words], ready="workers are up")
        else:
            self.run(command, words)

    def run(self, command: Command, words: list[str]) -> None:
        at = words.index("planner")
        here = self.environment | dict(word.split("=", 1) for word in words[:at])
        if "explain" in words:  # a date that the reader has
            dates = re.findall(r"weekly +│ partial │ +\d+ │ ([\d-]+)", self.seen)
            words[-1] = dates[0]
        done = planner(*words[at + 1 :], environment=here, cwd=self.place)
        is_judging = any(name in command.text for name in GAPS)
        assert done.code in ((0, 1) if is_judging else (0,)), done.err
        self.seen = done.out if "planner gaps" in command.text else self.seen
        printed = {plain(line) for line in (done.out + done.err).splitlines()}
        for line in command.shown:
            assert plain(line) in printed, f"{command.text}: {line}: {done.out}{done.err}"

    def start(self, name: str, words: list[str], *, ready: str) -> None:
        """Start what goes on in another terminal, in place of what is there, and wait for it."""
        self.end(name)
        log = self.place / f"{name}.log"
        with log.open("w") as file:
            self.running[name] = subprocess.Popen(
                [sys.executable, *words],
                env=self.environment,
                cwd=self.place,
                stdout=file,
                stderr=file,
                text=True,
            )
        until(lambda: plain(ready) in plain(log.read_text()), seconds=UP_SECONDS)

    def end(self, name: str) -> None:
        if name in self.running:
            process = self.running.pop(name)
            process.send_signal(signal.SIGINT)
            process.wait(UP_SECONDS)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    variables = {"PATH": os.environ["PATH"], "COLUMNS": "80", "FORECAST_PORT": port}
    found = Reader(tmp_path, variables | {"BACKFILL_HOME": str(tmp_path / "home")})
    yield found
    for name in [*found.running]:
        found.end(name)


@pytest.mark.slow
def test_the_tutorial_is_as_it_says(reader: Reader) -> None:
    for block in blocks(PAGE):
        if block.kind == "toml":
            with (reader.place / OURS).open("a") as file:
                file.write(f"\n{block.text}")
        for command in block.commands:
            reader.type(command)


def test_every_command_of_the_tutorial_is_read() -> None:
    words = [command.text.split()[0:2] for block in blocks(PAGE) for command in block.commands]
    assert ["planner", "enqueue"] in words
    assert len(words) > 10
