"""The codec against cantools on the same DBC, round trips within one count, and refusals that name what is wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import cantools
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.codec import Codec, blamed
from firmware_bridge.contract import (
    AUTHENTICATED_DBC,
    DEFAULT_MAP,
    FIELDS,
    SHIPPED_DBC,
    Axis,
    Integrity,
    Node,
    Telegram,
    WireDescription,
    WireError,
    WireRangeError,
)
from firmware_bridge.frames import Frame
from firmware_bridge.link import Receiver
from firmware_bridge.load import frame_time_s
from tests.firmware_bridge.wires import (
    FOREIGN,
    FOREIGN_DBC,
    FOREIGN_MAP,
    crc8_bit_by_bit,
    crc16_bit_by_bit,
    database,
    foreign_codec,
    shipped_codec,
)

WIRES = {"shipped": (shipped_codec, SHIPPED_DBC), "foreign": (foreign_codec, FOREIGN_DBC)}
CARRIED = [
    pytest.param(codec, dbc, telegram, id=f"{name}-{telegram}")
    for name, (codec, dbc) in WIRES.items()
    for telegram in Telegram
    if codec().carries(telegram)
]
LABELLED = {"state", "node_state", "direction"}


def draw_fields(data: st.DataObject, codec: Codec, telegram: Telegram, node: int) -> dict[str, Any]:
    """Values that the wire can carry, with NaN among the boxes of profiles."""
    drawn: dict[str, Any] = {}
    for field in FIELDS[telegram]:
        if not codec.has_field(telegram, field.name):
            continue
        low, high = codec.bounds(telegram, field.name)
        if field.labels is not None:
            drawn[field.name] = data.draw(st.sampled_from(sorted(field.labels.values())))
        elif field.axis is Axis.SCALAR:
            drawn[field.name] = data.draw(
                st.integers(math.ceil(low), math.floor(high)) if field.is_integer else st.floats(low, high)
            )
        else:
            count = codec.places(telegram)
            rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
            values = rng.integers(low, high + 1, count) if field.is_integer else rng.uniform(low, high, count)
            values = values.astype(np.float64)
            values[:2] = low, high
            if "profile" in telegram:
                values[rng.random(count) < 0.1] = np.nan
            drawn[field.name] = values
    return drawn


def receive(codec: Codec, telegram: Telegram, frames: list[Frame]) -> Mapping[str, Any]:
    receiver = Receiver(codec, [telegram], {})
    messages = [receiver.feed(frame, 0.0) for frame in frames]
    assert messages[:-1] == [None] * (len(frames) - 1)
    assert messages[-1] is not None
    return messages[-1].fields


@pytest.mark.parametrize("path", [SHIPPED_DBC, AUTHENTICATED_DBC])
def test_in_the_dbcs_that_come_with_us_signals_fit_and_lie_apart(path: Path) -> None:
    """Asked here, because a start no longer asks it of them; of a line's own DBC it does."""
    assert cantools.database.load_file(path, strict=True).messages


@pytest.mark.parametrize(("start", "length"), [("4444448", "16"), ("48", "99999"), ("9" * 5000, "16")])
def test_a_signal_beyond_any_frame_is_refused_at_once(tmp_path: Path, start: str, length: str) -> None:
    """cantools would count its bits first."""
    dbc = tmp_path / "own.dbc"
    text = SHIPPED_DBC.read_text(encoding="utf-8")
    first = re.search(r"SG_ (\S+) : (\d+)\|(\d+)", text)
    assert first is not None
    dbc.write_text(text.replace(first[0], f"SG_ {first[1]} : {start}|{length}", 1), encoding="utf-8")
    with pytest.raises(WireError, match=f"signal {first[1]}: .*, a message has 14280 at most"):
        Codec.compile(WireDescription(dbc_path=dbc), 16, 32, 32)


def test_what_a_dbc_says_in_comments_is_no_signal(tmp_path: Path) -> None:
    dbc = tmp_path / "own.dbc"
    text = SHIPPED_DBC.read_text(encoding="utf-8")
    held = re.search(r"BO_ (\d+) [^\n]*\n SG_ (\S+) :", text)
    assert held is not None
    dbc.write_text(f'{text}\nCM_ SG_ {held[1]} {held[2]} "was: 4444448|16";\n', encoding="utf-8")
    assert Codec.compile(WireDescription(dbc_path=dbc), 16, 32, 32)


def test_signals_that_overlap_in_a_lines_own_dbc_are_refused(tmp_path: Path) -> None:
    own = tmp_path / "own.dbc"
    text = SHIPPED_DBC.read_text(encoding="utf-8")
    first, second = re.findall(r" SG_ \w+ : (\d+)\|", text)[:2]
    own.write_text(text.replace(f": {second}|", f": {first}|", 1), encoding="utf-8")
    with pytest.raises(WireError, match="overlapping"):
        Codec.compile(WireDescription("evencoat", "", dbc_path=own), 16, 32, 32)


