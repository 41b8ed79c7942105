"""The three long-running processes of a line on one machine: control daemon, plant, hub. Each stops cleanly on SIGTERM.

Composed here from the other packages; evencoat.cli gives them their arguments.
"""

from __future__ import annotations

import getpass
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import structlog

from controller import restart
from controller.clock import SyncClock
from controller.core.trace import Trace
from controller.line.command import Cause, Mode, Outcome, Rung
from controller.loop import Loop
from evencoat.desk.actions import Standing
from evencoat.desk.channel import Channel
from evencoat.desk.clerk import COMMAND_IDLE_S, Clerk
from evencoat.desk.client import DeskError, socket_of
from evencoat.desk.tray import Tray, standing
from evencoat.desk.users import Users, UsersError, default_path
from evencoat.errors import RunFailed
from evencoat.guest import Guest, invited
from evencoat.journal import CycleJournal, NoSink, What
from evencoat.journal.audit import ITSELF
from evencoat.keys import authenticator
from evencoat.past import Past, config_and_resume, mode_to_start, told_start
from evencoat.picture import Easel, PictureError, path_of
from evencoat.realtime import Rest, claim
from evencoat.recording import TruthRecorder
from evencoat.settings import Settings, compile_codec
from evencoat.snapshot.file import Identity, path_beside
from evencoat.snapshot.keeper import Keeper
from evencoat.systemd import Notifier
from firmware_bridge.bridge import CanLinePort
from firmware_bridge.bus import Bus, BusError
from firmware_bridge.bus_hub import HubError, HubServer
from firmware_bridge.bus_pythoncan import open_bus
from firmware_bridge.codec import Codec
from firmware_bridge.contract import Telegram
from firmware_bridge.health import LinkHealth
from firmware_bridge.medium import Medium
from firmware_bridge.tx_gate import Gate

if TYPE_CHECKING:
    from plant_sim.scenario import Scenario

log = structlog.get_logger()

TRUTH_SAVED_EVERY_S = 5.0
OVERRUNS_TOLD_EVERY_S = 10.0  # of line time


class StopFlag:
    """Set by SIGTERM and SIGINT; asked by every paced loop."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def listen(self, on_eof: bool = False) -> StopFlag:
        """Take SIGTERM and SIGINT over, and the end of standard input when `on_eof`; returns itself."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        if on_eof:
            threading.Thread(target=self._await_eof, name="stop-on-eof", daemon=True).start()
        return self

    def set(self) -> None:
        """Ask everyone to stop."""
        self._event.set()

    def __call__(self) -> bool:
        return self._event.is_set()

    def _await_eof(self) -> None:
        while os.read(0, 4096):
            pass
        self.set()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.set()


@dataclass(frozen=True, slots=True)
class DaemonOptions:
    """How the control daemon shall run."""

    bus: str  # address as in firmware_bridge.bus_pythoncan.open_bus; "" takes the line file's
    mode: Mode
    journal: Path | None
    minutes: float | None  # of line time; None runs until stopped
    model: str = ""  # for the law `neural`: see evencoat.guest
    rearm_always: bool = False  # release nodes that latched because we were silent, not only at the start
    users: Path | None = None  # who may command; None: where evencoat.desk.users.default_path says
    command_idle_s: float = COMMAND_IDLE_S  # after which whoever asks for nothing is no longer in command


