"""Where signals lie in a frame and how raw counts become units. Raw numbers exist here and in codec.py, nowhere else.

Built from a DBC that cantools has parsed; nothing here runs cantools in a cycle.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from firmware_bridge.contract import Field, WireError, WireRangeError

FloatArray = npt.NDArray[np.float64]
Bound = int | FloatArray | None
Scaling = float | FloatArray
Packed = bytes | int | None  # bytes of a block; or a number to be or-ed onto the frame read from its little end

_EDGE = 1e-6  # of one count: ranges in a DBC are decimal and land a hair beside a count

# What one unit of a DBC is in the unit of a field. A DBC's unit that is not listed is refused, not guessed.
_UNITS: Mapping[str, Mapping[str, float]] = {
    "us": {"us": 1.0, "µs": 1.0, "μs": 1.0, "ms": 1e3, "s": 1e6, "0.1ms": 100.0},
    "s": {"s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0},
    "m": {"m": 1.0, "mm": 1e-3, "cm": 1e-2, "km": 1e3},
    "m/s": {"m/s": 1.0, "mm/s": 1e-3, "m/min": 1.0 / 60.0, "mm/min": 1e-3 / 60.0},
    "um": {"um": 1.0, "µm": 1.0, "μm": 1.0, "mm": 1e3, "nm": 1e-3, "m": 1e6},
    "mm": {"mm": 1.0, "m": 1e3, "cm": 10.0, "um": 1e-3},
    "g/m2": {"g/m2": 1.0, "g/m^2": 1.0, "g/m²": 1.0, "gsm": 1.0, "mg/cm2": 10.0, "mg/cm^2": 10.0, "mg/cm²": 10.0},
    "rpm": {"rpm": 1.0, "1/min": 1.0, "1/s": 60.0, "Hz": 60.0},
    "rpm/(m/s)": {"rpm/(m/s)": 1.0, "rpm/(m/min)": 60.0, "rpm/mps": 1.0},
    "%": {"%": 1.0, "1": 100.0, "permille": 0.1, "‰": 0.1},
    "kPa": {"kPa": 1.0, "Pa": 1e-3, "bar": 100.0, "mbar": 0.1, "MPa": 1e3},
    "degC": {"degC": 1.0, "°C": 1.0, "C": 1.0, "deg C": 1.0},
}


class DbcSignal(Protocol):
    """What this module reads of a cantools signal."""

    name: str
    start: int
    length: int
    byte_order: str
    is_signed: bool
    is_float: bool
    scale: float
    offset: float
    minimum: float | None
    maximum: float | None
    unit: str | None
    choices: Mapping[int, object] | None
    is_multiplexer: bool
    multiplexer_ids: Sequence[int] | None


@dataclass(frozen=True, slots=True)
class Position:
    """Bits of one signal inside a message of `size` bytes, seen as one big integer of its byte order."""

    shift: int
    length: int
    big_endian: bool
    signed: bool
    is_float: bool

    @property
    def mask(self) -> int:
        return (1 << self.length) - 1

    def take(self, little: int, big: int) -> int:
        """Raw count out of the frame as integer, read from either end."""
        raw = ((big if self.big_endian else little) >> self.shift) & ((1 << self.length) - 1)
        if self.signed and raw >> (self.length - 1):
            raw -= 1 << self.length
        return raw

    def touches(self, size: int) -> tuple[int, int]:
        """The bytes of the frame that hold some of the signal, as a half-open range."""
        first, last = self.shift // 8, (self.shift + self.length + 7) // 8
        return (size - last, size - first) if self.big_endian else (first, last)

    def byte_offset(self, size: int) -> int | None:
        """First byte in the frame if the signal fills whole bytes, else None."""
        if self.shift % 8 or self.length % 8:
            return None
        return size - (self.shift + self.length) // 8 if self.big_endian else self.shift // 8


def position_of(signal: DbcSignal, size: int) -> Position:
    """Bit position of a DBC signal in a message of `size` bytes.

    Intel signals start at their lowest bit. Motorola signals start at their highest bit and run on in saw-tooth
    numbering, so counted from the front of the frame the first bit is 8*byte + 7 - bit.
    """
    if signal.is_multiplexer or signal.multiplexer_ids:
        raise WireError(
            f"signal {signal.name}: multiplexed; one id a segment is needed, a multiplexer hides a lost page"
        )
    big_endian = signal.byte_order == "big_endian"
    if big_endian:
        first = 8 * (signal.start // 8) + 7 - signal.start % 8
        shift = 8 * size - first - signal.length
    else:
        shift = signal.start
    if signal.is_float and signal.length not in (32, 64):
        raise WireError(f"signal {signal.name}: float of {signal.length} bits, expected 32 or 64")
    signed = signal.is_signed and not signal.is_float  # a float brings its own sign
    return Position(shift, signal.length, big_endian, signed, signal.is_float)


def unit_factor(field: Field, signal: DbcSignal) -> float:
    """Field units in one unit of the signal. An empty unit is taken as the field's own."""
    if not field.unit or not signal.unit:
        return 1.0
    known = _UNITS[field.unit]
    if signal.unit not in known:
        raise WireError(
            f"signal {signal.name}: unit {signal.unit!r} for {field.name}, expected one of {', '.join(sorted(known))}"
        )
    return known[signal.unit]


