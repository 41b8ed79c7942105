"""Families of random lines: drawn within the table, disagreeing as they say, and true to physics whatever is drawn."""

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.line.description import GaugeKind
from plant_sim import families, plant
from plant_sim.families import FAMILIES, RANGES
from plant_sim.faults import CATALOGUE, Play
from plant_sim.noise import generator
from plant_sim.plant import Command, Plant
from plant_sim.scenario import Scenario

NAMES = (
    "nominal",
    "shear-thinning",
    "wide-kernel",
    "misaligned",
    "dry-scanner-only",
    "noisy",
    "backlash-heavy",
    "batch-changing",
    "fast-web",
    "wide",
)
SEEDS = st.integers(0, 10_000)
any_line = st.tuples(st.sampled_from(NAMES), SEEDS)
any_array_line = st.tuples(st.sampled_from([name for name in NAMES if name != "dry-scanner-only"]), SEEDS)
LANES = 2  # a zone: enough for every property, and quick at 128 zones
quick = settings(max_examples=18, deadline=None)


class Line:
    """A drawn line, run by hand: lips where the seed puts them, the pump in proportion to web speed as its drive is."""

    def __init__(self, drawn, truth, scenario, seed):
        self.told, self.plant = drawn, Plant.of(truth, scenario, seed)
        self.ratio = drawn.pump_ratio_nominal_rpm_per_mps
        lips = drawn.lips
        moves = 0.1 * (lips.gap_max_um - lips.gap_min_um) * np.random.default_rng(seed).standard_normal(drawn.zones)
        self.gap_um = np.clip(drawn.die.gap_nominal_um + moves, lips.gap_min_um, lips.gap_max_um)
        self.state = plant.start(self.plant, self.ratio * drawn.web_speed_mps)

    def steps(self, count, dt_s=0.5):
        rows = []
        for _ in range(count):
            rpm = self.ratio * self.plant.web_speed_mps(self.state.t_s)
            self.state, readings = plant.step(self.plant, self.state, Command(self.gap_um, rpm), dt_s)
            rows.append(readings)
        return rows


def lines(family, seed, *plays, minutes=10.0):
    drawn, truth = families.draw(family, seed, LANES)
    usual = families.scenario(family, seed, minutes)
    return Line(drawn, truth, replace(usual, plays=usual.plays + plays), seed)


def bytes_of(rows):
    parts = [row.areal_density_gsm.tobytes() + repr((row.web_m, row.pump_flow_m3ps)).encode() for row in rows]
    return b"".join(parts + [scan.values.tobytes() for row in rows for scan in row.scans])


def test_the_families_are_those_that_are_promised():
    assert tuple(FAMILIES) == NAMES


def test_an_unknown_family_names_the_nearest():
    with pytest.raises(KeyError, match="'noisy'"):
        families.draw("nosy", 1)


# --- what is drawn ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", NAMES)
def test_every_number_is_within_its_range(family):
    ranges = {**RANGES, **FAMILIES[family].described}

    def inside(name, value):
        low, high = ranges[name]
        assert low * (1 - 1e-9) <= value <= high * (1 + 1e-9), f"{name} {value}"

    for seed in range(12):
        line, truth = families.draw(family, seed, LANES)
        inside("zones", line.zones)
        inside("gap_um", line.die.gap_nominal_um)
        inside("lip_share", line.die.lip_share)
        inside("kernel_fwhm_pitches", line.die.kernel_fwhm_pitches)
        inside("flow_index", line.slurry.flow_index)
        inside("solids_fraction", line.slurry.solids_fraction)
        inside("wet_film_um", line.target.areal_density_gsm / line.slurry.areal_density_gsm_per_um)
        inside("web_m_per_min", 60.0 * line.web_speed_mps)
        if family != "dry-scanner-only":
            inside("oven_m", line.dry_gauge.distance_m - line.wet_gauge.distance_m)
            inside("wet_noise_pct", line.wet_gauge.noise_pct)
            inside("dry_period_s", line.dry_gauge.period_s)
        else:
            inside("head_speed_mps", line.dry_gauge.head_speed_mps)
            inside("head_turn_s", line.dry_gauge.period_s - line.web_width_mm * 1e-3 / line.dry_gauge.head_speed_mps)
        inside("rate_um_per_s", line.lips.rate_um_per_s)
        inside("resolution_um", line.lips.resolution_um)
        inside("backlash_um", line.lips.backlash_um)
        inside("nominal_rpm", line.pump_ratio_nominal_rpm_per_mps * line.web_speed_mps)
        inside("tolerance_pct", line.target.tolerance_pct)
        assert 10.0 - 1e-9 <= line.die.zone_pitch_mm <= 60.0 + 1e-9
        assert line.zones * line.die.zone_pitch_mm == pytest.approx(line.web_width_mm)
        assert line.dry_gauge.boxes in (line.zones, 2 * line.zones)
        assert 3.0 - 1e-9 <= truth.batches[0].consistency_pa_sn <= 30.0 + 1e-9


