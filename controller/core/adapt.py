"""Does the map from lips to web still fit? Learnt from normal running, and taken into use when surely better.

What the model says of the lips' moves is taken out of every reading; what the model says wrongly comes back as a
disturbance of the moves' own shape. Once a dead time of web the change of the mean reading is regressed on what a
little more gain, width, shift or stretch would have made of the change of the lips: a Kalman update of four shared
numbers with a prior about the description, never a free matrix. What was done is a cause of what is read a dead time
later and not the other way round, so the loop may stay closed. A web that comes later or sooner than thought would pass
for another map: by how much is found beside them, and not used.

A straight line about the model in use is right for small differences only. What it leaves out is counted as noise of
the look, and where the lips' moves fit a map far away better (`candidates`), that one is taken, and learning begins
there anew.

Only moves far beyond play and resolution are looked at: smaller ones are lost in the screws, and to learn from them
would be to learn a gain that is not there. From block to block, that is: over longer, what drifts and is answered
would look like lips that do nothing. Only a loop that has come off its own law looks at lips that creep for many
blocks. So it learns at start-up, at a change of grade, after a large disturbance, and from a bump that somebody makes;
not from quiet running.

Bounded on every side: the prior never fades, so quiet running lets nothing wind up; what is known has a fixed worth, so
old evidence goes only when new comes in; a look that fits no numbers at all is left out, and what was known counts for
less; no number leaves its box; small differences, inside which the loop is insensitive, change nothing. A new batch
makes the gain doubtful again.
Sources: prediction-error identification in closed loop (Ljung 1999); reverse bump tests of cross-direction control.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from controller.core import blocks, candidates
from controller.core.blocks import Block
from controller.core.candidates import Candidates, Evidence
from controller.core.estimate import EstimateState, Estimator
from controller.core.response import lip_matrix, local_gain_per_um, moved
from controller.line.description import Array, DieDescription, LineDescription
from controller.line.profile import LineInputs

GAIN, KERNEL, SHIFT, STRETCH = range(4)  # logs of factors, pitches, and a share
NAMES = ("gain", "kernel width", "alignment", "stretch")
LATE = 4  # beside them: the share of a dead time by which the web comes later than thought
PRIOR = np.array([0.25, 0.2, 0.3, 0.005, 0.12])  # deviations; alignment at least as unsure as it is described
BOX = np.array([1.0, 0.8, 1.5, 0.03])  # no number leaves this, about the description
INSENSITIVE = np.array([0.12, 0.12, 0.12, 0.005])  # differences that are not worth a new model
FINER = 0.4  # times those, while somebody makes bumps to find out
SURE_SIGMAS = 3.0
LOOKS_MIN = 2
WORTH = 400.0  # looks as telling as the noise is large that evidence may weigh; older evidence gives way beyond
EXCITED = 1.5  # times what play and resolution may swallow
GATE = 4.0  # times the expected mean square: a look that surprises more is left out
DOUBTED = 0.5  # share of what is known that outlasts a look that fits nothing
UNEASE, UNEASE_BOX = 0.1, (0.5, 20.0)  # how fast the noise's scale follows what looks leave over, and its bounds
NEW_BATCH_GAIN = 0.03  # deviation that a new slurry's flow index adds to the gain
ALIGNMENT_FLOOR = 0.05  # zones; no alignment is known better
FAR = np.array([0.3, 0.25, 0.3, np.inf])  # differences that a straight line is not to be trusted with
FAR_SIGMAS = 2.0
LONGEST_WAIT = 20  # blocks, for lips that creep
STEP = 1e-2


@dataclass(frozen=True, slots=True, eq=False)
class Adaptation:
    """Constants for one model. features (4, zones - 1, zones): what a unit of each number adds to the effect of a
    micrometre, in the shapes' coordinates; bends, as large: how that changes by a unit more; effects, (zones - 1,
    zones): the effect itself. drift, noise (zones - 1): variances of a look, for its web and the screws' play, and for
    one reading. basis (zones, zones - 1): the shapes.
    """

    block_m: float
    play_um: float
    least_um: float  # RMS move of the bolts from look to look that is worth looking at
    features: Array
    bends: Array
    effects: Array
    drift: Array
    noise: Array
    basis: Array
    precision: Array  # (5,), of the prior
    far: Candidates  # about the description that the line began with


class AdaptState(NamedTuple):
    """What is remembered. block: of web, under way, with where lips stood instead of motors.

    lips_um: where lips stand, motors dragged through their play. Of the block before: mean reading and lips, NaN before
    any, and of the lips before that; stood_um: of the block whose web is being read. information (5, 5), weighed (5,):
    evidence about the numbers, without the prior; centre (5,): what the prior is about, from where the model in use
    stands. unease: scale of the noise. waited: blocks for which the one before has stayed the same. there (4,): where
    the model in use stands from the description that the line began with, about which `far` is evidence. late_share:
    of a dead time, by which the web surely comes later or sooner than thought.
    """

    block: Block
    lips_um: Array
    read_before: Array
    stood_long_before_um: Array
    stood_before_um: Array
    stood_um: Array
    information: Array
    weighed: Array
    centre: Array
    unease: float
    waited: int
    looks: int
    batch: int
    there: Array
    far: Evidence
    late_share: float = 0.0


def build(line: LineDescription, estimator: Estimator, far: Candidates | None = None) -> Adaptation:
    """Constants for a line. `far`: maps about the description that it began with; None where it has just begun."""
    response, speed_mps = estimator.response, line.web_speed_mps
    block_m = estimator.primary.distance_m
    here = _effect(line, np.zeros(4))
    ahead = np.array([_effect(line, number) for number in np.eye(4) * STEP])
    behind = np.array([_effect(line, -number) for number in np.eye(4) * STEP])
    features = response.basis.T @ (ahead - behind) / (2.0 * STEP)
    mixed = np.zeros(features.shape[1])
    if estimator.scanner is not None:  # a pass shows what the mean did meanwhile as a shape
        mixed = np.einsum("zc,zy,yc->c", response.basis, estimator.scanner.wandering, response.basis)
    lost_um = line.lips.backlash_um + line.lips.resolution_um  # of a move, at most, where the play is as described
    unsure = np.maximum(PRIOR, [0.0, 0.0, line.die.alignment_uncertainty_mm / line.die.zone_pitch_mm, 0.0, 0.0])
    drift = estimator.film.rate[:-1] * (block_m / speed_mps) + (features[GAIN] ** 2).sum(axis=1) * lost_um**2
    noise = 2.0 * (estimator.film.reading[:-1] + mixed)
    reads = max(block_m / speed_mps / estimator.primary.period_s, 1.0)
    return Adaptation(
        block_m=block_m,
        play_um=line.lips.backlash_um,
        least_um=EXCITED * lost_um,
        features=features,
        bends=response.basis.T @ (ahead + behind - 2.0 * here) / STEP**2,
        effects=response.basis.T @ here,
        drift=drift,
        noise=noise,
        basis=response.basis,
        precision=unsure**-2.0,
        far=far or candidates.build(line, response.basis, drift + noise / reads, unsure[[KERNEL, SHIFT]]),
    )


def _effect(line: LineDescription, numbers: Array) -> Array:
    die = moved(line.die, numbers)
    lips = lip_matrix(die)
    effect: Array = local_gain_per_um(replace(line, die=die)) * (lips - lips.mean(axis=0, keepdims=True))
    return effect


def described(line: LineDescription, numbers: Array, sigma: Array) -> LineDescription:
    """The line with the numbers on its die, and an alignment as unsure as it now is, never more than before."""
    die = moved(line.die, numbers)
    unsure_mm = max(SURE_SIGMAS * float(sigma[SHIFT]), ALIGNMENT_FLOOR) * die.zone_pitch_mm
    return replace(line, die=replace(die, alignment_uncertainty_mm=min(unsure_mm, die.alignment_uncertainty_mm)))


def init(zones: int) -> AdaptState:
    """Nothing known but the description."""
    nothing = np.full(zones, np.nan)
    return AdaptState(
        blocks.begun(zones), nothing, nothing, nothing, nothing, nothing, np.zeros((5, 5)), np.zeros(5), np.zeros(5),
        1.0, 0, 0, -1, np.zeros(4), candidates.nothing(),
    )  # fmt: skip


def watch(
    known: Adaptation, state: AdaptState, seen: EstimateState, inputs: LineInputs, troubled: bool = False
) -> AdaptState:
    """One cycle: gather readings and lips; at the end of a block of web, look.

    troubled: the loop has come off its own law, and lips that creep for many blocks are looked at as well.
    """
    if not inputs.encoder_valid or not inputs.gap_valid.all():
        return _anew(state, inputs, seen)
    if inputs.batch != state.batch:
        state = _doubted(known, state, inputs.batch)
    passed_m = inputs.web_m - state.block.begun_m
    if not 0.0 <= passed_m < 2.0 * known.block_m:
        return _anew(state, inputs, seen)
    half = 0.5 * known.play_um
    lips_um = np.minimum(np.maximum(state.lips_um, inputs.gap_um - half), inputs.gap_um + half)
    state = state._replace(block=blocks.gathered(state.block, seen, lips_um, seen.passed), lips_um=lips_um)
    return state if passed_m < known.block_m else _looked(known, state, inputs.web_m, troubled)


def _anew(state: AdaptState, inputs: LineInputs, seen: EstimateState) -> AdaptState:
    """A block begins without a past: what was learnt stays, what was gathered goes."""
    zones = state.lips_um.size
    heard = bool(np.isfinite(inputs.gap_um).all())
    begun_m = inputs.web_m if inputs.encoder_valid and heard else np.nan
    return init(zones)._replace(
        block=blocks.begun(zones, begun_m, seen.film.readings),
        lips_um=inputs.gap_um if heard else np.full(zones, np.nan),
        information=state.information,
        weighed=state.weighed,
        centre=state.centre,
        unease=state.unease,
        looks=state.looks,
        batch=state.batch,
        there=state.there,
        far=state.far,
        late_share=state.late_share,
    )


def _looked(known: Adaptation, state: AdaptState, web_m: float, troubled: bool) -> AdaptState:
    """The end of a block. What it read left the die during the block before it: it belongs to that one's lips."""
    over, zones = state.block, state.lips_um.size
    after = state._replace(block=blocks.begun(zones, web_m, over.film_readings), stood_um=over.mean_stood_um)
    read = over.mean_read
    if read is None:
        return after._replace(read_before=np.full(zones, np.nan))
    long_before_um, before_um, stood_um = state.stood_long_before_um, state.stood_before_um, state.stood_um
    renewed = after._replace(read_before=read, stood_long_before_um=before_um, stood_before_um=stood_um, waited=0)
    if not (np.isfinite(state.read_before).all() and np.isfinite(before_um).all()):
        return renewed
    moved_um = stood_um - before_um
    if float(np.mean(moved_um * moved_um)) < known.least_um**2:
        return after._replace(waited=state.waited + 1) if troubled and state.waited < LONGEST_WAIT else renewed
    jolt_um = np.zeros(zones)
    if not state.waited:  # lips that creep do so a little later too
        long_before_um = np.where(np.isfinite(long_before_um), long_before_um, before_um)
        jolt_um = 0.5 * ((before_um - over.mean_stood_um) - (long_before_um - stood_um))
    changed, blocks_since = read - state.read_before, state.waited + 1.0
    became = known.basis @ (changed[:-1] + known.effects @ moved_um)
    far = candidates.weighed(known.far, state.far, became, moved_um, jolt_um, blocks_since)
    drift = known.drift * blocks_since
    return _weighed(known, renewed._replace(far=far), changed, moved_um, jolt_um, drift, over.reads)


