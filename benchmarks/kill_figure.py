"""A picture of a kill campaign: how soon the line was held again, from a guard and from nothing.

python benchmarks/kill_figure.py runs/campaign-kill docs/reliability/kill.png
"""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from benchmarks.runs import campaign_to_draw
from evencoat.campaigns.kill import BACK_P99_S

KINDS = (("control", "control process killed, guard lives", "#1f4e79"), ("all", "guard killed too", "#b0b0b0"))


def main() -> None:
    """Draw the share of trials that were back within a time."""
    _, rows, picture = campaign_to_draw(__doc__)
    figure, axes = plt.subplots(figsize=(7.0, 3.2), layout="constrained")
    for kind, words, colour in KINDS:
        back_s = np.sort([row["back_s"] for row in rows if row["killed"] == kind])
        if back_s.size:
            left = 1.0 - np.arange(back_s.size) / back_s.size
            axes.step(back_s, left, where="post", color=colour, label=f"{words} ({back_s.size} trials)")
    axes.axvline(BACK_P99_S, color="#c00000", linewidth=0.8)
    axes.axhline(0.01, color="#c00000", linewidth=0.8)
    axes.annotate("99 % within 1 s", (BACK_P99_S, 0.01), (1.1 * BACK_P99_S, 0.0115), color="#c00000", fontsize=8)
    axes.set(xscale="log", yscale="log", xlabel="time from the last kill to the first command, s")
    axes.set(ylabel="share of trials not yet back")
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    axes.grid(alpha=0.2)
    figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    main()
