"""The alarms of a line beside its page: looks at each new cycle, keeps what must last, answers who asks.

A task of `evencoat serve`, never of the control process. Time is line time while cycles come and wall time while none
do, so that a line that falls silent is told of too. Durations are in it; what people are shown as the moment is the
wall time of the cycle that moved an alarm, which of a run that is played again is that of then.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import shutil
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evencoat import picture
from evencoat.alarms.catalogue import CATALOGUE, Words, told
from evencoat.alarms.conditions import Memory, Surroundings, Watch, silent
from evencoat.alarms.engine import Engine, EngineError, EngineState, Key, Standing, State, Transition
from evencoat.alarms.figures import ANNOUNCED, DAY_S, figures
from evencoat.alarms.health import health
from evencoat.alarms.store import KEPT_S, AlarmStore, Asked, KeptElsewhere, Onlooker, StoreError, Told, path_beside
from evencoat.guest import usual
from evencoat.journal import JournalError, JournalReader
from evencoat.journal.audit import What
from evencoat.packml import packml
from evencoat.settings import Settings

LOOK_S = 0.05  # between two looks at the picture
QUIET_S = 0.5  # without a new cycle: what is so then is looked at so often
AROUND_S = 10.0  # between two looks at disk, model and the journal's events
ASKED_S = 0.2  # between two looks at what other processes ask for
HISTORY_TOLD = 200
CAME_MOST = 20_000
FOLLOWED_S, FOLLOWED_MOST = 2.0, 500  # where another process keeps them: between looks at its file, and of its moves
ELSEWHERE = "another process keeps the alarms of this line: they are acknowledged and put aside on its page"


class AlarmService:
    """One line's alarms. All methods belong to one thread: that of the event loop."""

    def __init__(self, journal: Path, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        """Takes up what was kept; where that cannot be had, `problem` says why, and nothing outlives the process.

        Where another process keeps this line's alarms (`elsewhere`), what that keeps is shown, and nothing is done to
        it; once that process has ended, this one takes over.
        """
        self.journal, self.settings = journal, settings
        self._clock = clock
        self._viewer = picture.Viewer(picture.path_of(journal))
        self._watch, self._engine = Watch(settings.line), Engine(CATALOGUE)
        self._memory, self._around = Memory(), Surroundings()
        self._ended, self._seen_unix_s = False, clock()
        self._stepped_unix_s = self._kept_unix_s = self._seen_unix_s
        self._head: dict[str, Any] | None = None
        self._event = -1.0  # wall time of the newest event that was taken in
        self.problem, self.elsewhere, self._followed_unix_s = "", False, self._seen_unix_s
        self._store: AlarmStore | None = None
        self._know(EngineState(now_s=0.0), [])
        self._take_up()

    def _take_up(self) -> None:
        """Have the file, or look at what another process keeps in it."""
        path, now_unix_s = path_beside(self.journal), self._clock()
        self._followed_unix_s = now_unix_s
        try:
            self._store = AlarmStore(path)
            self.problem, self.elsewhere = "", False
            self._know(self._store.load(now_unix_s), self._store.history())
        except KeptElsewhere:
            self.problem, self.elsewhere = ELSEWHERE, True
            with contextlib.suppress(sqlite3.Error):  # what cannot be read now is read the next time
                self._know(*Onlooker(path).kept(now_unix_s, FOLLOWED_MOST))
        except (StoreError, sqlite3.Error) as error:
            self.problem, self.elsewhere = str(error), False

    def _know(self, state: EngineState, history: Sequence[Told]) -> None:
        self.state, self._history = state, deque(history, CAME_MOST)
        self._came_unix_s = {one.moved.key: one.t_unix_s for one in history if one.moved.after is ANNOUNCED}
        self._began_s = history[0].moved.at_s if history else state.now_s

    async def run(self) -> None:
        """Look for ever."""
        around_s = asked_s = -AROUND_S
        while True:
            now_s = time.monotonic()
            if now_s - around_s >= AROUND_S:
                around_s = now_s
                self._around = await asyncio.to_thread(self.look_around)
            self.look()
            if now_s - asked_s >= ASKED_S:
                asked_s = now_s
                self.heed()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """The newest cycle where there is one; else what is so without."""
        now_unix_s = self._clock()
        content = self._viewer.latest()
        if content is not None:
            head, arrays = picture.told(content)
            self._head, self._seen_unix_s, self._ended = head, now_unix_s, False
        if self.elsewhere:
            if abs(now_unix_s - self._followed_unix_s) >= FOLLOWED_S:
                self._take_up()
            return
        if content is not None:
            self._memory, found, dt_s = self._watch.look(self._memory, {**head, **arrays}, self._around)
        elif abs(now_unix_s - self._stepped_unix_s) >= QUIET_S and now_unix_s - self._seen_unix_s >= QUIET_S:
            quiet_s = now_unix_s - self._seen_unix_s
            found = silent(quiet_s, self._ended, self._around)
            if quiet_s <= CATALOGUE["control-silent"].limit and not self._ended:
                return  # a cycle that is late is no news yet
            dt_s = max(now_unix_s - self._stepped_unix_s, 0.0)
        else:
            return
        self._around = self._around._replace(events=())
        self._stepped_unix_s = now_unix_s
        self.state, moved = self._engine.step(self.state, self.state.now_s + dt_s, found)
        since_s = now_unix_s - self._seen_unix_s  # 0 where a cycle has just come
        self._keep(moved, self._head["t_unix_s"] + since_s if self._head else now_unix_s)

    def look_around(self) -> Surroundings:
        """Disk, model, and what the journal has to say since the last time. Blocks on the disk."""
        full, (_, why) = math.nan, usual()
        with contextlib.suppress(OSError):
            disk = shutil.disk_usage(self.journal.resolve().parent)
            full = disk.used / disk.total
        events: Sequence[tuple[str, str]] = ()
        with contextlib.suppress(JournalError, sqlite3.Error), JournalReader(self.journal) as reader:
            newest = [event for event in reversed(reader.newest_events(100)) if event.t_unix_s > self._event]
            if self._event >= 0.0:  # what was told before we began is not told again
                events = [(event.kind, event.text) for event in newest]
            self._event = newest[-1].t_unix_s if newest else max(self._event, 0.0)
            ends = reader.ends()
            self._ended = bool(ends) and ends[-1].what == What.STOP
        return Surroundings(full, why if "refused" in why else "", events)

    def close(self) -> None:
        """Keep what there is, and let the file go."""
        self._keep((), self._clock(), at_once=True)
        if self._store is not None:
            self._store.close()
            self._store = None

    # --- what people ask -----------------------------------------------------------------------------------------

    def acknowledge(self, who: str, key: str, why: str = "") -> None:
        """`who`, who has been made sure of, has seen it. Raises EngineError."""
        self._here(key)
        self.state, moved = self._engine.acknowledged(self.state, Key.of(key), who, why)
        self._keep((moved,), self._clock(), at_once=True)

    def shelve(self, who: str, key: str, minutes: float, why: str) -> None:
        """`who`, who has been made sure of, puts it aside. Raises EngineError naming what is out of bounds."""
        self._here(key)
        self.state, moved = self._engine.shelved(self.state, Key.of(key), who, why, 60.0 * minutes)
        self._keep((moved,), self._clock(), at_once=True)

    def _here(self, key: str) -> None:
        """Raises EngineError where what people do has to be done elsewhere."""
        if self.elsewhere:
            raise EngineError(f"{key}: {ELSEWHERE}")

    def heed(self) -> None:
        """Do what other processes ask for by way of the store, for people they have made sure of, and answer them."""
        if self._store is None:
            return
        try:
            for number, asked in self._store.asked():
                self._store.answer(number, self._heeded(asked))
        except sqlite3.Error as error:
            self.problem = f"{self._store.path}: {error}; what other processes ask for is not heard"

    def _heeded(self, asked: Asked) -> str:
        """Why it was not done; "" where it was."""
        try:
            if asked.what == "acknowledge":
                self.acknowledge(asked.who, asked.key, asked.why)
            else:
                self.shelve(asked.who, asked.key, asked.minutes, asked.why)
        except EngineError as error:
            return str(error)
        return ""

    def told(self) -> dict[str, Any]:
        """All of it, as /alarms.json has it: what stands, figures, health, the line in one word."""
        head, alive = self._head, self._clock() - self._seen_unix_s <= CATALOGUE["control-silent"].limit
        word = packml(head["mode_requested"], head["outcome"], head["line_state"], alive) if head else None
        came = [(one.moved.at_s, str(one.moved.key)) for one in self._history if one.moved.after is ANNOUNCED]
        standing = {key: one for key, one in self.state.standings.items() if one.state is not State.NORMAL}
        return {
            "alarms": sorted((self._one(key, one) for key, one in standing.items()), key=_rank),
            "figures": figures(came, self.state, max(self._began_s, self.state.now_s - DAY_S)).as_dict(),
            "health": {name: one._asdict() for name, one in health(self.settings.line, self.state).items()},
            "packml": {"state": word[0], "mode": word[1]} if word else None,
            "history": [_moved(one) for one in list(self._history)[-HISTORY_TOLD:]],
            "problem": self.problem,
            "elsewhere": self.elsewhere,
        }

    def _one(self, key: Key, standing: Standing) -> dict[str, Any]:
        alarm = CATALOGUE[key.alarm]
        return {
            "id": str(key),
            "priority": alarm.priority,
            "state": standing.state,
            "began_unix_s": self._came_unix_s.get(key) if standing.began_s else None,
            "lasted_s": round(self.state.now_s - standing.began_s, 1) if standing.began_s else None,
            "detail": standing.detail,
            "first_out": standing.first_out,
            "group": standing.group,
            "who": standing.who,
            "why": standing.why,
            "shelved_for_s": round(standing.until_s - self.state.now_s, 1) if standing.state is State.SHELVED else None,
            "device": key.subject if alarm.device == "*" else alarm.device,
            "ne107": alarm.health,
            "words": {language: _words(told(alarm, key.subject, language)) for language in alarm.words},
        }

    def _keep(self, moved: Sequence[Transition], at_unix_s: float, at_once: bool = False) -> None:
        """What moved at that wall time, where it has to last; where everything stands, now and then."""
        now_unix_s = self._clock()
        self._history.extend(Told(at_unix_s, one) for one in moved)
        self._came_unix_s |= {one.key: at_unix_s for one in moved if one.after is ANNOUNCED}
        if self._store is None or not (moved or at_once or abs(now_unix_s - self._kept_unix_s) >= KEPT_S):
            return
        self._kept_unix_s = now_unix_s
        try:
            self._store.keep(self.state, [Told(at_unix_s, one) for one in moved], now_unix_s)
            self.problem = ""
        except sqlite3.Error as error:
            self.problem = f"{self._store.path}: {error}; alarms go on, what stands is not kept"


def _rank(alarm: dict[str, Any]) -> tuple[bool, int, float]:
    """What nobody acknowledged first, then by priority, then the newest."""
    waiting = alarm["state"] in (State.ACTIVE, State.RETURNED)
    return not waiting, alarm["priority"].rank, -(alarm["began_unix_s"] or 0.0)


def _words(words: Words) -> dict[str, str]:
    return words._asdict()


def _moved(one: Told) -> dict[str, Any]:
    moved = one.moved
    return {
        "t_unix_s": one.t_unix_s,
        "at_s": round(moved.at_s, 1),
        "id": str(moved.key),
        "before": moved.before,
        "after": moved.after,
        "why": moved.why,
        "detail": moved.detail,
        "who": moved.who,
        "first_out": moved.first_out,
    }
