"""Replay: a log through another controller in shadow, and a journal played to the page as if it were live."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from evencoat import picture
from evencoat.cli import app
from evencoat.hmi.replayed import Replayed, copied
from evencoat.hmi.source import SourceError
from evencoat.journal import CycleJournal, JournalReader
from evencoat.league.rivals import Rival
from evencoat.shadow import Difference, shadow
from evencoat.terminal import WRONG_CALL
from firmware_bridge.bus_replay import write_log
from firmware_bridge.frames import Frame
from tests.runs import Line, story

run = CliRunner().invoke
SECONDS = 90.0  # the web of pilot-16 needs 66 s to the dry gauge


@cache
def played() -> tuple[Line, tuple[Frame, ...]]:
    """A line that ran under the plain law, with its frames in line time."""
    line = Line(story(drifts=("static-profile",)), rival=Rival.IMC)
    frames: list[Frame] = []
    line.hub.tap(lambda frame: frames.append(frame._replace(t_s=line.nodes.state.t_s)))
    line.play_s(SECONDS)
    return line, tuple(frames)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_log(played()[1], tmp_path / "line.log")


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    line, _ = played()
    path = tmp_path / "journal.sqlite"
    with CycleJournal(path, line.line, line.plan.settings.text) as kept:
        for trace in line.sink.all:
            kept.record(trace, 100.0, 10.0)
        kept.event("mode", "the end")
    return path


def test_the_same_law_in_shadow_differs_from_itself_in_nothing(log: Path) -> None:
    line, _ = played()
    told = shadow(line.plan.settings, log, Rival.IMC)
    assert told.own.cycles > 0.5 * SECONDS * 5
    assert (told.own.lips_rms_um, told.own.trim_rms_pct) == (0.0, 0.0)


def test_another_law_differs_from_the_own_one_and_from_where_the_line_stood(log: Path, tmp_path: Path) -> None:
    png = tmp_path / "difference.png"
    call = ["replay", str(log), "--line", "pilot-16", "--controller", "pid", "--picture", str(png), "--json"]
    result = run(app, call)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["controller"] == "pid"
    own, line = told["against_the_own_law"], told["against_the_line"]
    assert own["lips_rms_um"] > 0.0 and line["lips_rms_um"] > 0.0
    assert abs(line["lips_most_um"]) >= line["lips_rms_um"] and 1 <= line["lips_most_zone"] <= 16
    assert png.read_bytes().startswith(b"\x89PNG")
    words = run(app, call[:6]).stdout
    assert "no recording can say" in words and "where the line stood" in words


def test_differences_are_reckoned_over_zones_and_cycles() -> None:
    lips = np.array([[0.0, 3.0], [0.0, -4.0]])
    told = Difference.of(lips, np.array([1.0, -3.0]))
    assert (told.lips_most_um, told.lips_most_zone, told.lips_rms_um) == (-4.0, 2, 2.5)
    assert (told.trim_mean_pct, told.trim_most_pct) == (-1.0, -3.0)
    assert Difference.of(np.zeros((0, 2)), np.zeros(0)).cycles == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (["--controller", "pid"], "needs the frame log"),
        ([], "needs the frame log"),
        (["--picture", "x.png"], "name it with --controller"),
    ],
)
def test_a_journal_alone_gives_no_inputs_and_is_told_to(call: list[str], words: str, journal: Path) -> None:
    result = run(app, ["replay", str(journal), *call])
    assert result.exit_code == WRONG_CALL and words in result.output.replace("\n", " ")


def test_who_has_no_law_cannot_look_on(log: Path) -> None:
    result = run(app, ["replay", str(log), "--line", "pilot-16", "--controller", "hand"])
    assert result.exit_code == WRONG_CALL and "hand has no law" in result.output
    assert "--line" in run(app, ["replay", str(log)]).output


class Clock:
    """Time that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def heads(content: bytes) -> list[dict[str, Any]]:
    """The messages of /recent, their heads."""
    found = []
    while content:
        (length,) = picture.PREFIX.unpack_from(content)
        found.append(picture.told(content[4 : 4 + length])[0])
        content = content[4 + length :]
    return found


def test_the_page_sees_nothing_beyond_the_play_head(journal: Path) -> None:
    clock, folder = Clock(), journal.parent / "played"
    folder.mkdir()
    source = Replayed(copied(journal, folder), 10.0, clock)
    with JournalReader(journal) as reader:
        cycles = reader.cycles(["cycle", "t_line_ns", "t_unix_s"])
    first = source.viewer.latest()
    assert first is not None and picture.told(first)[0]["cycle"] == cycles["cycle"][0]
    assert picture.told(first)[0]["t_unix_s"] == cycles["t_unix_s"][0], "the wall's time is that of then"
    assert source.viewer.latest() is None
    clock.now_s += 3.0
    newest = source.viewer.latest()
    assert newest is not None
    head = picture.told(newest)[0]
    assert head["t_line_ns"] - cycles["t_line_ns"][0] == pytest.approx(30e9, abs=0.2e9)
    assert [one["cycle"] for one in heads(source.recent(30.0))][-1] == head["cycle"]
    assert not source.ended and source.line()["name"] == "pilot-16 (replay, 10 x)" and source.line()["replay"] == 10.0
    clock.now_s += 1e4
    assert source.ended and source.viewer.latest() is not None and source.viewer.latest() is None
    assert heads(source.recent(0.1))[-1]["cycle"] == cycles["cycle"][-1]
    assert source.journal != journal and source.viewer.path != picture.path_of(journal)
    source.close()
    assert not source.viewer.path.exists()


def test_an_empty_journal_has_nothing_to_be_played(tmp_path: Path) -> None:
    line, _ = played()
    with CycleJournal(tmp_path / "empty.sqlite", line.line, line.plan.settings.text):
        pass
    with pytest.raises(SourceError, match="holds no cycle"):
        Replayed(tmp_path / "empty.sqlite", 1.0)
