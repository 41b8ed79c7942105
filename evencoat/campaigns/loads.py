"""What stands beside the loop in the lateness campaign, each a process of its own, until it is ended.

    python -m evencoat.campaigns.loads cpu
    python -m evencoat.campaigns.loads disk FOLDER
    python -m evencoat.campaigns.loads pages JOURNAL
    python -m evencoat.campaigns.loads clients PORT COUNT
    python -m evencoat.campaigns.loads bare PERIOD_S PRIORITY FILE

`bare` is what the loop is measured against: an absolute deadline, a sleep, and nothing else. It keeps how late it woke
each time and writes that to FILE (.npy, us) when it is told to end.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from evencoat.realtime import Realtime, claim

DISK_BLOCK, DISK_BLOCKS = 1 << 20, 64  # bytes; so many are written over and over, each with fsync
CLIENTS = 20


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


def pages(journal: Path) -> None:
    """`evencoat serve` on a journal, and so many clients that take every picture it sends, as browsers do."""
    command = [sys.executable, "-m", "evencoat", "serve", str(journal), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        clients(port_of(server), CLIENTS)
    finally:
        server.terminate()
        server.wait()


def port_of(server: subprocess.Popen[str]) -> int:
    """The port that a page's server says it listens at. Raises RuntimeError where it ends without a word of it."""
    assert server.stdout is not None
    said = []
    for line in server.stdout:
        said.append(line)
        if (found := re.search(r"https?://127\.0\.0\.1:(\d+)/", line)) is not None:
            return int(found.group(1))
    raise RuntimeError(f"the page's server ended: {''.join(said)}")


def clients(port: int, count: int) -> None:
    """So many that take every picture a page's server sends."""

    async def all_of_them() -> None:
        await asyncio.gather(*(_client(port) for _ in range(count)))

    asyncio.run(all_of_them())


async def _client(port: int) -> None:
    from websockets.asyncio.client import connect

    async with connect(f"ws://127.0.0.1:{port}/live", max_size=None, compression=None) as socket:
        async for _ in socket:
            pass


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
    elif kind == "pages":
        pages(Path(more[0]))
    elif kind == "clients":
        clients(int(more[0]), int(more[1]))
    else:
        bare(float(more[0]), int(more[1]), Path(more[2]))


if __name__ == "__main__":
    main(*sys.argv[1:])
