"""Which hyperparameters shall `evencoat train` have? A search by optuna, judged on lines that no trial learns from.

    python benchmarks/study.py --trials 20 --out DIR [--seed 1] [--lines 232] [--quick] [--no-compare] [--json]

A trial trains the stage `missed`, which brings all that supervised learning brings (docs/training.md), on the lines of
`evencoat train`. Of the held-out lines that training looks at, half are those by which a trial keeps its best, half
judge the trial; none is plant_sim's. The first trial has today's defaults. At the end winner and defaults meet on lines
that nothing has looked at: the winner is better where the mean of its gains there exceeds twice its standard error.

DIR keeps the recorded lines, optuna's own journal, study.json and study.png. --trials is how many there shall be in
all: the same call after a stop does those that are missing. optuna is in the extra `study`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch

from benchmarks.runs import machine
from controller.core.network import Network
from controller.learn import heads, material, recipes, record
from controller.learn.heads import Heads
from controller.learn.material import Lines
from controller.learn.train import CHECKPOINT, Course, Settings, one_by_one, recorded_lines

RANGES: dict[str, tuple[float, float]] = {  # drawn evenly in their logarithm
    "rate": (1e-3, 1.6e-2),
    "gating_decay": (0.1, 30.0),  # how much the context may change
    "decay": (3e-4, 3e-2),
    "blur": (0.1, 1.5),
    "tail_weight": (0.03, 1.0),
}
HIDDEN = (8, 16, 32, 64)
SURE = 2.0  # standard errors
JOURNAL, STORY, PICTURE, NAME = "optuna.log", "study.json", "study.png", "missed"


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What trials learn from, keep their best by, and are judged by; and what only the end may look at."""

    seen: Lines
    looked_at: Lines
    judging: Lines
    untouched: Lines
    guest: Network


def gathered(settings: Settings, folder: Path) -> Material:
    """The lines of a training with these settings, recorded where they are not yet."""
    learner = Heads(settings.hidden, settings.batch_hidden, settings.seed)
    recipes.fit(learner, settings.batch_lines, settings.batch_steps, settings.seed)
    guest = heads.beside(learner)
    seen, watched, unseen = recorded_lines(settings, folder, _told, one_by_one, guest)
    tasks = [record.held_out_line(settings.seed, i, settings.minutes, guest, folder / "lines") for i in unseen]
    untouched = material.stacked([record.recorded(task, guest) for task in tasks])
    middle = len(watched) // 2
    looked_at, judging = watched.chosen(range(middle)), watched.chosen(range(middle, len(watched)))
    return Material(seen, looked_at, judging, untouched, guest)


