"""What keeps the paced thread on time, asked of the real kernel; and what happens where it is refused."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest

from evencoat.realtime import COLLECT_EVERY_S, OVERDUE_S, Rest

ROOT = Path(__file__).parents[2]


def in_a_process(script: str) -> dict[str, object]:
    """What a fresh process says, which may do to itself what it likes."""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    told: dict[str, object] = json.loads(done.stdout)
    return told


CLAIM = """
import json, os, resource, threading
from pathlib import Path
from evencoat.realtime import Realtime, claim
{before}
policies, over = [], threading.Event()
def wait_and_tell():
    over.wait()
    policies.append((os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK, os.sched_getparam(0).sched_priority))
earlier = threading.Thread(target=wait_and_tell)
earlier.start()
refused = claim(Realtime({asked}))
over.set()
earlier.join()
one = threading.Thread(target=lambda: policies.append(os.sched_getscheduler(0)))
one.start(); one.join()
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps({{"refused": refused, "policy": os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK,
    "of_an_earlier_thread": policies[0], "of_a_later_thread": policies[1],
    "priority": os.sched_getparam(0).sched_priority,
    "cpus": sorted(os.sched_getaffinity(0)), "locked_kb": int(status["VmLck"].split()[0])}}))
"""
AS_NOBODY = """
resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
"""


def test_what_is_not_asked_for_is_not_touched() -> None:
    told = in_a_process(CLAIM.format(before="", asked=""))
    assert (told["refused"], told["policy"], told["locked_kb"]) == ([], 0, 0)


def test_who_may_gets_priority_memory_and_a_processor() -> None:
    """Whoever may not, here too, is told so by name: each of the three is either had or refused."""
    told = in_a_process(CLAIM.format(before="", asked="priority=20, lock_memory=True, cpus=(0,)"))
    refused = str(told["refused"])
    assert (told["policy"], told["priority"]) == (1, 20) or "realtime.priority = 20" in refused
    assert int(str(told["locked_kb"])) > 1000 or "realtime.lock_memory" in refused
    assert told["cpus"] == [0] or "realtime.cpus" in refused
    assert told["of_an_earlier_thread"] == ([1, 1] if told["policy"] else [0, 0])  # the journal's writer
    assert told["of_a_later_thread"] == 0


def test_who_may_not_is_told_what_to_do_and_goes_on() -> None:
    told = in_a_process(CLAIM.format(before=AS_NOBODY, asked="priority=20, lock_memory=True, cpus=(4000,)"))
    cpus, memory, priority = told["refused"]  # type: ignore[misc]
    assert cpus.startswith("realtime.cpus = [4000]: Invalid argument; name some of 0")
    assert "may lock no more than 64 kB; set LimitMEMLOCK=infinity in the unit" in memory
    assert "realtime.priority = 20: Operation not permitted (the limit is 0); set LimitRTPRIO=20" in priority
    assert (told["policy"], told["locked_kb"]) == (0, 0)


class Watch:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def collections() -> list[int]:
    """The generations that were collected, as they come."""
    seen: list[int] = []

    def heard(phase: str, info: dict[str, int]) -> None:
        if phase == "stop":
            seen.append(info["generation"])

    gc.callbacks.append(heard)
    yield seen
    gc.callbacks.remove(heard)


def test_garbage_is_collected_in_slack_time_and_not_by_itself(collections: list[int]) -> None:
    alive: list[float] = []
    watch = Watch()
    rest = Rest(lambda: alive.append(watch.now_s), True, watch)
    try:
        assert not gc.isenabled() and gc.get_freeze_count() > 1000
        del collections[:]
        rest(1.0)
        assert collections == []
        watch.now_s += COLLECT_EVERY_S
        rest(-0.01)  # late already
        assert collections == []
        rest(0.05)
        assert collections == [2]
        rest(0.05)
        assert collections == [2]
        watch.now_s += OVERDUE_S + 1.0
        rest(-0.01)  # never any time: then all the same
        assert collections == [2, 2]
        assert len(alive) == 5
    finally:
        rest.close()
    assert gc.isenabled() and gc.get_freeze_count() == 0


def test_a_collection_that_took_longer_than_there_is_time_for_is_put_off(collections: list[int]) -> None:
    watch = Watch()
    rest = Rest(lambda: None, True, watch)
    slow = lambda phase, info: setattr(watch, "now_s", watch.now_s + 0.004 * (phase == "stop"))  # noqa: E731
    gc.callbacks.append(slow)
    try:
        watch.now_s += COLLECT_EVERY_S
        rest(0.002)
        del collections[:]
        watch.now_s += COLLECT_EVERY_S
        rest(0.007)
        assert collections == []
        rest(0.009)
        assert collections == [2]
    finally:
        gc.callbacks.remove(slow)
        rest.close()


def test_python_may_keep_collecting_by_itself(collections: list[int]) -> None:
    watch = Watch()
    rest = Rest(lambda: None, False, watch)
    watch.now_s += 2.0 * OVERDUE_S
    del collections[:]
    rest(1.0)
    assert gc.isenabled() and gc.get_freeze_count() == 0 and collections == []
    rest.close()
    assert gc.isenabled()
