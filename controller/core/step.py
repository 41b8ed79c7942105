"""One cycle of the controller: init() and step(). Readers start here.

    request -> estimate -> plausibility -> supervisor -> ladder -> law -> envelope -> Trace

State in, state out; time is an argument; no exceptions: outcomes are values. Feedback passes only through the state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from controller.core import (
    adapt,
    blocks,
    bolts,
    by_hand,
    envelope,
    estimate,
    exchange,
    expected,
    foresight,
    ladder,
    law,
    offset,
    plausibility,
    play,
    response,
    supervisor,
    target,
)
from controller.core.candidates import Candidates
from controller.core.harris import Harris
from controller.core.network import Network
from controller.core.statistics import Statistics
from controller.core.trace import Came, Looked, Trace, Verdict
from controller.line.command import (
    ActuatorCommand,
    Cause,
    Limit,
    Mode,
    OperatorRequest,
    Outcome,
    Rung,
    UncertifiedCommand,
)
from controller.line.description import BoolArray, LawName, LineDescription
from controller.line.profile import LineInputs

MOST_OUT_SHARE = 0.25  # of the bolts can have their part done by others; beyond, each does its own
LIFE_CYCLES = 3  # control cycles that a command stays valid
ADVICE_HORIZON_S = 600.0  # ADVISORY shows where the lips would stand by then, not the first rate step toward it


@dataclass(frozen=True, slots=True)
class Config:
    """Everything constant in a controller of one line."""

    line: LineDescription
    estimator: estimate.Estimator
    law: law.Law
    bolts: bolts.Bolts
    envelope: envelope.Envelope
    ladder: ladder.Ladder  # watches over the law it was made for, and over no other put in its place
    adaptation: adapt.Adaptation | None  # of the map, for the adaptive law
    play: play.Play | None  # of the lips' screws, for the adaptive law
    foresight: foresight.Foreseer | None  # of the mean, where there is a network
    command_life_cycles: int  # SYNC cycles that a command stays valid

    @property
    def guest(self) -> Network | None:
        """The network, where there is one."""
        return self.foresight.guest if self.foresight is not None else None

    @property
    def watched(self) -> bool:
        """Whether the law is the ladder's own. One that was put in its place plays by itself, as rivals do."""
        return self.ladder.laws[0] is self.law


class State(NamedTuple):
    """Everything a controller remembers. `applied` is None until the actuators' positions were heard once."""

    cycle: int
    estimate: estimate.EstimateState
    harris: Harris  # of the mean, as the estimate sees it at the gauge that closes the loop
    follow: plausibility.FollowState
    bolts: bolts.BoltState
    supervisor: supervisor.SupervisorState
    ladder: ladder.LadderState
    adapt: adapt.AdaptState
    play: play.PlayState | None
    foresight: foresight.Foresight | None
    news: str  # of a model taken into use since the last cycle
    law: law.LawState | None
    applied: envelope.Applied | None
    silent: int  # cycles since a command was sent
    manual: UncertifiedCommand | None
    offset: offset.Offset | None  # of the target, while a reverse bump is on
    target: target.Target
    by_hand: by_hand.ByHand


class Heard(NamedTuple):
    """What a cycle's inputs were found to say, before anything is decided."""

    applied: envelope.Applied  # where the actuators were last sent
    standing: envelope.Applied  # and where the lips stand, play and all
    lips: play.PlayState | None
    seen: estimate.EstimateState
    aim: target.Target
    aimed: estimate.EstimateState  # what was seen, against the target of now
    harris: Harris
    follow: plausibility.FollowState
    watched: bolts.BoltState
    idle: BoolArray  # (zones,), bolts that do not follow or are left alone
    hand: by_hand.ByHand
    away: BoolArray  # (zones,), those and what a person holds: whose part the others do
    fitting: adapt.AdaptState
    ahead: foresight.Foresight | None


class Decided(NamedTuple):
    """What the line is wished to do, and what the law remembers of it."""

    acting: law.Law
    memory: law.LawState
    asked_for: UncertifiedCommand  # by the law, for all bolts
    wish: UncertifiedCommand
    spread: bool  # whether some bolts do the part of others


