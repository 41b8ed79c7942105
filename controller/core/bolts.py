"""Which bolts do not do to the web what their feedback says, and how the others do without them.

A screw that turns free, or a drive wired the wrong way, is fed back as if all were well. The web tells: what the model
says of a move comes back as a disturbance of the bolt's own shape. Per bolt, `share` is how much of its moves reached
the web, less one: 0 is healthy, -1 dead, -2 reversed. Once a dead time of web those bolts are looked at that have moved
far enough to be told from play and noise, against a tight prior. Doubt grows with the neighbours' moves, since kernel
and alignment are believed only roughly, and with the web that passed, since disturbances drift.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from controller.core import blocks
from controller.core.blocks import Block
from controller.core.estimate import EstimateState
from controller.core.response import ResponseModel
from controller.core.scans import MAD_TO_SIGMA
from controller.line.description import Array, BoolArray, LineDescription
from controller.line.profile import LineInputs

PRIOR_SIGMA = 0.25  # bolts of one die differ by so much
MISMATCH = 0.3  # of the neighbours' moves, that a wrong kernel or alignment may show as this bolt's own
MOVED_UM = 2.0  # a move worth looking at, beside play and resolution
OUT_BELOW, OUT_SIGMAS = -0.6, 4.0  # a bolt is out when so much is missing, so surely
BACK_SIGMAS = 2.0  # and is in again when it was seen to move the web, or when its evidence has faded to this
KEPT, KEPT_OUT = 0.985, 0.999  # of the evidence from look to look: a bolt that is out is seldom well by itself
SPREADS_KEPT = 64
LOOKS_MAX = 60  # an older start of a move says nothing: disturbances have drifted


class BoltState(NamedTuple):
    """What is remembered of the bolts, (zones,) where nothing else is said.

    block: of web, under way; stood_um: mean positions of the block before. Of the last look: positions, and what the
    web said of each bolt, um. Of each bolt's move: where it began, what the web said then, how many looks ago, how far
    the neighbours have gone.
    """

    block: Block
    stood_um: Array
    position_um: Array
    said_um: Array
    from_um: Array
    said_from_um: Array
    looks: Array
    unrest_um: Array
    noise_um: float
    evidence: Array  # inverse variance of share
    weighed: Array  # share times evidence
    out: BoolArray


@dataclass(frozen=True, slots=True)
class Bolts:
    """Constants of the watch and of the spreading, for one line."""

    block_m: float
    moved_um: float
    effects: Array  # (zones, zones - 1): what a bolt's micrometre does to each shape
    norms: Array
    matrix: Array  # (zones, zones): the same in zones
    weight: float  # of a micrometre moved, against log^2 of profile
    spread: dict[bytes, Array] = field(default_factory=dict)  # by who is out: worked out once


def build(line: LineDescription, response: ResponseModel, distance_m: float) -> Bolts:
    """Constants for a line whose loop is closed by a gauge so far from the die."""
    lips = line.lips
    return Bolts(
        block_m=distance_m,
        moved_um=max(MOVED_UM, 2.0 * lips.backlash_um + 2.0 * lips.resolution_um),
        effects=response.effects,
        norms=(response.effects**2).sum(axis=1),
        matrix=response.matrix,
        weight=(line.control.mode_gain_floor * float(response.gains[0] if response.modes else 1.0)) ** 2,
    )


def init(zones: int) -> BoltState:
    """Nothing known: all bolts are taken to be healthy."""
    zero, unknown = np.zeros(zones), np.full(zones, np.nan)
    prior = np.full(zones, PRIOR_SIGMA**-2)
    return BoltState(
        blocks.begun(zones), unknown, unknown, unknown, unknown, unknown, zero, zero, np.nan, prior, zero,
        np.zeros(zones, dtype=bool)
    )  # fmt: skip


def watch(bolts: Bolts, state: BoltState, seen: EstimateState, inputs: LineInputs) -> BoltState:
    """One cycle: gather readings and positions; at the end of a block of web, look."""
    if not inputs.encoder_valid:
        return state
    passed_m = inputs.web_m - state.block.begun_m
    if not 0.0 <= passed_m < 3.0 * bolts.block_m:  # the first cycle, or a web that was set back or torn
        fresh, zones = init(state.out.size), state.out.size
        return fresh._replace(
            block=blocks.begun(zones, inputs.web_m, seen.film.readings), evidence=state.evidence,
            weighed=state.weighed, out=state.out
        )  # fmt: skip
    state = BoltState(blocks.gathered(state.block, seen, inputs.gap_um), *state[1:])  # half the time of _replace
    return state if passed_m < bolts.block_m else _looked(bolts, state, inputs.web_m)


def _looked(bolts: Bolts, state: BoltState, web_m: float) -> BoltState:
    """The end of a block. What it read left the die during the one before it, so it belongs to that one's positions."""
    over, zones = state.block, state.out.size
    after = state._replace(block=blocks.begun(zones, web_m, over.film_readings), stood_um=over.mean_stood_um)
    read = over.mean_read
    if read is None or not np.isfinite(state.stood_um).all():  # nothing read, or no positions it would belong to
        nothing = np.full(zones, np.nan)
        return after._replace(position_um=nothing, said_um=nothing, from_um=nothing)
    said_um = (bolts.effects @ read[:-1]) / bolts.norms
    return _weighed(bolts, after, state.stood_um, said_um)


