"""Recipes on the page: which there are, which is in use and what differs from it; one is loaded, or saved.

The store is the folder beside the journal, as for `evencoat recipe`. Which version is in use is what the audit chain
says of the last one that was taken.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping
from typing import Any

from controller.line.description import LineDescription
from evencoat.hmi.source import Source, SourceError
from evencoat.journal import JournalError, JournalReader
from evencoat.journal.audit import What
from evencoat.recipes.apply import Asks, Step, applied, recorded
from evencoat.recipes.recipe import Recipe, RecipeError, check, differences, moved_um, usual
from evencoat.recipes.store import store_beside
from evencoat.recipes.stretch import LEAST_M, last_good

NAMES_MOST, VERSIONS_MOST = 30, 8  # recipes that are shown, and the newest versions of each
BACK_S = 2 * 3600.0  # how far back lips are looked for that shall be the last good ones
LIPS = "lips."


class Recipes:
    """The recipes of one line. All methods block on the disk; all raise SourceError where the journal cannot be read.

    Those that speak of a version raise RecipeError where there is none, or the line cannot run it.
    """

    def __init__(self, source: Source) -> None:
        self._journal, self._line = source.journal, source.settings.line
        self._store = store_beside(source.journal)
        self._one = threading.Lock()  # stretches are looked for one at a time

    def told(self) -> dict[str, Any]:
        """The newest versions of every recipe, the newest first, and which one is in use."""
        found: list[dict[str, Any]] = []
        problems: list[str] = []
        for ref in self._newest():
            try:
                found.append(_plain(self._store.load(ref), self._line))
            except (RecipeError, OSError) as error:
                problems.append(str(error))
        return {"recipes": found, "in_use": self._in_use(), "problem": "; ".join(problems)}

    def differing(self, ref: str) -> dict[str, Any]:
        """What differs in a version from the one in use: of lips how far, um, and in which zone most.

        `against` is None where none is in use; `why` says why one that is cannot be compared.
        """
        new, used = self._store.load(ref), self._in_use()
        if used is None:
            return {"ref": new.ref, "against": None, "why": "", "fields": [], "lips": None}
        try:
            old = self._store.load(used["ref"])
        except (RecipeError, OSError) as error:
            return {"ref": new.ref, "against": used["ref"], "why": str(error), "fields": [], "lips": None}
        why = "" if old.sha256 == used["sha256"] else f"{old.ref}: is another than the one that was taken"
        fields = [one for one in differences(old, new) if not one[0].startswith(LIPS)]
        return {"ref": new.ref, "against": old.ref, "why": why, "fields": fields, "lips": _lips(old, new)}

    def load(self, desk: Asks, ref: str, lips: bool, who: str, via: str, why: str) -> list[Step]:
        """Ask the desk for it, part by part. Raises DeskError, too."""
        recipe = self._store.load(ref)
        check(recipe, self._line)
        return applied(desk, recipe, lips, who, via, why)

    def save(self, name: str, who: str, why: str) -> Recipe:
        """The next version, with the last good lips of the last two hours; all else is as it was, or the line's."""
        with self._one:
            before = self._store.load(name) if name in self._store.names() else None
            tolerance_pct = before.tolerance_pct if before else self._line.target.tolerance_pct
            rows = int(BACK_S / self._line.control.cycle_s)
            try:
                with JournalReader(self._journal) as reader:
                    lips = last_good(reader, self._line, tolerance_pct, LEAST_M, rows)
            except (JournalError, sqlite3.Error) as error:
                raise SourceError(str(error)) from error
            fields = {**({} if before else usual(self._line, lips)), "lips": lips.model_dump(mode="json")}
            return self._store.save(name, fields, who, why, lambda made: check(made, self._line))

    def _newest(self) -> list[str]:
        try:
            named = [(name, self._store.versions(name)) for name in self._store.names()[:NAMES_MOST]]
        except (RecipeError, OSError):  # a folder that went away, or is closed to us
            return []
        return [f"{name}@{version}" for name, versions in named for version in versions[: -VERSIONS_MOST - 1 : -1]]

    def _in_use(self) -> dict[str, Any] | None:
        """The version that the chain's newest record of a recipe speaks of: ref, sha256, who took it and when."""
        try:
            with JournalReader(self._journal) as reader:
                record = reader.audit_newest(What.RECIPE)
        except (JournalError, sqlite3.Error) as error:
            raise SourceError(str(error)) from error
        found = recorded(record.new) if record else None
        if record is None or found is None:
            return None
        return {"ref": found[0], "sha256": found[1], "who": record.who, "t_unix_s": record.t_unix_ns / 1e9}


def _plain(recipe: Recipe, line: LineDescription) -> dict[str, Any]:
    """A version without its lips one by one; `unfit` says why this line cannot run it."""
    told: dict[str, Any] = recipe.model_dump(mode="json", exclude={"lips": {"gap_um"}})
    try:
        check(recipe, line)
    except RecipeError as error:
        return {**told, "ref": recipe.ref, "unfit": str(error)}
    return {**told, "ref": recipe.ref, "unfit": ""}


def _lips(old: Recipe, new: Recipe) -> Mapping[str, Any] | None:
    """How far the lips of one are from those of the other, or whether it has any; None where all is the same."""
    if old.lips is None or new.lips is None:
        return None if old.lips is new.lips else {"taken": new.lips is not None}
    if len(old.lips.gap_um) != len(new.lips.gap_um):
        return None  # of another line: that differs, too
    mean_um, zone, most_um = moved_um(old.lips.gap_um, new.lips.gap_um)
    return {"mean_um": mean_um, "zone": zone, "most_um": most_um} if most_um else None
