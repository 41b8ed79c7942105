"""What the automation asks for, decided from what it sees: state in, state out, line time an argument.

It does three things: brings a line that was just started to AUTO from the recipe's lips, puts the next recipe at its
time, and releases nodes that latched for want of commands. All else that passes by itself (a splice, a stop, a gauge or
an encoder that comes back) the supervisor passes through alone, and what says that something is wrong with us waits for
a person. Whoever asked for MANUAL or HOLD has the line until somebody asks for AUTO.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from controller.line.command import Mode, Outcome
from controller.line.profile import LineState
from evencoat.automation.plan import Place, Plan, chosen, met
from evencoat.recipes.apply import parts_of, record_of, why_of
from evencoat.recipes.recipe import Recipe
from evencoat.settings import Automation

HOUR_S = 3600.0
GAUGE_SHARE_LEAST = 0.5  # of the zones must be read before the loop is closed
ANEW_S = 120.0  # after a change of recipe: a web that then begins anew does so from its lips
SETTLE_S = 2.0  # after the lips should be in place
PAUSE_S, PAUSE_MOST_S = 30.0, 3600.0  # after a refusal; doubled with each that follows
NOTE_EVERY_S = 60.0
SAME_GSM = 1e-3  # a target that is asked for differs by more
GAUGELESS = (Outcome.OK, Outcome.GAUGE_STALE, Outcome.GAUGE_INVALID)  # lips need no gauge to go to their places
FOR_A_PERSON = (Outcome.SAFE_STOP, Outcome.REFUSED, Outcome.NOT_FINITE, Outcome.NO_LAW_LEFT)
# Link faults that an outage brings and takes away again. Whatever is not known here waits for a person: frames that are
# garbled, repeated or forged, a node that babbles, a second controller, a gauge that is another one than it was.
PASSING_ENDS = (": silent", ": never seen", ": faulty (wrong sequence)", "taken as silent")
PASSING_BEGINNING, NOT_PASSING = "bus: ", "babbles"


class Seen(NamedTuple):
    """What one look at the line and its desk says."""

    t_s: float  # line time
    cycle: int
    place: Place
    web_speed_mps: float
    line_state: LineState
    mode_requested: Mode
    mode_actual: Mode
    outcome: Outcome
    faults: tuple[str, ...]  # of links
    lost_bolts: int
    read_share: float  # of the zones that the gauge reads
    by_hand: bool  # a person holds zones
    target_gsm: float
    sent_um: tuple[float, ...]  # where lips were sent
    mode_by: str  # who asked for the mode; "" is whoever started the process
    acted: bool  # the loop has been closed since the start
    holder: str  # who is in command, "" for nobody
    sends: bool


class Stage(StrEnum):
    """How far the automation is."""

    UNKNOWN = "has not looked yet"
    START = "waits for the web"
    PLACING = "lips are on their way"
    CLOSED = "the loop is closed"
    PERSON = "a person has the line"


class Kind(StrEnum):
    """What a deed is for."""

    GRADE = "grade"
    LIPS = "lips"
    CLOSE = "close"
    REARM = "re-arm"
    NOTE = "note"


class Ask(NamedTuple):
    """One action of the desk's."""

    action: str
    values: Mapping[str, Any]
    why: str


class Deed(NamedTuple):
    """Asked for in this order, and no further than the first refusal. `token`: whoever asks must be in command."""

    kind: Kind
    asks: tuple[Ask, ...]
    token: bool = True


class State(NamedTuple):
    """All that is remembered. `saw`: nodes that were not latched, since the process began; `needs`: why a person is."""

    stage: Stage = Stage.UNKNOWN
    t_s: float = 0.0
    cycle: int = -1
    met: tuple[bool, ...] = ()
    recipe: Recipe | None = None
    owed: bool = False  # the recipe's target is not asked for yet
    lips_owed: bool = False
    changed_s: float = 0.0  # when the recipe became this one
    there_s: float = 0.0  # when lips that are on their way should be in place
    saw: bool = False
    clear_since_s: float | None = None
    needs: str = ""
    noted: str = ""
    noted_s: float = -NOTE_EVERY_S
    rearms_s: tuple[float, ...] = ()
    mode_by: str = ""
    busy: bool = False
    refusals: int = 0
    pause_s: float = -PAUSE_MOST_S  # no deed before


