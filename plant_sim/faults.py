"""The catalogue of everything a scenario can play by name, and what is in effect at a moment.

Imported inside plant_sim, and by the front door to list names. A play has an onset, a duration and a size; outside of
them it has no effect at all.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from controller.line.description import Array
from plant_sim.actuators import ActuatorFaults
from plant_sim.disturbances import Amplitudes
from plant_sim.gauges import HEALTHY, GaugeFaults
from plant_sim.incidents import Incidents, Rise, cooling, covered, edge_log
from plant_sim.lip_mechanics import thermal_bow_um


@dataclass(frozen=True, slots=True)
class Play:
    """One named thing that happens. `size` is in the unit that its catalogue entry states."""

    name: str
    onset_s: float = 0.0
    duration_s: float = math.inf
    size: float = 1.0
    ramp_s: float = 0.0  # speed changes, clogging, tank level, temperature: how long they take
    front_s: float = 120.0  # batch change: mixing front
    at: float = 0.5  # place across the web, 0..1, so that one scenario fits any number of zones
    gauge: str = "wet"
    from_share: float = 0.0  # dropout: boxes between these shares of the width; stiction, feedback noise: bolts
    to_share: float = 1.0
    chance_pct: float = 1.0  # outliers: of all boxes
    turn_m: float = 0.8  # run-out: circumference of the roll
    width_mm: float = 5.0  # streak, bubble: across the web; heavy edges: where they have fallen to a third
    every_s: float = 0.0  # gauge drift: standardised so often; 0 is never
    gap_m: float = 0.05  # patch coating: bare foil between patches

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


INTERVALS_KEPT = 16  # of a timetable, of which steps look at the present one
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
    "dead-bolt": Entry("a screw turns free, its lip stays", "not used", 0.0, 5.0, ("at",)),
    "reversed-bolt": Entry("a bolt moves its lip the wrong way", "not used", 0.0, 5.0, ("at",)),
    "lip-stiction": Entry("a sliding lip sticks and jumps", "um", 0.0, 50.0, ("from_share", "to_share")),
    "feedback-noise": Entry("positions fed back are noisy", "um", 0.0, 20.0, ("from_share", "to_share")),
    "gauge-silent": Entry("a gauge says nothing", "not used", 0.0, 5.0, ("gauge",)),
    "gauge-frozen": Entry("a gauge repeats its last scan", "not used", 0.0, 5.0, ("gauge",)),
    "gauge-dropout": Entry("boxes report invalid", "not used", 0.0, 5.0, ("gauge", "from_share", "to_share")),
    "gauge-outliers": Entry("single boxes far off", "percent of the reading", 0.0, 90.0, ("gauge", "chance_pct")),
    "gauge-bias": Entry("a gauge reads too much", "percent of the reading", -20.0, 20.0, ("gauge",)),
    "gauge-drift": Entry(
        "a gauge drifts until it is standardised", "percent of the reading an hour", -5.0, 5.0, ("gauge", "every_s")
    ),
    "gauge-misregistration": Entry("a gauge stands beside its place", "mm", -50.0, 50.0, ("gauge", "ramp_s")),
    "foil-variation": Entry("foil thicker and thinner than ordered", "percent of its thickness", 0.0, 10.0),
    "foil-step": Entry("a roll of thicker foil", "percent of its thickness", -20.0, 20.0),
    "b-side": Entry("second side: the dry gauge sees what is uneven in the first", "percent of target", 0.0, 5.0),
    "roll-run-out": Entry("a roll out of true, once a turn", "percent of local film", 0.0, 5.0, ("turn_m",)),
    "streak": Entry("a streak narrower than a zone", "percent of local film", -90.0, 50.0, ("at", "width_mm")),
    "bubble": Entry("one bubble leaves a hole", "mm long", 1.0, 100.0, ("at", "width_mm")),
    "filter-clog": Entry("filter clogs", "percent of the die's pressure", 0.0, 500.0, ("ramp_s",)),
    "tank-level": Entry("tank runs low", "m of slurry", 0.0, 3.0, ("ramp_s",)),
    "cd-temperature": Entry("slurry warmest at one place", "K", -10.0, 10.0, ("at", "ramp_s")),
    "slurry-temperature": Entry("all slurry warmer", "K", -15.0, 15.0, ("ramp_s",)),
    "lip-thermal-bow": Entry("one face of the die warmer", "K", -10.0, 10.0, ("ramp_s",)),
    "heavy-edges": Entry("film thicker at both edges", "percent of local film", -50.0, 50.0, ("width_mm",)),
    "threading": Entry("web threaded, die lifted", "share of nominal speed", 0.05, 1.0, ("ramp_s",)),
    "splice": Entry("rolls joined at reduced speed", "share of nominal speed", 0.05, 1.0, ("ramp_s",)),
    "roll-change": Entry("the next roll begins", "not used", 0.0, 5.0),
    "patch-coating": Entry("intermittent coating", "m of each patch", 0.2, 10.0, ("gap_m",)),
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
_BOLT_FAULTS = frozenset(
    {"stuck-bolt", "slow-bolt", "backlash-growth", "dead-bolt", "reversed-bolt", "lip-stiction", "feedback-noise"}
)
_INCIDENTS = frozenset(
    {
        "roll-run-out",
        "streak",
        "filter-clog",
        "tank-level",
        "cd-temperature",
        "slurry-temperature",
        "lip-thermal-bow",
        "heavy-edges",
    }
)
DRIFTS = tuple(_AMPLITUDE_OF)  # names of the default difficulty
DIE_BODY_HEIGHT_M = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Effects:
    """All that is played at a moment."""

    amplitudes: Amplitudes = field(default_factory=Amplitudes)
    bolts: ActuatorFaults | None = None
    wet: GaugeFaults = HEALTHY
    dry: GaugeFaults = HEALTHY
    slip_step: float = 0.0  # share of flow lost
    encoder_valid: bool = True
    incidents: Incidents | None = None
    foil_variation: float = 0.0  # standard deviation over thickness
    foil_step: float = 0.0  # share of thickness
    b_side: float = 0.0  # standard deviation of the first side over target
    lifted: bool = False  # the die is off the web
    patch_m: float = 0.0  # 0: the coating is continuous
    gap_m: float = 0.0


class Timetable:
    """What is in effect when, for a line with `zones` bolts, gauges of so many boxes and lanes with these centres.

    Effects change at onsets and ends only; each interval between them is worked out once and kept for a while.
    """

    __slots__ = ("_boxes", "_changes", "_known", "_lanes_mm", "_plays", "_zones")

    def __init__(self, plays: Sequence[Play], zones: int, boxes: dict[str, int], lanes_mm: Array):
        self._plays = tuple(play for play in plays if play.name in CATALOGUE)
        self._zones = zones
        self._boxes = boxes
        self._lanes_mm = lanes_mm
        ends = {play.onset_s for play in plays} | {play.onset_s + play.duration_s for play in plays}
        self._changes = sorted(end for end in ends if math.isfinite(end))
        self._known: dict[int, Effects] = {}

    def interval(self, t_s: float) -> int:
        """Number of the stretch of time between two changes that a moment lies in."""
        return bisect_right(self._changes, t_s)

    def until_s(self, interval: int) -> float:
        """When an interval ends."""
        return self._changes[interval] if interval < len(self._changes) else math.inf

    def at(self, t_s: float) -> Effects:
        interval = self.interval(t_s)
        effects = self._known.get(interval)
        if effects is None:
            forget_oldest(self._known)
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
            incidents=_incidents(active, self._lanes_mm),
            foil_variation=math.hypot(*_sizes(active, "foil-variation")) / 100.0,
            foil_step=sum(_sizes(active, "foil-step")) / 100.0,
            b_side=math.hypot(*_sizes(active, "b-side")) / 100.0,
            lifted=any(play.name == "threading" for play in active),
            **_patches(active),
        )


def forget_oldest(known: dict[int, Any]) -> None:
    """Make room for one more interval: a month of `a-day` has 1,711, and all of them take 45 MB."""
    while len(known) >= INTERVALS_KEPT:
        del known[next(iter(known))]


def _sizes(active: Sequence[Play], name: str) -> list[float]:
    return [play.size for play in active if play.name == name]


def _patches(active: Sequence[Play]) -> dict[str, float]:
    """The pattern of the last patch coating that began."""
    patterns = [play for play in active if play.name == "patch-coating"]
    return {"patch_m": patterns[-1].size, "gap_m": patterns[-1].gap_m} if patterns else {}


def bolt_of(play: Play, zones: int) -> int:
    """Number of the bolt (from 0) that stands nearest to the play's place across the web."""
    return min(int(play.at * zones), zones - 1)


