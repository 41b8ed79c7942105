"""Snapshots: what goes in comes back, and nothing else is ever believed."""

from __future__ import annotations

import json
import os
import typing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from controller import restart
from controller.core import step as core
from controller.line.command import Mode
from controller.restart import Kept
from evencoat import atomic
from evencoat.league.rivals import Rival, prepare
from evencoat.settings import Settings, load_line
from evencoat.snapshot import file
from evencoat.snapshot.file import Identity, SnapshotError, config_of, kept_of, read, write
from evencoat.snapshot.keeper import Keeper
from evencoat.snapshot.plain import AnyArray, from_arrays, to_arrays
from plant_sim.scenario import Scenario
from tests.runs import Line

Arrays = dict[str, AnyArray]


class Run(typing.NamedTuple):
    """A line that has run for a while, and what is kept of it."""

    settings: Settings
    line: Line
    kept: Kept
    identity: Identity


def ran(name: str, rival: Rival, seconds: float = 100.0) -> Run:
    line = Line(Scenario.load("first-shift"), name, rival)
    line.play_s(seconds)
    trace = line.loop.trace
    assert trace is not None
    kept = restart.kept(line.loop.config, line.loop.state, trace.web_m, trace.roll, trace.batch)
    settings = load_line(name)
    settings = replace(settings, line=prepare(settings.line, rival)[0])
    return Run(settings, line, kept, Identity.of(settings))


@pytest.fixture(scope="module")
def run() -> Run:
    return ran("pilot-16", Rival.ADAPTIVE)


def same(one: Kept, other: Kept) -> None:
    ours, theirs = to_arrays(one), to_arrays(other)
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype and array.tobytes() == theirs[name].tobytes(), name


@pytest.mark.parametrize("rival", [Rival.PID, Rival.IMC, Rival.ADAPTIVE, Rival.NEURAL])
@pytest.mark.parametrize("name", ["pilot-16", "line-40", "wide-120"])
def test_what_comes_back_is_what_went_in_bit_for_bit(tmp_path: Path, name: str, rival: Rival) -> None:
    run = ran(name, rival, 30.0)
    write(tmp_path / "s", run.kept, run.identity, 1)
    snapshot = read(tmp_path / "s", run.identity)
    assert snapshot is not None
    same(kept_of(config_of(run.settings, snapshot, run.line.guest.network), snapshot), run.kept)
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_a_state_that_was_never_used_comes_back_too(tmp_path: Path, run: Run) -> None:
    config = run.line.loop.config
    fresh = restart.kept(config, core.init(config, Mode.HOLD), 0.0, 0, 0)
    write(tmp_path / "s", fresh, run.identity, 1)
    snapshot = read(tmp_path / "s", run.identity)
    assert snapshot is not None
    same(kept_of(config_of(run.settings, snapshot, run.line.guest.network), snapshot), fresh)


def rewritten(path: Path, change: Callable[[Arrays], None]) -> None:
    """The same snapshot with other arrays, and a card that vouches for them."""
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    card = json.loads(header["__metadata__"]["card"])
    arrays: Arrays = dict(file.load(content))
    change(arrays)
    card["sha256"] = file._sha256(arrays)
    path.write_bytes(save(arrays, metadata={"card": json.dumps(card)}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.pop("estimate.film.mean"), "estimate.film.mean: missing"),
        (lambda a: a.update({"estimate.film.meen": np.zeros(3)}), "estimate.film.meen: unknown field"),
        (lambda a: a.update({"law.memory_md": np.zeros(())}), "law.memory_md: unknown field"),
        (lambda a: a.update({"estimate.film.mean": np.zeros(15)}), r"estimate.film.mean: float64 of shape \(15,\)"),
        (lambda a: a.update({"estimate.film.mean": np.zeros(16, np.float32)}), "estimate.film.mean: float32"),
        (lambda a: a.update({"bolts.out": np.zeros(16)}), "bolts.out: float64 of shape"),
        (
            lambda a: a.update({"estimate.film.mean": np.full(16, np.nan)}),
            r"estimate.film.mean\[0\] = nan: must",
        ),
        (lambda a: a.update({"estimate.good_share": np.asarray(np.inf)}), "estimate.good_share = inf: must be finite"),
        (lambda a: a.update({"estimate.film.variance": np.full(16, -1.0)}), "estimate.film.variance: holds -1"),
        (lambda a: a.update({"ladder.cause": np.frombuffer(b"bad luck", np.uint8)}), "ladder.cause = 'bad luck'"),
        (lambda a: a.update({"ladder.rung": np.asarray(1.5)}), "ladder.rung: float64"),
        (lambda a: a.update({"adapt.there": np.array([9.0, 0, 0, 0])}), "gain = 9: must be within"),
        (lambda a: a.update({"adapt.there": np.array([np.nan, 0, 0, 0])}), "adapt.there: must be four finite"),
        (lambda a: a.update({"unsure_mm": np.asarray(-1.0)}), "unsure_mm: must be a finite number"),
        (lambda a: a.update({"estimate.model.blocks": np.zeros((1, 16, 16))}), "estimate.model.blocks: float64 of"),
        (lambda a: a.update({"estimate.learnt.blame.past": np.full((2, 2), np.nan)}), "blame.past = .*must be finite"),
    ],
)
def test_a_field_that_does_not_fit_is_refused_by_name(
    tmp_path: Path, run: Run, change: Callable[[Arrays], None], words: str
) -> None:
    path = tmp_path / "s"
    write(path, run.kept, run.identity, 1)
    rewritten(path, change)
    snapshot = read(path, run.identity)
    assert snapshot is not None
    with pytest.raises(SnapshotError, match=words):
        kept_of(config_of(run.settings, snapshot, run.line.guest.network), snapshot)


