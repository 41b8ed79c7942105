"""What a network is worth on the software plant: neural beside adaptive, on lines of every family. The judge that
`evencoat train --league` hands to the training; the league itself is benchmarks/closed_loop.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from controller.core import step as core
from controller.core.network import Network, from_tensors
from controller.line.command import Mode
from controller.line.description import LawName
from evencoat.league import field, players
from evencoat.league.metrics import Score
from plant_sim.families import FAMILIES

SEEDS_FROM = 70_001  # lines that neither league nor tuning has played
MINUTES = 40.0

Weights = Mapping[str, np.ndarray[Any, np.dtype[np.float32]]]


def examined(
    tensors: Weights,
    lines: int,
    say: Callable[[float, str], None],
    minutes: float = MINUTES,
    families: Iterable[str] = tuple(FAMILIES),
) -> dict[str, Any]:
    """Sigma over adaptive's, by family: median over so many lines of each, and all ratios. Raises NetworkError."""
    network, tuning, named = from_tensors(tensors), players.tuned(), list(families)
    found: dict[str, Any] = {"lines_of_each": lines, "minutes": minutes}
    for done, name in enumerate(named):
        say(done / len(named), name)
        rows = []
        for seed in range(SEEDS_FROM, SEEDS_FROM + lines):
            alone, beside = (_played(name, seed, minutes, tuning, guest) for guest in (None, network))
            rows.append((beside.sigma_total_pct / alone.sigma_total_pct, beside.sigma_md_pct / alone.sigma_md_pct))
        total, mean = np.array(rows).T.round(4)
        found[name] = {"total": float(np.median(total)), "mean": float(np.median(mean)), "totals": total.tolist()}
    say(1.0, "done")
    return found


def _played(family: str, seed: int, minutes: float, tuning: dict[str, players.Tuning], guest: Network | None) -> Score:
    match = field.draw(family, seed, minutes)
    line = players.retuned(match.line, tuning["adaptive"])
    law = LawName.ADAPTIVE if guest is None else LawName.NEURAL
    line = replace(line, control=replace(line.control, law=law))
    return field.play(match, players.Core(core.configure(line, field.TURN_S, guest=guest), Mode.AUTO)).score
