"""`evencoat opcua ...`: certificates, the server of a line, and following the PLC's. Words and exit codes live here.

Exit codes: 0 done, or ended by SIGTERM; 1 it failed while running; 2 the call or a file is wrong, or an extra is
missing; 130 Ctrl-C.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evencoat.terminal import INTERRUPTED, EofOption, JsonOption, print_json, refusals, say, wrong

if TYPE_CHECKING:
    from evencoat.opcua.certificates import Certificate

HERE, PORT = "127.0.0.1", 4840
NEEDED = ("asyncua", "cryptography", "argon2")

app = typer.Typer(
    help="The line as an OPC UA server for the plant's systems, and the PLC's server followed.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

FolderOption = Annotated[Path, typer.Option("--in", help="Folder of `opcua certificate`.")]
RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="The journal that `evencoat run` writes, or a run's folder.")
]


@app.command()
def certificate(
    to: Annotated[Path, typer.Option(help="The folder that gets certificate.der, key.pem and trusted/.")],
    name: Annotated[str, typer.Option(help="Common name: what people read.")] = "evencoat",
    uri: Annotated[str, typer.Option(help="Application URI; without it urn:HOSTNAME:evencoat.")] = "",
    host: Annotated[
        list[str] | None, typer.Option(help="A name or address that clients connect to; repeatable.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=20 * 365, help="How long it is valid.")] = 5 * 365,
    as_json: JsonOption = False,
) -> None:
    """Make a key and its certificate, signed by itself: for this server, or for a client that has none."""
    _need()
    from evencoat.opcua import certificates

    hosts = host or sorted({socket.gethostname(), "localhost", HERE})
    with _refusals():
        made = certificates.make(to, name, hosts, uri or f"urn:{socket.gethostname()}:evencoat", days)
    _tell([made], as_json)


@app.command()
def trust(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A client's certificate, DER or PEM.")],
    folder: FolderOption,
    as_json: JsonOption = False,
) -> None:
    """Let the holder of a certificate connect. Compare the fingerprint with the client's own display first."""
    _need()
    from evencoat.opcua import certificates

    with _refusals():
        found = certificates.trust(folder, file)
    _tell([found], as_json)


@app.command()
def distrust(
    fingerprint: Annotated[str, typer.Argument(help="Its first eight digits or more.")],
    folder: FolderOption,
    as_json: JsonOption = False,
) -> None:
    """Take a certificate out again; channels that stand end when they are renewed, within the hour."""
    _need()
    from evencoat.opcua import certificates

    with _refusals():
        found = certificates.distrust(folder, fingerprint)
    _tell([found], as_json)


@app.command()
def trusted(folder: FolderOption, as_json: JsonOption = False) -> None:
    """Say whose certificates are trusted."""
    _need()
    from evencoat.opcua import certificates

    with _refusals():
        found = certificates.trusted(folder)
    _tell(found, as_json)


@app.command()
def serve(
    run: RunArgument,
    certificates: Annotated[Path, typer.Option(help="Folder of `opcua certificate`.")],
    users: Annotated[Path | None, typer.Option(help="Users file; without it where `evencoat user` keeps it.")] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Others than this machine's own only on purpose.")
    ] = HERE,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = PORT,
    stop_on_eof: EofOption = False,
) -> None:
    """Show the line to OPC UA clients, and put what they ask for to the desk. The line goes on without it.

    Encrypted channels of trusted certificates only, and a user's name and password.
    """
    _need()
    from evencoat.desk.users import default_path
    from evencoat.hmi.source import Source, journal_of
    from evencoat.opcua.people import quiet_library
    from evencoat.opcua.server import Place
    from evencoat.opcua.server import serve as served

    with _refusals():
        source = Source(journal_of(run))
        place = Place(certificates, users or default_path(), host, port)

        def told(found: int) -> None:
            say(f"{source.settings.line.name}: opc.tcp://{host}:{found}/  (Ctrl-C ends it; the line goes on)")

        with quiet_library():
            _run(lambda until: served(source, place, until, told), stop_on_eof)


@app.command()
def follow(
    line: Annotated[str, typer.Argument(metavar="LINE", help="A line file with [opcua].")],
    run: RunArgument,
    stop_on_eof: EofOption = False,
) -> None:
    """Read web speed, roll, recipe and permit from the PLC's server, and put what changes on record.

    Where the permit is withdrawn, or the PLC is not heard, it asks the desk for HOLD; for nothing else, ever.
    """
    _need()
    from evencoat.desk.client import Desk
    from evencoat.hmi.source import journal_of
    from evencoat.opcua.follow import Follower, encoder_speed
    from evencoat.opcua.follow import follow as followed
    from evencoat.opcua.people import quiet_library
    from evencoat.picture import Viewer, path_of
    from evencoat.settings import load_line

    with _refusals():
        plc = load_line(line).plc
        if plc is None or not plc.nodes:
            wrong(f"{line}: has no [opcua] with a node to follow")
        journal = journal_of(run)
        follower = Follower(plc, Desk(journal), encoder_speed(Viewer(path_of(journal))), say)
        with quiet_library():
            _run(lambda until: followed(plc, follower, until), stop_on_eof)


def _run(work: Callable[[asyncio.Event], Awaitable[None]], stop_on_eof: bool) -> None:
    """Run until SIGTERM, Ctrl-C, or the end of standard input where that is asked for."""
    interrupted = False

    async def main() -> None:
        until, loop = asyncio.Event(), asyncio.get_running_loop()

        def interrupt() -> None:
            nonlocal interrupted
            interrupted = True
            until.set()

        loop.add_signal_handler(signal.SIGTERM, until.set)
        loop.add_signal_handler(signal.SIGINT, interrupt)
        if stop_on_eof:
            threading.Thread(target=_until_eof, args=(loop, until), name="stop-on-eof", daemon=True).start()
        await work(until)

    asyncio.run(main())
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _until_eof(loop: asyncio.AbstractEventLoop, until: asyncio.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    loop.call_soon_threadsafe(until.set)


def _need() -> None:
    if lacking := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        wrong(f"opcua: needs {', '.join(lacking)}, which is not installed: pip install 'evencoat[opcua]'")


def _tell(found: list[Certificate], as_json: bool) -> None:
    rows = [{**asdict(one), "until": f"{one.until:%Y-%m-%d}"} for one in found]
    if as_json:
        print_json({"certificates": rows})
        return
    for row in rows:
        say(f"{row['fingerprint']}  {row['name']}  {row['uri'] or 'no URI'}  until {row['until']}")
    if not rows:
        say("no certificate is trusted, so nobody can connect: evencoat opcua trust FILE --in FOLDER")


def _refusals() -> AbstractContextManager[None]:
    from evencoat.hmi.source import SourceError
    from evencoat.opcua.certificates import CertificateError
    from evencoat.settings import SettingsError

    return refusals((CertificateError, SourceError, SettingsError))