@pytest.mark.parametrize(("codec_of", "dbc", "telegram"), CARRIED)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_round_trip_is_within_half_a_count(codec_of: Any, dbc: Path, telegram: Telegram, data: st.DataObject) -> None:
    codec = codec_of()
    node = data.draw(st.sampled_from(list(Node))) if telegram is Telegram.HEARTBEAT else 0
    sent = draw_fields(data, codec, telegram, node)
    got = receive(codec, telegram, codec.encode(telegram, sent, scan_id=3, counter=1, node=node))
    assert {"node"} | set(got) == {"node"} | set(sent)
    for name, value in sent.items():
        count = codec.count(telegram, name)
        np.testing.assert_allclose(got[name], value, rtol=1e-9, atol=count * 0.5000001)
        assert np.array_equal(np.isnan(got[name]), np.isnan(value))


@pytest.mark.parametrize(("codec_of", "dbc", "telegram"), CARRIED)
@settings(max_examples=25, deadline=None)
@given(data=st.data(), scan_id=st.integers(0, 2**32 - 1), counter=st.integers(0, 255))
def test_cantools_reads_our_frames_and_writes_the_same_bytes(
    codec_of: Any, dbc: Path, telegram: Telegram, data: st.DataObject, scan_id: int, counter: int
) -> None:
    codec = codec_of()
    node = data.draw(st.sampled_from(list(Node))) if telegram is Telegram.HEARTBEAT else 0
    sent = draw_fields(data, codec, telegram, node)
    frames = codec.encode(telegram, sent, scan_id=scan_id, counter=counter, node=node)
    for frame in frames:
        message = database(dbc).get_message_by_frame_id(frame.can_id)
        values = message.decode(frame.data, decode_choices=False)
        assert message.encode(values, strict=False) == frame.data
        assert values.get("ScanId", scan_id) == scan_id
        assert values["Counter" if dbc == SHIPPED_DBC else "Cnt"] == counter
        assert (message.is_fd, message.is_extended_frame) == (frame.is_fd, frame.is_extended)


@pytest.mark.parametrize(("codec_of", "dbc", "telegram"), CARRIED)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_frames_that_cantools_wrote_read_the_same_here(
    codec_of: Any, dbc: Path, telegram: Telegram, data: st.DataObject
) -> None:
    """Random raw counts inside every signal's range, packed by cantools, sealed by the test's own CRC."""
    codec = codec_of()
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    for can_id, is_extended in sorted(codec.can_ids(telegram))[:3]:
        message = database(dbc).get_message_by_frame_id(can_id)
        raw = {s.name: int(rng.integers(*raw_range(s), endpoint=True)) for s in message.signals}
        if "Segment" in raw:
            raw["Segment"] = can_id & 0xF if message.length == 64 or telegram is Telegram.DIE_STATUS else 0
        frame = Frame(
            can_id, seal(message.encode(raw, scaling=False, strict=False), message, dbc), message.is_fd, is_extended
        )
        part = codec.decode(frame)
        assert part is not None and part.crc_ok
        theirs = message.decode(frame.data, decode_choices=False)
        names = {**DEFAULT_MAP, **codec.wire.signal_map}
        for field in FIELDS[telegram]:
            if field.name not in part.fields or field.labels is not None:
                continue
            pattern = names[f"{telegram}.{field.name}"].rpartition(".")[2]
            places = [0] if field.axis is Axis.SCALAR else np.arange(codec.places(telegram))[part.where]
            for i, value in zip(places, np.atleast_1d(part.fields[field.name]), strict=True):
                name = pattern.format(i=i, n=i + 1, node=part.node)
                assert value == pytest.approx(theirs[name] * factor(message, name), rel=1e-12, abs=1e-12)


def raw_range(signal: Any) -> tuple[int, int]:
    ends = [(end - signal.offset) / signal.scale for end in (signal.minimum, signal.maximum)]
    return math.ceil(min(ends) - 1e-6), math.floor(max(ends) + 1e-6)


def factor(message: Any, name: str) -> float:
    unit = message.get_signal_by_name(name).unit
    return {
        "m/min": 1 / 60,
        "mm": 1e-3 if message.name == "Bahn_Weg" else 1.0,
        "ms": 1e3,
        "bar": 100.0,
        "mg/cm2": 10.0,
    }.get(unit, 60.0 if unit == "rpm/(m/min)" else 1.0)


def seal(data: bytes, message: Any, dbc: Path) -> bytes:
    data_id = (message.frame_id & 0xFFFF).to_bytes(2, "little")
    if dbc == FOREIGN_DBC:
        return data[:7] + bytes([crc8_bit_by_bit(data_id + data[:7])])
    at = message.get_signal_by_name("Crc").start // 8
    crc = crc16_bit_by_bit(data[:at] + data[at + 2 :] + data_id)
    return data[:at] + crc.to_bytes(2, "little") + data[at + 2 :]


