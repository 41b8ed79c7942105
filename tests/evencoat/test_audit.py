"""The audit chain, pruning, disk full, torn copies and export: what the journal promises beside its rows."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from evencoat.cli import app
from evencoat.journal import ARRAYS, CycleJournal, JournalError, JournalReader, Retention, What
from evencoat.journal.export import export
from evencoat.journal.salvage import Pages
from evencoat.journal.tables import PAGE_BYTES, open_existing
from tests.evencoat.test_journal import LINE, ZONES, make_trace


def written(path: Path, cycles: int = 40, notes: int = 5) -> Path:
    """A journal with so many cycles and audit records."""
    with CycleJournal(path, LINE.line, LINE.text) as journal:
        for k in range(notes):
            journal.audit("mara", What.MODE, "hold", "auto", f"shift {k}: “los geht’s”")
        for cycle in range(cycles):
            journal.record(make_trace(cycle), 1.0, 0.0)
    return path


def changed(path: Path, query: str, *values: object) -> None:
    with sqlite3.connect(path) as db:
        db.execute(query, values)


def test_a_record_is_bound_to_the_one_before_by_the_bytes_that_the_documentation_names(tmp_path: Path) -> None:
    """Worked out by hand from docs/journal.md, with nothing of ours but the file."""
    path = written(tmp_path / "j.sqlite", notes=3)
    db = sqlite3.connect(path)
    meta = dict(db.execute("SELECT key, value FROM meta"))
    before = hashlib.sha256(f"evencoat audit 1 {meta['journal_id']} {meta['line']}".encode()).hexdigest()
    rows = db.execute(
        "SELECT seq, t_unix_ns, who, what, old, new, why, before, hash FROM audit ORDER BY seq"
    ).fetchall()
    assert [row[0] for row in rows] == [1, 2, 3]
    for seq, t_unix_ns, who, what, old, new, why, bound_to, own in rows:
        assert bound_to == before
        text = json.dumps(
            [1, seq, t_unix_ns, who, what, old, new, why, before], ensure_ascii=False, separators=(",", ":")
        )
        assert own == hashlib.sha256(text.encode()).hexdigest()
        before = own


@pytest.mark.parametrize(
    ("query", "broken"),
    [
        ("UPDATE audit SET new = 'manual' WHERE seq = 3", "record 3 (mode) is not what it was"),
        ("UPDATE audit SET who = 'somebody' WHERE seq = 1", "record 1 (mode) is not what it was"),
        ("UPDATE audit SET t_unix_ns = t_unix_ns + 1 WHERE seq = 5", "record 5 (mode) is not what it was"),
        ("DELETE FROM audit WHERE seq = 2", "record 2 is missing: after 1 comes 3"),
        ("UPDATE audit SET before = hash WHERE seq = 4", "record 4 (mode) does not follow"),
        ("UPDATE meta SET value = 'line-40' WHERE key = 'line'", "record 1 (mode) does not follow"),
        ("DELETE FROM cycles WHERE id BETWEEN 11 AND 13", "3 cycles are missing of rows 1 to 40"),
        ("DELETE FROM cycles WHERE id > 38", "2 cycles are missing of rows 1 to 40"),
    ],
)
def test_whatever_is_changed_is_found_and_named(tmp_path: Path, query: str, broken: str) -> None:
    path = written(tmp_path / "j.sqlite")
    with JournalReader(path) as reader:
        assert reader.verify().ok
    changed(path, query)
    with JournalReader(path) as reader:
        verdict = reader.verify()
    assert not verdict.ok
    assert broken in verdict.broken


def test_a_head_that_was_kept_elsewhere_finds_what_the_chain_alone_cannot(tmp_path: Path) -> None:
    """The last record taken away, and the whole chain written anew, both leave a chain that holds by itself."""
    path = written(tmp_path / "j.sqlite")
    with JournalReader(path) as reader:
        verdict = reader.verify()
        head = (verdict.head_seq, verdict.head_hash)
    changed(path, "DELETE FROM audit WHERE seq = 5")
    with JournalReader(path) as reader:
        assert reader.verify().ok
        assert "record 5, which was known, is not there" in reader.verify(head).broken
    changed(path, "DELETE FROM audit")
    with CycleJournal(path, LINE.line, LINE.text) as journal:
        for k in range(6):
            journal.audit("mara", What.MODE, "hold", "auto", f"another story, part {k}")
    with JournalReader(path) as reader:
        assert reader.verify().ok
        assert "another one than was known" in reader.verify(head).broken


def test_pruning_leaves_a_record_and_only_pruned_cycles_may_be_missing(tmp_path: Path) -> None:
    path = written(tmp_path / "j.sqlite", cycles=3000)
    done = CliRunner().invoke(app, ["journal", "prune", str(path), "--max-mb", "1", "--why", "moved to tape", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["pruned"] > 0 and told["size_bytes"] < 1_000_000
    with JournalReader(path) as reader:
        verdict, last = reader.verify(), reader.audit()[-1]
        rows = reader.row_numbers()
    assert verdict.ok and verdict.cycles == 3000 - told["pruned"]
    assert rows.tolist() == list(range(told["pruned"] + 1, 3001))  # the oldest went, and nothing else
    assert last.what == What.PRUNE and "moved to tape" in last.why
    assert json.loads(last.old)["rows"] == told["pruned"]
    assert path.stat().st_size < 1_300_000  # the pages were given back
    changed(path, "DELETE FROM cycles WHERE id = (SELECT MIN(id) FROM cycles)")
    with JournalReader(path) as reader:
        assert "1 cycles are missing" in reader.verify().broken


def test_by_age_too(tmp_path: Path) -> None:
    path = written(tmp_path / "j.sqlite", cycles=100)
    changed(path, "UPDATE cycles SET t_unix_s = t_unix_s - 10 * 86400 WHERE id <= 60")
    done = CliRunner().invoke(app, ["journal", "prune", str(path), "--keep-days", "9", "--json"])
    assert json.loads(done.stdout)["pruned"] == 60
    with JournalReader(path) as reader:
        assert reader.verify().ok and reader.cycle_count() == 40


def test_a_crash_between_the_record_and_the_deleting_leaves_too_many_rows_and_a_chain_that_holds(
    tmp_path: Path,
) -> None:
    path = written(tmp_path / "j.sqlite", cycles=50)
    from evencoat.journal import retention

    db = open_existing(path)
    with retention.writing(db):
        retention.append(db, [retention._record(20, 1, 21, 0.0, 0.0, "evencoat", "as if killed here")])
    db.close()
    with JournalReader(path) as reader:
        assert reader.verify().ok and reader.verify().cycles == 50
    with sqlite3.connect(path) as raw:
        raw.execute("DELETE FROM cycles WHERE id < 10")
    with JournalReader(path) as reader:
        assert reader.verify().ok


def test_a_journal_that_is_being_written_can_be_pruned_and_its_chain_holds(tmp_path: Path) -> None:
    """Two processes append to one chain: each takes the head inside its own transaction."""
    path = tmp_path / "j.sqlite"
    with CycleJournal(path, LINE.line, LINE.text) as journal:
        for cycle in range(3000):
            journal.record(make_trace(cycle), 1.0, 0.0)
            if cycle % 500 == 0:
                journal.audit("mara", What.MODE, "hold", "auto", f"at {cycle}")
            if cycle == 1500:
                done = CliRunner().invoke(app, ["journal", "prune", str(path), "--max-mb", "0.2"])
                assert done.exit_code == 0, done.output
    with JournalReader(path) as reader:
        verdict = reader.verify()
    assert verdict.ok, verdict.broken
    assert verdict.records >= 6


@pytest.mark.parametrize(
    ("retention", "words"),
    [(Retention(max_bytes=600_000), "larger than 600000 bytes"), (Retention(keep_days=5.0), "older than 5 days")],
)
def test_the_writer_keeps_the_journal_within_its_bounds_while_it_writes(
    tmp_path: Path, retention: Retention, words: str
) -> None:
    path = written(tmp_path / "j.sqlite", cycles=2000)
    changed(path, "UPDATE cycles SET t_unix_s = t_unix_s - 6 * 86400 WHERE id <= 1200")
    with CycleJournal(path, LINE.line, LINE.text, 100_000, retention) as journal:
        for cycle in range(2000, 2100):
            journal.record(make_trace(cycle), 1.0, 0.0)
    with JournalReader(path) as reader:
        verdict, rows, chain = reader.verify(), reader.row_numbers(), reader.audit()
    assert verdict.ok, verdict.broken
    assert [record.why for record in chain if record.what == What.PRUNE] == [words]
    assert rows.tolist() == list(range(verdict.pruned_before, 2101))
    if retention.keep_days is not None:
        assert verdict.pruned_before == 1201
    else:
        assert 400 < rows.size < 1200


def test_nothing_goes_that_is_neither_too_old_nor_too_much(tmp_path: Path) -> None:
    path = written(tmp_path / "j.sqlite", cycles=500)
    with CycleJournal(path, LINE.line, LINE.text, 100_000, Retention(1.0, 10_000_000)) as journal:
        journal.record(make_trace(500), 1.0, 0.0)
    with JournalReader(path) as reader:
        assert reader.row_numbers().size == 501
        assert not [record for record in reader.audit() if record.what == What.PRUNE]


# --- disk full ---------------------------------------------------------------------------------------------------


def test_a_full_disk_costs_the_oldest_cycles_never_a_record_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    journal = CycleJournal(path, LINE.line, LINE.text, 100_000, Retention())
    journal._db.execute("PRAGMA max_page_count = 150")  # a full disk, as SQLite sees it
    for cycle in range(4000):
        journal.record(make_trace(cycle), 1.0, 0.0)
        if cycle % 100 == 0:
            journal.audit("mara", What.SETPOINT, "0", str(cycle), "for the test")
    journal.close()
    assert journal.lost == 0
    with JournalReader(path) as reader:
        verdict, rows, events = reader.verify(), reader.row_numbers(), reader.events()
        setpoints = [record.new for record in reader.audit() if record.what == What.SETPOINT]
    assert verdict.ok, verdict.broken
    assert setpoints == [str(cycle) for cycle in range(0, 4000, 100)]
    assert rows[-1] == 4000 and rows[0] > 1 and rows.size == 4000 - rows[0] + 1
    assert any(event.kind == "alarm" and "full" in event.text for event in events)


def test_where_nothing_can_be_written_at_all_records_and_events_wait(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    journal = CycleJournal(path, LINE.line, LINE.text)
    commit, refuse = journal._commit, [True]

    def refusing(batch: list[object]) -> None:
        if refuse[0]:
            raise sqlite3.OperationalError("disk I/O error")
        commit(batch)  # type: ignore[arg-type]

    journal._commit = refusing  # type: ignore[method-assign, assignment]
    journal.record(make_trace(0), 1.0, 0.0)
    journal.audit("mara", What.MODE, "hold", "auto", "kept")
    journal.event("alarm", "kept too")
    while journal.lost == 0 or not journal._queue.empty():
        pass
    refuse[0] = False
    journal.record(make_trace(1), 1.0, 0.0)
    journal.close()
    with JournalReader(path) as reader:
        assert [record.why for record in reader.audit()] == ["kept"]
        assert {event.text for event in reader.events()} >= {
            "kept too",
            "1 rows lost: the queue was full or the disk refused",
        }
        assert reader.cycles(("cycle",))["cycle"].tolist() == [1]


# --- torn copies -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long enough for a tree of three levels and of pages in between."""
    return written(tmp_path_factory.mktemp("long") / "j.sqlite", cycles=2500, notes=30)


