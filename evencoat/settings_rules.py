"""Contradictions between the tables of a line file: each key may be fine alone and the line still impossible.

Only evencoat.settings imports this. A rule is a generator of Problems over the parsed file; it never raises. The
limits are compared in plain arithmetic on the file's own numbers, not through controller or bridge code, so that this
stays a third opinion beside the envelope and the gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from evencoat.settings_model import GaugeTable, LineFile

GATE_MARGIN_COUNTS = 5  # the gate is meant to be one count wider; beyond a few it guards nothing
TRIM_COUNT_PCT = 0.001  # one count of the pump trim in the shipped DBC
ROUNDING = 1e-9  # numbers written in decimal are compared with this slack, relative to their size


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a line file: where, what was given, which bound it broke, and what to do."""

    field: str  # dotted path, "lips.gap_min_um"; "" for the file as a whole
    given: str
    bound: str
    advice: str
    line: int | None = None  # line of the file, where it could be found

    def __str__(self) -> str:
        where = f" (line {self.line})" if self.line else ""
        head = f"{self.field or 'file'}{where} = {self.given}" if self.given else f"{self.field or 'file'}{where}"
        return f"{head}: {self.bound}. {self.advice}"


Rule = Callable[[LineFile], Iterator[Problem]]


def contradictions(file: LineFile) -> list[Problem]:
    """Every contradiction found, in the order of the file's tables."""
    return [problem for rule in RULES for problem in rule(file)]


def _above(value: float, bound: float) -> bool:
    return value > bound + ROUNDING * max(1.0, abs(bound))


def _num(value: float) -> str:
    return f"{value:.6g}"


def _web(file: LineFile) -> Iterator[Problem]:
    web = file.web
    if _above(web.speed_m_per_min, web.speed_max_m_per_min):
        yield Problem(
            "web.speed_m_per_min",
            _num(web.speed_m_per_min),
            f"must not exceed web.speed_max_m_per_min = {_num(web.speed_max_m_per_min)}",
            "Lower the nominal speed or raise the maximum",
        )
    die_mm = file.die.zones * file.die.zone_pitch_mm
    if _above(abs(web.width_mm - die_mm), 0.5 * file.die.zone_pitch_mm):
        yield Problem(
            "web.width_mm",
            _num(web.width_mm),
            f"must be within half a pitch of die.zones x die.zone_pitch_mm = {_num(die_mm)}",
            "Count only the bolts above the coated width, or correct width or pitch",
        )


def _target(file: LineFile) -> Iterator[Problem]:
    profile = file.target.profile_gsm
    if not profile:
        return
    if len(profile) != file.die.zones:
        yield Problem(
            "target.profile_gsm",
            f"{len(profile)} values",
            f"must hold one value a zone, die.zones = {file.die.zones}",
            "Give one target for each bolt, or leave the key out for a flat target",
        )
        return
    mean = sum(profile) / len(profile)
    if _above(abs(mean / file.target.areal_density_gsm - 1.0), 0.01):
        yield Problem(
            "target.profile_gsm",
            f"mean {_num(mean)}",
            f"must average to target.areal_density_gsm = {_num(file.target.areal_density_gsm)} within 1 %",
            "Scale the profile or correct the target: the pump follows the mean",
        )


def _lip_ranges(file: LineFile) -> Iterator[Problem]:
    die, lips = file.die, file.lips
    if lips.gap_min_um >= lips.gap_max_um:
        yield Problem(
            "lips.gap_min_um",
            _num(lips.gap_min_um),
            f"must be below lips.gap_max_um = {_num(lips.gap_max_um)}",
            "Swap or correct the two",
        )
        return
    lip_range = lips.gap_max_um - lips.gap_min_um
    if not lips.gap_min_um <= die.gap_nominal_um <= lips.gap_max_um:
        yield Problem(
            "die.gap_nominal_um",
            _num(die.gap_nominal_um),
            f"must lie within lips.gap_min_um..gap_max_um = {_num(lips.gap_min_um)}..{_num(lips.gap_max_um)}",
            "Set the range around the gap the die is set up with",
        )
    if _above(lips.neighbour_max_um, lip_range):
        yield Problem(
            "lips.neighbour_max_um",
            _num(lips.neighbour_max_um),
            f"must not exceed the lip range gap_max_um - gap_min_um = {_num(lip_range)}",
            "A limit wider than the range protects nothing: take the lip's drawing or about a tenth of the gap",
        )
    if _above(lips.bend_max_um, 2.0 * lips.neighbour_max_um):
        yield Problem(
            "lips.bend_max_um",
            _num(lips.bend_max_um),
            f"must not exceed twice lips.neighbour_max_um = {_num(2.0 * lips.neighbour_max_um)}",
            "Neighbours' limits already bound the bending below that; lower it",
        )


