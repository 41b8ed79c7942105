"""From cycles to how bad things are: one cycle and a short memory become the conditions that the engine holds.

Pure. A cycle comes by the names of Trace, from a Trace, a picture's head and arrays, or a journal's row. Values that
are compared with what is usual (pressure, trim, the two gauges) begin to learn anew after a start, a new batch, another
web speed and another target: what is expected to change is no alarm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from controller.line.command import Mode, Rung
from controller.line.description import Array, LineDescription
from controller.line.profile import LineState
from evencoat.alarms.catalogue import CATALOGUE, HOLDS, Context
from evencoat.alarms.engine import MOMENT_S, Condition, Conditions, Key
from evencoat.league.metrics import OUT_WIDTH_SHARE

STARTING_S = 90.0  # of a closed loop on a running web, until it is expected to be even
SETTLE_START_S, SETTLE_BATCH_S, SETTLE_SPEED_S = 120.0, 240.0, 90.0  # until the usual can be learnt
SETTLE_TARGET_S = 90.0
DRY_DELAYS = 2.5  # transport times to the dry gauge until it has taught the wet one what it can
SPEED_SHARE = 0.03  # of web speed, that is another speed
TARGET_SHARE = 0.002  # of the recipe's target, that is another target
FIRST_S = 300.0  # after settling: what the pressure was then, a slow drift is compared with
SLOW_SHARE = 1.0 / 3.0  # so much of a slow drift counts as a fast one
JUMP_MOST_S = 10.0  # between two cycles that were seen one after the other
OUT_MOST_M = 20.0  # metres out of tolerance that are remembered
EVENT_S = 30.0  # for which an event of the journal counts as still so
AUTHORITY_HAD, AUTHORITY_LOST = 0.2, 0.02
USUAL_S = 900.0  # in which something becomes the usual
BEAT_LEARN_S = 10.0  # until the pump's own pulses are known
BEAT_MOST = 3.0  # times the usual square: more hardly counts as usual
EDGE_ZONES, EDGE_SHARE = 3, 0.5  # a zone at an edge counts for half
MANY = 3  # bolts: of more than so many the die is told, not each of them
TINY_PCT = 1e-4  # a teaching that moves less than this is none


class Smooth(NamedTuple):
    """An exponential mean that has seen so much: weight 0 nothing, 1 for ever."""

    value: Any = 0.0
    weight: float = 0.0

    def seen(self, value: Any, dt_s: float, over_s: float) -> Smooth:
        """With one more value."""
        share = 1.0 - math.exp(-dt_s / over_s)
        weight = self.weight + share * (1.0 - self.weight)
        return Smooth(self.value + share / weight * (value - self.value), weight)


class Surroundings(NamedTuple):
    """What no cycle tells. disk_full: share, NaN where nobody looked; events: (kind, text) since the last look."""

    disk_full: float = math.nan
    model_refused: str = ""
    events: Sequence[tuple[str, str]] = ()


class Memory(NamedTuple):
    """What is remembered from cycle to cycle. Seconds and metres are of line time and web."""

    t_ns: int = -1
    web_m: float = math.nan
    closed_s: float = 0.0  # how long the loop has been closed on a running web, holds of a moment included
    open_s: float = math.inf  # how long it has not been
    unbroken_s: float = 0.0  # how long it has been, without even such a hold
    settle_s: float = SETTLE_START_S  # still to go until everything is expected to be steady
    steady_s: float = 0.0  # since then
    batch: int = -1
    speed: Smooth = Smooth()
    target_share: Smooth = Smooth()  # of the recipe's
    off_pct: Smooth = Smooth()  # (zones,), deviation from target
    invalid: Smooth = Smooth()  # (zones,)
    dropped: Smooth = Smooth()
    gap_um: Array | None = None
    moved2: Smooth = Smooth()  # (zones,), um^2 a cycle
    mean_pct: Smooth = Smooth()
    limited: Smooth = Smooth()
    late: Smooth = Smooth()
    out_m: float = 0.0
    trim: tuple[Smooth, Smooth] = (Smooth(), Smooth())
    bias: tuple[Smooth, Smooth] = (Smooth(), Smooth())
    pressure_pct: float = math.nan  # of the cycle before
    pressure: tuple[Smooth, Smooth] = (Smooth(), Smooth())  # of ten seconds, the usual
    first_pct: float = math.nan  # pressure as it was when this batch had settled
    pulses: tuple[Smooth, Smooth] = (Smooth(), Smooth())
    taught: tuple[int, float, int] = (-1, math.nan, 0)  # dry scan, what it taught, scans that taught nothing
    authority: float = 0.0  # the most that the network ever had
    events: Mapping[Key, tuple[float, str]] = {}  # what the journal told, and how long it still counts


Values = dict[Key, Condition]


@dataclass(frozen=True, slots=True)
class Watch:
    """Looks at the cycles of one line."""

    line: LineDescription

    def look(self, known: Memory, cycle: Mapping[str, Any], around: Surroundings) -> tuple[Memory, Conditions, float]:
        """One cycle: what is remembered, what was found, and how much line time went by, s."""
        dt_s, jump_s = self._elapsed(known, int(cycle["t_line_ns"]))
        values: Values = {}
        if abs(jump_s) > 0.0:
            values[Key("clock-jump")] = Condition(abs(jump_s), f"by {jump_s:+.1f} s")
        running = int(cycle["line_state"]) == LineState.RUNNING
        auto = str(cycle["mode_actual"]) == Mode.AUTO
        after = self._settled(known, cycle, running and auto, dt_s)
        after = after._replace(t_ns=int(cycle["t_line_ns"]))
        values |= _held(cycle) | _links(cycle)
        after = self._lips(after, cycle, dt_s, values)
        after = self._web(after, cycle, dt_s, values)
        after = self._pump(after, cycle, dt_s, values)
        after = self._gauges(after, cycle, dt_s, values)
        after = self._belief(after, cycle, dt_s, values)
        after = _told(after, around, dt_s, values)
        contexts = {
            context
            for context, so in (
                (Context.NOT_RUNNING, not running),
                (Context.NOT_AUTO, not auto),
                (Context.STARTING, after.closed_s < STARTING_S),
                (Context.SETTLING, after.settle_s > 0.0),
            )
            if so
        }
        return after._replace(web_m=_number(cycle["web_m"])), Conditions(values, frozenset(contexts)), dt_s

    # --- the parts of a look -------------------------------------------------------------------------------------

    def _elapsed(self, known: Memory, t_ns: int) -> tuple[float, float]:
        """Line time since the cycle before, and the jump where it is no such time; both s."""
        cycle_s = self.line.control.cycle_s
        if known.t_ns < 0:
            return cycle_s, 0.0
        dt_s = (t_ns - known.t_ns) / 1e9
        if 0.0 < dt_s <= JUMP_MOST_S:
            return dt_s, 0.0
        return cycle_s, dt_s  # a cycle went by, also one in which line time stood still

    def _settled(self, known: Memory, cycle: Mapping[str, Any], closed: bool, dt_s: float) -> Memory:
        """How long nothing has happened after which things are expected to change."""
        batch, speed_mps = int(cycle["batch"]), _number(cycle["web_speed_mps"])
        to_dry_s = self._to_dry_s(speed_mps)
        wait_s = max(known.settle_s - dt_s, 0.0)
        open_s = 0.0 if closed else known.open_s + dt_s
        if open_s >= MOMENT_S:
            wait_s = max(SETTLE_START_S, DRY_DELAYS * to_dry_s)
        if known.batch not in (-1, batch):
            wait_s = max(wait_s, SETTLE_BATCH_S + to_dry_s)
        if known.speed.weight and abs(speed_mps - known.speed.value) > SPEED_SHARE * self.line.web_speed_mps:
            wait_s = max(wait_s, SETTLE_SPEED_S)
        share = self._target_share(cycle)
        if known.target_share.weight and abs(share - known.target_share.value) > TARGET_SHARE:
            wait_s = max(wait_s, SETTLE_TARGET_S)
        usual = known
        if wait_s > 0.0:  # what was usual is so no more
            usual = known._replace(
                pressure=(known.pressure[0], Smooth()), first_pct=math.nan, pulses=(known.pulses[0], Smooth()),
                trim=(known.trim[0], Smooth()), bias=(known.bias[0], Smooth()), steady_s=0.0, taught=(-1, math.nan, 0),
            )  # fmt: skip
        return usual._replace(
            closed_s=known.closed_s + dt_s if open_s < MOMENT_S else 0.0,
            open_s=open_s,
            unbroken_s=known.unbroken_s + dt_s if closed else 0.0,
            settle_s=wait_s,
            steady_s=usual.steady_s + dt_s,
            batch=batch,
            speed=known.speed.seen(speed_mps, dt_s, 30.0),
            target_share=known.target_share.seen(share, dt_s, 30.0),
        )

    def _to_dry_s(self, speed_mps: float) -> float:
        """How long the web takes to the dry gauge; 0 where there is none."""
        dry = self.line.dry_gauge
        return dry.distance_m / max(speed_mps, 0.1 * self.line.web_speed_mps) if dry is not None else 0.0

    def _target_share(self, cycle: Mapping[str, Any]) -> float:
        """The target of now over the line file's; 1 where the cycle does not tell."""
        share = _number(cycle["target_gsm"]) / float(self.line.target_profile_gsm.mean())
        return share if math.isfinite(share) else 1.0

    def _lips(self, known: Memory, cycle: Mapping[str, Any], dt_s: float, values: Values) -> Memory:
        lips, zones = self.line.lips, self.line.zones
        gap_um = np.asarray(cycle["gap_um"], dtype=np.float64)
        step_um = gap_um - known.gap_um if known.gap_um is not None else np.zeros(zones)
        moved2 = known.moved2.seen(np.nan_to_num(step_um) ** 2, dt_s, 10.0)
        can_um = lips.rate_um_per_s * dt_s + lips.resolution_um
        _each(values, "bolt-noisy", "bolt", np.sqrt(moved2.value) / can_um)
        middle_um, half_um = (lips.gap_max_um + lips.gap_min_um) / 2.0, (lips.gap_max_um - lips.gap_min_um) / 2.0
        _each(values, "bolt-end", "bolt", np.abs(gap_um - middle_um) / half_um)
        _each(values, "bolt-alone", "bolt", np.asarray(cycle["zone_not_following"], dtype=np.float64))
        limited = known.limited.seen(float(cycle["limited_zones"]) / zones, dt_s, 30.0)
        _one(values, "limits-many", limited.value, ", ".join(map(str, cycle["limits"])))
        return known._replace(gap_um=gap_um, moved2=moved2, limited=limited)

    def _web(self, known: Memory, cycle: Mapping[str, Any], dt_s: float, values: Values) -> Memory:
        tolerance_pct = self.line.target.tolerance_pct
        valid = np.asarray(cycle["profile_valid"], dtype=np.bool_)
        profile = np.asarray(cycle["profile_gsm"], dtype=np.float64)
        valid = valid & np.isfinite(profile)
        if not valid.any():
            return known
        now_pct = 100.0 * (profile / (self.line.target_profile_gsm * self._target_share(cycle)) - 1.0)
        before = known.off_pct.value if known.off_pct.weight else np.zeros(self.line.zones)
        off_pct = known.off_pct.seen(np.where(valid, now_pct, before), dt_s, 15.0)
        mean_pct = known.mean_pct.seen(float(now_pct[valid].mean()), dt_s, 10.0)
        out = np.count_nonzero(np.abs(now_pct[valid]) > tolerance_pct) > OUT_WIDTH_SHARE * valid.size
        went_m = _number(cycle["web_m"]) - known.web_m
        went_m = went_m if 0.0 < went_m < JUMP_MOST_S * self.line.web_speed_max_mps else 0.0
        out_m = min(max(known.out_m + (went_m if out else -went_m), 0.0), OUT_MOST_M)
        _one(values, "profile-out", out_m, f"worst zone {now_pct[valid][np.abs(now_pct[valid]).argmax()]:+.1f} %")
        _one(values, "mean-out", abs(mean_pct.value) / tolerance_pct, f"{mean_pct.value:+.2f} %")
        padded = np.pad(off_pct.value, 1, mode="edge")
        apart = np.abs(off_pct.value - 0.5 * (padded[:-2] + padded[2:])) / tolerance_pct
        apart[[*range(EDGE_ZONES), *range(-EDGE_ZONES, 0)]] *= EDGE_SHARE  # lips have less to say there
        most = int(apart.argmax())  # neighbours of a streak stand apart from it, too: only the worst is told
        if apart[most] > CATALOGUE["zone-apart"].limit - CATALOGUE["zone-apart"].dead_band:
            values[Key("zone-apart", f"zone {most + 1}")] = Condition(
                float(apart[most]), f"{off_pct.value[most]:+.2f} %"
            )
        return known._replace(off_pct=off_pct, mean_pct=mean_pct, out_m=out_m)

    def _pump(self, known: Memory, cycle: Mapping[str, Any], dt_s: float, values: Values) -> Memory:
        trim_pct, rpm, kpa = (_number(cycle[name]) for name in ("pump_trim_pct", "pump_speed_rpm", "pump_pressure_kpa"))
        if math.isfinite(trim_pct):
            _one(values, "pump-end", abs(trim_pct) / self.line.pump.trim_max_pct, f"trim {trim_pct:+.1f} %")
            now, usual = known.trim[0].seen(trim_pct, dt_s, 10.0), known.trim[1].seen(trim_pct, dt_s, 60.0)
            _one(values, "pump-moved", abs(now.value - usual.value), f"{now.value - usual.value:+.1f} %")
            known = known._replace(trim=(now, usual))
        if not (rpm > 1.0 and kpa > 1.0):
            return known
        # a power-law slurry: pressure goes with flow to the power n, so this stays where it is at any speed
        index_pct = 100.0 * (math.log(kpa) - self.line.slurry.flow_index * math.log(rpm))
        ten, usual = known.pressure
        ten = ten.seen(index_pct, dt_s, 10.0)
        usual = usual.seen(index_pct, dt_s, _patience_s(abs(ten.value - usual.value) if usual.weight else 0.0, 1.0))
        first_pct = known.first_pct
        if math.isnan(first_pct) and known.steady_s > FIRST_S:
            first_pct = usual.value
        fast = ten.value - usual.value
        slow = 0.0 if math.isnan(first_pct) else ten.value - first_pct
        worst = fast if abs(fast) >= SLOW_SHARE * abs(slow) else SLOW_SHARE * slow
        name = "pump-pressure-high" if worst > 0.0 else "pump-pressure-low"
        _one(values, name, abs(worst), f"{fast:+.1f} % of late, {slow:+.1f} % in this batch")
        step_pct = index_pct - known.pressure_pct if math.isfinite(known.pressure_pct) else 0.0
        beat, beat_usual = known.pulses
        beat = beat.seen(step_pct**2, dt_s, 5.0)
        known_well = known.steady_s > BEAT_LEARN_S
        strange = known_well and beat.value > BEAT_MOST * beat_usual.value
        beat_usual = beat_usual.seen(step_pct**2, dt_s, 50.0 * USUAL_S if strange else USUAL_S)
        if known_well and beat_usual.value > 0.0:
            times = math.sqrt(beat.value / beat_usual.value)
            _one(values, "pump-pulses", times, f"{times:.1f} times the usual")
        known = known._replace(pressure_pct=index_pct, pressure=(ten, usual), first_pct=first_pct)
        return known._replace(pulses=(beat, beat_usual))

    def _gauges(self, known: Memory, cycle: Mapping[str, Any], dt_s: float, values: Values) -> Memory:
        bad = ~np.asarray(cycle["profile_valid"], dtype=np.bool_)
        invalid = known.invalid.seen(bad.astype(np.float64), dt_s, 10.0)
        blind = invalid.value > CATALOGUE["gauge-blind"].limit - CATALOGUE["gauge-blind"].dead_band
        if blind.any() and not blind.all():  # a gauge that sees nothing at all is told of otherwise
            where = f"zones {', '.join(str(zone + 1) for zone in np.flatnonzero(blind))}"
            values[Key("gauge-blind")] = Condition(float(invalid.value.max()), where)
        dropped = known.dropped.seen(float(np.mean(bad & ~blind)), dt_s, 60.0)
        _one(values, "gauge-drops", dropped.value)
        known = known._replace(invalid=invalid, dropped=dropped)
        dry = self.line.dry_gauge
        if dry is None or self.line.wet_gauge is None:
            return known
        taught_pct = float(np.mean(cycle["wet_bias_pct"]))
        # of web that a hold cut off from the wet gauge nothing is learnt
        paired = known.unbroken_s > DRY_DELAYS * self._to_dry_s(_number(cycle["web_speed_mps"]))
        now, usual = known.bias[0].seen(taught_pct, dt_s, 5.0), Smooth()
        if paired:
            usual = known.bias[1].seen(taught_pct, dt_s, 60.0)
            _one(values, "gauges-part", abs(now.value - usual.value), f"by {now.value - usual.value:+.1f} %")
        scan, last_pct, idle = known.taught
        new = int(cycle["dry_scan_id"])
        if new >= 0 and new != scan:
            whole_pct = float(np.sum(np.abs(cycle["wet_bias_pct"]))) + taught_pct
            taught = abs(whole_pct - last_pct) >= TINY_PCT
            idle = 0 if taught else idle + paired
            known = known._replace(taught=(new, whole_pct, idle))
        _one(values, "dry-idle", float(known.taught[2]))
        return known._replace(bias=(now, usual))

    def _belief(self, known: Memory, cycle: Mapping[str, Any], dt_s: float, values: Values) -> Memory:
        rung = str(cycle["rung"])
        why = str(cycle["rung_cause"])
        if rung == Rung.LINEAR:
            values[Key("network-off")] = Condition(1.0, why)
        elif rung != Rung.OWN:
            values[Key("ladder-low")] = Condition(1.0, f"{rung}: {why}")
        has = _number(cycle["guest_authority"])
        best = max(known.authority, has) if math.isfinite(has) else known.authority
        if best > AUTHORITY_HAD and has < AUTHORITY_LOST:
            values[Key("network-unheeded")] = Condition(1.0)
        names = ("batch_step_pct", "batch_foretold_pct", "batch_step_sd_pct", "batch_foretold_sd_pct")
        step, foretold, step_sd, foretold_sd = (_number(cycle[name]) for name in names)
        if math.isfinite(step + foretold) and step_sd < foretold_sd:
            apart = abs(step - foretold) / math.hypot(step_sd, foretold_sd)
            _one(values, "batch-strange", apart, f"brings {step:+.1f} %, foretold was {foretold:+.1f} %")
        late_us = _number(cycle["lateness_us"])
        late = known.late.seen(float(late_us > 0.5e6 * self.line.control.cycle_s), dt_s, 10.0)
        _one(values, "control-late", late.value)
        return known._replace(authority=best, late=late)