# ---- what is refused, and in which words

GAP = {"gap_um": np.full(40, 600.0)}
BEAT = {"state": 5}


@pytest.mark.parametrize(
    ("telegram", "fields", "words"),
    [
        (
            Telegram.DIE_COMMAND,
            {"gap_um": np.where(np.arange(40) == 7, 3276.8, 600.0)},
            r"gap_um\[7\] = 3276.8 um.*3276.7",
        ),
        (Telegram.DIE_COMMAND, {"gap_um": np.where(np.arange(40) == 0, -0.1, 600.0)}, r"gap_um\[0\] = -0.1"),
        (Telegram.DIE_COMMAND, {"gap_um": np.where(np.arange(40) == 39, np.nan, 600.0)}, r"gap_um\[39\] = nan"),
        (Telegram.DIE_COMMAND, {"gap_um": np.where(np.arange(40) == 39, np.inf, 600.0)}, r"gap_um\[39\] = inf"),
        (Telegram.WET_PROFILE, {"film_um": np.full(80, 655.35)}, r"film_um\[0\] = 655.35.*655.34"),
        (Telegram.PUMP_COMMAND, {"ratio_rpm_per_mps": 112.0, "trim_pct": 30.1}, r"trim_pct = 30.1 %.*\[-30, 30\]"),
        (Telegram.PUMP_COMMAND, {"ratio_rpm_per_mps": 112.0, "trim_pct": math.nan}, "trim_pct = nan"),
        (Telegram.PUMP_COMMAND, {"ratio_rpm_per_mps": math.inf, "trim_pct": 0.0}, "ratio_rpm_per_mps = inf"),
        (Telegram.LINE_STATE, {"state": 7}, "state = 7.*value table"),
        (Telegram.PUMP_COMMAND, {"ratio_rpm_per_mps": 112.0, "trim_pct": "full"}, "^trim_pct = 'full': no number$"),
        (
            Telegram.PUMP_COMMAND,
            {"ratio_rpm_per_mps": [1.0, 2.0], "trim_pct": 0.0},
            "^ratio_rpm_per_mps = .*: no number$",
        ),
        (
            Telegram.PUMP_COMMAND,
            {"ratio_rpm_per_mps": 112.0, "trim_pct": -30.002},
            r"^trim_pct = -30.002 %: beyond \[-30, 30\]$",
        ),
        (
            Telegram.PUMP_COMMAND,
            {"ratio_rpm_per_mps": math.nan, "trim_pct": 0.0},
            r"^ratio_rpm_per_mps = nan rpm/\(m/s\): not finite$",
        ),
    ],
)
def test_nothing_saturates(telegram: Telegram, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(WireRangeError, match=words):
        shipped_codec().encode(telegram, fields, scan_id=0, counter=0)


@pytest.mark.parametrize(
    ("telegram", "fields", "words"),
    [
        (Telegram.DIE_COMMAND, {"gap_um": np.full(39, 600.0)}, r"shape \(39,\), expected \(40,\)"),
        (Telegram.DIE_COMMAND, {}, "gap_um is missing"),
        (Telegram.PUMP_FEEDBACK, {"ratio_rpm_per_mps": 112.0, "trim_pct": 0.0}, "speed_rpm is missing"),
        (Telegram.PUMP_COMMAND, {"trim_pct": 0.0}, "ratio_rpm_per_mps is missing"),
        (Telegram.DIE_COMMAND, {**GAP, "gap_mm": 1.0}, "unknown field gap_mm"),
    ],
)
def test_fields_that_do_not_fit_the_telegram(telegram: Telegram, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(WireError, match=words):
        shipped_codec().encode(telegram, fields, scan_id=0, counter=0)


@pytest.mark.parametrize("trim_pct", [30.0005, -30.0005, 30.0, -30.0])
def test_what_rounds_to_the_last_count_still_fits(trim_pct: float) -> None:
    fields = {"ratio_rpm_per_mps": 112.0, "trim_pct": trim_pct}
    got = receive(
        shipped_codec(),
        Telegram.PUMP_COMMAND,
        shipped_codec().encode(Telegram.PUMP_COMMAND, fields, scan_id=0, counter=0),
    )
    assert got["trim_pct"] == math.copysign(30.0, trim_pct)


def test_whoever_is_blamed_is_the_first_that_does_not_fit_and_else_the_telegram_is() -> None:
    codec = shipped_codec()
    ((_, message, _),) = codec.messages([Telegram.PUMP_COMMAND])
    fine = {"ratio_rpm_per_mps": 112.0, "trim_pct": 0.0}
    assert str(blamed(message, fine, OverflowError("too large"))) == "pump_command: too large"
    own = WireError("something else")
    assert blamed(message, fine, own) is own
    for name in fine:
        error = blamed(message, {**fine, name: 1e9}, OverflowError("too large"))
        assert isinstance(error, WireRangeError) and str(error).startswith(f"{name} = 1e+09")
    beyond = dict.fromkeys(fine, 1e9)
    assert "ratio_rpm_per_mps = " in str(blamed(message, beyond, OverflowError("too large")))
    missing = blamed(message, {"trim_pct": 0.0}, KeyError("ratio_rpm_per_mps"))
    assert str(missing) == "pump_command: field ratio_rpm_per_mps is missing"
    assert type(missing) is WireError


def test_what_rounds_to_a_count_of_the_signal_is_not_to_blame() -> None:
    """Half a count beyond either end; whoever stumbled then stumbled over something else."""
    ((_, message, _),) = shipped_codec().messages([Telegram.PUMP_COMMAND])
    trim = next(scalar for scalar in message.scalars if scalar.field.name == "trim_pct")
    (low, high), half = trim.bounds, trim.scale / 2
    for value, blames in (
        (low - half, False), (high + half, False), (low - 1.02 * half, True), (high + 1.02 * half, True),
    ):  # fmt: skip
        error = blamed(message, {"ratio_rpm_per_mps": 112.0, "trim_pct": value}, OverflowError("x"))
        assert str(error).startswith("trim_pct = ") is blames, value


def test_a_field_that_has_its_default_excuses_none_after_it() -> None:
    ((_, message, _),) = shipped_codec().messages([Telegram.LINE_STATE])
    assert [scalar.field.name for scalar in message.scalars] == ["state", "roll", "batch"]
    assert str(blamed(message, {"state": 1, "batch": 1e9}, OverflowError("x"))).startswith("batch = 1e+09")


def test_a_telegram_without_nodes_of_its_own_is_the_same_whoever_sends_it() -> None:
    fields = {"ratio_rpm_per_mps": 112.0, "trim_pct": 1.0}
    of_all, of_one = (
        shipped_codec().encode(Telegram.PUMP_COMMAND, fields, scan_id=1, counter=2, node=node) for node in (0, 5)
    )
    assert of_all == of_one


def test_a_node_s_own_telegram_is_read_back() -> None:
    codec = shipped_codec()
    back = codec.read_back(codec.encode(Telegram.HEARTBEAT, BEAT, scan_id=0, counter=8, node=int(Node.DIE)))
    assert back is not None and back["state"] == BEAT["state"]


def test_an_optional_field_without_a_number_for_a_default_is_missing_where_it_is_not_given() -> None:
    codec = shipped_codec()
    for telegram in Telegram:
        for _, message, _ in codec.messages([telegram]):
            for scalar in message.scalars:
                error = blamed(message, {}, KeyError("x"))
                first = next(
                    (s.field for s in message.scalars if s.field.required or math.isnan(s.field.default)), None
                )
                words = f"{telegram}: field {first.name} is missing" if first else f"{telegram}: 'x'"
                assert str(error) == words, scalar


def test_optional_fields_take_their_default() -> None:
    got = receive(
        shipped_codec(),
        Telegram.LINE_STATE,
        shipped_codec().encode(Telegram.LINE_STATE, {"state": 1}, scan_id=0, counter=0),
    )
    assert got == {"state": 1, "roll": 0, "batch": 0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"signal_map": {"die_command.gap": "X"}}, "unknown role 'die_command.gap'; nearest: 'die_command.gap_um'"),
        ({"signal_map": {"sync.t_us": "SyncTimes"}}, "sync.t_us: no signal SyncTimes in line.dbc; nearest: SyncTime"),
        ({"signal_map": {"die_command.gap_um": "GapTarget_{i:03d"}}, "die_command.gap_um: pattern"),
        ({"signal_map": {"die_command.gap_um": "GapTarget_000"}}, "names the same signal for several places"),
        ({"signal_map": {"sync.t_us": "Crc"}}, "sync.t_us: signal Crc is in several messages .* write Message.Signal"),
        ({"signal_map": {"sync.web_m": ""}}, "sync.web_m: no signal .left out."),
        ({"signal_map": {"sync.web_m": "WebSpeed"}}, "WebSpeed: unit 'm/s' for web_m, expected one of"),
        ({"signal_map": {"pump_command.trim_pct": "PumpTrim"}}, "carries both pump_command and pump_feedback"),
        ({"signal_map": {"*.crc": "Checksum"}}, "has no CRC signal"),
        ({"signal_map": {"rearm.epoch": "REARM.ScanId"}}, "message REARM: two roles of the map share bits"),
        ({"signal_map": {"*.counter": ""}}, "has no counter"),
        ({"signal_map": {"*.crc": "Counter"}}, "8 bits .* expected 16 in whole bytes"),
        ({"fd": False}, "CAN FD, but the bus is classic"),
        ({"data_ids": {"NO_SUCH": 1}}, "data_ids: no message NO_SUCH"),
        ({"dbc_path": Path("/nowhere.dbc")}, "dbc /nowhere.dbc"),
    ],
)
def test_a_map_that_does_not_fit_is_refused_by_name(change: dict[str, Any], words: str) -> None:
    with pytest.raises(WireError, match=words):
        Codec.compile(replace(WireDescription(), **change), 40, 80, 80)


