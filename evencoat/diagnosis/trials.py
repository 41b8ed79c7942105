"""Faults on drawn lines: what is played, how it is kept for a detector to be asked again, and whether it can be seen.

A trial is a line of a family, one fault of a size between just visible and large, its place and its onset, all from one
seed. Plant and controller take turns at the line's own rate, without frames; what a detector may see of each cycle is
kept in one file, so that a detector is judged on many trials within seconds. Imports the plant: for benchmarks and
tests, never for whoever watches a line.

Whether a fault can be seen at all is asked of its twin: the same line, seed and web without it (`Kind.shows`,
`just_visible`). What neither changes the web nor a reading by so much is nothing that anybody could name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from controller.core import step as core
from controller.line.command import Mode
from controller.line.description import Array, LawName, LineDescription
from evencoat.league.field import Machine, Match
from plant_sim import families
from plant_sim.faults import Play, bolt_of
from plant_sim.noise import generator
from plant_sim.truth import Truth

DEVELOPED = ("nominal", "noisy", "backlash-heavy", "wide-kernel")  # most was chosen on these: see calibration
HELD_OUT = ("misaligned", "shear-thinning", "fast-web", "wide", "batch-changing")  # and judged on these alone
ONSET_S = (200.0, 260.0)
EARLY_S = 5.0  # of a bolt that was bad before the line was started
SEEN_S = 240.0  # from onset to the end of a trial
SLOWER = (0.55, 0.8)  # of nominal speed, where a soft lip shows
DRY_DELAYS = 1.5  # and so many transport times more where only the dry gauge can tell
BOLT_S = 600.0  # of bolts that show only where they are asked to move
DRIFT_S = 3600.0  # of a gauge that drifts: rates are percent an hour, and gauges wander as far in minutes
SOON_S = 60.0  # before the end of a trial a fault has to be visible, so that somebody can still name it
VISIBLE_S = 10.0  # of the mean square that is looked at
VISIBLE_OF_TOLERANCE, VISIBLE_SIGMAS = 0.25, 2.0
NAMES = (
    "t_line_ns", "web_m", "web_speed_mps", "line_state", "batch", "mode_actual", "outcome", "gap_um", "gap_target_um",
    "zone_not_following", "pump_trim_pct", "pump_ratio_rpm_per_mps", "pump_speed_rpm", "pump_pressure_kpa",
    "slurry_temperature_c", "target_gsm", "batch_step_pct", "roll",
    "wet_scan_gsm", "wet_scan_share", "wet_scan_rough_pct", "wet_scan_past_boxes", "wet_scan_m",
    "dry_scan_gsm", "dry_scan_share", "dry_scan_rough_pct", "dry_scan_past_boxes", "dry_scan_m",
)  # fmt: skip
_TEXT = frozenset({"mode_actual", "outcome"})
_LONG = frozenset({"t_line_ns", "web_m", "wet_scan_m", "dry_scan_m"})
_SCANS = ("wet_scan_gsm", "dry_scan_gsm")
_CHANGES = "changes"

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of trial: the play, the cause that names it rightly, and from which range its size is drawn.

    group: bolts, gauges, flow, web, unknown. signed: the size's sign is drawn too. where: bolt, zone, gauge, lip or
    line. shows: "web", what is coated, to be asked of a twin; "reading", a gauge's; "outright", by what it says itself.
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
    shows: str = "outright"
    lasts_s: float = SEEN_S
    keys: Mapping[str, Any] | None = None


KINDS: tuple[Kind, ...] = (
    Kind("stuck bolt", "stuck-bolt", "bolt-stuck", "bolts", "bolt", early=True, shows="web"),
    Kind("slow bolt", "slow-bolt", "bolt-slow", "bolts", "bolt", (0.02, 0.15), early=True, shows="web"),
    Kind("dead bolt", "dead-bolt", "bolt-dead", "bolts", "bolt", early=True, shows="web", lasts_s=BOLT_S),
    Kind("reversed bolt", "reversed-bolt", "bolt-reversed", "bolts", "bolt", early=True, shows="web", lasts_s=BOLT_S),
    Kind("play grown", "backlash-growth", "bolt-play", "bolts", "bolt", (4.0, 30.0), shows="web", lasts_s=BOLT_S),
    Kind("lip sticks", "lip-stiction", "lip-sticks", "bolts", "lip", (2.0, 12.0), early=True, shows="web",
         lasts_s=BOLT_S),
    Kind("feedback noisy", "feedback-noise", "bolt-noisy", "bolts", "lip", (0.7, 6.0)),
    Kind("streak", "streak", "streak", "web", "zone", (0.6, 6.0), signed=True, shows="web"),
    Kind("lane clogged", "streak", "lane-clogged", "web", "zone", (8.0, 60.0), shows="web"),
    Kind("pump pulses", "pump-pulsation", "pump-pulses", "flow", size=(1.5, 5.0), shows="web"),
    Kind("roll out of true", "roll-run-out", "roll-run-out", "web", size=(0.2, 3.0), shows="web"),
    Kind("pump loses delivery", "pump-slip-step", "pump-loss", "flow", size=(1.0, 8.0), shows="web"),
    Kind("wet gauge drifts", "gauge-drift", "wet-drift", "gauges", "gauge", (2.0, 5.0), True, shows="reading",
         lasts_s=DRIFT_S),
    Kind("wet gauge jumps", "gauge-bias", "wet-jump", "gauges", "gauge", (1.0, 5.0), True, shows="reading"),
    Kind("dry gauge jumps", "gauge-bias", "dry-jump", "gauges", "gauge", (0.6, 4.0), True, shows="reading",
         keys={"gauge": "dry"}),
    Kind("wet gauge frozen", "gauge-frozen", "gauge-frozen", "gauges", "gauge"),
    Kind("dry gauge frozen", "gauge-frozen", "gauge-frozen", "gauges", "gauge", keys={"gauge": "dry"}),
    Kind("dry gauge silent", "gauge-silent", "gauge-silent", "gauges", "gauge", keys={"gauge": "dry"}),
    Kind("wet gauge outliers", "gauge-outliers", "gauge-noisy", "gauges", "gauge", (8.0, 40.0), shows="reading"),
    Kind("dry gauge outliers", "gauge-outliers", "gauge-noisy", "gauges", "gauge", (8.0, 40.0), shows="reading",
         keys={"gauge": "dry"}),
    Kind("wet gauge blind", "gauge-dropout", "gauge-blind", "gauges", "gauge", (0.06, 0.4)),
    Kind("wet gauge beside", "gauge-misregistration", "gauge-misplaced", "gauges", "gauge", (1.0, 15.0), True,
         shows="reading"),
    Kind("dry gauge beside", "gauge-misregistration", "gauge-misplaced", "gauges", "gauge", (1.0, 15.0), True,
         shows="reading", keys={"gauge": "dry"}),
    Kind("new batch", "batch-change", "batch-changed", "flow", dry=True),
    Kind("filter clogs", "filter-clog", "filter-clogs", "flow", size=(15.0, 200.0)),
    Kind("slurry warmer", "slurry-temperature", "slurry-temperature", "flow", size=(1.5, 10.0), signed=True),
    Kind("encoder lost", "encoder-loss", "encoder-lost", "web"),
    Kind("lip bends with heat", "lip-thermal-bow", "lip-bow", "web", size=(0.7, 6.0), signed=True, shows="web"),
    Kind("foil uneven", "foil-variation", "foil-uneven", "web", size=(1.5, 8.0), dry=True, shows="reading",
         keys={"gauge": "dry"}),
    Kind("lip gives way", "web-speed", "lip-gives", "web", size=(6.0, 60.0), shows="web"),
    Kind("edges heavy", "heavy-edges", "unknown", "unknown", size=(1.5, 15.0), shows="web"),
    Kind("one side warm", "cd-temperature", "unknown", "unknown", size=(0.7, 6.0), shows="web"),
)  # fmt: skip
QUIET = Kind("quiet", "", "", "quiet")


@dataclass(frozen=True, slots=True)
class Trial:
    """One drawn trial. `play` is None in a quiet one; place: bolt or zone from 0, -1 where it has none; size: in the
    kind's unit; well: what is true of the twin without the fault; beside: what happens as well and is no fault."""

    kind: Kind
    family: str
    seed: int
    minutes: float
    play: Play | None
    place: int
    line: LineDescription
    truth: Truth
    size: float
    well: Truth
    beside: tuple[Play, ...] = ()

    @property
    def onset_s(self) -> float:
        """When the fault begins, s; infinite in a quiet trial."""
        return self.play.onset_s if self.play else math.inf

    @property
    def end_s(self) -> float:
        """When the trial is over, s."""
        return 60.0 * self.minutes


