"""Training that goes on with a line's own: it learns what is there, little from few data, and is judged later."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch: make learn")

from controller.core import network
from controller.core.network import BATCH_TAPS, MEAN_CONTEXT, MEAN_TAPS
from controller.learn import further
from controller.learn.further import Announced, Lived, Stretch
from controller.learn.heads import Heads, Weights
from evencoat.model_store import ModelStore

FAR_S = 20.0
NONE = Announced(np.zeros((0, 2)), np.zeros((0, 4)), np.zeros(0), np.zeros(0))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """The shipped network: it expects batches to come back to the recipe, and has nothing to say of the mean."""
    shipped = ModelStore(tmp_path_factory.mktemp("models")).find("shipped")
    return dict(shipped.tensors)


def kitchen(count: int, seed: int, returns: float) -> Announced:
    """Announcements of a kitchen whose steps undo so much of the last one."""
    rng = np.random.default_rng(seed)
    last = rng.normal(0.0, 1.2, count)
    context = np.column_stack((np.full(count, 2.0), np.full(count, 0.2), np.full(count, 0.1), np.ones(count)))
    step = -returns * last + rng.normal(0.0, 0.4, count)
    return Announced(np.column_stack((0.3 * last, last)), context, step, np.full(count, 0.01))


def words(tensors: Weights) -> np.ndarray:
    """What the head `batch` says after steps of 1 %, up and down."""
    head = network.from_tensors({name: tensor.astype(np.float64) for name, tensor in tensors.items()}).batch
    told = kitchen(200, 7, 1.0)
    said: np.ndarray = network.predictors(head, told.context, told.taps[:, :BATCH_TAPS])[:, 0]
    return said


def quietly(*_: object) -> None:
    """Nobody listens."""


def of_batches(base: Weights, count: int, returns: float, later: int = 40) -> further.Further:
    earlier, judge = Lived(kitchen(count, 1, returns), ()), Lived(kitchen(later, 2, returns), ())
    return further.learnt(base, earlier, judge, 1, ("batch",), quietly)


def test_a_kitchen_that_wanders_is_learnt_from_many_batches_and_less_from_few(base: Weights) -> None:
    """The base expects a step back; here each step goes on where the last one went."""
    many, few = of_batches(base, 120, -0.7), of_batches(base, 4, -0.7)
    moved = [np.abs(words(done.tensors) - words(base)).mean() for done in (few, many)]
    assert many.better and many.figures["batch"]["rms_pct"] < 0.9 * many.figures["batch"]["rms_before_pct"]
    assert moved[0] < 0.4 * moved[1]
    assert many.tensors["mean.w1"].tobytes() == base["mean.w1"].tobytes(), "the other head is not touched"


def test_batches_that_were_found_badly_count_for_less(base: Weights) -> None:
    sure = kitchen(30, 1, -0.7)
    doubtful = Announced(sure.taps, sure.context, sure.step, np.full(30, 25.0))
    judge = Lived(kitchen(40, 2, -0.7), ())
    gains = [
        further.learnt(base, Lived(told, ()), judge, 1, ("batch",), quietly).figures["batch"]["gain"]
        for told in (sure, doubtful)
    ]
    assert gains[0] > 2.0 * gains[1]


def test_what_is_no_better_later_is_left_as_it_was(base: Weights) -> None:
    """The kitchen went astray, and came back to its recipe on the web that is judged by."""
    done = further.learnt(base, Lived(kitchen(60, 1, -0.7), ()), Lived(kitchen(40, 2, 1.0), ()), 1, ("batch",), quietly)
    assert not done.better and done.figures["batch"]["gain"] < 0.0
    assert all(done.tensors[name].tobytes() == base[name].tobytes() for name in base)


def test_too_little_is_said_and_nothing_is_learnt(base: Weights) -> None:
    done = of_batches(base, 3, -0.7)
    assert done.figures["batch"] == {"earlier": 3, "later": 40, "least": [4, 2], "taken": False}
    assert done.tensors["batch.w3"].tobytes() == base["batch.w3"].tobytes()


def stretch(samples: int, seed: int, follows: float) -> Stretch:
    """Web whose belief misses a share of what the slowest filter of the truest gauge shows."""
    rng = np.random.default_rng(seed)
    taps = 0.3 * rng.standard_normal((samples, MEAN_TAPS))
    missed = follows * taps[:, 3] + 0.1 * rng.standard_normal(samples)
    missed[: samples // 20] = np.nan
    return Stretch(taps, np.tile(rng.standard_normal(MEAN_CONTEXT), (samples, 1)), missed, FAR_S)


def test_what_the_belief_misses_again_and_again_is_foreseen(base: Weights) -> None:
    earlier, later = Lived(NONE, (stretch(1800, 1, 0.6), stretch(700, 2, 0.6))), Lived(NONE, (stretch(900, 3, 0.6),))
    done = further.learnt(base, earlier, later, 1, ("mean",), quietly)
    told = done.figures["mean"]
    assert told["taken"] and told["mse_pct2"] < 0.97 * told["mse_before_pct2"]
    changed = {name for name in base if done.tensors[name].tobytes() != base[name].tobytes()}
    assert changed == {"mean.w3", "mean.b3"}
    again = further.learnt(base, earlier, later, 1, ("mean",), quietly)
    assert all(again.tensors[name].tobytes() == done.tensors[name].tobytes() for name in base)


def test_noise_teaches_nothing(base: Weights) -> None:
    earlier, later = Lived(NONE, (stretch(1200, 1, 0.0),)), Lived(NONE, (stretch(900, 3, 0.0),))
    done = further.learnt(base, earlier, later, 1, ("mean",), quietly)
    told = done.figures["mean"]
    assert not told["taken"] and done.tensors["mean.w3"].tobytes() == base["mean.w3"].tobytes()
    assert told["mse_pct2"] == pytest.approx(told["mse_before_pct2"], rel=0.03)


def test_heads_come_back_from_their_own_tensors(base: Weights) -> None:
    again = Heads.of(base).exported()
    assert again.keys() == base.keys()
    for name, tensor in base.items():
        np.testing.assert_allclose(again[name], tensor, rtol=1e-6, err_msg=name)
