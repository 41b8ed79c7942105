"""The command line as a user meets it: words, JSON, exit codes, and errors that say what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evencoat import __version__
from evencoat.cli import app
from evencoat.processes import wait_for
from evencoat.terminal import ANSWER_IS_NO, WRONG_CALL

run = CliRunner().invoke

SIM_KEYS = {
    "sigma_total_pct", "sigma_cd_pct", "sigma_md_pct", "out_of_spec_ppm", "out_of_tolerance_m", "cpk",
    "startup_scrap_m", "batch_scrap_m", "bolt_travel_um", "limit_violations", "cycles", "wall_s", "realtime_factor",
    "seed", "controller", "line",
}  # fmt: skip


def test_sim_prints_one_json_object_with_every_figure() -> None:
    result = run(app, ["sim", "lines/pilot-16.toml", "--minutes", "1", "--seed", "7", "--controller", "pid", "--json"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert figures.keys() >= SIM_KEYS
    assert (figures["seed"], figures["controller"], figures["line"]) == (7, "pid", "pilot-16")
    assert figures["limit_violations"] == 0 and figures["cycles"] == 600


def test_the_same_seed_gives_the_same_figures() -> None:
    call = ["sim", "pilot-16", "--minutes", "1", "--seed", "3", "--json"]
    timing = {"wall_s", "realtime_factor"}
    first, second = (json.loads(run(app, call).stdout) for _ in range(2))
    assert {k: v for k, v in first.items() if k not in timing} == {k: v for k, v in second.items() if k not in timing}


def test_sim_keeps_journal_and_truth_where_it_is_told(tmp_path: Path) -> None:
    assert run(app, ["sim", "pilot-16", "--minutes", "0.5", "--out", str(tmp_path / "kept")]).exit_code == 0
    assert {path.name for path in (tmp_path / "kept").iterdir()} >= {"journal.sqlite", "truth.npz"}


@pytest.mark.parametrize("line", ["pilot-16", "line-40", "wide-120"])
def test_every_shipped_line_may_run(line: str) -> None:
    result = run(app, ["check", line, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["ok"] is True


def test_a_line_that_may_not_run_answers_no(tmp_path: Path) -> None:
    """A bus that is loaded beyond what the line file accepts: the file reads well, the verdict is no."""
    text = Path("lines/line-40.toml").read_text()
    tight = tmp_path / "tight.toml"
    tight.write_text(text.replace("max_load_pct = 50.0", "max_load_pct = 1.0"))
    result = run(app, ["check", str(tight)])
    assert result.exit_code == ANSWER_IS_NO, result.output


def test_a_wrong_key_is_named_with_its_neighbour(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(Path("lines/pilot-16.toml").read_text().replace("zone_pitch_mm", "zone_pich_mm"))
    result = run(app, ["sim", str(wrong)])
    assert result.exit_code == WRONG_CALL
    assert "zone_pich_mm" in result.stderr and "zone_pitch_mm" in result.stderr


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (["sim", "line-41"], "line-40"),
        (["sim", "pilot-16", "--scenario", "first-shft"], "first-shift"),
        (["run", "--line", "pilot-16", "--controller", "hand"], "choose pid, imc, adaptive or neural"),
        (["demo", "--controller", "open"], "choose pid, imc, adaptive or neural"),
    ],
)
def test_a_wrong_call_says_what_would_be_right(call: list[str], words: str) -> None:
    result = run(app, call)
    assert result.exit_code == WRONG_CALL
    assert words in result.stderr


def test_a_bus_that_is_not_there_fails_in_one_line(tmp_path: Path) -> None:
    gone = subprocess.run(
        [sys.executable, "-m", "evencoat", "run", "--line", "pilot-16", "--bus", f"evencoat:{tmp_path / 'no.sock'}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "EVENCOAT_MODELS": str(tmp_path)},
    )
    assert gone.returncode == 1
    assert "Traceback" not in gone.stderr and "no.sock" in gone.stderr
    assert '"chosen": "neural: model ' in gone.stderr  # the law of a line that names none is said before anything moves


def test_scenarios_are_listed_with_what_happens() -> None:
    known = json.loads(run(app, ["scenarios", "--json"]).stdout)
    assert "first-shift" in known and all(known.values())


def test_version() -> None:
    assert run(app, ["--version"]).stdout.strip() == __version__


def test_the_control_process_needs_neither_torch_nor_matplotlib() -> None:
    """What `evencoat run` imports, imported in a fresh interpreter."""
    code = "import sys, evencoat.processes; sys.exit(any(m in sys.modules for m in ('torch', 'matplotlib', 'pandas')))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_a_folder_that_is_no_run_is_refused_in_words(tmp_path: Path) -> None:
    result = run(app, ["report", str(tmp_path)])
    assert result.exit_code == WRONG_CALL and str(tmp_path.name) in result.stderr


def test_a_socket_that_a_hub_serves_already_is_not_taken_over(tmp_path: Path) -> None:
    """The second hub says so and ends; the first one goes on serving."""
    path = tmp_path / "can.sock"
    command = [sys.executable, "-m", "evencoat", "hub", "--socket", str(path)]
    first = subprocess.Popen([*command, "--stop-on-eof"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert wait_for(path, 60.0)
        second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode == 1
        assert "Traceback" not in second.stderr and "can.sock" in second.stderr
        assert first.poll() is None
    finally:
        first.stdin.close()
        assert first.wait(60) == 0


def test_a_journal_that_is_none_is_refused_and_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "notes.sqlite"
    other.write_text("not a journal")
    refused = subprocess.run(
        [sys.executable, "-m", "evencoat", "run", "--line", "pilot-16", "--journal", str(other)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == WRONG_CALL and "notes.sqlite" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert other.read_text() == "not a journal"
