"""The client: reads the PLC's own server, puts what changes there on record, and asks for HOLD where a permit goes.

All of it goes through the desk, in the name of one of its users. It asks for nothing but HOLD: a permit that comes back
is put on record, and a person asks for AUTO. Silence counts as a permit withdrawn, after some patience.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyAes256Sha256RsaPss, SecurityPolicyBasic256Sha256
from asyncua.crypto.uacrypto import CertProperties

from controller.line.command import Mode
from evencoat import picture
from evencoat.desk.client import Desk, DeskError
from evencoat.opcua import certificates
from evencoat.opcua.people import VIA, clean
from evencoat.settings import Plc

AGAIN_S = 5.0  # between two connections, and between two times that HOLD is asked for
TICK_S = 1.0
APART_PCT, APART_S = 5.0, 10.0  # web speed of the PLC against ours, before it is put on record
TEXT_MOST = 120  # characters of a value, on record
NAMES = {"roll": "roll_name", "production_order": "production_order", "material_lot": "material_lot"}
POLICIES = {"Basic256Sha256": SecurityPolicyBasic256Sha256, "Aes256Sha256RsaPss": SecurityPolicyAes256Sha256RsaPss}
log = logging.getLogger("evencoat.opcua")


class Heard(NamedTuple):
    """One value of the PLC's; None where its status is bad."""

    name: str
    value: Any


