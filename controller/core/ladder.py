"""Which law may act: rungs from the line's own law down to holding all, and the evidence that sends the loop down.

    own law -> its parameters frozen, closed-loop times doubled -> modal PI -> pump only -> hold and call a person

A line whose own law is the PI begins at that rung. Each kind of evidence is a one-sided CUSUM (Page 1954) over the web:
what a look finds beyond what is allowed adds up, what it finds below takes away, and where the sum passes its limit the
loop goes down a rung. A second's worth of bad luck therefore does nothing, and the worse it is the sooner it counts.
An answer that is no number goes down at once. Going up again takes a dwell, one rung at a time, and the dwell grows
fourfold each time a rung fails soon after it was climbed: the loop does not chatter between rungs.

All is counted in web, in `span_m`: dead time and closed-loop time of the slowest loop together. A web that stands still
is no evidence and no dwell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from controller.core import shadow
from controller.core.envelope import Applied, Envelope
from controller.core.estimate import EstimateState, Estimator
from controller.core.law import Law, LawState, ModalPi, build
from controller.core.shadow import Pi, Shadow
from controller.line.command import Cause, Limit, Rung, UncertifiedCommand
from controller.line.description import Array, BoolArray, LawName, LineDescription
from controller.line.profile import LineInputs

SLOWER = 2.0  # times the closed-loop times, on the rung below the own law
DWELL_DELAYS = 2.0  # transport delays of web, at least, before going up a rung
LONGER = 4.0  # times the dwell, each time a rung failed again
FAILURES_MAX = 6
CALM_SHARE = 0.1  # of a limit: nobody climbs while more speaks against where he stands
SOON_SPANS = 30.0  # a rung that fails within this of being climbed has failed again
LOOKS_A_SPAN = 8.0  # of the faster loop: more tell no more, and each costs a quarter of a step
MEMORY_SPANS = 2.0  # over which mean squares forget
EVEN_SHARE = 0.1  # of the tolerance: nobody is called worse than the shadow for less than this

LATE, SURPRISE_CD, SURPRISE_MD, BOUND_CD, BOUND_MD, WORSE_CD, WORSE_MD = range(7)
CAUSES = (
    Cause.LATE, Cause.SURPRISE_CD, Cause.SURPRISE_MD, Cause.BOUND_CD, Cause.BOUND_MD, Cause.WORSE_CD, Cause.WORSE_MD
)  # fmt: skip
OF_THE_PROFILE = (SURPRISE_CD, BOUND_CD, WORSE_CD)
NEVER = 1e9
# What a look may find, by rung, in the order of CAUSES: share of late cycles; squared innovations over those believed;
# share of bound zones and of a bound pump, less the shadow's; mean squares over the shadow's. What normal running
# finds, at most: 0; 5.1, 5.6; 0.1, 0.4; 1.4 under an own law and, where dead band and rate slow it, 2.2 under the PI.
ALLOWED = {
    Rung.OWN: np.array([0.5, 6.0, 6.0, 0.5, 0.5, 1.5, 1.5]),
    Rung.LINEAR: np.array([0.5, 6.0, 6.0, 0.5, 0.5, 1.5, 1.5]),
    Rung.SLOWED: np.array([0.5, 6.0, 6.0, 0.5, 0.5, 1.5, 1.5]),
    Rung.PI: np.array([NEVER, 6.0, NEVER, 0.5, NEVER, 3.0, 3.0]),  # is late as any, and asks for no statistics
    Rung.PUMP: np.array([NEVER, NEVER, NEVER, NEVER, NEVER, NEVER, 3.0]),
    Rung.HOLD: np.full(7, NEVER),
}
MOST = np.array([1.0, 20.0, 20.0, 1.0, 1.0, 8.0, 8.0])  # a single look cannot say more
LIMIT = np.array([1.0, 40.0, 80.0, 3.0, 3.0, 4.0, 4.0])  # where the sum over the spans is enough


@dataclass(frozen=True, slots=True)
class PumpOnly:
    """The pump by its PI; the lips stay where they were last sent."""

    pi: ModalPi

    def decide(
        self, state: LawState, estimate: EstimateState, last: Applied, web_s: float
    ) -> tuple[LawState, UncertifiedCommand]:
        """The PI's pump."""
        after, wish = self.pi.decide(state, estimate, last, web_s)
        return after._replace(memory_cd=state.memory_cd), replace(wish, gap_um=last.gap_um)

    def track(self, estimate: EstimateState, last: Applied) -> LawState:
        """As the PI."""
        return self.pi.track(estimate, last)

    def limited(self, state: LawState, wish: UncertifiedCommand, certified: Applied) -> LawState:
        """As the PI."""
        return self.pi.limited(state, wish, certified)