def test_zones_reach_from_8_to_128():
    zones = [families.draw("nominal", seed, 1)[0].zones for seed in range(120)]
    assert min(zones) < 10 and max(zones) > 118
    assert min(zones) >= 8 and max(zones) <= 128


@quick
@given(st.sampled_from(NAMES[1:]), SEEDS)
def test_lines_of_one_seed_differ_by_their_family_only(family, seed):
    """But for the ranges that the family replaces, and what follows from them, the description is the nominal one."""
    usual, line = families.draw("nominal", seed, LANES)[0], families.draw(family, seed, LANES)[0]
    follows = {"web_m_per_min": "web_speed", "width_m": "web_width", "zones": "web_width"}
    if family == "dry-scanner-only":
        assert line.wet_gauge is None and line.dry_gauge.is_scanner
        assert line.dry_gauge.distance_m == usual.dry_gauge.distance_m
        line = replace(line, wet_gauge=usual.wet_gauge, dry_gauge=usual.dry_gauge, control=usual.control)
    if not FAMILIES[family].described:
        assert asdict(replace(line, name="")) == asdict(replace(usual, name=""))
    if not set(FAMILIES[family].described) & set(follows):
        assert (line.web_speed_mps, line.web_width_mm, line.zones) == (
            usual.web_speed_mps,
            usual.web_width_mm,
            usual.zones,
        )
    assert line.die.gap_nominal_um == usual.die.gap_nominal_um
    assert line.target.tolerance_pct == usual.target.tolerance_pct


