"""The documents say what is so: commands, keys, settings, links, and what compose publishes."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from planner.address import OPTIONS
from planner.cli import COMMANDS, app
from planner.console.lazy import Lazy
from planner.errors import Exit
from planner.gaps.gaps import GapReason, SkipReason
from planner.pipeline.load import FILE_BYTES
from planner.pipeline.pipeline import Pipeline
from planner.plan import parse as plan_files
from planner.plan.plan import Plan
from planner.plan.states import RestoreState, RunState, StepState
from planner.report.causes import Cause
from planner.report.html.heatmap import pictures_of
from planner.report.html.moment import CODES, moment_json
from planner.report.html.states import Live
from planner.report.report import Report
from planner.settings import PREFIX, Settings, variables
from planner.validation.baseline import Baseline, Comparison
from tests import reference
from tests.reports import make_report
from worker.runners import client, credentials

ROOT = Path(__file__).parents[2]
DOCS = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/*.md")]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

doc = pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands below a heading, until the next one."""
    body = text.split(f"\n## {heading}\n", 1)
    assert len(body) == 2, f"there is no heading {heading!r}"
    return body[1].split("\n## ", 1)[0]


def rows(text: str) -> dict[str, str]:
    """The tables of a text: what the first column names → the second column, bare."""
    found = re.findall(r"^\| `([^`]+)` \| (.*?) \|", text, re.MULTILINE)
    return {name: cell.strip("`") for name, cell in found}


# -- README ------------------------------------------------------------------------------------


def test_the_readme_is_short() -> None:
    assert len(read("README.md").splitlines()) <= 150


def test_the_readmes_pipeline_file_is_one() -> None:
    (example,) = [text for kind, text in FENCE.findall(read("README.md")) if kind == "toml"]
    assert len(example.splitlines()) <= 18
    assert Pipeline.model_validate(tomllib.loads(example)).phases


# -- commands ----------------------------------------------------------------------------------


def commands(text: str) -> Iterator[str]:
    """Every `planner …` in code: a line of a block, or a span of more than one word."""
    for _, block in FENCE.findall(text):
        for line in block.splitlines():
            line = line.removeprefix("$ ").strip().removeprefix("docker compose run --rm ")
            line = re.sub(r"^([A-Z_]+=\S+ )+", "", line)
            if line.startswith("planner "):
                yield line
    yield from re.findall(r"`(planner [^`]+)`", FENCE.sub("", text))
    yield from re.findall(r'"retry": "([^"]+)"', text)


@cache
def root() -> Any:
    return typer.main.get_command(app)


@cache
def loaded(command: Any) -> Any:
    return command.load() if isinstance(command, Lazy) else command


def parse(arguments: list[str]) -> None:
    """Parse a command line as `planner` would, and do nothing. Raises what the parser raises."""
    command = root()
    while arguments and hasattr(command := loaded(command), "commands"):
        if arguments[0].startswith("-"):
            known = {"--help", *(name for each in command.params for name in each.opts)}
            assert known.issuperset(arguments), f"{arguments[0]} is no option of {command.name}"
            return
        name = arguments.pop(0)
        assert name in command.commands, f"there is no command {name!r}"
        command = command.commands[name]
    command = loaded(command)
    if not arguments and hasattr(command, "commands"):
        return  # a group, by its name
    if command.name == "run" and "--" in arguments:  # `planner sandbox run -- COMMAND …`
        cut = arguments.index("--")
        parse(arguments[cut + 1 :])
        arguments = arguments[:cut]
    command.make_context(command.name, arguments)


@doc
def test_commands_exist_with_these_options(path: Path) -> None:
    for line in commands(path.read_text(encoding="utf-8")):
        try:
            parse(shlex.split(re.split(r" # |   | \| | && ", line)[0])[1:])
        except Exception as error:
            if type(error).__name__ == "MissingParameter":
                continue  # in a sentence a command goes by its name: `planner cancel`
            message = getattr(error, "message", "") or str(error)
            pytest.fail(f"{path.name}: `{line}`: {message}")


