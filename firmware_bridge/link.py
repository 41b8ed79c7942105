"""Telegrams over a lossy wire: counters on the way out, segments, sequence and liveness on the way in.

The bridge and the plant's nodes import it. Time is an argument: seconds of whatever clock the caller lives by.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from firmware_bridge.authentication import SENDERS, Authenticator, Guard, Signer
from firmware_bridge.codec import EXTENDED, MISFITS, Codec, Value, blamed, encode, packed_array, refuse_unknown
from firmware_bridge.contract import Telegram
from firmware_bridge.frames import Frame
from firmware_bridge.health import LinkHealth, LinkRecord, LinkState, Verdict
from firmware_bridge.layout import FloatArray, Packed, WholeArray
from firmware_bridge.plan import MessagePlan, TelegramPlan


@dataclass(slots=True)
class Message:
    """One complete telegram.

    `scan_id` counts on beyond the width that the wire gives it (a counter of 8 bits that stands in for a scan id, an
    identifier of 16 bits), so that later is larger; a full 32-bit id is passed on as it is. `t_s` is when its first
    segment came in, on the receiver's clock.
    """

    telegram: Telegram
    node: int
    scan_id: int
    fields: dict[str, float | FloatArray]
    t_s: float


_FLOAT64 = np.dtype(np.float64)


class Outlet:
    """One telegram of one node on its way out: its plan, its next number, and what was found of its last fields."""

    __slots__ = ("array", "counter", "last", "name", "names", "node", "packed", "plan", "signer", "write")

    def __init__(self, plan: TelegramPlan, node: int, signer: Signer | None = None) -> None:
        self.plan, self.node, self.array = plan, node, plan.array
        self.signer = signer if any(message.seal is not None for message in plan.messages) else None
        self.name = "" if plan.array is None else plan.array.scale.field.name
        self.write = plan.messages[0].write if len(plan.messages) == 1 and plan.array is None else None
        self.counter = 0
        self.names: tuple[str, ...] = ()  # that are known to be right
        self.last: bytes | None = None
        self.packed: list[Packed] | None = None

    def frames(self, fields: Mapping[str, Value], scan_id: int = 0) -> list[Frame]:
        """Encode the next telegram. Raises what Codec.encode raises; the counter then stays."""
        names = tuple(fields)
        if names != self.names:
            refuse_unknown(self.plan, fields)
            self.names = names
        if self.write is None:
            array = None if self.array is None else self._array(self.array, fields)
            frames = encode(self.plan, fields, array, scan_id, self.counter, self.node)
        else:  # a single frame, as most are
            try:
                frames = [self.write(fields, scan_id, self.counter, self.node, None)]
            except MISFITS as error:
                raise blamed(self.plan.messages[0], fields, error) from error
        self.counter += 1  # the codec cuts it to the width that the wire gives it
        if self.signer is not None:
            return self.signer.signed(frames, [message.seal for message in self.plan.messages])
        return frames

    def take_back(self) -> None:
        """The last telegram was not sent: its number goes to the next one, so that receivers see no gap."""
        self.counter -= 1

    def _array(self, array: WholeArray, fields: Mapping[str, Value]) -> list[Packed] | None:
        """The packed array; most positions and commands repeat the last ones, and are not reckoned again."""
        values = fields.get(self.name)
        if not isinstance(values, np.ndarray) or values.dtype != _FLOAT64:
            return packed_array(self.plan, fields)
        same = values.tobytes()
        if same != self.last or values.ndim != 1:
            self.packed, self.last = array.packed(values), same
        return self.packed


class Transmitter:
    """Numbers what one node sends. One counter a telegram: all segments of a scan carry the same."""

    def __init__(self, codec: Codec, auth: Authenticator | None = None) -> None:
        """`auth` signs what the wire authenticates; without it such frames go out with a MAC of zeros."""
        self._codec, self._auth = codec, auth
        self._outlets: dict[tuple[Telegram, int], Outlet] = {}

    def outlet(self, telegram: Telegram, node: int = 0) -> Outlet:
        """Where a telegram goes out, for those who send it again and again. Raises WireError: not on this wire."""
        outlet = self._outlets.get((telegram, node))
        if outlet is None:
            signer = None if self._auth is None else self._auth.signer(SENDERS.get(telegram) or node)
            outlet = self._outlets[telegram, node] = Outlet(self._codec.plan(telegram, node), node, signer)
        return outlet

    def frames(self, telegram: Telegram, fields: Mapping[str, Value], scan_id: int = 0, node: int = 0) -> list[Frame]:
        """Encode the next telegram. Raises what Codec.encode raises; the counter then stays."""
        return self.outlet(telegram, node).frames(fields, scan_id)


_OK = Verdict.OK  # to look up a member of an enum takes as long as all that is done with it here


class _Assembly:
    """Segments of one telegram on their way to completeness."""

    __slots__ = ("blocks", "fields", "missing", "scan_id", "t_s")

    def __init__(self, segments: int, scan_id: int, now_s: float) -> None:
        self.scan_id = scan_id
        self.t_s = now_s
        self.missing = (1 << segments) - 1
        self.fields: dict[str, float | FloatArray] = {}
        self.blocks: list[bytes | None] = [None] * segments


class _Inlet:
    """One message of the wire as a receiver knows it: all that a frame's identifier tells."""

    __slots__ = (
        "array",
        "counter_modulus",
        "deadline_s",
        "guard",
        "last",
        "many_senders",
        "name",
        "node",
        "read",
        "record",
        "scan_modulus",
        "segment",
        "segments",
        "telegram",
        "total",
        "values",
    )

    def __init__(
        self, plan: MessagePlan, array: WholeArray | None, codec: Codec, auth: Authenticator | None = None
    ) -> None:
        self.read, self.telegram, self.node, self.array = plan.read, plan.telegram, plan.node, array
        self.guard: Guard | None = None
        if auth is not None and plan.seal is not None:
            sender = SENDERS.get(plan.telegram) or plan.node or None
            self.guard = self.read = Guard(auth, plan.seal, plan.read, plan.name, sender)
        self.segment, self.segments = plan.segment, plan.segments
        self.record: LinkRecord | None = None  # heartbeats have one a node,
        self.total: LinkRecord | None = None  # and this of all together
        self.many_senders = plan.telegram is Telegram.SAFE_STOP
        self.deadline_s = math.inf  # of a telegram's segments
        self.counter_modulus = codec.counter_modulus(plan.telegram)
        self.scan_modulus = codec.scan_modulus(plan.telegram)
        self.name = "" if array is None else array.scale.field.name
        self.last: list[bytes | None] = []
        self.values: FloatArray | None = None

    def unpacked(self, blocks: list[bytes | None]) -> FloatArray:
        """The array of a whole telegram. The same bytes again are the same array, which nobody may write to."""
        if self.values is None or blocks != self.last:
            assert self.array is not None
            self.last, self.values = blocks, self.array.values(blocks)
            self.values.setflags(write=False)
        return self.values


