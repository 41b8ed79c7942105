"""The tour's pictures, in the report's dress: grey is what nobody has to look at, ink is what is true.

Each function returns a PNG. Only evencoat.tour imports this, and only when it draws: matplotlib takes a second to load.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.layout_engine import ConstrainedLayoutEngine

from controller.line.description import Array, GaugeKind, LineDescription
from evencoat.report.figures import BAND, INK, SOFT, STYLE, png, tolerance_colours
from evencoat.tour_runs import Recording, record
from plant_sim import bead, carreau, counting, die, foil, levelling, lip, lip_mechanics, rheology
from plant_sim.carreau import Carreau
from plant_sim.faults import CATALOGUE, DRIFTS, Play
from plant_sim.levelling import WetFilm
from plant_sim.rheology import HerschelBulkley
from plant_sim.slurry import Slurry
from plant_sim.truth import Truth

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WET, DRY = "#5b8fb0", "#b5803a"
SHADES = ("#1c1c1a", "#5a5a57", "#8f8f8a", "#bdbdb7")
WIDE = 10.4
TOUR_SEED = 1


@lru_cache(maxsize=4)
def true_line(line: LineDescription, seed: int = TOUR_SEED) -> Truth:
    """The line as it really is, for every picture."""
    return Truth.draw(line, seed)


@lru_cache(maxsize=4)
def quiet_line(line: LineDescription) -> Truth:
    """The same line with lips set evenly and gauges without bias: what then shows is what is played."""
    truth = true_line(line)
    assert truth.wet is not None and truth.dry is not None
    wet, dry = (replace(gauge, bias_common=0.0, bias_box=0.0) for gauge in (truth.wet, truth.dry))
    return replace(truth, unevenness_um=np.zeros(truth.lanes), wet=wet, dry=dry)


def _even(line: LineDescription, truth: Truth) -> Array:
    return np.full(truth.lanes, line.die.gap_nominal_um)


def _profile_pct(truth: Truth, slurry: Slurry, gap_um: Array) -> Array:
    share = die.split(die.slot(truth.die, slurry), gap_um, np.zeros(truth.lanes)).share
    deviation: Array = 100.0 * (share - 1.0)
    return deviation


# --- the die --------------------------------------------------------------------------------------------------------


def gap_to_profile(line: LineDescription) -> bytes:
    """What moves of bolts do: one bolt, a wave, all bolts together."""
    truth = Truth.nominal(line)
    slurry, bolts = truth.batches[0], np.arange(line.zones)
    one = np.where(bolts == line.zones // 3, 10.0, 0.0)
    wave = 5.0 * np.sin(2.0 * np.pi * bolts / 10.0)
    saw = np.where(bolts % 2 == 0, 5.0, -5.0)
    cases = (
        ("one bolt, +10 um", one),
        ("a wave of ten bolts, ±5 um", wave),
        ("every other bolt, ±5 um", saw),
        ("all bolts, +15 um", np.full(line.zones, 15.0)),
    )
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 4, figsize=(WIDE, 3.6), sharex=True, sharey="row", layout="constrained")
        for column, (title, move) in enumerate(cases):
            opening = truth.lip_response @ move
            top, bottom = axes[:, column]
            top.bar(line.zone_centres_mm, move, width=0.8 * line.die.zone_pitch_mm, color="#cfcfca", label="bolts")
            top.plot(truth.lanes_mm, opening, color=INK, lw=1.1, label="lip")
            top.set_title(title)
            bottom.axhline(0.0, color="#c4c4be", lw=0.6)
            bottom.plot(truth.lanes_mm, _profile_pct(truth, slurry, _even(line, truth) + opening), color=INK, lw=1.2)
            bottom.set_xlabel("across the web, mm")
        axes[0, 0].set_ylim(-7.0, 17.0)
        axes[0, 0].set_ylabel("move, um")
        axes[0, 0].legend(loc="upper right")
        axes[1, 0].set_ylabel("coating, %")
        return png(figure)


def kernel(line: LineDescription) -> bytes:
    """One bolt's response: the beam's formula at four widths, and the bolts of one drawn line."""
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(WIDE, 2.9), layout="constrained")
        pitches = np.linspace(-4.0, 4.0, 801)
        for shade, fwhm in zip(SHADES, (2.5, 2.0, 1.5, 1.0), strict=True):
            curve = lip.kernel(lip.FWHM_TIMES_BETA / fwhm * pitches)
            left.plot(pitches, curve, color=shade, lw=1.2, label=f"{fwhm:g} pitches")
        left.axhline(0.0, color="#c4c4be", lw=0.6)
        for pitch in (-1, 1):
            left.axvline(pitch, color="#e4e4e0", lw=0.8, zorder=0)
        left.set_title("Lip as a beam on an elastic foundation")
        left.set_xlabel("from the bolt, pitches; lines mark the neighbours")
        left.set_ylabel("opening against the bolt's own")
        left.legend(title="width at half height", loc="upper right")
        truth = true_line(line)
        for bolt in range(line.zones):
            shown = bolt == line.zones // 2
            colour, width = (INK, 1.4) if shown else ("#cfcfca", 0.7)
            right.plot(truth.lanes_mm, truth.lip_response[:, bolt], color=colour, lw=width, zorder=2 if shown else 1)
        right.axhline(0.0, color="#c4c4be", lw=0.6)
        right.set_title(f"All {line.zones} bolts of a drawn line: no two are alike")
        right.set_xlabel("across the web, mm")
        right.margins(x=0)
        return png(figure)


def flow_index(line: LineDescription) -> bytes:
    """Droop along the manifold and gain of a lip against the flow index."""
    half_m, radius_m, gap_m, length_m = 0.35, 0.012, 0.6e-3, 0.040
    indices = np.linspace(0.35, 1.0, 27)
    with plt.rc_context(STYLE):
        figure, (along, ends, gains) = plt.subplots(1, 3, figsize=(WIDE, 2.8), layout="constrained")
        for shade, n in zip(SHADES, (0.4, 0.5, 0.6, 0.8), strict=True):
            profile = die.manifold_profile(n, half_m, radius_m, length_m / gap_m ** (2.0 * n + 1.0))
            place = np.linspace(0.0, 1e3 * half_m, profile.size)
            along.plot(place, 100.0 * (profile / profile[0] - 1.0), color=shade, lw=1.2, label=f"n {n:g}")
        along.set_title("Flow along a straight manifold")
        along.set_xlabel("from the feed, mm (R 12 mm)")
        along.set_ylabel("against the feed, %")
        along.legend(loc="lower left")
        for shade, radius_mm in zip(SHADES, (12, 15, 17, 20), strict=True):
            ratio = [
                float(p[-1] / p[0])
                for n in indices
                for p in [die.manifold_profile(n, half_m, radius_mm * 1e-3, length_m / gap_m ** (2.0 * n + 1.0))]
            ]
            ends.plot(indices, 100.0 * (np.array(ratio) - 1.0), color=shade, lw=1.2, label=f"R {radius_mm} mm")
        ends.set_title("Loss at the end, against n")
        ends.set_xlabel("flow index n")
        ends.legend(loc="lower right")
        _gain_against_n(gains, indices)
        return png(figure)


def _gain_against_n(axis: Axes, indices: Array) -> None:
    """Lines are the formula, dots the die's own split of the flow."""
    position = np.abs((np.arange(200) + 0.5) / 200.0 - 0.5) * 2.0
    for shade, share in zip(SHADES, (1.0, 0.6, 0.4, 0.2), strict=True):
        axis.plot(indices, 100.0 * (2.0 + 1.0 / indices) * share / 600.0, color=shade, lw=1.2, label=f"f_lip {share:g}")
        for n in indices[1::5]:
            one = die.build(1.0, 0.6e-3, share, float(n), 0.017, position)
            gap = np.full(200, 600.0)
            gap[100] += 0.1
            split = die.split(die.slot(one, Slurry(12.0, float(n), 1730.0, 0.58)), gap, np.zeros(200)).share
            axis.plot(n, 1000.0 * (split[100] - split[0]), "o", ms=3.5, mfc="white", mec=shade)
    axis.set_title("What 1 um of lip does (H 600 um)")
    axis.set_xlabel("flow index n")
    axis.set_ylabel("local coating, %")
    axis.set_ylim(bottom=0.0)
    axis.legend(loc="upper right", ncols=2)


