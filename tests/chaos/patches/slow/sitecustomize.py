"""A planner that takes a while to publish each message, so that it can be killed in between."""

import sys
import time

if "planner" in sys.orig_argv:
    from worker.messages import stencil

    _stock = stencil.Stencil.copy

    def _copy(self, name, index):
        time.sleep(0.1)
        return _stock(self, name, index)

    stencil.Stencil.copy = _copy
    stencil.AT_ONCE = 1
