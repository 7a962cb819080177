"""`planner serve`: pages of runs while they go on, and of the gaps that are open."""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from planner.commands.up import stop_on_sigterm
from planner.console import options as opt
from planner.console.context import open_context
from planner.console.output import err, note
from planner.errors import Exit, UsageError

if TYPE_CHECKING:
    from worker.context import Context

PORT = 9465
FREE_SECONDS = 600  # between two counts of a warehouse that bills nothing
STOP_SECONDS = 1  # for the answers that are under way

Address = Annotated[str, typer.Option("--address", help="Where to listen; this machine alone.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")]
GapsEvery = Annotated[
    int | None,
    typer.Option(
        "--gaps-every",
        parser=opt.parse_duration,
        metavar="TIME",
        help="Count the open gaps so often, such as 1h. Without it they are counted where that "
        "is billed nothing.",
    ),
]


def serve(address: Address = "127.0.0.1", port: Port = PORT, gaps_every: GapsEvery = None) -> None:
    """Serve pages that show runs as they go on, and the open gaps, to browsers.

    They can be read, and nothing else: what can be done stands there as a command to copy. All
    readers of a run cost Redis what one `planner watch` does. Beyond this machine it serves only
    with a password, which BACKFILL_SERVE_PASSWORD sets; what it serves is not encrypted, so let a
    proxy with TLS stand before it there.
    """
    import uvicorn

    from worker.serve.app import make_app
    from worker.serve.gaps import OpenGaps
    from worker.serve.patience import BACKLOG, patient, room

    context = open_context()
    password = _password(context, address)
    gaps = OpenGaps(context, only_free=gaps_every is None)
    listening = _listen(address, port)
    most = room()
    app = make_app(context, gaps, password, connections=most)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=patient(most),
            backlog=BACKLOG,
            access_log=False,
            log_level="warning",
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )
    stop_on_sigterm()
    stopped = threading.Event()
    every = float(gaps_every or FREE_SECONDS)
    counting = threading.Thread(target=gaps.count_every, args=(every, stopped))
    counting.start()
    err.print(_url(address, listening), markup=False, soft_wrap=True)
    note("Ctrl-C ends it.")
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        stopped.set()
        listening.close()
        counting.join(STOP_SECONDS)
        if counting.is_alive():  # it only reads, and the warehouse may take its time
            os._exit(Exit.DONE)


def _password(context: Context, address: str) -> str | None:
    """The password of the settings. Raises `UsageError` beyond this machine without one."""
    from worker.serve.guard import is_loopback

    secret = context.settings.serve_password
    if secret is None and not is_loopback(address):
        raise UsageError(
            f"Others can reach {address}: set BACKFILL_SERVE_PASSWORD, which their browsers ask "
            "for, or leave --address out."
        )
    return None if secret is None else secret.get_secret_value()


def _listen(address: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((address, port), family=family, backlog=512)
    except OSError as error:
        why = error.strerror or error
        raise UsageError(f"{address}:{port} cannot be listened at: {why}.") from None


def _url(address: str, listening: socket.socket) -> str:
    shown = f"[{address}]" if ":" in address else address
    return f"http://{shown}:{listening.getsockname()[1]}/"
