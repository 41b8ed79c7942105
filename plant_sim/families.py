"""Families of random lines by name, for training and examining controllers on thousands of machines.

`draw(family, seed)` gives what the controller is told and what is true, as two objects that disagree as the family
says. Every number comes from RANGES, or from the family's own entries over it; what is drawn beyond them (drifts,
batches, manifold, bolt spread) comes from plant_sim.truth.RANGES. Parameters have streams of their own, so lines of one
seed are the same in all families but for what the family changes. Imported by the front door, tests and benchmarks.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from controller.line.description import (
    ControlDescription,
    DieDescription,
    GaugeDescription,
    GaugeKind,
    LawName,
    LineDescription,
    LipLimits,
    PumpDescription,
    SlurryDescription,
    TargetDescription,
)
from plant_sim.faults import DRIFTS, Play
from plant_sim.noise import generator
from plant_sim.scenario import Scenario
from plant_sim.slurry import LIQUID_DENSITY_KGM3, Recipe
from plant_sim.truth import LANES_PER_ZONE, Truth

ZONES_MIN, ZONES_MAX = 8, 128
PITCH_MIN_MM, PITCH_MAX_MM = 10.0, 60.0

Range = tuple[float, float]

# What a description is drawn from. Uniform, but for names ending in "zones", "boxes_a_zone" (whole numbers) and those
# of LOGARITHMIC.
RANGES: dict[str, Range] = {
    "zones": (ZONES_MIN, ZONES_MAX),
    "width_m": (0.3, 1.4),  # narrowed where the pitch would leave 10 to 60 mm
    "gap_um": (400.0, 1200.0),
    "lip_share": (0.2, 1.0),
    "kernel_fwhm_pitches": (1.0, 2.5),
    "alignment_uncertainty_pitches": (0.1, 0.3),
    "flow_index": (0.5, 0.75),
    "solids_fraction": (0.45, 0.75),
    "particle_kgm3": (2000.0, 4500.0),  # graphite to NMC, with binder and carbon
    "wet_film_um": (80.0, 200.0),
    "web_m_per_min": (20.0, 80.0),
    "oven_m": (30.0, 80.0),
    "wet_distance_m": (1.0, 5.0),
    "wet_period_s": (0.1, 0.5),
    "wet_noise_pct": (0.2, 0.6),
    "dry_period_s": (0.5, 2.0),
    "dry_noise_pct": (0.15, 0.4),
    "boxes_a_zone": (1, 2),
    "rate_um_per_s": (1.0, 20.0),
    "resolution_um": (0.1, 0.5),
    "backlash_um": (0.0, 1.0),
    "nominal_rpm": (40.0, 120.0),
    "pump_efficiency": (0.92, 0.98),
    "tolerance_pct": (1.0, 2.0),
    "head_speed_mps": (0.1, 0.4),
    "head_turn_s": (0.5, 2.0),
}
LOGARITHMIC = frozenset({"zones", "rate_um_per_s", "resolution_um"})

# What is true of every line beside its description; the controller is told nothing of it.
HIDDEN: dict[str, Range] = {
    "consistency_pa_sn": (3.0, 30.0),  # of the first batch; moves pressure and nothing else
    "alignment_shift_pitches": (0.0, 0.0),
    "alignment_stretch_pct": (0.0, 0.0),
    "batch_factor": (1.0, 1.0),  # times the steps between batches that plant_sim.truth draws
}


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of line. `described` replaces ranges of the description; `true` are parameters whose true value is
    drawn apart from the described one, or a hidden parameter's own range."""

    meaning: str
    described: Mapping[str, Range] = field(default_factory=dict)
    true: Mapping[str, Range] = field(default_factory=dict)
    scanner_only: bool = False  # nothing but a zig-zag scanner behind the dryer
    batch_every_s: Range | None = None
    front_s: Range = (30.0, 1800.0)


