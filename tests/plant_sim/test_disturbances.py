"""Drifts keep their statistics whatever the step."""

import numpy as np
import pytest

from plant_sim.disturbances import Amplitudes, Disturbances, Drift, DriftSizes, ScalarDrift, smooth_shape
from plant_sim.noise import NoiseStream, generator

SIZES = DriftSizes(0.007, 1200.0, 3.0, 0.0015, 120.0, 3.0, 0.0005, 0.005, 600.0, 0.004, 1200.0)
ZONES = (np.arange(160) + 0.5) / 4.0


def path(dt_s, steps, tau_s=100.0, width=300):
    drift = Drift(2.0, tau_s, NoiseStream(5, f"d{dt_s}", width))
    states = [drift.start()]
    for k in range(1, steps):
        states.append(drift.after(states[-1], k, dt_s))
    return np.array(states)


@pytest.mark.parametrize("dt_s", [0.1, 7.0, 100.0])
def test_size_and_time_constant_do_not_depend_on_the_step(dt_s):
    states = path(dt_s, 60)
    assert states.std() == pytest.approx(2.0, rel=0.07)
    lag_one = np.mean(states[1:] * states[:-1]) / np.mean(states[:-1] ** 2)
    assert lag_one == pytest.approx(np.exp(-dt_s / 100.0), abs=0.03)


def test_scalar_drift_is_the_same_process():
    array = Drift(0.5, 30.0, NoiseStream(9, "x"))
    scalar = ScalarDrift(0.5, 30.0, NoiseStream(9, "x"))
    a, b = array.start(), scalar.start()
    for k in range(1, 300):
        a, b = array.after(a, k, 0.3), scalar.after(b, k, 0.3)
    assert float(a[0]) == b


def test_cross_web_drifts_are_correlated_over_zones_and_have_their_size():
    disturbances = Disturbances.of(SIZES, 1, ZONES)
    states = np.array([disturbances.slow_cd.size * disturbances.slow_cd.stream.row(k) for k in range(2000)])
    assert states.std() == pytest.approx(0.007, rel=0.05)
    near = np.corrcoef(states[:, 80], states[:, 84])[0, 1]  # one zone
    far = np.corrcoef(states[:, 80], states[:, 120])[0, 1]  # ten zones
    assert near > 0.85 and abs(far) < 0.1


def test_adding_a_disturbance_changes_no_other():
    """Streams are spawned by name: a line with other slip and white noise has the same slow drift."""
    one, two = Disturbances.of(SIZES, 1, ZONES), Disturbances.of(SIZES, 1, ZONES)
    state = two.start()
    for k in range(1, 50):
        two.local_log(state, Amplitudes(white_cd=1.0), 0.1 * k)
        two.slip.stream.value(k)
    assert one.slow_cd.stream.row(300).tobytes() == two.slow_cd.stream.row(300).tobytes()


def test_nothing_played_is_nothing_felt():
    disturbances = Disturbances.of(SIZES, 1, ZONES)
    assert not disturbances.local_log(disturbances.start(), Amplitudes(), 3.0).any()


def test_white_unevenness_is_a_function_of_time():
    disturbances = Disturbances.of(SIZES, 1, ZONES)
    now, soon, later = (
        disturbances.local_log(disturbances.start(), Amplitudes(white_cd=1.0), t) for t in (3, 3.05, 3.1)
    )
    assert now.tobytes() == soon.tobytes() != later.tobytes()
    assert now.std() == pytest.approx(0.0005, rel=0.3)


def test_static_shape_is_normalised_and_smooth():
    for seed in range(20):
        shape = smooth_shape(generator(seed, "s"), ZONES, 2.5)
        assert (shape.mean(), shape.std()) == (pytest.approx(0.0, abs=1e-12), pytest.approx(1.0))
        assert np.corrcoef(shape[:-4], shape[4:])[0, 1] > 0.75  # one zone on
