"""Each detector by itself, on signals whose truth is known."""

import math
from dataclasses import replace

import numpy as np
import pytest

from controller.line.description import Array
from evencoat.diagnosis import calibration
from evencoat.diagnosis.catalogue import CATALOGUE, told
from evencoat.diagnosis.drift import Ramp, ramp_of
from evencoat.diagnosis.flow import Change, Flow
from evencoat.diagnosis.gauges import Health
from evencoat.diagnosis.jumps import Jumps
from evencoat.diagnosis.lips import FOLLOW, Lips
from evencoat.diagnosis.motors import STILL_LOOKS, Motors
from evencoat.diagnosis.rows import Rows
from evencoat.diagnosis.shapes import Edge, Ramps, Seen
from evencoat.diagnosis.spectra import Pulses, Turns
from evencoat.diagnosis.steps import Usual
from evencoat.diagnosis.watch import Diagnoser, Diagnosis, Found, Key
from evencoat.settings import load_line

LINE = load_line("pilot-16").line
ZONES = LINE.zones
NOBODY = np.zeros(ZONES, dtype=np.bool_)


def cycle(web_m: float, wet_m: float = math.nan, wet: float = 1.0) -> dict[str, object]:
    """A cycle of a line that does all right; its wet scan reads `wet` times the target."""
    return {
        "gap_um": np.full(ZONES, web_m), "pump_speed_rpm": 100.0, "pump_pressure_kpa": 50.0,
        "slurry_temperature_c": 25.0, "target_gsm": 90.0, "wet_scan_m": wet_m, "dry_scan_m": math.nan,
        "wet_scan_gsm": wet * LINE.target_profile_gsm, "dry_scan_gsm": np.zeros(0),
    }  # fmt: skip


def test_a_scan_belongs_to_the_row_of_web_that_it_saw() -> None:
    rows, told_rows = Rows(LINE), []
    for k in range(200):
        web_m = 100.0 + 0.05 * k
        reading = 1.1 if 102.0 <= web_m - 2.0 < 102.5 else 1.0
        told_rows += list(rows.see(cycle(web_m, web_m, reading), 0.1 * k, web_m, 0.5))
    thick = [row for what, row in told_rows if what == "wet" and rows.wet[row % rows.size].mean() > 0.01]
    assert thick == [204]  # rows of half a metre, the gauge two metres away
    assert rows.gap_um[204 % rows.size] == pytest.approx(102.225)


def test_what_was_seen_a_lap_ago_is_of_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evencoat.diagnosis.rows.HISTORY_ROWS", 21)
    rows = Rows(replace(LINE, dry_gauge=None))
    flow = Flow(LINE, rows)
    seen = Seen(LINE, rows, Lips(LINE), rows.wet, 0.3)
    for k in range(10 * (rows.size + 15)):  # a gauge that sees the web of every other row, for more than a lap
        web_m = 100.0 + 0.05 * k
        wet_m = web_m if (web_m - 2.0) % 1.0 < 0.5 else math.nan
        for what, row in rows.see(cycle(web_m, wet_m), 0.1 * k, web_m, 0.5):
            if what == "wet":
                flow.wet_row(row)
                seen.row(row)
    behind = rows.at(rows.row - 19, rows.row - 10)
    for values in (flow.wet, flow.pressure, seen.rest[:, 0], rows.wet[:, 0]):
        assert np.isfinite(values[behind]).sum() == 5


def test_web_that_is_set_back_is_begun_anew() -> None:
    rows = Rows(LINE)
    for k in range(60):
        list(rows.see(cycle(100.0 + 0.05 * k), 0.1 * k, 100.0 + 0.05 * k, 0.5))
    list(rows.see(cycle(3.0), 6.0, 3.0, 0.5))
    assert np.isnan(rows.gap_um).all()


def moved(stands: float, crawls: float) -> Motors:
    """Bolts sent 5 um off: one stands, one crawls, the others go."""
    motors, at = Motors(LINE), np.full(ZONES, 500.0)
    for k in range(300):
        target = np.full(ZONES, 500.0 if k < 100 else 505.0)
        at = np.where(np.arange(ZONES) == 3, at + stands, at)
        if k >= 100:
            at = np.minimum(at + np.where(np.arange(ZONES) == 3, 0.0, 0.2), target)
            at[7] = min(500.0 + crawls * 0.1 * (k - 100), 505.0)
        motors.see(at.copy(), target, NOBODY, 0.1)
    return motors


