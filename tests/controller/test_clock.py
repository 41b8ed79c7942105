"""Clocks, driven by a machine clock made by hand."""

import numpy as np
import pytest

from controller.clock import LockstepClock, SyncClock

MS = 1_000_000
SECOND = 1_000 * MS


class Machine:
    """A monotonic clock that stands until it is moved."""

    def __init__(self) -> None:
        self.mono_ns = 77 * SECOND

    def monotonic_ns(self) -> int:
        return self.mono_ns


def make() -> tuple[Machine, SyncClock]:
    machine = Machine()
    return machine, SyncClock(machine.monotonic_ns)


def sync(machine: Machine, clock: SyncClock, line_ns: int, rate: float, wall_s: float, every_ns: int = 100 * MS) -> int:
    """SYNC every 100 ms of line time while line time runs `rate` times as fast as the wall; the newest line time."""
    for _ in range(round(wall_s * rate * SECOND / every_ns)):
        line_ns += every_ns
        machine.mono_ns += round(every_ns / rate)
        clock.observe(line_ns)
    return line_ns


@pytest.mark.parametrize("rate", [0.5, 1.0, 20.0, 100.0])
def test_it_follows_any_rate(rate):
    machine, clock = make()
    line_ns = sync(machine, clock, 5 * SECOND, rate, wall_s=3.0)
    assert clock.rate == pytest.approx(rate, rel=1e-3)
    assert clock.now_ns() == line_ns
    machine.mono_ns += 30 * MS
    assert clock.now_ns() - line_ns == pytest.approx(30 * MS * rate, rel=1e-3)


@pytest.mark.parametrize(("before", "after"), [(1.0, 20.0), (20.0, 1.0), (1.0, 0.25)])
def test_a_change_of_rate_is_followed_by_halves_each_second(before, after):
    machine, clock = make()
    line_ns = sync(machine, clock, 0, before, wall_s=10.0)
    line_ns = sync(machine, clock, line_ns, after, wall_s=5.0)
    assert abs(clock.rate - after) < abs(before - after) / 2.0**4
    assert clock.now_ns() == line_ns


def test_late_frames_do_not_shake_the_rate():
    machine, clock = make()
    rng = np.random.default_rng(1)
    started_ns = machine.mono_ns
    for cycle in range(1, 200):
        arrival_ns = started_ns + cycle * 100 * MS + int(rng.uniform(0, 20)) * MS
        machine.mono_ns = arrival_ns
        clock.observe(cycle * 100 * MS)
        if cycle > 10:
            assert clock.rate == pytest.approx(1.0, abs=0.03)


def test_the_same_sync_again_changes_nothing():
    machine, clock = make()
    line_ns = sync(machine, clock, 0, 1.0, wall_s=3.0)
    machine.mono_ns += 40 * MS
    before = clock.now_ns()
    clock.observe(line_ns)
    assert clock.now_ns() == before == line_ns + 40 * MS
    assert clock.rate == pytest.approx(1.0)


def test_when_sync_falls_silent_line_time_runs_on():
    machine, clock = make()
    line_ns = sync(machine, clock, 0, 20.0, wall_s=3.0)
    machine.mono_ns += 2 * SECOND
    assert clock.now_ns() - line_ns == pytest.approx(40 * SECOND, rel=1e-3)


@pytest.mark.parametrize("rate", [1.0, 20.0])
@pytest.mark.parametrize("new_base_ns", [0, 59 * SECOND, 3_600 * SECOND])
def test_a_jump_of_line_time_starts_a_new_base_at_the_old_rate(rate, new_base_ns):
    machine, clock = make()
    sync(machine, clock, 0, rate, wall_s=60.0 / rate)
    machine.mono_ns += round(100 * MS / rate)
    clock.observe(new_base_ns)
    assert clock.now_ns() == new_base_ns
    assert clock.rate == pytest.approx(rate, rel=1e-3)
    sync(machine, clock, new_base_ns, rate, wall_s=1.0)
    assert clock.rate == pytest.approx(rate, rel=1e-2)


def test_it_says_when_the_rate_is_known():
    machine, clock = make()
    assert not clock.settled
    clock.observe(5 * SECOND)
    assert not clock.settled
    machine.mono_ns += 5 * MS
    clock.observe(5 * SECOND + 100 * MS)
    assert not clock.settled  # five milliseconds say more of scheduling than of the line
    sync(machine, clock, 5 * SECOND + 100 * MS, 20.0, wall_s=0.1)
    assert clock.settled


@pytest.mark.parametrize("rate", [0.5, 1.0, 20.0])
def test_it_tells_the_wall_time_until_a_moment_of_line_time(rate):
    machine, clock = make()
    line_ns = sync(machine, clock, 0, rate, wall_s=3.0)
    wait_s = clock.wall_s_until(line_ns + 100 * MS)
    assert wait_s == pytest.approx(0.1 / rate, rel=1e-3)
    machine.mono_ns += round(wait_s * SECOND)
    assert clock.now_ns() == pytest.approx(line_ns + 100 * MS, abs=1000)


def test_a_moment_that_has_passed_is_negative_by_its_lateness_in_wall_time():
    machine, clock = make()
    line_ns = sync(machine, clock, 0, 20.0, wall_s=3.0)
    machine.mono_ns += 25 * MS
    assert clock.wall_s_until(line_ns) == pytest.approx(-0.025, rel=1e-3)


def test_before_any_sync_it_runs_like_the_machine():
    machine, clock = make()
    machine.mono_ns += 3 * SECOND
    assert clock.now_ns() == 3 * SECOND
    assert clock.rate == 1.0


def test_lockstep_time_is_what_the_port_said():
    clock = LockstepClock()
    assert (clock.now_ns(), clock.settled) == (0, True)
    clock.observe(42)
    assert clock.now_ns() == 42
    assert clock.wall_s_until(10**12) == 0.0
    assert clock.now_ns() == 42
