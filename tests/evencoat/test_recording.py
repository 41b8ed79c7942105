"""The recording of the true web: nothing lost, and read back as it was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evencoat.recording import BLOCK_ROWS, TruthRecorder, load_truth, true_web
from evencoat.settings import load_line


def filled(rows: int, lanes: int = 8) -> TruthRecorder:
    recorder = TruthRecorder(lanes)
    for k in range(rows):
        recorder.add(k * 0.1, k * 0.2, 0.2, k * 0.01, np.full(lanes, 100.0 + k))
    return recorder


def test_rows_survive_every_growth() -> None:
    arrays = filled(2 * BLOCK_ROWS + 3).arrays()
    assert arrays["areal_density_gsm"].shape == (2 * BLOCK_ROWS + 3, 8)
    assert np.array_equal(arrays["areal_density_gsm"][:, 5], 100.0 + np.arange(2 * BLOCK_ROWS + 3, dtype=np.float32))
    assert np.array_equal(arrays["web_m"], np.arange(2 * BLOCK_ROWS + 3) * 0.2)


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    recorder = filled(50)
    recorder.save(tmp_path / "truth.npz")
    loaded, kept = load_truth(tmp_path / "truth.npz"), recorder.arrays()
    assert loaded.keys() == kept.keys() and all(np.array_equal(loaded[name], kept[name]) for name in kept)
    assert [path.name for path in tmp_path.iterdir()] == ["truth.npz"], "no half-written file stays behind"


def test_lanes_take_the_target_of_their_zone() -> None:
    line = load_line("pilot-16").line
    recorder = filled(3, lanes=64)
    web = true_web(line, recorder.arrays(), ())
    assert np.array_equal(web.target_gsm, np.repeat(line.target_profile_gsm, 4))
