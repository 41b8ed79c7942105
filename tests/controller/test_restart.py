"""What a start takes over from the run before: as much as holds on the web that it finds, and never a move."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from controller import restart
from controller.clock import LockstepClock
from controller.core import adapt, play
from controller.core import step as core
from controller.core.trace import Trace
from controller.line.command import Cause, Mode, OperatorRequest, Rung
from controller.line.profile import LineInputs
from controller.loop import Loop
from controller.restart import Extent, Kept, Resumed
from evencoat.league.rivals import Rival
from firmware_bridge.bridge import CanLinePort
from firmware_bridge.tx_gate import Gate
from plant_sim.scenario import Scenario
from tests.runs import Line

WEB_MAX_M = 200.0


class Restarted(Line):
    """A line whose controller dies and starts again."""

    came: Resumed | None = None

    def kept(self) -> Kept:
        trace = self.loop.trace
        assert trace is not None
        return restart.kept(self.loop.config, self.loop.state, trace.web_m, trace.roll, trace.batch)

    def restart(self, before: Kept | None, mode: Mode = Mode.AUTO) -> None:
        """A new controller on a port of its own, with the map of the one before."""
        settings = self.plan.settings
        line = self.line
        if before is not None:
            line = restart.line_with(line, before.adapt.there, before.unsure_mm)
        config = core.configure(line, settings.wire.sync_period_s)

        def resume(fresh: core.State, inputs: LineInputs) -> core.State:
            assert before is not None
            self.came = restart.resumed(config, fresh, before, inputs, WEB_MAX_M)
            return self.came.state

        port = CanLinePort(self.codec, self.hub.attach(), Gate(settings.gate), line, settings.wire, True)
        resuming = resume if before is not None else None
        self.loop = Loop(config, port, LockstepClock(), self.sink, mode, rearm_at_start=True, resume=resuming)


def running(rival: Rival = Rival.IMC, seconds: float = 240.0, line: str = "pilot-16") -> Restarted:
    made = Restarted(Scenario.load("first-shift"), line, rival, seed=3)
    made.play_s(seconds)
    return made


def first_sent(traces: list[Trace]) -> Trace:
    return next(trace for trace in traces if trace.sent)


@pytest.mark.parametrize("rival", [Rival.IMC, Rival.PID, Rival.ADAPTIVE])
def test_the_same_web_is_taken_over_whole_and_the_first_command_is_where_things_stand(rival: Rival) -> None:
    line = running(rival)
    before = line.kept()
    line.play_dead_s(5.0)
    line.restart(before)
    traces = line.play_s(20.0)
    assert line.came is not None and line.came.extent is Extent.WHOLE, line.came
    first, step_um = first_sent(traces), line.line.lips.command_step_um
    assert np.abs(first.gap_target_um - first.gap_um).max() <= 0.5 * step_um + 1e-9
    assert abs(first.pump_trim_pct - first.pump_trim_applied_pct) < 1e-2
    rate_um = line.line.lips.rate_um_per_s * line.cycle_s + step_um
    sent = [trace.gap_target_um for trace in traces if trace.sent]
    assert max(np.abs(b - a).max() for a, b in pairwise(sent)) <= rate_um
    assert traces[-1].mode_actual is Mode.AUTO


def test_a_web_that_was_taken_over_is_even_sooner_than_one_that_is_new() -> None:
    """What is known of the disturbance is not learnt anew: over the next metres the lips wander less."""
    wander_um = {}
    for taken in (True, False):
        line = running(Rival.IMC)
        before = line.kept()
        line.play_dead_s(3.0)
        line.restart(before if taken else None)
        gaps = np.array([trace.gap_target_um for trace in line.play_s(30.0) if trace.sent])
        wander_um[taken] = float(np.abs(np.diff(gaps, axis=0)).sum())
    assert wander_um[True] < 0.7 * wander_um[False], wander_um


@pytest.mark.parametrize(
    ("changes", "extent", "word"),
    [
        ({}, Extent.WHOLE, "same roll and batch"),
        ({"roll": 99}, Extent.LASTING, "it was roll"),
        ({"batch": 99}, Extent.LASTING, "it was roll"),
        ({"web_m": 1e6}, Extent.LASTING, "m of web since"),
        ({"web_m": 1.0}, Extent.LASTING, "m of web since"),
        ({"encoder_valid": False}, Extent.LASTING, "m of web since"),
    ],
)
def test_how_much_is_taken_over_depends_on_the_web_that_is_found(
    changes: dict[str, object], extent: Extent, word: str
) -> None:
    line = running(seconds=60.0)
    before = line.kept()
    inputs = line.loop._port.read()
    assert inputs is not None
    fresh = core.init(line.loop.config, Mode.HOLD)
    came = restart.resumed(line.loop.config, fresh, before, inputs._replace(**changes), WEB_MAX_M)  # type: ignore[arg-type]
    assert came.extent is extent and word in came.why
    for part in ("applied", "law", "manual", "offset", "follow", "supervisor"):
        assert getattr(came.state, part) is getattr(fresh, part)
    assert np.isnan(came.state.bolts.position_um).all() and np.isnan(came.state.adapt.lips_um).all()
    whole = came.state.estimate.film is before.estimate.film
    assert whole == (extent is Extent.WHOLE)


def test_on_another_web_only_what_is_the_lines_own_is_known() -> None:
    line = running(Rival.ADAPTIVE, 400.0)
    before, config = line.kept(), line.loop.config
    inputs = line.loop._port.read()
    assert inputs is not None
    fresh = core.init(config, Mode.HOLD)
    state = restart.resumed(config, fresh, before, inputs._replace(roll=99, batch=99), WEB_MAX_M).state
    was, now = before.estimate, state.estimate
    assert now.scales is not None and was.scales is not None and now.scales.noise is was.scales.noise
    assert now.learnt is not None and was.learnt is not None
    assert now.learnt.flow.pulses.variance == was.learnt.flow.pulses.variance
    np.testing.assert_array_equal(now.offset.mean, was.offset.mean)
    assert (now.offset.variance >= was.offset.variance).all()
    assert now.film.readings == 0 and now.reading.t_ns == -1 and not now.model.filled  # of this web nothing is known
    assert now.learnt.batch is None and not now.learnt.flow.filled
    line.restart(before)
    line.play_s(30.0)
    assert line.loop.trace is not None and line.loop.trace.mode_actual is Mode.AUTO


def test_a_learnt_map_is_in_use_again_and_counted_from_the_description() -> None:
    line = running(Rival.ADAPTIVE, 60.0)
    numbers = np.array([0.4, -0.1, 0.3, 0.002])
    config = line.loop.config
    described = config.line.die
    used = adapt.described(config.line, numbers, np.full(4, 0.01))
    state = line.loop.state._replace(adapt=adapt.accepted(line.loop.state.adapt, numbers))
    before = restart.kept(core.configure(used, 0.1), state, 10.0, 1, 1)
    again = restart.line_with(config.line, before.adapt.there, before.unsure_mm).die
    for name in ("gain_factor", "kernel_fwhm_pitches", "alignment_shift_mm", "alignment_stretch_pct"):
        assert getattr(again, name) == pytest.approx(getattr(used.die, name), rel=1e-12)
        assert getattr(again, name) != getattr(described, name)
    assert again.alignment_uncertainty_mm == used.die.alignment_uncertainty_mm
    with pytest.raises(ValueError, match=r"gain = -1.5: must be within \+-1"):
        restart.line_with(config.line, np.array([-1.5, 0.0, 0.0, 0.0]), 1.0)


def test_play_and_bolts_that_were_found_are_known_and_where_lips_stand_is_not() -> None:
    line = running(Rival.ADAPTIVE, 60.0)
    state = line.loop.state
    assert state.play is not None
    sure = np.zeros_like(state.play.weight)
    sure[2] = 1.0
    out = np.zeros(line.line.zones, dtype=bool)
    out[5] = True
    state = state._replace(play=state.play._replace(weight=sure), bolts=state.bolts._replace(out=out))
    before = restart.kept(line.loop.config, state, 1.0, 1, 1)
    assert before.play is not None and np.isnan(before.play.lips_um).all()
    assert play.size_um(line.loop.config.play, before.play) == play.size_um(line.loop.config.play, state.play)
    assert before.bolts.out[5] and np.isnan(before.bolts.position_um).all()


def test_a_crash_forgives_no_rung() -> None:
    line = running(seconds=60.0)
    state = line.loop.state
    lower = state.ladder._replace(rung=2, cause=Cause.SURPRISE_CD, failures=1)
    before = restart.kept(line.loop.config, state._replace(ladder=lower), 1.0, 1, 1)
    line.play_dead_s(1.0)
    line.restart(before)
    line.play_s(5.0)
    assert line.loop.trace is not None
    assert (line.loop.trace.rung, line.loop.trace.rung_cause) == (Rung.PI, Cause.SURPRISE_CD)


def test_the_target_and_the_zones_that_a_person_holds_outlive_a_crash_and_no_lip_moves() -> None:
    line = running(seconds=60.0)
    held, wanted_gsm = np.arange(line.line.zones) == 3, 1.01 * float(line.line.target_profile_gsm.mean())
    line.loop.request(OperatorRequest(zone_manual=held, target_gsm=wanted_gsm))
    line.play_s(30.0)
    assert line.loop.trace is not None
    stood_um = line.loop.trace.gap_um[3]
    before = line.kept()
    line.play_dead_s(1.0)
    line.restart(before)
    line.play_s(20.0)
    assert line.loop.trace.target_gsm == pytest.approx(wanted_gsm)
    np.testing.assert_array_equal(line.loop.trace.zone_manual, held)
    assert line.loop.trace.mode_actual is Mode.AUTO
    assert line.loop.trace.gap_target_um[3] == pytest.approx(stood_um, abs=0.5)
