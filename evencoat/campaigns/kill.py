"""kill -9 at random points: what was acknowledged is there, the chain holds, the line is held again without a bump.

A real line in real time: hub, plant and `evencoat run --guard` as processes of their own, on the bus that a listener of
ours hears too. A trial lets control run for a random while, notes what the journal has acknowledged to a reader, and
kills: mostly the control process, which the guard starts again; now and then the guard too, which is then started from
nothing, as after a power cut. Every fourth trial kills again while control is starting. "Back" is the first command on
the bus after the last kill. Settings are those of a shipped line with snapshots five times a second, policy resume, and
a journal so small that it is pruned meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.line.command import Mode
from evencoat.campaigns.frame import CampaignError, Judgement, Row, Trial
from evencoat.demo import Children
from evencoat.journal import JournalError, JournalReader
from evencoat.processes import wait_for
from evencoat.settings import Settings, compile_codec, find_line, load_line
from firmware_bridge.bus_pythoncan import open_bus
from firmware_bridge.contract import Telegram
from firmware_bridge.link import Message, Receiver

LINE = "pilot-16"
SETTINGS = '\n[restart]\npolicy = "resume"\nsnapshot_s = 0.2\n\n[journal]\nmax_mb = 2\n'
PATIENCE_S, COMPILED_WITHIN_S = 60.0, 600.0  # the plant compiles once on a machine
ALL_SHARE = 0.05  # of the trials in which the guard is killed too
QUICK_LIFE_S, LONG_LIFE_S, LONG_SHARE = 1.2, 4.0, 0.25
AGAIN_WITHIN_S = 0.8  # of the first kill comes the second one
VERIFIED_EVERY, TORN_EVERY = 20, 10
CHECKED_ROWS = 300  # before the last acknowledged one
STANDING = {Telegram.DIE_COMMAND: Telegram.DIE_FEEDBACK, Telegram.PUMP_COMMAND: Telegram.PUMP_FEEDBACK}
BACK_P99_S, BUMP_STEPS = 1.0, 1.0


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What a reader has seen of the journal: the last row, and the head of the chain."""

    row: int
    seq: int
    hash: str


class Kill:
    """The campaign."""

    name = "kill"
    summary = "kill -9 at random points: nothing acknowledged is lost, the chain holds, held again within 1 s, no bump"

    def trials(self, quick: bool) -> int:
        """Every fourth has two kills: 1,000 in all, or 30."""
        return 24 if quick else 820  # of which every fourth kills twice: a thousand kills

    @contextlib.contextmanager
    def open(self, folder: Path, quick: bool, anew: bool) -> Iterator[Trial]:
        """Hub, plant and control, which live as long as the context."""
        for left in folder.glob("journal.sqlite*") if anew else ():
            left.unlink()
        with _Stage(folder.resolve()) as stage:
            yield stage.trial

    def judge(self, rows: Sequence[Row], folder: Path) -> Judgement:
        """What all trials came to, and whether the journal they left holds."""
        control = np.array([row["back_s"] for row in rows if row["killed"] == "control"] or [np.nan])
        everything = np.array([row["back_s"] for row in rows if row["killed"] == "all"])
        with JournalReader(folder / "journal.sqlite") as reader:
            verdict = reader.verify()
        torn = [row["torn"] for row in rows if row["torn"] is not None]
        figures: dict[str, Any] = {
            "kills": sum(row["kills"] for row in rows),
            "back_p50_s": float(np.percentile(control, 50)),
            "back_p99_s": float(np.percentile(control, 99)),
            "back_max_s": float(control.max()),
            "from_nothing_trials": int(everything.size),
            "from_nothing_p50_s": float(np.median(everything)) if everything.size else None,
            "from_nothing_max_s": float(everything.max()) if everything.size else None,
            "bump_max_rate_steps": max(row["bump_rate_steps"] for row in rows),
            "step_max_rate_steps": max(row["step_rate_steps"] for row in rows),
            "trim_bump_max_rate_steps": max(row["trim_rate_steps"] for row in rows),
            "acknowledged_rows_lost": sum(row["rows_lost"] for row in rows),
            "acknowledged_records_lost": sum(row["records_lost"] for row in rows),
            "not_back_in_hold": sum(row["first_mode"] != Mode.HOLD for row in rows),
            "chains_broken": sum(row["chain"] not in (None, "") for row in rows) + (not verdict.ok),
            "torn_copies": len(torn),
            "rows_before_tears": sum(one["expected"] for one in torn),
            "rows_before_tears_lost": sum(one["missing"] for one in torn),
            "cycles_in_journal": verdict.cycles,
            "cycles_pruned": verdict.pruned_before - 1,
            "audit_records": verdict.records,
            "restored_whole": sum(row["restored"].startswith("everything") for row in rows),
        }
        limits = {
            "back_p99_s": BACK_P99_S,
            "bump_max_rate_steps": BUMP_STEPS,
            "step_max_rate_steps": BUMP_STEPS,
            "trim_bump_max_rate_steps": BUMP_STEPS,
            **dict.fromkeys(
                (
                    "acknowledged_rows_lost",
                    "acknowledged_records_lost",
                    "not_back_in_hold",
                    "chains_broken",
                    "rows_before_tears_lost",
                ),
                0,
            ),
        }
        broken = [
            f"{name} = {figures[name]:g}, at most {most:g}" for name, most in limits.items() if figures[name] > most
        ]
        return Judgement(figures, limits, (*broken, *([verdict.broken] if verdict.broken else [])))


