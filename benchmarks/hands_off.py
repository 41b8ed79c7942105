"""A day without a person: three rolls, another grade, splices, batches, faults, and who had to step in.

    python benchmarks/hands_off.py [--hours H] [--quick] [--json] [--line L] [--seed N] [--law LAW] [--out DIR]

First an evening of the same line leaves the last good lips (`recipe save --from`) and two recipes of them; then the
scenario `hands-off` is played in lockstep, every frame included, with the automation at the desk and nobody else. Once
the wire is cut for so long that the nodes latch. `--hours` and `--quick` (one hour) play the same day shorter: what is
planned comes earlier, a splice, a stop or an outage lasts as long as ever. --out keeps day.sqlite, day.truth.npz (two
rows a second), the recipes, the plan and result.json.

Sigma, Cpk and metres out of tolerance are those of the true web against the recipe's target, sigma and Cpk from minute
10 of each roll on, and those of its steady web (evencoat.league.day) beside them. Shares of time, and who stepped in,
are the journal's (evencoat.automation.report).
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.runs import machine
from controller.line.description import Array
from evencoat.automation import plan as plans
from evencoat.automation import report
from evencoat.automation.played import CutWire, Unattended
from evencoat.journal import CycleJournal, JournalReader
from evencoat.league import day as league_day
from evencoat.league import metrics
from evencoat.league.rivals import Rival
from evencoat.recipes.recipe import Recipe, check
from evencoat.recipes.store import RecipeStore
from evencoat.recipes.stretch import last_good
from evencoat.recording import TruthRecorder, true_web
from evencoat.settings import Automation, Settings, load_line
from evencoat.simulate import Plan, SimulatedLine, simulate, undisturbed
from plant_sim import plant
from plant_sim.faults import Play
from plant_sim.scenario import Scenario

DAY_H = 24.0
EVENING_MIN = 12.0
# Two bolts may be left alone: one is stuck for an hour
POLICY = Automation(start=True, rearm_most_per_hour=3, clear_s=10.0, lost_bolts_most=2)
SECOND_TARGET = 1.02  # of the first grade's
NEXT_GRADE_ROLL = 3
CUT_S, CUT_FOR_S = 50_400.0, 8.0  # of the day: longer than the nodes' two seconds
EVERY_ROWS = 5
# What lasts as long in an hour as in a day
AS_EVER = frozenset({"threading", "splice", "web-stop", "encoder-loss", "gauge-silent", "bubble"})
SLOW_RAMP_S = 600.0


class Thinned(TruthRecorder):
    """True web, each fifth row, for all that was coated since the last one that was kept."""

    def __init__(self, lanes: int) -> None:
        super().__init__(lanes)
        self._seen, self._coated_m = 0, 0.0

    def add(self, t_s: float, web_m: float, ds_m: float, travel_um: float, areal_density_gsm: Array) -> None:
        """One step of the plant. A row without coating is kept only where none of its five had any."""
        self._seen += 1
        self._coated_m += ds_m
        if self._seen % EVERY_ROWS == 0 and (ds_m > 0.0 or self._coated_m == 0.0):
            super().add(t_s, web_m, self._coated_m, travel_um, areal_density_gsm)
            self._coated_m = 0.0


def shortened(scenario: Scenario, share: float) -> Scenario:
    """The same day within a share of its time."""

    def sooner(play: Play) -> Play:
        ramp_s = play.ramp_s * share if play.ramp_s > SLOW_RAMP_S else play.ramp_s
        lasts_s = play.duration_s if play.name in AS_EVER else play.duration_s * share
        return replace(play, onset_s=play.onset_s * share, duration_s=lasts_s, ramp_s=ramp_s)

    return replace(scenario, plays=tuple(map(sooner, scenario.plays)))


def recipes(settings: Settings, law: Rival, day: Scenario, seed: int, folder: Path) -> tuple[RecipeStore, Path]:
    """What is known the evening before: two grades with the lips that were good then, and the plan of the day."""
    lasting = tuple(one for one in day.plays if one.onset_s == 0.0 and not np.isfinite(one.duration_s))
    evening = replace(day, name="evening", plays=lasting)
    simulate(Plan(settings, evening, law, EVENING_MIN, seed), folder / "evening")
    with JournalReader(folder / "evening" / "journal.sqlite") as reader:
        lips = last_good(reader, settings.line, settings.line.target.tolerance_pct)
    store, line = RecipeStore(folder / "recipes"), settings.line
    target_gsm = float(line.target_profile_gsm.mean())
    fields = {
        "line": line.name,
        "tolerance_pct": line.target.tolerance_pct,
        "speed_m_per_min": round(60.0 * line.web_speed_mps, 6),
        "lips": lips.model_dump(mode="json"),
    }

    def fit(made: Recipe) -> None:
        check(made, line)

    store.save("first", {**fields, "target_gsm": target_gsm}, "benchmark", "the evening before", fit)
    store.save("second", {**fields, "target_gsm": SECOND_TARGET * target_gsm}, "benchmark", "the next grade", fit)
    path = folder / "plan.toml"
    path.write_text(f'recipe = "first@1"\n\n[[change]]\nroll = {NEXT_GRADE_ROLL}\nrecipe = "second@1"\n')
    return store, path


def play(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The evening, the day, and what came of it."""
    settings, law, share = load_line(arguments.line), Rival(arguments.law), arguments.hours / DAY_H
    day = shortened(Scenario.load(arguments.scenario), share)
    store, path = recipes(settings, law, day, arguments.seed, folder)
    plan = plans.load(path, store, settings.line)
    settings = replace(settings, automation=POLICY)
    with CycleJournal(folder / "day.sqlite", settings.line, settings.text, patient=True) as journal:
        sink = Unattended(journal, settings.automation, plan, settings.line.lips.rate_um_per_s)
        wire = CutWire([(CUT_S * share, CUT_FOR_S)])
        whole = Plan(settings, day, law, 60.0 * arguments.hours, arguments.seed)
        line = SimulatedLine(whole, sink, hours_told(arguments.hours), wire)
        line.truth = Thinned(line.truth.arrays()["areal_density_gsm"].shape[1])
        sink.sit(line)
        plant.compile_ahead(line.nodes.plant)
        began_s = time.perf_counter()
        with undisturbed():
            line.play(whole.minutes)
        took_s = time.perf_counter() - began_s
        sink.close()
        lost = journal.lost
    line.truth.save(folder / "day.truth.npz")
    with JournalReader(folder / "day.sqlite") as reader:
        asked = report.told(reader)
        chain = reader.verify()
    web = webs(settings, day, plan, line.truth.arrays(), 3600.0 * arguments.hours)
    return {
        **{name: getattr(arguments, name) for name in ("line", "law", "scenario", "seed", "hours")},
        "manual": asked["manual"],
        "automatic": sum(len(roll["automatic"]) for roll in asked["rolls"]),
        "deeds": [
            {"at_s": round(at_s, 1), "kind": str(deed.kind), "why": deed.asks[0].why, "refused": refused}
            for at_s, deed, refused in sink.deeds
        ],
        "asked": asked,
        "web": web,
        "limits_broken": line.checker.violations,
        "commands": line.checker.commands,
        "chain_holds": chain.ok,
        "cycles_lost": lost,
        "took_s": round(took_s, 1),
    }


