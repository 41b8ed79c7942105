"""Login, sessions and the way to the desk: nothing is had without the right, and whoever tries is on record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from evencoat import picture
from evencoat.alarms.service import AlarmService
from evencoat.desk import users as file
from evencoat.desk.channel import Channel
from evencoat.desk.client import socket_of
from evencoat.desk.users import Role
from evencoat.hmi import access as room
from evencoat.hmi import server
from evencoat.hmi.access import Access
from evencoat.hmi.source import Source
from evencoat.picture import Easel
from tests.evencoat.desk.lines import Clock, DeskLine

HERE = "http://127.0.0.1"
PASSWORD = "quite a long password"


@pytest.fixture(scope="module")
def hashes(tmp_path_factory) -> str:
    """A users file made once: argon2 takes its time."""
    path = tmp_path_factory.mktemp("users") / "users.json"
    file.add(path, "omar", Role.OPERATOR, PASSWORD)
    file.add(path, "vera", Role.VIEWER, PASSWORD)
    return path.read_text()


class Page:
    """A browser's view of a line with a desk."""

    def __init__(self, folder: Path, hashes: str, **options: Any) -> None:
        self.desk = DeskLine(folder)
        self.users = self.desk.users.path
        self.users.write_text(hashes)
        self.channel = Channel(socket_of(self.desk.path), self.desk.clerk)
        self.clock = Clock()
        self.access = Access(self.desk.path, self.users, clock=self.clock, **options)
        self.app = server.application(Source(self.desk.path), ("127.0.0.1",), self.access)
        self.client = TestClient(self.app, base_url=HERE)

    def post(self, path: str, told: Any, csrf: str = "", **headers: str) -> httpx.Response:
        own = {"origin": HERE, "x-csrf-token": csrf, "content-type": "application/json"}
        return self.client.post(path, content=json.dumps(told), headers={**own, **headers})

    def login(self, name: str = "omar", password: str = PASSWORD) -> str:
        answer = self.post("/login", {"name": name, "password": password})
        assert answer.status_code == 200, answer.text
        return answer.json()["csrf"]

    def ask(self, csrf: str, action: str, **values: Any) -> httpx.Response:
        return self.post("/ask", {"action": action, "values": values, "why": "a test"}, csrf)

    def refused(self) -> list[str]:
        self.channel.close()
        return [f"{record.who}: {record.new}" for record in self.desk.records() if record.what == "refused"]


@pytest.fixture
def page(tmp_path, hashes) -> Iterator[Page]:
    made = Page(tmp_path, hashes)
    yield made
    made.channel.close()
    made.desk.journal.close()


def test_who_logs_in_asks_for_what_the_role_allows_and_is_named_in_the_record(page):
    nobody = page.client.get("/session.json").json()
    assert nobody["takes"] and nobody["who"] is None
    csrf = page.login()
    told = page.client.get("/session.json").json()
    assert (told["who"], told["role"], told["csrf"], told["holder"]) == ("omar", "operator", csrf, None)
    assert page.ask(csrf, "take_command").json()["accepted"]
    page.clock.now_s += 1.0
    assert page.client.get("/session.json").json()["holder"]["who"] == "omar"
    answer = page.ask(csrf, "mode", mode="sideways")
    assert (answer.status_code, answer.json()["accepted"]) == (200, False)
    assert "sideways" in answer.json()["reason"]
    assert page.post("/logout", {}, csrf).status_code == 200
    assert page.client.get("/session.json").json()["who"] is None
    assert page.ask(csrf, "take_command").status_code == 401
    page.channel.close()
    records = [(record.who, record.what) for record in page.desk.records()]
    assert records == [
        ("omar via page", "user"),
        ("omar via page", "command"),
        ("omar via page", "refused"),
        ("omar via page", "command"),
        ("omar via page", "user"),
        ("somebody via page", "refused"),
    ]


def test_the_cookie_is_no_script_s_no_other_page_s_and_long(page):
    page.login()
    answer = page.post("/login", {"name": "omar", "password": PASSWORD})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/" in cookie and "Domain" not in cookie
    assert len(cookie.partition("=")[2].partition(";")[0]) >= 43, "256 bits"