def true_fwhm_pitches(line, truth):
    """Width of the middle bolt's response at half height, from the response itself."""
    fine = truth.lip_response[:, line.zones // 2]
    above = np.flatnonzero(fine > 0.5 * fine.max())
    return (above[-1] - above[0] + 1) / truth.lanes * line.zones


def test_each_family_disagrees_as_it_says():
    for seed in range(6):
        line, truth = families.draw("shear-thinning", seed, LANES)
        assert truth.batches[0].flow_index < line.slurry.flow_index - 0.05
        assert truth.die.design_flow_index == line.slurry.flow_index
        line, truth = families.draw("backlash-heavy", seed, LANES)
        assert truth.actuators.backlash_um.mean() > 1.2 * line.lips.backlash_um
        line, truth = families.draw("noisy", seed, LANES)
        assert 100.0 * truth.wet.noise > 0.7 * line.wet_gauge.noise_pct
        line, _ = families.draw("fast-web", seed, LANES)
        assert line.web_speed_mps >= 80.0 / 60.0
        line, _ = families.draw("wide", seed, LANES)
        assert line.zones >= 64 and line.web_width_mm >= 1000.0
    described = [families.draw("wide-kernel", seed, 24) for seed in range(6)]
    assert np.mean([true_fwhm_pitches(*pair) / pair[0].die.kernel_fwhm_pitches for pair in described]) > 1.15
    noise = [families.draw("noisy", seed, LANES) for seed in range(40)]
    assert np.mean([100.0 * truth.wet.noise / line.wet_gauge.noise_pct for line, truth in noise]) > 1.4


def test_misaligned_bolts_peak_beside_their_boxes_and_the_description_knows_nothing():
    shifts = []
    for seed in range(20):
        line, truth = families.draw("misaligned", seed, 16)
        assert line.die.alignment_shift_mm == 0.0
        peaks = truth.lanes_mm[truth.lip_response[:, 2:-2].argmax(axis=0)]
        shifts.append(float(np.median(peaks - line.zone_centres_mm[2:-2])) / line.die.zone_pitch_mm)
    assert np.abs(shifts).max() > 0.5
    assert np.std(shifts) > 0.25


def test_batches_come_every_few_minutes_where_they_are_promised():
    for seed in range(5):
        onsets = [play.onset_s for play in families.scenario("batch-changing", seed, 120.0).fronts()]
        assert 7 <= len(onsets) <= 24
    assert not families.scenario("nominal", 1, 120.0).fronts()


@pytest.mark.parametrize("seed", range(4))
def test_batch_steps_are_larger_in_the_batch_changing_family(seed):
    usual, changing = (families.draw(name, seed, LANES)[1].batches for name in ("nominal", "batch-changing"))
    ratio = [
        (b.solids_fraction - changing[0].solids_fraction) / (a.solids_fraction - usual[0].solids_fraction)
        for a, b in zip(usual[1:], changing[1:], strict=True)
        if abs(a.solids_fraction - usual[0].solids_fraction) > 1e-6
    ]
    assert min(ratio) >= 1.2 and max(ratio) <= 2.0 and np.ptp(ratio) < 1e-6


# --- properties over all families -----------------------------------------------------------------------------------


@quick
@given(any_line)
def test_mass_balance_and_finite_positive_flow(drawn):
    """mean m * W * dx is rho w Q dt to 1e-9, with every disturbance but those that change rho w on the way."""
    family, seed = drawn
    line, truth = families.draw(family, seed, LANES)
    plays = tuple(p for p in families.scenario(family, seed, 1.0).plays if p.name != "solids-drift")
    run = Line(line, truth, Scenario("balance", "", plays), seed)
    solids = truth.batches[0].solids_kgm3 * (1.0 + truth.solids_offset)
    for row in run.steps(20):
        coated = row.areal_density_gsm.mean() * truth.width_m * row.coated_m
        assert coated == pytest.approx(1e3 * solids * row.pump_flow_m3ps * 0.5, rel=1e-9)
        assert np.isfinite(row.areal_density_gsm).all() and row.areal_density_gsm.min() > 0.0
        assert math.isfinite(row.pump_pressure_kpa) and row.pump_pressure_kpa > 0.0
        assert row.pump_flow_m3ps > 0.0


@quick
@given(any_line)
def test_without_slip_a_common_move_of_the_lips_leaves_the_mean(drawn):
    line, truth = families.draw(*drawn, LANES)
    tight = replace(truth, pump=replace(truth.pump, slip_resistance_pa_s_per_m3=math.inf))
    runs = [Line(line, tight, families.scenario(*drawn, 1.0), drawn[1]) for _ in range(2)]
    runs[1].gap_um = runs[1].gap_um + 0.05 * line.die.gap_nominal_um
    for a, b in zip(runs[0].steps(12), runs[1].steps(12), strict=True):
        assert b.mean_gsm == pytest.approx(a.mean_gsm, rel=1e-9)


@quick
@given(any_line)
def test_same_seed_same_bytes_other_seed_other_bytes(drawn):
    family, seed = drawn
    one, two, other = (bytes_of(lines(family, s).steps(40)) for s in (seed, seed, seed + 1))
    assert one == two != other


@quick
@given(any_line)
def test_a_mirrored_line_makes_a_mirrored_web(drawn):
    """Lips, bolts and static error mirrored; drifts have streams of their own that nobody mirrors, so they are off."""
    family, seed = drawn
    line, truth = families.draw(family, seed, LANES)
    mirrored = replace(
        truth,
        lip_response=truth.lip_response[::-1, ::-1].copy(),
        unevenness_um=truth.unevenness_um[::-1].copy(),
        actuators=replace(
            truth.actuators,
            rate_um_per_s=truth.actuators.rate_um_per_s[::-1],
            backlash_um=truth.actuators.backlash_um[::-1],
        ),
    )
    still = Scenario("still", "", (Play("static-profile"), Play("set-up-offset")))
    one, two = Line(line, truth, still, seed), Line(line, mirrored, still, seed)
    two.gap_um = one.gap_um[::-1]
    a, b = one.steps(20)[-1], two.steps(20)[-1]
    np.testing.assert_allclose(b.areal_density_gsm[::-1], a.areal_density_gsm, rtol=1e-9)


@quick
@given(any_line, st.sampled_from(sorted(CATALOGUE)))
def test_what_is_over_or_not_yet_come_has_no_effect(drawn, name):
    family, seed = drawn
    usual = bytes_of(lines(family, seed).steps(30))
    size = 0.5 if name == "web-speed" else 1.0
    later = Play(name, onset_s=1e6, size=size, ramp_s=1.0)
    assert bytes_of(lines(family, seed, later).steps(30)) == usual
    if name != "batch-change":  # a batch stays in the hoses for good
        never = Play(name, onset_s=0.0, duration_s=0.0, size=size, ramp_s=1e-9)
        assert bytes_of(lines(family, seed, never).steps(30)) == usual


@quick
@given(any_array_line, st.floats(0.3, 1.2), st.floats(0.5, 8.0), st.floats(0.0, 6.0))
def test_delay_is_the_integral_of_speed(drawn, share, ramp_s, onset_s):
    """Whatever the speed did, a scan reports web that was coated exactly `distance_m` of web before."""
    line, truth = families.draw(*drawn, LANES)
    clean = replace(truth, wet=replace(truth.wet, noise=0.0, bias_common=0.0, bias_box=0.0))
    plays = (Play("web-speed", onset_s=onset_s, size=share, ramp_s=ramp_s), Play("pump-pulsation", size=5.0))
    run = Line(line, clean, Scenario("ramp", "", plays), drawn[1])
    dt_s = 0.1
    rows = run.steps(int((line.wet_gauge.distance_m / (0.3 * line.web_speed_mps) + 3.0) / dt_s), dt_s)
    ends = np.concatenate(([0.0], np.cumsum([row.coated_m for row in rows])))
    mass = np.concatenate(([0.0], np.cumsum([row.coated_m * row.mean_gsm for row in rows])))
    film = clean.batches[0].solids_kgm3 * 1e-3
    last_m, seen = 0.0, 0
    for k, row in enumerate(rows):
        for scan in row.scans:
            if scan.kind is not GaugeKind.WET_ARRAY:
                continue
            low, high = last_m - truth.wet.distance_m, row.web_m - truth.wet.distance_m
            last_m = row.web_m
            if low >= 1e-6:
                expected = (np.interp(high, ends, mass) - np.interp(low, ends, mass)) / (high - low)
                assert scan.values.mean() == pytest.approx(expected / film, rel=1e-6)
                seen += 1
        assert row.web_m == pytest.approx(ends[k + 1], rel=1e-9)
    assert seen >= 1


def test_streams_do_not_depend_on_the_order_of_names():
    """A family that replaces no range draws every number as the nominal one does, by name and not by turn."""
    share = float(generator(3, "family", "described", "gap_um").random())
    low, high = RANGES["gap_um"]
    for family in NAMES:
        assert families.draw(family, 3, 1)[0].die.gap_nominal_um == pytest.approx(low + share * (high - low))
