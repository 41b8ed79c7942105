"""The channel: a socket for its owner alone, on which nobody can make the control process do more than it wants to."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from evencoat.desk import channel
from evencoat.desk.channel import Channel, listening, may_connect
from evencoat.desk.clerk import REFUSED_MOST
from evencoat.desk.client import LINE_MOST, Desk, DeskError, socket_of
from tests.evencoat.desk.lines import DeskLine, told


class Running:
    """A desk on its socket, with cycles on a thread that stands for the paced one."""

    def __init__(self, folder: Path) -> None:
        self.desk = DeskLine(folder)
        self.channel = Channel(socket_of(self.desk.path), self.desk.clerk)
        self.client = Desk(self.desk.path)
        self.cycles = 0
        self._over = threading.Event()
        self._paced = threading.Thread(target=self._run)
        self._paced.start()

    def _run(self) -> None:
        while not self._over.wait(0.002):
            self.desk.cycle()
            self.cycles += 1

    def close(self) -> None:
        self._over.set()
        self._paced.join()
        self.channel.close()
        self.desk.journal.close()

    def connected(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(10.0)
        made.connect(str(self.channel.path))
        return made


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path)
    yield made
    made.close()


def test_what_is_asked_through_the_socket_is_done_and_answered(running: Running) -> None:
    assert running.client.state()["holder"] is None
    assert running.client.ask("omar", "page", "take_command").accepted
    answer = running.client.ask("omar", "page", "mode", {"mode": "manual"}, why="a streak")
    assert (answer.accepted, answer.reason) == (True, "manual: running as requested")
    state = running.client.state()
    assert (state["holder"]["who"], state["mode_actual"], state["sends"]) == ("omar", "manual", True)
    refused = running.client.ask("vera", "opcua", "mode", {"mode": "auto"})
    assert (refused.accepted, refused.reason) == (False, "vera is viewer, and this takes operator")
    assert running.client.tell("zoe", "page", "refused", "login: no such user or password").accepted
    running.close()
    assert told(running.desk.records()) == [
        ("omar via page", "command", "omar via page"),
        ("omar via page", "mode", "manual"),
        ("vera via opcua", "refused", "mode: vera is viewer, and this takes operator"),
        ("zoe via page", "refused", "login: no such user or password"),
    ]


def test_two_who_ask_at_once_are_both_answered(running: Running) -> None:
    running.client.ask("omar", "page", "take_command")
    answers = []
    threads = [
        threading.Thread(
            target=lambda value: answers.append(
                Desk(running.desk.path).ask("omar", "page", "mode", {"mode": value}).accepted
            ),
            args=(mode,),
        )
        for mode in ("manual", "hold", "auto", "manual")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 4


def test_the_socket_is_its_owner_s_alone_and_goes_with_the_process(running: Running) -> None:
    found = running.channel.path.stat()
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert stat.S_IMODE(running.channel.path.parent.stat().st_mode) == 0o700
    assert running.channel.path.parent == socket_of(Path("elsewhere")).parent
    running.close()
    assert not running.channel.path.exists()
    with pytest.raises(DeskError, match="no control process listens"):
        running.client.state()


def test_only_this_user_and_root_may_connect() -> None:
    assert may_connect(os.getuid()) and may_connect(0)
    assert not may_connect(os.getuid() + 1)


def test_another_user_who_got_as_far_as_the_socket_is_sent_away(running: Running, monkeypatch) -> None:
    monkeypatch.setattr(channel, "may_connect", lambda uid: False)
    with running.connected() as caller:
        answer = json.loads(caller.recv(LINE_MOST))
        assert not answer["accepted"] and "only the user of the control process" in answer["reason"]
        assert caller.recv(1) == b"", "and hung up on"
    running.close()
    (record,) = running.desk.records()
    assert (record.who, record.what) == (f"uid {os.getuid()} via local channel", "refused")


def test_a_dead_process_s_socket_is_replaced_and_a_living_one_s_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir(mode=0o700)
    path = folder / "x.desk"
    listening(path).close()  # as after kill -9: the file stays
    with listening(path):
        with pytest.raises(DeskError, match="another control process"):
            listening(path)
        folder.chmod(0o750)
        with pytest.raises(DeskError, match="alone"):
            listening(folder / "y.desk")


def test_a_line_that_is_too_long_is_refused_and_ends_the_connection(running: Running) -> None:
    with running.connected() as caller:
        with contextlib.suppress(OSError):
            caller.sendall(b"a" * (LINE_MOST + 10))
        answer = json.loads(caller.recv(LINE_MOST))
        assert not answer["accepted"] and str(LINE_MOST) in answer["reason"]
    with pytest.raises(DeskError, match="is the most"):
        running.client.ask("omar", "page", "note", {"text": "a" * LINE_MOST})
    assert running.client.state()["holder"] is None


def test_who_says_half_a_line_and_no_more_is_hung_up_on(running: Running, monkeypatch) -> None:
    monkeypatch.setattr(channel, "LINE_WITHIN_S", 0.05)
    with running.connected() as caller:
        caller.sendall(b'{"action": ')
        assert caller.recv(1) == b""


def test_who_keeps_all_connections_keeps_others_out_only_until_the_time_is_up(running: Running, monkeypatch) -> None:
    monkeypatch.setattr(channel, "LINE_WITHIN_S", 0.3)
    hogs = [running.connected() for _ in range(channel.CONNECTIONS_MOST)]
    before = running.cycles
    assert running.client.state()["holder"] is None
    assert running.cycles > before, "the line went on meanwhile"
    for hog in hogs:
        hog.close()


def test_a_flood_neither_stops_the_line_nor_fills_the_journal(running: Running, monkeypatch) -> None:
    """Several at once say nonsense as fast as they can, for as long as the line makes a hundred cycles."""
    monkeypatch.setattr(channel, "LINE_PAUSE_S", 0.0)
    monkeypatch.setattr(channel, "TURN_S", 0.0)
    over = threading.Event()

    def flood() -> None:
        with running.connected() as caller, contextlib.suppress(OSError):
            caller.setblocking(False)
            while not over.is_set():
                with contextlib.suppress(BlockingIOError):
                    caller.send(b'{"via": "page", "action": "mode", "who": "vera", "values": {"mode": "auto"}}\n' * 50)
                with contextlib.suppress(BlockingIOError):
                    caller.recv(LINE_MOST)

    floods = [threading.Thread(target=flood) for _ in range(3)]
    before = running.cycles
    for one in floods:
        one.start()
    while running.cycles < before + 100:
        assert running._paced.is_alive()
        threading.Event().wait(0.01)
    answer = running.client.ask("omar", "page", "take_command")
    over.set()
    for one in floods:
        one.join()
    assert answer.accepted, "and others are heard"
    running.close()
    refused = [record for record in running.desk.records() if record.what == "refused"]
    assert len(refused) == REFUSED_MOST + 1
    assert int(refused[-1].new.split()[0]) > 0, "the rest is counted"


def test_a_process_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "own" / "x.desk"
    path.parent.mkdir(mode=0o700)
    monkeypatch.setattr("evencoat.desk.client.socket_of", lambda journal: path)
    with listening(path), pytest.raises(DeskError, match=r"did not answer within 0\.05 s"):
        Desk(tmp_path / "j", patience_s=0.05).state()
    with pytest.raises(DeskError, match="no control process listens"):
        Desk(tmp_path / "j").state()
