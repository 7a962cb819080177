"""`planner metrics`: how the fleet stands, for Prometheus."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from planner import clock
from planner.commands.up import stop_on_sigterm
from planner.console import options as opt
from planner.console.context import open_context, required_ledger
from planner.console.output import err, note
from planner.errors import UsageError
from planner.gaps.gauge import gauges
from planner.gaps.survey import survey
from planner.pipeline.calendar import Calendar
from planner.pipeline.closing import Closing
from sql import WarehouseError

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from worker.context import Context

PORT = 9464
DAY_SECONDS = 86_400

Address = Annotated[str, typer.Option("--address", help="Where to listen.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")]
Once = Annotated[bool, typer.Option("--once", help="Print the figures once, and serve nothing.")]
GapsEvery = Annotated[
    int | None,
    typer.Option(
        "--gaps-every",
        parser=opt.parse_duration,
        metavar="TIME",
        help="Count the warehouse so often, such as 1h, for the open gaps; else they are left out.",
    ),
]


def metrics(
    address: Address = "127.0.0.1",
    port: Port = PORT,
    once: Once = False,
    gaps_every: GapsEvery = None,
) -> None:
    """Tell how the fleet stands, for Prometheus: steps, waits, queues, leases, memory.

    One process tells of the whole fleet. It only reads. Counting the warehouse costs what `planner
    gaps` costs, so it is done only with --gaps-every.
    """
    from prometheus_client import CollectorRegistry, generate_latest, start_http_server

    from worker.status.metrics import FleetMetrics

    context = open_context()
    required_ledger(context)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(FleetMetrics(context))
    found = OpenGapsCollector(context)
    if gaps_every is not None:
        found.count()
        registry.register(found)
    if once:
        sys.stdout.write(generate_latest(registry).decode())
        return
    try:
        server, _ = start_http_server(port, addr=address, registry=registry)
    except OSError as error:
        raise UsageError(f"{address}:{port} cannot be listened at: {error.strerror}.") from None
    stop_on_sigterm()
    err.print(f"http://{address}:{server.server_port}/metrics", markup=False, soft_wrap=True)
    note("Ctrl-C ends it.")
    try:
        while not threading.Event().wait(gaps_every or DAY_SECONDS):
            if gaps_every is not None:
                found.count_again()
    except KeyboardInterrupt:
        server.shutdown()


class OpenGapsCollector:
    """The gaps of the whole calendar, as they were counted last."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._metrics: list[Metric] = []

    def collect(self) -> Iterator[Metric]:
        """The figures of the last count."""
        yield from self._metrics

    def count_again(self) -> None:
        """Count, or report why not: the last figures stay, with the time of their count."""
        try:
            self.count()
        except WarehouseError as error:
            note(f"The gaps could not be counted: {error}")

    def count(self) -> None:
        """Count every table, and keep the figures. Raises `sql.WarehouseError`."""
        from prometheus_client.core import GaugeMetricFamily

        pipeline, now = self._context.pipeline, clock.now()
        today = opt.today(pipeline)
        scope = Calendar(pipeline=pipeline).scope(today=today, start=None, end=None, season=None)
        assessment = survey(
            self._context.warehouse.labelled(phase="metrics"),
            pipeline,
            scope,
            closing=Closing(pipeline=pipeline, now=now),
        )
        labels = ["pipeline", "phase", "reason"]
        dates = GaugeMetricFamily("backfill_open_gaps", "Dates that are short", labels=labels)
        age = GaugeMetricFamily(
            "backfill_open_gaps_age_days", "Days since the oldest of them", labels=labels
        )
        counted = GaugeMetricFamily(
            "backfill_gaps_counted_timestamp_seconds", "When they were counted", now.timestamp()
        )
        for each in gauges(assessment, scope):
            values = [pipeline.name, each.phase, each.reason]
            dates.add_metric(values, each.dates)
            age.add_metric(values, (today - each.oldest).days)
        self._metrics = [dates, age, counted]
