"""The store of trained weights: what it refuses, that nothing is ever half written, the way into use and out again."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save

from evencoat import model_store as module
from evencoat.model_store import FILE_SIZE_MAX, SHIPPED, Card, ModelStore, ModelStoreError, load_model, write_model
from tests.evencoat.toy_models import CARD, added, empty_store, model_file, shipping_store, weights


def raw(tensors: dict[str, np.ndarray], card: object = CARD) -> bytes:
    """A safetensors file with any card, right or wrong."""
    return save(tensors, metadata={"card": card if isinstance(card, str) else json.dumps(card)})


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return empty_store(tmp_path)


@pytest.fixture
def shipping(tmp_path: Path) -> ModelStore:
    return shipping_store(tmp_path)


def refusal(path: Path, content: bytes | None = None) -> str:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelStoreError) as caught:
        load_model(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


# --- what is refused ---------------------------------------------------------------------------------------------


def unsound(value: float) -> dict[str, np.ndarray]:
    tensors = weights()
    tensors["w"][1, 2] = value
    return tensors


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (raw(unsound(np.nan)), ["tensor w[1, 2] = nan", "finite"]),
        (raw(unsound(-np.inf)), ["tensor w[1, 2] = -inf", "finite"]),
        (raw(unsound(-1000.5)), ["tensor w[1, 2] = -1000.5", "+-1000"]),
        (raw({"w": np.zeros(3)}), ["tensor w = float64", "must be float32"]),
        (raw({"w": np.zeros(3, np.float16)}), ["tensor w = float16", "must be float32"]),
        (raw({"\x1b[31mw": np.zeros(3, np.float32)}), [r"tensor \x1b[31mw: its name", "printable"]),
        (raw({}), ["tensors = 0", "at least 1"]),
        (save(weights()), ["card", "is missing"]),
        (save(weights(), metadata={"about": "no card"}), ["card", "is missing"]),
        (raw(weights(), "{"), ["card", "is not JSON"]),
        (raw(weights(), "[" * 5000), ["card", "is not JSON"]),
        (raw(weights(), [1]), ["card = [1]", "must be a JSON object"]),
        (raw(weights(), "x" * 300_000), ["card = 300000 characters", "at most 200000"]),
        (raw(weights(), {**CARD, "format": 2}), ["card.format = 2", "must be 1"]),
        (raw(weights(), {k: v for k, v in CARD.items() if k != "format"}), ["card.format", "is missing"]),
        (raw(weights(), {k: v for k, v in CARD.items() if k != "seed"}), ["card.seed", "required"]),
        (raw(weights(), {**CARD, "sede": 1}), ["card.sede = 1", "not permitted"]),
        (raw(weights(), {**CARD, "seed": "7"}), ["card.seed = '7'", "integer"]),
        (raw(weights(), {**CARD, "train_s": float("nan")}), ["card.train_s = nan", "finite"]),
        (raw(weights(), {**CARD, "league": {"a": [{"b": float("inf")}]}}), ["card.league", "finite"]),
        (raw(weights(), {**CARD, "league": {"a": "\x1b[2J"}}), ["card.league", "printable"]),
        (raw(weights(), {**CARD, "command": "a\nb"}), [r"card.command = 'a\nb'", "printable"]),
        (raw(weights(), {**CARD, "ranges": {"gap_um": [2.0, 1.0]}}), ["card.ranges.gap_um", "[lowest, highest]"]),
        (raw(weights(), {**CARD, "trained_at": "yesterday"}), ["card.trained_at = 'yesterday'", "pattern"]),
        (raw(weights())[:-1], ["header", "is not safetensors"]),
        (raw(weights())[:40], ["header", "is not safetensors"]),
        (b"", ["header", "is not safetensors"]),
        (b"\xff" * 4096, ["header", "is not safetensors"]),
        (b"\0" * (FILE_SIZE_MAX + 1), [f"size = {FILE_SIZE_MAX + 1} bytes", f"at most {FILE_SIZE_MAX} bytes"]),
    ],
)
def test_a_broken_file_is_refused_with_field_value_and_bound(tmp_path: Path, content: bytes, words: list[str]) -> None:
    said = refusal(tmp_path / "broken.safetensors", content)
    for word in words:
        assert word in said
    assert said.isprintable()


def header_of(entry: dict[str, Any]) -> bytes:
    header = json.dumps({"__metadata__": {"card": json.dumps(CARD)}, "w": entry}).encode()
    return len(header).to_bytes(8, "little") + header


@pytest.mark.parametrize(
    ("entry", "data", "words"),
    [
        ({"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}, bytes(4), "tensors = BF16: must be float32"),
        ({"dtype": "F32", "shape": [1] * 100, "data_offsets": [0, 4]}, bytes(4), "is not safetensors"),
        ({"dtype": "F32", "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}, b"", "is not safetensors"),
        ({"dtype": "F32", "shape": [0, 2**64 - 1], "data_offsets": [0, 0]}, b"", "is not safetensors"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, bytes(8), "is not safetensors"),
    ],
)
def test_what_numpy_cannot_hold_is_refused(tmp_path: Path, entry: dict[str, Any], data: bytes, words: str) -> None:
    assert words in refusal(tmp_path / "broken.safetensors", header_of(entry) + data)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    assert "there is no such file" in refusal(tmp_path / "gone.safetensors")
    assert "is not a regular file" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe.safetensors")
    assert "is not a regular file" in refusal(tmp_path / "pipe.safetensors")


def test_a_name_that_promises_another_hash_is_refused(tmp_path: Path) -> None:
    path = model_file(tmp_path)
    sha256 = load_model(path).sha256
    wrong = path.rename(tmp_path / f"{'0' * 64}.safetensors")
    said = refusal(wrong)
    assert f"name = {'0' * 64}" in said and sha256 in said and "add the original again" in said


def test_in_a_store_a_name_that_is_no_hash_is_refused_too(store: ModelStore) -> None:
    added(store, 1)
    model_file(store.folder, 2)
    stranger = next(row for row in store.listed() if row.path.name == "trained-2.safetensors")
    assert stranger.model is None and "name = trained-2" in stranger.refusal


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"w": np.zeros(3)}, "float64"),
        ({"w": np.zeros(3, ">f4")}, ">f4"),
        ({"w": np.full(3, np.nan, np.float32)}, "nan"),
        ({"w": np.zeros(FILE_SIZE_MAX // 4, np.float32)}, f"at most {FILE_SIZE_MAX} bytes"),
        ({}, "at least 1"),
    ],
)
def test_what_would_not_be_read_is_not_written(tmp_path: Path, tensors: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(ModelStoreError, match=words):
        write_model(tmp_path / "model.safetensors", tensors, Card(**CARD))
    assert not list(tmp_path.iterdir())


# --- what survives -----------------------------------------------------------------------------------------------

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(
    lambda name: name.isprintable() and name != "__metadata__"
)
NUMBERS = st.floats(-1000, 1000, width=32, allow_subnormal=True)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
TENSORS = st.dictionaries(NAMES, hnp.arrays(np.float32, SHAPES, elements=NUMBERS), min_size=1, max_size=4)


@given(tensors=TENSORS)
@settings(deadline=None)
def test_tensors_survive_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, np.ndarray]) -> None:
    path = tmp_path_factory.mktemp("round") / "model.safetensors"
    written = write_model(path, tensors, Card(**CARD))
    read = load_model(path)
    assert read.card == Card(**CARD) and read.sha256 == written.sha256
    assert list(read.tensors) == sorted(tensors)
    for name, tensor in tensors.items():
        assert read.tensors[name].shape == tensor.shape and read.tensors[name].dtype == np.float32
        assert read.tensors[name].tobytes() == tensor.tobytes()


def test_arrays_are_written_as_they_read_not_as_they_lie(tmp_path: Path) -> None:
    """The library copies memory; a transposed array must not come back untransposed."""
    base = weights()["w"]
    for number, view in enumerate((base.T, base[::2, ::-1], np.asfortranarray(base), base[1:, 1:])):
        path = tmp_path / f"{number}.safetensors"
        write_model(path, {"w": view}, Card(**CARD))
        assert np.array_equal(load_model(path).tensors["w"], view)


def test_the_same_input_makes_the_same_bytes_and_nobody_writes_to_what_was_read(tmp_path: Path) -> None:
    first, second = (write_model(tmp_path / name, weights(), Card(**CARD)) for name in ("a.st", "b.st"))
    assert first.sha256 == second.sha256 == hashlib.sha256((tmp_path / "a.st").read_bytes()).hexdigest()
    assert first.weights == 16
    with pytest.raises(ValueError, match="read-only"):
        first.tensors["w"][0, 0] = 1.0


@given(where=st.integers(0, 10**6), flip=st.integers(1, 255))
@settings(deadline=None, max_examples=200)
def test_any_flipped_byte_is_refused(tmp_path_factory: pytest.TempPathFactory, where: int, flip: int) -> None:
    """In a store, for the name is the hash. Elsewhere it is refused or read, and never anything else."""
    content = bytearray(raw(weights()))
    path = tmp_path_factory.mktemp("flip") / f"{hashlib.sha256(content).hexdigest()}.safetensors"
    content[where % len(content)] ^= flip
    path.write_bytes(content)
    with pytest.raises(ModelStoreError, match="must be the sha256"):
        load_model(path)
    with suppress(ModelStoreError):
        load_model(path.rename(path.with_name("model.safetensors")))


@given(length=st.integers(0, 10**6))
@settings(deadline=None)
def test_a_truncated_file_is_refused(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    content = raw(weights())
    path = tmp_path_factory.mktemp("cut") / "model.safetensors"
    path.write_bytes(content[: length % len(content)])
    with pytest.raises(ModelStoreError, match="is not safetensors"):
        load_model(path)


# --- into use and out again --------------------------------------------------------------------------------------


def test_an_empty_store_that_ships_nothing_says_so(store: ModelStore) -> None:
    assert store.active() is None and store.listed() == [] and store.shipped() is None
    with pytest.raises(ModelStoreError, match="none comes with this evencoat"):
        store.find(SHIPPED)
    assert not store.folder.exists(), "looking makes nothing"


def test_what_is_added_is_not_in_use_until_it_is_activated(store: ModelStore) -> None:
    sha256 = added(store, 1)
    assert store.active() is None
    store.activate(sha256[:6].upper(), "test")
    active = store.active()
    assert active is not None and active.sha256 == sha256
    assert {name: tensor.tolist() for name, tensor in active.tensors.items()} == {
        name: tensor.tolist() for name, tensor in sorted(weights(1).items())
    }


def test_the_shipped_model_is_in_use_until_another_is_and_again_after_rollback(shipping: ModelStore) -> None:
    shipped = shipping.find(SHIPPED)
    assert shipping.active() == shipped
    sha256 = added(shipping, 1)
    shipping.activate(sha256, "one")
    assert {row.uses for row in shipping.listed()} == {("active",), ("previous", "shipped")}
    back = shipping.rollback("two")
    assert back is not None and back.sha256 == shipped.sha256
    assert shipping.pointer().active == SHIPPED and shipping.pointer().command == "two"


def test_rollback_goes_back_once_and_then_says_that_there_is_none(store: ModelStore) -> None:
    """Asked twice in haste it must not bring back the model that somebody fled from."""
    first, second = added(store, 1), added(store, 2)
    store.activate(first, "one")
    store.activate(second, "two")
    assert (store.pointer().active, store.pointer().previous) == (second, first)
    assert store.rollback("back").sha256 == first  # type: ignore[union-attr]
    with pytest.raises(ModelStoreError, match="there is none to go back to"):
        store.rollback("again")
    assert store.pointer().active == first


def test_rollback_of_the_first_model_leaves_none_where_none_is_shipped(store: ModelStore) -> None:
    store.activate(added(store, 1), "one")
    assert store.rollback("back") is None
    assert store.active() is None


def test_activating_what_is_in_use_keeps_the_way_back(store: ModelStore) -> None:
    first, second = added(store, 1), added(store, 2)
    for sha256 in (first, second, second):
        store.activate(sha256, "go")
    assert store.pointer().previous == first


def test_a_model_that_is_shipped_is_not_copied(shipping: ModelStore) -> None:
    shipped = shipping.find(SHIPPED)
    assert shipping.add(shipped.path).path == shipped.path
    shipping.activate(shipped.sha256[:8], "by its hash")
    assert shipping.pointer().active == SHIPPED
    assert [row.path for row in shipping.listed()] == [shipped.path]


def test_two_shipped_models_are_refused(shipping: ModelStore) -> None:
    model_file(shipping.shipped_folder, 5)
    with pytest.raises(ModelStoreError, match="models = 2: must be at most 1"):
        shipping.active()


def test_a_damaged_model_is_neither_activated_nor_used_nor_replaced_by_another(shipping: ModelStore) -> None:
    first, second = added(shipping, 1), added(shipping, 2)
    shipping.activate(first, "one")
    for sha256 in (first, second):
        path = shipping.folder / f"{sha256}.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    before = (shipping.folder / "active.json").read_bytes()
    with pytest.raises(ModelStoreError, match="must be the sha256"):
        shipping.activate(second, "two")
    assert (shipping.folder / "active.json").read_bytes() == before
    with pytest.raises(ModelStoreError, match="must be the sha256"):
        shipping.active()
    assert added(shipping, 1) == first, "adding the original again heals it"
    assert shipping.active().sha256 == first  # type: ignore[union-attr]


def test_a_model_that_vanished_is_missed(store: ModelStore) -> None:
    first, second = added(store, 1), added(store, 2)
    store.activate(first, "one")
    store.activate(second, "two")
    (store.folder / f"{first}.safetensors").unlink()
    with pytest.raises(ModelStoreError, match="there is no such file"):
        store.rollback("back")
    assert store.pointer().active == second
    assert next(row for row in store.listed() if row.uses == ("previous",)).model is None


@pytest.mark.parametrize("name", ["", "abc", "abcdefg", "../../etc", "0" * 65, "Shipped\x1b"])
def test_a_name_that_is_none_is_refused(store: ModelStore, name: str) -> None:
    with pytest.raises(ModelStoreError, match="hexadecimal digits") as caught:
        store.find(name)
    assert str(caught.value).isprintable()


def test_a_prefix_must_mean_one_model(store: ModelStore) -> None:
    added(store, 1)
    for tail in ("0", "1"):
        (store.folder / f"{'abcdef' + tail:0<64}.safetensors").write_bytes(b"")
    with pytest.raises(ModelStoreError, match=r"begins 2\. Give more digits"):
        store.find("abcdef")
    with pytest.raises(ModelStoreError, match="begins 0"):
        store.find("fedcba987654")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON"),
        ("[]", "must be a JSON object"),
        ('{"format": 1}', "active: Field required"),
        ('{"format": 2, "active": "shipped"}', "format = 2"),
        ('{"format": 1, "active": "../../etc/passwd"}', "active = '../../etc/passwd'"),
        ('{"format": 1, "active": "shipped", "previous": "deadbeef"}', "previous = 'deadbeef'"),
        ('{"format": 1, "active": "shipped", "actve": "x"}', "actve = 'x'"),
        ("x" * 30_000, "size = 30000 bytes"),
        ("\udcff", "is not JSON"),
    ],
)
def test_a_pointer_that_is_wrong_is_refused_and_never_guessed(shipping: ModelStore, text: str, words: str) -> None:
    sha256 = added(shipping, 1)
    (shipping.folder / "active.json").write_bytes(text.encode(errors="surrogateescape"))
    for ask in (
        shipping.active,
        shipping.listed,
        lambda: shipping.activate(sha256, "c"),
        lambda: shipping.rollback("c"),
    ):
        with pytest.raises(ModelStoreError) as caught:
            ask()
        assert words in str(caught.value) and "active.json" in str(caught.value)


# --- crashes, permissions, company -------------------------------------------------------------------------------


def test_a_crash_before_the_pointer_is_replaced_leaves_the_old_one(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = added(store, 1), added(store, 2)
    store.activate(first, "one")
    before = (store.folder / "active.json").read_bytes()

    def crash(part: str, path: Path) -> None:
        assert json.loads(Path(part).read_text())["active"] == second, "the new pointer is whole before it replaces"
        raise OSError("power cut")

    with monkeypatch.context() as cut:
        cut.setattr(module.os, "replace", crash)
        with pytest.raises(OSError, match="power cut"):
            store.activate(second, "two")
    assert (store.folder / "active.json").read_bytes() == before
    assert store.active().sha256 == first  # type: ignore[union-attr]
    assert not list(store.folder.glob(".active*"))
    store.activate(second, "two")
    assert store.pointer().previous == first


def test_the_new_pointer_is_on_the_disk_before_it_has_the_name(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order that a power cut asks for: file synced, then renamed, then the folder synced."""
    sha256, order = added(store, 1), []

    def told(name: str, call: Callable[..., None]) -> Callable[..., None]:
        return lambda *args: (order.append(name), call(*args))[1]

    monkeypatch.setattr(module.os, "fsync", told("fsync", os.fsync))
    monkeypatch.setattr(module.os, "replace", told("replace", os.replace))
    store.activate(sha256, "one")
    assert order == ["fsync", "replace", "fsync"]