@given(share=st.floats(0.0, 1.0))
@example(share=0.998046875)  # within the last page of all
@settings(max_examples=25, deadline=None)
def test_a_copy_that_ends_anywhere_gives_every_row_before_the_tear(
    long_journal: Path, tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    whole = long_journal.read_bytes()
    copy = tmp_path_factory.mktemp("torn") / "copy.sqlite"
    tear = int(share * len(whole))
    copy.write_bytes(whole[:tear])
    try:
        reader = JournalReader(copy)
    except JournalError:
        assert tear < 16 * PAGE_BYTES  # nothing but the tables' own pages
        return
    with reader:
        rows, columns = reader.row_numbers(), reader.cycles(("cycle", "gap_um"))
        records = reader.audit()
    np.testing.assert_array_equal(columns["cycle"] + 1, rows)
    assert not rows.size or (columns["gap_um"] == 500.0 + np.arange(ZONES)).all()
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    row_bytes = (len(whole) - 40 * PAGE_BYTES) / 2500  # pages of tables, indices and the tree are the rest
    assert rows.size >= (tear - 40 * PAGE_BYTES) / row_bytes * 0.9
    if rows.size:
        assert rows.tolist() == list(range(1, rows.size + 1))  # append only: what lies before the tear is the oldest


def test_a_torn_copy_of_a_pruned_journal_gives_every_row_before_the_tear(long_journal: Path, tmp_path: Path) -> None:
    """Pages that were pruned are used again, so rows lie in no order: SQLite's own account says which lie before."""
    pruned = tmp_path / "pruned.sqlite"
    shutil.copy(long_journal, pruned)
    assert CliRunner().invoke(app, ["journal", "prune", str(pruned), "--max-mb", "0.8"]).exit_code == 0
    with CycleJournal(pruned, LINE.line, LINE.text) as journal:
        for cycle in range(2500, 3000):
            journal.record(make_trace(cycle), 1.0, 0.0)
    whole = pruned.read_bytes()
    for share in (0.4, 0.7, 0.95):
        tear = int(share * len(whole))
        with sqlite3.connect(pruned) as db:
            (expected,) = db.execute(
                "SELECT SUM(ncell) FROM dbstat WHERE name = 'cycles' AND pagetype = 'leaf' AND pgoffset + pgsize <= ?",
                (tear,),
            ).fetchone()
        copy = tmp_path / "copy.sqlite"
        copy.write_bytes(whole[:tear])
        with JournalReader(copy) as reader:
            assert reader.torn
            rows, cycles = reader.row_numbers(), reader.cycles(("cycle",))["cycle"]
        assert rows.size >= expected > 0
        np.testing.assert_array_equal(cycles + 1, rows)


def test_a_log_that_was_torn_loses_what_was_in_the_tear_only(tmp_path: Path) -> None:
    """The write-ahead log beside the file ends in the middle, as after a copy of a journal that is being written."""
    path = tmp_path / "j.sqlite"
    journal = CycleJournal(path, LINE.line, LINE.text)
    for cycle in range(300):
        journal.record(make_trace(cycle), 1.0, 0.0)
    with JournalReader(path) as reader:
        while reader.cycle_count() < 300:
            pass
    copy = tmp_path / "copy.sqlite"
    shutil.copy(path, copy)
    log = path.with_name("j.sqlite-wal").read_bytes()
    journal.close()
    last = 0
    for share in (0.3, 0.6, 0.9, 1.0):
        copy.with_name("copy.sqlite-wal").write_bytes(log[: int(share * len(log))])
        copy.with_name("copy.sqlite-shm").unlink(missing_ok=True)
        try:
            with JournalReader(copy) as reader:
                rows = reader.row_numbers()
        except JournalError:
            assert share < 0.5  # the tables themselves are still in the log only
            continue
        assert rows.tolist() == list(range(1, rows.size + 1))
        assert rows.size >= last
        last = rows.size
    assert last == 300


def test_pages_of_noise_in_the_middle_cost_their_own_rows_only(long_journal: Path, tmp_path: Path) -> None:
    whole = bytearray(long_journal.read_bytes())
    pages = len(whole) // PAGE_BYTES
    noise = np.random.default_rng(5)
    for page in noise.integers(100, pages, 20):
        whole[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] = noise.bytes(PAGE_BYTES)
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(whole)
    with JournalReader(copy) as reader:
        assert reader.verify().records == 30
        rows, columns = reader.row_numbers(), reader.cycles(("cycle", *ARRAYS))
    assert 2500 - 20 * 15 <= rows.size <= 2500
    np.testing.assert_array_equal(columns["cycle"] + 1, rows)
    assert all(np.isfinite(columns[name]).all() for name in ARRAYS)


# --- export ------------------------------------------------------------------------------------------------------


def test_export_hands_on_what_the_reader_reads(tmp_path: Path) -> None:
    path = written(tmp_path / "j.sqlite", cycles=7, notes=2)
    with JournalReader(path) as reader:
        assert export(reader, tmp_path / "c.csv") == 7
        assert export(reader, tmp_path / "c.jsonl") == 7
        assert export(reader, tmp_path / "a.jsonl", "audit") == 2
        columns, chain = reader.cycles(), reader.audit()
        with pytest.raises(JournalError, match="format: 'xls' must be one of csv, jsonl, parquet"):
            export(reader, tmp_path / "c.xls")
    with (tmp_path / "c.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "c.jsonl").read_text().splitlines()]
    for k in range(7):
        gaps = [float(rows[k][f"gap_um_{zone:03d}"]) for zone in range(ZONES)]
        np.testing.assert_allclose(gaps, columns["gap_um"][k])
        np.testing.assert_allclose(lines[k]["gap_um"], columns["gap_um"][k])
        assert rows[k]["outcome"] == lines[k]["outcome"] == columns["outcome"][k]
        assert lines[k]["harris_md"] is None and rows[k]["harris_md"] == ""  # not a number
    audit = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [record["hash"] for record in audit] == [record.hash for record in chain]
    assert not list(tmp_path.glob(".*.part"))


def test_parquet_where_its_library_is_there_and_a_clear_word_where_not(tmp_path: Path) -> None:
    path = written(tmp_path / "j.sqlite", cycles=7, notes=2)
    done = CliRunner().invoke(app, ["journal", "export", str(path), "--out", str(tmp_path / "c.parquet")])
    try:
        from pyarrow import parquet
    except ImportError:
        assert done.exit_code == 2 and "pyarrow" in done.output
        return
    assert done.exit_code == 0, done.output
    table = parquet.read_table(tmp_path / "c.parquet")
    assert table.num_rows == 7 and table["cycle"].to_pylist() == list(range(7))
    assert len(table["gap_um"][0].as_py()) == ZONES


def test_the_command_line_says_what_holds_and_what_does_not(tmp_path: Path) -> None:
    path = written(tmp_path / "j.sqlite")
    good = CliRunner().invoke(app, ["journal", "verify", str(path), "--json"])
    told = json.loads(good.stdout)
    assert good.exit_code == 0 and told["ok"] and told["records"] == 5 and told["cycles"] == 40
    head = f"{told['head_seq']}:{told['head_hash']}"
    assert CliRunner().invoke(app, ["journal", "verify", str(path), "--head", head]).exit_code == 0
    assert CliRunner().invoke(app, ["journal", "verify", str(path), "--head", "5:abc"]).exit_code == 2
    changed(path, "UPDATE audit SET why = '' WHERE seq = 2")
    bad = CliRunner().invoke(app, ["journal", "verify", str(path), "--json"])
    assert bad.exit_code == 3 and json.loads(bad.stdout)["seq"] == 2
    assert CliRunner().invoke(app, ["journal", "verify", str(tmp_path / "none")]).exit_code == 2
    assert CliRunner().invoke(app, ["journal", "prune", str(path)]).exit_code == 2


def test_a_page_that_cannot_be_is_beyond_reach_and_no_error_of_the_system(tmp_path: Path) -> None:
    """A torn copy may name page 0, or one far behind its end."""
    (tmp_path / "torn").write_bytes(bytes(1024))
    pages = Pages(tmp_path / "torn", 512, 512, {})
    assert pages.one(2) == bytes(512)
    for number in (0, -1, 3, 2**40):
        with pytest.raises(ValueError, match=f"page {number}"):
            pages.one(number)
