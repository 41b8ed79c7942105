"""What the alarms say of devices (NAMUR NE 107)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from controller.line.description import LineDescription
from evencoat.alarms.catalogue import CATALOGUE, DEVICES, Ne107
from evencoat.alarms.engine import EngineState, Key, State

STANDING = frozenset({State.ACTIVE, State.ACKNOWLEDGED, State.SHELVED})


class Health(NamedTuple):
    """What a device is worth, and which alarms say so."""

    status: Ne107
    because: tuple[str, ...]


def devices(line: LineDescription) -> tuple[str, ...]:
    """Every device of a line that has a health: those of DEVICES that it has, and each bolt."""
    has = {"wet gauge": line.wet_gauge, "dry gauge": line.dry_gauge}
    return (
        *(name for name in DEVICES if has.get(name, name) is not None),
        *(f"bolt {k + 1}" for k in range(line.zones)),
    )


def health(line: LineDescription, state: EngineState) -> Mapping[str, Health]:
    """Each device by the worst of the alarms that stand and name it. A shelved one counts while it is so."""
    found: dict[str, list[tuple[Ne107, str]]] = {name: [] for name in devices(line)}
    for key, standing in state.standings.items():
        if standing.state in STANDING and (standing.so or standing.state is not State.SHELVED):
            for name in concerned(line, key):
                found.setdefault(name, []).append((CATALOGUE[key.alarm].health, str(key)))
    return {
        name: Health(max((one for one, _ in told), key=lambda one: one.rank, default=Ne107.GOOD), _causes(told))
        for name, told in found.items()
    }


def concerned(line: LineDescription, key: Key) -> Iterable[str]:
    """The devices that an alarm speaks of."""
    alarm = CATALOGUE[key.alarm]
    if alarm.health is Ne107.GOOD:
        return ()
    names = {
        "": (),
        "*": (key.subject,),
        "gauge": ("wet gauge" if line.wet_gauge is not None else "dry gauge",),
        "gauges": ("wet gauge", "dry gauge"),
    }
    return names.get(alarm.device, (alarm.device,))


def _causes(told: Iterable[tuple[Ne107, str]]) -> tuple[str, ...]:
    return tuple(key for _, key in sorted(told, key=lambda one: -one[0].rank))