def _bolt_faults(active: Sequence[Play], zones: int) -> ActuatorFaults | None:
    rate, backlash = np.ones(zones), np.zeros(zones)
    dead, wrong = np.zeros(zones, dtype=bool), np.zeros(zones, dtype=bool)
    stick_um, noise_um = np.zeros(zones), np.zeros(zones)
    spoilt = False
    for play in active:
        if play.name not in _BOLT_FAULTS:
            continue
        spoilt, bolt = True, bolt_of(play, zones)
        bolts = slice(round(play.from_share * zones), round(play.to_share * zones))
        if play.name == "backlash-growth":
            backlash[bolt] += play.size
        elif play.name == "dead-bolt":
            dead[bolt] = True
        elif play.name == "reversed-bolt":
            wrong[bolt] = True
        elif play.name == "lip-stiction":
            stick_um[bolts] = np.maximum(stick_um[bolts], play.size)
        elif play.name == "feedback-noise":
            noise_um[bolts] = np.hypot(noise_um[bolts], play.size)
        else:
            rate[bolt] *= 0.0 if play.name == "stuck-bolt" else play.size
    if not spoilt:
        return None
    return ActuatorFaults(
        rate,
        backlash,
        dead if dead.any() else None,
        wrong if wrong.any() else None,
        stick_um if stick_um.any() else None,
        noise_um if noise_um.any() else None,
    )