def test_more_zones_than_the_dbc_has() -> None:
    with pytest.raises(WireError, match=r"die_command\.gap_um: no signal GapTarget_140"):
        Codec.compile(WireDescription(), 141, 0, 0)


def test_the_shipped_dbc_carries_140_zones_and_280_boxes() -> None:
    codec = Codec.compile(WireDescription(), 140, 280, 280)
    assert (len(codec.can_ids(Telegram.DIE_COMMAND)), len(codec.can_ids(Telegram.WET_PROFILE))) == (5, 10)


def test_optional_telegrams_and_gauges_may_be_missing() -> None:
    codec = foreign_codec()
    missing = {t for t in Telegram if not codec.carries(t)}
    assert missing == {
        Telegram.DIE_STATUS,
        Telegram.WET_META,
        Telegram.DRY_META,
        Telegram.SAFE_STOP,
        Telegram.REARM,
        Telegram.HEARTBEAT,
    }
    assert not Codec.compile(WireDescription(), 8, 0, 8).carries(Telegram.WET_PROFILE)
    with pytest.raises(WireError, match="rearm: not on this wire"):
        codec.encode(Telegram.REARM, {}, scan_id=0, counter=0)


def test_a_telegram_can_be_left_out_by_the_map() -> None:
    wire = WireDescription(signal_map={"die_status.zone_status": "", "wet_meta.boxes": ""})
    codec = Codec.compile(wire, 8, 8, 8)
    assert not codec.carries(Telegram.DIE_STATUS)


