"""A map half a zone wrong, on a line that runs: does a reverse bump find it, and what does the web say to it?

    python benchmarks/reverse_bump.py [--quick] [--json] [--lines N] [--families A,B]

Random lines, each told half a zone wrong, one way or the other, a minute before the bumps; played with and without.
Found is an alignment within 0.15 zones; `furthest` is the largest deviation of the true web in any lane from the first
bump on, over the tolerance. On a web that leaves its tolerance with the bumps and not without them they are to blame.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
from typing import Any

from benchmarks.runs import machine, over
from evencoat.league.upset import played

FAMILIES = ("nominal", "misaligned", "wide", "noisy")
FOUND_ZONES = 0.15


def one(job: tuple[str, int]) -> dict[str, Any]:
    """A line, with bumps and without."""
    family, seed = job
    wrong = 0.5 if seed % 2 else -0.5
    bumped, furthest = played(family, seed, wrong, bump=True)
    left, furthest_left = played(family, seed, wrong, bump=False)
    test = bumped.test
    return {
        "family": family,
        "seed": seed,
        "off_zones": bumped.off_pitches,
        "off_without": left.off_pitches,
        "furthest": furthest,
        "furthest_without": furthest_left,
        "share": test.share if test else 0.0,
        "bumps": test.done if test else 0,
        "why": test.why if test else "",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two lines")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--lines", type=int, default=4, help="lines of each family")
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    arguments = parser.parse_args()
    families, lines = (("nominal",), 2) if arguments.quick else (arguments.families.split(","), arguments.lines)
    rows = list(over(one, [(family, seed) for family in families for seed in range(1, lines + 1)], arguments.workers))
    found = sum(abs(row["off_zones"]) <= FOUND_ZONES for row in rows)
    blamed = sum(row["furthest"] > 1.0 >= row["furthest_without"] for row in rows)
    if arguments.json:
        print(json.dumps({"machine": machine(), "found": found, "blamed": blamed, "rows": rows}, indent=1))
        return
    print(f"{'line':16}{'off':>7}{'without':>9}{'furthest':>10}{'without':>9}{'bumps':>7}  why")
    for row in rows:
        line = f"{row['family']} {row['seed']}"
        numbers = (
            f"{row['off_zones']:7.2f}{row['off_without']:9.2f}{row['furthest']:10.2f}{row['furthest_without']:9.2f}"
        )
        print(f"{line:16}{numbers}{row['bumps']:7d}  {row['why']}")
    print(f"found {found} of {len(rows)}; out of tolerance by the bumps {blamed}")


if __name__ == "__main__":
    main()
