"""After a crash nobody moves before he was asked, or the settings agreed to it beforehand."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from controller.line.command import Mode, Outcome
from evencoat.journal import CycleJournal, JournalReader, What
from evencoat.past import Past, mode_to_start, told_start
from tests.evencoat.test_journal import LINE, make_trace


@pytest.mark.parametrize(
    ("asked", "past", "resume", "given", "why"),
    [
        (Mode.AUTO, Past(), False, Mode.AUTO, "asked for at the start"),
        (Mode.AUTO, Past(crashed=False, mode="auto"), False, Mode.AUTO, "asked for at the start"),
        (Mode.AUTO, Past(crashed=True, mode="auto"), False, Mode.HOLD, "a person has to ask again"),
        (Mode.MANUAL, Past(crashed=True, mode="manual"), False, Mode.HOLD, "a person has to ask again"),
        (Mode.AUTO, Past(crashed=True, mode="auto"), True, Mode.AUTO, "auto was asked of it"),
        (Mode.AUTO, Past(crashed=True, mode="hold"), True, Mode.HOLD, "hold was asked of it"),
        (Mode.AUTO, Past(crashed=True, mode="manual"), True, Mode.HOLD, "manual was asked of it"),
        (Mode.AUTO, Past(crashed=True, mode="auto", reason=Outcome.NO_LAW_LEFT), True, Mode.HOLD, "no law on the"),
        (Mode.AUTO, Past(crashed=True, mode="auto", reason=Outcome.GAUGE_STALE), True, Mode.AUTO, "auto was asked"),
        (Mode.ADVISORY, Past(crashed=True, mode="auto"), True, Mode.ADVISORY, "asked for at the start"),
    ],
)
def test_which_mode_a_start_asks_for(asked: Mode, past: Past, resume: bool, given: Mode, why: str) -> None:
    mode, words = mode_to_start(asked, past, resume)
    assert mode is given
    assert why in words


def start(path: Path, mode: Mode, cycles: int, stop: bool) -> None:
    """A run as the daemon records it; the second cycle of make_trace's pair is the odd one."""
    with CycleJournal(path, LINE.line, LINE.text) as journal:
        told_start(journal, LINE, Past.of(path), "mara", Mode.AUTO, mode, "for the test")
        journal.event("mode", "as it goes")
        until_s = time.time()
        for cycle in range(cycles):
            journal.record(make_trace(2 * cycle, mode_requested=Mode.MANUAL), 1.0, 0.0)
        assert time.time() >= until_s
        if stop:
            journal.audit("mara", What.STOP, "", "", "asked to stop")


def test_the_journal_tells_how_the_last_run_ended_and_what_was_asked_of_it(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    assert Past.of(path) == Past() == Past.of(None)
    start(path, Mode.AUTO, 3, stop=True)
    assert (Past.of(path).crashed, Past.of(path).mode) == (False, "manual")
    start(path, Mode.AUTO, 3, stop=False)
    assert (Past.of(path).crashed, Past.of(path).mode, Past.of(path).reason) == (True, "manual", Outcome.OK)
    start(path, Mode.AUTO, 0, stop=False)  # killed before its first cycle: what it was started for counts
    assert (Past.of(path).crashed, Past.of(path).mode, Past.of(path).reason) == (True, "auto", "")


def test_a_settings_file_that_changed_since_the_last_start_is_on_record_with_its_text(tmp_path: Path) -> None:
    from dataclasses import replace

    path = tmp_path / "j.sqlite"
    start(path, Mode.AUTO, 1, stop=True)
    changed = replace(LINE, text=LINE.text + "\n# thinner\n")
    with CycleJournal(path, LINE.line, LINE.text) as journal:
        told_start(journal, changed, Past.of(path), "mara", Mode.AUTO, Mode.AUTO, "asked for at the start")
    with JournalReader(path) as reader:
        records = reader.audit()
        assert reader.verify().ok
    assert [record.what for record in records] == ["start", "stop", "recipe", "start"]
    assert records[2].new == changed.text and records[2].old == json.loads(records[0].new)["settings_sha256"]
