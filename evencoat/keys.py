"""Key files of an authenticated bus, and epochs that outlive a restart: read with care, written whole or not at all.

A key file is JSON, belongs to its owner alone (0600) and holds the keys of one line. Whoever may read it can command
the line: it travels by hand or by scp, never over the bus. Beside it each party keeps its own small file of epochs.
evencoat.key_commands is what people type; the processes and simulate ask `authenticator`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evencoat import private
from evencoat.private import exposed
from evencoat.settings import Settings
from firmware_bridge.authentication import EPOCH_MAX, KEY_BYTES, AuthenticationError, Authenticator, Key, KeyRing

FORMAT = 1
FILE_SIZE_MAX = 100_000  # bytes
LEAD_S, OVERLAP_S = 3600.0, 24 * 3600.0  # of a rotation: the new key signs after the one, the old is refused after both


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as its file has it: the key, and when it was made (seconds since 1970)."""

    key: Key
    made_s: float

    @property
    def fingerprint(self) -> str:
        """Eight digits by which two people can compare a key without showing it."""
        return hashlib.sha256(b"evencoat key" + self.key.secret).hexdigest()[:8]

    def state(self, now_s: float, is_newest_signer: bool) -> str:
        """What the key is good for now, in a word."""
        if now_s > self.key.valid_until_s:
            return "expired"
        if now_s < self.key.signs_from_s:
            return "waits, believed already"
        return "signs" if is_newest_signer else "believed"


def new(path: Path, now_s: float) -> StoredKey:
    """Make a key file with one key. Raises AuthenticationError where a file is there already."""
    made = StoredKey(Key(1, secrets.token_bytes(KEY_BYTES)), now_s)
    try:
        private.make(path, _text([made]).encode())
    except FileExistsError:
        raise AuthenticationError(
            f"{path}: is there already; evencoat key rotate puts a new key beside the old"
        ) from None
    return made


def read(path: Path) -> list[StoredKey]:
    """The keys of a file, oldest first. Raises AuthenticationError: missing, not ours alone, or no key file."""
    try:
        data = private.read(path, FILE_SIZE_MAX)
    except FileNotFoundError:
        raise AuthenticationError(f"key file {path}: is not there; evencoat key new {path} makes one") from None
    except private.NotPrivate as error:
        raise AuthenticationError(f"key file {error}") from error
    try:
        told = json.loads(data)
        if told["evencoat_keys"] != FORMAT or len(data) > FILE_SIZE_MAX:
            raise ValueError(f"format {told['evencoat_keys']!r}, expected {FORMAT}")
        keys = [_key(one) for one in told["keys"]]
    except (ValueError, KeyError, TypeError) as error:  # never the text of the file: it is secret
        raise AuthenticationError(f"key file {path}: is no key file of evencoat ({type(error).__name__})") from None
    if not keys:
        raise AuthenticationError(f"key file {path}: holds no key; delete it and make one: evencoat key new {path}")
    return sorted(keys, key=lambda stored: stored.key.number)


def rotate(path: Path, now_s: float, lead_s: float = LEAD_S, overlap_s: float = OVERLAP_S) -> list[StoredKey]:
    """Put a new key beside the newest: it signs `lead_s` from now, and the old ones are refused `overlap_s` after that.

    Within the lead the file has to reach every node. Raises AuthenticationError while an earlier rotation is under way.
    """
    keys = [stored for stored in read(path) if now_s <= stored.key.valid_until_s]
    if any(stored.key.signs_from_s > now_s for stored in keys):
        raise AuthenticationError(f"key file {path}: a new key waits already; evencoat key show {path} says until when")
    until_s = now_s + lead_s + overlap_s
    kept = [
        replace(stored, key=replace(stored.key, valid_until_s=min(stored.key.valid_until_s, until_s)))
        for stored in keys
    ]
    number = max((stored.key.number for stored in read(path)), default=0) + 1
    made = StoredKey(Key(number, secrets.token_bytes(KEY_BYTES), now_s + lead_s), now_s)
    _replace(path, _text([*kept, made]))
    return [*kept, made]


