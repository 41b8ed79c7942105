"""`evencoat model ...`: list, show, verify, add, activate and roll back trained weights. Words and exit codes live
here, work does not.

Exit codes are those of evencoat.cli, which takes these verbs in: 0 done; 1 it failed while running; 2 the call, a model
or the pointer to one is refused. evencoat.model_store does the work; docs/models.md says what it promises.
"""

from __future__ import annotations

import json
import os
import shlex
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from evencoat.terminal import WRONG_CALL, JsonOption, complain, out, print_json, refusals, say

if TYPE_CHECKING:
    from evencoat.model_store import Listed, ModelStore, StoredModel

SHORT = 12  # digits of a sha256 that people are shown

app = typer.Typer(
    help="The store of trained weights: which there are, and which one is in use.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

STORE_HELP = "The store's folder. Without it $EVENCOAT_MODELS, or evencoat/models where your data lie."
NAME_HELP = "The first digits of a model's sha256, six at least, or: shipped."
StoreOption = Annotated[Path | None, typer.Option("--store", metavar="DIR", help=STORE_HELP)]
NameArgument = Annotated[str, typer.Argument(metavar="SHA", help=NAME_HELP)]


@app.command("list")
def list_models(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List every model: the one in use, the one before, the shipped one, and files that are refused."""
    with _refusals():
        opened = _open(store)
        rows, pointer = opened.listed(), opened.pointer()
    if as_json:
        print_json(
            {"store": str(opened.folder), "pointer": pointer.model_dump(), "models": [_row_dict(row) for row in rows]}
        )
        return
    say(f"store: {opened.folder}")
    if rows:
        out.print(_list_table(rows))
    if any(row.model is None for row in rows):
        say("why a model is refused: evencoat model verify")
    if not any("shipped" in row.uses for row in rows):
        say("no model comes with this evencoat")
    if not any("active" in row.uses for row in rows):
        say("no model is in use")


@app.command()
def show(
    name: Annotated[
        str | None, typer.Argument(metavar="SHA", help="As for `activate`. Without it, the one in use.")
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a model's card: what it was trained on, how, and how it did. Nobody has proved a word of it."""
    with _refusals():
        opened = _open(store)
        model = opened.active() if name is None else opened.find(name)
    if as_json:
        print_json(_model_dict(model) if model else {"sha256": None})
    elif model is None:
        say("no model is in use: nothing was activated, and none comes with this evencoat")
    else:
        out.print(_card_table(model))


@app.command()
def verify(
    what: Annotated[
        str | None,
        typer.Argument(metavar="SHA|FILE", help="A model of the store, or any file. Without it, the whole store."),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check again that files hold what their names say, and nothing but sound weights and a card."""
    with _refusals():
        rows = _verified(_open(store), what)
    refused = [row for row in rows if row.model is None]
    if as_json:
        print_json({"ok": not refused, "models": [_row_dict(row) for row in rows]})
    for row in rows:
        if row.model is None:
            complain(row.refusal)
        elif not as_json:
            say(f"good: {row.path}")
            if row.path.stem != row.model.sha256:
                say(f"  its name promises no hash, so only the content was judged; its sha256 is {row.model.sha256}")
    if not rows and not as_json:
        say("there is no model to verify")
    raise typer.Exit(WRONG_CALL if refused else 0)


@app.command()
def activate(name: NameArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Take a model into use. What was in use is kept for `rollback`."""
    with _refusals():
        opened = _open(store)
        model = opened.activate(name, _command("activate", name, store))
    _print_active(opened, model, as_json)


@app.command()
def rollback(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Go back to the model that was in use before."""
    with _refusals():
        opened = _open(store)
        model = opened.rollback(_command("rollback", None, store))
    _print_active(opened, model, as_json)


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="A safetensors file with a card.")],
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a model into the store, after all checks. It is not in use before `activate`."""
    with _refusals():
        model = _open(store).add(file)
    if as_json:
        print_json(_model_dict(model))
        return
    say(f"in the store: {model.path}")
    say(f"to take it into use: evencoat model activate {model.sha256[:SHORT]}")


def _open(folder: Path | None) -> ModelStore:
    from evencoat.model_store import ModelStore, default_folder

    return ModelStore(default_folder() if folder is None else folder)


def _verified(store: ModelStore, what: str | None) -> list[Listed]:
    """What `verify` judges, with the verdict."""
    from evencoat.model_store import SUFFIX, Listed, ModelStoreError, load_model

    if what is None:
        return store.listed()
    foreign = os.sep in what or what.endswith(SUFFIX) or Path(what).is_file()
    path = Path(what) if foreign else store.path_of(what)
    try:
        return [Listed(path, (), load_model(path, in_store=not foreign))]
    except ModelStoreError as error:
        return [Listed(path, (), None, str(error))]


def _command(verb: str, name: str | None, store: Path | None) -> str:
    """What active.json remembers of who asked."""
    given = ["--store", str(store)] if store else []
    return shlex.join(["evencoat", "model", verb, *([name] if name else []), *given])


def _print_active(store: ModelStore, model: StoredModel | None, as_json: bool) -> None:
    with _refusals():
        pointer = store.pointer()
        before = pointer.previous if pointer.previous != "shipped" or store.shipped() else "no model"
    if as_json:
        print_json(pointer.model_dump())
        return
    name = f"{model.sha256[:SHORT]} ({model.card.architecture})" if model else "no model, for none comes with evencoat"
    say(f"in use: {name}")
    if before:
        say(f"`evencoat model rollback` goes back to: {before[:SHORT]}")


def _row_dict(row: Listed) -> dict[str, Any]:
    told = _model_dict(row.model) if row.model else {"sha256": None, "file": str(row.path)}
    return {**told, "uses": row.uses, "ok": row.model is not None, "refusal": row.refusal}


def _model_dict(model: StoredModel) -> dict[str, Any]:
    shapes = {name: tensor.shape for name, tensor in model.tensors.items()}
    return {
        "sha256": model.sha256,
        "file": str(model.path),
        "weights": model.weights,
        "tensors": shapes,
        "card": model.card.model_dump(),
    }


def _list_table(rows: list[Listed]) -> Table:
    table = Table(box=None)
    for name in ("model", "use", "architecture", "weights", "trained", "families"):
        table.add_column(name, no_wrap=name in ("model", "use", "weights", "trained"))
    for row in rows:
        uses = ", ".join(row.uses)
        if row.model is None:
            table.add_row(_cell(row.path.stem[:SHORT]), uses, Text("refused", style="red"))
            continue
        card = row.model.card
        cells = (card.architecture, str(row.model.weights), card.trained_at[:10], ", ".join(card.families))
        table.add_row(row.model.sha256[:SHORT], uses, *map(_cell, cells))
    return table


def _card_table(model: StoredModel) -> Table:
    shapes = ", ".join(f"{name} {'x'.join(map(str, tensor.shape))}" for name, tensor in model.tensors.items())
    card = model.card
    ranges = "\n".join(f"{name}: {low:g} to {high:g}" for name, (low, high) in card.ranges.items())
    rows = {
        "sha256": model.sha256,
        "file": str(model.path),
        "weights": f"{model.weights} in {shapes}",
        **{name: str(getattr(card, name)) for name in ("architecture", "seed", "commit", "trained_at", "command")},
        "train_s": f"{card.train_s:g}",
        "families": ", ".join(card.families),
        "ranges": ranges,
        "league": "\n".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in card.league.items()),
        "format": str(card.format),
    }
    table = Table(box=None, show_header=False)
    for name, value in rows.items():
        table.add_row(name, _cell(value))
    return table


def _cell(value: str) -> Text:
    """Somebody's words as they are: brackets in them are no markup."""
    return Text(value, overflow="fold")


def _refusals() -> AbstractContextManager[None]:
    from evencoat.model_store import ModelStoreError

    return refusals((ModelStoreError,))
