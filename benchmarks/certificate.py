"""How much of what is really stable does the certificate of the lips' loop reach? A map over gain and alignment.

    python benchmarks/certificate.py [--quick] [--json] [--lines A,B] [--delay-s D] [--out DIR]

The frozen loop of a shipped line is judged twice at each wrong gain and alignment: by controller.core.certificate, and
by Nyquist's criterion on the loop itself (the winding of its return difference, open loop stable). `reached` is the
share of the really stable part of the map that is certified; `wrong` counts certified points that are not stable.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.runs import machine
from controller.core import estimate
from controller.core.certificate import Loop, Misfits, certify, misfit
from controller.core.law import frozen
from controller.core.response import believe
from controller.line.description import Array
from evencoat.settings import load_line

LINES = ("pilot-16", "line-40")
GAINS = (0.3, 4.0)  # factors
SHIFT_PITCHES = 0.9  # at most; a quarter of the finest wave is half a pitch
FREQUENCIES = 400


def really_stable(matrix: Array, loop: Loop, delay_s: float) -> bool:
    """Nyquist: det(I + F (M exp(-delay s) - I) exp(-dead s)) does not wind round zero."""
    least = max(1.0, float(np.abs(matrix).sum(axis=1).max())) / float((loop.slow_s + loop.quick_s).min())
    w = np.geomspace(1e-2 / float(loop.slow_s.max()), 10.0 * least, FREQUENCIES)  # beyond, nothing comes round
    lags = 1.0 / ((1.0 + 1j * np.outer(w, loop.slow_s)) * (1.0 + 1j * np.outer(w, loop.quick_s)))
    eye = np.eye(len(matrix))
    late, dead = np.exp(-1j * delay_s * w), np.exp(-1j * loop.dead_s * w)
    round_trip = lags[:, :, None] * (late[:, None, None] * matrix - eye) * dead[:, None, None]
    sign, _ = np.linalg.slogdet(eye + round_trip)
    if np.linalg.det(matrix) <= 0.0:  # at rest
        return False
    turned = np.unwrap(np.angle(sign))
    return bool(abs(turned[-1]) < np.pi)  # it begins near 0 and ends there, or whole turns away


def mapped(name: str, size: int, delay_s: float) -> dict[str, Any]:
    """One line's map, (size, size) over gain and alignment: 0 unstable, 1 stable, 2 certified."""
    line = load_line(name).line
    model = believe(line)
    loop = frozen(line, estimate.build(line, model), line.control.closed_loop_cd_s)
    gains, shifts = np.geomspace(*GAINS, size), np.linspace(0.0, SHIFT_PITCHES, size)
    verdicts, wrong = np.zeros((size, size), dtype=int), 0
    for row, shift in enumerate(shifts):
        for column, gain in enumerate(gains):
            true = misfit(line, model, np.array([np.log(gain), 0.0, shift, 0.0]))
            stable = really_stable(true, loop, delay_s)
            certified = certify(Misfits(true[None], 0.0, 0.0, delay_s), loop).certified
            wrong += certified and not stable
            verdicts[row, column] = 2 if certified else int(stable)
    return {
        "line": name,
        "delay_s": delay_s,
        "gains": gains.tolist(),
        "shifts_pitches": shifts.tolist(),
        "verdicts": verdicts.tolist(),
        "reached": float(np.mean(verdicts[verdicts > 0] == 2)),
        "wrong": wrong,
    }


def picture(maps: list[dict[str, Any]], path: Path) -> None:
    """Unstable, stable and certified, a panel a line."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.patches import Patch

    colours = ["#d9d9d9", "#9ecae1", "#3182bd"]
    figure, panels = pyplot.subplots(
        1, len(maps), figsize=(3.6 * len(maps), 3.6), layout="constrained", sharey=True, squeeze=False
    )
    for axes, found in zip(panels[0], maps, strict=True):
        axes.contourf(
            found["gains"], found["shifts_pitches"], found["verdicts"], levels=[-0.5, 0.5, 1.5, 2.5], colors=colours
        )
        axes.set_xscale("log")
        axes.set_xticks([0.5, 1.0, 2.0, 4.0], ["0.5", "1", "2", "4"])
        axes.minorticks_off()
        axes.set_title(f"{found['line']}: {100.0 * found['reached']:.0f} % reached", fontsize=10)
        axes.set_xlabel("true gain over believed")
    panels[0][0].set_ylabel("misaligned, zones")
    names = ("unstable", "stable", "certified")
    panels[0][-1].legend(handles=[Patch(color=c, label=n) for c, n in zip(colours, names, strict=True)], fontsize=8)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the pilot line on a coarse map")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--lines", default=",".join(LINES), help="shipped lines")
    parser.add_argument("--delay-s", type=float, default=0.5, help="error of the transport delay (default 0.5)")
    parser.add_argument("--out", type=Path, help="keep certificate.png here")
    arguments = parser.parse_args()
    names, size = (("pilot-16",), 9) if arguments.quick else (tuple(arguments.lines.split(",")), 25)
    began = time.perf_counter()
    maps = [mapped(name, size, arguments.delay_s) for name in names]
    took_s = round(time.perf_counter() - began, 1)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        picture(maps, arguments.out / "certificate.png")
    if arguments.json:
        print(json.dumps({"machine": machine(), "took_s": took_s, "maps": maps}, indent=1))
        return
    print(f"took_s={took_s}")
    for found in maps:
        print(f"{found['line']:10} reached {100.0 * found['reached']:.0f} %  wrong {found['wrong']}")


if __name__ == "__main__":
    main()
