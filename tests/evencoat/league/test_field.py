"""The playing field: the same plant as behind the bus, only coarser."""

import numpy as np
import pytest

from controller.core import step as core
from controller.line.command import ActuatorCommand, Mode
from controller.line.profile import LineInputs
from evencoat.league import field
from plant_sim import families
from plant_sim.families import FAMILIES


class Watcher:
    """Does nothing and remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[LineInputs] = []

    def turn(self, inputs: LineInputs) -> ActuatorCommand | None:
        self.told.append(inputs)
        return None


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_has_a_new_batch_and_a_turn_long_cycle(family: str) -> None:
    match = field.draw(family, 5, 30.0)
    assert any(front.onset_s < 0.9 * 1800.0 for front in match.scenario.fronts())
    assert match.line.control.cycle_s == field.TURN_S
    assert match.line.primary_gauge.period_s >= field.TURN_S


def test_who_does_nothing_leaves_lips_and_pump_alone() -> None:
    watcher = Watcher()
    played = field.play(field.draw("nominal", 5, 3.0), watcher)
    assert played.bolt_travel_um == 0.0
    assert len(watcher.told) == 360
    assert np.ptp([told.pump_speed_rpm for told in watcher.told[10:]]) < 1e-6
    assert {told.wet.scan_id for told in watcher.told if told.wet} and any(told.dry for told in watcher.told)


class Controller:
    """The core, in AUTO."""

    def __init__(self, match: field.Match) -> None:
        self._config = core.configure(match.line, field.TURN_S)
        self._state = core.init(self._config, Mode.AUTO)

    def turn(self, inputs: LineInputs) -> ActuatorCommand | None:
        self._state, command, _ = core.step(self._config, self._state, inputs, field.TURN_S)
        return command


def test_the_same_match_is_the_same_web_and_a_controller_evens_it() -> None:
    match = field.draw("nominal", 6, 3.0)
    webs = [field.play(match, Controller(match)).web.areal_density_gsm for _ in range(2)]
    np.testing.assert_array_equal(webs[0], webs[1])
    assert np.ptp(webs[0][-1] / webs[0][-1].mean()) < 0.5 * np.ptp(webs[0][4] / webs[0][4].mean())


def test_averaged_scans_are_less_noisy_by_their_number() -> None:
    match = field.draw("nominal", 4, 1.0)
    line, truth = families.draw("nominal", match.seed)
    assert line.wet_gauge is not None and truth.wet is not None
    assert match.line.wet_gauge is not None and match.truth.wet is not None
    share = (line.wet_gauge.period_s / field.TURN_S) ** 0.5
    assert match.line.wet_gauge.noise_pct == pytest.approx(share * line.wet_gauge.noise_pct)
    assert match.truth.wet.noise == pytest.approx(share * truth.wet.noise)
