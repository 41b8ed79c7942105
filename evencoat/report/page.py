"""The report as one HTML file: text, table and embedded pictures; opens anywhere, asks the network for nothing.

Only evencoat.report imports this; evencoat.tour puts its own page together from the same pieces.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterator

import numpy as np

from evencoat import __version__
from evencoat.report import figures, words
from evencoat.report.run import ControllerRun, RunData

EVENTS_SHOWN = 40

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #e9e9e6; color: #333; font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 24px 60px; }
header p.where { color: #666662; margin: 0; font-size: 13px; }
h1 { font-size: 24px; line-height: 1.3; font-weight: 600; margin: 6px 0 10px; max-width: 46em; }
h2 { font-size: 16px; font-weight: 600; margin: 0 0 4px; }
p.note { color: #666662; font-size: 13px; margin: 0 0 10px; max-width: 70em; }
section { background: #fff; border: 1px solid #d5d5d0; border-radius: 4px; padding: 18px 20px; margin-top: 16px; }
details { margin: 0 0 14px; }
ul.said { margin: 0; padding-left: 20px; }
img { display: block; width: 100%; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 8px; text-align: right; border-bottom: 1px solid #e4e4e0; vertical-align: bottom; }
th { font-weight: 500; color: #666662; font-size: 12.5px; }
th:first-child, td:first-child { text-align: left; }
td.words, th.words { text-align: left; }
tr.main td { background: #f3f3f0; font-weight: 600; }
td.best { text-decoration: underline; text-underline-offset: 3px; text-decoration-color: #9a9a94; }
td.alarm { background: #a3420f; color: #fff; }
pre { overflow-x: auto; background: #f6f6f4; padding: 12px;
  font: 12.5px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
summary { cursor: pointer; color: #444; }
footer { color: #7a7a76; font-size: 12.5px; margin-top: 18px; }
@media print { body { background: #fff; } section { break-inside: avoid; border: 0; padding: 0; } }
"""


def page(run: RunData) -> str:
    """The whole report."""
    title = f"{run.line.name}, {run.summary.get('scenario', 'run')}, seed {run.summary.get('seed', '–')}"
    return document(title, "\n".join(_sections(run)))


