"""The reverse bump's person at the line: what is asked for, and when it is better to ask for nothing."""

from __future__ import annotations

import numpy as np
import pytest

from controller.commission import reverse
from controller.commission.reverse import ReverseBump, patterns
from controller.core import step as core
from controller.core.offset import SHARE_MAX
from controller.line.command import Mode, Rung
from controller.line.description import GaugeKind, LawName
from tests.controller.core.test_step import Drive
from tests.factories import ToyWeb, make_line

LINE = make_line(16, LawName.ADAPTIVE, lips={"backlash_um": 0.2, "resolution_um": 0.1})
TOLERANCE_LOG = np.log1p(0.015)


def test_bumps_stand_apart_and_every_zone_has_its_turn() -> None:
    shapes, worth = patterns(LINE)
    touched = np.zeros(16, dtype=int)
    for shape in shapes:
        places = np.flatnonzero(np.abs(shape) > 0.5)
        assert np.diff(places).min() >= 3
        assert abs(shape.mean()) < 1e-12
        assert abs(int(np.sign(shape[places]).sum())) <= 1, "up and down in turn"
        touched[places] += 1
    assert (touched == 1).all()
    assert worth > 0.0


def test_a_narrow_die_has_patterns_too() -> None:
    shapes, _ = patterns(make_line(4))
    assert shapes and all(shape.size == 4 for shape in shapes)


def test_it_asks_up_and_down_holds_each_and_gives_the_target_back() -> None:
    """Three and a quarter dead times of 3 m each; never beyond its share, and nothing of it is left afterwards."""
    drive = Drive(ToyWeb(LINE))
    drive.run(20.0)
    test = ReverseBump(drive.config, swings=4)
    asked_at_m, last = [], None
    for _ in range(2000):
        assert drive.trace is not None
        asked = test.turn(drive.trace)
        if asked is not None and not test.over:
            assert asked.offset_log is not None and np.abs(asked.offset_log).max() <= SHARE_MAX * TOLERANCE_LOG * 1.1
            asked_at_m.append(drive.trace.web_m)
            if len(asked_at_m) % 2 == 0:
                np.testing.assert_array_equal(asked.offset_log, -last)
            last = asked.offset_log
        drive.cycle(asked)
        if test.over:
            break
    assert test.over and test.why == "all bumps were made" and drive.state.offset is None
    np.testing.assert_allclose(np.diff(asked_at_m), 9.75, atol=0.11)


@pytest.mark.parametrize("change", [{"mode_actual": Mode.HOLD}, {"rung": Rung.SLOWED}])
def test_it_ends_where_the_loop_is_no_longer_its_own(change: dict[str, object]) -> None:
    drive = Drive(ToyWeb(LINE))
    trace = drive.run(20.0)
    test = ReverseBump(drive.config)
    assert test.turn(trace) is not None and not test.over
    ended = test.turn(trace._replace(**change))
    assert test.over and ended is not None and not np.any(ended.offset_log)
    assert test.turn(trace) is None


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (make_line(16, LawName.IMC), reverse.NOT_THE_LAW),
        (
            make_line(
                16,
                LawName.ADAPTIVE,
                wet=False,
                dry_gauge={"kind": GaugeKind.DRY_SCANNER, "head_speed_mps": 0.2, "period_s": 3.0},
            ),
            reverse.NOT_THE_LAW,
        ),
        (make_line(16, LawName.ADAPTIVE, lips={"backlash_um": 8.0}), reverse.TOO_MUCH_PLAY),
    ],
)
def test_it_does_not_begin_where_nothing_would_come_of_it(line, why) -> None:
    test = ReverseBump(core.configure(line, 0.1))
    assert test.over and test.why == why


def test_more_play_takes_larger_bumps() -> None:
    small, large = (
        ReverseBump(core.configure(make_line(16, LawName.ADAPTIVE, lips={"backlash_um": play_um}), 0.1))
        for play_um in (0.1, 1.6)
    )
    assert reverse.SHARE == small.share < large.share <= SHARE_MAX