FAMILIES: dict[str, Family] = {
    "nominal": Family("a usual line, described as well as one can"),
    "shear-thinning": Family(
        "the slurry thins far more than the recipe says, in a die cut for the recipe's",
        described={"flow_index": (0.55, 0.7)},
        true={"flow_index": (0.38, 0.48)},
    ),
    "wide-kernel": Family(
        "a stiff lip: every bolt moves its neighbours, more than the drawing says",
        described={"kernel_fwhm_pitches": (1.6, 2.2)},
        true={"kernel_fwhm_pitches": (2.2, 3.0)},
    ),
    "misaligned": Family(
        "gauge boxes and bolts do not stand where they are thought to",
        described={"alignment_uncertainty_pitches": (0.3, 0.6)},
        true={"alignment_shift_pitches": (-0.7, 0.7), "alignment_stretch_pct": (-1.0, 1.0)},
    ),
    "dry-scanner-only": Family("one head in a zig-zag behind the dryer, and no other gauge", scanner_only=True),
    "noisy": Family(
        "gauges at the poor end of what is sold, and poorer than their data sheet",
        described={"wet_noise_pct": (0.5, 0.8), "dry_noise_pct": (0.3, 0.5)},
        true={"wet_noise_pct": (0.8, 1.6), "dry_noise_pct": (0.5, 1.0)},
    ),
    "backlash-heavy": Family(
        "worn screws: coarse, with play that the description has seen a third of",
        described={"backlash_um": (0.5, 1.5), "resolution_um": (0.5, 1.0)},
        true={"backlash_um": (2.0, 5.0)},
    ),
    "batch-changing": Family(
        "a new batch every few minutes, each further from the last than usual",
        true={"batch_factor": (1.2, 2.0)},
        batch_every_s=(300.0, 900.0),
    ),
    "fast-web": Family("a web faster than most", described={"web_m_per_min": (80.0, 150.0)}),
    "wide": Family("a wide die with many bolts", described={"zones": (64, 128), "width_m": (1.0, 1.4)}),
}


def draw(family: str, seed: int, lanes_per_zone: int = LANES_PER_ZONE) -> tuple[LineDescription, Truth]:
    """What the controller is told of one line of a family, and what is true of it.

    Raises KeyError naming the nearest family for a name that is none.
    """
    kind = known(family)
    told = _numbers(seed, {**RANGES, **kind.described}, "described")
    differing = {name: bounds for name, bounds in kind.true.items() if name in RANGES}
    real = {**told, **_numbers(seed, differing, "true")}
    hidden_numbers = hidden(family, seed)
    name = f"{family}-{seed}"
    line, truly = _line(name, told), _line(name, real)
    if kind.scanner_only:
        line, truly = _scanning(line, told), _scanning(truly, real)
    return line, _truth(line, truly, hidden_numbers, seed, lanes_per_zone)


def hidden(family: str, seed: int) -> dict[str, float]:
    """What is true of a line beside its description, by the names of HIDDEN."""
    own = {name: bounds for name, bounds in known(family).true.items() if name in HIDDEN}
    return _numbers(seed, {**HIDDEN, **own}, "hidden")


def known(family: str) -> Family:
    """A family by its name. Raises KeyError naming the nearest one."""
    if family not in FAMILIES:
        near = difflib.get_close_matches(family, FAMILIES, n=1, cutoff=0.0)
        raise KeyError(f"family: nothing is called {family!r}; nearest known: {near[0]!r}")
    return FAMILIES[family]


def scenario(family: str, seed: int, minutes: float) -> Scenario:
    """What happens to a line of the family for so long: every drift, an uneven start, and batches where it has them."""
    kind = known(family)
    plays = [Play(name) for name in DRIFTS]
    if kind.batch_every_s is not None:
        rng = generator(seed, "family.batches")
        at_s = float(rng.uniform(*kind.batch_every_s))
        while at_s < 60.0 * minutes:
            low, high = (math.log(bound) for bound in kind.front_s)
            plays.append(Play("batch-change", onset_s=at_s, front_s=math.exp(rng.uniform(low, high))))
            at_s += float(rng.uniform(*kind.batch_every_s))
    return Scenario(f"family-{family}", kind.meaning, tuple(plays))


