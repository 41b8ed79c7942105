"""What a run is judged by: the true dry areal density, metre by metre, against target and tolerance.

One function, used by `evencoat sim`, the demo and the league, so that all figures mean the same. Every share and
average is by area: a row counts by the web it coated. Sigmas are RMS deviations from target, so that
sigma_total^2 = sigma_cd^2 + sigma_md^2; Cpk uses mean and standard deviation about the mean, as SPC defines it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

JUDGED_FROM_S = 600.0
EDGE_TRIM_SHARE = 0.02  # of the width, at each edge
OUT_WIDTH_SHARE = 0.02  # a metre is out of tolerance when more than this share of its width is
SETTLED_M = 30.0  # start-up ends where the web stays inside for so long
BATCH_WINDOW_S = 480.0


@dataclass(frozen=True, slots=True)
class TrueWeb:
    """What was really coated. Row k left the die at `t_s[k]` and covers `ds_m[k]` of web.

    areal_density_gsm: (rows, lanes), dry; target_gsm: (lanes,).
    """

    t_s: Array
    ds_m: Array
    areal_density_gsm: npt.NDArray[np.float32]
    target_gsm: Array
    tolerance_pct: float
    batch_changes_s: tuple[float, ...] = ()

    def deviation_pct(self) -> Array:
        """Deviation from target with the edges trimmed, (rows, lanes kept), percent."""
        lanes = self.target_gsm.size
        trim = round(lanes * EDGE_TRIM_SHARE)
        kept = slice(trim, lanes - trim)
        return 100.0 * (self.areal_density_gsm[:, kept].astype(np.float64) / self.target_gsm[kept] - 1.0)


@dataclass(frozen=True, slots=True)
class Score:
    """The figures of one run. None where a run was too short to say, or had no batch change."""

    sigma_total_pct: float
    sigma_cd_pct: float
    sigma_md_pct: float
    out_of_spec_ppm: float
    out_of_tolerance_m: float
    cpk: float
    startup_scrap_m: float
    batch_scrap_m: float | None
    coated_m: float
    judged_from_s: float

    def as_dict(self) -> dict[str, float | None]:
        """Keys as `evencoat sim --json` prints them."""
        return asdict(self)


def score(web: TrueWeb) -> Score:
    """Judge a run. Sigma, ppm and Cpk from minute 10 on (from the middle of a run shorter than 12 minutes).

    Raises ValueError for a run in which nothing was coated.
    """
    coated = web.ds_m > 0.0
    if not coated.any():
        raise ValueError("ds_m: nothing was coated in this run, so there is nothing to judge")
    t_s, ds_m = web.t_s[coated], web.ds_m[coated]
    deviation = web.deviation_pct()[coated]
    outside = np.abs(deviation) > web.tolerance_pct
    out_rows = outside.mean(axis=1) > OUT_WIDTH_SHARE
    from_s = JUDGED_FROM_S if t_s[-1] >= 1.2 * JUDGED_FROM_S else 0.5 * float(t_s[-1])
    judged = t_s >= from_s
    weight = ds_m[judged] / ds_m[judged].sum()
    sigma_cd, sigma_md, mean, spread = moments(deviation[judged], weight)
    return Score(
        sigma_total_pct=math.hypot(sigma_cd, sigma_md),
        sigma_cd_pct=sigma_cd,
        sigma_md_pct=sigma_md,
        out_of_spec_ppm=1e6 * float(weight @ outside[judged].mean(axis=1)),
        out_of_tolerance_m=float(ds_m[out_rows].sum()),
        cpk=(web.tolerance_pct - abs(mean)) / (3.0 * max(spread, 1e-9)),
        startup_scrap_m=_startup_scrap_m(ds_m, out_rows),
        batch_scrap_m=_batch_scrap_m(t_s, ds_m, out_rows, web.batch_changes_s),
        coated_m=float(ds_m.sum()),
        judged_from_s=from_s,
    )


def rms_pct(web: TrueWeb, rows: npt.NDArray[np.bool_]) -> float:
    """Sigma about target, CD and MD together, of some of the rows, percent. ValueError where nothing was coated."""
    if not web.ds_m[rows].any():
        raise ValueError("rows: nothing was coated on any of them, so there is nothing to judge")
    weight = web.ds_m[rows] / web.ds_m[rows].sum()
    return math.sqrt(float(weight @ (web.deviation_pct()[rows] ** 2).mean(axis=1)))


def moments(deviation: Array, weight: Array) -> tuple[float, float, float, float]:
    """Sigma CD and MD about target, mean, and standard deviation about the mean; all in percent."""
    level = deviation.mean(axis=1)
    cd = float(weight @ ((deviation - level[:, None]) ** 2).mean(axis=1))
    md = float(weight @ level**2)
    mean = float(weight @ level)
    return math.sqrt(cd), math.sqrt(md), mean, math.sqrt(max(cd + md - mean**2, 0.0))


def _startup_scrap_m(ds_m: Array, out_rows: npt.NDArray[np.bool_]) -> float:
    """Metres until the web stays inside for SETTLED_M; all of it when it never does."""
    end_m = np.cumsum(ds_m)
    inside_from_m = 0.0
    for end, out in zip(end_m.tolist(), out_rows.tolist(), strict=True):
        if out:
            inside_from_m = end
        elif end - inside_from_m >= SETTLED_M:
            return float(inside_from_m)
    return float(end_m[-1])


def _batch_scrap_m(
    t_s: Array, ds_m: Array, out_rows: npt.NDArray[np.bool_], changes_s: Sequence[float]
) -> float | None:
    if not changes_s:
        return None
    after = np.zeros(t_s.size, dtype=bool)
    for change_s in changes_s:
        after |= (t_s >= change_s) & (t_s < change_s + BATCH_WINDOW_S)
    return float(ds_m[after & out_rows].sum())
