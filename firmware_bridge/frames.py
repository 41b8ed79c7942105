"""One CAN frame, as every bus carries it: bytes and identifiers, no meaning. Whoever touches a bus may import it."""

from __future__ import annotations

from typing import NamedTuple

FD_LENGTHS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)  # payload sizes ISO 11898-1 allows


class Frame(NamedTuple):
    """A classic or FD data frame, or an error frame that the controller chip or the hub reports.

    `t_s` is when it came in, in seconds of the bus's own clock; 0.0 where the bus keeps none. It is for logs only:
    control runs on SYNC's time base.
    """

    can_id: int
    data: bytes
    is_fd: bool = True
    is_extended: bool = False
    t_s: float = 0.0
    is_error: bool = False
