"""The event of a sent message, under the name that Flower shows its task by."""

from __future__ import annotations

from typing import Any

from celery.app import amqp as stock


class AMQP(stock.AMQP):  # type: ignore[misc]
    """Celery's, which names the task of a sent event by its function: a step that was put back was
    `backfill.step` in Flower until it was received again."""

    def as_task_v2(self, *args: Any, **options: Any) -> Any:
        """A message, and the event that tells of it."""
        message = super().as_task_v2(*args, **options)
        shown = message.headers.get("shadow")
        if message.sent_event and shown:
            message.sent_event["name"] = shown
        return message
