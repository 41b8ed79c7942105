"""Scenario files: what ships, what is refused, and the web's speed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.line.profile import LineState
from plant_sim.faults import DRIFTS, Play
from plant_sim.scenario import Scenario, ScenarioError, parse, shipped


def one(**play):
    return parse({"play": [play]}, "test")


def test_what_ships():
    assert set(shipped()) == {
        "first-shift",
        "steady-night",
        "batch-change",
        "speed-ramp",
        "web-stop",
        "actuator-trouble",
        "gauge-trouble",
        "slurry-trouble",
        "bolt-trouble",
        "splice",
        "start-stop",
        "patch-coating",
        "grade-change",
        "a-day",
        "hands-off",
    }


@pytest.mark.parametrize("name", shipped())
def test_shipped_scenarios_play_every_drift_of_the_default_difficulty(name):
    scenario = Scenario.load(name)
    assert scenario.name == name and scenario.description
    assert {play.name for play in scenario.plays if play.size == 1.0 and play.onset_s == 0.0} >= set(DRIFTS)


def test_first_shift_changes_batch_at_minute_18():
    (front,) = Scenario.load("first-shift").fronts()
    assert (front.onset_s, front.duration_s, front.size) == (1080.0, 120.0, 1.0)


def test_trouble_plays_what_its_name_says():
    slurry = {play.name for play in Scenario.load("slurry-trouble").plays}
    assert slurry >= {"filter-clog", "tank-level", "bubble", "streak", "cd-temperature", "roll-run-out"}
    bolts = {play.name for play in Scenario.load("bolt-trouble").plays}
    assert bolts >= {"dead-bolt", "reversed-bolt", "lip-stiction", "feedback-noise"}


def test_what_rises_takes_ten_minutes_unless_told_and_speed_ten_seconds():
    ramps = [one(name=name).plays[0].ramp_s for name in ("filter-clog", "tank-level", "cd-temperature")]
    assert ramps == [600.0] * 3 and one(name="web-speed").plays[0].ramp_s == 10.0


def test_a_file_is_loaded_by_its_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[[play]]\nname = "stuck-bolt"\nat = 0.2\nonset_s = 5\n')
    scenario = Scenario.load(path)
    assert scenario.name == "mine"
    assert scenario.plays == (Play("stuck-bolt", onset_s=5, at=0.2),)


@pytest.mark.parametrize(
    ("play", "words"),
    [
        ({"name": "stuck-blot"}, ["play[0].name", "stuck-blot", "stuck-bolt"]),
        ({"name": "stuck-bolt", "onset": 3}, ["play[0]", "'onset'", "'onset_s'"]),
        ({"name": "stuck-bolt", "gauge": "wet"}, ["gauge", "stuck-bolt does not read it"]),
        ({"name": "slow-bolt", "size": 1.5}, ["play[0].size", "1.5", "0 to 1"]),
        ({"name": "stuck-bolt", "at": -0.1}, ["play[0].at", "-0.1", "0 to 1"]),
        ({"name": "stuck-bolt", "onset_s": "soon"}, ["play[0].onset_s", "'soon'"]),
        ({"name": "stuck-bolt", "onset_s": True}, ["play[0].onset_s", "True"]),
        ({"name": "stuck-bolt", "onset_s": float("nan")}, ["play[0].onset_s", "nan"]),
        ({"name": "gauge-bias", "gauge": "moist"}, ["play[0].gauge", "'moist'"]),
        ({"name": "bubble", "size": 500.0}, ["play[0].size", "500", "1 to 100"]),
        ({"name": "streak", "width_mm": 90.0}, ["play[0].width_mm", "90", "0.5 to 60"]),
        ({"name": "roll-run-out", "turn_m": 0.0}, ["play[0].turn_m", "0.1 to 10"]),
        ({"size": 1.0}, ["play[0]", "name"]),
    ],
)
def test_refusals_name_field_value_and_bound(play, words):
    with pytest.raises(ScenarioError) as refusal:
        parse({"play": [play]}, "test")
    assert all(word in str(refusal.value) for word in words), str(refusal.value)


def test_unknown_scenarios_files_and_keys_are_refused(tmp_path):
    with pytest.raises(ScenarioError, match="first-shift"):
        Scenario.load("frist-shift")
    with pytest.raises(ScenarioError, match="cannot be read"):
        Scenario.load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("play = [")
    with pytest.raises(ScenarioError, match="not TOML"):
        Scenario.load(tmp_path / "bad.toml")
    with pytest.raises(ScenarioError, match=r"'plays'.*'play'"):
        parse({"plays": []}, "x")
    with pytest.raises(ScenarioError, match="list of tables"):
        parse({"play": {}}, "x")


def test_speed_ramps_down_and_back():
    scenario = one(name="web-speed", onset_s=100.0, duration_s=50.0, size=0.5, ramp_s=20.0)
    shares = [scenario.speed_share(t) for t in (0.0, 100.0, 110.0, 120.0, 150.0, 160.0, 170.0, 500.0)]
    assert shares == pytest.approx([1.0, 1.0, 0.75, 0.5, 0.5, 0.75, 1.0, 1.0])


def test_a_stop_stands_and_says_so_only_while_the_web_stands():
    scenario = one(name="web-stop", onset_s=100.0, duration_s=60.0, ramp_s=10.0)
    states = {t: scenario.line_state(t) for t in (99.0, 105.0, 110.0, 160.0, 161.0, 170.0)}
    assert [t for t, state in states.items() if state is LineState.STOPPED] == [110.0, 160.0]
    assert scenario.speed_share(130.0) == 0.0 and scenario.speed_share(165.0) == pytest.approx(0.5)


@given(st.floats(0.0, 4000.0))
def test_speed_is_never_negative_nor_above_what_is_played(t_s):
    for name in shipped():
        assert 0.0 <= Scenario.load(name).speed_share(t_s) <= 1.15 + 1e-12
