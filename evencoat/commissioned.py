"""The model beside a line file: what commissioning found of a line, with its doubt, and who signed it off.

`line-40.model.toml` lies beside `line-40.toml`. Once somebody has signed it, everything that loads the line uses it;
until then it is a proposal. It belongs to one die, slurry, lips and gauges: when the line file changes in these, the
model is refused rather than half believed. evencoat.settings applies it; evencoat.commission writes it.
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, ValidationError

from controller.commission.identify import Found
from controller.commission.procedure import Outcome
from controller.line.description import Array, DieDescription, Doubt, LineDescription
from evencoat.settings_model import LineFile, Table, Text

SUFFIX = ".model.toml"
SURE_SIGMAS = 3.0  # of the alignment found: what the modes are cut by
ALIGNMENT_FLOOR_PITCHES = 0.05
PARTS = ("web", "slurry", "die", "lips", "pump", "gauges")  # of a line file that a model belongs to

Gain = Annotated[float, Field(ge=0.2, le=5.0)]
Delivery = Annotated[float, Field(ge=-1.0, le=1.0)]


class ResponseTable(Table):
    """[response]"""

    gain_factor: Gain = Field(description="on the response that slurry, lip share and gap make")
    kernel_fwhm_pitches: float = Field(
        ge=0.3, le=12, description="width of one bolt's response at half height, pitches"
    )
    kernel_lobe: float = Field(ge=0.0, le=2.0, description="its negative lobe; 1 is a beam on an elastic foundation")
    alignment_shift_mm: float = Field(ge=-500, le=500, description="offset of the gauges' zero against the bolts', mm")
    alignment_uncertainty_mm: float = Field(ge=0, le=200, description="how well that is known, mm")
    alignment_stretch_pct: float = Field(
        ge=-20, le=20, description="bolts further apart than the gauges' zones, percent"
    )
    bolt_gains: list[Gain] = Field(max_length=140, description="each bolt's pull against its neighbours'")
    bolt_delivery: list[Delivery] = Field(max_length=140, description="1 healthy, 0 dead, -1 reversed")


class PlacesTable(Table):
    """[gauges]: distances from the die"""

    wet_distance_m: float | None = Field(default=None, ge=0.05, le=500, description="m of web after the die lip")
    dry_distance_m: float | None = Field(default=None, ge=0.05, le=2000, description="m of web after the die lip")


class ModelFile(Table):
    """A whole model file."""

    line: Text = Field(description="name of the line")
    belongs_to: Text = Field(description="fingerprint of the line file's machine")
    found_at: Text = Field(description="when, UTC")
    signed_off_by: str = Field(default="", max_length=200, description="who takes it into use; empty: nobody yet")
    response: ResponseTable
    gauges: PlacesTable
    doubt: dict[str, float] = Field(default={}, description="one standard deviation of each figure")
    evidence: dict[str, float] = Field(default={}, description="what it was found from")


@dataclass(frozen=True, slots=True)
class Commissioned:
    """What came of it: `model` is None where nothing was found."""

    outcome: Outcome
    model: ModelFile | None

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        outcome, model = self.outcome, self.model
        found = outcome.found
        return {
            "enough": outcome.enough,
            "why": outcome.why,
            "spent_m": outcome.spent_m,
            "budget_m": outcome.budget_m,
            "blocks": outcome.blocks,
            "line_min": outcome.line_s / 60.0,
            "coated_m": outcome.web_m,
            "dead_bolts": _bolts(found, 0.0),
            "reversed_bolts": _bolts(found, -1.0),
            "stuck_bolts": [bolt + 1 for bolt in outcome.stuck],
            "pump_gain": found.pump_gain if found else None,
            "pump_gain_sd": found.pump_gain_sd if found else None,
            "pump_lag_s": found.pump_lag_s if found else None,
            "play_um": found.play_um.tolist() if found else None,
            "model": model.model_dump() if model else None,
        }


def _bolts(found: Found | None, delivery: float) -> list[int]:
    """Numbers, from 1, of bolts that deliver so."""
    return [] if found is None else [int(i) + 1 for i in np.flatnonzero(found.delivery == delivery)]


def model_path(line_path: Path) -> Path:
    """Where the model of a line file lies."""
    return line_path.with_name(line_path.name.removesuffix(".toml") + SUFFIX)


def fingerprint(file: LineFile) -> str:
    """Of what a model belongs to: the machine and the recipe, not the tuning, the bus or the target."""
    told = {part: getattr(file, part).model_dump() for part in PARTS}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def read_model(path: Path) -> ModelFile:
    """A model file's tables. Raises ValueError in words that name what is wrong; OSError where it cannot be read."""
    try:
        return ModelFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: {first['msg']}, found {first.get('input')!r}") from error


def applied(line: LineDescription, model: ModelFile) -> LineDescription:
    """The line's description with what was found. Raises ValueError where the model is of another die."""
    response = model.response
    for name in ("bolt_gains", "bolt_delivery"):
        count = len(getattr(response, name))
        if count not in (0, line.zones):
            raise ValueError(f"response.{name}: {count} values, but the die has {line.zones} bolts")
    die = replace(
        line.die,
        gain_factor=response.gain_factor,
        kernel_fwhm_pitches=response.kernel_fwhm_pitches,
        kernel_lobe=response.kernel_lobe,
        alignment_shift_mm=response.alignment_shift_mm,
        alignment_uncertainty_mm=response.alignment_uncertainty_mm,
        alignment_stretch_pct=response.alignment_stretch_pct,
        bolt_gains=tuple(response.bolt_gains),
        bolt_delivery=tuple(response.bolt_delivery),
        doubt=_doubt(line, model),
    )
    wet, dry = line.wet_gauge, line.dry_gauge
    if wet is not None and model.gauges.wet_distance_m is not None:
        wet = replace(wet, distance_m=model.gauges.wet_distance_m)
    if dry is not None and model.gauges.dry_distance_m is not None:
        dry = replace(dry, distance_m=model.gauges.dry_distance_m)
    return replace(line, die=die, wet_gauge=wet, dry_gauge=dry)


