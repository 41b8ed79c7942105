"""The rivals that the simulator is measured against are the same plant, noise and all."""

import numpy as np
import pytest

from benchmarks.rivals.arrays import ArrayPlants
from benchmarks.rivals.gym_arrays import NumpyVectorEnv
from benchmarks.rivals.ode import OdePlant
from plant_sim.batch import Batch
from plant_sim.environment import CoatingVectorEnv
from plant_sim.faults import Play
from plant_sim.plant import Plant
from plant_sim.scenario import Scenario
from plant_sim.truth import Truth
from tests.plant_sim.lines_for_tests import make_line

LINE = make_line(10)
RPM = LINE.pump_ratio_nominal_rpm_per_mps * LINE.web_speed_mps
STILL = Scenario("still", "", (Play("static-profile"), Play("set-up-offset"), Play("pump-pulsation")))
CHANGING = Scenario("changing", "", (*STILL.plays, Play("batch-change", onset_s=5.0, front_s=20.0)))


def plants(scenario, lines=3):
    return [Plant.of(Truth.draw(LINE, seed), scenario, seed) for seed in range(lines)]


def lips(steps, lines):
    moves = np.random.default_rng(3).integers(-4, 5, (steps, lines, LINE.zones)) * 0.2
    return 600.0 + np.cumsum(np.where(np.arange(steps)[:, None, None] % 5 == 0, moves, 0.0), axis=0)


@pytest.mark.parametrize("scenario", [STILL, CHANGING], ids=lambda one: one.name)
@pytest.mark.parametrize("dt_s", [0.1, 0.5])
@pytest.mark.parametrize("rival", [ArrayPlants, OdePlant])
def test_without_noise_profile_and_mean_agree_over_a_run_with_moving_lips(rival, dt_s, scenario):
    many = plants(scenario, 1 if rival is OdePlant else 3)
    rpm = np.full(len(many), RPM)
    ours = Batch(many, rpm)
    theirs = OdePlant(many[0], RPM) if rival is OdePlant else ArrayPlants(many, rpm)
    for k, rest_um in enumerate(lips(120, len(many))):
        asked = rpm * (1.0 + 0.01 * (k // 20 % 3))
        ours.step(rest_um, asked, dt_s)
        theirs.step(rest_um, asked, dt_s)
        profile = np.array([ours.areal_density_gsm(i) for i in range(len(many))])
        np.testing.assert_allclose(theirs.areal_gsm, profile, rtol=1e-6)
        np.testing.assert_allclose(theirs.mean_gsm, ours.outcome.lines["mean_gsm"], rtol=1e-6)
        np.testing.assert_allclose(theirs.motor_um[0], ours.lip_motor_um(0), rtol=1e-6)
        assert [bool(said) for said in ours.outcome.gauges["said"][0]] == theirs.said


def deviations(step, heard, steps, warm_up):
    """Standard deviations, in percent, of wet and dry boxes from scan to scan, of lanes and of the mean."""
    rows = {"wet": [], "dry": [], "lanes": [], "mean": []}
    for k in range(steps):
        step()
        if k >= warm_up:
            for name, value in heard().items():
                rows[name].append(value)
    moves = {name: np.diff(np.log(np.array(values)), axis=0) for name, values in rows.items()}
    return {name: 100.0 * float(np.std(values)) for name, values in moves.items()}


def scan_of(batch, line, gauge):
    values = batch.scan(line, gauge)
    return None if values is None else values.copy()


def test_with_noise_standard_deviations_agree():
    scenario = Scenario.load("first-shift")
    many = [Plant.of(Truth.draw(LINE, seed), scenario, seed) for seed in range(6)]
    rpm, still = np.full(6, RPM), np.full((6, LINE.zones), 600.0)
    ours, theirs = Batch(many, rpm), ArrayPlants(many, rpm)

    def by_batch():
        said = {name: [scan_of(ours, i, g) for i in range(6)] for g, name in enumerate(("wet", "dry"))}
        heard = {name: values for name, values in said.items() if values[0] is not None}
        lanes = [ours.areal_density_gsm(i) / ours.outcome.lines["mean_gsm"][i] for i in range(6)]
        return {**heard, "lanes": lanes, "mean": ours.outcome.lines["mean_gsm"].copy()}

    def by_arrays():
        names = [name for name, said in zip(("wet", "dry"), theirs.said, strict=True) if said]
        heard = {name: gauge.values for name, gauge in zip(("wet", "dry"), theirs.gauges, strict=True) if name in names}
        return {**heard, "lanes": theirs.areal_gsm / theirs.mean_gsm[:, None], "mean": theirs.mean_gsm}

    expected = deviations(lambda: ours.step(still, rpm, 0.1), by_batch, 1700, 700)
    found = deviations(lambda: theirs.step(still, rpm, 0.1), by_arrays, 1700, 700)
    assert found == pytest.approx(expected, rel=0.04)


def test_the_numpy_environment_observes_and_rewards_as_ours_does():
    ours, theirs = CoatingVectorEnv(LINE, 4, scenario=STILL), NumpyVectorEnv(LINE, 4, scenario=STILL)
    ours.reset(seed=1)
    theirs.reset(seed=1)
    assert ours.observation_space == theirs.observation_space and ours.action_space == theirs.action_space
    for actions in np.random.default_rng(1).uniform(-0.2, 0.2, (200, 4, 11)):
        seen, reward, *_ = ours.step(actions)
        rival_seen, rival_reward, *_ = theirs.step(actions)
        np.testing.assert_allclose(rival_seen[:, 20:], seen[:, 20:], atol=1e-6)
        np.testing.assert_allclose(rival_seen[:, :20] * 20.0, seen[:, :20] * 20.0, atol=8.0)  # bias and noise
        np.testing.assert_allclose(rival_reward, reward, rtol=1e-5)


def test_a_play_that_the_rivals_lack_is_refused():
    with pytest.raises(ValueError, match="web-stop"):
        ArrayPlants(plants(Scenario("stop", "", (Play("web-stop"),))), np.full(3, RPM))