def drawn(kind: Kind, family: str, seed: int, minutes: float | None = None) -> Trial:
    """A trial by its kind, its family and its seed. Quiet ones need to be told how long; each changes speed once."""
    line, truth = families.draw(family, seed)
    line = replace(line, control=replace(line.control, law=LawName.ADAPTIVE))
    if not kind.play:
        rng = generator(seed, "diagnosis.quiet")
        slower = Play(
            "web-speed", onset_s=float(rng.uniform(400.0, 800.0)), duration_s=float(rng.uniform(200.0, 400.0)),
            size=float(rng.uniform(*SLOWER)), ramp_s=float(rng.uniform(10.0, 40.0)),
        )  # fmt: skip
        return Trial(kind, family, seed, minutes or 60.0, None, -1, line, truth, 0.0, truth, (slower,))
    rng = generator(seed, f"diagnosis.{kind.label}")
    play, place = _played(kind, line, rng)
    size, well = play.size, truth
    if kind.cause == "lip-gives":  # the lip is soft all the while; another speed shows it
        pressed_um = float(truth.compliance_um_per_pa.max()) * truth.pressure_set_pa
        truth = replace(truth, compliance_um_per_pa=truth.compliance_um_per_pa * size / pressed_um)
        play = replace(play, size=float(rng.uniform(*SLOWER)), ramp_s=float(rng.uniform(10.0, 40.0)))
    dry = line.dry_gauge
    late_s = DRY_DELAYS * dry.distance_m / line.web_speed_mps if dry is not None else 0.0
    gauge_told = kind.group in ("gauges", "flow") or kind.dry
    end_s = max(play.onset_s, ONSET_S[0]) + kind.lasts_s + (late_s if gauge_told else 0.0)
    return Trial(kind, family, seed, round(end_s / 60.0, 2), play, place, line, truth, size, well)


