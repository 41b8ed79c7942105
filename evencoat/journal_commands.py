"""`evencoat journal ...`: verify, export and prune journals. Words and exit codes live here, work does not.

Exit codes are those of evencoat.cli, which takes these verbs in: 0 done; 1 it failed while running; 2 the call is
wrong, or the file is no journal of ours; 3 verified, and the answer is no. docs/journal.md says what is promised.
"""

from __future__ import annotations

import getpass
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from evencoat.terminal import ANSWER_IS_NO, JsonOption, counting, print_json, refusals, say, wrong

app = typer.Typer(
    help="Journals: is the audit chain whole, hand them on, make room.", no_args_is_help=True, rich_markup_mode=None
)

JournalArgument = Annotated[Path, typer.Argument(metavar="JOURNAL", help="A journal file.")]


@app.command()
def verify(
    journal: JournalArgument,
    head: Annotated[
        str, typer.Option(metavar="SEQ:HASH", help="A head that was noted earlier; it must still be in the chain.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Check every record of the audit chain, and that no cycle went without one. Exit code 3 where it does not hold."""
    with _refusals():
        from evencoat.journal import JournalReader

        known = _head(head)
        with JournalReader(journal) as reader, counting("records", not as_json) as tell:
            verdict = reader.verify(known, tell)
            torn = reader.torn
    if as_json:
        print_json({**verdict.as_dict(), "ok": verdict.ok and not torn, "torn": torn, "journal": str(journal)})
    else:
        if torn:
            say(f"{journal}: {torn}")
        say(f"broken: {verdict.broken}" if verdict.broken else f"whole: {verdict.records} audit records")
        say(
            f"cycles: {verdict.cycles}" + (f", pruned before row {verdict.pruned_before}" * (verdict.pruned_before > 1))
        )
        say(f"head: {verdict.head_seq}:{verdict.head_hash}")
    raise typer.Exit(0 if verdict.ok and not torn else ANSWER_IS_NO)


@app.command()
def export(
    journal: JournalArgument,
    to: Annotated[Path, typer.Option("--out", help="The file to write; its suffix is the format.")],
    part: Annotated[str, typer.Option(help="cycles, events or audit.")] = "cycles",
    form: Annotated[
        str, typer.Option("--format", help="csv, jsonl, parquet, mf4 or mcap, where the suffix does not say.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Write cycles, events or audit records to a file.

    CSV and JSON lines need nothing more, Parquet the extra `parquet`, MF4 (cycles only) and MCAP the extra `export`.
    """
    with _refusals():
        from evencoat.journal import JournalReader
        from evencoat.journal.export import export as exported

        with JournalReader(journal) as reader, counting("rows", not as_json) as tell:
            rows = exported(reader, to, part, form, tell)
            torn = reader.torn
    if as_json:
        print_json({"journal": str(journal), "out": str(to), "part": part, "rows": rows, "torn": torn})
    else:
        say(f"{rows} {part} in {to}" + (f"; {torn}" if torn else ""))


@app.command()
def prune(
    journal: JournalArgument,
    keep_days: Annotated[float | None, typer.Option("--keep-days", min=0.0, help="Cycles older than this go.")] = None,
    max_mb: Annotated[
        float | None, typer.Option("--max-mb", min=0.1, help="The oldest cycles go until the rest takes less.")
    ] = None,
    why: Annotated[str, typer.Option(help="Your reason, for the record.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Delete the oldest cycles, by age or size. Audit records and events stay, and a record says what went and why."""
    if keep_days is None and max_mb is None:
        wrong("keep-days, max-mb: give at least one, or nothing is too old or too much")
    with _refusals():
        from evencoat.journal import Retention
        from evencoat.journal.retention import pruned_to

        kept = Retention(keep_days, None if max_mb is None else int(max_mb * 1e6))
        with counting("cycles", not as_json) as tell:
            gone, size = pruned_to(journal, kept, getpass.getuser(), why, tell)
    rows = gone.rows if gone is not None else 0
    if as_json:
        told = {"first_unix_s": gone.first_unix_s, "last_unix_s": gone.last_unix_s, "why": gone.why} if gone else {}
        print_json({"journal": str(journal), "pruned": rows, "size_bytes": size, **told})
    else:
        say(f"{rows} cycles pruned" + (f": {gone.why}" if gone else "") + f"; {size / 1e6:.1f} MB are left")


def _head(text: str) -> tuple[int, str] | None:
    if not text:
        return None
    seq, _, digest = text.partition(":")
    if not (seq.isdigit() and len(digest) == 64):
        wrong(f"head: {text!r} must be a number, a colon and 64 hexadecimal digits, as verify prints it")
    return int(seq), digest.lower()


def _refusals() -> AbstractContextManager[None]:
    import sqlite3

    from evencoat.journal import JournalError

    return refusals((JournalError,), (OSError, sqlite3.Error))
