"""Estimate -> uncertified command, for both laws: tuning by hand, bumpless take-over, no wind-up, no needless move."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core import certificate, estimate, kalman, law
from controller.core.envelope import Applied
from controller.core.estimate import EstimateState, Estimator
from controller.core.law import Imc, Law, ModalPi
from controller.core.response import believe
from controller.line.command import UncertifiedCommand
from controller.line.description import Array, Doubt, LawName, LineDescription
from tests.factories import identical, lip_response_per_um, make_line

LAWS = [LawName.PI, LawName.IMC, LawName.ADAPTIVE]


def build(line: LineDescription) -> tuple[Law, Estimator]:
    estimator = estimate.build(line, believe(line))
    return law.build(line, estimator), estimator


def seeing(estimator: Estimator, error: Array, last: Applied) -> EstimateState:
    """An estimate of a steady web: `error` (zones,) at the gauge, and `last` applied for a long time."""
    response = estimator.response
    mean = estimate.mean_log(error)
    pump_log = estimate.log_ratio(last.pump_ratio_rpm_per_mps, last.pump_trim_pct, estimator.ratio_nominal_rpm_per_mps)
    reading = estimate.Reading(
        error=error,
        valid=np.ones(error.size, dtype=bool),
        disturbance_cd=(error - mean) @ response.profiles - response.gains * (last.gap_um @ response.shapes),
        disturbance_md=mean - pump_log,
        t_ns=0,
    )
    return estimate.init(estimator)._replace(reading=reading, good_share=1.0)


def found(line: LineDescription, rng: np.random.Generator) -> Applied:
    return Applied(
        600.0 + rng.normal(0.0, 8.0, line.zones), line.pump_ratio_nominal_rpm_per_mps, float(rng.uniform(-4, 4))
    )


# ------------------------------------------------------------------------------------------------- tuning


@pytest.mark.parametrize(
    ("dead_s", "lag_s", "closed_s", "kp", "ki"),
    [
        (3.0, 0.5, 20.0, 0.5 / 23.0, 1.0 / 23.0),  # Ti = min(0.5, 92)
        (3.0, 0.5, 1.0, 0.5 / 6.0, 1.0 / 6.0),  # never asked to be faster than its dead time
        (1.0, 40.0, 2.0, 40.0 / 3.0, 40.0 / 3.0 / 12.0),  # Ti = 4 * 3
    ],
)
def test_simc_by_hand(dead_s, lag_s, closed_s, kp, ki):
    pi = law.simc(dead_s, lag_s, closed_s)
    output, integral = pi.step(1.0, 0.0, 1.0)
    assert integral == pytest.approx(-ki)
    assert output == pytest.approx(-kp - ki)


def test_a_line_is_tuned_by_hand():
    """3 m at 1 m/s: 3 s of dead time; lag 0.3 + 0.1 + 0.1 s; 8 s for the pump."""
    built, _ = build(make_line(law=LawName.PI))
    assert isinstance(built, ModalPi)
    assert built.md.step(1.0, 0.0, 1.0)[0] == pytest.approx(-0.5 / 11.0 - 1.0 / 11.0)
    assert built.cd[0].step(1.0, 0.0, 1.0)[1] == pytest.approx(-1.0 / 23.0)


def test_weak_modes_are_answered_slowly():
    """20 s and 8 s in all, longer for weak modes; of that, the estimate's own filters take their part."""
    line = make_line(law=LawName.IMC)
    built, estimator = build(line)
    assert isinstance(built, Imc)
    gains = estimator.response.gains
    smoothing_s = kalman.smoothing_s(estimator.film, 0.1)
    np.testing.assert_allclose(built.filter_cd_s + smoothing_s[: gains.size], 20.0 * gains[0] / gains)
    assert built.filter_md_s + smoothing_s[-1] == pytest.approx(8.0)
    assert np.all(smoothing_s > 0.5)


def test_a_filter_is_never_faster_than_a_cycle():
    built, _ = build(make_line(law=LawName.IMC, control={"closed_loop_cd_s": 0.1, "closed_loop_md_s": 0.1}))
    assert isinstance(built, Imc)
    assert built.filter_cd_s.min() == built.filter_md_s == 0.1


# ------------------------------------------------------------------------------------- as fast as it is certified


def filters_s(line: LineDescription) -> Array:
    built, _ = build(line)
    assert isinstance(built, Imc)
    return built.filter_cd_s


