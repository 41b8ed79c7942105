"""An independent count of limits broken on the wire: it sees frames as any node sees them, and trusts nobody.

It shares no code with the envelope, the gate or the codec: commands are decoded by cantools, and the bounds are those
of the line file's [lips] and [pump]. The front door feeds it every frame on the bus; simulations and reports quote its
count, and evencoat.check uses its look-up of signals.

A limit that is already broken when control begins (a bolt found outside its range) is no violation as long as it never
gets worse. The rate is judged by the line time that SYNC carries. A command that follows a pause is measured from the
nearer of the last command and the fed-back position, because a restarted controller takes over from feedback.
"""

from __future__ import annotations

import functools
import operator
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cantools
import numpy as np
from cantools.database.can import Database, Message, Signal
from cantools.database.utils import create_encode_decode_formats

from controller.line.description import Array, LineDescription
from evencoat.settings import Settings
from firmware_bridge.contract import COMMAND_TIMEOUT_PERIODS, DEFAULT_MAP, Telegram, WireDescription
from firmware_bridge.frames import Frame

SLACK = 1e-6  # of a unit: decimal numbers in binary, nothing more
RATE_WINDOW = 10  # commands
TOGETHER = 512  # frames that may wait to be read in one go: what a line sends in about 25 cycles
_EXTENDED = 1 << 31  # marks 29-bit identifiers

