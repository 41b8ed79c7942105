"""The certificate of the lips' loop: norms that are never too small, and no loop certified that is not stable."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from controller.core import certificate
from controller.core.certificate import Loop, Misfits, certify, misfit, misfits, norms
from controller.core.response import ResponseModel, believe
from controller.line.description import Array, Doubt, LineDescription
from tests.factories import make_line

NOTHING = Doubt()


def point(matrix: Array, delay_s: float = 0.0) -> Misfits:
    """A box that is one plant."""
    return Misfits(matrix[None], 0.0, 0.0, delay_s)


def loop_of(model: ResponseModel, closed_s: float, quick_s: float = 0.0, dead_s: float = 3.0) -> Loop:
    slow_s = closed_s * model.gains[0] / model.gains
    return Loop.of(slow_s, np.full(model.modes, quick_s), dead_s)


def left_over(matrix: Array, loop: Loop, delay_s: float, step_s: float, rng: np.random.Generator) -> float:
    """Play the frozen loop in steps: its largest answer at the end over its largest at the beginning, after a knock.

    y = M a(t - true delay); estimate: a lag on y - a(t - believed delay); law: a lag on the estimate's opposite.
    """
    slow, quick = step_s / (step_s + loop.slow_s), step_s / (step_s + loop.quick_s)  # shares, as the docstring has them
    believed = round(loop.dead_s / step_s)
    true = believed + round(delay_s / step_s)
    steps = int(12.0 * (loop.slow_s.max() + loop.quick_s.max() + loop.dead_s + abs(delay_s)) / step_s)
    sent = np.zeros((steps + 1, matrix.shape[0]))
    sent[0] = memory = rng.normal(size=matrix.shape[0])
    seen = np.zeros_like(memory)
    for now in range(1, steps + 1):
        reading = matrix @ sent[now - true] if now >= true else np.zeros_like(memory)
        modelled = sent[now - believed] if now >= believed else np.zeros_like(memory)
        seen = seen + quick * (reading - modelled - seen)
        memory = memory + slow * (-seen - memory)
        sent[now] = memory
    size = np.linalg.norm(sent, axis=1)
    return float(size[-steps // 8 :].max() / size.max())


# ------------------------------------------------------------------------------------------------------- norms


@given(
    seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 60), columns=st.integers(1, 60), decades=st.floats(-12.0, 6.0)
)
@settings(max_examples=200, deadline=None)
def test_a_norm_is_never_too_small_and_hardly_too_large(seed, rows, columns, decades):
    matrices = 10.0**decades * np.random.default_rng(seed).normal(size=(3, rows, columns))
    exact = np.linalg.svd(matrices, compute_uv=False)[:, 0]
    found = norms(matrices)
    assert (found >= exact * (1.0 - 1e-9)).all()
    assert (found <= exact * 1.01).all()


def test_equal_singular_values_are_no_trouble_and_nothing_has_no_norm():
    turned, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(80, 80)))
    assert norms(turned[None])[0] == pytest.approx(1.0, rel=0.01)
    assert norms(turned[None])[0] >= 1.0
    assert norms(np.zeros((1, 5, 5)))[0] < 1e-100


# ------------------------------------------------------------------------------------------------------ by hand


def test_a_right_belief_leaves_only_the_delay():
    """M = I: nothing but delay over closed-loop time, 0.6 s over the 20 + 1 s of the strongest mode."""
    line = make_line()
    model = believe(line)
    loop = loop_of(model, 20.0, quick_s=1.0)
    found = certify(misfits(line, model, Doubt(delay_s=0.6)), loop)
    assert found.misfit == pytest.approx(0.0, abs=1e-9)
    assert found.delay == pytest.approx(0.6 / 21.0, rel=0.01)
    assert found.slow == pytest.approx(0.6 / 20.0, rel=0.01)
    assert found.certified


def test_gain_alone_by_hand():
    """Gain g on everything: |g - 1| whatever the delay; or the dead time times that over the slow lag, at any gain."""
    line = make_line()
    model = believe(line)
    box = misfits(line, model, Doubt(gain=math.log(2.5)))
    fast = certify(box, loop_of(model, 4.0, dead_s=3.0))
    assert fast.misfit == pytest.approx(1.5, rel=0.01)
    assert fast.slow == pytest.approx(1.5 * 3.0 / 4.0, rel=0.01)
    assert not fast.certified
    least_s = certificate.least_closed_loop_s(box, 4.0, lambda closed_s: loop_of(model, closed_s, dead_s=3.0))
    assert least_s == pytest.approx(1.5 * 3.0, rel=0.02)
    assert certify(box, loop_of(model, 1.01 * least_s)).certified


def test_alignment_ends_at_a_sixth_of_the_finest_wave_for_a_fast_loop_and_at_a_quarter_for_a_slow_one():
    """|exp(j p) - 1| = 1 at 60 degrees, l/6; the real part is gone at 90, l/4. Part of a wave is lost to finer ones."""
    line = make_line(40, die={"alignment_uncertainty_mm": 10.0})  # waves of 60 mm and more are kept
    model = believe(line)
    finest = float(model.wavelength_mm.min()) / line.die.zone_pitch_mm

    def at(share: float, closed_s: float) -> certificate.Certificate:
        shifted = misfit(line, model, np.array([0.0, 0.0, share * finest, 0.0]))
        return certify(point(shifted), loop_of(model, closed_s))

    assert at(0.9 / 6.0, 8.0).quick < 1.0 < at(1.2 / 6.0, 8.0).quick
    assert at(0.22, 80.0).slow < 1.0 < at(0.22, 0.8).slow
    assert at(0.25, 1e6).slow > 1.0


def test_a_slow_loop_pays_for_the_angle_that_it_is_turned_by():
    """M turns two modes into each other by 80 degrees: dead time times 2 sin 40 degrees, over cos 80 degrees."""
    turn = math.radians(80.0)
    true = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    rest_s = 3.0 * 2.0 * math.sin(0.5 * turn)
    loop = Loop(np.full(2, rest_s / 0.9), np.zeros(2), 3.0)
    assert certify(point(true), loop).slow == pytest.approx(0.9 / math.cos(turn), rel=0.02)
    assert left_over(true, loop, 0.0, 0.1, np.random.default_rng(1)) == 1.0  # so it is right to charge for it
    slower = Loop(loop.slow_s / math.cos(turn), np.zeros(2), 3.0)
    assert certify(point(true), slower).certified
    assert left_over(true, slower, 0.0, 0.1, np.random.default_rng(1)) < 0.9


def test_a_correction_is_charged_with_all_that_it_sees():
    """L_Q (|M - I|) without an error of delay, L_Q (1 + |M|) with one; and the slow loop knows of none."""
    line = make_line()
    model = believe(line)
    loop = loop_of(model, 20.0)
    found = certify(misfits(line, model, Doubt(gain=0.2)), loop, lipschitz=0.5)
    assert found.correction == pytest.approx(0.5 * math.expm1(0.2), rel=0.01)
    assert found.left == pytest.approx(1.5 * math.expm1(0.2), rel=0.01)
    late = certify(misfits(line, model, Doubt(gain=0.2, delay_s=0.1)), loop, lipschitz=0.5)
    assert late.correction == pytest.approx(0.5 * (1.0 + math.exp(0.2)), rel=0.01)


# --------------------------------------------------------------------------------------------- never wrongly certified


@st.composite
def cases(draw):
    """A line of 8 to 40 bolts, a loop of any speed, a box about its description, and a seed of truths inside it."""
    zones = draw(st.integers(8, 40))
    line = make_line(
        zones,
        die={
            "kernel_fwhm_pitches": draw(st.floats(1.0, 3.0)),
            "alignment_uncertainty_mm": draw(st.floats(1.0, 12.0)),
        },
        control={"mode_gain_floor": 0.2},
    )
    wrong = draw(st.sets(st.integers(0, 4), min_size=1, max_size=3))  # few errors at a time reach furthest
    dead_s = draw(st.sampled_from([1.0, 12.0]))
    closed_s = dead_s * 10.0 ** draw(st.floats(-1.5, 0.7))
    quick_s = closed_s * draw(st.sampled_from([0.0, 0.3, 1.0]))
    sides = np.where(np.isin(np.arange(5), list(wrong)), [1.5, 0.6, 0.8, 0.03, dead_s], 0.0)
    return line, sides, dead_s, closed_s, quick_s, draw(st.integers(0, 2**32 - 1))


@given(case=cases())
@settings(max_examples=150, deadline=None)
def test_whatever_is_certified_is_stable(case):
    """The largest certified box, truths in its corners and anywhere inside it, in a loop that is played."""
    line, sides, dead_s, closed_s, quick_s, seed = case
    model = believe(line)
    assume(model.modes >= 2)
    loop, step_s, rng = loop_of(model, closed_s, quick_s, dead_s), dead_s / 10.0, np.random.default_rng(seed)
    scale = certificate.largest_scale(line, model, Doubt(*sides.tolist()), loop)
    assume(scale > 0.02)
    sides = scale * sides
    box = certify(misfits(line, model, Doubt(*sides.tolist())), loop)
    for where in (np.ones(5), rng.choice([-1.0, 1.0], 5), rng.uniform(-1.0, 1.0, 5)):
        true = misfit(line, model, where[:4] * sides[:4])
        delay_s = max(math.trunc(where[4] * sides[4] / step_s) * step_s, step_s - dead_s)
        assert certify(point(true, abs(delay_s)), loop).quick <= 1.01 * box.quick  # norms are within a percent
        assert left_over(true, loop, delay_s, step_s, rng) < 0.9


def unstable_line() -> tuple[LineDescription, ResponseModel]:
    line = make_line(24, die={"alignment_uncertainty_mm": 0.0}, control={"mode_gain_floor": 0.2})
    return line, believe(line)


@given(share=st.floats(0.3, 0.45), closed_s=st.floats(1.0, 1000.0), side=st.sampled_from([-1.0, 1.0]))
@settings(max_examples=50, deadline=None)
def test_alignment_beyond_a_quarter_of_a_kept_wave_is_never_certified(share, closed_s, side):
    line, model = unstable_line()
    shift = side * share * float(model.wavelength_mm.min()) / line.die.zone_pitch_mm
    true = misfit(line, model, np.array([0.0, 0.0, shift, 0.0]))
    loop = loop_of(model, closed_s)
    assert not certify(point(true), loop).certified
    assert not certify(misfits(line, model, Doubt(shift_pitches=abs(shift))), loop).certified


def test_such_an_alignment_is_really_unstable_at_any_speed():
    line, model = unstable_line()
    shift = 0.35 * float(model.wavelength_mm.min()) / line.die.zone_pitch_mm
    true = misfit(line, model, np.array([0.0, 0.0, shift, 0.0]))
    for closed_s in (2.0, 60.0):
        loop = loop_of(model, closed_s)
        assert left_over(true, loop, 0.0, 0.3, np.random.default_rng(1)) == 1.0  # it ends where it is largest


@given(seed=st.integers(0, 2**32 - 1), closed_s=st.floats(1.0, 1000.0), reversed_modes=st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_a_reversed_sign_is_never_certified(seed, closed_s, reversed_modes):
    """Any shapes whatever turned round, in a plant that is right otherwise."""
    _, model = unstable_line()
    turned, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(model.modes, reversed_modes)))
    true = np.eye(model.modes) - 2.0 * turned @ turned.T
    found = certify(point(true), loop_of(model, closed_s))
    assert not found.certified
    assert found.slow == math.inf


# ------------------------------------------------------------------------------------------ the operator with its edges


def without_edges(line: LineDescription, numbers: Array) -> float:
    """The wrong certificate: ||M - I|| of an endless die, wave by wave, from the kernels' spectra."""
    die, changed = line.die, certificate.moved(line.die, numbers)
    bolts = np.arange(-200, 201)

    def spectrum(fwhm: float, shift: float) -> Array:
        kernel = certificate.lip_matrix(
            replace(die, zones=401, kernel_fwhm_pitches=fwhm, alignment_shift_mm=shift, alignment_stretch_pct=0.0)
        )[:, 200]
        waves = np.pi / line.zones * np.arange(1, line.zones)
        return np.exp(-1j * np.outer(waves, bolts)) @ kernel

    believed = spectrum(die.kernel_fwhm_pitches, die.alignment_shift_mm)
    true = math.exp(numbers[0]) * spectrum(changed.kernel_fwhm_pitches, changed.alignment_shift_mm)
    kept = np.abs(believed) >= line.control.mode_gain_floor * np.abs(believed).max()
    return float(np.abs(true / believed - 1.0)[kept].max())


