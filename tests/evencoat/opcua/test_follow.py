"""The PLC's server followed: what changes there is on record, and where the permit goes the desk is asked for HOLD."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from controller.line.command import Mode
from evencoat.desk.client import Answer, Desk, DeskError
from evencoat.opcua import certificates
from evencoat.opcua.certificates import CertificateError
from evencoat.opcua.follow import Follower, Heard, encoder_speed, follow
from evencoat.picture import Viewer
from evencoat.settings import Plc, SettingsError, load_line, read_line
from tests.evencoat.opcua.conftest import PASSWORD

TABLE = """
[opcua]
endpoint = "opc.tcp://10.20.0.2:4840"
folder = "pki"
server_certificate = "plc.der"
user = "evencoat"
password_file = "plc.password"
acts_as = "plc"
permit = "ns=3;s=Line.CoatingPermit"
"""
PLC = Plc(
    endpoint="opc.tcp://127.0.0.1:1", folder=Path("pki"), server_certificate=Path("plc.der"), policy="Basic256Sha256",
    user="omar", password_file=Path("secret"), acts_as="omar", web_speed="ns=2;s=web_speed_mps",
    web_speed_mps_per_unit=1.0, roll="ns=2;s=roll", production_order=None, material_lot="ns=2;s=batch",
    recipe="ns=2;s=rung", permit="ns=2;s=sent", patience_s=10.0,
)  # fmt: skip


class Table:
    """A desk that writes down what it is asked, and answers as a test says."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.mode, self.answer, self.gone = "auto", Answer(True, "hold"), False

    def ask(self, who: str, via: str, action: str, values: Any, why: str) -> Answer:
        if self.gone:
            raise DeskError("no control process listens")
        told = values if action == "lot" else values.get("text") or values.get("mode") or why
        self.asked.append((action, told))
        return self.answer

    def state(self) -> dict[str, Any]:
        return {"mode_requested": self.mode}

    def actions(self) -> list[str]:
        found = [action for action, _ in self.asked]
        self.asked.clear()
        return found


@pytest.fixture
def stand() -> SimpleNamespace:
    made = SimpleNamespace(now=0.0, speed=1.0, table=Table(), said=[])
    made.follower = Follower(PLC, made.table, lambda: made.speed, made.said.append, lambda: made.now)
    return made


def test_changes_are_put_on_record_and_what_stays_is_not(stand):
    stand.follower.hear(Heard("permit", True))
    for roll in (7, 7, 8):
        stand.follower.hear(Heard("roll", roll))
    stand.follower.hear(Heard("recipe", "anode"))
    told = [text for action, text in stand.table.asked if action == "note"]
    assert told == ["PLC: permit not known -> true", "PLC: recipe not known -> anode"]
    assert stand.said == [told[0], "PLC: roll not known -> 7", "PLC: roll 7 -> 8", told[1]]


def test_roll_order_and_lot_are_named_as_the_plc_names_them(stand):
    stand.follower.hear(Heard("permit", True))
    for name, value in (("roll", 7), ("material_lot", "SL-09"), ("production_order", "4711"), ("roll", None)):
        stand.follower.hear(Heard(name, value))
    named = [values for action, values in stand.table.asked if action == "lot"]
    assert named == [{"roll_name": "7"}, {"material_lot": "SL-09"}, {"production_order": "4711"}]
    assert stand.table.asked[-1] == ("note", "PLC: roll 7 -> bad"), "a bad status takes no name away"


def test_a_name_waits_for_a_desk_and_only_the_newest_of_each(stand):
    stand.follower.hear(Heard("permit", True))
    stand.table.gone = True
    for name, value in (("roll", 7), ("roll", 8), ("material_lot", "SL-09")):
        stand.follower.hear(Heard(name, value))
    stand.table.gone = False
    stand.follower.tick()
    assert stand.table.actions() == ["note"], "of the permit: not asked again at once"
    stand.now = 5.0
    stand.follower.tick()
    assert stand.table.asked == [("lot", {"roll_name": "8"}), ("lot", {"material_lot": "SL-09"})]


def test_a_name_that_the_desk_refuses_is_a_remark_and_not_asked_again(stand):
    stand.follower.hear(Heard("permit", True))
    stand.table.answer = Answer(False, "plc is viewer, and this takes operator")
    stand.follower.hear(Heard("roll", 7))
    stand.now = 5.0
    stand.follower.tick()
    assert stand.table.asked[1:] == [("lot", {"roll_name": "7"}), ("note", "PLC: roll_name is 7")]


@pytest.mark.parametrize("permit", [False, None, 0, "yes"])
def test_a_permit_that_is_not_true_asks_for_hold_and_gives_command_back(stand, permit):
    stand.follower.hear(Heard("permit", True))
    assert stand.table.actions() == ["note"]
    stand.now = 20.0
    stand.follower.hear(Heard("permit", permit))
    assert stand.table.actions() == ["note", "take_command", "mode", "release_command"]
    stand.table.mode = "hold"
    stand.now = 40.0
    stand.follower.hear(Heard("permit", True))
    assert stand.table.actions() == ["note"], "it never asks for AUTO"


def test_a_refusal_is_tried_again_and_said_once(stand, caplog):
    stand.table.answer = Answer(False, "mara via page is in command")
    stand.follower.hear(Heard("permit", False))
    for stand.now in (1.0, 4.9, 5.0, 10.0):
        stand.follower.alive()
        stand.follower.tick()
    assert stand.table.actions().count("take_command") == 3
    assert caplog.text.count("HOLD, for the PLC withdrew the permit: refused: mara via page is in command") == 1


