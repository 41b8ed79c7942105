"""How many line-steps a second does the simulator make, alone and in batches, beside rivals and the machine's bound?

    python benchmarks/simulator.py [--quick] [--json] [--save]

Full physics of line-40 under first-shift: every drift, both gauges, each drawing its random numbers at its own period;
every bolt gets a new target of one to three resolution steps about once a second. A step is one control cycle, 0.1 s.
One core, one BLAS thread. `batch` is plant_sim.batch in place, `single` a batch of one, `pure` plant_sim.plant.step,
which keeps older states; `scipy` the same plant through solve_ivp, `numpy env` the same plant in plain numpy as a
gymnasium vector environment beside our own (`our env`). Ratios say how many times longer a rival takes for a line-step:
scipy against `batch`, numpy env against our env at its best batch size. --save keeps results/simulator.json and .png.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from cycle import machine
from rich.console import Console
from rich.progress import Progress
from rivals.gym_arrays import NumpyVectorEnv
from rivals.ode import OdePlant
from rivals.roofline import Work, bandwidth_bytes_per_s, peak_operations_per_s, work_of

from controller.line.description import Array, LineDescription
from evencoat.settings import load_line
from plant_sim import plant
from plant_sim.batch import Batch
from plant_sim.environment import CoatingVectorEnv
from plant_sim.plant import Command, Plant
from plant_sim.scenario import Scenario
from plant_sim.truth import Truth

RESULTS = Path(__file__).parent / "results"
DT_S = 0.1  # a control cycle
WARM_UP = 700  # steps: past the first dry scans
BLOCK = 100  # steps timed together: ten seconds, so that each block holds as many scans and drifts
COURSE = 400  # steps of the lips' way before it turns back
SCENARIO = Scenario.load("first-shift")
Row = dict[str, Any]


class Fleet:
    """True lines of one description and where their lips are sent."""

    def __init__(self, line: LineDescription, truths: int) -> None:
        self.line = line
        self.truths = [Truth.draw(line, seed) for seed in range(truths)]
        self.rpm = line.pump_ratio_nominal_rpm_per_mps * line.web_speed_mps

    def plants(self, lines: int) -> list[Plant]:
        """So many plants, each with random streams of its own."""
        return [Plant.of(self.truths[i % len(self.truths)], SCENARIO, i) for i in range(lines)]

    def course(self, lines: int) -> Array:
        """Places of rest (um), shape (steps, lines, zones): each bolt is sent on once a second, not all at once."""
        rng, lips = np.random.default_rng(1), self.line.lips
        shape = (COURSE, lines, self.line.zones)
        sent = rng.random(shape) < DT_S
        moves = np.where(sent, rng.choice([-3, -2, -1, 1, 2, 3], shape), 0).cumsum(axis=0) * lips.resolution_um
        way = np.clip(self.line.die.gap_nominal_um + moves, lips.gap_min_um, lips.gap_max_um)
        return np.concatenate((way, way[::-1]))


def of_zones(line: LineDescription, zones: int) -> LineDescription:
    """The same line with so many zones of the same pitch, and a pump for its width."""
    width_mm = zones * line.die.zone_pitch_mm
    assert line.wet_gauge is not None and line.dry_gauge is not None
    return replace(
        line,
        web_width_mm=width_mm,
        die=replace(line.die, zones=zones),
        pump=replace(
            line.pump, displacement_cc_per_rev=line.pump.displacement_cc_per_rev * width_mm / line.web_width_mm
        ),
        wet_gauge=replace(line.wet_gauge, boxes=2 * zones),
        dry_gauge=replace(line.dry_gauge, boxes=2 * zones),
    )


def row(name: str, zones: int, lines: int, seconds: list[float], steps: int, dt_s: float = DT_S) -> Row:
    """Microseconds a line-step of blocks of so many line-steps each."""
    us = np.array(seconds) / steps * 1e6
    percentiles = {"p10_us": 10, "p50_us": 50, "p99_us": 99}
    found = {key: float(np.percentile(us, share)) for key, share in percentiles.items()}
    return {
        "name": name,
        "zones": zones,
        "lines": lines,
        "dt_s": dt_s,
        **found,
        "line_steps_per_s": 1e6 / found["p50_us"],
    }


def blocks(step: Callable[[int], None], repeats: int, steps: int = BLOCK, warm_up: int = WARM_UP) -> list[float]:
    """Seconds of each block of steps after a warm-up; step(k) makes step k."""
    for k in range(warm_up):
        step(k)
    seconds = []
    for r in range(repeats):
        began = time.perf_counter()
        for k in range(warm_up + r * steps, warm_up + (r + 1) * steps):
            step(k)
        seconds.append(time.perf_counter() - began)
    return seconds


def touched(batch: Batch) -> Batch:
    """With all of its web's memory in hand, as it is after some minutes of line time: no page is new to a step."""
    batch.web.profiles.fill(0.0)
    return batch


