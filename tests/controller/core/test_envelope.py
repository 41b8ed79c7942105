"""The envelope, tried by adversaries and judged by a checker that shares nothing with it.

A line's limits are tested by a class that inherits EnvelopeBattery and restates them by hand (tests/safety).
"""

import math
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from controller.core.envelope import Applied, Envelope, certify
from controller.line.command import Limit, UncertifiedCommand
from controller.line.description import Array, LipLimits
from tests.factories import make_line

LINES = Path(__file__).parents[3] / "lines"
HAIR = 1e-6
RATIO = 112.0


def make_envelope(lips: LipLimits, trim_max_pct: float = 8.0, trim_rate_pct_per_s: float = 0.5) -> Envelope:
    return Envelope(lips, trim_max_pct=trim_max_pct, trim_rate_pct_per_s=trim_rate_pct_per_s, ratio_rpm_per_mps=RATIO)


def go(lips: LipLimits, wish_um: Array, last_um: Array, dt_s: float) -> tuple[Array, tuple[Limit, ...]]:
    """One certified lip command; the pump stands."""
    command, limits, _ = certify(
        make_envelope(lips), UncertifiedCommand(wish_um, RATIO, 0.0), Applied(last_um, RATIO, 0.0), dt_s, 7
    )
    assert command.valid_until_cycle == 7
    return command.gap_um, limits


def offences(lips: LipLimits, last: Array, now: Array, dt_s: float) -> list[str]:
    """What is wrong with a command, bolt by bolt. A limit that `last` already breaks may not be broken any further."""
    found = []
    before, after = last.tolist(), now.tolist()
    for i, gap in enumerate(after):
        if not math.isfinite(gap):
            found.append(f"bolt {i} is {gap}")
            continue
        if abs(gap / lips.command_step_um - round(gap / lips.command_step_um)) > HAIR:
            found.append(f"bolt {i} at {gap} is off the grid")
        if abs(gap - before[i]) > lips.rate_um_per_s * dt_s + HAIR:
            found.append(f"bolt {i} moves {gap - before[i]}")
        if not min(lips.gap_min_um, before[i]) - HAIR <= gap <= max(lips.gap_max_um, before[i]) + HAIR:
            found.append(f"bolt {i} at {gap} is out of range")
    for i in range(len(after) - 1):
        found += _worse(f"neighbours {i}", lips.neighbour_max_um, before[i + 1] - before[i], after[i + 1] - after[i])
    for i in range(1, len(after) - 1):
        was, now_is = (x[i - 1] - 2 * x[i] + x[i + 1] for x in (before, after))
        found += _worse(f"bend at {i}", lips.bend_max_um, was, now_is)
    return found


def _worse(name: str, limit: float, was: float, now: float) -> list[str]:
    if min(-limit, was) - HAIR <= now <= max(limit, was) + HAIR:
        return []
    return [f"{name}: {now} after {was}, limit {limit}"]


def on_grid(lips: LipLimits, gap_um: Array) -> Array:
    return np.round(gap_um / lips.command_step_um) * lips.command_step_um


def feasible(lips: LipLimits, rng: np.random.Generator, zones: int, share: float = 1.0) -> Array:
    """A lip on the grid that meets `share` of the neighbour and bend limits, and lies often right on one."""
    shape = {
        0: lambda: rng.uniform(-1.0, 1.0, zones),
        1: lambda: rng.choice([-1.0, 1.0], zones),
        2: lambda: rng.normal(size=zones).cumsum(),
        3: lambda: np.linspace(-1.0, 1.0, zones),
        4: lambda: np.abs(np.arange(zones) / max(1, rng.integers(1, zones + 1)) % 2.0 - 1.0),
        5: lambda: np.eye(zones)[rng.integers(zones)],
    }[int(rng.integers(6))]()
    scales = [
        share * limit / np.abs(np.diff(shape, order)).max(initial=1e-9)
        for order, limit in ((1, lips.neighbour_max_um), (2, lips.bend_max_um))
    ]
    width_um = lips.gap_max_um - lips.gap_min_um
    span = max(float(np.ptp(shape)), 1e-9)
    scale = min(*scales, width_um / span)
    for shrink in (1.0, 0.98, 0.9, 0.7):
        gap = shape * scale * shrink
        low, high = lips.gap_min_um - gap.min(), lips.gap_max_um - gap.max()
        gap = on_grid(lips, gap + low + (high - low) * rng.uniform())
        flat = np.full(zones, lips.gap_min_um)
        if not offences(replace(lips, rate_um_per_s=1e9), flat, gap, 1.0):
            return gap
    return np.full(zones, on_grid(lips, np.array(lips.gap_min_um + 0.5 * width_um)))


