"""What the validation suite answers, where the owner's queries answered wrongly.

Each counter-example is one that passed as complete, or failed for ever, before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.validation.results import Results, results_of
from sql.warehouse import EVERY_SYSTEM, Cell, Grade
from tests.unit import examples as eg

DAY = timedelta(days=1)
START = date(2021, 10, 19)
SEASON = {
    "name": "2021-22",
    "year": 2021,
    "start": START,
    "end": date(2022, 6, 16),
    "windows": {
        "play_in": {"start": date(2022, 4, 12), "end": date(2022, 4, 15)},
        "playoffs": {"start": date(2022, 4, 16), "end": date(2022, 6, 16)},
    },
}
NEXT = {
    "name": "2022-23",
    "year": 2022,
    "start": date(2022, 10, 18),
    "end": date(2023, 6, 12),
    "windows": {"playoffs": {"start": date(2023, 4, 15), "end": date(2023, 6, 12)}},
}
RUNNER = {"kind": "script", "command": ["true"]}
GRADES = {"system": "system_id", "error": "absolute_error", "correct": "was_correct"}
BOTH = Window(start=date(2021, 10, 1), end=date(2023, 6, 12))
ONE = Window(start=date(2021, 10, 1), end=date(2022, 6, 30))


def pipeline(**more: Any) -> Pipeline:
    game = {"game": "game_id"}

    def phase(name: str, *after: str, tables: Iterable[Mapping[str, Any]], **extra: Any) -> Any:
        return {
            "name": name,
            "after": after,
            "runners": [RUNNER] if after else [],
            "tables": [{"date": "game_date", **table} for table in tables],
            **extra,
        }

    band = {"low": 20, "high": 35}
    content = {
        "name": "games",
        "bootstrap_days": 14,
        "complete": "criteria" not in more,
        "seasons": [SEASON, NEXT],
        "phases": [
            phase("raw", tables=[{"name": "d.raw", "entities": game, "rows_per_entity": band}]),
            phase("analytics", "raw", tables=[{"name": "d.analytics", "entities": game}]),
            phase(
                "precompute",
                "analytics",
                tables=[{"name": "d.zones"}, {"name": "d.features", "entities": game}],
                skips_bootstrap=True,
            ),
            phase(
                "grading",
                "precompute",
                tables=[{"name": "d.graded", "entities": game, "grades": GRADES}],
                skips_bootstrap=True,
            ),
        ],
        **more,
    }
    return Pipeline.model_validate(content)


def days(start: date, count: int) -> list[date]:
    return [start + n * DAY for n in range(count)]


def games(dates: Iterable[date], count: int = 3, rows: int = 25) -> dict[date, Cell]:
    return {day: Cell(rows=count * rows, entities={"game": count}) for day in dates}


def ask(made: Pipeline, scope: Window = ONE, **tables: Mapping[date, Cell]) -> Results:
    names = ("raw", "analytics", "zones", "features", "graded")
    coverage = {f"d.{name}": tables.get(name, {}) for name in names}
    return results_of(eg.counts(made, coverage, scope))


def everywhere(dates: Iterable[date]) -> dict[str, dict[date, Cell]]:
    dates = list(dates)
    late = [day for day in dates if day >= START + 14 * DAY]
    return {
        "raw": games(dates),
        "analytics": games(dates),
        "zones": {day: Cell(rows=30) for day in late},
        "features": games(late),
        "graded": games(late),
    }


def matrix(answers: Results, phase: str, season: str = "2021-22", part: str = "") -> Any:
    [row] = [
        row for row in answers.matrix if (row.season, row.part, row.phase) == (season, part, phase)
    ]
    return row


def criterion(answers: Results, season: str = "2021-22") -> Any:
    [row] = [row for row in answers.criteria if row.season == season]
    return row


ENTITIES = {"name": "x", "kind": "entities", "phase": "analytics", "against": "raw"}
DATES = {"name": "x", "kind": "dates", "phase": "precompute", "against": "analytics"}
ROWS = {"name": "x", "kind": "rows", "phase": "grading", "minimum": 1000}
PLAYOFFS = {"name": "x", "kind": "complete", "window": "playoffs"}


# -- set comparison, not numbers of dates -------------------------------------------------------


def test_disjoint_sets_of_equal_size_are_not_complete() -> None:
    """487 dates against 487, none in common, was "complete" (statements 10 and 35)."""
    even, odd = days(START + 20 * DAY, 80)[::2], days(START + 20 * DAY, 80)[1::2]
    found = ask(
        pipeline(criteria=[DATES]),
        raw=games([*even, *odd]),
        analytics=games(even),
        zones=games(odd),
        features=games(odd),
    )

    assert (criterion(found).status, criterion(found).expected, criterion(found).found) == (
        "fails",
        40,
        0,
    )
    assert criterion(found).dates == tuple(even[:10])
    assert criterion(found).offending == 40
    assert matrix(found, "precompute").missing == 40
    assert matrix(found, "precompute").orphan == 40


def test_one_of_three_games_on_every_date_is_all_missing_games() -> None:
    """344 games were missing and 0 dates (statement 6)."""
    dates = days(START, 172)
    made = pipeline(criteria=[{**ENTITIES, "tolerance": 0.02}])
    found = ask(made, raw=games(dates, 3), analytics=games(dates, 1))

    row = criterion(found)
    assert (row.status, row.expected, row.found, row.expected - row.found) == (
        "fails",
        516,
        172,
        344,
    )
    assert matrix(found, "analytics").partial == 172
    assert matrix(found, "analytics").missing == 0
    assert {(gap.expected, gap.found) for gap in found.gaps if gap.phase == "analytics"} == {(3, 1)}


def test_games_beyond_on_one_date_do_not_make_up_for_another() -> None:
    first, second = days(START, 2)
    found = ask(
        pipeline(criteria=[ENTITIES]),
        raw=games([first, second], 3),
        analytics={**games([first], 1), **games([second], 5)},
    )
    assert (criterion(found).found, criterion(found).status) == (4, "fails")


@pytest.mark.parametrize(("tolerance", "enough"), [(0.45, 55), (0.3, 70)])
def test_a_tolerance_is_exact(tolerance: float, enough: int) -> None:
    """100 × (1 - 0.45) is more than 55 in binary, and 0.3 is less than it says."""
    [day] = days(START, 1)
    made = pipeline(criteria=[{**ENTITIES, "tolerance": tolerance}])
    for held, status in ((enough, "holds"), (enough - 1, "fails")):
        found = ask(made, raw=games([day], 100), analytics=games([day], held))
        assert criterion(found).status == status


def test_dates_downstream_without_upstream_are_orphans() -> None:
    dates = days(START, 3)
    found = ask(pipeline(), raw=games(dates[:2]), analytics=games(dates[1:]))

    assert [
        (gap.date, gap.status, gap.found) for gap in found.gaps if gap.phase == "analytics"
    ] == [
        (dates[0], "missing", 0),
        (dates[2], "orphan", 75),
    ]
    assert matrix(found, "analytics").expected == 2
    assert matrix(found, "analytics").orphan == 1


def test_a_phase_is_all_its_tables() -> None:
    """ "All five tables" were three (statements 21 to 24)."""
    dates = days(START + 20 * DAY, 4)
    made = pipeline(criteria=[DATES])
    tables = everywhere(dates)
    tables["zones"].pop(dates[1])
    found = ask(made, **tables)

    assert (criterion(found).status, criterion(found).dates) == ("fails", (dates[1],))
    assert [gap.table_names for gap in found.gaps if gap.phase == "precompute"] == ["d.zones"]


# -- the calendar -------------------------------------------------------------------------------


def test_october_to_december_belong_to_the_season_that_they_begin() -> None:
    """EXTRACT(YEAR) - 1 put them one season early (statements 7 to 9, 15, 31)."""
    autumn, spring = days(date(2022, 10, 18), 75), days(date(2023, 1, 1), 97)
    found = ask(pipeline(), BOTH, raw=games([*autumn, *spring]))

    rows = {row.season: row for row in found.counts if row.phase == "raw" and not row.part}
    assert (rows["2021-22"].dates, rows["2022-23"].dates) == (0, 172)
    assert rows["2022-23"].first_date == date(2022, 10, 18)
    assert rows["2022-23"].last_date == date(2023, 4, 7)


def test_play_in_and_playoffs_are_told_apart() -> None:
    dates = days(date(2022, 4, 10), 10)  # two days before the play-in, four after its end
    found = ask(pipeline(), raw=games(dates, 2))
    held = {row.part: row.entities for row in found.counts if row.phase == "raw"}
    assert held == {"": 20, "play_in": 8, "playoffs": 8}


def test_the_first_days_of_a_season_are_legitimately_empty() -> None:
    dates = days(START, 20)
    made = pipeline(criteria=[DATES])
    found = ask(made, **everywhere(dates))

    assert (criterion(found).status, criterion(found).expected) == ("holds", 6)
    assert (matrix(found, "precompute").expected, matrix(found, "analytics").expected) == (6, 20)
    assert matrix(found, "precompute").overall == "complete"


def test_excluded_days_are_neither_expected_nor_found() -> None:
    dates = days(START + 20 * DAY, 6)
    out = {"start": dates[2], "end": dates[3], "reason": "All-Star break"}
    made = pipeline(criteria=[ENTITIES], exclude=[out])
    found = ask(made, raw=games(dates), analytics=games(set(dates) - set(dates[2:4])))
    assert (criterion(found).status, criterion(found).expected) == ("holds", 12)
    assert matrix(found, "analytics").expected == 4


def test_dates_outside_every_season_are_listed_without_one() -> None:
    found = ask(pipeline(), raw=games([date(2021, 10, 5)]))
    assert (found.gaps[0].season, found.gaps[0].phase) == (None, "analytics")
    assert matrix(found, "raw").expected == 0


# -- what is not there --------------------------------------------------------------------------


@pytest.mark.parametrize("declared", [ENTITIES, DATES, ROWS, PLAYOFFS])
def test_a_season_that_is_absent_fails(declared: dict[str, Any]) -> None:
    """It yielded no row, so nothing was FALSE (statement 36)."""
    dates = [*days(START + 20 * DAY, 20), *days(date(2022, 4, 16), 5)]
    found = ask(pipeline(criteria=[declared]), BOTH, **everywhere(dates))

    assert criterion(found, "2021-22").status == "holds"
    assert criterion(found, "2022-23").status == "no rows"
    assert not found.hold
    assert matrix(found, "raw", "2022-23").overall == "no rows"


def test_empty_tables_are_said_to_be_empty() -> None:
    """Dividing by COUNT(DISTINCT) failed on BigQuery and gave nan on DuckDB (statement 33)."""
    found = ask(pipeline(criteria=[ENTITIES]))

    assert {row.status for row in found.density} == {"no rows"}
    assert {row.per_entity for row in found.density} == {None}
    assert [(row.system, row.row_count, row.mean_error, row.status) for row in found.grades] == [
        ("*", 0, None, "no rows")
    ]
    assert {row.overall for row in found.matrix} == {"no rows"}
    assert {(row.dates, row.row_count, row.first_date) for row in found.counts} == {(0, 0, None)}
    assert criterion(found).status == "no rows"


def test_nothing_judged_is_nothing_shown() -> None:
    made = pipeline(criteria=[{**ENTITIES, "seasons": ["2022-23"]}])
    found = ask(made, **everywhere(days(START, 20)))
    assert found.criteria == ()
    assert not found.hold


def test_rows_of_a_season_are_judged_only_with_all_its_days() -> None:
    made = pipeline(criteria=[ROWS])
    dates = days(START + 20 * DAY, 20)
    week = Window(start=dates[0], end=dates[6])
    assert criterion(ask(made, week, **everywhere(dates))).status == "not judged"
    assert criterion(ask(made, ONE, **everywhere(dates))).status == "holds"


def test_a_window_outside_the_scope_is_not_judged() -> None:
    made = pipeline(criteria=[PLAYOFFS])
    autumn = Window(start=START, end=date(2021, 12, 31))
    assert criterion(ask(made, autumn, **everywhere(days(START, 20)))).status == "not judged"


# -- grades and density -------------------------------------------------------------------------


def grade(rows: int, error_sum: float, correct: int, judged: int | None = None) -> Grade:
    return Grade(
        rows=rows,
        entities={"game": 1},
        measured=rows,
        error_sum=error_sum,
        judged=rows if judged is None else judged,
        correct=correct,
    )


def test_grades_are_averages_over_rows_not_over_dates() -> None:
    first, second = days(START + 20 * DAY, 2)
    graded = {
        first: {"form": grade(10, 10.0, 10), EVERY_SYSTEM: grade(10, 10.0, 10)},
        second: {
            "form": grade(30, 90.0, 0, judged=20),
            EVERY_SYSTEM: grade(30, 90.0, 0, judged=20),
        },
    }
    cells = {
        day: Cell(rows=systems[EVERY_SYSTEM].rows, entities={"game": 1}, grades=systems)
        for day, systems in graded.items()
    }
    rows = {row.system: row for row in ask(pipeline(), graded=cells).grades}

    assert rows["form"].mean_error == 2.5
    assert rows["form"].accuracy == pytest.approx(1 / 3)
    assert (rows["*"].row_count, rows["*"].entities) == (40, 2)


@pytest.mark.parametrize(("rows", "status"), [(19, "low"), (20, "ok"), (35, "ok"), (36, "high")])
def test_rows_per_game_have_a_band(rows: int, status: str) -> None:
    found = ask(pipeline(), raw=games(days(START, 3), rows=rows))
    [row] = [row for row in found.density if row.phase == "raw"]
    assert (row.per_entity, row.status) == (rows, status)


# -- what a pipeline file may declare -----------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({**ENTITIES, "phase": "analitics"}, "there is no phase 'analitics'"),
        ({**ENTITIES, "seasons": ["2020-21"]}, "there is no season '2020-21'"),
        ({**ENTITIES, "entity": "player"}, "no table of 'analytics' counts 'player'"),
        ({**ENTITIES, "tolerance": 1.0}, "less than 1"),
        ({**ENTITIES, "tolerence": 0.1}, "did you mean 'tolerance'"),
        ({**ROWS, "minimum": 0}, "greater than 0"),
        ({**PLAYOFFS, "window": "finals"}, "no season has 'finals'"),
        (
            {**PLAYOFFS, "window": "play_in", "seasons": ["2022-23"]},
            "season 2022-23 has no window 'play_in'",
        ),
        ({"name": "x", "kind": "sum"}, "'entities', 'dates', 'rows'"),
    ],
)
def test_a_criterion_speaks_of_what_is_there(declared: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said.replace("(", r"\(")):
        pipeline(criteria=[declared])


def test_two_criteria_have_two_names() -> None:
    with pytest.raises(ValidationError, match="two criteria are named 'x'"):
        pipeline(criteria=[ENTITIES, DATES])


def test_without_criteria_every_date_has_to_be_complete() -> None:
    dates = days(START + 20 * DAY, 5)
    assert ask(pipeline(), **everywhere(dates)).hold
    tables = everywhere(dates)
    tables["graded"].pop(dates[0])
    found = ask(pipeline(), **tables)
    assert (criterion(found).criterion, criterion(found).status) == ("complete", "fails")
