"""The forward pass: silent without surprise, symmetric, bounded whatever the weights are, and fussy at the door."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core import network
from controller.core.network import MEAN_CONTEXT, MEAN_TAPS, NetworkError
from tests.networks import foreseeing, saying, tensors, wild


def shown(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(-4.0, 4.0, MEAN_CONTEXT), rng.standard_normal(MEAN_TAPS) * rng.choice([1e-3, 1.0, 1e3])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1e-3, 1.0, 1e3]))
def test_no_weights_make_more_of_the_taps_than_the_bound(seed, size):
    head, (context, taps) = wild(seed, size=size).mean, shown(seed)
    each = network.coefficients(head, context, MEAN_TAPS)
    assert np.abs(each).sum(axis=-1).max() <= head.bound
    assert np.abs(network.predictors(head, context, taps)).max() <= head.bound * np.abs(taps).max()


@given(st.integers(0, 10_000))
def test_no_surprise_is_answered_by_nothing_and_a_mirrored_one_by_the_mirrored(seed):
    head, (context, taps) = wild(seed).mean, shown(seed)
    assert not network.predictors(head, context, np.zeros(MEAN_TAPS)).any()
    np.testing.assert_array_equal(network.predictors(head, context, -taps), -network.predictors(head, context, taps))
    assert network.predictors(head, context, taps).any()


def test_the_context_chooses():
    head, (context, taps) = wild(1).mean, shown(1)
    assert not np.allclose(network.predictors(head, context, taps), network.predictors(head, -context, taps))


def test_any_number_of_rows_at_once():
    head, rows = wild(2).mean, [shown(seed) for seed in range(5)]
    contexts, taps = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    alone = [network.predictors(head, *row) for row in rows]
    np.testing.assert_allclose(network.predictors(head, contexts, taps), alone, rtol=1e-12)


def test_a_blank_network_says_nothing_and_a_made_one_what_it_was_made_for():
    context, taps = shown(3)
    assert not network.predictors(network.blank(5).mean, context, taps).any()
    row = np.linspace(-0.1, 0.1, 3 * MEAN_TAPS)
    head = saying(network.blank().mean, row)
    np.testing.assert_allclose(network.predictors(head, context, taps), row.reshape(3, -1) @ taps, rtol=1e-9)
    np.testing.assert_allclose(network.predictors(foreseeing(missed_3=0.5).mean, context, taps)[0], 0.5 * taps[3])


def test_a_file_s_tensors_are_the_network_again():
    whole = wild(4)
    again = network.from_tensors(tensors(whole))
    np.testing.assert_allclose(again.mean.w3, whole.mean.w3, rtol=1e-6)
    assert again.mean.w3.dtype == np.float64
    assert again.batch.bound == network.BATCH_BOUND


NAN = np.array([np.nan, 0.0, 0.0], dtype=np.float32)


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        ("mean.w2", None, "tensor mean.w2: is missing"),
        ("batch.sd", np.zeros(3, np.float32), r"tensor batch.sd: has shape \(3,\)"),
        ("mean.weight", NAN, "tensor mean.weight: holds numbers that are not finite"),
        ("mean.weight", np.array([1.5, 0, 0], np.float32), r"tensor mean.weight = \[1.5, 0.0, 0.0\]: must lie within"),
        ("mean.weight2", np.zeros(3, np.float32), r"tensor mean.weight2 = .*: must lie above 0"),
        ("batch.scale", np.zeros(network.BATCH_CONTEXT, np.float32), "tensor batch.scale: must lie above"),
        ("mean.b1", np.zeros(500, np.float32), "tensor mean.b1: has 500 numbers; 1 to 128"),
        ("mean.b1", None, "tensor mean.w1: has shape|tensor mean.b1: is missing"),
        ("extra", np.zeros(1, np.float32), "tensor extra: is not one of"),
    ],
)
def test_what_is_no_network_of_ours_is_refused_by_name(name, tensor, words):
    named = tensors(wild(5))
    named.pop(name, None)
    if tensor is not None:
        named[name] = tensor
    with pytest.raises(NetworkError, match=words):
        network.from_tensors(named)