@pytest.mark.parametrize("web_m", [0.0, 12.345, -3.5])
def test_a_float_signal_in_a_telegram(tmp_path: Path, web_m: float) -> None:
    text = FOREIGN_DBC.read_text().replace("Weg : 7|32@0+ (1,0) [0|4294967295]", "Weg : 7|32@0- (1,0) [0|0]")
    path = tmp_path / "float.dbc"
    path.write_text(text + "SIG_VALTYPE_ 161 Weg : 1;\n")
    codec = Codec.compile(replace(FOREIGN, dbc_path=path), 24, 48, 48)
    sync = {"t_us": 100, "web_speed_mps": 1.0, "web_m": web_m, "encoder_valid": 1}
    frames = codec.encode(Telegram.SYNC, sync, scan_id=0, counter=0)
    assert database(path).decode_message(0x0A1, frames[1].data)["Weg"] == pytest.approx(web_m * 1000.0)
    assert receive(codec, Telegram.SYNC, frames)["web_m"] == pytest.approx(web_m)
    with pytest.raises(WireRangeError, match="web_m"):
        codec.encode(Telegram.SYNC, sync | {"web_m": 1e300}, scan_id=0, counter=0)


def test_data_ids_of_the_line_file_go_into_the_crc() -> None:
    codec = Codec.compile(WireDescription(data_ids={"REARM": 0xBEEF}), 8, 0, 8)
    (frame,) = codec.encode(Telegram.REARM, {"epoch": 1}, scan_id=0, counter=0)
    assert frame.data[:2] == crc16_bit_by_bit(frame.data[2:] + b"\xef\xbe").to_bytes(2, "little")


def test_without_integrity_no_crc_is_written_or_asked_for() -> None:
    codec = Codec.compile(replace(FOREIGN, integrity=Integrity.NONE), 24, 48, 48)
    (frame,) = codec.encode(Telegram.LINE_STATE, {"state": 1}, scan_id=0, counter=5)
    assert frame.data == bytes([3, 0, 0, 0, 0, 0, 5, 0])
    part = codec.decode(Frame(frame.can_id, frame.data[:7] + b"\x99", is_fd=False))
    assert part is not None and part.crc_ok


def test_a_line_of_partial_map_keeps_the_other_defaults() -> None:
    with pytest.raises(WireError, match=r"pump_command\.trim_pct: no signal PumpTrimTarget in foreign\.dbc"):
        Codec.compile(
            replace(FOREIGN, signal_map={k: v for k, v in FOREIGN_MAP.items() if k != "pump_command.trim_pct"}),
            24,
            48,
            48,
        )


