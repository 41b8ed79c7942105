"""The forecast itself: cycles in, what the coming metres will be and how sure that is. Pure: no clock, file or chance.

What is forecast is the areal density of a metre of web by zone, at the moment it leaves the die, so many seconds of web
from now. It is judged by the gauge behind the dryer (the only one where there is no other) when that metre gets there.

Each horizon has a regression of its own, one for the shapes, shared by all zones, and one for the mean: what the
closed loop leaves is a few weights on what is known now, learnt from every scan with old ones fading, from priors that
were learnt before (rules.json). The spread is a sum of what misses were of late and of signs of unrest, less the noise
of the gauge that found them. Factors on it, one a level, follow how often scans really fell inside (adaptive conformal
inference: Gibbs and Candes 2021), so that intervals cover what they say also where the rest is wrong. They widen the
web's share of what a scan may miss by and leave the gauge's noise alone: where most of a scan is noise, a factor on
both would tell the web's intervals but a part of what the scans have shown.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, NamedTuple

import numpy as np

from controller.core.response import believe
from controller.line.description import Array, LineDescription
from controller.line.profile import LineState
from evencoat.league.metrics import OUT_WIDTH_SHARE

HORIZONS_S = (0.0, 15.0, 30.0, 60.0, 120.0, 300.0)
LEVELS = (0.5, 0.8, 0.95)
SHAPE_FEATURES = ("now", "of late", "out of reach", "dry of late", "dry for long", "dry less belief", "lips under way")
MEAN_FEATURES = ("now", "of late", "dry of late", "dry for long", "dry less belief", "batch to come", "trim under way")
SHAPE_SIGNS = ("missed long", "missed late", "now", "unrest", "lips under way", "noise", "floor")
MEAN_SIGNS = (
    "missed long", "missed late", "now", "unrest", "dry less belief", "batch", "trim under way", "speed", "noise",
    "pulse", "floor",
)  # fmt: skip
CHANCE_FEATURES = (
    "always", "normal log odds", "out of late", "nearest to tolerance", "batch in doubt", "batch is young", "seen out",
)  # fmt: skip
SOON_S = 120.0  # of web that a warning is about
LOOK_S = 1.0  # between two forecasts
LATE_S, LONG_SCANS, LATE_SCANS = 30.0, 100.0, 15.0
MISSED_LONG_S, MISSED_LATE_S = 600.0, 45.0
MEMORY_S = 900.0  # of the regressions
RIDGE = 4.0  # how much the priors weigh, in squares of tolerances
BATCH_S = 900.0  # for which a new batch is in doubt
UNREST_S, YOUNG_S, SEEN_OUT_S = 60.0, 90.0, 5.0
PULSE_S = 60.0
OUT_LATE_SCANS = 15.0
FLOOR = 0.03  # of the tolerance
NORMAL = np.array((0.67449, 1.28155, 1.95996))  # half widths of LEVELS where all is normal, in standard deviations
ACCURACY_PCT = {True: (0.5, 0.4), False: (0.05, 0.04)}  # of a wet gauge, and a dry one: of zones, of all; data sheets
SEEN_LEAST = 0.25  # of the spread that a gauge sees in any case
NORMAL_ODDS_MOST = 7.0  # beyond it the tails of a normal distribution say nothing of a line
ODDS_MOST = 12.0  # log odds, either way
STEP = 0.01  # of the factors, for one scan
PATIENCE_S = 120.0
FACTOR_LEAST, FACTOR_MOST = 0.3, 5.0
START_MISSED = 0.2  # of the tolerance, before anything was seen
JUMP_M = 0.75  # seconds of web beside its metre that a scan may lie
CLIP = 10.0  # tolerances; beyond this a zone is told as this
LEAST_SPEED = 0.05  # of nominal, below which nothing is forecast
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
MISSING = 12.0  # normal deviations that stand for never


class Rules(NamedTuple):
    """What was learnt before, by horizon: weights (horizons, features), signs' shares of the spread, chances."""

    shape: Array
    mean: Array
    shape_spread: Array
    mean_spread: Array
    half: Array  # (horizons, levels): half widths in standard deviations that factors begin from, of a zone
    mean_half: Array  # the same of the mean
    web: Array  # (horizons, levels): what remains to be multiplied when factors have followed the scans, of a zone
    mean_web: Array  # the same of the mean
    chance: Array  # (horizons, chance features): of the log odds of a metre out
    soon: Array  # (chance features,): of the log odds of any metre out in the next SOON_S


