"""The real thing: hub, plant and daemon as processes of their own, watched over the bus as anyone else could.

Nothing here waits for a time to pass: it waits for what must come, and gives up loudly when it does not.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import can
import cantools
import numpy as np
import pytest

from controller.line.command import Mode
from evencoat.demo import Children
from evencoat.journal import JournalReader
from evencoat.processes import wait_for
from evencoat.settings import compile_codec, load_line
from firmware_bridge.bus_pythoncan import open_bus
from firmware_bridge.contract import SHIPPED_DBC, Node, NodeState, Telegram
from firmware_bridge.link import Message, Receiver
from tests.test_demo import hear_ctrl_c

PATIENCE_S = 60.0  # of wall time, for something that takes a second on an idle machine
SPEED = 10.0


class Bystander:
    """Someone else on the bus: hears every telegram, says nothing."""

    def __init__(self, address: str, line: str) -> None:
        settings = load_line(line)
        codec = compile_codec(settings)
        self._bus = open_bus(address, settings.wire)
        self._receiver = Receiver(codec, [t for t in Telegram if codec.carries(t)], {})
        self.newest: dict[Telegram, Message] = {}
        self.node_states: dict[int, int] = {}

    def until(self, seen: Callable[[Message], bool], what: str) -> Message:
        """Listen until a telegram satisfies `seen`."""
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            self._bus.wait(0.2)
            for frame in self._bus.receive():
                message = self._receiver.feed(frame, 0.0)
                if message is None:
                    continue
                self.newest[message.telegram] = message
                if message.telegram is Telegram.HEARTBEAT:
                    self.node_states[message.node] = int(message.fields["state"])
                if seen(message):
                    return message
        pytest.fail(f"within {PATIENCE_S:g} s nobody saw: {what}")

    def close(self) -> None:
        self._bus.close()


class Scene:
    """Hub and plant on a fresh socket; daemons come and go."""

    def __init__(self, folder: Path, line: str = "pilot-16") -> None:
        self.folder, self.line = folder, line
        self.socket = folder / "can.sock"
        self.address = f"evencoat:{self.socket}"
        self.children = Children(folder)
        self.hub = self.children.start("hub", "hub", "--socket", str(self.socket), "--log", str(folder / "frames.log"))
        assert wait_for(self.socket, PATIENCE_S), "the hub did not open its socket"
        self.bystander = Bystander(self.address, line)

    def plant(self, *more: str) -> subprocess.Popen[bytes]:
        arguments = ("--line", self.line, "--bus", self.address, "--speed", str(SPEED), *more)
        return self.children.start("plant", "plant", *arguments)

    def daemon(self, name: str, mode: str = "auto", *more: str) -> subprocess.Popen[bytes]:
        journal = str(self.folder / f"{name}.sqlite")
        arguments = ("--line", self.line, "--bus", self.address, "--mode", mode, "--journal", journal, *more)
        return self.children.start(name, "run", *arguments)

    def journal(self, name: str) -> JournalReader:
        return JournalReader(self.folder / f"{name}.sqlite")

    def until_auto(self) -> None:
        """Commands flow, and the pump node follows them."""
        self.bystander.until(lambda m: m.telegram is Telegram.DIE_COMMAND, "a command")
        self.bystander.until(pump_is(NodeState.OPERATING), "a pump that follows")


def pump_is(state: NodeState) -> Callable[[Message], bool]:
    return lambda m: m.telegram is Telegram.PUMP_FEEDBACK and m.fields["node_state"] == state


def test_a_killed_daemon_is_survived_and_replaced_without_a_bump(scene: Scene) -> None:
    """kill -9: the nodes hold within their time-out and latch; the next daemon takes over where the lips stand."""
    scene.plant("--scenario", "first-shift")
    first = scene.daemon("first")
    scene.until_auto()
    scene.bystander.until(
        lambda m: m.telegram is Telegram.DIE_FEEDBACK and float(np.ptp(np.asarray(m.fields["gap_um"]))) > 4.0,
        "lips that have moved",
    )
    os.kill(first.pid, signal.SIGKILL)
    last = scene.bystander.newest[Telegram.DIE_COMMAND]
    held = scene.bystander.until(pump_is(NodeState.HOLDING), "a pump that holds")
    last = scene.bystander.newest.get(Telegram.DIE_COMMAND, last)
    cycles = held.scan_id - (last.scan_id - 3)  # a command is valid for three SYNC cycles after the one it answers
    assert cycles <= 3 + 3, "held within three command periods of the last command, and what was under way"
    scene.bystander.until(pump_is(NodeState.LATCHED), "a pump that latches")
    stood = scene.bystander.until(lambda m: m.telegram is Telegram.DIE_FEEDBACK, "feedback")
    scene.daemon("second")
    taken = scene.bystander.until(lambda m: m.telegram is Telegram.DIE_COMMAND, "a command of the second daemon")
    bump = np.abs(np.asarray(taken.fields["gap_um"]) - np.asarray(stood.fields["gap_um"])).max()
    assert bump <= load_line(scene.line).line.lips.command_step_um + 1e-9
    scene.bystander.until(pump_is(NodeState.OPERATING), "a pump that follows again")


def test_a_daemon_that_was_stalled_takes_over_again_where_that_was_agreed_and_without_a_bump(scene: Scene) -> None:
    """Its process stands still until the nodes latch; then it goes on, re-arms them and starts where the lips are."""
    scene.plant("--scenario", "first-shift")
    daemon = scene.daemon("stalled", "auto", "--rearm-always")
    scene.until_auto()
    scene.bystander.until(lambda m: m.telegram is Telegram.SYNC and m.fields["t_us"] > 20e6, "20 s of line time")
    os.kill(daemon.pid, signal.SIGSTOP)
    scene.bystander.until(pump_is(NodeState.LATCHED), "a pump that latches")
    stood = scene.bystander.until(lambda m: m.telegram is Telegram.DIE_FEEDBACK, "feedback")
    os.kill(daemon.pid, signal.SIGCONT)
    scene.bystander.until(pump_is(NodeState.OPERATING), "a pump that follows again")
    taken = scene.bystander.newest[Telegram.DIE_COMMAND]
    lips = load_line(scene.line).line.lips
    steps = 3 * lips.rate_um_per_s * load_line(scene.line).line.control.cycle_s  # a few cycles may have gone by
    assert np.abs(np.asarray(taken.fields["gap_um"]) - np.asarray(stood.fields["gap_um"])).max() <= steps


def test_a_listening_daemon_sends_nothing(scene: Scene) -> None:
    scene.plant()
    daemon = scene.daemon("listener", "advisory")
    scene.bystander.until(lambda m: m.telegram is Telegram.SYNC and m.fields["t_us"] > 60e6, "a minute of line time")
    mapped = Path(f"/proc/{daemon.pid}/maps").read_text()
    assert "numpy" in mapped and "llvmlite" not in mapped and "torch" not in mapped  # no compiler in control
    daemon.terminate()
    assert daemon.wait(PATIENCE_S) == 0
    assert Telegram.DIE_COMMAND not in scene.bystander.newest
    assert Telegram.PUMP_COMMAND not in scene.bystander.newest
    assert Node.CONTROLLER not in scene.bystander.node_states
    with scene.journal("listener") as journal:
        modes = set(journal.cycles()["mode_actual"])
    assert modes == {str(Mode.ADVISORY)}


def test_anyone_can_log_the_bus_and_reads_what_the_journal_says(scene: Scene, tmp_path: Path) -> None:
    """python-can's own logger attaches to the hub; cantools and our DBC decode its log to the journal's commands."""
    log = tmp_path / "bystander.log"
    logger = subprocess.Popen(
        [sys.executable, "-m", "can.logger", "-i", "evencoat", "-c", str(scene.socket), "--fd", "-f", str(log)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        preexec_fn=hear_ctrl_c,  # noqa: PLW1509  (no threads here yet)
    )
    assert wait_for(log, PATIENCE_S), "the logger did not start"
    scene.plant()
    daemon = scene.daemon("logged")
    scene.until_auto()
    scene.bystander.until(lambda m: m.telegram is Telegram.SYNC and m.fields["t_us"] > 40e6, "40 s of line time")
    daemon.terminate()
    assert daemon.wait(PATIENCE_S) == 0
    logger.send_signal(signal.SIGINT)
    logger.wait(PATIENCE_S)
    logged = commands_in(log)
    with scene.journal("logged") as journal:
        cycles = journal.cycles()
    sent = np.flatnonzero(cycles["sent"])
    journalled = {int(cycles["valid_until_cycle"][k]): cycles["gap_target_um"][k] for k in sent}
    common = logged.keys() & journalled.keys()
    assert len(common) >= 100
    for cycle in common:
        assert np.abs(logged[cycle] - journalled[cycle]).max() < 0.05, f"command valid until {cycle}"


def commands_in(log: Path) -> dict[int, np.ndarray]:
    """Lip targets by the SYNC cycle they are valid until, decoded by cantools from a log that python-can wrote."""
    database = cantools.database.load_file(SHIPPED_DBC)
    message = database.get_message_by_name("DIE_CMD_0")
    scan_id = next(name for name in message.signal_tree if "ScanId" in name)
    targets: dict[int, np.ndarray] = {}
    with can.LogReader(log) as frames:
        for frame in frames:
            if frame.arbitration_id == message.frame_id:
                values = message.decode(bytes(frame.data))
                targets[int(values[scan_id])] = np.array([values[f"GapTarget_{zone:03d}"] for zone in range(16)])
    return targets


def test_a_line_is_commissioned_over_the_bus(scene: Scene) -> None:
    """The real process, hub and plant: what is found is what the rehearsal finds, and the nodes hold afterwards."""
    scene.plant("--scenario", "steady-night")
    scene.bystander.until(lambda m: m.telegram is Telegram.SYNC, "a line")
    call = [sys.executable, "-m", "evencoat", "commission", "--line", scene.line, "--bus", scene.address, "--yes"]
    done = subprocess.run(
        [*call, "--out", str(scene.folder / "found"), "--json"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["model"]["gauges"]["wet_distance_m"] == pytest.approx(2.0, rel=0.02)
    assert found["spent_m"] <= found["budget_m"] and found["dead_bolts"] == []
    scene.bystander.until(pump_is(NodeState.LATCHED), "a pump that holds by itself")
