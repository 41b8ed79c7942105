"""A finished run as the report sees it: what was coated, what the controllers did, and what the figures say.

Only the report imports this. It reads a run's folder: summary.json, and for each controller a folder of its name with
truth.npz and journal.sqlite. It needs neither plant nor bus.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.line.description import Array, LineDescription
from evencoat.journal import Event, JournalError, JournalReader
from evencoat.recording import load_truth
from evencoat.settings import Settings, SettingsError, load_line, read_line

Float32 = npt.NDArray[np.float32]

MAP_COLUMNS = 900  # web pieces in a roll map: finer than a screen shows
FINAL_M = 30.0  # the last metres of web that "final profile" means


class ReportError(Exception):
    """The folder is no run: what is missing, in words."""


@dataclass(frozen=True, slots=True)
class ControllerRun:
    """One controller's part of a run. Row k left the die at `t_s[k]` and covers `ds_m[k]` of web.

    deviation_pct: (rows, lanes), of each lane's own target. journal: columns of the cycle journal, or None for a
    controller that kept none.
    """

    name: str
    metrics: dict[str, Any]
    t_s: Array
    web_m: Array
    ds_m: Array
    deviation_pct: Float32
    journal: dict[str, npt.NDArray[Any]] | None = None
    events: tuple[Event, ...] = ()

    @property
    def mean_pct(self) -> Array:
        """Deviation of the mean over the width, (rows,), percent."""
        mean: Array = self.deviation_pct.mean(axis=1, dtype=np.float64)
        return mean

    @property
    def unevenness_pct(self) -> Array:
        """Standard deviation over the width, (rows,), percent."""
        spread: Array = self.deviation_pct.std(axis=1, dtype=np.float64)
        return spread

    def profile_pct(self, first: bool = False) -> Array:
        """Deviation over the width, (lanes,), of the last metres coated, or of the first."""
        coated = np.flatnonzero(self.ds_m > 0.0)
        if not coated.size:
            return np.full(self.deviation_pct.shape[1], np.nan)
        metres = np.cumsum(self.ds_m[coated])
        near = metres <= max(FINAL_M, metres[0]) if first else metres >= metres[-1] - FINAL_M
        profile: Array = self.deviation_pct[coated[near]].mean(axis=0, dtype=np.float64)
        return profile

    def roll_map(self, columns: int = MAP_COLUMNS) -> tuple[Array, float, float]:
        """Deviation by lane and piece of web, (lanes, columns), with the web position of both ends, m.

        Every piece is the mean over its web; pieces in which nothing was coated are NaN.
        """
        start, end = float(self.web_m[0]), float(self.web_m[-1])
        columns = max(1, min(columns, self.web_m.size // 2))
        piece = np.clip(((self.web_m - start) / max(end - start, 1e-9) * columns).astype(int), 0, columns - 1)
        weight = np.bincount(piece, self.ds_m, minlength=columns)
        lanes = self.deviation_pct.shape[1]
        total = np.zeros((columns, lanes))
        np.add.at(total, piece, self.deviation_pct * self.ds_m[:, None])
        with np.errstate(invalid="ignore", divide="ignore"):
            mean: Array = (total / weight[:, None]).T
        return mean, start, max(end, start + 1e-3)


@dataclass(frozen=True, slots=True)
class RunData:
    """A run: its summary, its line, and its controllers in the summary's order."""

    summary: dict[str, Any]
    settings: Settings
    controllers: tuple[ControllerRun, ...]
    notes: tuple[str, ...] = field(default=())  # what could not be read

    @property
    def line(self) -> LineDescription:
        return self.settings.line

    @property
    def tolerance_pct(self) -> float:
        return self.line.target.tolerance_pct

    @property
    def main(self) -> ControllerRun:
        """The controller the report is about: the one over the bus, else the one with the least sigma."""
        chosen = self.summary.get("over_the_bus")
        for run in self.controllers:
            if run.name == chosen:
                return run
        return min(self.controllers, key=lambda run: float(run.metrics.get("sigma_total_pct", np.inf)))

    def named(self, name: str) -> ControllerRun | None:
        """A controller by name, or None where the run has none of that name."""
        return next((run for run in self.controllers if run.name == name), None)


