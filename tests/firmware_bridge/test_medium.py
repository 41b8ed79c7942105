"""A wire that misbehaves on purpose: by the shares it was told, the same with the same seed, and in CAN's order."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evencoat import cli
from firmware_bridge.bus_hub import PLAY_SUFFIX, HubBus, HubError, HubServer
from firmware_bridge.bus_memory import PlayedHub
from firmware_bridge.bus_pythoncan import PythonCanBus, open_bus
from firmware_bridge.contract import WireDescription
from firmware_bridge.frames import Frame
from firmware_bridge.load import frame_time_s
from firmware_bridge.medium import FLIPPED_BITS_MAX, WAITING_MAX, Medium, Played
from tests.firmware_bridge.hubs import PATIENCE_S, collect, probe, running, send

FRAMES = [Frame(0x100 + k % 7, k.to_bytes(4, "little") * 4) for k in range(5000)]


def crossed(played: Played, seed: int = 1, frames: list[Frame] = FRAMES, until_s: float = 1e9) -> list[Frame]:
    medium = Medium(played, seed)
    for frame in frames:
        medium.offer(frame, 0, 0.0)
    return [frame for frame, sender in medium.due(until_s) if sender == 0]


def test_a_perfect_wire_is_one() -> None:
    assert crossed(Played()) == FRAMES
    assert Medium(Played()).next_s() is None


@pytest.mark.parametrize("share", [0.01, 0.2, 1.0])
def test_loss_corruption_and_repetition_come_by_their_shares(share: float) -> None:
    slack = 4.0 * (share * (1.0 - share) / len(FRAMES)) ** 0.5 + 1e-12  # four standard deviations
    assert abs(1.0 - len(crossed(Played(loss=share))) / len(FRAMES) - share) <= slack
    assert abs(len(crossed(Played(repetition=share))) / len(FRAMES) - 1.0 - share) <= slack
    flips = [
        (int.from_bytes(sent.data) ^ int.from_bytes(came.data)).bit_count()
        for sent, came in zip(FRAMES, crossed(Played(corruption=share)), strict=True)
    ]
    assert abs(sum(count > 0 for count in flips) / len(flips) - share) <= slack
    assert set(flips) - {0} == set(range(1, FLIPPED_BITS_MAX + 1))


def test_the_same_seed_is_the_same_wire() -> None:
    bad = Played(loss=0.1, corruption=0.1, repetition=0.1, delay_s=0.01, jitter_s=0.01)
    assert crossed(bad, 7) == crossed(bad, 7) != crossed(bad, 8)


def test_delay_holds_back_and_jitter_reorders() -> None:
    assert crossed(Played(delay_s=0.5), until_s=0.49) == []
    assert crossed(Played(delay_s=0.5), until_s=0.5) == FRAMES
    came = crossed(Played(jitter_s=0.1))
    assert came != FRAMES and sorted(came) == sorted(FRAMES)


def test_frames_take_their_time_and_the_lowest_identifier_goes_first() -> None:
    """Three wait at once; while the first crosses, a more urgent one comes: it goes next, and none is interrupted."""
    played = Played(bitrate=500_000, data_bitrate=2_000_000)
    one_s = frame_time_s(64, True, False, 500_000, 2_000_000)
    medium = Medium(played)
    for can_id in (0x300, 0x100, 0x200):
        medium.offer(Frame(can_id, bytes(64)), 0, 0.0)
    assert medium.due(0.9 * one_s) == [] and medium.next_s() == pytest.approx(one_s)
    medium.offer(Frame(0x008, bytes(64)), 1, 0.5 * one_s)
    order = []
    for k in range(1, 5):
        order += [frame.can_id for frame, _ in medium.due(1.0001 * k * one_s)]
        assert len(order) == k
    assert order == [0x100, 0x008, 0x200, 0x300] and medium.next_s() is None


def test_a_slow_wire_does_not_hoard_without_end() -> None:
    medium = Medium(Played(bitrate=10_000))
    for _ in range(2 * WAITING_MAX):
        medium.offer(FRAMES[0], 0, 0.0)
    assert medium.lost == WAITING_MAX


@pytest.mark.parametrize("wrong", [{"loss": 1.1}, {"loss": -0.1}, {"delay_s": float("nan")}, {"bitrate": -1}])
def test_what_cannot_be_played_is_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Played(**wrong)  # type: ignore[arg-type]


def test_in_lockstep_bus_off_takes_one_member_and_its_chip_says_so() -> None:
    now = [0.0]
    hub = PlayedHub(Medium(Played()), lambda: now[0])
    first, second, third = (hub.attach() for _ in range(3))
    hub.medium.played = Played(bus_off=frozenset({1}))
    first.send(FRAMES[0])
    second.send(FRAMES[1])
    assert third.receive() == [FRAMES[0]] and first.receive() == []
    assert [frame.is_error for frame in second.receive()] == [True]
    assert second.fault() == "memory bus: bus-off"
    hub.medium.played = Played()
    first.send(FRAMES[2])
    assert [frame.is_error for frame in second.receive()] == [False, True] and second.fault() is None


# ------------------------------------------------------------------------------------------------- the hub


def test_a_hub_plays_loss_and_says_of_bus_off_what_a_chip_would(tmp_path: Path) -> None:
    path = tmp_path / "hub.sock"
    with running(path, medium=Medium(Played())) as server:
        first, second = (open_bus(f"evencoat:{path}", WireDescription()) for _ in range(2))
        probe(server, 2)
        send(first, FRAMES[0])
        assert collect(second, 1) == [FRAMES[0]]
        server.play(loss=1.0)
        send(first, FRAMES[1])
        server.play(loss=0.0, bus_off=frozenset({1}))
        (told,) = collect(second, 1)
        assert told.is_error and "bus-off" in str(second.fault())
        send(first, FRAMES[2])  # which nobody hears
        server.play(bus_off=frozenset())
        assert collect(second, 1)[0].is_error and second.fault() is None
        send(second, FRAMES[3])
        assert collect(first, 1) == [FRAMES[3]]  # and no frame of those that were lost


def test_a_hub_keeps_frames_for_as_long_as_they_take(tmp_path: Path) -> None:
    """At 10 kbit/s a frame takes 60 ms and more. The clock is the test's: none comes before it has moved."""
    now = [0.0]
    with HubServer(tmp_path / "hub.sock", medium=Medium(Played(bitrate=10_000)), clock=lambda: now[0]) as server:
        first, second = (PythonCanBus("x", lambda: HubBus(str(server.path))) for _ in range(2))
        send(first, FRAMES[0])
        turns = iter([False] * 6 + [True])
        server.serve(lambda: next(turns))
        assert second.receive() == [] and server.frames == 1
        now[0] = 1.0
        turns = iter([False, True])
        server.serve(lambda: next(turns))
        assert [frame.data for frame in second.receive()] == [FRAMES[0].data]


