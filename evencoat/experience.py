"""What a line's own journals hold for training: what its network was shown, what was believed, and what came.

Truth here is what the plant itself has: a batch's step as the estimate found it, with its doubt and without what was
expected of it; and what the truest gauge read of each metre later, noise and all. The last third of each journal's web
is kept to judge by.
"""

from __future__ import annotations

import hashlib
import math
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from controller.core.foresight import SIGNAL_MOST
from controller.core.network import BATCH_TAPS, MEAN_TAPS
from controller.line.description import Array
from evencoat.journal import JournalError, JournalReader

if TYPE_CHECKING:
    from controller.learn.further import Announced, Lived, Stretch

Columns = dict[str, npt.NDArray[Any]]

COLUMNS = (
    "t_line_ns", "web_m", "batch", "batch_shown", "batch_foretold_pct", "batch_foretold_sd_pct", "batch_step_pct",
    "batch_step_sd_pct", "guest_shown", "guest_missed_pct", "guest_missed_m",
)  # fmt: skip
LATER_SHARE = 1.0 / 3.0  # of each journal's web, at its end
BREAK_S = 10.0  # of line time without a look: what comes after is another stretch
SETTLING, SETTLING_S = 1.5, 60.0  # dead times, and seconds, that do not count at a stretch's beginning
FOUND_SHARE = 0.5  # of the variance that was expected: a step found no better than this tells nothing
GAPS = 3.0  # of the usual distance from one metre that the gauge told of to the next: further apart nothing is known


class ExperienceError(Exception):
    """A run that nothing can be learnt from: which, and what is missing."""


@dataclass(frozen=True, slots=True)
class Told:
    """One journal. sha256 is that of what was read of it, not of the file, which changes when it is tidied."""

    journal: Path
    line: str
    journal_id: str
    sha256: str
    earlier: Lived
    later: Lived

    @property
    def card(self) -> dict[str, str]:
        """What a model's card says of it."""
        return {"line": self.line, "journal_id": self.journal_id, "sha256": self.sha256}


def lived(runs: Sequence[Path]) -> list[Told]:
    """What all of these run folders or journals hold. Raises ExperienceError naming the run and what it lacks."""
    told = [_read(journal) for run in runs for journal in journals_of(run)]
    for number, one in enumerate(told):
        if any(one.sha256 == before.sha256 for before in told[:number]):
            raise ExperienceError(f"{one.journal}: holds the same as one that was named before; name each run once")
    return told


def journals_of(run: Path) -> list[Path]:
    """The journals of a run: the file itself, the folder's own, or those of the law `neural` below it."""
    if run.is_file():
        return [run]
    if (run / "journal.sqlite").is_file():
        return [run / "journal.sqlite"]
    below = sorted(run.glob("*/journal.sqlite"))
    if not run.is_dir() or not below:
        raise ExperienceError(f"{run}: no journal.sqlite is in it; name a run's folder or its journal")
    neural = [path for path in below if path.parent.name == "neural"]
    if not neural:
        names = ", ".join(path.parent.name for path in below)
        raise ExperienceError(f"{run}: the law neural did not run; it has journals of {names}")
    return neural


def _read(path: Path) -> Told:
    from controller.learn.further import Lived

    try:
        with JournalReader(path) as reader:
            looks, meta = reader.looks(COLUMNS), reader.meta
    except (JournalError, sqlite3.Error) as error:
        raise ExperienceError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    if not looks["web_m"].size:
        raise ExperienceError(
            f"{path}: batch_shown and guest_shown are empty: no batch was announced and no network stood beside; "
            "it must have been run by the law neural with a model"
        )
    passed_m = np.cumsum(np.maximum(np.diff(looks["web_m"], prepend=looks["web_m"][:1]), 0.0))
    later = passed_m > (1.0 - LATER_SHARE) * passed_m[-1]
    parts = (Lived(_batches(looks, part), tuple(_stretches(looks, part))) for part in (~later, later))
    return Told(path, meta["line"], meta["journal_id"], _digest(looks), *parts)


def _digest(looks: Columns) -> str:
    parts = hashlib.sha256()
    for name in COLUMNS:
        parts.update(np.ascontiguousarray(looks[name]).tobytes())
    return parts.hexdigest()


