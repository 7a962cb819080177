"""What tests of several distances share: a built sandbox, and a real fleet around it."""

from __future__ import annotations

import atexit
import fcntl
import gc
import json
import os
import re
import shutil
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from _pytest.nodeid import NodeId
from hypothesis import settings as hypothesis_settings

from planner.__main__ import GARBAGE
from planner.pipeline.load import SHIPPED, load_pipeline
from planner.pipeline.pipeline import Pipeline
from planner.sandbox.boxscores import generate_boxscores
from planner.sandbox.build import build
from planner.sandbox.compare import Difference, differences
from planner.sandbox.faults import VARIABLE as FAULTS
from planner.sandbox.workers import SandboxWorkers, environment_of, sandbox_workers
from planner.settings import Settings
from sql import open_warehouse
from tests.commands import COMMAND_SECONDS, Done, planner
from worker.context import Context
from worker.ledger.ledger import Ledger

# The same examples every time, so that a build never turns red by chance: some in `make test`, more
# in `make test-all`. To look for new ones: pytest tests/unit --hypothesis-profile search
hypothesis_settings.register_profile("steady", deadline=None, derandomize=True, max_examples=10)
hypothesis_settings.register_profile("many", deadline=None, derandomize=True, max_examples=200)
hypothesis_settings.register_profile("search", deadline=None, max_examples=2000)
hypothesis_settings.load_profile("steady")

BUILT_UNTIL = date(2021, 11, 28)
"""Six weeks of a season: bootstrap, and four weeks that all depend on each other."""

# As in the Makefile: what one process has compiled, the others read.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Before test modules are imported: to look through them over and over took a sixth of collecting.
gc.set_threshold(*GARBAGE)

# A shell lets what it starts in the background ignore Ctrl-C, and so all that is started from
# there: tests that press it would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests do not see the settings of whoever runs them."""
    for name in os.environ:
        if name.startswith("BACKFILL_"):
            monkeypatch.delenv(name)


def built_once(factory: pytest.TempPathFactory, name: str, fill: Callable[[Path], object]) -> Path:
    """A folder that the first process of a test run fills, and the others find."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, begun = root / name, root / f"{name}-begun"
    with open(root / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            shutil.rmtree(begun, ignore_errors=True)
            fill(begun)
            begun.rename(folder)
    return folder


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with every phase complete, built in one piece. Not to be written to."""
    season = load_pipeline("nba").seasons[0]
    return built_once(
        tmp_path_factory,
        "whole",
        lambda folder: build(folder, generate_boxscores([season], seed=7), until=BUILT_UNTIL),
    )


@dataclass(kw_only=True)
class Sandbox:
    """A copy of the whole warehouse to break and repair, and a fleet to do it with."""

    place: Path
    whole: Path
    stack: ExitStack
    overrides: dict[str, Any] = field(default_factory=dict)
    running: SandboxWorkers | None = None

    @property
    def settings(self) -> Settings:
        defaults: dict[str, Any] = {
            "warehouse": f"local:{self.place / 'warehouse'}",
            "pipeline": str(self.place / "nba.toml"),
            "home": self.place / "home",
            "lease_seconds": 2,
            "visibility_seconds": 8,
            "grace_seconds": 5,
            "poll_max_seconds": 0.5,
        }
        return Settings(_env_file=None, **{**defaults, **self.overrides})  # type: ignore[call-arg]

    @property
    def pipeline(self) -> Pipeline:
        return load_pipeline(self.settings.pipeline)

    @property
    def tables(self) -> list[str]:
        return [spec.name for phase in self.pipeline.phases for spec in phase.tables]

    def edit_pipeline(self, *changes: tuple[str, str]) -> None:
        """Change the text of the pipeline file that everybody uses."""
        path = self.place / "nba.toml"
        text = path.read_text()
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        path.write_text(text)

    def fault(self, faults: Mapping[str, Mapping[str, str]]) -> None:
        """What is to go wrong from now on."""
        (self.place / "faults.json").write_text(json.dumps(faults))

    def start_fleet(self, *, workers: int = 2) -> None:
        """Start Redis, workers and the coordinator; they end with the test."""
        os.environ[FAULTS] = str(self.place / "faults.json")
        self.stack.callback(os.environ.pop, FAULTS, None)
        self.running = self.stack.enter_context(sandbox_workers(self.settings, workers=workers))

    def planner(self, *arguments: str, seconds: float = COMMAND_SECONDS, **variables: str) -> Done:
        """Run a command as a user types it."""
        own = {**os.environ, **environment_of(self.settings)}
        environment = {**(self.running.environment if self.running else own), **variables}
        return planner(*arguments, environment=environment, cwd=self.place, seconds=seconds)

    def differences(self) -> list[Difference]:
        """Where the warehouse differs, row for row, from the one built in one piece."""
        return differences(
            open_warehouse(f"local:{self.whole}"),
            open_warehouse(self.settings.warehouse),
            self.tables,
        )

    @cached_property
    def ledger(self) -> Ledger:
        """What the fleet writes down; reading it costs no process, and no new connection."""
        return Context(self.settings, patient=False).ledger

    def steps(self, run_id: str) -> Counter[str]:
        """How many steps of a run are in which state."""
        return Counter(str(state) for state in self.ledger.steps(run_id).values())

    def scripts(self) -> list[psutil.Process]:
        """Its scripts that are at work now."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                is_ours = process.environ().get("BACKFILL_WAREHOUSE") == self.settings.warehouse
                if is_ours and "--start-date" in process.cmdline():
                    found.append(process)
        return found

    def run_sql(self, statement: str, **parameters: Any) -> None:
        warehouse = open_warehouse(self.settings.warehouse)
        warehouse.run(statement, parameters)
        warehouse.close()


def copy_sandbox(place: Path, whole: Path, stack: ExitStack, **overrides: Any) -> Sandbox:
    """A sandbox in a folder; `overrides` are settings."""
    shutil.copytree(whole, place / "warehouse", dirs_exist_ok=True)
    text = (SHIPPED / "nba.toml").read_text()
    # Failing for good takes 35 s with the shipped retries.
    text = re.sub(r"(after = .*)", r"\1\nretries = 1\nretry_seconds = 0.2", text)
    (place / "nba.toml").write_text(text)
    return Sandbox(place=place, whole=whole, stack=stack, overrides=overrides)


@pytest.fixture
def make_sandbox(whole: Path, tmp_path: Path) -> Iterator[Callable[..., Sandbox]]:
    """Makes sandboxes; `overrides` are settings."""
    with ExitStack() as stack:
        yield partial(copy_sandbox, tmp_path, whole, stack)


@pytest.fixture
def sandbox(make_sandbox: Callable[..., Sandbox]) -> Sandbox:
    """One sandbox with quick settings."""
    return make_sandbox()


@pytest.fixture(scope="session")
def started(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The sandbox of `fleet`."""
    with ExitStack() as stack:
        sandbox = copy_sandbox(tmp_path_factory.mktemp("fleet"), whole, stack)
        sandbox.start_fleet(workers=2)
        yield sandbox


