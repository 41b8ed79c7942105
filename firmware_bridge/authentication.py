"""Proof against people, SecOC-like: AES-CMAC over data id, frame and freshness. Link, bridge and nodes import it.

Every node numbers its telegrams: freshness is its boot epoch (32 bits) and the telegrams it has sent since (32 bits).
Sixteen bits of it travel; a receiver completes them from what it heard last, takes no number twice, and none that lags
far behind. A heartbeat carries all 64 bits, authenticated: a receiver that lost count (its own reset, a long silence)
and a sender that begins anew are found again by it. A receiver that knows nothing of a peer believes it only after
three periods, and then the highest heartbeat of these: one played back from before loses against the living.

Not closed by this: a peer that is silenced for good, whose frames of the same epoch are played to a receiver that has
just reset. Its commands have expired by then, which is the nodes' own protection.
"""

from __future__ import annotations

import hmac
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from firmware_bridge.compiled import Opened, Reader
from firmware_bridge.contract import HEARTBEAT_PERIOD_S, SILENT_AFTER_PERIODS, Node, Telegram, WireError
from firmware_bridge.frames import Frame

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.cmac import CMAC

MAC_BYTES = 6  # of the sixteen that AES-CMAC makes: 2**-48 for a forger's every try
KEY_BYTES = 16  # AES-128
SETTLE_S = SILENT_AFTER_PERIODS * HEARTBEAT_PERIOD_S + 1e-6  # in which the living outrank what is played back
LAG = 64  # telegrams of its node that a frame may be behind the newest heartbeat: two seconds of a busy node
EPOCH_MAX = 0xFFFF_FFFF

SENDERS: Mapping[Telegram, Node] = {  # who sends what; SAFE_STOP and heartbeats say it themselves
    Telegram.SYNC: Node.ENCODER,
    Telegram.LINE_STATE: Node.ENCODER,
    Telegram.PUMP_COMMAND: Node.CONTROLLER,
    Telegram.PUMP_FEEDBACK: Node.PUMP,
    Telegram.DIE_COMMAND: Node.CONTROLLER,
    Telegram.DIE_FEEDBACK: Node.DIE,
    Telegram.DIE_STATUS: Node.DIE,
    Telegram.WET_PROFILE: Node.WET_GAUGE,
    Telegram.WET_META: Node.WET_GAUGE,
    Telegram.DRY_PROFILE: Node.DRY_GAUGE,
    Telegram.DRY_META: Node.DRY_GAUGE,
    Telegram.REARM: Node.CONTROLLER,
}
MUST = frozenset(  # telegrams that an authenticated line may not send without
    {Telegram.DIE_COMMAND, Telegram.PUMP_COMMAND, Telegram.SAFE_STOP, Telegram.REARM, Telegram.HEARTBEAT}
)


class AuthenticationError(WireError):
    """Keys or epochs cannot be used. The text says which and what to do."""


class Seal(NamedTuple):
    """Where a message carries freshness and MAC: first bytes, and how many bytes of freshness travel."""

    data_id: bytes
    size: int
    crc_at: int
    freshness_at: int
    freshness_bytes: int
    order: Literal["little", "big"]  # of the freshness
    mac_at: int
    resealed: Callable[[bytes], bytes]  # the frame with its CRC put right

    def told(self, data: bytes) -> int:
        """The bits of freshness that a frame carries."""
        return int.from_bytes(data[self.freshness_at : self.freshness_at + self.freshness_bytes], self.order)

    def covered(self, data: bytes, freshness: int) -> bytes:
        """What the MAC is reckoned over: data id, frame with CRC and MAC as zeros, full freshness, low byte first."""
        body = bytearray(data)
        body[self.crc_at : self.crc_at + 2] = bytes(2)
        body[self.mac_at : self.mac_at + MAC_BYTES] = bytes(MAC_BYTES)
        return self.data_id + body + freshness.to_bytes(8, "little")


@dataclass(frozen=True, slots=True)
class Key:
    """One AES key with its number and its time, in seconds since 1970."""

    number: int
    secret: bytes = field(repr=False)
    signs_from_s: float = -math.inf
    valid_until_s: float = math.inf


