"""Estimate + target -> uncertified command. Two laws behind one interface.

Both work by spatial mode for the lips and on the mean for the pump, and both count time in web length: one second of
tuning is the web that passes in a second at nominal speed, so a slower web slows the loop as much as its delay grows.

- `Imc`: the disturbance estimate, filtered, answered through the inverse of the kept modes. The estimate already holds
  what the applied commands did, so a limit or a stuck bolt never winds anything up.
- `ModalPi`: one PI controller a mode (simple-pid behind a pure face), SIMC-tuned. The rung under every cleverer law.

Sources: internal model control (Garcia and Morari 1982); SIMC (Skogestad 2003).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from simple_pid import PID

from controller.core import certificate, kalman
from controller.core.certificate import Loop
from controller.core.envelope import Applied
from controller.core.estimate import EstimateState, Estimator, log_ratio, mean_log
from controller.core.response import ResponseModel
from controller.line.command import UncertifiedCommand
from controller.line.description import Array, LawName, LineDescription

SURELY2 = 4.0  # mean square of what a calm filter lags by, over its variance, at which it is twice as fast
CALM_BEHIND_SCANNER = 16.0  # times: noise of whole passes is not worth its travel, which would be three times a PI's
CALM_PASSES = 1.25  # of a head that the filter takes at least: a fifth of the travel for 0.3 % of sigma
DELAY_DOUBT = 0.4  # of the dead time to a gauge behind the dryer: a quicker pump would not bear its being a fifth off
SWIFT_S = 1.0  # a pump need not be slower where the estimate is of the web at the die
SURE_SIGMAS = 1.0  # in each of what was found of the response: corners of that box are two deviations away, and more
SLOWER_STEP, SLOWEST = 1.25, 8.0  # times the closed-loop time asked for, until it is, and at most
ACTUATOR_LAG_S = 0.3  # believed lag of lips and pump drive; part of the lag that SIMC divides out


class LawState(NamedTuple):
    """What a law remembers between cycles.

    memory_cd (modes,): filtered disturbance (IMC) or integral (PI), log; memory_md the same for the pump.
    rest_um (zones,) is the part of the lips' positions that no kept mode can express: it stays as it was found.
    """

    memory_cd: Array
    memory_md: float
    rest_um: Array


class Law(Protocol):
    """A control law: pure, with its constants inside."""

    def decide(
        self, state: LawState, estimate: EstimateState, last: Applied, web_s: float
    ) -> tuple[LawState, UncertifiedCommand]:
        """The command wished for after `web_s` seconds' worth of web at nominal speed."""
        ...

    def track(self, estimate: EstimateState, last: Applied) -> LawState:
        """The state from which `decide` would begin at `last`: taking over from anyone is bumpless."""
        ...

    def limited(self, state: LawState, wish: UncertifiedCommand, certified: Applied) -> LawState:
        """The state after the envelope cut `wish` down to `certified`: nothing winds up."""
        ...


@dataclass(frozen=True, slots=True)
class Modes:
    """What both laws share: from modal and mean demands to lips and pump."""

    response: ResponseModel
    ratio_nominal_rpm_per_mps: float
    dead_band_um: float

    def command(self, lips_log: Array, pump_log: float, rest_um: Array, last: Applied) -> UncertifiedCommand:
        """Lips that do `lips_log` (modes,) to the profile and a pump trim that does `pump_log` to the mean."""
        wish = rest_um + self.response.shapes @ (lips_log / self.response.gains)
        away = np.abs(wish - last.gap_um)
        resting = away.item(away.argmax()) < self.dead_band_um  # all of them, most of the time
        gap_um = last.gap_um if resting else np.where(away < self.dead_band_um, last.gap_um, wish)
        ratio = last.pump_ratio_rpm_per_mps
        factor = np.exp(pump_log) * self.ratio_nominal_rpm_per_mps / max(ratio, 1e-9)
        return UncertifiedCommand(
            gap_um=gap_um, pump_ratio_rpm_per_mps=ratio, pump_trim_pct=100.0 * (float(factor) - 1.0)
        )

    def effect(self, last: Applied) -> tuple[Array, float, Array]:
        """What `last` does to modes and mean, and the rest of the lips that no mode expresses."""
        modal_um = last.gap_um @ self.response.shapes
        pump_log = log_ratio(last.pump_ratio_rpm_per_mps, last.pump_trim_pct, self.ratio_nominal_rpm_per_mps)
        return modal_um * self.response.gains, pump_log, last.gap_um - self.response.shapes @ modal_um


