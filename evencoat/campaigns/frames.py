"""Ten million bad frames against the readers and receivers that run on the line, each attack with a bound of its own.

Corruption is held to what CRC-16 promises, order and replay to the counter's window, and with authentication no forged
or replayed frame may be taken at all. All patterns of up to three flipped bits in every message of the shipped DBCs are
told from the CRC's syndromes, which is exact because a CRC is linear, and checked on real frames by sample.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evencoat.campaigns.frame import Judgement, Row, Trial
from firmware_bridge.authentication import Authenticator, Key, KeyRing
from firmware_bridge.codec import Codec
from firmware_bridge.contract import AuthDescription, Integrity, Node, Telegram, WireDescription
from firmware_bridge.frames import Frame
from firmware_bridge.health import Verdict
from firmware_bridge.integrity import Crc, crc_for
from firmware_bridge.link import Receiver, Transmitter
from firmware_bridge.plan import MessagePlan

FRAMES, QUICK_FRAMES = 10_000_000, 200_000
SPOT_CHECKS, QUICK_SPOT_CHECKS = 20_000, 200  # real frames of each message
FALSE_ALARM = 1e-6  # chance that a sound wire exceeds a limit
BATCH = 4096
COUNTS = 256  # of the wire's counter
ZONES, BOXES = 140, 280  # so that every message of the shipped DBC is in use

SHARES = {  # of all frames
    "flipped bits": 0.15,
    "bursts of up to 16 bits": 0.1,
    "longer bursts": 0.1,
    "random bytes": 0.1,
    "cut short": 0.05,
    "masquerade": 0.1,
    "reordered and lost": 0.1,
    "segments mixed": 0.05,
    "replayed one by one": 0.05,
    "replayed in runs": 0.05,
    "authenticated: forged": 0.05,
    "authenticated: altered": 0.05,
    "authenticated: replayed": 0.05,
}


@dataclass(frozen=True, slots=True)
class Attack:
    """One kind of bad frame: how many, and how many were taken for good.

    `expected` is how many chance takes, None where nothing can notice it and it is here to say so. `wrong` counts what
    no chance excuses.
    """

    name: str
    frames: int
    taken: int
    bound: str
    expected: float | None
    wrong: int = 0

    @property
    def limit(self) -> float | None:
        """As many as chance exceeds once in a million campaigns."""
        return None if self.expected is None else _poisson_limit(self.expected)

    @property
    def passed(self) -> bool:
        return not self.wrong and (self.limit is None or self.taken <= self.limit)


class Frames:
    """The campaign: a trial for each attack, and one for the patterns of each shipped DBC. Three minutes on a core."""

    name = "frames"
    summary = "1e7 corrupted, reordered, replayed and forged frames, each attack with its bound; all flips of 3 bits"

    def trials(self, quick: bool) -> int:
        return len(ATTACKS) + 2

    @contextlib.contextmanager
    def open(self, folder: Path, quick: bool, anew: bool) -> Iterator[Trial]:
        """Nothing has to be made ready."""
        yield functools.partial(_trial, QUICK_FRAMES if quick else FRAMES, QUICK_SPOT_CHECKS if quick else SPOT_CHECKS)

    def judge(self, rows: Sequence[Row], folder: Path) -> Judgement:
        """Rounds of the same attack count as one; so do their limits."""
        attacks: dict[str, list[Attack]] = {}
        for row in rows:
            if "attack" in row:
                attacks.setdefault(row["attack"]["name"], []).append(Attack(**row["attack"]))
        together = [_together(rounds) for rounds in attacks.values()]
        patterns = [pattern for row in rows for pattern in row.get("patterns", ())]
        missed = sum(pattern["missed"] + pattern["spot_missed"] for pattern in patterns)
        figures = {
            "frames": sum(attack.frames for attack in together),
            "attacks": [_told(attack) for attack in together],
            "messages": len(patterns),
            "patterns": sum(pattern["patterns"] for pattern in patterns),
            "patterns_missed": missed,
            "spot_checks": sum(pattern["spot_checks"] for pattern in patterns),
        }
        limits = {"patterns_missed": 0, **{attack.name: attack.limit for attack in together}}
        broken = [f"{attack.name}: {attack.taken} taken, {_bound(attack)}" for attack in together if not attack.passed]
        return Judgement(figures, limits, (*broken, *([f"patterns_missed = {missed}, at most 0"] if missed else [])))


def _together(rounds: list[Attack]) -> Attack:
    first = rounds[0]
    expected = None if first.expected is None else math.fsum(one.expected or 0.0 for one in rounds)
    sums = [sum(getattr(one, name) for one in rounds) for name in ("frames", "taken", "wrong")]
    return Attack(first.name, sums[0], sums[1], first.bound, expected, sums[2])


def _told(attack: Attack) -> Row:
    limit = attack.limit
    told = {"attack": attack.name, "frames": attack.frames, "taken": attack.taken}
    return {**told, "limit": None if limit is None else round(limit), "bound": attack.bound}


def _bound(attack: Attack) -> str:
    if attack.wrong:
        return f"{attack.wrong} of them, or living frames refused, against what no chance excuses ({attack.bound})"
    return f"at most {attack.limit:.0f}"


def _trial(frames: int, spot_checks: int, k: int, rng: np.random.Generator) -> Row:
    place, names = k % (len(ATTACKS) + 2), list(ATTACKS)
    if place < len(names):
        name = names[place]
        attack = ATTACKS[name](name, round(frames * SHARES[name]), rng)
        return {"attack": asdict(attack), "words": f"{name}: {attack.taken} of {attack.frames} taken"}
    authenticated = place > len(names)
    patterns = _patterns(_codec(authenticated), rng, spot_checks)
    words = f"patterns of up to three bits{' with authentication' if authenticated else ''}"
    return {"patterns": patterns, "words": words}


@functools.cache
def _codec(authenticated: bool) -> Codec:
    auth = AuthDescription(Path("campaign.key")) if authenticated else None
    return Codec.compile(WireDescription(auth=auth), ZONES, BOXES, BOXES)


def _poisson_limit(expected: float) -> float:
    """The largest count that chance alone gives with more than FALSE_ALARM, of a Poisson count of this expectation."""
    count, log_likely, below = 0, -expected, math.exp(-expected)
    while 1.0 - below > FALSE_ALARM and expected > 0.0:
        count += 1
        log_likely += math.log(expected / count)
        below += math.exp(log_likely)
    return float(count)


# --- corruption --------------------------------------------------------------------------------------------------


class _Target:
    """A message and what is needed to make sound frames of it: any payload, its own segment, a right CRC."""

    def __init__(self, plan: MessagePlan) -> None:
        assert plan.header.crc is not None
        self.plan, self.bits = plan, 8 * plan.size
        self.crc_bit = plan.header.crc.shift
        self.crc: Crc = crc_for(Integrity.CRC16, self.crc_bit // 8, False, plan.can_id)

    def sound(self, rng: np.random.Generator) -> bytes:
        """A frame that passes, with a random payload."""
        data, place = bytearray(rng.bytes(self.plan.size)), self.plan.header.segment
        if place is not None:
            data[place.shift // 8] = self.plan.segment & place.mask
        return self.crc.sealed(bytes(data))


def _targets(codec: Codec) -> list[_Target]:
    return [_Target(plan) for _, plan, _ in codec.messages(list(Telegram))]


Noise = Callable[[np.random.Generator, int, int], npt.NDArray[np.uint8]]  # rng, frames, bytes -> what is xor-ed on


def _corrupted(noise: Noise, expected_share: float, bound: str) -> Callable[[str, int, np.random.Generator], Attack]:
    """An attack that spoils sound frames by `noise` and reads them with each message's own reader."""

    def attack(name: str, frames: int, rng: np.random.Generator) -> Attack:
        targets = _targets(_codec(False))
        taken = made = expected = 0
        while made < frames:
            target = targets[int(rng.integers(len(targets)))]
            count, read, size = min(BATCH, frames - made), target.plan.read, target.plan.size
            spoiled = noise(rng, count, size)
            if name == "flipped bits":  # an odd number is always found: x + 1 divides the polynomial
                expected += int(np.count_nonzero(np.bitwise_count(spoiled).sum(axis=1) % 2 == 0))
            spoiled ^= np.frombuffer(target.sound(rng), np.uint8)
            data = spoiled.tobytes()
            taken += sum(read(data[at : at + size], True) is not None for at in range(0, count * size, size))
            made += count
        likely = expected if name == "flipped bits" else frames
        return Attack(name, frames, taken, bound, likely * expected_share)

    return attack


