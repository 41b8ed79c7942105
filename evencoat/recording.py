"""The true web of a simulated run, kept while it runs, saved beside the journal, and judged from either.

Written by whoever advances a plant (evencoat.simulate, the plant process); read by scoring and reports.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from controller.line.description import Array, LineDescription
from evencoat.league.metrics import TrueWeb

BLOCK_ROWS = 4096


class TruthRecorder:
    """Collects (t_s, web_m, ds_m, areal density of every lane) row by row. Grows in blocks; float32 for the lanes."""

    def __init__(self, lanes: int) -> None:
        self._scalars = np.zeros((BLOCK_ROWS, 4))
        self._lanes = np.zeros((BLOCK_ROWS, lanes), dtype=np.float32)
        self._rows = 0

    def add(self, t_s: float, web_m: float, ds_m: float, travel_um: float, areal_density_gsm: Array) -> None:
        """One step of the plant: what was coated on the `ds_m` of web that left the die in it.

        travel_um is the mean way that the bolts have gone since the start.
        """
        if self._rows == self._scalars.shape[0]:
            self._scalars = np.concatenate((self._scalars, np.zeros_like(self._scalars)))
            self._lanes = np.concatenate((self._lanes, np.zeros_like(self._lanes)))
        row = self._scalars[self._rows]
        row[0], row[1], row[2], row[3] = t_s, web_m, ds_m, travel_um
        self._lanes[self._rows] = areal_density_gsm
        self._rows += 1

    @property
    def rows(self) -> int:
        return self._rows

    @property
    def bolt_travel_um(self) -> float:
        """Mean way of a bolt so far, um."""
        return float(self._scalars[self._rows - 1, 3]) if self._rows else 0.0

    def arrays(self) -> dict[str, Any]:
        """t_s, web_m, ds_m, bolt_travel_um (rows,) and areal_density_gsm (rows, lanes)."""
        kept = self._scalars[: self._rows]
        return {
            "t_s": kept[:, 0],
            "web_m": kept[:, 1],
            "ds_m": kept[:, 2],
            "bolt_travel_um": kept[:, 3],
            "areal_density_gsm": self._lanes[: self._rows],
        }

    def save(self, path: Path) -> None:
        """Write `path` (.npz) in one move: a reader sees the old file or the whole new one."""
        _replace(path, lambda part: np.savez_compressed(part, **self.arrays()))


def load_truth(path: Path) -> dict[str, Any]:
    """The arrays of a saved recording. Raises OSError or ValueError when there is none."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def true_web(line: LineDescription, truth: dict[str, Any], batch_changes_s: tuple[float, ...]) -> TrueWeb:
    """What scoring judges: the recording, with each lane's target and the line's tolerance."""
    lanes = truth["areal_density_gsm"].shape[1]
    zone_of_lane = np.minimum((np.arange(lanes) + 0.5) * line.zones / lanes, line.zones - 1).astype(int)
    return TrueWeb(
        t_s=truth["t_s"],
        ds_m=truth["ds_m"],
        areal_density_gsm=truth["areal_density_gsm"],
        target_gsm=line.target_profile_gsm[zone_of_lane],
        tolerance_pct=line.target.tolerance_pct,
        batch_changes_s=batch_changes_s,
    )


def _replace(path: Path, write: Callable[[Path], None]) -> None:
    part = path.with_name(f".{path.name}.part.npz")
    write(part)
    os.replace(part, path)
