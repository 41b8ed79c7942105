"""What the pages read: capability, rolls and audit of a journal, and what its controller believes of the line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from controller import restart
from controller.core import step as core
from controller.core.trace import Trace
from controller.line.command import Cause, Limit, Mode, Outcome, Rung
from controller.line.description import LawName
from evencoat import past
from evencoat.alarms.catalogue import Ne107, Priority
from evencoat.alarms.engine import SHELVED_MOST_S, State
from evencoat.commissioned import ModelFile, PlacesTable, ResponseTable, applied
from evencoat.desk.actions import ACTIONS
from evencoat.desk.clerk import VIAS
from evencoat.desk.users import Role
from evencoat.forecast.told import Teller
from evencoat.forecast.what_if import WhatIfError, answer
from evencoat.hmi import pages, server
from evencoat.hmi.belief import Belief
from evencoat.hmi.source import Source
from evencoat.journal import CycleJournal, JournalReader, What
from evencoat.packml import PackMl
from evencoat.past import Past
from evencoat.settings import Settings, load_line
from evencoat.snapshot import file
from evencoat.snapshot.file import Identity
from firmware_bridge.contract import Node, Telegram
from firmware_bridge.health import LinkState
from tests.controller.core.test_step import Drive
from tests.factories import ToyWeb

SHIPPED = load_line("pilot-16")
CONTROL = replace(SHIPPED.line.control, law=LawName.ADAPTIVE)
SETTINGS: Settings = replace(SHIPPED, line=replace(SHIPPED.line, control=CONTROL))
LINE = SETTINGS.line
READ = ["/capability.json", "/rolls.json", "/audit.json", "/verify.json", "/belief.json", "/virtual.json"]
ROLLS = [(1, 30), (2, 1), (7, 33), (8, 16)]  # number, and how many cycles it has


@pytest.fixture(scope="module")
def driven() -> tuple[Drive, list[Trace]]:
    """A controller, and what it traced of a web that was as uneven as a random one, 1 % in every zone."""
    drive, rng = Drive(ToyWeb(LINE)), np.random.default_rng(1)
    even = [drive.cycle() for _ in range(80)]
    return drive, [t._replace(profile_gsm=t.target_gsm * (1.0 + 0.01 * rng.normal(size=LINE.zones))) for t in even]


@pytest.fixture(scope="module")
def journal(driven: tuple[Drive, list[Trace]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four rolls, an audit chain, and the snapshot of who drove it."""
    drive, traces = driven
    path = tmp_path_factory.mktemp("run") / "journal.sqlite"
    rolls = [roll for roll, count in ROLLS for _ in range(count)]
    with CycleJournal(path, LINE, SETTINGS.text) as written:
        past.told_start(written, SETTINGS, Past(), "ada", Mode.AUTO, Mode.AUTO, "a test")
        for roll, trace in zip(rolls, traces, strict=True):
            written.record(trace._replace(roll=roll), 1.0, 2.0)
        written.audit("ada", What.MODE, "auto", "hold", "x" * 1000)
        written.audit("ada", What.SETPOINT, "", "pump trim, percent: 1.000", "<b>more</b>")
    last = traces[-1]
    kept = restart.kept(drive.config, drive.state, last.web_m, last.roll, last.batch)
    file.write(file.path_beside(path), kept, Identity.of(SETTINGS), last.t_line_ns)
    return path


@pytest.fixture
def page(journal: Path) -> Iterator[TestClient]:
    with TestClient(server.application(Source(journal), ("127.0.0.1",)), base_url="http://127.0.0.1") as client:
        yield client


def test_capability_is_that_of_what_the_gauge_read(page: TestClient, driven: tuple[Drive, list[Trace]]) -> None:
    told = page.get("/capability.json?minutes=5").json()
    rows = [trace for trace in driven[1] if trace.profile_valid.any()]
    profile = np.array([np.where(trace.profile_valid, trace.profile_gsm, np.nan) for trace in rows])
    target = np.array([LINE.target_profile_gsm * (trace.target_gsm / LINE.target_profile_gsm.mean()) for trace in rows])
    off = 100.0 * (profile.astype(np.float32) / target - 1.0)
    assert told["looks"] == len(rows)
    assert told["mean_pct"] == pytest.approx(np.nanmean(off), abs=1e-4)
    assert told["sigma_pct"] == pytest.approx(np.sqrt(np.nanmean(off**2)), abs=1e-4)
    tolerance = LINE.target.tolerance_pct
    assert told["cpk"] == pytest.approx((tolerance - abs(np.nanmean(off))) / (3.0 * np.nanstd(off)), rel=1e-3)
    beyond = (np.abs(off) > tolerance).sum(axis=1) / np.isfinite(off).sum(axis=1)
    assert told["out_pct"] == pytest.approx(100.0 * np.mean(beyond > pages.OUT_SHARE))


