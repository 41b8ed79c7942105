"""Pacing by absolute deadlines, with a clock of the test's own."""

import pytest

from plant_sim.serve import LATE_STEPS, Pace, realtime


class Clock:
    """Time that passes by sleeping and by work."""

    def __init__(self, work_s=()):
        self.now_s = 100.0
        self.began_s = []
        self._work_s = list(work_s)

    def step(self, dt_s):
        self.began_s.append(self.now_s)
        self.now_s += self._work_s.pop(0) if self._work_s else 0.001

    def sleep(self, wait_s):
        assert wait_s > 0.0
        self.now_s += wait_s


def serve(clock, steps, speed=5.0):
    return realtime(
        clock, speed, 0.1, lambda: len(clock.began_s) >= steps, clock=lambda: clock.now_s, sleep=clock.sleep
    )


def test_steps_begin_at_multiples_of_the_period():
    clock = Clock()
    serve(clock, 50)
    assert clock.began_s == pytest.approx([100.0 + 0.02 * k for k in range(50)])


def test_lateness_of_one_step_is_made_up_and_does_not_add_up():
    clock = Clock([0.001, 0.055])
    pace = serve(clock, 20)
    assert clock.began_s[2] == pytest.approx(100.075)
    assert clock.began_s[-1] == pytest.approx(100.0 + 0.02 * 19)
    assert pace.given_up_s == 0.0


def test_a_long_stall_is_given_up_rather_than_burst_through():
    clock = Clock([5.0])
    pace = serve(clock, 5)
    assert pace.given_up_s == pytest.approx(4.98)
    assert clock.began_s[1:] == pytest.approx([105.0 + 0.02 * k for k in range(4)], abs=1e-3)


def test_late_by_just_less_than_the_limit_is_not_given_up():
    pace = Pace(0.1, 0.0)
    assert pace.wait_s(0.1 + 0.1 * LATE_STEPS - 1e-6) == 0.0
    assert pace.given_up_s == 0.0


def test_on_step_is_called_after_each_step_and_stop_is_asked_before_each():
    clock, seen = Clock(), []
    realtime(
        clock,
        1.0,
        0.1,
        lambda: len(seen) == 3,
        lambda: seen.append(len(clock.began_s)),
        clock=lambda: clock.now_s,
        sleep=clock.sleep,
    )
    assert seen == [1, 2, 3]


@pytest.mark.parametrize(("speed", "dt_s"), [(0.0, 0.1), (-1.0, 0.1), (1.0, 0.0), (float("nan"), 0.1)])
def test_impossible_paces_are_refused(speed, dt_s):
    with pytest.raises(ValueError, match="must be positive"):
        realtime(Clock(), speed, dt_s, lambda: True)
