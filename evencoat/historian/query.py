"""Questions to the archive, in SQL, by DuckDB: it reads the archive's files and can do nothing else.

Whoever asks may not read other files, reach the network, load extensions, write, or change what holds them: access is
closed but for the archive's folder, the configuration is locked, and only a single SELECT is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from evencoat.journal import LOT_NAMES

MEMORY_MB = 1000
COLUMNS_OF_ROLLS = (
    "line", "roll", "began", "ended", "judged_m", "sigma_total_pct", "sigma_cd_pct", "sigma_md_pct",
    "mean_pct", "cpk", "out_of_tolerance_m", "roll_name", "production_order", "material_lot",
)  # fmt: skip
ROLLS = """
CREATE VIEW rolls AS
WITH parts AS (
    SELECT line, journal_id, roll, production_order, material_lot, roll_name,
        MIN(t_unix_s) AS began_s, MAX(t_unix_s) AS ended_s, SUM(judged_m) AS judged_m,
        SUM(judged_m * level_pct) AS level, SUM(judged_m * level_pct * level_pct) AS md,
        SUM(judged_m * uneven_pct2) AS cd, COALESCE(SUM(judged_m) FILTER (WHERE out), 0) AS out_m,
        MIN(tolerance_pct) AS tolerance_pct
    FROM cycles WHERE judged_m > 0 GROUP BY ALL
), sums AS (
    SELECT line, journal_id, roll, MIN(began_s) AS began_s, MAX(ended_s) AS ended_s, SUM(judged_m) AS judged_m,
        SUM(level) AS level, SUM(md) AS md, SUM(cd) AS cd, SUM(out_m) AS out_m, MIN(tolerance_pct) AS tolerance_pct,
        arg_max(roll_name, judged_m) FILTER (WHERE roll_name <> '') AS roll_name,
        string_agg(DISTINCT production_order, ', ' ORDER BY production_order) FILTER (WHERE production_order <> '')
            AS production_order,
        string_agg(DISTINCT material_lot, ', ' ORDER BY material_lot) FILTER (WHERE material_lot <> '') AS material_lot
    FROM parts GROUP BY line, journal_id, roll
)
SELECT line, journal_id, roll, make_timestamp(CAST(1e6 * began_s AS BIGINT)) AS began,
    make_timestamp(CAST(1e6 * ended_s AS BIGINT)) AS ended, judged_m,
    sqrt((cd + md) / judged_m) AS sigma_total_pct, sqrt(cd / judged_m) AS sigma_cd_pct,
    sqrt(md / judged_m) AS sigma_md_pct, level / judged_m AS mean_pct,
    (tolerance_pct - abs(level / judged_m))
        / (3 * greatest(sqrt(greatest((cd + md) / judged_m - (level / judged_m) ** 2, 0)), 1e-9)) AS cpk,
    out_m AS out_of_tolerance_m, roll_name, production_order, material_lot
FROM sums ORDER BY line, began_s
"""
ALL_ROLLS = f"SELECT {', '.join(COLUMNS_OF_ROLLS)} FROM rolls"


class QueryError(Exception):
    """There is no archive, or the question cannot be answered; the text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Names of the columns, and the rows."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


@contextmanager
def opened(folder: Path, memory_mb: int = MEMORY_MB, threads: int | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that sees the archive as the views `cycles` and `rolls`, and nothing else. Raises QueryError."""
    root = folder.resolve()
    if wild := set(str(root)) & set("*?[\\"):
        raise QueryError(f"{root}: DuckDB would take {min(wild)!r} for a wild card; name the folder otherwise")
    if not any(root.glob("line=*/day=*/*.parquet")):
        raise QueryError(
            f"{folder}: no archive there, or an empty one; `evencoat historian RUN --to {folder}` makes it"
        )
    settings: dict[str, Any] = {
        "memory_limit": f"{memory_mb}MB",
        "autoload_known_extensions": False,
        "autoinstall_known_extensions": False,
        "temp_directory": "",
    }
    if threads is not None:
        settings["threads"] = threads
    db = duckdb.connect(":memory:", config=settings)
    try:
        quoted = str(root).replace("'", "''")
        db.execute(f"SET allowed_directories = ['{quoted}/']")
        db.execute("SET enable_external_access = false")
        files = f"{quoted}/line=*/day=*/*.parquet"
        db.execute("SET parquet_metadata_cache = true")  # each question would read every file's end several times
        found = _columns(db, root)
        mixed = ", union_by_name = true" if any(one != found[0] for one in found) else ""  # which takes its time
        source = f"read_parquet('{files}', hive_partitioning = true{mixed})"
        unnamed = "".join(f", '' AS {name}" for name in LOT_NAMES if name not in set().union(*found))
        db.execute(f"CREATE VIEW cycles AS SELECT *{unnamed} FROM {source}")
        db.execute(ROLLS)
        db.execute("SET lock_configuration = true")
        yield db
    except duckdb.Error as error:
        raise QueryError(str(error)) from error
    finally:
        db.close()


def _columns(db: duckdb.DuckDBPyConnection, root: Path) -> list[set[str]]:
    """Columns of the first and the last file of each line: only another evencoat makes others."""
    ends = []
    for home in root.glob("line=*"):
        files = sorted(home.glob("day=*/*.parquet"))
        ends += [str(file).replace("'", "''") for file in (files[:1] + files[-1:])]
    return [{row[0] for row in db.execute(f"DESCRIBE FROM read_parquet('{end}')").fetchall()} for end in ends]


def ask(db: duckdb.DuckDBPyConnection, question: str) -> Answer:
    """The answer to one SELECT. Raises QueryError."""
    try:
        statements = db.extract_statements(question)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise QueryError("query: only a single SELECT is answered; the archive is for reading")
        found = db.execute(statements[0])
        return Answer([column[0] for column in found.description or ()], found.fetchall())
    except duckdb.Error as error:
        raise QueryError(str(error)) from error
