"""The desk: where people, and systems for people, ask things of a control process, and what is kept of it.

record: each thing asked for goes into the audit chain and then to the loop. users, actions: who may ask for what.
clerk, tray, channel: the control process's side. client: everybody else's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evencoat.desk.record import ask, opened

__all__ = ["ask", "opened"]


def __getattr__(name: str) -> Any:
    """`ask` and `opened` when they are used: the command line needs users alone, and the loop takes long to import."""
    if name not in __all__:
        raise AttributeError(name)
    from evencoat.desk import record

    return getattr(record, name)
