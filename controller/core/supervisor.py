"""Who moves the actuators: requested mode + evidence -> actual mode and the reason in words.

Faults are values here. A fault that may pass by itself (a stale gauge, a stopped line) holds while it lasts; one that
says something is wrong with us (a refused or non-finite command, no law left on the ladder) holds until a person asks
for a mode again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from controller.core.estimate import USABLE_SHARE, EstimateState, Estimator
from controller.line.command import Mode, OperatorRequest, Outcome
from controller.line.description import ControlDescription
from controller.line.profile import LineInputs, LineState


@dataclass(frozen=True, slots=True)
class SupervisorState:
    """`latched` is the fault that waits for a person; OK when there is none."""

    requested: Mode
    actual: Mode
    outcome: Outcome
    latched: Outcome


def init(requested: Mode) -> SupervisorState:
    """Start in HOLD, or ADVISORY when no more was asked for: nothing moves before evidence is in."""
    actual = Mode.ADVISORY if requested is Mode.ADVISORY else Mode.HOLD
    return SupervisorState(requested=requested, actual=actual, outcome=Outcome.START_UP, latched=Outcome.OK)


def request(state: SupervisorState, asked: OperatorRequest | None) -> SupervisorState:
    """Take in what a person asks for. Asking for a mode again releases a latched fault."""
    if asked is None or asked.mode is None:
        return state
    return replace(state, requested=asked.mode, latched=Outcome.OK)


def latch(state: SupervisorState, fault: Outcome) -> SupervisorState:
    """Hold from now on, for `fault`, until a person asks for a mode again."""
    actual = Mode.ADVISORY if state.requested is Mode.ADVISORY else Mode.HOLD
    return replace(state, latched=fault, outcome=fault, actual=actual)


def decide(
    control: ControlDescription,
    estimator: Estimator,
    state: SupervisorState,
    inputs: LineInputs,
    estimate: EstimateState,
) -> SupervisorState:
    """The actual mode of this cycle and why."""
    outcome = _evidence(state, inputs)
    if outcome is Outcome.OK and state.requested in (Mode.AUTO, Mode.ADVISORY):
        outcome = _gauge_evidence(control, estimator, inputs, estimate)
    if outcome is Outcome.OK:
        actual = state.requested
    else:
        actual = Mode.ADVISORY if state.requested is Mode.ADVISORY else Mode.HOLD
    return SupervisorState(state.requested, actual, outcome, state.latched)


def _evidence(state: SupervisorState, inputs: LineInputs) -> Outcome:
    """What forbids any move, the gravest first."""
    if inputs.safe_stop:
        return Outcome.SAFE_STOP
    if state.latched is not Outcome.OK:
        return state.latched
    if _feedback_lost(inputs):
        return Outcome.FEEDBACK_LOST
    if not (inputs.pump_valid and inputs.encoder_valid):
        return Outcome.ENCODER_LOST if inputs.pump_valid else Outcome.PUMP_LOST
    if inputs.nodes_latched:
        return Outcome.NODES_LATCHED
    return Outcome.OK if inputs.line_state is LineState.RUNNING else Outcome.LINE_STOPPED


def _feedback_lost(inputs: LineInputs) -> bool:
    """No bolt is seen, or one was never heard of at all."""
    gap_um, gap_valid = inputs.gap_um, inputs.gap_valid
    heard = math.isfinite(gap_um.item(gap_um.argmin())) and math.isfinite(gap_um.item(gap_um.argmax()))
    return not (heard and gap_valid.item(gap_valid.argmax()))


def _gauge_evidence(
    control: ControlDescription, estimator: Estimator, inputs: LineInputs, estimate: EstimateState
) -> Outcome:
    """Whether the gauge that closes the loop has something fresh and whole to say."""
    if estimate.good_share < USABLE_SHARE and estimate.reading.t_ns >= 0:
        return Outcome.GAUGE_INVALID
    patience_ns = control.stale_periods * estimator.primary.period_s * 1e9
    if estimate.reading.t_ns < 0 or abs(inputs.t_line_ns - estimate.reading.t_ns) > patience_ns:
        return Outcome.GAUGE_STALE
    return Outcome.OK
