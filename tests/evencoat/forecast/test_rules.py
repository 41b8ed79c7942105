"""How rules are learnt: what misses were made of is found again, and so are the half widths that hold them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.forecast_rules import FOLDS, Misses, Said, folded, nothing_learnt, spread, webs
from evencoat.forecast import corpus
from evencoat.forecast.core import CHANCE_FEATURES, HORIZONS_S, LEVELS, MEAN_SIGNS, NORMAL, SHAPE_SIGNS
from evencoat.forecast.told import THRESHOLD

COUNT = len(HORIZONS_S)
FIGURES = Path(__file__).parents[3] / "docs/forecast/forecast.json"


def missed(looks: int, seed: int) -> Misses:
    """A run whose misses are normal, and spread by twice the first sign, half of the second and the floor."""
    rng = np.random.default_rng(seed)
    shape_signs = rng.lognormal(size=(looks, COUNT, 8, len(SHAPE_SIGNS)))
    mean_signs = rng.lognormal(size=(looks, COUNT, len(MEAN_SIGNS)))
    shape_sd, mean_sd = (
        np.sqrt(2.0 * signs[..., 0] + 0.5 * signs[..., 1] + 0.1 * signs[..., -1]) for signs in (shape_signs, mean_signs)
    )
    shape = shape_sd * rng.standard_normal(shape_sd.shape)
    return Misses(
        0.01 * shape_signs, 0.1 * shape, 0.01 * mean_signs, 0.1 * mean_sd * rng.standard_normal(mean_sd.shape)
    )


def test_what_misses_are_made_of_is_found_and_half_widths_hold_them() -> None:
    rules = spread(nothing_learnt(), [missed(1000, 1), missed(1000, 2)])
    assert rules.shape_spread[:, 0] / rules.shape_spread[:, 1] == pytest.approx(4.0, rel=0.3)
    assert rules.shape_spread[:, 2:-1].max() < 0.1 * rules.shape_spread[:, 0].min()
    assert rules.half / rules.half[:, :1] == pytest.approx(np.tile(NORMAL / NORMAL[0], (COUNT, 1)), rel=0.06)
    assert rules.mean_half / rules.mean_half[:, :1] == pytest.approx(np.tile(NORMAL / NORMAL[0], (COUNT, 1)), rel=0.25)


def test_what_half_widths_lack_is_learnt_by_level_and_odds_follow_what_came() -> None:
    rng = np.random.default_rng(3)
    off = np.abs(rng.standard_normal((4000, COUNT, 1, 8)))
    lacking = np.array((1.1, 0.9, 1.3))
    zones = off * lacking[:, None] / NORMAL[:, None]
    x = rng.standard_normal((4000, COUNT + 1, len(CHANCE_FEATURES)))
    came = (rng.random((4000, COUNT + 1)) < 1.0 / (1.0 + np.exp(1.0 - 2.0 * x[..., 1] - x[..., 0]))).astype(np.float64)
    x[..., 0] = 1.0
    rules = webs(nothing_learnt(), [Said(zones, zones[..., 0], x, came)])
    assert rules.web == pytest.approx(np.tile(lacking, (COUNT, 1)), rel=0.03)
    assert rules.mean_web.shape == (COUNT, len(LEVELS))
    assert (rules.chance[:, 1] > 3.0 * np.abs(rules.chance[:, 2:]).max(axis=1)).all()


def test_each_fold_has_every_family_as_often() -> None:
    cases = corpus.cases(True, 77, 40.0)
    in_folds = Counter((case.family, fold) for case, fold in zip(cases, folded(cases), strict=True))
    assert len(in_folds) == len(corpus.LEARNT) * FOLDS and set(in_folds.values()) == {1, 2}  # seven in four folds


def test_warnings_come_as_they_were_judged() -> None:
    assert json.loads(FIGURES.read_text(encoding="utf-8"))["warnings"]["forecast"]["threshold"] == THRESHOLD
