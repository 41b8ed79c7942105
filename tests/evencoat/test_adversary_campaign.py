"""The campaign of networks that say the worst: each kind really says it, and what goes wrong is found and told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controller.core import network
from controller.core.network import MEAN_PREDICTORS, MEAN_TAPS
from evencoat.campaigns import adversary
from evencoat.campaigns.adversary import KINDS, Adversary

TAPS = np.linspace(-1.0, 2.0, MEAN_TAPS)


def said(kind: str, cycles: int = 400) -> np.ndarray:
    """What a network of that kind answers, (cycles, predictors), with taps that grow."""
    head = network.blank().mean
    answer = adversary._spoilt(kind, network.predictors, np.random.default_rng(1))
    return np.array([answer(head, np.zeros(16), (1.0 + 0.01 * k) * TAPS) for k in range(cycles)])


def test_each_kind_says_what_its_name_promises() -> None:
    most = 100.0 * adversary.foresight.SIGNAL_MOST * network.MEAN_BOUND
    assert np.isnan(said("NaN")).all() and set(np.unique(said("Inf"))) == {-np.inf, np.inf}
    assert set(np.unique(said("full steps"))) == {-most, most}
    frozen, opposite, anything = said("frozen"), said("opposite"), said("anything")
    assert (frozen == frozen[0]).all() and frozen[0, 0] == TAPS[adversary.FOUND_WRONG] != 0.0
    np.testing.assert_allclose(opposite[0], -network.MEAN_BOUND * TAPS[adversary.FOUND_WRONG])
    assert anything.shape == (400, MEAN_PREDICTORS) and 0.9 < anything.std() < 1.1


def test_a_network_that_speaks_is_contradicted() -> None:
    head = network.blank().mean
    head = head._replace(b3=np.ones_like(head.b3))
    honest = network.predictors(head, np.zeros(16), TAPS)
    answer = adversary._spoilt("opposite", network.predictors, np.random.default_rng(1))
    np.testing.assert_allclose(answer(head, np.zeros(16), TAPS), -head.bound * honest)


def test_no_number_sends_the_network_away_and_the_web_is_as_even_as_without_one() -> None:
    rng = np.random.default_rng(2)
    alone, spoilt = (adversary.played(kind, "pilot-16", 5, 1.5, rng) for kind in (adversary.LINEAR, "NaN"))
    assert spoilt["trusted_s"] == alone["trusted_s"] and not spoilt["crash"]
    assert spoilt["below_share"] > 0.85 and alone["below_share"] == 0.0
    assert spoilt["commands"] > 1000 and spoilt["violations"] == 0 and spoilt["said_most_pct"] == 0.0
    assert spoilt["sigma_pct"] == pytest.approx(alone["sigma_pct"], rel=0.02)


def test_a_crash_is_kept_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> np.ndarray:
        raise ZeroDivisionError("in the network")

    monkeypatch.setattr(adversary, "_spoilt", lambda *_: breaks)
    row = adversary.played("anything", "pilot-16", 5, 0.5, np.random.default_rng(2))
    assert row["crash"] == "ZeroDivisionError: in the network"


def trial(kind: str = "anything", of: int = 0, **worse: Any) -> dict[str, Any]:
    """A row of the campaign in which the network does `worse` than none."""
    fine = {
        "minutes": 240.0,
        "aftermath_pct": 0.5,
        "commands": 100,
        "violations": 0,
        "first": "",
        "crash": "",
        "sigma_pct": 0.5,
    }
    fine |= {"trusted_s": 5000.0, "refused": 0, "said_most_pct": 0.1, "below_share": 0.0}
    runs = [{**fine, "kind": adversary.LINEAR}, {**fine, "kind": kind} | worse]
    return {"k": 0, "of": of, "line": "pilot-16", "seed": 3, "runs": runs}


def test_every_limit_can_be_broken() -> None:
    judge = Adversary().judge
    fine = judge([trial(), trial("NaN", sigma_pct=0.54), trial("NaN", of=1, aftermath_pct=0.6)], Path())
    assert not fine.broken and fine.figures["hours"] == 12.0
    assert fine.figures["sigma_of_a_day_worst"] == pytest.approx(np.sqrt(0.5 * (1.0 + 1.08**2)), abs=1e-4)
    assert [row["kind"] for row in fine.figures["kinds"]] == ["NaN", "anything"]
    assert fine.figures["kinds"][0]["worst_stretch"] == 1.08
    assert fine.figures["kinds"][0]["once_trusted_over_adaptive"] == pytest.approx(np.sqrt(0.5 * 2.44), abs=1e-4)
    assert [day["hours"] for day in fine.figures["days"]] == [8.0, 4.0]
    assert judge([trial(sigma_pct=0.6)], Path()).broken == ("sigma_of_a_day_worst = 1.2, at most 1.05",)
    assert "limits_broken = 2, at most 0" in judge([trial(violations=2, first="gap range")], Path()).broken
    assert "anything, pilot-16, seed 3: gap range" in judge([trial(violations=2, first="gap range")], Path()).broken
    assert "crashes = 1, at most 0" in judge([trial(crash="KeyError: 3")], Path()).broken
    assert judge([trial(refused=1)], Path()).broken == ("commands_refused = 1, at most 0",)


def test_every_kind_meets_the_same_stretch_of_a_line_which_is_played_once_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    played = list[tuple[str, str, int]]()

    def play(kind: str, name: str, seed: int, minutes: float, rng: np.random.Generator) -> dict[str, Any]:
        played.append((kind, name, seed))
        return {"sigma_pct": 0.5}

    monkeypatch.setattr(adversary, "played", play)
    of = Adversary().trials(False)
    with Adversary().open(tmp_path, False, True) as trial_:
        rows = [trial_(k, np.random.default_rng([7, k])) for k in range(of)]
    seeds = [list(dict.fromkeys(row["seed"] for row in rows if row["of"] == line)) for line in range(5)]
    assert all(len(own) == 1 for own in seeds) and len({own[0] for own in seeds}) == 5
    assert Counter(row["of"] for row in rows) == dict.fromkeys(range(5), len(KINDS))
    for kind in (adversary.LINEAR, *KINDS):
        assert [seed for one, _, seed in played if one == kind] == [own[0] for own in seeds]
    with Adversary().open(tmp_path, False, False) as trial_:
        assert trial_(8, np.random.default_rng([7, 8]))["seed"] == rows[8]["seed"], "an interrupted campaign goes on"
        assert trial_(8, np.random.default_rng([8, 8]))["seed"] != rows[8]["seed"], "another seed, another line"


def test_all_trust_is_given_to_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adversary, "HONEST_FROM", (0.0, 0.01))
    monkeypatch.setattr(adversary, "HONEST", 0.8)  # long enough for its first lies to have passed the gauge
    row = adversary.played("full steps", "pilot-16", 3, 1.5, np.random.default_rng(2))
    assert row["authority_earned"] == 0.0 and row["authority_last"] > 0.9, "little has told against it yet"
    assert 72.0 <= row["trusted_s"] < 73.0 and row["aftermath_pct"] > 0.0
