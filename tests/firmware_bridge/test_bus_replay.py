"""A recorded line played back says what the living one said, in every format, and a torn log ends where it is torn."""

from __future__ import annotations

import json
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from can.io.blf import LOG_CONTAINER, LOG_CONTAINER_STRUCT, NO_COMPRESSION, OBJ_HEADER_BASE_STRUCT
from typer.testing import CliRunner

from controller.line.profile import LineInputs
from evencoat import cli
from evencoat.journal import JournalReader, NoSink
from evencoat.replay import replay
from evencoat.settings import load_line
from firmware_bridge.bus import BusError
from firmware_bridge.bus_replay import ReplayBus, write_log
from firmware_bridge.frames import Frame
from tests.runs import Line, story

SECONDS = 30.0


class Recorded:
    """A line in lockstep, its frames with their line time, and what its controller read."""

    def __init__(self) -> None:
        self.line = Line(story())
        self.frames: list[Frame] = []
        self.inputs: list[LineInputs] = []
        nodes = self.line.nodes
        self.line.hub.tap(lambda frame: self.frames.append(frame._replace(t_s=nodes.state.t_s)))
        port = self.line.loop._port
        read = port.read

        def reading() -> LineInputs | None:
            inputs = read()
            if inputs is not None:
                self.inputs.append(inputs)
            return inputs

        port.read = reading  # type: ignore[method-assign]
        self.line.play_s(SECONDS)

    def log(self, path: Path) -> Path:
        return write_log(self.frames, path)


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return Recorded()


class Kept:
    def __init__(self) -> None:
        self.traces: list[Any] = []

    def record(self, trace: Any, step_us: float, lateness_us: float) -> None:
        self.traces.append(trace)


@pytest.mark.parametrize("suffix", [".blf", ".asc", ".log"])
def test_every_frame_comes_back_at_its_time(recorded: Recorded, tmp_path: Path, suffix: str) -> None:
    bus = ReplayBus(recorded.log(tmp_path / f"line{suffix}"))
    began_s, came = bus.now_s, []
    assert bus.receive() == [] and not bus.wait(1.0)
    while (next_s := bus.next_s()) is not None:
        bus.advance(next_s)
        came += bus.receive()
    assert [(f.can_id, f.data, f.is_fd) for f in came] == [(f.can_id, f.data, f.is_fd) for f in recorded.frames]
    first_s = recorded.frames[0].t_s
    times = [frame.t_s - began_s for frame in came]
    assert times == pytest.approx([frame.t_s - first_s for frame in recorded.frames], abs=1e-4)
    assert bus.ended and bus.fault() is None and bus.frames == len(recorded.frames)
    bus.close()
    bus.close()


def test_a_recording_takes_no_frames(recorded: Recorded, tmp_path: Path) -> None:
    bus = ReplayBus(recorded.log(tmp_path / "line.log"))
    with pytest.raises(BusError, match="takes no frames"):
        bus.send(Frame(1, b""))


@pytest.mark.parametrize("suffix", [".blf", ".asc", ".log"])
def test_the_bridge_reads_from_a_recording_what_it_read_from_the_line(
    recorded: Recorded, tmp_path: Path, suffix: str
) -> None:
    kept = Kept()
    told = replay(load_line("pilot-16"), recorded.log(tmp_path / f"line{suffix}"), kept)
    assert told.frames == len(recorded.frames) and told.broke_off == "" and told.faults == {}
    assert abs(told.cycles - len(recorded.inputs)) <= 2 and told.line_s == pytest.approx(SECONDS, abs=0.3)
    live = {inputs.t_line_ns: inputs for inputs in recorded.inputs}
    assert len(kept.traces) > 250
    for trace in kept.traces:
        inputs = live[trace.t_line_ns]
        assert (trace.web_m, trace.web_speed_mps) == (inputs.web_m, inputs.web_speed_mps)
        np.testing.assert_array_equal(trace.gap_um, inputs.gap_um)
    assert told.wet_scans >= sum(inputs.wet is not None for inputs in recorded.inputs) - 1


