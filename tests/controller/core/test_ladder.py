"""The fallback ladder: what sends the loop down, what lets it up again, and that nobody notices the change of hands."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core import ladder, shadow
from controller.core import step as core
from controller.core.envelope import Applied
from controller.core.estimate import EstimateState
from controller.core.ladder import LadderState
from controller.core.law import Imc, Law, LawState, ModalPi, PurePi
from controller.core.step import Config
from controller.line.command import ActuatorCommand, Cause, Limit, Mode, OperatorRequest, Outcome, Rung
from controller.line.command import UncertifiedCommand as Wish
from controller.line.description import LawName
from controller.line.profile import LineInputs
from evencoat.league import field, players
from tests.controller.core.test_step import SYNC_S, Drive, uneven
from tests.factories import NS, ToyWeb, identical, make_line

LINE = make_line()
CONFIG = core.configure(LINE, SYNC_S)
LADDER = CONFIG.ladder
CALM = np.zeros(len(ladder.CAUSES))
OF = {cause: number for number, cause in enumerate(ladder.CAUSES)}
BOTTOM = len(LADDER.rungs) - 1


def level(*causes: Cause, size: float = math.inf) -> np.ndarray:
    """What a look finds when nothing but these speaks against the rung."""
    levels = CALM.copy()
    levels[[OF[cause] for cause in causes]] = size
    return levels


def looked(state: LadderState, levels: np.ndarray, passed_m: float) -> LadderState:
    return ladder.judged(LADDER, state, levels, passed_m, 0.0, 0)


def on(rung: Rung, **parts: Any) -> LadderState:
    return ladder.init()._replace(rung=LADDER.rungs.index(rung), **parts)


def after(state: LadderState, levels: np.ndarray, spans: float) -> LadderState:
    """So much web with the same evidence, a tenth of a span at a time, until the rung changes."""
    rung = state.rung
    for _ in range(round(10.0 * spans)):
        state = looked(state, levels, 0.1 * LADDER.span_m)
        if state.rung != rung:
            break
    return state


# ------------------------------------------------------------------------------------------------ what sends it down

EVERY = set(ladder.CAUSES)
DOWN = [  # rung, what is found, where it leads
    *[(Rung.OWN, cause, Rung.SLOWED) for cause in sorted(EVERY)],
    *[(Rung.SLOWED, cause, Rung.PI) for cause in sorted(EVERY)],
    (Rung.PI, Cause.SURPRISE_CD, Rung.PUMP),
    (Rung.PI, Cause.BOUND_CD, Rung.PUMP),
    (Rung.PI, Cause.WORSE_CD, Rung.PUMP),
    (Rung.PI, Cause.WORSE_MD, Rung.HOLD),
    (Rung.PUMP, Cause.WORSE_MD, Rung.HOLD),
]


@pytest.mark.parametrize(("rung", "cause", "lower"), DOWN)
def test_each_kind_of_evidence_leads_where_it_should_and_is_named(rung, cause, lower):
    state = after(on(rung), level(cause), 30.0)
    assert (LADDER.rungs[state.rung], state.cause) == (lower, cause)
    assert not state.evidence.any()
    assert state.dwelt_m == 0.0


@pytest.mark.parametrize("rung", [Rung.PI, Rung.PUMP, Rung.HOLD])
def test_what_a_rung_cannot_be_blamed_for_leaves_it_where_it_is(rung):
    blamed = {cause for at, cause, _ in DOWN if at is rung}
    state = on(rung, failures=99)  # and no dwell will be long enough to go up
    assert after(state, level(*(EVERY - blamed)), 300.0).rung == state.rung


@pytest.mark.parametrize("cause", ladder.CAUSES)
def test_what_is_allowed_never_adds_up(cause):
    allowed = float(ladder.ALLOWED[Rung.OWN][OF[cause]])
    assert after(on(Rung.OWN), level(cause, size=allowed), 500.0).rung == 0
    assert after(on(Rung.OWN), level(cause, size=1.05 * allowed), 5000.0).rung == 1


def test_one_look_is_not_enough_however_bad():
    assert looked(ladder.init(), level(*EVERY), 0.3 * LADDER.span_m).rung == 0


def test_the_worse_the_sooner():
    def spans(size: float) -> float:
        state, passed = ladder.init(), 0.0
        while state.rung == 0:
            state, passed = looked(state, level(Cause.WORSE_CD, size=size), 0.1 * LADDER.span_m), passed + 0.1
        return passed

    assert spans(8.0) < 0.3 * spans(3.0) < 0.2 * spans(1.7)


def test_an_answer_that_is_no_number_goes_down_a_rung_at_once():
    state = ladder.init()
    for rung in LADDER.rungs[1:]:
        state = ladder.failed(LADDER, state, Cause.NOT_FINITE)
        assert (LADDER.rungs[state.rung], state.cause) == (rung, Cause.NOT_FINITE)
    assert ladder.failed(LADDER, state, Cause.NOT_FINITE).rung == BOTTOM


def test_a_line_whose_law_is_the_pi_begins_at_that_rung():
    config = core.configure(make_line(law=LawName.PI), SYNC_S)
    assert config.ladder.rungs == (Rung.PI, Rung.PUMP, Rung.HOLD)
    assert config.ladder.laws[0] is config.law


def test_the_slowed_rung_is_twice_as_slow_whatever_the_own_law_is():
    own = CONFIG.law
    assert isinstance(own, Imc)
    slowed = ladder.configure(LINE, CONFIG.estimator, replace(own, filter_md_s=0.1)).laws[1]
    assert isinstance(slowed, Imc)
    control = LINE.control
    roll_off = own.modes.response.gains[0] / own.modes.response.gains
    np.testing.assert_allclose(slowed.filter_cd_s - own.filter_cd_s, control.closed_loop_cd_s * roll_off)
    assert slowed.filter_md_s - own.filter_md_s == pytest.approx(control.closed_loop_md_s)


# ----------------------------------------------------------------------------------------------- what lets it up


def test_up_goes_one_rung_at_a_time_each_after_two_transport_delays_of_web():
    assert LADDER.dwell_m >= 2.0 * CONFIG.estimator.primary.distance_m
    state, rungs, web_m = on(Rung.PUMP, cause=Cause.WORSE_CD), [3], [0.0]
    for metre in range(1, round(4.0 * LADDER.dwell_m)):
        state = looked(state, CALM, 1.0)
        if state.rung != rungs[-1]:
            rungs.append(state.rung)
            web_m.append(metre)
            assert state.cause is (Cause.WORSE_CD if state.rung else Cause.NONE)
    assert rungs == [3, 2, 1, 0]
    assert np.diff(web_m).min() >= LADDER.dwell_m
    assert np.diff(web_m).max() <= LADDER.dwell_m + 1.0


def test_on_a_line_whose_gauge_is_far_the_dwell_is_two_transport_delays():
    far = core.configure(make_line(wet=False), SYNC_S).ladder
    assert far.dwell_m == pytest.approx(2.0 * 63.0, rel=0.05)


def test_nobody_climbs_toward_evidence_that_has_not_settled():
    """Some of a limit's worth stands against the rung and does not go away."""
    much, little = 0.2 * ladder.LIMIT, 0.05 * ladder.LIMIT
    state = on(Rung.SLOWED, dwelt_m=100.0 * LADDER.dwell_m, evidence=much)
    assert looked(state, ladder.ALLOWED[Rung.SLOWED], 1.0).rung == 1
    assert looked(state._replace(evidence=little), ladder.ALLOWED[Rung.SLOWED], 1.0).rung == 0


