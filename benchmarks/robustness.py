"""Told wrongly what a line is, does the controller stay stable, and how soon is the web as even as it ever gets?

    python benchmarks/robustness.py [--quick] [--json] [--lines N] [--first SEED] [--controller C] [--minutes M]
                                    [--out DIR]

Each line is told with +-40 % in gain, +-30 % in kernel width, half a zone in alignment and +-20 % in distance, each way
at random. Reached: the RMS of a two-minute window is within 1.2 of the steady one, the median over the second half.
Unstable: the web ends up worse than 1.5 times what it is with nobody at the line.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.commissioning import wrong_for
from benchmarks.runs import machine, over
from evencoat.league.robustness import Robust, run
from plant_sim.families import FAMILIES

QUICK = ("nominal", "misaligned")
IN_TIME_MIN = 10.0
SAVED_EVERY = 50
LONGER = 2.5  # times: behind a scanner a loop needs its minutes


def one(job: tuple[str, str, int, float]) -> Robust:
    """A job for a worker."""
    controller, family, seed, minutes = job
    return run(controller, family, seed, wrong_for(seed), minutes)


def row(family: str, kept: list[Robust]) -> dict[str, Any]:
    """Figures of some lines."""
    reached = [r.reached_min for r in kept]
    over_open = [r.steady_pct / r.open_pct for r in kept]
    return {
        "family": family,
        "lines": len(kept),
        "unstable": sum(r.unstable for r in kept),
        "in_time_share": float(np.mean([minutes <= IN_TIME_MIN for minutes in reached])),
        "reached_min_median": float(np.median(reached)),
        "reached_min_p95": float(np.percentile(reached, 95)),
        "steady_pct_median": float(np.median([r.steady_pct for r in kept])),
        "steady_over_open_worst": float(max(over_open)),
    }


def text(rows: list[dict[str, Any]]) -> str:
    """The table for people."""
    head = f"{'family':18}{'lines':>6}{'unstable':>10}{'in time':>9}{'median min':>12}{'p95 min':>9}{'sigma %':>9}"
    shown = [head + f"{'worst/open':>12}"]
    for r in rows:
        shown.append(
            f"{r['family']:18}{r['lines']:>6}{r['unstable']:>10}{r['in_time_share']:>9.1%}{r['reached_min_median']:>12.0f}"
            f"{r['reached_min_p95']:>9.0f}{r['steady_pct_median']:>9.3f}{r['steady_over_open_worst']:>12.2f}"
        )
    return "\n".join(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two families, three lines each")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--controller", default="adaptive", help="who plays")
    parser.add_argument("--lines", type=int, help="lines of each family (default 100, quick 3)")
    parser.add_argument("--first", type=int, default=1, help="seed of the first line of each family")
    parser.add_argument("--minutes", type=float, default=12.0, help="length of a run")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--out", type=Path, help="keep robustness.json and robustness.txt here")
    arguments = parser.parse_args()
    names = QUICK if arguments.quick else tuple(FAMILIES)
    lines = arguments.lines or (3 if arguments.quick else 100)
    jobs = [
        (arguments.controller, name, seed, arguments.minutes * (LONGER if FAMILIES[name].scanner_only else 1.0))
        for seed in range(arguments.first, arguments.first + lines)
        for name in names
    ]
    began, results = time.perf_counter(), []
    document: dict[str, Any] = {}
    for result in over(one, jobs, arguments.workers):
        results.append(result)
        if len(results) % SAVED_EVERY == 0 or len(results) == len(jobs):
            document = summed_up(arguments, names, results, time.perf_counter() - began)
            keep(arguments.out, document)
    print(
        json.dumps(document, indent=1) if arguments.json else f"took_s={document['took_s']}\n{text(document['rows'])}"
    )


def summed_up(
    arguments: argparse.Namespace, names: tuple[str, ...], results: list[Robust], took_s: float
) -> dict[str, Any]:
    """Everything that is known so far."""
    rows = [row(name, [r for r in results if r.family == name]) for name in names]
    rows.append(row("all", results))
    told = {
        "controller": arguments.controller,
        "first": arguments.first,
        "minutes": arguments.minutes,
        "took_s": round(took_s, 1),
    }
    return {"machine": machine(), **told, "rows": rows, "runs": [asdict(result) for result in results]}


def keep(out: Path | None, document: dict[str, Any]) -> None:
    """Write what there is: a run of an hour that is stopped has not been for nothing."""
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "robustness.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        (out / "robustness.txt").write_text(text(document["rows"]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
