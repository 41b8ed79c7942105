"""Any place a DBC can put a signal, against cantools reading and writing the same bytes."""

from __future__ import annotations

import math
from typing import Any

import cantools
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.contract import Field, WireError, WireRangeError
from firmware_bridge.layout import (
    array_part_of,
    array_scale_of,
    enumeration,
    invalid_raw,
    position_of,
    raw_range,
    scalar_of,
    unit_factor,
)


def message(*signals: str, size: int = 8, tail: str = "") -> Any:
    """A cantools message with these SG_ lines; `tail` holds value tables and the like."""
    lines = "\n".join(f" SG_ {signal}" for signal in signals)
    text = f'VERSION ""\nBU_: N\nBO_ 1 M: {size} N\n{lines}\n{tail}\n'
    return cantools.database.load_string(text, "dbc").messages[0]  # type: ignore[union-attr]


@st.composite
def places(draw: st.DrawFn) -> tuple[str, int]:
    """A signal anywhere in a frame of up to 64 bytes, and the frame's size."""
    size = draw(st.sampled_from([1, 2, 8, 12, 64]))
    length = draw(st.integers(1, min(64, 8 * size)))
    little = draw(st.booleans())
    if little:
        start = draw(st.integers(0, 8 * size - length))
    else:
        first = draw(st.integers(0, 8 * size - length))  # counted from the front, highest bit first
        start = 8 * (first // 8) + 7 - first % 8
    sign = "-" if draw(st.booleans()) else "+"
    return f'S : {start}|{length}@{int(little)}{sign} (1,0) [0|0] "" N', size


@given(places(), st.data())
def test_a_signal_is_found_wherever_it_lies(place: tuple[str, int], data: st.DataObject) -> None:
    text, size = place
    made = message(text, size=size)
    frame = data.draw(st.binary(min_size=size, max_size=size))
    position = position_of(made.signals[0], size)
    raw = position.take(int.from_bytes(frame, "little"), int.from_bytes(frame, "big"))
    assert raw == made.decode(frame, scaling=False)["S"]
    first = position.byte_offset(size)
    if first is not None:
        order = "big" if position.big_endian else "little"
        cut = frame[first : first + position.length // 8]
        assert int.from_bytes(cut, order, signed=position.signed) == raw  # type: ignore[arg-type]


@st.composite
def rows(draw: st.DrawFn) -> tuple[list[str], int]:
    """Signals side by side, sometimes in whole bytes and sometimes not, of either order and sign."""
    length = draw(st.sampled_from([4, 8, 12, 16, 24, 32]))
    count = draw(st.integers(1, 64 // length))
    gap = draw(st.sampled_from([0, 0, 3])) if count * (length + 3) <= 64 else 0
    little, sign = draw(st.booleans()), draw(st.sampled_from("+-"))
    firsts = [k * (length + gap) for k in range(count)]
    starts = firsts if little else [8 * (first // 8) + 7 - first % 8 for first in firsts]
    scale, offset = draw(st.sampled_from([(1, 0), (0.1, 0), (0.5, -40), (-0.25, 10)]))
    lines = [f'S{k} : {s}|{length}@{int(little)}{sign} ({scale},{offset}) [0|0] "um" N' for k, s in enumerate(starts)]
    return lines, count


@given(rows(), st.integers(0, 2**32))
def test_arrays_read_and_write_as_cantools_does(row: tuple[list[str], int], seed: int) -> None:
    lines, count = row
    made = message(*lines)
    signals = [made.get_signal_by_name(f"S{k}") for k in range(count)]
    scale = array_scale_of(Field("gap_um", "um"), signals)
    part = array_part_of(slice(0, count), scale, [position_of(signal, 8) for signal in signals], 8)
    rng = np.random.default_rng(seed)
    raws = {f"S{k}": int(rng.integers(*raw_range(signal), endpoint=True)) for k, signal in enumerate(signals)}
    frame = made.encode(raws, scaling=False)
    values = part.read(frame)
    theirs = made.decode(frame)
    assert values == pytest.approx([theirs[f"S{k}"] for k in range(count)], rel=1e-12)
    counts = scale.to_raw(values)
    assert counts.tolist() == list(raws.values())
    if part.dtype is not None:
        assert frame[part.start : part.stop] == counts.astype(part.dtype).tobytes()
    else:
        words = [0, 0]
        part.scatter(counts, words)
        assert words[0].to_bytes(8, "little") == frame or words[1].to_bytes(8, "big") == frame


def test_places_of_different_scale_are_each_their_own() -> None:
    made = message(
        'A : 0|16@1+ (0.5,0) [0|1000] "um" N', 'B : 16|16@1- (0.001,1) [0|2] "mm" N', 'C : 32|12@1+ (1,0) [0|0] "um" N'
    )
    signals = [made.get_signal_by_name(name) for name in "ABC"]
    scale = array_scale_of(Field("gap_um", "um"), signals)
    part = array_part_of(slice(0, 3), scale, [position_of(signal, 8) for signal in signals], 8)
    words = [0, 0]
    part.scatter(scale.to_raw([600.0, 600.0, 600.0]), words)
    theirs = made.decode(words[0].to_bytes(8, "little"))
    assert (theirs["A"], theirs["B"], theirs["C"]) == (600.0, pytest.approx(0.6), 600)
    assert part.read(words[0].to_bytes(8, "little")) == pytest.approx([600.0, 600.0, 600.0])
    assert scale.bounds(1) == (pytest.approx(0.0), pytest.approx(2000.0))
    with pytest.raises(WireRangeError, match=r"gap_um\[1\] = 2001 um: beyond \[0, 2000\]"):
        scale.to_raw([600.0, 2001.0, 600.0])


@pytest.mark.parametrize(("length", "kind"), [(32, 1), (64, 2)])
@given(value=st.floats(-1e6, 1e6, width=32))
def test_floats_travel_as_ieee_754(length: int, kind: int, value: float) -> None:
    made = message(f'S : 0|{length}@1- (0.5,3) [0|0] "" N', tail=f"SIG_VALTYPE_ 1 S : {kind};")
    scalar = scalar_of(Field("x"), made.signals[0], 8)
    raw = scalar.to_raw(value)
    frame = (raw << scalar.position.shift).to_bytes(8, "little")
    assert made.decode(frame)["S"] == pytest.approx(value, rel=1e-6, abs=1e-4)
    again = scalar.to_value(scalar.position.take(int.from_bytes(frame, "little"), 0))
    assert again == pytest.approx(value, rel=1e-6, abs=1e-4)


def test_an_array_of_floats_is_refused() -> None:
    made = message('S : 0|32@1- (1,0) [0|0] "um" N', tail="SIG_VALTYPE_ 1 S : 1;")
    with pytest.raises(WireError, match="signal S: an array needs integers"):
        array_scale_of(Field("gap_um", "um"), made.signals)


def test_a_multiplexed_signal_is_refused() -> None:
    made = message('P M : 0|8@1+ (1,0) [0|0] "" N', 'S m1 : 8|16@1+ (1,0) [0|0] "" N')
    for name in "PS":
        with pytest.raises(WireError, match="multiplexed"):
            position_of(made.get_signal_by_name(name), 8)


@pytest.mark.parametrize(
    ("field_unit", "dbc_unit", "factor"),
    [
        ("um", "mm", 1000.0),
        ("m/s", "m/min", 1 / 60),
        ("us", "s", 1e6),
        ("g/m2", "mg/cm2", 10.0),
        ("rpm/(m/s)", "rpm/(m/min)", 60.0),
        ("kPa", "bar", 100.0),
        ("um", "", 1.0),
        ("", "anything", 1.0),
    ],
)
def test_units_of_the_dbc_become_ours(field_unit: str, dbc_unit: str, factor: float) -> None:
    made = message(f'S : 0|16@1+ (1,0) [0|0] "{dbc_unit}" N')
    assert unit_factor(Field("x", field_unit), made.signals[0]) == pytest.approx(factor)


def test_a_unit_that_is_not_known_is_not_guessed() -> None:
    made = message('S : 0|16@1+ (1,0) [0|0] "furlong" N')
    with pytest.raises(WireError, match="unit 'furlong' for gap_um, expected one of"):
        unit_factor(Field("gap_um", "um"), made.signals[0])


@pytest.mark.parametrize(
    ("signal", "tail", "raw"),
    [
        ('S : 0|16@1+ (1,0) [0|100] "" N', 'VAL_ 1 S 254 "Invalid" ;', 254),
        ('S : 0|16@1+ (1,0) [0|100] "" N', 'VAL_ 1 S 7 "SNA" 8 "ok" ;', 7),
        ('S : 0|16@1+ (0.01,0) [0|655.34] "" N', "", 65535),
        ('S : 0|16@1+ (0.01,0) [0|655.35] "" N', "", None),
        ('S : 0|16@1+ (1,0) [0|0] "" N', "", None),
        ('S : 0|16@1- (1,0) [0|100] "" N', "", None),
    ],
)
def test_how_a_dbc_says_no_value(signal: str, tail: str, raw: int | None) -> None:
    assert invalid_raw(message(signal, tail=tail).signals[0]) == raw


def test_no_value_inside_the_range_is_nan_too() -> None:
    made = message('S : 0|16@1+ (1,0) [0|1000] "um" N', tail='VAL_ 1 S 999 "n/a" ;')
    scale = array_scale_of(Field("film_um", "um"), made.signals)
    part = array_part_of(slice(0, 1), scale, [position_of(made.signals[0], 8)], 8)
    assert math.isnan(part.read((999).to_bytes(8, "little"))[0])
    assert part.read((998).to_bytes(8, "little")).tolist() == [998.0]
    assert scale.to_raw([math.nan]).tolist() == [999.0]


def test_ranges_that_leave_nothing_are_refused() -> None:
    with pytest.raises(WireError, match=r"range .* is empty"):
        raw_range(message('S : 0|8@1+ (1,0) [300|400] "" N').signals[0])


def test_a_value_table_without_a_known_label_is_refused() -> None:
    made = message('S : 0|8@1+ (1,0) [0|0] "" N', tail='VAL_ 1 S 0 "auf" 1 "zu" ;')
    field = Field("state", labels={"STOPPED": 0, "RUNNING": 1})
    with pytest.raises(WireError, match="no value of its table is one of STOPPED, RUNNING"):
        enumeration(field, made.signals[0])


def test_numbers_that_the_value_table_does_not_explain() -> None:
    made = message('S : 0|8@1+ (1,0) [0|0] "" N', tail='VAL_ 1 S 4 "Running" 5 "stopped" 6 "Service" ;')
    scalar = scalar_of(Field("state", is_integer=True, labels={"STOPPED": 0, "RUNNING": 1}), made.signals[0], 8)
    assert [scalar.to_value(raw) for raw in (4, 5, 6, 99)] == [1, 0, -1, -1]
    assert (scalar.to_raw(1), scalar.to_raw(0)) == (4, 5)
    with pytest.raises(WireRangeError, match="value table"):
        scalar.to_raw(2)
