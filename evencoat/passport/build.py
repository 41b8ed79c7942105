"""A roll of a journal -> its passport: the map weighed, scrap marked, causes named, the record filled in.

Only evencoat.passport imports this.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from controller.core.harris import in_words, index_of_run
from controller.line.description import Array, BoolArray, LineDescription
from evencoat import __version__
from evencoat.journal import JournalReader, Roll, What
from evencoat.journal.audit import ITSELF, AuditRecord
from evencoat.journal.interventions import by_automation
from evencoat.journal.lots import Lot
from evencoat.keys import iso
from evencoat.league.metrics import moments
from evencoat.passport import causes, scrap
from evencoat.passport.record import (
    Figures,
    Identity,
    Intervention,
    LabSample,
    LabSamples,
    OutOfTolerance,
    Passport,
    Run,
    ScrapMark,
    Target,
    Uncertainty,
)
from evencoat.passport.samples import Samples
from evencoat.passport.web import Float32, PassportError, Seen, Tell, Web, read_web
from evencoat.passport.weigh import SYSTEMATIC_PCT, RollMap, pinned, probability_out, weigh
from evencoat.settings import DryAccuracy, SettingsError, read_line

INTERVENTIONS = (What.MODE, What.SETPOINT, What.ACKNOWLEDGEMENT, What.RECIPE, What.MODEL, What.COMMAND)
HARRIS_LEAST_M = 300
TEXT_MOST = 400  # characters of a record's old and new; a settings file is one
GAUGES_NOTE = (
    "The systematic part is assumed, not found: what the dry gauge reads too much or too little all the time, its "
    "drift since it was standardised, and foil that is thicker or thinner than ordered, are in nobody's data."
)
SAMPLES_NOTE = (
    "What the dry gauge reads too much or too little all the time was found by the lab samples: well where they were "
    "cut, less so hours of line time away from them, and no better than the area of their punch is known."
)
APART_SIGMAS = 4.0  # a disc further from what the others let expect is told of


@dataclass(frozen=True, slots=True)
class Told:
    """What somebody tells beside the journal: names in place of its own, and causes that were found elsewhere."""

    name: str = ""
    job_order: str = ""
    material_lot: str = ""
    causes: tuple[causes.Named, ...] = ()
    samples: Samples | None = None


@dataclass(frozen=True, slots=True)
class Assumed:
    """What a passport takes for granted. None: as the line file has it ([gauges.dry]), or else as usual.

    systematic_pct, foil_pct: of target, standard uncertainties, see weigh; bound, piece_m: of what is cut out, see
    scrap.cut_out.
    """

    systematic_pct: float | None = None
    foil_pct: float | None = None
    bound: float = scrap.BOUND
    piece_m: int = scrap.PIECE_M


@dataclass(slots=True)
class Made:
    """A passport and what it was made of. doubtful: cells above the bound; marked: those to be cut out, in pieces."""

    record: Passport
    web: Web
    roll_map: RollMap
    chance: Float32
    doubtful: BoolArray
    marked: BoolArray
    samples: Samples | None = None


def rolls_of(journal: JournalReader, most: int = 1000) -> list[Roll]:
    """The journal's rolls, the newest first."""
    return journal.rolls(journal.last_row() + 1, most)


def roll_named(journal: JournalReader, number: int | None) -> Roll:
    """The newest roll of a number, or the newest of all. Raises PassportError naming those there are."""
    found = rolls_of(journal)
    if not found:
        raise PassportError(f"{journal.path}: holds no cycle, so there is no roll in it")
    for roll in found:
        if number is None or roll.roll == number:
            return roll
    raise PassportError(
        f"roll: no {number} in {journal.path}; it has {', '.join(str(roll.roll) for roll in found[:20])}"
    )


