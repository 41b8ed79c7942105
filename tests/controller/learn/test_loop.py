"""The differentiable loop: what pump, dead times and a wrong model do to a web, and what may be learnt through them."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: make learn")

from controller.learn import loop, material  # noqa: E402
from controller.learn.heads import Heads  # noqa: E402
from controller.learn.loop import Wrong  # noqa: E402
from controller.learn.material import Lines  # noqa: E402
from controller.learn.record import Record  # noqa: E402

SAMPLES = 500


def recorded(true: np.ndarray, believed: np.ndarray, near_s: float = 3.0, pump_s: float = 1.0) -> Record:
    taps = np.zeros((true.size, 12))
    taps[:, 2] = 0.2
    nothing = np.zeros(true.size)
    return Record(
        taps, np.zeros((true.size, 16)), believed, nothing, nothing, true, nothing, np.ones(true.size, dtype=bool),
        np.zeros((0, 2)), np.zeros((0, 4)), np.zeros(0), np.array([near_s, 40.0, 4.0, 10.0, pump_s]),
    )  # fmt: skip


def lines(near_s: float = 3.0, believed: float = 0.5) -> Lines:
    level = np.full(SAMPLES, believed)
    return material.stacked([recorded(np.full(SAMPLES, 0.5), level, near_s) for _ in range(2)])


def right(count: int = 2) -> Wrong:
    return Wrong(torch.zeros(count), torch.zeros(count))


def test_a_right_belief_answered_by_a_right_model_leaves_nothing() -> None:
    web = loop.played(None, lines(), right(), 100, 200)
    assert web.shape == (2, 200)
    assert float(web.abs().max()) < 1e-5


def test_a_pump_that_does_more_than_believed_is_found_out_and_answered() -> None:
    """A step of the belief moves a pump of 10 % more gain; both gauges see it, and it is taken out again."""
    level = np.where(np.arange(SAMPLES) < 120, 0.0, 1.0)
    both = material.stacked([recorded(level, level, near_s) for near_s in (3.0, 0.0)])
    wrong = Wrong(torch.full((2,), 0.1), torch.zeros(2))
    web = loop.played(None, both, wrong, 100, 380)
    assert torch.allclose(web[:, 24], torch.full((2,), -0.1), atol=0.03)  # before the gauges could tell much of it
    assert float(web[0, 60].abs()) < 0.02  # the wet gauge has; the line without one still waits
    assert float(web[1, 55].abs()) > 0.05
    assert float(web[:, -1].abs().max()) < 0.01


def test_the_pump_moves_no_faster_than_its_trim_may() -> None:
    level = np.where(np.arange(SAMPLES) < 110, 0.0, 5.0)
    one = material.stacked([recorded(level, level)])
    web = loop.played(None, one, right(1), 100, 60)[0]
    steps = -torch.diff(web[10:])
    assert float(steps.max()) <= loop.TRIM_RATE_PCT_PER_S + 1e-5


def test_gradients_tell_the_network_to_correct_a_belief_that_is_off() -> None:
    off = lines(believed=0.4)
    learner = Heads(4, 4, 1)
    alone = float((loop.played(None, off, right(), 100, 60) ** 2).mean())
    optimiser = torch.optim.Adam(learner.mean.parameters(), lr=0.1)
    for _ in range(12):
        optimiser.zero_grad()
        loss = (loop.played(learner, off, right(), 100, 60) ** 2).mean()
        loss.backward()
        optimiser.step()
    assert alone == pytest.approx(0.01, rel=0.02)
    assert float(loss.detach()) < 0.5 * alone


def test_what_the_network_moves_comes_back_by_its_taps() -> None:
    """With a wrong gain the taps differ from those recorded, a dead time after the network spoke."""
    off = lines(believed=0.4)
    learner = Heads(4, 4, 1)
    with torch.no_grad():
        learner.mean.b3[2] = 0.5
        web = [
            loop.played(learner, off, Wrong(torch.full((2,), gain), torch.zeros(2)), 100, 200) for gain in (0.0, 0.3)
        ]
    pump = [(seen - 0.5) / (1.0 + gain) for seen, gain in zip(web, (0.0, 0.3), strict=True)]
    early, late = (pump[1] - pump[0])[:, :3].abs().max(), (pump[1] - pump[0])[:, 60:].abs().max()
    assert float(early) < 1e-4
    assert float(late) > 0.005


def test_online_weights_are_the_posterior_of_what_was_seen_a_dead_time_ago() -> None:
    samples = 400
    missed = np.full(samples, 0.3)
    line = recorded(missed, np.zeros(samples))
    learner = Heads(4, 4, 1)
    told = material.stacked([line])
    guesses = torch.zeros(1, samples, 3)
    guesses[..., 0] = 0.2
    found = material.weights(learner, told, guesses).detach()[0]
    assert torch.equal(found[:40], learner.prior.detach().expand(40, 3))
    row = 360 - 40  # the look at 360 s knows what was laid until then
    told_by = (row + 1) / 20.0 / 0.3**2
    variance = float(learner.weight2[0].detach())
    expected = (1.0 / variance + told_by * 0.2 * 0.3) / (1.0 / variance + told_by * 0.2 * 0.2)
    assert float(found[370, 0]) == pytest.approx(expected, rel=1e-4)
    assert found[370, 1:].abs().max() == 0.0


def test_the_tail_is_the_mean_of_the_worst() -> None:
    assert float(material.tail(torch.tensor([0.1, 0.5, 0.2, 0.3, -1.0]), 0.4)) == pytest.approx(0.4)
