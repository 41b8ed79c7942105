"""One search for all who have something to tune: the same budget, on the same lines, set apart from those judged.

    python -m evencoat.league.tuning        plays it again and writes tuning.json, which is committed

First the closed-loop time of the lips, then that of the pump (for `recipe`: gain, then interval), each from a list;
whoever has the least geometric mean of sigma over the lines wins. Everyone gets as many tries as everyone else.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable

from evencoat.league import field
from evencoat.league.field import Match
from evencoat.league.players import SEARCH, TUNED, Tuning, player

LINES = (("nominal", 9001), ("misaligned", 9002), ("batch-changing", 9003))  # league seeds never reach 9000
MINUTES = 18.0
TIMES_CD = (1.0, 0.6, 0.35, 0.2, 0.1)
TIMES_MD = (0.6, 0.35, 0.2)  # beside 1.0
GAINS = (1.0, 0.5, 1.7, 2.5, 3.3)
INTERVALS = (0.6, 0.4, 0.25)


def search(name: str, sigma: Callable[[str, Tuning], float]) -> tuple[Tuning, list[dict[str, float]]]:
    """Best of the candidates, and every one that was tried."""
    first, second = (GAINS, INTERVALS) if name == "recipe" else (TIMES_CD, TIMES_MD)
    tried: list[tuple[float, Tuning]] = []
    for cd in first:
        tried.append((sigma(name, Tuning(cd, 1.0)), Tuning(cd, 1.0)))
    best = min(tried, key=_sigma)[1]
    for md in second:
        tried.append((sigma(name, Tuning(best.cd, md)), Tuning(best.cd, md)))
    log = [{**tuning.as_dict(), "sigma_pct": round(value, 5)} for value, tuning in tried]
    return min(tried, key=_sigma)[1], log


def _sigma(entry: tuple[float, Tuning]) -> float:
    return entry[0]


def sigma_over(matches: list[Match]) -> Callable[[str, Tuning], float]:
    """Geometric mean of sigma over matches, as a function of who plays and how tuned."""

    def sigma(name: str, tuning: Tuning) -> float:
        logs = []
        for match in matches:
            played = field.play(match, player(name, match, {name: tuning}))
            logs.append(math.log(played.score.sigma_total_pct))
        return math.exp(sum(logs) / len(logs))

    return sigma


def main() -> None:
    """Search for all, and write what was tried and found."""
    matches = [field.draw(family, seed, MINUTES) for family, seed in LINES]
    sigma = sigma_over(matches)
    best: dict[str, dict[str, float]] = {}
    tried: dict[str, list[dict[str, float]]] = {}
    for name in TUNED:
        found, tried[name] = search(name, sigma)
        best[name] = found.as_dict()
        print(f"{name}: {found}", flush=True)
    lines = [f"{family}-{seed}" for family, seed in LINES]
    document = {"lines": lines, "minutes": MINUTES, "best": best, "tried": tried}
    SEARCH.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