def _flips(rng: np.random.Generator, frames: int, size: int) -> npt.NDArray[np.uint8]:
    """Four to 32 bits anywhere, each frame its own."""
    bits = np.zeros((frames, 8 * size), np.uint8)
    order = rng.random((frames, 8 * size), dtype=np.float32)
    weights = rng.integers(4, 33, frames)
    nearest = rng.permuted(np.argpartition(order, 32, axis=1)[:, :32], axis=1)
    for place in range(32):
        chosen = weights > place
        bits[chosen, nearest[chosen, place]] = 1
    return np.packbits(bits, axis=1)


def _burst(low: int, high: int) -> Noise:
    """Bits of one stretch of `low` to `high`, its two ends wrong and what lies between at random.

    In the order in which the CRC runs over a frame; the CRC's own bytes are left alone, for they stand in front.
    """

    def noise(rng: np.random.Generator, frames: int, size: int) -> npt.NDArray[np.uint8]:
        bits = np.zeros((frames, 8 * size), np.uint8)
        lengths = rng.integers(low, high + 1, frames)
        starts = rng.integers(24, 8 * size - lengths + 1)  # behind the CRC, wherever the message has it
        places = np.arange(high)
        inside = places < lengths[:, None]
        wrong = (rng.random((frames, high)) < 0.5) & inside
        wrong[:, 0] = True
        wrong[np.arange(frames), lengths - 1] = True
        row, place = np.nonzero(wrong)
        bits[row, starts[row] + place] = 1
        return np.packbits(bits, axis=1)

    return noise


