"""What the owner's jobs and service were seen to do, and what in the shipped files rests on it.

A row has the fact, and a check of what stands in a file or a default because of it. What takes a
run to show is in the tests that the row names, which have to be there.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from planner.pipeline.load import SHIPPED, load_pipeline
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.runners import HttpBatchRunner, ScriptRunner
from planner.pipeline.tables import TableSpec
from tests.live.tables import BY_SCRIPT, PREDICTIONS, REGENERATED, TABLES
from worker.runners.answers import Batch, status_of

TESTS = Path(__file__).parents[1]
REPOSITORY = TESTS.parent
NBA, LIVE, FIVE = (load_pipeline(name) for name in ("nba", "nba-live", "nba-live-phases"))
BOTH = (LIVE, FIVE)
ALL = (NBA, *BOTH)
ANALYTICS = {"team-offense", "team-defense", "player-summary", "upcoming-player", "upcoming-team"}
PRECOMPUTE = [
    "nba_precompute.team_defense_zone_analysis",
    "nba_precompute.player_shot_zone_analysis",
    "nba_precompute.player_composite_factors",
    "nba_precompute.player_daily_cache",
    "nba_predictions.ml_feature_store_v2",
]
STORE, GRADED = PRECOMPUTE[-1], "nba_predictions.prediction_accuracy"
ROSTERS = "nba_analytics.upcoming_player_game_context"
STAND_INS = "acceptance/test_live.py::test_the_stand_ins_behave_as_the_scripts_were_seen_to"
TWELVE = (
    "acceptance/test_live.py::test_twelve_dates_from_analytics_to_grading_and_what_rests_on_them"
)
COUNTS = "integration/test_live_counts.py"
FAULTS = "integration/test_owner_faults.py"
HTTP = "integration/test_http_runner.py"
SCRIPT = "integration/test_script_runner.py"


def scripts(pipeline: Pipeline) -> list[ScriptRunner]:
    return [r for p in pipeline.phases for r in p.runners if isinstance(r, ScriptRunner)]


def service(pipeline: Pipeline) -> HttpBatchRunner:
    found = pipeline.by_name["predictions"].runners[0]
    assert isinstance(found, HttpBatchRunner)
    return found


def phase_of(pipeline: Pipeline, table: str) -> Phase:
    (found,) = (p for p in pipeline.phases for spec in p.tables if spec.name == table)
    return found


def spec_of(pipeline: Pipeline, table: str) -> TableSpec:
    (found,) = (spec for spec in pipeline.tables if spec.name == table)
    return found


def orchestrated(pipeline: Pipeline) -> ScriptRunner:
    (found,) = pipeline.by_name["precompute"].runners
    assert isinstance(found, ScriptRunner)
    return found


def answer(code: int, body: dict[str, Any]) -> Batch:
    request = httpx.Request("GET", "http://service/status")
    return status_of(httpx.Response(code, json=body, request=request)).batch


def sources(*folders: str) -> str:
    files = [path for folder in folders for path in (REPOSITORY / folder).rglob("*.py")]
    return "\n".join(path.read_text() for path in files)


# -- jobs ---------------------------------------------------------------------------------------


def ranges_without_resume() -> None:
    for runner in [each for pipeline in BOTH for each in scripts(pipeline)]:
        assert runner.command[-5:] == (
            "--start-date",
            "{start}",
            "--end-date",
            "{end}",
            "--no-resume",
        )


def root_on_the_path() -> None:
    for runner in [each for pipeline in ALL for each in scripts(pipeline)]:
        assert runner.env["PYTHONPATH"] == "."
        assert runner.cwd == "${PIPELINE_ROOT}"


def no_exit_code_is_believed() -> None:
    assert not any(runner.outcomes for pipeline in ALL for runner in scripts(pipeline))


def nothing_is_rehearsed_or_listed() -> None:
    for runner in [each for pipeline in ALL for each in scripts(pipeline)]:
        assert {"--dry-run", "--parallel", "--dates", "--force"}.isdisjoint(runner.command)
        assert not any("{dates}" in argument for argument in runner.command)


def offense_before_players() -> None:
    for pipeline in BOTH:
        assert {"team-offense", "team-defense"} <= set(pipeline.by_name["player-summary"].after)


def processors_in_order() -> None:
    resume = orchestrated(LIVE).resume
    assert resume is not None
    assert resume.argument == "--start-from"
    assert [table for tables in resume.tables for table in tables] == PRECOMPUTE
    ranks = [list(FIVE.by_name).index(phase_of(FIVE, table).name) for table in PRECOMPUTE]
    assert ranks == sorted(ranks)


def six_hours() -> None:
    assert LIVE.by_name["precompute"].timeout_seconds == 6 * 3600
    assert {phase_of(FIVE, table).timeout_seconds for table in PRECOMPUTE} == {6 * 3600}


def all_analytics_before_precompute() -> None:
    assert set(LIVE.by_name["precompute"].after) == ANALYTICS
    assert set(FIVE.ancestors["composite"]) >= ANALYTICS


def predictions_before_grading() -> None:
    for pipeline in ALL:
        assert pipeline.by_name["grading"].after == ("predictions",)


def publishing_is_off() -> None:
    for pipeline in BOTH:
        text = (SHIPPED / f"{pipeline.name}.toml").read_text()
        block = text.partition("# [publish]\n")[2].partition("\n\n")[0]
        assert pipeline.publish is None
        assert '"--date", "{start}", "--only", "NAME,NAME"' in block
        assert "--start-date" not in block


def locks_of_ten_minutes() -> None:
    for phase in [each for pipeline in BOTH for each in pipeline.phases if each.after]:
        first, second = phase.retry_seconds, min(2 * phase.retry_seconds, 600)
        assert phase.retries >= 2
        assert 0.75 * (first + second) >= 600, phase.name


def one_writer_where_unpartitioned() -> None:
    for pipeline in BOTH:
        single = {spec.name for spec in pipeline.tables if spec.writers is not None}
        assert single == {STORE, PREDICTIONS}
        assert {spec_of(pipeline, name).writers for name in single} == {1}
    free = [phase_of(FIVE, table).concurrency for table in PRECOMPUTE[:4]]
    assert free == [15] * 4


def fewer_loads_than_a_day_allows() -> None:
    for name in (STORE, PREDICTIONS):
        limit = spec_of(LIVE, name).daily_writes
        assert limit is not None
        assert limit < 1500


# -- the coordinator ----------------------------------------------------------------------------


def one_date_and_the_mode() -> None:
    body = {"game_date": "{start}", "prediction_run_mode": "BACKFILL", "force": False}
    assert service(NBA).start_path == "/start"
    assert service(NBA).body == body
    assert service(NBA).takes_one_date
    text = (SHIPPED / "nba.toml").read_text()
    assert '# body = { start_date = "{start}", end_date = "{end}", force = false }' in text


def made_anew_with_supersede() -> None:
    for pipeline in BOTH:
        assert service(pipeline).start_path == "/regenerate-with-supersede"
        assert service(pipeline).takes_one_date
        assert set(service(pipeline).body) == {"game_date", "reason"}
        assert spec_of(pipeline, PREDICTIONS).where["is_active"].in_ == (True,)
    assert "FALSE AS is_active" in REGENERATED


def a_slow_start() -> None:
    assert all(service(pipeline).start_timeout_seconds >= 540 for pipeline in ALL)


def rows_after_complete() -> None:
    assert all(service(pipeline).settle_seconds >= 300 for pipeline in ALL)


def a_batch_that_is_not_known() -> None:
    known = {"status": "complete", "batch_id": "b", "progress": {"is_complete": True}}
    other = {"status": "in_progress", "batch_id": "b", "completed_players": 3}
    assert answer(200, known) is Batch.COMPLETE
    assert answer(200, other) is Batch.RUNNING
    assert answer(404, {"error": "not_found"}) is Batch.GONE
    assert answer(200, {"status": "no_active_batch"}) is Batch.GONE


def nothing_is_reset() -> None:
    text = sources("worker", "planner/pipeline")
    assert '"/reset"' not in text
    assert "check-stalled" not in text
    assert not any("reset" in service(pipeline).start_path for pipeline in ALL)


def graded_by_the_service_last() -> None:
    kinds = [runner.kind for runner in NBA.by_name["grading"].runners]
    assert kinds == ["script", "http_batch", "script"]
    for pipeline in BOTH:
        assert [runner.kind for runner in pipeline.by_name["grading"].runners] == ["script"]


# -- as they were driven ------------------------------------------------------------------------


def measured_by_who_played() -> None:
    for pipeline in BOTH:
        for name in (ROSTERS, *PRECOMPUTE[1:]):
            assert spec_of(pipeline, name).against == ("player-summary",), name
            assert spec_of(pipeline, name).allow_surplus, name
        assert spec_of(pipeline, PRECOMPUTE[3]).min_coverage == 0.5


def nine_tenths() -> None:
    for pipeline in BOTH:
        assert spec_of(pipeline, ROSTERS).min_coverage == {"player": 0.9}
        assert spec_of(pipeline, STORE).min_coverage == 0.9


def empty_by_design() -> None:
    for pipeline in BOTH:
        late = [*(phase_of(pipeline, name) for name in PRECOMPUTE), pipeline.by_name["grading"]]
        assert pipeline.bootstrap_days == 14
        assert all(phase.skips_bootstrap for phase in late)
        first = {name: spec_of(pipeline, name).bootstrap_days for name in PRECOMPUTE}
        assert list(first.values()) == [35, 28, None, None, None]


def python3_of_the_pipeline() -> None:
    runner = orchestrated(LIVE)
    assert runner.command[0] == "bin/backfill/run_phase4_backfill.sh"
    assert runner.env["PATH"].startswith("${PIPELINE_ROOT}/.venv/bin:")


def sixty_days() -> None:
    assert LIVE.by_name["precompute"].lookback_days == 60
    assert FIVE.by_name["feature-store"].lookback_days == 60


def how_long_a_date_takes() -> None:
    assert 70 <= (LIVE.by_name["precompute"].seconds_per_date or 0) <= 90
    zones, *rest = (phase_of(FIVE, table).seconds_per_date or 0 for table in PRECOMPUTE)
    assert 70 <= sum(rest) <= 90
    assert zones < rest[0]  # it runs beside the player zones
    assert all(phase.seconds_per_date for p in ALL for phase in p.phases if phase.after)


def the_script_only_without_the_page() -> None:
    for pipeline in BOTH:
        first, second = pipeline.by_name["predictions"].runners
        assert first.kind == "http_batch"
        assert isinstance(second, ScriptRunner)
        assert second.note is not None
        assert "cannot be graded" in second.note
        assert "15 teams" in second.note
    assert "20.0" in BY_SCRIPT


def tried_again_alone() -> None:
    """The second attempt takes each date alone."""
    assert all(pipeline.by_name["predictions"].retries for pipeline in BOTH)


def what_is_gradable() -> None:
    for pipeline in BOTH:
        entity: Any = spec_of(pipeline, PREDICTIONS).entities["gradable"]
        assert entity.columns == ("player_lookup", "system_id")
        sources_of_lines = set(entity.where["line_source"].in_)
        assert sources_of_lines == {"ACTUAL_PROP", "ODDS_API", "BETTINGPROS", "NO_PROP_LINE"}
        assert entity.where["current_points_line"].not_ == (20.0,)
        assert list(spec_of(pipeline, GRADED).entities) == ["gradable"]


def null_is_not_void() -> None:
    for pipeline in BOTH:
        assert spec_of(pipeline, GRADED).where["is_voided"].not_ == (True,)
    assert "is_voided" not in TABLES[GRADED].query  # so the stand-in leaves NULL


def put_off_games() -> None:
    for pipeline in BOTH:
        schedule = spec_of(pipeline, "nba_raw.nbac_schedule")
        assert schedule.where["game_status"].in_ == (3,)
        assert list(schedule.entities) == ["game"]
        assert "put off" in (SHIPPED / f"{pipeline.name}.toml").read_text()


def each_source_is_counted() -> None:
    for pipeline in BOTH:
        names = [spec.name for spec in pipeline.by_name["raw"].tables]
        assert names == ["nba_raw.nbac_schedule", "nba_raw.nbac_gamebook_player_stats"]


def the_next_season() -> None:
    assert {pipeline.seasons[-1].name for pipeline in ALL} == {"2026-27"}


def which_code_runs() -> None:
    assert {runner.folder for p in ALL for runner in scripts(p)} == {"${PIPELINE_ROOT}"}


@dataclass(frozen=True)
class Fact:
    """What was seen; what stands in a file because of it, if anything; the tests that run it."""

    seen: str
    check: Callable[[], None] | None
    shown: tuple[str, ...] = ()


FACTS = [
    Fact(
        "every job takes a range; a resumed one starts behind its latest success",
        ranges_without_resume,
        (STAND_INS,),
    ),
    Fact("jobs import from the pipeline's root", root_on_the_path),
    Fact(
        "a job tells its troubles on stderr",
        None,
        (f"{SCRIPT}::test_the_last_lines_of_output_are_in_the_error",),
    ),
    Fact(
        "exit code 0 only says that it did not crash; a processor that gives up says it too",
        no_exit_code_is_believed,
        (
            f"{FAULTS}::test_exit_0_without_rows_fails_after_its_retries_and_blocks_what_comes_after",
            f"{FAULTS}::test_exit_0_with_some_dates_lets_them_proceed_and_quarantines_the_others",
        ),
    ),
    Fact(
        "a parallel dry run writes, some jobs take no list of dates, and force deletes the rows of "
        "other systems",
        nothing_is_rehearsed_or_listed,
        (
            "acceptance/test_live.py::test_the_pipeline_file_names_no_argument_that_the_scripts_lack",
        ),
    ),
    Fact("players are computed from team rows", offense_before_players),
    Fact(
        "phase 4 can start at each of its five processors",
        processors_in_order,
        (
            "acceptance/test_live.py::test_a_repair_is_as_a_rebuild_and_ends_with_publishing",
            f"{SCRIPT}::test_a_script_that_dies_goes_on_where_it_got",
        ),
    ),
    Fact("a processor may take six hours", six_hours),
    Fact(
        "a processor that fails leaves the one beside it running",
        None,
        (f"{SCRIPT}::test_children_are_killed_before_a_step_ends",),
    ),
    Fact(
        "phase 4 asks for all of analytics within its range",
        all_analytics_before_precompute,
        (f"{FAULTS}::test_a_time_out_of_several_processors_goes_on_where_it_got",),
    ),
    Fact(
        "grading ends with an error where there are no predictions",
        predictions_before_grading,
        (STAND_INS,),
    ),
    Fact(
        "a range that is published exits 0 whatever failed, and history is not published",
        publishing_is_off,
        (
            STAND_INS,
            "integration/test_publish.py::test_repaired_dates_are_published_one_at_a_time_and_the_newest_last",
        ),
    ),
    Fact(
        "a lock per date outlives its job by up to ten minutes, and then nothing is done",
        locks_of_ten_minutes,
        ("acceptance/test_live.py::test_a_repair_is_as_a_rebuild_and_ends_with_publishing",),
    ),
    Fact(
        "only the feature store and predictions have one writer",
        one_writer_where_unpartitioned,
        ("acceptance/test_live.py::test_the_two_files_differ_in_precompute_alone",),
    ),
    Fact("a table takes so many loads a day", fewer_loads_than_a_day_allows),
    Fact(
        "a start reads one date, today without one, and no key that it does not know",
        one_date_and_the_mode,
        (
            "integration/test_sandbox_coordinator.py::test_one_date_or_a_range_or_today_whatever_else_is_said",
        ),
    ),
    Fact(
        "predictions are made anew a date at a time, and the old ones stay, inactive",
        made_anew_with_supersede,
        (TWELVE,),
    ),
    Fact(
        "the service takes a key or a token",
        None,
        (
            "acceptance/test_live.py::test_the_stand_in_of_the_service_takes_either_header",
            f"{HTTP}::test_a_key_is_sent_beside_the_token",
            f"{FAULTS}::test_401_in_the_middle_is_met_with_one_new_token",
        ),
    ),
    Fact(
        "a start is answered when its work is done",
        a_slow_start,
        (f"{FAULTS}::test_a_start_that_takes_too_long_is_not_made_twice",),
    ),
    Fact(
        "one batch at a time, whatever its date",
        None,
        (f"{FAULTS}::test_409_spends_no_retry_and_holds_no_worker",),
    ),
    Fact(
        "data that is not complete is refused with a message",
        None,
        (f"{FAULTS}::test_503_blocks_the_step_with_the_services_message",),
    ),
    Fact(
        "an old date is told as one without games, or is not found",
        made_anew_with_supersede,
        (f"{HTTP}::test_an_empty_answer_is_for_the_recount",),
    ),
    Fact(
        "complete is said before the rows are there",
        rows_after_complete,
        (f"{HTTP}::test_rows_that_come_after_complete_are_waited_for",),
    ),
    Fact(
        "a status has two shapes, and of a batch that it cannot see a third",
        a_batch_that_is_not_known,
        (f"{HTTP}::test_whatever_the_status_says_the_recount_decides",),
    ),
    Fact(
        "a stalled batch is ended by the next start, whoever owns it",
        nothing_is_reset,
        (f"{FAULTS}::test_a_stalled_batch_of_somebody_is_ended_only_when_asked_for",),
    ),
    Fact(
        "only the plan's service grades",
        graded_by_the_service_last,
        (f"{FAULTS}::test_the_plan_says_which_fallback_is_used_and_what_was_looked_for",),
    ),
    Fact(
        "rosters list more than play, and the cache holds little more than half of them",
        measured_by_who_played,
        (f"{COUNTS}::test_the_real_season_has_the_gaps_that_its_owner_knows",),
    ),
    Fact(
        "below nine tenths on one date a range is left undone, with exit code 0",
        nine_tenths,
        (STAND_INS,),
    ),
    Fact(
        "a season's first two weeks, and zones until teams have 15 games, are empty by design",
        empty_by_design,
        (f"{COUNTS}::test_a_made_up_season_has_the_gaps_that_were_made",),
    ),
    Fact("phase 4 calls a bare python3", python3_of_the_pipeline, (STAND_INS,)),
    Fact("the feature store looks back 60 days", sixty_days, (TWELVE,)),
    Fact("all five processors take 70 to 90 seconds a date", how_long_a_date_takes),
    Fact(
        "the script of predictions leaves dates alone, and what it writes cannot be graded",
        the_script_only_without_the_page,
        (
            STAND_INS,
            "acceptance/test_live.py::test_where_the_page_is_not_there_the_script_is_used_and_doctor_says_what_that_means",
        ),
    ),
    Fact(
        "the script of predictions fails where the middle date of its range has no games",
        tried_again_alone,
        (f"{FAULTS}::test_exit_0_with_some_dates_lets_them_proceed_and_quarantines_the_others",),
    ),
    Fact(
        "a line is gradable by its source, when it is no placeholder",
        what_is_gradable,
        (f"{COUNTS}::test_the_printed_query_finds_what_is_not_graded",),
    ),
    Fact(
        "a row that does not say whether it is void is not",
        null_is_not_void,
        (f"{COUNTS}::test_the_printed_query_finds_what_is_not_graded",),
    ),
    Fact(
        "a game that was put off is final on its old date as well",
        put_off_games,
        (
            TWELVE,
            f"{COUNTS}::test_a_game_that_was_put_off_is_accepted_by_the_block_that_is_printed",
        ),
    ),
    Fact("the gamebook lacks games that the schedule has", each_source_is_counted),
    Fact("the next season has begun", the_next_season),
    Fact(
        "he has a table of gaps with other columns",
        None,
        (
            "integration/test_run_history.py::test_a_table_of_the_pipelines_own_that_has_the_name_is_left_alone",
        ),
    ),
    Fact(
        "before a backfill he looks which code runs",
        which_code_runs,
        ("integration/test_code.py::test_the_report_shows_it_and_says_that_it_changed",),
    ),
]


@cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((TESTS / path).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.seen)
def test_what_was_seen_is_in_the_files(fact: Fact) -> None:
    assert fact.check or fact.shown
    if fact.check is not None:
        fact.check()
    for shown in fact.shown:
        path, _, name = shown.partition("::")
        assert name in names_in(path), shown
