"""Zones that a person has taken over: their lips stand where he says, and the others do the law's work without them."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from controller.line.command import OperatorRequest, UncertifiedCommand
from controller.line.description import Array, BoolArray


class ByHand(NamedTuple):
    """zones: which ones, (zones,); gap_um: where their lips shall stand, (zones,), NaN for those of the law."""

    zones: BoolArray
    gap_um: Array


def nobody(zones: int) -> ByHand:
    """All zones are the law's."""
    return ByHand(np.zeros(zones, dtype=bool), np.full(zones, np.nan))


def standing(zones: BoolArray) -> ByHand:
    """These zones, wherever their lips stand: a controller that starts again moves none of them."""
    return ByHand(zones, np.full(zones.size, np.nan))


def taken(before: ByHand, asked: OperatorRequest | None, applied_um: Array) -> ByHand:
    """The zones of this cycle. One that is taken over stays where it was last sent until its lip is moved.

    What is no number, or no list of this line's zones, changes nothing.
    """
    if asked is None and not (before.zones & np.isnan(before.gap_um)).any():
        return before
    zones, gap_um = before.zones, np.where(before.zones & np.isnan(before.gap_um), applied_um, before.gap_um)
    if asked is None:
        return ByHand(zones, gap_um)
    if asked.zone_manual is not None and asked.zone_manual.shape == zones.shape:
        zones = np.asarray(asked.zone_manual, dtype=bool)
        gap_um = np.where(zones, np.where(before.zones, gap_um, applied_um), np.nan)
    if asked.gap_um is not None and asked.gap_um.shape == zones.shape:
        gap_um = np.where(zones & np.isfinite(asked.gap_um), asked.gap_um, gap_um)
    return ByHand(zones, gap_um)


def held(by_hand: ByHand, wish: UncertifiedCommand, seen: BoolArray) -> UncertifiedCommand:
    """The wish, with the lips that a person holds where he wants them; nobody moves a bolt that is not `seen`."""
    if not by_hand.zones.any():
        return wish
    kept = by_hand.zones & seen
    return replace(wish, gap_um=np.where(kept, by_hand.gap_um, wish.gap_um))
