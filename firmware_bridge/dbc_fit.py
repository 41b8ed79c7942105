"""What a foreign DBC seems to hold of the contract: signals whose unit, number and name fit. For `evencoat init`.

A proposal for a person to look at, never a mapping that anything runs with unseen: names lie, and units too. Names are
read as English and German ones. Runs once, when a line file is written; the cycle knows nothing of it.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cantools

from firmware_bridge.contract import (
    DEFAULT_MAP,
    FIELDS,
    HEADER_ROLES,
    OPTIONAL_TELEGRAMS,
    Axis,
    Field,
    Integrity,
    Telegram,
    WireError,
)
from firmware_bridge.layout import unit_factor

FEWEST_PLACES = 4  # of a row of signals that can be bolts or boxes
_NUMBERED = re.compile(r"^(.*?)(\d+)(\D*)$")
_TOKEN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

_SET = ("soll", "set", "target", "cmd", "command", "demand", "ziel")
_ACT = ("ist", "act", "feed", "pos", "meas", "mess", "read")
_LIP = ("lip", "gap", "spalt", "bolt", "schraub", "die", "zone")
_PUMP = ("pump", "trim", "ratio", "verhaeltnis")
_WEB = ("web", "bahn", "line", "sync", "encoder")
_WET = ("wet", "nass", "film", "thick", "dicke")
_DRY = ("dry", "trocken", "beta", "areal", "density", "flaechen", "basis", "gsm")
_STATE = ("state", "status", "zustand")
_TIME = ("time", "zeit", "stamp")

# A name fits a role when each group has a word in it, or in its message's name, and none of the last group has.
_WORDS: Mapping[str, tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]] = {
    "sync.t_us": ((_TIME, _WEB), (*_WET, *_DRY)),
    "sync.web_speed_mps": ((("speed", "geschwindigkeit", "velocity"),), _PUMP),
    "sync.web_m": ((_WEB, ("pos", "weg", "length", "laenge", "meter", "odo")), (*_WET, *_DRY)),
    "sync.encoder_valid": ((("valid", "gueltig", "ok"), ("encoder", "geber", *_WEB)), ()),
    "line_state.state": ((_STATE, _WEB), (*_PUMP, *_LIP[:-2])),
    "line_state.roll": ((("roll", "coil"),), ()),
    "line_state.batch": ((("batch", "charge", "lot"),), ()),
    "pump_command.ratio_rpm_per_mps": ((("ratio", "verhaeltnis"), _SET), _ACT),
    "pump_command.trim_pct": ((("trim",), _SET), _ACT),
    "pump_feedback.ratio_rpm_per_mps": ((("ratio", "verhaeltnis"),), _SET),
    "pump_feedback.trim_pct": ((("trim",),), _SET),
    "pump_feedback.speed_rpm": ((("speed", "drehzahl", "rpm"), _PUMP), _SET),
    "pump_feedback.pressure_kpa": ((("pressure", "druck"),), _SET),
    "pump_feedback.temperature_c": ((("temp",),), _SET),
    "pump_feedback.node_state": ((_STATE, _PUMP), ()),
    "die_command.gap_um": ((_LIP, _SET), _ACT),
    "die_feedback.gap_um": ((_LIP, _ACT), _SET),
    "die_status.zone_status": ((_LIP, _STATE), ()),
    "wet_profile.film_um": ((_WET,), (*_LIP[:-2], *_SET)),
    "dry_profile.areal_density_gsm": ((_DRY,), ()),
    **{
        f"{gauge}_meta.{field}": ((words, stems), ())
        for gauge, words in (("wet", _WET), ("dry", _DRY))
        for field, stems in (
            ("boxes", ("boxes", "messpunkte")),
            ("edge_left_mm", ("left", "links")),
            ("edge_right_mm", ("right", "rechts")),
            ("direction", ("direction", "richtung")),
            ("quality", ("quality", "guete")),
            ("t_us", _TIME),
            ("web_m", ("webpos", "position", "weg", "meter")),
        )
    },
}
_HEADER_WORDS = {
    "crc": ("crc", "chk", "check", "pruef"),
    "counter": ("counter", "cnt", "alive", "rolling", "zaehler"),
    "segment": ("segment", "page"),
    "scan_id": ("scanid", "scan"),
    "node": ("sender", "source"),
    "freshness": ("freshness",),
    "mac": ("mac",),
}


@dataclass(frozen=True, slots=True)
class Fit:
    """One role of the contract, and the signal that seems to be it. `name` is as in [bus.map]; "" where none fits."""

    role: str
    unit: str
    name: str
    places: int  # how many bolts or boxes the row of signals has; 1 for a single signal
    count: float  # one count of the signal, in `unit`; NaN where none fits
    required: bool
    others: tuple[str, ...]  # what would fit as well


@dataclass(frozen=True, slots=True)
class DbcFit:
    """What a DBC holds of the contract."""

    fits: tuple[Fit, ...]
    header: Mapping[str, str]  # "*.crc" -> signal, as in [bus.map]
    fd: bool
    integrity: Integrity

    def map(self) -> dict[str, str]:
        """The entries of [bus.map] that differ from what is taken where there is none."""
        found = {**self.header, **{fit.role: fit.name for fit in self.fits if fit.name}}
        return {role: name for role, name in found.items() if DEFAULT_MAP.get(role) != name}

    def missing(self) -> tuple[Fit, ...]:
        """Roles that a line cannot do without, for which nothing fits."""
        return tuple(fit for fit in self.fits if fit.required and not fit.name)

    def of(self, role: str) -> Fit | None:
        """What was found for a role; None where nothing fits."""
        return next((fit for fit in self.fits if fit.role == role and fit.name), None)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A signal, or a row of numbered ones, under the name that a map would give it."""

    name: str
    signal: Any
    words: frozenset[str]
    message_words: frozenset[str]
    places: int
    is_row: bool