def raw_range(signal: DbcSignal) -> tuple[int, int]:
    """Smallest and largest raw count inside the signal's range and its width. A range left open is the width's."""
    lowest = -(1 << (signal.length - 1)) if signal.is_signed else 0
    highest = lowest + (1 << signal.length) - 1
    ends = [(limit - signal.offset) / signal.scale for limit in (signal.minimum, signal.maximum) if limit is not None]
    if len(ends) == 2:
        lowest = max(lowest, math.ceil(min(ends) - _EDGE))
        highest = min(highest, math.floor(max(ends) + _EDGE))
    if lowest > highest:
        raise WireError(f"signal {signal.name}: range [{signal.minimum}, {signal.maximum}] is empty on the wire")
    return lowest, highest


def invalid_raw(signal: DbcSignal) -> int | None:
    """The raw count that says "no value": so named in the value table, else all ones if beyond the range, else None."""
    for raw, text in (signal.choices or {}).items():
        if str(text).strip().casefold() in {"invalid", "sna", "n/a", "not available", "error"}:
            return int(raw)
    if signal.is_signed or signal.is_float:
        return None
    ones = (1 << signal.length) - 1
    return ones if raw_range(signal)[1] < ones else None


def _plain(text: str) -> str:
    return "".join(ch for ch in text.casefold() if ch.isalnum())


def enumeration(field: Field, signal: DbcSignal) -> dict[int, int] | None:
    """Raw count -> the field's own number, by the labels of the DBC's value table; None where there is no table."""
    if field.labels is None or not signal.choices:
        return None
    ours = {_plain(label): number for label, number in field.labels.items()}
    table = {int(raw): ours[_plain(str(text))] for raw, text in signal.choices.items() if _plain(str(text)) in ours}
    if not table:
        raise WireError(f"signal {signal.name}: no value of its table is one of {', '.join(field.labels)}")
    return table


