"""A picture of a lateness campaign: which share of the cycles began later than so much, beside a bare loop.

python benchmarks/lateness_figure.py runs/campaign-lateness docs/reliability/lateness.png
"""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from benchmarks.runs import campaign_to_draw
from evencoat.campaigns.lateness import CONDITIONS, late_us

COLOURS = {(False, False): "#7f9fbf", (False, True): "#1f4e79", (True, False): "#e0a070", (True, True): "#a04000"}


def main() -> None:
    """Two panels, a rate each; the bare loops are dotted."""
    folder, rows, picture = campaign_to_draw(__doc__)
    figure, panels = plt.subplots(1, 2, figsize=(9.5, 4.0), layout="constrained", sharey=True, sharex=True)
    for condition in CONDITIONS:
        axes = panels[int(condition.hertz == 100)]
        measured = [row["k"] for row in rows if row["condition"] == condition.name and not row["refused"]]
        if not measured:
            continue
        words = f"{'loaded' if condition.loaded else 'idle'}, {'SCHED_FIFO' if condition.realtime else 'ordinary'}"
        colour = COLOURS[condition.loaded, condition.realtime]
        for late, style, label in zip(late_us(folder, measured), ("-", ":"), (words, None), strict=True):
            later = 1.0 - np.arange(late.size) / late.size
            axes.step(np.maximum(np.sort(late), 1.0), later, style, color=colour, label=label, linewidth=1.2)
    for axes, hertz in zip(panels, (10, 100), strict=True):
        axes.axvline(1e6 / hertz, color="#c00000", linewidth=0.8)
        axes.set(title=f"{hertz} Hz (red: the next deadline)", xscale="log", yscale="log", xlabel="later than, us")
        axes.grid(alpha=0.2)
        axes.plot([], [], ":", color="black", label="bare loop, same run")
        axes.legend(frameon=False, fontsize=8, loc="lower left")
    panels[0].set(ylabel="share of cycles that began")
    figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    main()
