"""Foil that differs from what was ordered looks like coating, unless bare foil is measured."""

import numpy as np
import pytest

from plant_sim import foil
from plant_sim.foil import Foil


@pytest.mark.parametrize(
    ("one", "gsm"),
    [
        (Foil(12.0, foil.ALUMINIUM_KGM3), 32.4),
        (Foil(8.0, foil.COPPER_KGM3), 71.68),
        (Foil(4.5, foil.COPPER_KGM3), 40.32),
    ],
)
def test_mass_of_foils(one, gsm):
    assert one.areal_density_gsm == pytest.approx(gsm)


def test_a_foil_step_is_seen_by_the_gauge_and_is_not_in_the_truth():
    """15 um aluminium that turns 4 % thicker: 1.6 g/m2, 0.9 % of a coating of 180 g/m2."""
    truth, thicker = np.full(100, 180.0), np.where(np.arange(100) >= 50, 4.0, 0.0)
    one = Foil(15.0, foil.ALUMINIUM_KGM3)
    seen = foil.reading_gsm(truth, one, thicker, bare_foil_known=False)
    assert seen[49] == 180.0
    assert seen[50] - truth[50] == pytest.approx(1.62)
    np.testing.assert_array_equal(foil.reading_gsm(truth, one, thicker, bare_foil_known=True), truth)


def test_x_rays_see_copper_larger_than_it_is():
    one = Foil(6.0, foil.COPPER_KGM3, attenuation_ratio=5.0)
    assert foil.leak_gsm(one, np.array([1.0]))[0] == pytest.approx(5.0 * 0.5376)