def _lip_fineness(file: LineFile) -> Iterator[Problem]:
    die, lips = file.die, file.lips
    lip_range = lips.gap_max_um - lips.gap_min_um
    if _above(lips.command_step_um, lips.resolution_um):
        yield Problem(
            "lips.resolution_um",
            _num(lips.resolution_um),
            f"must not be finer than one count of the command, lips.command_step_um = {_num(lips.command_step_um)}",
            "Correct the resolution, or use a signal with a finer scale",
        )
    if _above(lips.resolution_um, lips.neighbour_max_um) or _above(lips.backlash_um, 0.25 * abs(lip_range)):
        yield Problem(
            "lips.backlash_um",
            f"{_num(lips.backlash_um)} with resolution {_num(lips.resolution_um)}",
            f"must be small beside the lip range {_num(lip_range)} and neighbour limit {_num(lips.neighbour_max_um)}",
            "Such a bolt cannot shape a profile; check units (um, not nm or mm)",
        )
    if _above(abs(die.alignment_shift_mm), 2.0 * die.zone_pitch_mm):
        yield Problem(
            "die.alignment_shift_mm",
            _num(die.alignment_shift_mm),
            f"must stay within two pitches, {_num(2.0 * die.zone_pitch_mm)} mm",
            "Renumber the gauge's boxes; the shift is for what is left",
        )


def _rates(file: LineFile) -> Iterator[Problem]:
    move_um = file.lips.rate_um_per_s * file.control.cycle_s
    if _above(file.lips.command_step_um, move_um):
        yield Problem(
            "lips.rate_um_per_s",
            _num(file.lips.rate_um_per_s),
            f"moves {_num(move_um)} um in a cycle of {_num(file.control.cycle_s)} s, "
            f"below one command count of {_num(file.lips.command_step_um)} um",
            "No command could ever change: lengthen control.cycle_s or correct the rate",
        )
    trim_pct = file.pump.trim_rate_pct_per_s * file.control.cycle_s
    if _above(TRIM_COUNT_PCT, trim_pct):
        yield Problem(
            "pump.trim_rate_pct_per_s",
            _num(file.pump.trim_rate_pct_per_s),
            f"moves {_num(trim_pct)} % in a cycle, below one command count of {_num(TRIM_COUNT_PCT)} %",
            "Lengthen control.cycle_s or correct the rate",
        )
    periods = file.control.cycle_s / file.bus.sync_period_s
    if periods < 1.0 - ROUNDING or abs(periods - round(periods)) > 1e-6:
        yield Problem(
            "control.cycle_s",
            _num(file.control.cycle_s),
            f"must be a whole multiple of bus.sync_period_s = {_num(file.bus.sync_period_s)}",
            "Cycles are counted in SYNC frames",
        )


def pump_ratio_needed(file: LineFile) -> float:
    """Pump speed for each m/s of web that meets the target, rpm per m/s: m = rho w Q/(W U), Q = V_d N eta."""
    film_m = file.target.areal_density_gsm / (file.slurry.density_kgm3 * file.slurry.solids_fraction) * 1e-3
    flow_m3_per_m = film_m * file.web.width_mm * 1e-3
    return flow_m3_per_m / (file.pump.displacement_cc_per_rev * 1e-6 * file.pump.efficiency) * 60.0