@st.composite
def lip_limits(draw: st.DrawFn, bend_from: int = 3) -> LipLimits:
    """Limits in whole counts: from a lip that can hardly be bent to one that is hardly limited."""
    count = draw(st.sampled_from([0.05, 0.1, 0.2, 0.5]))
    low = draw(st.integers(500, 5000))
    return LipLimits(
        gap_min_um=low * count,
        gap_max_um=(low + draw(st.integers(0, 2500))) * count,
        rate_um_per_s=draw(st.sampled_from([1, 2, 5, 20, 300])) * count * 10.0,
        resolution_um=count,
        backlash_um=0.5,
        neighbour_max_um=draw(st.sampled_from([1, 3, 10, 50, 500])) * count,
        bend_max_um=draw(st.sampled_from([bend_from, 5, 20, 100, 700])) * count,
        command_step_um=count,
    )


seeds = st.integers(0, 2**32 - 1)
zone_counts = st.sampled_from([1, 2, 3, 4, 5, 8, 13, 40])
cycles_s = st.sampled_from([0.0, 0.1, 0.11, 0.3, 1.0, 600.0])
wild = st.sampled_from(["random", "far", "spike", "zigzag", "nan", "inf", "huge", "feasible"])


def wild_wish(kind: str, lips: LipLimits, rng: np.random.Generator, zones: int) -> Array:
    width = lips.gap_max_um - lips.gap_min_um + 1.0
    wish = rng.uniform(lips.gap_min_um, lips.gap_max_um + HAIR, zones)
    bolt = int(rng.integers(zones))
    if kind == "feasible":
        return feasible(lips, rng, zones)
    if kind == "far":
        wish += rng.normal(size=zones) * 10.0 * width
    if kind == "spike":
        wish = np.where(np.arange(zones) == bolt, lips.gap_max_um, lips.gap_min_um)
    if kind == "zigzag":
        wish = np.where(np.arange(zones) % 2 == 0, lips.gap_max_um, lips.gap_min_um)
    if kind in ("nan", "inf", "huge"):
        value = {"nan": np.nan, "inf": np.inf, "huge": 1e308}[kind]
        wish[rng.uniform(size=zones) < 0.5] = value
        wish[bolt] = -value
    return wish


def violated_start(lips: LipLimits, rng: np.random.Generator, zones: int) -> Array:
    """Bolts as somebody left them: scattered about a feasible lip, out of range, neighbour and bend limits or not."""
    scatter = rng.choice([1.0, 10.0, 100.0]) * lips.command_step_um
    return on_grid(lips, feasible(lips, rng, zones) + rng.normal(size=zones) * scatter)


# ------------------------------------------------------------------------------------------------ properties


@settings(max_examples=300, deadline=None)
@given(lip_limits(bend_from=0), seeds, zone_counts, cycles_s, wild, st.booleans())
def test_every_command_is_finite_on_the_grid_and_inside_every_limit(lips, seed, zones, dt_s, kind, healthy):
    rng = np.random.default_rng(seed)
    last = feasible(lips, rng, zones) if healthy else violated_start(lips, rng, zones)
    wish = wild_wish(kind, lips, rng, zones)
    now, _ = go(lips, wish, last, dt_s)
    assert offences(lips, last, now, dt_s) == []