@dataclass(frozen=True, slots=True)
class Ladder:
    """Constants for one line. `laws` belong to `rungs`, but for the last one, HOLD, which needs none."""

    rungs: tuple[Rung, ...]
    laws: tuple[Law, ...]
    pi: Pi
    scanning: bool
    expected: Array  # (zones,), variance of one reading of the film, log^2
    even2: Array  # (2,), mean squares that are even enough, of shapes (summed over the modes) and of the mean, log^2
    nominal_mps: float
    look_m: float
    span_m: float  # a web that went further than this between two looks is another one
    dwell_m: float


class LadderState(NamedTuple):
    """Where we stand and what is known. Lengths are of web, m.

    squares: (4,), mean squares of shapes and mean, of the real loop and of the shadow; against_pi: real over shadow and
    what is even enough, NaN before there is anything to compare; compared: looks so far. evidence: (7,), the CUSUMs, in
    spans. Since the last look: late, cycles that followed a missed deadline; bound, sums over the cycles of the share
    of zones, and of whether the pump, that limits held back; cycles; spoke, whether the network added anything.
    failures: how often a rung failed soon after it was climbed.
    """

    rung: int
    cause: Cause
    dwelt_m: float
    climbed: bool
    failures: int
    looked_m: float
    readings: int
    shadow: Shadow | None
    squares: Array
    against_pi: tuple[float, float]
    compared: int
    evidence: Array
    late: int
    bound_cd: float
    bound_md: float
    cycles: int
    spoke: bool = False


NOTHING = np.zeros(len(CAUSES))
NO_SQUARES = np.zeros(4)
UNCOMPARED = (math.nan, math.nan)


def configure(line: LineDescription, estimator: Estimator, own: Law, guest: bool = False) -> Ladder:
    """The ladder of a line with `own` at its top; `guest`: there is a network that can be sent away."""
    pi = own if isinstance(own, ModalPi) else _pi(line, estimator)
    rungs: tuple[Rung, ...] = (Rung.PI, Rung.PUMP, Rung.HOLD)
    laws: tuple[Law, ...] = (pi, PumpOnly(pi))
    if own is not pi:
        rungs, laws = (Rung.OWN, Rung.SLOWED, *rungs), (own, _slowed(line, estimator), *laws)
    if guest:
        rungs, laws = (Rung.OWN, Rung.LINEAR, *rungs[1:]), (own, *laws)
    primary, control, speed_mps = estimator.primary, line.control, line.web_speed_mps
    dead_s = primary.distance_m / speed_mps + primary.period_s
    spans_s = [dead_s + max(dead_s, loop_s) for loop_s in (control.closed_loop_cd_s, control.closed_loop_md_s)]
    even2 = (0.01 * EVEN_SHARE * line.target.tolerance_pct) ** 2
    span_m = speed_mps * max(spans_s)
    return Ladder(
        rungs=rungs,
        laws=laws,
        pi=Pi.of(pi, Envelope.of(line)),
        scanning=estimator.scanner is not None,
        expected=estimator.film.reading,
        even2=np.array([line.zones * even2, even2]),
        nominal_mps=speed_mps,
        look_m=speed_mps * min(spans_s) / LOOKS_A_SPAN,
        span_m=span_m,
        dwell_m=max(DWELL_DELAYS * primary.distance_m, span_m),
    )


def _pi(line: LineDescription, estimator: Estimator) -> ModalPi:
    law = build(replace(line, control=replace(line.control, law=LawName.PI)), estimator)
    assert isinstance(law, ModalPi)
    return law


def _slowed(line: LineDescription, estimator: Estimator) -> Law:
    """The plain law of the line file, whatever the own one has learnt since, at half its speed."""
    control = replace(
        line.control,
        law=LawName.IMC,
        closed_loop_cd_s=SLOWER * line.control.closed_loop_cd_s,
        closed_loop_md_s=SLOWER * line.control.closed_loop_md_s,
    )
    return build(replace(line, control=control), estimator)


