"""A target that somebody moves a little, for a stretch: the loop answers it as it answers any unevenness.

A reverse bump test asks for a known change of the profile instead of moving lips: what the lips do then tells whether
the map still fits (`controller.core.adapt`), while the loop stays closed and the web inside its tolerance. The core
bounds what may be asked by a share of the tolerance and ends it by itself, for whoever asked may be gone by then.
Source: reverse bump tests of cross-direction control.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from controller.core.estimate import EstimateState
from controller.core.law import Imc, Law, LawState
from controller.core.response import ResponseModel
from controller.line.command import Mode, OperatorRequest
from controller.line.description import Array, LineDescription

SHARE_MAX = 0.25  # of the tolerance, in any zone
LONGEST_DELAYS = 20.0  # dead times of web that one request lasts, at most


class Offset(NamedTuple):
    """What the web shall be beside its target: log (zones,), of zero mean; until_m: of web, when it is over."""

    log: Array
    until_m: float


def kept(
    line: LineDescription, offset: Offset | None, asked: OperatorRequest | None, actual: Mode, web_m: float
) -> Offset | None:
    """The offset of this cycle: a new one where a valid one is asked for, none where it is over or the loop is open."""
    if asked is not None and asked.offset_log is not None:
        offset = _bounded(line, asked.offset_log, asked.offset_m, web_m)
    if offset is None or actual is not Mode.AUTO or not web_m < offset.until_m:
        return None
    return offset


def _bounded(line: LineDescription, wanted_log: Array, lasting_m: float, web_m: float) -> Offset | None:
    """Within its share of the tolerance in every zone, and over in time; None where it is no profile of this line."""
    if wanted_log.shape != (line.zones,) or not np.isfinite(wanted_log).all() or not math.isfinite(lasting_m + web_m):
        return None
    most = SHARE_MAX * math.log1p(line.target.tolerance_pct / 100.0)
    shape = wanted_log - wanted_log.mean()  # the mean is the pump's
    size = float(np.abs(shape).max())
    scale = min(1.0, most / size) if size > 0.0 else 1.0
    longest_m = LONGEST_DELAYS * line.primary_gauge.distance_m
    return Offset(scale * shape, web_m + min(lasting_m, longest_m))


def sought(response: ResponseModel, seen: EstimateState, offset: Offset | None) -> EstimateState:
    """The estimate as a law shall answer it: what is left to do is what is uneven, less what is wanted to be."""
    if offset is None:
        return seen
    reading = seen.reading
    return seen._replace(
        reading=reading._replace(
            error=reading.error - offset.log,
            disturbance_cd=reading.disturbance_cd - offset.log @ response.profiles,
        )
    )


def aimed(
    response: ResponseModel, acting: Law, memory: LawState, before: Offset | None, now: Offset | None
) -> LawState:
    """What a law remembers, when the target has just moved: IMC goes there by its map at once, and filters only news.

    Another law finds its way by what it sees.
    """
    if now is before or not isinstance(acting, Imc):
        return memory
    nothing = np.zeros(response.profiles.shape[0])
    old, new = (one.log if one is not None else nothing for one in (before, now))
    return memory._replace(memory_cd=memory.memory_cd - (new - old) @ response.profiles)
