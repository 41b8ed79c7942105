"""Questions to the archive: figures that mean what the league's mean, and nothing but the archive to be read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from controller.core.trace import Trace
from controller.line.profile import LineState
from evencoat.cli import app
from evencoat.historian import query
from evencoat.historian.archive import Archive
from evencoat.historian.outbox import Outbox
from evencoat.journal import LOT_NAMES, Lot
from evencoat.league.metrics import TrueWeb, score
from tests.evencoat.historian.journals import append, hours_of, named
from tests.evencoat.test_journal import LINE, ZONES, make_trace

TARGET = LINE.line.target_profile_gsm
ROLLS, ROWS = 3, 400


def rolled() -> list[Trace]:
    """Three rolls, each worse than the one before."""
    chance = np.random.default_rng(5)
    deviation = chance.normal(0.2, 0.8, (ROLLS * ROWS, ZONES)) + chance.normal(0.0, 0.5, (ROLLS * ROWS, 1))
    return [
        make_trace(
            k,
            roll=k // ROWS,
            target_gsm=float(TARGET.mean()),
            profile_gsm=TARGET * (1.0 + 0.01 * (1 + k // ROWS) * deviation[k]),
            profile_valid=np.ones(ZONES, dtype=bool),
        )
        for k in range(ROLLS * ROWS)
    ]


@pytest.fixture(scope="module")
def traces() -> list[Trace]:
    return rolled()


@pytest.fixture(scope="module")
def folder(traces: list[Trace], tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("it's history")  # and a quote in its name
    stopped = make_trace(9999, roll=7, line_state=LineState.STOPPED, web_speed_mps=0.0)
    append(base / "j.sqlite", [*hours_of(3, ROWS), hours_of(3, ROWS)[-1]], [*traces, stopped])
    sink = Archive(base / "archive")
    Outbox(base / "j.sqlite", sink, lambda kind, words: None).drain()
    sink.close()
    (base / "secret.csv").write_text("secret\n1\n")
    return base / "archive"


def test_a_rolls_figures_are_those_that_the_league_would_give(folder: Path, traces: list[Trace]) -> None:
    with query.opened(folder) as db:
        answer = query.ask(db, query.ALL_ROLLS)
    rolls = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    assert [roll["roll"] for roll in rolls] == [0, 1, 2]  # and not the one that was never coated
    ds_m = LINE.line.control.cycle_s * traces[0].web_speed_mps
    for number, roll in enumerate(rolls):
        mine = traces[number * ROWS : (number + 1) * ROWS]
        web = TrueWeb(
            t_s=np.full(ROWS, 1e6),  # all of it is judged
            ds_m=np.full(ROWS, ds_m),
            areal_density_gsm=np.array([trace.profile_gsm for trace in mine], dtype=np.float32),
            target_gsm=TARGET,
            tolerance_pct=LINE.line.target.tolerance_pct,
        )
        judged = score(web)
        for name in ("sigma_total_pct", "sigma_cd_pct", "sigma_md_pct", "cpk", "out_of_tolerance_m"):
            assert roll[name] == pytest.approx(getattr(judged, name), rel=1e-9), name
        assert roll["judged_m"] == pytest.approx(ROWS * ds_m) and roll["line"] == LINE.line.name
    assert rolls[0]["sigma_total_pct"] < rolls[1]["sigma_total_pct"] < rolls[2]["sigma_total_pct"]


def test_zones_that_are_not_measured_count_for_nothing(tmp_path: Path) -> None:
    bad = TARGET.copy()
    bad[3] *= 5.0
    append(
        tmp_path / "j.sqlite",
        hours_of(1, 2),
        [make_trace(k, target_gsm=float(TARGET.mean()), profile_gsm=bad, profile_valid=bad == TARGET) for k in (0, 1)],
    )
    sink = Archive(tmp_path / "a")
    Outbox(tmp_path / "j.sqlite", sink, lambda kind, words: None).drain()
    sink.close()
    with query.opened(tmp_path / "a") as db:
        ((sigma, out_m),) = query.ask(db, "SELECT sigma_total_pct, out_of_tolerance_m FROM rolls").rows
    assert sigma == pytest.approx(0.0, abs=1e-5) and out_m == 0.0


def test_a_roll_is_judged_by_the_target_that_it_was_coated_to(tmp_path: Path) -> None:
    other = 1.1 * TARGET
    traces = [
        make_trace(k, profile_gsm=other, profile_valid=np.ones(ZONES, dtype=bool), target_gsm=float(other.mean()))
        for k in (0, 1)
    ]
    append(tmp_path / "j.sqlite", hours_of(1, 2), traces)
    sink = Archive(tmp_path / "a")
    Outbox(tmp_path / "j.sqlite", sink, lambda kind, words: None).drain()
    sink.close()
    with query.opened(tmp_path / "a") as db:
        assert query.ask(db, "SELECT sigma_total_pct FROM rolls").rows[0][0] == pytest.approx(0.0, abs=1e-4)


def archived(journal: Path, folder: Path) -> None:
    sink = Archive(folder)
    Outbox(journal, sink, lambda kind, words: None).drain()
    sink.close()


def test_rolls_and_cycles_have_the_plant_s_names(tmp_path: Path) -> None:
    journal = tmp_path / "j.sqlite"
    append(journal, hours_of(2, 5), [make_trace(k, roll=k // 5) for k in range(10)])
    named(
        journal,
        Lot(2, 0.0, 0, "4711", "SL-09", "R-0"),
        Lot(4, 0.0, 0, "4711", "SL-10", "R-0"),
        Lot(5, 0.0, 0, "4711", "SL-10", "R-1"),  # a cycle before the line counted the next one
    )
    archived(journal, tmp_path / "a")
    with query.opened(tmp_path / "a") as db:
        rolls = query.ask(db, "SELECT roll, roll_name, production_order, material_lot FROM rolls").rows
        cycles = query.ask(db, "SELECT row_id FROM cycles WHERE material_lot = 'SL-10' AND roll_name = 'R-0'").rows
    assert rolls == [(0, "R-0", "4711", "SL-09, SL-10"), (1, "R-1", "4711", "SL-10")]
    assert cycles == [(4,)]


@pytest.mark.parametrize("mixed", [False, True])
def test_files_of_an_evencoat_that_knew_no_names_are_read_too(tmp_path: Path, mixed: bool) -> None:
    journal, folder = tmp_path / "j.sqlite", tmp_path / "a"
    append(journal, hours_of(2, 5), [make_trace(k) for k in range(10)])
    named(journal, Lot(1, 0.0, 0, "4711", "SL-09", "R-3"))
    archived(journal, folder)
    old = sorted(folder.rglob("*.parquet"))
    for file in old[:1] if mixed else old:
        table = parquet.read_table(file, partitioning=None)
        parquet.write_table(table.drop_columns([*LOT_NAMES, "slurry_temperature_c"]), file)
    with query.opened(folder) as db:
        assert query.ask(db, "SELECT count(*) FROM cycles WHERE roll_name = 'R-3'").rows == [(5 if mixed else 0,)]
        assert query.ask(db, "SELECT roll, roll_name FROM rolls").rows == [(3, "R-3" if mixed else None)]


def test_profiles_and_words_are_there_to_be_asked(folder: Path) -> None:
    with query.opened(folder) as db:
        asked = "SELECT gap_um[1], len(profile_gsm), mode_actual, day FROM cycles WHERE row_id = 2"
        ((gap_um, zones, mode, day),) = query.ask(db, asked).rows
    assert (gap_um, zones, mode, str(day)) == (500.0, ZONES, "hold", "2026-11-23")


def quoted(path: Path) -> str:
    return str(path).replace("'", "''")


@pytest.fixture
def forbidden(folder: Path) -> Iterator[list[str]]:
    inside, outside = folder / "x.csv", folder.parent / "secret.csv"
    yield [
        f"SELECT * FROM read_csv('{quoted(outside)}')",
        f"SELECT * FROM read_text('{quoted(folder)}/../secret.csv')",
        "SELECT * FROM read_text('/etc/hostname')",
        f"SELECT * FROM glob('{quoted(folder.parent)}/*')",
        "SELECT * FROM read_parquet('https://archive.invalid/a.parquet')",
        f"COPY (SELECT 1) TO '{quoted(inside)}'",
        f"EXPLAIN ANALYZE COPY (SELECT 1) TO '{quoted(inside)}'",
        f"SELECT 1; COPY (SELECT 1) TO '{quoted(inside)}'",
        f"ATTACH '{quoted(folder / 'x.db')}'",
        f"EXPORT DATABASE '{quoted(folder / 'x')}'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "PRAGMA memory_limit='10GB'",
        "DROP VIEW rolls",
        "CREATE TABLE x AS SELECT 1",
        "",
        "SELECT nothing FROM cycles",
        "SELECT",
    ]
    assert not inside.exists() and not (folder / "x.db").exists() and not (folder / "x").exists()


def test_it_reads_the_archive_and_can_do_nothing_else(folder: Path, forbidden: list[str]) -> None:
    with query.opened(folder) as db:
        for question in forbidden:
            with pytest.raises(query.QueryError):
                query.ask(db, question)
        assert query.ask(db, "SELECT count(*) FROM cycles").rows == [(ROLLS * ROWS + 1,)]


def test_what_leaves_the_archive_is_closed_beneath_the_choice_of_statements(folder: Path, tmp_path: Path) -> None:
    """If something else than a SELECT slipped through, DuckDB itself would still refuse it."""
    beyond = (
        "SELECT * FROM read_text('/etc/hostname')",
        f"COPY (SELECT 1) TO '{tmp_path / 'x.csv'}'",
        f"ATTACH '{tmp_path / 'x.db'}'",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "SET lock_configuration = false",
        "SET memory_limit = '10GB'",
    )
    with query.opened(folder) as db:
        for question in beyond:
            with pytest.raises(duckdb.Error):
                db.execute(question)
    assert not list(tmp_path.iterdir())


def test_memory_is_bounded(folder: Path) -> None:
    with query.opened(folder, memory_mb=50) as db, pytest.raises(query.QueryError, match="Out of Memory"):
        query.ask(db, "SELECT list(a.t_line_ns) FROM cycles a, cycles b, cycles c GROUP BY a.row_id, b.row_id")


def test_the_command_line_answers_people_and_programs(folder: Path) -> None:
    run = CliRunner().invoke
    words = run(app, ["query", str(folder), "--rolls"]).stdout.splitlines()
    assert words[0].split()[:4] == ["line", "roll", "began", "ended"] and len(words) == 1 + ROLLS
    asked = "SELECT roll, round(sigma_md_pct, 3) AS md, NULL AS nothing, 'nan'::DOUBLE AS n FROM rolls"
    told = json.loads(run(app, ["query", str(folder), asked, "--json"]).stdout)
    assert told["columns"] == ["roll", "md", "nothing", "n"] and told["rows"][2]["roll"] == 2
    assert told["rows"][0]["n"] is None
    rows = list(csv.DictReader(io.StringIO(run(app, ["query", str(folder), asked, "--csv"]).stdout)))
    assert float(rows[1]["md"]) == told["rows"][1]["md"]


def test_a_call_that_makes_no_sense_is_refused(folder: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    for arguments, words in (
        ([str(folder)], "give either a SELECT, or --rolls"),
        ([str(folder), "SELECT 1", "--rolls"], "give either a SELECT, or --rolls"),
        ([str(folder), "--rolls", "--csv", "--json"], "csv, json: give one of them"),
        ([str(tmp_path / "a[1]"), "--rolls"], "would take '[' for a wild card"),
        ([str(tmp_path), "--rolls"], "no archive there, or an empty one"),
        ([str(folder), "DROP VIEW rolls"], "only a single SELECT is answered"),
    ):
        done = run(app, ["query", *arguments])
        assert done.exit_code == 2 and words in " ".join(done.output.split()), done.output
