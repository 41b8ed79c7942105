"""What comes round: a pump that pulses, by its pressure in time; a roll out of true, by the profile in web length."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from controller.line.description import Array, LineDescription

PRESSURE_SAMPLES = 256
LOOK_S = 5.0
SCANS = 320
TURN_M = (0.3, 4.0)  # circumferences of rolls in a coater
FREQUENCIES = 320
AROUND = 100  # frequencies: what a peak is compared with
SLOWEST = 4  # frequencies that a drift leaks into
ALIKE = 0.4  # of the highest peak: what one roll may look like, and another be
FINER = 9  # places within two frequencies, where a peak is looked for
SLOW_TURNS = 0.08  # from scan to scan, and
SLOW_SHARE = 0.8  # of the slowest roll's frequency: what is slower than both is drift
EXPECTED_S = 60.0  # of running, until the pump's own pulses are known


class Pulses:
    """The pump's pulses, by its pressure at the rate of the cycles."""

    def __init__(self, line: LineDescription) -> None:
        self._cycle_s = line.control.cycle_s
        self._told: deque[tuple[float, float]] = deque(maxlen=PRESSURE_SAMPLES)
        self._window = np.hanning(PRESSURE_SAMPLES)
        self._since_s = self._looked_s = 0.0
        self.usual = math.nan
        self.size, self.frequency_hz, self.times = 0.0, 0.0, 0.0

    def see(self, pressure_log: float, pumped_log: float, index: float, dt_s: float) -> None:
        """One cycle. index: by which pressure follows the pump, as it is believed now; it holds for old cycles, too,
        for what is learnt of it is no pulse."""
        self._told.append((pressure_log, pumped_log))
        self._since_s += dt_s
        if len(self._told) < PRESSURE_SAMPLES or self._since_s - self._looked_s < LOOK_S:
            return
        self._looked_s = self._since_s
        values = np.array(self._told) @ (1.0, -index)
        if not np.isfinite(values).all():
            return
        n = np.arange(PRESSURE_SAMPLES) / PRESSURE_SAMPLES
        values = values - np.polynomial.polynomial.polyval(n, np.polynomial.polynomial.polyfit(n, values, 2))
        power = np.square(np.abs(np.fft.rfft(values * self._window))) / np.square(self._window).sum()
        first = int(0.3 * PRESSURE_SAMPLES * self._cycle_s) + 1
        peak = first + int(power[first:].argmax())
        beside = power[max(peak - 2, first) : peak + 3]
        self.size = math.sqrt(2.0 * float(beside.sum()) / PRESSURE_SAMPLES)
        bins = np.arange(max(peak - 2, first), max(peak - 2, first) + beside.size)
        self.frequency_hz = float(bins @ beside / beside.sum()) / (PRESSURE_SAMPLES * self._cycle_s)
        if self._since_s < EXPECTED_S:
            return
        if math.isnan(self.usual):
            self.usual = self.size
        self.times = self.size / max(self.usual, 2e-5)
        self.usual += 0.02 * (min(self.size, 1.3 * self.usual) - self.usual)


