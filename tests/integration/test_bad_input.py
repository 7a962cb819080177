"""Every command, given what it cannot use: one documented exit code, words, and nothing done.

In this process, as the console script runs it, with a real Redis and a real warehouse around it.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import redis

from planner import cli
from planner.plan import Plan, parse_plan
from planner.settings import Settings
from tests.integration.bench import Bench
from tests.integration.service import Service, served

UP = "../../etc/passwd"
SIGNS = "'; DROP TABLE lake.raw; --"
LINES = "run-1\nrun-2"
ESCAPE = "\x1b]0;owned\x07\x1b[2J"
BYTES = "\udcff\udcfe"  # what is not UTF-8 in an argument, as Python keeps it
LONG = "x" * 5000
TURNED = "\u202ecod.nosj"
HOSTILE = (UP, "/etc/passwd", SIGNS, LINES, ESCAPE, BYTES, LONG, "", " ", "*", "[red]x[/]", TURNED)
ADVICE = re.compile(  # what a message tells to do, one way or the other
    r"`planner|Try 'planner|[Ww]rite|[Nn]ame|[Ss]et |Give|give|Say|known|did you mean|2024"
    r"|lists|[Mm]ake|use |above|there are: |correct|check|not empty"
)

BEFORE_ANYTHING: dict[str, list[list[str]]] = {
    "run": [
        [command, word]
        for command in ("status", "watch", "report", "pause", "resume", "cancel", "retry")
        for word in ("run-1", "run-20260102-k7xq3w", *HOSTILE)
    ],
    "dates": [
        *(
            ["gaps", "--start", word]
            for word in (
                *("2024-02-30", "2024-13-01", "20240101", "2024-W01-1", "01.02.2024", "2024-1-1"),
                *("0000-01-01", "today", "٢٠٢٤-٠١-٠١", "2024-01-01T00:00", " 2024-01-01", *HOSTILE),
            )
        ),
        *(
            [*command, "--start", "2024-01-05", "--end", "2024-01-04"]
            for command in (["gaps"], ["plan"], ["validate"], ["enqueue", "--gaps"])
        ),
        *(
            [*command, end, "9999-12-31"]
            for command in (["gaps"], ["plan"], ["validate"], ["enqueue", "--gaps"])
            for end in ("--start", "--end")
        ),
        *(["retry", "run-1", "--dates", word] for word in (",", "2024-02-30", "2024-01-01,")),
        *(["retry", "run-1", "--dates", word] for word in HOSTILE),
        ["sandbox", "build", "new", "--until", "2024-02-30"],
    ],
    "season": [
        *(["gaps", "--season", word] for word in ("2023", "1", *HOSTILE)),
        ["gaps", "--season", "2024", "--start", "2024-01-01"],
        *(["sandbox", "build", "new", "--seasons", w] for w in ("1999", ",", "2021,x", *HOSTILE)),
        *(["demo", "--seasons", word] for word in ("1999", ",", *HOSTILE)),
    ],
    "phase": [
        *(["plan", "--phases", word] for word in ("raw", "fact", ",", "facts,raw", *HOSTILE)),
        *(["plan", "--from-phase", word] for word in ("raw", "fact", *HOSTILE)),
        ["plan", "--phases", "facts", "--from-phase", "facts"],
        *(["retry", "run-1", "--phase", word] for word in ("fact", *HOSTILE)),
        *(["up", "--queues", word] for word in ("fact", "facts,nothing", ",", *HOSTILE)),
    ],
    "number": [
        *(["plan", "--chunk-dates", word] for word in ("0", "-1", "367", "9" * 400, "1.5", "NaN")),
        *(["plan", "--limit", word] for word in ("0", "-1", "1e3", "")),
        *(["up", "--workers", word] for word in ("0", "257", "-1", "many")),
    ],
    "text": [["plan", "--reason", word] for word in (LINES, ESCAPE, BYTES, LONG, TURNED)],
    "file": [
        *(["plan", "--out", word] for word in ("/proc/plan.json", "/dev/null/x", "warehouse", "")),
        *(
            ["enqueue", "--plan", word]
            for word in ("none.json", "warehouse", "bench.toml", "/dev/zero", "/proc/self/mem")
        ),
        *(["enqueue", "--plan", word] for word in (UP, LONG, BYTES, "")),
        *(["compare", word, word] for word in ("none", "warehouse", "/dev/zero", "bench.toml")),
        *(["compare", word, word] for word in ("/proc/self/mem", *HOSTILE)),
        *(["sandbox", "build", word] for word in ("warehouse", "/dev/null/x")),
        *(
            ["sandbox", "build", "new", "--boxscores", word]
            for word in ("none.parquet", "warehouse", "bench.toml", BYTES)
        ),
        ["demo", "--boxscores", "none.parquet"],
        ["report", "run-1", "--handoff", "/dev/null/x"],
    ],
    "name": [
        *(["validate", "--save", word] for word in ("../x", "a/b", "..", ".", ".x", *HOSTILE)),
        *(["validate", "--question", word] for word in ("count", *HOSTILE)),
        *(["validate", "--print", word] for word in ("count", *HOSTILE)),
        ["validate", "--print", "counts", "--json"],
    ],
    "usage": [
        ["nothing"],
        ["gaps", "--nothing"],
        ["gaps", "extra"],
        ["enqueue"],
        ["enqueue", "--gaps", "--plan", "plan.json"],
        ["sandbox", "run"],
        *([ESCAPE], [BYTES], [LONG], [""]),
    ],
}
"""What is wrong → command lines that are refused as bad usage, before anything happens."""


@dataclass(kw_only=True)
class Told:
    """What a command said."""

    code: int
    out: str
    err: str


Run = Callable[..., Told]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pipeline file, and a warehouse in which everything is still to do."""
    place = tmp_path_factory.mktemp("bad") / "place"
    place.mkdir()
    bench = Bench(place=place)
    bench.fleet(bench.script())
    return place