@pytest.mark.parametrize(
    "frame",
    [
        Frame(0x7FF, bytes(64)),
        Frame(0x020, bytes(24), is_extended=True),
        Frame(0x040, bytes(8), is_fd=False, is_error=True),
    ],
)
def test_frames_that_are_not_ours(frame: Frame) -> None:
    assert shipped_codec().decode(frame) is None


def test_short_classic_and_misplaced_frames_count_as_corrupt() -> None:
    codec = shipped_codec()
    first, second = codec.encode(Telegram.DIE_COMMAND, GAP, scan_id=1, counter=1)
    wrong_kind = Frame(first.can_id, first.data, is_fd=False)
    short = Frame(first.can_id, first.data[:63])
    body = first.data[2:3] + b"\x01" + first.data[4:]  # says segment 1 under segment 0's identifier, with a right CRC
    crc = crc16_bit_by_bit(body + first.can_id.to_bytes(2, "little")).to_bytes(2, "little")
    for frame in (wrong_kind, short, Frame(first.can_id, crc + body), Frame(second.can_id, first.data)):
        part = codec.decode(frame)
        assert part is not None and not part.crc_ok and part.fields == {}


def test_of_a_corrupt_frame_nothing_is_believed_but_whose_it_would_be() -> None:
    codec = shipped_codec()
    for segment, frame in enumerate(codec.encode(Telegram.DIE_COMMAND, GAP, scan_id=7, counter=8)):
        part = codec.decode(frame._replace(data=frame.data[:10], t_s=4.5))
        expected = (Telegram.DIE_COMMAND, 0, segment, 2, 0, 0, False, {}, None, frame.can_id, 4.5)
        assert part == expected
    (beat,) = codec.encode(Telegram.HEARTBEAT, BEAT, scan_id=0, counter=8, node=int(Node.DIE))
    part = codec.decode(beat._replace(data=beat.data[:3]))
    assert part is not None and (part.node, part.segments, part.crc_ok) == (int(Node.DIE), 1, False)


def test_of_a_sound_frame_everything_is_told() -> None:
    codec = shipped_codec()
    for segment, frame in enumerate(codec.encode(Telegram.DIE_COMMAND, GAP, scan_id=7, counter=8)):
        part = codec.decode(frame._replace(t_s=4.5))
        assert part is not None and part.where is not None
        told = part._replace(fields={}, where=None)
        assert told == (Telegram.DIE_COMMAND, 0, segment, 2, 7, 8, True, {}, None, frame.can_id, 4.5)
        np.testing.assert_allclose(part.fields["gap_um"], np.asarray(GAP["gap_um"])[part.where], atol=0.05)
    (beat,) = codec.encode(Telegram.HEARTBEAT, BEAT, scan_id=0, counter=8, node=int(Node.DIE))
    part = codec.decode(beat)
    assert part is not None and (part.node, part.counter, part.where) == (int(Node.DIE), 8, None)


def test_a_frame_padded_by_the_controller_is_read() -> None:
    codec = shipped_codec()
    (frame,) = codec.encode(Telegram.REARM, {"epoch": 3}, scan_id=0, counter=0)
    part = codec.decode(Frame(frame.can_id, frame.data + bytes(4)))
    assert part is not None and part.crc_ok and part.fields == {"epoch": 3}


@given(st.binary(max_size=64), st.sampled_from([0x20, 0x41, 0x100, 0x180, 0x200, 0x300, 0x500, 0x702]))
def test_garbage_never_raises_and_hardly_ever_passes(data: bytes, can_id: int) -> None:
    part = shipped_codec().decode(Frame(can_id, data))
    assert part is not None and (not part.crc_ok or len(data) >= 16)


def test_values_beyond_the_range_of_a_signal_are_nan() -> None:
    codec = shipped_codec(3, 3, 3)
    (frame,) = codec.encode(Telegram.DIE_FEEDBACK, {"gap_um": [600.0, 0.0, 3276.7]}, scan_id=0, counter=0)
    body = frame.data[2:8] + (-1).to_bytes(2, "little", signed=True) + frame.data[10:]
    crc = crc16_bit_by_bit(body + (0x180).to_bytes(2, "little")).to_bytes(2, "little")
    part = codec.decode(Frame(0x180, crc + body))
    assert part is not None and part.crc_ok
    assert part.fields["gap_um"] == pytest.approx([math.nan, 0.0, 3276.7], nan_ok=True)


# ------------------------------------------------------------------------- what the wire is asked besides its frames

GAP_UM = [600.0 + 0.1 * zone for zone in range(40)]
DIE = {"gap_um": GAP_UM, "valid_until": 9}


