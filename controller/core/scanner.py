"""A scanning head crosses the web while the web runs: each box is another metre, and one pass mixes MD with CD.

A pass is one reading of all coordinates at once. Box i saw the shape at its place and the mean at its own metre, so the
mean's wandering within the pass is noise that hangs together along it; weighing it as such keeps it out of the shapes.
Passes in turn go to and fro, which cancels what one of them would leave as a tilt. What repeats with the passes (a sine
of the mean at a harmonic of the scan) cannot be told from a profile by one head. Source: Kalman filters for scanning
gauges, e.g. Tyler and Morari 1995; here with the pass as the sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.core.kalman import LOOK_EVERY, Bank
from controller.core.statistics import Noise
from controller.line.description import Array, GaugeDescription, LineDescription

PLACES = 5  # along a pass at which the actuators' effect is looked up


@dataclass(frozen=True, slots=True)
class Scanner:
    """Constants of a scanning gauge. `seen` (zones, zones): what each coordinate shows in each zone."""

    seen: Array
    travel_share: float  # of a pass; the rest is turning
    pass_m: float  # of web at nominal speed
    along: Array  # (zones,): when the head was over a zone on its way to the right, as a share of its travel
    wandering: Array  # (zones, zones): of the mean about its mean over the pass, on the way to the right, log^2
    alone: float  # variance of one zone in one pass, log^2


def build(line: LineDescription, gauge: GaugeDescription, basis: Array, noise: Noise) -> Scanner:
    """Constants from the description. The mean is believed to wander as `noise.rate` says."""
    zones = line.zones
    travel_s = line.web_width_mm * 1e-3 / max(gauge.head_speed_mps, 1e-6)
    along = (np.arange(zones) + 0.5) / zones
    centre = np.eye(zones) - 1.0 / zones
    walk = np.minimum(along[:, None], along[None, :]) * float(noise.rate[-1]) * travel_s
    return Scanner(
        seen=np.column_stack((basis, np.ones(zones))),
        travel_share=min(travel_s / gauge.period_s, 1.0),
        pass_m=gauge.period_s * line.web_speed_mps,
        along=along,
        wandering=centre @ walk @ centre,
        alone=float(noise.reading[0] + noise.reading[-1]),
    )


def places_m(scanner: Scanner, middle_m: float) -> Array:
    """Web positions of PLACES moments of the head's travel, for a pass whose middle is at middle_m."""
    start_m = middle_m - 0.5 * scanner.pass_m
    marks: Array = start_m + np.linspace(0.0, 1.0, PLACES) * scanner.travel_share * scanner.pass_m
    return marks


def at_their_moment(scanner: Scanner, errors: Array, direction: int) -> Array:
    """What each zone showed at the moment of the head: from errors (PLACES, zones) to (zones,).

    A pass without direction is taken as if all zones were seen in its middle.
    """
    if direction == 0:
        middle: Array = errors[PLACES // 2]
        return middle
    along = scanner.along if direction > 0 else 1.0 - scanner.along
    place = along * (PLACES - 1)
    low = np.minimum(place.astype(np.int64), PLACES - 2)
    share, zone = place - low, np.arange(along.size)
    between: Array = (1.0 - share) * errors[low, zone] + share * errors[low + 1, zone]
    return between


def corrected(
    bank: Bank, noise: Noise, scanner: Scanner, disturbance: Array, direction: int, passed_s: float, doubt: float
) -> Bank:
    """The bank after a pass that showed this disturbance in the zones, (zones,). Variances are kept by coordinate."""
    prior = bank.variance + noise.rate * passed_s
    wandering = scanner.wandering if direction > 0 else scanner.wandering[::-1, ::-1]
    spread = scanner.seen * prior
    expected = spread @ scanner.seen.T + wandering
    expected.flat[:: expected.shape[0] + 1] += scanner.alone * doubt
    gain = np.linalg.solve(expected, spread).T  # (coordinates, zones)
    innovation = disturbance - scanner.seen @ bank.mean
    moved = gain @ innovation
    variance = np.maximum(prior - np.einsum("cz,zc->c", gain, spread), 1e-12)
    surprise = float(innovation @ np.linalg.solve(expected, innovation)) / innovation.size
    share = max(1.0 / (bank.readings + 1), 0.02)
    return bank._replace(
        mean=bank.mean + moved,
        variance=variance,
        gain=variance / prior,
        innovation=moved,
        surprise2=bank.surprise2 + share * (surprise - bank.surprise2),
        readings=bank.readings + 1,
        rhythm_s=bank.rhythm_s + (passed_s - bank.rhythm_s) / min(bank.readings + 1, LOOK_EVERY),
        doubt=doubt,
    )
