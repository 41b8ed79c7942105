"""The faults that the campaign `faults` tries: what happens, and what would name it rightly.

Most are plays of the plant (plant_sim.faults), one a fault. Those of nodes and of the bus are done on the wire: what a
lost node said and heard is gone, a second one speaks too, the wire loses, garbles or delays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from controller.line.command import Mode
from controller.loop import Sink
from evencoat.simulate import SimulatedLine
from firmware_bridge.contract import Node, Telegram
from firmware_bridge.frames import Frame
from firmware_bridge.link import Transmitter
from firmware_bridge.medium import Medium, Played

PLANT, CONTROLLER = 0, 1  # members of the hub


class Wire(Medium):
    """A wire on which some identifiers get through to nobody."""

    def __init__(self, seed: int) -> None:
        super().__init__(Played(), seed)
        self.cut: frozenset[tuple[int, bool]] = frozenset()

    def offer(self, frame: Frame, sender: int, now_s: float) -> None:
        if (frame.can_id, frame.is_extended) in self.cut:
            self.lost += 1
        else:
            super().offer(frame, sender, now_s)


class Stage:
    """A line, its wire, and somebody else who may speak on it."""

    def __init__(self, line: SimulatedLine, wire: Wire, sink: Sink) -> None:
        self.line, self.wire, self.sink = line, wire, sink
        self.bus, self.transmitter = line.hub.attach(), Transmitter(line.codec)
        self.send_sync = line.nodes._send_sync

    def say(self, telegram: Telegram, fields: Mapping[str, Any], node: int = 0) -> None:
        """A frame of somebody who is not who he seems."""
        for frame in self.transmitter.frames(telegram, fields, self.line.nodes.cycle, node):
            self.bus.send(frame)


Act = Callable[[Stage], None]


def _nothing(stage: Stage) -> None:
    """Nothing to be done."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `named` is a pattern that the right words match, `cause` one of the right diagnosis, written
    "cause:where"; none where diagnosis has no word for it. `play` is what the plant plays.

    `begin`, `each` (every control cycle) and `end` are done on the wire; in `control_dead` nobody commands meanwhile.
    `lasts_s` None: until the run is over.
    """

    name: str
    group: str
    named: str
    play: Mapping[str, Any] = field(default_factory=dict)
    begin: Act = _nothing
    each: Act | None = None
    end: Act = _nothing
    lasts_s: float | None = None
    control_dead: bool = False
    cause: str = ""


def _plays(group: str, named: str, cause: str, lasts_s: float | None = None, **play: Any) -> Fault:
    told = dict(play)
    label = told.pop("label", "")
    return Fault(label or str(told["name"]).replace("-", " "), group, named, told, lasts_s=lasts_s, cause=cause)


def _lost(name: str, named: str, node: Node, *telegrams: Telegram, lasts_s: float | None = None) -> Fault:
    """A node that neither speaks nor hears."""

    def begin(stage: Stage) -> None:
        codec = stage.line.codec
        gone = [codec.can_ids(telegram) for telegram in telegrams if codec.carries(telegram)]
        stage.wire.cut = frozenset().union(*gone, codec.can_ids(Telegram.HEARTBEAT, int(node)))

    return Fault(name, "nodes", named, begin=begin, end=mended, lasts_s=lasts_s, cause="link-lost")


def mended(stage: Stage) -> None:
    """The wire is whole again."""
    stage.wire.cut, stage.wire.played = frozenset(), Played()


def worse(name: str, named: str, lasts_s: float | None = None, cause: str = "link-lost", **played: Any) -> Fault:
    """A wire that misbehaves."""

    def begin(stage: Stage) -> None:
        stage.wire.played = Played(**played)

    return Fault(name, "bus", named, begin=begin, end=mended, lasts_s=lasts_s, cause=cause)


def _doubled_die(stage: Stage) -> None:
    zones = stage.line.line.zones
    stage.say(Telegram.DIE_FEEDBACK, {"gap_um": np.full(zones, stage.line.line.die.gap_nominal_um)})


def _second_controller(stage: Stage) -> None:
    """It says what the first one last said: of one that says something else it is not our limits that are told."""
    trace = stage.line.loop.trace
    assert trace is not None
    said = {"ratio_rpm_per_mps": trace.pump_ratio_rpm_per_mps, "trim_pct": trace.pump_trim_pct}
    stage.say(Telegram.PUMP_COMMAND, said)


def _babble(stage: Stage) -> None:
    for _ in range(500):
        stage.bus.send(Frame(0x000, bytes(8), is_fd=False))


def _safe_stop(stage: Stage) -> None:
    stage.say(Telegram.SAFE_STOP, {"reason": 1, "epoch": 1}, int(Node.PUMP))


def _jump(jump_s: float) -> Act:
    def begin(stage: Stage) -> None:
        real = stage.send_sync
        stage.line.nodes._send_sync = lambda readings: real(  # type: ignore[method-assign]
            readings._replace(t_s=readings.t_s + jump_s)
        )

    return begin


def _clock_back(stage: Stage) -> None:
    stage.line.nodes._send_sync = stage.send_sync  # type: ignore[method-assign]


def _restarted(stage: Stage) -> None:
    """Control died ten seconds ago and a new one is there, that was asked for AUTO."""
    stage.line.loop = stage.line.controller(stage.sink, Mode.AUTO)


_DIE = (Telegram.DIE_FEEDBACK, Telegram.DIE_STATUS, Telegram.DIE_COMMAND)
_PUMP = (Telegram.PUMP_FEEDBACK, Telegram.PUMP_COMMAND)
BOLT = r"bolt 7\b"
FAULTS: tuple[Fault, ...] = (
    _plays("bolts", BOLT, "bolt-stuck:bolt 7$", name="stuck-bolt", at=0.4),
    _plays("bolts", BOLT, "bolt-slow:bolt 7$", name="slow-bolt", at=0.4, size=0.05),
    _plays("bolts", BOLT, "bolt-play:bolt 7$", name="backlash-growth", at=0.4, size=15.0),
    _plays("bolts", BOLT, "bolt-dead:bolt 7$", name="dead-bolt", at=0.4),
    _plays("bolts", BOLT, "bolt-reversed:bolt 7$", name="reversed-bolt", at=0.4),
    _plays("bolts", r"bolt \d+", "lip-sticks", name="lip-stiction", size=8.0),
    _plays("bolts", r"bolt \d+", "bolt-noisy", name="feedback-noise", size=5.0),
    _plays(
        "gauges", "wet profile: silent", "gauge-silent:wet", name="gauge-silent", label="wet gauge silent", gauge="wet"
    ),
    _plays(
        "gauges", "wet profile: repeats", "gauge-frozen:wet", name="gauge-frozen", label="wet gauge frozen", gauge="wet"
    ),
    _plays(
        "gauges", "valid boxes|wet profile", "gauge-blind:wet", name="gauge-dropout",
        label="wet gauge blind in a tenth", gauge="wet", from_share=0.4, to_share=0.5
    ),
    _plays(
        "gauges", "valid boxes", "gauge-blind:wet", name="gauge-dropout", label="wet gauge blind in most", gauge="wet",
        to_share=0.7
    ),
    _plays(
        "gauges", "wet profile|profile kept", "gauge-noisy:wet", name="gauge-outliers",
        label="wet gauge: single boxes far off", gauge="wet", size=30.0, chance_pct=10.0
    ),
    _plays("gauges", "wet", "wet-jump", name="gauge-bias", label="wet gauge 3 % too high", gauge="wet", size=3.0),
    _plays("gauges", "wet", "wet-drift", name="gauge-drift", label="wet gauge drifts", gauge="wet", size=5.0),
    _plays(
        "gauges", "wet|profile", "gauge-misplaced:wet", name="gauge-misregistration",
        label="wet gauge half a zone beside its place", gauge="wet", size=15.0, ramp_s=1.0
    ),
    _plays(
        "gauges", "dry profile: silent", "gauge-silent:dry", name="gauge-silent", label="dry gauge silent", gauge="dry"
    ),
    _plays(
        "gauges", "dry profile: repeats", "gauge-frozen:dry", name="gauge-frozen", label="dry gauge frozen", gauge="dry"
    ),
    _plays(
        "gauges", "dry", "gauge-blind:dry", name="gauge-dropout", label="dry gauge blind in most", gauge="dry",
        to_share=0.7
    ),
    _plays(
        "gauges", "dry", "gauge-noisy:dry", name="gauge-outliers", label="dry gauge: single boxes far off", gauge="dry",
        size=30.0, chance_pct=10.0
    ),
    _plays("gauges", "dry", "dry-jump", name="gauge-bias", label="dry gauge 2 % too high", gauge="dry", size=2.0),
    _plays("pump and slurry", "pump|mean", "pump-loss", name="pump-slip-step", label="pump loses 5 %", size=5.0),
    _plays("pump and slurry", "pump|mean", "pump-loss", name="pump-slip-step", label="pump loses 10 %", size=10.0),
    _plays(
        "pump and slurry", "pump|mean", "pump-pulses", name="pump-pulsation", label="pump pulses fivefold", size=5.0
    ),
    _plays("pump and slurry", "pressure|filter", "filter-clogs", name="filter-clog", size=300.0, ramp_s=120.0),
    _plays(
        "pump and slurry", "pressure|tank", "pump-loss", name="tank-level", label="tank runs low", size=2.0,
        ramp_s=120.0
    ),
    _plays(
        "pump and slurry", "temperature", "slurry-temperature", name="slurry-temperature", size=10.0, ramp_s=120.0
    ),
    _plays(
        "die and web", "profile", "(streak|lane-clogged):zone [678]$", name="streak", size=-20.0, width_mm=8.0, at=0.4
    ),
    _plays("die and web", "profile", "lip-bow", name="lip-thermal-bow", size=2.0, ramp_s=120.0),
    _plays("die and web", "not running", "", name="web-stop", duration_s=60.0, lasts_s=60.0, ramp_s=5.0),
    _plays("die and web", "web speed", "encoder-lost", name="encoder-loss", duration_s=20.0, lasts_s=20.0),
    _lost("die node lost", "die feedback: silent", Node.DIE, *_DIE, lasts_s=20.0),
    _lost("pump node lost", "pump feedback: silent", Node.PUMP, *_PUMP, lasts_s=20.0),
    _lost("encoder node lost", "sync: silent", Node.ENCODER, Telegram.SYNC, Telegram.LINE_STATE, lasts_s=20.0),
    _lost(
        "wet gauge's node lost", "heartbeat of wet gauge: silent", Node.WET_GAUGE, Telegram.WET_PROFILE,
        Telegram.WET_META
    ),
    _lost(
        "dry gauge's node lost", "heartbeat of dry gauge: silent", Node.DRY_GAUGE, Telegram.DRY_PROFILE,
        Telegram.DRY_META
    ),
    Fault("a second die node", "nodes", r"die feedback: faulty \(wrong sequence", each=_doubled_die, lasts_s=20.0,
          cause="link-lost"),
    Fault("a second controller", "nodes", "another controller", each=_second_controller, lasts_s=20.0,
          cause="bus-disturbed"),
    Fault("a stranger babbles", "nodes", "stranger .* babbles", each=_babble, lasts_s=20.0, cause="bus-disturbed"),
    Fault("safe stop", "nodes", "safe stop", begin=_safe_stop, lasts_s=20.0),
    Fault("encoder's clock jumps by a minute", "nodes", "no fresh scan|sync", begin=_jump(60.0), end=_clock_back,
          lasts_s=20.0),
    worse("all nodes bus-off", "sync: silent", bus_off=frozenset({PLANT}), lasts_s=5.0),
    worse("controller bus-off", "bus-off", cause="bus-disturbed", bus_off=frozenset({CONTROLLER}), lasts_s=5.0),
    worse("a third of all frames lost", r"(silent|faulty)", loss=0.33),
    worse("a third of all frames garbled", r"faulty \(error", corruption=0.33),
    worse("every frame late by up to half a second", "silent|faulty|no fresh scan", delay_s=0.1, jitter_s=0.5),
    Fault("control dead for ten seconds", "control", "re-arm|started", end=_restarted, lasts_s=10.0, control_dead=True),
)  # fmt: skip