# --- gauges ---------------------------------------------------------------------------------------------------------

SCANNER_MPS, SCANNER_TURN_S = 0.3, 0.5


def one_moment(line: LineDescription) -> bytes:
    """One piece of web: what is on it, and what each gauge says when it passes."""
    plays = tuple(Play(name) for name in DRIFTS)
    run = record(line, true_line(line), plays, 4.0, 0.1)
    assert line.wet_gauge is not None and line.dry_gauge is not None
    scanned = _with_scanner(line)
    scanner_run = record(scanned, true_line(scanned), plays, 4.0, 0.1)
    place_m = 0.5 * line.dry_gauge.distance_m
    truth_pct = run.true_pct[int(np.searchsorted(run.web_m, place_m))]
    with plt.rc_context(STYLE):
        figure, (top, middle, bottom) = plt.subplots(3, 1, figsize=(WIDE, 6.6), sharex=True, layout="constrained")
        lanes_mm = true_line(line).lanes_mm
        for axis, scans, gauge, colour, name in (
            (top, run.wet, line.wet_gauge, WET, "wet"),
            (middle, run.dry, line.dry_gauge, DRY, "dry"),
            (bottom, scanner_run.dry, scanned.dry_gauge, DRY, "scanning"),
        ):
            assert gauge is not None
            k = int(np.argmin(np.abs(scans.web_m - gauge.distance_m - place_m)))
            boxes_mm = _boxes_mm(line, gauge.boxes)
            once, several = ("pass", "passes over 24 m") if gauge.is_scanner else ("scan", "scans over 6 m")
            _band(axis, line)
            axis.plot(lanes_mm, truth_pct, color=INK, lw=1.3, label="truth: dry areal density")
            axis.plot(
                boxes_mm,
                scans.pct[k],
                ".",
                color=colour,
                ms=5,
                label=f"{name} gauge, one {once}",
            )
            near = np.abs(scans.web_m - gauge.distance_m - place_m) < (12.0 if gauge.is_scanner else 3.0)
            axis.plot(
                boxes_mm,
                scans.pct[near].mean(axis=0),
                color=colour,
                lw=1.0,
                label=f"mean of its {several}",
            )
            late_s = gauge.distance_m / line.web_speed_mps
            unit = "film thickness, blind to solids" if gauge.is_wet else "areal density"
            axis.set_title(f"{name} gauge, {gauge.distance_m:g} m and {late_s:g} s behind the die: {unit}")
            axis.set_ylabel("deviation, %")
            axis.legend(loc="upper right", ncols=3)
            low, high = axis.get_ylim()
            axis.set_ylim(low, high + 0.22 * (high - low))
        bottom.set_xlabel("across the web, mm")
        bottom.margins(x=0)
        return png(figure)


