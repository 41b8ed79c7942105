"""A plan: which recipe a line is run with, and at which roll, metre or word of the PLC's it gets the next one.

    recipe = "anode-90"                 # at the start; NAME or NAME@VERSION of the store

    [[change]]
    roll = 3                            # or web_m = 28_000.0, or plc = "4711"
    recipe = "anode-92@2"

Read once, with every recipe in it, so that nothing can be wrong with it in the middle of the night.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field, ValidationError

from controller.line.description import LineDescription
from evencoat.recipes.recipe import Recipe, RecipeError, check
from evencoat.recipes.store import RecipeStore
from evencoat.settings_model import Table

FILE_SIZE_MAX = 100_000  # bytes
CHANGES_MOST = 100
Ref = Annotated[str, Field(min_length=1, max_length=80)]


class PlanError(Exception):
    """A plan that cannot be used; the text names file and field, and what is wrong."""


class Change(NamedTuple):
    """The next recipe, from when one of these is so."""

    recipe: Recipe
    roll: int | None = None
    web_m: float | None = None
    plc: str | None = None


class Plan(NamedTuple):
    """The recipe of the start, and all changes. Nothing planned is a plan, too."""

    first: Recipe | None = None
    changes: tuple[Change, ...] = ()


class Place(NamedTuple):
    """How far a line is. `plc`: the recipe that the PLC last named, "" where it named none."""

    roll: int
    web_m: float
    plc: str = ""


class ChangeTable(Table):
    """[[change]]"""

    recipe: Ref
    roll: int | None = Field(default=None, ge=1, le=2**31)
    web_m: float | None = Field(default=None, ge=0, le=1e9)
    plc: str | None = Field(default=None, min_length=1, max_length=120)


class PlanFile(Table):
    """A whole plan."""

    recipe: Ref | None = None
    change: list[ChangeTable] = Field(default=[], max_length=CHANGES_MOST)


def load(path: Path, store: RecipeStore, line: LineDescription) -> Plan:
    """The plan of a file, with its recipes. Raises PlanError, also for a recipe that this line cannot run."""
    try:
        if path.stat().st_size > FILE_SIZE_MAX:
            raise PlanError(f"{path}: larger than {FILE_SIZE_MAX} bytes: this is no plan")
        file = PlanFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise PlanError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise PlanError(f"{path}: {field} = {first['input']!r:.60}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise PlanError(f"{path}: is not TOML: {error}") from None

    def recipe(field: str, ref: str) -> Recipe:
        try:
            found = store.load(ref)
            check(found, line)
        except (RecipeError, OSError) as error:
            raise PlanError(f"{path}: {field} = {ref!r}: {error}") from None
        return found

    changes = []
    for k, one in enumerate(file.change):
        said = [name for name in ("roll", "web_m", "plc") if getattr(one, name) is not None]
        if len(said) != 1:
            raise PlanError(f"{path}: change[{k}]: needs one of roll, web_m and plc, has {', '.join(said) or 'none'}")
        changes.append(Change(recipe(f"change[{k}].recipe", one.recipe), one.roll, one.web_m, one.plc))
    return Plan(None if file.recipe is None else recipe("recipe", file.recipe), tuple(changes))


def met(change: Change, where: Place) -> bool:
    """Whether a change's moment has come."""
    if change.roll is not None:
        return where.roll >= change.roll
    if change.web_m is not None:
        return where.web_m >= change.web_m
    return where.plc == change.plc


def chosen(plan: Plan, where: Place) -> Recipe | None:
    """The recipe of a line that is found there: of all changes that have come the last, else that of the start."""
    came = [change.recipe for change in plan.changes if met(change, where)]
    return came[-1] if came else plan.first
