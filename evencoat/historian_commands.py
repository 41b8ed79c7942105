"""`evencoat historian` and `evencoat query`: the journal kept for longer, and asked. Words and exit codes live here.

Exit codes: 0 done, or ended by SIGTERM; 1 it failed while running; 2 the call is wrong or an extra is missing; 3 with
--once: rows were gone before they could be kept; 130 Ctrl-C. docs/historian.md.
"""

from __future__ import annotations

import csv
import importlib.util
import math
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import structlog
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from evencoat.terminal import ANSWER_IS_NO, EofOption, JsonOption, err, print_json, refusals, say, stop, wrong

if TYPE_CHECKING:
    from evencoat.historian.outbox import Outbox, Sink

NEEDED = {"duckdb": "query", "prometheus_client": "--metrics", "psycopg": "--postgres", "pyarrow": "--to"}
MB = 1000
log = structlog.get_logger()


def historian(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The journal that `evencoat run` writes, or a run's folder.")
    ],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Archive here, a Parquet file an hour.")
    ] = None,
    keep_days: Annotated[
        float | None, typer.Option("--keep-days", min=0.0, help="Files of the archive that are older go.")
    ] = None,
    postgres: Annotated[
        str,
        typer.Option(envvar="EVENCOAT_POSTGRES", show_default=False, metavar="DSN", help="PostgreSQL, for every row."),
    ] = "",
    metrics: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Prometheus may ask at this port of this machine; 0 takes any free one."),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Hand on what is there, the hour that has begun too, and end.")
    ] = False,
    stop_on_eof: EofOption = False,
) -> None:
    """Follow a journal and keep it for longer: hourly Parquet files, PostgreSQL or TimescaleDB, metrics.

    At least one of --to, --postgres, --metrics. Each sink goes at its own pace; one that is down is tried again, and
    nothing is lost as long as the journal still has it. Give a password by EVENCOAT_POSTGRES or ~/.pgpass: a command
    line can be read by all.
    """
    if to is None and not postgres and metrics is None:
        wrong("historian: give at least one of --to FOLDER, --postgres DSN, --metrics PORT")
    if keep_days is not None and to is None:
        wrong("keep-days: is for the archive; give --to FOLDER too")
    if once and metrics is not None:
        wrong("once: ends before anybody could ask for --metrics")
    _needed(pyarrow=to is not None, psycopg=bool(postgres), prometheus_client=metrics is not None)
    from evencoat.historian.outbox import SinkDown, SinkError
    from evencoat.hmi.source import SourceError, journal_of
    from evencoat.journal import JournalError

    with refusals((SourceError, SinkError, JournalError), (OSError, SinkDown)), ExitStack() as closing:
        journal = journal_of(run)
        boxes = [_box(journal, sink, closing) for sink in _sinks(to, keep_days, postgres)]
        if once:
            raise typer.Exit(_once(boxes))
        _follow(journal, boxes, metrics, stop_on_eof, closing)