def silent(quiet_s: float, ended: bool, around: Surroundings) -> Conditions:
    """What is so while no cycle comes: since how long, and whether somebody stopped control."""
    values: Values = {}
    contexts = {Context.ENDED} if ended else set()
    if ended:
        values[Key("control-ended")] = Condition(1.0)
    elif quiet_s > CATALOGUE["control-silent"].limit:
        contexts.add(Context.SILENT)
        values[Key("control-silent")] = Condition(quiet_s, f"for {quiet_s:.0f} s")
    _told(Memory(), around, 0.0, values)
    return Conditions(values, frozenset(contexts))


# --- what needs no memory ----------------------------------------------------------------------------------------


def _held(cycle: Mapping[str, Any]) -> Values:
    """Why the loop holds, where that is no situation of every day."""
    name = HOLDS.get(str(cycle["outcome"]))
    return {Key(name): Condition(1.0)} if name is not None else {}


def _links(cycle: Mapping[str, Any]) -> Values:
    """Link faults by device: several words of one device are one alarm."""
    found: dict[Key, list[str]] = {}
    for words in cycle["link_faults"]:
        found.setdefault(_link(str(words)), []).append(str(words))
    return {key: Condition(1.0, "; ".join(words)) for key, words in found.items()}


def _link(words: str) -> Key:
    if words.startswith("another controller"):
        return Key("intruder")
    if words.startswith("bus"):
        return Key("bus-babble" if "babbles" in words else "bus-fault")
    name, _, what = words.partition(": ")
    if "repeats itself" in what:
        return Key("gauge-frozen", _device(name))
    return Key("link-silent" if what.startswith(("silent", "never seen")) else "link-faulty", _device(name))


