"""`evencoat check`: figures worked out by hand, and a refusal for everything that would not work on the bus."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from controller.line.description import Doubt, LawName
from evencoat.check import CheckReport, Level, render, telegram_rates_hz, verdict
from evencoat.settings import Settings, compile_codec, load_line, read_line, shipped_lines
from firmware_bridge.contract import Telegram

LINE_40 = load_line("line-40")
REPORT_40 = verdict(LINE_40)


def refused(report: CheckReport, subject: str) -> str:
    found = [f.text for f in report.findings if f.level is Level.REFUSED and f.subject == subject]
    assert found, report.findings
    assert not report.ok
    return found[0]


def printed(report: CheckReport) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(render(report))
    return console.export_text()


def with_gate(settings: Settings, **parts: float) -> Settings:
    return replace(settings, gate=replace(settings.gate, **parts))


@pytest.mark.parametrize("name", list(shipped_lines()))
def test_every_shipped_line_may_run_without_a_warning(name: str) -> None:
    report = verdict(load_line(name))
    assert report.ok
    assert report.findings == ()
    assert report.bus_load_pct < 15.0
    assert report.gate.refused == 0


def test_the_bus_load_of_line_40_by_hand() -> None:
    """Frame times at 500 kbit/s and 2 Mbit/s in the worst case of stuffing, times frames a second.

    64 bytes: 34 bits slow, 5 + 512 + 4 + 21 + 7 + 129 = 678 bits fast: 68 + 339 = 407 us; 24: 68 + 138.5 us;
    32: 68 + 178.5 us; 16: 68 + 95.5 us.
    """
    b64, b32, b24, b16 = 407.0e-6, 246.5e-6, 206.5e-6, 163.5e-6
    by_hand = {
        "sync": 10 * b24, "line_state": 10 * b16, "pump_command": 10 * b24, "pump_feedback": 10 * b24,
        "die_command": 20 * b64, "die_feedback": 20 * b64, "die_status": 10 * b24, "wet_profile": 30 * b64,
        "wet_meta": 10 * b32, "dry_profile": 3 * b64, "dry_meta": 1 * b32, "heartbeat": 60 * b16,
    }  # fmt: skip
    rows = {row.telegram: row.load_pct for row in REPORT_40.bus}
    assert rows == pytest.approx({name: 100.0 * load for name, load in by_hand.items()}, rel=0.01)
    assert REPORT_40.bus_load_pct == pytest.approx(100.0 * sum(by_hand.values()), rel=0.01)


def test_a_crowded_bus_is_refused_and_the_worst_telegram_named() -> None:
    settings = replace(LINE_40, wire=replace(LINE_40.wire, max_load_pct=5.0))
    text = refused(verdict(settings), "bus.max_load_pct")
    assert "accepted are 5 %" in text
    assert "wet_profile" in text


def test_identifiers_of_canopen_nodes_on_the_same_bus_are_refused() -> None:
    """Node 1 of CANopen heartbeats on 0x701 and receives on 0x201: both are ours."""
    text = refused(verdict(replace(LINE_40, canopen_nodes=(1,))), "bus.canopen_nodes")
    assert "0x100" in text  # TIME
    assert "0x201" in text
    far = verdict(replace(LINE_40, canopen_nodes=(100,)))
    assert "0x764" not in refused(far, "bus.canopen_nodes")


def test_a_map_that_fits_no_dbc_is_a_finding_and_not_a_crash() -> None:
    settings = replace(LINE_40, wire=replace(LINE_40.wire, signal_map={"die_command.gap_um": "NoSuch_{i}"}))
    report = verdict(settings)
    assert "NoSuch_0" in refused(report, "bus.map")
    assert report.bus == ()
    json.dumps(report.as_dict())


def test_a_command_step_that_is_no_whole_count_is_refused() -> None:
    lips = replace(LINE_40.line.lips, command_step_um=0.25, resolution_um=0.25)
    report = verdict(replace(LINE_40, line=replace(LINE_40.line, lips=lips)))
    assert "0.25 um is no whole number of counts of 0.1 um" in refused(report, "lips.command_step_um")


def test_values_beyond_their_signal_are_refused() -> None:
    lips = replace(LINE_40.line.lips, gap_max_um=4000.0)
    report = verdict(replace(LINE_40, line=replace(LINE_40.line, lips=lips)))
    assert "480..4000" in refused(report, "die_command.gap_um")


def test_a_gate_narrower_than_the_envelope_is_refused_by_table_and_by_trial() -> None:
    """settings refuse such a file already; check proves it again, and against the real gate."""
    report = verdict(with_gate(LINE_40, step_max_um=0.4, neighbour_max_um=45.0))
    limits = {row.limit for row in report.gate.rows if not row.contained}
    assert limits == {"step a command, um", "neighbour, um"}
    assert report.gate.refused > 0
    assert report.gate.first_refusal
    refused(report, "gate")


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        ("gap_max_um", 719.5),
        ("gap_min_um", 480.5),
        ("step_max_um", 0.4),
        ("neighbour_max_um", 49.0),
        ("bend_max_um", 69.0),
        ("pump_trim_max_pct", 7.99),
        ("pump_trim_step_pct", 0.04),
    ],
)
def test_the_trial_reaches_the_corners_of_the_envelope(limit: str, value: float) -> None:
    """A gate a little too narrow in one limit must be hit by the trial too, or the trial proves nothing."""
    assert verdict(with_gate(LINE_40, **{limit: value})).gate.refused > 0


def test_what_line_40_can_control_by_hand() -> None:
    """(2 + 1/0.6) 0.4 / 600 = 0.2444 % a um; 2 x 1000 x 0.441 / 45 = 19.6 shapes; +-3 % is +-12.27 um of 240."""
    ability = REPORT_40.ability
    assert ability.local_gain_pct_per_um == pytest.approx(0.24444, abs=1e-5)
    assert ability.smallest_step_pct == pytest.approx(0.04889, abs=1e-5)
    assert ability.wet_film_um == pytest.approx(179.39, abs=0.01)
    assert ability.modes_all == 39
    assert ability.modes_by_rule == pytest.approx(19.6, abs=0.01)
    assert ability.range_share_long_pct == pytest.approx(10.227, abs=0.001)
    assert ability.traverse_s == pytest.approx(48.0)
    assert ability.shortest_wave_mm == pytest.approx(2000.0 / ability.modes_used, rel=0.05)
    assert ability.range_share_long_pct < ability.range_share_short_pct
    # 1 % absolute of 58 % solids is 1.724 %, and the slurry gets denser, 1.73 times that: 8 % are 2.68 % absolute
    assert ability.solids_reach_pct == pytest.approx(8.0 / (1.73 / 0.58), rel=1e-6)
    assert ability.pump_reserve_pct == pytest.approx(100 * (1 - 161.45 / 165.0), abs=0.01)


def test_what_the_dead_time_costs_by_hand() -> None:
    wet, dry = REPORT_40.ability.gauges
    assert (wet.name, wet.dead_time_s, dry.name, dry.dead_time_s) == ("wet", 3.0, "dry", 63.0)
    assert wet.out_of_reach_pct[60.0] == pytest.approx(9.516, abs=1e-3)  # 1 - exp(-0.1)
    assert dry.out_of_reach_pct[1200.0] == pytest.approx(9.967, abs=1e-3)  # 1 - exp(-0.105)
    assert wet.zone_noise_pct == pytest.approx(0.4 / 2**0.5)


def test_a_poorly_known_alignment_takes_shapes_away() -> None:
    """Waves below six times the uncertainty are left alone: 40 mm leaves 240 mm and longer, about 2000/240 shapes."""
    die = replace(LINE_40.line.die, alignment_uncertainty_mm=40.0)
    ability = verdict(replace(LINE_40, line=replace(LINE_40.line, die=die))).ability
    assert ability.modes_used == ability.modes_by_alignment < ability.modes_by_gain
    assert ability.shortest_wave_mm >= 240.0
    assert 6 <= ability.modes_used <= 9


def test_a_line_that_can_control_nothing_is_refused() -> None:
    die = replace(LINE_40.line.die, alignment_uncertainty_mm=2000.0)
    report = verdict(replace(LINE_40, line=replace(LINE_40.line, die=die)))
    refused(report, "die.alignment_uncertainty_mm")
    assert report.ability.modes_used == 0
    assert render(report) is not None


def test_what_will_disappoint_is_a_warning() -> None:
    line = LINE_40.line
    slow = replace(
        line,
        control=replace(line.control, closed_loop_md_s=1.0, dead_band_um=5.0),
        lips=replace(line.lips, resolution_um=2.0),
    )
    report = verdict(replace(LINE_40, line=slow))
    subjects = {finding.subject for finding in report.findings if finding.level is Level.WARNING}
    assert subjects == {"control.closed_loop_md_s", "control.dead_band_um", "lips.resolution_um"}
    assert report.ok


def test_the_rates_are_those_of_the_line() -> None:
    rates = telegram_rates_hz(load_line("pilot-16"))
    assert (rates[Telegram.WET_PROFILE], rates[Telegram.DRY_PROFILE]) == (5.0, 1.0)
    text = shipped_lines()["pilot-16"].read_text()
    start, end = text.index("[gauges.wet]"), text.index("[gauges.dry]")
    dry_only = read_line(text[:start] + text[end:], Path("dry.toml"))
    assert Telegram.WET_PROFILE not in telegram_rates_hz(dry_only)
    assert [gauge.name for gauge in verdict(dry_only).ability.gauges] == ["dry"]
    assert compile_codec(dry_only).wet_boxes == 0


def test_the_report_is_plain_data_and_prints_its_findings() -> None:
    report = verdict(replace(LINE_40, wire=replace(LINE_40.wire, max_load_pct=5.0)))
    plain = json.loads(json.dumps(report.as_dict()))
    assert plain["ok"] is False
    assert plain["line"] == "line-40"
    assert plain["findings"][0]["level"] == "refused"
    text = printed(report)
    for words in ("line-40 is refused", "bus.max_load_pct", "contains the envelope", "Waves down to", "die_command"):
        assert words in text


def test_how_wrong_line_40_may_be_by_hand() -> None:
    """Delay alone: the closed-loop time of the strongest mode, 8 s, and of the slowed law below, 16 s. Gain alone: 2 by
    the small gain. Alignment: at least a sixth of the finest wave of 2.05 zones, and below a quarter."""
    own, slowed = REPORT_40.certified
    assert (own.closed_loop_cd_s, slowed.closed_loop_cd_s) == (8.0, 16.0)
    assert own.delay_s == pytest.approx(8.0, rel=0.03)
    assert slowed.delay_s == pytest.approx(16.0, rel=0.03)
    assert own.gain_factor == pytest.approx(2.0, rel=0.03)
    pitch_mm = LINE_40.line.die.zone_pitch_mm
    assert 2.05 / 6.0 < own.alignment_mm / pitch_mm < 2.05 / 4.0
    assert 0.2 < own.together_share < 1.0
    assert own.deviations is None


def test_what_was_found_is_held_against_the_region() -> None:
    """In gain alone, ln 2 over the deviation: 34 of 2 %, of which no more than ten are counted; 3.5 of 20 %."""
    for gain, deviations in ((0.02, 10.0), (0.2, math.log(2.0) / 0.2)):
        die = replace(LINE_40.line.die, doubt=Doubt(gain=gain))
        report = verdict(replace(LINE_40, line=replace(LINE_40.line, die=die)))
        assert report.certified[0].deviations == pytest.approx(deviations, rel=0.03)
        least_s = report.certified[0].least_s
        assert least_s is not None and least_s <= 8.0 and json.loads(json.dumps(report.as_dict()))
        assert f"{report.certified[0].deviations:.1f} standard deviations" in " ".join(printed(report).split())


def test_a_doubt_that_asks_for_more_time_gets_it_and_one_that_no_time_helps_is_said_so() -> None:
    """Delay wrong by 12 s: the strongest mode takes 12 s. A whole zone out of line: no time is long enough."""
    for doubt, closed_s, least_s in (
        (Doubt(delay_s=12.0), 8.0 * 1.25**2, pytest.approx(12.0, rel=0.03)),
        (Doubt(shift_pitches=1.0), 64.0, None),
    ):
        die = replace(LINE_40.line.die, doubt=doubt)
        own = verdict(replace(LINE_40, line=replace(LINE_40.line, die=die))).certified[0]
        assert own.closed_loop_cd_s == pytest.approx(closed_s)
        assert own.least_s == least_s


def test_a_pi_is_not_certified() -> None:
    line = replace(LINE_40.line, control=replace(LINE_40.line.control, law=LawName.PI))
    report = verdict(replace(LINE_40, line=line))
    assert report.certified == ()
    assert "lips' loop certified" not in printed(report)
    assert "lips' loop certified" in printed(REPORT_40)
