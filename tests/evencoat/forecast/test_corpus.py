"""The runs that forecasts are learnt from and judged by: apart, and the same for the same seed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from evencoat.forecast import corpus
from evencoat.forecast.corpus import Case
from plant_sim.faults import CATALOGUE


def test_seeds_to_learn_from_and_to_be_judged_by_are_apart_and_families_count_the_same() -> None:
    learnt, judged = corpus.cases(True, 77, 40.0), corpus.cases(False, 77, 40.0)
    assert not {case.seed for case in learnt} & {case.seed for case in judged}
    assert set(Counter(case.family for case in learnt).values()) == {7}
    assert Counter(case.family for case in learnt) == Counter(case.family for case in judged)


def test_nothing_is_learnt_from_a_judge_that_lies() -> None:
    assert not [case for case in corpus.cases(True, 77, 40.0) if corpus.lies(case)]
    assert corpus.lies(Case("nominal", corpus.SEEDS_JUDGED, 40.0))  # and some are judged


def test_every_play_of_a_story_is_within_the_catalogues_bounds() -> None:
    names = set()
    for case in (*corpus.cases(True, 40, 40.0), *corpus.cases(False, 40, 40.0)):
        for play in corpus.match_of(case).scenario.plays:
            entry = CATALOGUE[play.name]
            assert entry.size_min <= play.size <= entry.size_max, play
            names.add(play.name)
    assert {"batch-change", "filter-clog", "stuck-bolt", "gauge-drift"} <= names


def test_a_run_is_kept_with_what_was_really_coated_and_read_back(tmp_path: Path) -> None:
    case = Case("pilot-16", 3, 1.0)
    run = corpus.recalled(case, tmp_path)
    again = corpus.recalled(case, tmp_path)
    assert (tmp_path / f"{case.name}.npz").is_file()
    assert run["true_gsm"].shape == run["profile_gsm"].shape == (120, 16)
    assert np.isfinite(run["wet_scan_gsm"][-1]).all()
    assert all(np.array_equal(run[name], again[name], equal_nan=run[name].dtype.kind == "f") for name in run)
