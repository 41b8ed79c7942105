"""Frames <-> telegrams. Compiled once from DBC and signal map; in a cycle no parser, no per-signal loop for arrays.

The bridge and the plant's nodes import it. Values go in and out in field units (firmware_bridge.contract.FIELDS).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from firmware_bridge.contract import FIELDS, Axis, Telegram, WireDescription, WireError, WireRangeError
from firmware_bridge.frames import Frame
from firmware_bridge.layout import ArrayScale, FloatArray, Packed, Scalar
from firmware_bridge.load import BusLoad, bus_load
from firmware_bridge.plan import MessagePlan, PlanMaker, TelegramPlan

Value = float | npt.ArrayLike
EXTENDED = 1 << 31  # marks 29-bit identifiers in tables of messages


def key_of(frame: Frame) -> int:
    """What tables by identifier are keyed by."""
    return frame.can_id | EXTENDED if frame.is_extended else frame.can_id


class Part(NamedTuple):
    """One decoded frame: a segment of a telegram.

    `fields` holds numbers, and of an array field the places that `where` names. It is empty when `crc_ok` is False.
    `scan_id` is the counter where the DBC has no scan id.
    """

    telegram: Telegram
    node: int
    segment: int
    segments: int
    scan_id: int
    counter: int
    crc_ok: bool
    fields: dict[str, float | FloatArray]
    where: slice | npt.NDArray[np.intp] | None
    can_id: int
    t_s: float


class Codec:
    """Encodes and decodes every telegram of one line's wire. Immutable after compile()."""

    def __init__(self, wire: WireDescription, counts: Mapping[Axis, int], plans: list[TelegramPlan]) -> None:
        self.wire = wire
        self.zones = counts[Axis.ZONES]
        self.wet_boxes = counts[Axis.WET_BOXES]
        self.dry_boxes = counts[Axis.DRY_BOXES]
        self._plans = {(plan.telegram, plan.node): plan for plan in plans}
        self._by_id = {m.can_id | m.is_extended * EXTENDED: m for plan in plans for m in plan.messages}

    @classmethod
    def compile(cls, wire: WireDescription, zones: int, wet_boxes: int, dry_boxes: int) -> Codec:
        """Build the codec of a line; 0 boxes means no such gauge. Raises WireError naming role and signal."""
        counts = {Axis.ZONES: zones, Axis.WET_BOXES: wet_boxes, Axis.DRY_BOXES: dry_boxes}
        return cls(wire, counts, PlanMaker(wire, counts).plans())

    def carries(self, telegram: Telegram, node: int = 0) -> bool:
        """Whether this wire has the telegram (heartbeats: of that node, or of any with node 0)."""
        return (telegram, node) in self._plans or (not node and any(key[0] is telegram for key in self._plans))

    def has_field(self, telegram: Telegram, name: str) -> bool:
        """Whether this wire carries field `name` of `telegram`."""
        return any(name in plan.fields for key, plan in self._plans.items() if key[0] is telegram)

    def has_scan_id(self, telegram: Telegram) -> bool:
        """Whether frames of `telegram` carry a scan id; otherwise their counter groups them."""
        return any(plan.has_scan_id for key, plan in self._plans.items() if key[0] is telegram)

    def can_ids(self, telegram: Telegram, node: int | None = None) -> frozenset[tuple[int, bool]]:
        """(identifier, is_extended) of every message of `telegram`, of one node or of all."""
        return frozenset(
            (message.can_id, message.is_extended)
            for key, plan in self._plans.items()
            for message in plan.messages
            if key[0] is telegram and node in (None, key[1])
        )

    def counter_modulus(self, telegram: Telegram) -> int:
        """What the counter of `telegram` wraps at; 0 where it has none."""
        return self._modulus(telegram, "counter")

    def scan_modulus(self, telegram: Telegram) -> int:
        """What the scan id of `telegram` (or the counter in its stead) wraps at; 0 where it has neither."""
        return self._modulus(telegram, "scan_id") or self.counter_modulus(telegram)

    def places(self, telegram: Telegram) -> int:
        """Length of the array field of `telegram`; 0 where it has none."""
        return max((p.array.scale.count for key, p in self._plans.items() if key[0] is telegram and p.array), default=0)

    def count(self, telegram: Telegram, name: str) -> float:
        """One count of a field on the wire, in field units; the coarsest where an array's places differ."""
        scale = self._scaling(telegram, name)
        return abs(scale.scale) if isinstance(scale, Scalar) else float(np.max(np.abs(scale.scale)))

    def bounds(self, telegram: Telegram, name: str) -> tuple[float, float]:
        """Smallest and largest value every place of the field can carry, in field units."""
        scale = self._scaling(telegram, name)
        if isinstance(scale, Scalar):
            return scale.bounds
        ends = [scale.bounds(index) for index in range(scale.count)]
        return max(low for low, _ in ends), min(high for _, high in ends)

    def _scaling(self, telegram: Telegram, name: str) -> Scalar | ArrayScale:
        for key, plan in self._plans.items():
            if key[0] is telegram and plan.array is not None and plan.array.scale.field.name == name:
                return plan.array.scale
            for scalar in (s for m in plan.messages for s in m.scalars if key[0] is telegram):
                if scalar.field.name == name:
                    return scalar
        raise WireError(f"{telegram}.{name}: not on this wire")

    def encode(
        self, telegram: Telegram, fields: Mapping[str, Value], *, scan_id: int, counter: int, node: int = 0
    ) -> list[Frame]:
        """The frames of one telegram, segments in order, each sealed with its CRC.

        Fields that this wire does not carry are left out; optional ones that `fields` lacks take their default
        where that is a number.
        Raises WireRangeError for a value that does not fit (nothing saturates), WireError for an unknown or
        missing field.
        """
        plan = self.plan(telegram, node)
        refuse_unknown(plan, fields)
        return encode(plan, fields, packed_array(plan, fields), scan_id, counter, node)

    def decode(self, frame: Frame) -> Part | None:
        """One frame as a part of a telegram, or None when its identifier is not on this wire or it is no data frame.

        A frame that is too short, of the wrong kind or says another segment than its identifier counts as corrupt.
        """
        if frame.is_error:
            return None
        plan = self._by_id.get(key_of(frame))
        return None if plan is None else _decode(plan, frame)

    def read_back(self, frames: Sequence[Frame]) -> dict[str, float | FloatArray] | None:
        """All fields of whole telegrams out of their own frames, in order; None where one of them is not readable.

        For a sender that wants to know what the wire will carry.
        """
        fields: dict[str, float | FloatArray] = {}
        blocks: list[bytes | None] = []
        for can_id, data, is_fd, is_extended, _, _ in frames:
            message = self._by_id.get(can_id | EXTENDED if is_extended else can_id)
            opened = None if message is None else message.read(data, is_fd)
            if message is None or opened is None:
                return None
            fields.update(opened[3])
            blocks.append(opened[4])
            if message.segment + 1 == message.segments:
                array = self.plan(message.telegram, message.node).array
                if array is not None:
                    fields[array.scale.field.name] = array.values(blocks)
                blocks = []
        return fields

    def messages(self, telegrams: Collection[Telegram]) -> list[tuple[int, MessagePlan, TelegramPlan]]:
        """Every message of `telegrams`: its identifier (29-bit ones with EXTENDED), its plan and its telegram's."""
        return [
            (message.can_id | message.is_extended * EXTENDED, message, plan)
            for plan in self._plans.values()
            if plan.telegram in telegrams
            for message in plan.messages
        ]

    def bus_load(self, rates_hz: Mapping[Telegram, float]) -> BusLoad:
        """Worst-case load of the bus when each telegram is sent at its rate (heartbeats: each node's)."""
        wire = self.wire
        rows = [
            (
                message.name,
                message.can_id,
                message.size,
                message.is_fd,
                message.is_extended,
                rates_hz.get(plan.telegram, 0.0),
            )
            for plan in self._plans.values()
            for message in plan.messages
        ]
        return bus_load(rows, wire.bitrate, wire.data_bitrate)

    def _modulus(self, telegram: Telegram, role: str) -> int:
        places = [getattr(m.header, role) for key, p in self._plans.items() if key[0] is telegram for m in p.messages]
        return 1 << min(place.mask.bit_length() for place in places) if places and None not in places else 0

    def plan(self, telegram: Telegram, node: int) -> TelegramPlan:
        """How a telegram is made and read. Raises WireError when it is not on this wire."""
        plan = self._plans.get((telegram, node)) or self._plans.get((telegram, 0))
        if plan is None:
            raise WireError(f"{telegram}: not on this wire" + (f" for node {node}" if node else ""))
        return plan