@dataclass(frozen=True, slots=True)
class Imc:
    """Internal model control with a first-order filter a mode; weaker modes are filtered longer (roll-off).

    `calm`: the lips' filter is as slow as travel asks for, and so much faster where it surely lags, as at start-up.
    """

    modes: Modes
    filter_cd_s: Array  # (modes,)
    filter_md_s: float
    calm: bool = False

    def decide(
        self, state: LawState, estimate: EstimateState, last: Applied, web_s: float
    ) -> tuple[LawState, UncertifiedCommand]:
        """Move the filtered disturbance toward the estimate and answer it with its opposite."""
        reading = estimate.reading
        lag_cd = reading.disturbance_cd - state.memory_cd
        filter_cd_s = self.filter_cd_s / (1.0 + self._unlikely2(lag_cd, estimate) / SURELY2)
        share_cd = 1.0 - np.exp(-web_s / filter_cd_s)
        share_md = 1.0 - float(np.exp(-web_s / self.filter_md_s))
        state = LawState(
            memory_cd=state.memory_cd + share_cd * lag_cd,
            memory_md=state.memory_md + share_md * (reading.disturbance_md - state.memory_md),
            rest_um=state.rest_um,
        )
        return state, self.modes.command(-state.memory_cd, -state.memory_md, state.rest_um, last)

    def _unlikely2(self, lag_cd: Array, estimate: EstimateState) -> float:
        """Mean square of what the filter lags by over the estimate's variance; 0 where the filter is not calm."""
        if not (self.calm and lag_cd.size):
            return 0.0
        return float(np.mean(lag_cd * lag_cd / estimate.film.variance[: lag_cd.size]))

    def track(self, estimate: EstimateState, last: Applied) -> LawState:
        """Believe just the disturbance that `last` answers."""
        lips_log, pump_log, rest_um = self.modes.effect(last)
        return LawState(memory_cd=-lips_log, memory_md=-pump_log, rest_um=rest_um)

    def limited(self, state: LawState, wish: UncertifiedCommand, certified: Applied) -> LawState:
        """Nothing to do: the filter follows a disturbance, not an error, and cannot wind up."""
        return state


class PurePi:
    """A PI controller toward zero on simple-pid, with its state outside: the answer depends on the arguments alone.

    The clock is constant and dt explicit; the inner object is set anew at each step: keeping it only saves its making.
    """

    __slots__ = ("_pid", "ki", "kp")

    def __init__(self, kp: float, ki: float) -> None:
        self.kp, self.ki = float(kp), float(ki)
        self._pid = PID(self.kp, self.ki, 0.0, setpoint=0.0, sample_time=None, time_fn=_no_clock)

    def step(self, measured: float, integral: float, dt_s: float) -> tuple[float, float]:
        """(output, new integral) from `integral` over `dt_s`; no time passed leaves the integral as it is."""
        if dt_s <= 0.0:
            return integral - self.kp * measured, integral
        self._pid.set_auto_mode(False)
        self._pid.set_auto_mode(True, last_output=integral)
        output = self._pid(measured, dt=dt_s)
        assert output is not None  # sample_time=None: every call computes
        return float(output), float(self._pid.components[1])


