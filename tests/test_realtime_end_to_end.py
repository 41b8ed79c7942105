"""A real daemon below a socket that plays systemd: when it says that it lives, and what it says of missed deadlines."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_bridge.contract import Telegram
from tests.test_end_to_end import PATIENCE_S, Scene
from tests.test_restart_end_to_end import children_of, journal, line_file, run, until

REALTIME = "\n[realtime]\npriority = 10\nlock_memory = true\ncpus = [4000]\n"


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(PATIENCE_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        yield heard


def until_told(systemd: socket.socket, what: str) -> None:
    """The next notice of a kind. Raises TimeoutError where none comes."""
    deadline_s = time.monotonic() + PATIENCE_S
    while what not in systemd.recv(4096).decode().splitlines():
        assert time.monotonic() < deadline_s, f"systemd never heard: {what}"


def quiet(systemd: socket.socket) -> int:
    """Take in all that has come; how many notices that were."""
    systemd.setblocking(False)
    come = 0
    try:
        while systemd.recv(4096):
            come += 1
    except BlockingIOError:
        return come
    finally:
        systemd.settimeout(PATIENCE_S)


def test_the_loop_itself_feeds_the_watchdog_and_tells_of_deadlines_it_missed(
    tmp_path: Path, systemd: socket.socket
) -> None:
    """Below a guard. A loop that stands still feeds nobody; one that goes on says what it missed, and feeds again."""
    scene = Scene(tmp_path)
    with scene.children:
        line = line_file(tmp_path, REALTIME)
        guard = run(scene, "guarded", line, "--guard")
        until_told(systemd, "READY=1")  # before there is a line to be heard, which may be switched off for days
        until_told(systemd, "WATCHDOG=1")
        scene.plant("--scenario", "first-shift")
        scene.until_auto()
        until_told(systemd, "WATCHDOG=1")
        (control,) = children_of(guard.pid)
        os.kill(control, signal.SIGSTOP)
        until(lambda: Path(f"/proc/{control}/stat").read_text().split()[2] == "T", scene, "a loop that stands still")
        quiet(systemd)
        since_us = scene.bystander.newest[Telegram.SYNC].fields["t_us"]
        scene.bystander.until(
            lambda m: m.telegram is Telegram.SYNC and m.fields["t_us"] >= since_us + 10e6, "10 s of line time"
        )
        assert quiet(systemd) == 0
        os.kill(control, signal.SIGCONT)
        until_told(systemd, "WATCHDOG=1")

        def overrun() -> bool:
            with journal(scene) as reader:
                return any(event.kind == "overrun" for event in reader.events())

        until(overrun, scene, "an event of missed deadlines")
        guard.terminate()
        assert guard.wait(PATIENCE_S) == 0
        until_told(systemd, "STOPPING=1")
        scene.bystander.close()
    with journal(scene) as reader:
        told = [(event.kind, event.text) for event in reader.events()]
    assert any(kind == "alarm" and text.startswith("realtime.cpus = [4000]: ") for kind, text in told)
    assert all(int(text.split()[0]) > 0 for kind, text in told if kind == "overrun")
