"""Codec speed: frames a second, evencoat's codec against cantools, on the same DBC, the same values and the same bytes.

    python benchmarks/codec.py [--quick] [--json]

Both sides encode and decode every message of a line of 40 zones and 80 boxes. Ours includes CRC and its check; cantools
reckons none: it is handed ours as a value. Before timing, the bytes of both are compared. Every array is packed anew:
what link.Transmitter and link.Receiver save on arrays that repeat, and by joining segments, comes on top.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import cantools
import numpy as np

from firmware_bridge.codec import Codec, Value
from firmware_bridge.contract import SHIPPED_DBC, Telegram, WireDescription

ZONES, BOXES = 40, 80


def telegrams() -> dict[Telegram, dict[str, Value]]:
    """One cycle's worth of values."""
    rng = np.random.default_rng(1)
    film_um = rng.normal(200.0, 2.0, BOXES)
    film_um[7] = np.nan
    meta: dict[str, Value] = {
        "boxes": BOXES, "edge_left_mm": -500.0, "edge_right_mm": 500.0, "direction": 0, "quality": 99.0,
        "t_us": 123_456_789, "web_m": 123.4567,
    }  # fmt: skip
    return {
        Telegram.SYNC: {"t_us": 123_456_789, "web_speed_mps": 1.0, "web_m": 123.4567, "encoder_valid": 1},
        Telegram.LINE_STATE: {"state": 1, "roll": 1, "batch": 2},
        Telegram.PUMP_COMMAND: {"ratio_rpm_per_mps": 112.1, "trim_pct": 0.25},
        Telegram.PUMP_FEEDBACK: {
            "ratio_rpm_per_mps": 112.1, "trim_pct": 0.25, "speed_rpm": 112.4, "pressure_kpa": 85.0,
            "temperature_c": 23.4, "node_state": 0,
        },
        Telegram.DIE_COMMAND: {"gap_um": np.round(rng.normal(600.0, 5.0, ZONES), 1)},
        Telegram.DIE_FEEDBACK: {"gap_um": np.round(rng.normal(600.0, 5.0, ZONES), 1)},
        Telegram.DIE_STATUS: {"zone_status": np.ones(ZONES)},
        Telegram.WET_PROFILE: {"film_um": film_um},
        Telegram.WET_META: meta,
        Telegram.DRY_PROFILE: {"areal_density_gsm": rng.normal(180.0, 2.0, BOXES)},
        Telegram.DRY_META: meta,
        Telegram.HEARTBEAT: {"state": 5, "epoch": 1, "uptime_s": 1000},
    }  # fmt: skip


def median_us(work: Callable[[], Any], repeats: int, rounds: int) -> float:
    """Median over `rounds` of the mean time of one call, in microseconds."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(repeats):
            work()
        times.append((time.perf_counter() - began) / repeats * 1e6)
    return statistics.median(times)


def measure(repeats: int, rounds: int) -> list[dict[str, Any]]:
    """One row a telegram: frames, and microseconds a frame for either side and direction."""
    codec = Codec.compile(WireDescription(), ZONES, BOXES, BOXES)
    database: Any = cantools.database.load_file(SHIPPED_DBC)
    return [row(codec, database, telegram, fields, repeats, rounds) for telegram, fields in telegrams().items()]


def row(
    codec: Codec, database: Any, telegram: Telegram, fields: dict[str, Value], repeats: int, rounds: int
) -> dict[str, Any]:
    """Time one telegram, after making sure that both sides mean the same bytes."""
    node = 2 if telegram is Telegram.HEARTBEAT else 0
    frames = codec.encode(telegram, fields, scan_id=77, counter=5, node=node)
    pairs = [(database.get_message_by_frame_id(frame.can_id), frame.data) for frame in frames]
    known = [(message, message.decode(data, decode_choices=False)) for message, data in pairs]
    for (message, values), frame in zip(known, frames, strict=True):
        if message.encode(values, strict=False) != frame.data:
            raise SystemExit(f"{message.name}: cantools does not give the same bytes")
    works: dict[str, Callable[[], Any]] = {
        "encode_us": lambda: codec.encode(telegram, fields, scan_id=77, counter=5, node=node),
        "decode_us": lambda: [codec.decode(frame) for frame in frames],
        "cantools_encode_us": lambda: [message.encode(values, strict=False) for message, values in known],
        "cantools_decode_us": lambda: [message.decode(data, decode_choices=False) for message, data in pairs],
    }
    times = {name: median_us(work, repeats, rounds) / len(frames) for name, work in works.items()}
    return {"telegram": str(telegram), "frames": len(frames), **times}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    rows = measure(*((300, 3) if arguments.quick else (3000, 7)))
    frames = sum(row["frames"] for row in rows)
    total = {
        side: frames / sum(row["frames"] * (row[f"{side}encode_us"] + row[f"{side}decode_us"]) for row in rows) * 1e6
        for side in ("", "cantools_")
    }
    result = {
        "machine": f"{platform.processor() or platform.machine()}, Python {platform.python_version()}",
        "zones": ZONES,
        "boxes": BOXES,
        "telegrams": rows,
        "frames_per_s": total[""],
        "cantools_frames_per_s": total["cantools_"],
    }
    if arguments.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{'telegram':<15}{'frames':>7}{'encode':>9}{'decode':>9}{'cantools':>11}{'cantools':>10}   us a frame")
    for row in rows:
        print(
            f"{row['telegram']:<15}{row['frames']:>7}{row['encode_us']:>9.1f}{row['decode_us']:>9.1f}"
            f"{row['cantools_encode_us']:>11.1f}{row['cantools_decode_us']:>10.1f}"
        )
    print(
        f"encoded and decoded: {result['frames_per_s']:,.0f} frames/s, "
        f"cantools {result['cantools_frames_per_s']:,.0f} frames/s"
    )


if __name__ == "__main__":
    main()