def _no_clock() -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class ModalPi:
    """A PI controller for each mode and for the mean, on the fused error at the gauge, in log areal density.

    SIMC for a gain with dead time theta and lag tau: Kp = tau/(tau_c + theta), Ti = min(tau, 4 (tau_c + theta)). The
    modal gain is divided out in Modes.command, so each loop sees a unit gain.
    """

    modes: Modes
    cd: tuple[PurePi, ...]
    md: PurePi

    def decide(
        self, state: LawState, estimate: EstimateState, last: Applied, web_s: float
    ) -> tuple[LawState, UncertifiedCommand]:
        """One PI step a mode. Where the envelope held the last command back, the integral has already followed it."""
        error_cd, error_md = self._errors(estimate)
        steps = [
            pi.step(error, integral, web_s)
            for pi, error, integral in zip(self.cd, error_cd.tolist(), state.memory_cd.tolist(), strict=True)
        ]
        pump_log, integral_md = self.md.step(error_md, state.memory_md, web_s)
        lips_log = np.array([output for output, _ in steps])
        state = LawState(np.array([integral for _, integral in steps]), integral_md, state.rest_um)
        return state, self.modes.command(lips_log, pump_log, state.rest_um, last)

    def track(self, estimate: EstimateState, last: Applied) -> LawState:
        """Integrals that, with today's proportional part, give `last`."""
        lips_log, pump_log, rest_um = self.modes.effect(last)
        error_cd, error_md = self._errors(estimate)
        kp_cd = np.array([pi.kp for pi in self.cd])
        return LawState(
            memory_cd=lips_log + kp_cd * error_cd, memory_md=pump_log + self.md.kp * error_md, rest_um=rest_um
        )

    def limited(self, state: LawState, wish: UncertifiedCommand, certified: Applied) -> LawState:
        """Give back to the integrals what the envelope cut off (back-calculation)."""
        lips_log, pump_log, _ = self.modes.effect(certified)
        wished_log, wished_pump_log, _ = self.modes.effect(
            Applied(wish.gap_um, wish.pump_ratio_rpm_per_mps, wish.pump_trim_pct)
        )
        return state._replace(
            memory_cd=state.memory_cd + lips_log - wished_log,
            memory_md=state.memory_md + pump_log - wished_pump_log,
        )

    def _errors(self, estimate: EstimateState) -> tuple[Array, float]:
        error = estimate.reading.error
        mean = mean_log(error)
        return (error - mean) @ self.modes.response.profiles, mean


def build(line: LineDescription, estimator: Estimator) -> Law:
    """The law that the line's description names, tuned from it."""
    control, response = line.control, estimator.response
    modes = Modes(response, estimator.ratio_nominal_rpm_per_mps, control.dead_band_um)
    if control.law is not LawName.PI:
        filter_md_s = control.closed_loop_md_s - float(
            kalman.smoothing_s(estimator.film, estimator.primary.period_s)[-1]
        )
        if control.law.learns:  # it believes of the web at the die: no dead time is waited for
            doubt_s = (
                0.0 if estimator.wet is not None else DELAY_DOUBT * estimator.primary.distance_m / line.web_speed_mps
            )
            filter_md_s = min(filter_md_s, max(SWIFT_S, doubt_s))
        closed_s = certified_s(line, estimator, control.closed_loop_cd_s)
        calm = _is_calm(line, estimator)
        return Imc(modes, filters_s(line, estimator, closed_s), max(filter_md_s, control.cycle_s), calm)
    roll_off = _roll_off(response)
    dead_s = estimator.primary.distance_m / line.web_speed_mps
    lag_s = ACTUATOR_LAG_S + control.cycle_s + estimator.primary.period_s
    return ModalPi(
        modes,
        cd=tuple(simc(dead_s, lag_s, closed_loop_s) for closed_loop_s in control.closed_loop_cd_s * roll_off),
        md=simc(dead_s, lag_s, control.closed_loop_md_s),
    )


