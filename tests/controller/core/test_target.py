"""Another target while the line runs: reached by a ramp, by the pump, without the ladder or a lip taking fright."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core import target
from controller.line.command import Mode, OperatorRequest
from controller.line.description import LawName
from tests.controller.core.test_step import auto
from tests.factories import make_inputs, make_line

LINE = make_line(8)
MEAN_GSM = float(LINE.target_profile_gsm.mean())


@pytest.mark.parametrize("law", [LawName.PI, LawName.IMC, LawName.ADAPTIVE])
@pytest.mark.parametrize("share", [0.97, 1.02])
def test_the_web_gets_there_and_stays_on_its_rung(law, share):
    drive = auto(law, 60.0)
    gaps_um, wanted_gsm, rung = drive.web.gap_um.copy(), share * MEAN_GSM, drive.trace.rung
    drive.cycle(OperatorRequest(target_gsm=wanted_gsm))
    rungs, trims, told = set(), [drive.web.trim_pct], []
    for _ in range(round(240.0 / 0.1)):
        trace = drive.cycle()
        rungs.add(trace.rung)
        trims.append(drive.web.trim_pct)
        told.append(trace.target_gsm)
    assert rungs == {rung}
    assert told[-1] == pytest.approx(wanted_gsm)
    assert np.abs(np.diff(np.log(told))).max() <= math.log1p(0.015) * 0.1 / target.RAMP_S + 1e-12
    assert float(np.mean(drive.web.die_error)) == pytest.approx(math.log(share), abs=1e-3)
    assert np.abs(np.diff(trims)).max() < 0.06, "no jump on the way"
    assert np.abs(drive.web.gap_um - gaps_um).max() < 3.0, "the mean is the pump's"


def test_it_is_kept_whatever_mode_is_asked_for_and_the_harris_index_is_of_it():
    drive = auto(LawName.IMC, 30.0)
    drive.cycle(OperatorRequest(target_gsm=1.02 * MEAN_GSM))
    drive.run(60.0)
    for mode in (Mode.HOLD, Mode.MANUAL, Mode.ADVISORY, Mode.AUTO):
        trace = drive.cycle(OperatorRequest(mode=mode))
        assert trace.target_gsm == pytest.approx(1.02 * MEAN_GSM)
    trace = drive.run(600.0)
    assert trace.sigma_md_pct < 0.7


@settings(max_examples=200, deadline=None)
@given(wanted_gsm=st.floats(allow_nan=True, allow_infinity=True))
def test_what_is_out_of_bounds_or_no_number_changes_nothing(wanted_gsm):
    before = target.Target(0.01, 0.01)
    after = target.moved(LINE, before, OperatorRequest(target_gsm=wanted_gsm), make_inputs(LINE, 0.0), 0.1)
    low, high = target.bounds_gsm(LINE)
    if low <= wanted_gsm <= high:
        assert math.exp(after.goal_log) * MEAN_GSM == pytest.approx(wanted_gsm)
        assert abs(after.log - 0.01) <= math.log1p(0.015) * 0.1 / target.RAMP_S + 1e-12
    else:
        assert after == before


def test_a_standing_web_and_a_lost_encoder_leave_the_ramp_where_it_is():
    asked = OperatorRequest(target_gsm=1.02 * MEAN_GSM)
    for inputs in (make_inputs(LINE, 0.0, web_speed_mps=0.0), make_inputs(LINE, 0.0, encoder_valid=False)):
        after = target.moved(LINE, target.Target(), asked, inputs, 0.1)
        assert after.log == 0.0 and after.goal_log > 0.0
