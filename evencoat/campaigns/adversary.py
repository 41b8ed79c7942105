"""The network says the worst it can: NaN, Inf, full steps, the opposite, always the same, anything at all.

The shipped network runs in the law `neural`, on the real controller, gate, frames and plant, and what its heads answer
is replaced, there where they answer (core.network.predictors): from the first cycle on, so that what authority it gets
it must earn with such answers; and again after some honest minutes, at a moment when all authority is given to it, as
if it had been right for long. Judged is what crosses the wire, by evencoat.wire_checker, which shares no code with
envelope, gate or codec; and the true web, against the same line and seed under `adaptive`, the rung below the network.

A trial is four hours of one line with one kind of answer. Every kind meets the same four hours of a line, which are
played once without a network; the six of them are that line's day. Judged is each line's day: its sigma over that of
`adaptive`. What the twenty minutes after that moment cost is told beside it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from controller.core import foresight, network
from controller.core.network import MEAN_TAPS, Head
from controller.core.trace import Trace
from controller.line.command import Mode, Outcome, Rung
from controller.line.description import Array
from evencoat.campaigns.frame import Judgement, Row, Trial, seed_of
from evencoat.league import metrics
from evencoat.league.rivals import Rival
from evencoat.recording import true_web
from evencoat.settings import load_line
from evencoat.simulate import Plan, SimulatedLine, undisturbed
from plant_sim import plant
from plant_sim.faults import DRIFTS
from plant_sim.scenario import Scenario, parse

LINES = ("pilot-16", "pilot-16", "line-40", "pilot-16", "pilot-16")  # in turn
MINUTES = 240.0  # of a stretch; a line's day has one for each kind
QUICK_TRIALS, QUICK_MINUTES = 2, 5.0
SETTLED_S = 60.0  # from then on the web is judged; no network speaks before
HONEST_FROM, HONEST = (0.2, 0.6), 0.1  # of a stretch, drawn from; for so much of it
AFTERMATH_S = 1200.0  # what trust that is given to it costs at once
FLIP_CHANCE = 0.02  # a cycle, of the largest answer
FOUND_WRONG = 2  # the tap of what the far gauge found, through a filter of one dead time: what an integrator would say
ANY_PCT = 1.0  # standard deviation of the answer that is anything at all
SIGMA_MOST = 1.05  # of a line's day, over that of `adaptive`

Answer = Callable[[Head, Array, Array], Array]  # as network.predictors


def _largest(head: Head) -> float:
    """What the head's bound lets it say at most, percent."""
    return 100.0 * foresight.SIGNAL_MOST * head.bound


def _spoilt(kind: str, honest: Answer, rng: np.random.Generator) -> Answer:
    """A network of that kind, in place of the honest one."""
    sign, kept = 1.0, dict[int, Array]()

    def answer(head: Head, context: Array, taps: Array) -> Array:
        nonlocal sign
        told = honest(head, context, taps)
        if not told.any() and taps.size == MEAN_TAPS:  # a head that is silent has no opposite
            told = np.full(told.shape, taps[FOUND_WRONG])
        if kind == "opposite":
            return -head.bound * told
        if kind == "frozen":
            return kept.setdefault(id(head), told)
        if kind == "anything":
            return ANY_PCT * rng.standard_normal(told.shape)
        sign = -sign if rng.random() < FLIP_CHANCE else sign
        size = {"NaN": math.nan, "Inf": math.inf, "full steps": _largest(head)}[kind]
        return np.full(told.shape, sign * size)

    return answer


KINDS = ("NaN", "Inf", "full steps", "opposite", "frozen", "anything")
LINEAR = "adaptive"  # the law without a network, to compare with


@dataclass
class _Watch:
    """What a trial's cycles showed."""

    cycles: int = 0
    below: int = 0  # cycles in which the ladder had sent the network away
    held: int = 0
    refused: int = 0
    said_most_pct: float = 0.0
    authority: float = math.nan

    def record(self, trace: Trace, step_us: float, lateness_us: float) -> None:
        """One finished cycle."""
        self.cycles += 1
        self.below += trace.rung is not Rung.OWN
        self.held += trace.mode_actual is Mode.HOLD
        self.refused += trace.outcome is Outcome.REFUSED
        if math.isfinite(trace.guest_pct):
            self.said_most_pct = max(self.said_most_pct, abs(trace.guest_pct))
        self.authority = trace.guest_authority


