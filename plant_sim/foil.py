"""The foil under the coating: what of its thickness a mass gauge takes for coating. Pure functions.

A gauge behind the oven weighs foil and coating together and takes off the foil it was told of, so a foil that differs
is coating that is not there. The plant's gauges are given no foil yet (see docs/plant.md). Imported by the oracles,
the tour, tests.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.line.description import Array

ALUMINIUM_KGM3 = 2700.0
COPPER_KGM3 = 8960.0


@dataclass(frozen=True, slots=True)
class Foil:
    """A current collector as ordered, and how it absorbs: `attenuation_ratio` is its mass attenuation over the
    coating's (1 for beta rays, which see mass; far above 1 for X-rays on copper)."""

    thickness_um: float
    density_kgm3: float
    attenuation_ratio: float = 1.0

    @property
    def areal_density_gsm(self) -> float:
        """Mass of the foil: 1 um of 1000 kg/m3 is 1 g/m2."""
        return self.thickness_um * self.density_kgm3 * 1e-3


def leak_gsm(foil: Foil, thickness_pct: Array) -> Array:
    """Coating that is not there: what a foil thicker than ordered by thickness_pct (any shape) adds to the reading."""
    leak: Array = foil.areal_density_gsm * foil.attenuation_ratio * thickness_pct / 100.0
    return leak


def reading_gsm(coating_gsm: Array, foil: Foil, thickness_pct: Array, bare_foil_known: bool) -> Array:
    """What the gauge reports of a coating: with a bare-foil gauge before the die the foil's part is taken off."""
    if bare_foil_known:
        return coating_gsm
    reading: Array = coating_gsm + leak_gsm(foil, thickness_pct)
    return reading
