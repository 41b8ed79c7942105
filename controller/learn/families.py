"""Which lines training believes in: what their descriptions and their hidden numbers are drawn from, family by family.

The ranges are those of slot-die lines for battery electrodes (web, oven and gauge figures as makers state them; sizes
and times of disturbances as engineering assumptions), a little wider on purpose: a network that has seen more than
there is does not lean on what there is. Families that are held out are never trained on; they are what a checkpoint is
judged by beside fresh lines of the others.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

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

Range = tuple[float, float]

CYCLE_S = 0.5  # of the belief plant: gauges that scan oftener are averaged over it
PITCH_MM = 25.0


class Gauges(StrEnum):
    """What a line has to look at its web."""

    BOTH = "wet and dry arrays"
    ARRAY = "a dry array"
    SCANNER = "a dry scanner"


# Uniform, but for those of LOGARITHMIC. A name that ends in _share is a share of 1.
RANGES: dict[str, Range] = {
    "web_m_per_min": (20.0, 80.0),
    "wet_distance_m": (1.0, 5.0),
    "oven_m": (30.0, 80.0),
    "boxes": (8.0, 256.0),  # of a gauge: how noisy its mean is
    "wet_period_s": (0.1, 0.5),
    "wet_noise_pct": (0.15, 0.8),
    "dry_period_s": (0.5, 2.0),
    "dry_noise_pct": (0.1, 0.5),
    "noisier": (0.7, 1.3),  # gauges than described
    "width_m": (0.3, 1.4),
    "head_mps": (0.1, 0.4),
    "head_turn_s": (0.5, 2.0),
    "flow_index": (0.45, 0.8),
    "flow_index_off": (-0.03, 0.03),  # of the first batch from what is described
    "shear_log": (3.5, 7.5),  # log of the shear rate: what a change of n does to the pressure
    "static_pct": (0.5, 3.0),
    "offset_pct": (0.5, 2.8),  # at start-up
    "offset_of_pump_share": (0.2, 0.9),
    "cd_pct": (0.3, 1.0),
    "cd_s": (300.0, 2400.0),
    "slip_pct": (0.15, 0.9),
    "slip_s": (180.0, 1200.0),
    "solids_pct": (0.15, 0.7),
    "solids_s": (600.0, 2400.0),
    "pulse_pct": (0.03, 0.45),
    "pulse_hz": (0.5, 2.0),
    "wet_bias_pct": (0.2, 1.1),
    "wet_ramp_pct_per_h": (-0.5, 0.5),
    "dry_bias_pct": (0.02, 0.12),
    "bias_s": (3600.0, 10800.0),
    "rheology_pct": (0.0, 0.6),  # as flow, between batches
    "rheology_s": (600.0, 2400.0),
    "pressure_noise_pct": (0.01, 0.5),
    "pressure_true_share": (0.35, 0.35),  # of lines whose pressure has no noise at all
    "pressure_none_share": (0.08, 0.08),  # of lines without a pressure sensor
    "ramping_share": (0.25, 0.25),  # of lines whose wet gauge drifts one way
    "batch_first_s": (300.0, 1500.0),
    "batch_every_s": (900.0, 2400.0),
    "batch_pct": (0.4, 2.0),  # one standard deviation of the batches' levels
    "batch_walks_share": (0.15, 0.15),  # of lines whose batches walk instead of lying around the recipe
    "batch_first_share": (0.0, 1.0),  # of that deviation: how far the first one is off
    "batch_rheology_log": (0.05, 0.45),  # one standard deviation of ln K
    "batch_flow_index": (0.0, 0.03),
    "front_s": (30.0, 1800.0),  # until 96 % has come
    "step_share": (0.08, 0.08),  # of lines whose pump slips once by a step
    "step_pct": (0.5, 1.5),
}
LOGARITHMIC = frozenset({"boxes", "cd_s", "slip_s", "solids_s", "rheology_s", "front_s", "pressure_noise_pct"})


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of line: its own entries over RANGES, how often it is drawn, and whether training may see it."""

    meaning: str
    ranges: Mapping[str, Range] = field(default_factory=dict)
    gauges: Gauges = Gauges.BOTH
    weight: int = 1
    held_out: bool = False


