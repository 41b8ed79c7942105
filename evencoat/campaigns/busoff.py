"""Bus-off and lost peers, again and again: how long until AUTO is back, and with what bump.

One line runs on, under the law in use; a trial takes the controller, all nodes, or one of them off the bus for a
moment or for so long that nodes latch, and puts it back. Where nodes latched, a person re-arms a little later. "Back"
is the first command that the die follows while the mode is AUTO again, counted from the return, or from the person. A
bump is how far the first command that the die follows is from the last one before, or from where the lips stand,
whichever is nearer, in moves that the rate limit allows in a cycle; every other one is measured from the one before.
While only the die is gone control goes on moving for the three periods in which silence says nothing yet, so that a
bump may have three moves: what the rate limit allows in that time.
The profile drifts five times as fast as usual, so that the lips are on their way when somebody goes. Plant and
controller take turns here: what processes and sockets add is the campaign `kill`'s.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from controller.line.command import Mode, OperatorRequest
from controller.line.description import Array
from evencoat.campaigns.fault_catalogue import CONTROLLER, FAULTS, PLANT, Fault, Stage, Wire, mended, worse
from evencoat.campaigns.frame import Judgement, Row, Trial
from evencoat.journal import NoSink
from evencoat.league.rivals import Rival
from evencoat.settings import load_line
from evencoat.simulate import Plan, SimulatedLine, undisturbed
from firmware_bridge.contract import COMMAND_TIMEOUT_PERIODS, NodeState
from plant_sim import plant
from plant_sim.faults import DRIFTS
from plant_sim.scenario import parse

LINE = "pilot-16"
WARM_S, PATIENCE_S = 30.0, 60.0
LIFE_S = (0.5, 4.0)  # in AUTO before the bus goes
AWAY_S = (0.05, 6.0)  # drawn evenly in its logarithm; nodes latch after two seconds
PERSON_S = 3.0  # the person is there within
AT_ONCE_S = 1.0  # who is back by then needs nobody
RESTLESS = {"fast-cd-drift": 5.0}  # times the size drawn for the line
BUMP_STEPS, STEP_STEPS, BACK_P99_S = float(COMMAND_TIMEOUT_PERIODS), 1.0, 2.0
PAUSE_CYCLES = 1.5  # between two commands that the die follows: more is a pause

GONE: tuple[Fault, ...] = (
    worse("controller bus-off", "", bus_off=frozenset({CONTROLLER})),
    worse("all nodes bus-off", "", bus_off=frozenset({PLANT})),
    *(fault for fault in FAULTS if fault.name in ("die node lost", "pump node lost", "encoder node lost")),
)


class BusOff:
    """The campaign."""

    name = "busoff"
    summary = "bus-off and lost peers: time back to AUTO, bump on return"

    def trials(self, quick: bool) -> int:
        return 60 if quick else 1000

    @contextlib.contextmanager
    def open(self, folder: Path, quick: bool, anew: bool) -> Iterator[Trial]:
        """One line for all trials of a call."""
        with undisturbed():
            yield _Life().trial

    def judge(self, rows: Sequence[Row], folder: Path) -> Judgement:
        """Over all, and by what was gone."""
        back_s = np.array([math.inf if row["back_s"] is None else row["back_s"] for row in rows])
        figures: dict[str, Any] = {
            "trials": len(rows),
            "latched": sum(row["latched"] for row in rows),
            "never_back": int(np.count_nonzero(np.isinf(back_s))),
            "back_p50_s": float(np.percentile(back_s, 50, method="lower")),
            "back_p99_s": float(np.percentile(back_s, 99, method="lower")),
            "bump_max_rate_steps": max(row["bump_rate_steps"] for row in rows),
            "step_max_rate_steps": max(row["step_rate_steps"] for row in rows),
            "limits_broken": sum(row["violations"] for row in rows),
            "table": [_of(fault.name, rows) for fault in GONE if any(row["gone"] == fault.name for row in rows)],
        }
        limits = {
            "never_back": 0,
            "back_p99_s": BACK_P99_S,
            "bump_max_rate_steps": BUMP_STEPS,
            "step_max_rate_steps": STEP_STEPS,
            "limits_broken": 0,
        }
        broken = [
            f"{name} = {figures[name]:g}, at most {most:g}" for name, most in limits.items() if figures[name] > most
        ]
        return Judgement(figures, limits, tuple(broken))


def _of(name: str, rows: Sequence[Row]) -> Row:
    mine = [row for row in rows if row["gone"] == name]
    back_s = [row["back_s"] for row in mine if row["back_s"] is not None] or [math.nan]
    return {
        "gone": name,
        "trials": len(mine),
        "latched": sum(row["latched"] for row in mine),
        "back_p50_s": round(float(np.median(back_s)), 2),
        "back_max_s": round(float(max(back_s)), 2),
        "bump_max_rate_steps": max(row["bump_rate_steps"] for row in mine),
    }


class _Life:
    """A line that runs in AUTO, and what its die is told."""

    def __init__(self) -> None:
        scenario = parse({"play": [{"name": name, "size": RESTLESS.get(name, 1.0)} for name in DRIFTS]}, "drifts")
        wire, sink = Wire(1), NoSink()
        self._line = SimulatedLine(Plan(load_line(LINE), scenario, Rival.NEURAL, 1.0, 1), sink, medium=wire)
        self._stage = Stage(self._line, wire, sink)
        plant.compile_ahead(self._line.nodes.plant)
        lips = self._line.line.lips
        self._step_um = lips.rate_um_per_s * self._line.cycle_s
        self._told_um: Array | None = None
        self._told_s = 0.0
        self._steps: list[float] = []  # um, of each command that the die followed on another
        self._bumps: list[float] = []  # um, of each that followed a pause
        follow = self._line.nodes.die.command

        def command(gap_um: Array, now_s: float) -> None:
            follow(gap_um, now_s)
            if self._line.nodes.die.watch.state is NodeState.OPERATING:
                self._followed(gap_um, now_s)

        self._line.nodes.die.command = command  # type: ignore[method-assign]
        self._line.play(WARM_S / 60.0)

    def _followed(self, gap_um: Array, now_s: float) -> None:
        before, paused = self._told_um, now_s - self._told_s > PAUSE_CYCLES * self._line.cycle_s
        self._told_um, self._told_s = gap_um, now_s
        if before is None:
            return
        away = np.abs(gap_um - before)
        readings = self._line.nodes.readings
        if paused and readings is not None:
            self._bumps.append(float(np.minimum(away, np.abs(gap_um - readings.lip_motor_um)).max()))
        else:
            self._steps.append(float(away.max()))

    def _cycle(self) -> bool:
        """One cycle; whether the die followed a command in it, in AUTO."""
        before_s = self._told_s
        self._line.play(self._line.cycle_s / 60.0)
        trace = self._line.loop.trace
        return self._told_s > before_s and trace is not None and trace.mode_actual is Mode.AUTO

    def _for_s(self, seconds: float) -> None:
        for _ in range(max(1, round(seconds / self._line.cycle_s))):
            self._cycle()

    def trial(self, k: int, rng: np.random.Generator) -> Row:
        """Somebody is gone for a while, and back."""
        gone, violations = GONE[int(rng.integers(len(GONE)))], self._line.checker.violations
        self._for_s(float(rng.uniform(*LIFE_S)))
        away_s = float(np.exp(rng.uniform(*np.log(AWAY_S))))
        self._steps.clear()
        self._bumps.clear()
        gone.begin(self._stage)
        self._for_s(away_s)
        mended(self._stage)
        back_s, latched = self._back_s(AT_ONCE_S), False
        if back_s is None and self._is_latched():
            latched = True
            self._for_s(float(rng.uniform(0.0, PERSON_S)))
            self._line.request(OperatorRequest(mode=Mode.AUTO, rearm=True))
        back_s = self._back_s(PATIENCE_S) if back_s is None else back_s
        return {
            "k": k,
            "gone": gone.name,
            "away_s": round(away_s, 3),
            "latched": latched,
            "back_s": back_s,
            "bump_rate_steps": round(max(self._bumps, default=0.0) / self._step_um, 4),
            "step_rate_steps": round(max(self._steps, default=0.0) / self._step_um, 4),
            "violations": self._line.checker.violations - violations,
            "words": f"{gone.name} for {away_s:.2f} s: back {'never' if back_s is None else f'in {back_s:.1f} s'}",
        }

    def _is_latched(self) -> bool:
        nodes = self._line.nodes
        return NodeState.LATCHED in (nodes.die.watch.state, nodes.pump.watch.state)

    def _back_s(self, patience_s: float) -> float | None:
        """Line time until the die follows AUTO again; None where it does not within the patience."""
        cycle_s = self._line.cycle_s
        for cycle in range(1, round(patience_s / cycle_s) + 1):
            if self._cycle():
                return round(cycle * cycle_s, 3)
        return None