def _with_scanner(line: LineDescription) -> LineDescription:
    """The same line with one head in a zig-zag where its dry array stands."""
    assert line.dry_gauge is not None
    crossing_s = line.web_width_mm * 1e-3 / SCANNER_MPS
    scanner = replace(
        line.dry_gauge, kind=GaugeKind.DRY_SCANNER, period_s=crossing_s + SCANNER_TURN_S, head_speed_mps=SCANNER_MPS
    )
    return replace(line, dry_gauge=scanner)


def _boxes_mm(line: LineDescription, boxes: int) -> Array:
    centres: Array = ((np.arange(boxes) + 0.5) / boxes - 0.5) * line.web_width_mm
    return centres


def _band(axis: Axes, line: LineDescription) -> None:
    axis.axhspan(-line.target.tolerance_pct, line.target.tolerance_pct, color=BAND, lw=0, zorder=0)


# --- signatures -----------------------------------------------------------------------------------------------------

# name, minutes shown, step in s; a size of 1 is as drawn for the line
DISTURBANCES = (
    ("static-profile", 10.0, 1.0),
    ("set-up-offset", 10.0, 1.0),
    ("slow-cd-drift", 60.0, 4.0),
    ("fast-cd-drift", 20.0, 2.0),
    ("white-cd", 0.5, 0.1),
    ("pump-slip-drift", 60.0, 4.0),
    ("solids-drift", 60.0, 4.0),
    ("pump-pulsation", 0.5, 0.1),
)


