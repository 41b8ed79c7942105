"""Learn what evencoat.forecast knows before it has seen a line: weights, what the spread is made of, and odds.

    python benchmarks/forecast_rules.py [--runs N] [--minutes M] [--corpus DIR] [--workers N] [--out FILE]

Runs are those of evencoat.forecast.corpus that forecasts may be learnt from, seeds and all: the same call makes the
same file. Three passes: weights by least squares on what was really coated; the spread's shares by likelihood, and half
widths, given the misses of an online forecaster with those weights; what half widths lack once their factors have
followed the scans, and odds of a metre out by logistic regression, given what such a forecaster said. Each pass sees a
run through rules that were learnt without it, from three quarters of the runs: what counts is how far off forecasts are
on a run that nothing was learnt from.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize  # type: ignore[import-untyped,unused-ignore]

from benchmarks.runs import over
from controller.line.description import Array, LineDescription
from evencoat.forecast import core, corpus
from evencoat.forecast.core import (
    CHANCE_FEATURES,
    HORIZONS_S,
    LEVELS,
    MEAN_FEATURES,
    MEAN_SIGNS,
    NORMAL,
    SHAPE_FEATURES,
    SHAPE_SIGNS,
    SOON_S,
    Forecaster,
    Rules,
)

FROM_S = 600.0  # of a run: what comes before is its start
EVERY = 10  # looks of which one is learnt from: neighbours say the same
RIDGE = 1e-3  # of the mean square, per sample
FOLDS = 4  # of the runs, each family spread over all of them: rules that see one are learnt from the others
MOST_OFF = 4.0  # tolerances: what is further off is no longer told apart


def nothing_learnt() -> Rules:
    """Where learning begins: the loop closes, and the spread is what misses were."""
    count = len(HORIZONS_S)
    shape, mean = np.zeros((count, len(SHAPE_FEATURES))), np.zeros((count, len(MEAN_FEATURES)))
    shape[:, 1] = mean[:, 1] = 0.3
    shape_spread, mean_spread = np.zeros((count, len(SHAPE_SIGNS))), np.zeros((count, len(MEAN_SIGNS)))
    shape_spread[:, [0, -1]] = mean_spread[:, [0, -1]] = 1.0
    half, one, chance = (
        np.tile(NORMAL, (count, 1)),
        np.ones((count, len(LEVELS))),
        np.zeros((count, len(CHANCE_FEATURES))),
    )
    return Rules(shape, mean, shape_spread, mean_spread, half, half, one, one, chance, chance[0])


def cycles(run: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A run's rows by the names of Trace."""
    rows = {name: run[name] for name in corpus.COLUMNS}
    for k in range(run["web_m"].size):
        yield {name: column[k] for name, column in rows.items()}


def really(line: LineDescription, run: dict[str, Any], row: int, at_m: Array) -> tuple[Array, Array] | None:
    """Deviation of those metres from target in tolerances, (horizons, zones), and whether each was out; None where one
    was not coated any more."""
    first, last = np.searchsorted(run["web_m"], at_m - 0.5), np.searchsorted(run["web_m"], at_m + 0.5)
    if last[-1] >= run["web_m"].size:
        return None
    share = line.target_profile_gsm / line.target_profile_gsm.mean()
    gsm = np.array([run["true_gsm"][low : high + 1].mean(axis=0) for low, high in zip(first, last, strict=True)])
    off = gsm / (run["target_gsm"][last][:, None] * share) - 1.0
    return np.clip(off * 100.0 / line.target.tolerance_pct, -MOST_OFF, MOST_OFF), run["true_out"][last]


def samples(folder: Path, case: corpus.Case, rules: Rules) -> Iterator[tuple[core.Look, Array, Array, Array]]:
    """Some looks of an online forecaster, with what became of their metres, whether those were out (and last, whether
    any of the next SOON_S was), and what the odds of that are made of."""
    line, run = corpus.match_of(case).line, corpus.recalled(case, folder)
    forecaster, looked = Forecaster(line, rules), 0
    for row, cycle in enumerate(cycles(run)):
        if not forecaster.see(cycle) or cycle["t_line_ns"] < 1e9 * FROM_S:
            continue
        looked += 1
        look = forecaster.newest
        if looked % EVERY or look is None:
            continue
        found = really(line, run, row, look.at_m)
        if found is not None:
            speed = float(cycle["web_speed_mps"])
            until = np.searchsorted(run["web_m"], look.web_m + speed * SOON_S)
            out = np.append(found[1], run["true_out"][row : until + 1].any())
            yield look, found[0], out, np.vstack((forecaster.chance_x, forecaster.soon_x))


