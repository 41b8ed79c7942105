"""sd_notify over a real datagram socket, and the unit that is shipped."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from evencoat.systemd import Notifier, unit


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket as systemd has it, and its name as NOTIFY_SOCKET gives it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@evencoat-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        heard.setblocking(False)
        yield heard, name


def notices(heard: socket.socket) -> list[str]:
    """All that has come."""
    come: list[str] = []
    while True:
        try:
            come.append(heard.recv(4096).decode())
        except BlockingIOError:
            return come


def test_notices_arrive_as_systemd_reads_them(systemd: tuple[socket.socket, str]) -> None:
    heard, name = systemd
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.tell(READY="1", STATUS="line-40: runs, hold at the start")
    notifier.alive()  # nobody watches
    assert notices(heard) == ["READY=1\nSTATUS=line-40: runs, hold at the start"]
    notifier.close()
    notifier.tell(STOPPING="1")
    assert notices(heard) == []


@pytest.mark.parametrize("meant", [None, os.getpid(), os.getppid()])
def test_a_watchdog_is_fed_four_times_in_its_patience(systemd: tuple[socket.socket, str], meant: int | None) -> None:
    heard, name = systemd
    now_s = [50.0]
    environment = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "2000000"}
    if meant is not None:
        environment["WATCHDOG_PID"] = str(meant)
    notifier = Notifier(environment, lambda: now_s[0])
    for _ in range(100):  # a second at 100 Hz
        notifier.alive()
        now_s[0] += 0.01
    assert notices(heard) == ["WATCHDOG=1"] * 2
    notifier.close()


@pytest.mark.parametrize("more", [{"WATCHDOG_PID": "4194304"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "often"}])
def test_a_watchdog_of_somebody_else_is_not_fed(systemd: tuple[socket.socket, str], more: dict[str, str]) -> None:
    heard, name = systemd
    environment = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid()), **more}
    Notifier(environment).alive()
    assert notices(heard) == []


def test_nobody_there_and_a_full_socket_are_borne(tmp_path: Path) -> None:
    Notifier({}).tell(READY="1")
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell(READY="1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "full"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "full")})
        for _ in range(2000):
            notifier.tell(STATUS="x" * 2000)
        heard.setblocking(False)
        assert 0 < len(notices(heard)) < 2000


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    text = unit("/bin/true")
    assert "ExecStart=/bin/true run --line /etc/evencoat/%i.toml" in text
    for asked in ("Type=notify", "WatchdogSec=", "LimitRTPRIO=", "LimitMEMLOCK=infinity", "Restart=always"):
        assert f"\n{asked}" in text
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    path = tmp_path / "evencoat@.service"
    path.write_text(text)
    verify = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False)
    assert verify.returncode == 0 and "evencoat@" not in verify.stderr, verify.stderr
