"""Straight-line Python for each message: written once at start from its plan, because loops over signals cost too much.

Only plan.py imports it. Whole bytes go through one `struct` a message; a signal that fills only some bits of its bytes
is shifted and masked out of them. For a heartbeat the reader that comes out says no more than this:

    def read(data, is_fd):
        if len(data) != 16:
            data = data[:16]
            if len(data) < 16: return None
        if is_fd is not True: return None
        b0, b1, b3, b4, b8, = unpack(data)
        if crc_hqx(b'..', crc_hqx(data[3:], crc_hqx(data[:1], 0xFFFF))) != b1: return None
        r0 = b0
        v0 = number_of0(r0, -1)
        r1 = b4
        v1 = r1
        r2 = b8
        v2 = r2
        return b3, b3, 2, {'state': v0, 'epoch': v1, 'uptime_s': v2}, None
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from struct import Struct
from typing import Any, NamedTuple

from firmware_bridge.frames import Frame
from firmware_bridge.integrity import NAMES, Crc
from firmware_bridge.layout import Slot

Opened = tuple[int, int, int, dict[str, Any], bytes | None]  # counter, scan id, node, fields, the array's bytes
Reader = Callable[[bytes, bool], Opened | None]  # data, is_fd -> what is in it, or None where it is not whole
Writer = Callable[[Mapping[str, Any], int, int, int, Any], Frame]  # fields, scan id, counter, node, array -> frame

_WHOLE = ((8, "Q"), (4, "I"), (2, "H"), (1, "B"))  # runs of bytes that struct takes for one number


class Place(NamedTuple):
    """Where a number lies: word 0 is the frame read from its little end, 1 from its big end."""

    word: int
    shift: int
    mask: int


class Block(NamedTuple):
    """The bytes of a frame that carry its part of an array: alone and side by side, or scattered among others."""

    start: int
    stop: int
    scattered: bool


class Header(NamedTuple):
    """Places of a message's header numbers; None where the DBC has none, or where the line does without."""

    crc: Place | None
    counter: Place | None
    scan_id: Place | None
    node: Place | None
    segment: Place | None


class Form(NamedTuple):
    """All that the two functions of a message are written from.

    `idle` is what stands in every such frame, its segment number too. `node` is the sender where no signal says it.
    """

    can_id: int
    is_extended: bool
    is_fd: bool
    size: int
    crc: Crc | None
    header: Header
    node: int
    segment: int
    idle: bytes
    slots: Sequence[Slot]
    block: Block | None


def reader(form: Form) -> Reader:
    """A function that takes a frame apart: None where its kind, length, CRC or segment is not what it should be.

    A frame that a bus has padded to the next length is cut. Without a scan id the counter stands in for it, and without
    a sender the message's own node. The bytes of an array are handed on as they are.
    """
    layout = _Layout(form, [place for place in form.header if place is not None])
    names: dict[str, object] = {"nan": math.nan, "unpack": layout.struct().unpack}
    header, size = form.header, form.size
    lines = ["def read(data, is_fd):", f"    if len(data) != {size}:", f"        data = data[:{size}]"]
    lines += [f"        if len(data) < {size}: return None", f"    if is_fd is not {form.is_fd}: return None"]
    if layout.names:
        lines.append(f"    {', '.join(layout.names)}, = unpack(data)")
    if any(place.word for place in layout.places):
        lines.append("    big = int.from_bytes(data, 'big')")
    if form.crc is not None and header.crc is not None:
        names |= NAMES
        lines.append(f"    if {form.crc.of_text} != {layout.taken(header.crc)}: return None")
    if header.segment is not None:
        number = form.segment & header.segment.mask
        lines.append(f"    if {layout.taken(header.segment)} != {number}: return None")
    for k, slot in enumerate(form.slots):
        lines += _slot_read(k, slot, layout, names)
    counter = "0" if header.counter is None else layout.taken(header.counter)
    scan_id = counter if header.scan_id is None else layout.taken(header.scan_id)
    sender = str(form.node) if header.node is None else layout.taken(header.node)
    fields = ", ".join(f"{slot.name!r}: v{k}" for k, slot in enumerate(form.slots))
    lines.append(f"    return {counter}, {scan_id}, {sender}, {{{fields}}}, {layout.array()}")
    made: Reader = _made("read", lines, names)
    return made


