"""One cycle of the whole controller: pure, bumpless, symmetric, and silent where it has no business."""

import warnings
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core import step as core
from controller.core.step import Config, State
from controller.core.trace import Trace
from controller.line.command import ActuatorCommand, Limit, Mode, OperatorRequest, Outcome
from controller.line.description import LawName, LineDescription
from controller.line.profile import LineInputs, LineState
from tests.controller.core.test_envelope import offences
from tests.factories import ToyWeb, identical, make_inputs, make_line, wet_scan

LAWS = [LawName.PI, LawName.IMC]
SYNC_S = 0.1


class Drive:
    """A controller and a toy web, cycle by cycle. Every lip command is judged against the one before."""

    def __init__(self, web: ToyWeb, mode: Mode = Mode.AUTO) -> None:
        self.web = web
        self.config: Config = core.configure(web.line, SYNC_S)
        self.state: State = core.init(self.config, mode)
        self.command: ActuatorCommand | None = None
        self.trace: Trace | None = None

    def cycle(self, asked: OperatorRequest | None = None, **changes: Any) -> Trace:
        inputs = self.web.inputs(**changes)
        self.state, self.command, self.trace = core.step(
            self.config, self.state, inputs, self.web.line.control.cycle_s, asked
        )
        if self.command is not None:
            wrong = offences(self.web.line.lips, self.web.gap_um, self.command.gap_um, self.web.line.control.cycle_s)
            assert wrong == []
        self.web.advance(self.command)
        return self.trace

    def run(self, seconds: float, **changes: Any) -> Trace:
        for _ in range(round(seconds / self.web.line.control.cycle_s)):
            trace = self.cycle(**changes)
        return trace


def uneven(line: LineDescription, size: float = 0.01) -> np.ndarray:
    return size * np.sin(np.arange(line.zones) * 1.3)


def auto(law: LawName = LawName.IMC, seconds: float = 8.0, **parts: Any) -> Drive:
    """A loop that has been in AUTO for a while on an uneven web."""
    line = make_line(law=law, **parts)
    shape = uneven(line)
    drive = Drive(ToyWeb(line, coating=lambda web_m: shape + 0.01))
    drive.run(seconds)
    assert drive.trace is not None
    assert drive.trace.mode_actual is Mode.AUTO
    return drive


# --------------------------------------------------------------------------------------------------- purity


@pytest.mark.parametrize("law", LAWS)
def test_a_step_depends_on_its_arguments_alone(law):
    drive = auto(law)
    inputs = drive.web.inputs()
    kept, kept_inputs = deepcopy(drive.state), deepcopy(inputs)
    first = core.step(drive.config, drive.state, inputs, 0.1)
    other = core.step(drive.config, drive.state, drive.web.inputs(web_speed_mps=0.3), 3.0)
    second = core.step(drive.config, drive.state, inputs, 0.1)
    rebuilt = core.step(core.configure(drive.web.line, SYNC_S), deepcopy(drive.state), deepcopy(inputs), 0.1)
    assert identical(first, second)
    assert identical(first, rebuilt)
    assert not identical(first, other)
    assert identical(drive.state, kept)
    assert identical(inputs, kept_inputs)


def test_a_port_that_reuses_its_arrays_does_not_change_what_is_remembered():
    """Feedback becomes part of the state; after a command was sent only the envelope's own arrays are in it."""
    drive = auto()
    inputs = drive.web.inputs()
    state, command, _ = core.step(drive.config, drive.state, inputs, 0.1)
    kept = deepcopy(state)
    inputs.gap_um[:] = -1.0
    assert command is not None
    assert identical(state.applied, kept.applied)


# ------------------------------------------------------------------------------------------------- symmetry


