"""One DuckDB per process, and a connection per query."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from sql.duck import ask
from sql.errors import WarehouseRefused
from sql.local import LocalWarehouse

FORK_SECONDS = 60.0

FORKED = """
import os, sys, threading
import pyarrow as pa
from sql.duck import ask

NUMBERS = pa.table({"n": range(300_000)})
ended = threading.Event()

def distinct():
    answer = ask("SELECT COUNT(DISTINCT n) AS n FROM numbers", {}, {"numbers": NUMBERS})
    return answer["n"][0].as_py()

def ask_on():
    while not ended.is_set():
        distinct()

asking = threading.Thread(target=ask_on)
asking.start()
for _ in range(5):
    if not (child := os.fork()):
        os._exit(distinct() != 300_000)
    _, status = os.waitpid(child, 0)
    if status:
        break
ended.set()
asking.join()
sys.exit(status)
"""


def test_a_process_that_is_forked_computes_by_itself() -> None:
    """DuckDB's threads stay in the parent: what waited for them would wait for ever, or crash."""
    done = subprocess.run(
        [sys.executable, "-c", FORKED], timeout=FORK_SECONDS, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_each_query_sees_its_own_tables() -> None:
    def total(n: int) -> int:
        rows = pa.table({"n": [n] * 1_000})
        return int(ask("SELECT SUM(n) AS n FROM shown", {}, {"shown": rows})["n"][0].as_py())

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(total, range(100))) == [1_000 * n for n in range(100)]
    with pytest.raises(WarehouseRefused, match="shown"):
        ask("SELECT * FROM shown", {}, {})


def test_tables_whose_names_differ_in_case_alone_are_two(tmp_path: Path) -> None:
    for name, n in (("games", 1), ("Games", 2)):
        write_deltalake(tmp_path / "raw" / name, pa.table({"n": [n]}))
    asked = "SELECT a.n AS one, b.n AS two FROM raw.games AS a, raw.Games AS b"
    assert LocalWarehouse(tmp_path).rows(asked, {}) == [{"one": 1, "two": 2}]


def test_columns_are_named_by_the_last_part_of_their_table(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "my-project" / "raw" / "games", pa.table({"n": [1, 2]}))
    asked = "SELECT games.n, games FROM `my-project.raw.games` WHERE games.n > 1"
    assert LocalWarehouse(tmp_path).rows(asked, {}) == [{"n": 2, "games": {"n": 2}}]
