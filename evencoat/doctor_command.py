"""`evencoat doctor LINE`: is this machine fit to run this line? Words and exit codes; evencoat.doctor looks.

Exit codes: 0 nothing fails (warnings may); 3 something does; 2 the call or the line file is wrong.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from evencoat.terminal import ANSWER_IS_NO, JsonOption, out, print_json, refusals, wrong

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(
    line: Annotated[str, typer.Argument(metavar="[LINE]", help="A line file, or the name of a shipped line.")] = "",
    bus: Annotated[str, typer.Option("--bus", help="As for `run`; without it, what the line file says.")] = "",
    journal: Annotated[Path, typer.Option(help="The journal that `run` shall write; its disk is looked at.")] = Path(
        "journal.sqlite"
    ),
    model: Annotated[str, typer.Option(help="As for `run`, where the law is neural.")] = "",
    unit: Annotated[bool, typer.Option("--unit", help="Print the systemd unit evencoat@.service, and stop.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at the machine: processors, clocks, permissions, disk, bus, keys, model. Nothing is changed or sent."""
    if unit:
        from evencoat import systemd

        called = Path(shutil.which(sys.argv[0]) or "").resolve()
        sys.stdout.write(systemd.unit(str(called) if called.name == "evencoat" else "/usr/bin/evencoat"))
        return
    if not line:
        wrong("line: name a line file or a shipped line, for example: evencoat doctor line-40")
    from evencoat.doctor import Level, examine
    from evencoat.settings import SettingsError, load_line

    with refusals((SettingsError,)):
        settings = load_line(line)
        findings = examine(settings, bus, journal, model)
    failed = any(finding.level is Level.FAIL for finding in findings)
    if as_json:
        print_json({"line": settings.line.name, "fit": not failed, "findings": [one.as_dict() for one in findings]})
    else:
        table = Table("", "what", "found, and what to do", box=None)
        for one in findings:
            words = Text(one.found + (f"\n{one.advice}" if one.advice else ""))
            table.add_row(Text(one.level, style=COLOURS[one.level]), one.subject, words)
        out.print(table)
        out.print(f"{settings.line.name}: this machine {'is not fit' if failed else 'is fit'} to run it", markup=False)
    raise typer.Exit(ANSWER_IS_NO if failed else 0)
