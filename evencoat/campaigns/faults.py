"""Named faults, one after the other, on a line that runs in AUTO: who notices, by what words, and what it costs.

Every fault of fault_catalogue comes to a pilot line that is even by then, under the law in use, through frames and
gate. Said is what an operator is told: the outcome where it is not OK, link faults, bolts that are left alone, the rung
of the ladder, and every alarm with its cause. A fault is detected when something is said that was not said before it,
and named when one of these matches the words of its catalogue entry; diagnosed, when evencoat.diagnosis, which sees the
same cycles, names its cause and its place. Whether the line is safe is judged on the true
web and on the wire: HOLD, or no metre out of tolerance any more. Some minutes of each round nothing happens, and what
is said then is a false trip.

A round is every fault once, each on a line of its own seed, then the quiet running; ten rounds are the campaign.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from controller.core.trace import Trace
from controller.line.command import Mode, OperatorRequest, Outcome, Rung
from evencoat.alarms.catalogue import CATALOGUE
from evencoat.alarms.engine import Key, State
from evencoat.alarms.replay import Panel, in_words
from evencoat.campaigns.fault_catalogue import FAULTS, Fault, Stage, Wire
from evencoat.campaigns.frame import Judgement, Row, Trial
from evencoat.diagnosis.watch import Diagnoser
from evencoat.league import metrics
from evencoat.league.rivals import Rival
from evencoat.recording import true_web
from evencoat.settings import load_line
from evencoat.simulate import Plan, SimulatedLine, undisturbed
from plant_sim import plant
from plant_sim.faults import DRIFTS
from plant_sim.scenario import parse

LINE = "pilot-16"
ROUNDS = 10
ONSET_S, END_S = 180.0, 420.0
QUICK_ONSET_S, QUICK_END_S = 60.0, 100.0
PERSON_AFTER_S = 5.0  # after the end of a fault that ends, somebody asks for AUTO again and re-arms
EVEN_AT_LAST_S = 20.0  # the last of a run must be inside, or it never came back
QUIET_MINUTES, QUIET_TRIALS = 24.0, 6  # a round: 2.4 h, so that ten are a day
OUT = metrics.OUT_WIDTH_SHARE


class Faults:
    """The campaign."""

    name = "faults"
    summary = f"{len(FAULTS)} named faults: detected, named, time to a safe state, scrap; no limit broken, no crash"

    def trials(self, quick: bool) -> int:
        """A quick one is each fault once, short, and one quiet trial."""
        return len(FAULTS) + 1 if quick else ROUNDS * (len(FAULTS) + QUIET_TRIALS)

    @contextlib.contextmanager
    def open(self, folder: Path, quick: bool, anew: bool) -> Iterator[Trial]:
        """Nothing outlives a trial."""
        onset_s, end_s = (QUICK_ONSET_S, QUICK_END_S) if quick else (ONSET_S, END_S)
        of_a_round = len(FAULTS) + (1 if quick else QUIET_TRIALS)

        def trial(k: int, rng: np.random.Generator) -> Row:
            seed, place = int(rng.integers(1 << 31)), k % of_a_round
            if place < len(FAULTS):
                return suffered(FAULTS[place], seed, onset_s, end_s)
            return quiet(seed, QUICK_END_S / 60.0 if quick else QUIET_MINUTES)

        yield trial

    def judge(self, rows: Sequence[Row], folder: Path) -> Judgement:
        """A table of faults, and what of it is a limit."""
        faults, calm = [row for row in rows if row["fault"]], [row for row in rows if not row["fault"]]
        hours = math.fsum(row["minutes"] for row in calm) / 60.0
        trips = sum(len(row["trips"]) for row in calm)
        safe_s = np.array([row["safe_s"] for row in faults if row["safe_s"] is not None] or [math.nan])
        told_s = np.array([row["detected_s"] for row in faults if row["detected_s"] is not None] or [math.nan])
        figures: dict[str, Any] = {
            "faults": len({row["fault"] for row in faults}),
            "trials": len(faults),
            "detected_share": _share(row["detected_s"] is not None for row in faults),
            "named_share": _share(row["named"] for row in faults),
            "diagnosed_share": _share(row["diagnosed_s"] is not None for row in faults if row["diagnosable"]),
            "detected_p95_s": round(float(np.percentile(told_s, 95)), 2),
            "safe_share": _share(row["safe_s"] is not None for row in faults),
            "safe_p95_s": round(float(np.percentile(safe_s, 95)), 2),
            "limits_broken": sum(row["violations"] for row in rows),
            "crashes": sum(row["crash"] != "" for row in rows),
            "quiet_hours": round(hours, 2),
            "false_trips": trips,
            "false_trips_per_24_h": round(24.0 * trips / hours, 2) if hours else None,
            "quiet_alarms": sum(row["alarms"] for row in calm),
            "quiet_diagnoses": sum(len(row["diagnoses"]) for row in calm),
            "quiet_diagnoses_by": _most_of(words for row in calm for words in row["diagnoses"]),
            "quiet_alarms_per_10_min": round(sum(row["alarms"] for row in calm) / 6.0 / hours, 3) if hours else None,
            "false_trips_by": _most_of(words for row in calm for words in row["trips"]),
            "table": [_of_fault(name, faults) for name in dict.fromkeys(row["fault"] for row in faults)],
        }
        limits = {"limits_broken": 0, "crashes": 0}
        broken = [f"{name} = {figures[name]:g}, at most {most:g}" for name, most in limits.items() if figures[name]]
        broken += [
            f"{row['fault'] or 'quiet'}, seed {row['seed']}: {row['first'] or row['crash']}"
            for row in rows
            if row["violations"] or row["crash"]
        ]
        return Judgement(figures, limits, tuple(broken))


def _share(which: Iterable[bool]) -> float:
    found = list(which)
    return round(sum(found) / max(len(found), 1), 4)


def _most_of(words: Iterable[str]) -> str:
    return ", ".join(f"{one} ({n})" for one, n in Counter(words).most_common(4))


def _of_fault(name: str, rows: Sequence[Row]) -> Row:
    """One line of the table; medians over the seeds, None where most of them never got there."""
    mine = [row for row in rows if row["fault"] == name]
    words = Counter(row["by"] for row in mine if row["by"]).most_common(1)
    diagnoses = Counter(row["diagnosis"] for row in mine if row["diagnosis"]).most_common(1)
    return {
        "fault": name,
        "group": mine[0]["group"],
        "seeds": len(mine),
        "detected": sum(row["detected_s"] is not None for row in mine),
        "named": sum(row["named"] for row in mine),
        "detected_s": _median([row["detected_s"] for row in mine]),
        "held": sum(row["held_s"] is not None for row in mine),
        "safe_s": _median([row["safe_s"] for row in mine]),
        "even_s": _median([row["even_s"] for row in mine]),
        "scrap_m": _median([row["scrap_m"] for row in mine]),
        "by": words[0][0] if words else "",
        "diagnosable": mine[0]["diagnosable"],
        "diagnosed": sum(row["diagnosed_s"] is not None for row in mine),
        "diagnosed_s": _median([row["diagnosed_s"] for row in mine]),
        "diagnosis": diagnoses[0][0] if diagnoses else "",
    }


def _median(values: Sequence[float | None]) -> float | None:
    """Where more than half never came, neither does the median."""
    middle = float(np.median([math.inf if value is None else value for value in values]))
    return round(middle, 2) if math.isfinite(middle) else None


class _Told:
    """What the operator is told, cycle by cycle, by the alarms of a panel and by diagnosis."""

    def __init__(self, panel: Panel | None = None, diagnoser: Diagnoser | None = None) -> None:
        self.panel, self.diagnoser = panel, diagnoser
        self.diagnoses: list[tuple[float, str]] = []  # when, "cause:where"
        self.alarms = 0  # that came since somebody listens
        self.causes: dict[str, str] = {}  # an alarm's words -> what it names as the cause
        self.now: frozenset[str] = frozenset()
        self.by_the_line = self.now  # of it what no alarm says: alarms outlast what they tell of
        self.since: dict[str, float] = {}  # words -> line time at which they were said first
        self.held_s: float | None = None
        self.begun: list[tuple[float, str]] = []  # when somebody who knew of nothing was told something
        self._clock: Callable[[], float] | None = None
        self._known = self.now
        self._shown: dict[Key, str] = {}  # as it was said first: details change from cycle to cycle

    def listen(self, clock: Callable[[], float]) -> None:
        """From now on, by the plant's own clock, which no fault sets: what is said now is known."""
        self._clock, self._known = clock, self.now

    def record(self, trace: Trace, step_us: float, lateness_us: float) -> None:
        """One finished cycle."""
        before, self.by_the_line = self.now, said(trace)
        cycle = trace._asdict()
        self.now = self.by_the_line | self._alarmed({**cycle, "lateness_us": lateness_us})
        found = self.diagnoser.look(cycle) if self.diagnoser is not None else []
        if self._clock is None:
            return
        t_s = self._clock()
        self.diagnoses += [(t_s, str(one.key)) for one in found]
        for words in self.now - self._known:
            self.since.setdefault(words, t_s)
        if self.now and not before:
            self.begun.append((t_s, min(self.now)))
        if self.held_s is None and trace.mode_actual is Mode.HOLD:
            self.held_s = t_s

    def _alarmed(self, cycle: Row) -> frozenset[str]:
        """The alarms that stand. Nobody acknowledges any."""
        if self.panel is None:
            return frozenset()
        came = [moved for moved in self.panel.see(cycle) if moved.after is State.ACTIVE]
        self.alarms += len(came) if self._clock is not None else 0
        for moved in came:
            self.causes[in_words(moved.key, moved.detail)] = CATALOGUE[moved.key.alarm].en.cause
        self._shown = {key: self._shown.get(key, words) for key, words in self.panel.standing().items()}
        return frozenset(self._shown.values())


