"""The store of trained weights: which models there are, which one is in use, and what is refused before it is used.

A model is one safetensors file whose metadata carries its card. The store keeps it as `<sha256>.safetensors`, and
`active.json` says which one is in use: the one that comes with evencoat where nothing else was activated. Whatever
reads weights reads them here, and is handed nothing that was not checked in the same breath. docs/models.md says what
the checks promise; evencoat.model_commands is what people type.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, JsonValue, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from evencoat.atomic import alone_in, write_whole
from evencoat.settings_model import Table
from evencoat.settings_rules import Problem

FORMAT = 1  # of card and pointer
FILE_SIZE_MAX = 8_000_000  # bytes; our networks have some ten thousand weights of four bytes
CARD_SIZE_MAX = 200_000  # characters
POINTER_SIZE_MAX = 20_000  # bytes
WEIGHT_MAX = 1e3  # largest |w|; weights that learnt something stay below ten
SHA256 = r"[0-9a-f]{64}"
PREFIX_MIN = 6  # digits of a sha256 that name a model
SHIPPED = "shipped"  # what names the model that comes with evencoat, whichever that is
SHIPPED_FOLDER = Path(__file__).resolve().parent / "models"
SUFFIX = ".safetensors"
POINTER = "active.json"

Weights = npt.NDArray[np.float32]
AnyTable = TypeVar("AnyTable", bound=Table)


class ModelStoreError(Exception):
    """A model, a pointer or a model's name that is refused: file, field, value, bound, and what to do."""

    def __init__(self, file: Path | str, problem: Problem) -> None:
        self.file = str(file)
        self.problem = problem
        super().__init__(f"{file}: {problem}")


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must hold printable characters only")
    return text


def _decent(value: JsonValue) -> JsonValue:
    """Free JSON without what a card may nowhere hold: numbers that are none, characters that do things to terminals."""
    if isinstance(value, str):
        _printable(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must hold finite numbers only")
    for part in (*value, *value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ():
        _decent(part)
    return value


def _ordered(ends: list[float]) -> list[float]:
    if ends[0] > ends[1]:
        raise ValueError("must be [lowest, highest]")
    return ends


Words = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_printable)]
Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
Range = Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(_ordered)]
Named = Annotated[str, Field(pattern=rf"^({SHA256}|{SHIPPED})$")]


class Card(Table):
    """What is told of a model: what it was trained on, how, and how it did. Nobody has proved a word of it."""

    format: Literal[1] = Field(default=1, description="version of this card")
    architecture: Words = Field(description="name of the network that the weights belong to")
    families: list[Words] = Field(min_length=1, max_length=200, description="families of lines it was trained on")
    ranges: dict[Words, Range] = Field(description="what was drawn from where: [lowest, highest], unit in the name")
    seed: int = Field(ge=0, description="of the training")
    commit: Words = Field(description="of evencoat, when it was trained")
    trained_at: Moment = Field(description="when the training ended, UTC")
    train_s: float = Field(ge=0, description="how long the training took, s")
    command: Words = Field(description="that trains it again")
    league: Annotated[dict[str, JsonValue], AfterValidator(_decent)] = Field(description="how it did in the league")


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model that passed every check. Its tensors cannot be written to; the same hash at the same place is equal."""

    sha256: str
    path: Path
    card: Card = field(compare=False)
    tensors: dict[str, Weights] = field(compare=False)

    @property
    def weights(self) -> int:
        """How many numbers there are in all tensors together."""
        return sum(tensor.size for tensor in self.tensors.values())


class Pointer(Table):
    """active.json: which model is in use, and which was before. Each is a sha256, or "shipped"."""

    format: Literal[1] = Field(default=1, description="version of this file")
    active: Named = Field(description="the model in use")
    previous: Named | None = Field(default=None, description="what rollback goes back to; null: nothing")
    activated_at: Moment | None = Field(default=None, description="when, UTC; null: never")
    command: Words | None = Field(default=None, description="that activated it")


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a list: a file, what it is used as (active, previous, shipped), and its model or why it has none."""

    path: Path
    uses: tuple[str, ...]
    model: StoredModel | None
    refusal: str = ""


# --- one file ----------------------------------------------------------------------------------------------------


def load_model(path: Path, in_store: bool = False) -> StoredModel:
    """The model in a file, read once and checked whole: size, hash, structure, card, every number.

    In a store the file's name must be the hash of its content; elsewhere only where the name looks like one.
    Raises ModelStoreError.
    """
    return _checked(_content(path, FILE_SIZE_MAX, "This is not one of our models"), path, in_store)