def measure_batch(fleet: Fleet, lines: int, repeats: int, dt_s: float = DT_S) -> Row:
    rpm, course = np.full(lines, fleet.rpm), fleet.course(lines)
    batch = touched(Batch(fleet.plants(lines), rpm))

    def step(k: int) -> None:
        batch.step(course[k % len(course)], rpm, dt_s)

    seconds = blocks(step, repeats, warm_up=round(WARM_UP * DT_S / dt_s))
    return row("batch", fleet.line.zones, lines, seconds, BLOCK * lines, dt_s)


def measure_single(fleet: Fleet, repeats: int) -> Row:
    """One line in place, each step timed by itself."""
    rpm, course = np.array([fleet.rpm]), fleet.course(1)
    batch = touched(Batch(fleet.plants(1), rpm))

    def step(k: int) -> None:
        batch.step(course[k % len(course)], rpm, DT_S)

    return row("single", fleet.line.zones, 1, blocks(step, repeats * BLOCK, steps=1), 1)


def measure_pure(fleet: Fleet, repeats: int) -> Row:
    """One line whose older states stay usable, each step timed by itself."""
    one, course = fleet.plants(1)[0], fleet.course(1)
    commands = [Command(rest_um[0], fleet.rpm) for rest_um in course]
    state = plant.start(one, fleet.rpm)
    state.web.profiles.fill(0.0)

    def step(k: int) -> None:
        nonlocal state
        state, _ = plant.step(one, state, commands[k % len(commands)], DT_S)

    return row("pure", fleet.line.zones, 1, blocks(step, repeats * BLOCK, steps=1), 1)


def measure_scipy(fleet: Fleet, repeats: int) -> Row:
    ode, course, rpm = OdePlant(fleet.plants(1)[0], fleet.rpm), fleet.course(1), np.array([fleet.rpm])

    def step(k: int) -> None:
        ode.step(course[k % len(course)], rpm, DT_S)

    return row("scipy", fleet.line.zones, 1, blocks(step, repeats), BLOCK)


def measure_environment(name: str, fleet: Fleet, lines: int, repeats: int) -> Row:
    """A vector environment, observation and reward included."""
    make = NumpyVectorEnv if name == "numpy env" else CoatingVectorEnv
    envs = make(fleet.line, lines, step_s=DT_S, minutes=1e4)
    envs.reset(seed=1)
    lips, course = fleet.line.lips, fleet.course(lines)
    middle, half = 0.5 * (lips.gap_max_um + lips.gap_min_um), 0.5 * (lips.gap_max_um - lips.gap_min_um)
    actions = np.concatenate(((course - middle) / half, np.zeros((*course.shape[:2], 1))), axis=2)

    def step(k: int) -> None:
        envs.step(actions[k % len(actions)])

    return row(name, fleet.line.zones, lines, blocks(step, repeats), BLOCK * lines)


