"""The campaign that feeds decoders: what it spoils, that every decoder stands a round of it, and that crashes show."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evencoat.campaigns import fuzz
from evencoat.campaigns.frame import CampaignPlan, run
from evencoat.campaigns.fuzz import NAMES, Decoder, Fuzz


def test_a_sample_is_spoilt_in_every_way_and_the_same_for_the_same_seed() -> None:
    sample = bytes(range(200))
    made = [fuzz.spoilt(sample, np.random.default_rng(seed)) for seed in range(300)]
    assert made[7] == fuzz.spoilt(sample, np.random.default_rng(7))
    assert sum(one == sample for one in made) < 10
    lengths = [len(one) for one in made]
    assert min(lengths) < 100 and max(lengths) > 250 and any(b"1e999" in one for one in made)
    assert fuzz.spoilt(b"", np.random.default_rng(1)) is not None


def test_every_decoder_is_fed_once(tmp_path: Path) -> None:
    told = run(Fuzz(), CampaignPlan(True, 3, tmp_path), lambda *_: None)
    assert told["passed"], told["broken"]
    table = {row["decoder"]: row for row in told["figures"]["table"]}
    assert set(table) == set(NAMES) and all(row["inputs"] > 0 for row in table.values())
    for name in ("line file", "scenario", "model", "key file", "DBC"):
        assert table[name]["refused"] > 0.5 * table[name]["inputs"]
    assert not list(tmp_path.glob("crash-*"))


def test_what_is_not_refused_by_name_is_a_crash_and_kept(tmp_path: Path) -> None:
    def read(path: Path) -> None:
        if len(path.read_bytes()) % 2:
            raise KeyError("odd")
        raise ValueError("even")

    row = fuzz.fed(
        Decoder("odd", 20, (ValueError,), (b"0123456789",), ".bin", read), 4, np.random.default_rng(1), tmp_path
    )
    kept = list(tmp_path.glob("crash-odd-4-*.bin"))
    assert len(row["crashes"]) == 1 and row["crashes"][0].startswith("KeyError at test_fuzz_campaign.py:")
    assert 0 < row["refused"] == 20 - len(kept) < 20 and all(len(path.read_bytes()) % 2 for path in kept)
    judged = Fuzz().judge([row], Path())
    assert judged.figures["crashes"] == 1 and judged.broken[0].startswith("odd: KeyError")


def test_a_decoder_that_never_ends_is_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: Path) -> None:
        while path.read_bytes():
            with contextlib.suppress(Exception):
                time.sleep(0.001)

    monkeypatch.setattr(fuzz, "PATIENCE_S", 0.05)
    rng = np.random.default_rng(1)
    row = fuzz.fed(Decoder("endless", 2, (ValueError,), (b"0123456789",), ".bin", read), 4, rng, tmp_path)
    assert row["refused"] == 0 and all(words.startswith("TooLong at ") for words in row["crashes"])
    assert len(list(tmp_path.glob("crash-endless-4-*.bin"))) == 2


def test_a_frame_that_breaks_the_loop_is_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    live: Any = fuzz._Live()
    monkeypatch.setattr(fuzz._Live, "CYCLES", 2)
    assert live.fed(0, np.random.default_rng(1))["crashes"] == []

    def breaks(frames: object) -> None:
        raise ZeroDivisionError("in the port")

    live._line.loop._port._flood.see = breaks
    (told,) = live.fed(1, np.random.default_rng(1))["crashes"]
    assert told.startswith("ZeroDivisionError at test_fuzz_campaign.py:")
