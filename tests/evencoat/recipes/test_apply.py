"""A recipe that is applied: through the desk's own bounds and roles, and on the audit chain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evencoat.desk.client import Answer
from evencoat.recipes.apply import Step, applied
from evencoat.recipes.recipe import Recipe, RecipeError
from tests.evencoat.desk.lines import DeskLine, told
from tests.evencoat.recipes.test_recipe import LIPS, version


class AtTheDesk:
    """A line's desk without its socket."""

    def __init__(self, folder: Path) -> None:
        self.line = DeskLine(folder)

    def ask(self, who: str, via: str, action: str, values: Mapping[str, Any] | None = None, why: str = "") -> Answer:
        """What the clerk says."""
        return Answer(*self.line.ask(who, action, via, why, **(values or {})))

    def apply(self, recipe: Recipe, who: str = "enid", lips: bool = False) -> list[Step]:
        """From the shell."""
        return applied(self, recipe, lips, who, "shell", "grade change")


@pytest.fixture
def desk(tmp_path: Path) -> AtTheDesk:
    made = AtTheDesk(tmp_path)
    made.line.ask("enid", "take_command", "shell")
    return made


def test_a_grade_is_changed_with_the_loop_closed_and_on_record(desk: AtTheDesk) -> None:
    recipe = version(target_gsm=91.5)
    steps = desk.apply(recipe)
    assert [(step.action, step.accepted) for step in steps] == [("target_gsm", True), ("recipe", True)]
    trace = desk.line.line.play_s(40.0)[-1]
    assert (trace.mode_actual, round(trace.target_gsm, 3)) == ("auto", 91.5)
    records = desk.line.records()
    assert told(records)[-1] == (
        "enid via shell", "recipe", f"anode@1 sha256 {recipe.sha256}: target 91.5 g/m2",
    )  # fmt: skip
    assert [(record.what, record.why) for record in records[-2:]] == [
        ("setpoint", "recipe anode@1: grade change"), ("recipe", "grade change"),
    ]  # fmt: skip


def test_lips_are_taken_over_in_manual_only(desk: AtTheDesk) -> None:
    recipe = version(lips={**LIPS, "gap_um": [500.0 + 0.5 * zone for zone in range(16)]})
    (refused,) = desk.apply(recipe, lips=True)
    assert (refused.action, refused.accepted) == ("gap_um", False) and "manual" in refused.reason
    desk.line.ask("enid", "mode", "shell", mode="manual")
    steps = desk.apply(recipe, lips=True)
    assert [(step.action, step.accepted) for step in steps] == [
        ("gap_um", True), ("target_gsm", True), ("recipe", True),
    ]  # fmt: skip
    trace = desk.line.line.play_s(60.0)[-1]
    assert recipe.lips is not None
    assert np.abs(trace.gap_target_um - recipe.lips.gap_um).max() < 0.11  # a count of the wire
    assert "lips of roll 4, target 90 g/m2" in told(desk.line.records())[-1][2]


def test_what_the_desk_refuses_is_not_applied_and_not_told_as_a_recipe(desk: AtTheDesk) -> None:
    (beyond,) = desk.apply(version(target_gsm=95.0))
    (operator,) = desk.apply(version(target_gsm=91.0), who="omar")
    assert "must lie between 86.4 and 93.6" in beyond.reason and "takes engineer" in operator.reason
    assert not desk.ask("vera", "shell", "recipe", {"text": "anode@1"}).accepted
    with pytest.raises(RecipeError, match="anode@1: has no lip profile"):
        desk.apply(version(), lips=True)
    assert "recipe" not in {what for _, what, _ in told(desk.line.records())}
