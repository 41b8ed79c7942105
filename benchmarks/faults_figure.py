"""A picture of a campaign of faults: when each was noticed, when the line was safe, and which nobody noticed.

python benchmarks/faults_figure.py runs/campaign-faults/result.json docs/reliability/faults.png
"""

from __future__ import annotations

import argparse
import json
from itertools import groupby
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

INK, SOFT, NOTICED, SAFE, NAMED, NEVER = "#333333", "#8a8a86", "#17486f", "#0d6b57", "#b8860b", "#c00000"
EARLIEST_S, NEVER_S = 0.1, 1000.0  # where what took no time, and what never came, are drawn


def main() -> None:
    """One row a fault: when most seeds had noticed it, when diagnosis had named it, when most were safe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path)
    parser.add_argument("picture", type=Path)
    given = parser.parse_args()
    table = json.loads(given.result.read_text())["figures"]["table"]
    figure, axes = plt.subplots(figsize=(7.6, 0.19 * len(table) + 1.2), layout="constrained")
    place, names = 0.0, []
    for _, rows in groupby(table, key=lambda row: row["group"]):
        for row in rows:
            _point(axes, place, row["detected_s"], NOTICED, "o", 22)
            _point(axes, place, row["safe_s"], SAFE, "$\\bigcirc$", 42)
            if row["diagnosed_s"] is not None:
                _point(axes, place, row["diagnosed_s"], NAMED, "D", 9)
            scrap = "" if row["scrap_m"] is None else f"{row['scrap_m']:.0f} m"
            axes.text(1.01, place, scrap, fontsize=7, va="center", color=SOFT, transform=axes.get_yaxis_transform())
            names.append((place, row["fault"]))
            place -= 1.0
        place -= 0.6
    axes.set_yticks([at for at, _ in names], [name for _, name in names], fontsize=7)
    axes.set(xscale="log", xlim=(EARLIEST_S * 0.7, NEVER_S * 1.5), ylim=(place + 0.2, 1.0))
    axes.set_xticks([0.1, 1, 10, 100, NEVER_S], ["at once", "1 s", "10 s", "100 s", "never"])
    axes.grid(axis="x", alpha=0.2)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    axes.minorticks_off()
    axes.set_title(
        "● noticed, ◆ diagnosis names cause and place, ○ safe (HOLD, or no metre out any more), × never; right: scrap",
        fontsize=8, loc="right", color=INK,
    )  # fmt: skip
    figure.savefig(given.picture, dpi=130)


def _point(axes: plt.Axes, place: float, at_s: float | None, colour: str, marker: str, size: float) -> None:
    if at_s is None:
        axes.scatter(NEVER_S, place, s=24, marker="x", color=NEVER if marker == "o" else SOFT, linewidths=1.0)
    else:
        axes.scatter(max(at_s, EARLIEST_S), place, s=size, marker=marker, color=colour, linewidths=0.4)


if __name__ == "__main__":
    main()
