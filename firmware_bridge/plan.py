"""From a DBC and a signal map to plans: which message carries which part of which telegram. Runs once, at start.

Only codec.py imports it. Everything that does not fit is a WireError that names role, signal and the nearest known one.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cantools
import numpy as np
import numpy.typing as npt

from firmware_bridge.authentication import MAC_BYTES, MUST, Seal
from firmware_bridge.compiled import Block, Form, Header, Place, Reader, Writer, reader, writer
from firmware_bridge.contract import (
    AUTHENTICATED_DBC,
    DEFAULT_MAP,
    FIELDS,
    HEADER_ROLES,
    OPTIONAL_TELEGRAMS,
    SHIPPED_DBC,
    Axis,
    Field,
    Integrity,
    Node,
    Telegram,
    WireDescription,
    WireError,
)
from firmware_bridge.frames import FD_LENGTHS
from firmware_bridge.integrity import Crc, crc_for
from firmware_bridge.layout import (
    ArrayPart,
    ArrayScale,
    Position,
    Scalar,
    WholeArray,
    array_part_of,
    array_scale_of,
    invalid_raw,
    position_of,
    scalar_of,
    slot_of,
)


@dataclass(frozen=True, slots=True)
class MessagePlan:
    """One message of the DBC: a segment of a telegram, ready to encode and decode."""

    telegram: Telegram
    name: str
    can_id: int
    is_extended: bool
    is_fd: bool
    size: int
    segment: int
    segments: int
    node: int
    header: Header
    scalars: tuple[Scalar, ...]
    read: Reader
    write: Writer
    array: ArrayPart | None
    seal: Seal | None  # of an authenticated bus


@dataclass(frozen=True, slots=True)
class TelegramPlan:
    """All messages of one telegram of one node, in the order of what they carry."""

    telegram: Telegram
    node: int
    messages: tuple[MessagePlan, ...]
    array: WholeArray | None
    has_scan_id: bool
    fields: frozenset[str]  # what this DBC carries of the telegram


SIGNAL_AT = re.compile(rb"^\s*SG_\s+(\S+)[^:\n]*:\s*(\d+)\s*\|\s*(\d+)", re.MULTILINE)  # name, first bit, length
LONGEST_BYTES = 1785  # of SAE J1939-21's transport protocol, whose messages a plant's DBC may hold beside ours


class _Dbc:
    """Signals by name, and the messages that hold them."""

    def __init__(self, path: Path) -> None:
        try:
            database = _parsed(path, path.stat().st_mtime_ns)
        except (OSError, ValueError, cantools.Error) as error:
            raise WireError(f"dbc {path}: {error}") from error
        self.path = path
        self._where: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
        self._messages: dict[str, Any] = {}
        for message in getattr(database, "messages", ()):
            self._messages[message.name] = message
            for signal in message.signals:
                self._where[signal.name].append((message, signal))

    def find(self, name: str, role: str) -> tuple[Any, Any] | None:
        """The message and signal called `name`, or None. Raises WireError where the name is ambiguous."""
        holder, dot, signal_name = name.rpartition(".")
        found = self._where.get(signal_name if dot else name, [])
        if dot:
            found = [pair for pair in found if pair[0].name == holder]
        if len(found) > 1:
            names = ", ".join(message.name for message, _ in found[:4])
            raise WireError(f"{role}: signal {name} is in several messages ({names}): write Message.Signal")
        return found[0] if found else None

    def missing(self, name: str, role: str) -> WireError:
        nearest = difflib.get_close_matches(name.rpartition(".")[2], self._where, 1, 0.5)
        hint = f"; nearest: {nearest[0]}" if nearest else ""
        return WireError(f"{role}: no signal {name} in {self.path.name}{hint}")

    def missing_message(self, name: str) -> WireError:
        return WireError(f"data_ids: no message {name} in {self.path.name}")

    def has_message(self, name: str) -> bool:
        return name in self._messages


@functools.lru_cache(maxsize=4)
def _parsed(path: Path, _changed_ns: int) -> Any:
    """A DBC, read once as long as it does not change: parsing ours takes half a second, and nobody writes to it.

    Whether signals fit and lie apart takes 0.2 s of it; of the DBCs that come with us a test asks it.
    """
    _refuse_far_signals(path.read_bytes())
    return cantools.database.load_file(path, strict=path not in (SHIPPED_DBC, AUTHENTICATED_DBC))


def _refuse_far_signals(content: bytes) -> None:
    """cantools counts every bit up to where a signal lies: one far beyond any frame would keep it busy for minutes."""
    most = 8 * LONGEST_BYTES
    for found in SIGNAL_AT.finditer(content):
        for words, bits in zip(("first bit", "length in bits"), found.group(2, 3), strict=True):
            if len(bits) > 5 or int(bits) > most:
                name = found.group(1).decode("utf-8", "replace")
                raise ValueError(f"signal {name}: {words} {bits[:9].decode()}, a message has {most} at most")


def _checked_map(own: Mapping[str, str]) -> dict[str, str]:
    """DEFAULT_MAP with a line's own entries over it; an unknown role is an error that names the nearest one."""
    known = set(DEFAULT_MAP) | {f"{telegram}.{role}" for telegram in Telegram for role in HEADER_ROLES}
    for role in own:
        if role not in known:
            nearest = difflib.get_close_matches(role, known, 1, 0.4)
            raise WireError(f"map: unknown role {role!r}" + (f"; nearest: {nearest[0]!r}" if nearest else ""))
    return {**DEFAULT_MAP, **own}


