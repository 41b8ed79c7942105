"""The lateness campaign: its judgement on stretches made by hand, and one real stretch of the real control process."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from evencoat.campaigns.frame import Row
from evencoat.campaigns.lateness import CONDITIONS, PRIORITY, SCHEDULE, STRETCH_S, Lateness, _Stage, late_us
from evencoat.cli import app
from evencoat.settings import load_line


def stretch(folder: Path, k: int, late: list[float], missed: int = 0, refused: str = "") -> Row:
    """A trial's row, with what it keeps beside."""
    if not refused:
        np.savez(folder / f"late-{k:03d}.npz", loop=np.array(late), bare=np.array([1.0, 3.0]))
    name = CONDITIONS[k % len(CONDITIONS)].name
    return {"k": k, "condition": name, "refused": refused, "missed": missed, "took_p99_us": 900.0 + k}


def test_percentiles_are_over_all_stretches_of_a_condition(tmp_path: Path) -> None:
    rows = [stretch(tmp_path, 0, [10.0, 20.0]), stretch(tmp_path, 8, [30.0, 1e4]), stretch(tmp_path, 1, [5.0])]
    judged = Lateness().judge(rows, tmp_path)
    assert not judged.broken
    assert judged.figures["10hz_idle_ordinary"] == {
        "cycles": 4, "missed": 0, "missed_share": 0.0,
        "p50_us": 25.0, "p99_us": 9700.9, "p99_9_us": 9970.1, "max_us": 10000.0,
        "bare_p50_us": 2.0, "bare_p99_us": 3.0, "bare_p99_9_us": 3.0, "bare_max_us": 3.0,
        "cycle_took_p99_us": 908.0,
    }  # fmt: skip
    assert set(judged.figures) == {"10hz_idle_ordinary", "10hz_idle_fifo"}
    assert [one.size for one in late_us(tmp_path, [0, 8])] == [4, 4]


def test_a_late_loop_breaks_a_limit_unless_it_was_an_ordinary_process_beside_hogs(tmp_path: Path) -> None:
    half_cycles = {10: 0.5e5, 100: 0.5e4}
    rows = [
        stretch(tmp_path, k, [half_cycles[condition.hertz] + 1.0], missed=1) for k, condition in enumerate(CONDITIONS)
    ]
    judged = Lateness().judge(rows, tmp_path)
    told = {words.split(".")[0] for words in judged.broken}
    assert told == {one.name for one in CONDITIONS} - {"10hz_loaded_ordinary", "100hz_loaded_ordinary"}
    assert len(judged.broken) == 12 and judged.limits["100hz_idle_fifo"]["p99_9_us"] == 5000.0


def test_a_priority_that_the_machine_refuses_is_not_measured_and_said(tmp_path: Path) -> None:
    rows = [stretch(tmp_path, 0, [1.0]), stretch(tmp_path, 1, [], refused="realtime.priority = 50: refused")]
    judged = Lateness().judge(rows, tmp_path)
    assert judged.broken == ("10hz_idle_fifo: not measured: realtime.priority = 50: refused",)


def test_every_condition_has_its_turn() -> None:
    assert len({condition.name for condition in CONDITIONS}) == 8
    assert SCHEDULE[: Lateness().trials(True)] == CONDITIONS
    assert Lateness().trials(False) == len(SCHEDULE)
    cycles = {one: SCHEDULE.count(one) * STRETCH_S * one.hertz for one in CONDITIONS}
    assert all(cycles[one] >= 1000 * one.hertz for one in CONDITIONS if one.realtime)
    assert all(cycles[one] >= 200 * one.hertz for one in CONDITIONS)


def test_a_real_stretch(tmp_path: Path) -> None:
    """How late it was is this machine's own business; that it was measured is not."""
    call = ["campaign", "lateness", "--quick", "--trials", "1", "--out", str(tmp_path), "--json"]
    done = CliRunner().invoke(app, call)
    told = json.loads(done.stdout)
    figures = told["figures"]["10hz_idle_ordinary"]
    assert figures["cycles"] > 20 and 0.0 <= figures["p50_us"] <= figures["max_us"]
    assert figures["bare_p50_us"] > 0.0
    assert done.exit_code == (0 if told["passed"] else 3)


@pytest.mark.parametrize("hertz", [10, 100])
def test_the_line_is_a_sound_one_at_either_rate(tmp_path: Path, hertz: int) -> None:
    stage = _Stage(tmp_path, hertz)
    ordinary, fifo = (load_line(path) for path in stage.lines.values())
    assert ordinary.line.control.cycle_s == ordinary.wire.sync_period_s == 1.0 / hertz
    assert (ordinary.realtime.priority, fifo.realtime.priority, fifo.realtime.lock_memory) == (0, PRIORITY, True)
