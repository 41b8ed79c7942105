"""Runs to learn and judge forecasts on: lines of the families with faults drawn from the catalogue, traces and truth.

A run is played on the league's field (plant and controller directly, twice a second) with the law `adaptive`, and kept
as arrays by the names of Trace, with what was really coated beside them. Forecasts are learnt from runs of every family
and judged by runs of every family, with seeds of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from controller.line.description import LineDescription
from evencoat.league import field
from evencoat.league.field import Match
from evencoat.league.metrics import EDGE_TRIM_SHARE, OUT_WIDTH_SHARE
from evencoat.league.players import Core, player, tuned
from evencoat.settings import load_line
from plant_sim import families
from plant_sim.faults import DRIFTS, Play
from plant_sim.noise import generator
from plant_sim.plant import Readings
from plant_sim.scenario import Scenario

LEARNT: Mapping[str, tuple[int, ...]] = {  # seeds by family: as many of each, and none in which the judge lies
    "nominal": (7000, 7010, 7015, 7025, 29000, 29011, 29022),
    "wide-kernel": (7001, 7006, 7011, 7021, 29012, 29023, 7026),
    "noisy": (7012, 7017, 7022, 7027, 29002, 29024, 7032),
    "batch-changing": (7003, 7008, 7013, 7018, 29014, 29025, 7023),
    "fast-web": (7009, 7014, 7019, 7024, 29004, 29015, 7034),
    "shear-thinning": (19000, 19006, 19018, 19024, 29005, 29016, 29027),
    "misaligned": (19001, 19007, 19013, 19019, 29006, 29017, 29028),
    "backlash-heavy": (19002, 19008, 19014, 19020, 29007, 29018, 29029),
    "dry-scanner-only": (19003, 19009, 19015, 19021, 29008, 29030, 19027),
    "pilot-16": (19010, 19016, 19022, 19028, 29009, 29020, 29031),
    "line-40": (19005, 19011, 19017, 19023, 29010, 29021, 19035),
}
SEEDS_JUDGED = 39000  # where they begin; 9000 to 9029, 19000 to 19035 and 29000 to 29032 were looked at before
FIRST_S = 480.0  # before it nothing is played but drifts: the start is another matter
QUIET_SHARE = 0.25  # of all runs: drifts and batches alone

COLUMNS = (
    "t_line_ns", "web_m", "web_speed_mps", "line_state", "batch", "mode_actual", "wet_scan_id", "dry_scan_id",
    "profile_gsm", "profile_valid", "wet_bias_pct", "gap_um", "gap_law_um", "gap_target_um", "pump_trim_law_pct",
    "pump_trim_pct", "pump_speed_rpm", "pump_pressure_kpa", "limited_zones", "zone_not_following", "target_gsm",
    "batch_foretold_pct", "batch_foretold_sd_pct", "batch_step_pct", "batch_step_sd_pct", "batch_answered_pct",
    "wet_scan_gsm", "wet_scan_m", "dry_scan_gsm", "dry_scan_m",
)  # fmt: skip
SCANS = ("wet_scan_gsm", "dry_scan_gsm")  # empty in a cycle without one: kept as NaN

# What may be played of each, sizes either way: sudden, creeping, and what only waits until the line has to move.
SUDDEN: Mapping[str, tuple[float, float]] = {
    "pump-slip-step": (1.0, 4.0), "gauge-bias": (0.5, 2.5), "heavy-edges": (1.0, 6.0), "foil-step": (5.0, 15.0),
}  # fmt: skip
CREEPING: Mapping[str, tuple[float, float]] = {
    "gauge-drift": (2.0, 5.0), "lip-thermal-bow": (1.0, 8.0), "cd-temperature": (2.0, 10.0),
    "slurry-temperature": (4.0, 15.0), "filter-clog": (80.0, 400.0), "tank-level": (0.5, 3.0),
}  # fmt: skip
WAITING: Mapping[str, tuple[float, float]] = {
    "stuck-bolt": (1.0, 1.0), "dead-bolt": (1.0, 1.0), "reversed-bolt": (1.0, 1.0), "backlash-growth": (5.0, 30.0),
    "lip-stiction": (2.0, 15.0), "web-speed": (0.7, 0.9),
}  # fmt: skip
ONE_SIGN = frozenset({"filter-clog", "tank-level", "web-speed", "backlash-growth", "lip-stiction"})


@dataclass(frozen=True, slots=True)
class Case:
    """One run to play: a family, or a shipped line's name, and a seed."""

    family: str
    seed: int
    minutes: float

    @property
    def name(self) -> str:
        return f"{self.family}-{self.seed}-{self.minutes:g}"


def cases(learning: bool, runs: int, minutes: float) -> list[Case]:
    """So many runs, families in turn: those to learn from, of which there are no more than LEARNT has, or those to be
    judged by."""
    names = tuple(LEARNT)
    if not learning:
        return [Case(names[k % len(names)], SEEDS_JUDGED + k, minutes) for k in range(runs)]
    rounds = zip(*LEARNT.values(), strict=True)
    return [Case(name, seed, minutes) for seeds in rounds for name, seed in zip(names, seeds, strict=True)][:runs]


