"""Line files: TOML read once, bounded where it is read, turned into the frozen objects everything else works with.

`load_line("line-40")` is the whole interface. Everything wrong with a file is found in one go and raised as one
SettingsError that names field, value, bound and what to do. The command line and the tests import this; the tables
and their bounds are in evencoat.settings_model, contradictions between them in evencoat.settings_rules.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from controller.line.description import (
    ControlDescription,
    DieDescription,
    GaugeDescription,
    GaugeKind,
    LawName,
    LineDescription,
    LipLimits,
    PumpDescription,
    SlurryDescription,
    TargetDescription,
)
from evencoat.commissioned import SUFFIX, ModelFile, applied, fingerprint, model_path, read_model
from evencoat.journal import Retention
from evencoat.realtime import Realtime
from evencoat.settings_model import DryGaugeTable, GaugeTable, LineFile, OpcuaTable
from evencoat.settings_rules import Problem, contradictions
from firmware_bridge.codec import Codec
from firmware_bridge.contract import AuthDescription, Integrity, WireDescription
from firmware_bridge.tx_gate import GateTable

FILE_SIZE_MAX = 1_000_000  # bytes; a line file has three thousand

_EXPECTED = {  # pydantic's error type -> what the reader is told
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "string_type": "must be text in quotes",
    "bool_type": "must be true or false",
    "list_type": "must be a list in square brackets",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "finite_number": "must be a finite number",
    "missing": "is required",
    "string_too_short": "must not be empty",
    "string_too_long": "is too long",
    "too_long": "holds too many values",
    "string_pattern_mismatch": "may hold letters, digits, '.', '_' and '-' only, and starts with a letter or digit",
}


KEPT_FOR_GOOD = Retention()
ORDINARY = Realtime()


class SettingsError(Exception):
    """A line file that cannot be used. `problems` lists everything found, not only the first."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = tuple(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__("\n  ".join([f"{file}: {count}", *map(str, self.problems)]))


@dataclass(frozen=True, slots=True)
class Restart:
    """What happens after a crash. resume: ask again for the mode that was asked for; else hold until a person does."""

    resume: bool = False
    web_max_m: float = 200.0
    snapshot_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Automation:
    """What may be done without a person; see AutomationTable for what each means."""

    start: bool = False
    rearm_most_per_hour: int = 0
    clear_s: float = 10.0
    lost_bolts_most: int = 1
    acts_as: str = "automation"


@dataclass(frozen=True, slots=True)
class DryAccuracy:
    """What is known of the dry gauge beside its noise, for roll passports; see DryGaugeTable for what each means."""

    accuracy_pct: float | None = None
    foil_pct: float = 0.0


