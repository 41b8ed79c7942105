"""What the network adds to the belief of the mean: trusted while it is right, sent away while it is not."""

import math
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest

from controller.core import foresight, network
from controller.core.estimate import mean_log
from controller.core.network import Network
from controller.core.step import Config, State, configure, init, step
from controller.core.trace import Trace
from controller.line.command import Cause, Mode, Rung
from controller.line.description import LawName
from evencoat.check_guest import pump_regions
from evencoat.guest import Guest
from tests.controller.core.test_learnt import CYCLE_S, Pressed, adaptive_line
from tests.factories import identical
from tests.networks import foreseeing, wild

LINE = adaptive_line()
NEURAL = replace(LINE, control=replace(LINE.control, law=LawName.NEURAL))
RAMP_FROM_M, RAMP = 100.0, 2e-5  # solids that nobody foresees: 1.2e-3 over a dead time of 63 s
WORTH = 0.8  # of what was missed: what a ramp of this kind deserves


def ramp(web_m: float) -> float:
    """Up for 500 m, down for 500, and so on."""
    since_m = max(web_m - RAMP_FROM_M, 0.0)
    return RAMP * (since_m % 1000.0 if since_m % 1000.0 < 500.0 else 1000.0 - since_m % 1000.0)


class Loop:
    """The law `neural` on a toy web, with a network or without."""

    def __init__(self, guest: Network | None, seed: int = 0) -> None:
        self.web = Pressed(NEURAL, solids=ramp, seed=seed)
        self.config: Config = configure(NEURAL, CYCLE_S, guest=guest)
        self.state: State = init(self.config, Mode.AUTO)
        self.traces: list[Trace] = []
        self.mean: list[float] = []

    def run(self, seconds: float, **changes: object) -> "Loop":
        for _ in range(round(seconds / CYCLE_S)):
            inputs = self.web.heard(1)._replace(**changes)
            self.state, command, trace = step(self.config, self.state, inputs, CYCLE_S)
            self.web.advance(command)
            self.traces.append(trace)
            self.mean.append(mean_log(self.web.die_error))
        return self

    def left(self, from_s: float) -> float:
        """RMS of the mean from then on."""
        return float(np.sqrt(np.mean(np.square(self.mean[round(from_s / CYCLE_S) :]))))


@pytest.fixture(scope="module")
def plain() -> Loop:
    return Loop(None).run(1500.0)


@pytest.fixture(scope="module")
def helped() -> Loop:
    return Loop(foreseeing(missed_0=WORTH)).run(1500.0)


def test_without_a_network_and_with_one_that_says_nothing_it_is_adaptive_to_the_last_digit(plain):
    silent = Loop(network.blank(3)).run(120.0)
    assert silent.mean == plain.mean[: len(silent.mean)]
    config = configure(LINE, CYCLE_S, guest=foreseeing(missed_0=WORTH))
    assert config.foresight is None, "the law adaptive has no guest"


def test_what_was_missed_and_will_be_again_is_foreseen(plain, helped):
    assert helped.left(400.0) < 0.75 * plain.left(400.0)
    assert helped.traces[-1].guest_authority == 1.0
    assert {trace.rung for trace in helped.traces} == {Rung.OWN}


def test_a_network_that_is_wrong_loses_its_authority_and_does_little_harm(plain):
    wrong = Loop(foreseeing(missed_0=-WORTH)).run(1500.0)
    assert wrong.traces[-1].guest_authority == 0.0
    assert wrong.traces[-1].guest_pct == 0.0
    assert wrong.traces[-1].guest_whole_pct != 0.0
    assert wrong.left(700.0) < 1.02 * plain.left(700.0)


def test_it_begins_in_shadow_and_grows_by_evidence(helped):
    grown = np.array([trace.guest_authority for trace in helped.traces])
    assert grown[0] == 0.0
    assert helped.traces[round(50.0 / CYCLE_S)].guest_pct == 0.0, "nothing is known before the dry gauge sees it"
    assert 0.0 < grown[round(400.0 / CYCLE_S)] <= grown[-1]


def test_a_weight_that_is_wrong_is_learnt():
    """Half of what would be right is asked for; the weight of that guess goes up."""
    loop = Loop(foreseeing(missed_0=0.5 * WORTH)).run(1500.0)
    assert loop.state.foresight.weight[0] > 1.05
    assert np.abs(loop.state.foresight.weight).sum() <= foresight.WEIGHTS_MOST + 1e-12


