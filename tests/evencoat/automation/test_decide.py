"""What the automation asks for: in tables, and whatever a line and people do to it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.line.command import Mode, Outcome
from controller.line.profile import LineState
from evencoat.automation.decide import (
    FOR_A_PERSON,
    HOUR_S,
    PAUSE_S,
    Deed,
    Kind,
    Seen,
    Stage,
    State,
    answered,
    decide,
    passing,
)
from evencoat.automation.plan import Change, Place, Plan
from evencoat.settings import Automation
from tests.evencoat.recipes.test_recipe import LIPS, version

POLICY = Automation(start=True, rearm_most_per_hour=2, clear_s=10.0, lost_bolts_most=1)
FIRST, NEXT = version(lips=LIPS), version(name="next", target_gsm=91.5, lips=LIPS)
PLAN = Plan(FIRST, (Change(NEXT, roll=2),))
RATE_UM_PER_S = 2.0
OURS, OMAR = "automation via automation", "omar via page"
WELL = Seen(
    t_s=100.0, cycle=1000, place=Place(1, 50.0), web_speed_mps=0.5, line_state=LineState.RUNNING,
    mode_requested=Mode.AUTO, mode_actual=Mode.AUTO, outcome=Outcome.OK, faults=(), lost_bolts=0, read_share=1.0,
    by_hand=False, target_gsm=90.0, sent_um=(500.0,) * 16, mode_by="", acted=True, holder="", sends=True,
)  # fmt: skip
FRESH = WELL._replace(mode_requested=Mode.HOLD, mode_actual=Mode.HOLD, acted=False)
LATCHED = WELL._replace(mode_actual=Mode.HOLD, outcome=Outcome.NODES_LATCHED)


def after(*seen: Seen, policy: Automation = POLICY, plan: Plan = PLAN, state: State = State()) -> list[Deed | None]:
    """What each look decides; whatever is decided, the desk takes."""
    deeds = []
    for one in seen:
        state, deed = decide(policy, plan, RATE_UM_PER_S, state, one)
        deeds.append(deed)
        if deed is not None:
            state = answered(state, deed, "", one.t_s)
    return deeds


def later(seen: Seen, s: float, **changes: Any) -> Seen:
    return seen._replace(t_s=seen.t_s + s, cycle=seen.cycle + round(10.0 * s), **changes)


def kinds(deeds: list[Deed | None]) -> list[Kind | None]:
    return [deed.kind if deed else None for deed in deeds]


def test_a_line_that_was_just_started_gets_target_lips_and_auto_as_soon_as_its_web_runs() -> None:
    threading = FRESH._replace(line_state=LineState.THREADING, outcome=Outcome.LINE_STOPPED, read_share=0.0)
    runs = later(FRESH, 20.0, outcome=Outcome.GAUGE_STALE, read_share=0.0)
    manual = later(runs, 1.0, mode_requested=Mode.MANUAL, mode_actual=Mode.MANUAL, mode_by=OURS, outcome=Outcome.OK)
    there = later(manual, 15.0 / RATE_UM_PER_S + 2.0, read_share=1.0)
    auto = later(there, 1.0, mode_requested=Mode.AUTO, mode_actual=Mode.AUTO, acted=True)
    deeds = after(threading, later(threading, 1.0), runs, manual, there, auto)
    assert kinds(deeds) == [Kind.GRADE, None, Kind.LIPS, None, Kind.CLOSE, None]
    grade, _, lips, _, close, _ = deeds
    assert grade and [ask.action for ask in grade.asks] == ["recipe"], "its target is the one that stands"
    assert lips and [ask.action for ask in lips.asks] == ["mode", "gap_um", "recipe"]
    assert lips.asks[0].values == {"mode": "manual"} and lips.asks[1].values["targets"]["16"] == 515.0
    assert close and close.asks[0].values == {"mode": "auto"} and "lips are in place" in close.asks[0].why


@pytest.mark.parametrize(
    ("changes", "policy"),
    [
        ({"mode_by": OMAR}, POLICY),
        ({"mode_by": "evencoat"}, POLICY),  # after a crash: somebody has to ask
        ({"mode_requested": Mode.MANUAL, "mode_actual": Mode.MANUAL}, POLICY),
        ({"sends": False}, POLICY),
        ({}, Automation(rearm_most_per_hour=2)),
        ({"holder": OMAR}, POLICY),
        ({"faults": ("dry profile: faulty (error)",)}, POLICY),
        ({"lost_bolts": 2}, POLICY),
    ],
)
def test_a_start_is_left_to_a_person_where_he_has_the_line_or_is_needed(
    changes: dict[str, Any], policy: Automation
) -> None:
    looks = [later(FRESH, s, **changes) for s in (0.0, 1.0, 300.0)]
    assert {kind for kind in kinds(after(*looks, policy=policy)) if kind} <= {Kind.NOTE}


def test_no_lips_are_put_where_none_are_known_or_a_zone_is_held_by_hand() -> None:
    assert kinds(after(FRESH, plan=Plan())) == [Kind.CLOSE]
    by_hand = FRESH._replace(by_hand=True)
    assert kinds(after(by_hand, later(by_hand, 1.0))) == [Kind.GRADE, Kind.CLOSE]
    assert after(FRESH._replace(read_share=0.4), plan=Plan()) == [None], "the gauge does not read it"


def test_a_start_waits_for_links_and_goes_no_further_once_somebody_has_asked_for_auto() -> None:
    silent = [later(FRESH, s, faults=("dry profile: silent",)) for s in (0.0, 1.0, 90.0)]
    assert kinds(after(*silent, later(FRESH, 91.0))) == [Kind.GRADE, None, None, Kind.LIPS]
    threading = FRESH._replace(line_state=LineState.THREADING, outcome=Outcome.LINE_STOPPED)
    auto = later(threading, 2.0, mode_requested=Mode.AUTO, mode_by=OMAR)
    runs = later(auto, 30.0, line_state=LineState.RUNNING, outcome=Outcome.OK, mode_actual=Mode.AUTO)
    assert kinds(after(threading, auto, runs, later(runs, 1.0))) == [Kind.GRADE, None, None, None]


def test_a_start_found_with_the_loop_closed_is_not_begun_again() -> None:
    assert kinds(after(WELL, later(WELL, 1.0), later(WELL, 400.0, line_state=LineState.THREADING))) == [None] * 3


def test_the_next_recipe_comes_with_its_roll_and_the_loop_stays_closed() -> None:
    (_, deed, again) = after(WELL, later(WELL, 1.0, place=Place(2, 99.0)), later(WELL, 2.0, place=Place(2, 99.5)))
    assert deed and deed.kind is Kind.GRADE and again is None
    assert next((ask.action, dict(ask.values)) for ask in deed.asks) == ("target_gsm", {"value": 91.5})
    assert deed.asks[0].why == "recipe next@1: roll 2, 99 m of web" and deed.asks[1].action == "recipe"


def test_a_web_that_begins_anew_with_another_recipe_begins_from_its_lips() -> None:
    stops = later(WELL, 1.0, place=Place(2, 99.0), line_state=LineState.STOPPED, outcome=Outcome.LINE_STOPPED)
    stops = stops._replace(mode_actual=Mode.HOLD)
    runs = later(stops, 60.0, line_state=LineState.RUNNING, outcome=Outcome.OK, mode_actual=Mode.AUTO)
    assert kinds(after(WELL, stops, later(stops, 1.0), runs)) == [None, Kind.GRADE, None, Kind.LIPS]
    goes_on = later(WELL, 1.0, place=Place(2, 99.0))
    stops_late = later(goes_on, 200.0, line_state=LineState.STOPPED, outcome=Outcome.LINE_STOPPED)
    runs_again = later(stops_late, 60.0, line_state=LineState.RUNNING, outcome=Outcome.OK)
    assert kinds(after(WELL, goes_on, stops_late, runs_again)) == [None, Kind.GRADE, None, None]


def test_a_plan_goes_by_web_and_by_the_plcs_word_too() -> None:
    plan = Plan(None, (Change(NEXT, web_m=80.0), Change(FIRST, plc="4711")))
    at = [Place(1, 79.0), Place(1, 80.5), Place(1, 90.0, "4711"), Place(1, 91.0, "4711"), Place(1, 92.0, "9")]
    deeds = after(*(later(WELL, k, place=place) for k, place in enumerate(at)), plan=plan)
    assert kinds(deeds) == [None, Kind.GRADE, Kind.GRADE, None, None]
    assert deeds[2] and "PLC 4711" in deeds[2].asks[0].why


def test_latched_nodes_are_released_once_all_has_been_well_for_long_enough() -> None:
    silent = later(LATCHED, 1.0, faults=("sync: silent",))
    clear = [later(silent, s, faults=()) for s in (1.0, 6.0, 10.9, 11.0)]
    assert kinds(after(WELL, silent, *clear)) == [None] * 5 + [Kind.REARM]
    again = later(clear[1], 1.0, faults=("sync: silent",))
    assert kinds(after(WELL, silent, *clear[:2], again, *clear[2:])) == [None] * 7, "it was not well in between"


def test_nodes_that_nobody_saw_latch_wait_for_a_person() -> None:
    assert kinds(after(*(later(LATCHED, s) for s in (0.0, 20.0, 40.0)))) == [None] * 3
    restarted = [LATCHED._replace(cycle=k, t_s=120.0 + 20.0 * k) for k in (1, 2, 3)]
    assert kinds(after(WELL, *restarted)) == [None] * 4, "a process that has just begun"


@pytest.mark.parametrize(
    "changes",
    [
        *({"outcome": outcome} for outcome in FOR_A_PERSON),
        {"faults": ("another controller commands this line",)},
        {"faults": ("die: 3 not authentic",)},
        {"faults": ("die feedback: faulty (error)",)},
        {"faults": ("die feedback: faulty (repeated)",)},
        {"faults": ("bus: die feedback (0x120) babbles: 99 frames in a cycle, expected 1",)},
        {"faults": ("many",)},
        {"lost_bolts": 2},
    ],
)
def test_after_what_a_person_must_judge_nothing_is_asked_for_until_one_has(changes: dict[str, Any]) -> None:
    deeds = after(WELL, later(LATCHED, 1.0, **changes), *(later(LATCHED, s) for s in (30.0, 60.0, 900.0)))
    assert kinds(deeds) == [None, Kind.NOTE, None, None, None]
    assert deeds[1] and "waits for a person" in deeds[1].asks[0].values["text"] and not deeds[1].token
    released = [later(WELL, 1000.0), later(LATCHED, 1001.0), later(LATCHED, 1012.0)]
    assert kinds(after(WELL, later(LATCHED, 1.0, **changes), *released))[-1] is Kind.REARM


def test_what_outages_bring_passes() -> None:
    assert all(
        map(
            passing,
            ("sync: silent", "heartbeat of die: never seen", "wet profile: faulty (wrong sequence)", "bus: bus-off"),
        )
    )


def test_so_many_releases_in_an_hour_and_no_more() -> None:
    seen, found = [WELL], []
    for k in range(5):
        at_s = 600.0 * k
        seen += [later(LATCHED, at_s + 1.0), later(LATCHED, at_s + 12.0), later(WELL, at_s + 20.0)]
    found = after(*seen)
    assert kinds(found).count(Kind.REARM) == 2 and kinds(found).count(Kind.NOTE) == 3
    assert [deed.asks[0].why[-17:] for deed in found if deed and deed.kind is Kind.REARM] == [
        "1 of 2 in an hour", "2 of 2 in an hour",
    ]  # fmt: skip
    hour_on = [later(LATCHED, 3602.0 + 12.0), later(LATCHED, 3602.0 + 24.0)]
    assert kinds(after(*seen, *hour_on))[-1] is Kind.REARM


def test_a_refusal_is_waited_out_longer_each_time() -> None:
    state, deed = decide(POLICY, Plan(), RATE_UM_PER_S, State(), FRESH)
    waits = []
    for _ in range(4):
        assert deed is not None
        state = answered(state, deed, "automation is no user of this line", state.t_s)
        asked_s, t_s = state.t_s, state.t_s
        deed = None
        while deed is None:
            t_s += 1.0
            state, deed = decide(POLICY, Plan(), RATE_UM_PER_S, state, FRESH._replace(t_s=t_s, cycle=round(10 * t_s)))
        waits.append(t_s - asked_s)
    assert waits == [PAUSE_S, 2.0 * PAUSE_S, 4.0 * PAUSE_S, 8.0 * PAUSE_S]


def test_who_takes_command_while_lips_are_on_their_way_has_the_line() -> None:
    manual = later(FRESH, 2.0, mode_requested=Mode.MANUAL, mode_actual=Mode.MANUAL, mode_by=OURS)
    looks = [FRESH, later(FRESH, 1.0), manual, later(manual, 1.0, holder=OMAR), later(manual, 60.0)]
    assert kinds(after(*looks)) == [Kind.GRADE, Kind.LIPS, None, None, None]
    untouched = [FRESH, later(FRESH, 1.0), manual, later(manual, 1.0), later(manual, 60.0)]
    assert kinds(after(*untouched))[-1] is Kind.CLOSE


# --- whatever happens --------------------------------------------------------------------------------------------

FAULTS = ((), (), (), ("sync: silent",), ("another controller commands this line",), ("wet profile: faulty (error)",))
STEP = st.fixed_dictionaries(
    {
        "dt_s": st.sampled_from((0.5, 1.0, 5.0, 20.0, 400.0, -50.0)),
        "outcome": st.sampled_from((Outcome.OK, Outcome.OK, Outcome.NODES_LATCHED, Outcome.NODES_LATCHED, *Outcome)),
        "line_state": st.sampled_from((LineState.RUNNING, LineState.RUNNING, *LineState)),
        "faults": st.sampled_from(FAULTS),
        "lost_bolts": st.sampled_from((0, 0, 1, 2)),
        "roll": st.sampled_from((1, 1, 2)),
        "person": st.sampled_from((None, None, None, Mode.AUTO, Mode.HOLD, Mode.MANUAL, "takes", "gives", "restart")),
        "accepts": st.booleans(),
    }
)


class World:
    """A line and its desk, as far as the automation sees them."""

    def __init__(self, first: Mode) -> None:
        self.seen = FRESH._replace(mode_requested=first)
        self.bad = False  # something came that only a person may judge, and none has

    def moves(self, step: dict[str, Any]) -> Seen:
        seen, person = self.seen, step["person"]
        if isinstance(person, Mode):
            seen = seen._replace(mode_requested=person, mode_by=OMAR)
        elif person == "restart":
            seen = seen._replace(cycle=-1)
        elif person:
            seen = seen._replace(holder=OMAR if person == "takes" else "")
        names = ("outcome", "line_state", "faults", "lost_bolts")
        seen = seen._replace(
            t_s=seen.t_s + step["dt_s"], cycle=seen.cycle + 1, place=Place(step["roll"], 0.0),
            **{name: step[name] for name in names},
        )  # fmt: skip
        actual = seen.mode_requested if seen.outcome is Outcome.OK else Mode.HOLD
        seen = seen._replace(mode_actual=actual, acted=seen.acted or actual is Mode.AUTO)
        cause = seen.outcome in FOR_A_PERSON or seen.lost_bolts > 1 or not all(map(passing, seen.faults))
        self.bad = (self.bad or cause) and actual is Mode.HOLD and not self.persons(seen) and person != "restart"
        self.seen = seen
        return seen

    @staticmethod
    def persons(seen: Seen) -> bool:
        return seen.mode_requested is not Mode.AUTO and seen.mode_by == OMAR

    def takes(self, deed: Deed) -> None:
        for ask in deed.asks:
            if ask.action == "mode":
                self.seen = self.seen._replace(mode_requested=Mode(ask.values["mode"]), mode_by=OURS)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from((Mode.HOLD, Mode.AUTO)), st.lists(STEP, min_size=1, max_size=60))
def test_it_never_asks_against_a_person_a_cause_or_its_bounds(first: Mode, steps: list[dict[str, Any]]) -> None:
    world, state, rearms_s = World(first), State(), list[float]()
    for step in steps:
        seen = world.moves(step)
        if step["dt_s"] < 0.0:
            rearms_s = [min(at_s, seen.t_s) for at_s in rearms_s]
        state, deed = decide(POLICY, PLAN, RATE_UM_PER_S, state, seen)
        if deed is None:
            continue
        assert (deed.kind is Kind.NOTE) is not deed.token
        if deed.token:
            assert seen.holder != OMAR and not world.persons(seen) and not world.bad
        if deed.kind in (Kind.CLOSE, Kind.LIPS):
            assert seen.line_state is LineState.RUNNING and not seen.faults and seen.lost_bolts <= 1
        if deed.kind is Kind.CLOSE:
            assert seen.outcome is Outcome.OK
        if deed.kind is Kind.REARM:
            rearms_s.append(seen.t_s)
            assert seen.outcome is Outcome.NODES_LATCHED and not seen.faults
            assert sum(seen.t_s - at_s < HOUR_S for at_s in rearms_s) <= POLICY.rearm_most_per_hour
        if step["accepts"]:
            world.takes(deed)
        state = answered(state, deed, "" if step["accepts"] else "no", seen.t_s)
        assert not state.busy and state.stage in Stage