def test_a_rung_that_fails_again_soon_has_to_wait_longer_and_one_that_proved_itself_does_not():
    state, waited_m = ladder.init(), []
    for _ in range(4):
        state = after(state, level(Cause.WORSE_CD), 30.0)
        waited_m.append(ladder.dwell_m(LADDER, state))
        state = after(state, CALM, 1.2 * waited_m[-1] / LADDER.span_m)
        assert state.rung == 0
    np.testing.assert_allclose(waited_m, LADDER.dwell_m * ladder.LONGER ** np.arange(4))
    state = after(state, CALM, 2.0 * ladder.SOON_SPANS + 1.2 * waited_m[-1] * ladder.LONGER / LADDER.span_m)
    state = after(state, level(Cause.WORSE_CD), 30.0)
    assert ladder.dwell_m(LADDER, state) == LADDER.dwell_m


looks = st.tuples(
    st.floats(0.0, 1.0),  # of a span
    st.sampled_from([*(level(cause) for cause in ladder.CAUSES), level(*EVERY), CALM, CALM * np.nan]),
    st.booleans(),  # whether the law also answers with no number
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(looks, st.integers(1, 40)), min_size=1, max_size=60))
def test_no_evidence_makes_the_loop_chatter(record):
    """Up at most once a dwell, and never two rungs; so downs are bounded by it too, whatever is found."""
    state, web_m, changed_m, ups, downs = ladder.init(), 0.0, 0.0, 0, 0
    for (spans, levels, broken), times in record:
        for _ in range(times):
            before = state
            passed_m = spans * LADDER.span_m
            web_m += passed_m
            state = looked(state, levels, passed_m)
            if state.rung < before.rung:
                assert state.rung == before.rung - 1
                assert web_m - changed_m >= LADDER.dwell_m * (1.0 - 1e-9)
                ups += 1
            if broken and state.rung < BOTTOM:
                state = ladder.failed(LADDER, state, Cause.NOT_FINITE)
            downs += max(0, state.rung - before.rung)
            changed_m = web_m if state.rung != before.rung else changed_m
            assert 0 <= state.rung <= BOTTOM
            assert np.isfinite(state.evidence).all()
    assert ups <= web_m / LADDER.dwell_m
    assert downs <= BOTTOM + ups


