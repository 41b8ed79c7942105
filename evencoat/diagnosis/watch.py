"""Diagnoser: cycles in, what is wrong and where out, with a probability and the evidence.

Pure but for its own memory: no clock, no file, numpy alone. A cycle comes by the names of Trace, from a Trace or from a
journal's row. Every detector gives its evidence as a strength, 1 where it begins to count; what a stronger cause
explains is taken from the others; what stays strong for long enough is named. The probability rises with the strength
(`calibration`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from controller.core.response import local_gain_per_um
from controller.line.command import Mode, Outcome
from controller.line.description import Array, LineDescription
from controller.line.profile import LineState
from evencoat.alarms.conditions import MANY
from evencoat.diagnosis import calibration
from evencoat.diagnosis.catalogue import CATALOGUE
from evencoat.diagnosis.flow import GAP, NEW, OLD, SLOW_ROWS, Flow
from evencoat.diagnosis.gauges import Health
from evencoat.diagnosis.jumps import ROWS as JUMP_ROWS
from evencoat.diagnosis.jumps import Jumps
from evencoat.diagnosis.lips import FOLLOW, Lips
from evencoat.diagnosis.motors import STILL_LOOKS, Motors
from evencoat.diagnosis.rows import Rows
from evencoat.diagnosis.shapes import SLOW_GAP, SLOW_NEW, SLOW_OLD, Ramps, Seen
from evencoat.diagnosis.spectra import Pulses, Turns

JUMP_MOST_S = 10.0  # between two cycles that were seen one after the other
SPEED_SHARE = 0.02  # of web speed, that is another speed
SETTLE_ROWS = 130  # after a start or another speed
SPEED_ROWS = 20  # more, in which the last of a ramp and what the loop makes of it are over
BATCH_S = 240.0  # and the way to the dry gauge: so long everything about the slurry is the batch's doing
FRESH_BATCH_S = 120.0
MIXED_PCT = 1.0  # of pressure in two minutes: a batch mixes in fastest at first and has done so when that is left
TOLD_MOST = 400
OUTLASTED = 10  # rows of evidence that a step can leave behind it
PLAIN = 2.0  # times the bound, that an edge has to lack while lips may not have come to rest
EDGE_BESIDE = 0.3  # of what the outermost zone lacks, that the third and fourth may lack as well
EDGE_BESIDE_LANE = 0.1  # the same beside a lane, which thins the second zone, but no other
EDGE_SECOND = 0.2  # of that, that the second lacks: a gauge loses its outermost boxes alone
SHAPES_FROM = 160  # rows, until lips have come to rest and it is known how restless a profile is
UNSOUND_NOISY, UNSOUND_MISSING, UNSOUND_BLIND = 1.3, 0.02, 0.3  # of a gauge, beyond which its steps are no lips'
ENDS_GIVE = 0.2  # of what a lip gives in its middle: its ends are bolted


class Key(NamedTuple):
    """A cause of the catalogue, and where: "bolt 7", "zone 5", "wet gauge", "pump", "line"."""

    cause: str
    where: str = "line"

    def __str__(self) -> str:
        return f"{self.cause}:{self.where}"


class Found(NamedTuple):
    """What a detector says of one key. strength: 1 where it begins to count."""

    strength: float
    evidence: str = ""
    value: float = math.nan  # hertz, metres, percent, hours: what the cause's unit says


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that is wrong. Times are line time, s; web_m where the line stood when it was named."""

    key: Key
    probability: float
    evidence: str
    since_s: float
    named_s: float
    web_m: float
    value: float
    strength: float


@dataclass(slots=True)
class _Standing:
    """Evidence as it goes on from look to look."""

    since_s: float
    best: Found
    newest: Found
    last_s: float
    looks: int = 1
    named_s: float = math.nan
    web_m: float = math.nan


Founds = dict[Key, Found]


