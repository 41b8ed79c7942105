"""`evencoat init`: answers judged at once, a file that `check` accepts, and what is found in a foreign DBC."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evencoat.cli import app
from evencoat.first_hour_commands import parsed
from evencoat.interview import DRY, WET, Interview, flattened, questions, toml
from evencoat.settings import load_line, shipped_lines
from evencoat.terminal import ANSWER_IS_NO, WRONG_CALL
from firmware_bridge.dbc_fit import fit_dbc
from tests.firmware_bridge.wires import FOREIGN_DBC, FOREIGN_MAP

run = CliRunner().invoke

FACTS: dict[str, Any] = {
    "web.width_mm": 600.0,
    "web.speed_m_per_min": 30.0,
    "slurry.density_kgm3": 1500.0,
    "slurry.solids_fraction": 0.6,
    "target.areal_density_gsm": 180.0,
    "die.zones": 24,
    "die.gap_nominal_um": 600.0,
    "pump.displacement_cc_per_rev": 50.0,
    f"{WET}.distance_m": 3.0,
    f"{DRY}.distance_m": 33.0,
}


def answers(path: Path, **changes: object) -> Path:
    """An answers file of the facts; a change of None leaves one out."""
    told = FACTS | {key.replace("__", "."): value for key, value in changes.items()}
    tables: dict[str, list[str]] = {}
    for dotted, value in told.items():
        table, _, key = dotted.rpartition(".")
        if value is not None:
            tables.setdefault(table, []).append(f"{key} = {toml(value)}")
    path.write_text("\n".join(f"[{table}]\n" + "\n".join(rows) for table, rows in tables.items()))
    return path


def asked_so_far(until: str) -> Interview:
    """An interview in which everything before one question was answered, the facts as above."""
    interview = Interview(questions(None, "line-7"))
    for question in interview.asked:
        if question.field == until:
            return interview
        if interview.is_open(question):
            value = FACTS.get(question.field, interview.proposal(question))
            interview.answer(question.field, value, proposed=not question.fact)
    raise AssertionError(f"no question {until}")


def test_a_line_from_ten_facts_is_one_that_check_accepts(tmp_path: Path) -> None:
    file = tmp_path / "line-7.toml"
    result = run(app, ["init", str(file), "--answers", str(answers(tmp_path / "a.toml")), "--yes", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["ok"] is True
    line = load_line(file).line
    assert (line.name, line.zones, line.web_width_mm) == ("line-7", 24, 600.0)
    assert line.wet_gauge is not None and line.wet_gauge.boxes == 48
    assert run(app, ["check", str(file), "--json"]).exit_code == 0
    text = file.read_text()
    assert "zones = 24" in text and "number of adjusting bolts" in text
    assert "Nobody has looked at these" in text


@pytest.mark.parametrize("name", ["pilot-16", "line-40", "wide-120"])
def test_a_shipped_line_given_as_answers_is_written_as_the_same_line(name: str, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.toml"
    result = run(app, ["init", str(file), "--answers", str(shipped_lines()[name])])
    assert result.exit_code == 0, result.output
    again, before = load_line(file), load_line(name)
    assert (again.line, again.gate) == (before.line, before.gate)
    assert (again.wire, again.retention, again.restart) == (before.wire, before.retention, before.restart)
    assert "Nobody has looked" not in file.read_text()


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("# mine\n")
    call = ["init", str(file), "--answers", str(answers(tmp_path / "a.toml")), "--yes"]
    result = run(app, call)
    assert result.exit_code == WRONG_CALL and "is there already" in result.output
    assert file.read_text() == "# mine\n"
    assert run(app, [*call, "--overwrite"]).exit_code == 0
    assert load_line(file).line.zones == 24


def test_missing_facts_and_the_gate_are_asked_for_all_at_once(tmp_path: Path) -> None:
    told = answers(tmp_path / "a.toml", die__zones=None, web__width_mm=None)
    result = run(app, ["init", str(tmp_path / "x.toml"), "--answers", str(told)])
    assert result.exit_code == WRONG_CALL
    assert all(f"{field}: is required" in result.output for field in ("die.zones", "web.width_mm", "gate"))
    assert not (tmp_path / "x.toml").exists()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("web__width_mm", 20.0, "web.width_mm = 20.0: must be at least 50"),
        ("die__zones", 24.5, "die.zones = 24.5: must be a whole number"),
        ("die__zoness", 24, 'Did you mean "zones"?'),
        ("die__zone_pitch_mm", 30.0, "must be within half a pitch"),
        ("gate__gap_min_um", 490.0, "gate.gap_min_um"),
    ],
)
def test_wrong_answers_of_a_file_name_field_value_and_bound(
    field: str, value: object, words: str, tmp_path: Path
) -> None:
    told = answers(tmp_path / "a.toml", **{field: value})
    result = run(app, ["init", str(tmp_path / "x.toml"), "--answers", str(told), "--yes"])
    assert result.exit_code == WRONG_CALL and words in result.output
    assert not (tmp_path / "x.toml").exists()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("die.gap_nominal_um", 60.0, "beyond die.gap_nominal_um = 60"),
        ("die.zone_pitch_mm", 30.0, "must be within half a pitch"),
        ("lips.gap_max_um", 470.0, "gap_max_um"),
        ("web.speed_max_m_per_min", 20.0, "must not exceed"),
        (f"{DRY}.distance_m", 2.0, "must be further from the die"),
        ("pump.speed_max_rpm", 20.0, "cannot meet the target"),
        ("gate.gap_min_um", 490.0, "narrower than the envelope"),
        ("gate.bend_max_um", 90.0, "more than 5 counts wider"),
        ("gate.pump_ratio_max_rpm_per_mps", 100.0, "above the recipe's ratio"),
    ],
)
def test_an_answer_that_contradicts_an_earlier_one_is_refused_when_it_is_given(
    field: str, value: float, words: str
) -> None:
    interview = asked_so_far(field)
    with pytest.raises(ValueError, match=words):
        interview.answer(field, value)
    assert field not in interview.answers


def test_a_line_has_a_gauge() -> None:
    interview = asked_so_far(DRY)
    for key in [key for key in interview.answers if key.startswith(WET)]:
        interview.forget(key)
    interview.answer(WET, False)
    with pytest.raises(ValueError, match="at least one gauge"):
        interview.answer(DRY, False)


def test_whoever_says_no_to_a_gauge_is_not_asked_of_it() -> None:
    interview = asked_so_far(WET)
    interview.answer(WET, False)
    open_fields = [question.field for question in interview.asked if interview.is_open(question)]
    assert not [name for name in open_fields if name.startswith(WET)]
    assert f"{DRY}.boxes" in open_fields


def test_what_is_typed_becomes_what_the_key_holds() -> None:
    assert parsed("die.zones", "24") == 24 and parsed("web.width_mm", "1.5") == 1.5
    assert parsed("bus.channel", "can1") == "can1" and parsed(WET, "Yes") is True
    with pytest.raises(ValueError, match="must be a number"):
        parsed("web.width_mm", "600 mm")
    with pytest.raises(ValueError, match="yes or no"):
        parsed(DRY, "perhaps")


def test_nobody_at_the_terminal_is_told_so(tmp_path: Path) -> None:
    result = run(app, ["init", str(tmp_path / "x.toml")])
    assert result.exit_code == WRONG_CALL and "--answers" in result.output


@pytest.mark.parametrize("value", ['a "b" \\ \n ü \x7f', True, 3, 0.1, ["x", 1]])
def test_values_are_read_back_as_they_were(value: object) -> None:
    assert tomllib.loads(f"key = {toml(value)}")["key"] == value


def test_tables_become_dotted_keys_and_maps_stay_whole() -> None:
    told = flattened({"name": "a", "gauges": {"wet": {"boxes": 8}}, "bus": {"map": {"*.crc": "Chk"}}})
    assert told == {"name": "a", WET: True, f"{WET}.boxes": 8, "bus.map": {"*.crc": "Chk"}}


# --- a line's own DBC --------------------------------------------------------------------------------------------


def test_every_signal_of_the_foreign_dbc_is_found() -> None:
    found = fit_dbc(FOREIGN_DBC)
    plain = {role: name.rpartition(".")[2] for role, name in FOREIGN_MAP.items()}
    assert found.map() == plain and found.missing() == ()
    assert (found.fd, found.integrity) == (False, "crc8")
    lips, wet = found.of("die_command.gap_um"), found.of("wet_profile.film_um")
    assert lips is not None and (lips.places, lips.count) == (24, 0.5)
    assert wet is not None and wet.places == 48


def test_a_line_on_its_own_dbc_takes_zones_boxes_and_counts_from_it(tmp_path: Path) -> None:
    told = answers(tmp_path / "a.toml", die__zones=None)
    file = tmp_path / "line.toml"
    result = run(app, ["init", str(file), "--answers", str(told), "--dbc", str(FOREIGN_DBC), "--yes", "--json"])
    assert result.exit_code == 0, result.output
    line = load_line(file).line
    assert (line.zones, line.lips.command_step_um) == (24, 0.5)
    assert line.dry_gauge is not None and line.dry_gauge.boxes == 48


def test_what_a_dbc_lacks_is_said_and_can_be_named(tmp_path: Path) -> None:
    """Without units, and with names that say nothing, a person has to name the pump's command."""
    text = FOREIGN_DBC.read_text().replace("TrimmSoll", "Xyz")
    dbc = tmp_path / "own.dbc"
    dbc.write_text(text)
    assert [fit.role for fit in fit_dbc(dbc).missing()] == ["pump_command.trim_pct"]
    told = answers(tmp_path / "a.toml")
    call = ["init", str(tmp_path / "line.toml"), "--answers", str(told), "--dbc", str(dbc), "--yes"]
    result = run(app, call)
    assert result.exit_code == WRONG_CALL and "pump_command.trim_pct in %" in result.output
    told.write_text(told.read_text() + '\n[bus.map]\n"pump_command.trim_pct" = "Xyz"\n')
    assert run(app, call).exit_code in (0, ANSWER_IS_NO)
    assert load_line(tmp_path / "line.toml").wire.signal_map["pump_command.trim_pct"] == "Xyz"
