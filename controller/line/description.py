"""What the machine is: zones, pitch, gauges and where they stand, actuators and their limits.

These objects hold what the *controller believes* of the line. A simulated plant keeps its own truth (plant_sim.truth)
and may disagree. They are built once, from a checked settings file, and never change while a process lives.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


class GaugeKind(StrEnum):
    """How a gauge looks at the web. A wet gauge reports film thickness (um), a dry one areal density (g/m2).

    A scanner is one head that crosses the web in a zig-zag and reports the whole profile at the end of each pass.
    """

    WET_ARRAY = "wet-array"
    DRY_ARRAY = "dry-array"
    DRY_SCANNER = "dry-scanner"


class LawName(StrEnum):
    """Control laws behind the one interface of controller.core.law."""

    PI = "pi"
    IMC = "imc"
    ADAPTIVE = "adaptive"
    NEURAL = "neural"  # adaptive, and a network that foresees; without one it is adaptive

    @property
    def learns(self) -> bool:
        """Whether it learns the line while it runs."""
        return self in (LawName.ADAPTIVE, LawName.NEURAL)


@dataclass(frozen=True, slots=True)
class GaugeDescription:
    """One gauge: `boxes` equal boxes across the coated width, `distance_m` of web after the die lip."""

    kind: GaugeKind
    boxes: int
    distance_m: float
    period_s: float  # of scans; of a scanner's passes, its turn included
    noise_pct: float  # one standard deviation of one box in one scan, in percent of target
    head_speed_mps: float = 0.0  # of a scanner across the web; 0 for an array
    edge_mask_mm: float = 0.0  # boxes within this of either edge of the coating are not believed

    @property
    def is_scanner(self) -> bool:
        return self.kind is GaugeKind.DRY_SCANNER

    @property
    def is_wet(self) -> bool:
        return self.kind is GaugeKind.WET_ARRAY


@dataclass(frozen=True, slots=True)
class Doubt:
    """How wrong the belief of the response may be: half widths of a box about it, or one standard deviation each.

    gain and kernel are logs of factors; shift in pitches, stretch as a share of the width; delay_s of the transport.
    """

    gain: float = 0.0
    kernel: float = 0.0
    shift_pitches: float = 0.0
    stretch: float = 0.0
    delay_s: float = 0.0

    def times(self, factor: float) -> Doubt:
        """The same, `factor` times as wide."""
        return Doubt(
            factor * self.gain,
            factor * self.kernel,
            factor * self.shift_pitches,
            factor * self.stretch,
            factor * self.delay_s,
        )


@dataclass(frozen=True, slots=True)
class DieDescription:
    """The slot die as its drawing tells it, and what is believed of its response."""

    zones: int
    zone_pitch_mm: float
    gap_nominal_um: float
    lip_share: float  # share of the slot's pressure drop that the adjustable lip takes (f_lip), 0..1
    kernel_fwhm_pitches: float  # width of one bolt's response at half height
    alignment_shift_mm: float  # believed offset of the gauges' zones against the bolts
    alignment_uncertainty_mm: float  # integral action rolls off above what this supports
    # What commissioning found beyond the drawing; the defaults are the drawing's.
    gain_factor: float = 1.0  # on the response that slurry, lip share and gap make
    kernel_lobe: float = 1.0  # size of the kernel's negative lobe: 1 is a beam on an elastic foundation
    alignment_stretch_pct: float = 0.0  # bolts stand so much further apart, about the middle, than the gauges' zones
    bolt_gains: tuple[float, ...] = ()  # each bolt's pull against its neighbours'; () is 1 for all
    bolt_delivery: tuple[float, ...] = ()  # of a bolt's moves that reach the lip: 1, 0 dead, -1 reversed; () is 1
    doubt: Doubt | None = None  # one standard deviation of what was found; None where nobody has looked


@dataclass(frozen=True, slots=True)
class LipLimits:
    """What the die-gap actuators may be asked: the envelope's limits."""

    gap_min_um: float
    gap_max_um: float
    rate_um_per_s: float
    resolution_um: float
    backlash_um: float
    neighbour_max_um: float  # largest difference between neighbouring bolts
    bend_max_um: float  # largest second difference over three bolts (lip bending)
    command_step_um: float  # one count of the command on the wire; commands are whole multiples of it


