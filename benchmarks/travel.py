"""What does a controller buy with its bolts' travel? Sigma against travel, a curve for each.

    python benchmarks/travel.py [--quick] [--json] [--lines N] [--minutes M] [--out DIR]

The closed-loop time of the lips is scaled from what the committed search found; everything else stays as tuned. Lines
are those of the league; sigma and travel are geometric means over lines, against those of `pid` as tuned.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.runs import machine, over
from evencoat.league import field
from evencoat.league.players import player, tuned

FAMILIES = ("nominal", "misaligned", "noisy", "backlash-heavy")
CONTROLLERS = ("pid", "smith", "imc", "adaptive")
TICKS = (0.2, 0.5, 1.0, 2.0, 4.0)
FACTORS = (0.3, 1.0, 3.0, 10.0, 30.0)


def one(job: tuple[str, int, float, str, float]) -> tuple[float, float]:
    """Sigma, percent, and mean travel of a bolt, um, of one run."""
    family, seed, minutes, controller, factor = job
    tuning = tuned()
    tuning[controller] = replace(tuning[controller], cd=factor * tuning[controller].cd)
    match = field.draw(family, seed, minutes)
    done = field.play(match, player(controller, match, tuning))
    return done.score.sigma_total_pct, done.bolt_travel_um


def curves(results: dict[tuple[str, float], list[tuple[float, float]]]) -> list[dict[str, Any]]:
    """A row a controller and factor, over `pid` as tuned on the same lines."""
    base = np.log(np.array(results["pid", 1.0]))
    rows = []
    for (controller, factor), values in results.items():
        sigma, travel = np.exp((np.log(np.array(values)) - base).mean(axis=0))
        rows.append(
            {
                "controller": controller,
                "factor": factor,
                "sigma_over_pid": float(sigma),
                "travel_over_pid": float(travel),
            }
        )
    return rows


def picture(rows: list[dict[str, Any]], path: Path) -> None:
    """Sigma over travel."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for controller in CONTROLLERS:
        kept = [row for row in rows if row["controller"] == controller]
        travel, sigma = [row["travel_over_pid"] for row in kept], [row["sigma_over_pid"] for row in kept]
        axes.plot(travel, sigma, "o-", label=controller, markersize=4)
        for row in kept:
            if row["factor"] == 1.0:
                axes.plot(
                    row["travel_over_pid"], row["sigma_over_pid"], "o", markersize=10, fillstyle="none", color="k"
                )
    axes.axvline(2.0, color="0.8", linewidth=1.0)
    axes.set_xscale("log")
    axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.minorticks_off()
    axes.set_xlabel("bolt travel over that of pid as tuned (circles: as tuned; line: twice pid's)")
    axes.set_ylabel("sigma over that of pid as tuned")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one family, shorter runs")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--lines", type=int, default=2, help="lines of each family")
    parser.add_argument("--minutes", type=float, help="length of a run (default 30, quick 14)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--out", type=Path, help="keep travel.json and travel.png here")
    arguments = parser.parse_args()
    minutes = arguments.minutes or (14.0 if arguments.quick else 30.0)
    lines = [(family, seed) for family in FAMILIES[: 1 if arguments.quick else None]
             for seed in range(1, arguments.lines + 1)]  # fmt: skip
    keys = [(controller, factor) for controller in CONTROLLERS for factor in FACTORS]
    jobs = [(family, seed, minutes, controller, factor) for controller, factor in keys for family, seed in lines]
    began = time.perf_counter()
    values = list(over(one, jobs, arguments.workers))
    results = {key: values[i * len(lines) : (i + 1) * len(lines)] for i, key in enumerate(keys)}
    rows, took_s = curves(results), round(time.perf_counter() - began, 1)
    document = {"machine": machine(), "minutes": minutes, "lines": lines, "took_s": took_s, "rows": rows}
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "travel.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        picture(rows, arguments.out / "travel.png")
    if arguments.json:
        print(json.dumps(document, indent=1))
        return
    print(f"took_s={took_s}")
    for row in rows:
        sigma, travel = row["sigma_over_pid"], row["travel_over_pid"]
        print(f"{row['controller']:10} x{row['factor']:<5g} sigma {sigma:.3f}  travel {travel:.2f}")


if __name__ == "__main__":
    main()
