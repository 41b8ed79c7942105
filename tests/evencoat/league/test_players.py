"""Everybody obeys the same limits, evens the web, and is found by name; the table says of them what was measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from controller.core import step as core
from controller.line.command import ActuatorCommand
from controller.line.profile import LineInputs
from evencoat.league import clairvoyant, field, table, tuning
from evencoat.league.informed import Informed, informed, true_statistics
from evencoat.league.laws import Osqp
from evencoat.league.metrics import Score
from evencoat.league.players import NAMES, PRACTICAL, TUNED, Tuning, player, tuned
from plant_sim.faults import Play
from plant_sim.slurry import blend

MATCH = field.draw("nominal", 4, 12.0)


class Judged:
    """Passes commands on and holds them against the limits of the description."""

    def __init__(self, name: str) -> None:
        self.player = player(name, MATCH, tuned())
        self.gaps: list[np.ndarray] = [np.full(MATCH.line.zones, MATCH.line.die.gap_nominal_um)]
        self.trims: list[float] = [0.0]

    def turn(self, inputs: LineInputs) -> ActuatorCommand | None:
        command = self.player.turn(inputs)
        if command is not None:
            self.gaps.append(command.gap_um)
            self.trims.append(command.pump_trim_pct)
        return command


@pytest.fixture(scope="module")
def nobody() -> Score:
    return field.play(MATCH, player("open", MATCH, {})).score


@pytest.mark.parametrize("name", [name for name in NAMES if name != "open"])
def test_everyone_evens_the_web_within_the_same_limits(name: str, nobody: Score) -> None:
    judged, lips = Judged(name), MATCH.line.lips
    played = field.play(MATCH, judged)
    gaps, trims = np.array(judged.gaps), np.array(judged.trims)
    assert np.abs(np.diff(gaps, axis=0)).max() <= lips.rate_um_per_s * field.TURN_S + 1e-6
    assert lips.gap_min_um <= gaps.min() and gaps.max() <= lips.gap_max_um
    assert np.abs(np.diff(gaps, axis=1)).max() <= lips.neighbour_max_um + 1e-6
    assert np.abs(np.diff(gaps, 2, axis=1)).max() <= lips.bend_max_um + 1e-6
    assert np.abs(np.diff(trims)).max() <= MATCH.line.pump.trim_rate_pct_per_s * field.TURN_S + 1e-6
    share = 0.95 if name == "hand" else 0.4
    assert played.score.sigma_total_pct < share * nobody.sigma_total_pct


def test_nobody_is_called_so() -> None:
    with pytest.raises(KeyError, match="nobody is called 'fuzzy'"):
        player("fuzzy", MATCH, {})


def test_the_informed_one_knows_the_true_response() -> None:
    """Its belief agrees with the true die where the description's does not."""
    match = field.draw("misaligned", 4, 1.0)
    shown = field.zone_view(match.line, match.truth.lanes) @ match.truth.lip_response
    shown = shown - shown.mean(axis=0)
    told = informed(match, match.line).estimator.response.matrix
    assert np.corrcoef(told.ravel(), shown.ravel())[0, 1] > 0.995
    known = true_statistics(match)
    assert known.slip_pct == pytest.approx(100.0 * match.truth.drifts.slip)
    assert known.wet_bias_s == match.truth.wet.bias_tau_s


def test_the_clairvoyant_stands_above_everyone() -> None:
    best = field.play(MATCH, clairvoyant.Clairvoyant(MATCH)).score.sigma_total_pct
    for name in ("pid", "smith", "imc", "informed"):
        assert best < field.play(MATCH, player(name, MATCH, tuned())).score.sigma_total_pct