class Newsroom:
    """The daemon's sink: every cycle to the journal and the snapshots, and what changed to the log and the events."""

    def __init__(
        self, journal: CycleJournal | NoSink, minutes: float | None, stop: StopFlag, alive: Callable[[], None]
    ) -> None:
        self.loop: Loop | None = None
        self.keeper: Keeper | None = None
        self.easel: Easel | None = None
        self.tray: Tray | None = None
        self.then: Mode | None = None  # to be asked for once the line is held
        self.started_by_person = True  # False after a crash: then nobody has asked for the mode of the start
        self.health: Callable[[], Mapping[Telegram, LinkHealth]] = dict
        self._journal, self._stop, self._alive = journal, stop, alive
        self._limit_s = None if minutes is None else 60.0 * minutes
        self._told: tuple[Mode, Outcome, tuple[str, ...], Rung, Cause] | None = None
        self._disk: str | None = None
        self._missed, self._overruns_told_s = 0, -math.inf
        self._started_ns: int | None = None

    def record(self, trace: Trace, step_us: float, lateness_us: float) -> None:
        """Keep the cycle; tell a change of mode, outcome, links or rung; stop when the time is over."""
        self._journal.record(trace, step_us, lateness_us)
        if self.easel is not None:
            self.easel.show(trace, lateness_us)
        if self.loop is not None:
            if self.then is not None and trace.sent and trace.mode_actual is Mode.HOLD:
                self.loop.state, self.then = restart.asked_again(self.loop.state, self.then), None
            if self.keeper is not None:
                self.keeper.offer(self.loop.config, self.loop.state, trace)
            if self.tray is not None:
                self.tray.empty(self.loop)
        news = (trace.mode_actual, trace.outcome, trace.link_faults, trace.rung, trace.rung_cause)
        if news != self._told:
            if self._told is not None and trace.link_faults != self._told[2]:
                log_links(self.health())
            self._told = news
            self._tell(trace)
        if self.loop is not None and self.loop.missed != self._missed:
            self._tell_overrun(self.loop, trace)
        if trace.model_news:
            log.info("model", news=trace.model_news, line_s=trace.t_line_ns / 1e9)
        if self._journal.error != self._disk:
            self._disk = self._journal.error
            log.warning("journal", refused=self._disk or "", lost=self._journal.lost)
        if self._started_ns is None:
            self._started_ns = trace.t_line_ns
            self._alive()
        if self._limit_s is not None and (trace.t_line_ns - self._started_ns) / 1e9 >= self._limit_s:
            self._stop.set()

    def refused(self, words: str) -> None:
        """Something that [realtime] asks for is not to be had."""
        self._journal.event("alarm", words)
        log.warning("realtime", refused=words)

    def _tell_overrun(self, loop: Loop, trace: Trace) -> None:
        """Deadlines that went by: the first at once, those of the next seconds together."""
        line_s = trace.t_line_ns / 1e9
        if 0.0 <= line_s - self._overruns_told_s < OVERRUNS_TOLD_EVERY_S:
            return
        missed, self._missed, self._overruns_told_s = loop.missed - self._missed, loop.missed, line_s
        what = "deadline" if missed == 1 else "deadlines"
        self._journal.event("overrun", f"{missed} {what} missed; a cycle took {loop.took_us / 1e3:.1f} ms")
        log.warning("overrun", missed=missed, in_all=loop.missed, last_took_ms=round(loop.took_us / 1e3, 1))

    def _tell(self, trace: Trace) -> None:
        links, cause = list(trace.link_faults), str(trace.rung_cause)
        words = f"{trace.mode_actual} (asked for: {trace.mode_requested}): {trace.outcome}"
        below = f"; law: {trace.rung}, because {cause}" if trace.rung is not Rung.OWN else ""
        self._journal.event("mode", "; ".join([words, *links]) + below)
        log.info(
            "mode",
            actual=str(trace.mode_actual),
            requested=str(trace.mode_requested),
            reason=str(trace.outcome),
            links=links,
            rung=str(trace.rung),
            rung_cause=cause,
            line_s=trace.t_line_ns / 1e9,
            web_m=round(trace.web_m, 2),
        )


def log_links(links: Mapping[Telegram, LinkHealth]) -> None:
    """One line of log for each link on which anything ever went wrong: its state, its E2E state, its counts."""
    for telegram, link in links.items():
        if link.errors:
            log.info("link", telegram=str(telegram), state=str(link.state), e2e=str(link.verdict), **link.errors)