def doubted(doubt: Doubt | None, law_name: LawName = LawName.IMC) -> LineDescription:
    return make_line(16, law_name, die={"doubt": doubt, "alignment_uncertainty_mm": 4.0})


@pytest.mark.parametrize("law_name", [LawName.IMC, LawName.ADAPTIVE])
def test_who_is_sure_or_has_never_looked_is_as_fast_as_asked(law_name):
    never = filters_s(doubted(None, law_name))
    np.testing.assert_array_equal(filters_s(doubted(Doubt(), law_name)), never)
    commissioned = Doubt(0.015, 0.03, 0.03, 0.0005, 0.02)  # what commissioning goes on for
    np.testing.assert_array_equal(filters_s(doubted(commissioned, law_name)), never)


def test_the_less_is_known_the_slower_the_lips_and_what_is_built_is_certified():
    """Of the delay, alone, and of gain, shift and delay at once."""
    asked = filters_s(doubted(None))
    for doubt in (Doubt(delay_s=60.0), Doubt(0.7, 0.0, 0.2, 0.0, 15.0)):
        slower, slowest = (doubted(doubt.times(scale)) for scale in (0.5, 1.0))
        assert (filters_s(slower) >= asked).all()
        assert (filters_s(slowest) >= filters_s(slower)).all()
        assert filters_s(slowest)[0] > 1.2 * asked[0]
        _, estimator = build(slowest)
        closed_s = law.certified_s(slowest, estimator, 20.0)
        assert closed_s < 20.0 * law.SLOWEST
        box = certificate.misfits(slowest, estimator.response, doubt.times(law.SURE_SIGMAS))
        assert certificate.certify(box, law.frozen(slowest, estimator, closed_s)).certified
        assert not certificate.certify(box, law.frozen(slowest, estimator, 20.0)).certified


def test_where_nothing_is_certified_the_lips_go_as_slowly_as_they_do():
    line = doubted(Doubt(shift_pitches=0.8))
    _, estimator = build(line)
    assert law.certified_s(line, estimator, 20.0) == 20.0 * law.SLOWEST


def test_the_certificate_looks_at_the_law_that_is_built():
    """Filter and smoothing in either order, and dead time with the period that a reading is used for."""
    line = doubted(None)
    built, estimator = build(line)
    assert isinstance(built, Imc)
    loop = law.frozen(line, estimator, line.control.closed_loop_cd_s)
    smoothing_s = kalman.smoothing_s(estimator.film, 0.1)[: loop.slow_s.size]
    np.testing.assert_allclose(loop.slow_s + loop.quick_s, built.filter_cd_s + smoothing_s)
    assert (loop.slow_s >= loop.quick_s).all()
    assert loop.dead_s == pytest.approx(3.1)


# ---------------------------------------------------------------------------------------------- the pure PI

finite = st.floats(-1e3, 1e3)


@given(st.lists(st.tuples(finite, finite, st.floats(0.0, 10.0)), min_size=1, max_size=8))
def test_the_pi_answers_by_its_arguments_alone(calls):
    """Whatever it was asked before: the object inside keeps nothing, and the sum is the textbook's."""
    used = law.PurePi(0.3, 0.07)
    for measured, integral, dt_s in calls:
        output, now = used.step(measured, integral, dt_s)
        assert (output, now) == law.PurePi(0.3, 0.07).step(measured, integral, dt_s)
        assert now == pytest.approx(integral - 0.07 * measured * dt_s, abs=1e-9)
        assert output == pytest.approx(now - 0.3 * measured, abs=1e-9)


def test_the_pi_does_not_integrate_while_the_web_stands():
    assert law.PurePi(0.3, 0.07).step(2.0, 0.5, 0.0) == (pytest.approx(-0.1), 0.5)


# ----------------------------------------------------------------------------------------- moves worth making


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("web_s", [0.0, 0.1, 10.0])
@pytest.mark.parametrize("seed", range(5))
def test_zero_error_means_no_move(name, web_s, seed):
    line = make_line(law=name, control={"dead_band_um": 0.0})
    built, estimator = build(line)
    last = found(line, np.random.default_rng(seed))
    seen = seeing(estimator, np.zeros(8), last)
    _, wish = built.decide(built.track(seen, last), seen, last, web_s)
    np.testing.assert_allclose(wish.gap_um, last.gap_um, atol=1e-9)
    assert wish.pump_trim_pct == pytest.approx(last.pump_trim_pct, abs=1e-9)
    assert wish.pump_ratio_rpm_per_mps == last.pump_ratio_rpm_per_mps


