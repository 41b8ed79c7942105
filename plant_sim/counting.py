"""Counting noise of a beta or X-ray gauge: what the physics of absorption lets any gauge know. Pure functions.

`depth` is x = mu m: mass attenuation coefficient (m2/g) times areal density (g/m2). N0 is the number of counts that an
empty gap would give in the same time. Imported by the oracles, the tour, tests.
Source: Beer-Lambert absorption, Poisson statistics of counts; error propagation of m = ln(N0/N)/mu.
"""

from __future__ import annotations

import math

import numpy as np

from controller.line.description import Array

BEST_DEPTH = 2.0  # where e^(x/2)/x is least


def relative_noise(depth: float, empty_counts: float) -> float:
    """sigma_m/m = e^(x/2) / (x sqrt N0), for N0 e^-x large."""
    return math.exp(0.5 * depth) / (depth * math.sqrt(empty_counts))


def counts_needed(depth: float, wanted_relative_noise: float) -> float:
    """N0 at which the noise is as wanted: e^x / (x s)^2."""
    return math.exp(depth) / (depth * wanted_relative_noise) ** 2


def readings_gsm(
    areal_density_gsm: Array, attenuation_m2_per_g: float, empty_counts: float, rng: np.random.Generator
) -> Array:
    """What a counting gauge reports of true densities, same shape: ln(N0/N)/mu with N drawn; NaN without counts."""
    counts = rng.poisson(empty_counts * np.exp(-attenuation_m2_per_g * areal_density_gsm)).astype(np.float64)
    counts[counts == 0.0] = np.nan
    readings: Array = np.log(empty_counts / counts) / attenuation_m2_per_g
    return readings
