"""The Celery app: `celery -A worker.app worker`, `celery -A worker.app flower`.

Every setting that is not Celery's default has its reason here. They were found by fault injection,
which `make chaos` repeats.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from logging import Logger
from typing import Any

from celery import Celery, signals
from kombu.entity import Queue

from planner.errors import FleetError
from planner.pipeline.folder import pipeline_files
from planner.pipeline.load import load_pipeline
from planner.pipeline.pipeline import Pipeline
from planner.settings import LogFormat, Settings, load_settings
from worker.messages import beat, lanes, transport
from worker.processes import shutdown
from worker.processes.logs import JsonLines
from worker.processes.secrets import redact_log
from worker.processes.workers import STOP_SECONDS

FINAL_QUEUE = "final"
DAYS = 86_400


def transport_url(settings: Settings) -> str:
    """The broker's address as kombu spells it."""
    if settings.redis_url.startswith("unix://"):
        return settings.redis_url.replace("unix://", "redis+socket://", 1)
    return settings.redis_url


def queue_names(*pipelines: Pipeline) -> list[str]:
    """Every queue of some pipelines, by priority: the order in which a free worker looks at them.

    Their queues take turns: the first of each before the second of any.
    """
    turns = zip_longest(*([p.queue_name for p in each.by_priority] for each in pipelines))
    return list(dict.fromkeys([FINAL_QUEUE, *(name for turn in turns for name in turn if name)]))


def short_queues(pipelines: Iterable[Pipeline]) -> set[str]:
    """Queues whose messages are short visits: to a service, or at a run's end."""
    phases = (phase for pipeline in pipelines for phase in pipeline.by_priority)
    polled = {phase.queue_name for phase in phases if phase.runners[0].is_polled}
    return {FINAL_QUEUE, *polled}


def make_app(settings: Settings, pipelines: Sequence[Pipeline]) -> Celery:
    """Make the Celery app for some settings. Raises `UsageError` for another user's Redis."""
    settings.check_socket()
    url = transport_url(settings)
    app = Celery(
        "backfill",
        broker=url,
        backend=url,
        include=["worker.tasks", "worker.janitor"],
        amqp="worker.messages.sent:AMQP",
    )
    app.conf.update(_configuration(settings, pipelines))
    transport.install(app, visibility_seconds=settings.visibility_seconds)
    lanes.install(leading=short_queues(pipelines))
    if settings.alive_file is not None:
        stop_seconds = 2 * settings.grace_seconds + STOP_SECONDS
        beat.install(app, str(settings.alive_file), stop_seconds=stop_seconds)
    shutdown.install(grace_seconds=settings.grace_seconds)
    prepare = _as_json if settings.log_format is LogFormat.JSON else _redact
    for ready in (signals.after_setup_logger, signals.after_setup_task_logger):
        ready.connect(prepare, weak=False)
    return app


def _redact(logger: Logger, **ignored: Any) -> None:
    redact_log(logger)


def _as_json(logger: Logger, **ignored: Any) -> None:
    for handler in logger.handlers:
        handler.setFormatter(JsonLines())


def _configuration(settings: Settings, pipelines: Sequence[Pipeline]) -> dict[str, Any]:
    tls = {**settings.address.tls} or None
    return {
        # For broker and results: without options kombu accepts any certificate.
        "broker_use_ssl": tls,
        "redis_backend_use_ssl": tls,
        # JSON alone on the wire: a pickle message is refused.
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        # Drops malformed messages, which would end the worker that reads them.
        "worker_consumer": "worker.messages.wire:Consumer",
        # At least once: a message is acknowledged when its step has ended, so that a killed
        # worker loses none.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        "broker_transport_options": _transport_options(settings),
        "redis_socket_timeout": 15.0,
        "redis_socket_connect_timeout": 5.0,
        "redis_backend_health_check_interval": 10,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # the default gives up after 100
        # A Redis that answers with an error (READONLY after a failover, OOM, MISCONF) would end the
        # worker: it is a lost connection, too.
        "broker_channel_error_retry": True,
        # A link that has ended must send the next one, however long Redis does not answer. An
        # integer: None means three for links of a chain.
        "task_publish_retry_policy": {
            "max_retries": 720,
            "interval_start": 0.2,
            "interval_step": 0.5,
            "interval_max": 5,
        },
        "result_backend_always_retry": True,
        # Every message of a run goes to the run's lane, which is where its first ones were sent to.
        "task_inherit_parent_priority": True,
        # Longer than any run: a chord whose key expires never calls back.
        "result_expires": 30 * DAYS,
        "result_chord_expires": 30 * DAYS,
        # What Flower shows. That a task has started comes as an event: in its result it would cost
        # two round trips of every step (`task_track_started`).
        "result_extended": True,
        "worker_send_task_events": True,
        "task_send_sent_event": True,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_hijack_root_logger": False,
        "task_queues": [Queue(name, routing_key=name) for name in queue_names(*pipelines)],
        "task_default_queue": FINAL_QUEUE,
        "timezone": "UTC",
    }


def _transport_options(settings: Settings) -> dict[str, Any]:
    options: dict[str, Any] = {
        # Short, because the visibility heartbeat keeps a live worker's messages invisible.
        "visibility_timeout": settings.visibility_seconds,
        "unacked_restore_interval": max(1, min(10, settings.visibility_seconds // 4)),
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": 30,
        "queue_order_strategy": "priority",  # as `queue_names` lists them
        "priority_steps": list(lanes.ALL),
        "socket_timeout": 15,
        "socket_connect_timeout": 5,
        "health_check_interval": 10,
    }
    if settings.redis_url.startswith(("redis://", "rediss://")):
        options["socket_keepalive"] = True
    return options


def _app_here() -> Celery:
    settings = load_settings()
    own = load_pipeline(settings.pipeline)  # without which nothing works
    files = pipeline_files(settings.pipeline, settings.pipelines) if settings.pipelines else []
    return make_app(settings, [own, *(pipeline for _, pipeline in files)])


try:
    app = _app_here()
except FleetError as error:
    raise SystemExit(str(error)) from None
