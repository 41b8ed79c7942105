"""How often somebody stepped in while a stretch of web was made: from the audit chain, for reports and passports.

A step is a mode, a setpoint or an acknowledgement (a re-arm is one) that was asked for by anybody but the control
process itself and the automation. What was asked for acts in the next cycle, and so counts to that one's row.
"""

from __future__ import annotations

from typing import NamedTuple

from evencoat.journal.audit import ITSELF, AuditRecord, What
from evencoat.journal.reader import JournalReader

KINDS = (What.MODE, What.SETPOINT, What.ACKNOWLEDGEMENT)
AUTOMATION = "automation"  # the room that it asks through, as clerk.Person writes it down
BY_AUTOMATION = f" via {AUTOMATION}"
NS = 1_000_000_000


class Interventions(NamedTuple):
    """What was asked of a line within some rows: by people and their systems, and by the automation."""

    manual: tuple[AuditRecord, ...]
    automatic: tuple[AuditRecord, ...]


def interventions(reader: JournalReader, first_row: int, last_row: int) -> Interventions:
    """All that was asked between the row before `first_row` and `last_row`, in its order.

    What was asked before a journal's first cycle counts to that one; what no cycle took in any more, and what belonged
    to cycles that were pruned, to none. Wall time decides, so a clock that was set back in between may move a record to
    another stretch.
    """
    before = reader.wall_time(first_row - 1) or (reader.wall_time(first_row) if first_row > 1 else None)
    last = reader.wall_time(min(last_row, reader.last_row()))
    from_ns = 0 if before is None else round(before * NS) + 1
    to_ns = 0 if last is None else round(last * NS)
    asked = [record for record in reader.audit_between(from_ns, to_ns) if record.what in KINDS]
    return Interventions(
        manual=tuple(one for one in asked if not (by_automation(one.who) or one.who == ITSELF)),
        automatic=tuple(one for one in asked if by_automation(one.who)),
    )


def by_automation(who: str) -> bool:
    """Whether that is how the automation is written down."""
    return who.endswith(BY_AUTOMATION)