FAMILIES: dict[str, Family] = {
    "usual": Family("both gauges, a batch now and then", weight=4),
    "restless": Family(
        "a new batch every few minutes", {"batch_every_s": (300.0, 900.0), "batch_pct": (0.8, 2.5)}, weight=3
    ),
    "thinner": Family("a slurry that thins more than the recipe says", {"flow_index_off": (-0.22, -0.05)}),
    "array-behind": Family("no gauge before the dryer", gauges=Gauges.ARRAY),
    "scanner-behind": Family("one head in a zig-zag behind the dryer", gauges=Gauges.SCANNER),
    "quick": Family("a faster web than any trained on", {"web_m_per_min": (80.0, 150.0)}, held_out=True),
    "coarse": Family(
        "noisier gauges than any trained on, and noisier than they are said to be",
        {"wet_noise_pct": (0.5, 0.8), "dry_noise_pct": (0.3, 0.5), "noisier": (1.5, 2.2)},
        held_out=True,
    ),
}


def trained() -> tuple[str, ...]:
    """Families that training sees, each as often as its weight says."""
    return tuple(name for name, family in FAMILIES.items() if not family.held_out for _ in range(family.weight))


def known(name: str) -> Family:
    """A family by its name. Raises KeyError naming those there are."""
    if name not in FAMILIES:
        raise KeyError(f"family: nothing is called {name!r}; there are {', '.join(FAMILIES)}")
    return FAMILIES[name]


def stream(seed: int, *names: str) -> np.random.Generator:
    """Random numbers of their own for each name: a new parameter changes no other."""
    return np.random.default_rng([seed, zlib.crc32("/".join(names).encode())])


def numbers(name: str, seed: int) -> dict[str, float]:
    """One number from each range."""
    drawn = {}
    for key, (low, high) in {**RANGES, **known(name).ranges}.items():
        share = float(stream(seed, key).random())
        drawn[key] = low * (high / low) ** share if key in LOGARITHMIC else low + share * (high - low)
    return drawn


def described(name: str, seed: int, n: Mapping[str, float], zones: int, law: LawName) -> LineDescription:
    """What the controller is told of the line. Its gauges have few boxes, each as much better as more would be."""
    gauges, speed = known(name).gauges, n["web_m_per_min"] / 60.0
    wet_delay_s = n["wet_distance_m"] / speed
    dry_m = n["wet_distance_m"] + n["oven_m"]
    width_m = PITCH_MM * 1e-3 * zones
    head_mps = n["head_mps"] * width_m / n["width_m"]  # a pass takes as long as over the width that is drawn
    dry = _gauge(n, zones, "dry", dry_m)
    delay_s = dry_m / speed
    closed_s = (max(20.0, 4.0 * wet_delay_s), max(4.0, 2.7 * (wet_delay_s + CYCLE_S)))
    if gauges is not Gauges.BOTH:
        if gauges is Gauges.SCANNER:
            pass_s = width_m / head_mps + n["head_turn_s"]
            dry = GaugeDescription(GaugeKind.DRY_SCANNER, dry.boxes, dry_m, pass_s, dry.noise_pct, head_mps)
        closed_s = (1.5 * (delay_s + dry.period_s),) * 2
    return LineDescription(
        name=f"{name}-{seed}",
        web_width_mm=1e3 * width_m,
        web_speed_mps=speed,
        web_speed_max_mps=1.25 * speed,
        target=TargetDescription(180.0, 1.5),
        slurry=SlurryDescription(1730.0, 0.58, n["flow_index"]),
        die=DieDescription(zones, PITCH_MM, 600.0, 0.4, 1.8, 0.0, 8.0),
        lips=LipLimits(480.0, 720.0, 5.0, 0.2, 0.5, 50.0, 70.0, 0.1),
        pump=PumpDescription(2.5 * zones * speed, 0.96, 165.0, trim_max_pct=8.0, trim_rate_pct_per_s=0.5),
        wet_gauge=_gauge(n, zones, "wet", n["wet_distance_m"]) if gauges is Gauges.BOTH else None,
        dry_gauge=dry,
        control=ControlDescription(CYCLE_S, law, *closed_s, 5.0 * delay_s, 0.1, 0.2, 5),
    )


def _gauge(n: Mapping[str, float], zones: int, which: str, distance_m: float) -> GaugeDescription:
    period_s = n[f"{which}_period_s"]
    averaged = min(1.0, math.sqrt(period_s / CYCLE_S)) * math.sqrt(zones / n["boxes"])
    kind = GaugeKind.WET_ARRAY if which == "wet" else GaugeKind.DRY_ARRAY
    noise_pct = n[f"{which}_noise_pct"] * min(averaged, 1.0)
    return GaugeDescription(kind, zones, distance_m, max(period_s, CYCLE_S), noise_pct)
