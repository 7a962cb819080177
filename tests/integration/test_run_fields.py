"""The fields of a run's hash: one model knows them all, also those of a run begun before it."""

from __future__ import annotations

import redis

from planner.plan.states import RunState
from tests.integration.ledgers import end
from tests.integration.shop import RUN, Shop, day
from worker.ledger.orders import Orders
from worker.ledger.record import MISMATCHES, RunRecord, run_record

KEY = f"backfill:run:{RUN}"


def test_the_model_names_every_field_that_is_written(shop: Shop) -> None:
    # Given a run that was forced, paused, resumed, kept waiting and stopped by its deadline
    shop.lose_sessions(day(11))
    step = f"{day(11)}/sessionise"
    orders = Orders(force_service=True, deadline_seconds=3600)
    shop.ledger.register(RUN, shop.plan(), orders)
    shop.ledger.move(RUN, RunState.RUNNING, [RunState.INCOMPLETE])
    shop.ledger.start(RUN, step, token="a", worker="me")
    shop.ledger.move(RUN, RunState.PAUSED, [RunState.RUNNING])
    shop.ledger.move(RUN, RunState.RUNNING, [RunState.PAUSED])
    shop.ledger.add_billed(shop.ledger.require(RUN), step, 10 << 20)
    shop.ledger.note_labelled(shop.ledger.require(RUN), {step: 10 << 20}, {"aggregate": "why"})
    shop.ledger.note_end_waits(RUN, "waits", config_mismatch=True)
    shop.ledger.client.hset(KEY, "deadline", "1")
    assert shop.ledger.require(RUN).state is RunState.CANCELLING

    # When it has ended, and was retried
    end(shop.ledger, RUN, RunState.CANCELLED)
    ended = fields(shop.ledger.client)
    shop.ledger.reopen(RUN, [("sessionise", day(11))], [step])

    # Then every field of its hash is one of the model's, and each of those was written
    known = {MISMATCHES if name == "config_mismatches" else name for name in RunRecord.model_fields}
    assert ended | fields(shop.ledger.client) == known - {"id"}


def fields(client: redis.Redis) -> set[str]:
    return {str(name) for name in client.hkeys(KEY)}


def test_a_run_begun_by_an_earlier_version_is_read() -> None:
    found = {
        "plan_id": "plan-1",
        "state": "running",
        "created": "1764300000.000001",
        "steps_total": "4",
        "force_service": "0",
        "publication": "",
        "validation": '{"passed": true}',
        "misfits": "3",
        "a field of a later version": "x",
    }
    run = run_record("run-1", found)

    assert (run.id, run.state, run.steps_total) == ("run-1", RunState.RUNNING, 4)
    assert (run.force_service, run.publication, run.validation) == (False, None, {"passed": True})
    assert (run.config_mismatches, run.deadline) == (3, None)
