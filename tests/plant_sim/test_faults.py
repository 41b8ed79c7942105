"""The catalogue, and what is in effect when."""

import math
from dataclasses import fields

import numpy as np
import pytest

from plant_sim.disturbances import Amplitudes
from plant_sim.faults import CATALOGUE, DRIFTS, INTERVALS_KEPT, PLAY_KEYS, Play, Timetable, bolt_of
from plant_sim.gauges import HEALTHY

BOXES = {"wet": 80, "dry": 40}
LANES_MM = 6.25 * (np.arange(40) - 19.5)


def effects(t_s, *plays):
    return Timetable(plays, 10, BOXES, LANES_MM).at(t_s)


def test_every_entry_reads_keys_that_plays_have():
    assert all(set(entry.keys) <= set(PLAY_KEYS) for entry in CATALOGUE.values())
    assert all(entry.size_min <= entry.size_max for entry in CATALOGUE.values())


def test_nothing_played_has_no_effect():
    nothing = effects(5.0)
    assert nothing.amplitudes == Amplitudes()
    assert nothing.bolts is None
    assert nothing.wet is HEALTHY and nothing.dry is HEALTHY
    assert nothing.slip_step == 0.0 and nothing.encoder_valid and nothing.incidents is None


@pytest.mark.parametrize("t_s", [9.999, 15.0])
def test_no_effect_outside_of_onset_and_duration(t_s):
    plays = [Play(name, 10.0, 5.0, 1.0) for name in CATALOGUE if name not in ("batch-change", "web-speed", "web-stop")]
    outside = effects(t_s, *plays)
    assert outside.amplitudes == Amplitudes() and outside.bolts is None and outside.wet is HEALTHY
    assert outside.slip_step == 0.0 and outside.encoder_valid and outside.incidents is None


def test_every_drift_has_an_amplitude_of_its_own():
    for name in DRIFTS:
        amplitudes = effects(0.0, Play(name, size=0.7)).amplitudes
        values = [getattr(amplitudes, entry.name) for entry in fields(Amplitudes)]
        assert sorted(values) == [0.0] * (len(values) - 1) + [0.7]
    assert len(DRIFTS) == len(fields(Amplitudes))


def test_bolts():
    bolts = effects(
        0.0, Play("stuck-bolt", at=0.25), Play("slow-bolt", at=0.5, size=0.1), Play("backlash-growth", at=1.0, size=4.0)
    ).bolts
    assert bolts is not None
    assert np.flatnonzero(bolts.rate_share == 0.0).tolist() == [2]
    assert bolts.rate_share[5] == 0.1
    assert bolts.backlash_extra_um.tolist() == [0.0] * 9 + [4.0]


def test_bolts_that_mislead_their_lips():
    bolts = effects(
        0.0,
        Play("dead-bolt", at=0.25),
        Play("reversed-bolt", at=0.5),
        Play("lip-stiction", size=2.0),
        Play("lip-stiction", size=3.0, to_share=0.2),
        Play("feedback-noise", size=0.3, from_share=0.5),
        Play("feedback-noise", size=0.4, from_share=0.9),
    ).bolts
    assert bolts is not None and (bolts.rate_share == 1.0).all() and not bolts.backlash_extra_um.any()
    assert np.flatnonzero(bolts.dead).tolist() == [2] and np.flatnonzero(bolts.reversed).tolist() == [5]
    assert bolts.stick_um.tolist() == [3.0] * 2 + [2.0] * 8
    assert bolts.feedback_um.tolist() == pytest.approx([0.0] * 5 + [0.3] * 4 + [0.5])


def test_one_bolt_fault_is_no_other():
    bolts = effects(0.0, Play("dead-bolt")).bolts
    assert bolts is not None and bolts.dead is not None
    assert bolts.reversed is None and bolts.stick_um is None and bolts.feedback_um is None


@pytest.mark.parametrize(("at", "zones", "bolt"), [(0.0, 10, 0), (0.999, 10, 9), (1.0, 10, 9), (0.17, 40, 6)])
def test_place_across_the_web_names_a_bolt(at, zones, bolt):
    assert bolt_of(Play("stuck-bolt", at=at), zones) == bolt


def test_gauge_faults_reach_their_gauge_only():
    now = effects(
        0.0,
        Play("gauge-dropout", gauge="wet", from_share=0.25, to_share=0.5),
        Play("gauge-bias", gauge="dry", size=2.0),
        Play("gauge-silent", gauge="dry"),
        Play("gauge-frozen", gauge="wet"),
        Play("gauge-outliers", gauge="wet", size=20.0, chance_pct=3.0),
    )
    assert now.wet.dropout == (20, 40) and now.wet.frozen and not now.wet.silent
    assert (now.wet.outlier_chance, now.wet.outlier_size) == (0.03, 0.2)
    assert now.dry.silent and now.dry.bias == 0.02 and not now.dry.frozen


def test_slip_step_and_encoder_loss():
    now = effects(1.0, Play("pump-slip-step", size=1.5), Play("encoder-loss", 0.0, 3.0))
    assert now.slip_step == 0.015 and not now.encoder_valid


def test_plays_last_for_ever_unless_told_otherwise():
    assert Play("encoder-loss").active(1e9) and math.isinf(Play("encoder-loss").duration_s)


def test_a_month_of_plays_is_not_kept_for_ever() -> None:
    plays = [Play("streak", onset_s=100.0 * k, duration_s=50.0, size=1.0 + 0.01 * k) for k in range(200)]
    timetable = Timetable(plays, 10, BOXES, LANES_MM)
    first = timetable.at(110.0)
    for k in range(200):
        timetable.at(100.0 * k + 10.0)
        timetable.at(100.0 * k + 60.0)
    assert len(timetable._known) == INTERVALS_KEPT
    again = timetable.at(110.0)
    assert again is not first and np.array_equal(again.incidents.streak_log, first.incidents.streak_log)
