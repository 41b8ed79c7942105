"""Lockstep runs: what they leave behind in memory."""

from __future__ import annotations

import gc

from evencoat.simulate import undisturbed
from tests.runs import DRIFTS, Line, story


def test_a_run_without_the_search_for_reference_cycles_leaves_none() -> None:
    line = Line(story(drifts=DRIFTS))
    line.play_s(20.0)
    gc.collect()
    with undisturbed():
        assert not gc.isenabled()
        line.play_s(60.0)
        left = gc.collect()
    assert gc.isenabled()
    assert left < 60, f"{left} objects only the search can free, after 600 cycles"
