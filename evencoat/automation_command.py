"""`evencoat automation ...`: leave a line alone, and read afterwards who stepped in. Words and exit codes live here.

Exit codes are those of evencoat.cli: 0 done, or ended by SIGTERM; 1 it failed while running; 2 the call, a line file, a
plan or a recipe is wrong; 130 stopped by Ctrl-C. docs/hands-off.md says what is promised.
"""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import sys
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
from rich.table import Table

from evencoat.terminal import INTERRUPTED, EofOption, JsonOption, out, print_json, refusals, say, wrong

app = typer.Typer(
    help="Run a line without a person, within bounds of its line file: start, recipes in time, re-arm.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="The journal that `evencoat run` writes, or a run's folder.")
]


@app.command()
def run(
    line: Annotated[str, typer.Argument(metavar="LINE", help="A line file with [automation].")],
    run: RunArgument,
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="Which recipe, and at which roll or metre the next.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option("--store", metavar="DIR", help="Of recipes. Without it `recipes` beside the journal.")
    ] = None,
    stop_on_eof: EofOption = False,
) -> None:
    """Sit at the desk of a line that runs: ask for what [automation] allows, as its user, until told to stop.

    That user (`evencoat user add automation --role operator`, or engineer where recipes change) is all it may be.
    Whoever asks for MANUAL or HOLD has the line, until somebody asks for AUTO.
    """
    from evencoat.automation import plan as plans
    from evencoat.automation.service import Service, serve
    from evencoat.hmi.source import journal_of
    from evencoat.recipes.store import RecipeStore
    from evencoat.settings import load_line

    with _refusals():
        settings, journal = load_line(line), journal_of(run)
        policy = settings.automation
        if not (policy.start or policy.rearm_most_per_hour or plan):
            wrong(f"{settings.path}: [automation] allows nothing (start, rearm_most_per_hour), and there is no --plan")
        planned = plans.Plan()
        if plan is not None:
            planned = plans.load(plan, RecipeStore(store or journal.parent / "recipes"), settings.line)
        _log_to_stderr()
        stop, interrupted = _stop(stop_on_eof)
        serve(Service(settings, planned, journal), stop.is_set, stop.wait)
    if interrupted.is_set():
        raise typer.Exit(INTERRUPTED)


@app.command()
def report(run: RunArgument, as_json: JsonOption = False) -> None:
    """Who stepped in, what the automation did, and how long the loop ran: of each roll, from the journal alone."""
    from evencoat.automation.report import told
    from evencoat.hmi.source import journal_of
    from evencoat.journal import JournalReader

    with _refusals():
        journal = journal_of(run)
        with JournalReader(journal) as reader:
            found = told(reader)
    if as_json:
        print_json({"journal": str(journal), **found})
        return
    out.print(_table(found["rolls"]))
    for roll in found["rolls"]:
        for asked in (*roll["manual_asked"], *roll["automatic"]):
            say(f"roll {roll['roll']}: {asked['who']}: {asked['what']}: {asked['new']}: {asked['why']}")
    say(f"manual interventions: {found['manual']}")


def _table(rolls: list[dict[str, Any]]) -> Table:
    table = Table("roll", "web m", "min", "auto %", "held longest", "by hand", "automatic", box=None)
    for roll in rolls:
        longest = next((f"{s:.0f} s {outcome}" for outcome, s in roll["hold_s"].items()), "")
        auto = "" if roll["auto_of_running_pct"] is None else f"{roll['auto_of_running_pct']:.1f}"
        length, minutes = f"{roll['web_m']:.0f}", f"{roll['line_s'] / 60.0:.1f}"
        table.add_row(
            str(roll["roll"]), length, minutes, auto, longest, str(roll["manual"]), str(len(roll["automatic"]))
        )
    return table


def _log_to_stderr() -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )


def _stop(on_eof: bool) -> tuple[threading.Event, threading.Event]:
    """Set by SIGTERM, Ctrl-C, or the end of standard input; and whether it was Ctrl-C."""
    stop, interrupted = threading.Event(), threading.Event()

    def interrupt(*_: object) -> None:
        interrupted.set()
        stop.set()

    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, interrupt)
    if on_eof:
        threading.Thread(target=_until_eof, args=(stop,), name="stop-on-eof", daemon=True).start()
    return stop, interrupted


def _until_eof(stop: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    stop.set()


def _refusals() -> AbstractContextManager[None]:
    from evencoat.automation.plan import PlanError
    from evencoat.hmi.source import SourceError
    from evencoat.journal import JournalError
    from evencoat.settings import SettingsError

    return refusals((JournalError, PlanError, SettingsError, SourceError), (OSError, sqlite3.Error))
