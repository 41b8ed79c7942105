"""Whatever a browser, or somebody who is none, sends to the page: an answer comes, and it is never that we broke."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evencoat.desk import channel
from evencoat.desk import users as file
from evencoat.desk.actions import ACTIONS
from evencoat.desk.users import Role
from evencoat.hmi.access import WRITES
from tests.evencoat.hmi.test_access import HERE, PASSWORD, Page

READS = ("/", "/line.json", "/recent", "/events.json", "/capability.json", "/rolls.json", "/audit.json", "/recipe.json")
PATHS = (
    *READS,
    *WRITES,
    "/recipes.json",
    "/verify.json",
    "/belief.json",
    "/virtual.json",
    "/alarms.json",
    "/forecast.json",
    "/what-if.json",
    "/diagnosis.json",
    "/session.json",
    "/live",
    "/page.js",
)
LETTERS = st.characters(exclude_categories=("Cs",))
BYTES = st.binary(max_size=40)
WORDS = st.text(st.characters(), max_size=20)  # halves of letters too: JSON can write them
SMALL = st.none() | st.booleans() | st.floats() | st.integers(-(10**30), 10**30) | WORDS
JSON = st.recursive(SMALL, lambda one: st.lists(one, max_size=3) | st.dictionaries(WORDS, one, max_size=3))
KEYS = st.sampled_from(["name", "password", "action", "values", "why", "key", "minutes", "ref", "lips"])
NAMES = st.sampled_from([*ACTIONS, "tell", "state", "omar", "intruder", "bolt-stuck/3"])
VALUES = st.dictionaries(
    st.sampled_from(["mode", "targets", "value", "zones", "manual", "what", "text", "force"]), JSON
)
LOGIN = st.fixed_dictionaries({"name": NAMES | JSON, "password": NAMES | JSON})
ASK = st.fixed_dictionaries({"action": NAMES}, optional={"values": VALUES | JSON, "why": WORDS | JSON})
ALARM = st.fixed_dictionaries({"key": NAMES | JSON}, optional={"minutes": st.floats(0.0, 500.0) | JSON, "why": WORDS})
TOLD = LOGIN | ASK | ALARM | st.dictionaries(KEYS, NAMES | VALUES | JSON, max_size=5)
BODIES = st.binary(max_size=200) | TOLD.map(lambda told: json.dumps(told).encode())
ASKED = st.one_of(
    st.tuples(st.just("/ask"), ASK.map(lambda told: json.dumps(told).encode())),
    st.tuples(st.sampled_from(WRITES[3:]), ALARM.map(lambda told: json.dumps(told).encode())),
    st.tuples(st.sampled_from(WRITES[2:]), BODIES),
)
QUERIES = BYTES | st.builds(
    lambda name, value: f"{name}={value}".encode(),
    st.sampled_from(["minutes", "before", "most", "target", "speed", "solids"]),
    st.floats() | st.integers() | st.text(st.characters(codec="ascii"), max_size=10),
)
HEADERS = st.dictionaries(
    st.sampled_from([b"origin", b"cookie", b"content-type", b"x-csrf-token", b"content-length", b"range", b"accept",
                     b"if-modified-since", b"if-none-match", b"if-range"]),
    BYTES, max_size=4)  # fmt: skip
METHODS = st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "x\x00y"])


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page with its desk; what bounds the desk's costs in time is not what is looked at here."""
    folder = tmp_path_factory.mktemp("fuzz")
    file.add(folder / "known.json", "omar", Role.ADMIN, PASSWORD)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ACCEPT_PAUSE_S", "TURN_S", "LINE_PAUSE_S"):
            patch.setattr(channel, name, 0.0)
        made = Page(folder, (folder / "known.json").read_text())
        made.desk.clerk._taken_within_s = 0.0  # no cycle comes
        with made.client:
            yield made
        made.channel.close()
        made.desk.journal.close()


@pytest.fixture(scope="module")
def proven(page: Page) -> dict[bytes, bytes]:
    """The headers of somebody who may all."""
    csrf = page.login()
    cookie = f"{page.access.cookie}={page.client.cookies[page.access.cookie]}"
    told = {"origin": HERE, "cookie": cookie, "content-type": "application/json", "x-csrf-token": csrf}
    return {name.encode(): value.encode() for name, value in told.items()}


def status(page: Page, method: str, path: str, query: bytes, headers: dict[bytes, bytes], body: bytes) -> int:
    """The page's answer to a request as a server would hand it over; what it raises is raised."""
    said: list[Any] = []
    parts = [{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return parts.pop(0) if len(parts) > 1 else parts[0]

    async def send(message: Any) -> None:
        said.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": query, "root_path": "", "client": ("127.0.0.1", 1),
        "headers": list({b"host": b"127.0.0.1", **headers}.items()), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    assert page.client.portal is not None
    page.client.portal.call(page.app, scope, receive, send)
    (began,) = [message for message in said if message["type"] == "http.response.start"]
    return int(began["status"])


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.booleans(),
    METHODS,
    st.sampled_from(PATHS) | st.text(LETTERS, max_size=30).map("/".__add__),
    QUERIES,
    HEADERS,
    BODIES,
)
def test_whoever_has_not_logged_in_gets_an_answer_and_nothing_done(
    page: Page, own: bool, method: str, path: str, query: bytes, headers: dict[bytes, bytes], body: bytes
) -> None:
    page.clock.now_s += 1.0
    headers |= {b"origin": HERE.encode(), b"content-type": b"application/json"} if own else {}
    answer = status(page, method, path, query, headers, body)
    assert answer < 500
    assert path not in WRITES or answer >= 400


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(ASKED, HEADERS)
def test_whoever_has_logged_in_gets_an_answer_whatever_is_asked(
    page: Page, proven: dict[bytes, bytes], asked: tuple[str, bytes], headers: dict[bytes, bytes]
) -> None:
    page.clock.now_s += 1.0
    path, body = asked
    assert status(page, "POST", path, b"", {**headers, **proven}, body) < 500
