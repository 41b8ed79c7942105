"""What the diagnoser names on faults of lines that nothing was chosen on: rows, a confusion matrix, curves by size.

    python benchmarks/diagnosis.py --out docs/diagnosis          # an hour or two of a core
    python benchmarks/diagnosis.py --quick --json                # one of each, a few minutes

--kept FOLDER keeps the trials' cycles there, so that a changed detector is judged again within minutes;
--families developed plays those that the bounds were chosen on.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from evencoat.diagnosis import trials
from evencoat.diagnosis.judging import judged

COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
SEED, QUIET_SEED = 90_000, 80_000
QUIET_MINUTES = 22.5
QUIET_ZONES_MOST = 60


def main() -> None:
    """Play, judge, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4, help="of every fault once, each on another line")
    parser.add_argument("--quiet-hours", type=float, default=24.0, help="of running without a fault")
    parser.add_argument("--families", choices=("held-out", "developed"), default="held-out")
    parser.add_argument("--quick", action="store_true", help="one round, half an hour of quiet")
    parser.add_argument("--kept", type=Path, default=None, help="keep the cycles here, and take up what is there")
    parser.add_argument("--workers", type=int, default=1, help="processes that play and judge")
    parser.add_argument("--out", type=Path, default=None, help="keep result and pictures here")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rounds, hours = (1, 0.4) if args.quick else (args.rounds, args.quiet_hours)
    families = trials.HELD_OUT if args.families == "held-out" else trials.DEVELOPED
    rows = _played(_plan(families, rounds, hours), args.kept, args.workers)
    told = {"families": list(families), "machine": platform.machine(), **summary(rows)}
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "result.json").write_text(json.dumps({**told, "rows": rows}, indent=1) + "\n", encoding="utf-8")
        draw(rows, args.out)
    print(json.dumps(told, indent=2) if args.json else words(told))


def _plan(families: tuple[str, ...], rounds: int, hours: float) -> list[tuple[trials.Kind, str, int]]:
    plan = [
        (kind, families[(k + i) % len(families)], SEED + 1000 * k + i)
        for k in range(rounds)
        for i, kind in enumerate(trials.KINDS)
    ]
    quiet, k = math.ceil(60.0 * hours / QUIET_MINUTES), 0
    while quiet:
        family, seed = families[k % len(families)], QUIET_SEED + k
        k += 1
        if trials.drawn(trials.QUIET, family, seed, QUIET_MINUTES).line.zones <= QUIET_ZONES_MOST:
            plan.append((trials.QUIET, family, seed))
            quiet -= 1
    return plan


def _played(plan: list[tuple[trials.Kind, str, int]], kept: Path | None, workers: int) -> list[dict[str, Any]]:
    with (
        ProcessPoolExecutor(workers) as pool,
        Progress(*COLUMNS, console=Console(stderr=True)) as bar,
    ):
        task, rows = bar.add_task("trials", total=len(plan)), []
        for row in pool.map(_row, [label.label for label, _, _ in plan], *zip(*[one[1:] for one in plan], strict=True),
                            [kept] * len(plan)):  # fmt: skip
            rows.append(row)
            bar.update(task, description=f"{row['fault']}, {row['family']}", advance=1)
    return rows


def _row(label: str, family: str, seed: int, kept: Path | None) -> dict[str, Any]:
    """One trial played, or taken up where it was kept, and judged."""
    kind = next(kind for kind in (*trials.KINDS, trials.QUIET) if kind.label == label)
    trial = trials.drawn(kind, family, seed, QUIET_MINUTES)
    if kept is None:
        return judged(trial, trials.simulated(trial))
    file = kept / f"{label.replace(' ', '-')}_{family}_{seed}.npz"
    if not file.is_file():
        trials.kept(trial, file)
    return judged(trial, trials.cycles(file))


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Shares, median times, false diagnoses."""
    faults, calm = [row for row in rows if row["cause"]], [row for row in rows if not row["cause"]]
    times = [row["named_s"] if row["named"] else math.inf for row in faults]
    hours, false = sum(row["false_hours"] for row in rows), [key for row in rows for key in row["false"]]
    calm_hours = sum(row["false_hours"] for row in calm)
    middle = float(np.median(times)) if times else math.nan
    return {
        "trials": len(faults),
        "named_share": _share(faults, "named"),
        "named_first_share": _share(faults, "first_right"),
        "median_s": round(middle, 1) if math.isfinite(middle) else None,
        "of_groups": {
            group: _share([row for row in faults if row["group"] == group], "named")
            for group in sorted({row["group"] for row in faults})
        },
        "quiet_hours": round(calm_hours, 2),
        "false_in_quiet": sum(len(row["false"]) for row in calm),
        "quiet_hours_with_those_before_onsets": round(hours, 2),
        "false_in_those": len(false),
        "false_by": dict(Counter(key.partition(":")[0] for key in false).most_common()),
        "reliability": reliability(rows),
        "limits_noticed_share": _noticed(faults, "limits"),
        "cusum_noticed_share": _noticed(faults, "cusum"),
        "limits_trips_before": sum(row["limits_before"] > 0 for row in rows),
        "cusum_trips_before": sum(row["cusum_before"] > 0 for row in rows),
        "table": [_of(name, faults) for name in dict.fromkeys(row["fault"] for row in faults)],
    }


def reliability(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How often what was named with a probability was right: by bins, mean square error and mean apart."""
    named = np.array([(one[4], one[2]) for row in rows for one in row["told"]], dtype=float).reshape(-1, 2)
    if not len(named):
        return {"named": 0}
    bins = []
    for low, high in pairwise((0.0, 0.5, 0.7, 0.85, 0.95, 1.001)):
        mine = named[(named[:, 0] >= low) & (named[:, 0] < high)]
        if len(mine):
            said, right = (round(float(value), 3) for value in mine.mean(axis=0))
            bins.append({"from": low, "named": len(mine), "said": said, "right": right})
    apart = sum(one["named"] * abs(one["said"] - one["right"]) for one in bins) / len(named)
    brier = float(np.mean((named[:, 0] - named[:, 1]) ** 2))
    return {"named": len(named), "brier": round(brier, 3), "mean_apart": round(apart, 3), "bins": bins}


