"""Results of matches on disk: what was played is not played again, and nothing else is taken for a result."""

import pytest

from evencoat.league import kept
from evencoat.league.metrics import Score
from evencoat.league.table import Result


def result(seed: int, sigma_pct: float = 0.3, batch_scrap_m: float | None = None) -> Result:
    score = Score(sigma_pct, 0.1, 0.28, 12.5, 40.0, 1.6, 38.0, batch_scrap_m, 2000.0, 600.0)
    return Result("nominal", seed, "imc", 0.25, score, 91.5)


def test_results_come_back_as_they_were_and_a_newer_one_counts(tmp_path):
    path = tmp_path / "matches.jsonl"
    kept.append(path, [result(1), result(2, batch_scrap_m=7.0)], 40.0)
    kept.append(path, [result(1, sigma_pct=1.0 / 3.0)], 40.0)
    played = kept.read(path, 40.0)
    assert list(played.values()) == [result(1, sigma_pct=1.0 / 3.0), result(2, batch_scrap_m=7.0)]


def test_nothing_was_played_where_there_is_no_file(tmp_path):
    assert kept.read(tmp_path / "none.jsonl", 40.0) == {}


def test_a_torn_last_line_is_let_go_and_the_next_result_takes_its_place(tmp_path):
    path = tmp_path / "matches.jsonl"
    kept.append(path, [result(1), result(2)], 40.0)
    path.write_bytes(path.read_bytes()[:-20])
    assert list(kept.read(path, 40.0)) == [("nominal", 1, "imc")]
    kept.append(path, [result(3)], 40.0)
    assert list(kept.read(path, 40.0)) == [("nominal", 1, "imc"), ("nominal", 3, "imc")]


def test_matches_of_another_length_and_lines_that_are_no_results_are_refused(tmp_path):
    path = tmp_path / "matches.jsonl"
    kept.append(path, [result(1)], 40.0)
    with pytest.raises(ValueError, match="line 1: minutes is 40, these matches last 20"):
        kept.read(path, 20.0)
    path.write_text('{"minutes": 40.0, "family": "nominal"}\n[]\n', encoding="utf-8")
    with pytest.raises(ValueError, match="line 1: not a result of a match"):
        kept.read(path, 40.0)
