"""Gymnasium environments over the plant, one line or many: for those who bring an agent of their own.

    import gymnasium, plant_sim.environment
    env = gymnasium.make("evencoat/Coating-v0", line=line)             # line: a LineDescription
    envs = gymnasium.make_vec("evencoat/Coating-v0", 64, line=line)    # one compiled batch, not 64 processes

Every reset draws a new true line around the description. An agent sees what gauges report and what actuators feed back,
never the truth; the reward is what the truth earns. Needs the extra `gym`. Imported by tests, benchmarks and users.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from controller.line.description import Array, LineDescription
from plant_sim import actuators
from plant_sim.batch import Batch
from plant_sim.faults import DRIFTS, Play
from plant_sim.gauges import box_view
from plant_sim.plant import Plant
from plant_sim.scenario import Scenario
from plant_sim.truth import Truth

Floats = npt.NDArray[np.float32]
ERROR_MAX_PCT = 20.0  # readings and rewards are clipped there
USUAL = Scenario("usual", "every drift of the default difficulty", tuple(Play(name) for name in DRIFTS))


class CoatingVectorEnv(VectorEnv):  # type: ignore[type-arg]
    """Many lines of one description side by side, all reset together when their time is over.

    Action, shape (lines, zones + 1), within -1..1: where each lip shall stand, from gap_min to gap_max, then the pump's
    trim. Observation, shape (lines, 3 zones + 4), float32: deviation of each zone as the wet gauge last had it, the
    same of the dry gauge (percent of target over ERROR_MAX_PCT; 0 where nothing valid was read), lips (-1..1), trim,
    web speed over nominal, and for each gauge 1 when it has just spoken. Reward: minus the mean squared deviation of
    the true areal density coated in the step, percent squared; 0 while nothing was to be coated.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(
        self,
        line: LineDescription,
        num_envs: int = 1,
        scenario: Scenario = USUAL,
        minutes: float = 30.0,
        step_s: float = 0.5,
        difficulty: float = 1.0,
    ) -> None:
        """Raises ValueError for what cannot be played, naming field, value and bound."""
        for name, value in (("num_envs", num_envs), ("minutes", minutes), ("step_s", step_s)):
            if not value > 0:
                raise ValueError(f"{name}: {value!r} must be above 0")
        zones = line.zones
        self.num_envs, self.line, self.scenario = num_envs, line, scenario
        self.single_action_space = spaces.Box(-1.0, 1.0, (zones + 1,), np.float32)
        self.single_observation_space = spaces.Box(-10.0, 10.0, (3 * zones + 4,), np.float32)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, num_envs)
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, num_envs)
        self._step_s, self._difficulty = step_s, difficulty
        self._steps_max, self._steps = round(60.0 * minutes / step_s), 0
        gauges = (line.wet_gauge, line.dry_gauge)
        per_um = line.slurry.areal_density_gsm_per_um
        self._views = [None if one is None else box_view(zones, one.boxes) for one in gauges]
        self._units = [per_um if one is not None and one.is_wet else 1.0 for one in gauges]
        self._batch: Batch | None = None

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """New true lines: those of seed, seed + 1, ... (or of a list of seeds), drawn anew without one."""
        first = seed[0] if isinstance(seed, list) else seed
        super().reset(seed=first)
        drawn = self.np_random.integers(0, 2**31, self.num_envs).tolist()
        seeds = seed if isinstance(seed, list) else drawn if seed is None else [seed + i for i in range(self.num_envs)]
        plants = [Plant.of(Truth.draw(self.line, one, self._difficulty), self.scenario, one) for one in seeds]
        self._ratio = self.line.pump_ratio_nominal_rpm_per_mps
        self._speed_mps = np.full(self.num_envs, self.line.web_speed_mps)
        self._batch = Batch(plants, self._ratio * self._speed_mps)
        self._target_lanes_gsm = np.repeat(self.line.target_profile_gsm, self._batch.lanes // self.line.zones)
        self._readings = np.zeros((2, self.num_envs, self.line.zones))
        self._spoken = np.zeros((2, self.num_envs))
        self._steps, self._trim = 0, np.zeros(self.num_envs)
        return self._observed(), {"seed": np.array(seeds)}

    def step(self, actions: npt.ArrayLike) -> tuple[Floats, Array, Any, Any, dict[str, Any]]:
        """Ask lips and pumps for something and let step_s pass."""
        if self._batch is None or self._steps >= self._steps_max:
            observed, info = self.reset()
            none = np.zeros(self.num_envs, dtype=bool)
            return observed, np.zeros(self.num_envs), none, none.copy(), info
        asked, lips, zones = np.clip(np.asarray(actions, dtype=np.float64), -1.0, 1.0), self.line.lips, self.line.zones
        middle, half = 0.5 * (lips.gap_max_um + lips.gap_min_um), 0.5 * (lips.gap_max_um - lips.gap_min_um)
        rest_um = actuators.reachable(self._batch.plants[0].truth.actuators, middle + half * asked[:, :zones])
        self._trim = asked[:, zones]
        rpm = self._ratio * self._speed_mps * (1.0 + self._trim * self.line.pump.trim_max_pct / 100.0)
        self._batch.step(rest_um, rpm, self._step_s)
        self._steps += 1
        self._hear(self._batch)
        over = np.full(self.num_envs, self._steps >= self._steps_max)
        return self._observed(), self._earned(self._batch), np.zeros(self.num_envs, dtype=bool), over, {}

    def _hear(self, batch: Batch) -> None:
        """Take in what encoders and gauges said; lines of one description speak together."""
        self._speed_mps = batch.outcome.lines["web_speed_mps"].copy()
        self._spoken[:] = batch.outcome.gauges["said"].T
        for g, view in enumerate(self._views):
            spoke = np.flatnonzero(self._spoken[g])
            if view is None or spoke.size == 0:
                continue
            values = batch.scans(g)[spoke]
            good = np.isfinite(values)
            if good.all():
                means = self._zone_means(values, view) * self._units[g]
                pct = 100.0 * (means / self.line.target_profile_gsm - 1.0)
            else:
                weight = self._zone_means(good.astype(np.float64), view)
                seen = weight > 0.0
                means = self._zone_means(np.where(good, values, 0.0), view) * self._units[g]
                means /= np.where(seen, weight, 1.0)
                pct = np.where(seen, 100.0 * (means / self.line.target_profile_gsm - 1.0), 0.0)
            self._readings[g, spoke] = np.clip(pct, -ERROR_MAX_PCT, ERROR_MAX_PCT)

    def _zone_means(self, boxes: Array, view: Array) -> Array:
        """Means over zones of boxes, shapes (lines, boxes) to (lines, zones): each line's own."""
        whole, rest = divmod(boxes.shape[1], self.line.zones)
        if rest:
            return np.array([view @ row for row in boxes])
        means = boxes[:, ::whole].copy()
        for i in range(1, whole):
            means += boxes[:, i::whole]
        return means / whole

    def _observed(self) -> Floats:
        assert self._batch is not None
        lips = self.line.lips
        motors = self._batch.lip_motors_um()
        places = (motors - lips.gap_min_um) / (lips.gap_max_um - lips.gap_min_um) * 2.0 - 1.0
        speed = self._speed_mps / self.line.web_speed_mps
        parts = (*(self._readings / ERROR_MAX_PCT), places, np.stack([self._trim, speed, *self._spoken], axis=1))
        return np.concatenate(parts, axis=1).astype(np.float32)

    def _earned(self, batch: Batch) -> Array:
        """Minus the mean squared deviation of what was coated, percent squared."""
        pct = batch.areal_densities_gsm() * (100.0 / self._target_lanes_gsm) - 100.0
        np.clip(pct, -ERROR_MAX_PCT, ERROR_MAX_PCT, out=pct)
        pct *= pct
        return np.where(batch.outcome.lines["coated_m"] > 0.0, -pct.mean(axis=1), 0.0)


class CoatingEnv(gymnasium.Env[Floats, Floats]):
    """One line: a CoatingVectorEnv of one, without the leading dimension. The same bytes as that line in a batch."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, line: LineDescription, **options: Any) -> None:
        self._many = CoatingVectorEnv(line, 1, **options)
        self.action_space, self.observation_space = self._many.single_action_space, self._many.single_observation_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """A new true line: that of the seed, drawn anew without one."""
        super().reset(seed=seed)
        given = seed if seed is not None else int(self.np_random.integers(0, 2**31))
        observed, _ = self._many.reset(seed=given)
        return observed[0], {"seed": given}

    def step(self, action: Floats) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Ask lips and pump for something and let step_s pass."""
        observed, rewards, _, over, _ = self._many.step(np.asarray(action)[None])
        return observed[0], float(rewards[0]), False, bool(over[0]), {}


gymnasium.register(
    "evencoat/Coating-v0", entry_point=CoatingEnv, vector_entry_point=CoatingVectorEnv, disable_env_checker=True
)
