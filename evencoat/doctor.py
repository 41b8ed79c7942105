"""Is this machine fit to run this line? What `evencoat doctor` looks at, each with a verdict and what to do.

`examine` answers as data; evencoat.doctor_command prints it. Nothing is changed and nothing is sent. What the kernel
tells is read below `Machine.root`, so that a test can be another machine.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from evencoat import keys
from evencoat.guest import invited
from evencoat.model_store import ModelStoreError
from evencoat.realtime import would_be_refused
from evencoat.settings import Settings
from firmware_bridge.authentication import AuthenticationError

FSYNCS, FSYNC_WARN_MS, FSYNC_FAIL_MS = 40, 50.0, 1000.0  # the journal commits four times a second
FREE_FAIL_MB = 100.0
TX_QUEUE_LEAST = 100  # frames: a command of 120 zones is eight, and a busy bus lets them wait
FAST_CYCLE_S = 0.02  # below it an ordinary kernel's pauses are seen
NETWORK_FILES = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph"}
IN_MEMORY = {"tmpfs", "ramfs"}
STA_UNSYNC = 0x0040  # <linux/timex.h>
CAN_FD_MTU = 72


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what was found, and what to do about it ("" where nothing is)."""

    subject: str
    level: Level
    found: str
    advice: str = ""

    def as_dict(self) -> dict[str, str]:
        """What `--json` prints."""
        return {"subject": self.subject, "level": str(self.level), "found": self.found, "advice": self.advice}


def _output(command: Sequence[str]) -> str | None:
    """What a program says; None where it is not there or refuses."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10.0).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def _time_status() -> int | None:
    """The kernel's clock status bits (adjtimex(2)), whoever disciplines it; None where they may not be read."""
    libc = ctypes.CDLL(None, use_errno=True)
    timex = (ctypes.c_byte * 256)()  # struct timex: modes, then four longs and the status at byte 40; 208 bytes in all
    if libc.adjtimex(ctypes.byref(timex)) < 0:
        return None
    return int.from_bytes(bytes(timex[40:44]), sys.byteorder)


@dataclass(frozen=True, slots=True)
class Machine:
    """What of a machine is asked."""

    root: Path = Path("/")
    output: Callable[[Sequence[str]], str | None] = _output
    time_status: Callable[[], int | None] = _time_status
    cpus: frozenset[int] = field(default_factory=lambda: frozenset(os.sched_getaffinity(0)))

    def text(self, path: str) -> str | None:
        """A file that the kernel keeps, stripped; None where it has none."""
        try:
            return (self.root / path).read_text(encoding="utf-8").strip()
        except OSError:
            return None


def examine(
    settings: Settings, bus: str, journal: Path, model: str = "", machine: Machine | None = None
) -> list[Finding]:
    """Everything there is to say. `bus` as for `evencoat run`; `journal`: the file that is, or would be, written."""
    machine = machine or Machine()
    looks: tuple[Iterator[Finding], ...] = (
        _python(),
        _governor(machine),
        _processors(settings, machine),
        _kernel(settings, machine),
        _clock_source(machine),
        _wall_clock(machine),
        _realtime(settings),
        _disk(settings, journal, machine),
        _bus(settings, bus, machine),
        _keys(settings),
        _model(settings, model),
    )
    return [finding for look in looks for finding in look]


# --- the machine -------------------------------------------------------------------------------------------------


def _python() -> Iterator[Finding]:
    words = f"{sys.version.split()[0]}, {sys.executable}"
    if sysconfig.get_config_var("Py_DEBUG"):
        yield Finding("python", Level.FAIL, f"{words}: a debug build", "install a release build; this one is slow")
    elif "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or ""):
        yield Finding("python", Level.OK, words)
    else:
        advice = "a distribution's own, or one configured with --enable-optimizations, is 10 to 20 % faster"
        yield Finding("python", Level.WARN, f"{words}: built without profile-guided optimisation", advice)