def mirrored(inputs: LineInputs) -> LineInputs:
    wet = replace(inputs.wet, film_um=inputs.wet.film_um[::-1], valid=inputs.wet.valid[::-1]) if inputs.wet else None
    dry = inputs.dry
    if dry is not None:
        dry = replace(dry, areal_density_gsm=dry.areal_density_gsm[::-1], valid=dry.valid[::-1])
    return inputs._replace(wet=wet, dry=dry, gap_um=inputs.gap_um[::-1].copy())


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(LAWS), st.sampled_from([5, 8]), st.booleans())
def test_a_mirrored_web_gets_mirrored_commands(seed, law, zones, holes):
    """Up to what rounding to counts does to values that lie just on a half."""
    line = make_line(zones, law=law)
    rng = np.random.default_rng(seed)
    config = core.configure(line, SYNC_S)
    one = other = core.init(config, Mode.AUTO)
    gap_um = 600.0 + np.round(rng.normal(0.0, 5.0, zones), 1)
    for cycle in range(12):
        error = rng.normal(0.0, 0.02, 2 * zones)
        valid = rng.uniform(size=2 * zones) > (0.2 if holes else 0.0)
        scan = wet_scan(line, error, t_s=0.1 * cycle, web_m=0.1 * cycle, valid=valid)
        inputs = make_inputs(line, 0.1 * cycle, wet=scan, gap_um=gap_um)
        one, command, _ = core.step(config, one, inputs, 0.1)
        other, reflected, _ = core.step(config, other, mirrored(inputs), 0.1)
        np.testing.assert_allclose(reflected.gap_um[::-1], command.gap_um, atol=0.1 + 1e-6)
        assert reflected.pump_trim_pct == pytest.approx(command.pump_trim_pct, abs=2e-3)


@pytest.mark.parametrize("law", LAWS)
def test_an_error_all_zones_share_moves_no_lip(law):
    drive = Drive(ToyWeb(make_line(law=law), coating=lambda web_m: np.log(1.03)))
    trace = drive.run(60.0)
    np.testing.assert_array_equal(trace.gap_target_um, 600.0)
    assert trace.pump_trim_pct == pytest.approx(-100.0 * 0.03 / 1.03, abs=0.05)


@pytest.mark.parametrize("law", LAWS)
def test_time_is_counted_in_web(law):
    """A web at half the speed is corrected at half the pace, because it takes twice as long to show the answer."""
    trims = []
    for speed_mps, seconds in ((1.0, 1.2), (0.5, 2.4)):
        web = ToyWeb(make_line(law=law), coating=lambda web_m: 0.01)
        web.speed_mps = speed_mps
        drive = Drive(web)
        drive.run(seconds)
        trims.append(web.trim_pct)
    assert trims[1] == pytest.approx(trims[0], rel=0.1)
    assert trims[0] < -0.05


@pytest.mark.parametrize("law", LAWS)
def test_a_perfect_web_is_left_alone(law):
    drive = Drive(ToyWeb(make_line(law=law)))
    for _ in range(250):
        trace = drive.cycle()
        np.testing.assert_array_equal(trace.gap_target_um, 600.0)
        assert trace.pump_trim_pct == 0.0
    assert trace.mode_actual is Mode.AUTO
    assert trace.limits == ()


# ---------------------------------------------------------------------------------------------------- modes


@pytest.mark.parametrize("law", LAWS)
def test_advisory_says_what_it_would_do_and_does_nothing(law):
    line = make_line(law=law)
    shape = uneven(line)
    drive = Drive(ToyWeb(line, coating=lambda web_m: shape + 0.02), Mode.ADVISORY)
    for _ in range(150):
        trace = drive.cycle()
        assert drive.command is None
        assert not trace.sent
    assert (trace.mode_actual, trace.outcome) == (Mode.ADVISORY, Outcome.OK)
    assert np.abs(trace.gap_target_um - 600.0).max() > 1.0
    assert np.corrcoef(trace.gap_target_um, shape)[0, 1] < -0.5
    assert trace.pump_trim_pct < -1.0
    np.testing.assert_array_equal(drive.web.gap_um, 600.0)


def test_advisory_follows_a_person_who_moves_the_lips_meanwhile():
    drive = Drive(ToyWeb(make_line()), Mode.ADVISORY)
    drive.run(2.0)
    drive.web.gap_um = np.linspace(590.0, 610.0, 8)
    drive.run(0.2)
    trace = drive.cycle(OperatorRequest(mode=Mode.HOLD))
    np.testing.assert_allclose(trace.gap_target_um, np.linspace(590.0, 610.0, 8), atol=0.05 + 1e-9)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("before", list(Mode))
