"""Lab samples: what a file may say, and what a map becomes by it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from controller.line.profile import LineState
from evencoat import cli
from evencoat.passport import Assumed, Made, PassportError, Samples, Told, read_samples, signing
from evencoat.passport.export import export
from evencoat.passport.samples import PLACE_PCT, WEIGHED_PCT, WIDTH_MM, Placed, placed, shares_of
from evencoat.passport.standard import Known, breaks, known_by
from evencoat.passport.web import Web, _unlaid
from evencoat.settings import load_line, read_line
from tests.evencoat.passport.conftest import METRES, Story, true_log
from tests.evencoat.passport.test_map import inside, truth_pct

HEAD = "from_start_m,from_end_m,lane,across_mm,areal_density_gsm,sd_gsm\n"
ZONES, WEB_MM = 16, 480.0
OFFSET = 0.006  # of the dry gauge: seven times what is assumed


def written(path: Path, text: str) -> Samples:
    path.write_text(text)
    return read_samples(path)


def discs_of(web_length_m: int, zones: int, seed: int = 4) -> str:
    """A disc of every lane a while after either end, each on a metre of its own, weighed as laboratories do."""
    rng, rows = np.random.default_rng(seed), []
    punch = rng.normal(0.0, 0.0006)
    for k, lane in enumerate(rng.permutation(zones)):
        for column, at_m in (("start", 20.5 + k), ("end", web_length_m - 10.5 - k)):
            shares = shares_of((lane + 0.5) * WEB_MM / zones - 0.5 * WEB_MM, WIDTH_MM, zones, WEB_MM)
            true = 90.0 * math.exp(float(true_log(np.array([at_m]), zones)[0] @ shares))
            gsm = true * (1.0 + punch + rng.normal(0.0, 0.01 * WEIGHED_PCT))
            start, end = (f"{at_m}", "") if column == "start" else ("", f"{web_length_m - at_m}")
            rows.append(f"{start},{end},{lane + 1},,{gsm:.4f},")
    return HEAD + "\n".join(rows) + "\n"


@pytest.fixture
def paper() -> Web:
    """Eight hours of a roll, of which nothing was seen."""
    line = load_line("pilot-16").line
    laid = _unlaid(1440, line.zones)
    laid.target_ratio[:] = 1.0
    laid.t_line_s[:] = np.arange(1440) * 20.0
    return Web(line, 0, 1440, None, None, laid, 1, 2, 3, False)


def known(web: Web, discs: list[Placed], over: list[float], assumed: float = 0.002) -> Known:
    """What is known of a map that reads `over` more than each disc."""
    log = np.zeros((web.metres, web.line.zones))
    for disc, more in zip(discs, over, strict=True):
        log[disc.metre, disc.zone] = disc.log + more
    return known_by(discs, web, log, (np.full(log.shape, 1e-4), np.full(web.metres, 1e-4)), (assumed, 0.0, 0.0))


def a_disc(at_m: float, zone: int, row: int = 2) -> Placed:
    return Placed(row, at_m, int(at_m), zone, 0.0, 90.0, 0.0, 0.0005, np.eye(ZONES)[zone])


def test_a_disc_lies_where_its_row_says(tmp_path: Path, paper: Web) -> None:
    rows = "12.5,,3,,90.9,\n,10,,-239,91.8,0.18\n1440,,16,,90,\n"
    one, other, last = placed(written(tmp_path / "lab.csv", "\ufeff" + HEAD + rows), paper)
    assert (one.row, one.metre, one.zone, one.across_mm) == (2, 12, 2, pytest.approx(-165.0))
    assert (one.log, one.sd) == (pytest.approx(math.log(1.01)), pytest.approx(0.01 * WEIGHED_PCT))
    assert (other.metre, other.zone, other.sd) == (1430, 0, pytest.approx(0.002))
    assert (last.metre, last.zone) == (1439, 15)


def test_a_disc_that_is_wider_than_a_zone_is_of_its_neighbours_too() -> None:
    assert shares_of(-225.0, 29.9, ZONES, WEB_MM) == pytest.approx(np.eye(ZONES)[0], abs=1e-9)
    wide = shares_of(15.0, WIDTH_MM, ZONES, WEB_MM)
    assert wide.sum() == pytest.approx(1.0) and wide[7] == pytest.approx(wide[9]) and wide[8] > 0.6
    r = 0.5 * WIDTH_MM  # the segment of a circle beyond half a zone from its middle
    beyond = (r * r * math.acos(15.0 / r) - 15.0 * math.sqrt(r * r - 15.0**2)) / (math.pi * r * r)
    assert wide[9] == pytest.approx(beyond, abs=2e-3)
    assert shares_of(240.0, WIDTH_MM, ZONES, WEB_MM)[-1] > 0.5  # half of it lies beyond the edge


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "row 1: lacks the column from_start_m or from_end_m"),
        (HEAD, "holds no disc"),
        ("from_start_m;lane;areal_density_gsm\n1;1;90\n", "separated by commas"),
        ("from_strt_m,lane,areal_density_gsm\n1,1,90\n", "'from_strt_m' is no column; did you mean from_start_m?"),
        ("from_start_m,lane,lane,areal_density_gsm\n1,1,1,90\n", "names a column twice"),
        (HEAD + "5,,3,,90\n", "row 2: has another number of fields"),
        (HEAD + "5,,3,,90,\n5,,three,,90,\n", "row 3, column lane: 'three' is no number"),
        (HEAD + "5,,3,,nan,\n", "row 2, column areal_density_gsm: 'nan' is no number"),
        (HEAD + "5,,3,,,\n", "row 2, column areal_density_gsm: is empty"),
        (HEAD + "5,5,3,,90,\n", "row 2: give either from_start_m or from_end_m"),
        (HEAD + "5,,,,90,\n", "row 2: give either lane or across_mm"),
        (HEAD + "1441,,3,,90,\n", "row 2, column from_start_m: 1441 is not within 0 and 1440 m"),
        (HEAD + ",-1,3,,90,\n", "row 2, column from_end_m: -1 is not within 0 and 1440 m"),
        (HEAD + "5,,17,,90,\n", "row 2, column lane: 17 is not within 1 and 16 lanes"),
        (HEAD + "5,,2.5,,90,\n", "row 2, column lane: 2.5 is no whole number"),
        (HEAD + "5,,,241,90,\n", "row 2, column across_mm: 241 is not within -240 and 240 mm"),
        (HEAD + "5,,3,,9,\n", "row 2, column areal_density_gsm: 9 is not within 18 and 270 g/m2"),
        (
            "from_start_m,lane,areal_density_gsm,width_mm\n5,3,90,481\n",
            "row 2, column width_mm: 481 is not within 5 and",
        ),
        (HEAD + "5,,3,,90,0\n", "row 2, column sd_gsm: 0 is not within 0.0009 and 9 g/m2"),
        (HEAD + "5,,3,,90,\n" * 501, "holds more than 500 discs"),
        (HEAD + '5,,3,,"90,\n', "row 2 or after: is no CSV"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, paper: Web, text: str, said: str) -> None:
    with pytest.raises(PassportError) as refused:
        placed(written(tmp_path / "lab.csv", text), paper)
    assert str(refused.value).startswith("lab.csv") and said in str(refused.value)


def test_a_file_that_is_no_text_or_far_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lab.csv"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(PassportError, match="is no text in UTF-8"):
        read_samples(path)
    path.write_bytes(b"5" * 1_000_001)
    with pytest.raises(PassportError, match="larger than 1000000 bytes"):
        read_samples(path)


def test_a_gauge_that_reads_too_much_is_found_by_the_samples(made: Callable[..., Made], tmp_path: Path) -> None:
    story = Story(dry_offset=OFFSET)
    lab = written(tmp_path / "lab.csv", discs_of(METRES, 16))
    alone, pinned = made(story, assumed=Assumed(0.08)), made(story, known=Told(samples=lab), assumed=Assumed(0.08))
    off, left = (float((one.roll_map.deviation_pct - truth_pct(one)).mean()) for one in (alone, pinned))
    assert off == pytest.approx(100.0 * OFFSET, abs=0.05) and abs(left) < 0.15
    assert inside(alone).mean() < 0.2 and inside(pinned).mean() > 0.95
    told = pinned.record
    assert told.lab is not None and len(told.lab.discs) == 32
    assert np.mean([disc.gauges_over_pct for disc in told.lab.discs]) == pytest.approx(100.0 * OFFSET, abs=0.15)
    assert told.uncertainty.systematic_left_pct is not None and "lab samples" in told.uncertainty.note
    assert alone.record.lab is None and alone.record.uncertainty.systematic_left_pct is None


def test_between_samples_that_lie_hours_apart_doubt_grows(paper: Web) -> None:
    discs = [a_disc(10.0 + zone, zone) for zone in range(16)] + [a_disc(1410.0 + zone, zone) for zone in range(16)]
    found = known(paper, discs, [0.001] * 32)
    near, middle = found.sd[[20, 1415]].mean(), found.sd[720].mean()
    assert near < 0.5 * middle and middle == pytest.approx(0.002, rel=0.1)
    assert found.error[15].mean() == pytest.approx(0.001, rel=0.3) and abs(found.error[720].mean()) < 0.0005


def test_other_foil_behind_a_splice_is_a_step_there(paper: Web) -> None:
    paper.laid.t_line_s[:] = np.arange(1440) * 0.5
    paper.laid.line_state[700:703] = int(LineState.SPLICE)
    assert breaks(paper.laid) == [700]
    discs = [a_disc(at_m + zone, zone) for at_m in (10.0, 1410.0) for zone in range(16)]
    error = known(paper, discs, [0.0] * 16 + [0.01] * 16, 0.0008).error.mean(axis=1)
    assert abs(error[690]) < 0.001 and error[710] == pytest.approx(0.01, abs=0.001)
    assert error[700] - error[699] > 0.008


def test_a_stop_may_bring_other_foil_too(paper: Web) -> None:
    paper.laid.t_line_s[500:] += 300.0
    assert breaks(paper.laid) == [500]


def test_discs_on_one_line_across_the_web_tell_less_than_staggered_ones(paper: Web) -> None:
    level = [
        float(known(paper, [a_disc(10.0 + step * zone, zone) for zone in range(16)], [0.0] * 16).sd[12].mean())
        for step in (0.0, 0.9)
    ]
    assert level[0] > 1.3 * level[1]
    assert level[0] > 0.5 * 0.01 * PLACE_PCT


def test_a_disc_that_nobody_else_confirms_is_told_of(made: Callable[..., Made], tmp_path: Path) -> None:
    rows = discs_of(METRES, 16).splitlines()
    assert not [note for note in made(known=Told(samples=written(tmp_path / "a.csv", "\n".join(rows)))).record.notes
                if "far from" in note]  # fmt: skip
    rows[5] = "30,,8,,96.0,"
    spoilt = written(tmp_path / "b.csv", "\n".join(rows))
    (note,) = [note for note in made(known=Told(samples=spoilt)).record.notes if "far from" in note]
    assert "row 6" in note


def test_a_disc_from_bare_foil_is_refused(made: Callable[..., Made], tmp_path: Path) -> None:
    lab = written(tmp_path / "lab.csv", HEAD + "85,,3,,90,\n")
    with pytest.raises(PassportError, match=r"lab.csv, row 2: metre 85 of the roll is bare foil"):
        made(Story(bare=(80.0, 90.0)), known=Told(samples=lab))


def test_the_passport_carries_its_samples_under_its_seal(made: Callable[..., Made], tmp_path: Path) -> None:
    text = discs_of(METRES, 16)
    export(made(known=Told(samples=written(tmp_path / "lab.csv", text))), tmp_path / "passport", None)
    assert (tmp_path / "passport" / "samples.csv").read_text() == text
    assert json.loads((tmp_path / "passport" / "passport.json").read_text())["lab"]["discs"][0]["row"] == 2
    page = (tmp_path / "passport" / "passport.html").read_text()
    assert page.count("data:image/png") == 3 and "Lab samples" in page and "lab.csv" in page
    assert not signing.verify(tmp_path / "passport").wrong
    (tmp_path / "passport" / "samples.csv").write_text(text.replace("90.", "91.", 1))
    assert signing.verify(tmp_path / "passport").file == "samples.csv"


def test_show_takes_samples_and_says_what_is_wrong_with_them(roll: Callable[[Story], Path], tmp_path: Path) -> None:
    (tmp_path / "lab.csv").write_text(discs_of(METRES, 16))
    call = ["roll", "show", str(roll(Story())), "--roll", "1"]
    told = CliRunner().invoke(cli.app, [*call, "--samples", str(tmp_path / "lab.csv"), "--punch-pct", "0.1"])
    assert told.exit_code == 0 and "by 32 lab samples" in told.stdout
    (tmp_path / "lab.csv").write_text(HEAD + "5,,3,,ninety,\n")
    wrong = CliRunner().invoke(cli.app, [*call, "--samples", str(tmp_path / "lab.csv")])
    assert wrong.exit_code == 2 and "row 2, column areal_density_gsm: 'ninety' is no number" in wrong.stderr
    assert CliRunner().invoke(cli.app, [*call, "--punch-pct", "0.1"]).exit_code == 2
    assert CliRunner().invoke(cli.app, [*call, "--samples", str(tmp_path / "none.csv")]).exit_code == 1


def test_a_line_file_states_its_gauges_accuracy_and_no_loop_knows_of_it() -> None:
    plain = load_line("pilot-16")
    text = plain.text.replace("[gauges.dry]\n", "[gauges.dry]\naccuracy_pct = 0.3\nfoil_pct = 0.2\n")
    stated = read_line(text, plain.path)
    assert (stated.dry_accuracy.accuracy_pct, stated.dry_accuracy.foil_pct) == (0.3, 0.2)
    assert plain.dry_accuracy.accuracy_pct is None and stated.line.dry_gauge == plain.line.dry_gauge
