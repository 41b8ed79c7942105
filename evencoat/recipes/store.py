"""The store: a folder of recipes, each a folder of versions, each a file that is written once.

A version's file is `NAME/000007.json`. Who saves holds a lock for the whole store, so that no two versions get one
number; who reads needs none, for a file is there whole or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evencoat.atomic import alone_in, write_whole
from evencoat.recipes.recipe import NAME, Recipe, RecipeError, made, read, written

FILE_SIZE_MAX = 100_000  # bytes; 120 lips have three thousand
FILE = re.compile(r"^([0-9]{6})\.json$")


def moment(unix_s: float | None = None) -> str:
    """A moment in UTC, now where none is given, as recipes write it."""
    when = datetime.now(UTC) if unix_s is None else datetime.fromtimestamp(unix_s, UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def store_beside(journal: Path) -> RecipeStore:
    """The store of the line that writes this journal."""
    return RecipeStore(journal.parent / "recipes")


@dataclass(frozen=True, slots=True)
class RecipeStore:
    """A folder, which is made when something is saved."""

    folder: Path

    def names(self) -> list[str]:
        """All recipes that have a version."""
        if not self.folder.is_dir():
            return []
        return sorted(
            path.name for path in self.folder.iterdir() if re.fullmatch(NAME, path.name) and self._files(path)
        )

    def versions(self, name: str) -> list[int]:
        """All versions of a recipe, from the first. Raises RecipeError for one that there is not."""
        found = self._files(self.folder / _sound(name))
        if not found:
            known = ", ".join(self.names()) or "none"
            raise RecipeError(f"{self.folder}: there is no recipe {name!r}; there are: {known}")
        return found

    def load(self, ref: str) -> Recipe:
        """`NAME`, the newest, or `NAME@VERSION`. Raises RecipeError where there is none, or it is damaged."""
        name, at, digits = ref.partition("@")
        versions = self.versions(name)
        if at and not (digits.isascii() and digits.isdigit() and int(digits) in versions):
            raise RecipeError(f"{ref}: has versions {versions[0]} to {versions[-1]}, not {digits!r:.20}")
        return self._read(name, int(digits) if at else versions[-1])

    def history(self, name: str) -> list[Recipe]:
        """Every version from the first. Raises RecipeError where one is damaged, missing or does not follow."""
        found: list[Recipe] = []
        for place, version in enumerate(self.versions(name), 1):
            if version != place:
                raise RecipeError(f"{self.folder / name}: version {place} is missing")
            recipe = self._read(name, version)
            if recipe.before != (found[-1].sha256 if found else None):
                raise RecipeError(f"{recipe.ref}: does not follow the version before it, which is another than it was")
            found.append(recipe)
        return found

    def save(
        self, name: str, changes: Mapping[str, Any], who: str, why: str, check: Callable[[Recipe], None]
    ) -> Recipe:
        """The next version: the fields of the one before with `changes`. Nothing that is there is written over.

        `check` raises RecipeError for what a line cannot run. Raises that too where a field is wrong, or nothing would
        change; OSError.
        """
        _sound(name)
        with alone_in(self.folder):
            before = self._read(name, self._files(self.folder / name)[-1]) if name in self.names() else None
            recipe = made(
                {
                    **(before.content() if before else {}),
                    **changes,
                    "name": name,
                    "version": before.version + 1 if before else 1,
                    "before": before.sha256 if before else None,
                    "saved_at": moment(),
                    "who": who,
                    "why": why,
                }
            )
            if before is not None and before.content() == recipe.content():
                raise RecipeError(f"{name}: nothing differs from version {before.version}")
            check(recipe)
            path = self._path(name, recipe.version)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            write_whole(path, written(recipe))
        return recipe

    def _read(self, name: str, version: int) -> Recipe:
        path = self._path(name, version)
        if path.stat().st_size > FILE_SIZE_MAX:
            raise RecipeError(f"{path}: larger than {FILE_SIZE_MAX} bytes: this is no recipe")
        recipe = read(path.read_bytes(), str(path))
        if (recipe.name, recipe.version) != (name, version):
            raise RecipeError(f"{path}: holds {recipe.ref}")
        return recipe

    def _path(self, name: str, version: int) -> Path:
        return self.folder / name / f"{version:06}.json"

    @staticmethod
    def _files(folder: Path) -> list[int]:
        if not folder.is_dir():
            return []
        return sorted(int(found[1]) for path in folder.iterdir() if (found := FILE.match(path.name)))


def _sound(name: str) -> str:
    """A name that is no path. Raises RecipeError."""
    if re.fullmatch(NAME, name) is None:
        raise RecipeError(
            f"name = {name!r:.70}: must be 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"
        )
    return name