def _pump(file: LineFile) -> Iterator[Problem]:
    needed = pump_ratio_needed(file) * file.web.speed_max_m_per_min / 60.0 * (1.0 + file.pump.trim_max_pct / 100.0)
    if _above(needed, file.pump.speed_max_rpm):
        yield Problem(
            "pump.speed_max_rpm",
            _num(file.pump.speed_max_rpm),
            f"cannot meet the target at {_num(file.web.speed_max_m_per_min)} m/min with full trim, "
            f"which needs {_num(needed)} rpm",
            "Take a larger pump, a lower web.speed_max_m_per_min or less trim; check displacement and solids",
        )
    film_um = file.target.areal_density_gsm / (file.slurry.density_kgm3 * file.slurry.solids_fraction) * 1e3
    if _above(film_um, file.die.gap_nominal_um):
        yield Problem(
            "target.areal_density_gsm",
            _num(file.target.areal_density_gsm),
            f"needs a wet film of {_num(film_um)} um, beyond die.gap_nominal_um = {_num(file.die.gap_nominal_um)}",
            "A pre-metered film is thinner than its slot: check solids, density and gap",
        )


def _gauges(file: LineFile) -> Iterator[Problem]:
    wet, dry = file.gauges.wet, file.gauges.dry
    if wet is None and dry is None:
        yield Problem("gauges", "none", "a line needs at least one gauge", "Add [gauges.wet] or [gauges.dry]")
    if wet is not None and dry is not None and wet.distance_m >= dry.distance_m:
        yield Problem(
            "gauges.dry.distance_m",
            _num(dry.distance_m),
            f"must be further from the die than gauges.wet.distance_m = {_num(wet.distance_m)}",
            "The dry gauge stands after the oven; both distances are counted from the die lip",
        )
    for kind, gauge in (("wet", wet), ("dry", dry)):
        if gauge is not None:
            yield from _gauge(file, kind, gauge)


def _gauge(file: LineFile, kind: str, gauge: GaugeTable) -> Iterator[Problem]:
    if 2 * gauge.boxes < file.die.zones:
        yield Problem(
            f"gauges.{kind}.boxes",
            str(gauge.boxes),
            f"must be at least half of die.zones = {file.die.zones}",
            "A coarser gauge cannot tell one bolt from the next",
        )
    if gauge.head_speed_mps > 0.0:
        yield from _scanner(file, kind, gauge)
    quantity = "film" if kind == "wet" else "areal density"
    film_um = file.target.areal_density_gsm / (file.slurry.density_kgm3 * file.slurry.solids_fraction) * 1e3
    full_scale, given = (655.0, film_um) if kind == "wet" else (655.0, file.target.areal_density_gsm)
    if file.bus.dbc is None and _above(1.2 * given, full_scale):
        yield Problem(
            "target.areal_density_gsm",
            _num(file.target.areal_density_gsm),
            f"gives a {quantity} of {_num(given)}, too near the gauge signal's full scale of {_num(full_scale)}",
            "Use a DBC of the line's own with a wider scale",
        )


def _scanner(file: LineFile, kind: str, gauge: GaugeTable) -> Iterator[Problem]:
    if kind == "wet":
        yield Problem(
            "gauges.wet.head_speed_mps",
            _num(gauge.head_speed_mps),
            "must be 0: only dry gauges scan",
            "Leave it out for an array over the whole width",
        )
    crossing_s = file.web.width_mm * 1e-3 / gauge.head_speed_mps
    if gauge.period_s < crossing_s:
        yield Problem(
            f"gauges.{kind}.period_s",
            _num(gauge.period_s),
            f"must be at least {_num(crossing_s)}: so long the head needs across web.width_mm at head_speed_mps",
            "Give the time of a whole pass, the turn at the web's edge included",
        )


def _keys(file: LineFile) -> Iterator[Problem]:
    if file.bus.auth is None:
        return
    if not file.bus.fd:
        yield Problem(
            "bus.auth",
            "with bus.fd = false",
            "needs CAN FD: freshness and MAC take the eight bytes that a classic frame has",
            "Set bus.fd = true, or leave [bus.auth] out and guard the bus by other means",
        )
    elif file.bus.integrity != "crc16":
        yield Problem(
            "bus.auth",
            f'with bus.integrity = "{file.bus.integrity}"',
            'needs bus.integrity = "crc16", which tells noise from forgery',
            "Use crc16, or leave [bus.auth] out",
        )


