"""The campaign of bad frames keeps its bounds, and breaks them where the wire is made worse: it can fail."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evencoat.campaigns import frames
from evencoat.campaigns.frame import CampaignPlan, run
from firmware_bridge import health
from firmware_bridge.authentication import KeyRing
from firmware_bridge.contract import Telegram

SOME = 4000


def attack(name: str, count: int = SOME, seed: int = 1) -> frames.Attack:
    return frames.ATTACKS[name](name, count, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    before, frames.QUICK_FRAMES = frames.QUICK_FRAMES, 30_000
    try:
        return run(frames.Frames(), CampaignPlan(True, 7, tmp_path_factory.mktemp("frames")), lambda *_: None)
    finally:
        frames.QUICK_FRAMES = before


def test_every_bound_is_kept_and_everything_was_tried(result: dict[str, Any]) -> None:
    assert result["passed"] and not result["broken"]
    attacks = {row["attack"]: row for row in result["figures"]["attacks"]}
    assert set(attacks) == set(frames.SHARES) == set(frames.ATTACKS)
    assert sum(frames.SHARES.values()) == pytest.approx(1.0)
    assert result["figures"]["frames"] >= 30_000 and all(row["frames"] > 0 for row in attacks.values())
    unheld = [name for name, row in attacks.items() if row["limit"] is None]
    assert unheld == ["replayed in runs"]  # the one that nothing notices, and it is taken
    assert attacks[unheld[0]]["taken"] > 0


def test_all_patterns_of_all_messages_were_told(result: dict[str, Any]) -> None:
    figures = result["figures"]
    bits = [8 * target.plan.size for on in (False, True) for target in frames._targets(frames._codec(on))]
    assert figures["messages"] == len(bits) == 49 + 55
    assert figures["patterns"] == sum(n + n * (n - 1) // 2 + n * (n - 1) * (n - 2) // 6 for n in bits)
    assert figures["patterns_missed"] == 0 and figures["spot_checks"] > 0


def test_rounds_of_an_attack_are_judged_together_and_what_is_wrong_is_said() -> None:
    one = {"name": "cut short", "frames": 5, "taken": 2, "bound": "", "expected": 0.5, "wrong": 0}
    fine = frames.Frames().judge([{"attack": one}, {"attack": one}], Path())
    assert fine.limits["cut short"] == frames._poisson_limit(1.0) and not fine.broken
    assert fine.figures["attacks"] == [
        {"attack": "cut short", "frames": 10, "taken": 4, "limit": frames._poisson_limit(1.0), "bound": ""}
    ]
    many, wrong = {**one, "taken": 9}, {**one, "wrong": 1}
    assert frames.Frames().judge([{"attack": many}], Path()).broken == ("cut short: 9 taken, at most 7",)
    assert "no chance excuses" in frames.Frames().judge([{"attack": wrong}], Path()).broken[0]
    missed = {"patterns": 3, "missed": 1, "spot_checks": 0, "spot_missed": 0}
    assert frames.Frames().judge([{"patterns": [missed]}], Path()).broken == ("patterns_missed = 1, at most 0",)


def test_the_syndromes_tell_what_the_real_reader_does() -> None:
    """Every pair, and triples by the thousand, of a heartbeat, flipped in a real frame."""
    target = next(one for one in frames._targets(frames._codec(False)) if one.plan.telegram is Telegram.HEARTBEAT)
    rng = np.random.default_rng(3)
    sound, size = int.from_bytes(target.sound(rng), "little"), target.plan.size
    assert target.plan.read(sound.to_bytes(size, "little"), True) is not None
    syndromes = frames._syndromes(target)
    patterns = [*combinations(range(8 * size), 2), *rng.integers(0, 8 * size, (3000, 6)).tolist()]
    for bits in patterns:
        flipped, syndrome = sound, 0
        for bit in set(bits):
            flipped, syndrome = flipped ^ 1 << bit, syndrome ^ int(syndromes[bit])
        assert (target.plan.read(flipped.to_bytes(size, "little"), True) is None) is bool(syndrome)


def test_a_pattern_that_passes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three bits made to cancel each other, and a bit that the CRC does not see."""
    real = frames._syndromes

    def weak(target: Any) -> Any:
        syndromes = real(target)
        syndromes[5] = syndromes[70] ^ syndromes[99]
        syndromes[17] = 0
        return syndromes

    monkeypatch.setattr(frames, "_syndromes", weak)
    rows = frames._patterns(frames._codec(False), np.random.default_rng(1), 0)
    assert all(row["missed"] >= 2 for row in rows)


def test_a_wider_window_of_the_counter_breaks_the_bound_of_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    assert attack("replayed one by one").passed
    monkeypatch.setattr(health, "MAX_COUNTER_JUMP", 40)
    assert not attack("replayed one by one").passed


def test_a_ring_that_admits_anything_breaks_the_bounds_of_authentication(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [name for name in frames.ATTACKS if name.startswith("authenticated")]
    assert all(attack(name, 2000).passed for name in names)
    monkeypatch.setattr(KeyRing, "admits", lambda self, text, mac: True)
    assert not [name for name in names if attack(name, 2000).passed]


def test_the_same_seed_gives_the_same_figures() -> None:
    assert attack("random bytes", 200_000, 5) == attack("random bytes", 200_000, 5)
    assert frames._poisson_limit(0.0) == 0.0
    assert [frames._poisson_limit(mean) for mean in (0.5, 30.0)] == [7.0, 59.0]