@pytest.mark.parametrize("after", list(Mode))
def test_a_change_of_mode_bumps_at_most_one_rate_step(law, before, after):
    line = make_line(law=law)
    shape = uneven(line, 0.02)
    drive = Drive(ToyWeb(line, coating=lambda web_m: shape + 0.03, gap_um=600.0 + 5.0 * np.cos(np.arange(8))), before)
    drive.run(5.0)
    gap_um, trim_pct = drive.web.gap_um, drive.web.trim_pct
    trace = drive.cycle(OperatorRequest(mode=after))
    assert trace.mode_actual is after
    assert np.abs(drive.web.gap_um - gap_um).max() <= 0.5 + 0.05 + 1e-9  # and half a count where lips were found
    assert abs(drive.web.trim_pct - trim_pct) <= 0.05 + 1e-9
    if after is Mode.HOLD:
        assert np.abs(drive.web.gap_um - gap_um).max() <= 0.05 + 1e-9
        assert drive.web.trim_pct == pytest.approx(trim_pct, abs=1e-9)


@pytest.mark.parametrize("law", LAWS)
def test_auto_takes_over_gently_however_long_somebody_else_had_the_lips(law):
    """Bumpless means more than the rate limit: at the moment of taking over the law wants what stands."""
    line = make_line(law=law)
    shape = uneven(line, 0.02)
    drive = Drive(ToyWeb(line, coating=lambda web_m: shape + 0.02), Mode.MANUAL)
    drive.run(30.0)
    gap_um = drive.web.gap_um
    trace = drive.cycle(OperatorRequest(mode=Mode.AUTO))
    assert trace.mode_actual is Mode.AUTO
    assert np.abs(trace.gap_law_um - gap_um).max() < 0.2
    assert abs(trace.pump_trim_law_pct - drive.web.trim_pct) < 0.05


def test_a_person_moves_lips_and_pump_through_the_envelope():
    drive = Drive(ToyWeb(make_line()), Mode.MANUAL)
    drive.cycle(OperatorRequest(gap_um=np.full(8, 610.0), pump_trim_pct=2.0))
    np.testing.assert_allclose(drive.web.gap_um, 600.5)
    assert drive.web.trim_pct == pytest.approx(0.05)
    drive.run(5.0)  # the targets stand until they are reached
    np.testing.assert_allclose(drive.web.gap_um, 610.0)
    assert drive.web.trim_pct == pytest.approx(2.0)
    drive.cycle(OperatorRequest(mode=Mode.HOLD))
    drive.cycle(OperatorRequest(mode=Mode.MANUAL))  # old targets do not come back to life
    np.testing.assert_allclose(drive.web.gap_um, 610.0)


def test_nonsense_from_a_person_moves_nothing():
    drive = Drive(ToyWeb(make_line()), Mode.MANUAL)
    trace = drive.cycle(OperatorRequest(gap_um=np.full(8, np.nan), pump_trim_pct=np.inf))
    assert Limit.FINITE in trace.limits
    trace = drive.run(1.0)
    np.testing.assert_array_equal(drive.web.gap_um, 600.0)
    assert drive.web.trim_pct == 0.0
    assert trace.limits == ()


@pytest.mark.parametrize("law", LAWS)
def test_hold_keeps_lips_and_ratio_whatever_the_web_does(law):
    drive = auto(law)
    ratio = drive.web.line.pump_ratio_nominal_rpm_per_mps
    gap_um, trim_pct = drive.web.gap_um, drive.web.trim_pct
    drive.cycle(OperatorRequest(mode=Mode.HOLD))
    for _ in range(100):
        trace = drive.cycle(web_speed_mps=0.4)
        assert trace.pump_ratio_rpm_per_mps == ratio
        np.testing.assert_allclose(drive.web.gap_um, gap_um)
        assert drive.web.trim_pct == trim_pct