def _roll_off(response: ResponseModel) -> Array:
    """How much longer the loop of each mode takes than that of the strongest, (modes,)."""
    return response.gains[0] / response.gains if response.modes else np.ones(0)


def _is_calm(line: LineDescription, estimator: Estimator) -> bool:
    return line.control.law.learns and estimator.scanner is not None


def filters_s(line: LineDescription, estimator: Estimator, closed_s: float) -> Array:
    """IMC's filter of each mode for a closed-loop time of the strongest, (modes,), s.

    What the estimate's own filter takes is not waited for again.
    """
    modes = estimator.response.modes
    smoothing_s = kalman.smoothing_s(estimator.film, estimator.primary.period_s)[:modes]
    filter_s = closed_s * _roll_off(estimator.response) - smoothing_s
    if _is_calm(line, estimator):
        filter_s = np.maximum(CALM_BEHIND_SCANNER * filter_s, CALM_PASSES * estimator.primary.period_s)
    return np.maximum(filter_s, line.control.cycle_s)


def frozen(line: LineDescription, estimator: Estimator, closed_s: float) -> Loop:
    """The lips' loop under `Imc` with everything learnt held still, as controller.core.certificate looks at it.

    A reading is used until the next one comes: a period is waited for on top of the dead time.
    """
    gauge, modes = estimator.primary, estimator.response.modes
    smoothing_s = kalman.smoothing_s(estimator.film, gauge.period_s)[:modes]
    dead_s = gauge.distance_m / line.web_speed_mps + gauge.period_s
    return Loop.of(filters_s(line, estimator, closed_s), smoothing_s, dead_s)


def frozen_mean(line: LineDescription, estimator: Estimator, own: Imc) -> Loop:
    """The pump's loop, as `frozen` has that of the lips."""
    gauge = estimator.primary
    smoothing_s = kalman.smoothing_s(estimator.film, gauge.period_s)[-1:]
    dead_s = gauge.distance_m / line.web_speed_mps + gauge.period_s
    return Loop.of(np.array([own.filter_md_s]), smoothing_s, dead_s)


def certified_s(line: LineDescription, estimator: Estimator, asked_s: float) -> float:
    """The closed-loop time asked for, or longer, s: long enough for what is found of the response not to be sure.

    A line that nobody has looked at is run as its file asks. Where no time is certified, as slowly as we go. What
    commissioning finds allows what a line asks for, at three deviations too.
    """
    doubt = line.die.doubt
    if doubt is None or not estimator.response.modes:
        return asked_s
    known = certificate.misfits(line, estimator.response, doubt.times(SURE_SIGMAS))
    closed_s = asked_s
    while closed_s < SLOWEST * asked_s:
        if certificate.certify(known, frozen(line, estimator, closed_s)).certified:
            return closed_s
        closed_s *= SLOWER_STEP
    return SLOWEST * asked_s


def certified(line: LineDescription, estimator: Estimator) -> LineDescription:
    """The line with its lips asked to be no faster than what was found of it certifies.

    Found once, before anything moves: the search takes up to a second at 120 zones, and a cycle has a tenth of one. A
    map that is learnt while the line runs inherits the time.
    """
    if line.die.doubt is None or line.control.law is LawName.PI:
        return line
    closed_s = certified_s(line, estimator, line.control.closed_loop_cd_s)
    control = replace(line.control, closed_loop_cd_s=closed_s)
    return replace(line, control=control, die=replace(line.die, doubt=None))


def simc(dead_s: float, lag_s: float, closed_loop_s: float) -> PurePi:
    """SIMC tuning of a unit-gain process; the closed loop is never asked to be faster than its dead time."""
    horizon_s = max(closed_loop_s, dead_s) + dead_s
    kp = lag_s / horizon_s
    return PurePi(kp, kp / min(lag_s, 4.0 * horizon_s))
