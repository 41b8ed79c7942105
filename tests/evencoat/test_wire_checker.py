"""The judge of commands on the wire: it must catch what breaks a limit, and must not cry wolf."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

import can
import cantools
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.envelope import Applied, Envelope, certify
from controller.line.command import UncertifiedCommand
from evencoat import wire_checker
from evencoat.settings import compile_codec, load_line, read_line, shipped_lines
from evencoat.wire_checker import WireChecker, check_log
from firmware_bridge.contract import SHIPPED_DBC, Telegram, WireDescription
from firmware_bridge.frames import Frame

LINE_40 = load_line("line-40")  # two segments a command; 480..720 um, 5 um/s, neighbours 50, bend 70, trim 8 %, 0.5 %/s
CODEC = compile_codec(LINE_40)
FLAT = np.full(40, 600.0)
RATIO = 112.1
DATABASE = cantools.database.load_file(str(SHIPPED_DBC))


class Wire:
    """A line's bus, written frame by frame. Every frame is kept, and shown to the checker."""

    def __init__(self) -> None:
        self.checker = WireChecker(LINE_40)
        self.cycle = 0
        self.frames: list[Frame] = []

    def put(self, telegram: Telegram, fields: dict[str, object], scan_id: int, keep: slice = slice(None)) -> None:
        for frame in CODEC.encode(telegram, fields, scan_id=scan_id, counter=self.cycle % 256)[keep]:  # type: ignore[arg-type]
            self.frames.append(frame)
            self.checker.see(frame)

    def sync(self, cycles: int = 1) -> None:
        self.cycle += cycles
        fields = {"t_us": 100_000 * self.cycle, "web_speed_mps": 1.0, "web_m": 0.1 * self.cycle, "encoder_valid": 1}
        self.put(Telegram.SYNC, fields, self.cycle)

    def feedback(self, gap_um: object = FLAT, trim_pct: float = 0.0) -> None:
        self.put(Telegram.DIE_FEEDBACK, {"gap_um": gap_um}, self.cycle)
        pump = {"ratio_rpm_per_mps": RATIO, "trim_pct": trim_pct, "speed_rpm": 112.0, "pressure_kpa": 200.0}
        self.put(Telegram.PUMP_FEEDBACK, {**pump, "temperature_c": 25.0}, self.cycle)

    def lips(self, gap_um: object, made_for: int | None = None, keep: slice = slice(None)) -> None:
        made_for = self.cycle if made_for is None else made_for
        self.put(Telegram.DIE_COMMAND, {"gap_um": gap_um}, made_for + 3, keep)

    def pump(self, trim_pct: float, ratio: float = RATIO) -> None:
        self.put(Telegram.PUMP_COMMAND, {"ratio_rpm_per_mps": ratio, "trim_pct": trim_pct}, self.cycle + 3)

    def walk(self, gaps_um: Iterable[object]) -> Wire:
        """One command a cycle."""
        for gap_um in gaps_um:
            self.sync()
            self.lips(gap_um)
        return self


def started(gap_um: object = FLAT) -> Wire:
    wire = Wire()
    wire.sync()
    wire.feedback(gap_um)
    return wire


def at(zone: int, gap_um: float, elsewhere: np.ndarray = FLAT) -> np.ndarray:
    moved = elsewhere.copy()
    moved[zone] = gap_um
    return moved


def test_commands_within_every_limit_are_counted_and_not_blamed() -> None:
    wire = started().walk(FLAT + 0.5 * k for k in range(1, 200))
    for k in range(100):
        wire.sync()
        wire.pump(0.05 * k)
    assert (wire.checker.violations, wire.checker.first) == (0, None)
    assert wire.checker.commands == 199 + 100


