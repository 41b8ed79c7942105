"""Liveness of a link: was it heard, how old is its news, what went wrong. Receivers, bridge and nodes import it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from firmware_bridge.contract import MAX_COUNTER_JUMP, SILENT_AFTER_PERIODS, WRONG_CRC_BUDGET, Telegram

_TIME_ROUNDING_S = 1e-6  # times are sums of floating point steps


class LinkState(StrEnum):
    """What a link is worth now."""

    NEVER_SEEN = "never seen"
    OK = "ok"
    SILENT = "silent"
    FAULTY = "faulty"


class Verdict(StrEnum):
    """What integrity says of one frame, in the words of AUTOSAR E2E."""

    OK = "ok"
    REPEATED = "repeated"
    WRONG_SEQUENCE = "wrong sequence"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class LinkHealth:
    """One telegram's link at one moment. Ages in seconds of the receiver's clock, counts since it started."""

    telegram: Telegram
    node: int
    state: LinkState
    age_s: float  # since the last complete telegram; infinite when there was none
    received: int  # complete telegrams
    lost: int  # frames missing by the counters
    repeated: int
    wrong_sequence: int
    wrong_crc: int
    incomplete: int  # scans dropped because a segment did not come in by the deadline

    @property
    def is_ok(self) -> bool:
        return self.state is LinkState.OK


@dataclass(slots=True)
class LinkRecord:
    """The running account behind a LinkHealth. `period_s` None: an event, which may be silent for ever.

    Wrong CRCs fill a bucket, right ones empty it one by one. At WRONG_CRC_BUDGET the link is faulty, and stays so until
    the bucket is empty: a link that garbles every other frame is not to be trusted for the frames between.
    """

    telegram: Telegram
    node: int
    period_s: float | None
    last_s: float | None = None
    received: int = 0
    lost: int = 0
    repeated: int = 0
    wrong_sequence: int = 0
    wrong_crc: int = 0
    incomplete: int = 0
    bucket: int = 0
    faulty: bool = False
    counters: dict[int, int] = field(default_factory=dict)  # identifier -> last counter
    patience_s: float = field(init=False)  # silence that says nothing yet

    def __post_init__(self) -> None:
        period_s = math.inf if self.period_s is None else self.period_s
        self.patience_s = SILENT_AFTER_PERIODS * period_s + _TIME_ROUNDING_S

    def judge(self, can_id: int, counter: int, modulus: int, crc_ok: bool) -> Verdict:
        """Take one frame's integrity into account and say whether it may be used."""
        if not crc_ok:
            self.wrong_crc += 1
            self.bucket = min(self.bucket + 1, WRONG_CRC_BUDGET)
            self.faulty = self.faulty or self.bucket == WRONG_CRC_BUDGET
            return Verdict.ERROR
        if self.bucket:
            self.bucket -= 1
            self.faulty = self.faulty and self.bucket > 0
        last = self.counters.get(can_id)
        if last is None:
            self.counters[can_id] = counter
            return Verdict.OK
        jump = (counter - last) % modulus
        if jump == 0:
            self.repeated += 1
            return Verdict.REPEATED
        self.counters[can_id] = counter  # after a jump too far the next frame in sequence is good again
        if jump > MAX_COUNTER_JUMP:
            self.wrong_sequence += 1
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

    def health(self, now_s: float) -> LinkHealth:
        """The link's health at `now_s`, with all counts."""
        return LinkHealth(
            self.telegram,
            self.node,
            self.state(now_s),
            float("inf") if self.last_s is None else now_s - self.last_s,
            self.received,
            self.lost,
            self.repeated,
            self.wrong_sequence,
            self.wrong_crc,
            self.incomplete,
        )