def make(
    journal: JournalReader,
    roll: Roll,
    told: Told = Told(),
    assumed: Assumed = Assumed(),
    tell: Tell | None = None,
) -> Made:
    """The passport of one roll. Raises PassportError; JournalError, sqlite3.Error where the journal cannot be read."""
    try:
        settings = read_line(journal.settings_text, journal.path)
    except SettingsError as error:
        raise PassportError(f"{journal.path}: the settings in it are refused: {error}") from None
    web = read_web(journal, settings.line, roll, tell)
    roll_map = _weighed(web, settings.dry_accuracy, assumed, told.samples)
    chance = probability_out(roll_map, settings.line.target.tolerance_pct)
    doubtful = scrap.doubtful(chance, roll_map.coated, assumed.bound)
    cells = scrap.cut_out(chance, roll_map.coated, assumed.bound, assumed.piece_m)
    chain = journal.audit()
    interventions = _interventions(chain, web)
    record = Passport(
        identity=_identity(journal.lot_at(web.to_row), web, roll, told),
        target=_target(web),
        figures=_figures(web, roll_map, chance, (doubtful, cells)),
        uncertainty=_uncertainty(web, roll_map),
        stretches=_stretches(journal, web, roll_map, doubtful, told.causes),
        scrap_bound=assumed.bound,
        scrap_piece_m=assumed.piece_m,
        lab=_lab(web, roll_map, told.samples),
        scrap=[_scrap_mark(mark, web) for mark in scrap.marks(cells)],
        run=_run(journal, web, chain),
        interventions=interventions,
        interventions_by={
            **dict.fromkeys(("person", "automation", "evencoat"), 0),
            **Counter(i.by for i in interventions),
        },
        notes=_notes(journal, web, roll_map),
    )
    return Made(record, web, roll_map, chance, doubtful, cells, told.samples)


def _weighed(web: Web, stated: DryAccuracy, assumed: Assumed, samples: Samples | None) -> RollMap:
    systematic_pct, foil_pct = (
        next(value for value in values if value is not None)
        for values in (
            (assumed.systematic_pct, stated.accuracy_pct, SYSTEMATIC_PCT),
            (assumed.foil_pct, stated.foil_pct, 0.0),
        )
    )
    roll_map = weigh(web, systematic_pct, foil_pct)
    return roll_map if samples is None else pinned(roll_map, web, samples)


def _lab(web: Web, roll_map: RollMap, samples: Samples | None) -> LabSamples | None:
    known = roll_map.known
    if samples is None or known is None:
        return None
    return LabSamples(
        file=samples.name,
        punch_pct=samples.punch_pct,
        gauge_pct=100.0 * known.gauge,
        foil_pct=100.0 * known.foil,
        discs=[
            LabSample(
                row=disc.row,
                from_m=disc.at_m,
                from_end_m=web.metres - disc.at_m,
                lane=disc.zone + 1,
                across_mm=disc.across_mm,
                areal_density_gsm=disc.gsm,
                deviation_pct=100.0 * math.expm1(disc.log),
                sd_pct=100.0 * disc.sd,
                gauges_over_pct=100.0 * math.expm1(over),
                apart_sigmas=apart,
            )
            for disc, over, apart in zip(known.discs, known.over.tolist(), known.apart.tolist(), strict=True)
        ],
    )


def _identity(lot: Lot, web: Web, roll: Roll, told: Told) -> Identity:
    batches = web.laid.batch
    return Identity(
        line=web.line.name,
        roll=roll.roll,
        name=told.name or lot.roll_name,
        job_order=told.job_order or lot.production_order,
        material_lot=told.material_lot or lot.material_lot,
        batches=[int(batch) for batch in dict.fromkeys(batches.tolist()) if batch >= 0],
        from_at=_at(web, 0),
        to_at=_at(web, web.metres - 1),
        from_row=web.from_row,
        to_row=web.to_row,
        first_web_m=float(web.first_m),
    )


def _at(web: Web, metre: int) -> str | None:
    t_s = float(web.laid.t_unix_s[metre])
    return iso(t_s) if math.isfinite(t_s) else None


def _target(web: Web) -> Target:
    ratio, line = web.laid.target_ratio, web.line
    return Target(
        areal_density_gsm=float(ratio.mean() * line.target_profile_gsm.mean()),
        profile_gsm=line.target_profile_gsm.tolist(),
        tolerance_pct=line.target.tolerance_pct,
        changes=int(np.count_nonzero(np.abs(np.diff(ratio)) > causes.TARGET_SHARE)),
    )


