"""Another model of the map, taken into use while the line runs, without a bump.

What was read stays what it was: the disturbance that a new model leaves is the old one plus what the old model said of
the lips, less what the new one says. Everything that is kept in the coordinates of the old model's shapes is turned
into those of the new one; the law then begins from where things stand, as in any take-over.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from controller.core.delay_line import DelayLine
from controller.core.estimate import EstimateState, Estimator
from controller.core.kalman import Bank
from controller.core.response import ResponseModel
from controller.core.scales import Scales
from controller.line.description import Array


class Turn(NamedTuple):
    """From one model's coordinates to another's: of what was seen, (zones, zones), and of what lips did, both with
    the mean last and untouched. A row of old coordinates times the matrix is one of new ones."""

    seen: Array
    done: Array


def turn(old: ResponseModel, new: ResponseModel) -> Turn:
    """Both models have every shape of zero mean as their basis, and say what lips do to each."""
    zones = old.basis.shape[0]
    seen, done = np.eye(zones), np.eye(zones)
    seen[:-1, :-1] = old.basis.T @ new.basis
    done[:-1, :-1] = np.linalg.pinv(old.effects) @ new.effects
    return Turn(seen, done)


def estimate(state: EstimateState, old: Estimator, new: Estimator) -> EstimateState:
    """What the estimate remembers, in the new model's coordinates."""
    turned = turn(old.response, new.response)
    before = state.model.at(state.film_m)
    film = _bank(state.film, turned.seen)
    if before is not None and np.isfinite(state.film_m):
        film = film._replace(mean=(state.film.mean + before) @ turned.seen - before @ turned.done)
    offset = _bank(state.offset, turned.seen)
    modes = new.response.modes
    believed = film.mean + offset.mean
    shapes, zones = new.response.basis.shape[1], turned.seen.shape[0]
    both = np.zeros((2 * zones, 2 * zones))
    both[:zones, :zones] = both[zones:, zones:] = turned.seen
    sums = np.eye(zones + 1)
    sums[:shapes, :shapes] = turned.seen[:-1, :-1]
    missed = state.proof.missed
    return state._replace(
        model=_rows(state.model, turned.done),
        wet_seen=_rows(state.wet_seen, sums),
        wet_last=state.wet_last @ sums,
        film=film,
        offset=offset,
        believed=_rows(state.believed, both),
        proof=replace(state.proof, missed=None if missed is None else missed @ turned.seen),
        wander=state.wander._replace(mean=state.wander.mean @ turned.seen, at_m=np.nan),
        reading=state.reading._replace(disturbance_cd=believed[:modes]),
        scales=None if state.scales is None else _scales(state.scales, new, turned.seen),
        passed=None,
    )


def _bank(bank: Bank, seen: Array) -> Bank:
    """A bank of filters. Variances are kept by coordinate: those of a mixture are the mixture of variances."""
    mixed = seen * seen
    return bank._replace(
        mean=bank.mean @ seen,
        variance=bank.variance @ mixed,
        gain=bank.gain @ mixed,
        innovation=bank.innovation @ seen,
        surprise2=bank.surprise2 @ mixed,
        surprise_lag=bank.surprise_lag @ mixed,
    )


def _scales(scales: Scales, new: Estimator, seen: Array) -> Scales:
    """Noise and drift keep their factors; the stretch under way is not judged."""
    shapes = seen[:-1, :-1]
    return scales._replace(
        noise=new.film,
        last=scales.last @ shapes,
        change=scales.change @ shapes,
        mean=scales.mean @ shapes,
        at_m=np.nan,
    )


def _rows(line: DelayLine, matrix: Array) -> DelayLine:
    """The same metres, each row turned."""
    return replace(line, blocks=tuple(block @ matrix for block in line.blocks))
