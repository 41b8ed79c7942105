"""The report of a run: one file that opens anywhere, says what happened, and colours only what is beyond tolerance."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controller.line.command import Cause, Limit, Mode, Outcome, Rung
from evencoat.journal import CycleJournal
from evencoat.report import ReportError, build_report, overview_png
from evencoat.report.figures import batches, bound_by, guest, limits_over_time, lips, tolerance_colours
from evencoat.report.run import load_run
from evencoat.report.words import COLUMNS, batches_told, best, guest_note, headline, number, sentences
from evencoat.settings import load_line
from tests.evencoat.test_journal import make_trace

LINE = load_line("pilot-16")  # 90 g/m2, +-2 %, 480 mm
LANES = 64
ROWS = 600

METRICS: dict[str, dict[str, Any]] = {
    "open": {
        "sigma_total_pct": 3.1,
        "sigma_cd_pct": 2.9,
        "out_of_tolerance_m": 30.0,
        "cpk": 0.2,
        "limit_violations": 0,
    },
    "imc": {
        "sigma_total_pct": 0.42,
        "sigma_cd_pct": 0.3,
        "out_of_tolerance_m": 4.0,
        "startup_scrap_m": 4.0,
        "batch_scrap_m": None,
        "out_of_spec_ppm": 120.0,
        "cpk": 1.4,
        "coated_m": 30.0,
        "limit_violations": 0,
        "commands": 1200,
    },
}


def truth(deviation_pct: float, decay: float = 0.0, stop: slice = slice(0, 0)) -> dict[str, Any]:
    """A web with a sine across it that decays along it; the web stands still in `stop`."""
    wave = np.sin(np.linspace(0, 2 * np.pi, LANES))
    amplitude = deviation_pct * np.exp(-decay * np.arange(ROWS) / ROWS)
    ds_m = np.full(ROWS, 0.05)
    ds_m[stop] = 0.0
    density = 90.0 * (1.0 + 0.01 * amplitude[:, None] * wave)
    return {
        "t_s": 0.1 * np.arange(1, ROWS + 1),
        "web_m": np.cumsum(ds_m),
        "ds_m": ds_m,
        "areal_density_gsm": density.astype(np.float32),
    }


def write_journal(folder: Path, cycles: int = 200) -> None:
    zone = np.arange(16)
    with CycleJournal(folder / "journal.sqlite", LINE.line, LINE.text) as journal:
        journal.event("start", "daemon started <b>here</b>")
        for cycle in range(cycles):
            limited = 20 <= cycle < 60
            journal.record(
                make_trace(
                    cycle,
                    mode_actual=Mode.HOLD if cycle < 10 else Mode.AUTO,
                    outcome=Outcome.START_UP if cycle < 10 else Outcome.OK,
                    limits=(Limit.RATE, Limit.PUMP_RATE) if limited else (),
                    gap_um=500.0 + 20.0 * np.sin(zone / 3) * min(1.0, cycle / 100),
                    zone_not_following=zone == 5,
                    zone_manual=zone < 0,
                    target_gsm=float(LINE.line.target_profile_gsm.mean()),
                ),
                step_us=100.0,
                lateness_us=3.0,
            )


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Two controllers as a demo leaves them: a rival without, the main one with a journal."""
    for name, arrays in (("open", truth(5.0)), ("imc", truth(5.0, decay=6.0))):
        (tmp_path / name).mkdir()
        np.savez_compressed(tmp_path / name / "truth.npz", **arrays)
    write_journal(tmp_path / "imc")
    write_summary(tmp_path, METRICS)
    return tmp_path


def write_summary(folder: Path, controllers: dict[str, Any], **more: Any) -> None:
    summary = {"line": "pilot-16", "scenario": "first-shift", "seed": 7, "minutes": 1.0, "controllers": controllers}
    (folder / "summary.json").write_text(json.dumps({**summary, **more}))


class Page(HTMLParser):
    """Tags, attributes and text of a page, and whether every tag was closed in order."""

    VOID = ("meta", "img", "br", "!doctype")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_and_asks_the_network_for_nothing(run_dir: Path) -> None:
    path = build_report(run_dir)
    assert path == run_dir / "report.html"
    text = path.read_text()
    page = Page(text)
    sources = [value for _, key, value in page.attributes if key in ("src", "href")]
    assert len(sources) == 6  # maps, profiles, trends, distribution, lips, one timeline
    for source in sources:
        png = base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True)
        assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert "url(" not in text
    assert not re.search(r"https?://", text)
    assert [file.name for file in run_dir.iterdir() if file.name.startswith(".")] == []