def query(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `evencoat historian --to` writes.")],
    question: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT from the views cycles and rolls.")] = "",
    rolls: Annotated[
        bool, typer.Option("--rolls", help="Sigma, Cpk and metres out of tolerance of every roll.")
    ] = False,
    memory_mb: Annotated[int, typer.Option("--memory-mb", min=50, help="DuckDB may use so much.")] = MB,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV on standard output instead of a table.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask the archive in SQL. It only reads, and only the archive: no other file, no network, no extension."""
    if bool(question) == rolls:
        wrong("query: give either a SELECT, or --rolls")
    if as_csv and as_json:
        wrong("csv, json: give one of them")
    _needed(duckdb=True)
    from evencoat.historian.query import ALL_ROLLS, QueryError, ask, opened

    with refusals((QueryError,)), opened(folder, memory_mb) as db:
        answer = ask(db, ALL_ROLLS if rolls else question)
    if as_json:
        told = [dict(zip(answer.columns, map(_jsonable, row), strict=True)) for row in answer.rows]
        print_json({"columns": answer.columns, "rows": told}, default=str)
    elif as_csv:
        csv.writer(sys.stdout).writerows([answer.columns, *answer.rows])
    else:
        for words in _aligned(answer.columns, [[_shown(value) for value in row] for row in answer.rows]):
            say(words)


def _needed(**asked: bool) -> None:
    """Say which library is missing for what was asked for."""
    for name in [name for name, wanted in asked.items() if wanted and importlib.util.find_spec(name) is None]:
        wrong(f"{NEEDED[name]}: needs {name}, which is not installed: pip install 'evencoat[historian]'")


def _sinks(to: Path | None, keep_days: float | None, postgres: str) -> list[Sink]:
    sinks: list[Sink] = []
    if to is not None:
        from evencoat.historian.archive import Archive

        sinks.append(Archive(to, keep_days))
    if postgres:
        from evencoat.historian.postgres import Postgres

        sinks.append(Postgres(postgres))
    return sinks


def _box(journal: Path, sink: Sink, closing: ExitStack) -> Outbox:
    from evencoat.historian.outbox import Outbox

    closing.callback(sink.close)
    return Outbox(journal, sink, _tell)


def _tell(kind: str, words: str) -> None:
    (log.info if kind == "up" else log.error if kind == "gap" else log.warning)(kind, what=words)


def _once(boxes: list[Outbox]) -> int:
    """`--once`: the exit code."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        for box in boxes:
            task = bar.add_task(box.sink.name, total=None)
            rows = box.drain(partial(_advance, bar, task))
            gone = f"; {box.progress.missing_rows} were gone before" if box.progress.missing_rows else ""
            say(f"{box.sink.name}: {rows} rows handed on, kept up to row {box.progress.kept_row}{gone}")
    return ANSWER_IS_NO if any(box.progress.missing_rows for box in boxes) else 0


def _advance(bar: Progress, task: TaskID, done: int, of: int) -> None:
    bar.update(task, completed=done, total=of)


def _follow(journal: Path, boxes: list[Outbox], port: int | None, stop_on_eof: bool, closing: ExitStack) -> None:
    """A thread a sink, until SIGTERM, Ctrl-C, or a sink that can do no more."""
    from evencoat.historian.outbox import SinkError
    from evencoat.processes import StopFlag

    if port is not None:
        _serve(journal, boxes, port, closing)
    asked, ended, broken = StopFlag().listen(stop_on_eof), threading.Event(), []

    def follow(box: Outbox) -> None:
        try:
            box.run(ended)
        except SinkError as error:
            broken.append(str(error))
        except BaseException as error:
            broken.append(f"{box.sink.name}: {error!r}")
            raise

    threads = [threading.Thread(target=follow, args=(box,), name=box.sink.name) for box in boxes]
    for thread in threads:
        thread.start()
    while not asked() and not broken:
        ended.wait(0.2)
    ended.set()
    for thread in threads:
        thread.join()
    if broken:
        stop("; ".join(broken), 1)


def _serve(journal: Path, boxes: list[Outbox], port: int, closing: ExitStack) -> None:
    from evencoat.historian.metrics import HERE, Line, serve
    from evencoat.hmi.source import Source

    line = Source(journal).settings.line
    try:
        taken, end = serve(Line(journal, line, boxes), port)
    except OSError as error:
        _busy(port, error)
    closing.callback(end)
    say(f"{line.name}: http://{HERE}:{taken}/metrics")


def _busy(port: int, error: OSError) -> NoReturn:
    stop(f"--metrics {port}: {error.strerror}; name another, or 0 for any that is free", 1)


def _jsonable(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _aligned(columns: list[str], rows: list[list[str]]) -> Iterator[str]:
    """A table as wide as it is: a terminal may wrap it, a pipe gets all of it."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        yield "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip()


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds")
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
