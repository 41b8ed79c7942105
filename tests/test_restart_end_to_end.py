"""Real daemons that are killed, fill their disk, and start again: what the bus hears and what the journal says.

Nothing here waits for a time to pass: it waits for what must come, and gives up loudly when it does not.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from evencoat.journal import JournalReader, What
from evencoat.settings import find_line
from evencoat.snapshot.file import path_beside
from firmware_bridge.contract import NodeState, Telegram
from tests.test_end_to_end import PATIENCE_S, Scene, pump_is

RESUME = '\n[restart]\npolicy = "resume"\nsnapshot_s = 0.2\n'


def line_file(folder: Path, more: str) -> Path:
    path = folder / "line.toml"
    path.write_text(find_line("pilot-16").read_text(encoding="utf-8") + more, encoding="utf-8")
    return path


def run(scene: Scene, name: str, line: Path, *more: str) -> subprocess.Popen[bytes]:
    """A daemon asked for AUTO, with the journal that all of a test's daemons share."""
    arguments = ("--line", str(line), "--bus", scene.address, "--mode", "auto", *more)
    return scene.children.start(name, "run", *arguments, "--journal", str(scene.folder / "one.sqlite"))


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def until(seen: Callable[[], bool], scene: Scene, what: str) -> None:
    """Hear the bus until something elsewhere is so."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not seen():
        assert time.monotonic() < deadline_s, f"nobody saw: {what}"
        scene.bystander.until(lambda m: m.telegram is Telegram.SYNC, "SYNC")


def journal(scene: Scene) -> JournalReader:
    return JournalReader(scene.folder / "one.sqlite")


def starts(scene: Scene) -> int:
    """How many runs have their first cycle in the journal."""
    with journal(scene) as reader:
        return int((reader.cycles(("cycle",))["cycle"] == 0).sum())


def test_a_guard_brings_control_back_which_holds_takes_over_what_it_knew_and_resumes(scene: Scene) -> None:
    """Killed at five moments: each time the chain holds, HOLD comes first, the web is known, and AUTO comes back."""
    line = line_file(scene.folder, RESUME)
    scene.plant("--scenario", "first-shift")
    guard = run(scene, "guarded", line, "--guard")
    scene.until_auto()
    until(lambda: path_beside(scene.folder / "one.sqlite").is_file(), scene, "a snapshot")
    until(lambda: starts(scene) == 1, scene, "the first's first cycle")
    moments = np.random.default_rng(8).uniform(0.0, 4.0, 5)
    for kills, moment_s in enumerate(moments, 1):
        since = scene.bystander.newest[Telegram.SYNC].fields["t_us"]
        scene.bystander.until(
            lambda m, moment_s=moment_s, since=since: (
                m.telegram is Telegram.SYNC and m.fields["t_us"] >= since + 1e6 * moment_s
            ),
            "line time",
        )
        (control,) = children_of(guard.pid)
        os.kill(control, signal.SIGKILL)
        until(lambda control=control: children_of(guard.pid) not in ([control], []), scene, "another control process")

        def runs_in_auto(runs: int = kills + 1) -> bool:
            with journal(scene) as reader:
                kept = reader.cycles(("cycle", "mode_actual"))
            starts = np.flatnonzero(kept["cycle"] == 0)
            return starts.size == runs and "auto" in kept["mode_actual"][starts[-1] :]

        until(runs_in_auto, scene, "AUTO again")
    guard.terminate()
    assert guard.wait(PATIENCE_S) == 0
    with journal(scene) as reader:
        verdict, records = reader.verify(), reader.audit()
        cycles = reader.cycles(("cycle", "mode_actual", "gap_um", "gap_target_um"))
        rows = reader.row_numbers()
    assert verdict.ok, verdict.broken
    assert rows.tolist() == list(range(1, rows.size + 1))
    firsts = np.flatnonzero(cycles["cycle"] == 0)
    assert firsts.size == 6 and set(cycles["mode_actual"][firsts[1:]]) == {"hold"}
    bumps_um = np.abs(cycles["gap_target_um"] - cycles["gap_um"])[firsts[1:]].max(axis=1)
    assert (bumps_um <= 0.05 + 1e-3).all(), bumps_um  # half a count of what is fed back; the journal has float32
    restored = [record.new for record in records if record.what == What.RESTORE]
    assert len(restored) == 5 and sum(words.startswith("everything") for words in restored) >= 4, restored
    assert records[-1].what == What.STOP


def test_by_default_nobody_moves_after_a_crash_until_a_person_has_asked(scene: Scene) -> None:
    """Policy hold: killed, it holds; stopped and started by a person, it runs."""
    line = line_file(scene.folder, "")
    scene.plant()
    first = run(scene, "first", line)
    scene.until_auto()
    until(lambda: starts(scene) == 1, scene, "the first's first cycle")
    first.kill()
    first.wait()
    scene.bystander.until(pump_is(NodeState.LATCHED), "a pump that latches")
    second = run(scene, "second", line)
    scene.bystander.until(lambda m: m.telegram is Telegram.DIE_COMMAND, "a command that holds")
    until(lambda: starts(scene) == 2, scene, "the second's first cycle")
    with journal(scene) as reader:
        why = [record.why for record in reader.audit() if record.what == What.START]
    assert "a person has to ask again" in why[-1]
    second.terminate()
    assert second.wait(PATIENCE_S) == 0
    with journal(scene) as reader:
        cycles = reader.cycles(("cycle", "mode_actual", "mode_requested"))
    after = np.flatnonzero(cycles["cycle"] == 0)[-1]
    assert set(cycles["mode_actual"][after:]) == {"hold"} == set(cycles["mode_requested"][after:])
    run(scene, "third", line)
    scene.until_auto()


def test_when_the_guard_dies_control_stops_by_itself(scene: Scene) -> None:
    line = line_file(scene.folder, RESUME)
    scene.plant()
    guard = run(scene, "guarded", line, "--guard")
    scene.until_auto()
    (control,) = children_of(guard.pid)
    guard.kill()
    guard.wait()
    until(lambda: not Path(f"/proc/{control}").exists(), scene, "the end of control")
    with journal(scene) as reader:
        assert reader.audit()[-1].what == What.STOP


def test_a_call_that_cannot_work_is_not_tried_again(tmp_path: Path) -> None:
    call = [
        sys.executable,
        "-m",
        "evencoat",
        "run",
        "--line",
        "pilot-16",
        "--bus",
        f"evencoat:{tmp_path}/none",
        "--guard",
    ]
    done = subprocess.run(call, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr.count("error:") == 1


def test_a_full_disk_does_not_stop_control_and_costs_the_oldest_cycles_only(scene: Scene) -> None:
    """A limit on the size of files stands in for the disk: the kernel refuses every write beyond it."""
    line = line_file(scene.folder, "")
    scene.plant("--speed", "8")
    limit = 1_200_000
    code = (
        f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
        "from evencoat.journal import writer; writer.RESERVE_BYTES = 4096; writer.CHECKPOINT_BYTES = 200_000; "
        "sys.argv[0] = 'evencoat'; from evencoat.cli import main; main()"
    )
    path = scene.folder / "one.sqlite"
    arguments = ["run", "--line", str(line), "--bus", scene.address, "--mode", "auto", "--journal", str(path)]
    with (scene.folder / "full.log").open("wb") as out:
        daemon = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=out, stderr=out)
    try:
        scene.until_auto()

        def alarmed() -> bool:
            with JournalReader(path) as reader:
                return sum(event.kind == "alarm" for event in reader.events()) >= 3

        until(alarmed, scene, "three alarms of a full disk")
        scene.bystander.until(lambda m: m.telegram is Telegram.DIE_COMMAND, "a command, still")
        with JournalReader(path) as reader:
            seen = reader.last_row()

        def grown() -> bool:
            with JournalReader(path) as reader:
                return reader.last_row() > seen + 50

        until(grown, scene, "cycles that are still written")
    finally:
        daemon.terminate()
        assert daemon.wait(PATIENCE_S) == 0
    with JournalReader(path) as reader:
        verdict, records, rows = reader.verify(), reader.audit(), reader.row_numbers()
    assert verdict.ok, verdict.broken
    assert [record.what for record in records if record.what != What.PRUNE] == ["start", "stop"]
    pruned = [json.loads(record.new)["cycles_from"] for record in records if record.what == What.PRUNE]
    assert pruned == sorted(pruned) and len(pruned) >= 3
    assert rows[0] == pruned[-1] and rows.size == rows[-1] - rows[0] + 1
    assert path.stat().st_size <= limit
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != limit
