"""How page, OPC UA and shell ask something of a control process on the same machine, as the same user.

    answer = Desk(journal).ask("mara", "page", "mode", {"mode": "manual"}, why="a streak on the left")

The desk looks the role of `who` up itself, in the users file that `evencoat run` was told; whoever calls has made sure
that it is `who` who asks. evencoat.desk.actions has what can be asked for, docs/access.md the words for people.
"""

from __future__ import annotations

import itertools
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evencoat.picture import path_of

LINE_MOST = 65_536  # bytes of a request or an answer, with its end of line
PATIENCE_S = 10.0  # more than the desk waits for a cycle


class DeskError(Exception):
    """No control process listens, or none answered; the text says which. Whether it acted is then not known."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`reason`: why not, or what the line does now. Both are sentences for people."""

    accepted: bool
    reason: str


def socket_of(journal: Path) -> Path:
    """Where the desk of the process that writes this journal listens: beside its picture."""
    return path_of(journal).with_suffix(".desk")


class Desk:
    """The desk of one line. Each question is a connection of its own: a control process may come and go between two."""

    def __init__(self, journal: Path, patience_s: float = PATIENCE_S) -> None:
        self.path, self._patience_s = socket_of(journal), patience_s
        self._numbers = itertools.count(1)

    def ask(self, who: str, via: str, action: str, values: Mapping[str, Any] | None = None, why: str = "") -> Answer:
        """Ask for `action` (a name in evencoat.desk.actions.ACTIONS), in the name of `who`, from the room `via`.

        `via` is page, opcua or shell. Zones are counted from 1. Blocks until a cycle has taken the request in: up to
        some seconds where the line is not heard, so call it in a thread. Raises DeskError.
        """
        told = self._answer({"who": who, "via": via, "action": action, "values": dict(values or {}), "why": why})
        return Answer(told["accepted"], told["reason"])

    def state(self) -> dict[str, Any]:
        """What everybody may know. Raises DeskError.

        `holder`: None, or `who` is in command, `via` which room, and `release_s`, seconds until that ends for want of
        use. `mode_requested`, `mode_actual`, `outcome`, and `sends` (False for a process that was started to listen
        only): None before the first cycle. `users`: a sentence where nobody can command for want of users, else "".
        `mode_by`: who asked for the mode that stands, "" for whoever started the process; `acted`: whether a law has
        moved the line since then.
        """
        told: dict[str, Any] = self._answer({"who": "", "via": "shell", "action": "state"})["state"]
        return told

    def tell(self, who: str, via: str, what: str, text: str) -> Answer:
        """Have something audited that a room did by itself: `what` is `refused` (before it came to the desk) or `user`
        (a login, a logout). `who` is a name as it was given, known or not. Raises DeskError.
        """
        told = self._answer({"who": who, "via": via, "action": "tell", "values": {"what": what, "text": text}})
        return Answer(told["accepted"], told["reason"])

    def _answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        line = json.dumps({"id": number, **request}).encode() + b"\n"
        if len(line) > LINE_MOST:
            raise DeskError(f"a request of {len(line)} bytes; {LINE_MOST} is the most")
        try:
            told = json.loads(self._exchanged(line))
        except (FileNotFoundError, ConnectionRefusedError):
            raise DeskError("no control process listens: is `evencoat run` running, with this journal?") from None
        except TimeoutError:
            raise DeskError(f"the control process did not answer within {self._patience_s:g} s") from None
        except (OSError, ValueError) as error:
            raise DeskError(f"the control process did not answer: {error}") from error
        if not isinstance(told, dict) or told.get("id") != number:
            raise DeskError("the control process answered something else than was asked")
        return told

    def _exchanged(self, line: bytes) -> bytes:
        until_s = time.monotonic() + self._patience_s
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.settimeout(self._patience_s)
            channel.connect(str(self.path))
            channel.sendall(line)
            answer = b""
            while not answer.endswith(b"\n") and len(answer) <= LINE_MOST:
                left_s = until_s - time.monotonic()
                if left_s <= 0.0:
                    raise TimeoutError
                channel.settimeout(left_s)
                part = channel.recv(LINE_MOST)
                if not part:
                    raise ConnectionResetError("it hung up")
                answer += part
        return answer
