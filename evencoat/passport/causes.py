"""Why a stretch is out of tolerance, as far as the journal tells: what was going on when this web left the die.

One function, `cause_of`, so that whoever diagnoses better can be asked first: give it `found`, what others named.
Only evencoat.passport imports this.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from controller.line.profile import LineState
from evencoat.journal import Event
from evencoat.passport.scrap import Stretch
from evencoat.passport.web import Laid, Web
from evencoat.passport.weigh import RollMap

START_M = 60  # of a roll, or after a stop: the loop has seen nothing yet
AFTER_M = 150  # a new batch, a new target, another speed are felt so long
SPEED_SHARE = 0.05
TARGET_SHARE = 0.002
UNSEEN_SHARE = 0.5
UNKNOWN = "cause not known"


@dataclass(frozen=True, slots=True)
class Named:
    """A cause that somebody named: metres of the roll it holds for (half open), zones or () for all, in words."""

    from_m: int
    to_m: int
    zones: tuple[int, ...]
    words: str


def cause_of(
    stretch: Stretch, web: Web, roll_map: RollMap, events: Iterable[Event], found: Iterable[Named] = ()
) -> str:
    """The likeliest cause in words, the surest kind first; UNKNOWN where nothing is known."""
    for named in found:
        meets = named.from_m < stretch.to_m and stretch.from_m < named.to_m
        if meets and (not named.zones or _within(named.zones, stretch)):
            return named.words
    laid, rows = web.laid, slice(stretch.from_m, stretch.to_m)
    zones = slice(stretch.first_zone, stretch.last_zone + 1)
    for words in (
        _state(laid, rows),
        "no gauge saw it" if (roll_map.seen[rows, zones] == 0.0).mean() > UNSEEN_SHARE else "",
        _changes(laid, stretch),
        _bolts(laid, stretch),
        _told(laid, stretch, events),
        "the loop did not act" if (laid.in_auto[rows] == 0).mean() > UNSEEN_SHARE else "",
    ):
        if words:
            return words
    return UNKNOWN


def _within(zones: tuple[int, ...], stretch: Stretch) -> bool:
    return any(stretch.first_zone <= zone <= stretch.last_zone for zone in zones)


def _state(laid: Laid, rows: slice) -> str:
    states = laid.line_state[rows]
    for state, words in (
        (LineState.THREADING, "threading"),
        (LineState.SPLICE, "splice"),
        (LineState.STOPPED, "the web stood"),
    ):
        if (states == int(state)).any():
            return words
    return ""


def _changes(laid: Laid, stretch: Stretch) -> str:
    """What changed shortly before: the web began to move, a target, a batch, a speed."""
    near = slice(max(stretch.from_m - AFTER_M, 0), stretch.to_m)
    just = slice(max(stretch.from_m - START_M, 0), stretch.to_m)
    stood = (laid.line_state[just] == int(LineState.STOPPED)).any() or _stood(laid.t_line_s[just], laid.speed_mps[just])
    if stretch.from_m < START_M:
        return "start of the roll"
    if stood:
        return "start after a stop"
    if np.ptp(laid.target_ratio[near]) > TARGET_SHARE:
        return "change of target"
    batches = laid.batch[near]
    if (batches != batches[0]).any():
        return f"batch {int(batches[-1])} came in"
    speed = laid.speed_mps[just]
    if np.nanmax(speed) - np.nanmin(speed) > SPEED_SHARE * np.nanmax(speed):
        return "change of speed"
    return ""


def _stood(t_s: object, speed_mps: object) -> bool:
    """Whether far more time went by between two metres than their speed accounts for."""
    t, speed = np.asarray(t_s, dtype=np.float64), np.asarray(speed_mps, dtype=np.float64)
    if t.size < 2:
        return False
    return bool((np.diff(t) > 10.0 + 5.0 / np.maximum(speed[1:], 0.05)).any())


def _bolts(laid: Laid, stretch: Stretch) -> str:
    rows, low = slice(stretch.from_m, stretch.to_m), max(stretch.first_zone - 1, 0)
    alone = laid.not_following[rows, low : stretch.last_zone + 2].any(axis=0)
    bolts = [str(low + k + 1) for k in np.flatnonzero(alone)]
    return f"bolt {', '.join(bolts)} did not follow" if bolts else ""


def _told(laid: Laid, stretch: Stretch, events: Iterable[Event]) -> str:
    """The last alarm or change of mode that the journal tells of shortly before, word for word."""
    t_s = laid.t_line_s
    since, until = float(t_s[max(stretch.from_m - AFTER_M, 0)]), float(t_s[min(stretch.to_m, t_s.size) - 1])
    told = [event for event in events if event.kind in ("alarm", "mode") and since <= event.t_line_ns / 1e9 <= until]
    alarms = [event for event in told if event.kind == "alarm"]
    return (alarms or told)[-1].text[:200] if told else ""