def decide(policy: Automation, plan: Plan, rate_um_per_s: float, state: State, seen: Seen) -> tuple[State, Deed | None]:
    """What to ask for now, if anything. Until `answered` says what came of it, nothing else is."""
    state = _looked(policy, plan, state, seen)
    if state.busy or not seen.sends or seen.t_s < state.pause_s:
        return state, None
    deed = _note(policy, state, seen)
    if deed is not None:
        state = state._replace(noted=_trouble(policy, state, seen), noted_s=seen.t_s)
    elif state.stage is not Stage.PERSON and not state.needs and not _others(policy, seen.holder):
        deed = _grade(state, seen) or _lips(policy, state, seen) or _close(policy, state, seen)
        deed = deed or _rearm(policy, state, seen)
    if deed is None:
        return state, None
    if deed.kind is Kind.LIPS and state.recipe is not None and state.recipe.lips is not None:
        ways_um = (abs(to - at) for to, at in zip(state.recipe.lips.gap_um, seen.sent_um, strict=True))
        state = state._replace(there_s=seen.t_s + SETTLE_S + max(ways_um) / rate_um_per_s)
    if deed.kind is Kind.REARM:
        state = state._replace(rearms_s=(*state.rearms_s, seen.t_s), clear_since_s=None)
    return state._replace(busy=True), deed


def answered(state: State, deed: Deed, refused: str, t_s: float) -> State:
    """What the desk said to a deed: "" where all of it was taken, else why not. Then it waits, longer each time."""
    state = state._replace(busy=False)
    if refused:
        pause_s = min(PAUSE_S * 2.0 ** min(state.refusals, 10), PAUSE_MOST_S)
        return state._replace(refusals=state.refusals + 1, pause_s=t_s + pause_s)
    state = state._replace(refusals=0)
    if deed.kind is Kind.GRADE:
        return state._replace(owed=False)
    if deed.kind is Kind.LIPS and state.stage is Stage.START:
        return state._replace(stage=Stage.PLACING, lips_owed=False)
    if deed.kind is Kind.CLOSE and state.stage in (Stage.START, Stage.PLACING):
        return state._replace(stage=Stage.CLOSED, lips_owed=False)
    return state


# --- what is seen ------------------------------------------------------------------------------------------------


def _looked(policy: Automation, plan: Plan, state: State, seen: Seen) -> State:
    """The state after a look, before anything is asked for."""
    if state.stage is Stage.UNKNOWN or seen.cycle < state.cycle:  # a control process that we have not seen before
        state = _first(policy, plan, state, seen)
    if seen.t_s < state.t_s:  # another time base: what was measured in the old one is as new
        asked = tuple(min(at_s, seen.t_s) for at_s in state.rearms_s)
        state = state._replace(rearms_s=asked, clear_since_s=None, pause_s=-PAUSE_MOST_S, noted_s=seen.t_s)
    state = _next_recipe(plan, state, seen)
    if state.stage is Stage.CLOSED and seen.t_s - state.changed_s >= ANEW_S:
        state = state._replace(lips_owed=False)  # the law has found better ones by now
    state = state._replace(stage=_stage(policy, state, seen), mode_by=seen.mode_by)
    latched = seen.outcome is Outcome.NODES_LATCHED
    clear = latched and not seen.faults and seen.lost_bolts <= policy.lost_bolts_most
    since_s = seen.t_s if state.clear_since_s is None else state.clear_since_s
    needs = (state.needs or _person_for(policy, seen)) if seen.mode_actual is Mode.HOLD else ""
    return state._replace(
        t_s=seen.t_s,
        cycle=seen.cycle,
        lips_owed=state.lips_owed and state.stage in (Stage.START, Stage.CLOSED),
        noted=state.noted if _trouble(policy, state, seen) else "",
        saw=state.saw or not (latched or seen.outcome is Outcome.SAFE_STOP),
        clear_since_s=since_s if clear else None,
        needs=needs if state.stage is not Stage.PERSON else "",
        rearms_s=tuple(at_s for at_s in state.rearms_s if seen.t_s - at_s < HOUR_S),
    )


