"""`evencoat serve`: the operator page of a line, for a browser on this machine. Words and exit codes live here.

Exit codes: 0 ended by SIGTERM; 1 it failed while running; 2 the call is wrong or an extra is missing; 130 Ctrl-C.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evencoat.terminal import FAILED, INTERRUPTED, EofOption, say, stop, wrong
from evencoat.user_commands import UsersOption

if TYPE_CHECKING:
    import uvicorn

    from evencoat.hmi.access import Access
    from evencoat.hmi.source import Source

HERE = "127.0.0.1"
NEEDED = ("argon2", "starlette", "uvicorn", "websockets")


def serve(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The journal that `evencoat run` writes, or a run's folder.")
    ],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8080,
    users: UsersOption = None,
    host: Annotated[str, typer.Option(help="Where to listen; elsewhere than on this machine only with TLS.")] = HERE,
    name: Annotated[
        list[str] | None, typer.Option(help="A name that browsers call it by, beside --host; repeatable.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate and chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its key, PEM, closed to others.")] = None,
    idle_minutes: Annotated[
        float, typer.Option(min=1.0, max=720.0, help="Who asks for nothing for so long is logged out.")
    ] = 30.0,
    stop_on_eof: EofOption = False,
) -> None:
    """Show a line, or a run that is over, in a browser, on nine pages from the overview to what comes.

    Who logs in may ask for what their role allows (docs/access.md); `evencoat user` says who there is. On this machine
    everybody may look. With --host and TLS it listens elsewhere, and then shows nothing to who has not logged in.
    """
    if lacking := missing():
        wrong(f"serve: needs {', '.join(lacking)}, which is not installed: pip install 'evencoat[hmi]'")
    from evencoat.desk.users import Users, UsersError, default_path
    from evencoat.hmi.access import Access
    from evencoat.hmi.source import Source, SourceError, journal_of

    path = users or default_path()
    try:
        source = Source(journal_of(run))
        known = Users(path).all()
    except (SourceError, UsersError) as error:
        wrong(str(error))
    loopback = _is_loopback(host)
    tls = _tls(tls_cert, tls_key)
    if not loopback and not (tls and known):
        lacks = f"users in {path} (evencoat user add)" if tls else "--tls-cert and --tls-key"
        wrong(f"--host {host}: is not this machine alone, and that takes {lacks}")
    access = Access(source.journal, path, secure=bool(tls), closed=not loopback, idle_s=60.0 * idle_minutes)
    names = (host, *(name or ()), *(("localhost",) if loopback else ()))
    _listened(source, access, (host, port), names, tls, stop_on_eof)


def show(source: Source, port: int, stop_on_eof: bool = False) -> None:
    """Serve a source's page, on which nobody can ask, on a port of this machine until it is ended."""
    _listened(source, None, (HERE, port), (HERE, "localhost"), {}, stop_on_eof)


def _listened(
    source: Source,
    access: Access | None,
    where: tuple[str, int],
    names: Sequence[str],
    tls: Mapping[str, Any],
    stop_on_eof: bool,
) -> None:
    host, port = where
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        stop(f"--host {host} --port {port}: {error.strerror}; name another, or 0 for any that is free", FAILED)
    with listener:
        _served(source, access, listener, names, tls, stop_on_eof)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        wrong(f"--host {host}: must be an address, such as {HERE} or 192.0.2.7; names go to --name")


def _tls(cert: Path | None, key: Path | None) -> dict[str, Any]:
    """What uvicorn needs for TLS; nothing where none is asked for."""
    if cert is None and key is None:
        return {}
    if cert is None or key is None:
        wrong("--tls-cert and --tls-key: one takes the other")
    try:
        mode = key.stat().st_mode
        if mode & 0o007:
            wrong(f"--tls-key {key}: others may use it ({mode & 0o777:04o}): chmod o= {key}")
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
    except OSError as error:
        wrong(f"--tls-cert {cert}, --tls-key {key}: {error.strerror or error}")
    return {"ssl_certfile": str(cert), "ssl_keyfile": str(key)}


def missing() -> list[str]:
    """What is not installed of what the page needs."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def _served(
    source: Source,
    access: Access | None,
    listener: socket.socket,
    names: Sequence[str],
    tls: Mapping[str, Any],
    stop_on_eof: bool,
) -> None:
    from uvicorn import Config, Server

    from evencoat.hmi.server import application

    host, port = listener.getsockname()[:2]
    where = f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/"
    say(f"{source.line()['name']}: {where}  (Ctrl-C ends it; the line goes on)")
    app = application(source, names, access)
    config = Config(app, log_level="warning", ws="websockets-sansio", ws_max_size=1024, server_header=False, **tls)
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
