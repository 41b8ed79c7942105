"""The last good lips of a journal: which stretch is taken, which lips of it count, and why there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controller.line.command import Mode, Outcome
from controller.line.profile import LineState
from evencoat.journal import CycleJournal, JournalReader
from evencoat.recipes import stretch
from evencoat.recipes.recipe import Lips, RecipeError
from evencoat.settings import load_line
from tests.evencoat.test_journal import make_trace

SETTINGS = load_line("pilot-16")
LINE = SETTINGS.line
ZONES = LINE.zones
STEP_M = 0.05  # of web in a cycle
TO_GAUGE = 40  # cycles in which a metre comes from the die to the wet gauge
FIFTH = np.arange(ZONES) == 4


def journal(folder: Path, *pieces: tuple[int, dict[str, Any]]) -> Path:
    """So many cycles of a good line each, with what is otherwise in them."""
    path, cycle = folder / "journal.sqlite", 0
    with CycleJournal(path, SETTINGS.line, SETTINGS.text, 100_000) as kept:
        for cycles, changes in pieces:
            for _ in range(cycles):
                cycle += 1
                good: dict[str, Any] = {
                    "web_m": STEP_M * cycle, "mode_actual": Mode.AUTO, "outcome": Outcome.OK, "target_gsm": 90.0,
                    "profile_gsm": np.full(ZONES, 90.0), "profile_valid": np.ones(ZONES, dtype=bool),
                    "zone_manual": np.zeros(ZONES, dtype=bool), "zone_not_following": np.zeros(ZONES, dtype=bool),
                    "gap_um": np.full(ZONES, 500.0), "link_faults": (),
                }  # fmt: skip
                kept.record(make_trace(cycle, **{**good, **changes}), 1.0, 0.0)
    return path


def taken(path: Path, least_m: float = 10.0) -> Lips:
    with JournalReader(path) as reader:
        return stretch.last_good(reader, LINE, LINE.target.tolerance_pct, least_m)


def test_lips_count_whose_web_was_seen_and_only_the_newest(tmp_path: Path) -> None:
    place = np.arange(ZONES, dtype=np.float64)
    old, right, unseen = (
        (400, {"gap_um": np.full(ZONES, 450.0)}),
        (201, {"gap_um": 500.0 + place, "roll": 4}),
        (TO_GAUGE, {"gap_um": np.full(ZONES, 590.0), "roll": 5}),
    )
    lips = taken(journal(tmp_path, old, right, unseen))
    assert lips.gap_um == (500.0 + place).tolist()
    assert (lips.from_cycle, lips.to_cycle, lips.roll_first, lips.roll_last) == (401, 641, 4, 5)
    assert (lips.web_m, lips.target_gsm, lips.speed_m_per_min, lips.sigma_pct) == (10.0, 90.0, 30.0, 0.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mode_requested": Mode.MANUAL, "mode_actual": Mode.MANUAL}, "the mode was not auto"),
        ({"mode_actual": Mode.HOLD, "outcome": Outcome.GAUGE_STALE}, "the loop held"),
        ({"line_state": LineState.STOPPED}, "the line did not run"),
        ({"zone_manual": FIFTH}, "a zone was held by hand"),
        ({"zone_not_following": FIFTH}, "a bolt was left alone"),
        ({"gap_um": np.where(FIFTH, np.nan, 500.0)}, "lip positions were not fed back"),
        ({"profile_valid": ~FIFTH}, "readings were missing"),
        ({"profile_gsm": 90.0 + 2.0 * FIFTH}, "the web was out of tolerance"),
        ({"target_gsm": 92.0}, "the web was out of tolerance"),
    ],
)
def test_what_is_not_good_is_left_out_and_told(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = journal(tmp_path, (300, {}), (60, changes), (200, {"gap_um": np.full(ZONES, 520.0)}))
    lips = taken(path)
    assert lips.gap_um == [500.0] * ZONES and lips.to_cycle <= 320  # readings are judged by two seconds' mean
    assert taken(path, 5.0).gap_um == [520.0] * ZONES
    with pytest.raises(RecipeError, match=rf"nowhere were 50 m made .* the longest were 1[23]\.[0-9] m; .*{words}"):
        taken(path, 50.0)


def test_one_noisy_scan_is_no_web_out_of_tolerance(tmp_path: Path) -> None:
    noisy = (1, {"profile_gsm": 90.0 + 3.0 * FIFTH})
    assert taken(journal(tmp_path, (150, {}), noisy, (150, {}))).to_cycle == 301


def test_a_web_that_follows_another_target_is_good_and_begins_anew(tmp_path: Path) -> None:
    moved = {"target_gsm": 92.0, "profile_gsm": np.full(ZONES, 92.0), "gap_um": np.full(ZONES, 510.0)}
    path = journal(tmp_path, (400, {}), (300, moved))
    assert (taken(path).target_gsm, taken(path).gap_um) == (92.0, [510.0] * ZONES)
    with pytest.raises(RecipeError, match="another target, or missing cycles"):
        taken(path, 20.0)


def test_a_gap_in_the_journal_ends_a_stretch(tmp_path: Path) -> None:
    path = journal(tmp_path, (150, {}), (1, {"web_m": 500.0}), (150, {}))
    with pytest.raises(RecipeError, match=r"the longest were 5\.5 m; what came between: another target, or missing"):
        taken(path, 10.0)


@pytest.mark.parametrize("rows", [7, 64, 241, 5000])
def test_blocks_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(stretch, "BLOCK_ROWS", rows)
    path = journal(tmp_path, (300, {}), (30, {"zone_manual": FIFTH}), (100, {}))
    assert (taken(path).from_cycle, taken(path).to_cycle) == (60, 300)
    with pytest.raises(RecipeError, match=r"the longest were 12\.9\d* m|the longest were 13\.0 m"):
        taken(path, 20.0)


def test_a_journal_without_a_cycle_has_no_good_lips(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"the longest were 0\.0 m$"):
        taken(journal(tmp_path))
