"""The demo: hub, plant and daemon as separate processes on one bus, then the same line under its rivals.

Everything it shows is kept in runs/<time>/: frame log, journals, truth, summary.json, report.html.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from evencoat import serve_command
from evencoat.errors import RunFailed
from evencoat.journal import JournalReader
from evencoat.league.rivals import Rival
from evencoat.processes import wait_for
from evencoat.recording import load_truth
from evencoat.settings import Settings, load_line
from evencoat.simulate import Plan, score_truth, simulate
from evencoat.wire_checker import WireChecker, check_log
from plant_sim.scenario import Scenario

STOP_PATIENCE_S = 10.0
PAGE_PATIENCE_S = 20.0
HUB_PATIENCE_S = 60.0  # a busy machine takes its time to start a process
Say = Callable[[str, float, str], None]  # (what is running, share done, words)


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """What the demo plays. `controller` closes the loop over the bus, `beside` run in lockstep with the same seed."""

    line: str
    scenario: str
    controller: Rival
    beside: tuple[Rival, ...]
    minutes: float
    seed: int
    speed: float
    runs: Path


def run_demo(plan: DemoPlan, say: Say) -> tuple[Path, dict[str, Any]]:
    """Play the demo. Returns the run's folder and its summary. Raises RunFailed, SettingsError or ScenarioError."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # as Ctrl-C: ends what was started
    settings, scenario = load_line(plan.line), Scenario.load(plan.scenario)
    run_dir = plan.runs / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    run_dir.mkdir(parents=True)
    controllers: dict[str, dict[str, Any]] = {}
    controllers[str(plan.controller)] = _over_the_bus(plan, settings, scenario, run_dir, say)
    controllers.update(_beside(plan, run_dir, say))
    order = [str(rival) for rival in Rival]
    summary = {
        "line": settings.line.name,
        "scenario": scenario.name,
        "seed": plan.seed,
        "minutes": plan.minutes,
        "speed_factor": plan.speed,
        "over_the_bus": str(plan.controller),
        "tolerance_pct": settings.line.target.tolerance_pct,
        "target_gsm": settings.line.target.areal_density_gsm,
        "controllers": {name: controllers[name] for name in order if name in controllers},
    }
    (run_dir / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    say("report", 0.0, "drawing the report")
    from evencoat.report import build_report  # draws with matplotlib, which takes half a second to import

    build_report(run_dir)
    say("report", 1.0, "report drawn")
    return run_dir, summary


def _over_the_bus(plan: DemoPlan, settings: Settings, scenario: Scenario, run_dir: Path, say: Say) -> dict[str, Any]:
    """The loop closed between three processes; returns the figures of what was really coated and sent."""
    own_dir = run_dir / str(plan.controller)
    own_dir.mkdir()
    frames, journal, truth = run_dir / "frames.log", own_dir / "journal.sqlite", own_dir / "truth.npz"
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="evencoat-") as folder, Children(run_dir) as children:
        socket = Path(folder) / "can.sock"
        bus = f"evencoat:{socket}"
        hub = children.start("hub", "hub", "--socket", str(socket), "--log", str(frames))
        if not wait_for(socket, HUB_PATIENCE_S):
            raise RunFailed(f"the hub did not start; see {run_dir / 'hub.log'}")
        line = ("--line", str(settings.path), "--bus", bus)
        daemon = children.start(
            "daemon", "run", *line, "--mode", "auto", "--controller", str(plan.controller), "--journal", str(journal),
            "--rearm-always",  # at twenty times real time nodes latch after a tenth of a second of a busy machine
        )  # fmt: skip
        plant = children.start(
            "plant", "plant", *line, "--scenario", plan.scenario, "--seed", str(plan.seed), "--speed", str(plan.speed),
            "--minutes", str(plan.minutes), "--truth", str(truth),
        )  # fmt: skip
        _follow(plan, children, plant, (daemon, hub), journal, say)
        children.stop(daemon)
        children.stop(hub)
    wall_s = time.monotonic() - began_s
    say("checking", 0.0, "checking every command in the frame log")
    return _figures(plan, settings, scenario, (frames, journal, truth), wall_s)