_NAMES: Mapping[Telegram, frozenset[str]] = {
    telegram: frozenset(field.name for field in fields) | ({"node"} if telegram is Telegram.HEARTBEAT else set())
    for telegram, fields in FIELDS.items()
}


def refuse_unknown(plan: TelegramPlan, fields: Mapping[str, Value]) -> None:
    """Raise WireError for a field that the telegram does not have."""
    if not fields.keys() <= _NAMES[plan.telegram]:
        unknown = ", ".join(sorted(fields.keys() - _NAMES[plan.telegram]))
        known = ", ".join(sorted(_NAMES[plan.telegram]))
        raise WireError(f"{plan.telegram}: unknown field {unknown}; known: {known}")


def packed_array(plan: TelegramPlan, fields: Mapping[str, Value]) -> list[Packed] | None:
    """What each message carries of the telegram's array field; None where it has none. Raises WireError."""
    if plan.array is None:
        return None
    name = plan.array.scale.field.name
    if name not in fields:
        raise WireError(f"{plan.telegram}: field {name} is missing")
    return plan.array.packed(fields[name])


def encode(
    plan: TelegramPlan, fields: Mapping[str, Value], array: list[Packed] | None, scan_id: int, counter: int, node: int
) -> list[Frame]:
    """Codec.encode for who knows the plan and the fields' names, and has packed the array already."""
    frames = []
    for message in plan.messages:
        part = None if array is None else array[message.segment]
        try:
            frames.append(message.write(fields, scan_id, counter, node, part))
        except MISFITS as error:
            raise blamed(message, fields, error) from error
    return frames


