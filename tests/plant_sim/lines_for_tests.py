"""Lines built in code, so that the plant's tests depend on no settings file."""

from controller.line.description import (
    ControlDescription,
    DieDescription,
    GaugeDescription,
    GaugeKind,
    LawName,
    LineDescription,
    LipLimits,
    PumpDescription,
    SlurryDescription,
    TargetDescription,
)


def make_line(zones: int = 40, pitch_mm: float = 25.0, *, boxes: int | None = None) -> LineDescription:
    """A line like lines/line-40.toml, with another number of zones if wanted."""
    boxes = 2 * zones if boxes is None else boxes
    return LineDescription(
        name=f"test-{zones}",
        web_width_mm=zones * pitch_mm,
        web_speed_mps=1.0,
        web_speed_max_mps=80.0 / 60.0,
        target=TargetDescription(180.0, 1.5),
        slurry=SlurryDescription(density_kgm3=1730.0, solids_fraction=0.58, flow_index=0.6),
        die=DieDescription(
            zones=zones,
            zone_pitch_mm=pitch_mm,
            gap_nominal_um=600.0,
            lip_share=0.4,
            kernel_fwhm_pitches=1.8,
            alignment_shift_mm=0.0,
            alignment_uncertainty_mm=8.0,
        ),
        lips=LipLimits(480.0, 720.0, 5.0, 0.2, 0.5, 50.0, 70.0, 0.1),
        pump=PumpDescription(100.0 * zones * pitch_mm / 1000.0, 0.96, 165.0, 8.0, 0.5),
        wet_gauge=GaugeDescription(GaugeKind.WET_ARRAY, boxes, 3.0, 0.1, 0.4),
        dry_gauge=GaugeDescription(GaugeKind.DRY_ARRAY, boxes, 63.0, 1.0, 0.3),
        control=ControlDescription(0.1, LawName.IMC, 20.0, 8.0, 300.0, 0.1, 0.2, 5),
    )
