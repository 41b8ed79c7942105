"""Many lines in one call, in place: for training, for examining controllers, for gymnasium.

Each line of a batch gives the same bytes as it would alone (plant_sim.plant), whatever its company; lines may differ in
everything, their number of zones included. Imported by plant_sim.environment, the front door, tests and benchmarks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from controller.line.description import Array
from plant_sim import layout, packing, web
from plant_sim.compiled import doubles
from plant_sim.layout import Conditions, Constants, Outcome, State, Web, joined, stacked
from plant_sim.plant import Plant
from plant_sim.step import advance


class Batch:
    """Lines that run side by side. After a step, `outcome` and the readers below tell what happened in it."""

    def __init__(self, plants: Sequence[Plant], pump_speed_rpm: Array) -> None:
        """pump_speed_rpm: what each pump turns at to begin with, shape (lines,). Raises ValueError for no lines."""
        if not plants:
            raise ValueError("plants: a batch needs at least one line, found none")
        self.plants = tuple(plants)
        self.zones = max(plant.truth.zones for plant in plants)
        self.lanes = max(plant.truth.lanes for plant in plants)
        starts = [
            packing.start_of(p.constants, p.sizes, float(rpm)) for p, rpm in zip(plants, pump_speed_rpm, strict=True)
        ]
        rooms = [packing.room_for_outcome(plant.sizes) for plant in plants]
        self.constants = Constants(
            joined([plant.constants.lines for plant in plants], layout.LINE),
            joined([plant.constants.gauges for plant in plants], layout.GAUGE),
            stacked([plant.constants.numbers for plant in plants]),
        )
        self.state = State(
            joined([one.lines for one in starts], layout.STATE),
            joined([one.gauges for one in starts], layout.GAUGE_STATE),
            stacked([one.numbers for one in starts]),
        )
        self.outcome = Outcome(
            joined([one.lines for one in rooms], layout.OUT),
            joined([one.gauges for one in rooms], layout.GAUGE_OUT),
            stacked([one.numbers for one in rooms]),
        )
        rows = max(plant.rows for plant in plants)
        self.web = Web(np.zeros((len(plants), rows, web.COLUMNS)), np.zeros((len(plants), rows, self.lanes)))
        self._scratch = packing.scratch_for(self.constants)
        self._t_s, self._look_s = 0.0, -1.0
        self._until_s = np.full(len(plants), -1.0)
        self._played = [plant.conditions(0, 0.0) for plant in plants]
        self._conditions = self._stacked_conditions()

    def __len__(self) -> int:
        return len(self.plants)

    def step(self, gap_rest_um: Array, pump_speed_rpm: Array, dt_s: float) -> None:
        """Advance every line by dt_s (> 0). gap_rest_um: (lines, zones of the widest); pump_speed_rpm: (lines,).

        Raises ValueError for arrays of another shape.
        """
        rest_um, rpm, lines = doubles(gap_rest_um), doubles(pump_speed_rpm), len(self.plants)
        if rest_um.shape != (lines, self.zones) or rpm.shape != (lines,):
            raise ValueError(
                f"gap_rest_um, pump_speed_rpm: shapes {rest_um.shape} and {rpm.shape}, expected {(lines, self.zones)} "
                f"and {(lines,)}"
            )
        if self._t_s >= self._look_s:
            self._look_up(self._t_s)
        advance(
            self.constants, self._conditions, self.state, self.web, self.outcome, rest_um, rpm, dt_s, self._scratch
        )  # fmt: skip
        self._t_s += dt_s  # as every line's own clock goes

    def _look_up(self, now_s: float) -> None:
        """What is played changes at onsets and ends only."""
        for i in np.flatnonzero(now_s >= self._until_s):
            plant = self.plants[i]
            interval = plant.timetable.interval(now_s)
            self._played[i] = plant.conditions(interval, now_s)
            self._until_s[i] = plant.timetable.until_s(interval)
        self._conditions, self._look_s = self._stacked_conditions(), float(self._until_s.min())

    def _stacked_conditions(self) -> Conditions:
        return Conditions(
            joined([one.now for one in self._played], layout.NOW),
            joined([one.gauges for one in self._played], layout.GAUGE_NOW),
            stacked([one.numbers for one in self._played]),
        )

    def areal_density_gsm(self, line: int) -> Array:
        """True dry areal density of the web coated in the last step, shape (lanes,) of that line; a view."""
        at, lanes = self.plants[line].places[0], self.plants[line].truth.lanes
        view: Array = self.outcome.numbers[line, at : at + lanes]
        return view

    def lip_motor_um(self, line: int) -> Array:
        """Where the lip motors stand, shape (zones,) of that line; a view."""
        at, zones = self.plants[line].places[2], self.plants[line].truth.zones
        view: Array = self.state.numbers[line, at : at + zones]
        return view

    def scan(self, line: int, gauge: int) -> Array | None:
        """What a gauge (0 wet, 1 dry) said in the last step, shape (boxes,), a view; None when it said nothing."""
        if not self.outcome.gauges["said"][line, gauge]:
            return None
        _, at, boxes = self.plants[line].gauges[gauge]
        view: Array = self.outcome.numbers[line, at : at + boxes]
        return view

    def areal_densities_gsm(self) -> Array:
        """The same of all lines, which must be of one description, shape (lines, lanes); a view."""
        at = self.plants[0].places[0]
        view: Array = self.outcome.numbers[:, at : at + self.lanes]
        return view

    def lip_motors_um(self) -> Array:
        """Motors of all lines, which must be of one description, shape (lines, zones); a view."""
        at = self.plants[0].places[2]
        view: Array = self.state.numbers[:, at : at + self.zones]
        return view

    def scans(self, gauge: int) -> Array:
        """What a gauge of each line last said, all of one description, shape (lines, boxes); a view, see `said`."""
        _, at, boxes = self.plants[0].gauges[gauge]
        view: Array = self.outcome.numbers[:, at : at + boxes]
        return view