def test_with_tls_the_cookie_is_secure_and_this_host_s(tmp_path, hashes):
    page = Page(tmp_path, hashes, secure=True)
    cookie = page.post("/login", {"name": "omar", "password": PASSWORD}).headers["set-cookie"]
    assert "Secure" in cookie and cookie.startswith("__Host-")
    page.channel.close()
    page.desk.journal.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-csrf-token": ""}, 403),
        ({"x-csrf-token": "guessed"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://["}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://127.0.0.1"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"cookie": "evencoat=none"}, 401),
    ],
)
def test_a_request_that_another_page_could_have_made_is_refused_and_on_record(page, headers, status):
    csrf = page.login("vera")
    if "cookie" in headers:
        page.client.cookies.clear()
    answer = (
        page.post("/ask", {"action": "note", "values": {"what": "remark", "text": "x"}}, csrf, **headers)
        if "x-csrf-token" not in headers
        else page.post("/ask", {"action": "note", "values": {"what": "remark", "text": "x"}}, headers["x-csrf-token"])
    )
    assert answer.status_code == status, answer.text
    assert len(page.refused()) == 1


def test_sessions_end_by_idleness_by_age_by_password_and_by_removal(page):
    for ends in (
        lambda: setattr(page.clock, "now_s", page.clock.now_s + room.IDLE_S),
        lambda: file.set_password(page.users, "omar", PASSWORD + "!"),
        lambda: file.remove(page.users, "omar"),
    ):
        csrf = page.login("omar", PASSWORD)
        assert page.client.get("/session.json").json()["who"] == "omar"
        ends()
        assert page.client.get("/session.json").json()["who"] is None
        assert page.ask(csrf, "take_command").status_code == 401
        if "omar" in page.access._users.all():
            file.set_password(page.users, "omar", PASSWORD)
    csrf = page.login("vera")
    for _ in range(25):
        page.clock.now_s += room.ABSOLUTE_S / 25
        page.ask(csrf, "note", what="remark", text="still here")
    assert page.client.get("/session.json").json()["who"] is None


def test_guessing_passwords_is_slowed_down_and_on_record(page):
    for _ in range(room.LOGINS_MOST["user and address"]):
        answer = page.post("/login", {"name": "omar", "password": "guessed, twelve"})
        assert (answer.status_code, answer.json()["error"]) == (401, "name and password do not belong together")
    assert page.post("/login", {"name": "omar", "password": PASSWORD}).status_code == 429, "not even the right one"
    unknown = page.post("/login", {"name": "zoe", "password": "guessed, twelve"})
    assert (unknown.status_code, unknown.json()["error"]) == (401, "name and password do not belong together")
    page.clock.now_s += room.LOGINS_WITHIN_S
    page.login()
    told = page.refused()
    assert len(told) == room.LOGINS_MOST["user and address"] + 2
    assert told[0] == "omar via page: /login: name and password do not belong together (from testclient)"


def test_what_is_said_on_the_picture_s_socket_ends_it_and_is_on_record(page):
    with page.client.websocket_connect("/live", headers={"host": "127.0.0.1", "origin": HERE}) as socket:
        socket.send_text('{"action": "mode", "values": {"mode": "auto"}}')
        said = socket.receive()
        while said["type"] == "websocket.send":
            said = socket.receive()
    assert (said["type"], said["code"]) == ("websocket.close", room.UNWELCOME)
    (record,) = page.refused()
    assert "socket of the picture" in record


@pytest.mark.parametrize(("method", "path"), [("POST", "/line.json"), ("PUT", "/"), ("DELETE", "/events.json")])
def test_who_would_write_where_one_only_reads_is_on_record(page, method, path):
    assert page.client.request(method, path).status_code == 405
    (record,) = page.refused()
    assert f"{method} {path}: only reads" in record


def test_a_closed_page_shows_nothing_of_the_line_before_login(tmp_path, hashes):
    page = Page(tmp_path, hashes, closed=True)
    reads = [route.path for route in page.app.routes if getattr(route, "methods", None) == {"GET", "HEAD"}]
    assert {"/line.json", "/audit.json", "/alarms.json"} < set(reads)
    for path in reads:
        assert page.client.get(path).status_code == (200 if path == "/session.json" else 401), path
    with pytest.raises(WebSocketDisconnect), page.client.websocket_connect("/live", headers={"host": "127.0.0.1"}):
        pass
    for path in ("/", "/page.js", "/session.json"):
        assert page.client.get(path).status_code == 200
    page.login("vera")
    assert page.client.get("/line.json").status_code == 200
    page.channel.close()
    page.desk.journal.close()