def webs(
    settings: Settings, day: Scenario, plan: plans.Plan, truth: dict[str, Any], end_s: float
) -> list[dict[str, Any]]:
    """Each roll's true web against its recipe's target."""
    begins = [0.0, *day.rolls_s(), end_s]
    rolls = []
    for k, (from_s, to_s) in enumerate(pairwise(begins), 1):
        rows = (truth["t_s"] > from_s) & (truth["t_s"] <= to_s)
        recipe = plans.chosen(plan, plans.Place(k, 0.0))
        share = recipe.target_gsm / float(settings.line.target_profile_gsm.mean()) if recipe else 1.0
        cut = {name: values[rows] for name, values in truth.items()} | {"t_s": truth["t_s"][rows] - from_s}
        changes = tuple(front.onset_s - from_s for front in day.fronts() if from_s < front.onset_s < to_s)
        web = true_web(settings.line, cut, changes)
        web = replace(web, target_gsm=web.target_gsm * share)
        since = replace(day, plays=tuple(replace(play, onset_s=play.onset_s - from_s) for play in day.plays))
        steady = {part.kind: part for part in league_day.parts(web, since)}["steady"]
        rolls.append(
            {
                "roll": k,
                "recipe": recipe.ref if recipe else "",
                **metrics.score(web).as_dict(),
                "steady_m": steady.coated_m,
                "steady_sigma_pct": steady.sigma_pct,
                "steady_cpk": steady.cpk,
            }
        )
    return rolls


def hours_told(hours: float) -> Any:
    """Says on a terminal how far it is."""

    def tell(minutes: float) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{minutes / 60.0:.2f} of {hours:g} h")

    return tell


def text(result: dict[str, Any]) -> str:
    """For people."""
    asked = result["asked"]
    shown = [
        f"{result['line']}, {result['scenario']}, {result['hours']:g} h, law {result['law']}, seed {result['seed']}: "
        f"manual interventions {result['manual']}, asked for by the automation {result['automatic']}, limits broken "
        f"{result['limits_broken']} of {result['commands']} commands; took {result['took_s']:g} s",
        f"in AUTO {asked['auto_of_running_pct']} % of the time that the web ran; held: "
        + ", ".join(f"{s:.0f} s {outcome}" for outcome, s in asked["hold_s"].items()),
        "",
        f"{'roll':>4}{'recipe':>10}{'metres':>9}{'scrap m':>9}{'start m':>9}{'batch m':>9}{'sigma %':>9}{'CD %':>7}"
        f"{'MD %':>7}{'Cpk':>6}{'steady %':>9}{'Cpk':>6}{'AUTO %':>9}{'by hand':>9}",
    ]
    for web, roll in zip(result["web"], asked["rolls"], strict=True):
        batch_m = "-" if web["batch_scrap_m"] is None else f"{web['batch_scrap_m']:.1f}"
        shown.append(
            f"{web['roll']:4}{web['recipe']:>10}{web['coated_m']:9.0f}{web['out_of_tolerance_m']:9.1f}"
            f"{web['startup_scrap_m']:9.1f}{batch_m:>9}{web['sigma_total_pct']:9.3f}{web['sigma_cd_pct']:7.3f}"
            f"{web['sigma_md_pct']:7.3f}{web['cpk']:6.2f}{web['steady_sigma_pct']:9.3f}{web['steady_cpk']:6.2f}"
            f"{roll['auto_of_running_pct']:9.2f}{roll['manual']:9}"
        )
    shown.append("")
    for deed in result["deeds"]:
        refused = f" REFUSED: {deed['refused']}" if deed["refused"] else ""
        shown.append(f"{deed['at_s']:9.1f} s  {deed['kind']:8} {deed['why']}{refused}")
    return "\n".join(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--hours", type=float, default=DAY_H)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--line", default="pilot-16")
    parser.add_argument("--scenario", default="hands-off")
    parser.add_argument("--law", default="neural", choices=("pid", "imc", "adaptive", "neural"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    arguments.hours = 1.0 if arguments.quick else arguments.hours
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.out or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        result = play(arguments, folder) | {"machine": machine()}
        (folder / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2) if arguments.json else text(result))


if __name__ == "__main__":
    main()
