"""Workers whose steps do nothing, or sleep for BENCH_SLEEPS (`phase=seconds,…`), and whose steps
that wait are counted; with BENCH_SCRIPT they start that program, and count no rows after it; with
BENCH_TRIPS they count what they send to Redis."""

import os
import sys

if "worker" in sys.orig_argv and {"celery", "worker"} & {*sys.orig_argv[2:5]}:
    if "celery" not in sys.orig_argv:
        import time

        from worker.step import attempt, visit

        pairs = (each.split("=") for each in os.environ.get("BENCH_SLEEPS", "").split(",") if each)
        _sleeps = {phase: float(seconds) for phase, seconds in pairs}

        if program := os.environ.get("BENCH_SCRIPT"):
            from planner.pipeline.runners import ScriptRunner
            from worker.runners import Ran
            from worker.runners.script import Script
            from worker.step.checkpoint import Checkpoint

            _script = Script(ScriptRunner(kind="script", command=(program,)))
            attempt.runner_for = lambda *arguments: (0, _script)

        def _make(self):
            if program:
                outcome = self._run(tuple(self.dates), Checkpoint())
                assert isinstance(outcome, Ran), outcome
            time.sleep(_sleeps.get(self.phase.name, 0))
            return attempt.Ended(done=tuple(self.dates), counts=dict.fromkeys(self.dates, (1, 1)))

        attempt.Attempt.make = _make

        if _sleeps:

            def _counted(stock):
                def _wait(context, *arguments, **options):
                    context.redis.incr("bench:looks")
                    return stock(context, *arguments, **options)

                return _wait

            visit.wait, visit.wait_for_lease = map(_counted, (visit.wait, visit.wait_for_lease))

    if os.environ.get("BENCH_TRIPS"):
        from redis.connection import AbstractConnection

        _stock = AbstractConnection.send_packed_command

        def _send(self, *arguments, **options):
            with open(f"{os.environ['BENCH_TRIPS']}.{os.getpid()}", "ab") as file:
                file.write(b".")
            return _stock(self, *arguments, **options)

        AbstractConnection.send_packed_command = _send