MISFITS = (KeyError, ValueError, OverflowError, TypeError)  # what a writer raises for a value that does not fit


def blamed(plan: MessagePlan, fields: Mapping[str, Value], error: Exception) -> WireError:
    """Which field did not fit, in words; `error` is what the writer stumbled over."""
    for scalar in plan.scalars:
        field, value = scalar.field, fields.get(scalar.field.name)
        if value is None and (field.required or math.isnan(field.default)):
            return WireError(f"{plan.telegram}: field {field.name} is missing")
        low, high = scalar.bounds
        if value is None or scalar.raw_of is not None:
            continue
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return WireRangeError(f"{field.name} = {value!r}: no number")
        if not math.isfinite(number):
            return WireRangeError(f"{field.name} = {number} {field.unit}: not finite")
        if not scalar.position.is_float and not low - scalar.scale / 2 <= number <= high + scalar.scale / 2:
            return WireRangeError(f"{field.name} = {number:g} {field.unit}: beyond [{low:g}, {high:g}]")
    return error if isinstance(error, WireError) else WireRangeError(f"{plan.telegram}: {error}")


def _decode(plan: MessagePlan, frame: Frame) -> Part:
    opened = plan.read(frame.data, frame.is_fd)
    if opened is None:
        return Part(
            plan.telegram, plan.node, plan.segment, plan.segments, 0, 0, False, {}, None, frame.can_id, frame.t_s
        )
    counter, scan_id, node, fields, block = opened
    part, where = plan.array, None
    if part is not None and block is not None:
        fields[part.scale.field.name] = part.values(block)
        where = part.where
    return Part(
        plan.telegram, node, plan.segment, plan.segments, scan_id, counter, True, fields, where, frame.can_id, frame.t_s
    )
