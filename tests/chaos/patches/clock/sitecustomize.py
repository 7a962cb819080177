"""A clock that is off by CHAOS_CLOCK seconds, for every Python process that finds this first."""

import datetime as dt
import os
import time

_true = time.time
_off = float(os.environ["CHAOS_CLOCK"])


class _Off(dt.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + dt.timedelta(seconds=_off)

    @classmethod
    def utcnow(cls):
        return cls.now(dt.UTC).replace(tzinfo=None)


time.time = lambda: _true() + _off
dt.datetime = _Off
