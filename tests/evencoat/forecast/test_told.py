"""Forecasts from a journal: what page and command line tell, and that a question costs no more than a bounded part."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from evencoat.cli import app
from evencoat.forecast import service
from evencoat.forecast.core import HORIZONS_S
from evencoat.forecast.service import ForecastError, ForecastService
from evencoat.hmi import server
from evencoat.hmi.source import Source
from evencoat.journal import CycleJournal
from evencoat.league.rivals import Rival
from evencoat.settings import load_line
from evencoat.simulate import Plan, SimulatedLine
from tests.runs import story

MINUTES = 4.0
SETTINGS = load_line("pilot-16")


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four minutes of a pilot line with a slip of the pump."""
    path = tmp_path_factory.mktemp("forecast") / "journal.sqlite"
    kept = CycleJournal(path, SETTINGS.line, SETTINGS.text, patient=True)
    slip: dict[str, object] = {"name": "pump-slip-step", "onset_s": 120.0, "size": 1.0}
    SimulatedLine(Plan(SETTINGS, story(slip), Rival.IMC, MINUTES, 1), kept).play(MINUTES)
    kept.close()
    return path


@pytest.fixture
def page(journal: Path) -> Iterator[TestClient]:
    with TestClient(server.application(Source(journal), ["testserver"])) as client:
        yield client


def test_the_page_reads_forecasts_of_the_end_of_a_run(page: TestClient) -> None:
    told = page.get("/forecast.json").json()
    assert told["known"]
    assert [one["horizon_s"] for one in told["horizons"]] == list(HORIZONS_S)
    one = told["horizons"][1]
    assert len(one["expected_pct"]) == len(one["zone_out"]) == SETTINGS.line.zones
    assert np.shape(one["half_pct"]) == (3, SETTINGS.line.zones)
    assert 0.0 <= told["soon"] <= 1.0
    kept = {one["horizon_s"]: one for one in told["kept"]}
    assert kept[15.0]["scans"] > 50
    assert kept[15.0]["zones_inside"][2] > 0.85


def test_the_page_asks_what_if_and_is_told_bounds(page: TestClient) -> None:
    told = page.get("/what-if.json?target=91&speed=24&solids=0.3").json()
    assert told["asked"] == {"target_gsm": 91.0, "speed_m_per_min": 24.0, "solids_pct": 0.3}
    assert told["web"]["metre_out"] >= 0.0
    refused = page.get("/what-if.json?speed=900")
    assert refused.status_code == 400
    assert "speed = 900: must lie between" in refused.json()["error"]
    assert page.get("/what-if.json?target=much").status_code == 400


def test_a_long_run_is_read_in_parts(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "ROWS_MOST", 1000)
    line = ForecastService(journal, SETTINGS.line)
    first = line.told()
    assert not first["known"]
    assert "cycles to go" in first["why"]
    assert line.told()["known"]


def test_a_present_that_goes_back_begins_anew(journal: Path) -> None:
    at = [2400]
    line = ForecastService(journal, SETTINGS.line, lambda _: at[0])
    late = line.told()["web_m"]
    at[0] = 1200
    assert line.told()["web_m"] < late


def test_a_journal_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(ForecastError, match="no such journal"):
        ForecastService(tmp_path / "journal.sqlite", SETTINGS.line).told()


def test_the_command_foresees_and_says_how_good_it_was(journal: Path) -> None:
    ran = CliRunner().invoke(app, ["forecast", str(journal), "--json"])
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert told["known"] and told["kept"]
    words = CliRunner().invoke(app, ["forecast", str(journal)])
    assert words.exit_code == 0
    assert "any metre out in the next 120 s" in words.output


def test_the_command_asks_what_if_of_a_line_and_of_a_run_of_it(journal: Path) -> None:
    ran = CliRunner().invoke(app, ["what-if", "pilot-16", "--speed", "20", "--json"])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["oven"]["dry_delay_s"] == pytest.approx(96.0)
    words = CliRunner().invoke(app, ["what-if", "pilot-16", "--target", "91", "--run", str(journal)])
    assert words.exit_code == 0, words.output
    assert "assumes:" in words.output
    wrong = CliRunner().invoke(app, ["what-if", "line-40", "--run", str(journal)])
    assert wrong.exit_code == 2
    assert "pilot-16, not of line-40" in wrong.output.replace("\n", " ")
    assert CliRunner().invoke(app, ["what-if", "pilot-16", "--speed", "900"]).exit_code == 2