def _told(stage: str, share: float, words: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{stage}: {words}", end="", file=sys.stderr, flush=True)


def trained(settings: Settings, lines: Material, trial: optuna.Trial | None = None) -> Heads:
    """The heads after the stage `missed`. Raises TrialPruned where a trial is hopeless."""
    learner = Heads(settings.hidden, settings.batch_hidden, settings.seed)
    learner.mean.usual(lines.seen.context.flatten(0, 1)[:: 1 + lines.seen.context.shape[0] // 8])

    def look(stage: str, share: float, words: str) -> None:
        _told(f"trial {trial.number}" if trial else "again", share, f"{100 * share:.0f} %, {words}")
        if trial is not None:
            trial.report(course.standing.score, round(share * settings.missed_steps))
            if trial.should_prune():
                raise optuna.TrialPruned

    with tempfile.TemporaryDirectory() as folder:
        course = Course(settings, learner, lines.seen, lines.looked_at, Path(folder) / CHECKPOINT, look)
        course.run(0)
    return learner


def of_lines(learner: Heads, lines: Lines) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Log of the belief's squared error over `adaptive`'s, by line."""
    with torch.no_grad():
        return material.missed_log(learner, lines).numpy().astype(np.float64)


def score(change: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """What training itself minimises by default, whatever a trial minimises."""
    usual = Settings()
    worst = np.sort(change)[-max(round(usual.tail_share * change.size), 1) :]
    return float(change.mean() + usual.tail_weight * worst.mean())


def searched(study: optuna.Study, settings: Settings, lines: Material, trials: int) -> None:
    """Do the trials that are missing."""
    if not study.trials:
        study.enqueue_trial({"hidden": settings.hidden, **{name: getattr(settings, name) for name in RANGES}})

    def objective(trial: optuna.Trial) -> float:
        drawn = {name: trial.suggest_float(name, *bounds, log=True) for name, bounds in RANGES.items()}
        chosen = replace(settings, hidden=trial.suggest_categorical("hidden", HIDDEN), **drawn)
        return score(of_lines(trained(chosen, lines, trial), lines.judging))

    done = sum(trial.state.is_finished() for trial in study.trials)
    study.optimize(objective, n_trials=max(trials - done, 0))


def compared(study: optuna.Study, settings: Settings, lines: Material) -> dict[str, Any]:
    """Winner and defaults on the lines that nothing has looked at."""
    winner = replace(settings, **study.best_params)
    change = {name: of_lines(trained(one, lines), lines.untouched) for name, one in _two(settings, winner)}
    gain = change["defaults"] - change["winner"]
    error = float(gain.std(ddof=1) / np.sqrt(gain.size))
    figures = {
        name: {"median": float(np.median(one)), "mean": float(one.mean()), "score": score(one)}
        for name, one in change.items()
    }
    told = {"lines": int(gain.size), "gain": float(gain.mean()), "standard_error": error}
    return {**figures, **told, "better": bool(gain.mean() > SURE * error)}


def _two(defaults: Settings, winner: Settings) -> tuple[tuple[str, Settings], ...]:
    return ("defaults", defaults), ("winner", winner)


def _score(trial: optuna.trial.FrozenTrial) -> float | None:
    """Of a whole trial. What optuna keeps of one that was cut short is measured on other lines."""
    return trial.value if trial.state is optuna.trial.TrialState.COMPLETE else None


def drawn(study: optuna.Study) -> bytes:
    """Every trial by each hyperparameter, the winner and the defaults marked."""
    import io

    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullFormatter

    done = [trial for trial in study.trials if _score(trial) is not None]
    names = ("hidden", *RANGES)
    figure, axes = plt.subplots(1, len(names), figsize=(11, 2.4), sharey=True, layout="constrained")
    for axis, name in zip(axes, names, strict=True):
        axis.scatter([t.params[name] for t in done], [100 * (t.value or 0.0) for t in done], s=12, color="#8a8a86")
        for trial, colour, words in ((done[0], "#17486f", "defaults"), (study.best_trial, "#a3420f", "winner")):
            axis.scatter(trial.params[name], 100 * (trial.value or 0.0), s=34, color=colour, label=words)
        axis.set_xscale("log")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xlabel(name.replace("_", " "))
    axes[0].set_ylabel("score on judging lines, %")
    axes[-1].legend(frameon=False, fontsize=7)
    kept = io.BytesIO()
    figure.savefig(kept, format="png", dpi=130)
    plt.close(figure)
    return kept.getvalue()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lines", type=int, default=None)
    parser.add_argument("--quick", action="store_true", help="lines and steps of evencoat train --quick")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--compare", action=argparse.BooleanOptionalAction, default=True, help="winner against defaults"
    )
    asked = parser.parse_args(arguments)
    if asked.trials < 1:
        parser.error(f"--trials {asked.trials}: must be at least 1")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    settings = Settings.quick(asked.seed) if asked.quick else Settings(seed=asked.seed)
    settings = settings if asked.lines is None else replace(settings, lines=asked.lines)
    asked.out.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    backend = optuna.storages.journal.JournalFileBackend(str(asked.out / JOURNAL))
    study = optuna.create_study(storage=optuna.storages.JournalStorage(backend), study_name=NAME, load_if_exists=True)
    study.sampler = optuna.samplers.TPESampler(seed=asked.seed + len(study.trials), n_startup_trials=8)
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=settings.missed_steps // 3)
    begun, lines = time.monotonic(), gathered(settings, asked.out)
    searched(study, settings, lines, asked.trials)
    told = {
        "trials": [{"number": t.number, "state": t.state.name, "score": _score(t), **t.params} for t in study.trials],
        "defaults": {name: getattr(settings, name) for name in ("hidden", *RANGES)},
        "winner": study.best_params,
        "untouched": compared(study, settings, lines) if asked.compare else None,
        "settings": asdict(settings),
        "machine": machine(),
        "seconds": round(time.monotonic() - begun, 1),
    }
    (asked.out / STORY).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    (asked.out / PICTURE).write_bytes(drawn(study))
    print(json.dumps(told, indent=1) if asked.json else _words(told))
    return 0


def _words(told: dict[str, Any]) -> str:
    scores = [trial["score"] for trial in told["trials"] if trial["score"] is not None]
    said = f"{len(told['trials'])} trials; defaults {100 * scores[0]:+.2f} %, best {100 * min(scores):+.2f} %"
    said += f" on the judging lines, with {told['winner']}"
    if (end := told["untouched"]) is not None:
        better = "better" if end["better"] else "not surely better"
        said += f"\non {end['lines']} untouched lines the winner gains {100 * end['gain']:+.2f} % "
        said += f"(standard error {100 * end['standard_error']:.2f} %): it is {better} than the defaults"
    return said


if __name__ == "__main__":
    raise SystemExit(main())