@pytest.mark.parametrize(
    ("start", "bad", "limit"),
    [
        (np.full(40, 719.8), np.full(40, 720.2), {"gap range"}),
        (np.full(40, 480.0), np.full(40, 479.9), {"gap range"}),
        (FLAT, at(7, 600.6), {"gap rate"}),
        (FLAT, at(39, 599.4), {"gap rate"}),
        (np.where(np.arange(40) < 20, 575.0, 625.0), np.where(np.arange(40) < 20, 574.9, 625.0), {"neighbour"}),
        (at(12, 635.0), at(12, 635.1), {"bend"}),
    ],
    ids=["above", "below", "rate up", "rate down", "neighbour", "bend"],
)
def test_each_limit_of_the_lips_is_caught(start: np.ndarray, bad: np.ndarray, limit: set[str]) -> None:
    wire = started(start).walk([start])
    assert wire.checker.violations == 0
    wire.walk([bad])
    assert set(wire.checker.by_limit) == limit
    assert wire.checker.violations == 1
    assert wire.checker.first is not None
    assert wire.checker.first.startswith(f"{next(iter(limit))}, 0.300 s of line time, at ")


@pytest.mark.parametrize(
    ("trims", "ratio", "limit"),
    [
        ([8.0, 8.001], RATIO, "pump trim"),
        ([-8.0, -8.001], RATIO, "pump trim"),
        ([0.0, 0.051], RATIO, "pump trim rate"),
        ([0.0, 0.0], 165.0 / (80 / 60) + 0.01, "pump ratio"),
    ],
)
def test_each_limit_of_the_pump_is_caught(trims: list[float], ratio: float, limit: str) -> None:
    wire = Wire()
    wire.sync()
    wire.feedback(trim_pct=trims[0])
    wire.sync()
    wire.pump(trims[0])
    assert wire.checker.violations == 0
    wire.sync()
    wire.pump(trims[1], ratio)
    assert wire.checker.by_limit == {limit: 1}


def test_a_bolt_found_outside_may_walk_back_and_may_stay_but_never_go_further() -> None:
    outside = np.full(40, 730.0)
    wire = started(outside).walk([outside, outside - 0.5, outside - 0.5, outside - 1.0])
    assert wire.checker.violations == 0
    wire.walk([outside - 0.9])
    assert wire.checker.by_limit == {"gap range": 1}


def test_a_walk_back_of_one_limit_excuses_no_other() -> None:
    outside = at(5, 730.0, np.full(40, 719.0))
    wire = started(outside).walk([outside, at(20, 719.5, outside)])
    assert wire.checker.violations == 0
    wire.walk([at(20, 720.0, outside), at(20, 720.1, outside)])
    assert wire.checker.by_limit == {"gap range": 1}


def test_the_first_command_is_measured_from_the_feedback() -> None:
    wire = started(at(3, 560.0)).walk([FLAT])
    assert wire.checker.by_limit == {"gap rate": 1}


def test_without_feedback_the_first_command_has_nothing_to_be_measured_from() -> None:
    wire = Wire().walk([at(3, 610.0), at(3, 610.5)])
    assert wire.checker.violations == 0


def test_a_restarted_controller_takes_over_from_where_the_bolts_really_are() -> None:
    """The last command asked 620, the bolt stuck at 602, the daemon died; its successor starts at 602."""
    wire = started().walk(at(9, 600.0 + 0.5 * k) for k in range(1, 41))
    wire.sync(10)
    wire.feedback(at(9, 602.0))
    wire.walk([at(9, 602.0), at(9, 601.5)])
    assert wire.checker.violations == 0
    wire.walk([at(9, 602.5)])
    assert wire.checker.by_limit == {"gap rate": 1}


def test_a_skipped_cycle_gives_time_for_two_steps_and_no_more() -> None:
    wire = started().walk([FLAT])
    wire.sync(2)
    wire.lips(FLAT + 1.0)
    assert wire.checker.violations == 0
    wire.sync(2)
    wire.lips(FLAT + 2.1)
    assert wire.checker.by_limit == {"gap rate": 1}


def test_a_command_that_comes_late_is_judged_by_the_cycle_it_was_made_for() -> None:
    """Made for cycle k, on the bus after SYNC k+1; the next one comes in time. Neither moved too fast."""
    wire = started().walk([FLAT])
    late = wire.cycle + 1
    wire.sync(2)
    wire.lips(FLAT + 0.5, made_for=late)
    wire.lips(FLAT + 1.0)
    assert wire.checker.violations == 0


def test_two_commands_for_one_cycle_are_one_too_many() -> None:
    wire = started().walk([FLAT])
    wire.lips(FLAT + 0.5)
    assert wire.checker.by_limit == {"gap rate": 1}