def test_the_page_says_what_happened(run_dir: Path) -> None:
    text = Page(build_report(run_dir).read_text()).text
    assert "Under imc the coating stood at 0.42 % sigma, against 3.10 % with the lips left as first set." in text
    assert "4 of 30 m left the tolerance of ±2 %, 4 m of them while starting up (open loop: 30 m)." in text
    assert "No limit of the lips or the pump was broken on the wire in 1,200 commands." in text
    assert "first-shift · seed 7 · 1.0 min" in text
    assert "daemon started <b>here</b>" in text  # escaped in the page, so the parser gives the text back
    assert "zone_pitch_mm = 30.0" in text  # the line file


def test_bolts_left_alone_are_named_with_their_time(run_dir: Path) -> None:
    run = load_run(run_dir)
    assert "bolt 6 since minute 0.0" in " ".join(sentences(run))
    assert run.main.journal is not None
    alone = run.main.journal["zone_not_following"].copy()
    alone[:120] = False
    alone[50:60, 5] = True
    alone[150:, 11] = True
    run.main.journal["zone_not_following"] = alone
    minutes = run.main.journal["t_line_ns"] / 60e9
    said = " ".join(sentences(run))
    assert f"bolt 6 since minute {minutes[120]:.1f}, bolt 12 since minute {minutes[150]:.1f}." in said
    run.main.journal["zone_not_following"] = np.zeros_like(alone)
    assert "Left alone" not in " ".join(sentences(run))


def test_rungs_below_the_top_are_said_with_time_and_reason(run_dir: Path) -> None:
    run = load_run(run_dir)
    assert "ladder" not in " ".join(sentences(run))
    journal = run.main.journal
    assert journal is not None
    minutes = journal["t_line_ns"] / 60e9
    journal["rung"] = np.array([Rung.OWN] * 100 + [Rung.SLOWED] * 20 + [Rung.PI] * 40 + [Rung.OWN] * 40, dtype=np.str_)
    causes = [Cause.NONE] * 100 + [Cause.LATE] * 20 + [Cause.WORSE_CD] * 40 + [Cause.NONE] * 40
    journal["rung_cause"] = np.array(causes, dtype=np.str_)
    said = " ".join(sentences(run))
    assert f"for 30.0 % of the run, lowest at “modal PI” from minute {minutes[120]:.1f} on" in said
    assert f"because {Cause.WORSE_CD}; at the end it was back at the top." in said
    journal["rung_cause"][160:] = str(Cause.WORSE_CD)
    assert "at the end it stood at “own law”" in " ".join(sentences(run))


def test_changes_of_rung_stand_in_the_table_of_events(run_dir: Path) -> None:
    with CycleJournal(run_dir / "imc" / "journal.sqlite", LINE.line, LINE.text) as journal:
        journal.record(make_trace(200, rung=Rung.PUMP, rung_cause=Cause.WORSE_CD), 100.0, 3.0)
    text = Page(build_report(run_dir).read_text()).text
    assert f"rung: {Rung.PUMP}" in text
    assert text.count(Cause.WORSE_CD) == 2  # in the table and in a sentence


def test_violations_are_said_and_stand_out(run_dir: Path) -> None:
    broken = {**METRICS["imc"], "limit_violations": 3, "first_violation": "gap rate, 1.2 s of line time"}
    write_summary(run_dir, {**METRICS, "imc": broken})
    page = build_report(run_dir).read_text()
    assert "3 commands on the wire broke a limit in 1,200 commands. First: gap rate, 1.2 s of line time." in page
    assert '<td class="alarm">3</td>' in page


def test_names_from_a_file_are_text_and_never_markup(run_dir: Path) -> None:
    write_summary(run_dir, METRICS, scenario="<script>alert(1)</script>")
    page = build_report(run_dir).read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("names", [["imc"], ["open"], ["imc", "open", "third", "fourth", "fifth"]])
def test_any_number_of_controllers_of_any_name(run_dir: Path, names: list[str]) -> None:
    for name in names:
        (run_dir / name).mkdir(exist_ok=True)
        np.savez(run_dir / name / "truth.npz", **truth(1.0))
    write_summary(run_dir, {name: METRICS.get(name, {"sigma_total_pct": 1.0}) for name in names})
    page = Page(build_report(run_dir).read_text())
    assert all(name in page.text for name in names if name in ("third", "fourth"))
    assert overview_png(run_dir, run_dir / "overview.png").read_bytes().startswith(b"\x89PNG")


def test_no_journal_at_all_leaves_out_what_only_journals_tell(run_dir: Path) -> None:
    (run_dir / "imc" / "journal.sqlite").unlink()
    page = build_report(run_dir).read_text()
    assert "Lips" not in Page(page).text
    assert page.count("<img") == 4