@dataclass(frozen=True, slots=True)
class Scalar:
    """One field that is one number, ready to read and write."""

    field: Field
    position: Position
    scale: float
    offset: float
    raw_min: int
    raw_max: int
    raw_of: Mapping[int, int] | None  # enumerations: own number -> raw count
    number_of: Mapping[int, int] | None  # enumerations: raw count -> own number

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest value on the wire, in field units."""
        ends = sorted(raw * self.scale + self.offset for raw in (self.raw_min, self.raw_max))
        return ends[0], ends[1]

    def to_raw(self, value: float) -> int:
        """Raw count of a float or an enumeration (Slot does the others). Raises WireRangeError, never saturates."""
        if self.raw_of is not None:
            if value not in self.raw_of:
                raise WireRangeError(f"{self.field.name} = {value}: not in the signal's value table")
            return self.raw_of[int(value)]
        size = self.position.length // 8
        if not math.isfinite(value):
            raise WireRangeError(f"{self.field.name} = {value} {self.field.unit}: not finite")
        try:
            packed = struct.pack(">f" if size == 4 else ">d", (value - self.offset) / self.scale)
        except OverflowError:
            raise WireRangeError(f"{self.field.name} = {value:g} {self.field.unit}: beyond its float") from None
        return int.from_bytes(packed, "big")

    def to_value(self, raw: int) -> float:
        """Value of a raw count of a float or an enumeration; -1 for a number that the value table does not explain."""
        if self.number_of is not None:
            return self.number_of.get(raw, -1)
        size = self.position.length // 8
        number: float = struct.unpack(">f" if size == 4 else ">d", raw.to_bytes(size, "big"))[0]
        return number * self.scale + self.offset


class Slot(NamedTuple):
    """A Scalar flattened: all that firmware_bridge.compiled needs to write its reading and writing down.

    `word` 0 is the frame read from its little end, 1 from its big end. `other` is set where a linear scaling of an
    integer is not the whole story (floats, enumerations).
    """

    name: str
    word: int
    shift: int
    mask: int
    half: int  # the sign bit's weight, or 0: (raw ^ half) - half extends the sign
    low: int
    high: int
    scale: float
    offset: float
    whole: bool
    required: bool
    default: float
    other: Scalar | None


def slot_of(scalar: Scalar) -> Slot:
    """Flatten one scalar."""
    position, field = scalar.position, scalar.field
    plain = not position.is_float and scalar.raw_of is None
    whole = field.is_integer and scalar.scale == 1 and scalar.offset == 0
    return Slot(
        field.name,
        int(position.big_endian),
        position.shift,
        position.mask,
        1 << (position.length - 1) if position.signed else 0,
        scalar.raw_min,
        scalar.raw_max,
        1 if whole else scalar.scale,
        0 if whole else scalar.offset,
        field.is_integer,
        field.required or math.isnan(field.default),
        field.default,
        None if plain else scalar,
    )


def scalar_of(field: Field, signal: DbcSignal, size: int) -> Scalar:
    """Compile one scalar field. Raises WireError."""
    factor = unit_factor(field, signal)
    numbers = enumeration(field, signal)
    low, high = raw_range(signal) if not signal.is_float else (0, 0)
    raws = None if numbers is None else {number: raw for raw, number in reversed(numbers.items())}
    return Scalar(
        field, position_of(signal, size), signal.scale * factor, signal.offset * factor, low, high, raws, numbers
    )


@dataclass(frozen=True, slots=True)
class ArrayScale:
    """Scaling of a whole array field, shape (count,) or plain floats where all its signals agree.

    `invalid` is the raw count that stands for NaN, or None where the DBC has none.
    """

    field: Field
    count: int
    scale: float | FloatArray
    offset: float | FloatArray
    raw_min: float | FloatArray
    raw_max: float | FloatArray
    invalid: float | FloatArray | None
    is_common: bool = dataclasses.field(init=False)  # whether all places are alike

    def __post_init__(self) -> None:
        ends = (self.scale, self.offset, self.raw_min, self.raw_max, self.invalid)
        object.__setattr__(self, "is_common", not any(isinstance(end, np.ndarray) for end in ends))

    def to_raw(self, values: npt.ArrayLike) -> FloatArray:
        """Raw counts, shape (count,), still as floats. Raises WireRangeError instead of saturating."""
        array = np.asarray(values, dtype=np.float64)
        if array.shape != (self.count,):
            raise WireError(f"{self.field.name}: shape {array.shape}, expected ({self.count},)")
        if not isinstance(self.offset, float) or self.offset:
            array = array - self.offset
        raw: FloatArray = np.rint(array / self.scale)
        if self.is_common and self.raw_min <= raw.item(raw.argmin()) and raw.item(raw.argmax()) <= self.raw_max:
            return raw  # a NaN is found as the smallest and as the largest, and is inside no range
        inside = (raw >= self.raw_min) & (raw <= self.raw_max)
        if np.count_nonzero(inside) == self.count:
            return raw
        absent = np.isnan(raw)
        if self.invalid is None or not (inside | absent).all():
            raise self._beyond(values, inside | absent if self.invalid is not None else inside)
        raw[absent] = self.invalid[absent] if isinstance(self.invalid, np.ndarray) else self.invalid
        return raw

    def slice(self, where: slice | npt.NDArray[np.intp], count: int) -> ArrayScale:
        """The scaling of some of the array's places, as one message carries them."""

        def cut(end: float | FloatArray) -> float | FloatArray:
            return end[where] if isinstance(end, np.ndarray) else end

        invalid = None if self.invalid is None else cut(self.invalid)
        ends = (cut(self.scale), cut(self.offset), cut(self.raw_min), cut(self.raw_max))
        return ArrayScale(self.field, count, *ends, invalid)

    def bounds(self, index: int) -> tuple[float, float]:
        """Smallest and largest value that place `index` can carry, in field units."""
        scale, offset, low, high = (
            float(end[index]) if isinstance(end, np.ndarray) else end
            for end in (self.scale, self.offset, self.raw_min, self.raw_max)
        )
        ends = sorted((low * scale + offset, high * scale + offset))
        return ends[0], ends[1]

    def _beyond(self, values: npt.ArrayLike, inside: npt.NDArray[np.bool_]) -> WireRangeError:
        index = int(np.flatnonzero(~inside)[0])
        low, high = self.bounds(index)
        value, unit = float(np.asarray(values)[index]), self.field.unit
        return WireRangeError(f"{self.field.name}[{index}] = {value:g} {unit}: beyond [{low:g}, {high:g}]")