def fit_dbc(path: Path) -> DbcFit:
    """Look through a DBC. Raises WireError where it cannot be read."""
    try:
        database = cantools.database.load_file(path, strict=False)
    except (OSError, ValueError, cantools.Error) as error:
        raise WireError(f"dbc {path}: {error}") from error
    messages = list(getattr(database, "messages", ()))
    header = dict(_header(messages))
    taken = {name.rpartition(".")[2] for name in header.values()}
    candidates = [*_singles(messages, taken), *_rows(messages, taken)]
    fd = any(message.is_fd or message.length > 8 for message in messages)
    return DbcFit(tuple(_assigned(candidates)), header, fd, _integrity(messages, header.get("*.crc", ""), fd))


def _header(messages: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Which signals are CRC, counter and so on: the most frequent name that has the word in it, if it is frequent."""
    count: dict[str, int] = defaultdict(int)
    for message in messages:
        for signal in message.signals:
            count[signal.name] += 1
    for role in HEADER_ROLES:
        stems, usual = _HEADER_WORDS[role], DEFAULT_MAP[f"*.{role}"]
        fitting = [name for name in count if name == usual or _has(_words(name), stems)]
        best = max(fitting, key=lambda name: count[name], default="")
        if best and count[best] > 1:
            yield f"*.{role}", best


def _integrity(messages: Iterable[Any], crc: str, fd: bool) -> Integrity:
    lengths = {signal.length for message in messages for signal in message.signals if signal.name == crc}
    if lengths == {16} and fd:
        return Integrity.CRC16
    return Integrity.CRC8 if lengths == {8} else Integrity.NONE


def _singles(messages: Iterable[Any], taken: set[str]) -> Iterator[_Candidate]:
    holders: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
    for message in messages:
        for signal in message.signals:
            if signal.name not in taken:
                holders[signal.name].append((message, signal))
    for name, pairs in holders.items():
        for message, signal in pairs:
            own = name if len(pairs) == 1 else f"{message.name}.{name}"
            yield _Candidate(own, signal, _words(name), _words(message.name), 1, False)


def _rows(messages: Iterable[Any], taken: set[str]) -> Iterator[_Candidate]:
    """Rows of numbered signals that count on from 0 or 1 without a gap."""
    rows: dict[tuple[str, str], dict[int, tuple[str, Any, Any]]] = defaultdict(dict)
    for message in messages:
        for signal in message.signals:
            found = _NUMBERED.match(signal.name)
            if found and signal.name not in taken:
                rows[found[1], found[3]][int(found[2])] = (found[2], message, signal)
    for (before, after), row in rows.items():
        first = min(row)
        if first > 1 or len(row) < FEWEST_PLACES or sorted(row) != list(range(first, first + len(row))):
            continue
        width = len(row[first][0])
        padded = width > 1 and all(len(text) == width for text, _, _ in row.values())
        place = ("i" if first == 0 else "n") + (f":0{width}d" if padded else "")
        _, message, signal = row[first]
        name = f"{before}{{{place}}}{after}"
        yield _Candidate(name, signal, _words(before + after), _words(message.name), len(row), True)


def _assigned(candidates: list[_Candidate]) -> Iterator[Fit]:
    """Each role its best candidate, the surest first; none is given twice."""
    roles = [(t, field) for t in Telegram if t is not Telegram.HEARTBEAT for field in FIELDS[t]]
    scored: dict[str, list[tuple[float, str]]] = {}
    for telegram, field in roles:
        role = f"{telegram}.{field.name}"
        judged = ((_score(role, field, candidate), candidate.name) for candidate in candidates)
        scored[role] = sorted(((score, name) for score, name in judged if score > 0.0), key=lambda one: -one[0])
    given: dict[str, str] = {}
    for _, role, name in sorted(
        ((score, role, name) for role, found in scored.items() for score, name in found), key=lambda one: -one[0]
    ):
        if role not in given and name not in given.values():
            given[role] = name
    by_name = {candidate.name: candidate for candidate in candidates}
    for telegram, field in roles:
        role = f"{telegram}.{field.name}"
        name = given.get(role, "")
        chosen = by_name.get(name)
        count = math.nan if chosen is None else abs(chosen.signal.scale) * unit_factor(field, chosen.signal)
        others = tuple(other for _, other in scored[role] if other != name and other not in given.values())
        required = field.required and telegram not in OPTIONAL_TELEGRAMS
        yield Fit(role, field.unit, name, 0 if chosen is None else chosen.places, count, required, others[:3])


def _score(role: str, field: Field, candidate: _Candidate) -> float:
    """How well a candidate fits: 0 not at all, above 1 where the contract's own name says so."""
    if candidate.is_row is (field.axis is Axis.SCALAR):
        return 0.0
    try:
        unit_factor(field, candidate.signal)
    except WireError:
        return 0.0
    if not field.unit and candidate.signal.unit:
        return 0.0
    usual = DEFAULT_MAP.get(role, "")
    if candidate.name == usual:
        return 10.0
    groups, against = _WORDS.get(role, ((), ()))
    everywhere = candidate.words | candidate.message_words
    if not groups or _has(candidate.words, against) or not all(_has(everywhere, group) for group in groups):
        return 0.0
    of_its_own = sum(_has(candidate.words, group) for group in groups) / len(groups)
    return 0.5 + of_its_own + (0.25 if field.unit and candidate.signal.unit else 0.0)


def _words(name: str) -> frozenset[str]:
    return frozenset(word.casefold() for word in _TOKEN.findall(name))


def _has(words: Iterable[str], stems: Iterable[str]) -> bool:
    """Whether a word begins with a stem; long stems may stand inside of one, as German puts words together."""
    return any(word.startswith(stem) or (len(stem) >= 5 and stem in word) for word in words for stem in stems)
