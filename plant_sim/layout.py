"""How a plant lies in memory for the compiled step: one record a line, vectors of any length behind offsets.

Lines of different sizes share a batch: every line's vectors lie in one row of numbers, and its record says where.
Imported by plant_sim.plant and plant_sim.batch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from controller.line.description import Array

LINE = np.dtype(
    [(name, np.int64) for name in (
        "zones", "lanes", "knots", "at_response", "at_unevenness", "at_compliance", "at_droop", "at_fixed", "fixed",
        "at_rate", "at_backlash", "at_first", "at_weights", "at_tilt", "at_bow", "at_speed", "speed", "at_fronts",
        "fronts", "at_batches", "batches", "at_bubbles", "bubbles",
        "s_motor", "s_lip", "s_opening", "s_droop", "s_base", "s_answer",
        "s_slow", "s_slow_next", "s_fast", "s_fast_next", "s_waiting",
        "s_profile", "o_areal", "o_fed_back",
    )]
    + [(name, np.float64) for name in (
        "width_m", "target_gsm", "gap_nominal_um", "web_speed_mps", "web_speed_max_mps", "lip_length_m",
        "pressure_set_pa", "displacement_m3_per_rev", "efficiency", "slip_m3ps_per_pa", "lag_s", "speed_max_rpm",
        "pulsation", "pulses_per_rev", "pump_offset", "solids_offset", "viscosity_set", "shear_rate_set",
        "slow_cd", "slow_keep", "fast_cd", "fast_keep", "white_cd", "slip", "slip_keep", "solids", "solids_keep",
        "foil_keep", "foil_gsm", "row_min_m", "design_index",
    )]
    + [(name, np.uint64) for name in (
        "slow_key", "fast_key", "white_key", "slip_key", "solids_key", "foil_key", "feedback_key",
    )],
    align=True,
)  # fmt: skip

GAUGE = np.dtype(
    [(name, np.int64) for name in (
        "kind", "boxes", "lanes", "knots", "taps", "at_edges", "at_first", "at_weights", "at_foil", "at_back",
        "s_memory", "s_last", "o_values",
    )]
    + [(name, np.float64) for name in (
        "distance_m", "period_s", "noise", "depth", "target", "bias_common", "bias_box", "bias_keep", "full_scale",
        "lanes_per_mm", "head_lanes_per_s", "spot_lanes", "travel_s",
    )]
    + [(name, np.uint64) for name in ("noise_key", "edge_key", "common_key", "box_key", "outlier_key")],
    align=True,
)  # fmt: skip

STATE = np.dtype(
    [(name, np.int64) for name in ("steps", "end", "drawn")]
    + [(name, np.float64) for name in (
        "t_s", "web_m", "pump_rpm", "phase", "pressure_pa", "slip", "slip_next", "solids", "solids_next", "foil",
        "foil_next", "drifting_s", "slot_index", "slot_fixed", "slot_static", "slot_pressure_pa", "softest",
    )],
    align=True,
)  # fmt: skip

GAUGE_STATE = np.dtype(
    [(name, np.int64) for name in ("scans", "wandered", "cursor", "direction", "next_direction")]
    + [(name, np.float64) for name in (
        "due_s", "web_m", "bias_common", "head_s", "start_m", "t_s", "middle_m", "edge_noise_mm",
    )],
    align=True,
)  # fmt: skip

NOW = np.dtype(
    [(name, np.int64) for name in (
        "bolts", "at_bolts", "feedback", "at_feedback", "streaks", "at_streaks", "run_outs", "at_run_outs", "warmths",
        "at_warmths", "bows", "at_bows", "clogs", "at_clogs", "levels", "at_levels", "temperatures", "at_temperatures",
        "lifted",
    )]
    + [(name, np.float64) for name in (
        "static_profile", "set_up_offset", "slow_cd", "fast_cd", "white_cd", "slip", "solids", "pulsation", "slip_step",
        "foil_variation", "foil_step", "b_side", "patch_m", "gap_m",
    )],
    align=True,
)  # fmt: skip

GAUGE_NOW = np.dtype(
    [(name, np.int64) for name in (
        "silent", "frozen", "dropout_from", "dropout_to", "at_drifts", "drifts", "at_shifts", "shifts",
    )]
    + [(name, np.float64) for name in ("outlier_chance", "outlier_size", "bias")],
    align=True,
)  # fmt: skip

OUT = np.dtype(
    [(name, np.float64) for name in (
        "t_s", "web_m", "length_m", "coated_m", "web_speed_mps", "mean_gsm", "pump_rpm", "flow_m3ps", "pressure_pa",
        "temperature_k",
    )],
    align=True,
)  # fmt: skip

GAUGE_OUT = np.dtype(
    [(name, np.int64) for name in ("said", "scans", "direction")]
    + [(name, np.float64) for name in ("t_s", "web_m", "edge_left_mm", "edge_right_mm")],
    align=True,
)  # fmt: skip


class Constants(NamedTuple):
    """What never changes while a plant runs. Shapes (lines,), (lines, 2), (lines, numbers)."""

    lines: Any
    gauges: Any
    numbers: Array


class Conditions(NamedTuple):
    """What is played now; the same shapes."""

    now: Any
    gauges: Any
    numbers: Array


class State(NamedTuple):
    """What a step reads and writes; the same shapes."""

    lines: Any
    gauges: Any
    numbers: Array


def copy_of(state: State) -> State:
    """A state of its own. Records are copied as plain bytes: numpy would go through them field by field."""
    lines, gauges, numbers = state
    return State(
        np.ndarray(lines.shape, STATE, bytearray(lines.tobytes())),
        np.ndarray(gauges.shape, GAUGE_STATE, bytearray(gauges.tobytes())),
        numbers.copy(),
    )


class Web(NamedTuple):
    """What was coated, shapes (lines, rows, columns) and (lines, rows, lanes)."""

    marks: Array
    profiles: Array


class Outcome(NamedTuple):
    """What happened in a step; the same shapes as a State's."""

    lines: Any
    gauges: Any
    numbers: Array


class Vectors:
    """Vectors laid one after another; what is put in twice the same is kept twice."""

    def __init__(self) -> None:
        self._parts: list[Array] = []
        self.size = 0

    def put(self, values: Array) -> int:
        """Append a vector; returns where it lies."""
        at = self.size
        flat = np.ascontiguousarray(values, dtype=np.float64).reshape(-1)
        self._parts.append(flat)
        self.size += flat.size
        return at

    def room(self, size: int) -> int:
        """Append zeros."""
        return self.put(np.zeros(size))

    def row(self) -> Array:
        """All of them, shape (1, size)."""
        return np.concatenate(self._parts or [np.empty(0)]).reshape(1, -1)


def stacked(rows: list[Array]) -> Array:
    """Rows of numbers of several lines under each other, padded with zeros to the longest, shape (lines, numbers)."""
    table = np.zeros((len(rows), max(row.size for row in rows)))
    for i, row in enumerate(rows):
        table[i, : row.size] = row.reshape(-1)
    return table


def joined(records: list[Any], kind: np.dtype[Any]) -> Any:
    """Records of several lines, of the very dtype of this module: a call would else compare the fields of an equal."""
    return np.concatenate(records).view(kind)