def array_scale_of(field: Field, signals: Sequence[DbcSignal]) -> ArrayScale:
    """Scaling of an array field whose places are `signals`, in order. Raises WireError."""
    for signal in signals:
        if signal.is_float or signal.length > 32:
            raise WireError(f"signal {signal.name}: an array needs integers of up to 32 bits")
    factors = np.array([unit_factor(field, signal) for signal in signals])
    scale = np.array([signal.scale for signal in signals], dtype=np.float64) * factors
    offset = np.array([signal.offset for signal in signals], dtype=np.float64) * factors
    ranges = np.array([raw_range(signal) for signal in signals], dtype=np.float64)
    invalid_raws = [invalid_raw(signal) for signal in signals]
    invalid = None if None in invalid_raws else _common(np.array(invalid_raws, dtype=np.float64))
    ends = (_common(scale), _common(offset), _common(ranges[:, 0]), _common(ranges[:, 1]))
    return ArrayScale(field, len(signals), *ends, invalid)


def _common(values: FloatArray) -> float | FloatArray:
    """One number where all agree: plain floats are what makes the fast path fast."""
    return float(values[0]) if (values == values[0]).all() else values


@dataclass(frozen=True, slots=True)
class RawLimits:
    """Which raw counts are no value."""

    too_low: Bound  # counts below are invalid; None where the width allows none
    too_high: Bound
    hidden: Bound  # the count for "no value" where it lies inside the range

    @classmethod
    def of(cls, scale: ArrayScale, positions: Sequence[Position]) -> RawLimits:
        """Limits of the places at `positions`; those that the signals' width sets by itself are left out."""
        low, high = np.asarray(scale.raw_min), np.asarray(scale.raw_max)
        lowest = np.array([-(1 << (p.length - 1)) if p.signed else 0 for p in positions])
        highest = np.array([(1 << (p.length - p.signed)) - 1 for p in positions])
        invalid = np.asarray(np.nan if scale.invalid is None else scale.invalid)
        return cls(
            _bound(scale.raw_min) if np.any(low > lowest) else None,
            _bound(scale.raw_max) if np.any(high < highest) else None,
            _bound(scale.invalid)
            if scale.invalid is not None and np.any((invalid >= low) & (invalid <= high))
            else None,
        )


