"""The paced loop: read, decide, write, pace. Everything it does in a cycle stands in Loop.cycle."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from controller.clock import NS, Clock
from controller.core import step as core
from controller.core.trace import Trace
from controller.line.command import Mode, OperatorRequest
from controller.line.profile import LineInputs
from controller.port import LinePort

REARM_WINDOW_NS = 3 * NS  # line time after the start in which consent to re-arm holds
SETTLE_PERIOD_S = 0.1
STOP_PATIENCE_S = 0.5  # wall time after which a waiting loop looks whether it shall stop
JUMP_CYCLES = 100  # line time this many cycles away from the deadline is a new time base


class Sink(Protocol):
    """Where a cycle's trace goes. Called on the paced thread: it must return at once."""

    def record(self, trace: Trace, step_us: float, lateness_us: float) -> None:
        """One finished cycle: how long the core took, and how late the cycle began (wall time)."""
        ...


class Loop:
    """A controller of one line, one cycle at a time.

    `request` may be called between cycles. `rearm_at_start` is the consent of whoever started the loop to release nodes
    that went into a latched hold while nobody commanded them; `rearm_always` extends it to every silence of ours later
    on. Nodes that latched because of a SAFE_STOP always wait for a person. `resume` gives the state that the
    first cycle begins with, once the line was heard wholly. `rest` is called on the paced thread with the wall time
    left, s: after every cycle that came to its end, and now and then while there is no line to be heard yet.

    `missed` counts deadlines that went by without a cycle; `took_us` is what the last cycle took, all of it, wall time.
    """

    def __init__(
        self,
        config: core.Config,
        port: LinePort,
        clock: Clock,
        sink: Sink,
        mode: Mode = Mode.ADVISORY,
        rearm_at_start: bool = False,
        rearm_always: bool = False,
        resume: Callable[[core.State, LineInputs], core.State] | None = None,
        rest: Callable[[float], None] = lambda left_s: None,
    ) -> None:
        self.config = config
        self.state = core.init(config, mode)
        self.trace: Trace | None = None
        self._port, self._clock, self._sink = port, clock, sink
        self._asked: OperatorRequest | None = None
        self._rearm_at_start, self._rearm_always = rearm_at_start, rearm_always
        self._resume = resume
        self._rest = rest
        self.missed, self.took_us = 0, 0.0
        self._started_ns: int | None = None
        self._last_ns: int | None = None
        self._sync_ns = 0  # line time of the newest SYNC

    def request(self, asked: OperatorRequest) -> None:
        """What a person asks for; the next cycle takes it in, together with what was asked since the last one."""
        self._asked = asked if self._asked is None else self._asked.then(asked)

    def cycle(self, lateness_us: float = 0.0, missed: int = 0) -> bool:
        """One cycle, after `missed` deadlines had none. False while the line was not heard wholly: nothing is sent."""
        inputs = self._port.read()
        if inputs is None:
            return False
        if self._resume is not None:
            self.state, self._resume = self._resume(self.state, inputs), None
        now_ns = inputs.t_line_ns
        if now_ns != self._sync_ns:
            self._sync_ns = now_ns
            self._clock.observe(now_ns)
        self._started_ns = now_ns if self._started_ns is None else self._started_ns
        self._rearm_at_start &= 0 <= now_ns - self._started_ns < REARM_WINDOW_NS  # once over, for good
        dt_s = (now_ns - self._last_ns) / NS if self._last_ns is not None else self.config.line.control.cycle_s
        self._last_ns = now_ns
        asked, self._asked = self._asked, None
        consent = self._rearm_at_start or (self._rearm_always and not inputs.safe_stop)
        if inputs.nodes_latched and (consent or (asked is not None and asked.rearm)):
            self._port.rearm()
        began = time.perf_counter_ns()
        before = self.state
        self.state, command, trace = core.step(self.config, before, inputs, max(dt_s, 0.0), asked, missed)
        step_us = (time.perf_counter_ns() - began) / 1e3
        if command is not None and not self._port.write(command):
            self.state = core.refused(self.state, before)
        self.config, self.state = core.renewed(self.config, self.state)
        self.trace = trace
        self._sink.record(trace, step_us, lateness_us)
        return True

    def run(self, stop: Callable[[], bool]) -> None:
        """Cycle at absolute deadlines of line time until `stop` says so. A missed deadline is skipped, not made up.

        Deadlines lie half a cycle after SYNC: what belongs to that SYNC is in by then, and jitter on either side of it
        does not make a cycle meet the same one twice or the next one early.
        """
        while not (self._clock.settled or stop()):
            self._hear(SETTLE_PERIOD_S)
            self._rest(SETTLE_PERIOD_S)
        cycle_ns, missed = int(self.config.line.control.cycle_s * NS), 0
        deadline_ns = self._sync_ns + cycle_ns // 2
        while not stop():
            while (wait_s := self._clock.wall_s_until(deadline_ns)) > 0.0 and not stop():
                self._hear(min(wait_s, STOP_PATIENCE_S))
            began_ns = time.perf_counter_ns()
            self.cycle(-wait_s * 1e6, missed)
            self.took_us = (time.perf_counter_ns() - began_ns) / 1e3
            over_ns, deadline_ns = deadline_ns, next_deadline(deadline_ns, self._clock.now_ns(), cycle_ns)
            missed = (deadline_ns - over_ns) // cycle_ns - 1
            if abs(deadline_ns - self._sync_ns) > JUMP_CYCLES * cycle_ns:  # a new time base
                deadline_ns, missed = self._sync_ns + cycle_ns + cycle_ns // 2, 0
            self.missed += missed
            self._rest(self._clock.wall_s_until(deadline_ns))

    def _hear(self, timeout_s: float) -> None:
        """Let the clock know of SYNC the moment it comes in; reading it a cycle late would make time drift over it."""
        t_line_ns = self._port.listen(timeout_s)
        if t_line_ns is not None:
            self._sync_ns = t_line_ns
            self._clock.observe(t_line_ns)


def next_deadline(deadline_ns: int, now_ns: int, cycle_ns: int) -> int:
    """The next absolute deadline after `now_ns` on the same grid; those that have already passed are skipped."""
    missed = max(0, (now_ns - deadline_ns) // cycle_ns)
    return deadline_ns + cycle_ns * (1 + missed)
