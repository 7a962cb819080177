"""Dates that are complete, and written anew because somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from planner.gaps.gaps import GapReason
from tests.commands import Done
from tests.integration.mart import DAILY, DAYS, SCOPE, STATEMENTS, Mart
from worker.run.plan import Wanted, plan_gaps

Say = Callable[..., Done]
SPAN = ("--start", str(DAYS[1]), "--end", str(DAYS[2]))
WRONG = DAILY.replace("paid FROM", "2 * paid AS paid FROM")


def taken(plan: dict[str, object]) -> dict[tuple[str, str], str]:
    """Phase and date → reason, of a plan's JSON."""
    return {
        (step["phase"], task["date"]): task["reason"]
        for chunk in plan["chunks"]  # type: ignore[attr-defined]
        for step in chunk["steps"]
        for task in step["tasks"]
    }


def rows(mart: Mart) -> dict[str, list[dict[str, object]]]:
    return {
        table: sorted(
            mart.warehouse.rows(f"SELECT * FROM m.{table}", {}),
            key=lambda row: repr(sorted(row.items())),
        )
        for table in ("daily", "trend")
    }


def test_what_was_computed_wrongly_is_written_anew_with_what_rests_on_it(mart: Mart) -> None:
    # Given tables that a wrong statement filled, and a statement that is right now
    right = rows(mart)
    mart.sql(STATEMENTS["daily"].replace(DAILY, WRONG), start_date=DAYS[1], end_date=DAYS[1])
    mart.sql(STATEMENTS["trend"], start_date=DAYS[0], end_date=DAYS[-1])
    assert rows(mart) != right
    assert not any(mart.assess().gaps.values())

    # When that date is asked for
    wanted = Wanted(
        scope=SCOPE.model_copy(update={"start": DAYS[1], "end": DAYS[1]}),
        phases=["daily", "trend"],
        redo=["daily"],
        gaps=False,
    )
    plan = plan_gaps(mart.context, mart.assess(), wanted, ledger=mart.ledger)
    report = mart.run(plan)

    # Then it was, and every table is as if built in one piece
    assert report.state == "complete"
    assert rows(mart) == right
    assert taken(plan.as_json()) == {
        ("daily", str(DAYS[1])): GapReason.REDO,
        ("trend", str(DAYS[1])): GapReason.CASCADE,
        ("trend", str(DAYS[2])): GapReason.CASCADE,
    }


def test_a_redo_that_writes_nothing_has_failed(mart: Mart) -> None:
    mart.says("daily", "DELETE FROM m.daily WHERE FALSE")
    wanted = Wanted(scope=SCOPE, phases=["daily"], redo=["daily"], gaps=False)

    report = mart.run(plan_gaps(mart.context, mart.assess(), wanted, ledger=mart.ledger))

    assert report.state == "failed"
    assert mart.problem(DAYS[1], "daily").startswith("not recomputed: m.daily on 2024-01-02")
    # And nothing is owed: the rows are what they were
    assert not mart.plan().recompute.get("daily")


def test_a_retry_of_a_redo_has_to_write_its_dates_anew_too(mart: Mart, say: Say) -> None:
    right = rows(mart)
    mart.sql(STATEMENTS["daily"].replace(DAILY, WRONG), start_date=DAYS[1], end_date=DAYS[1])
    mart.says("daily", "DELETE FROM m.daily WHERE FALSE")
    wanted = Wanted(scope=SCOPE, phases=["daily", "trend"], redo=["daily"], gaps=False)
    plan = plan_gaps(mart.context, mart.assess(), wanted, ledger=mart.ledger)
    assert mart.run(plan).state == "failed"

    # When it is tried again by what still writes nothing, and then by what is mended
    assert say("retry", mart.run_id).code == 0
    assert mart.end().state == "failed"
    assert "not recomputed: m.daily" in mart.problem(DAYS[1], "daily")
    mart.says("daily", STATEMENTS["daily"])
    assert say("retry", mart.run_id).code == 0

    assert mart.end().state == "complete"
    assert rows(mart) == right


@pytest.mark.parametrize(
    ("chosen", "days"),
    [
        (("--dates", f"{DAYS[0]},{DAYS[2]}..{DAYS[3]}"), [DAYS[0], DAYS[2], DAYS[3]]),
        (("--start", str(DAYS[1]), "--end", str(DAYS[2])), DAYS[1:3]),
        (("--season", "2024"), DAYS),
        (("--season", "2024", "--exclude", f"{DAYS[1]}..{DAYS[3]}"), DAYS[:1]),
        (("--all",), DAYS),
    ],
)
@pytest.mark.quick(0, 3)
def test_dates_are_named_in_every_way(
    mart: Mart, say: Say, chosen: tuple[str, ...], days: list[date]
) -> None:
    plan = say("plan", "--redo", "--phases", "trend", *chosen, "--json").json

    assert taken(plan) == {("trend", str(day)): "redo" for day in days}


def test_without_gaps_only_what_is_asked_for_is_taken(mart: Mart, say: Say) -> None:
    mart.lose("trend", DAYS[0])
    mart.lose("daily", DAYS[2], "s1")

    asked = ("--redo", "--phases", "daily", *SPAN, "--json")
    alone, both = taken(say("plan", *asked).json), taken(say("plan", "--gaps", *asked).json)

    assert alone["daily", str(DAYS[1])] == "redo"
    assert alone["daily", str(DAYS[2])] == "partial"
    assert ("trend", str(DAYS[0])) not in alone
    assert both == alone  # the other gap lies outside of the dates


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("plan", "--redo"), "--redo writes complete dates anew: say which"),
        (("enqueue", "--redo"), "--redo writes complete dates anew: say which"),
        (("enqueue", "--redo", *SPAN), "5 phase-dates that hold all their rows are written anew."),
        (("enqueue", "--redo", *SPAN, "--json"), "No terminal is here to ask you: add --yes."),
        (("enqueue", "--redo", "--phases", "sales", *SPAN), "'sales' has no runner"),
    ],
)
def test_what_would_be_a_surprise_is_refused(
    mart: Mart, say: Say, arguments: tuple[str, ...], says: str
) -> None:
    done = say(*arguments)

    assert done.code == 2
    assert says in " ".join(done.err.split())
    assert mart.ledger.runs() == []


def test_a_date_that_holds_more_than_its_upstream_is_left(mart: Mart, say: Say) -> None:
    """To write it anew would lose rows."""
    mart.lose("sales", DAYS[1], "s4")

    plan = say("plan", "--redo", *SPAN, "--json").json

    assert ("daily", str(DAYS[1])) not in taken(plan)
    assert ("daily", str(DAYS[1]), "flawed") in {
        (left["phase"], left["date"], left["reason"]) for left in plan["skipped"]
    }


def test_a_plan_of_a_redo_is_taken_from_its_file(mart: Mart, say: Say) -> None:
    file = mart.place / "plan.json"
    assert say("plan", "--redo", "--all", "--out", str(file)).code == 0

    sent = say("enqueue", "--plan", str(file), "--yes")

    assert sent.out.count(" is on its way") == 1
