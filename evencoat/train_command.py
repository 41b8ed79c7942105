"""`evencoat train`: arguments, words and exit codes; evencoat.train does the work.

Exit codes are those of evencoat.cli, which takes the verb in: 0 done; 1 it failed while running; 2 the call is wrong or
an extra is missing; 3 done, and what was trained is no better than the law `adaptive`, or with --from than the base;
130 stopped by Ctrl-C, to be gone on from by --resume.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from evencoat.terminal import ANSWER_IS_NO, FAILED, INTERRUPTED, err, out, print_json, refusals, stop, wrong

if TYPE_CHECKING:
    from controller.learn.train import Say
    from evencoat.train import Training, TrainPlan
    from evencoat.train_further import FurtherTraining


def train(
    quick: Annotated[
        bool, typer.Option("--quick", help="Minutes instead of an hour: shows that it works, and teaches little.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, max=100_000, help="Same seed, same weights, byte for byte.")] = 1,
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Model, story, picture, lines and checkpoint go here.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint in --out, if there is one.")
    ] = False,
    workers: Annotated[
        int, typer.Option(min=1, max=1024, help="Record lines on so many workers (Ray); the result is the same.")
    ] = 1,
    lines: Annotated[
        int | None, typer.Option(min=4, max=10_000, help="Lines to train on; without it 240, quick 18.")
    ] = None,
    league: Annotated[
        int, typer.Option(min=0, max=100, help="At the end play so many lines of each family on the plant; 0: none.")
    ] = 0,
    silent: Annotated[
        list[str] | None, typer.Option("--silent", help="Leave this head with nothing to say: mean, batch.")
    ] = None,
    runs: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="RUN", help="Go on from --base with the journal of this run; may be repeated."),
    ] = None,
    base: Annotated[
        str, typer.Option(metavar="MODEL", help="With --from: digits of a hash, shipped, or a file; else that in use.")
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on standard output instead of words.")
    ] = False,
) -> None:
    """Train the network of the law `neural` on lines that are drawn, never on the software plant that examines it.

    With --from it goes on from a trained model with what a line's own journals tell. The model that comes of it is not
    in use: add and activate it (see `evencoat model`).
    """
    if base and not runs:
        wrong("--base: needs --from, the runs to go on with")
    if resume and folder is None:
        wrong("--resume: needs --out, the folder of the training that was stopped")
    folder = folder or Path("runs") / datetime.now().strftime("%Y-%m-%d_%H-%M-%S_train")
    from evencoat.train import TrainPlan

    silent = silent or []
    if unknown := [head for head in silent if head not in ("mean", "batch")]:
        wrong(f"--silent {unknown[0]}: there is no such head; give mean or batch")
    if runs:
        given = {"--quick": quick, "--resume": resume, "--workers": workers > 1, "--lines": lines, "--league": league}
        if refused := [name for name, value in given.items() if value]:
            wrong(f"{refused[0]}: is for a training on drawn lines, not for one with --from")
        _further(tuple(runs), base, seed, folder, tuple(silent), as_json)
    command = _command(quick, seed, lines, league, silent)
    plan = TrainPlan(seed, quick, folder, resume, workers, lines, league, command, tuple(silent))
    done = _trained(plan, shown=not as_json)
    if as_json:
        print_json(_told(done))
    else:
        out.print(_table(done))
        out.print(f"model: {done.model.path}", soft_wrap=True)
        out.print(f"curves: {folder / 'training.png'}", soft_wrap=True)
        if not done.beats_adaptive:
            out.print("it is no better than the law adaptive on lines it had not seen: do not activate it")
    raise typer.Exit(0 if done.beats_adaptive else ANSWER_IS_NO)


def _further(
    runs: tuple[Path, ...], base: str, seed: int, folder: Path, silent: tuple[str, ...], as_json: bool
) -> NoReturn:
    """`train --from`: learn, say what was gained, and end."""
    from evencoat.experience import ExperienceError
    from evencoat.model_store import ModelStoreError
    from evencoat.train import NotInstalled
    from evencoat.train_further import FurtherPlan, train_further

    given = [word for run in runs for word in ("--from", str(run))] + (["--base", base] if base else [])
    given += ["--seed", str(seed), *(word for head in silent for word in ("--silent", head))]
    plan = FurtherPlan(runs, base, seed, folder, shlex.join(["evencoat", "train", *given]), silent)
    with refusals((ExperienceError, ModelStoreError, NotInstalled)), _progress(not as_json) as (_, say):
        done = train_further(plan, say)
    if as_json:
        print_json(done.as_dict())
    else:
        out.print(_gains(done))
        out.print(f"base: {done.base.sha256[:12]}")
        if done.model is not None:
            out.print(f"model: {done.model.path}", soft_wrap=True)
        else:
            out.print("on the later web no head is better than the base's by more than chance: no model was written")
    raise typer.Exit(0 if done.model is not None else ANSWER_IS_NO)


def _gains(done: FurtherTraining) -> Table:
    """By head: what it learnt from and was judged by, and what it gained over the base."""
    table = Table("head", "learnt from", "judged by", "gained", "standard error", "taken", box=None)
    things = {"batch": ("batches", "nats a batch"), "mean": ("looks", "of the squared error")}
    for name, told in done.heads.items():
        counted, gained = things[name]
        counts = (f"{told['earlier']:g} {counted}", f"{told['later']:g} {counted}")
        if "gain" not in told:
            least = "too little: at least {} and {} are needed".format(*told["least"])
            table.add_row(name, *counts, least, "", "no")
        else:
            taken = "yes" if told["taken"] else "no"
            table.add_row(name, *counts, f"{told['gain']:+.3f} {gained}", f"{told['standard_error']:.3f}", taken)
    return table


@contextmanager
def _progress(shown: bool) -> Iterator[tuple[Progress, Say]]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not shown) as bar:
        task = bar.add_task("starting", total=1.0)

        def say(stage: str, share: float, words: str) -> None:
            bar.update(task, description=f"{stage}: {words}", completed=share)

        yield bar, say


def _trained(plan: TrainPlan, shown: bool) -> Training:
    from evencoat.errors import RunFailed
    from evencoat.model_store import ModelStoreError
    from evencoat.train import NotInstalled
    from evencoat.train import train as work

    with _progress(shown) as (bar, say):
        try:
            return work(plan, say)
        except NotInstalled as error:
            wrong(str(error))
        except KeyboardInterrupt:
            bar.stop()
            err.print(f"stopped; go on with --out {plan.folder} --resume", soft_wrap=True)
            raise typer.Exit(INTERRUPTED) from None
        except (RunFailed, ModelStoreError, OSError) as error:
            bar.stop()
            stop(str(error), FAILED)


def _command(quick: bool, seed: int, lines: int | None, league: int, silent: list[str]) -> str:
    """What trains the same weights again."""
    given = ["--seed", str(seed), *(["--lines", str(lines)] if lines else [])]
    given += ["--league", str(league)] if league else []
    given += [word for head in silent for word in ("--silent", head)]
    return shlex.join(["evencoat", "train", *(["--quick"] if quick else []), *given])


def _told(done: Training) -> dict[str, Any]:
    return {
        "model": str(done.model.path),
        "sha256": done.model.sha256,
        "train_s": done.seconds,
        "figures": done.trained.figures,
        "history": done.trained.history,
    }


def _table(done: Training) -> Table:
    """What is gained on lines that nothing had looked at; 1 is the law adaptive."""
    figures = done.trained.figures
    table = Table(box=None)
    for name in (f"{figures['lines']} lines kept for the end, over adaptive", "median", "mean", "worst fifth"):
        table.add_column(name, justify="left" if "lines" in name else "right")
    rows = {
        "squared error of the belief of the mean": "mse_over_adaptive",
        "  by what batches bring alone": "mse_over_adaptive_batch_only",
        "variance of the web in a closed loop": "closed_loop_variance_over_adaptive",
    }
    for words, name in rows.items():
        spread = figures[name]
        table.add_row(words, *(f"{spread[column]:.3f}" for column in ("median", "mean", "worst_fifth")))
    for name, played in figures.get("league", {}).items():
        if isinstance(played, dict):
            table.add_row(f"sigma on the plant, {name}", f"{played['total']:.3f}", "", f"{max(played['totals']):.3f}")
    return table