class _Listener:
    """Someone else on the bus, who hears everything."""

    def __init__(self, settings: Settings, address: str) -> None:
        self._codec = compile_codec(settings)
        self._telegrams = [telegram for telegram in Telegram if self._codec.carries(telegram)]
        self._bus = open_bus(address, settings.wire)
        self.step_max_um = 0.0
        self._last_um: npt.NDArray[np.float64] | None = None
        self.newest: dict[Telegram, Message] = {}
        self.before: dict[Telegram, Message] = {}  # of each command: what was fed back last before it
        self.anew()

    def anew(self) -> None:
        """Forget counters and commands: whoever speaks next may have just started."""
        self.step_max_um, self._last_um = 0.0, None
        self._receiver = Receiver(self._codec, self._telegrams, {})

    def hear(self, wait_s: float) -> list[Telegram]:
        """Wait at most so long and take in what is there; which telegrams came, in their order."""
        if wait_s > 0.0:
            self._bus.wait(wait_s)
        came = []
        for frame in self._bus.receive():
            message = self._receiver.feed(frame, 0.0)
            if message is not None:
                if message.telegram in STANDING:
                    self.before[message.telegram] = self.newest.get(STANDING[message.telegram], message)
                if message.telegram is Telegram.DIE_COMMAND:
                    self._follow(np.asarray(message.fields["gap_um"]))
                self.newest[message.telegram] = message
                came.append(message.telegram)
        return came

    def _follow(self, gap_um: npt.NDArray[np.float64]) -> None:
        """The largest step from one command of a life to its next."""
        if self._last_um is not None:
            self.step_max_um = max(self.step_max_um, float(np.abs(gap_um - self._last_um).max()))
        self._last_um = gap_um

    def until(self, telegram: Telegram, running: Callable[[], bool], patience_s: float = PATIENCE_S) -> Message:
        """Wait for a telegram. Raises CampaignError where it does not come."""
        deadline_s = time.monotonic() + patience_s
        while time.monotonic() < deadline_s and running():
            if telegram in self.hear(0.2):
                return self.newest[telegram]
        raise CampaignError(f"{telegram} was not heard within {patience_s:g} s; see the logs in the campaign's folder")

    def close(self) -> None:
        self._bus.close()


