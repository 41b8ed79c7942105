"""One server for all tests of this room, on a free port of this machine, before a simulated line with a real desk."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from argon2 import PasswordHasher
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.crypto.uacrypto import CertProperties

from evencoat import picture
from evencoat.desk import users
from evencoat.desk.channel import Channel
from evencoat.desk.client import socket_of
from evencoat.desk.users import Role
from evencoat.hmi.source import Source
from evencoat.journal import JournalReader, writer
from evencoat.opcua import certificates, people, server
from evencoat.opcua.server import LineServer, Place, listening
from tests.evencoat.desk.lines import DeskLine

PASSWORD = "correct horse battery"
PEOPLE = {"vera": Role.VIEWER, "omar": Role.OPERATOR, "enid": Role.ENGINEER}
KEY_BITS = 2048  # as short as the policies allow: these are made anew for each run
Answer = TypeVar("Answer")


class Scene:
    """Line, desk and server, and clients with certificates: `plc` is trusted, `stranger` is not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.desk = DeskLine(folder)
        self.desk.line.play_s(20.0)  # until every zone has been seen
        self.users = folder / "users.json"
        self.users.unlink()
        for name, role in PEOPLE.items():
            users.add(self.users, name, role, PASSWORD)
        for name in ("own", "plc", "stranger"):
            certificates.make(folder / name, name, ["localhost"], f"urn:test:{name}", key_bits=KEY_BITS)
        certificates.trust(folder / "own", folder / "plc" / "certificate.der")
        self.easel = picture.Easel(picture.path_of(self.desk.path), self.desk.line.line.zones)
        self._channel = Channel(socket_of(self.desk.path), self.desk.clerk)
        self._loop, self._over = asyncio.new_event_loop(), threading.Event()
        self._threads = [threading.Thread(target=self._loop.run_forever), threading.Thread(target=self._pace)]
        for thread in self._threads:
            thread.start()
        self._stack = AsyncExitStack()
        place = Place(folder / "own", self.users, port=0)
        entering = self._stack.enter_async_context(listening(Source(self.desk.path), place))
        self.server: LineServer = self.within(entering)
        self._keeping = asyncio.run_coroutine_threadsafe(self.server.refusals.keep(), self._loop)
        self.address = f"opc.tcp://127.0.0.1:{self.server.port}/"

    def _pace(self) -> None:
        """What the paced thread does, as often as somebody waits for it."""
        while not self._over.wait(0.005):
            if self.desk.tray._taken is not None or not self.desk.tray._waiting.empty():
                self.desk.cycle()

    def within(self, work: Awaitable[Answer]) -> Answer:
        """Run something in the server's own loop."""

        async def run() -> Answer:
            return await work

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(60.0)

    def show(self, **changes: Any) -> Any:
        """Let the server see the line's newest cycle."""
        trace = self.desk.line.sink.all[-1]._replace(**changes)
        self.easel.show(trace, 12.5)
        self.within(self.server.look())
        return trace

    def audited(self, *words: str, what: str = "") -> bool:
        """Whether there is a record, soon, that has all these words."""
        self.within(self.server.refusals.all_told())
        until_s = time.monotonic() + 10.0
        while time.monotonic() < until_s:
            with JournalReader(self.desk.path) as reader:
                told = [f"{one.who} {one.what} {one.new} {one.why}" for one in reader.audit() if what in one.what]
            if any(all(word in text for word in words) for text in told):
                return True
            time.sleep(0.05)
        return False

    def refresh(self) -> None:
        """Let a minute pass for whoever counts refusals."""
        self.desk.clock.now_s += 61.0

    def close(self) -> None:
        self._keeping.cancel()
        self.within(self._stack.aclose())
        self._over.set()
        self._loop.call_soon_threadsafe(self._loop.stop)
        for thread in self._threads:
            thread.join()
        self._loop.close()
        self._channel.close()
        self.desk.journal.close()
        self.easel.close()

    @asynccontextmanager
    async def client(
        self,
        name: str | None = "omar",
        password: str = PASSWORD,
        certificate: str = "plc",
        mode: ua.MessageSecurityMode = ua.MessageSecurityMode.SignAndEncrypt,
        policy: Any = SecurityPolicyBasic256Sha256,
    ) -> AsyncIterator[Client]:
        """Somebody connected."""
        client = await self.ready(name, password, certificate, mode, policy)
        async with client:
            yield client

    async def ready(
        self,
        name: str | None = "omar",
        password: str = PASSWORD,
        certificate: str = "plc",
        mode: ua.MessageSecurityMode = ua.MessageSecurityMode.SignAndEncrypt,
        policy: Any = SecurityPolicyBasic256Sha256,
    ) -> Client:
        """A client that has not connected yet."""
        client = Client(self.address, timeout=20.0)
        if name is not None:
            client.set_user(name)
            client.set_password(password)
        if mode is not ua.MessageSecurityMode.None_:
            own = certificates.read(self.folder / certificate)
            server_certificate = (self.folder / "own" / certificates.CERTIFICATE).read_bytes()
            key = CertProperties(own.key_pem, "pem")
            await client.set_security(policy, own.certificate_der, key, None, server_certificate, mode)
        return client


@pytest.fixture(scope="session")
def standing_scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(server, "STALE_S", 600.0)  # of a machine that is busy, too
        patched.setattr(people, "TOLD_EVERY_S", 0.0)
        patched.setattr(people, "LOOK_S", 0.0)
        patched.setattr(writer, "COMMIT_PERIOD_S", 0.02)
        quick = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)  # the same work, less of it
        patched.setattr(users, "_hasher", lambda: quick)
        users._nobodys_hash.cache_clear()
        made = Scene(tmp_path_factory.mktemp("opcua"))
        yield made
        made.close()
        users._nobodys_hash.cache_clear()


@pytest.fixture
def scene(standing_scene: Scene) -> Scene:
    standing_scene.refresh()
    return standing_scene


@pytest.fixture
def play() -> Callable[[Awaitable[Any]], Any]:
    """Run a client's side of a test."""

    async def within(work: Awaitable[Any]) -> Any:
        return await work

    return lambda work: asyncio.run(within(work))


async def events_heard(client: Client, filtered: ua.EventFilter) -> asyncio.Queue[Any]:
    """What a client hears from now on of the events that pass a filter."""
    got: asyncio.Queue[Any] = asyncio.Queue()

    class Ears:
        def event_notification(self, event: Any) -> None:
            got.put_nowait(event)

    subscription = await client.create_subscription(100, Ears())
    await subscription.subscribe_events(evfilter=filtered)
    return got