def test_silence_counts_as_a_permit_withdrawn_after_some_patience(stand):
    stand.follower.hear(Heard("permit", True))
    stand.table.actions()
    stand.now = 9.0
    stand.follower.lost("ConnectionError")
    assert stand.table.actions() == ["note"]
    stand.now = 11.0
    stand.follower.tick()
    assert ("mode", "hold") in stand.table.asked


def test_a_permit_that_was_never_heard_is_none(stand):
    stand.now = 9.0
    stand.follower.hear(Heard("web_speed", 1.0))
    assert stand.table.asked == [], "too early to say"
    stand.now = 11.0
    stand.follower.tick()
    assert stand.table.asked[0] == ("take_command", "the PLC has not given a permit")


def test_a_web_speed_that_is_not_the_encoder_s_is_told_once_and_its_end(stand):
    stand.follower.hear(Heard("permit", True))
    for stand.now in (0.0, 5.0):
        stand.follower.hear(Heard("web_speed", 1.2))
    assert stand.table.actions() == ["note"], "of the permit"
    for stand.now in (10.5, 11.0, 12.0):
        stand.follower.hear(Heard("web_speed", 1.2))
    stand.speed = None
    stand.follower.hear(Heard("web_speed", 1.2))
    stand.speed = 1.0
    stand.follower.hear(Heard("web_speed", 1.01))
    told = [text for _, text in stand.table.asked]
    assert told == [
        "PLC: its web speed is 1.200 m/s, the encoder's 1.000 m/s",
        "PLC: its web speed is the encoder's again, 1.000 m/s",
    ]


def test_a_desk_that_is_not_there_stops_nothing(stand, caplog):
    stand.table.gone = True
    stand.follower.hear(Heard("permit", False))
    assert "no control process listens" in caplog.text


def test_a_line_s_server_is_followed_with_certificate_and_user(scene, tmp_path):
    """The other line's server plays the PLC's here: whether a command goes out is its permit."""
    (tmp_path / "secret").write_text(PASSWORD + "\n")
    os.chmod(tmp_path / "secret", 0o600)
    plc = replace(
        PLC,
        endpoint=scene.address,
        folder=scene.folder / "plc",
        server_certificate=scene.folder / "own" / certificates.CERTIFICATE,
        password_file=tmp_path / "secret",
    )
    desk = Desk(scene.desk.path)
    scene.show(sent=True, roll=41, batch=7)
    for action, values in (("take_command", {}), ("mode", {"mode": "auto"}), ("release_command", {})):
        scene.refresh()
        assert desk.ask("omar", "opcua", action, values).accepted

    async def run():
        until = asyncio.Event()
        follower = Follower(plc, desk, encoder_speed(Viewer(scene.easel.path)), lambda _: None)
        following = asyncio.create_task(follow(plc, follower, until))
        assert await asyncio.to_thread(scene.audited, "omar via opcua", '{"roll_name": "41"}', what="lot")
        assert await asyncio.to_thread(scene.audited, '{"material_lot": "7"}', what="lot")
        assert await asyncio.to_thread(scene.audited, "PLC: permit not known -> true")
        await asyncio.to_thread(scene.show, sent=False, roll=42)
        assert await asyncio.to_thread(scene.audited, '{"roll_name": "42"}', "as the PLC names it")
        assert await asyncio.to_thread(scene.audited, "hold", "the PLC withdrew the permit", what="mode")
        until.set()
        await following

    asyncio.run(run())
    assert desk.state()["mode_requested"] == Mode.HOLD
    scene.show()


def test_a_server_that_is_another_is_not_spoken_to(scene, tmp_path):
    (tmp_path / "secret").write_text(PASSWORD)
    os.chmod(tmp_path / "secret", 0o644)
    plc = replace(PLC, folder=scene.folder / "plc", password_file=tmp_path / "secret")
    with pytest.raises(CertificateError, match="chmod 600"):
        asyncio.run(follow(plc, SimpleNamespace(), asyncio.Event()))
    os.chmod(tmp_path / "secret", 0o600)
    stranger = scene.folder / "stranger" / certificates.CERTIFICATE
    plc = replace(plc, endpoint=scene.address, server_certificate=stranger)
    until, lost = asyncio.Event(), []

    def told(why: str) -> None:
        lost.append(why)
        until.set()

    asyncio.run(follow(plc, SimpleNamespace(lost=told, tick=lambda: None), until))
    assert lost


def test_the_line_file_names_the_plc_s_server():
    shipped = load_line("pilot-16")
    plc = read_line(shipped.text + TABLE, Path("/lines/a.toml")).plc
    assert plc is not None and plc.nodes == {"permit": "ns=3;s=Line.CoatingPermit"}
    assert (plc.folder, plc.password_file) == (Path("/lines/pki"), Path("/lines/plc.password"))
    assert shipped.plc is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("opc.tcp://10.20.0.2", "http://10.20.0.2"), "opcua.endpoint"),
        (("opc.tcp://", "opc.tcp://user:word@"), "opcua.endpoint"),
        (("ns=3;s=Line.CoatingPermit", "Line.CoatingPermit"), "opcua.permit"),
        (('"plc"\n', '"Plc!"\n'), "opcua.acts_as"),
        (("permit =", "permitt ="), 'Did you mean "permit"'),
        (("permit =", "web_speed_mps_per_unit = 0\npermit ="), "must be more than 0"),
    ],
)
def test_what_is_wrong_with_it_is_told_by_field(change, words):
    shipped = load_line("pilot-16")
    with pytest.raises(SettingsError, match=words.replace("(", r"\(")):
        read_line(shipped.text + TABLE.replace(*change), Path("/lines/a.toml"))
