"""Telegrams over a lossy wire: counters on the way out, segments, sequence and liveness on the way in.

The bridge and the plant's nodes import it. Time is an argument: seconds of whatever clock the caller lives by.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from firmware_bridge.codec import Codec, Part, Value
from firmware_bridge.contract import Telegram
from firmware_bridge.frames import Frame
from firmware_bridge.health import LinkHealth, LinkRecord, LinkState, Verdict
from firmware_bridge.layout import FloatArray


class Message(NamedTuple):
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


class Transmitter:
    """Numbers what one node sends. One counter a telegram: all segments of a scan carry the same."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._counters: dict[tuple[Telegram, int], int] = {}

    def frames(self, telegram: Telegram, fields: Mapping[str, Value], scan_id: int = 0, node: int = 0) -> list[Frame]:
        """Encode the next telegram. Raises what Codec.encode raises; the counter then stays."""
        key = (telegram, node)
        counter = self._counters.get(key, 0)
        frames = self._codec.encode(telegram, fields, scan_id=scan_id, counter=counter, node=node)
        self._counters[key] = counter + 1  # the codec cuts it to the width that the wire gives it
        return frames

    def take_back(self, telegram: Telegram, node: int = 0) -> None:
        """The last telegram was not sent: its number goes to the next one, so that receivers see no gap."""
        self._counters[telegram, node] -= 1


class _Assembly:
    """Segments of one telegram on their way to completeness."""

    __slots__ = ("array", "array_name", "fields", "missing", "raw_scan_id", "t_s")

    def __init__(self, part: Part, now_s: float) -> None:
        self.raw_scan_id = part.scan_id
        self.t_s = now_s
        self.missing = (1 << part.segments) - 1
        self.fields: dict[str, float | FloatArray] = {}
        self.array: FloatArray | None = None
        self.array_name = ""

    def add(self, part: Part, count: int) -> bool:
        """Put one segment in its place; True when it was the last one missing."""
        self.missing &= ~(1 << part.segment)
        if part.where is None:
            self.fields.update(part.fields)
            return not self.missing
        if self.array is None:
            self.array = np.empty(count)
        for name, value in part.fields.items():
            if isinstance(value, np.ndarray):
                self.array[part.where], self.array_name = value, name
            else:
                self.fields[name] = value
        return not self.missing

    def result(self) -> dict[str, float | FloatArray]:
        if self.array is not None:
            self.fields[self.array_name] = self.array
        return self.fields


class Receiver:
    """Turns frames into complete telegrams, and keeps the account of every link.

    A telegram counts only when all its segments of one scan id are in within one period; one missing, and the scan is
    dropped and counted. Frames with a wrong CRC, a repeated counter or a jump beyond MAX_COUNTER_JUMP are not used.
    A faulty link delivers nothing until it has proved itself again.
    """

    def __init__(self, codec: Codec, telegrams: Collection[Telegram], periods_s: Mapping[Telegram, float]) -> None:
        """`telegrams` are listened to; those in `periods_s` are expected at that period, the others are events."""
        self._codec = codec
        self._periods_s = dict(periods_s)
        self._telegrams = frozenset(telegrams)
        self._records = {t: LinkRecord(t, 0, self._periods_s.get(t)) for t in Telegram if t in self._telegrams}
        self._heartbeats: dict[int, LinkRecord] = {}
        self._pending: dict[tuple[Telegram, int], _Assembly] = {}
        self._last_scan: dict[tuple[Telegram, int], int] = {}
        self._counter_modulus = {t: codec.counter_modulus(t) for t in self._telegrams}
        self._scan_modulus = {t: codec.scan_modulus(t) for t in self._telegrams}
        self._count = {t: codec.places(t) for t in self._telegrams}
        self.verdict: Verdict | None = None  # of the last frame that was ours

    def feed(self, frame: Frame, now_s: float) -> Message | None:
        """Take one frame; a Message when it completed a telegram."""
        part = self._codec.decode(frame)
        if part is None or part.telegram not in self._telegrams:
            return None
        record = self._record(part)
        modulus = self._counter_modulus[part.telegram]
        if modulus:
            key = part.can_id if part.telegram is not Telegram.SAFE_STOP else part.can_id | part.node << 32
            self.verdict = record.judge(key, part.counter, modulus, part.crc_ok)
        else:
            self.verdict = Verdict.OK if part.crc_ok else Verdict.ERROR
        if self.verdict is not Verdict.OK or record.faulty:
            return None
        if part.segments == 1:
            return self._complete(part, record, part.fields, part.scan_id, now_s, now_s)
        return self._assemble(part, record, now_s)

    def health(self, now_s: float) -> dict[Telegram, LinkHealth]:
        """Every link's health, by telegram. HEARTBEAT's is the sum over nodes; see heartbeats() for each."""
        for key, assembly in list(self._pending.items()):
            if now_s - assembly.t_s > self._deadline_s(key[0]):
                self._drop(key)
        return {telegram: record.health(now_s) for telegram, record in self._records.items()}

    def states(self, now_s: float) -> dict[Telegram, LinkState]:
        """The same in one word each, for every cycle."""
        return {telegram: record.state(now_s) for telegram, record in self._records.items()}

    def heartbeat_states(self, now_s: float) -> dict[int, LinkState]:
        """The heartbeat of every node that was ever heard, in one word."""
        return {node: record.state(now_s) for node, record in self._heartbeats.items()}

    def heartbeats(self, now_s: float) -> dict[int, LinkHealth]:
        """Health of the heartbeat of every node that was ever heard."""
        return {node: record.health(now_s) for node, record in self._heartbeats.items()}

    def restamp(self, telegram: Telegram, now_s: float) -> None:
        """The newest telegram came in at `now_s`: for SYNC, which itself says how late it is."""
        self._records[telegram].last_s = now_s

    def _record(self, part: Part) -> LinkRecord:
        if part.telegram is not Telegram.HEARTBEAT:
            return self._records[part.telegram]
        record = self._heartbeats.get(part.node)
        if record is None:
            period_s = self._periods_s.get(Telegram.HEARTBEAT)
            record = self._heartbeats[part.node] = LinkRecord(part.telegram, part.node, period_s)
        return record

    def _assemble(self, part: Part, record: LinkRecord, now_s: float) -> Message | None:
        key = (part.telegram, part.node)
        assembly = self._pending.get(key)
        if assembly is not None and (
            assembly.raw_scan_id != part.scan_id or now_s - assembly.t_s > self._deadline_s(part.telegram)
        ):
            self._drop(key)
            assembly = None
        if assembly is None:
            assembly = self._pending[key] = _Assembly(part, now_s)
        if not assembly.add(part, self._count[part.telegram]):
            return None
        del self._pending[key]
        return self._complete(part, record, assembly.result(), part.scan_id, assembly.t_s, now_s)

    def _complete(
        self,
        part: Part,
        record: LinkRecord,
        fields: dict[str, float | FloatArray],
        raw_scan_id: int,
        first_s: float,
        now_s: float,
    ) -> Message:
        record.received += 1
        record.last_s = now_s
        if part.telegram is Telegram.HEARTBEAT:
            total = self._records[Telegram.HEARTBEAT]
            total.received += 1
            total.last_s = now_s
            fields["node"] = part.node
        return Message(part.telegram, part.node, self._count_on(part, raw_scan_id), fields, first_s)

    def _count_on(self, part: Part, raw_scan_id: int) -> int:
        """Carry a narrow scan id on across its wraps."""
        modulus = self._scan_modulus[part.telegram]
        if modulus >= 1 << 32:
            return raw_scan_id
        key = (part.telegram, part.node)
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
