"""What to cut out: the pieces of each lane that hold the most of what may be out of tolerance, stretches for people.

A slitter and a cell line do not take single cells out of a lane: nothing shorter than a piece is cut out, and what
would be left between two cuts, shorter than a piece, is worth nothing. Only evencoat.passport imports this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from controller.line.description import Array, BoolArray
from evencoat.passport.web import Float32

BOUND = 0.06  # bad cells that a cell cut out has to hold on average, at the margin; docs/passport.md has figures
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


def doubtful(chance: Float32, coated: BoolArray, bound: float = BOUND) -> BoolArray:
    """Cells whose own chance of being out is above the bound, (metres, zones). Bare foil was meant to be bare."""
    cells: BoolArray = (chance > bound) & coated[:, None]
    return cells


def cut_out(chance: Float32, coated: BoolArray, bound: float = BOUND, piece_m: int = PIECE_M) -> BoolArray:
    """Of all ways to cut a lane into pieces, the one with the largest sum over what goes of (chance - bound).

    So no other way holds as many bad cells with less length; with pieces of 1 m it is the doubtful cells. With chances
    of 0 and 1 and a bound of nearly nothing, it is the least that holds every bad cell. (metres, zones), by dynamic
    programming: the best that the first m metres allow, ending in a cut, or in what is kept.
    """
    gain = np.where(coated[:, None], chance, 0.0).astype(np.float64) - bound
    metres, zones = gain.shape
    piece = min(piece_m, metres)
    total = np.concatenate((np.zeros((1, zones)), np.cumsum(gain, axis=0)))
    cut, kept = np.full((metres + 1, zones), -np.inf), np.zeros((metres + 1, zones))
    began, ended = np.zeros(cut.shape, dtype=bool), np.zeros(cut.shape, dtype=bool)  # a piece long, or kept as long
    for m in range(1, metres + 1):
        cut[m], kept[m] = cut[m - 1] + gain[m - 1], kept[m - 1]
        if m >= piece:
            anew = kept[m - piece] + total[m] - total[m - piece]
            began[m] = anew > cut[m]
            cut[m] = np.maximum(cut[m], anew)
        if m > piece:
            ended[m] = cut[m - piece] > kept[m]
            kept[m] = np.maximum(kept[m], cut[m - piece])
    return _traced(cut, kept, (began, ended), piece)


def _traced(cut: Array, kept: Array, turns: tuple[BoolArray, BoolArray], piece: int) -> BoolArray:
    """The way back through the best choices. What is left behind the last cut may be as short as it likes."""
    metres, zones = cut.shape[0] - 1, cut.shape[1]
    at = np.arange(metres + 1, dtype=np.int32)[:, None]
    began, ended = (np.maximum.accumulate(np.where(turn, at, -1), axis=0) for turn in turns)
    out: BoolArray = np.zeros((metres, zones), dtype=bool)
    last = metres - piece + 1 + np.argmax(cut[metres - piece + 1 :], axis=0)
    for zone in range(zones):
        m = int(last[zone])
        cutting = bool(cut[m, zone] > kept[metres, zone])
        m = m if cutting else metres
        while True:
            turn = int((began if cutting else ended)[m, zone])
            if turn < 0:
                break
            if cutting:
                out[turn - piece : m, zone] = True
            m, cutting = turn - piece, not cutting
    return out


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
