"""Proof against noise: the two CRCs of the wire, and where they sit in a frame. Only the codec needs to import it.

A CRC finds corruption. It does not stop anyone who wants to forge a frame.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from crccheck.crc import Crc8Base, Crc8SaeJ1850

from firmware_bridge.contract import Integrity


def _table_crc8() -> bytes:
    """CRC-8 SAE J1850 of every single byte from a register of zero: the usual 256-byte table."""
    step: type[Crc8Base] = type("Step", (Crc8SaeJ1850,), {"_initvalue": 0, "_xor_output": 0})
    return bytes(step.calc(bytes([byte])) for byte in range(256))


_CRC8 = _table_crc8()


def crc16_ccitt_false(data: bytes | bytearray) -> int:
    """CRC-16/CCITT-FALSE: polynomial 0x1021, start 0xFFFF, no reflection, no final xor (check value 0x29B1)."""
    return crc_hqx(data, 0xFFFF)


def crc8_j1850(data: bytes | bytearray) -> int:
    """CRC-8 SAE J1850: polynomial 0x1D, start 0xFF, final xor 0xFF (check value 0x4B)."""
    register = 0xFF
    for byte in data:
        register = _CRC8[register ^ byte]
    return register ^ 0xFF


@dataclass(frozen=True, slots=True)
class Crc:
    """One message's CRC: how it is reckoned, and how a frame gets it.

    CRC-16 in the form of AUTOSAR E2E profile 5: the frame without its CRC bytes, then the data id, low byte first.
    CRC-8 runs over the data id, low byte first, then the frame without its CRC byte. The data id ties the frame to its
    message: a frame that arrives under another identifier does not pass.

    `of` and `sealed` are the texts run as functions of `data`; a message's reader and writer take the texts in as they
    are, since a call costs as much as the CRC itself. They know NAMES.
    """

    of_text: str
    sealed_text: str
    of: Callable[[bytes], int]  # the CRC that a frame should carry
    sealed: Callable[[bytes], bytes]  # the frame with its CRC in place, whatever stood there


NAMES: Mapping[str, object] = {"crc_hqx": crc_hqx, "crc8": crc8_j1850}


def crc_for(profile: Integrity, position: int, big_endian: bool, data_id: int) -> Crc:
    """The Crc of a message under `profile` (CRC16 or CRC8); `position` is the first byte of its signal."""
    name = (data_id & 0xFFFF).to_bytes(2, "little")
    width = 2 if profile is Integrity.CRC16 else 1
    before, after = f"data[:{position}]", f"data[{position + width}:]"
    if profile is Integrity.CRC16:
        begun = f"crc_hqx({before}, 0xFFFF)" if position else "0xFFFF"
        of = f"crc_hqx({name!r}, crc_hqx({after}, {begun}))"
    else:
        of = f"crc8({name!r} + {before} + {after})"
    order = "big" if big_endian else "little"
    cut = of.replace(after, f"(rest := {after})")
    sealed = f"{before + ' + ' if position else ''}{cut}.to_bytes({width}, {order!r}) + rest"
    return Crc(of, sealed, *(eval(f"lambda data: {text}", dict(NAMES)) for text in (of, sealed)))
