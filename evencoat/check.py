"""`evencoat check`: what a line file amounts to before anything moves.

Three questions: does the wire carry it (bus load, identifiers, scales), does the gate let every certified command
pass, and what can this line control at all. `verdict` answers them as data, `render` prints them; evencoat.cli wires
both. The figures are the controller's own beliefs (controller.core.response), not the simulator's truth.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from controller.core import certificate, estimate
from controller.core.envelope import Applied, Envelope, certify
from controller.core.ladder import SLOWER
from controller.core.law import SURE_SIGMAS, certified_s, frozen
from controller.core.response import ResponseModel, believe, lip_matrix, local_gain_per_um
from controller.line.command import UncertifiedCommand
from controller.line.description import Array, Doubt, GaugeDescription, LawName, LineDescription
from evencoat import check_guest
from evencoat.check_guest import PumpRegion, pump_regions
from evencoat.guest import Guest
from evencoat.keys import key_ring
from evencoat.settings import Settings, compile_codec
from firmware_bridge.authentication import AuthenticationError
from firmware_bridge.codec import Codec
from firmware_bridge.contract import (
    DIE_STATUS_PERIOD_S,
    HEARTBEAT_PERIOD_S,
    LINE_STATE_PERIOD_S,
    MAX_COUNTER_JUMP,
    Telegram,
    WireError,
)
from firmware_bridge.tx_gate import Gate

PROFILE_PCT = 3.0  # the profile error that lips should be able to remove, half width
DRIFT_TIME_CONSTANTS_S = (60.0, 300.0, 1200.0)  # a minute, five, twenty: fast, usual and slow drifts of a coating line
LOOKED_AT = Doubt(gain=math.log(20.0), shift_pitches=3.0)  # errors beyond these are not looked for; delay: dead times
LOOKED_AT_DELAYS, DEVIATIONS_MAX = 10.0, 10.0
TRIAL_STEPS = 30  # certified commands in one walk of the trial
CANOPEN_NODE_RANGES = (0x080, 0x180, 0x200, 0x280, 0x300, 0x380, 0x400, 0x480, 0x500, 0x580, 0x600, 0x700)  # + node
CANOPEN_SHARED = (0x000, 0x080, 0x100)  # NMT, SYNC, TIME (CiA 301, pre-defined connection set)


class Level(StrEnum):
    """How much a finding matters."""

    REFUSED = "refused"  # the line cannot run like this
    WARNING = "warning"  # it runs, and someone should know


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about the line file, and which part of it is meant."""

    level: Level
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class BusRow:
    """One telegram on the bus: its frames, and what they take of it in the worst case of bit stuffing."""

    telegram: str
    first_id: int
    last_id: int
    frames: int
    largest_bytes: int
    rate_hz: float
    load_pct: float


@dataclass(frozen=True, slots=True)
class GateRow:
    """One limit as the envelope and the gate have it."""

    limit: str
    envelope: float
    gate: float
    contained: bool


@dataclass(frozen=True, slots=True)
class GateProof:
    """The gate contains the envelope when each of its limits does: both are sets of the same inequalities.

    The trial sends certified commands, built to lie on the envelope's limits, through the real gate.
    """

    rows: tuple[GateRow, ...]
    trials: int
    refused: int
    first_refusal: str


@dataclass(frozen=True, slots=True)
class GaugeView:
    """What a gauge allows at nominal speed. `out_of_reach_pct` is by drift time constant, in seconds."""

    name: str
    dead_time_s: float
    scans_per_dead_time: float
    zone_noise_pct: float  # one zone, one scan
    out_of_reach_pct: dict[float, float]


@dataclass(frozen=True, slots=True)
class Ability:
    """What lips and pump can and cannot do on this line."""

    wet_film_um: float
    local_gain_pct_per_um: float
    bolt_gain_pct_per_um: float  # one bolt moved alone, at its own zone
    smallest_step_pct: float  # one bolt's resolution, in coating
    modes_all: int
    modes_by_rule: float  # 2 L min(0.441/FWHM, 1/(2p))
    modes_by_gain: int
    modes_by_alignment: int
    modes_used: int
    gain_ratio_used: float  # strongest over weakest mode in use
    shortest_wave_mm: float
    range_share_long_pct: float  # of the lip range, for a +-3 % profile of long waves
    range_share_short_pct: float  # the same at the shortest wave in use
    neighbour_reach_pct: float  # amplitude of the shortest wave that the neighbour limit leaves
    traverse_s: float  # from one end of the range to the other
    pump_reserve_pct: float  # at the fastest web with full trim
    solids_reach_pct: float  # absolute solids that the trim makes up for
    gauges: tuple[GaugeView, ...]


