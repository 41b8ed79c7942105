"""The diagnoser over a journal, from one row to another: for whoever asks afterwards, and for the page, which goes on
from where it stopped."""

from __future__ import annotations

from collections.abc import Callable

from evencoat.diagnosis.watch import Diagnoser, Diagnosis
from evencoat.journal import JournalReader

TOLD_EVERY = 2000
COLUMNS = (
    "t_line_ns", "web_m", "web_speed_mps", "line_state", "batch", "mode_actual", "outcome", "link_faults", "gap_um",
    "gap_target_um", "zone_not_following", "pump_speed_rpm", "pump_pressure_kpa", "slurry_temperature_c", "target_gsm",
    "wet_scan_gsm", "wet_scan_share", "wet_scan_past_boxes", "wet_scan_m",
    "dry_scan_gsm", "dry_scan_share", "dry_scan_past_boxes", "dry_scan_m",
)  # fmt: skip


def replayed(
    diagnoser: Diagnoser,
    reader: JournalReader,
    first_row: int,
    last: int,
    tell: Callable[[int, int], None] | None = None,
) -> list[Diagnosis]:
    """A journal from one row to another; returns what was named. tell: done, and of how many."""
    named: list[Diagnosis] = []
    for done, cycle in enumerate(reader.one_by_one(COLUMNS, first_row, last)):
        named += diagnoser.look(cycle)
        if tell is not None and done % TOLD_EVERY == 0:
            tell(done, last - first_row + 1)
    return named
