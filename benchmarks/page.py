"""How old is the picture when a browser has it, and what does it cost? A page's server, fed 120 zones at 10 Hz.

    python benchmarks/page.py [--quick] [--json] [--line L] [--clients N ...]

A controller's cycles (toy web, real `step`) are shown on an easel as the control process shows them; `evencoat serve`
is a process of its own, and clients take its WebSocket in another, as browsers do. Age: from the moment
before the cycle is put on the easel to the moment when a client has read the message, both by this machine's clock.
CPU: user and system time of the server's process over wall time, in percent of one core.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import asyncio
import json
import multiprocessing
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
from websockets.asyncio.client import connect

from benchmarks.runs import machine
from controller.core.trace import Trace
from evencoat import picture
from evencoat.journal import CycleJournal
from evencoat.settings import load_line
from tests.controller.core.test_step import Drive
from tests.factories import ToyWeb

PERIOD_S = 0.1
WARM_UP_S = 2.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Result:
    """With so many clients. Ages in ms, of every message of every client; missed: cycles that a client never had."""

    clients: int
    seconds: float
    shown: int
    taken: int
    missed: int
    age_p50_ms: float
    age_p99_ms: float
    age_max_ms: float
    writer_late_p99_ms: float  # of the process that shows the cycles, woken: what this machine does to anybody
    server_cpu_pct: float
    message_bytes: int


def serve(journal: Path) -> tuple[subprocess.Popen[str], int]:
    """The server's process and its port."""
    command = [sys.executable, "-m", "evencoat", "serve", str(journal), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if (found := re.search(r"http://127\.0\.0\.1:(\d+)/", line)) is not None:
            return process, int(found.group(1))
    raise RuntimeError("the server ended before it named its port")


async def listened(port: int, until_s: float) -> list[tuple[int, float]]:
    """Cycle and age, ms, of each message of one client until a monotonic time."""
    found = []
    async with connect(f"ws://127.0.0.1:{port}/live", max_size=None, compression=None) as socket:
        while (left_s := until_s - time.monotonic()) > 0.0:
            try:
                content = await asyncio.wait_for(socket.recv(), left_s)
            except TimeoutError:
                break
            now_s = time.time()
            if isinstance(content, bytes):
                head = picture.told(content)[0]
                found.append((head["cycle"], 1e3 * (now_s - head["t_unix_s"])))
    return found


def clients(port: int, count: int, until_s: float, ready: Event, answers: Any) -> None:
    """All clients, in a process of their own."""

    async def all_of_them() -> list[list[tuple[int, float]]]:
        ready.set()
        return await asyncio.gather(*(listened(port, until_s) for _ in range(count)))

    answers.put(asyncio.run(all_of_them()))


def cpu_s(pid: int) -> float:
    """User and system time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measured(traces: list[Trace], journal: Path, port: int, pid: int, count: int, seconds: float, first: int) -> Result:
    """Show cycles for so long, to so many clients. `first`: number of the first one; none is used twice."""
    zones = len(traces[0].profile_gsm)
    easel = picture.Easel(picture.path_of(journal), zones)
    context = multiprocessing.get_context("spawn")
    answers, ready = context.Queue(), context.Event()
    until_s = time.monotonic() + WARM_UP_S + seconds + 5.0
    process = context.Process(target=clients, args=(port, count, until_s, ready, answers))
    process.start()
    ready.wait()
    shown, due_s, late_s = first, time.monotonic(), []
    first_counted, before_s, began_s = -1, 0.0, 0.0
    while time.monotonic() < until_s - 1.0:
        if first_counted < 0 and time.monotonic() > until_s - 1.0 - seconds:
            first_counted, before_s, began_s = shown, cpu_s(pid), time.monotonic()
        easel.show(traces[shown % len(traces)]._replace(cycle=shown), 0.0)
        shown += 1
        due_s += PERIOD_S
        time.sleep(max(due_s - time.monotonic(), 0.0))
        late_s.append(time.monotonic() - due_s)
    share = 100.0 * (cpu_s(pid) - before_s) / (time.monotonic() - began_s)
    taken = answers.get()
    process.join()
    easel.close()
    counted = [[(cycle, age) for cycle, age in one if first_counted <= cycle < shown] for one in taken]
    ages = np.array([age for one in counted for _, age in one])
    return Result(
        clients=count,
        seconds=seconds,
        shown=shown - first_counted,
        taken=int(ages.size),
        missed=sum(shown - first_counted - len({cycle for cycle, _ in one}) for one in counted),
        age_p50_ms=float(np.percentile(ages, 50)),
        age_p99_ms=float(np.percentile(ages, 99)),
        age_max_ms=float(ages.max()),
        writer_late_p99_ms=1e3 * float(np.percentile(late_s, 99)),
        server_cpu_pct=share,
        message_bytes=len(picture.message(traces[0]._asdict(), 0.0, time.time())),
    )


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5 seconds instead of 60")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--line", default="wide-120")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 20])
    arguments = parser.parse_args()
    settings = load_line(arguments.line)
    drive = Drive(ToyWeb(settings.line))
    traces = [drive.cycle() for _ in range(50)]
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "journal.sqlite"
        with CycleJournal(journal, settings.line, settings.text) as written:
            written.record(traces[0], 0.0, 0.0)
        process, port = serve(journal)
        try:
            seconds = 5.0 if arguments.quick else 60.0
            results = [
                measured(traces, journal, port, process.pid, n, seconds, 1_000_000 * k)
                for k, n in enumerate(arguments.clients)
            ]
        finally:
            process.terminate()
            process.wait()
    told = {"line": settings.line.name, "zones": settings.line.zones, "machine": machine(), "load": os.getloadavg()[0]}
    if arguments.json:
        print(json.dumps({**told, "results": [asdict(result) for result in results]}, indent=2))
        return
    print(f"{told['line']}, {told['zones']} zones at {1 / PERIOD_S:.0f} Hz; {told['machine']}; load {told['load']:.1f}")
    print("clients   cycles   missed   age p50   p99   max ms   writer late p99   server's share of a core %")
    for r in results:
        print(
            f"{r.clients:7d} {r.shown:8d} {r.missed:8d} {r.age_p50_ms:9.1f} {r.age_p99_ms:5.1f} {r.age_max_ms:8.1f} "
            f"{r.writer_late_p99_ms:17.1f} {r.server_cpu_pct:12.2f}"
        )


if __name__ == "__main__":
    main()
