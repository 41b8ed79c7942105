"""Networks made by hand, for tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from controller.core import network
from controller.core.network import Head, Network


def tensors(whole: Network) -> dict[str, np.ndarray]:
    """The network as a file holds it."""
    found: dict[str, Any] = {}
    for name in ("mean", "batch"):
        found |= {f"{name}.{part}": value for part, value in getattr(whole, name)._asdict().items() if part != "bound"}
    found |= {"mean.weight": whole.weight, "mean.weight2": whole.weight2, "batch.sd": whole.batch_sd}
    return {name: np.asarray(value, dtype=np.float32) for name, value in found.items()}


def saying(head: Head, coefficients: np.ndarray) -> Head:
    """The head with these coefficients (predictors * taps,), whatever the context; each within its bound."""
    of_each = np.asarray(coefficients, dtype=np.float64).reshape(-1, TAPS[head.w3.shape[1]])
    total = np.abs(of_each).sum(axis=1, keepdims=True)
    raw = of_each / (head.bound - total)
    return head._replace(b3=raw.ravel())


TAPS = {
    network.MEAN_PREDICTORS * network.MEAN_TAPS: network.MEAN_TAPS,
    network.BATCH_TAPS: network.BATCH_TAPS,
}


def foreseeing(**taps: float) -> Network:
    """A network whose first guess of the mean is a sum of taps, given as missed_3=0.5: signal and filter's number."""
    whole, row = network.blank(), np.zeros((network.MEAN_PREDICTORS, network.MEAN_TAPS))
    for name, coefficient in taps.items():
        signal, number = name.split("_")
        row[0, 4 * ("missed", "ahead", "pressed").index(signal) + int(number)] = coefficient
    return whole._replace(mean=saying(whole.mean, row))


def wild(seed: int, hidden: int = 8, size: float = 3.0) -> Network:
    """A network of random weights."""
    rng, whole = np.random.default_rng(seed), network.blank(hidden)

    def drawn(head: Head) -> Head:
        parts = {part: size * rng.standard_normal(getattr(head, part).shape) for part in ("w1", "b1", "w2", "b2", "w3")}
        return head._replace(**parts, b3=size * rng.standard_normal(head.b3.shape))

    return whole._replace(mean=drawn(whole.mean), batch=drawn(whole.batch))
