"""`evencoat train --from`: a plant's own journal, as a real run leaves it, becomes a model or an honest no."""

from __future__ import annotations

import json
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch", reason="training needs torch: make learn")

from evencoat import cli, experience, train_further
from evencoat.experience import ExperienceError, lived
from evencoat.journal import CycleJournal, JournalReader
from evencoat.league.rivals import Rival
from evencoat.model_store import ModelStore, load_model
from evencoat.settings import load_line
from evencoat.simulate import Plan, simulate
from evencoat.train_further import FurtherPlan, FurtherTraining
from plant_sim.truth import Truth
from tests.evencoat.test_journal import LINE, make_trace
from tests.runs import DRIFTS, story

runner = CliRunner()
MINUTES, EVERY_S, SEED = 21.0, 150.0, 3


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short shift of the pilot line under the law neural, with a new batch every two and a half minutes."""
    folder = tmp_path_factory.mktemp("run")
    plays = [{"name": "batch-change", "onset_s": EVERY_S * k, "front_s": 25.0} for k in range(1, 8)]
    simulate(Plan(load_line("pilot-16"), story(*plays, drifts=DRIFTS), Rival.NEURAL, MINUTES, SEED), folder)
    return folder


def quietly(*_: object) -> None:
    """Nobody listens."""


def trained(run: Path, folder: Path, **changes: object) -> FurtherTraining:
    plan = FurtherPlan((run,), "shipped", 1, folder, "evencoat train --from RUN")
    return train_further.train_further(replace(plan, **changes), quietly)  # type: ignore[arg-type]


def test_the_journal_tells_what_each_batch_was_expected_to_bring_and_brought(run: Path) -> None:
    """Before the dry gauge saw anything of a batch the pump answered what was expected of it; what is found by the end
    is the plant's own step."""
    with JournalReader(run / "journal.sqlite") as reader:
        told = reader.cycles()
    assert np.isnan(told["batch_foretold_pct"][told["t_line_ns"] < 149e9]).all(), "no batch was announced yet"
    (one,) = lived([run])
    assert (len(one.earlier.batches), len(one.later.batches)) == (4, 2)
    steps = np.concatenate((one.earlier.batches.step, one.later.batches.step))
    sure = np.sqrt(np.concatenate((one.earlier.batches.variance, one.later.batches.variance)))
    solids = [batch.solids_kgm3 for batch in Truth.draw(load_line("pilot-16").drawn, SEED).batches]
    np.testing.assert_allclose(steps, 100.0 * np.diff(np.log(solids))[1:], atol=0.35)
    assert (sure < 0.3).all()
    begins = np.flatnonzero(np.diff(told["batch"])) + 1
    foretold = told["batch_foretold_pct"][begins]
    assert foretold[0] == 0.0, "of the first batch nobody knows anything"
    first = int(begins[np.argmax(np.abs(foretold))])
    apart = np.abs(told["batch_step_pct"][first:] - told["batch_foretold_pct"][first])
    seen = first + int(np.flatnonzero(apart > 1e-3)[0])
    assert seen - first > 600, "the dry gauge stands 64 s of web from the die"
    share = told["batch_answered_pct"][first:seen] / told["batch_foretold_pct"][first]
    assert abs(told["batch_foretold_pct"][first]) > 0.3
    assert share[0] == 0.0 and share.max() > 0.5
    assert told["batch_step_sd_pct"][first + 1400] < 0.5 * told["batch_foretold_sd_pct"][first]


def test_what_was_missed_is_what_the_dry_gauge_said_of_that_metre_later(run: Path) -> None:
    """The belief at the die, and what came of it: noise of the dry gauge's mean, and drift that nobody had seen."""
    (one,) = lived([run])
    (earlier,), (later,) = one.earlier.stretches, one.later.stretches
    known = earlier.missed[np.isfinite(earlier.missed)]
    assert earlier.far_s == pytest.approx(64.5)
    assert 0.03 < known.std() < 1.0
    assert np.isnan(earlier.missed[: round(60.0 + 1.5 * 64.5) - 2]).all(), "at first nobody can know the level"
    assert np.isnan(later.missed[-60:]).all() and np.isfinite(later.missed[:-70]).mean() > 0.95


