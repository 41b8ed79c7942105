"""`evencoat replay`: a recorded log of the bus, decoded and shown; or a run's journal, played again to the page.

Words and exit codes live here; work does not. Exit codes are those of evencoat.cli: 0 done; 1 the log cannot be read;
2 the call or the line file is wrong.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from evencoat.league.rivals import Rival
from evencoat.terminal import FAILED, err, out, print_json, say, stop, wrong

if TYPE_CHECKING:
    from evencoat.replay import Replayed
    from evencoat.shadow import Shadow

BELIEVED = (
    "a journal keeps what was believed of the web, not what the gauges said: {what} needs the frame log. "
    "`evencoat hub --log FILE`, or candump -L on a real bus, records one"
)


def replay(
    log: Annotated[
        Path,
        typer.Argument(metavar="LOG|RUN", help="A log of the bus: .blf, .asc, .log (candump). With --page also a run."),
    ],
    line: Annotated[str, typer.Option("--line", help="The line file whose bus was recorded; a run needs none.")] = "",
    journal: Annotated[
        Path | None, typer.Option(help="Write the cycle journal here: the line, and what we would have commanded.")
    ] = None,
    controller: Annotated[
        Rival | None, typer.Option(help="Let this one look on, too, and say what it would have asked differently.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw that difference here (.png); with --controller.")] = None,
    page: Annotated[bool, typer.Option("--page", help="Play it again to the page in a browser, at --speed.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the page; 0 takes any that is free.")] = 8080,
    speed: Annotated[
        float,
        typer.Option(min=0.01, max=1000.0, help="Line seconds in a second: of a log of a faster plant; of --page."),
    ] = 1.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on standard output instead of words.")
    ] = False,
) -> None:
    """Play a recorded log of the bus through bridge and controller, which moves nothing: links, scans, journal.

    With --controller another one looks on as well, and the differences are told. With --page, what a run's journal
    holds (or a log's, once it is played) is shown in a browser as if it were live, and marked as a replay.
    """
    from firmware_bridge.bus_replay import SUFFIXES

    if picture is not None and controller is None:
        wrong("picture: shows what another controller would ask; name it with --controller")
    if log.suffix.lower() not in SUFFIXES:
        if controller is not None or not page:
            wrong(f"{log}: {BELIEVED.format(what='--controller' if controller else 'replay without --page')}")
        _page(log, speed, port)
        return
    if not line:
        wrong("line: a log says nothing of the line; name its file with --line")
    with tempfile.TemporaryDirectory(prefix="evencoat-replay-") as folder:
        kept = journal or (Path(folder) / "journal.sqlite" if page else None)
        told = _played(log, line, kept, controller, picture, speed, as_json)
        if as_json:
            print_json(told.as_dict(), default=str)
        else:
            _show(told)
        if page and kept is not None:
            _page(kept, speed, port)


def _played(
    log: Path,
    line: str,
    journal: Path | None,
    controller: Rival | None,
    picture: Path | None,
    speed: float,
    quiet: bool,
) -> Replayed | Shadow:
    """Play a log, in shadow of another controller where one is named."""
    from evencoat.guest import at_work
    from evencoat.journal import CycleJournal, JournalError, NoSink
    from evencoat.model_store import ModelStoreError
    from evencoat.replay import replay as replayed
    from evencoat.settings import SettingsError, load_line
    from evencoat.shadow import draw, shadow
    from firmware_bridge.bus import BusError
    from firmware_bridge.contract import WireError

    try:
        settings = at_work(load_line(line))[0]
        kept = CycleJournal(journal, settings.line, settings.text) if journal else None
        try:
            with _bar(not quiet) as bar:
                task = bar.add_task("log")

                def heard(log_s: float) -> None:
                    bar.update(task, description=f"{log_s:.0f} s of log")

                if controller is None:
                    return replayed(settings, log, kept or NoSink(), speed, heard)
                told = shadow(settings, log, controller, kept, speed, heard)
        finally:
            if kept is not None:
                kept.close()
        if picture is not None:
            draw(told, picture)
    except (SettingsError, WireError, JournalError, ModelStoreError, ValueError) as error:
        wrong(str(error))
    except (BusError, OSError) as error:
        stop(str(error), FAILED)
    return told


def _page(run: Path, speed: float, port: int) -> None:
    """Play a journal to the page until Ctrl-C."""
    from evencoat import serve_command
    from evencoat.hmi.replayed import Replayed as Again
    from evencoat.hmi.replayed import copied
    from evencoat.hmi.source import SourceError, journal_of
    from evencoat.picture import PictureError

    if lacking := serve_command.missing():
        wrong(f"page: needs {', '.join(lacking)}, which is not installed: pip install 'evencoat[hmi]'")
    with tempfile.TemporaryDirectory(prefix="evencoat-replay-") as folder:
        try:
            source = Again(copied(journal_of(run), Path(folder)), speed)
        except SourceError as error:
            wrong(str(error))
        except PictureError as error:
            stop(str(error), FAILED)
        try:
            serve_command.show(source, port)
        finally:
            source.close()


def _show(told: Replayed | Shadow) -> None:
    from evencoat.shadow import Shadow

    if isinstance(told, Shadow):
        _show_shadow(told)
        return
    say(
        f"{told.log}: {told.frames} frames in {told.log_s:.1f} s; {told.cycles} cycles, {told.line_s:.1f} s and "
        f"{told.web_m:.1f} m of line"
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
        say(told.broke_off)


def _show_shadow(told: Shadow) -> None:
    say(f"{told.controller} looked on over {told.replayed.web_m:.0f} m; what it would have asked, less")
    table = Table("", "cycles", "lips rms um", "most um", "in zone", "trim mean %", "rms %", "most %", box=None)
    for name, row in (("where the line stood", told.line), (f"what {told.own_law} would have asked", told.own)):
        numbers = (row.lips_rms_um, row.lips_most_um)
        trims = (row.trim_mean_pct, row.trim_rms_pct, row.trim_most_pct)
        lips = [f"{number:.2f}" for number in numbers]
        table.add_row(name, str(row.cycles), *lips, str(row.lips_most_zone), *[f"{number:.3f}" for number in trims])
    out.print(table)
    say("From where the line stood, cycle by cycle: what would have come of it on the web, no recording can say.")
    if told.controller == Rival.PID:
        say("A PI adds up errors that nobody here takes away for it: its wish runs on into the limits.")


def _bar(shown: bool) -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=err, disable=not shown, transient=True)
