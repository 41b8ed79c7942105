"""Faults on drawn lines: what is played, how it is kept for a detector to be asked again, and whether it was right.

A trial is a line of a family, one fault of a size between just visible and large, its place and its onset, all from one
seed. Plant and controller take turns at the line's own rate, without frames; what a detector may see of each cycle is
kept in one file, so that a detector is judged on many trials within seconds. Imports the plant: for benchmarks and
tests, never for whoever watches a line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from controller.core import step as core
from controller.line.command import Mode
from controller.line.description import Array, LawName, LineDescription
from evencoat.league.field import Machine, Match
from plant_sim import families
from plant_sim.faults import Play, bolt_of
from plant_sim.noise import generator
from plant_sim.truth import Truth

DEVELOPED = ("nominal", "noisy", "backlash-heavy", "wide-kernel")  # everything was chosen on these
HELD_OUT = ("misaligned", "shear-thinning", "fast-web", "wide", "batch-changing")  # and judged on these alone
ONSET_S = (200.0, 260.0)
EARLY_S = 5.0  # of a bolt that was bad before the line was started
SEEN_S = 240.0  # from onset to the end of a trial
DRY_DELAYS = 1.5  # and so many transport times more where only the dry gauge can tell
DRIFT_S = 1500.0
NAMES = (
    "t_line_ns", "web_m", "web_speed_mps", "line_state", "batch", "mode_actual", "outcome", "gap_um", "gap_target_um",
    "zone_not_following", "pump_trim_pct", "pump_ratio_rpm_per_mps", "pump_speed_rpm", "pump_pressure_kpa",
    "slurry_temperature_c", "target_gsm", "wet_scan_gsm", "wet_scan_share", "wet_scan_rough_pct", "wet_scan_m",
    "dry_scan_gsm", "dry_scan_share", "dry_scan_rough_pct", "dry_scan_m", "batch_step_pct", "roll",
)  # fmt: skip
_TEXT = frozenset({"mode_actual", "outcome"})
_LONG = frozenset({"t_line_ns", "web_m", "wet_scan_m", "dry_scan_m"})
_SCANS = ("wet_scan_gsm", "dry_scan_gsm")

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of trial: the play, the cause that names it rightly, and from which range its size is drawn.

    group: bolts, gauges, flow, web. signed: the size's sign is drawn too. where: bolt, zone, gauge, lip or line.
    """

    label: str
    play: str
    cause: str
    group: str
    where: str = "line"
    size: Range = (1.0, 1.0)
    signed: bool = False
    early: bool = False  # half of them are there before the line is started
    dry: bool = False  # only the dry gauge can tell
    lasts_s: float = SEEN_S
    keys: Mapping[str, Any] | None = None