@pytest.fixture
def run(
    place: Path,
    client: redis.Redis,
    redis_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs a command where everything is in order, unless the test has changed that."""
    settings = {
        "WAREHOUSE": f"local:{place / 'warehouse'}",
        "PIPELINE": str(place / "bench.toml"),
        "BROKER_URL": redis_settings.redis_url,
        "HOME": str(place / "home"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"BACKFILL_{name}", value)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("worker.connection.PLANNER_TRIES", 0)  # nothing here comes back
    monkeypatch.chdir(place)

    def run_it(*arguments: str) -> Told:
        monkeypatch.setattr(sys, "argv", ["planner", *arguments])
        with pytest.raises(SystemExit) as ended:  # anything else would be a traceback
            cli.main()
        said = capsys.readouterr()
        assert "\x1b" not in said.out + said.err
        assert isinstance(ended.value.code, int)
        return Told(code=ended.value.code, out=said.out, err=said.err)

    return run_it


def everything(place: Path, client: redis.Redis) -> Any:
    """Every file around, and everything in Redis."""
    files = {path: path.read_bytes() for path in place.parent.rglob("*") if path.is_file()}
    return files, {key: client.dump(key) for key in client.scan_iter()}


@pytest.mark.parametrize("what", BEFORE_ANYTHING)
def test_what_cannot_be_used_is_refused_in_words_and_nothing_is_done(
    run: Run, place: Path, client: redis.Redis, what: str
) -> None:
    before = everything(place, client)
    for arguments in BEFORE_ANYTHING[what]:
        told = run(*arguments)

        shown = [word[:40] for word in arguments]
        assert (told.code, told.out) == (2, ""), (shown, told)
        assert ADVICE.search(told.err), (shown, told.err)
        assert everything(place, client) == before, shown


# -- plans that somebody made by hand ------------------------------------------------------------


@pytest.fixture
def plan(run: Run, tmp_path: Path) -> dict[str, Any]:
    """A plan of ours, as JSON."""
    assert run("plan", "--out", str(tmp_path / "plan.json")).code == 0
    content: dict[str, Any] = json.loads((tmp_path / "plan.json").read_text())
    return content


def sealed(content: dict[str, Any]) -> str:
    """With a checksum that fits: it keeps nobody from making a plan."""
    content.pop("steps_total", None)
    return json.dumps(Plan.model_validate_json(json.dumps(content)).sealed().as_json())


def edited(plan: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """With the first chunk, or its only step, changed."""
    for key, value in changes.items():
        chunk = plan["chunks"][0]
        (chunk if key in chunk else chunk["steps"][0])[key] = value
    return plan


def twice(plan: dict[str, Any]) -> dict[str, Any]:
    plan["chunks"].append(plan["chunks"][0])
    return plan


@pytest.mark.parametrize(
    "change",
    [
        lambda plan: edited(plan, id="../../../tmp/x"),
        lambda plan: edited(plan, id="2024-01-01/../../x"),
        lambda plan: edited(plan, phase="raw"),
        lambda plan: edited(plan, phase="nothing"),
        lambda plan: edited(plan, start="0001-01-01"),
        lambda plan: edited(plan, end="9999-12-31"),
        lambda plan: edited(plan, tasks=[]),
        lambda plan: edited(plan, dates=["2024-01-02", "2024-01-01"]),
        lambda plan: edited(plan, steps=plan["chunks"][0]["steps"] * 2),
        twice,
        lambda plan: {**plan, "warehouse": "local:/elsewhere"},
        lambda plan: {**plan, "pipeline_checksum": "0" * 16},
        lambda plan: {**plan, "format": 2},
    ],
)
def test_a_plan_that_was_made_by_hand_is_read_as_if_by_an_enemy(
    run: Run, place: Path, client: redis.Redis, plan: dict[str, Any], tmp_path: Path, change: Any
) -> None:
    path = tmp_path / "by-hand.json"
    path.write_text(sealed(change(plan)))
    before = everything(place, client)

    for more in (["--dry-run"], ["--yes"]):
        told = run("enqueue", "--plan", str(path), *more)
        assert (told.code, told.out) == (2, ""), told
        assert re.search(r"[Mm]ake a new|this version reads", told.err), told.err
    assert everything(place, client) == before


@pytest.mark.parametrize("name", ["plan_id", "pipeline"])
@pytest.mark.parametrize("word", [UP, ESCAPE, "[/]", LINES])
def test_ids_in_a_plan_are_ids(
    run: Run, plan: dict[str, Any], tmp_path: Path, name: str, word: str
) -> None:
    path = tmp_path / "by-hand.json"
    path.write_text(json.dumps({**plan, name: word}))

    assert run("enqueue", "--plan", str(path)).code == 2


def test_the_options_of_a_plan_are_not_given_again(
    run: Run, plan: dict[str, Any], tmp_path: Path
) -> None:
    told = run("enqueue", "--plan", str(tmp_path / "plan.json"), "--limit", "1")

    assert told.code == 2
    assert "planner plan" in told.err


# -- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WAREHOUSE", ESCAPE),
        ("PIPELINE", UP),
        ("PIPELINE", "/dev/zero"),
        ("PIPELINE", LONG),
        ("PIPELINE", LINES),
        ("BROKER_URL", ""),
        ("BROKER_URL", "localhost"),
        ("BROKER_URL", "http://localhost:6379"),
        ("BROKER_URL", "amqp://guest@localhost//"),
        ("BROKER_URL", "redis://"),
        ("BROKER_URL", "redis://host:99999/0"),
        ("BROKER_URL", "redis://host:port/0"),
        ("BROKER_URL", "redis://host/zero"),
        ("BROKER_URL", "redis://host/0?nothing=1"),
        ("BROKER_URL", "redis://host/0?ssl_cert_reqs=none"),
        ("BROKER_URL", "redis://:pass#word@host/0"),
        ("BROKER_URL", "redis://[::1"),
        ("BROKER_URL", "unix://relative.sock"),
        ("BROKER_URL", "rediss://host/0?ssl_cert_reqs=perhaps"),
        ("BROKER_URL", "rediss://host/0?ssl_check_hostname=perhaps"),
        ("BROKER_URL", "rediss://host/0?ssl_ca_certs=/no/such.pem"),
        ("BROKER_URL", "rediss://host/0?ssl_ca_cert=/no/such.pem"),
        ("BROKER_URL", LINES),
        ("HOME", "a\nb"),
        ("LEASE_SECONDS", "NaN"),
        ("LEASE_SECONDS", "-1"),
        ("VISIBILITY_SECONDS", "9" * 5000),
        ("MAX_BYTES", "0"),
        ("LEDGER_DATASET", "ops; DROP"),
    ],
)
@pytest.mark.parametrize("command", ["gaps", "settings"])
def test_a_setting_that_cannot_be_is_told_by_its_name(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch, command: str, name: str, value: str
) -> None:
    monkeypatch.setenv(f"BACKFILL_{name}", value)

    told = run(command)

    if (command, name) == ("settings", "PIPELINE") and value != LINES:
        assert told.code == 0  # it shows what is set, and reads nothing
        return
    assert told.code == 2, told
    assert f"BACKFILL_{name}" in told.err or "bench.toml" in told.err or "/dev/zero" in told.err
    assert "pass#word" not in told.err


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"BACKFILL_HOME='\x1b[2J'\n"])
def test_settings_in_a_file_are_settings(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    monkeypatch.delenv("BACKFILL_HOME")
    (tmp_path / ".env").write_bytes(content)
    monkeypatch.chdir(tmp_path)

    assert run("settings").code == 2


@pytest.mark.parametrize("home", ["/proc/home", "/dev/null", "/dev/null/home"])
@pytest.mark.parametrize(
    "arguments", [["gaps"], ["plan"], ["enqueue", "--gaps"], ["validate", "--save", "x"], ["up"]]
)
def test_a_home_that_cannot_be_made_is_named(
    run: Run, client: redis.Redis, monkeypatch: pytest.MonkeyPatch, home: str, arguments: list[str]
) -> None:
    monkeypatch.setenv("BACKFILL_HOME", home)
    monkeypatch.setattr("planner.commands.up.stop_on_sigterm", lambda: None)

    told = run(*arguments)

    assert told.code == 2, told
    assert home in told.err
    assert "BACKFILL_HOME" in told.err
    assert client.keys() == []


# -- what is around ------------------------------------------------------------------------------

ASKS_REDIS = (
    ["runs"],
    *([name, "run-1"] for name in ("status", "watch", "report", "pause", "resume", "cancel")),
    ["retry", "run-1"],
    ["enqueue", "--gaps"],
)


def page(call: Any) -> tuple[int, str]:
    return 200, f"<html>{ESCAPE * 1000}</html>"


@pytest.fixture(params=["nobody", "a web server", "a file", "a wrong password"])
def no_redis(
    request: pytest.FixtureRequest, tmp_path: Path, redis_settings: Settings, client: redis.Redis
) -> Iterator[str]:
    """An address at which there is no Redis for us."""
    match request.param:
        case "nobody":
            yield "redis://127.0.0.1:1/0"
        case "a web server":
            with served(Service(start=page, status=page)) as service:
                yield service.url.replace("http://", "redis://") + "/0"
        case "a file":
            (tmp_path / "redis.sock").write_text("no socket")
            yield f"unix://{tmp_path / 'redis.sock'}"
        case _:
            client.acl_setuser("somebody", enabled=True, passwords=["+right-password"])
            yield redis_settings.redis_url.replace("unix://", "unix://somebody:wrong-password@")
            client.acl_deluser("somebody")


def test_without_redis_every_command_says_so(
    run: Run, place: Path, client: redis.Redis, monkeypatch: pytest.MonkeyPatch, no_redis: str
) -> None:
    monkeypatch.setenv("BACKFILL_BROKER_URL", no_redis)
    before = everything(place, client)
    for arguments in ASKS_REDIS:
        told = run(*arguments)
        assert (told.code, told.out) == (3, ""), (arguments, told)
        assert "BACKFILL_BROKER_URL" in told.err
        assert "wrong-password" not in told.err
        assert len(told.err) < 600
    # and what needs none does its work
    assert run("gaps").code == 1
    assert run("plan").code == 0
    assert run("doctor").code == 3
    assert everything(place, client) == before


def gone(warehouse: Path) -> None:
    shutil.rmtree(warehouse)


def a_file(warehouse: Path) -> None:
    shutil.rmtree(warehouse)
    warehouse.write_text("no folder")


def without_a_table(warehouse: Path) -> None:
    shutil.rmtree(warehouse / "lake" / "first")


def with_a_log_of(text: bytes) -> Callable[[Path], None]:
    def break_it(warehouse: Path) -> None:
        for log in (warehouse / "lake" / "raw" / "_delta_log").glob("*.json"):
            log.write_bytes(text)

    return break_it


def without_its_files(warehouse: Path) -> None:
    for file in (warehouse / "lake" / "raw").rglob("*.parquet"):
        file.unlink()


def with_other_files(warehouse: Path) -> None:
    for file in (warehouse / "lake" / "raw").rglob("*.parquet"):
        file.write_bytes(b"PAR1 and nothing else PAR1")


@pytest.mark.parametrize(
    "break_it",
    [
        gone,
        a_file,
        without_a_table,
        with_a_log_of(b""),
        with_a_log_of(b"\xff\xfe\x00"),
        with_a_log_of(b'{"add": {"path": "../../../etc/passwd"}}'),
        with_a_log_of(b"[" * 100_000),
        without_its_files,
        with_other_files,
    ],
)
def test_without_a_warehouse_nothing_is_taken_for_a_gap(
    run: Run,
    place: Path,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    break_it: Callable[[Path], None],
) -> None:
    shutil.copytree(place / "warehouse", tmp_path / "warehouse")
    break_it(tmp_path / "warehouse")
    monkeypatch.setenv("BACKFILL_WAREHOUSE", f"local:{tmp_path / 'warehouse'}")

    for arguments in (["gaps"], ["plan"], ["validate"], ["enqueue", "--gaps"], ["doctor"]):
        told = run(*arguments)
        assert told.code == 3, (arguments, told)
        assert told.out == "" or arguments == ["doctor"], told
        assert str(tmp_path / "warehouse") in told.err + told.out
    assert client.keys() == []


@pytest.mark.parametrize("setting", ["", "lake", "s3:bucket", "local:", "bigquery:", SIGNS])
def test_a_warehouse_that_there_is_not_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv("BACKFILL_WAREHOUSE", setting)

    for arguments in (["gaps"], ["validate"], ["enqueue", "--gaps"]):
        told = run(*arguments)
        assert (told.code, told.out) == (3, ""), told
        assert "BACKFILL_WAREHOUSE" in told.err


# -- files of ours that somebody changed ---------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[" * 100_000,
        "null",
        '{"run_id": "../../x", "pipeline": "bench", "warehouse": "w", "dates": {}}',
        '{"run_id": "run-1", "pipeline": "bench", "warehouse": "w", "dates": {"facts": ["x"]}}',
    ],
)
def test_a_note_of_what_is_owed_is_not_guessed_at(
    run: Run,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    content: str,
) -> None:
    monkeypatch.setenv("BACKFILL_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "owed").mkdir(parents=True)
    (tmp_path / "home" / "owed" / "run-1.json").write_text(content)

    for arguments in (["gaps"], ["plan"], ["enqueue", "--gaps"]):
        told = run(*arguments)
        assert (told.code, told.out) == (4, ""), told
        assert "owed/run-1.json" in told.err
        assert "Restore it, or delete it" in told.err
    assert client.keys() == []


def test_a_plan_of_ours_still_runs(run: Run, client: redis.Redis, plan: dict[str, Any]) -> None:
    """The rules above refuse nothing that is right."""
    assert parse_plan(plan, where="plan.json").steps_total == len(plan["chunks"])
    assert date.fromisoformat(plan["chunks"][0]["dates"][0]) == date(2024, 1, 1)


def test_retry_takes_dates_with_commas_between(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def retried(fleet: Any, run_id: str, **wanted: Any) -> int:
        asked.append(wanted)
        return 2

    monkeypatch.setattr("worker.control.retry", retried)

    assert run("retry", "run-1", "--dates", "2024-01-01, 2024-01-03", "--json").code == 0
    (wanted,) = asked
    assert (wanted["phase"], wanted["dates"]) == (None, [date(2024, 1, 1), date(2024, 1, 3)])
