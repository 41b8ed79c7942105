"""What the controller believes of the line, read from the snapshot that it keeps beside its journal.

The snapshot is some seconds old and belongs to one line, recipe and law. Where it is of another, or damaged, the reason
is shown instead of numbers: nothing here is guessed. Virtual areal density is worked out from it as the controller
itself would (`controller.core.virtual`).
"""

from __future__ import annotations

import json
import math
import sqlite3
import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from controller.core import adapt, certificate, learnt, play, scales, virtual
from controller.core.law import frozen
from controller.core.response import local_gain_per_um
from controller.core.step import Config
from controller.line.description import Array, Doubt, LawName, LineDescription
from controller.restart import Kept
from evencoat.commissioned import ModelFile, applied
from evencoat.guest import invited
from evencoat.hmi.source import Source, SourceError
from evencoat.journal import JournalError, JournalReader
from evencoat.model_store import ModelStoreError
from evencoat.settings import Settings
from evencoat.snapshot import file
from evencoat.snapshot.file import Identity, Snapshot, SnapshotError

SIGMAS = (3, 2, 1)  # deviations of what is believed of the map that are tried for a certificate


class BeliefError(Exception):
    """There is no belief to be shown; the text says why."""


@dataclass(frozen=True, slots=True)
class Started:
    """How the newest run began: the line with what commissioning found of it, its law, and who signed the model."""

    settings: Settings
    model: ModelFile | None
    law: str
    version: str


class Belief:
    """The belief of one line. The newest snapshot is read once, whoever asks; threads take turns."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._turn = threading.Lock()
        self._at: tuple[int, int] | None = None
        self._proof: tuple[Array, Array, int] | None = None
        self._found: tuple[Started, Snapshot, Config, Kept] | None = None

    def told(self) -> dict[str, Any]:
        """For people: the map, delays, slurry, noise, certificate. Raises BeliefError, SourceError."""
        with self._turn:
            started, snapshot, config, kept = self._newest()
            return {
                "t_unix_s": snapshot.card.t_unix_s,
                "web_m": snapshot.card.web_m,
                "roll": snapshot.card.roll,
                "batch": snapshot.card.batch,
                "law": started.law,
                "version": started.version,
                "map": _map(config, kept),
                "delay": _delay(config.line, config, kept),
                "slurry": _slurry(config, kept),
                "noise": _noise(kept),
                "loop": _loop(config, kept),
                "certificate": self._certified(config, kept),
                "commissioned": _commissioned(started),
            }

    def web(self) -> dict[str, Any]:
        """Virtual areal density of the metre at the die now, with its 95 % interval. Raises as `told`."""
        with self._turn:
            _, snapshot, config, kept = self._newest()
            found = virtual.areal_density(config.estimator, kept.estimate, np.array([kept.web_m]))
            if found is None:
                raise BeliefError("no gauge has read anything yet")
            return {
                "t_unix_s": snapshot.card.t_unix_s,
                "web_m": kept.web_m,
                "areal_density_gsm": _list(found.areal_density_gsm[0]),
                "half_gsm": _list(found.half_gsm[0]),
            }

    def _newest(self) -> tuple[Started, Snapshot, Config, Kept]:
        path = file.path_beside(self._source.journal)
        try:
            at = (path.stat().st_mtime_ns, path.stat().st_ino)
        except OSError as error:
            raise BeliefError(f"the run keeps no snapshot ({path.name}: {error.strerror})") from error
        if self._found is not None and at == self._at:
            return self._found
        try:
            started = self._started()
            snapshot = file.read(path, Identity.of(started.settings))
            if snapshot is None:
                raise BeliefError(f"{path.name} is not there any more")
            config = file.config_of(started.settings, snapshot, invited(started.settings.line).network)
            self._found, self._at = (started, snapshot, config, file.kept_of(config, snapshot)), at
        except (SnapshotError, ModelStoreError) as error:
            raise BeliefError(str(error)) from error
        return self._found

    def _certified(self, config: Config, kept: Kept) -> dict[str, int] | None:
        """Worked out anew only where the map, or how sure it is, has changed by more than a tenth."""
        if config.adaptation is None or not config.estimator.response.modes:
            return None
        sigma = adapt.sureness(config.adaptation, kept.adapt)
        map_now = kept.adapt.there
        if self._proof is None or not (
            np.array_equal(self._proof[0], map_now) and np.allclose(self._proof[1], sigma, rtol=0.1)
        ):
            self._proof = map_now, sigma, _certificate(config, sigma)
        return {"sigmas": self._proof[2], "most_sigmas": SIGMAS[0]}

    def _started(self) -> Started:
        """The line as the newest run has it: the chain's last start says which law, and what was commissioned."""
        settings = self._source.settings
        try:
            with JournalReader(self._source.journal) as reader:
                ends = reader.ends()
            told = json.loads(ends[0].new) if ends else {}
            found = told.get("commissioned")
            model = None if found is None else ModelFile.model_validate(found)
            line = settings.line if model is None else applied(settings.line, model)
            law = LawName(told.get("law", settings.line.control.law))
        except (JournalError, sqlite3.Error) as error:
            raise SourceError(str(error)) from error
        except (ValueError, AttributeError) as error:
            raise BeliefError(f"the journal's last start cannot be read: {str(error)[:200]}") from error
        line = replace(line, control=replace(line.control, law=law))
        return Started(replace(settings, line=line, model=model), model, str(law), str(told.get("version", "")))