@given(place=st.integers(0, 2**62), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_a_bit_that_fell_over_is_found_wherever_it_is(
    tmp_path_factory: pytest.TempPathFactory, run: Run, place: int, bit: int
) -> None:
    path = tmp_path_factory.mktemp("bit") / "s"
    write(path, run.kept, run.identity, 1)
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 1 << bit
    path.write_bytes(content)
    try:
        snapshot = read(path, run.identity)
        assert snapshot is not None
        same(kept_of(config_of(run.settings, snapshot, run.line.guest.network), snapshot), run.kept)
    except SnapshotError:
        pass


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, run: Run, share: float) -> None:
    path = tmp_path / "s"
    write(path, run.kept, run.identity, 1)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(SnapshotError):
        read(path, run.identity)


def test_another_line_recipe_or_law_is_refused_by_name(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "s"
    write(path, run.kept, run.identity, 1)
    line = run.settings.line
    for what, other in (
        ("line", replace(line, die=replace(line.die, gap_nominal_um=501.0))),
        ("line", replace(line, lips=replace(line.lips, backlash_um=1.5))),
        ("recipe", replace(line, slurry=replace(line.slurry, solids_fraction=0.6))),
        ("recipe", replace(line, target=replace(line.target, areal_density_gsm=91.0))),
        ("law", prepare(line, Rival.PID)[0]),
    ):
        with pytest.raises(SnapshotError, match=f"is of another {what}"):
            read(path, Identity.of(replace(run.settings, line=other)))
    assert read(tmp_path / "none", run.identity) is None


def test_a_crash_at_any_moment_of_writing_leaves_the_old_one_whole(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s"
    write(path, run.kept, run.identity, 1)
    before = path.read_bytes()

    def crash(*args: object) -> None:
        raise OSError("power cut")

    for call in ("fsync", "replace"):
        with monkeypatch.context() as cut:
            cut.setattr(atomic.os, call, crash)
            with pytest.raises(OSError, match="power cut"):
                write(path, run.kept._replace(roll=99), run.identity, 2)
        assert path.read_bytes() == before
        assert [left.name for left in tmp_path.iterdir()] == ["s"]


def test_the_new_one_is_on_the_disk_before_it_has_the_name(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    for call in ("fsync", "replace"):
        real = getattr(os, call)
        monkeypatch.setattr(atomic.os, call, lambda *a, call=call, real=real: (told.append(call), real(*a))[1])
    write(tmp_path / "s", run.kept, run.identity, 1)
    assert told == ["fsync", "replace", "fsync"]


def test_the_keeper_writes_the_newest_and_tells_once_when_it_cannot(tmp_path: Path, run: Run) -> None:
    loop, said = run.line.loop, []
    trace = loop.trace
    assert trace is not None
    keeper = Keeper(tmp_path / "s", run.identity, 1000.0, said.append)
    keeper.offer(loop.config, loop.state, trace._replace(roll=7))
    keeper.offer(loop.config, loop.state, trace._replace(roll=8))
    keeper.close()
    snapshot = read(tmp_path / "s", run.identity)
    assert snapshot is not None and snapshot.card.roll == 8 and not said
    for _ in range(2):
        keeper = Keeper(tmp_path / "no" / "folder", run.identity, 1000.0, said.append)
        keeper.offer(loop.config, loop.state, trace)
        keeper._write(loop.config, loop.state, trace)
        keeper.close()
    assert len(said) == 2 and all("no snapshot could be written" in words for words in said)  # once each


class Odd(typing.NamedTuple):
    """Kinds of fields that no state has together."""

    number: float
    maybe: int | None
    word: str
    yes: bool
    pairs: tuple[tuple[float, float], ...]
    row: tuple[float, float]


@given(
    odd=st.builds(
        Odd,
        st.floats(allow_nan=False, allow_infinity=False),
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.text(max_size=20),
        st.booleans(),
        st.lists(st.tuples(*[st.floats(-1e9, 1e9)] * 2), max_size=4).map(tuple),
        st.tuples(*[st.floats(-1e9, 1e9)] * 2),
    )
)
def test_any_value_of_a_state_survives(odd: Odd) -> None:
    template = Odd(0.0, None, "", False, (), (0.0, 0.0))
    assert from_arrays(template, to_arrays(odd), {}) == odd
    with pytest.raises(TypeError, match="no state holds a list"):
        to_arrays(template._replace(word=[1]))  # type: ignore[arg-type]
