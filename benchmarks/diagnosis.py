"""What the diagnoser names on faults of lines that nothing was chosen on: rows, a confusion matrix, curves by size.

    python benchmarks/diagnosis.py --out docs/diagnosis          # an hour of a core
    python benchmarks/diagnosis.py --quick --json                # one of each, a few minutes
    python benchmarks/diagnosis.py --calibrate                   # what calibration.GROUPS is fitted by

Each fault's trial has a twin without it, which says whether it can be seen at all (`trials.just_visible`); what cannot
is a row of its own. Trials come in an order drawn beforehand, and --seconds begins no more of them after so long.
--kept FOLDER keeps the trials' cycles there, so that a changed detector is judged again within minutes;
--families developed plays those that the bounds were chosen on.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import random
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from scipy.optimize import minimize

from controller.line.description import Array
from evencoat.diagnosis import calibration, trials
from evencoat.diagnosis.judging import judged

COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
SEED, QUIET_SEED = 790_000, 780_000  # nobody has looked at these; with 0 to 6 in front they are used up
QUIET_MINUTES = 60.0
QUIET_ZONES_MOST = 60


def main() -> None:
    """Play, judge, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8, help="of every fault once, each on another line")
    parser.add_argument("--quiet-hours", type=float, default=24.0, help="of running without a fault")
    parser.add_argument("--families", choices=("held-out", "developed"), default="held-out")
    parser.add_argument("--quick", action="store_true", help="one round, half an hour of quiet")
    parser.add_argument("--seconds", type=float, default=math.inf, help="after which no more trials are begun")
    parser.add_argument("--calibrate", action="store_true", help="fit probabilities on families for development")
    parser.add_argument("--kept", type=Path, default=None, help="keep the cycles here, and take up what is there")
    parser.add_argument("--workers", type=int, default=1, help="processes that play and judge")
    parser.add_argument("--out", type=Path, default=None, help="keep result and pictures here")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rounds, hours = (1, 0.4) if args.quick else (args.rounds, args.quiet_hours)
    families = trials.HELD_OUT if args.families == "held-out" and not args.calibrate else trials.DEVELOPED
    plan = _plan(families, rounds, hours)
    rows = _played(plan, args.kept, args.workers, args.seconds)
    told = {"families": list(families), "machine": platform.machine(), "planned": len(plan), **summary(rows)}
    if args.calibrate:
        told = {"of_trials": len(rows), "groups": calibrated(rows)}
        args.json = True
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
    random.Random(SEED).shuffle(plan)  # so that those that are done in a given time are any of them
    return plan


def _played(
    plan: list[tuple[trials.Kind, str, int]], kept: Path | None, workers: int, seconds: float
) -> list[dict[str, Any]]:
    until = time.time() + seconds
    with (
        ProcessPoolExecutor(workers) as pool,
        Progress(*COLUMNS, console=Console(stderr=True)) as bar,
    ):
        task, rows = bar.add_task("trials", total=len(plan)), []
        for row in pool.map(_row, [label.label for label, _, _ in plan], *zip(*[one[1:] for one in plan], strict=True),
                            [kept] * len(plan), [until] * len(plan)):  # fmt: skip
            bar.advance(task)
            if row is not None:
                rows.append(row)
                bar.update(task, description=f"{row['fault']}, {row['family']}")
    return rows


def _row(label: str, family: str, seed: int, kept: Path | None, until: float) -> dict[str, Any] | None:
    """One trial played, or taken up where it was kept, and judged; None where there is no more time."""
    if time.time() > until:
        return None
    kind = next(kind for kind in (*trials.KINDS, trials.QUIET) if kind.label == label)
    trial = trials.drawn(kind, family, seed, QUIET_MINUTES)
    if kept is None:
        coated: list[Array] = []
        cycles = list(trials.simulated(trial, coated))
        return judged(trial, cycles, trials.Visible.of(trial, trials.changes_of(trial, coated)))
    file = kept / f"{label.replace(' ', '-')}_{family}_{seed}.npz"
    if not file.is_file():
        trials.kept(trial, file)
    return judged(trial, trials.cycles(file), trials.visible(trial, file))


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Shares and median times of what can be seen, and of what cannot; false diagnoses."""
    every, calm = [row for row in rows if row["cause"]], [row for row in rows if not row["cause"]]
    faults, below = [row for row in every if row["visible"]], [row for row in every if not row["visible"]]
    hours, false = sum(row["false_hours"] for row in rows), [key for row in rows for key in row["false"]]
    calm_hours = sum(row["false_hours"] for row in calm)
    return {
        "trials": len(faults),
        "named_share": _share(faults, "named"),
        "named_first_share": _share(faults, "first_right"),
        "median_s": _median(faults, "named_s"),
        "median_from_onset_s": _median(faults, "onset_named_s"),
        "of_groups": {
            group: [sum(row["named"] for row in faults if row["group"] == group),
                    sum(row["group"] == group for row in faults)]
            for group in sorted({row["group"] for row in faults})
        },
        "below_visible": len(below),
        "below_visible_named": sum(row["named"] for row in below),
        "below_of_groups": {
            group: [sum(row["named"] for row in below if row["group"] == group),
                    sum(row["group"] == group for row in below)]
            for group in sorted({row["group"] for row in below})
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
        "table": [_of(name, every) for name in dict.fromkeys(kind.label for kind in trials.KINDS)],
    }  # fmt: skip


def _median(rows: list[dict[str, Any]], name: str) -> float | None:
    """Of all, those not named with an infinite time."""
    middle = float(np.median([row[name] if row["named"] else math.inf for row in rows])) if rows else math.inf
    return round(middle, 1) if math.isfinite(middle) else None


def calibrated(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The log odds at the bound, and how they rise with the log of the strength, for each group of causes: the most
    likely, with a normal prior of 1 (1.5 and 1 wide) on both, for few were named of some groups."""
    found = []
    for causes in (*calibration.GROUPS, ()):
        mine = [
            (math.log(max(one[1], 1e-3)), float(one[2]))
            for row in rows
            for one in row["told"]
            if (one[0].partition(":")[0] in causes if causes else one[0].partition(":")[0] not in calibration.ODDS)
        ]
        strength, right = np.array(mine).reshape(-1, 2).T

        def unlikely(at: Any, x: Any = strength, y: Any = right) -> float:
            odds = at[0] + at[1] * x
            prior = 0.5 * ((at[0] - 1.0) / 1.5) ** 2 + 0.5 * (at[1] - 1.0) ** 2
            return float(np.sum(np.logaddexp(0.0, odds) - y * odds) + prior)

        fit = minimize(unlikely, (1.0, 1.0), bounds=((-5.0, 5.0), (0.0, 4.0)))
        found.append(
            {"causes": list(causes) or "all others", "named": len(mine), "right": int(right.sum()),
             "odds": [round(float(one), 1) for one in fit.x]}
        )  # fmt: skip
    return found


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
    seen = [row for row in mine if row["visible"]]
    return {
        "fault": name,
        "trials": len(seen),
        "named": sum(row["named"] for row in seen),
        "median_s": _median([row for row in seen if row["named"]], "named_s"),
        "below": len(mine) - len(seen),
        "below_named": sum(row["named"] for row in mine if not row["visible"]),
        "limits": sum(row["limits"] is not None for row in seen),
        "cusum": sum(row["cusum"] is not None for row in seen),
    }


