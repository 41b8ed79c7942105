"""Whether a trial was named rightly, beside what plain limits and a CUSUM would have noticed of it.

Right is strict: the cause of the catalogue, no sooner than its onset, and a bolt or zone within one of where it is;
what a whole die has is not right at one bolt. Times count from when the fault can be seen. The rivals name nothing;
they are judged by whether they notice anything at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from controller.line.description import Array, LineDescription
from evencoat.diagnosis.trials import Trial, Visible
from evencoat.diagnosis.watch import Diagnoser, Diagnosis

WARM_S = 150.0  # in which the rivals learn what is usual, and raise nothing
LIMIT_S = 10.0  # for which a limit has to be broken
PRESSURE_SHARE = 0.1
EDGE_S = 0.1  # a cycle: what begins within it may be named by it
CUSUM_SLACK, CUSUM_BOUND = 0.5, 12.0  # sigmas, of one-second means


class Rivals:
    """Limits on zones, mean and pressure; a two-sided CUSUM on the same."""

    def __init__(self, line: LineDescription) -> None:
        self._line = line
        self._tolerance = line.target.tolerance_pct / 100.0
        self._sum, self._count, self._second = np.zeros(line.zones + 1), 0, 0
        self._learnt: list[Array] = []
        self._broken_s = np.zeros(line.zones + 1)
        self._cusum = np.zeros((2, line.zones + 1))
        self._mean = self._sigma = np.zeros(0)
        self.limit_s: list[float] = []
        self.cusum_s: list[float] = []

    def look(self, cycle: Mapping[str, Any], t_s: float) -> None:
        """One cycle."""
        if math.isfinite(float(cycle["wet_scan_m"])):
            values = np.asarray(cycle["wet_scan_gsm"], dtype=np.float64) / self._line.target_profile_gsm - 1.0
            kpa = math.log(max(float(cycle["pump_pressure_kpa"]), 1e-3))
            self._sum += np.append(np.where(np.isfinite(values), values, 0.0), kpa)
            self._count += 1
        if int(t_s) > self._second and self._count:
            self._second = int(t_s)
            self._row(self._sum / self._count, t_s)
            self._sum, self._count = np.zeros(self._line.zones + 1), 0

    def _row(self, row: Array, t_s: float) -> None:
        if t_s < WARM_S:
            if t_s > 0.5 * WARM_S:
                self._learnt.append(row)
            return
        if not self._mean.size:
            learnt = np.array(self._learnt)
            self._mean, self._sigma = learnt.mean(axis=0), np.maximum(learnt.std(axis=0), 1e-4)
        bounds = np.append(np.full(row.size - 1, self._tolerance), PRESSURE_SHARE)
        centre = np.append(np.zeros(row.size - 1), self._mean[-1])
        self._broken_s = np.where(np.abs(row - centre) > bounds, self._broken_s + 1.0, 0.0)
        if self._broken_s.max() >= LIMIT_S:
            self.limit_s.append(t_s)
        z = (row - self._mean) / self._sigma
        self._cusum = np.maximum(self._cusum + np.stack([z, -z]) - CUSUM_SLACK, 0.0)
        if self._cusum.max() > CUSUM_BOUND:
            self.cusum_s.append(t_s)
            self._cusum[:] = 0.0


def right(trial: Trial, one: Diagnosis) -> bool:
    """Whether that is what is wrong, and where."""
    if trial.play is None or one.key.cause != trial.kind.cause or one.named_s < trial.play.onset_s - EDGE_S:
        return False
    if trial.place >= 0:
        place = one.key.where.rpartition(" ")[2]
        return place.isdigit() and abs(int(place) - 1 - trial.place) <= 1
    if trial.kind.where == "lip":
        return one.key.where == "die"
    if trial.kind.where == "gauge":
        return one.key.where.startswith(trial.play.gauge)
    if trial.kind.cause == "roll-run-out":
        return abs(one.value / trial.play.turn_m - 1.0) < 0.05
    return True


def _announced(trial: Trial, one: Diagnosis) -> bool:
    """Whether a quiet run of a family that changes batches had one announced, which is no false diagnosis."""
    return trial.play is None and trial.family == "batch-changing" and one.key.cause == "batch-changed"


def judged(trial: Trial, cycles: Iterable[Mapping[str, Any]], visible: Visible) -> dict[str, Any]:
    """One row: what was named, when, whether rightly; and the rivals' first notice after onset and trips before it."""
    diagnoser, rivals = Diagnoser(trial.line), Rivals(trial.line)
    named: list[Diagnosis] = []
    onset_s = trial.onset_s
    for cycle in cycles:
        named += diagnoser.look(cycle)
        rivals.look(cycle, diagnoser.t_s)
    hits = [one for one in named if right(trial, one)]
    first = min((one.named_s for one in hits), default=math.inf)
    after = [one for one in named if one.named_s >= onset_s]
    return {
        "fault": trial.kind.label,
        "group": trial.kind.group,
        "cause": trial.kind.cause,
        "family": trial.family,
        "seed": trial.seed,
        "zones": trial.line.zones,
        "size": trial.size,
        "visible": math.isfinite(visible.from_s),
        "visible_s": visible.from_s - onset_s if math.isfinite(visible.from_s) else None,
        "times": round(visible.times, 3) if math.isfinite(visible.times) else None,
        "named": bool(hits),
        "first_right": bool(hits) and not any(one.named_s < first and one not in hits for one in after),
        "said_first": str(min(after, key=lambda one: one.named_s).key.cause) if after else "nothing",
        "named_s": max(first - min(visible.from_s, first), 0.0) if hits else None,
        "onset_named_s": first - onset_s if hits else None,
        "false": [
            str(one.key)
            for one in named
            if one.named_s < onset_s and not right(trial, one) and not _announced(trial, one)
        ],
        "false_hours": min(onset_s, diagnoser.t_s) / 3600.0,
        "told": [
            (
                str(one.key),
                round(one.strength, 2),
                right(trial, one) or _announced(trial, one),
                one.named_s - onset_s,
                round(one.probability, 3),
            )
            for one in named
        ],
        "limits": _first(rivals.limit_s, onset_s),
        "cusum": _first(rivals.cusum_s, onset_s),
        "limits_before": sum(t < onset_s for t in rivals.limit_s),
        "cusum_before": sum(t < onset_s for t in rivals.cusum_s),
    }


def _first(times_s: list[float], onset_s: float) -> float | None:
    return next((t - onset_s for t in times_s if t >= onset_s), None)