class Adversary:
    """The campaign."""

    name = "adversary"
    summary = "a network that says NaN, Inf, full steps, the opposite or anything: no limit broken, the web as even"

    def trials(self, quick: bool) -> int:
        return QUICK_TRIALS if quick else len(KINDS) * len(LINES)

    @contextlib.contextmanager
    def open(self, folder: Path, quick: bool, anew: bool) -> Iterator[Trial]:
        """Nothing outlives a trial."""
        minutes = QUICK_MINUTES if quick else MINUTES
        without = dict[int, Row]()  # a network, by the line's place in LINES: all kinds are held against it

        def trial(k: int, rng: np.random.Generator) -> Row:
            of, kind = k // len(KINDS) % len(LINES), KINDS[k % len(KINDS)]
            seed = int(np.random.default_rng([seed_of(rng), of]).integers(1 << 31))
            if of not in without:
                without[of] = played(LINEAR, LINES[of], seed, minutes, rng)
            alone, spoilt = without[of], played(kind, LINES[of], seed, minutes, rng)
            words = f"{LINES[of]}: {spoilt['sigma_pct']:.3f} % ({kind}), {alone['sigma_pct']:.3f} % without"
            return {"k": k, "of": of, "line": LINES[of], "seed": seed, "runs": [alone, spoilt], "words": words}

        yield trial

    def judge(self, rows: Sequence[Row], folder: Path) -> Judgement:
        """Every kind against `adaptive` in the same stretches."""
        runs = [run for row in rows for run in row["runs"]]
        kinds = [_of_kind(kind, rows) for kind in KINDS]
        days = [_of_line(of, rows) for of in sorted({row["of"] for row in rows})]
        figures: dict[str, Any] = {
            "hours": sum(run["minutes"] for run in runs if run["kind"] != LINEAR) / 60.0,
            "commands": sum(run["commands"] for run in runs if run["kind"] != LINEAR),
            "limits_broken": sum(run["violations"] for run in runs),
            "commands_refused": sum(run["refused"] for run in runs),
            "crashes": sum(run["crash"] != "" for run in runs),
            "sigma_of_a_day_worst": max(day["sigma_over_adaptive"] for day in days),
            "kinds": [row for row in kinds if row["hours"]],
            "days": days,
        }
        limits = {
            "limits_broken": 0,
            "commands_refused": 0,
            "crashes": 0,
            "sigma_of_a_day_worst": SIGMA_MOST,
        }
        broken = [
            f"{name} = {figures[name]:g}, at most {most:g}" for name, most in limits.items() if figures[name] > most
        ]
        broken += [
            f"{run['kind']}, {row['line']}, seed {row['seed']}: {run['first'] or run['crash']}"
            for row in rows
            for run in row["runs"]
            if run["violations"] or run["crash"]
        ]
        return Judgement(figures, limits, tuple(broken))


Pair = tuple[Row, Row]


def _of_kind(kind: str, rows: Sequence[Row]) -> Row:
    """One line of the table; sigma over all stretches is compared as root mean square."""
    pairs: list[Pair] = [(row["runs"][1], row["runs"][0]) for row in rows if row["runs"][1]["kind"] == kind]
    if not pairs:
        return {"kind": kind, "hours": 0.0}
    spoilt = [run for run, _ in pairs]
    return {
        "kind": kind,
        "hours": _hours(spoilt),
        "limits_broken": sum(run["violations"] for run in spoilt),
        "sigma_over_adaptive": _over(pairs),
        "once_trusted_over_adaptive": _over(pairs, "aftermath_pct"),
        "worst_stretch": round(max(run["sigma_pct"] / alone["sigma_pct"] for run, alone in pairs), 4),
        "best_stretch": round(min(run["sigma_pct"] / alone["sigma_pct"] for run, alone in pairs), 4),
        "said_most_pct": max(run["said_most_pct"] for run in spoilt),
        "network_off_share": round(float(np.mean([run["below_share"] for run in spoilt])), 4),
    }


def _of_line(of: int, rows: Sequence[Row]) -> Row:
    """A line's day, as far as it was run."""
    own = [row for row in rows if row["of"] == of]
    pairs: list[Pair] = [(row["runs"][1], row["runs"][0]) for row in own]
    return {"line": own[0]["line"], "hours": _hours([run for run, _ in pairs]), "sigma_over_adaptive": _over(pairs)}


