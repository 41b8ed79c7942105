"""A batch of slurry as the die meets it, how its density follows its solids, and how one batch mixes into the next.

Imported inside plant_sim only.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import numpy as np

from controller.line.description import Array
from plant_sim.compiled import compiled

LIQUID_DENSITY_KGM3 = 1030.0  # NMP; water is close enough for the sensitivity to solids


@dataclass(frozen=True, slots=True)
class Slurry:
    """One slurry as a local power law, with the mass it carries."""

    consistency_pa_sn: float
    flow_index: float
    density_kgm3: float
    solids_fraction: float

    @property
    def solids_kgm3(self) -> float:
        """Dry mass in a volume of slurry: rho * w_solids."""
        return self.density_kgm3 * self.solids_fraction


@dataclass(frozen=True, slots=True)
class Recipe:
    """Densities of particles and liquid; the slurry's own follows by adding volumes."""

    particle_kgm3: float
    liquid_kgm3: float

    @staticmethod
    def of(density_kgm3: float, solids_fraction: float) -> Recipe:
        """The recipe whose slurry has this density at these solids.

        The liquid is NMP unless the slurry would then need particles of no volume, as for a description that is off.
        """
        liquid = max(LIQUID_DENSITY_KGM3, 1.05 * (1.0 - solids_fraction) * density_kgm3)
        particle_volume = 1.0 / density_kgm3 - (1.0 - solids_fraction) / liquid
        return Recipe(solids_fraction / particle_volume, liquid)

    def density_kgm3(self, solids_fraction: float) -> float:
        """1/rho = w/rho_particle + (1-w)/rho_liquid."""
        return 1.0 / (solids_fraction / self.particle_kgm3 + (1.0 - solids_fraction) / self.liquid_kgm3)

    def areal_sensitivity(self, solids_fraction: float) -> float:
        """d ln(rho w) / d w: relative areal density at constant pumped volume for a unit of absolute solids."""
        volume = 1.0 / self.liquid_kgm3 - 1.0 / self.particle_kgm3
        return 1.0 / solids_fraction + self.density_kgm3(solids_fraction) * volume


@dataclass(frozen=True, slots=True)
class Front:
    """A batch change on its way through hoses and manifold."""

    onset_s: float
    duration_s: float  # 96 % of the new batch has come through after this
    size: float = 1.0  # share of the drawn difference between the batches

    def share(self, t_s: float) -> float:
        """How much of the new batch reaches the lip: two stirred tanks in series."""
        return float(front_share(self.onset_s, self.duration_s, t_s))


@compiled
def front_share(onset_s: float, duration_s: float, t_s: float) -> float:
    """Two stirred tanks in series: 1 - (1 + x) e^-x, five turns of the tanks in the front's duration."""
    if t_s <= onset_s:
        return 0.0
    turns = 5.0 * (t_s - onset_s) / duration_s
    if turns > 40.0:
        return 1.0
    return 1.0 - (1.0 + turns) * math.exp(-turns)


@compiled
def blended(batches: Array, fronts: Array, t_s: float) -> tuple[float, float, float, float]:
    """Consistency, flow index, density and solids at the lip. batches: rows of four, flattened; fronts: of three."""
    last = batches.size // 4 - 1
    k, n, density, solids = batches[0], batches[1], batches[2], batches[3]
    log_k = 0.0
    for i in range(fronts.size // 3):
        share = front_share(fronts[3 * i], fronts[3 * i + 1], t_s) * fronts[3 * i + 2]
        if share == 0.0:
            continue
        old, new = 4 * min(i, last), 4 * min(i + 1, last)
        log_k += share * math.log(batches[new] / batches[old])
        n += share * (batches[new + 1] - batches[old + 1])
        density += share * (batches[new + 2] - batches[old + 2])
        solids += share * (batches[new + 3] - batches[old + 3])
    if log_k != 0.0:
        k *= math.exp(log_k)
    return k, n, density, solids


def rows_of(items: tuple[Slurry, ...] | tuple[Front, ...]) -> Array:
    """Batches or fronts as `blended` reads them, flattened."""
    return np.array([astuple(item) for item in items], dtype=np.float64).reshape(-1)


def blend(batches: tuple[Slurry, ...], fronts: tuple[Front, ...], t_s: float) -> Slurry:
    """The slurry at the lip: batches[0], with front i bringing batches[i+1] (the last batch serves further fronts)."""
    return Slurry(*blended(rows_of(batches), rows_of(fronts), t_s))
