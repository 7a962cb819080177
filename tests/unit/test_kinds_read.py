"""Two dates that differ in one thing that a judgement reads are no dates of one kind.

Each case is such a pair, all else alike: both are judged as each would be by itself, and not alike.
A thing that a kind forgets shows here as a date that stands as the other does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Any
from unittest.mock import patch

import pytest

from planner.evidence.evidence import Difference, Evidence
from planner.gaps.assess import assess
from planner.gaps.gaps import Assessment, Gap, Skipped
from planner.gaps.kinds import Kinds
from planner.pipeline.pipeline import Pipeline
from sql.warehouse import Cell
from tests.unit import examples as eg

RAW, CLEAN, REPORT = eg.phase("raw"), eg.phase("clean", "raw"), eg.phase("report", "clean")
WINDOW = eg.window(0, 20)  # three weeks, from a Monday on
USUAL = eg.cell(4)


def clean(**options: Any) -> dict[str, Any]:
    """The phase with other options of its table."""
    return eg.phase("clean", "raw", tables=[eg.table("clean", **options)])


def two_tables(**options: Any) -> dict[str, Any]:
    """The phase with a second table."""
    more = eg.table("more", entities={"item": "item_id"}, **options)
    return eg.phase("clean", "raw", tables=[eg.table("clean"), more])


def trend(every: str) -> dict[str, Any]:
    """A phase of weeks or months, whose table counts nothing: no ids of it are compared."""
    return eg.phase("trend", "clean", every=every, tables=[eg.table("trend", entities={})])


Cells = dict[tuple[str, int], Cell | None]
"""Table and day → what it holds in place of the usual."""


def held(cell: Cell | None, days: Iterable[int], *tables: str) -> Cells:
    """What some tables hold on some days, in place of the usual."""
    return {(table, n): cell for table in tables for n in days}


def only_rows(rows: int, **more: Any) -> Cell:
    """The usual, with another number of rows."""
    return replace(USUAL, rows=rows, **more)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A pipeline, what it shows, and two of its days that differ in one thing."""

    reads: str
    """The field of a cell or of the evidence; empty where it is of the file or the clock."""
    days: tuple[int, int] = (8, 9)
    phases: tuple[dict[str, Any], ...] = (RAW, CLEAN, REPORT)
    options: Mapping[str, Any] = field(default_factory=dict)
    cells: Cells = field(default_factory=dict)
    shows: Callable[[Pipeline, Evidence], Evidence] = lambda of, shown: shown
    today: int | None = None
    include_open: bool = False

    def judge(self) -> Assessment:
        of = eg.pipeline(*self.phases, **self.options)
        cover = eg.covered(of, WINDOW.days())
        for (table, n), cell in self.cells.items():
            cover[f"shop.{table}"].pop(eg.day(n), None)
            if cell is not None:
                cover[f"shop.{table}"][eg.day(n)] = cell
        closing = None
        if self.today is not None:
            closing = replace(eg.closing(of, eg.day(self.today)), include_open=self.include_open)
        return assess(of, self.shows(of, eg.shown(of, cover, WINDOW)), WINDOW, closing=closing)


def with_ids(of: Pipeline, shown: Evidence) -> Evidence:
    """The same numbers of ids apart on both days, and not the same ids."""
    place = ("clean", "shop.clean")
    other = {(eg.day(9), "order"): Difference(lacking=1, lacks=("another",))}
    return replace(
        shown, differences={**shown.differences, place: {**shown.differences[place], **other}}
    )


def listing(n: int) -> Callable[[Pipeline, Evidence], Evidence]:
    """A table lists one day, and no more."""

    def shows(of: Pipeline, shown: Evidence) -> Evidence:
        expects = of.phases[0].expects
        assert expects is not None
        days = {eg.day(n): Cell(rows=1)}
        return replace(shown, listed={each.key: days for each in expects.listings})

    return shows


