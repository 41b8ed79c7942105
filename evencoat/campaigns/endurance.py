"""A week at 10 Hz and a month at 2 Hz through frames, in one process: nothing may grow, nothing may wander.

The scenario `a-day` is played day after day, under the law in use, into a journal that is pruned. A trial is an hour of
line time. Memory, the journal's size and what filters believe are noted after each; the last day is held against the
second, for the first one still fills what is to be filled. Only whole can it be run: interrupted, it begins anew.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from controller.line.description import Array
from evencoat.campaigns.frame import CampaignError, Judgement, Row, Trial
from evencoat.journal import CycleJournal, Retention
from evencoat.league.rivals import Rival
from evencoat.settings import Settings, load_line
from evencoat.simulate import Plan, SimulatedLine
from plant_sim import plant
from plant_sim.scenario import Scenario

LINE = "pilot-16"
DAY_S = 86400.0
MOST_BYTES = 20_000_000  # of the journal
MEMORY_MOST, VARIANCE_MOST = 1.02, 1.5  # of the last day, over the second
JOURNAL_MOST = 10.0  # times what it is held to: rows that came in between two looks, a minute of wall time apart
QUEUE_MOST = 500  # cycles that wait for the disk: a play outruns it, and what waits is memory that stays taken
UNSOUND = -1e-9  # of the largest eigenvalue: rounding


@dataclass(frozen=True, slots=True)
class Endurance:
    """One of the two campaigns: so many days, with a control cycle of so long."""

    name: str
    summary: str
    days: int
    cycle_s: float

    def trials(self, quick: bool) -> int:
        """An hour each; the quick one has a few minutes to a day."""
        return 4 * self.days if quick else 24 * self.days

    @contextlib.contextmanager
    def open(self, folder: Path, quick: bool, anew: bool) -> Iterator[Trial]:
        """Raises CampaignError where an earlier one was interrupted."""
        if not anew:
            raise CampaignError(f"{self.name}: runs in one process, and was interrupted; --fresh begins anew")
        for left in folder.glob("journal.sqlite*"):
            left.unlink()
        settings = at_rate(load_line(LINE), self.cycle_s)
        trial_s = (60.0 if self.days < 10 else 30.0) if quick else 3600.0
        path = folder / "journal.sqlite"
        kept = Retention(None, MOST_BYTES)
        with CycleJournal(path, settings.line, settings.text, QUEUE_MOST, kept, patient=True) as journal:
            scenario = every_day(Scenario.load("a-day"), self.days)
            line = SimulatedLine(Plan(settings, scenario, Rival.NEURAL, 1.0, 1), journal)
            line.truth = Forgetful()  # type: ignore[assignment]
            plant.compile_ahead(line.nodes.plant)

            def trial(k: int, rng: np.random.Generator) -> Row:
                line.play(trial_s / 60.0)
                return {
                    "k": k,
                    "day": k * self.days // self.trials(quick),
                    "line_s": round(line.nodes.state.t_s, 3),
                    "memory_mb": resident_mb(),
                    "journal_mb": round(sum(file.stat().st_size for file in folder.glob("journal.sqlite*")) / 1e6, 3),
                    "journal_lost": journal.lost,
                    "violations": line.checker.violations,
                    **_believed(line),
                    "words": f"day {line.nodes.state.t_s / DAY_S:.2f}, {resident_mb():.0f} MB",
                }

            yield trial

    def judge(self, rows: Sequence[Row], folder: Path) -> Judgement:
        """The last day against the second."""
        days = sorted({row["day"] for row in rows})
        second, last = ([row for row in rows if row["day"] == day] for day in (days[min(1, len(days) - 1)], days[-1]))
        figures: dict[str, Any] = {
            "days": round(rows[-1]["line_s"] / DAY_S, 4),
            "memory_second_day_mb": max(row["memory_mb"] for row in second),
            "memory_last_day_mb": max(row["memory_mb"] for row in last),
            "memory_last_over_second": round(_most(last, "memory_mb") / _most(second, "memory_mb"), 5),
            "journal_max_mb": _most(rows, "journal_mb"),
            "journal_cycles_lost": rows[-1]["journal_lost"],
            "limits_broken": rows[-1]["violations"],
            "variance_last_over_second": round(_most(last, "variance") / max(_most(second, "variance"), 1e-300), 4),
            "information_least": min(row["information_least"] for row in rows),
            "not_finite": sum(not row["finite"] for row in rows),
        }
        whole = rows[-1]["line_s"] >= 2.0 * DAY_S  # in the first hours everything is still filling
        limits = {
            "memory_last_over_second": MEMORY_MOST if whole else math.inf,
            "journal_max_mb": JOURNAL_MOST * MOST_BYTES / 1e6,
            "journal_cycles_lost": 0,
            "limits_broken": 0,
            "variance_last_over_second": VARIANCE_MOST,
            "not_finite": 0,
        }
        broken = [
            f"{name} = {figures[name]:g}, at most {most:g}" for name, most in limits.items() if figures[name] > most
        ]
        if figures["information_least"] < UNSOUND:
            broken.append(f"information_least = {figures['information_least']:g}, at least {UNSOUND:g}")
        kept = {name: most for name, most in limits.items() if math.isfinite(most)}
        return Judgement(figures, {**kept, "information_least": UNSOUND}, tuple(broken))


def _most(rows: Sequence[Row], name: str) -> float:
    return max(float(row[name]) for row in rows)


class Forgetful:
    """Takes the true web in and keeps none of it: a month of it would be the largest thing in memory."""

    def __init__(self) -> None:
        self.rows = 0

    def add(self, t_s: float, web_m: float, ds_m: float, travel_um: float, areal_density_gsm: Array) -> None:
        """One step of the plant."""
        self.rows += 1


def _believed(line: SimulatedLine) -> Row:
    """How sure the filters are, and whether what is learnt of the map is still a sound information matrix."""
    state = line.loop.state
    information = state.adapt.information
    least = np.linalg.eigvalsh(0.5 * (information + information.T))
    largest = max(float(np.abs(least).max()), 1e-300)
    variances = [state.estimate.film.variance, state.estimate.offset.variance]
    weights = [state.foresight.weight2] if state.foresight is not None else []
    finite = all(np.isfinite(numbers).all() for numbers in (*variances, *weights, information))
    return {
        "variance": math.fsum(float(np.mean(variance)) for variance in variances),
        "information_least": float(least.min()) / largest,
        "finite": bool(finite),
    }


def resident_mb() -> float:
    """Memory of this process that lies in RAM, MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 2)