def test_a_law_that_is_never_good_is_tried_ever_more_seldom():
    """A thousand dwells of web with a top rung that fails whenever it is stood on: tried a handful of times."""
    state, tried = ladder.init(), 0
    for _ in range(round(1000.0 * LADDER.dwell_m / 5.0)):
        before = state.rung
        state = looked(state, level(Cause.WORSE_CD) if state.rung == 0 else CALM, 5.0)
        tried += before == 1 and state.rung == 0
    assert 2 <= tried <= 2 + math.log(1000.0, ladder.LONGER)


# --------------------------------------------------------------------------------------------- the PI in shadow


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 5.0))
def test_the_shadow_reckons_as_the_modal_pi_does(seed, web_s):
    rng = np.random.default_rng(seed)
    pi, zones = LADDER.pi, LINE.zones
    last = Applied(600.0 + rng.normal(0.0, 5.0, zones), LINE.pump_ratio_nominal_rpm_per_mps, float(rng.normal()))
    error = rng.normal(0.0, 0.01, zones)
    error += math.log(zones) - math.log(np.exp(error).sum()) + float(rng.normal(0.0, 0.01))
    mean = math.log(np.exp(error).mean())
    coordinates = np.append((error - mean) @ CONFIG.estimator.response.basis, mean)
    seen = core.init(CONFIG, Mode.AUTO).estimate
    seen = seen._replace(reading=seen.reading._replace(error=error))
    memory = pi.law.track(seen, last)._replace(memory_md=float(rng.normal(0.0, 0.01)))
    real, wish = pi.law.decide(memory, seen, last, web_s)
    ours, shadowed = pi.decide(memory, coordinates, last, web_s)
    np.testing.assert_allclose(ours.memory_cd, real.memory_cd, atol=1e-14)
    assert ours.memory_md == pytest.approx(real.memory_md, abs=1e-14)
    np.testing.assert_allclose(shadowed.gap_um, wish.gap_um, atol=1e-9)
    assert shadowed.pump_trim_pct == pytest.approx(wish.pump_trim_pct, abs=1e-9)


def slip(web_m: float) -> np.ndarray:
    return uneven(LINE) + 0.01 + (0.012 * uneven(LINE)[::-1] / 0.01 - 0.02 if web_m > 60.0 else 0.0)


@pytest.mark.parametrize("gap_max_um", [720.0, 602.0], ids=["free", "a range that binds"])
def test_the_shadow_of_any_law_goes_where_the_pi_would_have_gone(gap_max_um):
    """The same web under IMC and under PI: what stands in the shadow of the one is what the other does."""
    lips = {"gap_max_um": gap_max_um}
    under = {law: Drive(ToyWeb(make_line(law=law, lips=lips), coating=slip)) for law in (LawName.IMC, LawName.PI)}
    apart, moved = [], []
    for _ in range(1800):
        for drive in under.values():
            drive.cycle()
        stood = under[LawName.IMC].state.ladder.shadow
        if stood is None:
            continue
        web = under[LawName.PI].web
        apart.append(np.abs(stood.applied.gap_um - web.gap_um).max())
        moved.append(np.abs(web.gap_um - under[LawName.IMC].web.gap_um).max())
        assert abs(stood.applied.pump_trim_pct - web.trim_pct) < 0.15
    assert len(apart) > 1700
    assert max(apart) < 0.25 * max(moved)
    assert max(moved) > 1.0, "laws that differ, or nothing was shown"