@settings(max_examples=60, deadline=None)
@given(lip_limits(), seeds, zone_counts, st.lists(wild, min_size=3, max_size=12), st.booleans())
def test_no_sequence_of_wishes_leads_out(lips, seed, zones, kinds, healthy):
    """Rounding may not ratchet: each command is judged against the one before, and against the limits at the end."""
    rng = np.random.default_rng(seed)
    last = feasible(lips, rng, zones) if healthy else violated_start(lips, rng, zones)
    for kind in kinds:
        now, _ = go(lips, wild_wish(kind, lips, rng, zones), last, 0.1)
        assert offences(lips, last, now, 0.1) == []
        last = now
    if healthy:
        nowhere = np.full(zones, lips.gap_min_um)
        assert offences(replace(lips, rate_um_per_s=1e9), nowhere, last, 1.0) == []


def walk(lips: LipLimits, start: Array, target: Array, dt_s: float, most: int) -> tuple[Array, int]:
    """Repeat the same wish until nothing moves any more; the checker watches every command."""
    last = start
    for cycle in range(most):
        now, _ = go(lips, target, last, dt_s)
        assert offences(lips, last, now, dt_s) == []
        if (now == last).all():
            return last, cycle
        last = now
    return last, most


@settings(max_examples=150, deadline=None)
@given(lip_limits(), seeds, st.sampled_from([2, 3, 5, 8, 16]), st.sampled_from([0.1, 0.3]), st.booleans())
def test_a_standing_feasible_wish_is_reached(lips, seed, zones, dt_s, healthy):
    """No deadlock on the way, from anywhere: the property that limits on neighbours break first."""
    rng = np.random.default_rng(seed)
    start = feasible(lips, rng, zones) if healthy else violated_start(lips, rng, zones)
    target = feasible(lips, rng, zones)
    way = np.abs(target - start).max() / (lips.rate_um_per_s * dt_s)
    if way > 400.0:
        dt_s *= math.ceil(way / 400.0)
        way = np.abs(target - start).max() / (lips.rate_um_per_s * dt_s)
    reached, cycles = walk(lips, start, target, dt_s, most=int(4.0 * way) + 60)
    assert np.abs(reached - target).max() < 0.5 * lips.command_step_um
    assert cycles >= math.floor(way)


@pytest.mark.parametrize("zones", [5, 16, 40])
@pytest.mark.parametrize("neighbour_um", [3.0, 50.0])
@pytest.mark.parametrize("bend_um", [3.0, 20.0, 70.0])
def test_a_lip_on_its_limits_everywhere_can_turn_inside_out(zones, neighbour_um, bend_um):
    """From the sharpest zigzag to its mirror image: at both ends and often between, every bolt stands on a limit."""
    lips = LipLimits(480.0, 720.0, 5.0, 0.2, 0.5, neighbour_um, bend_um, 0.1)
    size = math.floor(10.0 * min(neighbour_um / 2.0, bend_um / 4.0)) / 10.0
    zigzag = np.where(np.arange(zones) % 2 == 0, size, -size)
    start, target = on_grid(lips, 600.0 + zigzag), on_grid(lips, 600.0 - zigzag)
    reached, cycles = walk(lips, start, target, 0.1, most=600)
    np.testing.assert_allclose(reached, target, atol=HAIR)
    assert cycles <= math.ceil(2.0 * size / 0.5) + 1


def test_a_stall_of_the_ray_is_walked_around():
    """Lip, limits and wish with which walking only straight at a projected wish stood still for ever."""
    lips = LipLimits(480.0, 720.0, 10.0, 0.2, 0.5, 50.0, 20.0, 0.1)
    start = np.array([500.0, 550.0, 600.0, 650.0, 700.0])
    target = np.array([700.0, 650.0, 600.0, 550.0, 500.0])
    reached, cycles = walk(lips, start, target, 0.5, most=200)
    np.testing.assert_allclose(reached, target, atol=HAIR)
    assert cycles == 40  # 200 um at 5 um a command: at full rate all the way