_TO_OUR_UNIT = {  # the units a DBC may use for the few quantities that are judged here
    "um": {"um": 1.0, "µm": 1.0, "mm": 1e3, "nm": 1e-3},
    "us": {"us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6},
    "%": {"%": 1.0, "1": 100.0},
    "rpm/(m/s)": {"rpm/(m/s)": 1.0, "rpm/mps": 1.0, "rpm/(m/min)": 60.0},
    "g/m2": {"g/m2": 1.0, "g/m^2": 1.0, "g/m²": 1.0, "gsm": 1.0, "mg/cm2": 10.0, "mg/cm^2": 10.0},
}
_UNIT_OF = {
    "t_us": "us",
    "gap_um": "um",
    "film_um": "um",
    "trim_pct": "%",
    "ratio_rpm_per_mps": "rpm/(m/s)",
    "areal_density_gsm": "g/m2",
}
_PUMP = ("ratio_rpm_per_mps", "trim_pct")


@dataclass(frozen=True, slots=True)
class MappedSignal:
    """A signal of the line's DBC that plays a role: where it is, and our units in one of its units."""

    message: Message
    signal: Signal
    factor: float


class SignalTable:
    """Look-up of roles ("die_command.gap_um", zone 3) in a line's DBC through its signal map."""

    def __init__(self, wire: WireDescription) -> None:
        """Raises ValueError when the DBC is none."""
        path = wire.dbc
        database = _load(path, path.stat().st_mtime_ns)
        self._names = {**DEFAULT_MAP, **wire.signal_map}
        self._signals: dict[str, tuple[Message, Signal]] = {}
        for message in database.messages:
            for signal in message.signals:
                self._signals.setdefault(signal.name, (message, signal))
                self._signals[f"{message.name}.{signal.name}"] = (message, signal)

    def find(self, telegram: Telegram, name: str, index: int = 0) -> MappedSignal:
        """The signal that carries a field (of zone or box `index`). Raises ValueError naming role and signal."""
        role = f"{telegram}.{name}"
        wanted = self._names.get(role, "").format(i=index, n=index + 1, node=0)
        if wanted not in self._signals:
            raise ValueError(f"{role}: the DBC has no signal {wanted!r}")
        message, signal = self._signals[wanted]
        factors = _TO_OUR_UNIT[_UNIT_OF[name]]
        unit = signal.unit or _UNIT_OF[name]
        if unit not in factors:
            raise ValueError(f"{role}: unit {unit!r} of signal {wanted!r}, expected one of {', '.join(factors)}")
        return MappedSignal(message, signal, factors[unit])

    def scan_id(self, telegram: Telegram, message: Message) -> str:
        """Name of the message's signal that says until when a command is valid, or "" where there is none."""
        name = self._names.get(f"{telegram}.scan_id", self._names["*.scan_id"]).rpartition(".")[2]
        return name if any(signal.name == name for signal in message.signals) else ""


@functools.lru_cache(maxsize=4)
def _load(path: Path, _changed_ns: int) -> Database:
    """A parsed DBC, kept while the file does not change: parsing ours takes half a second."""
    try:
        database = cantools.database.load_file(str(path), strict=False)
    except cantools.Error as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(database, Database):
        raise ValueError(f"{path}: not a CAN database")
    return database


class _Source:
    """The signals of one message that matter here, and their places in the telegram's vector.

    cantools takes the bits apart (its own compiled format over these signals only, a third of the time of a whole
    Message.decode); the scaling is one product.
    """

    def __init__(
        self, telegram: Telegram, message: Message, scan_id: str, wanted: list[tuple[int, MappedSignal]]
    ) -> None:
        self.telegram = telegram
        self.is_feedback = telegram in (Telegram.DIE_FEEDBACK, Telegram.PUMP_FEEDBACK)
        self.places = np.array([place for place, _ in wanted])
        self.group: _Group | None = None  # whose commands it carries
        self._pick = operator.itemgetter(*(mapped.signal.name for _, mapped in wanted))
        self._scale = np.array([float(mapped.signal.scale) * mapped.factor for _, mapped in wanted])
        self._offset = np.array([float(mapped.signal.offset) * mapped.factor for _, mapped in wanted])
        self._scan_id = scan_id
        self._length = message.length
        signals = [mapped.signal for _, mapped in wanted]
        self._values = _unpacker(signals, message.length)
        self._scan = _unpacker([signal for signal in message.signals if signal.name == scan_id], message.length)
        self._mask = int.from_bytes(_all_ones(signals, message.length), "big")
        self._last: tuple[int, Array] = (-1, np.zeros(0))

    def number(self, data: bytes) -> float | None:
        """The value of a source of one alone: time changes with every frame, and one number needs no array."""
        if len(data) != self._length:
            return None
        number: float = self._pick(self._values(data)) * self._scale.item(0) + self._offset.item(0)
        return number

    def decode(self, data: bytes) -> Array | None:
        """Values in our units, or None for a frame of the wrong length: nodes refuse it too.

        The same bits again give the same array; most commands repeat the last one.
        """
        if len(data) != self._length:
            return None
        bits = int.from_bytes(data, "big") & self._mask
        if bits != self._last[0]:
            self._last = bits, np.array(self._pick(self._values(data))) * self._scale + self._offset
        return self._last[1]

    def scan_id(self, data: bytes) -> int | None:
        """Until when the command is valid, where the wire says so."""
        return int(self._scan(data)[self._scan_id]) if self._scan_id else None


def _unpacker(signals: Sequence[Signal], length: int) -> Callable[[bytes], dict[str, Any]]:
    """What takes the raw counts of `signals` out of a frame. cantools reads little-endian signals from its far end."""
    formats, orders = create_encode_decode_formats(signals, length), {signal.byte_order for signal in signals}
    little, big = formats.little_endian.unpack, formats.big_endian.unpack
    if "big_endian" not in orders:
        return lambda data: little(data[::-1])
    if "little_endian" not in orders:
        return big  # type: ignore[no-any-return]
    return lambda data: {**little(data[::-1]), **big(data)}


def _all_ones(signals: Sequence[Signal], length: int) -> bytes:
    """The frame in which every bit of `signals` is set and no other."""
    formats = create_encode_decode_formats(signals, length)
    ones = {signal.name: -1 if signal.is_signed else (1 << signal.length) - 1 for signal in signals}
    little, big = formats.little_endian.pack(ones)[::-1], formats.big_endian.pack(ones)
    return bytes(a | b for a, b in zip(little, big, strict=True))


class _Command(NamedTuple):
    """One command as the wire carried it: values, line time, and the SYNC cycle until which it may be obeyed.

    `number` counts the commands of all groups, in the order in which they came.
    """

    value: Array
    t_s: float
    valid_until: int | None
    number: int


class _Limits:
    """The limits of one group of actuators as one inequality, |rows @ value - centre| <= bound, and its rates.

    One product of a matrix and a vector judges a command; names are only asked for once something is broken.
    """

    def __init__(self, size: int, rate_per_s: float, rated: slice) -> None:
        self.rows = np.zeros((0, size))
        self.centre = np.zeros(0)
        self.bound = np.zeros(0)
        self.names: list[str] = []
        self.rate_per_s = rate_per_s
        self.rated = rated  # the places that the rate limits

    def add(self, name: str, rows: Array, centre: float, bound: float) -> _Limits:
        """One more limit over `rows`, (count, size)."""
        self.rows = np.vstack((self.rows, rows))
        self.centre = np.append(self.centre, np.full(len(rows), centre))
        self.bound = np.append(self.bound, np.full(len(rows), bound))
        self.names += [name] * len(rows)
        return self

    def distance(self, value: Array) -> Array:
        """How far each limited quantity is from the middle of its range."""
        distance: Array = np.abs(self.rows @ value - self.centre)
        return distance


def _lip_limits(line: LineDescription) -> _Limits:
    lips, one = line.lips, np.eye(line.zones)
    limits = _Limits(line.zones, lips.rate_um_per_s, slice(None))
    middle, half = 0.5 * (lips.gap_max_um + lips.gap_min_um), 0.5 * (lips.gap_max_um - lips.gap_min_um)
    limits.add("gap range", one, middle, half)
    limits.add("neighbour", np.diff(one, 1, axis=0), 0.0, lips.neighbour_max_um)
    return limits.add("bend", np.diff(one, 2, axis=0), 0.0, lips.bend_max_um)


def _pump_limits(line: LineDescription) -> _Limits:
    pump, one = line.pump, np.eye(len(_PUMP))
    ratio_max = pump.speed_max_rpm / line.web_speed_max_mps
    limits = _Limits(len(_PUMP), pump.trim_rate_pct_per_s, slice(1, 2))
    limits.add("pump ratio", one[:1], 0.5 * ratio_max, 0.5 * ratio_max)
    return limits.add("pump trim", one[1:], 0.0, pump.trim_max_pct)


class _Group:
    """One group of actuators: assembles its command from frames and remembers the last ones.

    `run` are commands without a pause in between; those from `judged` on are still to be judged.
    """

    def __init__(self, name: str, feedback: Telegram, limits: _Limits, frames: int) -> None:
        self.name = name
        self.feedback = feedback
        self.limits = limits
        self.frames = frames  # of a command
        self.seen: set[int] = set()  # identifiers of those that are in
        self.parts: dict[int, Array] = {}  # what each identifier's frames said last, and all of it as one
        self.value = np.zeros(limits.rows.shape[1])
        self.run: list[_Command] = []
        self.judged = 0


class WireChecker:
    """Counts breaches of a line's limits in the commands on its bus.

    Frames wait until there are enough to be read and judged in one go, or until somebody asks.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises ValueError naming the signal when map and DBC do not carry the commands."""
        self._unread: list[Frame] = []
        self._commands = 0
        self._first: str | None = None
        self._by_limit: Counter[str] = Counter()
        self._line = settings.line
        self._sync_period_s = settings.wire.sync_period_s
        self._pause_s = COMMAND_TIMEOUT_PERIODS * settings.line.control.cycle_s
        self._t_s = 0.0
        self._sources = _sources(SignalTable(settings.wire), settings.line.zones)
        self._feedback: dict[int, bytes] = {}
        frames = Counter(source.telegram for source in self._sources.values())
        lips, pump = _lip_limits(settings.line), _pump_limits(settings.line)
        die, feed = Telegram.DIE_COMMAND, Telegram.PUMP_COMMAND
        self._groups = {
            die: _Group("gap", Telegram.DIE_FEEDBACK, lips, frames[die]),
            feed: _Group("pump trim", Telegram.PUMP_FEEDBACK, pump, frames[feed]),
        }
        for source in self._sources.values():
            source.group = self._groups.get(source.telegram)

    @property
    def commands(self) -> int:
        """How many whole commands there were so far."""
        self._read()
        return self._commands

    @property
    def violations(self) -> int:
        """How many there were so far."""
        self._read()
        return self._by_limit.total()

    @property
    def by_limit(self) -> dict[str, int]:
        """How many there were of each limit that was broken."""
        self._read()
        return dict(self._by_limit)

    @property
    def first(self) -> str | None:
        """Which came first, in words."""
        self._read()
        return self._first

    def see(self, frame: Frame) -> None:
        """Look at one frame of the bus, whoever sent it."""
        self._unread.append(frame)
        if len(self._unread) >= TOGETHER:
            self._read()

    def _read(self) -> None:
        """Take in what was seen. Frames that are not commands cost next to nothing."""
        frames, self._unread = self._unread, []
        for can_id, data, _, is_extended, _, is_error in frames:
            key = can_id | _EXTENDED if is_extended else can_id
            source = self._sources.get(key)
            if source is None or is_error:
                continue
            if source.is_feedback:
                self._feedback[key] = data  # decoded only when a pause makes it matter
            elif source.group is None:  # SYNC
                t_us = source.number(data)
                self._t_s = self._t_s if t_us is None else t_us * 1e-6
            else:
                values = source.decode(data)
                if values is not None:
                    self._assemble(source.group, key, source, values, data)
        self._settle()

    def _assemble(self, group: _Group, key: int, source: _Source, values: Array, data: bytes) -> None:
        if key in group.seen:  # the rest of the last command never came: nodes refuse it too
            group.seen.clear()
        if values is not group.parts.get(key):  # else this place of the command is as it was
            group.parts[key] = values
            group.value = group.value.copy()
            group.value[source.places] = values
        group.seen.add(key)
        if len(group.seen) < group.frames:
            return
        group.seen.clear()
        self._commands += 1
        new = _Command(group.value, self._t_s, source.scan_id(data), self._commands)
        if group.run and 0.0 <= new.t_s - group.run[-1].t_s <= self._pause_s:
            group.run.append(new)
        else:
            self._begin(group, new)

    def _begin(self, group: _Group, new: _Command) -> None:
        """After a pause, or at first, a command is compared with the last one and with what was fed back."""
        self._settle()
        last, fed_back = group.run[-1] if group.run else None, self._fed_back(group)
        past = [last] if last is not None and new.t_s > last.t_s else []
        before = [value for value in (last.value if last else None, fed_back) if value is not None]
        self._judge(group, new, past, before)
        group.run = [*past, new]
        group.judged = len(group.run)

    def _settle(self) -> None:
        """Judge what waits: all together first, and those of a group one by one where not all are harmless."""
        waiting = [group for group in self._groups.values() if group.judged < len(group.run)]
        doubtful = [
            (new.number, at, group)
            for group in waiting
            if not self._is_harmless(group)
            for at, new in enumerate(group.run[group.judged :], group.judged)
        ]
        for _, at, group in sorted(doubtful, key=lambda one: one[0]):
            past = group.run[max(at - RATE_WINDOW, 0) : at]
            self._judge(group, group.run[at], past, [past[-1].value])
        for group in waiting:
            del group.run[:-RATE_WINDOW]
            group.judged = len(group.run)

    def _is_harmless(self, group: _Group) -> bool:
        """Whether nothing of what waits can be a violation: no quantity beyond its limit, and no move too fast."""
        limits, first = group.limits, max(group.judged - RATE_WINDOW, 0)
        run = group.run[first:]
        values, t_s = np.array([command.value for command in run]), np.array([command.t_s for command in run])
        if (np.abs(values @ limits.rows.T - limits.centre) > limits.bound + 0.5 * SLACK).any():
            return False
        observed_s, until = t_s[1:] - t_s[:-1], [command.valid_until for command in run]
        elapsed_s = np.maximum(observed_s, self._line.control.cycle_s)
        if until.count(None) not in (0, len(until)):
            return False  # some of its messages say until when, and some do not
        if None not in until:
            claimed_s = np.remainder(np.diff(np.array(until, dtype=np.int64)), 2**32) * self._sync_period_s
            elapsed_s = np.minimum(claimed_s, observed_s + self._sync_period_s)
        rated = values[:, limits.rated]
        moves, far = np.abs(rated[1:] - rated[:-1]), np.abs(rated[RATE_WINDOW:] - rated[:-RATE_WINDOW])
        span_s = t_s[RATE_WINDOW:] - t_s[:-RATE_WINDOW] + self._sync_period_s
        too_fast = (moves.max(axis=1, initial=0.0) > limits.rate_per_s * elapsed_s + SLACK).any()
        return not (too_fast or (far.max(axis=1, initial=0.0) > limits.rate_per_s * span_s + SLACK).any())

    def _judge(self, group: _Group, new: _Command, past: list[_Command], before: list[Array]) -> None:
        """One command, by those `past` without a pause and by where the actuators stood `before`."""
        if len(before) != 1 or new.value is not before[0]:
            self._judge_place(group, new, before)
            self._judge_rate(group, new, past, before)
        elif len(past) == RATE_WINDOW and past[0].value is not new.value:
            # it repeats the last one and was judged in its place when it came there; but the window has moved on
            self._judge_run(group, new, past[0])

    def _judge_place(self, group: _Group, new: _Command, before: list[Array]) -> None:
        """A violation: beyond a limit, and further beyond it than what stood there before."""
        if len(before) == 1 and np.count_nonzero(new.value != before[0]) == 0:
            return  # it was judged when it came there
        limits = group.limits
        distance = limits.distance(new.value)
        if not np.count_nonzero(distance > limits.bound + SLACK):
            return
        allowed = np.max([limits.bound, *(limits.distance(old) for old in before)], axis=0)
        broken = np.flatnonzero(distance > allowed + SLACK)
        for name in dict.fromkeys(limits.names[row] for row in broken):
            row = next(row for row in broken if limits.names[row] == name)
            place = int(np.flatnonzero(limits.rows[row])[0])
            excess = float(distance[row] - allowed[row])
            text = f"at {place}: {excess:.4f} beyond the limit of {limits.bound[row]:g} or where it stood"
            self._count(name, new.t_s, text)

    def _judge_rate(self, group: _Group, new: _Command, past: list[_Command], before: list[Array]) -> None:
        if not before:
            return
        rate, rated = group.limits.rate_per_s, group.limits.rated
        move = np.abs(new.value - before[0])[rated]
        if len(before) > 1:
            move = np.minimum(move, np.abs(new.value - before[1])[rated])
        elapsed_s = self._elapsed_s(past[-1] if past else None, new)
        place = int(move.argmax())
        if move.item(place) > rate * elapsed_s + SLACK:
            self._count(f"{group.name} rate", new.t_s, f"at {place}: {move[place]:.4f} in {elapsed_s:.3f} s")
        elif len(past) == RATE_WINDOW:
            self._judge_run(group, new, past[0])

    def _judge_run(self, group: _Group, new: _Command, first: _Command) -> None:
        """The rate over the last commands together: sent too often, each one small, they would still run too fast."""
        rate, far = group.limits.rate_per_s, np.abs(new.value - first.value)[group.limits.rated]
        place, span_s = int(far.argmax()), new.t_s - first.t_s
        if far.item(place) > rate * (span_s + self._sync_period_s) + SLACK:
            text = f"at {place}: {far[place]:.4f} over {RATE_WINDOW} commands in {span_s:.3f} s"
            self._count(f"{group.name} rate", new.t_s, text)

    def _elapsed_s(self, last: _Command | None, new: _Command) -> float:
        """Line time a move had.

        A command may reach the bus late by part of a cycle; what it is valid until tells the cycle it was made for.
        """
        cycle_s = self._line.control.cycle_s
        if last is None:
            return 2.0 * cycle_s  # the newest feedback may be a cycle older or newer than what the controller read
        observed_s = new.t_s - last.t_s
        if new.valid_until is None or last.valid_until is None:
            return max(observed_s, cycle_s)
        claimed_s = ((new.valid_until - last.valid_until) % 2**32) * self._sync_period_s
        return min(claimed_s, observed_s + self._sync_period_s)

    def _count(self, limit_name: str, t_s: float, text: str) -> None:
        self._by_limit[limit_name] += 1
        if self._first is None:
            self._first = f"{limit_name}, {t_s:.3f} s of line time, {text}"

    def _fed_back(self, group: _Group) -> Array | None:
        """The newest feedback as an array like the command's, or None when it was not seen completely."""
        result = np.full(group.value.size, np.nan)
        for key, data in self._feedback.items():
            source = self._sources[key]
            decoded = source.decode(data) if source.telegram is group.feedback else None
            if decoded is not None:
                result[source.places] = decoded
        return None if np.isnan(result).any() else result


def check_log(settings: Settings, path: Path) -> WireChecker:
    """A checker that has seen every frame of a candump log. Raises OSError for a file that cannot be opened."""
    checker = WireChecker(settings)
    with path.open(encoding="ascii", errors="replace") as log:
        for text in log:
            frame = _candump_frame(text)
            if frame is not None:
                checker.see(frame)
    return checker


def _candump_frame(text: str) -> Frame | None:
    """One line of a candump log: "(seconds) channel ID#DATA", and "ID##FDATA" for CAN FD with a digit of flags.

    None for what is no data frame, and for a line cut short by a kill. Identifiers of eight digits are extended; error
    frames carry bit 29 (linux/can.h).
    """
    found = _CANDUMP.match(text)
    if found is None or len(found["data"]) % 2:
        return None
    can_id, is_fd = int(found["id"], 16), found["fd"] is not None
    if can_id & _CAN_ERR_FLAG:
        return None
    data = bytes.fromhex(found["data"])
    return Frame(can_id, data, is_fd=is_fd, is_extended=len(found["id"]) > 3, t_s=float(found["t"]))


_CAN_ERR_FLAG = 0x2000_0000
_CANDUMP = re.compile(
    r"\((?P<t>\d+\.\d+)\)\s+\S+\s+(?P<id>[0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})#"
    r"(?P<fd>#[0-9A-Fa-f])?(?P<data>[0-9A-Fa-f]*)(\s+[RT])?\s*$"
)


def _sources(table: SignalTable, zones: int) -> dict[int, _Source]:
    """Every message that matters here, by CAN id."""
    wanted = [(Telegram.SYNC, "t_us", 0, 0)]
    for telegram in (Telegram.PUMP_COMMAND, Telegram.PUMP_FEEDBACK):
        wanted += [(telegram, name, 0, place) for place, name in enumerate(_PUMP)]
    for telegram in (Telegram.DIE_COMMAND, Telegram.DIE_FEEDBACK):
        wanted += [(telegram, "gap_um", zone, zone) for zone in range(zones)]
    mapped: dict[int, tuple[Telegram, list[tuple[int, MappedSignal]]]] = {}
    for telegram, name, index, place in wanted:
        signal = table.find(telegram, name, index)
        key = signal.message.frame_id | signal.message.is_extended_frame * _EXTENDED
        mapped.setdefault(key, (telegram, []))[1].append((place, signal))
    return {
        key: _Source(telegram, signals[0][1].message, table.scan_id(telegram, signals[0][1].message), signals)
        for key, (telegram, signals) in mapped.items()
    }
