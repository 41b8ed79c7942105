"""Which cells to cut out: a bound on the chance of being out of tolerance, marks by lane, stretches for people.

Only evencoat.passport imports this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from controller.line.description import BoolArray
from evencoat.passport.web import Float32

BOUND = 0.02  # a cell is marked when its chance of being out of tolerance is above this; docs/passport.md has figures
NEAR_M = 5  # marks that lie nearer along the web, in the same or neighbouring lanes, are one stretch for people


@dataclass(frozen=True, slots=True)
class Mark:
    """To be cut out: one zone, from metre to metre (half open), counted from the roll's first metre."""

    zone: int
    from_m: int
    to_m: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """Marks that hang together: the rectangle about them, and how many cells of it are marked."""

    from_m: int
    to_m: int
    first_zone: int
    last_zone: int
    cells: int
    worst_pct: float


def marked(chance: Float32, coated: BoolArray, bound: float = BOUND) -> BoolArray:
    """Cells to cut out, (metres, zones). Bare foil is no scrap: it was meant to be bare."""
    cells: BoolArray = (chance > bound) & coated[:, None]
    return cells


def marks(cells: BoolArray) -> list[Mark]:
    """The same as stretches of single zones, by zone and then along the web."""
    edges = np.diff(np.pad(cells.astype(np.int8), ((1, 1), (0, 0))), axis=0)
    begins, ends = np.argwhere(edges.T == 1), np.argwhere(edges.T == -1)
    return [Mark(int(z), int(a), int(b)) for (z, a), (_, b) in zip(begins, ends, strict=True)]


def stretches(cells: BoolArray, deviation_pct: Float32) -> list[Stretch]:
    """Marks that hang together, along the web."""
    return sorted(
        (_stretch(group, deviation_pct) for group in _groups(marks(cells))),
        key=lambda one: (one.from_m, one.first_zone),
    )


def _groups(found: list[Mark]) -> Iterator[list[Mark]]:
    """Sweep along the web; a mark joins every open group that it is near to."""
    still: list[list[Mark]] = []
    for mark in sorted(found, key=lambda one: (one.from_m, one.zone)):
        near, far = [], []
        for group in still:
            if max(one.to_m for one in group) + NEAR_M < mark.from_m:
                yield group
            elif any(_near(one, mark) for one in group):
                near.append(group)
            else:
                far.append(group)
        still = [*far, [*(one for group in near for one in group), mark]]
    yield from still


def _near(one: Mark, other: Mark) -> bool:
    return abs(one.zone - other.zone) <= 1 and other.from_m <= one.to_m + NEAR_M and one.from_m <= other.to_m + NEAR_M


def _stretch(group: list[Mark], deviation_pct: Float32) -> Stretch:
    worst = max(
        (float(part[np.abs(part).argmax()]) for one in group if (part := _part(one, deviation_pct)).size), key=abs
    )
    return Stretch(
        from_m=min(one.from_m for one in group),
        to_m=max(one.to_m for one in group),
        first_zone=min(one.zone for one in group),
        last_zone=max(one.zone for one in group),
        cells=sum(one.to_m - one.from_m for one in group),
        worst_pct=worst,
    )


def _part(mark: Mark, values: Float32) -> npt.NDArray[np.float32]:
    return values[mark.from_m : mark.to_m, mark.zone]