def test_a_broken_journal_is_a_note_and_not_the_end(run_dir: Path) -> None:
    (run_dir / "imc" / "journal.sqlite").write_bytes(b"no database" * 500)
    assert "Could not be read: imc:" in build_report(run_dir).read_text()


def test_a_run_too_short_to_judge_is_still_drawn(run_dir: Path) -> None:
    np.savez(run_dir / "open" / "truth.npz", **{key: value[:1] for key, value in truth(1.0).items()})
    write_summary(run_dir, {"open": {}})
    assert "pilot-16 ran under open." in build_report(run_dir).read_text()


@pytest.mark.parametrize("damage", ["no summary", "no controllers", "no truth", "short truth", "unknown line"])
def test_a_folder_that_is_no_run_is_refused_in_words(run_dir: Path, damage: str) -> None:
    if damage == "no summary":
        (run_dir / "summary.json").unlink()
    elif damage == "no controllers":
        write_summary(run_dir, {})
    elif damage == "no truth":
        (run_dir / "open" / "truth.npz").unlink()
    elif damage == "short truth":
        np.savez(run_dir / "open" / "truth.npz", **{**truth(1.0), "ds_m": np.ones(3)})
    else:
        (run_dir / "imc" / "journal.sqlite").unlink()
        write_summary(run_dir, METRICS, line="no-such-line")
    with pytest.raises(ReportError, match=r"summary\.json|truth\.npz|no-such-line"):
        build_report(run_dir)
    assert not (run_dir / "report.html").exists()


def test_a_roll_map_keeps_the_mean_of_the_web(run_dir: Path) -> None:
    run = load_run(run_dir).controllers[1]
    values, start, end = run.roll_map(columns=100)
    assert values.shape == (LANES, 100)
    assert (start, end) == (pytest.approx(0.05), pytest.approx(30.0))
    np.testing.assert_allclose(values[:, 0], run.deviation_pct[:6].mean(axis=0), atol=1e-3)
    assert np.average(values, axis=None) == pytest.approx(float(run.deviation_pct.mean()), abs=1e-6)


def test_web_that_stood_still_weighs_nothing(run_dir: Path) -> None:
    """A minute of standing web coats nothing: maps, profiles and trends must not show it."""
    arrays = truth(1.0, stop=slice(300, 500))
    arrays["areal_density_gsm"][300:500] = 900.0  # whatever a simulation says of a web that stands
    np.savez(run_dir / "open" / "truth.npz", **arrays)
    run = load_run(run_dir).controllers[0]
    values, _, _ = run.roll_map()
    assert np.nanmax(np.abs(values)) < 1.1
    assert np.abs(run.profile_pct()).max() < 1.1


def test_first_and_last_profile_are_of_thirty_metres(run_dir: Path) -> None:
    arrays = {key: np.concatenate([value] * 4) for key, value in truth(5.0).items()}  # 120 m
    arrays["areal_density_gsm"][:ROWS] = 91.8  # the first 30 m: +2 %
    arrays["areal_density_gsm"][-ROWS:] = 88.2  # the last 30 m: -2 %
    arrays["web_m"] = np.cumsum(arrays["ds_m"])
    np.savez(run_dir / "open" / "truth.npz", **arrays)
    run = load_run(run_dir).controllers[0]
    np.testing.assert_allclose(run.profile_pct(first=True), 2.0, atol=0.02)
    np.testing.assert_allclose(run.profile_pct(), -2.0, atol=0.02)


def test_colour_is_for_what_is_beyond_tolerance() -> None:
    colours, norm = tolerance_colours(1.5)

    def tint(deviation_pct: float) -> tuple[float, float, float]:
        red, green, blue, _ = colours(norm(deviation_pct))
        return red, green, blue

    for inside in (-1.49, -0.7, 0.0, 0.7, 1.49):
        assert max(tint(inside)) - min(tint(inside)) < 0.03, "grey"
    for beyond in (1.52, 3.0, 9.0):
        assert tint(beyond)[0] - tint(beyond)[2] > 0.2, "brown where too thick"
        assert tint(-beyond)[2] - tint(-beyond)[0] > 0.15, "blue where too thin"


def test_the_main_controller_is_the_one_on_the_bus_else_the_best(run_dir: Path) -> None:
    assert load_run(run_dir).main.name == "imc"
    write_summary(run_dir, METRICS, over_the_bus="open")
    assert load_run(run_dir).main.name == "open"


def test_figures_as_printed() -> None:
    assert [number(v, 1) for v in (1234.56, 0, None, float("nan"), True, "x")] == ["1,234.6", "0.0", *["–"] * 4]


