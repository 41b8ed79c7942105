"""A map that went wrong while the line ran is found by a reverse bump, on the real plant, inside the tolerance."""

from __future__ import annotations

import pytest

from evencoat.league.upset import played


@pytest.mark.parametrize(
    ("family", "seed", "wrong_pitches"),
    [("nominal", 1, 0.5), ("nominal", 3, -0.5), ("misaligned", 1, 0.5), ("wide", 1, 0.5)],
)
def test_half_a_zone_is_found_without_leaving_the_tolerance(family: str, seed: int, wrong_pitches: float) -> None:
    player, furthest = played(family, seed, wrong_pitches, bump=True)
    assert player.test is not None and player.test.over and player.test.why == "all bumps were made"
    assert abs(player.off_pitches) < 0.15
    assert furthest < 1.0


def test_quiet_running_would_not_have_found_it() -> None:
    player, _ = played("nominal", 1, 0.5, bump=False)
    assert player.off_pitches == pytest.approx(0.5)


def test_where_the_map_is_right_it_stays() -> None:
    player, furthest = played("nominal", 1, 0.0, bump=True)
    assert abs(player.off_pitches) < 0.12
    assert furthest < 0.5