def shipped() -> Rules:
    """The rules that come with the package: benchmarks/forecast_rules.py makes them."""
    text = resources.files("evencoat.forecast").joinpath("rules.json").read_text(encoding="utf-8")
    found = json.loads(text)
    return Rules(*(np.asarray(found[name], dtype=np.float64) for name in Rules._fields))


class Forecast(NamedTuple):
    """What is expected of the metre that leaves the die in each of HORIZONS_S. Percent are of deviation from target.

    expected_pct, sd_pct: (horizons, zones); half_pct: (horizons, levels, zones), half widths of LEVELS; mean_*: the
    same of the mean of the profile; out: (horizons, zones), chance that the zone's metre is beyond tolerance;
    metre_out: (horizons,), that more than OUT_WIDTH_SHARE of the width is; soon: that it is in any metre of
    the next SOON_S.
    """

    t_ns: int
    web_m: float
    at_m: Array
    target_gsm: Array
    expected_pct: Array
    sd_pct: Array
    half_pct: Array
    mean_pct: Array
    mean_sd_pct: Array
    mean_half_pct: Array
    out: Array
    metre_out: Array
    soon: float


class Found(NamedTuple):
    """A scan beside the forecast of its metre, percent. inside: (levels,), share of zones that fell inside of what a
    scan was expected within when it was forecast, the gauge's noise included; mean_inside: (levels,), whether the mean
    did."""

    horizon: int
    at_m: float
    missed_pct: Array
    mean_missed_pct: float
    inside: Array
    mean_inside: Array
    noise_pct: float


class Look(NamedTuple):
    """What is kept of one forecast until its metres have been seen; in tolerances."""

    web_m: float
    target_gsm: float
    fused: Array
    at_m: Array
    shape_x: Array
    mean_x: Array
    expected: Array
    mean: Array
    shape_var: Array
    mean_var: Array
    half: Array  # (horizons, levels), in standard deviations, as told
    mean_half: Array
    signs: tuple[Array, Array]


@dataclass
class Regression:
    """Weighted sums of one kind of forecast, all horizons: (horizons, features, features) and (horizons, features)."""

    squares: Array
    sums: Array
    prior: Array

    @staticmethod
    def from_prior(prior: Array) -> Regression:
        horizons, features = prior.shape
        return Regression(np.zeros((horizons, features, features)), np.zeros((horizons, features)), prior)

    def weights(self) -> Array:
        """(horizons, features)."""
        ridge = RIDGE * np.eye(self.prior.shape[1])
        found = np.linalg.solve(self.squares + ridge, (self.sums + RIDGE * self.prior)[..., None])[..., 0]
        return np.asarray(found, dtype=np.float64)

    def learn(self, horizon: int, x: Array, y: Array, keep: float) -> None:
        """One scan: x (samples, features), y (samples,)."""
        self.squares[horizon] = keep * self.squares[horizon] + x.T @ x / y.size
        self.sums[horizon] = keep * self.sums[horizon] + y @ x / y.size


