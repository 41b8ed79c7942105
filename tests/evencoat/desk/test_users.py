"""The users file: its owner's alone, without anybody in it until somebody is added, and never with a password in it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evencoat.cli import app
from evencoat.desk import users as file
from evencoat.desk.users import Role, Users, UsersError

PASSWORD = "quite a long password"


def test_nobody_is_there_until_somebody_is_added_and_roles_and_passwords_can_be_changed(tmp_path: Path) -> None:
    path = tmp_path / "new" / "users.json"
    known = Users(path)
    assert known.all() == {} and known.check("admin", "admin") is None and known.check("admin", "") is None
    file.add(path, "mara", Role.OPERATOR, PASSWORD)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert PASSWORD not in path.read_text() and "$argon2id$" in path.read_text()
    found = known.check("mara", PASSWORD)
    assert found is not None and found.role is Role.OPERATOR, "what was read before is read again"
    assert known.check("mara", PASSWORD + " ") is None
    file.set_role(path, "mara", Role.ADMIN)
    assert known.role("mara") is Role.ADMIN
    file.set_password(path, "mara", "e\u0301 another long one")
    assert known.check("mara", PASSWORD) is None
    assert known.check("mara", "\u00e9 another long one") is not None, "typed on another keyboard"
    file.remove(path, "mara")
    assert known.role("mara") is None


def test_an_unknown_name_costs_the_same_work_as_a_known_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, verified = tmp_path / "users.json", []
    file.add(path, "mara", Role.VIEWER, PASSWORD)
    hasher, nobodys = file._hasher(), file._nobodys_hash()
    assert (
        nobodys.rpartition("$")[0].rpartition("$")[0]
        == Users(path).all()["mara"].hash.rpartition("$")[0].rpartition("$")[0]
    )

    class Counting:
        def verify(self, known: str, given: str) -> bool:
            verified.append(known)
            return hasher.verify(known, given)

    monkeypatch.setattr(file, "_hasher", Counting)
    Users(path).check("mara", "wrong password")
    Users(path).check("zoe", "wrong password")
    assert len(verified) == 2 and verified[1] == nobodys


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_may_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "users.json"
    path.write_text('{"evencoat_users": 1, "users": {}}')
    path.chmod(0o600)
    known = Users(path)
    assert known.all() == {}
    path.chmod(mode)
    with pytest.raises(UsersError, match=f"{mode:04o}"):
        known.all()


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"evencoat_users": 2, "users": {}}', '{"evencoat_users": 1, "users": []}', "[" * 50_000]
    + [
        json.dumps({"evencoat_users": 1, "users": {name: {"role": role, "argon2": hashed, "changed": ""}}})
        for name, role, hashed in [("../x", "admin", "h"), ("mara", "root", "h"), ("mara", "admin", 3)]
    ],
)
def test_a_file_that_is_none_is_refused_and_its_text_is_not_shown(tmp_path: Path, content: str) -> None:
    path = tmp_path / "users.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(UsersError, match="is no users file of evencoat"):
        Users(path).all()


def test_a_link_and_a_folder_are_refused(tmp_path: Path) -> None:
    real = tmp_path / "real.json"
    file.add(real, "mara", Role.ADMIN, PASSWORD)
    (tmp_path / "link.json").symlink_to(real)
    os.mkfifo(tmp_path / "pipe.json", 0o600)
    for path in (tmp_path / "link.json", tmp_path, tmp_path / "pipe.json"):
        with pytest.raises(UsersError, match="users file"):
            Users(path).all()


@pytest.mark.parametrize("name", ["", "Mara", "1a", "a b", "a/b", "a" * 33, "ü", "a\n"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsersError, match="beginning with a letter"):
        file.add(tmp_path / "users.json", name, Role.VIEWER, PASSWORD)


@pytest.mark.parametrize("password", ["", "eleven char", "x" * 257])
def test_a_password_that_is_too_short_or_too_long_is_refused_without_being_shown(tmp_path: Path, password: str) -> None:
    with pytest.raises(UsersError, match=f"has {len(password)} characters; must have 12 to 256"):
        file.add(tmp_path / "users.json", "mara", Role.VIEWER, password)
    assert not (tmp_path / "users.json").exists()


def test_scripts_add_list_change_and_remove_users(tmp_path: Path) -> None:
    where = ["--users", str(tmp_path / "users.json"), "--json"]

    def call(*arguments: str, typed: str = "") -> tuple[int, str]:
        done = CliRunner().invoke(app, ["user", *arguments, *where], input=typed)
        return done.exit_code, done.stdout

    assert json.loads(call("add", "mara", "--role", "operator", typed=PASSWORD + "\n")[1])["role"] == "operator"
    assert call("add", "mara", "--role", "admin", typed=PASSWORD + "\n")[0] == 2, "not over one who is there"
    assert call("add", "zoe", "--role", "admin", typed="")[0] == 2
    assert call("add", "zoe", "--role", "root", typed=PASSWORD + "\n")[0] == 2
    assert call("role", "mara", "--role", "engineer")[0] == 0
    assert call("password", "mara", typed="another long one\r\n")[0] == 0
    assert Users(tmp_path / "users.json").check("mara", "another long one") is not None
    (told,) = json.loads(call("list")[1])["users"]
    assert (told["name"], told["role"]) == ("mara", "engineer") and set(told) == {"name", "role", "changed"}
    assert call("remove", "mara")[0] == 0 and call("remove", "mara")[0] == 2
    assert json.loads(call("list")[1])["users"] == []