def _figures(web: Web, roll_map: RollMap, chance: Float32, marked: tuple[BoolArray, BoolArray]) -> Figures:
    coated, metres = roll_map.coated, int(roll_map.coated.sum())
    doubtful, cells = marked
    told: dict[str, float | None] = {
        "sigma_total_pct": None,
        "sigma_cd_pct": None,
        "sigma_md_pct": None,
        "mean_pct": None,
        "cpk": None,
    }
    if metres:
        cd, md, mean, spread = moments(roll_map.deviation_pct[coated].astype(np.float64), np.full(metres, 1.0 / metres))
        cpk = (web.line.target.tolerance_pct - abs(mean)) / (3.0 * max(spread, 1e-9))
        told = {
            "sigma_total_pct": math.hypot(cd, md),
            "sigma_cd_pct": cd,
            "sigma_md_pct": md,
            "mean_pct": mean,
            "cpk": cpk,
        }
    index, words = _harris(web.line, 100.0 * roll_map.mean_log[coated])
    return Figures(
        coated_m=float(metres),
        bare_m=float(web.metres - metres),
        harris=index,
        harris_words=words,
        out_of_tolerance_share=float(chance[coated].mean()) if metres else 0.0,
        scrap_m=float(cells.any(axis=1).sum()),
        scrap_share=float(cells[coated].mean()) if metres else 0.0,
        doubtful_share=float(doubtful[coated].mean()) if metres else 0.0,
        **told,
    )


def _harris(line: LineDescription, mean_pct: Array) -> tuple[float | None, str]:
    if mean_pct.size < HARRIS_LEAST_M:
        return None, in_words(math.nan, 0.0)
    index = index_of_run(mean_pct, np.arange(mean_pct.size, dtype=np.float64), line.primary_gauge.distance_m)
    words = in_words(index, float(np.sqrt(np.mean(mean_pct**2))))
    return (index if math.isfinite(index) else None), words


def _uncertainty(web: Web, roll_map: RollMap) -> Uncertainty:
    coated = roll_map.coated
    some = bool(coated.any())
    return Uncertainty(
        systematic_pct=100.0 * roll_map.assumed[0],
        foil_pct=100.0 * roll_map.assumed[1],
        systematic_left_pct=100.0 * float(np.median(roll_map.systematic)) if roll_map.known is not None else None,
        random_pct=100.0 * float(np.median(roll_map.random[coated])) if some else None,
        half_width_pct=float(np.median(roll_map.half_width_pct[coated])) if some else None,
        wet_noise_pct=100.0 * math.sqrt(roll_map.walk_shape.wet) if web.wet is not None else None,
        dry_noise_pct=100.0 * math.sqrt(roll_map.walk_shape.dry) if web.dry is not None else None,
        seen_wet=_share(web.wet, coated),
        seen_dry=_share(web.dry, coated),
        note=GAUGES_NOTE if roll_map.known is None else SAMPLES_NOTE,
    )


def _share(seen: Seen | None, coated: BoolArray) -> float:
    return float((seen.count[coated] > 0.0).mean()) if seen is not None and coated.any() else 0.0


def _stretches(
    journal: JournalReader, web: Web, roll_map: RollMap, cells: BoolArray, found: Iterable[causes.Named]
) -> list[OutOfTolerance]:
    events, found = journal.events(), tuple(found)
    return [
        OutOfTolerance(
            from_m=float(one.from_m),
            to_m=float(one.to_m),
            first_lane=one.first_zone + 1,
            last_lane=one.last_zone + 1,
            marked_cells=one.cells,
            worst_pct=one.worst_pct,
            from_at=_at(web, one.from_m),
            cause=causes.cause_of(one, web, roll_map, events, found),
        )
        for one in scrap.stretches(cells, roll_map.deviation_pct)
    ]


