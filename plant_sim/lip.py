"""The flexible lip: how bolt positions become the lip's opening across the web. Imported inside plant_sim only.

Source: beam on an elastic foundation (Hetenyi), deflection under a point load e^-s (cos s + sin s), s = beta |x|. Space
and time parts separate in practice (Duncan, Allwood, Heath, Corscadden, IEEE Trans. Control Syst. Tech. 8(4), 2000).
"""

from __future__ import annotations

import numpy as np

from controller.line.description import Array

FWHM_TIMES_BETA = 2.02696  # full width at half height of the kernel, times beta


def kernel(s: Array) -> Array:
    """Deflection against its peak at s = beta |x|; zero at 3 pi/4, minimum -e^-pi at pi."""
    magnitude = np.abs(s)
    deflection: Array = np.exp(-magnitude) * (np.cos(magnitude) + np.sin(magnitude))
    return deflection


def response(
    lanes_mm: Array, bolts_mm: Array, fwhm_mm: float, bolt_gain: Array | None = None, shift_mm: float = 0.0
) -> Array:
    """Opening of each lane for a unit move of each bolt, shape (lanes, bolts), um/um.

    Every row sums to one: equal moves of all bolts open the lip evenly, as a rigid translation must. bolt_gain, shape
    (bolts,), weighs bolts against their neighbours. The web's zero, which lanes and gauges count from, lies shift_mm
    beside the bolts' zero: bolt i opens the web at bolts_mm[i] - shift_mm.
    """
    beta = FWHM_TIMES_BETA / fwhm_mm
    weights = kernel(beta * (lanes_mm[:, None] + shift_mm - bolts_mm[None, :]))
    if bolt_gain is not None:
        weights = weights * bolt_gain[None, :]
    matrix: Array = weights / weights.sum(axis=1, keepdims=True)
    return matrix
