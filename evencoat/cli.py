"""The command line: one verb for each thing a user does. Arguments, words and exit codes live here; work does not.

Exit codes: 0 done; 1 it failed while running; 2 the call, a line file or a scenario is wrong; 3 done, and the answer is
no (a line that `check` refuses, limits that a run broke); 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: small arrays gain nothing from a second thread

import structlog
import typer
from rich.box import SIMPLE
from rich.console import Group
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from controller.line.command import Mode
from evencoat import (
    __version__,
    alarms_command,
    ask_command,
    automation_command,
    campaign_commands,
    diagnose_command,
    doctor_command,
    first_hour_commands,
    forecast_command,
    historian_commands,
    hub_commands,
    journal_commands,
    key_commands,
    model_commands,
    opcua_commands,
    recipe_commands,
    replay_commands,
    roll_commands,
    serve_command,
    train_command,
    user_commands,
)
from evencoat.league.rivals import LAWS, Rival, prepare
from evencoat.terminal import (
    ANSWER_IS_NO,
    FAILED,
    INTERRUPTED,
    EofOption,
    JsonOption,
    err,
    out,
    print_json,
    stop,
    wrong,
)

if TYPE_CHECKING:
    from controller.line.description import LineDescription
    from evencoat.commissioned import Commissioned
    from evencoat.processes import DaemonOptions
    from evencoat.settings import Settings


app = typer.Typer(
    name="evencoat",
    help="Closed-loop control of slot-die coated battery electrodes over CAN.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(model_commands.app, name="model")
app.add_typer(recipe_commands.app, name="recipe")
app.add_typer(automation_command.app, name="automation")
app.add_typer(key_commands.app, name="key")
app.add_typer(opcua_commands.app, name="opcua")
app.command()(hub_commands.play_on)
app.add_typer(journal_commands.app, name="journal")
app.command()(replay_commands.replay)
app.command()(campaign_commands.campaign)
app.command()(doctor_command.doctor)
app.command()(first_hour_commands.init)
app.command()(first_hour_commands.listen)
app.command()(alarms_command.alarms)
app.command()(diagnose_command.diagnose)
app.command()(forecast_command.forecast)
app.command("what-if")(forecast_command.what_if)
app.command()(serve_command.serve)
app.command()(historian_commands.historian)
app.command()(historian_commands.query)
app.command()(train_command.train)
app.command()(ask_command.ask)
app.add_typer(user_commands.app, name="user")
app.add_typer(roll_commands.app, name="roll")


LINE_HELP = "A line file, or the name of a shipped line: pilot-16, line-40, wide-120."
USUAL_HELP = "the line file's law, and where it names none neural, or adaptive where no model verifies"
BUS_HELP = "INTERFACE:CHANNEL, e.g. evencoat:/tmp/can.sock or socketcan:can0. Without it, what the line file says."
LineOption = Annotated[str, typer.Option("--line", help=LINE_HELP)]
LineArgument = Annotated[str, typer.Argument(help=LINE_HELP)]
BusOption = Annotated[str, typer.Option("--bus", help=BUS_HELP)]
ScenarioOption = Annotated[str, typer.Option("--scenario", help="A scenario's name (see `scenarios`) or a TOML file.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same line, same noise.")]
ModelOption = Annotated[
    str, typer.Option(help='For neural: digits of a model\'s hash, "shipped" or a file; without it, the model in use.')
]


@app.command()
def check(line: LineArgument, model: ModelOption = "", as_json: JsonOption = False) -> None:
    """Judge a line file: verdict, bus load, what the line can and cannot control, and how wrong its beliefs may be."""
    from evencoat.check import render, verdict

    with _clear_errors():
        from evencoat.guest import asked_for, at_work
        from evencoat.settings import load_line

        settings = at_work(load_line(line))[0]
        report = verdict(settings, asked_for(settings.line, model))
    if as_json:
        print_json(report.as_dict())
    else:
        out.print(render(report))
    raise typer.Exit(0 if report.ok else ANSWER_IS_NO)


@app.command()
def sim(
    line: LineArgument,
    scenario: ScenarioOption = "first-shift",
    controller: Annotated[Rival | None, typer.Option(help=f"Who runs the line; without it {USUAL_HELP}.")] = None,
    model: ModelOption = "",
    minutes: Annotated[float, typer.Option(min=0.05, max=100_000.0, help="Minutes of line time.")] = 30.0,
    seed: SeedOption = 1,
    out_dir: Annotated[Path | None, typer.Option("--out", help="Keep journal.sqlite and truth.npz here.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run line and controller in lockstep, as fast as it goes, every frame included."""
    with _clear_errors():
        from evencoat.settings import load_line
        from evencoat.simulate import Plan, simulate
        from plant_sim.scenario import Scenario

        settings = load_line(line)
        controller = controller or _usual(settings, not as_json, model)
        plan = Plan(settings, Scenario.load(scenario), controller, minutes, seed, model)
        with _bar(not as_json) as (bar, task):
            run = simulate(
                plan, out_dir, lambda minute: bar.update(task, completed=minute / minutes, description="simulating")
            )
    if as_json:
        print_json(run.figures)
    else:
        out.print(figures_table({str(controller): run.figures}))
    raise typer.Exit(ANSWER_IS_NO if run.figures["limit_violations"] else 0)


