"""The network of the law `neural`: the model in use or the one named, checked, and what is said where there is none."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from controller.core import network
from controller.line.description import LawName
from evencoat import guest
from evencoat.check_guest import pump_regions
from evencoat.cli import app
from evencoat.model_store import Card, ModelStore, ModelStoreError, write_model
from evencoat.settings import load_line
from tests.networks import foreseeing, tensors, wild

RUN = CliRunner()


def card(architecture: str = network.ARCHITECTURE) -> Card:
    return Card(
        architecture=architecture,
        families=["by hand"],
        ranges={},
        seed=0,
        commit="none",
        trained_at="2026-11-22T12:00:00Z",
        train_s=0.0,
        command="none",
        league={},
    )


@pytest.fixture
def store(tmp_path, monkeypatch) -> ModelStore:
    monkeypatch.setenv("EVENCOAT_MODELS", str(tmp_path / "models"))
    return ModelStore(tmp_path / "models", tmp_path / "shipped")


@pytest.fixture
def line():
    line = load_line("line-40").line
    return replace(line, control=replace(line.control, law=LawName.NEURAL))


def kept(tmp_path, whole=None, name="one.safetensors", **of_card):
    path = tmp_path / name
    write_model(path, tensors(whole or foreseeing(missed_1=0.2)), card(**of_card))
    return path


def test_other_laws_have_no_guest_and_no_model_is_said(store, line):
    imc = replace(line, control=replace(line.control, law=LawName.IMC))
    assert guest.invited(imc, store=store) == guest.Guest(None, "")
    alone = guest.invited(line, store=store)
    assert alone.network is None
    assert "no model is in use" in alone.words


def test_the_model_in_use_is_invited_and_a_file_may_be_named(store, line, tmp_path):
    path = kept(tmp_path)
    model = store.add(path)
    store.activate(model.sha256[:12], "test")
    here = guest.invited(line, store=store)
    assert here.sha256 == model.sha256
    assert model.sha256[:12] in here.words
    assert here.network is not None
    for named in (str(path), model.sha256[:8]):
        np.testing.assert_array_equal(guest.invited(line, named, store).network.mean.b3, here.network.mean.b3)


def test_the_call_goes_before_the_file_and_the_file_before_what_is_usual(store, tmp_path):
    """Which law runs a line when nobody names a controller, in the order in which it is asked for."""
    settings = load_line("line-40")
    named = replace(settings, named_law=LawName.PI)
    alone, why = guest.at_work(settings, store=store)
    assert alone.line.control.law is LawName.ADAPTIVE and "no model is in use" in why
    model = store.add(kept(tmp_path))
    store.activate(model.sha256[:12], "test")
    helped, why = guest.at_work(settings, store=store)
    assert helped.line.control.law is LawName.NEURAL and model.sha256[:12] in why
    assert guest.law_of(named, store=store) == (LawName.PI, "pi: named in line-40.toml")
    assert guest.law_of(named, "shipped", store)[0] is LawName.NEURAL


def test_a_model_in_use_that_is_refused_leaves_adaptive_and_says_so(store, tmp_path):
    model = store.add(kept(tmp_path, architecture="somebody else's"))
    store.activate(model.sha256[:12], "test")
    law, why = guest.law_of(load_line("pilot-16"), store=store)
    assert law is LawName.ADAPTIVE and "refused" in why and "architecture" in why


@pytest.mark.parametrize("harm", ["architecture", "shape"])
def test_what_is_no_network_of_ours_is_refused_before_anything_moves(store, line, tmp_path, harm):
    if harm == "architecture":
        path = kept(tmp_path, architecture="somebody else's")
    else:
        path = tmp_path / "short.safetensors"
        write_model(path, tensors(wild(1)) | {"mean.b3": np.zeros(5, np.float32)}, card())
    with pytest.raises(ModelStoreError, match=r"architecture|mean\.b3"):
        guest.invited(line, str(path), store)
    answer = RUN.invoke(
        app, ["sim", "line-40", "--controller", "neural", "--model", str(path), "--minutes", "0.1", "--json"]
    )
    assert answer.exit_code == 2
    assert "error: " in answer.output


def test_a_run_says_which_network_it_had_and_check_how_far_it_is_certified(store, tmp_path):
    path = kept(tmp_path)
    run = RUN.invoke(
        app, ["sim", "pilot-16", "--controller", "neural", "--model", str(path), "--minutes", "0.5", "--json"]
    )
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    judged = RUN.invoke(app, ["check", "pilot-16", "--model", str(path), "--json"])
    pump = json.loads(judged.stdout)["pump"]
    assert len(told["model"]) == 64
    assert [region["gain_bound"] for region in pump] == [0.0, 4.5]
    assert told["model"][:12] in pump[1]["words"]
    assert "error" not in RUN.invoke(app, ["check", "pilot-16", "--model", str(path)]).output


def test_a_network_narrows_what_is_certified_and_never_widens_it(line):
    alone, helped = pump_regions(line, guest.Guest(network.blank(), "one"))
    assert 5.0 < helped.gain_pct < alone.gain_pct
    assert 0.1 < helped.delay_s < alone.delay_s
    assert pump_regions(line, guest.Guest(None, "")) == (alone,)


def test_who_runs_a_line_when_nobody_is_named(store, tmp_path):
    law, why = guest.usual(store)
    assert law is LawName.ADAPTIVE
    assert "no model is in use" in why
    good = store.add(kept(tmp_path))
    store.activate(good.sha256, "test")
    assert guest.usual(store) == (LawName.NEURAL, f"neural: model {good.sha256[:12]}")
    (store.folder / f"{good.sha256}.safetensors").write_bytes(b"damaged")
    law, why = guest.usual(store)
    assert law is LawName.ADAPTIVE
    assert "is refused" in why


def test_the_shipped_model_is_a_network_and_is_what_nobody_named_runs_with(monkeypatch, tmp_path):
    monkeypatch.setenv("EVENCOAT_MODELS", str(tmp_path))
    law, why = guest.usual()
    assert law is LawName.NEURAL, why
    run = RUN.invoke(app, ["sim", "pilot-16", "--minutes", "0.2", "--json"])
    assert json.loads(run.stdout)["controller"] == "neural"
    spoken = RUN.invoke(app, ["sim", "pilot-16", "--minutes", "0.2"])
    assert f"controller {why}" in spoken.output