def test_no_surprise_no_correction():
    loop = Loop(wild(3))
    loop.web.solids = lambda web_m: 0.0
    loop.web._rng = np.random.default_rng(0)
    loop.run(300.0)
    assert max(abs(trace.guest_whole_pct) for trace in loop.traces) < 0.02
    assert max(abs(value) for value in loop.mean) < 3e-4


@pytest.mark.parametrize("seed", range(4))
def test_never_more_than_its_bounds_whatever_the_weights(seed):
    loop = Loop(wild(seed, size=30.0), seed).run(600.0)
    said = 0.01 * np.array([trace.guest_whole_pct for trace in loop.traces])
    assert np.abs(said).max() <= foresight.CORRECTION_MOST + 1e-15
    whole = loop.state.foresight
    most = foresight.WEIGHTS_MOST * loop.config.guest.mean.bound * np.abs(0.01 * whole.taps).max()
    assert abs(whole.whole) <= most + 1e-15


def test_a_dry_gauge_that_falls_silent_takes_the_authority_at_once(helped):
    loop = Loop(None)
    loop.config, loop.state, loop.web = helped.config, helped.state, Pressed(NEURAL, solids=ramp)
    loop.web.cycle, loop.web.web_m = helped.web.cycle, helped.web.web_m
    silent_s = (foresight.STALE + 1.5) * loop.config.foresight.far_s
    loop.run(silent_s, dry=None)
    assert loop.traces[10].guest_pct != 0.0
    assert loop.traces[-1].guest_pct == 0.0


def test_an_answer_that_is_no_number_takes_the_ladder_s_first_step_without_a_bump(helped):
    broken = helped.config.guest
    broken = broken._replace(mean=broken.mean._replace(b3=np.full_like(broken.mean.b3, np.nan)))
    loop = Loop(None)
    loop.config = replace(helped.config, foresight=replace(helped.config.foresight, guest=broken))
    loop.state, loop.web = helped.state, deepcopy(helped.web)
    loop.run(30.0)
    assert loop.traces[1].rung is Rung.LINEAR
    assert loop.traces[1].rung_cause is Cause.NOT_FINITE
    assert Rung.SLOWED not in {trace.rung for trace in loop.traces}
    trims = [helped.traces[-1].pump_trim_pct, *(trace.pump_trim_pct for trace in loop.traces)]
    assert np.abs(np.diff(trims)).max() < 0.1
    assert all(math.isfinite(trim) for trim in trims)


def test_an_encoder_that_is_set_back_begins_a_new_web(helped):
    state, inputs = helped.state, helped.web.heard(1)
    before = state.foresight
    seen = state.estimate
    after = foresight.watch(helped.config.foresight, before, seen, inputs._replace(web_m=5.0))
    assert after.laid.filled <= 1
    assert not after.bank.any()
    np.testing.assert_array_equal(after.weight, before.weight)
    assert identical(
        foresight.watch(helped.config.foresight, before, seen, inputs._replace(encoder_valid=False)), before
    )


def test_the_correction_is_what_the_pump_answers_and_no_shape(helped):
    seen, ahead = helped.state.estimate, helped.state.foresight
    asked = foresight.sought(ahead, seen)
    assert asked.reading.disturbance_md - seen.reading.disturbance_md == pytest.approx(ahead.correction)
    assert ahead.correction != 0.0
    np.testing.assert_array_equal(asked.reading.disturbance_cd, seen.reading.disturbance_cd)
    assert foresight.sought(None, seen) is seen


def test_a_web_that_surely_comes_later_than_is_certified_with_the_network_is_not_helped(helped):
    most_s = helped.config.foresight.late_s
    dead_s = helped.config.adaptation.block_m / NEURAL.web_speed_mps
    assert 0.0 < most_s < dead_s, "some error is borne, and not any"
    loop = Loop(None)
    loop.config, loop.web = helped.config, deepcopy(helped.web)
    for share, speaks in ((0.9, True), (1.1, False)):
        fitting = helped.state.adapt._replace(late_share=share * most_s / dead_s)
        loop.state = helped.state._replace(adapt=fitting)
        loop.run(1.0)
        assert bool(loop.traces[-1].guest_pct) is speaks
        assert loop.traces[-1].guest_whole_pct != 0.0, "it goes on in shadow"


def test_what_is_borne_is_what_check_says(helped):
    with_it = pump_regions(NEURAL, Guest(helped.config.guest, "a network"))[1]
    assert with_it.delay_s == pytest.approx(helped.config.foresight.late_s)
