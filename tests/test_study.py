"""The search for hyperparameters: a small one, stopped and gone on with, leaves what a large one would."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="the study needs optuna: pip install 'evencoat[study]'")
pytest.importorskip("torch", reason="training needs torch: make learn")

from benchmarks import study
from controller.learn.train import Settings


def test_a_search_goes_on_where_it_was_and_compares_winner_and_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = replace(
        Settings.quick(1), lines=4, held_out=14, minutes=6.0, batch_lines=100, batch_steps=10, missed_steps=10,
        at_once=4, look_every=5,
    )  # fmt: skip
    monkeypatch.setattr(Settings, "quick", classmethod(lambda cls, seed=1: replace(small, seed=seed)))
    asked = ["--quick", "--out", str(tmp_path), "--json"]
    assert study.main([*asked, "--trials", "1", "--no-compare"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["untouched"] is None
    (only,) = first["trials"]
    assert {name: only[name] for name in first["defaults"]} == pytest.approx(first["defaults"]), "the defaults begin"
    recorded = {path: path.stat().st_mtime_ns for path in (tmp_path / "lines").iterdir()}
    assert study.main([*asked, "--trials", "2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((tmp_path / study.STORY).read_text())
    assert told["trials"][0] == only and len(told["trials"]) == 2
    assert {path: path.stat().st_mtime_ns for path in recorded} == recorded, "lines are recorded once"
    done = [trial for trial in told["trials"] if trial["score"] is not None]
    best = min(done, key=lambda trial: trial["score"])
    assert told["winner"] == {name: best[name] for name in told["winner"]}
    for trial in done:
        assert all(low <= trial[name] <= high for name, (low, high) in study.RANGES.items())
    end = told["untouched"]
    assert end["lines"] == 7
    assert end["gain"] == pytest.approx(end["defaults"]["mean"] - end["winner"]["mean"], abs=1e-6)
    assert end["better"] == (end["gain"] > study.SURE * end["standard_error"])
    assert (tmp_path / study.PICTURE).read_bytes().startswith(b"\x89PNG")
