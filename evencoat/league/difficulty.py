"""The same lines with smaller and larger disturbances: how quiet a line must be for a controller to reach a Cpk.

What is scaled is what is played: every disturbance of film, slurry and pump. Gauges with their noise and bias, lips
with their play, and by how much the description is off stay as they are, and nobody is told.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from evencoat.league import field
from evencoat.league.field import Match
from evencoat.league.table import Result, interval_of_median
from plant_sim.families import FAMILIES
from plant_sim.faults import DRIFTS
from plant_sim.scenario import Scenario

SIZES = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
SIZE_MAX = 5.0  # what a scenario may play of a drift
TOLERANCE_PCT = 1.5  # at which every line is judged, whatever its own is
CPK_WANTED = 2.0
DISTURBANCES = frozenset(
    {
        *DRIFTS,
        "batch-change",
        "pump-slip-step",
        "streak",
        "heavy-edges",
        "roll-run-out",
        "filter-clog",
        "tank-level",
        "cd-temperature",
        "slurry-temperature",
        "lip-thermal-bow",
    }
)


def scaled(scenario: Scenario, size: float) -> Scenario:
    """The scenario with every disturbance `size` times as large; speed, stops, gauges, bolts and bubbles as they were.

    Raises ValueError for a size that is not within 0 to SIZE_MAX.
    """
    if not 0.0 < size <= SIZE_MAX:
        raise ValueError(f"size: {size:g} is not within 0 to {SIZE_MAX:g}, 0 left out")
    plays = (replace(play, size=size * play.size) if play.name in DISTURBANCES else play for play in scenario.plays)
    return replace(scenario, plays=tuple(plays))


def matches(lines: int, sizes: Sequence[float], minutes: float) -> Iterator[tuple[str, Match]]:
    """So many of the league's lines, each at every size: the families in turn, each line of a seed of its own.

    Named by family and size, as a table's families are.
    """
    families = tuple(FAMILIES)
    for seed in range(1, lines + 1):
        family = families[(seed - 1) % len(families)]
        drawn = field.draw(family, seed, minutes)
        line = replace(drawn.line, target=replace(drawn.line.target, tolerance_pct=TOLERANCE_PCT))
        for size in sizes:
            yield named(family, size), replace(drawn, line=line, scenario=scaled(drawn.scenario, size))


def named(family: str, size: float) -> str:
    """What a family at a size is called."""
    return f"{family} x{size:g}"


def rows(results: Sequence[Result], controllers: Sequence[str], sizes: Sequence[float]) -> list[dict[str, Any]]:
    """A row a controller and size: Cpk over lines, and parts per million of the web out of tolerance."""
    table = []
    for controller in controllers:
        for size in sizes:
            kept = [r.score for r in results if r.controller == controller and r.family.endswith(f" x{size:g}")]
            cpk, ppm = (np.array([getattr(score, name) for score in kept]) for name in ("cpk", "out_of_spec_ppm"))
            low, high = interval_of_median(cpk)
            table.append(
                {
                    "controller": controller,
                    "size": size,
                    "lines": len(kept),
                    "cpk_median": float(np.median(cpk)),
                    "cpk_low": low,
                    "cpk_high": high,
                    "cpk_worst": float(cpk.min()),
                    "lines_at_wanted": int((cpk >= CPK_WANTED).sum()),
                    "ppm_median": float(np.median(ppm)),
                    "ppm_mean": float(ppm.mean()),
                }
            )
    return table


def reached(table: Sequence[dict[str, Any]], controllers: Sequence[str]) -> dict[str, float | None]:
    """Size at which each controller's median Cpk still is CPK_WANTED."""
    own = {name: [row for row in table if row["controller"] == name] for name in controllers}
    return {name: reached_at([r["size"] for r in own[name]], [r["cpk_median"] for r in own[name]]) for name in own}


def reached_at(sizes: Sequence[float], cpk: Sequence[float], wanted: float = CPK_WANTED) -> float | None:
    """The largest size up to which Cpk is at least `wanted`, straight between two sizes in log Cpk over log size.

    `sizes` rise. None where even the smallest is too much; the largest where all are well.
    """
    if cpk[0] < wanted:
        return None
    for i in range(1, len(sizes)):
        if cpk[i] < wanted:
            below = max(cpk[i], 1e-3)
            share = math.log(cpk[i - 1] / wanted) / math.log(cpk[i - 1] / below)
            return math.exp(math.log(sizes[i - 1]) + share * math.log(sizes[i] / sizes[i - 1]))
    return sizes[-1]
