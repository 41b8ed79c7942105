"""What is found of a line whose truth is worked out by other means: loops for the response, exact shifts for delay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.commission import identify
from controller.commission.identify import Heard
from controller.commission.identify import identify as found_of
from controller.commission.record import Block, Positions, Seen
from controller.line.description import Array, LineDescription
from tests.factories import lip_response_per_um, make_line

CYCLE_M, HOLD, CYCLES, WET_M = 0.1, 30, 1500, 3.0


def played(
    line: LineDescription,
    response: Array,
    *,
    play_um: float = 0.5,
    noise: float = 0.001,
    drift: float = 0.0,
    seed: int = 0,
    turned: Array | None = None,
    rate: float = 1.0,
    size_um: float = 5.0,
) -> tuple[Heard, Seen]:
    """A test on a web with nothing but transport: lips dragged through their play by loops, scans 3 m later."""
    rng = np.random.default_rng(seed)
    zones = line.zones
    target = np.repeat(size_um * rng.choice([-1.0, -1 / 3, 1 / 3, 1.0], (CYCLES // HOLD + 1, zones)), HOLD, axis=0)[
        :CYCLES
    ]
    motor = np.zeros((CYCLES, zones))
    for i in range(1, CYCLES):
        motor[i] = motor[i - 1] + np.clip(target[i] - motor[i - 1], -rate, rate)
    lip = np.zeros((CYCLES, zones))
    for i in range(1, CYCLES):
        for bolt in range(zones):
            low, high = motor[i, bolt] - play_um / 2, motor[i, bolt] + play_um / 2
            lip[i, bolt] = min(max(lip[i - 1, bolt], low), high)
    shown = (lip * (1.0 if turned is None else turned)) @ response.T
    web_m = CYCLE_M * np.arange(1, CYCLES + 1)
    delay = round(WET_M / CYCLE_M)
    error = shown[:-delay] - shown[:-delay].mean(axis=1, keepdims=True)
    waves = drift * np.sin(2.0 * np.pi * web_m[:-delay, None] / 140.0 + np.arange(zones))
    error = error + waves + noise * rng.standard_normal(error.shape)
    # a scan is a mean over the web since the last one: its middle lies half a cycle before its end
    seen = Seen(web_m[delay:] - 0.5 * CYCLE_M, error, np.zeros(CYCLES - delay))
    zero = np.zeros(CYCLES)
    positions = Positions(web_m, web_m.copy(), 600.0 + motor, zero, zero)
    return Heard(positions, (Block(0.0, float(web_m[-1])),), HOLD * CYCLE_M), seen


def line_of(zones: int = 16, **die: float) -> LineDescription:
    return make_line(zones, die=die, wet_gauge={"boxes": zones}) if die else make_line(zones)


def test_a_line_described_rightly_is_found_as_described() -> None:
    line = line_of()
    found = found_of(line, *played(line, lip_response_per_um(line)))
    assert found is not None
    assert found.gain == pytest.approx(1.0, abs=0.02)
    assert found.kernel_fwhm_pitches == pytest.approx(1.8, abs=0.05)
    assert found.shift_pitches == pytest.approx(0.0, abs=0.03)
    assert found.distance_m == pytest.approx(WET_M, rel=0.01)
    assert np.median(found.play_um) == pytest.approx(0.5, abs=0.2)
    assert (found.delivery == 1.0).all() and not found.doubted.any()


def test_a_line_described_wrongly_is_found_as_it_is() -> None:
    line = line_of()
    true = replace(line, die=replace(line.die, kernel_fwhm_pitches=2.3, alignment_shift_mm=11.0))
    told = replace(line, wet_gauge=replace(line.wet_gauge, distance_m=3.6))
    found = found_of(told, *played(line, 1.35 * lip_response_per_um(true), drift=0.01))
    assert found is not None
    assert found.gain == pytest.approx(1.35, rel=0.03)
    assert found.kernel_fwhm_pitches == pytest.approx(2.3, rel=0.04)
    assert found.shift_pitches == pytest.approx(11.0 / 25.0, abs=0.05)
    assert found.distance_m == pytest.approx(WET_M, rel=0.01)


def test_intervals_hold_what_they_promise() -> None:
    """95 % of the true figures lie within 1.96 deviations; of 24 figures from noisy tests at most four may fall out."""
    line = line_of(8)
    outside = 0
    for seed in range(8):
        found = found_of(line, *played(line, lip_response_per_um(line), noise=0.006, seed=seed))
        assert found is not None
        misses = (
            (found.gain - 1.0) / found.gain_sd,
            (found.kernel_fwhm_pitches - 1.8) / found.kernel_sd,
            found.shift_pitches / found.shift_sd,
        )
        outside += sum(abs(miss) > 1.96 for miss in misses)
    assert outside <= 4


def test_dead_and_reversed_bolts_are_named_and_no_others() -> None:
    line = line_of()
    turned = np.ones(16)
    turned[3], turned[11] = 0.0, -1.0
    found = found_of(line, *played(line, lip_response_per_um(line), noise=0.003, turned=turned))
    assert found is not None
    assert found.delivery[3] == 0.0 and found.delivery[11] == -1.0
    assert (np.delete(found.delivery, [3, 11]) == 1.0).all()
    assert found.gain == pytest.approx(1.0, abs=0.05), "bad bolts do not spoil what is found of the others"


def test_much_play_is_told_from_a_small_gain_and_from_a_dead_bolt() -> None:
    line = line_of()
    found = found_of(line, *played(line, lip_response_per_um(line), play_um=4.0))
    assert found is not None
    assert np.median(found.play_um) == pytest.approx(4.0, abs=0.4)
    assert found.gain == pytest.approx(1.0, abs=0.05)
    assert (found.delivery == 1.0).all()


def test_a_mirrored_web_is_found_mirrored() -> None:
    line = line_of()
    true = replace(line, die=replace(line.die, alignment_shift_mm=8.0))
    test, seen = played(line, lip_response_per_um(true), noise=0.0)
    mirrored = test._replace(positions=replace(test.positions, gap_um=test.positions.gap_um[:, ::-1].copy()))
    one, other = found_of(line, test, seen), found_of(line, mirrored, replace(seen, error=seen.error[:, ::-1].copy()))
    assert one is not None and other is not None
    assert other.shift_pitches == pytest.approx(-one.shift_pitches, abs=1e-3)
    assert other.gain == pytest.approx(one.gain, rel=1e-4)
    np.testing.assert_allclose(other.bolt_gains[::-1], one.bolt_gains, atol=1e-3)


def test_too_few_scans_say_nothing() -> None:
    line = line_of()
    test, seen = played(line, lip_response_per_um(line))
    few = Seen(seen.web_m[:10], seen.error[:10], seen.direction[:10])
    assert found_of(line, test, few) is None


@given(st.lists(st.floats(-6.0, 6.0), min_size=2, max_size=60), st.floats(0.0, 4.0))
@settings(deadline=None)
def test_lips_are_dragged_through_their_play(moves: list[float], play_um: float) -> None:
    motor = 600.0 + np.cumsum(moves)[:, None]
    lips, pulls = identify.lips_of(motor, np.array([play_um]))
    assert (np.abs(motor - lips) <= play_um / 2 + 1e-9).all(), "a lip is never further from its motor than the play"
    moved = np.diff(lips[:, 0]) != 0.0
    after = np.abs((motor - lips)[1:, 0][moved])
    np.testing.assert_allclose(after, play_um / 2, atol=1e-9)  # who moved a lip has taken up its play
    assert set(np.unique(pulls)) <= {-1.0, 0.0, 1.0}


def test_drift_is_taken_out_and_the_test_is_not() -> None:
    at_m = np.linspace(0.0, 100.0, 500)
    slow, fast = np.cos(np.pi * at_m / 50.0), np.cos(2.0 * np.pi * at_m / 6.0)
    left = identify.without(identify.drifts(at_m, 20.0), np.column_stack((slow, fast)))
    assert np.std(left[:, 0]) < 0.25 * np.std(slow), "as much as a random walk has of it"
    assert np.std(left[:, 1]) == pytest.approx(np.std(fast), rel=0.06)


def wandering(rows: int, columns: int, seed: int, step: float) -> Array:
    """White noise of one, and a random walk of such steps."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, columns)) + step * np.cumsum(rng.standard_normal((rows, columns)), axis=0)


