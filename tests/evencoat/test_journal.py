"""The cycle journal: nothing blocks the loop, nothing committed is lost, and what comes back is what went in."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.trace import Trace
from controller.line.command import Limit, Mode, Outcome
from controller.line.profile import LineState
from evencoat import journal as journal_module
from evencoat.journal import ARRAYS, FLAGS, SCANS, SHOWN, TIMES, CycleJournal, JournalError, JournalReader
from evencoat.settings import load_line

LINE = load_line("pilot-16")
ZONES = LINE.line.zones


def make_trace(cycle: int, **parts: object) -> Trace:
    """A cycle whose every figure depends on its number, so that a mix-up of columns or rows shows."""
    zone = np.arange(ZONES, dtype=np.float64)
    trace = Trace(
        cycle=cycle,
        t_line_ns=cycle * 100_000_000,
        sync_cycle=cycle + 7,
        web_m=0.05 * cycle,
        web_speed_mps=0.5,
        line_state=LineState.RUNNING,
        roll=3,
        batch=4,
        mode_requested=Mode.AUTO,
        mode_actual=Mode.HOLD if cycle % 2 else Mode.AUTO,
        outcome=Outcome.GAUGE_STALE if cycle % 2 else Outcome.OK,
        wet_scan_id=cycle,
        dry_scan_id=-1,
        profile_gsm=90.0 + 0.01 * zone + cycle,
        profile_valid=zone > cycle % 3,
        wet_bias_pct=0.1 * zone,
        gap_um=500.0 + zone,
        gap_law_um=501.0 + zone,
        gap_target_um=502.0 + zone,
        pump_ratio_rpm_per_mps=196.5,
        pump_trim_law_pct=1.25,
        pump_trim_pct=1.0,
        pump_trim_applied_pct=0.75,
        pump_speed_rpm=98.0,
        pump_pressure_kpa=200.0,
        limits=(Limit.RATE, Limit.BEND) if cycle % 2 else (),
        limited_zones=cycle % 5,
        zone_not_following=zone == 2,
        zone_manual=zone == 4,
        target_gsm=90.0 + 0.1 * cycle,
        link_faults=("wet gauge silent",) if cycle % 2 else (),
        sent=bool(cycle % 2),
        valid_until_cycle=cycle + 3,
    )
    return trace._replace(**parts)  # type: ignore[arg-type]


def open_journal(path: Path, queue_max: int = 100_000) -> CycleJournal:
    return CycleJournal(path, LINE.line, LINE.text, queue_max)


def test_what_comes_back_is_what_went_in(tmp_path: Path) -> None:
    path = tmp_path / "a" / "journal.sqlite"
    traces = [make_trace(cycle) for cycle in range(10, 31)]
    with open_journal(path) as journal:
        for trace in traces:
            journal.record(trace, step_us=100.0 + trace.cycle, lateness_us=5.0)
    with JournalReader(path) as reader:
        assert (reader.line, reader.settings_text, reader.cycle_count()) == ("pilot-16", LINE.text, 21)
        columns = reader.cycles()
    for k, trace in enumerate(traces):
        for name in columns.keys() - {*TIMES, *SCANS, *SHOWN, "limits", "link_faults"}:
            expected = getattr(trace, name)
            if columns[name].dtype.kind == "U":
                assert columns[name][k] == expected, name
            else:
                np.testing.assert_allclose(columns[name][k], expected, rtol=1e-6, err_msg=name)
        assert columns["limits"][k] == "; ".join(trace.limits)
        assert columns["link_faults"][k] == "; ".join(trace.link_faults)
        assert columns["step_us"][k] == 100.0 + trace.cycle
    assert np.all(np.abs(columns["t_unix_s"] - time.time()) < 3600.0)
    assert all(columns[name].shape == (21, ZONES) for name in ARRAYS + FLAGS)


def test_not_a_number_comes_back_as_not_a_number(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with open_journal(path) as journal:
        journal.record(make_trace(1, pump_pressure_kpa=np.nan, profile_gsm=np.full(ZONES, np.nan)), 1.0, 0.0)
        journal.record(make_trace(2), 1.0, 0.0)
    columns = JournalReader(path).cycles(("pump_pressure_kpa", "profile_gsm"))
    assert np.isnan(columns["pump_pressure_kpa"]).tolist() == [True, False]
    assert np.isnan(columns["profile_gsm"]).all(axis=1).tolist() == [True, False]


def test_what_the_network_was_shown_is_kept_once_a_second_and_not_where_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with open_journal(path) as journal:
        for cycle in range(25):
            shown = {name: np.arange(size) + cycle for name, size in SHOWN.items()}
            journal.record(make_trace(cycle, **shown), 1.0, 0.0)
        journal.record(make_trace(40), 1.0, 0.0)
    columns = JournalReader(path).cycles(tuple(SHOWN))
    for name, size in SHOWN.items():
        kept = np.flatnonzero(np.isfinite(columns[name]).all(axis=1))
        assert kept.tolist() == [0, 10, 20], name
        np.testing.assert_array_equal(columns[name][10], np.arange(size) + 10)
        assert columns[name].shape == (26, size) and np.isnan(columns[name][25]).all()


def test_a_scan_is_kept_in_the_cycle_in_which_it_came(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with open_journal(path) as journal:
        for cycle in range(4):
            scans = {name: np.arange(ZONES) + 10.0 * cycle for name in SCANS} if cycle == 2 else {}
            journal.record(make_trace(cycle, dry_scan_m=3.5 if scans else np.nan, **scans), 1.0, 0.0)
    with JournalReader(path) as reader:
        whole, before = reader.cycles((*SCANS, "dry_scan_m")), reader.cycles(SCANS, last_cycle=1)
    for name in SCANS:
        assert np.isfinite(whole[name]).all(axis=1).tolist() == [False, False, True, False]
        np.testing.assert_array_equal(whole[name][2], np.arange(ZONES) + 20.0)
        assert before[name].shape == (2, ZONES) and np.isnan(before[name]).all()
    assert np.isnan(whole["dry_scan_m"]).tolist() == [True, True, False, True]


def test_a_part_of_the_cycles_can_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with open_journal(path) as journal:
        for cycle in range(20):
            journal.record(make_trace(cycle), 1.0, 0.0)
    reader = JournalReader(path)
    assert reader.cycles(("cycle",), 5, 8)["cycle"].tolist() == [5, 6, 7, 8]
    assert reader.cycles(("gap_um",), 100)["gap_um"].shape[0] == 0
    with pytest.raises(ValueError, match="no column 'gap'"):
        reader.cycles(("gap",))


def test_events_keep_their_words_and_the_cycle_they_followed(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with open_journal(path) as journal:
        journal.event("start", "daemon started; “auto” was asked for")
        journal.record(make_trace(42), 1.0, 0.0)
        journal.event("alarm", "bolt 7 does not follow")
    first, second = JournalReader(path).events()
    assert (first.cycle, first.kind, first.text) == (-1, "start", "daemon started; “auto” was asked for")
    assert (second.cycle, second.t_line_ns, second.kind) == (42, 4_200_000_000, "alarm")


def test_the_newest_cycle_in_a_few_figures(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with open_journal(path) as journal:
        assert JournalReader(path).newest() is None
        profile = np.full(ZONES, 90.0)
        profile[3], profile[4] = 94.5, 180.0  # 5 % too thick; and a box that is not valid
        valid = np.arange(ZONES) != 4
        journal.record(make_trace(6, profile_gsm=profile, profile_valid=valid, target_gsm=90.0), 1.0, 0.0)
    newest = JournalReader(path).newest()
    assert newest is not None
    assert (newest.cycle, newest.mode_actual, newest.outcome) == (6, "auto", Outcome.OK)
    assert newest.worst_pct == pytest.approx(5.0, abs=1e-4)


def test_the_newest_cycle_is_judged_by_the_target_of_its_time(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with open_journal(path) as journal:
        recipe = JournalReader(path).target_gsm
        journal.record(make_trace(6, profile_gsm=1.02 * recipe, target_gsm=1.02 * float(recipe.mean())), 1.0, 0.0)
    newest = JournalReader(path).newest()
    assert newest is not None
    assert newest.worst_pct == pytest.approx(0.0, abs=1e-4)


def test_a_full_queue_never_blocks_and_the_loss_is_counted_and_told(tmp_path: Path) -> None:
    """The writer is held at its first commit, as by a stalled disk, while the loop goes on."""
    path = tmp_path / "journal.sqlite"
    gate = threading.Event()
    journal = open_journal(path, queue_max=8)
    commit = journal._commit
    journal._commit = lambda batch: (gate.wait(), commit(batch))[1]  # type: ignore[method-assign]
    for cycle in range(2000):
        journal.record(make_trace(cycle), 1.0, 0.0)
    gate.set()
    journal.close()
    reader = JournalReader(path)
    assert journal.lost > 0
    assert journal.lost + reader.cycle_count() == 2000
    told = [event for event in reader.events() if event.kind == "journal-overflow"]
    assert sum(int(event.text.split()[0]) for event in told) == journal.lost
    assert journal.error is None


def test_a_patient_journal_waits_for_its_writer_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with CycleJournal(path, LINE.line, LINE.text, queue_max=8, patient=True) as journal:
        for cycle in range(2000):
            journal.record(make_trace(cycle), 1.0, 0.0)
    with JournalReader(path) as reader:
        assert (journal.lost, reader.cycle_count(), reader.events()) == (0, 2000, [])


def test_a_disk_that_refuses_costs_rows_and_not_the_loop(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    journal._db.execute("PRAGMA max_page_count = 12")  # a full disk, as SQLite sees it
    for cycle in range(500):
        journal.record(make_trace(cycle), 1.0, 0.0)
    journal.close()
    assert journal.error is not None
    assert "full" in journal.error
    assert journal.lost + JournalReader(path).cycle_count() == 500


def test_after_close_a_record_is_lost_and_a_second_close_is_harmless(tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "journal.sqlite")
    journal.close()
    journal.record(make_trace(1), 1.0, 0.0)
    journal.close()
    assert journal.lost == 1


def test_a_restarted_daemon_appends(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    for start in (0, 5):
        with open_journal(path) as journal:
            for cycle in range(start, start + 5):
                journal.record(make_trace(cycle), 1.0, 0.0)
    assert JournalReader(path).cycles(("cycle",))["cycle"].tolist() == list(range(10))


def test_a_file_of_another_line_version_or_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    open_journal(path).close()
    with pytest.raises(JournalError, match="'pilot-16', not of 'line-40'"):
        CycleJournal(path, load_line("line-40").line, "")
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    with pytest.raises(JournalError, match="schema version 99"):
        JournalReader(path)
    text = tmp_path / "text.sqlite"
    text.write_text("this is no database, whatever its name says" * 50)
    for refuse in (lambda: JournalReader(text), lambda: open_journal(text), lambda: JournalReader(tmp_path / "none")):
        with pytest.raises(JournalError):
            refuse()


def test_a_journal_is_readable_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    committed = threading.Event()
    with open_journal(path) as journal:
        commit = journal._commit
        journal._commit = lambda batch: (commit(batch), committed.set())[0]  # type: ignore[method-assign]
        journal.record(make_trace(1), 1.0, 0.0)
        assert committed.wait(30.0)
        assert JournalReader(path).cycle_count() == 1


KILLED = """
import sys
from evencoat.journal import CycleJournal
from evencoat.settings import load_line
from tests.evencoat.test_journal import make_trace
line = load_line("pilot-16")
journal = CycleJournal(sys.argv[1], line.line, line.text)
commit = journal._commit
def tell(batch):
    commit(batch)
    print(journal.written, flush=True)