def test_a_motor_that_stands_is_told_from_one_that_crawls() -> None:
    motors = moved(0.0, 0.1)
    assert motors.stuck.argmax() == 3 and motors.slow.argmax() == 7
    assert motors.stuck[7] < 4 < motors.stuck[3]
    assert motors.slow[3] == 0.0 and (motors.slow[[0, 1, 2]] < 1.0).all()


@pytest.mark.parametrize(("apart_um", "stuck"), [(0.0, False), (0.3, True)])
def test_a_bolt_that_the_loop_left_alone_stands_only_where_it_is_away_from_its_target(
    apart_um: float, stuck: bool
) -> None:
    motors, left = Motors(LINE), np.arange(ZONES) == 5
    for k in range(200):
        target = np.full(ZONES, 500.0)
        motors.see(target + apart_um * left, target, left & (k > 50), 0.1)
    assert (motors.stuck[5] >= STILL_LOOKS) == stuck
    assert np.flatnonzero(motors.unanswered).tolist() == ([] if stuck else [5])


def test_a_bolt_that_the_loop_left_alone_is_asked_less_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    diagnoser, dead = Diagnoser(LINE), np.zeros(ZONES)
    dead[5] = 0.8 * calibration.DEAD_NATS
    monkeypatch.setattr(Lips, "dead", lambda _: dead)
    monkeypatch.setattr(Lips, "missing", lambda _: np.ones(ZONES))
    assert diagnoser._of_bolts({}) == {}
    diagnoser._motors.unanswered = dead > 0.0
    found = diagnoser._of_bolts({})
    assert list(found) == [Key("bolt-dead", "bolt 6")]
    assert found[Key("bolt-dead", "bolt 6")].strength == pytest.approx(0.8 / calibration.UNANSWERED)


def test_play_is_asked_more_evidence_than_a_dead_bolt(monkeypatch: pytest.MonkeyPatch) -> None:
    diagnoser, loose = Diagnoser(LINE), np.zeros(ZONES)
    loose[5] = 1.5 * calibration.DEAD_NATS
    monkeypatch.setattr(Lips, "loose", lambda _: (loose, np.full(ZONES, 13.0)))
    monkeypatch.setattr(Lips, "missing", lambda _: np.ones(ZONES))
    found = diagnoser._of_bolts({})[Key("bolt-play", "bolt 6")]
    assert found.strength == pytest.approx(1.5 * calibration.DEAD_NATS / calibration.PLAY_NATS) and found.strength < 1.0
    assert found.value == 13.0


def test_jitter_of_the_feedback_is_no_move() -> None:
    rng, motors = np.random.default_rng(1), Motors(LINE)
    for _ in range(200):
        motors.see(500.0 + 2.0 * rng.standard_normal(ZONES), np.full(ZONES, 500.0), NOBODY, 0.1)
    assert (motors.noisy() > 1.0).all()
    assert (moved(0.0, 2.0).noisy() < 1.0).all()


def watched(delivery: float, follow: float = FOLLOW[1]) -> Lips:
    """Bolts that move as they like over a drifting web, the sixth with this share of its way."""
    rng, lips = np.random.default_rng(2), Lips(LINE, follow)
    at, web = np.zeros(ZONES), np.zeros(ZONES)
    share = np.ones(ZONES)
    share[5] = delivery
    for _ in range(300):
        at = at + 0.4 * rng.standard_normal(ZONES)
        web += 2e-4 * rng.standard_normal(ZONES)
        lips.row(at, lips.map @ (share * at) + web + 1.5e-3 * rng.standard_normal(ZONES))
    return lips


def test_the_web_tells_a_dead_bolt_and_a_reversed_one() -> None:
    dead, turned = watched(0.0), watched(-1.0)
    assert dead.dead().argmax() == 5 and dead.dead()[5] > calibration.DEAD_NATS
    assert dead.missing()[5] == pytest.approx(1.0, abs=0.25)
    assert turned.missing()[5] == pytest.approx(2.0, abs=0.3)
    others = np.delete(dead.dead(), [3, 4, 5, 6, 7])
    assert (others < calibration.DEAD_NATS).all()


def test_bolts_that_deliver_a_little_less_are_well() -> None:
    assert (watched(0.85).dead() < calibration.DEAD_NATS).all()
    assert (watched(1.0, FOLLOW[0]).ratios[:2] < calibration.DEAD_NATS).all()


