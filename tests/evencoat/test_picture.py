"""The newest cycle in memory: what is read is what was shown, whole, and never an older one twice."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from controller.core.trace import Trace
from controller.line.command import Mode, Outcome
from evencoat import picture
from evencoat.journal import CycleJournal, JournalReader
from evencoat.picture import Easel, PictureError, Viewer
from tests.controller.core.test_step import Drive
from tests.factories import ToyWeb, make_line

LINE = make_line()


@pytest.fixture(scope="module")
def traces() -> list[Trace]:
    drive = Drive(ToyWeb(LINE))
    return [drive.cycle() for _ in range(5)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ours" / "a.picture"


def test_what_is_shown_is_seen_once_and_the_latest_wins(traces, path):
    easel, viewer = Easel(path, LINE.zones), Viewer(path)
    assert viewer.latest() is None
    for trace in traces:
        easel.show(trace, 12.5)
    head, arrays = picture.told(viewer.latest())
    last = traces[-1]
    assert (head["cycle"], head["mode_actual"], head["lateness_us"]) == (last.cycle, str(last.mode_actual), 12.5)
    np.testing.assert_array_equal(arrays["gap_target_um"], np.asarray(last.gap_target_um, "<f4"))
    np.testing.assert_array_equal(arrays["profile_valid"], last.profile_valid)
    assert viewer.latest() is None
    easel.show(traces[0], 0.0)
    assert picture.told(viewer.latest())[0]["cycle"] == traces[0].cycle


def test_a_number_that_is_none_is_null_and_arrays_lie_at_multiples_of_four(traces):
    content = picture.message(traces[0]._replace(harris_md=float("nan"))._asdict(), 0.0, 1.0)
    (length,) = picture.PREFIX.unpack_from(content)
    assert length % 4 == 0
    assert json.loads(content[4 : 4 + length])["harris_md"] is None


def test_the_line_s_word_after_packml_comes_with_the_cycle(traces):
    held = traces[0]._replace(mode_requested=Mode.AUTO, outcome=Outcome.GAUGE_STALE)
    head, _ = picture.told(picture.message(held._asdict(), 0.0, 1.0))
    assert (head["packml_state"], head["packml_mode"]) == ("Held", "Production")


def test_a_journal_s_row_makes_the_same_message(traces, tmp_path):
    with CycleJournal(tmp_path / "j.sqlite", LINE, "") as journal:
        for trace in traces:
            journal.record(trace, 1.0, 2.0)
    names = (*picture.SCALARS, *picture.LISTS, *picture.ARRAYS)
    with JournalReader(tmp_path / "j.sqlite") as reader:
        columns = reader.cycles([name for name in names if name != "model_news"])
    row = {name: values[2] for name, values in columns.items()} | {"model_news": ""}
    assert picture.message(row, 2.0, 5.0) == picture.message(traces[2]._asdict(), 2.0, 5.0)


def test_every_message_that_is_believed_is_whole(traces, path):
    """A writer at full speed beside a reader: whatever is read is one of those written, in their order."""
    easel, viewer, stop = Easel(path, LINE.zones), Viewer(path), threading.Event()
    shown = [trace._replace(gap_um=np.full(LINE.zones, float(k))) for k in range(50) for trace in traces]

    def write() -> None:
        while not stop.is_set():
            for number, trace in enumerate(shown):
                easel.show(trace._replace(cycle=number, gap_um=np.full(LINE.zones, float(number))), 0.0)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = 0
        while seen < 200:
            content = viewer.latest()
            if content is not None:
                head, arrays = picture.told(content)
                assert (arrays["gap_um"] == head["cycle"]).all()
                seen += 1
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize("at", [0, 9, 200])
def test_a_slot_caught_half_written_is_not_believed(traces, path, at):
    easel = Easel(path, LINE.zones)
    easel.show(traces[0], 0.0)
    easel.show(traces[1], 0.0)
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF  # the second message lies in the first slot
    path.write_bytes(content)
    assert picture.told(Viewer(path).latest())[0]["cycle"] == traces[0].cycle


def test_a_new_process_begins_anew_and_an_end_takes_the_picture_away(traces, path):
    first, viewer = Easel(path, LINE.zones), Viewer(path)
    for trace in traces:
        first.show(trace, 0.0)
    assert viewer.latest() is not None
    second = Easel(path, LINE.zones)
    second.show(traces[0], 0.0)
    assert viewer.latest() is not None, "the second count begins at one again"
    second.close()
    assert not path.exists() and viewer.latest() is None
    assert [child.name for child in path.parent.iterdir()] == []


def test_a_folder_that_others_may_write_to_is_refused(path):
    path.parent.mkdir()
    os.chmod(path.parent, 0o777)
    with pytest.raises(PictureError, match="alone"):
        Easel(path, LINE.zones)


def test_link_faults_without_end_are_cut(traces, path):
    easel, viewer = Easel(path, LINE.zones), Viewer(path)
    easel.show(traces[0]._replace(link_faults=tuple(f"fault {k}" for k in range(5000))), 0.0)
    assert picture.told(viewer.latest())[0]["link_faults"] == ["many"]


def test_each_journal_has_a_place_of_its_own(tmp_path):
    assert picture.path_of(tmp_path / "a") != picture.path_of(tmp_path / "b")
    assert picture.path_of(tmp_path / "a").parent.name == f"evencoat-{os.getuid()}"
