"""A roll on paper: a web that is known, two gauges that saw it, and the journal that a control process wrote of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from controller.core.trace import Trace
from controller.line.command import Mode
from evencoat.journal import CycleJournal, JournalReader, What
from evencoat.passport import Assumed, Made, Told, make, roll_named
from evencoat.settings import Settings, load_line
from tests.runs import Line, story

METRES, SPEED_MPS, WET_EVERY, DRY_EVERY, CYCLE_M = 260, 1.0, 1, 4, 0.25
WET_M, DRY_M = 2.0, 32.0  # of pilot-16
NOISE = (0.0035, 0.0021)  # of one scan of one zone, relative
HILL_FROM, HILL_TO, HILL_ZONES = 120, 150, slice(4, 7)  # a lump of 3 %, twice what is allowed


@dataclass(frozen=True, slots=True)
class Story:
    """What is played on paper; metres of web."""

    wet_silent: tuple[float, float] = (-1.0, -1.0)
    dry_silent: tuple[float, float] = (-1.0, -1.0)
    wet_offset: float = 0.01
    dry_offset: float = 0.0
    rolls: tuple[int, ...] = (1,)
    bare: tuple[float, float] = (-1.0, -1.0)
    spike_at: tuple[float, float] | None = None  # metre, size: of the wet gauge alone


def true_log(at_m: np.ndarray, zones: int) -> np.ndarray:
    """Log of areal density over target, (places, zones)."""
    zone = np.arange(zones)
    web = 0.004 * np.sin(at_m / 40.0)[:, None] + 0.005 * np.cos(zone / 3.0)[None, :]
    hill = (at_m >= HILL_FROM) & (at_m < HILL_TO)
    web[hill, HILL_ZONES] += 0.03
    return np.asarray(web)


def write(path: Path, told: Story, settings: Settings, first_trace: Trace) -> None:
    """The journal of a run over METRES of web and on until the dry gauge has seen them, in rolls of equal length."""
    rng, line = np.random.default_rng(3), settings.line
    target = line.target_profile_gsm
    cycles = round((METRES + DRY_M + 5.0) / CYCLE_M)
    with CycleJournal(path, line, settings.text, patient=True) as journal:
        for k in range(cycles):
            web_m = (k + 1) * CYCLE_M
            scans: dict[str, object] = {}
            for kind, every, at_m, noise, offset, silent in (
                ("wet", WET_EVERY, WET_M, NOISE[0], told.wet_offset, told.wet_silent),
                ("dry", DRY_EVERY, DRY_M, NOISE[1], told.dry_offset, told.dry_silent),
            ):
                seen_m = web_m - 0.5 * CYCLE_M * every - at_m
                if k % every or silent[0] <= seen_m < silent[1]:
                    continue
                gsm = target * np.exp(
                    true_log(np.array([seen_m]), line.zones)[0] + offset + rng.normal(0, noise, line.zones)
                )
                if seen_m < 0.0 or told.bare[0] <= seen_m < told.bare[1]:
                    gsm = np.full(line.zones, np.nan)
                elif kind == "wet" and told.spike_at and abs(seen_m - told.spike_at[0]) < 0.5 * CYCLE_M:
                    gsm[2] *= 1.0 + told.spike_at[1]
                scans |= {f"{kind}_scan_gsm": gsm, f"{kind}_scan_m": seen_m + at_m, f"{kind}_scan_share": 1.0}
            part = min(int(web_m / (METRES + 1e-9) * len(told.rolls)), len(told.rolls) - 1)
            journal.record(
                first_trace._replace(
                    cycle=k, t_line_ns=round(1e9 * web_m / SPEED_MPS), web_m=web_m, web_speed_mps=SPEED_MPS,
                    line_state=1, roll=told.rolls[part] if web_m <= METRES else 99, batch=1, mode_actual=Mode.AUTO,
                    target_gsm=float(target.mean()), **scans,
                ),
                100.0,
                0.0,
            )  # fmt: skip
            if k == cycles // 3:
                journal.audit(
                    "anna", What.SETPOINT, "pump trim, percent: 0.000", "pump trim, percent: 0.500", "too thin"
                )
                journal.audit("anna via automation", What.MODE, "hold", "auto", "start-up is done")


@pytest.fixture(scope="session")
def first_trace() -> Trace:
    """A cycle as the controller makes them; paper changes what matters here."""
    return (
        Line(story())
        .play_s(0.3)[-1]
        ._replace(wet_scan_gsm=np.zeros(0), wet_scan_m=math.nan, dry_scan_gsm=np.zeros(0), dry_scan_m=math.nan)
    )


@pytest.fixture(scope="session")
def roll(tmp_path_factory: pytest.TempPathFactory, first_trace: Trace) -> Callable[[Story], Path]:
    """Journals of stories, each written once."""
    written: dict[Story, Path] = {}

    def journal(told: Story) -> Path:
        if told not in written:
            written[told] = tmp_path_factory.mktemp("roll") / "journal.sqlite"
            write(written[told], told, load_line("pilot-16"), first_trace)
        return written[told]

    return journal


@pytest.fixture(scope="session")
def made(roll: Callable[[Story], Path]) -> Callable[..., Made]:
    """Passports of stories, each made once."""

    @cache
    def passport(
        told: Story = Story(), number: int | None = 1, known: Told = Told(), assumed: Assumed = Assumed(0.0)
    ) -> Made:
        with JournalReader(roll(told)) as reader:
            return make(reader, roll_named(reader, number), known, assumed)

    return passport
