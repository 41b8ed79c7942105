"""Orders, lots and rolls: each cycle has the names that held when it was written, and no name is another roll's."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from controller.line.profile import LineState
from evencoat.journal import LOT_NAMES, JournalReader, Lot, What
from evencoat.journal.export import export
from evencoat.journal.lots import EARLY_NS, Ledger, Naming
from evencoat.journal.tables import Cycle
from tests.evencoat.test_journal import make_trace, open_journal

SECOND_NS = 1_000_000_000


def roll_names(path: Path) -> list[str]:
    """Of each cycle, in the order written."""
    with JournalReader(path) as reader:
        found: list[str] = reader.lots_of(reader.row_numbers())["roll_name"].tolist()
    return found


def test_names_hold_from_the_next_cycle_on_and_what_is_not_named_stays(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with open_journal(path) as journal:
        for cycle in range(10):
            if cycle == 3:
                journal.name("omar via page", {"production_order": "4711", "roll_name": "R-1"}, "from the sheet")
            if cycle == 7:
                journal.name("plc via opcua", {"material_lot": "SL-09"}, "")
            journal.record(make_trace(cycle), 1.0, 0.0)
    with JournalReader(path) as reader:
        assert [(lot.from_row, *lot.named().values()) for lot in reader.lots()] == [
            (4, "4711", "", "R-1"), (8, "4711", "SL-09", "R-1"),
        ]  # fmt: skip
        told = reader.lots_of(np.array([1, 3, 4, 7, 8, 10]))
        assert told["production_order"].tolist() == ["", "", "4711", "4711", "4711", "4711"]
        assert told["material_lot"].tolist() == ["", "", "", "", "SL-09", "SL-09"]
        assert (reader.lot_at(3), reader.lot_at(9).material_lot) == (Lot(), "SL-09")
        kept = [one for one in reader.audit() if one.what == What.LOT]
        assert [json.loads(one.new) for one in kept][1] == {"material_lot": "SL-09"}
        assert (kept[0].who, kept[0].why) == ("omar via page", "from the sheet")
        assert json.loads(kept[0].old) == {"production_order": "", "roll_name": ""}
        assert reader.verify().ok


def test_a_name_that_is_given_again_adds_nothing_and_an_empty_one_takes_it_away(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with open_journal(path) as journal:
        for cycle, order in enumerate(["4711", "4711", "", "4712"]):
            journal.name("omar", {"production_order": order}, "")
            journal.record(make_trace(cycle), 1.0, 0.0)
    with JournalReader(path) as reader:
        assert [(lot.from_row, lot.production_order) for lot in reader.lots()] == [(1, "4711"), (3, ""), (4, "4712")]


def test_the_name_of_a_roll_ends_with_the_roll(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with open_journal(path) as journal:
        journal.record(make_trace(0, roll=3), 1.0, 0.0)
        journal.name("omar", {"roll_name": "R-3", "material_lot": "SL-09"}, "")
        journal.record(make_trace(1, roll=3), 1.0, 0.0)
        late = 1 + EARLY_NS // SECOND_NS * 10 + 1  # a cycle is a tenth of a second
        journal.record(make_trace(late, roll=0, line_state=LineState.SPLICE), 1.0, 0.0)
        journal.record(make_trace(late + 1, roll=4), 1.0, 0.0)
        journal.name("omar", {"roll_name": "R-4"}, "")
        journal.record(make_trace(late + 2, roll=4), 1.0, 0.0)
    assert roll_names(path) == ["", "R-3", "R-3", "", "R-4"]
    with JournalReader(path) as reader:
        assert {lot.material_lot for lot in reader.lots()} == {"SL-09"}, "which may last for many rolls"


def test_a_roll_that_is_named_shortly_before_the_line_counts_it_keeps_its_name() -> None:
    ledger = Ledger().passed(make_trace(0, roll=3), 1, 0.0).told(Naming(0.0, {"roll_name": "R-4"}), 2)
    counted = ledger.passed(make_trace(1, roll=4), 2, 0.0)
    assert (counted.lot.roll_name, counted.lot.roll, counted.lot.from_row) == ("R-4", 4, 2)
    over = counted.passed(make_trace(2, roll=5), 3, 0.0)
    assert (over.lot.roll_name, over.lot.from_row) == ("", 3), "once, and not for each roll after it"


def test_names_outlive_a_restart_and_a_roll_that_changed_meanwhile_has_none(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with open_journal(path) as journal:
        journal.name("omar", {"production_order": "4711", "roll_name": "R-3"}, "before any cycle has come")
        journal.record(make_trace(0, roll=3), 1.0, 0.0)
    with open_journal(path) as journal:
        assert (journal.lot.production_order, journal.lot.roll_name) == ("4711", "R-3")
        journal.record(make_trace(1, roll=3), 1.0, 0.0)
    with open_journal(path) as journal:
        journal.record(make_trace(2, roll=4), 1.0, 0.0)
    assert roll_names(path) == ["R-3", "R-3", ""]
    with JournalReader(path) as reader:
        assert reader.lot_at(3).production_order == "4711"


def test_where_the_disk_refuses_names_wait_until_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with open_journal(path) as journal:
        journal._commit([])
        (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
        journal._db.execute(f"PRAGMA max_page_count = {pages}")  # a full disk, as SQLite sees it
        naming = Naming(1.0, {"production_order": "4711"})
        journal._keep([naming, *(Cycle(make_trace(k), 1.0, 0.0, 1.0) for k in range(300))])
        assert journal.error is not None and journal.lost == 300 and journal.lot == Lot()
        journal._db.execute("PRAGMA max_page_count = 100000")
        journal._keep([Cycle(make_trace(300), 1.0, 0.0, 1.0)])
        assert journal.lot.production_order == "4711"
    with JournalReader(path) as reader:
        assert reader.lot_at(reader.last_row()).production_order == "4711"


@pytest.fixture
def named(tmp_path: Path) -> Path:
    path = tmp_path / "journal.sqlite"
    with open_journal(path) as journal:
        for cycle in range(4):
            if cycle == 2:
                journal.name("omar", dict(zip(LOT_NAMES, ("4711", "SL-09", "卷 7"), strict=True)), "")
            journal.record(make_trace(cycle), 1.0, 0.0)
    return path


def test_exports_carry_the_names_of_each_cycle(named: Path, tmp_path: Path) -> None:
    with JournalReader(named) as reader:
        for form in ("csv", "jsonl", "parquet"):
            export(reader, tmp_path / f"c.{form}")
    with (tmp_path / "c.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "c.jsonl").read_text(encoding="utf-8").splitlines()]
    table = pyarrow.parquet.read_table(tmp_path / "c.parquet").to_pylist()
    for told in (rows, lines, table):
        assert [one["roll_name"] for one in told] == ["", "", "卷 7", "卷 7"]
        assert [one["production_order"] for one in told] == ["", "", "4711", "4711"]
        assert [one["material_lot"] for one in told] == ["", "", "SL-09", "SL-09"]


def test_a_torn_copy_still_has_its_names(named: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(named.read_bytes()[:-7])
    with JournalReader(copy) as reader:
        assert reader.torn
        assert [lot.roll_name for lot in reader.lots()] == ["卷 7"]


def test_a_journal_that_was_begun_without_names_has_none(named: Path) -> None:
    with closing(sqlite3.connect(named)) as db, db:
        db.execute("DROP TABLE lots")
    with JournalReader(named) as reader:
        assert reader.lots() == [] and reader.lots_of(np.array([1, 4]))["roll_name"].tolist() == ["", ""]
    with open_journal(named) as journal:
        journal.name("omar", {"roll_name": "R-9"}, "")
    with JournalReader(named) as reader:
        assert [(lot.from_row, lot.roll_name) for lot in reader.lots()] == [(5, "R-9")]
