"""The page of a commissioning: what was found beside what the line file says, with intervals, in pictures and words.

evencoat.commission calls `build_page`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt

from controller.commission.identify import Found, described
from controller.core.response import lip_matrix, local_gain_per_um
from controller.line.description import Array, BoolArray, LineDescription
from evencoat import __version__
from evencoat.commissioned import Commissioned
from evencoat.report.figures import BAND, INK, SOFT, STYLE, THICK, THIN, png
from evencoat.report.page import document, escaped, image, section
from evencoat.settings import Settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NORMAL_95 = 1.96
DRAWS = 400


def build_page(settings: Settings, done: Commissioned, path: Path) -> Path:
    """Write the page (in one move) and return its path."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(document(f"commissioning {settings.line.name}", "\n".join(_sections(settings, done))), "utf-8")
    os.replace(part, path)
    return path


def sentences(line: LineDescription, done: Commissioned) -> list[str]:
    """What came of it, in words for whoever signs."""
    outcome, found = done.outcome, done.outcome.found
    said = [
        f"It ended because {outcome.why}: {outcome.line_s / 60.0:.1f} minutes, {outcome.web_m:.0f} m of web, of which "
        f"{outcome.spent_m:.0f} m were out of tolerance or may have been (budget {outcome.budget_m:.0f} m)."
    ]
    if found is None:
        return [*said, "Nothing could be found: too few scans saw the test. Give it a larger budget."]
    for bolts, words in (
        (_numbers(found.delivery == 0.0), "moves as fed back and the web does not notice: the screw turns free"),
        (_numbers(found.delivery == -1.0), "moves the web the wrong way: the drive is wired or mounted the wrong way"),
        (", ".join(str(bolt + 1) for bolt in outcome.stuck), "does not go where it is sent: it is stuck"),
    ):
        if bolts:
            said.append(f"Bolt {bolts}: {words}.")
    if not outcome.enough:
        said.append("Not everything is known as well as asked for; intervals say how well. A larger budget helps.")
    if outcome.enough and len(said) == 1:
        said.append("Every bolt moves the web as it should.")
    return said


def _numbers(which: Array) -> str:
    return ", ".join(str(int(i) + 1) for i in np.flatnonzero(which))


def _sections(settings: Settings, done: Commissioned) -> Iterator[str]:
    line, found = settings.drawn, done.outcome.found
    said = "".join(f"<li>{escaped(sentence)}</li>" for sentence in sentences(line, done))
    yield (
        f'<header><p class="where">{escaped(line.name)} · commissioning</p><h1>What the line is, beside what its file '
        f'says</h1><ul class="said">{said}</ul></header>'
    )
    if found is None:
        return
    yield section("Figures", "Intervals are 95 %.", _table(line, found))
    yield section(
        "Response to one bolt",
        "What a micrometre of one bolt in the middle does to the coating over the width: as the line file has it "
        "(dotted) and as found, with its interval. The mean stays where it is: lips share the flow out.",
        image(_response(line, found), "profile per micrometre of one bolt, described and found"),
    )
    yield section(
        "Bolts",
        "Above, each bolt's pull against its neighbours', and play below; bars are intervals. Brown: does not move the "
        "web as it should.",
        image(_bolts(found, done.outcome.stuck), "gain and play of every bolt"),
    )
    yield f"<footer>evencoat {__version__}. Found from data of the bus alone.</footer>"


def rows(line: LineDescription, found: Found) -> list[tuple[str, str, str, str]]:
    """Name, as described, as found, interval."""
    die = line.die
    wet, near = line.wet_gauge is not None, line.primary_gauge
    shift, pitch = found.shift_pitches, die.zone_pitch_mm
    table = [
        _row("gain, percent of coating for 1 um", 100.0 * local_gain_per_um(line), found.gain, found.gain_sd),
        ("kernel, full width at half height, pitches", f"{die.kernel_fwhm_pitches:.2f}",
         f"{found.kernel_fwhm_pitches:.2f}", _interval(found.kernel_fwhm_pitches, found.kernel_sd, 2)),
        ("kernel, size of the negative lobe (beam: 1)", f"{die.kernel_lobe:.2f}", f"{found.lobe:.2f}",
         _interval(found.lobe, found.lobe_sd, 2)),
        ("alignment, mm", f"{die.alignment_shift_mm:.1f} ± {die.alignment_uncertainty_mm:.1f}",
         f"{shift * pitch:.2f}", _interval(shift * pitch, found.shift_sd * pitch, 2)),
        ("alignment, pitches", f"{die.alignment_shift_mm / pitch:.2f}", f"{shift:.3f}",
         _interval(shift, found.shift_sd, 3)),
        ("stretch, percent", f"{die.alignment_stretch_pct:.2f}", f"{found.stretch_pct:.2f}",
         _interval(found.stretch_pct, found.stretch_sd, 2)),
        (f"{'wet' if wet else 'dry'} gauge, m after the die", f"{near.distance_m:.2f}", f"{found.distance_m:.3f}",
         _interval(found.distance_m, found.distance_sd_m, 3)),
    ]  # fmt: skip
    if found.other_m is not None and found.other_sd_m is not None and line.dry_gauge is not None:
        interval = _interval(found.other_m, found.other_sd_m, 2)
        table.append(
            ("dry gauge, m after the die", f"{line.dry_gauge.distance_m:.2f}", f"{found.other_m:.2f}", interval)
        )
    table += [
        ("play, median of the bolts, um", f"{line.lips.backlash_um:.2f}", f"{np.median(found.play_um):.2f}", ""),
        ("pump, share of its change that the mean shows", "1.00", f"{found.pump_gain:.2f}",
         _interval(found.pump_gain, found.pump_gain_sd, 2)),
        ("pump, lag of its drive, s", "", f"{found.pump_lag_s:.2f}", ""),
        ("misfit of a zone in a scan, percent", "", f"{100.0 * found.misfit_log:.2f}", ""),
    ]  # fmt: skip
    return table


