"""Where lips stand behind their motors: dragged through a play whose size is learnt, and motors sent through it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core import play
from controller.core.envelope import Applied
from controller.core.step import Config, State, configure, init, renewed, step
from controller.line.command import Mode, OperatorRequest, UncertifiedCommand
from controller.line.description import Array, LawName, LineDescription
from tests.factories import ToyWeb, make_inputs, make_line

CYCLE_S = 0.5


def worn_line(told_um: float, **parts: object) -> LineDescription:
    lips = {"backlash_um": told_um, "rate_um_per_s": 20.0}
    control = {"cycle_s": CYCLE_S, "closed_loop_cd_s": 4.0, "closed_loop_md_s": 4.0, "bias_filter_s": 100.0}
    return make_line(16, LawName.ADAPTIVE, lips=lips, control=control, **parts)


def built(line: LineDescription) -> tuple[play.Play, play.PlayState]:
    known = configure(line, line.control.cycle_s).play
    assert known is not None
    state = play.init(known)
    assert state is not None
    return known, state


class WornWeb(ToyWeb):
    """A toy web whose lips are dragged by their motors through some play, and whose wet gauge is noisy."""

    def __init__(self, line: LineDescription, play_um: float, noise: float = 0.0, **parts: object) -> None:
        self.half_um, self.noise, self.draws = 0.5 * play_um, noise, np.random.default_rng(7)
        self.lips_um = np.full(line.zones, line.die.gap_nominal_um)
        super().__init__(line, **parts)

    def _lay(self) -> None:
        motors_um = self.gap_um
        self.lips_um = np.clip(self.lips_um, motors_um - self.half_um, motors_um + self.half_um)
        self.gap_um = self.lips_um
        super()._lay()
        self.gap_um = motors_um

    def inputs(self) -> object:
        told = super().inputs()
        if told.wet is None:
            return told
        noise = np.repeat(self.draws.normal(0.0, self.noise, self.line.zones), told.wet.film_um.size // self.line.zones)
        return told._replace(wet=replace(told.wet, film_um=told.wet.film_um * np.exp(noise)))


def run(web: WornWeb, seconds: float, config: Config | None = None) -> tuple[Config, State, Array]:
    """Close the loop; configuration and state at the end, and the motors in each cycle."""
    config = config or configure(web.line, CYCLE_S)
    state, motors = init(config, Mode.AUTO), []
    for _ in range(round(seconds / CYCLE_S)):
        state, command, _ = step(config, state, web.inputs(), CYCLE_S)
        config, state = renewed(config, state)
        web.advance(command)
        motors.append(web.gap_um)
    return config, state, np.array(motors)


def test_lips_are_dragged_through_each_size_of_play():
    """Told 1 um, so half of 0, 0.5, 0.7, 1, 1.4, 2, 2.8, 4 and 5.6 um; up by 2 um, then back by 1."""
    line = worn_line(1.0)
    known, state = built(line)
    at = np.full(line.zones, 600.0)
    for gap_um in (at, at + 2.0, at + 1.0):
        state = play.follow(known, state, make_inputs(line, gap_um=gap_um))
    expected = [601.0, 601.25, 601.35, 601.5, 601.3, 601.0, 600.6, 600.0, 600.0]
    np.testing.assert_allclose(state.lips_um, np.repeat(np.array(expected)[:, None], line.zones, axis=1))


def test_a_bolt_that_is_not_heard_leaves_its_lip_where_it_was():
    line = worn_line(1.0)
    known, state = built(line)
    at = np.full(line.zones, 600.0)
    state = play.follow(known, state, make_inputs(line, gap_um=at))
    deaf = np.arange(line.zones) == 3
    gone = np.where(deaf, np.nan, at + 5.0)
    state = play.follow(known, state, make_inputs(line, gap_um=gone, gap_valid=~deaf))
    assert (state.lips_um[:, 3] == 600.0).all()
    assert np.isfinite(state.lips_um).all()
    assert (state.lips_um[:, 4] > 600.0).all()


def of_one_size() -> tuple[LineDescription, play.Play, play.PlayState]:
    line = worn_line(1.0)
    known, state = built(line)
    known = replace(known, half_um=known.half_um[6:7], prior=known.prior[6:7])
    return line, known, state._replace(lips_um=state.lips_um[6:7], weight=np.ones(1))


ONE_SIZE = of_one_size()


@given(
    st.lists(st.lists(st.floats(-30.0, 30.0), min_size=16, max_size=16), min_size=1, max_size=8),
    st.lists(st.floats(-30.0, 30.0), min_size=16, max_size=16),
)
@settings(max_examples=100, deadline=None)
def test_a_motor_sent_through_the_right_play_brings_its_lip_where_it_was_wished(way, wish):
    """Whatever it did before; or leaves it within what a screw is not turned back for."""
    line, known, state = ONE_SIZE
    gap_um = np.full(line.zones, 600.0)
    for moves in [np.zeros(line.zones), *way]:
        gap_um = 600.0 + np.array(moves)
        state = play.follow(known, state, make_inputs(line, gap_um=gap_um))
    sent = Applied(gap_um, 60.0, 0.0)
    wished = UncertifiedCommand(600.0 + np.array(wish), 60.0, 0.0)
    motors = play.driven(known, state, wished, play.standing(known, state, sent), sent)
    state = play.follow(known, state, make_inputs(line, gap_um=motors.gap_um))
    assert np.abs(state.lips_um[0] - wished.gap_um).max() <= play.REVERSE_UM + 1e-9


@pytest.mark.parametrize(("told_um", "true_um"), [(1.0, 4.0), (1.0, 1.0)])
def test_the_size_is_learnt_while_the_loop_runs(told_um, true_um):
    """Half an hour with a profile that wanders, and a noisy gauge."""
    line = worn_line(told_um)
    index = np.arange(16)

    def wandering(web_m: float) -> Array:
        shapes = [np.cos(np.pi * k * (index + 0.5) / 16.0) * np.sin(web_m / (60.0 + 17.0 * k) + k) for k in range(1, 6)]
        return 0.006 * np.sum(shapes, axis=0)

    web = WornWeb(line, true_um, noise=0.002, coating=wandering)
    config, state, _ = run(web, 1800.0)
    assert state.ladder.rung == 0
    found_um = play.size_um(config.play, state.play)
    assert found_um == pytest.approx(true_um, rel=0.45)
    assert play.surely_um(config.play, state.play) < 1.1 * true_um


def test_a_die_told_of_play_that_it_does_not_have_stays_within_that_play():
    line = worn_line(0.5)
    web = WornWeb(line, 0.0, coating=lambda web_m: 0.004 * np.cos(np.pi * (np.arange(16) + 0.5) / 16.0))
    _, _, motors = run(web, 240.0)
    assert np.ptp(motors[-200:], axis=0).max() <= 0.5 + 0.2  # and the steps of command and drive


def test_taking_over_moves_nothing_whatever_the_lips_do_in_their_play():
    line = worn_line(2.0)
    web = WornWeb(line, 2.0, gap_um=np.full(16, 600.0) + np.linspace(-3.0, 3.0, 16))
    config = configure(line, CYCLE_S)
    state = init(config, Mode.HOLD)
    for _ in range(20):
        state, command, _ = step(config, state, web.inputs(), CYCLE_S)
        web.advance(command)
    before = web.gap_um.copy()
    _, command, trace = step(config, state, web.inputs(), CYCLE_S, OperatorRequest(mode=Mode.AUTO))
    assert trace.mode_actual is Mode.AUTO
    np.testing.assert_allclose(command.gap_um, before, atol=0.5 * line.lips.command_step_um + 1e-9)


def test_no_play_is_modelled_where_none_is_told_and_for_other_laws():
    assert configure(worn_line(0.0), CYCLE_S).play is None
    assert configure(make_line(law=LawName.IMC), CYCLE_S).play is None


def test_another_map_with_other_modes_begins_a_block_and_keeps_what_was_learnt():
    """Narrower lips make more modes useful."""
    wide, narrow = worn_line(1.0, die={"kernel_fwhm_pitches": 2.5}), worn_line(1.0, die={"kernel_fwhm_pitches": 1.2})
    web = WornWeb(wide, 2.0, noise=0.002)
    config, state, _ = run(web, 60.0)
    other = configure(narrow, CYCLE_S).play
    assert other is not None
    assert config.play.effects.shape[1] < other.effects.shape[1]
    turned = play.rested(state.play)
    np.testing.assert_array_equal(turned.weight, state.play.weight)
    np.testing.assert_array_equal(turned.lips_um, state.play.lips_um)
    seen, inputs = state.estimate, web.inputs()
    for _ in range(30):
        inputs = inputs._replace(web_m=inputs.web_m + 0.5)
        seen = seen._replace(film=seen.film._replace(readings=seen.film.readings + 1))
        turned = play.watch(other, turned, seen, inputs)
    assert turned.looks > state.play.looks
