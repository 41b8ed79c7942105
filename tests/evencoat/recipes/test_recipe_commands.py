"""`evencoat recipe` as a user meets it: from a run to a version, and from version to version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evencoat import cli
from evencoat.journal import JournalReader
from evencoat.league.rivals import Rival
from evencoat.settings import load_line
from evencoat.simulate import Plan, simulate
from plant_sim.scenario import Scenario


def said(*call: str, exit_code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, ["recipe", *call])
    assert result.exit_code == exit_code, result.output
    return result.stdout if exit_code in (0, 3) and result.stdout else result.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four minutes of the pilot line under control."""
    folder = tmp_path_factory.mktemp("run")
    simulate(Plan(load_line("pilot-16"), Scenario.load("steady-night"), Rival.IMC, 4.0, 1), folder)
    return folder


def test_a_run_becomes_a_recipe_and_leaves_the_journal_as_it_was(run: Path) -> None:
    with JournalReader(run / "journal.sqlite") as reader:
        gap_um, head = reader.cycles(("cycle", "gap_um")), reader.head()
    told = said("save", "anode-90", "--from", str(run), "--metres", "40", "--slurry", "graphite", "--why", "first")
    assert "saved: anode-90@1" in told and "lips: mean of 40 m" in told
    recipe = json.loads(said("show", "anode-90", "--store", str(run / "recipes"), "--json"))
    lips = recipe["lips"]
    stood = (gap_um["cycle"] >= lips["from_cycle"]) & (gap_um["cycle"] <= lips["to_cycle"])
    assert abs(gap_um["gap_um"][stood].mean(axis=0) - lips["gap_um"]).max() < 0.5
    assert (recipe["line"], recipe["target_gsm"], recipe["tolerance_pct"], recipe["speed_m_per_min"]) == (
        "pilot-16", 90.0, 2.0, 30.0,
    )  # fmt: skip
    assert (recipe["slurry"], recipe["why"]) == ("graphite", "first")
    with JournalReader(run / "journal.sqlite") as reader:
        assert reader.head() == head and reader.verify().ok
    refused = said("save", "x", "--from", str(run), "--metres", "500", exit_code=2)
    assert "nowhere were 500 m made and then seen to be good" in refused
    assert "is a run of 'pilot-16', not of 'line-40'" in said(
        "save", "x", "--from", str(run), "--line", "line-40", exit_code=2
    )


def test_versions_are_listed_compared_and_held_to_each_other(tmp_path: Path) -> None:
    store = ("--store", str(tmp_path / "recipes"))
    assert "no recipe is there" in said("list", *store)
    assert "there is no recipe 'anode'" in said("show", "anode", *store, exit_code=2)
    assert "name it with --line" in said("save", "anode", *store, exit_code=2)
    said("save", "anode", "--line", "pilot-16", "--why", "to begin with", *store)
    said("save", "anode", "--target-gsm", "91.5", "--material-lot", "L-77", "--job-order", "4711", *store)
    assert "target_gsm = 95: must lie between" in said("save", "anode", "--target-gsm", "95", *store, exit_code=2)
    assert "nothing differs from version 2" in said("save", "anode", "--target-gsm", "91.5", *store, exit_code=2)
    assert said("diff", "anode@1", *store).splitlines() == [
        "anode@1 -> anode@2", "target_gsm: 90 -> 91.5", 'material_lot: "" -> L-77', 'job_order: "" -> 4711',
    ]  # fmt: skip
    assert json.loads(said("diff", "anode@2", "anode@1", *store, "--json"))["fields"]["target_gsm"] == {
        "old": 91.5, "new": 90.0,
    }  # fmt: skip
    assert "nothing differs" in said("diff", "anode", *store)
    assert "4711" in said("show", "anode", *store)
    listed = json.loads(said("list", *store, "--json"))
    assert [one["version"] for one in listed["recipes"]] == [2]
    assert "whole: 2 versions" in said("history", "anode", *store)
    first = tmp_path / "recipes" / "anode" / "000001.json"
    first.write_text(first.read_text().replace("to begin with", "to end with"))
    assert "is not what it was" in said("history", "anode", *store, exit_code=3)
    assert json.loads(said("history", "anode", *store, "--json", exit_code=3))["versions"] == []
