"""`evencoat key ...`: make, show and rotate the keys of an authenticated bus. Words and exit codes live here.

Exit codes are those of evencoat.cli, which takes these verbs in: 0 done; 1 the disk refused; 2 the call or the file is
wrong. evencoat.keys does the work. No command shows a key: the file holds it, and `chmod 600` guards it.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from evencoat.terminal import JsonOption, out, print_json, refusals

if TYPE_CHECKING:
    from evencoat.keys import StoredKey


app = typer.Typer(
    help="The keys of an authenticated bus ([bus.auth] of a line file).", no_args_is_help=True, rich_markup_mode=None
)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The key file, as [bus.auth] key_file names it.")]


@app.command()
def new(file: FileArgument, as_json: JsonOption = False) -> None:
    """Make a key file with one random key, readable by you alone. Copy it to the nodes by hand, never over the bus."""
    from evencoat import keys

    with _refusals():
        stored = keys.new(file, time.time())
    _tell(file, [stored], as_json)


@app.command()
def show(file: FileArgument, as_json: JsonOption = False) -> None:
    """Say which keys there are, which one signs, and until when each is believed. Keys themselves are not shown."""
    from evencoat import keys

    with _refusals():
        stored = keys.read(file)
    _tell(file, stored, as_json)


@app.command()
def rotate(
    file: FileArgument,
    lead_h: Annotated[
        float,
        typer.Option("--lead-hours", min=0.0, max=8760.0, help="Until the new key signs."),
    ] = 1.0,
    overlap_h: Annotated[
        float, typer.Option("--overlap-hours", min=0.0, max=8760.0, help="Then so long the old one is still believed.")
    ] = 24.0,
    as_json: JsonOption = False,
) -> None:
    """Put a new key beside the old. Both are believed at once; the new one signs after the lead."""
    from evencoat import keys

    with _refusals():
        stored = keys.rotate(file, time.time(), 3600.0 * lead_h, 3600.0 * overlap_h)
    _tell(file, stored, as_json)
    if not as_json:
        out.print("copy the file to every node and start them again before the new key signs", soft_wrap=True)


def _tell(file: Path, stored: list[StoredKey], as_json: bool) -> None:
    from evencoat.keys import iso

    now_s = time.time()
    signing = [one.key.number for one in stored if one.key.signs_from_s <= now_s <= one.key.valid_until_s]
    rows: list[dict[str, Any]] = [
        {
            "number": one.key.number,
            "fingerprint": one.fingerprint,
            "state": one.state(now_s, one.key.number == max(signing, default=0)),
            "made": iso(one.made_s),
            "signs_from": iso(one.key.signs_from_s),
            "valid_until": iso(one.key.valid_until_s),
        }
        for one in stored
    ]
    if as_json:
        print_json({"file": str(file), "keys": rows})
        return
    table = Table(box=None)
    for name in ("key", "fingerprint", "state", "signs from, UTC", "believed until, UTC"):
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(
            str(row["number"]),
            row["fingerprint"],
            row["state"],
            _minute(row["signs_from"]) or "at once",
            _minute(row["valid_until"]) or "a rotation",
        )
    out.print(f"{file}", markup=False, soft_wrap=True)
    out.print(table)


def _minute(time_utc: str | None) -> str:
    return "" if time_utc is None else time_utc[:16].replace("T", " ")


def _refusals() -> AbstractContextManager[None]:
    from firmware_bridge.authentication import AuthenticationError

    return refusals((AuthenticationError,))