@app.command()
def run(
    line: LineOption,
    bus: BusOption = "",
    mode: Annotated[Mode, typer.Option(help="advisory sends nothing; the others command the line.")] = Mode.ADVISORY,
    controller: Annotated[
        Rival | None, typer.Option(help=f"pid, imc, adaptive or neural; without it {USUAL_HELP}.")
    ] = None,
    model: ModelOption = "",
    journal: Annotated[Path | None, typer.Option(help="Write the cycle journal (SQLite) here.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Stop after so much line time.")] = None,
    rearm_always: Annotated[
        bool,
        typer.Option(
            "--rearm-always",
            help="Release nodes that latched while we were silent, not only at the start; never after SAFE_STOP.",
        ),
    ] = False,
    users: user_commands.UsersOption = None,
    command_minutes: Annotated[
        float, typer.Option(min=1.0, max=1440.0, help="Who asks for nothing for so long is no longer in command.")
    ] = 30.0,
    guard: Annotated[
        bool, typer.Option("--guard", help="Keep a process beside it that starts control again when it is killed.")
    ] = False,
    stop_on_eof: EofOption = False,
) -> None:
    """The control daemon: listens only, until told otherwise. SIGTERM stops it; the nodes then hold by themselves.

    With a journal, users may command it while it runs, through page or `evencoat ask` (docs/access.md).

    After a crash it holds from fed-back positions, and goes on as [restart] in the line file says.
    """
    if controller in (Rival.OPEN, Rival.HAND):
        wrong(f"controller: {controller} is a way of working, not a law; choose pid, imc, adaptive or neural")
    _log_to_stderr()
    with _clear_errors():
        from evencoat.guest import at_work
        from evencoat.processes import DaemonOptions, StopFlag, run_daemon
        from evencoat.settings import load_line

        settings = load_line(line)
        if controller is None:
            settings, why = at_work(settings, model)
            structlog.get_logger().info("controller", chosen=why)
        else:
            settings = replace(settings, line=prepare(settings.line, controller)[0])
        options = DaemonOptions(bus, mode, journal, minutes, model, rearm_always, users, 60.0 * command_minutes)
        if not guard:
            run_daemon(settings, options, StopFlag().listen(stop_on_eof))
            return
        raise typer.Exit(_guarded(settings, options, stop_on_eof))


