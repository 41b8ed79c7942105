"""The bounds at which evidence begins to count, and how sure a diagnosis of so much of it is.

The bounds were chosen on the families for development (`trials.DEVELOPED`), those of drifts, bows, dead bolts
and lips that stick or give after a look at runs of the others as well, which had been judged before; judgements are on
new seeds always.
"""

from __future__ import annotations

import math

DEAD_NATS, DOUBTFUL_NATS, REVERSED_NATS = 13.5, 17.0, 24.0  # of sixteen; a reversed one runs away
PLAY_NATS = 24.0  # below that it was not right once in 13 times
UNANSWERED = 0.6  # of that, where the loop has left the bolt alone by itself, for the web does not follow it
PLAINLY_MISSED = 0.75, 1.25  # times its way: neither more nor less than a dead one's
MISSED_LEAST, REVERSED_FROM, MISSED_MOST = 0.5, 1.3, 2.45  # times a suspect bolt's way that the web misses
STICK_NATS = 25.0  # of lips that stick against play that all have
JUMP_NATS = 2.8  # of lips that jump; of 280 quiet lines, 120 hours, none came to more than 1.4
LOSS_PCT, WET_JUMP_PCT, DRY_JUMP_PCT, JUMP_SIGMAS = 0.8, 0.6, 0.5, 5.0
DRIFT_SIGMAS, DRIFT_PCT = 4.0, 0.5  # of a ramp; of 24 quiet hours in a piece the most was 3.2, of 96 in short runs 4.6
DRIFT_SHARE = 0.6  # of it: where a witness sees less than that, the others have to be surer
DRIFT_LEAST = 0.3  # of it: a witness that sees less says no, as the dry gauge does where a filter clogs for hours
CLOG_PCT = 4.0
FOIL_TIMES = 2.0
BOW_SIGMAS, BOW_PCT = 3.3, 0.66  # of 24 quiet hours in a piece one bow came to 3.15 and 0.63
EDGE_PCT, EDGE_SIGMAS = 1.5, 7.0
LOCAL_SIGMAS, LOCAL_PCT = 7.5, 0.5  # on sixteen zones; more zones are more chances
RESTLESS_TIMES = 3.5  # of all zones' usual square but those of one place; quiet lines kept below 2.9
ONE_PLACE = 0.6  # of all that stands out, that a streak or lane has to be where the rest is restless, too
BENT_SIGMAS, BENT_PCT = 7.0, 0.8  # of 64 quiet lines one came to 6.9, and two beyond 5
GIVES_UM, GIVES_SIGMAS = 3.1, 4.3  # what usual lips give, with some room; of a bow that wanders anyway
PULSE_TIMES = 1.35
TURN_TIMES = 18.0
TURN_NATS = 4.0  # times the noise's median power, by which a turn explains more than the next that looks alike

# Log odds at the bound, and how they rise with the log of the strength, by groups whose evidence is alike. Fitted on
# what was named in the 384 runs judged before (seeds with 2 and 3 in front of 90000 and 80000; a third of them quiet),
# less rolls of the first. Where evidence is weighed otherwise since, the odds are of what is named in those runs now:
# dead and reversed bolts 12 of 14, stuck ones 3 of 4, drifts 4 of 4, each towards even odds by as much as few tell. Of
# 13 bolts with play none had it; they are asked more since. Lips that stick are set by hand, below the fit.
GROUPS: dict[tuple[str, ...], tuple[float, float]] = {
    ("bolt-dead", "bolt-reversed"): (1.4, 0.0),
    ("bolt-play",): (-2.2, 0.7),
    ("lip-sticks",): (1.0, 1.0),
    ("bolt-stuck", "bolt-slow", "bolt-noisy"): (1.4, 0.0),
    ("gauge-noisy", "gauge-misplaced"): (1.1, 1.1),
    ("pump-loss", "wet-jump", "filter-clogs", "slurry-temperature"): (2.9, 1.3),
    ("wet-drift",): (1.4, 0.0),
    ("dry-jump", "foil-uneven"): (0.7, 0.0),
    ("streak", "lane-clogged", "lip-bow", "lip-gives"): (-0.3, 2.5),
    ("pump-pulses", "roll-run-out"): (0.1, 0.0),
    ("unknown",): (0.0, 1.9),
}
_PLAIN = (3.4, 1.6)  # what links and scans say outright
ODDS = {cause: odds for causes, odds in GROUPS.items() for cause in causes}


def of_many(zones: int) -> float:
    """How much more one of so many has to stand out than one of sixteen: more of them are more chances."""
    return 1.0 + 0.1 * math.log2(max(zones, 16) / 16.0)


def local_sigmas(zones: int) -> float:
    """How far a zone has to stand out from its neighbours, of so many."""
    return LOCAL_SIGMAS * of_many(zones)


def probability(cause: str, strength: float) -> float:
    """That a diagnosis of this strength is right."""
    level, slope = ODDS.get(cause, _PLAIN)
    return 1.0 / (1.0 + math.exp(-(level + slope * math.log(max(strength, 1e-3)))))