def _bus(file: LineFile) -> Iterator[Problem]:
    bus = file.bus
    if bus.fd and bus.data_bitrate < bus.bitrate:
        yield Problem(
            "bus.data_bitrate",
            str(bus.data_bitrate),
            f"must not be below bus.bitrate = {bus.bitrate}",
            "The data phase of CAN FD is the faster one",
        )
    if not bus.fd and bus.integrity == "crc16":
        yield Problem(
            "bus.integrity",
            "crc16",
            "needs CAN FD: its header alone fills a classic frame",
            'Use integrity = "crc8" or "none" with fd = false',
        )
    if not bus.fd and bus.dbc is None:
        yield Problem(
            "bus.fd",
            "false",
            "the shipped DBC is made of CAN FD frames",
            "Give bus.dbc and bus.map for a classic bus, or set fd = true",
        )


def _gate(file: LineFile) -> Iterator[Problem]:
    """The gate contains the envelope, and by no more than a few counts."""
    lips, pump, gate = file.lips, file.pump, file.gate
    count, cycle_s = lips.command_step_um, file.control.cycle_s
    rows = (  # field, gate's value, envelope's value, one count, what the envelope's value is
        ("gap_max_um", gate.gap_max_um, lips.gap_max_um, count, "lips.gap_max_um"),
        ("gap_min_um", -gate.gap_min_um, -lips.gap_min_um, count, "lips.gap_min_um"),
        ("step_max_um", gate.step_max_um, lips.rate_um_per_s * cycle_s, count, "lips.rate_um_per_s x cycle_s"),
        ("neighbour_max_um", gate.neighbour_max_um, lips.neighbour_max_um, count, "lips.neighbour_max_um"),
        ("bend_max_um", gate.bend_max_um, lips.bend_max_um, count, "lips.bend_max_um"),
        ("pump_trim_max_pct", gate.pump_trim_max_pct, pump.trim_max_pct, TRIM_COUNT_PCT, "pump.trim_max_pct"),
        (
            "pump_trim_step_pct",
            gate.pump_trim_step_pct,
            pump.trim_rate_pct_per_s * cycle_s,
            TRIM_COUNT_PCT,
            "pump.trim_rate_pct_per_s x cycle_s",
        ),
    )
    for key, given, inner, one_count, name in rows:
        outer = inner + GATE_MARGIN_COUNTS * one_count
        if _above(inner, given):
            bound = f"is narrower than the envelope, {name} = {_num(abs(inner))}: good commands would be refused"
        elif _above(given, outer):
            bound = f"is more than {GATE_MARGIN_COUNTS} counts wider than the envelope, {name} = {_num(abs(inner))}"
        else:
            continue
        sign = -1.0 if key == "gap_min_um" else 1.0
        yield Problem(
            f"gate.{key}", _num(abs(given)), bound, f"Write {_num(sign * (inner + one_count))}, one count wider"
        )
    yield from _gate_ratio(file)


def _gate_ratio(file: LineFile) -> Iterator[Problem]:
    needed = pump_ratio_needed(file)
    low, high = file.gate.pump_ratio_min_rpm_per_mps, file.gate.pump_ratio_max_rpm_per_mps
    advice = f"Write about {_num(0.9 * needed)} and {_num(1.1 * needed)}, or correct [pump]"
    if _above(low, 0.98 * needed) or low < 0.5 * needed:
        yield Problem(
            "gate.pump_ratio_min_rpm_per_mps",
            _num(low),
            f"must lie 2 % to 50 % below the recipe's ratio of {_num(needed)} rpm per m/s",
            advice,
        )
    if _above(1.02 * needed, high) or high > 2.0 * needed:
        yield Problem(
            "gate.pump_ratio_max_rpm_per_mps",
            _num(high),
            f"must lie 2 % to 100 % above the recipe's ratio of {_num(needed)} rpm per m/s",
            advice,
        )


RULES: tuple[Rule, ...] = (
    _web,
    _target,
    _lip_ranges,
    _lip_fineness,
    _rates,
    _pump,
    _gauges,
    _bus,
    _keys,
    _gate,
)
