"""Files for their owner alone: keys, users, secrets of certificates; how they are made and read."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def exposed(path: object, found: os.stat_result) -> str:
    """Why a file is nobody's secret, and what to do about it; "" where it is fit to be one. root's count as ours."""
    if not stat.S_ISREG(found.st_mode):
        return f"{path}: is no ordinary file"
    if found.st_uid not in (os.geteuid(), 0):
        return f"{path}: belongs to user {found.st_uid}: sudo chown {os.geteuid()} {path}"
    if found.st_mode & 0o077:
        return f"{path}: others may read or write it ({stat.S_IMODE(found.st_mode):04o}): chmod 600 {path}"
    return ""


class NotPrivate(Exception):
    """A file that is fit to be nobody's secret; the text names it and says what to do."""


def read(path: Path, most: int) -> bytes:
    """What is in a file of our own, up to so many bytes and one more, by which whoever asked sees that it is longer.

    Raises FileNotFoundError, NotPrivate. Nothing of what is in it is ever told.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise NotPrivate(f"{path}: {error.strerror}; expected a file of your own, no link") from error
    with os.fdopen(descriptor, "rb") as file:
        if why := exposed(path, os.fstat(file.fileno())):
            raise NotPrivate(why)
        return file.read(most + 1)


def make(path: Path, content: bytes) -> None:
    """A new file, readable by its owner alone, on the disk when this returns. Raises FileExistsError, OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