def _values_of(raw: npt.NDArray[np.integer[Any]], scale: Scaling, offset: Scaling, limits: RawLimits) -> FloatArray:
    """Raw counts in field units; NaN where a count is no value."""
    values: FloatArray = raw * scale  # type: ignore[assignment]  # integers times float64 are float64
    if not isinstance(offset, float) or offset:
        values += offset
    if limits.too_high is not None:
        _blank(values, raw > limits.too_high)
    if limits.too_low is not None:
        _blank(values, raw < limits.too_low)
    if limits.hidden is not None:
        _blank(values, raw == limits.hidden)
    return values


@functools.lru_cache(maxsize=16)
def _value_table(width: int, is_signed: bool, scale: float, offset: float, limits: RawLimits) -> FloatArray:
    """The value of every raw count of `width` bytes, negative ones counted from the end: one look-up does it all."""
    counts = np.arange(1 << 8 * width, dtype=f"u{width}")
    table = _values_of(counts.view(f"i{width}") if is_signed else counts, scale, offset, limits)
    table.flags.writeable = False
    return table


@dataclass(frozen=True, slots=True)
class ArrayPart:
    """The places of an array field that one message carries.

    Signals that lie side by side in whole bytes, of one size and order, are read and written as one block (`dtype`);
    anything else goes signal by signal.
    """

    where: slice | npt.NDArray[np.intp]
    scale: ArrayScale
    size: int  # of the frame
    positions: tuple[Position, ...]  # in the frame
    inside: tuple[Position, ...]  # in its bytes from start to stop
    dtype: np.dtype[np.integer[Any]] | None
    start: int  # first byte of the block; of scattered signals the first that any of them touches
    stop: int
    limits: RawLimits
    table: FloatArray | None  # value of every raw count (negative ones counted from the end), where they are few

    def read(self, data: bytes) -> FloatArray:
        """Values of a frame, shape (places,); NaN where it says invalid or leaves the signal's range."""
        return self.values(data[self.start : self.stop])

    def values(self, block: bytes) -> FloatArray:
        """The same from the frame's bytes from `start` to `stop` alone."""
        raw: npt.NDArray[np.integer[Any]]
        if self.dtype is not None:
            raw = np.frombuffer(block, self.dtype)
            if self.table is not None:
                return self.table.take(raw)
            return _values_of(raw, self.scale.scale, self.scale.offset, self.limits)
        little, big = int.from_bytes(block, "little"), int.from_bytes(block, "big")
        raw = np.array([position.take(little, big) for position in self.inside], dtype=np.int64)
        return _values_of(raw, self.scale.scale, self.scale.offset, self.limits)

    def packed(self, raw: FloatArray) -> Packed:
        """The bytes of the block for raw counts, shape (places,); scattered signals as a number to be or-ed."""
        if self.dtype is not None:
            return raw.astype(self.dtype).tobytes()
        words = [0, 0]
        self.scatter(raw, words)
        return words[0] | int.from_bytes(words[1].to_bytes(self.size, "big"), "little")

    def scatter(self, raw: FloatArray, words: list[int]) -> None:
        """Put the raw counts of scattered signals, shape (places,), into the words of a frame."""
        for position, count in zip(self.positions, raw.tolist(), strict=True):
            words[position.big_endian] |= (int(count) & position.mask) << position.shift