def _anything(rng: np.random.Generator, frames: int, size: int) -> npt.NDArray[np.uint8]:
    """A whole frame of random bytes."""
    return rng.integers(0, 256, (frames, size), dtype=np.uint8)


def _cut_short(name: str, frames: int, rng: np.random.Generator) -> Attack:
    """Sound frames that lost their end, and classic ones in FD's place."""
    targets = _targets(_codec(False))
    taken = 0
    for _ in range(frames):
        target = targets[int(rng.integers(len(targets)))]
        length = int(rng.integers(target.plan.size + 1))
        whole = length == target.plan.size
        taken += target.plan.read(target.sound(rng)[:length], not whole) is not None
    return Attack(name, frames, taken, "0: the length is checked", 0.0)


def _masquerade(name: str, frames: int, rng: np.random.Generator) -> Attack:
    """Sound frames of one message under the identifier of another of the same or a shorter length.

    Under one of the same length the data id differs in at most sixteen bits, which a CRC-16 always finds; under a
    shorter one the frame is cut, as padding would be, and only chance is left.
    """
    targets = _targets(_codec(False))
    pairs = [(one, other) for one in targets for other in targets if one is not other]
    pairs = [(one, other) for one, other in pairs if one.plan.size >= other.plan.size]
    taken = taken_same = likely = 0
    for _ in range(frames):
        one, other = pairs[int(rng.integers(len(pairs)))]
        found = other.plan.read(one.sound(rng), True) is not None
        same = one.plan.size == other.plan.size and one.crc_bit == other.crc_bit
        likely += not same
        taken += found
        taken_same += found and same
    return Attack(name, frames, taken, "0 among messages of one length, else 2^-16 a frame", likely / 65536, taken_same)


# --- order and replay, without authentication --------------------------------------------------------------------


def _commands(transmitter: Transmitter) -> Iterator[Frame]:
    """Pump commands numbered in their scan id."""
    number = 0
    while True:
        yield from transmitter.frames(Telegram.PUMP_COMMAND, {"ratio_rpm_per_mps": 112.0, "trim_pct": 0.0}, number)
        number += 1


def _reordered(name: str, frames: int, rng: np.random.Generator) -> Attack:
    """A stream in which frames are lost and overtake each other by up to fifty.

    The counter's window, as E2E has it, follows every sound frame: one is taken when it is one or two ahead of the
    frame that came before it, so that two late ones in a row are in sequence. How many of those there were is told.
    """
    codec = _codec(False)
    source, receiver = _commands(Transmitter(codec)), Receiver(codec, [Telegram.PUMP_COMMAND], {})
    taken = late = made = 0
    newest, before = -1, -1
    while made < frames:
        stretch = [next(source) for _ in range(min(BATCH, frames - made))]
        reach = int(rng.integers(1, 51))
        order = np.argsort(np.arange(len(stretch)) + reach * rng.random(len(stretch)))
        kept = order[rng.random(len(stretch)) > rng.choice([0.0, 0.01, 0.3])]
        for at in kept.tolist():
            message = receiver.feed(stretch[at], 0.0)
            number = made + at  # which is what the counter counts, too
            if message is not None:
                taken += before >= 0 and (number - before) % COUNTS not in (1, 2)
                late += message.scan_id < newest
                newest = max(newest, message.scan_id)
            before = number
        made += len(stretch)
    bound = f"0 but one or two ahead of the frame before; {late} of these late, in a row with another"
    return Attack(name, frames, taken, bound, 0.0)