def test_claiming_ever_later_cycles_does_not_buy_speed() -> None:
    """A sender that counts its own cycles faster than SYNC does is caught by the line's time."""
    wire = started().walk([FLAT])
    for k in range(1, 40):
        if k % 2:
            wire.sync()
        wire.lips(FLAT + 0.5 * k, made_for=2 + k)
    assert wire.checker.by_limit["gap rate"] > 5


def test_commands_that_only_repeat_the_last_one_still_move_the_window_of_the_rate() -> None:
    """Four steps at once after three quiet cycles are within the rate, until the quiet cycles have left the window."""
    wire = started().walk([FLAT])
    made_for = wire.cycle
    wire.sync(3)
    for k in range(1, 11):
        wire.lips(FLAT + min(0.5 * k, 2.0), made_for=made_for + k)
    assert wire.checker.violations == 0
    wire.lips(FLAT + 2.0, made_for=made_for + 11)
    assert wire.checker.by_limit == {"gap rate": 1}
    assert wire.checker.first is not None and "over 10 commands in 0.000 s" in wire.checker.first


@given(seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0.0, 0.02, 0.3]))
@settings(max_examples=20, deadline=None)
def test_what_is_counted_does_not_depend_on_who_asks_when(seed: int, share: float) -> None:
    """Frames are read and judged many at a time: breaches, pauses, repeats and both groups mixed, asked for or not."""
    rng = np.random.default_rng(seed)
    wire, asked = started(), WireChecker(LINE_40)
    gap_um, trim_pct = FLAT, 0.0
    for _ in range(150):
        wire.sync(1 if rng.random() < 0.9 else int(rng.integers(0, 6)))
        if rng.random() < 0.1:
            wire.feedback(gap_um, trim_pct)
        if rng.random() < 0.5:
            gap_um = np.round(gap_um + rng.uniform(-1.0, 1.0, 40) * (40.0 if rng.random() < share else 0.4), 1)
        if rng.random() < 0.5:
            move_pct = float(rng.uniform(-1.0, 1.0)) * (6.0 if rng.random() < share else 0.04)
            trim_pct = round(min(max(trim_pct + move_pct, -20.0), 20.0), 3)
        wire.lips(gap_um, keep=slice(0, 1 if rng.random() < share else 2))
        wire.pump(trim_pct)
    for frame in wire.frames:
        asked.see(frame)
        assert asked.violations == sum(asked.by_limit.values())
    assert len(wire.frames) > wire_checker.TOGETHER
    assert (wire.checker.commands, wire.checker.by_limit) == (asked.commands, asked.by_limit)
    assert wire.checker.first == asked.first
    assert wire.checker.violations > 0 or share < 0.3


def test_half_a_command_is_no_command() -> None:
    wire = started().walk([FLAT])
    wire.sync()
    wire.lips(np.full(40, 900.0), keep=slice(0, 1))
    assert wire.checker.commands == 1
    wire.walk([FLAT])
    assert (wire.checker.commands, wire.checker.violations) == (2, 0)


def test_frames_that_are_no_commands_are_passed_over() -> None:
    wire = started().walk([FLAT])
    good = wire.frames[-1]
    for frame in (
        Frame(0x7FF, b"\0" * 8),
        Frame(good.can_id, good.data[:10]),
        Frame(good.can_id, good.data, is_extended=True),
        Frame(good.can_id, good.data, is_error=True),
    ):
        wire.checker.see(frame)
    assert (wire.checker.commands, wire.checker.violations) == (1, 0)


@given(st.lists(st.integers(0, 32767), min_size=40, max_size=40))
@settings(max_examples=60, deadline=None)
def test_bits_are_read_as_cantools_reads_them(counts: list[int]) -> None:
    sources = wire_checker._sources(wire_checker.SignalTable(LINE_40.wire), 40)
    read = np.zeros(40)
    for segment in range(2):
        message = DATABASE.get_message_by_name(f"DIE_CMD_{segment}")
        data = np.array([*counts, *[0] * 16][28 * segment : 28 * segment + 28], dtype="<i2").tobytes()
        frame = bytes([1, 2, 3, segment, 9, 0, 0, 0]) + data
        source = sources[message.frame_id]
        values = source.decode(frame)
        assert values is not None and values is source.decode(frame)
        expected = message.decode(frame, decode_choices=False)
        zones = source.places
        read[zones] = values
        assert [expected[f"GapTarget_{zone:03d}"] for zone in zones] == pytest.approx(values.tolist())
        assert source.scan_id(frame) == expected["ScanId"] == 9
    assert read == pytest.approx(0.1 * np.array(counts))


