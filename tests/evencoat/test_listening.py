"""`evencoat listen` against the plant's own nodes: a node cut, a gauge that stands still, a wrong scale."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from controller.line.description import LineDescription
from evencoat.cli import app
from evencoat.listening import Heardsay, judged
from evencoat.settings import compile_codec, load_line
from evencoat.terminal import ANSWER_IS_NO, FAILED
from firmware_bridge.bus_memory import MemoryHub
from firmware_bridge.bus_pythoncan import open_bus
from firmware_bridge.codec import Codec
from firmware_bridge.contract import Node, Telegram
from firmware_bridge.frames import Frame
from firmware_bridge.link import Receiver, Transmitter
from firmware_bridge.watch import BusWatch
from plant_sim.node import PlantNodes
from plant_sim.truth import Truth
from tests.firmware_bridge.hubs import running
from tests.runs import story

LEAD_S, HEARD_S, STEP_S = 80.0, 4.0, 0.1  # coated web needs 66 s to the dry gauge
Change = Callable[[Mapping[str, Any]], Mapping[str, Any] | None]


class Meddler:
    """Between plant and listener: decodes a telegram, lets a test change its fields, and sends it on as its node."""

    def __init__(self, codec: Codec, changes: Mapping[Telegram, Change]) -> None:
        self._receiver = Receiver(codec, frozenset(changes), {})
        self._transmitter = Transmitter(codec)
        self._codec, self._changes = codec, changes
        self._ids = {can_id for telegram in changes for can_id, _ in codec.can_ids(telegram)}

    def passed(self, frames: list[Frame], now_s: float) -> list[Frame]:
        out: list[Frame] = []
        for frame in frames:
            if frame.can_id not in self._ids:
                out.append(frame)
                continue
            message = self._receiver.feed(frame, now_s)
            if message is None:
                continue
            fields = self._changes[message.telegram](message.fields)
            if fields is not None:
                out += self._transmitter.frames(message.telegram, fields, message.scan_id, message.node)
        return out


@cache
def recorded() -> tuple[list[Frame], ...]:
    """What the nodes of pilot-16 send in each step of the stretch that is heard."""
    settings, hub = load_line("pilot-16"), MemoryHub()
    ear = hub.attach()
    truth = Truth.draw(settings.drawn, 1)
    nodes = PlantNodes(settings.drawn, compile_codec(settings), hub.attach(), truth, story(), 1)
    steps = []
    for _ in range(round((LEAD_S + HEARD_S) / STEP_S)):
        nodes.step(STEP_S)
        steps.append(ear.receive())
    return tuple(steps[round(LEAD_S / STEP_S) :])


def heard(changes: Mapping[Telegram, Change] | None = None, believed: LineDescription | None = None) -> Heardsay:
    """What is said of pilot-16 at work after a few seconds, with telegrams changed on their way."""
    settings = load_line("pilot-16")
    codec = compile_codec(settings)
    watch = BusWatch(codec, believed or settings.line, settings.wire)
    meddler = Meddler(codec, changes or {})
    for step, frames in enumerate(recorded()):
        watch.feed(meddler.passed(frames, STEP_S * step), STEP_S * step)
    return judged(watch, believed or settings.line)


def only_doubt(said: Heardsay) -> tuple[str, str]:
    """The one row that is in doubt, and the words."""
    rows = [row for row in said.rows if row.doubts]
    assert len(rows) == 1, [(row.telegram, row.doubts) for row in rows]
    return rows[0].telegram, "; ".join(rows[0].doubts)


def with_field(name: str, change: Callable[[Any], Any]) -> Change:
    return lambda fields: {**fields, name: change(fields[name])}


def places(which: slice, value: float) -> Callable[[Any], Any]:
    def changed(values: Any) -> Any:
        own = np.array(values)
        own[which] = value
        return own

    return changed


def test_a_line_at_work_is_alive_and_plausible_in_all_it_says() -> None:
    said = heard()
    assert said.ok, [(row.telegram, row.state, row.doubts) for row in said.rows if row.missing or row.doubts]
    rows = {row.telegram: row for row in said.rows}
    assert rows["wet profile"].state == "alive" and rows["wet profile"].rate_hz == pytest.approx(5.0, rel=0.05)
    assert "um" in rows["wet profile"].values and rows["die command"].state == "not heard"
    assert said.pace == pytest.approx(1.0, rel=0.05) and said.strange == 0


@pytest.mark.parametrize("telegram", [Telegram.WET_PROFILE, Telegram.DIE_FEEDBACK, Telegram.LINE_STATE, Telegram.SYNC])
def test_what_a_cut_node_no_longer_says_is_missing(telegram: Telegram) -> None:
    said = heard({telegram: lambda fields: None})
    assert not said.ok
    assert str(telegram).replace("_", " ") in {row.telegram for row in said.rows if row.missing}


def test_a_node_that_falls_silent_in_between_is_silent() -> None:
    calls = iter(range(10_000))
    said = heard({Telegram.PUMP_FEEDBACK: lambda fields: fields if next(calls) < 10 else None})
    assert {row.telegram: row.state for row in said.rows}["pump feedback"] == "silent"


def test_a_cut_heartbeat_names_its_node() -> None:
    said = heard({Telegram.HEARTBEAT: lambda f: None if f["node"] == Node.DIE else {k: f[k] for k in f if k != "node"}})
    assert [row.telegram for row in said.rows if row.missing] == ["heartbeat of die"]


def test_a_gauge_that_stands_still_is_frozen() -> None:
    first: list[Any] = []

    def frozen(fields: Mapping[str, Any]) -> Mapping[str, Any]:
        first.append(fields["film_um"])
        return {"film_um": first[0]}

    name, words = only_doubt(heard({Telegram.WET_PROFILE: frozen}))
    assert name == "wet profile" and "frozen" in words


@pytest.mark.parametrize(
    ("telegram", "field", "change", "name", "words"),
    [
        (Telegram.WET_PROFILE, "film_um", lambda v: v / 10.0, "wet profile", "about 0.1 times"),
        (Telegram.DRY_PROFILE, "areal_density_gsm", lambda v: v / 10.0, "dry profile", "about 0.1 times"),
        (Telegram.SYNC, "web_speed_mps", lambda v: v * 10.0, "sync", "about 10 times"),
        (Telegram.DIE_FEEDBACK, "gap_um", lambda v: v / 10.0, "die feedback", "outside 400..600"),
        (Telegram.PUMP_FEEDBACK, "temperature_c", lambda v: v + 110.0, "pump feedback", "no slurry is so"),
        (Telegram.WET_META, "boxes", lambda v: v + 1, "wet meta", "33 boxes, and 32 in the line file"),
        (Telegram.WET_META, "t_us", lambda v: v - 2.9e6, "wet meta", "behind SYNC"),
        (Telegram.WET_PROFILE, "film_um", places(slice(0, 16), np.nan), "wet profile", "no value"),
        (Telegram.WET_PROFILE, "film_um", places(slice(28, 32), 9.0), "wet profile", "the 4 last boxes"),
        (Telegram.DIE_FEEDBACK, "gap_um", places(slice(6, 7), 1.0), "die feedback", "(7)"),
    ],
)  # fmt: skip
def test_values_that_cannot_be_are_doubted(
    telegram: Telegram, field: str, change: Callable[[Any], Any], name: str, words: str
) -> None:
    said = heard({telegram: with_field(field, change)})
    doubts = {row.telegram: "; ".join(row.doubts) for row in said.rows if row.doubts}
    assert words in doubts[name], doubts


def test_a_line_file_for_another_recipe_is_told_by_the_gauges() -> None:
    line = load_line("pilot-16").line
    heavy = replace(line, target=replace(line.target, areal_density_gsm=2.0 * line.target.areal_density_gsm))
    said = heard(believed=heavy)
    doubts = {row.telegram for row in said.rows if row.doubts}
    assert {"wet profile", "pump feedback"} <= doubts


def test_a_bus_without_a_frame_says_so() -> None:
    settings = load_line("pilot-16")
    watch = BusWatch(compile_codec(settings), settings.line, settings.wire)
    watch.feed([], 5.0)
    said = judged(watch, settings.line)
    assert not said.ok and any("not a single frame" in words for words in said.notes)
    assert all(row.missing for row in said.rows if row.expected_hz is not None)


def test_whoever_listens_sends_nothing_and_says_that_nobody_is_there(tmp_path: Path) -> None:
    """On a real hub, as it is typed."""
    with running(tmp_path / "can.sock"):
        address = f"evencoat:{tmp_path / 'can.sock'}"
        bystander = open_bus(address, load_line("pilot-16").wire)
        call = ["listen", "pilot-16", "--bus", address, "--seconds", "0.5"]
        told = CliRunner().invoke(app, [*call, "--json"])
        words = CliRunner().invoke(app, call)
        heard_of_us = bystander.receive()
        bystander.close()
    assert told.exit_code == words.exit_code == ANSWER_IS_NO, told.output
    assert heard_of_us == []
    said = json.loads(told.stdout)
    assert not said["ok"] and {row["state"] for row in said["rows"]} == {"missing", "not heard"}
    assert "not a single frame" in words.stdout and "missing" in words.stdout


def test_a_bus_that_is_not_there_is_a_failure_in_words(tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["listen", "pilot-16", "--bus", f"evencoat:{tmp_path / 'no.sock'}"])
    assert told.exit_code == FAILED and "no.sock" in told.output.replace("\n", "")
