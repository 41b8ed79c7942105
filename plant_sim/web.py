"""The web between the die and the last gauge: what was coated, kept by web position. Imported inside plant_sim only.

A gauge reads what left the die `distance_m` of web earlier, so its delay is the integral of speed whatever the speed
did. The oven is a pure delay and shrinkage (ripples at lip scale take minutes to level), so the dry areal density is
known at the die already.

The record is append-only and shared by all states that look at it; a state sees its own rows only, and appending to an
older state copies. So `coat` is a pure function at the cost of writing one row.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from controller.line.description import Array

FIRST_ROWS = 1024
ROUNDING_M = 1e-7


class _Rows:
    """Storage: web position at each row's end, dry mass of a micrometre of its film, areal density of its lanes."""

    __slots__ = ("areal_gsm", "end_m", "gsm_per_um", "used")

    def __init__(self, capacity: int, lanes: int):
        self.end_m = np.zeros(capacity)
        self.gsm_per_um = np.zeros(capacity)
        self.areal_gsm = np.zeros((capacity, lanes))
        self.used = 0


@dataclass(frozen=True, slots=True)
class Web:
    """What lies between `start_m` and `web_m` on the web. Rows with zero areal density are bare foil."""

    web_m: float
    start_m: float
    keep_m: float
    _rows: _Rows = field(repr=False, compare=False)
    _first: int = 0
    _end: int = 0

    @property
    def rows(self) -> int:
        return self._end - self._first


@dataclass(frozen=True, slots=True)
class Stretch:
    """Mean of a stretch of web, shape (lanes,) each; `coated` False when any of it is bare or was never made."""

    coated: bool
    areal_gsm: Array
    film_um: Array


def empty(lanes: int, keep_m: float, web_m: float = 0.0) -> Web:
    """Bare foil, ready to be coated from `web_m` on; remembers the last keep_m of web."""
    return Web(web_m, web_m, keep_m, _Rows(FIRST_ROWS, lanes))


def coat(web: Web, length_m: float, areal_gsm: Array, gsm_per_um: float) -> Web:
    """Append length_m (> 0) of web with a lane profile, shape (lanes,); zeros are bare foil."""
    rows, first, end = web._rows, web._first, web._end
    if rows.used != end or end == rows.end_m.size:
        rows, first, end = _moved(web)
    web_m = web.web_m + length_m
    rows.end_m[end] = web_m
    rows.gsm_per_um[end] = gsm_per_um
    rows.areal_gsm[end] = areal_gsm
    rows.used = end + 1
    return Web(web_m, web.start_m, web.keep_m, rows, first, end + 1)


def _moved(web: Web) -> tuple[_Rows, int, int]:
    """New storage holding the rows still needed, at least half of it free."""
    old = web._rows
    needed = int(np.searchsorted(old.end_m[web._first : web._end], web.web_m - web.keep_m, side="right"))
    first = web._first + needed
    kept = web._end - first
    rows = _Rows(max(FIRST_ROWS, 2 * kept), old.areal_gsm.shape[1])
    rows.end_m[:kept] = old.end_m[first : web._end]
    rows.gsm_per_um[:kept] = old.gsm_per_um[first : web._end]
    rows.areal_gsm[:kept] = old.areal_gsm[first : web._end]
    rows.used = kept
    return rows, 0, kept


def read(web: Web, from_m: float, to_m: float) -> Stretch:
    """Mean over web positions (from_m, to_m]; with from_m = to_m the row that holds the position.

    Weighted by length, so a stretch of many steps is averaged as an integrating gauge does.
    """
    rows, lanes = web._rows, web._rows.areal_gsm.shape[1]
    ends = rows.end_m[web._first : web._end]
    # a stretch that ends where a row ends must not take in a sliver of the next because of rounding
    low = int(ends.searchsorted(from_m + ROUNDING_M, side="right"))
    high = int(ends.searchsorted(to_m - ROUNDING_M, side="left"))
    if from_m < web.start_m or high >= ends.size or to_m <= web.start_m:
        return _bare(lanes)
    low = web._first + min(low, high)
    high = web._first + high
    if low == high:
        areal, per_um = rows.areal_gsm[high], float(rows.gsm_per_um[high])
        return _bare(lanes) if areal[0] <= 0.0 else Stretch(True, areal, areal / per_um)
    edges = rows.end_m[low : high + 1].copy()
    edges[-1] = to_m
    weights = edges.copy()
    weights[1:] -= edges[:-1]
    weights[0] -= from_m
    weights /= to_m - from_m
    stretch = rows.areal_gsm[low : high + 1]
    if not stretch[:, 0].all():
        return _bare(lanes)
    return Stretch(True, weights @ stretch, (weights / rows.gsm_per_um[low : high + 1]) @ stretch)


def _bare(lanes: int) -> Stretch:
    nothing = np.full(lanes, np.nan)
    return Stretch(False, nothing, nothing)
