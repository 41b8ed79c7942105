"""The network's forward pass on plain arrays. Trained in controller.learn; nothing here learns.

Each head is a bank of taps (what fixed, stable filters make of innovations) that is summed with coefficients, and a
small perceptron that chooses the coefficients by context: how far the gauges stand, how noisy they are, how old the
batch is. So a head is linear in what came unexpected: no surprise, no correction; mirrored surprise, mirrored
correction; and because the coefficients' absolute values sum up to less than `bound`, whatever the weights are, it
never says more than `bound` times the largest tap. That is the gain which controller.core.certificate reckons with.

Heads:
- `mean`: several predictors of how far the belief of the mean will turn out to be wrong; `weight` and `weight2`, their
  prior weights and variances, are what controller.core.foresight goes on from.
- `batch`: what a new batch will bring, from what former ones brought; `batch_sd` how unsure that is, log, by how many
  steps are known.

There is none for the profile: true statistics gain nothing over those that `scales` learns (docs/league.md). So the
network is the same for any number of zones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from controller.line.description import Array

ARCHITECTURE = "gated-filters-1"
MEAN_TAPS, MEAN_CONTEXT, MEAN_PREDICTORS = 12, 16, 3
BATCH_TAPS, BATCH_CONTEXT = 2, 4
KNOWN_STEPS = 4  # of batches: none, one, two, more
MEAN_BOUND, BATCH_BOUND = 1.5, 1.2
HIDDEN_MAX = 128


class NetworkError(ValueError):
    """A tensor that is missing, misshapen, not finite or out of bounds; names it."""


class Head(NamedTuple):
    """centre, scale (context,): what is usual; w1 (context, hidden), b1, w2 (hidden, hidden), b2, w3 (hidden,
    predictors * taps), b3."""

    centre: Array
    scale: Array
    w1: Array
    b1: Array
    w2: Array
    b2: Array
    w3: Array
    b3: Array
    bound: float


class Network(NamedTuple):
    """All heads. weight, weight2 (MEAN_PREDICTORS,); batch_sd (KNOWN_STEPS,), log."""

    mean: Head
    weight: Array
    weight2: Array
    batch: Head
    batch_sd: Array


def blank(hidden: int = 1) -> Network:
    """A network that says nothing, whatever it is shown: what training starts from."""

    def head(context: int, outputs: int, bound: float) -> Head:
        zero, one = np.zeros(context), np.ones(context)
        inner = np.zeros((context, hidden)), np.zeros(hidden), np.zeros((hidden, hidden)), np.zeros(hidden)
        return Head(zero, one, *inner, np.zeros((hidden, outputs)), np.zeros(outputs), bound)

    weight = np.eye(1, MEAN_PREDICTORS)[0]
    return Network(
        mean=head(MEAN_CONTEXT, MEAN_PREDICTORS * MEAN_TAPS, MEAN_BOUND),
        weight=weight,
        weight2=np.full(MEAN_PREDICTORS, 0.01),
        batch=head(BATCH_CONTEXT, BATCH_TAPS, BATCH_BOUND),
        batch_sd=np.full(KNOWN_STEPS, np.log(0.015)),
    )


def coefficients(head: Head, context: Array, taps: int) -> Array:
    """Coefficients (..., predictors, taps) by context (..., context); absolute values sum up to less than the bound."""
    hidden = np.tanh(((context - head.centre) / head.scale).dot(head.w1) + head.b1)
    hidden = np.tanh(hidden.dot(head.w2) + head.b2)
    raw = hidden.dot(head.w3) + head.b3
    raw = raw.reshape(*raw.shape[:-1], -1, taps)
    found: Array = head.bound * raw / (1.0 + np.abs(raw).sum(axis=-1, keepdims=True))
    return found


def predictors(head: Head, context: Array, taps: Array) -> Array:
    """What a head makes of its taps (..., taps), by context (..., context): (..., predictors)."""
    found: Array = (coefficients(head, context, taps.shape[-1]) * taps[..., None, :]).sum(axis=-1)
    return found


def from_tensors(tensors: Mapping[str, npt.NDArray[np.floating[Any]]]) -> Network:
    """The network of a file's tensors, in double precision. Raises NetworkError naming the first that is wrong."""
    named = {name: np.asarray(tensor, dtype=np.float64) for name, tensor in tensors.items()}
    network = Network(
        mean=_head(named, "mean", MEAN_CONTEXT, MEAN_PREDICTORS * MEAN_TAPS, MEAN_BOUND),
        weight=_tensor(named, "mean.weight", (MEAN_PREDICTORS,)),
        weight2=_tensor(named, "mean.weight2", (MEAN_PREDICTORS,)),
        batch=_head(named, "batch", BATCH_CONTEXT, BATCH_TAPS, BATCH_BOUND),
        batch_sd=_tensor(named, "batch.sd", (KNOWN_STEPS,)),
    )
    if named:
        raise NetworkError(f"tensor {next(iter(named))}: is not one of {ARCHITECTURE}'s")
    if not (network.weight2 > 0.0).all() or not (network.weight2 <= 1.0).all():
        raise NetworkError(f"tensor mean.weight2 = {network.weight2.tolist()}: must lie above 0 and not above 1")
    if not (np.abs(network.weight) <= 1.0).all():
        raise NetworkError(f"tensor mean.weight = {network.weight.tolist()}: must lie within +-1")
    return network


def _head(named: dict[str, Array], name: str, context: int, outputs: int, bound: float) -> Head:
    first = named.get(f"{name}.b1")
    hidden = first.size if first is not None else 0
    if first is not None and not 1 <= hidden <= HIDDEN_MAX:
        raise NetworkError(f"tensor {name}.b1: has {hidden} numbers; 1 to {HIDDEN_MAX} are allowed")
    shapes = {"centre": (context,), "scale": (context,), "w1": (context, hidden), "b1": (hidden,)}
    shapes |= {"w2": (hidden, hidden), "b2": (hidden,), "w3": (hidden, outputs), "b3": (outputs,)}
    parts = {part: _tensor(named, f"{name}.{part}", shape) for part, shape in shapes.items()}
    if not (parts["scale"] > 1e-6).all():
        raise NetworkError(f"tensor {name}.scale: must lie above 1e-6")
    return Head(**parts, bound=bound)


def _tensor(named: dict[str, Array], name: str, shape: tuple[int, ...]) -> Array:
    tensor = named.pop(name, None)
    if tensor is None:
        raise NetworkError(f"tensor {name}: is missing")
    if tensor.shape != shape:
        raise NetworkError(f"tensor {name}: has shape {tensor.shape}; {ARCHITECTURE} wants {shape}")
    if not np.isfinite(tensor).all():
        raise NetworkError(f"tensor {name}: holds numbers that are not finite")
    return tensor
