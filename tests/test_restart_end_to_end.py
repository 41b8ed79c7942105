"""Real daemons that are killed, fill their disk, and start again: what the bus hears and what the journal says.

Nothing here waits for a time to pass: it waits for what must come, and gives up loudly when it does not.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from evencoat.journal import JournalReader, What
from evencoat.settings import find_line
from firmware_bridge.contract import NodeState, Telegram
from tests.test_end_to_end import PATIENCE_S, Scene, pump_is

RESUME = '\n[restart]\npolicy = "resume"\nsnapshot_s = 0.2\n'


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    with made.children:
        yield made
        made.bystander.close()


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