def writer(form: Form) -> Writer:
    """A function that makes a whole frame of header, scalar fields and the array's part, and seals it.

    The array's part is the bytes of its block, or, scattered, a number to be or-ed onto the frame read from its little
    end. It raises KeyError, ValueError, TypeError or OverflowError for a value that is missing or does not fit; the
    codec then says which one.
    """
    header = {name: getattr(form.header, name) for name in ("counter", "scan_id", "node")}
    values = [(place, f"({name} & {place.mask})") for name, place in header.items() if place is not None]
    fixed = [Place(0, 8 * at, 0xFF) for at, byte in enumerate(form.idle) if byte]
    layout = _Layout(form, [place for place, _ in values] + fixed)
    names: dict[str, object] = {"pack": layout.struct().pack, "frame": tuple.__new__, "Frame": Frame}
    lines = ["def write(fields, scan_id, counter, node, array):"]
    for k, slot in enumerate(form.slots):
        lines += _slot_counted(k, slot, names)
        bare = slot.other is None and not slot.half and slot.low >= 0
        values.append((Place(slot.word, slot.shift, slot.mask), f"r{k}" if bare else f"(r{k} & {slot.mask})"))
    data = f"pack({', '.join(layout.packed(values))})"
    motorola = [f"{text} << {place.shift}" for place, text in values if place.word]
    if motorola:
        data = f"(int.from_bytes({data}, 'big') | {' | '.join(motorola)}).to_bytes({form.size}, 'big')"
    if form.block is not None and form.block.scattered:
        data = f"(int.from_bytes({data}, 'little') | array).to_bytes({form.size}, 'little')"
    if form.crc is not None:
        names |= NAMES
        lines.append(f"    data = {data}")
        data = form.crc.sealed_text
    # half the time of Frame(...), for what is made twenty times a cycle
    lines.append(f"    return frame(Frame, ({form.can_id}, {data}, {form.is_fd}, {form.is_extended}, 0.0, False))")
    made: Writer = _made("write", lines, names)
    return made


class _Chunk(NamedTuple):
    """Some bytes of a frame that one item of the struct stands for; `code` is a number's, or "s" for an array's."""

    start: int
    stop: int
    code: str


class _Layout:
    """A message's bytes cut into runs that `struct` knows, so that one call takes all numbers out or puts them in."""

    def __init__(self, form: Form, places: list[Place]) -> None:
        """`places` are those that matter besides the slots'."""
        self._form = form
        self.places = places + [Place(slot.word, slot.shift, slot.mask) for slot in form.slots]
        self._block = form.block if form.block is not None and not form.block.scattered else None
        spans = [_bytes_of(place) for place in self.places if not place.word]
        self._chunks = [chunk for span in _joined(spans) for chunk in _cut(*span)]
        if self._block is not None:
            self._chunks.append(_Chunk(self._block.start, self._block.stop, "s"))
        self._chunks.sort()
        self.names = [f"b{chunk.start}" for chunk in self._chunks]

    def struct(self) -> Struct:
        """The struct of the whole frame; bytes that no number uses are skipped, and written as zero."""
        text, at = "<", 0
        for start, stop, code in self._chunks:
            text += "x" * (start - at) + (f"{stop - start}s" if code == "s" else code)
            at = stop
        return Struct(text + "x" * (self._form.size - at))

    def taken(self, place: Place) -> str:
        """The number at `place`, out of the names that were unpacked."""
        word, shift, mask = place
        if word:
            return f"big >> {shift} & {mask}"
        first, last = _bytes_of(place)
        held = [chunk for chunk in self._chunks if chunk.code != "s" and chunk.start < last and first < chunk.stop]
        base = held[0].start
        whole = " | ".join(_shifted(f"b{chunk.start}", 8 * (chunk.start - base)) for chunk in held)
        if (shift, mask) == (8 * base, (1 << 8 * (held[-1].stop - base)) - 1):
            return f"({whole})" if len(held) > 1 else whole
        return f"(({whole}) >> {shift - 8 * base} & {mask})"

    def array(self) -> str:
        """The bytes of the array's part."""
        if self._form.block is None:
            return "None"
        start, stop, scattered = self._form.block
        return f"data[{start}:{stop}]" if scattered else f"b{start}"

    def packed(self, values: Sequence[tuple[Place, str]]) -> Iterator[str]:
        """What each item of the struct is given, of `values` and of what is the same in every frame."""
        little = [(place, text) for place, text in values if not place.word]
        for start, stop, code in self._chunks:
            if code == "s":
                yield "array"
                continue
            parts = [
                _cut_out(text, place, start, stop)
                for place, text in little
                if 8 * start < place.shift + place.mask.bit_length() and place.shift < 8 * stop
            ]
            idle = int.from_bytes(self._form.idle[start:stop], "little")
            yield " | ".join(parts + [str(idle)] * (idle != 0 or not parts))


