"""A recorded log through the bridge: decoded, judged and journalled as the daemon would have seen it, moving nothing.

The loop is ADVISORY: its journal shows what the line did and what this controller would have commanded. It is paced by
the line's own SYNC, as the daemon is. evencoat.replay_commands is what people type.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from controller.clock import LockstepClock
from controller.core import step as core
from controller.core.trace import Trace
from controller.line.command import Mode
from controller.loop import Loop, Sink
from evencoat.guest import invited
from evencoat.keys import in_lockstep
from evencoat.settings import Settings, compile_codec
from firmware_bridge.bridge import CanLinePort
from firmware_bridge.bus_replay import ReplayBus
from firmware_bridge.health import LinkHealth
from firmware_bridge.tx_gate import Gate

PATIENCE_CYCLES = 3  # without SYNC for so long, line time runs on by cycles as in the daemon


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a log held. `links` and `faults` as the bridge counted them; times in seconds, web in metres."""

    log: str
    frames: int
    log_s: float
    cycles: int
    line_s: float
    web_m: float
    wet_scans: int
    dry_scans: int
    links: tuple[LinkHealth, ...]
    faults: dict[str, int]  # in how many cycles each was there
    broke_off: str  # why the log ends before its end; empty where it does not

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return asdict(self)


class _Counting:
    """A sink that counts, and hands on."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.cycles = self.wet = self.dry = 0
        self.first: Trace | None = None
        self.last: Trace | None = None
        self.faults: Counter[str] = Counter()

    def record(self, trace: Trace, step_us: float, lateness_us: float) -> None:
        """One cycle."""
        self._sink.record(trace, step_us, lateness_us)
        self.first, self.last = self.first or trace, trace
        self.cycles += 1
        self.faults.update(trace.link_faults)


def replay(
    settings: Settings,
    log: Path,
    sink: Sink,
    speed: float = 1.0,
    progress: Callable[[float], None] | None = None,
) -> Replayed:
    """Play a log to the end. `speed`: line seconds in a second of the log, where a faster plant was recorded.

    `progress` hears the seconds of log that are over. Raises BusError for a log that cannot be opened, WireError,
    ModelStoreError.
    """
    bus, counting = ReplayBus(log), _Counting(sink)
    auth = in_lockstep(settings, 1)
    wire, line = settings.wire, settings.line
    port = CanLinePort(compile_codec(settings), bus, Gate(settings.gate), line, wire, False, auth=auth)
    config = core.configure(line, wire.sync_period_s, guest=invited(line).network)
    loop = Loop(config, port, LockstepClock(), counting, Mode.ADVISORY)
    began_s = ended_s = bus.now_s
    cycle_s = line.control.cycle_s / speed
    while _to_next_sync(bus, port, cycle_s, round(line.control.cycle_s / wire.sync_period_s)):
        bus.advance(bus.now_s + 0.5 * cycle_s)
        loop.cycle()
        ended_s = bus.now_s
        if progress is not None:
            progress(ended_s - began_s)
    bus.advance(float("inf"))  # what came after the last cycle is counted all the same
    port.listen(0.0)
    links = tuple(port.health().values())
    told = Replayed(
        log=str(log),
        frames=bus.frames,
        log_s=ended_s - began_s,
        cycles=counting.cycles,
        line_s=(counting.last.t_line_ns - counting.first.t_line_ns) / 1e9 if counting.first and counting.last else 0.0,
        web_m=counting.last.web_m - counting.first.web_m if counting.first and counting.last else 0.0,
        wet_scans=_received(links, "wet_profile"),
        dry_scans=_received(links, "dry_profile"),
        links=links,
        faults=dict(counting.faults),
        broke_off=bus.fault() or "",
    )
    port.close()
    return told


def _to_next_sync(bus: ReplayBus, port: CanLinePort, cycle_s: float, syncs: int) -> bool:
    """Let the log run until `syncs` more SYNCs are in, or for as long as a daemon would wait. False when it is over."""
    give_up_s = bus.now_s + (PATIENCE_CYCLES if syncs else 1) * cycle_s
    while syncs > 0:
        next_s = bus.next_s()
        if next_s is None:
            return False
        if next_s > give_up_s:
            bus.advance(give_up_s - 0.5 * cycle_s)
            return True
        bus.advance(next_s)
        if port.listen(0.0) is not None:
            syncs -= 1
    return True


def _received(links: tuple[LinkHealth, ...], telegram: str) -> int:
    return sum(link.received for link in links if link.telegram == telegram)
