"""Discs that people punched out of a roll and weighed: read from a CSV file, and put in their places on the web.

A row is a disc: the coating's areal density alone, foil that was weighed beside it taken off. docs/passport.md says
which columns there are, and where the usual uncertainties come from. Only evencoat.passport and its commands import
this.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from controller.line.description import Array
from evencoat.passport.web import PassportError, Web

WEIGHED_PCT = 0.15  # of one disc: cut edge 0.1, balance of 0.1 mg twice on 25 cm2 of 90 g/m2 0.06, foil beside it 0.07
PUNCH_PCT = 0.06  # common to all discs of one punch: an area that is known to 0.1 %, anywhere within
PLACE_PCT = 0.2  # by which a disc differs from its metre of web: the pump's pulsation, mostly; the discs tell if more
LINE_M = 0.15  # discs nearer along the web lie on the same wave of it
PUNCH_MOST_PCT = 5.0
SAMPLES_MAX = 500
SIZE_MAX = 1_000_000
GSM_LEAST, GSM_MOST = 0.2, 3.0  # of the target of then: beyond it is a slip of the pen
SD_MOST = 0.1  # of the same
WIDTH_MM = 56.4  # of a disc of 25 cm2
WIDTH_LEAST_MM = 5.0
STRIPS = 400  # of a disc's width, by which its shares of the zones are counted
FROM_START, FROM_END, LANE, ACROSS, GSM, SD, WIDTH = (
    "from_start_m", "from_end_m", "lane", "across_mm", "areal_density_gsm", "sd_gsm", "width_mm",
)  # fmt: skip
COLUMNS = (FROM_START, FROM_END, LANE, ACROSS, GSM, SD, WIDTH)


@dataclass(frozen=True, slots=True)
class Disc:
    """A row as it stands in the file; None where its field is empty."""

    row: int
    from_start_m: float | None
    from_end_m: float | None
    lane: float | None
    across_mm: float | None
    gsm: float
    sd_gsm: float | None
    width_mm: float | None = None


@dataclass(frozen=True, slots=True)
class Samples:
    """A file of discs, all of one punch. punch_pct: standard uncertainty of the punch's area."""

    name: str
    content: bytes
    discs: tuple[Disc, ...]
    punch_pct: float = PUNCH_PCT


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A disc in its cell. log: of its areal density over the target of then; sd: of that, without the punch's; shares:
    of its area, of each zone, (zones,): a disc is often wider than a zone."""

    row: int
    at_m: float
    metre: int
    zone: int
    across_mm: float
    gsm: float
    log: float
    sd: float
    shares: Array


def read(path: Path, punch_pct: float = PUNCH_PCT) -> Samples:
    """The discs of a file. Raises PassportError naming row, column, value and bound; OSError."""
    with path.open("rb") as file:
        content = file.read(SIZE_MAX + 1)
    if len(content) > SIZE_MAX:
        raise PassportError(f"{path}: is larger than {SIZE_MAX} bytes; {SAMPLES_MAX} discs need less")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PassportError(f"{path}: is no text in UTF-8") from None
    return Samples(path.name, content, tuple(_discs(path.name, text)), punch_pct)


def _discs(name: str, text: str) -> Iterator[Disc]:
    table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        _judge_columns(name, [column.strip() for column in table.fieldnames or ()])
        table.fieldnames = [column.strip() for column in table.fieldnames or ()]
        count = 0
        for fields in table:
            count += 1
            if count > SAMPLES_MAX:
                raise PassportError(f"{name}: holds more than {SAMPLES_MAX} discs")
            yield _disc(name, table.line_num, fields)
    except csv.Error as error:
        raise PassportError(f"{name}, row {table.line_num + 1} or after: is no CSV ({error})") from None
    if not count:
        raise PassportError(f"{name}: holds no disc, only a header")


def _judge_columns(name: str, columns: list[str]) -> None:
    for column in columns:
        if column not in COLUMNS:
            near = [] if ";" in column or "\t" in column else difflib.get_close_matches(column, COLUMNS, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(COLUMNS)}, separated by commas"
            raise PassportError(f"{name}, row 1: {column!r} is no column{hint}")
    if len(set(columns)) < len(columns):
        raise PassportError(f"{name}, row 1: names a column twice")
    for group in ((FROM_START, FROM_END), (LANE, ACROSS), (GSM,)):
        if not set(group) & set(columns):
            raise PassportError(f"{name}, row 1: lacks the column {' or '.join(group)}")


def _disc(name: str, row: int, fields: dict[str, str]) -> Disc:
    if None in fields or None in fields.values():
        raise PassportError(f"{name}, row {row}: has another number of fields than the header")
    told = {column: _number(f"{name}, row {row}, column {column}", fields.get(column, "")) for column in COLUMNS}
    for one, other in ((FROM_START, FROM_END), (LANE, ACROSS)):
        if (told[one] is None) == (told[other] is None):
            raise PassportError(f"{name}, row {row}: give either {one} or {other}")
    gsm = told[GSM]
    if gsm is None:
        raise PassportError(f"{name}, row {row}, column {GSM}: is empty")
    return Disc(row, told[FROM_START], told[FROM_END], told[LANE], told[ACROSS], gsm, told[SD], told[WIDTH])


def _number(where: str, text: str) -> float | None:
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise PassportError(f"{where}: {text.strip()[:40]!r} is no number")
    return value


def placed(samples: Samples, web: Web) -> list[Placed]:
    """Each disc in its cell of this roll. Raises PassportError naming row, column, value and bound."""
    return [_placed(samples.name, disc, web) for disc in samples.discs]


def _placed(name: str, disc: Disc, web: Web) -> Placed:
    def within(column: str, value: float, least: float, most: float, unit: str) -> float:
        if not least <= value <= most:
            raise PassportError(
                f"{name}, row {disc.row}, column {column}: {value:g} is not within {least:g} and {most:g} {unit}"
            )
        return value

    zones, width_mm, length_m = web.line.zones, web.line.web_width_mm, float(web.metres)
    if disc.from_start_m is not None:
        at_m = within(FROM_START, disc.from_start_m, 0.0, length_m, "m, the roll's length")
    else:
        at_m = length_m - within(FROM_END, disc.from_end_m or 0.0, 0.0, length_m, "m, the roll's length")
    if disc.lane is not None:
        lane = within(LANE, disc.lane, 1, zones, "lanes of this line")
        if lane != int(lane):
            raise PassportError(f"{name}, row {disc.row}, column {LANE}: {lane:g} is no whole number")
        across_mm = (lane - 0.5) * width_mm / zones - 0.5 * width_mm
    else:
        across_mm = within(ACROSS, disc.across_mm or 0.0, -0.5 * width_mm, 0.5 * width_mm, "mm from the web's middle")
    metre = min(int(at_m), web.metres - 1)
    zone = min(int((across_mm / width_mm + 0.5) * zones), zones - 1)
    wide_mm = WIDTH_MM if disc.width_mm is None else within(WIDTH, disc.width_mm, WIDTH_LEAST_MM, width_mm, "mm")
    shares = shares_of(across_mm, wide_mm, zones, width_mm)
    target = float(shares @ web.line.target_profile_gsm * web.laid.target_ratio[metre])
    gsm = within(GSM, disc.gsm, GSM_LEAST * target, GSM_MOST * target, f"g/m2, where the target was {target:.1f}")
    sd = 0.01 * WEIGHED_PCT
    if disc.sd_gsm is not None:
        sd = within(SD, disc.sd_gsm, 1e-5 * target, SD_MOST * target, "g/m2") / target
    return Placed(disc.row, at_m, metre, zone, across_mm, gsm, math.log(gsm / target), sd, shares)


def shares_of(across_mm: float, wide_mm: float, zones: int, width_mm: float) -> Array:
    """Which part of a round disc's area lies in each zone, (zones,); what lies beyond the web's edge is not counted."""
    at = (np.arange(STRIPS) + 0.5) / STRIPS * 2.0 - 1.0
    zone = np.floor(((across_mm + 0.5 * wide_mm * at) / width_mm + 0.5) * zones).astype(int)
    on = (zone >= 0) & (zone < zones)
    area = np.bincount(zone[on], np.sqrt(1.0 - at[on] ** 2), minlength=zones)
    shares: Array = area / area.sum()
    return shares