def _share(rows: list[dict[str, Any]], name: str) -> float:
    return round(sum(bool(row[name]) for row in rows) / max(len(rows), 1), 3)


def _noticed(rows: list[dict[str, Any]], name: str) -> float:
    return round(sum(row[name] is not None for row in rows) / max(len(rows), 1), 3)


def _of(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    mine = [row for row in rows if row["fault"] == name]
    times = [row["named_s"] for row in mine if row["named"]]
    return {
        "fault": name,
        "trials": len(mine),
        "named": sum(row["named"] for row in mine),
        "median_s": round(float(np.median(times)), 1) if times else None,
        "limits": sum(row["limits"] is not None for row in mine),
        "cusum": sum(row["cusum"] is not None for row in mine),
    }


def words(told: dict[str, Any]) -> str:
    """For people."""
    lines = [f"{'fault':24s} trials  named  median s  limits  CUSUM"]
    lines += [
        f"{one['fault']:24s} {one['trials']:6d} {one['named']:6d} {one['median_s'] or math.nan:9.1f} "
        f"{one['limits']:7d} {one['cusum']:6d}"
        for one in told["table"]
    ]
    lines.append(f"named {100.0 * told['named_share']:.1f} %, median {told['median_s']} s; {told['of_groups']}")
    lines.append(f"{told['false_in_quiet']} false in {told['quiet_hours']} h of quiet running: {told['false_by']}")
    return "\n".join(lines)


def draw(rows: list[dict[str, Any]], folder: Path) -> None:
    """A confusion matrix of what was said first, and what share was named by size within each fault."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    faults = [row for row in rows if row["cause"]]
    causes = list(dict.fromkeys(row["cause"] for row in faults))
    said = [*causes, *sorted({row["said_first"] for row in faults} - set(causes))]
    matrix = np.zeros((len(causes), len(said)))
    for row in faults:
        matrix[causes.index(row["cause"]), said.index(row["cause"] if row["first_right"] else row["said_first"])] += 1
    share = matrix / matrix.sum(axis=1, keepdims=True)
    figure, axes = pyplot.subplots(figsize=(11, 9), layout="constrained")
    axes.imshow(share, cmap="Greys", vmin=0.0, vmax=1.0)
    for row, column in np.argwhere(matrix > 0).tolist():
        colour = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, f"{matrix[row, column]:.0f}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(said)), said, rotation=90)
    axes.set_yticks(range(len(causes)), causes)
    axes.set_xlabel("said first")
    axes.set_ylabel("what was wrong")
    figure.savefig(folder / "confusion.png", dpi=110)
    sized = [name for name in dict.fromkeys(row["fault"] for row in faults) if _sizes(name, faults)]
    if not sized:  # as in a quick run, which has one size of each
        return
    figure, grid = pyplot.subplots(-(-len(sized) // 4), 4, figsize=(12, 9), layout="constrained", squeeze=False)
    for axes, name in zip(grid.flat, sized, strict=False):
        mine = sorted((row for row in faults if row["fault"] == name), key=lambda row: abs(row["size"]))
        size = [abs(row["size"]) for row in mine]
        for marker, key, label in (("o", "named", "named"), ("x", "limits", "limits"), ("+", "cusum", "CUSUM")):
            got = [bool(row[key]) if key == "named" else row[key] is not None for row in mine]
            at = {"named": 0.0, "limits": 0.12, "cusum": 0.24}[key]
            axes.plot(size, np.array(got, dtype=float) - at, marker, label=label, color="black", fillstyle="none")
        axes.set(title=name, xscale="log", yticks=[0, 1], yticklabels=["no", "yes"], ylim=(-0.4, 1.15))
        axes.minorticks_off()
        axes.set_xticks(_apart(size), [f"{one:.2g}" for one in _apart(size)])
    for axes in list(grid.flat)[len(sized) :]:
        axes.axis("off")
    grid.flat[0].legend(fontsize=7)
    figure.savefig(folder / "sizes.png", dpi=110)


def _apart(sizes: list[float]) -> list[float]:
    """Those of sorted sizes that lie far enough apart on a logarithmic axis for their words."""
    kept: list[float] = []
    for size in sizes:
        if not kept or np.log(size / kept[-1]) > 0.25 * np.log(max(sizes[-1] / sizes[0], 1.0 + 1e-9)):
            kept.append(size)
    return kept


def _sizes(name: str, rows: list[dict[str, Any]]) -> bool:
    """Whether a fault has sizes at all."""
    return len({row["size"] for row in rows if row["fault"] == name}) > 1


if __name__ == "__main__":
    main()