def run_daemon(
    settings: Settings,
    options: DaemonOptions,
    stop: StopFlag,
    codec: Codec | None = None,
    alive: Callable[[], None] = lambda: None,
) -> None:
    """The control process: paced loop, bus, journal, nothing else. ADVISORY sends nothing at all, not even a heartbeat.

    `codec` is that of the settings, where somebody has compiled it already; `alive` hears of the first cycle. Raises
    JournalError when the journal is not ours to write, BusError when the bus cannot be opened, ModelStoreError when the
    network that the line's law runs with is refused.
    """
    guest = invited(settings.line, options.model)
    past = Past.of(options.journal)
    mode, why = mode_to_start(options.mode, past, settings.restart.resume)
    journal = None
    if options.journal is not None:
        journal = CycleJournal(options.journal, settings.line, settings.text, retention=settings.retention)
        told_start(journal, settings, past, getpass.getuser(), options.mode, mode, why)
    try:
        newsroom = Newsroom(journal or NoSink(), options.minutes, stop, alive)
        released = not past.crashed or mode is options.mode
        first = Mode.HOLD if past.crashed and mode is Mode.AUTO else mode
        newsroom.then = mode if first is not mode else None
        newsroom.started_by_person = not past.crashed
        ended = _control(
            settings, options, stop, codec or compile_codec(settings), journal, first, newsroom, released, guest
        )
        if journal is not None:
            journal.audit(getpass.getuser(), What.STOP, "", "", ended)
            journal.event("stop", "daemon stopped")
    except BusError as error:
        if journal is not None:
            journal.audit(getpass.getuser(), What.STOP, "", "", str(error))
        raise
    finally:
        if journal is not None:
            journal.close()


def _control(
    settings: Settings,
    options: DaemonOptions,
    stop: StopFlag,
    codec: Codec,
    journal: CycleJournal | None,
    mode: Mode,
    newsroom: Newsroom,
    released: bool,
    guest: Guest,
) -> str:
    """Run the loop until it shall stop; returns why it did. `released`: somebody agreed to release latched nodes."""
    transmit = options.mode is not Mode.ADVISORY
    identity = Identity.of(settings)
    auth = authenticator(settings, "controller" if transmit else "listener")
    config, resume = config_and_resume(settings, identity, journal, guest.network)
    bus = open_bus(options.bus, settings.wire)
    gate = Gate(settings.gate)
    port = CanLinePort(codec, bus, gate, settings.line, settings.wire, transmit=transmit, auth=auth)
    systemd = Notifier()
    rest = Rest(systemd.alive, settings.realtime.collect_in_slack)
    loop = Loop(
        config,
        port,
        SyncClock(),
        newsroom,
        mode,
        rearm_at_start=transmit and released,
        rearm_always=transmit and options.rearm_always,
        resume=resume,
        rest=rest,
    )
    newsroom.loop, newsroom.health = loop, port.health
    channel = None
    if journal is not None:
        beside = path_beside(journal.path)
        newsroom.keeper = Keeper(beside, identity, settings.restart.snapshot_s, lambda w: journal.event("alarm", w))
        newsroom.easel = _easel(journal, settings.line.zones)
        newsroom.tray = Tray(journal, "" if newsroom.started_by_person else ITSELF)
        channel = _desk(journal, newsroom.tray, options, lambda: standing(loop, transmit))
    log.info(
        "daemon",
        line=settings.line.name,
        law=str(settings.line.control.law),
        mode=str(mode),
        authenticated=auth is not None,
        **({"guest": guest.words} if guest.words else {}),
    )
    for words in claim(settings.realtime):
        newsroom.refused(words)
    systemd.tell(READY="1", STATUS=f"{settings.line.name}: runs, {mode} at the start")
    try:
        loop.run(stop)
    finally:
        systemd.tell(STOPPING="1")
        systemd.close()
        if channel is not None:
            channel.close()
        rest.close()
        log_links(port.health())
        port.close()
        if newsroom.keeper is not None:
            newsroom.keeper.close()
        if newsroom.easel is not None:
            newsroom.easel.close()
        log.info("stopped", cycles=loop.state.cycle)
    return f"asked to stop after {loop.state.cycle} cycles"


