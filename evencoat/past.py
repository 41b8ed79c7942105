"""What a daemon knows of the one before it: how that ended, what was asked of it, and what it had learnt.

The journal says how it ended, the snapshot beside the journal what it had learnt. A daemon that ended without a word
was killed, or its machine was: then the settings' policy says whether the mode that was asked for is asked for again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import structlog

from controller import restart
from controller.core.network import Network
from controller.core.step import Config, State
from controller.line.command import Mode, Outcome
from controller.line.profile import LineInputs
from controller.restart import Kept, Resume
from evencoat import __version__
from evencoat.journal import CycleJournal, JournalError, JournalReader, What
from evencoat.journal.audit import ITSELF
from evencoat.settings import Settings
from evencoat.snapshot import file
from evencoat.snapshot.file import Identity, Snapshot, SnapshotError

log = structlog.get_logger()

LATCHED = {str(fault) for fault in (Outcome.NOT_FINITE, Outcome.REFUSED, Outcome.NO_LAW_LEFT)}  # wait for a person


@dataclass(frozen=True, slots=True)
class Past:
    """The run before, as its journal tells. mode: what was asked of it last; reason: why it was in its last mode."""

    crashed: bool = False
    mode: str = ""
    reason: str = ""
    settings_sha256: str = ""

    @classmethod
    def of(cls, journal: Path | None) -> Past:
        """Of a journal; nothing where there is none, or none that can be read."""
        if journal is None or not journal.is_file():
            return cls()
        try:
            with JournalReader(journal) as reader:
                ends, last = reader.ends(), reader.last_mode()
        except (JournalError, sqlite3.Error):
            return cls()  # whoever writes it will say what is wrong
        if not ends:
            return cls()
        told = json.loads(ends[0].new)
        mode, reason = told["mode"], ""
        if last is not None and last[0] >= ends[0].t_unix_ns / 1e9:  # else it was killed before its first cycle
            _, mode, reason = last
        return cls(len(ends) == 1, mode, reason, told["settings_sha256"])


def mode_to_start(asked: Mode, past: Past, resume: bool) -> tuple[Mode, str]:
    """The mode to ask for, and why. Who starts after a clean end has asked for it; nobody has after a crash.

    After a crash even that which policy resumes is asked for only once the line is held: see Newsroom.
    """
    if not past.crashed or asked in (Mode.ADVISORY, Mode.HOLD):
        return asked, "asked for at the start"
    if not resume:
        return Mode.HOLD, "the run before ended without a word; policy hold: a person has to ask again"
    if past.reason in LATCHED:
        return Mode.HOLD, f"the run before ended without a word, and held because: {past.reason}"
    if past.mode != Mode.AUTO:
        return Mode.HOLD, f"the run before ended without a word, and {past.mode or 'nothing'} was asked of it"
    return Mode.AUTO, "the run before ended without a word; policy resume: auto was asked of it"


def told_start(
    journal: CycleJournal, settings: Settings, past: Past, who: str, asked: Mode, given: Mode, why: str
) -> None:
    """The records of a start: what runs, in which mode and why, and what has changed in the settings since the last."""
    sha256 = hashlib.sha256(settings.text.encode()).hexdigest()
    if past.settings_sha256 and past.settings_sha256 != sha256:
        journal.audit(who, What.RECIPE, past.settings_sha256, settings.text, "the settings file has changed")
    model = settings.model
    new = {
        "mode": str(given),
        "law": str(settings.line.control.law),
        "version": __version__,
        "settings_sha256": sha256,
        "model": f"{model.found_at}, signed off by {model.signed_off_by}" if model and model.signed_off_by else "",
        "commissioned": model.model_dump() if model and model.signed_off_by else None,
        "pid": os.getpid(),
    }
    journal.audit(who, What.START, str(asked), json.dumps(new, ensure_ascii=False), why)


def config_and_resume(
    settings: Settings, identity: Identity, journal: CycleJournal | None, guest: Network | None = None
) -> tuple[Config, Resume | None]:
    """The controller's constants, and what to take over once the line is heard; a record says what came of it."""
    if journal is None:
        return file.config_of(settings, None, guest), None
    path = file.path_beside(journal.path)
    try:
        snapshot = file.read(path, identity)
        config = file.config_of(settings, snapshot, guest)
        before = file.kept_of(config, snapshot) if snapshot is not None else None
    except SnapshotError as error:
        journal.audit(ITSELF, What.RESTORE, "", restart.Extent.NOTHING, str(error))
        journal.event("alarm", f"the snapshot cannot be used, begins as new: {error}")
        log.warning("snapshot", refused=str(error))
        return file.config_of(settings, None, guest), None
    if before is None or snapshot is None:
        return config, None
    return config, _resume(settings, config, snapshot, before, journal)


def _resume(settings: Settings, config: Config, snapshot: Snapshot, before: Kept, journal: CycleJournal) -> Resume:
    def resume(fresh: State, inputs: LineInputs) -> State:
        came = restart.resumed(config, fresh, before, inputs, settings.restart.web_max_m)
        old = f"snapshot {snapshot.age_s:.1f} s old, of evencoat {snapshot.card.version}"
        journal.audit(ITSELF, What.RESTORE, old, came.extent, came.why)
        log.info("restored", extent=str(came.extent), why=came.why)
        return came.state

    return resume
