"""What a command imports: no more than it needs, for importing is most of what a short one does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CALL = """
import sys
from planner.__main__ import main
sys.argv[0] = "planner"
try:
    main()
except SystemExit as ended:
    print(ended.code)
print(*sys.modules)
"""
HEAVY = {
    "celery", "kombu", "duckdb", "deltalake", "pyarrow", "sqlglot", "google", "jinja2", "psutil"
}  # fmt: skip

JUDGING = {
    "planner.pipeline.pipeline", "planner.gaps.assess", "planner.gaps.survey",
    "planner.plan.choose", "planner.validation.judge", "sql.coverage",
}  # fmt: skip
"""What a plan takes to make, and its steps do not take to read."""

SPARED = {
    "redis.asyncio.client",
    "redis.asyncio.cluster",
    "opentelemetry.sdk.metrics",
    "rich.panel",
    "planner.report.markdown",
}


def imported(place: Path, *arguments: str) -> tuple[str, set[str]]:
    """What a command ended with, and every module that it had imported by then."""
    done = subprocess.run(
        [sys.executable, "-c", CALL, *arguments],
        cwd=place,
        env={"BACKFILL_HOME": str(place / "home"), "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    *_, code, modules = done.stdout.splitlines()
    return code, set(modules.split())


def test_help_imports_no_command_and_no_model(tmp_path: Path) -> None:
    code, modules = imported(tmp_path, "--help")

    assert code == "0"
    ours = {name for name in modules if name.partition(".")[0] in ("planner", "worker", "sql")}
    assert ours == {
        "planner",
        "planner.__main__",
        "planner.cli",
        "planner.console",
        "planner.console.lazy",
        "planner.console.output",
        "planner.console.unused_imports",
        "planner.console.streams",
        "planner.errors",
        "planner.text",
    }
    assert not modules & {"pydantic", "redis", "markdown_it", *HEAVY}


def test_asking_for_runs_imports_no_warehouse_and_no_celery(tmp_path: Path) -> None:
    for arguments in (["runs"], ["status", "run-20260102-k7xq3w"]):
        code, modules = imported(tmp_path, *arguments)

        assert code == "3", "there is no fleet here"
        assert "redis" in modules
        assert not modules & (HEAVY | JUDGING | SPARED)


def test_what_redis_is_spared_is_there_when_it_is_used(tmp_path: Path) -> None:
    code = """
from planner.console import unused_imports
unused_imports.install()
import redis
assert "redis.asyncio.client" not in __import__("sys").modules
assert redis.asyncio.Redis.__module__ == "redis.asyncio.client"
from redis.asyncio.cluster import RedisCluster
import kombu.transport.redis, celery.backends.redis
import opentelemetry.sdk.metrics
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)

    assert done.returncode == 0


def test_a_help_is_shown_without_a_parser_of_markdown_which_others_still_get() -> None:
    code = """
import io, sys
from planner.__main__ import main
from typer.testing import CliRunner
from planner.cli import app
shown = CliRunner().invoke(app, ["gaps", "--help"])
assert "--json" in shown.output, shown.output
assert "rich.markdown" not in sys.modules
from rich.markdown import Markdown
assert Markdown("*so*").parsed
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)

    assert done.returncode == 0


def test_the_version_is_told_without_importing_anything_else(tmp_path: Path) -> None:
    code, modules = imported(tmp_path, "--version")

    assert code == "0"
    assert not modules & {"pydantic", "redis", *HEAVY}
