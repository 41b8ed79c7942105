"""Toy models and stores of them, for the tests of the store and of its commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from evencoat.model_store import Card, ModelStore, load_model, write_model

CARD: dict[str, Any] = {
    "format": 1,
    "architecture": "toy-mlp",
    "families": ["nominal", "noisy"],
    "ranges": {"gap_um": [80.0, 200.0]},
    "seed": 7,
    "commit": "9e67606",
    "trained_at": "2026-11-22T12:00:00Z",
    "train_s": 812.5,
    "command": "evencoat train --seed 7",
    "league": {"nominal": {"sigma_pct": 0.3, "imc_sigma_pct": 0.32}},
}


def weights(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"w": rng.normal(size=(3, 4)).astype(np.float32), "b": rng.normal(size=4).astype(np.float32)}


def model_file(folder: Path, seed: int = 0) -> Path:
    path = folder / f"trained-{seed}.safetensors"
    write_model(path, weights(seed), Card(**CARD))
    return path


def empty_store(folder: Path) -> ModelStore:
    """Of an evencoat that ships nothing."""
    (folder / "package").mkdir()
    return ModelStore(folder / "store", folder / "package")


def shipping_store(folder: Path) -> ModelStore:
    """An empty store of an evencoat that ships a model."""
    store, made = empty_store(folder), model_file(folder, seed=99)
    made.rename(store.shipped_folder / f"{load_model(made).sha256}.safetensors")
    return store


def added(store: ModelStore, seed: int) -> str:
    """The sha256 of a toy model that the store holds now."""
    return store.add(model_file(store.folder.parent, seed)).sha256