def moving_bolts(fleet: Fleet) -> float:
    """Lips that move in a step of the course, on average."""
    one, course = Batch(fleet.plants(1), np.array([fleet.rpm])), fleet.course(1)
    at = int(one.constants.lines["s_lip"][0])
    moved, before = 0, one.state.numbers[0, at : at + one.zones].copy()
    for rest_um in course:
        one.step(rest_um, np.array([fleet.rpm]), DT_S)
        now = one.state.numbers[0, at : at + one.zones].copy()
        moved, before = moved + int((now != before).sum()), now
    return moved / len(course)


def roofline(fleet: Fleet, best_us: float) -> dict[str, float]:
    """The bound on a line-step, and what share of it the best batch reaches."""
    moving = moving_bolts(fleet)
    work: Work = work_of(fleet.truths[0], moving, DT_S)
    band, peak = bandwidth_bytes_per_s(), peak_operations_per_s()
    by_memory_us, by_arithmetic_us = work.bytes / band * 1e6, work.operations / peak * 1e6
    return {
        "moving_bolts": moving,
        "operations": work.operations,
        "bytes": work.bytes,
        "bandwidth_gb_per_s": band / 1e9,
        "peak_gflop_per_s": peak / 1e9,
        "by_memory_us": by_memory_us,
        "by_arithmetic_us": by_arithmetic_us,
        "share_reached": max(by_memory_us, by_arithmetic_us) / best_us,
    }


