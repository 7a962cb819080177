"""The Celery app: `celery -A worker.app worker`, `celery -A worker.app flower`.

Every setting that is not Celery's default has its reason here. They were found by killing
things; `make chaos` does it again.
"""

from __future__ import annotations

from logging import Logger
from typing import Any

from celery import Celery, signals
from kombu.entity import Queue

from planner.errors import FleetError
from planner.pipeline.load import load_pipeline
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.runners import HttpBatchRunner
from planner.settings import Settings, load_settings
from worker.messages import transport
from worker.processes import shutdown
from worker.processes.secrets import redact_log

FINAL_QUEUE = "final"
DAYS = 86_400


def transport_url(settings: Settings) -> str:
    """The broker as kombu names it."""
    if settings.redis_url.startswith("unix://"):
        return settings.redis_url.replace("unix://", "redis+socket://", 1)
    return settings.redis_url


def queue_names(pipeline: Pipeline) -> list[str]:
    """Every queue of a pipeline, in the order in which a free worker looks at them.

    The final one first, then phases that a service works for, because their steps are short
    visits and one batch at a time is what everybody waits for; then the others in phase order.
    """
    phases = [phase for phase in pipeline.phases if not phase.is_source]
    visits = [phase for phase in phases if isinstance(phase.runners[0], HttpBatchRunner)]
    return list(dict.fromkeys([FINAL_QUEUE, *(p.queue_name for p in [*visits, *phases])]))


def make_app(settings: Settings, pipeline: Pipeline) -> Celery:
    """The app, for these settings."""
    url = transport_url(settings)
    app = Celery("backfill", broker=url, backend=url, include=["worker.tasks", "worker.janitor"])
    app.conf.update(_configuration(settings, pipeline))
    transport.install(app, visibility_seconds=settings.visibility_seconds)
    shutdown.install(grace_seconds=settings.grace_seconds)
    for ready in (signals.after_setup_logger, signals.after_setup_task_logger):
        ready.connect(_redact, weak=False)
    return app


def _redact(logger: Logger, **ignored: Any) -> None:
    redact_log(logger)


def _configuration(settings: Settings, pipeline: Pipeline) -> dict[str, Any]:
    socket = {"socket_timeout": 15, "socket_connect_timeout": 5, "health_check_interval": 10}
    if settings.redis_url.startswith(("redis://", "rediss://")):
        socket["socket_keepalive"] = True
    tls = {**settings.address.tls} or None
    return {
        # Told to both, because without options kombu takes any certificate.
        "broker_use_ssl": tls,
        "redis_backend_use_ssl": tls,
        # JSON alone on the wire; a pickle message is refused.
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        # What is not even a task is thrown away: it must not end the worker that reads it.
        "worker_consumer": "worker.messages.wire:Consumer",
        # A message is acknowledged when its step has ended, so a killed worker loses none.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        # Short, because the visibility heartbeat keeps a live worker's messages invisible.
        "broker_transport_options": {
            "visibility_timeout": settings.visibility_seconds,
            "unacked_restore_interval": max(1, min(10, settings.visibility_seconds // 4)),
            "unacked_restore_throttle": 1,
            "unacked_mutex_expire": 30,
            "queue_order_strategy": "priority",  # as `queue_names` lists them
            **socket,
        },
        "redis_socket_timeout": 15.0,
        "redis_socket_connect_timeout": 5.0,
        "redis_backend_health_check_interval": 10,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # the default gives up after 100
        # A finished link must hand on its chain, however long Redis is away. An integer: None
        # means three for links of a chain.
        "task_publish_retry_policy": {
            "max_retries": 720,
            "interval_start": 0.2,
            "interval_step": 0.5,
            "interval_max": 5,
        },
        "result_backend_always_retry": True,
        # A chord whose key expires never calls back: longer than any run.
        "result_expires": 30 * DAYS,
        "result_chord_expires": 30 * DAYS,
        # What Flower shows.
        "result_extended": True,
        "task_track_started": True,
        "worker_send_task_events": True,
        "task_send_sent_event": True,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_hijack_root_logger": False,
        "task_queues": [Queue(name, routing_key=name) for name in queue_names(pipeline)],
        "task_default_queue": FINAL_QUEUE,
        "timezone": "UTC",
    }


def _app_here() -> Celery:
    settings = load_settings()
    return make_app(settings, load_pipeline(settings.pipeline))


try:
    app = _app_here()
except FleetError as error:
    raise SystemExit(str(error)) from None
