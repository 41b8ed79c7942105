"""Liveness of a link: was it heard, how old is its news, what went wrong. Receivers, bridge and nodes import it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from firmware_bridge.contract import (
    DISORDER_BUDGET,
    MAX_COUNTER_JUMP,
    SILENT_AFTER_PERIODS,
    WRONG_CRC_BUDGET,
    Telegram,
)

_TIME_ROUNDING_S = 1e-6  # times are sums of floating point steps


class LinkState(StrEnum):
    """What a link is worth now."""

    NEVER_SEEN = "never seen"
    OK = "ok"
    SILENT = "silent"
    FAULTY = "faulty"


class Verdict(StrEnum):
    """What integrity says of one frame, or of a link at one moment, in the words of AUTOSAR E2E."""

    OK = "ok"
    REPEATED = "repeated"
    WRONG_SEQUENCE = "wrong sequence"
    ERROR = "error"
    NOT_AUTHENTIC = "not authentic"  # ours: sound, and forged or played back; only where frames are authenticated
    NO_NEW_DATA = "no new data"  # of a link: a period went by and nothing whole came in


@dataclass(frozen=True, slots=True)
class LinkHealth:
    """One telegram's link at one moment. Ages in seconds of the receiver's clock, counts since it started."""

    telegram: Telegram
    node: int
    state: LinkState
    verdict: Verdict  # the E2E state: what was wrong within the last period, or whether news came in it
    age_s: float  # since the last complete telegram; infinite when there was none
    received: int  # complete telegrams
    lost: int  # frames missing by the counters
    repeated: int
    wrong_sequence: int
    wrong_crc: int
    not_authentic: int
    incomplete: int  # scans dropped because a segment did not come in by the deadline

    @property
    def is_ok(self) -> bool:
        return self.state is LinkState.OK

    @property
    def errors(self) -> dict[str, int]:
        """All that ever went wrong, by its name; nothing that never did."""
        names = ("lost", "repeated", "wrong_sequence", "wrong_crc", "not_authentic", "incomplete")
        return {name: count for name in names if (count := getattr(self, name))}


@dataclass(slots=True)
class LinkRecord:
    """The running account behind a LinkHealth. `period_s` None: an event, which may be silent for ever.

    Two buckets hold what is wrong, and frames that are right empty them one by one: `bucket` the wrong CRCs, `disorder`
    the frames out of sequence or repeated. A full one makes the link faulty, until it is empty: a link that garbles
    every other frame is not to be trusted for the frames between. The budget of disorder is a telegram's: one gap puts
    all `segments` of a telegram out of sequence.
    """

    telegram: Telegram
    node: int
    period_s: float | None
    segments: int = 1
    last_s: float | None = None
    received: int = 0
    lost: int = 0
    repeated: int = 0
    wrong_sequence: int = 0
    wrong_crc: int = 0
    not_authentic: int = 0
    incomplete: int = 0
    bucket: int = 0
    disorder: int = 0
    sound: bool = True  # nothing in the buckets
    faulty: bool = False
    counters: dict[int, int] = field(default_factory=dict)  # identifier -> last counter
    patience_s: float = field(init=False)  # silence that says nothing yet
    _wrong: Verdict = field(init=False, default=Verdict.OK)  # what was last wrong, and when
    _wrong_s: float = field(init=False, default=-math.inf)

    def __post_init__(self) -> None:
        period_s = math.inf if self.period_s is None else self.period_s
        self.patience_s = SILENT_AFTER_PERIODS * period_s + _TIME_ROUNDING_S

    def judge(self, can_id: int, counter: int, modulus: int, crc_ok: bool, now_s: float) -> Verdict:
        """Take one frame's integrity into account and say whether it may be used. Without a counter (modulus 0) nobody
        can tell a frame that repeats or is missing.
        """
        verdict = Verdict.ERROR
        if crc_ok:
            verdict = self._in_order(can_id, counter, modulus) if modulus else Verdict.OK
            self.bucket = max(self.bucket - 1, 0)
        else:
            self.wrong_crc += 1
            self.bucket = min(self.bucket + 1, WRONG_CRC_BUDGET)
        if verdict is Verdict.OK:
            self.disorder = max(self.disorder - 1, 0)
        else:
            self._wrong, self._wrong_s = verdict, now_s
        self.sound = not (self.bucket or self.disorder)
        full = self.bucket == WRONG_CRC_BUDGET or self.disorder >= DISORDER_BUDGET * self.segments
        self.faulty = full or (self.faulty and not self.sound)
        return verdict

    def distrust(self, now_s: float) -> Verdict:
        """Count a frame that is not authentic. It changes nothing else: a forger shall not take a link away."""
        self.not_authentic += 1
        self._wrong, self._wrong_s = Verdict.NOT_AUTHENTIC, now_s
        return Verdict.NOT_AUTHENTIC

    def _in_order(self, can_id: int, counter: int, modulus: int) -> Verdict:
        last = self.counters.get(can_id)
        jump = 1 if last is None else (counter - last) % modulus
        if jump == 0:
            self.repeated += 1
            self.disorder = min(self.disorder + 1, DISORDER_BUDGET * self.segments)
            return Verdict.REPEATED
        self.counters[can_id] = counter  # after a jump too far the next frame in sequence is good again
        if jump > MAX_COUNTER_JUMP:
            self.wrong_sequence += 1
            self.disorder = min(self.disorder + 1, DISORDER_BUDGET * self.segments)
            return Verdict.WRONG_SEQUENCE
        self.lost += jump - 1
        return Verdict.OK

    def state(self, now_s: float) -> LinkState:
        """What the link is worth at `now_s`."""
        if self.faulty:
            return LinkState.FAULTY
        if self.last_s is None:
            return LinkState.NEVER_SEEN
        return LinkState.SILENT if now_s - self.last_s > self.patience_s else LinkState.OK

    def verdict(self, now_s: float) -> Verdict:
        """The E2E state of the link at `now_s`: what was wrong within the last period, or else whether news came."""
        period_s = math.inf if self.period_s is None else self.period_s + _TIME_ROUNDING_S
        if self.faulty or now_s - self._wrong_s <= period_s < math.inf:
            return self._wrong
        if self.last_s is None or now_s - self.last_s > period_s:
            return Verdict.NO_NEW_DATA
        return Verdict.OK

    def health(self, now_s: float) -> LinkHealth:
        """The link's health at `now_s`, with all counts."""
        return LinkHealth(
            self.telegram,
            self.node,
            self.state(now_s),
            self.verdict(now_s),
            float("inf") if self.last_s is None else now_s - self.last_s,
            self.received,
            self.lost,
            self.repeated,
            self.wrong_sequence,
            self.wrong_crc,
            self.not_authentic,
            self.incomplete,
        )
