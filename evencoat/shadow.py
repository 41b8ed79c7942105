"""A recorded log through another controller, in shadow: what it would have asked, beside what the line did.

Both look at the same frames and move nothing. So a difference says what the other would have asked for from where the
line stood, not what would have come of it: the web answers to the controller that ran. A law that adds up errors, as
the PI does, runs on into its limits where nobody obeys it; the others reckon with the line's own moves.
evencoat.replay_commands shows it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from controller.core.trace import Trace
from controller.line.command import Outcome
from controller.line.description import Array
from controller.loop import Sink
from evencoat.league.rivals import LAWS, Rival, prepare
from evencoat.replay import Replayed, replay
from evencoat.settings import Settings


@dataclass(frozen=True, slots=True)
class Difference:
    """Another controller's wish less something else, over the cycles in which it knew enough to wish.

    Lips in um over all zones, trim in percent of the recipe's pump ratio.
    """

    cycles: int
    lips_rms_um: float
    lips_most_um: float
    lips_most_zone: int  # counted from 1
    trim_mean_pct: float
    trim_rms_pct: float
    trim_most_pct: float

    @classmethod
    def of(cls, lips_um: Array, trim_pct: Array) -> Difference:
        """From differences of shape (T, zones) and (T,)."""
        if not trim_pct.size:
            return cls(0, math.nan, math.nan, 0, math.nan, math.nan, math.nan)
        most = np.unravel_index(int(np.abs(lips_um).argmax()), lips_um.shape)
        return cls(
            cycles=int(trim_pct.size),
            lips_rms_um=float(np.sqrt(np.mean(lips_um**2))),
            lips_most_um=float(lips_um[most]),
            lips_most_zone=int(most[1]) + 1,
            trim_mean_pct=float(trim_pct.mean()),
            trim_rms_pct=float(np.sqrt(np.mean(trim_pct**2))),
            trim_most_pct=float(trim_pct[np.abs(trim_pct).argmax()]),
        )


@dataclass(frozen=True, slots=True)
class Shadow:
    """What came of it. `line`: against where lips and pump stood; `own`: against the line's own law, in shadow too."""

    controller: str
    own_law: str
    replayed: Replayed
    line: Difference
    own: Difference
    web_m: Array
    lips_um: Array  # (T, zones): wish of the other less where the lips stood
    trim_pct: Array  # (T, 3): the other's wish, the own law's, and where the pump stood

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "controller": self.controller,
            "own_law": self.own_law,
            "against_the_line": asdict(self.line),
            "against_the_own_law": asdict(self.own),
            "replayed": self.replayed.as_dict(),
        }


class _Wishes:
    """A sink that keeps what was asked and where things stood, and hands on."""

    def __init__(self, sink: Sink | None = None) -> None:
        self._sink = sink
        self._rows: list[tuple[float, Array, Array, float, float, bool]] = []

    def record(self, trace: Trace, step_us: float, lateness_us: float) -> None:
        if self._sink is not None:
            self._sink.record(trace, step_us, lateness_us)
        knew = trace.outcome is Outcome.OK and bool(
            np.isfinite(trace.gap_target_um).all() and np.isfinite(trace.gap_um).all()
        )
        knew = knew and bool(np.isfinite(trace.pump_trim_pct + trace.pump_trim_applied_pct))
        row = trace.web_m, trace.gap_target_um, trace.gap_um, trace.pump_trim_pct, trace.pump_trim_applied_pct, knew
        self._rows.append(row)

    def arrays(self) -> tuple[Any, ...]:
        """web_m, lips asked, lips as they stood, trim asked, trim as it stood, and whether it knew enough."""
        return tuple(np.asarray(column) for column in zip(*self._rows, strict=True))


def shadow(
    settings: Settings,
    log: Path,
    rival: Rival,
    sink: Sink | None = None,
    speed: float = 1.0,
    progress: Callable[[float], None] | None = None,
) -> Shadow:
    """Play a log through the line's own law and through another. Raises what replay raises, ValueError for no law."""
    if rival not in LAWS:
        raise ValueError(f"controller: {rival} has no law that could look on; choose {', '.join(LAWS)}")
    line, _ = prepare(settings.line, rival)
    others, owns = _Wishes(sink), _Wishes()
    replayed = replay(replace(settings, line=line), log, others, speed, progress)
    replay(settings, log, owns, speed, progress)
    if not replayed.cycles:
        raise ValueError(f"{log}: holds no cycle of this line")
    web_m, lips, stood, trim, trim_stood, knew = others.arrays()
    _, own_lips, _, own_trim, _, own_knew = owns.arrays()
    both = knew & own_knew
    return Shadow(
        controller=str(rival),
        own_law=str(settings.line.control.law),
        replayed=replayed,
        line=Difference.of((lips - stood)[knew], (trim - trim_stood)[knew]),
        own=Difference.of((lips - own_lips)[both], (trim - own_trim)[both]),
        web_m=web_m[knew],
        lips_um=(lips - stood)[knew],
        trim_pct=np.stack((trim, own_trim, trim_stood), axis=1)[knew],
    )


def draw(told: Shadow, path: Path) -> Path:
    """The differences along the web as a picture. Returns `path`. Raises OSError."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 5.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    most_um = max(float(np.abs(told.lips_um).max(initial=0.0)), 1.0)
    zones = np.arange(1, told.lips_um.shape[1] + 1)
    every = max(told.web_m.size // 1000, 1)
    shown = above.pcolormesh(
        told.web_m[::every],
        zones,
        told.lips_um[::every].T,
        cmap="RdBu_r",
        vmin=-most_um,
        vmax=most_um,
        shading="nearest",
    )
    figure.colorbar(shown, ax=above, label="um")
    above.set(ylabel="zone", title=f"{told.controller} in shadow: lips it would have asked for, less where they stood")
    for column, label in enumerate((f"{told.controller} would ask", f"{told.own_law} would ask", "as it was")):
        below.plot(told.web_m[::every], told.trim_pct[::every, column], label=label, linewidth=1.0)
    below.set(xlabel="web, m", ylabel="pump trim, %")
    below.legend(fontsize="small")
    figure.savefig(path, dpi=100)
    return path