@dataclass(frozen=True, slots=True)
class Region:
    """How wrong the belief of the response may be while the lips' loop is certified, by controller.core.certificate.

    gain_factor (either way), alignment_mm and delay_s each alone; together_share of all three at once, gain as a log.
    deviations: how many standard deviations of all that was found at once; None where nothing was. least_s: shortest
    closed-loop time that is certified for as many of them as the law takes into account; None where there is none.
    """

    closed_loop_cd_s: float
    gain_factor: float
    alignment_mm: float
    delay_s: float
    together_share: float
    deviations: float | None
    least_s: float | None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The verdict on one line file."""

    line: str
    description: str
    path: str
    findings: tuple[Finding, ...]
    bus: tuple[BusRow, ...]
    bus_load_pct: float
    bus_load_max_pct: float
    gate: GateProof
    ability: Ability
    certified: tuple[Region, ...]  # of the line's own law and of the slowed one below it; none under a PI
    authentication: str  # who on the bus is believed, in a sentence
    commissioned: str  # whose model is in use; empty where the line is as its file says
    pump: tuple[PumpRegion, ...] = ()  # of a line that runs with a network, or is asked about one

    @property
    def ok(self) -> bool:
        """Whether the line may run."""
        return not any(finding.level is Level.REFUSED for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {"ok": self.ok, **asdict(self)}


def verdict(settings: Settings, guest: Guest | None = None) -> CheckReport:
    """Judge a line that settings already accepted, with the network that its law shall run with.

    Raises nothing: what is wrong with the wire becomes a finding.
    """
    findings: list[Finding] = []
    rows: tuple[BusRow, ...] = ()
    line, codec = settings.line, None
    try:
        codec = compile_codec(settings)
        rows = _bus_rows(codec, settings)
        findings += _bus_findings(rows, codec, settings)
        findings += _scale_findings(codec, settings)
    except (WireError, OSError) as error:
        findings.append(Finding(Level.REFUSED, "bus.map", str(error)))
    gate = _gate_proof(settings)
    findings += _gate_findings(gate)
    ability = _ability(line)
    findings += _ability_findings(line, ability)
    findings += _model_findings(settings)
    authentication, doubts = _authentication(settings, codec)
    findings += doubts
    return CheckReport(
        line=line.name,
        description=settings.description,
        path=str(settings.path),
        findings=tuple(findings),
        bus=rows,
        bus_load_pct=sum(row.load_pct for row in rows),
        bus_load_max_pct=settings.wire.max_load_pct,
        gate=gate,
        ability=ability,
        certified=_regions(line),
        pump=pump_regions(line, guest) if guest is not None else (),
        authentication=authentication,
        commissioned=_commissioned(settings),
    )


def _commissioned(settings: Settings) -> str:
    model = settings.model
    if model is None or not model.signed_off_by:
        return ""
    return f"as commissioned {model.found_at}, signed off by {model.signed_off_by}"


# --- the wire ----------------------------------------------------------------------------------------------------


def telegram_rates_hz(settings: Settings) -> dict[Telegram, float]:
    """How often each telegram is sent on this line. SAFE_STOP and REARM are events and count nothing."""
    line = settings.line
    sync_hz, command_hz = 1.0 / settings.wire.sync_period_s, 1.0 / line.control.cycle_s
    rates = {
        Telegram.SYNC: sync_hz,
        Telegram.LINE_STATE: 1.0 / LINE_STATE_PERIOD_S,
        Telegram.PUMP_COMMAND: command_hz,
        Telegram.DIE_COMMAND: command_hz,
        Telegram.PUMP_FEEDBACK: sync_hz,
        Telegram.DIE_FEEDBACK: sync_hz,
        Telegram.DIE_STATUS: 1.0 / DIE_STATUS_PERIOD_S,
        Telegram.HEARTBEAT: 1.0 / HEARTBEAT_PERIOD_S,
    }
    if line.wet_gauge is not None:
        rates[Telegram.WET_PROFILE] = rates[Telegram.WET_META] = 1.0 / line.wet_gauge.period_s
    if line.dry_gauge is not None:
        rates[Telegram.DRY_PROFILE] = rates[Telegram.DRY_META] = 1.0 / line.dry_gauge.period_s
    return rates


def _bus_rows(codec: Codec, settings: Settings) -> tuple[BusRow, ...]:
    rates = telegram_rates_hz(settings)
    messages = codec.bus_load(rates).messages
    rows = []
    for telegram, rate_hz in rates.items():
        ids = {can_id for can_id, _ in codec.can_ids(telegram)} if codec.carries(telegram) else set()
        mine = [message for message in messages if message.can_id in ids]
        if mine:
            size, load = max(message.size for message in mine), sum(message.load_pct for message in mine)
            rows.append(BusRow(telegram.value, min(ids), max(ids), len(mine), size, rate_hz, load))
    return tuple(sorted(rows, key=lambda row: row.first_id))


def _bus_findings(rows: tuple[BusRow, ...], codec: Codec, settings: Settings) -> Iterator[Finding]:
    total, most = sum(row.load_pct for row in rows), settings.wire.max_load_pct
    if total > most:
        worst = max(rows, key=lambda row: row.load_pct)
        yield Finding(
            Level.REFUSED,
            "bus.max_load_pct",
            f"worst-case bus load is {total:.1f} %, accepted are {most:g} %. "
            f"{worst.telegram} takes the most ({worst.load_pct:.1f} %). Slow its "
            "gauge or the cycle, or raise bus.data_bitrate",
        )
    taken = {base + node for base in CANOPEN_NODE_RANGES for node in settings.canopen_nodes}
    taken.update(CANOPEN_SHARED if settings.canopen_nodes else ())
    standard = {
        can_id
        for telegram in Telegram
        if codec.carries(telegram)
        for can_id, extended in codec.can_ids(telegram)
        if not extended
    }
    clash = sorted(taken & standard)
    if clash:
        ids = ", ".join(f"0x{can_id:03X}" for can_id in clash[:6]) + (", ..." if len(clash) > 6 else "")
        yield Finding(
            Level.REFUSED,
            "bus.canopen_nodes",
            f"identifiers {ids} are CANopen's (CiA 301) and this line's too. Give the drives a bus of their own",
        )


def _scale_findings(codec: Codec, settings: Settings) -> Iterator[Finding]:
    """Whether every number fits its signal, in range and in fineness."""
    line, gate = settings.line, settings.gate
    count = codec.count(Telegram.DIE_COMMAND, "gap_um")
    counts = line.lips.command_step_um / count
    if abs(counts - round(counts)) > 1e-6 or round(counts) < 1:
        yield Finding(
            Level.REFUSED,
            "lips.command_step_um",
            f"{line.lips.command_step_um:g} um is no whole number of counts of {count:g} um on the wire: "
            "the bolts would be sent elsewhere than the envelope certified",
        )
    film_um = line.target.areal_density_gsm / line.slurry.areal_density_gsm_per_um
    ratio = line.pump_ratio_nominal_rpm_per_mps
    reach = [  # telegram, field, lowest and highest value wanted, fineness wanted
        (Telegram.DIE_COMMAND, "gap_um", line.lips.gap_min_um, line.lips.gap_max_um, math.inf),
        (Telegram.DIE_FEEDBACK, "gap_um", line.lips.gap_min_um, line.lips.gap_max_um, line.lips.resolution_um),
        (Telegram.PUMP_COMMAND, "trim_pct", -gate.pump_trim_max_pct, gate.pump_trim_max_pct, 0.05),
        (Telegram.PUMP_COMMAND, "ratio_rpm_per_mps", 0.0, gate.pump_ratio_max_rpm_per_mps, 5e-4 * ratio),
        (Telegram.SYNC, "web_speed_mps", 0.0, line.web_speed_max_mps, 2e-3 * line.web_speed_mps),
    ]
    if line.wet_gauge is not None:
        reach.append((Telegram.WET_PROFILE, "film_um", 0.5 * film_um, 1.5 * film_um, 1e-3 * film_um))
    if line.dry_gauge is not None:
        target = line.target.areal_density_gsm
        reach.append((Telegram.DRY_PROFILE, "areal_density_gsm", 0.5 * target, 1.5 * target, 1e-3 * target))
    for telegram, name, low, high, fine in reach:
        yield from _fits(codec, telegram, name, low, high, fine)


def _fits(codec: Codec, telegram: Telegram, name: str, low: float, high: float, fine: float) -> Iterator[Finding]:
    least, most = codec.bounds(telegram, name)
    if low < least - 1e-9 or high > most + 1e-9:
        text = f"the line needs {low:g}..{high:g}, its signal carries {least:g}..{most:g}"
        yield Finding(Level.REFUSED, f"{telegram}.{name}", text)
    count = codec.count(telegram, name)
    if count > fine * (1 + 1e-9):
        text = f"one count is {count:g}; finer than {fine:g} would not cost control accuracy"
        yield Finding(Level.WARNING, f"{telegram}.{name}", text)


NOT_AUTHENTICATED = (
    "none. Any node on the bus can command this line with a frame that it made itself, and a frame played back is "
    f"taken when its counter is one or {MAX_COUNTER_JUMP} ahead of the last: neither can be noticed. Commands expire, "
    "which is all that limits an old one. [bus.auth] ends both"
)


def _authentication(settings: Settings, codec: Codec | None) -> tuple[str, list[Finding]]:
    """What the bus proves of its senders, and what is wrong with the keys on this machine."""
    auth = settings.wire.auth
    if auth is None:
        return NOT_AUTHENTICATED, []
    doubts = []
    try:
        key_ring(settings, time.time())
    except AuthenticationError as error:
        level = Level.REFUSED if auth.key_file.exists() else Level.WARNING  # keys may be on the line's machine only
        doubts.append(Finding(level, "bus.auth", str(error)))
    bare = [] if codec is None else sorted(plan.name for _, plan, _ in codec.messages(list(Telegram)) if not plan.seal)
    told = "all frames of the line (AES-CMAC, 48 bits; 64 bits of freshness)"
    if bare:
        told = f"all frames but {', '.join(bare)}: these can be forged and played back"
    return told, doubts


# --- the gate ----------------------------------------------------------------------------------------------------


def _gate_proof(settings: Settings) -> GateProof:
    lips, pump, gate = settings.line.lips, settings.line.pump, settings.gate
    cycle_s = settings.line.control.cycle_s
    ratio = settings.line.pump_ratio_nominal_rpm_per_mps
    pairs = (
        ("largest gap, um", lips.gap_max_um, gate.gap_max_um),
        ("step a command, um", lips.rate_um_per_s * cycle_s, gate.step_max_um),
        ("neighbour, um", lips.neighbour_max_um, gate.neighbour_max_um),
        ("bend, um", lips.bend_max_um, gate.bend_max_um),
        ("pump trim, %", pump.trim_max_pct, gate.pump_trim_max_pct),
        ("trim step a command, %", pump.trim_rate_pct_per_s * cycle_s, gate.pump_trim_step_pct),
        ("recipe's pump ratio, at most", ratio, gate.pump_ratio_max_rpm_per_mps),
    )
    rows = [GateRow("smallest gap, um", lips.gap_min_um, gate.gap_min_um, gate.gap_min_um <= lips.gap_min_um)]
    rows += [GateRow(name, inner, outer, inner <= outer * (1 + 1e-12)) for name, inner, outer in pairs]
    low = gate.pump_ratio_min_rpm_per_mps
    rows.append(GateRow("recipe's pump ratio, at least", ratio, low, low <= ratio))
    refusals = list(_gate_trial(settings))
    return GateProof(
        tuple(rows), TRIAL_STEPS * len(_walks(settings.line)), len(refusals), refusals[0] if refusals else ""
    )


def _gate_trial(settings: Settings) -> Iterator[str]:
    """Send certified commands through the real gate; yields what it refused.

    Every walk starts a few steps from a corner of the envelope and wishes far beyond it.
    """
    line = settings.line
    envelope, count = Envelope.of(line), line.lips.command_step_um
    ratio, trim_max = line.pump_ratio_nominal_rpm_per_mps, line.pump.trim_max_pct
    for walk, (start, wish_gap) in enumerate(_walks(line)):
        side = 1.0 if walk % 2 else -1.0
        trim = round(side * (trim_max - 5.0 * line.pump.trim_rate_pct_per_s * line.control.cycle_s), 3)
        last = Applied(np.round(start / count) * count, ratio, trim)
        gate = Gate(settings.gate)
        gate.prime(last.gap_um, ratio, trim)
        wish = UncertifiedCommand(wish_gap, ratio, side * 99.0)
        for _ in range(TRIAL_STEPS):
            command, _, _ = certify(envelope, wish, last, line.control.cycle_s, 0)
            refusal = gate.admits(command.gap_um, command.pump_ratio_rpm_per_mps, command.pump_trim_pct)
            if refusal is not None:
                yield str(refusal)
                break
            last = Applied(command.gap_um, command.pump_ratio_rpm_per_mps, command.pump_trim_pct)


def _walks(line: LineDescription) -> list[tuple[Array, Array]]:
    """(start, wish) of every walk, each (zones,): at both ends of the range, at the neighbour and the bend limit,
    from anywhere to anywhere, and from bolts found outside their limits."""
    lips, zone, rng = line.lips, np.arange(line.zones), np.random.default_rng(1)
    flat = np.full(line.zones, line.die.gap_nominal_um)
    span = lips.gap_max_um - lips.gap_min_um
    near = 10.0 * lips.rate_um_per_s * line.control.cycle_s  # of a corner: a third of a walk's way
    saw = np.where(zone % 2 == 0, 0.25, -0.25)  # second differences of one
    # slopes that turn as sharply as bending allows and stay at the neighbour limit for two bolts
    turn = max(1.0 - lips.bend_max_um / lips.neighbour_max_um, -1.0)
    stair = np.cumsum(np.resize([1.0, 1.0, turn, -1.0, -1.0, -turn], line.zones))
    stair -= 0.5 * (stair.max() + stair.min())
    stair *= min(1.0, 0.9 * span / max(np.ptp(stair) * lips.neighbour_max_um, 1e-9))
    shapes = ((saw, lips.bend_max_um), (stair, lips.neighbour_max_um))
    walks = [(np.full(line.zones, lips.gap_max_um - near), flat + span)]
    walks.append((np.full(line.zones, lips.gap_min_um + near), flat - span))
    walks += [(flat + shape * max(limit - near, 0.0), flat + 2.0 * shape * limit) for shape, limit in shapes]
    for spread in (0.02 * span, 0.5 * span):
        walks += [(flat + rng.normal(0, spread, line.zones), flat + rng.normal(0, span, line.zones)) for _ in range(3)]
    return walks


def _gate_findings(gate: GateProof) -> Iterator[Finding]:
    for row in gate.rows:
        if not row.contained:
            text = (
                f"{row.limit}: the gate has {row.gate:g}, the envelope {row.envelope:g}; good commands would be refused"
            )
            yield Finding(Level.REFUSED, "gate", text)
    if gate.refused:
        text = f"the real gate refused certified commands in {gate.refused} trial walks, first: {gate.first_refusal}"
        yield Finding(Level.REFUSED, "gate", text)


# --- what the line can control -----------------------------------------------------------------------------------


def _ability(line: LineDescription) -> Ability:
    model = believe(line)
    gain = local_gain_per_um(line)
    die, lips, pump = line.die, line.lips, line.pump
    length_mm = die.zones * die.zone_pitch_mm
    fwhm_mm = die.kernel_fwhm_pitches * die.zone_pitch_mm
    by_gain = believe(replace(line, die=replace(die, alignment_uncertainty_mm=0.0)))
    by_alignment = believe(replace(line, control=replace(line.control, mode_gain_floor=1e-9)))
    lip_range = lips.gap_max_um - lips.gap_min_um
    weakest = float(model.gains.min(initial=gain)) if model.modes else gain
    wave_mm = float(model.wavelength_mm.min()) if model.modes else math.inf
    # bolts on a sine of wavelength l and amplitude a differ by at most 2 a sin(pi p/l) from one to the next
    slope = max(2.0 * math.sin(min(math.pi * die.zone_pitch_mm / wave_mm, math.pi / 2)), 1e-9)
    needed_rpm = line.pump_ratio_nominal_rpm_per_mps * line.web_speed_max_mps * (1 + pump.trim_max_pct / 100.0)
    return Ability(
        wet_film_um=line.target.areal_density_gsm / line.slurry.areal_density_gsm_per_um,
        local_gain_pct_per_um=100.0 * gain,
        bolt_gain_pct_per_um=100.0 * float(np.median(np.diag(gain * _centred(lip_matrix(die))))),
        smallest_step_pct=100.0 * gain * lips.resolution_um,
        modes_all=die.zones - 1,
        modes_by_rule=2.0 * length_mm * min(0.441 / fwhm_mm, 0.5 / die.zone_pitch_mm),
        modes_by_gain=by_gain.modes,
        modes_by_alignment=by_alignment.modes,
        modes_used=model.modes,
        gain_ratio_used=_gain_ratio(model),
        shortest_wave_mm=wave_mm,
        range_share_long_pct=100.0 * 2.0 * PROFILE_PCT / 100.0 / gain / lip_range,
        range_share_short_pct=100.0 * 2.0 * PROFILE_PCT / 100.0 / weakest / lip_range,
        neighbour_reach_pct=100.0 * weakest * lips.neighbour_max_um / slope,
        traverse_s=lip_range / lips.rate_um_per_s,
        pump_reserve_pct=100.0 * (1.0 - needed_rpm / pump.speed_max_rpm),
        solids_reach_pct=pump.trim_max_pct * line.slurry.solids_fraction / _solids_leverage(line),
        gauges=tuple(
            _gauge_view(name, gauge, line)
            for name, gauge in (("wet", line.wet_gauge), ("dry", line.dry_gauge))
            if gauge is not None
        ),
    )


def _centred(matrix: Array) -> Array:
    centred: Array = matrix - matrix.mean(axis=0, keepdims=True)
    return centred


def _gain_ratio(model: ResponseModel) -> float:
    return float(model.gains[0] / model.gains[-1]) if model.modes else math.inf


def _solids_leverage(line: LineDescription) -> float:
    """d ln(areal density) / d ln(solids): above 1, because more solids also make the slurry denser.

    With solvent of 1000 kg/m3 (an assumption: NMP has 1028, water 998): 1/rho = w/rho_s + (1-w)/rho_l.
    """
    return 1.0 + max(line.slurry.density_kgm3 / 1000.0 - 1.0, 0.0)


def _gauge_view(name: str, gauge: GaugeDescription, line: LineDescription) -> GaugeView:
    dead_time_s = gauge.distance_m / line.web_speed_mps
    if gauge.is_scanner:  # a box is read somewhere in a pass that is told of at its end
        name, dead_time_s = f"{name} scanner", dead_time_s + 0.5 * gauge.period_s
    return GaugeView(
        name=name,
        dead_time_s=dead_time_s,
        scans_per_dead_time=dead_time_s / gauge.period_s,
        zone_noise_pct=gauge.noise_pct / math.sqrt(max(gauge.boxes / line.zones, 1.0)),
        out_of_reach_pct={tau: 100.0 * (1.0 - math.exp(-2.0 * dead_time_s / tau)) for tau in DRIFT_TIME_CONSTANTS_S},
    )


def _ability_findings(line: LineDescription, ability: Ability) -> Iterator[Finding]:
    """What runs but will disappoint."""
    control, dead_time_s = line.control, line.primary_gauge.distance_m / line.web_speed_mps
    if ability.modes_used < 1:
        text = "no shape of the profile is left to control: raise the alignment's certainty or lower mode_gain_floor"
        yield Finding(Level.REFUSED, "die.alignment_uncertainty_mm", text)
    for key, value in (("closed_loop_cd_s", control.closed_loop_cd_s), ("closed_loop_md_s", control.closed_loop_md_s)):
        if value < dead_time_s:
            text = f"{value:g} s is below the dead time of {dead_time_s:.3g} s: little margin for a wrong delay"
            yield Finding(Level.WARNING, f"control.{key}", text)
    if ability.smallest_step_pct > 0.25 * line.target.tolerance_pct:
        text = (
            f"a bolt's step is {ability.smallest_step_pct:.2f} % of coating, tolerance {line.target.tolerance_pct:g} %"
        )
        yield Finding(Level.WARNING, "lips.resolution_um", text)
    if ability.range_share_long_pct > 100.0:
        text = f"a +-{PROFILE_PCT:g} % profile needs {ability.range_share_long_pct:.0f} % of the lip range"
        yield Finding(Level.WARNING, "lips.gap_max_um", text)
    if control.dead_band_um * ability.local_gain_pct_per_um > 0.25 * line.target.tolerance_pct:
        text = (
            f"{control.dead_band_um:g} um are {control.dead_band_um * ability.local_gain_pct_per_um:.2f} % of coating"
        )
        yield Finding(Level.WARNING, "control.dead_band_um", text)


def _model_findings(settings: Settings) -> Iterator[Finding]:
    """What lies beside the line file, and what it says that a person has to see to."""
    model = settings.model
    if model is None:
        return
    if not model.signed_off_by:
        text = "nobody has signed it off, so it is not in use: evencoat sign-off, or delete it"
        yield Finding(Level.WARNING, "model", text)
    for share, words in ((0.0, "turn free"), (-1.0, "move the web the wrong way")):
        bolts = [str(i + 1) for i, delivered in enumerate(model.response.bolt_delivery) if delivered == share]
        if bolts:
            yield Finding(Level.WARNING, "model.bolt_delivery", f"bolts that {words}: {', '.join(bolts)}")


# --- how wrong the belief may be -------------------------------------------------------------------------------------


def _regions(line: LineDescription) -> tuple[Region, ...]:
    """Of the line's own law and of the slowed one below it on the ladder. A PI is tuned, not certified."""
    control = line.control
    if control.law is LawName.PI or not believe(line).modes:
        return ()
    slowed = replace(line, control=replace(control, law=LawName.IMC))
    return _region(line, control.closed_loop_cd_s), _region(slowed, SLOWER * control.closed_loop_cd_s)