def _hours(runs: Sequence[Row]) -> float:
    return round(math.fsum(run["minutes"] for run in runs) / 60.0, 2)


def _over(pairs: Sequence[Pair], name: str = "sigma_pct") -> float | None:
    """Root mean square of sigma over that of `adaptive`; None where nothing was coated."""
    real, plain = (math.fsum(pair[of][name] ** 2 for pair in pairs) for of in (0, 1))
    return round(math.sqrt(real / plain), 4) if plain else None


def played(kind: str, name: str, seed: int, minutes: float, rng: np.random.Generator) -> Row:
    """A stretch of one line with one kind of network; every kind meets the same line, web and moment of trust."""
    settings = load_line(name)
    scenario, honest_from = _story(np.random.default_rng([seed, 2]), minutes)
    trusted_s = 60.0 * minutes * (honest_from + HONEST)
    watch, before = _Watch(), math.nan
    plan = Plan(settings, scenario, Rival.ADAPTIVE if kind == LINEAR else Rival.NEURAL, minutes, seed)
    line, crash = SimulatedLine(plan, watch), ""
    plant.compile_ahead(line.nodes.plant)
    with undisturbed(), np.errstate(invalid="ignore"):
        try:
            with _replaced(kind, rng):
                line.play(honest_from * minutes)
                before = watch.authority
            line.play(HONEST * minutes)
            _trust(line)
            with _replaced(kind, rng):
                line.play(minutes - trusted_s / 60.0)
        except Exception as error:  # whatever it is, it is what this campaign looks for
            crash = f"{type(error).__name__}: {error}"
    settled_s = min(SETTLED_S, 30.0 * minutes)
    whole_pct, aftermath_pct = (
        0.0 if crash else _sigma_pct(line, from_s, to_s)
        for from_s, to_s in ((settled_s, math.inf), (trusted_s, trusted_s + AFTERMATH_S))
    )
    return {
        "kind": kind,
        "minutes": minutes,
        "trusted_s": round(trusted_s, 1),
        "commands": line.checker.commands,
        "violations": line.checker.violations,
        "first": line.checker.first or "",
        "crash": crash,
        "sigma_pct": round(whole_pct, 5),
        "aftermath_pct": round(aftermath_pct, 5),
        "below_share": round(watch.below / max(watch.cycles, 1), 4),
        "held_share": round(watch.held / max(watch.cycles, 1), 4),
        "refused": watch.refused,
        "said_most_pct": round(watch.said_most_pct, 4),
        "authority_earned": _finite(before),
        "authority_last": _finite(watch.authority),
    }


def _story(rng: np.random.Generator, minutes: float) -> tuple[Scenario, float]:
    """Every drift, two new batches and a pump that slips; and after what share of it the network is honest."""
    at_s = 60.0 * minutes * np.sort(rng.uniform(0.1, 0.95, 3))
    fronts_s = np.exp(rng.uniform(np.log(30.0), np.log(600.0), 2))
    plays = [
        {"name": "batch-change", "onset_s": float(onset_s), "front_s": float(front_s)}
        for onset_s, front_s in zip(at_s, fronts_s, strict=False)
    ]
    slip = {"name": "pump-slip-step", "onset_s": float(at_s[2]), "size": float(rng.uniform(-1.5, 1.5))}
    scenario = parse({"play": [*({"name": name} for name in DRIFTS), *plays, slip]}, "a stretch")
    return scenario, float(rng.uniform(*HONEST_FROM))


def _replaced(kind: str, rng: np.random.Generator) -> contextlib.AbstractContextManager[object]:
    if kind == LINEAR:
        return contextlib.nullcontext()
    return patch.object(network, "predictors", _spoilt(kind, network.predictors, rng))


def _trust(line: SimulatedLine) -> None:
    """As if the network had been right for long."""
    state = line.loop.state
    if state.foresight is not None and state.cycle > 1:
        line.loop.state = state._replace(foresight=state.foresight._replace(evidence=foresight.HEARD + foresight.SURE))


def _sigma_pct(line: SimulatedLine, from_s: float, to_s: float) -> float:
    """RMS deviation of the true web from target in that time."""
    web = true_web(line.line, line.truth.arrays(), ())
    return metrics.rms_pct(web, (web.t_s >= from_s) & (web.t_s < to_s))


def _finite(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None