def test_a_command_expires_after_three_cycles():
    drive = auto()
    sync_cycle = drive.web.cycle
    trace = drive.cycle()
    assert drive.command is not None
    assert drive.command.valid_until_cycle == trace.valid_until_cycle == sync_cycle + 3
    assert core.configure(drive.web.line, 0.02).command_life_cycles == 15


# ----------------------------------------------------------------------------------------------- start-up


def test_at_the_start_the_fed_back_positions_are_the_first_command():
    gap_um = 600.0 + np.arange(8.0)
    drive = Drive(ToyWeb(make_line(), gap_um=gap_um), Mode.HOLD)
    drive.cycle()
    np.testing.assert_array_equal(drive.web.gap_um, gap_um)


def test_a_pump_found_at_another_ratio_is_taken_over_at_the_same_speed():
    line = make_line()
    drive = Drive(ToyWeb(line), Mode.HOLD)
    trace = drive.cycle(pump_ratio_rpm_per_mps=0.98 * line.pump_ratio_nominal_rpm_per_mps, pump_trim_pct=1.0)
    assert trace.pump_ratio_rpm_per_mps == pytest.approx(line.pump_ratio_nominal_rpm_per_mps)
    assert 1.0 + trace.pump_trim_pct / 100.0 == pytest.approx(0.98 * 1.01, abs=6e-6)


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(
    "unheard",
    [
        {"gap_um": np.full(8, np.nan), "gap_valid": np.zeros(8, dtype=bool)},
        {"gap_um": np.r_[np.nan, np.full(7, 600.0)], "gap_valid": np.arange(8) > 0},
        {"pump_ratio_rpm_per_mps": np.nan, "pump_trim_pct": np.nan, "pump_valid": False},
        {"pump_valid": False},
    ],
    ids=["no bolt", "one bolt", "no pump", "a pump that fell silent"],
)
def test_nothing_is_sent_to_actuators_that_were_never_heard(mode, unheard):
    drive = Drive(ToyWeb(make_line()), mode)
    for _ in range(5):
        trace = drive.cycle(**unheard)
        assert drive.command is None
        assert not trace.sent
        assert trace.outcome in (Outcome.FEEDBACK_LOST, Outcome.PUMP_LOST)
    for _ in range(60):  # and once they are heard, nothing of it is left
        trace = drive.cycle()
        assert (trace.mode_actual, trace.outcome) == (mode, Outcome.OK)
        assert trace.sent is (mode is not Mode.ADVISORY)
        np.testing.assert_array_equal(drive.web.gap_um, 600.0)
        assert trace.limits == ()


# ------------------------------------------------------------------------------------------------- faults


@dataclass(frozen=True)
class MadLaw:
    """An adversary for a law."""

    real: Any
    answer: float

    def decide(self, state, estimate, last, web_s):
        state, wish = self.real.decide(state, estimate, last, web_s)
        if not np.isfinite(self.answer):
            state = state._replace(memory_cd=state.memory_cd + self.answer)
        return state, replace(wish, gap_um=np.full_like(wish.gap_um, self.answer))

    def track(self, estimate, last):
        return self.real.track(estimate, last)

    def limited(self, state, wish, certified):
        return self.real.limited(state, wish, certified)


@pytest.mark.parametrize("answer", [np.nan, np.inf, -np.inf])
def test_a_law_that_does_not_answer_with_numbers_is_held_until_somebody_asks(answer):
    drive = auto()
    healthy, gap_um = drive.config, drive.web.gap_um
    drive.config = replace(healthy, law=MadLaw(healthy.law, answer))
    trace = drive.cycle()
    assert (trace.mode_actual, trace.outcome) == (Mode.HOLD, Outcome.NOT_FINITE)
    np.testing.assert_array_equal(drive.web.gap_um, gap_um)
    drive.config = healthy
    assert drive.run(2.0).outcome is Outcome.NOT_FINITE
    np.testing.assert_array_equal(drive.web.gap_um, gap_um)
    trace = drive.cycle(OperatorRequest(mode=Mode.AUTO))
    assert (trace.mode_actual, trace.outcome) == (Mode.AUTO, Outcome.OK)
    assert np.abs(trace.gap_law_um - gap_um).max() < 0.5


