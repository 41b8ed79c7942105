"""A real PostgreSQL: every row arrives, once, also where the server is killed in the middle."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from evencoat.historian import outbox as sending
from evencoat.historian.outbox import Outbox, SinkDown, SinkError, Source
from evencoat.historian.postgres import Postgres
from evencoat.journal import JournalReader, Lot
from tests.evencoat.historian.journals import MONDAY_S, append, hours_of, named, prune_below
from tests.evencoat.historian.servers import INITDB, Server
from tests.evencoat.test_journal import LINE, ZONES, make_trace

pytestmark = pytest.mark.skipif(INITDB is None, reason="PostgreSQL's server (initdb) is not installed")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="evencoat-pg-") as folder:  # who runs the server cannot enter tmp_path
        made = Server(Path(folder))
        yield made
        made.kill()


@pytest.fixture
def asked(server: Server) -> Iterator[Any]:
    with psycopg.connect(server.dsn, autocommit=True) as db:
        db.execute("DROP TABLE IF EXISTS evencoat_cycles, evencoat_bookmarks, evencoat_gaps")
        yield db


def journal_of(tmp_path: Path, rows: int) -> Path:
    append(tmp_path / "j.sqlite", hours_of(1, rows))
    return tmp_path / "j.sqlite"


def numbers(db: Any) -> list[int]:
    return [row[0] for row in db.execute("SELECT row_id FROM evencoat_cycles ORDER BY row_id")]


def sent(journal: Path, server: Server) -> Outbox:
    box = Outbox(journal, Postgres(server.dsn), lambda kind, words: None)
    box.drain()
    box.sink.close()
    return box


def test_rows_arrive_as_they_were_written(server: Server, asked: Any, tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    late = make_trace(2, pump_pressure_kpa=np.nan, model_news="läuft")
    append(path, [MONDAY_S + 0.123456, MONDAY_S + 1.5], [make_trace(1), late])
    sent(path, server)
    with JournalReader(path) as reader:
        columns, journal_id = reader.cycles(), reader.meta["journal_id"]
    cursor = asked.execute("SELECT * FROM evencoat_cycles ORDER BY row_id")
    names = [column.name for column in cursor.description]
    rows = [dict(zip(names, row, strict=True)) for row in cursor]
    assert [(row["journal_id"], row["row_id"], row["line"]) for row in rows] == [
        (journal_id, k, LINE.line.name) for k in (1, 2)
    ]
    assert rows[0]["time"] == datetime(2026, 11, 23, 0, 0, 0, 123456, UTC)
    assert rows[0]["pump_pressure_kpa"] == 200.0 and rows[1]["pump_pressure_kpa"] is None
    assert rows[0]["batch_shown"] is None and rows[0]["sent"] is True
    for name, values in columns.items():
        for k, row in enumerate(rows):
            if row[name] is not None and values.dtype.kind in "fib":
                np.testing.assert_allclose(row[name], values[k], rtol=1e-6, err_msg=name)
            elif row[name] is not None:
                assert row[name] == values[k], name
    assert len(rows[0]["gap_um"]) == ZONES


def test_rows_have_their_order_lot_and_roll_also_in_a_table_of_an_older_evencoat(
    server: Server, asked: Any, tmp_path: Path
) -> None:
    journal = journal_of(tmp_path, 3)
    sent(journal, server)
    for name in ("production_order", "roll_name", "slurry_temperature_c"):
        asked.execute(f"ALTER TABLE evencoat_cycles DROP COLUMN {name}")
    append(journal, hours_of(1, 3))
    named(journal, Lot(5, 0.0, 3, "4711", "SL-09", "卷 7"))
    sent(journal, server)
    told = asked.execute("SELECT production_order, material_lot, roll_name FROM evencoat_cycles ORDER BY row_id")
    assert told.fetchall() == [(None, "", None)] * 3 + [("", "", "")] + [("4711", "SL-09", "卷 7")] * 2


def test_without_the_extension_nobody_asks_for_a_hypertable(server: Server, asked: Any, tmp_path: Path) -> None:
    asked.execute(
        "CREATE FUNCTION create_hypertable(regclass, text) RETURNS void LANGUAGE plpgsql "
        "AS $$ BEGIN RAISE EXCEPTION 'asked for'; END $$"
    )
    sink = Postgres(server.dsn)
    Outbox(journal_of(tmp_path, 3), sink, lambda kind, words: None).drain()
    sink.close()
    asked.execute("DROP FUNCTION create_hypertable")
    assert numbers(asked) == [1, 2, 3] and not sink.hypertable


def test_a_row_that_comes_twice_is_there_once(server: Server, asked: Any, tmp_path: Path) -> None:
    journal = journal_of(tmp_path, 30)
    sent(journal, server)
    asked.execute("DELETE FROM evencoat_bookmarks")
    asked.execute("DELETE FROM evencoat_cycles WHERE row_id IN (3, 17)")
    assert sent(journal, server).progress.kept_row == 30
    assert numbers(asked) == list(range(1, 31))


def test_it_goes_on_where_it_was_and_says_what_was_gone(server: Server, asked: Any, tmp_path: Path) -> None:
    journal = journal_of(tmp_path, 10)
    sent(journal, server)
    append(journal, hours_of(1, 10))
    prune_below(journal, 14)
    assert sent(journal, server).progress.missing_rows == 3
    assert numbers(asked) == [*range(1, 11), *range(14, 21)]
    assert asked.execute("SELECT first_row, last_row FROM evencoat_gaps").fetchall() == [(11, 13)]
    assert sent(journal, server).progress.missing_rows == 0


def test_a_batch_of_which_a_part_is_refused_leaves_nothing(server: Server, asked: Any, tmp_path: Path) -> None:
    journal = journal_of(tmp_path, 10)
    sent(journal, server)
    asked.execute("ALTER TABLE evencoat_cycles ADD CHECK (row_id < 15)")
    append(journal, hours_of(1, 10))
    with pytest.raises(SinkError, match="violates check constraint"):
        sent(journal, server)
    assert numbers(asked) == list(range(1, 11))
    asked.execute("ALTER TABLE evencoat_cycles DROP CONSTRAINT evencoat_cycles_row_id_check")
    sent(journal, server)
    assert numbers(asked) == list(range(1, 21))


def test_killed_in_the_middle_it_has_every_row_once_when_it_is_back(
    server: Server, asked: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "ROWS_AT_ONCE", 40)
    monkeypatch.setattr(sending, "RETRY_FIRST_S", 0.05)
    monkeypatch.setattr(sending, "LOOK_S", 0.01)
    journal, told, stop = journal_of(tmp_path, 3000), list[str](), threading.Event()
    box = Outbox(journal, Postgres(server.dsn), lambda kind, words: told.append(kind))
    following = threading.Thread(target=box.run, args=(stop,))
    following.start()
    try:
        wait_for(lambda: box.progress.kept_row >= 200)
        server.kill()
        killed_at = box.progress.kept_row
        append(journal, hours_of(1, 200))
        wait_for(lambda: box.progress.error and box.progress.newest_row == 3200)
        assert box.progress.lag_rows >= 200 and "hushhush" not in box.progress.error
        server.start()
        wait_for(lambda: box.progress.kept_row == 3200)
    finally:
        stop.set()
        following.join()
        box.sink.close()
    assert 200 <= killed_at < 3200 and told[0] == "down" and told[-1] == "up"
    with psycopg.connect(server.dsn) as db:
        assert numbers(db) == list(range(1, 3201))


def wait_for(holds: Any, at_most_s: float = 60.0) -> None:
    until = time.monotonic() + at_most_s
    while not holds():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.01)


def test_who_may_write_but_not_make_tables_can_deliver(server: Server, asked: Any, tmp_path: Path) -> None:
    journal = journal_of(tmp_path, 5)
    sent(journal, server)
    asked.execute("DROP ROLE IF EXISTS courier")
    asked.execute("CREATE ROLE courier LOGIN")
    asked.execute("GRANT SELECT, INSERT ON evencoat_cycles, evencoat_gaps TO courier")
    asked.execute("GRANT SELECT, INSERT, UPDATE ON evencoat_bookmarks TO courier")
    append(journal, hours_of(1, 5))
    sink = Postgres(server.dsn.replace("user=evencoat", "user=courier"))
    Outbox(journal, sink, lambda kind, words: None).drain()
    sink.close()
    assert numbers(asked) == list(range(1, 11))
    asked.execute("DROP OWNED BY courier")


def test_no_word_of_the_password(tmp_path: Path) -> None:
    source = Source("0" * 32, LINE.line)
    sink = Postgres(f"host={tmp_path} user=evencoat password=hushhush")
    with pytest.raises(SinkDown) as down:
        sink.bookmark(source)
    assert "hushhush" not in str(down.value) and "No such file" in str(down.value)
    for wrong in ("", "hush hush", "postgresql://evencoat:hush@[::1", "nonsense=hush"):
        with pytest.raises(SinkError, match="postgres: no connection string") as refused:
            Postgres(wrong)
        assert "hush" not in str(refused.value)