def test_a_line_under_pi_is_as_good_as_its_shadow():
    drive = Drive(ToyWeb(make_line(law=LawName.PI), coating=slip))
    ratios = np.array([(trace.against_pi_cd, trace.against_pi_md) for trace in (drive.cycle() for _ in range(1800))])
    assert np.isnan(ratios[0]).all()
    seen = ratios[~np.isnan(ratios).any(axis=1)]
    assert len(seen) > 1700
    assert seen.max() < 1.1


# ------------------------------------------------------------------------------------------- laws that go wrong


@dataclass(frozen=True)
class Own:
    """A law as somebody might put it at the top: `real`, spoilt."""

    real: Any

    def decide(self, state: LawState, estimate: EstimateState, last: Applied, web_s: float) -> tuple[LawState, Wish]:
        return self.real.decide(state, estimate, last, web_s)

    def track(self, estimate: EstimateState, last: Applied) -> LawState:
        return self.real.track(estimate, last)

    def limited(self, state: LawState, wish: Wish, certified: Applied) -> LawState:
        return self.real.limited(state, wish, certified)


class NotANumber(Own):
    """Well for `WELL_S` of line time, then no number, neither in its answer nor in what it remembers."""

    WELL_S = 20.0

    def decide(self, state: LawState, estimate: EstimateState, last: Applied, web_s: float) -> tuple[LawState, Wish]:
        state, wish = super().decide(state, estimate, last, web_s)
        if estimate.reading.t_ns <= self.WELL_S * NS:
            return state, wish
        return state._replace(memory_cd=state.memory_cd * np.nan), replace(wish, gap_um=wish.gap_um * np.nan)


class WrongSign(Own):
    """IMC that adds to a disturbance what it should take away."""

    def decide(self, state: LawState, estimate: EstimateState, last: Applied, web_s: float) -> tuple[LawState, Wish]:
        state, _ = self.real.decide(state, estimate, last, web_s)
        return state, self.real.modes.command(state.memory_cd, state.memory_md, state.rest_um, last)

    def track(self, estimate: EstimateState, last: Applied) -> LawState:
        state = self.real.track(estimate, last)
        return state._replace(memory_cd=-state.memory_cd, memory_md=-state.memory_md)


def ten_times_too_fast(pi: ModalPi) -> Own:
    """A PI of ten times the gain that its dead time allows."""
    fast = [PurePi(10.0 * each.kp, 10.0 * each.ki) for each in (*pi.cd, pi.md)]
    return Own(ModalPi(pi.modes, tuple(fast[:-1]), fast[-1]))


def under(config: Config, own: Law) -> Config:
    """The same controller with another law at its top."""
    return replace(config, law=own, ladder=ladder.configure(config.line, config.estimator, own))


def ways(config: Config) -> dict[str, Law]:
    return {
        "no number": NotANumber(config.law),
        "wrong sign": WrongSign(config.law),
        "ten times too fast": ten_times_too_fast(config.ladder.pi.law),
    }


def test_a_law_that_answers_with_no_number_is_replaced_in_the_same_moment():
    drive = Drive(ToyWeb(LINE, coating=lambda web_m: 0.01 + uneven(LINE)))
    drive.config = under(drive.config, NotANumber(drive.config.law))
    traces = [drive.cycle() for _ in range(600)]
    rungs = [trace.rung for trace in traces]
    fell = rungs.index(Rung.SLOWED)
    assert {trace.outcome for trace in traces[5:]} == {Outcome.OK}
    assert {trace.rung_cause for trace in traces[fell:]} == {Cause.NOT_FINITE}
    np.testing.assert_array_equal(traces[fell].gap_target_um, traces[fell - 1].gap_target_um)
    assert Rung.PI not in rungs
    assert np.abs(drive.web.die_error).max() < 0.3 * np.abs(0.01 + uneven(LINE)).max()
    assert math.isfinite(traces[-1].gap_law_um.sum())


