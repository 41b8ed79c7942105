"""Recipes on the page: what there is and what differs is shown, loading and saving are an engineer's and on record."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evencoat.desk import users as file
from evencoat.desk.users import Role
from evencoat.hmi import recipes as room
from evencoat.hmi.recipes import Recipes
from evencoat.hmi.source import Source
from evencoat.recipes.recipe import Recipe, RecipeError
from evencoat.recipes.store import RecipeStore, store_beside
from tests.evencoat.hmi.test_access import PASSWORD, Page
from tests.evencoat.recipes.test_recipe import LIPS
from tests.evencoat.recipes.test_stretch import LINE, TO_GAUGE, ZONES, journal

FIRST = {"line": "pilot-16", "target_gsm": 90.0, "tolerance_pct": 1.0, "speed_m_per_min": 30.0}


@pytest.fixture(scope="module")
def hashes(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("users") / "users.json"
    file.add(path, "enid", Role.ENGINEER, PASSWORD)
    file.add(path, "omar", Role.OPERATOR, PASSWORD)
    return path.read_text()


@pytest.fixture
def page(tmp_path: Path, hashes: str) -> Iterator[Page]:
    made = Page(tmp_path, hashes)
    saved(store_beside(made.desk.path), **FIRST)
    saved(store_beside(made.desk.path), target_gsm=91.5, lips={**LIPS, "gap_um": [500.0] * 16})
    yield made
    made.channel.close()
    made.desk.journal.close()


def saved(store: RecipeStore, **changes: Any) -> Recipe:
    return store.save("anode", changes, "enid", "", lambda _: None)


@contextmanager
def cycling(page: Page) -> Iterator[None]:
    """The line goes on while somebody waits for an answer."""
    ended = threading.Event()

    def cycles() -> None:
        while not ended.wait(0.01):
            page.desk.cycle()

    thread = threading.Thread(target=cycles)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_recipe_is_loaded_with_the_loop_closed_and_then_in_use_and_what_differs_from_it_is_shown(page: Page) -> None:
    told = page.client.get("/recipes.json").json()
    assert [one["ref"] for one in told["recipes"]] == ["anode@2", "anode@1"] and told["in_use"] is None
    assert "gap_um" not in told["recipes"][0]["lips"] and not told["recipes"][0]["unfit"]
    assert page.client.get("/recipe.json?ref=anode@1").json()["against"] is None
    csrf = page.login("enid")
    asked = {"ref": "anode@2", "lips": False, "why": "order 4711"}
    first = page.post("/recipes/load", asked, csrf).json()
    assert not first["accepted"] and "take command first" in first["reason"]
    page.ask(csrf, "take_command")
    page.desk.line.play_s(20.0)  # until a gauge has read the web
    with cycling(page):
        with_lips = page.post("/recipes/load", {**asked, "lips": True}, csrf).json()
        assert not with_lips["accepted"] and "only in manual" in with_lips["reason"]
        assert page.post("/recipes/load", asked, csrf).json() == {
            "accepted": True,
            "reason": "auto: running as requested",
        }
    used = None
    while used is None:  # until the journal's thread has it in the file
        used = page.client.get("/recipes.json").json()["in_use"]
    assert (used["ref"], used["who"]) == ("anode@2", "enid via page")
    told = page.client.get("/recipe.json?ref=anode@1").json()
    assert (told["against"], told["fields"], told["why"]) == ("anode@2", [["target_gsm", 91.5, 90.0]], "")
    assert told["lips"] == {"taken": False}
    saved(store_beside(page.desk.path), lips={**LIPS, "gap_um": [500.0] * 15 + [503.2]})
    told = page.client.get("/recipe.json?ref=anode@3").json()["lips"]
    assert told == {"mean_um": pytest.approx(0.2), "zone": 16, "most_um": pytest.approx(3.2)}
    page.channel.close()
    records = [(record.what, record.new.split(" sha256")[0], record.why) for record in page.desk.records()]
    assert records[-2:] == [
        ("setpoint", "target, g/m2: 91.500", "recipe anode@2: order 4711"),
        ("recipe", "anode@2", "order 4711"),
    ]


REFUSED = [
    ("omar", "/recipes/load", {"ref": "anode@1"}, 403, "omar is operator, and this takes engineer"),
    ("omar", "/recipes/save", {"name": "anode"}, 403, "omar is operator, and this takes engineer"),
    ("enid", "/recipes/load", {"ref": "anode@1", "lips": 1}, 400, "lips = 1: must be true or false"),
    ("enid", "/recipes/load", {"ref": "anode@9"}, 200, "anode@9: has versions 1 to 2"),
    ("enid", "/recipes/load", {"ref": "../../etc"}, 200, "name = '../../etc': must be 1 to 64 letters"),
    ("enid", "/recipes/load", {"ref": "anode@1", "who": "ada"}, 400, 'takes lips, ref, why, not "who"'),
    ("enid", "/recipes/save", {"name": "a/b"}, 200, "nowhere in the newest"),
]


def test_what_is_asked_of_a_recipe_is_bounded_and_a_refusal_is_on_record(page: Page) -> None:
    asks = csrf = ""
    for who, path, told, status, words in REFUSED:
        csrf, asks = (csrf if who == asks else page.login(who)), who
        answer = page.post(path, told, csrf)
        assert answer.status_code == status
        assert words in (answer.json()["error"] if status != 200 else answer.json()["reason"])
    for ref in ("", "none", "anode@", "anode@0", "..", "a" * 200, "anode@1%00", "%2e%2e/x@1"):
        answer = page.client.get(f"/recipe.json?ref={ref}")
        assert answer.status_code == 400 and answer.json()["error"], ref
    records = page.refused()
    assert [path in record for (_, path, *_), record in zip(REFUSED, records, strict=True)] == [True] * len(REFUSED)


def test_a_version_that_was_changed_is_told_and_hides_no_other(page: Page) -> None:
    store = store_beside(page.desk.path)
    first = store.folder / "anode" / "000001.json"
    first.write_text(first.read_text().replace("90.0", "90.5"))
    told = page.client.get("/recipes.json").json()
    assert [one["ref"] for one in told["recipes"]] == ["anode@2"] and "is not what it was" in told["problem"]


def test_the_last_good_lips_become_the_next_version_and_old_ones_are_not_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = {"gap_um": 500.0 + np.arange(ZONES, dtype=np.float64)}
    path = journal(tmp_path, (2001 + TO_GAUGE, good), (300, {"mode_requested": "manual", "mode_actual": "manual"}))
    recipes = Recipes(Source(path))
    made = recipes.save("anode", "enid", "ran well")
    assert made.lips is not None and made.lips.gap_um == good["gap_um"].tolist()
    assert (made.ref, made.line, made.target_gsm, made.who) == ("anode@1", LINE.name, 90.0, "enid")
    with pytest.raises(RecipeError, match="nothing differs from version 1"):
        recipes.save("anode", "enid", "")
    monkeypatch.setattr(room, "BACK_S", 100.0)
    with pytest.raises(RecipeError, match="nowhere in the newest"):
        recipes.save("anode", "enid", "")
