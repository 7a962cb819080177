"""What a user may get wrong when dates are written anew, kept and put back: one line, one code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from tests.bigquery_server.rest import BigQueryServer
from tests.commands import Done
from tests.integration.mart import DAYS, RUN, Mart
from tests.integration.test_restore import redo, run

Say = Callable[..., Done]
FIRST, LAST = str(DAYS[0]), str(DAYS[-1])


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """A command, and what is said of it."""

    words: tuple[str, ...]
    says: str
    """What is wrong, and what to do."""
    code: int = 2


REDO = ("enqueue", "--redo", "--yes")
WRONG = {
    "no date": Wrong(
        words=(*REDO, "--dates", "2026-02-30"),
        says="'2026-02-30' is no date: write YYYY-MM-DD",
    ),
    "no start": Wrong(
        words=(*REDO, "--start", "2026-02-30"), says="'2026-02-30' is no date: write YYYY-MM-DD"
    ),
    "no end of a range": Wrong(
        words=(*REDO, "--dates", "2024-01-02..2024-02-30"),
        says="'2024-02-30' is no date: write YYYY-MM-DD",
    ),
    "no date that is left out": Wrong(
        words=(*REDO, "--start", FIRST, "--exclude", "2026-02-30"),
        says="'2026-02-30' is no date: write YYYY-MM-DD",
    ),
    "reversed dates": Wrong(
        words=(*REDO, "--dates", "2024-01-03..2024-01-02"),
        says="is reversed: write the first date first",
    ),
    "reversed span": Wrong(
        words=(*REDO, "--start", LAST, "--end", FIRST), says="Give the first one first"
    ),
    "outside of every season": Wrong(
        words=(*REDO, "--dates", "2023-12-30..2023-12-31"),
        says="covers none of these days, 2023-12-30..2023-12-31: name days of 2024 (2024-01-01 to",
    ),
    "a span outside of every season": Wrong(
        words=(*REDO, "--start", "2025-01-01", "--end", "2025-01-02"),
        says="covers none of these days, 2025-01-01..2025-01-02: name days of 2024 (2024-01-01 to",
    ),
    "in the future": Wrong(words=(*REDO, "--dates", "2100-01-01"), says="which is in the future"),
    "no season": Wrong(words=(*REDO, "--season", "2031"), says="2024"),
    "everything": Wrong(words=REDO, says="say which, by --dates, --start and --end or --season"),
    "two scopes": Wrong(words=(*REDO, "--dates", FIRST, "--season", "2024"), says="not both"),
    "a phase that is watched": Wrong(
        words=(*REDO, "--all", "--phases", "sales"), says="'sales' has no runner"
    ),
    "a limit that is none": Wrong(
        words=(*REDO, "--all", "--max-dollars", "-1"), says="--max-dollars"
    ),
    "no plan file": Wrong(words=("enqueue", "--plan", "none.json", "--yes"), says="none.json"),
    "no run": Wrong(words=("restore", "run-1", "--yes"), says="`planner runs` lists them"),
    "no run's id": Wrong(words=("restore", "../x", "--yes"), says="is no run's id"),
    "a restore of no date": Wrong(
        words=("restore", RUN, "--dates", "2024-02-30", "--yes"), says="write YYYY-MM-DD"
    ),
    "a restore of other dates": Wrong(
        words=("restore", RUN, "--dates", "2024-03-01", "--yes"),
        says="wrote nothing on 2024-03-01: it wrote 2024-01-01..2024-01-04",
    ),
    "a restore of another phase": Wrong(
        words=("restore", RUN, "--phase", "sales", "--yes"), says="it wrote daily, trend"
    ),
    "a restore that cannot ask": Wrong(words=("restore", RUN), says="add --yes"),
    "a comparison of another phase": Wrong(
        words=("diff", RUN, "--phase", "sales"), says="kept nothing there"
    ),
}


@pytest.fixture
def say(mart: Mart) -> Say:
    return partial(mart.command, COLUMNS="400")


@pytest.fixture
def written(mart: Mart) -> Mart:
    """With a run that wrote every date anew."""
    run(mart, redo(mart, "daily"))
    return mart


def test_what_is_wrong_is_said_in_a_line_and_nothing_is_done(written: Mart, say: Say) -> None:
    told = {name: say(*wrong.words) for name, wrong in WRONG.items()}

    wrong = {
        name: done
        for name, done in told.items()
        if (done.code, done.out) != (WRONG[name].code, "")
        or sum(WRONG[name].says in line for line in done.err.splitlines()) != 1
    }
    assert wrong == {}
    assert [each.id for each in written.ledger.runs()] == [RUN]
    assert written.ledger.restores() == []


@pytest.fixture
def served(mart: Mart, monkeypatch: pytest.MonkeyPatch) -> Iterator[BigQueryServer]:
    places = {"safe": "US", "far": "EU"}
    with BigQueryServer(mart.place / "warehouse", locations=places) as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        mart.move_to_bigquery()
        yield server
        mart.context.warehouse.close()


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        ("far", "Set BACKFILL_KEEP_DATASET to a dataset in US, or say --no-keep."),
        ("nowhere", "There is no dataset nowhere to keep rows in: create it"),
    ],
)
def test_a_keep_dataset_that_cannot_be_used_is_told_before_anything_is_sent(
    mart: Mart, served: BigQueryServer, say: Say, dataset: str, says: str
) -> None:
    mart.settings = mart.settings.model_copy(update={"keep_dataset": dataset})

    done = say(*REDO, "--all", "--phases", "daily")

    assert (done.code, says in done.err) == (3, True), done.err
    assert mart.ledger.runs() == []


@pytest.mark.parametrize(
    "words", [("gaps",), ("plan", "--redo"), REDO, ("enqueue", "--redo", "--dry-run")]
)
def test_dates_outside_of_every_season_beside_others_are_told_once(
    mart: Mart, say: Say, words: tuple[str, ...]
) -> None:
    done = say(*words, "--dates", f"2023-12-30..2023-12-31,{FIRST}")

    assert "Traceback" not in done.err
    assert done.err.count("does not cover 2023-12-30..2023-12-31 of --dates, skipped.") == 1
