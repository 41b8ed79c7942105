"""The web between the die and the last gauge: what was coated, kept by web position. Imported inside plant_sim only.

A gauge reads what left the die `distance_m` of web earlier, so its delay is the integral of speed whatever the speed
did. The oven is a pure delay and shrinkage (ripples at lip scale take minutes to level), so the dry areal density is
known at the die already.

Rows are appended and never changed while anybody may look at them: what comes out of the die gathers until it is
`row_min_m` long, then becomes a row. So a slow web needs no more memory than a fast one, and older states of a plant
stay usable. Row 0 stands for all foil before the first coating.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.line.description import Array
from plant_sim.compiled import compiled, put

# columns of a row beside its lanes
END_M, COATED, UM_PER_GSM, UNDER_GSM, FOIL_CD, BACK_CD = range(6)
COLUMNS = 6
ROUNDING_M = 1e-7
COATED_ENOUGH = 0.3  # share of a stretch that must be coated for a gauge to know it


def capacity(keep_m: float, row_min_m: float) -> int:
    """Rows that hold keep_m of web however slow it runs, with room to append to before anything must be moved."""
    needed = int(keep_m / row_min_m) + 8
    return needed + needed // 4 + 64


@compiled
def gather(
    waiting: Array, profile: Array, lengths_m: tuple[float, float], marks: tuple[float, ...], areal: Array
) -> None:
    """Add a step's web to what waits to become a row.

    waiting: length, coated length, then the marks' integrals (scratch of a state); profile: the integral of areal
    density over coated length, shape (lanes,). lengths_m: of all web, and of coated web; marks: um a g/m2, and what
    lies under the coating; areal: g/m2 of the coated part, shape (lanes,).
    """
    length_m, coated_m = lengths_m
    waiting[0] += length_m
    waiting[1] += coated_m
    waiting[2] += coated_m * marks[0]
    waiting[3] += length_m * marks[1]
    waiting[4] += length_m * marks[2]
    waiting[5] += length_m * marks[3]
    if coated_m > 0.0:
        for i in range(profile.size):
            profile[i] += coated_m * areal[i]


@compiled
def append(rows: Array, profiles: Array, end: int, web_m: float, waiting: Array, profile: Array) -> None:
    """Write what has gathered as row `end`, which ends at web_m, and start gathering anew."""
    length_m, coated_m = waiting[0], waiting[1]
    row, lanes = rows[end], profiles[end]
    row[END_M] = web_m
    row[COATED] = coated_m / length_m
    row[UM_PER_GSM] = waiting[2] / coated_m if coated_m > 0.0 else 0.0
    row[UNDER_GSM] = waiting[3] / length_m
    row[FOIL_CD] = waiting[4] / length_m
    row[BACK_CD] = waiting[5] / length_m
    part = 1.0 / coated_m if coated_m > 0.0 else 0.0
    for i in range(profile.size):
        lanes[i] = profile[i] * part
        profile[i] = 0.0
    waiting[:] = 0.0


@compiled
def forget(rows: Array, profiles: Array, first: int, end: int) -> int:
    """Move rows first..end to the front, in place; returns how many there are."""
    kept = end - first
    for r in range(kept):
        put(rows[first + r], rows[r])
        put(profiles[first + r], profiles[r])
    return kept


@compiled
def row_at(rows: Array, end: int, cursor: int, at_m: float) -> int:
    """The row that holds what comes right after at_m, searched from `cursor` on; `end` when it is not made yet.

    A stretch that starts where a row ends must not take in a sliver of that row because of rounding.
    """
    while cursor < end and rows[cursor, END_M] <= at_m + ROUNDING_M:
        cursor += 1
    return cursor


@compiled
def look(
    rows: Array,
    profiles: Array,
    end: int,
    cursor: int,
    from_m: float,
    to_m: float,
    film: bool,
    seen: Array,
    under: Array,
) -> float:
    """Mean over web positions (from_m, to_m] of coated web, weighted by length: an integrating gauge's view.

    Fills `seen`, shape (lanes,), um of film or g/m2, and `under`: mean g/m2 under the coating, and sizes of the two
    shapes that lie there. `cursor` is row_at(from_m); with from_m = to_m that row alone is seen. Returns the share of
    the stretch that is coated; below COATED_ENOUGH nothing is filled in but `under`.
    """
    seen[:] = 0.0
    under[:] = 0.0
    if cursor >= end:
        return 0.0
    at_m, length_m, coated_m = from_m, 0.0, 0.0
    for r in range(cursor, end):
        row = rows[r]
        part_m = min(row[END_M], to_m) - at_m
        if r == cursor and part_m <= 0.0:
            part_m = ROUNDING_M
        elif to_m - at_m <= ROUNDING_M:
            break
        at_m = row[END_M]
        length_m += part_m
        for k in range(3):
            under[k] += part_m * row[UNDER_GSM + k]
        weight = part_m * row[COATED]
        if weight > 0.0:
            coated_m += weight
            if film:
                weight *= row[UM_PER_GSM]
            lanes = profiles[r]
            for i in range(seen.size):
                seen[i] += weight * lanes[i]
        if at_m >= to_m:
            break
    for k in range(3):
        under[k] /= length_m
    if coated_m > 0.0:
        for i in range(seen.size):
            seen[i] /= coated_m
    return coated_m / max(to_m - from_m, length_m)


class Rows:
    """Storage that all states of one line share. `used`: rows written so far; only its newest state may append."""

    __slots__ = ("marks", "profiles", "used")

    def __init__(self, count: int, lanes: int):
        self.marks = np.zeros((count, COLUMNS))
        self.profiles = np.zeros((count, lanes))
        self.used = 1


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Mean of a stretch of web, shape (lanes,) each, NaN when too little of it is coated."""

    coated: bool
    areal_gsm: Array
    film_um: Array