def array_part_of(
    where: slice | npt.NDArray[np.intp], scale: ArrayScale, positions: Sequence[Position], size: int
) -> ArrayPart:
    """Compile the places of one message of `size` bytes; finds out whether they form a block."""
    dtype = _block(positions, size)
    touched = [position.touches(size) for position in positions]
    start, stop = min(first for first, _ in touched), max(last for _, last in touched)
    inside = tuple(
        replace(position, shift=position.shift - 8 * (size - stop if position.big_endian else start))
        for position in positions
    )
    limits = RawLimits.of(scale, positions)
    table = None
    if dtype is not None and dtype.itemsize <= 2 and scale.is_common:
        table = _value_table(dtype.itemsize, dtype.kind == "i", float(scale.scale), float(scale.offset), limits)
    return ArrayPart(where, scale, size, tuple(positions), inside, dtype, start, stop, limits, table)


def _bound(raw: float | FloatArray) -> Bound:
    return raw if isinstance(raw, np.ndarray) else int(raw)


def _blank(values: FloatArray, bad: npt.NDArray[np.bool_]) -> None:
    if np.count_nonzero(bad):
        values[bad] = np.nan


def _block(positions: Sequence[Position], size: int) -> np.dtype[np.integer[Any]] | None:
    """The dtype of signals that lie side by side in whole bytes, or None."""
    first = positions[0]
    width = first.length // 8
    start = first.byte_offset(size)
    if start is None or width not in (1, 2, 4):
        return None
    alike = all((p.length, p.big_endian, p.signed) == (first.length, first.big_endian, first.signed) for p in positions)
    if not alike or any(p.byte_offset(size) != start + k * width for k, p in enumerate(positions)):
        return None
    return np.dtype(f"{'>' if first.big_endian else '<'}{'i' if first.signed else 'u'}{width}")


@dataclass(frozen=True, slots=True)
class WholeArray:
    """An array field over all messages of its telegram, so that a cycle works once an array and not once a message.

    `run` is the array as one block, where all messages carry blocks of one kind, in order; else None.
    """

    scale: ArrayScale
    parts: tuple[ArrayPart | None, ...]  # of each message
    run: ArrayPart | None

    @classmethod
    def of(cls, scale: ArrayScale, parts: Sequence[ArrayPart | None]) -> WholeArray:
        """Put together what the messages carry."""
        carried = [part for part in parts if part is not None]
        first, at = carried[0], 0
        for part in carried:
            if part.dtype is None or part.dtype != first.dtype or part.where != slice(at, at + part.scale.count):
                return cls(scale, tuple(parts), None)
            at += part.scale.count
        width = first.positions[0].length
        places = range(at - 1, -1, -1) if first.positions[0].big_endian else range(at)
        positions = [replace(first.positions[0], shift=width * place) for place in places]
        return cls(scale, tuple(parts), array_part_of(slice(0, at), scale, positions, at * width // 8))

    def packed(self, values: npt.ArrayLike) -> list[Packed]:
        """What each message carries of `values`. Raises WireRangeError."""
        raw, run = self.scale.to_raw(values), self.run
        if run is None:
            return [None if part is None else part.packed(raw[part.where]) for part in self.parts]
        data, at = raw.astype(run.dtype).tobytes(), 0
        packed: list[Packed] = []
        for part in self.parts:
            size = 0 if part is None else part.stop - part.start
            packed.append(data[at : at + size] if size else None)
            at += size
        return packed

    def values(self, blocks: Sequence[bytes | None]) -> FloatArray:
        """The array, shape (count,), from the bytes that each message carries of it."""
        if self.run is not None:
            return self.run.values(b"".join([block for block in blocks if block is not None]))
        values = np.empty(self.scale.count)
        for part, block in zip(self.parts, blocks, strict=True):
            if part is not None and block is not None:
                values[part.where] = part.values(block)
        return values