def configure(
    line: LineDescription,
    sync_period_s: float,
    known: Statistics | None = None,
    guest: Network | None = None,
    far: Candidates | None = None,
) -> Config:
    """Build the controller of a line. `sync_period_s` is the period of the encoder's SYNC, s.

    `known` are the statistics believed of its disturbances and gauges; None takes the defaults. `guest` is the network
    of the law `neural`, which without one does as `adaptive`; other laws have none. `far`: maps about the description
    that the line began with, where this is a model learnt since.
    """
    guest = guest if line.control.law is LawName.NEURAL else None
    estimator = estimate.build(line, response.believe(line), known, guest)
    line = law.certified(line, estimator)
    own, learns = law.build(line, estimator), line.control.law.learns
    pump = law.frozen_mean(line, estimator, own) if isinstance(own, law.Imc) else None
    return Config(
        line=line,
        estimator=estimator,
        law=own,
        bolts=bolts.build(line, estimator.response, estimator.primary.distance_m),
        envelope=envelope.Envelope.of(line),
        ladder=ladder.configure(line, estimator, own, guest is not None),
        adaptation=adapt.build(line, estimator, far) if learns else None,
        play=play.build(line, estimator) if learns else None,
        foresight=foresight.build(line, estimator, guest, pump),
        command_life_cycles=int(np.ceil(LIFE_CYCLES * line.control.cycle_s / sync_period_s - 1e-9)),
    )


def init(config: Config, requested: Mode) -> State:
    """A controller that has heard nothing yet."""
    return State(
        cycle=0,
        estimate=estimate.init(config.estimator),
        harris=Harris.start(config.estimator.primary.distance_m),
        follow=plausibility.init(config.line.zones),
        bolts=bolts.init(config.line.zones),
        supervisor=supervisor.init(requested),
        ladder=ladder.init(),
        adapt=adapt.init(config.line.zones),
        play=play.init(config.play),
        foresight=foresight.init(config.foresight),
        news="",
        law=None,
        applied=None,
        silent=LIFE_CYCLES,
        manual=None,
        offset=None,
        target=target.Target(),
        by_hand=by_hand.nobody(config.line.zones),
    )


def step(
    config: Config, state: State, inputs: LineInputs, dt_s: float, asked: OperatorRequest | None = None, missed: int = 0
) -> tuple[State, ActuatorCommand | None, Trace]:
    """One cycle, `dt_s` of line time after the last. The command is None when nothing shall be sent.

    That is so in ADVISORY, and until every actuator was heard once, the pump just now; and after ADVISORY until what
    was commanded before has expired. `missed` deadlines passed since the last cycle.
    """
    heard = _heard(config, state, inputs, dt_s, asked)
    asking = supervisor.request(state.supervisor, asked)
    judged = supervisor.decide(config.line.control, config.estimator, asking, inputs, heard.seen)
    judged, rungs = _on_the_ladder(config, state, judged, asked, heard, inputs)
    manual = _manual(state, judged, asked, heard.applied)
    beside = offset.kept(config.line, state.offset, asked, judged.actual, inputs.web_m)
    decided = _decided(config, state, heard, (judged, rungs), (manual, beside), inputs, dt_s)
    wish, answered = decided.wish, not _acts(judged) or _finite(decided.wish)
    if not answered:
        judged, rungs, wish = *_without_answer(config, judged, rungs), _stay(heard.applied)

    known = _known(state, heard, inputs)
    sent = known and judged.actual is not Mode.ADVISORY
    paced_s = min(dt_s, config.line.control.cycle_s) if sent else ADVICE_HORIZON_S
    valid_until = inputs.sync_cycle + config.command_life_cycles
    command, limits, limited = envelope.certify(config.envelope, wish, heard.applied, paced_s, valid_until)
    now = _after(command) if sent else heard.applied if known else None
    memory = _limited(config, heard, decided, judged, command) if limits or decided.spread else decided.memory
    if _acts(judged):
        rungs = ladder.noted(rungs, config.line.zones, limits, limited, missed, foresight.speaks(heard.ahead))
    trace = _trace(config, state, inputs, judged, (heard, rungs), (wish, command), (limits, limited), sent)
    kept = memory if known and answered else None
    learnt = (rungs, heard.fitting, heard.lips, heard.ahead, "", kept)
    after = (now, 0 if sent else state.silent + 1, manual, beside, heard.aim, heard.hand)
    state = State(state.cycle + 1, heard.seen, heard.harris, heard.follow, heard.watched, judged, *learnt, *after)
    return state, command if sent else None, trace


