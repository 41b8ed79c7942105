"""The catalogue of everything a scenario can play by name, and what is in effect at a moment.

Imported inside plant_sim, and by the front door to list names. A play has an onset, a duration and a size; outside of
them it has no effect at all.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np

from plant_sim.actuators import ActuatorFaults
from plant_sim.disturbances import Amplitudes
from plant_sim.gauges import HEALTHY, GaugeFaults


@dataclass(frozen=True, slots=True)
class Play:
    """One named thing that happens. `size` is in the unit that its catalogue entry states."""

    name: str
    onset_s: float = 0.0
    duration_s: float = math.inf
    size: float = 1.0
    ramp_s: float = 0.0  # speed changes: how long they take
    front_s: float = 120.0  # batch change: mixing front
    at: float = 0.5  # bolts: place across the web, 0..1, so that one scenario fits any number of zones
    gauge: str = "wet"
    from_share: float = 0.0  # dropout: boxes between these shares of the width
    to_share: float = 1.0
    chance_pct: float = 1.0  # outliers: of all boxes

    def active(self, t_s: float) -> bool:
        return self.onset_s <= t_s < self.onset_s + self.duration_s


@dataclass(frozen=True, slots=True)
class Entry:
    """What a name means: the unit and bounds of its size, and the keys it reads beside onset, duration and size."""

    meaning: str
    size_unit: str
    size_min: float
    size_max: float
    keys: tuple[str, ...] = ()


def _drawn(meaning: str) -> Entry:
    return Entry(meaning, "times the size drawn for the line", 0.0, 5.0)


CATALOGUE: dict[str, Entry] = {
    "static-profile": _drawn("lips uneven as they were set"),
    "set-up-offset": _drawn("pump calibration and solids of the first batch off"),
    "slow-cd-drift": _drawn("profile drifting over tens of minutes"),
    "fast-cd-drift": _drawn("profile drifting over minutes"),
    "white-cd": _drawn("unevenness that changes at once"),
    "pump-slip-drift": _drawn("pump delivering more or less, over minutes"),
    "solids-drift": _drawn("solids of the slurry wandering"),
    "pump-pulsation": _drawn("flow pulsing at the stator's frequency and its double"),
    "batch-change": Entry("next batch mixes in", "times the drawn difference", 0.0, 5.0, ("front_s",)),
    "pump-slip-step": Entry("pump loses delivery at once", "percent of flow", -10.0, 10.0),
    "web-speed": Entry("web runs at another speed", "share of nominal speed", 0.05, 1.3, ("ramp_s",)),
    "web-stop": Entry("web stands still", "not used", 0.0, 5.0, ("ramp_s",)),
    "stuck-bolt": Entry("a bolt does not move", "not used", 0.0, 5.0, ("at",)),
    "slow-bolt": Entry("a bolt crawls", "share of its rate", 0.0, 1.0, ("at",)),
    "backlash-growth": Entry("a bolt's play grows", "um", 0.0, 50.0, ("at",)),
    "gauge-silent": Entry("a gauge says nothing", "not used", 0.0, 5.0, ("gauge",)),
    "gauge-frozen": Entry("a gauge repeats its last scan", "not used", 0.0, 5.0, ("gauge",)),
    "gauge-dropout": Entry("boxes report invalid", "not used", 0.0, 5.0, ("gauge", "from_share", "to_share")),
    "gauge-outliers": Entry("single boxes far off", "percent of the reading", 0.0, 90.0, ("gauge", "chance_pct")),
    "gauge-bias": Entry("a gauge reads too much", "percent of the reading", -20.0, 20.0, ("gauge",)),
    "encoder-loss": Entry("web speed and position not valid", "not used", 0.0, 5.0),
}

_AMPLITUDE_OF = {
    "static-profile": "static_profile",
    "set-up-offset": "set_up_offset",
    "slow-cd-drift": "slow_cd",
    "fast-cd-drift": "fast_cd",
    "white-cd": "white_cd",
    "pump-slip-drift": "slip",
    "solids-drift": "solids",
    "pump-pulsation": "pulsation",
}
DRIFTS = tuple(_AMPLITUDE_OF)  # names of the default difficulty


@dataclass(frozen=True, slots=True, eq=False)
class Effects:
    """All that is played at a moment."""

    amplitudes: Amplitudes = field(default_factory=Amplitudes)
    bolts: ActuatorFaults | None = None
    wet: GaugeFaults = HEALTHY
    dry: GaugeFaults = HEALTHY
    slip_step: float = 0.0  # share of flow lost
    encoder_valid: bool = True


class Timetable:
    """What is in effect when, for a line with `zones` bolts and gauges of so many boxes.

    Effects change at onsets and ends only; each interval between them is worked out once and kept.
    """

    __slots__ = ("_boxes", "_changes", "_known", "_plays", "_zones")

    def __init__(self, plays: Sequence[Play], zones: int, boxes: dict[str, int]):
        self._plays = tuple(play for play in plays if play.name in CATALOGUE)
        self._zones = zones
        self._boxes = boxes
        ends = {play.onset_s for play in plays} | {play.onset_s + play.duration_s for play in plays}
        self._changes = sorted(end for end in ends if math.isfinite(end))
        self._known: dict[int, Effects] = {}

    def at(self, t_s: float) -> Effects:
        interval = bisect_right(self._changes, t_s)
        effects = self._known.get(interval)
        if effects is None:
            effects = self._known[interval] = self._worked_out(t_s)
        return effects

    def _worked_out(self, t_s: float) -> Effects:
        active = [play for play in self._plays if play.active(t_s)]
        sizes = {_AMPLITUDE_OF[play.name]: 0.0 for play in active if play.name in _AMPLITUDE_OF}
        for play in active:
            if play.name in _AMPLITUDE_OF:
                sizes[_AMPLITUDE_OF[play.name]] += play.size
        return Effects(
            amplitudes=Amplitudes(**sizes),
            bolts=_bolt_faults(active, self._zones),
            wet=_gauge_faults(active, "wet", self._boxes.get("wet", 0)),
            dry=_gauge_faults(active, "dry", self._boxes.get("dry", 0)),
            slip_step=sum(play.size for play in active if play.name == "pump-slip-step") / 100.0,
            encoder_valid=not any(play.name == "encoder-loss" for play in active),
        )


def bolt_of(play: Play, zones: int) -> int:
    """Number of the bolt (from 0) that stands nearest to the play's place across the web."""
    return min(int(play.at * zones), zones - 1)


