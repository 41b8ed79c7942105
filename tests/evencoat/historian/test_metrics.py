"""Metrics: what Prometheus is told is what picture, journal and sinks say, and the dashboard asks for nothing else."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from controller.line.command import Limit, Mode
from evencoat import picture
from evencoat.historian.metrics import Line, serve
from evencoat.historian.outbox import Outbox, Rows, SinkDown, Source
from evencoat.journal import CycleJournal
from tests.evencoat.historian.journals import append
from tests.evencoat.test_journal import LINE, ZONES, make_trace

TARGET = LINE.line.target_profile_gsm
NAME = LINE.line.name


class Broken:
    """A sink that takes four rows and then nothing more."""

    name = "broken"

    def bookmark(self, source: Source) -> int:
        return 0

    def deliver(self, source: Source, rows: Rows) -> int:
        if rows.numbers[-1] > 4:
            raise SinkDown("no more")
        return int(rows.numbers[-1])

    def settle(self, source: Source, everything: bool) -> int:
        return 4

    def missing(self, source: Source, first_row: int, last_row: int) -> None:
        """Nothing to note."""

    def close(self) -> None:
        """Nothing to let go of."""


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "journal.sqlite"
    profile = TARGET * 1.02
    profile[0] *= 9.0
    with CycleJournal(path, LINE.line, LINE.text) as written:
        for cycle in range(4):
            parts = {"target_gsm": float(TARGET.mean()), "profile_gsm": profile, "profile_valid": np.arange(ZONES) > 0}
            written.record(make_trace(cycle, **parts), 1.0, 2500.0)
        written.event("overrun", "3 deadlines missed; a cycle took 130.0 ms")
        written.event("overrun", "2 deadlines missed; a cycle took 140.0 ms")
        written.event("alarm", "bolt 7 sticks")
    return path


def asked(line: Line) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample, by name and labels, as a registry hands them out."""
    registry = CollectorRegistry()
    registry.register(line)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


def value(samples: Any, name: str, **labels: str) -> float:
    found: float = samples[(name, frozenset({"line": NAME, **labels}.items()))]
    return found


def test_the_line_is_told_as_its_newest_cycle_has_it(journal: Path) -> None:
    told = asked(Line(journal, LINE.line))
    assert value(told, "evencoat_deviation_mean_percent") == pytest.approx(2.0, abs=1e-4)
    assert value(told, "evencoat_deviation_spread_percent") == pytest.approx(0.0, abs=1e-4)
    assert value(told, "evencoat_zones_valid") == ZONES - 1
    assert value(told, "evencoat_zones_not_following") == 1
    assert value(told, "evencoat_lateness_seconds") == pytest.approx(0.0025)
    assert value(told, "evencoat_mode", mode=Mode.HOLD) == 1.0 and value(told, "evencoat_mode", mode=Mode.AUTO) == 0.0
    bound = (Limit.RATE, Limit.BEND, Limit.RANGE)
    assert [value(told, "evencoat_limit_bound", limit=limit) for limit in bound] == [1.0, 1.0, 0.0]
    assert value(told, "evencoat_link_faults") == 1.0
    assert value(told, "evencoat_journal_last_row") == 4.0 and value(told, "evencoat_journal_readable") == 1.0
    assert value(told, "evencoat_deadlines_missed_total") == 5.0
    assert value(told, "evencoat_events_total", kind="alarm") == 1.0
    assert 0.0 <= value(told, "evencoat_cycle_age_seconds") < 600.0
    assert ("evencoat_sigma_md_percent", frozenset({("line", NAME)})) not in told  # it was no number


def test_the_picture_is_newer_than_the_journal_and_shows_how_far_that_is_behind(journal: Path) -> None:
    easel = picture.Easel(picture.path_of(journal), ZONES)
    try:
        line = Line(journal, LINE.line)
        easel.show(make_trace(50, web_speed_mps=0.75, mode_actual=Mode.AUTO), 10.0)
        for _ in range(2):  # the second look finds no newer one
            told = asked(line)
            assert value(told, "evencoat_web_speed_metres_per_second") == 0.75
            assert 0.0 <= value(told, "evencoat_journal_lag_seconds") < 600.0
    finally:
        easel.close()
    append(journal, [time.time() + 60.0], [make_trace(51, web_speed_mps=0.25)])
    assert value(asked(line), "evencoat_web_speed_metres_per_second") == 0.25  # a picture that was left behind


def test_a_journal_that_cannot_be_read_is_told_and_every_metric_is_still_named(journal: Path) -> None:
    line = Line(journal, LINE.line)
    before = {family.name for family in line.collect()}
    journal.unlink()
    told = asked(line)
    assert value(told, "evencoat_journal_readable") == 0.0
    assert ("evencoat_journal_last_row", frozenset({("line", NAME)})) not in told
    assert {family.name for family in line.collect()} == before


def test_the_sinks_lag_and_failures_are_told(journal: Path) -> None:
    box = Outbox(journal, Broken(), lambda kind, words: None)
    box.drain()
    append(journal, [time.time() + 90.0])
    with pytest.raises(SinkDown):
        box.step()
    box.progress.failures, box.progress.error = 1, "no more"
    told = asked(Line(journal, LINE.line, [box]))
    assert value(told, "evencoat_sink_lag_rows", sink="broken") == 1.0
    assert 60.0 < value(told, "evencoat_sink_lag_seconds", sink="broken") < 600.0
    assert value(told, "evencoat_sink_up", sink="broken") == 0.0
    assert value(told, "evencoat_sink_failures_total", sink="broken") == 1.0


def test_prometheus_can_read_it_over_http_on_this_machine(journal: Path) -> None:
    port, end = serve(Line(journal, LINE.line), 0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10.0) as answer:
            families = {family.name for family in text_string_to_metric_families(answer.read().decode())}
    finally:
        end()
    assert {"evencoat_mode", "evencoat_events", "evencoat_sink_lag_rows"} <= families


def test_the_dashboard_asks_for_metrics_that_there_are_and_for_all_of_them(journal: Path) -> None:
    board = json.loads(resources.files("evencoat.historian").joinpath("grafana.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    named = {name for query in queries for name in re.findall(r"evencoat_\w+", query)}
    named |= set(re.findall(r"evencoat_\w+", board["templating"]["list"][1]["query"]))
    box = Outbox(journal, Broken(), lambda kind, words: None)
    there = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in Line(journal, LINE.line, [box]).collect()
    }
    assert named == there
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    page = (Path(__file__).parents[3] / "docs/historian.md").read_text(encoding="utf-8")
    assert not [name for name in there if name not in page]
