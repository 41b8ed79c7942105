"""The hub as a program on the machine: who may start where, what is recorded, and what python-can makes of it."""

from __future__ import annotations

import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import can
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.bus_hub import HubBus, HubError, HubServer, message_of, pack, packet_of
from firmware_bridge.bus_pythoncan import open_bus
from firmware_bridge.contract import Telegram, WireDescription
from firmware_bridge.frames import FD_LENGTHS, Frame
from tests.firmware_bridge.hubs import PATIENCE_S, collect, probe, running, send
from tests.firmware_bridge.wires import database, shipped_codec


def test_the_socket_is_its_owners_alone_and_goes_with_the_hub(tmp_path: Path) -> None:
    path = tmp_path / "hub.sock"
    with HubServer(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_ISSOCK(path.stat().st_mode)
    assert not path.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_living_hub_is_not_pushed_aside(tmp_path: Path) -> None:
    path = tmp_path / "hub.sock"
    with HubServer(path):
        with pytest.raises(HubError, match="already serves"):
            HubServer(path)
        HubBus(str(path)).shutdown()  # the first one still listens


def test_a_dead_hubs_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "hub.sock"
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    dead.bind(str(path))
    dead.close()
    with running(path):
        HubBus(str(path)).shutdown()


def test_another_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(HubError, match="not a socket"):
        HubServer(path)
    assert path.read_text() == "mine"


def test_a_place_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(HubError, match="No such file"):
        HubServer(tmp_path / "nowhere" / "hub.sock")


def test_ready_is_called_when_clients_can_attach(tmp_path: Path) -> None:
    path = tmp_path / "hub.sock"
    with HubServer(path) as server:
        seen: list[bool] = []

        def ready() -> None:
            HubBus(str(path)).shutdown()
            seen.append(True)
            server.stop()

        server.serve(ready=ready)
        assert seen == [True]


def test_serve_asks_its_callers_flag(tmp_path: Path) -> None:
    with HubServer(tmp_path / "hub.sock") as server:
        answers = iter([False, False, True])
        server.serve(stop=lambda: next(answers))


@pytest.mark.parametrize("suffix", [".blf", ".asc", ".log"])
def test_the_frame_log_holds_every_frame_for_other_tools(tmp_path: Path, suffix: str) -> None:
    path, log = tmp_path / "hub.sock", tmp_path / f"frames{suffix}"
    gap_um = np.linspace(590.0, 610.0, 40).round(1)
    frames = shipped_codec().encode(Telegram.DIE_COMMAND, {"gap_um": gap_um}, scan_id=77, counter=3)
    with running(path, log) as server:
        bus, other = (open_bus(f"evencoat:{path}", WireDescription()) for _ in range(2))
        probe(server, 2)
        for frame in frames:
            send(bus, frame)
        collect(other, len(frames))
    logged = [m for m in can.LogReader(log) if not m.is_error_frame]
    assert [(m.arbitration_id, bytes(m.data), m.is_fd) for m in logged] == [(f.can_id, f.data, True) for f in frames]
    values: dict[str, float] = {}
    for message in logged:
        values |= database().decode_message(message.arbitration_id, bytes(message.data), decode_choices=False)
    assert [values[f"GapTarget_{i:03d}"] for i in range(40)] == pytest.approx(gap_um.tolist())


@pytest.mark.parametrize("suffix", [".csv", ".trc", ".db", ""])
def test_log_formats_that_lose_frames_are_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(HubError, match=r"expected \.blf"):
        HubServer(tmp_path / "hub.sock", tmp_path / f"frames{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_python_cans_own_logger_attaches_and_records(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path, log = tmp_path / "hub.sock", tmp_path / "recorded.log"
    command = [sys.executable, "-m", "can.logger", "-i", "evencoat", "-c", str(path), "--fd", "-f", str(log)]
    sent = [Frame(0x100 + k, bytes([k] * 64)) for k in range(50)]
    with running(path) as server:
        bus = open_bus(f"evencoat:{path}", WireDescription())
        logger = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        request.addfinalizer(logger.kill)
        probe(server, 2)
        for frame in sent:
            send(bus, frame)
        wait_for(lambda: server.frames == len(sent))
    logger.wait(PATIENCE_S)  # it reads what is pending, finds the hub gone, and closes its file
    got = [(m.arbitration_id, bytes(m.data), m.is_fd) for m in can.LogReader(log)]
    assert got == [(f.can_id, f.data, True) for f in sent]


def test_filters_of_python_can_work(tmp_path: Path) -> None:
    path = tmp_path / "hub.sock"
    with running(path) as server:
        bus = open_bus(f"evencoat:{path}", WireDescription())
        choosy = HubBus(str(path), can_filters=[{"can_id": 0x200, "can_mask": 0x7FF}])
        probe(server, 2)
        send(bus, Frame(0x100, b"\x01"))
        send(bus, Frame(0x200, b"\x02"))
        message = choosy.recv(PATIENCE_S)
        assert message is not None and message.arbitration_id == 0x200
        assert choosy.recv(0.0) is None
        choosy.shutdown()


def test_hub_bus_names_a_hub_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(can.CanInitializationError, match="no hub at"):
        HubBus(str(tmp_path / "hub.sock"))


def test_hub_bus_says_that_the_hub_has_gone(tmp_path: Path) -> None:
    path = tmp_path / "hub.sock"
    with running(path) as server:
        bus = HubBus(str(path))
        probe(server, 1)
    with pytest.raises(can.CanOperationError, match="hub"):
        bus.recv(PATIENCE_S)
    with pytest.raises(can.CanOperationError, match="hub"):
        bus.send(can.Message(arbitration_id=1))
    bus.shutdown()


def test_a_full_queue_is_an_error_after_the_patience_given(tmp_path: Path) -> None:
    with HubServer(tmp_path / "hub.sock"):  # listens, and does not serve
        bus = HubBus(str(tmp_path / "hub.sock"))

        def flood() -> None:
            while True:
                bus.send(can.Message(arbitration_id=1, is_fd=True, data=bytes(64)), timeout=0.0)

        with pytest.raises(can.CanOperationError, match="queue full"):
            flood()
        bus.shutdown()


def test_own_messages_are_not_offered(tmp_path: Path) -> None:
    with pytest.raises(can.CanInterfaceNotImplementedError):
        HubBus(str(tmp_path / "hub.sock"), receive_own_messages=True)


def test_garbage_on_the_socket_hurts_nobody(tmp_path: Path) -> None:
    path = tmp_path / "hub.sock"
    with running(path) as server:
        vandal = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        vandal.connect(str(path))
        bus, other = (open_bus(f"evencoat:{path}", WireDescription()) for _ in range(2))
        probe(server, 3)
        for packet in (b"x", bytes(71), bytes(73), b"\xff" * 72):
            vandal.send(packet)
        vandal.close()
        send(bus, Frame(0x100, b"\x01"))
        frames = [frame for frame in collect(other, 1) if frame.can_id == 0x100]
        while not frames:
            frames = [frame for frame in collect(other, 1) if frame.can_id == 0x100]
        assert frames[0].data == b"\x01"


@given(
    st.integers(0, 0x1FFF_FFFF), st.booleans(), st.booleans(), st.booleans(), st.data()
)  # a frame, a packet and a python-can message say the same
def test_packets_are_canfd_frames(
    can_id: int, is_extended: bool, is_fd: bool, is_error: bool, data: st.DataObject
) -> None:
    lengths = [n for n in FD_LENGTHS if is_fd or n <= 8]
    payload = data.draw(st.sampled_from(lengths).flatmap(lambda n: st.binary(min_size=n, max_size=n)))
    can_id &= 0x1FFF_FFFF if is_extended else 0x7FF
    frame = Frame(can_id, payload, is_fd, is_extended, is_error=is_error)
    packet = pack(frame)
    assert len(packet) == 72 and packet[4] == len(payload) and packet[8 : 8 + len(payload)] == payload
    word = int.from_bytes(packet[:4], sys.byteorder)
    assert (word & 0x1FFF_FFFF, bool(word >> 31), bool(word >> 29 & 1)) == (can_id, is_extended, is_error)
    assert bool(packet[5] & 0x04) is is_fd
    message = message_of(packet, 0.0)
    assert message is not None and packet_of(message) == packet


def test_remote_frames_keep_their_length() -> None:
    message = can.Message(arbitration_id=5, is_remote_frame=True, dlc=4, is_extended_id=False)
    again = message_of(packet_of(message), 0.0)
    assert again is not None and again.is_remote_frame and again.dlc == 4


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(int(PATIENCE_S / 0.005)):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it does not come")


def test_a_client_that_leaves_with_a_full_queue_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "hub.sock"
    with running(path) as server:
        bus, witness = (open_bus(f"evencoat:{path}", WireDescription()) for _ in range(2))
        deaf = HubBus(str(path))
        probe(server, 3)
        for k in range(400):
            send(bus, Frame(0x100, k.to_bytes(2, "little")))
            collect(witness, 1)
        assert server.stats()[2].queued > 0
        deaf.shutdown()
        wait_for(lambda: len(server.stats()) == 2)
        send(bus, Frame(0x200, b""))
        assert collect(witness, 1)[0].can_id == 0x200


def test_a_client_that_leaves_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "hub.sock"
    with running(path) as server:
        first, second = HubBus(str(path)), HubBus(str(path))
        probe(server, 2)
        first.shutdown()
        wait_for(lambda: len(server.stats()) == 1)
        second.shutdown()