KINDS: tuple[Kind, ...] = (
    Kind("stuck bolt", "stuck-bolt", "bolt-stuck", "bolts", "bolt", early=True),
    Kind("slow bolt", "slow-bolt", "bolt-slow", "bolts", "bolt", (0.02, 0.15), early=True),
    Kind("dead bolt", "dead-bolt", "bolt-dead", "bolts", "bolt", early=True),
    Kind("reversed bolt", "reversed-bolt", "bolt-reversed", "bolts", "bolt", early=True),
    Kind("play grown", "backlash-growth", "bolt-play", "bolts", "bolt", (4.0, 30.0)),
    Kind("lip sticks", "lip-stiction", "lip-sticks", "bolts", "lip", (2.0, 12.0), early=True),
    Kind("feedback noisy", "feedback-noise", "bolt-noisy", "bolts", "lip", (0.7, 6.0)),
    Kind("streak", "streak", "streak", "web", "zone", (0.6, 6.0), signed=True),
    Kind("lane clogged", "streak", "lane-clogged", "web", "zone", (8.0, 60.0)),
    Kind("pump pulses", "pump-pulsation", "pump-pulses", "flow", size=(1.5, 5.0)),
    Kind("roll out of true", "roll-run-out", "roll-run-out", "web", size=(0.2, 3.0)),
    Kind("pump loses delivery", "pump-slip-step", "pump-loss", "flow", size=(1.0, 8.0)),
    Kind("wet gauge drifts", "gauge-drift", "wet-drift", "gauges", "gauge", (2.0, 5.0), True, lasts_s=DRIFT_S),
    Kind("wet gauge jumps", "gauge-bias", "wet-jump", "gauges", "gauge", (1.0, 5.0), signed=True),
    Kind("dry gauge jumps", "gauge-bias", "dry-jump", "gauges", "gauge", (0.6, 4.0), True, keys={"gauge": "dry"}),
    Kind("wet gauge frozen", "gauge-frozen", "gauge-frozen", "gauges", "gauge"),
    Kind("dry gauge frozen", "gauge-frozen", "gauge-frozen", "gauges", "gauge", keys={"gauge": "dry"}),
    Kind("dry gauge silent", "gauge-silent", "gauge-silent", "gauges", "gauge", keys={"gauge": "dry"}),
    Kind("wet gauge outliers", "gauge-outliers", "gauge-noisy", "gauges", "gauge", (8.0, 40.0)),
    Kind("dry gauge outliers", "gauge-outliers", "gauge-noisy", "gauges", "gauge", (8.0, 40.0), keys={"gauge": "dry"}),
    Kind("wet gauge blind", "gauge-dropout", "gauge-blind", "gauges", "gauge", (0.06, 0.4)),
    Kind("wet gauge beside", "gauge-misregistration", "gauge-misplaced", "gauges", "gauge", (1.0, 15.0), True),
    Kind("dry gauge beside", "gauge-misregistration", "gauge-misplaced", "gauges", "gauge", (1.0, 15.0), True,
         keys={"gauge": "dry"}),
    Kind("new batch", "batch-change", "batch-changed", "flow", dry=True),
    Kind("filter clogs", "filter-clog", "filter-clogs", "flow", size=(15.0, 200.0)),
    Kind("slurry warmer", "slurry-temperature", "slurry-temperature", "flow", size=(1.5, 10.0), signed=True),
    Kind("encoder lost", "encoder-loss", "encoder-lost", "web"),
    Kind("lip bends with heat", "lip-thermal-bow", "lip-bow", "web", size=(0.7, 6.0), signed=True),
    Kind("foil uneven", "foil-variation", "foil-uneven", "web", size=(1.5, 8.0), dry=True),
)  # fmt: skip
QUIET = Kind("quiet", "", "", "quiet")


@dataclass(frozen=True, slots=True)
class Trial:
    """One drawn trial. `play` is None in a quiet one; place: bolt or zone from 0, -1 where it has none."""

    kind: Kind
    family: str
    seed: int
    minutes: float
    play: Play | None
    place: int
    line: LineDescription
    truth: Truth

    @property
    def size(self) -> float:
        return self.play.size if self.play else 0.0


def drawn(kind: Kind, family: str, seed: int, minutes: float | None = None) -> Trial:
    """A trial by its kind, its family and its seed. Quiet ones need to be told how long."""
    line, truth = families.draw(family, seed)
    line = replace(line, control=replace(line.control, law=LawName.ADAPTIVE))
    if not kind.play:
        return Trial(kind, family, seed, minutes or 60.0, None, -1, line, truth)
    rng = generator(seed, f"diagnosis.{kind.label}")
    play, place = _played(kind, line, rng)
    dry = line.dry_gauge
    late_s = DRY_DELAYS * dry.distance_m / line.web_speed_mps if dry is not None else 0.0
    gauge_told = kind.group in ("gauges", "flow") or kind.dry
    end_s = max(play.onset_s, ONSET_S[0]) + kind.lasts_s + (late_s if gauge_told else 0.0)
    return Trial(kind, family, seed, round(end_s / 60.0, 2), play, place, line, truth)