def _first(policy: Automation, plan: Plan, state: State, seen: Seen) -> State:
    """Where to begin with a control process: at its start where nobody has asked it for anything, else beside it."""
    left = not seen.acted or seen.mode_requested is not Mode.AUTO
    begins = policy.start and left and _ours(policy, seen)
    stage = Stage.START if begins else Stage.CLOSED
    recipe = chosen(plan, seen.place)
    return State(
        stage=stage,
        met=tuple(met(change, seen.place) for change in plan.changes),
        recipe=recipe,
        owed=begins and recipe is not None,
        lips_owed=begins and recipe is not None and recipe.lips is not None,
        rearms_s=state.rearms_s,
        t_s=seen.t_s,
        mode_by=seen.mode_by,
        busy=state.busy,
        refusals=state.refusals,
        pause_s=state.pause_s,
    )


def _next_recipe(plan: Plan, state: State, seen: Seen) -> State:
    """A change of the plan whose moment has come; of several the last. Its lips are for a web that is begun anew."""
    now = tuple(met(change, seen.place) for change in plan.changes)
    came = [change for change, is_met, was in zip(plan.changes, now, state.met, strict=True) if is_met and not was]
    if not came:
        return state._replace(met=now)
    recipe = came[-1].recipe
    lips_owed = recipe.lips is not None
    return state._replace(met=now, recipe=recipe, owed=True, lips_owed=lips_owed, changed_s=seen.t_s)


def _stage(policy: Automation, state: State, seen: Seen) -> Stage:
    ours, auto = _ours(policy, seen), seen.mode_requested is Mode.AUTO
    if not (ours or auto):
        return Stage.PERSON
    if not ours and seen.mode_by != state.mode_by:
        return Stage.CLOSED  # somebody has just asked for AUTO, with lips as they are
    if state.stage is Stage.PLACING and _others(policy, seen.holder):
        return Stage.PERSON  # who took command may have moved lips since
    anew = state.lips_owed and policy.start and seen.line_state in (LineState.STOPPED, LineState.THREADING)
    if state.stage is Stage.CLOSED and (anew or not auto):
        return Stage.START
    if auto and state.stage is not Stage.START:
        return Stage.CLOSED
    return state.stage


def _ours(policy: Automation, seen: Seen) -> bool:
    """Whether the mode that stands is the automation's, or that of a start which leaves it to the automation."""
    if seen.mode_by == "":
        return policy.start and not seen.acted and seen.mode_requested in (Mode.HOLD, Mode.AUTO)
    return seen.mode_by == name_of(policy)


def name_of(policy: Automation) -> str:
    """How the automation is written down, as who asked and as who is in command."""
    return f"{policy.acts_as} via automation"


def _others(policy: Automation, holder: str) -> bool:
    return holder not in ("", name_of(policy))


def _person_for(policy: Automation, seen: Seen) -> str:
    """What of this hold only a person may judge; "" where nothing is."""
    if seen.outcome in FOR_A_PERSON:
        return str(seen.outcome)
    if seen.lost_bolts > policy.lost_bolts_most:
        return f"{seen.lost_bolts} bolts do not follow"
    return next((fault for fault in seen.faults if not passing(fault)), "")


def passing(fault: str) -> bool:
    """Whether a link fault may pass by itself, as an outage does."""
    if fault.startswith(PASSING_BEGINNING):
        return NOT_PASSING not in fault
    return fault.endswith(PASSING_ENDS)


# --- what is asked for -------------------------------------------------------------------------------------------


def _note(policy: Automation, state: State, seen: Seen) -> Deed | None:
    """Say on record, once, what a person is waited for."""
    words = _trouble(policy, state, seen)
    if not words or words == state.noted or seen.t_s - state.noted_s < NOTE_EVERY_S:
        return None
    return Deed(Kind.NOTE, (Ask("note", {"what": "remark", "text": words[:400]}, ""),), token=False)