def test_rolls_come_newest_first_and_a_page_at_a_time(page: TestClient, driven: tuple[Drive, list[Trace]]) -> None:
    told = page.get("/rolls.json").json()
    assert [roll["roll"] for roll in told] == [8, 7, 2, 1]
    assert [roll["first_row"] for roll in told] == [65, 32, 31, 1]
    web = [trace.web_m for trace in driven[1]]
    assert told[1]["metres"] == pytest.approx(web[63] - web[31])
    assert told[2]["metres"] == 0.0
    assert [roll["interventions"] for roll in told] == [0, 0, 0, 0], "they came after the last cycle"
    first = page.get("/rolls.json?most=2").json()
    assert [*first, *page.get(f"/rolls.json?before={first[-1]['first_row']}").json()] == told
    assert page.get("/rolls.json?before=1").json() == []


def test_a_roll_has_the_names_that_the_plant_gave_it(tmp_path: Path, driven: Any) -> None:
    path = tmp_path / "journal.sqlite"
    with CycleJournal(path, LINE, SETTINGS.text) as written:
        for roll in (1, 2):
            written.name("ada", {"roll_name": f"R-{roll}", "production_order": "4711"}, "")
            written.record(driven[1][roll]._replace(roll=roll), 1.0, 2.0)
    with CycleJournal(path, LINE, SETTINGS.text) as written:
        written.name("ada", {"material_lot": "too late for both"}, "")
    told = pages.Pages(path, LINE).rolls(1000, 9)
    assert [(roll["roll_name"], roll["production_order"], roll["material_lot"]) for roll in told] == [
        ("R-2", "4711", ""), ("R-1", "4711", ""),
    ]  # fmt: skip


def test_a_long_roll_is_looked_at_and_not_read(page: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "LOOKS", 5)
    told = page.get("/rolls.json").json()
    assert all(roll["looks"] <= 5 for roll in told) and [roll["roll"] for roll in told] == [8, 7, 2, 1]


def test_what_a_person_asked_for_during_a_roll_is_counted_with_it(tmp_path: Path, driven: Any) -> None:
    path = tmp_path / "journal.sqlite"
    with CycleJournal(path, LINE, SETTINGS.text) as written:
        written.record(driven[1][0], 1.0, 2.0)
        written.audit("ada", What.MODE, "auto", "hold", "")
        written.audit("evencoat", What.MODEL, "", "", "no person")
        written.record(driven[1][1], 1.0, 2.0)
    (roll,) = pages.Pages(path, LINE).rolls(10, 5)
    assert roll["interventions"] == 1


def test_the_chain_comes_newest_first_as_it_is_and_long_texts_are_cut(page: TestClient, journal: Path) -> None:
    told = page.get("/audit.json").json()
    assert [record["seq"] for record in told] == [3, 2, 1]
    assert told[0]["why"] == "<b>more</b>" and told[0]["who"] == "ada"
    assert told[1]["why"] == "x" * pages.TEXT_MOST + "…"
    with JournalReader(journal) as reader:
        assert [record["hash"] for record in told] == [record.hash for record in reversed(reader.audit())]
    assert [record["seq"] for record in page.get("/audit.json?before=3&most=1").json()] == [2]


def test_the_verdict_on_the_chain_is_that_of_the_journal(page: TestClient, journal: Path) -> None:
    told = page.get("/verify.json").json()
    with JournalReader(journal) as reader:
        assert told.items() >= reader.verify().as_dict().items()
    assert told["ok"] and told["records"] == 3


@pytest.mark.parametrize("address", [f"{path}?{query}" for path in READ for query in (
    "minutes=-1", "minutes=1e9", "minutes=nan", "minutes=%00", "most=0", "most=41e9", "before=0", "before=-5",
    "before=1;DROP TABLE audit", "most=inf", "before=" + "9" * 400, "most=&before=", "most=1&most=x",
)])  # fmt: skip
def test_whatever_is_asked_is_answered_or_refused_by_name(page: TestClient, address: str) -> None:
    answer = page.get(address)
    assert answer.status_code in (200, 400)
    if answer.status_code == 400:
        name = answer.json()["error"].split(" = ")[0]
        assert name in address and "must lie between" in answer.json()["error"]


def test_what_is_believed_is_what_the_controller_kept(page: TestClient, driven: tuple[Drive, list[Trace]]) -> None:
    drive = driven[0]
    told = page.get("/belief.json").json()
    assert told["known"] and told["law"] == "adaptive"
    assert told["map"]["modes"] == drive.config.estimator.response.modes
    assert told["map"]["kernel_fwhm_pitches"] == LINE.die.kernel_fwhm_pitches
    assert told["delay"]["dead_m"] == LINE.primary_gauge.distance_m
    assert told["loop"]["rungs"][told["loop"]["rung"]] == str(Rung.OWN)
    assert told["commissioned"] is None


