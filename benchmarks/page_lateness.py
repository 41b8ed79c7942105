"""Does the page delay control? The real control process beside the page's server, with twenty clients and with none.

    python benchmarks/page_lateness.py [--quick] [--json] [--line L] [--clients N] [--blocks N] [--ordinary] [--out F]

Hub, plant, `evencoat run` and `evencoat serve` are processes of their own and live through the whole run; only the
clients come and go, block by block, in the order none, clients, clients, none, and so on. Lateness is what the loop
itself journals: wall time from a cycle's deadline to its beginning. The first seconds of a block, in which clients
connect or leave, are left out. The difference of the p99 has an interval from resampling whole blocks (percentile
bootstrap, 95 %): no difference can be seen where it holds zero. A missed
deadline is a cycle of line time without a row in the journal.

`evencoat run` is given SCHED_FIFO and locked memory where the machine grants them (docs/realtime.md) unless --ordinary.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.runs import machine
from evencoat.campaigns.lateness import PRIORITY, PRIORITY_OF_HARDWARE
from evencoat.campaigns.loads import port_of
from evencoat.demo import Children
from evencoat.journal import JournalError, JournalReader
from evencoat.processes import wait_for
from evencoat.realtime import Realtime, would_be_refused
from evencoat.settings import find_line, load_line

BLOCK_S, LEFT_OUT_S, PATIENCE_S = 15.0, 3.0, 120.0
RESAMPLED, SETTLED_CYCLES = 5000, 100
PERCENTILES = {"p50_us": 50.0, "p99_us": 99.0}
Array = npt.NDArray[np.float64]


class Line:
    """Hub, plant, control and page, each a process of its own."""

    def __init__(self, folder: Path, name: str, realtime: bool) -> None:
        self.journal, self._folder = folder / "journal.sqlite", folder
        self._file = _settings(folder, name, realtime)
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> Line:
        with self._exits as exits:
            children = exits.enter_context(Children(self._folder))
            socket = self._folder / "can.sock"
            hub = children.start("hub", "hub", "--socket", str(socket))
            if not wait_for(socket, PATIENCE_S):
                raise SystemExit(f"the hub did not start: {(self._folder / 'hub.log').read_text()}")
            on = ("--line", str(self._file), "--bus", f"evencoat:{socket}")
            plant = children.start("plant", "plant", *on, "--scenario", "steady-night")
            for stands_in in (hub, plant):  # for hardware, which is never late
                with contextlib.suppress(PermissionError):
                    os.sched_setscheduler(stands_in.pid, os.SCHED_FIFO, os.sched_param(PRIORITY_OF_HARDWARE))
            self.control = children.start("control", "run", *on, "--mode", "auto", "--journal", str(self.journal))
            self._wait_for_cycles(SETTLED_CYCLES)
            command = [sys.executable, "-m", "evencoat", "serve", str(self.journal), "--port", "0"]
            server = exits.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            exits.callback(server.terminate)
            self.port = port_of(server)
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._exits.close()

    def row(self) -> int:
        """Of the newest cycle in the journal. Raises SystemExit where control has ended."""
        if self.control.poll() is not None:
            raise SystemExit(f"control ended: {(self._folder / 'control.log').read_text()[-2000:]}")
        with JournalReader(self.journal) as reader:
            return reader.last_row()

    def _wait_for_cycles(self, cycles: int) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            with contextlib.suppress(JournalError, OSError):  # being made just now
                if self.row() > cycles:
                    return
            time.sleep(0.1)
        raise SystemExit(f"no cycles came: {(self._folder / 'plant.log').read_text()[-2000:]}")


def _settings(folder: Path, name: str, realtime: bool) -> Path:
    """The line file, with a priority where asked."""
    text = find_line(name).read_text(encoding="utf-8")
    if realtime:
        text = re.sub(r"^(priority|lock_memory) = .*\n", "", text, flags=re.MULTILINE)
        text = text if "\n[realtime]\n" in text else f"{text}\n[realtime]\n"
        text = text.replace("\n[realtime]\n", f"\n[realtime]\npriority = {PRIORITY}\nlock_memory = true\n")
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    load_line(path)
    return path


def rows_of_blocks(line: Line, order: list[bool], clients: int, block_s: float) -> Iterator[tuple[int, int]]:
    """First and last row of each block, after clients came or went."""
    for number, company in enumerate(order):
        with contextlib.ExitStack() as exits:
            if company:
                load = [sys.executable, "-m", "evencoat.campaigns.loads", "clients", str(line.port), str(clients)]
                process = exits.enter_context(subprocess.Popen(load))
                exits.callback(process.terminate)
            time.sleep(LEFT_OUT_S)
            first = line.row() + 1
            time.sleep(block_s - LEFT_OUT_S)
            yield first, line.row()
            if company and process.poll() is not None:
                raise SystemExit("the clients ended by themselves")
        if sys.stderr.isatty():
            print(f"\r{number + 1} of {len(order)} blocks", end="", file=sys.stderr, flush=True)


def judged(blocks: list[tuple[bool, Array, int]]) -> dict[str, Any]:
    """Of blocks (clients or none, lateness in us, cycles missed): percentiles, and intervals of their differences."""
    rng = np.random.default_rng(1)
    told: dict[str, Any] = {}
    both = {company: [late for had, late, _ in blocks if had is company] for company in (False, True)}
    for company, lates in both.items():
        late = np.concatenate(lates)
        told["with_clients" if company else "alone"] = {
            "cycles": int(late.size),
            "missed": sum(missed for had, _, missed in blocks if had is company),
            **{name: round(float(np.percentile(late, share)), 1) for name, share in PERCENTILES.items()},
            "max_us": round(float(late.max()), 1),
        }
    for name, share in PERCENTILES.items():
        found = []
        for _ in range(RESAMPLED):
            drawn = [
                np.percentile(np.concatenate([lates[k] for k in rng.integers(len(lates), size=len(lates))]), share)
                for lates in (both[False], both[True])
            ]
            found.append(drawn[1] - drawn[0])
        low, high = np.percentile(found, (2.5, 97.5))
        told[f"{name}_more_with_clients"] = {
            "difference": round(told["with_clients"][name] - told["alone"][name], 1),
            "interval_95": [round(float(low), 1), round(float(high), 1)],
            "significant": bool(low > 0.0 or high < 0.0),
        }
    return told


def in_words(found: dict[str, Any]) -> str:
    """For people."""
    lines = [
        f"{found['line']}, {found['scheduling']}: {found['blocks']} blocks of {found['block_s']:g} s, in turn without "
        f"and with {found['clients']} clients"
    ]
    for name in ("alone", "with_clients"):
        one = found[name]
        lines.append(
            f"{name.replace('_', ' '):>13}: {one['cycles']} cycles, {one['missed']} missed; "
            f"late p50 {one['p50_us']:.0f}, p99 {one['p99_us']:.0f}, max {one['max_us']:.0f} us"
        )
    for name in PERCENTILES:
        one = found[f"{name}_more_with_clients"]
        low, high = one["interval_95"]
        word = "significant" if one["significant"] else "no difference to be seen"
        lines.append(f"{name[:3]} with clients: {one['difference']:+.0f} us ({low:+.0f} to {high:+.0f}): {word}")
    return "\n".join(lines)


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="four blocks of five seconds: whether it runs at all")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--line", default="wide-120")
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--blocks", type=int, default=80, help="in all; a multiple of four")
    parser.add_argument("--ordinary", action="store_true", help="control as an ordinary process")
    parser.add_argument("--out", type=Path, help="keep the result here as JSON")
    asked = parser.parse_args()
    blocks, block_s = (4, LEFT_OUT_S + 2.0) if asked.quick else (asked.blocks, BLOCK_S)
    if blocks < 4 or blocks % 4:
        parser.error(f"--blocks {blocks}: must be a multiple of four")
    if not asked.ordinary and (refused := would_be_refused(Realtime(PRIORITY, lock_memory=True))):
        parser.error(f"{'; '.join(refused)}; --ordinary measures without")
    order = [k % 4 in (1, 2) for k in range(blocks)]
    with tempfile.TemporaryDirectory(prefix="evencoat-") as folder:
        with Line(Path(folder), asked.line, not asked.ordinary) as line:
            rows = list(rows_of_blocks(line, order, asked.clients, block_s))
            cycle_s = load_line(asked.line).line.control.cycle_s
        found: list[tuple[bool, Array, int]] = []
        with JournalReader(line.journal) as reader:
            for company, (first, last) in zip(order, rows, strict=True):
                kept = reader.rows(("t_line_ns", "lateness_us"), first, last)
                passed = round((int(kept["t_line_ns"][-1]) - int(kept["t_line_ns"][0])) / 1e9 / cycle_s)
                late = np.asarray(kept["lateness_us"], np.float64)
                found.append((company, late, max(0, passed - (late.size - 1))))
    told = {
        "line": asked.line,
        "clients": asked.clients,
        "blocks": blocks,
        "block_s": block_s,
        "scheduling": "ordinary" if asked.ordinary else "SCHED_FIFO",
        **judged(found),
        "machine": machine(),
    }
    if asked.out is not None:
        asked.out.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(told, indent=2) if asked.json else in_words(told))


if __name__ == "__main__":
    main()
