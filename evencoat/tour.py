"""`evencoat plant-tour`: one self-contained page of pictures of the plant, and its oracles expected against got.

For those who have to believe the simulator. Everything on the page is computed when it is written: pictures of faults
are runs of the plant, figures are the rows that the tests assert. evencoat.cli calls `build_tour`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from controller.line.description import LineDescription
from evencoat import __version__
from evencoat.settings import load_line
from plant_sim import families, oracles
from plant_sim.oracles import Oracle

PAGE_NAME = "plant-tour.html"
LINE = "line-40"


def build_tour(out_dir: Path) -> Path:
    """Write out_dir/plant-tour.html (in one move) and return its path. Makes the folder; raises OSError."""
    from evencoat.report.page import document

    out_dir.mkdir(parents=True, exist_ok=True)
    path = out_dir / PAGE_NAME
    part = path.with_name(f".{path.name}.part")
    part.write_text(document("plant tour", "\n".join(_sections())), encoding="utf-8")
    os.replace(part, path)
    return path


def _sections() -> Iterator[str]:
    from evencoat import tour_figures as figures  # loads matplotlib
    from evencoat.report.page import image, section

    line = load_line(LINE).line
    rows = oracles.table()
    yield _header(rows)
    yield section(
        "From gap to profile",
        "Above, what bolts are asked and what the lip makes of it; below, the coating. Lips share the flow out and "
        "create none: a move of all bolts leaves the profile as it is, and every profile has the mean zero.",
        image(figures.gap_to_profile(line), "bolt moves, lip opening and coating"),
    )
    yield section(
        "Kernel",
        "A bolt bends the lip over its neighbours and presses it back a little further out. Right: gains of the bolts "
        "differ by 10 %, and bolts stand beside where the gauges think they do.",
        image(figures.kernel(line), "response of the lip to one bolt"),
    )
    yield section(
        "Flow index",
        "A slurry that thins more loses more along the manifold and answers more to the lip. Consistency and flow rate "
        "are in neither: they drop out. Right: lines are the formula, dots the simulator's own split.",
        image(figures.flow_index(line), "droop and lip gain against the flow index"),
    )
    yield section(
        "One moment, two gauges",
        "The same piece of web, as it is and as each gauge reports it when it comes past. The band is the tolerance.",
        image(figures.one_moment(line), "true profile beside what each gauge reports"),
    )
    yield from _signatures(line)
    yield section("Families of lines", _FAMILY_NOTE, _family_table())
    yield section("Oracles", _ORACLE_NOTE, _oracle_table(rows))
    yield f"<footer>evencoat {__version__}. What is modelled, from where, and what is not: docs/plant.md.</footer>"


def _signatures(line: LineDescription) -> Iterator[str]:
    from evencoat import tour_figures as figures
    from evencoat.report.page import image, section

    colours = "Ink is the truth, blue the wet gauge, brown the dry gauge"
    yield section(
        "Disturbances",
        f"Each alone, as large as drawn for this line. Left of a pair the mean over the width: {colours.lower()} 63 s "
        "later. Right what it does to the true profile at the start, half way and at the end, darker with time. "
        "The wet gauge is blind to solids.",
        image(figures.disturbances(line), "signatures of the disturbances"),
    )
    yield section(
        "Faults",
        f"Each on a quiet line whose bolts in the middle are asked for a bump after 30 s; the fault lasts where it is "
        f"shaded, or always. {colours}, pale the same line without the fault. The profile is taken at 120 s, for the "
        "slow bolt at 60 s, for web stop and encoder loss at 50 s, before them. A pump stops by itself when the web "
        "does or the encoder is lost. Dots at the edge of a panel lie beyond it.",
        image(figures.faults(line), "signatures of the faults"),
    )
    yield section(
        "Batch change",
        "Another slurry mixes in from minute 3 on. Solids move the mean, which the wet gauge does not see: it sees the "
        "pump slip otherwise under another pressure. Flow index and yield stress move the profile by the manifold.",
        image(figures.batch_change(line), "a batch change"),
    )
    yield section(
        "Physics beside the step",
        "Formulas that are tested and that the plant's step does not play yet, or leaves out with a reason.",
        image(figures.beside(line), "slot flow, levelling, coating window, lip opening, counting noise, foil"),
    )


def _header(rows: tuple[Oracle, ...]) -> str:
    kept = sum(row.passes for row in rows)
    words = f"{kept} of {len(rows)} oracles hold" if kept < len(rows) else f"All {len(rows)} oracles hold"
    return (
        f'<header><p class="where">evencoat plant-tour · {LINE}, seed 1</p>'
        f"<h1>The simulated line in pictures. {words}.</h1></header>"
    )


_ORACLE_NOTE = (
    "Numbers that follow from published formulas, beside what the simulator computes. Tolerance is absolute, in the "
    "row's unit; where a number is printed with few digits it is half of its last one. Tests assert the same rows."
)


def _oracle_table(rows: tuple[Oracle, ...]) -> str:
    from evencoat.report.page import escaped

    head = '<th class="words">what</th><th>expected</th><th>got</th><th>error</th><th>tolerance</th>'
    body, group = [], ""
    for row in rows:
        first = escaped(row.group) if row.group != group else ""
        group = row.group
        mark = "" if row.passes else ' class="alarm"'
        unit = f" {escaped(row.unit)}" if row.unit else ""
        body.append(
            f'<tr><td>{first}</td><td class="words">{escaped(row.name)}</td><td>{row.expected:.7g}{unit}</td>'
            f"<td>{row.computed:.7g}</td><td{mark}>{_small(row.error)}</td><td>{_small(row.tolerance)}</td>"
            f'<td class="words">{escaped(row.source)}</td></tr>'
        )
    head = f'<tr><th>group</th>{head}<th class="words">source</th></tr>'
    return f'<div class="scroll"><table>{head}{"".join(body)}</table></div>'


def _small(value: float) -> str:
    return "0" if value == 0.0 else f"{value:.1e}"


_FAMILY_NOTE = (
    "Random lines by name: what the controller is told and what is true are drawn apart where the family says so. "
    "Ranges that a family replaces; all others are the nominal ones."
)


def _family_table() -> str:
    from evencoat.report.page import escaped

    def ranges(of: Mapping[str, families.Range]) -> str:
        return "<br>".join(f"{escaped(name)} {low:g} … {high:g}" for name, (low, high) in of.items()) or "–"

    body = "".join(
        f'<tr><td>{name}</td><td class="words">{escaped(family.meaning)}</td>'
        f'<td class="words">{ranges(family.described)}</td><td class="words">{ranges(family.true)}</td></tr>'
        for name, family in families.FAMILIES.items()
    )
    nominal = escaped(", ".join(f"{name} {low:g}…{high:g}" for name, (low, high) in families.RANGES.items()))
    head = '<th>family</th><th class="words">what</th><th class="words">told</th><th class="words">true</th>'
    return (
        f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'
        f'<p class="note" style="margin-top:10px">Nominal ranges: {nominal}.</p>'
    )
