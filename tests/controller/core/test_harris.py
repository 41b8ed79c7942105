"""The index of a loop, from its own record: against closed forms, online against the regression, in plain words."""

import math

import numpy as np
import pytest

from controller.core import harris


@pytest.mark.parametrize(("phi", "delay"), [(0.98, 5), (0.95, 10), (0.99, 20)])
def test_the_index_of_routine_data_is_the_true_one(phi, delay):
    """An AR(1) disturbance nobody touches: minimum variance over variance is 1 - phi^(2d)."""
    rng = np.random.default_rng(5)
    y = np.zeros(60_000)
    for k in range(1, y.size):
        y[k] = phi * y[k - 1] + rng.normal()
    assert harris.harris_index(y, delay) == pytest.approx(1.0 - phi ** (2 * delay), abs=0.05)


def test_white_noise_is_as_good_as_it_gets_and_an_offset_is_not():
    y = np.random.default_rng(6).normal(size=5000)
    assert harris.harris_index(y, 5) > 0.98
    assert harris.harris_index(y + 3.0, 5) < 0.15
    assert math.isnan(harris.harris_index(y[:20], 5))


def test_the_online_index_agrees_with_the_regression_and_says_so_in_words():
    rng, delay_m = np.random.default_rng(7), 3.0
    online, y, web = harris.Harris.start(delay_m), [0.0], [0.0]
    assert math.isnan(online.index) and "too little" in online.words
    for _ in range(40_000):
        y.append(0.997 * y[-1] + rng.normal(0.0, 0.02))
        web.append(web[-1] + 0.1)
        online = online.seen(web[-1], y[-1])
    whole = harris.index_of_run(np.array(y), np.array(web), delay_m)
    assert online.index == pytest.approx(whole, abs=0.1)
    assert whole < 0.35 and online.words.startswith("room to improve")
    for value in rng.normal(0.0, 0.2, 20_000):
        web.append(web[-1] + 0.6)
        online = online.seen(web[-1], value)
    assert online.index > 0.8 and "as even as" in online.words


def test_an_encoder_set_back_begins_a_new_record():
    online = harris.Harris.start(3.0)
    rng = np.random.default_rng(8)
    for k in range(4000):
        online = online.seen(0.1 * k, rng.normal(0.0, 0.2))
    assert online.index > 0.8
    back = online.seen(0.0, 0.1)
    assert math.isnan(back.index) and back.samples == 1 and back.step_m == online.step_m
    assert online.seen(399.0, 5.0) is online, "a web that jitters back a little is no new one"
