"""The passport's record: what passport.json holds, with units, and the JSON Schema that others check it by.

`evencoat roll schema` prints the schema; docs/passport.schema.json is the same. Only evencoat.passport imports this.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from evencoat.settings_model import Table

FORMAT: Literal[1] = 1
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Length = Annotated[float, Field(ge=0.0, description="m")]
Maybe = float | None  # null where there is too little web to say
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Moment = Annotated[str, Field(description="UTC, ISO 8601")]


class Identity(Table):
    """Which roll this is. Names of orders and materials are those of ISA-95, "" where nobody gave them."""

    line: str = Field(description="name of the line")
    roll: int = Field(description="number of the roll, as the line counts")
    name: str = Field(default="", description="the roll's own name")
    job_order: str = Field(default="", description="ISA-95 job order")
    material_lot: str = Field(default="", description="ISA-95 material lot")
    batches: list[int] = Field(description="slurry batches that were coated, in order")
    from_at: Moment | None = Field(description="when its first metre left the die")
    to_at: Moment | None = Field(description="when its last metre left the die")
    from_row: int = Field(description="row of the journal with which it begins")
    to_row: int = Field(description="row of the journal with which it ends")
    first_web_m: float = Field(description="where the encoder stood at metre 0 of the roll, m")


class Target(Table):
    """What the web should have been."""

    areal_density_gsm: float = Field(description="mean target of the roll, g/m2, dry, one side")
    profile_gsm: list[float] = Field(description="target of each zone in the line file, g/m2")
    tolerance_pct: float = Field(gt=0, description="half width of the band, percent of the target of then")
    changes: int = Field(ge=0, description="how often the target was changed in the roll")


class Uncertainty(Table):
    """What the intervals of the map are made of."""

    coverage: Share = Field(default=0.95, description="share of cells whose true value lies within the interval")
    systematic_pct: float = Field(ge=0, description="standard uncertainty common to all cells, percent: assumed")
    foil_pct: float = Field(ge=0, description="what foil that varies along the web adds to that, percent: assumed")
    systematic_left_pct: Maybe = Field(
        description="median over the cells of what lab samples leave of both, percent; null: there are no samples"
    )
    random_pct: Maybe = Field(description="median standard uncertainty of one cell, percent: found in the roll's data")
    half_width_pct: Maybe = Field(description="median half width of a cell's interval, percent")
    wet_noise_pct: Maybe = Field(description="noise of one wet scan of one zone, percent; null: no wet gauge")
    dry_noise_pct: Maybe = Field(description="noise of one dry scan of one zone, percent; null: no dry gauge")
    seen_wet: Share = Field(description="share of cells that the wet gauge saw")
    seen_dry: Share = Field(description="share of cells that the dry gauge saw")
    note: str = Field(description="what no journal can tell, in words")


class Figures(Table):
    """The roll in numbers: of the map, over all coated cells. Sigmas are RMS about target."""

    coated_m: Length
    bare_m: Length
    sigma_total_pct: Maybe
    sigma_cd_pct: Maybe = Field(description="its part across the web")
    sigma_md_pct: Maybe = Field(description="its part along the web")
    mean_pct: Maybe = Field(description="mean deviation from target, percent")
    cpk: Maybe = Field(description="(tolerance - |mean|) over three standard deviations")
    harris: Maybe = Field(description="minimum variance over mean square of the mean over the width: 1 is the best")
    harris_words: str = Field(description="the same in plain words")
    out_of_tolerance_share: Share = Field(description="expected share of the coated cells out of tolerance")
    scrap_m: Length = Field(description="metres with a mark in any lane")
    scrap_share: Share = Field(description="share of the coated cells that are to be cut out")
    doubtful_share: Share = Field(description="share of them whose own chance of being out is above the bound")


class ScrapMark(Table):
    """One lane, from and to, for the slitter and the cell lines."""

    lane: int = Field(ge=1, description="zone, counted from 1")
    from_mm: float = Field(description="left edge of the lane, mm from the middle of the web")
    to_mm: float = Field(description="right edge of the lane, mm from the middle of the web")
    from_m: Length = Field(description="m from the roll's first metre")
    to_m: Length = Field(description="m from the roll's first metre")
    from_end_m: Length = Field(description="m from the roll's last metre to where the mark begins when it is unwound")
    to_end_m: Length = Field(description="m from the roll's last metre to where it ends when the roll is unwound")


class LabSample(Table):
    """A disc that was punched out of the roll and weighed."""

    row: int = Field(ge=2, description="of the file")
    from_m: Length = Field(description="m from the roll's first metre")
    from_end_m: Length = Field(description="m from the roll's last metre")
    lane: int = Field(ge=1)
    across_mm: float = Field(description="mm from the middle of the web")
    areal_density_gsm: float = Field(gt=0)
    deviation_pct: float = Field(description="from the target of then, percent")
    sd_pct: float = Field(gt=0, description="standard uncertainty of the weighing, percent of the target of then")
    gauges_over_pct: float = Field(description="by how much the map without samples is above it, percent")
    apart_sigmas: float = Field(description="standard deviations by which that is more than the other discs let expect")


class LabSamples(Table):
    """The discs of one file, and what they say of the map."""

    file: str = Field(description="its name when it was read; its bytes are beside this record")
    punch_pct: float = Field(ge=0, description="standard uncertainty of the punch's area, common to all discs, percent")
    gauge_pct: float = Field(description="size of the gauge's systematic part that the discs made likeliest, percent")
    foil_pct: float = Field(description="the same of a part that changes at splices and stops, percent")
    discs: list[LabSample]


class OutOfTolerance(Table):
    """A stretch for people: the rectangle about cells that hang together and whose chance is above the bound."""

    from_m: Length
    to_m: Length
    first_lane: int = Field(ge=1)
    last_lane: int = Field(ge=1)
    marked_cells: int = Field(ge=1, description="cells of a metre and a zone in it that are above the bound")
    worst_pct: float = Field(description="largest deviation from target in it, percent")
    from_at: Moment | None
    cause: str


class Intervention(Table):
    """A record of the audit chain, of while the roll was coated."""

    seq: int
    at: Moment
    who: str
    by: Literal["person", "automation", "evencoat"]
    what: str
    old: str
    new: str
    why: str


class Run(Table):
    """What ran: settings, laws, models, recipes; and where the audit chain stood."""

    evencoat: str = Field(description="version that wrote this passport")
    journal_id: str
    settings_sha256: Hash = Field(description="of the line file's text in the journal")
    started_with: dict[str, str] = Field(description="law, version and model of the last start before the roll's end")
    models: list[str] = Field(description="models that were taken into use, as the audit chain names them")
    recipes: list[str] = Field(description="recipes that were applied, as the audit chain names them")
    audit_head_seq: int = Field(ge=0, description="number of the last record of the audit chain; 0: there is none")
    audit_head: str = Field(description="its hash")
    audit_whole: bool = Field(description="whether the chain held when the passport was written")


class Passport(Table):
    """passport.json"""

    format: Literal[1] = FORMAT
    identity: Identity
    target: Target
    figures: Figures
    uncertainty: Uncertainty
    stretches: list[OutOfTolerance]
    scrap_bound: Share = Field(
        description="pieces are cut so that the sum of (chance of being out - this) over what goes is the largest"
    )
    scrap_piece_m: int = Field(
        ge=1, description="shortest piece of a lane that is cut out or left between two cuts, m; 1: single cells"
    )
    scrap: list[ScrapMark]
    lab: LabSamples | None = Field(description="lab samples that the map was pinned by; null: none")
    run: Run
    interventions: list[Intervention]
    interventions_by: dict[str, int] = Field(description="how many by a person, by automation, by evencoat itself")
    notes: list[str] = Field(description="what a reader should know of this passport")


def schema() -> dict[str, Any]:
    """The JSON Schema of passport.json (draft 2020-12)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "evencoat roll passport",
        **Passport.model_json_schema(mode="serialization"),
    }
