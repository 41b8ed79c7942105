"""The last good lip profile of a journal: where a closed loop kept the web even, and how the lips stood for that web.

What a gauge sees was coated a dead time of web earlier. So of a stretch whose readings were good, the lips count up to
one gauge distance before its end: each metre that they made was seen afterwards. The journal is only read, from its
end, a block of rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from controller.line.command import Mode, Outcome
from controller.line.description import Array, LineDescription
from controller.line.profile import LineState
from evencoat.journal import JournalReader
from evencoat.league.metrics import OUT_WIDTH_SHARE
from evencoat.recipes.recipe import Lips, RecipeError
from evencoat.recipes.store import moment

BLOCK_ROWS = 5000
LEAST_M = 100.0  # of web that the lips must have made well
AVERAGE_S = 2.0  # over which readings are averaged before they are judged: one scan is noisy
JUMP_MOST_S = 10.0  # of web at the fastest: what lies between two cycles and is more was not seen
TARGET_STEADY = 1e-6  # share by which a target that stands may differ
COLUMNS = (
    "cycle", "web_m", "web_speed_mps", "line_state", "roll", "batch", "mode_requested", "mode_actual", "outcome",
    "target_gsm", "profile_gsm", "profile_valid", "zone_manual", "zone_not_following", "gap_um", "t_unix_s",
)  # fmt: skip
GOOD = ""
Columns = dict[str, npt.NDArray[Any]]
Flags = npt.NDArray[np.bool_]


class Part(NamedTuple):
    """Good rows that follow each other, and why the web was not good before them; "" where the journal begins."""

    rows: Columns
    because: str


def last_good(
    reader: JournalReader,
    line: LineDescription,
    tolerance_pct: float,
    least_m: float = LEAST_M,
    most_rows: int | None = None,
) -> Lips:
    """The mean lips of the newest `least_m` of web that were made and then seen to be good without a break.

    Good is a cycle in AUTO, as asked for, on a running line, with a target that stands, no zone held by hand, no bolt
    left alone, and readings within `tolerance_pct` of the target. Looked for in the newest `most_rows`, or in
    all. Raises RecipeError where there is no such stretch.
    """
    to_gauge_m = line.primary_gauge.distance_m
    longest_m, whys = 0.0, list[str]()
    for part, because in _parts(reader, line, tolerance_pct, least_m + to_gauge_m, most_rows):
        web_m = part["web_m"]
        made_m = float(web_m[-1] - web_m[0]) - to_gauge_m
        if made_m >= least_m:
            begin = int(np.searchsorted(web_m, web_m[-1] - to_gauge_m - least_m, "right")) - 1
            newest = {name: values[begin:] for name, values in part.items()}
            return _lips(newest, line, float(web_m[-1] - web_m[begin]) - to_gauge_m, reader.meta["journal_id"])
        longest_m = max(longest_m, made_m)
        whys.append(because)
    ends = ", ".join(dict.fromkeys(why for why in whys if why))
    where = "nowhere" if most_rows is None else f"nowhere in the newest {most_rows} cycles"
    raise RecipeError(
        f"{reader.path}: {where} were {least_m:g} m made and then seen to be good, the longest were {longest_m:.1f} m"
        + (f"; what came between: {ends}" if ends else "")
    )


def _parts(
    reader: JournalReader, line: LineDescription, tolerance_pct: float, enough_m: float, most_rows: int | None
) -> Iterator[Part]:
    """The good stretches, the newest first. One longer than `enough_m` is not followed further back."""
    first, carried = reader.last_row() + 1, Columns()
    begin_row = 1 if most_rows is None else max(first - most_rows, 1)
    while first > begin_row:
        first, before = max(first - BLOCK_ROWS, begin_row), first
        rows = _joined(reader.rows(COLUMNS, first, before - 1), carried)
        why, apart = _why_not(rows, line, tolerance_pct), _apart(rows, line)
        good = why == GOOD
        begins = np.flatnonzero(good & (np.append(True, ~good[:-1]) | apart))
        ends = np.flatnonzero(good & (np.append(~good[1:], True) | np.append(apart[1:], True))) + 1
        carried = Columns()
        for begin, end in zip(begins[::-1], ends[::-1], strict=True):
            part = {name: values[begin:end] for name, values in rows.items()}
            if begin == 0 and first > begin_row and part["web_m"][-1] - part["web_m"][0] < enough_m:
                carried = part
            else:
                yield Part(part, "" if begin == 0 else str(why[begin - 1]) or "another target, or missing cycles")


def _joined(older: Columns, newer: Columns) -> Columns:
    if not newer:
        return older
    if not older["cycle"].size:
        return newer
    return {name: np.concatenate((values, newer[name])) for name, values in older.items()}


def _why_not(rows: Columns, line: LineDescription, tolerance_pct: float) -> npt.NDArray[Any]:
    """Of each cycle why it is not good, (T,) of str; the first reason counts."""
    out, unread = _judged(rows, line, tolerance_pct)
    asked = rows["mode_requested"] == Mode.AUTO
    reasons = (
        (~asked, "the mode was not auto"),
        (rows["line_state"] != LineState.RUNNING, "the line did not run"),
        ((rows["mode_actual"] != Mode.AUTO) | (rows["outcome"] != Outcome.OK), "the loop held"),
        (rows["zone_manual"].any(axis=1), "a zone was held by hand"),
        (rows["zone_not_following"].any(axis=1), "a bolt was left alone"),
        (~np.isfinite(rows["gap_um"]).all(axis=1), "lip positions were not fed back"),
        (unread, "readings were missing"),
        (out, "the web was out of tolerance"),
    )
    return np.select([so for so, _ in reasons], [words for _, words in reasons], default=GOOD)


def _judged(rows: Columns, line: LineDescription, tolerance_pct: float) -> tuple[Flags, Flags]:
    """Of each cycle whether the web was out of tolerance, and whether readings were missing, (T,)."""
    target = line.target_profile_gsm * _target_share(rows, line)[:, None]
    off_pct = 100.0 * (rows["profile_gsm"] / target - 1.0)
    valid = rows["profile_valid"] & np.isfinite(off_pct)
    over = max(round(AVERAGE_S / line.control.cycle_s), 1)
    count = _summed(valid.astype(np.float64), over)
    mean_pct = _summed(np.where(valid, off_pct, 0.0), over) / np.maximum(count, 1.0)
    out = (np.abs(mean_pct) > tolerance_pct).mean(axis=1) > OUT_WIDTH_SHARE
    return out, (count == 0.0).mean(axis=1) > OUT_WIDTH_SHARE


def _summed(values: Array, over: int) -> Array:
    """The sum of so many rows up to each."""
    sums = np.cumsum(values, axis=0)
    sums[over:] -= sums[:-over].copy()
    return sums


def _apart(rows: Columns, line: LineDescription) -> Flags:
    """Of each cycle whether it does not follow the one before, (T,); the first one does."""
    step_m = np.diff(rows["web_m"], prepend=rows["web_m"][:1])
    moved = np.abs(np.diff(np.log(_target_share(rows, line)), prepend=0.0)) > TARGET_STEADY
    moved[:1] = False
    return moved | (step_m < 0.0) | (step_m > JUMP_MOST_S * line.web_speed_max_mps)


def _target_share(rows: Columns, line: LineDescription) -> Array:
    """The target of each cycle over the line file's, (T,); 1 where it is not told."""
    mean = float(line.target_profile_gsm.mean())
    share: Array = np.nan_to_num(rows["target_gsm"], nan=mean) / mean
    return share