def _numbers(seed: int, ranges: Mapping[str, Range], part: str) -> dict[str, float]:
    """One number from each range, each by a stream of its own."""
    numbers = {}
    for name, (low, high) in ranges.items():
        share = float(generator(seed, "family", part, name).random())
        value = low * (high / low) ** share if name in LOGARITHMIC else low + share * (high - low)
        numbers[name] = round(value) if name in ("zones", "boxes_a_zone") else value
    return numbers


def _line(name: str, n: Mapping[str, float]) -> LineDescription:
    """A line file's worth of description from one set of numbers; what is not drawn follows by usual rules."""
    zones, speed = int(n["zones"]), n["web_m_per_min"] / 60.0
    width_mm = min(max(1e3 * n["width_m"], PITCH_MIN_MM * zones), PITCH_MAX_MM * zones)
    density = _density_kgm3(n)
    wet_delay_s = n["wet_distance_m"] / speed
    dry_m = n["wet_distance_m"] + n["oven_m"]
    return LineDescription(
        name=name,
        web_width_mm=width_mm,
        web_speed_mps=speed,
        web_speed_max_mps=1.25 * speed,
        target=TargetDescription(n["wet_film_um"] * density * n["solids_fraction"] * 1e-3, n["tolerance_pct"]),
        slurry=SlurryDescription(density, n["solids_fraction"], n["flow_index"]),
        die=_die(n, zones, width_mm / zones),
        lips=_lips(n, width_mm / zones),
        pump=_pump(n, n["wet_film_um"] * 1e-6 * width_mm * 1e-3 * speed),
        wet_gauge=_gauge(n, GaugeKind.WET_ARRAY, n["wet_distance_m"]),
        dry_gauge=_gauge(n, GaugeKind.DRY_ARRAY, dry_m),
        control=ControlDescription(
            cycle_s=0.1,
            law=LawName.IMC,
            closed_loop_cd_s=max(20.0, 4.0 * wet_delay_s),
            closed_loop_md_s=max(4.0, 2.7 * (wet_delay_s + n["wet_period_s"])),
            bias_filter_s=5.0 * dry_m / speed,
            mode_gain_floor=0.1,
            dead_band_um=max(0.2, n["resolution_um"]),
            stale_periods=5,
        ),
    )


def _density_kgm3(n: Mapping[str, float]) -> float:
    return Recipe(n["particle_kgm3"], LIQUID_DENSITY_KGM3).density_kgm3(n["solids_fraction"])


def _die(n: Mapping[str, float], zones: int, pitch_mm: float) -> DieDescription:
    return DieDescription(
        zones=zones,
        zone_pitch_mm=pitch_mm,
        gap_nominal_um=n["gap_um"],
        lip_share=n["lip_share"],
        kernel_fwhm_pitches=n["kernel_fwhm_pitches"],
        alignment_shift_mm=0.0,
        alignment_uncertainty_mm=n["alignment_uncertainty_pitches"] * pitch_mm,
    )


def _lips(n: Mapping[str, float], pitch_mm: float) -> LipLimits:
    """A fifth of the gap either way; a lip takes about 2 um of difference a millimetre (as lines/line-40.toml)."""
    return LipLimits(
        gap_min_um=0.8 * n["gap_um"],
        gap_max_um=1.2 * n["gap_um"],
        rate_um_per_s=n["rate_um_per_s"],
        resolution_um=n["resolution_um"],
        backlash_um=n["backlash_um"],
        neighbour_max_um=2.0 * pitch_mm,
        bend_max_um=2.8 * pitch_mm,
        command_step_um=0.1,
    )


