"""Where lips stand behind motors that are fed back: dragged through the play of their screws, whose size is learnt.

A screw that turns back first takes up its play, and its lip stays. Several sizes of play are followed side by side;
each says where the lips stand, and so what the web should show. Once a dead time of web the change of the mean reading
is laid beside what each size foretells: the right one leaves the quietest disturbance. The lips are believed where the
sizes, each by its likelihood, put them together; the internal model sees those lips, the law works with them, and a
motor that turns back is sent further by as much play as is surely there: more than there is would be a limit cycle.

Readings, moves and disturbances hang together more than the sum of looks admits, and a move answers noise of the
reading before it, which speaks for less play than there is: so each look counts for little, and a prior about the
description never fades. Where one head behind the dryer is the only gauge nothing is learnt: it mixes moments.
Sources: play operator (Krasnosel'skii and Pokrovskii 1989); multiple-model estimation (Magill 1965).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from controller.core import blocks
from controller.core.blocks import Block
from controller.core.envelope import Applied
from controller.core.estimate import EstimateState, Estimator
from controller.line.command import UncertifiedCommand
from controller.line.description import Array, LineDescription
from controller.line.profile import LineInputs

FACTORS = np.array([0.0, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6])  # on the described play
PRIOR_LOG = 0.8  # deviation of the factor's log: screws wear
NONE_AS = 0.1  # no play at all is as likely as so little
COUNTS_FOR = 0.5  # of a look's log likelihood, mean over the modes
REVERSE_UM = 0.3  # a screw is not turned back for less: noise would turn it to and fro, through all its play each time
KEPT = 0.9995  # of the evidence from look to look: wear is followed within hours
FREEDOM = 4.0  # of the t-distribution that judges a look: what fits no size at all says little
MISMATCH2 = 0.15**2  # of a move's effect, that a map believed wrongly may show
SURELY = 0.25  # share of the likelihood that may lie below the play that motors are sent through
UNEASE, UNEASE_BOX = 0.05, (0.2, 20.0)  # how fast the noise's scale follows what looks leave, and its bounds


@dataclass(frozen=True, slots=True, eq=False)
class Play:
    """Constants for one line. half_um (sizes, 1): half of each play. effects (zones, modes). drift, noise (modes,):
    variances of a look and of one reading. learns: whether the gauge can tell."""

    half_um: Array
    prior: Array  # (sizes,), log
    effects: Array
    drift: Array
    noise: Array
    block_m: float
    learns: bool


class PlayState(NamedTuple):
    """What is remembered. lips_um (sizes, zones); weight (sizes,): likelihood of each, sum 1; evidence (sizes,), log.

    block: of web, under way, with where the lips of each size stood and, last, those believed in. Of the blocks before:
    mean reading, lips of the one that is being read now, and of the one before that; NaN before any.
    """

    lips_um: Array
    weight: Array
    evidence: Array
    block: Block
    read_before: Array
    stood_um: Array
    stood_before_um: Array
    unease: float
    looks: int


def build(line: LineDescription, estimator: Estimator) -> Play | None:
    """Constants for a line; None where no play is described."""
    if line.lips.backlash_um <= 0.0:
        return None
    modes, film = estimator.response.modes, estimator.film
    block_m = estimator.primary.distance_m
    away = np.log(np.maximum(FACTORS, NONE_AS)) / PRIOR_LOG
    return Play(
        half_um=0.5 * line.lips.backlash_um * FACTORS[:, None],
        prior=-0.5 * away * away,
        effects=estimator.response.effects[:, :modes],
        drift=film.rate[:modes] * (block_m / line.web_speed_mps),
        noise=2.0 * film.reading[:modes],
        block_m=block_m,
        learns=estimator.scanner is None and modes > 0,
    )


def init(play: Play | None) -> PlayState | None:
    """Nothing heard yet."""
    if play is None:
        return None
    sizes, zones = play.prior.size, play.effects.shape[0]
    none, unknown = np.zeros(sizes), np.full((sizes + 1, zones), np.nan)
    return PlayState(
        unknown[:-1], _likely(play, none), none, blocks.begun(zones), unknown[-1], unknown, unknown, 1.0, 0
    )


def follow(play: Play | None, state: PlayState | None, inputs: LineInputs) -> PlayState | None:
    """One cycle: motors drag lips. A bolt that is not heard leaves its lip; one heard first has it in the middle."""
    if play is None or state is None:
        return None
    gap_um, lips_um = inputs.gap_um, state.lips_um
    lips_um = np.minimum(np.maximum(lips_um, gap_um - play.half_um), gap_um + play.half_um)
    strange = ~np.isfinite(lips_um[0]) | ~inputs.gap_valid
    if np.count_nonzero(strange):
        before = np.where(np.isfinite(state.lips_um), state.lips_um, gap_um)
        lips_um = np.where(strange, before, lips_um)
    return state._replace(lips_um=lips_um)


def shown(state: PlayState | None, inputs: LineInputs) -> LineInputs:
    """What a controller is told, with lips where they are believed to stand instead of motors."""
    return inputs if state is None else inputs._replace(gap_um=state.weight @ state.lips_um)


def standing(play: Play | None, state: PlayState | None, sent: Applied) -> Applied:
    """Where lips will stand when all motors have gone where they were sent."""
    if play is None or state is None:
        return sent
    lips_um = np.minimum(np.maximum(state.lips_um, sent.gap_um - play.half_um), sent.gap_um + play.half_um)
    return replace(sent, gap_um=state.weight @ lips_um)


def driven(
    play: Play | None, state: PlayState | None, wish: UncertifiedCommand, lips: Applied, sent: Applied
) -> UncertifiedCommand:
    """Motors for lips wished for. A lip that shall stay, or go back by next to nothing, keeps its motor where it is."""
    if play is None or state is None:
        return wish
    away_um = wish.gap_um - lips.gap_um
    back = away_um * (sent.gap_um - lips.gap_um) < 0.0
    way = np.where(back & (np.abs(away_um) < REVERSE_UM), 0.0, np.sign(away_um))
    half_um = surely_um(play, state) / 2.0
    return replace(wish, gap_um=np.where(way == 0.0, sent.gap_um, wish.gap_um + way * half_um))


def size_um(play: Play | None, state: PlayState | None) -> float:
    """The play as believed, um; 0 where none is described."""
    return 0.0 if play is None or state is None else 2.0 * float(state.weight @ play.half_um[:, 0])


def surely_um(play: Play, state: PlayState) -> float:
    """The play that is surely there, um: a quantile of what is believed."""
    below = np.cumsum(state.weight) - 0.5 * state.weight
    return 2.0 * float(np.interp(SURELY, below, play.half_um[:, 0]))


def watch(play: Play | None, state: PlayState | None, seen: EstimateState, inputs: LineInputs) -> PlayState | None:
    """One cycle: gather readings and lips; at the end of a block of web, look."""
    if play is None or state is None or not play.learns:
        return state
    passed_m = inputs.web_m - state.block.begun_m
    if not (inputs.encoder_valid and inputs.gap_valid.all() and 0.0 <= passed_m < 2.0 * play.block_m):
        begins = inputs.encoder_valid and bool(np.isfinite(state.lips_um).all())
        return _begun(state, inputs.web_m if begins else np.nan, seen.film.readings)
    stood_um = np.vstack((state.lips_um, state.weight @ state.lips_um))
    state = state._replace(block=blocks.gathered(state.block, seen, stood_um))
    return state if passed_m < play.block_m else _looked(play, state, inputs.web_m)


def rested(state: PlayState | None) -> PlayState | None:
    """What was gathered goes, what was learnt stays: the map is another, with coordinates of its own."""
    return None if state is None else _begun(state, np.nan, 0)


def _begun(state: PlayState, web_m: float, film_readings: int) -> PlayState:
    unknown = np.full((state.weight.size + 1, state.lips_um.shape[1]), np.nan)
    block = blocks.begun(state.lips_um.shape[1], web_m, film_readings)
    return state._replace(block=block, read_before=unknown[-1], stood_um=unknown, stood_before_um=unknown)


def _looked(play: Play, state: PlayState, web_m: float) -> PlayState:
    """The end of a block. What it read left the die during the block before it: it belongs to that one's lips."""
    over, zones, modes = state.block, state.lips_um.shape[1], play.effects.shape[1]
    read = over.mean_read if over.mean_read is not None else np.full(zones, np.nan)
    changed, moved_um = (read - state.read_before)[:modes], state.stood_um - state.stood_before_um
    after = state._replace(
        block=blocks.begun(zones, web_m, over.film_readings),
        read_before=read,
        stood_um=over.mean_stood_um,
        stood_before_um=state.stood_um,
    )
    if not (np.isfinite(changed).all() and np.isfinite(moved_um).all()):
        return after
    return _weighed(play, after, changed, moved_um @ play.effects, over.reads)