def document(title: str, body: str) -> str:
    """A page in the report's dress around a body of HTML."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>evencoat: {escaped(title)}</title>\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _sections(run: RunData) -> Iterator[str]:
    yield _header(run)
    yield section(
        "Figures", "The main controller's row is shaded, the best figure of a column underlined.", _table(run)
    )
    yield section(
        "Roll maps",
        f"Grey is inside the tolerance of ±{run.tolerance_pct:g} %. Blue is too thin, brown too thick. "
        "One scale for all; the web runs from left to right.",
        image(figures.roll_maps(run), "areal density deviation over web length and width"),
    )
    yield section(
        "Profiles",
        "Deviation from target over the width, before and after. The band is the tolerance.",
        image(figures.profiles(run), "profiles across the web at the start and at the end"),
    )
    yield section("Trends", "", image(figures.trends(run), "mean and unevenness along time"))
    yield section(
        "Distribution",
        "Area by deviation from minute 10 on. The band is the tolerance; more than three of it is left out.",
        image(figures.distributions(run), "share of the area by deviation"),
    )
    lips = figures.lips(run)
    if lips is not None:
        note = (
            "Gap of every bolt: at the start (dotted), at the end, and all between. The band is the range it may use."
        )
        yield section("Lips", note, image(lips, "lip gaps with their limits"))
    yield _guests(run)
    yield _timelines(run)
    yield _parameters(run)
    notes = "".join(f"<br>Could not be read: {escaped(note)}" for note in run.notes)
    truth = "Areal density is the simulated plant's true one, not a gauge's."
    yield f"<footer>evencoat {__version__}. {truth}{notes}</footer>"


def _header(run: RunData) -> str:
    summary = run.summary
    facts = [run.line.name, str(summary.get("scenario", "")), f"seed {summary.get('seed', '–')}"]
    facts.append(f"{summary.get('minutes', '–')} min of line time")
    facts.append(f"{run.line.web_width_mm:g} mm at {run.line.web_speed_mps * 60:g} m/min")
    facts.append(f"target {run.line.target.areal_density_gsm:g} g/m2")
    said = "".join(f"<li>{escaped(sentence)}</li>" for sentence in words.sentences(run))
    where = " · ".join(escaped(fact) for fact in facts if fact)
    title = f"<h1>{escaped(words.headline(run))}</h1>"
    return f'<header><p class="where">{where}</p>{title}<ul class="said">{said}</ul></header>'


def _table(run: RunData) -> str:
    used = [column for column in words.COLUMNS if any(column.key in c.metrics for c in run.controllers)]
    best = {column.key: words.best(run, column) for column in used}
    head = "".join(f'<th title="{escaped(column.meaning)}">{escaped(column.heading)}</th>' for column in used)
    rows = []
    for controller in run.controllers:
        cells = "".join(_cell(controller, column, best[column.key] == controller.name) for column in used)
        main = ' class="main"' if controller is run.main else ""
        rows.append(f"<tr{main}><td>{escaped(words.long_name(controller.name))}</td>{cells}</tr>")
    return f'<div class="scroll"><table><tr><th>controller</th>{head}</tr>{"".join(rows)}</table></div>'


def _cell(controller: ControllerRun, column: words.Column, is_best: bool) -> str:
    value = controller.metrics.get(column.key)
    broken = column.key == "limit_violations" and isinstance(value, int | float) and value > 0
    kind = ' class="alarm"' if broken else ' class="best"' if is_best else ""
    return f"<td{kind}>{words.number(value, column.digits)}</td>"


def _guests(run: RunData) -> str:
    """What a network added, where there was one."""
    body = ""
    for controller in run.controllers:
        note, picture = words.guest_note(controller), figures.guest(controller)
        if picture is not None:
            body += image(picture, f"what the network added, {controller.name}")
        body += f'<p class="note">{escaped(note)}</p>' if note else ""
        foreseen = figures.batches(controller)
        if foreseen is not None:
            body += image(foreseen, f"what new batches were expected to bring, {controller.name}")
            body += "".join(f'<p class="note">{escaped(told.words)}</p>' for told in words.batches_told(controller))
    return section("The network", "", body) if body else ""


def _timelines(run: RunData) -> str:
    """Modes, limits and events of every controller that kept a journal, in one section."""
    body = ""
    for controller in run.controllers:
        picture = figures.limits_over_time(controller)
        if picture is not None:
            body += image(picture, f"modes and limits over time, {controller.name}")
            body += f'<p class="note">{escaped(_limit_note(controller))}</p>{_outcomes(controller)}'
    return section("Modes and limits", "", body) if body else ""


def _limit_note(controller: ControllerRun) -> str:
    journal = controller.journal
    assert journal is not None
    share = 100.0 * float(np.mean(journal["limits"] != ""))
    step, late = journal["step_us"], journal["lateness_us"]
    text = f"A limit bound in {share:.1f} % of {journal['cycle'].size:,} cycles. "
    if np.isfinite(step).any():
        text += f"A step took {np.nanpercentile(step, 50):.0f} us (99 %: {np.nanpercentile(step, 99):.0f} us)"
        text += f", began late by {np.nanpercentile(late, 99):.0f} us at 99 %." if np.nanmax(late) > 0 else "."
    return text


def _outcomes(controller: ControllerRun) -> str:
    """When outcome or rung changed, and the journal's events, in one table by time."""
    journal = controller.journal
    assert journal is not None
    outcome, rung, t_ns = journal["outcome"], journal["rung"], journal["t_line_ns"]
    starts = np.flatnonzero(np.concatenate(([True], outcome[1:] != outcome[:-1])))
    rows = [(int(t_ns[k]), str(journal["mode_actual"][k]), str(outcome[k])) for k in starts]
    changed = np.flatnonzero(rung[1:] != rung[:-1]) + 1
    rows += [(int(t_ns[k]), f"rung: {rung[k]}", str(journal["rung_cause"][k])) for k in changed]
    rows += [(event.t_line_ns, event.kind, event.text) for event in controller.events]
    rows.sort(key=lambda row: row[0])
    cells = "".join(
        f'<tr><td>{t / 60e9:.2f}</td><td class="words">{escaped(kind)}</td><td class="words">{escaped(text)}</td></tr>'
        for t, kind, text in rows[:EVENTS_SHOWN]
    )
    more = f'<p class="note">and {len(rows) - EVENTS_SHOWN} more in the journal</p>' if len(rows) > EVENTS_SHOWN else ""
    return (
        f"<details><summary>Changes and events ({len(rows)})</summary><table>"
        f'<tr><th>minute</th><th class="words">mode or kind</th><th class="words">what</th></tr>{cells}</table>{more}'
        "</details>"
    )


def _parameters(run: RunData) -> str:
    figures_json = json.dumps(run.summary, indent=2, default=str)
    return section(
        "Parameters of the run",
        "",
        f"<details><summary>Figures as JSON</summary><pre>{escaped(figures_json)}</pre></details>"
        f"<details><summary>Line file</summary><pre>{escaped(run.settings.text)}</pre></details>",
    )


def section(title: str, note: str, body: str) -> str:
    """A framed part of a page: heading, a note in small print (may be empty), HTML."""
    note_html = f'<p class="note">{escaped(note)}</p>' if note else ""
    return f"<section><h2>{escaped(title)}</h2>{note_html}{body}</section>"


def image(png: bytes, alt: str) -> str:
    """A picture inside the page itself."""
    return f'<img alt="{escaped(alt)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def escaped(value: str) -> str:
    """Text as HTML shows it."""
    return html.escape(value, quote=True)
