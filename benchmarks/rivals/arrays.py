"""The plant in plain numpy: lines of one description side by side, every operation over all of them.

The same model as plant_sim.step for what the default difficulty plays (drifts, uneven lips, batches) at a steady web
speed; random numbers come from numpy's own generator, as many and at the same periods. Truths and the manifold's table
are plant_sim's, the arithmetic is written anew. Imported by the other rivals, the benchmark and its test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from controller.line.description import Array
from plant_sim import die as slot_die
from plant_sim.disturbances import DRIFT_PERIOD_S, WHITE_PERIOD_S, DriftSizes, keep_of
from plant_sim.faults import DRIFTS
from plant_sim.gauges import BIAS_PERIOD_S, BOX_CORRELATION, EDGE_NOISE_MM, GaugeTruth
from plant_sim.noise import TAPS, smooth_taps
from plant_sim.plant import Plant
from plant_sim.slurry import Slurry, front_share
from plant_sim.truth import Truth

FIRST_ORDER = 2e-5  # as far as a straight line in pressure is trusted
SECOND_HARMONIC = 0.4
PULSE = math.sqrt(2.0 / (1.0 + SECOND_HARMONIC**2))
ROUNDING_M = 1e-7


class Smooth:
    """Normal numbers correlated across the web, each line with its own length: knots through a banded matrix."""

    def __init__(self, positions: Array, lengths: Sequence[float]) -> None:
        taps = [smooth_taps(positions, length) for length in lengths]
        self._knots = max(knots for knots, _, _ in taps)
        self._matrix = np.zeros((len(taps), positions.size, self._knots))
        for matrix, (_, first, weights) in zip(self._matrix, taps, strict=True):
            for tap in range(TAPS):
                matrix[np.arange(positions.size), first.astype(int) + tap] = weights[:, tap]

    def draw(self, rng: np.random.Generator) -> Array:
        """Shape (lines, positions)."""
        knots = rng.standard_normal((len(self._matrix), self._knots, 1))
        drawn: Array = np.matmul(self._matrix, knots)[..., 0]
        return drawn


class Wander:
    """First-order autoregressions of the same period, one a line or one a line and place; start where they would be."""

    def __init__(self, sizes: Array, tau_s: Array, period_s: float) -> None:
        self._keep = np.array([keep_of(float(tau), period_s) for tau in tau_s])
        self._size, self._fresh = sizes, sizes * np.sqrt(1.0 - self._keep**2)
        self.now: Array | None = None

    def follow(self, drawn: Array) -> Array:
        """The next value, from normal numbers of shape (lines,) or (lines, places)."""
        keep, fresh, size = (a if drawn.ndim == 1 else a[:, None] for a in (self._keep, self._fresh, self._size))
        self.now = size * drawn if self.now is None else keep * self.now + fresh * drawn
        return self.now


class Rows:
    """The web between die and gauges, a row a step, in a ring. Web positions are the same for all lines."""

    def __init__(self, count: int, lines: int, lanes: int) -> None:
        self.end_m, self.um_per_gsm = np.zeros(count), np.zeros((count, lines, 1))
        self.areal_gsm = np.zeros((count, lines, lanes))
        self.used = 0

    def append(self, web_m: float, areal_gsm: Array, um_per_gsm: Array) -> None:
        """A row that ends at web_m; areal_gsm (lines, lanes), um_per_gsm (lines,)."""
        at = self.used % self.end_m.size
        self.end_m[at], self.areal_gsm[at], self.um_per_gsm[at, :, 0] = web_m, areal_gsm, um_per_gsm
        self.used += 1

    def mean(self, cursor: int, from_m: float, to_m: float, film: bool) -> tuple[int, Array]:
        """Where the stretch begins, and its mean by length: um of film or g/m2, shape (lines, lanes)."""
        size = self.end_m.size
        while self.end_m[cursor % size] <= from_m + ROUNDING_M:
            cursor += 1
        seen, row, at_m = np.zeros(self.areal_gsm.shape[1:]), cursor, from_m
        while to_m - at_m > ROUNDING_M:
            at = row % size
            part = (min(float(self.end_m[at]), to_m) - at_m) / (to_m - from_m)
            seen += self.areal_gsm[at] * (self.um_per_gsm[at] * part if film else part)
            at_m, row = float(self.end_m[at]), row + 1
        return cursor, seen


class Gauge:
    """An array gauge of every line: noise, common and box bias, counting noise where it counts."""

    def __init__(self, gauges: Sequence[GaugeTruth], target_gsm: float, rng: np.random.Generator) -> None:
        one = gauges[0]
        self.distance_m, self.period_s, self.boxes, self.is_wet = one.distance_m, one.period_s, one.boxes, one.is_wet
        self._target, self._depth, self._rng = target_gsm, one.depth, rng
        self._noise = np.array([[gauge.noise] for gauge in gauges])
        period_s = max(BIAS_PERIOD_S, one.period_s)
        tau_s = np.array([gauge.bias_tau_s for gauge in gauges])
        self._common = Wander(np.array([gauge.bias_common for gauge in gauges]), tau_s, period_s)
        self._box = Wander(np.array([gauge.bias_box for gauge in gauges]), tau_s, period_s)
        self._smooth = Smooth(np.arange(float(one.boxes)), [BOX_CORRELATION] * len(gauges))
        self._every = max(1, round(BIAS_PERIOD_S / one.period_s))
        self._scans = self._wandered = self._cursor = 0
        self._due_s, self._seen_m = one.period_s, 0.0
        self.values = np.full((len(gauges), one.boxes), np.nan)
        self.edge_noise_mm = np.zeros(len(gauges))

    def scan(self, rows: Rows, web_m: float, t_s: float) -> bool:
        """Report when due: scans that fell into one step as their mean, in `values`, shape (lines, boxes)."""
        if t_s < self._due_s - 1e-9:
            return False
        scans = int((t_s - self._due_s) / self.period_s + 1e-6) + 1
        self._scans += scans
        self._due_s += scans * self.period_s
        while self._wandered * self._every <= self._scans:
            self._common.follow(self._rng.standard_normal(len(self.values)))
            self._box.follow(self._smooth.draw(self._rng))
            self._wandered += 1
        from_m, to_m = self._seen_m - self.distance_m, web_m - self.distance_m
        self._seen_m = web_m
        if from_m >= -1e-9:
            self._cursor, seen = rows.mean(self._cursor, from_m, to_m, self.is_wet)
            self.values = self._reported(seen.reshape(len(seen), self.boxes, -1).mean(axis=2), scans)
        return True

    def _reported(self, means: Array, scans: int) -> Array:
        assert self._common.now is not None and self._box.now is not None
        level = 1.0 + self._common.now[:, None] + self._box.now
        if not self._noise.any():
            return means * level
        shape = (scans, *means.shape)
        drawn = self._rng.standard_normal(shape).sum(axis=0) / math.sqrt(scans)
        self.edge_noise_mm = EDGE_NOISE_MM * self._rng.standard_normal(len(means))
        if self._depth > 0.0:
            return self._counted(means, drawn, scans) * level
        return means * (level + self._noise / math.sqrt(scans) * drawn)

    def _counted(self, means: Array, drawn: Array, scans: int) -> Array:
        """Poisson's counts by a skewed normal number, and what they read."""
        at_target = scans / (self._depth * self._noise) ** 2
        expected = at_target * np.exp(self._depth * (1.0 - means / self._target))
        quanta = np.floor(expected + np.sqrt(expected) * drawn + (drawn * drawn - 1.0) / 6.0 + 0.5)
        read: Array = self._target * (1.0 - np.log(np.maximum(quanta, 1.0) / at_target) / self._depth)
        return read


