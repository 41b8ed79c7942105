"""The report's pictures. Matplotlib draws them off screen; each function returns a PNG.

Calm on purpose (ISA-101): grey is normal, colour is for what is beyond tolerance, and all controllers share one scale.
Only the report imports this, and only when it draws: matplotlib takes a second to load.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize

from evencoat.report.run import ControllerRun, RunData
from evencoat.report.words import batches_told, long_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
INK, SOFT, BAND, PAPER = "#333333", "#8a8a86", "#e4e4e0", "#ffffff"
THIN, THICK = ("#a9cbe0", "#1c5a8a"), ("#f0c48c", "#a3420f")
LINE_COLOURS = {
    "open": "#a8a8a2",
    "hand": "#b58a4a",
    "pid": "#9fc0d2",
    "imc": "#17486f",
    "adaptive": "#0d6b57",
    "neural": "#5b3a8e",
}
SPARE_COLOURS = ("#17486f", "#6a94ad", "#7b6a94", "#5f8a68")
SCALE_TOLERANCES = 3.0  # roll maps are saturated beyond so many tolerances
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.edgecolor": "#bbbbb6",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "text.color": INK,
    "xtick.color": "#666662",
    "ytick.color": "#666662",
    "legend.frameon": False,
    "legend.fontsize": 8,
}


def roll_maps(run: RunData, names: Sequence[str] | None = None) -> bytes:
    """Deviation over web length and width, one map a controller, one scale for all."""
    chosen = [c for c in run.controllers if names is None or c.name in names]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(chosen), 1, figsize=(10.4, 1.55 * len(chosen) + 0.75), sharex=True, squeeze=False, layout="constrained"
        )
        for axis, controller in zip(axes[:, 0], chosen, strict=True):
            image = _map(axis, run, controller)
        axes[-1, 0].set_xlabel("web coated, m")
        _scale(figure, axes[:, 0], image, run.tolerance_pct)
        return png(figure)


def profiles(run: RunData) -> bytes:
    """Profile over the width at the start and at the end, one panel a controller."""
    count = len(run.controllers)
    columns = min(2, count)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            -(-count // columns), columns, figsize=(10.4, 2.3 * -(-count // columns) + 0.2), sharex=True, sharey=True,
            squeeze=False, layout="constrained",
        )  # fmt: skip
        for axis in axes.flat[count:]:
            axis.set_visible(False)
        for axis, controller in zip(axes.flat, run.controllers, strict=False):
            _profile(axis, run, controller)
        _limit_y(axes.flat[0], [c.profile_pct(first) for c in run.controllers for first in (False, True)], run)
        for axis in axes[:, 0]:
            axis.set_ylabel("deviation, %")
        _label_bottoms(axes, count, "across the web, mm")
        axes.flat[0].legend(loc="upper right", ncols=2)
        return png(figure)


def trends(run: RunData) -> bytes:
    """Mean over the width, and unevenness across it, along time."""
    with plt.rc_context(STYLE):
        figure, (mean, spread) = plt.subplots(2, 1, figsize=(10.4, 4.4), sharex=True, layout="constrained")
        _band(mean, run)
        for controller in run.controllers:
            t_min, level, uneven = _thinned(controller)
            mean.plot(t_min, level, **_pen(controller.name))
            spread.plot(t_min, uneven, label=controller.name, **_pen(controller.name))
        _limit_y(mean, [c.mean_pct[c.ds_m > 0] for c in run.controllers], run)
        mean.set_title("Along the web: mean over the width")
        mean.set_ylabel("deviation, %")
        spread.set_title("Across the web: standard deviation over the width")
        spread.set_ylabel("sigma, %")
        spread.set_ylim(bottom=0.0)
        spread.set_xlabel("minutes")
        spread.set_xlim(0.0, max(float(c.t_s[-1]) for c in run.controllers) / 60.0)
        spread.legend(loc="upper right", ncols=len(run.controllers))
        return png(figure)


def distributions(run: RunData) -> bytes:
    """Share of the area by deviation, from the minute on that the figures judge."""
    reach = SCALE_TOLERANCES * run.tolerance_pct
    bins = np.linspace(-reach, reach, 181)
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(10.4, 2.6), layout="constrained")
        axis.axvspan(-run.tolerance_pct, run.tolerance_pct, color=BAND, lw=0)
        for controller in run.controllers:
            judged = controller.t_s >= float(controller.metrics.get("judged_from_s", 600.0))
            if not (judged & (controller.ds_m > 0)).any():
                judged = np.ones_like(judged)
            lanes = controller.deviation_pct.shape[1]
            weights = np.repeat(controller.ds_m[judged], lanes)
            share, _ = np.histogram(controller.deviation_pct[judged].ravel(), bins, weights=weights)
            middle = bins[:-1] + np.diff(bins) / 2
            axis.plot(middle, 100.0 * share / max(weights.sum(), 1e-9), label=controller.name, **_pen(controller.name))
        axis.legend(loc="upper right")
        axis.set_xlabel("deviation, %")
        axis.set_ylabel("share of the area, %")
        axis.set_ylim(bottom=0.0)
        axis.margins(x=0)
        return png(figure)


def lips(run: RunData) -> bytes | None:
    """Where the bolts stand at the end and how far they went, with their limits; None where no journal tells.

    Controllers that never moved a bolt are left out.
    """
    told = [c for c in run.controllers if c.journal is not None and np.ptp(_gaps(c), axis=0).max() > 0.0]
    if not told:
        return None
    columns = min(2, len(told))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            -(-len(told) // columns), columns, figsize=(10.4, 2.2 * -(-len(told) // columns) + 0.3), sharex=True,
            sharey=True, squeeze=False, layout="constrained",
        )  # fmt: skip
        for axis in axes.flat[len(told) :]:
            axis.set_visible(False)
        for axis, controller in zip(axes.flat, told, strict=False):
            _lips(axis, run, controller)
        for axis in axes[:, 0]:
            axis.set_ylabel("gap, um")
        _label_bottoms(axes, len(told), "bolt")
        return png(figure)


def limits_over_time(controller: ControllerRun) -> bytes | None:
    """When which limit of the envelope bound, and which mode was in force."""
    journal = controller.journal
    if journal is None:
        return None
    minutes = journal["t_line_ns"] / 60e9
    names = sorted({name for row in np.unique(journal["limits"]) for name in row.split("; ") if name})
    rows = ["mode", *names]
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(10.4, 0.27 * len(rows) + 1.0), layout="constrained")
        _mode_bar(axis, minutes, journal["mode_actual"])
        for row, name in enumerate(names, start=1):
            for start, end in _spans(minutes, bound_by(journal["limits"], name)):
                axis.barh(row, end - start, left=start, height=0.6, color="#b9894b", lw=0)
        axis.set_yticks(range(len(rows)), rows)
        axis.invert_yaxis()
        axis.set_xlim(float(minutes[0]), max(float(minutes[-1]), float(minutes[0]) + 1e-6))
        axis.set_xlabel("minutes")
        axis.set_title(controller.name)
        axis.tick_params(axis="y", length=0)
        return png(figure)


def guest(controller: ControllerRun) -> bytes | None:
    """What the network added to the disturbance that the pump answers, what it would have, and what it was trusted."""
    journal = controller.journal
    if journal is None or not np.asarray(journal["guest_whole_pct"]).any():
        return None
    minutes = journal["t_line_ns"] / 60e9
    with plt.rc_context(STYLE):
        figure, (added, trusted) = plt.subplots(
            2, 1, figsize=(10.4, 3.0), sharex=True, layout="constrained", height_ratios=(2, 1)
        )
        added.axhline(0.0, color=SOFT, lw=0.6)
        added.plot(minutes, journal["guest_whole_pct"], color=LINE_COLOURS["open"], lw=0.8, label="with full authority")
        added.plot(minutes, journal["guest_pct"], color=LINE_COLOURS["neural"], lw=1.1, label="added")
        added.set_ylabel("of target, %")
        added.set_title(f"{controller.name}: what the network expects of the mean beyond the adaptive estimate")
        added.legend(loc="upper right", ncols=2)
        trusted.plot(minutes, journal["guest_authority"], color=LINE_COLOURS["neural"], lw=1.1)
        trusted.set_ylim(-0.05, 1.05)
        trusted.set_ylabel("authority")
        trusted.set_xlabel("minutes")
        return png(figure)


def batches(controller: ControllerRun) -> bytes | None:
    """What each new batch was believed to bring, how surely, and what of it the pump had taken away."""
    journal = controller.journal
    if journal is None or not batches_told(controller):
        return None
    minutes, step = journal["t_line_ns"] / 60e9, journal["batch_step_pct"]
    doubt, colour = journal["batch_step_sd_pct"], LINE_COLOURS["neural"]
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(10.4, 2.4), layout="constrained")
        axis.axhline(0.0, color=SOFT, lw=0.6)
        axis.fill_between(minutes, step - doubt, step + doubt, color=BAND, lw=0, label="one sigma")
        axis.plot(minutes, step, color=colour, lw=1.1, label="brings in whole, as believed")
        axis.plot(minutes, journal["batch_answered_pct"], color=LINE_COLOURS["imc"], lw=1.1, label="answered")
        axis.set_ylabel("areal density, %")
        axis.set_xlabel("minutes")
        axis.set_title(f"{controller.name}: what the newest batch is expected to bring")
        axis.legend(loc="upper right", ncols=3)
        return png(figure)


def overview(run: RunData) -> bytes:
    """One picture: the web left alone, the web under control, and both profiles."""
    main, other = run.main, run.named("open")
    pair = [main] if other is None or other is main else [other, main]
    with plt.rc_context({**STYLE, "font.size": 9.5, "axes.titlesize": 11}):
        figure = plt.figure(figsize=(11.5, 2.1 * len(pair) + 2.75), layout="constrained")
        grid = figure.add_gridspec(len(pair) + 1, 1, height_ratios=[*[1.0] * len(pair), 1.15])
        maps = [figure.add_subplot(grid[row]) for row in range(len(pair))]
        for axis, controller in zip(maps, pair, strict=True):
            image = _map(axis, run, controller)
            axis.set_title(f"{long_name(controller.name)}   {_sigma(controller)}")
        for axis in maps[:-1]:
            axis.set_xticklabels([])
        maps[-1].set_xlabel("web coated, m")
        _scale(figure, maps, image, run.tolerance_pct)
        axis = figure.add_subplot(grid[-1])
        _band(axis, run)
        for controller in pair:
            axis.plot(
                _across(run, controller), controller.profile_pct(), label=controller.name, **_pen(controller.name)
            )
        _limit_y(axis, [controller.profile_pct() for controller in pair], run)
        axis.set_title("Profile at the end of the run; the band is the tolerance")
        axis.set_xlabel("across the web, mm")
        axis.set_ylabel("deviation, %")
        axis.margins(x=0)
        axis.legend(loc="upper right", ncols=2)
        return png(figure)


# --- pieces ------------------------------------------------------------------------------------------------------


def tolerance_colours(tolerance_pct: float) -> tuple[Colormap, Normalize]:
    """Grey inside the tolerance; beyond it blue where too thin and brown where too thick, deeper the further."""
    inner = 0.5 / SCALE_TOLERANCES
    stops = [
        (0.0, THIN[1]), (0.5 - inner, THIN[0]), (0.5 - inner, "#dcdcd8"), (0.5, "#ecece9"),
        (0.5 + inner, "#dcdcd8"), (0.5 + inner, THICK[0]), (1.0, THICK[1]),
    ]  # fmt: skip
    colours = LinearSegmentedColormap.from_list("tolerance", stops, N=1024).with_extremes(bad="#ffffff")
    reach = SCALE_TOLERANCES * tolerance_pct
    return colours, Normalize(-reach, reach)


def _map(axis: Axes, run: RunData, controller: ControllerRun) -> Any:
    values, start, end = controller.roll_map()
    colours, norm = tolerance_colours(run.tolerance_pct)
    half = run.line.web_width_mm / 2.0
    image = axis.imshow(
        values, aspect="auto", origin="lower", extent=(start, end, -half, half), cmap=colours, norm=norm,
        interpolation="nearest",
    )  # fmt: skip
    axis.set_title(f"{controller.name}   {_sigma(controller)}")
    axis.set_ylabel("across, mm")
    axis.set_yticks([-half, 0, half])
    return image


def _sigma(controller: ControllerRun) -> str:
    sigma = controller.metrics.get("sigma_total_pct")
    return f"sigma {sigma:.2f} %" if isinstance(sigma, int | float) else ""


def _scale(figure: Figure, axes: Any, image: Any, tolerance_pct: float) -> None:
    reach = SCALE_TOLERANCES * tolerance_pct
    bar = figure.colorbar(image, ax=list(axes), pad=0.01, fraction=0.025, aspect=26, extend="both")
    ticks = [-reach, -tolerance_pct, 0.0, tolerance_pct, reach]
    bar.set_ticks(ticks, labels=[f"{tick:+g}" if tick else "0" for tick in ticks])
    bar.set_label("deviation, %")
    bar.outline.set_visible(False)


def _profile(axis: Axes, run: RunData, controller: ControllerRun) -> None:
    across = _across(run, controller)
    _band(axis, run)
    axis.plot(across, controller.profile_pct(first=True), color=SOFT, lw=0.9, ls=":", label="first 30 m")
    axis.plot(across, controller.profile_pct(), label="last 30 m", **_pen(controller.name))
    axis.set_title(controller.name)
    axis.margins(x=0)


def _across(run: RunData, controller: ControllerRun) -> Any:
    lanes = controller.deviation_pct.shape[1]
    return (np.arange(lanes) + 0.5) / lanes * run.line.web_width_mm - run.line.web_width_mm / 2.0


def _band(axis: Axes, run: RunData) -> None:
    axis.axhspan(-run.tolerance_pct, run.tolerance_pct, color=BAND, lw=0)
    axis.axhline(0.0, color="#c4c4be", lw=0.6)


def _limit_y(axis: Axes, values: list[Any], run: RunData) -> None:
    """Symmetric, at least twice the tolerance, at most six times: one wild row shall not flatten the rest."""
    largest = max((float(np.nanmax(np.abs(v))) for v in values if np.size(v) and np.isfinite(v).any()), default=0.0)
    reach = min(max(1.1 * largest, 2.0 * run.tolerance_pct), 6.0 * run.tolerance_pct)
    axis.set_ylim(-reach, reach)


def _pen(name: str) -> dict[str, Any]:
    spare = SPARE_COLOURS[sum(name.encode()) % len(SPARE_COLOURS)]
    # pid lies broad under imc: where the two agree, both are seen
    return {"color": LINE_COLOURS.get(name, spare), "lw": {"open": 1.1, "hand": 1.1, "pid": 2.6}.get(name, 1.3)}


def _thinned(controller: ControllerRun, points: int = 1500) -> tuple[Any, Any, Any]:
    """Minutes, mean and unevenness, averaged to at most so many points; standing web is left out."""
    coated = controller.ds_m > 0
    columns = [controller.t_s[coated] / 60.0, controller.mean_pct[coated], controller.unevenness_pct[coated]]
    block = max(1, columns[0].size // points)
    whole = columns[0].size // block * block
    minutes, mean, spread = (column[:whole].reshape(-1, block).mean(axis=1) for column in columns)
    return minutes, mean, spread


def _gaps(controller: ControllerRun) -> Any:
    assert controller.journal is not None
    gap = controller.journal["gap_um"]
    return gap[np.isfinite(gap).all(axis=1)] if np.isfinite(gap).all(axis=1).any() else np.nan_to_num(gap)


def _lips(axis: Axes, run: RunData, controller: ControllerRun) -> None:
    limits, gap = run.line.lips, _gaps(controller)
    bolt = np.arange(1, gap.shape[1] + 1)
    axis.axhspan(limits.gap_min_um, limits.gap_max_um, color=BAND, lw=0, alpha=0.55)
    axis.fill_between(bolt, gap.min(axis=0), gap.max(axis=0), color="#c4c4be", lw=0, step="mid")
    axis.step(bolt, gap[0], where="mid", color=SOFT, lw=0.9, ls=":")
    axis.step(bolt, gap[-1], where="mid", **_pen(controller.name))
    _mark_stuck(axis, controller, bolt, gap[-1])
    margin = 0.06 * (limits.gap_max_um - limits.gap_min_um)
    axis.set_ylim(min(limits.gap_min_um, gap.min()) - margin, max(limits.gap_max_um, gap.max()) + margin)
    axis.set_title(controller.name)
    axis.margins(x=0.01)


def _label_bottoms(axes: Any, used: int, label: str) -> None:
    """Label the lowest used axis of every column: the last row may be short."""
    for column in range(axes.shape[1]):
        lowest = axes[(used - 1 - column) // axes.shape[1], column]
        lowest.set_xlabel(label)
        lowest.tick_params(labelbottom=True)


def _mark_stuck(axis: Axes, controller: ControllerRun, bolt: Any, gap: Any) -> None:
    assert controller.journal is not None
    stuck = controller.journal["zone_not_following"][-1]
    if stuck.any():
        axis.plot(bolt[stuck], gap[stuck], "v", color=THICK[1], ms=5, label="left alone")
        axis.legend(loc="upper right")


def bound_by(limits: Any, name: str) -> Any:
    """Which rows of the journal's column of limits name this one, (T,); "rate" is not "pump rate"."""
    return np.char.find(np.char.add(np.char.add("; ", limits), "; "), f"; {name}; ") >= 0


def _mode_bar(axis: Axes, minutes: Any, modes: Any) -> None:
    shades = {"auto": "#cfcfca", "hold": "#e0b36a", "manual": "#e4e4e0", "advisory": "#b9cbd8"}
    for mode in np.unique(modes):
        for start, end in _spans(minutes, modes == mode):
            axis.barh(0, end - start, left=start, height=0.6, color=shades.get(str(mode), SOFT), lw=0)
            if end - start > 0.06 * (minutes[-1] - minutes[0]):
                axis.text((start + end) / 2, 0, str(mode), ha="center", va="center", fontsize=7.5)


def _spans(minutes: Any, on: Any) -> list[tuple[float, float]]:
    """Stretches of time in which a flag was set; each lasts until the next row."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], on.astype(np.int8), [0]))))
    step = float(np.median(np.diff(minutes))) if minutes.size > 1 else 0.0
    return [(float(minutes[a]), float(minutes[b - 1]) + step) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def png(figure: Figure) -> bytes:
    """A finished figure as a PNG; closes it."""
    with io.BytesIO() as out:
        figure.savefig(out, format="png", dpi=DPI, facecolor=PAPER, metadata={"Software": "evencoat"})
        plt.close(figure)
        return out.getvalue()