def disturbances(line: LineDescription) -> bytes:
    """Each drift alone: the mean along the web, and the profile at three moments against the line at rest."""
    shown = replace(quiet_line(line), unevenness_um=true_line(line).unevenness_um)
    at_rest = record(line, shown, (), 0.01, 0.1).true_pct[-1]
    at_rest = at_rest - at_rest.mean()
    with plt.rc_context(STYLE):
        figure, axes = _tiles(len(DISTURBANCES))
        for tile, (name, minutes, dt_s) in enumerate(DISTURBANCES):
            along, across = axes[tile // 2, 2 * (tile % 2) : 2 * (tile % 2) + 2]
            run = record(line, shown, (Play(name),), minutes, dt_s)
            across_pct = run.true_pct - run.true_pct.mean(axis=1, keepdims=True) - at_rest
            unit = 60.0 if minutes > 1.0 else 1.0
            _along(along, run, unit)
            for shade, share in zip(SHADES[2::-1], (0.0, 0.5, 1.0), strict=True):
                row = round(share * (run.t_s.size - 1))
                across.plot(shown.lanes_mm, across_pct[row], color=shade, lw=1.0)
            _reach(along, run.true_pct.mean(axis=1), 0.5)
            _reach(across, across_pct, 0.5)
            _named(along, across, name, CATALOGUE[name].meaning, "min" if unit == 60.0 else "s")
        return png(figure)


# play, the moment whose profile is shown (s)
FAULTS: tuple[tuple[Play, float], ...] = (
    (Play("pump-slip-step", onset_s=60.0, duration_s=90.0, size=2.0), 120.0),
    (Play("web-speed", onset_s=60.0, duration_s=90.0, size=0.5, ramp_s=10.0), 120.0),
    (Play("web-stop", onset_s=60.0, duration_s=60.0, ramp_s=5.0), 50.0),
    (Play("encoder-loss", onset_s=60.0, duration_s=30.0), 50.0),
    (Play("stuck-bolt", onset_s=0.0, at=0.5), 120.0),
    (Play("slow-bolt", onset_s=0.0, at=0.5, size=0.02), 60.0),
    (Play("backlash-growth", onset_s=0.0, at=0.5, size=12.0), 120.0),
    (Play("dead-bolt", onset_s=0.0, at=0.5), 120.0),
    (Play("reversed-bolt", onset_s=0.0, at=0.5), 120.0),
    (Play("lip-stiction", onset_s=0.0, size=4.0), 120.0),
    (Play("feedback-noise", onset_s=60.0, duration_s=90.0, size=1.0), 120.0),
    (Play("roll-run-out", onset_s=60.0, duration_s=90.0, size=1.0), 120.0),
    (Play("streak", onset_s=60.0, duration_s=90.0, at=0.3, width_mm=6.0, size=-20.0), 120.0),
    (Play("bubble", onset_s=120.0, at=0.7, width_mm=10.0, size=100.0), 120.5),
    (Play("filter-clog", onset_s=60.0, duration_s=120.0, ramp_s=90.0, size=200.0), 150.0),
    (Play("tank-level", onset_s=60.0, duration_s=120.0, ramp_s=30.0, size=3.0), 150.0),
    (Play("cd-temperature", onset_s=60.0, ramp_s=60.0, size=1.0), 150.0),
    (Play("slurry-temperature", onset_s=60.0, ramp_s=60.0, size=10.0), 150.0),
    (Play("lip-thermal-bow", onset_s=60.0, ramp_s=60.0, size=0.3), 150.0),
    (Play("heavy-edges", onset_s=60.0, duration_s=90.0, size=8.0, width_mm=15.0), 120.0),
    (Play("threading", onset_s=0.0, duration_s=40.0, size=0.3, ramp_s=10.0), 90.0),
    (Play("splice", onset_s=60.0, duration_s=60.0, size=0.5, ramp_s=10.0), 90.0),
    (Play("patch-coating", onset_s=60.0, duration_s=90.0, size=2.0, gap_m=1.0), 120.0),
    (Play("foil-variation", onset_s=0.0, size=2.0), 200.0),
    (Play("foil-step", onset_s=60.0, size=8.0), 200.0),
    (Play("b-side", onset_s=0.0, size=1.0), 200.0),
    (Play("gauge-drift", onset_s=0.0, size=40.0, every_s=100.0, gauge="wet"), 90.0),
    (Play("gauge-misregistration", onset_s=60.0, ramp_s=1.0, size=40.0, gauge="wet"), 120.0),
    (Play("gauge-bias", onset_s=60.0, duration_s=90.0, size=2.0, gauge="wet"), 120.0),
    (Play("gauge-silent", onset_s=20.0, duration_s=130.0, gauge="wet"), 120.0),
    (Play("gauge-frozen", onset_s=20.0, duration_s=130.0, gauge="wet"), 120.0),
    (Play("gauge-dropout", onset_s=60.0, duration_s=90.0, gauge="wet", from_share=0.3, to_share=0.45), 120.0),
    (Play("gauge-outliers", onset_s=60.0, duration_s=90.0, gauge="wet", size=20.0, chance_pct=3.0), 120.0),
)
FAULT_MINUTES, FAULT_STEP_S = 4.0, 0.5
MOVING = ("web-speed", "web-stop", "encoder-loss", "threading", "splice", "patch-coating")
MOVING_STEP_S = 0.1  # the drive follows speed a step late
DRY_SEES = ("foil-variation", "foil-step", "b-side")
FAULT_REACH_PCT = 5.0
LONG_NAME = 16  # letters: leaves no room for the axis's own words


def faults(line: LineDescription) -> bytes:
    """Each fault on a quiet line whose lips are asked for a bump at 30 s, beside the same line without the fault."""
    healthy = _bump_run(line, ())
    with plt.rc_context(STYLE):
        figure, axes = _tiles(len(FAULTS))
        for tile, (play, at_s) in enumerate(FAULTS):
            along, across = axes[tile // 2, 2 * (tile % 2) : 2 * (tile % 2) + 2]
            run = _bump_run(line, (play,))
            if play.onset_s > 0.0:
                end_s = min(play.onset_s + play.duration_s, 60.0 * FAULT_MINUTES)
                along.axvspan(play.onset_s / 60.0, end_s / 60.0, color="#f0ece4", lw=0, zorder=0)
            _along(along, run, 60.0)
            lanes_mm = true_line(line).lanes_mm
            across.plot(lanes_mm, healthy.true_at(at_s), color="#b9b9b3", lw=2.4)
            across.plot(lanes_mm, run.true_at(at_s), color=INK, lw=1.0)
            seen, colour = (run.dry, DRY) if play.name in DRY_SEES else (run.wet, WET)
            scan = seen.latest(at_s)
            shown = np.clip(scan, -0.95 * FAULT_REACH_PCT, 0.95 * FAULT_REACH_PCT)
            across.plot(_boxes_mm(line, scan.size), shown, ".", color=colour, ms=2.6)
            along.set_ylim(-4.0, 4.0)
            across.set_ylim(-FAULT_REACH_PCT, FAULT_REACH_PCT)
            _named(along, across, play.name, f"{CATALOGUE[play.name].meaning}{_size_words(play)}", "min")
        return png(figure)


def _bump_run(line: LineDescription, plays: tuple[Play, ...]) -> Recording:
    rest = np.full(line.zones, line.die.gap_nominal_um)
    bump = 10.0 * np.exp(-0.5 * ((np.arange(line.zones) - 0.5 * line.zones) / 3.0) ** 2)

    def lips(t_s: float) -> Array:
        return rest + bump if t_s >= 30.0 else rest

    step_s = MOVING_STEP_S if any(play.name in MOVING for play in plays) else FAULT_STEP_S
    return record(line, quiet_line(line), plays, FAULT_MINUTES, step_s, lips)


def _size_words(play: Play) -> str:
    unit = CATALOGUE[play.name].size_unit
    if unit == "not used":
        return ""
    if unit.startswith("percent"):
        return f", {play.size:g} %"
    return f", to {100.0 * play.size:g} %" if unit.startswith("share") else f", {play.size:g} {unit}"


def _tiles(count: int) -> tuple[Any, Any]:
    """Two tiles a row, each an axis along the web and one across it."""
    rows = -(-count // 2)
    figure, axes = plt.subplots(rows, 4, figsize=(WIDE, 1.62 * rows + 0.2), squeeze=False)
    figure.subplots_adjust(left=0.045, right=0.995, top=1.0 - 0.32 / (1.62 * rows), bottom=0.3 / (1.62 * rows),
                           wspace=0.22, hspace=0.72)  # fmt: skip
    for unused in axes.reshape(-1)[2 * count :]:
        unused.remove()
    return figure, axes


def _along(axis: Axes, run: Recording, unit_s: float) -> None:
    """Mean over the width: truth, and both gauges by the time their scans came in."""
    for scans, colour in ((run.wet, WET), (run.dry, DRY)):
        means = scans.mean_pct()
        t_s, means = _with_gaps(scans.t_s, means)
        axis.plot(t_s / unit_s, means, color=colour, lw=0.9)
    axis.plot(run.t_s / unit_s, run.true_pct.mean(axis=1), color=INK, lw=1.1)
    axis.set_xlim(0.0, float(run.t_s[-1]) / unit_s)


def _with_gaps(t_s: Array, values: Array) -> tuple[Array, Array]:
    """Break the line where a gauge fell silent: a straight line over a gap would look like readings."""
    if t_s.size < 3:
        return t_s, values
    gaps = np.flatnonzero(np.diff(t_s) > 5.0 * np.median(np.diff(t_s))) + 1
    return np.insert(t_s, gaps, t_s[gaps]), np.insert(values, gaps, np.nan)


def _reach(axis: Axes, values: Array, least: float) -> None:
    largest = max(1.15 * float(np.nanmax(np.abs(values))), least)
    axis.set_ylim(-largest, largest)


def _named(along: Axes, across: Axes, name: str, meaning: str, unit: str) -> None:
    along.set_title(name, pad=13)
    along.text(0.0, 1.03, meaning, transform=along.transAxes, fontsize=7.5, color="#666662")
    mean_words = f"mean, % over {unit}" if len(name) < LONG_NAME else ""
    for axis, words, height in ((along, mean_words, 1.2), (across, "profile, % over mm", 1.03)):
        axis.axhline(0.0, color="#d5d5d0", lw=0.6, zorder=0)
        axis.text(1.0, height, words, transform=axis.transAxes, fontsize=6.8, color=SOFT, ha="right", va="bottom")
        axis.tick_params(labelsize=7, pad=2, length=2)


# --- a batch change ---------------------------------------------------------------------------------------------------


def batch_change(line: LineDescription) -> bytes:
    """A batch that differs in solids, n and yield stress: the map, the mean as three see it, the profile."""
    plays = (Play("batch-change", onset_s=180.0, front_s=120.0),)
    truth = quiet_line(line)
    run = record(line, truth, plays, 10.0, 0.5)
    reference = run.true_pct[20]
    with plt.rc_context(STYLE):
        figure, (web, mean, profile) = plt.subplots(1, 3, figsize=(WIDE, 2.9), layout="constrained")
        colours, norm = tolerance_colours(line.target.tolerance_pct)
        half = line.web_width_mm / 2.0
        extent = (0.0, 10.0, -half, half)
        shown = (run.true_pct - reference).T
        image = web.imshow(shown, aspect="auto", origin="lower", extent=extent, cmap=colours, norm=norm)
        bar = figure.colorbar(image, ax=web, fraction=0.05, pad=0.02, extend="both")
        bar.outline.set_visible(False)
        web.set_title("Change of the true coating, %")
        web.set_ylabel("across, mm")
        web.set_xlabel("minutes")
        _along(mean, run, 60.0)
        mean.axvspan(3.0, 5.0, color="#f0ece4", lw=0, zorder=0)
        mean.set_title("Mean: truth, wet, dry, %")
        mean.set_xlabel("minutes; the front is shaded")
        old, new = run.true_at(170.0), run.true_at(595.0)
        profile.plot(truth.lanes_mm, old - old.mean(), color="#b9b9b3", lw=2.4, label="old batch")
        profile.plot(truth.lanes_mm, new - new.mean(), color=INK, lw=1.1, label="new batch")
        profile.set_title("Profile without its mean, %")
        profile.set_xlabel("across the web, mm")
        profile.legend(loc="best")
        return png(figure)


# --- physics beside the step ------------------------------------------------------------------------------------------


def beside(line: LineDescription) -> bytes:
    """Six pieces of physics that stand beside the plant's step."""
    with plt.rc_context(STYLE):
        engine = ConstrainedLayoutEngine(h_pad=0.12)
        figure, axes = plt.subplots(2, 3, figsize=(WIDE, 5.2), layout=engine)
        _rheologies(axes[0, 0])
        _levelling(axes[0, 1])
        _window(axes[0, 2])
        _opening(axes[1, 0], line)
        _counting(axes[1, 1])
        _foil(axes[1, 2], line)
        return png(figure)


def _rheologies(axis: Axes) -> None:
    pressures = np.logspace(3.0, 5.7, 60)
    thinning = Carreau(15.0, 0.5, 2.76, 0.6)  # meets the power law between its two plateaus
    slot = (0.6e-3, 0.040)
    laws = (
        ("power law, K 10 n 0.6", [
            rheology.power_law_flow_m2ps(HerschelBulkley(10.0, 0.6), p, *slot) for p in pressures
        ]),
        ("with a yield stress of 20 Pa", [
            rheology.herschel_bulkley_flow_m2ps(HerschelBulkley(10.0, 0.6, 20.0), p, *slot) for p in pressures
        ]),
        ("Carreau", [carreau.flow_m2ps(thinning, p, *slot) for p in pressures]),
    )  # fmt: skip
    for shade, (name, flow) in zip((INK, DRY, WET), laws, strict=True):
        flows = np.array(flow)
        axis.loglog(1e-3 * pressures[flows > 0], 1e4 * flows[flows > 0], color=shade, lw=1.2, label=name)
    axis.set_title("Slot flow, cm2/s over kPa")
    axis.set_ylim(1e-4, 1e2)
    axis.legend(loc="upper left")


def _levelling(axis: Axes) -> None:
    film = WetFilm(150e-6, 5.0, 0.045, 1900.0)
    mm = np.logspace(0.0, 2.0, 100)
    axis.loglog(mm, [levelling.time_s(film, w * 1e-3) for w in mm], color=INK, lw=1.2)
    axis.axhspan(45.0, 180.0, color=BAND, lw=0)
    axis.text(1.1, 90.0, "time in the oven", fontsize=7.5, color="#666662", va="center")
    axis.set_title("Levelling time, s over mm of wavelength")


def _window(axis: Axes) -> None:
    capillary = np.logspace(-4.0, 1.3, 120)
    axis.loglog(capillary, [bead.film_min_m(c, 1.0) for c in capillary], color=INK, lw=1.2, label="full form")
    small = [bead.film_min_small_ca_m(c, 1.0) for c in capillary]
    axis.loglog(capillary, small, color=SOFT, lw=1.0, ls=":", label="small Ca")
    axis.axvspan(bead.CAPILLARY_VALID_MAX, capillary[-1], color=BAND, lw=0)
    axis.text(15.0, 1.4e-3, "outside of\nthe theory:\nelectrode\nslurries", fontsize=7, color="#666662", ha="right")
    axis.set_ylim(1e-3, 5.0)
    axis.set_title("Thinnest film over gap, against Ca")
    axis.legend(loc="upper left")


def _opening(axis: Axes, line: LineDescription) -> None:
    truth = Truth.nominal(line)
    filled = die.slot(truth.die, truth.batches[0])
    flow = line.pump_ratio_nominal_rpm_per_mps * line.web_speed_mps / 60.0 * truth.pump.displacement_m3_per_rev
    compliance = lip_mechanics.CantileverLip(0.040, 0.012).compliance_um_per_pa
    shape = compliance * lip_mechanics.clamshell(truth.die.lane_position, 0.2)
    for shade, share in zip(SHADES[::-1], (0.25, 0.5, 1.0, 2.0), strict=True):
        opened = lip_mechanics.opened_by_pressure(
            filled, _even(line, truth), np.zeros(truth.lanes), share * flow, shape
        )
        axis.plot(truth.lanes_mm, 100.0 * (opened.split.share - 1.0), color=shade, lw=1.2, label=f"{share:g} x flow")
    bow = lip_mechanics.thermal_bow_um(truth.lanes_mm, 0.1, 0.1)
    bowed = _profile_pct(truth, truth.batches[0], _even(line, truth) + bow)
    axis.plot(truth.lanes_mm, bowed, color=DRY, lw=1.0, ls="--", label="0.1 K of bow")
    axis.set_title("A 12 mm lip gives way: profile, %")
    axis.set_xlabel("across the web, mm")
    axis.legend(loc="lower center", ncols=2, fontsize=7)


def _counting(axis: Axes) -> None:
    depth = np.linspace(0.2, 6.0, 120)
    for shade, counts in zip(SHADES, (1e5, 1e6, 1e7), strict=False):
        noise = [100.0 * counting.relative_noise(float(x), counts) for x in depth]
        axis.semilogy(depth, noise, color=shade, lw=1.2, label=f"N0 = 1e{np.log10(counts):.0f}")
    rng = np.random.Generator(np.random.PCG64(1))
    for x in (0.5, 1.0, 2.0, 3.0, 4.5):
        drawn = counting.readings_gsm(np.full(4000, 180.0), x / 180.0, 1e6, rng)
        axis.plot(x, 100.0 * drawn.std() / 180.0, "o", ms=3.5, mfc="white", mec=SHADES[1])
    axis.axvline(counting.BEST_DEPTH, color="#d5d5d0", lw=0.8, zorder=0)
    axis.set_title("Counting noise, % over depth x = mu m")
    axis.legend(loc="upper right", ncols=3, fontsize=7)


def _foil(axis: Axes, line: LineDescription) -> None:
    one = foil.Foil(15.0, foil.ALUMINIUM_KGM3)
    metres = np.arange(400.0)
    thicker = np.where((metres > 150) & (metres < 280), 3.0, 0.0) + 0.3 * np.sin(metres / 9.0)
    target = line.target.areal_density_gsm
    seen = foil.reading_gsm(np.full(metres.size, target), one, thicker, bare_foil_known=False)
    axis.plot(metres, 100.0 * (seen / target - 1.0), color=DRY, lw=1.1, label="gauge, bare foil not known")
    axis.plot(metres, np.zeros(metres.size), color=INK, lw=1.1, label="truth; gauge with bare foil taken off")
    axis.set_ylim(-0.5, 1.6)
    axis.set_title("Foil 3 % thicker (15 um Al), % over m")
    axis.legend(loc="upper left")
