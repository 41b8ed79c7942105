"""`evencoat diagnose RUN`: what was wrong in a run, from its journal. Words and exit codes live here.

Exit codes: 0 done; 1 it failed while running; 2 the call is wrong, or there is no journal of ours.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Annotated, Any

import typer

from evencoat.terminal import JsonOption, counting, print_json, refusals, say


def diagnose(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The journal that `evencoat run` writes, or a run's folder.")
    ],
    language: Annotated[str, typer.Option(help="Of the words: en or zh.")] = "en",
    as_json: JsonOption = False,
) -> None:
    """Name what was wrong in a run: cause and place, when, how surely, by what evidence, and what to do about it."""
    from evencoat.diagnosis.told import as_dict
    from evencoat.hmi.source import SourceError, journal_of
    from evencoat.journal import JournalError, JournalReader
    from evencoat.settings import SettingsError, read_line

    with refusals((JournalError, SettingsError, SourceError), (OSError, sqlite3.Error)):
        if language not in ("en", "zh"):
            raise typer.BadParameter(f"language = {language!r}: must be en or zh")
        journal = journal_of(run)
        with JournalReader(journal) as reader:
            diagnoser, named = _read(reader, read_line(reader.settings_text, journal).line, not as_json)
    told = [as_dict(one, diagnoser.begun_ns, journal) for one in named]
    standing = [f"{one.key}" for one in diagnoser.standing()]
    if as_json:
        print_json({"journal": str(journal), "line_s": diagnoser.t_s, "named": told, "standing": standing})
        return
    for one in told:
        _say(one, language)
    say(f"{len(told)} named in {diagnoser.t_s / 60.0:.1f} minutes; {len(standing)} stand at the end")


def _read(reader: Any, line: Any, shown: bool) -> Any:
    from evencoat.diagnosis.replay import replayed
    from evencoat.diagnosis.watch import Diagnoser

    diagnoser = Diagnoser(line)
    with counting("cycles", shown) as tell:
        named = replayed(diagnoser, reader, 1, reader.last_row(), tell)
    return diagnoser, named


def _say(one: dict[str, Any], language: str) -> None:
    words = one["words"][language]
    say(f"{one['named_line_s']:.0f} s, {one['web_m']:.0f} m: {words['text']} ({100.0 * one['probability']:.0f} %)")
    say(f"  {one['evidence']}; since {one['since_line_s']:.0f} s")
    say(f"  {words['cause']} {words['consequence']}")
    say(f"  {words['action']}")
    say(f"  {one['replay']}   # from {one['replay_from_line_s']:.0f} s")