def test_where_drift_and_noise_are_equal_is_seen_from_what_is_left() -> None:
    """A walk of steps s beside noise of one: equal in waves of 2 pi / s rows, by their spectra s^2 / w^2 and 1."""
    at_m, step = np.arange(600.0), 0.1
    equal_m = identify.equal_m([(at_m, wandering(600, 12, 1, step))], 2400.0)
    assert equal_m == pytest.approx(2.0 * np.pi / step, rel=0.2)
    left = identify.without(identify.drifts(at_m, equal_m), wandering(600, 12, 2, step))
    assert np.std(left) == pytest.approx(1.0, abs=0.03), "whitened to the noise that is there"
    assert abs((left[1:] * left[:-1]).mean()) < 0.05


def test_screws_so_slow_that_play_looks_like_distance_are_told_from_it_by_the_pump() -> None:
    """Screws that always turn: half their play is as late as so much web. The pump has no play."""
    line = line_of(8)
    heard, seen = played(line, lip_response_per_um(line), play_um=3.0, noise=0.004, seed=4, rate=0.3)
    told = replace(line, lips=replace(line.lips, backlash_um=0.3))
    alone, both = found_of(told, heard, seen), found_of(told, *pumped(heard, seen, seed=4))
    assert alone is not None and both is not None
    assert both.distance_sd_m < 0.7 * alone.distance_sd_m
    assert both.distance_m == pytest.approx(WET_M, abs=3.0 * both.distance_sd_m + 0.01)
    assert both.pump_gain == pytest.approx(1.0, abs=0.05)
    assert np.median(both.play_um) == pytest.approx(3.0, abs=0.5)