def write_model(path: Path, tensors: Mapping[str, Weights], card: Card) -> StoredModel:
    """Write tensors (float32, any shape) and their card into a file, in one move. The same input makes the same bytes.

    Raises ModelStoreError, before anything is written, for what load_model would refuse; OSError.
    """
    for name, tensor in tensors.items():
        _refuse_unsound(name, tensor, path)
    told = json.dumps(card.model_dump(), sort_keys=True, ensure_ascii=False)
    dense = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}  # save() copies memory as it lies
    content = save(dense, metadata={"card": told})
    if len(content) > FILE_SIZE_MAX:
        _refuse_size(path, len(content), FILE_SIZE_MAX, "Train a smaller network")
    model = _checked(content, path, in_store=False)
    write_whole(path, content)
    return model


def _content(path: Path, size_max: int, advice: str) -> bytes:
    try:
        if not path.exists():
            raise ModelStoreError(path, Problem("", "", "there is no such file", "See `evencoat model list`"))
        if not path.is_file():
            raise ModelStoreError(path, Problem("", "", "is not a regular file", "Give a file"))
        with path.open("rb") as file:
            content = file.read(size_max + 1)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise ModelStoreError(path, Problem("", "", f"cannot be read: {error}", "Look at its permissions")) from error
    if len(content) > size_max:
        _refuse_size(path, size, size_max, advice)
    return content


def _refuse_size(path: Path, size: int, size_max: int, advice: str) -> NoReturn:
    raise ModelStoreError(path, Problem("size", f"{size} bytes", f"must be at most {size_max} bytes", advice))


def _checked(content: bytes, path: Path, in_store: bool) -> StoredModel:
    """The model in bytes that were read from a file, or are to become it."""
    sha256 = hashlib.sha256(content).hexdigest()
    if path.stem != sha256 and (in_store or re.fullmatch(SHA256, path.stem)):
        advice = "The file was damaged, changed or renamed since it was added: remove it and add the original again"
        bound = f"must be the sha256 of what the file holds, {sha256}"
        raise ModelStoreError(path, Problem("name", _plain(path.stem), bound, advice))
    metadata, tensors = _parts(content, path)
    card = _card(metadata, path)
    if not tensors:
        raise ModelStoreError(path, Problem("tensors", "0", "must be at least 1", "Export the trained weights"))
    for name, tensor in tensors.items():
        _refuse_unsound(name, tensor, path)
        tensor.flags.writeable = False
    return StoredModel(sha256, path, card, dict(sorted(tensors.items())))


def _parts(content: bytes, path: Path) -> tuple[dict[str, str], dict[str, npt.NDArray[Any]]]:
    """Metadata and tensors, of whatever type, of a safetensors file."""
    try:
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])  # where the format has it
    except KeyError as error:
        problem = Problem("tensors", str(error.args[0]), "must be float32", "Export the weights as float32")
        raise ModelStoreError(path, problem) from error
    except (SafetensorError, ValueError, OverflowError, RecursionError) as error:  # last: shapes that no array has
        problem = Problem("header", "", f"is not safetensors: {_plain(str(error))}", "Add the original file again")
        raise ModelStoreError(path, problem) from error
    return header.get("__metadata__") or {}, tensors


def _card(metadata: Mapping[str, str], path: Path) -> Card:
    told, again = metadata.get("card"), "Export the model again with this evencoat"
    if told is None:
        advice = 'Only a file with a card under "card" in its metadata can be told from any other; export it again'
        raise ModelStoreError(path, Problem("card", "", "is missing", advice))
    if len(told) > CARD_SIZE_MAX:
        bound = f"must be at most {CARD_SIZE_MAX} characters"
        raise ModelStoreError(path, Problem("card", f"{len(told)} characters", bound, again))
    data = _json(told, path, "card")
    if "format" not in data:
        raise ModelStoreError(path, Problem("card.format", "", "is missing", again))
    if data["format"] != FORMAT:
        advice = "It was written for another version of evencoat: use that one, or train again"
        bound = f"must be {FORMAT}, all that is known here"
        raise ModelStoreError(path, Problem("card.format", _plain(repr(data["format"])), bound, advice))
    return _table(Card, data, path, "card.", again)


