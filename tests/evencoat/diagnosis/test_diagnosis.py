"""Faults on simulated lines, from cycles to words; the journal's way and the page's."""

import asyncio
import contextlib
import json
import math
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from controller.line.description import Array
from evencoat.cli import app
from evencoat.diagnosis import trials
from evencoat.diagnosis.judging import judged, right
from evencoat.diagnosis.service import Beside, DiagnosisService
from evencoat.diagnosis.watch import Diagnoser, Diagnosis, Key
from evencoat.league.rivals import Rival
from evencoat.settings import load_line
from evencoat.simulate import Plan, simulate
from plant_sim.faults import Play
from tests.runs import DRIFTS, story

KINDS = {kind.label: kind for kind in trials.KINDS}


def trial(label: str, minutes: float, **play: object) -> trials.Trial:
    """A short trial on a small line."""
    drawn = trials.drawn(KINDS[label], "wide-kernel", 50003)  # of eight zones
    kind = KINDS[label]
    changed = Play(kind.play, **{"onset_s": 20.0, "at": 0.6, **play})  # type: ignore[arg-type]
    place = 4 if kind.where in ("bolt", "zone") else -1
    return replace(drawn, kind=kind, minutes=minutes, play=changed, place=place)


def named(one: trials.Trial) -> list[Diagnosis]:
    diagnoser = Diagnoser(one.line)
    return [found for cycle in trials.simulated(one) for found in diagnoser.look(cycle)]


def test_a_stuck_bolt_is_named_by_its_number() -> None:
    one = trial("stuck bolt", 1.2)
    row = judged(one, trials.simulated(one), trials.Visible(30.0, 2.0))
    assert row["named"] and row["first_right"] and not row["false"]
    assert row["visible"] and row["named_s"] == max(row["onset_named_s"] - 10.0, 0.0)
    assert row["told"][0][0] == "bolt-stuck:bolt 5"


@pytest.mark.parametrize(
    ("label", "play", "key"),
    [
        ("wet gauge frozen", {}, Key("gauge-frozen", "wet gauge")),
        ("encoder lost", {}, Key("encoder-lost", "encoder")),
        ("feedback noisy", {"size": 4.0}, Key("bolt-noisy", "die")),
    ],
)
def test_what_shows_at_once_is_named_at_once(label: str, play: dict[str, float], key: Key) -> None:
    found = named(trial(label, 0.6, **play))
    assert [one.key for one in found][:1] == [key]
    assert found[0].named_s < 35.0 and 0.5 < found[0].probability < 1.0


def test_a_quiet_start_is_no_diagnosis() -> None:
    assert named(trial("stuck bolt", 1.2, onset_s=1e6)) == []


def test_a_kept_trial_is_judged_as_the_same(tmp_path: Path) -> None:
    one = trial("dry gauge silent", 0.5)
    file = trials.kept(one, tmp_path / "one.npz")
    played, read = list(trials.simulated(one)), list(trials.cycles(file))
    assert len(played) == len(read)
    assert [cycle["web_m"] for cycle in read] == [cycle["web_m"] for cycle in played]
    assert [len(cycle["wet_scan_gsm"]) > 0 for cycle in read] == [len(cycle["wet_scan_gsm"]) > 0 for cycle in played]
    assert read[250]["gap_um"] == pytest.approx(played[250]["gap_um"], rel=1e-6)


def test_a_bolt_that_nobody_moves_cannot_be_seen_and_a_streak_can() -> None:
    """The same trial beside its twin: what a fault changes, and from when."""
    dead, streak = trial("dead bolt", 0.8, onset_s=46.0), trial("streak", 1.6, size=-40.0, width_mm=20.0)
    found = []
    for one in (dead, streak):
        coated: list[Array] = []
        for _ in trials.simulated(one, coated):
            pass
        found.append(trials.Visible.of(one, trials.changes_of(one, coated)))
    assert math.isinf(found[0].from_s) and found[0].times < 1.0
    assert found[1].from_s == pytest.approx(20.0, abs=trials.VISIBLE_S) and found[1].times > 5.0