def die_and_pump(codec: Codec) -> list[Frame]:
    fields = {name: DIE[name] for name in DIE if codec.has_field(Telegram.DIE_COMMAND, name)}
    pump = {field.name: 1.0 for field in FIELDS[Telegram.PUMP_COMMAND] if field.axis is Axis.SCALAR}
    return [
        *codec.encode(Telegram.DIE_COMMAND, fields, scan_id=3, counter=4),
        *codec.encode(Telegram.PUMP_COMMAND, pump, scan_id=0, counter=5),
    ]


def test_a_sender_reads_back_what_its_frames_will_carry() -> None:
    """Arrays of several frames and scalars of another telegram, after rounding to counts."""
    codec = shipped_codec()
    frames = die_and_pump(codec)
    back = codec.read_back(frames)
    assert back is not None
    assert back["gap_um"] == pytest.approx(GAP_UM, abs=0.5 * codec.count(Telegram.DIE_COMMAND, "gap_um") + 1e-9)
    assert back["trim_pct"] == pytest.approx(1.0, abs=codec.count(Telegram.PUMP_COMMAND, "trim_pct"))
    assert codec.read_back(frames[2:])["trim_pct"] == back["trim_pct"]  # type: ignore[index]
    assert "gap_um" not in (codec.read_back(frames[:1]) or {})  # the array's other half is missing
    assert codec.read_back([]) == {}


@pytest.mark.parametrize("spoil", ["a byte", "the identifier", "the kind of identifier", "the kind of frame"])
def test_frames_that_are_not_readable_are_not_read_back(spoil: str) -> None:
    codec = shipped_codec()
    first, *others = die_and_pump(codec)
    spoilt = {
        "a byte": first._replace(data=bytes([first.data[0] ^ 1]) + first.data[1:]),
        "the identifier": first._replace(can_id=0x7FE),
        "the kind of identifier": first._replace(is_extended=True),
        "the kind of frame": first._replace(is_fd=False),
    }[spoil]
    assert codec.read_back([first, *others]) is not None
    assert codec.read_back([spoilt, *others]) is None
    assert codec.read_back([*others, spoilt]) is None


def test_frames_with_long_identifiers_are_read_back_too() -> None:
    codec = foreign_codec()
    (long,) = [telegram for telegram in Telegram if codec.carries(telegram) and is_long(codec, telegram)][:1]
    fields: dict[str, Any] = {}
    for field in (field for field in FIELDS[long] if codec.has_field(long, field.name)):
        low = codec.bounds(long, field.name)[0]
        fields[field.name] = low if field.axis is Axis.SCALAR else np.full(codec.places(long), low)
    frames = codec.encode(long, fields, scan_id=0, counter=0)
    assert frames[0].is_extended and codec.read_back(frames) is not None


def is_long(codec: Codec, telegram: Telegram) -> bool:
    return all(extended for _, extended in codec.can_ids(telegram))


@pytest.mark.parametrize("codec_of", [shipped_codec, foreign_codec])
def test_messages_are_listed_by_identifier_with_their_plans(codec_of: Any) -> None:
    codec = codec_of()
    some = (Telegram.DIE_COMMAND, Telegram.SYNC)
    listed = codec.messages(some)
    assert [identifier for identifier, _, _ in listed] == [
        message.can_id | message.is_extended << 31 for _, message, _ in listed
    ]
    assert {plan.telegram for _, _, plan in listed} == set(some)
    assert all(message in plan.messages for _, message, plan in listed)
    assert {(m.can_id, m.is_extended) for _, m, _ in listed} == codec.can_ids(some[0]) | codec.can_ids(some[1])
    assert codec.messages(()) == []


def test_which_telegrams_group_their_frames_by_a_scan_id() -> None:
    shipped = shipped_codec()
    assert shipped.has_scan_id(Telegram.DIE_COMMAND) and shipped.scan_modulus(Telegram.DIE_COMMAND) > 1
    assert not foreign_codec().has_scan_id(Telegram.SYNC)
    assert shipped.carries(Telegram.HEARTBEAT) and not shipped.carries(Telegram.HEARTBEAT, 99)


def test_what_is_not_on_the_wire_is_an_error_that_names_it() -> None:
    codec = shipped_codec()
    for asked in (codec.count, codec.bounds):
        with pytest.raises(WireError, match=r"^sync\.gap_um: not on this wire$"):
            asked(Telegram.SYNC, "gap_um")
    with pytest.raises(WireError, match=r"^heartbeat: not on this wire for node 99$"):
        codec.plan(Telegram.HEARTBEAT, 99)