def test_where_no_law_is_left_the_line_holds_until_a_person_asks():
    drive = Drive(ToyWeb(LINE, coating=lambda web_m: 0.01 + uneven(LINE)))
    drive.run(10.0)
    bottom = on(Rung.HOLD, cause=Cause.WORSE_MD)
    drive.state = drive.state._replace(ladder=bottom)
    held = [drive.cycle() for _ in range(50)]
    assert {(t.mode_actual, t.outcome, t.rung) for t in held} == {(Mode.HOLD, Outcome.NO_LAW_LEFT, Rung.HOLD)}
    assert {t.rung_cause for t in held} == {Cause.WORSE_MD}
    assert all(np.array_equal(t.gap_target_um, held[0].gap_target_um) for t in held)
    manual = drive.cycle(OperatorRequest(mode=Mode.MANUAL))
    assert (manual.mode_actual, manual.outcome) == (Mode.MANUAL, Outcome.OK)
    back = drive.cycle(OperatorRequest(mode=Mode.AUTO))
    assert (back.mode_actual, back.outcome, back.rung) == (Mode.AUTO, Outcome.OK, Rung.SLOWED)
    np.testing.assert_array_equal(back.gap_target_um, manual.gap_target_um)
    top = drive.run(2.0 * LADDER.dwell_m)
    assert (top.rung, top.rung_cause) == (Rung.OWN, Cause.NONE)


def test_laws_that_all_fail_end_in_hold_within_as_many_cycles():
    drive = Drive(ToyWeb(LINE, coating=lambda web_m: 0.01))
    drive.run(5.0)
    mad = NotANumber(drive.config.law)
    laws = tuple(replace(mad, real=each) for each in drive.config.ladder.laws)
    drive.config = replace(drive.config, law=laws[0], ladder=replace(drive.config.ladder, laws=laws))
    drive.web.cycle += 200  # past the time in which they are well
    traces = [drive.cycle() for _ in range(6)]
    assert [t.rung for t in traces[:4]] == [Rung.SLOWED, Rung.PI, Rung.PUMP, Rung.HOLD]
    assert {t.outcome for t in traces[3:]} == {Outcome.NOT_FINITE}
    assert len({t.gap_target_um.tobytes() for t in traces}) == 1


@pytest.mark.parametrize("rungs", [(0, 1), (1, 2), (2, 3), (3, 2), (2, 1), (1, 0)])
def test_a_change_of_hands_moves_nothing_by_itself(rungs):
    """In the middle of start-up, when everything is on its way: the new law's first command is the last applied."""
    drive = Drive(ToyWeb(LINE, coating=lambda web_m: 0.01 + uneven(LINE)))
    drive.state = drive.state._replace(ladder=drive.state.ladder._replace(rung=rungs[0]))
    before = drive.run(6.0)
    assert before.rung is LADDER.rungs[rungs[0]]
    ripe = {"dwelt_m": 1e9} if rungs[1] < rungs[0] else {"evidence": 2.0 * ladder.LIMIT}
    drive.state = drive.state._replace(ladder=drive.state.ladder._replace(**ripe))
    while (first := drive.cycle()).rung is before.rung:
        before = first
    assert first.rung is LADDER.rungs[rungs[1]]
    np.testing.assert_allclose(first.gap_target_um, before.gap_target_um, atol=1e-9)
    assert first.pump_trim_pct == pytest.approx(before.pump_trim_pct, abs=1.5e-3)
    trims = [first.pump_trim_pct, *(drive.cycle().pump_trim_pct for _ in range(100))]
    assert np.abs(np.diff(trims)).max() <= LINE.pump.trim_rate_pct_per_s * LINE.control.cycle_s + 1e-9