def load_run(run_dir: Path) -> RunData:
    """Read a run's folder. Raises ReportError naming what is missing; a lost journal is only a note."""
    summary = _summary(run_dir)
    journals = {name: _journal(run_dir / name / "journal.sqlite") for name in summary["controllers"]}
    settings = _settings(summary, run_dir)
    controllers, notes = [], []
    for name, metrics in summary["controllers"].items():
        columns, events, note = journals[name]
        if note:
            notes.append(f"{name}: {note}")
        controllers.append(_controller(run_dir / name, name, metrics, settings.line, columns, events))
    return RunData(summary, settings, tuple(controllers), tuple(notes))


def _summary(run_dir: Path) -> dict[str, Any]:
    path = run_dir / "summary.json"
    try:
        summary: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ReportError(f"{path}: {error}") from error
    if not isinstance(summary, dict) or not summary.get("controllers") or "line" not in summary:
        raise ReportError(f"{path}: needs at least the keys line and controllers, with one controller")
    return summary


def _settings(summary: dict[str, Any], run_dir: Path) -> Settings:
    """The line as the journal kept it, else the shipped line of that name."""
    for name in summary["controllers"]:
        path = run_dir / name / "journal.sqlite"
        try:
            with JournalReader(path) as reader:
                return read_line(reader.settings_text, path)
        except (JournalError, SettingsError):
            continue
    try:
        return load_line(str(summary["line"]))
    except SettingsError as error:
        raise ReportError(f"{run_dir}: no journal tells the line's settings, and {error}") from error


def _journal(path: Path) -> tuple[dict[str, npt.NDArray[Any]] | None, tuple[Event, ...], str]:
    if not path.exists():
        return None, (), ""
    try:
        with JournalReader(path) as reader:
            columns = reader.cycles()
            return (columns if columns["cycle"].size else None), tuple(reader.events()), ""
    except JournalError as error:
        return None, (), str(error)


def _controller(
    folder: Path,
    name: str,
    metrics: dict[str, Any],
    line: LineDescription,
    columns: dict[str, npt.NDArray[Any]] | None,
    events: tuple[Event, ...],
) -> ControllerRun:
    path = folder / "truth.npz"
    try:
        truth = load_truth(path)
        density = truth["areal_density_gsm"]
        t_s, web_m, ds_m = (np.asarray(truth[key], dtype=np.float64) for key in ("t_s", "web_m", "ds_m"))
    except (OSError, ValueError, KeyError) as error:
        raise ReportError(f"{path}: cannot be read ({error})") from error
    if density.ndim != 2 or not density.shape[0] == t_s.size == web_m.size == ds_m.size or not t_s.size:
        raise ReportError(f"{path}: arrays of different length, or none")
    lanes = density.shape[1]
    zone_of_lane = np.minimum((np.arange(lanes) + 0.5) * line.zones / lanes, line.zones - 1).astype(int)
    target = line.target_profile_gsm[zone_of_lane] * _asked_for(line, t_s, columns)[:, None]
    deviation_pct = 100.0 * (density / target.astype(np.float32) - 1.0)
    return ControllerRun(name, metrics, t_s, web_m, ds_m, deviation_pct, columns, events)


def _asked_for(
    line: LineDescription, t_s: npt.NDArray[Any], columns: dict[str, npt.NDArray[Any]] | None
) -> npt.NDArray[Any]:
    """What the target was, over the line file's, when each metre was laid: (rows,)."""
    if columns is None:
        return np.ones(t_s.size)
    told: npt.NDArray[Any] = np.interp(t_s, columns["t_line_ns"] / 1e9, columns["target_gsm"])
    return told / float(line.target_profile_gsm.mean())
