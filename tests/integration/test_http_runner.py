"""A batch service that goes wrong, over real HTTP: each outcome, with the rows after it."""

from __future__ import annotations

import base64
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from planner.gaps.gaps import GapReason
from planner.pipeline.runners import Secret
from tests.integration.bench import DAYS, TABLES, Bench
from tests.integration.service import Answer, Call, Service, served
from worker.runners import Park
from worker.runners.answers import text_of
from worker.runners.credentials import NoSecret, read
from worker.step.ended import Ended

NO_BATCH: Answer = (200, {"status": "no_active_batch"})
RUNNING: Answer = (
    200,
    {"status": "running", "batch_id": "b1", "progress": {"completed": 1, "is_complete": False}},
)
COMPLETE: Answer = (
    200,
    {"status": "complete", "batch_id": "b1", "progress": {"completed": 9, "is_complete": True}},
)
STARTED: Answer = (202, {"status": "started", "batch_id": "b1", "published": 0})


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(place=tmp_path)


@pytest.fixture
def serve() -> Iterator[Callable[..., Service]]:
    with ExitStack() as stack:

        def start(start: Any, status: Any) -> Service:
            return stack.enter_context(served(Service(start=start, status=status)))

        yield start


def runner(url: str, *more: str) -> str:
    lines = ['kind = "http_batch"', f'url = "{url}"', "poll_seconds = 0.05", "settle_seconds = 2"]
    return "\n".join(["[[phases.runners]]", *lines, *more])


def say(answer: Answer) -> Callable[[Call], Answer]:
    return lambda call: answer


def in_turn(*answers: Answer) -> Callable[[Call], Answer]:
    """One answer after the other; the last for ever."""
    left = list(answers)
    return lambda call: left.pop(0) if len(left) > 1 else left[0]


def fills(bench: Bench, answer: Answer = STARTED) -> Callable[[Call], Answer]:
    """A start that makes its rows at once."""

    def start(call: Call) -> Answer:
        first, last = (date.fromisoformat(call.body[key]) for key in ("start_date", "end_date"))
        bench.fill(TABLES[0], [day for day in DAYS if first <= day <= last])
        return answer

    return start


def of_batch(answer: Answer) -> Callable[[Call], Answer]:
    """A status that knows batches by name only."""
    return lambda call: answer if call.query else NO_BATCH


def test_a_batch_is_started_once_and_looked_at_until_it_ends(bench: Bench, serve: Any) -> None:
    looks = iter([RUNNING, RUNNING])
    service = serve(fills(bench), lambda call: next(looks, COMPLETE) if call.query else NO_BATCH)

    outcome = bench.to_the_end(runner(service.url))

    assert outcome.done == DAYS
    (start,) = service.asked("/start")
    assert start.body == {"start_date": str(DAYS[0]), "end_date": str(DAYS[-1])}
    assert bench.days_of() == list(DAYS)


def test_a_start_says_the_labels_that_the_services_jobs_are_to_carry(
    bench: Bench, serve: Any
) -> None:
    service = serve(fills(bench), of_batch(COMPLETE))

    bench.to_the_end(runner(service.url))

    (start,) = service.asked("/start")
    labels = dict(pair.split("=") for pair in start.headers["X-Backfill-Labels"].split(","))
    assert labels.keys() >= {"app", "pipeline", "run", "phase", "step", "runner", "dates"}
    assert labels["dates"] == str(len(DAYS))


def test_one_date_at_a_time_with_a_body_of_ones_own(bench: Bench, serve: Any) -> None:
    def start(call: Call) -> Answer:
        bench.fill(TABLES[0], [date.fromisoformat(call.body["game_date"])])
        return STARTED

    service = serve(start, of_batch(COMPLETE))
    body = 'body = { game_date = "{start}", force = true, prediction_run_mode = "BACKFILL" }'

    outcome = bench.to_the_end(runner(service.url, "per_date = true", body), DAYS[:3])

    assert outcome.done == DAYS[:3]
    assert [call.body for call in service.asked("/start")] == [
        {"game_date": str(day), "force": False, "prediction_run_mode": "BACKFILL"}
        for day in DAYS[:3]
    ]


