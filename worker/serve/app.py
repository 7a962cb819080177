"""The web app of `planner serve`: pages of runs, each with its JSON and its stream of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import redis
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from planner.errors import FleetError
from planner.plan.plan import Plan
from planner.plan.states import RUN_ENDED
from planner.report.html.heatmap import Pictures, pictures_of
from planner.report.html.live_page import live_pictures, render_index, render_run
from planner.report.html.moment import moment_json
from planner.report.html.render import policy, render_page
from planner.report.report import Report
from worker.context import Context
from worker.ledger.keys import is_run_id
from worker.serve.gaps import OpenGaps
from worker.serve.guard import Guard
from worker.serve.index_look import IndexLook
from worker.serve.page_state import PageState
from worker.serve.patience import CONNECTIONS_MAX
from worker.serve.reader import Reader, Readers, trouble_of
from worker.serve.run_look import RunLook

ANSWER_SECONDS = 5.0  # a page that is opened while Redis hangs reports that after this
T = TypeVar("T")
INDEX = "/"
NO_RUN = "There is no such run: the list of runs is at /.\n"


def make_app(
    context: Context,
    gaps: OpenGaps | None,
    password: str | None,
    *,
    connections: int = CONNECTIONS_MAX,
) -> Guard:
    """The app. `gaps` are counted elsewhere; None: they are not. Half of the connections may
    listen to events."""
    site = Site(context, gaps, listeners_max=connections // 2)
    routes = [
        Route("/", site.index),
        Route("/events", site.index_events),
        Route("/gaps", site.gaps),
        Route("/runs/{run}/events", site.run_events),
        Route("/runs/{run}/moment.json", site.run_json),
        Route("/runs/{run}", site.run),
    ]
    unanswered = (redis.RedisError, FleetError, TimeoutError)
    handlers: dict[Any, Any] = dict.fromkeys(unanswered, _unanswered)
    return Guard(Starlette(routes=routes, exception_handlers=handlers), password)


class Site:
    """What the addresses answer."""

    def __init__(self, context: Context, gaps: OpenGaps | None, *, listeners_max: int) -> None:
        self._context = context
        self._listeners_max = listeners_max
        self._gaps = gaps
        self._readers = Readers()

    # -- the list ----------------------------------------------------------------------------

    async def index(self, request: Request) -> Response:
        """The list of runs and open gaps; it is there when Redis is not, and says so."""
        reader, trouble = self._index_reader(), ""
        try:
            status = (await _latest(reader)).status
        except (redis.RedisError, FleetError, TimeoutError) as error:
            status, trouble = {"runs": [], "gaps": self._found()}, trouble_of(error)
        live = {**_live("/events", reader, status), "trouble": trouble}
        text = render_index(self._context.pipeline, warehouse=self._warehouse, live=live)
        return _html(text, is_live=True)

    async def index_events(self, request: Request) -> Response:
        """What changes of it."""
        return self._events(request, self._index_reader())

    async def gaps(self, request: Request) -> Response:
        """How every date stands, as counted last, and what would be done about it."""
        page = self._gaps.page if self._gaps else None
        if page is None:
            return PlainTextResponse("The gaps are not counted: see --gaps-every.\n", 404)
        return _html(page, is_live=False)

    @property
    def _warehouse(self) -> str:
        return self._context.settings.warehouse

    def _found(self) -> dict[str, Any] | None:
        return self._gaps.found if self._gaps else None

    def _index_reader(self) -> Reader:
        return self._readers.of(INDEX, lambda: IndexLook(self._context.ledger, self._found))

    # -- a run -------------------------------------------------------------------------------

    async def run(self, request: Request) -> Response:
        """The page of a run: how it goes on, or its report."""
        report = await self._report(request.path_params["run"])
        if report is not None:
            text = await asyncio.to_thread(render_page, report, is_served=True)
            return _html(text, is_live=False)
        found = await self._looked_at(request)
        if found is None:
            return PlainTextResponse(NO_RUN, 404)
        return _html(await asyncio.to_thread(self._page, *found), is_live=True)

    async def run_json(self, request: Request) -> Response:
        """The same as JSON (docs/json.md)."""
        report = await self._report(request.path_params["run"])
        if report is not None:
            return JSONResponse(moment_json(pictures_of(report)))
        found = await self._looked_at(request)
        if found is None:
            return JSONResponse({"error": NO_RUN.strip()}, 404)
        plan, live, run_id = found
        shown = self._pictures(plan, live, run_id)
        return JSONResponse(await asyncio.to_thread(moment_json, shown))

    async def run_events(self, request: Request) -> Response:
        """What changes of it."""
        reader = await self._run_reader(request.path_params["run"])
        return PlainTextResponse(NO_RUN, 404) if reader is None else self._events(request, reader)

    def _page(self, plan: Plan, live: dict[str, Any], run_id: str) -> str:
        return render_run(plan, self._pictures(plan, live, run_id))

    def _pictures(self, plan: Plan, live: dict[str, Any], run_id: str) -> Pictures:
        details = self._gaps.details if self._gaps else ()
        return live_pictures(
            plan, self._context.pipeline, run_id=run_id, live=live, details=details
        )

    async def _looked_at(self, request: Request) -> tuple[Plan, dict[str, Any], str] | None:
        run_id = request.path_params["run"]
        reader = await self._run_reader(run_id)
        plan = await _threaded(self._context.plan, run_id) if reader else None
        if reader is None or plan is None:
            return None
        try:
            seen = await _latest(reader)
        except LookupError:
            self._readers.forget(run_id)
            return None
        live = _live(f"/runs/{run_id}/events", reader, seen.status)
        return plan, {**live, **_rows(seen)}, run_id

    async def _run_reader(self, run_id: str) -> Reader | None:
        if not is_run_id(run_id):
            return None
        plan = await _threaded(self._context.plan, run_id)
        if plan is None:
            return None
        return self._readers.of(run_id, lambda: RunLook(self._context, run_id, plan))

    async def _report(self, run_id: str) -> Report | None:
        """The report of a run that has ended; None of one that goes on, or was tried again."""
        if not is_run_id(run_id):
            return None
        text = await _threaded(self._report_text, run_id)
        try:
            return None if text is None else Report.model_validate_json(text)
        except ValidationError:  # of another version
            return None

    def _report_text(self, run_id: str) -> str | None:
        try:
            record, _, _ = self._context.ledger.peek(run_id)
        except LookupError:
            return None
        return self._context.ledger.report(run_id) if record.state in RUN_ENDED else None

    def _events(self, request: Request, reader: Reader) -> Response:
        if self._readers.listeners >= self._listeners_max:
            return PlainTextResponse("Too many readers.\n", 503, {"Retry-After": "60"})
        since = request.headers.get("last-event-id") or request.query_params.get("since", "")
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        stream: AsyncIterator[str] = reader.events(since)
        at_once = {"X-Accel-Buffering": "no"}  # what a proxy keeps back comes too late
        return StreamingResponse(stream, media_type="text/event-stream", headers=at_once)


async def _threaded(call: Callable[[str], T], name: str) -> T:
    """Call what asks Redis. Raises `TimeoutError` where that takes longer than a person waits."""
    return await asyncio.wait_for(asyncio.to_thread(call, name), ANSWER_SECONDS)


async def _latest(reader: Reader) -> PageState:
    return await asyncio.wait_for(reader.latest(), ANSWER_SECONDS)


def _live(url: str, reader: Reader, status: dict[str, Any]) -> dict[str, Any]:
    return {"url": url, "since": reader.version, "status": status}


def _rows(seen: PageState) -> dict[str, Any]:
    return {
        kind: [row for key, row in seen.rows.items() if key[0] == kind]
        for kind in ("cells", "steps")
    }


def _html(text: str, *, is_live: bool) -> Response:
    csp = f"{policy(is_live=is_live)}; frame-ancestors 'none'"
    return HTMLResponse(text, headers={"Content-Security-Policy": csp})


async def _unanswered(request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{trouble_of(error)}\n", 503, {"Retry-After": "5"})