def _scrap_mark(mark: scrap.Mark, web: Web) -> ScrapMark:
    pitch_mm = web.line.web_width_mm / web.line.zones
    left_mm = mark.zone * pitch_mm - 0.5 * web.line.web_width_mm
    return ScrapMark(
        lane=mark.zone + 1,
        from_mm=left_mm,
        to_mm=left_mm + pitch_mm,
        from_m=float(mark.from_m),
        to_m=float(mark.to_m),
        from_end_m=float(web.metres - mark.to_m),
        to_end_m=float(web.metres - mark.from_m),
    )


def _run(journal: JournalReader, web: Web, chain: list[AuditRecord]) -> Run:
    until_ns = _until_ns(web)
    so_far = [record for record in chain if record.t_unix_ns <= until_ns]
    start = next((record for record in reversed(so_far) if record.what == What.START), None)
    verdict = journal.verify()
    told = json.loads(start.new) if start is not None else {}
    return Run(
        evencoat=__version__,
        journal_id=journal.meta["journal_id"],
        settings_sha256=hashlib.sha256(journal.settings_text.encode()).hexdigest(),
        started_with={key: str(told[key]) for key in ("law", "version", "model", "settings_sha256") if key in told},
        models=[record.new[:TEXT_MOST] for record in so_far if record.what == What.MODEL],
        recipes=[record.new[:TEXT_MOST] for record in so_far if record.what == What.RECIPE],
        audit_head_seq=verdict.head_seq,
        audit_head=verdict.head_hash,
        audit_whole=verdict.ok and not journal.torn,
    )


def _until_ns(web: Web) -> float:
    known = web.laid.t_unix_s[np.isfinite(web.laid.t_unix_s)]
    return 1e9 * float(known.max()) if known.size else math.inf


def _interventions(chain: list[AuditRecord], web: Web) -> list[Intervention]:
    """What was asked of the line while this roll was coated, by whom."""
    known = web.laid.t_unix_s[np.isfinite(web.laid.t_unix_s)]
    if not known.size:
        return []
    first_ns, last_ns = 1e9 * float(known.min()), 1e9 * float(known.max())
    return [
        Intervention(
            seq=record.seq,
            at=iso(record.t_unix_ns / 1e9) or "",
            who=record.who,
            by=_by(record.who),
            what=record.what,
            old=record.old[:TEXT_MOST],
            new=record.new[:TEXT_MOST],
            why=record.why[:TEXT_MOST],
        )
        for record in chain
        if record.what in INTERVENTIONS and first_ns <= record.t_unix_ns <= last_ns
    ]


def _by(who: str) -> Literal["person", "automation", "evencoat"]:
    return "automation" if by_automation(who) else "evencoat" if who == ITSELF else "person"


def _notes(journal: JournalReader, web: Web, roll_map: RollMap) -> list[str]:
    notes = []
    if web.set_back:
        notes.append("The web position was set anew within this roll; only the web since then is in this passport.")
    if journal.torn:
        notes.append(f"The journal is {journal.torn}.")
    if web.line.wet_gauge is None:
        notes.append(
            "The line has no wet gauge: between scans of the dry one nothing is known, and intervals are wider."
        )
    if web.line.dry_gauge is None:
        notes.append(
            "The line has no dry gauge: nothing tells solids, and the assumed systematic part is that of a wet one."
        )
    elif web.line.dry_gauge.is_scanner:
        notes.append("A scanner sees each metre in few lanes: its pass is shared out over the metres that it crossed.")
    notes += _apart(roll_map)
    unseen = roll_map.seen[roll_map.coated] == 0.0
    if unseen.any():
        notes.append(
            f"No gauge saw {100.0 * float(unseen.mean()):.1f} % of the cells; their intervals are as wide as that."
        )
    return notes


def _apart(roll_map: RollMap) -> list[str]:
    known = roll_map.known
    far = [] if known is None else [
        f"row {disc.row} ({apart:+.1f})"
        for disc, apart in zip(known.discs, known.apart.tolist(), strict=True)
        if abs(apart) > APART_SIGMAS
    ]  # fmt: skip
    if not far:
        return []
    return [
        f"Lab samples that lie far from what gauges and all other samples say, in standard deviations: "
        f"{', '.join(far[:10])}. They were believed like the others."
    ]
