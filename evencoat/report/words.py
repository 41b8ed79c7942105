"""What a run says in plain words and in one table. Only the report imports this."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from controller.core.harris import in_words, index_of_run
from controller.line.command import Cause, Rung
from evencoat.report.run import ControllerRun, RunData

TOLD_PCT = 1e-3  # by which a batch's step must have moved for the dry gauge to have told of it
LEAST_ROWS = 600  # of a record, to judge it by its dead time

LONG_NAMES = {
    "open": "Open loop: lips as first set",
    "hand": "By hand: an operator every ten minutes",
    "pid": "PID: modal PI and pump",
    "imc": "IMC: modal internal model control",
    "adaptive": "Adaptive: IMC that learns the line",
    "neural": "Neural: adaptive, and a network that foresees",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table: key in the metrics, heading, what it means, how it is printed, which way is better."""

    key: str
    heading: str
    meaning: str
    digits: int
    lower_is_better: bool | None = True


COLUMNS = (
    Column("sigma_total_pct", "sigma total, %", "RMS deviation from target, all of the web from minute 10 on", 3),
    Column("sigma_cd_pct", "across, %", "its part across the web (lips)", 3),
    Column("sigma_md_pct", "along, %", "its part along the web (pump)", 3),
    Column("out_of_spec_ppm", "out of spec, ppm", "share of the area beyond tolerance", 0),
    Column("out_of_tolerance_m", "out of tolerance, m", "metres with more than 2 % of the width beyond it", 1),
    Column("cpk", "Cpk", "process capability: 1.33 is good, 1.67 very good", 2, lower_is_better=False),
    Column("startup_scrap_m", "start-up scrap, m", "metres until 98 % of the width stays inside for 30 m", 1),
    Column("batch_scrap_m", "batch scrap, m", "out of tolerance in the 8 minutes after a batch change", 1),
    Column("bolt_travel_um", "bolt travel, um", "mean way a bolt has gone: wear", 0, lower_is_better=None),
    Column("limit_violations", "violations", "commands on the wire beyond a limit, by an independent checker", 0),
)


def number(value: Any, digits: int) -> str:
    """A figure as printed: thousands apart, and a dash for what a run could not say."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return "–"
    return f"{value:,.{digits}f}"


def long_name(name: str) -> str:
    return LONG_NAMES.get(name, name)


def best(run: RunData, column: Column) -> str | None:
    """The controller with the best figure in a column, or None where the column ranks nobody or all are equal."""
    values = {
        c.name: float(c.metrics[column.key]) for c in run.controllers if number(c.metrics.get(column.key), 0) != "–"
    }
    if column.lower_is_better is None or len(values) < 2 or len(set(values.values())) == 1:
        return None
    return (min if column.lower_is_better else max)(values, key=lambda name: values[name])


def headline(run: RunData) -> str:
    """The run in one sentence: how much more even, than what."""
    main = run.main
    sigma = main.metrics.get("sigma_total_pct")
    if not isinstance(sigma, int | float):
        return f"{run.line.name} ran under {main.name}."
    text = f"Under {main.name} the coating stood at {number(sigma, 2)} % sigma"
    rivals = [c for c in run.controllers if c.name != main.name and c.metrics.get("sigma_total_pct")]
    named = {"open": "with the lips left as first set", "hand": "trimmed by hand"}
    beaten = [
        f"{number(c.metrics['sigma_total_pct'], 2)} % {named.get(c.name, f'under {c.name}')}"
        for c in rivals
        if c.name in named or len(rivals) == 1
    ]
    return f"{text}, against {' and '.join(beaten)}." if beaten else f"{text}."


def sentences(run: RunData) -> list[str]:
    """What else a reader should take home, most important first."""
    return [
        sentence
        for sentence in (_metres(run), _capability(run), _dead_time(run), _rungs(run), _bolts(run), _limits(run))
        if sentence
    ]


def _metres(run: RunData) -> str:
    metrics = run.main.metrics
    out, coated = metrics.get("out_of_tolerance_m"), metrics.get("coated_m") or float(run.main.ds_m.sum())
    if out is None:
        return ""
    text = f"{number(out, 0)} of {number(coated, 0)} m left the tolerance of ±{run.tolerance_pct:g} %"
    scrap = metrics.get("startup_scrap_m")
    if isinstance(scrap, int | float):
        text += (
            f", {number(scrap, 0)} m of them while starting up" if scrap <= out else f"; start-up {number(scrap, 0)} m"
        )
    other = run.named("open")
    if other is not None and other is not run.main and other.metrics.get("out_of_tolerance_m") is not None:
        text += f" (open loop: {number(other.metrics['out_of_tolerance_m'], 0)} m)"
    return text + "."


def _capability(run: RunData) -> str:
    metrics = run.main.metrics
    if number(metrics.get("cpk"), 2) == "–" or number(metrics.get("out_of_spec_ppm"), 0) == "–":
        return ""
    return (
        f"From minute 10 on, {number(metrics['out_of_spec_ppm'], 0)} parts per million of the area were beyond it "
        f"(Cpk {number(metrics['cpk'], 2)})."
    )


def _dead_time(run: RunData) -> str:
    """How the mean along the web stands beside what its dead time leaves anyone to do; of the later half of the run."""
    main = run.main
    later = np.flatnonzero(main.ds_m > 0.0)
    later = later[later.size // 2 :]
    if later.size < LEAST_ROWS:
        return ""
    mean = main.mean_pct[later]
    index = index_of_run(mean, main.web_m[later], run.line.primary_gauge.distance_m)
    return f"Along the web: {in_words(index, float(np.sqrt(np.mean(mean**2))))}." if np.isfinite(index) else ""


def _rungs(run: RunData) -> str:
    """How long a rung below the top of the fallback ladder was stood on, which was the lowest, and why."""
    journal = run.main.journal
    if journal is None or not len(journal["rung"]):
        return ""
    below = journal["rung_cause"] != str(Cause.NONE)
    if not below.any():
        return ""
    minutes = np.asarray(journal["t_line_ns"], dtype=np.float64) / 60e9
    order = [str(rung) for rung in Rung]
    lowest = max(set(journal["rung"][below].tolist()), key=order.index)
    first = int(np.argmax(below & (journal["rung"] == lowest)))
    share = 100.0 * float(np.mean(below))
    end = "at the end it was back at the top" if not below[-1] else f"at the end it stood at “{journal['rung'][-1]}”"
    return (
        f"The loop stood below the top of its fallback ladder for {number(share, 1)} % of the run, lowest at "
        f"“{lowest}” from minute {number(float(minutes[first]), 1)} on, because {journal['rung_cause'][first]}; {end}."
    )


def _bolts(run: RunData) -> str:
    """Bolts that were left alone when the run ended, and since when."""
    journal = run.main.journal
    if journal is None or not len(journal["zone_not_following"]):
        return ""
    alone = np.asarray(journal["zone_not_following"], dtype=bool)
    minutes = np.asarray(journal["t_line_ns"], dtype=np.float64) / 60e9
    said = []
    for zone in np.flatnonzero(alone[-1]):
        since = alone.shape[0] - int(np.argmin(alone[::-1, zone])) if not alone[:, zone].all() else 0
        said.append(f"bolt {zone + 1} since minute {number(float(minutes[since]), 1)}")
    if not said:
        return ""
    return f"Left alone, because they do not follow or the web belies their feedback: {', '.join(said)}."


def guest_note(controller: ControllerRun) -> str:
    """What a network added, how far it was trusted, what the envelope took of the pump's demand; "" without one."""
    journal = controller.journal
    if journal is None or not np.isfinite(journal["guest_authority"]).any():
        return ""
    if not np.asarray(journal["guest_whole_pct"]).any():
        return (
            "A network stood beside the law and had nothing to add to the mean. "
            "What it expects of a new batch, once it has seen one come, is part of the estimate."
        )
    added, trust = np.asarray(journal["guest_pct"]), np.asarray(journal["guest_authority"])
    taken = np.abs(np.asarray(journal["pump_trim_law_pct"]) - np.asarray(journal["pump_trim_pct"]))
    known = trust[np.isfinite(trust)]
    return (
        f"The network added {number(float(np.sqrt(np.mean(added**2))), 3)} % (RMS) and never more than "
        f"{number(float(np.abs(added).max()), 2)} %. Its authority ended at {number(float(known[-1]), 2)} (lowest "
        f"{number(float(known.min()), 2)}): it grows while the network comes nearer than the adaptive estimate alone, "
        f"and is gone where it does not. The envelope held back {number(float(np.mean(taken)), 3)} % of trim."
    )