def test_a_law_gone_wild_stays_in_the_envelope():
    drive = auto()
    drive.config = replace(drive.config, law=MadLaw(drive.config.law, 1e308))
    trace = drive.run(20.0)  # Drive judges every command
    assert Limit.RANGE in trace.limits
    assert trace.limited_zones == 8
    assert drive.web.gap_um.mean() > 660.0


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.MANUAL])
def test_a_refused_command_was_never_sent(mode):
    drive = auto()
    drive.cycle(OperatorRequest(mode=mode, gap_um=np.full(8, 640.0)))
    before, gap_um = drive.state, drive.web.gap_um.copy()
    state, command, _ = core.step(drive.config, before, drive.web.inputs(), 0.1)
    assert command is not None
    drive.state = core.refused(state, before)
    assert drive.state.applied is before.applied
    trace = drive.run(1.0)
    assert (trace.mode_actual, trace.outcome) == (Mode.HOLD, Outcome.REFUSED)
    np.testing.assert_array_equal(drive.web.gap_um, gap_um)
    assert drive.cycle(OperatorRequest(mode=Mode.AUTO)).mode_actual is Mode.AUTO


def test_the_very_first_command_refused_starts_again_from_feedback():
    drive = Drive(ToyWeb(make_line()), Mode.HOLD)
    before = drive.state
    state, _, _ = core.step(drive.config, before, drive.web.inputs(), 0.1)
    drive.state = core.refused(state, before)
    drive.web.gap_um = np.full(8, 605.0)
    drive.cycle()
    np.testing.assert_array_equal(drive.web.gap_um, 605.0)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"wet": None}, Outcome.GAUGE_STALE),
        ({"encoder_valid": False}, Outcome.ENCODER_LOST),
        ({"line_state": LineState.STOPPED, "web_speed_mps": 0.0}, Outcome.LINE_STOPPED),
        ({"gap_valid": np.zeros(8, dtype=bool)}, Outcome.FEEDBACK_LOST),
        ({"pump_valid": False}, Outcome.PUMP_LOST),
        ({"safe_stop": True}, Outcome.SAFE_STOP),
    ],
)
def test_a_fault_holds_and_when_it_passes_auto_goes_on_without_a_bump(law, fault, outcome):
    drive = auto(law)
    drive.run(1.0, **fault)
    gap_um, trim_pct = drive.web.gap_um, drive.web.trim_pct
    trace = drive.run(12.0, **fault)
    assert (trace.mode_actual, trace.outcome) == (Mode.HOLD, outcome)
    np.testing.assert_array_equal(drive.web.gap_um, gap_um)
    assert drive.web.trim_pct == trim_pct
    for _ in range(5):
        trace = drive.cycle()
    assert trace.mode_actual is Mode.AUTO
    assert np.abs(drive.web.gap_um - gap_um).max() <= 0.5
    assert abs(drive.web.trim_pct - trim_pct) <= 0.2


@pytest.mark.parametrize("dt_s", [0.0, 0.1, 5.0, 3600.0])
def test_a_late_cycle_moves_no_further_than_a_punctual_one(dt_s):
    """Time lost is not made up: the rate limit counts at most one cycle."""
    drive = Drive(ToyWeb(make_line()), Mode.MANUAL)
    drive.cycle(OperatorRequest(gap_um=np.full(8, 650.0)))
    inputs = drive.web.inputs()
    _, command, _ = core.step(drive.config, drive.state, inputs, dt_s)
    assert command is not None
    np.testing.assert_allclose(command.gap_um - drive.web.gap_um, min(5.0 * dt_s, 0.5))


