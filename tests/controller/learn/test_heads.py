"""The torch twin against what the controller runs, and the head that learns what batches bring."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from controller.core import batches, network

torch = pytest.importorskip("torch", reason="training needs torch: make learn")

from controller.learn import heads, recipes  # noqa: E402
from controller.learn.heads import Heads  # noqa: E402


def stirred(seed: int = 1) -> Heads:
    """Heads with weights that say something everywhere."""
    made = Heads(8, 4, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in made.named_parameters():
            if name.endswith(("w3", "b3", "b1", "b2")):
                value.add_(torch.randn(value.shape, generator=generator))
        made.mean.centre += torch.randn(made.mean.centre.shape, generator=generator)
        made.mean.scale += 1.0
    return made


@pytest.mark.parametrize(("name", "context", "taps"), [("mean", 16, 12), ("batch", 4, 2)])
def test_the_twin_says_what_the_controller_says(name: str, context: int, taps: int) -> None:
    made = stirred()
    plain = getattr(heads.plain(made), name)
    rng = np.random.default_rng(3)
    shown, heard = rng.standard_normal((200, context)), rng.standard_normal((200, taps))
    with torch.no_grad():
        twin = getattr(made.double(), name)(torch.from_numpy(shown), torch.from_numpy(heard)).numpy()
    told = network.predictors(plain, shown, heard)
    assert told.shape == twin.shape
    assert np.abs(told - twin).max() < 1e-12
    assert np.abs(told).max() > 0.1


def test_single_precision_costs_less_than_a_millionth_of_what_is_said() -> None:
    made = stirred(2)
    rng = np.random.default_rng(4)
    shown, heard = rng.standard_normal((200, 16)), rng.standard_normal((200, 12))
    with torch.no_grad():
        twin = made.mean(heads.tensor(shown), heads.tensor(heard)).numpy()
    assert (
        np.abs(network.predictors(heads.plain(made).mean, shown, heard) - twin).max() < 1e-6 * np.abs(heard).max() * 3
    )


def test_what_is_exported_loads_and_begins_with_nothing_to_say() -> None:
    fresh = Heads(8, 4, 1)
    tensors = fresh.exported()
    assert all(tensor.dtype == np.float32 for tensor in tensors.values())
    made = network.from_tensors(tensors)
    rng = np.random.default_rng(5)
    assert not network.predictors(made.mean, rng.standard_normal(16), rng.standard_normal(12)).any()


def test_prior_weights_stay_within_what_the_controller_allows() -> None:
    made = Heads(4, 4, 1)
    with torch.no_grad():
        made.weight += 7.0
        made.weight2_log += 9.0
    network.from_tensors(made.exported())


def test_heads_that_foresee_nothing_still_know_batches() -> None:
    made = stirred()
    silent = heads.plain(Heads.silent(made))
    known = heads.plain(made)
    assert not silent.mean.w3.any() and not silent.mean.b3.any()
    assert np.array_equal(silent.batch.w3, known.batch.w3)
    assert np.array_equal(silent.mean.centre, known.mean.centre)


def test_a_heavy_batch_is_learnt_to_be_followed_by_a_step_down() -> None:
    learner = Heads(4, 8, 1)
    history = recipes.fit(learner, 800, 150, 1)
    assert history[-1] < history[0] - 0.05
    judged = recipes.judged(learner, recipes.draw(800, 2))
    assert judged["rms_over_saying_nothing"] < 0.95
    assert judged["log_likelihood_gained"] > 0.1
    past = batches.Past(steps=2, away=0.02, away2=1e-6, last=0.02, last2=1e-6)
    step, variance = batches.expected(heads.plain(learner), past, 0.015**2)
    assert -0.02 < step < -0.004
    assert 0.004**2 <= variance <= 0.02**2
    mirrored, _ = batches.expected(heads.plain(learner), past._replace(away=-0.02, last=-0.02), 0.015**2)
    assert mirrored == -step


def test_announcements_look_as_the_estimate_makes_them() -> None:
    told = recipes.draw(300, 7)
    taps, context = batches.told(batches.Past(steps=3, away=0.01, away2=4e-6, last=-0.02, last2=1e-6))
    assert told.taps.shape[1:] == (len(taps),) and told.context.shape[1:] == (len(context),)
    assert context == [2.0, 0.2, 0.1, 1.0]
    assert set(np.unique(told.known)) <= set(range(recipes.BATCHES))
    none = told.known == 0
    assert none.any() and not told.taps[none].any()
    assert (told.context[~none, 1] > 0.0).all()
    same = recipes.draw(300, 7)
    assert np.array_equal(same.step, told.step) and not np.array_equal(recipes.draw(300, 8).step, told.step)
    assert replace(told).step is told.step
