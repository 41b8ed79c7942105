"""How the wet film levels between die and dryer: which ripples heal and which are frozen into the coating.

The plant's step leaves levelling out, because errors at lip scale take minutes (see docs/plant.md); these functions
say how good that is. SI units. Newtonian film: a yield stress would stop levelling altogether, so the times are the
shortest there can be. Imported by the oracles, the tour, tests.
Source: Orchard, Appl. Sci. Res. A11 (1963) 451, thin-film limit (wavelength >> film), with gravity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from controller.line.description import Array

GRAVITY_MPS2 = 9.81


@dataclass(frozen=True, slots=True)
class WetFilm:
    """A film on a level web."""

    film_m: float
    viscosity_pa_s: float
    surface_tension_n_per_m: float
    density_kgm3: float


def rate_per_s(film: WetFilm, wavelength_m: float) -> float:
    """1/tau = sigma h^3 k^4/(3 mu) + rho g h^3 k^2/(3 mu), k = 2 pi/wavelength: surface tension and gravity."""
    k = 2.0 * math.pi / wavelength_m
    tension = film.surface_tension_n_per_m * k**4
    gravity = film.density_kgm3 * GRAVITY_MPS2 * k**2
    return film.film_m**3 / (3.0 * film.viscosity_pa_s) * (tension + gravity)


def time_s(film: WetFilm, wavelength_m: float) -> float:
    """Time in which a ripple of this wavelength falls to 37 %."""
    return 1.0 / rate_per_s(film, wavelength_m)


def levelled(film: WetFilm, profile: Array, pitch_m: float, elapsed_s: float) -> Array:
    """A thickness profile across the web, shape (lanes,), after elapsed_s (>= 0); lanes are pitch_m apart.

    Every cosine mode decays at its own rate; walls are mirrors (nothing flows over the edge), so the mean stays.
    """
    mirrored = np.concatenate((profile, profile[::-1]))
    k = 2.0 * np.pi * np.fft.rfftfreq(mirrored.size, pitch_m)
    tension = film.surface_tension_n_per_m * k**4
    gravity = film.density_kgm3 * GRAVITY_MPS2 * k**2
    decay = np.exp(-elapsed_s * film.film_m**3 / (3.0 * film.viscosity_pa_s) * (tension + gravity))
    after: Array = np.fft.irfft(np.fft.rfft(mirrored) * decay, mirrored.size)[: profile.size]
    return after
