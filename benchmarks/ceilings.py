"""What would a network be worth that knew one thing perfectly? `adaptive`, told it, beside `adaptive` on the same line.

    python benchmarks/ceilings.py [--quick] [--json] [--lines N] [--first-seed S] [--workers W]

`response`: the true map from lips to web, every bolt's gain in it; `statistics`: the true spectra of disturbances and
gauges, which `adaptive` goes on learning from; `play`: screws that have none, which is what a perfect inverse of each
bolt's play would make of them; `batch`: what a new batch will bring to the solids, when it is announced. Each is more
than any head could learn from a few metres of web, so what is gained bounds what the head can gain. Percent of sigma
below `adaptive`, line by line: median over lines with its 95 % bootstrap interval; negative is worse.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import itertools
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

import numpy as np

from benchmarks.runs import machine, over
from controller.core import batches, law, learnt, step
from controller.core.step import Config
from controller.line.command import Mode
from controller.line.description import LawName, LineDescription
from evencoat.league import field, metrics
from evencoat.league.field import Match
from evencoat.league.informed import informed, true_statistics
from evencoat.league.players import Core, retuned, tuned

FAMILIES = ("nominal", "misaligned", "noisy", "backlash-heavy", "dry-scanner-only", "batch-changing")
TOLD = ("nothing", "response", "statistics", "play", "batch")
KNOWN2 = 0.002**2  # log^2, of what a batch is told to bring


def configured(told: str, match: Match, line: LineDescription) -> Config:
    """`adaptive` for a match, told one thing."""
    known = true_statistics(match) if told == "statistics" else None
    config = step.configure(line, field.TURN_S, known)
    if told != "response":
        return config
    response = informed(match, line).estimator.response
    estimator = step.estimate.build(line, response)
    return replace(config, estimator=estimator, law=law.build(line, estimator), adaptation=None)


@contextmanager
def batches_told(match: Match) -> Iterator[None]:
    """Each announcement says truly what comes."""
    solids = [batch.solids_kgm3 for batch in match.truth.batches]
    steps = iter([math.log(after / before) for before, after in itertools.pairwise(solids)])

    def announced(_: object, past: batches.Past, __: float) -> tuple[batches.Past, float, float]:
        return past, next(steps), KNOWN2

    with mock.patch.object(learnt.batches, "announced", announced):
        yield


def sigma_pct(job: tuple[str, str, int, float]) -> float:
    """One match of one who is told something."""
    told, family, seed, minutes = job
    match = field.draw(family, seed, minutes)
    own = tuned()["adaptive"]
    line = retuned(replace(match.line, control=replace(match.line.control, law=LawName.ADAPTIVE)), own)
    if told == "play":
        screws = match.truth.actuators
        match = replace(
            match, truth=replace(match.truth, actuators=replace(screws, backlash_um=0.0 * screws.backlash_um))
        )
    if told == "batch":
        with batches_told(match):
            return played(match, configured(told, match, line))
    return played(match, configured(told, match, line))


def played(match: Match, config: Config) -> float:
    return metrics.score(field.play(match, Core(config, Mode.AUTO)).web).sigma_total_pct


def gained(below: np.ndarray) -> dict[str, float]:
    """Median over lines and its bootstrap interval, percent."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(below, (2000, below.size)), axis=1)
    low, high = np.percentile(medians, (2.5, 97.5))
    return {"median": float(np.median(below)), "low": float(low), "high": float(high), "most": float(below.max())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one line of two families, ten minutes")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--lines", type=int, help="lines of each family (default 8, quick 1)")
    parser.add_argument("--first-seed", type=int, default=1, help="of the lines")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    arguments = parser.parse_args()
    families = ("nominal", "batch-changing") if arguments.quick else FAMILIES
    lines, minutes = arguments.lines or (1 if arguments.quick else 8), 15.0 if arguments.quick else 40.0
    seeds = range(arguments.first_seed, arguments.first_seed + lines)
    jobs = [(told, family, seed, minutes) for family in families for seed in seeds for told in TOLD]
    sigma = np.array(list(over(sigma_pct, jobs, arguments.workers))).reshape(len(families), lines, len(TOLD))
    below = 100.0 * (1.0 - sigma[:, :, 1:] / sigma[:, :, :1])
    rows = {
        family: {told: gained(below[f, :, k]) for k, told in enumerate(TOLD[1:])} for f, family in enumerate(families)
    }
    if arguments.json:
        print(json.dumps({"machine": machine(), "lines": lines, "minutes": minutes, "rows": rows}, indent=1))
        return
    print(f"{'told':18}" + "".join(f"{told:>26}" for told in TOLD[1:]))
    for family, row in rows.items():
        cells = (f"{one['median']:.1f} ({one['low']:.1f} to {one['high']:.1f})" for one in row.values())
        print(f"{family:18}" + "".join(f"{cell:>26}" for cell in cells))


if __name__ == "__main__":
    main()
