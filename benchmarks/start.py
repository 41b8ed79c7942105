"""How long from `evencoat run` to the first certified command, of what is that made, and how large is the process?

    python benchmarks/start.py [--quick] [--json] [--lines A,B] [--starts N] [--minutes M] [--before FILE] [--out FILE]

Hub and plant run at real time as processes of their own; a bystander on the bus sees the first DIE_COMMAND, which
nothing but a certified command becomes. Each start is a fresh process with a fresh journal, in AUTO, with the law that
is usual; bytecode is there, as pip leaves it. `cpu_s` is what the process has computed by then: on a quiet core that
and the waiting for the line's telegrams are all there is, on a busy one `wall_s` has other people's work in it too. The
last start runs on for `--minutes` with the network at work, and then its resident memory is read. Parts are measured in
a process of their own, in CPU time. `--before` shows another run's figures, as `--out` kept them, side by side.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.runs import machine
from evencoat.demo import Children
from evencoat.journal import JournalReader
from evencoat.processes import wait_for
from evencoat.settings import compile_codec, load_line
from firmware_bridge.bus_pythoncan import open_bus
from firmware_bridge.contract import Telegram
from firmware_bridge.link import Receiver

PATIENCE_S = 300.0  # the plant's step is compiled once on a machine
SETTLE_S = 2.5  # nodes latch after two seconds of silence: each start finds the line as a restart would
TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")

PARTS = """
import time
laps, began = {}, 0.0
def lap(name):
    global began
    now = time.process_time()
    laps[name], began = now - began, now
lap("interpreter")
import numpy, pydantic, cantools, can, structlog, typer, rich, rich.progress
lap("libraries")
import evencoat.cli, evencoat.guest, evencoat.processes
lap("our modules")
import json, sys
from controller.core import step
from controller.line.command import Mode
from evencoat.settings import compile_codec, load_line
settings = load_line(sys.argv[1])
lap("line file")
settings, _ = evencoat.guest.at_work(settings)
guest = evencoat.guest.invited(settings.line)
lap("network")
compile_codec(settings)
lap("DBC and codec")
step.init(step.configure(settings.line, settings.wire.sync_period_s, guest=guest.network), Mode.AUTO)
lap("controller")
print(json.dumps(laps))
"""


class Bystander:
    """Hears the bus and says nothing."""

    def __init__(self, address: str, line: str) -> None:
        settings = load_line(line)
        codec = compile_codec(settings)
        self._bus = open_bus(address, settings.wire)
        self._receiver = Receiver(codec, [telegram for telegram in Telegram if codec.carries(telegram)], {})

    def until(self, wanted: Telegram) -> float:
        """When the next telegram of that kind is heard. Raises TimeoutError."""
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            self._bus.wait(0.1)
            for frame in self._bus.receive():
                message = self._receiver.feed(frame, 0.0)
                if message is not None and message.telegram is wanted:
                    return time.monotonic()
        raise TimeoutError(f"within {PATIENCE_S:g} s nobody sent {wanted}")

    def listen(self, seconds: float) -> None:
        """Let so long pass, and forget what was heard."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0.0:
            self._bus.wait(left_s)
            for frame in self._bus.receive():
                self._receiver.feed(frame, 0.0)

    def close(self) -> None:
        self._bus.close()


def cpu_s(pid: int) -> float:
    """What a process has computed so far, s (proc(5), stat: utime and stime)."""
    told = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return TICK_S * (int(told[11]) + int(told[12]))


def resident_mb(pid: int) -> dict[str, float]:
    """Resident memory of a process now and at its largest, MB."""
    told = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: float(told[key].split()[0]) / 1024.0 for name, key in (("now", "VmRSS"), ("peak", "VmHWM"))}


