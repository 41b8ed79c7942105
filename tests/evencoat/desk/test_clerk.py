"""The clerk: who may, who is in command, and what is on record of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controller.line.command import Mode
from evencoat.desk import clerk
from evencoat.desk.actions import ACTIONS
from evencoat.desk.users import Role
from evencoat.settings import load_line
from tests.evencoat.desk.lines import PEOPLE, DeskLine, told, write_users

TARGET_GSM = 1.01 * float(load_line("pilot-16").line.target_profile_gsm.mean())
RIGHT: dict[str, dict[str, Any]] = {
    "recipe": {"text": "anode@1"},
    "note": {"what": "remark", "text": "a streak"},
    "take_command": {},
    "release_command": {},
    "mode": {"mode": "manual"},
    "gap_um": {"targets": {"3": 600.0}},
    "pump_trim_pct": {"value": 0.5},
    "zone_manual": {"zones": [3], "manual": True},
    "target_gsm": {"value": TARGET_GSM},
    "rearm": {},
    "lot": {"production_order": "4711"},
}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[DeskLine]:
    made = DeskLine(tmp_path)
    yield made
    made.journal.close()


def test_in_manual_a_lip_goes_where_it_is_sent_and_all_of_it_is_on_record(desk: DeskLine) -> None:
    assert desk.ask("omar", "take_command", why="a streak")[0]
    assert desk.ask("omar", "mode", mode="manual", why="a streak") == (True, "manual: running as requested")
    before = desk.line.loop.trace
    assert before is not None
    target = float(before.gap_target_um[2]) + 1.5
    assert desk.ask("omar", "gap_um", targets={"3": target}, why="zone 3 is thin")[0]
    assert desk.ask("omar", "gap_um", targets={"4": float(before.gap_target_um[3])})[0], "while zone 3 is under way"
    desk.line.play_s(20.0)
    after = desk.line.loop.trace
    assert after is not None
    expected = before.gap_target_um.copy()
    expected[2] = target
    np.testing.assert_allclose(after.gap_target_um, expected, atol=0.06)
    assert after.gap_um[2] > before.gap_um[2] + 1.0, "and the machine went there"
    assert desk.ask("omar", "mode", mode="auto") == (True, "auto: running as requested")
    assert desk.ask("omar", "release_command")[0]
    records = desk.records()
    assert [(record.what, record.old) for record in records if record.what in ("command", "mode")] == [
        ("command", ""),
        ("mode", "auto"),
        ("mode", "manual"),
        ("command", "omar via page"),
    ]
    assert {record.who for record in records} == {"omar via page"}
    (lip, _) = [record for record in records if record.what == "setpoint"]
    assert lip.why == "zone 3 is thin"
    assert json.loads(lip.new.removeprefix("lips, um: "))[2] == pytest.approx(target, abs=0.01)


def test_in_auto_a_zone_is_held_by_hand_and_the_target_moves_and_all_of_it_is_on_record(desk: DeskLine) -> None:
    desk.line.play_s(20.0)
    desk.ask("enid", "take_command")
    assert desk.ask("enid", "gap_um", targets={"3": 600.0}) == (
        False,
        "gap_um: only in manual; the line is in auto, and zone 3 is not held by hand",
    )
    before = desk.line.loop.trace
    assert before is not None
    target_um = round(float(before.gap_target_um[2]) + 1.5, 1)
    assert desk.ask("enid", "zone_manual", zones=[3], manual=True) == (True, "auto: running as requested")
    assert desk.ask("enid", "gap_um", targets={"3": target_um}, why="a streak")[0]
    assert desk.ask("enid", "target_gsm", value=TARGET_GSM)[0]
    assert not desk.ask("enid", "target_gsm", value=2.0 * TARGET_GSM)[0]
    desk.line.play_s(20.0)
    after = desk.line.loop.trace
    assert after is not None and after.mode_actual is Mode.AUTO
    assert after.gap_target_um[2] == pytest.approx(target_um, abs=0.06)
    assert before.target_gsm < after.target_gsm <= TARGET_GSM + 1e-6
    assert desk.ask("enid", "zone_manual", zones=[3], manual=False)[0]
    _, *records = desk.records()
    made = [(record.what, record.new) for record in records if record.what != "refused"]
    assert made == [
        ("mode", "zones held by hand: [3]"),
        ("setpoint", f'lips held by hand, um: {{"3": {target_um}}}'),
        ("setpoint", f"target, g/m2: {TARGET_GSM:.3f}"),
        ("mode", "zones held by hand: []"),
    ]
    assert [record.old for record in records if record.what == "mode"] == [
        "zones held by hand: []",
        "zones held by hand: [3]",
    ]


@pytest.mark.parametrize("name", ACTIONS)
def test_each_action_is_open_from_its_least_role_on_and_refused_below(desk: DeskLine, name: str) -> None:
    """Every action by every role, by somebody who is not in the file, and by nobody."""
    desk.ask("ada", "take_command")
    desk.ask("ada", "mode", mode="manual")
    for who, role in [*PEOPLE.items(), ("zoe", None), ("", None)]:
        if who and ACTIONS[name].token:
            desk.clerk.token.give(clerk.Person(who, "page"))
        elif name in ("take_command", "release_command"):
            desk.clerk.token.give(None)
        accepted, reason = desk.ask(who, name, **RIGHT[name])
        may = role is not None and role.covers(ACTIONS[name].least)
        assert accepted is may, (who, reason)
        if role is Role.VIEWER and not may:
            assert reason == f"vera is viewer, and this takes {ACTIONS[name].least}"
    refused = [record for record in desk.records() if record.what == "refused"]
    assert len(refused) == 2 + sum(not role.covers(ACTIONS[name].least) for role in PEOPLE.values())


@pytest.mark.parametrize("name", [name for name, action in ACTIONS.items() if action.token])
def test_who_is_not_in_command_moves_nothing(desk: DeskLine, name: str) -> None:
    assert desk.ask("enid", name, **RIGHT[name]) == (
        False,
        "nobody is in command; to ask for this, take command first",
    )
    desk.ask("enid", "take_command", via="opcua")
    reason = "enid via opcua is in command; to ask for this, take command first"
    assert desk.ask("ada", name, **RIGHT[name]) == (False, reason)
    assert desk.ask("enid", name, via="page", **RIGHT[name]) == (False, reason), "in command through another room"
    assert desk.line.loop.trace is not None and desk.line.loop.trace.mode_requested is Mode.AUTO
    assert [record.what for record in desk.records()] == ["refused", "command", "refused", "refused"]


def test_any_operator_may_hold_the_line_whoever_is_in_command(desk: DeskLine) -> None:
    desk.ask("enid", "take_command", via="opcua")
    assert desk.ask("vera", "mode", mode="hold")[0] is False
    assert desk.ask("omar", "mode", mode="hold")[0] is True
    assert desk.line.loop.trace is not None and desk.line.loop.trace.mode_actual is Mode.HOLD
    assert desk.ask("omar", "mode", mode="auto")[0] is False


def test_command_is_one_person_s_until_given_back_or_taken_by_force(desk: DeskLine) -> None:
    assert desk.ask("omar", "take_command")[0]
    assert desk.ask("enid", "take_command") == (
        False,
        "omar via page is in command; an admin may take it with force",
    )
    assert not desk.ask("enid", "take_command", force=True)[0]
    assert not desk.ask("ada", "take_command")[0], "not without saying so"
    assert not desk.ask("enid", "release_command", force=True)[0]
    assert desk.ask("ada", "take_command", force=True, why="omar has gone home")[0]
    holder = desk.clerk.state()["holder"]
    assert (holder["who"], holder["via"], holder["release_s"]) == ("ada", "page", 1800.0)
    assert desk.ask("ada", "release_command") == (True, "nobody is in command")
    commands = [record for record in desk.records() if record.what == "command"]
    assert [(record.old, record.new, record.why) for record in commands] == [
        ("", "omar via page", ""),
        ("omar via page", "ada via page", "omar has gone home"),
        ("ada via page", "", ""),
    ]


def test_command_ends_for_want_of_use_and_with_the_role(desk: DeskLine, tmp_path: Path) -> None:
    desk.ask("omar", "take_command")
    desk.clock.now_s += 1000.0
    assert desk.ask("omar", "mode", mode="hold")[0], "which is use of it"
    desk.clock.now_s += 1000.0
    assert desk.clerk.state()["holder"]["release_s"] == 800.0, "and looking is none"
    desk.clock.now_s += 801.0
    assert desk.clerk.state()["holder"] is None
    assert not desk.ask("omar", "mode", mode="auto")[0]
    desk.ask("omar", "take_command")
    write_users(tmp_path / "users.json", {**PEOPLE, "omar": Role.VIEWER})
    assert desk.clerk.state()["holder"] is None
    assert desk.ask("omar", "mode", mode="auto") == (False, "omar is viewer, and this takes operator")
    ends = [(record.who, record.why) for record in desk.records() if record.what == "command" and not record.new]
    assert ends == [
        ("evencoat", "nothing was asked for 30 minutes"),
        ("evencoat", "omar is no operator any more"),
    ]


def test_a_users_file_that_others_may_touch_is_nobody_s(desk: DeskLine) -> None:
    desk.ask("omar", "take_command")
    desk.users.path.chmod(0o640)
    accepted, reason = desk.ask("omar", "mode", mode="manual")
    assert not accepted and "others may read or write it (0640)" in reason
    desk.users.path.unlink()
    accepted, reason = desk.ask("omar", "take_command")
    assert not accepted and reason.startswith("there are no users yet")
    assert desk.clerk.state()["users"].startswith("there are no users yet")


def test_a_line_that_only_listens_takes_no_mode(tmp_path: Path) -> None:
    desk = DeskLine(tmp_path, sends=False)
    desk.ask("omar", "take_command")
    accepted, reason = desk.ask("omar", "mode", mode="auto")
    assert not accepted and "advisory" in reason
    desk.journal.close()


def test_what_no_cycle_takes_in_is_refused_and_never_acts_later(desk: DeskLine) -> None:
    desk.ask("omar", "take_command")
    desk.clerk._taken_within_s = 0.0
    desk.cycle, cycle = (lambda: None), desk.cycle  # type: ignore[method-assign]
    accepted, reason = desk.ask("omar", "mode", mode="manual")
    assert not accepted and "no cycle took it in" in reason
    for _ in range(3):
        cycle()
    assert desk.line.loop.trace is not None and desk.line.loop.trace.mode_requested is Mode.AUTO


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\n", "no JSON"),
        (b"[" * 60_000 + b"\n", "no JSON"),
        (b'{"a": ' * 9_000 + b"\n", "no JSON"),
        (b"\xff\xfe\n", "no JSON"),
        (b"[]\n", "no JSON object"),
        (b"{}\n", "via = null"),
        (b'{"via": ["page"]}', 'via = ["page"]'),
        (b'{"via": "page", "action": {}}', "action = {}"),
        (b'{"via": "page", "action": "mode", "values": 3}', "values = 3"),
        (b'{"via": "page", "action": "mode", "who": "../etc"}', "who ="),
        (b'{"via": "page", "action": "mode", "who": "omar", "role": "admin"}', 'not "role"'),
        (b'{"via": "page", "action": "fly", "who": "omar"}', 'action "fly"'),
        (b'{"via": "page", "action": "note", "who": "omar", "why": "\\ud800"}', "one line"),
        (b'{"via": "page", "action": "tell", "who": "x", "values": {"text": "a", "what": []}}', "tell.what = []"),
    ],
)
def test_what_is_no_request_is_refused_in_words_and_on_record(desk: DeskLine, line: bytes, reason: str) -> None:
    answer = desk.say(line)
    assert answer["accepted"] is False and reason in answer["reason"]
    (record,) = desk.records()
    assert record.what == "refused" and reason in record.new and len(record.new) < 500


def test_a_flood_of_refusals_is_counted_and_not_kept(desk: DeskLine) -> None:
    for _ in range(500):
        desk.ask("vera", "mode", mode="auto")
    desk.clock.now_s += 61.0
    desk.clerk.tidy()
    for _ in range(40):
        desk.ask("vera", "mode", mode="auto")
    records = desk.records()
    kept = [record for record in records if record.who == "vera via page"]
    assert len(kept) == 2 * clerk.REFUSED_MOST
    counts = [record.new for record in records if record.who == "evencoat"]
    assert counts == ["470 more refusals", "10 more refusals"]


def test_each_user_may_do_so_much_in_a_minute(desk: DeskLine) -> None:
    answers = [desk.ask("vera", "note", **RIGHT["note"])[0] for _ in range(clerk.ASKED_MOST + 5)]
    assert answers == [True] * clerk.ASKED_MOST + [False] * 5
    assert desk.ask("omar", "note", **RIGHT["note"])[0], "others are not kept out"
    desk.clock.now_s += 60.0
    assert desk.ask("vera", "note", **RIGHT["note"])[0]


def test_rooms_tell_what_they_did_themselves(desk: DeskLine) -> None:
    assert desk.ask("omar", "tell", what="user", text="logged in from 127.0.0.1")[0]
    assert desk.ask("nobody at all", "tell", what="refused", text="login")[0]
    assert desk.ask("vera", "note", what="acknowledgement", text="alarm 7")[0]
    for _ in range(clerk.TOLD_MOST - 1):
        assert desk.ask("omar", "tell", what="user", text="logged in")[0]
    assert not desk.ask("omar", "tell", what="user", text="logged in")[0]
    records = told(desk.records())
    assert records[:3] == [
        ("omar via page", "user", "logged in from 127.0.0.1"),
        ("nobody at all via page", "refused", "login"),
        ("vera via page", "acknowledgement", "alarm 7"),
    ]


def test_an_acknowledgement_from_the_shell_has_its_reason_on_record(desk: DeskLine) -> None:
    asked = {"what": "acknowledgement", "text": "alarm bolt-alone/bolt 7: seen"}
    assert desk.ask("omar", "note", via="shell", why="motor ordered", **asked)[0]
    assert not desk.ask("omar", "note", via="shell", why="x" * 501, **asked)[0]
    said = [(record.who, record.new, record.why) for record in desk.records() if record.what == "acknowledgement"]
    assert said == [("omar via shell", "alarm bolt-alone/bolt 7: seen", "motor ordered")]


def test_what_an_engineer_takes_back_is_not_written_down_wrongly(
    desk: DeskLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise RuntimeError("no words")

    desk.ask("omar", "take_command")
    monkeypatch.setattr("evencoat.desk.tray.ask", refuses)
    assert desk.ask("omar", "mode", mode="manual") == (False, "it could not be recorded: no words")
    desk.cycle()
    assert desk.line.loop.trace is not None and desk.line.loop.trace.mode_requested is Mode.AUTO


def test_it_is_known_who_asked_for_the_mode_and_whether_a_law_has_moved_the_line(desk: DeskLine) -> None:
    assert (desk.clerk.state()["mode_by"], desk.clerk.state()["acted"]) == ("", False)
    desk.cycle()
    for _ in range(200):
        desk.cycle()
    assert (desk.clerk.state()["mode_by"], desk.clerk.state()["acted"]) == ("", True)
    desk.ask("omar", "take_command")
    assert not desk.ask("omar", "gap_um", targets={"3": 500.0})[0] and desk.clerk.state()["mode_by"] == ""
    desk.ask("vera", "mode", mode="hold")
    assert desk.clerk.state()["mode_by"] == "", "she may not"
    desk.ask("omar", "mode", mode="hold")
    assert desk.clerk.state()["mode_by"] == "omar via page"