def _guarded(settings: Settings, options: DaemonOptions, stop_on_eof: bool) -> int:
    """`run --guard`: control in a child that is forked again when it is killed."""
    from evencoat.guard import Guard
    from evencoat.processes import StopFlag, run_daemon
    from evencoat.settings import compile_codec

    codec = compile_codec(settings)

    def control(listen: Callable[[Callable[[], None]], None], alive: Callable[[], None]) -> int:
        stop = StopFlag().listen(stop_on_eof)
        listen(stop.set)
        try:
            with _clear_errors():
                run_daemon(settings, options, stop, codec, alive)
        except typer.Exit as ended:
            return ended.exit_code
        return 0

    return Guard(control).run()


@app.command()
def plant(
    line: LineOption,
    bus: BusOption = "",
    scenario: ScenarioOption = "first-shift",
    seed: SeedOption = 1,
    speed: Annotated[float, typer.Option(min=0.01, max=1000.0, help="Line seconds in a second of wall time.")] = 1.0,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Stop after so much line time.")] = None,
    truth: Annotated[Path | None, typer.Option(help="Keep what was really coated here (.npz).")] = None,
    stop_on_eof: EofOption = False,
) -> None:
    """The software plant: the nodes of a line, on the bus, in real time or faster."""
    _log_to_stderr()
    with _clear_errors():
        from evencoat.processes import PlantOptions, StopFlag, run_plant
        from evencoat.settings import load_line
        from plant_sim.scenario import Scenario

        options = PlantOptions(bus, Scenario.load(scenario), seed, speed, minutes, truth)
        run_plant(load_line(line), options, StopFlag().listen(stop_on_eof))


@app.command()
def hub(
    socket: Annotated[Path, typer.Option(help="Where clients connect (a Unix socket).")],
    frame_log: Annotated[Path | None, typer.Option("--log", help="Keep every frame: .log (candump) or .blf.")] = None,
    play: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help=f"Play a worse wire; repeatable. {hub_commands.NAMES}"),
    ] = None,
    seed: SeedOption = 1,
    stop_on_eof: EofOption = False,
) -> None:
    """A CAN FD bus for processes on one machine, without CAN hardware or root. python-can attaches with -i evencoat."""
    _log_to_stderr()
    with _clear_errors():
        from evencoat.processes import StopFlag, run_hub

        run_hub(socket, frame_log, StopFlag().listen(stop_on_eof), hub_commands.medium_of(play or [], seed))


