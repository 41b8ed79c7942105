"""A line whose map went wrong while it ran, with or without a reverse bump: benchmarks/reverse_bump.py and a test.

Plant and controller take turns at 2 Hz. The adaptive law levels the line as it is described; then it is begun anew with
an alignment that is wrong, on lips that stand right, so that no large move teaches it anything; then come the bumps.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from controller.commission.reverse import ReverseBump
from controller.core import step as core
from controller.core.trace import Trace
from controller.line.command import ActuatorCommand, Mode
from controller.line.description import LawName
from controller.line.profile import LineInputs
from evencoat.league import field
from evencoat.league.field import Match
from evencoat.league.rehearsal import true_shift_pitches

WRONG_AT_S, BUMP_AT_S, END_MIN = 480.0, 540.0, 12.0


class Upset:
    """The player: the adaptive law on a levelled line, begun anew with a wrong map; then a reverse bump, if any."""

    def __init__(self, match: Match, true_pitches: float, wrong_pitches: float, bump: bool) -> None:
        line = replace(match.line, control=replace(match.line.control, law=LawName.ADAPTIVE))
        self.config = core.configure(line, field.TURN_S)
        self.state = core.init(self.config, Mode.AUTO)
        self._true, self._wrong = true_pitches, wrong_pitches
        self._bump, self._t_s = bump, 0.0
        self.test: ReverseBump | None = None
        self._trace: Trace | None = None

    @property
    def off_pitches(self) -> float:
        """The believed alignment less the true one, zones."""
        die = self.config.line.die
        return die.alignment_shift_mm / die.zone_pitch_mm - self._true

    def turn(self, inputs: LineInputs) -> ActuatorCommand | None:
        """A turn of the field."""
        self._t_s += field.TURN_S
        if self._t_s == WRONG_AT_S:
            die = self.config.line.die
            told_mm = (self._true + self._wrong) * die.zone_pitch_mm
            line = replace(self.config.line, die=replace(die, alignment_shift_mm=told_mm))
            self.config = core.configure(line, field.TURN_S)
            self.state = core.init(self.config, Mode.AUTO)
        if self._bump and self._t_s == BUMP_AT_S:
            self.test = ReverseBump(self.config)
        asked = self.test.turn(self._trace) if self.test is not None and self._trace is not None else None
        self.state, command, self._trace = core.step(self.config, self.state, inputs, field.TURN_S, asked)
        self.config, self.state = core.renewed(self.config, self.state)
        return command


def played(family: str, seed: int, wrong_pitches: float, bump: bool) -> tuple[Upset, float]:
    """The player, and how far the true web went from target from the first bump on, over the tolerance."""
    match = field.draw(family, seed, END_MIN)
    match = replace(match, scenario=replace(match.scenario, plays=()))  # no new batch meanwhile
    player = Upset(match, true_shift_pitches(family, seed, match.line), wrong_pitches, bump)
    web = field.play(match, player).web
    during = (web.t_s >= BUMP_AT_S) & (web.ds_m > 0.0)
    return player, float(np.abs(web.deviation_pct()[during]).max()) / match.line.target.tolerance_pct
