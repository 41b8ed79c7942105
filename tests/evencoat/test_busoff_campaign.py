"""The campaign of bus-off and lost peers: a few for real, and its limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from evencoat.campaigns.busoff import GONE, BusOff
from evencoat.campaigns.frame import CampaignPlan, run


def test_a_few_outages(tmp_path: Path) -> None:
    told = run(BusOff(), CampaignPlan(True, 1, tmp_path, trials=12), lambda *_: None)
    assert told["passed"], told["broken"]
    assert told["figures"]["latched"] >= 1 and 0.0 < told["figures"]["back_p50_s"] < 1.0
    assert {row["gone"] for row in told["figures"]["table"]} <= {fault.name for fault in GONE}


def test_the_lips_are_on_their_way_and_a_jump_would_be_seen(tmp_path: Path) -> None:
    with BusOff().open(tmp_path, True, True) as trial:
        life = trial.__self__  # type: ignore[attr-defined]
        life._for_s(5.0)
        steps = [step / life._step_um for step in life._steps]
        assert 0.9 < max(steps) < 1.001
        now_s = life._told_s
        life._followed(life._told_um + 2.0 * life._step_um, now_s + life._line.cycle_s)
        assert np.isclose(life._steps[-1] / life._step_um, 2.0) and not life._bumps
        life._followed(life._line.nodes.readings.lip_motor_um + 4.0 * life._step_um, now_s + 3.0)
        assert len(life._bumps) == 1 and 1.0 < life._bumps[0] / life._step_um < 4.001


def row(**other: Any) -> dict[str, Any]:
    found = {"gone": "die node lost", "latched": False, "back_s": 0.3, "bump_rate_steps": 1.0, "step_rate_steps": 1.0}
    return {**found, "violations": 0, **other}


def test_every_limit_can_be_broken() -> None:
    judge = BusOff().judge
    assert not judge([row(), row()], Path()).broken
    assert "never_back = 1, at most 0" in judge([row(), row(back_s=None)], Path()).broken
    assert judge([row(back_s=2.5)], Path()).broken == ("back_p99_s = 2.5, at most 2",)
    assert judge([row(bump_rate_steps=3.2)], Path()).broken == ("bump_max_rate_steps = 3.2, at most 3",)
    assert judge([row(step_rate_steps=1.2)], Path()).broken == ("step_max_rate_steps = 1.2, at most 1",)
    assert judge([row(violations=1)], Path()).broken == ("limits_broken = 1, at most 0",)
