"""`evencoat serve`: the operator page of a line, for a browser on this machine. Words and exit codes live here.

Exit codes: 0 ended by SIGTERM; 1 it failed while running; 2 the call is wrong or an extra is missing; 130 Ctrl-C.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evencoat.terminal import FAILED, INTERRUPTED, EofOption, say, stop, wrong

if TYPE_CHECKING:
    import uvicorn

    from evencoat.hmi.source import Source

HERE = "127.0.0.1"
NEEDED = ("starlette", "uvicorn", "websockets")


def serve(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The journal that `evencoat run` writes, or a run's folder.")
    ],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8080,
    stop_on_eof: EofOption = False,
) -> None:
    """Show a line, or a run that is over, in a browser: overview, profile, zones, tuning, alarms, rolls, audit.

    It only looks, and only this machine may look: there are no users yet. From elsewhere forward the port, as
    `ssh -L 8080:127.0.0.1:8080 HOST` does.
    """
    if lacking := missing():
        wrong(f"serve: needs {', '.join(lacking)}, which is not installed: pip install 'evencoat[hmi]'")
    from evencoat.hmi.source import Source, SourceError, journal_of

    try:
        source = Source(journal_of(run))
    except SourceError as error:
        wrong(str(error))
    show(source, port, stop_on_eof)


def show(source: Source, port: int, stop_on_eof: bool = False) -> None:
    """Serve a source's page on a port of this machine until it is ended."""
    try:
        listener = socket.create_server((HERE, port))
    except OSError as error:
        stop(f"--port {port}: {error.strerror}; name another, or 0 for any that is free", FAILED)
    with listener:
        _served(source, listener, stop_on_eof)


def missing() -> list[str]:
    """What is not installed of what the page needs."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def _served(source: Source, listener: socket.socket, stop_on_eof: bool) -> None:
    from uvicorn import Config, Server

    from evencoat.hmi.server import application

    say(f"{source.line()['name']}: http://{HERE}:{listener.getsockname()[1]}/  (Ctrl-C ends it; the line goes on)")
    app = application(source, (HERE, "localhost"))
    config = Config(app, log_level="warning", ws="websockets-sansio", ws_max_size=1024, server_header=False)
    server = Server(config)
    if stop_on_eof:
        threading.Thread(target=_until_eof, args=(server,), name="stop-on-eof", daemon=True).start()
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _until_eof(server: uvicorn.Server) -> None:
    while os.read(0, 4096):
        pass
    server.should_exit = True
