"""Learn what evencoat.forecast knows before it has seen a line: weights, what the spread is made of, and odds.

    python benchmarks/forecast_rules.py [--runs N] [--minutes M] [--corpus DIR] [--out FILE]

Runs are those of evencoat.forecast.corpus that forecasts may be learnt from. Three passes: weights by least squares on
what was really coated; the spread's shares by likelihood, given the misses of an online forecaster with those weights;
odds of a metre out by logistic regression on what such a forecaster said.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize  # type: ignore[import-untyped,unused-ignore]

from controller.line.description import Array, LineDescription
from evencoat.forecast import core, corpus
from evencoat.forecast.core import (
    CHANCE_FEATURES,
    HORIZONS_S,
    LEVELS,
    MEAN_FEATURES,
    MEAN_SIGNS,
    SHAPE_FEATURES,
    SHAPE_SIGNS,
    SOON_S,
    Forecaster,
    Rules,
)

FROM_S = 300.0  # of a run: what comes before is its start
EVERY = 5  # looks of which one is learnt from: neighbours say the same
RIDGE = 1e-3  # of the mean square, per sample
MOST_OFF = 4.0  # tolerances: what is further off is no longer told apart


def nothing_learnt() -> Rules:
    """Where learning begins: the loop closes, and the spread is what misses were."""
    count = len(HORIZONS_S)
    shape, mean = np.zeros((count, len(SHAPE_FEATURES))), np.zeros((count, len(MEAN_FEATURES)))
    shape[:, 1] = mean[:, 1] = 0.3
    shape_spread, mean_spread = np.zeros((count, len(SHAPE_SIGNS))), np.zeros((count, len(MEAN_SIGNS)))
    shape_spread[:, [0, -1]] = mean_spread[:, [0, -1]] = 1.0
    half, chance = np.tile([0.674, 1.282, 1.96], (count, 1)), np.zeros((count, len(CHANCE_FEATURES)))
    return Rules(shape, mean, shape_spread, mean_spread, half, half, chance, chance[0])


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


def samples(case: corpus.Case, folder: Path, rules: Rules) -> Iterator[tuple[core.Look, Array, Array, Array]]:
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


def weights(cases: list[corpus.Case], folder: Path, rules: Rules) -> Rules:
    """Rules with weights by least squares; each run counts the same, however many zones it has."""
    count = len(HORIZONS_S)
    shape = np.zeros((count, len(SHAPE_FEATURES) + 1, len(SHAPE_FEATURES) + 1))
    mean = np.zeros((count, len(MEAN_FEATURES) + 1, len(MEAN_FEATURES) + 1))
    for case in cases:
        for look, off, _, _ in samples(case, folder, rules):
            level = off.mean(axis=1)
            for h in range(count):
                own = np.column_stack((look.shape_x, off[h] - level[h]))
                shape[h] += own.T @ own / own.shape[0]
                row = np.append(look.mean_x, level[h])
                mean[h] += np.outer(row, row) / (1.0 + row @ row)  # what is far off shall not drown the rest
    return rules._replace(shape=_solved(shape), mean=_solved(mean))


def _solved(squares: Array) -> Array:
    found = []
    for square in squares:
        left, right = square[:-1, :-1], square[:-1, -1]
        found.append(np.linalg.solve(left + RIDGE * np.trace(left) * np.eye(right.size), right))
    return np.array(found)


def spread(cases: list[corpus.Case], folder: Path, rules: Rules) -> Rules:
    """Rules with the shares of the spread that make what was coated likeliest."""
    shape_signs: list[Array] = []
    shape_missed: list[Array] = []
    mean_signs: list[Array] = []
    mean_missed: list[Array] = []
    for case in cases:
        for look, off, _, _ in samples(case, folder, rules):
            level = off.mean(axis=1)
            some = np.linspace(0, off.shape[1] - 1, 8).round().astype(int)
            shape_signs.append(look.signs[0][:, :, some])
            shape_missed.append((off - level[:, None] - look.expected)[:, some])
            mean_signs.append(look.signs[1])
            mean_missed.append(level - look.mean)
    shape_x, mean_x = np.array(shape_signs).transpose(0, 3, 1, 2), np.array(mean_signs)
    shape_y, mean_y = np.array(shape_missed).transpose(0, 2, 1), np.array(mean_missed)
    shape = [_likeliest(shape_x[:, :, h].reshape(-1, shape_x.shape[-1]), shape_y[:, :, h].ravel()) for h in range(6)]
    mean = [_likeliest(mean_x[:, h], mean_y[:, h]) for h in range(6)]
    return rules._replace(shape_spread=np.array(shape), mean_spread=np.array(mean))


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


def halves(cases: list[corpus.Case], folder: Path, rules: Rules) -> Rules:
    """Rules with half widths that would have held what was coated as often as their level says."""
    plain = rules._replace(half=nothing_learnt().half, mean_half=nothing_learnt().half)
    zone: list[Array] = []
    mean: list[Array] = []
    for case in cases:
        for look, off, _, _ in samples(case, folder, plain):
            level = off.mean(axis=1)
            some = np.linspace(0, off.shape[1] - 1, 8).round().astype(int)
            sd = np.sqrt(look.shape_var + look.mean_var[:, None])
            zone.append((np.abs(off - look.expected - look.mean[:, None]) / sd)[:, some])
            mean.append(np.abs(level - look.mean) / np.sqrt(look.mean_var))
    zones = np.array(zone).transpose(1, 0, 2).reshape(len(HORIZONS_S), -1)
    return rules._replace(
        half=np.quantile(zones, LEVELS, axis=1).T, mean_half=np.quantile(np.array(mean), LEVELS, axis=0).T
    )


def odds(cases: list[corpus.Case], folder: Path, rules: Rules) -> Rules:
    """Rules with odds that meet how often metres really were out."""
    told_x: list[Array] = []
    came: list[Array] = []
    for case in cases:
        for _, _, out, x in samples(case, folder, rules):
            told_x.append(x)
            came.append(out)
    x, y = np.array(told_x), np.array(came, dtype=np.float64)

    def cost(theta: Array, h: int) -> tuple[float, Array]:
        z = x[:, h] @ theta
        slope = (1.0 / (1.0 + np.exp(-z)) - y[:, h]) @ x[:, h] / y.shape[0] + 2e-3 * theta
        return float((np.logaddexp(0.0, z) - y[:, h] * z).mean() + 1e-3 * theta @ theta), slope

    begin = np.zeros(len(CHANCE_FEATURES))
    found = [minimize(cost, begin, args=(h,), jac=True, method="L-BFGS-B").x for h in range(len(HORIZONS_S) + 1)]
    return rules._replace(chance=np.array(found[:-1]), soon=found[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=26, help="of which those are left out in which the judge lies")
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--corpus", type=Path, default=Path("runs/forecast"), help="where played runs are kept")
    parser.add_argument("--out", type=Path, default=Path("evencoat/forecast/rules.json"))
    parser.add_argument(
        "--again", default="", help="only these passes, from the rules as they are: weights,spread,halves,odds"
    )
    arguments = parser.parse_args()
    cases = [case for case in corpus.cases(True, arguments.runs, arguments.minutes) if not corpus.lies(case)]
    rules = core.shipped() if arguments.again else nothing_learnt()
    steps = {step.__name__: step for step in (weights, spread, halves, odds)}
    for name in arguments.again.split(",") if arguments.again else steps:
        rules = steps[name](cases, arguments.corpus, rules)
    told = {name: np.round(value, 4).tolist() for name, value in rules._asdict().items()}
    lines = ",\n".join(f' "{name}": {json.dumps(value)}' for name, value in told.items())
    arguments.out.write_text("{\n" + lines + "\n}\n", encoding="utf-8")
    print(arguments.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
