"""The archive: every row once, whatever is killed when; whole hours; and what is gone is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from evencoat.cli import app
from evencoat.historian import archive as archiving
from evencoat.historian.archive import Archive, hours, missing_rows
from evencoat.historian.outbox import Outbox, SinkError, Source
from evencoat.journal import ARRAYS, COLUMNS, FLAGS, JournalReader
from tests.evencoat.historian.journals import HOUR_S, MONDAY_S, append, hours_of, prune_below
from tests.evencoat.test_journal import LINE

HOME = f"line={LINE.line.name}"


class Killed(BaseException):
    """Nobody catches it, as nobody catches a SIGKILL."""


def outbox(journal: Path, sink: Archive, told: list[str] | None = None) -> Outbox:
    return Outbox(journal, sink, lambda kind, words: (told if told is not None else []).append(f"{kind}: {words}"))


def drained(journal: Path, folder: Path, keep_days: float | None = None, now_s: float = MONDAY_S) -> Outbox:
    sink = Archive(folder, keep_days, lambda: now_s)
    try:
        box = outbox(journal, sink)
        box.drain()
        return box
    finally:
        sink.close()


def archived(folder: Path) -> list[int]:
    """Numbers of all rows, in the order of the files."""
    return [
        number
        for one in hours(folder / HOME)
        for number in parquet.read_table(one.path, columns=["row_id"], partitioning=None)["row_id"].to_pylist()
    ]


def test_what_was_written_is_archived_by_line_and_day_an_hour_a_file(tmp_path: Path) -> None:
    journal, folder = tmp_path / "j.sqlite", tmp_path / "a"
    append(journal, hours_of(26, 5))
    assert drained(journal, folder).progress.kept_row == 130
    files = list(hours(folder / HOME))
    assert [(one.first_row, one.last_row) for one in files] == [(5 * k + 1, 5 * k + 5) for k in range(26)]
    assert files[25].path.parent.name == "day=2026-11-24" and files[25].path.name.startswith("2026-11-24T01_")
    with JournalReader(journal) as reader:
        columns = reader.rows(COLUMNS, 6, 10)
    table = parquet.read_table(files[1].path, partitioning=None)
    for name in COLUMNS:
        found = table[name].to_pylist()
        if name in (*ARRAYS, *FLAGS):
            np.testing.assert_allclose(found, columns[name], err_msg=name)
        elif columns[name].ndim == 1 and columns[name].dtype.kind == "f":
            np.testing.assert_allclose([np.nan if one is None else one for one in found], columns[name], err_msg=name)
        elif columns[name].ndim == 1:
            assert found == columns[name].tolist(), name
    assert set(table["journal_id"].to_pylist()) == {files[1].journal_id}


def test_an_hour_is_closed_when_it_is_over_and_not_before(tmp_path: Path) -> None:
    journal, folder, clock = tmp_path / "j.sqlite", tmp_path / "a", [MONDAY_S + 10.0]
    append(journal, hours_of(1, 5))
    sink = Archive(folder, now_unix_s=lambda: clock[0])
    box = outbox(journal, sink)
    assert (box.step(), box.step(), box.progress.kept_row, archived(folder)) == (5, 0, 0, [])
    assert box.progress.lag_rows == 5 and box.progress.lag_s > 0.0
    clock[0] = MONDAY_S + HOUR_S + archiving.GRACE_S + 1.0
    assert (box.step(), box.progress.kept_row, archived(folder)) == (0, 5, [1, 2, 3, 4, 5])
    append(journal, [MONDAY_S + HOUR_S - 1.0, MONDAY_S + HOUR_S + 1.0])  # a row that was late, and the next hour's
    box.step()
    assert box.progress.kept_row == 6 and box.progress.lag_rows == 1
    sink.close()
    assert [one.hour % 24 for one in hours(folder / HOME)] == [0, 0]


def test_killed_at_any_point_it_neither_loses_nor_doubles_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once before and once after each thing that it does to the disk, until a run is through without being killed."""
    journal = tmp_path / "j.sqlite"
    append(journal, hours_of(2, 2))
    left, points = [0], 0

    def deadly(does: Callable[..., Any]) -> Callable[..., Any]:
        def does_or_dies(*given: Any, **named: Any) -> Any:
            for work in (lambda: None, lambda: does(*given, **named)):
                result = work()
                left[0] -= 1
                if left[0] == 0:
                    raise Killed
            return result

        return does_or_dies

    with monkeypatch.context() as patched:
        for name in ("_write_held", "_to_disk", "write_whole", "_writer"):
            patched.setattr(archiving, name, deadly(getattr(archiving, name)))
        patched.setattr(os, "replace", deadly(os.replace))
        while True:
            points += 1
            folder, left[0] = tmp_path / f"a{points}", points
            sink = Archive(folder, now_unix_s=lambda: MONDAY_S)
            try:
                outbox(journal, sink).drain()
            except Killed:
                left[0] = -1
                sink.close()
                drained(journal, folder)
                assert archived(folder) == list(range(1, 5)), f"killed at point {points}"
                assert not list(folder.rglob("*.part"))
            else:
                break
    sink.close()
    assert points > 20


