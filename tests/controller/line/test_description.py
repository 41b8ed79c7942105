"""What a line's description says of itself, by hand."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from tests.factories import make_line


def test_the_nearest_gauge_closes_the_loop():
    line = make_line()
    assert line.primary_gauge is line.wet_gauge
    assert line.primary_gauge.is_wet
    dry_only = make_line(wet=False)
    assert dry_only.primary_gauge is dry_only.dry_gauge
    assert not dry_only.primary_gauge.is_wet


def test_a_line_without_a_gauge_says_so():
    with pytest.raises(ValueError, match="gauge"):
        _ = make_line(wet=False, dry=False).primary_gauge


def test_one_micrometre_of_wet_film_by_hand():
    """1730 kg/m3 at 58 % solids: 1.0034 g/m2 dry for each micrometre wet."""
    assert make_line().slurry.areal_density_gsm_per_um == pytest.approx(1.0034)


def test_the_recipes_pump_ratio_by_hand():
    """1.0 m wide, 180 g/m2: 179.39 um wet, so 179.39 cc of slurry a metre; 96 cc a turn; 1.8686 turns a metre."""
    line = replace(make_line(40), web_width_mm=1000.0)
    assert line.pump.displacement_cc_per_rev == 100.0
    assert line.pump_ratio_nominal_rpm_per_mps == pytest.approx(180.0 / 1.0034 / 96.0 * 60.0)
    assert line.pump_ratio_nominal_rpm_per_mps == pytest.approx(112.12, abs=0.01)


def test_targets_by_zone_or_one_for_all():
    np.testing.assert_array_equal(make_line(3).target_profile_gsm, [180.0, 180.0, 180.0])
    np.testing.assert_array_equal(make_line(2, target={"profile_gsm": (170.0, 190.0)}).target_profile_gsm, [170, 190])


@pytest.mark.parametrize(("zones", "centres"), [(1, [0.0]), (2, [-12.5, 12.5]), (3, [-25.0, 0.0, 25.0])])
def test_bolts_stand_about_the_middle_of_the_web(zones, centres):
    np.testing.assert_allclose(make_line(zones).zone_centres_mm, centres)


def test_a_description_never_changes():
    with pytest.raises(FrozenInstanceError):
        make_line().lips.gap_max_um = 1e9