def _played(kind: Kind, line: LineDescription, rng: np.random.Generator) -> tuple[Play, int]:
    """What the plant is told, and at which bolt or zone that is."""
    share, sign = rng.random(), -1.0 if kind.signed and rng.random() < 0.5 else 1.0
    size = sign * kind.size[0] * (kind.size[1] / kind.size[0]) ** share
    early = kind.early and rng.random() < 0.5
    onset_s = EARLY_S if early else float(rng.uniform(*ONSET_S))
    if (kind.keys or {}).get("gauge") == "dry" and line.dry_gauge is not None:  # once it has seen the web for a while
        onset_s += line.dry_gauge.distance_m / line.web_speed_mps
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
    if kind.play == "heavy-edges":
        keys |= {"width_mm": min(float(rng.uniform(0.7, 2.0)) * pitch_mm, 60.0)}
    if kind.play == "cd-temperature":
        at = 0.05 + 0.15 * at if at < 0.5 else 0.8 + 0.15 * at
        keys |= {"ramp_s": float(rng.uniform(10.0, 60.0))}
    if kind.play in ("filter-clog", "slurry-temperature", "lip-thermal-bow"):
        keys |= {"ramp_s": float(rng.uniform(60.0, 180.0))}
    play = Play(kind.play, onset_s=onset_s, size=size, at=at, **keys)
    place = bolt_of(play, line.zones) if kind.where in ("bolt", "zone") else -1
    return play, place


def simulated(trial: Trial, coated: list[Array] | None = None, twin: bool = False) -> Iterator[dict[str, Any]]:
    """The cycles of a trial as they come: by the names of Trace, those that a detector may ask for.

    coated: takes what is really coated in each cycle, g/m2, (zones,), for whoever judges. twin: without the fault.
    """
    scenario = families.scenario(trial.family, trial.seed, trial.minutes)
    scenario = replace(scenario, plays=(*scenario.plays, *trial.beside))
    truth = trial.well if twin else trial.truth
    if trial.play is not None:
        calm = tuple(play for play in scenario.plays if play.name != "batch-change")
        told = not twin or trial.kind.cause == "lip-gives"  # both change speed, one has a soft lip
        scenario = replace(scenario, plays=(*calm, trial.play) if told else calm)
    match, cycle_s = Match(trial.line, truth, scenario, trial.seed, trial.minutes), trial.line.control.cycle_s
    machine, config = Machine(match, cycle_s), core.configure(trial.line, cycle_s)
    state = core.init(config, Mode.AUTO)
    for _ in range(round(60.0 * trial.minutes / cycle_s)):
        readings = machine.step()
        if coated is not None:
            coated.append(readings.areal_density_gsm.reshape(trial.line.zones, -1).mean(axis=1).astype(np.float32))
        state, command, trace = core.step(config, state, machine.inputs(), cycle_s)
        config, state = core.renewed(config, state)
        if command is not None:
            machine.obey(command)
        told_now = trace._asdict()
        yield {name: told_now[name] for name in NAMES} | {"link_faults": ()}


def just_visible(trial: Trial, gauge: str = "wet", zones: int = 1) -> float:
    """The least change of so many zones' mean that counts as visible, a share.

    A quarter of tolerance, for less is nobody's business, but no less than two sigmas of what the gauge reads in ten
    seconds, for less is nobody's to see.
    """
    truth = trial.well.wet if gauge == "wet" else trial.well.dry
    assert truth is not None
    readings = VISIBLE_S / truth.period_s * max(truth.boxes / trial.line.zones, 1.0) * zones
    tolerance = trial.line.target.tolerance_pct / 100.0
    return max(VISIBLE_OF_TOLERANCE * tolerance, VISIBLE_SIGMAS * truth.noise / math.sqrt(max(readings, 1.0)))


