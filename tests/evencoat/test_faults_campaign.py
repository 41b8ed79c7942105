"""The campaign of faults: a few of them for real, and the table that is made of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from evencoat.campaigns import faults
from evencoat.campaigns.fault_catalogue import FAULTS, Fault
from evencoat.campaigns.faults import Faults
from evencoat.diagnosis.catalogue import CATALOGUE as DIAGNOSES
from plant_sim.faults import CATALOGUE
from plant_sim.scenario import parse


def named(name: str) -> Fault:
    return next(fault for fault in FAULTS if fault.name == name)


def test_there_are_thirty_or_more_and_each_happens() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 30
    for fault in FAULTS:
        re.compile(fault.named)
        assert not fault.cause or any(re.match(fault.cause.partition(":")[0] + "$", known) for known in DIAGNOSES)
        acts = [fault.begin, fault.each, fault.end]
        assert fault.play or fault.control_dead or any(act is not None and act.__name__ != "_nothing" for act in acts)
        if fault.play:
            assert fault.play["name"] in CATALOGUE
            parse({"play": [{**fault.play, "onset_s": 10.0}]}, fault.name)


@pytest.mark.parametrize(
    ("name", "words", "soon_s"),
    [
        ("die node lost", "die feedback: silent", 1.0),
        ("safe stop", "safe stop on the bus: holding", 0.2),
        ("encoder's clock jumps by a minute", "", 1.0),
        ("control dead for ten seconds", "a node holds by itself and waits for re-arm", 10.5),
        ("encoder loss", "web speed is not valid: holding", 0.2),
    ],
)
def test_what_cannot_be_missed_is_noticed_named_and_held(name: str, words: str, soon_s: float) -> None:
    row = faults.suffered(named(name), 3, 20.0, 50.0)
    assert row["crash"] == "" and row["violations"] == 0
    assert row["detected_s"] <= soon_s and row["named"] and words in row["by"]
    assert row["held_s"] <= soon_s and row["safe_s"] <= row["held_s"] and row["back_in_auto"]


def test_what_diagnosis_names_is_told_beside() -> None:
    row = faults.suffered(named("wet gauge frozen"), 3, 20.0, 50.0)
    assert row["diagnosable"] and row["diagnosed_s"] < 10.0 and row["diagnosis"] == "gauge-frozen:wet gauge"


def test_a_fault_that_says_nothing_is_not_noticed() -> None:
    row = faults.suffered(Fault("nothing at all", "", "."), 3, 20.0, 30.0)
    assert (row["detected_s"], row["named"], row["held_s"], row["by"]) == (None, False, None, "")


def test_a_crash_is_kept_as_one() -> None:
    def breaks(stage: object) -> None:
        raise ZeroDivisionError("in a node")

    row = faults.suffered(Fault("breaks", "", ".", begin=breaks), 3, 20.0, 30.0)
    assert row["crash"] == "ZeroDivisionError: in a node"


def test_quiet_running_counts_what_begins_to_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    spoken = iter([frozenset()] * 650 + [frozenset({"x"})] * 5 + [frozenset()] * 5 + [frozenset({"y"})] * 100)
    monkeypatch.setattr(faults, "said", lambda trace: next(spoken))
    assert faults.quiet(3, 1.2)["trips"] == ["x", "y"]


def row(fault: str = "stuck bolt", **other: Any) -> dict[str, Any]:
    found = {"fault": fault, "group": "bolts", "seed": 1, "crash": "", "detected_s": 5.0, "by": "bolt 7", "named": True}
    found |= {"held_s": None, "even_s": 8.0, "safe_s": 8.0, "scrap_m": 2.0, "violations": 0, "first": ""}
    found |= {"diagnosable": True, "diagnosed_s": 7.0, "diagnosis": "bolt-stuck:bolt 7"}
    return {**found, **other}


def test_the_table_has_medians_and_says_where_most_never_got_there() -> None:
    never = row(detected_s=None, by="", named=False, even_s=None, safe_s=None, scrap_m=6.0, diagnosed_s=None)
    calm = {"fault": "", "seed": 2, "crash": "", "minutes": 60.0, "trips": ["x"], "violations": 0, "first": ""}
    calm |= {"alarms": 3, "diagnoses": ["wet-drift:wet gauge"]}
    judged = Faults().judge([row(), never, never, row("other"), calm], Path())
    line = judged.figures["table"][0]
    assert (line["fault"], line["seeds"], line["detected"], line["named"]) == ("stuck bolt", 3, 1, 1)
    assert (line["detected_s"], line["safe_s"], line["scrap_m"], line["by"]) == (None, None, 6.0, "bolt 7")
    assert (line["diagnosed"], line["diagnosed_s"], line["diagnosis"]) == (1, None, "bolt-stuck:bolt 7")
    assert judged.figures["quiet_diagnoses"] == 1 and judged.figures["diagnosed_share"] == 0.5
    assert judged.figures["false_trips_per_24_h"] == 24.0 and judged.figures["false_trips_by"] == "x (1)"
    assert judged.figures["detected_share"] == 0.5 and not judged.broken


def test_a_broken_limit_and_a_crash_are_told() -> None:
    assert "stuck bolt, seed 1: gap range" in Faults().judge([row(violations=1, first="gap range")], Path()).broken
    assert "crashes = 1, at most 0" in Faults().judge([row(crash="KeyError: 3")], Path()).broken
