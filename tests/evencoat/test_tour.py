"""The plant tour: one file that opens anywhere, a picture for everything promised, every oracle in its table."""

from __future__ import annotations

import base64
import re
import struct
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from typer.testing import CliRunner

from evencoat import tour
from evencoat.cli import app
from evencoat.settings import load_line
from evencoat.tour_figures import DISTURBANCES, FAULTS, quiet_line
from evencoat.tour_runs import record
from plant_sim import families, oracles
from plant_sim.faults import CATALOGUE, Play

LINE = load_line("pilot-16").line


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page as the command writes it."""
    folder = tmp_path_factory.mktemp("tour") / "new" / "folder"
    result = CliRunner().invoke(app, ["plant-tour", "--out", str(folder)])
    assert result.exit_code == 0, result.output
    path = folder / tour.PAGE_NAME
    assert result.output.strip().endswith(str(path))
    assert [entry.name for entry in folder.iterdir()] == [tour.PAGE_NAME]
    return path.read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Notices tags that are opened and never closed, and everything that would be fetched."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.images: list[bytes] = []
        self.alts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        values = dict(attrs)
        source = values.get("src") or values.get("href") or ""
        if source.startswith("data:image/png;base64,"):
            self.images.append(base64.b64decode(source.split(",", 1)[1]))
            self.alts.append(values.get("alt") or "")
        elif source:
            self.fetched.append(source)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def tags(page: str) -> Tags:
    parser = Tags()
    parser.feed(page)
    return parser


def test_it_is_whole_and_asks_the_network_for_nothing(page: str, tags: Tags) -> None:
    assert tags.open == []
    assert tags.fetched == []
    assert "<script" not in page and "@import" not in page and "url(" not in page


def test_every_picture_is_there_and_can_be_read_by_those_who_do_not_see(tags: Tags) -> None:
    assert len(tags.images) == 8
    assert all(len(alt) > 10 for alt in tags.alts) and len(set(tags.alts)) == 8
    for picture in tags.images:
        assert picture[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", picture[16:24])
        assert width > 1400 and height > 350


def test_every_disturbance_and_fault_of_the_catalogue_is_shown_once() -> None:
    """The batch change has a section of its own, and of a roll's number nothing is to be seen on the web."""
    shown = [name for name, *_ in DISTURBANCES] + [play.name for play, _ in FAULTS] + ["batch-change", "roll-change"]
    assert sorted(shown) == sorted(CATALOGUE)


def test_the_table_has_every_oracle_with_its_error(page: str) -> None:
    rows = oracles.table()
    section = page[page.index("<h2>Oracles</h2>") :]
    assert len(re.findall(r"<tr><td>", section)) == len(rows)
    for row in rows:
        assert f">{row.name}<" in section.replace("&#x27;", "'")
    assert f"All {len(rows)} oracles hold" in page
    assert 'class="alarm"' not in section


def test_an_oracle_that_fails_is_said_in_the_headline_and_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    good = oracles.table()[0]
    rows = (good, replace(good, name="broken", computed=good.expected * 1.1))
    assert "1 of 2 oracles hold" in tour._header(rows)
    table = tour._oracle_table(rows)
    assert table.count('class="alarm"') == 1
    assert table.index("broken") < table.index('class="alarm"')


def test_every_family_is_in_its_table(page: str) -> None:
    section = page[page.index("<h2>Families of lines</h2>") : page.index("<h2>Oracles</h2>")]
    assert all(f"<td>{name}</td>" in section for name in families.FAMILIES)


# --- the runs behind the pictures -------------------------------------------------------------------------------------


def test_a_recording_holds_what_was_coated_and_what_was_said() -> None:
    run = record(LINE, quiet_line(LINE), (), 2.0, 0.5)
    assert run.true_pct.shape == (240, 64)
    assert np.abs(run.true_pct.mean(axis=1)[10:]).max() < 0.05
    assert run.wet.pct.shape[1] == 32
    late = run.wet.latest(100.0)
    assert np.isfinite(late).all() and np.abs(late).max() < 4.0
    assert np.isnan(run.wet.latest(0.0)).all()


def test_a_recorded_pump_stops_when_the_encoder_is_lost() -> None:
    run = record(LINE, quiet_line(LINE), (Play("encoder-loss", onset_s=10.0, duration_s=20.0),), 1.0, 0.5)
    assert np.isnan(run.true_at(25.0)).all()
    assert np.isfinite(run.true_at(50.0)).all()


def test_a_silent_gauge_has_no_scan_that_is_fresh() -> None:
    run = record(LINE, quiet_line(LINE), (Play("gauge-silent", onset_s=20.0, duration_s=20.0),), 1.0, 0.5)
    assert np.isnan(run.wet.latest(35.0)).all()
    assert np.isfinite(run.wet.latest(55.0)).all()