def fine_line(zones: int) -> tuple[LineDescription, ResponseModel]:
    line = make_line(zones, die={"alignment_uncertainty_mm": 1.0})
    return line, believe(line)


@pytest.mark.parametrize("zones", [8, 16, 40])
def test_a_die_with_ends_is_worse_than_an_endless_one(zones):
    """A shift by a fifth of a zone: where the edges are, more goes wrong than any wave of an endless die would tell."""
    line, model = fine_line(zones)
    shift = np.array([0.0, 0.0, 0.2, 0.0])
    ours = certify(point(misfit(line, model, shift)), loop_of(model, 20.0)).misfit
    assert ours > 1.05 * without_edges(line, shift)
    exact = np.linalg.svd(misfit(line, model, shift) - np.eye(model.modes), compute_uv=False)[0]
    assert (1.0 - 1e-9) * exact <= ours <= 1.01 * exact


def test_what_an_endless_die_would_certify_and_a_real_one_does_not_survive():
    """Bolts 6 % further apart: nothing to a die without ends, more than a zone at the ends of forty bolts."""
    line, model = fine_line(40)
    stretch, loop = np.array([0.0, 0.0, 0.0, 0.06]), loop_of(model, 10.0)
    assert without_edges(line, stretch) < 0.01
    true = misfit(line, model, stretch)
    assert left_over(true, loop, 0.0, 0.5, np.random.default_rng(1)) == 1.0
    assert not certify(point(true), loop).certified
    assert not certify(misfits(line, model, Doubt(stretch=0.06)), loop).certified


