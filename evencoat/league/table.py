"""From matches to the league table: who plays, what it is measured against, medians and tails over lines, intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from controller.line.description import Array
from evencoat.league import bounds, field
from evencoat.league.field import Match
from evencoat.league.metrics import Score
from evencoat.league.players import Tuning, player
from plant_sim.faults import Play

RESAMPLES = 2000
FAULT_ONSET_S = 900.0

FAULTS: dict[str, tuple[Play, ...]] = {
    "stuck-bolt": (Play("stuck-bolt", onset_s=60.0, at=0.4),),
    "slow-actuator": (Play("slow-bolt", onset_s=60.0, at=0.4, size=0.05),),
    "wet-bias-ramp": tuple(Play("gauge-bias", onset_s=FAULT_ONSET_S + 20.0 * i, size=0.1) for i in range(20)),
    "slip-step": (Play("pump-slip-step", onset_s=FAULT_ONSET_S, size=2.0),),
    "lost-encoder": (Play("encoder-loss", onset_s=FAULT_ONSET_S, duration_s=20.0),),
    "dropouts": (
        Play("gauge-dropout", onset_s=FAULT_ONSET_S, duration_s=400.0, from_share=0.3, to_share=0.5),
        Play("gauge-dropout", onset_s=FAULT_ONSET_S, duration_s=400.0, gauge="dry", from_share=0.7, to_share=0.8),
    ),
    "speed-ramp": (Play("web-speed", onset_s=FAULT_ONSET_S, duration_s=400.0, size=0.7, ramp_s=30.0),),
    "streak": (Play("streak", onset_s=FAULT_ONSET_S, size=-8.0, at=0.6, width_mm=6.0),),
    "bubble": tuple(
        Play("bubble", onset_s=FAULT_ONSET_S + 60.0 * i, duration_s=60.0, size=60.0, at=0.1 + 0.08 * i, width_mm=30.0)
        for i in range(10)
    ),
    "clog": (Play("filter-clog", onset_s=FAULT_ONSET_S, size=80.0, ramp_s=400.0),),
}


@dataclass(frozen=True, slots=True)
class Result:
    """One player on one line."""

    family: str
    seed: int
    controller: str
    mv_pct: float
    score: Score
    bolt_travel_um: float


def matches(families: Iterable[str], lines: int, minutes: float, first_seed: int = 1) -> Iterator[tuple[str, Match]]:
    """The matches of a league: the same lines for everybody."""
    for family in families:
        for seed in range(first_seed, first_seed + lines):
            yield family, field.draw(family, seed, minutes)


def fault_matches(lines: int, minutes: float, first_seed: int = 1) -> Iterator[tuple[str, Match]]:
    """Usual lines to which one thing happens beside all drifts, without a new batch; `none` is nothing."""
    for name, plays in {"none": (), **FAULTS}.items():
        for seed in range(first_seed, first_seed + lines):
            match = field.draw("nominal", seed, minutes)
            drifts = tuple(play for play in match.scenario.plays if play.name != "batch-change")
            yield f"fault:{name}", replace(match, scenario=replace(match.scenario, plays=(*drifts, *plays)))


def judge(family: str, match: Match, controller: str, tuning: dict[str, Tuning], mv_pct: float) -> Result:
    """Play one match."""
    played = field.play(match, player(controller, match, tuning))
    return Result(family, match.seed, controller, mv_pct, played.score, played.bolt_travel_um)


def judge_all(job: tuple[str, Match, Sequence[str], dict[str, Tuning]]) -> list[Result]:
    """Everybody on one line: a job for a worker."""
    family, match, controllers, tuning = job
    mv_pct = bounds.bound(match).sigma_pct
    return [judge(family, match, controller, tuning, mv_pct) for controller in controllers]


def rows(results: Sequence[Result]) -> list[dict[str, float | int | str | None]]:
    """One row a family and controller, then one over all lines. `--json` prints them."""
    families = list(dict.fromkeys(result.family for result in results))
    controllers = list(dict.fromkeys(result.controller for result in results))
    best = {(r.family, r.seed): r.score.sigma_total_pct for r in results if r.controller == "clairvoyant"}
    table = []
    for family in [*families, "all"]:
        for controller in controllers:
            kept = [r for r in results if r.controller == controller and family in (r.family, "all")]
            if kept:
                table.append(_row(family, controller, kept, best))
    return table


def _row(
    family: str, controller: str, kept: list[Result], best: dict[tuple[str, int], float]
) -> dict[str, float | int | str | None]:
    sigma = np.array([r.score.sigma_total_pct for r in kept])
    over_mv = sigma / np.array([r.mv_pct for r in kept])
    over_best = np.array([r.score.sigma_total_pct / best.get((r.family, r.seed), math.nan) for r in kept])
    batch = [r.score.batch_scrap_m for r in kept if r.score.batch_scrap_m is not None]
    low, high = interval_of_median(sigma)
    return {
        "family": family,
        "controller": controller,
        "lines": len(kept),
        "sigma_over_mv_median": float(np.median(over_mv)),
        "sigma_over_clairvoyant_median": float(np.median(over_best)),
        "sigma_over_clairvoyant_p95": float(np.percentile(over_best, 95)),
        "sigma_pct_median": float(np.median(sigma)),
        "sigma_pct_low": low,
        "sigma_pct_high": high,
        "sigma_pct_p95": float(np.percentile(sigma, 95)),
        "startup_scrap_m_median": float(np.median([r.score.startup_scrap_m for r in kept])),
        "batch_scrap_m_median": float(np.median(batch)) if batch else None,
        "out_of_tolerance_m_median": float(np.median([r.score.out_of_tolerance_m for r in kept])),
        "out_of_spec_ppm_median": float(np.median([r.score.out_of_spec_ppm for r in kept])),
        "cpk_p5": float(np.percentile([r.score.cpk for r in kept], 5)),
        "bolt_travel_um_median": float(np.median([r.bolt_travel_um for r in kept])),
    }


def gains(results: Sequence[Result], controller: str) -> list[dict[str, float | int | str]]:
    """How far `controller` stands below each other player on the same lines, percent of sigma: median over lines, 95 %
    bootstrap interval, and on how many lines it stands above. One row a family and player, then over all lines."""
    sigma = {(r.family, r.seed, r.controller): r.score.sigma_total_pct for r in results}
    families = list(dict.fromkeys(r.family for r in results))
    found: list[dict[str, float | int | str]] = []
    for other in dict.fromkeys(r.controller for r in results if r.controller != controller):
        for family in [*families, "all"]:
            lines = [(f, s) for f, s, who in sigma if who == controller and family in (f, "all")]
            both = [(sigma[f, s, controller], sigma[f, s, other]) for f, s in lines if (f, s, other) in sigma]
            if both:
                below = np.array([100.0 * (1.0 - own / theirs) for own, theirs in both])
                low, high = interval_of_median(below)
                found.append(
                    {
                        "controller": controller,
                        "other": other,
                        "family": family,
                        "lines": len(both),
                        "below_pct_median": float(np.median(below)),
                        "below_pct_low": low,
                        "below_pct_high": high,
                        "lines_above": int((below < 0.0).sum()),
                    }
                )
    return found


def savings(results: Sequence[Result], controller: str, other: str) -> list[dict[str, float | int | str]]:
    """What `controller` saves beside `other` on the same lines, percent: of sigma in its 95th percentile, of metres out
    of tolerance and after batches in total, of bolt travel in total; each with its 95 % bootstrap interval over lines.
    One row a family, then over all lines. NaN where there is nothing to save."""
    by_line = {(r.family, r.seed, r.controller): _costs(r) for r in results}
    both = [(f, s) for f, s, who in by_line if who == controller and (f, s, other) in by_line]
    found: list[dict[str, float | int | str]] = []
    for family in [*dict.fromkeys(f for f, _ in both), "all"]:
        lines = [line for line in both if family in (line[0], "all")]
        own, theirs = (np.array([by_line[f, s, who] for f, s in lines]) for who in (controller, other))
        row: dict[str, float | int | str] = {"controller": controller, "other": other, "family": family}
        row["lines"] = len(lines)
        for column, name in enumerate(SAVED):
            of = _p95_below if name == "sigma_p95" else _total_below
            low, high = _interval(of, own[:, column], theirs[:, column])
            row |= {name: of(own[:, column], theirs[:, column]), f"{name}_low": low, f"{name}_high": high}
        found.append(row)
    return found


SAVED = ("sigma_p95", "out_of_tolerance_m", "batch_scrap_m", "bolt_travel_um")


def _costs(result: Result) -> tuple[float, ...]:
    score = result.score
    return score.sigma_total_pct, score.out_of_tolerance_m, score.batch_scrap_m or 0.0, result.bolt_travel_um


def _p95_below(own: Array, theirs: Array) -> float:
    return 100.0 * (1.0 - float(np.percentile(own, 95)) / float(np.percentile(theirs, 95)))


def _total_below(own: Array, theirs: Array) -> float:
    return 100.0 * (1.0 - float(own.sum()) / float(theirs.sum())) if theirs.sum() > 0.0 else math.nan


def _interval(of: Callable[[Array, Array], float], own: Array, theirs: Array, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval over lines, both players drawn together."""
    rng = np.random.default_rng(seed)
    drawn = (rng.integers(0, own.size, own.size) for _ in range(RESAMPLES))
    values = [of(own[rows], theirs[rows]) for rows in drawn]
    low, high = np.nanpercentile(values, [2.5, 97.5]) if np.isfinite(values).any() else (math.nan, math.nan)
    return float(low), float(high)


def interval_of_median(values: Array, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the median over lines."""
    rng = np.random.default_rng(seed)
    medians = np.median(rng.choice(values, (RESAMPLES, values.size)), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return float(low), float(high)
