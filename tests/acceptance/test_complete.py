"""Complete means complete, as a user types it: a mart, two workers, and what was once called well.

The rows that need a runner of another kind, another warehouse or a rewrite of files are tested in
`tests/integration`: `test_complete`, `test_celery_states`, `test_http_forgets`,
`test_warehouse_mismatch` and `test_local_versions`.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from planner.gaps.gaps import FLAWS
from planner.sandbox.compare import Difference, differences
from planner.sandbox.workers import environment_of
from planner.settings import Settings
from sql import open_warehouse
from tests.commands import Done, planner
from tests.integration.mart import (
    DAILY,
    DAYS,
    NEGATIVE,
    REPLACE,
    SCOPE,
    STATEMENTS,
    TREND,
    Mart,
    build_mart,
)
from tests.integration.test_complete import FLAWED, KINDS, spoil
from worker.processes.embedded_redis import embedded_broker
from worker.processes.workers import run_workers

TABLES = ("m.sales", "m.daily", "m.trend")
IDLE = {"others_before": "sales", "others_after": "daily"}
"""Statements that stand for what others do before `daily` and after `trend` → what they leave."""
LAST = DAYS[-1]
"""A date on which no other rests: its repair is one step of each phase."""


@dataclass(frozen=True, kw_only=True)
class Floor:
    """A mart with workers."""

    mart: Mart
    whole: Path
    """The warehouse as it was built. Not to be written to."""

    def planner(self, *arguments: str, scope: bool = True, **variables: str) -> Done:
        span = ("--start", str(SCOPE.start), "--end", str(SCOPE.end)) if scope else ()
        environment = {**os.environ, **environment_of(self.mart.settings)}
        return planner(
            *arguments, *span, environment={**environment, **variables}, cwd=self.mart.place
        )

    def repair(self, *options: str) -> Done:
        return self.planner("enqueue", "--gaps", "--wait", "--yes", *options)

    def report(self) -> str:
        """The report of the last run."""
        run = max(self.mart.ledger.runs(), key=lambda run: run.created)
        return (self.mart.settings.home_dir / "reports" / run.id / "report.md").read_text()

    def differences(self) -> list[Difference]:
        """Where the warehouse differs, row for row, from the one built in one piece."""
        whole = open_warehouse(f"local:{self.whole}")
        return differences(whole, self.mart.warehouse, TABLES, by="day")

    def restore(self) -> None:
        """Everything as it was built: rows, statements, and nothing owed."""
        for name, statement in STATEMENTS.items():
            self.mart.says(name, statement)
        for name, table in IDLE.items():
            self.mart.says(name, f"DELETE FROM m.{table} WHERE FALSE")
        shutil.rmtree(self.mart.settings.home_dir / "owed", ignore_errors=True)
        self.mart.rebuild()
        assert self.differences() == []


pytestmark = pytest.mark.slow
"""Each flaw is also judged and repaired in `make test`, without a fleet: see
`integration/test_all_clear.py` and `integration/test_complete.py`."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    """Two workers on a mart, for all tests of this file."""
    place = tmp_path_factory.mktemp("floor")
    home = Settings(_env_file=None, home=place / "home")  # type: ignore[call-arg]
    with embedded_broker(home):
        build_mart(place / "whole")
        mart = Mart(place, home.redis_url, whole=place / "whole", daily=FLAWED, audit=NEGATIVE)
        file = place / "mart.toml"
        text = file.read_text()
        text = text.replace('statements = ["daily"]', 'statements = ["others_before", "daily"]')
        text = text.replace('statements = ["trend"]', 'statements = ["trend", "others_after"]')
        file.write_text(text)
        settings = mart.settings
        with run_workers(settings, workers=2, environment=environment_of(settings)):
            yield Floor(mart=mart, whole=place / "whole")


@pytest.fixture
def floor(built: Floor) -> Floor:
    built.restore()
    assert built.planner("gaps").code == 0
    return built


# -- what a run says -------------------------------------------------------------------------------


def test_players_that_no_plan_expected_are_missed(floor: Floor) -> None:
    # Given a plan that expects no players, since the phase where they begin is missing too
    floor.mart.lose("daily", LAST)
    floor.mart.lose("trend", LAST)
    less = "SELECT day, store, IF(player = 'p4', NULL, player) AS player, paid"
    floor.mart.says("trend", REPLACE.format(table="trend", select=f"{less} FROM ({TREND})"))

    done = floor.repair()

    # Then a step that wrote some of them has failed, and nothing is said to have been removed
    assert done.code == 4, done.err
    assert f"m.trend holds 3 of 4 on {LAST}, and lacks p4" in floor.report()
    assert "removed" not in floor.report()


def test_a_source_that_shrank_asks_for_less(floor: Floor) -> None:
    # Given a store that leaves the source when the plan is made, and the step has not written
    floor.mart.lose("daily", LAST)
    floor.mart.lose("trend", LAST)
    floor.mart.says(
        "others_before",
        "DELETE FROM m.sales WHERE day BETWEEN @start_date AND @end_date AND store = 's4'",
    )

    done = floor.repair()

    assert done.code == 0, done.err
    assert "upstream holds 3 stores now, and 4 when the plan was made" in floor.report()
    assert floor.planner("gaps").code == 0


def test_a_script_that_appends_has_failed(floor: Floor) -> None:
    floor.mart.lose("daily", LAST, "s4")
    floor.mart.says("daily", f"INSERT INTO m.daily {DAILY}")

    done = floor.repair()

    assert done.code == 4
    assert f"new duplicate on {LAST}: m.daily holds 7 rows for 4 keys" in floor.report()
    # And neither a retry, which finds nothing to do, nor another plan calls it well
    floor.mart.says("daily", "DELETE FROM m.daily WHERE FALSE")
    run = max(floor.mart.ledger.runs(), key=lambda run: run.created)
    retried = floor.planner("retry", run.id, scope=False)
    assert retried.code == 0, retried.err
    assert floor.planner("watch", run.id, scope=False).code == 4
    again = floor.repair()
    assert (again.code, "Nothing to do." in again.out) == (1, False)


def test_rows_that_a_step_loses_are_the_first_line(floor: Floor) -> None:
    floor.mart.lose("daily", LAST, "s1")
    floor.mart.says("trend", "DELETE FROM m.trend WHERE day BETWEEN @start_date AND @end_date")

    done = floor.repair()

    assert done.code == 4
    assert floor.report().splitlines()[2] == (
        f"**Lost: trend {LAST} held all rows when the plan was made. m.trend holds 0 of 4 stores.**"
    )


def test_what_was_computed_from_rows_that_are_gone_is_not_complete(floor: Floor) -> None:
    # Given rows upstream that go away when the step has read them
    floor.mart.lose("daily", LAST, "s1")
    floor.mart.says(
        "others_after",
        "DELETE FROM m.daily WHERE day BETWEEN @start_date AND @end_date AND store = 's2'",
    )

    done = floor.repair()

    assert done.code == 4
    report = floor.report()
    assert f"computed from rows that are gone: daily {LAST}: m.daily holds 3 of 4" in report
    assert "planner enqueue --gaps" in report
    assert "planner retry" not in report


def test_an_append_is_no_recomputation(floor: Floor) -> None:
    floor.mart.lose("daily", LAST, "s1")
    floor.mart.says(
        "trend",
        "INSERT INTO m.trend SELECT * FROM m.trend "
        "WHERE day BETWEEN @start_date AND @end_date AND store = 's1'",
    )

    done = floor.repair()

    assert done.code == 4
    assert f"not recomputed: m.trend on {LAST} is unchanged" in floor.report()


# -- what is found without a run -------------------------------------------------------------------


def with_criterion(floor: Floor, criterion: str) -> dict[str, str]:
    """The environment of a pipeline file that has a criterion too."""
    text = (floor.mart.place / "mart.toml").read_text()
    file = floor.mart.place / "judged.toml"
    file.write_text(text.replace("[[phases]]", f"criteria = [{criterion}]\n[[phases]]", 1))
    return {"BACKFILL_PIPELINE": str(file)}


def test_a_store_under_another_id_is_found(floor: Floor) -> None:
    for day in DAYS:
        spoil(floor.mart, "id", day, "s2")
    same = '{ name = "same", kind = "entities", phase = "daily", against = "sales" }'

    shown = floor.planner("gaps")
    judged = floor.planner("validate", "--json", **with_criterion(floor, same))

    assert shown.code == 1
    assert "m.daily holds 3 of 4 stores: lacks s2; m.daily holds 1 store too many: x" in shown.out
    (row,) = [row for row in judged.json["answers"]["criteria"] if row["criterion"] == "same"]
    assert (judged.code, row["status"]) == (1, "fails")
    assert (row["expected"], row["found"]) == (16, 12)


def test_a_column_without_values_is_found(floor: Floor) -> None:
    spoil(floor.mart, "empty", LAST, "s1")

    shown = floor.planner("gaps")

    assert shown.code == 1
    assert f"daily {LAST}: m.daily has a value of paid in 3 rows, and 4 at least" in shown.out


def test_a_row_too_many_between_is_not_expected_below(floor: Floor) -> None:
    floor.mart.sql(
        "INSERT INTO m.daily SELECT @day AS day, 'off' AS store, 'p1' AS player, 0 AS paid",
        day=LAST,
    )

    shown = floor.planner("gaps")

    assert shown.code == 1
    assert f"daily {LAST}: m.daily holds 1 store too many: off" in shown.out
    assert "trend 2024" not in shown.out


def test_a_criterion_silences_no_gap(floor: Floor) -> None:
    # Given a criterion of the file's own that holds, and a phase that it is not about
    own = '{ name = "own", kind = "entities", phase = "daily", against = "sales" }'
    floor.mart.lose("trend", LAST)

    judged = floor.planner("validate", "--json", **with_criterion(floor, own))

    states = {row["criterion"]: row["status"] for row in judged.json["answers"]["criteria"]}
    assert judged.code == 1
    assert states == {"own": "holds", "complete": "fails"}
    assert "Every success criterion" not in judged.err


def test_a_table_counts_the_scope_that_it_names(floor: Floor) -> None:
    floor.mart.lose("trend", DAYS[0])

    shown = floor.planner("gaps", "--start", str(DAYS[1]), "--end", str(LAST), scope=False)

    assert shown.code == 0
    assert "No gaps." in shown.out
    assert "✗" not in shown.out
    assert shown.out.count("3/3 ✓") == 3


def test_orphans_are_shown(floor: Floor) -> None:
    floor.mart.lose("sales", LAST)

    shown = floor.planner("gaps")
    sent = floor.repair()

    assert (shown.code, sent.code) == (1, 1)
    assert f"daily {LAST}: m.daily holds 4 rows, and nothing upstream does" in shown.out


# -- repair equals rebuild -------------------------------------------------------------------------

NAMES = {
    "id": "partial",
    "twice": "duplicate",
    "empty": "unfilled",
    "foreign": "surplus",
    "negative": "audit",
    "gone": "missing",
}


@pytest.mark.parametrize(
    ("first", "chunk_dates"),
    [
        (0, "1"),
        pytest.param(2, "4", marks=pytest.mark.slow),
        pytest.param(4, "2", marks=pytest.mark.slow),
    ],
)
def test_a_repair_of_flaws_equals_a_rebuild(floor: Floor, first: int, chunk_dates: str) -> None:
    # Given holes of four kinds; the three cases have each kind twice
    chance = random.Random(first)
    kinds = [*KINDS, *KINDS][first : first + len(DAYS)]
    days = chance.sample(DAYS, k=len(DAYS))
    for day, kind in zip(days, kinds, strict=True):
        spoil(floor.mart, kind, day, f"s{chance.randint(1, 4)}")
    assert [each.table for each in floor.differences()] == ["m.daily"]

    # When they are found by name, and repaired where that is asked for
    found = floor.planner("gaps", "--json").json["gaps"]
    named = {gap["date"]: gap["reason"] for gap in found if gap["phase"] == "daily"}
    assert named == {str(day): NAMES[kind] for day, kind in zip(days, kinds, strict=True)}
    done = floor.repair("--reasons", ",".join(FLAWS), "--chunk-dates", chunk_dates)

    # Then every table is as it was built, row for row, and nothing is left to say
    assert done.code == 0, done.err + floor.report()
    assert floor.differences() == []
    assert floor.planner("gaps").code == 0
    assert floor.planner("validate").code == 0
    again = floor.repair("--reasons", ",".join(FLAWS))
    assert (again.code, again.out.strip()) == (0, "Nothing to do.")
