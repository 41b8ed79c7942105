"""Files for their owner alone: keys, users, secrets of certificates; and why one is not fit to be one."""

from __future__ import annotations

import os
import stat


def exposed(path: object, found: os.stat_result) -> str:
    """Why a file is nobody's secret, and what to do about it; "" where it is fit to be one. root's count as ours."""
    if not stat.S_ISREG(found.st_mode):
        return f"{path}: is no ordinary file"
    if found.st_uid not in (os.geteuid(), 0):
        return f"{path}: belongs to user {found.st_uid}: sudo chown {os.geteuid()} {path}"
    if found.st_mode & 0o077:
        return f"{path}: others may read or write it ({stat.S_IMODE(found.st_mode):04o}): chmod 600 {path}"
    return ""