@given(seed=st.integers(0, 2**32 - 1), outside=st.booleans(), size=st.sampled_from([1.0, 20.0, 200.0]))
@settings(max_examples=25, deadline=None)
def test_what_the_envelope_certifies_breaks_no_limit(seed: int, outside: bool, size: float) -> None:
    """Two authors, one table of limits: the envelope's commands, on the wire, pass the judge; wishes do not matter."""
    rng = np.random.default_rng(seed)
    start = np.round(FLAT + rng.normal(0.0, 60.0 if outside else 5.0, 40), 1)
    envelope, last = Envelope.of(LINE_40.line), Applied(start, RATIO, 0.0)
    wire = started(start)
    for _ in range(12):
        wish = UncertifiedCommand(FLAT + rng.normal(0.0, size, 40), RATIO, float(rng.normal(0.0, 10.0)))
        cycles = int(rng.integers(1, 4)) if wire.checker.commands else 1  # the first follows fresh feedback
        command, _, _ = certify(envelope, wish, last, 0.1 * cycles, 0)
        last = Applied(command.gap_um, command.pump_ratio_rpm_per_mps, command.pump_trim_pct)
        wire.sync(cycles)
        wire.lips(command.gap_um)
        wire.pump(command.pump_trim_pct, command.pump_ratio_rpm_per_mps)
    assert (wire.checker.violations, wire.checker.first) == (0, None)


def test_a_candump_log_is_judged_like_the_live_bus(tmp_path: Path) -> None:
    """python-can writes the log, we read it: one too fast move, and a last line that a kill cut short."""
    wire = started().walk([FLAT, FLAT + 0.5, FLAT + 5.0])
    path = tmp_path / "frames.log"
    with can.CanutilsLogWriter(path) as log:
        for k, frame in enumerate(wire.frames):
            log.on_message_received(
                can.Message(1000.0 + k, frame.can_id, data=frame.data, is_extended_id=False, is_fd=True)
            )
        log.on_message_received(can.Message(2000.0, 0x123, data=b"\1", is_extended_id=False, is_remote_frame=True))
        log.on_message_received(can.Message(2000.0, 0, is_error_frame=True))
    path.write_text(path.read_text() + "(2001.000000) can0 100##1" + "00" * 20 + "0")
    checker = check_log(LINE_40, path)
    assert (checker.commands, checker.by_limit) == (3, {"gap rate": 1}) == (3, wire.checker.by_limit)


OWN_DBC = """VERSION ""
BU_: PLC
BO_ 80 Takt: 8 PLC
 SG_ Zeit : 7|32@0+ (1,0) [0|0] "ms" PLC
BO_ 2147483937 Pumpe: 8 PLC
 SG_ Verhaeltnis : 7|16@0+ (0.01,0) [0|0] "rpm/(m/min)" PLC
 SG_ Trimm : 23|16@0- (0.0001,0) [0|0] "1" PLC
BO_ 2147483938 PumpeIst: 8 PLC
 SG_ VerhaeltnisIst : 7|16@0+ (0.01,0) [0|0] "rpm/(m/min)" PLC
 SG_ TrimmIst : 23|16@0- (0.0001,0) [0|0] "1" PLC
"""