def _heard(config: Config, state: State, inputs: LineInputs, dt_s: float, asked: OperatorRequest | None) -> Heard:
    applied = _applied(config, state, inputs)
    lips = play.follow(config.play, state.play, inputs)
    seen = estimate.update(config.estimator, state.estimate, play.shown(lips, inputs))
    standing = play.standing(config.play, lips, applied)  # by the play that was believed in when they were sent there
    lips = play.watch(config.play, lips, seen, inputs)
    ahead = foresight.watch(config.foresight, state.foresight, seen, inputs)
    aim = target.moved(config.line, state.target, asked, inputs, dt_s)
    aimed = target.sought(aim, seen)
    follow, lost = plausibility.follow(config.line.lips, state.follow, applied.gap_um, inputs.gap_um, dt_s)
    watched = bolts.watch(config.bolts, state.bolts, seen, inputs)
    idle, hand = lost | watched.out, by_hand.taken(state.by_hand, asked, applied.gap_um)
    fitting, ahead = _fitted(config, state, seen, ahead, inputs)
    return Heard(
        applied=applied,
        standing=standing,
        lips=lips,
        seen=seen,
        aim=aim,
        aimed=aimed,
        harris=_index(state.harris, aimed, inputs),
        follow=follow,
        watched=watched,
        idle=idle,
        hand=hand,
        away=idle | hand.zones,
        fitting=fitting,
        ahead=ahead,
    )


def _decided(
    config: Config,
    state: State,
    heard: Heard,
    by: tuple[supervisor.SupervisorState, ladder.LadderState],
    persons: tuple[UncertifiedCommand | None, offset.Offset | None],
    inputs: LineInputs,
    dt_s: float,
) -> Decided:
    """By mode and rung, with what persons ask for: targets of their own, a bump. Taking over is bumpless."""
    (judged, rungs), (manual, beside) = by, persons
    acting = _law(config, rungs)
    fresh = state.law is None or state.supervisor.actual is not judged.actual or state.ladder.rung != rungs.rung
    memory = acting.track(heard.aimed, heard.standing) if fresh or state.law is None else state.law
    moving = inputs.encoder_valid and not fresh  # taking over takes no time: the first wish is where things stand
    web_s = inputs.web_speed_mps * dt_s / config.line.web_speed_mps if moving else 0.0
    memory = memory if fresh else offset.aimed(config.estimator.response, acting, memory, state.offset, beside)
    foreseen = foresight.sought(heard.ahead if rungs.rung == 0 else None, heard.aimed)
    to_answer = offset.sought(config.estimator.response, foreseen, beside)
    stood = heard.standing if _acts(judged) else heard.applied
    memory, asked_for = _wish(acting, judged, memory, to_answer, stood, manual, web_s)
    wish, spread = _with_those_who_can(config, judged, asked_for, stood, inputs, heard.away)
    if _acts(judged):
        wish = play.driven(config.play, heard.lips, wish, stood, heard.applied)
        wish = by_hand.held(heard.hand, wish, inputs.gap_valid)
    return Decided(acting, memory, asked_for, wish, spread)


def _known(state: State, heard: Heard, inputs: LineInputs) -> bool:
    """Nobody commands a bolt he never heard of, or begins with a pump that he no longer hears, or with lips on their
    way to where they were sent before."""
    if heard.applied is state.applied:
        return True
    return state.silent >= LIFE_CYCLES and inputs.pump_valid and _finite(heard.applied)


def _limited(
    config: Config,
    heard: Heard,
    decided: Decided,
    judged: supervisor.SupervisorState,
    command: ActuatorCommand,
) -> law.LawState:
    """The law's memory, once it knows that less was done than it asked for."""
    if judged.actual not in (Mode.AUTO, Mode.ADVISORY) or not _finite(decided.asked_for):
        return decided.memory
    done = play.standing(config.play, heard.lips, _after(command))
    return decided.acting.limited(decided.memory, decided.asked_for, done)