def _played(kind: Kind, line: LineDescription, rng: np.random.Generator) -> tuple[Play, int]:
    """What the plant is told, and at which bolt or zone that is."""
    share, sign = rng.random(), -1.0 if kind.signed and rng.random() < 0.5 else 1.0
    size = sign * kind.size[0] * (kind.size[1] / kind.size[0]) ** share
    early = kind.early and rng.random() < 0.5
    onset_s = EARLY_S if early else float(rng.uniform(*ONSET_S))
    at, pitch_mm = float(rng.uniform(0.06, 0.94)), line.die.zone_pitch_mm
    keys: dict[str, Any] = dict(kind.keys or {})
    if kind.label == "slow bolt":  # um/s are what it is seen by, whatever the rate of the others
        size = min(size / line.lips.rate_um_per_s, 0.9)
    if kind.label == "streak":  # a zone's mean is off by the size
        width_mm = float(rng.uniform(0.1, 0.5)) * pitch_mm
        keys |= {"width_mm": max(width_mm, 0.5)}
        size = max(100.0 * math.expm1(size / 100.0) * pitch_mm / keys["width_mm"], -85.0)
    if kind.label == "lane clogged":
        keys |= {"width_mm": min(float(rng.uniform(1.2, 2.0)) * pitch_mm, 60.0)}
        size = -size
    if kind.label == "roll out of true":
        keys |= {"turn_m": float(np.exp(rng.uniform(np.log(0.4), np.log(3.0))))}
    if kind.play == "gauge-outliers":
        keys |= {"chance_pct": float(rng.uniform(1.0, 8.0))}
    if kind.play == "gauge-dropout":
        start = float(rng.uniform(0.0, 1.0 - size))
        keys |= {"from_share": start, "to_share": start + size}
    if kind.play == "gauge-misregistration":
        keys |= {"ramp_s": 1.0}
    if kind.play == "batch-change":
        keys |= {"front_s": float(np.exp(rng.uniform(np.log(30.0), np.log(180.0))))}
    if kind.play in ("filter-clog", "slurry-temperature", "lip-thermal-bow"):
        keys |= {"ramp_s": float(rng.uniform(60.0, 180.0))}
    play = Play(kind.play, onset_s=onset_s, size=size, at=at, **keys)
    place = bolt_of(play, line.zones) if kind.where in ("bolt", "zone") else -1
    return play, place


def simulated(trial: Trial) -> Iterator[dict[str, Any]]:
    """The cycles of a trial as they come: by the names of Trace, those that a detector may ask for."""
    scenario = families.scenario(trial.family, trial.seed, trial.minutes)
    if trial.play is not None:
        calm = tuple(play for play in scenario.plays if play.name != "batch-change")
        scenario = replace(scenario, plays=(*calm, trial.play))
    match, cycle_s = Match(trial.line, trial.truth, scenario, trial.seed, trial.minutes), trial.line.control.cycle_s
    machine, config = Machine(match, cycle_s), core.configure(trial.line, cycle_s)
    state = core.init(config, Mode.AUTO)
    for _ in range(round(60.0 * trial.minutes / cycle_s)):
        machine.step()
        state, command, trace = core.step(config, state, machine.inputs(), cycle_s)
        config, state = core.renewed(config, state)
        if command is not None:
            machine.obey(command)
        told = trace._asdict()
        yield {name: told[name] for name in NAMES} | {"link_faults": ()}


def kept(trial: Trial, file: Path, tell: Callable[[float], None] | None = None) -> Path:
    """Play a trial and keep its cycles: float32, scans only where there were any."""
    found: dict[str, list[Any]] = {name: [] for name in NAMES}
    for k, cycle in enumerate(simulated(trial)):
        for name, values in found.items():
            one = cycle[name]
            if name in _SCANS:
                if len(one):
                    values.append(np.asarray(one, dtype=np.float32))
            else:
                values.append(str(one) if name in _TEXT else one)
        if tell is not None and k % 600 == 0:
            tell(k * trial.line.control.cycle_s / 60.0)
    arrays = {name: _packed(name, values, trial.line.zones) for name, values in found.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part.npz")
    np.savez(part, allow_pickle=False, **arrays)
    return part.rename(file)


def _packed(name: str, values: list[Any], zones: int) -> np.ndarray[Any, Any]:
    if name in _SCANS:
        return np.asarray(values, dtype=np.float32).reshape(-1, zones)
    if name in _TEXT:
        return np.asarray(values)
    if name == "zone_not_following":
        return np.asarray(values, dtype=np.bool_)
    whole = np.asarray(values)
    return whole.astype(np.float32) if whole.dtype == np.float64 and name not in _LONG else whole


def cycles(file: Path) -> Iterator[dict[str, Any]]:
    """The cycles of a kept trial."""
    with np.load(file) as read:
        arrays = {name: read[name] for name in NAMES}
    zones = arrays["gap_um"].shape[1]
    nothing: Array = np.zeros(0)
    at = dict.fromkeys(_SCANS, 0)
    plain = {name: values.tolist() for name, values in arrays.items() if values.ndim == 1}
    for k in range(len(plain["t_line_ns"])):
        cycle: dict[str, Any] = {name: values[k] for name, values in plain.items()}
        for name in ("gap_um", "gap_target_um", "zone_not_following"):
            cycle[name] = arrays[name][k]
        for name in _SCANS:
            came = not math.isnan(cycle[name.replace("gsm", "m")])
            cycle[name] = arrays[name][at[name]] if came else nothing
            at[name] += came
        yield cycle | {"link_faults": (), "zones": zones}
