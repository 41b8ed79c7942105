"""`evencoat doctor` on machines made by hand: what the kernel says, in files, and what `ip` prints."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evencoat import keys
from evencoat.cli import app
from evencoat.doctor import Finding, Level, Machine, examine
from evencoat.journal import Retention
from evencoat.realtime import Realtime
from evencoat.settings import Settings, load_line
from firmware_bridge.contract import AuthDescription

GOOD = {
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "performance\n",
    "sys/devices/system/cpu/isolated": "2-3,6\n",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
    "sys/kernel/realtime": "1\n",
    "proc/sys/kernel/sched_rt_runtime_us": "950000\n",
    "proc/self/mounts": "/dev/sda1 / ext4 rw 0 0\n",
}
CAN0: dict[str, Any] = {
    "ifname": "can0",
    "flags": ["NOARP", "UP", "LOWER_UP", "ECHO"],
    "mtu": 72,
    "txqlen": 1000,
    "linkinfo": {
        "info_kind": "can",
        "info_data": {
            "state": "ERROR-ACTIVE",
            "restart_ms": 100,
            "ctrlmode": ["FD"],
            "bittiming": {"bitrate": 500_000},
            "data_bittiming": {"bitrate": 2_000_000},
        },
    },
}


def machine(folder: Path, link: object = CAN0, synchronised: bool = True, **files: str | None) -> Machine:
    """A good machine but for `files` (path with __ for / : content, or None for no such file)."""
    for path, text in {**GOOD, **{name.replace("__", "/"): text for name, text in files.items()}}.items():
        file = folder / "root" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            file.unlink(missing_ok=True)
        else:
            file.write_text(text)

    def output(command: Sequence[str]) -> str | None:
        assert command == ["ip", "-json", "-details", "link", "show", "dev", "can0"]
        return None if link is None else json.dumps([link])

    return Machine(folder / "root", output, lambda: 0x2001 if synchronised else 0x40, frozenset(range(8)))


def settings() -> Settings:
    found = load_line("line-40")
    return replace(found, retention=Retention(30.0, 1_000_000))


def told(folder: Path, on: Machine, about: Settings | None = None, bus: str = "socketcan:can0") -> list[Finding]:
    """What is not in order, Python and the disk's speed aside: they are this machine's own."""
    found = examine(about or settings(), bus, folder / "week.sqlite", machine=on)
    return [one for one in found if one.level is not Level.OK and one.subject not in ("python", "fsync")]


def test_nothing_is_said_against_a_good_machine(tmp_path: Path) -> None:
    on = machine(tmp_path)
    assert told(tmp_path, on) == []
    subjects = [one.subject for one in examine(settings(), "socketcan:can0", tmp_path / "week.sqlite", machine=on)]
    assert subjects == [
        "python", "governor", "processors", "kernel", "clock source", "wall clock", "realtime", "disk", "fsync", "bus",
        "keys", "model",
    ]  # fmt: skip
    assert list(tmp_path.glob(".evencoat-doctor*")) == []


@pytest.mark.parametrize(
    ("files", "subject", "found"),
    [
        ({"sys__devices__system__cpu__cpu1__cpufreq__scaling_governor": "powersave"}, "governor", "powersave"),
        ({"sys__devices__system__clocksource__clocksource0__current_clocksource": "hpet"}, "clock source", "hpet"),
        ({"sys__devices__system__clocksource__clocksource0__current_clocksource": None}, "clock source", "unknown"),
        ({"proc__self__mounts": "/dev/sda1 / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0"}, "disk", "is tmpfs"),
    ],
)
def test_what_makes_a_machine_worse_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str | None], subject: str, found: str
) -> None:
    if not tmp_path.is_relative_to("/tmp"):
        files = {path: text and text.replace("/tmp", str(tmp_path)) for path, text in files.items()}
    (one,) = told(tmp_path, machine(tmp_path, **files))
    assert (one.subject, one.level) == (subject, Level.WARN)
    assert found in one.found and one.advice


def test_a_journal_over_a_network_or_nowhere_is_a_failure(tmp_path: Path) -> None:
    on = machine(tmp_path, proc__self__mounts=f"/dev/sda1 / ext4 rw 0 0\nserver:/v {tmp_path} nfs4 rw 0 0")
    (one,) = told(tmp_path, on)
    assert one.level is Level.FAIL and one.found == f"{tmp_path} is nfs4"
    (one,) = told(tmp_path / "none", machine(tmp_path))
    assert one.level is Level.FAIL and "mkdir -p" in one.advice


def test_a_disk_smaller_than_the_journal_may_grow_is_a_warning(tmp_path: Path) -> None:
    big = replace(settings(), retention=Retention(30.0, 10**18))
    (one,) = told(tmp_path, machine(tmp_path), big)
    assert (one.subject, one.level) == ("disk", Level.WARN) and "journal.max_mb" in one.advice


def test_a_wall_clock_that_nobody_sets_is_a_warning(tmp_path: Path) -> None:
    (one,) = told(tmp_path, machine(tmp_path, synchronised=False))
    assert (one.subject, one.found) == ("wall clock", "not synchronised")
    own = Machine().time_status()
    assert own is not None and 0 <= own < 1 << 16


def test_what_realtime_asks_for_and_will_not_get_is_a_failure(tmp_path: Path) -> None:
    """Processor 6 is isolated on the machine made by hand, and 4000 is nowhere: the kernel refuses it for real."""
    asked = replace(settings(), realtime=Realtime(cpus=(6, 4000)))
    found = {one.subject: one for one in told(tmp_path, machine(tmp_path), asked)}
    assert found["processors"].level is Level.WARN and "isolcpus=6,4000" in found["processors"].advice
    before = os.sched_getaffinity(0)
    impossible = replace(settings(), realtime=Realtime(cpus=(4000,)))
    (one,) = [one for one in told(tmp_path, machine(tmp_path), impossible) if one.subject == "realtime"]
    assert one.level is Level.FAIL and "Invalid argument" in one.found and "name some of" in one.advice
    assert os.sched_getaffinity(0) == before


def test_a_fast_cycle_wants_a_kernel_that_preempts_and_a_way_in(tmp_path: Path) -> None:
    line = settings().line
    fast = replace(line, control=replace(line.control, cycle_s=0.01))
    on = machine(tmp_path, sys__kernel__realtime=None, proc__sys__kernel__sched_rt_runtime_us="-1")
    found = told(tmp_path, on, replace(settings(), line=fast, realtime=Realtime(priority=1)))
    kernel = [one.found for one in found if one.subject == "kernel"]
    assert kernel == ["an ordinary one, for a cycle of 10 ms", "real-time threads may take all of a processor"]


def changed(**data: object) -> dict[str, Any]:
    info = {**CAN0["linkinfo"]["info_data"], **data}
    return {**CAN0, "linkinfo": {"info_kind": "can", "info_data": info}}


@pytest.mark.parametrize(
    ("link", "level", "found", "advice"),
    [
        (None, Level.FAIL, "can0: no such network interface", "plugged in"),
        ({**CAN0, "flags": []}, Level.FAIL, "can0 is down", "ip link set can0 up"),
        ({**CAN0, "linkinfo": {}}, Level.FAIL, "can0 is no CAN interface", "calls can"),
        ({**CAN0, "linkinfo": {"info_kind": "vcan"}}, Level.WARN, "can0 is virtual (vcan)", "nothing but programs"),
        ({**CAN0, "txqlen": 10}, Level.WARN, "can0: transmit queue of 10 frames", "txqueuelen 1000"),
        ({**CAN0, "mtu": 16}, Level.FAIL, "can0: classic CAN only (mtu 16)", "fd on"),
        (
            changed(bittiming={"bitrate": 250_000}),
            Level.FAIL,
            "can0: bit rate 250000 bit/s, the line has 500000",
            "bitr",
        ),
        (changed(data_bittiming={}), Level.FAIL, "can0: data bit rate None bit/s, the line has 2000000", "dbitrate"),
        (changed(restart_ms=0), Level.WARN, "can0: does not restart after bus-off (restart-ms 0)", "restart-ms 100"),
        (changed(ctrlmode=["FD", "LISTEN-ONLY"]), Level.FAIL, "can0: listens only", "listen-only off"),
        (changed(state="ERROR-PASSIVE"), Level.WARN, "can0: ERROR-PASSIVE", "termination"),
    ],
)
def test_what_is_wrong_with_a_can_interface(
    tmp_path: Path, link: object, level: Level, found: str, advice: str
) -> None:
    (one,) = told(tmp_path, machine(tmp_path, link))
    assert (one.subject, one.level, one.found) == ("bus", level, found)
    assert advice in one.advice


def test_a_hub_must_be_there_and_ours_alone(tmp_path: Path) -> None:
    on, path = machine(tmp_path), tmp_path / "can.sock"
    (one,) = told(tmp_path, on, bus=f"evencoat:{path}")
    assert one.level is Level.FAIL and one.advice == f"evencoat hub --socket {path}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as hub:
        hub.bind(str(path))
        path.chmod(0o666)
        (one,) = told(tmp_path, on, bus=f"evencoat:{path}")
        assert one.level is Level.WARN and "chmod 600" in one.advice
        path.chmod(0o600)
        assert told(tmp_path, on, bus=f"evencoat:{path}") == []
    assert told(tmp_path, on, bus="pcan:PCAN_USBBUS1") == []


def test_a_key_that_others_may_read_is_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "line.key"
    keys.new(path, 0.0)
    found = settings()
    authentic = replace(found, wire=replace(found.wire, auth=AuthDescription(path, None)))
    assert told(tmp_path, machine(tmp_path), authentic) == []
    path.chmod(0o644)
    (one,) = told(tmp_path, machine(tmp_path), authentic)
    assert (one.subject, one.level) == ("keys", Level.FAIL) and "chmod 600" in one.found


def test_a_model_that_does_not_verify_is_a_failure(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"nothing of the kind")
    line = settings().line
    neural = replace(
        settings(), line=replace(line, control=replace(line.control, law=type(line.control.law)("neural")))
    )
    found = examine(neural, "socketcan:can0", tmp_path / "j.sqlite", str(damaged), machine(tmp_path))
    (one,) = [one for one in found if one.subject == "model"]
    assert one.level is Level.FAIL and str(damaged) in one.found


def test_the_command_says_it_in_words_and_in_json_and_exits_3_where_something_fails(tmp_path: Path) -> None:
    call = ["doctor", "line-40", "--bus", f"evencoat:{tmp_path}/none", "--journal", str(tmp_path / "j.sqlite")]
    done = CliRunner().invoke(app, [*call, "--json"])
    assert done.exit_code == 3
    findings = json.loads(done.stdout)["findings"]
    assert {"subject": "bus", "level": "fail", "found": f"{tmp_path}/none is not there"}.items() <= findings[-3].items()
    words = CliRunner().invoke(app, call)
    assert words.exit_code == 3 and "this machine is not fit to run it" in words.stdout
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as hub:
        hub.bind(str(tmp_path / "none"))
        assert CliRunner().invoke(app, call).exit_code == 0
    assert CliRunner().invoke(app, ["doctor"]).exit_code == 2
    assert CliRunner().invoke(app, ["doctor", "line-41"]).exit_code == 2


def test_the_unit_is_printed() -> None:
    assert "WatchdogSec=" in CliRunner().invoke(app, ["doctor", "--unit"]).stdout


@pytest.mark.skipif(not Path("/usr/sbin/ip").exists() and not Path("/sbin/ip").exists(), reason="iproute2 is missing")
def test_ip_is_asked_as_it_answers(tmp_path: Path) -> None:
    """The loopback interface of this machine: there, and no CAN."""
    found = examine(settings(), "socketcan:lo", tmp_path / "j.sqlite")
    (one,) = [one for one in found if one.subject == "bus"]
    if subprocess.run(["ip", "-json", "link"], capture_output=True, check=False).returncode == 0:
        assert one.found == "lo is no CAN interface"
