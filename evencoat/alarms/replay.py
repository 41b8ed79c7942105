"""The engine over a journal: what would have been told, from its first cycle to its last, by line time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.line.description import LineDescription
from evencoat.alarms.catalogue import CATALOGUE, told
from evencoat.alarms.conditions import Memory, Surroundings, Watch
from evencoat.alarms.engine import Engine, EngineState, Key, State, Transition
from evencoat.journal import JournalReader
from evencoat.picture import ARRAYS, LISTS, SCALARS

COLUMNS = tuple(name for name in (*SCALARS, *LISTS, *ARRAYS, "lateness_us", "t_unix_s") if name != "model_news")


class Panel:
    """Watch and engine of one line, by its line time. What a person would do is nobody's here."""

    def __init__(self, line: LineDescription) -> None:
        self.watch, self.engine = Watch(line), Engine(CATALOGUE)
        self.memory, self.state = Memory(), EngineState(now_s=0.0)
        self.history: list[Transition] = []

    def see(self, cycle: Mapping[str, Any], around: Surroundings = Surroundings()) -> list[Transition]:
        """One cycle; returns what moved."""
        self.memory, found, dt_s = self.watch.look(self.memory, cycle, around)
        self.state, moved = self.engine.step(self.state, self.state.now_s + dt_s, found)
        self.history += moved
        return list(moved)

    def standing(self) -> dict[Key, str]:
        """What is active now, in words."""
        return {
            key: in_words(key, one.detail) for key, one in self.state.standings.items() if one.state is State.ACTIVE
        }


def in_words(key: Key, detail: str) -> str:
    """An alarm in one line, in English."""
    text = told(CATALOGUE[key.alarm], key.subject).text
    return f"{text} ({detail})" if detail else text


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a journal: the panel as it stands at the end, and wall times by the engine's, both s."""

    panel: Panel
    cycles: int
    walls: Sequence[tuple[float, float]]

    def unix_of(self, at_s: float) -> float:
        """Wall time of a transition."""
        k = bisect_left(self.walls, (at_s - 1e-6, 0.0))
        return self.walls[min(k, len(self.walls) - 1)][1]


def replayed(reader: JournalReader, line: LineDescription) -> Replayed:
    """Every cycle that the journal still has; events with the first cycle that is not older than they are."""
    panel, cycles, at = Panel(line), 0, 0
    walls: list[tuple[float, float]] = []
    events = [(event.t_unix_s, event.kind, event.text) for event in reader.events()]
    for cycle in reader.one_by_one(COLUMNS, 1, reader.last_row()):
        before = at
        while at < len(events) and events[at][0] <= cycle["t_unix_s"]:
            at += 1
        if panel.see(cycle, Surroundings(events=[(kind, text) for _, kind, text in events[before:at]])):
            walls.append((panel.state.now_s, float(cycle["t_unix_s"])))
        cycles += 1
    return Replayed(panel, cycles, walls)