def _refuse_unsound(name: str, tensor: npt.NDArray[Any], path: Path) -> None:
    named = f"tensor {_plain(name)}"
    if not name.isprintable():
        problem = Problem(named, "", "its name must hold printable characters only", "Export it under another name")
        raise ModelStoreError(path, problem)
    if tensor.dtype != np.float32:
        raise ModelStoreError(path, Problem(named, str(tensor.dtype), "must be float32", "Export it as float32"))
    if not np.isfinite(tensor).all():
        _refuse_number(named, tensor, ~np.isfinite(tensor), "must be finite", path)
    if np.abs(tensor).max(initial=0.0) > WEIGHT_MAX:
        _refuse_number(named, tensor, np.abs(tensor) > WEIGHT_MAX, f"must be within +-{WEIGHT_MAX:g}", path)


def _refuse_number(field: str, tensor: Weights, bad: npt.NDArray[np.bool_], bound: str, path: Path) -> NoReturn:
    where = tuple(int(index) for index in np.argwhere(bad)[0])
    advice = "The training went astray: do not use these weights, train again"
    raise ModelStoreError(path, Problem(f"{field}{list(where)}", f"{tensor[where]:g}", bound, advice))


# --- the store ---------------------------------------------------------------------------------------------------


def default_folder() -> Path:
    """$EVENCOAT_MODELS, or evencoat/models where the user's data lie (XDG_DATA_HOME, ~/.local/share)."""
    given = os.environ.get("EVENCOAT_MODELS", "")
    if given:
        return Path(given).expanduser()
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (data if data.is_absolute() else Path.home() / ".local" / "share") / "evencoat" / "models"


@dataclass(frozen=True, slots=True)
class ModelStore:
    """A folder of models with a pointer to the one in use, and beside it the folder that comes with evencoat.

    Processes may use one store at the same time: changes take turns, readers see the state before or after.
    """

    folder: Path
    shipped_folder: Path = SHIPPED_FOLDER

    def active(self) -> StoredModel | None:
        """The model in use; None where nothing was activated and none is shipped.

        Raises ModelStoreError where the one to be used is not there or broken: another is never taken in its place.
        """
        path = self._path(self.pointer().active)
        return None if path is None else load_model(path, in_store=True)

    def shipped(self) -> Path | None:
        """The file that comes with evencoat, if there is one. Raises ModelStoreError where there are several."""
        files = _models_in(self.shipped_folder)
        if len(files) > 1:
            problem = Problem("models", str(len(files)), "must be at most 1", "Keep the one that is meant")
            raise ModelStoreError(self.shipped_folder, problem)
        return files[0] if files else None

    def pointer(self) -> Pointer:
        """What active.json says; the shipped model where there is no such file. Raises ModelStoreError."""
        path = self.folder / POINTER
        if not path.exists():
            return Pointer(active=SHIPPED)
        advice = f"Remove {POINTER}, which goes back to the shipped model, and activate again"
        text = _content(path, POINTER_SIZE_MAX, advice).decode(errors="replace")
        return _table(Pointer, _json(text, path, ""), path, "", advice)

    def listed(self) -> list[Listed]:
        """Every file of the store, the shipped one first, and what the pointer names although it is not there.

        Files that are refused are listed with the reason. Raises ModelStoreError for a pointer that is refused, and
        for several shipped files.
        """
        pointer, shipped = self.pointer(), self.shipped()
        named = [self._stored(name) for name in (pointer.active, pointer.previous) if name not in (None, SHIPPED)]
        paths = {path: path.stem for path in sorted({*_models_in(self.folder), *named})}
        rows = {} if shipped is None else {shipped: SHIPPED}
        return [_listed(path, name, pointer) for path, name in {**rows, **paths}.items()]

    def find(self, name: str) -> StoredModel:
        """The model meant by "shipped", a sha256 or its first digits (6 at least). Raises ModelStoreError."""
        return load_model(self.path_of(name), in_store=True)

    def path_of(self, name: str) -> Path:
        """The file of the model meant, unread: see find. Raises ModelStoreError where it is not exactly one."""
        shipped = self.shipped()
        if name == SHIPPED:
            if shipped is None:
                problem = Problem("model", SHIPPED, "none comes with this evencoat", "See `evencoat model list`")
                raise ModelStoreError(self.shipped_folder, problem)
            return shipped
        prefix = name.lower()
        if not re.fullmatch(rf"[0-9a-f]{{{PREFIX_MIN},64}}", prefix):
            bound = f"must be {PREFIX_MIN} to 64 hexadecimal digits of a sha256, or {SHIPPED}"
            raise ModelStoreError(self.folder, Problem("model", _plain(name), bound, "See `evencoat model list`"))
        known = {path.stem: path for path in (shipped, *_models_in(self.folder)) if path is not None}
        found = [path for sha256, path in known.items() if sha256.startswith(prefix)]
        if len(found) != 1:
            bound = f"must begin one model's sha256, and begins {len(found)}"
            advice = "Give more digits" if found else "See `evencoat model list`"
            raise ModelStoreError(self.folder, Problem("model", name, bound, advice))
        return found[0]

    def add(self, path: Path) -> StoredModel:
        """Copy a file into the store, after all checks. A model that is shipped is not copied.

        Raises ModelStoreError for a file that is refused; OSError.
        """
        content = _content(path, FILE_SIZE_MAX, "This is not one of our models")
        model = _checked(content, path, in_store=False)
        shipped = self.shipped()
        if shipped is not None and shipped.stem == model.sha256:
            return load_model(shipped, in_store=True)
        with alone_in(self.folder):
            write_whole(self._stored(model.sha256), content)
        return load_model(self._stored(model.sha256), in_store=True)

    def activate(self, name: str, command: str) -> StoredModel:
        """Take a model into use, after all checks; what was in use is what rollback goes back to.

        `command` is what to remember of who asked. Raises ModelStoreError, and nothing has changed; OSError.
        """
        with alone_in(self.folder):
            path, before = self.path_of(name), self.pointer()
            model = load_model(path, in_store=True)
            chosen = SHIPPED if path == self.shipped() else model.sha256
            if chosen != before.active:
                self._point(chosen, before.active, command)
        return model

    def rollback(self, command: str) -> StoredModel | None:
        """Go back to what was in use before; None where that is the shipped model and none is shipped.

        Nothing is left to go back to then: asked twice, it does not bring back the model that somebody fled from.
        Raises ModelStoreError where there is no previous one or it is refused, and nothing has changed; OSError.
        """
        with alone_in(self.folder):
            pointer = self.pointer()
            if pointer.previous is None:
                problem = Problem("previous", "", "there is none to go back to", "Name one: `evencoat model activate`")
                raise ModelStoreError(self.folder / POINTER, problem)
            path = self._path(pointer.previous)
            model = None if path is None else load_model(path, in_store=True)
            self._point(pointer.previous, None, command)
        return model

    def _stored(self, sha256: str | None) -> Path:
        return self.folder / f"{sha256}{SUFFIX}"

    def _path(self, name: str) -> Path | None:
        return self.shipped() if name == SHIPPED else self._stored(name)

    def _point(self, active: str, previous: str | None, command: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        pointer = Pointer(active=active, previous=previous, activated_at=now, command=_plain(command, 2000))
        write_whole(self.folder / POINTER, (pointer.model_dump_json(indent=2) + "\n").encode())


def _models_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))