@pytest.mark.parametrize("force", [False, True])
def test_force_is_said_only_when_asked_for(bench: Bench, serve: Any, force: bool) -> None:
    bench.force = force
    service = serve(fills(bench), of_batch(COMPLETE))
    body = 'body = { start_date = "{start}", end_date = "{end}", force = false }'

    assert bench.to_the_end(runner(service.url, body)).done == DAYS
    assert service.asked("/start")[0].body["force"] is force


def test_409_waits_without_an_attempt_and_starts_when_free(bench: Bench, serve: Any) -> None:
    busy: Answer = (409, {"status": "already_running", "batch_id": "other"})
    answers = iter([busy, busy, busy])
    start = fills(bench)
    service = serve(lambda call: next(answers, None) or start(call), of_batch(COMPLETE))

    outcome = bench.to_the_end(runner(service.url))

    assert outcome.done == DAYS
    assert len(service.asked("/start")) == 4


def test_503_blocks_with_the_services_own_message(bench: Bench, serve: Any) -> None:
    refusal = {"error": "DATA_INCOMPLETE", "message": "2 of 7 teams have no features"}
    service = serve(say((503, refusal)), say(NO_BATCH))

    outcome = bench.to_the_end(runner(service.url))

    assert set(outcome.blocked) == set(DAYS)
    assert "2 of 7 teams have no features" in outcome.blocked[DAYS[0]]
    assert bench.days_of() == []


def test_413_is_halved(bench: Bench, serve: Any) -> None:
    small = fills(bench)

    def start(call: Call) -> Answer:
        first, last = (date.fromisoformat(call.body[key]) for key in ("start_date", "end_date"))
        if (last - first).days >= 2:
            return 413, "<html><title>413 Request Entity Too Large</title></html>"
        return small(call)

    service = serve(start, of_batch(COMPLETE))

    assert bench.to_the_end(runner(service.url)).done == DAYS
    assert len(service.asked("/start")) == 7


@pytest.mark.parametrize("answer", [(500, {"error": "boom"}), (500, "boom"), (0, "")])
def test_a_start_that_went_wrong_is_to_be_tried_again(
    bench: Bench, serve: Any, answer: Answer
) -> None:
    service = serve(say(answer), say(NO_BATCH))

    outcome = bench.to_the_end(runner(service.url))

    assert set(outcome.short) == set(DAYS)
    assert outcome.permanent == {}