class _Stage:
    """The processes of one campaign, in its folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._line = folder / f"{LINE}.toml"
        self._line.write_text(find_line(LINE).read_text(encoding="utf-8") + SETTINGS, encoding="utf-8")
        self._settings = load_line(self._line)
        self._journal = folder / "journal.sqlite"
        self._children = Children(folder)
        lips, pump, cycle_s = self._settings.line.lips, self._settings.line.pump, self._settings.line.control.cycle_s
        self._step_um = lips.rate_um_per_s * cycle_s
        self._trim_step_pct = pump.trim_rate_pct_per_s * cycle_s

    def __enter__(self) -> _Stage:
        self._exits = contextlib.ExitStack()
        with contextlib.ExitStack() as exits:
            socket = Path(exits.enter_context(_short_folder())) / "can.sock"
            exits.enter_context(self._children)
            self._address = f"evencoat:{socket}"
            self._children.start("hub", "hub", "--socket", str(socket))
            if not wait_for(socket, PATIENCE_S):
                raise CampaignError(f"the hub did not start; see {self._folder / 'hub.log'}")
            self._listener = _Listener(self._settings, self._address)
            exits.callback(self._listener.close)
            on = ("--line", str(self._line), "--bus", self._address)
            self._plant = self._children.start("plant", "plant", *on, "--scenario", "first-shift")
            self._listener.until(Telegram.SYNC, lambda: self._plant.poll() is None, COMPILED_WITHIN_S)
            self._guard = self._start()
            self._listener.until(Telegram.DIE_COMMAND, lambda: self._guard.poll() is None)
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._exits.close()

    def trial(self, k: int, rng: np.random.Generator) -> Row:
        """One kill, or two, and everything that is held against it."""
        long, everyone, again = rng.random() < LONG_SHARE, rng.random() < ALL_SHARE, k % 4 == 3
        life_s = rng.uniform(QUICK_LIFE_S, LONG_LIFE_S) if long else rng.uniform(0.0, QUICK_LIFE_S)
        pause_s, tear = rng.uniform(0.0, AGAIN_WITHIN_S), rng.random()
        self._let_live(life_s)
        step_um = self._listener.step_max_um  # of the life that ends now, since it took over
        seen = self._acknowledged()
        dead, kills = self._kill(everyone), 1
        if again:
            self._let_live(pause_s)
            seen = max(seen, self._acknowledged(), key=lambda one: one.row)
            second = self._kill(False)
            dead, kills = dead | second, kills + bool(second)
        killed_s = time.monotonic()
        if everyone:
            self._guard = self._start()
        self._until_another_lives(dead)
        command = self._listener.until(Telegram.DIE_COMMAND, lambda: self._guard.poll() is None)
        back_s = time.monotonic() - killed_s
        bump_um = self._bump(command, "gap_um")
        trim_pct = self._bump(
            self._listener.until(Telegram.PUMP_COMMAND, lambda: self._guard.poll() is None), "trim_pct"
        )
        return {
            "k": k,
            "killed": "all" if everyone else "control",
            "kills": kills,
            "life_s": round(life_s, 4),
            "back_s": round(back_s, 4),
            "bump_rate_steps": round(bump_um / self._step_um, 4),
            "step_rate_steps": round(step_um / self._step_um, 4),
            "trim_rate_steps": round(trim_pct / self._trim_step_pct, 4),
            **self._found_again(seen),
            "chain": self._chain() if k % VERIFIED_EVERY == 0 else None,
            "torn": self._torn(tear) if k % TORN_EVERY == 0 else None,
            "words": f"back in {back_s:.2f} s",
        }

    def _start(self) -> subprocess.Popen[bytes]:
        return self._children.start(
            "control", "run", "--line", str(self._line), "--bus", self._address, "--mode", "auto", "--guard",
            "--journal", str(self._journal),
        )  # fmt: skip

    def _let_live(self, seconds: float) -> None:
        """Listen for so long: positions and trim are known to the moment."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0.0:
            self._listener.hear(left_s)
        if self._plant.poll() is not None:
            raise CampaignError(f"the plant has ended; see {self._folder / 'plant.log'}")

    def _control(self) -> list[int]:
        """The control process below the guard, as far as there is one just now."""
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{self._guard.pid}/task/{self._guard.pid}/children").read_text().split()
            return [int(pid) for pid in children]
        return []

    def _kill(self, everyone: bool) -> set[int]:
        """kill -9; returns whom."""
        control = self._control()
        if everyone:
            self._guard.kill()
        for pid in control:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if everyone:
            self._guard.wait()
        return set(control)

    def _until_another_lives(self, dead: set[int]) -> None:
        """Hear what the dead one had sent until another control process is there, which has yet to hear the line."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not set(self._control()) - dead:
            if time.monotonic() > deadline_s or self._guard.poll() is not None:
                raise CampaignError(f"control was not started again; see {self._folder / 'control.log'}")
            self._listener.hear(0.001)
        self._listener.hear(0.0)
        self._listener.anew()

    def _bump(self, command: Message, field: str) -> float:
        """How far a command is from what was fed back last before it, at the worst place."""
        stood = self._listener.before[command.telegram].fields[field]
        return float(np.abs(np.asarray(command.fields[field]) - np.asarray(stood)).max())

    def _acknowledged(self) -> Acknowledged:
        with JournalReader(self._journal) as reader:
            head = reader.head()
            return Acknowledged(reader.last_row(), head.seq if head else 0, head.hash if head else "")

    def _found_again(self, seen: Acknowledged) -> Row:
        """Wait until the new run's first cycle is there; what is missing of what was acknowledged, its first mode."""
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            self._listener.hear(0.02)
            with JournalReader(self._journal) as reader:
                last = reader.last_row()
                after = reader.rows(("cycle", "mode_actual"), seen.row + 1, last)
                firsts = np.flatnonzero(after["cycle"] == 0)
                if not firsts.size:
                    continue
                verdict_from = max(1, seen.row - CHECKED_ROWS, reader.pruned_before())
                there = reader.rows(("cycle",), verdict_from, seen.row)["cycle"].size
                chain = reader.audit()
            kept = seen.seq == 0 or (len(chain) >= seen.seq and chain[seen.seq - 1].hash == seen.hash)
            restored = [record.new for record in chain if record.what == "restore"]
            return {
                "acknowledged_row": seen.row,
                "rows_lost": max(0, seen.row - verdict_from + 1) - there,
                "records_lost": 0 if kept else 1,
                "first_mode": str(after["mode_actual"][firsts[-1]]),
                "restored": restored[-1] if restored else "",
            }
        raise CampaignError(f"no cycle of the new run within {PATIENCE_S:g} s; see {self._folder / 'control.log'}")

    def _chain(self) -> str:
        with JournalReader(self._journal) as reader:
            return reader.verify().broken

    def _torn(self, share: float) -> Row:
        """A whole copy, cut off anywhere: every row whose page lies before the tear must be read, as SQLite counts."""
        copy = self._folder / "torn.sqlite"
        copy.unlink(missing_ok=True)
        with (
            contextlib.closing(sqlite3.connect(self._journal)) as here,
            contextlib.closing(sqlite3.connect(copy)) as to,
        ):
            here.backup(to)
        tear = int(share * copy.stat().st_size)
        with contextlib.closing(sqlite3.connect(copy)) as db:
            (expected,) = db.execute(
                "SELECT COALESCE(SUM(ncell), 0) FROM dbstat "
                "WHERE name = 'cycles' AND pagetype = 'leaf' AND pgoffset + pgsize <= ?",
                (tear,),
            ).fetchone()
        for beside in ("-wal", "-shm"):
            copy.with_name(copy.name + beside).unlink(missing_ok=True)
        os.truncate(copy, tear)
        try:
            with JournalReader(copy) as reader:
                found = reader.cycle_count()
        except JournalError:
            found = 0
        return {"share": round(share, 4), "expected": int(expected), "missing": max(0, int(expected) - found)}


@contextlib.contextmanager
def _short_folder() -> Iterator[str]:
    """A socket's path must be short."""
    with tempfile.TemporaryDirectory(prefix="evencoat-") as folder:
        yield folder