def test_on_the_pump_rung_the_lips_stay_and_the_mean_comes_to_target():
    drive = Drive(ToyWeb(LINE, coating=lambda web_m: 0.01 + uneven(LINE)))
    drive.run(5.0)
    drive.state = drive.state._replace(ladder=on(Rung.PUMP, failures=3), law=None)
    stood = drive.web.gap_um.copy()
    drive.run(90.0)
    np.testing.assert_array_equal(drive.web.gap_um, stood)
    assert abs(float(drive.web.die_error.mean())) < 5e-4
    seen, last = drive.state.estimate, drive.state.applied
    assert last is not None
    far_off = seen._replace(reading=seen.reading._replace(error=uneven(LINE, 0.5)))
    _, wish = LADDER.laws[-1].decide(LADDER.laws[-1].track(seen, last), far_off, last, 10.0)
    np.testing.assert_array_equal(wish.gap_um, last.gap_um)
    assert wish.pump_trim_pct != pytest.approx(last.pump_trim_pct, abs=0.5)


@pytest.mark.parametrize("way", ["wrong sign", "ten times too fast"])
def test_a_law_that_makes_the_web_worse_is_found_against_the_shadow(way):
    shape = uneven(LINE)
    drive = Drive(ToyWeb(LINE, coating=lambda web_m: 0.01 + shape))
    drive.config = under(drive.config, ways(drive.config)[way])
    traces, errors = [], []
    for _ in range(6000):
        traces.append(drive.cycle())
        errors.append(np.abs(drive.web.die_error).max())
    first = next(trace for trace in traces if trace.rung is not Rung.OWN)
    assert first.rung_cause in (Cause.WORSE_CD, Cause.WORSE_MD)
    away = np.array([trace.rung is not Rung.OWN for trace in traces])
    assert away[first.cycle :].mean() > 0.65
    settled = np.convolve(away, np.ones(900), "full")[: away.size] >= 900  # for a minute and a half by then
    assert settled.sum() > 1500
    assert np.array(errors)[settled].max() < 0.3 * np.abs(0.01 + shape).max()


def test_deadlines_missed_again_and_again_go_down_and_now_and_then_do_not():
    for every, rung in ((1, Rung.SLOWED), (5, Rung.OWN)):
        drive = Drive(ToyWeb(LINE, coating=lambda web_m: 0.01))
        causes = set()
        for cycle in range(600):
            inputs, missed = drive.web.inputs(), int(cycle % every == 0)
            drive.state, command, trace = core.step(drive.config, drive.state, inputs, 0.1, None, missed)
            drive.web.advance(command)
            causes.add((trace.rung, trace.rung_cause))
        assert (rung, Cause.LATE if every == 1 else Cause.NONE) in causes
        assert every == 1 or len(causes) == 1


def test_limits_that_hold_back_most_of_the_lips_for_long_count_and_a_start_does_not():
    cycles = 0
    state = ladder.init()
    while state.rung == 0 and cycles < 10_000:
        state = ladder.noted(state, 8, (Limit.RANGE,), 7, 0)
        share = state.bound_cd / state.cycles
        state = looked(state, level(Cause.BOUND_CD, size=share), 0.1)
        cycles += 1
    assert state.cause is Cause.BOUND_CD
    assert 0.1 * cycles > 5.0 * LADDER.span_m
    drive = Drive(ToyWeb(make_line(lips={"rate_um_per_s": 0.1}), coating=lambda web_m: 3.0 * uneven(LINE)))
    assert {drive.cycle().rung for _ in range(1200)} == {Rung.OWN}


@pytest.mark.parametrize("mean", [0.12, 0.0], ids=["pump", "lips"])
def test_limits_that_would_bind_a_pi_too_are_the_webs_business(mean):
    """A web that is off by more than the trim's 8 %; lips that may go 2 um: minutes at the limit, and no other law."""
    lips = {"gap_min_um": 598.0, "gap_max_um": 602.0}
    drive = Drive(ToyWeb(make_line(lips=lips), coating=lambda web_m: mean + uneven(LINE, 0.05)))
    traces = [drive.cycle() for _ in range(3000)]
    assert {trace.rung for trace in traces} == {Rung.OWN}
    limits = [Limit.PUMP_RANGE in trace.limits if mean else trace.limited_zones > 4 for trace in traces]
    assert np.mean(limits) > 0.7


def test_a_pump_that_is_held_back_counts_for_the_pump():
    state = ladder.noted(ladder.noted(ladder.init(), 8, (Limit.PUMP_RATE,), 0, 0), 8, (), 0, 1)
    assert (state.bound_md, state.bound_cd, state.late, state.cycles) == (1.0, 0.0, 1, 2)