def _listed(path: Path, name: str, pointer: Pointer) -> Listed:
    """A row; `name` is what the pointer would call this file."""
    marks = (("active", pointer.active), ("previous", pointer.previous), (SHIPPED, SHIPPED))
    uses = tuple(use for use, named in marks if named == name)
    try:
        return Listed(path, uses, load_model(path, in_store=True))
    except ModelStoreError as error:
        return Listed(path, uses, None, str(error))


# --- from JSON to tables -----------------------------------------------------------------------------------------


def _json(text: str, path: Path, field: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        problem = Problem(field, "", f"is not JSON: {_plain(str(error))}", "Put the original file back")
        raise ModelStoreError(path, problem) from error
    if not isinstance(data, dict):
        raise ModelStoreError(
            path, Problem(field, _plain(repr(data)), "must be a JSON object", "Put the original file back")
        )
    return data


def _table(kind: type[AnyTable], data: dict[str, Any], path: Path, above: str, advice: str) -> AnyTable:
    try:
        return kind.model_validate(data)
    except RecursionError as error:
        problem = Problem(above.rstrip("."), "", "is nested too deep", advice)
        raise ModelStoreError(path, problem) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = above + _plain(".".join(str(part) for part in first["loc"]))
        given = "" if first["type"] == "missing" else _plain(repr(first["input"]))
        bound = first["msg"].removeprefix("Value error, ")
        raise ModelStoreError(path, Problem(field, given, bound, advice)) from error


def _plain(text: str, length: int = 120) -> str:
    """One line of text that does nothing to a terminal, whatever stood in somebody's file."""
    shown = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
    return shown if len(shown) <= length else shown[: length - 3] + "..."
