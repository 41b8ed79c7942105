"""The network that the law `neural` runs with: the model in use, checked, or the one that somebody names.

Without a model in use `neural` does as `adaptive`, and says so. A model that is damaged, or is no network of ours, is
an error before anything moves: nobody is given another controller than the one he asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from controller.core import network
from controller.core.network import Network, NetworkError
from controller.line.description import LawName, LineDescription
from evencoat.model_store import ModelStore, ModelStoreError, StoredModel, default_folder, load_model
from evencoat.settings import Settings
from evencoat.settings_rules import Problem


@dataclass(frozen=True, slots=True)
class Guest:
    """The network, None where there is none, and what is said of it."""

    network: Network | None
    words: str
    sha256: str = ""


def invited(line: LineDescription, named: str = "", store: ModelStore | None = None) -> Guest:
    """The guest of a line's law. `named`: digits of a sha256, "shipped" or a file; "" is the model in use.

    Raises ModelStoreError.
    """
    if line.control.law is not LawName.NEURAL:
        return Guest(None, "")
    model = model_of(named, store or ModelStore(default_folder()))
    if model is None:
        return Guest(None, "no model is in use: neural does as adaptive (`evencoat model list`)")
    return Guest(network_of(model), f"model {model.sha256[:12]} ({model.card.architecture})", model.sha256)


def usual(store: ModelStore | None = None) -> tuple[LawName, str]:
    """The law of a line for which nobody names one, and a word why: neural wherever the model in use verifies."""
    try:
        model = (store or ModelStore(default_folder())).active()
        if model is None:
            return LawName.ADAPTIVE, "adaptive: no model is in use (`evencoat model list`)"
        network_of(model)
    except ModelStoreError as error:
        return LawName.ADAPTIVE, f"adaptive: the model in use is refused: {error}"
    return LawName.NEURAL, f"neural: model {model.sha256[:12]}"


def law_of(settings: Settings, named: str = "", store: ModelStore | None = None) -> tuple[LawName, str]:
    """The law that a line runs with when the call names none, and a word why.

    Whoever names a model means neural; else the line file's law counts, and where it has none, the usual one.
    """
    if named:
        return LawName.NEURAL, f"neural: model {named}"
    if settings.named_law is not None:
        return settings.named_law, f"{settings.named_law}: named in {settings.path.name}"
    return usual(store)


def at_work(settings: Settings, named: str = "", store: ModelStore | None = None) -> tuple[Settings, str]:
    """The settings with that law in the line, and the word why."""
    law, why = law_of(settings, named, store)
    line = replace(settings.line, control=replace(settings.line.control, law=law))
    return replace(settings, line=line), why


def asked_for(line: LineDescription, named: str = "") -> Guest | None:
    """The guest to be judged: that of the line's law, or the one named whatever the law. Raises ModelStoreError."""
    neural = replace(line, control=replace(line.control, law=LawName.NEURAL)) if named else line
    return invited(neural, named) if neural.control.law is LawName.NEURAL else None


def model_of(named: str, store: ModelStore) -> StoredModel | None:
    """The model of that name, or the one in use. Raises ModelStoreError."""
    if not named:
        return store.active()
    path = Path(named)
    return load_model(path) if path.suffix and path.is_file() else store.find(named)


def network_of(model: StoredModel) -> Network:
    """The network in a model's tensors. Raises ModelStoreError naming the tensor that does not fit."""
    if model.card.architecture != network.ARCHITECTURE:
        advice = "Train it again with this evencoat (`evencoat train`), or activate another"
        problem = Problem("architecture", model.card.architecture, f"must be {network.ARCHITECTURE}", advice)
        raise ModelStoreError(model.path, problem)
    try:
        return network.from_tensors(model.tensors)
    except NetworkError as error:
        problem = Problem("tensors", "", str(error), "Train it again, or activate another")
        raise ModelStoreError(model.path, problem) from error