def run(quick: bool, console: Console | None) -> dict[str, Any]:
    """Measure everything in one process."""
    line, truths, repeats = load_line("line-40").line, 4 if quick else 8, 8 if quick else 20
    sizes = (16, 64) if quick else (1, 4, 16, 64, 128)
    rival_sizes = (64,) if quick else (1, 8, 64)
    zones = (8, 128) if quick else (8, 16, 80, 128)
    fleet = Fleet(line, truths)
    jobs: list[Callable[[], Row]] = [lambda b=b: measure_batch(fleet, b, repeats) for b in sizes]
    jobs += [lambda: measure_single(fleet, repeats), lambda: measure_pure(fleet, repeats)]
    jobs += [lambda: measure_batch(fleet, 64, repeats, 0.5), lambda: measure_scipy(fleet, max(repeats // 6, 2))]
    for name in ("numpy env", "our env"):
        jobs += [lambda n=name, b=b: measure_environment(n, fleet, b, max(repeats // 3, 3)) for b in rival_sizes]
    for n in zones:
        jobs += [lambda n=n: measure_batch(Fleet(of_zones(line, n), 2), 16, max(repeats // 2, 4))]
    if not quick:
        jobs += [lambda n=n: measure_scipy(Fleet(of_zones(line, n), 1), 3) for n in zones]
    rows = []
    with Progress(console=console or Console(quiet=True), transient=True) as progress:
        task = progress.add_task("measuring", total=len(jobs))
        for job in jobs:
            rows.append(job())
            progress.advance(task)
    return {
        **figures(rows),
        "machine": machine(),
        "rows": rows,
        "roofline": roofline(fleet, best(rows, "batch")["p50_us"]),
    }


def best(rows: list[Row], name: str, zones: int = 40, dt_s: float = DT_S) -> Row:
    """The row of this name with the least median."""
    mine = (one for one in rows if (one["name"], one["zones"], one["dt_s"]) == (name, zones, dt_s))
    return min(mine, key=lambda one: float(one["p50_us"]))


def figures(rows: list[Row]) -> dict[str, float]:
    """What is asked for at a glance."""
    batch, rival = best(rows, "batch"), best(rows, "numpy env")
    ours = next(one for one in rows if one["name"] == "our env" and one["lines"] == rival["lines"])
    return {
        "batch_line_steps_per_s_per_core": batch["line_steps_per_s"],
        "single_step_us": best(rows, "single")["p50_us"],
        "pure_step_us": best(rows, "pure")["p50_us"],
        "scipy_ratio": best(rows, "scipy")["p50_us"] / batch["p50_us"],
        "gymnasium_ratio": rival["p50_us"] / ours["p50_us"],
    }


def table(result: dict[str, Any]) -> str:
    """All rows and the bound, as text."""
    lines = [" ".join(f"{key}={value}" for key, value in result["machine"].items())]
    lines.append(
        f"{'':10} {'zones':>5} {'lines':>5} {'dt s':>5} {'p10 us':>9} {'p50 us':>9} {'p99 us':>9} {'steps/s':>9}"
    )
    for one in result["rows"]:
        us = " ".join(f"{one[key]:9.2f}" for key in ("p10_us", "p50_us", "p99_us"))
        lines.append(
            f"{one['name']:10} {one['zones']:5} {one['lines']:5} {one['dt_s']:5} {us} {one['line_steps_per_s']:9.0f}"
        )
    roof = result["roofline"]
    lines.append(
        f"roofline: {roof['operations']:.0f} operations at {roof['peak_gflop_per_s']:.1f} Gflop/s are "
        f"{roof['by_arithmetic_us']:.2f} us, {roof['bytes']:.0f} bytes at {roof['bandwidth_gb_per_s']:.1f} GB/s are "
        f"{roof['by_memory_us']:.2f} us; the best batch reaches {100.0 * roof['share_reached']:.0f} % of the bound"
    )
    lines += [f"{key} {result[key]:.4g}" for key in figures(result["rows"])]
    return "\n".join(lines)


def save(result: dict[str, Any]) -> None:
    """Keep the results beside machine and commit, and their picture."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "simulator.json").write_text(json.dumps(result, indent=1) + "\n")
    draw(result, RESULTS / "simulator.png")


def draw(result: dict[str, Any], path: Path) -> None:
    """Microseconds a line-step against zones and against lines side by side."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (by_zones, by_lines) = pyplot.subplots(1, 2, figsize=(9.0, 3.8), sharey=True, layout="constrained")
    rows = [one for one in result["rows"] if one["dt_s"] == DT_S]
    names = ("batch", "single", "pure", "our env", "numpy env", "scipy")
    for name, colour in zip(names, ("C0", "C1", "C2", "C4", "C3", "C5"), strict=True):
        mine = [one for one in rows if one["name"] == name]
        widths = sorted({one["zones"] for one in mine})
        least = [min(one["p50_us"] for one in mine if one["zones"] == zones) for zones in widths]
        by_zones.plot(widths, least, "o-", color=colour, label=name)
        at_40 = sorted((one["lines"], one["p50_us"]) for one in mine if one["zones"] == 40)
        by_lines.plot(*zip(*at_40, strict=True), "o-", color=colour)
    roof = result["roofline"]
    bound = max(roof["by_memory_us"], roof["by_arithmetic_us"])
    by_lines.axhline(bound, color="black", linestyle=":", linewidth=1.0)
    by_lines.text(1.0, 1.1 * bound, "roofline", fontsize=8)
    by_zones.plot([40], [bound], "k_", markersize=14)
    by_zones.set(xlabel="zones", ylabel="µs a line-step", title="best batch size", xscale="log", yscale="log")
    by_lines.set(xlabel="lines in a batch", title="40 zones", xscale="log")
    by_zones.set_xticks((8, 16, 40, 80, 128), ("8", "16", "40", "80", "128"))
    by_lines.set_xticks((1, 4, 16, 64, 128), ("1", "4", "16", "64", "128"))
    for axes in (by_zones, by_lines):
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.legend(loc="outside right center", fontsize=8, frameon=False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer sizes and repeats")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--save", action="store_true", help="keep results and picture in benchmarks/results")
    arguments = parser.parse_args()
    result = run(arguments.quick, None if arguments.json else Console(stderr=True))
    if arguments.save:
        save(result)
    print(json.dumps(result, indent=2) if arguments.json else table(result))


if __name__ == "__main__":
    main()
