"""What is told of a message when it is sent: under the name that people know its task by."""

from __future__ import annotations

from typing import Any

from celery.app.amqp import AMQP as StockAMQP


class AMQP(StockAMQP):  # type: ignore[misc]
    """Celery's, which names the task of a sent event by its function: a step that was put back was
    `backfill.step` in Flower until it was received again."""

    def as_task_v2(self, *args: Any, shadow: str | None = None, **options: Any) -> Any:
        """A message, and the event that tells of it."""
        message = super().as_task_v2(*args, shadow=shadow, **options)
        if message.sent_event and shadow:
            message.sent_event["name"] = shadow
        return message