def renewed(config: Config, state: State) -> tuple[Config, State]:
    """Between two cycles: a better model of the map is taken into use, where one was learnt. Bumpless, as a take-over.

    On whatever rung of the ladder: all its laws stand on the map, and a wrong one may be why the loop is down there.
    """
    if config.adaptation is None or state.supervisor.actual is not Mode.AUTO:
        return config, state
    numbers = adapt.proposal(config.adaptation, state.adapt, tested=state.offset is not None)
    if numbers is None:
        return config, state
    sigma = adapt.sureness(config.adaptation, state.adapt)
    line = adapt.described(config.line, numbers, sigma)
    new = configure(line, line.control.cycle_s, config.estimator.known, config.guest, config.adaptation.far)
    new = replace(new, command_life_cycles=config.command_life_cycles)
    return new, state._replace(
        estimate=exchange.estimate(state.estimate, config.estimator, new.estimator),
        bolts=state.bolts._replace(block=blocks.begun(config.line.zones)),
        ladder=ladder.rested(state.ladder),
        adapt=adapt.accepted(state.adapt, numbers),
        play=play.rested(state.play),
        news=adapt.words(config.line.die, numbers, sigma),
        law=None,
    )


def refused(state: State, before: State) -> State:
    """The transmit gate refused the last command, so nothing was sent: stand where we stood `before`, and hold."""
    held = supervisor.latch(state.supervisor, Outcome.REFUSED)
    return state._replace(supervisor=held, applied=before.applied, silent=before.silent + 1)


def _applied(config: Config, state: State, inputs: LineInputs) -> envelope.Applied:
    """Where the actuators were last sent. Until we have sent anything, where they are: fed back.

    A pump found at another ratio than the recipe's is taken over at the trim that gives the same speed: no bump.
    """
    if state.applied is not None and state.supervisor.actual is not Mode.ADVISORY and _finite(state.applied):
        return state.applied
    ratio = config.envelope.ratio_rpm_per_mps
    found = inputs.pump_ratio_rpm_per_mps / ratio * (1.0 + inputs.pump_trim_pct / 100.0)
    return envelope.Applied(inputs.gap_um, ratio, 100.0 * (found - 1.0))


def _fitted(
    config: Config,
    state: State,
    seen: estimate.EstimateState,
    ahead: foresight.Foresight | None,
    inputs: LineInputs,
) -> tuple[adapt.AdaptState, foresight.Foresight | None]:
    """What is learnt of the map; and the network, silent where that says the web surely comes too late for it."""
    if config.adaptation is None:
        return state.adapt, ahead
    fitting = adapt.watch(config.adaptation, state.adapt, seen, inputs, state.ladder.rung > 0)
    late_s = fitting.late_share * config.adaptation.block_m / config.line.web_speed_mps
    return fitting, foresight.within(config.foresight, ahead, late_s)


def _acts(judged: supervisor.SupervisorState) -> bool:
    """Whether a law moves the line, or says how it would."""
    return judged.outcome is Outcome.OK and judged.actual in (Mode.AUTO, Mode.ADVISORY)


def _on_the_ladder(
    config: Config,
    state: State,
    judged: supervisor.SupervisorState,
    asked: OperatorRequest | None,
    heard: Heard,
    inputs: LineInputs,
) -> tuple[supervisor.SupervisorState, ladder.LadderState]:
    """The rung of this cycle. The lowest one latches: a person has to ask again."""
    rungs = state.ladder
    if asked is not None and asked.mode in (Mode.AUTO, Mode.ADVISORY):
        rungs = ladder.asked(rungs)
    if not config.watched:
        return judged, rungs
    if not (_acts(judged) and inputs.encoder_valid):
        return judged, ladder.rested(rungs)
    auto = judged.actual is Mode.AUTO
    rungs = ladder.follow(config.ladder, rungs, heard.aimed, inputs, heard.standing, heard.away, auto)
    if config.ladder.rungs[rungs.rung] is Rung.HOLD:
        judged = supervisor.latch(judged, Outcome.NO_LAW_LEFT)
    return judged, rungs


def _law(config: Config, rungs: ladder.LadderState) -> law.Law:
    """The law that acts. Whoever holds remembers by the last one."""
    laws = config.ladder.laws
    return laws[min(rungs.rung, len(laws) - 1)] if rungs.rung else config.law


