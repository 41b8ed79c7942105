"""`evencoat user ...`: who may look at a line and command it. Words and exit codes live here.

Exit codes are those of evencoat.cli, which takes these verbs in: 0 done; 1 the disk refused; 2 the call or the file is
wrong. evencoat.desk.users does the work. No command shows a password or its hash.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from evencoat.desk.users import PASSWORD_LEAST, Role, UsersError, default_path
from evencoat.terminal import JsonOption, out, print_json, refusals, say, wrong

if TYPE_CHECKING:
    from evencoat.desk.users import User

app = typer.Typer(
    help="Users of this machine's lines, with their roles: who may look, command, tune, administer.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

USERS_HELP = "The users file; without it $XDG_CONFIG_HOME/evencoat/users.json, below ~/.config."
UsersOption = Annotated[Path | None, typer.Option("--users", metavar="FILE", help=USERS_HELP)]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="a-z, 0-9, '.', '_', '-'; 32 at most.")]
RoleOption = Annotated[Role, typer.Option("--role", help="Each may do all that those before it may.")]


@app.command()
def add(name: NameArgument, role: RoleOption, users: UsersOption = None, as_json: JsonOption = False) -> None:
    """Add a user. The password is asked for twice, or read as one line from standard input that is no terminal."""
    from evencoat.desk import users as file

    with _refusals():
        _told(file.add(users or default_path(), name, role, new_password()), as_json)


@app.command("list")
def show(users: UsersOption = None, as_json: JsonOption = False) -> None:
    """Say who there is, and with which role."""
    from evencoat.desk.users import Users

    path = users or default_path()
    with _refusals():
        known = sorted(Users(path).all().values(), key=lambda user: user.name)
    if as_json:
        print_json({"file": str(path), "users": [_as_dict(user) for user in known]})
        return
    say(f"{path}: {len(known)} user{'' if len(known) == 1 else 's'}")
    table = Table(box=None)
    for title in ("name", "role", "changed, UTC"):
        table.add_column(title, no_wrap=True)
    for user in known:
        table.add_row(user.name, str(user.role), user.changed[:16].replace("T", " "))
    if known:
        out.print(table)


@app.command()
def role(name: NameArgument, role: RoleOption, users: UsersOption = None, as_json: JsonOption = False) -> None:
    """Give a user another role. It counts from their next request on."""
    from evencoat.desk import users as file

    with _refusals():
        _told(file.set_role(users or default_path(), name, role), as_json)


@app.command()
def password(name: NameArgument, users: UsersOption = None, as_json: JsonOption = False) -> None:
    """Give a user another password; who is logged in with the old one is logged out."""
    from evencoat.desk import users as file

    with _refusals():
        _told(file.set_password(users or default_path(), name, new_password()), as_json)


@app.command()
def remove(name: NameArgument, users: UsersOption = None, as_json: JsonOption = False) -> None:
    """Take a user out; who is logged in is logged out, and no longer in command."""
    from evencoat.desk import users as file

    with _refusals():
        file.remove(users or default_path(), name)
    if as_json:
        print_json({"removed": name})
    else:
        say(f"{name}: removed")


def new_password() -> str:
    """A password that somebody types twice, or a script pipes in."""
    if not sys.stdin.isatty():
        return piped_password()
    first = typer.prompt(f"Password, {PASSWORD_LEAST} characters at least", hide_input=True)
    if first != typer.prompt("The same again", hide_input=True):
        wrong("password: the two are not the same")
    return str(first)


def known_password(name: str) -> str:
    """A password to be checked: typed once, or piped in."""
    return str(typer.prompt(f"Password of {name}", hide_input=True)) if sys.stdin.isatty() else piped_password()


def piped_password() -> str:
    """One line of standard input."""
    line = sys.stdin.readline()
    if not line:
        wrong("password: standard input is empty; pipe one line in, or call this in a terminal")
    return line.removesuffix("\n").removesuffix("\r")


def _as_dict(user: User) -> dict[str, str]:
    return {"name": user.name, "role": str(user.role), "changed": user.changed}


def _told(user: User, as_json: bool) -> None:
    if as_json:
        print_json(_as_dict(user))
    else:
        say(f"{user.name}: {user.role}")


def _refusals() -> AbstractContextManager[None]:
    return refusals((UsersError,))