def _batches(looks: Columns, part: npt.NDArray[np.bool_]) -> Announced:
    """The batches that were announced in a part of the journal, after at least one whose step was known, and found."""
    from controller.learn.further import Announced

    shown = looks["batch_shown"].astype(np.float64)
    changes = (np.diff(looks["batch"], prepend=0) != 0) | (np.diff(shown[:, 0], prepend=np.nan) != 0.0)
    begins = np.flatnonzero(changes & np.isfinite(shown).all(axis=1))
    ends = np.append(np.flatnonzero(changes), changes.size)
    rows = []
    for first in begins[part[begins]].tolist():
        last = int(ends[np.searchsorted(ends, first, side="right")]) - 1
        found = _found(
            looks["batch_foretold_pct"], looks["batch_foretold_sd_pct"],
            looks["batch_step_pct"], looks["batch_step_sd_pct"], first, last,
        )  # fmt: skip
        if shown[first, BATCH_TAPS] > 0.0 and found is not None:
            rows.append((shown[first], *found))
    known = np.array([row[0] for row in rows]).reshape(-1, shown.shape[1])
    steps = np.array([row[1:] for row in rows]).reshape(-1, 2)
    return Announced(known[:, :BATCH_TAPS], known[:, BATCH_TAPS:], steps[:, 0], steps[:, 1])


def _found(
    foretold: Array, foretold_sd: Array, step: Array, step_sd: Array, first: int, last: int
) -> tuple[float, float] | None:
    """What a batch brought, percent, and its variance, what was expected of it taken out (products of Gaussians); None
    where not much more was found than that."""
    prior2, found2 = float(foretold_sd[first]) ** 2, max(float(step_sd[last]) ** 2, 1e-6)
    if not found2 < FOUND_SHARE * prior2:  # NaN is not
        return None
    variance = 1.0 / (1.0 / found2 - 1.0 / prior2)
    return variance * (float(step[last]) / found2 - float(foretold[first]) / prior2), variance


def _stretches(looks: Columns, part: npt.NDArray[np.bool_]) -> Iterator[Stretch]:
    """Web that passed without a break in a part of the journal while a network stood beside."""
    from controller.learn.further import Stretch

    beside: npt.NDArray[np.bool_] = np.asarray(np.isfinite(looks["guest_shown"]).all(axis=1))
    after_s = np.diff(looks["t_line_ns"], prepend=0) * 1e-9
    broken = (after_s <= 0.0) | (after_s > BREAK_S) | (np.diff(looks["web_m"], prepend=-np.inf) < -1.0) | ~beside
    for whole in np.split(np.arange(broken.size), np.flatnonzero(broken)):
        rows = whole[beside[whole]]
        if rows.size < 2:
            continue
        shown = looks["guest_shown"][rows].astype(np.float64)
        far_s = 60.0 * math.exp(shown[0, MEAN_TAPS])
        missed = _missed(*(looks[name][rows] for name in ("web_m", "guest_missed_m", "guest_missed_pct")))
        since_s = (looks["t_line_ns"][rows] - looks["t_line_ns"][rows[0]]) * 1e-9
        missed[since_s < SETTLING * far_s + SETTLING_S] = np.nan
        here = part[rows]
        if np.isfinite(missed[here]).any():
            yield Stretch(shown[here, :MEAN_TAPS], shown[here, MEAN_TAPS:], missed[here], far_s)


def _missed(web_m: Array, told_m: Array, told_pct: Array) -> Array:
    """What was missed of the web at the die at each look, percent, from what the gauge told later of the metres about
    it; NaN where it told nothing near, where that was a fault, and while the web stood."""
    known = np.isfinite(told_pct) & (np.abs(told_pct) < 99.0 * SIGNAL_MOST)
    metres, first = np.unique(told_m[known], return_index=True)
    if metres.size < 3:
        return np.full(web_m.size, np.nan)
    missed: Array = np.interp(web_m, metres, told_pct[known][first], left=np.nan, right=np.nan)
    gaps = np.diff(metres)
    here = np.clip(np.searchsorted(metres, web_m, side="right") - 1, 0, gaps.size - 1)
    missed[(gaps[here] > GAPS * np.median(gaps)) | (np.diff(web_m, prepend=-np.inf) <= 0.0)] = np.nan
    return missed