def _region(line: LineDescription, asked_s: float) -> Region:
    model = believe(line)
    estimator = estimate.build(line, model)
    closed_s = certified_s(line, estimator, asked_s)
    loop, found = frozen(line, estimator, closed_s), line.die.doubt

    def scale(box: Doubt, most: float = 1.0) -> float:
        return certificate.largest_scale(line, model, box, loop, most)

    gain = LOOKED_AT.gain * scale(Doubt(gain=LOOKED_AT.gain))
    shift = LOOKED_AT.shift_pitches * scale(Doubt(shift_pitches=LOOKED_AT.shift_pitches))
    delay_s = LOOKED_AT_DELAYS * loop.dead_s * scale(Doubt(delay_s=LOOKED_AT_DELAYS * loop.dead_s))
    return Region(
        closed_loop_cd_s=closed_s,
        gain_factor=math.exp(gain),
        alignment_mm=shift * line.die.zone_pitch_mm,
        delay_s=delay_s,
        together_share=scale(Doubt(gain=gain, shift_pitches=shift, delay_s=delay_s)),
        deviations=None if found is None else scale(found, DEVIATIONS_MAX),
        least_s=None if found is None else _least_s(line, estimator, found, asked_s),
    )


def _least_s(line: LineDescription, estimator: estimate.Estimator, found: Doubt, asked_s: float) -> float | None:
    known = certificate.misfits(line, estimator.response, found.times(SURE_SIGMAS))
    least_s = certificate.least_closed_loop_s(known, asked_s, lambda closed_s: frozen(line, estimator, closed_s))
    return least_s if math.isfinite(least_s) else None


