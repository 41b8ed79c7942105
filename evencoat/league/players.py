"""Everybody who plays in the league, by name, with the tuning that the shared search found for them.

`open` and `hand` leave the lips to people; `pid`, `recipe`, `smith`, `mpc`, `dompc` and `imc` are what can be had today
and our own; `informed` (evencoat.league.informed) is told all that can be known beforehand but has the real gauges
only; `clairvoyant` (evencoat.league.clairvoyant) is told nearly everything.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from controller.core import step as core
from controller.core.law import Modes
from controller.core.network import Network
from controller.core.step import Config
from controller.core.trace import Trace
from controller.line.command import ActuatorCommand, Mode, OperatorRequest
from controller.line.description import LawName, LineDescription
from controller.line.profile import LineInputs
from evencoat.guest import network_of
from evencoat.league import field
from evencoat.league.clairvoyant import Clairvoyant
from evencoat.league.field import Match, Player
from evencoat.league.informed import Informed
from evencoat.league.laws import Dahlin, Flatten, Mpc, Osqp, Plain, Recipe
from evencoat.league.rivals import Operator
from evencoat.model_store import ModelStore, default_folder

PRACTICAL = ("open", "hand", "pid", "recipe", "smith", "mpc")
NAMES = (*PRACTICAL, "imc", "adaptive", "neural", "informed", "clairvoyant")
PILOT_ONLY = ("dompc",)
TUNED = ("pid", "recipe", "smith", "mpc", "imc", "adaptive", "informed")
SHARES = {"dompc": "mpc", "neural": "adaptive"}  # the tuning of another: that a network is worth, not a search
SEARCH = Path(__file__).with_name("tuning.json")


@dataclass(frozen=True, slots=True)
class Tuning:
    """Factors on the closed-loop times of the line's description. For `recipe`: on its gain and its interval."""

    cd: float = 1.0
    md: float = 1.0

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


Maker = Callable[[Match, LineDescription, Tuning], Player]


def tuned(path: Path = SEARCH) -> dict[str, Tuning]:
    """What the committed search found best for each."""
    found = json.loads(path.read_text(encoding="utf-8"))["best"] if path.is_file() else {}
    return {name: Tuning(**found[name]) for name in TUNED if name in found}


def player(name: str, match: Match, tuning: dict[str, Tuning]) -> Player:
    """A player for one match. Raises KeyError for a name that nobody has."""
    if name not in _MAKERS:
        raise KeyError(f"player: nobody is called {name!r}; there are {', '.join(_MAKERS)}")
    own = tuning.get(SHARES.get(name, name), Tuning())
    return _MAKERS[name](match, retuned(match.line, own), own)


def retuned(line: LineDescription, tuning: Tuning) -> LineDescription:
    """The line's description with its closed-loop times scaled."""
    control = line.control
    faster = replace(
        control,
        closed_loop_cd_s=control.closed_loop_cd_s * tuning.cd,
        closed_loop_md_s=control.closed_loop_md_s * tuning.md,
    )
    return replace(line, control=faster)


def _hand(match: Match, line: LineDescription, own: Tuning) -> Player:
    return Core(core.configure(line, field.TURN_S), Mode.MANUAL, Operator(line))


def _core(law: LawName) -> Maker:
    def make(match: Match, line: LineDescription, own: Tuning) -> Player:
        chosen = replace(line, control=replace(line.control, law=law))
        guest = _guest() if law is LawName.NEURAL else None
        return Core(core.configure(chosen, field.TURN_S, guest=guest), Mode.AUTO)

    return make


@functools.cache
def _guest() -> Network | None:
    """The network in use: $EVENCOAT_MODELS says whose. Raises ModelStoreError."""
    model = ModelStore(default_folder()).active()
    return None if model is None else network_of(model)


def _recipe(match: Match, line: LineDescription, own: Tuning) -> Player:
    config = core.configure(match.line, field.TURN_S)
    law = Recipe(match.line, config.estimator, gain=own.cd, interval=own.md)
    return Core(replace(config, law=law), Mode.AUTO)


def _smith(match: Match, line: LineDescription, own: Tuning) -> Player:
    config = core.configure(line, field.TURN_S)
    response, control = config.estimator.response, line.control
    roll_off = response.gains[0] / response.gains if response.modes else np.ones(0)
    plain, cd_s = Plain(line, config.estimator), control.closed_loop_cd_s * roll_off
    return Core(replace(config, law=Dahlin(_modes(config), plain, cd_s, control.closed_loop_md_s)), Mode.AUTO)


def _mpc(match: Match, line: LineDescription, own: Tuning) -> Player:
    config = core.configure(line, field.TURN_S)
    return Core(replace(config, law=_predictive(config, Osqp(line, config.estimator))), Mode.AUTO)


def _dompc(match: Match, line: LineDescription, own: Tuning) -> Player:
    from evencoat.league.dompc import DoMpc  # an optional dependency

    config = core.configure(line, field.TURN_S)
    return Core(replace(config, law=_predictive(config, DoMpc(line, config.estimator))), Mode.AUTO)


def _predictive(config: Config, flatten: Flatten) -> Mpc:
    line, control = config.line, config.line.control
    plain = Plain(line, config.estimator)
    return Mpc(line, _modes(config), plain, control.closed_loop_cd_s, control.closed_loop_md_s, flatten)


def _modes(config: Config) -> Modes:
    estimator = config.estimator
    return Modes(estimator.response, estimator.ratio_nominal_rpm_per_mps, config.line.control.dead_band_um)


class Bystander:
    """Nobody touches anything."""

    def turn(self, inputs: LineInputs) -> ActuatorCommand | None:
        return None


class Core:
    """The pure core, with whatever law is in its configuration, and perhaps an operator at its page."""

    def __init__(self, config: Config, mode: Mode, operator: Operator | None = None) -> None:
        self._config, self._operator = config, operator
        self._state = core.init(config, mode)
        self._asked: OperatorRequest | None = None
        self.trace: Trace | None = None  # of the last cycle

    def turn(self, inputs: LineInputs) -> ActuatorCommand | None:
        """One cycle."""
        self._state, command, self.trace = core.step(self._config, self._state, inputs, field.TURN_S, self._asked)
        self._config, self._state = core.renewed(self._config, self._state)
        if self._operator is not None:
            self._asked = self._operator.watch(self.trace)
        return command


_MAKERS: dict[str, Maker] = {
    "open": lambda match, line, own: Bystander(),
    "hand": _hand,
    "pid": _core(LawName.PI),
    "recipe": _recipe,
    "smith": _smith,
    "mpc": _mpc,
    "imc": _core(LawName.IMC),
    "adaptive": _core(LawName.ADAPTIVE),
    "neural": _core(LawName.NEURAL),
    "informed": lambda match, line, own: Informed(match, line),
    "clairvoyant": lambda match, line, own: Clairvoyant(match),
    "dompc": _dompc,
}
