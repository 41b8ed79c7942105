"""The real line's parameters, which the controller never sees and which may disagree with its description.

Drawn once for a line and seed, within RANGES; every group of parameters draws from a stream of its
own, so that a new parameter changes no old one. Imported by plant_sim and by the front door.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.line.description import Array, GaugeDescription, LineDescription
from plant_sim import die as slot_die
from plant_sim import lip, lip_mechanics
from plant_sim.actuators import Actuators
from plant_sim.die import Die
from plant_sim.disturbances import DriftSizes, smooth_shape
from plant_sim.gauges import GaugeTruth
from plant_sim.noise import generator
from plant_sim.pump import Pump
from plant_sim.rheology import HerschelBulkley, local_power_law
from plant_sim.slurry import Recipe, Slurry

LANES_PER_ZONE = 4
BATCHES = 8
NOMINAL_CONSISTENCY_PA_SN = 12.0
NOMINAL_SLIP_SHARE = 0.01  # of the flow, at nominal speed
GAUGE_DEPTH = 2.0  # mu m at target: where a counting gauge is most precise
SPOT_MM = 12.0  # of a scanner's head
CLAMSHELL_END_SHARE = 0.2  # of the middle's opening: the die's ends are bolted
FOIL_GSM = 32.4  # 12 um of aluminium
GAUGE_FULL_SCALE = 600.0  # um or g/m2: the wire's telegrams end at 655.34

# Default difficulty: ranges that sizes are drawn from, in percent of areal density unless the name says otherwise.
RANGES: dict[str, tuple[float, float]] = {
    "static_pct": (1.6, 3.0),
    "static_zones": (2.5, 5.0),
    "offset_pct": (1.2, 2.5),
    "slow_cd_pct": (0.4, 1.0),
    "slow_cd_min": (10.0, 40.0),
    "fast_cd_pct": (0.05, 0.25),
    "fast_cd_min": (1.0, 5.0),
    "cd_zones": (2.0, 4.0),
    "white_cd_pct": (0.03, 0.1),
    "slip_pct": (0.2, 0.8),
    "slip_min": (3.0, 20.0),
    "solids_pct": (0.2, 0.6),
    "solids_min": (10.0, 40.0),
    "pulsation_pct": (0.05, 0.4),
    "pulsation_hz": (0.5, 2.0),
    "wet_bias_pct": (0.3, 1.0),
    "dry_bias_pct": (0.03, 0.1),
    "bias_h": (1.0, 3.0),
    "batch_pct": (0.9, 1.6),
    "lip_opening_um": (0.2, 2.0),
}


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """One real line. Lanes are equal strips across the coated width, finer than zones and gauge boxes."""

    width_m: float
    web_speed_mps: float
    web_speed_max_mps: float
    target_gsm: float
    zones: int
    lanes_mm: Array  # lane centres, shape (lanes,), zero in the middle of the web
    zone_pitch_mm: float
    gap_nominal_um: float
    die: Die
    lip_response: Array  # shape (lanes, zones)
    unevenness_um: Array  # lip opening's static error, shape (lanes,)
    batches: tuple[Slurry, ...]
    pump: Pump
    pump_offset: float  # relative error of the pump's calibration
    solids_offset: float  # relative error of the first batch's solids, as seen in areal density
    actuators: Actuators
    drifts: DriftSizes
    wet: GaugeTruth | None
    dry: GaugeTruth | None
    compliance_um_per_pa: Array  # opening of the lip by pressure beyond pressure_set_pa, shape (lanes,)
    pressure_set_pa: float  # at which the lip was set
    foil_gsm: float = FOIL_GSM

    @property
    def shear_rate_set_per_s(self) -> float:
        """Apparent shear rate at the slot's wall in nominal running, 6 q/H^2: where viscosities are compared."""
        flow_m2ps = self.target_gsm / self.batches[0].solids_kgm3 * 1e-3 * self.web_speed_mps
        return 6.0 * flow_m2ps / (self.gap_nominal_um * 1e-6) ** 2

    def lip_gain_per_um(self, flow_index: float) -> float:
        """d ln q of a lane for a micrometre of its lip at the nominal gap: (2 + 1/n) f_lip / H."""
        gap_m = self.gap_nominal_um * 1e-6
        lip = self.die.lip_length_m / gap_m ** (2.0 * flow_index + 1.0)
        fixed = float(slot_die.resistance(slot_die.fixed_sections(self.die), flow_index))
        return (2.0 + 1.0 / flow_index) * lip / (lip + fixed) / self.gap_nominal_um

    def viscosity_pa_s(self, slurry: Slurry) -> float:
        """Apparent viscosity of a slurry there."""
        return float(slurry.consistency_pa_sn * self.shear_rate_set_per_s ** (slurry.flow_index - 1.0))

    def slip_m3ps_per_pa(self, slurry: Slurry) -> float:
        """Slip of the pump for a unit of pressure: what leaks is as thin as what is pumped."""
        thinner = self.viscosity_pa_s(self.batches[0]) / self.viscosity_pa_s(slurry)
        return thinner / self.pump.slip_resistance_pa_s_per_m3

    @property
    def lanes(self) -> int:
        return int(self.lanes_mm.size)

    @staticmethod
    def nominal(line: LineDescription, lanes_per_zone: int = LANES_PER_ZONE) -> Truth:
        """A line that is exactly what its description says: no drift, no noise, no spread."""
        return Truth.draw(line, 0, 0.0, lanes_per_zone)

    @staticmethod
    def draw(line: LineDescription, seed: int, difficulty: float = 1.0, lanes_per_zone: int = LANES_PER_ZONE) -> Truth:
        """A line drawn at random. `difficulty` scales every disturbance, spread and disagreement; 1 is the default."""
        lanes = line.zones * lanes_per_zone
        width_mm = line.web_width_mm
        lanes_mm = ((np.arange(lanes) + 0.5) / lanes - 0.5) * width_mm
        lip_share = line.die.lip_share * _spread(seed, "lip-share", 0.08, difficulty)
        filled = _die(line, seed, min(lip_share, 1.0), np.abs(lanes_mm) * 2.0 / width_mm)
        batches = _batches(line, seed, difficulty, filled)
        draw = _Sizes(seed, difficulty)
        set_pa = _set_pressure_pa(line, filled, batches[0])
        offset_pct = draw("offset_pct")
        split = generator(seed, "truth.offset-split")
        sign, pump_share = split.choice((-1.0, 1.0)), split.uniform(0.4, 0.8)
        return Truth(
            width_m=width_mm * 1e-3,
            web_speed_mps=line.web_speed_mps,
            web_speed_max_mps=line.web_speed_max_mps,
            target_gsm=float(np.mean(line.target_profile_gsm)),
            zones=line.zones,
            lanes_mm=lanes_mm,
            zone_pitch_mm=line.die.zone_pitch_mm,
            gap_nominal_um=line.die.gap_nominal_um,
            die=filled,
            lip_response=_lip_response(line, seed, difficulty, lanes_mm),
            unevenness_um=_unevenness_um(line, seed, draw, lanes_mm / line.die.zone_pitch_mm),
            batches=batches,
            pump=_pump(line, seed, draw, set_pa),
            pump_offset=sign * offset_pct * pump_share,
            solids_offset=sign * offset_pct * (1.0 - pump_share),
            actuators=_actuators(line, seed, difficulty),
            drifts=_drifts(draw),
            wet=_gauge(line.wet_gauge, seed, draw),
            dry=_gauge(line.dry_gauge, seed, draw),
            compliance_um_per_pa=(difficulty * draw("lip_opening_um") / set_pa)
            * lip_mechanics.clamshell(filled.lane_position, CLAMSHELL_END_SHARE),
            pressure_set_pa=set_pa,
        )


