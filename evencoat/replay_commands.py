"""`evencoat replay`: a recorded log of the bus, decoded and shown. Words and exit codes live here; work does not.

Exit codes are those of evencoat.cli: 0 done; 1 the log cannot be read; 2 the call or the line file is wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from evencoat.terminal import FAILED, err, out, print_json, stop, wrong

if TYPE_CHECKING:
    from evencoat.replay import Replayed


def replay(
    log: Annotated[Path, typer.Argument(help="A log of the bus: .blf, .asc or .log (candump).")],
    line: Annotated[str, typer.Option("--line", help="The line file whose bus was recorded.")],
    journal: Annotated[
        Path | None, typer.Option(help="Write the cycle journal here: the line, and what we would have commanded.")
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0.01, max=1000.0, help="Line seconds in a second of the log, of a faster plant.")
    ] = 1.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on standard output instead of words.")
    ] = False,
) -> None:
    """Play a recorded log of the bus through bridge and controller, which moves nothing: links, scans, journal."""
    from evencoat.guest import at_work
    from evencoat.journal import CycleJournal, JournalError, NoSink
    from evencoat.model_store import ModelStoreError
    from evencoat.replay import replay as replayed
    from evencoat.settings import SettingsError, load_line
    from firmware_bridge.bus import BusError
    from firmware_bridge.contract import WireError

    try:
        settings = at_work(load_line(line))[0]
        kept = CycleJournal(journal, settings.line, settings.text) if journal else None
        try:
            with _bar(not as_json) as bar:
                task = bar.add_task("log")
                told = replayed(
                    settings,
                    log,
                    kept or NoSink(),
                    speed,
                    lambda log_s: bar.update(task, description=f"{log_s:.0f} s of log"),
                )
        finally:
            if kept is not None:
                kept.close()
    except (SettingsError, WireError, JournalError, ModelStoreError) as error:
        wrong(str(error))
    except (BusError, OSError) as error:
        stop(str(error), FAILED)
    if as_json:
        print_json(told.as_dict(), default=str)
    else:
        _show(told)


def _show(told: Replayed) -> None:
    out.print(
        f"{told.log}: {told.frames} frames in {told.log_s:.1f} s; {told.cycles} cycles, {told.line_s:.1f} s and "
        f"{told.web_m:.1f} m of line",
        soft_wrap=True,
        markup=False,
    )
    table = Table(box=None)
    for number, name in enumerate(("link", "telegrams", "at the end", "what went wrong")):
        table.add_column(name, justify="right" if number == 1 else "left")
    for link in told.links:
        wrong = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in link.errors.items())
        table.add_row(str(link.telegram), str(link.received), str(link.state), wrong)
    out.print(table)
    for fault, cycles in told.faults.items():
        out.print(f"in {cycles} cycles: {fault}", markup=False)
    if told.broke_off:
        out.print(told.broke_off, markup=False, soft_wrap=True)


def _bar(shown: bool) -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=err, disable=not shown, transient=True)