def web_changes(trial: Trial, coated: list[Array]) -> Array:
    """What the fault changes of the coated web: in each ten seconds the largest zone's root mean square, over what is
    just visible. A lasting change counts as its size, one that comes and goes in the ten seconds as much as it is."""
    twin: list[Array] = []
    for _ in simulated(trial, twin, twin=True):
        pass
    each = round(VISIBLE_S / trial.line.control.cycle_s)
    whole = len(coated) // each
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.log(np.array(coated[: whole * each])) - np.log(np.array(twin[: whole * each]))
    square = np.square(np.nan_to_num(change, nan=0.0, posinf=0.0, neginf=0.0)).reshape(whole, each, -1)
    found: Array = np.sqrt(square.mean(axis=1, dtype=np.float64).max(axis=1)) / just_visible(trial)
    return found


def reading_changes(trial: Trial) -> Array:
    """The same of a gauge that reads wrongly, by what it was told to do, in each ten seconds of the trial."""
    play, line = trial.play, trial.line
    assert play is not None
    truth = trial.well.wet if play.gauge == "wet" else trial.well.dry
    assert truth is not None
    after_s = VISIBLE_S * np.arange(int(trial.end_s / VISIBLE_S)) - play.onset_s
    size, least = abs(play.size) / 100.0, just_visible(trial, play.gauge)
    even = just_visible(trial, play.gauge, line.zones)
    if play.name == "gauge-drift":  # beyond what this gauge wanders anyway, too
        gone_s = np.maximum(after_s, 1.0)
        wanders = truth.bias_common * np.sqrt(2.0 * -np.expm1(-gone_s / truth.bias_tau_s))
        found = size * gone_s / 3600.0 / np.maximum(even, VISIBLE_SIGMAS * wanders)
    elif play.name == "gauge-outliers":
        spoilt = size * math.sqrt(play.chance_pct / 100.0)
        found = np.full(after_s.size, spoilt / max(even, truth.noise))  # a sigma more, in single boxes
    elif play.name == "gauge-misregistration":
        found = np.full(after_s.size, abs(play.size) / line.die.zone_pitch_mm / least)
    elif play.name == "foil-variation":
        found = np.full(after_s.size, size * trial.truth.foil_gsm / trial.truth.target_gsm / even)
    else:
        found = np.full(after_s.size, size / even)
    return np.where(after_s > -VISIBLE_S, found, 0.0)


class Visible(NamedTuple):
    """From when a fault can be seen, s of line time, infinite where never; its largest change over what is just
    visible, NaN of faults that tell of themselves."""

    from_s: float
    times: float

    @staticmethod
    def of(trial: Trial, changes: Array) -> Visible:
        """By what was found of each ten seconds. Too late is not at all."""
        if trial.play is None:
            return Visible(math.inf, math.nan)
        if trial.kind.shows == "outright":
            return Visible(trial.onset_s, math.nan)
        first = int(max(trial.onset_s, 0.0) / VISIBLE_S)
        last = max(int((trial.end_s - SOON_S) / VISIBLE_S), first + 1)
        window = changes[first:last]
        seen = np.flatnonzero(window >= 1.0)
        from_s = max(VISIBLE_S * (first + int(seen[0])), trial.onset_s) if seen.size else math.inf
        return Visible(from_s, float(window.max()) if window.size else 0.0)


def changes_of(trial: Trial, coated: list[Array]) -> Array:
    """What a trial's fault changes in each ten seconds, by the way that its kind shows."""
    if trial.kind.shows == "web":
        return web_changes(trial, coated)
    return reading_changes(trial) if trial.kind.shows == "reading" else np.zeros(0)


def kept(trial: Trial, file: Path, tell: Callable[[float], None] | None = None) -> Path:
    """Play a trial and keep its cycles: float32, scans only where there were any; and what its fault changes."""
    found: dict[str, list[Any]] = {name: [] for name in NAMES}
    coated: list[Array] = []
    for k, cycle in enumerate(simulated(trial, coated)):
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
    arrays[_CHANGES] = changes_of(trial, coated)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part.npz")
    np.savez(part, allow_pickle=False, **arrays)
    return part.rename(file)


def visible(trial: Trial, file: Path) -> Visible:
    """Whether and when a kept trial's fault can be seen."""
    with np.load(file) as read:
        return Visible.of(trial, read[_CHANGES])


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
