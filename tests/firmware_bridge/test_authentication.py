"""Who is believed on an authenticated bus, against MACs reckoned here from the bytes, and against many a liar."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from firmware_bridge.authentication import (
    LAG,
    MUST,
    SENDERS,
    AuthenticationError,
    Authenticator,
    Key,
    KeyRing,
)
from firmware_bridge.codec import Codec
from firmware_bridge.contract import (
    AUTHENTICATED_DBC,
    SHIPPED_DBC,
    AuthDescription,
    Integrity,
    Node,
    Telegram,
    WireDescription,
    WireError,
)
from firmware_bridge.frames import Frame
from firmware_bridge.health import LinkState, Verdict
from firmware_bridge.link import Message, Receiver, Transmitter
from tests.firmware_bridge.wires import FOREIGN, crc16_bit_by_bit, database

SECRET = bytes(range(16))
AUTH = AuthDescription(Path("line.key"))
WIRE = WireDescription(auth=AUTH)
CODEC = Codec.compile(WIRE, 40, 80, 80)
PUMP, DIE, REARM, BEAT = Telegram.PUMP_COMMAND, Telegram.DIE_COMMAND, Telegram.REARM, Telegram.HEARTBEAT
META = {"boxes": 80, "t_us": 5, "web_m": 1.0}
TOLD: dict[Telegram, dict[str, Any]] = {
    PUMP: {"ratio_rpm_per_mps": 112.0, "trim_pct": 0.5},
    DIE: {"gap_um": np.full(40, 600.0)},
    REARM: {"epoch": 5},
    BEAT: {"state": 5, "epoch": 5, "uptime_s": 1},
    Telegram.SAFE_STOP: {"reason": 1, "epoch": 5},
    Telegram.SYNC: {"t_us": 5, "web_speed_mps": 1.0, "web_m": 1.0, "encoder_valid": 1},
    Telegram.LINE_STATE: {"state": 1},
    Telegram.PUMP_FEEDBACK: {
        "ratio_rpm_per_mps": 112.0,
        "trim_pct": 0.5,
        "speed_rpm": 112.0,
        "pressure_kpa": 80.0,
        "temperature_c": 20.0,
    },
    Telegram.DIE_FEEDBACK: {"gap_um": np.full(40, 600.0)},
    Telegram.DIE_STATUS: {"zone_status": np.ones(40)},
    Telegram.WET_PROFILE: {"film_um": np.full(80, 180.0)},
    Telegram.WET_META: META | {"edge_left_mm": -1.0, "edge_right_mm": 1.0},
    Telegram.DRY_PROFILE: {"areal_density_gsm": np.full(80, 180.0)},
    Telegram.DRY_META: META | {"edge_left_mm": -1.0, "edge_right_mm": 1.0},
}


def ring(*keys: Key, now_s: float = 0.0) -> KeyRing:
    return KeyRing(keys or (Key(1, SECRET),), now_s=now_s)


class Speaker:
    """One node that signs."""

    def __init__(self, epoch: int = 5, node: Node = Node.CONTROLLER, keys: KeyRing | None = None) -> None:
        self.epoch, self.node = epoch, node
        self.transmitter = Transmitter(CODEC, Authenticator(keys or ring(), epoch, 0.1))

    def beat(self) -> list[Frame]:
        return self.transmitter.frames(BEAT, TOLD[BEAT] | {"epoch": self.epoch}, node=self.node)

    def say(self, telegram: Telegram, count: int = 1) -> list[list[Frame]]:
        node = self.node if telegram in (Telegram.SAFE_STOP, BEAT) else 0
        return [self.transmitter.frames(telegram, TOLD[telegram], k, node) for k in range(count)]


class Hearer:
    """One that listens, a cycle at a time."""

    def __init__(self, keys: KeyRing | None = None, **known: Any) -> None:
        self.auth = Authenticator(keys or ring(), 1, 0.1, **known)
        self.receiver = Receiver(CODEC, list(Telegram), {PUMP: 0.1}, self.auth)

    def hear(self, frames: list[Frame]) -> list[Message]:
        return [message for frame in frames if (message := self.receiver.feed(frame, 0.0)) is not None]

    def settled_on(self, speaker: Speaker) -> Hearer:
        for _ in range(5):
            self.hear(speaker.beat())
            self.auth.end_of_read()
        return self

    @property
    def verdict(self) -> Verdict | None:
        return self.receiver.verdict


# ------------------------------------------------------------------------------------------------- bytes


def test_the_mac_is_the_rfcs() -> None:
    """RFC 4493, example 2: AES-CMAC of sixteen bytes."""
    secret = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    text = bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")
    assert KeyRing([Key(1, secret)]).mac(text).hex() == "070a16b46b4d4144f79bdd9dd04a287c"[:12]


def test_a_frame_carries_freshness_and_mac_as_the_dbc_says() -> None:
    """The bytes of a pump command, put together here by hand."""
    speaker = Speaker(epoch=7)
    speaker.beat()
    (frame,) = speaker.transmitter.frames(PUMP, TOLD[PUMP], 77)
    body = bytearray(24)
    body[4:8] = (77).to_bytes(4, "little")
    body[8:12], body[12:14] = (112_000).to_bytes(4, "little"), (500).to_bytes(2, "little")
    body[16:18] = (2).to_bytes(2, "little")  # the second telegram of this node
    one = CMAC(AES(SECRET))
    one.update(b"\x40\x00" + bytes(body) + (2).to_bytes(4, "little") + (7).to_bytes(4, "little"))
    body[18:24] = one.finalize()[:6]
    body[0:2] = crc16_bit_by_bit(bytes(body[2:]) + b"\x40\x00").to_bytes(2, "little")
    assert frame.data == bytes(body)
    signals = database(AUTHENTICATED_DBC).decode_message(0x40, frame.data)
    assert (signals["Freshness"], signals["Mac"]) == (2, int.from_bytes(body[18:24], "little"))


def test_the_authenticated_dbc_says_the_same_as_the_other_in_other_places() -> None:
    """No scale, bound, unit or sender may part between the two."""
    plain, authentic = (
        {
            signal.name + (message.name if signal.name in {"ScanId", "Sender"} else ""): (
                signal.scale,
                signal.offset,
                signal.minimum,
                signal.maximum,
                signal.unit,
                signal.length,
                signal.is_signed,
                signal.choices,
                tuple(message.senders),
                tuple(signal.receivers),
            )
            for message in database(path).messages
            for signal in message.signals
            if signal.name not in {"Freshness", "Mac", "Crc", "Counter", "Segment"}
            and not (signal.name == "ScanId" and message.name[-1].isdigit())
        }
        for path in (SHIPPED_DBC, AUTHENTICATED_DBC)
    )
    assert plain == authentic
    for message in database(AUTHENTICATED_DBC).messages:
        assert {"Freshness", "Mac"} <= {signal.name for signal in message.signals}


# ------------------------------------------------------------------------------------------------- whom to believe


@pytest.mark.parametrize("telegram", [PUMP, DIE, REARM])
def test_what_an_authentic_node_says_is_heard_once_its_heartbeats_were(telegram: Telegram) -> None:
    speaker, hearer = Speaker(), Hearer()
    assert hearer.hear(speaker.say(telegram)[0]) == [] and hearer.verdict is None  # nothing is known of it yet
    hearer.settled_on(speaker)
    for frames in speaker.say(telegram, 300):
        assert [message.telegram for message in hearer.hear(frames)] == [telegram]
    assert hearer.receiver.health(0.0)[telegram].not_authentic == 0
    assert hearer.auth.end_of_read() == []


@pytest.mark.parametrize("telegram", list(Telegram))
def test_whatever_is_forged_is_refused_and_the_real_one_is_heard(telegram: Telegram) -> None:
    """Everything right but the key."""
    node = SENDERS.get(telegram) or Node.DIE
    honest, forger = Speaker(node=node), Speaker(node=node, keys=ring(Key(1, bytes(16))))
    hearer = Hearer().settled_on(honest)
    for _ in range(8):
        forger.beat()  # so that its numbers are as good as the honest ones
    for real, forged in zip(honest.say(telegram, 20), forger.say(telegram, 20), strict=True):
        assert hearer.hear(forged) == [] and hearer.verdict is Verdict.NOT_AUTHENTIC
        assert len(hearer.hear(real)) == 1 and hearer.verdict is Verdict.OK


def test_every_telegram_has_a_sender() -> None:
    assert set(SENDERS) | {Telegram.SAFE_STOP, BEAT} == set(Telegram)
    assert set(MUST) == {DIE, PUMP, REARM, BEAT, Telegram.SAFE_STOP}


def test_a_mac_of_zeros_is_no_mac() -> None:
    hearer = Hearer().settled_on(Speaker())
    bare = Transmitter(CODEC).frames(PUMP, TOLD[PUMP], 3)
    assert hearer.hear(bare) == [] and hearer.verdict is Verdict.NOT_AUTHENTIC
    assert hearer.auth.end_of_read() == ["PUMP_CMD: 1 not authentic"]


def test_noise_is_told_from_forgery() -> None:
    speaker = Speaker()
    hearer = Hearer().settled_on(speaker)
    ((frame,),) = speaker.say(PUMP)
    assert hearer.hear([frame._replace(data=frame.data[:-1] + bytes([frame.data[-1] ^ 1]))]) == []
    assert hearer.verdict is Verdict.ERROR
    assert len(hearer.hear([frame])) == 1


def test_a_forger_cannot_take_a_link_away() -> None:
    """Ten thousand forged frames between the real ones: each real one is heard, and the link stays sound."""
    speaker, forger = Speaker(), Speaker(keys=ring(Key(1, bytes(16))))
    hearer = Hearer().settled_on(speaker)
    for frames in speaker.say(PUMP, 100):
        for forged in forger.say(PUMP, 100):
            assert hearer.hear(forged) == []
        assert len(hearer.hear(frames)) == 1
    health = hearer.receiver.health(0.0)[PUMP]
    assert (health.state, health.not_authentic, health.received) == (LinkState.OK, 10_000, 100)


def test_a_recorded_frame_is_never_taken_again_not_even_where_its_counter_fits() -> None:
    speaker = Speaker()
    hearer = Hearer().settled_on(speaker)
    recorded = [frame for frames in speaker.say(PUMP, 256) for frame in frames]
    assert len(hearer.hear(recorded)) == 256
    for old in recorded[:-1]:
        assert hearer.hear([old]) == [] and hearer.verdict is Verdict.NOT_AUTHENTIC
    assert hearer.hear(recorded[-1:]) == [] and hearer.verdict is Verdict.REPEATED  # the same frame twice is no attack
    assert len(hearer.hear(speaker.say(PUMP)[0])) == 1


def test_a_frame_of_one_message_proves_nothing_of_another() -> None:
    speaker = Speaker()
    hearer = Hearer().settled_on(speaker)
    (first, second) = speaker.say(DIE)[0]
    moved = bytearray(first.data)
    moved[3] = 1  # says that it is segment 1, with the CRC of segment 1's identifier
    moved[0:2] = crc16_bit_by_bit(bytes(moved[2:]) + second.can_id.to_bytes(2, "little")).to_bytes(2, "little")
    assert hearer.hear([Frame(second.can_id, bytes(moved))]) == [] and hearer.verdict is Verdict.NOT_AUTHENTIC


def test_a_frame_held_back_for_long_is_refused_when_it_comes() -> None:
    """A command that was caught, jammed and let go when its node has said much more."""
    speaker = Speaker()
    hearer = Hearer().settled_on(speaker)
    ((caught,),) = speaker.say(REARM)
    for _ in range(LAG + 1):
        hearer.hear(speaker.beat())
    assert hearer.hear([caught]) == [] and hearer.verdict is Verdict.NOT_AUTHENTIC


def test_a_message_that_was_silent_for_a_month_is_still_understood() -> None:
    """Its node has numbered 200,000 other telegrams meanwhile: more than sixteen bits tell apart."""
    speaker = Speaker()
    hearer = Hearer().settled_on(speaker)
    signer = speaker.transmitter._auth.signer(Node.CONTROLLER)  # type: ignore[union-attr]
    for _ in range(4):
        signer._freshness += 50_000
        hearer.hear(speaker.beat())
    assert len(hearer.hear(speaker.say(REARM)[0])) == 1


# ------------------------------------------------------------------------------------------------- resets


def test_a_sender_that_reset_is_believed_from_its_first_heartbeat() -> None:
    before, after = Speaker(epoch=5), Speaker(epoch=6)
    hearer = Hearer().settled_on(before)
    old_beat, old = before.beat(), before.say(PUMP)[0]
    assert hearer.hear(after.beat()) == [] and hearer.verdict is Verdict.WRONG_SEQUENCE  # its counter began anew, too
    assert len(hearer.hear(after.beat())) == 1
    assert len(hearer.hear(after.say(PUMP, 2)[1])) == 1
    assert hearer.hear(old) == [] and hearer.verdict is Verdict.NOT_AUTHENTIC
    assert hearer.hear(old_beat) == [] and hearer.verdict is Verdict.NOT_AUTHENTIC  # an epoch does not come back


def test_a_receiver_that_reset_loses_to_no_recording_while_the_sender_lives() -> None:
    """All that was ever said is played to it; the living heartbeats outrank it before anything is believed."""
    speaker = Speaker()
    recorded = [*speaker.beat(), *speaker.say(REARM)[0], *speaker.say(PUMP)[0], *speaker.beat()]
    hearer = Hearer()
    for _ in range(5):
        assert hearer.hear(recorded) == []
        hearer.hear(speaker.beat())
        hearer.auth.end_of_read()
    for frame in recorded:
        assert hearer.hear([frame]) == []
    assert len(hearer.hear(speaker.say(PUMP)[0])) == 1


def test_memory_of_epochs_outlives_a_reset() -> None:
    kept: list[dict[int, int]] = []
    Hearer(on_epoch=kept.append).settled_on(Speaker(epoch=8))
    assert kept == [{Node.CONTROLLER: 8}]
    reborn = Hearer(known_epochs=kept[-1])
    reborn.settled_on(Speaker(epoch=7))  # heartbeats of an epoch that is over, though the real node is silent
    assert reborn.hear(Speaker(epoch=7).say(PUMP)[0]) == []
    reborn.settled_on(speaker := Speaker(epoch=8))
    assert len(reborn.hear(speaker.say(PUMP)[0])) == 1


def test_a_peer_settles_by_the_clock_while_nobody_reads_yet() -> None:
    """A daemon listens for SYNC before it reads for the first time: cycles do not count up by then."""
    now = [100.0]
    speaker, hearer = Speaker(), Hearer(monotonic=lambda: now[0])
    heard = []
    for now[0] in (100.0, 100.1, 100.2, 100.29, 100.31):
        heard.append(len(hearer.hear(speaker.beat())))
    assert heard == [0, 0, 0, 0, 1]
    assert len(hearer.hear(speaker.say(PUMP)[0])) == 1


# ------------------------------------------------------------------------------------------------- keys


def test_a_rotation_without_a_gap_and_with_an_end() -> None:
    """Old and new key by the clock: files arrive one by one, the new signs after an hour, the old dies after two."""
    old, new = Key(1, SECRET, valid_until_s=7200.0), Key(2, bytes(16), signs_from_s=3600.0)
    for now_s, signs in ((0.0, 1), (3599.0, 1), (3600.0, 2), (7200.0, 2), (7201.0, 2)):
        keys = ring(old, new, now_s=now_s)
        assert keys.signing.number == signs
        by_old, by_new = (KeyRing([Key(9, key.secret)]).mac(b"text") for key in (old, new))
        assert keys.admits(b"text", by_new) and keys.admits(b"text", by_old) is (now_s <= 7200.0)


def test_a_running_process_changes_keys_by_the_clock() -> None:
    now = [0.0]
    keys = [Key(1, SECRET, valid_until_s=10.0), Key(2, bytes(16), signs_from_s=5.0)]
    auth = Authenticator(KeyRing(keys), 1, 0.1, clock=lambda: now[0])
    seen = []
    for now[0] in (0.0, 5.0, 11.0):
        auth.end_of_read()
        seen.append(auth._ring.signing.number)
    assert seen == [1, 2, 2]


def test_a_key_whose_time_is_over_goes_on_and_says_so() -> None:
    """Stopping in mid-run would be no safer: the nodes refuse it and hold."""
    now = [0.0]
    auth = Authenticator(KeyRing([Key(3, SECRET, valid_until_s=10.0)]), 1, 0.1, clock=lambda: now[0])
    assert auth.end_of_read() == []
    now[0] = 11.0
    assert auth.end_of_read() == ["key 3 may not sign any more: evencoat key rotate"]


@pytest.mark.parametrize(
    ("keys", "sign_with", "words"),
    [
        ([], None, "no key may sign"),
        ([Key(1, SECRET, signs_from_s=5.0)], None, "no key may sign"),
        ([Key(1, SECRET, valid_until_s=-5.0)], None, "no key may sign"),
        ([Key(1, b"short")], None, "key 1: 5 bytes, expected 16"),
        ([Key(1, SECRET), Key(1, bytes(16))], None, "same number"),
        ([Key(1, SECRET)], 4, "key_id = 4"),
    ],
)
def test_keys_that_cannot_be_used(keys: list[Key], sign_with: int | None, words: str) -> None:
    with pytest.raises(AuthenticationError, match=words):
        KeyRing(keys, sign_with)


def test_a_key_never_shows_itself() -> None:
    assert SECRET.hex() not in repr(Key(1, SECRET)) and str(SECRET) not in repr(Key(1, SECRET))


@pytest.mark.parametrize("epoch", [0, -1, 2**32])
def test_an_epoch_has_32_bits_and_is_not_zero(epoch: int) -> None:
    with pytest.raises(AuthenticationError, match="epoch"):
        Authenticator(ring(), epoch, 0.1)


# ------------------------------------------------------------------------------------------------- wires


def test_classic_can_is_refused_with_a_clear_word() -> None:
    wire = WireDescription(
        fd=False, dbc_path=FOREIGN.dbc_path, signal_map=FOREIGN.signal_map, integrity=Integrity.CRC8, auth=AUTH
    )
    with pytest.raises(WireError, match="needs CAN FD"):
        Codec.compile(wire, 24, 48, 48)


def test_a_dbc_without_room_for_a_mac_is_refused_by_name() -> None:
    with pytest.raises(WireError, match=r"auth: message \w+ needs a freshness of 16 bits and a MAC of 48"):
        Codec.compile(WireDescription(dbc_path=SHIPPED_DBC, auth=AUTH), 40, 80, 80)


def test_gauges_that_cannot_authenticate_are_heard_all_the_same(tmp_path: Path) -> None:
    text = AUTHENTICATED_DBC.read_text()
    start, end = text.index("BO_ 768 "), text.index("BO_ 1024 ")
    stripped = "\n".join(
        line for line in text[start:end].splitlines() if not line.startswith((" SG_ Freshness", " SG_ Mac"))
    )
    path = tmp_path / "some.dbc"
    path.write_text(text[:start] + stripped + "\n" + text[end:])
    codec = Codec.compile(WireDescription(dbc_path=path, auth=AUTH), 40, 80, 80)
    frames = Transmitter(codec).frames(Telegram.WET_PROFILE, {"film_um": np.full(80, 180.0)}, 1)
    receiver = Receiver(codec, list(Telegram), {}, Authenticator(ring(), 1, 0.1))
    assert [receiver.feed(frame, 0.0) is not None for frame in frames] == [False] * 3 + [True]
    assert math.isfinite(codec.bus_load({Telegram.WET_PROFILE: 10.0}).messages[0].frame_s)
