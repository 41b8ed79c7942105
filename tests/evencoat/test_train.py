"""`evencoat train`: what it leaves behind, what it says, and what it answers where something is missing."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from controller.core import network
from evencoat import cli, train
from evencoat.errors import RunFailed
from evencoat.model_store import ModelStore, load_model

runner = CliRunner()
TORCH = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="training needs torch: make learn")
RAY = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="workers need ray: pip install 'evencoat[fleet]'"
)


def tiny(patch: pytest.MonkeyPatch) -> None:
    """--quick, but so small that a test can wait for it."""
    from controller.learn.train import Settings

    small = replace(
        Settings.quick(1), lines=4, held_out=14, minutes=6.0, hidden=4, batch_lines=100, batch_steps=10,
        missed_steps=10, loop_steps=1, loop_s=40, at_once=4, look_every=5,
    )  # fmt: skip
    patch.setattr(Settings, "quick", classmethod(lambda cls, seed=1: replace(small, seed=seed)))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A training by hand: its folder and what it answered."""
    folder = tmp_path_factory.mktemp("training")
    with pytest.MonkeyPatch.context() as patch:
        tiny(patch)
        done = runner.invoke(cli.app, ["train", "--quick", "--seed", "3", "--out", str(folder), "--json"])
    assert done.exit_code in (0, 3), done.output
    answer = json.loads(done.stdout)
    assert (done.exit_code == 0) == answer["figures"]["beats_adaptive"]
    return folder, answer


@TORCH
def test_the_model_is_one_that_the_store_takes_and_the_controller_runs(
    told: tuple[Path, dict[str, object]], tmp_path: Path
) -> None:
    folder, answer = told
    model = load_model(folder / train.MODEL)
    assert model.sha256 == answer["sha256"]
    network.from_tensors(model.tensors)
    card = model.card
    assert (card.architecture, card.seed, card.command) == (network.ARCHITECTURE, 3, "evencoat train --quick --seed 3")
    assert "usual" in card.families and "quick" not in card.families
    assert card.ranges["web_m_per_min"] == [20.0, 80.0]
    assert card.train_s > 0.0 and card.commit
    assert json.loads(json.dumps(card.league["belief_plant"])) == answer["figures"]
    assert ModelStore(tmp_path).add(folder / train.MODEL).sha256 == model.sha256


@TORCH
def test_story_and_picture_lie_beside_it(told: tuple[Path, dict[str, object]]) -> None:
    folder, answer = told
    story = json.loads((folder / train.STORY).read_text(encoding="utf-8"))
    assert story["settings"]["seed"] == 3
    assert story["history"] == answer["history"]
    assert (folder / train.PICTURE).read_bytes().startswith(b"\x89PNG")


@TORCH
@RAY
def test_workers_give_the_same_bytes(told: tuple[Path, dict[str, object]], tmp_path: Path) -> None:
    folder, _ = told
    with pytest.MonkeyPatch.context() as patch:
        tiny(patch)
        asked = ["train", "--quick", "--seed", "3", "--out", str(tmp_path), "--workers", "2", "--json"]
        done = runner.invoke(cli.app, asked)
    assert done.exit_code in (0, 3), done.output
    assert load_model(tmp_path / train.MODEL).tensors.keys() == load_model(folder / train.MODEL).tensors.keys()
    one, other = load_model(tmp_path / train.MODEL).tensors, load_model(folder / train.MODEL).tensors
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)


@pytest.mark.parametrize(
    ("missing", "asked", "words"),
    [
        ("torch", ["train", "--quick"], "pip install 'evencoat[learn]'"),
        ("ray", ["train", "--quick", "--workers", "2"], "pip install 'evencoat[fleet]'"),
    ],
)
def test_what_is_not_installed_is_named_with_the_command_that_installs_it(
    missing: str, asked: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else real(name))
    done = runner.invoke(cli.app, [*asked, "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert words in done.stderr
    assert not list(tmp_path.iterdir())


def test_resume_without_a_folder_is_refused() -> None:
    done = runner.invoke(cli.app, ["train", "--resume"])
    assert done.exit_code == 2
    assert "--resume: needs --out" in done.stderr


@TORCH
def test_a_checkpoint_of_another_training_is_refused(
    told: tuple[Path, dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = told
    tiny(monkeypatch)
    done = runner.invoke(cli.app, ["train", "--quick", "--seed", "4", "--out", str(folder), "--resume", "--lines", "4"])
    assert done.exit_code == 1
    assert "seed was 3, now it is 4" in " ".join(done.stderr.split())


def test_a_head_can_be_left_with_nothing_to_say():
    tensors = {name: np.ones(3, np.float32) for name in ("mean.w3", "mean.b3", "batch.w3", "batch.b3", "mean.w1")}
    left = train.silenced(tensors, ["mean"])
    assert {name for name, tensor in left.items() if not tensor.any()} == {"mean.w3", "mean.b3"}
    assert tensors["mean.w3"].all(), "what was trained stays as it was"
    with pytest.raises(RunFailed, match="no head 'men'"):
        train.silenced(tensors, ["men"])
    wrong = CliRunner().invoke(cli.app, ["train", "--silent", "men"])
    assert wrong.exit_code == 2
    assert "there is no such head" in wrong.stderr
