"""The belief plant: the web that it draws, and what its gauges make of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from controller.core import estimate, response
from controller.learn import belief, families, sensing
from controller.learn.belief import World
from controller.learn.families import CYCLE_S

MINUTES = 12.0


def quiet(world: World, **changes: float) -> World:
    """The same world with perfect gauges."""
    still = {"wet_bias_pct": 0.0, "dry_bias_pct": 0.0, "ramping_share": 0.0, "noisier": 0.0}
    return replace(world, numbers={**world.numbers, **still, **changes})


def test_the_same_seed_draws_the_same_bytes_and_another_does_not() -> None:
    one, same, other = (belief.draw("usual", seed, MINUTES) for seed in (3, 3, 4))
    for name in ("film", "dry", "pulse", "pressure_log", "brought", "batch", "levels", "shape"):
        assert np.array_equal(getattr(one, name), getattr(same, name)), name
    assert one.line == same.line
    assert not np.array_equal(one.film, other.film)


@pytest.mark.parametrize("family", families.FAMILIES)
def test_every_family_draws_lines_within_its_ranges(family: str) -> None:
    bounds = {**families.RANGES, **families.FAMILIES[family].ranges}
    for seed in range(20):
        drawn = families.numbers(family, seed)
        assert all(low <= drawn[name] <= high for name, (low, high) in bounds.items())
        world = belief.draw(family, seed, 2.0)
        assert np.isfinite(world.dry).all() and np.abs(world.dry).max() < 0.2
        assert abs(world.line.web_speed_mps - drawn["web_m_per_min"] / 60.0) < 1e-12


def test_training_never_sees_a_family_that_is_held_out() -> None:
    held = {name for name, family in families.FAMILIES.items() if family.held_out}
    assert held
    assert not held & set(families.trained())
    assert set(families.trained()) | held == set(families.FAMILIES)


def test_an_unknown_family_is_named_with_those_there_are() -> None:
    with pytest.raises(KeyError, match=r"'wild'.*usual"):
        belief.draw("wild", 1, MINUTES)


def test_the_profile_never_moves_the_mean() -> None:
    shape = belief.draw("usual", 5, MINUTES).shape
    assert np.abs(shape.mean(axis=1) - 1.0).max() < 1e-12
    assert shape.std() > 1e-3


def test_a_batch_brings_its_whole_level_and_nothing_before_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(families.RANGES, "front_s", (30.0, 60.0))
    world = belief.draw("restless", 2, 180.0)
    assert world.levels.size == world.batch[-1] > 4
    moved = world.brought + world.levels[0]
    for name, level in enumerate(world.levels, start=1):
        begin, end = np.flatnonzero(world.batch == name)[[0, -1]]
        assert abs(moved[max(begin - 1, 0)] - (world.levels[name - 2] if name > 1 else level)) < 1e-4
        assert abs(moved[end] - level) < 1e-4


@pytest.mark.parametrize("length", [60.0, 900.0])
def test_a_front_begins_at_nothing_never_turns_back_and_ends(length: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(families.RANGES, "front_s", (length, length))
    since = np.linspace(-10.0, 4.0 * length, 3000)
    for seed in range(12):
        there = belief._front(np.random.default_rng(seed), {}, since)
        assert there[since <= 0.0].max() == 0.0
        assert (np.diff(there) >= 0.0).all()
        assert there[-1] > 0.999
        assert abs(np.interp(length, since, there) - 0.96) < 0.02


def test_pressure_follows_flow_by_the_slurrys_exponent() -> None:
    world = belief.draw("usual", 1, 4.0)
    before = world.batch == 1
    n = world.numbers["flow_index"] + world.numbers["flow_index_off"]
    rest = world.pressure_log[before] - n * world.film[before]
    assert rest.std() < 0.01 * world.numbers["rheology_pct"] + 1e-9


@pytest.mark.parametrize("family", ["usual", "array-behind", "scanner-behind"])
def test_gauges_see_the_metre_that_stands_under_them(family: str) -> None:
    world = quiet(belief.draw(family, 7, MINUTES))
    ramp = 1e-5 * np.arange(world.cycles)
    world = replace(world, film=ramp, dry=2.0 * ramp, pulse=0.0 * ramp, shape=np.ones_like(world.shape))
    line, seen = world.line, 0
    for inputs in sensing.watched(world):
        for scan, slope, gauge in ((inputs.wet, 1.0, line.wet_gauge), (inputs.dry, 2.0, line.dry_gauge)):
            if scan is None or gauge is None:
                continue
            at_m = scan.web_m - gauge.distance_m
            assert at_m > 0.0
            assert scan.web_m <= inputs.web_m + 1e-9
            laid = at_m / (line.web_speed_mps * CYCLE_S) - 0.5  # cycle whose web it is, as a number
            reading = scan.film_um if gauge.is_wet else scan.areal_density_gsm
            per_unit = line.slurry.areal_density_gsm_per_um if gauge.is_wet else 1.0
            error = np.log(reading * per_unit / line.target_profile_gsm)
            wide = 0.5 * gauge.period_s / CYCLE_S * slope * 1e-5 if gauge.is_scanner else 0.0
            assert np.abs(error - slope * 1e-5 * laid).max() < wide + slope * 1e-5
            seen += 1
    assert seen > 10


def test_a_scanner_goes_to_and_fro() -> None:
    ways = [inputs.dry.direction for inputs in sensing.watched(belief.draw("scanner-behind", 3, MINUTES)) if inputs.dry]
    assert ways[:4] in ([1, -1, 1, -1], [-1, 1, -1, 1])


def test_some_lines_have_a_quiet_pressure_some_a_noisy_one_and_some_none() -> None:
    kinds = set()
    for seed in range(40):
        world = belief.draw("usual", seed, 2.0)
        told = np.array([inputs.pump_pressure_kpa for inputs in sensing.watched(world)])
        if not told.any():
            kinds.add("none")
            continue
        moved = np.log(told / told[0]) - (world.pressure_log - world.pressure_log[0])
        kinds.add("quiet" if np.abs(moved).max() < 1e-12 else "noisy")
    assert kinds == {"none", "quiet", "noisy"}


@pytest.mark.parametrize("family", ["usual", "array-behind", "scanner-behind"])
def test_the_estimator_finds_a_still_web_through_these_gauges(family: str) -> None:
    """What is laid, what the gauges say of it and where the estimator puts it must be one and the same."""
    world = quiet(belief.draw(family, 7, MINUTES), pressure_true_share=1.0)
    level = np.full(world.cycles, 0.013)
    still = {"film": level, "dry": level + 0.004, "pulse": 0.0 * level, "batch": np.ones_like(world.batch)}
    world = replace(world, **still, pressure_log=world.pressure_log[0] + 0.0 * level)
    estimator = estimate.build(world.line, response.believe(world.line))
    state = estimate.init(estimator)
    for inputs in sensing.watched(world):
        state = estimate.update(estimator, state, inputs)
    assert abs(state.reading.disturbance_md - 0.017) < 2e-4
