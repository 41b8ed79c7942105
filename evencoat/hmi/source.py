"""What the page shows, from where it is: the newest cycle in memory, and the journal for all that lies behind it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from controller.core.target import bounds_gsm
from evencoat import picture
from evencoat.journal import JournalError, JournalReader
from evencoat.settings import Settings, SettingsError, read_line

ROWS_MOST = 900  # of a roll map: a screen has no more to show
EVENTS_SHOWN = 200
COLUMNS = tuple(
    name for name in (*picture.SCALARS, *picture.LISTS, *picture.ARRAYS, "lateness_us", "t_unix_s")
    if name != "model_news"
)  # fmt: skip


class SourceError(Exception):
    """There is no line to be shown; the text names the file and what is wrong with it."""


def journal_of(run: Path) -> Path:
    """The journal of a run: a file, or the only one in a run's folder. Raises SourceError."""
    if run.is_file():
        return run
    found = sorted({*run.glob("journal.sqlite"), *run.glob("*/journal.sqlite")}) if run.is_dir() else []
    if len(found) == 1:
        return found[0]
    if found:
        raise SourceError(f"{run}: has {len(found)} journals; name one of {', '.join(map(str, found))}")
    raise SourceError(f"{run}: no journal.sqlite there; name what `evencoat run --journal` writes, or a run's folder")


class Source:
    """One line. The journal is opened anew for each question, for a moment: whoever prunes it is not held up."""

    now = True  # whether the journal's end is the present

    def __init__(self, journal: Path) -> None:
        """Raises SourceError where there is no journal of ours."""
        self.journal = journal
        self.viewer = picture.Viewer(picture.path_of(journal))
        try:
            with JournalReader(journal) as reader:
                self.settings: Settings = read_line(reader.settings_text, journal)
        except (JournalError, SettingsError, sqlite3.Error) as error:
            raise SourceError(str(error)) from error

    def line(self) -> dict[str, Any]:
        """What does not change while a line runs: the page's scales and marks."""
        line = self.settings.line
        target_min_gsm, target_max_gsm = bounds_gsm(line)
        return {
            "name": line.name,
            "zones": line.zones,
            "pitch_mm": line.die.zone_pitch_mm,
            "target_gsm": line.target_profile_gsm.tolist(),
            "target_min_gsm": target_min_gsm,
            "target_max_gsm": target_max_gsm,
            "tolerance_pct": line.target.tolerance_pct,
            "gap_min_um": line.lips.gap_min_um,
            "gap_max_um": line.lips.gap_max_um,
            "neighbour_max_um": line.lips.neighbour_max_um,
            "bend_max_um": line.lips.bend_max_um,
            "trim_max_pct": line.pump.trim_max_pct,
            "cycle_s": line.control.cycle_s,
            "target_mean_gsm": float(line.target_profile_gsm.mean()),
            "web_width_mm": line.web_width_mm,
            "web_speed_mps": line.web_speed_mps,
            "density_kgm3": line.slurry.density_kgm3,
            "solids_pct": 100.0 * line.slurry.solids_fraction,
            "description": self.settings.description,
        }

    def recent(self, minutes: float) -> bytes:
        """Messages of the last so many minutes of line time, thinned to what a screen can show, oldest first.

        Each with its length before it, uint32, little-endian. Raises SourceError.
        """
        try:
            with JournalReader(self.journal) as reader:
                last = self.last_row(reader)
                most = min(int(60.0 * minutes / self.settings.line.control.cycle_s), last)
                every = max(most // ROWS_MOST, 1)
                rows = reader.thinned(COLUMNS, last - most, last, every)
        except (JournalError, sqlite3.Error) as error:
            raise SourceError(str(error)) from error
        found = []
        for k in range(len(rows["cycle"])):
            row = {name: values[k] for name, values in rows.items()} | {"model_news": ""}
            content = picture.message(row, float(row["lateness_us"]), float(row["t_unix_s"]))
            found += [picture.PREFIX.pack(len(content)), content]
        return b"".join(found)

    def last_row(self, reader: JournalReader) -> int:
        """Row number of the newest cycle that is shown."""
        return reader.last_row()

    def last_message(self) -> bytes | None:
        """The newest cycle that the journal has; None where it has none."""
        newest = self.recent(0.0)
        return newest[picture.PREFIX.size :] or None

    def events(self) -> list[dict[str, Any]]:
        """The newest events, newest first. Raises SourceError."""
        try:
            with JournalReader(self.journal) as reader:
                found = reader.newest_events(EVENTS_SHOWN)
        except (JournalError, sqlite3.Error) as error:
            raise SourceError(str(error)) from error
        return [
            {"t_unix_s": event.t_unix_s, "line_s": event.t_line_ns / 1e9, "kind": event.kind, "text": event.text}
            for event in found
        ]
