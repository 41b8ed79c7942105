"""What a new line file has to be told, in what order, what is proposed and why; and the file that comes of the answers.

A question's bounds are those of evencoat.settings, and the contradictions those of settings_rules: each answer is
judged the moment it is given, with proposals in the place of what was not asked yet. evencoat.first_hour_commands asks.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from evencoat.settings import meaning_of, problem_with
from evencoat.settings_model import LineFile
from evencoat.settings_rules import GATE_MARGIN_COUNTS, TRIM_COUNT_PCT, Problem, contradictions
from firmware_bridge.dbc_fit import DbcFit

WIDEST = 120  # columns of a line file
FREE_TABLES = ("bus.map", "bus.options", "bus.data_ids")  # whose keys are the writer's own
WET, DRY = "gauges.wet", "gauges.dry"
TABLES: Mapping[str, str] = {  # in the order of the file, each with what is said above it
    "": "",
    "web": "",
    "target": "",
    "slurry": "",
    "die": "",
    "lips": "",
    "pump": "",
    WET: "",
    DRY: "",
    "control": "law: left out, so neural where the model in use verifies, else adaptive",
    "bus": "",
    "bus.auth": "",
    "bus.options": "",
    "bus.data_ids": "",
    "bus.map": "role -> signal of the line's own DBC; what is not named here has the shipped DBC's name",
    "journal": "",
    "restart": "",
    "realtime": "",
    "gate": "Last word before the bus, one count wider than [lips] and [pump] and not derived from them when it runs, "
    "so that a slip in either place is caught by the other.",
}

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """One key of the line file. `why` gives the reason of the proposal, or where a fact is to be found.

    fact: nothing but the machine can answer it, so that no proposal is taken without a person who says so.
    """

    field: str
    why: str
    propose: Callable[[Values], Any]
    fact: bool = False

    @property
    def table(self) -> str:
        return self.field.rpartition(".")[0]


def film_um(have: Values) -> float:
    """Wet film that makes the target, um."""
    density = have["slurry.density_kgm3"] * have["slurry.solids_fraction"]
    return float(have["target.areal_density_gsm"] / density * 1e3)


def _ratio(have: Values, displacement_cc: float) -> float:
    """What the recipe needs of a pump, rpm per m/s of web: film by width is so many cc a metre."""
    cc_per_m = film_um(have) * 1e-3 * have["web.width_mm"]
    return float(60.0 * cc_per_m / (displacement_cc * have.get("pump.efficiency", 0.96)))


def _full_speed_rpm(have: Values, displacement_cc: float) -> float:
    """Pump speed at the fastest web with full trim, rpm."""
    trim_pct = have.get("pump.trim_max_pct", 8.0)
    fastest_mps = have["web.speed_max_m_per_min"] / 60.0
    return float(_ratio(have, displacement_cc) * fastest_mps * (1.0 + trim_pct / 100.0))


def _always(value: Any) -> Callable[[Values], Any]:
    return lambda _: value


def _neat(value: float, digits: int = 3) -> float:
    """So many digits that count."""
    return float(f"{value:.{digits}g}")


def _range_um(have: Values) -> float:
    return max(1.0, float(have["lips.gap_max_um"] - have["lips.gap_min_um"]))  # where they are swapped a rule says so


def _crossing_s(have: Values) -> float:
    """Time between two scans of the dry gauge, s: a head's pass and a fifth for its turn, or an array's second."""
    head_mps = have[f"{DRY}.head_speed_mps"]
    return _neat(1.2e-3 * have["web.width_mm"] / head_mps) if head_mps > 0.0 else 1.0


def questions(found: DbcFit | None, name: str) -> tuple[Question, ...]:
    """All questions, in the order in which they are asked. `found`: what the line's own DBC has."""

    def places(role: str, usual: Callable[[Values], Any]) -> Callable[[Values], Any]:
        fit = found.of(role) if found else None
        return _always(fit.places) if fit else usual

    lip = found.of("die_command.gap_um") if found else None
    trim = found.of("pump_command.trim_pct") if found else None
    count_um = lip.count if lip else 0.1
    two_a_zone: Callable[[Values], Any] = lambda have: 2 * have["die.zones"]  # noqa: E731
    on_wire = "as many as the DBC has" if found else "two a zone"
    return (
        Question("name", "the file's own name", _always(name)),
        Question("description", "a sentence for whoever reads reports", _always("")),
        Question("web.width_mm", "the coated width, not the foil's", _always(1000.0), fact=True),
        Question("web.speed_m_per_min", "what the line usually runs at", _always(60.0), fact=True),
        Question(
            "web.speed_max_m_per_min",
            "a third above the usual",
            lambda have: _neat(4.0 * have["web.speed_m_per_min"] / 3.0),
        ),
        Question("slurry.density_kgm3", "from the recipe or a pycnometer", _always(1730.0), fact=True),
        Question("slurry.solids_fraction", "from the recipe", _always(0.58), fact=True),
        Question("slurry.flow_index", "a usual shear-thinning slurry; a rheometer knows better", _always(0.6)),
        Question("target.areal_density_gsm", "from the recipe, one side", _always(180.0), fact=True),
        Question("target.tolerance_pct", "a common acceptance band", _always(1.5)),
        Question(
            "die.zones",
            "the bolts above the coated width" + (", as many as the DBC has" if found else ""),
            places("die_command.gap_um", lambda have: max(4, min(140, round(have["web.width_mm"] / 25.0)))),
            fact=lip is None,
        ),
        Question(
            "die.zone_pitch_mm", "width over zones", lambda have: round(have["web.width_mm"] / have["die.zones"], 3)
        ),
        Question(
            "die.gap_nominal_um",
            "the shim and set-up sheet; the film is thinner than it",
            lambda have: max(50.0, 50.0 * round(film_um(have) / 15.0)),
            fact=True,
        ),
        Question("die.lip_share", "usual; commissioning finds the gain that it stands for", _always(0.4)),
        Question("die.kernel_fwhm_pitches", "usual, 1 to 3; commissioning finds it", _always(1.8)),
        Question("die.alignment_uncertainty_mm", "a tape measure's; commissioning finds better", _always(8.0)),
        Question(
            "lips.gap_min_um",
            "a fifth below nominal; the screws' travel says",
            lambda have: 1.0 * round(0.8 * have["die.gap_nominal_um"]),
        ),
        Question(
            "lips.gap_max_um",
            "a fifth above nominal; the screws' travel says",
            lambda have: 1.0 * round(1.2 * have["die.gap_nominal_um"]),
        ),
        Question("lips.command_step_um", "one count of the command's signal", _always(count_um)),
        Question("lips.rate_um_per_s", "usual of screws", lambda have: max(5.0, 20.0 * have["lips.command_step_um"])),
        Question("lips.resolution_um", "usual of motor screws", lambda have: max(0.2, have["lips.command_step_um"])),
        Question("lips.backlash_um", "usual; commissioning finds it", _always(0.5)),
        Question(
            "lips.neighbour_max_um",
            "2 um a millimetre of pitch; the lip's drawing says",
            lambda have: _neat(min(2.0 * have["die.zone_pitch_mm"], _range_um(have))),
        ),
        Question(
            "lips.bend_max_um", "1.4 times the neighbours'", lambda have: _neat(1.4 * have["lips.neighbour_max_um"])
        ),
        Question(
            "pump.displacement_cc_per_rev",
            "the pump's plate",
            lambda have: _neat(_full_speed_rpm(have, 1.0) / 150.0),
            fact=True,
        ),
        Question("pump.efficiency", "of a gear pump that is not worn", _always(0.96)),
        Question("pump.trim_max_pct", "2 % absolute of solids is 6 %; slip takes the rest", _always(8.0)),
        Question("pump.trim_rate_pct_per_s", "slow beside the drive, fast beside any drift", _always(0.5)),
        Question(
            "pump.speed_max_rpm",
            "a tenth above what the fastest web with full trim needs; the drive's plate says",
            lambda have: _neat(1.1 * _full_speed_rpm(have, have["pump.displacement_cc_per_rev"])),
        ),
        Question(WET, "is there a gauge of the wet film near the die?", _always(True), fact=True),
        Question(f"{WET}.boxes", on_wire, places("wet_profile.film_um", two_a_zone)),
        Question(f"{WET}.distance_m", "along the web, from the lip", _always(3.0), fact=True),
        Question(f"{WET}.period_s", "usual of an array", _always(0.1)),
        Question(f"{WET}.noise_pct", "usual; the controller learns it", _always(0.4)),
        Question(DRY, "is there a gauge of areal density after the oven?", _always(True), fact=True),
        Question(f"{DRY}.boxes", on_wire, places("dry_profile.areal_density_gsm", two_a_zone)),
        Question(
            f"{DRY}.distance_m", "along the web, from the lip", lambda have: have.get(f"{WET}.distance_m", 3.0) + 60.0,
            fact=True,
        ),
        Question(f"{DRY}.head_speed_mps", "0 is an array over the whole width", _always(0.0)),
        Question(f"{DRY}.period_s", "an array's second, or a head's pass", _crossing_s),
        Question(f"{DRY}.noise_pct", "usual; the controller learns it", _always(0.3)),
        Question("control.closed_loop_cd_s", "slow to begin with; a line that is known stands 8", _always(20.0)),
        Question("control.closed_loop_md_s", "slow to begin with; a line that is known stands 4", _always(8.0)),
        Question("bus.interface", "python-can's name of it", _always("socketcan")),
        Question("bus.channel", "of that interface", _always("can0")),
        Question("bus.fd", "as the frames of the DBC are", _always(found.fd if found else True)),
        Question("bus.bitrate", "usual", _always(500_000)),
        Question("bus.data_bitrate", "usual", lambda have: max(2_000_000, have["bus.bitrate"])),
        *_gate_questions(trim.count if trim else TRIM_COUNT_PCT),
    )  # fmt: skip


