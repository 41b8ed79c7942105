"""The alarm engine, pure: what is so, held against delays, dead bands and what people did, becomes states of alarms.

After ISA-18.2. No clock is in here: `now_s` is any count of seconds that never goes back. An alarm that has subjects
(bolts, nodes) is one alarm for each; `Key` is both. What stands at NORMAL takes no room, so a state is as large as
what is wrong. TABLE has every way from one state to another; `step`, `acknowledged` and `shelved` know no other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from evencoat.alarms.catalogue import Alarm, Context

SHELVED_MOST_S = 8 * 3600.0  # a shift: what stays shelved longer is forgotten
STANDINGS_MOST = 1000  # alarms that are kept track of at once; beyond, the catalogue's later ones are not
MOMENT_S = 20.0  # of being suppressed that an alarm outlasts: a hold of a moment neither ends nor renews it
GROUP_S = 15.0  # an alarm that comes within this of the one before belongs to the same trouble


class State(StrEnum):
    """Where an alarm stands."""

    NORMAL = "normal"
    ACTIVE = "active"  # and nobody acknowledged it
    ACKNOWLEDGED = "acknowledged"  # and still so
    RETURNED = "returned"  # no longer so, and nobody acknowledged it
    SHELVED = "shelved"  # put aside by a person, for a while
    SUPPRESSED = "suppressed"  # by design: it would say nothing worth knowing now


class Why(StrEnum):
    """What moved an alarm."""

    CAME = "came"
    WENT = "went"
    PERSON = "acknowledged"
    PUT_ASIDE = "shelved"
    EXPIRED = "shelf expired"
    DESIGN = "suppressed by design"
    RELEASED = "no longer suppressed"


# (from, why) -> the states it may lead to
TABLE: Mapping[tuple[State, Why], frozenset[State]] = {
    (State.NORMAL, Why.CAME): frozenset({State.ACTIVE}),
    (State.NORMAL, Why.PUT_ASIDE): frozenset({State.SHELVED}),
    (State.ACTIVE, Why.WENT): frozenset({State.RETURNED, State.NORMAL}),
    (State.ACTIVE, Why.PERSON): frozenset({State.ACKNOWLEDGED}),
    (State.ACTIVE, Why.PUT_ASIDE): frozenset({State.SHELVED}),
    (State.ACTIVE, Why.DESIGN): frozenset({State.RETURNED, State.SUPPRESSED}),
    (State.ACKNOWLEDGED, Why.WENT): frozenset({State.NORMAL}),
    (State.ACKNOWLEDGED, Why.PUT_ASIDE): frozenset({State.SHELVED}),
    (State.ACKNOWLEDGED, Why.DESIGN): frozenset({State.SUPPRESSED}),
    (State.RETURNED, Why.CAME): frozenset({State.ACTIVE}),
    (State.RETURNED, Why.PERSON): frozenset({State.NORMAL}),
    (State.RETURNED, Why.PUT_ASIDE): frozenset({State.SHELVED}),
    (State.SHELVED, Why.EXPIRED): frozenset({State.NORMAL, State.ACTIVE, State.SUPPRESSED}),
    (State.SUPPRESSED, Why.RELEASED): frozenset({State.NORMAL}),
    (State.SUPPRESSED, Why.PUT_ASIDE): frozenset({State.SHELVED}),
}


class Key(NamedTuple):
    """One alarm: its name in the catalogue, and whom it is about where there are several ("bolt 7", "die", "")."""

    alarm: str
    subject: str = ""

    def __str__(self) -> str:
        return f"{self.alarm}/{self.subject}" if self.subject else self.alarm

    @staticmethod
    def of(text: str) -> Key:
        """Back from its text."""
        return Key(*text.partition("/")[::2])


class Condition(NamedTuple):
    """How bad one thing is now, in the unit of its alarm's limit, and what exactly, in words."""

    value: float
    detail: str = ""


class Conditions(NamedTuple):
    """What one look found. A key that is not there is well; contexts suppress alarms by design."""

    values: Mapping[Key, Condition]
    contexts: Set[Context]


class Standing(NamedTuple):
    """An alarm that is not simply at NORMAL. Times are the engine's.

    beyond: the condition, after dead band, before delays; turned_s: since when; so: after delays. group and first_out:
    the trouble that it came with, and whether it came first; group 0 is none. until_s: of a shelf. hidden_s: since when
    it has been suppressed, None while it is not.
    """

    state: State = State.NORMAL
    beyond: bool = False
    turned_s: float = 0.0
    so: bool = False
    began_s: float = 0.0
    detail: str = ""
    group: int = 0
    first_out: bool = False
    until_s: float = math.inf
    who: str = ""
    why: str = ""
    hidden_s: float | None = None


