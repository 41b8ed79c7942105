"""Key files, epochs and `evencoat key`: what is refused, what is never shown, and a whole line with MACs."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from controller.line.command import Mode
from evencoat import cli, keys
from evencoat.check import Level, verdict
from evencoat.journal import NoSink
from evencoat.keys import authenticator
from evencoat.settings import Settings, SettingsError, read_line, shipped_lines
from firmware_bridge.authentication import AuthenticationError, Authenticator, Key, KeyRing
from firmware_bridge.contract import Telegram
from firmware_bridge.frames import Frame
from firmware_bridge.link import Transmitter
from tests.runs import Line, story

run = CliRunner().invoke
PILOT = shipped_lines()["pilot-16"].read_text()


def said(*call: str, exit_code: int = 0) -> str:
    result = run(cli.app, ["key", *call])
    assert result.exit_code == exit_code, result.output
    return result.stdout if exit_code == 0 else result.stderr


def authenticated(folder: Path, text: str = PILOT) -> Settings:
    """pilot-16 with keys, in a folder of its own."""
    return read_line(text.replace("[gate]", '[bus.auth]\nkey_file = "line.key"\n\n[gate]'), folder / "pilot.toml")


@pytest.fixture
def line(tmp_path: Path) -> Settings:
    keys.new(tmp_path / "line.key", 0.0)
    return authenticated(tmp_path)


def test_new_show_rotate_and_no_word_of_a_key(tmp_path: Path) -> None:
    path = tmp_path / "line.key"
    told = said("new", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    told += said("show", str(path)) + said("rotate", str(path), "--lead-hours", "2", "--overlap-hours", "3")
    told += said("rotate", str(path), exit_code=2) + said("new", str(path), exit_code=2)
    rows = json.loads(shown := said("show", str(path), "--json"))["keys"]
    assert [row["state"] for row in rows] == ["signs", "waits, believed already"]
    assert rows[0]["valid_until"] > rows[1]["signs_from"] and rows[1]["valid_until"] is None
    secrets = [one["aes128"] for one in json.loads(path.read_text())["keys"]]
    assert len(secrets) == 2 and not [secret for secret in secrets if secret in told + shown]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and os.listdir(tmp_path) == ["line.key"]


def test_a_rotation_keeps_the_old_key_for_lead_and_overlap_and_then_drops_it(tmp_path: Path) -> None:
    path = tmp_path / "line.key"
    first = keys.new(path, 1000.0)
    old, new = keys.rotate(path, 2000.0, lead_s=100.0, overlap_s=50.0)
    assert (old.key.secret, old.key.valid_until_s) == (first.key.secret, 2150.0)
    assert (new.key.number, new.key.signs_from_s, new.key.valid_until_s) == (2, 2100.0, float("inf"))
    assert [one.fingerprint for one in keys.read(path)] == [old.fingerprint, new.fingerprint]
    second, third = keys.rotate(path, 2151.0)
    assert (second.key.secret, third.key.number) == (new.key.secret, 3)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o622, 0o777])
def test_a_file_that_others_may_read_or_write_is_refused_with_the_command_that_mends_it(
    line: Settings, tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "line.key"
    path.chmod(mode)
    with pytest.raises(AuthenticationError, match=f"chmod 600 {path}"):
        keys.read(path)
    with pytest.raises(AuthenticationError, match="chmod 600"):
        authenticator(line, "controller")
    (finding,) = verdict(line).findings
    assert finding.level is Level.REFUSED and f"chmod 600 {path}" in finding.text
    assert "chmod 600" in said("show", str(path), exit_code=2)


def test_a_link_to_a_key_file_is_refused(line: Settings, tmp_path: Path) -> None:
    (tmp_path / "other.key").symlink_to(tmp_path / "line.key")
    with pytest.raises(AuthenticationError, match="no link"):
        keys.read(tmp_path / "other.key")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"evencoat_keys": 2, "keys": []}', '{"evencoat_keys": 1, "keys": []}',
     '{"evencoat_keys": 1, "keys": [{"number": 1, "aes128": "5ec2e7", "made": "2026-01-01T00:00:00+00:00"}]}'],
)  # fmt: skip
def test_what_is_no_key_file_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "line.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(AuthenticationError, match="key file") as caught:
        keys.read(path)
    assert "5ec2e7" not in str(caught.value)


def test_a_machine_without_the_keys_may_check_but_not_run(tmp_path: Path) -> None:
    line = authenticated(tmp_path)
    report = verdict(line)
    assert report.ok and "evencoat key new" in report.findings[0].text
    assert report.authentication.startswith("all frames")
    with pytest.raises(AuthenticationError, match="evencoat key new"):
        authenticator(line, "controller")


def test_without_authentication_the_verdict_says_what_cannot_be_noticed() -> None:
    words = verdict(read_line(PILOT, Path("pilot.toml"))).authentication
    assert words.startswith("none") and "neither can be noticed" in words and "1 or 2" in words.replace("one", "1")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [("fd = true", "fd = false", "needs CAN FD"), ('integrity = "crc16"', 'integrity = "none"', "crc16")],
)
def test_settings_that_leave_no_room_for_a_mac(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in PILOT
    with pytest.raises(SettingsError, match=words) as caught:
        authenticated(tmp_path, PILOT.replace(old, new))
    assert "bus.auth" in [problem.field for problem in caught.value.problems]


def test_epochs_grow_with_every_start_whatever_the_clock_does(line: Settings, tmp_path: Path) -> None:
    def start(now_s: float) -> int:
        auth = authenticator(line, "controller", lambda: now_s)
        assert auth is not None
        return auth.epoch

    assert [start(now_s) for now_s in (1000.0, 1000.0, 2000.0, 500.0)] == [1000, 1001, 2000, 2001]
    beside = tmp_path / "line.key.controller.json"
    assert stat.S_IMODE(beside.stat().st_mode) == 0o600
    beside.unlink()  # lost: the clock is still ahead of all that was said
    assert start(3000.0) == 3000
    beside.write_text("{")
    with pytest.raises(AuthenticationError, match="delete it"):
        start(4000.0)


def test_what_was_heard_of_others_is_remembered(line: Settings) -> None:
    auth = authenticator(line, "controller", lambda: 1000.0)
    assert auth is not None
    auth.heard(3, (77 << 32) + 1)
    again = authenticator(line, "controller", lambda: 1000.0)
    assert again is not None and again.epochs() == {3: 77}


# ------------------------------------------------------------------------------------------------- a whole line


def test_a_line_with_keys_coats_as_one_without(line: Settings) -> None:
    """Plant and controller in lockstep, every frame signed and verified; a controller that restarts takes over."""
    playing = Line(story(), line)
    traces = playing.play_s(20.0)
    assert traces[-1].mode_actual is Mode.AUTO and traces[-1].link_faults == ()
    assert not [trace.link_faults for trace in traces if any("not authentic" in fault for fault in trace.link_faults)]
    assert playing.nodes.commands_expired == 0 and playing.checker.violations == 0 and playing.checker.commands > 300
    playing.loop = playing.controller(playing.sink, Mode.AUTO)
    traces = playing.play_s(10.0)
    assert traces[-1].mode_actual is Mode.AUTO and playing.nodes.die.watch.state.name == "OPERATING"


def test_a_line_with_keys_obeys_no_forger_and_no_recording(line: Settings) -> None:
    """Commands recorded a second ago, and commands under another key, with every counter and deadline right."""
    playing = Line(story(), line)
    recorded: list[Frame] = []
    command_ids = {can_id for can_id, _ in playing.codec.can_ids(Telegram.DIE_COMMAND)}
    playing.hub.tap(lambda frame: recorded.append(frame) if frame.can_id in command_ids else None)
    playing.play_s(5.0)
    rest_um = playing.nodes.die.rest_um.copy()
    intruder = playing.hub.attach()
    other_key = KeyRing([Key(1, bytes(16))])
    forger = Transmitter(playing.codec, Authenticator(other_key, 9, playing.cycle_s))
    playing.loop = playing.controller(NoSink(), Mode.ADVISORY)  # nobody commands any more
    replayed = list(recorded)
    for cycle in range(10):
        gap_um = np.full(playing.line.zones, 555.0)
        for frame in [*forger.frames(Telegram.DIE_COMMAND, {"gap_um": gap_um}, 2**31 - 1), *replayed]:
            intruder.send(frame)
        playing.play_s(playing.cycle_s)
        if cycle < 2:
            assert np.abs(playing.nodes.die.rest_um - rest_um).max() < 0.6  # the last honest command, and no other
    assert playing.nodes.die.watch.state.name == "HOLDING"
    health = playing.nodes._receiver.health(0.0)[Telegram.DIE_COMMAND]
    assert health.not_authentic > 10 * len(replayed) * 0.9


def test_a_port_and_its_wire_agree_on_authentication(line: Settings) -> None:
    from firmware_bridge.bridge import CanLinePort
    from firmware_bridge.bus_memory import MemoryHub
    from firmware_bridge.contract import WireError
    from firmware_bridge.tx_gate import Gate

    playing = Line(story(), line)
    bus, gate = MemoryHub().attach(), Gate(line.gate)
    with pytest.raises(WireError, match="needs keys"):
        CanLinePort(playing.codec, bus, gate, line.line, line.wire, True)
    plain, auth = replace(line.wire, auth=None), Authenticator(KeyRing([Key(1, bytes(16))]), 1, 0.1)
    with pytest.raises(WireError, match="takes none"):
        CanLinePort(playing.codec, bus, gate, line.line, plain, True, auth=auth)
