"""What a recorded line holds, that it is a pure function of its task, and that files are used again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from controller.core import foresight, network
from controller.learn import belief, record
from controller.line.description import LawName

MINUTES = 9.0


def test_with_a_network_that_says_nothing_the_belief_is_the_adaptive_laws() -> None:
    world = belief.draw("usual", 3, MINUTES, LawName.NEURAL)
    alone, beside = record.record(world, None), record.record(world, network.blank())
    assert np.array_equal(alone.believed, beside.believed)
    assert not beside.whole.any() and not beside.correction.any()
    assert not alone.taps.any() and beside.taps[beside.live].std() > 0.005
    assert np.abs(alone.missed[alone.live]).mean() < np.abs(alone.true[alone.live]).mean()


def test_a_network_that_repeats_what_was_missed_is_recorded_with_what_it_may_add(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = network.blank()
    repeating = np.zeros(network.MEAN_PREDICTORS * network.MEAN_TAPS)
    repeating[2] = 1.0  # a dead time's mean of what was missed
    world = belief.draw("array-behind", 4, 16.0, LawName.NEURAL)
    repeats = said._replace(mean=said.mean._replace(b3=repeating))
    line = record.record(world, repeats)
    unjudged = line.context[:, -1] == 0.0  # online weights are the prior's until the truest gauge has spoken twice
    assert unjudged.sum() > 20
    assert np.abs(line.whole - network.MEAN_BOUND / 2.0 * line.taps[:, 2])[unjudged].max() < 1e-9
    assert (np.abs(line.correction) <= np.abs(line.whole) + 1e-12).all()
    monkeypatch.setattr(foresight.Foresight, "authority", 1.0)  # a network of its own begins in shadow
    believed = record.record(world, repeats)
    assert np.abs(believed.correction[believed.live]).max() > 0.0


def test_a_batch_is_told_with_what_it_still_brings() -> None:
    world = belief.draw("restless", 2, 20.0, LawName.NEURAL)
    line = record.record(world, network.blank())
    assert line.batch_step.size == world.levels.size - 1 > 1
    assert line.batch_taps.shape == (line.batch_step.size, network.BATCH_TAPS)
    assert not line.batch_taps[0].any()  # of the first one nothing is known
    assert abs(line.batch_step[0] - 100.0 * (world.levels[1] - world.levels[0])) < 1e-6


def test_lines_are_kept_and_used_again(tmp_path: Path) -> None:
    task = record.training_line(1, 5, 4.0, None, tmp_path)
    first = record.recorded(task, None)
    written = task.path.stat().st_mtime_ns
    again = record.recorded(task, None)
    assert task.path.stat().st_mtime_ns == written
    assert [path.name for path in tmp_path.iterdir()] == [task.path.name]
    for column in record.COLUMNS:
        assert np.array_equal(getattr(first, column.name), getattr(again, column.name)), column.name


@pytest.mark.parametrize("index", [0, 7])
def test_another_network_beside_is_another_line(index: int, tmp_path: Path) -> None:
    one = record.training_line(1, index, 4.0, None, tmp_path)
    other = record.training_line(1, index, 4.0, network.blank(), tmp_path)
    held = record.held_out_line(1, index, 4.0, None, tmp_path)
    assert len({one.path, other.path, held.path}) == 3
    assert held.seed != one.seed