class Squares(NamedTuple):
    """Of one run: sums of squares and products of features and of what came, (horizons, features + 1, features + 1)."""

    shape: Array
    mean: Array


class Misses(NamedTuple):
    """Of one run, some zones: signs (looks, horizons, zones, signs) and (looks, horizons, signs), and what was missed
    beside them, without the last axis."""

    shape_signs: Array
    shape: Array
    mean_signs: Array
    mean: Array


class Said(NamedTuple):
    """Of one run: misses in half widths as told, (looks, horizons, levels, zones) and (looks, horizons, levels), what
    odds are made of (looks, horizons + 1, features), and whether it came (looks, horizons + 1)."""

    zones: Array
    mean: Array
    odds: Array
    came: Array


def some(zones: int) -> npt.NDArray[np.int64]:
    """Eight zones that speak for all, so that each line counts the same."""
    return np.linspace(0, zones - 1, 8).round().astype(np.int64)


def squares(folder: Path, job: tuple[corpus.Case, Rules]) -> Squares:
    """What weights are learnt from."""
    count = len(HORIZONS_S)
    shape = np.zeros((count, len(SHAPE_FEATURES) + 1, len(SHAPE_FEATURES) + 1))
    mean = np.zeros((count, len(MEAN_FEATURES) + 1, len(MEAN_FEATURES) + 1))
    for look, off, _, _ in samples(folder, *job):
        level = off.mean(axis=1)
        for h in range(count):
            own = np.column_stack((look.shape_x, off[h] - level[h]))
            shape[h] += own.T @ own / own.shape[0]
            row = np.append(look.mean_x, level[h])
            mean[h] += np.outer(row, row) / (1.0 + row @ row)  # what is far off shall not drown the rest
    return Squares(shape, mean)


def weights(rules: Rules, parts: Sequence[Squares]) -> Rules:
    """Rules with weights by least squares."""
    shape, mean = sum(part.shape for part in parts), sum(part.mean for part in parts)
    return rules._replace(shape=_solved(np.asarray(shape)), mean=_solved(np.asarray(mean)))


def _solved(squares: Array) -> Array:
    found = []
    for square in squares:
        left, right = square[:-1, :-1], square[:-1, -1]
        found.append(np.linalg.solve(left + RIDGE * np.trace(left) * np.eye(right.size), right))
    return np.array(found)


def misses(folder: Path, job: tuple[corpus.Case, Rules]) -> Misses:
    """What the spread is learnt from."""
    rows = []
    for look, off, _, _ in samples(folder, *job):
        level, at = off.mean(axis=1), some(off.shape[1])
        shape = (off - level[:, None] - look.expected)[:, at]
        rows.append((look.signs[0][:, :, at].transpose(0, 2, 1), shape, look.signs[1], level - look.mean))
    return Misses(*(np.array(column) for column in zip(*rows, strict=True)))


