"""The fenced blocks of a page, the commands in them, and what they show."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Command:
    """A command of a page, and the lines shown below it."""

    text: str
    shown: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    kind: str
    text: str

    @property
    def commands(self) -> list[Command]:
        """Each `$ …` of a console, with the lines of a quote that it leaves open."""
        found: list[Command] = []
        is_open = False
        for line in self.text.splitlines() if self.kind == "console" else ():
            if is_open:
                found[-1].text += f"\n{line}"
            elif line.startswith("$ "):
                found.append(Command(line[2:]))
            else:
                found[-1].shown.append(line)
                continue
            is_open = found[-1].text.count("'") % 2 == 1
        return found


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [Block(*found) for found in FENCE.findall(path.read_text(encoding="utf-8"))]


def plain(line: str) -> str:
    """A line without what is another one every day: numbers, ids, folders, widths and ticks."""
    line = re.sub(r"(run|plan)-\w+-\w+", "RUN", line)
    line = re.sub(r"logs are in .*", "logs", line)
    return re.sub(r"[\d,/✓✗… ]+", " ", line).strip()