@pytest.mark.parametrize("name", LAWS)
def test_a_common_error_moves_the_pump_and_no_lip(name):
    line = make_line(law=name, control={"dead_band_um": 0.0})
    built, estimator = build(line)
    last = found(line, np.random.default_rng(1))
    seen = seeing(estimator, np.full(8, 0.02), last)
    _, wish = built.decide(built.track(seen, last), seen, last, 5.0)
    np.testing.assert_allclose(wish.gap_um, last.gap_um, atol=1e-9)
    assert wish.pump_trim_pct < last.pump_trim_pct - 0.1


@pytest.mark.parametrize("name", LAWS)
def test_a_shape_moves_the_lips_against_it_and_leaves_their_mean(name):
    """In the end the lips undo it: shape + response * move goes to nothing in the modes that are kept."""
    line = make_line(law=name, control={"dead_band_um": 0.0})
    built, estimator = build(line)
    last = Applied(np.full(8, 600.0), line.pump_ratio_nominal_rpm_per_mps, 0.0)
    shape = 0.004 * np.cos(np.pi * (np.arange(8) + 0.5) / 8.0)
    memory, drawn = built.track(seeing(estimator, shape, last), last), lip_response_per_um(line)
    for _ in range(400):  # a web without dead time, so that a law may be asked alone
        error = shape + drawn @ (last.gap_um - 600.0)
        seen = seeing(estimator, error, last)
        memory, wish = built.decide(memory, seen, last, 1.0)
        last = replace(last, gap_um=wish.gap_um, pump_trim_pct=wish.pump_trim_pct)
    assert np.abs(shape + drawn @ (last.gap_um - 600.0)).max() < 0.02 * np.abs(shape).max()
    assert last.gap_um.mean() == pytest.approx(600.0)
    assert np.corrcoef(last.gap_um, shape)[0, 1] < -0.95


@pytest.mark.parametrize("name", LAWS)
def test_twice_the_error_moves_twice_as_far(name):
    line = make_line(law=name, control={"dead_band_um": 0.0})
    built, estimator = build(line)
    last = Applied(np.full(8, 600.0), line.pump_ratio_nominal_rpm_per_mps, 0.0)
    still = built.track(seeing(estimator, np.zeros(8), last), last)
    shape = np.linspace(-1e-4, 1e-4, 8)
    moves = [
        built.decide(still, seeing(estimator, size * shape, last), last, 1.0)[1].gap_um - 600.0 for size in (1.0, 2.0)
    ]
    np.testing.assert_allclose(moves[1], 2.0 * moves[0], rtol=1e-3)
    assert np.abs(moves[0]).max() > 1e-4


@pytest.mark.parametrize("name", LAWS)
def test_moves_inside_the_dead_band_are_not_made_but_not_forgotten(name):
    line = make_line(law=name, control={"dead_band_um": 0.5})
    built, estimator = build(line)
    last = Applied(np.full(8, 600.0), line.pump_ratio_nominal_rpm_per_mps, 0.0)
    seen = seeing(estimator, np.linspace(-4e-3, 4e-3, 8), last)
    memory, moved_after = built.track(seen, last), None
    for cycle in range(600):
        memory, wish = built.decide(memory, seen, last, 0.1)
        away = np.abs(wish.gap_um - 600.0)
        assert (away[away > 0.0] >= 0.5).all()
        moved_after = cycle if moved_after is None and away.any() else moved_after
    assert moved_after is not None
    assert moved_after > 1