def spread(rules: Rules, parts: Sequence[Misses]) -> Rules:
    """Rules with the shares of the spread that make what was coated likeliest, and half widths that would have held it
    as often as their level says."""
    whole = Misses(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    shape_share, mean_share, half, mean_half = [], [], [], []
    for h in range(len(HORIZONS_S)):
        signs = whole.shape_signs[:, h]
        share = _likeliest(signs.reshape(-1, signs.shape[-1]), whole.shape[:, h].ravel())
        level = _likeliest(whole.mean_signs[:, h], whole.mean[:, h])
        mean_var = whole.mean_signs[:, h] @ level
        missed = np.abs(whole.shape[:, h] + whole.mean[:, h, None]) / np.sqrt(signs @ share + mean_var[:, None])
        half.append(np.quantile(missed, LEVELS))
        mean_half.append(np.quantile(np.abs(whole.mean[:, h]) / np.sqrt(mean_var), LEVELS))
        shape_share.append(share)
        mean_share.append(level)
    return rules._replace(
        shape_spread=np.array(shape_share),
        mean_spread=np.array(mean_share),
        half=np.array(half),
        mean_half=np.array(mean_half),
    )


def _likeliest(signs: Array, missed: Array) -> Array:
    """Shares, none below nothing, by a Student likelihood of four degrees: what is rare shall not rule."""
    square = np.minimum(missed**2, 9.0)
    freedom = 6.0

    def cost(log_share: Array) -> tuple[float, Array]:
        share = np.exp(log_share)
        variance = signs @ share + 1e-8
        ratio = square / (freedom * variance)
        value = 0.5 * np.log(variance) + 0.5 * (freedom + 1.0) * np.log1p(ratio)
        slope = 0.5 / variance - 0.5 * (freedom + 1.0) * ratio / (1.0 + ratio) / variance
        return float(value.mean()), (signs * slope[:, None]).mean(axis=0) * share

    begin = np.full(signs.shape[1], np.log(0.2))
    found = minimize(cost, begin, jac=True, method="L-BFGS-B", bounds=[(-9.0, 3.0)] * begin.size)
    share = np.exp(found.x)
    share[share < 2e-3] = 0.0
    share[-1] = max(share[-1], 1e-2)
    freed: Array = share
    return freed


def said(folder: Path, job: tuple[corpus.Case, Rules]) -> Said:
    """What the rest is learnt from: an online forecaster whose factors follow the scans."""
    rows = []
    for look, off, out, odds in samples(folder, *job):
        level, at = off.mean(axis=1), some(off.shape[1])
        sd = np.sqrt(look.shape_var + look.mean_var[:, None])
        missed = (np.abs(off - look.expected - look.mean[:, None]) / sd)[:, at]
        mean = np.abs(level - look.mean) / np.sqrt(look.mean_var)
        rows.append((missed[:, None, :] / look.half[:, :, None], mean[:, None] / look.mean_half, odds, out))
    return Said(*(np.array(column, dtype=np.float64) for column in zip(*rows, strict=True)))


def webs(rules: Rules, parts: Sequence[Said]) -> Rules:
    """Rules that tell the web as often as their level says, and odds that meet how often metres really were out."""
    zones, mean, x, came = (np.concatenate(column) for column in zip(*parts, strict=True))
    of_zones = [np.quantile(zones[:, :, k], level, axis=(0, 2)) for k, level in enumerate(LEVELS)]
    of_mean = [np.quantile(mean[:, :, k], level, axis=0) for k, level in enumerate(LEVELS)]
    odds = np.array([_odds(x[:, h], came[:, h]) for h in range(len(HORIZONS_S) + 1)])
    return rules._replace(web=np.array(of_zones).T, mean_web=np.array(of_mean).T, chance=odds[:-1], soon=odds[-1])


def _odds(x: Array, y: Array) -> Array:
    def cost(theta: Array) -> tuple[float, Array]:
        z = x @ theta
        slope = (1.0 / (1.0 + np.exp(-z)) - y) @ x / y.size + 2e-3 * theta
        return float((np.logaddexp(0.0, z) - y * z).mean() + 1e-3 * theta @ theta), slope

    found: Array = minimize(cost, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x
    return found


PASSES: tuple[tuple[Callable[..., Any], Callable[..., Rules]], ...] = (
    (squares, weights), (misses, spread), (said, webs),
)  # fmt: skip


def learnt(cases: Sequence[corpus.Case], folder: Path, workers: int) -> Rules:
    """All passes. Rules are kept for each fold left out, and for none: those are the ones that are shipped."""
    folds = folded(cases)
    rules: dict[int | None, Rules] = dict.fromkeys((*sorted(set(folds)), None), nothing_learnt())
    for seen_in, fit in PASSES:
        jobs = [(case, rules[fold]) for case, fold in zip(cases, folds, strict=True)]
        parts = list(over(partial(seen_in, folder), jobs, workers))
        rules = {
            left: fit(known, [part for part, fold in zip(parts, folds, strict=True) if fold != left])
            for left, known in rules.items()
        }
    return rules[None]


def folded(cases: Sequence[corpus.Case]) -> list[int]:
    """The fold of each run: those of a family in turn."""
    seen: Counter[str] = Counter()
    folds = []
    for case in cases:
        folds.append(seen[case.family] % FOLDS)
        seen[case.family] += 1
    return folds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=77, help="at most; families in turn")
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--corpus", type=Path, default=Path("runs/forecast"), help="where played runs are kept")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("evencoat/forecast/rules.json"))
    arguments = parser.parse_args()
    rules = learnt(corpus.cases(True, arguments.runs, arguments.minutes), arguments.corpus, arguments.workers)
    told = {name: np.round(value, 4).tolist() for name, value in rules._asdict().items()}
    lines = ",\n".join(f' "{name}": {json.dumps(value)}' for name, value in told.items())
    arguments.out.write_text("{\n" + lines + "\n}\n", encoding="utf-8")
    print(arguments.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