def test_the_quadratic_program_is_the_pseudo_inverse_where_no_limit_binds() -> None:
    line = field.draw("nominal", 4, 1.0).line
    estimator = core.configure(line, field.TURN_S).estimator
    response = estimator.response
    gap = np.full(line.zones, line.die.gap_nominal_um)
    wanted = 0.5 * response.shapes[:, 0] * min(1.0, line.lips.rate_um_per_s)
    found = Osqp(line, estimator)(-response.matrix @ wanted, gap) - gap
    gain2, floor2 = response.gains[0] ** 2, (line.control.mode_gain_floor * response.gains[0]) ** 2
    np.testing.assert_allclose(found, wanted * gain2 / (gain2 + floor2), atol=0.02)


def test_the_search_gives_everyone_the_same_budget_and_takes_the_best() -> None:
    asked: dict[str, list[Tuning]] = {}

    def sigma(name: str, tried: Tuning) -> float:
        asked.setdefault(name, []).append(tried)
        return abs(tried.cd - 0.35) + abs(tried.md - 0.6)

    found = {name: tuning.search(name, sigma)[0] for name in TUNED}
    assert len({len(tries) for tries in asked.values()}) == 1
    assert found["imc"] == Tuning(0.35, 0.6)
    assert set(tuned()) == set(TUNED), "the search is committed"


def test_lines_of_the_search_are_not_lines_of_the_league() -> None:
    judged = {match.seed for _, match in table.matches(["nominal"], 20, 1.0)}
    assert not judged & {seed for _, seed in tuning.LINES}


def test_a_table_by_hand() -> None:
    def result(controller: str, seed: int, sigma: float) -> table.Result:
        score = Score(sigma, sigma, 0.0, 100.0, 5.0, 1.0, 50.0, None if seed == 1 else 8.0, 1000.0, 600.0)
        return table.Result("nominal", seed, controller, 0.1, score, 70.0)

    played = (("imc", 1, 0.3), ("imc", 2, 0.5), ("clairvoyant", 1, 0.2), ("clairvoyant", 2, 0.2))
    rows = table.rows([result(*each) for each in played])
    own = next(row for row in rows if row["family"] == "nominal" and row["controller"] == "imc")
    assert own["lines"] == 2
    assert own["sigma_pct_median"] == pytest.approx(0.4)
    assert own["sigma_over_mv_median"] == pytest.approx(4.0)
    assert own["sigma_over_clairvoyant_median"] == pytest.approx(2.0)
    assert own["batch_scrap_m_median"] == 8.0
    assert own["sigma_pct_low"] == pytest.approx(0.3) and own["sigma_pct_high"] == pytest.approx(0.5)
    assert [row["family"] for row in rows] == ["nominal", "nominal", "all", "all"]


def test_every_fault_is_played_and_none_is_played_beside_nothing() -> None:
    found = dict(table.fault_matches(1, 30.0))
    assert set(found) == {"fault:none", *(f"fault:{name}" for name in table.FAULTS)}
    counts = {name: len(match.scenario.plays) for name, match in found.items()}
    assert all(count > counts["fault:none"] for name, count in counts.items() if name != "fault:none")
    assert set(PRACTICAL) < set(NAMES)


def test_the_informed_one_is_told_what_a_batch_brings_and_only_that() -> None:
    """Ahead of the gauges it knows the mean of the new batch, and answers it as if none had come."""
    drifts = tuple(play for play in MATCH.scenario.plays if play.name != "batch-change")
    without = replace(MATCH, scenario=replace(MATCH.scenario, plays=drifts))
    change = Play("batch-change", onset_s=400.0, front_s=300.0)
    match = replace(without, scenario=replace(without.scenario, plays=(*drifts, change)))
    told = Informed(match, match.line)
    solids = [blend(match.truth.batches, match.scenario.fronts(), t_s).solids_kgm3 for t_s in (0.0, 550.0)]
    assert told.brought(400.0) == 0.0
    assert told.brought(550.0) == pytest.approx(np.log(solids[1] / solids[0]))
    assert abs(told.brought(550.0)) > 1e-3

    def sigma(name: str, played: field.Match) -> float:
        return field.play(played, player(name, played, tuned())).score.sigma_total_pct

    assert sigma("informed", match) < 1.05 * sigma("informed", without)
    assert sigma("informed", match) < sigma("imc", match)
