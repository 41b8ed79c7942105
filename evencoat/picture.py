"""The newest cycle as one message, kept in memory where others may look: the latest wins, and nobody waits for anybody.

The control process writes over one of two slots each cycle; a reader believes a slot whose checksum is right and whose
count is the higher one, so a slot caught half written costs it a look and nothing else. The file lies in memory
(/dev/shm), in a folder of its owner's alone, and is no journal: what has to last is written there.

A message is what a page is sent, too: the length of its head (uint32, little-endian), the head as JSON, filled up with
blanks so that what follows lies at a multiple of four, then each array that the head names, float32, of so many zones.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import stat
import struct
import tempfile
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from controller.core.trace import Trace
from evencoat.packml import packml

SCALARS = (
    "cycle", "t_line_ns", "web_m", "web_speed_mps", "line_state", "roll", "batch", "mode_requested", "mode_actual",
    "outcome", "pump_trim_law_pct", "pump_trim_pct", "pump_speed_rpm", "pump_pressure_kpa", "limited_zones",
    "dry_scan_id", "sent", "surprise_cd", "surprise_md", "harris_md", "sigma_md_pct", "rung", "rung_cause",
    "against_pi_cd", "against_pi_md", "guest_pct", "guest_authority", "batch_foretold_pct", "batch_foretold_sd_pct",
    "batch_step_pct", "batch_step_sd_pct", "target_gsm", "model_news",
)  # fmt: skip
LISTS = ("limits", "link_faults")
ARRAYS = (
    "profile_gsm", "profile_valid", "gap_um", "gap_law_um", "gap_target_um", "zone_not_following", "zone_manual",
    "wet_bias_pct",
)  # fmt: skip
PREFIX = struct.Struct("<I")
SLOT = struct.Struct("<QII")  # count, length and CRC-32 of a message
TEXT_MOST = 6000  # bytes of head: what is longer is a list of link faults, which is cut
SHM = Path("/dev/shm")


class PictureError(Exception):
    """There is no picture to be had, or no place for one; the text says why."""


# --- the message -------------------------------------------------------------------------------------------------


def message(values: Mapping[str, Any], lateness_us: float, t_unix_s: float) -> bytes:
    """One cycle. `values` by the names of Trace, from a Trace or from a journal's row; NaN is told as null.

    The head also has the line in PackML's words, so that nobody who is shown a cycle works them out anew.
    """
    head: dict[str, Any] = {name: _plain(values[name]) for name in SCALARS}
    for name in LISTS:
        told = values[name]
        head[name] = [str(one) for one in told] if isinstance(told, tuple) else [w for w in str(told).split("; ") if w]
    state, unit_mode = packml(head["mode_requested"], head["outcome"], head["line_state"])
    head |= {"packml_state": str(state), "packml_mode": str(unit_mode)}
    head |= {"lateness_us": lateness_us, "t_unix_s": t_unix_s, "arrays": ARRAYS, "zones": len(values["profile_gsm"])}
    text = json.dumps(head, separators=(",", ":")).encode()
    if len(text) > TEXT_MOST:
        head |= {"link_faults": ["many"], "model_news": ""}
        text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    arrays = (np.asarray(values[name], dtype="<f4").tobytes() for name in ARRAYS)
    return b"".join((PREFIX.pack(len(text)), text, *arrays))


def told(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """A message read back: its head, and its arrays (zones,) by name."""
    (length,) = PREFIX.unpack_from(content)
    head = json.loads(content[PREFIX.size : PREFIX.size + length])
    flat = np.frombuffer(content, dtype="<f4", offset=PREFIX.size + length).reshape(len(head["arrays"]), head["zones"])
    return head, dict(zip(head["arrays"], flat, strict=True))


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    return float(value) if math.isfinite(value) else None


# --- the file ----------------------------------------------------------------------------------------------------


def path_of(journal: Path) -> Path:
    """Where the picture of the process that writes this journal lies."""
    name = hashlib.sha256(os.fsencode(journal.resolve())).hexdigest()[:24]
    return (SHM if SHM.is_dir() else Path(tempfile.gettempdir())) / f"evencoat-{os.getuid()}" / f"{name}.picture"


class Easel:
    """The writing side, on the paced thread: `show` copies some kilobytes within memory, and never raises."""

    def __init__(self, path: Path, zones: int) -> None:
        """Make the file. Raises PictureError where its place is not ours alone, or there is no room."""
        self.path, self._count = path, 0
        self._slot_bytes = SLOT.size + PREFIX.size + TEXT_MOST + 4 + 4 * zones * len(ARRAYS)
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            ours_alone(path.parent)
            handle, made = tempfile.mkstemp(dir=path.parent)
            try:
                os.posix_fallocate(handle, 0, 2 * self._slot_bytes)
                self._memory = mmap.mmap(handle, 2 * self._slot_bytes)
            finally:
                os.close(handle)
            os.replace(made, path)  # a reader of the file of before keeps that one, whole
        except OSError as error:
            raise PictureError(f"{path}: {error.strerror or error}; pages will show what the journal has") from error

    def show(self, trace: Trace, lateness_us: float) -> None:
        """Put the cycle where all can see it."""
        self.put(message(trace._asdict(), lateness_us, time.time()))

    def put(self, content: bytes) -> None:
        """The same with a message that is made already; one that is too long is left out."""
        if SLOT.size + len(content) > self._slot_bytes:
            return
        self._count += 1
        at = self._count % 2 * self._slot_bytes
        head = SLOT.pack(self._count, len(content), zlib.crc32(content, self._count & 0xFFFFFFFF))
        self._memory[at : at + SLOT.size + len(content)] = head + content

    def close(self) -> None:
        """Take the picture away: nobody is at the line any more."""
        self.path.unlink(missing_ok=True)
        self._memory.close()


class Viewer:
    """The reading side. `latest` gives the newest message that is newer than the last one given."""

    def __init__(self, path: Path) -> None:
        self.path, self._count = path, 0
        self._name, self._inode = os.fspath(path), -1
        self._memory: mmap.mmap | None = None

    def latest(self) -> bytes | None:
        """A message, or None where there is none, or none that is new. Costs two looks at memory where nothing is."""
        try:
            if os.stat(self._name).st_ino != self._inode:
                self._open()
        except (OSError, ValueError):  # ValueError: of no length yet
            self._memory, self._inode = None, -1
        if self._memory is None:
            return None
        half = len(self._memory) // 2
        counts = [SLOT.unpack_from(self._memory, at)[0] if half >= SLOT.size else 0 for at in (0, half)]
        for at in (0, half) if counts[0] > counts[1] else (half, 0):
            if counts[at > 0] > self._count and (found := _slot(self._memory[at : at + half])) is not None:
                self._count, newest = found
                return newest
        return None

    def _open(self) -> None:
        """Another process shows now, or the first. A file is never made shorter, only another put in its place."""
        with open(self._name, "rb") as file:
            self._memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._inode, self._count = os.fstat(file.fileno()).st_ino, 0


def _slot(content: bytes) -> tuple[int, bytes] | None:
    """Count and message of a slot; None where it is empty, or was being written."""
    if len(content) < SLOT.size:
        return None
    count, length, crc = SLOT.unpack_from(content)
    text = content[SLOT.size : SLOT.size + length]
    right = count > 0 and len(text) == length and zlib.crc32(text, count & 0xFFFFFFFF) == crc
    return (count, text) if right else None


def ours_alone(folder: Path) -> None:
    """Raises PictureError for a folder that somebody else made, or may write to."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PictureError(f"{folder}: is not a folder of this user's alone; remove it")