def test_where_no_rounding_of_a_full_step_fits_a_smaller_one_is_taken():
    """A stiff lip of eleven bolts found bent far beyond its limit: a search over many found this one."""
    lips = LipLimits(480.0, 720.0, 3.0, 0.2, 0.5, 3.0, 0.2, 0.1)
    start = np.array([697.8, 690.9, 692.0, 697.8, 690.2, 682.4, 672.4, 662.2, 651.8, 666.3, 682.8])
    target = np.where(np.arange(11) == 7, 697.9, 697.8)
    reached, _ = walk(lips, start, target, 0.1, most=400)
    np.testing.assert_allclose(reached, target, atol=HAIR)


def test_bolts_that_arrive_at_different_times_do_not_bend_the_lip_on_the_way():
    """Each at its own full rate, the middle bolt would be there first and leave the lip bent the other way, by 30."""
    lips = LipLimits(480.0, 720.0, 300.0, 0.2, 0.5, 100.0, 25.0, 0.1)
    start, target = np.array([600.0, 600.0, 630.0]), np.array([670.0, 630.0, 600.0])
    now, limits = go(lips, target, start, 0.1)
    assert offences(lips, start, now, 0.1) == []
    assert limits == (Limit.RATE, Limit.BEND)
    assert now[0] == pytest.approx(630.0)  # and yet the furthest goes at full rate
    spike, limits = go(lips, np.array([670.0, 630.0, 500.0]), start, 0.1)
    assert offences(lips, start, spike, 0.1) == []
    assert sorted(limits) == [Limit.BEND, Limit.NEIGHBOUR, Limit.RATE]


@settings(max_examples=100, deadline=None)
@given(lip_limits(), seeds, zone_counts, wild)
def test_a_standing_wish_comes_to_rest_and_asking_again_changes_nothing(lips, seed, zones, kind):
    """Idempotent: whatever is wished for, the lip arrives somewhere allowed and stays there without chatter."""
    rng = np.random.default_rng(seed)
    wish = wild_wish(kind, lips, rng, zones)
    first, _ = go(lips, wish, feasible(lips, rng, zones), 600.0)
    rest, _ = walk(lips, first, wish, 600.0, most=60)
    again, _ = go(lips, wish, rest, 600.0)
    np.testing.assert_array_equal(again, rest)
    nowhere = np.full(zones, lips.gap_min_um)
    assert offences(replace(lips, rate_um_per_s=1e9), nowhere, rest, 1.0) == []


@settings(max_examples=150, deadline=None)
@given(lip_limits(), seeds, zone_counts)
def test_a_wish_within_all_limits_and_one_step_is_granted_to_half_a_count(lips, seed, zones):
    rng = np.random.default_rng(seed)
    last, target = feasible(lips, rng, zones), feasible(lips, rng, zones)
    longest_um = max(float(np.abs(target - last).max()), lips.command_step_um)
    now, limits = go(lips, target, last, 1.001 * longest_um / lips.rate_um_per_s)
    np.testing.assert_allclose(now, target, atol=0.5 * lips.command_step_um + HAIR)
    assert limits == ()


@settings(max_examples=150, deadline=None)
@given(lip_limits(), seeds, zone_counts, cycles_s)
def test_wishing_for_what_stands_moves_nothing(lips, seed, zones, dt_s):
    last = feasible(lips, np.random.default_rng(seed), zones)
    now, limits = go(lips, last, last, dt_s)
    np.testing.assert_array_equal(now, on_grid(lips, last))
    assert limits == ()


@settings(max_examples=150, deadline=None)
@given(lip_limits(), seeds, zone_counts, wild, cycles_s)
def test_an_altered_wish_is_reported(lips, seed, zones, kind, dt_s):
    rng = np.random.default_rng(seed)
    last, wish = feasible(lips, rng, zones), wild_wish(kind, lips, rng, zones)
    envelope, applied = make_envelope(lips), Applied(last, RATIO, 0.0)
    command, limits, changed = certify(envelope, UncertifiedCommand(wish, RATIO, 0.0), applied, dt_s, 0)
    away_counts = np.abs(command.gap_um - np.clip(wish, -1e9, 1e9)) / lips.command_step_um
    assert limits or (away_counts <= 0.5 + HAIR).all()
    if np.isfinite(wish).all():
        assert np.count_nonzero(away_counts > 0.52) <= changed <= np.count_nonzero(away_counts > 0.50)
        assert Limit.FINITE not in limits
    else:
        np.testing.assert_array_equal(command.gap_um, on_grid(lips, last))
        assert limits == (Limit.FINITE,)
    assert len(set(limits)) == len(limits)