class Follower:
    """What is done with what the PLC says. Blocks while the desk answers."""

    def __init__(
        self,
        plc: Plc,
        desk: Desk,
        speed_mps: Callable[[], float | None],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plc, self._desk, self._speed_mps, self._say, self._clock = plc, desk, speed_mps, say, clock
        self._values: dict[str, Any] = {}
        self._began_s = self._heard_s = clock()
        self._asked_s = -AGAIN_S
        self._apart_since_s: float | None = None
        self._apart_told = False
        self._refused = ""
        self._unnamed: dict[str, str] = {}  # what the desk was not told yet
        self._named_s = -AGAIN_S

    def hear(self, heard: Heard) -> None:
        """A value. What differs from the one before is put on record; the web speed only where it is not ours."""
        self._heard_s = self._clock()
        new = _text(heard.value)
        if heard.name == "web_speed":
            self._values["web_speed"] = heard.value
        elif heard.name not in self._values or self._values[heard.name] != new:
            old = self._values.get(heard.name, "not known")
            self._values[heard.name] = new
            words = f"PLC: {heard.name} {old} -> {new}"
            if heard.name in NAMES and heard.value is not None:  # a bad status takes no name away
                self._say(words)
                self._unnamed[NAMES[heard.name]] = new
                self._named_s = -AGAIN_S
            else:
                self._remark(words)
        self.tick()

    def alive(self) -> None:
        """The connection stands."""
        self._heard_s = self._clock()

    def lost(self, why: str) -> None:
        """The connection does not."""
        self._values.pop("web_speed", None)
        self._remark(f"PLC: not heard any more: {why}"[:400])

    def tick(self) -> None:
        """Look whether there is something to be done about what was heard, or was not."""
        if self._plc.permit and (why := self._no_permit()):
            self._hold(why)
        self._name()
        self._compare()

    def _name(self) -> None:
        """Have the journal call what runs as the PLC does. Where nobody listens it is tried again; what is refused is
        put on record as a remark, for it would be refused again."""
        if not self._unnamed or self._clock() - self._named_s < AGAIN_S:
            return
        self._named_s = self._clock()
        for name, text in list(self._unnamed.items()):
            try:
                answer = self._desk.ask(self._plc.acts_as, VIA, "lot", {name: text}, "as the PLC names it")
            except DeskError as error:
                return self._complain(f"{name} {text}: {error}")
            del self._unnamed[name]
            if not answer.accepted:
                self._complain(f"{name} {text}: refused: {answer.reason}")
                self._remark(f"PLC: {name} is {text}")

    def _no_permit(self) -> str:
        """Why there is no permit to go on with, "" where there is one, or it is too early to say."""
        permit, now_s = self._values.get("permit"), self._clock()
        if permit is not None and permit != "true":
            return "withdrew the permit"
        if permit is None and now_s - self._began_s > self._plc.patience_s:
            return "has not given a permit"
        quiet_s = now_s - self._heard_s
        return f"was not heard for {quiet_s:.0f} s" if quiet_s > self._plc.patience_s else ""

    def _hold(self, why: str) -> None:
        """Ask for HOLD until the line has been asked for it, and say what the desk says."""
        if self._clock() - self._asked_s < AGAIN_S:
            return
        self._asked_s = self._clock()
        why = f"the PLC {why}"
        try:
            if self._desk.state()["mode_requested"] in (Mode.HOLD, Mode.ADVISORY):
                return
            for action, values in (("take_command", {"force": True}), ("mode", {"mode": str(Mode.HOLD)})):
                answer = self._desk.ask(self._plc.acts_as, VIA, action, values, why)
                if not answer.accepted:
                    return self._complain(f"HOLD, for {why}: refused: {answer.reason}")
            self._say(f"HOLD, for {why}: {answer.reason}")
            self._desk.ask(self._plc.acts_as, VIA, "release_command", {}, "HOLD was asked for")
            self._refused = ""
        except DeskError as error:
            self._complain(f"HOLD, for {why}: {error}")

    def _compare(self) -> None:
        """Put on record where the PLC's web speed is not ours, and where it is again."""
        theirs, ours = self._values.get("web_speed"), self._speed_mps()
        if theirs is None or ours is None:
            self._apart_since_s = None
            return
        theirs = float(theirs) * self._plc.web_speed_mps_per_unit
        apart = abs(theirs - ours) > APART_PCT / 100.0 * max(abs(theirs), abs(ours), 0.01)
        if not apart:
            self._apart_since_s = None
            if self._apart_told:
                self._apart_told = False
                self._remark(f"PLC: its web speed is the encoder's again, {ours:.3f} m/s")
        elif self._apart_since_s is None:
            self._apart_since_s = self._clock()
        elif not self._apart_told and self._clock() - self._apart_since_s >= APART_S:
            self._apart_told = True
            self._remark(f"PLC: its web speed is {theirs:.3f} m/s, the encoder's {ours:.3f} m/s")

    def _remark(self, words: str) -> None:
        self._say(words)
        try:
            answer = self._desk.ask(self._plc.acts_as, VIA, "note", {"what": "remark", "text": words}, "")
        except DeskError as error:
            self._complain(f"not on record: {error}")
            return
        if not answer.accepted:
            self._complain(f"not on record: {answer.reason}")

    def _complain(self, words: str) -> None:
        if words != self._refused:  # once, not every few seconds
            log.error("%s", words)
        self._refused = words


def encoder_speed(viewer: picture.Viewer, stale_s: float = 3.0) -> Callable[[], float | None]:
    """The web speed of the newest picture, m/s; None where it is too old."""
    newest: dict[str, float] = {}

    def speed_mps() -> float | None:
        content = viewer.latest()
        if content is not None:
            head, _ = picture.told(content)
            newest.update(t_unix_s=head["t_unix_s"], speed=head["web_speed_mps"])
        fresh = newest and time.time() - newest["t_unix_s"] < stale_s and newest["speed"] is not None
        return newest["speed"] if fresh else None

    return speed_mps


async def follow(plc: Plc, follower: Follower, until: asyncio.Event) -> None:
    """Connect, subscribe, and connect again where it breaks, until told otherwise. Raises CertificateError at once
    where our own certificate, the PLC's or the password cannot be had."""
    own = certificates.read(plc.folder)
    password = certificates.read_secret(plc.password_file).decode().strip()
    while not until.is_set():
        heard: asyncio.Queue[Heard | Exception] = asyncio.Queue()
        client = await _client(plc, own, password, heard)
        try:
            async with client:
                await _subscribed(client, plc, heard)
                await _fed(follower, heard, until)
        except (OSError, TimeoutError, ua.UaError) as error:
            await asyncio.to_thread(follower.lost, f"{type(error).__name__}: {error}".rstrip(": "))
            await _waited(follower, until)


class _Ears:
    """Takes asyncua's notifications in."""

    def __init__(self, names: dict[str, str], heard: asyncio.Queue[Heard | Exception]) -> None:
        self._names, self._heard = names, heard

    def datachange_notification(self, node: Any, val: Any, data: Any) -> None:
        """A value has changed, or its status has."""
        status = data.monitored_item.Value.StatusCode
        good = status is None or status.is_good()
        self._heard.put_nowait(Heard(self._names[node.nodeid.to_string()], val if good else None))

    def status_change_notification(self, status: Any) -> None:
        """The subscription is over."""
        self._heard.put_nowait(ConnectionError("its server ended the subscription"))


async def _client(
    plc: Plc, own: certificates.Identity, password: str, heard: asyncio.Queue[Heard | Exception]
) -> Client:
    """A client that speaks encrypted, to the holder of the certificate that we were given and to nobody else."""
    client = Client(plc.endpoint, timeout=10.0)
    client.application_uri, client.name = own.uri, "evencoat"
    client.session_timeout = 60_000
    client.set_user(plc.user)
    client.set_password(password)
    await client.set_security(
        POLICIES[plc.policy],
        own.certificate_der,
        CertProperties(own.key_pem, "pem"),
        server_certificate=certificates.der(plc.server_certificate),
        mode=ua.MessageSecurityMode.SignAndEncrypt,
    )

    async def lost(error: Exception) -> None:
        heard.put_nowait(ConnectionError(str(error) or type(error).__name__))

    client.connection_lost_callback = lost
    return client


async def _subscribed(client: Client, plc: Plc, heard: asyncio.Queue[Heard | Exception]) -> None:
    names = {node: name for name, node in plc.nodes.items()}
    nodes = [client.get_node(node) for node in names]
    by_id = {node.nodeid.to_string(): name for node, name in zip(nodes, names.values(), strict=True)}
    subscription = await client.create_subscription(500.0, _Ears(by_id, heard))
    await subscription.subscribe_data_change(nodes)


async def _fed(follower: Follower, heard: asyncio.Queue[Heard | Exception], until: asyncio.Event) -> None:
    """Hand on what is heard, one after the other. Raises what ended the connection."""
    while not until.is_set():
        try:
            one = await asyncio.wait_for(heard.get(), TICK_S)
        except TimeoutError:
            follower.alive()  # asyncua's client asks the server each second, and tells where no answer comes
            await asyncio.to_thread(follower.tick)
            continue
        if isinstance(one, Exception):
            raise one
        await asyncio.to_thread(follower.hear, one)


async def _waited(follower: Follower, until: asyncio.Event) -> None:
    ends_s = time.monotonic() + AGAIN_S
    while time.monotonic() < ends_s and not until.is_set():
        await asyncio.to_thread(follower.tick)
        await asyncio.sleep(TICK_S)


def _text(value: Any) -> str:
    """A value as it is put on record."""
    if value is None:
        return "bad"
    if isinstance(value, bool):
        return str(value).lower()
    return clean(str(value))[:TEXT_MOST]
