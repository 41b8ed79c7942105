"""`evencoat recipe ...`: save, show, compare and apply versions of recipes. Words and exit codes live here, work not.

Exit codes are those of evencoat.cli, which takes these verbs in: 0 done; 1 it failed while running; 2 the call, a
recipe or a file is refused; 3 the desk refused, or `history` found that the versions do not follow each other.
docs/recipes.md says what is promised.
"""

from __future__ import annotations

import getpass
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from evencoat.terminal import (
    ANSWER_IS_NO,
    FAILED,
    JsonOption,
    complain,
    out,
    print_json,
    refusals,
    say,
    stop,
    wrong,
)
from evencoat.user_commands import UsersOption

if TYPE_CHECKING:
    from controller.line.description import LineDescription
    from evencoat.recipes.recipe import Lips, Recipe
    from evencoat.recipes.store import RecipeStore

SHORT = 12  # digits of a sha256 that people are shown

app = typer.Typer(
    help="Recipes in versions: targets, limits, material and the last good lip profile.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

STORE_HELP = "The store's folder. Without it `recipes` beside the journal that is named, or in the current folder."
StoreOption = Annotated[Path | None, typer.Option("--store", metavar="DIR", help=STORE_HELP)]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, '.', '_' and '-'.")]
RefArgument = Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="Without a version, the newest.")]