def _trouble(policy: Automation, state: State, seen: Seen) -> str:
    spent = state.saw and 0 < policy.rearm_most_per_hour <= len(state.rearms_s)
    if seen.outcome is Outcome.NODES_LATCHED and spent and not state.needs:
        return f"nodes have latched again; {len(state.rearms_s)} re-arms in an hour were all that is allowed"
    return f"waits for a person: {state.needs}" if state.needs else ""


def _grade(state: State, seen: Seen) -> Deed | None:
    """The target of a recipe whose time has come, and the record that says which one it is."""
    recipe = state.recipe
    if not state.owed or recipe is None:
        return None
    (part,) = parts_of(recipe, lips=False)
    at = seen.place
    why = f"roll {at.roll}, {at.web_m:.0f} m of web" + (f", PLC {at.plc}" if at.plc else "")
    asks = [Ask(part.action, part.values, why_of(recipe, why))] if _apart(recipe, seen) else []
    return Deed(Kind.GRADE, (*asks, Ask("recipe", {"text": record_of(recipe, [part.words])}, why)))


def _apart(recipe: Recipe, seen: Seen) -> bool:
    return not abs(recipe.target_gsm - seen.target_gsm) <= SAME_GSM


def _lips(policy: Automation, state: State, seen: Seen) -> Deed | None:
    """The recipe's lips, as soon as the web runs: in MANUAL, as anybody's."""
    recipe = state.recipe
    if state.stage is not Stage.START or not state.lips_owed or recipe is None or seen.by_hand:
        return None
    if not _runs(policy, seen, GAUGELESS):
        return None
    why = why_of(recipe, "the web runs, and the loop is not closed yet")
    part = parts_of(recipe, lips=True)[0]
    return Deed(
        Kind.LIPS,
        (
            Ask("mode", {"mode": str(Mode.MANUAL)}, why),
            Ask(part.action, part.values, why),
            Ask("recipe", {"text": record_of(recipe, [part.words])}, why),
        ),
    )


def _close(policy: Automation, state: State, seen: Seen) -> Deed | None:
    """AUTO, once lips are in place, the web runs, and the gauge reads it."""
    waits = state.stage is Stage.PLACING and seen.t_s < state.there_s
    first = state.stage is Stage.START and state.lips_owed and not seen.by_hand
    if state.stage not in (Stage.START, Stage.PLACING) or waits or first or not _runs(policy, seen):
        return None
    if seen.read_share < GAUGE_SHARE_LEAST:
        return None
    how = "lips are in place" if state.stage is Stage.PLACING else "no lips to be put"
    return Deed(Kind.CLOSE, (Ask("mode", {"mode": str(Mode.AUTO)}, f"start: {how}, the web runs, the gauge reads it"),))


def _runs(policy: Automation, seen: Seen, outcomes: tuple[Outcome, ...] = (Outcome.OK,)) -> bool:
    """Whether the web runs, and nothing else speaks against moving a lip."""
    runs = seen.line_state is LineState.RUNNING and seen.web_speed_mps > 0.0
    return runs and seen.outcome in outcomes and not seen.faults and seen.lost_bolts <= policy.lost_bolts_most


def _rearm(policy: Automation, state: State, seen: Seen) -> Deed | None:
    """Release nodes that were seen to latch, once all has been well for long enough, and not too often."""
    if seen.outcome is not Outcome.NODES_LATCHED or not state.saw or state.clear_since_s is None:
        return None
    clear_s, so_often = seen.t_s - state.clear_since_s, len(state.rearms_s)
    if clear_s < policy.clear_s or so_often >= policy.rearm_most_per_hour:
        return None
    why = f"nodes latched for want of commands; all is heard again for {clear_s:.0f} s"
    why += f"; {so_often + 1} of {policy.rearm_most_per_hour} in an hour"
    return Deed(Kind.REARM, (Ask("rearm", {}, why),))
