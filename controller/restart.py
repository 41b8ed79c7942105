"""What a controller that starts again takes over from the one before it. Pure: state in, state out.

Of the same line and recipe the lasting part is taken over: the map in use and what is known of it, play, dead bolts,
gauge noise and drift, the wet gauge's bias, what the pressure is worth, the rung of the ladder, the target that a
person asked for and the zones he holds. Where also roll and
batch are the same and little web has passed, all that is believed of the web comes with it. Positions never: they are
fed back, and a start begins from there, so nothing here can move an actuator.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from controller.core import adapt, bolts, by_hand, foresight, ladder, learnt, play, response, target
from controller.core.estimate import LONGEST_PASSED_S, EstimateState, Estimator
from controller.core.flow import Flow
from controller.core.harris import Harris
from controller.core.learnt import Learnt, Mean
from controller.core.scales import Scales
from controller.core.step import Config, State
from controller.line.command import Mode
from controller.line.description import Array, BoolArray, LineDescription
from controller.line.profile import LineInputs


class Kept(NamedTuple):
    """The part of a State that a later start may take over, with where on which web it was.

    unsure_mm: alignment uncertainty of the map in use; `there` of `adapt` says where that map stands.
    """

    web_m: float
    roll: int
    batch: int
    unsure_mm: float
    estimate: EstimateState
    harris: Harris
    bolts: bolts.BoltState
    adapt: adapt.AdaptState
    play: play.PlayState | None
    ladder: ladder.LadderState
    foresight: foresight.Foresight | None
    target: target.Target
    zone_manual: BoolArray


class Extent(StrEnum):
    """How much was taken over. Each value is a sentence for the record."""

    NOTHING = "nothing: begins as new"
    LASTING = "map, play, bolts, bias, noise, rung and what a person asked for; the web is another one"
    WHOLE = "everything but positions: the same web"


@dataclass(frozen=True, slots=True)
class Resumed:
    """The outcome, with the reason in words."""

    state: State
    extent: Extent
    why: str


Resume = Callable[[State, LineInputs], State]  # between the first time the line is heard wholly and the first cycle


def kept(config: Config, state: State, web_m: float, roll: int, batch: int) -> Kept:
    """What of a state is worth keeping, after a cycle at this place of this roll."""
    return Kept(
        web_m=web_m,
        roll=roll,
        batch=batch,
        unsure_mm=config.line.die.alignment_uncertainty_mm,
        estimate=state.estimate,
        harris=state.harris,
        bolts=_of_bolts(state.bolts),
        adapt=_of_map(state.adapt),
        play=_of_play(config, state.play),
        ladder=_of_ladder(config, state.ladder),
        foresight=state.foresight,
        target=state.target,
        zone_manual=state.by_hand.zones,
    )


def _of_bolts(was: bolts.BoltState) -> bolts.BoltState:
    """Which bolts the web belies; no block of web, no position."""
    return bolts.init(was.out.size)._replace(evidence=was.evidence, weighed=was.weighed, out=was.out)


def _of_map(was: adapt.AdaptState) -> adapt.AdaptState:
    """What is known of the map, near and far, and where the one in use stands."""
    return adapt.init(was.lips_um.size)._replace(
        information=was.information,
        weighed=was.weighed,
        centre=was.centre,
        there=was.there,
        far=was.far,
        unease=was.unease,
        looks=was.looks,
        batch=was.batch,
    )


def _of_play(config: Config, was: play.PlayState | None) -> play.PlayState | None:
    """How likely each size is; where lips stand in it is a position."""
    fresh = play.init(config.play)
    if fresh is None or was is None:
        return fresh
    return fresh._replace(weight=was.weight, evidence=was.evidence, unease=was.unease, looks=was.looks)


def _of_ladder(config: Config, was: ladder.LadderState) -> ladder.LadderState:
    """The rung that was left, and why: a crash forgives nothing."""
    return ladder.init()._replace(
        rung=max(0, min(was.rung, len(config.ladder.rungs) - 1)),
        cause=was.cause,
        failures=was.failures,
        climbed=was.climbed,
        evidence=was.evidence,
    )


def line_with(line: LineDescription, there: Array, unsure_mm: float) -> LineDescription:
    """The line with the map that was in use: `there` (4,) is where it stands from the description.

    Raises ValueError where that map lies outside what adaptation could ever have found.
    """
    if not there.any():
        return line
    if not (np.abs(there) <= adapt.BOX + 1e-9).all():
        worst = int(np.argmax(np.abs(there) - adapt.BOX))
        raise ValueError(f"{adapt.NAMES[worst]} = {there[worst]:g}: must be within +-{adapt.BOX[worst]:g}")
    die = response.moved(line.die, there)
    return replace(line, die=replace(die, alignment_uncertainty_mm=min(unsure_mm, die.alignment_uncertainty_mm)))


def resumed(config: Config, fresh: State, before: Kept, inputs: LineInputs, web_max_m: float) -> Resumed:
    """`fresh` with what of `before` still holds on the web that is now heard.

    config must be of the map that `before` used (see line_with).
    """
    lasting = _lasting(config, fresh, before, inputs.batch == before.batch)
    if (inputs.roll, inputs.batch) != (before.roll, before.batch):
        why = f"roll {inputs.roll}, batch {inputs.batch}; it was roll {before.roll}, batch {before.batch}"
        return Resumed(lasting, Extent.LASTING, why)
    passed_m = inputs.web_m - before.web_m
    if not (inputs.encoder_valid and 0.0 <= passed_m <= web_max_m):
        return Resumed(lasting, Extent.LASTING, f"{passed_m:.1f} m of web since; at most {web_max_m:g} m may pass")
    state = lasting._replace(estimate=before.estimate, harris=before.harris, foresight=before.foresight)
    return Resumed(state, Extent.WHOLE, f"the same roll and batch, {passed_m:.1f} m of web since")


def asked_again(state: State, mode: Mode) -> State:
    """The mode that was asked for before is asked for again, by nobody: no fault is forgiven, no rung given back."""
    return state._replace(supervisor=replace(state.supervisor, requested=mode))


def _lasting(config: Config, fresh: State, before: Kept, same_batch: bool) -> State:
    return fresh._replace(
        estimate=_of_the_gauges(config.estimator, fresh.estimate, before.estimate, same_batch),
        bolts=before.bolts,
        adapt=before.adapt,
        play=before.play,
        ladder=_of_ladder(config, before.ladder),
        foresight=foresight.anew(config.foresight, before.foresight),
        target=before.target,
        by_hand=by_hand.standing(before.zone_manual),
    )


def _of_the_gauges(estimator: Estimator, fresh: EstimateState, was: EstimateState, same_batch: bool) -> EstimateState:
    """Bias, noise and drift, as doubtful as after the longest web that counts; solids are a batch's own."""
    offset = fresh.offset
    if estimator.offset is not None and was.offset.readings:
        older = was.offset.variance + estimator.offset.rate * LONGEST_PASSED_S
        variance = np.minimum(older, estimator.offset.start)
        if not same_batch:
            variance[-1] = estimator.offset.start[-1]
        offset = was.offset._replace(variance=variance, readings=0)
    return fresh._replace(
        offset=offset,
        proof=replace(was.proof, missed=None),
        wander=was.wander._replace(at_m=math.nan),
        learnt=_learnt(estimator.mean, fresh.learnt, was.learnt),
        scales=_scales(fresh.scales, was.scales),
    )


def _scales(fresh: Scales | None, was: Scales | None) -> Scales | None:
    return fresh if fresh is None or was is None else was._replace(last_m=math.nan, at_m=math.nan)


def _learnt(mean: Mean | None, fresh: Learnt | None, was: Learnt | None) -> Learnt | None:
    """What pressure and gauges are worth beside each other; no place of the web."""
    if mean is None or fresh is None or was is None:
        return fresh
    trust = learnt.Trust(product=was.trust.product, square=was.trust.square, share=was.trust.share)
    return fresh._replace(flow=_flow(fresh.flow, was.flow), trust=trust, past=was.past)


def _flow(fresh: Flow, was: Flow) -> Flow:
    """The noise of pressure and gauge, and how fast the rheology drifts; each series begins anew."""
    apart = was.film.apart._replace(looks=0)
    drift = fresh.film.drift._replace(found=was.film.drift.found, stretches=was.film.drift.stretches)
    film = fresh.film._replace(apart=apart, drift=drift)
    return fresh._replace(pulses=was.pulses._replace(looks=0), film=film)