@app.command()
def demo(
    line: LineOption = "line-40",
    scenario: ScenarioOption = "first-shift",
    controller: Annotated[
        Rival | None, typer.Option(help=f"Who closes the loop: pid, imc, adaptive or neural; without it {USUAL_HELP}.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=1.0, max=10_000.0, help="Minutes of line time.")] = 26.0,
    seed: SeedOption = 1,
    speed: Annotated[float, typer.Option(min=0.1, max=100.0, help="Line seconds in a second of wall time.")] = 20.0,
    runs: Annotated[Path, typer.Option(help="The run's folder is made in here.")] = Path("runs"),
    stay: Annotated[bool, typer.Option("--stay", help="Keep the page open at the end, until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Watch uneven lips become an even coating: hub, plant and daemon as separate processes, then the rivals."""
    if controller in (Rival.OPEN, Rival.HAND):
        wrong(f"controller: {controller} needs no daemon; choose pid, imc, adaptive or neural")
    with _clear_errors():
        from evencoat.demo import DemoPlan, run_demo
        from evencoat.settings import load_line

        controller = controller or _usual(load_line(line), not as_json)
        beside = tuple(rival for rival in (Rival.OPEN, Rival.HAND, Rival.PID) if rival is not controller)
        plan = DemoPlan(line, scenario, controller, beside, minutes, seed, speed, runs)
        if not as_json:
            out.print(
                f"{line}, {scenario}, seed {seed}: {minutes:g} minutes of line time at {speed:g} times real time, "
                "over a real CAN FD bus between three processes"
            )
        with _bar(not as_json) as (bar, task):

            def tell(stage: str, share: float, words: str) -> None:
                if stage == "page":
                    bar.console.print(words)
                else:
                    bar.update(task, description=f"{stage}: {words}", completed=share)

            run_dir, summary = run_demo(plan, tell)
    if as_json:
        print_json({**summary, "run_dir": str(run_dir), "report": str(run_dir / "report.html")})
    else:
        out.print(figures_table(summary["controllers"]))
        out.print(f"report: {run_dir / 'report.html'}", soft_wrap=True)
    if stay:
        serve_command.serve(run_dir / str(controller), 0)
    broken = sum(figures["limit_violations"] for figures in summary["controllers"].values())
    raise typer.Exit(ANSWER_IS_NO if broken else 0)


@app.command()
def commission(
    line: LineOption,
    bus: BusOption = "",
    budget_m: Annotated[
        float | None, typer.Option("--budget-m", min=20.0, help="Metres out of tolerance that it may cost.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before lips and pump are moved.")] = False,
    signed: Annotated[str, typer.Option("--sign-off", help="Your name: take what is found into use at once.")] = "",
    rehearse: Annotated[bool, typer.Option("--rehearse", help="On the software plant instead of a bus.")] = False,
    scenario: ScenarioOption = "steady-night",
    seed: SeedOption = 1,
    journal: Annotated[Path | None, typer.Option(help="Write the cycle journal (SQLite) here.")] = None,
    out_dir: Annotated[Path | None, typer.Option("--out", help="Keep page, figures and proposed model here.")] = None,
    reverse: Annotated[
        bool, typer.Option("--reverse", help="See whether the map still fits, by small bumps, loop closed.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Find gain, kernel, alignment, delay, and dead or reversed bolts by safe tests; the result awaits your sign-off.

    Moves lips and pump, through the same envelope and gate as everything. Web that is out of tolerance as it is found
    is tested boldly, web inside its tolerance so that it stays there. --seed also draws the line that is rehearsed on.
    --reverse keeps the loop closed under the adaptive law, with the model in use, and asks it for small bumps.
    """
    if reverse:
        if signed or budget_m is not None:
            wrong("reverse: takes neither --sign-off nor --budget-m: it stays inside the tolerance, and you look first")
        _reverse(line, bus, yes, scenario if rehearse else None, seed, journal, out_dir, as_json)
    with _clear_errors():
        from evencoat.commission import CommissionPlan, Rehearsal, default_budget_m, keep, sign_off
        from evencoat.commission import commission as commissioned
        from evencoat.processes import StopFlag
        from evencoat.settings import load_line

        settings = load_line(line, commissioned=False)
        budget = default_budget_m(settings.line) if budget_m is None else budget_m
        if not rehearse and not yes:
            _ask(f"This moves lips and pump of {settings.line.name} and may cost {budget:.0f} m of web. Go on?")
        played = None
        if rehearse:
            from plant_sim.scenario import Scenario

            played = Rehearsal(Scenario.load(scenario), seed)
        plan = CommissionPlan(settings, bus, budget, seed, played, journal)
        with _bar(not as_json) as (bar, task):
            done = commissioned(
                plan,
                StopFlag().listen(),
                lambda phase, share, words: bar.update(task, completed=share, description=f"{phase}: {words}"),
            )
        folder = out_dir or Path("runs") / datetime.now().strftime("%Y-%m-%d_%H-%M-%S_commission")
        page = keep(settings, done, folder)
        beside = sign_off(settings, done.model, signed) if signed and done.model and done.outcome.enough else None
    if as_json:
        print_json({**done.as_dict(), "page": str(page), "signed_off": str(beside) if beside else None})
    else:
        out.print(commission_table(settings.drawn, done))
        out.print(f"page: {page}", soft_wrap=True)
        if beside:
            out.print(f"in use: {beside}, signed off by {signed}", soft_wrap=True, markup=False)
        elif done.model:
            out.print(f'to take it into use: evencoat sign-off --line {line} {folder} --name "YOUR NAME"', markup=False)
    raise typer.Exit(0 if done.outcome.enough else ANSWER_IS_NO)


@app.command()
def sign_off(
    folder: Annotated[Path, typer.Argument(help="What `commission` left below runs/, or a model file.")],
    line: LineOption,
    name: Annotated[str, typer.Option("--name", help="Who takes the model into use.")],
) -> None:
    """Take a commissioned model into use: it is written beside the line file, with a name to it."""
    with _clear_errors():
        from evencoat.commission import PROPOSAL
        from evencoat.commission import sign_off as signed
        from evencoat.commissioned import fingerprint, read_model
        from evencoat.settings import load_line, parse_line

        settings = load_line(line, commissioned=False)
        path = folder / PROPOSAL if folder.is_dir() else folder
        try:
            model = read_model(path)
        except ValueError as error:
            wrong(f"{path}: {error}")
        if model.belongs_to != fingerprint(parse_line(settings.text, str(settings.path))):
            wrong(f"{path}: belongs to another machine or recipe than {settings.path} describes; commission it again")
        if not name.strip():
            wrong("name: must not be empty; somebody has to answer for it")
        out.print(f"in use: {signed(settings, model, name.strip())}", soft_wrap=True, markup=False)


@app.command()
def report(run_dir: Annotated[Path, typer.Argument(help="A folder below runs/.")]) -> None:
    """Draw report.html of a finished run again."""
    with _clear_errors():
        from evencoat.report import ReportError, build_report

        try:
            out.print(str(build_report(run_dir)), soft_wrap=True)
        except ReportError as error:
            wrong(str(error))


@app.command()
def plant_tour(
    out_dir: Annotated[Path, typer.Option("--out", help="plant-tour.html is written in here.")] = Path("runs"),
) -> None:
    """Draw the simulated line: responses, gauges, every disturbance and fault, and the oracles expected against got."""
    with _clear_errors():
        from evencoat.tour import build_tour

        out.print(str(build_tour(out_dir)), soft_wrap=True)


@app.command()
def scenarios(as_json: JsonOption = False) -> None:
    """List the scenarios that come with the simulator."""
    from plant_sim.scenario import Scenario, shipped

    known = {name: Scenario.load(name).description for name in shipped()}
    if as_json:
        print_json(known)
        return
    table = Table("scenario", "what happens", box=None)
    for name, description in known.items():
        table.add_row(name, description)
    out.print(table)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    """Closed-loop control of slot-die coated battery electrodes over CAN."""
    if version:
        out.print(__version__, highlight=False)
        raise typer.Exit


def figures_table(controllers: Mapping[str, Mapping[str, Any]]) -> Table:
    """The figures of one or more runs, a row each."""
    columns = (
        ("sigma\n%", "sigma_total_pct", 3),
        ("CD\n%", "sigma_cd_pct", 3),
        ("MD\n%", "sigma_md_pct", 3),
        ("out of\ntol. m", "out_of_tolerance_m", 0),
        ("out of\nspec ppm", "out_of_spec_ppm", 0),
        ("\nCpk", "cpk", 2),
        ("start\nup m", "startup_scrap_m", 0),
        ("batch\nm", "batch_scrap_m", 0),
        ("bolts\num", "bolt_travel_um", 0),
        ("over\nlimit", "limit_violations", 0),
    )
    judged_min = max((figures["judged_from_s"] for figures in controllers.values()), default=0.0) / 60.0
    table = Table(
        title=f"true dry areal density against target; sigma, ppm and Cpk from minute {judged_min:.3g} on",
        title_justify="left",
        box=SIMPLE,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("\n", no_wrap=True)
    for title, _, _ in columns:
        table.add_column(title, justify="right", no_wrap=True)
    for name, figures in controllers.items():
        values = ((figures[key], digits) for _, key, digits in columns)
        table.add_row(name, *("-" if value is None else f"{value:.{digits}f}" for value, digits in values))
    return table


def _reverse(
    line: str,
    bus: str,
    yes: bool,
    scenario: str | None,
    seed: int,
    journal: Path | None,
    out_dir: Path | None,
    as_json: bool,
) -> NoReturn:
    """`commission --reverse`; rehearsed where a scenario is given."""
    with _clear_errors():
        from evencoat.commission import Rehearsal
        from evencoat.processes import StopFlag
        from evencoat.settings import load_line
        from evencoat.upkeep import UpkeepPlan, keep, upkeep

        settings, played = load_line(line), None
        if scenario is not None:
            from plant_sim.scenario import Scenario

            played = Rehearsal(Scenario.load(scenario), seed)
        elif not yes:
            _ask(f"This closes the loop of {settings.line.name} and makes small bumps beside its target. Go on?")
        with _bar(not as_json) as (bar, task):
            done = upkeep(
                UpkeepPlan(settings, bus, played, journal),
                StopFlag().listen(),
                lambda phase, share, words: bar.update(task, completed=share, description=f"{phase}: {words}"),
            )
        folder = out_dir or Path("runs") / datetime.now().strftime("%Y-%m-%d_%H-%M-%S_reverse")
        kept = keep(done, folder)
    if as_json:
        print_json({**done.as_dict(), "kept": str(kept)})
    else:
        out.print(f"{done.why}; {done.bumps} bumps in {done.line_min:.1f} min", markup=False)
        for words in done.words:
            out.print(words, soft_wrap=True, markup=False)
        if done.model:
            out.print(f'to take it into use: evencoat sign-off --line {line} {folder} --name "YOUR NAME"', markup=False)
    raise typer.Exit(0 if done.finished and done.told else ANSWER_IS_NO)


def commission_table(line: LineDescription, done: Commissioned) -> Group:
    """What was found, beside the line file."""
    from evencoat.report.commission import rows, sentences

    table = Table("what", "line file", "found", "95 % interval", box=None)
    for row in rows(line, done.outcome.found) if done.outcome.found else []:
        table.add_row(*row)
    return Group(*sentences(line, done), table)


def _ask(question: str) -> None:
    """Go on only with consent; where nobody can be asked, --yes is it."""
    if not sys.stdin.isatty():
        wrong("yes: nobody is there to be asked; give --yes to let it move lips and pump")
    if not typer.confirm(question, err=True):
        raise typer.Exit(INTERRUPTED)


@contextmanager
def _bar(shown: bool) -> Iterator[tuple[Progress, TaskID]]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not shown) as bar:
        yield bar, bar.add_task("starting", total=1.0)


def _usual(settings: Settings, aloud: bool, named: str = "") -> Rival:
    """Who runs a line when the call names nobody; says so."""
    from evencoat.guest import law_of

    law, why = law_of(settings, named)
    if aloud:
        err.print(f"controller {why}", markup=False, highlight=False, soft_wrap=True)
    return next(rival for rival, own in LAWS.items() if own is law)


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Turn what users can put right into a clear line and an exit code; anything else is our bug and shows itself."""
    from evencoat.errors import RunFailed
    from evencoat.journal import JournalError
    from evencoat.model_store import ModelStoreError
    from evencoat.settings import SettingsError
    from firmware_bridge.bus import BusError
    from firmware_bridge.contract import WireError
    from plant_sim.errors import ScenarioError

    try:
        yield
    except (SettingsError, ScenarioError, WireError, JournalError, ModelStoreError) as error:
        wrong(str(error))
    except KeyboardInterrupt:
        err.print("stopped; nothing is left running")
        raise typer.Exit(INTERRUPTED) from None
    except (BusError, RunFailed, OSError) as error:
        stop(str(error), FAILED)


def _log_to_stderr() -> None:
    """Structured logs on standard error: words for a terminal, one JSON object a line for a machine.

    What the packages below report through stdlib logging comes out in the same form.
    """
    terminal = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer], foreign_pre_chain=shared
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def main() -> None:
    """Entry point of the `evencoat` command."""
    app()
