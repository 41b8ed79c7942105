"""How many cycles a second reach the disk for good, and how long does a journal take to open after a kill?

    python benchmarks/journal.py [--quick] [--json]

A process writes cycles of each shipped line as fast as the journal takes them, half a queue ahead at most, and says how
many are committed (with fsync, as always). It is killed, and the journal is opened by a reader and by the next writer.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from evencoat.campaigns.frame import whereabouts
from evencoat.journal import CycleJournal, JournalReader
from evencoat.settings import load_line

LINES = ("pilot-16", "line-40", "wide-120")
WRITER = """
import sys, time
from evencoat.journal import CycleJournal, NoSink
from evencoat.league.rivals import Rival
from evencoat.settings import load_line
from evencoat.simulate import Plan, SimulatedLine
from plant_sim.scenario import Scenario
settings = load_line(sys.argv[1])
line = SimulatedLine(Plan(settings, Scenario.load("first-shift"), Rival.IMC, 1.0, 1), NoSink())
line.play(0.2)
journal = CycleJournal(sys.argv[2], settings.line, settings.text)
cycle, trace = 0, line.loop.trace
while True:
    while cycle - journal.written > 3000:
        print(f"{time.monotonic():.4f} {journal.written}", flush=True)
        time.sleep(0.002)
    journal.record(trace._replace(cycle=cycle), 1.0, 0.0)
    cycle += 1
"""


def measure(name: str, seconds: float, folder: Path) -> dict[str, Any]:
    """Write for so long, kill, reopen."""
    path = folder / f"{name}.sqlite"
    with subprocess.Popen([sys.executable, "-c", WRITER, name, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        marks: list[tuple[float, int]] = []
        while not marks or marks[-1][0] - marks[0][0] < seconds:
            t_s, committed = writer.stdout.readline().split()
            marks.append((float(t_s), int(committed)))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    began_s = time.perf_counter()
    with JournalReader(path) as reader:
        found, newest = reader.cycle_count(), reader.newest()
        read_s = time.perf_counter() - began_s
    assert newest is not None and found >= marks[-1][1], "an acknowledged cycle is gone"
    settings, began_s = load_line(name), time.perf_counter()
    CycleJournal(path, settings.line, settings.text).close()
    return {
        "line": name,
        "zones": settings.line.zones,
        "acknowledged_cycles_per_s": (marks[-1][1] - marks[0][1]) / (marks[-1][0] - marks[0][0]),
        "bytes_per_cycle": path.stat().st_size / found,
        "cycles": found,
        "reader_opens_s": read_s,
        "writer_opens_and_closes_s": time.perf_counter() - began_s,
    }


def fresh(name: str, seconds: float) -> dict[str, Any]:
    """One run in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return measure(name, seconds, Path(folder))


def median(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Figure by figure."""
    return {
        key: value if isinstance(value, str) else statistics.median(one[key] for one in found)
        for key, value in found[0].items()
    }


def main() -> None:
    """Print a row a line, the median of the runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    runs, seconds = (1, 2.0) if given.quick else (5, 10.0)
    rows = [median([fresh(name, seconds) for _ in range(runs)]) for name in LINES]
    if given.json:
        print(json.dumps({"rows": rows, "runs": runs, **whereabouts()}, indent=2))
        return
    print(f"{'line':10} {'cycles/s':>10} {'bytes/cycle':>12} {'reader opens':>13} {'writer opens':>13}")
    for row in rows:
        print(
            f"{row['line']:10} {row['acknowledged_cycles_per_s']:10.0f} {row['bytes_per_cycle']:12.0f} "
            f"{1e3 * row['reader_opens_s']:10.1f} ms {1e3 * row['writer_opens_and_closes_s']:10.1f} ms"
        )


if __name__ == "__main__":
    main()