class Transition(NamedTuple):
    """An alarm that moved."""

    at_s: float
    key: Key
    before: State
    after: State
    why: Why
    detail: str = ""
    who: str = ""
    group: int = 0
    first_out: bool = False


class EngineState(NamedTuple):
    """All that there is to know. group: number of the newest trouble; grouped_s: when an alarm joined it last."""

    now_s: float = -math.inf
    standings: Mapping[Key, Standing] = {}
    contexts: Set[Context] = frozenset()
    group: int = 0
    grouped_s: float = -math.inf


class EngineError(Exception):
    """What a person asked for cannot be done; the text names what and why."""


@dataclass(frozen=True, slots=True)
class Engine:
    """The catalogue by name, in its order."""

    catalogue: Mapping[str, Alarm]

    def step(self, state: EngineState, now_s: float, found: Conditions) -> tuple[EngineState, Sequence[Transition]]:
        """One look. A `now_s` before the last one counts as the last one; keys of no catalogue are left out."""
        now_s = max(now_s, state.now_s)
        standings = dict(state.standings)
        moved: list[Transition] = []
        coming: list[tuple[Key, Standing, Standing]] = []
        for key in self._concerned(standings, found):
            before = standings.get(key, Standing())
            condition = found.values.get(key, Condition(0.0))
            after, why = self._looked(self.catalogue[key.alarm], before, condition, now_s, found.contexts)
            if why is not None and after.state is State.ACTIVE:
                coming.append((key, before, after))
                continue
            if why is not None:
                moved.append(_moved(now_s, key, before, after, why))
            _put(standings, key, after)
        group, grouped_s = state.group, state.grouped_s
        if coming:
            group, grouped_s = self._announce(state, now_s, coming, standings, moved)
        return EngineState(now_s, standings, frozenset(found.contexts), group, grouped_s), moved

    def acknowledged(self, state: EngineState, key: Key, who: str, why: str = "") -> tuple[EngineState, Transition]:
        """A person has seen it, and may say why it stands. Raises EngineError where there is nothing to acknowledge."""
        standing = state.standings.get(key)
        if standing is None or standing.state not in (State.ACTIVE, State.RETURNED):
            raise EngineError(f"{key}: is {self.state_of(state, key)}, there is nothing to acknowledge")
        after = State.ACKNOWLEDGED if standing.state is State.ACTIVE else State.NORMAL
        return self._changed(state, key, standing._replace(state=after, who=who, why=why), Why.PERSON, who)

    def shelved(
        self, state: EngineState, key: Key, who: str, why: str, seconds: float
    ) -> tuple[EngineState, Transition]:
        """A person puts it aside for so long. Raises EngineError naming what is out of bounds."""
        if key.alarm not in self.catalogue:
            raise EngineError(f"{key}: there is no such alarm")
        if not 0.0 < seconds <= SHELVED_MOST_S:
            raise EngineError(f"minutes = {seconds / 60.0:g}: must lie above 0 and at most {SHELVED_MOST_S / 60.0:.0f}")
        if not why.strip():
            raise EngineError("why: an alarm is not put aside without a reason")
        if len(state.standings) >= STANDINGS_MOST and key not in state.standings:
            raise EngineError(f"{key}: {STANDINGS_MOST} alarms stand already; acknowledge or wait")
        standing = state.standings.get(key, Standing())
        if standing.state is State.SHELVED:
            raise EngineError(f"{key}: is shelved already")
        after = standing._replace(state=State.SHELVED, until_s=state.now_s + seconds, who=who, why=why)
        return self._changed(state, key, after, Why.PUT_ASIDE, who)

    def state_of(self, state: EngineState, key: Key) -> State:
        """Where an alarm stands, also one of which nothing is kept."""
        standing = state.standings.get(key)
        if standing is not None and standing.state is not State.NORMAL:
            return standing.state
        alarm = self.catalogue.get(key.alarm)
        hidden = alarm is not None and alarm.suppressed_while & state.contexts
        return State.SUPPRESSED if hidden else State.NORMAL

    # --- one alarm -------------------------------------------------------------------------------------------------

    def _concerned(self, standings: Mapping[Key, Standing], found: Conditions) -> list[Key]:
        """What stands already, and what is new as far as there is room, in the catalogue's order."""
        order = {name: k for k, name in enumerate(self.catalogue)}
        new = sorted((key for key in found.values if key not in standings and key.alarm in order),
                     key=lambda key: (order[key.alarm], key.subject))  # fmt: skip
        return [*(key for key in standings if key.alarm in order), *new[: max(STANDINGS_MOST - len(standings), 0)]]

    def _looked(
        self, alarm: Alarm, before: Standing, condition: Condition, now_s: float, contexts: Set[Context]
    ) -> tuple[Standing, Why | None]:
        """An alarm after a look, and what moved it where something did.

        One that stands is left as it is in the first moment of a suppression: its condition cannot be judged then, and
        delays go on afterwards from where they were.
        """
        hidden = bool(alarm.suppressed_while & contexts)
        since_s = before.hidden_s if before.hidden_s is not None else now_s
        before = before._replace(hidden_s=since_s if hidden else None)
        if hidden and before.state in (State.ACTIVE, State.ACKNOWLEDGED) and now_s - since_s < MOMENT_S:
            return before, None
        bound = alarm.limit - alarm.dead_band if before.beyond else alarm.limit
        beyond = not hidden and condition.value > bound  # NaN is not beyond anything
        turned_s = before.turned_s if beyond is before.beyond else now_s
        delay_s = alarm.on_delay_s if beyond else alarm.off_delay_s
        so = beyond if now_s - turned_s >= delay_s or hidden else before.so
        after = before._replace(beyond=beyond, turned_s=turned_s, so=so)
        if beyond and condition.detail:
            after = after._replace(detail=condition.detail)
        return self._stand(alarm, after, hidden, now_s)

    def _stand(self, alarm: Alarm, known: Standing, hidden: bool, now_s: float) -> tuple[Standing, Why | None]:
        """Where what is known leads to."""
        state, so = known.state, known.so
        if state is State.SHELVED:
            return _off_the_shelf(known, hidden, now_s)
        unheeded = alarm.latch and state is State.ACTIVE
        if hidden and state in (State.ACTIVE, State.ACKNOWLEDGED):
            return known._replace(state=State.RETURNED if unheeded else State.SUPPRESSED), Why.DESIGN
        if state is State.SUPPRESSED and not hidden:
            return known._replace(state=State.NORMAL), Why.RELEASED
        if so and state in (State.NORMAL, State.RETURNED):
            return known._replace(state=State.ACTIVE, began_s=now_s, who="", why=""), Why.CAME
        if not so and state in (State.ACTIVE, State.ACKNOWLEDGED):
            return known._replace(state=State.RETURNED if unheeded else State.NORMAL), Why.WENT
        return known, None

    def _announce(
        self,
        state: EngineState,
        now_s: float,
        coming: Sequence[tuple[Key, Standing, Standing]],
        standings: dict[Key, Standing],
        moved: list[Transition],
    ) -> tuple[int, float]:
        """Number what came: with the trouble before where that is fresh, else as a new one, whose first is marked.

        Of several at once the first is the one whose condition came first, then the one that matters most.
        """
        order = {name: k for k, name in enumerate(self.catalogue)}
        ranked = sorted(
            coming, key=lambda one: (one[2].turned_s, self.catalogue[one[0].alarm].priority.rank, order[one[0].alarm],
                                     one[0].subject)
        )  # fmt: skip
        fresh = now_s - state.grouped_s > GROUP_S
        group = state.group + 1 if fresh else state.group
        for k, (key, before, after) in enumerate(ranked):
            why = Why.EXPIRED if before.state is State.SHELVED else Why.CAME
            marked = after._replace(group=group, first_out=fresh and k == 0)
            standings[key] = marked
            moved.append(_moved(now_s, key, before, marked, why))
        return group, now_s

    def _changed(
        self, state: EngineState, key: Key, after: Standing, why: Why, who: str
    ) -> tuple[EngineState, Transition]:
        before = state.standings.get(key, Standing())
        if before is not after and before.state is State.NORMAL and self.state_of(state, key) is State.SUPPRESSED:
            before = before._replace(state=State.SUPPRESSED)
        standings = dict(state.standings)
        _put(standings, key, after)
        return state._replace(standings=standings), _moved(state.now_s, key, before, after, why, who)


def _off_the_shelf(known: Standing, hidden: bool, now_s: float) -> tuple[Standing, Why | None]:
    """A shelf that expired: what is still so demands attention again."""
    if now_s < known.until_s:
        return known, None
    ended = State.SUPPRESSED if hidden else State.ACTIVE if known.so else State.NORMAL
    return known._replace(state=ended, until_s=math.inf, why="", began_s=now_s), Why.EXPIRED


def _put(standings: dict[Key, Standing], key: Key, after: Standing) -> None:
    """Keep it, or forget it where nothing is known of it any more."""
    if after.state is State.NORMAL and not (after.beyond or after.so):
        standings.pop(key, None)
    else:
        standings[key] = after


def _moved(at_s: float, key: Key, before: Standing, after: Standing, why: Why, who: str = "") -> Transition:
    return Transition(at_s, key, before.state, after.state, why, after.detail, who, after.group, after.first_out)