def _lips(rows: Columns, line: LineDescription, made_m: float, journal_id: str) -> Lips:
    web_m = rows["web_m"]
    seen = web_m <= web_m[0] + made_m
    share = float(_target_share(rows, line)[-1])
    profile = np.where(rows["profile_valid"], rows["profile_gsm"], np.nan)
    off_pct = 100.0 * (np.nanmean(profile, axis=0) / (line.target_profile_gsm * share) - 1.0)
    return Lips(
        gap_um=[round(float(um), 2) for um in rows["gap_um"][seen].mean(axis=0, dtype=np.float64)],
        target_gsm=round(share * float(line.target_profile_gsm.mean()), 4),
        web_m=round(made_m, 1),
        sigma_pct=round(float(np.nanstd(off_pct)), 3),
        speed_m_per_min=round(60.0 * float(rows["web_speed_mps"][seen].mean()), 2),
        roll_first=int(rows["roll"][0]),
        roll_last=int(rows["roll"][-1]),
        batch=int(rows["batch"][-1]),
        from_at=moment(float(rows["t_unix_s"][0])),
        to_at=moment(float(rows["t_unix_s"][-1])),
        from_cycle=int(rows["cycle"][0]),
        to_cycle=int(rows["cycle"][-1]),
        journal_id=journal_id,
    )