class Receiver:
    """Turns frames into complete telegrams, and keeps the account of every link.

    A telegram counts only when all its segments of one scan id are in within one period; one missing, and the scan is
    dropped and counted. Frames with a wrong CRC, a repeated counter or a jump beyond MAX_COUNTER_JUMP are not used.
    A faulty link delivers nothing until it has proved itself again. With `auth`, what the wire authenticates is used
    only when it is authentic, and a frame that is not changes nothing but a count.
    """

    def __init__(
        self,
        codec: Codec,
        telegrams: Collection[Telegram],
        periods_s: Mapping[Telegram, float],
        auth: Authenticator | None = None,
    ) -> None:
        """`telegrams` are listened to; those in `periods_s` are expected at that period, the others are events."""
        self._periods_s = dict(periods_s)
        self._records = {t: LinkRecord(t, 0, self._periods_s.get(t)) for t in Telegram if t in telegrams}
        self._expected = [(t, self._records[t]) for t in self._periods_s if t in self._records]
        self._heartbeats: dict[int, LinkRecord] = {}
        self._pending: dict[tuple[Telegram, int], _Assembly] = {}
        self._last_scan: dict[tuple[Telegram, int], int] = {}
        self._inlets: dict[int, _Inlet] = {}
        for key, message, telegram in codec.messages(self._records):
            inlet = self._inlets[key] = _Inlet(message, telegram.array, codec, auth)
            inlet.deadline_s = self._periods_s.get(message.telegram, math.inf)
            if message.telegram is Telegram.HEARTBEAT:
                inlet.total = self._records[message.telegram]
            else:
                inlet.record = self._records[message.telegram]
                inlet.record.segments = message.segments
        self.verdict: Verdict | None = None  # of the last frame that was ours

    def feed(self, frame: Frame, now_s: float) -> Message | None:
        """Take one frame; a Message when it completed a telegram."""
        can_id, data, is_fd, is_extended, _, is_error = frame
        inlet = self._inlets.get(can_id | EXTENDED if is_extended else can_id)
        if inlet is None or is_error:
            return None
        opened = inlet.read(data, is_fd)
        counter, scan_id, node, fields, block = (0, 0, inlet.node, {}, None) if opened is None else opened
        record = inlet.record or self._heartbeats.get(node) or self._heartbeat(node)
        key = can_id | node << 32 if inlet.many_senders else can_id
        if opened is not None and record.sound and record.counters.get(key) == counter - 1:
            record.counters[key] = counter  # the next in sequence on a sound link, as nearly always: nothing to judge
            self.verdict = _OK
        elif opened is None and inlet.guard is not None and inlet.guard.doubt is not None:
            self.verdict = record.distrust(now_s) if inlet.guard.doubt else None
            return None
        else:
            self.verdict = record.judge(key, counter, inlet.counter_modulus, opened is not None, now_s)
            if self.verdict is not _OK or record.faulty:
                return None
        first_s = now_s
        if inlet.segments > 1:
            assembly = self._assembled(inlet, node, scan_id, fields, block, now_s)
            if assembly is None:
                return None
            fields, first_s = assembly.fields, assembly.t_s
            if inlet.array is not None:
                fields[inlet.name] = inlet.unpacked(assembly.blocks)
        elif inlet.array is not None:
            fields[inlet.name] = inlet.unpacked([block])
        record.received += 1
        record.last_s = now_s
        if inlet.total is not None:
            inlet.total.received += 1
            inlet.total.last_s = now_s
            fields["node"] = node
        if inlet.scan_modulus < 1 << 32:
            scan_id = self._counted_on((inlet.telegram, node), scan_id, inlet.scan_modulus)
        return Message(inlet.telegram, node, scan_id, fields, first_s)

    def health(self, now_s: float) -> dict[Telegram, LinkHealth]:
        """Every link's health, by telegram. HEARTBEAT's is the sum over nodes; see heartbeats() for each."""
        for key, assembly in list(self._pending.items()):
            if now_s - assembly.t_s > self._deadline_s(key[0]):
                self._drop(key)
        return {telegram: record.health(now_s) for telegram, record in self._records.items()}

    def troubled(self, now_s: float) -> dict[Telegram, LinkState]:
        """The expected links that are not OK, in one word each. HEARTBEAT's is that of whichever node came last."""
        return _troubled(self._expected, now_s)

    def troubled_heartbeats(self, now_s: float) -> dict[int, LinkState]:
        """The heartbeats that are not OK, of every node that was ever heard."""
        return _troubled(self._heartbeats.items(), now_s)

    def heartbeats(self, now_s: float) -> dict[int, LinkHealth]:
        """Health of the heartbeat of every node that was ever heard."""
        return {node: record.health(now_s) for node, record in self._heartbeats.items()}

    def restamp(self, telegram: Telegram, now_s: float) -> None:
        """The newest telegram came in at `now_s`: for SYNC, which itself says how late it is."""
        self._records[telegram].last_s = now_s

    def _heartbeat(self, node: int) -> LinkRecord:
        record = self._heartbeats.get(node)
        if record is None:
            period_s = self._periods_s.get(Telegram.HEARTBEAT)
            record = self._heartbeats[node] = LinkRecord(Telegram.HEARTBEAT, node, period_s)
        return record

    def _assembled(
        self,
        inlet: _Inlet,
        node: int,
        scan_id: int,
        fields: dict[str, float | FloatArray],
        block: bytes | None,
        now_s: float,
    ) -> _Assembly | None:
        """Put one segment in its place; the whole telegram when it was the last one missing."""
        key = (inlet.telegram, node)
        assembly = self._pending.get(key)
        if assembly is not None and (assembly.scan_id != scan_id or now_s - assembly.t_s > inlet.deadline_s):
            self._drop(key)
            assembly = None
        if assembly is None:
            assembly = self._pending[key] = _Assembly(inlet.segments, scan_id, now_s)
        assembly.missing &= ~(1 << inlet.segment)
        assembly.blocks[inlet.segment] = block
        if fields:
            assembly.fields.update(fields)
        if assembly.missing:
            return None
        del self._pending[key]
        return assembly

    def _counted_on(self, key: tuple[Telegram, int], raw_scan_id: int, modulus: int) -> int:
        """Carry a narrow scan id on across its wraps."""
        last = self._last_scan.get(key, raw_scan_id)
        half = modulus // 2
        scan_id = last + (raw_scan_id - last + half) % modulus - half
        self._last_scan[key] = scan_id
        return scan_id

    def _deadline_s(self, telegram: Telegram) -> float:
        return self._periods_s.get(telegram, math.inf)

    def _drop(self, key: tuple[Telegram, int]) -> None:
        del self._pending[key]
        self._records[key[0]].incomplete += 1


_Key = TypeVar("_Key")


def _troubled(records: Iterable[tuple[_Key, LinkRecord]], now_s: float) -> dict[_Key, LinkState]:
    """Those whose state is not OK. All are asked in every cycle, so what `state` would say is looked at in place."""
    return {
        key: record.state(now_s)
        for key, record in records
        if record.last_s is None or now_s - record.last_s > record.patience_s or record.faulty
    }