class PlanMaker:
    """Builds the plans of one wire."""

    def __init__(self, wire: WireDescription, counts: Mapping[Axis, int]) -> None:
        self._wire = wire
        self._counts = counts
        self._map = _checked_map(wire.signal_map)
        self._dbc = _Dbc(wire.dbc)
        for name in wire.data_ids:
            if not self._dbc.has_message(name):
                raise self._dbc.missing_message(name)

    def plans(self) -> list[TelegramPlan]:
        """Every telegram that this DBC and map carry."""
        plans = [plan for telegram in Telegram for plan in self._telegram_plans(telegram)]
        self._refuse_shared_messages(plans)
        return plans

    def _telegram_plans(self, telegram: Telegram) -> Iterable[TelegramPlan]:
        gauge = {Telegram.WET_PROFILE: Axis.WET_BOXES, Telegram.WET_META: Axis.WET_BOXES}
        gauge |= {Telegram.DRY_PROFILE: Axis.DRY_BOXES, Telegram.DRY_META: Axis.DRY_BOXES}
        if telegram in gauge and not self._counts[gauge[telegram]]:
            return
        per_node = telegram is Telegram.HEARTBEAT and "{node" in self._map["heartbeat.state"]
        for node in Node if per_node else (0,):
            plan = self._telegram_plan(telegram, int(node))
            if plan is not None:
                yield plan

    def _telegram_plan(self, telegram: Telegram, node: int) -> TelegramPlan | None:
        """Find the fields' signals, gather them by message, compile each message."""
        scalars: list[tuple[Field, Any, Any]] = []
        places: list[tuple[Any, Any]] = []
        array_field: Field | None = None
        for field in FIELDS[telegram]:
            found = self._signals(telegram, field, node)
            if found and field.axis is Axis.SCALAR:
                scalars.append((field, *found[0]))
            elif found:
                array_field, places = field, found
            elif field.required and (scalars or telegram not in OPTIONAL_TELEGRAMS):
                role = f"{telegram}.{field.name}"
                raise self._dbc.missing(self._map[role].format(i=0, n=1, node=node) or "(left out)", role)
        if not scalars and not places:
            return None
        scale = array_scale_of(array_field, [signal for _, signal in places]) if array_field else None
        messages = self._messages(telegram, node, scalars, places, scale)
        array = None if scale is None else WholeArray.of(scale, [message.array for message in messages])
        has_scan_id = all(message.header.scan_id is not None for message in messages)
        fields = frozenset({f.name for f, _, _ in scalars} | ({array_field.name} if array_field else set()))
        return TelegramPlan(telegram, node, messages, array, has_scan_id, fields)

    def _signals(self, telegram: Telegram, field: Field, node: int) -> list[tuple[Any, Any]]:
        """Message and signal of every place of `field`; empty where the DBC leaves the field out."""
        role = f"{telegram}.{field.name}"
        pattern = self._map[role]
        if not pattern:
            return []
        found: list[tuple[Any, Any]] = []
        count = 1 if field.axis is Axis.SCALAR else self._counts[field.axis]
        for i in range(count):
            try:
                name = pattern.format(i=i, n=i + 1, node=node)
            except (KeyError, IndexError, ValueError) as error:
                raise WireError(
                    f"{role}: pattern {pattern!r}: {error!r}; {{i}}, {{n}} and {{node}} are known"
                ) from None
            pair = self._dbc.find(name, role)
            if pair is None:
                mapped = role in self._wire.signal_map and telegram is not Telegram.HEARTBEAT
                if found or mapped or (field.required and telegram not in OPTIONAL_TELEGRAMS):
                    raise self._dbc.missing(name, role)
                return []
            found.append(pair)
        if len({(message.name, signal.name) for message, signal in found}) < count:
            raise WireError(f"{role}: pattern {pattern!r} names the same signal for several places")
        return found

    def _messages(
        self,
        telegram: Telegram,
        node: int,
        scalars: list[tuple[Field, Any, Any]],
        places: list[tuple[Any, Any]],
        scale: ArrayScale | None,
    ) -> tuple[MessagePlan, ...]:
        holders: dict[str, Any] = {}
        fields_of: dict[str, list[tuple[Field, Any]]] = defaultdict(list)
        indices_of: dict[str, list[int]] = defaultdict(list)
        for field, message, signal in scalars:
            holders.setdefault(message.name, message)
            fields_of[message.name].append((field, signal))
        for index, (message, _) in enumerate(places):
            holders.setdefault(message.name, message)
            indices_of[message.name].append(index)
        if len(holders) > 256:
            raise WireError(f"{telegram}: {len(holders)} messages, expected up to 256")
        plans = []
        for segment, (name, message) in enumerate(holders.items()):
            values = tuple(scalar_of(field, signal, message.length) for field, signal in fields_of[name])
            part = None
            if scale is not None and indices_of[name]:
                part = _array_part(scale, indices_of[name], [places[i][1] for i in indices_of[name]], message.length)
            plans.append(self._message(telegram, node, message, (segment, len(holders)), values, part))
        return tuple(plans)

    def _message(
        self,
        telegram: Telegram,
        node: int,
        message: Any,
        segment: tuple[int, int],
        scalars: tuple[Scalar, ...],
        part: ArrayPart | None,
    ) -> MessagePlan:
        places = {role: self._header(telegram, role, message) for role in HEADER_ROLES}
        crc = self._crc(message, places["crc"])
        counter = self._counter(telegram, message, places["counter"])
        header = Header(
            crc=_place(places["crc"]) if crc is not None else None,
            counter=_place(counter),
            scan_id=_place(places["scan_id"]),
            node=_place(places["node"]),
            segment=_place(places["segment"]),
        )
        used = [p for p in places.values() if p is not None] + [scalar.position for scalar in scalars]
        used += part.positions if part else ()
        _refuse_overlap(message, used)
        form = Form(
            can_id=message.frame_id,
            is_extended=bool(message.is_extended_frame),
            is_fd=self._is_fd(message),
            size=message.length,
            crc=crc,
            header=header,
            node=node,
            segment=segment[0],
            idle=_idle(message, part, used, places["segment"], segment[0]),
            slots=tuple(slot_of(scalar) for scalar in scalars),
            block=None if part is None else Block(part.start, part.stop, part.dtype is None),
        )
        return MessagePlan(
            telegram=telegram,
            name=message.name,
            can_id=form.can_id,
            is_extended=form.is_extended,
            is_fd=form.is_fd,
            size=message.length,
            segment=segment[0],
            segments=segment[1],
            node=node,
            header=header,
            scalars=scalars,
            read=reader(form),
            write=writer(form),
            array=part,
            seal=self._seal(telegram, message, places, crc, {scalar.field.name for scalar in scalars}),
        )

    def _seal(
        self,
        telegram: Telegram,
        message: Any,
        places: Mapping[str, Position | None],
        crc: Crc | None,
        fields: Collection[str],
    ) -> Seal | None:
        """Where freshness and MAC go on an authenticated bus; None for what a node there need not authenticate."""
        if self._wire.auth is None:
            return None
        if self._wire.integrity is not Integrity.CRC16 or not message.is_fd or crc is None:
            raise WireError("auth: needs CAN FD and integrity = crc16; a classic frame has no room for a MAC")
        freshness, mac = places["freshness"], places["mac"]
        if freshness is None or mac is None:
            if telegram in MUST or freshness is not mac:
                raise WireError(f"auth: message {message.name} needs a freshness of 16 bits and a MAC of 48")
            return None
        beats = telegram is Telegram.HEARTBEAT
        bits, at = 32 if beats else 16, [place.byte_offset(message.length) for place in (freshness, mac)]
        crc_at = places["crc"].byte_offset(message.length) if places["crc"] is not None else None
        if freshness.length != bits or mac.length != 8 * MAC_BYTES or crc_at is None or at[0] is None or at[1] is None:
            raise WireError(
                f"auth: message {message.name} needs a freshness of {bits} bits and a MAC of 48, whole bytes"
            )
        if beats and "epoch" not in fields:
            raise WireError(f"auth: message {message.name} needs the epoch of its node")
        data_id = self._wire.data_ids.get(message.name, message.frame_id) & 0xFFFF
        order: Literal["little", "big"] = "big" if freshness.big_endian else "little"
        name = data_id.to_bytes(2, "little")
        return Seal(name, message.length, crc_at, at[0], bits // 8, order, at[1], crc.sealed)

    def _is_fd(self, message: Any) -> bool:
        """Whether the message is a CAN FD one; refuses what the bus or the frame cannot carry."""
        is_fd = bool(message.is_fd)
        if is_fd and not self._wire.fd:
            raise WireError(f"message {message.name}: CAN FD, but the bus is classic CAN (fd = false)")
        if message.length not in FD_LENGTHS or (not is_fd and message.length > 8):
            kind = "FD" if is_fd else "classic"
            raise WireError(f"message {message.name}: {message.length} bytes do not fit a {kind} frame")
        return is_fd

    def _header(self, telegram: Telegram, role: str, message: Any) -> Position | None:
        """Position of a header signal inside `message`, by the telegram's own map entry or the one for all (`*`)."""
        own = f"{telegram}.{role}"
        name = self._map.get(own, self._map[f"*.{role}"])
        for signal in message.signals:
            if name and signal.name == name.rpartition(".")[2]:
                return position_of(signal, message.length)
        if name and own in self._wire.signal_map:
            raise self._dbc.missing(f"{message.name}.{name}", own)
        return None

    def _counter(self, telegram: Telegram, message: Any, counter: Position | None) -> Position | None:
        if counter is None and self._wire.integrity is not Integrity.NONE:
            raise WireError(f"{telegram}.counter: message {message.name} has no counter; integrity = none does without")
        if counter is not None and not 4 <= counter.length <= 32:
            raise WireError(f"{telegram}.counter: {counter.length} bits in {message.name}, expected 4 to 32")
        return counter

    def _crc(self, message: Any, place: Position | None) -> Crc | None:
        profile = self._wire.integrity
        if profile is Integrity.NONE:
            return None
        if place is None:
            raise WireError(f"crc: message {message.name} has no CRC signal, expected one for integrity = {profile}")
        first, bits = place.byte_offset(message.length), 16 if profile is Integrity.CRC16 else 8
        if first is None or place.length != bits:
            raise WireError(
                f"crc: {message.name} has {place.length} bits at bit {place.shift}, expected {bits} in whole bytes"
            )
        return crc_for(profile, first, place.big_endian, self._wire.data_ids.get(message.name, message.frame_id))

    def _refuse_shared_messages(self, plans: list[TelegramPlan]) -> None:
        """Two telegrams in one message would need one counter for two senders of dicts: refused."""
        owner: dict[int, MessagePlan] = {}
        for message in (message for plan in plans for message in plan.messages):
            other = owner.setdefault(message.can_id | message.is_extended << 31, message)
            if other is not message:
                raise WireError(f"message {message.name}: carries both {other.telegram} and {message.telegram}")


def _array_part(scale: ArrayScale, indices: list[int], signals: list[Any], size: int) -> ArrayPart:
    contiguous = indices == list(range(indices[0], indices[0] + len(indices)))
    where: slice | npt.NDArray[np.intp]
    where = slice(indices[0], indices[-1] + 1) if contiguous else np.array(indices, dtype=np.intp)
    positions = [position_of(signal, size) for signal in signals]
    return array_part_of(where, scale.slice(where, len(indices)), positions, size)


def _refuse_overlap(message: Any, positions: list[Position]) -> None:
    """Two roles on the same bits would overwrite each other."""
    taken = 0
    for position in positions:
        bits = position.mask << position.shift
        if position.big_endian:
            bits = int.from_bytes(bits.to_bytes(message.length, "big"), "little")
        if taken & bits:
            raise WireError(f"message {message.name}: two roles of the map share bits of it")
        taken |= bits


def _place(position: Position | None) -> Place | None:
    return None if position is None else Place(int(position.big_endian), position.shift, position.mask)


def _idle(message: Any, part: ArrayPart | None, used: list[Position], number: Position | None, segment: int) -> bytes:
    """What is the same in every such frame: its segment number, and the fill of places that this line does not use.

    The fill is "invalid" where a value table knows it, else zero.
    """
    words = [0, 0]
    if number is not None:
        words[number.big_endian] |= (segment & number.mask) << number.shift
    if part is not None and part.scale.invalid is not None:
        taken = {(p.shift, p.big_endian) for p in used}
        for signal in message.signals:
            position = position_of(signal, message.length)
            raw = invalid_raw(signal)
            if raw is not None and signal.choices and (position.shift, position.big_endian) not in taken:
                words[position.big_endian] |= raw << position.shift
    little = words[0] | int.from_bytes(words[1].to_bytes(message.length, "big"), "little")
    return little.to_bytes(message.length, "little")