def said(trace: Trace) -> frozenset[str]:
    """What a cycle tells the operator that is wrong."""
    bolts = np.count_nonzero(trace.zone_not_following)
    if trace.outcome is Outcome.OK and trace.rung is Rung.OWN and not (trace.link_faults or bolts):
        return frozenset()
    words = [f"bolt {zone + 1} is left alone" for zone in np.flatnonzero(trace.zone_not_following)]
    if trace.outcome is not Outcome.OK:
        words.append(str(trace.outcome))
    if trace.rung is not Rung.OWN:
        words.append(f"{trace.rung}: {trace.rung_cause}")
    return frozenset((*words, *trace.link_faults))


def _listener() -> _Told:
    line = load_line(LINE).line
    return _Told(Panel(line), Diagnoser(line))


def suffered(fault: Fault, seed: int, onset_s: float, end_s: float) -> Row:
    """One fault on one line, from its onset to the end of the run."""
    play = [{**fault.play, "onset_s": onset_s}] if fault.play else []
    told, wire = _listener(), Wire(seed)
    line = _line(play, told, end_s / 60.0, seed, None if fault.play else wire)
    over_s = end_s if fault.lasts_s is None else min(onset_s + fault.lasts_s, end_s)
    crash = ""
    with undisturbed():
        try:
            line.play(onset_s / 60.0)
            told.listen(lambda: line.nodes.state.t_s)
            stage = Stage(line, wire, told)
            fault.begin(stage)
            _while(stage, fault, over_s - onset_s)
            if over_s < end_s:
                fault.end(stage)
                line.play(min(PERSON_AFTER_S, end_s - over_s) / 60.0)
                line.request(OperatorRequest(mode=Mode.AUTO, rearm=True))
                line.play((end_s - over_s - PERSON_AFTER_S) / 60.0)
        except Exception as error:  # whatever it is, it is what this campaign looks for
            crash = f"{type(error).__name__}: {error}"
    return {"fault": fault.name, "group": fault.group, "seed": seed, "crash": crash,
            **_judged(line, fault, told, onset_s)}  # fmt: skip


