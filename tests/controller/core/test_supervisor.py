"""Who moves the actuators, and why: every outcome in a table, their order, and any sequence of faults and requests."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controller.core import estimate, supervisor
from controller.core.response import believe
from controller.core.supervisor import SupervisorState
from controller.line.command import Mode, OperatorRequest, Outcome
from controller.line.profile import LineState
from tests.factories import NS, make_inputs, make_line

LINE = make_line(4)  # stale after 5 periods of 0.1 s
ESTIMATOR = estimate.build(LINE, believe(LINE))
NEVER_SEEN = estimate.init(ESTIMATOR)
T_S = 100.0


def seen(age_s: float = 0.0, good_share: float = 1.0) -> estimate.EstimateState:
    reading = NEVER_SEEN.reading._replace(t_ns=round((T_S - age_s) * NS), valid=np.ones(4, dtype=bool))
    return NEVER_SEEN._replace(reading=reading, good_share=good_share)


def decide(state: SupervisorState, now: estimate.EstimateState, **changes: object) -> SupervisorState:
    return supervisor.decide(LINE.control, ESTIMATOR, state, make_inputs(LINE, T_S, **changes), now)


def running(requested: Mode, latched: Outcome = Outcome.OK) -> SupervisorState:
    return SupervisorState(requested=requested, actual=requested, outcome=Outcome.OK, latched=latched)


NAN_GAP = np.array([600.0, np.nan, 600.0, 600.0])
FAULTS = {  # what is found -> what it is called; the gravest first
    Outcome.SAFE_STOP: {"safe_stop": True},
    Outcome.FEEDBACK_LOST: {"gap_valid": np.zeros(4, dtype=bool)},
    Outcome.PUMP_LOST: {"pump_valid": False},
    Outcome.ENCODER_LOST: {"encoder_valid": False},
    Outcome.NODES_LATCHED: {"nodes_latched": True},
    Outcome.LINE_STOPPED: {"line_state": LineState.STOPPED},
}


@pytest.mark.parametrize("requested", list(Mode))
@pytest.mark.parametrize(("outcome", "found"), FAULTS.items(), ids=[outcome.name for outcome in FAULTS])
def test_each_fault_of_the_line_holds_in_every_mode_but_advisory(requested, outcome, found):
    judged = decide(running(requested), seen(), **found)
    assert judged.outcome is outcome
    assert judged.actual is (Mode.ADVISORY if requested is Mode.ADVISORY else Mode.HOLD)
    assert judged.latched is Outcome.OK
    assert decide(judged, seen()).actual is requested  # it passes by itself


@pytest.mark.parametrize("line_state", [state for state in LineState if state is not LineState.RUNNING])
def test_a_line_that_does_not_run_is_held(line_state):
    assert decide(running(Mode.AUTO), seen(), line_state=line_state).outcome is Outcome.LINE_STOPPED


def test_a_bolt_that_was_never_heard_is_lost_feedback_and_a_frozen_one_is_not():
    assert decide(running(Mode.AUTO), seen(), gap_um=NAN_GAP).outcome is Outcome.FEEDBACK_LOST
    one_frozen = np.array([True, False, True, True])
    assert decide(running(Mode.AUTO), seen(), gap_valid=one_frozen).outcome is Outcome.OK


@pytest.mark.parametrize("requested", list(Mode))
@pytest.mark.parametrize(
    ("now", "outcome"),
    [
        (seen(), Outcome.OK),
        (seen(age_s=0.49), Outcome.OK),
        (seen(age_s=0.51), Outcome.GAUGE_STALE),
        (seen(age_s=-0.51), Outcome.GAUGE_STALE),  # a scan from the future: the time base was reset
        (NEVER_SEEN, Outcome.GAUGE_STALE),
        (seen(good_share=0.5), Outcome.OK),
        (seen(good_share=0.49), Outcome.GAUGE_INVALID),
        (seen(good_share=0.0, age_s=9.0), Outcome.GAUGE_INVALID),
    ],
)
def test_the_gauge_matters_where_the_law_runs(requested, now, outcome):
    judged = decide(running(requested), now)
    if requested in (Mode.AUTO, Mode.ADVISORY):
        assert judged.outcome is outcome
        wanted = outcome is Outcome.OK
        assert judged.actual is (requested if wanted or requested is Mode.ADVISORY else Mode.HOLD)
    else:
        assert (judged.actual, judged.outcome) == (requested, Outcome.OK)


@pytest.mark.parametrize("fault", [Outcome.NOT_FINITE, Outcome.REFUSED, Outcome.NO_LAW_LEFT])
def test_a_latched_fault_holds_until_a_person_asks_for_a_mode(fault):
    state = supervisor.latch(running(Mode.AUTO), fault)
    assert (state.actual, state.outcome) == (Mode.HOLD, fault)
    for asked in (None, OperatorRequest(), OperatorRequest(pump_trim_pct=1.0), OperatorRequest(rearm=True)):
        state = decide(supervisor.request(state, asked), seen())
        assert (state.actual, state.outcome) == (Mode.HOLD, fault)
    state = decide(supervisor.request(state, OperatorRequest(mode=Mode.AUTO)), seen())
    assert (state.actual, state.outcome) == (Mode.AUTO, Outcome.OK)


def test_the_gravest_of_many_faults_is_named():
    everything: dict[str, object] = {}
    for outcome, found in reversed(FAULTS.items()):
        everything |= found
        assert decide(running(Mode.AUTO), NEVER_SEEN, **everything).outcome is outcome
    latched = running(Mode.AUTO, latched=Outcome.REFUSED)
    assert decide(latched, NEVER_SEEN, **everything).outcome is Outcome.SAFE_STOP
    assert decide(latched, NEVER_SEEN, **(everything | {"safe_stop": False})).outcome is Outcome.REFUSED


@pytest.mark.parametrize("requested", list(Mode))
def test_at_the_start_nobody_moves(requested):
    state = supervisor.init(requested)
    assert state.actual is (Mode.ADVISORY if requested is Mode.ADVISORY else Mode.HOLD)
    assert state.outcome is Outcome.START_UP


def test_every_outcome_is_a_sentence_that_is_tested_here():
    told = {*FAULTS, Outcome.OK, Outcome.START_UP, Outcome.GAUGE_STALE, Outcome.GAUGE_INVALID}
    assert told | {Outcome.NOT_FINITE, Outcome.REFUSED, Outcome.NO_LAW_LEFT} == set(Outcome)
    assert all(len(outcome.value.split()) >= 3 for outcome in Outcome)


class SupervisorMachine(RuleBasedStateMachine):
    """Any sequence of requests and faults. The model beside it is only: what is wrong now, and what was latched."""

    def __init__(self) -> None:
        super().__init__()
        self.state = supervisor.init(Mode.HOLD)
        self.wrong: dict[Outcome, dict[str, object]] = {}
        self.gauge_age_s, self.good_share = 0.0, 1.0
        self.latched: Outcome | None = None
        self._cycle()

    def _cycle(self) -> None:
        changes: dict[str, object] = {}
        for found in self.wrong.values():
            changes |= found
        self.state = decide(self.state, seen(self.gauge_age_s, self.good_share), **changes)

    @rule(mode=st.sampled_from(Mode))
    def ask_for_a_mode(self, mode: Mode) -> None:
        self.state = supervisor.request(self.state, OperatorRequest(mode=mode))
        self.latched = None
        self._cycle()

    @rule(rearm=st.booleans(), trim_pct=st.sampled_from([None, 1.0]))
    def ask_for_something_else(self, rearm: bool, trim_pct: float | None) -> None:
        self.state = supervisor.request(self.state, OperatorRequest(rearm=rearm, pump_trim_pct=trim_pct))
        self._cycle()

    @rule(outcome=st.sampled_from(list(FAULTS)))
    def something_breaks(self, outcome: Outcome) -> None:
        self.wrong[outcome] = FAULTS[outcome]
        self._cycle()

    @precondition(lambda self: self.wrong)
    @rule(data=st.data())
    def something_mends(self, data: st.DataObject) -> None:
        del self.wrong[data.draw(st.sampled_from(sorted(self.wrong)))]
        self._cycle()

    @rule(age_s=st.sampled_from([0.0, 0.4, 0.6, 60.0]), share=st.sampled_from([1.0, 0.5, 0.3]))
    def the_gauge_changes(self, age_s: float, share: float) -> None:
        self.gauge_age_s, self.good_share = age_s, share
        self._cycle()

    @rule(fault=st.sampled_from([Outcome.NOT_FINITE, Outcome.REFUSED, Outcome.NO_LAW_LEFT]))
    def our_own_command_was_bad(self, fault: Outcome) -> None:
        self.state = supervisor.latch(self.state, fault)
        self.latched = fault

    @invariant()
    def never_auto_against_evidence(self) -> None:
        if self.state.actual is Mode.AUTO:
            assert not self.wrong
            assert self.latched is None
            assert self.gauge_age_s < 0.5
            assert self.good_share >= 0.5

    @invariant()
    def a_latched_fault_stays_until_somebody_asks(self) -> None:
        assert self.state.latched is (self.latched or Outcome.OK)
        if self.latched:
            assert self.state.actual in (Mode.HOLD, Mode.ADVISORY)

    @invariant()
    def nobody_is_given_more_than_he_asked_for(self) -> None:
        assert self.state.actual in (self.state.requested, Mode.HOLD)
        assert self.state.requested is not Mode.ADVISORY or self.state.actual is Mode.ADVISORY

    @invariant()
    def a_reason_is_given_just_when_there_is_one(self) -> None:
        if self.state.outcome is Outcome.OK:
            assert self.state.actual is self.state.requested
        else:
            assert self.state.outcome in self.wrong or self.state.outcome in (
                self.latched, Outcome.GAUGE_STALE, Outcome.GAUGE_INVALID
            )  # fmt: skip


TestSupervisorMachine = SupervisorMachine.TestCase
TestSupervisorMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@pytest.mark.parametrize("mode", list(Mode))
def test_the_start_keeps_what_was_asked_for_and_moves_nothing(mode):
    actual = Mode.ADVISORY if mode is Mode.ADVISORY else Mode.HOLD
    assert supervisor.init(mode) == SupervisorState(mode, actual, Outcome.START_UP, Outcome.OK)


def test_asking_for_a_mode_changes_that_and_releases_the_latch():
    held = supervisor.latch(running(Mode.AUTO), Outcome.REFUSED)
    asked = supervisor.request(held, OperatorRequest(mode=Mode.MANUAL))
    assert asked == SupervisorState(Mode.MANUAL, Mode.HOLD, Outcome.REFUSED, Outcome.OK)


def test_a_bolt_fed_back_at_infinity_is_lost_feedback():
    for far in (np.inf, -np.inf):
        found = decide(running(Mode.AUTO), seen(), gap_um=np.array([600.0, far, 600.0, 600.0]))
        assert found.outcome is Outcome.FEEDBACK_LOST


def test_a_scan_at_time_zero_is_a_scan_and_patience_ends_with_its_last_nanosecond():
    reading = NEVER_SEEN.reading._replace(t_ns=0, valid=np.ones(4, dtype=bool))
    at_zero = NEVER_SEEN._replace(reading=reading, good_share=1.0)
    patient = replace(LINE.control, stale_periods=1000)
    patience_ns = round(1000 * ESTIMATOR.primary.period_s * NS)

    def at(t_line_ns: int, now: estimate.EstimateState) -> Outcome:
        inputs = make_inputs(LINE, t_line_ns / NS)
        assert inputs.t_line_ns == t_line_ns
        return supervisor.decide(patient, ESTIMATOR, running(Mode.AUTO), inputs, now).outcome

    assert at(0, at_zero) is Outcome.OK
    assert at(0, at_zero._replace(good_share=0.0)) is Outcome.GAUGE_INVALID
    assert at(patience_ns, at_zero) is Outcome.OK
    assert at(patience_ns + 10, at_zero) is Outcome.GAUGE_STALE