def _incidents(active: Sequence[Play], lanes_mm: Array) -> Incidents | None:
    if not any(play.name in _INCIDENTS for play in active):
        return None
    logs = [
        np.log1p(play.size / 100.0 * covered(lanes_mm, play.at, play.width_mm))
        for play in active
        if play.name == "streak"
    ]
    logs += [edge_log(lanes_mm, play.size / 100.0, play.width_mm) for play in active if play.name == "heavy-edges"]
    return Incidents(
        streak_log=np.sum(logs, axis=0) if logs else None,
        run_outs=tuple((play.turn_m, play.size / 100.0) for play in active if play.name == "roll-run-out"),
        warmths=tuple(
            (_rise(play, 1.0), cooling(lanes_mm.size, play.at, play.size))
            for play in active
            if play.name == "cd-temperature"
        ),
        bows=tuple(
            (_rise(play, 1.0), thermal_bow_um(lanes_mm, play.size, DIE_BODY_HEIGHT_M))
            for play in active
            if play.name == "lip-thermal-bow"
        ),
        clogs=tuple(_rise(play, play.size / 100.0) for play in active if play.name == "filter-clog"),
        levels=tuple(_rise(play, play.size) for play in active if play.name == "tank-level"),
        temperatures=tuple(_rise(play, play.size) for play in active if play.name == "slurry-temperature"),
    )


def _rise(play: Play, size: float) -> Rise:
    return Rise(play.onset_s, play.ramp_s, size)


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
        elif play.name == "gauge-drift":
            drift = (play.onset_s, play.size / 100.0, play.every_s)
            faults = replace(faults, drifts=(*faults.drifts, drift))
        elif play.name == "gauge-misregistration":
            faults = replace(faults, shifts=(*faults.shifts, _rise(play, play.size)))
    return faults


PLAY_KEYS = tuple(entry.name for entry in fields(Play))
