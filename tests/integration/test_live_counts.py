"""What `nba-live` calls a gap, over counts of a whole season: a real one's, and one made up."""

from __future__ import annotations

import tomllib
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from planner.console.accepted import accept_blocks
from planner.gaps.gaps import SHORT, Assessment, SkipReason
from planner.gaps.survey import survey
from planner.pipeline.load import load_pipeline
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.validation.queries import query_of
from sql import open_warehouse
from tests.live.counts import Counts, made_up, read_counts, write_tables

REAL = Path(__file__).parents[3] / "shared/data/owner/per_date_counts.csv"
SEASON = next(each for each in load_pipeline("nba-live").seasons if each.name == "2024-25")
BOOTSTRAP, ZONES_FULL = 14, 35
"""Days of a season that precompute leaves empty, and before which the zone analyses may be."""
CUT_SHORT = [date(2025, 2, 20), date(2025, 2, 21), date(2025, 5, 21), date(2025, 6, 5)]
"""The dates of the real season that were loaded in part [its owner's report]."""
SCHEMA = {
    spec.name: pa.schema(
        {
            spec.date: pa.date32(),
            **{
                column: pa.string()
                for column in ("game_id", "player_lookup", "team_abbr", "defending_team_abbr")
            },
            "system_id": pa.string(),
            "line_source": pa.string(),
            "current_points_line": pa.float64(),
            "game_status": pa.int64(),
            "is_active": pa.bool_(),
            "is_voided": pa.bool_(),
        }.items()
    )
    for spec in load_pipeline("nba-live").tables
}


def judged(folder: Path, counts: dict[date, Counts]) -> Assessment:
    write_tables(folder, counts, SCHEMA)
    warehouse = open_warehouse(f"local:{folder}")
    try:
        scope = Window(start=SEASON.start, end=max(counts))
        return survey(warehouse, load_pipeline("nba-live"), scope)
    finally:
        warehouse.close()


def short(assessment: Assessment) -> dict[str, list[date]]:
    """Phase → dates whose rows are not all there."""
    return {
        phase: sorted(day for day, gap in gaps.items() if gap.reason in SHORT)
        for phase, gaps in assessment.gaps.items()
        if any(gap.reason in SHORT for gap in gaps.values())
    }


def days(first: int, last: int) -> list[date]:
    return [SEASON.start + timedelta(days=n) for n in range(first, last)]


def check(assessment: Assessment, counts: dict[date, Counts], cut: list[date]) -> None:
    # The dates that were cut short are all that is short, where rosters are and below
    early = [day for day in days(BOOTSTRAP, ZONES_FULL) if day in counts]
    assert short(assessment) == {"upcoming-player": cut, "precompute": cut}

    # The first days are no gaps, and neither are those on which the zone analyses cannot be full
    played = [day for day in days(0, BOOTSTRAP) if day in counts]
    for phase in ("precompute", "predictions", "grading"):
        assert [assessment.empty[phase][day].reason for day in played] == [
            SkipReason.BOOTSTRAP
        ] * len(played)
    assert early
    assert assessment.complete["precompute"] >= set(early)

    # Rosters, and a league where a day's teams play, are no surplus
    assert not any(
        gap.findings
        for phase in ("upcoming-player", "precompute", "predictions", "grading")
        for day, gap in assessment.gaps[phase].items()
        if day not in cut
    )


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.slow
def test_a_made_up_season_has_the_gaps_that_were_made(seed: int, tmp_path: Path) -> None:
    cut = {60, 61, 90}
    counts = made_up(SEASON.start, 120, seed=seed, cut=cut)

    assessment = judged(tmp_path, counts)

    check(assessment, counts, [SEASON.start + timedelta(days=n) for n in sorted(cut)])


def test_the_real_season_has_the_gaps_that_its_owner_knows(tmp_path: Path) -> None:
    if not REAL.is_file():
        pytest.skip("the counts of a real season are not here: they are not in the repository")
    counts = read_counts(REAL)

    assessment = judged(tmp_path, counts)

    check(assessment, counts, CUT_SHORT)
    # Of analytics one date is not as it should be: teams of three games, and two were played
    flawed = {
        (phase, day)
        for phase, gaps in assessment.gaps.items()
        for day in gaps
        if day not in CUT_SHORT
    }
    assert flawed == {("team-defense", SEASON.start)}


