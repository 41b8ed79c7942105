"""Forecasts on a web whose drifts are known: they hold what they say, learn what is there, and tell what is missing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from controller.line.description import Array
from controller.line.profile import LineState
from evencoat.forecast.core import HORIZONS_S, LEVELS, NORMAL, Forecaster, held, metre_chance, normal, shipped
from tests.evencoat.forecast.webs import ToyWeb, drifting
from tests.factories import make_line

LINE = make_line(8)


def forecast_all(web: ToyWeb, forecaster: Forecaster, from_row: int) -> tuple[Array, Array, Array]:
    """Of every look from a row on: what the metres were less what was expected, sd and half widths."""
    missed, sd, half = [], [], []
    rows = web.off_pct.shape[0]
    for row, cycle in enumerate(web.cycles()):
        if forecaster.see(cycle) and from_row <= row < rows - round(HORIZONS_S[-1]):
            told = forecaster.forecast
            assert told is not None
            really = web.off_pct[[row + round(horizon) for horizon in HORIZONS_S]]
            missed.append(really - told.expected_pct)
            sd.append(told.sd_pct)
            half.append(told.half_pct)
    return np.array(missed), np.array(sd), np.array(half)


def test_intervals_of_scans_hold_as_often_as_they_say() -> None:
    web = ToyWeb(LINE, drifting(2400, 8, 0.5, 100.0, 3), noise_pct=0.2)
    forecaster = Forecaster(LINE)
    inside: list[list[Array]] = [[] for _ in HORIZONS_S]
    for row, cycle in enumerate(web.cycles()):
        forecaster.see(cycle)
        for found in forecaster.found:
            if row > 900:
                inside[found.horizon].append(found.inside)
    for horizon_s, shares in zip(HORIZONS_S, inside, strict=True):
        if horizon_s <= 60.0:  # who is answered later learns for longer than this web lasts
            assert np.mean(shares, axis=0) == pytest.approx(LEVELS, abs=0.04)


def test_intervals_of_the_web_that_begin_far_too_narrow_widen_by_scans_that_are_mostly_noise() -> None:
    web = ToyWeb(LINE, drifting(2400, 8, 0.3, 20.0, 12), noise_pct=0.4)
    rules = shipped()
    missed, _, half = forecast_all(web, Forecaster(LINE, rules._replace(half=0.4 * rules.half)), 1200)
    inside = (np.abs(missed)[:, :, None, :] <= half).mean(axis=(0, 3))
    assert inside[1] == pytest.approx(LEVELS, abs=0.08)


def test_a_scan_is_held_by_the_webs_interval_and_the_gauges_noise_together() -> None:
    rng = np.random.default_rng(13)
    off = 0.3 * rng.standard_normal(100_000) + 0.4 * rng.standard_normal(100_000)
    assert held(NORMAL, off**2, np.full(off.size, 0.3**2), 0.4**2) == pytest.approx(LEVELS, abs=0.01)
    assert held(2.0 * NORMAL, 0.9**2, 0.3**2, 0.4**2).tolist() == [0.0, 1.0, 1.0]


def test_shipped_intervals_of_a_higher_level_are_wider() -> None:
    rules = shipped()
    for half in (rules.half * rules.web, rules.mean_half * rules.mean_web):
        assert half.shape == (len(HORIZONS_S), len(LEVELS))
        assert (np.diff(half, axis=1) > 0.0).all()


def test_noise_of_the_gauge_is_found_and_not_taken_for_the_webs() -> None:
    web = ToyWeb(LINE, drifting(1200, 8, 0.05, 1000.0, 4), noise_pct=0.4)
    forecaster = Forecaster(LINE)
    noises = []
    sds = []
    for cycle in web.cycles():
        if forecaster.see(cycle) and forecaster.forecast is not None:
            sds.append(float(forecaster.forecast.sd_pct[0].mean()))
        noises += [found.noise_pct for found in forecaster.found]
    assert noises[-1] == pytest.approx(0.4, rel=0.15)
    assert sds[-1] < 0.25


def test_a_drift_that_lasts_is_forecast_better_than_by_nothing_and_a_far_horizon_is_less_sure() -> None:
    web = ToyWeb(LINE, drifting(2000, 8, 0.6, 400.0, 5), noise_pct=0.1)
    missed, sd, _ = forecast_all(web, Forecaster(LINE), 900)
    rms = np.sqrt(np.mean(missed**2, axis=(0, 2)))
    assert rms[1] < 0.5 * web.off_pct.std()
    assert rms[1] < rms[4]
    assert sd.mean(axis=(0, 2))[1] < sd.mean(axis=(0, 2))[4]


def test_a_zone_that_stays_beyond_tolerance_is_told_with_its_place() -> None:
    off_pct = drifting(800, 8, 0.05, 100.0, 6)
    off_pct[:, 5] += 2.5  # tolerance is 1.5
    forecaster = Forecaster(LINE)
    for cycle in ToyWeb(LINE, off_pct, 0.1).cycles():
        forecaster.see(cycle)
    told = forecaster.forecast
    assert told is not None
    assert told.out[3].argmax() == 5
    assert told.out[3, 5] > 0.8
    assert told.out[3, [0, 1, 2, 3]].max() < 0.1
    assert told.soon > 0.4


def test_an_even_web_is_calm() -> None:
    forecaster = Forecaster(LINE)
    for cycle in ToyWeb(LINE, drifting(800, 8, 0.1, 100.0, 7), 0.2).cycles():
        forecaster.see(cycle)
    told = forecaster.forecast
    assert told is not None
    assert told.metre_out.max() < 0.1
    assert told.soon < 0.2


def test_no_forecast_of_a_web_that_stands_and_one_again_when_it_runs() -> None:
    web = ToyWeb(LINE, drifting(400, 8, 0.2, 100.0, 8), 0.2)
    forecaster = Forecaster(LINE)
    seen = []
    for row, cycle in enumerate(web.cycles()):
        if 200 <= row < 250:
            cycle |= {"line_state": int(LineState.STOPPED), "web_speed_mps": 0.0}
        forecaster.see(cycle)
        seen.append(forecaster.forecast is not None)
    assert seen[199]
    assert not any(seen[200:250])
    assert all(seen[250:])


@pytest.mark.parametrize(
    "spoilt",
    [
        {"profile_gsm": np.full(8, np.nan)},
        {"dry_scan_gsm": np.full(8, np.nan)},
        {"dry_scan_gsm": np.full(8, 1e9)},
        {"gap_law_um": np.full(8, np.nan)},
        {"target_gsm": None},
        {"pump_trim_law_pct": None},
        {"dry_scan_m": None},
    ],
)
def test_what_is_missing_or_absurd_leaves_finite_forecasts(spoilt: dict[str, Any]) -> None:
    forecaster = Forecaster(LINE)
    for row, cycle in enumerate(ToyWeb(LINE, drifting(350, 8, 0.2, 100.0, 9), 0.2).cycles()):
        forecaster.see(cycle | spoilt if 150 <= row < 220 else cycle)
        told = forecaster.forecast
        assert told is not None
        assert all(np.isfinite(part).all() for part in told)
        assert (told.half_pct > 0.0).all()


def test_the_same_cycles_give_the_same_forecasts() -> None:
    web = ToyWeb(LINE, drifting(300, 8, 0.3, 100.0, 10), 0.2)
    one, other = Forecaster(LINE), Forecaster(LINE)
    for first, second in zip(web.cycles(), web.cycles(), strict=True):
        one.see(first)
        other.see(second)
    assert one.forecast is not None and other.forecast is not None
    for name, part in one.forecast._asdict().items():
        assert np.array_equal(part, getattr(other.forecast, name)), name


def test_a_web_that_begins_anew_is_not_judged_by_forecasts_of_the_old_one() -> None:
    web = ToyWeb(LINE, drifting(300, 8, 0.3, 100.0, 11), 0.2)
    forecaster = Forecaster(LINE)
    for _ in range(2):
        for row, cycle in enumerate(web.cycles()):
            forecaster.see(cycle)
            if row < 63:
                assert not forecaster.found


def test_the_normal_distribution_is_the_normal_distribution() -> None:
    z = np.linspace(-6.0, 6.0, 121)
    exact = [0.5 * math.erfc(-one / math.sqrt(2.0)) for one in z.tolist()]
    assert np.abs(normal(z) - exact).max() < 1e-7


@pytest.mark.parametrize("zones", [8, 40, 120])
def test_chance_of_a_metre_out_is_that_of_drawn_profiles(zones: int) -> None:
    rng = np.random.default_rng(zones)
    shape, mean = 0.2 * rng.standard_normal(zones), 0.2
    told = float(metre_chance(np.array([mean]), np.array([0.4]), shape[None, :], np.full((1, zones), 0.25))[0])
    drawn = mean + 0.4 * rng.standard_normal((20000, 1)) + shape + 0.25 * rng.standard_normal((20000, zones))
    need = max(1, math.ceil(0.02 * zones - 0.5))
    really = float(((np.abs(drawn) > 1.0).sum(axis=1) >= need).mean())
    assert told == pytest.approx(really, abs=0.04)
