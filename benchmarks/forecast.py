"""How good are forecasts? Coverage, sharpness and warnings on runs that nothing was learnt from.

    python benchmarks/forecast.py [--quick] [--runs N] [--minutes M] [--corpus DIR] [--workers N] [--json] [--out DIR]

Runs are those that evencoat.forecast.corpus keeps for judging; beside the forecaster stand persistence and an online
AR(4) of each zone. Judged by what was really coated, a metre at a time, from minute 10 on, and by the scans of the
gauge behind the dryer. Runs in which that gauge is made to lie are told apart. The threshold of warnings is chosen for
each on runs that may be learnt from: the one with the best F1 there. `--out` keeps forecast.json, .txt and .png.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.forecast_rules import FROM_S, cycles, really
from benchmarks.runs import machine, over
from controller.line.description import Array, LineDescription
from evencoat.forecast import corpus
from evencoat.forecast.core import HORIZONS_S, LEVELS, Forecaster
from evencoat.forecast.rivals import Autoregression, Persistence
from evencoat.forecast.warnings import Tally, events, tally, warned

KINDS: dict[str, Callable[[LineDescription], Forecaster]] = {
    "forecast": Forecaster,
    "persistence": Persistence,
    "AR(4)": Autoregression,
}
THRESHOLDS = tuple(np.round(np.geomspace(0.02, 0.95, 24), 3).tolist())


def judged(folder: Path, case: corpus.Case) -> dict[str, Any]:
    """Everything that is told of one run, by kind of forecaster."""
    line, run = corpus.match_of(case).line, corpus.recalled(case, folder)
    gauge = line.dry_gauge or line.primary_gauge
    t_s = run["t_line_ns"] / 1e9
    out_s = t_s[run["true_out"]]
    return {
        "case": case.name,
        "family": case.family,
        "lies": corpus.lies(case),
        "to_gauge_s": gauge.distance_m / line.web_speed_mps,
        "out_s": out_s,
        "out_share": float(run["true_out"][t_s >= FROM_S].mean()),
        "events": [one for one in events(t_s, run["web_m"], run["true_out"]) if one[0] >= FROM_S],
        "kinds": {name: _one(make(line), line, run) for name, make in KINDS.items()},
    }


def _one(forecaster: Forecaster, line: LineDescription, run: dict[str, Any]) -> dict[str, Array]:
    """Coverage (horizons, levels), rms and interval scores (horizons,), and the chances of each look, of one run."""
    kept: dict[str, list[Any]] = {name: [] for name in ("zone", "mean", "rms2", "mean2", "score", "wide")}
    seen: list[list[Array]] = [[] for _ in HORIZONS_S]
    looks: list[tuple[float, float]] = []
    chances: list[tuple[Array, Any]] = []
    began, rows = time.process_time(), 0
    for row, cycle in enumerate(cycles(run)):
        new, now_s, rows = forecaster.see(cycle), cycle["t_line_ns"] / 1e9, rows + 1
        if now_s < FROM_S:
            continue
        for found in forecaster.found:
            seen[found.horizon].append(np.concatenate((found.inside, found.mean_inside)))
        look, told = forecaster.newest, forecaster.forecast
        if not new or look is None or told is None:
            continue
        looks.append((now_s, told.soon))
        truth = really(line, run, row, look.at_m)
        if truth is None:
            continue
        off = truth[0] * line.target.tolerance_pct
        missed, mean_missed = np.abs(off - told.expected_pct), np.abs(off.mean(axis=1) - told.mean_pct)
        kept["zone"].append((missed[:, None, :] <= told.half_pct).mean(axis=2))
        kept["mean"].append(mean_missed[:, None] <= told.mean_half_pct)
        kept["rms2"].append((missed**2).mean(axis=1))
        kept["mean2"].append(mean_missed**2)
        half = told.half_pct[:, 1]  # of the interval that shall hold four fifths
        kept["score"].append((2.0 * half + 10.0 * np.maximum(missed - half, 0.0)).mean(axis=1))
        kept["wide"].append(half.mean(axis=1))
        chances.append((told.metre_out, truth[1]))
    told_of = {name: np.mean(values, axis=0) for name, values in kept.items()}
    told_of["seen"] = np.array([np.mean(one, axis=0) if one else np.full(2 * len(LEVELS), np.nan) for one in seen])
    told_of["looks"] = np.array(looks)
    told_of["chance"] = np.array([one for one, _ in chances])
    told_of["came"] = np.array([one for _, one in chances])
    told_of["cycle_ms"] = np.array(1e3 * (time.process_time() - began) / rows)
    return told_of


def thresholds(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The threshold of each kind with the best F1 of precision and of recall before the gauge."""
    best = {}
    for name in KINDS:
        scores = []
        for threshold in THRESHOLDS:
            figures = tallied(runs, name, threshold).figures()
            precision, recall = figures["precision"] or 0.0, figures["recall_before_seen"] or 0.0
            scores.append(2.0 * precision * recall / (precision + recall) if precision + recall else 0.0)
        best[name] = THRESHOLDS[int(np.argmax(scores))]
    return best


