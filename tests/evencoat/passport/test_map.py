"""The map: what two gauges saw of a web that is known, and how honest the intervals are about it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.response import lip_matrix, local_gain_per_um
from controller.line.description import Array
from evencoat.passport import Assumed, Made, Named, Told
from evencoat.passport.scrap import Mark, cut_out, marks, stretches
from evencoat.passport.smooth import Readings, Walk, likeliest, smoothed, split
from evencoat.passport.web import Web
from evencoat.passport.weigh import cosines, probability_out, weigh
from tests.evencoat.passport.conftest import HILL_FROM, HILL_TO, HILL_ZONES, NOISE, Story, true_log


def truth_pct(made: Made) -> np.ndarray:
    """Mean of each metre, (metres, zones)."""
    fine = np.arange(made.web.metres * 20) / 20.0 + 0.025 + made.web.first_m
    cells = true_log(fine, made.web.line.zones).reshape(made.web.metres, 20, -1).mean(axis=1)
    return 100.0 * np.expm1(cells)


def inside(made: Made) -> np.ndarray:
    return np.abs(made.roll_map.deviation_pct - truth_pct(made)) <= made.roll_map.half_width_pct


def test_intervals_hold_what_is_true_and_the_wet_gauges_offset_is_found(made: Callable[..., Made]) -> None:
    whole = made()
    assert 0.93 < inside(whole).mean() <= 1.0
    error = whole.roll_map.deviation_pct - truth_pct(whole)
    assert float(np.sqrt((error**2).mean())) < 0.5 * 100.0 * NOISE[0]  # better than one wet scan, which stands 1 % off
    assert abs(float(error.mean())) < 0.03
    told = whole.record.uncertainty
    assert told.wet_noise_pct == pytest.approx(100.0 * NOISE[0], rel=0.3)
    assert told.dry_noise_pct == pytest.approx(100.0 * NOISE[1], rel=0.4)


@pytest.mark.parametrize("gauge", ["wet", "dry"])
def test_where_a_gauge_is_silent_intervals_grow_and_still_hold(made: Callable[..., Made], gauge: str) -> None:
    silent = {"wet": Story(wet_silent=(60.0, 110.0)), "dry": Story(dry_silent=(60.0, 110.0))}[gauge]
    map_, quiet, gap = made(silent).roll_map, slice(20, 50), slice(70, 100)
    assert map_.half_width_pct[gap].mean() > 1.1 * map_.half_width_pct[quiet].mean()
    assert inside(made(silent))[gap].mean() > 0.9


def test_less_is_known_where_the_web_is_steep_and_where_it_begins(made: Callable[..., Made]) -> None:
    random = made().roll_map.random
    flat = float(np.median(random[160:180]))
    assert random[HILL_FROM - 1 : HILL_FROM + 1, HILL_ZONES.start].max() > 1.5 * flat
    assert random[0].min() > 1.5 * random[40].max() and random[30].max() < 1.5 * flat


def test_lips_that_the_journal_saw_move_do_not_blur_the_web(made: Callable[..., Made]) -> None:
    web = copy.deepcopy(made().web)
    web.line = line = replace(web.line, lips=replace(web.line.lips, backlash_um=0.0))
    steps = np.random.default_rng(8).normal(0.0, 3.0, (web.metres, line.zones))
    steps[:50], steps[90:] = 0.0, 0.0
    moves = steps.cumsum(axis=0)
    effect = moves @ lip_matrix(line.die).T * local_gain_per_um(line)
    effect -= effect.mean(axis=1, keepdims=True)
    for seen in (web.wet, web.dry):
        assert seen is not None
        seen.total += (effect * seen.count).astype(np.float32)
    errors = []
    for known in (False, True):
        web.laid.gap_um[:] = line.die.gap_nominal_um + known * moves
        found = weigh(web, systematic_pct=0.0)
        error = found.log - effect - np.log1p(0.01 * truth_pct(made()))
        errors.append((np.sqrt(np.mean(error[50:90] ** 2)), np.median(found.random[50:90])))
    assert errors[1][0] < 0.7 * errors[0][0]
    assert errors[1][1] < errors[0][1]


def pulsing(web: Web, pulses: float, length_m: float = 0.25) -> tuple[Web, Array]:
    """The same web under a pump that pulses, in waves of 2.4 m, as the wet gauge saw it; and each metre's wave."""
    seen = web.wet
    assert seen is not None
    scans = sum(one.log.size for one in seen.means)
    wave = pulses * np.sin(2.0 * np.pi * length_m * 0.41 * np.arange(scans))
    at = 0
    for k, one in enumerate(seen.means):
        seen.means[k] = one._replace(log=one.log + wave[at : at + one.log.size])
        at += one.log.size
    metres = pulses * np.sin(2.0 * np.pi * 0.41 * np.arange(web.metres)) * np.sinc(0.41)
    seen.total += (metres[:, None] * seen.count).astype(np.float32)
    return web, metres