def test_where_no_control_process_listens_refusals_are_kept_beside_the_journal_and_bounded(page, monkeypatch):
    csrf = page.login()
    page.channel.close()
    answer = page.ask(csrf, "take_command")
    assert (answer.status_code, answer.json()["accepted"]) == (200, False)
    assert "no control process listens" in answer.json()["reason"]
    kept = page.desk.path.with_name("line.sqlite.refused.jsonl")
    assert "take_command: no control process" in json.loads(kept.read_text())["text"]
    monkeypatch.setattr(room, "KEPT_BYTES_MOST", 1000)
    for _ in range(200):
        page.access._told("omar", "refused", "x" * 100)
    sizes = [path.stat().st_size for path in page.desk.path.parent.glob("line.sqlite.refused.jsonl*")]
    assert len(sizes) == 2 and max(sizes) < 1300


@pytest.mark.parametrize("action", ["tell", "state"])
def test_a_browser_does_not_speak_for_the_page(page, action):
    assert page.ask(page.login(), action, what="user", text="ada has logged in").status_code == 403
    assert "user" not in {record.what for record in page.desk.records()[1:]}


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"[" * 50_000, b"\xff", b'{"action": 3}', b"1" * 5000])
def test_bodies_that_are_none_are_refused(page, body):
    csrf = page.login("vera")
    for path in ("/ask", "/login"):
        headers = {"origin": HERE, "x-csrf-token": csrf, "content-type": "application/json"}
        assert page.client.post(path, content=body, headers=headers).status_code in (400, 401, 413)


def test_a_closed_page_s_socket_ends_with_the_session_that_it_was_opened_in(tmp_path, hashes, monkeypatch):
    monkeypatch.setattr(server, "QUIET_S", 0.01)
    page = Page(tmp_path, hashes, closed=True)
    page.login("vera")
    cookie = f"{page.access.cookie}={page.client.cookies[page.access.cookie]}"
    headers = {"host": "127.0.0.1", "origin": HERE, "cookie": cookie}
    with page.client.websocket_connect("/live", headers=headers) as socket:
        said = socket.receive()
        assert said["type"] == "websocket.send"
        page.clock.now_s += room.IDLE_S
        while said["type"] == "websocket.send":
            said = socket.receive()
    assert (said["type"], said["code"]) == ("websocket.close", room.UNKNOWN)
    page.channel.close()
    page.desk.journal.close()


@pytest.fixture
def alarmed(tmp_path, hashes, monkeypatch) -> Iterator[Page]:
    """A line on which another controller is heard, and the page that says so; for its alarms no time passes."""
    monkeypatch.setattr(server, "AlarmService", partial(AlarmService, clock=lambda: 1e9))
    page = Page(tmp_path, hashes)
    trace = page.desk.line.loop.trace
    assert trace is not None
    easel = Easel(picture.path_of(page.desk.path), trace.gap_um.size)
    with page.client:
        for _ in range(2000):
            easel.show(trace._replace(link_faults=("another controller commands this line",)), 1.0)
            if "intruder" in standing(page):
                break
        yield page
    easel.close()
    page.channel.close()
    page.desk.journal.close()


def standing(page: Page) -> dict[str, tuple[str, str]]:
    """State of each alarm, and who put it there."""
    told = page.client.get("/alarms.json").json()["alarms"]
    return {one["id"]: (one["state"], one["who"]) for one in told}


def test_an_operator_acknowledges_and_shelves_alarms_and_it_is_in_the_audit_chain(alarmed):
    csrf = alarmed.login()
    answer = alarmed.post("/alarms/acknowledge", {"key": "intruder", "why": "a tester's own"}, csrf)
    assert answer.json() == {"accepted": True, "reason": "alarm intruder: seen"}
    assert standing(alarmed)["intruder"] == ("acknowledged", "omar")
    again = alarmed.post("/alarms/acknowledge", {"key": "intruder"}, csrf).json()
    assert (again["accepted"], again["reason"]) == (
        False,
        "intruder: is acknowledged, there is nothing to acknowledge",
    )
    shelved = alarmed.post("/alarms/shelve", {"key": "intruder", "minutes": 5, "why": "a bench"}, csrf)
    assert shelved.json()["accepted"], shelved.text
    assert standing(alarmed)["intruder"] == ("shelved", "omar")
    alarmed.channel.close()
    records = [(record.who, record.what, record.new, record.why) for record in alarmed.desk.records()[1:]]
    assert records == [
        ("omar via page", "acknowledgement", "alarm intruder: seen", "a tester's own"),
        ("omar via page", "acknowledgement", "alarm intruder: seen", ""),
        (
            "omar via page",
            "refused",
            "/alarms/acknowledge: intruder: is acknowledged, there is nothing to acknowledge (from testclient)",
            "",
        ),
        ("omar via page", "acknowledgement", "alarm intruder: put aside for 5 minutes", "a bench"),
    ]