def test_what_a_cycle_saw_and_asked_is_all_in_its_trace():
    drive = auto()
    inputs = drive.web.inputs(link_faults=("dry gauge is silent",), pump_pressure_kpa=301.0)
    state, command, trace = core.step(drive.config, drive.state, inputs, 0.1)
    assert command is not None
    np.testing.assert_array_equal(trace.gap_target_um, command.gap_um)
    np.testing.assert_array_equal(trace.gap_um, inputs.gap_um)
    assert trace.cycle == drive.state.cycle == state.cycle - 1
    assert (trace.wet_scan_id, trace.dry_scan_id) == (drive.web.cycle, drive.web.cycle)
    assert (trace.link_faults, trace.pump_pressure_kpa) == (("dry gauge is silent",), 301.0)
    assert trace.pump_trim_pct == command.pump_trim_pct
    assert (trace.roll, trace.batch, trace.line_state) == (1, 1, LineState.RUNNING)
    assert trace.profile_gsm.mean() == pytest.approx(180.0, rel=0.02)
    _, _, quiet = core.step(drive.config, state, drive.web.inputs(wet=None, dry=None), 0.1)
    assert (quiet.wet_scan_id, quiet.dry_scan_id) == (-1, -1)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_inputs_raise_and_none_move_a_bolt_out(data):
    """Garbage of every kind that the types allow, in any order, in any mode; warnings count as failures."""
    line = make_line(4, law=data.draw(st.sampled_from(LAWS)))
    drive = Drive(ToyWeb(line), data.draw(st.sampled_from(Mode)))
    any_number = st.floats(allow_nan=True, allow_infinity=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(data.draw(st.integers(1, 12))):
            films = np.array(data.draw(st.lists(any_number, min_size=8, max_size=8)))
            scan = replace(wet_scan(line, t_s=drive.web.t_s, web_m=drive.web.web_m), film_um=films)
            changes = {
                "wet": data.draw(st.sampled_from([None, scan])),
                "gap_um": np.array(
                    data.draw(st.lists(st.sampled_from([600.0, 0.0, np.nan, 1e9]), min_size=4, max_size=4))
                ),
                "gap_valid": np.array(data.draw(st.lists(st.booleans(), min_size=4, max_size=4))),
                "encoder_valid": data.draw(st.booleans()),
                "web_m": data.draw(st.sampled_from([drive.web.web_m, 0.0, 1e6])),
                "pump_trim_pct": data.draw(st.one_of(st.just(0.0), any_number)),
                "pump_valid": data.draw(st.booleans()),
                "line_state": data.draw(st.sampled_from(LineState)),
            }
            mode = data.draw(st.one_of(st.none(), st.sampled_from(Mode)))
            gap_um = data.draw(st.one_of(st.none(), st.just(films[:4])))
            inputs = make_inputs(line, drive.web.t_s, **changes)
            asked = OperatorRequest(mode=mode, gap_um=gap_um, pump_trim_pct=data.draw(any_number))
            before = drive.state
            drive.state, command, _ = core.step(drive.config, drive.state, inputs, 0.1, asked)
            if command is not None:
                assert np.isfinite(command.gap_um).all()
                assert np.isfinite(command.pump_trim_pct)
                heard = before.applied is not None and np.isfinite(before.applied.pump_trim_pct)
                if heard and before.supervisor.actual is not Mode.ADVISORY:
                    last_um = before.applied.gap_um
                    assert not np.isfinite(last_um).all() or offences(line.lips, last_um, command.gap_um, 0.1) == []
            drive.web.advance(None)


@pytest.mark.parametrize("law", LAWS)
def test_a_zone_without_feedback_keeps_its_last_command_and_is_shown(law):
    """Feedback of bolt 2 goes stale while the law wants every bolt to move."""
    line = make_line(law=law)
    drive = Drive(ToyWeb(line, coating=lambda web_m: uneven(line, 0.03)))
    drive.run(1.0)
    blind = np.arange(line.zones) != 2
    held_um = drive.command.gap_um[2]
    for _ in range(100):
        trace = drive.cycle(gap_valid=blind)
        assert drive.command.gap_um[2] == held_um
    assert trace.zone_not_following.tolist() == (~blind).tolist()
    assert np.abs(drive.command.gap_um[blind] - 600.0).max() > 1.0