def unlisted(of: Pipeline, shown: Evidence) -> Evidence:
    """A schedule names an id on the second day that the source lacks."""
    apart = {(eg.day(9), "order"): Difference(lacking=1, lacks=("s1",))}
    return replace(shown, listed={}, unlisted={("raw", "shop.raw"): apart})


PLAN = {"table": "shop.plan", "date": "day"}
TWO_SEASONS = [
    eg.season("one", eg.day(0), eg.day(7)),
    eg.season("two", eg.day(9), eg.day(20)),
]
TWO_TABLES = two_tables()
UNCOUNTED = clean(entities={})
BOTH = (8, 9)
BELOW = ("clean", "report")
ALL = ("raw", *BELOW)

CELLS = {
    "a table without rows": Case(reads="coverage", cells={("clean", 9): None}),
    "a cell without rows": Case(
        reads="rows",
        cells={("clean", 8): Cell(rows=0, entities={"order": 0, "item": 0}), ("clean", 9): None},
    ),
    "a cell without rows, of a table that counts nothing": Case(
        reads="rows",
        phases=(RAW, UNCOUNTED),
        cells={("clean", 8): Cell(rows=4), ("clean", 9): Cell(rows=0)},
    ),
    "one of two tables without rows": Case(
        reads="coverage", phases=(RAW, TWO_TABLES, REPORT), cells={("more", 9): None}
    ),
    "a source in shards": Case(
        reads="coverage",
        phases=(
            eg.phase("raw", tables=[eg.table("events_*", date="_TABLE_SUFFIX")]),
            CLEAN,
            REPORT,
        ),
        cells={("events_*", 9): None},
    ),
    "numbers of an entity, alike in all tables": Case(
        reads="entities", cells=held(eg.cell(3), [9], *ALL)
    ),
    "numbers of an entity, compared by count": Case(
        reads="entities",
        options={"compare": {"order": "count", "item": "count"}},
        cells={("clean", 8): eg.cell(2), ("clean", 9): eg.cell(3)},
    ),
    "duplicates": Case(
        reads="duplicates",
        phases=(RAW, clean(key=["order_id"]), REPORT),
        cells={("clean", 9): replace(USUAL, duplicates=1)},
    ),
    "numbers of duplicates": Case(
        reads="duplicates",
        phases=(RAW, clean(key=["order_id"]), REPORT),
        cells={("clean", n): replace(USUAL, duplicates=n) for n in BOTH},
    ),
    "rows beside duplicates": Case(
        reads="rows",
        phases=(RAW, clean(key=["order_id"]), REPORT),
        cells={("clean", n): only_rows(n, duplicates=1) for n in BOTH},
    ),
    "values of a column": Case(
        reads="filled",
        phases=(RAW, clean(filled={"price": 0.9}), REPORT),
        cells={("clean", n): only_rows(9, filled={"price": n}) for n in BOTH},
    ),
    "rows beside values": Case(
        reads="rows",
        phases=(RAW, clean(filled={"price": 0.9}), REPORT),
        cells={("clean", n): only_rows(n, filled={"price": 8}) for n in BOTH},
    ),
    "rows of which none tells of values": Case(
        reads="rows",
        phases=(RAW, clean(filled={"price": 0.9}), REPORT),
        cells={("clean", n): only_rows(n) for n in BOTH},
    ),
    "rows where the source holds none": Case(
        reads="rows",
        cells=held(None, BOTH, "raw", "report") | {("clean", n): only_rows(n) for n in BOTH},
    ),
    "rows where one of two sources holds none": Case(
        reads="rows",
        phases=(RAW, eg.phase("prices"), CLEAN, eg.phase("offer", "prices")),
        cells=held(None, BOTH, "prices") | {("offer", n): only_rows(n) for n in BOTH},
    ),
}