def test_nobody_there_is_to_be_tried_again(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"

    outcome = bench.to_the_end(runner(url))

    assert "ConnectError" in outcome.short[DAYS[0]]


def test_no_batch_is_started_twice_when_the_answer_to_the_first_was_lost(
    bench: Bench, serve: Any
) -> None:
    # Given a service that starts a batch, and whose answer comes too late
    looks: list[Answer] = []

    def start(call: Call) -> Answer:
        looks.extend([RUNNING, RUNNING, RUNNING])
        return 0, ""

    def status(call: Call) -> Answer:
        if len(looks) == 1:  # it ends
            bench.fill(TABLES[0], DAYS[:1])
        return looks.pop() if looks else NO_BATCH

    service = serve(start, status)
    first = bench.to_the_end(runner(service.url), DAYS[:1])
    assert list(first.short) == [DAYS[0]]

    # When it is tried again
    second = bench.to_the_end(runner(service.url), DAYS[:1], number=2)

    # Then the batch that runs is waited for, and made the rows
    assert second.done == DAYS[:1]
    assert len(service.asked("/start")) == 1


SHAPE_2 = {"status": "completed", "batch_id": "b1", "completed_players": 9, "source": "store"}


@pytest.mark.parametrize("answer", [(200, SHAPE_2), NO_BATCH, (404, {"status": "not_found"})])
@pytest.mark.quick(0)
def test_whatever_the_status_says_the_recount_decides(
    bench: Bench, serve: Any, answer: Answer
) -> None:
    service = serve(fills(bench), of_batch(answer))
    assert bench.to_the_end(runner(service.url)).done == DAYS

    empty = serve(say(STARTED), of_batch(answer))
    bench.warehouse().run("DELETE FROM lake.first WHERE day >= @day", {"day": DAYS[0]})
    outcome = bench.to_the_end(runner(empty.url, "stall_seconds = 0.2"))
    assert set(outcome.short) == set(DAYS)


def test_rows_that_come_after_complete_are_waited_for(bench: Bench, serve: Any) -> None:
    service = serve(say(STARTED), of_batch(COMPLETE))
    outcome: Any = bench.attempt(runner(service.url))  # starts
    outcome = bench.attempt(runner(service.url), checkpoint=outcome.checkpoint)  # complete, no rows
    assert isinstance(outcome, Park)

    bench.fill(TABLES[0], DAYS)

    outcome = bench.attempt(runner(service.url), checkpoint=outcome.checkpoint)
    assert isinstance(outcome, Ended)
    assert outcome.done == DAYS


def test_two_deliveries_at_once_do_not_halve_the_patience(bench: Bench, serve: Any) -> None:
    # Given a batch that is complete, without rows, and patience of 2 seconds
    service = serve(say(STARTED), of_batch(COMPLETE))
    outcome: Any = bench.attempt(runner(service.url))

    # When the step comes by more often than it was told to, then it still waits for the rows
    for _ in range(5):
        outcome = bench.attempt(runner(service.url), checkpoint=outcome.checkpoint)
        assert isinstance(outcome, Park)
    bench.now += 1.9
    assert isinstance(bench.attempt(runner(service.url), checkpoint=outcome.checkpoint), Park)

    # And no longer than that
    bench.now += 0.1
    assert isinstance(bench.attempt(runner(service.url), checkpoint=outcome.checkpoint), Ended)


def test_complete_without_rows_fails_when_patience_ends(bench: Bench, serve: Any) -> None:
    service = serve(say(STARTED), of_batch(COMPLETE))

    outcome = bench.to_the_end(runner(service.url))

    assert "rows missing" in outcome.short[DAYS[0]]


@pytest.mark.parametrize("is_told", [True, False])
def test_a_batch_that_stalls_fails_and_is_not_reset(
    bench: Bench, serve: Any, is_told: bool
) -> None:
    stalled = {**RUNNING[1], "is_stalled": is_told}
    service = serve(say(STARTED), of_batch((200, stalled)))

    outcome = bench.to_the_end(runner(service.url, "stall_seconds = 0.2"))

    assert "b1" in outcome.short[DAYS[0]]
    assert {call.path for call in service.calls} == {"/start", "/status"}


def test_somebody_elses_stalled_batch_is_not_ended_unasked(bench: Bench, serve: Any) -> None:
    service = serve(fills(bench), in_turn((200, {**RUNNING[1], "is_stalled": True})))

    outcome = bench.to_the_end(runner(service.url))

    assert "--force-service" in outcome.short[DAYS[0]]
    assert service.asked("/start") == []


@pytest.mark.parametrize(
    "answer", [(200, {"status": "no_games_scheduled"}), (404, {"error": "no players found"})]
)
def test_an_empty_answer_is_for_the_recount(bench: Bench, serve: Any, answer: Answer) -> None:
    service = serve(say(answer), say(NO_BATCH))

    outcome = bench.to_the_end(runner(service.url))

    assert text_of(answer[1]) in outcome.short[DAYS[0]]
    bench.fill(TABLES[0], DAYS)  # by whom it may concern
    assert bench.to_the_end(runner(service.url)).done == DAYS


def test_a_cascade_is_done_again_although_rows_are_there(bench: Bench, serve: Any) -> None:
    bench.fill(TABLES[0], DAYS)
    service = serve(fills(bench), in_turn(RUNNING, NO_BATCH, COMPLETE))

    outcome = bench.to_the_end(runner(service.url), reason=GapReason.CASCADE)

    assert outcome.done == DAYS
    assert len(service.asked("/start")) == 1


# -- tokens --------------------------------------------------------------------------------------

TOKENS = """
import sys
from pathlib import Path
count = Path(sys.argv[1])
number = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(number))
print(f"secret-token-{number}")
"""


def token_command(place: Path) -> str:
    """A command that prints another token every time."""
    (place / "token.py").write_text(TOKENS)
    return f'token = {{ command = ["{sys.executable}", "{place}/token.py", "{place}/count"] }}'


def known(token: str, then: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
    def answer(call: Call) -> Answer:
        bearer = call.headers.get("Authorization")
        return then(call) if bearer == f"Bearer {token}" else (401, {"error": "unauthorized"})

    return answer


def test_a_token_is_kept_and_asked_for_anew_when_refused(bench: Bench, serve: Any) -> None:
    # Given a service that accepts the second token only
    token = "secret-token-2"
    service = serve(known(token, fills(bench)), known(token, of_batch(COMPLETE)))

    outcome = bench.to_the_end(runner(service.url, token_command(bench.place)))

    # Then the command ran twice, for all requests
    assert outcome.done == DAYS
    assert (bench.place / "count").read_text() == "2"


def test_a_token_that_is_refused_anew_fails_with_advice_and_without_the_token(
    bench: Bench, serve: Any
) -> None:
    def refuse(call: Call) -> Answer:
        return 401, {"error": f"bad token {call.headers['Authorization']}"}

    service = serve(refuse, refuse)

    outcome = bench.to_the_end(runner(service.url, token_command(bench.place)))

    why = outcome.permanent[DAYS[0]]
    assert "the token was refused" in why
    assert "secret-token" not in why
    assert "***" in why


def test_a_token_that_cannot_be_had_now_is_to_be_tried_again(bench: Bench, serve: Any) -> None:
    service = serve(fills(bench), of_batch(COMPLETE))

    late = bench.to_the_end(runner(service.url, 'token = { command = ["false"] }'))
    assert "false gives no token" in late.short[DAYS[0]]
    assert late.permanent == {}

    # And one that nobody has set is for a person to set
    never = bench.to_the_end(runner(service.url, 'token = { env = "NOBODY_SETS_THIS_TOKEN" }'))
    assert "NOBODY_SETS_THIS_TOKEN" in never.permanent[DAYS[0]]
    assert service.calls == []


def test_a_token_that_cannot_be_had_in_the_middle_loses_a_look_only(
    bench: Bench, serve: Any
) -> None:
    # Given a token that ends after the start, and a command that then fails once
    more = token_command(bench.place)
    with (bench.place / "token.py").open("a") as command:
        command.write("raise SystemExit(number == 2)\n")
    service = serve(
        known("secret-token-1", say(STARTED)),
        lambda call: known("secret-token-3", made)(call) if call.query else NO_BATCH,
    )

    def made(call: Call) -> Answer:
        bench.fill(TABLES[0], DAYS)
        return COMPLETE

    # When the batch is looked at, then it is found in spite of that
    assert bench.to_the_end(runner(service.url, more)).done == DAYS
    assert len(service.asked("/start")) == 1
    assert (bench.place / "count").read_text() == "3"


def test_a_key_is_sent_beside_the_token(
    bench: Bench, serve: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SERVICE_KEY", "a-secret-key")
    (tmp_path / "token").write_text("a-secret-token\n")
    service = serve(fills(bench), of_batch(COMPLETE))
    more = ('api_key = { env = "SERVICE_KEY" }', f'token = {{ file = "{tmp_path}/token" }}')

    assert bench.to_the_end(runner(service.url, *more)).done == DAYS

    assert {call.headers["X-API-Key"] for call in service.calls} == {"a-secret-key"}
    assert {call.headers["Authorization"] for call in service.calls} == {"Bearer a-secret-token"}


def test_a_token_is_asked_for_anew_shortly_before_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from google.oauth2 import id_token

    def made(seconds: float) -> str:
        claims = json.dumps({"exp": time.time() + seconds}).encode()
        return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.sig"

    tokens = [made(60), made(3600), made(7200)]
    given = list(tokens)
    monkeypatch.setattr(id_token, "fetch_id_token", lambda request, audience: given.pop(0))
    secret = Secret(google=True, audience=f"https://{tmp_path.name}.example")

    read_tokens = [read(secret, "https://service.example") for _ in range(3)]

    assert read_tokens == [tokens[0], tokens[1], tokens[1]]


@pytest.mark.parametrize(
    "secret",
    [
        Secret(env="NOBODY_SETS_THIS_TOKEN"),
        Secret(file="no/such/file"),
        Secret(command=("false",)),
        Secret(command=("no-such-command",)),
    ],
)
def test_a_token_that_cannot_be_had_says_where_it_was_looked_for(secret: Secret) -> None:
    with pytest.raises(NoSecret) as raised:
        read(secret, "https://service.example")

    place = secret.env or secret.file or secret.command[0]
    assert place in str(raised.value)
