"""A worker runs no code of the folder that it was started in."""

from __future__ import annotations

from pathlib import Path

import pytest

from planner.settings import Settings
from tests.integration.bench import Bench
from tests.waiting import until
from worker.processes.children import supervised
from worker.processes.workers import worker_process

STRANGERS = ("worker", "planner", "celery", "kombu", "redis", "httpx", "duckdb", "json", "sql")


def test_a_worker_runs_no_code_of_the_current_folder(
    redis_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, ran = tmp_path / "here", tmp_path / "ran"
    here.mkdir()
    for name in STRANGERS:
        (here / f"{name}.py").write_text(f"open({str(ran)!r}, 'a').write(__name__ + '\\n')\n")
    bench = Bench(place=tmp_path)
    bench.context(bench.script())
    monkeypatch.chdir(here)
    worker = worker_process(
        redis_settings,
        1,
        environment={
            "BACKFILL_BROKER_URL": redis_settings.redis_url,
            "BACKFILL_PIPELINE": str(tmp_path / "bench.toml"),
            "BACKFILL_WAREHOUSE": f"local:{tmp_path / 'warehouse'}",
        },
    )
    worker.log.unlink(missing_ok=True)

    with supervised([worker]):
        until(lambda: ran.exists() or " ready." in worker.log.read_text())

    assert not ran.exists(), ran.read_text()
