"""One version of a recipe: its fields with units and bounds, the hash over them, and what differs between two.

A version is a JSON object. Its hash is the SHA-256 of the UTF-8 of that object without `sha256`, keys sorted, no spaces
and no escapes but JSON's own. `before` is the hash of the version before it, so that a chain shows what was changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field, ValidationError

from controller.core.target import bounds_gsm
from controller.line.description import LineDescription
from evencoat.settings_model import Table

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
SHA256 = r"^[0-9a-f]{64}$"
MOMENT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"
ROUNDING = 1e-9  # bounds are compared with this slack, relative to their size
BOOKKEEPING = ("format", "version", "saved_at", "who", "why", "before", "sha256")  # of a version, not of what is run


class RecipeError(Exception):
    """A recipe that is refused; the text names file or field, value and bound."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line of printable characters")
    return text


Words = Annotated[str, Field(max_length=500), AfterValidator(_printable)]
Name = Annotated[str, Field(pattern=NAME)]
Hash = Annotated[str, Field(pattern=SHA256)]
Moment = Annotated[str, Field(pattern=MOMENT)]


class Lips(Table):
    """A lip profile that was good, and where it was."""

    gap_um: Annotated[list[Annotated[float, Field(ge=0, le=10_000)]], Field(min_length=1, max_length=140)] = Field(
        description="mean fed-back position of each lip, um"
    )
    target_gsm: float = Field(ge=5, le=1000, description="mean target it was good for, g/m2")
    web_m: float = Field(gt=0, description="length of the stretch that was seen to be good, m")
    sigma_pct: float = Field(ge=0, description="standard deviation across the web of the stretch's mean, percent")
    speed_m_per_min: float = Field(ge=0, description="mean web speed, m/min")
    roll_first: int = Field(ge=0, description="roll in which it began")
    roll_last: int = Field(ge=0, description="roll in which it ended")
    batch: int = Field(ge=0, description="slurry batch at its end")
    from_at: Moment = Field(description="when it began, UTC")
    to_at: Moment = Field(description="when it ended, UTC")
    from_cycle: int = Field(description="cycle of the journal in which it began")
    to_cycle: int = Field(description="cycle of the journal in which it ended")
    journal_id: Words = Field(description="of the journal it was taken from")


class Recipe(Table):
    """One version. Names of materials and orders are those of ISA-95."""

    format: Literal[1] = Field(default=1, description="version of this file's form")
    name: Name = Field(description="of the recipe")
    version: int = Field(ge=1, le=999_999, description="counted from 1")
    line: Words = Field(description="name of the line it is for")
    target_gsm: float = Field(ge=5, le=1000, description="mean target areal density, g/m2")
    tolerance_pct: float = Field(ge=0.1, le=20, description="half width of the tolerance band, percent of target")
    speed_m_per_min: float = Field(ge=0.1, le=400, description="web speed that it is run at, m/min")
    slurry: Words = Field(default="", description="which slurry, in words")
    material_definition: Words = Field(default="", description="ISA-95 material definition")
    material_lot: Words = Field(default="", description="ISA-95 material lot")
    job_order: Words = Field(default="", description="ISA-95 job order")
    lips: Lips | None = Field(default=None, description="last good lip profile; null: none was taken")
    saved_at: Moment = Field(description="when, UTC")
    who: Words = Field(description="who saved it")
    why: Words = Field(default="", description="what for")
    before: Hash | None = Field(default=None, description="hash of the version before; null: there is none")
    sha256: Hash = Field(description="over all the rest")

    @property
    def ref(self) -> str:
        """How people name this version."""
        return f"{self.name}@{self.version}"

    def content(self) -> dict[str, Any]:
        """What is run, without who saved it when."""
        told = self.model_dump(mode="json")
        return {key: value for key, value in told.items() if key not in BOOKKEEPING}


def usual(line: LineDescription, lips: Lips | None) -> dict[str, Any]:
    """What a first version says where nobody says otherwise: as the lips were good, else as the line file has it."""
    return {
        "line": line.name,
        "target_gsm": lips.target_gsm if lips else float(line.target_profile_gsm.mean()),
        "tolerance_pct": line.target.tolerance_pct,
        "speed_m_per_min": lips.speed_m_per_min if lips else round(60.0 * line.web_speed_mps, 6),
    }


