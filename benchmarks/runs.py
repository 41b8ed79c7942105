"""What benchmarks over many lines share: workers that say how far they are, and where something was measured."""

from __future__ import annotations

import multiprocessing
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

Job = TypeVar("Job")
Result = TypeVar("Result")


def over(work: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    """Results in the order of the jobs, on so many processes; says on standard error how far it is."""
    with multiprocessing.Pool(workers) as pool:
        for done, result in enumerate(pool.imap(work, jobs), 1):
            if sys.stderr.isatty():
                print(f"\r{done} of {len(jobs)}", end="", file=sys.stderr, flush=True)
            yield result


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