@dataclass(frozen=True, slots=True)
class BatchTold:
    """One batch as the controller saw it; percent of areal density, the doubts one sigma.

    foretold: what it was expected to bring when it was announced; answered: what of that the pump had taken away when
    the dry gauge had its first say; found: what it was believed to bring at its end, or at the end of the run.
    """

    batch: int
    announced_min: float
    foretold: float
    foretold_sd: float
    answered: float
    found: float
    found_sd: float

    @property
    def words(self) -> str:
        expected = f"expected to bring {self.foretold:+.2f} % (give or take {number(self.foretold_sd, 2)})"
        taken = f"{-self.answered:+.2f} % was answered before the dry gauge had seen any of it"
        found = f"in the end it brought {self.found:+.2f} % (give or take {number(self.found_sd, 2)})"
        return f"Batch {self.batch}, announced in minute {number(self.announced_min, 1)}: {expected}; {taken}; {found}."


def batches_told(controller: ControllerRun) -> list[BatchTold]:
    """The batches that were announced while a network stood beside; none where there was none."""
    journal = controller.journal
    if journal is None or not np.isfinite(journal["guest_authority"]).any():
        return []
    names, known = np.asarray(journal["batch"]), np.isfinite(journal["batch_foretold_pct"])
    begins = np.flatnonzero(np.diff(names, prepend=names[:1] - 1))
    told = []
    for first, last in zip(begins, [*(begins[1:] - 1), names.size - 1], strict=True):
        if not known[first]:
            continue
        step = np.asarray(journal["batch_step_pct"][first : last + 1])
        moved = np.abs(step - step[0]) > TOLD_PCT
        unseen = first + int(np.argmax(moved)) - 1 if moved.any() else last
        told.append(
            BatchTold(
                batch=int(names[first]),
                announced_min=float(journal["t_line_ns"][first]) / 60e9,
                foretold=float(journal["batch_foretold_pct"][first]),
                foretold_sd=float(journal["batch_foretold_sd_pct"][first]),
                answered=float(journal["batch_answered_pct"][unseen]),
                found=float(journal["batch_step_pct"][last]),
                found_sd=float(journal["batch_step_sd_pct"][last]),
            )
        )
    return told


def _limits(run: RunData) -> str:
    metrics = run.main.metrics
    count = metrics.get("limit_violations")
    if count is None:
        return ""
    commands = f" in {number(metrics['commands'], 0)} commands" if metrics.get("commands") else ""
    if count == 0:
        return f"No limit of the lips or the pump was broken on the wire{commands}."
    first = f" First: {metrics['first_violation']}." if metrics.get("first_violation") else ""
    return f"{number(count, 0)} commands on the wire broke a limit{commands}.{first}"
