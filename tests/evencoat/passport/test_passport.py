"""The passport as it is handed on: record and schema, page, map, seal; and that no changed byte goes unseen."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from typer.testing import CliRunner

from evencoat import cli
from evencoat.journal import JournalReader
from evencoat.passport import Made, Passport, PassportError, rolls_of, schema, signing
from tests.evencoat.passport.conftest import Story

run = CliRunner().invoke


def said(*call: str | Path, exit_code: int = 0) -> str:
    result = run(cli.app, ["roll", *map(str, call)])
    assert result.exit_code == exit_code, result.output
    return result.stdout if exit_code in (0, 3) else result.stderr


@pytest.fixture(scope="module")
def sealed(roll: Callable[[Story], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed passport, with its key beside it."""
    home = tmp_path_factory.mktemp("sealed")
    said("new-key", home / "key.pem")
    said("export", roll(Story()), "--roll", "1", "--out", home / "passport", "--key", home / "key.pem",
         "--name", "R <1>", "--material-lot", "L-7")  # fmt: skip
    (home / "public.pem").write_text(said("public-key", home / "key.pem"))
    return home / "passport"


def test_a_passport_holds_record_page_and_map_and_verifies(sealed: Path) -> None:
    told = json.loads(said("verify", sealed, "--key", sealed.parent / "public.pem", "--json"))
    assert told["ok"] and told["files"] == 4 and told["about"]["name"] == "R <1>"
    record = Passport.model_validate_json((sealed / "passport.json").read_text())
    assert record.identity.material_lot == "L-7" and record.figures.coated_m == 260.0
    assert record.interventions_by == {"person": 1, "automation": 1, "evencoat": 0}
    assert record.run.audit_whole and record.run.audit_head_seq >= 2
    table = parquet.read_table(sealed / "map.parquet")
    assert table.num_rows == 260 and len(table["areal_density_gsm"][100].as_py()) == 16
    marked = sum(sum(row) for row in table["scrap"].to_pylist())
    assert marked == sum(one.to_m - one.from_m for one in record.scrap)
    page = (sealed / "passport.html").read_text()
    assert "R &lt;1&gt;" in page and "R <1>" not in page and page.count("data:image/png") == 2 and "http" not in page


def test_the_published_schema_is_the_records(sealed: Path) -> None:
    published = json.loads((Path(__file__).parents[3] / "docs" / "passport.schema.json").read_text())
    assert published == schema() == json.loads(said("schema"))
    assert set(json.loads((sealed / "passport.json").read_text())) == set(published["required"]) | {"format"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_byte_of_any_file_changed_is_found(sealed: Path, tmp_path: Path, data: Any) -> None:
    name = data.draw(st.sampled_from(sorted(path.name for path in sealed.iterdir())))
    content = bytearray((sealed / name).read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(sealed, copy)
    (copy / name).write_bytes(content)
    verdict = signing.verify(copy)
    assert not verdict.ok and verdict.wrong
    if name not in (signing.MANIFEST, signing.SIGNATURE):
        assert verdict.file == name


@pytest.mark.parametrize("name", [signing.MANIFEST, signing.SIGNATURE, signing.PUBLIC_KEY])
def test_every_byte_of_the_seal_counts(sealed: Path, tmp_path: Path, name: str) -> None:
    copy = Path(shutil.copytree(sealed, tmp_path / "copy"))
    content = (sealed / name).read_bytes()
    for at in range(len(content)):
        flip = (0x20, 0x01)[at % 2]  # another case, another digit
        (copy / name).write_bytes(content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :])
        assert not signing.verify(copy).ok, (name, at, flip)


@pytest.mark.parametrize(
    ("spoil", "file"),
    [
        (lambda folder: (folder / "map.parquet").unlink(), "map.parquet"),
        (lambda folder: (folder / "extra.txt").write_text("hello"), "extra.txt"),
        (lambda folder: (folder / "manifest.sig").unlink(), "manifest.sig"),
        (lambda folder: (folder / "public.pem").unlink(), "public.pem"),
        (lambda folder: (folder / "passport.json").write_text("{}"), "passport.json"),
    ],
)
def test_what_is_missing_or_too_much_is_named(
    sealed: Path, tmp_path: Path, spoil: Callable[[Path], Any], file: str
) -> None:
    copy = Path(shutil.copytree(sealed, tmp_path / "copy"))
    spoil(copy)
    told = json.loads(said("verify", copy, "--json", exit_code=3))
    assert (told["ok"], told["file"]) == (False, file) and told["wrong"].startswith(file)


def test_sealed_anew_by_another_key_it_holds_but_not_for_who_trusts_the_first(sealed: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(sealed, tmp_path / "copy"))
    for name in (signing.MANIFEST, signing.SIGNATURE, signing.PUBLIC_KEY):
        (copy / name).unlink()
    signing.new_key(tmp_path / "other.pem")
    signing.seal(copy, {}, signing.read_key(tmp_path / "other.pem"))
    assert "compare it" in said("verify", copy)
    assert "is not the key you trust" in said("verify", copy, "--key", sealed.parent / "public.pem", exit_code=3)


def test_without_a_key_it_is_plainly_unsigned(roll: Callable[[Story], Path], tmp_path: Path) -> None:
    told = said("export", roll(Story()), "--roll", "1", "--out", tmp_path / "passport")
    assert "NOT SIGNED" in told and "NOT SIGNED" in (tmp_path / "passport" / "passport.html").read_text()
    assert "NOT SIGNED" in said("verify", tmp_path / "passport", exit_code=3)
    assert "is there already" in said("export", roll(Story()), "--out", tmp_path / "passport", exit_code=2)
    assert "holds no manifest.json" in said("verify", tmp_path, exit_code=2)


def test_a_key_that_others_may_read_signs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    signing.new_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    with pytest.raises(PassportError, match=f"chmod 600 {path}"):
        signing.read_key(path)
    (tmp_path / "link.pem").symlink_to(path)
    with pytest.raises(PassportError, match="no link"):
        signing.read_key(tmp_path / "link.pem")
    with pytest.raises(PassportError, match="is there already"):
        signing.new_key(path)
    path.chmod(0o600)
    path.write_text("-----BEGIN PRIVATE KEY-----\nsecret\n")
    with pytest.raises(PassportError) as refused:
        signing.read_key(path)
    assert "secret" not in str(refused.value)


def test_each_roll_has_its_own_and_the_next_ones_cycles_tell_of_its_end(
    roll: Callable[[Story], Path], made: Callable[..., Made]
) -> None:
    story = Story(rolls=(7, 8))
    with JournalReader(roll(story)) as reader:
        assert [one.roll for one in rolls_of(reader)] == [99, 8, 7]
    first, second = made(story, 7), made(story, 8)
    assert first.web.metres + second.web.metres == pytest.approx(260, abs=2)
    assert first.web.dry is not None and (first.web.dry.count[5:] > 0.0).all()  # seen while roll 8 was coated
    assert first.record.uncertainty.seen_dry > 0.95
    rows = json.loads(said("list", roll(story), "--json"))["rolls"]
    assert [row["roll"] for row in rows] == [99, 8, 7]
    assert "roll: no 5" in said("show", roll(story), "--roll", "5", exit_code=2)
    told = said("show", roll(story), "--roll", "8")
    assert "to cut out" in told and "by automation" in told
