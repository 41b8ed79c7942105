"""Bolts that cannot move, or do not do what is fed back: the others do their part, and the web tells who they are."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core import blocks, bolts
from controller.core.response import believe
from controller.core.step import configure, init, step
from controller.line.command import Mode
from tests.factories import ToyWeb, make_line

LINE = make_line(zones=16)
RESPONSE = believe(LINE)
WATCH = bolts.build(LINE, RESPONSE, 6.0)
ZONES = LINE.zones


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.sets(st.integers(0, ZONES - 1), min_size=1, max_size=4))
def test_the_others_come_nearer_to_the_wish_than_if_nobody_stood_in(seed, idle):
    rng = np.random.default_rng(seed)
    last, out = rng.normal(600.0, 5.0, ZONES), np.isin(np.arange(ZONES), list(idle))
    wish = last + RESPONSE.shapes @ rng.normal(0.0, 5.0, RESPONSE.modes)
    lent = bolts.without(WATCH, wish, last, out)
    assert np.array_equal(lent[out], last[out])

    def missed(gap):
        off = RESPONSE.matrix @ (gap - wish)
        return float(off @ off)

    assert missed(lent) <= missed(np.where(out, last, wish)) + 1e-15


def test_nobody_out_changes_nothing():
    wish = np.linspace(590.0, 610.0, ZONES)
    assert np.array_equal(bolts.without(WATCH, wish, wish - 1.0, np.zeros(ZONES, dtype=bool)), wish)


@pytest.mark.parametrize(("share", "found"), [(1.0, False), (0.7, False), (0.0, True), (-1.0, True)])
def test_the_web_tells_of_a_bolt_that_does_not_do_as_it_says(share, found):
    """Under a profile that keeps wandering, against noise; a bolt that does most of its part stays in."""
    state, rng, cycle_m = bolts.init(ZONES), np.random.default_rng(3), 0.5
    rest = gap = np.full(ZONES, 600.0)
    effects, missing = [], np.zeros(ZONES)
    missing[8] = share - 1.0
    seen = init(configure(LINE, 0.5), Mode.AUTO).estimate
    for k in range(2400):
        if k % 40 == 0:
            gap = gap + rng.choice([-2.0, -1.0, 0.0, 1.0, 2.0], ZONES)
            gap[8] += rng.choice([-4.0, 4.0])
        effects.append((missing * (gap - rest)) @ RESPONSE.effects)
        at_gauge = effects[max(k - round(6.0 / cycle_m), 0)]
        reading = np.append(at_gauge, 0.0) + rng.normal(0.0, 5e-4, ZONES)
        film = seen.film._replace(mean=reading, gain=np.ones(ZONES), readings=k + 1)
        inputs = ToyWeb(LINE).inputs()._replace(gap_um=gap, web_m=cycle_m * k, encoder_valid=True)
        state = bolts.watch(WATCH, state, seen._replace(film=film), inputs)
    assert state.out[8] == found and state.out.sum() == found


def test_a_torn_web_keeps_what_is_known_of_the_bolts():
    known = bolts.init(ZONES)._replace(block=blocks.begun(ZONES, 50.0), out=np.arange(ZONES) == 3)
    seen = init(configure(LINE, 0.5), Mode.AUTO).estimate
    inputs = ToyWeb(LINE).inputs()._replace(web_m=0.0, encoder_valid=True)
    assert bolts.watch(WATCH, known, seen, inputs).out[3]


def test_a_bolt_that_does_not_follow_is_left_alone_and_the_profile_is_flattened_without_it():
    line = make_line(zones=16, control={"dead_band_um": 0.0})
    shape = np.cos(np.pi * (np.arange(16) + 0.5) / 16.0)
    errors = {}
    for stuck in (False, True):
        web, config = ToyWeb(line, coating=lambda web_m: 0.01 * shape), configure(line, line.control.cycle_s)
        state = init(config, Mode.AUTO)
        for _ in range(round(300.0 / line.control.cycle_s)):
            state, command, trace = step(config, state, web.inputs(), line.control.cycle_s)
            if stuck and command is not None:
                command = replace(command, gap_um=np.where(np.arange(16) == 2, web.gap_um, command.gap_um))
            web.advance(command)
        errors[stuck] = float(np.sqrt(np.mean(web.die_error**2)))
        assert bool(trace.zone_not_following[2]) == stuck and trace.zone_not_following.sum() == stuck
    assert errors[True] < 0.2 * 0.01
