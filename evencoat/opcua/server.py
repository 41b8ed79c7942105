"""The server of one line: looks at picture and journal, shows what it finds, and says so where there is nothing to see.

It is a process of its own: handshakes and passwords take a processor for tens of milliseconds, and a client that is
slow, or means harm, delays neither the page nor anybody's control.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from asyncua import ua

from evencoat import __version__, picture
from evencoat.alarms.store import Onlooker, path_beside
from evencoat.desk.client import Desk
from evencoat.desk.users import Users
from evencoat.hmi.source import Source, SourceError
from evencoat.journal import JournalError, JournalReader, Lot
from evencoat.opcua import certificates
from evencoat.opcua.alarms import AlarmDesk, AlarmTeller
from evencoat.opcua.events import Happenings
from evencoat.opcua.gate import GuardedServer
from evencoat.opcua.history import JournalHistory
from evencoat.opcua.nodes import BESIDE, NOTHING_YET, OF_LOT, TOLD, Nodes
from evencoat.opcua.people import People, Refusals
from evencoat.opcua.requests import Requests
from evencoat.opcua.session import Bounds, Line
from evencoat.packml import packml

LOOK_S, EVENTS_S, COUNTED_S = 0.1, 1.0, 10.0  # between looks at the picture, at events, at refusals that were counted
STALE_S = 3.0  # a picture that is older says nothing about now
SERVICE_WELL, SERVICE_NO_DATA = 255, 1  # after part 4 of the standard
log = logging.getLogger("evencoat.opcua")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server listens, and which files it lives from. Port 0 takes any that is free."""

    folder: Path  # of certificates
    users: Path
    host: str = "127.0.0.1"
    port: int = 4840


class LineServer:
    """One line's server. `port` is the one it listens on."""

    def __init__(
        self,
        source: Source,
        server: GuardedServer,
        nodes: Nodes,
        happenings: Happenings,
        alarms: AlarmTeller,
        line: Line,
    ) -> None:
        self._source, self._server, self._nodes, self._happenings = source, server, nodes, happenings
        self._alarms, self._line = alarms, line
        self._seen_s = -STALE_S
        self._silent = True
        self.refusals = line.refusals

    @property
    def port(self) -> int:
        assert self._server.bserver is not None
        return self._server.bserver.port

    async def look(self) -> None:
        """Show the newest picture; where it is too old, or there is none, that nothing is known."""
        content = self._source.viewer.latest()
        now_s = time.monotonic()
        if content is not None:
            try:
                head, arrays = picture.told(content)
                if abs(time.time() - head["t_unix_s"]) < STALE_S:
                    state = packml(head["mode_requested"], head["outcome"], head["line_state"])
                    await self._nodes.show(head, arrays, state)
                    self._seen_s = now_s
                    await self._heard(True)
            except (KeyError, ValueError, struct.error) as error:
                log.error("the picture cannot be read, is its writer of another version? (%r)", error)
        if not self._silent and now_s - self._seen_s > STALE_S:
            await self._nodes.silent()
            await self._heard(False)

    async def tell(self) -> None:
        """Tell what has happened since the last time."""
        try:
            await self._happenings.tell(await asyncio.to_thread(self._source.events))
        except SourceError as error:
            log.error("%s", error)
        await self._alarms.tell()
        await self._tell_lot()

    async def _tell_lot(self) -> None:
        """Show what the plant calls what runs, as the journal has it."""
        try:
            lot = await asyncio.to_thread(self._lot)
        except (JournalError, sqlite3.Error) as error:
            log.error("%s", error)
            lot = None
        if self._silent or lot is None:
            await self._nodes.silent(OF_LOT)
        else:
            await self._nodes.show_beside(OF_LOT, lot.named(), lot.t_unix_s or time.time())

    def _lot(self) -> Lot:
        with JournalReader(self._source.journal) as reader:
            known = reader.lots()
        return known[-1] if known else Lot()

    async def work(self) -> None:
        """Do all that for ever. Ends by an exception only: a server that no longer looks must not go on telling."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_every(LOOK_S, self.look))
            tasks.create_task(_every(EVENTS_S, self.tell))
            tasks.create_task(_every(COUNTED_S, self._catch_up))
            tasks.create_task(self.refusals.keep())

    async def _catch_up(self) -> None:
        self.refusals.catch_up()

    async def _heard(self, well: bool) -> None:
        if well == self._silent:
            level = ua.Variant(SERVICE_WELL if well else SERVICE_NO_DATA, ua.VariantType.Byte)
            await self._server.get_node(ua.NodeId(ua.ObjectIds.Server_ServiceLevel)).write_value(level)
            self._silent = not well


@contextlib.asynccontextmanager
async def listening(source: Source, place: Place, bounds: Bounds = Bounds()) -> AsyncIterator[LineServer]:
    """The server, while this is open; `work` has to be run by whoever opens it.

    Raises CertificateError, OSError where the address cannot be had.
    """
    own = certificates.read(place.folder)
    settings, desk, users = source.settings, Desk(source.journal), Users(place.users)
    onlooker = Onlooker(path_beside(source.journal))
    requests = Requests(desk, users, AlarmDesk(desk, users, onlooker), settings.line)
    line = Line(People(users), Refusals(desk), requests, place.folder, bounds)
    server = GuardedServer(line)
    await server.init()
    server.set_endpoint(f"opc.tcp://{_bracketed(place.host)}:{place.port}/")
    server.set_server_name(f"evencoat {settings.line.name}")
    await server.set_application_uri(own.uri)
    await server.set_build_info("urn:evencoat", "evencoat", "evencoat", __version__, "", datetime.now(UTC))
    await server.load_certificate(own.certificate_der)
    await server.load_private_key(own.key_pem, format="pem")
    server.iserver.history_manager.set_storage(JournalHistory(source.journal))
    nodes = await Nodes.made(server, settings.line)
    await nodes.silent((*TOLD, *BESIDE), NOTHING_YET)
    await requests.add_methods(nodes.root)
    happenings = await Happenings.made(server, nodes.root, settings.line.name)
    alarms = await AlarmTeller.made(server, nodes, onlooker)
    async with server:
        yield LineServer(source, server, nodes, happenings, alarms, line)


async def serve(source: Source, place: Place, until: asyncio.Event, ready: Callable[[int], None]) -> None:
    """Serve until told otherwise; `ready` hears the port. Raises CertificateError, OSError."""
    async with listening(source, place) as server:
        ready(server.port)
        working = asyncio.create_task(server.work())
        ending = asyncio.create_task(until.wait())
        await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
        for task in (working, ending):
            task.cancel()
        await asyncio.gather(ending, return_exceptions=True)
        with contextlib.suppress(asyncio.CancelledError):
            await working


async def _every(seconds: float, do: Callable[[], Awaitable[None]]) -> None:
    while True:
        await do()
        await asyncio.sleep(seconds)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