def _easel(journal: CycleJournal, zones: int) -> Easel | None:
    """Where pages see the newest cycle; control does without where there is no place for it."""
    try:
        return Easel(path_of(journal.path), zones)
    except PictureError as error:
        journal.event("alarm", str(error))
        log.warning("picture", refused=str(error))
        return None


def _desk(
    journal: CycleJournal, tray: Tray, options: DaemonOptions, standing_now: Callable[[], Standing | None]
) -> Channel | None:
    """Where people ask; control does without where there is no place for it."""
    users = Users(options.users or default_path())
    try:
        users.all()
    except UsersError as error:
        _nobody_commands(journal, error)
    try:
        return Channel(socket_of(journal.path), Clerk(journal, tray, users, standing_now, options.command_idle_s))
    except DeskError as error:
        _nobody_commands(journal, error)
        return None


def _nobody_commands(journal: CycleJournal, error: Exception) -> None:
    journal.event("alarm", f"nobody can command: {error}")
    log.warning("desk", refused=str(error))


@dataclass(frozen=True, slots=True)
class PlantOptions:
    """How the plant process shall play."""

    bus: str
    scenario: Scenario
    seed: int
    speed: float  # line seconds in a second of wall time
    minutes: float | None
    truth: Path | None


def run_plant(settings: Settings, options: PlantOptions, stop: StopFlag) -> None:
    """The plant on the bus, paced at `speed`. Saves the true web to `truth` every few seconds and at the end."""
    from plant_sim import plant  # a compiled step, which the daemon has no use for
    from plant_sim.node import PlantNodes
    from plant_sim.plant import Plant
    from plant_sim.serve import realtime
    from plant_sim.truth import Truth

    log.info("compiling", what="the plant's step; once on a machine, under a minute")
    drawn = Truth.draw(settings.drawn, options.seed)
    plant.compile_ahead(Plant.of(drawn, options.scenario, options.seed))
    bus: Bus = open_bus(options.bus, settings.wire)
    auth = authenticator(settings, "plant")
    nodes = PlantNodes(settings.drawn, compile_codec(settings), bus, drawn, options.scenario, options.seed, auth)
    recorder = TruthRecorder(drawn.lanes)
    limit_s = options.minutes * 60.0 if options.minutes is not None else float("inf")

    def on_step() -> None:
        row = nodes.truth_row
        if options.truth is not None:
            recorder.add(row.t_s, row.web_m, row.ds_m, row.bolt_travel_um, row.areal_density_gsm)
        if row.t_s >= limit_s:
            stop.set()

    log.info("plant", line=settings.line.name, scenario=options.scenario.name, seed=options.seed, speed=options.speed)
    try:
        realtime(nodes, options.speed, settings.line.control.cycle_s, stop, on_step)
    finally:
        bus.close()
        if options.truth is not None:
            recorder.save(options.truth)
        log.info("stopped", line_s=round(nodes.truth_row.t_s, 1))


def run_hub(path: Path, frame_log: Path | None, stop: StopFlag, medium: Medium | None = None) -> None:
    """The bus itself: passes frames between its clients, as `medium` plays it, and logs them when told where."""
    try:
        server = HubServer(path, frame_log, medium=medium)
    except HubError as error:
        raise RunFailed(str(error)) from error
    with server as hub:
        played = str(medium.played) if medium else None
        log.info("hub", socket=str(path), frame_log=str(frame_log) if frame_log else None, played=played)
        hub.serve(stop)
        log.info("stopped", frames=hub.frames, dropped=hub.dropped)


def wait_for(path: Path, timeout_s: float = 10.0) -> bool:
    """Wait until `path` exists; False when it does not in time."""
    deadline_s = time.monotonic() + timeout_s
    while not path.exists():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True
