"""Solids, density and batch fronts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant_sim.slurry import Front, Recipe, Slurry, blend

OLD = Slurry(12.0, 0.6, 1730.0, 0.58)
NEW = Slurry(16.0, 0.55, 1750.0, 0.59)


@pytest.mark.parametrize(
    ("density", "solids", "percent"), [(1730.0, 0.58, 2.9), (1740.0, 0.58, 2.9), (2240.0, 0.70, 3.1)]
)
def test_one_percent_of_solids_is_about_three_of_areal_density(density, solids, percent):
    """LFP and NMC cathodes in NMP: +2.8 to +3.1 %."""
    recipe = Recipe.of(density, solids)
    assert recipe.density_kgm3(solids) == pytest.approx(density, rel=1e-12)
    dry = [recipe.density_kgm3(w) * w / (density * solids) for w in (solids - 0.005, solids + 0.005)]
    more = dry[1] - dry[0]
    assert 100.0 * more == pytest.approx(percent, abs=0.05)
    assert recipe.areal_sensitivity(solids) * 0.01 == pytest.approx(more, rel=0.02)


@given(st.floats(900.0, 2800.0), st.floats(0.35, 0.8))
def test_any_description_has_a_recipe(density, solids):
    recipe = Recipe.of(density, solids)
    assert recipe.particle_kgm3 > 0.0
    assert recipe.density_kgm3(solids) == pytest.approx(density, rel=1e-9)


def test_a_front_starts_at_its_onset_and_is_nearly_through_after_its_duration():
    front = Front(100.0, 60.0)
    assert front.share(100.0) == 0.0
    assert front.share(160.0) == pytest.approx(0.96, abs=0.005)
    assert front.share(1e6) == 1.0
    shares = [front.share(t) for t in range(0, 400, 5)]
    assert shares == sorted(shares)


def test_blend_is_the_old_batch_before_and_the_new_one_after():
    fronts = (Front(100.0, 60.0),)
    assert blend((OLD, NEW), fronts, 50.0) == OLD
    after = blend((OLD, NEW), fronts, 1e5)
    for got, wanted in zip(_numbers(after), _numbers(NEW), strict=True):
        assert got == pytest.approx(wanted, rel=1e-12)
    between = blend((OLD, NEW), fronts, 130.0)
    assert OLD.solids_fraction < between.solids_fraction < NEW.solids_fraction


def test_a_front_of_size_zero_changes_nothing_and_the_last_batch_serves_further_fronts():
    assert blend((OLD, NEW), (Front(0.0, 1.0, 0.0),), 1e3) == OLD
    twice = blend((OLD, NEW), (Front(0.0, 1.0), Front(10.0, 1.0)), 1e3)
    assert twice.solids_fraction == pytest.approx(NEW.solids_fraction)


def _numbers(slurry):
    return slurry.consistency_pa_sn, slurry.flow_index, slurry.density_kgm3, slurry.solids_fraction
