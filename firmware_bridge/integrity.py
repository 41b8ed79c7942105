"""Proof against noise: the two CRCs of the wire, and where they sit in a frame. Only the codec needs to import it.

A CRC finds corruption. It does not stop anyone who wants to forge a frame.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

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
    """

    of: Callable[[bytes], int]  # the CRC that a frame should carry
    sealed: Callable[[bytes], bytes]  # the frame with its CRC in place, whatever stood there


def crc_for(profile: Integrity, position: int, big_endian: bool, data_id: int) -> Crc:
    """The Crc of a message under `profile` (CRC16 or CRC8); `position` is the first byte of its signal."""
    name = (data_id & 0xFFFF).to_bytes(2, "little")
    order: Literal["little", "big"] = "big" if big_endian else "little"
    width = 2 if profile is Integrity.CRC16 else 1
    after = position + width

    def crc16_in_front(data: bytes) -> int:
        return crc_hqx(name, crc_hqx(data[2:], 0xFFFF))

    def sealed_in_front(data: bytes) -> bytes:
        rest = data[2:]
        return crc_hqx(name, crc_hqx(rest, 0xFFFF)).to_bytes(2, order) + rest

    def crc16(data: bytes) -> int:
        return crc_hqx(name, crc_hqx(data[after:], crc_hqx(data[:position], 0xFFFF)))

    def crc8(data: bytes) -> int:
        return crc8_j1850(name + data[:position] + data[after:])

    if profile is Integrity.CRC16 and not position:
        return Crc(crc16_in_front, sealed_in_front)
    of = crc16 if profile is Integrity.CRC16 else crc8

    def sealed(data: bytes) -> bytes:
        return data[:position] + of(data).to_bytes(width, order) + data[after:]

    return Crc(of, sealed)
