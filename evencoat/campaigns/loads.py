"""What stands beside the loop in the lateness campaign, each a process of its own, until it is ended.

    python -m evencoat.campaigns.loads cpu
    python -m evencoat.campaigns.loads disk FOLDER
    python -m evencoat.campaigns.loads readers JOURNAL
    python -m evencoat.campaigns.loads bare PERIOD_S PRIORITY FILE

`bare` is what the loop is measured against: an absolute deadline, a sleep, and nothing else. It keeps how late it woke
each time and writes that to FILE (.npy, us) when it is told to end.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

from evencoat.realtime import Realtime, claim

DISK_BLOCK, DISK_BLOCKS = 1 << 20, 64  # bytes; so many are written over and over, each with fsync
READERS, READS_PER_S, ROWS = 20, 10.0, 10  # as many pages would: each shows the newest cycles ten times a second


def cpu() -> None:
    """Takes all of a processor."""
    while True:
        pass


def disk(folder: Path) -> None:
    """Writes as fast as the disk lets it."""
    path, block = folder / "hog.bin", os.urandom(DISK_BLOCK)
    try:
        with path.open("wb") as file:
            while True:
                file.seek(0)
                for _ in range(DISK_BLOCKS):
                    file.write(block)
                    file.flush()
                    os.fsync(file.fileno())
    finally:
        path.unlink(missing_ok=True)


def readers(journal: Path) -> None:
    """Reads the newest cycles of a journal, all columns, and the snapshot beside it, for so many at once."""
    threads = [threading.Thread(target=_read, args=(journal,), daemon=True) for _ in range(READERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _read(journal: Path) -> None:
    from evencoat.journal import COLUMNS, JournalReader
    from evencoat.snapshot.file import path_beside

    snapshot = path_beside(journal)
    while True:
        with JournalReader(journal) as reader:
            last = reader.last_row()
            reader.rows(COLUMNS, last - ROWS + 1, last)
        if snapshot.is_file():
            snapshot.read_bytes()
        time.sleep(1.0 / READS_PER_S)


def bare(period_s: float, priority: int, path: Path) -> None:
    """An absolute-deadline loop with nothing in it."""
    claim(Realtime(priority=priority, lock_memory=priority > 0))
    late_us: list[float] = []
    deadline_s = time.monotonic()
    try:
        while True:
            deadline_s += period_s
            left_s = deadline_s - time.monotonic()
            if left_s > 0.0:
                time.sleep(left_s)
            late_us.append(1e6 * (time.monotonic() - deadline_s))
            if late_us[-1] > 1e6 * period_s:  # as the loop: what has passed is skipped
                deadline_s += period_s * (late_us[-1] // (1e6 * period_s))
    finally:
        np.save(path, np.array(late_us), allow_pickle=False)


def main(kind: str, *more: str) -> None:
    """Be what is asked for, until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if kind == "cpu":
        cpu()
    elif kind == "disk":
        disk(Path(more[0]))
    elif kind == "readers":
        readers(Path(more[0]))
    else:
        bare(float(more[0]), int(more[1]), Path(more[2]))


if __name__ == "__main__":
    main(*sys.argv[1:])