def jumped(sticks_um: Array, step: float = 0.0, tilts: float = 0.0) -> Jumps:
    """Screws that follow a slow want; lips that jump once their screw is so far ahead; a web whose edge steps once, or
    that a roll begins to tilt."""
    rng, effect = np.random.default_rng(3), Lips(LINE).map
    jumps = Jumps(effect, 1.0)
    screw, want, lip, edge = (np.zeros(ZONES) for _ in range(4))
    edge[:3] = 1.0
    for row in range(500):
        want = want + 0.5 * rng.standard_normal(ZONES)
        screw = screw + np.clip(0.1 * (want - screw), -1.0, 1.0)
        led = np.clip(lip, screw - 0.5, screw + 0.5)
        lip = np.where(np.abs(led - lip) >= sticks_um, led, lip)
        web = (step * edge + tilts * math.sin(2.3 * row) * np.linspace(-1.0, 1.0, ZONES)) * (row > 250)
        jumps.row(screw, effect @ lip + web + 6e-4 * rng.standard_normal(ZONES))
    return jumps


def test_lips_that_jump_stick_and_those_that_follow_do_not() -> None:
    stuck = jumped(np.full(ZONES, 5.0))
    assert stuck.nats > 2.0 * calibration.JUMP_NATS
    assert 3.0 <= stuck.size_um <= 6.5
    assert jumped(np.zeros(ZONES)).nats < 0.3 * calibration.JUMP_NATS


def test_what_a_gauge_that_is_not_sound_saw_jump_is_forgotten() -> None:
    stuck = jumped(np.full(ZONES, 5.0))
    stuck.row(np.zeros(ZONES), np.zeros(ZONES), sound=False)
    assert stuck.nats == 0.0
    for _ in range(12):
        stuck.row(np.zeros(ZONES), np.zeros(ZONES))
    assert stuck.nats < 0.1 * calibration.JUMP_NATS


def test_a_step_of_the_web_where_speed_changes_is_no_jump_of_the_lips() -> None:
    stuck = jumped(np.full(ZONES, 5.0))
    told = stuck.nats
    rng = np.random.default_rng(2)
    for row in range(60):
        stuck.row(np.zeros(ZONES), 0.05 * rng.standard_normal(ZONES), steady=row >= 50)
    assert stuck.nats == told


def test_jumps_are_looked_for_only_in_what_a_sound_gauge_saw_at_one_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    diagnoser, told_sound, told_steady = Diagnoser(LINE), list[bool](), list[bool]()

    def told(_gap_um: Array, _read: Array, sound: bool, steady: bool) -> None:
        told_sound.append(sound)
        told_steady.append(steady)

    monkeypatch.setattr(diagnoser._jumps, "row", told)
    diagnoser._rows.gap_um[:], diagnoser._rows.wet[:], diagnoser._rows.speed_log[:] = LINE.die.gap_nominal_um, 0.0, 0.0
    for outliers, missing in ((0.0, 0.0), (0.2, 0.0), (0.0, 0.1)):
        diagnoser._health["wet"] = scanned(400, outliers)
        diagnoser._health["wet"].missing = missing
        diagnoser._wet_row(0)
    assert told_sound == [True, False, False] and all(told_steady)
    diagnoser._rows.speed_log[diagnoser._rows.at(-8, -6)] = -0.1
    diagnoser._wet_row(0)
    assert not told_steady[-1]


def test_one_lip_that_jumps_and_a_web_that_steps_once_are_no_die_that_sticks() -> None:
    assert jumped(np.where(np.arange(ZONES) == 5, 5.0, 0.0)).nats < 0.5 * calibration.JUMP_NATS
    assert jumped(np.zeros(ZONES), step=0.05).nats < 0.5 * calibration.JUMP_NATS
    assert jumped(np.zeros(ZONES), tilts=0.05).nats < 0.5 * calibration.JUMP_NATS


def test_pulses_are_found_by_their_frequency_once_they_have_grown() -> None:
    pulses = Pulses(LINE)
    for k in range(2400):
        size = 0.002 if k < 1200 else 0.006
        pulses.see(size * math.sin(2.0 * math.pi * 1.3 * 0.1 * k), 0.0, 0.6, 0.1)
        if k == 1199:
            assert pulses.times == pytest.approx(1.0, abs=0.05)
    assert pulses.times > 2.0
    assert pulses.frequency_hz == pytest.approx(1.3, abs=0.01)


def test_what_is_learnt_of_the_pump_is_no_pulse() -> None:
    rng, pulses = np.random.default_rng(12), Pulses(LINE)
    for k in range(1500):
        pressure = -0.16 + 1e-3 * math.sin(2.0 * math.pi * 1.3 * 0.1 * k) + 1e-5 * rng.standard_normal()
        pulses.see(pressure, -0.4, 0.7 if k < 1300 else 0.4, 0.1)
        assert pulses.times < 1.05