def test_film_that_keeps_surprising_is_found():
    """Shapes that jump by a percent at every scan, which no drift does."""
    rng = np.random.default_rng(1)
    drive = Drive(ToyWeb(LINE, coating=lambda web_m: rng.normal(0.0, 0.02, LINE.zones)))
    assert Cause.SURPRISE_CD in {drive.cycle().rung_cause for _ in range(2000)}


# --------------------------------------------------------------------------------------- where it has no business


def test_a_standing_web_is_neither_evidence_nor_dwell():
    drive = Drive(ToyWeb(LINE, coating=lambda web_m: 0.01))
    drive.run(20.0)
    drive.state = drive.state._replace(ladder=on(Rung.SLOWED))
    drive.run(2.0)
    drive.web.speed_mps = 0.0
    drive.run(2.0)
    before = drive.state.ladder
    drive.run(20.0)
    assert (drive.state.ladder.dwelt_m, drive.state.ladder.rung) == (before.dwelt_m, before.rung)
    np.testing.assert_array_equal(drive.state.ladder.evidence, before.evidence)


@pytest.mark.parametrize("mode", [Mode.HOLD, Mode.MANUAL])
def test_nothing_is_watched_while_no_law_acts(mode):
    drive = Drive(ToyWeb(LINE, coating=lambda web_m: 0.01 + uneven(LINE)))
    drive.run(20.0)
    drive.cycle(OperatorRequest(mode=mode))
    rested = drive.state.ladder
    assert rested.shadow is None
    drive.run(20.0, wet=None)
    assert identical(drive.state.ladder, rested)


def test_advisory_shows_what_the_rung_would_do():
    drive = Drive(ToyWeb(LINE, coating=lambda web_m: 0.01 + uneven(LINE)), Mode.ADVISORY)
    drive.config = under(drive.config, NotANumber(drive.config.law))
    trace = drive.run(30.0)
    assert (trace.rung, trace.rung_cause, trace.outcome, trace.sent) == (
        Rung.SLOWED, Cause.NOT_FINITE, Outcome.OK, False
    )  # fmt: skip
    assert np.ptp(trace.gap_target_um) > 1.0
    assert drive.command is None
    assert drive.state.ladder.shadow is None  # there is no loop to judge


def test_between_advisory_and_auto_the_comparison_begins_anew():
    drive = Drive(ToyWeb(LINE, coating=lambda web_m: 0.01 + uneven(LINE)))
    drive.run(30.0)
    old = drive.state.ladder.shadow
    assert drive.run(5.0).against_pi_cd < 1.5
    drive.cycle(OperatorRequest(mode=Mode.ADVISORY))
    assert drive.state.ladder.shadow is None
    assert math.isnan(drive.run(5.0).against_pi_cd)
    trace = drive.cycle(OperatorRequest(mode=Mode.AUTO))
    new = drive.state.ladder.shadow
    assert new is not None and new is not old
    np.testing.assert_array_equal(new.applied.gap_um, trace.gap_target_um)
    assert drive.run(10.0).against_pi_cd < 1.5


def test_a_law_put_in_place_of_the_ladders_own_is_not_watched():
    drive = Drive(ToyWeb(LINE, coating=lambda web_m: 0.01 + uneven(LINE)))
    drive.config = replace(drive.config, law=WrongSign(drive.config.law))
    assert {drive.cycle().rung for _ in range(1500)} == {Rung.OWN}
    assert drive.state.ladder.shadow is None


def test_every_rung_and_cause_is_in_words():
    assert set(ladder.CAUSES) | {Cause.NONE, Cause.NOT_FINITE} == set(Cause)
    assert all(len(cause.value.split()) >= 4 for cause in Cause)
    with_network = ladder.configure(LINE, CONFIG.estimator, CONFIG.law, guest=True)
    assert tuple(Rung) == with_network.rungs
    assert LADDER.rungs == tuple(rung for rung in Rung if rung is not Rung.LINEAR)
    assert with_network.laws[0] is with_network.laws[1], "without the network it is the same law"


def test_the_shadow_is_looked_at_a_few_times_a_dead_time_only():
    drive = Drive(ToyWeb(LINE, coating=lambda web_m: 0.01 + uneven(LINE)))
    shadows = []
    for _ in range(600):
        drive.cycle()
        shadows.append(drive.state.ladder.shadow)
    changes = sum(one is not other for one, other in pairwise(shadows))
    assert 20 < changes < 100