def lies(case: Case) -> bool:
    """Whether the gauge that judges is made to lie in it, or the foil under the film to change, which it cannot tell:
    what is forecast of its readings stays right then, and what is said of the web cannot."""
    match = match_of(case)
    judge = "dry" if match.line.dry_gauge is not None else "wet"
    own = {"gauge-bias", "gauge-drift"}
    return any(play.name == "foil-step" or (play.name in own and play.gauge == judge) for play in match.scenario.plays)


def match_of(case: Case) -> Match:
    """The line, its truth and its story, at the field's rate."""
    if case.family in families.FAMILIES:
        line, truth = families.draw(case.family, case.seed)
        told = families.scenario(case.family, case.seed, case.minutes)
        match = field.at_field_rate(Match(line, truth, told, case.seed, case.minutes))
    else:
        told = Scenario(case.family, "", tuple(Play(name) for name in DRIFTS))
        match = field.of_line(load_line(case.family, commissioned=False).line, told, case.seed, case.minutes)
    return replace(match, scenario=replace(told, plays=(*told.plays, *_faults(case, match.line))))


def _faults(case: Case, line: LineDescription) -> tuple[Play, ...]:
    """What befalls a run: none to three faults, each of a kind of its own, and often a batch of another size."""
    rng = generator(case.seed, "forecast.story")
    last_s = 60.0 * case.minutes - 300.0
    plays: list[Play] = []
    if last_s <= FIRST_S:  # too short for anything to be seen of it
        return ()
    if rng.random() < 0.7:
        front_s = float(np.exp(rng.uniform(np.log(30.0), np.log(900.0))))
        plays.append(
            Play("batch-change", rng.uniform(FIRST_S, last_s), front_s=front_s, size=float(rng.uniform(1.0, 2.5)))
        )
    if rng.random() < QUIET_SHARE:
        return tuple(plays)
    for kind in (SUDDEN, CREEPING, WAITING):
        if rng.random() < 0.6:
            plays.append(_fault(rng, str(rng.choice(sorted(kind))), kind, last_s))
    return tuple(plays)


def _fault(rng: np.random.Generator, name: str, kind: Mapping[str, tuple[float, float]], last_s: float) -> Play:
    low, high = kind[name]
    size = float(rng.uniform(low, high)) * (1.0 if name in ONE_SIGN else float(rng.choice((-1.0, 1.0))))
    if name in ("stuck-bolt", "dead-bolt", "reversed-bolt"):
        size = 1.0
    onset_s = float(rng.uniform(FIRST_S, 0.75 * last_s))
    lasts_s = float("inf") if kind is CREEPING else float(rng.uniform(300.0, 1200.0))
    gauge = "wet" if rng.random() < 0.8 else "dry"
    ramp_s = 30.0 if name == "web-speed" else float(rng.uniform(400.0, 1500.0))
    return Play(
        name, onset_s, lasts_s, size, ramp_s, at=float(rng.random()), gauge=gauge, width_mm=float(rng.uniform(5, 40))
    )


class _Kept:
    """A player that keeps what its core told, and a spectator that keeps what was so."""

    def __init__(self, match: Match, core: Core) -> None:
        self.core, self.zones = core, match.line.zones
        lanes = match.truth.lanes
        self._view = field.zone_view(match.line, lanes)
        trim = round(lanes * EDGE_TRIM_SHARE)
        self._counted = slice(trim, lanes - trim)
        share = match.line.target_profile_gsm / match.line.target_profile_gsm.mean()
        zone_of_lane = np.minimum((np.arange(lanes) + 0.5) * self.zones / lanes, self.zones - 1).astype(int)
        self._lane_share, self._tolerance = share[zone_of_lane], 0.01 * match.line.target.tolerance_pct
        self._really: Readings | None = None
        self.rows: dict[str, list[Any]] = {name: [] for name in (*COLUMNS, "true_gsm", "true_out", "true_ds_m")}

    def see(self, readings: Readings) -> None:
        self._really = readings

    def turn(self, inputs: Any) -> Any:
        command = self.core.turn(inputs)
        trace, really = self.core.trace, self._really
        assert trace is not None and really is not None
        told = trace._asdict()
        for name in COLUMNS:
            value = told[name]
            self.rows[name].append(np.full(self.zones, np.nan) if name in SCANS and not value.size else value)
        lanes = np.asarray(really.areal_density_gsm, dtype=np.float64)
        off = np.abs(lanes / (self._lane_share * trace.target_gsm) - 1.0)[self._counted]
        self.rows["true_gsm"].append(self._view @ lanes)
        self.rows["true_out"].append(float(np.mean(off > self._tolerance)) > OUT_WIDTH_SHARE)
        self.rows["true_ds_m"].append(really.coated_m)
        return command

    def arrays(self) -> dict[str, Any]:
        """(T,) and (T, zones), numbers in single precision but for the clock."""
        made = {name: np.asarray(rows) for name, rows in self.rows.items()}
        return {
            name: rows.astype(np.float32) if rows.dtype == np.float64 and name != "web_m" else rows
            for name, rows in made.items()
        }


def played(case: Case) -> dict[str, Any]:
    """The arrays of a run, played anew."""
    match = match_of(case)
    core = player("adaptive", match, tuned())
    assert isinstance(core, Core)
    kept = _Kept(match, core)
    field.play(match, kept, kept)
    return kept.arrays()


def recalled(case: Case, folder: Path) -> dict[str, Any]:
    """The same from a folder, where it is there; else it is played and kept."""
    path = folder / f"{case.name}.npz"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez(part, **played(case))
        part.replace(path)
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
