"""One model for another while the line runs: what was read stays what it was, and nobody feels a bump."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from controller.core import adapt, blocks, candidates, certificate, estimate, exchange, response
from controller.core import step as core
from controller.line.command import Mode
from controller.line.description import Array, Doubt, LawName, LineDescription
from tests.factories import lip_response_per_um, make_inputs, make_line, wet_scan

LINE = make_line(12, LawName.ADAPTIVE)


def other_line() -> LineDescription:
    die = replace(LINE.die, gain_factor=1.4, kernel_fwhm_pitches=2.3, alignment_shift_mm=9.0)
    return replace(LINE, die=die)


def running(seed: int = 1, cycles: int = 400) -> tuple[core.Config, core.State, Array]:
    """A closed loop on a web whose lips do what the description says, after a while."""
    rng = np.random.default_rng(seed)
    config = core.configure(LINE, 0.1)
    state, gap, trim = core.init(config, Mode.AUTO), np.full(12, 600.0), 0.0
    uneven = 0.02 * rng.standard_normal(12)
    uneven -= uneven.mean()
    laid = [gap] * 31
    for cycle in range(cycles):
        laid.append(gap)
        error = uneven + lip_response_per_um(LINE) @ (laid[-31] - 600.0) + 0.001 * rng.standard_normal(12)
        scan = wet_scan(LINE, np.repeat(error, 2), t_s=0.1 * cycle, web_m=0.1 * cycle, scan_id=cycle)
        inputs = make_inputs(LINE, t_s=0.1 * cycle, web_m=0.1 * cycle, gap_um=gap, pump_trim_pct=trim, wet=scan)
        state, command, _ = core.step(config, state, inputs, 0.1)
        if command is not None:
            gap, trim = command.gap_um, command.pump_trim_pct
    return config, state, gap


def test_the_turn_there_and_back_is_none() -> None:
    one, other = response.believe(LINE), response.believe(other_line())
    there, back = exchange.turn(one, other), exchange.turn(other, one)
    np.testing.assert_allclose(there.seen @ back.seen, np.eye(12), atol=1e-9)
    np.testing.assert_allclose(there.done @ back.done, np.eye(12), atol=1e-6)


def test_what_lips_did_is_told_as_the_new_model_would_have_told_it() -> None:
    one, other = response.believe(LINE), response.believe(other_line())
    gap = 600.0 + np.arange(12.0) ** 2 / 20.0
    told = np.append(gap @ one.effects, 0.01) @ exchange.turn(one, other).done
    np.testing.assert_allclose(told, np.append(gap @ other.effects, 0.01), atol=1e-9)


def test_the_reading_is_what_it_was() -> None:
    """Disturbance and effect change places; their sum, which is what the gauge read, does not."""
    config, state, _ = running()
    new = estimate.build(other_line(), response.believe(other_line()))
    after = exchange.estimate(state.estimate, config.estimator, new)

    def read(estimator: estimate.Estimator, seen: estimate.EstimateState) -> Array:
        effect = seen.model.at(seen.film_m)
        assert effect is not None
        return estimate.to_error(estimator.response, seen.film.mean + effect)

    np.testing.assert_allclose(read(new, after), read(config.estimator, state.estimate), atol=1e-4)
    assert (after.film.variance > 0.0).all()


def test_a_model_taken_into_use_makes_no_bump() -> None:
    config, state, gap = running()
    assert config.adaptation is not None
    lesson = state.adapt._replace(
        information=np.diag([1e4, 1e4, 1e4, 1e8, 1e4]),
        weighed=1e4 * np.array([0.4, 0.2, 0.5, 0.0, 0.0]),
        looks=5,
        block=blocks.begun(12),
        far=candidates.nothing(),
    )
    new, after = core.renewed(config, state._replace(adapt=lesson))
    assert new is not config and new.line.die.gain_factor == pytest.approx(np.exp(0.4), rel=0.02)
    assert "gain +49 %" in after.news
    inputs = make_inputs(LINE, t_s=40.0, web_m=40.0, gap_um=gap, pump_trim_pct=state.applied.pump_trim_pct)  # type: ignore[union-attr]
    again, command, trace = core.step(new, after, inputs, 0.1)
    assert command is not None
    assert np.abs(command.gap_um - gap).max() <= LINE.lips.command_step_um + 1e-9
    assert trace.model_news == after.news and again.news == ""


@pytest.mark.parametrize("mode", [Mode.MANUAL, Mode.HOLD, Mode.ADVISORY])
def test_nothing_is_taken_into_use_while_the_law_does_not_act(mode: Mode) -> None:
    config, state, _ = running(cycles=60)
    lesson = state.adapt._replace(
        information=np.eye(5) * 1e4,
        weighed=1e4 * np.array([0.4, 0.0, 0.0, 0.0, 0.0]),
        looks=5,
        block=blocks.begun(12),
        far=candidates.nothing(),
    )
    held = state._replace(adapt=lesson, supervisor=replace(state.supervisor, actual=mode))
    assert core.renewed(config, held)[0] is config


def test_a_fixed_law_learns_no_map() -> None:
    config = core.configure(make_line(8, LawName.IMC), 0.1)
    assert config.adaptation is None
    state = core.init(config, Mode.AUTO)
    assert core.renewed(config, state) == (config, state)


def test_a_mirrored_lesson_is_the_mirrored_map() -> None:
    numbers = np.array([0.2, 0.1, 0.3, 0.004])
    mirrored = numbers * np.array([1.0, 1.0, -1.0, 1.0])
    one = response.believe(replace(LINE, die=adapt.moved(LINE.die, numbers))).matrix
    other = response.believe(replace(LINE, die=adapt.moved(LINE.die, mirrored))).matrix
    np.testing.assert_allclose(other, one[::-1, ::-1], atol=1e-12)


def test_a_map_learnt_while_running_inherits_the_certified_time_and_searches_for_none(monkeypatch) -> None:
    """The search takes longer than a cycle; what was found of the line before it ran has slowed its lips already."""
    line = replace(LINE, die=replace(LINE.die, doubt=Doubt(delay_s=30.0)))
    config = core.configure(line, 0.1)
    closed_s = config.line.control.closed_loop_cd_s
    assert closed_s > 1.2 * LINE.control.closed_loop_cd_s
    _, state, _ = running(cycles=60)
    lesson = state.adapt._replace(
        information=np.eye(5) * 1e4,
        weighed=1e4 * np.array([0.4, 0.0, 0.0, 0.0, 0.0]),
        looks=5,
        block=blocks.begun(12),
        far=candidates.nothing(),
    )

    def never(*_: object) -> None:
        raise AssertionError("a search within a cycle")

    monkeypatch.setattr(certificate, "misfits", never)
    new, _ = core.renewed(config, state._replace(adapt=lesson))
    assert new is not config
    assert new.line.control.closed_loop_cd_s == closed_s
