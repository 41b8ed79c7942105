"""Make a virtual CAN interface and set it up or down, by netlink alone: `ip` is not on every machine.

    python -m tests.socketcan.link vcan0

Linux's rtnetlink(7): one message, one acknowledgement.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys

_NEWLINK, _REQUEST_ACK, _CREATE = 16, 5, 0x400
_IFNAME, _MTU, _LINKINFO, _INFO_KIND = 3, 4, 18, 1
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1
CANFD_MTU = 72


def make(name: str) -> None:
    """A new vcan interface that carries CAN FD. Raises OSError."""
    kind = _attribute(_LINKINFO, _attribute(_INFO_KIND, b"vcan"))
    body = struct.pack("=BxHiII", 0, 0, 0, 0, 0) + _attribute(_IFNAME, name.encode() + b"\0")
    body += _attribute(_MTU, struct.pack("=I", CANFD_MTU)) + kind
    header = struct.pack("=IHHII", 16 + len(body), _NEWLINK, _REQUEST_ACK | _CREATE, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.bind((0, 0))
        kernel.send(header + body)
        (code,) = struct.unpack_from("=i", kernel.recv(65536), 16)
    if code:
        raise OSError(-code, f"{name}: {os.strerror(-code)}")


def set_up(name: str, up: bool) -> None:
    """Set an interface up or down. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", name.encode(), 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(control, _GET_FLAGS, request), 16)
        flags = flags | _UP if up else flags & ~_UP
        fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sH14x", name.encode(), flags))


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


if __name__ == "__main__":
    make(sys.argv[1])
    set_up(sys.argv[1], True)
