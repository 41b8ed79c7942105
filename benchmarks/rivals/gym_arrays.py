"""The plain-numpy plants as a gymnasium vector environment with CoatingVectorEnv's actions, observation and reward.

Imported by the benchmark and its test. Needs gymnasium.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from controller.line.description import Array, LineDescription
from plant_sim.environment import ERROR_MAX_PCT, USUAL
from plant_sim.plant import Plant
from plant_sim.scenario import Scenario
from plant_sim.truth import Truth

from .arrays import ArrayPlants


class NumpyVectorEnv(VectorEnv):  # type: ignore[type-arg]
    """See plant_sim.environment.CoatingVectorEnv: the same contract, every operation over all lines."""

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(
        self,
        line: LineDescription,
        num_envs: int,
        scenario: Scenario = USUAL,
        minutes: float = 30.0,
        step_s: float = 0.5,
    ) -> None:
        self.num_envs, self.line, self.scenario, self._step_s = num_envs, line, scenario, step_s
        self._steps_max = self._steps = round(60.0 * minutes / step_s)
        self.single_action_space = spaces.Box(-1.0, 1.0, (line.zones + 1,), np.float32)
        self.single_observation_space = spaces.Box(-10.0, 10.0, (3 * line.zones + 4,), np.float32)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, num_envs)
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, num_envs)
        self._plants: ArrayPlants | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """New lines: those of seed, seed + 1, ...; drawn anew without one."""
        super().reset(seed=seed)
        first = int(self.np_random.integers(0, 2**31)) if seed is None else seed
        plants = [Plant.of(Truth.draw(self.line, first + i), self.scenario, first + i) for i in range(self.num_envs)]
        self._rpm = np.full(self.num_envs, self.line.pump_ratio_nominal_rpm_per_mps * self.line.web_speed_mps)
        self._plants = ArrayPlants(plants, self._rpm, first)
        self._readings = np.zeros((2, self.num_envs, self.line.zones))
        self._spoken, self._trim = np.zeros((2, self.num_envs)), np.zeros(self.num_envs)
        self._steps = 0
        return self._observed(self._plants), {}

    def step(self, actions: npt.ArrayLike) -> tuple[Any, Array, Any, Any, dict[str, Any]]:
        """Ask lips and pumps for something and let step_s pass."""
        none = np.zeros(self.num_envs, dtype=bool)
        if self._plants is None or self._steps >= self._steps_max:
            return self.reset()[0], np.zeros(self.num_envs), none, none.copy(), {}
        lips, zones, plants = self.line.lips, self.line.zones, self._plants
        asked = np.clip(np.asarray(actions, dtype=np.float64), -1.0, 1.0)
        middle, half = 0.5 * (lips.gap_max_um + lips.gap_min_um), 0.5 * (lips.gap_max_um - lips.gap_min_um)
        rest_um = np.rint((middle + half * asked[:, :zones]) / lips.resolution_um) * lips.resolution_um
        self._trim = asked[:, zones]
        plants.step(rest_um, self._rpm * (1.0 + self._trim * self.line.pump.trim_max_pct / 100.0), self._step_s)
        self._steps += 1
        self._hear(plants)
        target = self.line.target_profile_gsm
        areal = plants.areal_gsm.reshape(self.num_envs, zones, -1)
        pct = np.clip(100.0 * (areal / target[:, None] - 1.0), -ERROR_MAX_PCT, ERROR_MAX_PCT)
        over = np.full(self.num_envs, self._steps >= self._steps_max)
        return self._observed(plants), -np.mean(pct**2, axis=(1, 2)), none, over, {}

    def _hear(self, plants: ArrayPlants) -> None:
        for g, (gauge, said) in enumerate(zip(plants.gauges, plants.said, strict=True)):
            self._spoken[g] = said
            if said and np.isfinite(gauge.values).all():
                unit = self.line.slurry.areal_density_gsm_per_um if gauge.is_wet else 1.0
                means = gauge.values.reshape(self.num_envs, self.line.zones, -1).mean(axis=2) * unit
                pct = 100.0 * (means / self.line.target_profile_gsm - 1.0)
                self._readings[g] = np.clip(pct, -ERROR_MAX_PCT, ERROR_MAX_PCT)

    def _observed(self, plants: ArrayPlants) -> Any:
        lips = self.line.lips
        places = (plants.motor_um - lips.gap_min_um) / (lips.gap_max_um - lips.gap_min_um) * 2.0 - 1.0
        speed = np.ones(self.num_envs)
        parts = (*(self._readings / ERROR_MAX_PCT), places, np.stack([self._trim, speed, *self._spoken], axis=1))
        return np.concatenate(parts, axis=1).astype(np.float32)
