"""The scripts' light calendar says what the pipeline's checked one says."""

from datetime import date, timedelta

from planner.pipeline.load import load_pipeline
from planner.sandbox.fill import PHASES
from planner.sandbox.seasons import after_bootstrap, bootstraps

DAY = timedelta(days=1)


def test_bootstraps_are_the_first_days_of_the_pipelines_seasons() -> None:
    pipeline = load_pipeline("nba")

    assert bootstraps() == tuple(
        (season.start, season.start + (pipeline.bootstrap_days - 1) * DAY)
        for season in pipeline.seasons
    )


def test_phases_are_those_of_the_pipeline_with_its_tables_in_order() -> None:
    pipeline = load_pipeline("nba")

    assert {
        phase.name: tuple(table.name.split(".")[1] for table in phase.tables)
        for phase in pipeline.phases
        if not phase.is_source
    } == PHASES


def test_a_range_is_cut_around_every_bootstrap_it_meets() -> None:
    first, second = bootstraps()[:2]

    assert after_bootstrap(first[0] - DAY, second[1] + DAY) == [
        (first[0] - DAY, first[0] - DAY),
        (first[1] + DAY, second[0] - DAY),
        (second[1] + DAY, second[1] + DAY),
    ]
    assert after_bootstrap(*first) == []
    assert after_bootstrap(first[0] + DAY, first[1]) == []
    assert after_bootstrap(date(2022, 1, 1), date(2022, 1, 2)) == [
        (date(2022, 1, 1), date(2022, 1, 2))
    ]
