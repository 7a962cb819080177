"""The sandbox's prediction coordinator over real HTTP."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from planner.pipeline.load import load_pipeline
from planner.pipeline.runners import HttpBatchRunner
from planner.sandbox.boxscores import generate_boxscores
from planner.sandbox.build import build
from planner.sandbox.coordinator import Coordinator, dates_of
from planner.sandbox.demo_pipeline import demo_pipeline
from sql import Table, open_warehouse
from worker.runners.environment import fill

PIPELINE = load_pipeline("nba")
SEASON = PIPELINE.seasons[0]
DAY = timedelta(days=1)
FIRST_FULL = SEASON.start + PIPELINE.bootstrap_days * DAY
START = FIRST_FULL + DAY  # nobody plays on 2021-11-02
END = START + 3 * DAY
TOKEN = "a-token"
PREDICTIONS = Table(
    name="nba_predictions.player_prop_predictions",
    date="game_date",
    entities={"system": "system_id"},
)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("coordinator") / "warehouse"
    build(folder, generate_boxscores([SEASON], seed=3), until=END)
    return f"local:{folder}"


@pytest.fixture
def client(warehouse: str) -> Iterator[httpx.Client]:
    coordinator = Coordinator(warehouse, TOKEN)
    url = coordinator.start()
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client
    coordinator.stop()


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "faults.json"
    monkeypatch.setenv("SANDBOX_FAULTS", str(path))
    return path


def plan(start: date = START, end: date = END) -> dict[str, object]:
    return {"start_date": start.isoformat(), "end_date": end.isoformat(), "force": False}


def ended(client: httpx.Client, batch: str) -> dict[str, object]:
    """The batch's status once it is not running any more."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        answer = client.get("/status", params={"batch_id": batch}).json()
        if answer["status"] != "running":
            assert isinstance(answer, dict)
            return answer
    raise AssertionError(f"batch {batch} is still running")


def test_a_batch_starts_ends_and_has_written_every_system(
    client: httpx.Client, warehouse: str
) -> None:
    opened = open_warehouse(warehouse)
    before = opened.coverage(PREDICTIONS, START, END)
    opened.run(
        "DELETE FROM nba_predictions.player_prop_predictions WHERE game_date >= @day",
        {"day": START},
    )

    started = client.post("/start", json=plan())
    assert started.status_code == 202
    assert started.json()["status"] == "started"
    status = ended(client, started.json()["batch_id"])

    assert status["status"] == "complete"
    expected = started.json()["published"]
    assert status["progress"] == {
        "expected": expected,
        "completed": expected,
        "failed": 0,
        "remaining": 0,
        "is_complete": True,
        "progress_percentage": 100.0,
    }
    after = opened.coverage(PREDICTIONS, START, END)
    assert after == before
    assert sum(cell.rows for cell in after.values()) == 4 * expected
    opened.close()


def test_one_batch_at_a_time_even_for_another_date(client: httpx.Client, faults: Path) -> None:
    """Given a batch that does not end, when another is started, then it is refused with 409."""
    faults.write_text(json.dumps({"predictions": {START.isoformat(): "hang"}}))
    first = client.post("/start", json=plan(START, START)).json()

    refused = client.post("/start", json=plan(END, END) | {"force": True})

    assert refused.status_code == 409
    assert refused.json()["status"] == "already_running"
    assert refused.json()["batch_id"] == first["batch_id"]
    assert refused.json()["progress"]["is_complete"] is False
    assert client.get("/status").json()["batch_id"] == first["batch_id"]


def test_a_batch_that_crashes_says_so_and_frees_the_service(
    client: httpx.Client, faults: Path
) -> None:
    faults.write_text(json.dumps({"predictions": {START.isoformat(): "crash"}}))
    first = client.post("/start", json=plan()).json()

    status = ended(client, first["batch_id"])
    faults.write_text("{}")
    again = client.post("/start", json=plan())

    assert status["status"] == "failed"
    assert "crash" in str(status["summary"])
    assert again.status_code == 202
    assert ended(client, again.json()["batch_id"])["status"] == "complete"


@pytest.mark.parametrize(
    ("start", "end"),
    [(date(2021, 8, 1), date(2021, 8, 31)), (SEASON.start, FIRST_FULL - DAY)],
    ids=["summer", "bootstrap"],
)
def test_dates_without_games_to_predict_start_nothing(
    start: date, end: date, client: httpx.Client
) -> None:
    answer = client.post("/start", json=plan(start, end))

    assert answer.status_code == 200
    assert answer.json() == {"status": "no_games_scheduled"}


