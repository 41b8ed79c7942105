"""How quiet must a line be? Cpk at +-1.5 %, and what is out of it, against the size of the disturbances.

    python benchmarks/difficulty.py [--quick] [--json] [--lines N] [--minutes M] [--sizes A,B] [--controllers A,B]
                                    [--results FILE] [--out DIR]

Lines are those of the league: its families in turn, each line of a seed of its own, judged from minute 10 on, new
batch and all. Scaled is every disturbance that is played (evencoat.league.difficulty): unevenness as set, set-up
errors, drifts across and along the web, pulsation, solids, batches; slip steps and streaks where a scenario has them.
Not scaled are gauges (noise and bias), the lips' play, and by how much the description is off. Players are tuned for
size 1 and told nothing. `--results` keeps every match as it ends and plays none again: more lines can be added later.
`--out` keeps table and picture.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.closed_loop import play
from benchmarks.runs import machine, names_of
from evencoat.league import difficulty
from evencoat.league.players import NAMES, tuned

CONTROLLERS = ("hand", "pid", "adaptive", "neural", "clairvoyant")
MARKS = ("v-", "s-", "o-", "D--", "*-")
COLUMNS = (
    ("cpk_median", "Cpk", "{:.2f}"),
    ("cpk_low", "from", "{:.2f}"),
    ("cpk_high", "to", "{:.2f}"),
    ("cpk_worst", "worst", "{:.2f}"),
    ("lines_at_wanted", "at 2.0", "{:d}"),
    ("ppm_median", "ppm", "{:.0f}"),
    ("ppm_mean", "ppm mean", "{:.0f}"),
)


def text(table: Sequence[dict[str, Any]], reached: dict[str, float | None], sizes: Sequence[float]) -> str:
    """The table for people."""
    head = f"{'controller':13}{'size':>6}{'lines':>6}" + "".join(f"{name:>10}" for _, name, _ in COLUMNS)
    shown = [head]
    for row in table:
        cells = "".join(f"{form.format(row[key]):>10}" for key, _, form in COLUMNS)
        shown.append(f"{row['controller']:13}{row['size']:>6g}{row['lines']:>6}{cells}")
    shown += ["", f"Median Cpk is at least {difficulty.CPK_WANTED:.1f} up to a size of"]
    shown += [f"{name:13}{at_size(size, sizes):>6}" for name, size in reached.items()]
    return "\n".join(shown)


def at_size(size: float | None, sizes: Sequence[float]) -> str:
    """A size for people, with what lies beyond those that were played."""
    if size is None:
        return f"<{sizes[0]:g}"
    return f">{sizes[-1]:g}" if size == sizes[-1] else f"{size:.2f}"


def picture(
    table: Sequence[dict[str, Any]], reached: dict[str, float | None], sizes: Sequence[float], path: Path
) -> None:
    """Cpk, and parts per million out of tolerance, over the size of the disturbances."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 5), layout="constrained")
    for i, (controller, size) in enumerate(reached.items()):
        own = [row for row in table if row["controller"] == controller]
        at = [row["size"] * 1.012 ** (i - len(reached) / 2) for row in own]  # side by side, so that all can be seen
        cpk = [row["cpk_median"] for row in own]
        ends = [
            [row["cpk_median"] - row["cpk_low"] for row in own],
            [row["cpk_high"] - row["cpk_median"] for row in own],
        ]
        style = MARKS[i % len(MARKS)]
        label = f"{controller}: up to {at_size(size, sizes)}" if size else f"{controller}: nowhere"
        left.errorbar(at, cpk, ends, fmt=style, markersize=5, elinewidth=0.8, capsize=2, label=label)
        right.plot(at, [row["ppm_mean"] for row in own], style, markersize=5, label=controller)
    left.axhline(difficulty.CPK_WANTED, color="black", linewidth=0.8, linestyle="--")
    left.set_yscale("log")
    ticks = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
    left.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    left.set_ylabel(f"Cpk at ±{difficulty.TOLERANCE_PCT:g} %, median over lines, 95 % interval")
    right.set_yscale("symlog", linthresh=1.0)
    ticks = (0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
    right.set_yticks(ticks, [f"{tick:,}".replace(",", " ") for tick in ticks])
    right.set_ylim(-0.2, 2e6)
    right.set_ylabel("web out of tolerance, ppm, mean over lines")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
        axes.minorticks_off()
        axes.set_xlabel("size of the disturbances (default difficulty: 1)")
        axes.grid(color="0.9")
    left.legend(frameon=False, loc="lower left", title=f"Cpk {difficulty.CPK_WANTED:.1f} is kept", alignment="left")
    right.legend(frameon=False, loc="center left")
    figure.savefig(path, dpi=120)


def sizes_of(text: str) -> tuple[float, ...]:
    """Sizes on the command line, rising."""
    try:
        sizes = tuple(sorted({float(part) for part in text.split(",")}))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers with commas between") from None
    for size in sizes:
        if not 0.0 < size <= difficulty.SIZE_MAX:
            raise argparse.ArgumentTypeError(f"{size:g} is not above 0 and at most {difficulty.SIZE_MAX:g}")
    return sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one line, three sizes, shorter runs")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--lines", type=int, help="lines, the families in turn (default 10, quick 1)")
    parser.add_argument("--minutes", type=float, help="length of a run (default 40, quick 14)")
    parser.add_argument("--sizes", type=sizes_of, help="only these, with commas between")
    parser.add_argument(
        "--controllers", type=names_of(NAMES), default=CONTROLLERS, help="only these, with commas between"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--results", type=Path, help="keep every match here, and play none that is in it already")
    parser.add_argument("--out", type=Path, help="keep difficulty.json, difficulty.txt and difficulty.png here")
    arguments = parser.parse_args()
    lines = arguments.lines or (1 if arguments.quick else 10)
    minutes = arguments.minutes or (14.0 if arguments.quick else 40.0)
    sizes = arguments.sizes or ((0.5, 1.0, 2.0) if arguments.quick else difficulty.SIZES)
    names, tuning, began = arguments.controllers, tuned(), time.perf_counter()
    jobs = [(family, match, names, tuning) for family, match in difficulty.matches(lines, sizes, minutes)]
    results = play(jobs, minutes, arguments.results, arguments.workers)
    table = difficulty.rows(results, names, sizes)
    reached = difficulty.reached(table, names)
    document = {
        "machine": machine(),
        "minutes": minutes,
        "took_s": round(time.perf_counter() - began, 1),
        "rows": table,
        "reached_at": reached,
    }
    shown = text(table, reached, sizes)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "difficulty.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        (arguments.out / "difficulty.txt").write_text(shown + "\n", encoding="utf-8")
        picture(table, reached, sizes, arguments.out / "difficulty.png")
    print(json.dumps(document, indent=1) if arguments.json else shown)


if __name__ == "__main__":
    main()
