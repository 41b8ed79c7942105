"""Our own exp and ln against the correctly rounded ones, where the plant uses them and far beyond."""

import math
from fractions import Fraction

import numba
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant_sim.compiled import exp, fma, ln

FINITE = st.floats(-1e100, 1e100, allow_subnormal=False)


@given(st.floats(1e-300, 1e300))
def test_ln_is_right_to_the_last_digits(x):
    assert ln(x) == pytest.approx(math.log(x), rel=4e-16, abs=3e-16)


@given(st.floats(0.9, 1.1))
def test_ln_near_one_loses_no_digits(x):
    assert ln(x) == pytest.approx(math.log(x), rel=1e-15, abs=0.0)


@given(st.floats(-700.0, 700.0))
def test_exp_is_right_to_the_last_digits(x):
    assert exp(x) == pytest.approx(math.exp(x), rel=5e-16)


@numba.njit
def rounded_once(a, b, c):
    return fma(a, b, c)


@given(FINITE, FINITE, FINITE)
def test_fma_rounds_once(a, b, c):
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    assert abs(Fraction(rounded_once(a, b, c)) - exact) <= abs(exact) * Fraction(1, 2**53) + Fraction(1, 10**320)
