"""Who runs a line best? Everybody on the same lines, limits and seeds, beside the bounds that nobody passes.

    python benchmarks/closed_loop.py [--quick] [--json] [--faults] [--lines N] [--minutes M]
                                     [--controllers A,B] [--of C] [--results FILE] [--out DIR]

Plant and controller take turns directly at 2 Hz, without frames. Every family of plant_sim.families, with a new batch
in each; `--faults` plays the fault league instead. Medians and tails over lines, 95 % bootstrap intervals of medians.
`--of C` also says how far C stands below each other player, line by line.
Rivals are tuned as the committed search found (evencoat/league/tuning.json). `--out` keeps table and picture.
`--results` keeps every match as it ends, and plays none again that is in the file: a league that was stopped goes on,
and players can be added later. Whoever changes a player takes its lines out of the file, or names another.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.runs import machine, over
from evencoat.league import field, kept, table
from evencoat.league.players import NAMES, tuned
from evencoat.settings import load_line
from plant_sim.families import FAMILIES
from plant_sim.scenario import Scenario

QUICK_FAMILIES = ("nominal", "misaligned", "batch-changing")
SHOWN_UP_TO = 3.0  # a player who cannot hold a line would make all others' bars too short to tell apart
COLUMNS = (
    ("sigma_pct_median", "sigma %", "{:.3f}"),
    ("sigma_pct_low", "from", "{:.3f}"),
    ("sigma_pct_high", "to", "{:.3f}"),
    ("sigma_pct_p95", "p95", "{:.3f}"),
    ("sigma_over_mv_median", "/mv", "{:.2f}"),
    ("sigma_over_clairvoyant_median", "/clair", "{:.2f}"),
    ("startup_scrap_m_median", "start m", "{:.0f}"),
    ("batch_scrap_m_median", "batch m", "{:.0f}"),
    ("out_of_spec_ppm_median", "ppm", "{:.0f}"),
    ("cpk_p5", "Cpk p5", "{:.2f}"),
    ("bolt_travel_um_median", "travel um", "{:.0f}"),
)


def jobs_of(arguments: argparse.Namespace) -> list[tuple[str, field.Match, tuple[str, ...], dict[str, Any]]]:
    """Everybody on every line; do-mpc on the pilot line only, where it is installed."""
    lines, minutes = arguments.lines, arguments.minutes
    if arguments.faults:
        found = list(table.fault_matches(lines, minutes))
    else:
        found = list(table.matches(QUICK_FAMILIES if arguments.quick else FAMILIES, lines, minutes))
    tuning, names = tuned(), tuple(arguments.controllers.split(",")) if arguments.controllers else NAMES
    jobs = [(family, match, names, tuning) for family, match in found]
    if not arguments.quick and not arguments.faults and names is NAMES:
        pilot = field.of_line(load_line("pilot-16").line, Scenario.load("first-shift"), 1, minutes)
        jobs.append(("pilot-16", pilot, (*NAMES, *(("dompc",) if has_dompc() else ())), tuning))
    return jobs


def left_to_play(
    jobs: list[tuple[str, field.Match, tuple[str, ...], dict[str, Any]]], played: dict[kept.Key, table.Result]
) -> list[tuple[str, field.Match, tuple[str, ...], dict[str, Any]]]:
    """The jobs without the matches that were played already."""
    left = []
    for family, match, names, tuning in jobs:
        missing = tuple(name for name in names if (family, match.seed, name) not in played)
        if missing:
            left.append((family, match, missing, tuning))
    return left


def play(
    jobs: list[tuple[str, field.Match, tuple[str, ...], dict[str, Any]]],
    minutes: float,
    path: Path | None,
    workers: int,
) -> list[table.Result]:
    """Every match that is not in the file of results yet; then all that were asked for, in their order."""
    played = kept.read(path, minutes) if path else {}
    for results in over(table.judge_all, left_to_play(jobs, played), workers):
        played |= {kept.key(result): result for result in results}
        if path:
            kept.append(path, results, minutes)
    return [played[family, match.seed, name] for family, match, names, _ in jobs for name in names]


def has_dompc() -> bool:
    """Whether do-mpc is installed: it is no dependency."""
    import importlib.util

    return importlib.util.find_spec("do_mpc") is not None


def text(rows: list[dict[str, Any]]) -> str:
    """The table for people."""
    head = f"{'family':22}{'controller':13}{'lines':>5}" + "".join(f"{name:>10}" for _, name, _ in COLUMNS)
    shown = [head]
    for row in rows:
        cells = "".join(f"{'-' if row[key] is None else form.format(row[key]):>10}" for key, _, form in COLUMNS)
        shown.append(f"{row['family']:22}{row['controller']:13}{row['lines']:>5}{cells}")
    return "\n".join(shown)


def text_of_gains(gains: list[dict[str, Any]]) -> str:
    """How far one stands below the others, for people."""
    shown = [f"{'of':12}{'below':13}{'family':22}{'lines':>5}{'median %':>10}{'from':>8}{'to':>8}{'above on':>10}"]
    for g in gains:
        ends = f"{g['below_pct_median']:>10.1f}{g['below_pct_low']:>8.1f}{g['below_pct_high']:>8.1f}"
        head = f"{g['controller']:12}{g['other']:13}{g['family']:22}{g['lines']:>5}"
        shown.append(f"{head}{ends}{g['lines_above']:>10}")
    return "\n".join(shown)


def text_of_savings(savings: list[dict[str, Any]]) -> str:
    """What one saves beside another, for people; percent with 95 % intervals."""
    names = {"sigma_p95": "p95 of sigma", "out_of_tolerance_m": "metres out", "batch_scrap_m": "after batches"}
    names["bolt_travel_um"] = "bolt travel"
    shown = [f"{'of':12}{'less than':13}{'family':22}{'lines':>5}" + "".join(f"{name:>24}" for name in names.values())]
    for row in savings:
        head = f"{row['controller']:12}{row['other']:13}{row['family']:22}{row['lines']:>5}"
        cells = (f"{row[key]:.1f} ({row[key + '_low']:.1f} to {row[key + '_high']:.1f})" for key in names)
        shown.append(head + "".join(f"{cell:>24}" for cell in cells))
    return "\n".join(shown)


def picture(rows: list[dict[str, Any]], path: Path) -> None:
    """Sigma over the clairvoyant's, by family and controller."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    families = list(dict.fromkeys(row["family"] for row in rows))
    controllers = [c for c in dict.fromkeys(row["controller"] for row in rows) if c not in ("open", "hand")]
    found = {(row["family"], row["controller"]): row["sigma_over_clairvoyant_median"] for row in rows}
    figure, axes = pyplot.subplots(figsize=(12, 5))
    for i, controller in enumerate(controllers):
        places = np.arange(len(families)) + (i - len(controllers) / 2) * 0.8 / len(controllers)
        heights = [found.get((family, controller), np.nan) for family in families]
        axes.bar(places, heights, 0.8 / len(controllers), label=controller, align="edge")
        for place, height in zip(places, heights, strict=True):
            if height > SHOWN_UP_TO:
                axes.annotate(f"{height:.0f}", (place, SHOWN_UP_TO), ha="center", va="bottom", fontsize=8)
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_xticks(np.arange(len(families)), families, rotation=25, ha="right")
    axes.set_ylabel("sigma over that of the clairvoyant, median over lines")
    axes.set_ylim(0.0, SHOWN_UP_TO)
    axes.legend(ncol=len(controllers), frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.04))
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three families, one line each, shorter runs")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--faults", action="store_true", help="the fault league")
    parser.add_argument("--lines", type=int, help="lines of each family (default 12, faults 3, quick 1)")
    parser.add_argument("--minutes", type=float, help="length of a run (default 40, quick 16)")
    parser.add_argument("--controllers", help="only these, with commas between; ratios need the clairvoyant")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--of", help="also say how far this one stands below each other on the same lines")
    parser.add_argument("--beside", help="and what it saves beside this one: tails, metres, travel")
    parser.add_argument("--results", type=Path, help="keep every match here, and play none that is in it already")
    parser.add_argument("--out", type=Path, help="keep table.json, table.txt and league.png here")
    arguments = parser.parse_args()
    arguments.lines = arguments.lines or (1 if arguments.quick else 3 if arguments.faults else 12)
    arguments.minutes = arguments.minutes or (16.0 if arguments.quick else 40.0)
    began = time.perf_counter()
    results = play(jobs_of(arguments), arguments.minutes, arguments.results, arguments.workers)
    rows, gains = table.rows(results), table.gains(results, arguments.of) if arguments.of else []
    took_s = round(time.perf_counter() - began, 1)
    document = {"machine": machine(), "minutes": arguments.minutes, "took_s": took_s, "rows": rows, "gains": gains}
    shown = "\n\n".join([text(rows), *([text_of_gains(gains)] if gains else [])])
    if arguments.of and arguments.beside:
        document["savings"] = table.savings(results, arguments.of, arguments.beside)
        shown += "\n\n" + text_of_savings(document["savings"])
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "table.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        (arguments.out / "table.txt").write_text(shown + "\n", encoding="utf-8")
        picture(rows, arguments.out / "league.png")
    if arguments.json:
        print(json.dumps(document, indent=1))
        return
    print(" ".join(f"{key}={value}" for key, value in machine().items()), f"took_s={took_s}")
    print(shown)


if __name__ == "__main__":
    main()