class Forecaster:
    """Looks at the cycles of one line, in order. `forecast` is the newest one, None before there is any."""

    def __init__(self, line: LineDescription, rules: Rules | None = None) -> None:
        self.line, self.rules = line, rules or shipped()
        zones, count = line.zones, len(HORIZONS_S)
        self._gauge, self._primary = line.dry_gauge or line.primary_gauge, line.primary_gauge
        self._scan_of = "wet" if line.dry_gauge is None else "dry"
        self._tolerance = line.target.tolerance_pct
        self._share = line.target_profile_gsm / line.target_profile_gsm.mean()
        response = believe(line)
        self._effects = response.matrix.T * 100.0 / self._tolerance
        self._reach = response.profiles @ response.profiles.T
        self._shape, self._mean = Regression.from_prior(self.rules.shape), Regression.from_prior(self.rules.mean)
        self._weights = self.rules.shape, self.rules.mean
        self.forecast: Forecast | None = None
        self.found: list[Found] = []  # by the newest scan
        self.newest: Look | None = None
        self.chance_x, self.soon_x = np.zeros((count, len(CHANCE_FEATURES))), np.zeros(len(CHANCE_FEATURES))
        self._looks: list[Look] = []
        self._looked_m: list[float] = []
        self._at = [0] * count  # of each horizon: the look whose metre was found last
        self._t_ns = -1
        self._scan = -1
        self._scans = 0
        self._late = np.zeros(zones)
        self._unrest = np.zeros(zones)
        self._mean_unrest = 0.0
        self._dry_late, self._dry_long = np.zeros(zones), np.zeros(zones)
        self._apart = np.zeros(zones)  # dry less belief
        self._before: Array | None = None
        self._blind = [(size / self._tolerance) ** 2 for size in ACCURACY_PCT[self._gauge.is_wet]]
        self._noise: float = (0.5 * self._gauge.noise_pct / self._tolerance) ** 2
        start = START_MISSED**2
        self._missed_long, self._missed_late = np.full((count, zones), start), np.full(count, start)
        self._mean_long, self._mean_late = np.full(count, start), np.full(count, start)
        self._factor, self._mean_factor = np.ones((count, len(LEVELS))), np.ones((count, len(LEVELS)))
        self._out_late = 0.0  # share of scans that were out
        self._seen_out = 0.0  # share of looks in which the web was believed out
        self._doubt = 0.0  # of the newest batch
        self._pulse, self._wet_mean, self._wet_scan = 0.0, math.nan, -1
        self._wet_before: Array | None = None
        self._batch, self._batch_s = -1, math.inf
        self._speed, self._speed_moved = math.nan, 0.0

    def see(self, cycle: Mapping[str, Any]) -> bool:
        """One cycle by the names of Trace. True where it brought a new forecast."""
        self.found = []
        scan = int(cycle[f"{self._scan_of}_scan_id"])
        if scan >= 0 and scan != self._scan:
            self._scan = scan
            self._measured(cycle)
        if self.line.wet_gauge is not None and int(cycle["wet_scan_id"]) not in (-1, self._wet_scan):
            self._wet_scan = int(cycle["wet_scan_id"])
            self._beat(np.asarray(cycle["wet_scan_gsm"], dtype=np.float64))
        t_ns = int(cycle["t_line_ns"])
        dt_s = (t_ns - self._t_ns) / 1e9 if self._t_ns >= 0 else LOOK_S
        if 0.0 <= dt_s < LOOK_S - 1e-3:
            return False
        self._t_ns = t_ns
        speed = _number(cycle["web_speed_mps"])
        runs = int(cycle["line_state"]) == LineState.RUNNING and speed > LEAST_SPEED * self.line.web_speed_mps
        if not runs or not math.isfinite(_number(cycle["web_m"])):
            self.forecast = None
            return False
        self._look(cycle, speed, min(dt_s, 10.0) if dt_s > 0.0 else LOOK_S)
        return True

    def _beat(self, gsm: Array) -> None:
        """How much the mean changes from one scan of the wet gauge to the next, less its noise: the pump's pulse."""
        if gsm.size != self.line.zones:
            return
        off = np.clip((gsm / gsm.mean() - 1.0) * (100.0 / self._tolerance), -CLIP, CLIP)
        level = 100.0 / self._tolerance * math.log(max(gsm.mean(), 1e-6))  # NaN where a zone is
        if self._wet_before is not None and math.isfinite(level - self._wet_mean):
            noise = 0.5 * float(np.var(off - self._wet_before)) / off.size
            jump = min(max(0.5 * (level - self._wet_mean) ** 2 - noise, 0.0), 1.0)
            self._pulse += self.line.primary_gauge.period_s / PULSE_S * (jump - self._pulse)
        self._wet_before, self._wet_mean = off, level

    # --- looking ahead -------------------------------------------------------------------------------------------

    def _look(self, cycle: Mapping[str, Any], speed: float, dt_s: float) -> None:
        target = _number(cycle["target_gsm"])
        target = target if math.isfinite(target) else float(self.line.target_profile_gsm.mean())
        fused = self._off(np.asarray(cycle["profile_gsm"], dtype=np.float64), target, self._late)
        out = float(np.count_nonzero(np.abs(fused) > 1.0) > OUT_WIDTH_SHARE * fused.size)
        self._seen_out += (1.0 - math.exp(-dt_s / SEEN_OUT_S)) * (out - self._seen_out)
        share = 1.0 - math.exp(-dt_s / LATE_S)
        self._late = self._late + share * (fused - self._late)
        calm = 1.0 - math.exp(-dt_s / UNREST_S)
        away = fused - self._late
        self._unrest += calm * ((away - away.mean()) ** 2 - self._unrest)
        self._mean_unrest += calm * (away.mean() ** 2 - self._mean_unrest)
        shape_x, mean_x = self._features(cycle, fused)
        signs = self._signs(cycle, fused, shape_x, mean_x, speed, dt_s)
        expected, mean = self._expected(shape_x, mean_x)
        shape_var, mean_var = self._spread(signs)
        web_m = _number(cycle["web_m"])
        at_m = web_m + speed * np.asarray(HORIZONS_S)
        rules = self.rules  # levels follow by themselves: the wider must not become the narrower
        half = np.maximum.accumulate(self._factor * rules.half * rules.web, axis=1)
        mean_half = np.maximum.accumulate(self._mean_factor * rules.mean_half * rules.mean_web, axis=1)
        look = Look(
            web_m, target, fused, at_m, shape_x, mean_x, expected, mean, shape_var, mean_var, half, mean_half, signs
        )
        self._keep(look)
        self.newest = look
        self.forecast = self._told(look, int(cycle["t_line_ns"]))

    def _expected(self, shape_x: Array, mean_x: Array) -> tuple[Array, Array]:
        """Shapes (horizons, zones) and mean (horizons,), in tolerances."""
        shape_weights, mean_weights = self._weights
        expected = shape_weights @ shape_x.T
        return expected - expected.mean(axis=1, keepdims=True), mean_weights @ mean_x

    def _spread(self, signs: tuple[Array, Array]) -> tuple[Array, Array]:
        """Variances of the shapes (horizons, zones) and of the mean (horizons,), squares of tolerances."""
        shape = np.einsum("hs,hsz->hz", self.rules.shape_spread, signs[0])
        return shape, np.einsum("hs,hs->h", self.rules.mean_spread, signs[1])

    def _off(self, gsm: Array, target: float, instead: Array) -> Array:
        """Deviation from target in tolerances; what is missing is told as `instead`."""
        off = (gsm / (target * self._share) - 1.0) * (100.0 / self._tolerance)
        return np.where(np.isfinite(off), np.clip(off, -CLIP, CLIP), instead)

    def _features(self, cycle: Mapping[str, Any], fused: Array) -> tuple[Array, Array]:
        """(zones, shape features) and (mean features,), in tolerances."""
        gap_um = np.asarray(cycle["gap_um"], dtype=np.float64)
        law_um = np.asarray(cycle["gap_law_um"], dtype=np.float64)
        way = np.clip(np.nan_to_num(law_um - gap_um) @ self._effects, -CLIP, CLIP)
        late = self._late - self._late.mean()
        beyond = late - self._reach @ late
        parts = (fused, self._late, beyond, self._dry_late, self._dry_long, self._apart, way)
        shape = np.column_stack([part - part.mean() for part in parts])
        step, answered = _number(cycle["batch_step_pct"]), _number(cycle["batch_answered_pct"])
        to_come = step - answered if math.isfinite(step + answered) and self._batch_s < BATCH_S else 0.0
        trim = _number(cycle["pump_trim_law_pct"]) - _number(cycle["pump_trim_pct"])
        trim = trim if math.isfinite(trim) else 0.0
        mean = np.array(
            [part.mean() for part in (fused, self._late, self._dry_late, self._dry_long, self._apart)]
            + [to_come / self._tolerance, trim / self._tolerance]
        )
        return shape, np.clip(mean, -CLIP, CLIP)

    def _signs(
        self, cycle: Mapping[str, Any], fused: Array, shape_x: Array, mean_x: Array, speed: float, dt_s: float
    ) -> tuple[Array, Array]:
        """What the spread is made of: (horizons, signs, zones) and (horizons, signs), squares of tolerances."""
        count, zones = len(HORIZONS_S), fused.size
        batch = int(cycle["batch"])
        if batch != self._batch:
            self._batch, self._batch_s = batch, math.inf if self._batch == -1 else 0.0
        self._batch_s += dt_s
        doubt = _number(cycle["batch_step_sd_pct"]) / self._tolerance
        self._doubt = doubt if self._batch_s < BATCH_S and math.isfinite(doubt) else 0.0
        before = self._speed if math.isfinite(self._speed) else speed
        moved = abs(speed - before) / self.line.web_speed_mps / dt_s
        self._speed, self._speed_moved = speed, max(self._speed_moved * math.exp(-dt_s / UNREST_S), moved)
        floor = FLOOR**2
        shape = np.empty((count, len(SHAPE_SIGNS), zones))
        shape[:, 0] = self._missed_long
        shape[:, 1] = self._missed_late[:, None]
        shape[:, 2] = shape_x[:, 0] ** 2
        shape[:, 3] = self._unrest
        shape[:, 4] = shape_x[:, -1] ** 2
        shape[:, 5] = self._noise
        shape[:, 6] = floor
        mean = np.empty((count, len(MEAN_SIGNS)))
        mean[:, 0] = self._mean_long
        mean[:, 1] = self._mean_late
        mean[:, 2:] = (
            mean_x[0] ** 2, self._mean_unrest, mean_x[4] ** 2, self._doubt**2, mean_x[6] ** 2, self._speed_moved**2,
            self._noise / zones, self._pulse, floor,
        )  # fmt: skip
        return shape, mean

    def _told(self, look: Look, t_ns: int) -> Forecast:
        var = look.shape_var + look.mean_var[:, None]
        sd, mean_sd = np.sqrt(var), np.sqrt(look.mean_var)
        expected = look.mean[:, None] + look.expected
        half = look.half[:, :, None] * sd[:, None, :]
        mean_half = look.mean_half * mean_sd[:, None]
        wide, mean_wide = look.half[:, -1] / NORMAL[-1], look.mean_half[:, -1] / NORMAL[-1]
        shape_sd = wide[:, None] * np.sqrt(look.shape_var)
        chance = metre_chance(look.mean, mean_wide * mean_sd, look.expected, shape_sd)
        self.chance_x = self._chance_features(chance, expected)
        metre_out = _share_of(np.einsum("hf,hf->h", self.rules.chance, self.chance_x))
        self.soon_x = self.chance_x[: bisect_right(HORIZONS_S, SOON_S)].max(axis=0)
        soon = float(_share_of(self.rules.soon @ self.soon_x))
        out = beyond(expected, wide[:, None] * sd)
        percent = self._tolerance
        return Forecast(
            t_ns, look.web_m, look.at_m, look.target_gsm * self._share, percent * expected, percent * sd,
            percent * half, percent * look.mean, percent * mean_sd, percent * mean_half, out, metre_out, soon,
        )  # fmt: skip

    def _chance_features(self, chance: Array, expected: Array) -> Array:
        """(horizons, chance features): what the odds of a metre out are made of."""
        made = np.empty((chance.size, len(CHANCE_FEATURES)))
        made[:, 0] = 1.0
        made[:, 1] = np.clip(np.log(chance) - np.log1p(-chance), -NORMAL_ODDS_MOST, NORMAL_ODDS_MOST)
        share = min(max(self._out_late, 0.005), 0.995)
        made[:, 2] = math.log(share / (1.0 - share))
        made[:, 3] = np.minimum(np.abs(expected).max(axis=1), 2.0)
        made[:, 4] = min(self._doubt, 2.0)
        made[:, 5] = math.exp(-self._batch_s / YOUNG_S)
        made[:, 6] = self._seen_out
        return made

    def _keep(self, look: Look) -> None:
        if self._looked_m and look.web_m < self._looked_m[-1]:  # a new web
            self._looks, self._looked_m, self._at = [], [], [0] * len(HORIZONS_S)
        self._looks.append(look)
        self._looked_m.append(look.web_m)
        last_m = HORIZONS_S[-1] * self.line.web_speed_max_mps + 1.5 * self._gauge.distance_m
        if len(self._looks) >= 256 and len(self._looks) % 64 == 0:
            drop = bisect_right(self._looked_m, look.web_m - last_m)
            if drop:
                del self._looks[:drop], self._looked_m[:drop]
                self._at = [max(at - drop, 0) for at in self._at]

    # --- looking back --------------------------------------------------------------------------------------------

    def _measured(self, cycle: Mapping[str, Any]) -> None:
        """A scan of the gauge that judges."""
        at_m = _number(cycle[f"{self._scan_of}_scan_m"]) - self._gauge.distance_m
        gsm = np.asarray(cycle[f"{self._scan_of}_scan_gsm"], dtype=np.float64)
        k = bisect_right(self._looked_m, at_m) - 1
        if gsm.size != self.line.zones or not math.isfinite(at_m) or k < 0 or not np.isfinite(gsm).any():
            return
        off = self._off(gsm, self._looks[k].target_gsm, np.full(gsm.size, np.nan))
        seen = np.isfinite(off)
        off = np.where(seen, off, off[seen].mean())
        self._scans += 1
        period_s = self._gauge.period_s
        if self._before is not None:
            jump = off - self._before
            noise = 0.5 * float(np.var(jump[seen])) if seen.sum() > 2 else self._noise
            self._noise += min(max(1.0 / self._scans, period_s / 300.0), 1.0) * (min(noise, 1.0) - self._noise)
        self._before = off
        out = float(np.count_nonzero(np.abs(off) > 1.0) > OUT_WIDTH_SHARE * off.size)
        self._out_late += max(1.0 / self._scans, 1.0 / OUT_LATE_SCANS) * (out - self._out_late)
        believed = bisect_right(self._looked_m, at_m + self._primary.distance_m) - 1
        share = max(1.0 / self._scans, 1.0 / LATE_SCANS)
        self._dry_late = self._dry_late + share * (off - self._dry_late)
        self._apart = self._apart + share * (off - self._looks[believed].fused - self._apart)
        self._dry_long = self._dry_long + max(1.0 / self._scans, 1.0 / LONG_SCANS) * (off - self._dry_long)
        for horizon in range(len(HORIZONS_S)):
            look = self._look_of(horizon, at_m)
            if look is not None:
                self._judge(horizon, look, off, at_m, period_s)
        self._renew()

    def _renew(self) -> None:
        self._weights = self._shape.weights(), self._mean.weights()

    def _look_of(self, horizon: int, at_m: float) -> Look | None:
        """The forecast of that metre, where there is one."""
        at, looks = self._at[horizon], self._looks
        while at + 1 < len(looks) and looks[at + 1].at_m[horizon] <= at_m:
            at += 1
        self._at[horizon] = at
        look = looks[at]
        near_m = JUMP_M * self.line.web_speed_max_mps * max(LOOK_S, 1.0)
        return look if abs(float(look.at_m[horizon]) - at_m) <= 2.0 * near_m else None

    def _judge(self, horizon: int, look: Look, off: Array, at_m: float, period_s: float) -> None:
        mean = float(off.mean())
        shape = off - mean
        missed, mean_missed = shape - look.expected[horizon], mean - float(look.mean[horizon])
        whole = missed + mean_missed
        noise, zones = self._noise, off.size
        shape_var, mean_var = look.shape_var[horizon], float(look.mean_var[horizon])
        mean_seen = max(mean_var - self._blind[1], SEEN_LEAST * mean_var)
        seen = np.maximum(shape_var - self._blind[0], SEEN_LEAST * shape_var) + mean_seen
        of_zones, of_mean = (whole**2, seen, noise), (mean_missed**2, mean_seen, noise / zones)
        inside, mean_inside = held(look.half[horizon], *of_zones), held(look.mean_half[horizon], *of_mean)
        now = held(self._factor[horizon] * self.rules.half[horizon], *of_zones)
        mean_now = held(self._mean_factor[horizon] * self.rules.mean_half[horizon], *of_mean)
        patience = 1.0 + HORIZONS_S[horizon] / PATIENCE_S  # who is answered late must not narrow in a lull
        self._follow(horizon, now, mean_now, STEP * min(period_s, 5.0) / patience)
        late, long = (min(1.0, period_s / over_s) for over_s in (MISSED_LATE_S, MISSED_LONG_S))
        missed2 = np.maximum(missed**2 - noise * (1.0 - 1.0 / zones), -noise)
        self._missed_long[horizon] = np.maximum(
            self._missed_long[horizon] + long * (missed2 - self._missed_long[horizon]), 0.0
        )
        self._missed_late[horizon] += late * (float(missed2.mean()) - self._missed_late[horizon])
        self._missed_late[horizon] = max(self._missed_late[horizon], 0.0)
        mean2 = max(mean_missed**2 - noise / zones, 0.0)
        self._mean_long[horizon] += long * (mean2 - self._mean_long[horizon])
        self._mean_late[horizon] += late * (mean2 - self._mean_late[horizon])
        self._learn(horizon, look, shape, mean, math.exp(-period_s / MEMORY_S))
        percent = self._tolerance
        self.found.append(
            Found(
                horizon, at_m, percent * whole, percent * mean_missed, inside, mean_inside, percent * math.sqrt(noise)
            )
        )

    def _follow(self, horizon: int, inside: Array, mean_inside: Array, step: float) -> None:
        """Wider where too few fell inside, narrower where too many did."""
        wanted = np.asarray(LEVELS)
        for factor, was in ((self._factor, inside), (self._mean_factor, mean_inside)):
            moved = factor[horizon] * np.exp(step * (wanted - was))
            factor[horizon] = np.clip(moved, FACTOR_LEAST, FACTOR_MOST)

    def _learn(self, horizon: int, look: Look, shape: Array, mean: float, keep: float) -> None:
        self._shape.learn(horizon, look.shape_x, shape, keep)
        self._mean.learn(horizon, look.mean_x[None, :], np.array([mean]), keep)


