"""Bus load against figures worked out by hand and against the shared contract's own."""

import pytest

from firmware_bridge.codec import Codec
from firmware_bridge.contract import Telegram, WireDescription
from firmware_bridge.load import frame_time_s
from tests.firmware_bridge.wires import foreign_codec


@pytest.mark.parametrize(
    ("size", "is_fd", "is_extended", "bitrate", "data_bitrate", "us"),
    [
        # 8 bytes classic: 64 + 47 = 111 bits and 24 stuff bits = 135 bits: 270 us at 500 kbit/s, 135 us at 1 Mbit/s
        (8, False, False, 500_000, 0, 270.0),
        (8, False, False, 1_000_000, 0, 135.0),
        # 29-bit identifier: 20 bits more, and 5 more stuff bits: 160 bits
        (8, False, True, 500_000, 0, 320.0),
        # 0 bytes classic: 47 bits and 8 stuff bits
        (0, False, False, 500_000, 0, 110.0),
        # 64 bytes FD: 34 bits at 500 kbit/s = 68 us; 5+512+4+21+7+129 = 678 bits at 2 Mbit/s = 339 us
        (64, True, False, 500_000, 2_000_000, 407.0),
        (64, True, False, 1_000_000, 8_000_000, 118.75),
        # 16 bytes FD has the short CRC: 5+128+4+17+6+33 = 193 bits at 2 Mbit/s = 96.5 us
        (16, True, False, 500_000, 2_000_000, 164.5),
    ],
)
def test_frame_times(size: int, is_fd: bool, is_extended: bool, bitrate: int, data_bitrate: int, us: float) -> None:
    assert frame_time_s(size, is_fd, is_extended, bitrate, data_bitrate) * 1e6 == pytest.approx(us)


def test_a_line_of_120_zones_at_the_default_rates() -> None:
    """All messages, 120 boxes a gauge, profiles at 20 Hz, the rest at 10 Hz: the contract says about 15 %."""
    codec = Codec.compile(WireDescription(), 120, 120, 120)
    profiles = {Telegram.WET_PROFILE, Telegram.WET_META, Telegram.DRY_PROFILE, Telegram.DRY_META}
    events = {Telegram.SAFE_STOP, Telegram.REARM}
    rates_hz = {t: 20.0 if t in profiles else 0.0 if t in events else 10.0 for t in Telegram}
    assert codec.bus_load(rates_hz).total_pct == pytest.approx(15.0, abs=1.5)


def test_shares_add_up_and_the_most_urgent_comes_first() -> None:
    load = foreign_codec().bus_load({Telegram.DIE_COMMAND: 10.0, Telegram.SYNC: 100.0})
    busy = [message for message in load.messages if message.rate_hz]
    assert [message.name for message in busy] == ["Bahn_Zeit", "Bahn_Weg"] + [f"Lippe_Soll_{k}" for k in range(1, 9)]
    assert load.total_pct == pytest.approx(270e-6 * (2 * 100 + 8 * 10) * 100)
    assert load.frames_per_s == 280
