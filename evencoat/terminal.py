"""What all commands share: two consoles, exit codes, JSON for programs, and refusals in one clear line.

Exit codes: 0 done; 1 it failed while running; 2 the call or a file is wrong; 3 done, and the answer is no; 130 stopped
by Ctrl-C.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

FAILED, WRONG_CALL, ANSWER_IS_NO, INTERRUPTED = 1, 2, 3, 130

out = Console(highlight=False)
err = Console(stderr=True)

EofOption = Annotated[bool, typer.Option("--stop-on-eof", help="Also stop when standard input ends.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on standard output instead of words.")]


def say(words: str) -> None:
    """A line for people, as it is."""
    out.print(words, markup=False, soft_wrap=True)


def complain(words: str) -> None:
    """Say what is wrong, as it is."""
    err.print(f"error: {words}", markup=False, highlight=False, soft_wrap=True)


def stop(words: str, code: int) -> NoReturn:
    """Say what is wrong, and end."""
    complain(words)
    raise typer.Exit(code)


def wrong(words: str) -> NoReturn:
    """The call, or a file that it names, is wrong."""
    stop(words, WRONG_CALL)


def print_json(value: Mapping[str, Any], default: Callable[[Any], str] | None = None) -> None:
    """One object for programs."""
    sys.stdout.write(json.dumps(value, indent=2, default=default) + "\n")


@contextmanager
def refusals(
    mistakes: tuple[type[Exception], ...], failures: tuple[type[Exception], ...] = (OSError,)
) -> Iterator[None]:
    """Turn what users can put right, and what the machine refused, into a clear line and an exit code."""
    try:
        yield
    except mistakes as error:
        wrong(str(error))
    except failures as error:
        stop(str(error), FAILED)


@contextmanager
def counting(what: str, shown: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, for long work that says how far it is: (done, of how many)."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not shown) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
