"""A plan is read whole: what is wrong with it is said before the line is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from evencoat.automation.plan import Place, Plan, PlanError, chosen, load
from evencoat.cli import app
from evencoat.journal import CycleJournal
from evencoat.recipes.store import RecipeStore
from evencoat.settings import load_line
from tests.evencoat.recipes.test_recipe import LINE, anything, saved

PLAN = """
recipe = "anode"
[[change]]
roll = 3
recipe = "anode@1"
[[change]]
web_m = 500.0
recipe = "other"
[[change]]
plc = "4711"
recipe = "anode"
"""


def read(folder: Path, text: str) -> Path:
    path = folder / "plan.toml"
    path.write_text(text)
    return path


@pytest.fixture
def store(tmp_path: Path) -> RecipeStore:
    made = RecipeStore(tmp_path / "recipes")
    saved(made)
    saved(made, target_gsm=91.0)
    saved(made, name="other")
    return made


def test_a_plan_has_the_versions_of_when_it_was_read(tmp_path: Path, store: RecipeStore) -> None:
    plan = load(read(tmp_path, PLAN), store, LINE)
    assert plan.first is not None and plan.first.ref == "anode@2"
    assert [change.recipe.ref for change in plan.changes] == ["anode@1", "other@1", "anode@2"]
    found = [chosen(plan, place) for place in (Place(1, 0.0), Place(3, 0.0), Place(3, 600.0), Place(1, 0.0, "4711"))]
    assert [one.ref for one in found if one] == ["anode@2", "anode@1", "other@1", "anode@2"]
    nothing = load(read(tmp_path, ""), store, LINE)
    assert nothing == Plan() and chosen(nothing, Place(9, 1e6)) is None


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("recipe = 3", "recipe = 3"),
        ("recipes = 'anode'", "recipes"),
        ("recipe = 'anode", "is not TOML"),
        ("recipe = 'nodeA'", "recipe = 'nodeA': .*there is no recipe"),
        ("recipe = '../../anode'", "must be 1 to 64 letters"),
        ("[[change]]\nrecipe = 'anode'", r"change\[0\]: needs one of roll, web_m and plc, has none"),
        ("[[change]]\nrecipe = 'anode'\nroll = 2\nweb_m = 3.0", "has roll, web_m"),
        ("[[change]]\nrecipe = 'anode'\nroll = 0", "change.0.roll = 0"),
        ("[[change]]\nrecipe = 'anode'\nweb_m = nan", "change.0.web_m"),
        ("[[change]]\nrecipe = 'anode@7'\nroll = 2", "has versions 1 to 2"),
        ("x" * 100_001, "larger than 100000 bytes"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, store: RecipeStore, text: str, refused: str) -> None:
    with pytest.raises(PlanError, match=refused):
        load(read(tmp_path, text), store, LINE)


def test_a_recipe_that_the_line_cannot_run_is_no_plan(tmp_path: Path, store: RecipeStore) -> None:
    store.save("wide", {"line": "pilot-16", "target_gsm": 99.0, "tolerance_pct": 2.0, "speed_m_per_min": 30.0},
               "mara", "", anything)  # fmt: skip
    with pytest.raises(PlanError, match=r"recipe = 'wide': target_gsm = 99: must lie between"):
        load(read(tmp_path, "recipe = 'wide'"), store, LINE)
    with pytest.raises(PlanError, match="cannot be read"):
        load(tmp_path / "none.toml", store, LINE)


def test_the_command_line_refuses_to_sit_where_nothing_is_allowed(tmp_path: Path) -> None:
    line, path = load_line("pilot-16"), tmp_path / "journal.sqlite"
    CycleJournal(path, line.line, line.text).close()
    shown = CliRunner().invoke(app, ["automation", "run", "pilot-16", str(path)])
    assert shown.exit_code == 2 and "[automation] allows nothing" in shown.output
    shown = CliRunner().invoke(app, ["automation", "run", "pilot-16", str(path), "--plan", str(tmp_path / "none.toml")])
    assert shown.exit_code == 2 and "cannot be read" in shown.output
