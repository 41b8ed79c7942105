"""`evencoat train --from RUN`: a model that goes on learning from what one's own line did.

evencoat.experience reads the runs, controller.learn.further learns and judges; this writes the model with its card, or
none where nothing was gained.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.core.network import ARCHITECTURE
from evencoat.experience import ExperienceError, Told, lived
from evencoat.guest import model_of, network_of
from evencoat.model_store import Card, ModelStore, StoredModel, default_folder, write_model
from evencoat.train import MODEL, STORY, commit, require, silenced

if TYPE_CHECKING:
    from controller.learn.further import Say

HEADS = ("batch", "mean")


@dataclass(frozen=True, slots=True)
class FurtherPlan:
    """What is asked for. base: digits of a sha256, "shipped" or a file; "" is the model in use."""

    runs: tuple[Path, ...]
    base: str
    seed: int
    folder: Path
    command: str
    silent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FurtherTraining:
    """What came of it. model: None where no head was better than the base's."""

    model: StoredModel | None
    base: StoredModel
    runs: tuple[Told, ...]
    heads: Mapping[str, dict[str, Any]]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "model": str(self.model.path) if self.model else None,
            "sha256": self.model.sha256 if self.model else None,
            "base": self.base.sha256,
            "runs": [{"journal": str(one.journal), **one.card} for one in self.runs],
            "heads": {name: dict(told) for name, told in self.heads.items()},
            "better": self.model is not None,
            "train_s": self.seconds,
        }


def train_further(plan: FurtherPlan, say: Say) -> FurtherTraining:
    """Train, and leave model and story in the plan's folder. Raises NotInstalled, ExperienceError, ModelStoreError,
    OSError."""
    require("torch")
    from controller.learn import further

    begun = time.monotonic()
    base = model_of(plan.base, ModelStore(default_folder()))
    if base is None:
        raise ExperienceError("base: no model is in use to go on from; name one with --base")
    network_of(base)
    runs = lived(plan.runs)
    heads = [head for head in HEADS if head not in plan.silent]
    earlier, later = (further.joined([getattr(one, part) for one in runs]) for part in ("earlier", "later"))
    done = further.learnt(dict(base.tensors), earlier, later, plan.seed, heads, say)
    if all("gain" not in told for told in done.figures.values()):
        raise ExperienceError(_too_little(runs, done.figures))
    seconds = time.monotonic() - begun
    model = None
    plan.folder.mkdir(parents=True, exist_ok=True)
    if done.better:
        card = _card(plan, base, runs, done.figures, seconds)
        model = write_model(plan.folder / MODEL, silenced(done.tensors, plan.silent), card)
    told = FurtherTraining(model, base, tuple(runs), done.figures, seconds)
    (plan.folder / STORY).write_text(json.dumps(told.as_dict(), indent=2) + "\n", encoding="utf-8")
    return told


def _too_little(runs: list[Told], figures: Mapping[str, dict[str, Any]]) -> str:
    """What each run holds, and what is needed."""
    held = "; ".join(
        f"{one.journal}: batches that came after a known one {len(one.earlier.batches)} and {len(one.later.batches)}, "
        f"looks of the gauge {one.earlier.looks:.0f} and {one.later.looks:.0f}"
        for one in runs
    )
    least = ", ".join(f"{name} {told['least'][0]} and {told['least'][1]}" for name, told in figures.items())
    return f"{held} (earlier and later web). At least these are needed, of all runs together, for a head: {least}"


def _card(
    plan: FurtherPlan, base: StoredModel, runs: list[Told], figures: Mapping[str, dict[str, Any]], seconds: float
) -> Card:
    """The base's families and ranges, and the lines' own beside them."""
    own = [f"own line {line}" for line in dict.fromkeys(one.line for one in runs)]
    told: dict[str, Any] = {"base": base.sha256, "runs": [one.card for one in runs], "later_web": dict(figures)}
    return Card(
        architecture=ARCHITECTURE,
        families=[*base.card.families, *(name for name in own if name not in base.card.families)],
        ranges=base.card.ranges,
        seed=plan.seed,
        commit=commit(),
        trained_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        train_s=round(seconds, 1),
        command=plan.command,
        league={"own_lines": told},
    )