journal._commit = tell
cycle = 0
while True:
    journal.record(make_trace(cycle), 1.0, 0.0)
    cycle += 1
    if cycle % 200 == 0:
        sys.stdin.readline()
"""


def test_kill_9_loses_no_committed_row(tmp_path: Path) -> None:
    """A process that writes is killed between and during commits; every count it told must be found again."""
    path = tmp_path / "journal.sqlite"
    root = Path(__file__).parents[2]
    told = 0
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
        cwd=root,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for _ in range(4):
            child.stdin.write("go\n")
            child.stdin.flush()
            told = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        child.wait()
        told = max([told, *(int(text) for text in child.stdout.read().split())])
    reader = JournalReader(path)
    cycles = reader.cycles(("cycle", "gap_um"))
    assert reader.cycle_count() >= told > 0
    assert cycles["cycle"].tolist() == list(range(reader.cycle_count()))
    with open_journal(path) as journal:
        journal.record(make_trace(10**6), 1.0, 0.0)
    assert JournalReader(path).cycles(("cycle",))["cycle"][-1] == 10**6


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_closed_journal_is_readable_in_a_folder_that_nobody_may_write(tmp_path: Path) -> None:
    path = tmp_path / "archive" / "journal.sqlite"
    with open_journal(path) as journal:
        journal.record(make_trace(1), 1.0, 0.0)
    assert sorted(file.name for file in path.parent.iterdir()) == ["journal.sqlite"]  # no -wal, no -shm left behind
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        assert JournalReader(path).cycle_count() == 1
    finally:
        path.parent.chmod(0o755)


@given(
    values=st.lists(st.floats(allow_nan=True, width=32), min_size=ZONES, max_size=ZONES), cycle=st.integers(0, 2**32)
)
@settings(max_examples=30, deadline=None)
def test_any_array_and_any_cycle_number_survive(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], cycle: int
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.sqlite"
    with open_journal(path) as journal:
        journal.record(make_trace(cycle, gap_um=np.array(values)), 1.0, 0.0)
    columns = JournalReader(path).cycles(("cycle", "gap_um"))
    assert columns["cycle"].tolist() == [cycle]
    np.testing.assert_array_equal(columns["gap_um"][0], np.array(values, dtype=np.float32))


def test_every_field_of_a_trace_has_its_column() -> None:
    """A field added to Trace and forgotten here would be lost without a word."""
    kept = {name for name, _ in journal_module.SCALARS} | set(journal_module.LISTS)
    assert kept | {*ARRAYS, *FLAGS, *SCANS, *SHOWN} == set(Trace._fields)


def spoilt(path: Path, change: str) -> Path:
    """A journal of five cycles, one of which a bit or two have been turned in."""
    with CycleJournal(path, LINE.line, LINE.text) as journal:
        for cycle in range(5):
            journal.record(make_trace(cycle), 1.0, 2.0)
    db = sqlite3.connect(path)
    with db:
        db.execute(change)
    db.close()
    return path


def test_text_that_is_none_is_shown_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    path = spoilt(tmp_path / "journal.sqlite", "UPDATE cycles SET outcome = CAST(x'72fe75' AS TEXT) WHERE cycle = 3")
    with JournalReader(path) as reader:
        outcomes = reader.cycles(("outcome",))["outcome"].tolist()
        assert outcomes[3] == "r\N{REPLACEMENT CHARACTER}u" and "damaged" in reader.torn
        assert outcomes[0] == Outcome.OK and reader.cycles()["web_m"].size == 5


@pytest.mark.parametrize(
    ("column", "value"), [("dry_scan_m", "'rate'"), ("batch", "'none'"), ("gap_um", "x'0000'"), ("gap_um", "'five'")]
)
def test_a_cell_that_is_none_of_its_column_s_is_named(tmp_path: Path, column: str, value: str) -> None:
    path = spoilt(tmp_path / "journal.sqlite", f"UPDATE cycles SET {column} = {value} WHERE cycle = 2")
    with JournalReader(path) as reader, pytest.raises(JournalError, match=f"damaged: column {column}"):
        reader.cycles()
    with JournalReader(path) as reader:
        assert reader.cycles(("cycle", "web_m"))["cycle"].tolist() == [0, 1, 2, 3, 4]
