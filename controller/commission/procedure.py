"""Commissioning, step by step: level the web, test in short blocks, look, test again until enough is known.

    TEST    nobody but the test moves the lips: every bolt goes to and fro between four places at random, about where it
            stood, and the pump with them. Web that is scrap as it was found costs nothing more when it is moved much;
            web inside its tolerance is moved so little that it stays there as far as is known
    LEVEL   the loop is closed as the line is described
    SETTLE  the loop stays closed while the gauges see the last of it

Between blocks the fit says what is known; the next block is as large as the new response and the play found allow.
Bolts that seem dead or reversed are moved further, to be told from play. It all goes through MANUAL and AUTO like a
person's requests, so envelope, gate and journal see it all. Source of the idea: bump tests and pseudo-random
excitation of coating and paper machines.
"""

from __future__ import annotations

from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from controller.commission import identify
from controller.commission.budget import SMOOTHED_S, Budget
from controller.commission.identify import Found
from controller.commission.record import Block, Recorder
from controller.core.response import lip_matrix, local_gain_per_um
from controller.core.trace import Trace
from controller.line.command import Mode, OperatorRequest
from controller.line.description import Array, GaugeDescription, LineDescription
from controller.line.profile import LineInputs

LEVEL_M, LEVEL_DELAYS = 30.0, 1.2  # of web inside its tolerance before a small test
FIRST_LOOK_M = 2.0  # of web seen before it is judged as found
RESERVE_SHARE = 0.05  # of the budget, for what the gauges do not see
FIRST_SHARE = 0.6  # of a small block's size, while nothing but the description is known
GROWTH_MAX = 2.5  # from block to block
LARGE = 1.0  # of the tolerance: what a test does to web that is scrap anyhow, one sigma
WITHIN_TOLERANCE = 2.8  # standard deviations of web that shall lie inside in a small test
SMALLEST_SHARE = 0.12  # of the tolerance: a test below this shows nothing
DOUBTED_FURTHER = 2.5  # times, for bolts that seem dead or reversed
LEVELS = np.array([-1.0, -1.0 / 3.0, 1.0 / 3.0, 1.0])  # four places: with two, play could not be told from gain
LEVELS_RMS = float(np.sqrt(np.mean(LEVELS**2)))
HOLD_MIN_S, HOLD_PERIODS, HOLD_PASSES = 3.0, 4.0, 2.0
TRAVELS, TRAVEL_S = 36.0, (8.0, 24.0)  # large moves that the budget shall be enough for; one takes so long at most
SMALL_S, LARGE_S, HOLDS = 150.0, 90.0, (12, 40)  # of a block; its holds, fewest and most
LARGE_DELAYS = 4.0  # of a large block at least, for between two of them the gauge sees the last of one as scrap
NEIGHBOURS_SHARE, BEND_SHARE = 0.4, 0.22  # of what the lip bears: moves at random come to twice and four times these
PUMP_SHARE, PUMP_LARGE = 0.2, 0.7  # of the tolerance, small and large
BLOCKS_MAX = 12
BLOCK_HOLDS = 2.0  # that a block lasts at least, to tell anything
STUCK_SHARE = 0.3  # of what a bolt was asked to travel
THROWN_SHARE = 0.03  # of the budget, in one go: a small test that costs more is ended, and the next one is smaller
SMALLER = 0.7
ENOUGH = {
    "gain": 0.015,
    "kernel": 0.03,
    "shift": 0.03,
    "distance": 0.008,
    "bolt": 0.12,
}  # one sigma, in shares and pitches