def _bytes_of(place: Place) -> tuple[int, int]:
    return place.shift // 8, (place.shift + place.mask.bit_length() + 7) // 8


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that share bytes made one; those that only touch stay apart."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], stop)
        else:
            joined.append((start, stop))
    return joined


def _cut(start: int, stop: int) -> Iterator[_Chunk]:
    while start < stop:
        width, code = next((width, code) for width, code in _WHOLE if width <= stop - start)
        yield _Chunk(start, start + width, code)
        start += width


def _shifted(text: str, by: int) -> str:
    return f"{text} << {by}" if by > 0 else f"{text} >> {-by}" if by < 0 else text


def _cut_out(text: str, place: Place, start: int, stop: int) -> str:
    """The bits of a number at `place` that fall into the bytes from `start` to `stop`, as seen from `start`."""
    moved = _shifted(text, place.shift - 8 * start)
    reaches_over = place.shift + place.mask.bit_length() > 8 * stop
    return f"({moved} & {(1 << 8 * (stop - start)) - 1})" if reaches_over else f"({moved})"


def _slot_read(k: int, slot: Slot, layout: _Layout, names: dict[str, object]) -> list[str]:
    raw = layout.taken(Place(slot.word, slot.shift, slot.mask))
    lines = [f"    r{k} = (({raw}) ^ {slot.half}) - {slot.half}" if slot.half else f"    r{k} = {raw}"]
    if slot.other is not None and slot.other.number_of is not None:
        names[f"number_of{k}"] = slot.other.number_of.get
        return [*lines, f"    v{k} = number_of{k}(r{k}, -1)"]
    if slot.other is not None:
        names[f"other{k}"] = slot.other.to_value
        return [*lines, f"    v{k} = other{k}(r{k})"]
    value = _scaled(f"r{k}", slot)
    lowest = -slot.half
    if (slot.low, slot.high) != (lowest, lowest + slot.mask):
        value = f"{value} if {slot.low} <= r{k} <= {slot.high} else {-1 if slot.whole else 'nan'}"
    return [*lines, f"    v{k} = {value}"]


def _slot_counted(k: int, slot: Slot, names: dict[str, object]) -> list[str]:
    lines = [f"    v{k} = fields[{slot.name!r}]"]
    if not slot.required:
        lines = [f"    v{k} = fields.get({slot.name!r})", f"    if v{k} is None:", f"        v{k} = {slot.default!r}"]
    if slot.other is not None:
        names[f"other{k}"] = slot.other.to_raw
        if slot.other.raw_of is None:
            return [*lines, f"    r{k} = other{k}(v{k})"]
        names[f"raw_of{k}"] = slot.other.raw_of.get
        return [*lines, f"    r{k} = raw_of{k}(v{k})", f"    if r{k} is None: r{k} = other{k}(v{k})"]
    lines.append(f"    r{k} = {_counted(f'v{k}', slot)}")
    return [*lines, f"    if not {slot.low} <= r{k} <= {slot.high}:", "        raise ValueError"]


def _scaled(raw: str, slot: Slot) -> str:
    value = raw if slot.scale == 1 else f"{raw} * {slot.scale!r}"
    value = f"{value} + {slot.offset!r}" if slot.offset else value
    return value if not slot.whole or value == raw else f"round({value})"


def _counted(value: str, slot: Slot) -> str:
    exact = f"({value} - {slot.offset!r})" if slot.offset else value
    if slot.scale != 1:
        return f"round({exact} / {slot.scale!r})"
    return f"int(round({exact}))" if slot.offset else f"{value} if {value}.__class__ is int else int(round({value}))"


def _made(name: str, lines: Sequence[str], names: dict[str, object]) -> Any:
    """Run the text. It is put together from numbers of the parsed DBC and from field names of the contract only."""
    exec(compile("\n".join(lines), f"<{name} of a message>", "exec"), names)
    return names[name]
