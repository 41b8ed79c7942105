"""Results of a league on disk, a line a match: one that was stopped goes on where it was, and two can be joined."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from evencoat.league.metrics import Score
from evencoat.league.table import Result

Key = tuple[str, int, str]


def key(result: Result) -> Key:
    """Who played on which line."""
    return result.family, result.seed, result.controller


def read(path: Path, minutes: float) -> dict[Key, Result]:
    """What was played already. The newest of two results of one match counts; a torn last line is let go.

    Raises ValueError for a file of matches of another length, and for one that holds something else.
    """
    found: dict[Key, Result] = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for number, line in enumerate(lines, 1):
        try:
            told = json.loads(line)
            length, score = float(told.pop("minutes")), Score(**told.pop("score"))
            result = Result(score=score, **told)
        except (ValueError, TypeError, KeyError, AttributeError) as problem:
            if number == len(lines):
                break
            raise ValueError(f"{path}, line {number}: not a result of a match ({problem}); name another file") from None
        if length != minutes:
            raise ValueError(f"{path}, line {number}: minutes is {length:g}, these matches last {minutes:g}")
        found[key(result)] = result
    return found


def append(path: Path, results: Iterable[Result], minutes: float) -> None:
    """Add what was played, in place of a torn last line."""
    lines = [json.dumps({"minutes": minutes, **asdict(result)}) + "\n" for result in results]
    whole = path.read_bytes().rfind(b"\n") + 1 if path.is_file() else 0
    with path.open("ab") as file:
        file.truncate(whole)
        file.write("".join(lines).encode())