@app.command("list")
def list_recipes(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List every recipe with its newest version."""
    opened = _open(store)
    with _refusals():
        newest = [opened.load(name) for name in opened.names()]
    if as_json:
        print_json({"store": str(opened.folder), "recipes": [_dict(recipe) for recipe in newest]})
        return
    say(f"store: {opened.folder}")
    if newest:
        out.print(_versions_table(newest))
    else:
        say("no recipe is there")


@app.command()
def show(ref: RefArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Print a version: every field, and where its lip profile was good."""
    with _refusals():
        recipe = _open(store).load(ref)
    if as_json:
        print_json(_dict(recipe))
    else:
        out.print(_recipe_table(recipe))


@app.command()
def save(
    name: NameArgument,
    run: Annotated[
        Path | None, typer.Option("--from", metavar="RUN", help="Take the last good lips from a journal, or a run.")
    ] = None,
    line: Annotated[str, typer.Option("--line", help="Which line it is for; RUN says it where one is named.")] = "",
    metres: Annotated[
        float, typer.Option("--metres", min=1.0, max=100_000.0, help="So much web in a row must have been good.")
    ] = 100.0,
    target_gsm: Annotated[float | None, typer.Option("--target-gsm", help="Mean areal density, g/m2.")] = None,
    tolerance_pct: Annotated[float | None, typer.Option("--tolerance-pct", help="No wider than the line's.")] = None,
    speed_m_per_min: Annotated[float | None, typer.Option("--speed-m-per-min", help="Web speed.")] = None,
    slurry: Annotated[str | None, typer.Option(help="Which slurry, in words.")] = None,
    material_definition: Annotated[str | None, typer.Option("--material-definition", help="ISA-95.")] = None,
    material_lot: Annotated[str | None, typer.Option("--material-lot", help="ISA-95.")] = None,
    job_order: Annotated[str | None, typer.Option("--job-order", help="ISA-95.")] = None,
    why: Annotated[str, typer.Option(help="What for; kept in the version.")] = "",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Save a version: what is not named stays as in the version before, or is the line's where there is none.

    --from reads the journal and changes nothing there. It takes the mean lips of the newest stretch of that many metres
    that was made in AUTO, with no zone held by hand and no bolt left alone, and then seen within tolerance.
    """
    from evencoat.recipes.recipe import check, usual

    given = {
        "target_gsm": target_gsm, "tolerance_pct": tolerance_pct, "speed_m_per_min": speed_m_per_min,
        "slurry": slurry, "material_definition": material_definition, "material_lot": material_lot,
        "job_order": job_order,
    }  # fmt: skip
    changes: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
    with _refusals():
        opened = _open(store, run)
        before = opened.load(name) if name in opened.names() else None
        described, lips = _line_of(run, line or (before.line if before else ""), changes, before, metres)
        if lips is not None:
            changes["lips"] = lips.model_dump(mode="json")
        fields = changes if before else {**usual(described, lips), **changes}
        recipe = opened.save(name, fields, getpass.getuser(), why, lambda made: check(made, described))
    if as_json:
        print_json(_dict(recipe))
        return
    say(f"saved: {recipe.ref} ({recipe.sha256[:SHORT]}) in {opened.folder}")
    if lips is not None:
        say(_lips_words(lips))


@app.command()
def diff(
    old: RefArgument,
    new: Annotated[str, typer.Argument(metavar="[NAME[@VERSION]]", help="Without it, the newest of the same.")] = "",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """What differs between two versions, field by field. Exit code 0 also where something does."""
    from evencoat.recipes.recipe import differences, moved_words

    with _refusals():
        opened = _open(store)
        one = opened.load(old)
        other = opened.load(new or one.name)
    found = list(differences(one, other))
    if as_json:
        fields = {field: {"old": before, "new": after} for field, before, after in found}
        print_json({"old": one.ref, "new": other.ref, "fields": fields})
        return
    say(f"{one.ref} -> {other.ref}" + ("" if found else ": nothing differs"))
    for field, before, after in found:
        if field == "lips.gap_um" and before and after:
            say(f"{field}: {moved_words(before, after)}")
        elif field == "lips.gap_um":
            say(f"{field}: {'taken' if after else 'none any more'}")
        else:
            say(f"{field}: {_value(before)} -> {_value(after)}")


@app.command()
def apply(
    ref: RefArgument,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The journal that `evencoat run` writes, or its folder.")],
    user: Annotated[str, typer.Option("--user", metavar="NAME", help="Who asks; an engineer, and in command.")] = "",
    lips: Annotated[bool, typer.Option("--lips", help="The lip profile too; the line must be in manual.")] = False,
    why: Annotated[str, typer.Option(help="Kept in the audit chain.")] = "",
    users: UsersOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a line that runs for a recipe's target, and with --lips for its lip profile, through its desk.

    The loop stays closed; the target moves along a ramp. Web speed, slurry and tolerance are not set from here. The
    password is asked for, or read as one line from standard input that is no terminal.
    """
    from evencoat.ask_command import prove
    from evencoat.desk.client import Desk, DeskError
    from evencoat.hmi.source import journal_of
    from evencoat.journal import JournalReader
    from evencoat.recipes.apply import applied
    from evencoat.recipes.recipe import check
    from evencoat.settings import read_line

    with _refusals():
        recipe, journal = _open(store, run).load(ref), journal_of(run)
        with JournalReader(journal) as reader:
            check(recipe, read_line(reader.settings_text, journal).line)
        try:
            desk = Desk(journal)
            prove(desk, user, users)
            steps = applied(desk, recipe, lips, user, "shell", why)
        except DeskError as error:
            stop(str(error), FAILED)
    done = all(step.accepted for step in steps)
    if as_json:
        print_json({"recipe": recipe.ref, "applied": done, "steps": [step._asdict() for step in steps]})
    else:
        for step in steps:
            (say if step.accepted else complain)(f"{step.action}: {step.reason}")
    raise typer.Exit(0 if done else ANSWER_IS_NO)


@app.command()
def history(name: NameArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Every version with who saved it and why, and whether each follows the one before. Exit code 3 where not."""
    from evencoat.recipes.recipe import RecipeError

    opened = _open(store)
    with _refusals():
        opened.versions(name)
        try:
            versions, broken = opened.history(name), ""
        except RecipeError as error:
            versions, broken = [], str(error)
    if as_json:
        print_json({"name": name, "broken": broken, "versions": [_dict(recipe) for recipe in versions]})
    elif broken:
        complain(broken)
    else:
        out.print(_versions_table(versions))
        say(f"whole: {len(versions)} versions, each follows the one before")
    raise typer.Exit(ANSWER_IS_NO if broken else 0)


# --- from what was typed to what is wanted -----------------------------------------------------------------------


def _open(folder: Path | None, run: Path | None = None) -> RecipeStore:
    from evencoat.hmi.source import journal_of
    from evencoat.recipes.store import RecipeStore, store_beside

    if folder is None and run is not None:
        return store_beside(journal_of(run))
    return RecipeStore(folder or Path("recipes"))


def _line_of(
    run: Path | None, line: str, changes: dict[str, Any], before: Recipe | None, metres: float
) -> tuple[LineDescription, Lips | None]:
    """The line, and the last good lips where a run is named."""
    from evencoat.hmi.source import journal_of
    from evencoat.journal import JournalReader
    from evencoat.recipes.recipe import RecipeError
    from evencoat.recipes.stretch import last_good
    from evencoat.settings import load_line, read_line

    if run is None:
        if not line:
            wrong("line: name it with --line, or a run with --from")
        return load_line(line).line, None
    journal = journal_of(run)
    with JournalReader(journal) as reader:
        described = read_line(reader.settings_text, journal).line
        if line and described.name != (before.line if before else load_line(line).line.name):
            raise RecipeError(f"line: {run} is a run of {described.name!r}, not of {line!r}")
        usual_pct = before.tolerance_pct if before else described.target.tolerance_pct
        return described, last_good(reader, described, changes.get("tolerance_pct", usual_pct), metres)


# --- words -------------------------------------------------------------------------------------------------------


def _dict(recipe: Recipe) -> dict[str, Any]:
    told: dict[str, Any] = recipe.model_dump(mode="json")
    return told


def _versions_table(recipes: list[Recipe]) -> Table:
    table = Table(box=None)
    for name in ("recipe", "line", "g/m2", "last good lips", "saved", "sha256", "who", "why"):
        table.add_column(name, no_wrap=name not in ("who", "why"))
    for one in recipes:
        lips = f"{one.lips.to_at[:10]} roll {one.lips.roll_last}" if one.lips else "none"
        cells = (one.ref, one.line, f"{one.target_gsm:g}", lips, one.saved_at[:10], one.sha256[:8], one.who, one.why)
        table.add_row(*map(Text, cells))
    return table


def _recipe_table(recipe: Recipe) -> Table:
    table = Table(box=None, show_header=False)
    for field, value in _dict(recipe).items():
        if field == "lips" and recipe.lips is not None:
            for name, part in recipe.lips.model_dump(mode="json").items():
                shown = ", ".join(f"{um:g}" for um in part) if isinstance(part, list) else _value(part)
                table.add_row(f"lips.{name}", Text(shown, overflow="fold"))
        else:
            table.add_row(field, Text(_value(value), overflow="fold"))
    return table


def _lips_words(lips: Lips) -> str:
    """Which stretch the lips are of."""
    rolls = f"roll {lips.roll_first}" + (f" to {lips.roll_last}" if lips.roll_last != lips.roll_first else "")
    return (
        f"lips: mean of {lips.web_m:g} m, {rolls}, batch {lips.batch}, cycles {lips.from_cycle} to {lips.to_cycle}, "
        f"{lips.from_at} to {lips.to_at}, at {lips.target_gsm:g} g/m2 and {lips.speed_m_per_min:g} m/min; the web's "
        f"profile stood at sigma {lips.sigma_pct:g} %"
    )


def _value(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value) or '""'


def _refusals() -> AbstractContextManager[None]:
    import sqlite3

    from evencoat.hmi.source import SourceError
    from evencoat.journal import JournalError
    from evencoat.recipes.recipe import RecipeError
    from evencoat.settings import SettingsError

    return refusals((RecipeError, JournalError, SettingsError, SourceError), (OSError, sqlite3.Error))
