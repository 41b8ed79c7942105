"""Line files: what is accepted, what is refused, and that a refusal helps the person who reads it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.line.description import GaugeKind, LawName
from evencoat.settings import (
    Automation,
    Settings,
    SettingsError,
    line_schema,
    load_line,
    parse_line,
    read_line,
    shipped_lines,
)
from evencoat.settings_rules import Problem
from firmware_bridge.contract import Integrity

HERE = Path("line.toml")
LINE_40 = shipped_lines()["line-40"].read_text()


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(SettingsError) as caught:
        read_line(text, HERE)
    return caught.value.problems


def outcome(text: str) -> Settings | SettingsError:
    try:
        return read_line(text, HERE)
    except SettingsError as error:
        return error


def changed(*swaps: tuple[str, str], text: str = LINE_40) -> str:
    for old, new in swaps:
        assert old in text, f"the shipped file no longer says {old!r}"
        text = text.replace(old, new, 1)
    return text


def only(found: tuple[Problem, ...], field: str) -> Problem:
    assert field in [problem.field for problem in found], found
    return next(problem for problem in found if problem.field == field)


def toml_of(table: dict[str, Any], above: str = "") -> str:
    """A table as TOML; JSON's scalars and lists are TOML's."""
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    text = "".join(f"{json.dumps(key)} = {json.dumps(value)}\n" for key, value in plain.items())
    for key, value in table.items():
        if isinstance(value, dict):
            name = f"{above}.{json.dumps(key)}" if above else json.dumps(key)
            text += f"[{name}]\n{toml_of(value, name)}"
    return text


@pytest.mark.parametrize("name", ["pilot-16", "line-40", "wide-120"])
def test_a_shipped_line_is_found_by_name_by_file_and_by_path(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)  # far from the source checkout, as after pip install
    by_name = load_line(name)
    assert by_name.line.name == name
    assert load_line(f"lines/{name}.toml").line == load_line(by_name.path).line == by_name.line


def test_a_file_in_reach_goes_before_a_shipped_line_of_the_same_name(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines" / "line-40.toml").write_text(changed(("speed_m_per_min = 60.0", "speed_m_per_min = 50.0")))
    monkeypatch.chdir(tmp_path)
    assert load_line("lines/line-40.toml").line.web_speed_mps == pytest.approx(50 / 60)


def test_line_40_is_what_its_file_says() -> None:
    """Numbers restated by hand: a slip in the builder or in the file shows here."""
    found = load_line("line-40")
    line, wire, gate = found.line, found.wire, found.gate
    assert (line.zones, line.die.zone_pitch_mm, line.web_width_mm) == (40, 25.0, 1000.0)
    assert (line.web_speed_mps, line.web_speed_max_mps) == (1.0, pytest.approx(80 / 60))
    assert (line.target.areal_density_gsm, line.target.tolerance_pct) == (180.0, 1.5)
    assert (line.lips.gap_min_um, line.lips.gap_max_um, line.lips.rate_um_per_s) == (480.0, 720.0, 5.0)
    assert line.wet_gauge is not None
    assert line.dry_gauge is not None
    assert (line.wet_gauge.kind, line.wet_gauge.boxes, line.wet_gauge.distance_m) == (GaugeKind.WET_ARRAY, 80, 3.0)
    assert (line.dry_gauge.kind, line.dry_gauge.boxes, line.dry_gauge.period_s) == (GaugeKind.DRY_ARRAY, 80, 1.0)
    assert (line.control.law, line.control.cycle_s) == (LawName.IMC, 0.1)
    assert (wire.integrity, wire.fd, wire.bitrate, wire.dbc_path) == (Integrity.CRC16, True, 500_000, None)
    assert (gate.gap_min_um, gate.step_max_um, gate.pump_trim_max_pct) == (479.9, 0.6, 8.001)
    # 179.4 um of film, 1.0 m wide, from 96 cc a revolution: 112.1 revolutions a minute for each m/s
    assert line.pump_ratio_nominal_rpm_per_mps == pytest.approx(112.119, abs=1e-3)


def test_an_unknown_line_names_the_nearest_one() -> None:
    with pytest.raises(SettingsError, match=r'"line-40".*pilot-16'):
        load_line("line-04")


@pytest.mark.parametrize(
    ("old", "new", "field", "hint"),
    [
        ("width_mm = 1000.0", "widht_mm = 1000.0", "web.widht_mm", '"width_mm"'),
        ("[slurry]", "[slury]", "slury", '"slurry"'),
        ("zones = 40", "zones = 40\nrate_um_per_s = 5.0", "die.rate_um_per_s", "[lips]"),
        ("[gauges.wet]", "[gauges.wett]", "gauges.wett", '"wet"'),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(old: str, new: str, field: str, hint: str) -> None:
    problem = only(problems(changed((old, new))), field)
    assert problem.bound == "unknown key"
    assert hint in problem.advice


@pytest.mark.parametrize(
    ("old", "new", "field", "given", "bound"),
    [
        ("density_kgm3 = 1730.0", "density_kgm3 = 1.73", "slurry.density_kgm3", "1.73", "at least 500"),
        ("zones = 40 ", "zones = 400 ", "die.zones", "400", "at most 140"),
        ("zones = 40\n", "zones = 3\n", "die.zones", "3", "at least 4"),
        ("boxes = 80  ", "boxes = 80.5 ", "gauges.wet.boxes", "80.5", "whole number"),
        ("fd = true", 'fd = "yes"', "bus.fd", '"yes"', "true or false"),
        ("flow_index = 0.6 ", "flow_index = nan ", "slurry.flow_index", "nan", "finite"),
        (
            "stale_periods = 5",
            'stale_periods = 5\nlaw = "pdi"',
            "control.law",
            '"pdi"',
            "'pi', 'imc', 'adaptive' or 'neural'",
        ),
        ('name = "line-40"', 'name = "../line"', "name", '"../line"', "letters"),
        ('policy = "hold"', 'policy = "auto"', "restart.policy", '"auto"', "'hold' or 'resume'"),
        ("snapshot_s = 5.0", "snapshot_s = 0.0", "restart.snapshot_s", "0.0", "at least 0.2"),
        ("[restart]", "[automation]\nclear_s = 0.5\n[restart]", "automation.clear_s", "0.5", "at least 1"),
        (
            "[restart]",
            "[automation]\nrearm_most_per_hour = 21\n[restart]",
            "automation.rearm_most_per_hour",
            "21",
            "at most 20",
        ),
        ("keep_days = 30.0", "keep_days = -1.0", "journal.keep_days", "-1.0", "at least 0.01"),
        ("lip_share = 0.4 ", 'lip_share = "0.4" ', "die.lip_share", '"0.4"', "a number"),
    ],
)
def test_a_number_out_of_bounds_names_field_value_and_bound(
    old: str, new: str, field: str, given: str, bound: str
) -> None:
    old, new = old.rstrip("\n "), new.rstrip("\n ")
    problem = only(problems(changed((old, new))), field)
    assert problem.given == given
    assert bound in problem.bound


def test_nothing_is_left_to_the_automation_but_what_the_file_says() -> None:
    assert {load_line(name).automation for name in shipped_lines()} == {Automation()}
    said = "[automation]\nstart = true\nrearm_most_per_hour = 3\n[restart]"
    assert read_line(changed(("[restart]", said)), HERE).automation == Automation(start=True, rearm_most_per_hour=3)


def test_a_law_is_the_files_own_where_it_names_one_and_nobodys_where_it_does_not() -> None:
    assert [load_line(name).named_law for name in shipped_lines()] == [None] * 3
    named = read_line(changed(("[control]", '[control]\nlaw = "pi"')), HERE)
    assert named.named_law is named.line.control.law is LawName.PI


def test_a_missing_key_is_named_with_its_meaning() -> None:
    problem = only(problems(changed(("tolerance_pct = 1.5", ""))), "target.tolerance_pct")
    assert problem.bound == "is required"
    assert "percent of target" in problem.advice


def test_a_problem_tells_the_line_of_the_file() -> None:
    text = changed(("density_kgm3 = 1730.0", "density_kgm3 = 1.73"))
    number = only(problems(text), "slurry.density_kgm3").line
    assert number is not None
    assert text.splitlines()[number - 1].startswith("density_kgm3 = 1.73")


def test_all_problems_come_at_once_and_each_is_a_line_of_the_message() -> None:
    with pytest.raises(SettingsError) as caught:
        read_line(changed(("width_mm", "widht_mm"), ("flow_index = 0.6", "flow_index = 60")), HERE)
    assert {problem.field for problem in caught.value.problems} == {"web.width_mm", "web.widht_mm", "slurry.flow_index"}
    assert str(caught.value).startswith("line.toml: 3 problems\n")
    assert len(str(caught.value).splitlines()) == 4


@pytest.mark.parametrize(
    ("swaps", "field", "word"),
    [
        ([("width_mm = 1000.0", "width_mm = 900.0")], "web.width_mm", "half a pitch"),
        ([("speed_m_per_min = 60.0", "speed_m_per_min = 90.0")], "web.speed_m_per_min", "speed_max"),
        ([("gap_nominal_um = 600.0", "gap_nominal_um = 800.0")], "die.gap_nominal_um", "480..720"),
        ([("gap_min_um = 480.0", "gap_min_um = 730.0")], "lips.gap_min_um", "below lips.gap_max_um"),
        ([("neighbour_max_um = 50.0", "neighbour_max_um = 300.0")], "lips.neighbour_max_um", "lip range"),
        ([("bend_max_um = 70.0", "bend_max_um = 101.0")], "lips.bend_max_um", "twice"),
        ([("resolution_um = 0.2", "resolution_um = 0.05")], "lips.resolution_um", "command_step_um"),
        ([("rate_um_per_s = 5.0", "rate_um_per_s = 0.9")], "lips.rate_um_per_s", "one command count"),
        ([("cycle_s = 0.1", "cycle_s = 0.15")], "control.cycle_s", "whole multiple"),
        ([("distance_m = 63.0", "distance_m = 2.0")], "gauges.dry.distance_m", "further from the die"),
        ([("speed_max_rpm = 165.0", "speed_max_rpm = 150.0")], "pump.speed_max_rpm", "cannot meet the target"),
        ([("areal_density_gsm = 180.0", "areal_density_gsm = 660.0")], "target.areal_density_gsm", "thicker|beyond"),
        ([("boxes = 80", "boxes = 19")], "gauges.wet.boxes", "half of die.zones"),
        ([("noise_pct = 0.3", "noise_pct = 0.3\nhead_speed_mps = 0.3")], "gauges.dry.period_s", "at least 3.33"),
        ([("noise_pct = 0.4 ", "head_speed_mps = 2.0\nnoise_pct = 0.4 ")], "gauges.wet.head_speed_mps", "only dry"),
        ([("data_bitrate = 2_000_000", "data_bitrate = 250_000")], "bus.data_bitrate", "bus.bitrate"),
        ([("fd = true", "fd = false")], "bus.integrity", "needs CAN FD"),
        ([("# profile_gsm = [ ... ]", "profile_gsm = [180.0, 181.0]")], "target.profile_gsm", "one value a zone"),
        ([("# profile_gsm = [ ... ]", f"profile_gsm = {[200.0] * 40}")], "target.profile_gsm", "average"),
        ([("gap_max_um = 720.1", "gap_max_um = 719.9")], "gate.gap_max_um", "narrower"),
        ([("gap_min_um = 479.9", "gap_min_um = 480.1")], "gate.gap_min_um", "narrower"),
        ([("step_max_um = 0.6", "step_max_um = 1.1")], "gate.step_max_um", "counts wider"),
        ([("pump_trim_step_pct = 0.051", "pump_trim_step_pct = 0.06")], "gate.pump_trim_step_pct", "counts wider"),
        ([("= 95.0 ", "= 113.0 ")], "gate.pump_ratio_min_rpm_per_mps", "below the recipe"),
        ([("= 124.0", "= 112.0")], "gate.pump_ratio_max_rpm_per_mps", "above the recipe"),
    ],
)
def test_a_contradiction_between_tables_is_refused(swaps: list[tuple[str, str]], field: str, word: str) -> None:
    problem = only(problems(changed(*swaps)), field)
    assert any(part in problem.bound for part in word.split("|")), problem.bound
    assert problem.line is not None


def test_a_line_without_any_gauge_is_refused() -> None:
    start, end = LINE_40.index("[gauges.wet]"), LINE_40.index("[control]")
    text = LINE_40[:start] + "[gauges]\n" + LINE_40[end:]
    assert only(problems(text), "gauges").bound == "a line needs at least one gauge"


@pytest.mark.parametrize("kept", ["wet", "dry"])
def test_one_gauge_is_enough(kept: str) -> None:
    table = tomllib.loads(LINE_40)
    table["gauges"] = {kept: table["gauges"][kept]}
    line = read_line(toml_of(table), HERE).line
    assert (line.wet_gauge is None, line.dry_gauge is None) == (kept == "dry", kept == "wet")


def test_the_control_table_may_be_left_out() -> None:
    table = tomllib.loads(LINE_40)
    del table["control"]
    assert read_line(toml_of(table), HERE).line.control.cycle_s == 0.1


def test_a_target_profile_reaches_the_zones() -> None:
    profile = [175.0] * 20 + [185.0] * 20
    line = read_line(changed(("# profile_gsm = [ ... ]", f"profile_gsm = {profile}")), HERE).line
    assert line.target_profile_gsm.tolist() == profile


def test_a_dbc_is_looked_up_beside_the_line_file(tmp_path: Path) -> None:
    text = changed(("[bus]", '[bus]\ndbc = "own.dbc"'))
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"own\.dbc"):
        load_line(path)
    (tmp_path / "own.dbc").write_text("")
    assert load_line(path).wire.dbc_path == tmp_path / "own.dbc"


def test_bus_tables_reach_the_wire() -> None:
    extra = (
        '[bus.options]\napp_name = "line"\nrx_queue = 3\n[bus.map]\n"sync.web_m" = "Pos"\n[bus.data_ids]\nSYNC = 7\n'
    )
    found = read_line(changed(("# Last word before the bus.", f"{extra}\n# Last word before the bus.")), HERE)
    assert found.wire.options == {"app_name": "line", "rx_queue": 3}
    assert found.wire.signal_map == {"sync.web_m": "Pos"}
    assert found.wire.data_ids == {"SYNC": 7}


@pytest.mark.parametrize("text", ["[web", "a = 1\na = 2", "x = [" * 2000, "", "name = 1", f"n = {'9' * 5000}"])
def test_what_is_not_a_line_file_is_a_settings_error(text: str) -> None:
    assert problems(text)


def test_a_binary_file_and_a_huge_file_are_settings_errors(tmp_path: Path) -> None:
    binary, huge = tmp_path / "binary.toml", tmp_path / "huge.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    huge.write_text("#" * 1_000_001)
    for path in (binary, huge):
        with pytest.raises(SettingsError, match=path.name):
            load_line(path)


def test_the_schema_knows_every_table_and_forbids_the_rest() -> None:
    schema = line_schema()
    assert set(schema["required"]) == {"name", "web", "target", "slurry", "die", "lips", "pump", "gauges", "gate"}
    assert schema["additionalProperties"] is False
    assert json.loads(json.dumps(schema)) == schema


# --- properties --------------------------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**18, max_value=10**400),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=20),
    st.lists(st.integers(), max_size=3),
)
PATHS = [
    (*above, key)
    for above, table in [((), tomllib.loads(LINE_40))]
    for key, value in table.items()
    for above, key in ([(above, key)] if not isinstance(value, dict) else [((key,), inner) for inner in value])
]


def toml_value(value: object) -> str:
    if isinstance(value, float):
        return {"inf": "inf", "-inf": "-inf", "nan": "nan"}.get(str(value), repr(value))
    if isinstance(value, str):
        return json.dumps(value.encode("utf-8", "replace").decode().replace("\x7f", ""))
    return json.dumps(value)


def with_value(path: tuple[str, ...], value: object) -> str:
    """The shipped file with one key replaced, written anew."""
    table = tomllib.loads(LINE_40)
    holder = table
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = "@@@"
    return toml_of(table).replace('"@@@"', toml_value(value))


@given(path=st.sampled_from(PATHS), value=SCALARS)
@settings(max_examples=300, deadline=None)
def test_no_value_of_any_key_raises_anything_but_a_settings_error(path: tuple[str, ...], value: object) -> None:
    found = outcome(with_value(path, value))
    assert str(found) if isinstance(found, SettingsError) else found.line.zones >= 4


@given(cut=st.integers(0, len(LINE_40)), length=st.integers(1, 400), junk=st.text(max_size=8))
@settings(max_examples=200, deadline=None)
def test_no_torn_file_raises_anything_but_a_settings_error(cut: int, length: int, junk: str) -> None:
    found = outcome(LINE_40[:cut] + junk + LINE_40[cut + length :])
    assert str(found) if isinstance(found, SettingsError) else found.line.zones >= 4


@given(
    speed=st.floats(1, 80),
    target=st.floats(170, 182),
    tolerance=st.floats(0.1, 20),
    shift=st.floats(-50, 50),
    cycles=st.integers(1, 5),
)
@settings(max_examples=60, deadline=None)
def test_a_valid_file_survives_being_written_and_read_again(
    speed: float, target: float, tolerance: float, shift: float, cycles: int
) -> None:
    table = tomllib.loads(LINE_40)
    table["web"]["speed_m_per_min"] = speed
    table["target"].update(areal_density_gsm=target, tolerance_pct=tolerance)
    table["die"]["alignment_shift_mm"] = shift
    table["control"]["cycle_s"] = cycles * table["bus"]["sync_period_s"]
    table["gate"].update(step_max_um=0.5 * cycles + 0.1, pump_trim_step_pct=0.05 * cycles + 0.001)
    first = parse_line(toml_of(table), "first")
    again = parse_line(toml_of(first.model_dump(exclude_none=True)), "again")
    assert again == first
    assert again.web.speed_m_per_min == speed