class Diagnoser:
    """Looks at the cycles of one line."""

    def __init__(self, line: LineDescription) -> None:
        self.line = line
        self._t0_ns = -1
        self._t_ns, self._batch, self._batch_s = -1, -1, -math.inf
        self._mixing = False
        self._encoder_s = 0.0
        self.t_s = self.web_m = 0.0
        self._links: tuple[str, ...] = ()
        self._standing: dict[Key, _Standing] = {}
        self._over: list[Diagnosis] = []
        self._begin()

    def _begin(self) -> None:
        """A start, or web that was torn: what was learnt of profiles and means holds no more."""
        line = self.line
        self._rows = Rows(line)
        self._lips, self._motors = Lips(line), Motors(line)
        self._slow_lips, self._jumps = Lips(line, FOLLOW[1]), Jumps(self._lips.map, line.lips.backlash_um)
        self._flow = Flow(line, self._rows)
        self._shapes = {
            name: Seen(line, self._rows, self._lips, read, self._rows.least_share(gauge))
            for name, gauge, read in (
                ("wet", line.wet_gauge, self._rows.wet), ("dry", line.dry_gauge, self._rows.dry)
            )
            if gauge is not None
        }  # fmt: skip
        self._ramps = Ramps(line, self._rows, self._shapes["wet"]) if "wet" in self._shapes else None
        self._health = {
            name: Health(gauge, line.zones, line.control.stale_periods)
            for name, gauge in (("wet", line.wet_gauge), ("dry", line.dry_gauge))
            if gauge is not None
        }
        self._pulses, self._turns = Pulses(line), Turns(line)
        self._rpm = line.pump_ratio_nominal_rpm_per_mps * line.web_speed_mps
        self._speed_mps, self._settle_row = 0.0, 0
        self._quiet_until: dict[str, float] = {}
        self._dry_edge_s = -math.inf

    # --- what comes in -------------------------------------------------------------------------------------------

    def look(self, cycle: Mapping[str, Any]) -> list[Diagnosis]:
        """One cycle; returns what was named by it."""
        t_ns = int(cycle["t_line_ns"])
        if self._t0_ns < 0:
            self._t0_ns = t_ns
        dt_s = (t_ns - self._t_ns) / 1e9 if self._t_ns >= 0 else self.line.control.cycle_s
        if not 0.0 < dt_s <= JUMP_MOST_S:
            self._begin()
            dt_s = self.line.control.cycle_s
        self._t_ns, self.t_s = t_ns, (t_ns - self._t0_ns) / 1e9
        self._links = tuple(str(words) for words in cycle["link_faults"])
        speed_mps, web_m = float(cycle["web_speed_mps"]), float(cycle["web_m"])
        lost = str(cycle["outcome"]) == Outcome.ENCODER_LOST or not math.isfinite(speed_mps + web_m)
        self._encoder_s = self._encoder_s + dt_s if lost else 0.0
        running = int(cycle["line_state"]) == LineState.RUNNING and not lost
        self._batched(cycle)
        if not running or speed_mps < 0.05 * self.line.web_speed_mps:
            return self._judged(self._told_outright(), dt_s) if self._encoder_s or self._links else []
        self.web_m = web_m
        if abs(speed_mps - self._speed_mps) > SPEED_SHARE * self.line.web_speed_mps:
            self._speed_mps, self._settle_row = speed_mps, math.floor(web_m / self._rows.row_m)
            self._flow.begin_drift()
        return self._looked(cycle, dt_s, web_m, speed_mps)

    def _batched(self, cycle: Mapping[str, Any]) -> None:
        batch = int(cycle["batch"])
        if self._batch not in (-1, batch):
            self._batch_s, self._mixing = self.t_s, True
        self._batch = batch

    def _looked(self, cycle: Mapping[str, Any], dt_s: float, web_m: float, speed_mps: float) -> list[Diagnosis]:
        gap_um = np.asarray(cycle["gap_um"], dtype=np.float64)
        if str(cycle["mode_actual"]) == Mode.AUTO:
            lost = np.asarray(cycle["zone_not_following"], dtype=np.bool_)
            self._motors.see(gap_um, np.asarray(cycle["gap_target_um"], dtype=np.float64), lost, dt_s)
        kpa = float(cycle["pump_pressure_kpa"])
        rpm = float(cycle["pump_speed_rpm"])
        if kpa > 0.0 and rpm > 0.0:
            self._pulses.see(math.log(kpa), math.log(rpm / self._rpm), self._flow.index, dt_s)
        self._scans(cycle, dt_s)
        looked = False
        for what, row in self._rows.see(cycle, self.t_s, web_m, speed_mps):
            if what == "die":
                looked = True
            elif what == "wet":
                self._wet_row(row)
            else:
                self._dry_row(row)
        return self._judged(self._found(), 1.0) if looked else []

    def _scans(self, cycle: Mapping[str, Any], dt_s: float) -> None:
        target = self.line.target_profile_gsm
        share = float(cycle["target_gsm"]) / float(target.mean())
        target = target * (share if share > 0.0 else 1.0)
        for name, health in self._health.items():
            scan = cycle[f"{name}_scan_gsm"]
            if not math.isfinite(float(cycle[f"{name}_scan_m"])):
                health.pass_by(dt_s)
                continue
            values = np.asarray(scan, dtype=np.float64)
            if not np.isfinite(values).any() and not health.seen:
                continue  # no web has come to it yet
            over = np.where(np.isfinite(values), values, 0.0) / target
            health.scan(over, float(cycle[f"{name}_scan_share"]), float(cycle[f"{name}_scan_past_boxes"]))
            self._turns.see(name, over, float(cycle[f"{name}_scan_m"]), self.t_s)

    def _wet_row(self, row: int) -> None:
        self._flow.wet_row(row)
        if self.line.primary_gauge.is_wet:
            self._lips_row(row, self._rows.wet)
        self._shapes["wet"].row(row)
        if self._ramps is not None:
            self._ramps.row(row, mixing=self.t_s - self._batch_s < BATCH_S)

    def _dry_row(self, row: int) -> None:
        if not self.line.primary_gauge.is_wet:
            self._lips_row(row, self._rows.dry)
        self._flow.dry_row(row)
        self._shapes["dry"].row(row)

    def _lips_row(self, row: int, read: Array) -> None:
        rows, at = self._rows, row % self._rows.size
        gap_um = rows.gap_um[at] - self.line.die.gap_nominal_um
        if np.isfinite(gap_um).all():
            for lips in (self._lips, self._slow_lips):
                lips.row(gap_um, read[at])
            health = self._health["wet" if self.line.primary_gauge.is_wet else "dry"]
            blind = health.missing > UNSOUND_MISSING or float(health.blind.max()) > UNSOUND_BLIND
            sound = not blind and health.noisy < UNSOUND_NOISY
            self._jumps.row(gap_um, read[at], sound, rows.steady(row, 2 * JUMP_ROWS))

    # --- what is found -------------------------------------------------------------------------------------------

    def _told_outright(self) -> Founds:
        """What nobody needs to find out."""
        found: Founds = {}
        if self._encoder_s > 0.3:
            found[Key("encoder-lost", "encoder")] = Found(3.0, f"web speed not valid for {self._encoder_s:.0f} s")
        for words in self._links:
            name, _, what = words.partition(": ")
            gauge = name.partition(" ")[0]
            if gauge in ("wet", "dry") and "repeats" in what:
                found[Key("gauge-frozen", f"{gauge} gauge")] = Found(3.0, words)
            elif gauge in ("wet", "dry") and what.startswith("silent"):
                found[Key("gauge-silent", f"{gauge} gauge")] = Found(3.0, words)
            elif words.startswith(("another controller", "bus")):
                found[Key("bus-disturbed", "bus")] = Found(3.0, words)
            elif not what.startswith("never seen"):
                found[Key("link-lost", name.removeprefix("heartbeat of "))] = Found(3.0, words)
        if self.t_s - self._batch_s < FRESH_BATCH_S:
            found[Key("batch-changed", "slurry")] = Found(3.0, self._batch_words())
        return found

    def _batch_words(self) -> str:
        change = self._flow.change
        return f"a new batch was announced; pressure {100.0 * change.slow_pressure * self._flow.index:+.1f} % since"

    def _found(self) -> Founds:
        found = self._told_outright()
        found |= self._of_gauges()
        mute = {key.where.partition(" ")[0] for key in found if key.cause in ("gauge-frozen", "gauge-silent")}
        found |= self._of_motors()
        settled = self._rows.row - self._settle_row > SETTLE_ROWS
        if "wet" not in mute:
            found |= self._of_lips(found)
            found |= self._of_ramps(found)
        if settled:
            found |= self._of_flow(found, mute)
            found |= self._of_shapes(found, mute)
            found |= self._of_rounds()
        return self._together(found)

    def _together(self, found: Founds) -> Founds:
        """What more than MANY bolts have is the die's: one cable, one supply, one drive, not each bolt by itself."""
        bolts = [key for key in found if key.where.startswith("bolt ")]
        for cause in {key.cause for key in bolts}:
            mine, die = [key for key in bolts if key.cause == cause], Key(cause, "die")
            strengths = sorted((found[key].strength for key in mine), reverse=True)
            stands = die in self._standing and math.isfinite(self._standing[die].named_s)
            if len(mine) > MANY or stands:
                evidence = f"{len(mine)} bolts: {found[mine[0]].evidence}"
                found[die] = Found(strengths[0 if stands else MANY], evidence)
                for key in mine:
                    del found[key]
        return found

    def _of_gauges(self) -> Founds:
        found: Founds = {}
        for name, health in self._health.items():
            where = f"{name} gauge"
            if health.same >= 2:
                found[Key("gauge-frozen", where)] = Found(health.same / 2.0, f"{health.same + 1} scans are the same")
            elif health.patience > 1.0:
                found[Key("gauge-silent", where)] = Found(health.patience, f"no scan for {health.silent_s:.0f} s")
            blind = np.flatnonzero(health.blind > 0.5)
            if health.past_share:
                mm, side = health.past_share * self.line.web_width_mm, "right" if health.past_share > 0.0 else "left"
                words = f"sees no web at the {side} edge: about {mm:+.0f} mm off"
                found[Key("gauge-misplaced", where)] = Found(2.0, words, mm)
            elif (blind.size or health.missing > 0.01) and health.seen:
                zones = f"zones {_listed(blind + 1)}" if blind.size else "single boxes"
                strength = max(2.0 * float(health.blind.max()), health.missing / 0.02)
                first = float(blind[0] + 1) if blind.size else math.nan
                found[Key("gauge-blind", where)] = Found(
                    strength, f"{zones} without valid readings, {100.0 * health.missing:.0f} % of the boxes", first
                )
            if health.noisy > 1.6:
                found[Key("gauge-noisy", where)] = Found(
                    math.log(health.noisy) / math.log(1.8), f"noise {math.sqrt(health.noisy):.1f} times the usual"
                )
        return found

    def _of_motors(self) -> Founds:
        motors, found = self._motors, Founds()
        noisy = motors.noisy()
        for k in np.flatnonzero(noisy > 0.5):
            found[Key("bolt-noisy", f"bolt {k + 1}")] = Found(float(noisy[k]), "positions fed back jitter")
        for k in np.flatnonzero(motors.stuck >= STILL_LOOKS):
            if noisy[k] <= 1.0:
                found[Key("bolt-stuck", f"bolt {k + 1}")] = Found(
                    motors.stuck[k] / STILL_LOOKS, f"stands {motors.apart_um[k]:+.1f} um from where it was sent"
                )
        for k in np.flatnonzero(motors.slow >= STILL_LOOKS):
            if noisy[k] <= 1.0 and motors.slow[k] > 0.5 * motors.stuck[k]:
                found[Key("bolt-slow", f"bolt {k + 1}")] = Found(
                    motors.slow[k] / STILL_LOOKS, f"crawls, {motors.apart_um[k]:+.1f} um behind"
                )
                found.pop(Key("bolt-stuck", f"bolt {k + 1}"), None)
        return found

    def _of_lips(self, known: Founds) -> Founds:
        """What sticks as a whole, or else single bolts."""
        lips = self._lips
        held, jumped = lips.all_stick / calibration.STICK_NATS, self._jumps.nats / calibration.JUMP_NATS
        if max(held, jumped) <= 1.0:
            return self._of_bolts(known)
        size_um = lips.stick_um if held > jumped else self._jumps.size_um
        words = f"lips jump by about {size_um:.0f} um, when their screws are ahead by as much"
        return {Key("lip-sticks", "die"): Found(max(held, jumped), words, size_um)}

    def _of_bolts(self, known: Founds) -> Founds:
        lips, found = self._lips, Founds()
        loose, width_um = lips.loose()
        stacked = np.stack([lips.dead(), lips.reversed(), loose])
        slower, slow_um = self._slow_lips.loose()
        slow = np.stack([self._slow_lips.dead(), self._slow_lips.reversed(), slower])
        other = slow.max(axis=0) > stacked.max(axis=0)
        stacked, width_um = np.where(other, slow, stacked), np.where(other, slow_um, width_um)
        missed = np.where(other, self._slow_lips.missing(), lips.missing())
        best = stacked.max(axis=0)
        padded = np.pad(best, 2, constant_values=-1.0)
        beside = np.max([padded[:-4], padded[1:-3], padded[3:-1], padded[4:]], axis=0)
        not_well = {key.where for key in known if key.cause in ("bolt-stuck", "bolt-slow")}
        many = calibration.of_many(self.line.zones)
        asked = many * np.where(self._motors.unanswered, calibration.UNANSWERED, 1.0)
        for k in np.flatnonzero((best > calibration.DEAD_NATS * asked) & (best >= beside)):
            where = f"bolt {k + 1}"
            if where in not_well:
                continue
            dead, turned, play = (float(one) for one in stacked[:, k])
            missing = float(missed[k])
            low, high = calibration.PLAINLY_MISSED
            need = calibration.DEAD_NATS if low < missing < high else calibration.DOUBTFUL_NATS
            if not calibration.MISSED_LEAST < missing < calibration.MISSED_MOST:
                continue
            words = f"of its way the web misses {missing:.1f} times; {best[k]:.0f} nats against a well bolt"
            if missing > calibration.REVERSED_FROM:
                cause, need = "bolt-reversed", calibration.REVERSED_NATS
                if turned < 0.3 * max(dead, play):
                    continue  # more than a dead one would miss, and not yet like a reversed one
            elif play > dead + 2.0:
                cause, need = "bolt-play", calibration.PLAY_NATS
                words = f"{words}, play of {width_um[k]:.0f} um"
            else:
                cause = "bolt-dead"
            found[Key(cause, where)] = Found(float(best[k] / (need * asked[k])), words, float(width_um[k]))
        return found

    def _of_ramps(self, known: Founds) -> Founds:
        """A lip that opens by the pressure, which goes with speed: what it gives at its usual pressure."""
        ramps, line = self._ramps, self.line
        if ramps is None or not ramps.sigmas or {"gauge-misplaced", "gauge-blind"} & {key.cause for key in known}:
            return {}
        # in the middle more than at the ends, as a parabola: two thirds of it are at the edges against the mean
        per_um = local_gain_per_um(line) * line.slurry.flow_index * (1.0 - ENDS_GIVE) * 2.0 / 3.0
        gives_um = -ramps.bow / per_um
        strength = min(gives_um / calibration.GIVES_UM, ramps.sigmas / calibration.GIVES_SIGMAS)
        if strength < 0.5:
            return {}
        words = f"the middle runs {-20.0 * ramps.bow:+.2f} % thicker for a fifth more speed, with lips as they were"
        return {Key("lip-gives", "die"): Found(strength, words, gives_um)}

    def _of_flow(self, known: Founds, mute: set[str]) -> Founds:
        """Who of pump, gauges and slurry moved the mean."""
        change, flow, found = self._flow.change, self._flow, Founds()
        batch_s = BATCH_S + self._to_dry_s()
        batch = self.t_s - self._batch_s < batch_s
        if abs(change.warmer_k) > 0.5:
            found[Key("slurry-temperature", "slurry")] = Found(
                abs(change.warmer_k) / 0.7, f"{change.warmer_k:+.1f} K within minutes", change.warmer_k
            )
        if not batch and not found:
            found |= self._of_filter()
        if found or batch or "wet" in mute or abs(change.slow_pressure) > 0.02:
            flow.begin_drift()  # what the pressure says of the film is another thing now
        if "wet" in mute or batch:
            return found
        wet, pressed = change.wet, change.pressure
        sigmas = abs(wet) / max(change.wet_sigma, 1e-6)
        size = min(100.0 * abs(wet) / calibration.LOSS_PCT, sigmas / calibration.JUMP_SIGMAS)
        if size > 0.5 and abs(wet - pressed) < 0.35 * abs(wet):
            found[Key("pump-loss", "pump")] = Found(
                size, f"film {100.0 * wet:+.1f} %, pressure as flow {100.0 * pressed:+.1f} %", 100.0 * wet
            )
        own = change.own
        alone = min(100.0 * abs(own) / calibration.WET_JUMP_PCT, abs(own) / change.own_sigma / calibration.JUMP_SIGMAS)
        if alone > 0.5 and abs(pressed) < 0.4 * abs(wet) and "gauge-noisy" not in {key.cause for key in known}:
            found[Key("wet-jump", "wet gauge")] = Found(
                alone, f"wet gauge {100.0 * wet:+.1f} %, pressure as flow {100.0 * pressed:+.1f} %", 100.0 * own
            )
        if flow.drift.ramp.rows and not found:
            found |= self._of_drift()
        if "dry" not in mute and flow.dry_rows > NEW + GAP + OLD:
            found |= self._of_dry(known)
        return found

    def _of_filter(self) -> Founds:
        """Pressure that rises with the flow as before, at one speed and with no batch mixing in."""
        flow, change = self._flow, self._flow.change
        pressed_pct = 100.0 * math.expm1(flow.index * change.slow_pressure)
        self._mixing = self._mixing and abs(pressed_pct) > MIXED_PCT
        own_pct = pressed_pct - 100.0 * flow.index * min(change.wet, 0.0)
        if self._mixing or own_pct < 2.0 or flow.wet_rows <= 150 or not self._same_speed(SLOW_ROWS):
            return {}
        words = f"pressure {pressed_pct:+.1f} % in two minutes, the flow as before"
        strength = own_pct / calibration.CLOG_PCT
        return {Key("filter-clogs", "filter"): Found(strength, words, self._hours_left(pressed_pct))}

    def _of_drift(self) -> Founds:
        """The wet gauge goes away from pump, pressure and dry gauge; the less of it one of them sees, the surer the
        others have to be."""
        ramp = self._flow.drift.ramp
        if ramp.least_share < calibration.DRIFT_LEAST:
            return {}
        agreed = math.sqrt(min(ramp.least_share / calibration.DRIFT_SHARE, 1.0))
        sure = ramp.sigmas * agreed / calibration.DRIFT_SIGMAS
        strength = min(100.0 * abs(ramp.gone) / calibration.DRIFT_PCT, sure)
        an_hour = 100.0 * ramp.gone * 3600.0 / ramp.rows
        others = "pump, pressure and dry gauge" if self.line.dry_gauge is not None else "pump and pressure"
        words = f"wet gauge against {others} {an_hour:+.1f} % an hour"
        return {Key("wet-drift", "wet gauge"): Found(strength, words, an_hour)}

    def _of_dry(self, known: Founds) -> Founds:
        """A step of the dry mean that the wet one did not see: at once it is the gauge, little by little the foil."""
        flow, found = self._flow, Founds()
        alone = flow.dry_step - flow.dry_wet
        size = min(100.0 * abs(alone) / calibration.DRY_JUMP_PCT, abs(alone) / flow.dry_sigma / calibration.JUMP_SIGMAS)
        if abs(flow.dry_wet) > 0.5 * abs(flow.dry_step):
            size = 0.0
        restless, slow = flow.foil_times / calibration.FOIL_TIMES, size if not flow.dry_sharp else 0.0
        if max(restless, slow) > 0.5 and Key("gauge-noisy", "dry gauge") not in known:
            words = f"the dry mean changes {flow.foil_times:.1f} times as much as usual, the wet one does not"
            if slow > restless:
                words = f"the dry mean went {100.0 * alone:+.1f} % little by little, the wet one did not"
            found[Key("foil-uneven", "foil")] = Found(max(restless, slow), words)
        if size > 1.0:
            flow.begin_drift()  # it would be taken for a slow one
        if size > 0.5 and flow.dry_sharp:
            found[Key("dry-jump", "dry gauge")] = Found(
                size, f"dry gauge {100.0 * flow.dry_step:+.1f} %, wet {100.0 * flow.dry_wet:+.1f} % on the same web",
                100.0 * alone,
            )  # fmt: skip
        return found

    def _hours_left(self, pressed_pct: float) -> float:
        """Until the pressure has doubled, by how it rises now."""
        an_hour = pressed_pct / 105.0 * 3600.0
        return 100.0 / an_hour if an_hour > 0.0 else math.inf

    def _to_dry_s(self) -> float:
        dry = self.line.dry_gauge
        return dry.distance_m / max(self._speed_mps, 0.1 * self.line.web_speed_mps) if dry is not None else 0.0

    def _of_shapes(self, known: Founds, mute: set[str]) -> Founds:
        found: Founds = {}
        taken = {int(key.where.split()[1]) for key in known if key.where.startswith("bolt ")}
        for name, seen in self._shapes.items():
            if name in mute:
                continue
            gauge = f"{name} gauge"
            spoilt = Key("gauge-blind", gauge) in known
            edge = self._edge(name, seen)
            if edge:
                found |= edge
            if edge or seen.count < SHAPES_FROM:
                continue
            if name == "wet" and not spoilt and "lip-sticks" not in {key.cause for key in known}:
                found |= self._local(seen, taken, max(self._health[name].noisy, 1.0))
                strength = min(seen.bow_sigmas / calibration.BOW_SIGMAS, seen.bow_share / 0.3)
                strength = min(strength, 100.0 * abs(seen.bow) / calibration.BOW_PCT)
                if strength > 0.5 and self._same_speed(SLOW_NEW + SLOW_GAP + SLOW_OLD):
                    found[Key("lip-bow", "die")] = Found(
                        strength, f"edges {100.0 * seen.bow:+.1f} % against the middle within minutes", 100.0 * seen.bow
                    )
                found |= self._unknown(seen)
        return found

    def _same_speed(self, rows: int) -> bool:
        """Whether the wet gauge has seen so many rows of web, and a few more, at this speed."""
        return self._flow.newest - self._settle_row > rows + SPEED_ROWS

    def _unknown(self, seen: Seen) -> Founds:
        """A profile as it never is; whatever else is named explains it."""
        strength = seen.restless / calibration.RESTLESS_TIMES
        words = f"the profile changes {math.sqrt(seen.restless):.1f} times as much as usual in more than one place"
        if self._same_speed(SLOW_NEW + SLOW_GAP + SLOW_OLD) and seen.bow_share < 0.3:
            bent = min(seen.bent_sigmas / calibration.BENT_SIGMAS, 100.0 * seen.bent / calibration.BENT_PCT)
            if bent > strength:
                strength, words = bent, f"the profile bends by {100.0 * seen.bent:.1f} % as no cause known here does"
        if strength < 0.5 or self.t_s - self._batch_s < BATCH_S:
            return {}
        return {Key("unknown", "web"): Found(strength, f"{words}, most in zone {seen.local.zone + 1}")}

    def _edge(self, name: str, seen: Seen) -> Founds:
        """One gauge beside its place sees bare foil at one edge; a lane that clogs there thins the second zone, too."""
        edge, sigma = seen.edge, seen.edge.sigma
        at = 0 if edge.left < edge.right else 1
        worst, other = min(edge.left, edge.right), max(edge.left, edge.right)
        other_gauge = self._shapes.get("dry" if name == "wet" else "wet")
        size = min(-100.0 * worst / calibration.EDGE_PCT, -worst / sigma / calibration.EDGE_SIGMAS)
        if size < 0.5 or abs(other) > 0.5 * abs(worst) or abs(seen.local.size) > 1.3 * abs(worst):
            return {}
        second = (edge.second_left, edge.second_right)[at]
        beside = (edge.beside_left, edge.beside_right)[at]
        lane = second < EDGE_SECOND * worst
        if beside < (EDGE_BESIDE_LANE if lane else EDGE_BESIDE) * worst:
            return {}  # a profile that tilts goes down little by little
        if seen.count < SHAPES_FROM and size < PLAIN:
            return {}
        asked = other_gauge is not None and name == "dry" and other_gauge.edge.sigma > 0.0
        if asked and self._wet_saw(-at) < 0.5 * worst:
            return {}
        if lane:
            return self._edge_lane(at, size, worst)
        mm = (1.0 - math.exp(worst)) * self.line.die.zone_pitch_mm * (1.0 if at else -1.0)
        side = "right" if at else "left"
        return {
            Key("gauge-misplaced", f"{name} gauge"): Found(
                size,
                f"its {side} edge reads {100.0 * math.expm1(worst):+.1f} %: about {mm:+.0f} mm off",
                mm,
            )
        }

    def _edge_lane(self, at: int, size: float, worst: float) -> Founds:
        zone = self.line.zones - 1 if at else 0
        mm = float((zone - 0.5 * (self.line.zones - 1)) * self.line.die.zone_pitch_mm)
        words = f"{100.0 * math.expm1(worst):+.1f} % at the edge and less beside it, lips did not move for it"
        return {Key("lane-clogged", f"zone {zone + 1}"): Found(size, words, mm)}

    def _wet_saw(self, zone: int) -> float:
        """What of the dry gauge's newest change the wet one saw in a zone of the same web."""
        dry, rows = self._shapes["dry"], self._rows
        row = self._last_dry_row()
        rest = self._shapes["wet"].rest if "wet" in self._shapes else dry.rest
        new = rest[rows.at(row - 9, row), zone]
        old = rest[rows.at(row - 41, row - 12), zone]
        return float(np.nanmean(new) - np.nanmean(old)) if np.isfinite(new).any() and np.isfinite(old).any() else 0.0

    def _last_dry_row(self) -> int:
        assert self.line.dry_gauge is not None
        return self._rows.row - int(self.line.dry_gauge.distance_m / self._rows.row_m) - 2

    def _local(self, seen: Seen, taken: set[int], noisy: float) -> Founds:
        zone, size, sigmas, wide, share = seen.local
        if share < calibration.ONE_PLACE and seen.restless > calibration.RESTLESS_TIMES:
            return {}  # more than one place is no streak
        strength = min(
            sigmas / calibration.local_sigmas(self.line.zones) / math.sqrt(noisy),
            100.0 * abs(size) / calibration.LOCAL_PCT,
        )
        if strength < 0.5 or any(abs(zone + 1 - bolt) <= 2 for bolt in taken):
            return {}
        lane = size < 0.0 and ((wide > 1.25 and size < -0.03) or size < -0.12)
        cause = "lane-clogged" if lane else "streak"
        pitch = self.line.die.zone_pitch_mm
        mm = float((zone - 0.5 * (self.line.zones - 1)) * pitch)
        words = f"{100.0 * size:+.1f} % in a place {wide:.1f} zones wide, lips did not move for it"
        return {Key(cause, f"zone {zone + 1}"): Found(strength, words, mm)}

    def _of_rounds(self) -> Founds:
        found: Founds = {}
        pulses, turns = self._pulses, self._turns
        if pulses.times > 1.1:
            found[Key("pump-pulses", "pump")] = Found(
                (pulses.times - 1.0) / (calibration.PULSE_TIMES - 1.0),
                f"pressure pulses {pulses.times:.1f} times as much as usual, at {pulses.frequency_hz:.2f} Hz",
                pulses.frequency_hz,
            )
        strength = min(turns.times / calibration.TURN_TIMES, turns.surer / calibration.TURN_NATS)
        if strength > 0.5:
            across_mm = 1e3 * turns.turn_m / math.pi
            found[Key("roll-run-out", "roll")] = Found(
                strength, f"profile tilts every {turns.turn_m:.2f} m: a roll of {across_mm:.0f} mm", turns.turn_m
            )
        return found

    # --- what stands ---------------------------------------------------------------------------------------------

    def _judged(self, found: Founds, _: float) -> list[Diagnosis]:
        """Let evidence last, name what has lasted, and forget what is over."""
        named: list[Diagnosis] = []
        for key, one in found.items():
            entry = CATALOGUE[key.cause]
            if one.strength < entry.keeps:
                continue
            known = self._standing.get(key)
            if known is None:
                known = self._standing[key] = _Standing(self.t_s, one, one, self.t_s, 0)
            known.newest, known.last_s = one, self.t_s
            if one.strength >= known.best.strength:
                known.best = one
            known.looks = known.looks + 1 if one.strength >= 1.0 else 0
            if math.isnan(known.named_s) and known.looks >= entry.looks and not self._explained(key, known.looks):
                known.named_s, known.web_m = self.t_s, self.web_m
                named.append(self._told(key, known))
        for key, known in list(self._standing.items()):
            entry = CATALOGUE[key.cause]
            patience_s = entry.stands_s if math.isfinite(known.named_s) else 3.0
            if self.t_s - known.last_s > patience_s:
                if math.isfinite(known.named_s):
                    self._over = [*self._over[-TOLD_MOST:], self._told(key, known)]
                del self._standing[key]
        return named

    def _explained(self, key: Key, looks: int) -> bool:
        """Whether something that is named already explains this as well, which has been seen in so many rows."""
        entry = CATALOGUE[key.cause]
        rivals = entry.explained_by - (entry.outlasts if looks >= OUTLASTED else frozenset())
        for other, known in self._standing.items():
            if other != key and other.cause in rivals and math.isfinite(known.named_s):
                if other.where == "dry gauge" and key.where != "dry gauge" and key.cause != "foil-uneven":
                    continue
                places = [one.where[5:] for one in (key, other) if one.where.startswith(("bolt ", "zone "))]
                if len(places) < 2 or abs(int(places[0]) - int(places[1])) <= 3:
                    return True
        return False

    def _told(self, key: Key, known: _Standing) -> Diagnosis:
        probability = calibration.probability(key.cause, known.best.strength)
        return Diagnosis(
            key, probability, known.best.evidence, known.since_s, known.named_s, known.web_m, known.best.value,
            known.best.strength,
        )  # fmt: skip

    def standing(self) -> list[Diagnosis]:
        """What is named and not over, the surest first."""
        named = [self._told(key, one) for key, one in self._standing.items() if math.isfinite(one.named_s)]
        return sorted(named, key=lambda one: -one.probability)

    def over(self) -> list[Diagnosis]:
        """What was named and is over, the oldest first."""
        return list(self._over)

    @property
    def begun_ns(self) -> int:
        """Line time of the first cycle."""
        return self._t0_ns


def _listed(numbers: npt.NDArray[np.int64]) -> str:
    """Numbers in words, runs as runs."""
    found: list[str] = []
    for number in (int(one) for one in numbers):
        first, _, last = found[-1].partition("-") if found else ("", "", "")
        if found and int(last or first) == number - 1:
            found[-1] = f"{first}-{number}"
        else:
            found.append(str(number))
    return ", ".join(found)