@pytest.mark.parametrize("turn_m", [0.9, 1.7])
def test_a_roll_is_found_by_its_turn(turn_m: float) -> None:
    rng, turns = np.random.default_rng(3), Turns(LINE)
    tilt = np.linspace(-1.0, 1.0, ZONES)
    for k in range(600):
        web_m = 0.1 * k
        noise = 0.004 * rng.standard_normal(ZONES)
        turns.see("wet", np.exp(0.003 * tilt * math.sin(2.0 * math.pi * web_m / turn_m) + noise), web_m, 0.2 * k)
    assert turns.times > calibration.TURN_TIMES
    assert turns.turn_m == pytest.approx(turn_m, rel=0.03)


def test_noise_alone_is_no_roll() -> None:
    rng, turns = np.random.default_rng(4), Turns(LINE)
    for k in range(600):
        turns.see("wet", np.exp(0.004 * rng.standard_normal(ZONES)), 0.1 * k, 0.2 * k)
    assert turns.times < calibration.TURN_TIMES


def test_a_drift_seen_by_scans_that_cycles_carry_is_no_roll() -> None:
    rng, turns = np.random.default_rng(13), Turns(LINE)
    tilt = np.linspace(-1.0, 1.0, ZONES)
    for k in range(700):
        t_s = 0.1 * math.ceil(4.68 * k)  # scans of 0.468 s, told with the next cycle of 0.1 s
        web_m = 1.43 * t_s
        drift = 0.004 * math.sin(2.0 * math.pi * web_m / 90.0)
        turns.see("wet", np.exp(drift * tilt + 5e-4 * rng.standard_normal(ZONES)), web_m, t_s)
        assert turns.times < 0.7 * calibration.TURN_TIMES


@pytest.mark.parametrize("per_scan", [0.62, 0.81, 1.12])
def test_a_roll_that_turns_fast_is_told_from_those_that_look_alike(per_scan: float) -> None:
    """Evenly spaced scans cannot tell it from one that turns less by the whole: those of a line, which come with its
    cycles, can once there are enough of them."""
    rng, turns, across = np.random.default_rng(14), Turns(LINE), np.linspace(-1.0, 1.0, ZONES)
    even, scan_m = Turns(LINE), 0.384
    turn_m = scan_m / per_scan
    for k in range(300):
        web_m, evenly_m = 0.108 * math.ceil(3.556 * k), scan_m * k
        for one, at_m in ((turns, web_m), (even, evenly_m)):
            wave = 0.002 * across * math.sin(2.0 * math.pi * at_m / turn_m)
            one.see("wet", np.exp(wave + 0.002 * rng.standard_normal(ZONES)), at_m, 0.36 * k)
    assert turns.times > calibration.TURN_TIMES and turns.surer > calibration.TURN_NATS
    assert turns.turn_m == pytest.approx(turn_m, rel=0.01)
    assert even.times > calibration.TURN_TIMES and even.surer < calibration.TURN_NATS


def scanned(last: int, outliers: float = 0.0, frozen: bool = False) -> Health:
    assert LINE.wet_gauge is not None
    rng, health = np.random.default_rng(5), Health(LINE.wet_gauge, ZONES, 5)
    share = np.ones(ZONES)
    for k in range(last):
        if not (frozen and k > 200):
            share = np.exp(0.004 * rng.standard_normal(ZONES))
            share[rng.random(ZONES) < (outliers if k > 200 else 0.0)] *= 1.2
        health.scan(share, 1.0)
    return health


def test_a_gauge_is_frozen_or_noisy_or_well() -> None:
    assert scanned(210, frozen=True).same >= 2
    assert scanned(400, outliers=0.03).noisy > 2.0
    well = scanned(400)
    assert well.same == 0 and well.noisy < 1.5


@pytest.mark.parametrize(
    ("missing", "past", "share"),
    [(1, 1.0, 1.0), (1, -1.0, -1.0), (2, 2.0, 2.0), (8, 8.0, 0.0), (3, 1.0, 0.0), (1, 0.0, 0.0)],
)
def test_a_gauge_that_looks_past_the_web_stands_beside_its_place(missing: int, past: float, share: float) -> None:
    """Boxes without a reading at an edge, and nowhere else; many of them are blind."""
    boxes = 40
    gauge = replace(LINE.wet_gauge, boxes=boxes)
    health = Health(gauge, ZONES, 5)
    for _ in range(60):
        health.scan(np.ones(ZONES), 1.0 - missing / boxes, past)
    assert health.past_share == share / boxes
    diagnoser = Diagnoser(replace(LINE, wet_gauge=gauge))
    diagnoser._health["wet"] = health
    found = diagnoser._of_gauges()
    key = Key("gauge-misplaced", "wet gauge")
    assert (key in found) == (share != 0.0) and (Key("gauge-blind", "wet gauge") in found) == (share == 0.0)
    if share:
        assert found[key].strength > 1.0
        assert found[key].value == pytest.approx(share / boxes * LINE.web_width_mm)


