"""What a planner does, line by line of standard input, in a process of its own: a Celery app is
made for one broker and never lets go of it.

    send RUN                 send a registered run to the workers
    revoke TASK [terminate]  as Flower's buttons do
    finalize RUN             one more message to finalize a run
    step RUN STEP            one more message of a step
    results RUN              (step, state) of every task result in the backend, JSON
    listen                   start to follow task events, as Flower does
    seen RUN                 (step, state) of every task that was seen to run, JSON
    shown RUN                (name, what it was put back for) as Flower shows it, JSON
    retry RUN                what is not done, under the same run
    reconcile TIMES          that often at once; how many messages were sent
    unknown QUEUE            a message of a task that no worker knows
    settings                 the app's configuration, JSON
"""

from __future__ import annotations

import json
import sys
from ast import literal_eval
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Thread
from typing import Any

from celery.events.state import State
from celery.result import AsyncResult

from planner.settings import load_settings
from worker.app import app
from worker.canvas import final_message, step_message
from worker.context import Context
from worker.reconciler import reconcile
from worker.run.control import cancel, retry
from worker.run.enqueue import send_run

EVENTS = State()
"""What Flower makes of the events it hears."""

RETRIED: list[tuple[str, tuple[str, str]]] = []
"""Run, and how one of its tasks was shown each time that it was put back."""


def listen() -> None:
    """Follow task events in a thread; back when the first event has come."""
    hears = Event()

    def take(event: dict[str, Any]) -> None:
        EVENTS.event(event)
        if event["type"] == "task-retried":
            task = EVENTS.tasks[event["uuid"]]
            run_id = literal_eval(task.args)[0] if task.args else ""
            RETRIED.append((run_id, (task.name, event["exception"])))
        hears.set()  # workers send a heartbeat every other second

    def follow() -> None:
        with app.connection_for_read() as connection:
            receiver = app.events.Receiver(connection, handlers={"*": take})
            receiver.capture(limit=None, timeout=None, wakeup=False)

    Thread(target=follow, daemon=True).start()
    hears.wait()


def seen(run_id: str) -> list[tuple[str, str]]:
    """(step, state) of every task of a run that a worker received, by its events."""
    tasks = [task for _, task in EVENTS.itertasks() if task.received and task.args]
    return of_run(run_id, [(literal_eval(task.args), task.state) for task in tasks])


def shown(run_id: str) -> list[tuple[str, str]]:
    """(name, exception) of every event of a task of a run that was put back."""
    return [pair for run, pair in RETRIED if run == run_id]


def results(run_id: str) -> list[tuple[str, str]]:
    """(step, state) of every result of a run in the backend."""
    prefix = app.backend.task_keyprefix.decode()
    keys = [key.decode() for key in app.backend.client.scan_iter(f"{prefix}*")]
    found = [AsyncResult(key.removeprefix(prefix), app=app) for key in keys]
    return of_run(run_id, [(each.args or (), each.state) for each in found])


def of_run(run_id: str, tasks: Sequence[tuple[Sequence[str], str]]) -> list[tuple[str, str]]:
    """(step, state) of a run's tasks, by their arguments; the finalization is `finalize`."""
    own = [(arguments, state) for arguments, state in tasks if [*arguments][:1] == [run_id]]
    return [(" ".join(arguments[1:]) or "finalize", state) for arguments, state in own]


def do(context: Context, what: str, *more: str) -> str:
    match what, *more:
        case ["send", run_id]:
            plan = context.plan(run_id)
            assert plan is not None
            send_run(context, run_id, plan)
        case ["revoke", task_id, *how]:
            app.control.revoke(task_id, terminate=bool(how), signal="SIGKILL")
        case ["cancel", run_id]:
            cancel(context, run_id)
        case ["finalize", run_id]:
            final_message(run_id).apply_async()
        case ["step", run_id, step_id]:
            step_message(run_id, step_id, context.pipeline).apply_async()
        case ["results", run_id]:
            return json.dumps(results(run_id))
        case ["listen"]:
            listen()
        case ["seen", run_id]:
            return json.dumps(seen(run_id))
        case ["shown", run_id]:
            return json.dumps(shown(run_id))
        case ["retry", run_id]:
            return str(retry(context, run_id))
        case ["reconcile", times]:
            together = Barrier(int(times))

            def once(_: int) -> int:
                one = Context(context.settings, patient=False)
                one.redis.ping()
                together.wait()
                return len(reconcile(one))

            with ThreadPoolExecutor(int(times)) as pool:
                return str(sum(pool.map(once, range(int(times)))))
        case ["unknown", queue]:
            app.send_task("backfill.unknown", queue=queue)
        case ["settings"]:
            return json.dumps(dict(app.conf.items()), default=str)
        case other:
            raise ValueError(other)
    return "done"


if __name__ == "__main__":
    here = Context(load_settings(), patient=False)
    for line in sys.stdin:
        print(do(here, *line.split()), flush=True)
