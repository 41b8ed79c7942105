"""`evencoat model` as a user meets it: words, JSON and exit codes, on the way into use and out again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evencoat import cli, model_commands
from evencoat.model_store import SHIPPED, Card, ModelStore, write_model
from tests.evencoat.toy_models import CARD, added, empty_store, model_file, shipping_store, weights

run = CliRunner().invoke


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the store that the commands use, with nothing shipped."""
    store = empty_store(tmp_path)
    monkeypatch.setattr(model_commands, "_open", lambda given: replace(store, folder=given or store.folder))
    return store.folder


def said(*call: str, exit_code: int = 0) -> str:
    result = run(cli.app, ["model", *call])
    assert result.exit_code == exit_code, result.output
    return result.stdout if exit_code == 0 else result.stderr


def test_a_model_walks_into_use_and_out_again(folder: Path, tmp_path: Path) -> None:
    assert "no model is in use" in said("list")
    assert "no model is in use" in said("show")
    first = json.loads(said("add", str(model_file(tmp_path, 1)), "--json"))["sha256"]
    assert f"evencoat model activate {first[:12]}" in said("add", str(model_file(tmp_path, 1)))
    activated = said("activate", first[:8])
    assert "toy-mlp" in activated and "goes back to: no model" in activated
    listed = json.loads(said("list", "--json"))
    assert listed["models"][0]["uses"] == ["active"] and listed["models"][0]["ok"]
    assert listed["pointer"]["command"] == f"evencoat model activate {first[:8]}"
    assert json.loads(said("show", "--json"))["card"] == CARD
    card = said("show", first[:6])
    for words in ("toy-mlp", "nominal, noisy", "gap_um: 80 to 200", "9e67606", "evencoat train --seed 7", "sigma_pct"):
        assert words in card
    assert "active" in said("list") and first[:12] in said("list")
    assert json.loads(said("rollback", "--json"))["active"] == SHIPPED
    assert "there is none to go back to" in said("rollback", exit_code=2)


def test_the_store_is_the_one_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENCOAT_MODELS", str(tmp_path / "mine"))
    assert json.loads(said("list", "--json"))["store"] == str(tmp_path / "mine")
    sha256 = json.loads(said("add", str(model_file(tmp_path)), "--store", str(tmp_path / "other"), "--json"))["sha256"]
    assert [path.stem for path in (tmp_path / "other").glob("*.safetensors")] == [sha256]
    said("activate", sha256[:6], "--store", str(tmp_path / "other"))
    assert ModelStore(tmp_path / "other").pointer().command == (
        f"evencoat model activate {sha256[:6]} --store {tmp_path / 'other'}"
    )
    assert not (tmp_path / "mine").exists()


def test_a_shipped_model_is_always_listed_and_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipping = shipping_store(tmp_path)
    monkeypatch.setattr(model_commands, "_open", lambda given: shipping)
    shipped = shipping.find(SHIPPED).sha256
    assert "active, shipped" in said("list") and shipped in said("show", SHIPPED)
    first = added(shipping, 1)
    assert "goes back to: shipped" in said("activate", first[:6])
    assert json.loads(said("list", "--json"))["models"][0]["uses"] == ["previous", "shipped"]
    assert f"in use: {shipped[:12]}" in said("activate", SHIPPED)
    assert f"in use: {first[:12]}" in said("rollback")


def test_verify_answers_for_the_store_a_model_and_a_file(folder: Path, tmp_path: Path) -> None:
    assert "no model to verify" in said("verify")
    path = model_file(tmp_path, 1)
    sha256 = json.loads(said("add", str(path), "--json"))["sha256"]
    assert said("verify").startswith("good: ") and said("verify", sha256[:7]).startswith("good: ")
    assert "its name promises no hash" in said("verify", str(path))
    kept = folder / f"{sha256}.safetensors"
    kept.write_bytes(kept.read_bytes()[:-1] + b"\x7f")
    for call in (["verify"], ["verify", sha256[:7]], ["verify", str(kept)]):
        assert "must be the sha256 of what the file holds" in said(*call, exit_code=2)
        result = run(cli.app, ["model", *call, "--json"])
        assert result.exit_code == 2 and json.loads(result.stdout)["ok"] is False
    assert "refused" in said("list") and "evencoat model verify" in said("list")
    assert "must be the sha256" in said("show", sha256[:7], exit_code=2)


def test_refusals_are_words_and_codes(folder: Path, tmp_path: Path) -> None:
    assert "there is no such file" in said("add", str(tmp_path / "gone.safetensors"), exit_code=2)
    assert "there is no such file" in said("verify", str(tmp_path / "gone.safetensors"), exit_code=2)
    assert "hexadecimal digits" in said("activate", "abc", exit_code=2)
    assert "begins 0" in said("activate", "abcdef", exit_code=2)
    (tmp_path / "plain").write_text("a file where a store should be")
    said("add", str(model_file(tmp_path)), "--store", str(tmp_path / "plain"), exit_code=1)


def test_brackets_in_a_card_are_words_not_markup(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    sha256 = write_model(path, {"[red]w": weights()["w"]}, Card(**{**CARD, "command": "train [/bold] [link=x]"})).sha256
    said("add", str(path))
    assert "train [/bold] [link=x]" in said("show", sha256[:6]) and "[red]w 3x4" in said("show", sha256[:6])
