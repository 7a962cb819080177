"""A pool process that dies where it hurts most, when TINY_PLACE holds a file that says so.

`dies_before_body`: after a step's success is stored, and before its chord hears of it.
`dies_before_rest`: after a failed step is settled, and before the rest of its chunk is sent.
`freezes_before_rest`: there, and it stays, as one that hangs; `frozen` is its number.
`freezes_at_end`: so too, when it is to end a run.
"""

import os
import signal
import sys
from pathlib import Path

if "worker" in sys.orig_argv:
    from celery import _state, signals
    from celery.backends.redis import RedisBackend
    from celery.canvas import _chain

    def _die_if(name):
        order = Path(os.environ["TINY_PLACE"]) / name
        if order.exists():
            order.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    def _freeze_if(name):
        order = Path(os.environ["TINY_PLACE"]) / name
        if order.exists():
            order.with_name("frozen").write_text(str(os.getpid()))
            order.unlink()
            os.kill(os.getpid(), signal.SIGSTOP)

    _stock_part_return = RedisBackend.on_chord_part_return
    _stock_apply_async = _chain.apply_async

    def _part_return(self, request, state, result, propagate=None, **options):
        _die_if("dies_before_body")
        return _stock_part_return(self, request, state, result, propagate=propagate, **options)

    def _apply_async(self, *arguments, **options):
        if _state.get_current_worker_task() is not None:
            _die_if("dies_before_rest")
            _freeze_if("freezes_before_rest")
        return _stock_apply_async(self, *arguments, **options)

    def _at_start(sender, **ignored):
        if sender.name == "backfill.finalize":
            _freeze_if("freezes_at_end")

    signals.task_prerun.connect(_at_start)
    RedisBackend.on_chord_part_return = _part_return
    _chain.apply_async = _apply_async
