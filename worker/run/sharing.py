"""Changes how a run that is under way shares the fleet: priority, slots, hours."""

from __future__ import annotations

from worker.context import Context
from worker.ledger.orders import OrderChanges
from worker.ledger.record import RunRecord
from worker.run.enqueue import free_lane


def share_anew(context: Context, run: RunRecord, changes: OrderChanges) -> None:
    """Write changes down, and let what waits in Redis come by and look at them.

    Steps at work go on to their end, whatever the run is told.
    """
    from worker.app import queue_names  # Celery costs 126 ms to import
    from worker.messages.lanes import lists_of
    from worker.messages.mailbox import call_in, change_lane

    is_other = changes.priority not in (None, run.priority)
    lane = free_lane(context, changes.priority) if is_other and changes.priority else run.lane
    context.ledger.share_anew(run.id, changes, lane=lane)
    queues = queue_names(context.pipeline)
    change_lane(context.redis, run.id, queues, old=run.lane, new=lane)
    call_in(context.redis, lists_of(queues), {run.id})
