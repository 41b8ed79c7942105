"""Bounds against published closed forms, against simulation, and against each other."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evencoat.league import bounds, clairvoyant, field
from plant_sim.faults import Play
from plant_sim.scenario import Scenario

PUBLISHED = [(0.95, 5, 0.6335), (0.95, 20, 0.9335), (0.99, 20, 0.5754), (0.99, 70, 0.8690)]


@pytest.mark.parametrize(("phi", "delay", "sigma"), PUBLISHED)
def test_an_ar1_process_leaves_what_the_closed_form_says(phi, delay, sigma):
    """sqrt(1 - phi^(2d)) of its own standard deviation, by both formulas."""
    psi = phi ** np.arange(200)
    innovation = math.sqrt(1.0 - phi * phi)
    assert math.sqrt(bounds.minimum_variance(psi, delay, innovation)) == pytest.approx(sigma, abs=1e-4)
    assert math.sqrt(bounds.unremovable_share(-1.0 / math.log(phi), delay)) == pytest.approx(sigma, abs=1e-4)


def test_a_random_walk_leaves_a_steps_variance_for_each_sample_of_delay():
    assert bounds.minimum_variance(np.ones(50), 7, 0.3) == pytest.approx(7 * 0.09)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 12), st.floats(0.0, 1.5), st.integers(0, 1000))
def test_no_gain_of_an_integrator_beats_minimum_variance(delay, gain_share, seed):
    """A drifting output under integral control of any gain, against the bound."""
    rng = np.random.default_rng(seed)
    phi, size = 0.98, 6000
    noise, v, u = rng.normal(0.0, 1.0, size), 0.0, np.zeros(size + delay)
    out = np.zeros(size)
    for k in range(size):
        v = phi * v + noise[k]
        out[k] = v + u[k]
        u[k + delay] = u[k + delay - 1] - gain_share / delay * out[k]
    least = bounds.minimum_variance(phi ** np.arange(delay), delay)
    assert np.mean(out[500:] ** 2) > 0.9 * least  # sampling error of 6,000 samples that hang together


def test_lips_reach_what_they_span_and_nothing_finer():
    lanes, zones = 64, 16
    x = np.arange(lanes)[:, None] / 4.0 - 1.5 / 4.0
    response = np.exp(-(((x - np.arange(zones)) / 0.9) ** 2))
    basis = bounds.reachable(response - response.mean(axis=0))
    coarse, fine = np.cos(2 * np.pi * np.arange(lanes) / lanes), np.cos(2 * np.pi * 20 * np.arange(lanes) / lanes)
    left = [np.linalg.norm(v - basis @ (basis.T @ v)) / np.linalg.norm(v) for v in (coarse, fine)]
    assert left[0] < 0.1 and left[1] > 0.9


def test_a_bound_has_the_parts_that_are_played():
    match = field.draw("nominal", 3, 30.0)
    whole = bounds.bound(match)
    parts = (whole.out_of_reach_pct, whole.cd_pct, whole.md_pct)
    assert whole.sigma_pct == pytest.approx(math.hypot(*parts))
    assert all(part > 0.0 for part in (*parts, whole.batch_pct))
    nothing = bounds.bound(replace(match, scenario=Scenario.quiet()))
    assert nothing.sigma_pct == pytest.approx(0.0, abs=1e-9)


def test_a_nearer_gauge_lowers_the_bound():
    match = field.draw("nominal", 3, 30.0)
    assert match.truth.wet is not None
    nearer = replace(match, truth=replace(match.truth, wet=replace(match.truth.wet, distance_m=0.5)))
    assert bounds.bound(nearer).cd_pct < bounds.bound(match).cd_pct


@pytest.mark.parametrize("family", ["nominal", "batch-changing", "fast-web"])
def test_a_clairvoyant_without_limits_reaches_the_bound_and_does_not_beat_it(family):
    """Median of three lines; what is left is the sampling of the shapes, which are bounded in expectation only."""
    ratios = []
    for seed in (11, 12, 13):
        match = field.draw(family, seed, 20.0)
        free = clairvoyant.released(match)
        score = field.play(free, clairvoyant.Clairvoyant(free)).score
        ratios.append(score.sigma_total_pct / bounds.bound(match).sigma_pct)
    assert 0.97 < np.median(ratios) < 1.15


@pytest.mark.parametrize("what", ["filter-clog", "tank-level", "lip-thermal-bow", "cd-temperature"])
def test_a_clairvoyant_is_told_what_befalls_slurry_and_die(what, monkeypatch):
    """Nothing else happens: what is left is a tenth of what it leaves when it is not told."""
    match = clairvoyant.released(field.draw("nominal", 11, 8.0))
    play = Play(what, size=150.0 if what == "filter-clog" else 2.0, ramp_s=200.0)
    match = replace(match, scenario=Scenario(what, "", (play,)))

    def error_pct() -> float:
        web = field.play(match, clairvoyant.Clairvoyant(match)).web
        return float(np.sqrt(np.mean(web.deviation_pct()[-300:] ** 2)))

    told = error_pct()
    monkeypatch.setattr(clairvoyant.Clairvoyant, "_befallen", lambda self, until_s: clairvoyant.NOTHING)
    assert told < 0.1 * error_pct()