# --------------------------------------------------------------------------------------------------------- boxes


@given(seed=st.integers(0, 2**32 - 1), zones=st.integers(8, 24))
@settings(max_examples=40, deadline=None)
def test_nobody_inside_a_box_is_worse_than_the_box(seed, zones):
    line, model = fine_line(zones)
    rng, loop = np.random.default_rng(seed), loop_of(model, 20.0, quick_s=2.0)
    box = Doubt(0.3 * rng.random(), 0.4 * rng.random(), 0.3 * rng.random(), 0.01 * rng.random(), rng.random())
    worst = certify(misfits(line, model, box), loop)
    sides = np.array([box.gain, box.kernel, box.shift_pitches, box.stretch])
    for _ in range(20):
        inside = certify(point(misfit(line, model, rng.uniform(-1.0, 1.0, 4) * sides), box.delay_s), loop)
        assert inside.misfit <= 1.01 * worst.misfit  # norms are within a percent
        assert inside.delay <= 1.01 * worst.delay
        assert inside.slow <= 1.01 * worst.slow


def test_a_surer_belief_allows_a_faster_loop():
    """Half the doubt, less time; who is sure of everything may be as fast as he likes."""
    line, model = fine_line(16)
    box = Doubt(0.3, 0.2, 0.2, 0.003, 1.0)
    least_s = [
        certificate.least_closed_loop_s(
            misfits(line, model, box.times(scale)), 20.0, lambda closed_s: loop_of(model, closed_s)
        )
        for scale in (1.0, 0.5, 0.25, 0.0)
    ]
    assert least_s == sorted(least_s, reverse=True)
    assert least_s[0] > 2.0 * least_s[1] > 4.0 * least_s[2]
    assert least_s[3] <= 20.0 / certificate.SPAN


def test_the_largest_box_is_certified_and_a_larger_one_is_not():
    line, model = fine_line(16)
    box, loop = Doubt(0.5, 0.3, 0.5, 0.01, 2.0), loop_of(model, 20.0)
    scale = certificate.largest_scale(line, model, box, loop)
    assert 0.1 < scale < 1.0
    assert certify(misfits(line, model, box.times(scale)), loop).certified
    assert not certify(misfits(line, model, box.times(1.02 * scale)), loop).certified
    assert certificate.largest_scale(line, model, box.times(0.5 * scale), loop) == 1.0