class Filled:
    """Dies filled with the slurry of the moment: all that changes with it alone, shapes (lines,), (lines, lanes)."""

    def __init__(self, truths: Sequence[Truth], front_times: tuple[tuple[float, float, float], ...]) -> None:
        self._truths, self._fronts = truths, front_times
        self._tables = [slot_die.droop_table(truth.die) for truth in truths]
        self._shares: tuple[float, ...] | None = None
        self._steep_set = np.array([_shear_rate(truth) for truth in truths])
        first = [truth.batches[0] for truth in truths]
        self._viscosity_set = np.array(
            [
                one.consistency_pa_sn * rate ** (one.flow_index - 1.0)
                for one, rate in zip(first, self._steep_set, strict=True)
            ]
        )
        self._slip_set = np.array([1.0 / truth.pump.slip_resistance_pa_s_per_m3 for truth in truths])

    def at(self, t_s: float) -> bool:
        """Mix the batches of this time; True when that changes something."""
        shares = tuple(size * float(front_share(onset, lasts, t_s)) for onset, lasts, size in self._fronts)
        if shares == self._shares:
            return False
        self._shares = shares
        mixed = [_mixed(truth.batches, shares) for truth in self._truths]
        k, self.n, self.density, self.solids = np.array(mixed).T
        self.droop = np.array([
            slot_die.droop_at(table, n) - slot_die.droop_at(table, truth.die.design_flow_index)
            for table, n, truth in zip(self._tables, self.n, self._truths, strict=True)
        ])  # fmt: skip
        self.fixed = np.array([
            slot_die.resistance(slot_die.fixed_sections(truth.die), n)
            for truth, n in zip(self._truths, self.n, strict=True)
        ])[:, None]  # fmt: skip
        self.steep = (2.0 * self.n + 1.0)[:, None]
        self.lip_log = np.array([[math.log(truth.die.lip_length_m)] for truth in self._truths])
        self.lip_log = self.lip_log + self.steep * math.log(1e6)
        self.ln_stress = np.log(2.0 * k) + self.n * np.log(2.0 * (2.0 * self.n + 1.0) / self.n)
        self.slip = self._slip_set * self._viscosity_set / (k * self._steep_set ** (self.n - 1.0))
        return True