def init() -> LadderState:
    """At the top, nothing known."""
    return LadderState(
        rung=0,
        cause=Cause.NONE,
        dwelt_m=0.0,
        climbed=False,
        failures=0,
        looked_m=math.nan,
        readings=0,
        shadow=None,
        squares=NO_SQUARES,
        against_pi=UNCOMPARED,
        compared=0,
        evidence=NOTHING,
        late=0,
        bound_cd=0.0,
        bound_md=0.0,
        cycles=0,
    )


def asked(state: LadderState) -> LadderState:
    """A person asks for AUTO again: what failed is forgiven, and the loop begins a rung below the top, no lower.

    The top has to be earned by one dwell; who asks without a fault stays where he is.
    """
    return _at(state, min(state.rung, 1), state.cause)._replace(failures=0) if state.rung else state


def failed(ladder: Ladder, state: LadderState, cause: Cause) -> LadderState:
    """The rung's law gave no answer that can be used: down at once."""
    return _down(ladder, state, cause, state.rung + 1)


def noted(
    state: LadderState, zones: int, limits: tuple[Limit, ...], limited: int, missed: int, spoke: bool = False
) -> LadderState:
    """Remember what a cycle met: limits that bound, `limited` zones of `zones` that they changed, missed deadlines, and
    whether the network had something to add."""
    return state._replace(
        late=state.late + (missed > 0),
        bound_cd=state.bound_cd + limited / zones,
        bound_md=state.bound_md + shadow.pump_bound(limits),
        cycles=state.cycles + 1,
        spoke=state.spoke or spoke,
    )


def rested(state: LadderState) -> LadderState:
    """A cycle in which nobody acts, or the web cannot be followed: no evidence, no dwell, and no shadow."""
    if math.isnan(state.looked_m):
        return state
    return state._replace(
        looked_m=math.nan, shadow=None, squares=NO_SQUARES, against_pi=UNCOMPARED, compared=0, late=0, bound_cd=0.0,
        bound_md=0.0, cycles=0, spoke=False
    )  # fmt: skip


def follow(
    ladder: Ladder, state: LadderState, seen: EstimateState, inputs: LineInputs, last: Applied, idle: BoolArray,
    sent: bool
) -> LadderState:  # fmt: skip
    """One cycle in which a law acts; every `look_m` of web a look. `sent` is False in ADVISORY: no loop to judge.

    `last` is where the actuators were last sent, `idle` (zones,) which bolts are left alone.
    """
    passed_m = inputs.web_m - state.looked_m
    if not 0.0 <= passed_m < ladder.span_m or sent != (state.shadow is not None):
        started = shadow.twin(ladder.pi, seen, last) if sent else None
        return rested(state)._replace(looked_m=inputs.web_m, readings=seen.film.readings, shadow=started)
    if passed_m < ladder.look_m or seen.film.readings == state.readings or not state.cycles:
        return state
    levels = NOTHING.copy()
    levels[LATE] = state.late / state.cycles
    if sent and (twin := state.shadow) is not None:
        state = _compared(ladder, state, twin, seen, inputs, idle)
        levels[SURPRISE_CD:BOUND_CD] = _surprise(ladder, seen)
        levels[BOUND_CD] = state.bound_cd / state.cycles - twin.bound_cd  # what holds back a PI too is the web's
        levels[BOUND_MD] = state.bound_md / state.cycles - twin.bound_md
        levels[WORSE_CD:] = state.against_pi
    return judged(ladder, state, levels, passed_m, inputs.web_m, seen.film.readings)


def _surprise(ladder: Ladder, seen: EstimateState) -> tuple[float, float]:
    """Square of the newest innovation over what was expected: mean over the shapes, and of the mean."""
    film = seen.film
    if ladder.scanning:  # a pass is one reading of everything, and keeps its own record
        surprise = film.surprise2
    else:
        surprise = film.innovation * film.innovation * (1.0 - film.gain) / (ladder.expected * film.doubt)
    mean = float(surprise[-1])
    return (float(np.add.reduce(surprise)) - mean) / (surprise.size - 1), mean


