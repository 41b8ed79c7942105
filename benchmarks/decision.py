"""What does one decision cost? core.step beside an OSQP and a do-mpc controller of the same line, in one run.

    python benchmarks/decision.py [--quick] [--json] [--out FILE.png]

`line-40`, plant and controllers taking turns directly at 10 Hz. `core` is the whole of core.step with the IMC law;
`osqp` and `do-mpc` are the same with the law's answer from a quadratic program of this line, solved in every cycle.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.closed_loop import has_dompc
from benchmarks.runs import decisions_us, machine
from evencoat.league import field, laws
from evencoat.league.players import player, tuned
from evencoat.settings import load_line
from plant_sim.scenario import Scenario


def measure(name: str, cycles: int) -> np.ndarray:
    """Microseconds of every decision after a warm-up, with the plant answering."""
    match = field.of_line(load_line("line-40").line, Scenario.load("first-shift"), 1, 30.0)
    return decisions_us(match, player(name, match, tuned()), cycles)


def picture(found: dict[str, np.ndarray], path: Path) -> None:
    """Histogram of latencies, logarithmic in time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4))
    every = np.log10(np.concatenate(list(found.values())))
    edges = np.logspace(every.min(), every.max(), 80)
    for name, us in found.items():
        axes.hist(us, edges, label=f"{name}: median {np.median(us):.0f} us", alpha=0.6)
    axes.set_xscale("log")
    axes.set_xlabel("one decision at 40 zones, microseconds")
    axes.set_ylabel("cycles")
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer cycles")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--out", type=Path, help="keep the histogram here")
    arguments = parser.parse_args()
    field.TURN_S, laws.MPC_EVERY_S = 0.1, 0.0  # ten a second, and a solution in each
    cycles = 300 if arguments.quick else 3000
    found = {"core": measure("imc", cycles), "osqp": measure("mpc", cycles)}
    if has_dompc():
        found["do-mpc"] = measure("dompc", max(cycles // 10, 50))
    rows: list[dict[str, Any]] = [
        {
            "controller": name,
            "cycles": us.size,
            **{f"p{share:g}_us": float(np.percentile(us, share)) for share in (50, 99, 99.9)},
            "max_us": float(us.max()),
        }
        for name, us in found.items()
    ]
    if arguments.out:
        picture(found, arguments.out)
    if arguments.json:
        print(json.dumps({"machine": machine(), "rows": rows}, indent=1))
        return
    print(" ".join(f"{key}={value}" for key, value in machine().items()))
    for row in rows:
        print(" ".join(f"{key}={value:.0f}" if isinstance(value, float) else f"{value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
