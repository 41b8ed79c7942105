"""The page's server: what it tells is what picture and journal have, and strangers are told nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from controller.core.trace import Trace
from evencoat import picture
from evencoat.hmi import server
from evencoat.hmi.source import Source, SourceError, journal_of
from evencoat.journal import CycleJournal
from evencoat.picture import Easel
from evencoat.settings import load_line
from tests.controller.core.test_step import Drive
from tests.factories import ToyWeb

SETTINGS = load_line("pilot-16")
HERE = "http://127.0.0.1"
STATIC = resources.files("evencoat.hmi").joinpath("static")
OWN = sorted(entry.name for entry in STATIC.iterdir() if entry.is_file())


@pytest.fixture(scope="module")
def traces() -> list[Trace]:
    drive = Drive(ToyWeb(SETTINGS.line))
    return [drive.cycle() for _ in range(40)]


@pytest.fixture(scope="module")
def journal(traces, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("run") / "journal.sqlite"
    with CycleJournal(path, SETTINGS.line, SETTINGS.text) as written:
        for trace in traces:
            written.record(trace, 1.0, 2.0)
        written.event("alarm", "bolt 7 <b>sticks</b>")
        written.event("mode", "auto")
    return path


@pytest.fixture
def page(journal) -> Iterator[TestClient]:
    with TestClient(server.application(Source(journal), ("127.0.0.1",)), base_url=HERE) as client:
        yield client


def live(page: TestClient, **headers: str) -> WebSocketTestSession:
    return page.websocket_connect("/live", headers={"host": "127.0.0.1", **headers})


def messages(content: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(content):
        (length,) = picture.PREFIX.unpack_from(content, at)
        found.append(content[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def test_the_line_s_scales_are_those_of_its_file(page):
    told = page.get("/line.json").json()
    line = SETTINGS.line
    assert (told["name"], told["zones"], told["tolerance_pct"]) == (line.name, 16, line.target.tolerance_pct)
    assert told["target_gsm"] == line.target_profile_gsm.tolist()
    assert (told["gap_min_um"], told["gap_max_um"]) == (line.lips.gap_min_um, line.lips.gap_max_um)


def test_a_page_that_was_made_for_looking_only_says_so(page):
    told = page.get("/session.json").json()
    assert not told["takes"] and told["who"] is None and told["holder"] is None
    assert page.post("/login", json={"name": "ada", "password": "x" * 12}).status_code == 405


def test_what_lies_behind_is_the_journal_s_last_minutes_oldest_first(page, traces):
    told = [picture.told(content) for content in messages(page.get("/recent?minutes=5").content)]
    assert [head["cycle"] for head, _ in told] == [trace.cycle for trace in traces]
    np.testing.assert_array_equal(told[7][1]["profile_gsm"], np.asarray(traces[7].profile_gsm, "<f4"))


def test_long_stretches_are_thinned_and_end_with_the_newest_cycle(page, traces, monkeypatch):
    monkeypatch.setattr("evencoat.hmi.source.ROWS_MOST", 10)
    minutes = 40 * SETTINGS.line.control.cycle_s / 60.0
    told = [picture.told(content)[0]["cycle"] for content in messages(page.get(f"/recent?minutes={minutes}").content)]
    assert len(told) == 10 and told[-1] == traces[-1].cycle
    assert set(np.diff(told)) == {4}


@pytest.mark.parametrize("minutes", ["-1", "1e9", "nan", "many", ""])
def test_minutes_that_are_none_are_refused_by_name_and_bound(page, minutes):
    answer = page.get(f"/recent?minutes={minutes}")
    assert answer.status_code == 400
    assert "between 0 and 1440" in answer.json()["error"]


def test_events_come_newest_first_and_as_they_are(page):
    told = page.get("/events.json").json()
    assert [event["text"] for event in told] == ["auto", "bolt 7 <b>sticks</b>"]


def test_the_newest_cycle_comes_at_once_and_each_one_after_it(page, journal, traces):
    easel = Easel(picture.path_of(journal), SETTINGS.line.zones)
    try:
        with live(page) as socket:
            assert picture.told(socket.receive_bytes())[0]["cycle"] == traces[-1].cycle, "the journal's, so far"
            for trace in traces[:3]:
                easel.show(trace, 7.0)
                head, arrays = picture.told(socket.receive_bytes())
                assert (head["cycle"], head["lateness_us"]) == (trace.cycle, 7.0)
                np.testing.assert_array_equal(arrays["gap_um"], np.asarray(trace.gap_um, "<f4"))
            assert socket.receive_text() == "quiet", "said so where nothing comes"
    finally:
        easel.close()


@pytest.mark.parametrize("path", ["/", *(f"/{name}" for name in OWN)])
def test_the_page_is_served_and_lets_nobody_frame_it_or_run_scripts_of_others(page, path):
    answer = page.get(path)
    assert answer.status_code == 200
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY"
    assert "://" not in answer.text.replace("http://www.w3.org", "").replace('ws"}://', ""), "works without a network"


def test_what_is_of_others_is_what_its_note_says_it_is(page):
    told = page.get("/vendor/README.txt").text
    listed = {line.split()[1]: line.split()[0] for line in told.splitlines() if line.count("  ") == 1}
    assert set(listed) == {entry.name for entry in STATIC.joinpath("vendor").iterdir()} - {"README.txt"}
    for name, sha256 in listed.items():
        assert hashlib.sha256(page.get(f"/vendor/{name}").content).hexdigest() == sha256


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/", "/line.json", "/recent", "/events.json", "/audit.json", "/belief.json"])
def test_nothing_can_be_written(page, method, path):
    assert page.request(method, path, content=b"{}").status_code == 405


@pytest.mark.parametrize("path", ["/../server.py", "/%2e%2e/server.py", "/..%2fserver.py", "/nothing"])
def test_nothing_but_the_page_is_to_be_had(page, path):
    assert page.get(path).status_code == 404


def test_who_asks_under_a_strange_name_is_refused(page):
    assert page.get("/line.json", headers={"host": "evil.example"}).status_code == 400


def test_a_page_of_somebody_else_is_not_fed(page):
    with (
        pytest.raises(WebSocketDisconnect),
        live(page, origin="https://evil.example") as socket,
    ):
        socket.receive_bytes()
    with live(page, origin=HERE) as socket:
        assert socket.receive_bytes()


def test_more_browsers_than_there_can_be_are_turned_away(page, monkeypatch):
    monkeypatch.setattr(server, "CLIENTS_MOST", 1)
    with live(page) as socket:
        assert socket.receive_bytes()
        with pytest.raises(WebSocketDisconnect), live(page) as second:
            second.receive_bytes()
    with live(page) as socket:
        assert socket.receive_bytes(), "who left makes room"


def test_a_journal_that_went_away_is_said_so(traces, tmp_path):
    path = tmp_path / "journal.sqlite"
    with CycleJournal(path, SETTINGS.line, SETTINGS.text) as written:
        written.record(traces[0], 1.0, 2.0)
    source = Source(path)
    with TestClient(server.application(source, ("127.0.0.1",)), base_url=HERE) as client:
        path.rename(tmp_path / "elsewhere.sqlite")
        answer = client.get("/events.json")
        assert answer.status_code == 503 and "no such journal" in answer.json()["error"]


def test_a_run_s_folder_is_searched_for_its_one_journal(tmp_path):
    with pytest.raises(SourceError, match="no journal"):
        journal_of(tmp_path)
    (tmp_path / "neural").mkdir()
    (tmp_path / "neural" / "journal.sqlite").touch()
    assert journal_of(tmp_path) == tmp_path / "neural" / "journal.sqlite"
    with pytest.raises(SourceError, match="not a cycle journal"):
        Source(journal_of(tmp_path))
    (tmp_path / "journal.sqlite").touch()
    with pytest.raises(SourceError, match="2 journals"):
        journal_of(tmp_path)


def test_a_message_is_json_and_floats_as_the_page_reads_them(page):
    content = messages(page.get("/recent?minutes=1").content)[0]
    (length,) = picture.PREFIX.unpack_from(content)
    head = json.loads(content[4 : 4 + length])
    assert len(content) == 4 + length + 4 * head["zones"] * len(head["arrays"])
