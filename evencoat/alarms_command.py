"""`evencoat alarms RUN`: what the alarms of a run would have told, from its journal. Words and exit codes live here.

Exit codes: 0 done; 1 it failed while running; 2 the call is wrong, or there is no journal of ours.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from evencoat.terminal import JsonOption, out, print_json, refusals, say

COLOURS = {"urgent": "red", "high": "red", "medium": "yellow", "low": ""}


def alarms(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The journal that `evencoat run` writes, or a run's folder.")
    ],
    history: Annotated[bool, typer.Option("--history", help="Everything that came and went, not only alarms.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Replay the alarm engine over a run: which alarms came, how many, and what stands at its end.

    By line time; acknowledged and shelved is nothing, for people act on the alarms that `evencoat serve` keeps.
    """
    from evencoat.hmi.source import SourceError, journal_of
    from evencoat.journal import JournalError, JournalReader
    from evencoat.settings import SettingsError, read_line

    with refusals((JournalError, SettingsError, SourceError), (OSError, sqlite3.Error)):
        journal = journal_of(run)
        with JournalReader(journal) as reader:
            line = read_line(reader.settings_text, journal).line
            told = _told(reader, line, history)
    if as_json:
        print_json({"journal": str(journal), **told})
        return
    table = Table("when", "line s", "priority", "alarm", box=None)
    for one in told["history"]:
        words = Text(one["words"] + ("" if one["after"] == "active" else f": {one['after']}"))
        words.append("  first of its trouble" if one["first_out"] else "", style="bold")
        when = datetime.fromtimestamp(one["t_unix_s"]).strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(when, f"{one['at_s']:.1f}", Text(one["priority"], style=COLOURS[one["priority"]]), words)
    if told["history"]:
        out.print(table)
    figures = told["figures"]
    say(
        f"{figures['announced']} alarms in {figures['span_s'] / 60.0:.1f} minutes: "
        f"{figures['mean_per_ten_minutes']:g} in ten minutes on average, {figures['peak_ten_minutes']} at most; "
        f"{figures['standing']} stand at the end"
    )
    for name, one in told["health"].items():
        if one["status"] != "good":
            say(f"{name}: {one['status']} ({', '.join(one['because'])})")


def _told(reader: Any, line: Any, history: bool) -> dict[str, Any]:
    from evencoat.alarms.catalogue import CATALOGUE
    from evencoat.alarms.figures import ANNOUNCED, announcements, figures
    from evencoat.alarms.health import health
    from evencoat.alarms.replay import in_words, replayed

    found = replayed(reader, line)
    panel = found.panel
    shown = [moved for moved in panel.history if history or moved.after is ANNOUNCED]
    return {
        "cycles": found.cycles,
        "figures": figures(announcements(panel.history), panel.state, 0.0).as_dict(),
        "health": {name: one._asdict() for name, one in health(line, panel.state).items()},
        "standing": [str(key) for key, one in panel.state.standings.items() if one.state is not one.state.NORMAL],
        "history": [
            {
                "t_unix_s": found.unix_of(moved.at_s),
                "at_s": round(moved.at_s, 2),
                "id": str(moved.key),
                "priority": CATALOGUE[moved.key.alarm].priority,
                "before": moved.before,
                "after": moved.after,
                "why": moved.why,
                "words": in_words(moved.key, moved.detail),
                "first_out": moved.first_out,
            }
            for moved in shown
        ],
    }
