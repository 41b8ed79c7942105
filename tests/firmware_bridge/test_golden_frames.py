"""Frames whose bytes were worked out by hand: a mistake that encoder and decoder share cannot hide here."""

import math

import numpy as np
import pytest

from firmware_bridge.contract import Telegram
from firmware_bridge.frames import Frame
from tests.firmware_bridge.wires import foreign_codec, sealed8, sealed16, shipped_codec


def hexes(text: str) -> bytes:
    return bytes.fromhex(text.replace(" ", ""))


def test_sync() -> None:
    # counter 0xAB, segment 0, cycle 0x01020304 low byte first
    # 1 s = 1,000,000 us = 0x0F4240 in six bytes; 1 m/s = 10,000 counts of 0.1 mm/s = 0x2710
    # 123.4567 m = 1,234,567 counts of 0.1 mm = 0x12D687 in five bytes; encoder valid: 1; two bytes spare
    body = hexes("AB 00 04030201 40420F000000 1027 87D6120000 01 0000")
    (frame,) = shipped_codec().encode(
        Telegram.SYNC,
        {"t_us": 1_000_000, "web_speed_mps": 1.0, "web_m": 123.4567, "encoder_valid": 1},
        scan_id=0x01020304,
        counter=0xAB,
    )
    assert frame == Frame(0x020, sealed16(body, 0x020))
    assert frame.data[:2] == hexes("6D A0")  # CRC-16/CCITT-FALSE of the body and 20 00, low byte first


def test_heartbeat_says_its_state_first() -> None:
    # state 5 (operational), then the CRC, counter 2, epoch 7, uptime 60 s = 0x3C, four bytes spare
    body = hexes("05 02 07000000 3C000000 00000000")
    (frame,) = shipped_codec().encode(
        Telegram.HEARTBEAT, {"state": 5, "epoch": 7, "uptime_s": 60}, scan_id=0, counter=2, node=1
    )
    assert frame == Frame(0x701, sealed16(body, 0x701, position=1))


def test_pump_command() -> None:
    # valid until cycle 300 = 0x012C; 112.1 rpm/(m/s) = 112,100 counts of 0.001 = 0x0001B5E4
    # -0.25 % = -250 counts of 0.001 % = 0xFF06; ten bytes spare
    body = hexes("00 00 2C010000 E4B50100 06FF" + "00" * 10)
    (frame,) = shipped_codec().encode(
        Telegram.PUMP_COMMAND, {"ratio_rpm_per_mps": 112.1, "trim_pct": -0.25}, scan_id=300, counter=0
    )
    assert frame == Frame(0x040, sealed16(body, 0x040))


def test_die_command_in_two_segments() -> None:
    # zones 0..27 at 600.0 um = 6,000 counts of 0.1 um = 0x1770, zone 1 at 599.9 um = 0x176F
    # zones 28, 29 at 0.1 um = 1 count and 3276.7 um = 0x7FFF; the other 26 places of the segment are 0
    gap_um = np.full(30, 600.0)
    gap_um[1], gap_um[28], gap_um[29] = 599.9, 0.1, 3276.7
    first, second = shipped_codec(30, 0, 0).encode(Telegram.DIE_COMMAND, {"gap_um": gap_um}, scan_id=5, counter=255)
    assert first == Frame(0x100, sealed16(hexes("FF 00 05000000 7017 6F17" + "7017" * 26), 0x100))
    assert second == Frame(0x101, sealed16(hexes("FF 01 05000000 0100 FF7F" + "0000" * 26), 0x101))


def test_wet_profile_with_an_invalid_box() -> None:
    # 200.12 um = 20,012 counts of 0.01 um = 0x4E2C; NaN and boxes that this gauge does not have are 0xFFFF
    (frame,) = shipped_codec(40, 3, 0).encode(
        Telegram.WET_PROFILE, {"film_um": [200.12, math.nan, 0.0]}, scan_id=1, counter=1
    )
    assert frame == Frame(0x300, sealed16(hexes("01 00 01000000 2C4E FFFF 0000" + "FFFF" * 25), 0x300))


