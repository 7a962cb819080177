"""Every command of the documents is run by a test, or is read by the parser that would read it.

`tests/acceptance/test_pages.py` runs those in `RUN`, and `test_tutorial.py` the tutorial. What is
read alone has its reason here; a command that is in no list fails, and so does output that is shown
below a command that no test runs.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.console import ELSEWHERE, READ, RUN, Command, pages
from tests.unit.test_docs import parse

ROOT = Path(__file__).parents[2]
WALKED = "docs/tutorial.md"
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")

COMMANDS = [
    (name, command)
    for name, blocks in pages(ROOT).items()
    for block in blocks
    for command in block.commands
]
every = pytest.mark.parametrize(
    ("page", "command"), COMMANDS, ids=[f"{page}: {command.text}" for page, command in COMMANDS]
)


def reason(page: str, command: Command) -> str:
    """Why a command is read and not run; empty where it is run."""
    text = command.bare
    if page == WALKED or text in RUN.get(page, ()):
        return ""
    told = [why for start, why in READ.items() if text.startswith(start)]
    assert len(told) == 1, f"{page}: `{text}` is run by no test, and has {len(told)} reasons"
    return told[0]


@every
def test_a_command_is_run_or_has_its_reason(page: str, command: Command) -> None:
    why = reason(page, command)
    assert not (why and command.shown and command.bare not in ELSEWHERE), (
        f"{page}: what `{command.bare}` shows is compared by no test"
    )
    named = re.findall(r"tests/[\w/]+\.py", " ".join([why, ELSEWHERE.get(command.bare, "")]))
    for place in named:
        assert (ROOT / place).is_file(), f"{place} is named, and not there"


@every
def test_a_command_can_be_read(page: str, command: Command) -> None:
    words = shlex.split(command.bare)
    while re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    READERS[words[0]](words[1:])


def test_no_command_is_listed_that_no_page_has() -> None:
    found = {(page, command.bare) for page, command in COMMANDS}
    assert {(page, text) for page, texts in RUN.items() for text in texts} <= found
    starts = {start for start in READ if not any(t.startswith(start) for _, t in found)}
    assert starts == set()
    assert ELSEWHERE.keys() <= {text for _, text in found}


# -- readers: each fails on what its program would refuse ------------------------------------------


def _planner(words: list[str]) -> None:
    parse(words)


def _make(words: list[str]) -> None:
    for target in words:
        assert re.search(rf"^{re.escape(target)}:", MAKEFILE, re.MULTILINE), f"no target {target}"


def _python(words: list[str]) -> None:
    if words[:3] != ["-P", "-m", "worker"]:
        (file,) = words
        assert file == "service/forecast.py"  # which the shop to try has
        return
    if words[3] == "flower":
        from flower import options  # noqa: F401  # it defines them when it is imported
        from tornado.options import options as known

        given = [word.removeprefix("--").partition("=")[0] for word in words[4:]]
        assert [name for name in given if name not in known] == []
        return
    from celery.bin.celery import celery

    name, *given = words[3:]
    celery.commands[name].make_context(name, given, resilient_parsing=True)


def _pytest(words: list[str]) -> None:
    folder, name = words[-3], words[-1]
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / folder).glob("test_*.py")]
    assert any(f"def {name}" in source for source in sources), f"no test {name}"


def _docker(words: list[str]) -> None:
    services = set(re.findall(r"^  (\w+):$", COMPOSE.partition("\nservices:")[2], re.MULTILINE))
    assert words.pop(0) == "compose"
    verb = words.pop(0)
    if verb == "run":
        at = next(n for n, word in enumerate(words) if not word.startswith("-"))
        assert words[at] in services
        parse(words[at + 1 :])
        return
    named = [word.partition("=")[0] for word in words if not word.startswith("-")]
    assert verb in ("build", "up")
    assert set(named) <= services


def _export(words: list[str]) -> None:
    """The names are compared with the settings in test_docs.py."""
    assert all("=" in word for word in words)


def _others(words: list[str]) -> None:
    """Of another program, which need not be here."""
    assert words


READERS = {
    "planner": _planner,
    "make": _make,
    "python": _python,
    ".venv/bin/pytest": _pytest,
    "docker": _docker,
    "export": _export,
    "bq": _others,
    "dbt": _others,
}
