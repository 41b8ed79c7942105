"""Lines and plants that several tests of the plant share."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import settings

from controller.line.description import LineDescription
from plant_sim import plant
from plant_sim.plant import Command, Plant, PlantState, Readings
from plant_sim.scenario import Scenario
from plant_sim.truth import Truth
from tests.plant_sim.lines_for_tests import make_line

settings.register_profile("compiled", deadline=None)  # the first call of a function compiles it
settings.load_profile("compiled")


@pytest.fixture(scope="session")
def line() -> LineDescription:
    return make_line()


@pytest.fixture(scope="session")
def nominal(line: LineDescription) -> Truth:
    """A line that is exactly what its description says."""
    return Truth.nominal(line)


class Run:
    """A plant that is stepped by hand: lips and pump where the test puts them."""

    def __init__(self, line: LineDescription, truth: Truth, scenario: Scenario | None = None, seed: int = 1):
        self.plant = Plant.of(truth, scenario or Scenario.quiet(), seed)
        self.rpm = line.pump_ratio_nominal_rpm_per_mps * line.web_speed_mps
        self.gap_um = np.full(line.zones, line.die.gap_nominal_um)
        self.state: PlantState = plant.start(self.plant, self.rpm)

    def step(self, dt_s: float = 0.1) -> Readings:
        self.state, readings = plant.step(self.plant, self.state, Command(self.gap_um, self.rpm), dt_s)
        return readings

    def steps(self, count: int, dt_s: float = 0.1) -> list[Readings]:
        return [self.step(dt_s) for _ in range(count)]


@pytest.fixture(scope="session")
def runner() -> Callable[..., Run]:
    return Run