# --- print -------------------------------------------------------------------------------------------------------


def render(report: CheckReport) -> Group:
    """A report for people, to be printed by a rich console."""
    word, colour = ("may run", "green") if report.ok else ("is refused", "red")
    parts: list[RenderableType] = [Text.assemble((f"{report.line} {word}", f"bold {colour}"), f"   {report.path}")]
    if report.description:
        parts.append(Text(report.description, style="dim"))
    if report.commissioned:
        parts.append(Text(report.commissioned, style="dim"))
    for finding in report.findings:
        style = "red" if finding.level is Level.REFUSED else "yellow"
        parts.append(Text.assemble((f"  {finding.level}: ", style), (f"{finding.subject}  ", "bold"), finding.text))
    gate = report.gate
    contained = "contains the envelope" if all(row.contained for row in gate.rows) else "does NOT contain the envelope"
    parts += [
        _heading(f"Bus, worst case {report.bus_load_pct:.1f} % of the {report.bus_load_max_pct:g} % accepted"),
        _bus_table(report),
        Padding(Text(f"authentication: {report.authentication}"), (0, 0, 0, 2)),
        _heading(f"Gate {contained}; {gate.trials} certified commands at its corners: {gate.refused} refused"),
        _gate_table(gate),
        _heading("What this line can and cannot control"),
        *(Padding(Text(line), (0, 0, 0, 2)) for line in _ability_lines(report.ability)),
        _drift_table(report.ability),
    ]
    if report.certified:
        parts.append(_heading("How wrong gain, alignment and delay may be: lips' loop certified, nothing being learnt"))
        parts += [Padding(Text(line), (0, 0, 0, 2)) for line in _region_lines(report.certified)]
    if report.pump:
        parts.append(_heading("How wrong the pump's gain and delay may be: its loop certified, nothing learnt"))
        parts += [Padding(Text(line), (0, 0, 0, 2)) for line in check_guest.lines(report.pump)]
    return Group(*parts)