def every_day(day: Scenario, days: int) -> Scenario:
    """A day's plays again each day; those that are there from the start to the end once."""
    lasting = tuple(play for play in day.plays if play.onset_s == 0.0 and math.isinf(play.duration_s))
    daily = [play for play in day.plays if play not in lasting]
    again = (replace(play, onset_s=play.onset_s + DAY_S * k) for k in range(days) for play in daily)
    return replace(day, plays=(*lasting, *again))


def at_rate(settings: Settings, cycle_s: float) -> Settings:
    """A line with another control cycle: SYNC, gauges and what the gate lets pass in a cycle go with it."""
    line, times = settings.line, cycle_s / settings.line.control.cycle_s
    wet, dry = (
        gauge and replace(gauge, period_s=max(gauge.period_s, cycle_s)) for gauge in (line.wet_gauge, line.dry_gauge)
    )
    line = replace(line, control=replace(line.control, cycle_s=cycle_s), wet_gauge=wet, dry_gauge=dry)
    gate = settings.gate
    gate = replace(gate, step_max_um=times * gate.step_max_um, pump_trim_step_pct=times * gate.pump_trim_step_pct)
    wire = replace(settings.wire, sync_period_s=max(settings.wire.sync_period_s, cycle_s))
    return replace(settings, line=line, drawn=line, gate=gate, wire=wire)


WEEK = Endurance(
    "week", "a week at 10 Hz through frames in one process: memory flat, journal bounded, no drift", 7, 0.1
)
MONTH = Endurance("month", "a month at 2 Hz through frames in one process: memory flat, journal bounded", 30, 0.5)