def test_a_gauge_whose_outermost_box_is_spoilt_now_and_then_stands_where_it_should() -> None:
    """However long its scans take, in which one of them says much."""
    health = Health(replace(LINE.wet_gauge, boxes=40, period_s=5.0), ZONES, 5)
    for k in range(60):
        spoilt = float(k % 3 > 0)
        health.scan(np.ones(ZONES), 1.0 - spoilt / 40, spoilt)
        assert health.past_share == 0.0


@pytest.mark.parametrize(("rows", "lacks", "named"), [(140, 0.04, True), (140, 0.02, False), (200, 0.02, True)])
def test_a_gauge_is_seen_beside_its_place_early_where_it_is_plain(rows: int, lacks: float, named: bool) -> None:
    diagnoser = Diagnoser(LINE)
    seen = diagnoser._shapes["wet"]
    seen.count, seen.edge = rows, Edge(right=-lacks, sigma=0.001)
    assert (Key("gauge-misplaced", "wet gauge") in diagnoser._of_shapes({}, set())) == named


@pytest.mark.parametrize(
    ("second", "third", "cause"),
    [(0.0, 0.0, "gauge-misplaced:wet gauge"), (-0.045, 0.0, "lane-clogged:zone 16"), (-0.06, -0.02, "")],
)
def test_an_edge_that_thins_with_the_zone_beside_it_is_a_lane_and_one_that_tilts_is_neither(
    second: float, third: float, cause: str
) -> None:
    diagnoser = Diagnoser(LINE)
    seen = diagnoser._shapes["wet"]
    seen.count, seen.edge = 200, Edge(right=-0.09, sigma=0.001, second_right=second, beside_right=third)
    assert [str(key) for key in diagnoser._of_shapes({}, set())] == ([cause] if cause else [])


def test_the_usual_hardly_heeds_what_is_not() -> None:
    usual = Usual(0.01)
    rng = np.random.default_rng(6)
    for _ in range(300):
        usual.seen(0.05 * rng.standard_normal())
    before = float(usual.sigma)
    usual.seen(50.0)
    assert before == pytest.approx(0.05, rel=0.2) and float(usual.sigma) < 1.05 * before


def test_every_cause_has_words_in_both_languages_and_knows_its_rivals() -> None:
    for entry in CATALOGUE.values():
        for words in entry.words.values():
            assert all(len(text) > 1 for text in words)
        assert entry.explained_by <= CATALOGUE.keys() and entry.id not in entry.explained_by
    assert told("bolt-stuck", "bolt 7").text == "bolt 7 does not move"
    assert "bolt 7" in told("bolt-stuck", "bolt 7", "zh").text


def test_stronger_evidence_is_surer() -> None:
    for cause in CATALOGUE:
        sure = [calibration.probability(cause, strength) for strength in (1.0, 2.0, 8.0)]
        assert sure == sorted(sure) and sure[0] > 0.0 and sure[-1] < 1.0


def test_a_line_without_a_dry_gauge_can_be_watched() -> None:
    rows = Rows(replace(LINE, dry_gauge=None))
    assert list(rows.see(cycle(0.1), 0.0, 0.1, 0.5)) == []


def test_a_disturbance_wider_than_a_zone_makes_no_bolt_suspect() -> None:
    rng, lips = np.random.default_rng(4), Lips(LINE, FOLLOW[1])
    wide = np.exp(-0.5 * np.square(np.subtract.outer(np.arange(ZONES), np.arange(ZONES)) / 2.0))
    at = np.zeros(ZONES)
    for _ in range(400):
        at = at + 0.3 * rng.standard_normal(ZONES)
        own, shared = rng.standard_normal((2, ZONES))
        lips.row(at, lips.map @ at + 1e-3 * (wide @ shared + own))
    centre = np.eye(ZONES) - 1.0 / ZONES  # the mean is another room's
    spread = centre @ (wide @ wide + np.eye(ZONES)) @ centre
    white = lips._neighbours.whiten @ spread @ lips._neighbours.whiten.T
    before, after = (float(np.linalg.eigvalsh(one)[-1] / np.trace(one)) for one in (spread, white))
    assert after < 0.7 * before  # no shape across the web takes the lion's share of the surprise any more
    assert max(lips.dead().max(), lips.reversed().max()) < calibration.DEAD_NATS