def _weighed(
    known: Adaptation, state: AdaptState, changed: Array, moved_um: Array, jolt_um: Array, drift: Array, reads: int
) -> AdaptState:
    """Take a look's change of the reading as evidence, where lips moved enough and it fits what is known.

    jolt_um: what the move would have been more, had the web come a whole dead time later; drift: variance meanwhile.
    """
    shown = np.column_stack((*(known.features @ moved_um), known.effects @ jolt_um))  # (zones - 1, 5)
    prior = state.information + np.diag(known.precision)
    best = mean(known, state)
    bent = 0.5 * (deviation(known, state) ** 2 + best**2)[:LATE] @ (known.bends @ moved_um)
    variance = state.unease * (drift + known.noise / reads + bent * bent)
    told = shown.T / variance
    missed = changed[:-1] - shown @ best
    answer = told @ missed
    left = missed @ (missed / variance) - answer @ np.linalg.solve(prior + told @ shown, answer)
    surprise = float(left) / missed.size  # beyond what other numbers would explain
    unease = state.unease * (1.0 + UNEASE * (min(surprise, GATE) - 1.0))
    state = state._replace(unease=float(np.clip(unease, *UNEASE_BOX)))
    if surprise > GATE:
        return state._replace(information=DOUBTED * state.information, weighed=DOUBTED * state.weighed)
    information, weighed = state.information + told @ shown, state.weighed + told @ changed[:-1]
    share = min(1.0, WORTH / max(float(np.max(np.diag(information) / known.precision)), 1e-9))
    state = state._replace(information=share * information, weighed=share * weighed, looks=state.looks + 1)
    late, unsure = float(mean(known, state)[LATE]), float(deviation(known, state)[LATE])
    return state._replace(late_share=max(abs(late) - SURE_SIGMAS * unsure, 0.0))