def _without_answer(
    config: Config, judged: supervisor.SupervisorState, rungs: ladder.LadderState
) -> tuple[supervisor.SupervisorState, ladder.LadderState]:
    """No number came: the next cycle is another law's. Where there is none left, hold until a person asks."""
    if config.watched:
        rungs = ladder.failed(config.ladder, rungs, Cause.NOT_FINITE)
    if not config.watched or config.ladder.rungs[rungs.rung] is Rung.HOLD:
        judged = supervisor.latch(judged, Outcome.NOT_FINITE)
    return judged, rungs


def _out_of_use(idle: BoolArray, inputs: LineInputs) -> BoolArray:
    """Bolts that a person should look at. Where none is seen at all it is the link's fault, not the bolts'."""
    seeing = int(np.count_nonzero(inputs.gap_valid))
    return idle | ~inputs.gap_valid if 0 < seeing < idle.size else idle


def _index(index: Harris, seen: estimate.EstimateState, inputs: LineInputs) -> Harris:
    """The Harris index of the mean, which looks every few metres."""
    if not inputs.encoder_valid or seen.reading.t_ns < 0 or index.resting(inputs.web_m):
        return index
    return index.seen(inputs.web_m, 100.0 * math.expm1(estimate.mean_log(seen.reading.error)))


def _stay(applied: envelope.Applied) -> UncertifiedCommand:
    return UncertifiedCommand(applied.gap_um, applied.pump_ratio_rpm_per_mps, applied.pump_trim_pct)


def _finite(wish: UncertifiedCommand | envelope.Applied) -> bool:
    gap_um = wish.gap_um
    pump = math.isfinite(wish.pump_trim_pct + wish.pump_ratio_rpm_per_mps)
    ends = gap_um.item(gap_um.argmin()), gap_um.item(gap_um.argmax())  # a NaN is found as either
    return pump and math.isfinite(ends[0]) and math.isfinite(ends[1])


def _after(command: ActuatorCommand) -> envelope.Applied:
    return envelope.Applied(command.gap_um, command.pump_ratio_rpm_per_mps, command.pump_trim_pct)


def _manual(
    state: State, judged: supervisor.SupervisorState, asked: OperatorRequest | None, applied: envelope.Applied
) -> UncertifiedCommand | None:
    """The operator's standing targets; entering MANUAL without any keeps what is applied."""
    if judged.requested is not Mode.MANUAL:
        return None
    manual = state.manual if state.manual is not None and _finite(state.manual) else _stay(applied)
    if asked is not None and asked.gap_um is not None:
        manual = replace(manual, gap_um=asked.gap_um)
    if asked is not None and asked.pump_trim_pct is not None:
        manual = replace(manual, pump_trim_pct=asked.pump_trim_pct)
    return manual


def _wish(
    acting: law.Law,
    judged: supervisor.SupervisorState,
    memory: law.LawState,
    seen: estimate.EstimateState,
    applied: envelope.Applied,
    manual: UncertifiedCommand | None,
    web_s: float,
) -> tuple[law.LawState, UncertifiedCommand]:
    """What this mode would like to send. ADVISORY runs the law without a word to the line."""
    if judged.actual is Mode.MANUAL and manual is not None:
        return memory, manual
    if _acts(judged):
        return acting.decide(memory, seen, applied, web_s)
    return memory, _stay(applied)


def _with_those_who_can(
    config: Config,
    judged: supervisor.SupervisorState,
    wish: UncertifiedCommand,
    applied: envelope.Applied,
    inputs: LineInputs,
    idle: BoolArray,
) -> tuple[UncertifiedCommand, bool]:
    """Nobody moves a bolt that he cannot see. In AUTO the others do the part of one that cannot be seen or cannot move.

    Returns the wish, and whether anyone's part was given to others.
    """
    out = idle | ~inputs.gap_valid if judged.actual in (Mode.AUTO, Mode.ADVISORY) else ~inputs.gap_valid
    left = int(np.count_nonzero(out))
    if not left:
        return wish, False
    if judged.actual is Mode.MANUAL or left > MOST_OUT_SHARE * out.size:
        return replace(wish, gap_um=np.where(inputs.gap_valid, wish.gap_um, applied.gap_um)), True
    return replace(wish, gap_um=bolts.without(config.bolts, wish.gap_um, applied.gap_um, out)), True