class KeyRing:
    """The keys of a line: the newest whose time has come signs, all that are still valid are believed."""

    def __init__(self, keys: Sequence[Key], sign_with: int | None = None, now_s: float = 0.0) -> None:
        """`sign_with` holds on to one key by its number. Raises AuthenticationError: none can sign, or wrong length."""
        for key in keys:
            if len(key.secret) != KEY_BYTES:
                raise AuthenticationError(f"key {key.number}: {len(key.secret)} bytes, expected {KEY_BYTES}")
        if len({key.number for key in keys}) < len(keys):
            raise AuthenticationError("two keys have the same number")
        if sign_with is not None and sign_with not in {key.number for key in keys}:
            raise AuthenticationError(f"key_id = {sign_with}: there is no such key")
        self._keys = [(key, _cmac(key.secret)) for key in sorted(keys, key=lambda key: -key.number)]
        self._sign_with = sign_with
        if not self.refresh(now_s):
            raise AuthenticationError("no key may sign now: `evencoat key show` says from when until when each may")

    def refresh(self, now_s: float) -> bool:
        """Look at the clock. False when no key may sign any more: the last one goes on, and whoever listens refuses."""
        valid = [(key, cmac) for key, cmac in self._keys if now_s <= key.valid_until_s]
        signing = [
            pair for pair in valid if pair[0].signs_from_s <= now_s and self._sign_with in (None, pair[0].number)
        ]
        self._believed = [cmac for _, cmac in valid]
        if signing:
            self.signing, self._signer = signing[0]
        return bool(signing)

    def mac(self, text: bytes) -> bytes:
        """The MAC of `text` under the key that signs now."""
        return _mac(self._signer, text)

    def admits(self, text: bytes, mac: bytes) -> bool:
        """Whether any valid key gives this MAC."""
        return any(hmac.compare_digest(_mac(cmac, text), mac) for cmac in self._believed)


def _cmac(secret: bytes) -> CMAC:
    try:
        from cryptography.hazmat.primitives.ciphers.algorithms import AES
        from cryptography.hazmat.primitives.cmac import CMAC
    except ImportError:
        raise AuthenticationError("authentication needs cryptography: pip install 'evencoat[auth]'") from None
    return CMAC(AES(secret))


def _mac(cmac: CMAC, text: bytes) -> bytes:
    one = cmac.copy()
    one.update(text)
    return one.finalize()[:MAC_BYTES]


class Signer:
    """One node's pen: numbers its telegrams and puts freshness and MAC into their frames."""

    def __init__(self, ring: KeyRing, epoch: int) -> None:
        self._ring, self._freshness = ring, epoch << 32

    @property
    def epoch(self) -> int:
        return self._freshness >> 32

    def signed(self, frames: Sequence[Frame], seals: Sequence[Seal | None]) -> list[Frame]:
        """The frames of one telegram, all under one new number; those without a seal as they are."""
        self._freshness += 1
        return [
            frame if seal is None else frame._replace(data=self._sealed(frame.data, seal))
            for frame, seal in zip(frames, seals, strict=True)
        ]

    def _sealed(self, data: bytes, seal: Seal) -> bytes:
        body, at = bytearray(data), seal.freshness_at
        carried = self._freshness & ((1 << 8 * seal.freshness_bytes) - 1)
        body[at : at + seal.freshness_bytes] = carried.to_bytes(seal.freshness_bytes, seal.order)
        body[seal.mac_at : seal.mac_at + MAC_BYTES] = self._ring.mac(seal.covered(bytes(body), self._freshness))
        return seal.resealed(bytes(body))


class _Peer:
    """What is known of one node: its newest freshness, and whether it is believed yet."""

    __slots__ = ("believed", "epoch_min", "floor", "freshness", "since_s", "taken")

    def __init__(self, epoch_min: int) -> None:
        self.epoch_min = epoch_min  # heartbeats of earlier epochs are played back
        self.freshness: int | None = None  # of its newest heartbeat
        self.floor = 0  # its freshness when it came to be believed: what was said before is over
        self.taken: dict[str, int] = {}  # by message: the last freshness that was taken
        self.believed = False
        self.since_s = math.inf  # its first heartbeat


