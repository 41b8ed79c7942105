"""Commissioning as a user meets it: a rehearsal, a page, a proposal, a name to it, and a line that uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evencoat.cli import app
from evencoat.commissioned import ModelFile, applied, model_path, read_model, write_model
from evencoat.settings import SettingsError, load_line
from evencoat.terminal import ANSWER_IS_NO, WRONG_CALL

run = CliRunner().invoke
NAME = "Night shift"


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """A line file of one's own, the folder that a rehearsal left, and what it printed."""
    folder = tmp_path_factory.mktemp("commission")
    line = folder / "pilot.toml"
    line.write_text(Path("lines/pilot-16.toml").read_text())
    result = run(app, ["commission", "--line", str(line), "--rehearse", "--out", str(folder / "run"), "--json"])
    assert result.exit_code == 0, result.output
    return line, folder / "run", json.loads(result.stdout)


@pytest.fixture
def line(rehearsed: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> Path:
    """The same line file, alone in a folder."""
    copy = tmp_path / "pilot.toml"
    copy.write_text(rehearsed[0].read_text())
    return copy


def proposal(rehearsed: tuple[Path, Path, dict[str, Any]]) -> Path:
    return rehearsed[1] / "proposed.model.toml"


def test_a_rehearsal_finds_the_line_keeps_its_budget_and_leaves_a_page(
    rehearsed: tuple[Path, Path, dict[str, Any]],
) -> None:
    _, folder, found = rehearsed
    assert found["enough"] and found["spent_m"] <= found["budget_m"]
    assert found["dead_bolts"] == found["reversed_bolts"] == found["stuck_bolts"] == []
    assert found["model"]["response"]["gain_factor"] == pytest.approx(1.0, abs=0.15)
    assert found["model"]["gauges"]["wet_distance_m"] == pytest.approx(2.0, rel=0.02)
    page = (folder / "commission.html").read_text()
    assert page.count("data:image/png") == 2 and "95 % interval" in page
    assert json.loads((folder / "commission.json").read_text())["why"] == found["why"]
    assert found["signed_off"] is None


def test_a_proposal_changes_nothing_until_somebody_signs_it(
    rehearsed: tuple[Path, Path, dict[str, Any]], line: Path
) -> None:
    write_model(model_path(line), read_model(proposal(rehearsed)))
    unsigned = load_line(line)
    assert unsigned.model is not None and unsigned.line == unsigned.drawn
    result = run(app, ["sign-off", str(rehearsed[1]), "--line", str(line), "--name", NAME])
    assert result.exit_code == 0, result.output
    signed = load_line(line)
    assert signed.model is not None and signed.model.signed_off_by == NAME
    assert signed.line.die.gain_factor == read_model(proposal(rehearsed)).response.gain_factor
    assert signed.line.die.alignment_uncertainty_mm < signed.drawn.die.alignment_uncertainty_mm
    doubt = signed.line.die.doubt
    assert doubt is not None and signed.drawn.die.doubt is None
    told = signed.model.doubt
    assert doubt.shift_pitches * signed.line.die.zone_pitch_mm == pytest.approx(told["alignment_shift_mm"])
    assert doubt.delay_s * signed.line.web_speed_mps == pytest.approx(told["distance_m"])
    assert 0.0 < doubt.gain < 0.03 and 0.0 < doubt.kernel < 0.06 and 0.0 <= doubt.stretch < 0.01
    assert load_line(line, commissioned=False).line == signed.drawn


def test_what_is_found_is_the_controllers_belief_and_never_the_plants_truth(
    rehearsed: tuple[Path, Path, dict[str, Any]], line: Path
) -> None:
    call = ["sim", str(line), "--minutes", "1", "--controller", "open", "--json"]
    before = json.loads(run(app, call).stdout)["sigma_total_pct"]
    assert run(app, ["sign-off", str(rehearsed[1]), "--line", str(line), "--name", NAME]).exit_code == 0
    assert json.loads(run(app, call).stdout)["sigma_total_pct"] == before


def test_a_model_of_another_machine_is_refused_and_says_what_to_do(
    rehearsed: tuple[Path, Path, dict[str, Any]], line: Path
) -> None:
    assert run(app, ["sign-off", str(rehearsed[1]), "--line", str(line), "--name", NAME]).exit_code == 0
    text = line.read_text()
    line.write_text(text.replace("stale_periods = ", "stale_periods = 1"))  # tuning is no machine
    assert load_line(line).model is not None
    line.write_text(text.replace("flow_index = ", "flow_index = 0.9  # was "))
    with pytest.raises(SettingsError, match=r"belongs_to.*has changed since.*evencoat commission"):
        load_line(line)
    result = run(app, ["sign-off", str(rehearsed[1]), "--line", str(line), "--name", NAME])
    assert result.exit_code == WRONG_CALL and "another machine" in result.output


def test_a_broken_model_is_refused_with_the_key(rehearsed: tuple[Path, Path, dict[str, Any]], line: Path) -> None:
    text = proposal(rehearsed).read_text()
    model_path(line).write_text(text.replace("gain_factor = ", "gain_factor = 1000.0  # ", 1))
    with pytest.raises(SettingsError, match=r"response\.gain_factor"):
        load_line(line)


def test_a_model_of_a_die_with_other_bolts_is_refused(rehearsed: tuple[Path, Path, dict[str, Any]]) -> None:
    model = read_model(proposal(rehearsed))
    fewer = model.response.model_copy(update={"bolt_gains": model.response.bolt_gains[:-1]})
    with pytest.raises(ValueError, match=r"bolt_gains: 15 values, but the die has 16 bolts"):
        applied(load_line("pilot-16").line, model.model_copy(update={"response": fewer}))


def test_a_model_survives_being_written(rehearsed: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    model = read_model(proposal(rehearsed)).model_copy(update={"signed_off_by": 'A "quoted" näme'})
    write_model(tmp_path / "again.toml", model)
    assert read_model(tmp_path / "again.toml") == ModelFile.model_validate(model.model_dump())


def test_nobody_is_moved_without_consent() -> None:
    result = run(app, ["commission", "--line", "pilot-16"])
    assert result.exit_code == WRONG_CALL and "--yes" in result.output


def test_too_small_a_budget_answers_no_and_says_so(tmp_path: Path) -> None:
    call = ["commission", "--line", "pilot-16", "--rehearse", "--budget-m", "20", "--out", str(tmp_path)]
    result = run(app, call)
    assert result.exit_code == ANSWER_IS_NO, result.output
    assert "budget" in result.output
