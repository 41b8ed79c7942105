"""Writes a snapshot every few seconds, on a thread of its own. The paced thread only says which state is the newest."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from controller import restart
from controller.core.step import Config, State
from controller.core.trace import Trace
from evencoat.snapshot import file
from evencoat.snapshot.file import Identity


class Keeper:
    """Keeps the newest state of a controller. `say` hears when the disk refuses, and when it takes snapshots again."""

    def __init__(self, path: Path, identity: Identity, period_s: float, say: Callable[[str], None]) -> None:
        self._path, self._identity, self._period_s, self._say = path, identity, period_s, say
        self._newest: tuple[Config, State, Trace] | None = None
        self._refused = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write_until_over, name="snapshot", daemon=True)
        self._thread.start()

    def offer(self, config: Config, state: State, trace: Trace) -> None:
        """The state after a cycle. Takes no time: states do not change, so keeping the reference is enough."""
        self._newest = (config, state, trace)

    def close(self) -> None:
        """Write the newest state and stop."""
        self._over.set()
        self._thread.join()

    def _write_until_over(self) -> None:
        over = False
        while not over:
            over = self._over.wait(self._period_s)
            newest, self._newest = self._newest, None
            if newest is not None:
                self._write(*newest)

    def _write(self, config: Config, state: State, trace: Trace) -> None:
        before = restart.kept(config, state, trace.web_m, trace.roll, trace.batch)
        try:
            file.write(self._path, before, self._identity, trace.t_line_ns)
        except OSError as error:
            if not self._refused:
                self._say(f"no snapshot could be written: {error}")
            self._refused = True
            return
        if self._refused:
            self._say("snapshots are written again")
        self._refused = False