class Turns:
    """Rolls out of true, by tilt and bow of each scan over web length; both gauges add to one spectrum."""

    def __init__(self, line: LineDescription) -> None:
        across = np.linspace(-1.0, 1.0, line.zones)
        legendre = np.polynomial.legendre.legvander(across, 2)
        basis, _ = np.linalg.qr(legendre)
        self._basis = basis[:, 1:3]
        self._per_m = np.linspace(1.0 / TURN_M[1], 1.0 / TURN_M[0], FREQUENCIES)
        self._of = {name: _Scans() for name in ("wet", "dry")}
        self._looked_s = 0.0
        self.times, self.turn_m, self.size, self.surer = 0.0, 0.0, 0.0, 0.0
        self.seen_by = ""

    def see(self, name: str, share: Array, web_m: float, t_s: float) -> None:
        """One scan, over target."""
        good = share > 0.0
        if not good.all():
            return
        log = np.log(share)
        self._of[name].add(self._basis.T @ (log - log.mean()), web_m)
        if t_s - self._looked_s >= LOOK_S:
            self._looked_s = t_s
            self._look()

    def _look(self) -> None:
        spectra = {name: scans.spectrum(self._per_m) for name, scans in self._of.items()}
        names = [name for name in ("wet", "dry") if spectra[name] is not None]
        if not names:
            return
        first = spectra[names[0]]
        assert first is not None
        ratio = first[0]
        peak = int(np.nan_to_num(ratio).argmax())
        if not ratio[peak] > 0.0 or peak < SLOWEST:
            self.times = 0.0
            return
        self.times, self.seen_by = float(ratio[peak]), names[0]
        per_m, power, self.surer = self._likeliest(ratio, [self._of[name] for name in names])
        self.turn_m = 1.0 / per_m
        self.size = 2.0 * math.sqrt(power) / math.sqrt(self._basis.shape[0])

    def _likeliest(self, ratio: Array, gauges: list[_Scans]) -> tuple[float, float, float]:
        """Of all frequencies that look alike to a gauge that scans now and then, the one by which both gauges' scans
        are explained best: they do not come quite evenly, and those of one at other places than those of the other.

        Returns it, 1/m, its power in the first gauge, and by how many nats it is likelier than the next best.
        """
        beside = np.pad(ratio, 1)
        peaks = np.flatnonzero((ratio >= beside[:-2]) & (ratio >= beside[2:]) & (ratio > ALIKE * np.nanmax(ratio)))
        peaks = peaks[peaks >= SLOWEST]
        step = float(self._per_m[1] - self._per_m[0])
        fine = self._per_m[peaks][:, None] + step * np.linspace(-1.0, 1.0, FINER)
        told = np.zeros(fine.shape)
        for gauge in gauges:
            told += gauge.power(fine.ravel()).reshape(fine.shape) / gauge.noise
        at = told.argmax(axis=1)
        best = told[np.arange(peaks.size), at]
        k = int(best.argmax())
        per_m = float(fine[k, at[k]])
        apart = np.abs(fine[np.arange(peaks.size), at] - per_m) > 2.0 * step
        surer = float(best[k] - best[apart].max()) if apart.any() else math.inf
        return per_m, float(gauges[0].power(np.array([per_m]))[0]), surer


class _Scans:
    """The last scans of one gauge."""

    def __init__(self) -> None:
        self._parts: deque[Array] = deque(maxlen=SCANS)
        self._webs: deque[float] = deque(maxlen=SCANS)
        self._web_m, self._windowed, self.noise = np.zeros(0), np.zeros((0, 2)), 1.0

    def add(self, parts: Array, web_m: float) -> None:
        if self._webs and not 0.0 < web_m - self._webs[-1] < 20.0:
            self._parts.clear()
            self._webs.clear()
        self._parts.append(parts)
        self._webs.append(web_m)

    def spectrum(self, per_m: Array) -> tuple[Array, Array] | None:
        """Power at each frequency over its median, and power itself (square of the mean phasor)."""
        if len(self._webs) < 60:
            return None
        self._web_m = np.array(self._webs)
        parts = _without_drift(self._web_m, np.array(self._parts), SLOW_SHARE * float(per_m[0]))
        window = np.hanning(self._web_m.size + 2)[1:-1]
        self._windowed = window[:, None] / window.sum() * parts
        power = self.power(per_m)
        self.noise = max(float(np.median(power)), 1e-14)  # nothing is left where the fit took all along
        return power / np.maximum(_around(power), self.noise), power

    def power(self, per_m: Array) -> Array:
        """Square of the mean phasor at these frequencies, of the scans of the last `spectrum`."""
        phase = 2.0 * math.pi * np.outer(per_m, self._web_m - self._web_m[0])
        found: Array = np.square(np.abs(np.exp(-1j * phase) @ self._windowed)).sum(axis=1)
        return found


def _without_drift(web_m: Array, parts: Array, slow_per_m: float) -> Array:
    """Less all that goes slowly along the web, as it was at the places of the scans.

    Scans are few, so a drift is to them what a roll is that turns once or twice from one to the next, or in the beat of
    scans with the cycles that carry them. Fitted where the scans were, it takes all of these along.
    """
    span_m = float(np.ptp(web_m))
    waves = int(2.0 * min(SLOW_TURNS * (web_m.size - 1), slow_per_m * span_m))
    place = (web_m - web_m[0]) / span_m
    slow, _ = np.linalg.qr(np.column_stack([np.cos(math.pi * np.outer(place, np.arange(waves + 1))), place]))
    rest: Array = parts - slow @ (slow.T @ parts)
    return rest


def _around(power: Array) -> Array:
    """The median of what lies around each frequency: drifts are stronger the slower they are."""
    half = AROUND // 2
    padded = np.pad(power, half, mode="reflect")
    around: Array = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1)
    return around
