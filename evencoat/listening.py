"""What a line's bus says, judged before any loop closes over it: alive, sound, and of the size to be expected.

A bound here is a doubt, not a limit: it is wide enough for a line at work and narrow enough for a slipped unit, a
gauge that stands still, or boxes where the web is not. evencoat.first_hour_commands shows it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from controller.line.description import Array, GaugeDescription, LineDescription
from controller.line.profile import LineState
from firmware_bridge.contract import FIELDS, HeartbeatState, Node, NodeState, Telegram, ZoneStatus
from firmware_bridge.watch import ASKED, BusWatch, Heard

RATE_SLACK = 0.25  # of the expected rate, before it is doubted
FEW_TELEGRAMS = 5  # from which on a rate says something
FROZEN_TELEGRAMS = 3  # so many profiles in a row the same to the bit: no gauge that looks at a web does that
BLIND_MOST = 0.25  # share of boxes without a value
OFF_MOST = 0.3  # of what the recipe makes, before a size is doubted
EDGE_BOXES = 2  # on each side that may lie off the web beyond the masked ones
EDGE_LEAST = 0.7  # of the middle: boxes that read less do not lie on the web
FULL_PCT = 105.0  # of the fastest web
TENTHS = (0.001, 0.01, 0.1, 10.0, 100.0, 1000.0, 60.0, 1.0 / 60.0, 25.4, 1.0 / 25.4)  # slips of units


@dataclass(frozen=True, slots=True)
class Row:
    """One telegram as it is shown. `doubts`: why its values are not plausible; empty where they are."""

    telegram: str
    expected_hz: float | None
    rate_hz: float
    state: str  # alive, missing, silent, faulty, not asked for
    errors: dict[str, int]
    values: str
    doubts: tuple[str, ...]

    @property
    def missing(self) -> bool:
        return self.state not in ("alive", "not heard")


@dataclass(frozen=True, slots=True)
class Heardsay:
    """All that was heard. ok: every telegram that the line needs is alive, and nothing is in doubt."""

    frames: int
    strange: int  # with identifiers that this line's map does not have
    bus_errors: int
    pace: float | None  # line seconds in a second of wall time; None before two SYNCs
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        return not any(row.missing or row.doubts for row in self.rows)


def judged(watch: BusWatch, line: LineDescription) -> Heardsay:
    """What a watch has heard by now."""
    heard = {(one.telegram, one.node): one for one in watch.look()}
    runs = _runs(heard)
    rows = tuple(_row(one, line, heard, runs) for one in heard.values())
    notes = []
    if not watch.frames:
        notes.append("not a single frame came: is the bus up, and its bit rate right?")
    if heard[Telegram.SYNC, 0].times and not runs:
        notes.append("the line stands: profiles and pump are not judged")
    if any(heard[t, 0].times for t in (Telegram.DIE_COMMAND, Telegram.PUMP_COMMAND)):
        notes.append("somebody commands this line: end that before a controller of ours does")
    wall_0, line_0 = watch.first.get("sync", (0.0, 0.0))
    wall_s = watch.sync_wall_s - wall_0
    pace = (watch.now_s - line_0) / wall_s if wall_s > 0.0 else None
    return Heardsay(watch.frames, watch.strange, watch.errors, pace, rows, tuple(notes))


def _runs(heard: dict[tuple[Telegram, int], Heard]) -> bool:
    sync, state = heard[Telegram.SYNC, 0], heard[Telegram.LINE_STATE, 0]
    return bool(sync.fields.get("web_speed_mps", 0.0) > 0.0 and state.fields.get("state") == LineState.RUNNING)


def _row(one: Heard, line: LineDescription, heard: dict[tuple[Telegram, int], Heard], runs: bool) -> Row:
    name = str(one.telegram).replace("_", " ")
    if one.telegram is Telegram.HEARTBEAT:
        named = Node(one.node).name.lower().replace("_", " ") if one.node in set(Node) else f"node {one.node}"
        name = f"heartbeat of {named}"
    doubts = [*_rate(one), *_doubts(one, line, heard, runs)] if one.times else []
    errors = one.link.errors if one.link is not None else {}
    return Row(name, one.expected_hz, one.rate_hz, _state(one), errors, _values(one), tuple(doubts))


def _state(one: Heard) -> str:
    if one.expected_hz is None or one.telegram in ASKED:
        return "alive" if one.times else "not heard"
    if one.times == 0:
        return "faulty" if one.link is not None and one.link.errors else "missing"
    return "alive" if one.alive or one.link is None else str(one.link.state)


def _rate(one: Heard) -> Iterator[str]:
    if one.expected_hz is None or one.times < FEW_TELEGRAMS:
        return
    if abs(one.rate_hz / one.expected_hz - 1.0) > RATE_SLACK:
        yield f"{one.rate_hz:.3g} a second, expected {one.expected_hz:.3g}"


def _values(one: Heard) -> str:
    """The newest values in words, with their units; of an array smallest, middle and largest."""
    units = {known.name: known.unit for known in FIELDS[one.telegram]}
    return ", ".join(f"{name} {_value(value, units[name])}" for name, value in one.fields.items() if name in units)


def _value(value: Any, unit: str) -> str:
    if unit == "us":
        return f"{1e-6 * value:.1f} s"
    if not isinstance(value, np.ndarray):
        return f"{value:.6g} {unit}".strip()
    seen = value[np.isfinite(value)]
    if not seen.size:
        return f"none of {value.size}"
    told = f"{seen.min():.4g}..{np.median(seen):.4g}..{seen.max():.4g} {unit}".strip()
    return told if seen.size == value.size else f"{told}, {seen.size} of {value.size}"


# --- plausible or not --------------------------------------------------------------------------------------------


def _doubts(one: Heard, line: LineDescription, heard: dict[tuple[Telegram, int], Heard], runs: bool) -> Iterator[str]:
    match one.telegram:
        case Telegram.SYNC:
            yield from _web(one, line)
        case Telegram.LINE_STATE:
            if one.fields["state"] not in set(LineState):
                yield f"state {one.fields['state']:g} is none of {', '.join(s.name for s in LineState)}"
        case Telegram.PUMP_FEEDBACK:
            yield from _pump(one, line, heard[Telegram.SYNC, 0], runs)
        case Telegram.DIE_FEEDBACK:
            yield from _lips(one.fields["gap_um"], line)
        case Telegram.DIE_STATUS:
            flags = np.nan_to_num(np.asarray(one.fields["zone_status"])).astype(np.int64)
            yield from _named("zones report a fault", (flags & int(ZoneStatus.FAULT | ZoneStatus.STALE)) != 0)
        case Telegram.WET_PROFILE if line.wet_gauge and runs:
            film_um = line.target.areal_density_gsm / line.slurry.areal_density_gsm_per_um
            yield from _profile(one, "film_um", "um", film_um, line.wet_gauge, line)
        case Telegram.DRY_PROFILE if line.dry_gauge and runs:
            target_gsm = line.target.areal_density_gsm
            yield from _profile(one, "areal_density_gsm", "g/m2", target_gsm, line.dry_gauge, line)
        case Telegram.WET_META if line.wet_gauge:
            yield from _meta(one, line.wet_gauge, heard)
        case Telegram.DRY_META if line.dry_gauge:
            yield from _meta(one, line.dry_gauge, heard)
        case Telegram.HEARTBEAT if one.fields["state"] == HeartbeatState.STOPPED:
            yield "stopped: it waits for REARM"


def _web(one: Heard, line: LineDescription) -> Iterator[str]:
    speed_mps, most_mps = one.fields["web_speed_mps"], FULL_PCT / 100.0 * line.web_speed_max_mps
    if not one.fields.get("encoder_valid", 1):
        yield "the encoder says that it is not valid"
    if not 0.0 <= speed_mps <= most_mps:
        yield f"web_speed_mps {speed_mps:.4g}: outside 0..{most_mps:.4g}{_slip(speed_mps, line.web_speed_mps)}"


def _pump(one: Heard, line: LineDescription, sync: Heard, runs: bool) -> Iterator[str]:
    told, needed = one.fields, line.pump_ratio_nominal_rpm_per_mps
    ratio, speed_rpm = told["ratio_rpm_per_mps"], told.get("speed_rpm", math.nan)
    if runs and not abs(ratio / needed - 1.0) <= OFF_MOST:
        yield f"ratio_rpm_per_mps {ratio:.4g}: the recipe needs {needed:.4g}{_slip(ratio, needed)}"
    if not abs(told["trim_pct"]) <= 1.1 * line.pump.trim_max_pct:
        yield f"trim_pct {told['trim_pct']:.4g}: beyond {line.pump.trim_max_pct:g}"
    expected_rpm = ratio * sync.fields.get("web_speed_mps", math.nan)
    if runs and math.isfinite(speed_rpm * expected_rpm) and abs(speed_rpm - expected_rpm) > OFF_MOST * expected_rpm:
        yield f"speed_rpm {speed_rpm:.4g}: ratio times web speed is {expected_rpm:.4g}{_slip(speed_rpm, expected_rpm)}"
    if told.get("pressure_kpa", 0.0) < 0.0:
        yield f"pressure_kpa {told['pressure_kpa']:.4g}: below nothing"
    if not -20.0 <= told.get("temperature_c", 20.0) <= 120.0 and math.isfinite(told["temperature_c"]):
        yield f"temperature_c {told['temperature_c']:.4g}: no slurry is so"
    if told.get("node_state") == NodeState.LATCHED:
        yield "the pump has latched: it waits for REARM"


def _lips(gap_um: Array, line: LineDescription) -> Iterator[str]:
    slack_um = 0.05 * (line.lips.gap_max_um - line.lips.gap_min_um)
    yield from _named("zones say nothing", ~np.isfinite(gap_um))
    outside = (gap_um < line.lips.gap_min_um - slack_um) | (gap_um > line.lips.gap_max_um + slack_um)
    if outside.any():
        middle = float(np.nanmedian(gap_um))
        bounds = f"outside {line.lips.gap_min_um:g}..{line.lips.gap_max_um:g} um, in the middle {middle:.4g}"
        yield from _named(f"zones {bounds}{_slip(middle, line.die.gap_nominal_um)}", outside)


def _profile(
    one: Heard, name: str, unit: str, expected: float, gauge: GaugeDescription, line: LineDescription
) -> Iterator[str]:
    values = np.asarray(one.fields[name])
    seen = np.isfinite(values)
    if not seen.any():
        yield "no box has a value, and the line runs: has coated web come so far?"
        return
    masked = math.ceil(gauge.edge_mask_mm / (line.web_width_mm / gauge.boxes))
    edges = EDGE_BOXES + masked
    blind = 1.0 - float(seen[edges:-edges].mean()) if values.size > 2 * edges else 0.0
    if blind > BLIND_MOST:
        yield f"{100.0 * blind:.0f} % of the boxes have no value"
    if one.same >= FROZEN_TELEGRAMS - 1 and values[seen].min() < values[seen].max():
        yield f"frozen: the same to the last bit {one.same + 1} times in a row"
    middle = float(np.median(values[seen]))
    if not abs(middle / expected - 1.0) <= OFF_MOST:
        yield f"in the middle {middle:.4g} {unit}: the recipe makes {expected:.4g}{_slip(middle, expected)}"
        return
    off = ~seen | (values < EDGE_LEAST * middle)
    for side, boxes in (("first", off), ("last", off[::-1])):
        run = boxes.size if boxes.all() else int(np.argmin(boxes))
        if run > edges:
            yield f"the {run} {side} boxes do not lie on the web: is the gauge where the line file has it, and as wide?"


def _meta(one: Heard, gauge: GaugeDescription, heard: dict[tuple[Telegram, int], Heard]) -> Iterator[str]:
    told, sync = one.fields, heard[Telegram.SYNC, 0]
    if told["boxes"] != gauge.boxes:
        yield f"{told['boxes']:g} boxes, and {gauge.boxes} in the line file"
    if sync.times:
        age_s = (sync.fields["t_us"] - told["t_us"]) * 1e-6
        if not -1.0 <= age_s <= 1.0 + 3.0 * gauge.period_s:
            yield f"t_us lies {age_s:.3g} s behind SYNC"
        behind_m = sync.fields["web_m"] - told["web_m"]
        if not abs(behind_m) <= 1.0 + 3.0 * (gauge.period_s + 1.0) * max(sync.fields["web_speed_mps"], 0.0):
            yield f"web_m lies {behind_m:.4g} m behind SYNC: it shall be the web at the die when the scan was taken"


def _named(words: str, which: Any) -> Iterator[str]:
    """A sentence about zones, with the first few by number, as people count."""
    places = np.flatnonzero(which)
    if places.size:
        first = ", ".join(str(place + 1) for place in places[:5]) + (", ..." if places.size > 5 else "")
        yield f"{places.size} {words} ({first})"


def _slip(value: float, expected: float) -> str:
    """The slip of a unit that would explain a value, in words; nothing where none would."""
    if not value or not math.isfinite(value):
        return ""
    factor = min(TENTHS, key=lambda one: abs(math.log(abs(value / expected) / one)))
    near = abs(math.log(abs(value / expected) / factor)) < math.log(1.0 + OFF_MOST)
    return f" (about {factor:.3g} times: a unit or a scale?)" if near else ""