def _map(config: Config, kept: Kept) -> dict[str, Any]:
    die = config.line.die
    sigma = None if config.adaptation is None else adapt.sureness(config.adaptation, kept.adapt)
    return {
        "gain_pct_per_um": 100.0 * local_gain_per_um(config.line),
        "gain_factor": die.gain_factor,
        "kernel_fwhm_pitches": die.kernel_fwhm_pitches,
        "shift_mm": die.alignment_shift_mm,
        "unsure_mm": die.alignment_uncertainty_mm,
        "stretch_pct": die.alignment_stretch_pct,
        "modes": config.estimator.response.modes,
        "shortest_mm": _number(np.min(config.estimator.response.wavelength_mm, initial=np.inf)),
        "learnt": bool(kept.adapt.there.any()),
        "looks": int(kept.adapt.looks),
        "gain_sd_pct": None if sigma is None else _number(100.0 * math.expm1(sigma[adapt.GAIN])),
        "kernel_sd_pct": None if sigma is None else _number(100.0 * math.expm1(sigma[adapt.KERNEL])),
        "shift_sd_mm": None if sigma is None else _number(sigma[adapt.SHIFT] * die.zone_pitch_mm),
        "play_um": _number(play.size_um(config.play, kept.play)),
        "bolts_out": [int(zone) + 1 for zone in np.flatnonzero(kept.bolts.out)],
    }


def _delay(line: LineDescription, config: Config, kept: Kept) -> dict[str, Any]:
    return {
        "wet_m": None if line.wet_gauge is None else line.wet_gauge.distance_m,
        "dry_m": None if line.dry_gauge is None else line.dry_gauge.distance_m,
        "dead_m": line.primary_gauge.distance_m,
        "dead_s": line.primary_gauge.distance_m / line.web_speed_mps,
        "late_pct": _number(100.0 * kept.adapt.late_share) if config.adaptation is not None else None,
    }


def _slurry(config: Config, kept: Kept) -> dict[str, Any]:
    slurry, mean = config.line.slurry, config.estimator.mean
    told: dict[str, Any] = {
        "density_kgm3": slurry.density_kgm3,
        "solids_pct": 100.0 * slurry.solids_fraction,
        "flow_index": slurry.flow_index,
        "step_pct": None,
        "step_sd_pct": None,
        "here_pct": None,
    }
    if mean is not None and kept.estimate.learnt is not None:
        newest = learnt.newest(mean, kept.estimate.learnt, kept.web_m)
        told["step_pct"] = _number(100.0 * newest.step)
        told["step_sd_pct"] = _number(100.0 * math.sqrt(newest.step2)) if newest.step2 >= 0.0 else None
        told["here_pct"] = _number(100.0 * newest.here)
    return told


def _noise(kept: Kept) -> dict[str, Any]:
    """Drift and noise of the shapes, as factors on what is usual."""
    known = kept.estimate.scales
    if known is None or known.weight <= 0.0:
        return {"drift_factor": None, "noise_factor": None}
    drift, noise = scales.factors(known)
    return {"drift_factor": _number(drift), "noise_factor": _number(noise)}


def _loop(config: Config, kept: Kept) -> dict[str, Any]:
    control = config.line.control
    return {
        "closed_loop_cd_s": control.closed_loop_cd_s,
        "closed_loop_md_s": control.closed_loop_md_s,
        "rungs": [str(rung) for rung in config.ladder.rungs],
        "rung": int(kept.ladder.rung),
        "failures": int(kept.ladder.failures),
    }


def _certificate(config: Config, sigma: Array) -> int:
    """For how many deviations of all that is believed of the map the lips' loop is certified, frozen; 0 for none."""
    loop = frozen(config.line, config.estimator, config.line.control.closed_loop_cd_s)
    box = Doubt(*(float(one) for one in sigma))
    for most in SIGMAS:
        known = certificate.misfits(config.line, config.estimator.response, box.times(most))
        if certificate.certify(known, loop).certified:
            return most
    return 0


def _commissioned(started: Started) -> dict[str, Any] | None:
    model = started.model
    return None if model is None else {"found_at": model.found_at, "signed_off_by": model.signed_off_by}


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def _list(values: Any) -> list[float | None]:
    return [_number(value) for value in values]