def test_a_profile_as_it_never_is_is_unknown_until_something_is_named() -> None:
    diagnoser = Diagnoser(LINE)
    unknown, lane = Key("unknown", "web"), Key("lane-clogged", "zone 4")
    named = [one for k in range(20) for one in looked(diagnoser, k, {unknown: Found(2.0, "restless")})]
    assert [one.key for one in named] == [unknown]
    diagnoser = Diagnoser(LINE)
    both = {unknown: Found(2.0, "restless"), lane: Found(2.0, "narrow")}
    assert [one.key for k in range(20) for one in looked(diagnoser, k, both)] == [lane]


def test_a_bolt_is_named_after_half_a_minute_and_not_beside_a_lip_that_bends() -> None:
    dead, bow = Key("bolt-dead", "bolt 4"), Key("lip-bow", "die")
    alone, beside = Diagnoser(LINE), Diagnoser(LINE)
    named = [one for k in range(60) for one in looked(alone, k, {dead: Found(2.0, "")})]
    assert [(one.key, one.named_s) for one in named] == [(dead, 29.0)]
    both = {dead: Found(2.0, ""), bow: Found(2.0, "")}
    assert [one.key for k in range(60) for one in looked(beside, k, both)] == [bow]


def test_foil_that_goes_on_changing_is_named_beside_a_jump_and_what_a_jump_leaves_is_not() -> None:
    foil, jump = Key("foil-uneven", "foil"), Key("dry-jump", "dry gauge")
    both, diagnoser = {foil: Found(1.5, ""), jump: Found(2.0, "")}, Diagnoser(LINE)
    assert [one.key for k in range(8) for one in looked(diagnoser, k, both)] == [jump]
    assert [one.key for k in range(8, 20) for one in looked(diagnoser, k, both)] == [foil]
    pulses, diagnoser = Key("pump-pulses", "pump"), Diagnoser(LINE)
    both = {pulses: Found(2.0, ""), foil: Found(1.5, "")}
    assert [one.key for k in range(10) for one in looked(diagnoser, k, {pulses: both[pulses]})] == [pulses]
    assert [one.key for k in range(10, 40) for one in looked(diagnoser, k, both)] == []


def test_a_jump_of_the_dry_gauge_is_no_drift_of_the_wet_one() -> None:
    diagnoser = Diagnoser(LINE)
    diagnoser._flow = flow = wandered(0.0)
    for row in range(1700, 1740):
        at = row % flow._rows.size
        flow._rows.row, flow._rows.flow_log[at], flow._rows.pressure_log[at] = row, 0.0, 4.0
        flow._rows.wet[at], flow._rows.dry[at] = 0.0, 0.03
        flow.wet_row(row)
        flow.dry_row(row)
        diagnoser._of_dry({})
    assert flow.drift.ramp == Ramp()


def looked(diagnoser: Diagnoser, second: int, found: dict[Key, Found]) -> list[Diagnosis]:
    diagnoser.t_s = float(second)
    return diagnoser._judged(found, 1.0)


def flow_of(dry: Array, ramp: int | None = None) -> Flow:
    """A line whose wet gauge sees nothing happen, and whose dry one reads so (log, a row each); another speed from
    the row `ramp` on, within twenty."""
    rows = Rows(LINE)
    flow, rng = Flow(LINE, rows), np.random.default_rng(8)
    rows.flow_log[:], rows.speed_log[:], rows.pressure_log[:] = 0.0, 0.0, 4.0
    rows.gap_um[:] = LINE.die.gap_nominal_um
    if ramp is not None:
        rows.speed_log[ramp:] = np.maximum(-0.02 * np.arange(rows.size - ramp), -0.4)
    for row, reads in enumerate(dry):
        rows.wet[row] = 3e-4 * rng.standard_normal()
        rows.dry[row] = reads + 3e-4 * rng.standard_normal()
        flow.wet_row(row)
        flow.dry_row(row)
    return flow


def test_what_two_gauges_see_apart_along_a_ramp_of_speed_is_no_foil() -> None:
    apart = 4e-3 * np.random.default_rng(10).standard_normal(300) * (np.arange(300) >= 200) * (np.arange(300) < 230)
    assert flow_of(apart[:228]).foil_times > calibration.FOIL_TIMES
    assert flow_of(apart[:228], ramp=198).foil_times < 0.75 * calibration.FOIL_TIMES


