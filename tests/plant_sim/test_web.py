"""Transport: delay in web length, averaging, bare foil, and states that stay usable."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant_sim import web as coated_web

LANES = 3


def coat_rows(web, values, length_m=0.1, gsm_per_um=1.0):
    for value in values:
        web = coated_web.coat(web, length_m, np.full(LANES, float(value)), gsm_per_um)
    return web


@pytest.mark.parametrize(("speed_m_per_min", "delay_s"), [(10, 360), (20, 180), (40, 90), (60, 60), (80, 45)])
def test_transport_of_60_m(speed_m_per_min, delay_s):
    """A mark made at time zero passes 60 m behind the die after the oracle's delay, to one step."""
    dt_s, web = 0.5, coated_web.empty(LANES, 70.0)
    web = coat_rows(web, [1.0], 1e-3)
    mark_m, t_s = web.web_m, 0.0
    while web.web_m - 60.0 < mark_m:
        web = coat_rows(web, [2.0], speed_m_per_min / 60.0 * dt_s)
        t_s += dt_s
    assert t_s == pytest.approx(delay_s, abs=dt_s)


@settings(max_examples=30)
@given(st.lists(st.floats(0.02, 1.0), min_size=300, max_size=300))
def test_delay_is_the_integral_of_speed(steps_m):
    """With any speeds, a gauge at 20 m reads the row that was coated 20 m of web before."""
    web, ends = coated_web.empty(LANES, 25.0), []
    for i, length_m in enumerate(steps_m):
        web = coat_rows(web, [i + 1], length_m)
        ends.append(web.web_m)
    at_m = web.web_m - 20.0
    stretch = coated_web.read(web, at_m, at_m)
    if at_m <= 1e-6:
        assert not stretch.coated
    else:
        expected = int(np.searchsorted(np.array(ends), at_m - 1e-7)) + 1
        assert stretch.areal_gsm[0] == expected


def test_a_stretch_is_averaged_by_length():
    web = coat_rows(coated_web.empty(LANES, 10.0), [10.0], 1.0)
    web = coat_rows(web, [40.0], 3.0, gsm_per_um=2.0)
    stretch = coated_web.read(web, 0.5, 2.0)
    assert stretch.areal_gsm[0] == pytest.approx((0.5 * 10.0 + 1.0 * 40.0) / 1.5)
    assert stretch.film_um[0] == pytest.approx((0.5 * 10.0 + 1.0 * 20.0) / 1.5)


def test_a_stretch_that_ends_with_a_row_takes_in_no_sliver_of_the_next():
    web = coat_rows(coated_web.empty(LANES, 100.0), range(1, 500))
    stretch = coated_web.read(web, 10.0 * (1 + 1e-15), 10.1)
    assert stretch.areal_gsm[0] == 101.0


def test_foil_before_the_first_coating_is_bare():
    web = coat_rows(coated_web.empty(LANES, 10.0, web_m=5.0), [10.0], 1.0)
    assert not coated_web.read(web, 4.0, 4.5).coated
    assert not coated_web.read(web, 4.5, 5.5).coated
    assert np.isnan(coated_web.read(web, 4.0, 4.5).film_um).all()
    assert coated_web.read(web, 5.2, 5.5).coated


def test_a_bare_stretch_in_between_is_not_coated():
    web = coat_rows(coated_web.empty(LANES, 10.0), [10.0, 0.0, 10.0], 1.0)
    assert not coated_web.read(web, 0.5, 1.5).coated
    assert not coated_web.read(web, 1.2, 1.2).coated
    assert coated_web.read(web, 2.2, 2.8).coated


def test_web_not_yet_made_is_not_coated():
    assert not coated_web.read(coat_rows(coated_web.empty(LANES, 5.0), [1.0]), 0.05, 3.0).coated


def test_an_older_state_stays_usable():
    """Two futures from one past do not see each other."""
    past = coat_rows(coated_web.empty(LANES, 10.0), [1.0], 1.0)
    one = coat_rows(past, [2.0], 1.0)
    two = coat_rows(past, [3.0], 1.0)
    assert [coated_web.read(w, 1.5, 1.5).areal_gsm[0] for w in (one, two)] == [2.0, 3.0]
    assert past.rows == 1 and not coated_web.read(past, 1.5, 1.5).coated


def test_memory_is_bounded_and_what_is_kept_is_right():
    web = coated_web.empty(LANES, 6.0)
    for i in range(20_000):
        web = coated_web.coat(web, 0.1, np.full(LANES, float(i + 1)), 1.0)
    assert web.rows <= coated_web.FIRST_ROWS
    at_m = web.web_m - 5.95
    assert coated_web.read(web, at_m, at_m).areal_gsm[0] == 19_941.0
