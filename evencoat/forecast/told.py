"""Forecasts of one line for those who look: cycle by cycle from a journal, as programs and pages read them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from controller.line.description import LineDescription
from evencoat.forecast.core import HORIZONS_S, LEVELS, SOON_S, Forecast, Forecaster, Found
from evencoat.forecast.limits import Limits
from evencoat.forecast.warnings import Warner
from evencoat.forecast.what_if import answer

COLUMNS = (
    "t_line_ns", "web_m", "web_speed_mps", "line_state", "batch", "mode_actual", "wet_scan_id", "dry_scan_id",
    "profile_gsm", "wet_bias_pct", "gap_um", "gap_law_um", "pump_trim_law_pct", "pump_trim_pct", "pump_speed_rpm",
    "pump_pressure_kpa", "target_gsm", "batch_step_pct", "batch_step_sd_pct", "batch_answered_pct", "wet_scan_gsm",
    "wet_scan_m", "dry_scan_gsm", "dry_scan_m",
)  # fmt: skip
THRESHOLD = 0.293  # of the chance of any metre out soon, from which is warned: benchmarks/forecast.py chooses it
WARNINGS_MOST = 1000


class Teller:
    """All that is foreseen of one line, and how good it was."""

    def __init__(self, line: LineDescription) -> None:
        self.line = line
        self.forecaster, self.limits, self._warner = Forecaster(line), Limits(line), Warner(THRESHOLD)
        self.now: Mapping[str, Any] | None = None
        self.warnings: list[dict[str, float]] = []
        self._scores: list[list[float]] = [[0.0] * (3 + 2 * len(LEVELS)) for _ in HORIZONS_S]

    def see(self, cycle: Mapping[str, Any]) -> None:
        """One cycle by the names of Trace."""
        self.limits.see(cycle)
        new = self.forecaster.see(cycle)
        for found in self.forecaster.found:
            self._score(found)
        self.now = cycle
        told = self.forecaster.forecast
        if not new or told is None:
            return
        t_s, stood = told.t_ns / 1e9, self._warner.since_s
        stands = self._warner.see(t_s, told.soon)
        if stands and math.isnan(stood) and len(self.warnings) < WARNINGS_MOST:
            self.warnings.append({"from_s": t_s, "web_m": told.web_m, "chance": told.soon})
        elif not stands and not math.isnan(stood) and self.warnings:
            self.warnings[-1]["to_s"] = t_s

    def _score(self, found: Found) -> None:
        score = self._scores[found.horizon]
        score[0] += 1.0
        score[1] += float(np.mean(found.missed_pct**2))
        score[2] += found.mean_missed_pct**2
        for k, inside in enumerate((*found.inside.tolist(), *found.mean_inside.tolist()), start=3):
            score[k] += float(inside)

    def told(self) -> dict[str, Any]:
        """As /forecast.json has it. `known` is False, and `why` says why, while there is no forecast."""
        told = self.forecaster.forecast
        if told is None:
            return {"known": False, "why": "the web does not run, or nothing was seen of it yet"}
        return {
            "known": True,
            "t_line_s": told.t_ns / 1e9,
            "web_m": round(told.web_m, 2),
            "levels": LEVELS,
            "horizons": [_horizon(told, k) for k in range(len(HORIZONS_S))],
            "warning": None if math.isnan(self._warner.since_s) else {"since_s": self._warner.since_s},
            "soon": round(told.soon, 4),
            "soon_s": SOON_S,
            "threshold": THRESHOLD,
            "limits": [_plain(one._asdict()) for one in self.limits.ahead()],
            "kept": self.kept(),
        }

    def kept(self) -> list[dict[str, Any]]:
        """How good forecasts were, judged by the scans of the gauge that saw their metres; one entry a horizon."""
        made = []
        for horizon_s, (count, missed2, mean2, *inside) in zip(HORIZONS_S, self._scores, strict=True):
            if count:
                shares = [round(one / count, 4) for one in inside]
                made.append(
                    {
                        "horizon_s": horizon_s,
                        "scans": int(count),
                        "rms_pct": round(math.sqrt(missed2 / count), 4),
                        "mean_rms_pct": round(math.sqrt(mean2 / count), 4),
                        "zones_inside": shares[: len(LEVELS)],
                        "mean_inside": shares[len(LEVELS) :],
                    }
                )
        return made

    def what_if(self, target: float | None, speed: float | None, solids: float | None) -> dict[str, Any]:
        """See evencoat.forecast.what_if. Raises WhatIfError."""
        told = answer(self.line, target, speed, solids, self.now, self.forecaster.forecast)
        return {name: _plain(part) if isinstance(part, dict) else part for name, part in told.items()}


def _horizon(told: Forecast, k: int) -> dict[str, Any]:
    return {
        "horizon_s": HORIZONS_S[k],
        "at_m": round(float(told.at_m[k]), 2),
        "expected_pct": told.expected_pct[k].round(3).tolist(),
        "half_pct": told.half_pct[k].round(3).tolist(),
        "mean_pct": round(float(told.mean_pct[k]), 3),
        "mean_half_pct": told.mean_half_pct[k].round(3).tolist(),
        "zone_out": told.out[k].round(4).tolist(),
        "metre_out": round(float(told.metre_out[k]), 4),
    }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON can have it: what is infinite is null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()
    }
