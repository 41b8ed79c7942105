"""What keeps the paced thread on time: its priority, its processors, memory that stays in place, garbage in slack time.

[realtime] of a line file asks for it, `claim` asks the machine, and what the machine refuses is told in words and costs
nothing but punctuality: control goes on without. `Rest` is what the paced thread does between two cycles.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

SWITCH_S = 0.0005  # other threads of the process give way to the paced one within this; Python's own is ten times it
LEAST_PRIORITY = 1  # of SCHED_FIFO
COLLECT_EVERY_S, OVERDUE_S = 5.0, 60.0  # between two collections of garbage; then there need be no time left for it
COLLECT_SHARE = 0.5  # of the time that is left, at most, a collection may take
MCL_CURRENT, MCL_FUTURE = 1, 2  # <bits/mman.h>
UNLIMITED = "set LimitMEMLOCK=infinity in the unit, or memlock unlimited in /etc/security/limits.d"
CAP_IPC_LOCK = 14  # <linux/capability.h>


@dataclass(frozen=True, slots=True)
class Realtime:
    """[realtime]. priority: of SCHED_FIFO, 0 for none; cpus: where the paced thread runs, () for anywhere."""

    priority: int = 0
    lock_memory: bool = False
    cpus: tuple[int, ...] = ()
    collect_in_slack: bool = True


def claim(asked: Realtime) -> list[str]:
    """Give the calling thread what was asked for; returns what was refused, each with what to do about it.

    The process's other threads get the least real-time priority there is: each holds the interpreter's lock now and
    then, and pushed aside by some other program while it does, it would keep the paced thread waiting. Threads that are
    started later share the paced one's processors, but not its priority.
    """
    sys.setswitchinterval(SWITCH_S)
    others = [thread.native_id for thread in threading.enumerate() if thread is not threading.current_thread()]
    known = [number for number in others if number is not None]
    refused = [_on_cpus(asked.cpus), _locked(asked.lock_memory), _first_in_first_out(asked.priority, known)]
    return [words for words in refused if words]


def would_be_refused(asked: Realtime) -> list[str]:
    """What `claim` would be refused: tried on a thread that ends with it, so that this process stays as it is."""
    refused: list[str] = []
    trial = threading.Thread(target=lambda: refused.extend((_on_cpus(asked.cpus), _first_in_first_out(asked.priority))))
    trial.start()
    trial.join()
    refused.append(_may_not_lock() if asked.lock_memory else "")
    return [words for words in refused if words]


def may_lock() -> bool:
    """Whether this process may lock memory without a bound, so that no later allocation fails for it."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return soft == resource.RLIM_INFINITY or _has_capability(CAP_IPC_LOCK)


def _on_cpus(cpus: tuple[int, ...]) -> str:
    if not cpus:
        return ""
    try:
        os.sched_setaffinity(0, cpus)
    except OSError as error:
        may = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
        return f"realtime.cpus = {list(cpus)}: {error.strerror}; name some of {may}, or widen CPUAffinity= of the unit"
    return ""


def _locked(lock_memory: bool) -> str:
    if not lock_memory:
        return ""
    refused = _may_not_lock()
    libc = ctypes.CDLL(None, use_errno=True)
    if not refused and libc.mlockall(MCL_CURRENT | MCL_FUTURE):
        return f"realtime.lock_memory: {os.strerror(ctypes.get_errno())}; {UNLIMITED}"
    return refused


def _may_not_lock() -> str:
    """A bound would not refuse now, but whichever allocation passes it later, and that would end the process."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return "" if may_lock() else f"realtime.lock_memory: may lock no more than {soft >> 10} kB; {UNLIMITED}"


def _first_in_first_out(priority: int, others: Iterable[int] = ()) -> str:
    if not priority:
        return ""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
        for other in others:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.sched_setscheduler(other, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(LEAST_PRIORITY))
    except OSError as error:
        soft, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
        how = f"set LimitRTPRIO={priority} in the unit, or rtprio {priority} in /etc/security/limits.d"
        if error.errno != errno.EPERM or soft >= priority:
            how = "the kernel or a container's cgroup keeps real-time priorities to itself"
        return f"realtime.priority = {priority}: {error.strerror} (the limit is {soft}); {how}"
    return ""


def _has_capability(number: int) -> bool:
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return False
    held = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    return bool(int(held, 16) >> number & 1)


class Rest:
    """The time between two cycles: tells that the loop lives, and collects garbage as long as there is time for it.

    With `in_slack`, what was there before the first cycle is frozen and Python no longer collects by itself: with the
    whole program to look through that takes 150 ms, in the midst of a cycle. What cycles leave behind takes 1 ms.
    """

    def __init__(self, alive: Callable[[], None], in_slack: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._alive, self._in_slack, self._clock = alive, in_slack, clock
        self._collected_s, self._takes_s = clock(), 0.0
        if in_slack:
            gc.collect()
            gc.freeze()
            gc.disable()
            self._collect()

    def __call__(self, left_s: float) -> None:
        """After a cycle, with so much wall time left until the next."""
        self._alive()
        since_s = self._clock() - self._collected_s
        if not self._in_slack or since_s < COLLECT_EVERY_S:
            return
        if self._takes_s < COLLECT_SHARE * left_s or since_s > OVERDUE_S:
            self._collect()

    def _collect(self) -> None:
        began_s = self._clock()
        gc.collect()
        self._collected_s = self._clock()
        self._takes_s = self._collected_s - began_s

    def close(self) -> None:
        """Give garbage back to Python's own care."""
        if self._in_slack:
            gc.unfreeze()
            gc.enable()
