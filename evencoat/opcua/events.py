"""What the journal notes, as events of OPC UA on the Server object, where clients look for them.

Remarks of the control process, none of them an alarm: those are the alarm engine's (evencoat.opcua.alarms).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from asyncua import Node, Server, ua

from evencoat.opcua.nodes import event_type

SEVERITY = 100  # of 1 to 1000
TEXT_MOST = 2000


class Happenings:
    """Tells each event once, from the first look on; what happened before that is in the journal."""

    def __init__(self, generator: Any) -> None:
        self._generator = generator
        self._newest: dict[str, Any] | None = None
        self._began = False

    @staticmethod
    async def made(server: Server, root: Node, name: str) -> Happenings:
        """Make the type of event, with the kind that the journal has it under."""
        kind = await event_type(server, "LineEventType", [("Kind", ua.VariantType.String)])
        generator = await server.get_event_generator(kind, ua.ObjectIds.Server)
        generator.event.SourceNode, generator.event.SourceName = root.nodeid, name
        return Happenings(generator)

    async def tell(self, newest_first: Sequence[dict[str, Any]]) -> int:
        """Tell what is new of the journal's newest events; how many those were."""
        at = newest_first.index(self._newest) if self._newest in newest_first else len(newest_first)
        fresh = newest_first[:at] if self._began else []
        self._began = True
        if newest_first:
            self._newest = newest_first[0]
        for event in reversed(fresh):
            told = self._generator.event
            told.Severity, told.Kind = SEVERITY, event["kind"]
            at_s = datetime.fromtimestamp(event["t_unix_s"], UTC)
            await self._generator.trigger(at_s, event["text"][:TEXT_MOST])
        return len(fresh)