def test_a_second_page_of_a_line_takes_no_acknowledgement_and_says_why(alarmed):
    csrf = alarmed.login()
    app = server.application(Source(alarmed.desk.path), ("127.0.0.1",), alarmed.access)
    with TestClient(app, base_url=HERE, cookies=alarmed.client.cookies) as alarmed.client:
        told = alarmed.client.get("/alarms.json").json()
        assert told["elsewhere"] and [one["state"] for one in told["alarms"]] == ["active"]
        answers = [
            alarmed.post("/alarms/acknowledge", {"key": "intruder"}, csrf).json(),
            alarmed.post("/alarms/shelve", {"key": "intruder", "minutes": 5, "why": "a bench"}, csrf).json(),
        ]
    assert answers == 2 * [{"accepted": False, "reason": told["problem"]}]
    assert "another process keeps the alarms" in told["problem"]
    alarmed.channel.close()
    assert [record.what for record in alarmed.desk.records()[1:]] == ["refused", "refused"]


def test_alarms_of_a_line_whose_control_process_is_gone_are_seen_to_and_that_is_kept_beside_the_journal(alarmed):
    csrf = alarmed.login()
    alarmed.channel.close()
    assert alarmed.post("/alarms/acknowledge", {"key": "intruder"}, csrf).json()["accepted"]
    kept = json.loads(alarmed.desk.path.with_name("line.sqlite.refused.jsonl").read_text())
    assert (kept["who"], kept["what"], kept["text"]) == ("omar", "acknowledgement", "alarm intruder: seen")


@pytest.mark.parametrize(
    ("path", "told", "words"),
    [
        ("/alarms/acknowledge", {}, "key = null"),
        ("/alarms/acknowledge", {"key": ["intruder"]}, "key = "),
        ("/alarms/acknowledge", {"key": "a\nb"}, "key: must be one line"),
        ("/alarms/acknowledge", {"key": "x" * 81}, "more than 80 characters"),
        ("/alarms/acknowledge", {"key": "intruder", "who": "ada"}, 'takes key, why, not "who"'),
        ("/alarms/acknowledge", {"key": "intruder", "why": "x" * 501}, "must be a text of 0 to 500 characters"),
        ("/alarms/acknowledge", {"key": "intruder", "why": 7}, "why = 7"),
        ("/alarms/shelve", {"key": "intruder", "minutes": 10**400, "why": "x"}, "must lie above 0 and at most 480"),
        ("/alarms/shelve", {"key": "intruder", "minutes": float("nan"), "why": "x"}, "minutes = NaN"),
        ("/alarms/shelve", {"key": "intruder", "minutes": True, "why": "x"}, "minutes = true"),
        ("/alarms/shelve", {"key": "intruder", "minutes": 5}, "why = null"),
    ],
)
def test_what_is_asked_of_an_alarm_is_bounded_and_what_is_not_is_refused_and_on_record(page, path, told, words):
    answer = page.post(path, told, page.login())
    assert answer.status_code == 400 and words in answer.json()["error"]
    (record,) = page.refused()
    assert words in record


def test_alarms_are_an_operator_s_with_a_session_and_its_token_and_nobody_else_s(alarmed):
    for path, told in (
        ("/alarms/acknowledge", {"key": "intruder"}),
        ("/alarms/shelve", {"key": "intruder", "minutes": 5, "why": "x"}),
    ):
        alarmed.client.cookies.clear()
        assert alarmed.post(path, told).status_code == 401
        csrf = alarmed.login("vera")
        answer = alarmed.post(path, told, csrf)
        assert (answer.status_code, answer.json()["error"]) == (403, "vera is viewer, and this takes operator")
        csrf = alarmed.login("omar")
        assert alarmed.post(path, told, "guessed").status_code == 403
        assert alarmed.post(path, told, csrf, origin="http://evil.example").status_code == 403
        assert alarmed.client.get(path).status_code in (404, 405)
    assert standing(alarmed)["intruder"] == ("active", "")
    assert len(alarmed.refused()) == 8
