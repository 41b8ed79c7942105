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
    OutOfTolerance,
    Passport,
    Run,
    ScrapMark,
    Target,
    Uncertainty,
)
from evencoat.passport.web import Float32, PassportError, Seen, Tell, Web, read_web
from evencoat.passport.weigh import SYSTEMATIC_PCT, RollMap, probability_out, weigh
from evencoat.settings import SettingsError, read_line

INTERVENTIONS = (What.MODE, What.SETPOINT, What.ACKNOWLEDGEMENT, What.RECIPE, What.MODEL, What.COMMAND)
HARRIS_LEAST_M = 300
TEXT_MOST = 400  # characters of a record's old and new; a settings file is one
GAUGES_NOTE = (
    "The systematic part is assumed, not found: what the dry gauge reads too much or too little all the time, its "
    "drift since it was standardised, and foil that is thicker or thinner than ordered, are in nobody's data."
)


@dataclass(frozen=True, slots=True)
class Told:
    """What somebody tells beside the journal: names in place of its own, and causes that were found elsewhere."""

    name: str = ""
    job_order: str = ""
    material_lot: str = ""
    causes: tuple[causes.Named, ...] = ()


@dataclass(slots=True)
class Made:
    """A passport and what it was made of."""

    record: Passport
    web: Web
    roll_map: RollMap
    chance: Float32
    marked: BoolArray


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
    systematic_pct: float = SYSTEMATIC_PCT,
    bound: float = scrap.BOUND,
    tell: Tell | None = None,
) -> Made:
    """The passport of one roll. Raises PassportError; JournalError, sqlite3.Error where the journal cannot be read."""
    try:
        line = read_line(journal.settings_text, journal.path).line
    except SettingsError as error:
        raise PassportError(f"{journal.path}: the settings in it are refused: {error}") from None
    web = read_web(journal, line, roll, tell)
    roll_map = weigh(web, systematic_pct)
    tolerance_pct = line.target.tolerance_pct
    chance = probability_out(roll_map, tolerance_pct)
    cells = scrap.marked(chance, roll_map.coated, bound)
    chain = journal.audit()
    interventions = _interventions(chain, web)
    record = Passport(
        identity=_identity(journal.lot_at(web.to_row), web, roll, told),
        target=_target(web),
        figures=_figures(web, roll_map, chance, cells),
        uncertainty=_uncertainty(web, roll_map),
        stretches=_stretches(journal, web, roll_map, cells, told.causes),
        scrap_bound=bound,
        scrap=[_scrap_mark(mark, web) for mark in scrap.marks(cells)],
        run=_run(journal, web, chain),
        interventions=interventions,
        interventions_by={
            **dict.fromkeys(("person", "automation", "evencoat"), 0),
            **Counter(i.by for i in interventions),
        },
        notes=_notes(journal, web, roll_map),
    )
    return Made(record, web, roll_map, chance, cells)


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


def _figures(web: Web, roll_map: RollMap, chance: Float32, cells: BoolArray) -> Figures:
    coated, metres = roll_map.coated, int(roll_map.coated.sum())
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
        systematic_pct=100.0 * roll_map.systematic,
        random_pct=100.0 * float(np.median(roll_map.random[coated])) if some else None,
        half_width_pct=float(np.median(roll_map.half_width_pct[coated])) if some else None,
        wet_noise_pct=100.0 * math.sqrt(roll_map.walk_shape.wet) if web.wet is not None else None,
        dry_noise_pct=100.0 * math.sqrt(roll_map.walk_shape.dry) if web.dry is not None else None,
        seen_wet=_share(web.wet, coated),
        seen_dry=_share(web.dry, coated),
        note=GAUGES_NOTE,
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
    unseen = roll_map.seen[roll_map.coated] == 0.0
    if unseen.any():
        notes.append(
            f"No gauge saw {100.0 * float(unseen.mean()):.1f} % of the cells; their intervals are as wide as that."
        )
    return notes
