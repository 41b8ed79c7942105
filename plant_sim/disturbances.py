"""What moves the coating without being asked: drifts across and along the web. Imported inside plant_sim only.

Drifts are Ornstein-Uhlenbeck processes (AR(1) when sampled), advanced exactly for any step length. Cross-web ones act
as local factors of flow before the pump's flow is shared out, so they never move the mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from controller.line.description import Array
from plant_sim.noise import NoiseStream, smooth_mix

WHITE_PERIOD_S = 0.1  # fastest cross-web unevenness: a new draw every tenth of a second


@dataclass(frozen=True, slots=True)
class Drift:
    """A stationary process of standard deviation `size` and time constant tau_s, shape as its stream's rows.

    It starts from a draw of its stationary state: a line has been drifting long before anyone looks.
    """

    size: float
    tau_s: float
    stream: NoiseStream

    def start(self) -> Array:
        return self.size * self.stream.row(0)

    def after(self, state: Array, step: int, dt_s: float) -> Array:
        """State after dt_s; `step` >= 1 numbers the innovation. Exact discretisation: variance is independent of dt."""
        keep = math.exp(-dt_s / self.tau_s)
        return keep * state + (self.size * math.sqrt(1.0 - keep * keep)) * self.stream.row(step)


@dataclass(frozen=True, slots=True)
class ScalarDrift:
    """The same for one number; kept apart because arrays of one element cost ten times a float."""

    size: float
    tau_s: float
    stream: NoiseStream

    def start(self) -> float:
        return self.size * self.stream.value(0)

    def after(self, state: float, step: int, dt_s: float) -> float:
        keep = math.exp(-dt_s / self.tau_s)
        return keep * state + (self.size * math.sqrt(1.0 - keep * keep)) * self.stream.value(step)


@dataclass(frozen=True, slots=True)
class DriftSizes:
    """Standard deviations (relative, 0.01 is 1 %) and time constants, as drawn for one line."""

    slow_cd: float
    slow_cd_tau_s: float
    slow_cd_zones: float  # correlation length across the web
    fast_cd: float
    fast_cd_tau_s: float
    fast_cd_zones: float
    white_cd: float
    slip: float
    slip_tau_s: float
    solids: float
    solids_tau_s: float


@dataclass(frozen=True, slots=True)
class Amplitudes:
    """How much of each drawn disturbance a scenario plays; 1 is as drawn, 0 is off."""

    static_profile: float = 0.0
    set_up_offset: float = 0.0
    slow_cd: float = 0.0
    fast_cd: float = 0.0
    white_cd: float = 0.0
    slip: float = 0.0
    solids: float = 0.0
    pulsation: float = 0.0


@dataclass(frozen=True, slots=True)
class DisturbanceState:
    """Where the drifts stand, relative; cross-web ones have shape (lanes,)."""

    slow_cd: Array
    fast_cd: Array
    slip: float
    solids: float


@dataclass(frozen=True, slots=True)
class Disturbances:
    """The processes of one line and seed."""

    slow_cd: Drift
    fast_cd: Drift
    slip: ScalarDrift
    solids: ScalarDrift
    white_cd: float
    white_stream: NoiseStream

    @staticmethod
    def of(sizes: DriftSizes, seed: int, lane_zones: Array) -> Disturbances:
        """lane_zones: lane centres in units of zone pitch, shape (lanes,)."""

        def across(name: str, zones: float) -> NoiseStream:
            return NoiseStream(seed, name, lane_zones.size, mix=smooth_mix(lane_zones, zones))

        return Disturbances(
            slow_cd=Drift(sizes.slow_cd, sizes.slow_cd_tau_s, across("slow-cd-drift", sizes.slow_cd_zones)),
            fast_cd=Drift(sizes.fast_cd, sizes.fast_cd_tau_s, across("fast-cd-drift", sizes.fast_cd_zones)),
            slip=ScalarDrift(sizes.slip, sizes.slip_tau_s, NoiseStream(seed, "pump-slip-drift")),
            solids=ScalarDrift(sizes.solids, sizes.solids_tau_s, NoiseStream(seed, "solids-drift")),
            white_cd=sizes.white_cd,
            white_stream=NoiseStream(seed, "white-cd", lane_zones.size),
        )

    def start(self) -> DisturbanceState:
        return DisturbanceState(self.slow_cd.start(), self.fast_cd.start(), self.slip.start(), self.solids.start())

    def after(self, state: DisturbanceState, step: int, dt_s: float) -> DisturbanceState:
        """All drifts dt_s later."""
        return DisturbanceState(
            self.slow_cd.after(state.slow_cd, step, dt_s),
            self.fast_cd.after(state.fast_cd, step, dt_s),
            self.slip.after(state.slip, step, dt_s),
            self.solids.after(state.solids, step, dt_s),
        )

    def local_log(self, state: DisturbanceState, amplitudes: Amplitudes, t_s: float) -> Array:
        """ln of the local flow factors, shape (lanes,)."""
        white = self.white_stream.row(int(t_s / WHITE_PERIOD_S + 1e-6))
        local: Array = amplitudes.slow_cd * state.slow_cd
        local = local + amplitudes.fast_cd * state.fast_cd
        return local + (amplitudes.white_cd * self.white_cd) * white


def smooth_shape(rng: np.random.Generator, lane_zones: Array, correlation_zones: float) -> Array:
    """A static profile error: a bow, a tilt and an uneven part, mean 0 and standard deviation 1, shape (lanes,).

    The uneven part carries about half of the variance and is correlated over `correlation_zones`.
    """
    across = np.linspace(-1.0, 1.0, lane_zones.size)
    bow, tilt = rng.normal(0.0, 1.0, 2)
    coarse = bow * (across**2 - 1.0 / 3.0) / 0.298 + tilt * across / 0.577
    mix = smooth_mix(lane_zones, correlation_zones)
    uneven = mix @ rng.standard_normal(mix.shape[1])
    shape = coarse / max(float(coarse.std()), 1e-9) + (uneven - uneven.mean()) / float(uneven.std())
    shape = shape - shape.mean()
    normalised: Array = shape / float(shape.std())
    return normalised
