"""What does one cycle cost, frames in to frames out, and how much faster than real time does the lockstep line run?

    python benchmarks/cycle.py [--quick] [--json]

One process, one BLAS thread, every shipped line in one run. `plant` is the software plant with its nodes and their
frames; `read`, `step` and `write` are the controller's cycle; `check` is the independent wire checker, part of both
sides' sending. Medians and 99th percentiles in microseconds.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import platform
import subprocess
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from evencoat.journal import NoSink
from evencoat.league.rivals import Rival
from evencoat.settings import load_line
from evencoat.simulate import Plan, SimulatedLine
from plant_sim.scenario import Scenario

LINES = ("pilot-16", "line-40", "wide-120")
PARTS = ("plant", "read", "step", "write", "check")


class Stopwatch:
    """Adds up the time spent in wrapped calls, cycle by cycle."""

    def __init__(self) -> None:
        self.cycles: dict[str, list[float]] = {part: [] for part in PARTS}
        self._now = dict.fromkeys(PARTS, 0.0)

    def wrap(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            result = call(*args, **kwargs)
            self._now[part] += time.perf_counter() - began
            return result

        return timed

    def lap(self) -> None:
        """A cycle is over."""
        for part, spent in self._now.items():
            self.cycles[part].append(spent * 1e6)
        self._now = dict.fromkeys(PARTS, 0.0)


def measure(name: str, rival: Rival, cycles: int) -> dict[str, Any]:
    """Run one line for `cycles` cycles after a warm-up: once timed part by part, once undisturbed."""
    line = SimulatedLine(Plan(load_line(name), Scenario.load("first-shift"), rival, 1.0, 1), NoSink())
    cycle_min = line.cycle_s / 60.0
    line.play(700 * cycle_min)  # past the first dry scans
    began = time.perf_counter()
    line.play(cycles * cycle_min)
    wall_s = time.perf_counter() - began
    watch = Stopwatch()
    instrument(line, watch)
    for _ in range(cycles):
        line.play(cycle_min)
        watch.lap()
    parts = {
        part: {"p50_us": float(np.median(us)), "p99_us": float(np.percentile(us, 99))}
        for part, us in watch.cycles.items()
    }
    return {
        "line": name,
        "zones": line.line.zones,
        "controller": str(rival),
        "cycle_us": wall_s / cycles * 1e6,
        "realtime_factor": cycles * line.cycle_s / wall_s,
        "parts": parts,
    }


def instrument(line: SimulatedLine, watch: Stopwatch) -> None:
    """Put the stopwatch around the parts of a cycle."""
    from controller.core import step as core

    loop = line.loop
    loop._port.read = watch.wrap("read", loop._port.read)
    loop._port.write = watch.wrap("write", loop._port.write)
    line.nodes.step = watch.wrap("plant", line.nodes.step)
    line.hub._taps[:] = [watch.wrap("check", tap) for tap in line.hub._taps]
    if not hasattr(core, "untimed_step"):
        core.untimed_step = core.step  # type: ignore[attr-defined]
    core.step = watch.wrap("step", core.untimed_step)  # type: ignore[attr-defined]


def machine() -> dict[str, str]:
    """Where and of what this was measured."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    cpu = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as info:
            cpu = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), cpu)
    except OSError:
        pass
    return {
        "cpu": cpu,
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "commit": commit.stdout.strip(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer cycles")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    arguments = parser.parse_args()
    cycles = 300 if arguments.quick else 3000
    rows = [measure(name, rival, cycles) for name in LINES for rival in (Rival.IMC, Rival.PID)]
    if arguments.json:
        print(json.dumps({"machine": machine(), "rows": rows}, indent=2))
        return
    print(" ".join(f"{key}={value}" for key, value in machine().items()))
    print(
        f"{'line':10} {'law':4} {'cycle us':>9} {'x real time':>12}  " + "".join(f"{p + ' p50/p99':>18}" for p in PARTS)
    )
    for row in rows:
        parts = "".join(f"{part['p50_us']:>10.0f}/{part['p99_us']:<7.0f}" for part in row["parts"].values())
        print(f"{row['line']:10} {row['controller']:4} {row['cycle_us']:9.0f} {row['realtime_factor']:12.0f}  {parts}")


if __name__ == "__main__":
    main()
