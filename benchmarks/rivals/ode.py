"""One line whose continuous part is handed to scipy's solve_ivp from step to step; all else as in rivals.arrays.

Integrated: the pump's drive and its revolutions, the web by its encoder, and the lip motors at the speed that each runs
at in this step. Split, slip and opening are algebraic and solved at the step's end. Imported by the benchmark.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.integrate import solve_ivp

from controller.line.description import Array
from plant_sim.plant import Plant

from .arrays import ArrayPlants

RELATIVE, ABSOLUTE = 1e-8, 1e-8
METHOD = "RK45"  # the quickest of scipy's for this plant, which is not stiff


class OdePlant(ArrayPlants):
    """One line, as somebody would build it who reaches for solve_ivp."""

    def __init__(self, plant: Plant, pump_rpm: float, seed: int = 0) -> None:
        super().__init__([plant], np.array([pump_rpm]), seed)
        self._state = np.concatenate(([pump_rpm, 0.0, 0.0], self.motor_um[0]))
        self._lag_s, self._speed_mps = float(self.pump["lag_s"][0]), self.truths[0].web_speed_mps
        self._slope = np.empty(self._state.size)

    def move(self, rest_um: Array, rpm: Array, dt_s: float) -> tuple[Array, Array]:
        """Integrate drive, web and motors over the step."""
        target = min(max(float(rpm[0]), 0.0), float(self.pump["speed_max_rpm"][0]))
        rate = self.rate[0]
        velocity = np.clip((rest_um[0] - self._state[3:]) / dt_s, -rate, rate)
        self._slope[2], self._slope[3:] = self._speed_mps, velocity

        def slopes(_t_s: float, state: Array) -> Array:
            slope = self._slope.copy()
            slope[0], slope[1] = (target - state[0]) / self._lag_s, state[0] / 60.0
            return slope

        before_rev = float(self._state[1])
        solved = solve_ivp(slopes, (self.t_s, self.t_s + dt_s), self._state, METHOD, rtol=RELATIVE, atol=ABSOLUTE)
        self._state = solved.y[:, -1]
        self.motor_um[0] = self._state[3:]
        self.web_m, self.rpm = float(self._state[2]), self._state[:1].copy()
        revolutions = float(self._state[1]) - before_rev
        return np.array([revolutions / dt_s * 60.0]), 2.0 * math.pi * self.pump["pulses_per_rev"] * revolutions
