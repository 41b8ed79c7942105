"""The pump's pressure as a flow meter: how the mean moved before the gauge next to the die can see it.

In the die ln P = n ln Q + what the slurry is like, so `pressed` = ln P / n - ln(pump speed) is what the pump loses or
gains, at once and with every pulse, plus the slurry's rheology, which nobody knows but which drifts slowly. Where the
wet gauge sees the same metre, the two differ by the rheology alone: pulse and slip cancel. A Kalman filter of two
states, film and rheology, takes both there; from there to the die the film is what the pressure says of it, as far as
the film drifts faster than the rheology. While a new batch comes the rheology runs, the pressure tells nothing of the
film, and its share goes to nothing by itself; what it then tells is the batch's course (`course`).

A line without a pressure sensor, or with one that stands still, has no flow meter, and everything is as without it.
All is in log areal density; time is web passed, in seconds at nominal speed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from controller.line.description import Array
from controller.line.profile import LineInputs

PACE_S = 0.45  # of web: pulses are as good as new after this, and faster looks would take them for drift
BLOCKS = 100  # of the memory between die and gauge
FROZEN_AFTER = 200  # readings alike: no sensor under a pulsing pump stands still
SPIKE = 0.1  # no slurry changes its rheology by so much between two blocks; a sensor may
LONGEST_GAP_S = 10.0  # without pressure: then begin anew
LEADS = 0.25  # share of the newest surprise in the lead that readings have over what is believed
STEP2 = 2.3  # its square over what is expected of one surprise: four standard deviations of the lead; then it stepped
STRETCH_S = 15.0  # of web over which the rheology is watched drifting
STRETCHES_AT_FIRST, STRETCHES_KEPT = 4.0, 0.99  # what is believed at first weighs as much; share kept at each
RHEOLOGY_MOST = 1e-5  # of its drift between batches, log^2/s
LEARNT_OVER = 600.0  # blocks over which noise is learnt; what is believed at first weighs as much as
AT_FIRST = 60.0  # blocks
MOST = 0.6e-4  # of what is learnt of noise, log^2
LEAST = 0.003e-4
WILD = 3e-4  # one product counts for no more


@dataclass(frozen=True, slots=True)
class Meter:
    """Constants. Rates log^2/s: how fast film and rheology drift; pulse2, own2: of pump and wet gauge, log^2."""

    flow_index: float
    film_rate: float
    rheology_rate: float
    pulse2: float
    own2: float
    speed_mps: float
    pace_m: float
    slowest_rpm: float


class White(NamedTuple):
    """White noise in a series that drifts: minus the mean product of neighbouring changes."""

    value: float
    change: float
    variance: float
    looks: int


class Drift(NamedTuple):
    """How fast the rheology drifts between batches: belief, its variance and place where a stretch began, and sums of
    what was found, log^2/s, and of how many stretches."""

    rheology: float
    rheology2: float
    at_m: float
    found: float
    stretches: float

    @property
    def rate(self) -> float:
        """Of this line, log^2/s; within bounds."""
        return min(self.found / self.stretches, RHEOLOGY_MOST)


class Film(NamedTuple):
    """Film and rheology at the newest metre that the wet gauge has seen, with their covariance; log, log^2."""

    film: float
    rheology: float
    film2: float
    both: float
    rheology2: float
    at_m: float
    apart: White  # of pressure and wet gauge
    drift: Drift
    lead: float = 0.0


class Flow(NamedTuple):
    """What is remembered. memory (5, blocks): middle of each block of web, m, what was pressed, the rheology's drift
    summed up to it, how far the film was followed, and its drift that was not. smooth, smooth2: pressed without its
    pulses, and its variance."""

    memory: Array
    filled: int
    begun_m: float
    total: float
    parts: int
    newest: float
    alike: int
    smooth: float
    smooth2: float
    lead: float
    pulses: White
    wet_m: float  # sums of an open block of wet readings: places and values
    wet: float
    wets: int
    film: Film


def none(meter: Meter) -> Flow:
    """Nothing heard yet."""
    drift = Drift(0.0, 0.0, math.nan, STRETCHES_AT_FIRST * meter.rheology_rate, STRETCHES_AT_FIRST)
    film = Film(0.0, 0.0, 1.0, 0.0, 1.0, math.nan, White(0.0, 0.0, meter.own2, 0), drift)
    pulses = White(0.0, 0.0, meter.pulse2, 0)
    memory = np.zeros((5, BLOCKS + 8))
    return Flow(memory, 0, math.nan, 0.0, 0, math.nan, 0, 0.0, 1.0, 0.0, pulses, 0.0, 0.0, 0, film)


def pressed(meter: Meter, inputs: LineInputs) -> float:
    """ln P / n - ln(pump speed); NaN where no sensor speaks, or pump or web stand."""
    pressure, rpm = inputs.pump_pressure_kpa, inputs.pump_speed_rpm
    if not (pressure > 0.0 and math.isfinite(pressure) and rpm > meter.slowest_rpm and inputs.encoder_valid):
        return math.nan
    return math.log(pressure) / meter.flow_index - math.log(rpm)


def closes(meter: Meter, flow: Flow, web_m: float) -> bool:
    """Whether what is heard at this place of the web fills the open block."""
    return meter.pace_m <= web_m - flow.begun_m < LONGEST_GAP_S * meter.speed_mps


def heard(meter: Meter, flow: Flow, value: float, web_m: float, runs2: float) -> tuple[Flow, bool]:
    """Take in what was `pressed` this cycle; says whether a block was closed.

    runs2: how fast the rheology drifts now beyond the usual, log^2/s. A spike is let go; without a value for long all
    begins anew.
    """
    alike = flow.alike + 1 if value == flow.newest else 0
    frozen, wild = alike >= FROZEN_AFTER, bool(flow.filled) and abs(value - flow.pulses.value) > SPIKE
    if math.isnan(value) or frozen or wild:
        if math.isnan(flow.begun_m):
            return flow._replace(newest=value, alike=alike), False
        away = not 0.0 <= web_m - flow.begun_m < LONGEST_GAP_S * meter.speed_mps
        return (none(meter) if away or frozen else flow)._replace(newest=value, alike=alike), False
    if not 0.0 <= web_m - flow.begun_m < LONGEST_GAP_S * meter.speed_mps:
        return none(meter)._replace(begun_m=web_m, newest=value), False
    total, parts, passed_m = flow.total + value, flow.parts + 1, web_m - flow.begun_m
    if passed_m < meter.pace_m:
        return flow._replace(total=total, parts=parts, newest=value, alike=alike), False
    return _closed(meter, flow, total / parts, web_m, passed_m / meter.speed_mps, runs2)._replace(
        newest=value, alike=alike
    ), True


def _closed(meter: Meter, flow: Flow, mean: float, web_m: float, passed_s: float, runs2: float) -> Flow:
    """The block is full: remember it and move the smooth value."""
    rheology2 = (flow.film.drift.rate + runs2) * passed_s
    memory = np.empty_like(flow.memory)
    memory[:, :-1] = flow.memory[:, 1:]
    memory[0, -1], memory[1, -1] = 0.5 * (web_m + flow.begun_m), mean
    memory[2:, -1] = flow.memory[2:, -1]
    memory[2, -1] += rheology2
    pulses = flow.pulses
    if not flow.filled:
        return flow._replace(
            memory=memory, filled=1, begun_m=web_m, total=0.0, parts=0, smooth=mean, pulses=pulses._replace(value=mean)
        )
    pulses = white(pulses, mean, runs2 > meter.film_rate)
    prior = flow.smooth2 + meter.film_rate * passed_s + rheology2
    lead, stepped2 = led(flow.lead, mean - flow.smooth, prior + pulses.variance)
    prior += stepped2
    gain = prior / (prior + pulses.variance)
    smooth, film2 = flow.smooth + gain * (mean - flow.smooth), meter.film_rate * passed_s
    share = film2 / (film2 + rheology2)
    memory[3, -1] += share * (smooth - flow.smooth)
    memory[4, -1] += (1.0 - share) * film2
    return flow._replace(
        memory=memory,
        filled=min(flow.filled + 1, memory.shape[1]),
        begun_m=web_m,
        total=0.0,
        parts=0,
        smooth=smooth,
        smooth2=gain * pulses.variance,
        lead=lead,
        pulses=pulses,
    )


def led(lead: float, missed: float, expected2: float) -> tuple[float, float]:
    """How far readings lead what is believed, and the variance that a step of it adds to the belief, log^2.

    Surprises that keep to one side are no noise: the pump has slipped, and the belief's certainty is none.
    """
    lead += LEADS * (missed - lead)
    return lead, lead * lead if lead * lead > STEP2 * expected2 else 0.0


def white(noise: White, value: float, running: bool) -> White:
    """The noise after one more value; nothing is learnt while the series runs away. Kept within LEAST and MOST."""
    change = value - noise.value
    if running or not noise.looks:
        return White(value, change, noise.variance, noise.looks + 1)
    product = min(max(-change * noise.change, -WILD), WILD)
    share = 1.0 / min(AT_FIRST + noise.looks, LEARNT_OVER)
    variance = noise.variance + share * (product - noise.variance)
    return White(value, change, min(max(variance, LEAST), MOST), noise.looks + 1)


def held(flow: Flow, web_m: float) -> bool:
    """Whether the pressure at a place of the web is remembered."""
    return flow.filled > 1 and bool(flow.memory[0, -flow.filled] <= web_m <= flow.memory[0, -1])


def recalled(flow: Flow, web_m: float) -> list[float]:
    """The memory at a place of the web: place, pressed, drift of the rheology, followed, drift not followed."""
    known = flow.memory[:, -flow.filled :]
    high = min(max(int(known[0].searchsorted(web_m)), 1), flow.filled - 1)
    before, after = float(known[0, high - 1]), float(known[0, high])
    share = min(max((web_m - before) / max(after - before, 1e-9), 0.0), 1.0)
    found: list[float] = (known[:, high - 1] + share * (known[:, high] - known[:, high - 1])).tolist()
    return found


def met(meter: Meter, flow: Flow, reading: float, at_m: float) -> tuple[Flow, float]:
    """Take in what the wet gauge read of the metre at_m, log, less what the actuators did.

    Answers with how far pressure and gauge stand apart once a block of readings is full, else NaN.
    """
    wet_m, wet, wets = flow.wet_m + at_m, flow.wet + reading, flow.wets + 1
    middle_m = wet_m / wets
    if at_m - flow.film.at_m < meter.pace_m:
        return flow._replace(wet_m=wet_m, wet=wet, wets=wets), math.nan
    flow = flow._replace(wet_m=0.0, wet=0.0, wets=0)
    if not held(flow, middle_m):
        return flow, math.nan
    _, value, drift, _, _ = recalled(flow, middle_m)
    known = flow.film
    if not 0.0 < middle_m - known.at_m < LONGEST_GAP_S * meter.speed_mps:
        film = Film(wet / wets, value - wet / wets, MOST, -MOST, 2.0 * MOST, middle_m, known.apart, known.drift)
        return flow._replace(film=film), value - wet / wets
    before = recalled(flow, known.at_m)[2]
    passed_s = (middle_m - known.at_m) / meter.speed_mps
    film = _together(meter, known, (value, value - wet / wets, middle_m), passed_s, drift - before, flow.pulses)
    return flow._replace(film=film), value - wet / wets


def _together(
    meter: Meter, known: Film, told: tuple[float, float, float], passed_s: float, rheology2: float, pulses: White
) -> Film:
    """Film and rheology after both have spoken of one metre: what lies between them, then the pressure."""
    value, between, at_m = told
    running = rheology2 > 2.0 * known.drift.rate * passed_s
    apart = white(known.apart, between, running)
    own2 = max(apart.variance, meter.own2)
    film2, rheology2 = known.film2 + meter.film_rate * passed_s, known.rheology2 + rheology2
    expected, missed = rheology2 + own2, between - known.rheology
    film = known.film + known.both / expected * missed
    rheology = known.rheology + rheology2 / expected * missed
    film2 -= known.both * known.both / expected
    both, rheology2 = known.both * own2 / expected, rheology2 * own2 / expected
    missed = value - film - rheology
    lead, stepped2 = led(known.lead, missed, film2 + 2.0 * both + rheology2 + pulses.variance)
    film2 += stepped2
    of_film, of_rheology = film2 + both, both + rheology2
    expected = of_film + of_rheology + pulses.variance
    told_of = Film(
        film=film + of_film / expected * missed,
        rheology=rheology + of_rheology / expected * missed,
        film2=max(film2 - of_film * of_film / expected, 0.0),
        both=both - of_film * of_rheology / expected,
        rheology2=max(rheology2 - of_rheology * of_rheology / expected, 0.0),
        at_m=at_m,
        apart=apart,
        drift=known.drift,
        lead=lead,
    )
    return told_of._replace(drift=_drifted(meter, told_of, running))


def _drifted(meter: Meter, film: Film, running: bool) -> Drift:
    """What the newest belief tells of the rheology's drift: over a stretch it moved by what drifted, and by what it was
    unsure of before less what it is after. A stretch in which a batch came tells nothing."""
    known, passed_s = film.drift, (film.at_m - film.drift.at_m) / meter.speed_mps
    if not running and 0.0 <= passed_s < STRETCH_S:
        return known
    found, stretches = known.found, known.stretches
    if not running and STRETCH_S <= passed_s < 2.0 * STRETCH_S:
        moved = film.rheology - known.rheology
        rate = max(moved * moved + film.rheology2 - known.rheology2, 0.0) / passed_s
        found = max(STRETCHES_KEPT * found + rate, STRETCHES_AT_FIRST * meter.rheology_rate)
        stretches = STRETCHES_KEPT * stretches + 1.0
    return Drift(film.rheology, film.rheology2, math.nan if running else film.at_m, found, stretches)


def film_now(meter: Meter, flow: Flow, otherwise: float) -> float:
    """What the film is at the die, as far as wet gauge and pressure tell together; `otherwise` without a meter."""
    known = flow.film
    if not held(flow, known.at_m):
        return otherwise
    passed_s = (float(flow.memory[0, -1]) - known.at_m) / meter.speed_mps
    drift2 = meter.film_rate * passed_s
    rheology2 = float(flow.memory[2, -1]) - recalled(flow, known.at_m)[2]
    of_film, of_rheology = known.film2 + known.both + drift2, known.both + known.rheology2 + rheology2
    share = of_film / (of_film + of_rheology + flow.smooth2)
    return known.film + share * (flow.smooth - known.film - known.rheology)


def followed(flow: Flow, web_m: float) -> tuple[float, float]:
    """How far pressure has followed the film up to a place of the web, log, and what it has left out, log^2."""
    if not held(flow, web_m):
        return 0.0, math.nan
    _, _, _, film, left_out = recalled(flow, web_m)
    return film, left_out
