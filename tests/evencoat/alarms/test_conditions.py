"""What cycles say: the catalogue's words are whole, and figures of cycles become the conditions that they mean."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from controller.line.command import Cause, Mode, Outcome, Rung
from controller.line.profile import LineState
from evencoat.alarms.catalogue import CATALOGUE, DEVICES, HOLDS, Context, Ne107, told
from evencoat.alarms.conditions import DRY_DELAYS, Surroundings, silent
from evencoat.alarms.engine import Key, State
from evencoat.alarms.replay import Panel
from tests.factories import make_line

LINE = make_line(zones=8)
QUIET_S = 200.0  # after which a line with a dry gauge at 63 m has settled


class Run:
    """Cycles of a quiet line, of which single values are changed."""

    def __init__(self) -> None:
        self.panel, self.t_s, self.web_m, self.scan = Panel(LINE), 0.0, 0.0, 0
        self.rng = np.random.default_rng(1)

    def cycle(self, **changes: Any) -> dict[str, Any]:
        self.t_s += 0.1
        self.web_m += 0.1
        self.scan += 1
        zones = LINE.zones
        rpm = LINE.pump_ratio_nominal_rpm_per_mps
        quiet: dict[str, Any] = {
            "t_line_ns": round(self.t_s * 1e9), "web_m": self.web_m, "web_speed_mps": 1.0, "batch": 1,
            "line_state": LineState.RUNNING, "mode_actual": Mode.AUTO, "outcome": Outcome.OK, "link_faults": (),
            "profile_gsm": 180.0 * (1.0 + 0.001 * self.rng.standard_normal(zones)),
            "profile_valid": np.ones(zones, dtype=bool), "gap_um": np.full(zones, 600.0),
            "zone_not_following": np.zeros(zones, dtype=bool), "limited_zones": 0, "limits": (),
            "wet_bias_pct": np.full(zones, 0.01 * self.rng.standard_normal()), "dry_scan_id": self.scan // 10,
            "pump_trim_pct": 1.0, "pump_speed_rpm": rpm,
            "pump_pressure_kpa": 250.0 * (1.0 + 0.001 * self.rng.standard_normal()), "rung": Rung.OWN,
            "rung_cause": Cause.NONE, "guest_authority": 0.5, "batch_step_pct": math.nan,
            "batch_foretold_pct": math.nan, "batch_step_sd_pct": math.nan, "batch_foretold_sd_pct": math.nan,
            "lateness_us": 50.0, "target_gsm": 180.0,
        }  # fmt: skip
        return {**quiet, **changes}

    def play(self, seconds: float, around: Surroundings = Surroundings(), **changes: Any) -> set[str]:
        """Alarms that came in so many seconds."""
        moved = []
        for _ in range(round(10 * seconds)):
            moved += self.panel.see(self.cycle(**changes), around)
        return {str(one.key) for one in moved if one.after is State.ACTIVE}


@pytest.fixture(scope="module")
def settled() -> Run:
    run = Run()
    assert run.play(QUIET_S) == set()
    return run


@pytest.fixture
def run(settled: Run) -> Run:
    again = Run()
    again.t_s, again.web_m, again.scan = settled.t_s, settled.web_m, settled.scan
    again.panel.memory, again.panel.state = settled.panel.memory, settled.panel.state
    return again


NOBODY = np.zeros(LINE.zones, dtype=bool)
SEVENTH = np.arange(LINE.zones) == 6


@pytest.mark.parametrize(
    ("came", "seconds", "changes"),
    [
        ("hold-encoder", 1.0, {"outcome": Outcome.ENCODER_LOST, "mode_actual": Mode.HOLD}),
        ("safe-stop", 1.0, {"outcome": Outcome.SAFE_STOP, "mode_actual": Mode.HOLD}),
        ("hold-gauge-stale", 11.0, {"outcome": Outcome.GAUGE_STALE, "mode_actual": Mode.HOLD}),
        ("link-silent/die", 1.0, {"link_faults": ("die feedback: silent", "heartbeat of die: silent")}),
        ("link-faulty/pump", 1.0, {"link_faults": ("pump feedback: faulty (error)",)}),
        ("gauge-frozen/wet gauge", 1.0,
         {"link_faults": ("wet profile: repeats itself to the last bit, taken as silent",)}),
        ("bus-fault", 1.0, {"link_faults": ("bus: bus-off",)}),
        ("bus-babble", 1.0, {"link_faults": ("bus: a stranger (0x0) babbles: 500 frames in a cycle, expected 0",)}),
        ("intruder", 1.0, {"link_faults": ("another controller commands this line",)}),
        ("bolt-alone/bolt 7", 3.0, {"zone_not_following": SEVENTH}),
        ("bolt-end/bolt 7", 125.0, {"gap_um": 600.0 + 118.0 * SEVENTH}),
        ("limits-many", 70.0, {"limited_zones": 6, "limits": ("bend",)}),
        ("pump-end", 11.0, {"pump_trim_pct": 8.0}),
        ("pump-moved", 20.0, {"pump_trim_pct": 5.0}),
        ("pump-pressure-high", 30.0, {"pump_pressure_kpa": 262.0}),
        ("pump-pressure-low", 30.0, {"pump_pressure_kpa": 238.0}),
        ("profile-out", 11.0, {"profile_gsm": 180.0 + 5.0 * SEVENTH}),
        ("mean-out", 30.0, {"profile_gsm": np.full(LINE.zones, 182.4)}),
        ("zone-apart/zone 7", 40.0, {"profile_gsm": 180.0 + 2.0 * SEVENTH}),
        ("gauge-blind", 20.0, {"profile_valid": ~SEVENTH}),
        ("dry-idle", 25.0, {"wet_bias_pct": np.zeros(LINE.zones)}),
        ("gauges-part", 15.0, {"wet_bias_pct": np.full(LINE.zones, 1.5)}),
        ("ladder-low", 61.0, {"rung": Rung.PI, "rung_cause": Cause.LATE}),
        ("network-off", 61.0, {"rung": Rung.LINEAR}),
        ("network-unheeded", 301.0, {"guest_authority": 0.0}),
        ("control-late", 25.0, {"lateness_us": 70_000.0}),
        ("batch-strange", 31.0, {"batch_step_pct": 4.0, "batch_foretold_pct": 0.0, "batch_step_sd_pct": 0.2,
                                 "batch_foretold_sd_pct": 1.0}),
    ],
)  # fmt: skip
def test_each_thing_is_told_by_its_own_alarm(run, came, seconds, changes):
    assert came in run.play(seconds, **changes)


def test_a_bolt_whose_reading_jumps_is_told_and_all_of_them_are_told_as_the_die(run):
    def jumping(which: Any) -> set[str]:
        came = set()
        for k in range(200):
            came |= run.play(0.1, gap_um=600.0 + 5.0 * which * (-1) ** k)
        return came

    assert jumping(SEVENTH) == {"bolt-noisy/bolt 7"}
    assert jumping(np.ones(LINE.zones)) == {"bolt-noisy/die"}


def test_a_pump_that_pulses_more_than_it_did_is_told(run):
    came: set[str] = set()
    for k in range(400):
        came |= run.play(0.1, pump_pressure_kpa=250.0 * (1.0 + 0.008 * (-1) ** k))
    assert came == {"pump-pulses"}


def test_boxes_that_drop_out_now_and_then_are_told(run):
    came: set[str] = set()
    for k in range(1500):
        came |= run.play(0.1, profile_valid=(np.arange(LINE.zones) != k % 97))
    assert came == {"gauge-drops"}


def test_a_new_batch_may_bring_another_pressure_and_another_trim(run):
    assert run.play(60.0, batch=2, pump_pressure_kpa=330.0, pump_trim_pct=4.0) == set()


def test_another_speed_is_no_other_pressure(run):
    rpm = LINE.pump_ratio_nominal_rpm_per_mps * 0.5
    kpa = 250.0 * 0.5**LINE.slurry.flow_index
    assert run.play(150.0, web_speed_mps=0.5, pump_speed_rpm=rpm, pump_pressure_kpa=kpa) == set()


def test_the_web_is_judged_by_the_target_of_now(run):
    moved: dict[str, Any] = {"target_gsm": 185.4, "profile_gsm": np.full(LINE.zones, 185.4)}  # 3 %, tolerance 1.5 %
    assert run.play(60.0, **moved) == set()
    assert {"profile-out", "mean-out"} <= run.play(60.0, target_gsm=185.4)  # a web that stayed where it was


def test_where_no_target_is_told_the_line_file_s_counts(run):
    untold = {"target_gsm": None, "profile_gsm": np.full(LINE.zones, 185.4)}  # a picture's word for no number
    assert {"profile-out", "mean-out"} <= run.play(60.0, **untold)


def test_a_trim_that_follows_a_moving_target_is_no_alarm(run):
    came: set[str] = set()
    for k in range(1500):
        pct = min(0.005 * k, 5.0)
        there = {"target_gsm": 180.0 * (1.0 + 0.01 * pct), "profile_gsm": np.full(LINE.zones, 180.0 + 1.8 * pct)}
        came |= run.play(0.1, pump_trim_pct=1.0 + pct, **there)
    assert came == set()


def test_holds_of_a_moment_neither_end_nor_renew_what_stands(run):
    """As on a machine too busy for the speed it plays at: the loop holds for some seconds, again and again."""
    bent: dict[str, Any] = {"gap_um": 600.0 + 118.0 * SEVENTH, "profile_gsm": 180.0 + 2.0 * SEVENTH}
    held = {**bent, "mode_actual": Mode.HOLD, "outcome": Outcome.LINE_STOPPED, "line_state": LineState.STOPPED}
    came = {"bolt-end/bolt 7", "zone-apart/zone 7"}
    assert run.play(125.0, **bent) >= came
    for _ in range(10):
        assert run.play(5.0, **held) == set() and run.play(40.0, **bent) == set()
        assert {str(key) for key in run.panel.standing()} == came
    run.play(25.0, **held)
    assert not run.panel.standing().keys() & {Key("bolt-end", "bolt 7")}, "a longer one hides them"


def test_a_dry_gauge_that_holds_cut_off_from_the_wet_one_is_no_alarm(run):
    same: dict[str, Any] = {"wet_bias_pct": np.zeros(LINE.zones)}
    for _ in range(5):
        assert run.play(0.5, mode_actual=Mode.HOLD, outcome=Outcome.FEEDBACK_LOST, **same) <= {"hold-feedback"}
        assert run.play(60.0, **same) == set()
        assert run.play(20.0, wet_bias_pct=np.full(LINE.zones, 1.5)) == set(), "nor is what is learnt anew"
    assert run.play(DRY_DELAYS * 63.0 + 25.0, **same) == {"dry-idle"}, "but one that goes on after that is"


def test_a_line_that_stands_is_no_alarm(run):
    held = {"line_state": LineState.STOPPED, "web_speed_mps": 0.0, "outcome": Outcome.LINE_STOPPED}
    assert run.play(60.0, mode_actual=Mode.HOLD, pump_speed_rpm=0.0, pump_pressure_kpa=0.0, **held) == set()


def test_line_time_that_jumps_is_told_and_does_not_pass(run):
    before_s = run.panel.state.now_s
    run.t_s += 60.0
    assert run.play(0.1) == {"clock-jump"}
    assert run.panel.state.now_s - before_s < 1.0


def test_line_time_that_stands_still_is_borne_from_the_first_cycle_on():
    run = Run()
    run.play(0.1)
    run.t_s -= 0.1
    assert run.play(0.1) == set()


def test_what_journal_disk_and_store_of_models_say_is_told(run):
    lost = Surroundings(events=[("journal-overflow", "12 rows lost: the queue was full or the disk refused")])
    assert run.play(0.1, lost) == {"journal-refusing"}
    assert run.play(0.1, Surroundings(events=[("alarm", "no snapshot could be written: full")])) == {"snapshot-failing"}
    assert run.play(31.0, Surroundings(disk_full=0.97)) == {"disk-filling"}
    assert run.play(0.1, Surroundings(model_refused="adaptive: the model in use is refused")) == {"model-refused"}


def test_silence_hides_all_else_and_an_end_is_no_silence():
    found = silent(4.0, False, Surroundings())
    assert set(found.values) == {Key("control-silent")} and found.contexts == {Context.SILENT}
    assert set(silent(4000.0, True, Surroundings()).values) == {Key("control-ended")}


@pytest.mark.parametrize("alarm", CATALOGUE.values(), ids=CATALOGUE)
def test_every_alarm_says_cause_consequence_and_action_in_both_languages(alarm):
    for language in ("en", "zh"):
        words = told(alarm, "bolt 3", language)
        assert all(len(part) > 3 and "{" not in part for part in words), words
    assert any("一" <= letter <= "鿿" for letter in alarm.zh.text)
    assert 0.0 <= alarm.dead_band < alarm.limit or alarm.dead_band == 0.0
    assert alarm.device in (*DEVICES, "", "*", "gauge", "gauges")
    assert (alarm.health is Ne107.GOOD) <= (alarm.device == "")


def test_every_hold_but_that_of_a_standing_line_and_of_a_start_has_an_alarm():
    assert set(Outcome) - set(HOLDS) == {Outcome.OK, Outcome.LINE_STOPPED, Outcome.START_UP}
    assert set(HOLDS.values()) <= set(CATALOGUE)
