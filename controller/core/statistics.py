"""How large things are: disturbances and gauge errors, as believed, turned into variances for the filters.

Defaults are the middle of the default difficulty of a slot-die line. Whoever learns better ones from the innovations
hands another Statistics to `configure`; nothing else changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.line.description import Array, GaugeDescription, LineDescription

TURN_OF_PULSE_S = 0.2  # pulsation is as good as new after this


@dataclass(frozen=True, slots=True)
class Statistics:
    """Standard deviations in percent of areal density, time constants in seconds at nominal web speed.

    A drift of size s and time constant tau is believed to wander at a rate of 2 s^2/tau, as its first-order process
    does over times much shorter than tau.
    """

    static_pct: float = 2.3  # profile as the lips were set
    slow_cd_pct: float = 0.7
    slow_cd_s: float = 1500.0
    fast_cd_pct: float = 0.15
    fast_cd_s: float = 180.0
    cd_zones: float = 3.0  # cross-web drifts hang together over so many zones
    white_cd_pct: float = 0.065
    set_up_pct: float = 1.85  # mean as the pump was set
    slip_pct: float = 0.5
    slip_s: float = 690.0
    solids_pct: float = 0.4
    solids_s: float = 1500.0
    pulsation_pct: float = 0.22
    wet_bias_pct: float = 0.65
    wet_bias_s: float = 7200.0
    bias_boxes: float = 4.0  # boxes of one gauge err together over so many
    dry_bias_pct: float = 0.065
    wet_noise_share: float = 1.0  # of the described noise
    dry_noise_share: float = 1.0


@dataclass(frozen=True, slots=True)
class Noise:
    """Variances of a bank of scalar filters, log^2, shape (coordinates,): at start, a second's drift, one reading."""

    start: Array
    rate: Array
    reading: Array


UNKNOWN = 1e6  # times what is usual at a start: the first scan is believed as it is
COMMON_SHARE, BOX_SHARE = 0.6, 0.8  # of a gauge's bias: what all boxes share, and what each has of its own


def spectrum(basis: Array, zones: float) -> Array:
    """Share of each mode in a profile of unit variance that hangs together over so many zones, (modes,)."""
    index = np.arange(basis.shape[0])
    together = np.exp(-(((index[:, None] - index[None, :]) / zones) ** 2))
    share: Array = np.einsum("zm,zy,ym->m", basis, together, basis)
    return np.maximum(share, 1e-4)


def film_noise(line: LineDescription, gauge: GaugeDescription, basis: Array, known: Statistics) -> Noise:
    """Variances of the disturbance as the gauge next to the die sees it: modes, then the mean, (zones,)."""
    cross, biased = spectrum(basis, known.cd_zones), _bias_spectrum(line, gauge, basis, known)
    bias_pct = known.wet_bias_pct if gauge.is_wet else known.dry_bias_pct
    cd_rate = _wander(known.slow_cd_pct, known.slow_cd_s) + _wander(known.fast_cd_pct, known.fast_cd_s)
    md_rate = _wander(known.slip_pct, known.slip_s)
    md_start = known.set_up_pct**2 + known.slip_pct**2
    if not gauge.is_wet:  # the only gauge there is: what comes through the solids is a disturbance like any other
        md_rate += _wander(known.solids_pct, known.solids_s)
    bias_rate = _wander(bias_pct, known.wet_bias_s)
    return _log2(
        start=UNKNOWN * _joined(np.full(cross.size, known.static_pct**2), md_start),
        rate=_joined(cross * cd_rate + BOX_SHARE**2 * biased * bias_rate, md_rate + COMMON_SHARE**2 * bias_rate),
        reading=_reading(line, gauge, basis, known),
    )


def offset_noise(
    line: LineDescription, wet: GaugeDescription, dry: GaugeDescription, basis: Array, known: Statistics
) -> Noise:
    """Variances of dry minus wet on one metre of web: box errors by mode, common error and solids in the mean."""
    biased = BOX_SHARE**2 * _bias_spectrum(line, wet, basis, known)
    common = COMMON_SHARE**2
    bias2, bias_rate = known.wet_bias_pct**2, _wander(known.wet_bias_pct, known.wet_bias_s)
    solids_rate = _wander(known.solids_pct, known.solids_s)
    wet_noise = _reading(line, wet, basis, known, pulses=False) * (wet.period_s / max(dry.period_s, wet.period_s))
    reading = _reading(line, dry, basis, known, pulses=False) + wet_noise
    slowest_rate = reading * dry.period_s / line.control.bias_filter_s**2  # settles at a filter of bias_filter_s
    return _log2(
        start=_joined(4.0 * biased * bias2, 4.0 * (common * bias2 + known.set_up_pct**2)),
        rate=np.maximum(_joined(biased * bias_rate, common * bias_rate + solids_rate), slowest_rate),
        reading=reading,
    )


def _reading(
    line: LineDescription, gauge: GaugeDescription, basis: Array, known: Statistics, pulses: bool = True
) -> Array:
    """Variance of one scan in each coordinate, percent^2. Boxes are many: their mean is limited by the pump's pulse."""
    share = known.wet_noise_share if gauge.is_wet else known.dry_noise_share
    zone2 = (share * gauge.noise_pct) ** 2 * line.zones / gauge.boxes + known.white_cd_pct**2
    pulse2 = known.pulsation_pct**2 * min(1.0, TURN_OF_PULSE_S / gauge.period_s) if pulses else 0.0
    return _joined(np.full(basis.shape[1], zone2), zone2 / line.zones + pulse2 + 1e-4)


def own_noise(line: LineDescription, gauge: GaugeDescription, known: Statistics) -> float:
    """Variance of one scan's mean without the pump's pulse, log^2."""
    return 1e-4 * float(_reading(line, gauge, np.eye(line.zones), known, pulses=False)[-1])


def _bias_spectrum(line: LineDescription, gauge: GaugeDescription, basis: Array, known: Statistics) -> Array:
    return spectrum(basis, known.bias_boxes * line.zones / gauge.boxes)


def _wander(size_pct: float, tau_s: float) -> float:
    return 2.0 * size_pct**2 / tau_s


def _joined(modes: Array, mean: float) -> Array:
    return np.append(modes, mean)


def _log2(start: Array, rate: Array, reading: Array) -> Noise:
    """Percent^2 to log^2."""
    return Noise(1e-4 * start, 1e-4 * rate, 1e-4 * reading)