def test_pressure_goes_with_web_speed_and_teaches_the_flow_index() -> None:
    rows, rng, truly = Rows(LINE), np.random.default_rng(14), 0.6 * LINE.slurry.flow_index
    flow = Flow(LINE, rows)
    rows.flow_log[:], rows.warm_c[:], rows.gap_um[:] = 0.0, 25.0, LINE.die.gap_nominal_um
    for row in range(400):
        rows.speed_log[row] = min(0.0, max(-0.02 * (row - 300), -0.4))
        rows.pressure_log[row] = 4.0 + truly * rows.speed_log[row] + 2e-4 * rng.standard_normal()
        rows.wet[row] = 1e-3 * rng.standard_normal(ZONES)
        flow.wet_row(row)
        if row > 340:
            assert abs(flow.index * flow.change.slow_pressure) < 0.01
    assert flow.index == pytest.approx(truly, abs=0.02)


def changed(change: Change, settled_row: int = 0) -> Diagnoser:
    """Watches a line whose wet gauge has seen row 600, and whose witnesses have moved so."""
    diagnoser = Diagnoser(LINE)
    flow = diagnoser._flow
    flow.change, flow.newest, flow.wet_rows, diagnoser._settle_row = change, 600, 600, settled_row
    return diagnoser


def test_a_filter_is_blamed_at_one_speed_and_with_no_batch_mixing_in() -> None:
    rises, clogs = Change(slow_pressure=0.12), Key("filter-clogs", "filter")
    assert changed(rises)._of_filter()[clogs].strength > 1.0
    assert changed(rises, 600 - 140)._of_filter() == {}
    diagnoser = changed(rises)
    diagnoser._mixing = True
    assert diagnoser._of_filter() == {}
    diagnoser._flow.change = Change(slow_pressure=0.01)
    assert diagnoser._of_filter() == {}
    diagnoser._flow.change = rises
    assert clogs in diagnoser._of_filter()  # once it had come to rest


def test_rows_at_a_new_speed_count_from_the_web_under_the_die() -> None:
    diagnoser, web_m = Diagnoser(LINE), 500.0
    for k in range(600):
        speed_mps = LINE.web_speed_mps * (1.0 if k < 300 else 0.7)
        web_m += 0.1 * speed_mps
        told = cycle(web_m, web_m) | {
            "t_line_ns": 100_000_000 * k, "web_m": web_m, "web_speed_mps": speed_mps, "line_state": 1, "batch": 0,
            "mode_actual": "AUTO", "outcome": "OK", "link_faults": (), "gap_target_um": np.full(ZONES, web_m),
            "zone_not_following": NOBODY, "wet_scan_share": 1.0, "dry_scan_share": 1.0,
            "wet_scan_past_boxes": 0.0, "dry_scan_past_boxes": 0.0,
            "dry_scan_m": web_m - 0.05 * speed_mps, "dry_scan_gsm": LINE.target_profile_gsm,
        }  # fmt: skip
        diagnoser.look(told)
        if k == 300:
            changed_m = web_m
    assert diagnoser._settle_row == math.floor(changed_m / diagnoser._rows.row_m)


def test_one_jump_is_no_uneven_foil_and_foil_is_no_jump() -> None:
    jumped = flow_of(np.where(np.arange(212) >= 200, 0.02, 0.0))
    assert jumped.dry_step == pytest.approx(0.02, abs=0.002) and jumped.dry_sharp
    assert jumped.foil_times < calibration.FOIL_TIMES
    slowly = flow_of(np.clip((np.arange(225) - 195.0) / 20.0, 0.0, 1.0) * 0.02)
    assert slowly.dry_step > 0.01 and not slowly.dry_sharp
    rng = np.random.default_rng(9)
    noise = 1.2e-3 * rng.standard_normal(225)  # of single rows, which alone go half of either way now and then
    assert flow_of(noise[:212] + np.where(np.arange(212) >= 200, 0.01, 0.0)).dry_sharp
    assert not flow_of(noise + np.clip((np.arange(225) - 195.0) / 25.0, 0.0, 1.0) * 0.012).dry_sharp
    uneven = flow_of(np.where(np.arange(300) >= 200, 0.02 * np.cumsum(rng.standard_normal(300)) / 10.0, 0.0))
    assert uneven.foil_times > calibration.FOIL_TIMES