@dataclass(frozen=True, slots=True)
class Plc:
    """The PLC's OPC UA server, and what is read there; see OpcuaTable for what each means."""

    endpoint: str
    folder: Path
    server_certificate: Path
    policy: str
    user: str
    password_file: Path
    acts_as: str
    web_speed: str | None
    web_speed_mps_per_unit: float
    roll: str | None
    production_order: str | None
    material_lot: str | None
    recipe: str | None
    permit: str | None
    patience_s: float

    @property
    def nodes(self) -> dict[str, str]:
        """Nodes that are read, by what they are."""
        read = ("web_speed", "roll", "production_order", "material_lot", "recipe", "permit")
        return {name: node for name in read if (node := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class Settings:
    """One line file, read and checked: what the controller believes, how the wire speaks, what the gate lets pass.

    drawn: the line as the file alone says, which is what a software plant is made of.
    named_law: the one that the file names; None leaves the choice to evencoat.guest.at_work, and until then the line's
    is imc, by which it is also commissioned.
    """

    line: LineDescription
    drawn: LineDescription
    wire: WireDescription
    gate: GateTable
    path: Path
    text: str  # the file as it was read, for journals and reports
    description: str = ""
    canopen_nodes: tuple[int, ...] = ()  # foreign nodes on the same bus
    retention: Retention = KEPT_FOR_GOOD
    restart: Restart = Restart()
    automation: Automation = Automation()
    dry_accuracy: DryAccuracy = DryAccuracy()
    realtime: Realtime = ORDINARY
    model: ModelFile | None = None  # what commissioning found; in `line` already where it is signed off
    named_law: LawName | None = None
    plc: Plc | None = None


def load_line(path_or_name: str | Path, commissioned: bool = True) -> Settings:
    """Settings of a line file, given by path, by "lines/line-40.toml" or by the name of a shipped line ("line-40").

    A signed-off model beside it is taken in, unless `commissioned` is False: then the line is as the file says.
    Raises SettingsError for a file that is missing, unreadable or wrong, and for a model that does not belong to it.
    """
    path = find_line(path_or_name)
    try:
        if path.stat().st_size > FILE_SIZE_MAX:
            problem = Problem("", "", f"larger than {FILE_SIZE_MAX} bytes", "This is not a line file")
            raise SettingsError(str(path), [problem])
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem("", "", f"cannot be read: {error}", "Give a text file in UTF-8")
        raise SettingsError(str(path), [problem]) from error
    settings = read_line(text, path)
    return _with_model(settings, parse_line(text, str(path))) if commissioned else settings


def compile_codec(settings: Settings) -> Codec:
    """The codec of a line: its DBC, its map, its numbers of zones and boxes. Raises WireError."""
    wet, dry = settings.line.wet_gauge, settings.line.dry_gauge
    return Codec.compile(settings.wire, settings.line.zones, wet.boxes if wet else 0, dry.boxes if dry else 0)


def read_line(text: str, path: Path) -> Settings:
    """Settings from the text of a line file. `path` is its place: errors name it, and a DBC is looked up beside it."""
    file = parse_line(text, str(path))
    dbc_path = None if file.bus.dbc is None else path.parent / file.bus.dbc
    if dbc_path is not None and not dbc_path.is_file():
        problem = Problem(
            "bus.dbc", f'"{file.bus.dbc}"', f"no such file: {dbc_path}", "The path is relative to the line file"
        )
        raise SettingsError(str(path), [problem])
    line = _line(file)
    return Settings(
        line=line,
        drawn=line,
        wire=_wire(file, path.parent, dbc_path),
        gate=GateTable(**file.gate.model_dump()),
        path=path,
        text=text,
        description=file.description,
        canopen_nodes=tuple(file.bus.canopen_nodes),
        retention=Retention(file.journal.keep_days, int(file.journal.max_mb * 1e6)),
        restart=Restart(file.restart.policy == "resume", file.restart.web_max_m, file.restart.snapshot_s),
        automation=Automation(**file.automation.model_dump()),
        dry_accuracy=_dry_accuracy(file.gauges.dry),
        realtime=Realtime(**{**file.realtime.model_dump(), "cpus": tuple(file.realtime.cpus)}),
        named_law=None if file.control.law is None else LawName(file.control.law),
        plc=None if file.opcua is None else _plc(file.opcua, path.parent),
    )


def _with_model(settings: Settings, file: LineFile) -> Settings:
    """The same with the model that lies beside the line file, where there is one."""
    path = model_path(settings.path)
    if not path.is_file():
        return settings
    again = "Commission the line again (evencoat commission), or delete the file to go back to the line file alone"
    try:
        model = read_model(path)
        line = applied(settings.line, model)
    except (OSError, ValueError) as error:
        raise SettingsError(str(path), [Problem("", "", str(error), again)]) from error
    belongs_to = fingerprint(file)
    if model.belongs_to != belongs_to:
        reason = f"must be {belongs_to}: {settings.path.name} has changed since, in what the model was found for"
        raise SettingsError(str(path), [Problem("belongs_to", model.belongs_to, reason, again)])
    return replace(settings, line=line if model.signed_off_by else settings.line, model=model)


def parse_line(text: str, name: str) -> LineFile:
    """The checked tables of a line file. Raises SettingsError with every problem found."""
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: TOMLDecodeError and integers without end
        problem = Problem("", "", f"is not TOML: {_clip(str(error))}", "Correct the line named")
        raise SettingsError(name, [problem]) from error
    try:
        file = LineFile.model_validate(data)
    except ValidationError as error:
        found = [_problem(detail, data, text) for detail in error.errors(include_url=False)]
        raise SettingsError(name, list({problem.field: problem for problem in found}.values())) from error
    problems = contradictions(file)
    if problems:
        raise SettingsError(name, [_with_line(problem, text) for problem in problems])
    return file


def problem_with(field: str, value: object) -> Problem | None:
    """What is wrong with one value of a line file, `field` a dotted path; the contradictions are not looked at."""
    path = tuple(field.split("."))
    data: Any = value
    for key in reversed(path):
        data = {key: data}
    try:
        LineFile.model_validate(data)
    except ValidationError as error:
        found = (detail for detail in error.errors(include_url=False) if detail["loc"][: len(path)] == path)
        return next((_problem(detail, data, "") for detail in found), None)
    return None


def meaning_of(field: str) -> str:
    """What a key of a line file means, with its unit; "" for an unknown one."""
    return _described(field.split("."))[1]


def bounds_of(field: str) -> tuple[float | None, float | None]:
    """Smallest and largest value of a key, None where there is no such bound."""
    *tables, key = field.split(".")
    table: type[BaseModel] | None = LineFile
    for name in tables:
        table = (
            None if table is None or name not in table.model_fields else _table_of(table.model_fields[name].annotation)
        )
    known = table.model_fields.get(key) if table is not None else None
    marks = known.metadata if known is not None else []
    least = next((mark.ge for mark in marks if hasattr(mark, "ge")), None)
    return least, next((mark.le for mark in marks if hasattr(mark, "le")), None)


def shipped_lines() -> dict[str, Path]:
    """Name -> file of the lines that come with evencoat, in a source checkout or an installed wheel."""
    here = Path(__file__).resolve().parent
    for folder in (here / "lines", here.parent / "lines"):
        if folder.is_dir():
            return {file.stem: file for file in sorted(folder.glob("*.toml")) if not file.name.endswith(SUFFIX)}
    return {}


def find_line(path_or_name: str | Path) -> Path:
    """The file meant by a path or by a shipped line's name. Raises SettingsError naming the nearest shipped line."""
    given = str(path_or_name)
    path = Path(given)
    if path.is_file():
        return path
    shipped = shipped_lines()
    plain = path.name.removesuffix(".toml")
    if plain in shipped and given.removesuffix(".toml") in (plain, f"lines/{plain}", f"./lines/{plain}"):
        return shipped[plain]
    near = difflib.get_close_matches(plain, shipped, n=1, cutoff=0.4)
    hint = f'Did you mean "{near[0]}"? ' if near else ""
    advice = f"{hint}Give a path, or one of: {', '.join(shipped)}"
    raise SettingsError(given, [Problem("", "", "there is no such line file", advice)])


def line_schema() -> dict[str, Any]:
    """JSON Schema of a line file, for editors that complete and check TOML."""
    return LineFile.model_json_schema()


# --- from tables to frozen objects -------------------------------------------------------------------------------


def _line(file: LineFile) -> LineDescription:
    lips, die = file.lips, file.die
    return LineDescription(
        name=file.name,
        web_width_mm=file.web.width_mm,
        web_speed_mps=file.web.speed_m_per_min / 60.0,
        web_speed_max_mps=file.web.speed_max_m_per_min / 60.0,
        target=TargetDescription(
            file.target.areal_density_gsm, file.target.tolerance_pct, tuple(file.target.profile_gsm)
        ),
        slurry=SlurryDescription(**file.slurry.model_dump()),
        die=DieDescription(**die.model_dump()),
        lips=LipLimits(**lips.model_dump()),
        pump=PumpDescription(**file.pump.model_dump()),
        wet_gauge=_gauge(GaugeKind.WET_ARRAY, file.gauges.wet),
        dry_gauge=_gauge(_dry_kind(file.gauges.dry), file.gauges.dry),
        control=ControlDescription(**{**file.control.model_dump(), "law": LawName(file.control.law or "imc")}),
    )


def _plc(table: OpcuaTable, folder: Path) -> Plc:
    paths = {name: folder / getattr(table, name) for name in ("folder", "server_certificate", "password_file")}
    return Plc(**{**table.model_dump(), **paths})


def _dry_kind(table: GaugeTable | None) -> GaugeKind:
    return GaugeKind.DRY_SCANNER if table is not None and table.head_speed_mps > 0.0 else GaugeKind.DRY_ARRAY


def _gauge(kind: GaugeKind, table: GaugeTable | None) -> GaugeDescription | None:
    if table is None:
        return None
    return GaugeDescription(kind=kind, **table.model_dump(include=set(GaugeTable.model_fields)))


def _dry_accuracy(table: DryGaugeTable | None) -> DryAccuracy:
    return DryAccuracy() if table is None else DryAccuracy(table.accuracy_pct, table.foil_pct)


def _wire(file: LineFile, folder: Path, dbc_path: Path | None) -> WireDescription:
    bus, auth = file.bus, file.bus.auth
    return WireDescription(
        interface=bus.interface,
        channel=bus.channel,
        fd=bus.fd,
        bitrate=bus.bitrate,
        data_bitrate=bus.data_bitrate,
        options=dict(bus.options),
        dbc_path=dbc_path,
        signal_map=dict(bus.map),
        integrity=Integrity(bus.integrity),
        data_ids=dict(bus.data_ids),
        max_load_pct=bus.max_load_pct,
        sync_period_s=bus.sync_period_s,
        auth=None if auth is None else AuthDescription(folder / auth.key_file, auth.key_id),
    )


# --- from pydantic's errors to problems --------------------------------------------------------------------------


def _problem(detail: ErrorDetails, data: Mapping[str, Any], text: str) -> Problem:
    keys = _keys(detail["loc"], data, missing=detail["type"] == "missing")
    field = ".".join(keys)
    table, meaning = _described(keys)
    if detail["type"] == "extra_forbidden":
        return _with_line(Problem(field, _show(detail["input"]), "unknown key", _nearest(keys, table)), text)
    given = "" if detail["type"] == "missing" else _show(detail["input"])
    advice = f"It means: {meaning}" if meaning else "See the shipped lines for an example"
    if detail["type"] in ("greater_than_equal", "less_than_equal"):
        advice = f"Check unit and decimal point; it means: {meaning}"
    return _with_line(Problem(field, given, _bound(detail), advice), text)


def _keys(loc: Sequence[int | str], data: Any, missing: bool) -> list[str]:
    """The keys of the file that an error's place names. pydantic appends names of union members: they are left out."""
    keys: list[str] = []
    for part in loc:
        held = part in data if isinstance(data, dict) else isinstance(data, list) and isinstance(part, int)
        if not held:
            return [*keys, str(part)] if missing else keys
        keys.append(str(part))
        data = data[part]
    return keys


def _described(keys: Sequence[str]) -> tuple[type[BaseModel] | None, str]:
    """The table that holds a key (None inside free tables and lists) and what the key means."""
    table: type[BaseModel] | None = LineFile
    meaning = ""
    for depth, key in enumerate(keys):
        field = table.model_fields.get(key) if table is not None else None
        if field is None:
            return table, meaning if table is None else ""
        meaning = field.description or ""
        if depth < len(keys) - 1:
            table = _table_of(field.annotation)
    return table, meaning


def _table_of(annotation: Any) -> type[BaseModel] | None:
    """The table class in an annotation such as `GaugeTable | None`, or None."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _bound(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    kind = detail["type"]
    if kind == "greater_than_equal":
        return f"must be at least {context['ge']:g}"
    if kind == "less_than_equal":
        return f"must be at most {context['le']:g}"
    if kind == "greater_than":
        return f"must be more than {context['gt']:g}"
    if kind == "literal_error":
        return f"must be one of {context['expected']}"
    if kind == "string_pattern_mismatch" and detail["loc"] != ("name",):
        return "is not of the form that it must have"
    return _EXPECTED.get(kind, detail["msg"])


def _nearest(keys: Sequence[str], table: type[BaseModel] | None) -> str:
    """What an unknown key was probably meant to be: the nearest key of its table, or the table it belongs to."""
    known = list(table.model_fields) if table is not None else []
    homes = [".".join(path[:-1]) for path in _all_keys(LineFile) if path[-1] == keys[-1]]
    if homes:
        return f"It belongs into [{homes[0]}]" if homes[0] else "It belongs to the top of the file, before any table"
    near = difflib.get_close_matches(keys[-1], known, n=1, cutoff=0.5)
    if near:
        return f'Did you mean "{near[0]}"?'
    far = difflib.get_close_matches(keys[-1], [path[-1] for path in _all_keys(LineFile)], n=1, cutoff=0.7)
    also = f' The nearest key elsewhere is "{far[0]}".' if far else ""
    return f"Known keys here: {', '.join(known)}.{also}"


def _all_keys(table: type[BaseModel], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for key, field in table.model_fields.items():
        found.append((*above, key))
        inner = _table_of(field.annotation)
        if inner is not None:
            found += _all_keys(inner, (*above, key))
    return found


def _show(value: object) -> str:
    if isinstance(value, dict):
        return "a table"
    try:
        return _clip(
            f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else repr(value)
        )
    except ValueError:  # Python refuses to print integers of more than 4,300 digits
        return "a number of thousands of digits"


def _clip(text: str, length: int = 120) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def _with_line(problem: Problem, text: str) -> Problem:
    """The same problem with the line of the file where its key (or, failing that, its table) stands."""
    *tables, key = problem.field.split(".")
    header, key_line = "", None
    for number, raw in enumerate(text.splitlines(), start=1):
        found = re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", raw)
        if found:
            header = found.group(1).replace(" ", "")
            key_line = number if header == problem.field else key_line
        elif header == ".".join(tables) and re.match(rf"\s*\"?{re.escape(key)}\"?\s*=", raw):
            return replace(problem, line=number)
    return replace(problem, line=key_line)