def test_the_best_of_a_column_is_named_and_equal_figures_rank_nobody(run_dir: Path) -> None:
    run = load_run(run_dir)
    by_key = {column.key: best(run, column) for column in COLUMNS}
    assert by_key["sigma_total_pct"] == "imc"
    assert by_key["cpk"] == "imc"  # higher is better
    assert by_key["limit_violations"] is None  # both none
    assert by_key["batch_scrap_m"] is None  # nobody has one


def test_words_for_a_single_controller_make_no_comparison(run_dir: Path) -> None:
    write_summary(run_dir, {"imc": METRICS["imc"]})
    run = load_run(run_dir)
    assert headline(run) == "Under imc the coating stood at 0.42 % sigma."
    assert sentences(run)[0] == "4 of 30 m left the tolerance of ±2 %, 4 m of them while starting up."


def test_the_settings_of_the_report_are_those_of_the_run(run_dir: Path) -> None:
    """The journal keeps the line file; a shipped file that changed since must not colour an old run."""
    text = LINE.text.replace("tolerance_pct = 2.0", "tolerance_pct = 3.5")
    (run_dir / "imc" / "journal.sqlite").unlink()
    with CycleJournal(run_dir / "imc" / "journal.sqlite", LINE.line, text) as journal:
        journal.record(make_trace(1), 1.0, 0.0)
    assert load_run(run_dir).tolerance_pct == 3.5


def test_a_limit_is_not_taken_for_another_whose_name_contains_its_own() -> None:
    limits = np.array(["", "rate", "pump rate", "bend; rate", "pump rate; range"])
    assert bound_by(limits, "rate").tolist() == [False, True, False, True, False]
    assert bound_by(limits, "pump rate").tolist() == [False, False, True, False, True]


def test_pictures_of_a_journal_are_drawn_only_where_there_is_one(run_dir: Path) -> None:
    run = load_run(run_dir)
    assert limits_over_time(run.controllers[0]) is None
    assert (limits_over_time(run.controllers[1]) or b"").startswith(b"\x89PNG")
    assert (lips(run) or b"").startswith(b"\x89PNG")


def test_a_network_s_part_is_drawn_and_told_and_a_run_without_one_says_nothing_of_it(run_dir: Path) -> None:
    assert "<h2>The network</h2>" not in build_report(run_dir).read_text()
    assert guest_note(load_run(run_dir).main) == ""
    with CycleJournal(run_dir / "imc" / "journal.sqlite", LINE.line, LINE.text) as journal:
        journal.record(make_trace(200, guest_authority=0.5), 100.0, 3.0)
    assert "had nothing to add" in build_report(run_dir).read_text()
    with CycleJournal(run_dir / "imc" / "journal.sqlite", LINE.line, LINE.text) as journal:
        for cycle in range(201, 220):
            journal.record(make_trace(cycle, guest_pct=0.2, guest_whole_pct=0.25, guest_authority=0.8), 100.0, 3.0)
    own = load_run(run_dir).main
    assert "never more than 0.20 %" in guest_note(own)
    assert "ended at 0.80" in guest_note(own)
    assert (guest(own) or b"")[:4] == b"\x89PNG"
    assert batches(own) is None and batches_told(own) == []
    assert "<h2>The network</h2>" in build_report(run_dir).read_text()


def test_what_a_batch_was_expected_to_bring_is_told_beside_what_was_taken_away_and_what_came(run_dir: Path) -> None:
    """The batch's step stays what was foretold until the dry gauge has its say; by then 0.6 % was answered."""
    with CycleJournal(run_dir / "imc" / "journal.sqlite", LINE.line, LINE.text) as journal:
        journal.record(make_trace(200, batch=4, guest_authority=0.5), 100.0, 3.0)
        steps, sds, answered = (-1.2, -1.2, -1.2, -0.9, -0.7), (0.8, 0.8, 0.8, 0.4, 0.2), (0.0, -0.3, -0.6, -0.5, -0.7)
        for k, (step, sd, here) in enumerate(zip(steps, sds, answered, strict=True)):
            of_batch = {"batch_foretold_pct": -1.2, "batch_foretold_sd_pct": 0.8, "batch_step_pct": step}
            of_batch |= {"batch_step_sd_pct": sd, "batch_answered_pct": here, "guest_authority": 0.5}
            journal.record(make_trace(600 + k, batch=5, **of_batch), 100.0, 3.0)
    own = load_run(run_dir).main
    (told,) = batches_told(own)
    assert (told.batch, told.announced_min) == (5, 1.0)
    assert told.words == (
        "Batch 5, announced in minute 1.0: expected to bring -1.20 % (give or take 0.80); +0.60 % was answered before "
        "the dry gauge had seen any of it; in the end it brought -0.70 % (give or take 0.20)."
    )
    assert (batches(own) or b"")[:4] == b"\x89PNG"
    assert told.words in build_report(run_dir).read_text()