def test_what_a_hub_plays_is_changed_from_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "hub.sock"
    run = CliRunner().invoke
    with running(path, medium=Medium(Played())) as server:
        assert oct((tmp_path / f"hub.sock{PLAY_SUFFIX}").stat().st_mode & 0o777) == "0o600"
        client = open_bus(f"evencoat:{path}", WireDescription())
        probe(server, 1)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
            for garbage in (b"", b"\xff", b"[1]", b'{"loss": 7}', b'{"bus_off": "x"}', json.dumps({"no": 1}).encode()):
                stranger.sendto(garbage, f"{path}{PLAY_SUFFIX}")
        assert run(cli.app, ["play-on", str(path), "delay_s=0.25", "bus_off=0"]).exit_code == 0
        assert client.wait(PATIENCE_S)  # its chip tells it
        assert server._medium is not None
        assert server._medium.played == Played(delay_s=0.25, bus_off=frozenset({0}))
    assert not list(tmp_path.iterdir())
    assert run(cli.app, ["play-on", str(path), "loss=0.1"]).exit_code == 1
    for words in (["loss"], ["loss=2"], ["los=0.1"], ["loss=x"]):
        assert run(cli.app, ["play-on", str(path), *words]).exit_code == 2


def test_a_hub_without_a_medium_plays_nothing(tmp_path: Path) -> None:
    with HubServer(tmp_path / "hub.sock") as server, pytest.raises(HubError, match="without a medium"):
        server.play(loss=0.1)
