"""The owner's tables under both sets of names, and a pipeline for each.

The plan's names are those of the shipped `nba` pipeline, and of the sandbox's CREATE statements,
which have every column. The live names are what the tables' definitions say (July 2026); only
columns that a question can ask for are listed.
"""

from __future__ import annotations

import tomllib
from functools import cache
from typing import Any

from sqlglot import exp, parse_one

from planner.pipeline.load import SHIPPED, load_pipeline
from planner.pipeline.pipeline import Pipeline
from planner.report.history import create_statements
from sql.statements import HERE

Columns = dict[str, str]
"""Column → GoogleSQL type."""

_LIVE = """
nba_raw.bdl_player_boxscores: game_id STRING, game_date DATE, season_year INT64,
  game_status STRING, team_abbr STRING, player_lookup STRING, points INT64
nba_raw.nbac_gamebook_player_stats: game_id STRING, game_code STRING, game_date DATE,
  season_year INT64, player_lookup STRING, team_abbr STRING, player_status STRING
nba_analytics.player_game_summary: player_lookup STRING, game_id STRING, game_date DATE,
  team_abbr STRING, season_year INT64, points INT64, minutes_played NUMERIC, is_active BOOL
nba_analytics.team_offense_game_summary: game_id STRING, game_date DATE, team_abbr STRING
nba_analytics.team_defense_game_summary: game_id STRING, game_date DATE,
  defending_team_abbr STRING
nba_analytics.upcoming_player_game_context: player_lookup STRING, game_id STRING, game_date DATE
nba_analytics.upcoming_team_game_context: team_abbr STRING, game_id STRING, game_date DATE
nba_precompute.player_composite_factors: player_lookup STRING, game_date DATE, game_id STRING
nba_precompute.player_daily_cache: player_lookup STRING, cache_date DATE
nba_precompute.player_shot_zone_analysis: player_lookup STRING, analysis_date DATE
nba_precompute.team_defense_zone_analysis: team_abbr STRING, analysis_date DATE
nba_predictions.ml_feature_store_v2: player_lookup STRING, game_date DATE, game_id STRING,
  features ARRAY<FLOAT64>
nba_predictions.player_prop_predictions: prediction_id STRING, system_id STRING,
  player_lookup STRING, game_date DATE, game_id STRING, predicted_points NUMERIC, is_active BOOL
nba_predictions.prediction_accuracy: player_lookup STRING, game_id STRING, game_date DATE,
  system_id STRING, absolute_error NUMERIC, prediction_correct BOOL, is_voided BOOL
"""

# phase, after, skips the bootstrap, tables: name, date, entities, more
_G, _P, _T = ("game", "game_id"), ("player", "player_lookup"), ("team", "team_abbr")
_LIVE_PHASES: list[
    tuple[str, list[str], bool, list[tuple[str, str, list[Any], dict[str, Any]]]]
] = [
    (
        "raw",
        [],
        False,
        [
            ("nba_raw.bdl_player_boxscores", "game_date", [_G, _P, _T], {}),
            ("nba_raw.nbac_gamebook_player_stats", "game_date", [_G, _P, _T], {}),
        ],
    ),
    (
        "analytics",
        ["raw"],
        False,
        [
            ("nba_analytics.team_offense_game_summary", "game_date", [_G, _T], {}),
            (
                "nba_analytics.team_defense_game_summary",
                "game_date",
                [_G, ("team", "defending_team_abbr")],
                {},
            ),
            (
                "nba_analytics.player_game_summary",
                "game_date",
                [_G, _P, _T],
                {"rows_per_entity": {"low": 20, "high": 35}, "min_coverage": 0.8},
            ),
            ("nba_analytics.upcoming_player_game_context", "game_date", [_G], {}),
            ("nba_analytics.upcoming_team_game_context", "game_date", [_G, _T], {}),
        ],
    ),
    (
        "precompute",
        ["analytics"],
        True,
        [
            ("nba_precompute.team_defense_zone_analysis", "analysis_date", [_T], {}),
            ("nba_precompute.player_shot_zone_analysis", "analysis_date", [_P], {}),
            ("nba_precompute.player_composite_factors", "game_date", [_G, _P], {}),
            ("nba_precompute.player_daily_cache", "cache_date", [_P], {}),
            ("nba_predictions.ml_feature_store_v2", "game_date", [_G, _P], {}),
        ],
    ),
    (
        "predictions",
        ["precompute"],
        True,
        [
            (
                "nba_predictions.player_prop_predictions",
                "game_date",
                [_G, _P],
                {"where": {"is_active": True}},
            )
        ],
    ),
    (
        "grading",
        ["predictions"],
        True,
        [
            (
                "nba_predictions.prediction_accuracy",
                "game_date",
                [_G, _P],
                {
                    "where": {"is_voided": {"not": True}},
                    "grades": {
                        "system": "system_id",
                        "error": "absolute_error",
                        "correct": "prediction_correct",
                    },
                },
            )
        ],
    ),
]


def plan_tables() -> dict[str, Columns]:
    """Table → columns, under the plan's names."""
    return created_tables("sandbox")


@cache
def created_tables(folder: str) -> dict[str, Columns]:
    """Table → columns, of what `sql/FOLDER/create/` creates."""
    return dict(map(_created, sorted(HERE.glob(f"{folder}/create/*.sql"))))


@cache
def history_tables() -> dict[str, Columns]:
    """Table → columns, of the run history in the dataset `ops`."""
    return dict(_created_by(statement) for statement in create_statements("ops"))


@cache
def live_tables() -> dict[str, Columns]:
    """Table → columns, under the live names."""
    tables = {}
    for line in _LIVE.replace("\n  ", " ").strip().splitlines():
        name, _, columns = line.partition(": ")
        tables[name] = dict(column.split(" ") for column in columns.split(", "))
    return tables


@cache
def plan_pipeline() -> Pipeline:
    """The pipeline of the plan's names."""
    return load_pipeline("nba")


@cache
def live_pipeline() -> Pipeline:
    """The pipeline of the live names: the same calendar and criteria, and an All-Star break."""
    content = tomllib.loads((SHIPPED / "nba.toml").read_text(encoding="utf-8"))
    runner = {"kind": "script", "command": ["true"]}
    content["phases"] = [
        {
            "name": phase,
            "after": after,
            "skips_bootstrap": skips,
            "runners": [runner] if after else [],
            "tables": [
                {"name": name, "date": date, "entities": dict(entities), **more}
                for name, date, entities, more in tables
            ],
        }
        for phase, after, skips, tables in _LIVE_PHASES
    ]
    content["exclude"] = [{"start": "2022-02-18", "end": "2022-02-23", "reason": "All-Star break"}]
    return Pipeline.model_validate(content)


def _created(path: Any) -> tuple[str, Columns]:
    return _created_by(path.read_text(encoding="utf-8"))


def _created_by(statement: str) -> tuple[str, Columns]:
    tree = parse_one(statement, read="bigquery")
    table = tree.find(exp.Table)
    assert table is not None
    columns = {
        column.name: column.args["kind"].sql(dialect="bigquery")
        for column in tree.find_all(exp.ColumnDef)
    }
    return f"{table.db}.{table.name}", columns
