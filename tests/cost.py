"""What a full gap scan over all seasons asks of BigQuery: `make cost` writes it to docs/cost.md.

Counted at the REST server for tests. Beside it, on the same server and tables, stands a suite of
statements that was run by hand before: read from a document outside this repository, where it is
there; without it its column is empty.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from planner.gaps.survey import bytes_to_count, survey
from planner.pipeline.load import load_pipeline
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.plan.cost import cost_of
from planner.sandbox.boxscores import generate_boxscores
from planner.sandbox.build import build
from sql import WarehouseError
from sql.bigquery import BigQueryWarehouse
from tests.bigquery_server.rest import BigQueryServer

ROOT = Path(__file__).parents[1]
BY_HAND = ROOT.parent / "shared" / "backfill_plan.md"
DOCUMENT = ROOT / "docs" / "cost.md"
FIGURES = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)
DOLLARS_PER_TIB = 6.25


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What came to the server."""

    queries: int
    refused: int
    dry_runs: int
    others: int
    """Requests that are no query: table descriptions, pages, looks at running jobs."""
    processed: int
    billed: int


@contextmanager
def served(folder: Path, project: str) -> Iterator[tuple[BigQueryServer, BigQueryWarehouse]]:
    """A warehouse that talks to a server of its own, so that its counts begin at nothing."""
    with BigQueryServer(folder) as server:
        os.environ["BIGQUERY_EMULATOR_HOST"] = server.url
        warehouse = BigQueryWarehouse(project)
        yield server, warehouse
        warehouse.close()


def asked(server: BigQueryServer, *, refused: int = 0) -> Asked:
    jobs = [r.body["configuration"] for r in server.requests if r.method == "jobs.insert"]
    dry = sum(bool(job.get("dryRun")) for job in jobs)
    return Asked(
        queries=len(jobs) - dry,
        refused=refused,
        dry_runs=dry,
        others=server.count() - len(jobs),
        processed=server.bytes_processed,
        billed=server.bytes_billed,
    )


def scan(folder: Path, pipeline: Pipeline) -> Asked:
    """What `planner gaps` does: the cost first, then the survey."""
    scope = Window(start=pipeline.seasons[0].start, end=pipeline.seasons[-1].end)
    with served(folder, "project") as (server, warehouse):
        bytes_to_count(warehouse, pipeline, scope)
        survey(warehouse, pipeline, scope)
        return asked(server)


def by_hand(folder: Path, statements: Sequence[str]) -> Asked:
    """Every statement once; one that is refused costs nothing."""
    names = re.findall(r"`([\w-]+)\.\w+\.\w+`", "".join(statements))
    refused = 0
    with served(folder, names[0]) as (server, warehouse):
        for statement in statements:
            try:
                warehouse.rows(statement, {})
            except WarehouseError:
                refused += 1
        return asked(server, refused=refused)


def statements_of(text: str) -> list[str]:
    """The queries of a Markdown document, in SQL blocks and in `bq query` commands."""
    found = []
    for kind, block in re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        block = re.sub(r"--(?!\w).*", "", block)
        parts = (
            block.split(";")
            if kind == "sql"
            else re.findall(r"bq query[^\"']*[\"'](.*?)[\"']", block, re.DOTALL)
        )
        found += [part for part in parts if re.match(r"\s*(SELECT|WITH)\b", part, re.IGNORECASE)]
    return found


def table(pipeline: Pipeline, mine: Asked, theirs: Asked | None) -> str:
    tables = [spec.name for spec in pipeline.tables]
    datasets = {name.partition(".")[0] for name in tables}
    rows = [
        ("queries that run", "queries"),
        ("of them refused", "refused"),
        ("dry runs, which are free", "dry_runs"),
        ("other requests, which are free", "others"),
        ("bytes read, as the server estimates", "processed"),
        ("bytes billed", "billed"),
    ]
    lines = [
        f"{len(tables)} tables in {len(datasets)} datasets, {len(pipeline.seasons)} seasons.",
        "",
        "| | `planner gaps` | statements by hand |",
        "|---|---:|---:|",
        *(
            f"| {words} | {getattr(mine, name):,} "
            f"| {format(getattr(theirs, name), ',') if theirs else 'not there'} |"
            for words, name in rows
        ),
        "| dollars, on demand | "
        + " | ".join(
            f"{cost_of(each.billed, DOLLARS_PER_TIB).dollars:.4f}" if each else "not there"
            for each in (mine, theirs)
        )
        + " |",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Build the seasons, scan them, and write the figures down."""
    pipeline = load_pipeline("nba")
    statements = statements_of(BY_HAND.read_text(encoding="utf-8")) if BY_HAND.is_file() else []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "warehouse"
        build(folder, generate_boxscores(pipeline.seasons, seed=1))
        mine = scan(folder, pipeline)
        theirs = by_hand(folder, statements) if statements else None
    figures = table(pipeline, mine, theirs)
    sys.stdout.write(f"{len(statements)} statements by hand\n{figures}")
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(FIGURES.sub(lambda _: figures, text), encoding="utf-8")


if __name__ == "__main__":
    main()