def _mixed(name: str, frames: int, rng: np.random.Generator) -> Attack:
    """Segments of scans, lost, repeated and shuffled: a profile handed on is one that was sent, whole."""
    codec = _codec(False)
    transmitter, receiver = Transmitter(codec), Receiver(codec, [Telegram.WET_PROFILE], {Telegram.WET_PROFILE: 0.1})
    taken = made = number = 0
    while made < frames:
        stretch: list[Frame] = []
        for _ in range(64):
            film_um = np.full(BOXES, 100.0 + number % 500)
            stretch += transmitter.frames(Telegram.WET_PROFILE, {"film_um": film_um}, number)
            number += 1
        reach = float(rng.choice([1.0, 3.0, 12.0]))
        order = np.argsort(np.arange(len(stretch)) + reach * rng.random(len(stretch)))
        times = np.where(rng.random(len(stretch)) < 0.02, 2, 1) * (rng.random(len(stretch)) > 0.02)
        for at in np.repeat(order, times[order]).tolist():
            message = receiver.feed(stretch[at], 0.1 * number)
            if message is not None:
                film_um = np.asarray(message.fields["film_um"])
                taken += not (film_um == 100.0 + message.scan_id % 500).all()
        made += len(stretch)
    return Attack(name, made, taken, "0: segments of one scan id only", 0.0)


def _replayed(name: str, frames: int, rng: np.random.Generator) -> Attack:
    """Between living frames one of 4096 recorded ones, or a run of two to ten of them."""
    codec, in_runs = _codec(False), name.endswith("runs")
    source, receiver = _commands(Transmitter(codec)), Receiver(codec, [Telegram.PUMP_COMMAND], {})
    recorded = [next(source) for _ in range(BATCH)]
    for frame in recorded:
        receiver.feed(frame, 0.0)
    taken = made = 0
    while made < frames:
        start, length = int(rng.integers(BATCH - 11)), int(rng.integers(2, 11)) if in_runs else 1
        for frame in recorded[start : start + length]:
            receiver.feed(frame, 0.0)
            taken += receiver.verdict is Verdict.OK
        made += length
        for _ in range(4 + int(rng.integers(8))):  # enough that the link stays sound
            frame = next(source)
            receiver.feed(frame, 0.0)
            if not in_runs:
                recorded[int(rng.integers(BATCH))] = frame
    if in_runs:
        return Attack(name, made, taken, "none: after the first frame of a run the next are in sequence", None)
    return Attack(name, made, taken, "2 in 256 a frame: the counter's window", made * 2 / COUNTS)


# --- with authentication -----------------------------------------------------------------------------------------


TOLD: dict[Telegram, dict[str, Any]] = {
    Telegram.PUMP_COMMAND: {"ratio_rpm_per_mps": 112.0, "trim_pct": 0.0},
    Telegram.DIE_COMMAND: {"gap_um": np.full(ZONES, 600.0)},
    Telegram.REARM: {"epoch": 5},
    Telegram.SAFE_STOP: {"reason": 1, "epoch": 5},
    Telegram.PUMP_FEEDBACK: {
        "ratio_rpm_per_mps": 112.0,
        "trim_pct": 0.0,
        "speed_rpm": 100.0,
        "pressure_kpa": 80.0,
        "temperature_c": 20.0,
    },
    Telegram.HEARTBEAT: {"state": 5, "epoch": 5, "uptime_s": 1},
}


