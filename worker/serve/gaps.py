"""The open gaps, counted now and then: one count for everyone who looks."""

from __future__ import annotations

import threading
import time
from typing import Any

from planner import clock
from planner.gaps.gauge import gauges
from planner.gaps.survey import bytes_to_count, survey
from planner.pipeline.calendar import Calendar
from planner.pipeline.closing import Closing
from planner.pipeline.windows import Window
from planner.plan.plan import new_id
from planner.report.html.heatmap import Detail, details_of
from planner.report.html.plan_page import render_plan
from worker.context import Context
from worker.run.plan import Wanted, plan_gaps
from worker.serve.reader import trouble_of

COMMAND = "planner enqueue --gaps"
BILLED = "Counting is billed here, and was not asked for: `planner serve --gaps-every 1h` does it."


class OpenGaps:
    """The gaps of the whole calendar, as they were counted last."""

    def __init__(self, context: Context, *, only_free: bool = False) -> None:
        self._context = context
        self._only_free = only_free
        """Whether they are counted only where that is billed nothing."""
        self._counted: dict[str, Any] = {"counted_at": None, "rows": [], "trouble": ""}
        self.details: tuple[Detail, ...] = ()
        """What is wrong with single dates."""
        self.page: str | None = None
        """How every date stands, and what would be done about it."""

    @property
    def found(self) -> dict[str, Any]:
        """For the list: when they were counted, and per phase and reason how many, since when."""
        return self._counted

    @property
    def is_billed(self) -> bool:
        """Whether counting costs money."""
        context = self._context
        return bytes_to_count(context.warehouse, context.pipeline, self._scope()) is not None

    def count(self) -> None:
        """Count; where the warehouse does not answer, the last figures stay, with the error."""
        try:
            if self._only_free and self.is_billed:
                self._counted = {**self._counted, "trouble": BILLED}
            else:
                self._count()
        except Exception as error:  # the thread that counts goes on, and the page says why
            told = f"The warehouse could not be counted: {trouble_of(error)}"
            self._counted = {**self._counted, "trouble": told}

    def count_every(self, seconds: float, stopped: threading.Event) -> None:
        """Count periodically, in a thread of its own."""
        while True:
            self.count()
            if stopped.wait(seconds):
                return

    def _scope(self) -> Window:
        pipeline = self._context.pipeline
        today = Closing(pipeline=pipeline, now=clock.now()).today
        return Calendar(pipeline=pipeline).scope(today=today, start=None, end=None, season=None)

    def _count(self) -> None:
        pipeline, scope = self._context.pipeline, self._scope()
        closing = Closing(pipeline=pipeline, now=clock.now())
        warehouse = self._context.warehouse.labelled(phase="serve")
        assessment = survey(warehouse, pipeline, scope, closing=closing)
        phases = [phase.name for phase in pipeline.phases if not phase.is_watched]
        wanted = Wanted(scope=scope, phases=phases, plan_id=new_id("plan", clock.now()))
        plan = plan_gaps(self._context, assessment, wanted, ledger=None)
        self.details = tuple(details_of(assessment))
        self.page = render_plan(
            plan, pipeline, command=COMMAND, details=self.details, is_served=True
        )
        self._counted = {
            "counted_at": time.time(),
            "trouble": "",
            "rows": [
                {
                    "phase": each.phase,
                    "reason": each.reason,
                    "dates": each.dates,
                    "oldest": str(each.oldest),
                    "age_days": (closing.today - each.oldest).days,
                }
                for each in gauges(assessment, scope)
            ],
        }