def _doubted(known: Adaptation, state: AdaptState, batch: int) -> AdaptState:
    """A new slurry: what was known of the gain is less sure, by as much as flow indices differ."""
    if state.batch < 0 or not state.looks:
        return state._replace(batch=batch)
    prior = np.diag(known.precision)
    unsure = np.linalg.inv(state.information + prior)
    now = mean(known, state)
    unsure[GAIN, GAIN] += NEW_BATCH_GAIN**2
    values, vectors = np.linalg.eigh(np.linalg.inv(unsure) - prior)
    information = (vectors * np.maximum(values, 0.0)) @ vectors.T
    weighed = (information + prior) @ now - known.precision * state.centre
    return state._replace(information=information, weighed=weighed, batch=batch)


def mean(known: Adaptation, state: AdaptState) -> Array:
    """The numbers as best known, from the model in use, (5,)."""
    total = state.information + np.diag(known.precision)
    return np.asarray(np.linalg.solve(total, state.weighed + known.precision * state.centre), dtype=np.float64)


def sureness(known: Adaptation, state: AdaptState) -> Array:
    """One sigma of the four numbers, by whoever is surer of each, (4,)."""
    if not state.far.looks:
        return deviation(known, state)[:LATE]
    return np.minimum(deviation(known, state)[:LATE], candidates.believed(known.far, state.far)[1])


