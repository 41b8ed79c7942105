"""A target beside the target: bounded, over by itself, answered at once, and gone without a trace."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core import offset
from controller.core.response import believe
from controller.line.command import Mode, OperatorRequest
from controller.line.description import LawName
from tests.controller.core.test_step import Drive, auto
from tests.factories import lip_response_per_um, make_line

LINE = make_line(16)
TOLERANCE_LOG = math.log1p(0.015)


def bumps(size: float) -> np.ndarray:
    shape = np.zeros(16)
    shape[[2, 6, 10, 14]] = size * np.array([1.0, -1.0, 1.0, -1.0])
    return shape


def settled(law: LawName = LawName.IMC) -> Drive:
    """In AUTO on an uneven web until next to nothing moves any more."""
    drive = auto(law, 8.0, zones=16, lips={"rate_um_per_s": 20.0})
    drive.run(120.0)
    return drive


@given(
    wanted=st.lists(st.floats(-10.0, 10.0), min_size=16, max_size=16),
    lasting_m=st.floats(0.0, 1e9),
    web_m=st.floats(-1e6, 1e6),
)
@settings(max_examples=200, deadline=None)
def test_no_zone_is_asked_for_more_than_its_share_and_nothing_for_ever(wanted, lasting_m, web_m):
    asked = OperatorRequest(offset_log=np.array(wanted), offset_m=lasting_m)
    taken = offset.kept(LINE, None, asked, Mode.AUTO, web_m)
    if taken is None:
        assert not web_m < web_m + lasting_m
        return
    assert np.abs(taken.log).max() <= offset.SHARE_MAX * TOLERANCE_LOG * (1.0 + 1e-9)
    assert abs(taken.log.mean()) < 1e-12
    assert taken.until_m <= web_m + 60.0  # twenty dead times of 3 m
    assert offset.kept(LINE, taken, None, Mode.AUTO, taken.until_m) is None


@pytest.mark.parametrize("wanted", [np.zeros(15), np.full(16, np.nan), np.append(np.zeros(15), np.inf)])
def test_what_is_no_profile_of_this_line_is_no_offset(wanted):
    old = offset.Offset(bumps(0.001), 100.0)
    asked = OperatorRequest(offset_log=wanted, offset_m=10.0)
    assert offset.kept(LINE, old, asked, Mode.AUTO, 0.0) is None


@pytest.mark.parametrize("mode", [Mode.MANUAL, Mode.HOLD, Mode.ADVISORY])
def test_an_open_loop_has_no_offset(mode):
    assert offset.kept(LINE, offset.Offset(bumps(0.001), 100.0), None, mode, 0.0) is None


def test_the_web_goes_there_by_the_map_at_once_stays_and_comes_back():
    """Faster than any filter of the loop: within the lips' way, and to what was asked for, in the modes kept."""
    drive = settled()
    before_um, before = drive.web.gap_um.copy(), drive.web.die_error.copy()
    shape = bumps(0.002)
    drive.cycle(OperatorRequest(offset_log=shape, offset_m=20.0))
    drive.run(2.0)
    model = believe(drive.web.line)
    reached = model.profiles @ (model.profiles.T @ (shape - shape.mean()))
    by_dead_band = 0.2 * 1.5 * lip_response_per_um(drive.web.line).max()
    np.testing.assert_allclose(drive.web.die_error - before, reached, atol=by_dead_band)
    assert np.abs(reached - shape).max() < 1e-4
    drive.run(15.0)
    np.testing.assert_allclose(drive.web.die_error - before, reached, atol=by_dead_band)
    drive.run(6.0)
    np.testing.assert_allclose(drive.web.gap_um, before_um, atol=0.35)  # dead band and counts


def test_the_wrong_gain_shows_as_a_disturbance_that_the_loop_takes_out():
    """The web goes 1.5 times as far as asked, and the filters bring it to what was asked for."""
    drive = settled()
    drive.web.response = 1.5 * lip_response_per_um(drive.web.line)
    drive.run(200.0)
    before, shape = drive.web.die_error.copy(), bumps(0.002)
    drive.cycle(OperatorRequest(offset_log=shape, offset_m=1e3))
    drive.run(2.0)
    assert (drive.web.die_error - before) @ shape / (shape @ shape) == pytest.approx(1.5, abs=0.1)
    drive.run(50.0)
    assert (drive.web.die_error - before) @ shape / (shape @ shape) < 1.4


def test_leaving_auto_ends_it_for_good():
    drive = settled()
    drive.cycle(OperatorRequest(offset_log=bumps(0.002), offset_m=50.0))
    assert drive.state.offset is not None
    drive.cycle(OperatorRequest(mode=Mode.HOLD))
    assert drive.state.offset is None
    drive.cycle(OperatorRequest(mode=Mode.AUTO))
    drive.run(1.0)
    assert drive.state.offset is None


@pytest.mark.parametrize("law", [LawName.PI, LawName.IMC])
def test_nobody_who_asks_for_nothing_is_answered_otherwise(law):
    """An offset of nought is none, to the last bit."""
    plain, asked = settled(law), settled(law)
    plain.cycle()
    asked.cycle(OperatorRequest(offset_log=np.zeros(16), offset_m=10.0))
    for _ in range(20):
        plain.cycle()
        asked.cycle()
        np.testing.assert_array_equal(plain.web.gap_um, asked.web.gap_um)