def _shear_rate(truth: Truth) -> float:
    film_m = truth.target_gsm / truth.batches[0].solids_kgm3 * 1e-3
    return 6.0 * film_m * truth.web_speed_mps / (truth.gap_nominal_um * 1e-6) ** 2


def _mixed(batches: tuple[Slurry, ...], shares: tuple[float, ...]) -> tuple[float, float, float, float]:
    first, last = batches[0], len(batches) - 1
    log_k, n, density, solids = 0.0, first.flow_index, first.density_kgm3, first.solids_fraction
    for i, share in enumerate(shares):
        old, new = batches[min(i, last)], batches[min(i + 1, last)]
        log_k += share * math.log(new.consistency_pa_sn / old.consistency_pa_sn)
        n += share * (new.flow_index - old.flow_index)
        density += share * (new.density_kgm3 - old.density_kgm3)
        solids += share * (new.solids_fraction - old.solids_fraction)
    return first.consistency_pa_sn * math.exp(log_k), n, density, solids


class Drifts:
    """What drifts, drawn once a second and followed in a straight line; foil too, whose size nobody plays here."""

    def __init__(self, truths: Sequence[Truth], rng: np.random.Generator) -> None:
        sizes, self._rng = [truth.drifts for truth in truths], rng

        def wander(name: str) -> Wander:
            return Wander(_column(sizes, name), _column(sizes, f"{name}_tau_s"), DRIFT_PERIOD_S)

        across = truths[0].lanes_mm / truths[0].zone_pitch_mm
        self._smooth = Smooth(across, [one.slow_cd_zones for one in sizes])
        self._across = [wander("slow_cd"), wander("fast_cd")]
        ones = np.ones(len(truths))
        self._along = [wander("slip"), wander("solids"), Wander(ones, _column(sizes, "foil_tau_s"), DRIFT_PERIOD_S)]
        self._ends: list[tuple[Array, Array]] = []
        self._drawn = 0

    def at(self, t_s: float) -> list[Array]:
        """Slow and fast across the web (lines, lanes); slip, solids, foil (lines,)."""
        while (self._drawn - 1) * DRIFT_PERIOD_S <= t_s:
            along = self._rng.standard_normal((3, len(self._along[0]._keep)))
            after = [one.follow(self._smooth.draw(self._rng)) for one in self._across]
            after += [one.follow(drawn) for one, drawn in zip(self._along, along, strict=True)]
            before = [end for _, end in self._ends] or after
            self._ends, self._drawn = list(zip(before, after, strict=True)), self._drawn + 1
        share = t_s / DRIFT_PERIOD_S - (self._drawn - 2)
        return [before + share * (after - before) for before, after in self._ends]


def _column(sizes: Sequence[DriftSizes], name: str) -> Array:
    return np.array([getattr(one, name) for one in sizes])


