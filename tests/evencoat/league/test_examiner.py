"""The judge of trained weights: neural beside adaptive on the plant."""

from __future__ import annotations

import numpy as np
import pytest

from controller.core import foresight, network
from controller.core.network import NetworkError
from evencoat.league import examiner

FAMILY = "nominal"


def tensors(plain: network.Network) -> dict[str, np.ndarray]:
    heads = {"mean": plain.mean, "batch": plain.batch}
    parts = {f"{name}.{part}": value for name, head in heads.items() for part, value in head._asdict().items()}
    own = {"mean.weight": plain.weight, "mean.weight2": plain.weight2, "batch.sd": plain.batch_sd}
    return {name: np.asarray(value, np.float32) for name, value in (parts | own).items() if not name.endswith(".bound")}


def test_a_network_that_says_nothing_is_worth_what_adaptive_is() -> None:
    said: list[tuple[float, str]] = []
    found = examiner.examined(tensors(network.blank()), 1, lambda *words: said.append(words), 4.0, (FAMILY,))
    assert found[FAMILY] == {"total": 1.0, "mean": 1.0, "totals": [1.0]}
    assert said == [(0.0, FAMILY), (1.0, "done")]


def test_one_that_talks_nonsense_stays_in_shadow_and_would_do_harm_if_it_were_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loud = network.blank()
    nonsense = np.zeros(network.MEAN_PREDICTORS * network.MEAN_TAPS)
    nonsense[: network.MEAN_TAPS] = -30.0
    plain = tensors(loud._replace(mean=loud.mean._replace(b3=nonsense)))
    in_shadow = examiner.examined(plain, 1, lambda *words: None, 8.0, (FAMILY,))
    monkeypatch.setattr(foresight.Foresight, "authority", 1.0)
    believed = examiner.examined(plain, 1, lambda *words: None, 8.0, (FAMILY,))
    assert in_shadow[FAMILY]["mean"] < 1.001 < believed[FAMILY]["mean"]


def test_weights_that_are_none_are_refused() -> None:
    with pytest.raises(NetworkError, match=r"mean\.b1"):
        examiner.examined({"mean.b1": np.zeros(200, np.float32)}, 1, lambda *words: None)
