"""Every number that the physics must give: expected, computed, tolerance and source, in one table.

Tests assert each row and `evencoat plant-tour` prints them. Nothing of the running plant imports this. `computed` comes
from the simulator's own functions, or from running its own parts (the web's delay, drifts); `expected` is written down
by hand, but for three rows that compare two ways of computing (Carreau by layers, pump slip, a random walk's variance).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from controller.line.description import Array
from plant_sim import bead, carreau, counting, die, foil, levelling, lip, lip_mechanics, pump, rheology
from plant_sim.carreau import Carreau
from plant_sim.disturbances import follow_smooth
from plant_sim.levelling import WetFilm
from plant_sim.noise import TAPS, stream
from plant_sim.pump import Pump
from plant_sim.rheology import HerschelBulkley
from plant_sim.slurry import Recipe, Slurry
from plant_sim.web import Web

BASE_GAP_M, BASE_LENGTH_M, BASE_FLOW_M2PS = 0.6e-3, 0.040, 1.5e-4
BASE_WALL_STRESS_PA = 200.0
HALF_WIDTH_M = 0.35

SLOT = "slot flow (Bird et al.)"
MANIFOLD = "T-manifold, lubrication"
BEAM = "Hetenyi, beam"
ORCHARD = "Orchard 1963, with gravity"
COUNTS = "Beer-Lambert and Poisson"
VARIANCE = "minimum variance (Astrom 1970)"


@dataclass(frozen=True, slots=True)
class Oracle:
    """One row. `tolerance` is absolute, in `unit`; what was printed with few digits has half of its last digit."""

    group: str
    name: str
    expected: float
    computed: float
    unit: str
    tolerance: float
    source: str

    @property
    def error(self) -> float:
        """Computed minus expected, in `unit`."""
        return self.computed - self.expected

    @property
    def passes(self) -> bool:
        return abs(self.error) <= self.tolerance


@lru_cache(maxsize=1)
def table() -> tuple[Oracle, ...]:
    """All rows, in the order of docs/plant.md. Takes about a second, once."""
    parts = (
        _slot, _herschel_bulkley, _carreau, _gain, _manifold, _lip, _opening, _bead, _levelling, _gauge, _foil,
        _transport, _mass_balance, _pump_slip, _slurry, _minimum_variance, _pure_delay,
    )  # fmt: skip
    return tuple(row for part in parts for row in part())


# --- what only a judge may know -------------------------------------------------------------------------------------


def minimum_variance_ratio(phi: float, delay_samples: int) -> float:
    """Least sigma over open-loop sigma for an AR(1) disturbance behind a delay: sqrt(1 - phi^(2d)).

    No controller may beat it, so none may be given it either: a test oracle only.
    """
    return math.sqrt(1.0 - math.pow(phi, 2 * delay_samples))


def random_walk_variance(step_sigma: float, delay_samples: int) -> float:
    """Least variance for a random walk behind a delay: d sigma_w^2."""
    return delay_samples * step_sigma**2


def integral_gain_limit_per_s(delay_s: float) -> float:
    """Integral control of a pure delay is stable iff K g < pi/(2 theta)."""
    return math.pi / (2.0 * delay_s)


def manifold_by_marching(
    slurry: HerschelBulkley, feed_m3ps: float, half_width_m: float, radius_m: float, gap_m: float, length_m: float
) -> float:
    """q_end/q_in of a T-manifold by marching pressure and flow from the closed end, in plain units.

    Independent of die.manifold_profile: knows K and the flow, which must then drop out. The flow at the end is found by
    the secant method so that the feed's flow is met. RK4 on a cubed grid, where Q^n has its infinite slope.
    """
    n, k = slurry.flow_index, slurry.consistency_pa_sn
    y = half_width_m * np.linspace(0.0, 1.0, 401) ** 3

    def slopes(pressure: float, flow: float) -> tuple[float, float]:
        along = 2.0 * k / radius_m * ((3.0 * n + 1.0) * max(flow, 0.0) / (n * math.pi * radius_m**3)) ** n
        return along, rheology.power_law_flow_m2ps(slurry, pressure, gap_m, length_m)

    def march(end_m2ps: float) -> tuple[float, float]:
        pressure, flow = rheology.power_law_pressure_pa(slurry, end_m2ps, gap_m, length_m), 0.0
        for h in np.diff(y):
            a = slopes(pressure, flow)
            b = slopes(pressure + 0.5 * h * a[0], flow + 0.5 * h * a[1])
            c = slopes(pressure + 0.5 * h * b[0], flow + 0.5 * h * b[1])
            d = slopes(pressure + h * c[0], flow + h * c[1])
            pressure += h / 6.0 * (a[0] + 2.0 * b[0] + 2.0 * c[0] + d[0])
            flow += h / 6.0 * (a[1] + 2.0 * b[1] + 2.0 * c[1] + d[1])
        return flow, slopes(pressure, flow)[1]

    end = feed_m3ps / half_width_m
    for _ in range(4):
        end *= feed_m3ps / march(end)[0]
    return end / march(end)[1]


def delay_loop_growth(gain_per_s: float, delay_m: float, web_speed_mps: float, dt_s: float, delays: int = 24) -> float:
    """ln of how much an integral loop around the simulator's own web swells in one delay; below 0 it is stable.

    Coats plant_sim.web with what the integrator asks for, one step at a time, and reads the gauge delay_m later.
    """
    web = Web(1)
    steps_a_delay = round(delay_m / (web_speed_mps * dt_s))
    asked, errors = 1.5, []
    for _ in range(delays * steps_a_delay):
        web.coat(web_speed_mps * dt_s, np.array([asked]), 1.0)
        at_m = web.web_m - delay_m
        stretch = web.read(at_m, at_m)
        error = 1.0 - (float(stretch.areal_gsm[0]) if stretch.coated else 1.0)
        asked = max(asked + gain_per_s * dt_s * error, 0.01)
        errors.append(error)
    seen = np.abs(np.array(errors))
    half = seen.size // 2
    period = 4 * steps_a_delay  # of the oscillation at the limit: four delays
    early, late = float(seen[half - period : half].max()), float(seen[-period:].max())
    return math.log(late / early) * steps_a_delay / float(seen.size - half)


def delay_loop_limit_per_s(delay_m: float, web_speed_mps: float, dt_s: float) -> float:
    """Gain at which the loop of `delay_loop_growth` neither swells nor dies: linear between 3 % below and above."""
    limit = integral_gain_limit_per_s(delay_m / web_speed_mps)
    low, high = (delay_loop_growth(share * limit, delay_m, web_speed_mps, dt_s) for share in (0.97, 1.03))
    return limit * (0.97 + 0.06 * low / (low - high))


def best_prediction_ratio(phi: float, delay_samples: int, share: float = 1.0) -> float:
    """Sigma that is left of the simulator's own drift when what is known of it d samples ago is taken off.

    share 1 is the minimum-variance controller; any other is worse.
    """
    width, samples = 400, 1500
    path = _drift_path(phi, width, samples)
    left = path[delay_samples:] - share * phi**delay_samples * path[:-delay_samples]
    return float(left.std() / path.std())


def _drift_path(phi: float, width: int, samples: int) -> Array:
    """`width` independent drifts of unit size side by side, shape (samples, width)."""
    alone = np.zeros((width, TAPS))
    alone[:, 0] = 1.0
    state, knots, drawn = np.zeros(width), np.empty(width + TAPS), np.empty(width)
    path = np.empty((samples, width))
    for row in range(samples):
        key = stream(11, "oracle-drift")
        follow_smooth(key, row, 1.0, phi, state, np.arange(float(width)), alone.reshape(-1), knots, drawn)
        path[row] = state
    return path


# --- rows ---------------------------------------------------------------------------------------------------------


def _slot() -> Iterator[Oracle]:
    newtonian = rheology.newtonian_pressure_pa(1.0, BASE_FLOW_M2PS, BASE_GAP_M, BASE_LENGTH_M)
    yield Oracle("slot", "Newtonian, mu 1 Pa s", 1e6 / 3.0, newtonian, "Pa", 1e-9 * newtonian, SLOT)
    for k, n, expected in ((10.0, 0.6, 164_434.5), (5.0, 0.7, 175_009.3), (20.0, 0.5, 153_960.1)):
        got = rheology.power_law_pressure_pa(HerschelBulkley(k, n), BASE_FLOW_M2PS, BASE_GAP_M, BASE_LENGTH_M)
        yield Oracle("slot", f"power law, K {k:g} n {n:g}", expected, got, "Pa", 1e-6 * expected, SLOT)
    rate = rheology.wall_rate_per_s(1.0, BASE_FLOW_M2PS, BASE_GAP_M)
    yield Oracle("slot", "Newtonian shear rate at the wall", 2500.0, rate, "1/s", 2.5e-6, SLOT)
    for n, expected in ((1.0, 3.0), (0.7, 3.4286), (0.6, 3.6667), (0.5, 4.0)):
        law = HerschelBulkley(10.0, n)
        flows = [rheology.power_law_flow_m2ps(law, 1e5, BASE_GAP_M * f, BASE_LENGTH_M) for f in (1.001, 0.999)]
        slope = math.log(flows[0] / flows[1]) / math.log(1.001 / 0.999)
        yield Oracle("slot", f"d ln q/d ln H, n {n:g}", expected, slope, "", 1e-4, "2 + 1/n")


def _herschel_bulkley() -> Iterator[Oracle]:
    cases = (
        ("tau0 5, K 8, n 0.6", HerschelBulkley(8.0, 0.6, 5.0), 9.899941e-6),
        ("tau0 20, K 10, n 0.5", HerschelBulkley(10.0, 0.5, 20.0), 1.355940e-5),
        ("Bingham, tau0 10, mu 1", HerschelBulkley(1.0, 1.0, 10.0), 1.110075e-5),
        ("tau0 0, K 10, n 0.6", HerschelBulkley(10.0, 0.6, 0.0), 7.234098e-6),
    )
    for name, law, expected in cases:
        got = rheology.wall_stress_flow_m2ps(law, BASE_WALL_STRESS_PA, BASE_GAP_M)
        yield Oracle("yield stress", name, expected, got, "m2/s", 1e-6 * expected, SLOT)
    for stress in (3.0, 5.0):
        got = rheology.wall_stress_flow_m2ps(HerschelBulkley(8.0, 0.6, 5.0), stress, BASE_GAP_M)
        yield Oracle("yield stress", f"tau0 5 at tau_w {stress:g} Pa: none", 0.0, got, "m2/s", 0.0, SLOT)


def _carreau() -> Iterator[Oracle]:
    newtonian = Carreau(1.0, 0.0, 0.5, 1.0)
    got = carreau.pressure_pa(newtonian, BASE_FLOW_M2PS, BASE_GAP_M, BASE_LENGTH_M)
    yield Oracle("Carreau", "n 1 is Newtonian", 1e6 / 3.0, got, "Pa", 1e-9 * got, "Rabinowitsch quadrature")
    time_s, n, k = 1e4, 0.6, 10.0
    deep = Carreau(k * time_s ** (1.0 - n), 0.0, time_s, n)
    got = carreau.pressure_pa(deep, BASE_FLOW_M2PS, BASE_GAP_M, BASE_LENGTH_M)
    yield Oracle("Carreau", "far above 1/lambda: K 10, n 0.6", 164_434.5, got, "Pa", 0.2, "Rabinowitsch quadrature")
    slurry = Carreau(30.0, 0.1, 1.0, 0.5)
    flow = carreau.flow_m2ps(slurry, 150e3, BASE_GAP_M, BASE_LENGTH_M)
    brute = _flow_by_velocity_profile(slurry, BASE_GAP_M * 150e3 / (2.0 * BASE_LENGTH_M), BASE_GAP_M)
    name = "30 to 0.1 Pa s, lambda 1 s, n 0.5, 150 kPa"
    yield Oracle("Carreau", name, brute, flow, "m2/s", 1e-6 * brute, "velocity profile, 20,000 layers")


def _flow_by_velocity_profile(slurry: Carreau, wall_stress_pa: float, gap_m: float) -> float:
    """Flow from shear rates found by bisection in every layer: slow and independent of the quadrature."""
    layers = 20_000
    y = (np.arange(layers) + 0.5) / layers * gap_m / 2.0
    stress = wall_stress_pa * y / (gap_m / 2.0)
    low, high = np.zeros(layers), stress / max(slurry.viscosity_infinite_pa_s, 1e-6)
    for _ in range(80):
        rate = 0.5 * (low + high)
        thinning = (1.0 + (slurry.time_s * rate) ** 2) ** (0.5 * (slurry.flow_index - 1.0))
        spread = slurry.viscosity_zero_pa_s - slurry.viscosity_infinite_pa_s
        above = (slurry.viscosity_infinite_pa_s + spread * thinning) * rate > stress
        low, high = np.where(above, low, rate), np.where(above, rate, high)
    return float(2.0 * np.sum(y * rate) * gap_m / 2.0 / layers)


def _even_die(lip_share: float, flow_index: float, lanes: int = 200, radius_m: float = 0.017) -> die.Die:
    position = np.abs((np.arange(lanes) + 0.5) / lanes - 0.5) * 2.0
    return die.build(1.0, BASE_GAP_M, lip_share, flow_index, radius_m, position)


def _shares(one: die.Die, slurry: Slurry, gap_um: Array) -> Array:
    return die.split(die.slot(one, slurry), gap_um, np.zeros_like(gap_um)).share


def _gain() -> Iterator[Oracle]:
    for lip_share, n, expected, tolerance in ((1.0, 0.6, 0.61, 0.005), (0.4, 0.6, 0.2444, 0.0015)):
        gap = np.full(200, 600.0)
        gap[100] += 1.0
        share = _shares(_even_die(lip_share, n), Slurry(12.0, n, 1730.0, 0.58), gap)
        got = 100.0 * (share[100] - share[0])
        name = f"1 um of gap, n {n:g}, lip share {lip_share:g}"
        yield Oracle("lip gain", name, expected, got, "%", tolerance, "(2+1/n) f_lip dH/H")


def _manifold() -> Iterator[Oracle]:
    for radius_mm, expected in ((8, 0.98311), (10, 0.99302), (12, 0.99662), (15, 0.99862)):
        profile = die.manifold_profile(1.0, HALF_WIDTH_M, radius_mm * 1e-3, BASE_LENGTH_M / BASE_GAP_M**3)
        got = float(profile[-1] / profile[0])
        yield Oracle("manifold", f"Newtonian q_end/q_in, R {radius_mm} mm", expected, got, "", 1e-4, MANIFOLD)
    for n, expected in ((0.8, 0.98943), (0.6, 0.96455), (0.5, 0.93283), (0.4, 0.86926)):
        profile = die.manifold_profile(n, HALF_WIDTH_M, 0.012, BASE_LENGTH_M / BASE_GAP_M ** (2.0 * n + 1.0))
        got = float(profile[-1] / profile[0])
        yield Oracle("manifold", f"power law q_end/q_in, R 12 mm, n {n:g}", expected, got, "", 1e-4, MANIFOLD)
    feed = BASE_FLOW_M2PS * HALF_WIDTH_M
    for name, k, flow in (("K 10", 10.0, feed), ("K 20", 20.0, feed), ("twice the flow", 10.0, 2.0 * feed)):
        law = HerschelBulkley(k, 0.6)
        got = manifold_by_marching(law, flow, HALF_WIDTH_M, 0.012, BASE_GAP_M, BASE_LENGTH_M)
        yield Oracle("manifold", f"n 0.6 marched with {name}", 0.96455, got, "", 1e-4, "K and Q drop out")


def _lip() -> Iterator[Oracle]:
    s = np.linspace(0.0, 40.0, 400_001)
    values = lip.kernel(s)
    half = float(np.interp(-0.5, -values[:15_000], s[:15_000]))
    yield Oracle("lip kernel", "FWHM * beta", 2.02696, 2.0 * half, "", 1e-4, BEAM)
    yield Oracle("lip kernel", "minimum", -0.04321, float(values.min()), "", 1e-5, BEAM)
    yield Oracle("lip kernel", "place of the minimum", math.pi, float(s[values.argmin()]), "1/beta", 1e-4, BEAM)
    yield Oracle(
        "lip kernel", "value at 3 pi/4", 0.0, float(lip.kernel(np.array([0.75 * math.pi]))[0]), "", 1e-12, BEAM
    )
    whole = float(np.trapezoid(values, s))
    yield Oracle("lip kernel", "integral against F/k", 1.0, whole, "F/k", 1e-6, BEAM)
    for fwhm, expected in ((1.0, 0.06), (1.5, 0.31), (2.0, 0.50), (2.5, 0.63)):
        got = float(lip.kernel(np.array([lip.FWHM_TIMES_BETA / fwhm]))[0])
        yield Oracle("lip kernel", f"neighbour at FWHM {fwhm:g} pitches", expected, got, "", 0.006, BEAM)


def _opening() -> Iterator[Oracle]:
    source = "1.5 p l^4 (1-nu^2)/(E t^3)"
    for thickness_mm, pressure_mpa, expected, tolerance in ((25.0, 0.3, 0.34, 0.005), (12.0, 0.5, 5.1, 0.05)):
        one = lip_mechanics.CantileverLip(0.040, thickness_mm * 1e-3)
        name = f"40 mm lip, {thickness_mm:g} mm thick, {pressure_mpa:g} MPa"
        yield Oracle("lip opening", name, expected, one.opening_um(pressure_mpa * 1e6), "um", tolerance, source)
    lanes_mm = np.linspace(-500.0, 500.0, 2001)
    bow = lip_mechanics.thermal_bow_um(lanes_mm, 1.0, 0.100)
    source = "alpha dT W^2/(8 height)"
    yield Oracle("lip opening", "thermal sag, 1 K, 1 m, 100 mm", 13.75, float(np.ptp(bow)), "um", 0.001, source)


def _bead() -> Iterator[Oracle]:
    source = "Ruschak; Higgins, Scriven"
    got = 1e6 * bead.film_min_small_ca_m(1e-3, 100e-6)
    yield Oracle("coating window", "low-flow limit, Ca 0.001, H 100 um", 0.670, got, "um", 0.0067, source)
    for capillary, expected in ((0.01, 0.0302), (0.1, 0.126), (0.5, 0.297), (1.0, 0.401)):
        got = bead.film_min_m(capillary, 1.0)
        yield Oracle("coating window", f"full form h/H, Ca {capillary:g}", expected, got, "", 0.01 * expected, source)
    gradient = bead.pressure_gradient_pa_per_m(100e-6, 200e-6, 1.0, 1.0)
    yield Oracle(
        "coating window", "pressure gradient at h = H/2", 0.0, gradient, "Pa/m", 1e-3, "drag and pressure flow"
    )


def _levelling() -> Iterator[Oracle]:
    film = WetFilm(150e-6, 5.0, 0.045, 1900.0)
    for mm, expected, tolerance in (
        (1, 0.06, 0.005),
        (2, 1.0, 0.05),
        (5, 31.0, 0.5),
        (10, 309.0, 0.5),
        (20, 1951.0, 0.5),
    ):
        got = levelling.time_s(film, mm * 1e-3)
        yield Oracle("levelling", f"37 % of a {mm} mm ripple", expected, got, "s", tolerance, ORCHARD)


def _gauge() -> Iterator[Oracle]:
    for depth, expected in ((0.5, 0.257), (1.0, 0.165), (2.0, 0.136), (3.0, 0.149)):
        got = 100.0 * counting.relative_noise(depth, 1e6)
        yield Oracle("counting gauge", f"noise at x {depth:g}, N0 1e6", expected, got, "%", 0.0005, COUNTS)
    depths = np.linspace(1.0, 3.0, 20_001)
    best = depths[np.argmin([counting.relative_noise(float(x), 1e6) for x in depths])]
    yield Oracle("counting gauge", "best depth", 2.0, float(best), "", 1e-4, COUNTS)
    needed = counting.counts_needed(2.0, 0.001)
    yield Oracle("counting gauge", "N0 for 0.10 % at x 2", 1.85e6, needed, "counts", 0.005e6, COUNTS)
    rng = np.random.Generator(np.random.PCG64(5))
    readings = counting.readings_gsm(np.full(40_000, 180.0), 2.0 / 180.0, 1e6, rng)
    sampled = float(100.0 * readings.std() / 180.0)
    yield Oracle("counting gauge", "spread of 40,000 drawn readings, x 2", 0.1359, sampled, "%", 0.002, "Poisson draws")


def _foil() -> Iterator[Oracle]:
    source = "mass of the foil"
    for name, one, percent, expected in (
        ("12 um aluminium, 2 %", foil.Foil(12.0, foil.ALUMINIUM_KGM3), 2.0, 0.65),
        ("8 um copper, 4 %", foil.Foil(8.0, foil.COPPER_KGM3), 4.0, 2.87),
    ):
        got = float(foil.leak_gsm(one, np.array([percent]))[0])
        yield Oracle("foil", name, expected, got, "g/m2", 0.005, source)


def _transport() -> Iterator[Oracle]:
    source = "the integral of U dt is L"
    for speed_m_per_min, expected in ((10, 360.0), (20, 180.0), (40, 90.0), (60, 60.0), (80, 45.0)):
        got = transport_time_s(60.0, _constant(speed_m_per_min / 60.0), 0.25)
        yield Oracle("transport", f"60 m at {speed_m_per_min} m/min", expected, got, "s", 1e-6, source)
    # speed 0.5 + t/100 m/s: t/2 + t^2/200 = 60 at t = 70.4159
    ramp = transport_time_s(60.0, lambda t_s: 0.5 + t_s / 100.0, 0.05)
    yield Oracle(
        "transport", "60 m while speed rises from 30 m/min", 70.4159, ramp, "s", 0.05, f"{source}, to one step"
    )


def _constant(value: float) -> Callable[[float], float]:
    return lambda _: value


def transport_time_s(distance_m: float, speed_mps: Callable[[float], float], dt_s: float) -> float:
    """Time from coating a mark to the last that a gauge distance_m later sees of it, on the simulator's own web."""
    mark, rest = np.array([1.0]), np.array([2.0])
    web = Web(1)
    web.coat(1e-3, mark, 1.0)
    t_s = 0.0
    while True:
        web.coat(speed_mps(t_s + 0.5 * dt_s) * dt_s, rest, 1.0)
        stretch = web.read(web.web_m - distance_m, web.web_m - distance_m)
        if stretch.coated and abs(stretch.areal_gsm[0] - rest[0]) < 1e-9:
            return t_s
        t_s += dt_s