def _gate_questions(trim_count_pct: float) -> Iterator[Question]:
    trim_pct = max(TRIM_COUNT_PCT, min(trim_count_pct, (GATE_MARGIN_COUNTS - 1) * TRIM_COUNT_PCT))

    def wider(of: Callable[[Values], float], sign: float = 1.0) -> Callable[[Values], Any]:
        return lambda have: round(of(have) + sign * have["lips.command_step_um"], 6)

    def needed(share: float) -> Callable[[Values], Any]:
        return lambda have: _neat(share * _ratio(have, have["pump.displacement_cc_per_rev"]), 4)

    lips, count = "one count wider than lips.", "the envelope's"
    cycle: Callable[[Values], float] = lambda have: have.get("control.cycle_s", 0.1)  # noqa: E731
    yield Question("gate.gap_min_um", f"{lips}gap_min_um", wider(lambda have: have["lips.gap_min_um"], -1.0))
    yield Question("gate.gap_max_um", f"{lips}gap_max_um", wider(lambda have: have["lips.gap_max_um"]))
    yield Question(
        "gate.step_max_um",
        f"one count wider than {count} step in a cycle",
        wider(lambda have: have["lips.rate_um_per_s"] * cycle(have)),
    )
    yield Question(
        "gate.neighbour_max_um", f"{lips}neighbour_max_um", wider(lambda have: have["lips.neighbour_max_um"])
    )
    yield Question("gate.bend_max_um", f"{lips}bend_max_um", wider(lambda have: have["lips.bend_max_um"]))
    yield Question("gate.pump_ratio_min_rpm_per_mps", "a tenth below what the recipe needs", needed(0.9))
    yield Question("gate.pump_ratio_max_rpm_per_mps", "a tenth above what the recipe needs", needed(1.1))
    yield Question(
        "gate.pump_trim_max_pct",
        "one count wider than pump.trim_max_pct",
        lambda have: round(have["pump.trim_max_pct"] + trim_pct, 6),
    )
    yield Question(
        "gate.pump_trim_step_pct",
        f"one count wider than {count} trim in a cycle",
        lambda have: round(have["pump.trim_rate_pct_per_s"] * cycle(have) + trim_pct, 6),
    )


