"""`evencoat init` and `evencoat listen`: a line file from a few questions, and whether its bus says what it should.

Words and exit codes live here; evencoat.interview and evencoat.listening do the work. Exit codes are those of
evencoat.cli: 0 done; 1 it failed while running; 2 the call or a file is wrong; 3 done, and the answer is no.
"""

from __future__ import annotations

import os
import sys
import time
import tomllib
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from evencoat.terminal import ANSWER_IS_NO, INTERRUPTED, JsonOption, err, out, print_json, refusals, say, wrong

if TYPE_CHECKING:
    from controller.line.description import LineDescription
    from evencoat.check import CheckReport
    from evencoat.interview import Interview, Question
    from evencoat.listening import Heardsay
    from firmware_bridge.bus import Bus
    from firmware_bridge.dbc_fit import DbcFit
    from firmware_bridge.watch import BusWatch

SHOWN_EVERY_S = 0.25
BACK = "<"


def init(
    file: Annotated[Path | None, typer.Argument(metavar="[OUT.toml]", help="Without it, the line's name.")] = None,
    answers: Annotated[
        Path | None, typer.Option(help="Answers for scripts: a line file with as many keys as are known.")
    ] = None,
    dbc: Annotated[Path | None, typer.Option(help="The line's own DBC; signals that fit are looked for in it.")] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Take the proposals of the gate's limits, too, without a person's look.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write over a file that is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a commented line file from a few questions, each answer judged at once; `check` then accepts it.

    Without --answers a terminal is asked: Enter takes a proposal, < goes back. What only the machine can answer is
    never proposed. The gate's limits are asked for last, and by themselves.
    """
    if answers is None and not sys.stdin.isatty():
        wrong("answers: nobody is there to be asked; give --answers FILE")
    if file is not None and file.exists() and not overwrite:
        wrong(f"{file}: is there already; name another, or give --overwrite")
    from evencoat.settings import SettingsError
    from firmware_bridge.contract import WireError

    with refusals((SettingsError, WireError)):
        from evencoat.interview import Interview, questions
        from firmware_bridge.dbc_fit import fit_dbc

        told = _read(answers) if answers else {}
        found = fit_dbc(dbc) if dbc else None
        asked = Interview(questions(found, str(told.get("name", file.stem if file else "my-line"))))
        if dbc is not None and found is not None:
            _take_dbc(asked, dbc, found, told, file, aloud=not as_json)
        if answers is not None:
            _from_file(asked, told, answers, yes)
            gate_read = any(key.startswith("gate.") for key in told)
        else:
            gate_read = _from_terminal(asked)
        path = file or Path(f"{asked.answers['name']}.toml")
        if path.exists() and not overwrite:
            wrong(f"{path}: is there already; name another, or give --overwrite")
        report = _written(asked, path, gate_read, overwrite)
    if as_json:
        print_json(_as_dict(asked, path, found, report))
    else:
        _show(asked, path, report)
    raise typer.Exit(0 if report.ok else ANSWER_IS_NO)


# --- where answers come from -------------------------------------------------------------------------------------


def _read(path: Path) -> dict[str, Any]:
    from evencoat.interview import DRY, WET, flattened

    try:
        told = flattened(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        wrong(f"{path}: {error}")
    return {WET: False, DRY: False, **told}


def _take_dbc(asked: Interview, dbc: Path, found: DbcFit, told: dict[str, Any], file: Path | None, aloud: bool) -> None:
    """What the DBC says by itself; what the answers say of its signals goes before."""
    mapped = {**found.map(), **told.pop("bus.map", {})}
    lacking = [fit for fit in found.missing() if fit.role not in mapped]
    if aloud:
        err.print(_fits_table(found, mapped))
    if lacking and not sys.stdin.isatty():
        roles = "; ".join(f"{fit.role}{f' in {fit.unit}' if fit.unit else ''}" for fit in lacking)
        wrong(f"{dbc}: no signal found for {roles}. Name it under [bus.map] in the answers")
    while lacking:
        fit = lacking.pop(0)
        mapped[fit.role] = typer.prompt(f"{fit.role} ({fit.unit or 'no unit'}): which signal", err=True)
    asked.given["bus.dbc"] = os.path.relpath(dbc, (file or Path()).parent)
    asked.given |= {"bus.integrity": str(found.integrity), "bus.fd": found.fd, "bus.map": mapped}


def _from_file(asked: Interview, told: dict[str, Any], path: Path, yes: bool) -> None:
    """Answers of a file; everything wrong with them at once, and every fact that is missing."""
    from evencoat.interview import DRY, WET
    from evencoat.settings import SettingsError, problem_with
    from evencoat.settings_rules import Problem

    problems = [problem_with(key, value) for key, value in told.items() if key not in (WET, DRY)]
    found = [problem for problem in problems if problem is not None]
    if found:
        raise SettingsError(str(path), found)
    asked.given |= told
    for question in asked.asked:
        if asked.is_open(question) and question.fact:
            found.append(Problem(question.field, "", "is required", f"Only the machine can say it: {question.why}"))
    if not yes and not any(key.startswith("gate.") for key in told):
        found.append(Problem("gate", "", "is required", "Write the gate's limits, or give --yes to take proposals"))
    if found:
        raise SettingsError(str(path), found)
    for question in asked.asked:
        if asked.is_open(question):
            asked.taken[question.field] = asked.proposal(question)


def _from_terminal(asked: Interview) -> bool:
    """Ask a person. Returns that the gate's limits were looked at."""
    from evencoat.settings import meaning_of

    done: list[Question] = []
    table = None
    while question := next((one for one in asked.asked if asked.is_open(one)), None):
        if question.table != table:
            table = question.table
            more = ": the last word before the bus. It must contain what was said above, by a count."
            heading = f"\n[{table or 'the line'}]" + (more if table == "gate" else "")
            err.print(heading, markup=False, highlight=False, soft_wrap=True)
        typed = _typed(asked, question, meaning_of(question.field))
        if typed == BACK:
            if done:
                asked.forget(done.pop().field)
            continue
        try:
            if typed == "":
                asked.answer(question.field, asked.proposal(question), proposed=not question.fact)
            else:
                asked.answer(question.field, parsed(question.field, typed))
        except ValueError as error:
            err.print(f"  {error}", markup=False, highlight=False, soft_wrap=True)
            continue
        done.append(question)
    if not typer.confirm("\nIs every limit of the gate as it shall be, and shall the file be written?", err=True):
        raise typer.Exit(INTERRUPTED)
    return True


def _typed(asked: Interview, question: Question, meaning: str) -> str:
    """What a person types; a fact has no default."""
    from evencoat.settings import bounds_of

    least, most = bounds_of(question.field)
    bounds = "" if least is None or most is None else f", {least:g} to {most:g}"
    name = question.field.rpartition(".")[2]
    err.print(f"{name}: {meaning or question.why}{bounds}", markup=False, highlight=False, soft_wrap=True)
    if question.fact:
        return str(typer.prompt(f"  {question.why}", err=True)).strip()
    proposal = asked.proposal(question)
    shown = {True: "yes", False: "no"}.get(proposal, proposal) if isinstance(proposal, bool) else proposal
    said = typer.prompt(f"  {question.why} [{shown}]", default="", show_default=False, err=True)
    return str(said).strip()


def parsed(key: str, typed: str) -> Any:
    """A typed answer as the kind of value that its key has. Raises ValueError naming key, answer and kind."""
    from evencoat.interview import DRY, WET
    from evencoat.settings import problem_with

    if key in (WET, DRY, "bus.fd"):
        if typed.casefold() in ("y", "yes", "true", "n", "no", "false"):
            return typed.casefold()[0] in "yt"
        raise ValueError(f"{key} = {typed!r}: must be yes or no")
    if problem_with(key, "text") is None or key == "name":
        return typed
    try:
        return int(typed) if typed.lstrip("+-").isdigit() else float(typed)
    except ValueError:
        raise ValueError(f"{key} = {typed!r}: must be a number, with a point and without its unit") from None


# --- what comes of them ------------------------------------------------------------------------------------------


def _written(asked: Interview, path: Path, gate_read: bool, overwrite: bool) -> CheckReport:
    """Write the file once its text has been read back, and judge it. Raises SettingsError, WireError, OSError."""
    from evencoat.check import verdict
    from evencoat.guest import at_work
    from evencoat.settings import compile_codec, read_line

    text = asked.text(gate_read)
    settings = read_line(text, path)
    compile_codec(settings)
    with path.open("w" if overwrite else "x", encoding="utf-8") as file:
        file.write(text)
    return verdict(at_work(settings)[0])


def _as_dict(asked: Interview, path: Path, found: DbcFit | None, report: CheckReport) -> dict[str, Any]:
    fits = [] if found is None else [
        {"role": f.role, "unit": f.unit, "signal": f.name, "required": f.required, "others": f.others}
        for f in found.fits
    ]  # fmt: skip
    return {
        "line_file": str(path),
        "proposed": asked.taken,
        "dbc": fits,
        "ok": report.ok,
        "findings": [f"{finding.level}: {finding.subject}: {finding.text}" for finding in report.findings],
    }


def _show(asked: Interview, path: Path, report: CheckReport) -> None:
    say(f"{path}: written; {len(asked.taken)} keys stand as proposed and say so")
    for finding in report.findings:
        say(f"  {finding.level}: {finding.subject}: {finding.text}")
    say(f"evencoat check {path}   judges it: {'it may run' if report.ok else 'it may NOT run yet'}")
    say(f"evencoat listen {path}  hears whether the line's bus says all this")


def _fits_table(found: DbcFit, mapped: dict[str, str]) -> Table:
    from firmware_bridge.contract import DEFAULT_MAP

    table = Table("role", "unit", "signal", "would fit as well", box=None)
    for fit in found.fits:
        name = mapped.get(fit.role) or (fit.name and DEFAULT_MAP.get(fit.role, fit.name))
        if name or fit.required:
            table.add_row(fit.role, fit.unit, name or "nothing fits", ", ".join(fit.others))
    return table


# --- listen ------------------------------------------------------------------------------------------------------


def listen(
    line: Annotated[str, typer.Argument(help="A line file, or the name of a shipped line.")],
    bus: Annotated[str, typer.Option("--bus", help="INTERFACE:CHANNEL. Without it, what the line file says.")] = "",
    seconds: Annotated[float, typer.Option(min=0.5, max=3600.0, help="How long, in wall time.")] = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Hear a line's bus, and say of every telegram: is it there, as often as it should be, whole, and plausible.

    Sends nothing. Ends with 3 where something is missing or in doubt.
    """
    from evencoat.keys import authenticator
    from evencoat.listening import judged
    from evencoat.settings import SettingsError, compile_codec, load_line
    from firmware_bridge.authentication import AuthenticationError
    from firmware_bridge.bus import BusError
    from firmware_bridge.bus_pythoncan import open_bus
    from firmware_bridge.contract import WireError
    from firmware_bridge.watch import BusWatch

    with refusals((SettingsError, WireError, AuthenticationError), (BusError, OSError)):
        settings = load_line(line)
        watch = BusWatch(compile_codec(settings), settings.line, settings.wire, authenticator(settings, "listener"))
        heard_on = open_bus(bus, settings.wire)
        try:
            _listen(watch, settings.line, heard_on, seconds, live=not as_json)
        except KeyboardInterrupt:
            pass  # what was heard so far is told
        finally:
            fault = heard_on.fault()
            heard_on.close()
    said = judged(watch, settings.line)
    if as_json:
        print_json({"ok": said.ok, "bus_fault": fault or "", **asdict(said)}, default=str)
    else:
        out.print(_heard_table(said))
        for words in (*said.notes, *([f"bus: {fault}"] if fault else [])):
            say(words)
    raise typer.Exit(0 if said.ok and fault is None else ANSWER_IS_NO)


def _listen(watch: BusWatch, line: LineDescription, bus: Bus, seconds: float, live: bool) -> None:
    """Feed the watch until the time is over, with a table that moves on a terminal."""
    from evencoat.listening import judged

    began_s = time.monotonic()
    with Live(console=err, auto_refresh=False, transient=True) if live and err.is_terminal else nullcontext() as shown:
        shown_s = began_s
        while (now_s := time.monotonic()) - began_s < seconds:
            bus.wait(0.05)
            watch.feed(bus.receive(), time.monotonic())
            if shown is not None and now_s - shown_s > SHOWN_EVERY_S:
                shown_s = now_s
                shown.update(_heard_table(judged(watch, line)), refresh=True)


def _heard_table(said: Heardsay) -> Table:
    pace = "" if said.pace is None else f"; line time runs {said.pace:.3g} times as fast as the clock"
    strange = f", {said.strange} of them strange to this line" if said.strange else ""
    table = Table(title=f"{said.frames} frames{strange}{pace}", title_justify="left", box=None, pad_edge=False)
    for name in ("telegram", "is", "a second", "newest values, or what is wrong with them"):
        table.add_column(name, justify="right" if name == "a second" else "left", overflow="fold")
    for row in said.rows:
        expected = "" if row.expected_hz is None else f" of {row.expected_hz:.3g}"
        rate = f"{row.rate_hz:.3g}{expected}" if row.rate_hz or expected else ""
        wrong = [*row.doubts, *(f"{count} {name.replace('_', ' ')}" for name, count in row.errors.items())]
        style = "bold red" if row.missing or row.doubts else "dim" if row.state == "not heard" else ""
        told = "; ".join(wrong) if wrong else row.values
        table.add_row(Text(row.telegram), Text(row.state), rate, Text(told), style=style)
    return table
