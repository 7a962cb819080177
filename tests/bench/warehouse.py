"""What the local warehouse costs, beside deltalake and DuckDB by hand on the same tables."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from planner.pipeline.load import load_pipeline
from planner.sandbox.boxscores import generate_boxscores
from planner.sandbox.build import build
from sql.local import LocalWarehouse
from sql.warehouse import Table
from tests.bench.commands import PLANNER, cpu_once
from tests.bench.rows import Figures, Row, World, beside, say
from tests.integration.games import REPLACE

ROUNDS = 15
SCANS = 5
ROWS = 20  # per date
PARTITIONS, DATES = 5_000, 400
GAMES = Table(name="raw.games", date="game_date", entities={"game": "game_id"})

BARE = """
import duckdb, json, sys
for files, date, column in json.load(open(sys.argv[1])):
    duckdb.sql(f"SELECT {date}, COUNT(*), COUNT(DISTINCT {column}), "
               f"BIT_XOR(DISTINCT hash({column})) FROM read_parquet({files}, "
               f"hive_partitioning = true) GROUP BY 1").fetchall()
"""


def recounts(world: World) -> Iterator[Row]:
    """The recount after a step's write."""
    own, peer = recount(world.folder("recount"), PARTITIONS)
    yield beside(
        f"recount of one date in a local table of {PARTITIONS:,} partitions, CPU",
        Figures(own),
        Figures(peer),
        of="pruned file list by hand",
        most=1.5,
    )


def sql_steps(world: World) -> Iterator[Row]:
    """What a step of kind `sql` asks of its warehouse."""
    own, peer = step(world.folder("sql"), DATES)
    yield beside(
        f"warehouse work of a `sql` step, {DATES} dates, CPU",
        Figures(own),
        Figures(peer),
        of="deltalake and DuckDB by hand",
        most=1.5,
    )


def scans(world: World) -> Iterator[Row]:
    """A look at the whole warehouse."""
    own, peer = scan(world.folder("scan"))
    yield beside(
        "full scan of the sandbox (`gaps --json`), CPU of the process",
        Figures(own),
        Figures(peer),
        of="bare DuckDB over the same files",
        most=1.5,
    )


def recount(place: Path, partitions: int) -> tuple[list[float], list[float]]:
    """Milliseconds of counting one date after a commit in each round: ours, and by hand."""
    table = _table(place, partitions)
    warehouse, by_hand = LocalWarehouse(place), ByHand(table)
    day = _day(partitions // 2)
    spent: tuple[list[float], list[float]] = ([], [])

    def ours(day: date) -> None:
        warehouse.coverage(GAMES, day, day)

    for n in range(ROUNDS + 1):  # the first opens
        write_deltalake(table, _rows([day]), mode="append")
        for kept, count in zip(spent, (ours, by_hand.count), strict=True):
            with _timed(kept if n else []):
                count(day)
    return spent


def step(place: Path, partitions: int) -> tuple[list[float], list[float]]:
    """Milliseconds of what a step that writes a date anew asks of its warehouse in each round:
    rows and versions before, the write, rows and versions after; by hand likewise, but for the
    versions, which a plain reader has none of."""
    table = _table(place, partitions)
    warehouse, by_hand = LocalWarehouse(place), ByHand(table)
    spent: tuple[list[float], list[float]] = ([], [])

    def ours(day: date) -> None:
        warehouse.coverage(GAMES, day, day)
        warehouse.versions(GAMES, day, day)
        warehouse.run(REPLACE, {"day": day})
        warehouse.coverage(GAMES, day, day)
        warehouse.versions(GAMES, day, day)

    for n in range(ROUNDS + 1):
        for kept, work in zip(spent, (ours, by_hand.step), strict=True):
            with _timed(kept if n else []):
                work(_day(n))
    return spent


def scan(place: Path) -> tuple[list[float], list[float]]:
    """Milliseconds of `gaps --json` on the whole sandbox in each round, and of DuckDB over the
    same files."""
    pipeline = load_pipeline("nba")
    build(place / "warehouse", generate_boxscores(pipeline.seasons))
    asked = [
        (
            DeltaTable(place.joinpath("warehouse", *spec.name.split("."))).file_uris(),
            spec.date,
            spec.table.entity_columns[0],
        )
        for spec in pipeline.tables
    ]
    (place / "asked.json").write_text(json.dumps(asked))
    (place / "bare.py").write_text(BARE)
    environment = {
        **os.environ,
        "BACKFILL_WAREHOUSE": f"local:{place / 'warehouse'}",
        "BACKFILL_HOME": str(place / "home"),
        "BACKFILL_PIPELINE": "nba",
    }
    bare = [sys.executable, str(place / "bare.py"), str(place / "asked.json")]
    spent: tuple[list[float], list[float]] = ([], [])
    for n in range(SCANS):
        say(f"  round {n + 1} of {SCANS}")
        spent[0].append(cpu_once([PLANNER, "gaps", "--json"], environment))
        spent[1].append(cpu_once(bare, environment))
    return spent


class ByHand:
    """What one would write with the two libraries alone."""

    def __init__(self, table: Path) -> None:
        self.table = DeltaTable(table)
        self.duck = duckdb.connect()

    def count(self, day: date) -> None:
        self.table.update_incremental()
        self._read(day, "COUNT(*), COUNT(DISTINCT game_id), BIT_XOR(DISTINCT hash(game_id))")

    def step(self, day: date) -> None:
        self.count(day)
        rows = self._read(day, "* REPLACE (n + 100 AS n)")
        write_deltalake(self.table, rows, mode="overwrite", predicate=f"game_date = '{day}'")
        self.count(day)

    def _read(self, day: date, what: str) -> pa.Table:
        files = self.table.file_uris(file_pruning_predicate=f"game_date = '{day}'")
        types = "hive_types = {game_date: DATE}"
        return self.duck.sql(f"SELECT {what} FROM read_parquet({files}, {types})").to_arrow_table()


def _table(place: Path, partitions: int) -> Path:
    table = place / "raw" / "games"
    days = [_day(n) for n in range(partitions)]
    write_deltalake(table, _rows(days), partition_by=["game_date"])
    return table


def _rows(days: list[date]) -> pa.Table:
    dates = [day for day in days for _ in range(ROWS)]
    numbers = list(range(len(dates)))
    games = [f"g{n % 7}" for n in numbers]
    return pa.table({"game_date": dates, "game_id": games, "n": numbers})


def _day(n: int) -> date:
    return date(2010, 1, 1) + timedelta(days=n)


@contextmanager
def _timed(kept: list[float]) -> Iterator[None]:
    """Adds the CPU time of a block, in milliseconds."""
    begun = time.process_time()
    yield
    kept.append((time.process_time() - begun) * 1e3)
