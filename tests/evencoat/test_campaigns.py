"""The frame of campaigns: seeds, going on, judging, exit codes. And the kill campaign itself, a few trials of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from evencoat import campaigns
from evencoat.campaigns.frame import CampaignError, CampaignPlan, Judgement, Row, Trial, run
from evencoat.cli import app


class Dice:
    """A campaign that throws dice; `stops_at` is the trial in which it is interrupted."""

    name, summary = "dice", "throws"

    def __init__(self, stops_at: int = -1, most: int = 6) -> None:
        self.stops_at, self.most = stops_at, most
        self.opened: list[bool] = []

    def trials(self, quick: bool) -> int:
        return 5 if quick else 20

    @contextlib.contextmanager
    def open(self, folder: Path, quick: bool, anew: bool) -> Iterator[Trial]:
        self.opened.append(anew)

        def trial(k: int, rng: np.random.Generator) -> Row:
            if k == self.stops_at:
                raise KeyboardInterrupt
            return {"k": k, "eyes": int(rng.integers(1, 7)), "words": f"trial {k}"}

        yield trial

    def judge(self, rows: Sequence[Row], folder: Path) -> Judgement:
        worst = max(row["eyes"] for row in rows)
        broken = (f"eyes = {worst}",) if worst > self.most else ()
        return Judgement({"eyes": worst, "all": [row["eyes"] for row in rows]}, {"eyes": self.most}, broken)


def test_one_that_was_interrupted_goes_on_and_tries_what_it_would_have_tried(tmp_path: Path) -> None:
    said: list[str] = []
    whole = run(Dice(), CampaignPlan(False, 3, tmp_path / "whole"), lambda done, of, words: said.append(words))
    assert said[0] == "starting" and said[-1] == "trial 19" and whole["trials"] == 20
    plan = CampaignPlan(False, 3, tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt):
        run(Dice(stops_at=8), plan, lambda *_: None)
    on = Dice()
    parts = run(on, plan, lambda *_: None)
    assert parts["figures"] == whole["figures"] and on.opened == [False]
    assert json.loads((tmp_path / "parts" / "result.json").read_text())["figures"] == whole["figures"]
    again = Dice()
    run(again, plan, lambda *_: None)
    assert not again.opened  # nothing was left to do
    other = run(Dice(), CampaignPlan(False, 4, tmp_path / "other"), lambda *_: None)
    assert other["figures"]["all"] != whole["figures"]["all"]


def test_a_folder_of_another_seed_or_one_that_is_broken_is_refused_unless_begun_anew(tmp_path: Path) -> None:
    run(Dice(), CampaignPlan(True, 3, tmp_path), lambda *_: None)
    with pytest.raises(CampaignError, match=r"holds .*'seed': 3.*this is .*'seed': 4"):
        run(Dice(), CampaignPlan(True, 4, tmp_path), lambda *_: None)
    with (tmp_path / "trials.jsonl").open("a") as file:
        file.write('{"k": 5, "ey')
    with pytest.raises(CampaignError, match="cannot be read"):
        run(Dice(), CampaignPlan(True, 3, tmp_path), lambda *_: None)
    assert run(Dice(), CampaignPlan(True, 4, tmp_path, fresh=True), lambda *_: None)["trials"] == 5


def test_exit_codes_and_one_json_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def call(*more: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["campaign", *more, "--out", str(tmp_path / "c")])
        return done.exit_code, done.stdout

    monkeypatch.setattr(campaigns, "campaigns", lambda: {"dice": Dice()})
    code, told = call("dice", "--quick", "--json")
    assert code == 0 and json.loads(told)["passed"] and json.loads(told)["limits"] == {"eyes": 6}
    monkeypatch.setattr(campaigns, "campaigns", lambda: {"dice": Dice(most=1)})
    code, told = call("dice", "--quick")
    assert code == 3 and "not passed" in told and "not kept" in told
    monkeypatch.setattr(campaigns, "campaigns", lambda: {"dice": Dice(stops_at=5)})
    assert call("dice", "--trials", "9", "--quick")[0] == 130
    assert call("card")[0] == 2
    assert call("dice", "--seed", "9", "--quick")[0] == 2
    assert "throws" in call()[1]


def test_a_few_kills(tmp_path: Path) -> None:
    """The real thing, small: its figures and verdict are there, and nothing was lost. Speed is not judged here."""
    done = CliRunner().invoke(app, ["campaign", "kill", "--quick", "--trials", "4", "--out", str(tmp_path), "--json"])
    told = json.loads(done.stdout)
    assert told["trials"] == 4 and told["figures"]["kills"] == 5
    assert not [words for words in told["broken"] if not words.startswith("back_p99_s")], told["broken"]
    assert done.exit_code == (0 if told["passed"] else 3)