def _while(stage: Stage, fault: Fault, seconds: float) -> None:
    """The fault is there for so long."""
    if fault.each is None:
        stage.line.play(seconds / 60.0, controller_lives=not fault.control_dead)
        return
    for _ in range(round(seconds / stage.line.cycle_s)):
        fault.each(stage)
        stage.line.play(stage.line.cycle_s / 60.0)


def _judged(line: SimulatedLine, fault: Fault, told: _Told, onset_s: float) -> Row:
    """When it was noticed, by what, and what the true web was like."""
    web = true_web(line.line, line.truth.arrays(), ())
    out = (np.abs(web.deviation_pct()) > web.tolerance_pct).mean(axis=1) > OUT
    bad = out & (web.t_s > onset_s) & (web.ds_m > 0.0)
    last_s = float(web.t_s[bad][-1]) if bad.any() else onset_s
    even_s = last_s - onset_s if last_s < web.t_s[-1] - EVEN_AT_LAST_S else None
    held_s = None if told.held_s is None else told.held_s - onset_s
    safe = [value for value in (even_s, held_s) if value is not None]
    right = {
        words for words in told.since if re.search(fault.named, f"{words} {told.causes.get(words, '')}", re.IGNORECASE)
    }
    first = min(
        told.since, key=lambda words: (told.since[words], words not in right, words in told.causes, words), default=""
    )
    diagnosed_s = next(
        (t_s - onset_s for t_s, words in told.diagnoses if fault.cause and re.match(fault.cause, words)), None
    )
    return {
        "diagnosable": bool(fault.cause),
        "diagnosed_s": None if diagnosed_s is None else round(diagnosed_s, 2),
        "diagnosis": told.diagnoses[0][1] if told.diagnoses else "",
        "detected_s": round(told.since[first] - onset_s, 2) if first else None,
        "by": first,
        "named": bool(right),
        "held_s": None if held_s is None else round(held_s, 2),
        "even_s": None if even_s is None else round(even_s, 2),
        "safe_s": round(min(safe), 2) if safe else None,
        "scrap_m": round(float(web.ds_m[bad].sum()), 2),
        "back_in_auto": not (
            told.by_the_line or line.loop.trace is None or line.loop.trace.mode_actual is not Mode.AUTO
        ),
        "violations": line.checker.violations,
        "first": line.checker.first or "",
        "words": f"{fault.name}: {first or 'not noticed'}",
    }