def test_a_crash_while_adding_leaves_no_model(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise OSError("disk full")

    path = model_file(store.folder.parent)
    monkeypatch.setattr(module.os, "replace", crash)
    with pytest.raises(OSError, match="disk full"):
        store.add(path)
    assert store.listed() == []


def test_only_the_owner_may_look(tmp_path: Path) -> None:
    deep = ModelStore(tmp_path / "data" / "evencoat" / "models", tmp_path)
    path, old = model_file(tmp_path), os.umask(0)
    try:
        deep.activate(deep.add(path).sha256, "one")
    finally:
        os.umask(old)
    for folder in (deep.folder, deep.folder.parent, deep.folder.parent.parent):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in deep.folder.iterdir()} == {0o600}


def test_whoever_changes_the_store_is_alone_in_it(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """From before the pointer is read until after the new one has its name."""
    turns = []

    def replaced(part: str, path: Path) -> None:
        with (path.parent / ".lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        turns.append(path.name)
        Path(part).rename(path)

    path = model_file(store.folder.parent)
    monkeypatch.setattr(module.os, "replace", replaced)
    sha256 = store.add(path).sha256
    store.activate(sha256, "one")
    store.rollback("back")
    assert turns == [f"{sha256}.safetensors", "active.json", "active.json"]


TOGGLE = """
import sys
from pathlib import Path
from evencoat.model_store import ModelStore
store = ModelStore(Path(sys.argv[1]), Path(sys.argv[2]))
for turn in range(40):
    store.activate(sys.argv[3 + turn % 2], sys.argv[3])
"""


def test_two_processes_that_activate_leave_a_valid_pointer(store: ModelStore) -> None:
    """Whatever a reader meets is whole, and what was in use before is never what is in use."""
    pair = [added(store, 1), added(store, 2)]
    calls = [
        [sys.executable, "-c", TOGGLE, str(store.folder), str(store.shipped_folder), *names]
        for names in (pair, pair[::-1])
    ]
    running = [subprocess.Popen(call) for call in calls]
    while any(process.poll() is None for process in running):
        pointer = store.pointer()
        assert pointer.active in (*pair, SHIPPED) and pointer.previous != pointer.active
    assert [process.returncode for process in running] == [0, 0]
    assert {store.pointer().active, store.pointer().previous} == set(pair)
    assert {path.name for path in store.folder.iterdir() if path.name[0] == "."} == {".lock"}


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"EVENCOAT_MODELS": "/srv/models", "XDG_DATA_HOME": "/data"}, "/srv/models"),
        ({"XDG_DATA_HOME": "/data"}, "/data/evencoat/models"),
        ({"XDG_DATA_HOME": "not/absolute"}, "/home/me/.local/share/evencoat/models"),
        ({}, "/home/me/.local/share/evencoat/models"),
    ],
)
def test_where_the_store_lies(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], folder: str) -> None:
    for name in ("EVENCOAT_MODELS", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **environment}.items():
        monkeypatch.setenv(name, value)
    assert module.default_folder() == Path(folder)


def test_what_comes_with_evencoat_passes_its_own_checks() -> None:
    shipped = ModelStore(Path("nowhere")).shipped()
    assert shipped is None or load_model(shipped, in_store=True).path == shipped


def test_reading_weights_needs_no_torch() -> None:
    code = "import sys, evencoat.model_store; sys.exit('torch' in sys.modules or 'plant_sim' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
