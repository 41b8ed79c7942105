"""Warnings of web out of tolerance, and how good they were: when one begins and ends, and what it was followed by.

A warning stands while the chance that some metre of the next minutes is out keeps above a threshold. It is judged by
what was really coated: right where web that was out left the die within AHEAD_S, or lay between die and the gauge that
judges when it came.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from controller.line.description import Array
from evencoat.forecast.core import SOON_S

AHEAD_S = SOON_S
PERSIST_LOOKS = 3  # above the threshold, until a warning comes
QUIET_S = 30.0  # below half of it, until it goes
CALM_M = 30.0  # of web inside of tolerance before what counts as a new event
LEAST_M = 3.0  # out, within SHORT_M, that an event has
SHORT_M = 20.0


class Warned(NamedTuple):
    """A warning that came and went, s of line time."""

    from_s: float
    to_s: float


class Warner:
    """Turns chances into warnings, look by look."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.since_s = math.nan  # of the warning that stands; NaN where none does
        self._above, self._quiet_s, self._last_s = 0, 0.0, math.nan

    def see(self, t_s: float, chance: float) -> bool:
        """Whether a warning stands."""
        self._above = self._above + 1 if chance >= self.threshold else 0
        dt_s = t_s - self._last_s if math.isfinite(self._last_s) else 0.0
        self._last_s = t_s
        if math.isnan(self.since_s):
            if self._above >= PERSIST_LOOKS:
                self.since_s, self._quiet_s = t_s, 0.0
        else:
            self._quiet_s = 0.0 if chance >= 0.5 * self.threshold else self._quiet_s + dt_s
            if self._quiet_s > QUIET_S:
                self.since_s = math.nan
        return not math.isnan(self.since_s)


def warned(t_s: Array, chance: Array, threshold: float) -> list[Warned]:
    """All warnings of a run. t_s, chance: (looks,)."""
    warner, found, began = Warner(threshold), [], math.nan
    for now, one in zip(t_s.tolist(), chance.tolist(), strict=True):
        stood = began
        stands = warner.see(now, one)
        if stands and math.isnan(stood):
            began = now
        elif not stands and not math.isnan(stood):
            found.append(Warned(stood, now))
            began = math.nan
    if not math.isnan(began):
        found.append(Warned(began, float(t_s[-1])))
    return found


def events(t_s: Array, web_m: Array, out: npt.NDArray[np.bool_]) -> Iterator[tuple[float, float]]:
    """Beginning and end, s, of stretches that left the die out of tolerance after web that was not. (rows,) each."""
    ds_m = np.diff(web_m, prepend=web_m[:1])
    calm_m, began, last = 0.0, -1, 0
    sum_m = np.cumsum(np.where(out, ds_m, 0.0))
    for row in range(t_s.size):
        if out[row]:
            if began < 0 and calm_m >= CALM_M:
                until = min(int(np.searchsorted(web_m, web_m[row] + SHORT_M)), t_s.size - 1)
                if sum_m[until] - sum_m[row] >= LEAST_M:
                    began = row
            calm_m, last = 0.0, row
        else:
            calm_m += float(ds_m[row])
            if began >= 0 and calm_m >= CALM_M:
                yield float(t_s[began]), float(t_s[last])
                began = -1
    if began >= 0:
        yield float(t_s[began]), float(t_s[-1])


class Tally(NamedTuple):
    """Warnings and events of some runs. Leads in seconds before the first metre that is out: was coated, and came to
    the gauge that judges."""

    warnings: int = 0
    right: int = 0
    events: int = 0
    before_coated: int = 0
    before_seen: int = 0
    leads_coated_s: tuple[float, ...] = ()
    leads_seen_s: tuple[float, ...] = ()

    def plus(self, other: Tally) -> Tally:
        return Tally(
            self.warnings + other.warnings,
            self.right + other.right,
            self.events + other.events,
            self.before_coated + other.before_coated,
            self.before_seen + other.before_seen,
            self.leads_coated_s + other.leads_coated_s,
            self.leads_seen_s + other.leads_seen_s,
        )

    def figures(self) -> dict[str, float | int | None]:
        """As programs read them; None where there was nothing to divide by."""
        return {
            "warnings": self.warnings,
            "events": self.events,
            "precision": self.right / self.warnings if self.warnings else None,
            "recall_before_coated": self.before_coated / self.events if self.events else None,
            "recall_before_seen": self.before_seen / self.events if self.events else None,
            "lead_before_coated_s": float(np.median(self.leads_coated_s)) if self.leads_coated_s else None,
            "lead_before_seen_s": float(np.median(self.leads_seen_s)) if self.leads_seen_s else None,
        }


def tally(came: Sequence[Warned], happened: Sequence[tuple[float, float]], out_s: Array, to_gauge_s: float) -> Tally:
    """One run. out_s: when web that was out left the die, rising."""
    right = 0
    for one in came:
        low, high = np.searchsorted(out_s, (one.from_s - to_gauge_s, one.from_s + AHEAD_S))
        right += bool(high > low)
    coated, seen = [], []
    for onset_s, _ in happened:
        standing = [
            one for one in came if one.from_s <= onset_s + to_gauge_s and one.to_s >= min(onset_s, one.from_s + AHEAD_S)
        ]
        leads = [onset_s - one.from_s for one in standing if onset_s - one.from_s <= AHEAD_S]
        if leads:
            seen.append(max(leads) + to_gauge_s)
            if max(leads) > 0.0:
                coated.append(max(leads))
    return Tally(len(came), right, len(happened), len(coated), len(seen), tuple(coated), tuple(seen))