class _Signed:
    """An authenticated line of which everything is heard: a node of each kind, and a receiver that believes them."""

    def __init__(self) -> None:
        self.codec, ring = _codec(True), KeyRing([Key(1, bytes(range(16)))])
        self.transmitter = Transmitter(self.codec, Authenticator(ring, 5, 0.1))
        self._auth = Authenticator(ring, 1, 0.1)
        self.receiver = Receiver(self.codec, list(Telegram), {}, self._auth)
        self.plans = {plan.can_id: plan for _, plan, _ in self.codec.messages(list(Telegram))}
        self.honest = self.refused = self.number = 0
        for _ in range(10):
            for node in (Node.CONTROLLER, Node.PUMP, Node.DIE):
                self.hear(self.beat(node))
            self._auth.end_of_read()
        self.honest = self.refused = 0

    def beat(self, node: Node) -> list[Frame]:
        return self.transmitter.frames(Telegram.HEARTBEAT, TOLD[Telegram.HEARTBEAT], node=int(node))

    def hear(self, frames: list[Frame]) -> list[Frame]:
        """Living frames: all of them must be taken."""
        for frame in frames:
            self.receiver.feed(frame, 0.0)
            self.honest += 1
            self.refused += self.receiver.verdict is not Verdict.OK
        return frames

    def turn(self) -> list[Frame]:
        """One round of what the line says: every telegram once."""
        said: list[Frame] = []
        for telegram, told in TOLD.items():
            node = int(Node.PUMP) if telegram in (Telegram.SAFE_STOP, Telegram.HEARTBEAT) else 0
            said += self.hear(self.transmitter.frames(telegram, told, self.number, node))
        self.number += 1
        return said + self.hear(self.beat(Node.CONTROLLER))

    def takes(self, can_id: int, data: bytes) -> bool:
        self.receiver.verdict = None
        self.receiver.feed(Frame(can_id, data), 0.0)
        return self.receiver.verdict is Verdict.OK

    def attack(self, name: str, frames: int, taken: int) -> Attack:
        """The figures; living frames that were refused meanwhile count as a failure too."""
        bound = f"0 of 2^-48 a frame; {self.honest} living frames between them, {self.refused} refused"
        return Attack(name, frames, taken, bound, 0.0, self.refused)


def _forged(name: str, frames: int, rng: np.random.Generator) -> Attack:
    """Frames made from nothing but the DBC: any payload, the next freshness, a guessed MAC, a right CRC."""
    line = _Signed()
    taken = made = 0
    while made < frames:
        said = line.turn()
        for _ in range(16):
            for frame in said:
                seal = line.plans[frame.can_id].seal
                assert seal is not None
                data = bytearray(frame.data)
                data[8 : seal.freshness_at] = rng.bytes(seal.freshness_at - 8)
                told = (seal.told(frame.data) + int(rng.integers(1, 40))) % (1 << 8 * seal.freshness_bytes)
                data[seal.freshness_at : seal.mac_at] = told.to_bytes(seal.freshness_bytes, seal.order)
                data[seal.mac_at :] = rng.bytes(len(data) - seal.mac_at)
                taken += line.takes(frame.can_id, seal.resealed(bytes(data)))
                made += 1
    return line.attack(name, made, taken)


def _altered(name: str, frames: int, rng: np.random.Generator) -> Attack:
    """Living frames changed on their way, CRC put right: some bits, the freshness or the identifier; then the frame."""
    line = _Signed()
    by_size: dict[int, list[MessagePlan]] = {}
    for plan in line.plans.values():
        by_size.setdefault(plan.size, []).append(plan)
    taken = made = 0
    while made < frames:
        for telegram, told in TOLD.items():
            node = int(Node.PUMP) if telegram in (Telegram.SAFE_STOP, Telegram.HEARTBEAT) else 0
            for frame in line.transmitter.frames(telegram, told, line.number, node):
                for _ in range(8):
                    taken += line.takes(*_changed(line.plans[frame.can_id], frame.data, by_size, rng))
                made += 8
                line.hear([frame])
        line.hear(line.beat(Node.CONTROLLER))
    return line.attack(name, made, taken)