def _heading(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


def _bus_table(report: CheckReport) -> Table:
    table = _table("  telegram", "id", "frames", "bytes", "1/s", "load %")
    for row in report.bus:
        ids = f"0x{row.first_id:03X}" + (f"-{row.last_id:03X}" if row.last_id > row.first_id else "")
        numbers = (str(row.frames), str(row.largest_bytes), f"{row.rate_hz:g}", f"{row.load_pct:.2f}")
        table.add_row(f"  {row.telegram}", ids, *numbers)
    return table


def _gate_table(gate: GateProof) -> Table:
    table = _table("  limit", "envelope", "gate")
    for row in gate.rows:
        style = "" if row.contained else "red"
        table.add_row(f"  {row.limit}", f"{row.envelope:.6g}", f"{row.gate:.6g}", style=style)
    return table


def _drift_table(ability: Ability) -> Table:
    taus = [f"{tau / 60:g} min" for tau in DRIFT_TIME_CONSTANTS_S]
    table = _table("  gauge", "dead time s", "noise % a zone", *(f"drift of {tau}" for tau in taus))
    for gauge in ability.gauges:
        shares = (f"{share:.1f} %" for share in gauge.out_of_reach_pct.values())
        table.add_row(f"  {gauge.name}", f"{gauge.dead_time_s:.1f}", f"{gauge.zone_noise_pct:.2f}", *shares)
    return table


def _region_lines(regions: tuple[Region, ...]) -> Iterator[str]:
    for region in regions:
        found = ""
        if region.deviations is not None:
            found = f" All that was found may be wrong by {region.deviations:.1f} standard deviations at once."
        if region.least_s is not None:
            found += f" For {SURE_SIGMAS:g} of them {region.least_s:.2g} s would be long enough."
        yield (
            f"At {region.closed_loop_cd_s:g} s: gain by a factor of {region.gain_factor:.2f}, alignment by "
            f"{region.alignment_mm:.1f} mm or delay by {region.delay_s:.1f} s; all at once by "
            f"{100.0 * region.together_share:.0f} % of each.{found}"
        )


def _ability_lines(ability: Ability) -> tuple[str, ...]:
    return (
        f"One um of lip over many zones moves the coating {ability.local_gain_pct_per_um:.3f} %, one bolt alone "
        f"{ability.bolt_gain_pct_per_um:.3f} %; a bolt's smallest step is {ability.smallest_step_pct:.3f} % "
        f"(wet film {ability.wet_film_um:.0f} um).",
        f"Of {ability.modes_all} shapes {ability.modes_used} are controlled: rule of thumb "
        f"{ability.modes_by_rule:.0f}, gain floor {ability.modes_by_gain}, alignment {ability.modes_by_alignment}; "
        f"the strongest answers {ability.gain_ratio_used:.1f} times as much as the weakest.",
        f"Waves down to {ability.shortest_wave_mm:.0f} mm are removed. Finer ones stay as they are, streaks narrower "
        "than a zone among them.",
        f"A +-{PROFILE_PCT:g} % profile takes {ability.range_share_long_pct:.0f} % of the lip range in long waves and "
        f"{ability.range_share_short_pct:.0f} % in the shortest, where the neighbour limit leaves "
        f"+-{ability.neighbour_reach_pct:.1f} %. End to end the lips take {ability.traverse_s:.0f} s.",
        f"The mean is the pump's; lips moved together leave it alone. The trim makes up for "
        f"{ability.solids_reach_pct:.1f} % absolute of solids, and at the fastest web with full trim "
        f"{ability.pump_reserve_pct:.0f} % of pump speed is left.",
        "Dead time costs what no controller can win back. Out of reach of a drift's variance:",
    )
