"""`evencoat campaign NAME`: run a reliability campaign, or go on with one. Words and exit codes live here.

Exit codes: 0 passed; 3 not passed; 1 it failed while running; 2 the call is wrong; 130 stopped by Ctrl-C, and the same
call goes on from there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from evencoat.terminal import ANSWER_IS_NO, INTERRUPTED, err, out, print_json, wrong


def campaign(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which one; without it, all are listed.")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="A small one, in under two minutes.")] = False,
    trials: Annotated[int | None, typer.Option(min=1, help="So many trials instead of all.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same trials.")] = 1,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Kept here, and gone on from here; runs/campaign-NAME without it.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew, whatever the folder holds.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Run a campaign of reliability trials and judge it by its limits: exit code 0 passed, 3 not passed.

    Interrupted, the same call goes on where it stopped.
    """
    from evencoat.campaigns import campaigns
    from evencoat.campaigns.frame import CampaignError, CampaignPlan, run

    known = campaigns()
    if not name:
        for one in known.values():
            out.print(f"{one.name}: {one.summary}", markup=False, soft_wrap=True)
        return
    if name not in known:
        wrong(f"campaign: there is no {name!r}; there are {', '.join(known)}")
    where = folder or Path("runs") / f"campaign-{name}{'-quick' if quick else ''}"
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=err, disable=as_json) as bar:
        task = bar.add_task(name, total=None)
        try:
            told = run(
                known[name],
                CampaignPlan(quick, seed, where, trials, fresh),
                lambda done, of, words: bar.update(task, completed=done, total=of, description=f"{name}: {words}"),
            )
        except CampaignError as error:
            wrong(str(error))
        except KeyboardInterrupt:
            err.print("stopped; the same call goes on from here")
            raise typer.Exit(INTERRUPTED) from None
    if as_json:
        print_json(told)
    else:
        _print(told)
    raise typer.Exit(0 if told["passed"] else ANSWER_IS_NO)


def _print(told: dict[str, Any]) -> None:
    table = Table("figure", "value", "limit", box=None)
    limits = told["limits"]
    for figure, value in told["figures"].items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            _print_rows(value)
        else:
            table.add_row(figure, _cell(value), _cell(limits[figure]) if figure in limits else "")
    out.print(table)
    for words in told["broken"]:
        out.print(f"not kept: {words}", markup=False, soft_wrap=True)
    verdict = "passed" if told["passed"] else "not passed"
    out.print(f"{verdict}: {told['trials']} trials of {told['campaign']}, seed {told['seed']}, commit {told['commit']}")


def _print_rows(rows: list[dict[str, Any]]) -> None:
    """A figure that is a table of its own."""
    table = Table(*rows[0], box=None)
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    out.print(table)


def _cell(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