def test_die_status_packs_two_zones_a_byte() -> None:
    # zone 0 ready = 1, zone 1 ready and at limit = 3, zone 2 fault = 4: nibbles, the lower zone in the lower half
    (frame,) = shipped_codec(3, 0, 0).encode(Telegram.DIE_STATUS, {"zone_status": [1, 3, 4]}, scan_id=0, counter=0)
    assert frame == Frame(0x200, sealed16(hexes("00 00 00000000 31 04" + "00" * 14), 0x200))


def test_a_byte_worked_out_by_hand_decodes() -> None:
    # 57.25 degC = 5,725 = 0x165D; 85.0 kPa = 850 counts = 0x0352; 112.345 rpm = 112,345 = 0x0001B6D9; latched: 2
    body = hexes("09 00 07000000 E4B50100 0000 5D16 D9B60100 5203 02 00")
    part = shipped_codec().decode(Frame(0x041, sealed16(body, 0x041)))
    assert part is not None and part.crc_ok and (part.scan_id, part.counter) == (7, 9)
    assert part.fields == pytest.approx(
        {
            "ratio_rpm_per_mps": 112.1,
            "trim_pct": 0.0,
            "speed_rpm": 112.345,
            "pressure_kpa": 85.0,
            "temperature_c": 57.25,
            "node_state": 2,
        },
        rel=1e-12,
    )


def test_foreign_lips_are_big_endian_signed_and_offset() -> None:
    # raw = (um - 1000) / 0.5: 600 um is -800 = 0xFCE0, 1000 um is 0, 1000.5 um is 1; counter 7 in byte 6, CRC-8 in 7
    gap_um = np.full(24, 600.0)
    gap_um[1], gap_um[2] = 1000.0, 1000.5
    first, *others = foreign_codec().encode(Telegram.DIE_FEEDBACK, {"gap_um": gap_um}, scan_id=0, counter=7)
    assert first == Frame(0x240, sealed8(hexes("FCE0 0000 0001 07"), 0x240), is_fd=False)
    assert [frame.can_id for frame in others] == list(range(0x241, 0x248))


def test_foreign_sync_comes_in_two_frames_of_other_units() -> None:
    # 12.3456 s = 12,345.6 ms = 123,456 counts of 0.1 ms = 0x01E240 low byte first in 5 bytes, valid bit, counter, CRC
    # 45.678 m = 45,678 mm = 0x0000B26E high byte first; 0.5 m/s = 30 m/min = 3,000 counts = 0x0BB8 high byte first
    time, web = foreign_codec().encode(
        Telegram.SYNC,
        {"t_us": 12_345_600, "web_speed_mps": 0.5, "web_m": 45.678, "encoder_valid": 1},
        scan_id=0,
        counter=3,
    )
    assert time == Frame(0x0A0, sealed8(hexes("40E2010000 01 03"), 0x0A0), is_fd=False)
    assert web == Frame(0x0A1, sealed8(hexes("0000B26E 0BB8 03"), 0x0A1), is_fd=False)


def test_foreign_states_are_told_by_their_labels() -> None:
    # this maker's RUNNING is 3; roll 4 and batch 5 in two bytes each
    (frame,) = foreign_codec().encode(Telegram.LINE_STATE, {"state": 1, "roll": 4, "batch": 5}, scan_id=0, counter=0)
    assert frame == Frame(0x0B0, sealed8(hexes("03 0400 0500 00 00"), 0x0B0), is_fd=False)


def test_foreign_dry_profile_has_29_bit_identifiers() -> None:
    # 180 g/m2 = 18.000 mg/cm2 = 18,000 counts = 0x4650 high byte first; NaN is "SNA" = 0xFFFF
    values = np.full(48, 180.0)
    values[0] = math.nan
    first, *_ = foreign_codec().encode(Telegram.DRY_PROFILE, {"areal_density_gsm": values}, scan_id=0, counter=1)
    assert first == Frame(0x18FF4000, sealed8(hexes("FFFF 4650 4650 01"), 0x4000), is_fd=False, is_extended=True)