EVIDENCE = {
    "ids that are apart": Case(
        reads="differences", cells=held(eg.cell(3, 4), BOTH, "clean"), shows=with_ids
    ),
    "an audit": Case(
        reads="audited",
        phases=(RAW, clean(audits=["odd.sql"]), REPORT),
        shows=lambda of, shown: replace(
            shown, audited={"shop.clean": {"odd.sql": frozenset([eg.day(9)])}}
        ),
    ),
    "an accepted loss, where no ids are compared": Case(
        reads="accepts",
        phases=(RAW, UNCOUNTED),
        options={"accept": [{"phase": "clean", "dates": [str(eg.day(9))], "reason": "lost"}]},
        cells=held(None, BOTH, "clean"),
    ),
    "an accepted loss above, compared by count": Case(
        reads="accepts",
        options={
            "compare": {"order": "count", "item": "count"},
            "accept": [{"phase": "clean", "dates": [str(eg.day(9))], "reason": "lost"}],
        },
        cells=held(eg.cell(3), BOTH, *BELOW),
    ),
    "a day that a table excludes": Case(
        reads="excluded",
        options={"exclude": [{"from": PLAN, "reason": "halt"}]},
        shows=lambda of, shown: replace(shown, excluded={0: frozenset([eg.day(9)])}),
    ),
    "a day before the source's first rows": Case(
        reads="coverage",
        days=(3, 10),
        cells=held(None, range(5), "raw") | held(None, [3], *BELOW) | held(None, [10], *ALL),
    ),
    "a day of a season, of a source that never held rows": Case(
        reads="bare",
        options={"seasons": TWO_SEASONS},
        cells=held(None, range(21), *ALL),
        shows=lambda of, shown: replace(shown, bare=frozenset(["raw"])),
    ),
    "a day that a table lists": Case(
        reads="listed",
        phases=(eg.phase("raw", expects={"days": PLAN}), CLEAN, REPORT),
        cells=held(None, BOTH, *ALL),
        shows=listing(9),
    ),
    "an id that a table lists": Case(
        reads="unlisted",
        phases=(
            eg.phase("raw", expects={"against": PLAN | {"entities": {"order": "order_id"}}}),
            CLEAN,
            REPORT,
        ),
        shows=unlisted,
    ),
}

FILE = {
    "an exclusion": Case(
        reads="",
        options={"exclude": [{"start": eg.day(9), "end": eg.day(9), "reason": "closed"}]},
    ),
    "an exclusion of one table": Case(
        reads="",
        phases=(RAW, TWO_TABLES, REPORT),
        options={
            "exclude": [
                {"start": eg.day(9), "end": eg.day(9), "tables": ["shop.more"], "reason": "closed"}
            ]
        },
        cells=held(None, BOTH, "more"),
    ),
    "the first days of a season": Case(
        reads="",
        phases=(RAW, eg.phase("clean", "raw", skips_bootstrap=True), REPORT),
        options={"seasons": TWO_SEASONS, "bootstrap_days": 2},
        days=(10, 11),
        cells=held(None, (10, 11), *BELOW),
    ),
    "the first days of a season, of one table": Case(
        reads="",
        phases=(
            RAW,
            eg.phase(
                "clean", "raw", tables=[eg.table("clean"), eg.table("more", bootstrap_days=2)]
            ),
            REPORT,
        ),
        options={"seasons": TWO_SEASONS},
        days=(10, 11),
        cells=held(None, (10, 11), "more"),
    ),
    "a date of a week": Case(
        reads="",
        phases=(RAW, CLEAN, trend("week")),
        days=(7, 8),
        cells=held(None, range(21), "trend"),
    ),
    "the other days of a week": Case(
        reads="",
        phases=(RAW, CLEAN, trend("week")),
        days=(7, 14),
        cells=held(None, range(21), "trend") | held(None, range(7, 15), "raw", "clean"),
    ),
    "a date of a month": Case(
        reads="",
        phases=(RAW, CLEAN, trend("month")),
        days=(0, 8),
        cells=held(None, range(21), "trend"),
    ),
    "a weekday on which rows are expected": Case(
        reads="",
        phases=(eg.phase("raw", expects={"days": ["wed"]}), CLEAN, REPORT),
        cells=held(None, BOTH, *ALL),
    ),
    "a weekday on which a table expects rows": Case(
        reads="",
        phases=(
            eg.phase("raw", tables=[eg.table("raw", expects={"days": ["wed"]})]),
            CLEAN,
            REPORT,
        ),
        cells=held(None, BOTH, *ALL),
    ),
}

