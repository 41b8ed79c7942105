"""What error frames say, in plain words. Bus adapters and the bridge import it.

Linux's layout (linux/can/error.h): the identifier's bits name the class, the payload details it. The hub speaks it too.
"""

from __future__ import annotations

from firmware_bridge.frames import Frame

CONTROLLER = 0x004  # class: controller problems, detailed in byte 1
BUS_OFF = 0x040
RESTARTED = 0x100
RX_OVERFLOW = 0x01  # byte 1 of class CONTROLLER

_CLASSES = {
    0x001: "transmit timeout",
    0x002: "lost arbitration",
    0x008: "protocol violation",
    0x010: "transceiver",
    0x020: "no acknowledge: nobody else is on the bus",
    BUS_OFF: "bus-off",
    0x080: "bus error",
    RESTARTED: "controller restarted",
}
_CONTROLLER = {
    0x02: "transmit buffer overflow",
    0x04: "many receive errors (warning)",
    0x08: "many transmit errors (warning)",
    0x10: "error passive (receive)",
    0x20: "error passive (transmit)",
    0x40: "controller error active again",
}


def overrun_frame(dropped: int) -> Frame:
    """The frame that tells a client how many frames the hub could not queue for it (bytes 5 to 7, low byte first)."""
    count = min(dropped, 0xFF_FFFF).to_bytes(3, "little")
    return Frame(CONTROLLER, bytes((0, RX_OVERFLOW, 0, 0, 0)) + count, is_fd=False, is_error=True)


def bus_off_frame() -> Frame:
    """The chip has left the bus."""
    return Frame(BUS_OFF, bytes(8), is_fd=False, is_error=True)


def restarted_frame() -> Frame:
    """The chip is back on the bus."""
    return Frame(RESTARTED, bytes(8), is_fd=False, is_error=True)


def overrun_count(frame: Frame) -> int:
    """How many frames an overrun frame reports as dropped (at least 1); 0 for any other frame."""
    if not (frame.is_error and frame.can_id & CONTROLLER and len(frame.data) == 8 and frame.data[1] & RX_OVERFLOW):
        return 0
    return max(1, int.from_bytes(frame.data[5:8], "little"))


def is_bus_off(frame: Frame) -> bool:
    """Whether the controller chip has left the bus. Data frames or a restart end it; bus.state would not tell."""
    return frame.is_error and bool(frame.can_id & BUS_OFF)


def describe(frame: Frame) -> str:
    """An error frame in plain words, all that it says, in one line."""
    words = [text for bit, text in _CLASSES.items() if frame.can_id & bit]
    if frame.can_id & CONTROLLER:
        detail = frame.data[1] if len(frame.data) > 1 else 0
        words += [text for bit, text in _CONTROLLER.items() if detail & bit]
        dropped = overrun_count(frame)
        if dropped:
            words.append(f"receive overrun: {dropped} frame{'s' if dropped > 1 else ''} lost")
    return ", ".join(words) or f"error frame 0x{frame.can_id:X}"
