"""Any order of modes, targets, cut links, lost frames, kills and starts: 100,000 steps of a state machine.

`mode_machine` says what may happen and what must hold after every step: no limit broken on the wire, no command that
jumps by more than a rate step whatever the transition, the mode asked for or a safer one, silent links named and sound
ones not, every cycle in the journal and its chain whole. hypothesis chooses the steps and, where something does not
hold, finds a short way there. A trial is so many runs from a seed of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from evencoat.campaigns.frame import CampaignError, Judgement, Row, Trial
from evencoat.simulate import undisturbed

STEPS, STEPS_A_RUN, RUNS_A_TRIAL = 105_000, 50, 20  # asked for; hypothesis ends some runs early, and 100,000 are left
QUICK_TRIALS = 3
BUMP_STEPS = 1.0 + 1e-6


class Modes:
    """The campaign."""

    name = "modes"
    summary = "any order of modes, cut links, kills and starts: a bump of at most one rate step, nothing lost"

    def trials(self, quick: bool) -> int:
        return QUICK_TRIALS if quick else STEPS // (STEPS_A_RUN * RUNS_A_TRIAL)

    @contextlib.contextmanager
    def open(self, folder: Path, quick: bool, anew: bool) -> Iterator[Trial]:
        """Raises CampaignError without hypothesis."""
        try:
            import hypothesis
        except ImportError as error:
            raise CampaignError("modes: needs hypothesis (pip install 'evencoat[dev]')") from error
        from hypothesis.stateful import run_state_machine_as_test

        from evencoat.campaigns.mode_machine import Machine

        settings = hypothesis.settings(
            max_examples=RUNS_A_TRIAL,
            stateful_step_count=STEPS_A_RUN,
            database=None,
            deadline=None,
            report_multiple_bugs=False,  # or its error would be a group that says only how many
            suppress_health_check=list(hypothesis.HealthCheck),
        )

        def trial(k: int, rng: np.random.Generator) -> Row:
            Machine.steps, Machine.runs, Machine.bump = 0, 0, 0.0
            Machine.modes_seen.clear()
            seeded, wrong = hypothesis.seed(int(rng.integers(1 << 31)))(Machine), ""
            try:
                with undisturbed():
                    run_state_machine_as_test(seeded, settings=settings)
            except Exception as error:  # whatever it is, it is what this campaign looks for
                wrong = "\n".join((f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())))
            return {
                "k": k,
                "runs": Machine.runs,
                "steps": Machine.steps,
                "bump_rate_steps": Machine.bump,
                "modes": sorted(f"{asked} asked, {actual}" for asked, actual in Machine.modes_seen),
                "wrong": wrong,
                "words": f"{Machine.steps} steps{', something did not hold' if wrong else ''}",
            }

        yield trial

    def judge(self, rows: Sequence[Row], folder: Path) -> Judgement:
        """Nothing may fail; the way to each failure is told."""
        figures = {
            "runs": sum(row["runs"] for row in rows),
            "steps": sum(row["steps"] for row in rows),
            "failures": sum(row["wrong"] != "" for row in rows),
            "bump_max_rate_steps": round(max(row["bump_rate_steps"] for row in rows), 6),
            "modes": ", ".join(sorted({mode for row in rows for mode in row["modes"]})),
        }
        limits = {"failures": 0, "bump_max_rate_steps": BUMP_STEPS}
        broken = [row["wrong"] for row in rows if row["wrong"]]
        if figures["bump_max_rate_steps"] > BUMP_STEPS:
            broken.append(f"bump_max_rate_steps = {figures['bump_max_rate_steps']:g}, at most {BUMP_STEPS:g}")
        return Judgement(figures, limits, tuple(broken))