@pytest.mark.slow
def test_as_five_phases_it_has_the_same_gaps(tmp_path: Path) -> None:
    """A phase with first days of its own is judged where zone analyses are not yet due."""
    cut = {20, 60}  # one of them before the zone analyses are full
    counts = made_up(SEASON.start, 90, seed=3, cut=cut)
    write_tables(tmp_path, counts, SCHEMA)
    warehouse = open_warehouse(f"local:{tmp_path}")
    scope = Window(start=SEASON.start, end=max(counts))
    assessment = survey(warehouse, load_pipeline("nba-live-phases"), scope)
    warehouse.close()

    days_cut = [SEASON.start + timedelta(days=n) for n in sorted(cut)]
    assert short(assessment) == dict.fromkeys(
        ("upcoming-player", "composite", "daily-cache", "feature-store"), days_cut
    )


@pytest.mark.parametrize("name", ["nba-live", "nba-live-phases"])
@pytest.mark.slow
def test_the_printed_query_finds_what_is_not_graded(name: str, tmp_path: Path) -> None:
    """Who did not play is voided, and not due: a share of 0.9 is. NULL is not void."""
    counts = made_up(SEASON.start, 50, seed=4, cut={45})
    write_tables(tmp_path, counts, SCHEMA)
    pipeline, scope = load_pipeline(name), Window(start=SEASON.start, end=max(counts))
    few, half, voided = [day for day in counts if day >= SEASON.start + timedelta(days=36)][:3]
    warehouse = open_warehouse(f"local:{tmp_path}")
    graded = "nba_predictions.prediction_accuracy WHERE game_date = @day"
    warehouse.run(f"DELETE FROM {graded} AND player_lookup = 'p1'", {"day": few})
    warehouse.run(f"DELETE FROM {graded} AND system_id > 's1'", {"day": half})
    warehouse.run(
        f"""INSERT INTO nba_predictions.prediction_accuracy
        SELECT * REPLACE (TRUE AS is_voided, DATE '{voided}' AS game_date) FROM {graded}""",
        {"day": few},
    )
    warehouse.run(f"DELETE FROM {graded} AND is_voided IS NULL", {"day": voided})

    rows = warehouse.rows(*query_of(pipeline, "gaps", scope))
    assessment = survey(warehouse, pipeline, scope)
    warehouse.close()

    found: dict[str, list[date]] = {}
    for row in rows:
        found.setdefault(row["phase"], []).append(row["date"])
    assert found == short(assessment)
    assert found["grading"] == sorted([half, voided])


@pytest.mark.parametrize("name", ["nba-live", "nba-live-phases"])
@pytest.mark.quick("nba-live")
def test_a_game_that_was_put_off_is_accepted_by_the_block_that_is_printed(
    name: str, tmp_path: Path
) -> None:
    # Given a schedule that calls a game final on the date for which it was put off, too
    counts = made_up(SEASON.start, 20, seed=5, cut=set())
    write_tables(tmp_path, counts, SCHEMA)
    warehouse = open_warehouse(f"local:{tmp_path}")
    day, game = sorted(counts)[-2], "put-off"
    warehouse.run(
        """INSERT INTO nba_raw.nbac_schedule
        SELECT DISTINCT * REPLACE (@id AS game_id) FROM nba_raw.nbac_schedule
        WHERE game_date = @day""",
        {"day": day, "id": game},
    )
    pipeline, scope = load_pipeline(name), Window(start=SEASON.start, end=max(counts))
    found = survey(warehouse, pipeline, scope)
    assert short(found)["player-summary"] == [day]

    # When the printed blocks stand in the file
    blocks = accept_blocks(pipeline, [gap for gaps in found.gaps.values() for gap in gaps.values()])
    accepting = Pipeline.model_validate(
        {**pipeline.model_dump(exclude={"accept"}), **tomllib.loads(blocks)}
    )

    # Then they name the game, where it is measured by the schedule, and nothing is short
    assert blocks.count(f'ids = ["{game}"]') == blocks.count("[[accept]]") == 2
    assert short(survey(warehouse, accepting, scope)) == {}
    warehouse.close()