@dataclass
class Interview:
    """Questions, and what was answered so far. `given` was said by a person; `taken` are proposals that stood."""

    asked: tuple[Question, ...]
    given: dict[str, Any] = field(default_factory=dict)
    taken: dict[str, Any] = field(default_factory=dict)

    @property
    def answers(self) -> dict[str, Any]:
        return {**self.taken, **self.given}

    def is_open(self, question: Question) -> bool:
        """Whether a question is to be asked: not answered yet, and not of a gauge that is not there."""
        gone = any(question.field.startswith(f"{gauge}.") and self.given.get(gauge) is False for gauge in (WET, DRY))
        is_fd = self.answers.get("bus.fd", True)
        return not gone and question.field not in self.answers and (is_fd or question.field != "bus.data_bitrate")

    def proposal(self, question: Question) -> Any:
        """What is proposed, from the answers so far and the proposals before it. Needs every earlier fact."""
        return self._completed(self.answers, question.field)[question.field]

    def objection(self, key: str, value: Any) -> Problem | None:
        """What is wrong with an answer: a bound that it breaks, or something said earlier that it contradicts."""
        if key in (WET, DRY):
            both = {**self.given, key: value}
            if both.get(WET) is False and both.get(DRY) is False:
                return Problem("gauges", "none", "a line needs at least one gauge", f"Say yes to {WET} or {DRY}")
            return None
        problem = problem_with(key, value)
        if problem is not None:
            return problem
        others = {name: held for name, held in self.answers.items() if name != key}
        before = {problem.field for problem in self._contradictions(others)}
        after = self._contradictions({**others, key: value})
        return next((problem for problem in after if problem.field not in before), None)

    def answer(self, key: str, value: Any, proposed: bool = False) -> None:
        """Keep an answer. Raises ValueError, in the words of the settings, for one that cannot be."""
        problem = self.objection(key, value)
        if problem is not None:
            raise ValueError(str(problem))
        (self.taken if proposed else self.given)[key] = value

    def forget(self, key: str) -> None:
        """Ask again."""
        self.given.pop(key, None)
        self.taken.pop(key, None)

    def text(self, gate_read: bool) -> str:
        """The line file, commented. `gate_read`: a person has looked at the gate's limits."""
        lines = [
            "# Written by `evencoat init`; every key carries its unit in its name. `evencoat check` judges this file."
        ]
        lines += ["# What is marked as proposed was taken as it stood: put the line's own numbers there.", ""]
        answers = {key: value for key, value in self.answers.items() if key not in (WET, DRY)}
        place = {question.field: number for number, question in enumerate(self.asked)}

        def order(key: str) -> int:
            return place.get(key, len(place))

        for table, said in TABLES.items():
            free = answers.get(table) if table in FREE_TABLES else None
            rows = dict(free) if free else {k: v for k, v in answers.items() if k.rpartition(".")[0] == table}
            rows = {key: rows[key] for key in sorted(rows, key=order) if key not in FREE_TABLES}
            if not rows:
                continue
            unread = " Nobody has looked at these: go over them by hand." if table == "gate" and not gate_read else ""
            lines += _wrapped(said + unread)
            lines += [f"[{table}]"] if table else []
            for key, value in rows.items():
                lines += self._row(key, value, key in answers and not free)
            lines.append("")
        return "\n".join(lines)

    def _row(self, key: str, value: Any, is_known: bool) -> Iterator[str]:
        name = key.rpartition(".")[2] if is_known else json.dumps(key)
        left, comment = f"{name} = {toml(value)}", meaning_of(key) if is_known else ""
        why = next((question.why for question in self.asked if question.field == key), "")
        if key in self.taken and why:
            comment += f" (proposed: {why})"
        whole = f"{left:<31} # {comment}" if comment else left
        if len(whole) <= WIDEST:
            yield whole
            return
        yield from _wrapped(comment)
        yield left

    def _contradictions(self, answers: Values) -> list[Problem]:
        completed = self._completed(answers)
        try:
            return contradictions(LineFile.model_validate(nested(completed)))
        except ValidationError:  # a proposal from extreme answers that is out of bounds: told when it is asked
            return []

    def _completed(self, answers: Values, until: str = "") -> dict[str, Any]:
        """The answers, with proposals for the rest, or for the rest up to one key."""
        whole = dict(answers)
        for question in self.asked:
            gone = any(question.field.startswith(f"{gauge}.") and whole.get(gauge) is False for gauge in (WET, DRY))
            if not gone and (question.field not in whole or question.field == until):
                whole[question.field] = question.propose(whole)
            if question.field == until:
                break
        return whole


def nested(answers: Values) -> dict[str, Any]:
    """Tables from dotted keys; the answers whether there is a gauge are its table's being there."""
    tables: dict[str, Any] = {}
    for dotted, value in answers.items():
        if dotted in (WET, DRY):
            continue
        *path, key = dotted.split(".")
        inside = tables
        for name in path:
            inside = inside.setdefault(name, {})
        inside[key] = value
    return tables


def flattened(tables: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Dotted keys from tables, as an answers file has them. A gauge's table says that there is that gauge."""
    answers: dict[str, Any] = {}
    for key, value in tables.items():
        dotted = f"{above}{key}"
        if isinstance(value, dict) and dotted not in FREE_TABLES:
            answers |= {dotted: True} if dotted in (WET, DRY) else {}
            answers |= flattened(value, f"{dotted}.")
        else:
            answers[dotted] = value
    return answers


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return repr(value)


def _wrapped(words: str) -> list[str]:
    return textwrap.wrap(words, WIDEST, initial_indent="# ", subsequent_indent="# ")
