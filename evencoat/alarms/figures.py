"""How much the alarms ask of the operator, after EEMUA 191: rates, floods, what stands for long, what comes most."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evencoat.alarms.engine import EngineState, State, Transition

TEN_MINUTES_S, DAY_S = 600.0, 86_400.0
FLOOD_BEGINS, FLOOD_ENDS = 10, 5  # alarms within ten minutes: more than, and fewer than
USABLE_PER_TEN_MINUTES = 1.0  # about the most that an operator can use, on average
MOST_FREQUENT = 10
ANNOUNCED = State.ACTIVE


@dataclass(frozen=True, slots=True)
class Figures:
    """Of `span_s` up to now, at most a day. stale: standing for more than a day."""

    span_s: float
    announced: int
    last_ten_minutes: int
    mean_per_ten_minutes: float
    peak_ten_minutes: int
    per_day: float
    flood_share: float
    standing: int
    unacknowledged: int
    shelved: int
    stale: int
    usable: bool
    most_frequent: tuple[tuple[str, int], ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON tells it."""
        return asdict(self)


def announcements(history: Sequence[Transition]) -> list[tuple[float, str]]:
    """When which alarm demanded attention."""
    return [(moved.at_s, str(moved.key)) for moved in history if moved.after is ANNOUNCED]


def figures(came: Sequence[tuple[float, str]], state: EngineState, began_s: float) -> Figures:
    """Figures of what `came` (time and alarm, in order) since `began_s`, and of what stands now."""
    now_s = state.now_s
    since_s = max(began_s, now_s - DAY_S)
    times = [at_s for at_s, _ in came if at_s >= since_s]
    span_s = max(now_s - since_s, 0.0)
    tens = max(span_s / TEN_MINUTES_S, 1.0)  # a run of a minute has no rate of ten
    standing = [one for one in state.standings.values() if one.state in (State.ACTIVE, State.ACKNOWLEDGED)]
    waiting = [one for one in state.standings.values() if one.state in (State.ACTIVE, State.RETURNED)]
    return Figures(
        span_s=round(span_s, 1),
        announced=len(times),
        last_ten_minutes=len(times) - bisect_left(times, now_s - TEN_MINUTES_S),
        mean_per_ten_minutes=round(len(times) / tens, 3),
        peak_ten_minutes=_peak(times),
        per_day=round(len(times) / max(span_s / DAY_S, TEN_MINUTES_S / DAY_S), 1),
        flood_share=round(_flood_s(times, now_s) / span_s, 4) if span_s else 0.0,
        standing=len(standing),
        unacknowledged=len(waiting),
        shelved=sum(one.state is State.SHELVED for one in state.standings.values()),
        stale=sum(now_s - one.began_s > DAY_S for one in standing),
        usable=len(times) / tens <= USABLE_PER_TEN_MINUTES,
        most_frequent=tuple(Counter(key for at_s, key in came if at_s >= since_s).most_common(MOST_FREQUENT)),
    )


def _peak(times: Sequence[float]) -> int:
    """The most alarms within any ten minutes."""
    window: deque[float] = deque()
    most = 0
    for at_s in times:
        window.append(at_s)
        while at_s - window[0] >= TEN_MINUTES_S:
            window.popleft()
        most = max(most, len(window))
    return most


def _flood_s(times: Sequence[float], now_s: float) -> float:
    """Seconds of flood: from the alarm that was one too many until few enough came within ten minutes."""
    moments = sorted([(at_s, 1) for at_s in times] + [(at_s + TEN_MINUTES_S, -1) for at_s in times])
    flood_s, began_s, within = 0.0, None, 0
    for at_s, change in moments:
        if at_s > now_s:
            break
        within += change
        if began_s is None and within > FLOOD_BEGINS:
            began_s = at_s
        elif began_s is not None and within < FLOOD_ENDS:
            flood_s, began_s = flood_s + at_s - began_s, None
    return flood_s + (now_s - began_s if began_s is not None else 0.0)
