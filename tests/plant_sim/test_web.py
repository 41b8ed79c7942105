"""Transport: delay in web length, averaging, bare foil, and what is forgotten."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant_sim import web as coated_web
from plant_sim.web import Web

LANES = 3


def coated(values, length_m=0.1, gsm_per_um=1.0, web=None):
    web = web or Web(LANES)
    for value in values:
        web.coat(length_m, np.full(LANES, float(value)), gsm_per_um)
    return web


@pytest.mark.parametrize(("speed_m_per_min", "delay_s"), [(10, 360), (20, 180), (40, 90), (60, 60), (80, 45)])
def test_transport_of_60_m(speed_m_per_min, delay_s):
    """A mark made at time zero passes 60 m behind the die after the oracle's delay, to one step."""
    dt_s, web = 0.5, coated([1.0], 1e-3)
    mark_m, t_s = web.web_m, 0.0
    while web.web_m - 60.0 < mark_m:
        coated([2.0], speed_m_per_min / 60.0 * dt_s, web=web)
        t_s += dt_s
    assert t_s == pytest.approx(delay_s, abs=dt_s)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.02, 1.0), min_size=100, max_size=100))
def test_delay_is_the_integral_of_speed(steps_m):
    """With any speeds, a gauge at 8 m reads the row that was coated 8 m of web before."""
    web, ends = Web(LANES), []
    for i, length_m in enumerate(steps_m):
        coated([i + 1], length_m, web=web)
        ends.append(web.web_m)
    at_m = web.web_m - 8.0
    stretch = web.read(at_m, at_m)
    if at_m <= 1e-6:
        assert not stretch.coated
    else:
        assert stretch.areal_gsm[0] == pytest.approx(int(np.searchsorted(np.array(ends), at_m + 1e-7)) + 1)


def test_a_stretch_is_averaged_by_length():
    web = coated([10.0], 1.0)
    coated([40.0], 3.0, 2.0, web)
    stretch = web.read(0.5, 2.0)
    assert stretch.areal_gsm[0] == pytest.approx((0.5 * 10.0 + 1.0 * 40.0) / 1.5)
    assert stretch.film_um[0] == pytest.approx((0.5 * 10.0 + 1.0 * 20.0) / 1.5)


def test_a_stretch_that_ends_with_a_row_takes_in_no_sliver_of_the_next():
    web = coated(range(1, 500))
    for from_m, to_m in ((10.0 * (1 + 1e-15), 10.1), (10.0, 10.1 * (1 + 1e-15)), (10.0 * (1 - 1e-15), 10.1)):
        assert web.read(from_m, to_m).areal_gsm[0] == pytest.approx(101.0, abs=1e-4)


def test_foil_before_the_first_coating_is_bare():
    web = coated([10.0], 1.0)
    assert not web.read(-0.5, -0.1).coated and np.isnan(web.read(-0.5, -0.1).film_um).all()
    assert web.read(0.2, 0.5).coated


def test_a_stretch_counts_when_enough_of_it_is_coated_and_only_what_is():
    web = coated([10.0, 0.0, 30.0])
    assert not web.read(0.12, 0.18).coated and not web.read(0.15, 0.15).coated
    assert not web.read(0.08, 0.2).coated  # a sixth
    assert web.read(0.0, 0.2).areal_gsm[0] == pytest.approx(10.0)
    assert web.read(0.0, 0.3).areal_gsm[0] == pytest.approx(20.0)
    patched = Web(LANES)
    patched.coat(0.1, np.full(LANES, 180.0), 1.0, coated_m=0.05)
    assert patched.read(0.0, 0.1).areal_gsm[0] == pytest.approx(180.0)


def test_web_not_yet_made_is_not_coated():
    assert not coated([1.0]).read(0.15, 3.0).coated


def test_forgetting_keeps_what_is_needed_where_it_is_looked_for():
    web = coated(range(1, 200))
    rows = web._rows
    kept = coated_web.forget(rows.marks, rows.profiles, 150, rows.used)
    assert kept == rows.used - 150
    rows.used = kept
    assert web.read(16.0, 16.1).areal_gsm[0] == pytest.approx(161.0)


@pytest.mark.parametrize(("keep_m", "row_m"), [(67.0, 0.05), (5.0, 1.0), (300.0, 0.01)])
def test_capacity_holds_the_web_and_some(keep_m, row_m):
    assert coated_web.capacity(keep_m, row_m) > 1.2 * keep_m / row_m
