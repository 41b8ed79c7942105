"""Gymnasium's environments: their contract, their honesty, and that one of many is the same as one alone."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from plant_sim import environment
from plant_sim.environment import CoatingEnv, CoatingVectorEnv
from plant_sim.truth import Truth
from tests.plant_sim.lines_for_tests import make_line

LINE = make_line(10)


def still(env, trim=0.0):
    """Lips in the middle of their range, the pump at this trim."""
    action = np.zeros(env.single_action_space.shape if hasattr(env, "single_action_space") else env.action_space.shape)
    action[-1] = trim
    return action


def test_gymnasium_finds_no_fault_with_it():
    check_env(CoatingEnv(LINE, minutes=1.0), skip_render_check=True)


def test_both_are_registered_under_one_name():
    assert isinstance(gymnasium.make("evencoat/Coating-v0", line=LINE).unwrapped, CoatingEnv)
    assert isinstance(gymnasium.make_vec("evencoat/Coating-v0", 3, line=LINE), CoatingVectorEnv)


def test_one_of_many_is_the_same_as_one_alone():
    many, one = CoatingVectorEnv(LINE, 3, minutes=2.0), CoatingEnv(LINE, minutes=2.0)
    seen, _ = many.reset(seed=5)
    alone, _ = one.reset(seed=7)
    assert seen[2].tobytes() == alone.tobytes()
    actions = np.random.default_rng(1).uniform(-0.2, 0.2, (200, 11))
    for action in actions:
        seen, rewards, _, _, _ = many.step(np.stack([0.5 * action, -action, action]))
        alone, reward, _, _, _ = one.step(action)
        assert seen[2].tobytes() == alone.tobytes() and float(rewards[2]) == reward


def test_a_richer_pump_shows_in_both_gauges_and_the_reward_is_the_truth_s():
    env = CoatingEnv(LINE, minutes=5.0, difficulty=0.0)
    env.reset(seed=1)
    for _ in range(260):
        seen, reward, _, _, _ = env.step(still(env, 0.25))  # 2 % of trim
    assert seen[:20] * environment.ERROR_MAX_PCT == pytest.approx(2.0, abs=0.05)
    assert reward == pytest.approx(-4.0, abs=0.1)
    assert seen[-4:-2] == pytest.approx([0.25, 1.0])


def test_the_observation_holds_nothing_that_a_gauge_or_an_actuator_did_not_say():
    """Before web reaches a gauge nothing is known of it, whatever the truth."""
    env = CoatingEnv(LINE, minutes=2.0, difficulty=2.0)
    first, _ = env.reset(seed=3)
    second, *_ = env.step(still(env))
    assert not first[:20].any() and not second[:20].any()


def test_an_episode_ends_in_time_and_the_next_has_other_lines():
    env = CoatingVectorEnv(LINE, 2, minutes=0.1)
    env.reset(seed=1)
    for _ in range(12):
        _, _, ended, over, _ = env.step(np.zeros((2, 11)))
        assert not ended.any()
    assert over.all()
    _, rewards, _, over, info = env.step(np.zeros((2, 11)))
    assert not over.any() and not rewards.any() and set(info["seed"].tolist()).isdisjoint({1, 2})
    assert Truth.draw(LINE, 1).unevenness_um.std() > 0.0


@pytest.mark.parametrize(("name", "value"), [("num_envs", 0), ("minutes", -1.0), ("step_s", 0.0)])
def test_what_cannot_be_played_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"{name}: "):
        CoatingVectorEnv(LINE, **{name: value})
