"""A process that has everything ready and starts control again at once when it dies.

Most of a start is reading: modules, the line file, the DBC. The guard does that once and forks the control process from
what it has; killed, it is forked again, and holds the line within a fraction of a second. The guard touches neither bus
nor journal. When the guard itself dies, control stops as on SIGTERM: two controllers on one line are worse than none,
and whoever watches the guard (systemd) starts both anew.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType

import structlog

log = structlog.get_logger()

PATIENCE_S, PATIENCE_MAX_S = 0.05, 2.0  # before another try after one that died before its first cycle; doubles each


class Guard:
    """Forks control and forks it again. `control(listen, alive)` runs in the child and returns its exit code.

    It calls listen(stop) with what shall be called when the guard is gone, and alive() after its first cycle.
    """

    def __init__(self, control: Callable[[Callable[[Callable[[], None]], None], Callable[[], None]], int]) -> None:
        self._control = control
        self._child = 0
        self._stopping = False

    def run(self) -> int:
        """Until control ends by itself or is told to; returns its exit code. One that was killed is started again."""
        gc.collect()
        gc.freeze()  # what is shared with children is left where it is
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        failures = 0
        while True:
            lived, status = self._one_life()
            code = os.waitstatus_to_exitcode(status)
            if code == 0 or self._stopping or (code > 0 and not lived and not failures):
                return max(code, 0)
            failures = 0 if lived else failures + 1
            log.warning("guard", control_ended=code, first_cycle_reached=lived)
            if failures:
                time.sleep(min(PATIENCE_S * 2.0 ** (failures - 1), PATIENCE_MAX_S))

    def _one_life(self) -> tuple[bool, int]:
        """Fork, and wait for the end. Returns whether the first cycle was reached, and the wait status."""
        tether, tether_held = os.pipe()  # the child sees its end when we are gone
        told, tell = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self._child = os.fork()
        if not self._child:
            os.close(tether_held)
            os.close(told)
            self._live(tether, tell)
        os.close(tether)
        os.close(tell)
        if self._stopping:  # asked to between two children
            os.kill(self._child, signal.SIGTERM)
        lived = bool(os.read(told, 1))
        _, status = os.waitpid(self._child, 0)
        os.close(told)
        os.close(tether_held)
        return lived, status

    def _live(self, tether: int, tell: int) -> None:
        """In the child. Never returns."""
        code = 1
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)

            def listen(stop: Callable[[], None]) -> None:
                threading.Thread(target=_await_end, args=(tether, stop), name="guard-gone", daemon=True).start()

            code = self._control(listen, lambda: os.close(tell) if os.write(tell, b"1") else None)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
        if self._child:
            os.kill(self._child, signal.SIGTERM)


def _await_end(tether: int, stop: Callable[[], None]) -> None:
    while os.read(tether, 1):
        pass
    stop()