def _pump(n: Mapping[str, float], flow_m3ps: float) -> PumpDescription:
    """A pump that turns at nominal_rpm at nominal speed, with room for the fastest web and full trim."""
    displacement_cc = flow_m3ps / (n["nominal_rpm"] / 60.0) / n["pump_efficiency"] * 1e6
    return PumpDescription(displacement_cc, n["pump_efficiency"], 1.25 * 1.1 * n["nominal_rpm"], 8.0, 0.5)


def _gauge(n: Mapping[str, float], kind: GaugeKind, distance_m: float) -> GaugeDescription:
    which = "wet" if kind is GaugeKind.WET_ARRAY else "dry"
    boxes = int(n["zones"]) * int(n["boxes_a_zone"])
    return GaugeDescription(kind, boxes, distance_m, n[f"{which}_period_s"], n[f"{which}_noise_pct"])


def _truth(
    line: LineDescription, real: LineDescription, hidden: Mapping[str, float], seed: int, lanes_per_zone: int
) -> Truth:
    """The true line: drawn around `real`, in the die that was cut for what `line` says, with the hidden numbers."""
    pitch_mm = line.die.zone_pitch_mm
    moved = replace(
        real.die,
        zone_pitch_mm=pitch_mm * (1.0 + hidden["alignment_stretch_pct"] / 100.0),
        alignment_shift_mm=hidden["alignment_shift_pitches"] * pitch_mm,
    )
    truth = Truth.draw(replace(real, die=moved), seed, lanes_per_zone=lanes_per_zone)
    if real.slurry.flow_index != line.slurry.flow_index:
        truth = replace(truth, die=Truth.draw(line, seed, lanes_per_zone=lanes_per_zone).die)
    return _with_consistency(_with_batches(truth, hidden["batch_factor"]), hidden["consistency_pa_sn"])


def _with_batches(truth: Truth, factor: float) -> Truth:
    """Steps between batches, in every property but consistency, times factor."""
    first = truth.batches[0]
    if factor == 1.0:
        return truth
    batches = tuple(
        replace(
            batch,
            flow_index=first.flow_index + factor * (batch.flow_index - first.flow_index),
            density_kgm3=first.density_kgm3 + factor * (batch.density_kgm3 - first.density_kgm3),
            solids_fraction=first.solids_fraction + factor * (batch.solids_fraction - first.solids_fraction),
        )
        for batch in truth.batches
    )
    return replace(truth, batches=batches)


def _with_consistency(truth: Truth, first_pa_sn: float) -> Truth:
    """The same line with a thicker or thinner slurry, and a pump that is as tight for it: pressures scale, no more."""
    factor = first_pa_sn / truth.batches[0].consistency_pa_sn
    batches = tuple(replace(batch, consistency_pa_sn=factor * batch.consistency_pa_sn) for batch in truth.batches)
    resistance = factor * truth.pump.slip_resistance_pa_s_per_m3
    return replace(truth, batches=batches, pump=replace(truth.pump, slip_resistance_pa_s_per_m3=resistance))


def _scanning(line: LineDescription, n: Mapping[str, float]) -> LineDescription:
    """The same line with one head where its dry array stands, no wet gauge, and loops slow enough for that."""
    dry = line.dry_gauge
    assert dry is not None
    pass_s = line.web_width_mm * 1e-3 / n["head_speed_mps"] + n["head_turn_s"]
    scanner = replace(dry, kind=GaugeKind.DRY_SCANNER, period_s=pass_s, head_speed_mps=n["head_speed_mps"])
    delay_s = dry.distance_m / line.web_speed_mps + pass_s
    control = replace(line.control, closed_loop_cd_s=1.5 * delay_s, closed_loop_md_s=1.5 * delay_s)
    return replace(line, wet_gauge=None, dry_gauge=scanner, control=control)