def _changed(
    plan: MessagePlan, data: bytes, by_size: dict[int, list[MessagePlan]], rng: np.random.Generator
) -> tuple[int, bytes]:
    """Identifier and bytes of a frame that somebody changed and sealed with a CRC as good as any."""
    body, others = bytearray(data), [other for other in by_size[plan.size] if other.can_id != plan.can_id]
    kind = int(rng.integers(3)) if others else int(rng.integers(2))
    assert plan.seal is not None
    if kind == 0:
        for bit in rng.choice(8 * (plan.size - 3), int(rng.integers(1, 9)), replace=False).tolist():
            body[3 + bit // 8] ^= 1 << bit % 8  # behind the CRC, wherever the message has it
    elif kind == 1:
        at = plan.seal.freshness_at + int(rng.integers(plan.seal.freshness_bytes))
        body[at] = (body[at] + int(rng.integers(1, 256))) % 256
    else:
        plan = others[int(rng.integers(len(others)))]
        assert plan.seal is not None
        if plan.header.segment is not None:
            body[plan.header.segment.shift // 8] = plan.segment
    assert plan.seal is not None
    return plan.can_id, plan.seal.resealed(bytes(body))


def _replayed_signed(name: str, frames: int, rng: np.random.Generator) -> Attack:
    """Everything that was ever said, again: one by one, in runs, and the last frame of each message."""
    line = _Signed()
    recorded = [frame for _ in range(400) for frame in line.turn()]
    taken = made = 0
    while made < frames:
        start, length = int(rng.integers(len(recorded) - 60)), int(rng.integers(1, 60))
        for frame in recorded[start : start + length]:
            taken += line.takes(frame.can_id, frame.data)
        made += length
        said = line.turn()
        for frame in said:
            taken += line.takes(frame.can_id, frame.data)  # the very last one, again
        made += len(said)
        recorded[start : start + len(said)] = said
    return line.attack(name, made, taken)


# --- every pattern of up to three bits ---------------------------------------------------------------------------


def _patterns(codec: Codec, rng: np.random.Generator, spot_checks: int) -> list[dict[str, int]]:
    """Each message: how many patterns of one to three flipped bits there are, and how many pass unseen.

    A CRC is linear: what a pattern does to it is the exclusive or of what its bits do, the syndromes. One bit passes
    when its syndrome is zero, two when theirs are equal, three when two give the third.
    """
    rows = []
    for target in _targets(codec):
        syndromes = _syndromes(target)
        count = syndromes.size
        first, second = np.triu_indices(count, 1)
        pairs = syndromes[first] ^ syndromes[second]
        where = np.full(1 << 16, -1)
        where[syndromes] = np.arange(count)
        third = where[pairs]
        triples = int(np.count_nonzero((third >= 0) & (third != first) & (third != second))) // 3
        missed = int(np.count_nonzero(syndromes == 0)) + int(np.count_nonzero(pairs == 0)) + triples
        rows.append(
            {
                "patterns": count + math.comb(count, 2) + math.comb(count, 3),
                "missed": missed,
                "spot_checks": spot_checks,
                "spot_missed": _spot(target, rng, spot_checks),
            }
        )
    return rows


def _syndromes(target: _Target) -> npt.NDArray[np.int64]:
    """What each bit of a frame does to the difference of the CRC that it carries and the one that it should carry."""
    size, at = target.plan.size, target.crc_bit // 8
    empty = target.crc.of(bytes(size))

    def syndrome(bit: int) -> int:
        number = (1 << bit).to_bytes(size, "little")
        return target.crc.of(number) ^ empty ^ int.from_bytes(number[at : at + 2], "little")

    return np.array([syndrome(bit) for bit in range(8 * size)], dtype=np.int64)


def _spot(target: _Target, rng: np.random.Generator, count: int) -> int:
    """Real frames with one to three real flips through the message's reader; how many it takes."""
    taken = 0
    read, size, sound = target.plan.read, target.plan.size, int.from_bytes(target.sound(rng), "little")
    for bits in _some_patterns(rng, 8 * size, count):
        taken += read((sound ^ bits).to_bytes(size, "little"), True) is not None
    return taken


def _some_patterns(rng: np.random.Generator, bits: int, count: int) -> Iterator[int]:
    chosen = rng.integers(0, bits, (count, 3)).tolist()
    for first, second, third in chosen:
        yield 1 << first
        if first != second:
            yield 1 << first | 1 << second
        if len({first, second, third}) == 3:
            yield 1 << first | 1 << second | 1 << third


ATTACKS: dict[str, Callable[[str, int, np.random.Generator], Attack]] = {
    "flipped bits": _corrupted(_flips, 2.0**-15, "0 for an odd number of bits, 2^-15 for an even one"),
    "bursts of up to 16 bits": _corrupted(_burst(2, 16), 0.0, "0: shorter than the CRC"),
    "longer bursts": _corrupted(_burst(17, 64), 2.0**-15, "2^-15 a frame"),
    "random bytes": _corrupted(_anything, 2.0**-16, "2^-16 a frame"),
    "cut short": _cut_short,
    "masquerade": _masquerade,
    "reordered and lost": _reordered,
    "segments mixed": _mixed,
    "replayed one by one": _replayed,
    "replayed in runs": _replayed,
    "authenticated: forged": _forged,
    "authenticated: altered": _altered,
    "authenticated: replayed": _replayed_signed,
}
