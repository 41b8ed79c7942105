"""A whole day on one line: who keeps it even, and what is the loss made of?

    python benchmarks/a_day.py [--quick] [--json] [--hours H] [--line L] [--scenario S] [--without PLAY,PLAY] [--seed N]
                               [--controllers A,B] [--results FILE] [--out DIR]

Plant and controller take turns directly at 2 Hz, without frames, with the closed-loop times of the line file. Every
command goes before the line's own transmit gate; nobody is there to ask for anything, and what would have needed a
person is counted. Web is judged at the line's tolerance by kind (evencoat.league.day): start-ups, changes of speed, new
batches, faults, and the rest, which is steady. A ratio is Cpk over that of the clairvoyant.
`--without` leaves plays out of the scenario. `--results` keeps every player as it ends, and plays none again.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.runs import machine, names_of
from evencoat.league import day, field
from evencoat.league.players import NAMES, player
from evencoat.settings import load_line
from plant_sim.faults import CATALOGUE
from plant_sim.scenario import Scenario

CONTROLLERS = ("neural", "clairvoyant", "adaptive", "pid")
EVERY_S = 300.0  # a point of the course
CLOSE_H = 0.3
COLUMNS = (
    ("coated_m", "metres", "{:.0f}"),
    ("sigma_pct", "sigma %", "{:.3f}"),
    ("sigma_cd_pct", "CD %", "{:.3f}"),
    ("sigma_md_pct", "MD %", "{:.3f}"),
    ("mean_pct", "mean %", "{:.3f}"),
    ("cpk", "Cpk", "{:.2f}"),
    ("ratio", "/clair", "{:.3f}"),
    ("out_of_tolerance_ppm", "ppm", "{:.0f}"),
    ("square_share", "of error", "{:.3f}"),
)


def play(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One player through the whole of it."""
    settings, scenario = load_line(arguments.line), scenario_of(arguments)
    match = field.of_line(settings.line, scenario, arguments.seed, 60.0 * arguments.hours)
    watched = day.Watched(player(name, match, {}), settings, match.line)
    began = time.perf_counter()
    played = field.play(match, watched)
    return {
        **told_apart(name, arguments),
        "took_s": round(time.perf_counter() - began, 1),
        "bolt_travel_um": played.bolt_travel_um,
        **watched.as_dict(),
        "parts": [asdict(one) for one in day.parts(played.web, scenario)],
        "course_pct": day.course(played.web, EVERY_S),
    }


def scenario_of(arguments: argparse.Namespace) -> Scenario:
    """The scenario without what shall be left out."""
    scenario = Scenario.load(arguments.scenario)
    return replace(scenario, plays=tuple(play for play in scenario.plays if play.name not in arguments.without))


