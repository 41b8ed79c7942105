"""The picture of a training: its curves, and what came of it on lines that no stage had looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evencoat.report.figures import INK, SOFT, STYLE, THICK, THIN, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLES = {"missed": "what the belief misses", "loop": "the web in a closed loop"}


def curves(history: Sequence[Mapping[str, Any]], figures: Mapping[str, Any]) -> bytes:
    """A panel for each stage, and one for the families of lines kept for the end. PNG."""
    import matplotlib.pyplot as plt

    stages = [stage for stage in TITLES if any(row["stage"] == stage for row in history)]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(stages) + 1, figsize=(10.4, 3.4), layout="constrained", squeeze=False)
        for axis, stage in zip(axes[0], stages, strict=False):
            _stage(axis, [row for row in history if row["stage"] == stage], TITLES[stage])
        _families(axes[0][-1], figures)
        figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
        return png(figure)


def _stage(axis: Axes, rows: Sequence[Mapping[str, Any]], title: str) -> None:
    steps = [row["step"] for row in rows]
    losses = [(row["step"], 100.0 * row["loss"]) for row in rows if row["loss"] is not None]
    axis.axhline(0.0, color=SOFT, linewidth=0.8)
    axis.plot(*zip(*losses, strict=True), color=THIN[0], label="loss, lines trained on")
    axis.plot(steps, [100.0 * row["median"] for row in rows], color=INK, label="median, unseen lines")
    axis.plot(steps, [100.0 * row["tail"] for row in rows], color=THICK[0], label="worst fifth, unseen lines")
    axis.set_title(title)
    axis.set_xlabel("steps")
    axis.set_ylabel("log of variance over adaptive's, %")


def _families(axis: Axes, figures: Mapping[str, Any]) -> None:
    shares = figures["by_family"]
    axis.axvline(1.0, color=SOFT, linewidth=0.8)
    axis.barh(list(shares), [share - 1.0 for share in shares.values()], left=1.0, color=THIN[1], height=0.6)
    axis.set_title("lines kept for the end")
    axis.set_xlabel("belief's squared error over adaptive's")