# ------------------------------------------------------------------------------------------ taking over, limits


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(LAWS), st.floats(0.0, 0.1))
def test_taking_over_is_bumpless(seed, name, size):
    """At the moment of taking over the law wants just what stands; a cycle later at most a filter's step away."""
    line = make_line(law=name, control={"dead_band_um": 0.0})
    built, estimator = build(line)
    rng = np.random.default_rng(seed)
    last, error = found(line, rng), rng.uniform(-size, size, 8)
    seen = seeing(estimator, error, last)
    memory = built.track(seen, last)
    _, at_once = built.decide(memory, seen, last, 0.0)
    np.testing.assert_allclose(at_once.gap_um, last.gap_um, atol=1e-7)
    assert at_once.pump_trim_pct == pytest.approx(last.pump_trim_pct, abs=1e-7)

    _, next_cycle = built.decide(memory, seen, last, 0.1)
    shape = (error - estimate.mean_log(error)) @ estimator.response.profiles
    fastest_s, fastest_md_s = 20.0, 8.0  # both laws answer at most a cycle's share of a full correction
    if isinstance(built, Imc):
        fastest_s, fastest_md_s = built.filter_cd_s.min(), built.filter_md_s
    full_um = np.linalg.norm(shape / estimator.response.gains)
    assert np.linalg.norm(next_cycle.gap_um - last.gap_um) <= 0.1 / fastest_s * full_um + 1e-7
    pump_log = np.log((1.0 + next_cycle.pump_trim_pct / 100.0) / (1.0 + last.pump_trim_pct / 100.0))
    assert abs(pump_log) <= 0.1 / fastest_md_s * abs(estimate.mean_log(error)) + 1e-9


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_what_the_envelope_cut_off_is_given_back(seed):
    """PI: after `limited` the law wants just what was certified, so nothing is left to unwind. Shapes no mode keeps
    are not the law's."""
    line = make_line(law=LawName.PI, control={"dead_band_um": 0.0})
    built, estimator = build(line)
    rng = np.random.default_rng(seed)
    last = found(line, rng)
    seen = seeing(estimator, rng.uniform(-0.05, 0.05, 8), last)
    memory, wish = built.decide(built.track(seen, last), seen, last, 5.0)
    certified = replace(last, gap_um=last.gap_um + rng.uniform(-0.5, 0.5, 8), pump_trim_pct=last.pump_trim_pct + 0.05)
    _, again = built.decide(built.limited(memory, wish, certified), seen, certified, 0.0)
    modes = estimator.response.shapes
    np.testing.assert_allclose(again.gap_um @ modes, certified.gap_um @ modes, atol=1e-7)
    assert again.pump_trim_pct == pytest.approx(certified.pump_trim_pct, abs=1e-7)


@pytest.mark.parametrize("name", LAWS)
def test_an_hour_at_a_limit_leaves_nothing_to_unwind(name):
    """The trim stands at its limit while the error does not go away. When it turns round, so does the trim, at once."""
    line = make_line(law=name)
    built, estimator = build(line)
    last = Applied(np.full(8, 600.0), line.pump_ratio_nominal_rpm_per_mps, -8.0)
    stuck = seeing(estimator, np.full(8, 0.05), last)
    memory = built.track(stuck, last)
    for _ in range(36_00):
        memory, wish = built.decide(memory, stuck, last, 1.0)
        assert wish.pump_trim_pct <= -8.0 + 1e-9
        memory = built.limited(memory, wish, last)
    turned = seeing(estimator, np.full(8, -0.05), last)
    for _ in range(20):
        memory, wish = built.decide(memory, turned, last, 1.0)
    assert wish.pump_trim_pct > -8.0


def test_a_limit_does_not_touch_a_law_that_cannot_wind_up():
    line = make_line(law=LawName.IMC)
    built, estimator = build(line)
    last = found(line, np.random.default_rng(0))
    memory = built.track(seeing(estimator, np.zeros(8), last), last)
    wish = UncertifiedCommand(last.gap_um + 50.0, last.pump_ratio_rpm_per_mps, 9.0)
    assert built.limited(memory, wish, last) is memory


@pytest.mark.parametrize("name", LAWS)
def test_laws_are_pure(name):
    line = make_line(law=name)
    built, estimator = build(line)
    rng = np.random.default_rng(3)
    last = found(line, rng)
    seen = seeing(estimator, rng.uniform(-0.02, 0.02, 8), last)
    memory = built.track(seen, last)
    first = built.decide(memory, seen, last, 0.1)
    built.decide(built.track(seen, found(line, rng)), seen, last, 7.0)
    assert identical(built.decide(memory, seen, last, 0.1), first)
    assert identical(built.track(seen, last), memory)


@pytest.mark.parametrize("name", LAWS)
def test_a_line_without_shapes_to_control_still_controls_its_mean(name):
    line = make_line(1, law=name)
    built, estimator = build(line)
    last = Applied(np.full(1, 600.0), line.pump_ratio_nominal_rpm_per_mps, 0.0)
    seen = seeing(estimator, np.full(1, 0.02), last)
    _, wish = built.decide(built.track(seen, last), seen, last, 1.0)
    assert wish.gap_um == pytest.approx([600.0])
    assert wish.pump_trim_pct < 0.0
