"""A diagnosis as pages, programs and people are told it."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Any

from evencoat.diagnosis.catalogue import CATALOGUE, told
from evencoat.diagnosis.watch import Diagnosis

BEFORE_S = 30.0  # a replay begins so long before the evidence did


def as_dict(one: Diagnosis, begun_ns: int, journal: Path | None = None) -> dict[str, Any]:
    """What is wrong, where, how surely, since when, and what to do. begun_ns: line time of second 0."""
    entry = CATALOGUE[one.key.cause]
    since_line_s = begun_ns / 1e9 + one.since_s
    found: dict[str, Any] = {
        "cause": one.key.cause,
        "where": one.key.where,
        "probability": round(one.probability, 3),
        "evidence": one.evidence,
        "value": one.value if math.isfinite(one.value) else None,
        "unit": entry.unit,
        "since_line_s": round(since_line_s, 1),
        "named_line_s": round(begun_ns / 1e9 + one.named_s, 1),
        "web_m": round(one.web_m, 1),
        "words": {language: told(one.key.cause, one.key.where, language)._asdict() for language in entry.words},
    }
    if journal is not None:
        found["replay"] = f"evencoat replay {shlex.quote(str(journal))} --page"
        found["replay_from_line_s"] = round(max(since_line_s - BEFORE_S, begun_ns / 1e9), 1)
    return found