class _Sizes:
    """Draws a size from its range, each from its own stream. Percent become shares; sizes scale with difficulty."""

    def __init__(self, seed: int, difficulty: float):
        self._seed = seed
        self._difficulty = difficulty

    def __call__(self, name: str) -> float:
        low, high = RANGES[name]
        value = float(generator(self._seed, "truth.size", name).uniform(low, high))
        return self.scaled(value) if name.endswith("_pct") else value

    def scaled(self, percent: float) -> float:
        """A size in percent as a share, at this difficulty."""
        return percent * self._difficulty / 100.0


def _spread(seed: int, name: str, share: float, difficulty: float) -> float:
    """A factor within 1 +- share."""
    return 1.0 + difficulty * float(generator(seed, "truth.spread", name).uniform(-share, share))


def _die(line: LineDescription, seed: int, lip_share: float, lane_position: Array) -> Die:
    """Manifold sized for the width, so that its droop stays that of a 1 m die with a radius of 15 to 20 mm."""
    n = line.slurry.flow_index
    radius_mm = float(generator(seed, "truth.manifold").uniform(15.0, 20.0))
    radius_mm *= (line.web_width_mm / 1000.0) ** ((n + 1.0) / (3.0 * n + 1.0))  # droop goes with W^(n+1) / R^(3n+1)
    return slot_die.build(
        line.web_width_mm * 1e-3, line.die.gap_nominal_um * 1e-6, lip_share, n, radius_mm * 1e-3, lane_position
    )