def pumped(heard: Heard, seen: Seen, seed: int) -> tuple[Heard, Seen]:
    """The same with a pump that goes up and down by 1 %; a cycle's web is as thick as its mean speed over it."""
    rng = np.random.default_rng(seed)
    speed = np.repeat(0.01 * rng.choice([-1.0, 1.0], CYCLES // HOLD), HOLD)
    between = 0.5 * (speed + np.concatenate((speed[:1], speed[:-1])))
    delay = round(WET_M / CYCLE_M)
    return (
        heard._replace(positions=replace(heard.positions, trim_log=speed, speed_log=speed)),
        replace(seen, error=seen.error + between[: CYCLES - delay, None]),
    )


def test_moves_that_a_supposed_play_would_swallow_can_be_worked_out() -> None:
    line = line_of()
    found = found_of(line, *played(line, lip_response_per_um(line), play_um=0.2, noise=0.002, size_um=1.0))
    assert found is not None
    assert found.gain == pytest.approx(1.0, abs=4.0 * found.gain_sd)


def test_plays_are_found_alike_where_the_web_says_little_of_each() -> None:
    """Each found with noise and never below nothing, they were together too much, and the gain with them."""
    line = line_of()
    found = found_of(line, *played(line, lip_response_per_um(line), play_um=0.2, noise=0.01, size_um=3.0))
    assert found is not None
    assert np.std(found.play_um) < 0.3
    assert found.gain == pytest.approx(1.0, abs=3.0 * found.gain_sd)


def test_lips_that_stand_open_are_worth_less() -> None:
    """By differences of a slot in two parts at one pressure: q = (lip / H^(2n+1) + rest)^(-1/n)."""
    line = line_of()
    n, share, nominal = line.slurry.flow_index, line.die.lip_share, line.die.gap_nominal_um

    def log_flow(gap_um: Array) -> Array:
        flow: Array = -np.log(share * (gap_um / nominal) ** -(2.0 * n + 1.0) + 1.0 - share) / n
        return flow

    gap_um = nominal * np.array([0.9, 1.0, 1.1])
    slope = (log_flow(gap_um + 1e-3) - log_flow(gap_um - 1e-3)) / 2e-3
    np.testing.assert_allclose(identify.worth_of_a_move(line, gap_um), slope / slope[1], rtol=1e-6)


def test_the_pumps_beat_is_found_and_noise_has_none() -> None:
    rng = np.random.default_rng(2)
    at_s = np.sort(rng.uniform(0.0, 900.0, 4000))
    noise = rng.standard_normal(4000)
    beat = 0.4 * np.cos(2.0 * np.pi * 1.234 * at_s + 0.5)
    assert identify.beat_hz(at_s, noise + beat) == pytest.approx(1.234, abs=3e-4)
    assert identify.beat_hz(at_s, noise) is None


def test_what_the_mean_does_while_a_head_crosses_is_not_taken_for_unevenness() -> None:
    web_m, along = 5.0 * np.arange(40), (np.arange(10) + 0.5) / 10
    way = np.where(np.arange(40)[:, None] % 2 == 0, along, 1.0 - along)
    beside_m = 5.0 * (way - 0.5)
    shape = 0.01 * np.cos(np.pi * along)
    rising = shape + 2e-4 * (web_m[:, None] + beside_m)
    left = identify.level_pass(rising, (rising - shape).mean(axis=1), web_m, beside_m)
    np.testing.assert_allclose(left, np.tile(shape, (40, 1)), atol=1e-12)
