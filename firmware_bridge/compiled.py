"""Straight-line Python for each message: written once at start from its plan, because loops over signals cost too much.

Only plan.py imports it. For a heartbeat the reader that comes out says no more than this:

    def read(little, big):
        r0 = little & 255
        v0 = other0(r0)
        r1 = little >> 32 & 4294967295
        v1 = r1
        return little >> 24 & 255, little >> 24 & 255, 1, {'state': v0, 'epoch': v1}
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from firmware_bridge.layout import Slot

Reader = Callable[[int, int], tuple[int, int, int, dict[str, Any]]]  # words -> counter, scan id, node, fields
Writer = Callable[[Mapping[str, Any], int, int, int], tuple[int, int]]  # fields, scan id, counter, node -> words

_WORDS = ("little", "big")


class Place(NamedTuple):
    """Where a header number lies: word 0 is the frame read from its little end, 1 from its big end."""

    word: int
    shift: int
    mask: int


class Header(NamedTuple):
    """Places of a message's header numbers; None where the DBC has none."""

    counter: Place | None
    scan_id: Place | None
    node: Place | None


def reader(header: Header, node: int, slots: Sequence[Slot]) -> Reader:
    """A function that reads header and scalar fields out of a frame's two words.

    Without a scan id the counter stands in for it, and without a sender the message's own `node`.
    """
    names: dict[str, object] = {"nan": math.nan}
    lines = ["def read(little, big):"]
    for k, slot in enumerate(slots):
        raw = _taken(slot.word, slot.shift, slot.mask)
        lines.append(f"    r{k} = ({raw} ^ {slot.half}) - {slot.half}" if slot.half else f"    r{k} = {raw}")
        if slot.other is not None:
            names[f"other{k}"] = slot.other.to_value
            lines.append(f"    v{k} = other{k}(r{k})")
            continue
        value = _scaled(f"r{k}", slot)
        lowest = -slot.half
        if (slot.low, slot.high) != (lowest, lowest + slot.mask):
            value = f"{value} if {slot.low} <= r{k} <= {slot.high} else {-1 if slot.whole else 'nan'}"
        lines.append(f"    v{k} = {value}")
    counter = "0" if header.counter is None else _taken(*header.counter)
    scan_id = counter if header.scan_id is None else _taken(*header.scan_id)
    sender = str(node) if header.node is None else _taken(*header.node)
    fields = ", ".join(f"{slot.name!r}: v{k}" for k, slot in enumerate(slots))
    lines.append(f"    return {counter}, {scan_id}, {sender}, {{{fields}}}")
    made: Reader = _made("read", lines, names)
    return made


def writer(header: Header, idle: Sequence[int], slots: Sequence[Slot]) -> Writer:
    """A function that puts header and scalar fields into two words, or-ed onto `idle`.

    It raises ValueError, TypeError or OverflowError for a value that is missing or does not fit; the codec then says
    which one.
    """
    names: dict[str, object] = {}
    lines = ["def write(fields, scan_id, counter, node):", "    get = fields.get"]
    words = [[str(idle[0])], [str(idle[1])]]
    for name, place in (("counter", header.counter), ("scan_id", header.scan_id), ("node", header.node)):
        if place is not None:
            words[place.word].append(f"({name} & {place.mask}) << {place.shift}")
    for k, slot in enumerate(slots):
        lines.append(f"    v{k} = get({slot.name!r})")
        if not slot.required:
            lines += [f"    if v{k} is None:", f"        v{k} = {slot.default!r}"]
        if slot.other is not None:
            names[f"other{k}"] = slot.other.to_raw
            lines.append(f"    r{k} = other{k}(v{k})")
        else:
            lines.append(f"    r{k} = {_counted(f'v{k}', slot)}")
            lines += [f"    if not {slot.low} <= r{k} <= {slot.high}:", "        raise ValueError"]
        words[slot.word].append(f"(r{k} & {slot.mask}) << {slot.shift}")
    lines.append(f"    return {' | '.join(words[0])}, {' | '.join(words[1])}")
    made: Writer = _made("write", lines, names)
    return made


def _taken(word: int, shift: int, mask: int) -> str:
    return f"{_WORDS[word]} >> {shift} & {mask}" if shift else f"{_WORDS[word]} & {mask}"


def _scaled(raw: str, slot: Slot) -> str:
    value = raw if slot.scale == 1 else f"{raw} * {slot.scale!r}"
    value = f"{value} + {slot.offset!r}" if slot.offset else value
    return value if not slot.whole or value == raw else f"round({value})"


def _counted(value: str, slot: Slot) -> str:
    exact = f"({value} - {slot.offset!r})" if slot.offset else value
    return f"int(round({exact}))" if slot.scale == 1 else f"round({exact} / {slot.scale!r})"


def _made(name: str, lines: Sequence[str], names: dict[str, object]) -> Any:
    """Run the text. It is put together from numbers of the parsed DBC and from field names of the contract only."""
    exec(compile("\n".join(lines), f"<{name} of a message>", "exec"), names)
    return names[name]