WORKER = """
import sys
from pathlib import Path
from evencoat.historian import outbox
from evencoat.historian.archive import Archive
outbox.ROWS_AT_ONCE = 7
box = outbox.Outbox(Path(sys.argv[1]), Archive(Path(sys.argv[2])), print)
while box.step():
    print(box.progress.kept_row, flush=True)
"""


def test_a_process_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    journal, folder = tmp_path / "j.sqlite", tmp_path / "a"
    append(journal, hours_of(10, 20))
    asked = [sys.executable, "-c", WORKER, str(journal), str(folder)]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        while int(worker.stdout.readline()) < 80:
            pass
        worker.send_signal(signal.SIGKILL)
    assert 80 <= max(archived(folder)) < 200
    drained(journal, folder)
    assert archived(folder) == list(range(1, 201))
    assert not list(folder.rglob("*.part"))


def test_rows_that_were_pruned_first_are_told_and_noted(tmp_path: Path) -> None:
    journal, folder, told = tmp_path / "j.sqlite", tmp_path / "a", list[str]()
    append(journal, hours_of(2, 5))
    prune_below(journal, 4)
    sink = Archive(folder)
    box = outbox(journal, sink, told)
    box.drain()
    sink.close()
    assert told == ["gap: archive: rows 1 to 3 were pruned from the journal before they were handed over"]
    assert box.progress.missing_rows == 3 and archived(folder) == list(range(4, 11))
    with JournalReader(journal) as reader:
        assert missing_rows(folder / HOME, reader.meta["journal_id"]) == [(1, 3)]
    assert drained(journal, folder).progress.missing_rows == 0  # once
    done = CliRunner().invoke(app, ["historian", str(journal), "--to", str(tmp_path / "b"), "--once"])
    assert done.exit_code == 3 and "3 were gone before" in done.output


def test_retention_removes_whole_files_and_forgets_no_row(tmp_path: Path) -> None:
    journal, folder = tmp_path / "j.sqlite", tmp_path / "a"
    append(journal, hours_of(27, 2))
    drained(journal, folder, keep_days=0.125, now_s=MONDAY_S + 27 * HOUR_S)
    assert archived(folder) == list(range(49, 55))  # three hours
    assert not (folder / HOME / "day=2026-11-23").exists()
    drained(journal, folder, keep_days=0.125, now_s=MONDAY_S + 60 * HOUR_S)
    assert archived(folder) == []
    append(journal, [MONDAY_S + 60 * HOUR_S])
    drained(journal, folder)
    assert archived(folder) == [55]


def test_two_historians_do_not_share_a_line(tmp_path: Path) -> None:
    journal, folder = tmp_path / "j.sqlite", tmp_path / "a"
    append(journal, hours_of(1, 2))
    first = Archive(folder)
    outbox(journal, first).step()
    with pytest.raises(SinkError, match="another historian is at work there"):
        outbox(journal, Archive(folder)).step()
    first.close()


def test_a_line_whose_name_is_a_path_gets_no_folder(tmp_path: Path) -> None:
    journal = tmp_path / "j.sqlite"
    append(journal, hours_of(1, 2))
    with JournalReader(journal) as reader:
        source = Source("../../x", LINE.line)
        assert reader.meta["journal_id"] != source.journal_id
    with pytest.raises(SinkError, match="no names for a folder and a file"):
        Archive(tmp_path / "a").bookmark(source)
    assert not (tmp_path / "a").exists()


def test_a_note_that_somebody_spoilt_is_named(tmp_path: Path) -> None:
    journal, folder = tmp_path / "j.sqlite", tmp_path / "a"
    append(journal, hours_of(1, 2))
    drained(journal, folder)
    (note,) = folder.rglob("*.json")
    note.write_text(json.dumps({"kept_row": "all"}))
    with pytest.raises(SinkError, match="is no note of ours"):
        drained(journal, folder)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give at least one of --to FOLDER, --postgres DSN, --metrics PORT"),
        (["--keep-days", "3", "--metrics", "0"], "keep-days: is for the archive"),
        (["--once", "--metrics", "0"], "once: ends before anybody could ask"),
        (["--postgres", "hush hush", "--once"], "postgres: no connection string"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(tmp_path: Path, arguments: list[str], words: str) -> None:
    journal = tmp_path / "j.sqlite"
    append(journal, hours_of(1, 2))
    done = CliRunner().invoke(app, ["historian", str(journal), *arguments])
    assert done.exit_code == 2 and words in " ".join(done.output.split()), done.output
    assert "hush" not in done.output