def _reference_flow_m3ps(line: LineDescription) -> float:
    """Flow that meets the target at nominal web speed, as the description has it."""
    rpm = line.pump_ratio_nominal_rpm_per_mps * line.web_speed_mps
    return rpm / 60.0 * line.pump.displacement_cc_per_rev * 1e-6 * line.pump.efficiency


def _batches(line: LineDescription, seed: int, difficulty: float, filled: Die) -> tuple[Slurry, ...]:
    """The recipe's batch and those that follow. Each differs from the one before by a drawn step of solids, as seen in
    areal density, that keeps within one step of the recipe; n, K and yield stress are drawn anew for each."""
    solids0 = line.slurry.solids_fraction
    recipe = Recipe.of(line.slurry.density_kgm3, solids0)
    flow_m2ps = _reference_flow_m3ps(line) / filled.width_m
    low, high = RANGES["batch_pct"]
    away = 0.0
    batches = []
    for i in range(BATCHES):
        rng = generator(seed, "truth.batch", i)
        direction, step = rng.choice((-1.0, 1.0)), rng.uniform(low, high) / 100.0 * difficulty
        if i > 0:
            away += step * (direction if away == 0.0 else -np.sign(away))
        law = HerschelBulkley(
            NOMINAL_CONSISTENCY_PA_SN * float(np.exp(difficulty * rng.uniform(-0.3, 0.3))),
            line.slurry.flow_index + difficulty * float(rng.uniform(-0.03, 0.03)),
            difficulty * float(rng.uniform(0.0, 4.0)),
        )
        local = local_power_law(law, flow_m2ps, filled.gap_nominal_m)
        solids = solids0 + float(away) / recipe.areal_sensitivity(solids0)
        batches.append(Slurry(local.consistency_pa_sn, local.flow_index, recipe.density_kgm3(solids), solids))
    return tuple(batches)


def _lip_response(line: LineDescription, seed: int, difficulty: float, lanes_mm: Array) -> Array:
    gain = 1.0 + 0.1 * difficulty * generator(seed, "truth.bolt-gain").standard_normal(line.zones)
    shift = float(generator(seed, "truth.alignment").uniform(-1.0, 1.0)) * line.die.alignment_uncertainty_mm
    fwhm_mm = line.die.kernel_fwhm_pitches * line.die.zone_pitch_mm * _spread(seed, "kernel", 0.1, difficulty)
    return lip.response(
        lanes_mm,
        line.zone_centres_mm,
        fwhm_mm,
        np.clip(gain, 0.6, 1.4),
        line.die.alignment_shift_mm + difficulty * shift,
    )