def _mass_balance() -> Iterator[Oracle]:
    source = "m = rho w Q/(W U)"
    even, uneven = np.full(200, 600.0), 600.0 + 30.0 * np.sin(np.arange(200) / 7.0)
    one, slurry = _even_die(0.4, 0.6), Slurry(12.0, 0.6, 1730.0, 0.58)
    total = float(_shares(one, slurry, uneven).sum())
    yield Oracle("mass balance", "sum over 200 lanes of uneven lips", 200.0, total, "", 200e-9, source)
    moved = float(_shares(one, slurry, even + 50.0).mean())
    yield Oracle("mass balance", "mean after a common move of 50 um", 1.0, moved, "", 1e-9, source)
    shifts = [_shares(one, replace(slurry, consistency_pa_sn=k), uneven) for k in (12.0, 24.0)]
    change = float(np.abs(shifts[1] - shifts[0]).max())
    yield Oracle("mass balance", "profile when K doubles: largest change", 0.0, change, "", 1e-12, "K drops out")


def _pump_slip() -> Iterator[Oracle]:
    """A common lip move lets pressure fall, and the pump deliver the fall over its slip resistance more."""
    one, slurry = _even_die(0.4, 0.6), Slurry(12.0, 0.6, 1730.0, 0.58)
    filled, flat = die.slot(one, slurry), np.zeros(200)
    splits = [die.split(filled, np.full(200, gap), flat) for gap in (600.0, 650.0)]
    tight = Pump(100e-6, 0.97, 1e11, 0.3, 165.0, 0.0, 1.0)
    for name, metering, tolerance in (
        ("off", replace(tight, slip_resistance_pa_s_per_m3=math.inf), 0.0),
        ("on", tight, 1e-9),
    ):
        flows = [pump.delivered_m3ps(metering, 1.8e-4, split) for split in splits]
        pressures = [split.pressure_pa(flow) for split, flow in zip(splits, flows, strict=True)]
        expected = -(pressures[1] - pressures[0]) / metering.slip_resistance_pa_s_per_m3
        source = "dQ = -d(dP)/R_slip"
        change = flows[1] - flows[0]
        yield Oracle("pump", f"common move of 50 um, slip {name}", expected, change, "m3/s", tolerance * 1.8e-4, source)