def _row(name: str, drawn: float, factor: float, sd: float) -> tuple[str, str, str, str]:
    return name, f"{drawn:.4f}", f"{drawn * factor:.4f}", _interval(drawn * factor, drawn * sd, 4)


def _interval(value: float, sd: float, digits: int) -> str:
    half = NORMAL_95 * sd
    return f"{value - half:.{digits}f} … {value + half:.{digits}f}"


def _table(line: LineDescription, found: Found) -> str:
    head = "<tr><th>what</th><th>line file</th><th>found</th><th>95 % interval</th></tr>"
    body = "".join(
        f"<tr><td>{escaped(name)}</td><td>{escaped(drawn)}</td><td>{escaped(got)}</td><td>{escaped(interval)}</td></tr>"
        for name, drawn, got, interval in rows(line, found)
    )
    return f'<div class="scroll"><table>{head}{body}</table></div>'


def _profile(line: LineDescription, die: Any, bolt: int) -> Array:
    from dataclasses import replace

    column = lip_matrix(die)[:, bolt]
    profile: Array = 100.0 * local_gain_per_um(replace(line, die=die)) * (column - column.mean())
    return profile


def _response(line: LineDescription, found: Found) -> bytes:
    """A healthy bolt near the middle, drawn from the posterior of the shared parameters."""
    healthy = np.flatnonzero(found.delivery == 1.0)
    bolt = int(healthy[np.argmin(np.abs(healthy - line.zones / 2))])
    rng = np.random.default_rng(0)
    samples = rng.multivariate_normal(found.shared, found.shared_covariance, DRAWS)
    logs = np.log(found.bolt_gains)
    draws = [_profile(line, described(line.die, sample, logs, found.delivery), bolt) for sample in samples]
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    zones = np.arange(1, line.zones + 1)
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(10.4, 3.0), layout="constrained")
        axis.axhline(0.0, color=BAND, lw=1.0)
        axis.plot(zones, _profile(line, line.die, bolt), ":", color=SOFT, lw=1.6, label="line file")
        axis.fill_between(zones, low, high, color=THIN[0], lw=0, label="found, 95 %")
        axis.plot(zones, _profile(line, found.die, bolt), color=THIN[1], lw=1.4, label="found")
        axis.set_xlabel(f"zone (bolt {bolt + 1} moves)")
        axis.set_ylabel("percent for 1 um")
        axis.set_xlim(max(1, bolt - 10), min(line.zones, bolt + 12))
        axis.legend()
        return png(figure)


def _bolts(found: Found, stuck: tuple[int, ...]) -> bytes:
    bad: BoolArray = found.delivery < 1.0
    bad[list(stuck)] = True
    bolts = np.arange(1, bad.size + 1)
    with plt.rc_context(STYLE):
        figure, (gain, play) = plt.subplots(2, 1, figsize=(10.4, 4.4), sharex=True, layout="constrained")
        gain.axhline(1.0, color=BAND, lw=1.0)
        _bars(gain, bolts, found.bolt_gains * found.delivery, found.bolt_gain_sd, bad)
        gain.set_ylabel("pull against neighbours'")
        _bars(play, bolts, found.play_um, found.play_sd_um, bad)
        play.set_ylabel("play, um")
        play.set_ylim(bottom=0.0)
        play.set_xlabel("bolt")
        return png(figure)


def _bars(axis: Axes, bolts: npt.NDArray[np.int_], values: Array, sd: Array, bad: BoolArray) -> None:
    for which, colour in ((~bad, INK), (bad, THICK[1])):
        axis.errorbar(
            bolts[which], values[which], NORMAL_95 * sd[which], fmt="o", ms=3.5, lw=1.0, color=colour, ecolor=colour
        )