def key_ring(settings: Settings, now_s: float) -> KeyRing:
    """The keys that a line file names. Raises AuthenticationError."""
    auth = settings.wire.auth
    if auth is None:
        raise AuthenticationError("the line file has no [bus.auth]")
    return KeyRing([stored.key for stored in read(auth.key_file)], auth.key_id, now_s)


def authenticator(settings: Settings, party: str, clock: Callable[[], float] = time.time) -> Authenticator | None:
    """What a process needs to speak on a line's bus, in an epoch of its own; None where nothing is authenticated.

    `party` names the file beside the key file in which it remembers its epoch and the others'. Raises
    AuthenticationError for keys or epochs that cannot be used.
    """
    auth, now_s = settings.wire.auth, clock()
    if auth is None:
        return None
    ring = key_ring(settings, now_s)
    path = auth.key_file.with_name(f"{auth.key_file.name}.{party}.json")
    last, known = _epochs(path)
    epoch = max(last + 1, min(int(now_s), EPOCH_MAX))  # by the clock, so that a lost file is no lost line
    _replace(path, _epochs_text(epoch, known))

    def remember(heard: Mapping[int, int]) -> None:
        with contextlib.suppress(OSError):  # a full disk shall not stop the line; the next start knows less
            _replace(path, _epochs_text(epoch, heard))

    return Authenticator(ring, epoch, settings.line.control.cycle_s, known, remember, clock, time.monotonic)


def in_lockstep(settings: Settings, epoch: int) -> Authenticator | None:
    """The same for one side of a line in lockstep: nothing is remembered, and keys do not age while it plays."""
    if settings.wire.auth is None:
        return None
    return Authenticator(key_ring(settings, time.time()), epoch, settings.line.control.cycle_s)


def _refuse_shared(path: Path, found: os.stat_result) -> None:
    if why := exposed(path, found):
        raise AuthenticationError(f"key file {why}")


def _key(told: Mapping[str, Any]) -> StoredKey:
    secret = bytes.fromhex(told["aes128"])
    number = told["number"]
    if len(secret) != KEY_BYTES or not isinstance(number, int) or number < 1:
        raise ValueError("key")
    key = Key(number, secret)
    if told.get("signs_from"):
        key = replace(key, signs_from_s=_seconds(told["signs_from"]))
    if told.get("valid_until"):
        key = replace(key, valid_until_s=_seconds(told["valid_until"]))
    return StoredKey(key, _seconds(told["made"]))


def _text(keys: list[StoredKey]) -> str:
    told = [
        {
            "number": stored.key.number,
            "aes128": stored.key.secret.hex(),
            "made": iso(stored.made_s),
            "signs_from": iso(stored.key.signs_from_s),
            "valid_until": iso(stored.key.valid_until_s),
        }
        for stored in keys
    ]
    return json.dumps({"evencoat_keys": FORMAT, "keys": told}, indent=2) + "\n"


def iso(t_s: float) -> str | None:
    """A time for files and people, in UTC; None for one that never comes or was always."""
    return None if abs(t_s) == float("inf") else datetime.fromtimestamp(t_s, UTC).isoformat(timespec="seconds")


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _epochs(path: Path) -> tuple[int, dict[int, int]]:
    """This party's last epoch and those it heard of others; nothing where there is no file yet."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        epoch, known = int(told["epoch"]), {int(node): int(heard) for node, heard in told["heard"].items()}
    except FileNotFoundError:
        return 0, {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AuthenticationError(
            f"{path}: cannot be read ({error}); delete it: the epoch then begins by the clock"
        ) from None
    return epoch, known


def _epochs_text(epoch: int, heard: Mapping[int, int]) -> str:
    return json.dumps({"epoch": epoch, "heard": {str(node): value for node, value in heard.items()}}) + "\n"


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all, readable by its owner alone."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