def test_a_drift_is_visible_once_it_has_gone_farther_than_the_gauge_wanders() -> None:
    drawn = trials.drawn(KINDS["wet gauge drifts"], "nominal", 5)
    seen = trials.Visible.of(drawn, trials.reading_changes(drawn))
    assert drawn.onset_s + 60.0 < seen.from_s < drawn.end_s
    jump = trials.drawn(KINDS["wet gauge jumps"], "nominal", 5)
    assert trials.Visible.of(jump, trials.reading_changes(jump)).from_s == jump.onset_s


def test_right_is_strict_about_cause_place_and_time() -> None:
    one = trial("stuck bolt", 1.0)
    found = Diagnosis(Key("bolt-stuck", "bolt 5"), 0.9, "", 20.0, 30.0, 10.0, 0.0, 2.0)
    assert right(one, found) and right(one, replace(found, key=Key("bolt-stuck", "bolt 6")))
    assert not right(one, replace(found, key=Key("bolt-stuck", "bolt 8")))
    assert not right(one, replace(found, key=Key("bolt-slow", "bolt 5")))
    assert not right(one, replace(found, named_s=19.0))


def test_every_kind_can_be_drawn_in_every_family() -> None:
    for kind in trials.KINDS:
        for family in (*trials.DEVELOPED, *trials.HELD_OUT):
            drawn = trials.drawn(kind, family, 7)
            assert drawn.play is not None and drawn.minutes > 4.0
    assert not set(trials.DEVELOPED) & set(trials.HELD_OUT)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal in which the dry gauge falls silent after half a minute."""
    folder = tmp_path_factory.mktemp("run")
    scenario = story({"name": "gauge-silent", "gauge": "dry", "onset_s": 80.0}, drifts=DRIFTS)
    simulate(Plan(load_line("pilot-16"), scenario, Rival.IMC, 1.7, 3), folder)
    return folder / "journal.sqlite"


def test_a_journal_is_diagnosed_in_words_and_for_programs(run: Path) -> None:
    done = CliRunner().invoke(app, ["diagnose", str(run), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [(one["cause"], one["where"]) for one in told["named"]] == [("gauge-silent", "dry gauge")]
    assert told["named"][0]["replay"].endswith("--page") and told["standing"] == ["gauge-silent:dry gauge"]
    said = CliRunner().invoke(app, ["diagnose", str(run)])
    assert "the dry gauge says nothing" in said.output and "Check power" in said.output
    assert "无信号" in CliRunner().invoke(app, ["diagnose", str(run), "--language", "zh"]).output


def test_no_journal_is_a_clear_refusal(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["diagnose", str(tmp_path)])
    assert done.exit_code == 2


def test_the_page_is_told_what_stands(run: Path) -> None:
    service = DiagnosisService(run, load_line("pilot-16"))
    service.look()
    told = service.told()
    assert [one["cause"] for one in told["standing"]] == ["gauge-silent"]
    assert told["standing"][0]["words"]["en"]["action"] and told["problem"] == ""
    service.look()  # nothing new: nothing is told twice
    assert len(service.told()["history"]) == 1


def test_it_is_a_process_of_its_own_that_is_started_again_and_ends_with_the_page(run: Path) -> None:
    """Killed once; whoever asks meanwhile is told so."""

    async def page() -> list[dict[str, Any]]:
        beside, told = Beside(run, again_s=0.1), []
        task = asyncio.create_task(beside.run())
        steps: tuple[Callable[[dict[str, Any]], bool], ...] = (
            lambda now: bool(now["standing"]), lambda now: "ended" in now["problem"], lambda now: not now["problem"],
        )  # fmt: skip
        for wanted in steps:
            async with asyncio.timeout(60.0):
                while not wanted(beside.told()):
                    await asyncio.sleep(0.05)
            told.append(beside.told())
            if len(told) == 1:
                assert beside.pid is not None
                os.kill(beside.pid, signal.SIGKILL)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert beside.pid is None
        return told

    first, between, last = asyncio.run(page())
    assert [one["cause"] for one in first["standing"]] == ["gauge-silent"]
    assert between["standing"] == first["standing"] == last["standing"]