def test_virtual_areal_density_is_the_core_s_own_with_its_interval(page: TestClient, driven: Any) -> None:
    drive, traces = driven
    told = page.get("/virtual.json").json()
    own = core_virtual(drive, traces[-1].web_m)
    np.testing.assert_allclose(told["areal_density_gsm"], own.areal_density_gsm[0])
    np.testing.assert_allclose(told["half_gsm"], own.half_gsm[0])
    assert min(told["half_gsm"]) > 0.0


def core_virtual(drive: Drive, web_m: float) -> Any:
    from controller.core import virtual

    return virtual.areal_density(drive.config.estimator, drive.state.estimate, np.array([web_m]))


def test_a_commissioned_line_is_believed_as_somebody_signed_it(tmp_path: Path, driven: Any) -> None:
    response = ResponseTable(
        gain_factor=1.2,
        kernel_fwhm_pitches=2.1,
        kernel_lobe=1.0,
        alignment_shift_mm=3.0,
        alignment_uncertainty_mm=2.0,
        alignment_stretch_pct=0.5,
        bolt_gains=[],
        bolt_delivery=[],
    )
    model = ModelFile(
        line=LINE.name,
        belongs_to="it",
        found_at="2026-11-23",
        signed_off_by="ada",
        response=response,
        gauges=PlacesTable(),
    )
    settings = replace(SETTINGS, line=applied(LINE, model), model=model)
    path = tmp_path / "journal.sqlite"
    with CycleJournal(path, settings.line, settings.text) as written:
        past.told_start(written, settings, Past(), "ada", Mode.AUTO, Mode.AUTO, "a test")
        written.record(driven[1][0], 1.0, 2.0)
    config = file.config_of(settings, None)
    kept = restart.kept(config, core.init(config, Mode.HOLD), 0.0, 1, 1)
    file.write(file.path_beside(path), kept, Identity.of(settings), 0)
    told = Belief(Source(path)).told()
    assert (told["map"]["gain_factor"], told["map"]["shift_mm"]) == (1.2, 3.0)
    assert told["commissioned"] == {"found_at": "2026-11-23", "signed_off_by": "ada"}


def test_without_a_snapshot_the_reason_is_told_and_no_number(tmp_path: Path, driven: Any) -> None:
    path = tmp_path / "journal.sqlite"
    with CycleJournal(path, LINE, SETTINGS.text) as written:
        written.record(driven[1][0], 1.0, 2.0)
    with TestClient(server.application(Source(path), ("127.0.0.1",)), base_url="http://127.0.0.1") as client:
        told = client.get("/virtual.json").json()
        assert not told["known"] and "snapshot" in told["why"] and set(told) == {"known", "why"}
        file.path_beside(path).write_bytes(b"\xff" * 1000)
        assert "cannot be read" in client.get("/belief.json").json()["why"]
        foreign = core.init(driven[0].config, Mode.HOLD)
        kept = restart.kept(driven[0].config, foreign, 0.0, 1, 1)
        file.write(file.path_beside(path), kept, replace(Identity.of(SETTINGS), line="another"), 0)
        assert "another line" in client.get("/belief.json").json()["why"]


def test_a_journal_without_cycles_has_nothing_to_show_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    CycleJournal(path, LINE, SETTINGS.text).close()
    with TestClient(server.application(Source(path), ("127.0.0.1",)), base_url="http://127.0.0.1") as client:
        assert client.get("/rolls.json").json() == [] and client.get("/audit.json").json() == []
        told = client.get("/capability.json").json()
        assert told["looks"] == 0 and told["cpk"] is None
        assert client.get("/verify.json").json()["ok"]


# --- words -------------------------------------------------------------------------------------------------------


def static(name: str) -> str:
    return resources.files("evencoat.hmi").joinpath("static", name).read_text()


def block(text: str, begin: str) -> str:
    return text.split(begin)[1].split("\n  },\n", maxsplit=1)[0]


def test_both_languages_have_the_same_words_with_the_same_places_for_values() -> None:
    text = static("words.js").split("export const SAID")[0]
    found = []
    for language in ("  en: {", "  zh: {"):
        pairs = re.findall(r'(\w+): ("(?:[^"\\]|\\.)*")', block(text, language))
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names)), f"said twice: {[name for name in names if names.count(name) > 1]}"
        found.append({name: sorted(re.findall(r"\{(\w)\}", json.loads(word))) for name, word in pairs})
    assert found[0] == found[1]