class Authenticator:
    """One process on an authenticated bus: its keys, its epoch, and what it knows of the others.

    `end_of_read` is called once a cycle. A peer that it knows nothing of is believed with the first heartbeat that
    comes SETTLE_S after its very first, by `monotonic` seconds or, without that, by cycles. `known_epochs` are the
    highest that were ever heard, by node: memory that outlives a reset, kept through `on_epoch` whenever a node begins
    a new one. `clock` tells seconds since 1970; keys age by it.
    """

    def __init__(
        self,
        ring: KeyRing,
        epoch: int,
        cycle_s: float,
        known_epochs: Mapping[int, int] | None = None,
        on_epoch: Callable[[dict[int, int]], None] | None = None,
        clock: Callable[[], float] | None = None,
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        if not 1 <= epoch <= EPOCH_MAX:
            raise AuthenticationError(f"epoch {epoch}: expected 1 to {EPOCH_MAX}")
        self.epoch = epoch
        self._ring = ring
        self._clock = clock
        self._on_epoch = on_epoch
        self._monotonic = monotonic or self._by_cycles
        self._cycles, self._cycle_s = 0, cycle_s
        self._peers = {node: _Peer(epoch) for node, epoch in (known_epochs or {}).items()}
        self._signers: dict[int, Signer] = {}
        self._refused: Counter[str] = Counter()

    def signer(self, node: int) -> Signer:
        """The pen of one of this process's nodes."""
        if node not in self._signers:
            self._signers[node] = Signer(self._ring, self.epoch)
        return self._signers[node]

    def epochs(self) -> dict[int, int]:
        """The highest epoch that was heard of each node."""
        return {node: peer.epoch_min for node, peer in self._peers.items() if peer.epoch_min}

    def end_of_read(self) -> list[str]:
        """A cycle has passed. What was refused in it, in words."""
        words = []
        if self._clock is not None and not self._ring.refresh(self._clock()):
            words.append(f"key {self._ring.signing.number} may not sign any more: evencoat key rotate")
        self._cycles += 1
        words += [f"{name}: {count} not authentic" for name, count in self._refused.items()]
        self._refused.clear()
        return words

    def _by_cycles(self) -> float:
        return self._cycles * self._cycle_s

    def peer(self, node: int) -> _Peer:
        found = self._peers.get(node)
        if found is None:
            found = self._peers[node] = _Peer(0)
        return found

    def admits(self, text: bytes, mac: bytes) -> bool:
        return self._ring.admits(text, mac)

    def refuse(self, name: str) -> None:
        self._refused[name] += 1

    def heard(self, node: int, freshness: int) -> bool:
        """An authentic heartbeat: take its freshness up. False for one played back, and while a peer settles."""
        peer, epoch = self.peer(node), freshness >> 32
        if epoch < peer.epoch_min or (peer.freshness is not None and freshness <= peer.freshness):
            return False
        began_anew = epoch > peer.epoch_min
        peer.freshness, peer.epoch_min = freshness, epoch
        if not peer.believed:
            peer.since_s = min(peer.since_s, self._monotonic())
            if self._monotonic() - peer.since_s >= SETTLE_S:
                peer.believed, peer.floor = True, freshness
        if began_anew and self._on_epoch is not None:
            self._on_epoch(self.epochs())
        return peer.believed


class Guard:
    """A message's reader that hands on authentic frames only. One a message and receiver.

    `doubt` is about the last frame: None when it may be judged further, True when it is not authentic, False when its
    sender's freshness is not known yet.
    """

    __slots__ = ("_auth", "_last", "_name", "_node", "_read", "_seal", "doubt")

    def __init__(self, auth: Authenticator, seal: Seal, read: Reader, name: str, node: int | None) -> None:
        """`node` is the sender, None where the frame says it."""
        self._auth, self._seal, self._read, self._name, self._node = auth, seal, read, name, node
        self._last: dict[int, bytes] = {}
        self.doubt: bool | None = None

    def __call__(self, data: bytes, is_fd: bool) -> Opened | None:
        opened, self.doubt = self._read(data, is_fd), None
        if opened is None:
            return None  # noise, which is not this one's business
        data = data[: self._seal.size]
        node = opened[2] if self._node is None else self._node
        if self._last.get(node) == data:
            return opened  # the last one again: the counter will say so
        beats = self._seal.freshness_bytes == 4
        peer = self._auth.peer(node)
        if not beats and not peer.believed:
            self.doubt = False
            return None
        mac = data[self._seal.mac_at : self._seal.mac_at + MAC_BYTES]
        freshness = _whole(opened, self._seal.told(data)) if beats else self._completed(peer, data)
        if not self._auth.admits(self._seal.covered(data, freshness), mac):
            self._refuse(True)
            return None
        if beats and not self._auth.heard(node, freshness):
            self._refuse(peer.believed)
            return None
        peer.taken[self._name], self._last[node] = freshness, data
        return opened

    def _completed(self, peer: _Peer, data: bytes) -> int:
        """The next number after the last one taken that ends in the bits which travelled."""
        floor = max(peer.taken.get(self._name, 0), (peer.freshness or 0) - LAG, peer.floor)
        return floor + 1 + (self._seal.told(data) - floor - 1) % 0x1_0000

    def _refuse(self, counts: bool) -> None:
        self.doubt = counts
        if counts:
            self._auth.refuse(self._name)


def _whole(opened: Opened, told: int) -> int:
    """A heartbeat's freshness: its epoch field and the 32 bits beside its MAC."""
    return (max(int(opened[3]["epoch"]), 0) << 32) + told