def test_a_model_or_an_honest_no(run: Path, tmp_path: Path) -> None:
    done = runner.invoke(cli.app, ["train", "--from", str(run), "--base", "shipped", "--out", str(tmp_path), "--json"])
    assert done.exit_code in (0, 3), done.output
    told = json.loads(done.stdout)
    assert (done.exit_code == 0) == told["better"] == any(head["taken"] for head in told["heads"].values())
    assert (tmp_path / train_further.MODEL).exists() == told["better"]
    assert json.loads((tmp_path / train_further.STORY).read_text())["heads"] == told["heads"]


def test_the_card_names_runs_base_and_seed_and_the_bytes_are_the_same_again(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the later web says, as if it had said yes."""
    real = train_further.lived

    def judged_by_itself(runs: tuple[Path, ...]) -> list[experience.Told]:
        return [replace(one, later=one.earlier) for one in real(runs)]

    monkeypatch.setattr(train_further, "lived", judged_by_itself)
    one, other = trained(run, tmp_path / "a", silent=("mean",)), trained(run, tmp_path / "b", silent=("mean",))
    assert one.heads.keys() == {"batch"}
    assert one.model is not None and other.model is not None, one.heads
    shipped = ModelStore(tmp_path).find("shipped")
    model, again = load_model(one.model.path), load_model(other.model.path)
    assert all(model.tensors[name].tobytes() == again.tensors[name].tobytes() for name in shipped.tensors)
    changed = {name for name, tensor in shipped.tensors.items() if tensor.tobytes() != model.tensors[name].tobytes()}
    assert changed and all(name.startswith("batch.") for name in changed)
    card = model.card
    assert (card.seed, card.command, card.families[-1]) == (1, "evencoat train --from RUN", "own line pilot-16")
    told = card.league["own_lines"]
    assert isinstance(told, dict) and told["base"] == shipped.sha256
    (named,) = told["runs"]
    assert (named["sha256"], named["line"]) == (lived([run])[0].sha256, "pilot-16")
    with JournalReader(run / "journal.sqlite") as reader:
        assert named["journal_id"] == reader.meta["journal_id"]


def journal(path: Path, **parts: object) -> Path:
    with CycleJournal(path, LINE.line, LINE.text) as writer:
        for cycle in range(0, 300, 10):
            writer.record(make_trace(cycle, **parts), 1.0, 0.0)
    return path


def test_a_run_of_which_nothing_can_be_learnt_is_named_with_what_is_missing(tmp_path: Path) -> None:
    bare = journal(tmp_path / "bare.sqlite")
    with pytest.raises(ExperienceError, match=r"bare\.sqlite: batch_shown and guest_shown are empty"):
        lived([bare])
    short = journal(tmp_path / "short.sqlite", guest_shown=np.full(28, 0.1), guest_missed_pct=0.2, guest_missed_m=1.0)
    asked = ["train", "--from", str(short), "--base", "shipped", "--out", str(tmp_path / "out")]
    done = runner.invoke(cli.app, asked)
    assert done.exit_code == 2
    words = " ".join(done.stderr.split())
    assert "short.sqlite: batches that came after a known one 0 and 0" in words and "batch 4 and 2" in words
    assert not (tmp_path / "out").exists()
    with sqlite3.connect(short) as db:
        db.execute("UPDATE meta SET value = '5' WHERE key = 'schema_version'")
    with pytest.raises(ExperienceError, match="schema version 5, this evencoat reads 9"):
        lived([short])


def test_a_run_s_journal_is_found_by_its_folder(run: Path, tmp_path: Path) -> None:
    assert experience.journals_of(run) == [run / "journal.sqlite"]
    for name in ("open", "neural"):
        (tmp_path / name).mkdir()
        shutil.copy(run / "journal.sqlite", tmp_path / name)
    assert experience.journals_of(tmp_path) == [tmp_path / "neural" / "journal.sqlite"]
    with pytest.raises(ExperienceError, match="holds the same as one that was named before"):
        lived([run, tmp_path])
    shutil.rmtree(tmp_path / "neural")
    with pytest.raises(ExperienceError, match="the law neural did not run; it has journals of open"):
        experience.journals_of(tmp_path)
    with pytest.raises(ExperienceError, match=r"nowhere: no journal\.sqlite is in it"):
        experience.journals_of(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["--base", "shipped"], "--base: needs --from"),
        (["--from", "x", "--quick"], "--quick: is for a training on drawn lines"),
        (["--from", "x", "--lines", "8"], "--lines: is for a training on drawn lines"),
        (["--from", "x", "--base", "abcdef"], "abcdef"),
    ],
)
def test_a_wrong_call_is_refused(asked: list[str], words: str, tmp_path: Path) -> None:
    done = runner.invoke(cli.app, ["train", *asked, "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()