def _bolt_faults(active: Sequence[Play], zones: int) -> ActuatorFaults | None:
    rate, backlash = np.ones(zones), np.zeros(zones)
    spoilt = False
    for play in active:
        if play.name not in ("stuck-bolt", "slow-bolt", "backlash-growth"):
            continue
        spoilt, bolt = True, bolt_of(play, zones)
        if play.name == "backlash-growth":
            backlash[bolt] += play.size
        else:
            rate[bolt] *= 0.0 if play.name == "stuck-bolt" else play.size
    return ActuatorFaults(rate, backlash) if spoilt else None


def _gauge_faults(active: Sequence[Play], gauge: str, boxes: int) -> GaugeFaults:
    faults = HEALTHY
    for play in active:
        if play.gauge != gauge:
            continue
        if play.name == "gauge-silent":
            faults = replace(faults, silent=True)
        elif play.name == "gauge-frozen":
            faults = replace(faults, frozen=True)
        elif play.name == "gauge-dropout":
            faults = replace(faults, dropout=(round(play.from_share * boxes), round(play.to_share * boxes)))
        elif play.name == "gauge-outliers":
            faults = replace(faults, outlier_chance=play.chance_pct / 100.0, outlier_size=play.size / 100.0)
        elif play.name == "gauge-bias":
            faults = replace(faults, bias=faults.bias + play.size / 100.0)
    return faults


PLAY_KEYS = tuple(entry.name for entry in fields(Play))
