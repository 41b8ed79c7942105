"""The judge: figures worked out by hand on webs whose every metre is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evencoat.league.metrics import TrueWeb, score

TARGET = 200.0
LANES = 100


def web(deviation_pct: np.ndarray, ds_m: float | np.ndarray = 1.0, dt_s: float = 1.0, **kwargs: object) -> TrueWeb:
    """A web of rows one second apart with the given deviations (rows, lanes) or (rows,)."""
    deviation = np.atleast_2d(np.asarray(deviation_pct, dtype=float).T).T * np.ones((1, LANES))
    rows = deviation.shape[0]
    return TrueWeb(
        t_s=np.arange(rows) * dt_s,
        ds_m=np.broadcast_to(ds_m, (rows,)).astype(float),
        areal_density_gsm=(TARGET * (1.0 + deviation / 100.0)).astype(np.float32),
        target_gsm=np.full(LANES, TARGET),
        tolerance_pct=1.5,
        **kwargs,
    )


def test_a_perfect_web_has_nothing_to_report() -> None:
    judged = score(web(np.zeros(1000)))
    assert judged.sigma_total_pct == pytest.approx(0.0, abs=1e-5)
    assert (judged.out_of_spec_ppm, judged.out_of_tolerance_m, judged.startup_scrap_m) == (0.0, 0.0, 0.0)
    assert judged.batch_scrap_m is None


def test_sigmas_split_into_cd_and_md() -> None:
    md = np.where(np.arange(1000) % 2, 0.3, -0.3)
    cd = np.where(np.arange(LANES) % 2, 0.4, -0.4)
    judged = score(web(md[:, None] + cd[None, :]))
    assert judged.sigma_md_pct == pytest.approx(0.3, rel=1e-4)
    assert judged.sigma_cd_pct == pytest.approx(0.4, rel=1e-4)
    assert judged.sigma_total_pct == pytest.approx(0.5, rel=1e-4)


def test_cpk_takes_the_nearer_limit_and_the_spread_about_the_mean() -> None:
    md = 0.3 + np.where(np.arange(1000) % 2, 0.2, -0.2)
    judged = score(web(md))
    assert judged.cpk == pytest.approx((1.5 - 0.3) / (3 * 0.2), rel=1e-3)


def test_ppm_is_a_share_of_area_not_of_time() -> None:
    """From minute 10 on, 1 of the 96 lanes kept is out on rows that coat twice the web of the others."""
    deviation = np.zeros((1200, LANES))
    deviation[::2, 50] = 2.0
    ds_m = np.where(np.arange(1200) % 2, 1.0, 2.0)
    assert score(web(deviation, ds_m)).out_of_spec_ppm == pytest.approx(1e6 / 96 * 2 / 3, rel=1e-6)


def test_two_percent_of_the_width_may_be_outside() -> None:
    """Edges are trimmed by two lanes a side, so of 96 lanes one (1.04 %) is allowed and two (2.08 %) are not."""
    deviation = np.zeros((1000, LANES))
    deviation[:300, 50] = 2.0
    assert score(web(deviation)).out_of_tolerance_m == 0.0
    deviation[:300, 51] = 2.0
    assert score(web(deviation)).out_of_tolerance_m == 300.0


def test_trimmed_edges_are_not_judged() -> None:
    deviation = np.zeros((1000, LANES))
    deviation[:, [0, 1, 98, 99]] = 30.0
    judged = score(web(deviation))
    assert judged.out_of_tolerance_m == 0.0 and judged.sigma_total_pct == pytest.approx(0.0, abs=1e-5)


def test_the_first_ten_minutes_are_judged_by_scrap_alone() -> None:
    deviation = np.zeros(1000)
    deviation[:590] = 5.0
    judged = score(web(deviation))
    assert judged.judged_from_s == 600.0
    assert judged.sigma_total_pct == pytest.approx(0.0, abs=1e-5)
    assert judged.startup_scrap_m == 590.0 and judged.out_of_tolerance_m == 590.0


def test_start_up_ends_where_thirty_metres_stay_inside() -> None:
    deviation = np.zeros(1000)
    deviation[:40] = 5.0
    deviation[65:70] = 5.0  # 25 m inside were not enough
    assert score(web(deviation)).startup_scrap_m == 70.0


def test_a_web_that_never_settles_is_all_scrap() -> None:
    assert score(web(np.full(100, 5.0))).startup_scrap_m == 100.0


def test_batch_scrap_counts_eight_minutes() -> None:
    deviation = np.zeros(2000)
    deviation[900:2000] = 5.0
    assert score(web(deviation, batch_changes_s=(1000.0,))).batch_scrap_m == 480.0


def test_overlapping_batch_windows_count_a_metre_once() -> None:
    deviation = np.full(2000, 5.0)
    assert score(web(deviation, batch_changes_s=(1000.0, 1100.0))).batch_scrap_m == 580.0


def test_a_standing_web_counts_for_nothing() -> None:
    deviation = np.zeros(1000)
    deviation[800:900] = -100.0
    ds_m = np.ones(1000)
    ds_m[800:900] = 0.0
    judged = score(web(deviation, ds_m))
    assert judged.out_of_tolerance_m == 0.0 and judged.coated_m == 900.0


def test_nothing_coated_is_said_and_not_judged() -> None:
    with pytest.raises(ValueError, match="nothing was coated"):
        score(web(np.zeros(10), 0.0))


@given(st.floats(0.1, 3.0), st.integers(0, 2**32 - 1))
def test_figures_scale_with_the_deviation(factor: float, seed: int) -> None:
    deviation = np.random.default_rng(seed).normal(size=(720, LANES)) * 0.1
    once, more = score(web(deviation)), score(web(deviation * factor))
    assert more.sigma_cd_pct == pytest.approx(factor * once.sigma_cd_pct, rel=1e-3)
    assert more.sigma_total_pct**2 == pytest.approx(more.sigma_cd_pct**2 + more.sigma_md_pct**2, rel=1e-9)


@given(st.integers(0, 2**32 - 1))
def test_a_mirrored_web_is_judged_alike(seed: int) -> None:
    deviation = np.random.default_rng(seed).normal(size=(720, LANES))
    there, here = (score(web(d, batch_changes_s=(300.0,))).as_dict() for d in (deviation[:, ::-1], deviation))
    assert there == pytest.approx(here, rel=1e-9)
