"""A whole training, small but real: loss falls, weights load and run, and the same seed gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: make learn")

from controller.core import estimate, foresight, network, response  # noqa: E402
from controller.core.network import Network  # noqa: E402
from controller.learn import belief, checkpoint, heads, record, sensing, train  # noqa: E402
from controller.learn.families import FAMILIES  # noqa: E402
from controller.learn.heads import Heads, Weights  # noqa: E402
from controller.learn.record import Record, Task  # noqa: E402
from controller.learn.train import Settings, Trained  # noqa: E402
from controller.line.description import LawName  # noqa: E402

TINY = replace(
    Settings.quick(1), lines=6, held_out=14, minutes=7.0, hidden=4, batch_hidden=4, batch_lines=200, batch_steps=40,
    missed_steps=40, loop_steps=2, loop_s=60, at_once=6, look_every=10, gating_decay=0.01, decay=0.001,
)  # fmt: skip


class Stopped(Exception):
    pass


def said(stage: str, share: float, words: str) -> None:
    assert 0.0 <= share <= 1.0 and stage and words


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose recorded lines later trainings find again."""
    return tmp_path_factory.mktemp("training")


@pytest.fixture(scope="module")
def trained(lines: Path) -> Trained:
    return train.train(TINY, lines, said)


def test_the_loss_falls_and_the_story_says_so(trained: Trained) -> None:
    rows = [row for row in trained.history if row["stage"] == "missed"]
    assert [row["step"] for row in rows] == [0, 10, 20, 30, 40]
    assert rows[0]["score"] == 0.0
    assert min(row["loss"] for row in rows[1:]) < -0.005
    assert trained.figures["batch_loss"][1] < trained.figures["batch_loss"][0]


def test_the_weights_load_and_run_in_the_controller(trained: Trained) -> None:
    guest = network.from_tensors(trained.tensors)
    world = belief.draw("usual", 77, 6.0, LawName.NEURAL)
    estimator = estimate.build(world.line, response.believe(world.line), None, guest)
    foreseer = foresight.build(world.line, estimator, guest)
    seen, ahead = estimate.init(estimator), foresight.init(foreseer)
    for inputs in sensing.watched(world):
        seen = estimate.update(estimator, seen, inputs)
        ahead = foresight.watch(foreseer, ahead, seen, inputs)
    assert ahead is not None and np.isfinite(ahead.whole)


def test_what_came_of_it_is_told_for_every_family(trained: Trained) -> None:
    assert set(trained.figures["by_family"]) == set(FAMILIES)
    assert trained.figures["lines"] == 7
    for name in ("mse_over_adaptive", "closed_loop_variance_over_adaptive"):
        assert 0.5 < trained.figures[name]["median"] <= trained.figures[name]["worst_fifth"] < 2.0


def test_the_same_seed_gives_the_same_bytes(trained: Trained, lines: Path) -> None:
    assert same(train.train(TINY, lines, said).tensors, trained.tensors)


def test_another_seed_draws_other_lines_and_other_weights(lines: Path) -> None:
    one, other = (record.training_line(seed, 0, 7.0, None, lines) for seed in (1, 2))
    assert one.seed != other.seed
    assert not same(Heads(4, 4, 1).exported(), Heads(4, 4, 2).exported())


def test_who_records_the_lines_makes_no_difference(trained: Trained, lines: Path) -> None:
    asked: list[int] = []

    def backwards(tasks: Sequence[Task], guest: Network | None) -> Iterator[Record]:
        asked.append(len(tasks))
        return iter([record.recorded(task, guest) for task in reversed(tasks)][::-1])

    assert same(train.train(TINY, lines, said, recorder=backwards).tensors, trained.tensors)
    assert asked == [6 + 7, 7, 7, 7]


@pytest.mark.parametrize("at", ["missed", "loop"])
def test_a_training_that_was_stopped_ends_with_the_same_bytes(trained: Trained, lines: Path, at: str) -> None:
    def stop(stage: str, share: float, words: str) -> None:
        if stage == "unseen lines" if at == "loop" else (stage == "missed" and share > 0.5):
            raise Stopped

    real = checkpoint.save

    def saved_then_stopped(*args: object) -> None:
        real(*args)  # type: ignore[arg-type]
        if at == "missed" and args[2].step == 20:  # type: ignore[attr-defined]
            raise Stopped

    (lines / train.CHECKPOINT).unlink(missing_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save", saved_then_stopped)
        with pytest.raises(Stopped):
            train.train(TINY, lines, stop)
    assert (lines / train.CHECKPOINT).exists()
    assert same(train.train(TINY, lines, said, resume=True).tensors, trained.tensors)


def test_another_training_is_not_gone_on_from(trained: Trained, lines: Path) -> None:
    with pytest.raises(checkpoint.CheckpointError, match=r"checkpoint\.npz: rate was .*, now it is 0\.5"):
        train.train(replace(TINY, rate=0.5), lines, said, resume=True)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / train.CHECKPOINT
    path.write_bytes(b"something else")
    with pytest.raises(checkpoint.CheckpointError, match="is no checkpoint"):
        checkpoint.load(path, asdict(TINY), Heads(4, 4, 1), {})


def test_what_is_no_better_than_saying_nothing_says_nothing(lines: Path) -> None:
    """A rate that throws the weights far off: every look is worse than the beginning, and the beginning is kept."""
    wild = replace(TINY, rate=50.0, missed_steps=3, look_every=1, loop_steps=0)
    done = train.train(wild, lines, said)
    assert all(row["score"] > 0.0 for row in done.history if row["stage"] == "missed" and row["step"])
    guest = network.from_tensors(done.tensors)
    assert not guest.mean.w3.any() and not guest.mean.b3.any()
    assert guest.batch.w3.any()


def test_the_judge_is_asked_about_the_weights_that_go_out(lines: Path) -> None:
    judged: list[Weights] = []

    def judge(tensors: Weights) -> dict[str, float]:
        judged.append(tensors)
        return {"sigma": 0.9}

    done = train.train(replace(TINY, missed_steps=1, loop_steps=0), lines, said, judge=judge)
    assert done.figures["league"] == {"sigma": 0.9}
    assert same(judged[0], done.tensors)
    assert heads.USUAL_STEP == 0.015
