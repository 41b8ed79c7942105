"""The store: what people did outlives a restart, one process at a time, and the file does not grow for ever."""

from __future__ import annotations

import sqlite3

import pytest

from evencoat.alarms import store
from evencoat.alarms.catalogue import CATALOGUE
from evencoat.alarms.engine import Condition, Conditions, Engine, EngineState, Key, State, Transition, Why
from evencoat.alarms.store import AlarmStore, StoreError, Told, path_beside

KEY = Key("intruder")
ENGINE = Engine(CATALOGUE)


def active(now_s: float = 0.0) -> EngineState:
    return ENGINE.step(EngineState(), now_s, Conditions({KEY: Condition(1.0, "who")}, frozenset()))[0]


def test_an_acknowledgement_and_a_shelf_outlive_a_restart(tmp_path):
    path = tmp_path / "alarms.sqlite"
    state, moved = ENGINE.acknowledged(active(), KEY, "mara")
    state, put = ENGINE.shelved(state, Key("bus-babble"), "mara", "being mended", 600.0)
    with AlarmStore(path) as kept:
        kept.keep(state, [Told(1000.0, moved), Told(1000.0, put)], 1000.0)
    with AlarmStore(path) as kept:
        found = kept.load(1100.0)
        assert [one.moved for one in kept.history()] == [moved, put]
    assert found.standings == state.standings and found.now_s == state.now_s + 100.0
    _, moves = ENGINE.step(found, found.now_s + 501.0, Conditions({}, frozenset()))
    assert (Key("bus-babble"), Why.EXPIRED) in [(one.key, one.why) for one in moves]


def test_a_wall_clock_set_back_makes_no_shelf_longer(tmp_path):
    state, put = ENGINE.shelved(active(), Key("bus-babble"), "mara", "being mended", 600.0)
    with AlarmStore(tmp_path / "alarms.sqlite") as kept:
        kept.keep(state, [Told(1_000_000.0, put)], 1_000_000.0)
        found = kept.load(1000.0)
    assert found.now_s == state.now_s and found.standings[Key("bus-babble")].until_s == state.now_s + 600.0


def test_two_processes_do_not_keep_the_same_alarms(tmp_path):
    with AlarmStore(tmp_path / "a.sqlite"), pytest.raises(StoreError, match="another process keeps the alarms"):
        AlarmStore(tmp_path / "a.sqlite")
    AlarmStore(tmp_path / "a.sqlite").close()


def test_what_is_no_store_is_refused_and_so_is_another_version(tmp_path):
    (tmp_path / "a.sqlite").write_bytes(b"not a database at all, not even a short one")
    with pytest.raises(StoreError, match="not a store of alarms"):
        AlarmStore(tmp_path / "a.sqlite")
    AlarmStore(tmp_path / "b.sqlite").close()
    db = sqlite3.connect(tmp_path / "b.sqlite")
    with db:
        db.execute("UPDATE meta SET value = '9' WHERE name = 'schema'")
    db.close()
    with pytest.raises(StoreError, match="schema version 9"):
        AlarmStore(tmp_path / "b.sqlite")


def test_the_oldest_of_the_history_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "HISTORY_MOST", 20)
    monkeypatch.setattr(store, "SPARE", 5)
    with AlarmStore(tmp_path / "alarms.sqlite") as kept:
        for k in range(60):
            moved = Transition(float(k), KEY, State.NORMAL, State.ACTIVE, Why.CAME)
            kept.keep(active(), [Told(1000.0 + k, moved)], 1000.0 + k)
        found = kept.history(100)
    assert 20 <= len(found) <= 25 and found[-1].moved.at_s == 59.0


def test_it_lies_beside_its_journal(tmp_path):
    assert path_beside(tmp_path / "journal.sqlite") == tmp_path / "alarms.sqlite"
    assert path_beside(tmp_path / "week.sqlite") == tmp_path / "week.sqlite.alarms.sqlite"