def test_every_word_that_the_pages_use_is_there() -> None:
    told = set(re.findall(r'(\w+): "', block(static("words.js"), "  en: {")))
    files = [entry.name for entry in resources.files("evencoat.hmi").joinpath("static").iterdir()]
    used = set(re.findall(r'data-word="(\w+)"', static("index.html")))
    for name in files:
        if name.endswith(".js"):
            used |= set(re.findall(r"\b(?:said|told|words\(\))\.(\w+)\b(?!\()", static(name))) & told
            used |= set(re.findall(r"words\(\)\.(\w+)", static(name)))
    assert used <= told and len(used) > 0.8 * len(told)


def test_what_the_controller_says_is_said_in_chinese_too() -> None:
    text = static("words.js").split("export const SAID")[1]
    said = {str(one) for kind in (Outcome, Rung, Cause, Limit, Mode, What, LinkState) for one in kind}
    said |= {str(one).replace("_", " ") for one in Telegram if one is not Telegram.HEARTBEAT}
    said |= {node.name.lower().replace("_", " ") for node in Node}
    said |= {str(one) for kind in (State, Priority, Ne107, Role, PackMl) for one in kind} | set(VIAS)
    missing = [words for words in sorted(said) if f'"{words}": "' not in text and f" {words}: " not in text]
    assert missing == []


def test_the_page_lets_those_ask_whom_the_desk_would_let() -> None:
    table = static("access.js").split("const LEAST = {")[1].split("}")[0]
    least = dict(re.findall(r'(\w+): "(\w+)"', table))
    assert least.pop("alarm") == Role.OPERATOR and least.pop("save") == Role.ENGINEER
    offered = {name: action.least for name, action in ACTIONS.items() if name != "note"}
    assert least == offered, "a new action has its place on the page, or is named here as one that has none"
    assert json.loads(static("access.js").split("const ROLES = ")[1].split(";")[0]) == list(Role)
    latched = json.loads(static("controls.js").split("const LATCHED = ")[1].split(";")[0])
    assert latched == [Outcome.NODES_LATCHED, Outcome.SAFE_STOP]
    assert f"SHELF_MOST_MIN = {SHELVED_MOST_S / 60.0:.0f};" in static("alarms.js")


def test_every_address_that_the_pages_ask_exists(page: TestClient) -> None:
    files = [
        entry for entry in resources.files("evencoat.hmi").joinpath("static").iterdir() if entry.name[-3:] == ".js"
    ]
    found = {one for entry in files for one in re.findall(r'asked\(["`]([\w-]+\.json)', entry.read_text())}
    assert {"forecast.json", "what-if.json", "diagnosis.json"} <= found
    assert [address for address in sorted(found) if page.get(f"/{address}").status_code == 404] == []


def in_chinese(sentence: str) -> list[tuple[re.Match[str], str]]:
    """The rules that a sentence falls under, and what they make of it."""
    rules = re.findall(r'^  \[/(.+)/, "(.+)"\],$', static("words.js").split("export const SENTENCES")[1], re.MULTILINE)
    found = [(re.search(rule, sentence), told) for rule, told in rules]
    return [(match, told) for match, told in found if match is not None]


def test_what_the_forecasts_say_is_said_in_chinese_too() -> None:
    with pytest.raises(WhatIfError) as refused:
        answer(LINE, speed_m_per_min=900.0)
    said = [
        *answer(LINE, solids_pct=0.3)["assumes"],
        str(refused.value),
        "reading the run: 9 cycles to go",
        "bolts 3 to 4",
    ]
    said += ["bolt travel", "neighbours", "pump trim", "filter", "pressure", "drift", str(Teller(LINE).told()["why"])]
    words = static("words.js").split("export const SAID")[1]
    assert [
        one for one in said if f'"{one}": "' not in words and f" {one}: " not in words and len(in_chinese(one)) != 1
    ] == []


@pytest.mark.parametrize(
    "sentence",
    [
        "vera is viewer, and this takes operator",
        "nobody is in command; to ask for this, take command first",
        "ada via opcua is in command; to ask for this, take command first",
        "ada via page is in command; an admin may take it with force",
        "in command, as long as something is asked for every 30 minutes",
        "target_gsm.value = 300: must lie between 172.8 and 187.2 g/m2",
        "no cycle took it in within 3 s: is the line heard?",
        "gap_um: only in manual; the line is in auto, and zone 3 is not held by hand",
        "pump_trim_pct: only in manual; the line is in hold (a node holds by itself and waits for re-arm)",
        "too many attempts; wait 5 minutes",
        "alarm link-silent/die: seen",
        "alarm link-silent/die: put aside for 30 minutes",
    ],
)
def test_the_desk_s_usual_sentences_are_said_in_chinese(sentence: str) -> None:
    hits = in_chinese(sentence)
    assert len(hits) == 1
    match, told = hits[0]
    assert max(map(int, re.findall(r"\{(\d)\}", told)), default=0) <= len(match.groups())
