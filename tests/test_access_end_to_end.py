"""People and a line that runs, in processes of their own: they ask, and what they got is in the journal."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from evencoat.cli import app
from evencoat.desk.client import Desk, DeskError
from evencoat.journal.audit import What
from evencoat.settings import load_line
from firmware_bridge.contract import Telegram
from firmware_bridge.link import Message
from tests.test_end_to_end import PATIENCE_S, Scene

PASSWORD = "quite a long password"
ZONE = 3


def called(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """`evencoat ARGUMENTS`, with the password on its standard input."""
    command = [sys.executable, "-m", "evencoat", *arguments]
    return subprocess.run(
        command, check=False, input=f"{PASSWORD}\n", capture_output=True, text=True, timeout=PATIENCE_S
    )


def asked(scene: Scene, users: Path, who: str, *what: str) -> tuple[int, str]:
    """Exit code and reason. On a busy machine a line holds now and then; then it is asked again."""
    call = ["ask", str(scene.folder / "line.sqlite"), *what, "--user", who, "--users", str(users), "--why", "a streak"]
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        done = CliRunner().invoke(app, [*call, "--json"], input=f"{PASSWORD}\n")
        assert done.exit_code in (0, 3), done.output
        told = json.loads(done.stdout)
        assert told["accepted"] is (done.exit_code == 0)
        if "is in hold" not in told["reason"] or time.monotonic() > deadline_s:
            return done.exit_code, told["reason"]


def until_it_runs(journal: Path) -> None:
    deadline_s, mode = time.monotonic() + PATIENCE_S, ""
    while mode != "auto":
        assert time.monotonic() < deadline_s, f"the line is in {mode}"
        try:
            mode = Desk(journal).state()["mode_actual"]
        except DeskError as error:
            mode = str(error)
        time.sleep(0.1)


def lip_um(message: Message) -> float:
    return float(np.asarray(message.fields["gap_um"])[ZONE - 1])


def test_people_take_command_move_what_they_may_and_it_is_all_in_the_journal(scene: Scene) -> None:
    users, journal = scene.folder / "users.json", scene.folder / "line.sqlite"
    target_gsm = round(1.005 * float(load_line(scene.line).line.target_profile_gsm.mean()), 3)
    scene.plant("--scenario", "steady-night")
    daemon = scene.daemon("line", "auto", "--users", str(users), "--rearm-always")
    for name, role in (("enid", "engineer"), ("vera", "viewer")):
        assert called(["user", "add", name, "--role", role, "--users", str(users)]).returncode == 0
    until_it_runs(journal)
    taken = called(["ask", str(journal), "take_command", "--user", "enid", "--users", str(users)])
    assert (taken.returncode, taken.stdout[:10]) == (0, "in command"), taken.stderr
    assert asked(scene, users, "vera", "mode", "mode=manual") == (3, "vera is viewer, and this takes operator")
    assert asked(scene, users, "enid", "zone_manual", f"zones=[{ZONE}]", "manual=true")[0] == 0
    stood_um = lip_um(scene.bystander.until(lambda m: m.telegram is Telegram.DIE_FEEDBACK, "lips"))
    target_um = round(stood_um + 3.0, 1)
    code, reason = asked(scene, users, "enid", "gap_um", f"targets.{ZONE}={target_um}")
    assert code == 0, reason
    assert asked(scene, users, "enid", "target_gsm", f"value={target_gsm}")[0] == 0
    scene.bystander.until(
        lambda m: m.telegram is Telegram.DIE_FEEDBACK and lip_um(m) == pytest.approx(target_um, abs=0.3),
        "the lip where it was sent",
    )
    scene.children.stop(daemon)
    with scene.journal("line") as reader:
        assert reader.verify().ok
        records, last = reader.audit(), reader.cycles(("gap_um", "zone_manual", "target_gsm"))
    by_people = [(record.what, record.new) for record in records if record.who == "enid via shell"]
    assert [one for one in by_people if one[0] != What.REFUSED] == [
        ("command", "enid via shell"),
        ("mode", f"zones held by hand: [{ZONE}]"),
        ("setpoint", f'lips held by hand, um: {{"{ZONE}": {target_um}}}'),
        ("setpoint", f"target, g/m2: {target_gsm:.3f}"),
    ]
    assert "vera via shell" in {record.who for record in records if record.what == What.REFUSED}
    assert last["gap_um"][-1, ZONE - 1] == pytest.approx(target_um, abs=0.3)
    assert np.flatnonzero(last["zone_manual"][-1]).tolist() == [ZONE - 1]
    assert last["target_gsm"][0] < last["target_gsm"][-1] <= target_gsm + 1e-6
