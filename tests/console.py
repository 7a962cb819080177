"""The fenced blocks of a page, the commands in them, and what they show."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

GENERATED = "docs/commands.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Command:
    """A command of a page, and the lines shown below it."""

    text: str
    shown: list[str] = field(default_factory=list)

    @property
    def bare(self) -> str:
        """Without a remark behind it."""
        return re.sub(r"\s+# .*$", "", self.text)


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


def pages(root: Path) -> dict[str, list[Block]]:
    """Every page that people write → its blocks."""
    names = ["README.md", "CONTRIBUTING.md", "SECURITY.md"]
    names += [f"docs/{path.name}" for path in sorted(root.glob("docs/*.md"))]
    return {name: blocks(root / name) for name in names if name != GENERATED}


def plain(line: str) -> str:
    """A line without what is another one every day: numbers, ids, hosts, folders, widths, ticks."""
    line = re.sub(r"(run|plan)-\w+-\w+", "RUN", line)
    line = re.sub(r"logs are in .*", "logs", line)
    line = re.sub(r"@[\w.-]+", "@HOST", line)
    return re.sub(r"[\d,/✓✗… ]+", " ", line).strip()


RUN: dict[str, tuple[str, ...]] = {
    "README.md": (
        "export BACKFILL_WAREHOUSE=bigquery:my-project BACKFILL_PIPELINE=shop.toml",
        "planner gaps",
        "planner up --workers 4",
        "planner enqueue --gaps --limit 3",
        "planner watch run-20260102-k7xq3w",
        "planner report run-20260102-k7xq3w",
    ),
    "docs/pipeline-file.md": (
        "planner sandbox build shop --example shop",
        "planner sandbox punch shop --example shop",
        "export BACKFILL_WAREHOUSE=local:shop BACKFILL_PIPELINE=shop",
        "planner sandbox run -- enqueue --gaps --wait --yes",
    ),
    "docs/cost.md": ("planner gaps --season 2023-24 --max-bytes 200000000",),
    "docs/beside.md": ("planner init pipeline.toml --manifest target/manifest.json",),
}
"""Page → the commands that tests/acceptance/test_pages.py runs. A page's BigQuery project and a run
that it names are replaced by those of the test."""

READ: dict[str, str] = {
    "planner serve": "goes on until Ctrl-C: tests/integration/test_serve.py runs it",
    "planner heal": "goes on until Ctrl-C: tests/integration/test_heal_alone.py runs it",
    "planner metrics": "goes on until Ctrl-C: tests/integration/test_metrics.py runs it",
    "BACKFILL_SERVE_PASSWORD=": "would listen to the network: tests/integration/test_serve.py",
    "python -P -m worker": "goes on until Ctrl-C: tests/integration/test_current_folder.py runs it",
    "FLOWER_BASIC_AUTH=": "goes on until Ctrl-C: tests/integration/test_flower_page.py runs it",
    "docker compose": "needs a Docker Engine: tests/compose/test_engine.py runs it there",
    "make ": "the tests themselves, or hours of them",
    "CHAOS_SEED=": "the fault suite: minutes to an hour",
    "FUZZ_SEED=": "ten minutes: tests/unit/test_fuzz.py runs some of it",
    "bq ": "Google's program, on Google's BigQuery",
    "dbt parse": "dbt is not installed here: tests/integration/test_beside.py runs it where it is",
}
"""The beginning of a command → why it is read and not run."""

ELSEWHERE: dict[str, str] = {
    "planner serve": "tests/integration/test_serve.py sees the address, with another port",
}
"""Command → where what the page shows below it is compared, where it is not run as it stands."""
