"""What all campaigns share: seeded trials one after the other, kept as they come, judged at the end.

Each trial's random numbers come from the seed and its number alone, so that a campaign that was interrupted goes on
where it stopped, and the same seed tries the same things.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from evencoat import __version__

Row = dict[str, Any]  # a trial's figures, as JSON knows them
Trial = Callable[[int, np.random.Generator], Row]
Say = Callable[[int, int, str], None]  # (trials done, of how many, words)


class CampaignError(Exception):
    """A campaign that cannot be run or gone on with, in words."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came out: figures, the limits they were held against, and every limit that was broken, in words."""

    figures: dict[str, Any]
    limits: dict[str, Any]
    broken: tuple[str, ...]


class Campaign(Protocol):
    """One campaign. `open` makes what its trials need, in a folder that outlives interruptions."""

    @property
    def name(self) -> str:
        """What it is called by."""
        ...

    @property
    def summary(self) -> str:
        """What it tries, in a line."""
        ...

    def trials(self, quick: bool) -> int:
        """How many trials a whole campaign has."""
        ...

    def open(self, folder: Path, quick: bool, anew: bool) -> AbstractContextManager[Trial]:
        """The trial, to be called with its number and its random numbers; what it started ends with the context.

        `anew`: the first trial is yet to come, and nothing that an earlier campaign left counts.
        """
        ...

    def judge(self, rows: Sequence[Row], folder: Path) -> Judgement:
        """Figures and limits of all trials so far."""
        ...


@dataclass(frozen=True, slots=True)
class CampaignPlan:
    """How to run one. trials: None takes as many as the campaign has."""

    quick: bool
    seed: int
    folder: Path
    trials: int | None = None
    fresh: bool = False


def run(campaign: Campaign, plan: CampaignPlan, say: Say) -> dict[str, Any]:
    """Run what is left of a campaign and judge it; returns what `--json` prints, which is kept beside the trials too.

    Raises CampaignError when the folder holds another campaign, seed or size; OSError.
    """
    of = plan.trials if plan.trials is not None else campaign.trials(plan.quick)
    rows_file = plan.folder / "trials.jsonl"
    plan.folder.mkdir(parents=True, exist_ok=True)
    rows = _begun(campaign, plan, rows_file)
    began_s = time.monotonic()
    if len(rows) < of:
        say(len(rows), of, "starting")
        with campaign.open(plan.folder, plan.quick, not rows) as trial, rows_file.open("a", encoding="utf-8") as kept:
            for k in range(len(rows), of):
                row = trial(k, np.random.default_rng([plan.seed, k]))
                rows.append(row)
                kept.write(json.dumps(row) + "\n")
                kept.flush()
                say(k + 1, of, str(row.get("words", "")))
    judged = campaign.judge(rows[:of], plan.folder)
    told = {
        "campaign": campaign.name,
        "passed": not judged.broken,
        "broken": list(judged.broken),
        "trials": len(rows[:of]),
        "figures": judged.figures,
        "limits": judged.limits,
        "seed": plan.seed,
        "quick": plan.quick,
        "wall_s": round(time.monotonic() - began_s, 1),
        **whereabouts(),
    }
    (plan.folder / "result.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return told


def seed_of(rng: np.random.Generator) -> int:
    """The campaign's seed, from a trial's random numbers: for what several trials share."""
    sequence = rng.bit_generator.seed_seq
    assert isinstance(sequence, np.random.SeedSequence)
    return int(np.atleast_1d(np.asarray(sequence.entropy))[0])


def whereabouts() -> dict[str, Any]:
    """On which machine, with which commit."""
    here = Path(__file__).parent
    asked = ["git", "-C", str(here), "describe", "--always", "--dirty"]
    try:
        commit = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = ""
    return {
        "commit": commit,
        "version": __version__,
        "machine": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "load_1_5_15": [round(load, 2) for load in os.getloadavg()],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _begun(campaign: Campaign, plan: CampaignPlan, rows_file: Path) -> list[Row]:
    """The trials that are already there, or none; the first line says whose they are."""
    head = {"campaign": campaign.name, "seed": plan.seed, "quick": plan.quick}
    if plan.fresh or not rows_file.is_file():
        rows_file.write_text(json.dumps(head) + "\n", encoding="utf-8")
        return []
    first, *lines = rows_file.read_text(encoding="utf-8").splitlines() or [""]
    try:
        found, rows = json.loads(first), [json.loads(line) for line in lines]
    except ValueError as error:
        raise CampaignError(f"{rows_file}: cannot be read ({error}); --fresh begins anew") from error
    if found != head:
        raise CampaignError(f"{rows_file}: holds {found}, this is {head}; choose another --out, or --fresh")
    return rows
