"""Wires and oracles that the bridge's tests share. The CRCs are reckoned bit by bit, with no code of the product."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import cantools

from firmware_bridge.codec import Codec
from firmware_bridge.contract import SHIPPED_DBC, Integrity, WireDescription

HERE = Path(__file__).parent
FOREIGN_DBC = HERE / "foreign.dbc"
FOREIGN_MAP: dict[str, str] = tomllib.loads((HERE / "foreign.toml").read_text())["bus"]["map"]
FOREIGN = WireDescription(fd=False, dbc_path=FOREIGN_DBC, signal_map=FOREIGN_MAP, integrity=Integrity.CRC8)


@cache
def shipped_codec(zones: int = 40, wet_boxes: int = 80, dry_boxes: int = 80) -> Codec:
    return Codec.compile(WireDescription(), zones, wet_boxes, dry_boxes)


@cache
def foreign_codec() -> Codec:
    return Codec.compile(FOREIGN, 24, 48, 48)


@cache
def database(path: Path = SHIPPED_DBC) -> Any:
    return cantools.database.load_file(path)


def crc16_bit_by_bit(data: bytes) -> int:
    """Polynomial x^16 + x^12 + x^5 + 1, start at all ones, highest bit first."""
    register = 0xFFFF
    for byte in data:
        for bit in range(7, -1, -1):
            feedback = (register >> 15) ^ (byte >> bit & 1)
            register = (register << 1) & 0xFFFF
            if feedback:
                register ^= 0x1021
    return register


def crc8_bit_by_bit(data: bytes) -> int:
    """Polynomial x^8 + x^4 + x^3 + x^2 + 1, start at all ones, highest bit first, inverted at the end."""
    register = 0xFF
    for byte in data:
        for bit in range(7, -1, -1):
            feedback = (register >> 7) ^ (byte >> bit & 1)
            register = (register << 1) & 0xFF
            if feedback:
                register ^= 0x1D
    return register ^ 0xFF


def sealed16(body: bytes, can_id: int, position: int = 0) -> bytes:
    """`body` without its CRC, with the CRC-16 of E2E profile 5 put in at `position`."""
    crc = crc16_bit_by_bit(body + can_id.to_bytes(2, "little"))
    return body[:position] + crc.to_bytes(2, "little") + body[position:]


def sealed8(body: bytes, can_id: int) -> bytes:
    """`body` without its CRC, with the CRC-8 as the last byte."""
    return body + bytes([crc8_bit_by_bit((can_id & 0xFFFF).to_bytes(2, "little") + body)])