@pytest.mark.parametrize("codec_of", [shipped_codec, foreign_codec])
def test_the_load_is_that_of_every_frame_at_its_telegrams_rate(codec_of: Any) -> None:
    codec = codec_of()
    rates_hz = {Telegram.DIE_COMMAND: 10.0, Telegram.SYNC: 20.0}
    bit_rates = codec.wire.bitrate, codec.wire.data_bitrate
    expected = [
        (
            m.name,
            m.can_id,
            m.size,
            rates_hz.get(plan.telegram, 0.0),
            frame_time_s(m.size, m.is_fd, m.is_extended, *bit_rates),
        )
        for _, m, plan in codec.messages(tuple(Telegram))
    ]
    load = codec.bus_load(rates_hz)
    assert sorted((m.name, m.can_id, m.size, m.rate_hz, m.frame_s) for m in load.messages) == sorted(expected)
    assert load.total_pct == pytest.approx(sum(100.0 * rate_hz * frame_s for *_, rate_hz, frame_s in expected))
    assert load.total_pct > 0.0


def test_a_codec_knows_its_wire_and_its_sizes() -> None:
    codec = Codec.compile(FOREIGN, 24, 48, 48)
    assert codec.wire is FOREIGN
    assert (codec.zones, codec.wet_boxes, codec.dry_boxes) == (24, 48, 48)
    three = Codec.compile(WireDescription(), 9, 12, 15)
    assert (three.zones, three.wet_boxes, three.dry_boxes) == (9, 12, 15)
    sizes = [three.places(t) for t in (Telegram.DIE_COMMAND, Telegram.WET_PROFILE, Telegram.DRY_PROFILE, Telegram.SYNC)]
    assert sizes == [9, 12, 15, 0]


@pytest.mark.parametrize(
    ("codec_of", "telegram", "scan_id", "counter", "scan"),
    [
        (shipped_codec, Telegram.DIE_COMMAND, True, 256, 2**32),
        (shipped_codec, Telegram.HEARTBEAT, False, 256, 256),
        (foreign_codec, Telegram.DIE_COMMAND, False, 256, 256),
        (foreign_codec, Telegram.REARM, False, 0, 0),
    ],
)
def test_what_counts_the_frames_of_a_telegram_and_where_it_wraps(
    codec_of: Any, telegram: Telegram, scan_id: bool, counter: int, scan: int
) -> None:
    codec = codec_of()
    assert codec.has_scan_id(telegram) is scan_id
    assert (codec.counter_modulus(telegram), codec.scan_modulus(telegram)) == (counter, scan)


def test_a_telegram_that_is_not_on_the_wire_has_no_scan_id_however_many_others_have_one() -> None:
    codec = Codec.compile(WireDescription(signal_map={**DEFAULT_MAP, "safe_stop.reason": ""}), 40, 0, 0)
    assert not codec.carries(Telegram.WET_PROFILE) and not codec.has_scan_id(Telegram.WET_PROFILE)
    assert codec.scan_modulus(Telegram.WET_PROFILE) == codec.places(Telegram.WET_PROFILE) == 0


def test_one_count_and_the_ends_of_numbers_and_of_arrays() -> None:
    codec = shipped_codec()
    assert codec.count(Telegram.PUMP_COMMAND, "trim_pct") == 0.001
    assert codec.count(Telegram.DIE_COMMAND, "gap_um") == pytest.approx(0.1)
    assert codec.bounds(Telegram.PUMP_COMMAND, "trim_pct") == (-30.0, 30.0)
    assert codec.bounds(Telegram.DIE_COMMAND, "gap_um") == pytest.approx((0.0, 3276.7))


def test_where_places_of_an_array_differ_the_coarsest_count_and_the_narrowest_ends_are_told() -> None:
    codec = copy(shipped_codec())  # that one is everybody's
    own = codec._scaling(Telegram.DIE_COMMAND, "gap_um")
    scales = np.where(np.arange(40) == 7, 0.2, 0.1)
    uneven = replace(own, scale=scales)
    codec._scaling = lambda *_: uneven
    assert codec.count(Telegram.DIE_COMMAND, "gap_um") == 0.2
    ends = [uneven.bounds(place) for place in range(40)]
    assert len(set(ends)) == 2
    assert codec.bounds(Telegram.DIE_COMMAND, "gap_um") == (max(low for low, _ in ends), min(high for _, high in ends))


def test_who_sends_is_nobody_in_particular_unless_it_is_said() -> None:
    with pytest.raises(WireError, match=r"^heartbeat: not on this wire$"):
        shipped_codec().encode(Telegram.HEARTBEAT, BEAT, scan_id=0, counter=0)
    with pytest.raises(WireError, match=r"^heartbeat: not on this wire for node 99$"):
        shipped_codec().encode(Telegram.HEARTBEAT, BEAT, scan_id=0, counter=0, node=99)


def test_unknown_fields_are_named_beside_those_that_are_known() -> None:
    words = r"^pump_command: unknown field a_field, other; known: ratio_rpm_per_mps, trim_pct$"
    with pytest.raises(WireError, match=words):
        shipped_codec().encode(
            Telegram.PUMP_COMMAND, {"trim_pct": 0.0, "other": 1.0, "a_field": 2.0}, scan_id=0, counter=0
        )