CLOCK = {
    "a day that is open": Case(reads="", days=(14, 15), today=15),
    "a day that is open in another time zone": Case(
        reads="",
        phases=(RAW, CLEAN, eg.phase("report", "clean", timezone="America/Los_Angeles")),
        days=(13, 14),
        today=15,
    ),
    "a day that one phase waits for": Case(
        reads="",
        phases=(RAW, CLEAN, eg.phase("report", "clean", closes_after="1h")),
        days=(13, 14),
        today=15,
    ),
    "a day that reads one which is open": Case(
        reads="",
        phases=(RAW, CLEAN, eg.phase("report", "clean", reads={"from": 0, "to": 2})),
        days=(12, 13),
        today=15,
    ),
    "an open day that is judged, and one that has not begun": Case(
        reads="", days=(15, 16), today=15, include_open=True
    ),
    "a newest day that is late": Case(
        reads="",
        phases=(eg.phase("raw", expects={"late_after": "12h"}), CLEAN, REPORT),
        days=(9, 16),
        today=18,
        cells=held(None, [9, *range(16, 21)], *ALL),
    ),
}

CASES = CELLS | EVIDENCE | FILE | CLOCK


def stands(found: Assessment, on: date) -> dict[str, Any]:
    """Everything that is said of a date but the date."""

    def undated(each: Gap | Skipped | None) -> Gap | Skipped | None:
        return each and replace(each, date=eg.FIRST)

    return {
        phase: (
            undated(found.gaps[phase].get(on)),
            undated(found.empty[phase].get(on)),
            undated(found.orphans.get(phase, {}).get(on)),
            found.accepted.get(phase, {}).get(on),
            found.expected[phase].get(on),
            found.held.get(phase, {}).get(on),
            [on in dates.get(phase, ()) for dates in (found.complete, found.holding, found.gone)],
        )
        for phase in found.gaps
    }


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_dates_that_differ_in_what_is_read_are_judged_apart(case: Case) -> None:
    found = case.judge()

    with patch.object(Kinds, "of", lambda kinds, day: None):
        assert found == case.judge(), "as each date by itself"
    one, other = (stands(found, eg.day(n)) for n in case.days)
    assert one != other, "the case differs in nothing that is read"


def test_everything_that_a_cell_and_the_evidence_hold_has_a_case() -> None:
    """What is told of dates from now on has to be in their kind, or to take it from them."""
    of_no_date = {"held_before", "ids_named"}  # one value for all dates
    unread = {"written", "grades"}  # of staleness and validation, which judge each date
    shown_apart = {"fingerprints"}  # below
    told = {each.name for kind in (Cell, Evidence) for each in fields(kind)}

    assert {case.reads for case in CASES.values()} - {""} == (
        told - of_no_date - unread - shown_apart
    )


def test_ids_that_differ_unnamed_are_no_all_clear() -> None:
    """Fingerprints that differ without a name of what is apart raise, on a day like others too."""
    of = eg.pipeline()
    shown = eg.shown(of, eg.covered(of, WINDOW.days()), WINDOW)
    odd = replace(shown.cell("shop.clean", eg.day(9)), fingerprints={"order": 99, "item": 4})
    cells = {**shown.coverage["shop.clean"], eg.day(9): odd}
    evidence = replace(shown, coverage={**shown.coverage, "shop.clean": cells})

    with pytest.raises(KeyError):
        assess(of, evidence, WINDOW)