class ArrayPlants:
    """Lines of one description. After step(): areal_gsm (lines, lanes), mean_gsm, flow_m3ps (lines,), gauges."""

    def __init__(self, plants: Sequence[Plant], pump_rpm: Array, seed: int = 0) -> None:
        """pump_rpm, shape (lines,). Raises ValueError for plays that this plant does not know."""
        truths, one = [plant.truth for plant in plants], plants[0].truth
        _refuse_what_is_not_here(plants[0])
        self.truths, self.rng = truths, np.random.default_rng(seed)
        self.play = plants[0].timetable.at(0.0).amplitudes
        lines = len(plants)
        self.t_s = self.web_m = 0.0
        self.motor_um = np.full((lines, one.zones), one.gap_nominal_um)
        self.lip_um = self.motor_um.copy()
        self.rate = np.array([truth.actuators.rate_um_per_s for truth in truths])
        self.half_play = 0.5 * np.array([truth.actuators.backlash_um for truth in truths])
        self._response = np.array([truth.lip_response for truth in truths])
        self._opening = np.zeros((lines, one.lanes))
        uneven = self.play.static_profile * np.array([truth.unevenness_um for truth in truths])
        self._gap_set = one.gap_nominal_um + uneven
        self._compliance = np.array([truth.compliance_um_per_pa for truth in truths])
        self._pressure_set = np.array([truth.pressure_set_pa for truth in truths])
        self.pressure_pa, self._worked_out_pa = self._pressure_set.copy(), np.full(lines, np.nan)
        self.rpm, self.phase = pump_rpm.astype(float), np.zeros(lines)
        self.pump = {name: np.array([getattr(truth.pump, name) for truth in truths]) for name in PUMP}
        self._offsets = np.array([(truth.pump_offset, truth.solids_offset) for truth in truths]).T
        self._white = self.play.white_cd * np.array([[truth.drifts.white_cd] for truth in truths])
        fronts = tuple((front.onset_s, front.duration_s, front.size) for front in plants[0].scenario.fronts())
        self._filled, self._drifts = Filled(truths, fronts), Drifts(truths, self.rng)
        self.gauges = [
            Gauge([getattr(truth, name) for truth in truths], one.target_gsm, self.rng)
            for name in ("wet", "dry")
            if getattr(one, name) is not None
        ]
        keep_m = max(gauge.distance_m + 2.0 * gauge.period_s * one.web_speed_max_mps for gauge in self.gauges) + 1.0
        self._rows = Rows(int(keep_m / (WHITE_PERIOD_S * one.web_speed_mps)) + 8, lines, one.lanes)

    def step(self, rest_um: Array, rpm: Array, dt_s: float) -> None:
        """Advance by dt_s, a multiple of 0.1 s. rest_um (lines, zones); rpm (lines,)."""
        from_s, to_s, before_m = self.t_s, self.t_s + dt_s, self.web_m
        mean_rpm, turn = self.move(rest_um, rpm, dt_s)
        self._drag_lips()
        slow, fast, slip, solids, _foil = self._drifts.at(to_s)
        filled = self._filled
        if filled.at(from_s):
            self._worked_out_pa[:] = np.nan
        local = self.play.slow_cd * slow + self.play.fast_cd * fast
        if self._white.any():
            local += self._white * self._white_mean(dt_s)
        self.flow_m3ps, share = self._divide(self._displaced(mean_rpm, turn, slip), local)
        self.phase = (self.phase + turn) % (2.0 * math.pi)
        rich = 1.0 + self.play.solids * solids + self.play.set_up_offset * self._offsets[1]
        solids_kgm3 = filled.density * filled.solids * rich
        self.coated_m = self.web_m - before_m
        self.mean_gsm = 1e3 * solids_kgm3 * self.flow_m3ps * dt_s / (self.truths[0].width_m * self.coated_m)
        self.areal_gsm = self.mean_gsm[:, None] * share
        self._rows.append(self.web_m, self.areal_gsm, 1e3 / solids_kgm3)
        self.t_s = to_s
        self.said = [gauge.scan(self._rows, self.web_m, to_s) for gauge in self.gauges]

    def move(self, rest_um: Array, rpm: Array, dt_s: float) -> tuple[Array, Array]:
        """Motors, the pump's drive and the web; returns the pump's mean speed and the stator's turn in radians."""
        reach = self.rate * dt_s
        np.clip(rest_um, self.motor_um - reach, self.motor_um + reach, out=self.motor_um)
        keep = np.exp(-dt_s / self.pump["lag_s"])
        target = np.clip(rpm, 0.0, self.pump["speed_max_rpm"])
        offset = self.rpm - target
        self.rpm = target + offset * keep
        mean_rpm = target + offset * (1.0 - keep) * self.pump["lag_s"] / dt_s
        self.web_m += self.truths[0].web_speed_mps * dt_s
        return mean_rpm, 2.0 * math.pi * self.pump["pulses_per_rev"] * mean_rpm / 60.0 * dt_s

    def _drag_lips(self) -> None:
        """Lips follow through their play, and the beam opens the lip; worked out anew for lines whose lips moved."""
        lip = np.clip(self.lip_um, self.motor_um - self.half_play, self.motor_um + self.half_play)
        moved = (lip != self.lip_um).any(axis=1)
        if not moved.any():
            return
        self.lip_um = lip
        away = (lip - self.truths[0].gap_nominal_um)[:, :, None]
        self._opening = np.matmul(self._response, away)[..., 0]
        self._worked_out_pa[moved] = np.nan

    def _white_mean(self, dt_s: float) -> Array:
        draws = max(round(dt_s / WHITE_PERIOD_S), 1)
        drawn = self.rng.standard_normal((draws, *self._opening.shape))
        return drawn[0] if draws == 1 else drawn.mean(axis=0)

    def _displaced(self, mean_rpm: Array, turn: Array, slip: Array) -> Array:
        pump, play, end = self.pump, self.play, self.phase + turn
        pulse = (np.cos(self.phase) - np.cos(end)) / turn
        pulse += SECOND_HARMONIC * (np.cos(2.0 * self.phase) - np.cos(2.0 * end)) / (2.0 * turn)
        ripple = 1.0 + pump["pulsation"] * play.pulsation * PULSE * pulse
        delivery = 1.0 - play.slip * slip + play.set_up_offset * self._offsets[0]
        displaced: Array = pump["displacement_m3_per_rev"] * mean_rpm / 60.0 * pump["efficiency"] * ripple * delivery
        return displaced

    def _divide(self, displaced: Array, local: Array) -> tuple[Array, Array]:
        """Flow (lines,) and each lane's share of it (mean 1): pressure, opening and split solved together."""
        filled, about = self._filled, self.pressure_pa
        for _ in range(8):
            if not (self._worked_out_pa == self._worked_out_pa).all() or self._too_far(about):
                self._work_out(about)
            share = np.exp(self._base + local)
            mean, softer = share.mean(axis=1), np.einsum("ij,ij->i", share, self._answer) / share.shape[1]
            ln_c = filled.ln_stress - filled.n * np.log(self.truths[0].width_m * mean)
            about = self._settled(displaced, ln_c, -filled.n * softer / mean, about)
            if not self._too_far(about):
                break
        moved = about - self._worked_out_pa
        share *= (1.0 + self._answer * moved[:, None]) / (mean + softer * moved)[:, None]
        self.pressure_pa = about
        return displaced - filled.slip * about, share

    def _too_far(self, about_pa: Array) -> bool:
        return bool((np.abs(self._softest * (about_pa - self._worked_out_pa)) >= FIRST_ORDER).any())

    def _work_out(self, about_pa: Array) -> None:
        """ln of each lane's flow at unit pressure, and how it changes with pressure, 1/Pa."""
        filled = self._filled
        gap = self._gap_set + self._opening + self._compliance * (about_pa - self._pressure_set)[:, None]
        lip = np.exp(filled.lip_log - filled.steep * np.log(gap))
        whole, n = lip + filled.fixed, filled.n[:, None]
        self._base = (filled.droop - np.log(whole)) / n
        self._answer = filled.steep / n * self._compliance / gap * lip / whole
        self._softest, self._worked_out_pa = self._answer.max(axis=1), about_pa.copy()

    def _settled(self, displaced: Array, ln_c: Array, slope: Array, about: Array) -> Array:
        """Newton's method in ln P from the last pressure: P = C(P) (D - g P)^n."""
        n, slip, u = self._filled.n, self._filled.slip, np.log(about)
        for _ in range(50):
            pressure = np.exp(u)
            left = displaced - slip * pressure
            miss = ln_c + slope * (pressure - self._worked_out_pa) + n * np.log(left) - u
            move = miss / (1.0 + n * slip * pressure / left - slope * pressure)
            u = u + move
            if np.abs(move).max() <= 1e-13:
                break
        settled: Array = np.exp(u)
        return settled


PUMP = (
    "displacement_m3_per_rev", "efficiency", "lag_s", "speed_max_rpm", "pulsation", "pulses_per_rev",
)  # fmt: skip


def _refuse_what_is_not_here(plant: Plant) -> None:
    for play in plant.scenario.plays:
        if play.name != "batch-change" and (play.name not in DRIFTS or play.onset_s > 0.0):
            raise ValueError(f"scenario: {play.name!r} is not played by the rivals; known: batch-change, {DRIFTS}")
