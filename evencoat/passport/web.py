"""A roll's rows in the journal -> what each gauge said of each metre and zone. Only evencoat.passport imports this.

A gauge that stood at `scan_m` saw web that had left the die at scan_m - distance_m, and as much of it as ran by in one
period. Its reading is shared out among the metres it saw, by overlap. A reading that jumps out of its neighbours is put
aside, with its place: it is an error where the other gauge saw nothing of it, and a hole or a lump where it did.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from controller.line.description import Array, BoolArray, GaugeDescription, LineDescription
from evencoat.journal import JournalReader, Roll

Float32 = npt.NDArray[np.float32]
Tell = Callable[[int, int], None]  # (rows read, of how many)

ROWS_AT_ONCE = 20_000
METRES_MAX = 200_000  # of one roll: three times the longest there is
WIDE_M = 1.2  # a reading of more web than this counts for its middle only: shared out, it would pass for several
SPIKE_SIGMAS = 6.0
SPIKE_WINDOW = 7  # scans: what lasts for more than three is no spike
SPIKES_MAX = 200_000
SET_BACK_M = 2.0  # a web position that falls by more was set anew

SCALARS = ("cycle", "t_line_ns", "t_unix_s", "web_m", "web_speed_mps", "line_state", "batch", "mode_actual",
           "target_gsm", "zone_not_following", "gap_um")  # fmt: skip
SCANNED = ("wet_scan_gsm", "wet_scan_m", "dry_scan_gsm", "dry_scan_m")


class PassportError(Exception):
    """A roll, a passport or a key that cannot be used, and why."""


class Spike(NamedTuple):
    """Part of a reading that jumped out: by how much (log), over how many scans' worth of the metre."""

    metre: int
    zone: int
    excess: float
    share: float


class Means(NamedTuple):
    """Of a wet gauge's scans one after the other, (scans,): their means over the width, log; the variance that single
    boxes' noise is of these; and the length of web that each is of, m."""

    log: Array
    noise2: Array
    length_m: Array


@dataclass(slots=True)
class Seen:
    """What one gauge said. Sums over shares of scans; log of reading over the line file's target.

    total, count: (metres, zones); scans: (metres,), shares of scans that came, whatever was valid in them.
    """

    gauge: GaugeDescription
    total: Float32
    count: Float32
    scans: Float32
    spikes: list[Spike] = field(default_factory=list)
    means: list[Means] = field(default_factory=list)

    @staticmethod
    def nothing(gauge: GaugeDescription, metres: int, zones: int) -> Seen:
        shape = (metres, zones)
        return Seen(gauge, np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(metres, np.float32))


@dataclass(slots=True)
class Laid:
    """What the journal says of each metre as it left the die, (metres,) each; NaN or -1 where no cycle tells."""

    t_unix_s: Array
    t_line_s: Array
    speed_mps: Array
    target_ratio: Array  # target of then over the line file's
    line_state: npt.NDArray[np.int8]
    batch: npt.NDArray[np.int64]
    in_auto: npt.NDArray[np.int8]
    not_following: BoolArray  # (metres, zones)
    gap_um: Float32  # where the bolts stood, (metres, zones)


@dataclass(slots=True)
class Web:
    """A roll as the journal has it, metre by metre. Metre k lies at first_m + k from where the encoder counts."""

    line: LineDescription
    first_m: int
    metres: int
    wet: Seen | None
    dry: Seen | None
    laid: Laid
    from_row: int
    to_row: int
    cycles: int
    set_back: bool  # the encoder was set anew within the roll, and only the web since then is in here