@pytest.mark.parametrize("pulses", [0.0, 0.003])
def test_a_pump_that_pulses_is_in_the_map_and_widens_its_intervals(made: Callable[..., Made], pulses: float) -> None:
    web, metres = pulsing(copy.deepcopy(made().web), pulses)
    calm, swift = made().roll_map, weigh(web, systematic_pct=0.0)
    seen = slice(20, web.metres - 60)
    followed = (swift.mean_log - calm.mean_log)[seen]
    assert np.std(followed - metres[seen]) < 0.35 * np.std(metres) + 1e-5
    wider = float(np.median(np.sqrt(np.maximum(swift.random**2 - calm.random**2, 0.0))))
    assert 0.75 * np.std(metres) <= wider + 1e-5 <= np.std(metres) + 2e-5


def test_a_gauge_that_jumps_for_a_metre_is_no_pulsation(made: Callable[..., Made]) -> None:
    web, _ = pulsing(copy.deepcopy(made().web), 0.003)
    assert web.wet is not None
    before = weigh(web, systematic_pct=0.0).mean_log
    web.wet.total[70] += 0.05 * web.wet.count[70]
    assert np.abs(weigh(web, systematic_pct=0.0).mean_log - before).max() < 0.6 * 0.05


def test_passes_of_a_head_that_traverses_tell_nothing_of_pulsation(made: Callable[..., Made]) -> None:
    web = copy.deepcopy(made().web)
    assert web.wet is not None and web.dry is not None and not web.dry.means
    for k, one in enumerate(web.wet.means):
        wave = 0.01 * np.sin(np.arange(one.log.size))
        web.wet.means[k] = one._replace(log=one.log + wave, length_m=np.full(one.log.size, 12.0))
    passes = weigh(web, systematic_pct=0.0)
    assert np.median(passes.random) <= np.median(made().roll_map.random)
    assert np.abs(passes.mean_log - made().roll_map.mean_log)[20:].max() < 0.002


def test_where_the_journal_lacks_a_bolt_the_web_is_weighed_without(made: Callable[..., Made]) -> None:
    web = copy.deepcopy(made().web)
    web.laid.gap_um[:, 3] = np.nan
    assert np.isfinite(weigh(web).log).all()


def test_where_both_are_silent_nothing_is_claimed(made: Callable[..., Made]) -> None:
    blind = made(Story(wet_silent=(60.0, 110.0), dry_silent=(60.0, 110.0)))
    assert (blind.roll_map.seen[65:105] == 0.0).all() and blind.roll_map.coated.all()
    assert blind.roll_map.half_width_pct[85].min() > 2.0 * blind.roll_map.half_width_pct[30].max()
    assert "No gauge saw" in " ".join(blind.record.notes)


def test_bare_foil_is_told_from_a_gauge_that_is_silent(made: Callable[..., Made]) -> None:
    bare = made(Story(bare=(80.0, 90.0)))
    assert not bare.roll_map.coated[81:89].any() and bare.roll_map.coated[:79].all() and bare.roll_map.coated[91:].all()
    assert not bare.marked[81:89].any()
    assert bare.record.figures.bare_m == pytest.approx(10.0, abs=2.0)


def test_a_reading_that_jumps_out_and_that_the_other_gauge_does_not_know_is_an_error(made: Callable[..., Made]) -> None:
    with_spike, without = made(Story(spike_at=(200.125, 0.3))), made()
    assert len(with_spike.web.wet.spikes if with_spike.web.wet else []) == 1
    cell = np.abs(with_spike.roll_map.deviation_pct - without.roll_map.deviation_pct)[198:203, 2]
    assert cell.max() < 0.2


