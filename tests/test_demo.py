"""`evencoat demo` as a newcomer runs it: one command, three processes, a report; and Ctrl-C leaves nothing behind."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evencoat.processes import wait_for

PATIENCE_S = 120.0


def evencoat(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "evencoat", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=hear_ctrl_c,  # noqa: PLW1509  (no threads here yet)
    )


def hear_ctrl_c() -> None:
    """A process started in the background ignores Ctrl-C, and so would everything that a test in it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_the_demo_ends_with_a_table_and_a_report(tmp_path: Path) -> None:
    demo = evencoat("demo", "--line", "pilot-16", "--minutes", "3", "--speed", "20", "--json", folder=tmp_path)
    out, err = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 0, err
    summary = json.loads(out)
    assert list(summary["controllers"]) == ["open", "hand", "pid", "neural"]
    over_the_bus = summary["controllers"]["neural"]
    assert over_the_bus["limit_violations"] == 0 and over_the_bus["commands"] > 1000
    assert over_the_bus["sigma_total_pct"] < summary["controllers"]["open"]["sigma_total_pct"]
    run_dir = tmp_path / summary["run_dir"]
    assert (run_dir / "frames.log").stat().st_size > 100_000
    assert "<html" in (run_dir / "report.html").read_text()[:500].lower()
    assert json.loads((run_dir / "summary.json").read_text())["seed"] == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_demo_that_is_stopped_leaves_no_process_behind(tmp_path: Path, number: int, code: int) -> None:
    demo = evencoat("demo", "--line", "pilot-16", "--minutes", "100", folder=tmp_path)
    assert wait_for(tmp_path / "runs", PATIENCE_S)
    run_dir = next((tmp_path / "runs").iterdir())
    assert wait_for(run_dir / "plant.log", PATIENCE_S), "the plant did not start"
    handles = [os.pidfd_open(pid) for pid in three_processes_of(demo.pid)]
    demo.send_signal(number)
    _, err = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == code, err
    for handle in handles:
        assert ended(handle), "a child outlived the demo"


def test_a_demo_that_is_stopped_while_it_compares_leaves_no_process_behind(tmp_path: Path) -> None:
    demo = evencoat("demo", "--line", "pilot-16", "--minutes", "3", "--speed", "60", folder=tmp_path)
    assert wait_for(tmp_path / "runs", PATIENCE_S)
    run_dir = next((tmp_path / "runs").iterdir())
    assert wait_for(run_dir / "open" / "journal.sqlite", PATIENCE_S), "the comparison did not start"
    handles = [os.pidfd_open(pid) for pid in children_of(demo.pid)]
    demo.send_signal(signal.SIGTERM)
    _, err = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 143, err
    assert handles
    for handle in handles:
        assert ended(handle), "a worker outlived the demo"


def test_a_killed_demo_takes_its_processes_with_it(tmp_path: Path) -> None:
    demo = evencoat("demo", "--line", "pilot-16", "--minutes", "100", folder=tmp_path)
    assert wait_for(tmp_path / "runs", PATIENCE_S)
    run_dir = next((tmp_path / "runs").iterdir())
    assert wait_for(run_dir / "plant.log", PATIENCE_S), "the plant did not start"
    handles = [os.pidfd_open(pid) for pid in three_processes_of(demo.pid)]
    os.kill(demo.pid, signal.SIGKILL)
    demo.wait(PATIENCE_S)
    for handle in handles:
        assert ended(handle), "a child outlived the demo"


def three_processes_of(parent: int) -> list[int]:
    """Process ids of hub, daemon and plant, as soon as `parent` has started all of them."""
    deadline_s = time.monotonic() + PATIENCE_S
    children: list[int] = []
    while len(children) < 3 and time.monotonic() < deadline_s:
        os.sched_yield()
        children = children_of(parent)
    assert len(children) == 3
    return children


def children_of(parent: int) -> list[int]:
    """Process ids of all that a process has started, from any of its threads."""
    found = []
    for task in Path(f"/proc/{parent}/task").iterdir():
        found += [int(pid) for pid in (task / "children").read_text().split()]
    return found


def ended(handle: int) -> bool:
    """Wait for a process that is not ours to end."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(PATIENCE_S * 1000))
