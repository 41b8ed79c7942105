"""What documents say of commands and files is so: both READMEs have every command, and every link leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from evencoat.cli import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]+)(?:#[^)]*)?\)")
ROW = re.compile(r"^\| (`evencoat .*?`) \|", re.MULTILINE)


def rows(name: str) -> list[str]:
    return ROW.findall((ROOT / name).read_text(encoding="utf-8"))


def test_both_readmes_have_the_same_commands_in_the_same_order() -> None:
    assert len(rows("README.md")) > 30
    assert rows("README.zh.md") == rows("README.md")


def test_every_command_stands_in_the_readme() -> None:
    told = set(re.findall(r"(?:(?<=evencoat )|(?<=`))[a-z-]+", (ROOT / "README.md").read_text(encoding="utf-8")))
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert known and known <= told, sorted(known - told)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    missing = [
        link for link in LINK.findall(document.read_text(encoding="utf-8")) if not (document.parent / link).exists()
    ]
    assert not missing
