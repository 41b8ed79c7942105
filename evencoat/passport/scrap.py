"""Which cells to cut out: a bound on the chance of being out of tolerance, pieces by lane, stretches for people.

A slitter and a cell line do not take single cells out of a lane. What lies between two cuts and is shorter than a piece
is worth nothing, and nothing shorter than a piece is cut out: `in_pieces` makes that of any cells, of those that are
marked and of those that are truly bad alike. Only evencoat.passport imports this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import numpy.typing as npt

from controller.line.description import BoolArray
from evencoat.passport.web import Float32

BOUND = 0.02  # a cell is marked when its chance of being out of tolerance is above this; docs/passport.md has figures
PIECE_M = 10  # about the electrode of one large wound cell: shorter is neither cut out nor left between two cuts
PIECE_MOST_M = 1000
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


def in_pieces(cells: BoolArray, piece_m: int = PIECE_M) -> BoolArray:
    """What must be cut of each lane to be rid of these cells, (metres, zones): gaps shorter than a piece go with what
    lies on both sides of them, and what is still shorter than one is cut about its middle, a piece long."""
    metres = cells.shape[0]
    out: BoolArray = np.zeros_like(cells)
    for _, lane in groupby(marks(cells), key=lambda mark: mark.zone):
        for mark in _joined((_grown(one, piece_m, metres) for one in _joined(lane, piece_m)), piece_m):
            out[mark.from_m : mark.to_m, mark.zone] = True
    return out


def _joined(lane: Iterable[Mark], piece_m: int) -> Iterator[Mark]:
    """Marks of one lane, in order, with the gaps closed that are too short to be of use."""
    last: Mark | None = None
    for mark in lane:
        if last is not None and mark.from_m - last.to_m < piece_m:
            last = replace(last, to_m=max(last.to_m, mark.to_m))
        else:
            if last is not None:
                yield last
            last = mark
    if last is not None:
        yield last


def _grown(mark: Mark, piece_m: int, metres: int) -> Mark:
    lacking = min(piece_m, metres) - (mark.to_m - mark.from_m)
    if lacking <= 0:
        return mark
    from_m = min(max(mark.from_m - lacking // 2, 0), metres - min(piece_m, metres))
    return replace(mark, from_m=from_m, to_m=from_m + min(piece_m, metres))


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