def own_line(folder: Path) -> str:
    """pilot-16 behind a PLC's own DBC: Motorola order, German names counted from 1, millimetres, no scan id."""
    text = OWN_DBC
    for kind, base in (("Soll", 512), ("Ist", 640)):
        for k in range(4):
            text += f"BO_ {base + k} Lippe{kind}{k}: 8 PLC\n"
            for j in range(4):
                text += f' SG_ Spalt{kind}{4 * k + j + 1} : {16 * j + 7}|16@0- (0.0001,0.5) [0|0] "mm" PLC\n'
    (folder / "plc.dbc").write_text(text)
    table = {
        "sync.t_us": "Zeit",
        "pump_command.ratio_rpm_per_mps": "Verhaeltnis",
        "pump_command.trim_pct": "Pumpe.Trimm",
        "pump_feedback.ratio_rpm_per_mps": "VerhaeltnisIst",
        "pump_feedback.trim_pct": "TrimmIst",
        "die_command.gap_um": "SpaltSoll{n}",
        "die_feedback.gap_um": "SpaltIst{n}",
    }
    lines = "".join(f'"{role}" = "{name}"\n' for role, name in table.items())
    text = shipped_lines()["pilot-16"].read_text().replace("[bus]", '[bus]\ndbc = "plc.dbc"')
    return f"{text}\n[bus.map]\n{lines}"


def test_another_dbc_with_other_names_units_and_byte_order(tmp_path: Path) -> None:
    line = read_line(own_line(tmp_path), tmp_path / "own.toml")
    database = cantools.database.load_file(str(tmp_path / "plc.dbc"))
    checker = WireChecker(line)

    def send(name: str, **values: float) -> None:
        message = database.get_message_by_name(name)
        data = message.encode(values, strict=False)
        checker.see(Frame(message.frame_id, bytes(data), is_fd=False, is_extended=message.is_extended_frame))

    def lips(kind: str, gap_um: float) -> None:
        for k in range(4):
            send(f"Lippe{kind}{k}", **{f"Spalt{kind}{4 * k + j + 1}": gap_um / 1000.0 for j in range(4)})

    lips("Ist", 500.0)
    for k, gap_um in enumerate([500.0, 500.2, 500.4, 600.1]):  # 2 um/s: 0.2 um a cycle; the last breaks rate and range
        send("Takt", Zeit=1000 + 100 * k)
        lips("Soll", gap_um)
        send("Pumpe", Verhaeltnis=196.5 / 60.0, Trimm=0.0005 * k)
    assert checker.by_limit == {"gap range": 1, "gap rate": 1}
    assert checker.commands == 8


def test_a_map_that_names_no_signal_is_refused_with_role_and_name(tmp_path: Path) -> None:
    text = own_line(tmp_path).replace("SpaltSoll{n}", "SpaltSoll{i}")
    with pytest.raises(ValueError, match=r"die_command\.gap_um.*SpaltSoll0"):
        WireChecker(read_line(text, tmp_path / "own.toml"))
    text = own_line(tmp_path)
    (tmp_path / "plc.dbc").write_text((tmp_path / "plc.dbc").read_text().replace('"ms"', '"fortnight"'))
    with pytest.raises(ValueError, match=r"sync\.t_us: unit 'fortnight'"):
        WireChecker(read_line(text, tmp_path / "own.toml"))


def test_a_log_with_garbage_in_it_is_judged_beside_the_garbage(tmp_path: Path) -> None:
    whole, spoilt = tmp_path / "whole.log", tmp_path / "spoilt.log"
    frames = CODEC.encode(Telegram.DIE_COMMAND, {"gap_um": FLAT}, scan_id=1, counter=1)
    whole.write_text("".join(f"(1.0) vcan0 {frame.can_id:03X}##1{frame.data.hex()}\n" for frame in frames))
    spoilt.write_bytes(b"\xff\x81 no text at all\n" + whole.read_bytes())
    assert check_log(LINE_40, spoilt).commands == check_log(LINE_40, whole).commands == 1


def test_what_is_no_dbc_is_refused_with_its_place(tmp_path: Path) -> None:
    broken = tmp_path / "broken.dbc"
    broken.write_text(SHIPPED_DBC.read_text().replace("SG_ GapTarget_003", "SG_ GapTarget_003 ?"))
    with pytest.raises(ValueError, match=r"broken\.dbc: .*line \d+"):
        wire_checker.SignalTable(WireDescription(dbc_path=broken))


def test_the_judge_shares_no_code_with_those_it_judges() -> None:
    tree = ast.parse(Path(wire_checker.__file__).read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    ours = {module for module in modules if module.split(".")[0] in ("controller", "firmware_bridge", "plant_sim")}
    assert ours == {"controller.line.description", "firmware_bridge.contract", "firmware_bridge.frames"}
