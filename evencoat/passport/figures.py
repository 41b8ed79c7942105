"""The passport's pictures. Matplotlib draws them off screen; each function returns a PNG. Grey is inside tolerance.

Only evencoat.passport.page imports this.
"""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from controller.line.description import Array
from evencoat.passport.build import Made
from evencoat.report.figures import BAND, INK, SCALE_TOLERANCES, SOFT, STYLE, png, tolerance_colours

COLUMNS = 1200  # pieces of web in a picture
MARK = "#7a1f1f"


def maps(made: Made) -> bytes:
    """Deviation, half width of the interval and scrap marks, over web length and width."""
    roll_map, line = made.roll_map, made.web.line
    shown = roll_map.coated[:, None]
    deviation = _pieces(np.where(shown, roll_map.deviation_pct, np.nan))
    half = _pieces(np.where(shown, roll_map.half_width_pct, np.nan))
    cut = _pieces(made.marked.astype(np.float32), worst=True)
    edge = line.web_width_mm / 2.0
    box: Any = {
        "aspect": "auto",
        "origin": "lower",
        "extent": (0, made.web.metres, -edge, edge),
        "interpolation": "nearest",
    }
    colours, norm = tolerance_colours(line.target.tolerance_pct)
    with plt.rc_context(STYLE):
        figure, (top, middle, low) = plt.subplots(3, 1, figsize=(10.4, 5.6), sharex=True, layout="constrained")
        _bar(figure, top, top.imshow(deviation.T, cmap=colours, norm=norm, **box), "deviation, %")
        top.set_title("Areal density: deviation from target")
        most = max(float(np.nanpercentile(half, 99)) if np.isfinite(half).any() else 1.0, 1e-3)
        _bar(figure, middle, middle.imshow(half.T, cmap="Greys", vmin=0.0, vmax=1.4 * most, **box), "±, %")
        middle.set_title("How surely: half of the interval that holds 95 %")
        _bar(figure, low, low.imshow(cut.T, cmap=_white_to(MARK), vmin=0.0, vmax=1.0, **box), "marked")
        low.set_title("Scrap: to be cut out")
        low.set_xlabel("metre of the roll")
        for axis in (top, middle, low):
            axis.set_ylabel("across, mm")
        return png(figure)


def profile_and_trend(made: Made) -> bytes:
    """Mean profile over the width, and mean over the width along the roll, with their intervals."""
    roll_map, line = made.roll_map, made.web.line
    coated, tolerance = roll_map.coated, line.target.tolerance_pct
    deviation = np.where(coated[:, None], roll_map.deviation_pct, np.nan)
    with plt.rc_context(STYLE):
        figure, (along, across) = plt.subplots(
            1, 2, figsize=(10.4, 2.7), width_ratios=(2.2, 1), sharey=True, layout="constrained"
        )
        for axis in (along, across):
            axis.axhspan(-tolerance, tolerance, color=BAND, lw=0)
            axis.axhline(0.0, color="#c4c4be", lw=0.6)
        middle = _pieces(deviation.mean(axis=1)[:, None])[:, 0]
        low, high = (_pieces(end(deviation, axis=1)[:, None])[:, 0] for end in (np.min, np.max))
        metre = np.linspace(0, made.web.metres, middle.size)
        along.fill_between(metre, low, high, color="#c9c9c4", lw=0, label="lowest to highest zone")
        along.plot(metre, middle, color=INK, lw=1.0, label="mean over the width")
        along.set_xlabel("metre of the roll")
        along.set_ylabel("deviation, %")
        along.set_title("Along the roll")
        along.legend(loc="upper right", ncols=2)
        zone = np.arange(1, line.zones + 1)
        if coated.any():
            across.plot(zone, np.nanmean(deviation, axis=0), color=INK, lw=1.2, marker="o", ms=2.5, label="mean")
            for share, style in ((2.5, ":"), (97.5, ":")):
                across.plot(zone, np.nanpercentile(deviation, share, axis=0), color=SOFT, lw=0.9, ls=style)
        across.set_xlabel("zone")
        across.set_title("Across; dotted: 95 % of the metres")
        reach = min(max(1.1 * _largest(deviation), 1.5 * tolerance), SCALE_TOLERANCES * tolerance)
        along.set_ylim(-reach, reach)
        return png(figure)


def samples(made: Made) -> bytes:
    """What the gauges read too much, by lab samples: along the roll, and across it near the discs of either end."""
    known, web = made.roll_map.known, made.web
    assert known is not None
    metre, zone = (np.array([getattr(disc, name) for disc in known.discs]) for name in ("metre", "zone"))
    with plt.rc_context(STYLE):
        figure, (along, across) = plt.subplots(
            1, 2, figsize=(10.4, 2.7), width_ratios=(2.2, 1), sharey=True, layout="constrained"
        )
        mean, doubt = (100.0 * _pieces(part.mean(axis=1)[:, None])[:, 0] for part in (known.error, known.sd))
        _band(along, np.linspace(0, web.metres, mean.size), mean, doubt, SOFT)
        along.plot(metre, 100.0 * known.over, ls="", marker="o", ms=3.5, color=MARK)
        along.set_xlabel("metre of the roll")
        along.set_ylabel("gauges more, %")
        along.set_title("Along the roll, mean over the width")
        lanes = np.arange(1.0, web.line.zones + 1.0)
        for row, begin, colour in ((int(metre.min()), True, INK), (int(metre.max()), False, MARK)):
            some = (metre < 0.5 * web.metres) == begin
            if some.any():
                _band(across, lanes, 100.0 * known.error[row], 100.0 * known.sd[row], colour)
                across.plot(zone[some] + 1, 100.0 * known.over[some], ls="", marker="o", ms=3.5, color=colour,
                            label="first half" if begin else "second half")  # fmt: skip
        across.legend(loc="upper right")
        across.set_xlabel("lane")
        across.set_title("Across, at the outermost discs")
        assumed = 196.0 * float(np.hypot(*made.roll_map.assumed))
        for axis in (along, across):
            axis.axhline(0.0, color="#c4c4be", lw=0.6)
            for side in (-assumed, assumed):
                axis.axhline(side, color=SOFT, lw=0.9, ls="--")
        return png(figure)


def _band(axis: Any, x: Array, mean: Any, sd: Any, colour: str) -> None:
    axis.fill_between(x, mean - 1.96 * sd, mean + 1.96 * sd, color=colour, alpha=0.18, lw=0)
    axis.plot(x, mean, color=colour, lw=1.2)


def _largest(values: Array) -> float:
    return float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 0.0


def _pieces(values: Any, worst: bool = False) -> Array:
    """(metres, zones) -> at most COLUMNS pieces: their means, or their largest values."""
    metres = values.shape[0]
    size = -(-metres // COLUMNS)
    padded = np.pad(values.astype(np.float64), ((0, -metres % size), (0, 0)), constant_values=np.nan)
    blocks = padded.reshape(-1, size, values.shape[1])
    known = np.isfinite(blocks)
    if worst:
        most: Array = np.where(known, blocks, 0.0).max(axis=1)
        return most
    count = known.sum(axis=1)
    total = np.where(known, blocks, 0.0).sum(axis=1)
    pieces: Array = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return pieces


def _white_to(colour: str) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("mark", ["#f3f3f0", colour])


def _bar(figure: Any, axis: Any, image: Any, words: str) -> None:
    bar = figure.colorbar(image, ax=axis, pad=0.01, fraction=0.025, aspect=9)
    bar.set_label(words)
    bar.outline.set_visible(False)
