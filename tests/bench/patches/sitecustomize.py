"""Workers whose steps do nothing; with BENCH_TRIPS they count what they send to Redis."""

import os
import sys

if "celery" in sys.orig_argv and "worker" in sys.orig_argv:
    if "worker.app" in sys.orig_argv:
        from worker.step import attempt

        def _make(self):
            return attempt.Ended(done=tuple(self.dates), counts=dict.fromkeys(self.dates, (1, 1)))

        attempt.Attempt.make = _make

    if os.environ.get("BENCH_TRIPS"):
        from redis.connection import AbstractConnection

        _stock = AbstractConnection.send_packed_command

        def _send(self, *arguments, **options):
            with open(f"{os.environ['BENCH_TRIPS']}.{os.getpid()}", "ab") as file:
                file.write(b".")
            return _stock(self, *arguments, **options)

        AbstractConnection.send_packed_command = _send