def _trace(
    config: Config,
    state: State,
    inputs: LineInputs,
    judged: supervisor.SupervisorState,
    known: tuple[Heard, ladder.LadderState],
    said: tuple[UncertifiedCommand, ActuatorCommand],
    bound: tuple[tuple[Limit, ...], int],
    sent: bool,
) -> Trace:
    (heard, rungs), (wish, command) = known, said
    return Trace(
        cycle=state.cycle,
        mode_requested=judged.requested,
        mode_actual=judged.actual,
        outcome=judged.outcome,
        profile_gsm=estimate.fused_profile_gsm(config.estimator, heard.seen),
        profile_valid=heard.seen.reading.valid,
        wet_bias_pct=estimate.bias_pct(config.estimator, heard.seen),
        gap_law_um=wish.gap_um,
        gap_target_um=command.gap_um,
        pump_ratio_rpm_per_mps=command.pump_ratio_rpm_per_mps,
        pump_trim_law_pct=wish.pump_trim_pct,
        pump_trim_pct=command.pump_trim_pct,
        limits=bound[0],
        limited_zones=bound[1],
        zone_not_following=_out_of_use(heard.idle, inputs),
        sent=sent,
        valid_until_cycle=command.valid_until_cycle,
        model_news=state.news,
        target_gsm=target.gsm(config.line, heard.aim),
        zone_manual=heard.hand.zones,
        **_came(inputs),
        **_looked(config, inputs),
        **_verdict(config, heard, rungs),
        **expected.told(config.estimator, heard.seen, heard.ahead, inputs.web_m),
    )


def _came(inputs: LineInputs) -> Came:
    return Came(
        t_line_ns=inputs.t_line_ns,
        sync_cycle=inputs.sync_cycle,
        web_m=inputs.web_m,
        web_speed_mps=inputs.web_speed_mps,
        line_state=inputs.line_state,
        roll=inputs.roll,
        batch=inputs.batch,
        wet_scan_id=inputs.wet.scan_id if inputs.wet else -1,
        dry_scan_id=inputs.dry.scan_id if inputs.dry else -1,
        gap_um=inputs.gap_um,
        pump_trim_applied_pct=inputs.pump_trim_pct,
        pump_speed_rpm=inputs.pump_speed_rpm,
        pump_pressure_kpa=inputs.pump_pressure_kpa,
        link_faults=inputs.link_faults,
    )


def _looked(config: Config, inputs: LineInputs) -> Looked:
    wet, dry = estimate.looks(config.estimator, inputs)
    return Looked(
        slurry_temperature_c=inputs.slurry_temperature_c,
        wet_scan_gsm=wet.gsm,
        wet_scan_share=wet.share,
        wet_scan_rough_pct=wet.rough_pct,
        wet_scan_past_boxes=wet.past_boxes,
        wet_scan_m=wet.web_m,
        dry_scan_gsm=dry.gsm,
        dry_scan_share=dry.share,
        dry_scan_rough_pct=dry.rough_pct,
        dry_scan_past_boxes=dry.past_boxes,
        dry_scan_m=dry.web_m,
    )


def _verdict(config: Config, heard: Heard, rungs: ladder.LadderState) -> Verdict:
    index, ahead = heard.harris, heard.ahead
    surprise_cd, surprise_md = estimate.surprise(heard.seen)
    against_pi_cd, against_pi_md = rungs.against_pi
    return Verdict(
        surprise_cd=surprise_cd,
        surprise_md=surprise_md,
        harris_md=index.index,
        sigma_md_pct=index.sigma_pct,
        rung=config.ladder.rungs[rungs.rung],
        rung_cause=rungs.cause,
        against_pi_cd=against_pi_cd,
        against_pi_md=against_pi_md,
        guest_pct=100.0 * ahead.correction if ahead is not None and rungs.rung == 0 else 0.0,
        guest_whole_pct=100.0 * ahead.whole if ahead is not None else 0.0,
        guest_authority=ahead.authority if ahead is not None else math.nan,
    )
