"""How fast is the archive written, and how long does sigma of every roll of a month take?

    python benchmarks/historian.py [--days 31] [--quick] [--json]

An hour of line-40 is simulated, every cycle of it at 10 Hz, and its rows are laid behind each other for a month: each
hour has the profiles, lips and words of that hour, and row numbers, times, metres, rolls (of two hours), slurry lots
(of six) and orders (of a week) of its own. They go through the archive as a journal's rows do, but for being read
from SQLite, which is timed apart. What one hour cannot show is how a month of other hours would compress. Sigma CD,
MD and total, Cpk and metres out of tolerance are asked of `evencoat query --rolls`, opening included, and the sigmas
of two rivals on the same data: a SQLite table of just the columns that are needed, and Arrow's own group-by over the
Parquet files. The files may well lie in the memory of the system: nothing empties that in between.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import math
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import compute, dataset

from evencoat.campaigns.frame import whereabouts
from evencoat.historian import query
from evencoat.historian.archive import HOUR_S, Archive
from evencoat.historian.outbox import Outbox, Rows, Source
from evencoat.journal import COLUMNS, LOT_NAMES, JournalReader
from evencoat.league.rivals import Rival
from evencoat.settings import load_line
from evencoat.simulate import Plan, simulate
from plant_sim.scenario import Scenario

LINE = "line-40"
BEGAN_S = 1_793_491_200.0  # 2026-11-01 00:00 UTC
HOURS_A_ROLL = 2
PART_ROWS = 6000
NEEDED = ("roll", "judged_m", "level_pct", "uneven_pct2")
REPEATS = 5


def simulated(folder: Path, minutes: float) -> tuple[Path, Source, Rows]:
    """A journal of so many minutes, and its rows."""
    settings = load_line(LINE)
    simulate(Plan(settings, Scenario.load("first-shift"), Rival.IMC, minutes, 1), folder)
    with JournalReader(folder / "journal.sqlite") as reader:
        numbers, columns = reader.numbered(COLUMNS, 1, 10_000_000)
        return folder / "journal.sqlite", Source(reader.meta["journal_id"], settings.line), Rows(numbers, columns)


def of_hour(tile: Rows, hour: int) -> Rows:
    """The tile as it would stand in that hour."""
    count = tile.numbers.size
    columns = dict(tile.columns)
    columns["cycle"] = columns["cycle"] + hour * count
    columns["t_line_ns"] = columns["t_line_ns"] + hour * round(1e9 * HOUR_S)
    columns["web_m"] = columns["web_m"] + hour * float(tile.columns["web_m"][-1])
    columns["roll"] = np.full(count, 1 + hour // HOURS_A_ROLL)
    names = (f"PO-{1 + hour // 168}", f"SL-{1 + hour // 6}", f"R-{1 + hour // HOURS_A_ROLL}")
    columns |= {name: np.full(count, text) for name, text in zip(LOT_NAMES, names, strict=True)}
    columns["t_unix_s"] = BEGAN_S + HOUR_S * (hour + np.arange(count) / count)
    return Rows(tile.numbers + hour * count, columns)


def written(folder: Path, source: Source, tile: Rows, hours: int) -> float:
    """Archive so many hours; how long that took, s."""
    archive = Archive(folder)
    archive.bookmark(source)
    began_s = time.perf_counter()
    for hour in range(hours):
        rows = of_hour(tile, hour)
        for low in range(0, rows.numbers.size, PART_ROWS):
            archive.deliver(source, rows.cut(low, low + PART_ROWS))
        if sys.stderr.isatty():
            print(f"\rhour {hour + 1} of {hours}", end="", file=sys.stderr, flush=True)
    archive.settle(source, everything=True)
    took_s = time.perf_counter() - began_s
    archive.close()
    return took_s


def by_duckdb(folder: Path) -> list[float]:
    """What `evencoat query --rolls` does; sigma of each roll."""
    with query.opened(folder) as db:
        answer = query.ask(db, query.ALL_ROLLS)
    return [row[answer.columns.index("sigma_total_pct")] for row in answer.rows]


def by_arrow(folder: Path) -> list[float]:
    """The same sigmas by Arrow."""
    table = dataset.dataset(folder / f"line={LINE}", format="parquet", exclude_invalid_files=True).to_table(
        list(NEEDED), filter=compute.field("judged_m") > 0
    )
    weight = table["judged_m"]
    square = compute.add(compute.multiply(table["level_pct"], table["level_pct"]), table["uneven_pct2"])
    sums = table.select(["roll", "judged_m"]).append_column("square", compute.multiply(weight, square))
    found = sums.group_by("roll").aggregate([("judged_m", "sum"), ("square", "sum")]).sort_by("roll").to_pydict()
    return [math.sqrt(s / w) for w, s in zip(found["judged_m_sum"], found["square_sum"], strict=True)]


def into_sqlite(folder: Path, path: Path) -> float:
    """The columns that are needed, in a table of SQLite; how long that took, s."""
    began_s = time.perf_counter()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA synchronous=OFF")
        db.execute("CREATE TABLE cycles (roll INTEGER, judged_m REAL, level_pct REAL, uneven_pct2 REAL)")
        files = dataset.dataset(folder / f"line={LINE}", format="parquet", exclude_invalid_files=True)
        for batch in files.to_batches(list(NEEDED)):
            columns = (batch[name].to_numpy(zero_copy_only=False).tolist() for name in NEEDED)
            db.executemany("INSERT INTO cycles VALUES (?, ?, ?, ?)", zip(*columns, strict=True))
    return time.perf_counter() - began_s


def by_sqlite(path: Path) -> list[float]:
    """The same sigmas by SQLite."""
    with closing(sqlite3.connect(path)) as db:
        found = db.execute(
            "SELECT SUM(judged_m * (level_pct * level_pct + uneven_pct2)) / SUM(judged_m) FROM cycles "
            "WHERE judged_m > 0 GROUP BY roll ORDER BY roll"
        )
        return [math.sqrt(mean) for (mean,) in found]


def timed(ask: Callable[[], list[float]], repeats: int) -> tuple[dict[str, float], list[float]]:
    """The first time, and the median and worst of all."""
    took_s, answer = [], list[float]()
    for _ in range(repeats):
        began_s = time.perf_counter()
        answer = ask()
        took_s.append(time.perf_counter() - began_s)
    return {"first_s": took_s[0], "median_s": statistics.median(took_s), "worst_s": max(took_s)}, answer


def measure(days: int, minutes: float, base: Path) -> dict[str, Any]:
    """Everything, in a folder."""
    journal, source, tile = simulated(base / "run", minutes)
    began_s = time.perf_counter()
    Outbox(journal, Archive(base / "once"), lambda kind, words: None).drain()
    whole_way_s = time.perf_counter() - began_s
    folder, hours = base / "archive", 24 * days
    took_s, rows = written(folder, source, tile, hours), hours * tile.numbers.size
    size = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
    duck, sigmas = timed(lambda: by_duckdb(folder), REPEATS)
    arrow, beside = timed(lambda: by_arrow(folder), REPEATS)
    sqlite_written_s = into_sqlite(folder, base / "rival.sqlite")
    sqlite, third = timed(lambda: by_sqlite(base / "rival.sqlite"), 2)
    assert np.allclose(sigmas, beside) and np.allclose(sigmas, third), "the rivals disagree"
    return {
        "line": LINE,
        "days": days,
        "rows": rows,
        "rolls": len(sigmas),
        "archive_bytes": size,
        "bytes_per_row": size / rows,
        "journal_bytes_per_row": journal.stat().st_size / tile.numbers.size,
        "rows_per_s_archived": rows / took_s,
        "rows_per_s_from_the_journal": tile.numbers.size / whole_way_s,
        "duckdb": duck,
        "arrow": arrow,
        "sqlite": {**sqlite, "table_written_s": sqlite_written_s},
        **whereabouts(),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=31)
    parser.add_argument("--quick", action="store_true", help="a day, of an hour of six minutes")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--dir", type=Path, default=None, help="make the files in here (a month takes some gigabytes)")
    given = parser.parse_args()
    days, minutes = (1, 6.0) if given.quick else (given.days, 60.0)
    with tempfile.TemporaryDirectory(dir=given.dir) as folder:
        found = measure(days, minutes, Path(folder))
    if given.json:
        print(json.dumps(found, indent=2))
        return
    print(
        f"{found['days']} days of {LINE}: {found['rows']:,} rows, {found['rolls']} rolls, "
        f"{found['archive_bytes'] / 1e9:.2f} GB, {found['bytes_per_row']:.0f} bytes a row "
        f"({found['journal_bytes_per_row']:.0f} in the journal)"
    )
    print(
        f"archived: {found['rows_per_s_archived']:,.0f} rows a second; "
        f"read from the journal too: {found['rows_per_s_from_the_journal']:,.0f}"
    )
    for name in ("duckdb", "arrow", "sqlite"):
        took = found[name]
        print(
            f"{name:7} first {took['first_s']:6.2f} s, median {took['median_s']:6.2f} s, worst {took['worst_s']:6.2f} s"
        )


if __name__ == "__main__":
    main()
