"""Coverage and mutation of the five files on which everything else relies, each with the tests that belong to it.

    python -m tests.mutate [NAME ...]        # envelope, tx_gate, codec, integrity, supervisor; all without a name

coverage.py measures lines and branches, mutmut 3 changes the file a little, hundreds of times, and counts the changes
that no test notices. Those that cannot be noticed stand in docs/reliability.md by name. Interrupted, the same call goes
on: mutmut keeps what it has in build/mutate/NAME. About an hour on one core.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "mutate"
COPIED = ("controller", "firmware_bridge", "plant_sim", "evencoat", "tests", "lines", "benchmarks")
KILLED, SURVIVED = {"killed", "timeout", "suspicious", "segfault", "caught by type check"}, {"survived", "no tests"}


@dataclass(frozen=True, slots=True)
class Target:
    """A file, and the tests that belong to it."""

    source: str
    tests: tuple[str, ...]


TARGETS = {
    "envelope": Target(
        "controller/core/envelope.py",
        ("tests/controller/core/test_envelope_near.py", "tests/controller/core/test_envelope.py"),
    ),
    "supervisor": Target("controller/core/supervisor.py", ("tests/controller/core/test_supervisor.py",)),
    "tx_gate": Target("firmware_bridge/tx_gate.py", ("tests/firmware_bridge/test_tx_gate.py",)),
    "integrity": Target("firmware_bridge/integrity.py", ("tests/firmware_bridge/test_integrity.py",)),
    "codec": Target(
        "firmware_bridge/codec.py",
        ("tests/firmware_bridge/test_codec.py", "tests/firmware_bridge/test_golden_frames.py"),
    ),
}


def covered(name: str, target: Target) -> tuple[float, str]:
    """Percent of lines and branches together, and what is missing."""
    BUILD.mkdir(parents=True, exist_ok=True)
    data, out = BUILD / f"{name}.coverage", BUILD / f"{name}.json"
    run = [sys.executable, "-m", "coverage", "run", "--branch", f"--data-file={data}"]
    tests = [str(ROOT / test) for test in target.tests]
    asked = [*run, f"--include={target.source}", "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    subprocess.run(asked, cwd=ROOT, check=True)
    told = [sys.executable, "-m", "coverage", "json", "-q", f"--data-file={data}", f"--include={target.source}"]
    subprocess.run([*told, "-o", str(out)], cwd=ROOT, check=True)
    file = json.loads(out.read_text(encoding="utf-8"))["files"][target.source]
    missing = f"lines {file['missing_lines']}, branches {file['missing_branches']}"
    return float(file["summary"]["percent_covered"]), missing


def mutated(name: str, target: Target) -> dict[str, str]:
    """Every mutant and what became of it."""
    folder = BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    for room in COPIED:
        shutil.copytree(ROOT / room, folder / room, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    mine = f'\nonly_mutate = ["{target.source}"]\npytest_add_cli_args_test_selection = {json.dumps(target.tests)}\n'
    text = pyproject.replace("\npytest_add_cli_args = ", f"{mine}pytest_add_cli_args = ", 1)
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "Makefile", folder)
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": ""}
    call = [sys.executable, "-m", "mutmut"]
    subprocess.run([*call, "run", "--max-children", "1"], cwd=folder, env=environment, check=True)
    asked = [*call, "results", "--all", "true"]
    done = subprocess.run(asked, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    pairs = (line.strip().rpartition(": ") for line in done.stdout.splitlines() if "__mutmut_" in line)
    return {mutant: became for mutant, _, became in pairs}


def main() -> int:
    """One after the other; exit code 1 where a line or branch is not covered."""
    whole = True
    for name in sys.argv[1:] or TARGETS:
        share_pct, missing = covered(name, TARGETS[name])
        whole &= share_pct == 100.0
        print(f"{name}: {share_pct:g} % of lines and branches{'' if share_pct == 100.0 else f'; missing: {missing}'}")
        mutants = mutated(name, TARGETS[name])
        survived = sorted(mutant for mutant, became in mutants.items() if became in SURVIVED)
        killed = sum(became in KILLED for became in mutants.values())
        print(f"{name}: {killed} of {len(mutants)} mutants killed ({100.0 * killed / len(mutants):.1f} %), survived:")
        for mutant in survived:
            print(f"  {mutant}")
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