@dataclass(frozen=True, slots=True)
class PumpDescription:
    """Metering pump. It is commanded as a ratio to web speed and a trim: rpm = ratio * web_speed * (1 + trim/100)."""

    displacement_cc_per_rev: float
    efficiency: float
    speed_max_rpm: float
    trim_max_pct: float
    trim_rate_pct_per_s: float


@dataclass(frozen=True, slots=True)
class SlurryDescription:
    """The recipe's slurry as believed; batches differ from it."""

    density_kgm3: float
    solids_fraction: float
    flow_index: float  # power-law n

    @property
    def areal_density_gsm_per_um(self) -> float:
        """Dry areal density (g/m2) of one micrometre of wet film: rho [kg/m3] * w_solids * 1e-3."""
        return self.density_kgm3 * self.solids_fraction * 1e-3


@dataclass(frozen=True, slots=True)
class TargetDescription:
    """What the web shall be. `profile_gsm` gives each zone's target when they differ."""

    areal_density_gsm: float
    tolerance_pct: float
    profile_gsm: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class ControlDescription:
    """How the loop runs and how it is tuned; every time constant is a closed-loop one."""

    cycle_s: float
    law: LawName
    closed_loop_cd_s: float  # lambda of the zero-mean lip modes
    closed_loop_md_s: float  # lambda of the pump
    bias_filter_s: float  # slowest that the dry gauge corrects the wet one, whatever the statistics say
    mode_gain_floor: float  # modes whose gain is below this share of the largest are left alone
    dead_band_um: float  # lip moves smaller than this are not worth their travel
    stale_periods: int  # gauge periods without a scan until the loop holds


@dataclass(frozen=True, slots=True)
class LineDescription:
    """One coating line. Built by evencoat.settings from a line file; see lines/*.toml."""

    name: str
    web_width_mm: float
    web_speed_mps: float
    web_speed_max_mps: float
    target: TargetDescription
    slurry: SlurryDescription
    die: DieDescription
    lips: LipLimits
    pump: PumpDescription
    wet_gauge: GaugeDescription | None
    dry_gauge: GaugeDescription | None
    control: ControlDescription

    @property
    def zones(self) -> int:
        return self.die.zones

    @property
    def primary_gauge(self) -> GaugeDescription:
        """The gauge that closes the loop: the wet one where there is one, because it is nearest the die."""
        gauge = self.wet_gauge or self.dry_gauge
        if gauge is None:
            raise ValueError("gauge: a line needs at least one gauge, found none")
        return gauge

    @property
    def target_profile_gsm(self) -> Array:
        """Target of each zone, shape (zones,), g/m2."""
        if self.target.profile_gsm:
            return np.asarray(self.target.profile_gsm, dtype=np.float64)
        return np.full(self.zones, self.target.areal_density_gsm)

    @property
    def pump_ratio_nominal_rpm_per_mps(self) -> float:
        """Pump speed per web speed that meets the target at the believed slurry and efficiency.

        From pre-metering, m = rho w Q/(W U) with Q = V_d N eta (physics of slot-die coating).
        """
        wet_m = float(np.mean(self.target_profile_gsm)) / self.slurry.areal_density_gsm_per_um * 1e-6
        flow_per_mps = wet_m * self.web_width_mm * 1e-3  # m3/s for each m/s of web
        per_rev = self.pump.displacement_cc_per_rev * 1e-6 * self.pump.efficiency
        return flow_per_mps / per_rev * 60.0

    @property
    def zone_centres_mm(self) -> Array:
        """Bolt positions across the web, shape (zones,), zero in the middle."""
        bolts = np.arange(self.zones, dtype=np.float64)
        return (bolts - (self.zones - 1) / 2.0) * self.die.zone_pitch_mm
