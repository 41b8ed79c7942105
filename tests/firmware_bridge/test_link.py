"""What a receiver makes of a wire that loses, repeats, reorders and garbles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.contract import (
    DISORDER_BUDGET,
    MAX_COUNTER_JUMP,
    WRONG_CRC_BUDGET,
    Node,
    Telegram,
    WireError,
    cycles_ahead,
)
from firmware_bridge.frames import Frame
from firmware_bridge.health import LinkState, Verdict
from firmware_bridge.link import Message, Receiver, Transmitter
from tests.firmware_bridge.wires import foreign_codec, shipped_codec

PERIOD_S = 0.1
WET = Telegram.WET_PROFILE


def film(scan_id: int) -> np.ndarray:
    return np.arange(80) + float(scan_id % 100)


def scans(count: int, first: int = 0) -> list[list[Frame]]:
    """Frames of wet scans `first`, `first` + 1, ...: three segments each."""
    transmitter = Transmitter(shipped_codec())
    return [transmitter.frames(WET, {"film_um": film(k)}, k) for k in range(first, first + count)]


def receiver(*telegrams: Telegram) -> Receiver:
    return Receiver(shipped_codec(), telegrams or (WET,), dict.fromkeys(telegrams or (WET,), PERIOD_S))


def feed(rx: Receiver, frames: list[Frame], now_s: float = 0.0) -> list[Message]:
    return [message for frame in frames if (message := rx.feed(frame, now_s)) is not None]


def garbled(frame: Frame) -> Frame:
    return Frame(frame.can_id, frame.data[:-1] + bytes([frame.data[-1] ^ 1]))


@given(st.permutations(range(3)))
def test_segments_of_a_scan_may_come_in_any_order(order: list[int]) -> None:
    (frames,) = scans(1, first=9)
    (message,) = feed(receiver(), [frames[k] for k in order])
    assert (message.telegram, message.scan_id) == (WET, 9)
    np.testing.assert_allclose(message.fields["film_um"], film(9))


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_scan_with_a_lost_segment_is_dropped_and_counted(lost: int) -> None:
    before, holed, after = scans(3)
    rx = receiver()
    feed(rx, before)
    assert feed(rx, [frame for k, frame in enumerate(holed) if k != lost], PERIOD_S) == []
    (message,) = feed(rx, after, 2 * PERIOD_S)
    np.testing.assert_allclose(message.fields["film_um"], film(2))  # nothing of scan 1 is mixed in
    health = rx.health(2 * PERIOD_S)[WET]
    assert (health.incomplete, health.received, health.lost) == (1, 2, 1)


def test_segments_later_than_the_deadline_do_not_complete_a_scan() -> None:
    (frames,) = scans(1)
    rx = receiver()
    feed(rx, frames[:2], 0.0)
    assert feed(rx, frames[2:], PERIOD_S * 1.01) == []
    assert rx.health(PERIOD_S * 1.01)[WET].incomplete == 1


def test_a_scan_that_stays_incomplete_is_counted_when_its_deadline_passes() -> None:
    (frames,) = scans(1)
    rx = receiver()
    feed(rx, frames[:2], 0.0)
    assert rx.health(PERIOD_S)[WET].incomplete == 0
    assert rx.health(PERIOD_S * 1.01)[WET].incomplete == 1


def test_a_repeated_frame_is_not_used_twice() -> None:
    (frames,) = scans(1)
    rx = receiver()
    assert len(feed(rx, frames)) == 1
    assert feed(rx, frames) == [] and rx.verdict is Verdict.REPEATED
    assert rx.health(0.0)[WET].repeated == 3


@pytest.mark.parametrize("jump", range(1, 6))
def test_the_counter_may_jump_by_two_at_most(jump: int) -> None:
    sent = scans(jump + 2)
    rx = receiver()
    feed(rx, sent[0])
    taken = feed(rx, sent[jump], 0.1)
    assert bool(taken) is (jump <= MAX_COUNTER_JUMP)
    health = rx.health(0.1)[WET]
    assert (health.lost, health.wrong_sequence) == ((3 * (jump - 1), 0) if taken else (0, 3))
    assert len(feed(rx, sent[jump + 1], 0.2)) == 1  # in sequence again


def test_an_old_scan_played_back_is_out_of_sequence() -> None:
    sent = scans(5)
    rx = receiver()
    for frames in sent:
        feed(rx, frames)
    assert feed(rx, sent[1]) == [] and rx.verdict is Verdict.WRONG_SEQUENCE


def test_the_counter_wraps_without_a_gap() -> None:
    rx = receiver()
    assert [len(feed(rx, frames, 0.1 * k)) for k, frames in enumerate(scans(600))] == [1] * 600
    assert rx.health(60.0)[WET].lost == 0


def test_five_wrong_crcs_make_the_link_faulty_until_as_many_good_ones() -> None:
    sent = scans(20)
    rx = receiver()
    for frames in sent[: WRONG_CRC_BUDGET - 1]:
        feed(rx, [garbled(frames[0])])
    assert rx.health(0.0)[WET].state is LinkState.NEVER_SEEN
    feed(rx, [garbled(sent[4][0])])
    assert rx.health(0.0)[WET].state is LinkState.FAULTY
    good = [frame for frames in sent[5:] for frame in frames]
    assert feed(rx, good[: WRONG_CRC_BUDGET - 1]) == []
    assert rx.health(0.0)[WET].state is LinkState.FAULTY
    assert len(feed(rx, good[WRONG_CRC_BUDGET - 1 :])) > 0
    assert rx.health(0.0)[WET].state is LinkState.OK


def test_a_garbled_segment_costs_its_scan_only() -> None:
    first, second = scans(2)
    rx = receiver()
    assert feed(rx, [first[0], garbled(first[1]), first[2]]) == []
    assert [message.scan_id for message in feed(rx, second, 0.1)] == [1]
    assert rx.health(0.1)[WET].wrong_crc == 1


@given(st.data())
def test_whatever_the_wire_does_a_message_is_a_scan_that_was_sent(data: st.DataObject) -> None:
    """Loss, repetition, garbling and local reorder: what comes out is always one of the sent scans, whole."""
    frames = [frame for scan in scans(6) for frame in scan]
    fates = data.draw(st.lists(st.sampled_from(["keep", "lose", "repeat", "garble", "swap"]), min_size=18, max_size=18))
    wire: list[Frame] = []
    for frame, fate in zip(frames, fates, strict=True):
        if fate == "swap" and wire:
            wire.insert(-1, frame)
        else:
            wire += {"lose": [], "repeat": [frame, frame], "garble": [garbled(frame)]}.get(fate, [frame])
    for message in feed(receiver(), wire):
        np.testing.assert_allclose(message.fields["film_um"], film(message.scan_id))


def test_silence_shows_after_three_periods() -> None:
    rx = receiver()
    assert rx.health(100.0)[WET].state is LinkState.NEVER_SEEN
    feed(rx, scans(1)[0], 1.0)
    assert rx.health(1.0 + 3 * PERIOD_S)[WET].state is LinkState.OK
    assert rx.health(1.0 + 3.01 * PERIOD_S)[WET].state is LinkState.SILENT
    assert not rx.troubled(1.0 + 3 * PERIOD_S)
    assert rx.troubled(1.0 + 3.01 * PERIOD_S) == {WET: LinkState.SILENT}


def test_the_link_is_in_each_e2e_state_by_name() -> None:
    """Right after a period, and a period later, when what was wrong is past."""
    sent = scans(30)
    wrong = {
        Verdict.OK: sent[1],
        Verdict.REPEATED: sent[0],
        Verdict.WRONG_SEQUENCE: sent[9],
        Verdict.ERROR: [garbled(frame) for frame in sent[1]],
        Verdict.NO_NEW_DATA: [],
    }
    assert set(wrong) | {Verdict.NOT_AUTHENTIC} == set(Verdict)
    for verdict, frames in wrong.items():
        rx = receiver()
        assert rx.health(0.0)[WET].verdict is Verdict.NO_NEW_DATA
        feed(rx, sent[0], 0.0)
        assert rx.health(PERIOD_S)[WET].verdict is Verdict.OK
        feed(rx, frames, 1.5 * PERIOD_S)
        assert rx.health(1.6 * PERIOD_S)[WET].verdict is verdict, verdict
        assert rx.health(2.6 * PERIOD_S)[WET].verdict is Verdict.NO_NEW_DATA


def test_an_error_of_the_past_is_not_the_state_of_a_link_that_runs_again() -> None:
    sent = scans(6)
    rx = receiver()
    feed(rx, sent[0])
    feed(rx, sent[0], 0.1)
    for k in range(1, 6):
        assert len(feed(rx, sent[k], PERIOD_S * (k + 1))) == 1
    health = rx.health(PERIOD_S * 6)[WET]
    assert (health.verdict, health.state, health.errors) == (Verdict.OK, LinkState.OK, {"repeated": 3})


@pytest.mark.parametrize(("counter", "verdict"), [(7, Verdict.REPEATED), (None, Verdict.WRONG_SEQUENCE)])
def test_five_telegrams_out_of_order_make_the_link_faulty_until_as_many_good_ones(
    counter: int | None, verdict: Verdict
) -> None:
    """A counter that stands, and two nodes that count apart under one identifier."""
    codec, rx = shipped_codec(), receiver()
    for k in range(DISORDER_BUDGET + 1):
        assert rx.health(0.0)[WET].state is not LinkState.FAULTY
        number = counter if counter is not None else 100 * (k % 2)
        feed(rx, codec.encode(WET, {"film_um": film(k)}, scan_id=k, counter=number))
    health = rx.health(0.0)[WET]
    assert (health.state, health.verdict, health.received) == (LinkState.FAULTY, verdict, 1)
    good = [codec.encode(WET, {"film_um": film(k)}, scan_id=k, counter=k) for k in range(200, 208)]
    taken = [len(feed(rx, frames)) for frames in good]
    assert taken == [0] * (1 + DISORDER_BUDGET) + [1, 1]  # the first is out of sequence itself
    assert rx.health(0.0)[WET].state is LinkState.OK


def test_one_gap_of_a_telegram_with_segments_is_no_fault_of_the_link() -> None:
    rx = receiver()
    sent = scans(12)
    feed(rx, sent[0])
    feed(rx, sent[9], 0.9)
    assert rx.health(0.9)[WET].wrong_sequence == 3 and rx.health(0.9)[WET].state is not LinkState.FAULTY
    assert len(feed(rx, sent[10], 1.0)) == 1


def test_events_are_never_silent() -> None:
    rx = Receiver(shipped_codec(), [Telegram.REARM], {})
    feed(rx, Transmitter(shipped_codec()).frames(Telegram.REARM, {"epoch": 1}), 0.0)
    assert rx.health(1e9)[Telegram.REARM].state is LinkState.OK


def test_heartbeats_are_told_apart_by_node() -> None:
    transmitter = Transmitter(shipped_codec())
    rx = receiver(Telegram.HEARTBEAT)
    for node in (Node.DIE, Node.PUMP):
        (message,) = feed(rx, transmitter.frames(Telegram.HEARTBEAT, {"state": 5}, node=node), 0.1 * node)
        assert message.node == message.fields["node"] == node
    states = {node: health.state for node, health in rx.heartbeats(0.55).items()}
    assert states == {Node.DIE: LinkState.SILENT, Node.PUMP: LinkState.OK}
    assert rx.troubled_heartbeats(0.55) == {Node.DIE: LinkState.SILENT}


def test_safe_stop_of_two_nodes_at_once_is_no_sequence_fault() -> None:
    """Any node may send it under the one identifier, each with a counter of its own."""
    rx = receiver(Telegram.SAFE_STOP)
    senders = {node: Transmitter(shipped_codec()) for node in (Node.DIE, Node.PUMP)}
    for _ in range(3):
        for node, transmitter in senders.items():
            (message,) = feed(rx, transmitter.frames(Telegram.SAFE_STOP, {"reason": 3}, node=node))
            assert message.node == node


def test_other_telegrams_are_not_listened_to() -> None:
    frames = Transmitter(shipped_codec()).frames(Telegram.DIE_COMMAND, {"gap_um": np.full(40, 600.0)})
    assert feed(receiver(), frames) == []


def test_without_a_scan_id_the_counter_groups_the_segments_and_counts_on() -> None:
    codec = foreign_codec()
    transmitter = Transmitter(codec)
    rx = Receiver(codec, [Telegram.DIE_FEEDBACK], {})
    seen = []
    for k in range(600):
        frames = transmitter.frames(Telegram.DIE_FEEDBACK, {"gap_um": np.full(24, 600.0 + k % 7)}, scan_id=99)
        assert len(frames) == 8
        (message,) = feed(rx, frames)
        seen.append(message.scan_id)
    assert np.array_equal(np.diff(seen), np.ones(599))
    half = transmitter.frames(Telegram.DIE_FEEDBACK, {"gap_um": np.full(24, 600.0)})
    other = transmitter.frames(Telegram.DIE_FEEDBACK, {"gap_um": np.full(24, 601.0)})
    assert feed(rx, half[:4] + other[4:]) == []


def test_a_number_taken_back_is_used_again() -> None:
    transmitter = Transmitter(shipped_codec())
    first = transmitter.frames(Telegram.REARM, {"epoch": 1})
    transmitter.outlet(Telegram.REARM).take_back()
    assert transmitter.frames(Telegram.REARM, {"epoch": 1}) == first


def test_a_telegram_that_did_not_encode_uses_no_number() -> None:
    transmitter = Transmitter(shipped_codec())
    with pytest.raises(ValueError, match="epoch"):
        transmitter.frames(Telegram.REARM, {"epoch": -1})
    assert transmitter.frames(Telegram.REARM, {"epoch": 1})[0].data[2] == 0


@pytest.mark.parametrize(
    ("cycle", "now", "ahead"), [(5, 3, 2), (3, 5, -2), (1, 0xFFFF_FFFF, 2), (0xFFFF_FFFF, 1, -2), (7, 7, 0)]
)
def test_cycles_ahead_crosses_the_wrap(cycle: int, now: int, ahead: int) -> None:
    assert cycles_ahead(cycle, now) == ahead


def test_an_array_that_was_changed_in_place_is_packed_anew() -> None:
    transmitter, rx = Transmitter(shipped_codec()), receiver(Telegram.DIE_FEEDBACK)
    gap_um = np.full(40, 600.0)
    heard = []
    for _ in range(3):
        heard += feed(rx, transmitter.frames(Telegram.DIE_FEEDBACK, {"gap_um": gap_um}))
        gap_um[3] += 1.0
    assert [message.fields["gap_um"][3] for message in heard] == [600.0, 601.0, 602.0]  # type: ignore[index]


def test_the_same_bytes_are_the_same_array_and_nobody_writes_to_it() -> None:
    transmitter, rx = Transmitter(shipped_codec()), receiver(Telegram.DIE_FEEDBACK)
    heard = [
        feed(rx, transmitter.frames(Telegram.DIE_FEEDBACK, {"gap_um": np.full(40, gap_um)}))[0].fields["gap_um"]
        for gap_um in (600.0, 600.0, 601.0, 600.0)
    ]
    assert heard[0] is heard[1] and heard[2] is not heard[1] and heard[3] is not heard[0]
    with pytest.raises(ValueError, match="read-only"):
        heard[0][3] = 0.0  # type: ignore[index]


def test_an_unknown_field_is_refused_each_time() -> None:
    transmitter = Transmitter(shipped_codec())
    for _ in range(2):
        with pytest.raises(WireError, match="unknown field epok"):
            transmitter.frames(Telegram.REARM, {"epok": 1})
    assert len(transmitter.frames(Telegram.REARM, {"epoch": 1})) == 1
    with pytest.raises(WireError, match="shape"):
        transmitter.frames(Telegram.DIE_FEEDBACK, {"gap_um": np.full((2, 20), 600.0)})
