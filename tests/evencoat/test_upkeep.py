"""`evencoat commission --reverse` as a user meets it: a line whose map went wrong, tested with the loop closed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from evencoat.cli import app
from evencoat.commissioned import learnt, model_path, read_model, write_model
from evencoat.settings import load_line, parse_line
from evencoat.terminal import ANSWER_IS_NO, WRONG_CALL
from plant_sim.noise import generator

run = CliRunner().invoke
NAME = "Night shift"


def signed_wrongly(folder: Path, shipped: str, shift_zones: float) -> Path:
    """A shipped line with a model beside it that somebody signed, so many zones off the drawing."""
    path = folder / f"{shipped}.toml"
    path.write_text(Path(f"lines/{shipped}.toml").read_text())
    settings = load_line(path)
    die = settings.line.die
    line = replace(
        settings.line,
        die=replace(
            die,
            alignment_shift_mm=shift_zones * die.zone_pitch_mm,
            bolt_gains=(1.0,) * die.zones,
            bolt_delivery=(1.0,) * die.zones,
        ),
    )
    model = learnt(line, parse_line(settings.text, str(path)), np.array([0.02, 0.02, 0.02, 0.001]), None, {})
    write_model(model_path(path), model.model_copy(update={"signed_off_by": NAME}))
    assert load_line(path).line.die.alignment_shift_mm == pytest.approx(line.die.alignment_shift_mm)
    return path


def true_shift_zones(path: Path, seed: int) -> float:
    """Of the line that a rehearsal draws, as plant_sim.truth draws it about the drawing."""
    die = load_line(path, commissioned=False).line.die
    drawn_mm = float(generator(seed, "truth.alignment").uniform(-1.0, 1.0)) * die.alignment_uncertainty_mm
    return drawn_mm / die.zone_pitch_mm


def test_a_model_half_a_zone_off_is_put_right_and_awaits_a_name(tmp_path: Path) -> None:
    path, folder = signed_wrongly(tmp_path, "line-40", 0.5), tmp_path / "run"
    call = ["commission", "--reverse", "--rehearse", "--line", str(path), "--out", str(folder), "--json"]
    result = run(app, call)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    pitch_mm = load_line(path).line.die.zone_pitch_mm
    assert found["before"]["alignment_shift_mm"] == pytest.approx(0.5 * pitch_mm)
    assert found["after"]["alignment_shift_mm"] / pitch_mm == pytest.approx(true_shift_zones(path, 1), abs=0.15)
    assert found["finished"] and found["told"] and found["news"] and found["bumps"] == 12
    assert 0.15 <= found["share_of_tolerance"] <= 0.25
    assert json.loads((folder / "reverse.json").read_text())["after"] == found["after"]

    before = load_line(path).line
    signing = run(app, ["sign-off", str(folder), "--line", str(path), "--name", NAME])
    assert signing.exit_code == 0, signing.output
    after = load_line(path).line
    assert after.die.alignment_shift_mm == pytest.approx(found["after"]["alignment_shift_mm"], abs=0.001)
    assert after.die.bolt_gains == before.die.bolt_gains and after.wet_gauge == before.wet_gauge
    doubt = read_model(folder / "proposed.model.toml").doubt
    assert doubt["alignment_shift_mm"] == pytest.approx(found["alignment_sigma_zones"] * pitch_mm, abs=1e-4)
    assert after.die.doubt is not None and after.die.doubt.shift_pitches < 0.1


def test_where_play_swallows_the_moves_the_answer_is_no(tmp_path: Path) -> None:
    path = tmp_path / "worn.toml"
    path.write_text(Path("lines/pilot-16.toml").read_text().replace("backlash_um = 1.0", "backlash_um = 4.0"))
    assert load_line(path).line.lips.backlash_um == 4.0
    result = run(app, ["commission", "--reverse", "--rehearse", "--line", str(path), "--out", str(tmp_path / "run")])
    assert result.exit_code == ANSWER_IS_NO
    assert "commission instead" in result.stdout
    assert not (tmp_path / "run" / "proposed.model.toml").exists()


@pytest.mark.parametrize("extra", [["--sign-off", NAME], ["--budget-m", "100"]])
def test_it_is_no_commissioning(extra: list[str]) -> None:
    result = run(app, ["commission", "--reverse", "--rehearse", "--line", "pilot-16", *extra])
    assert result.exit_code == WRONG_CALL
    assert "--sign-off" in result.output


def test_nobody_is_moved_without_being_asked() -> None:
    result = run(app, ["commission", "--reverse", "--line", "pilot-16", "--bus", "virtual:upkeep"])
    assert result.exit_code == WRONG_CALL
    assert "--yes" in result.output
