"""passport.html: the passport for people, one file with its pictures inside. Only evencoat.passport imports this."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from evencoat import __version__
from evencoat.passport import figures
from evencoat.passport.build import Made
from evencoat.passport.record import LabSamples, Passport
from evencoat.report.page import document, escaped, image, section
from evencoat.report.words import number

SHOWN = 200  # rows of a table; all of them are in passport.json


def page(made: Made, signer: str) -> str:
    """The whole page. `signer` is the fingerprint of the key that will sign, "" where none will."""
    told = made.record.identity
    return document(f"passport of roll {told.roll}, {told.line}", "\n".join(_sections(made, signer)))


def _sections(made: Made, signer: str) -> Iterator[str]:
    record = made.record
    yield _header(record, signer)
    yield section("Figures", "Of the map, over all that was coated.", _figures(record))
    yield section(
        "Roll map",
        f"Grey is inside tolerance, ±{record.target.tolerance_pct:g} %, blue too thin, brown too thick, white bare. "
        f"Scrap is cut by lane, in pieces of {record.scrap_piece_m} m and more.",
        image(figures.maps(made), "deviation, interval and scrap over the roll")
        + image(figures.profile_and_trend(made), "mean along the roll and profile across it"),
    )
    yield section(
        "Out of tolerance",
        f"Stretches with more than {100.0 * record.scrap_bound:g} % chance of it, and what was going on when this web "
        "left the die. Metres count from where the roll began.",
        _stretches(record),
    )
    yield section("How surely it is known", _doubt(record), _uncertainty(record))
    if record.lab is not None:
        yield section(
            "Lab samples",
            "Discs that were punched out of the roll and weighed, foil taken off. Dots: what the gauges alone read "
            "more than the disc; line and band: what the map was corrected by, with its 95 % interval; dashed: what "
            "was assumed before.",
            image(figures.samples(made), "what the gauges read too much, by lab samples") + _lab(record.lab),
        )
    yield section("What ran, and who had a hand in it", "", _run(record))
    notes = "".join(f"<br>{escaped(note)}" for note in record.notes)
    yield f"<footer>evencoat {__version__}. The same in numbers: passport.json and map.parquet.{notes}</footer>"


def _header(record: Passport, signer: str) -> str:
    told, figure = record.identity, record.figures
    names = (told.name, told.job_order and f"order {told.job_order}", told.material_lot and f"lot {told.material_lot}")
    facts = [told.line, *(name for name in names if name), f"{told.from_at or '–'} to {told.to_at or '–'}"]
    seal = f"Signed with key {signer[:16]}…: check it with evencoat roll verify." if signer else (
        "NOT SIGNED: nobody vouches for this passport."
    )  # fmt: skip
    said = [
        f"{number(figure.coated_m, 0)} m coated, {number(figure.scrap_m, 0)} m with something to cut out "
        f"({100.0 * figure.scrap_share:.2f} % of the area).",
        f"Sigma {number(figure.sigma_total_pct, 2)} %, Cpk {number(figure.cpk, 2)} at "
        f"±{record.target.tolerance_pct:g} %.",
        f"Along the web: {figure.harris_words}.",
        seal,
    ]
    where = " · ".join(escaped(fact) for fact in facts)
    items = "".join(f"<li>{escaped(sentence)}</li>" for sentence in said)
    title = f"<h1>Passport of roll {told.roll}</h1>"
    return f'<header><p class="where">{where}</p>{title}<ul class="said">{items}</ul></header>'


def _figures(record: Passport) -> str:
    figure = record.figures
    harris = number(figure.harris, 2)
    return _table(
        (
            "sigma total, %", "across, %", "along, %", "mean, %", "Cpk", "Harris", "out of tolerance, ppm", "scrap, m",
            "bare, m",
        ),
        [
            (
                number(figure.sigma_total_pct, 3), number(figure.sigma_cd_pct, 3), number(figure.sigma_md_pct, 3),
                number(figure.mean_pct, 3), number(figure.cpk, 2), harris,
                number(1e6 * figure.out_of_tolerance_share, 0), number(figure.scrap_m, 0), number(figure.bare_m, 0),
            )
        ],
    )  # fmt: skip


def _stretches(record: Passport) -> str:
    if not record.stretches:
        return '<p class="note">None.</p>'
    rows = [
        (
            f"{one.from_m:.0f} to {one.to_m:.0f}",
            f"{one.first_lane} to {one.last_lane}" if one.last_lane > one.first_lane else str(one.first_lane),
            str(one.marked_cells),
            f"{one.worst_pct:+.1f}",
            one.from_at or "–",
            one.cause,
        )
        for one in record.stretches[:SHOWN]
    ]
    heads = ("metres", "lanes", "cells marked", "worst, %", "coated at, UTC", "cause")
    return _table(heads, rows) + _more(len(record.stretches))


def _doubt(record: Passport) -> str:
    told = record.uncertainty
    foil = f", and {told.foil_pct:g} % for foil that varies" if told.foil_pct > 0.0 else ""
    assumed = f"{told.systematic_pct:g} % (one standard deviation){foil}"
    if record.lab is None:
        return f"{told.note} It is taken as {assumed}."
    return f"{told.note} Assumed before: {assumed}; left: {number(told.systematic_left_pct, 3)} %."


def _lab(lab: LabSamples) -> str:
    heads = ("row", "metre", "from the end, m", "lane", "g/m2", "of target, %", "gauges more, %", "apart, sigma")
    rows = [
        (
            str(disc.row), f"{disc.from_m:.1f}", f"{disc.from_end_m:.1f}", str(disc.lane),
            f"{disc.areal_density_gsm:.2f}", f"{disc.deviation_pct:+.2f}", f"{disc.gauges_over_pct:+.2f}",
            f"{disc.apart_sigmas:+.1f}",
        )
        for disc in lab.discs[:SHOWN]
    ]  # fmt: skip
    said = f"File {lab.file} (samples.csv beside this page); area of the punch known to {lab.punch_pct:g} %."
    return f'<p class="note">{escaped(said)}</p>' + _table(heads, rows) + _more(len(lab.discs))


def _uncertainty(record: Passport) -> str:
    told = record.uncertainty
    return _table(
        (
            "half width, %", "random, %", "systematic, assumed, %", "wet noise, %", "dry noise, %", "seen wet, %",
            "seen dry, %",
        ),
        [
            (
                number(told.half_width_pct, 3), number(told.random_pct, 3), number(told.systematic_pct, 3),
                number(told.wet_noise_pct, 2), number(told.dry_noise_pct, 2),
                number(100.0 * told.seen_wet, 1), number(100.0 * told.seen_dry, 1),
            )
        ],
    )  # fmt: skip


def _run(record: Passport) -> str:
    run, by = record.run, record.interventions_by
    facts = [
        (
            "interventions",
            f"{by['person']} by people, {by['automation']} by automation, {by['evencoat']} by evencoat itself",
        ),
        ("audit chain", f"{'whole' if run.audit_whole else 'BROKEN'}, head {run.audit_head_seq}:{run.audit_head}"),
        ("settings, SHA-256", run.settings_sha256),
        *((f"started with {key}", value) for key, value in run.started_with.items()),
        *(("model", model) for model in run.models),
        *(("recipe", recipe) for recipe in run.recipes),
    ]
    rows = [(one.at, one.who, one.what, one.old, one.new, one.why) for one in record.interventions[:SHOWN]]
    table = _table(("at, UTC", "who", "what", "from", "to", "why"), rows) + _more(len(record.interventions))
    return _table(("", ""), facts) + (table if rows else "")


def _more(count: int) -> str:
    return f'<p class="note">and {count - SHOWN} more in passport.json</p>' if count > SHOWN else ""


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f'<th class="words">{escaped(text)}</th>' for text in heads)
    body = "".join(
        "<tr>" + "".join(f'<td class="words">{escaped(cell)}</td>' for cell in row) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'