def _weighed(bolts: Bolts, state: BoltState, position_um: Array, said_um: Array) -> BoltState:
    """Take moves that have gone far enough as evidence, and let what is old fade toward the prior."""
    begins = ~np.isfinite(state.from_um)
    from_um, said_from_um = np.where(begins, position_um, state.from_um), np.where(begins, said_um, state.said_from_um)
    step_um = np.where(begins, 0.0, np.abs(position_um - state.position_um))
    unrest_um, looks = np.where(begins, 0.0, state.unrest_um) + _around(step_um), state.looks + 1.0
    noise_um = state.noise_um if begins.any() else _noise_um(state.noise_um, said_um - state.said_um)
    gone_um = position_um - from_um
    far = (np.abs(gone_um) >= bolts.moved_um) & np.isfinite(noise_um)
    safe_um = np.where(far, gone_um, 1.0)
    doubt = (noise_um**2 * looks + (MISMATCH * unrest_um) ** 2) / safe_um**2 + 1e-3
    told, prior = np.where(far, 1.0 / doubt, 0.0), PRIOR_SIGMA**-2
    kept = np.where(state.out, KEPT_OUT, KEPT)
    evidence = prior + kept * (state.evidence - prior) + told
    weighed = kept * state.weighed + told * (said_um - said_from_um) / safe_um
    over = far | (looks > LOOKS_MAX)
    return state._replace(
        position_um=position_um,
        said_um=said_um,
        from_um=np.where(over, position_um, from_um),
        said_from_um=np.where(over, said_um, said_from_um),
        looks=np.where(over | begins, 0.0, looks),
        unrest_um=np.where(over, 0.0, unrest_um),
        noise_um=noise_um,
        evidence=evidence,
        weighed=weighed,
        out=_judged(state.out, evidence, weighed),
    )


def _judged(out: BoolArray, evidence: Array, weighed: Array) -> BoolArray:
    """Against what all bolts have in common, which is a gain believed wrongly and no bolt's fault.

    A bolt's neighbours share in what it does to the web: of those side by side the worst is it.
    """
    mean = weighed / evidence
    share = (1.0 + mean) / max(1.0 + _median(mean), 0.2) - 1.0
    sigmas = -share * np.sqrt(evidence)
    padded = np.full(share.size + 4, np.inf)
    padded[2:-2] = share
    beside = np.minimum(np.minimum(padded[:-4], padded[1:-3]), np.minimum(padded[3:-1], padded[4:]))
    falls = (share < OUT_BELOW) & (sigmas > OUT_SIGMAS) & (share <= beside)
    judged: BoolArray = np.where(out, sigmas > BACK_SIGMAS, falls)
    return judged


def _around(step_um: Array) -> Array:
    """How far the two neighbours on either side have gone together, (zones,), um."""
    padded = np.zeros(step_um.size + 4)
    padded[2:-2] = step_um
    around: Array = padded[:-4] + padded[1:-3] + padded[3:-1] + padded[4:]
    return around


def _median(values: Array) -> float:
    """The median of numbers that are none of them NaN, as numpy has it at ten times the cost."""
    order = np.sort(values)
    return 0.5 * float(order[(order.size - 1) // 2] + order[order.size // 2])


def _noise_um(before: float, change_um: Array) -> float:
    """Standard deviation of what the web says from look to look; most bolts are well, so their median knows."""
    now = max(MAD_TO_SIGMA * _median(np.abs(change_um)), 1e-6)
    return now if not np.isfinite(before) else before + 0.1 * (now - before)


def without(bolts: Bolts, wish_um: Array, last_um: Array, out: BoolArray) -> Array:
    """The wish with those who are `out` left where they were last sent, and their part done by the others' bolts.

    min |M_f u - M_o (wish - last)|^2 + w |u|^2 over the moves u of the free bolts; w leaves fine shapes alone.
    """
    key = out.tobytes()
    if key not in bolts.spread:
        if len(bolts.spread) >= SPREADS_KEPT:
            bolts.spread.clear()
        free = np.where(out, 0.0, bolts.matrix)
        weighty = free.T @ free + bolts.weight * np.eye(out.size)
        bolts.spread[key] = np.asarray(np.linalg.solve(weighty, free.T @ bolts.matrix), dtype=np.float64)
    missing_um = np.where(out, wish_um - last_um, 0.0)
    lent: Array = np.where(out, last_um, wish_um + bolts.spread[key] @ missing_um)
    return lent