def told_apart(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """What makes two results the same run."""
    return {
        "controller": name,
        "line": arguments.line,
        "scenario": arguments.scenario,
        "without": list(arguments.without),
        "seed": arguments.seed,
        "hours": arguments.hours,
    }


def kept(path: Path | None) -> list[dict[str, Any]]:
    """What was played already; a torn last line is let go. Raises ValueError for a file that holds something else."""
    lines = path.read_text(encoding="utf-8").splitlines() if path and path.is_file() else []
    found = []
    for number, line in enumerate(lines, 1):
        try:
            result = json.loads(line)
            _ = result["parts"], result["controller"]
        except (ValueError, TypeError, KeyError) as problem:
            if number == len(lines):
                break
            raise ValueError(f"{path}, line {number}: not a run of this ({problem}); name another file") from None
        found.append(result)
    return found


def all_played(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Every run that was asked for, in order; those that are not in the file of results are played and added to it."""
    before, results = kept(arguments.results), []
    for name in arguments.controllers:
        wanted = told_apart(name, arguments).items()
        result = next((one for one in reversed(before) if wanted <= one.items()), None)
        if result is None:
            result = play(name, arguments)
            if arguments.results:
                with arguments.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(result) + "\n")
        results.append(result)
    best = next((one for one in results if one["controller"] == "clairvoyant"), None)
    for result in results:
        for i, row in enumerate(result["parts"]):
            row["ratio"] = row["cpk"] / best["parts"][i]["cpk"] if best else float("nan")
    return results


def text(results: Sequence[dict[str, Any]]) -> str:
    """The tables for people."""
    shown = [f"{'web':37}{'controller':13}" + "".join(f"{title:>10}" for _, title, _ in COLUMNS)]
    for i, row in enumerate(results[0]["parts"]):
        for result in results:
            own = result["parts"][i]
            cells = "".join(f"{form.format(own[key]):>10}" for key, _, form in COLUMNS)
            shown.append(f"{row['kind']:37}{result['controller']:13}{cells}")
    for result in results:
        shown += ["", f"{result['controller']}: {result['hours']:g} h in {result['took_s']:g} s of one core"]
        shown.append(
            f"  commands {result['commands']}, beyond limits {result['limit_violations']}, asked for by a person "
            f"{result['requests_by_a_person']}, waited for a person {result['waits_for_a_person']}, silences "
            f"{result['silences']}, bolt travel {result['bolt_travel_um']:.0f} um"
        )
        for name in ("mode", "rung", "outcome"):
            seconds = ", ".join(f"{value} {s:g} s" for value, s in result[f"{name}_s"].items())
            shown += [f"  {name}: {seconds}"] if seconds else []
    return "\n".join(shown)


def picture(results: Sequence[dict[str, Any]], path: Path) -> None:
    """How far from target each stretch of web was, hour by hour, with all that happened."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(12, 5), layout="constrained")
    for result in reversed(results):  # the first stands before the others
        hours = [(i + 0.5) * EVERY_S / 3600.0 for i in range(len(result["course_pct"]))]
        axes.plot(hours, result["course_pct"], linewidth=1.2, label=result["controller"])
    last_h = max(result["hours"] for result in results)
    for at_h, said in happened(Scenario.load(results[0]["scenario"]), last_h):
        axes.axvline(at_h, color="0.85", linewidth=0.8, zorder=0)
        axes.annotate(
            said, (at_h, 1.01), xycoords=("data", "axes fraction"), rotation=90, fontsize=7, va="bottom", ha="center"
        )
    axes.set_yscale("log")
    ticks = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(0.0, last_h)
    axes.set_xticks(range(0, int(last_h) + 1, 2 if last_h > 6 else 1))
    axes.set_xlabel("hours")
    axes.set_ylabel(f"deviation from target, RMS over {EVERY_S / 60:g} min, %")
    axes.set_ylim(bottom=0.07)
    axes.legend(frameon=False, ncol=4, loc="lower left", reverse=True)
    figure.savefig(path, dpi=120)


def happened(scenario: Scenario, last_h: float) -> list[tuple[float, str]]:
    """What is worth a mark and when, hours; what lies close together shares one."""
    named = {"batch-change": "batch", "web-stop": "stop", "splice": "splice"} | {name: name for name in day.FAULTS}
    told: list[tuple[float, str]] = []
    for play in sorted(scenario.plays, key=lambda play: play.onset_s):
        at_h, said = play.onset_s / 3600.0, named.get(play.name)
        if said and at_h < last_h:
            close = bool(told) and at_h - told[-1][0] < CLOSE_H
            told[-1:] = [(told[-1][0], f"{told[-1][1]}, {said}")] if close else [*told[-1:], (at_h, said)]
    return told


def hours_of(text: str) -> float:
    """Hours on the command line."""
    hours = float(text)
    if not 0.25 <= hours <= 168.0:
        raise argparse.ArgumentTypeError(f"{hours:g} is not within 0.25 to 168")
    return hours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="half an hour")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--hours", type=hours_of, help="length of the run (default 24, quick 0.5)")
    parser.add_argument("--line", default="line-40", help="a line file or a shipped line")
    parser.add_argument("--scenario", default="a-day", help="a scenario by name, or its file")
    parser.add_argument("--without", type=names_of(tuple(CATALOGUE)), default=(), help="plays to leave out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--controllers", type=names_of(NAMES), default=CONTROLLERS, help="only these, with commas between"
    )
    parser.add_argument("--results", type=Path, help="keep every run here, and play none that is in it already")
    parser.add_argument("--out", type=Path, help="keep a-day.json, a-day.txt and a-day.png here")
    arguments = parser.parse_args()
    arguments.hours = arguments.hours or (0.5 if arguments.quick else 24.0)
    results = all_played(arguments)
    document, shown = {"machine": machine(), "runs": results}, text(results)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "a-day.json").write_text(json.dumps(document) + "\n", encoding="utf-8")
        (arguments.out / "a-day.txt").write_text(shown + "\n", encoding="utf-8")
        picture(results, arguments.out / "a-day.png")
    print(json.dumps(document, indent=1) if arguments.json else shown)


if __name__ == "__main__":
    main()
