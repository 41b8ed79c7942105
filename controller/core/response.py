"""What the controller believes of the die: lip gap -> cross profile, split into spatial modes.

Everything is in the logarithm of areal density, where the power law is a plain gain: a local opening dH changes the
local flow by (2 + 1/n) f_lip dH/H, and pre-metering takes its mean out again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from controller.line.description import Array, DieDescription, LineDescription

KERNEL_FWHM_BETA = 2.02696  # FWHM * beta of the beam kernel, solved from b(s) = 1/2


@dataclass(frozen=True, slots=True)
class ResponseModel:
    """The belief `ln(areal density) = matrix @ gap_um` about the mean, and its spatial modes.

    matrix: (zones, zones), 1/um, rows and columns of zero mean. `matrix @ shapes = profiles * gains`;
    profiles and shapes are orthonormal, (zones, modes); gains (modes,), 1/um, largest first.
    Only the modes worth controlling are kept; `wavelength_mm` tells how fine each one is.
    basis (zones, zones - 1) are the kept profiles followed by all others: together every shape of zero mean. effects
    (zones, zones - 1), 1/um, is what lips do to each of them: `gap_um @ effects`.
    """

    matrix: Array
    profiles: Array
    shapes: Array
    gains: Array
    wavelength_mm: Array
    basis: Array
    effects: Array

    @property
    def modes(self) -> int:
        return int(self.gains.size)


def beam_kernel(distance: Array, fwhm: float, lobe: float = 1.0) -> Array:
    """Opening of a lip on an elastic foundation beside one bolt: exp(-s) (cos s + lobe sin s), s = beta |x|; 1 there.

    `distance` and `fwhm` share one unit. Source: beam on elastic foundation (Hetenyi), lobe 1: -4.3 % at s = pi.
    A stiffer or softer foundation than the beam's shows in the lobe; beta follows from the width at half height.
    """
    s = np.abs(distance) * (2.0 * half_height(lobe) / fwhm)
    kernel: Array = np.exp(-s) * (np.cos(s) + lobe * np.sin(s))
    return kernel


def half_height(lobe: float) -> float:
    """s at which the kernel has fallen to one half, by bisection; between 0.4 and 1.5 for lobes of 0 to 2."""
    if lobe == 1.0:
        return 0.5 * KERNEL_FWHM_BETA
    low, high = 0.0, 3.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        above = math.exp(-middle) * (math.cos(middle) + lobe * math.sin(middle)) > 0.5
        low, high = (middle, high) if above else (low, middle)
    return 0.5 * (low + high)


def lip_matrix(die: DieDescription) -> Array:
    """Bolt moves -> lip opening at the zones, (zones, zones). Rows sum to one: equal moves open the lip evenly.

    A bolt that does not deliver is the exception: its column is less, or turned, as it is fed back as if it moved.
    """
    bolt = np.arange(die.zones) * die.zone_pitch_mm
    zone = bolt + die.alignment_shift_mm
    if die.alignment_stretch_pct:
        bolt = bolt + die.alignment_stretch_pct / 100.0 * (bolt - bolt.mean())
    kernel = beam_kernel(zone[:, None] - bolt[None, :], die.kernel_fwhm_pitches * die.zone_pitch_mm, die.kernel_lobe)
    if die.bolt_gains:
        kernel = kernel * np.asarray(die.bolt_gains)
    matrix: Array = kernel / kernel.sum(axis=1, keepdims=True)
    return matrix * np.asarray(die.bolt_delivery) if die.bolt_delivery else matrix


def moved(die: DieDescription, numbers: Array) -> DieDescription:
    """The die's description with four numbers on it, (4,): logs of gain and kernel factors, shift in pitches, stretch
    as a share.
    """
    gain, kernel, shift, stretch = (float(number) for number in numbers)
    return replace(
        die,
        gain_factor=die.gain_factor * float(np.exp(gain)),
        kernel_fwhm_pitches=die.kernel_fwhm_pitches * float(np.exp(kernel)),
        alignment_shift_mm=die.alignment_shift_mm + shift * die.zone_pitch_mm,
        alignment_stretch_pct=die.alignment_stretch_pct + 100.0 * stretch,
    )


def local_gain_per_um(line: LineDescription) -> float:
    """Relative change of the local coating for a micrometre of local opening, 1/um: (2 + 1/n) f_lip / H, and factor."""
    drawn = (2.0 + 1.0 / line.slurry.flow_index) * line.die.lip_share / line.die.gap_nominal_um
    return line.die.gain_factor * drawn


def believe(line: LineDescription) -> ResponseModel:
    """Build the belief from the line's description and keep the modes that gain and alignment support.

    A misalignment d multiplies a mode of wavelength l by cos(2 pi d / l): half the gain at l/6, reversed beyond l/4.
    Modes with l/6 below the alignment's uncertainty, or a gain below `mode_gain_floor` of the largest, are left alone.
    """
    centre = np.eye(line.zones) - 1.0 / line.zones
    return modes_of(line, local_gain_per_um(line) * (centre @ lip_matrix(line.die) @ centre))


def modes_of(line: LineDescription, matrix: Array) -> ResponseModel:
    """The modes of a response that is known otherwise, `matrix` (zones, zones), 1/um, rows and columns of zero mean."""
    zones = line.zones
    profiles, gains, shapes_t = np.linalg.svd(matrix)
    span_mm = zones * line.die.zone_pitch_mm
    crossings = np.count_nonzero(np.diff(np.signbit(profiles[:, : zones - 1]), axis=0), axis=0)
    wavelength_mm = 2.0 * span_mm / np.maximum(crossings, 1)
    keep = gains[: zones - 1] >= line.control.mode_gain_floor * gains[0]
    keep &= wavelength_mm / 6.0 >= line.die.alignment_uncertainty_mm
    index = np.flatnonzero(keep)
    order = np.concatenate((index, np.flatnonzero(~keep)))
    return ResponseModel(
        matrix=matrix,
        profiles=np.ascontiguousarray(profiles[:, index]),
        shapes=np.ascontiguousarray(shapes_t[index].T),
        gains=gains[index],
        wavelength_mm=wavelength_mm[index],
        basis=np.ascontiguousarray(profiles[:, order]),
        effects=np.ascontiguousarray(shapes_t[order].T * gains[order]),
    )


def gauge_to_zone_weights(line: LineDescription, boxes: int) -> Array:
    """Overlap of gauge boxes (equal parts of the coated width) with the zones, (zones, boxes), in mm.

    A zone's reading is the mean of the boxes over it, weighted by these overlaps; a zone outside the coated width gets
    the outermost box.
    """
    zones, pitch = line.zones, line.die.zone_pitch_mm
    box_edges = np.linspace(-line.web_width_mm / 2.0, line.web_width_mm / 2.0, boxes + 1)
    zone_edges = (np.arange(zones + 1) - zones / 2.0) * pitch
    low = np.maximum(zone_edges[:-1, None], box_edges[None, :-1])
    high = np.minimum(zone_edges[1:, None], box_edges[None, 1:])
    weights: Array = np.maximum(high - low, 0.0)
    empty = weights.sum(axis=1) < 1e-9
    weights[empty & (np.arange(zones) < zones / 2), 0] = 1.0
    weights[empty & (np.arange(zones) >= zones / 2), -1] = 1.0
    return weights