@pytest.fixture
def fleet(started: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox on whose two workers many tests work, one after the other.

    Each test makes its own holes, and has them repaired in the end; it changes neither the
    pipeline file nor a process.
    """
    monkeypatch.setenv(FAULTS, str(started.place / "faults.json"))  # for the service, which is here
    started.fault({})
    assert [run.id for run in started.ledger.runs() if not run.is_ended] == []
    return started


TOGETHER = ("tiny", "fleet", "idle", "guarded", "browser", "built")
"""Fixtures that cost seconds, and are shared by files."""


@pytest.hookimpl(tryfirst=True)  # before `-m "not slow"` chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Groups for `--dist loadgroup`, which runs every other test wherever there is room."""
    rows: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        group = _group(item)
        if group and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(group))
        if item.get_closest_marker("quick"):
            rows[item.nodeid.partition("[")[0]].append(item)
    is_whole = not any("[" in argument for argument in config.args)
    for test, of_test in rows.items():
        _leave_rows(test, of_test, is_whole=is_whole)
    if config.getoption("loadgroup", default=False):  # in a process of pytest-xdist's
        for item in items:
            _name_group(item)


def _group(item: pytest.Item) -> str:
    """Tests that run in one process, where what they share is made once; empty for any."""
    for name in TOGETHER:
        if name in item.fixturenames:  # type: ignore[attr-defined]
            return name
    made = item._fixtureinfo.name2fixturedefs.values()  # type: ignore[attr-defined]
    of_module = any(fixture.scope == "module" for fixtures in made for fixture in fixtures[-1:])
    return item.nodeid.partition("::")[0] if of_module else ""


def _name_group(item: pytest.Item) -> None:
    """Put a test's group into its id, from which pytest-xdist reads it.

    Its release 3.8 does that itself, in a way that pytest 9.2 ignores without a word, and then all
    that a group shares is made in each process: github.com/pytest-dev/pytest-xdist/issues/1386.
    """
    marker = item.get_closest_marker("xdist_group")
    if marker:
        item._id = NodeId.parse(f"{item.nodeid}@{marker.args[0]}")
        assert item.nodeid.endswith(f"@{marker.args[0]}"), "tests are not grouped any more"


def _leave_rows(test: str, rows: list[pytest.Item], *, is_whole: bool) -> None:
    """Mark the rows of a test as slow that its `quick` does not name, by number or id."""
    marker = rows[0].get_closest_marker("quick")
    assert marker is not None
    ids: list[str] = [row.callspec.id for row in rows]  # type: ignore[attr-defined]
    unknown = {*marker.args} - {*ids} - {*range(len(ids))}
    if unknown and is_whole:
        raise pytest.UsageError(f"{test} has no row {unknown}")
    for number, (name, row) in enumerate(zip(ids, rows, strict=True)):
        if number not in marker.args and name not in marker.args:
            row.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """What is imported and collected is no garbage: to look through it took a tenth of the CPU
    time of a test run."""
    gc.freeze()
    # What is frozen would be told of as leaked by bindings that count theirs at the exit.
    atexit.register(gc.unfreeze)
