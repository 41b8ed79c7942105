"""How many of ten million bad frames are taken for good ones?

    python benchmarks/frames.py [--quick] [--seed N] [--json]

Corrupted, masqueraded, reordered, replayed and forged frames against the readers and receivers that run on the line,
each attack with its own bound; and all patterns of up to three flipped bits in every message of the shipped DBCs. Exit
code 3 when a bound is broken.
"""

from __future__ import annotations

import argparse
import json
import sys

from rich.console import Console
from rich.progress import Progress

from evencoat.campaigns.frames import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two hundred thousand frames")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    with Progress(console=Console(stderr=True), transient=True, disable=arguments.json) as bar:
        task = bar.add_task("frames", total=1.0)
        result = run(
            arguments.quick,
            arguments.seed,
            lambda share, words: bar.update(task, completed=share, description=words),
        )
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print(f"{'attack':<26}{'frames':>11}{'taken':>8}{'limit':>9}   bound")
        for row in result["attacks"]:
            limit = "none" if row["limit"] is None else f"{row['limit']:.0f}"
            print(f"{row['name']:<26}{row['frames']:>11,}{row['taken']:>8,}{limit:>9}   {row['bound']}")
        told = result["patterns"]
        print(
            f"{told['checked']:,} patterns of one to three flipped bits in {told['messages']} messages: "
            f"{told['missed']} missed; {told['spot_checks']:,} real frames by sample, {told['spot_missed']} missed"
        )
        print(f"{result['frames']:,} frames, seed {result['seed']}, {result['seconds']:.0f} s: ", end="")
        print("every bound is kept" if result["passed"] else "A BOUND IS BROKEN")
    sys.exit(0 if result["passed"] else 3)


if __name__ == "__main__":
    main()
