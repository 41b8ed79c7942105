"""A toy web for forecasts: drifts that are known, a gauge behind the dryer with noise that is known, no controller."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from controller.line.description import Array, LineDescription
from controller.line.profile import LineState


class ToyWeb:
    """One cycle a second at one metre a second. off_pct: (T, zones), deviation of each second's metre from target."""

    def __init__(self, line: LineDescription, off_pct: Array, noise_pct: float, seed: int = 1) -> None:
        self.line, self.off_pct = line, off_pct
        rng = np.random.default_rng(seed)
        self.read_pct = off_pct + noise_pct * rng.standard_normal(off_pct.shape)

    def cycles(self, **changed: Any) -> Iterator[dict[str, Any]]:
        """By the names of Trace. The belief at the wet gauge is what is so there."""
        line, zones = self.line, self.line.zones
        assert line.dry_gauge is not None
        wet_m, dry_m = round(line.primary_gauge.distance_m), round(line.dry_gauge.distance_m)
        target = line.target_profile_gsm
        still = np.full(zones, line.die.gap_nominal_um)
        for k in range(self.off_pct.shape[0]):
            seen = k - dry_m >= 0
            yield {
                "t_line_ns": (k + 1) * 1_000_000_000,
                "web_m": float(k),
                "web_speed_mps": 1.0,
                "line_state": int(LineState.RUNNING),
                "batch": 0,
                "mode_actual": "auto",
                "wet_scan_id": -1,
                "dry_scan_id": k if seen else -1,
                "profile_gsm": target * (1.0 + 0.01 * self.off_pct[max(k - wet_m, 0)]),
                "wet_bias_pct": np.zeros(zones),
                "gap_um": still,
                "gap_law_um": still,
                "pump_trim_law_pct": 0.0,
                "pump_trim_pct": 0.0,
                "pump_speed_rpm": 60.0,
                "pump_pressure_kpa": 300.0,
                "target_gsm": float(target.mean()),
                "batch_step_pct": None,
                "batch_step_sd_pct": None,
                "batch_answered_pct": None,
                "wet_scan_gsm": np.zeros(0),
                "wet_scan_m": None,
                "dry_scan_gsm": target * (1.0 + 0.01 * self.read_pct[k - dry_m]) if seen else np.zeros(0),
                "dry_scan_m": float(k) if seen else None,
                **changed,
            }


def drifting(rows: int, zones: int, size_pct: float, tau_s: float, seed: int) -> Array:
    """First-order drifts, one a zone."""
    rng = np.random.default_rng(seed)
    keep = float(np.exp(-1.0 / tau_s))
    made = np.empty((rows, zones))
    made[0] = size_pct * rng.standard_normal(zones)
    for k in range(1, rows):
        made[k] = keep * made[k - 1] + size_pct * np.sqrt(1.0 - keep**2) * rng.standard_normal(zones)
    return made
