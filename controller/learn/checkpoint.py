"""Where a training stands, in one file: numbers only, so that nothing in it is ever run.

A training that goes on from it ends with the same bytes as one that was never stopped.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from controller.learn.heads import Heads
from controller.line.description import Array

MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what Adam remembers of a parameter


class CheckpointError(ValueError):
    """A checkpoint that cannot be gone on from: file, and what is wrong."""


@dataclass(slots=True)
class Standing:
    """stage and step to be done next; score: of the best heads so far, by name, on lines that training never sees."""

    stage: int = 0
    step: int = 0
    score: float = 0.0
    best: dict[str, Array] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


def state_of(heads: Heads) -> dict[str, Array]:
    """Every number of the heads, by name."""
    return {name: np.array(value.numpy()) for name, value in heads.state_dict().items()}


def restore(heads: Heads, state: Mapping[str, Array]) -> None:
    """The other way round."""
    heads.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})


def save(
    path: Path, settings: Mapping[str, Any], standing: Standing, heads: Heads, optimiser: torch.optim.Adam
) -> None:
    """Write all of it in one move."""
    told = {"settings": dict(settings), "stage": standing.stage, "step": standing.step, "score": standing.score}
    text = json.dumps({**told, "history": standing.history}, sort_keys=True)
    arrays: dict[str, Array] = {"told": np.frombuffer(text.encode(), dtype=np.uint8)}
    arrays |= {f"heads/{name}": value for name, value in state_of(heads).items()}
    arrays |= {f"best/{name}": value for name, value in standing.best.items()}
    for index, moments in optimiser.state_dict()["state"].items():
        arrays |= {f"adam/{index}/{name}": np.array(moments[name].numpy()) for name in MOMENTS}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".checkpoint-", delete=False) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    os.replace(file.name, path)


def load(path: Path, settings: Mapping[str, Any], heads: Heads, optimisers: Mapping[int, torch.optim.Adam]) -> Standing:
    """Where it stood; heads and the stage's optimiser are put there. Raises CheckpointError."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        told = json.loads(arrays["told"].tobytes().decode())
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: is no checkpoint: {error}; train without --resume") from error
    for name, value in settings.items():
        if told["settings"].get(name) != value:
            was = told["settings"].get(name)
            raise CheckpointError(f"{path}: {name} was {was}, now it is {value}; go on with what it was, or begin anew")
    standing = Standing(told["stage"], told["step"], told["score"], _under(arrays, "best/"), told["history"])
    restore(heads, _under(arrays, "heads/"))
    optimiser = optimisers.get(standing.stage)
    moments = _under(arrays, "adam/")
    if optimiser is not None and moments:
        state = optimiser.state_dict()
        count = 1 + max(int(name.split("/")[0]) for name in moments)
        state["state"] = {
            index: {name: torch.from_numpy(np.array(moments[f"{index}/{name}"])) for name in MOMENTS}
            for index in range(count)
        }
        optimiser.load_state_dict(state)
    return standing


def _under(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