def held(half: Array, missed2: Array | float, seen: Array | float, noise: float) -> Array:
    """(levels,): share of squared misses of a scan within half widths of so many standard deviations of the web, whose
    variance is `seen`, with the gauge's noise about it."""
    inside: Array = (missed2 <= half[:, None] ** 2 * seen + NORMAL[:, None] ** 2 * noise).mean(axis=1)
    return inside


def beyond(expected: Array, sd: Array) -> Array:
    """Chance that something expected so, in tolerances, and normally spread, lies beyond tolerance."""
    sd = np.maximum(sd, 1e-9)
    return normal(-(1.0 + expected) / sd) + normal(-(1.0 - expected) / sd)


def metre_chance(mean: Array, mean_sd: Array, shape: Array, shape_sd: Array) -> Array:
    """Chance that more than OUT_WIDTH_SHARE of the width lies beyond tolerance, (horizons,).

    mean, mean_sd: (horizons,); shape, shape_sd: (horizons, zones), in tolerances. Given the mean, over which is summed
    by Gauss and Hermite, zones are taken as independent, and how many are out as a Poisson number.
    """
    zones = shape.shape[1]
    need = max(1, math.ceil(OUT_WIDTH_SHARE * zones - 0.5))
    level = mean[:, None] + mean_sd[:, None] * NODES  # (horizons, nodes)
    out = np.minimum(beyond(level[:, :, None] + shape[:, None, :], shape_sd[:, None, :]), 1.0 - 1e-12)
    expected = -np.log1p(-out).sum(axis=2)
    fewer, term = np.exp(-expected), np.exp(-expected)
    for k in range(1, need):
        term = term * expected / k
        fewer = fewer + term
    chance: Array = np.clip((1.0 - fewer) @ WEIGHTS, 1e-9, 1.0 - 1e-9)
    return chance


def normal(z: Array) -> Array:
    """The normal distribution's probability below z, to 1e-7 (Abramowitz and Stegun 26.2.17)."""
    size = np.minimum(np.abs(z), MISSING)
    t = 1.0 / (1.0 + 0.2316419 * size)
    series = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    above = np.exp(-0.5 * size**2) * series / math.sqrt(2.0 * math.pi)
    return np.where(z > 0.0, 1.0 - above, above)


def _share_of(odds: Array) -> Array:
    """A chance from its log odds."""
    share: Array = 1.0 / (1.0 + np.exp(-np.clip(odds, -ODDS_MOST, ODDS_MOST)))
    return share


def _number(value: Any) -> float:
    """A figure that may be missing."""
    return math.nan if value is None else float(value)
