"""Scenarios: which named disturbances and faults play, when, and how large; read from TOML, bounded where read.

Shipped ones lie in plant_sim/scenarios/*.toml. Imported by plant_sim and by the front door.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from controller.line.description import Array
from controller.line.profile import LineState
from plant_sim.compiled import compiled
from plant_sim.errors import ScenarioError
from plant_sim.faults import CATALOGUE, PLAY_KEYS, Play
from plant_sim.slurry import Front

SHIPPED = Path(__file__).parent / "scenarios"

# bounds of the keys beside size, which its catalogue entry bounds
_BOUNDS: dict[str, tuple[float, float]] = {
    "onset_s": (0.0, 1e7),
    "duration_s": (0.0, math.inf),
    "ramp_s": (0.1, 86400.0),
    "front_s": (1.0, 7200.0),
    "at": (0.0, 1.0),
    "from_share": (0.0, 1.0),
    "to_share": (0.0, 1.0),
    "chance_pct": (0.0, 100.0),
    "turn_m": (0.1, 10.0),
    "width_mm": (0.5, 60.0),
    "every_s": (0.0, 1e6),
    "gap_m": (0.005, 10.0),
}
_ALWAYS = ("name", "onset_s", "duration_s", "size")
_SPEED_CHANGES = frozenset({"web-speed", "web-stop", "threading", "splice"})
_DEFAULT_RAMP_S = dict.fromkeys(_SPEED_CHANGES, 10.0) | {"gauge-misregistration": 0.1}
_SLOW_RAMP_S = 600.0  # everything else that rises


@dataclass(frozen=True)
class Scenario:
    """A named list of plays. Times are seconds of line time from switching on."""

    name: str
    description: str
    plays: tuple[Play, ...]

    @staticmethod
    def load(name_or_path: str | Path) -> Scenario:
        """A shipped scenario by its name, or any file by its path.

        Raises ScenarioError naming the field, what was found and what would be right.
        """
        path = Path(name_or_path)
        if path.suffix != ".toml":
            path = SHIPPED / f"{name_or_path}.toml"
            if not path.is_file():
                raise ScenarioError(f"scenario: no {str(name_or_path)!r}{_nearest(str(name_or_path), shipped())}")
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ScenarioError(f"scenario {path}: cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ScenarioError(f"scenario {path}: not TOML: {error}") from error
        return parse(document, path.stem)

    @staticmethod
    def quiet() -> Scenario:
        """Nothing happens: for tests and oracles."""
        return Scenario("quiet", "no disturbance, no fault", ())

    def speed_share(self, t_s: float) -> float:
        """Web speed against nominal."""
        return float(speed_share(self.speed_rows(), t_s))

    def speed_rows(self) -> Array:
        """Onset, duration, ramp and share of nominal speed of every play that changes it, flattened."""
        changes = [
            (play.onset_s, play.duration_s, play.ramp_s, 0.0 if play.name == "web-stop" else play.size)
            for play in self.plays
            if play.name in _SPEED_CHANGES
        ]
        return np.array(changes, dtype=np.float64).reshape(-1)

    def line_state(self, t_s: float) -> LineState:
        """Stopped while a stop has brought the web to a stand; else what is played; running otherwise."""
        for play in self._stops:
            if trapezium(play.onset_s, play.duration_s, play.ramp_s, t_s) >= 1.0:
                return LineState.STOPPED
        for play in self._ways:
            if play.active(t_s):
                return LineState.THREADING if play.name == "threading" else LineState.SPLICE
        return LineState.RUNNING

    @cached_property
    def _stops(self) -> tuple[Play, ...]:
        return tuple(play for play in self.plays if play.name == "web-stop")

    @cached_property
    def _ways(self) -> tuple[Play, ...]:
        return tuple(play for play in self.plays if play.name in ("threading", "splice"))

    @property
    def has_speed_changes(self) -> bool:
        return any(play.name in _SPEED_CHANGES for play in self.plays)

    def rolls_s(self) -> tuple[float, ...]:
        """When the second roll begins, the third, and so on."""
        return tuple(sorted(play.onset_s for play in self.plays if play.name == "roll-change"))

    def fronts(self) -> tuple[Front, ...]:
        """Batch changes in order of onset."""
        changes = sorted((play for play in self.plays if play.name == "batch-change"), key=lambda play: play.onset_s)
        return tuple(Front(play.onset_s, play.front_s, play.size) for play in changes)


def shipped() -> tuple[str, ...]:
    """Names of the shipped scenarios."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.toml")))


def parse(document: Mapping[str, object], default_name: str) -> Scenario:
    """A scenario from a TOML document. Raises ScenarioError."""
    for key in document:
        if key not in ("name", "description", "play"):
            raise ScenarioError(f"scenario: unknown key {key!r}{_nearest(key, ('name', 'description', 'play'))}")
    plays = document.get("play", [])
    if not isinstance(plays, list):
        raise ScenarioError("scenario: play must be a list of tables, [[play]]")
    read = tuple(_play(entry, i) for i, entry in enumerate(plays))
    return Scenario(str(document.get("name", default_name)), str(document.get("description", "")), read)


def _play(entry: object, index: int) -> Play:
    where = f"play[{index}]"
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise ScenarioError(f"{where}: needs a name")
    name = entry["name"]
    if name not in CATALOGUE:
        raise ScenarioError(f"{where}.name: nothing is called {name!r}{_nearest(name, CATALOGUE)}")
    known = (*_ALWAYS, *CATALOGUE[name].keys)
    for key, value in entry.items():
        _check(where, name, key, value, known)
    values = dict(entry)
    if "ramp_s" in CATALOGUE[name].keys:
        values.setdefault("ramp_s", _DEFAULT_RAMP_S.get(name, _SLOW_RAMP_S))
    return Play(**values)


def _check(where: str, name: str, key: str, value: object, known: tuple[str, ...]) -> None:
    """Refuse keys that this play does not read and values out of bounds."""
    if key not in known:
        reads = "" if key not in PLAY_KEYS else f"; {name} does not read it"
        raise ScenarioError(f"{where}: unknown key {key!r}{reads}{_nearest(key, known)}")
    if key == "name":
        return
    if key == "gauge":
        if value not in ("wet", "dry"):
            raise ScenarioError(f"{where}.gauge: {value!r} is neither 'wet' nor 'dry'")
        return
    entry = CATALOGUE[name]
    low, high = (entry.size_min, entry.size_max) if key == "size" else _BOUNDS[key]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high:  # type: ignore[operator]
        raise ScenarioError(f"{where}.{key}: {value!r} is not within {low:g} to {high:g}")


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.4)
    return f"; nearest known: {close[0]!r}" if close else f"; known: {', '.join(known)}"


@compiled
def trapezium(onset_s: float, duration_s: float, ramp_s: float, t_s: float) -> float:
    """0 before the onset, rising over ramp_s to 1, falling over ramp_s after the duration."""
    since, until = t_s - onset_s, onset_s + duration_s - t_s
    rising = min(max(since / ramp_s, 0.0), 1.0)
    falling = min(max(1.0 + until / ramp_s, 0.0), 1.0)
    return min(rising, falling)


@compiled
def speed_share(rows: Array, t_s: float) -> float:
    """Web speed against nominal, from Scenario.speed_rows."""
    share = 1.0
    for i in range(0, rows.size, 4):
        share *= 1.0 + (rows[i + 3] - 1.0) * trapezium(rows[i], rows[i + 1], rows[i + 2], t_s)
    return share