def quiet(seed: int, minutes: float) -> Row:
    """Running with every drift and no fault; each time somebody is told of one is a false trip."""
    told, crash = _listener(), ""
    line = _line([], told, minutes, seed, None)
    with undisturbed():
        try:
            line.play(QUICK_ONSET_S / 60.0)
            told.listen(lambda: line.nodes.state.t_s)
            line.play(minutes - QUICK_ONSET_S / 60.0)
        except Exception as error:
            crash = f"{type(error).__name__}: {error}"
    return {
        "fault": "",
        "seed": seed,
        "crash": crash,
        "minutes": minutes - QUICK_ONSET_S / 60.0,
        "trips": [words for _, words in told.begun],
        "alarms": told.alarms,
        "diagnoses": [words for _, words in told.diagnoses],
        "violations": line.checker.violations,
        "first": line.checker.first or "",
        "words": f"quiet: {len(told.begun)} false trips",
    }


def _line(play: list[dict[str, Any]], told: _Told, minutes: float, seed: int, wire: Wire | None) -> SimulatedLine:
    scenario = parse({"play": [*({"name": name} for name in DRIFTS), *play]}, "a fault")
    plan = Plan(load_line(LINE), scenario, Rival.NEURAL, minutes, seed)
    line = SimulatedLine(plan, told, medium=wire)
    plant.compile_ahead(line.nodes.plant)
    return line
