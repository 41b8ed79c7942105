"""What benchmarks over many lines share: workers that say how far they are, and where something was measured."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from evencoat.league.field import Machine, Match, Player

WARM_UP = 100
Job = TypeVar("Job")
Result = TypeVar("Result")


def over(work: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    """Results in the order of the jobs, on so many processes; says on standard error how far it is."""
    with multiprocessing.Pool(workers) as pool:
        for done, result in enumerate(pool.imap(work, jobs), 1):
            if sys.stderr.isatty():
                print(f"\r{done} of {len(jobs)}", end="", file=sys.stderr, flush=True)
            yield result


def decisions_us(match: Match, own: Player, cycles: int) -> np.ndarray:
    """Microseconds of so many decisions after a warm-up, with the plant answering."""
    plant, spent = Machine(match), []
    for _ in range(WARM_UP + cycles):
        plant.step()
        inputs = plant.inputs()
        began = time.perf_counter_ns()
        command = own.turn(inputs)
        spent.append((time.perf_counter_ns() - began) / 1e3)
        if command is not None:
            plant.obey(command)
    return np.array(spent[WARM_UP:])


def names_of(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """For argparse: reads names with commas between, of those that are known."""

    def read(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"nothing is called {name!r}; there are {', '.join(known)}")
        return names

    return read


def machine() -> dict[str, str]:
    """Where and of what this was measured."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "cpu": platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "commit": commit.stdout.strip(),
    }


def campaign_to_draw(words: str | None) -> tuple[Path, list[dict[str, Any]], Path]:
    """What `NAME_figure.py FOLDER PICTURE` is called with: the campaign's folder, its trials, and where to draw."""
    parser = argparse.ArgumentParser(description=words, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("picture", type=Path)
    given = parser.parse_args()
    lines = (given.folder / "trials.jsonl").read_text(encoding="utf-8").splitlines()
    return given.folder, [json.loads(line) for line in lines[1:]], given.picture