def _figures(
    plan: DemoPlan, settings: Settings, scenario: Scenario, files: tuple[Path, Path, Path], wall_s: float
) -> dict[str, Any]:
    frames, journal, truth_path = files
    truth = load_truth(truth_path)
    checker: WireChecker = check_log(settings, frames)
    cycles = JournalReader(journal).cycle_count()
    return {
        "line": settings.line.name,
        "scenario": scenario.name,
        "controller": str(plan.controller),
        "seed": plan.seed,
        "minutes": plan.minutes,
        **score_truth(settings, scenario, truth).as_dict(),
        "bolt_travel_um": float(truth["bolt_travel_um"][-1]),
        "limit_violations": checker.violations,
        "first_violation": checker.first,
        "commands": checker.commands,
        "cycles": cycles,
        "wall_s": wall_s,
        "realtime_factor": plan.minutes * 60.0 / wall_s,
    }


def _follow(
    plan: DemoPlan,
    children: Children,
    plant: subprocess.Popen[bytes],
    others: tuple[subprocess.Popen[bytes], ...],
    journal: Path,
    say: Say,
) -> None:
    """Tell what the journal says until the plant has played its time."""
    shown = bool(serve_command.missing())
    while plant.poll() is None:
        for child in others:
            if child.poll() is not None:
                raise RunFailed(f"a process ended with {child.returncode} while the plant ran; see {children.logs}")
        minute, words = _glimpse(journal)
        say("bus", min(1.0, minute / plan.minutes), words)
        if not shown and minute > 0.0:
            shown = True
            children.start("page", "serve", str(journal), "--port", "0")
            say("page", 0.0, _address(children.logs / "page.log"))
        time.sleep(0.25)
    if plant.returncode != 0:
        raise RunFailed(f"the plant ended with {plant.returncode}; see {children.logs / 'plant.log'}")
    say("bus", 1.0, "")


def _address(log: Path) -> str:
    """Where the page says that it is; where it says nothing, where to look why."""
    deadline_s = time.monotonic() + PAGE_PATIENCE_S
    while time.monotonic() < deadline_s:
        found = re.search(r"http://\S+", log.read_text(encoding="utf-8"))
        if found is not None:
            return f"watch it at {found.group()}"
        time.sleep(0.1)
    return f"the page did not start; see {log}"


def _glimpse(journal: Path) -> tuple[float, str]:
    """Minute of line time and a few words about the newest cycle in the journal."""
    if not journal.exists():
        return 0.0, "starting"
    try:
        newest = JournalReader(journal).newest()
    except Exception:  # the daemon is just creating the file; the next glimpse will do
        return 0.0, "starting"
    if newest is None:
        return 0.0, "starting"
    return newest.t_line_ns / 60e9, f"{newest.mode_actual}: profile within {newest.worst_pct:.1f} % of target"


def _beside(plan: DemoPlan, run_dir: Path, say: Say) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rivals on the same line, scenario and seed, in lockstep, two at a time."""
    with ProcessPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        jobs = {rival: pool.submit(_one_beside, plan, rival, run_dir) for rival in plan.beside}
        try:
            for done, (rival, job) in enumerate(jobs.items(), start=1):
                say("beside", (done - 1) / len(jobs), f"the same line and seed under {rival}")
                yield str(rival), job.result()
                say("beside", done / len(jobs), f"the same line and seed under {rival}")
        except BaseException:  # the pool would wait for what nobody wants any more
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise


def _one_beside(plan: DemoPlan, rival: Rival, run_dir: Path) -> dict[str, Any]:
    settings, scenario = load_line(plan.line), Scenario.load(plan.scenario)
    return simulate(Plan(settings, scenario, rival, plan.minutes, plan.seed), run_dir / str(rival)).figures


class Children:
    """Processes that end with us, however we end: each stops when its standard input does, and that is a pipe from us.

    Each one's output goes to <name>.log in the run's folder.
    """

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *exc: object) -> None:
        for child in reversed(self._running):
            self.stop(child)

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `evencoat ARGUMENTS` as a process of its own. It does not see our Ctrl-C: we end it ourselves."""
        with (self.logs / f"{name}.log").open("wb") as out, _interrupted_later():
            child = subprocess.Popen(
                [sys.executable, "-m", "evencoat", *arguments, "--stop-on-eof"],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=_environment(os.environ),
                start_new_session=True,
            )
            self._running.append(child)
        return child

    def stop(self, child: subprocess.Popen[bytes]) -> None:
        """SIGTERM, patience, SIGKILL."""
        if child.poll() is None:
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(STOP_PATIENCE_S)
        if child.poll() is None:
            child.kill()
            child.wait()


@contextlib.contextmanager
def _interrupted_later() -> Iterator[None]:
    """Ctrl-C waits until this is over: a process that was started but not yet noted would be nobody's to end."""
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """One BLAS thread each: the arrays are small and the processes share few cores."""
    return {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", **own}
