"""How often the truth lies inside the 95 % interval of the virtual areal density, from the die to the last gauge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.core import step as core
from controller.core import virtual
from controller.core.estimate import EstimateState
from controller.line.command import ActuatorCommand, Mode
from controller.line.description import Array
from controller.line.profile import LineInputs
from evencoat.league import field
from evencoat.league.field import Match
from plant_sim.plant import Readings

FROM_S = 240.0  # by then the dry gauge has told of the wet one's error
EVERY_TURNS = 10
PLACES = (0.0, 0.25, 0.5, 0.75, 0.97)  # of the way from the die to the last gauge


@dataclass(frozen=True, slots=True)
class Coverage:
    """Share of zones and moments whose truth lay inside, by place of PLACES and in all; half the interval, percent."""

    by_place: Array
    share: float
    half_pct: float


class Witness:
    """Plays the controller, and compares at every so many turns what it believes of the web with what is there."""

    def __init__(self, match: Match) -> None:
        self._config = core.configure(match.line, field.TURN_S)
        self._state = core.init(self._config, Mode.AUTO)
        self._view = field.zone_view(match.line, match.truth.lanes)
        gauges = (match.line.wet_gauge, match.line.dry_gauge)
        self._reach_m = max(gauge.distance_m for gauge in gauges if gauge)
        self._ends_m: list[float] = [0.0]
        self._truth: list[Array] = []
        self._turns = 0
        self.inside: list[Array] = []
        self.half_pct: list[float] = []

    def see(self, readings: Readings) -> None:
        """What really left the die."""
        self._ends_m.append(readings.web_m)
        self._truth.append(self._view @ readings.areal_density_gsm)

    def turn(self, inputs: LineInputs) -> ActuatorCommand | None:
        """Run the line, and look now and then."""
        self._state, command, _ = core.step(self._config, self._state, inputs, field.TURN_S)
        self._turns += 1
        if self._turns * field.TURN_S > FROM_S and self._turns % EVERY_TURNS == 0:
            self._look(self._state.estimate)
        return command

    def _look(self, seen: EstimateState) -> None:
        ends = np.array(self._ends_m)
        wanted = ends[-1] - np.array(PLACES) * self._reach_m
        rows = np.clip(np.searchsorted(ends, wanted) - 1, 0, len(self._truth) - 1)
        middles = 0.5 * (ends[rows] + ends[rows + 1])
        believed = virtual.areal_density(self._config.estimator, seen, middles)
        if believed is None:
            return
        truth = np.array([self._truth[row] for row in rows])
        within = np.abs(truth - believed.areal_density_gsm) <= believed.half_gsm
        self.inside.append(within.mean(axis=1))
        self.half_pct.append(float(100.0 * (believed.half_gsm / believed.areal_density_gsm).mean()))


def coverage(match: Match) -> Coverage:
    """Run a match and say how often the truth lay inside."""
    witness = Witness(match)
    field.play(match, witness, witness)
    by_place = np.mean(witness.inside, axis=0)
    return Coverage(by_place, float(by_place.mean()), float(np.mean(witness.half_pct)))
