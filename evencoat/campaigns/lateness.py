"""How late cycles begin: the real control process at 10 and 100 Hz with forty zones, idle and beside load.

A trial is one stretch of one condition: the rate; alone, or beside two processor hogs, a disk hog and the page's server
with twenty clients; as an ordinary process, or with SCHED_FIFO and locked memory. Lateness is what the loop itself
journals: wall time from a cycle's deadline to its beginning. Beside it, in the same stretch and with the same priority,
a bare absolute-deadline loop says what the machine grants to anybody. Hub and plant stand in for hardware that is never
late, and get a higher priority than the loop where the machine grants one.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.line.command import Mode
from evencoat.campaigns.frame import CampaignError, Judgement, Row, Trial
from evencoat.demo import Children
from evencoat.journal import JournalError, JournalReader
from evencoat.processes import wait_for
from evencoat.realtime import Realtime, would_be_refused
from evencoat.settings import find_line, load_line

LINE = "line-40"
PRIORITY, PRIORITY_OF_HARDWARE = 50, 60
STRETCH_S, QUICK_STRETCH_S = 100.0, 4.0
ROUNDS = 10  # 1e5 cycles at 100 Hz, 1e4 at 10 Hz, of each condition with a priority
ORDINARY_EVERY = 5  # rounds: what an ordinary process does is told beside it, and need not be known as well
SETTLED_CYCLES = 30  # of each stretch are left out: a process that has just started warms up
PATIENCE_S, COMPILED_WITHIN_S = 60.0, 600.0
HALF_CYCLE, MISSED_SHARE = 0.5, 1e-3  # limits: p99.9 in cycles, deadlines without a cycle
PERCENTILES = {"p50": 50.0, "p99": 99.0, "p99_9": 99.9}
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Condition:
    """What one stretch is measured under."""

    hertz: int
    loaded: bool
    realtime: bool

    @property
    def name(self) -> str:
        """For figures and files."""
        return f"{self.hertz}hz_{'loaded' if self.loaded else 'idle'}_{'fifo' if self.realtime else 'ordinary'}"

    @property
    def judged(self) -> bool:
        """Whether limits hold: an ordinary process beside hogs promises nothing, which is what priorities are for."""
        return self.realtime or not self.loaded


CONDITIONS = tuple(
    Condition(hertz, loaded, realtime) for hertz in (10, 100) for loaded in (False, True) for realtime in (False, True)
)
SCHEDULE = tuple(
    condition for k in range(ROUNDS) for condition in CONDITIONS if condition.realtime or k % ORDINARY_EVERY == 0
)


class Lateness:
    """The campaign."""

    name = "lateness"
    summary = "how late cycles begin at 10 and 100 Hz, idle and beside load, with and without a real-time priority"

    def trials(self, quick: bool) -> int:
        """Every condition in turn; an hour and a half of them."""
        return len(CONDITIONS) if quick else len(SCHEDULE)

    @contextlib.contextmanager
    def open(self, folder: Path, quick: bool, anew: bool) -> Iterator[Trial]:
        """Hub and plant, which are started anew where the rate changes."""
        for left in folder.glob("*.npz") if anew else ():
            left.unlink()
        with contextlib.ExitStack() as exits:
            stages: dict[int, _Stage] = {}

            def trial(k: int, rng: np.random.Generator) -> Row:
                condition = SCHEDULE[k % len(SCHEDULE)]
                if condition.hertz not in stages:
                    exits.pop_all().close()
                    stages.clear()
                    stages[condition.hertz] = exits.enter_context(_Stage(folder.resolve(), condition.hertz))
                seconds = (QUICK_STRETCH_S if quick else STRETCH_S) + float(rng.random())  # no beat with whatever else
                return stages[condition.hertz].stretch(k, condition, seconds)

            yield trial

    def judge(self, rows: Sequence[Row], folder: Path) -> Judgement:
        """Percentiles over all stretches of each condition, of loop and bare loop, in us."""
        figures: dict[str, Any] = {}
        limits: dict[str, Any] = {}
        broken: list[str] = []
        for condition in CONDITIONS:
            own = [row for row in rows if row["condition"] == condition.name]
            refused = next((row["refused"] for row in own if row["refused"]), "")
            if refused:
                broken.append(f"{condition.name}: not measured: {refused}")
            measured = [row["k"] for row in own if not row["refused"]]
            if not measured:
                continue
            loop, bare = late_us(folder, measured)
            missed = sum(row["missed"] for row in own)
            figures[condition.name] = {
                "cycles": int(loop.size),
                "missed": missed,
                "missed_share": missed / (loop.size + missed),
                **_spread("", loop),
                **_spread("bare_", bare),
                "cycle_took_p99_us": max(row["took_p99_us"] for row in own if not row["refused"]),
            }
            if condition.judged:
                most = {"p99_9_us": HALF_CYCLE * 1e6 / condition.hertz, "missed_share": MISSED_SHARE}
                limits[condition.name] = most
                broken += [
                    f"{condition.name}.{name} = {figures[condition.name][name]:.4g}, at most {limit:g}"
                    for name, limit in most.items()
                    if figures[condition.name][name] > limit
                ]
        return Judgement(figures, limits, tuple(broken))


def late_us(folder: Path, trials: Sequence[int]) -> tuple[Array, Array]:
    """Lateness of the loop and of the bare loop over these trials, us."""
    kept = [np.load(_kept(folder, k), allow_pickle=False) for k in trials]
    return np.concatenate([one["loop"] for one in kept]), np.concatenate([one["bare"] for one in kept])


def _spread(before: str, late: Array) -> dict[str, float]:
    told = {f"{before}{name}_us": round(float(np.percentile(late, share)), 1) for name, share in PERCENTILES.items()}
    return {**told, f"{before}max_us": round(float(late.max()), 1)}


def _kept(folder: Path, k: int) -> Path:
    return folder / f"late-{k:03d}.npz"


class _Stage:
    """Hub and plant at one rate; control and its company come and go with each stretch."""

    def __init__(self, folder: Path, hertz: int) -> None:
        self._folder, self._hertz = folder, hertz
        self.lines = {realtime: self._line(realtime) for realtime in (False, True)}
        self._children = Children(folder)

    def __enter__(self) -> _Stage:
        with contextlib.ExitStack() as exits:
            socket = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="evencoat-"))) / "can.sock"
            exits.enter_context(self._children)
            hub = self._children.start("hub", "hub", "--socket", str(socket))
            if not wait_for(socket, PATIENCE_S):
                raise CampaignError(f"the hub did not start; see {self._folder / 'hub.log'}")
            self._bus = f"evencoat:{socket}"
            on = ("--line", str(self.lines[False]), "--bus", self._bus)
            plant = self._children.start("plant", "plant", *on, "--scenario", "steady-night")
            for stands_in in (hub, plant):
                with contextlib.suppress(PermissionError):
                    os.sched_setscheduler(stands_in.pid, os.SCHED_FIFO, os.sched_param(PRIORITY_OF_HARDWARE))
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._exits.close()

    def stretch(self, k: int, condition: Condition, seconds: float) -> Row:
        """Control runs for so long after its first cycles; how late it was."""
        row: Row = {"k": k, "condition": condition.name, "refused": "", "missed": 0, "took_p99_us": 0.0}
        if condition.realtime:
            row["refused"] = "; ".join(would_be_refused(Realtime(PRIORITY, lock_memory=True)))
        if row["refused"]:
            return {**row, "words": f"{condition.name}: refused"}
        journal, bare = self._folder / "journal.sqlite", self._folder / "bare.npy"
        for left in (*self._folder.glob("journal.sqlite*"), *self._folder.glob("bare.npy")):
            left.unlink()
        control = self._children.start(
            "control", "run", "--line", str(self.lines[condition.realtime]), "--bus", self._bus,
            "--mode", str(Mode.AUTO), "--journal", str(journal),
        )  # fmt: skip
        first_row = self._row_after(journal, control, SETTLED_CYCLES)
        with contextlib.ExitStack() as company:
            for load in self._loads(journal) if condition.loaded else ():
                company.enter_context(_process(*load))
            priority = PRIORITY if condition.realtime else 0
            company.enter_context(_process("bare", str(1.0 / self._hertz), str(priority), str(bare)))
            until_s = time.monotonic() + seconds
            while time.monotonic() < until_s and control.poll() is None:
                time.sleep(0.2)
        if control.poll() is not None:
            raise CampaignError(f"control ended with {control.returncode}; see {self._folder / 'control.log'}")
        self._children.stop(control)
        with JournalReader(journal) as reader:
            kept = reader.rows(("t_line_ns", "step_us", "lateness_us"), first_row, reader.last_row())
        passed = round((int(kept["t_line_ns"][-1]) - int(kept["t_line_ns"][0])) * self._hertz / 1e9)
        late = np.asarray(kept["lateness_us"], np.float64)
        np.savez(_kept(self._folder, k), loop=late, bare=np.load(bare, allow_pickle=False))
        row["missed"] = max(0, passed - (late.size - 1))
        row["took_p99_us"] = round(float(np.percentile(kept["step_us"], 99.0)), 1)
        return {**row, "words": f"{condition.name}: p99 {np.percentile(late, 99.0):.0f} us"}

    def _loads(self, journal: Path) -> tuple[tuple[str, ...], ...]:
        return ("cpu",), ("cpu",), ("disk", str(self._folder)), ("pages", str(journal))

    def _row_after(self, journal: Path, control: subprocess.Popen[bytes], cycles: int) -> int:
        """Wait until so many cycles are in the journal; the row after them."""
        until_s = time.monotonic() + COMPILED_WITHIN_S
        while time.monotonic() < until_s and control.poll() is None:
            with contextlib.suppress(JournalError, OSError), JournalReader(journal) as reader:  # being made just now
                if reader.last_row() > cycles:
                    return reader.last_row() + 1
            time.sleep(0.05)
        ended = f"control ended with {control.poll()}" if control.poll() is not None else "no cycles came"
        raise CampaignError(f"{ended}; see {self._folder / 'control.log'} and plant.log")

    def _line(self, realtime: bool) -> Path:
        """The shipped line at this rate. Lips move a whole count in a cycle at 100 Hz too."""
        text = find_line(LINE).read_text(encoding="utf-8")
        wishes = {f"\n{key} = 0.1": f"\n{key} = {1.0 / self._hertz}" for key in ("cycle_s", "sync_period_s")}
        if self._hertz > 10:
            wishes["\nrate_um_per_s = 5.0"] = "\nrate_um_per_s = 20.0"
            wishes["\npump_trim_step_pct = 0.051"] = "\npump_trim_step_pct = 0.006"
        if realtime:
            wishes["\npriority = 0 "] = f"\npriority = {PRIORITY} "
            wishes["\nlock_memory = false"] = "\nlock_memory = true"
        for found, put in wishes.items():
            if found not in text:
                raise CampaignError(f"{LINE} has no longer {found.strip()!r}")
            text = text.replace(found, put)
        path = self._folder / f"{LINE}-{self._hertz}hz{'-fifo' if realtime else ''}.toml"
        path.write_text(text, encoding="utf-8")
        load_line(path)
        return path


@contextlib.contextmanager
def _process(*what: str) -> Iterator[None]:
    """One of campaigns.loads, ended with the context."""
    process = subprocess.Popen([sys.executable, "-m", "evencoat.campaigns.loads", *what])
    try:
        yield
    finally:
        process.terminate()
        process.wait()