def _weighed(play: Play, state: PlayState, changed: Array, foretold: Array, reads: int) -> PlayState:
    """Take a look as evidence. foretold (sizes + 1, modes): what each size made of the lips' moves, then what the
    internal model did, which the reading is already without."""
    missed = changed + foretold[-1] - foretold[:-1]
    variance = play.drift + play.noise / reads + MISMATCH2 * foretold[-1] * foretold[-1]
    surprise = missed * missed / variance
    told = -0.5 * (FREEDOM + 1.0) * np.log1p(surprise / (FREEDOM * state.unease)).mean(axis=1)
    evidence = KEPT * state.evidence + COUNTS_FOR * (told - told.max())
    left = float(np.median(surprise[int(evidence.argmax())])) / 0.455  # of a square of unit variance
    unease = state.unease + UNEASE * (left - state.unease)
    return state._replace(
        evidence=evidence,
        weight=_likely(play, evidence),
        unease=min(max(unease, UNEASE_BOX[0]), UNEASE_BOX[1]),
        looks=state.looks + 1,
    )


def _likely(play: Play, evidence: Array) -> Array:
    """How likely each size is, (sizes,), sum 1."""
    log = play.prior + evidence
    weight = np.exp(log - log.max())
    likely: Array = weight / weight.sum()
    return likely