def read_web(journal: JournalReader, line: LineDescription, roll: Roll, tell: Tell | None = None) -> Web:
    """All that the journal has of a roll, also what the gauges saw of it when the next roll was already being coated.

    Reads a part at a time; needs some 35 bytes a metre and zone. Raises PassportError where no web was coated.
    """
    tell = tell or (lambda done, of: None)
    from_row, set_back = _since_set_back(journal, roll)
    first_m, last_m = _extent(journal, from_row, roll.last_row)
    metres = last_m - first_m + 1
    if metres > METRES_MAX:
        raise PassportError(f"roll {roll.roll}: {metres} m of web, at most {METRES_MAX} m make one roll")
    web = Web(line, first_m, metres, _nothing(line.wet_gauge, metres, line), _nothing(line.dry_gauge, metres, line),
              _unlaid(metres, line.zones), from_row, roll.last_row, 0, set_back)  # fmt: skip
    last_seen_m = last_m + 1 + max(gauge.distance_m for gauge in (line.wet_gauge, line.dry_gauge) if gauge is not None)
    of, done = roll.last_row - from_row + 1, 0
    for numbers, columns in _parts(journal, from_row):
        inside = numbers <= roll.last_row
        web.cycles += int(np.count_nonzero(inside))
        _lay(web, {name: values[inside] for name, values in columns.items()})
        for seen, kind in ((web.wet, "wet"), (web.dry, "dry")):
            if seen is not None:
                _see(web, seen, columns[f"{kind}_scan_m"], columns[f"{kind}_scan_gsm"], columns["web_speed_mps"])
        done = min(done + numbers.size, of)
        tell(done, of)
        web_m = columns["web_m"]
        if not inside[-1] and (web_m[-1] > last_seen_m or web_m[-1] < web_m[0] - SET_BACK_M):
            break
    _carry_on(web.laid)
    return web


def _parts(journal: JournalReader, from_row: int) -> Iterator[tuple[npt.NDArray[np.int64], dict[str, Any]]]:
    while True:
        numbers, columns = journal.numbered((*SCALARS, *SCANNED), from_row, ROWS_AT_ONCE)
        if not numbers.size:
            return
        yield numbers, columns
        from_row = int(numbers[-1]) + 1


def _since_set_back(journal: JournalReader, roll: Roll) -> tuple[int, bool]:
    """The row from which on the web position only grew."""
    from_row, before, at = roll.first_row, -math.inf, roll.first_row
    while at <= roll.last_row:
        numbers, columns = journal.numbered(("web_m",), at, 10 * ROWS_AT_ONCE)
        inside = numbers <= roll.last_row
        numbers, web_m = numbers[inside], columns["web_m"][inside]
        if not numbers.size:
            break
        back = np.flatnonzero(np.diff(web_m, prepend=before) < -SET_BACK_M)
        if back.size:
            from_row = int(numbers[back[-1]])
        before, at = float(web_m[-1]), int(numbers[-1]) + 1
    return from_row, from_row > roll.first_row


def _extent(journal: JournalReader, from_row: int, to_row: int) -> tuple[int, int]:
    ends = journal.picked(("web_m",), (from_row, to_row))["web_m"]
    if not np.isfinite(ends).all() or not ends.size or ends[-1] - ends[0] < 1.0:
        raise PassportError("web_m: the web moved by less than a metre in this roll, so there is nothing to tell")
    return math.floor(ends[0]), math.ceil(ends[-1]) - 1


def _nothing(gauge: GaugeDescription | None, metres: int, line: LineDescription) -> Seen | None:
    return None if gauge is None else Seen.nothing(gauge, metres, line.zones)


def _unlaid(metres: int, zones: int) -> Laid:
    return Laid(
        t_unix_s=np.full(metres, np.nan),
        t_line_s=np.full(metres, np.nan),
        speed_mps=np.full(metres, np.nan),
        target_ratio=np.full(metres, np.nan),
        line_state=np.full(metres, -1, dtype=np.int8),
        batch=np.full(metres, -1, dtype=np.int64),
        in_auto=np.full(metres, -1, dtype=np.int8),
        not_following=np.zeros((metres, zones), dtype=bool),
        gap_um=np.full((metres, zones), np.nan, dtype=np.float32),
    )


def _lay(web: Web, columns: dict[str, Any]) -> None:
    """The last cycle of each metre speaks for it."""
    metre = np.floor(columns["web_m"]).astype(np.int64) - web.first_m
    good = (metre >= 0) & (metre < web.metres)
    metre = metre[good]
    laid, mean = web.laid, float(web.line.target_profile_gsm.mean())
    laid.t_unix_s[metre] = columns["t_unix_s"][good]
    laid.t_line_s[metre] = columns["t_line_ns"][good] / 1e9
    laid.speed_mps[metre] = columns["web_speed_mps"][good]
    laid.target_ratio[metre] = columns["target_gsm"][good] / mean
    laid.line_state[metre] = columns["line_state"][good]
    laid.batch[metre] = columns["batch"][good]
    laid.in_auto[metre] = columns["mode_actual"][good] == "auto"
    np.logical_or.at(laid.not_following, metre, columns["zone_not_following"][good])
    laid.gap_um[metre] = columns["gap_um"][good]


