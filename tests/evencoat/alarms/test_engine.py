"""The engine: no way but those of its table, delays and dead bands as the catalogue says, nothing of people's lost."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from evencoat.alarms.catalogue import HIGH, LOW, Alarm, Context, Words
from evencoat.alarms.engine import (
    GROUP_S,
    MOMENT_S,
    SHELVED_MOST_S,
    STANDINGS_MOST,
    TABLE,
    Condition,
    Conditions,
    Engine,
    EngineError,
    EngineState,
    Key,
    State,
    Transition,
    Why,
)
from evencoat.alarms.store import AlarmStore, Told

W = Words("text", "cause", "consequence", "action")
STOPPED = frozenset({Context.NOT_RUNNING})
SLOW, QUICK, QUIET = Key("slow"), Key("quick"), Key("quiet")
CATALOGUE = {
    alarm.id: alarm
    for alarm in (
        Alarm("slow", HIGH, W, W, limit=10.0, dead_band=4.0, on_delay_s=5.0, off_delay_s=3.0, latch=True),
        Alarm("quick", LOW, W, W, off_delay_s=0.0, suppressed_while=STOPPED),
        Alarm("quiet", HIGH, W, W, off_delay_s=0.0, latch=True, suppressed_while=STOPPED),
    )
}
ENGINE = Engine(CATALOGUE)
NONE: frozenset[Context] = frozenset()


def looks(
    state: EngineState, *looked: tuple[float, dict[Key, float]], contexts: frozenset[Context] = NONE
) -> tuple[EngineState, list[Transition]]:
    found = []
    for now_s, values in looked:
        conditions = Conditions({key: Condition(value) for key, value in values.items()}, contexts)
        state, moved = ENGINE.step(state, now_s, conditions)
        found += moved
    return state, found


def test_an_alarm_waits_for_its_delay_and_a_dip_begins_it_anew():
    state, moved = looks(EngineState(), (0.0, {SLOW: 11.0}), (4.0, {SLOW: 11.0}), (4.5, {}), (5.0, {SLOW: 11.0}))
    assert not moved
    state, moved = looks(state, (9.9, {SLOW: 11.0}), (10.0, {SLOW: 11.0}))
    assert [(one.at_s, one.key, one.after, one.why) for one in moved] == [(10.0, SLOW, State.ACTIVE, Why.CAME)]


def test_within_the_dead_band_it_stays_and_below_it_goes_after_the_off_delay():
    state, _ = looks(EngineState(), (0.0, {SLOW: 11.0}), (5.0, {SLOW: 11.0}))
    state, moved = looks(state, (6.0, {SLOW: 6.5}), (20.0, {SLOW: 6.5}))
    assert not moved
    state, moved = looks(state, (21.0, {SLOW: 6.0}), (23.9, {SLOW: 6.0}), (24.0, {SLOW: 6.0}))
    assert [(one.at_s, one.after) for one in moved] == [(24.0, State.RETURNED)]


def test_no_number_is_no_alarm():
    _, moved = looks(EngineState(), (0.0, {QUICK: math.nan}), (100.0, {QUICK: math.nan}))
    assert not moved


def test_what_latches_waits_for_a_person_and_what_does_not_goes_by_itself():
    state, _ = looks(EngineState(), (0.0, {QUICK: 1.0, QUIET: 1.0}))
    state, moved = looks(state, (1.0, {}))
    assert {one.key: one.after for one in moved} == {QUICK: State.NORMAL, QUIET: State.RETURNED}
    state, moved = ENGINE.acknowledged(state, QUIET, "mara")
    assert (moved.after, moved.who, dict(state.standings)) == (State.NORMAL, "mara", {})


def test_what_was_acknowledged_goes_without_being_acknowledged_again():
    state, _ = looks(EngineState(), (0.0, {QUIET: 1.0}))
    state, moved = ENGINE.acknowledged(state, QUIET, "mara", "the fitter knows")
    assert moved.after is State.ACKNOWLEDGED
    assert (state.standings[QUIET].who, state.standings[QUIET].why) == ("mara", "the fitter knows")
    with pytest.raises(EngineError, match="quiet: is acknowledged"):
        ENGINE.acknowledged(state, QUIET, "mara")
    _, found = looks(state, (1.0, {}))
    assert [one.after for one in found] == [State.NORMAL]


def test_a_shelf_ends_and_what_is_still_so_comes_again():
    state, _ = looks(EngineState(), (0.0, {QUICK: 1.0}))
    state, moved = ENGINE.shelved(state, QUICK, "mara", "the fitter is there", 60.0)
    assert moved.after is State.SHELVED
    state, found = looks(state, (59.9, {QUICK: 1.0}))
    assert not found
    state, found = looks(state, (60.0, {QUICK: 1.0}))
    assert [(one.after, one.why) for one in found] == [(State.ACTIVE, Why.EXPIRED)]
    state, _ = ENGINE.shelved(state, QUICK, "mara", "again", 60.0)
    state, found = looks(state, (130.0, {}), (130.1, {}))
    assert not state.standings


@pytest.mark.parametrize(
    ("key", "why", "seconds", "words"),
    [
        (QUICK, "", 60.0, "why: an alarm is not put aside without a reason"),
        (QUICK, "x", 0.0, "minutes = 0: must lie above 0 and at most 480"),
        (QUICK, "x", SHELVED_MOST_S + 60.0, "minutes = 481"),
        (QUICK, "x", math.nan, "minutes = nan"),
        (Key("none"), "x", 60.0, "none: there is no such alarm"),
    ],
)
def test_a_shelf_that_cannot_be_is_refused_by_name(key, why, seconds, words):
    with pytest.raises(EngineError, match=words):
        ENGINE.shelved(EngineState(now_s=0.0), key, "mara", why, seconds)


def test_by_design_nothing_is_told_of_a_line_that_stands_and_nothing_unheeded_is_lost():
    state, _ = looks(EngineState(), (0.0, {QUICK: 1.0, QUIET: 1.0}))
    still = {QUICK: 1.0, QUIET: 1.0}
    state, moved = looks(state, (1.0, still), (0.9 + MOMENT_S, still), contexts=STOPPED)
    assert not moved
    state, moved = looks(state, (1.0 + MOMENT_S, still), contexts=STOPPED)
    assert {one.key: one.after for one in moved} == {QUICK: State.SUPPRESSED, QUIET: State.RETURNED}
    assert ENGINE.state_of(EngineState(contexts=STOPPED), QUICK) is State.SUPPRESSED
    _, moved = looks(state, (2.0 + MOMENT_S, {QUICK: 1.0}), (2.1 + MOMENT_S, {QUICK: 1.0}))
    assert [(one.before, one.after) for one in moved] == [
        (State.SUPPRESSED, State.NORMAL),
        (State.NORMAL, State.ACTIVE),
    ]


@pytest.mark.parametrize("seen", [False, True])
def test_what_is_suppressed_for_a_moment_again_and_again_stands_once(seen):
    state, _ = looks(EngineState(), (0.0, {QUICK: 1.0}))
    if seen:
        state, _ = ENGINE.acknowledged(state, QUICK, "mara")
    stood = state.standings[QUICK].state
    for k in range(40):
        began_s = 50.0 * k
        state, hidden = looks(state, (began_s + 1.0, {}), (began_s + 0.9 + MOMENT_S, {}), contexts=STOPPED)
        state, shown = looks(state, (began_s + 1.0 + MOMENT_S, {QUICK: 1.0}), (began_s + 50.0, {QUICK: 1.0}))
        assert not hidden and not shown
    assert state.standings[QUICK].state is stood
    _, moved = looks(state, (2001.0, {}))
    assert [one.why for one in moved] == [Why.WENT], "and goes when it is over"


def test_of_what_comes_together_one_is_the_first_by_when_its_condition_came_then_by_priority():
    _, moved = looks(EngineState(), (0.0, {SLOW: 11.0}), (5.0, {SLOW: 11.0, QUICK: 1.0}))
    assert [(one.key, one.first_out, one.group) for one in moved] == [(SLOW, True, 1), (QUICK, False, 1)]
    _, moved = looks(EngineState(), (0.0, {QUICK: 1.0, QUIET: 1.0}))
    assert [(one.key, one.first_out) for one in moved] == [(QUIET, True), (QUICK, False)]


def test_a_later_trouble_has_a_first_of_its_own():
    state, _ = looks(EngineState(), (0.0, {QUIET: 1.0}))
    state, moved = looks(state, (GROUP_S, {QUIET: 1.0, QUICK: 1.0}))
    assert [one.first_out for one in moved] == [False]
    state, moved = looks(state, (GROUP_S + 1.0, {}), (2.1 * GROUP_S + 1.0, {QUICK: 1.0}))
    assert [(one.first_out, one.group) for one in moved if one.after is State.ACTIVE] == [(True, 2)]


def test_a_thousand_subjects_are_the_most():
    many = {Key("quick", f"bolt {k}"): 1.0 for k in range(STANDINGS_MOST + 50)}
    state, moved = looks(EngineState(), (0.0, many))
    assert len(state.standings) == len(moved) == STANDINGS_MOST


def test_time_that_goes_back_stands_still():
    state, _ = looks(EngineState(), (100.0, {SLOW: 11.0}))
    state, moved = looks(state, (50.0, {SLOW: 11.0}))
    assert state.now_s == 100.0 and not moved


KEYS = (SLOW, QUICK, QUIET, Key("quick", "bolt 1"), Key("quick", "bolt 2"))


class AnyOrder(RuleBasedStateMachine):
    """Looks, people and restarts in any order, against what must hold whatever the order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = AlarmStore(Path(self.folder.name) / "alarms.sqlite")
        self.state, self.unix_s = self.store.load(1e9), 1e9
        self.firsts: dict[int, int] = {}
        self.shelved_s: dict[Key, float] = {}

    def teardown(self) -> None:
        later_s = self.state.now_s + SHELVED_MOST_S
        ended, _ = ENGINE.step(self.state, later_s, Conditions({}, NONE))
        assert all(one.state is not State.SHELVED for one in ended.standings.values())
        self.store.close()
        self.folder.cleanup()

    def moved(self, moves: list[Transition]) -> None:
        for one in moves:
            assert one.after in TABLE.get((one.before, one.why), frozenset()), one
            if one.after is State.ACTIVE:
                self.firsts[one.group] = self.firsts.get(one.group, 0) + one.first_out
            if one.after is State.SHELVED:
                self.shelved_s[one.key] = one.at_s
        if moves:
            self.store.keep(self.state, [Told(self.unix_s, one) for one in moves], self.unix_s)

    @rule(
        later_s=st.sampled_from([0.0, 0.1, 1.0, 6.0, 20.0, 4000.0]),
        values=st.dictionaries(st.sampled_from(KEYS), st.sampled_from([0.0, 1.0, 7.0, 11.0, math.nan])),
        stopped=st.booleans(),
    )
    def look(self, later_s: float, values: dict[Key, float], stopped: bool) -> None:
        self.unix_s += later_s
        found = Conditions({key: Condition(value) for key, value in values.items()}, STOPPED if stopped else NONE)
        self.state, moves = ENGINE.step(self.state, self.state.now_s + later_s, found)
        self.moved(list(moves))

    @rule(key=st.sampled_from(KEYS))
    def acknowledge(self, key: Key) -> None:
        stood = ENGINE.state_of(self.state, key)
        try:
            self.state, move = ENGINE.acknowledged(self.state, key, "mara")
        except EngineError:
            assert stood not in (State.ACTIVE, State.RETURNED)
            return
        self.moved([move])

    @rule(key=st.sampled_from(KEYS), minutes=st.sampled_from([0.1, 10.0, 480.0, 481.0]))
    def shelve(self, key: Key, minutes: float) -> None:
        try:
            self.state, move = ENGINE.shelved(self.state, key, "mara", "why not", 60.0 * minutes)
        except EngineError:
            return
        self.moved([move])

    @rule(away_s=st.sampled_from([-5000.0, 0.0, 3.0, 10_000.0]))
    def restart(self, away_s: float) -> None:
        before = self.state
        self.store.keep(before, (), self.unix_s)
        self.store.close()
        self.unix_s += away_s
        self.store = AlarmStore(self.store.path)
        self.state = self.store.load(self.unix_s)
        assert self.state.standings == before.standings
        assert self.state.now_s >= before.now_s

    @precondition(lambda self: self.shelved_s)
    @invariant()
    def shelves_expire(self) -> None:
        for key, standing in self.state.standings.items():
            if standing.state is State.SHELVED:
                assert standing.until_s <= self.shelved_s[key] + SHELVED_MOST_S

    @invariant()
    def one_first_of_each_trouble(self) -> None:
        assert all(count == 1 for count in self.firsts.values())

    @invariant()
    def what_is_kept_is_not_simply_well(self) -> None:
        assert all(one.state is not State.NORMAL or one.beyond or one.so for one in self.state.standings.values())


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
