"""What a planner does, line by line of standard input, in a process of its own: a Celery app is
made for one broker and never lets go of it.

    send RUN                 send a registered run to the workers
    revoke TASK [terminate]  as Flower's buttons do
    finalize RUN             one more message to finalize a run
    retry RUN                what is not done, under the same run
    reconcile TIMES          that often at once; how many messages were sent
    unknown QUEUE            a message of a task that no worker knows
    settings                 the app's configuration, JSON
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from planner.settings import load_settings
from worker.app import app
from worker.canvas import final_message
from worker.reconciler import reconcile
from worker.run.control import retry
from worker.run.enqueue import send_run
from worker.step.context import Context


def do(context: Context, what: str, *more: str) -> str:
    match what, *more:
        case ["send", run_id]:
            plan = context.plan(run_id)
            assert plan is not None
            send_run(context, run_id, plan)
        case ["revoke", task_id, *how]:
            app.control.revoke(task_id, terminate=bool(how), signal="SIGKILL")
        case ["finalize", run_id]:
            final_message(run_id).apply_async()
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