def test_the_command_line_shows_links_and_keeps_a_journal(recorded: Recorded, tmp_path: Path) -> None:
    run, log = CliRunner().invoke, recorded.log(tmp_path / "line.blf")
    result = run(cli.app, ["replay", str(log), "--line", "pilot-16", "--journal", str(tmp_path / "j.sqlite"), "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["cycles"] > 250 and {link["state"] for link in told["links"] if link["received"]} <= {"ok"}
    with JournalReader(tmp_path / "j.sqlite") as journal:
        assert journal.cycle_count() == told["cycles"]
    assert "wet_profile" in run(cli.app, ["replay", str(log), "--line", "pilot-16"]).stdout
    assert run(cli.app, ["replay", str(tmp_path / "no.blf"), "--line", "pilot-16"]).exit_code == 1
    assert run(cli.app, ["replay", str(log), "--line", "nowhere"]).exit_code == 2


def test_a_log_that_breaks_off_is_over_there(recorded: Recorded, tmp_path: Path) -> None:
    log = recorded.log(tmp_path / "line.blf")
    log.write_bytes(log.read_bytes()[:-5000])
    told = replay(load_line("pilot-16"), log, NoSink())
    assert 0 < told.frames < len(recorded.frames)


@pytest.mark.parametrize("at", [700, 200])
def test_a_damaged_log_is_over_where_it_is_damaged(recorded: Recorded, tmp_path: Path, at: int) -> None:
    """Within the packed part of a BLF, and in the header of a container: python-can has an error for each."""
    log = recorded.log(tmp_path / "line.blf")
    content = bytearray(log.read_bytes())
    content[at : at + 40] = bytes(40)
    log.write_bytes(content)
    with pytest.raises(BusError, match="cannot be read further"):
        ReplayBus(log)


@pytest.mark.parametrize("length", [0, 15])
def test_an_object_without_a_length_ends_a_log(recorded: Recorded, tmp_path: Path, length: int) -> None:
    """python-can's reader would stand there for ever, so it is read in a thread that is not waited for."""
    log = recorded.log(tmp_path / "line.blf")
    objects = OBJ_HEADER_BASE_STRUCT.pack(b"LOBJ", 32, 0x4001, length, 86) + bytes(64)
    content = LOG_CONTAINER_STRUCT.pack(NO_COMPRESSION, len(objects)) + objects
    header = OBJ_HEADER_BASE_STRUCT.pack(b"LOBJ", 16, 1, OBJ_HEADER_BASE_STRUCT.size + len(content), LOG_CONTAINER)
    log.write_bytes(log.read_bytes()[:144] + header + content)
    told: list[str] = []

    def read() -> None:
        with pytest.raises(BusError) as refused:
            ReplayBus(log)
        told.append(str(refused.value))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(20.0)
    assert told and f"an object of {length} bytes" in told[0]


def test_frames_before_such_an_object_are_read(recorded: Recorded, tmp_path: Path) -> None:
    log = recorded.log(tmp_path / "line.blf")
    whole = log.read_bytes()
    size = OBJ_HEADER_BASE_STRUCT.unpack_from(whole, 144)[3]
    objects = bytearray(zlib.decompress(whole[144 + 16 + LOG_CONTAINER_STRUCT.size : 144 + size]))
    at = objects.index(b"LOBJ", len(objects) // 2)
    objects[at + 8 : at + 12] = bytes(4)  # its length
    content = LOG_CONTAINER_STRUCT.pack(NO_COMPRESSION, len(objects)) + objects
    header = OBJ_HEADER_BASE_STRUCT.pack(b"LOBJ", 16, 1, OBJ_HEADER_BASE_STRUCT.size + len(content), LOG_CONTAINER)
    log.write_bytes(whole[:144] + header + content)
    told = replay(load_line("pilot-16"), log, NoSink())
    assert 100 < told.frames < len(recorded.frames) and "an object of 0 bytes" in told.broke_off


def test_error_frames_of_a_recording_are_told(recorded: Recorded, tmp_path: Path) -> None:
    """python-can's candump reader knows of an error frame that it was one, not which."""
    log = recorded.log(tmp_path / "line.log")
    lines = log.read_text().splitlines(keepends=True)
    lines.insert(2000, f"{lines[2000].split()[0]} vcan0 20000080#0000000000000000 R\n")
    log.write_text("".join(lines))
    assert replay(load_line("pilot-16"), log, NoSink()).faults == {"bus: error frame 0x0": 1}


@pytest.mark.parametrize("name", ["line.csv", "line.trc", "line", "line.db"])
def test_other_formats_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BusError, match=r"expected \.blf, \.asc, \.log"):
        ReplayBus(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content"), [("a.blf", b"no log at all"), ("a.log", b""), ("a.asc", b""), ("a.blf", b"")]
)
def test_what_is_no_log_is_told(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BusError, match="log"):
        ReplayBus(tmp_path / name)
    with pytest.raises(BusError, match="log"):
        ReplayBus(tmp_path / "missing.blf")
