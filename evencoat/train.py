"""`evencoat train`: train the network of the law `neural` in a folder, and write the model, its card and its curves.

Composes controller.learn with the model store; evencoat.train_command is what people type. docs/training.md says what
is learnt from what. torch is loaded here and not before.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from controller.core.network import ARCHITECTURE
from evencoat import __version__
from evencoat.errors import RunFailed
from evencoat.model_store import Card, StoredModel, Weights, write_model

if TYPE_CHECKING:
    from controller.learn.train import Judge, Recorder, Say, Settings, Trained

MODEL, STORY, PICTURE = "model.safetensors", "training.json", "training.png"
MISSING = {
    "torch": "train: needs torch, which is not installed; make learn, or: pip install 'evencoat[learn]'",
    "ray": "train: --workers needs ray, which is not installed: pip install 'evencoat[fleet]'",
}


class NotInstalled(Exception):
    """An extra is needed for this; the text says which, and how to install it."""


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """What is asked for. command: what was typed, for the model's card."""

    seed: int
    quick: bool
    folder: Path
    resume: bool
    workers: int
    lines: int | None
    league: int  # lines of each family of the plant to be examined on; 0: not at all
    command: str
    silent: tuple[str, ...] = ()  # heads left with nothing to say


@dataclass(frozen=True, slots=True)
class Training:
    """What came of it."""

    model: StoredModel
    trained: Trained
    seconds: float

    @property
    def beats_adaptive(self) -> bool:
        return bool(self.trained.figures["beats_adaptive"])


def require(module: str) -> None:
    """Raises NotInstalled where an extra's library is not there."""
    if importlib.util.find_spec(module) is None:
        raise NotInstalled(MISSING[module])


def train(plan: TrainPlan, say: Say) -> Training:
    """Train, and leave model, story and picture in the plan's folder. Raises NotInstalled, RunFailed, OSError."""
    require("torch")
    from controller.learn.checkpoint import CheckpointError
    from controller.learn.train import train as trained

    settings, begun = settings_of(plan), time.monotonic()
    with _recorder(plan.workers) as recorder:
        try:
            done = trained(settings, plan.folder, say, recorder, plan.resume, _judge(plan.league, say))
        except CheckpointError as error:
            raise RunFailed(str(error)) from error
    seconds = time.monotonic() - begun
    tensors = silenced(done.tensors, plan.silent)
    model = write_model(plan.folder / MODEL, tensors, card(plan, settings, done, seconds))
    story = {"settings": asdict(settings), "history": done.history, "figures": done.figures, "train_s": seconds}
    (plan.folder / STORY).write_text(json.dumps(story, indent=2) + "\n", encoding="utf-8")
    from evencoat.report.training import curves

    (plan.folder / PICTURE).write_bytes(curves(done.history, done.figures))
    return Training(model, done, seconds)


def silenced(tensors: Mapping[str, Weights], heads: Sequence[str]) -> dict[str, Weights]:
    """The weights with these heads left with nothing to say, whatever they are shown. Raises RunFailed."""
    unknown = [head for head in heads if f"{head}.w3" not in tensors]
    if unknown:
        raise RunFailed(f"silent: there is no head {unknown[0]!r}; there are mean and batch")
    last = {f"{head}.{part}" for head in heads for part in ("w3", "b3")}
    return {name: np.zeros_like(tensor) if name in last else tensor for name, tensor in tensors.items()}


def _judge(lines: int, say: Say) -> Judge | None:
    """The plant's word on the weights; None where nobody asked for it."""
    if not lines:
        return None
    from evencoat.league.examiner import examined

    return lambda tensors: examined(tensors, lines, lambda share, words: say("league", share, words))


def settings_of(plan: TrainPlan) -> Settings:
    """What the training is made of."""
    from dataclasses import replace

    from controller.learn.train import Settings

    settings = Settings.quick(plan.seed) if plan.quick else Settings(seed=plan.seed)
    return settings if plan.lines is None else replace(settings, lines=plan.lines)


def card(plan: TrainPlan, settings: Settings, done: Trained, seconds: float) -> Card:
    """What is told of the model."""
    from controller.learn.families import FAMILIES, RANGES

    own = {name: value for name, value in done.figures.items() if name != "league"}
    told = {"belief_plant": own, **({"plant": done.figures["league"]} if "league" in done.figures else {})}
    return Card(
        architecture=ARCHITECTURE,
        families=[name for name, family in FAMILIES.items() if not family.held_out],
        ranges={name: [low, high] for name, (low, high) in RANGES.items()},
        seed=settings.seed,
        commit=commit(),
        trained_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        train_s=round(seconds, 1),
        command=plan.command,
        league=told,
    )


def commit() -> str:
    """The commit of the source, `+` where it was changed; the version where it is no repository."""
    root = Path(__file__).parent.parent
    told = []
    for arguments in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--untracked-files=no"]):
        try:
            git = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
        except OSError:
            return f"evencoat {__version__}"
        if git.returncode:
            return f"evencoat {__version__}"
        told.append(git.stdout.strip())
    return told[0] + ("+" if told[1] else "")


def _recorder(workers: int) -> AbstractContextManager[Recorder | None]:
    if workers <= 1:
        return nullcontext()
    require("ray")
    return _fleet(workers)


@contextmanager
def _fleet(workers: int) -> Iterator[Recorder]:
    """Record lines on so many workers of Ray, on this machine or the cluster that RAY_ADDRESS names. The lines are the
    same, whoever records them; a cluster's machines must share the folder."""
    import ray

    from controller.core.network import Network
    from controller.learn.record import Record, Task, read, recorded

    def keep(task: Task, guest: Network | None) -> None:
        recorded(task, guest)

    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, configure_logging=False)
    remote = ray.remote(num_cpus=1)(keep)

    def record(tasks: Sequence[Task], guest: Network | None) -> Iterator[Record]:
        beside = ray.put(guest)
        waiting: list[Any] = [remote.remote(task, beside) for task in tasks]
        for task, job in zip(tasks, waiting, strict=True):
            ray.get(job)
            yield read(task.path)

    try:
        yield record
    finally:
        ray.shutdown()