def _slurry() -> Iterator[Oracle]:
    for name, density, solids, target, film_um in (
        ("LFP 180 g/m2 at 58 %", 1740.0, 0.58, 180.0, 179.0),
        ("NMC 200 g/m2 at 70 %", 2240.0, 0.70, 200.0, 128.0),
        ("graphite 90 g/m2 at 50 %", 1375.0, 0.50, 90.0, 131.0),
    ):
        film = target / (Slurry(12.0, 0.6, density, solids).solids_kgm3 * 1e-3)
        yield Oracle("slurry", f"wet film of {name}", film_um, film, "um", 1.0, "h = m/(rho w)")
    for name, density, solids, expected in (("LFP", 1740.0, 0.58, 2.9), ("NMC", 2240.0, 0.70, 3.1)):
        got = Recipe.of(density, solids).areal_sensitivity(solids)
        yield Oracle("slurry", f"areal density for 1 % more solids, {name}", expected, got, "%", 0.15, "volumes add up")


def _minimum_variance() -> Iterator[Oracle]:
    for phi, delay, expected in ((0.95, 5, 0.6335), (0.95, 20, 0.9335), (0.99, 20, 0.5754), (0.99, 70, 0.8690)):
        formula = minimum_variance_ratio(phi, delay)
        name = f"AR(1) {phi:g}, delay {delay}"
        yield Oracle("best possible control", name, expected, formula, "", 5e-5, VARIANCE)
        got = best_prediction_ratio(phi, delay)
        yield Oracle("best possible control", f"{name}, on the simulator's drift", expected, got, "", 0.01, VARIANCE)
    walk = np.cumsum(np.random.Generator(np.random.PCG64(3)).standard_normal((4000, 200)), axis=0)
    got = float(np.var(walk[20:] - walk[:-20]))
    expected = random_walk_variance(1.0, 20)
    yield Oracle("best possible control", "random walk, delay 20: variance", expected, got, "sigma_w^2", 0.3, VARIANCE)


def _pure_delay() -> Iterator[Oracle]:
    source = "K g = pi/(2 theta)"
    for delay_m, dt_s, expected in ((3.0, 0.02, 0.5236), (70.0, 0.5, 0.02244)):
        got = delay_loop_limit_per_s(delay_m, 1.0, dt_s)
        name = f"integral gain at the limit, {delay_m:g} s on the simulator's web"
        yield Oracle("pure delay", name, expected, got, "1/s", 0.01 * expected, source)
