"""Between the desk's thread and the paced one: a request goes over, and the cycle that took it in comes back.

Neither waits for the other. The paced thread empties the tray once a cycle, between two cycles, when the loop may be
asked; what no cycle took in time is taken back, and cannot act later.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue

import numpy as np
import structlog

from controller.core.trace import Trace
from controller.line.command import Mode, OperatorRequest
from controller.loop import Loop
from evencoat.desk.actions import Standing
from evencoat.desk.record import ask
from evencoat.journal import CycleJournal

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class Errand:
    """A request on its way. `done` has the trace of the cycle that took it in."""

    asked: OperatorRequest
    who: str
    why: str
    done: Future[Trace] = field(default_factory=Future)


class Tray:
    """Requests for one loop, recorded in one journal before they act.

    `mode_by`: who asked for the mode that stands, "" for whoever started the process; `acted`: whether the loop has
    been in AUTO since. Read from the desk's thread, and replaced, never changed, from the paced one.
    """

    def __init__(self, journal: CycleJournal, mode_by: str = "") -> None:
        self._journal = journal
        self.mode_by, self.acted = mode_by, False
        self._waiting: SimpleQueue[Errand] = SimpleQueue()
        self._taken: Errand | None = None

    def put(self, errand: Errand) -> None:
        """From the desk's thread; `errand.done.cancel()` takes it back as long as no cycle has it."""
        self._waiting.put(errand)

    def empty(self, loop: Loop) -> None:
        """From the paced thread, after a cycle: answer the errand that this one took in, and give the next to the next.

        Never raises: what people ask, and how it is written down, shall not stop a line.
        """
        taken, self._taken = self._taken, None
        if not self.acted and loop.trace is not None:
            self.acted = loop.trace.mode_actual is Mode.AUTO
        if taken is not None and loop.trace is not None:
            taken.done.set_result(loop.trace)
        while self._taken is None and not self._waiting.empty():
            errand = self._waiting.get_nowait()  # nobody else takes
            if errand.done.set_running_or_notify_cancel():
                self._give(loop, errand)

    def _give(self, loop: Loop, errand: Errand) -> None:
        try:
            ask(loop, self._journal, errand.asked, errand.who, errand.why)
            self.mode_by = errand.who if errand.asked.mode is not None else self.mode_by
            self._taken = errand
        except Exception as error:
            log.exception("desk")
            errand.done.set_exception(error)


def standing(loop: Loop, sends: bool) -> Standing | None:
    """How the line stands; None before the first cycle. From any thread: what it reads is replaced, never changed."""
    trace, state = loop.trace, loop.state
    if trace is None:
        return None
    lips_um, held_um = trace.gap_target_um if state.manual is None else state.manual.gap_um, state.by_hand.gap_um
    return Standing(loop.config.line, trace, np.where(np.isfinite(held_um), held_um, lips_um), sends)