def test_every_command_has_examples_that_exist() -> None:
    for command in COMMANDS:
        for example in command.examples:
            planned = [part for part in re.split(r" && | \| ", example) if "planner " in part]
            lines = [part.partition("planner ")[2] for part in planned]
            assert lines[0].split()[0] == command.name
            for line in lines:
                parse(shlex.split(line))


def singles() -> Iterator[tuple[str, Any]]:
    """Every command of the help, those of groups too, by its name."""
    for lazy in COMMANDS:
        command = lazy.load()
        for below, each in getattr(command, "commands", {"": command}).items():
            if not (lazy.hidden or each.hidden):
                yield f"{lazy.name} {below}".strip(), each


def test_every_option_says_what_it_does() -> None:
    silent = [
        f"{name} {option.name}"
        for name, command in singles()
        for option in command.params
        if not (getattr(option, "help", "") or getattr(option, "hidden", False))
    ]
    assert silent == []


def test_a_help_is_broken_by_the_terminal_and_not_by_the_code() -> None:
    for name, command in singles():
        for part in command.help.split("\n\n"):
            assert "\n" not in part or re.search(r"\n[ -]", part), f"{name}: {part}"


def test_every_command_is_listed_as_it_says_of_itself() -> None:
    for command in COMMANDS:
        told = inspect.cleandoc(command.load().help).partition("\n\n")[0].replace("\n", " ")
        assert told == command.help


def test_the_reference_is_what_the_code_says() -> None:
    old = {
        path.name
        for path, text in reference.pages().items()
        if path.read_text(encoding="utf-8") != text
    }
    assert old == set(), "make reference writes them anew"


def test_the_site_has_every_page() -> None:
    named = re.findall(r"^ +- .*?([\w-]+\.md)$", read("mkdocs.yml"), re.MULTILINE)
    assert sorted(named) == sorted(path.name for path in ROOT.glob("docs/*.md"))


def test_every_command_is_mentioned() -> None:
    written = "".join(path.read_text(encoding="utf-8") for path in DOCS)
    assert [name for name in root().commands if f"planner {name}" not in written] == []