@pytest.mark.parametrize(
    ("body", "days"),
    [
        ({"game_date": "2021-11-05", "prediction_run_mode": "BACKFILL", "x": 1}, "2021-11-05"),
        ({"game_date": "2021-11-05", "start_date": "2021-11-03"}, "2021-11-05"),
        ({"start_date": "2021-11-03", "end_date": "2021-11-05", "x": {}}, "2021-11-03/2021-11-05"),
        ({"force": False, "start_date": "2021-11-05"}, "today"),
        ({}, "today"),
    ],
)
def test_one_date_or_a_range_or_today_whatever_else_is_said(
    body: dict[str, object], days: str
) -> None:
    days = days.replace("today", datetime.now(UTC).date().isoformat())
    first, _, last = days.partition("/")

    assert dates_of(body) == (date.fromisoformat(first), date.fromisoformat(last or first))


def test_a_batch_of_one_date_as_the_shipped_file_asks_for_it(client: httpx.Client) -> None:
    """Given the body of the shipped file, when it is sent, then that date alone is predicted."""
    runner = PIPELINE.by_name["predictions"].runners[0]
    assert isinstance(runner, HttpBatchRunner)
    assert runner.takes_one_date
    body = {
        key: fill(value, (END,)) if isinstance(value, str) else value
        for key, value in runner.body.items()
    }
    assert body == {
        "game_date": END.isoformat(),
        "prediction_run_mode": "BACKFILL",
        "force": False,
    }

    one = client.post("/start", json=body).json()
    ended(client, one["batch_id"])
    whole = client.post("/start", json=plan()).json()

    assert 0 < one["published"] < whole["published"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"game_date": "tomorrow"}',
        b'{"game_date": 7}',
        b'{"start_date": "today", "end_date": "2021-11-05"}',
        b'{"start_date": 1, "end_date": 2}',
        b'{"start_date": "2021-11-06", "end_date": "2021-11-05"}',
    ],
)
def test_what_is_no_plan_is_refused(body: bytes, client: httpx.Client) -> None:
    assert client.post("/start", content=body).status_code == 400


def test_only_who_has_the_token_may_ask(client: httpx.Client) -> None:
    strangers = [{"Authorization": "Bearer other"}, {"Authorization": ""}, {"X-API-Key": "other"}]
    for headers in strangers:
        headers = {"Authorization": "", **headers}
        assert client.post("/start", json=plan(), headers=headers).status_code == 401
        assert client.get("/status", headers=headers).status_code == 401
    known = {"Authorization": "", "X-API-Key": TOKEN}
    assert client.get("/status", headers=known).json() == {"status": "no_active_batch"}
    assert client.get("/health", headers={"Authorization": ""}).status_code == 200


def test_unknown_batches_and_pages_are_not_found(client: httpx.Client) -> None:
    answer = client.get("/status", params={"batch_id": "unknown"})

    assert (answer.status_code, answer.json()) == (404, {"status": "not_found"})
    assert client.get("/").status_code == 404
    assert client.post("/reset", json={}).status_code == 404


def test_without_a_token_everybody_may_ask(warehouse: str) -> None:
    coordinator = Coordinator(warehouse)
    try:
        assert httpx.get(f"{coordinator.start()}/status").status_code == 200
    finally:
        coordinator.stop()


def test_as_a_process_it_says_its_address_when_it_is_ready(warehouse: str) -> None:
    environment = {**os.environ, "BACKFILL_WAREHOUSE": warehouse, "COORDINATOR_TOKEN": TOKEN}
    with subprocess.Popen(
        [sys.executable, "-m", "planner.sandbox.coordinator", "--port", "0"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert httpx.get(f"{url}/health").status_code == 200
        assert httpx.get(f"{url}/status").status_code == 401
        process.terminate()
        assert process.stdout.read() == ""

    assert process.returncode == 0


def test_the_demo_uses_the_option_that_the_shipped_file_names(tmp_path: Path) -> None:
    """A range a batch: then a demo of three playoffs is one of a minute, and foreseen as that."""
    pipeline = load_pipeline(str(demo_pipeline(tmp_path)))
    runner = pipeline.by_name["predictions"].runners[0]

    assert isinstance(runner, HttpBatchRunner)
    assert not runner.takes_one_date
    assert runner.body == {"start_date": "{start}", "end_date": "{end}", "force": False}
    assert {phase.seconds_per_date for phase in pipeline.phases if phase.runners} == {0.15}