def wandered(an_hour: float, dry: bool = True) -> Flow:
    """A line whose witnesses wander, and whose wet gauge goes so much an hour (log)."""
    line = LINE if dry else replace(LINE, dry_gauge=None)
    rows, rng = Rows(line), np.random.default_rng(31)
    flow, state, keep = Flow(line, rows), np.zeros(3), math.exp(-1.0 / 400.0)
    rows.speed_log[:], rows.gap_um[:] = 0.0, line.die.gap_nominal_um
    for row in range(1700):
        at, hours = row % rows.size, row / 3600.0
        state = keep * state + math.sqrt(1.0 - keep**2) * 0.0025 * rng.standard_normal(3)
        film = state[0]
        rows.row, rows.flow_log[at] = row, 0.0
        rows.pressure_log[at] = 4.0 + flow.index * (film + state[1])
        rows.wet[at] = film + an_hour * hours + 1e-3 * rng.standard_normal(ZONES)
        rows.dry[at] = film + state[2] + 1e-3 * rng.standard_normal(ZONES)
        flow.wet_row(row)
        if dry:
            flow.dry_row(row)
    return flow


def strength(flow: Flow) -> float:
    diagnoser = Diagnoser(LINE)
    diagnoser._flow = flow
    return diagnoser._of_drift().get(Key("wet-drift", "wet gauge"), Found(0.0)).strength


@pytest.mark.parametrize("dry", [True, False])
def test_a_gauge_that_goes_away_from_every_witness_drifts(dry: bool) -> None:
    drifts = wandered(-0.04, dry=dry)
    assert strength(drifts) > 1.0
    assert 3600.0 * drifts.drift.ramp.gone / drifts.drift.ramp.rows == pytest.approx(-0.04, abs=0.015)
    assert strength(wandered(0.0, dry=dry)) < 1.0


def test_what_one_witness_does_not_see_is_no_drift_of_the_gauge() -> None:
    at, rng, flow = np.arange(25.0), np.random.default_rng(5), Flow(LINE, Rows(LINE))
    for seen in ((1.0, 1.0, 1.0), (1.0, 1.0, 0.0)):
        means = 1.2e-3 * np.outer(at, seen) + 2e-4 * rng.standard_normal((25, 3))
        flow.drift.ramp = ramp_of(means)
        assert flow.drift.ramp.sigmas > calibration.DRIFT_SIGMAS
        assert (strength(flow) > 1.0) == (min(seen) > 0.0)
    for least_share in (0.2, 0.5):  # as where a filter clogs for hours
        flow.drift.ramp = Ramp(-0.03, 1440, 12.0, least_share)
        assert (strength(flow) > 1.0) == (least_share > calibration.DRIFT_LEAST)


def test_a_drift_begins_anew_with_the_web_under_the_die() -> None:
    flow = wandered(-0.04)
    flow.begin_drift()
    assert flow.drift.ramp == Ramp()
    before = flow.newest - 5  # it was laid before, and the dry gauge sees it now
    flow.dry_row(before)
    assert flow.drift._count == 0


def test_more_than_a_few_bolts_with_the_same_are_the_dies() -> None:
    diagnoser = Diagnoser(LINE)
    jitter = {Key("bolt-noisy", f"bolt {k}"): Found(1.0 + 0.1 * k, "jitters") for k in range(1, 7)}
    few = dict(list(jitter.items())[:3])
    assert diagnoser._together(dict(few)) == few
    together = diagnoser._together(dict(jitter))
    assert list(together) == [Key("bolt-noisy", "die")] and together[Key("bolt-noisy", "die")].strength > 1.0


@pytest.mark.parametrize(("gives", "mixing"), [(0.0, False), (0.04, False), (0.04, True)])
def test_a_lip_that_gives_way_shows_at_a_ramp_of_speed_unless_a_batch_mixes_in(gives: float, mixing: bool) -> None:
    rows, lips = Rows(LINE), Lips(LINE)
    rows.gap_um[:] = LINE.die.gap_nominal_um
    seen = Seen(LINE, rows, lips, rows.wet, 0.6)
    ramps, rng = Ramps(LINE, rows, seen), np.random.default_rng(11)
    bow = np.linspace(-1.0, 1.0, ZONES) ** 2
    for row in range(400):
        rows.speed_log[row] = min(0.0, max(-0.01 * (row - 300), -0.3))
        rows.wet[row] = -gives * rows.speed_log[row] * -(bow - bow.mean()) + 5e-4 * rng.standard_normal(ZONES)
        seen.row(row)
        ramps.row(row, mixing and 290 < row < 360)
    seen_gives = 0.0 if mixing else gives
    assert ramps.bow == pytest.approx(seen_gives * (bow - bow.mean())[-1], abs=0.002)
    assert (ramps.sigmas > calibration.GIVES_SIGMAS) == (seen_gives > 0.0)