def test_the_lump_is_marked_where_it_lies_and_named(made: Callable[..., Made]) -> None:
    whole = made(known=Told(causes=(Named(100, 140, (5,), "a clogged lane"),)))
    true = np.abs(truth_pct(whole)) > whole.record.target.tolerance_pct
    assert whole.marked[true].mean() > 0.99
    assert whole.marked.sum() <= 1.2 * true.sum()
    (lump,) = [one for one in whole.record.stretches if one.from_m > 60]
    assert (lump.first_lane, lump.last_lane) == (HILL_ZONES.start + 1, HILL_ZONES.stop)
    assert lump.from_m == pytest.approx(HILL_FROM, abs=1) and lump.to_m == pytest.approx(HILL_TO, abs=1)
    assert lump.cause == "a clogged lane"
    mark = next(mark for mark in whole.record.scrap if mark.lane == lump.first_lane and mark.from_m >= lump.from_m)
    assert mark.from_end_m == whole.web.metres - mark.to_m and mark.to_mm - mark.from_mm == pytest.approx(30.0)


def test_a_zone_that_is_missing_does_not_move_the_mean() -> None:
    shape = np.array([-3.0, 1.0, 0.0, 2.0])
    values, counts = np.tile(shape + 5.0, (50, 1)), np.ones((50, 4))
    counts[10:20, 0] = 0.0
    mean, deviation, usual = split(values, counts)
    assert mean == pytest.approx(5.0) and usual == pytest.approx(shape)
    assert np.isnan(deviation[12, 0]) and deviation[12, 3] == pytest.approx(2.0)


def test_the_smoother_is_the_least_squares_answer() -> None:
    """Against the same sum of squares written as one matrix."""
    rng, n = np.random.default_rng(1), 12
    walk = Walk(x=0.02, o=0.003, wet=0.05, dry=0.04)
    wet, dry = rng.normal(size=(n, 1)), rng.normal(size=(n, 1))
    dry[3:6] = np.nan
    readings = Readings(wet, np.ones((n, 1)), dry, np.full((n, 1), 2.0))
    # rounds of finding the local walk would move the variances; one pass over given ones is what is compared
    from evencoat.passport import smooth

    found = smooth._both_ways(readings, walk)[0]
    precision, right = np.zeros((2 * n, 2 * n)), np.zeros(2 * n)

    def add(row: np.ndarray, value: float, variance: float) -> None:
        precision[:] += np.outer(row, row) / variance
        right[:] += row * value / variance

    unit = np.eye(2 * n)
    add(unit[0], 0.0, smooth.PRIOR_X + 0.02)
    add(unit[n], 0.0, smooth.PRIOR_O + 0.003)
    for k in range(n):
        if k:
            add(unit[k] - unit[k - 1], 0.0, 0.02)
            add(unit[n + k] - unit[n + k - 1], 0.0, 0.003)
        add(unit[k] + unit[n + k], float(wet[k, 0]), 0.05)
        if np.isfinite(dry[k, 0]):
            add(unit[k], float(dry[k, 0]), 0.02)
    cov = np.linalg.inv(precision)
    assert found[:, 0, 0] == pytest.approx((cov @ right)[:n]) and found[:, 0, 2] == pytest.approx((cov @ right)[n:])
    assert found[:, 0, 1] == pytest.approx(np.diag(cov)[:n])


def test_noise_and_pace_are_found_in_the_data() -> None:
    rng, n, channels = np.random.default_rng(2), 1200, 8
    x = np.cumsum(rng.normal(0, 0.001, (n, channels)), axis=0)
    o = np.cumsum(rng.normal(0, 0.0002, (n, channels)), axis=0)
    ones = np.ones((n, channels))
    readings = Readings(x + o + rng.normal(0, 0.003, x.shape), ones, x + rng.normal(0, 0.002, x.shape), ones)
    walk = likeliest(readings, Walk(x=1e-7, o=1e-9, wet=3e-5, dry=1e-5))
    assert np.sqrt([walk.wet, walk.dry, walk.x]) == pytest.approx([0.003, 0.002, 0.001], rel=0.25)
    found = smoothed(readings, walk)
    assert (np.abs(found.x - x) < 1.96 * np.sqrt(found.variance)).mean() == pytest.approx(0.95, abs=0.02)


def test_chances_are_those_of_the_normal_distribution(made: Callable[..., Made]) -> None:
    map_ = made().roll_map
    chance = probability_out(map_, 2.0)
    assert ((chance >= 0.0) & (chance <= 1.0)).all()
    map_ = type(map_)(**{name: getattr(map_, name) for name in map_.__slots__})
    map_.log = np.log1p(np.array([[0.02, 0.0, 0.03]], dtype=np.float32))
    map_.random, map_.systematic = np.full((1, 3), 0.01, np.float32), np.zeros((1, 1), np.float32)
    assert probability_out(map_, 2.0)[0] == pytest.approx([0.500032, 0.0455003, 0.841345], abs=1e-5)


