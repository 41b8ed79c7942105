"""`evencoat forecast RUN` and `evencoat what-if LINE`: what comes, and what would. Words and exit codes live here.

Exit codes: 0 done; 1 it failed while running; 2 the call is wrong, or there is no journal of ours.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from evencoat.terminal import JsonOption, counting, err, out, print_json, refusals, say

TOLD_EVERY = 500  # cycles, from one look at the bar to the next

if TYPE_CHECKING:
    from evencoat.forecast.told import Teller

RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="The journal that `evencoat run` writes, or a run's folder.")
]


def forecast(
    run: RunArgument,
    minutes: Annotated[
        float, typer.Option(min=1.0, max=100_000.0, help="So much of its end is read: what is learnt of the line.")
    ] = 60.0,
    as_json: JsonOption = False,
) -> None:
    """Foresee the web from the end of a run: profile, chance of being out, limits ahead; and how good forecasts were.

    Each forecast of the minutes that are read is judged by the scan that saw its metre.
    """
    with _clear_errors():
        journal, teller = _read(run, minutes)
    told = {**teller.told(), "kept": teller.kept(), "warnings": teller.warnings}
    if as_json:
        print_json({"journal": str(journal), **told})
        return
    if told["known"]:
        _print_ahead(told, teller.line.target.tolerance_pct)
    else:
        say(f"no forecast: {told['why']}")
    _print_kept(told)


def what_if(
    line: Annotated[str, typer.Argument(help="Line file, or the name of a shipped line.")],
    target: Annotated[float | None, typer.Option(help="Mean areal density, g/m2.")] = None,
    speed: Annotated[float | None, typer.Option(help="Web speed, m/min.")] = None,
    solids: Annotated[
        float | None, typer.Option(help="Points of solids that the next batch has more than this one.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Where lips and pump stand, and how the web strays: a run of this line.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """What another target, speed or batch would bring, by what is believed of the line. Nothing is moved."""
    from evencoat.forecast.what_if import answer
    from evencoat.settings import load_line

    with _clear_errors():
        if run is None:
            told = answer(load_line(line).line, target, speed, solids)
        else:
            told = _read(run, 60.0, load_line(line).line.name)[1].what_if(target, speed, solids)
    if as_json:
        print_json(told)
    else:
        _print_what_if(told)


def _clear_errors() -> Any:
    from evencoat.forecast.what_if import WhatIfError
    from evencoat.hmi.source import SourceError
    from evencoat.journal import JournalError
    from evencoat.settings import SettingsError

    return refusals((JournalError, SettingsError, SourceError, WhatIfError), (OSError, sqlite3.Error))


def _read(run: Path, minutes: float, name: str | None = None) -> tuple[Path, Teller]:
    """The end of a journal, seen. Raises JournalError where it is another line's than `name`."""
    from evencoat.forecast.told import COLUMNS, Teller
    from evencoat.hmi.source import journal_of
    from evencoat.journal import JournalError, JournalReader
    from evencoat.settings import read_line

    journal = journal_of(run)
    with JournalReader(journal) as reader:
        if name is not None and reader.line != name:
            raise JournalError(f"{journal}: is a run of {reader.line}, not of {name}")
        line = read_line(reader.settings_text, journal).line
        teller, last = Teller(line), reader.last_row()
        first = max(reader.first_row(), last + 1 - round(60.0 * minutes / line.control.cycle_s), 1)
        with counting("cycles", err.is_terminal) as tell:
            for row, cycle in enumerate(reader.one_by_one(COLUMNS, first, last)):
                teller.see(cycle)
                if row % TOLD_EVERY == 0:
                    tell(row, last - first + 1)
    return journal, teller


def _print_ahead(told: dict[str, Any], tolerance_pct: float) -> None:
    table = Table("leaves the die in", "mean", "worst zone", "80 % within", "a metre out", box=None)
    for one in told["horizons"]:
        zones = one["expected_pct"]
        worst = max(range(len(zones)), key=lambda zone: abs(zones[zone]))
        table.add_row(
            f"{one['horizon_s']:g} s",
            f"{one['mean_pct']:+.2f} ± {one['mean_half_pct'][1]:.2f} %",
            f"{worst + 1}: {zones[worst]:+.2f} %",
            f"± {one['half_pct'][1][worst]:.2f} %",
            f"{100.0 * one['metre_out']:.1f} %",
        )
    out.print(table)
    say(f"any metre out in the next {told['soon_s']:g} s: {100.0 * told['soon']:.0f} % (tolerance {tolerance_pct:g} %)")
    if told["warning"] is not None:
        say(f"warning stands since {told['warning']['since_s']:.0f} s of line time")
    for one in told["limits"]:
        late = "" if one["hours_to"] is None else f" to {one['hours_to']:.1f}"
        say(
            f"{one['what']}, {one['where']}: {one['now']:.1f} {one['unit']}, at {one['limit']:.1f} {one['unit']} in "
            f"{one['hours']:.1f} h ({one['hours_from']:.1f}{late or ' or never'})"
        )


def _print_kept(told: dict[str, Any]) -> None:
    if not told["kept"]:
        say("no forecast has been judged yet: no scan has seen its metre")
        return
    table = Table("forecast of", "scans", "missed by, rms", "of the mean", "inside of 50, 80, 95 %", box=None)
    for one in told["kept"]:
        table.add_row(
            f"{one['horizon_s']:g} s",
            str(one["scans"]),
            f"{one['rms_pct']:.2f} %",
            f"{one['mean_rms_pct']:.2f} %",
            ", ".join(f"{100.0 * share:.1f}" for share in one["zones_inside"]),
        )
    out.print(table)
    say(f"{len(told['warnings'])} warnings in what was read")


def _print_what_if(told: dict[str, Any]) -> None:
    pump, lips, oven, change = told["pump"], told["lips"], told["oven"], told["change"]
    fits = "" if pump["within_trim"] and pump["within_rpm"] else ": more than the pump has"
    say(
        f"pump: trim {pump['trim_pct']:+.2f} %, {pump['rpm']:.1f} rpm, {pump['moving_s']:.1f} s on its way, "
        f"pressure times {pump['pressure_share']:.2f}{fits}"
    )
    say(
        f"lips: no move; bolt {lips['least_room_bolt']} has least room, {lips['least_room_um']:.0f} um, which corrects "
        f"{lips['corrects_pct']:.1f} %"
    )
    delays = ", ".join(
        f"{name} gauge {oven[f'{name}_delay_s']:.1f} s" for name in ("wet", "dry") if f"{name}_delay_s" in oven
    )
    say(f"web: {oven['wet_film_um']:.0f} um wet, {oven['liquid_share']:.2f} of the usual liquid to dry, {delays}")
    say(
        f"change: batch {change['batch_step_pct']:+.2f} %, target on its way for {change['target_ramp_m']:.0f} m; "
        f"out of tolerance at most {change['scrap_most_m']:.0f} m"
    )
    if told["web"]:
        say(f"afterwards: a metre is out with a chance of {100.0 * told['web']['metre_out']:.2f} %")
    for words in told["assumes"]:
        say(f"assumes: {words}")
