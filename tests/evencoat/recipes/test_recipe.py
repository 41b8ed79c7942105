"""A recipe's versions: what a line cannot run is refused, what was saved stays as it was, and all of it can be told."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evencoat.recipes.recipe import Recipe, RecipeError, check, differences, digest, made, moved_words, read, written
from evencoat.recipes.store import RecipeStore
from evencoat.settings import load_line

LINE = load_line("pilot-16").line
FIRST: Mapping[str, Any] = {"line": "pilot-16", "target_gsm": 90.0, "tolerance_pct": 2.0, "speed_m_per_min": 30.0}
LIPS: Mapping[str, Any] = {
    "gap_um": [500.0 + zone for zone in range(16)], "target_gsm": 90.0, "web_m": 100.0, "sigma_pct": 0.1,
    "speed_m_per_min": 30.0, "roll_first": 3, "roll_last": 4, "batch": 2, "from_at": "2026-03-01T10:00:00Z",
    "to_at": "2026-03-01T10:05:00Z", "from_cycle": 10, "to_cycle": 2000, "journal_id": "ab",
}  # fmt: skip


def anything(recipe: Recipe) -> None:
    """Every recipe may be saved."""


def saved(store: RecipeStore, name: str = "anode", **changes: Any) -> Recipe:
    first = {} if name in store.names() else FIRST
    return store.save(name, {**first, **changes}, "mara", "a reason", lambda recipe: check(recipe, LINE))


def version(**fields: Any) -> Recipe:
    kept = {"name": "anode", "version": 1, "saved_at": "2026-03-01T10:00:00Z", "who": "mara"}
    return made({**FIRST, **kept, **fields})


def test_a_version_takes_over_what_is_not_named_and_follows_the_one_before(tmp_path: Path) -> None:
    store = RecipeStore(tmp_path / "recipes")
    assert store.names() == []
    first = saved(store, slurry="graphite, CMC/SBR")
    second = saved(store, lips=LIPS, material_lot="L-77")
    assert (second.version, second.slurry, second.material_lot, second.before) == (
        2, "graphite, CMC/SBR", "L-77", first.sha256,
    )  # fmt: skip
    assert second.lips is not None and second.lips.gap_um[15] == 515.0
    assert store.names() == ["anode"] and store.versions("anode") == [1, 2]
    assert store.load("anode") == second and store.load("anode@1") == first
    assert store.history("anode") == [first, second]
    fields = dict.fromkeys(field for field, _, _ in differences(first, second))
    assert list(fields)[:1] == ["material_lot"] and all(field.startswith("lips.") for field in list(fields)[1:])
    assert list(differences(second, second)) == []


def test_the_hash_can_be_checked_by_anybody(tmp_path: Path) -> None:
    store = RecipeStore(tmp_path)
    recipe = saved(store, slurry="石墨")
    told = json.loads((tmp_path / "anode" / "000001.json").read_bytes())
    assert digest(told) == told["sha256"] == recipe.sha256
    assert read(written(recipe), "here") == recipe


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("target_gsm", 95.0, "target_gsm = 95: must lie between 86.4 and 93.6 g/m2"),
        ("tolerance_pct", 2.5, "tolerance_pct = 2.5: must lie between 0.1 and 2 percent, the line file's tolerance"),
        ("speed_m_per_min", 41.0, "speed_m_per_min = 41: must lie between 0.1 and 40 m/min"),
        ("line", "line-40", "line: anode@1 is for 'line-40', this is 'pilot-16'"),
        ("lips", {**LIPS, "gap_um": [500.0] * 15}, "lips.gap_um: 15 lips, but pilot-16 has 16"),
        ("lips", {**LIPS, "gap_um": [500.0] * 15 + [601.0]}, "zone 16 = 601: must lie between 400 and 600 um"),
        ("lips", {**LIPS, "gap_um": [500.0] * 15 + [float("nan")]}, "lips.gap_um.15 = nan"),
        ("target_gsm", "90", "target_gsm = '90'"),
        ("slurry", "two\nlines", "slurry = 'two\\nlines': must be one line"),
        ("colour", "red", "colour = 'red': Extra inputs are not permitted"),
    ],
)
def test_what_a_line_cannot_run_is_refused_and_leaves_nothing(
    tmp_path: Path, field: str, value: Any, words: str
) -> None:
    store = RecipeStore(tmp_path)
    with pytest.raises(RecipeError) as refused:
        saved(store, **{field: value})
    assert words in str(refused.value)
    assert store.names() == []


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".hidden", "a" * 65, "x\n", "ä"])
def test_a_name_is_no_path(tmp_path: Path, name: str) -> None:
    store = RecipeStore(tmp_path / "recipes")
    for refused in (lambda: saved(store, name), lambda: store.load(name), lambda: store.versions(name)):
        with pytest.raises(RecipeError, match="must be 1 to 64 letters"):
            refused()
    assert not (tmp_path / "recipes").exists()


@pytest.mark.parametrize("ref", ["anode@0", "anode@2", "anode@", "anode@x", "anode@1@1", "anode@²"])
def test_a_version_that_is_not_there_is_told(tmp_path: Path, ref: str) -> None:
    store = RecipeStore(tmp_path)
    saved(store)
    with pytest.raises(RecipeError, match="has versions 1 to 1"):
        store.load(ref)
    with pytest.raises(RecipeError, match="there are: anode"):
        store.load("cathode")


def test_what_changes_nothing_is_no_version(tmp_path: Path) -> None:
    store = RecipeStore(tmp_path)
    saved(store)
    with pytest.raises(RecipeError, match="nothing differs from version 1"):
        saved(store, target_gsm=90.0)
    assert store.versions("anode") == [1]


def test_a_version_that_was_changed_is_refused(tmp_path: Path) -> None:
    store = RecipeStore(tmp_path)
    saved(store)
    saved(store, target_gsm=91.0)
    path = tmp_path / "anode" / "000001.json"
    path.write_bytes(path.read_bytes().replace(b"90.0", b"92.0"))
    with pytest.raises(RecipeError, match="is not what it was when it was saved"):
        store.load("anode@1")
    path.write_bytes(written(version(target_gsm=92.0)))  # whole in itself, and not what version 2 was made of
    assert store.load("anode@1").target_gsm == 92.0
    with pytest.raises(RecipeError, match="anode@2: does not follow the version before it"):
        store.history("anode")
    path.unlink()
    with pytest.raises(RecipeError, match="version 1 is missing"):
        store.history("anode")


def test_a_file_of_another_recipe_is_refused(tmp_path: Path) -> None:
    store = RecipeStore(tmp_path)
    saved(store)
    (tmp_path / "cathode").mkdir()
    (tmp_path / "cathode" / "000001.json").write_bytes((tmp_path / "anode" / "000001.json").read_bytes())
    with pytest.raises(RecipeError, match="holds anode@1"):
        store.load("cathode")


def test_two_who_save_at_once_get_two_versions(tmp_path: Path) -> None:
    def save(part: int) -> None:
        for k in range(10):
            store.save("anode", {**FIRST, "slurry": f"{part}, {k}"}, "mara", "", anything)

    store = RecipeStore(tmp_path)
    threads = [threading.Thread(target=save, args=(part,)) for part in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [recipe.version for recipe in store.history("anode")] == list(range(1, 31))


def test_lips_are_compared_zone_by_zone() -> None:
    assert moved_words([500.0, 500.0], [501.0, 497.0]) == "mean -1.00 um, most in zone 2: -3.00 um"
    assert moved_words([500.0], [501.0, 497.0]) == "1 lips, then 2"


WHOLE = written(version(lips=dict(LIPS)))


@given(at=st.integers(0, len(WHOLE) - 1), byte=st.integers(0, 255), cut=st.booleans())
def test_a_spoilt_file_is_refused_or_says_the_same(at: int, byte: int, cut: bool) -> None:
    spoilt = WHOLE[:at] if cut else WHOLE[:at] + bytes([byte]) + WHOLE[at + 1 :]
    try:
        found = read(spoilt, "here")
    except RecipeError:
        return
    assert found == read(WHOLE, "here")
