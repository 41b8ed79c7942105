"""One snapshot a journal: a safetensors file with a card, written whole or not at all, believed only when all fits."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from controller import restart
from controller.core import step as core
from controller.core.estimate import EstimateState
from controller.core.network import Network
from controller.core.step import Config
from controller.line.command import Mode
from controller.restart import Kept
from evencoat import __version__
from evencoat.atomic import write_whole
from evencoat.settings import Settings
from evencoat.settings_model import Table
from evencoat.snapshot.plain import AnyArray, FieldRefused, from_arrays, to_arrays

FORMAT = 1  # to be raised whenever a field keeps its name and shape and means something else
SUFFIX = ".snapshot"
SIZE_MAX = 64 << 20
CARD_SIZE_MAX = 100_000
THERE, UNSURE = "adapt.there", "unsure_mm"


class SnapshotError(Exception):
    """A snapshot that cannot be used, with the reason in words. The start begins without it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose a snapshot is. line, recipe: of the tables of the settings file; law: which one the controller runs."""

    line: str
    recipe: str
    law: str

    @classmethod
    def of(cls, settings: Settings) -> Identity:
        """The line is machine and signed-off model; the recipe is target, slurry and web speed."""
        line = settings.line
        recipe = [repr(line.target), repr(line.slurry), line.web_speed_mps]
        machine = [line.name, line.web_width_mm, *map(repr, (line.die, line.lips, line.pump))]
        machine += [repr(line.wet_gauge), repr(line.dry_gauge), line.control.cycle_s]
        return cls(_digest(machine), _digest(recipe), str(line.control.law))


class Card(Table):
    """What a snapshot says of itself, as JSON in its metadata."""

    format: int
    version: str
    line: str
    recipe: str
    law: str
    roll: int
    batch: int
    web_m: float
    t_line_ns: int
    t_unix_s: float
    sha256: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One that was read: its card, and the arrays, which nobody has looked into yet."""

    card: Card
    arrays: Mapping[str, AnyArray]

    @property
    def age_s(self) -> float:
        """By the wall clock, for people only."""
        return time.time() - self.card.t_unix_s


def path_beside(journal: Path) -> Path:
    """Where the snapshot of a journal's line lies."""
    return journal.with_name(journal.name + SUFFIX)


def write(path: Path, before: Kept, identity: Identity, t_line_ns: int) -> int:
    """Write a snapshot; returns its size in bytes. Raises OSError, and the one before still stands."""
    arrays = to_arrays(before)
    card = Card(
        format=FORMAT,
        version=__version__,
        **asdict(identity),
        roll=before.roll,
        batch=before.batch,
        web_m=before.web_m,
        t_line_ns=t_line_ns,
        t_unix_s=time.time(),
        sha256=_sha256(arrays),
    )
    content = save(arrays, metadata={"card": card.model_dump_json()})
    write_whole(path, content)
    return len(content)


def read(path: Path, identity: Identity) -> Snapshot | None:
    """The snapshot at `path` for this line and recipe; None where there is none. Raises SnapshotError."""
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > SIZE_MAX:
            raise SnapshotError(f"{path}: {path.stat().st_size} bytes, must be at most {SIZE_MAX}")
        content = path.read_bytes()
        arrays = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        told = (header.get("__metadata__") or {}).get("card", "")
        if not 0 < len(told) <= CARD_SIZE_MAX:
            raise SnapshotError(f"{path}: has no card")
        card = Card.model_validate_json(told)
    except (OSError, SafetensorError, ValueError, KeyError, RecursionError, OverflowError) as error:
        words = error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise SnapshotError(f"{path}: cannot be read: {words[:200]}") from error
    _refuse_foreign(path, card, identity)
    if card.sha256 != _sha256(arrays):
        raise SnapshotError(f"{path}: is damaged: its content is not what its card says")
    return Snapshot(card, arrays)


def config_of(settings: Settings, snapshot: Snapshot | None, guest: Network | None = None) -> Config:
    """The controller's constants, with the map that the snapshot's controller used. Raises SnapshotError."""
    line = settings.line
    if snapshot is not None:
        there, unsure = snapshot.arrays.get(THERE), snapshot.arrays.get(UNSURE)
        if there is None or there.shape != (4,) or there.dtype != np.float64 or not np.isfinite(there).all():
            raise SnapshotError(f"{THERE}: must be four finite numbers")
        if unsure is None or unsure.shape != () or not np.isfinite(unsure).all() or not unsure.item() >= 0.0:
            raise SnapshotError(f"{UNSURE}: must be a finite number, 0 or more")
        try:
            line = restart.line_with(line, there, float(unsure.item()))
        except ValueError as error:
            raise SnapshotError(f"{THERE}: {error}") from error
    config = core.configure(settings.line, settings.wire.sync_period_s, guest=guest)
    if line is settings.line or config.adaptation is None:
        return config
    return core.configure(line, settings.wire.sync_period_s, guest=guest, far=config.adaptation.far)


def kept_of(config: Config, snapshot: Snapshot) -> Kept:
    """What the snapshot keeps, for a controller of this config. Raises SnapshotError naming the first field refused."""
    template = restart.kept(config, core.init(config, Mode.HOLD), 0.0, 0, 0)
    try:
        before: Kept = from_arrays(template, snapshot.arrays, {"estimate.proof.missed": (config.line.zones,)})
    except FieldRefused as error:
        raise SnapshotError(str(error)) from error
    for name, variance in _variances(before.estimate):
        if not (variance >= 0.0).all():
            raise SnapshotError(f"{name}: holds {variance.min():g}, must be 0 or more")
    return before


def _variances(state: EstimateState) -> list[tuple[str, AnyArray]]:
    film, offset = state.film, state.offset
    return [
        ("estimate.film.variance", film.variance),
        ("estimate.offset.variance", offset.variance),
        ("estimate.film.surprise2", film.surprise2),
        ("estimate.offset.surprise2", offset.surprise2),
    ]


def _refuse_foreign(path: Path, card: Card, identity: Identity) -> None:
    if card.format != FORMAT:
        raise SnapshotError(f"{path}: format {card.format}, this evencoat reads {FORMAT}")
    for what, own in asdict(identity).items():
        if getattr(card, what) != own:
            raise SnapshotError(f"{path}: is of another {what}: {getattr(card, what)}, here it is {own}")


def _digest(parts: list[object]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _sha256(arrays: Mapping[str, AnyArray]) -> str:
    """Over names, types, shapes and bytes, in the order of the names."""
    told = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        told.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        told.update(np.ascontiguousarray(array).tobytes())
    return told.hexdigest()