def tallied(runs: Sequence[dict[str, Any]], name: str, threshold: float) -> Tally:
    """Warnings and events of all runs."""
    whole = Tally()
    for run in runs:
        looks = run["kinds"][name]["looks"]
        came = warned(looks[:, 0], looks[:, 1], threshold)
        whole = whole.plus(tally(came, run["events"], run["out_s"], run["to_gauge_s"]))
    return whole


def table(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Coverage, rms, interval scores of each kind over runs, each run counting the same."""
    told = {}
    for name in KINDS:
        own = [run["kinds"][name] for run in runs]
        told[name] = {
            "zone_coverage": np.mean([one["zone"] for one in own], axis=0).round(4).tolist(),
            "zone_coverage_error": _error([one["zone"] for one in own]),
            "mean_coverage": np.mean([one["mean"] for one in own], axis=0).round(4).tolist(),
            "scan_coverage": np.nanmean([one["seen"][:, :3] for one in own], axis=0).round(4).tolist(),
            "scan_mean_coverage": np.nanmean([one["seen"][:, 3:] for one in own], axis=0).round(4).tolist(),
            "rms_pct": np.sqrt(np.mean([one["rms2"] for one in own], axis=0)).round(4).tolist(),
            "mean_rms_pct": np.sqrt(np.mean([one["mean2"] for one in own], axis=0)).round(4).tolist(),
            "score80_pct": np.mean([one["score"] for one in own], axis=0).round(4).tolist(),
            "half80_pct": np.mean([one["wide"] for one in own], axis=0).round(4).tolist(),
            "brier": _brier(own),
            "cycle_ms": round(float(np.mean([one["cycle_ms"] for one in own])), 3),
        }
    return told


def _error(shares: Sequence[Array]) -> list[list[float]]:
    """Standard errors of means over runs: lines differ, so that few runs say little."""
    found: list[list[float]] = (np.std(shares, axis=0) / np.sqrt(max(len(shares) - 1, 1))).round(4).tolist()
    return found


def by_family(runs: Sequence[dict[str, Any]]) -> dict[str, list[list[float]]]:
    """Coverage of zones of the web by our forecasts, (horizons, levels) of each family."""
    return {
        family: np.mean([run["kinds"]["forecast"]["zone"] for run in runs if run["family"] == family], axis=0)
        .round(4)
        .tolist()
        for family in sorted({run["family"] for run in runs})
    }


def _brier(own: Sequence[dict[str, Array]]) -> list[float]:
    """Of the chance of a metre out, by horizon, less nothing: 0 is a prophet."""
    scores = [((one["chance"] - one["came"]) ** 2).mean(axis=0) for one in own if one["chance"].size]
    found: list[float] = np.mean(scores, axis=0).round(5).tolist()
    return found


def text(document: dict[str, Any]) -> str:
    """For people."""
    shown = []
    for which in ("honest", "lying"):
        if not document[which]:
            continue
        shown += [f"{which} gauge: {document['runs'][which]} runs", ""]
        head = "".join(f"{horizon:>9g} s" for horizon in HORIZONS_S)
        shown += [f"{'':42}{head}"]
        for name, told in document[which].items():
            for key, label in (
                ("zone_coverage", "web, zones"), ("mean_coverage", "web, mean"),
                ("scan_coverage", "next scan, zones"), ("scan_mean_coverage", "next scan, mean"),
            ):  # fmt: skip
                for k, level in enumerate(LEVELS):
                    row = "".join(f"{100.0 * one[k]:>11.1f}" for one in told[key])
                    shown.append(f"{name:13}{label:18}{100 * level:>4g} % holds{row}")
            for k, level in enumerate(LEVELS):
                row = "".join(f"{100.0 * one[k]:>11.1f}" for one in told["zone_coverage_error"])
                shown.append(f"{name:13}{f'web, zones, {100 * level:g} %: error':29}{row}")
            for key, label in (
                ("rms_pct", "rms missed, zones, %"), ("mean_rms_pct", "rms missed, mean, %"),
                ("score80_pct", "interval score 80 %, %"), ("brier", "Brier score, metre out"),
            ):  # fmt: skip
                row = "".join(f"{one:>11.4f}" for one in told[key])
                shown.append(f"{name:13}{label:29}{row}")
            shown += [f"{name:13}one cycle {told['cycle_ms']:.2f} ms", ""]
    for family, coverage in document["families"].items():
        row = "".join(f"{100.0 * one[1]:>11.1f}" for one in coverage)
        shown.append(f"{'web, zones, 80 %: ' + family:42}{row}")
    shown.append("")
    shown.append(
        f"{'warnings':13}{'threshold':>10}{'came':>7}{'right':>8}{'events':>8}{'before oven end':>17}{'lead s':>8}"
    )
    shown[-1] += f"{'before coated':>15}{'lead s':>8}"
    for name, one in document["warnings"].items():
        shown.append(
            f"{name:13}{one['threshold']:>10.3f}{one['warnings']:>7}{_pct(one['precision']):>8}{one['events']:>8}"
            f"{_pct(one['recall_before_seen']):>17}{_number(one['lead_before_seen_s']):>8}"
            f"{_pct(one['recall_before_coated']):>15}{_number(one['lead_before_coated_s']):>8}"
        )
    return "\n".join(shown)


def _pct(share: float | None) -> str:
    return "-" if share is None else f"{100.0 * share:.0f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def picture(document: dict[str, Any], runs: Sequence[dict[str, Any]], path: Path) -> None:
    """Coverage by horizon, whether chances are kept, and precision over recall of warnings."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 4, figsize=(18, 4.6), layout="constrained")
    colours = dict(zip(KINDS, ("tab:blue", "tab:gray", "tab:orange"), strict=True))
    at = np.arange(len(HORIZONS_S))
    for name, told in document["honest"].items():
        for k, level in enumerate(LEVELS):
            rows = 100.0 * np.array(told["zone_coverage"])[:, k]
            axes[0].plot(at, rows, "o-", color=colours[name], markersize=4, label=name if k == 0 else None)
            axes[0].axhspan(100 * level - 2, 100 * level + 2, color="0.9", zorder=0)
        axes[1].plot(at, told["score80_pct"], "o-", color=colours[name], markersize=4, label=name)
        chance, came = (
            np.concatenate([run["kinds"][name][key] for run in runs if run["kinds"][name][key].size])
            for key in ("chance", "came")
        )
        bins = np.clip(np.digitize(chance.ravel(), np.linspace(0.0, 1.0, 11)) - 1, 0, 9)
        said = [
            (chance.ravel()[bins == k].mean(), came.ravel()[bins == k].mean()) for k in range(10) if (bins == k).any()
        ]
        axes[2].plot(*zip(*said, strict=True), "o-", color=colours[name], markersize=4)
        figures = [tallied(runs, name, threshold).figures() for threshold in THRESHOLDS]
        curve = [(f["recall_before_seen"], f["precision"]) for f in figures if f["precision"] is not None]
        axes[3].plot(*zip(*curve, strict=True), ".-", color=colours[name])
        chosen = document["warnings"][name]
        axes[3].plot(chosen["recall_before_seen"], chosen["precision"], "*", color=colours[name], markersize=14)
    for one in axes[:2]:
        one.set_xticks(at, [f"{horizon:g} s" for horizon in HORIZONS_S])
        one.legend(frameon=False)
    axes[0].set_ylabel("metres inside, %; grey: within 2 points")
    axes[1].set_ylabel("interval score at 80 %, % of target (less is better)")
    axes[2].plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    axes[2].set(xlabel="chance of a metre out, as told", ylabel="share that was")
    axes[3].set(xlabel="events warned of before they left the oven", ylabel="warnings that were right")
    for one in axes:
        one.grid(color="0.93")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=77)
    parser.add_argument("--learnt", type=int, default=22, help="runs that thresholds are chosen on")
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--corpus", type=Path, default=Path("runs/forecast"), help="where played runs are kept")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="four runs of 20 minutes: whether it runs at all")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.runs, arguments.learnt, arguments.minutes = 4, 2, 20.0
    work = partial(judged, arguments.corpus)
    learnt = corpus.cases(True, arguments.learnt, arguments.minutes)
    found = thresholds(list(over(work, learnt, arguments.workers)))
    runs = list(over(work, corpus.cases(False, arguments.runs, arguments.minutes), arguments.workers))
    parts = {"honest": [run for run in runs if not run["lies"]], "lying": [run for run in runs if run["lies"]]}
    document = {
        "machine": machine(),
        "minutes": arguments.minutes,
        "horizons_s": HORIZONS_S,
        "levels": LEVELS,
        "runs": {which: len(part) for which, part in parts.items()},
        **{which: table(part) if part else {} for which, part in parts.items()},
        "families": by_family(parts["honest"]),
        "warnings": {
            name: {"threshold": found[name], **tallied(parts["honest"], name, found[name]).figures()} for name in KINDS
        },
    }
    shown = text(document)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "forecast.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        (arguments.out / "forecast.txt").write_text(shown + "\n", encoding="utf-8")
        picture(document, parts["honest"], arguments.out / "forecast.png")
    print(json.dumps(document, indent=1) if arguments.json else shown)


if __name__ == "__main__":
    main()
