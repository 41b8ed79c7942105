"""A run's folder -> one self-contained report.html, and one picture for those in a hurry.

evencoat.cli and evencoat.demo call `build_report`. It reads what the run left behind and needs nothing that ran.
"""

from __future__ import annotations

import os
from pathlib import Path

from evencoat.report.run import ReportError, load_run

__all__ = ["ReportError", "build_report", "overview_png"]


def build_report(run_dir: Path) -> Path:
    """Write run_dir/report.html and return its path. Raises ReportError naming what is missing."""
    from evencoat.report.page import page  # loads matplotlib

    path = run_dir / "report.html"
    _write(path, page(load_run(run_dir)).encode())
    return path


def overview_png(run_dir: Path, path: Path) -> Path:
    """Write one picture of a run (open against controlled roll map, final profiles). Raises ReportError."""
    from evencoat.report.figures import overview

    _write(path, overview(load_run(run_dir)))
    return path


def _write(path: Path, content: bytes) -> None:
    """In one move: whoever looks sees the old file or the whole new one."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)