def _device(link: str) -> str:
    """The device whose link that is."""
    name = link.removeprefix("heartbeat of ")
    first = name.partition(" ")[0]
    if first in ("wet", "dry"):
        return f"{first} gauge"
    return {"sync": "encoder", "line": "encoder", "die": "die", "pump": "pump"}.get(first, name)


EVENTS: Mapping[str, tuple[str, ...]] = {
    "journal-refusing": ("journal full", "rows lost", "rows were lost"),
    "snapshot-failing": ("no snapshot could be written", "the snapshot cannot be used"),
}


def _events(events: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for kind, text in events:
        for name, marks in EVENTS.items():
            if kind in ("alarm", "journal-overflow") and any(mark in text for mark in marks):
                yield name, text


def _told(known: Memory, around: Surroundings, dt_s: float, values: Values) -> Memory:
    """What came from elsewhere than the cycle. An event counts for a while, for it says no end."""
    events = {key: (left_s - dt_s, text) for key, (left_s, text) in known.events.items() if left_s > dt_s}
    events |= {Key(name): (EVENT_S, text) for name, text in _events(around.events)}
    values |= {key: Condition(1.0, text) for key, (_, text) in events.items()}
    _one(values, "disk-filling", around.disk_full, f"{100.0 * around.disk_full:.0f} % full")
    if around.model_refused:
        values[Key("model-refused")] = Condition(1.0, around.model_refused)
    return known._replace(events=events)


def _one(values: Values, name: str, value: float, detail: str = "") -> None:
    """One figure, where it can matter."""
    alarm = CATALOGUE[name]
    if value > alarm.limit - alarm.dead_band:
        values[Key(name)] = Condition(value, detail)


def _each(values: Values, name: str, kind: str, found: Array) -> None:
    """A figure of each bolt, where it can matter; where it does of many, of the die."""
    alarm = CATALOGUE[name]
    which = np.flatnonzero(found > alarm.limit - alarm.dead_band)
    if which.size > MANY:
        values[Key(name, "die")] = Condition(float(found.max()), ", ".join(f"{kind} {k + 1}" for k in which))
        return
    for k in which:
        values[Key(name, f"{kind} {k + 1}")] = Condition(float(found[k]))


def _patience_s(apart: float, bound: float) -> float:
    """How slowly something is taken for usual: ten times as slowly where it is not."""
    return USUAL_S if apart <= bound else 10.0 * USUAL_S


def _number(value: Any) -> float:
    """A figure that may be missing."""
    return math.nan if value is None else float(value)