def _doubt(line: LineDescription, model: ModelFile) -> Doubt | None:
    """One standard deviation of what was found; None where the file does not say."""
    told, response = model.doubt, model.response
    if not told:
        return None
    return Doubt(
        gain=told.get("gain_factor", 0.0) / response.gain_factor,
        kernel=told.get("kernel_fwhm_pitches", 0.0) / response.kernel_fwhm_pitches,
        shift_pitches=told.get("alignment_shift_mm", 0.0) / line.die.zone_pitch_mm,
        stretch=told.get("alignment_stretch_pct", 0.0) / 100.0,
        delay_s=told.get("distance_m", 0.0) / line.web_speed_mps,
    )


def proposed(line: LineDescription, file: LineFile, found: Found, evidence: dict[str, float]) -> ModelFile:
    """What was found, as a model that nobody has signed yet."""
    die, pitch = found.die, line.die.zone_pitch_mm
    near = {"wet_distance_m" if line.wet_gauge else "dry_distance_m": round(found.distance_m, 4)}
    far = {} if found.other_m is None else {"dry_distance_m": round(found.other_m, 3)}
    unsure_pitches = max(SURE_SIGMAS * found.shift_sd, ALIGNMENT_FLOOR_PITCHES)
    return ModelFile(
        **_of(line, file),
        response=_response(die, unsure_pitches * pitch),
        gauges=PlacesTable(**(near | far)),
        doubt={
            "gain_factor": round(found.gain_sd * line.die.gain_factor, 5),
            "kernel_fwhm_pitches": round(found.kernel_sd, 4),
            "kernel_lobe": round(found.lobe_sd, 4),
            "alignment_shift_mm": round(found.shift_sd * pitch, 3),
            "alignment_stretch_pct": round(found.stretch_sd, 4),
            "bolt_gains": round(float(found.bolt_gain_sd.mean()), 4),
            "distance_m": round(found.distance_sd_m, 4),
        },
        evidence={name: round(value, 4) for name, value in evidence.items()},
    )


def learnt(
    line: LineDescription, file: LineFile, sigma: Array, known: ModelFile | None, evidence: dict[str, float]
) -> ModelFile:
    """What a running loop learnt of the map, as a model that nobody has signed yet: `line` as it is now believed.

    sigma: (4,), of what controller.core.adapt learns, in its units. What was known otherwise stays as it was.
    """
    die, pitch = line.die, line.die.zone_pitch_mm
    gain, kernel, shift, stretch = (float(one) for one in sigma)
    near = {"wet_distance_m": line.wet_gauge.distance_m} if line.wet_gauge else {}
    far = {"dry_distance_m": line.dry_gauge.distance_m} if line.dry_gauge else {}
    doubt = {
        "gain_factor": gain * die.gain_factor,
        "kernel_fwhm_pitches": kernel * die.kernel_fwhm_pitches,
        "alignment_shift_mm": shift * pitch,
        "alignment_stretch_pct": 100.0 * stretch,
    }
    return ModelFile(
        **_of(line, file),
        response=_response(die, die.alignment_uncertainty_mm),
        gauges=PlacesTable(**(near | far)),
        doubt=(known.doubt if known else {}) | {name: round(value, 5) for name, value in doubt.items()},
        evidence={name: round(value, 4) for name, value in evidence.items()},
    )


def _of(line: LineDescription, file: LineFile) -> dict[str, str]:
    """Which line a model is of, and since when."""
    found_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"line": line.name, "belongs_to": fingerprint(file), "found_at": found_at}


def _response(die: DieDescription, unsure_mm: float) -> ResponseTable:
    """A die as it is believed, with an alignment as unsure as that, in digits that people read."""
    return ResponseTable(
        gain_factor=round(die.gain_factor, 5),
        kernel_fwhm_pitches=round(die.kernel_fwhm_pitches, 4),
        kernel_lobe=round(die.kernel_lobe, 4),
        alignment_shift_mm=round(die.alignment_shift_mm, 3),
        alignment_uncertainty_mm=round(unsure_mm, 3),
        alignment_stretch_pct=round(die.alignment_stretch_pct, 4),
        bolt_gains=[round(float(gain), 4) for gain in die.bolt_gains],
        bolt_delivery=[float(share) for share in die.bolt_delivery],
    )


def write_model(path: Path, model: ModelFile) -> None:
    """Write a model file in one move: a reader sees the old one or the whole new one."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(_toml(model), encoding="utf-8")
    os.replace(part, path)


def _toml(model: ModelFile) -> str:
    top = model.model_dump(exclude={"response", "gauges", "doubt", "evidence"})
    signed = "It is in use" if model.signed_off_by else "Nobody has signed it off: it is not in use"
    lines = [
        f"# What commissioning found of {model.line}. {signed}.",
        "# `evencoat sign-off` puts a name to it; delete the file to go back to the line file alone.",
        *(_row(key, value) for key, value in top.items()),
    ]
    for table in ("response", "gauges", "doubt", "evidence"):
        values = getattr(model, table)
        values = values if isinstance(values, dict) else values.model_dump(exclude_none=True)
        lines += ["", f"[{table}]", *(_row(key, value) for key, value in values.items())]
    return "\n".join(lines) + "\n"


def _row(key: str, value: object) -> str:
    return f"{key} = {json.dumps(value, ensure_ascii=False)}"  # JSON's scalars and lists are TOML's