def _compared(
    ladder: Ladder, state: LadderState, twin: Shadow, seen: EstimateState, inputs: LineInputs, idle: BoolArray
) -> LadderState:
    """Set what the real loop leaves at the gauge against what the shadow would have left of the same disturbance."""
    real, virtual = seen.model.at(seen.film_m), twin.behind.at(seen.film_m)
    if real is None or virtual is None:  # nothing known of the web on its way: the next cycle begins anew
        return state._replace(shadow=None)
    disturbance = seen.film.mean + seen.offset.mean
    real, virtual = disturbance + real, disturbance + virtual
    foreseen = seen.reading.disturbance_md - float(disturbance[-1])  # of a new batch; a PI waits until it is seen
    modes, passed_m = ladder.pi.kp_cd.size, inputs.web_m - state.looked_m
    left_cd, virtual_cd = real[:modes], virtual[:modes]
    found = np.array(
        [left_cd @ left_cd, (real[-1] + foreseen) ** 2, virtual_cd @ virtual_cd, (virtual[-1] + foreseen) ** 2]
    )
    share = max(1.0 / (state.compared + 1), min(1.0, passed_m / (MEMORY_SPANS * ladder.span_m)))
    web_s, slowest_mps = passed_m / ladder.nominal_mps, 0.1 * ladder.nominal_mps
    dt_s = passed_m / max(inputs.web_speed_mps, slowest_mps)
    squares = state.squares + share * (found - state.squares)
    worse = squares[:2] / (squares[2:] + ladder.even2)
    return state._replace(
        shadow=shadow.moved(ladder.pi, twin, virtual, inputs.web_m, web_s, dt_s, idle | ~inputs.gap_valid),
        squares=squares,
        against_pi=(float(worse[0]), float(worse[1])),
        compared=state.compared + 1,
    )


def judged(
    ladder: Ladder, state: LadderState, levels: Array, passed_m: float, web_m: float, readings: int
) -> LadderState:
    """Add up the evidence, and go down or up where it is enough."""
    allowed, spans = ALLOWED[ladder.rungs[state.rung]], passed_m / ladder.span_m
    evidence = np.fmax(state.evidence + spans * (np.fmin(levels, MOST) - allowed), 0.0)
    spoke = state.spoke
    state = state._replace(
        dwelt_m=state.dwelt_m + passed_m,
        looked_m=web_m,
        readings=readings,
        evidence=evidence,
        late=0,
        bound_cd=0.0,
        bound_md=0.0,
        cycles=0,
        spoke=False,
    )
    over = evidence / LIMIT
    worst = int(over.argmax())
    if over[worst] > 1.0:
        return _down(ladder, state, CAUSES[worst], _lower(ladder, state.rung, worst, spoke))
    calm = float(over[worst]) < CALM_SHARE
    if state.rung and calm and state.dwelt_m >= dwell_m(ladder, state):
        up = _upper(ladder, state.rung, spoke)
        return _at(state, up, state.cause if up else Cause.NONE)._replace(climbed=True)
    return state


def dwell_m(ladder: Ladder, state: LadderState) -> float:
    """Web that has to pass on this rung before the next one up is tried, m."""
    return ladder.dwell_m * LONGER**state.failures


def _lower(ladder: Ladder, rung: int, worst: int, spoke: bool) -> int:
    """The next rung. Under a PI whose mean goes wrong it is the pump that is at fault, and no lips are to blame; and to
    send a network away that adds to the mean only, or added nothing, changes nothing of a profile that goes wrong."""
    if ladder.rungs[rung] is Rung.PI and worst == WORSE_MD:
        return ladder.rungs.index(Rung.HOLD)
    innocent = worst in OF_THE_PROFILE or not spoke
    return rung + 2 if innocent and ladder.rungs[rung + 1] is Rung.LINEAR else rung + 1


def _upper(ladder: Ladder, rung: int, spoke: bool) -> int:
    """The rung above. To rest where the network is away changes nothing while it has nothing to say."""
    return rung - 2 if ladder.rungs[rung - 1] is Rung.LINEAR and not spoke else rung - 1


def _down(ladder: Ladder, state: LadderState, cause: Cause, rung: int) -> LadderState:
    failures = state.failures
    if state.climbed:
        soon = state.dwelt_m < SOON_SPANS * ladder.span_m + dwell_m(ladder, state)
        failures = min(failures + 1, FAILURES_MAX) if soon else 0
    return _at(state, min(rung, len(ladder.rungs) - 1), cause)._replace(failures=failures)


def _at(state: LadderState, rung: int, cause: Cause) -> LadderState:
    """On another rung: a new record, and a shadow that starts where things stand now."""
    return rested(state)._replace(rung=rung, cause=cause, dwelt_m=0.0, climbed=False, evidence=NOTHING)