@pytest.mark.parametrize("zones", [1, 3, 16])
@pytest.mark.parametrize("side_um", [-150.0, 0.0, 150.0])
@pytest.mark.parametrize("edge_um", [0.0, 55.5])
@pytest.mark.parametrize("spike_um", [0.0, 40.0])
def test_found_outside_limits_each_violation_shrinks_until_it_is_gone(zones, side_um, edge_um, spike_um):
    """A die left out of range, with an edge beyond the neighbour limit and a bolt beyond the bend limit."""
    lips = LipLimits(480.0, 720.0, 5.0, 0.2, 0.5, 20.0, 25.0, 0.1)
    bolts = np.arange(zones)
    start = 600.0 + side_um + edge_um * (bolts >= zones // 2) + spike_um * (bolts == zones // 2)
    reached, cycles = walk(lips, start, np.full(zones, 600.0), 0.5, most=200)
    np.testing.assert_allclose(reached, 600.0, atol=HAIR)
    assert cycles == math.ceil(np.abs(start - 600.0).max() / 2.5)


def test_units_scale():
    """The same lip in tenths: all lengths times ten give the command times ten."""
    rng = np.random.default_rng(3)
    small = LipLimits(48.0, 72.0, 0.5, 0.2, 0.5, 5.0, 7.0, 0.01)
    large = LipLimits(480.0, 720.0, 5.0, 0.2, 0.5, 50.0, 70.0, 0.1)
    for _ in range(20):
        last, wish = feasible(large, rng, 12), rng.uniform(400.0, 800.0, 12)
        np.testing.assert_allclose(10.0 * go(small, wish / 10.0, last / 10.0, 1.0)[0], go(large, wish, last, 1.0)[0])


# ---------------------------------------------------------------------------------------------------- pump


number = st.floats(allow_nan=True, allow_infinity=True)


@settings(max_examples=300, deadline=None)
@given(number, number, st.floats(-50.0, 50.0), cycles_s)
@example(RATIO, 3.0, math.nan, 0.1)
@example(RATIO, 3.0, 1e300, 0.1)
def test_the_pump_keeps_the_recipes_ratio_and_its_trim_stays_in_range_and_rate(ratio, trim, last_trim, dt_s):
    envelope, gap = make_envelope(make_line(3).lips), np.full(3, 600.0)
    command, limits, _ = certify(
        envelope, UncertifiedCommand(gap, ratio, trim), Applied(gap, RATIO, last_trim), dt_s, 0
    )
    assert math.isfinite(command.pump_trim_pct)
    if abs(last_trim) > 1e6:
        return
    last_trim = 0.0 if math.isnan(last_trim) else last_trim
    now = command.pump_trim_pct
    assert command.pump_ratio_rpm_per_mps == RATIO
    assert min(-8.0, last_trim) - 5.01e-4 <= now <= max(8.0, last_trim) + 5.01e-4
    assert abs(now - last_trim) <= 0.5 * dt_s + 5.01e-4
    assert abs(now / 0.001 - round(now / 0.001)) < 1e-3
    if not (math.isfinite(trim) and math.isfinite(ratio)):
        assert Limit.FINITE in limits
    elif abs(now - trim) > 1e-3:
        assert set(limits) & {Limit.PUMP_RANGE, Limit.PUMP_RATE}


@pytest.mark.parametrize(
    ("wish", "last", "reached", "limit"),
    [
        (1.0, 0.0, 0.05, Limit.PUMP_RATE),
        (-1.0, 0.0, -0.05, Limit.PUMP_RATE),
        (0.04, 0.0, 0.04, None),
        (9.0, 8.0, 8.0, Limit.PUMP_RANGE),
        (-9.0, -8.0, -8.0, Limit.PUMP_RANGE),
        (0.0, 12.0, 11.95, Limit.PUMP_RATE),
    ],
)
def test_pump_trim_by_hand(wish, last, reached, limit):
    envelope, gap = make_envelope(make_line(3).lips), np.full(3, 600.0)
    command, limits, _ = certify(envelope, UncertifiedCommand(gap, RATIO, wish), Applied(gap, RATIO, last), 0.1, 0)
    assert command.pump_trim_pct == pytest.approx(reached, abs=1e-9)
    assert limits == ((limit,) if limit else ())


def test_another_ratio_than_the_recipes_is_refused_and_said():
    envelope, gap = make_envelope(make_line(3).lips), np.full(3, 600.0)
    command, limits, _ = certify(envelope, UncertifiedCommand(gap, 100.0, 0.0), Applied(gap, RATIO, 0.0), 0.1, 0)
    assert (command.pump_ratio_rpm_per_mps, limits) == (RATIO, (Limit.PUMP_RANGE,))


def test_positions_that_are_no_numbers_still_give_a_command_in_range():
    lips = make_line(4).lips
    now, _ = go(lips, np.array([np.nan, 610.0, np.inf, 1e308]), np.array([np.nan, np.inf, -np.inf, 600.0]), 0.1)
    assert (now >= lips.gap_min_um).all()
    assert (now <= lips.gap_max_um).all()


def test_a_count_of_the_limits_is_rounded_to_the_safe_side():
    lips = LipLimits(480.05, 719.95, 1000.0, 0.2, 0.5, 50.05, 70.05, 0.1)
    assert go(lips, np.full(3, 0.0), np.full(3, 600.0), 1.0)[0].min() == pytest.approx(480.1)
    assert go(lips, np.full(3, 999.0), np.full(3, 600.0), 1.0)[0].max() == pytest.approx(719.9)
    edge = go(lips, np.array([600.0, 650.04]), np.full(2, 600.0), 1.0)[0]
    np.testing.assert_allclose(edge, [600.0, 650.0])


# ------------------------------------------------------------------------------------------ battery by line


@dataclass(frozen=True)
class Numbers:
    """A line's limits, written down by hand a second time."""

    file: str
    zones: int
    nominal_um: float
    gap_min_um: float
    gap_max_um: float
    step_um: float  # in one cycle
    neighbour_um: float
    bend_um: float
    trim_max_pct: float
    trim_step_pct: float


class EnvelopeBattery:
    """What every line's envelope must do. Inherit, restate the numbers, done."""

    numbers: Numbers

    @pytest.fixture
    def envelope(self) -> Envelope:
        file = tomllib.loads((LINES / self.numbers.file).read_text(encoding="utf-8"))
        lips = {name: file["lips"][name] for name in LipLimits.__dataclass_fields__}
        return make_envelope(LipLimits(**lips), file["pump"]["trim_max_pct"], file["pump"]["trim_rate_pct_per_s"])

    def run(self, envelope: Envelope, gap_um: Array, trim_pct: float = 0.0, cycles: int = 1) -> tuple[Array, float]:
        """Wish the same for some cycles, from a flat lip at nominal."""
        last = Applied(np.full(self.numbers.zones, self.numbers.nominal_um), RATIO, 0.0)
        for _ in range(cycles):
            command, _, _ = certify(envelope, UncertifiedCommand(gap_um, RATIO, trim_pct), last, 0.1, 0)
            last = Applied(command.gap_um, RATIO, command.pump_trim_pct)
        return last.gap_um, last.pump_trim_pct

    @property
    def enough(self) -> int:
        """Cycles from nominal to an end of the range, and a few."""
        return math.ceil((self.numbers.gap_max_um - self.numbers.nominal_um) / self.numbers.step_um) + 5

    @pytest.mark.parametrize("far_um", [-1e308, -1e4, 1e4, 1e308])
    def test_one_cycle_moves_one_step_and_no_more(self, envelope, far_um):
        gap_um, _ = self.run(envelope, np.full(self.numbers.zones, far_um))
        np.testing.assert_allclose(np.sign(far_um) * (gap_um - self.numbers.nominal_um), self.numbers.step_um)

    def test_the_range_is_reached_and_not_passed(self, envelope):
        high, _ = self.run(envelope, np.full(self.numbers.zones, 1e6), cycles=self.enough)
        low, _ = self.run(envelope, np.full(self.numbers.zones, -1e6), cycles=self.enough)
        np.testing.assert_allclose(high, self.numbers.gap_max_um)
        np.testing.assert_allclose(low, self.numbers.gap_min_um)

    def test_a_ramp_reaches_the_neighbour_limit_and_does_not_pass_it(self, envelope):
        ramp = self.numbers.nominal_um + np.clip(np.arange(self.numbers.zones) * 200.0 - 400.0, -300.0, 300.0)
        steps = np.abs(np.diff(self.run(envelope, ramp, cycles=self.enough)[0]))
        assert 0.9 * self.numbers.neighbour_um < steps.max() <= self.numbers.neighbour_um + HAIR

    def test_a_spike_reaches_the_bend_limit_and_does_not_pass_it(self, envelope):
        spike = self.numbers.nominal_um + 90.0 * (np.arange(self.numbers.zones) == self.numbers.zones // 2)
        bends = np.abs(np.diff(self.run(envelope, spike, cycles=self.enough)[0], 2))
        assert 0.95 * self.numbers.bend_um < bends.max() <= self.numbers.bend_um + HAIR

    @pytest.mark.parametrize("sign", [-1.0, 1.0])
    def test_the_trim_steps_and_stops(self, envelope, sign):
        stand = np.full(self.numbers.zones, self.numbers.nominal_um)
        assert self.run(envelope, stand, sign * 99.0)[1] == pytest.approx(sign * self.numbers.trim_step_pct)
        assert self.run(envelope, stand, sign * 99.0, cycles=200)[1] == pytest.approx(sign * self.numbers.trim_max_pct)

    @pytest.mark.parametrize("kind", ["nan", "inf", "huge", "far", "zigzag", "random", "frozen", "sign flip"])
    def test_an_adversary_breaks_nothing(self, envelope, kind):
        """Judged with the numbers restated here, not with those the envelope was built from."""
        n, rng = self.numbers, np.random.default_rng(11)
        limits = LipLimits(n.gap_min_um, n.gap_max_um, 10.0 * n.step_um, 0.0, 0.0, n.neighbour_um, n.bend_um, 0.1)
        last = Applied(np.full(n.zones, n.nominal_um), RATIO, 0.0)
        frozen = wild_wish("far", limits, rng, n.zones)
        for cycle in range(40):
            wish = {"frozen": frozen, "sign flip": frozen * (-1.0) ** cycle}.get(kind)
            wish = wild_wish(kind, limits, rng, n.zones) if wish is None else wish
            command, _, _ = certify(envelope, UncertifiedCommand(wish, RATIO, float(wish[0])), last, 0.1, 0)
            assert offences(limits, last.gap_um, command.gap_um, 0.1) == []
            assert abs(command.pump_trim_pct) <= n.trim_max_pct + HAIR
            assert abs(command.pump_trim_pct - last.pump_trim_pct) <= n.trim_step_pct + HAIR
            last = Applied(command.gap_um, RATIO, command.pump_trim_pct)


def test_an_envelope_takes_its_limits_from_the_line():
    line = make_line(8, lips={"gap_min_um": 500.0}, pump={"trim_max_pct": 5.0, "trim_rate_pct_per_s": 0.25})
    envelope = Envelope.of(line)
    assert envelope.lips is line.lips
    assert (envelope.trim_max_pct, envelope.trim_rate_pct_per_s) == (5.0, 0.25)
    assert envelope.ratio_rpm_per_mps == pytest.approx(line.pump_ratio_nominal_rpm_per_mps)
