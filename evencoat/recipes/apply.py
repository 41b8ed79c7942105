"""A recipe goes to a line that runs, by way of its desk, which decides who may and what the line can take.

Each part is asked for by itself, under the desk's own bounds. What was taken is then one record of the audit chain,
with the version's hash; the target and the lips have their own records as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from evencoat.desk.client import Answer
from evencoat.recipes.recipe import Recipe, RecipeError

RECORD = re.compile(r"([A-Za-z0-9._-]+@\d+) sha256 ([0-9a-f]{64}): ")  # how a record of what was taken begins


class Asks(Protocol):
    """evencoat.desk.client.Desk, as far as it is needed here."""

    def ask(self, who: str, via: str, action: str, values: Mapping[str, Any] | None = None, why: str = "") -> Answer:
        """One request, one answer."""
        ...


class Step(NamedTuple):
    """One part that was asked for, and the desk's answer."""

    action: str
    accepted: bool
    reason: str


def recorded(text: str) -> tuple[str, str] | None:
    """Reference and hash of the version that a record of the audit chain speaks of; None where it speaks of none."""
    found = RECORD.match(text)
    return (found[1], found[2]) if found else None


class Part(NamedTuple):
    """One part of a recipe as the desk takes it, and what it is in words."""

    action: str
    values: Mapping[str, Any]
    words: str


def parts_of(recipe: Recipe, lips: bool) -> list[Part]:
    """What there is to be asked for: the lips where they are wanted, then the target. Raises RecipeError."""
    parts = [Part("target_gsm", {"value": recipe.target_gsm}, f"target {recipe.target_gsm:g} g/m2")]
    if lips:
        if recipe.lips is None:
            raise RecipeError(f"{recipe.ref}: has no lip profile")
        targets = {str(zone): um for zone, um in enumerate(recipe.lips.gap_um, 1)}
        parts.insert(0, Part("gap_um", {"targets": targets}, f"lips of roll {recipe.lips.roll_last}"))
    return parts


def why_of(recipe: Recipe, why: str) -> str:
    """The reason of a setpoint that a recipe is behind."""
    return f"recipe {recipe.ref}" + (f": {why}" if why else "")


def record_of(recipe: Recipe, taken: Sequence[str]) -> str:
    """The record of what of a recipe was taken."""
    return f"{recipe.ref} sha256 {recipe.sha256}: {', '.join(taken)}"


def applied(desk: Asks, recipe: Recipe, lips: bool, who: str, via: str, why: str) -> list[Step]:
    """Ask for the lips where they are wanted, then for the target; nothing more after a refusal. All of it is recorded.

    Raises RecipeError where lips are wanted and the recipe has none; DeskError.
    """
    steps, taken = list[Step](), list[str]()
    for action, values, words in parts_of(recipe, lips):
        answer = desk.ask(who, via, action, values, why_of(recipe, why))
        steps.append(Step(action, answer.accepted, answer.reason))
        if not answer.accepted:
            break
        taken.append(words)
    if taken:
        answer = desk.ask(who, via, "recipe", {"text": record_of(recipe, taken)}, why)
        steps.append(Step("recipe", answer.accepted, answer.reason))
    return steps
