"""`planner explain`: one date, what it rests on, what rests on it, and what was tried."""

from __future__ import annotations

import pytest

from planner.pipeline.load import SHIPPED
from planner.sandbox.workers import environment_of
from tests.commands import Done, planner
from tests.integration.shop import RUN, Shop, day, drain, lose_what_is_written
from worker.step.errors import Requeue


def explain(shop: Shop, phase: str, at: object, *options: str) -> Done:
    settings = shop.context.settings
    environment = environment_of(settings)
    return planner("explain", phase, str(at), *options, environment=environment, cwd=settings.home)


def test_a_gap_is_explained_with_what_it_rests_on(shop: Shop) -> None:
    shop.lose_sessions(day(4))
    shop.context.settings.home.mkdir(exist_ok=True)

    found = explain(shop, "sessionise", day(4), "--json")

    assert found.code == 1
    assert (found.json["state"], found.json["cascades"]) == ("missing", False)
    assert found.json["expected"]["store"] > 1
    assert {"phase": "load", "date": "2025-03-04", "state": "complete"} in found.json["rests_on"]
    below = {(each["phase"], each["state"]) for each in found.json["rest_on_it"]}
    assert ("aggregate", "complete") in below
    assert (found.json["held_by"], found.json["runs"]) == (None, [])

    # And for people, with what to do
    told = explain(shop, "sessionise", day(4))
    assert "sessionise 2025-03-04 is missing: shop_analytics.sessions holds 0 of" in told.out
    assert "load: complete 2025-03-04" in told.out
    assert "planner enqueue --gaps --start 2025-03-04 --end 2025-03-04" in told.err


def test_a_complete_date_that_rests_on_a_gap_says_so(shop: Shop) -> None:
    shop.lose_sessions(day(4))
    shop.context.settings.home.mkdir(exist_ok=True)

    found = explain(shop, "aggregate", day(5))

    assert found.code == 0
    assert "is complete by count, and rests on gaps: their repair recomputes it" in found.out
    assert "missing 2025-03-04" in found.out


def test_a_phase_of_another_file_of_the_folder_is_explained_by_that(shop: Shop) -> None:
    shop.lose_sessions(day(4))
    home, folder = shop.context.settings.home, shop.context.settings.home / "files"
    folder.mkdir(parents=True)
    (folder / "sales.toml").write_text((SHIPPED / "sales.toml").read_text())
    settings = shop.context.settings.model_copy(update={"pipeline": "nba"})
    here = environment_of(settings)
    asked = ("explain", "sessionise", str(day(4)))

    alone = planner(*asked, environment=here, cwd=home)
    assert "no phase 'sessionise' in nba" in alone.err

    found = planner(*asked, environment={**here, "BACKFILL_PIPELINES": str(folder)}, cwd=home)
    assert "sessionise 2025-03-04 is missing" in found.out


def test_what_was_tried_is_told_with_its_log(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a step that is at its second attempt, since its rows vanish
    shop.lose_sessions(day(4))
    shop.register(shop.plan())
    lose_what_is_written(monkeypatch, day(4))
    with pytest.raises(Requeue):
        shop.visit(f"{day(4)}/sessionise")

    found = explain(shop, "sessionise", day(4), "--json").json
    assert found["held_by"] == RUN
    (run,) = found["runs"]
    assert (run["run_id"], run["state"], run["attempts"]) == (RUN, "pending", 1)
    assert run["worker"] == "me"

    # When it has failed for good, then the reason is told
    drain(shop, [*shop.states()])
    found = explain(shop, "sessionise", day(4))
    assert f"{RUN} (running): failed, " in found.out
    assert "holds 0 of" in found.out
    assert f"log: {shop.context.settings.home}/logs/{RUN}/" in found.out


def test_a_word_that_is_none_is_named(shop: Shop) -> None:
    shop.context.settings.home.mkdir(exist_ok=True)

    phase, days = explain(shop, "sesionise", day(4)), explain(shop, "load", "2025-02-30")

    assert (phase.code, days.code) == (2, 2)
    assert "did you mean 'sessionise'?" in phase.err
    assert "2025-02-30" in days.err
