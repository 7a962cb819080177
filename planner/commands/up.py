"""`planner up`: a whole fleet on one machine, in the foreground."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import closing, suppress
from types import FrameType
from typing import Annotated

import typer

from planner.address import masked
from planner.console import options as opt
from planner.console.context import settings_here
from planner.console.output import err, note, print_json
from planner.errors import UsageError
from planner.pipeline.load import load_pipeline
from planner.pipeline.pipeline import Pipeline
from planner.settings import Settings
from planner.text import nearest

READY_SECONDS = 30.0  # for workers to import all that they need, also on a machine that is busy
LOOK_SECONDS = 0.1


def up(
    workers: Annotated[
        int, typer.Option("--workers", "-n", min=1, max=256, help="How many steps at once.")
    ] = 2,
    queues: Annotated[
        str | None,
        typer.Option("-Q", "--queues", parser=opt.parse_names, help="Only these queues (phases)."),
    ] = None,
    json: opt.Json = False,
) -> None:
    """Run the embedded Redis and some workers until Ctrl-C.

    With BACKFILL_BROKER_URL set, only the workers.
    """
    from worker.processes.embedded_redis import embedded_broker
    from worker.processes.workers import run_workers

    settings = settings_here()
    pipeline = load_pipeline(settings.pipeline)  # its workers would end of a broken one
    if queues is not None:
        _check_queues(pipeline, queues)
    stop_on_sigterm()
    with (
        embedded_broker(settings, say=note),
        run_workers(settings, workers=workers, queues=queues, say=note),
    ):
        if json:
            print_json(
                {
                    "workers": workers,
                    "home": settings.home_dir,
                    "broker": masked(settings.redis_url),
                }
            )
        try:
            state = "up" if _are_there(settings, workers) else "starting"
            told = "1 worker is" if workers == 1 else f"{workers} workers are"
            err.print(f"{told} {state}; logs are in {settings.folder('logs')}", markup=False)
            note("In another terminal: planner enqueue --gaps. Ctrl-C stops the fleet.")
            _say_what_it_would_lose(settings)
            threading.Event().wait()
        except KeyboardInterrupt:
            note(f"Stopping; running steps have {settings.grace_seconds:g} s to end.")


def _check_queues(pipeline: Pipeline, queues: str) -> None:
    """Raises `UsageError` for a queue that nothing is ever sent to."""
    from worker.app import queue_names

    known = queue_names(pipeline)
    for name in (name.strip() for name in queues.split(",")):
        if name not in known:
            raise UsageError(f"There is no queue {name!r}; {nearest(name, known, what='queues')}")


def _are_there(settings: Settings, workers: int) -> bool:
    """Wait until the workers have registered, so that the next command finds them; for a while.

    With a Redis of the user's own, others' workers are there too, and theirs may be long in coming.
    """
    import redis

    from worker.ledger.connection import connect
    from worker.ledger.slots import slots_now

    if not settings.is_embedded:
        return True
    until = time.monotonic() + READY_SECONDS
    with closing(connect(settings, patient=False)) as client, suppress(redis.RedisError):
        while (there := slots_now(client)) < workers and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)
        return there >= workers
    return False


def _say_what_it_would_lose(settings: Settings) -> None:
    """Say by which of its settings a Redis that is not ours would lose runs.

    One that does not answer yet is waited for by the workers, which say so.
    """
    import redis

    from worker.ledger.connection import connect, forgetful

    if settings.is_embedded:
        return
    with closing(connect(settings, patient=False)) as client, suppress(redis.RedisError):
        for detail, advice in forgetful(client):
            note(f"Redis: {detail}. {advice}.")


def stop_on_sigterm() -> None:
    """Treat SIGTERM as Ctrl-C, so that everything started here is ended."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