def _unevenness_um(line: LineDescription, seed: int, draw: _Sizes, lane_zones: Array) -> Array:
    """Static lip error whose coating error has the drawn standard deviation, by the nominal gain (2+1/n) f_lip / H."""
    shape = smooth_shape(generator(seed, "truth.static-shape"), lane_zones, draw("static_zones"))
    gain_per_um = (2.0 + 1.0 / line.slurry.flow_index) * line.die.lip_share / line.die.gap_nominal_um
    return shape * draw("static_pct") / gain_per_um


def _set_pressure_pa(line: LineDescription, filled: Die, first: Slurry) -> float:
    """Pressure in the die at nominal flow and an even lip."""
    even = np.full(filled.lane_position.size, line.die.gap_nominal_um)
    split = slot_die.split(slot_die.slot(filled, first), even, np.zeros_like(even))
    return split.pressure_pa(_reference_flow_m3ps(line))


def _pump(line: LineDescription, seed: int, draw: _Sizes, pressure_pa: float) -> Pump:
    """A pump whose calibration is right at the reference state: its slip there is on top of the stated efficiency."""
    slip_share = NOMINAL_SLIP_SHARE * _spread(seed, "slip-share", 0.5, 1.0)
    flow = _reference_flow_m3ps(line)
    rev_per_s = line.pump_ratio_nominal_rpm_per_mps * line.web_speed_mps / 60.0
    return Pump(
        displacement_m3_per_rev=line.pump.displacement_cc_per_rev * 1e-6,
        efficiency=line.pump.efficiency * (1.0 + slip_share),
        slip_resistance_pa_s_per_m3=pressure_pa / (slip_share * flow),
        lag_s=0.3,
        speed_max_rpm=line.pump.speed_max_rpm,
        pulsation=draw("pulsation_pct"),
        pulses_per_rev=draw("pulsation_hz") / rev_per_s,
    )


def _actuators(line: LineDescription, seed: int, difficulty: float) -> Actuators:
    rng = generator(seed, "truth.actuators")
    lips = line.lips
    return Actuators(
        gap_min_um=lips.gap_min_um,
        gap_max_um=lips.gap_max_um,
        rate_um_per_s=lips.rate_um_per_s * (1.0 + 0.1 * difficulty * rng.uniform(0.0, 1.0, line.zones)),
        resolution_um=lips.resolution_um,
        backlash_um=lips.backlash_um * (1.0 + 0.5 * difficulty * rng.uniform(-1.0, 1.0, line.zones)),
    )


def _drifts(draw: _Sizes) -> DriftSizes:
    zones = draw("cd_zones")
    return DriftSizes(
        slow_cd=draw("slow_cd_pct"),
        slow_cd_tau_s=60.0 * draw("slow_cd_min"),
        slow_cd_zones=zones,
        fast_cd=draw("fast_cd_pct"),
        fast_cd_tau_s=60.0 * draw("fast_cd_min"),
        fast_cd_zones=zones,
        white_cd=draw("white_cd_pct"),
        slip=draw("slip_pct"),
        slip_tau_s=60.0 * draw("slip_min"),
        solids=draw("solids_pct"),
        solids_tau_s=60.0 * draw("solids_min"),
    )


def _gauge(described: GaugeDescription | None, seed: int, draw: _Sizes) -> GaugeTruth | None:
    """Noise as described within a third; a wet gauge drifts visibly, a dry one hardly."""
    if described is None:
        return None
    bias = draw("wet_bias_pct" if described.is_wet else "dry_bias_pct")
    noise = draw.scaled(described.noise_pct) * _spread(seed, f"noise.{described.kind}", 0.3, 1.0)
    return GaugeTruth(
        kind=described.kind,
        boxes=described.boxes,
        distance_m=described.distance_m,
        period_s=described.period_s,
        noise=noise,
        bias_common=0.6 * bias,
        bias_box=0.8 * bias,
        bias_tau_s=3600.0 * draw("bias_h"),
        full_scale=GAUGE_FULL_SCALE,
        depth=0.0 if described.is_wet or noise == 0.0 else GAUGE_DEPTH,
        head_speed_mps=described.head_speed_mps,
        spot_mm=SPOT_MM if described.is_scanner else 0.0,
    )