# ----------------------------------------------------------------------------------------------- no false alarms


class Watched:
    """The league's own player of a name, and every rung it stood on."""

    def __init__(self, name: str, match: field.Match) -> None:
        self.core = players.player(name, match, players.tuned())
        assert isinstance(self.core, players.Core)
        assert self.core._config.watched
        self.rungs: set[int] = set()

    def turn(self, inputs: LineInputs) -> ActuatorCommand | None:
        command = self.core.turn(inputs)
        self.rungs.add(self.core._state.ladder.rung)
        return command


@pytest.mark.parametrize(
    ("family", "seed", "name"),
    [
        ("nominal", 3, "imc"),  # foresees a front of its batch: away from the target on purpose
        ("shear-thinning", 12, "pid"),
        ("misaligned", 13, "imc"),
        ("dry-scanner-only", 14, "imc"),
        ("noisy", 15, "imc"),
        ("noisy", 16, "pid"),
        ("backlash-heavy", 17, "imc"),
        ("batch-changing", 18, "imc"),
        ("fast-web", 19, "pid"),
    ],
)
def test_no_line_leaves_its_top_rung_for_nothing(family, seed, name):
    """Every drift and a batch change, on lines as they differ from each other and from what is believed of them."""
    match = field.draw(family, seed, 24.0)
    watched = Watched(name, match)
    field.play(match, watched)
    assert watched.rungs == {0}


def test_a_bolt_that_stands_still_in_truth_stands_still_in_the_shadow():
    drive = Drive(ToyWeb(LINE, coating=lambda web_m: 0.01 + uneven(LINE)))
    drive.run(2.0)
    seen = np.arange(LINE.zones) != 2
    drive.run(40.0, gap_valid=seen)
    stood = drive.state.ladder.shadow
    assert stood is not None
    moved = np.abs(stood.applied.gap_um - 600.0)
    assert moved[2] == pytest.approx(abs(drive.web.gap_um[2] - 600.0), abs=1e-9)
    assert moved[seen].min() > 0.2


def test_numbers_that_were_none_are_forgotten_with_the_record():
    broken = ladder.init()._replace(looked_m=1.0, squares=np.full(4, np.nan), against_pi=(math.nan, math.nan))
    assert np.isfinite(ladder.rested(broken).squares).all()


def test_a_twin_starts_where_the_actuators_stand():
    drive = Drive(ToyWeb(LINE, coating=lambda web_m: 0.01 + uneven(LINE)))
    drive.run(10.0)
    applied = drive.state.applied
    assert applied is not None
    twin = shadow.twin(LADDER.pi, drive.state.estimate, applied)
    assert twin.applied is applied
    assert twin.behind is drive.state.estimate.model
    _, wish = LADDER.pi.law.decide(twin.memory, drive.state.estimate, applied, 0.0)
    np.testing.assert_allclose(wish.gap_um, applied.gap_um, atol=1e-9)


# ------------------------------------------------------------------------------------------------ with a network

GUESTS = ladder.configure(LINE, CONFIG.estimator, CONFIG.law, guest=True)


@pytest.mark.parametrize("spoke", [True, False])
@pytest.mark.parametrize("cause", ladder.CAUSES)
def test_a_network_is_sent_away_first_only_where_it_can_be_at_fault(cause, spoke):
    """It adds to the mean: a profile that goes wrong is not its doing, nor anything while it is silent."""
    state = ladder.init()
    for _ in range(300):
        if state.rung == 0:
            state = ladder.noted(state, LINE.zones, (), 0, 0, spoke)
            state = ladder.judged(GUESTS, state, level(cause), 0.1 * GUESTS.span_m, 0.0, 0)
    of_the_profile = cause in {Cause.SURPRISE_CD, Cause.BOUND_CD, Cause.WORSE_CD}
    assert GUESTS.rungs[state.rung] is (Rung.SLOWED if of_the_profile or not spoke else Rung.LINEAR)
    assert state.cause is cause and not state.spoke


def test_an_answer_that_is_no_number_is_the_networks_first():
    assert GUESTS.rungs[ladder.failed(GUESTS, ladder.init(), Cause.NOT_FINITE).rung] is Rung.LINEAR
