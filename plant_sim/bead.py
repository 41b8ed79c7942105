"""The bead between lip and foil: how thin a film the low-flow limit lets pass. A warning, never a limit of the plant.

Validity: viscocapillary theory, Ca <= CAPILLARY_VALID_MAX. Electrode slurries run at Ca ~ 10, where coated films leave
the Ca^(2/3) law; a warning there says "the theory would not expect this film to hold", and carries `valid` False.
`gap` here is the coating gap between die and foil, not the slot's. SI units. Imported by the oracles, the tour, tests.
Source: Ruschak, Chem. Eng. Sci. 31 (1976) 1057; Higgins and Scriven, Chem. Eng. Sci. 35 (1980) 673.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

CAPILLARY_VALID_MAX = 1.0
FILM_OVER_RADIUS = 1.34  # film over radius of the downstream meniscus, times Ca^(-2/3): Landau and Levich


@dataclass(frozen=True, slots=True)
class WindowCheck:
    """What the low-flow limit says of one film."""

    capillary: float
    film_min_m: float
    warning: bool  # the film is thinner than the limit
    valid: bool  # the capillary number is one that the theory covers


def capillary_number(viscosity_pa_s: float, web_speed_mps: float, surface_tension_n_per_m: float) -> float:
    """Ca = mu U / sigma. For a shear-thinning slurry take the viscosity at the bead's shear rate, U / gap."""
    return viscosity_pa_s * web_speed_mps / surface_tension_n_per_m


def film_min_small_ca_m(capillary: float, gap_m: float) -> float:
    """h_min = 0.67 H Ca^(2/3): the meniscus has its tightest radius H/2, the film is thin beside the gap."""
    return 0.5 * FILM_OVER_RADIUS * math.pow(capillary, 2.0 / 3.0) * gap_m


def film_min_m(capillary: float, gap_m: float) -> float:
    """h_min = H x / (1 + x), x = 0.67 Ca^(2/3): the meniscus has only (H - h)/2 of radius left. Always below H."""
    x = 0.5 * FILM_OVER_RADIUS * math.pow(capillary, 2.0 / 3.0)
    return gap_m * x / (1.0 + x)


def check(
    film_m: float, gap_m: float, viscosity_pa_s: float, web_speed_mps: float, surface_tension_n_per_m: float
) -> WindowCheck:
    """Judge a wet film against the low-flow limit without vacuum."""
    capillary = capillary_number(viscosity_pa_s, web_speed_mps, surface_tension_n_per_m)
    film_min = film_min_m(capillary, gap_m)
    return WindowCheck(capillary, film_min, film_m < film_min, capillary <= CAPILLARY_VALID_MAX)


def pressure_gradient_pa_per_m(film_m: float, gap_m: float, viscosity_pa_s: float, web_speed_mps: float) -> float:
    """Newtonian pressure gradient under the downstream lip, 6 mu U/H^2 * (1 - 2 h/H): zero where the film is H/2.

    From drag flow U H/2 plus pressure flow making up the film's U h.
    """
    return 6.0 * viscosity_pa_s * web_speed_mps / gap_m**2 * (1.0 - 2.0 * film_m / gap_m)