def parts(line: str) -> dict[str, float]:
    """CPU seconds of what a start is made of, in a process of its own."""
    ran = subprocess.run([sys.executable, "-c", PARTS, line], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(ran.stdout)
    return found


def measured(line: str, starts: int, minutes: float) -> dict[str, Any]:
    """Starts of the daemon on a line; the last one runs on."""
    wall, cpu = [], []
    with tempfile.TemporaryDirectory(prefix="evencoat-") as name, Children(Path(name)) as children:
        folder = Path(name)
        socket = folder / "can.sock"
        address = f"evencoat:{socket}"
        children.start("hub", "hub", "--socket", str(socket))
        if not wait_for(socket, PATIENCE_S):
            raise TimeoutError("the hub did not start")
        bystander = Bystander(address, line)
        children.start("plant", "plant", "--line", line, "--bus", address, "--scenario", "steady-night")
        bystander.until(Telegram.SYNC)
        for start in range(starts + 1):
            bystander.listen(SETTLE_S)
            journal = folder / f"{start}.sqlite"
            on = ("--line", line, "--bus", address, "--mode", "auto", "--journal", str(journal))
            began_s = time.monotonic()
            daemon = children.start(f"run-{start}", "run", *on)
            heard_s = bystander.until(Telegram.DIE_COMMAND)
            if start:  # the first one wrote the bytecode
                wall.append(heard_s - began_s)
                cpu.append(cpu_s(daemon.pid))
            if start < starts:
                children.stop(daemon)
        first_mb = resident_mb(daemon.pid)
        bystander.listen(60.0 * minutes)
        last_mb = resident_mb(daemon.pid)
        newest = JournalReader(journal).newest()
        bystander.close()
        said = next(row for row in (folder / f"run-{starts}.log").read_text().splitlines() if '"chosen"' in row)
    laps = [parts(line) for _ in range(starts)]
    return {
        "line": line,
        "controller": json.loads(said)["chosen"],
        "mode_at_the_end": str(newest.mode_actual) if newest else "",
        "starts": starts,
        "wall_s": spread(wall),
        "cpu_s": spread(cpu),
        "parts_cpu_s": {name: spread([lap[name] for lap in laps]) for name in laps[0]},
        "minutes": minutes,
        "resident_first_mb": first_mb["now"],
        "resident_mb": last_mb["now"],
        "resident_peak_mb": last_mb["peak"],
    }


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": float(np.median(values)), "least": min(values), "most": max(values)}


def text(rows: list[dict[str, Any]], before: list[dict[str, Any]]) -> str:
    """The figures for people, with those of before where there are any."""
    old = {row["line"]: row for row in before}
    shown = []
    for row in rows:
        shown.append(f"{row['line']}: {row['starts']} starts, controller {row['controller']}, {row['mode_at_the_end']}")
        was = old.get(row["line"], {})
        figures = {"first certified command, wall s": "wall_s", "computed by then, s": "cpu_s"}
        told = {title: (row[key], was.get(key)) for title, key in figures.items()}
        for name, lap in row["parts_cpu_s"].items():
            told[f"  {name}, s"] = (lap, was.get("parts_cpu_s", {}).get(name))
        for title, (now, then) in told.items():
            earlier = f"   before {then['median']:6.3f} ({then['least']:.3f} to {then['most']:.3f})" if then else ""
            shown.append(f"  {title:36}{now['median']:6.3f} ({now['least']:.3f} to {now['most']:.3f}){earlier}")
        for title, key in (
            ("at the first command", "resident_first_mb"),
            (f"after {row['minutes']:g} min", "resident_mb"),
        ):
            earlier = f"   before {was[key]:6.1f}" if was else ""
            shown.append(f"  {'resident ' + title + ', MB':36}{row[key]:6.1f}{earlier}")
    return "\n".join(shown)


def with_bytecode(folder: str) -> None:
    """Processes below find and keep their bytecode here, whatever the caller's environment says."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one line, two starts, a few seconds of memory")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--lines", help="line files or shipped lines, with commas between (default line-40,wide-120)")
    parser.add_argument("--starts", type=int, help="starts of each line (default 7, quick 2)")
    parser.add_argument("--minutes", type=float, help="how long the last one runs on (default 3, quick 0.1)")
    parser.add_argument("--before", type=Path, help="figures to show beside, as --out kept them")
    parser.add_argument("--out", type=Path, help="keep the figures here, as JSON")
    arguments = parser.parse_args()
    lines = (arguments.lines or ("line-40" if arguments.quick else "line-40,wide-120")).split(",")
    starts = arguments.starts or (2 if arguments.quick else 7)
    minutes = arguments.minutes or (0.1 if arguments.quick else 3.0)
    before = json.loads(arguments.before.read_text(encoding="utf-8"))["rows"] if arguments.before else []
    with tempfile.TemporaryDirectory(prefix="evencoat-bytecode-") as folder:
        with_bytecode(folder)
        rows = [measured(line, starts, minutes) for line in lines]
    document = {"machine": machine(), "rows": rows}
    if arguments.out:
        arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(document, indent=1) if arguments.json else text(rows, before))


if __name__ == "__main__":
    main()
