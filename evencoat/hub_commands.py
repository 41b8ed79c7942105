"""What a hub plays: the words `name=value` of `evencoat hub --play`, and of `evencoat play-on` while it runs.

Exit codes are those of evencoat.cli: 0 done; 1 no such hub; 2 the call is wrong.
"""

from __future__ import annotations

import dataclasses
import json
import socket as sockets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evencoat.terminal import FAILED, stop, wrong

if TYPE_CHECKING:
    from firmware_bridge.medium import Medium


NAMES = (
    "bitrate=500000, data_bitrate=2000000 (bit/s), loss=0.01, corruption=0.01, repetition=0.01 (shares of all frames), "
    "delay_s=0.02, jitter_s=0.01, bus_off=1,2 (clients by number, from 0 as they attached; bus_off= for none)"
)


def medium_of(words: list[str], seed: int) -> Medium | None:
    """The medium that `--play` asks for; None without a word. Raises typer.Exit with a clear line."""
    if not words:
        return None
    from firmware_bridge.medium import Medium, Played

    return Medium(Played(**_changes(words)), seed)


def play_on(
    socket: Annotated[Path, typer.Argument(help="The hub's socket.")],
    words: Annotated[list[str], typer.Argument(metavar="NAME=VALUE...", help=NAMES)],
) -> None:
    """Change what a running hub plays (one that was started with --play): loss, delay, bus-off and the like."""
    from firmware_bridge.bus_hub import PLAY_SUFFIX

    told = {name: sorted(value) if name == "bus_off" else value for name, value in _changes(words).items()}
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_DGRAM) as sender:
        try:
            sender.sendto(json.dumps(told).encode(), str(socket) + PLAY_SUFFIX)
        except OSError as error:
            stop(f"{socket}{PLAY_SUFFIX}: {error.strerror}; is a hub running there with --play?", FAILED)


def _changes(words: list[str]) -> dict[str, Any]:
    """Names and values, checked against what a medium takes."""
    from firmware_bridge.medium import Played

    kinds: dict[str, Any] = {field.name: type(field.default) for field in dataclasses.fields(Played)}
    changes: dict[str, Any] = {}
    try:
        for word in words:
            name, equals, value = word.partition("=")
            if name not in kinds or not equals:
                raise ValueError(f"{word!r}: expected NAME=VALUE with one of {', '.join(kinds)}")
            if name == "bus_off":
                changes[name] = frozenset(int(number) for number in value.split(",") if number)
            else:
                changes[name] = kinds[name](value)
        Played(**changes)
    except ValueError as error:
        wrong(f"play: {error}")
    return changes