def words(told: dict[str, Any]) -> str:
    """For people."""
    lines = [f"{'fault':24s} visible  named  median s  limits  CUSUM | below  named"]
    lines += [
        f"{one['fault']:24s} {one['trials']:7d} {one['named']:6d} "
        f"{math.nan if one['median_s'] is None else one['median_s']:9.1f} {one['limits']:7d} {one['cusum']:6d} | "
        f"{one['below']:5d} {one['below_named']:6d}"
        for one in told["table"]
    ]
    lines.append(f"of what can be seen {100.0 * told['named_share']:.1f} % named, median {told['median_s']} s")
    lines.append(f"named and visible, of groups: {told['of_groups']}; below visible: {told['below_of_groups']}")
    lines.append(f"{told['false_in_quiet']} false in {told['quiet_hours']} h of quiet running; {told['false_by']}")
    return "\n".join(lines)


def draw(rows: list[dict[str, Any]], folder: Path) -> None:
    """A confusion matrix of what was said first of what can be seen, and what was named by size for each fault: its
    size as the largest change that it made over what is just visible."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    every = [row for row in rows if row["cause"]]
    faults = [row for row in every if row["visible"]]
    causes = list(dict.fromkeys(row["cause"] for row in faults))
    said = [*causes, *sorted({row["said_first"] for row in faults} - set(causes))]
    matrix = np.zeros((len(causes), len(said)))
    for row in faults:
        matrix[causes.index(row["cause"]), said.index(row["cause"] if row["first_right"] else row["said_first"])] += 1
    share = matrix / matrix.sum(axis=1, keepdims=True)
    figure, axes = pyplot.subplots(figsize=(11, 9), layout="constrained")
    axes.imshow(share, cmap="Greys", vmin=0.0, vmax=1.0)
    for y, x in np.argwhere(matrix > 0).tolist():
        colour = "white" if share[y, x] > 0.5 else "black"
        axes.text(x, y, f"{matrix[y, x]:.0f}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(said)), said, rotation=90)
    axes.set_yticks(range(len(causes)), causes)
    axes.set_xlabel("said first")
    axes.set_ylabel("what was wrong")
    figure.savefig(folder / "confusion.png", dpi=110)
    sized = [name for name in dict.fromkeys(row["fault"] for row in every) if _sizes(name, every)]
    if not sized:  # as in a quick run, which has one size of each
        return
    figure, grid = pyplot.subplots(-(-len(sized) // 5), 5, figsize=(14, 11), layout="constrained", squeeze=False)
    for axes, name in zip(grid.flat, sized, strict=False):
        mine = [row for row in every if row["fault"] == name]
        size = [max(row["times"], 0.1) for row in mine]
        for marker, key, label in (("o", "named", "named"), ("x", "limits", "limits"), ("+", "cusum", "CUSUM")):
            got = [bool(row[key]) if key == "named" else row[key] is not None for row in mine]
            at = {"named": 0.0, "limits": 0.12, "cusum": 0.24}[key]
            axes.plot(size, np.array(got, dtype=float) - at, marker, label=label, color="black", fillstyle="none")
        axes.axvspan(0.08, 1.0, color="0.9", zorder=0)
        axes.set(title=name, xscale="log", yticks=[0, 1], yticklabels=["no", "yes"], ylim=(-0.4, 1.15))
        axes.set_xlim(0.08, 1.3 * max(*size, 10.0))
    figure.supxlabel("largest change over what is just visible; grey: below")
    spare = list(grid.flat)[len(sized) :]
    for axes in spare:
        axes.axis("off")
    marks = grid.flat[0].get_legend_handles_labels()
    (spare or [grid.flat[0]])[0].legend(*marks, loc="center", fontsize=9 if spare else 7)
    figure.savefig(folder / "sizes.png", dpi=110)


def _sizes(name: str, rows: list[dict[str, Any]]) -> bool:
    """Whether a fault has sizes at all."""
    return len({row["times"] for row in rows if row["fault"] == name} - {None}) > 1


if __name__ == "__main__":
    main()
