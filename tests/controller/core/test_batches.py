"""What former batches tell of the next one: bounded, nothing without a network, and worth while where it is right."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core import batches, network
from controller.core.batches import Past
from controller.core.estimate import mean_log
from controller.core.step import configure, init, step
from controller.line.command import Mode
from controller.line.description import LawName
from tests.controller.core.test_learnt import CYCLE_S, Pressed, adaptive_line, arrived
from tests.networks import saying, wild

USUAL2 = 0.015**2


def coming_back(share: float, sd: float) -> network.Network:
    """A network that expects so much of what is away to come back."""
    whole = network.blank()
    batch = saying(whole.batch, np.array([-share, 0.0]))
    return whole._replace(batch=batch, batch_sd=np.full(network.KNOWN_STEPS, math.log(sd)))


def test_nothing_is_expected_without_a_network_or_before_a_step_is_known():
    past = batches.ended(Past(), 0.012, 1e-6)
    assert batches.expected(None, past, USUAL2) == (0.0, USUAL2)
    assert batches.expected(coming_back(0.9, 0.005), Past(), USUAL2) == (0.0, USUAL2)


def test_steps_add_up_and_one_that_nobody_knows_is_not_counted():
    past = batches.ended(batches.ended(Past(), 0.012, 1e-6), -0.02, 2e-6)
    assert past == Past(2, pytest.approx(-0.008), pytest.approx(3e-6), -0.02, 2e-6)
    assert batches.ended(past, 0.01, batches.TOO_UNSURE2) == past
    assert batches.ended(past, math.nan, 1e-6) == past


def test_what_is_away_is_expected_back():
    step, step2 = batches.expected(coming_back(0.8, 0.006), batches.ended(Past(), 0.012, 1e-6), USUAL2)
    assert step == pytest.approx(-0.0096)
    assert math.sqrt(step2) == pytest.approx(0.006)


@given(st.integers(0, 10_000), st.floats(-0.1, 0.1), st.floats(0.0, 3e-4))
def test_no_weights_expect_more_than_the_bounds(seed, size, variance):
    past = batches.ended(batches.ended(Past(), size, variance), -0.5 * size, variance)
    step, step2 = batches.expected(wild(seed, size=50.0), past, USUAL2)
    assert abs(step) <= batches.STEP_MOST
    assert abs(step) <= network.BATCH_BOUND * (abs(past.away) + abs(past.last)) + 1e-15
    assert batches.SD_LEAST**2 <= step2 <= max(batches.SD_MOST**2, USUAL2)


def test_an_answer_that_is_no_number_is_no_answer():
    broken = coming_back(0.8, 0.006)
    broken = broken._replace(batch=broken.batch._replace(b3=np.full(network.BATCH_TAPS, np.nan)))
    assert batches.expected(broken, batches.ended(Past(), 0.012, 1e-6), USUAL2) == (0.0, USUAL2)


def after(guest: network.Network, steps: list[float]) -> list[float]:
    """The network's authority after each of these batches."""
    past, shares = batches.ended(Past(), 0.012, 1e-6), []
    for step_log in steps:
        past, _, _ = batches.announced(guest, past, USUAL2)
        past = batches.ended(past, step_log, 1e-6)
        shares.append(past.authority)
    return shares


def test_a_network_that_is_right_keeps_its_authority_and_one_that_is_wrong_loses_it_at_once():
    right, wrong = coming_back(0.9, 0.006), coming_back(-0.9, 0.006)
    assert after(right, [-0.011, 0.014, -0.013]) == [1.0, 1.0, 1.0]
    assert after(wrong, [-0.012, 0.02, -0.02])[-1] == 0.0
    unlucky = after(right, [0.001])[0]  # what comes back did not, once
    assert 0.3 < unlucky < 1.0
    assert after(right, [0.001, -0.012, 0.01, -0.012])[-1] == 1.0, "and it is earned back in shadow"


def test_without_authority_what_is_expected_is_what_a_line_without_a_network_expects():
    lost = batches.ended(Past(), 0.012, 1e-6)._replace(evidence=batches.LOST)
    past, step_log, variance = batches.announced(coming_back(0.9, 0.006), lost, USUAL2)
    assert (step_log, variance) == (0.0, USUAL2) and past.guessed == pytest.approx(-0.0108)
    silent, step_log, variance = batches.announced(None, lost._replace(evidence=-0.5), USUAL2)
    assert (silent.guessed, step_log, variance) == (0.0, 0.0, USUAL2)
    assert batches.ended(silent, 0.02, 1e-6).evidence == -0.5, "who said nothing is not judged"


SECOND_M, THIRD_M, LENGTH_S, SIZE = 150.0, 700.0, 120.0, 0.012


def out_and_back(guest: network.Network | None) -> np.ndarray:
    """A batch 1.2 % heavier, then one by the recipe again; the mean of the dry coat in each cycle, log."""
    line = adaptive_line()
    line = replace(line, control=replace(line.control, law=LawName.NEURAL))

    def share(web_m: float) -> float:
        return arrived(web_m - SECOND_M, LENGTH_S) - arrived(web_m - THIRD_M, LENGTH_S)

    web = Pressed(line, thicker=lambda m: 0.1 * share(m), solids=lambda m: SIZE * share(m))
    config = configure(line, CYCLE_S, guest=guest)
    state, mean = init(config, Mode.AUTO), []
    for cycle in range(round(1000.0 / CYCLE_S)):
        t_s = cycle * CYCLE_S
        state, command, _ = step(config, state, web.heard(1 + (t_s >= SECOND_M) + (t_s >= THIRD_M)), CYCLE_S)
        web.advance(command)
        mean.append(mean_log(web.die_error))
    return np.array(mean)


def test_the_way_back_to_the_recipe_is_foreseen_before_any_gauge_sees_it():
    alone, helped = out_and_back(None), out_and_back(coming_back(0.9, 0.006))
    np.testing.assert_array_equal(alone[: round(THIRD_M / CYCLE_S)], helped[: round(THIRD_M / CYCLE_S)])
    third = slice(round(THIRD_M / CYCLE_S), None)
    assert np.sum(helped[third] ** 2) < 0.4 * np.sum(alone[third] ** 2)
    assert np.abs(alone[third]).max() > 0.5 * SIZE