def deviation(known: Adaptation, state: AdaptState) -> Array:
    """One sigma of each, (5,)."""
    unsure = np.linalg.inv(state.information + np.diag(known.precision))
    return np.asarray(np.sqrt(np.diag(unsure)), dtype=np.float64)


def proposal(known: Adaptation, state: AdaptState, tested: bool = False) -> Array | None:
    """Numbers that are surely and noticeably better than those in use, (4,); None while there are none.

    `tested`: bumps are being made to find out, and smaller differences are worth a new model too.
    """
    if state.block.stands:  # a look was just taken
        return None
    if (elsewhere := _far(known, state, np.zeros(4))) is not None:
        return elsewhere
    if state.looks < LOOKS_MIN:
        return None
    best, sigma = mean(known, state)[:LATE], deviation(known, state)[:LATE]
    inside: Array = np.minimum(np.maximum(best + state.there, -BOX), BOX) - state.there
    worth = INSENSITIVE * (FINER if tested else 1.0)
    if not ((np.abs(inside) > worth) & (np.abs(inside) > SURE_SIGMAS * sigma)).any():
        return None
    return None if _far(known, state, inside) is not None else inside


def _far(known: Adaptation, state: AdaptState, numbers: Array) -> Array | None:
    """Numbers of a map that surely fits better than that at `numbers` from the one in use, and lies far away, (4,)."""
    if not state.far.looks:
        return None
    fitting, sigma = candidates.believed(known.far, state.far)
    away = np.abs(fitting - state.there - numbers)
    return fitting - state.there if ((away > FAR) & (away > FAR_SIGMAS * sigma)).any() else None


def accepted(state: AdaptState, numbers: Array) -> AdaptState:
    """The model in use has moved by `numbers`: evidence and description are seen from there."""
    zones = state.lips_um.size
    nothing, moved_by = np.full(zones, np.nan), np.append(numbers, 0.0)
    after = state._replace(
        block=blocks.begun(zones), read_before=nothing, stood_long_before_um=nothing, stood_before_um=nothing,
        stood_um=nothing, there=state.there + numbers, waited=0, looks=0
    )  # fmt: skip
    if (np.abs(numbers) > FAR).any():  # what a straight line made of the moves so far is no evidence there
        return after._replace(information=np.zeros((5, 5)), weighed=np.zeros(5), centre=np.zeros(5))
    return after._replace(weighed=state.weighed - state.information @ moved_by, centre=state.centre - moved_by)


def words(die: DieDescription, numbers: Array, sigma: Array) -> str:
    """What was learnt, for the person at the line."""
    return (
        f"the map from lips to web was learnt anew: gain {100.0 * np.expm1(numbers[GAIN]):+.0f} %, kernel width "
        f"{100.0 * np.expm1(numbers[KERNEL]):+.0f} %, alignment {numbers[SHIFT]:+.2f} zones "
        f"({numbers[SHIFT] * die.zone_pitch_mm:+.1f} mm), stretch {100.0 * numbers[STRETCH]:+.1f} %, one sigma "
        f"{100.0 * sigma[GAIN]:.0f} %, {100.0 * sigma[KERNEL]:.0f} %, {sigma[SHIFT]:.2f} zones"
    )