def _carry_on(laid: Laid) -> None:
    """A metre in which no cycle fell is as the one before it."""
    known = np.flatnonzero(np.isfinite(laid.t_line_s))
    if not known.size:
        return
    source = known[np.maximum(np.searchsorted(known, np.arange(laid.t_line_s.size), side="right") - 1, 0)]
    for name in ("t_unix_s", "t_line_s", "speed_mps", "target_ratio", "line_state", "batch", "in_auto"):
        values = getattr(laid, name)
        values[:] = values[source]
    laid.not_following[:] = laid.not_following[source]
    laid.gap_um[:] = laid.gap_um[source]
    laid.target_ratio[~np.isfinite(laid.target_ratio)] = 1.0


def _see(web: Web, seen: Seen, scan_m: Array, gsm: Float32, speed_mps: Array) -> None:
    """Share scans out among the metres they saw."""
    came = np.flatnonzero(np.isfinite(scan_m))
    if not came.size:
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.log(gsm[came] / web.line.target_profile_gsm)
    values[~np.isfinite(values)] = np.nan
    middle = scan_m[came] - seen.gauge.distance_m - web.first_m
    if seen.gauge.is_wet:
        seen.means.append(_means(values, np.nan_to_num(speed_mps[came]) * seen.gauge.period_s))
    half = np.maximum(0.5 * np.nan_to_num(speed_mps[came]) * seen.gauge.period_s, 1e-3)
    half[2.0 * half > WIDE_M] = 1e-3
    excess = _spikes(values)
    spiky = np.isfinite(excess)
    calm = np.where(spiky, values - np.nan_to_num(excess), values)
    low, high = middle - half, middle + half
    for step in range(int(np.max(np.floor(high) - np.floor(low))) + 1):
        metre = np.floor(low).astype(np.int64) + step
        share = (np.minimum(high, metre + 1.0) - np.maximum(low, metre)) / (high - low)
        good = (share > 0.0) & (metre >= 0) & (metre < web.metres)
        _add(seen, metre[good], share[good], calm[good], np.where(spiky, excess, np.nan)[good])


def _means(values: Array, length_m: Array) -> Means:
    """Of scans that saw all zones, and of the ones before them."""
    change = np.diff(values, axis=0)
    whole = np.isfinite(change).all(axis=1) & (length_m[1:] > 0.0)
    change, zones = change[whole], values.shape[1]
    noise2 = 0.5 * change.var(axis=1, ddof=1) / zones if zones > 1 else np.zeros(len(change))
    return Means(values[1:][whole].mean(axis=1), noise2, length_m[1:][whole])


def _add(seen: Seen, metre: npt.NDArray[np.int64], share: Array, values: Array, excess: Array) -> None:
    valid = np.isfinite(values)
    np.add.at(seen.total, metre, np.where(valid, values, 0.0) * share[:, None])
    np.add.at(seen.count, metre, valid * share[:, None])
    np.add.at(seen.scans, metre, share)
    rows, zones = np.nonzero(np.isfinite(excess))
    for row, zone in zip(rows.tolist(), zones.tolist(), strict=True):
        if len(seen.spikes) < SPIKES_MAX:
            seen.spikes.append(Spike(int(metre[row]), zone, float(excess[row, zone]), float(share[row])))


def _spikes(values: Array) -> Array:
    """By how much readings jump out of the scans around them, (scans, zones); NaN where they do not."""
    if values.shape[0] < SPIKE_WINDOW:
        return np.full(values.shape, np.nan)
    half = SPIKE_WINDOW // 2
    around = np.pad(values, ((half, half), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(around, SPIKE_WINDOW, axis=0)
    holed = ~np.isfinite(windows).all(axis=2)
    middle = np.median(windows, axis=2)
    jump = np.where(holed, np.nan, values - middle)
    known = np.abs(jump[np.isfinite(jump)])
    if not known.size:
        return np.full(values.shape, np.nan)
    bound = SPIKE_SIGMAS * 1.4826 * float(np.median(known))
    return np.where(np.abs(jump) > bound, jump, np.nan)
