"""How well, how fast and how cheaply does commissioning find out what a line is? On random lines, against the truth.

    python benchmarks/commissioning.py [--quick] [--json] [--lines N] [--families A,B] [--wrong] [--bad] [--out DIR]

`--wrong` tells each line with +-40 % in gain, +-30 % in kernel width, half a zone in alignment and +-20 % in distance;
`--bad` makes one bolt dead, one reversed and one stuck. Right is: gain within 5 %, alignment within 0.1 zone, delay
within 2 %, every bad bolt named and no other, and true metres out of tolerance within the budget.
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

from benchmarks.runs import machine, over
from evencoat.league.rehearsal import DELAY_SHARE, GAIN_SHARE, SHIFT_PITCHES, Bad, Rehearsed, Wrong, rehearse
from plant_sim.families import FAMILIES, draw

QUICK = ("nominal", "backlash-heavy")


def wrong_for(seed: int) -> Wrong:
    """A description off by as much as is asked for, each way at random."""
    rng = np.random.default_rng(seed)
    gain, kernel, shift, distance = rng.choice((-1.0, 1.0), 4)
    return Wrong(1.0 + 0.4 * gain, 1.0 + 0.3 * kernel, 0.5 * shift, 1.0 + 0.2 * distance)


def bad_for(family: str, seed: int) -> Bad:
    """Three bolts that are not well."""
    zones = draw(family, seed)[0].zones
    dead, turned, stuck = (int(bolt) for bolt in np.random.default_rng(seed).choice(zones, 3, replace=False))
    return Bad((dead,), (turned,), (stuck,))


def one(job: tuple[str, int, bool, bool]) -> Rehearsed:
    """A job for a worker."""
    family, seed, wrong, bad = job
    return rehearse(family, seed, wrong_for(seed) if wrong else None, bad_for(family, seed) if bad else None)


def row(family: str, kept: list[Rehearsed]) -> dict[str, Any]:
    """Figures of some lines."""

    def share(right: list[bool]) -> float:
        return float(np.mean(right))

    return {
        "family": family,
        "lines": len(kept),
        "right_share": share([r.right for r in kept]),
        "gain_right_share": share([abs(r.gain_error) <= GAIN_SHARE for r in kept]),
        "alignment_right_share": share([abs(r.shift_error) <= SHIFT_PITCHES for r in kept]),
        "delay_right_share": share([abs(r.delay_error) <= DELAY_SHARE for r in kept]),
        "bolts_right_share": share([r.bolts_right for r in kept]),
        "budget_kept_share": share([r.out_m <= r.budget_m for r in kept]),
        "gain_error_p95": float(np.percentile([abs(r.gain_error) for r in kept], 95)),
        "shift_error_pitches_p95": float(np.percentile([abs(r.shift_error) for r in kept], 95)),
        "delay_error_p95": float(np.percentile([abs(r.delay_error) for r in kept], 95)),
        "line_min_median": float(np.median([r.line_min for r in kept])),
        "out_m_median": float(np.median([r.out_m for r in kept])),
        "out_m_max": float(max(r.out_m for r in kept)),
    }


def text(rows: list[dict[str, Any]]) -> str:
    """The table for people."""
    columns = (
        ("right_share", "right", "{:.0%}"), ("gain_right_share", "gain", "{:.0%}"),
        ("alignment_right_share", "align", "{:.0%}"), ("delay_right_share", "delay", "{:.0%}"),
        ("bolts_right_share", "bolts", "{:.0%}"), ("budget_kept_share", "budget", "{:.0%}"),
        ("gain_error_p95", "gain p95", "{:.3f}"), ("shift_error_pitches_p95", "align p95", "{:.3f}"),
        ("delay_error_p95", "delay p95", "{:.4f}"), ("line_min_median", "minutes", "{:.1f}"),
        ("out_m_median", "out m", "{:.0f}"), ("out_m_max", "most m", "{:.0f}"),
    )  # fmt: skip
    shown = [f"{'family':18}{'lines':>6}" + "".join(f"{name:>10}" for _, name, _ in columns)]
    for values in rows:
        cells = "".join(f"{form.format(values[key]):>10}" for key, _, form in columns)
        shown.append(f"{values['family']:18}{values['lines']:>6}{cells}")
    return "\n".join(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two families, two lines each")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--lines", type=int, help="lines of each family (default 12, quick 2)")
    parser.add_argument("--families", help="only these, with commas between")
    parser.add_argument("--wrong", action="store_true", help="descriptions that are wrong")
    parser.add_argument("--bad", action="store_true", help="a dead, a reversed and a stuck bolt in each line")
    parser.add_argument("--first-seed", type=int, default=1, help="of the lines")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--out", type=Path, help="keep commissioning.json and commissioning.txt here")
    arguments = parser.parse_args()
    names = arguments.families.split(",") if arguments.families else QUICK if arguments.quick else tuple(FAMILIES)
    lines = arguments.lines or (2 if arguments.quick else 12)
    seeds = range(arguments.first_seed, arguments.first_seed + lines)
    jobs = [(family, seed, arguments.wrong, arguments.bad) for family in names for seed in seeds]
    began = time.perf_counter()
    results = list(over(one, jobs, arguments.workers))
    rows = [row(family, [r for r in results if r.family == family]) for family in names]
    rows.append(row("all", results))
    took_s = round(time.perf_counter() - began, 1)
    document = {"machine": machine(), "took_s": took_s, "rows": rows, "runs": [asdict(r) for r in results]}
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "commissioning.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        (arguments.out / "commissioning.txt").write_text(text(rows) + "\n", encoding="utf-8")
    print(json.dumps(document, indent=1) if arguments.json else f"took_s={took_s}\n{text(rows)}")


if __name__ == "__main__":
    main()