def _governor(machine: Machine) -> Iterator[Finding]:
    paths = sorted((machine.root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor"))
    found = {machine.text(str(path.relative_to(machine.root))) or "?" for path in paths}
    if not found:
        yield Finding("governor", Level.OK, "no frequency scaling to be seen (a virtual machine, or off in the BIOS)")
    elif found == {"performance"}:
        yield Finding("governor", Level.OK, "performance")
    else:
        advice = "cpupower frequency-set -g performance: a slow clock makes the first cycle after a rest late"
        yield Finding("governor", Level.WARN, ", ".join(sorted(found)), advice)


def _processors(settings: Settings, machine: Machine) -> Iterator[Finding]:
    asked = settings.realtime.cpus
    isolated = _ranges(machine.text("sys/devices/system/cpu/isolated") or "")
    words = f"{len(machine.cpus)} to use, isolated: {', '.join(map(str, sorted(isolated))) or 'none'}"
    if len(machine.cpus) < 2:
        yield Finding("processors", Level.WARN, words, "give it two: the loop then waits for nobody's disk or page")
    elif asked and not set(asked) <= isolated:
        advice = f"isolcpus={','.join(map(str, asked))} on the kernel's command line keeps others off them"
        yield Finding("processors", Level.WARN, f"{words}; realtime.cpus = {list(asked)}", advice)
    else:
        yield Finding("processors", Level.OK, words)


def _kernel(settings: Settings, machine: Machine) -> Iterator[Finding]:
    preempts_all = machine.text("sys/kernel/realtime") == "1"
    words = "PREEMPT_RT" if preempts_all else "an ordinary one"
    cycle_s = settings.line.control.cycle_s
    if not preempts_all and cycle_s < FAST_CYCLE_S:
        advice = "install a PREEMPT_RT kernel (Debian: linux-image-rt-amd64)"
        yield Finding("kernel", Level.WARN, f"{words}, for a cycle of {1e3 * cycle_s:g} ms", advice)
    else:
        yield Finding("kernel", Level.OK, words)
    if settings.realtime.priority and machine.text("proc/sys/kernel/sched_rt_runtime_us") == "-1":
        advice = "sysctl kernel.sched_rt_runtime_us=950000, so that a thread that hangs leaves a way in"
        yield Finding("kernel", Level.WARN, "real-time threads may take all of a processor", advice)


def _clock_source(machine: Machine) -> Iterator[Finding]:
    found = machine.text("sys/devices/system/clocksource/clocksource0/current_clocksource") or "unknown"
    quick = found in {"tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page"}
    advice = "" if quick else "see dmesg why tsc is not used; reading this one costs a microsecond or more"
    yield Finding("clock source", Level.OK if quick else Level.WARN, found, advice)


def _wall_clock(machine: Machine) -> Iterator[Finding]:
    status = machine.time_status()
    if status is None:
        yield Finding("wall clock", Level.WARN, "the kernel does not say", "see timedatectl or chronyc tracking")
    elif status & STA_UNSYNC:
        advice = "run chrony or systemd-timesyncd: journal, audit records and keys carry this clock's time"
        yield Finding("wall clock", Level.WARN, "not synchronised", advice)
    else:
        yield Finding("wall clock", Level.OK, "synchronised")


def _realtime(settings: Settings) -> Iterator[Finding]:
    asked = settings.realtime
    refused = would_be_refused(asked)
    for words, _, advice in (one.partition("; ") for one in refused):
        yield Finding("realtime", Level.FAIL, words, advice)
    if refused:
        return
    wishes = [f"SCHED_FIFO {asked.priority}"] * bool(asked.priority)
    wishes += ["locked memory"] * asked.lock_memory + [f"processors {list(asked.cpus)}"] * bool(asked.cpus)
    yield Finding("realtime", Level.OK, f"granted: {', '.join(wishes)}" if wishes else "nothing is asked for")


# --- disk --------------------------------------------------------------------------------------------------------


def _disk(settings: Settings, journal: Path, machine: Machine) -> Iterator[Finding]:
    folder = journal.resolve().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        yield Finding("disk", Level.FAIL, f"{folder}: no folder that may be written", f"mkdir -p {folder}, or chown it")
        return
    kind = _file_system(folder, machine)
    if kind in NETWORK_FILES:
        advice = "put the journal on a disk of this machine: SQLite's log does not work over a network"
        yield Finding("disk", Level.FAIL, f"{folder} is {kind}", advice)
    elif kind in IN_MEMORY:
        yield Finding("disk", Level.WARN, f"{folder} is {kind}", "a power cut takes the journal: choose a disk")
    yield _room(settings, folder)
    yield _fsync(folder)


def _room(settings: Settings, folder: Path) -> Finding:
    free_mb, most_mb = shutil.disk_usage(folder).free / 1e6, (settings.retention.max_bytes or math.inf) / 1e6
    words = f"{folder}: {free_mb:,.0f} MB free, the journal may grow to {most_mb:,.0f} MB"
    if free_mb < FREE_FAIL_MB:
        return Finding("disk", Level.FAIL, words, "make room: there is none even for a day")
    if free_mb < most_mb:
        return Finding("disk", Level.WARN, words, "make room, or lower journal.max_mb: else the oldest cycles go early")
    return Finding("disk", Level.OK, words)


def _fsync(folder: Path) -> Finding:
    took_ms: list[float] = []
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".evencoat-doctor-") as file:
            for _ in range(FSYNCS):
                file.write(bytes(4096))
                file.flush()
                began = time.perf_counter()
                os.fsync(file.fileno())
                took_ms.append(1e3 * (time.perf_counter() - began))
    except OSError as error:
        return Finding("fsync", Level.FAIL, f"{folder}: {error.strerror}", "the journal could not be written here")
    took_ms.sort()
    words = f"median {took_ms[FSYNCS // 2]:.1f} ms, longest {took_ms[-1]:.1f} ms of {FSYNCS}"
    advice = "the loop does not wait for it, but the audit does: choose a disk with a write cache that survives"
    level = Level.FAIL if took_ms[FSYNCS // 2] > FSYNC_FAIL_MS else Level.WARN
    return Finding("fsync", Level.OK, words) if took_ms[-1] < FSYNC_WARN_MS else Finding("fsync", level, words, advice)


def _file_system(folder: Path, machine: Machine) -> str:
    """The kind of file system that a folder is on, by the longest mount point above it."""
    mounts = [line.split()[1:3] for line in (machine.text("proc/self/mounts") or "").splitlines()]
    above = [(len(point), kind) for point, kind in mounts if folder.is_relative_to(point)]
    return max(above)[1] if above else "unknown"


# --- the bus -----------------------------------------------------------------------------------------------------


def _bus(settings: Settings, bus: str, machine: Machine) -> Iterator[Finding]:
    wire = settings.wire
    interface, _, channel = bus.partition(":") if bus else (wire.interface, ":", wire.channel)
    if interface == "socketcan":
        yield from _socketcan(settings, channel, machine)
    elif channel.startswith("/"):
        yield _port(interface, Path(channel))
    else:
        yield Finding(
            "bus", Level.OK, f"{interface}:{channel}: a device of its maker's driver, nothing to look at here"
        )


def _port(interface: str, path: Path) -> Finding:
    """A device or a hub's socket: is there, and may be opened."""
    if not path.exists():
        advice = f"evencoat hub --socket {path}" if interface == "evencoat" else "plug it in; dmesg says its name"
        return Finding("bus", Level.FAIL, f"{path} is not there", advice)
    mode = path.stat().st_mode
    if not os.access(path, os.R_OK | os.W_OK):
        advice = "add the user of the control process to the group of the device (often dialout)"
        return Finding("bus", Level.FAIL, f"{path} may not be opened ({stat.filemode(mode)})", advice)
    if stat.S_ISSOCK(mode) and mode & 0o077:
        advice = f"chmod 600 {path}: whoever may open it can command the line"
        return Finding("bus", Level.WARN, f"{path} is open to others ({stat.filemode(mode)})", advice)
    return Finding("bus", Level.OK, f"{path} ({stat.filemode(mode)})")


def _socketcan(settings: Settings, channel: str, machine: Machine) -> Iterator[Finding]:
    told = machine.output(["ip", "-json", "-details", "link", "show", "dev", channel])
    try:
        (link,) = json.loads(told or "")
    except ValueError:
        advice = f"ip link show {channel}: is the adapter plugged in, its driver loaded, and iproute2 installed?"
        yield Finding("bus", Level.FAIL, f"{channel}: no such network interface", advice)
        return
    info = link.get("linkinfo", {})
    if info.get("info_kind") == "vcan":
        yield Finding(
            "bus", Level.WARN, f"{channel} is virtual (vcan)", "nothing but programs of this machine is on it"
        )
    elif info.get("info_kind") != "can":
        yield Finding("bus", Level.FAIL, f"{channel} is no CAN interface", "name one that ip -details link calls can")
    else:
        yield from _controller(settings, channel, link, info.get("info_data", {}))
    if "UP" not in link.get("flags", ()):
        yield Finding("bus", Level.FAIL, f"{channel} is down", f"ip link set {channel} up")


def _controller(settings: Settings, channel: str, link: dict[str, Any], can: dict[str, Any]) -> Iterator[Finding]:
    """A real CAN controller, as `ip -details link` tells."""
    wire = settings.wire
    down = f"ip link set {channel} down; ip link set {channel}"
    rates = [("bit rate", can.get("bittiming", {}).get("bitrate"), wire.bitrate, f"type can bitrate {wire.bitrate}")]
    if wire.fd:
        data = can.get("data_bittiming", {}).get("bitrate")
        rates.append(("data bit rate", data, wire.data_bitrate, f"type can dbitrate {wire.data_bitrate} fd on"))
    wrong = [one for one in rates if one[1] != one[2]]
    for what, is_bps, asked_bps, how in wrong:
        yield Finding("bus", Level.FAIL, f"{channel}: {what} {is_bps} bit/s, the line has {asked_bps}", f"{down} {how}")
    if not wrong:
        yield Finding(
            "bus", Level.OK, f"{channel}: " + ", ".join(f"{what} {is_bps} bit/s" for what, is_bps, *_ in rates)
        )
    if wire.fd and link.get("mtu") != CAN_FD_MTU:
        yield Finding(
            "bus", Level.FAIL, f"{channel}: classic CAN only (mtu {link.get('mtu')})", f"{down} type can fd on"
        )
    if not can.get("restart_ms"):
        advice = f"{down} type can restart-ms 100: else a bus-off lasts until somebody comes"
        yield Finding("bus", Level.WARN, f"{channel}: does not restart after bus-off (restart-ms 0)", advice)
    if "LISTEN-ONLY" in can.get("ctrlmode", ()):
        yield Finding("bus", Level.FAIL, f"{channel}: listens only", f"{down} type can listen-only off")
    if can.get("state", "ERROR-ACTIVE") != "ERROR-ACTIVE":
        advice = "see wiring, termination (two of 120 ohm) and bit rates of all nodes"
        yield Finding("bus", Level.WARN, f"{channel}: {can['state']}", advice)
    if link.get("txqlen", 0) < TX_QUEUE_LEAST:
        advice = f"ip link set {channel} txqueuelen 1000: a command's frames must all fit in"
        yield Finding("bus", Level.WARN, f"{channel}: transmit queue of {link.get('txqlen')} frames", advice)


# --- keys and models ---------------------------------------------------------------------------------------------


def _keys(settings: Settings) -> Iterator[Finding]:
    if settings.wire.auth is None:
        yield Finding("keys", Level.OK, "frames are not authenticated: whoever is on the bus can command the line")
        return
    try:
        keys.key_ring(settings, time.time())
    except AuthenticationError as error:
        yield Finding("keys", Level.FAIL, str(error), "evencoat key show says what the file holds")
        return
    path = settings.wire.auth.key_file
    if not os.access(path.parent, os.W_OK):
        advice = "move the key file into a folder that the control process may write"
        yield Finding("keys", Level.FAIL, f"{path.parent}: epochs cannot be kept beside the key", advice)
    else:
        yield Finding("keys", Level.OK, f"{path}, read by its owner alone")


def _model(settings: Settings, named: str) -> Iterator[Finding]:
    try:
        guest = invited(settings.line, named)
    except ModelStoreError as error:
        yield Finding("model", Level.FAIL, str(error), "evencoat model list; evencoat model rollback")
        return
    yield Finding("model", Level.OK, guest.words or f"the law {settings.line.control.law} needs none")


def _ranges(text: str) -> set[int]:
    """Processors in the kernel's own form: 2-3,6."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found