def digest(told: Mapping[str, Any]) -> str:
    """The hash of a version's object, whatever its own `sha256` says."""
    rest = {key: value for key, value in told.items() if key != "sha256"}
    text = json.dumps(rest, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def made(fields: Mapping[str, Any]) -> Recipe:
    """A version of these fields, with its hash. Raises RecipeError naming the first field that is wrong."""
    told = Recipe.model_validate(_refusing({**fields, "sha256": "0" * 64})).model_dump(mode="json")
    return Recipe.model_validate({**told, "sha256": digest(told)})


def read(content: bytes, where: str) -> Recipe:
    """A version as a file holds it. Raises RecipeError where it is none, or not what it was when it was saved."""
    try:
        told = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{where}: is not JSON ({error})") from None
    if not isinstance(told, dict):
        raise RecipeError(f"{where}: must be a JSON object")
    try:
        recipe = Recipe.model_validate(_refusing(told))
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}") from None
    if recipe.sha256 != digest(told):
        raise RecipeError(f"{where}: is not what it was when it was saved (its sha256 is {digest(told)})")
    return recipe


def written(recipe: Recipe) -> bytes:
    """The file of a version."""
    return (json.dumps(recipe.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n").encode()


def _refusing(fields: dict[str, Any]) -> dict[str, Any]:
    """The same fields. Raises RecipeError for the first that is wrong."""
    try:
        Recipe.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        given = "" if first["type"] == "missing" else f" = {first['input']!r:.60}"
        raise RecipeError(f"{field}{given}: {first['msg'].removeprefix('Value error, ')}") from None
    return fields


def check(recipe: Recipe, line: LineDescription) -> None:
    """Raises RecipeError where this line cannot run it."""
    if recipe.line != line.name:
        raise RecipeError(f"line: {recipe.ref} is for {recipe.line!r}, this is {line.name!r}")
    low, high = bounds_gsm(line)
    speed_max = 60.0 * line.web_speed_max_mps
    for field, low_, high_, unit, why in (
        ("target_gsm", low, high, "g/m2", "what half of the pump's trim reaches"),
        ("tolerance_pct", 0.1, line.target.tolerance_pct, "percent", "the line file's tolerance"),
        ("speed_m_per_min", 0.1, speed_max, "m/min", "the line's fastest"),
    ):
        value = getattr(recipe, field)
        if not low_ * (1.0 - ROUNDING) <= value <= high_ * (1.0 + ROUNDING):
            raise RecipeError(f"{field} = {value:g}: must lie between {low_:g} and {high_:g} {unit}, {why}")
    if recipe.lips is not None:
        _check_lips(recipe.lips, line)


def _check_lips(lips: Lips, line: LineDescription) -> None:
    if len(lips.gap_um) != line.zones:
        raise RecipeError(f"lips.gap_um: {len(lips.gap_um)} lips, but {line.name} has {line.zones}")
    for zone, gap_um in enumerate(lips.gap_um):
        if not line.lips.gap_min_um <= gap_um <= line.lips.gap_max_um:
            low, high = line.lips.gap_min_um, line.lips.gap_max_um
            raise RecipeError(f"lips.gap_um, zone {zone + 1} = {gap_um:g}: must lie between {low:g} and {high:g} um")


def differences(old: Recipe, new: Recipe) -> Iterator[tuple[str, Any, Any]]:
    """Field, old and new value, of all that differs in what is run; fields of the lips as `lips.NAME`."""
    one, other = _flat(old), _flat(new)
    for field in dict.fromkeys((*one, *other)):
        if one.get(field) != other.get(field):
            yield field, one.get(field), other.get(field)


def _flat(recipe: Recipe) -> dict[str, Any]:
    told = recipe.content()
    lips = told.pop("lips")
    return told | {f"lips.{name}": value for name, value in (lips or {}).items()}


def moved_um(old: list[float], new: list[float]) -> tuple[float, int, float]:
    """How far as many lips are apart, um: on average, and most, with the zone in which, counted from 1."""
    by_um = np.subtract(new, old)
    worst = int(np.abs(by_um).argmax())
    return float(by_um.mean()), worst + 1, float(by_um[worst])


def moved_words(old: list[float], new: list[float]) -> str:
    """How far lips are apart, in a sentence."""
    if len(old) != len(new):
        return f"{len(old)} lips, then {len(new)}"
    mean_um, zone, most_um = moved_um(old, new)
    return f"mean {mean_um:+.2f} um, most in zone {zone}: {most_um:+.2f} um"
