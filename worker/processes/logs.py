"""Log lines as JSON, one object each, that say which run, step, phase and dates they are of."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from celery import signals

from planner.text import printable
from worker.processes.secrets import redacted

NOTHING: Mapping[str, Any] = {}
_about: ContextVar[Mapping[str, Any]] = ContextVar("about", default=NOTHING)


def tell_of(**fields: Any) -> None:
    """Set what log lines are about, until the task has ended."""
    _about.set({**_about.get(), **fields})


def _forget(**ignored: Any) -> None:
    _about.set(NOTHING)  # here, so that Celery's own line on how the task ended tells it as well


signals.task_postrun.connect(_forget)


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        found: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": redacted(record.getMessage()),
            **_about.get(),
        }
        if record.exc_info:
            found["traceback"] = redacted(self.formatException(record.exc_info))
        # JSON leaves line ends of Unicode as they are, at which some readers cut.
        return printable(json.dumps(found, ensure_ascii=False, default=str))