class Phase(StrEnum):
    """Where commissioning is."""

    LISTEN = "listening"
    LEVEL = "levelling the web"
    TEST = "testing"
    SETTLE = "letting the gauges see the rest"
    LOOK = "working out the rest"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. `found` is None where nothing could be learnt; why: in a sentence."""

    found: Found | None
    stuck: tuple[int, ...]
    enough: bool
    why: str
    spent_m: float
    budget_m: float
    blocks: int
    web_m: float
    line_s: float


class Commissioner:
    """One commissioning of one line. `hear` what the port read, then `turn` with the cycle's trace."""

    def __init__(self, line: LineDescription, budget_m: float, seed: int, thinker: Executor) -> None:
        self.line, self.phase = line, Phase.LISTEN
        self.found: Found | None = None
        self.recorder = Recorder(line)
        self.blocks: list[Block] = []
        self._budget_m, self._thinker = budget_m, thinker
        self.budget: Budget | None = None
        self._rng = np.random.default_rng(seed)
        self._inputs: LineInputs | None = None
        self._thought: Future[Found | None] | None = None
        self._hold_m = 0.0
        self._amplitude_um = 0.0
        self._base_um, self._base_trim_pct = np.zeros(line.zones), 0.0
        self._begun_m = self._phase_m = self._spent_m = self._start_m = self._start_s = 0.0
        self._next_m = self._pump_next_m = 0.0
        self._holds = 0
        self._residual2 = 0.003**2  # of the web at rest, log^2
        primary = line.primary_gauge
        self._noise2 = (primary.noise_pct / 100.0) ** 2 * line.zones / primary.boxes / _smoothed(primary)
        self._asked_um, self._went_um = np.zeros(line.zones), np.zeros(line.zones)
        self._lost, self._cycles = np.zeros(line.zones), 0
        self._last: tuple[Array, Array] | None = None
        self._why, self._enough = "", False
        self._looks = 0
        self._small, self._scale = True, 1.0

    # --- what it is told -----------------------------------------------------------------------------------------

    def hear(self, inputs: LineInputs) -> None:
        """What the port read in this cycle."""
        self._inputs = inputs
        self.recorder.hear(inputs)

    def turn(self, trace: Trace) -> OperatorRequest | None:
        """After a cycle: what to ask for, if anything."""
        inputs = self._inputs
        if inputs is None or self.phase is Phase.DONE:
            return None
        self._measure(inputs, trace)
        if self.phase is Phase.LISTEN:
            return self._listen(inputs, trace)
        if self.phase is Phase.LEVEL:
            return self._level(inputs, trace)
        if self.phase is Phase.TEST:
            return self._test(inputs, trace)
        if self.phase is Phase.SETTLE:
            return self._settle(inputs)
        self._look()
        return None

    @property
    def outcome(self) -> Outcome:
        """What came of it; sensible once `phase` is DONE."""
        budget, inputs = self.budget, self._inputs
        web_m, now_s = (inputs.web_m, 1e-9 * inputs.t_line_ns) if inputs else (0.0, 0.0)
        return Outcome(
            found=self.found,
            stuck=self._stuck(),
            enough=self._enough,
            why=self._why,
            spent_m=budget.spent_m if budget else 0.0,
            budget_m=self._budget_m,
            blocks=len(self.blocks),
            web_m=web_m - self._start_m,
            line_s=now_s - self._start_s,
        )

    def stop(self, why: str) -> None:
        """End it now, with what is known."""
        if self.phase is not Phase.DONE:
            self.phase, self._why = Phase.DONE, why

    def _measure(self, inputs: LineInputs, trace: Trace) -> None:
        """Count metres, and how far bolts went of what they were asked."""
        if self.budget is None:
            self.budget = Budget(self.line, inputs.web_m, self._budget_m)
            self._start_m, self._start_s = inputs.web_m, 1e-9 * inputs.t_line_ns
        self.budget.now(inputs.web_m)
        line, primary = self.line, self.line.primary_gauge
        fresh = inputs.wet if primary.is_wet else inputs.dry
        if fresh is not None:
            error = self.recorder.newest_error(primary, _smoothed(primary))
            if error is not None:
                bias = np.log1p(trace.wet_bias_pct / 100.0) if line.dry_gauge and primary.is_wet else 0.0
                self.budget.near(error + bias, fresh.web_m - primary.distance_m)
                if self.phase is Phase.LEVEL and not self.budget.out_now:
                    self._residual2 += 0.02 * (float(np.mean((error + bias) ** 2)) - self._noise2 - self._residual2)
        if inputs.dry is not None and line.dry_gauge is not None:
            error = self.recorder.newest_error(line.dry_gauge, _smoothed(line.dry_gauge))
            if error is not None:
                self.budget.far(error, inputs.dry.web_m - line.dry_gauge.distance_m)
        if self.phase is Phase.TEST:
            if self._last is not None:
                self._asked_um += np.abs(trace.gap_target_um - self._last[0])
                self._went_um += np.abs(inputs.gap_um - self._last[1])
            self._last = trace.gap_target_um, inputs.gap_um
            self._cycles += 1
            self._lost += ~inputs.gap_valid

    # --- phases --------------------------------------------------------------------------------------------------

    def _to_level(self, inputs: LineInputs) -> OperatorRequest:
        self.phase, self._phase_m, self._last = Phase.LEVEL, inputs.web_m, None
        return OperatorRequest(mode=Mode.AUTO)

    def _listen(self, inputs: LineInputs, trace: Trace) -> OperatorRequest | None:
        """Until the gauge has seen enough to judge the web as it was found."""
        assert self.budget is not None
        if self.budget.seen_m < FIRST_LOOK_M + self.line.primary_gauge.distance_m:
            return None
        return self._begin(inputs, trace) if self.budget.out_now else self._to_level(inputs)

    def _level(self, inputs: LineInputs, trace: Trace) -> OperatorRequest | None:
        assert self.budget is not None
        primary = self.line.primary_gauge
        passed_m = inputs.web_m - self._phase_m
        if self._must_stop():
            return self._spent()
        if self.blocks and passed_m < (1.0 + identify.DELAY_RANGE) * primary.distance_m + _period_m(self.line, primary):
            return None  # the gauge has not yet seen all of the last block
        if self._looks < len(self.blocks):
            if not self._looked():
                return None
            if self._enough or len(self.blocks) >= BLOCKS_MAX:
                self.phase, self._phase_m = Phase.SETTLE, inputs.web_m
                return None
        at_once = self.blocks and self.budget.out_now and not self._small
        level = self.budget.inside_m >= max(LEVEL_M, LEVEL_DELAYS * primary.distance_m)
        return self._begin(inputs, trace) if trace.mode_actual is Mode.AUTO and (level or at_once) else None

    def _begin(self, inputs: LineInputs, trace: Trace) -> OperatorRequest | None:
        """Start a block where things stand."""
        line = self.line
        assert self.budget is not None
        self._small = not self.budget.out_now
        self._amplitude_um = self._sized()
        hold_s = self._hold_s()
        self._hold_m = hold_s * line.web_speed_mps
        delay_s = line.primary_gauge.distance_m / line.web_speed_mps
        block_s = SMALL_S if self._small else max(LARGE_S, LARGE_DELAYS * delay_s)
        self._holds = int(np.clip(block_s / hold_s, *HOLDS))
        self._base_um, self._base_trim_pct = trace.gap_target_um.copy(), trace.pump_trim_pct
        self.phase, self._begun_m, self._last = Phase.TEST, inputs.web_m, None
        self._next_m = self._pump_next_m = inputs.web_m
        self._spent_m = self.budget.spent_m
        return self._move(inputs)

    def _test(self, inputs: LineInputs, trace: Trace) -> OperatorRequest | None:
        assert self.budget is not None
        away = trace.mode_actual is not Mode.MANUAL and inputs.web_m > self._begun_m + self._hold_m
        thrown = self._thrown_out()
        if self._holds <= 0 or away or thrown or self._must_stop():
            if inputs.web_m - self._begun_m > BLOCK_HOLDS * self._hold_m:
                self.blocks.append(Block(self._begun_m, inputs.web_m))
            if thrown:
                self._scale *= SMALLER
            return self._to_level(inputs)
        if inputs.web_m >= self._next_m:
            return self._move(inputs)
        trim_pct = self._pumped(inputs)
        return None if trim_pct is None else OperatorRequest(pump_trim_pct=trim_pct)

    def _move(self, inputs: LineInputs) -> OperatorRequest:
        """Every bolt to one of its four places; their mean stays where it was."""
        line = self.line
        size_um = np.full(line.zones, self._amplitude_um)
        if self.found is not None:
            size_um = np.where(self.found.doubted, DOUBTED_FURTHER * size_um, size_um)
        away_um = size_um * self._rng.choice(LEVELS, line.zones)
        self._holds -= 1
        self._next_m = inputs.web_m + self._hold_m
        lips_um = self._base_um + away_um - away_um.mean()
        return OperatorRequest(Mode.MANUAL, lips_um, self._pumped(inputs))

    def _pumped(self, inputs: LineInputs) -> float | None:
        """Where the pump's trim goes now, %, if it is its turn: oftener than slow lips, for it tells the delay."""
        line = self.line
        if inputs.web_m < self._pump_next_m:
            return None
        step_pct = (PUMP_SHARE if self._small else PUMP_LARGE) * line.target.tolerance_pct
        hold_s = max(HOLD_MIN_S, 2.0 * step_pct / line.pump.trim_rate_pct_per_s)
        if line.primary_gauge.is_scanner:
            hold_s = 2.0 * self._hold_m / line.web_speed_mps  # what moves while a head crosses looks uneven to it
        self._pump_next_m = inputs.web_m + hold_s * line.web_speed_mps
        return self._base_trim_pct + step_pct * float(self._rng.choice((-1.0, 1.0)))

    def _settle(self, inputs: LineInputs) -> OperatorRequest | None:
        """Wait until the dry gauge has seen the last block, then look for the last time."""
        far = self.line.dry_gauge or self.line.primary_gauge
        if inputs.web_m - self._phase_m < (1.0 + identify.DELAY_RANGE) * far.distance_m:
            return self._spent() if self._must_stop() else None
        known = "everything is known as well as asked for"
        self.phase, self._why = Phase.LOOK, known if self._enough else "as many blocks as planned are done"
        return None

    def _look(self) -> None:
        """The last look, with all that was heard."""
        if not self.blocks or self._looked():
            self.phase = Phase.DONE

    def _spent(self) -> OperatorRequest:
        """No metre is left: a last look at what there is, with the loop closed."""
        self.phase, self._why = Phase.LOOK, "the budget of metres out of tolerance is spent"
        return OperatorRequest(mode=Mode.AUTO)

    def _must_stop(self) -> bool:
        """Whether web that is on its way unseen might break the budget."""
        assert self.budget is not None
        return self.budget.left_m < self.line.primary_gauge.distance_m + RESERVE_SHARE * self._budget_m

    def _thrown_out(self) -> bool:
        """Whether a small test itself has put too much web out of tolerance."""
        assert self.budget is not None
        return self._small and self.budget.spent_m - self._spent_m > THROWN_SHARE * self._budget_m

    # --- sizes ---------------------------------------------------------------------------------------------------

    def _sized(self) -> float:
        """How far bolts go, um: a small test leaves the web inside its tolerance with what it has of its own."""
        line, found, lips = self.line, self.found, self.line.lips
        die = found.die if found is not None else line.die
        rows = local_gain_per_um(replace(line, die=die)) * lip_matrix(die)
        per_um = LEVELS_RMS * float(np.sqrt((rows**2).sum(axis=1).mean()))
        tolerance = line.target.tolerance_pct / 100.0
        room = max((tolerance / WITHIN_TOLERANCE) ** 2 - max(self._residual2, 0.0), 0.0) ** 0.5
        unsure = FIRST_SHARE if found is None else 1.0
        play_um = lips.backlash_um if found is None else float(np.quantile(found.play_um + found.play_sd_um, 0.6))
        small_um = self._scale * unsure * (max(room, SMALLEST_SHARE * tolerance) / max(per_um, 1e-9) + 0.5 * play_um)
        size_um = small_um
        if not self._small:
            large_um = LARGE * tolerance / max(per_um, 1e-9) + 0.5 * play_um
            travel_s = float(np.clip(self._budget_m / line.web_speed_mps / TRAVELS, *TRAVEL_S))
            size_um = max(min(large_um, 0.5 * travel_s * lips.rate_um_per_s), small_um)
        return float(min(size_um, NEIGHBOURS_SHARE * lips.neighbour_max_um, BEND_SHARE * lips.bend_max_um))

    def _hold_s(self) -> float:
        line, gauge = self.line, self.line.primary_gauge
        travel_s = 2.0 * self._amplitude_um / line.lips.rate_um_per_s
        periods = HOLD_PASSES if gauge.is_scanner else HOLD_PERIODS
        return max(HOLD_MIN_S, travel_s + 1.0, periods * gauge.period_s)

    # --- what is known -------------------------------------------------------------------------------------------

    def _looked(self) -> bool:
        """Think about what was heard, beside the loop; True once the answer is in."""
        line, recorder = self.line, self.recorder
        if self._thought is None:
            test = identify.Heard(recorder.positions(), tuple(self.blocks), self._hold_m)
            last = self.phase is Phase.LOOK and line.wet_gauge is not None
            other = recorder.seen(line.dry_gauge) if last and line.dry_gauge is not None else None
            seen = recorder.seen(line.primary_gauge)
            self._thought = self._thinker.submit(identify.identify, line, test, seen, other, self.found)
        if not self._thought.done():
            return False
        thought, self._thought = self._thought, None
        self._looks = len(self.blocks)
        failed = thought.exception()
        if failed is not None:
            self.stop(f"what was heard could not be worked out ({failed})")
            return False
        found = thought.result()
        if found is not None:
            self.found = found
            self._enough = _known(found)
        return True

    def _stuck(self) -> tuple[int, ...]:
        asked = self._asked_um > 0.0
        stuck = asked & (self._went_um < STUCK_SHARE * self._asked_um)
        stuck |= self._lost > STUCK_SHARE * max(self._cycles, 1)  # such a one is not sent any further
        return tuple(int(i) for i in np.flatnonzero(stuck))


def _known(found: Found) -> bool:
    """Whether every deviation is as small as asked for."""
    return (
        found.gain_sd <= ENOUGH["gain"] * found.gain
        and found.kernel_sd <= ENOUGH["kernel"] * found.kernel_fwhm_pitches
        and found.shift_sd <= ENOUGH["shift"]
        and found.share_sd <= ENOUGH["bolt"]
        and found.distance_sd_m <= ENOUGH["distance"] * found.distance_m
    )


def _smoothed(gauge: GaugeDescription) -> int:
    return 1 if gauge.is_scanner else max(1, round(SMOOTHED_S / gauge.period_s))


def _period_m(line: LineDescription, gauge: GaugeDescription) -> float:
    return gauge.period_s * line.web_speed_mps
