"""MF4 and MCAP: what their own libraries read back is what the journal has."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from asammdf import MDF
from mcap.reader import make_reader
from typer.testing import CliRunner

from evencoat.cli import app
from evencoat.journal import ARRAYS, FLAGS, CycleJournal, JournalError, JournalReader
from evencoat.journal.export import export
from evencoat.journal.measurements import WORDS, unit_of
from tests.evencoat.test_journal import LINE, ZONES, make_trace


def written(path: Path, *stretches: range) -> Path:
    """A journal of these cycles; where numbers go back, so does line time."""
    with CycleJournal(path, LINE.line, LINE.text) as journal:
        for stretch in stretches:
            for cycle in stretch:
                journal.record(make_trace(cycle, pump_pressure_kpa=np.nan if cycle == 2 else 200.0), 1.0, 2.0)
        journal.event("mode", "auto")
    return path


def test_mf4_has_every_column_over_line_time_with_its_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evencoat.journal.export.ROWS_AT_ONCE", 3)
    path = written(tmp_path / "j.sqlite", range(8))
    with JournalReader(path) as reader:
        assert export(reader, tmp_path / "c.mf4") == 8
        columns = reader.cycles()
    with MDF(tmp_path / "c.mf4") as mdf:
        for name, values in columns.items():
            if name in WORDS:
                assert [word.decode() for word in mdf.get(name).samples] == values.tolist(), name
            elif values.ndim == 1:
                np.testing.assert_allclose(mdf.get(name).samples, values, err_msg=name)
            else:
                for zone in range(values.shape[1]):
                    np.testing.assert_allclose(mdf.get(f"{name}_{zone:03d}").samples, values[:, zone], err_msg=name)
        gap = mdf.get("gap_um_003")
        np.testing.assert_allclose(gap.timestamps, 1e-9 * columns["t_line_ns"])
        units = [mdf.get(name).unit for name in ("gap_um_003", "profile_gsm_000", "web_speed_mps", "roll", "web_m")]
        assert units == ["um", "g/m2", "m/s", "", "m"]
        assert mdf.start_time.timestamp() == pytest.approx(columns["t_unix_s"][0], abs=1e-3)
    assert not list(tmp_path.glob(".*"))


def test_where_line_time_begins_anew_so_does_a_group(tmp_path: Path) -> None:
    path = written(tmp_path / "j.sqlite", range(5), range(3))
    with JournalReader(path) as reader:
        assert export(reader, tmp_path / "c.mf4") == 8
    with MDF(tmp_path / "c.mf4") as mdf:
        assert [mdf.get("cycle", group=k).samples.tolist() for k in (0, 1)] == [[0, 1, 2, 3, 4], [0, 1, 2]]
        assert mdf.get("mode_actual", group=1).samples.tolist() == [b"auto", b"hold", b"auto"]


def test_a_journal_without_cycles_is_a_file_without_groups(tmp_path: Path) -> None:
    path = written(tmp_path / "j.sqlite")
    with JournalReader(path) as reader:
        assert export(reader, tmp_path / "c.mf4") == 0
        assert export(reader, tmp_path / "c.mcap") == 0
    with MDF(tmp_path / "c.mf4") as mdf:
        assert not mdf.groups


def test_mcap_has_a_message_a_row_with_its_schema(tmp_path: Path) -> None:
    path = written(tmp_path / "j.sqlite", range(4))
    with JournalReader(path) as reader:
        assert export(reader, tmp_path / "c.mcap") == 4
        assert export(reader, tmp_path / "e.mcap", "events") == 1
        columns, journal_id = reader.cycles(), reader.meta["journal_id"]
    with (tmp_path / "c.mcap").open("rb") as file:
        reading = make_reader(file)
        messages, (about,) = list(reading.iter_messages()), reading.iter_metadata()
    assert about.metadata["journal_id"] == journal_id and about.metadata["line"] == LINE.line.name
    for k, (schema, channel, message) in enumerate(messages):
        row = json.loads(message.data)
        assert schema is not None and (schema.name, channel.topic) == ("evencoat.cycles", "/cycles")
        assert json.loads(schema.data)["properties"].keys() == row.keys()
        assert message.log_time == pytest.approx(1e9 * columns["t_unix_s"][k], abs=1000.0)
        for name in (*ARRAYS, *FLAGS):
            np.testing.assert_allclose(row[name], columns[name][k], rtol=1e-6)
        assert len(row["gap_um"]) == ZONES and row["outcome"] == columns["outcome"][k]
        assert row["pump_pressure_kpa"] == (None if k == 2 else 200.0)
    with (tmp_path / "e.mcap").open("rb") as file:
        ((_, channel, message),) = make_reader(file).iter_messages()
    assert channel.topic == "/events" and json.loads(message.data)["text"] == "auto"


@pytest.mark.parametrize(("form", "library"), [("mf4", "asammdf"), ("mcap", "mcap.writer")])
def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, library: str) -> None:
    path = written(tmp_path / "j.sqlite", range(2))
    monkeypatch.setitem(sys.modules, library, None)
    done = CliRunner().invoke(app, ["journal", "export", str(path), "--out", str(tmp_path / f"c.{form}")])
    words = " ".join(done.output.split())
    assert done.exit_code == 2 and f"{form} needs {library.partition('.')[0]} (pip install 'evencoat[export]')" in words


def test_mf4_carries_cycles_only(tmp_path: Path) -> None:
    path = written(tmp_path / "j.sqlite", range(2))
    with JournalReader(path) as reader, pytest.raises(JournalError, match="part: mf4 carries cycles, no audit"):
        export(reader, tmp_path / "a.mf4", "audit")


def test_units_are_those_that_names_end_in() -> None:
    names = ("pump_ratio_rpm_per_mps", "pump_speed_rpm", "pump_pressure_kpa", "t_line_ns", "step_us", "sigma_md_pct")
    assert [unit_of(name) for name in names] == ["rpm/(m/s)", "rpm", "kPa", "ns", "us", "%"]
    assert unit_of("harris_md") == unit_of("roll") == ""