class Web:
    """A web by itself, each coating a row of its own: for oracles, pictures and tests of what the step builds on."""

    def __init__(self, lanes: int) -> None:
        self.web_m = 0.0
        self._rows = Rows(1024, lanes)

    def coat(self, length_m: float, areal_gsm: Array, gsm_per_um: float, coated_m: float | None = None) -> None:
        """Append length_m (> 0) of web, coated_m of it with a lane profile, shape (lanes,); zeros are bare foil."""
        rows = self._rows
        if rows.used == rows.marks.shape[0]:
            rows = Rows(2 * rows.used, rows.profiles.shape[1])
            rows.marks[: rows.marks.shape[0] // 2] = self._rows.marks
            rows.profiles[: rows.marks.shape[0] // 2] = self._rows.profiles
            rows.used = self._rows.used
            self._rows = rows
        waiting, profile = np.zeros(COLUMNS), np.zeros(rows.profiles.shape[1])
        covered_m = (length_m if areal_gsm.any() else 0.0) if coated_m is None else coated_m
        gather(waiting, profile, (length_m, covered_m), (1.0 / gsm_per_um, 0.0, 0.0, 0.0), areal_gsm)
        self.web_m += length_m
        append(rows.marks, rows.profiles, rows.used, self.web_m, waiting, profile)
        rows.used += 1

    def read(self, from_m: float, to_m: float) -> Stretch:
        """Mean over web positions (from_m, to_m]; with from_m = to_m the row that holds the position."""
        rows, under = self._rows, np.empty(3)
        before_m = from_m if to_m > from_m else from_m - 2.0 * ROUNDING_M
        cursor = row_at(rows.marks, rows.used, 0, before_m)
        views = []
        for film in (False, True):
            seen = np.empty(rows.profiles.shape[1])
            share = look(rows.marks, rows.profiles, rows.used, cursor, from_m, to_m, film, seen, under)
            views.append(seen if share >= COATED_ENOUGH else np.full(seen.size, np.nan))
        return Stretch(share >= COATED_ENOUGH, *views)