# -- links -------------------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@doc
def test_links_resolve(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.is_file(), f"{path.name} links to {link}"
        assert not anchor or anchor in anchors(target), f"{path.name} links to {link}"


@doc
def test_only_places_that_exist_are_named(path: Path) -> None:
    for place in re.findall(
        r"`((?:planner|worker|sql|docs|tests)/[\w./]+)`", path.read_text(encoding="utf-8")
    ):
        assert (ROOT / place).exists(), f"{path.name} names {place}"


# -- keys and settings -------------------------------------------------------------------------


def made_from(name: str) -> list[str]:
    """What the blocks of a page are made from."""
    return [found[1] for found in reference.BLOCK.findall(read(name))]


def test_every_model_of_the_pipeline_file_has_its_keys_there() -> None:
    known = [f"{model.__module__}.{model.__name__}" for model in set(reference.models(Pipeline))]
    assert sorted(made_from("docs/pipeline-file.md")) == sorted(known)


def test_settings_reasons_states_and_exit_codes_are_made_from_the_code() -> None:
    assert made_from("docs/operations.md") == ["planner.settings.Settings"]
    kinds = (Exit, GapReason, SkipReason, RunState, StepState, RestoreState)
    assert made_from("docs/json.md") == [f"{kind.__module__}.{kind.__name__}" for kind in kinds]


def test_the_example_of_the_pipeline_file_is_one() -> None:
    example, *more = [
        text for kind, text in FENCE.findall(read("docs/pipeline-file.md")) if kind == "toml"
    ]
    assert Pipeline.model_validate(tomllib.loads(example)).criteria
    for part in more:
        assert Pipeline.model_validate(tomllib.loads(f"{example}\n{part}"))


@pytest.mark.parametrize("name", ["README.md", "docs/operations.md", "docker-compose.yml"])
def test_only_settings_that_exist_are_named(name: str) -> None:
    known = {variable for field in Settings.model_fields for variable in variables(field)}
    assert set(re.findall(rf"{PREFIX}[A-Z_]+", read(name))) <= known


# -- JSON --------------------------------------------------------------------------------------


def blocks(heading: str) -> list[Any]:
    text = section(read("docs/json.md"), heading)
    return [json.loads(block) for kind, block in FENCE.findall(text) if kind == "json"]


def keys(model: type[BaseModel], *extra: str) -> set[str]:
    return {*model.model_fields, *extra}


def test_the_shape_of_a_plan() -> None:
    (shown,) = blocks("`planner plan --json` and `planner enqueue --json`")
    assert set(shown) == keys(Plan, "run_id", "steps_total")
    del shown["run_id"], shown["steps_total"]
    assert Plan.model_validate_json(json.dumps(shown)).chunks


def test_the_shape_of_a_report() -> None:
    (shown,) = blocks("`planner report --json`")
    assert set(shown) == keys(Report, "causes")
    assert Cause.model_validate(shown.pop("causes")[0]).phases
    assert Report.model_validate_json(json.dumps(shown)).steps


def test_the_shape_of_a_page() -> None:
    (shown,) = blocks("The page's JSON")
    found = moment_json(pictures_of(make_report(seasons=1)))
    assert set(shown) == set(found)
    assert {type(shown[key]) for key in ("steps", "details")} == {list}
    assert len(shown["steps"][0]) == len(found["steps"][0])
    assert shown["live"]["cells"][0][2] == CODES[Live.RUNNING]


def test_the_shape_of_a_status() -> None:
    (shown,) = blocks("`planner status --json` and `planner watch --json`")
    assert list(shown["steps"]) == list(StepState)
    told = rows(section(read("docs/json.md"), "`planner status --json` and `planner watch --json`"))
    assert set(told) == {*RunState, *StepState}


def test_the_shapes_of_a_validation_and_a_comparison() -> None:
    validation, comparison = blocks("`planner validate --json` and `planner compare --json`")
    assert Baseline.model_validate_json(json.dumps(validation)).scope
    assert Comparison.model_validate_json(json.dumps(comparison)).before


# -- promises ----------------------------------------------------------------------------------


def test_the_audit_fails_on_what_it_cannot_look_up() -> None:
    (line,) = re.findall(r"^\t@?\$\(BIN\)/pip-audit (.+?) \|\|", read("Makefile"), re.MULTILINE)
    assert {"--strict", "--require-hashes", "requirements.lock"} <= set(line.split())


def test_the_options_of_an_address() -> None:
    told = set(re.findall(r"`(ssl_\w+)`", section(read("docs/operations.md"), "Redis")))
    assert told == set(OPTIONS)


def test_the_limits_that_are_promised_are_those_of_the_code() -> None:
    promised = " ".join(read("SECURITY.md").split())
    limits = (FILE_BYTES, plan_files.FILE_BYTES, client.ANSWER_BYTES, credentials.SECRET_BYTES)
    assert limits == (1_000_000, 256_000_000, 1_000_000, 64_000)
    assert client.ANSWER_SECONDS == 60
    assert (
        "a file of 1 MB, a plan of 256 MB, an answer of 1 MB and a minute, a token of 64 kB"
        in promised
    )


def test_the_image_is_not_roots_and_takes_only_what_has_its_hash() -> None:
    dockerfile = read("Dockerfile")
    last = dockerfile.rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (\w+)$", last, re.MULTILINE) == ["fleet"]
    assert "--require-hashes" in dockerfile
    assert read(".dockerignore").splitlines()[1] == "*"
