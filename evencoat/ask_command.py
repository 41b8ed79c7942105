"""`evencoat ask`: the shell's way to the desk of a control process. Words and exit codes live here.

Exit codes: 0 done; 1 no control process listens, or it did not answer; 2 the call is wrong, or name and password do not
belong together; 3 the desk refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from evencoat.terminal import ANSWER_IS_NO, FAILED, JsonOption, complain, print_json, say, stop, wrong
from evencoat.user_commands import UsersOption, known_password

RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="The journal that `evencoat run` writes, or a run's folder.")
]


def ask(
    run: RunArgument,
    action: Annotated[str, typer.Argument(metavar="ACTION", help="state, or one of the actions of docs/access.md.")],
    values: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="As JSON or plain: mode=manual targets.3=610")
    ] = None,
    user: Annotated[str, typer.Option("--user", metavar="NAME", help="Who asks; `state` needs nobody.")] = "",
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="Kept in the audit chain.")] = "",
    users: UsersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask something of a line that runs: take command, change mode, move lips in manual. All of it is on record.

    The password is asked for, or read as one line from standard input that is no terminal.
    """
    from evencoat.desk.client import Desk, DeskError
    from evencoat.hmi.source import SourceError, journal_of

    try:
        desk = Desk(journal_of(run))
        if action == "state":
            _tell_state(desk.state(), as_json)
            return
        asked = parsed(values or [])
        prove(desk, user, users)
        answer = desk.ask(user, "shell", action, asked, why)
    except SourceError as error:
        wrong(str(error))
    except DeskError as error:
        stop(str(error), FAILED)
    if as_json:
        print_json({"accepted": answer.accepted, "reason": answer.reason})
    elif answer.accepted:
        say(answer.reason)
    else:
        complain(answer.reason)
    raise typer.Exit(0 if answer.accepted else ANSWER_IS_NO)


def parsed(values: list[str]) -> dict[str, Any]:
    """KEY=VALUE as an object; a dot in a key goes one level down."""
    told: dict[str, Any] = {}
    for one in values:
        key, equals, value = one.partition("=")
        if not key or not equals:
            wrong(f"{one}: expected KEY=VALUE")
        outer, dot, inner = key.partition(".")
        if dot:
            within = told.setdefault(outer, {})
            if not isinstance(within, dict):
                wrong(f"{one}: {outer} has a value already")
            within[inner] = _value(value)
        else:
            told[key] = _value(value)
    return told


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def prove(desk: Any, user: str, users: Path | None) -> None:
    """End here where the password is not that user's; the attempt is on record."""
    from evencoat.desk.users import Users, UsersError, default_path

    if not user:
        wrong("--user: say who asks")
    try:
        known = Users(users or default_path()).check(user, known_password(user))
    except UsersError as error:
        wrong(str(error))
    if known is None:
        desk.tell(user[:64] if user.isprintable() else "somebody", "shell", "refused", "wrong name or password")
        wrong("name and password do not belong together")


def _tell_state(state: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(state)
        return
    holder = state["holder"]
    command = f"{holder['who']} via {holder['via']} is in command" if holder else "nobody is in command"
    mode = f"{state['mode_actual']} (asked for: {state['mode_requested']}): {state['outcome']}"
    say(f"{mode if state['mode_actual'] else 'the line has not been heard yet'}; {command}")
    if state["users"]:
        say(state["users"])