def test_marks_and_stretches_are_the_cells_that_hang_together() -> None:
    cells = np.zeros((60, 4), dtype=bool)
    cells[10:20, 1] = cells[18:25, 2] = cells[40:41, 3] = cells[22:24, 0] = True
    assert marks(cells) == [Mark(0, 22, 24), Mark(1, 10, 20), Mark(2, 18, 25), Mark(3, 40, 41)]
    first, second = stretches(cells, np.where(cells, -3.0, 0.0).astype(np.float32))
    assert (first.from_m, first.to_m, first.first_zone, first.last_zone, first.cells) == (10, 25, 0, 2, 19)
    assert (second.from_m, second.to_m, second.cells, second.worst_pct) == (40, 41, 1, -3.0)


def cut_all(cells: np.ndarray, piece_m: int) -> list[Mark]:
    return marks(cut_out(cells.astype(np.float32), np.ones(len(cells), dtype=bool), 1e-6, piece_m))


def test_pieces_take_what_is_too_short_to_use_and_nothing_shorter_is_cut() -> None:
    cells = np.zeros((100, 2), dtype=bool)
    cells[[0, 30, 37, 99], 0] = True
    cells[50:70, 1] = True
    first, middle, last, long = cut_all(cells, 10)
    assert (first, last, long) == (Mark(0, 0, 10), Mark(0, 90, 100), Mark(1, 50, 70))
    assert middle.to_m - middle.from_m == 10 and middle.from_m <= 30 and middle.to_m >= 38
    assert cut_all(cells[:6], 10) == [Mark(0, 0, 6)]


def allowed(lane: tuple[bool, ...], piece_m: int) -> bool:
    """Whether no cut is shorter than a piece, nor anything between two."""
    cut = marks(np.array(lane)[:, None])
    return all(mark.to_m - mark.from_m >= min(piece_m, len(lane)) for mark in cut) and all(
        after.from_m - before.to_m >= piece_m for before, after in pairwise(cut)
    )


@given(st.lists(st.floats(0.0, 1.0, width=32), min_size=1, max_size=9), st.integers(1, 5), st.floats(0.01, 0.5))
def test_no_other_way_to_cut_is_better(chances: list[float], piece_m: int, bound: float) -> None:
    chance = np.array(chances, dtype=np.float32)[:, None]
    cut = cut_out(chance, np.ones(len(chances), dtype=bool), bound, piece_m)[:, 0]
    gain = chance[:, 0].astype(np.float64) - bound
    best = max(gain[list(way)].sum() for way in product((False, True), repeat=len(chances)) if allowed(way, piece_m))
    assert allowed(tuple(cut.tolist()), piece_m) and gain[cut].sum() == pytest.approx(best, abs=1e-9)


def test_bare_foil_is_cut_only_between_what_is_bad() -> None:
    chance, coated = np.zeros((60, 1), np.float32), np.ones(60, dtype=bool)
    coated[20:25] = coated[40:] = False
    chance[15:20] = chance[25:30] = chance[40:] = 1.0
    assert marks(cut_out(chance, coated, 0.1, 10)) == [Mark(0, 15, 30)]


def test_a_passport_says_what_is_cut_and_what_of_it_is_in_doubt(made: Callable[..., Made]) -> None:
    pieces, cells = made(assumed=Assumed(0.0, piece_m=40)), made(assumed=Assumed(0.0, piece_m=1))
    assert (pieces.doubtful == cells.marked).all() and pieces.record.stretches == cells.record.stretches
    assert pieces.record.figures.doubtful_share == cells.record.figures.scrap_share
    assert pieces.record.figures.scrap_share > cells.record.figures.scrap_share
    assert min(mark.to_m - mark.from_m for mark in pieces.record.scrap) >= 40.0


def test_waves_across_the_web_are_orthonormal_and_the_first_is_the_mean() -> None:
    waves = cosines(7)
    assert waves @ waves.T == pytest.approx(np.eye(7)) and waves[0] == pytest.approx(7**-0.5)


def test_where_a_gauge_misses_a_zone_for_long_the_zones_are_smoothed_themselves(made: Callable[..., Made]) -> None:
    whole = copy.deepcopy(made().web)
    assert whole.wet is not None
    whole.wet.total[:, 3] = whole.wet.count[:, 3] = 0.0
    torn = weigh(whole, 0.0)
    error = np.abs(torn.deviation_pct - truth_pct(made()))
    assert torn.half_width_pct[60:, 3].mean() > 1.05 * torn.half_width_pct[60:, 8].mean()
    assert (error <= torn.half_width_pct)[:, 3].mean() > 0.9
