"""The channel: a Unix socket beside the picture, on a thread of its own in the control process.

One JSON object a line each way; docs/access.md has its words. Only this user and root are let in, by file permissions
and by what the kernel says of whoever connects. All that others can make this thread do is bounded: it takes so many
connections a second, keeps so many, reads so much of a line and so many lines a second, and waits so long. What is
beyond waits in the kernel, and there for its own time-out.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from evencoat.desk.clerk import Clerk, Person
from evencoat.desk.client import LINE_MOST, DeskError
from evencoat.picture import PictureError, ours_alone

CONNECTIONS_MOST, BACKLOG = 16, 16
ACCEPT_PAUSE_S = 0.02  # between two connections
TURN_S, LINE_PAUSE_S = 0.005, 0.05  # of one line among all, and between two of one connection
LINE_WITHIN_S = 10.0  # of silence, or of half a line, before a connection is closed
TIDY_EVERY_S = 5.0
CREDENTIALS = struct.Struct("3i")  # struct ucred of <sys/socket.h>: pid, uid, gid

log = structlog.get_logger()


def may_connect(uid: int) -> bool:
    """Whether a process of that user is let in: this user's own, and root's."""
    return uid in (os.getuid(), 0)


class Channel:
    """Listens until closed. From here on `clerk` is this channel's thread's alone."""

    def __init__(self, path: Path, clerk: Clerk) -> None:
        """Begin to listen. Raises DeskError where the place is not ours alone, or is somebody else's."""
        self.path, self._clerk = path, clerk
        self._listener = listening(path)
        self._inode = path.stat().st_ino
        self._room, self._turn, self._over = asyncio.Semaphore(CONNECTIONS_MOST), asyncio.Lock(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="desk", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hang up on everybody and take the socket away. A second call does nothing."""
        if self._listener.fileno() < 0:
            return
        with contextlib.suppress(FileNotFoundError):
            if self.path.stat().st_ino == self._inode:  # never another process's
                self.path.unlink()
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self._listener.close()

    # --- on the channel's thread ---

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:  # ends what is still under way
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._begin(self._accept())
        self._begin(self._tidy())
        await self._over.wait()
        self._clerk.close()

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(TIDY_EVERY_S)
            self._clerk.tidy()

    async def _accept(self) -> None:
        while True:
            await self._room.acquire()
            try:
                accepted, _ = await self._loop.sock_accept(self._listener)
            except OSError as error:
                log.warning("desk", refused=str(error))
                self._room.release()
            else:
                self._begin(self._attend(accepted))
            await asyncio.sleep(ACCEPT_PAUSE_S)

    async def _attend(self, accepted: socket.socket) -> None:
        """One connection, until it hangs up, is silent for long, or says what is no line."""
        uid = CREDENTIALS.unpack(accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))[1]
        reader, writer = await asyncio.open_unix_connection(sock=accepted, limit=LINE_MOST - 1)
        try:
            if may_connect(uid):
                await self._converse(reader, writer)
            else:
                await self._send_away(writer, uid, "only the user of the control process, and root, may ask")
        except asyncio.LimitOverrunError:
            await self._send_away(writer, uid, f"a line has more than {LINE_MOST} bytes")
        except (asyncio.IncompleteReadError, TimeoutError, OSError):
            pass
        except Exception:
            log.exception("desk")
        finally:
            writer.close()
            self._room.release()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            async with asyncio.timeout(LINE_WITHIN_S):
                line = await reader.readuntil(b"\n")
            async with self._turn:
                await asyncio.sleep(TURN_S)
            await _say(writer, await self._clerk.answer(line))
            await asyncio.sleep(LINE_PAUSE_S)

    async def _send_away(self, writer: asyncio.StreamWriter, uid: int, why: str) -> None:
        self._clerk.refuse(Person(f"uid {uid}", "local channel"), why)
        with contextlib.suppress(TimeoutError, OSError):
            await _say(writer, {"id": None, "accepted": False, "reason": why})


async def _say(writer: asyncio.StreamWriter, told: Mapping[str, Any]) -> None:
    writer.write(json.dumps(told).encode() + b"\n")
    async with asyncio.timeout(LINE_WITHIN_S):
        await writer.drain()


def listening(path: Path) -> socket.socket:
    """A socket at `path` for its owner alone, from its birth. A dead process's is replaced. Raises DeskError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    newborn = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        ours_alone(path.parent)
        if _answers(path):
            raise DeskError(f"{path}: another control process listens there")
        newborn.unlink(missing_ok=True)
        os.fchmod(listener.fileno(), 0o600)  # before it is bound: the file is born with it
        listener.bind(str(newborn))
        listener.listen(BACKLOG)
        listener.setblocking(False)
        os.replace(newborn, path)
    except (OSError, PictureError, DeskError) as error:
        listener.close()
        newborn.unlink(missing_ok=True)
        raise error if isinstance(error, DeskError) else DeskError(f"{path}: {error}") from error
    return listener


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.setblocking(False)
        try:
            caller.connect(str(path))
        except BlockingIOError:
            return True  # there is somebody, who is busy
        except OSError:
            return False
    return True
