"""What does the network cost in a cycle? core.step with our forward pass, with torch's and with onnxruntime's.

    python benchmarks/network.py [--quick] [--json] [--model M] [--out FILE.png]

`line-40` and `wide-120` at 10 Hz, plant and controller taking turns; `adaptive` is the same controller without a
network. Each forward pass runs in processes of its own (torch and onnxruntime do not mix), in turns, several times.
torch is in the extra `learn`; onnx and onnxruntime are not ours: who is not installed is left out, and it is said.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.runs import decisions_us, machine
from controller.core import network
from controller.core import step as core
from controller.core.network import Head, Network
from controller.line.command import Mode
from controller.line.description import LawName
from evencoat.guest import model_of, network_of
from evencoat.league import field
from evencoat.league.players import Core
from evencoat.model_store import ModelStore, default_folder
from evencoat.settings import load_line
from plant_sim.scenario import Scenario

LINES = ("line-40", "wide-120")
NEEDS = {"adaptive": (), "numpy": (), "torch": ("torch",), "onnxruntime": ("onnx", "onnxruntime")}
ROUNDS = 3
Pass = Callable[[Head, np.ndarray, np.ndarray], np.ndarray]


def by_torch(head: Head) -> Pass:
    """The head's forward pass by torch, on one thread."""
    import torch

    torch.set_num_threads(1)
    of = {name: torch.tensor(np.asarray(value)) for name, value in head._asdict().items()}

    @torch.inference_mode()
    def run(_: Head, context: np.ndarray, taps: np.ndarray) -> np.ndarray:
        hidden = torch.tanh(((torch.from_numpy(context) - of["centre"]) / of["scale"]) @ of["w1"] + of["b1"])
        raw = (torch.tanh(hidden @ of["w2"] + of["b2"]) @ of["w3"] + of["b3"]).reshape(-1, taps.size)
        found = head.bound * raw / (1.0 + raw.abs().sum(-1, keepdim=True)) @ torch.from_numpy(taps)
        return found.numpy()

    return run


def by_onnx(head: Head) -> Pass:
    """The head's forward pass as a graph of onnxruntime, on one thread."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    taps = head.w3.shape[1] // network.MEAN_PREDICTORS
    constants = {name: np.asarray(value) for name, value in head._asdict().items()}
    constants |= {"one": np.ones(1), "rows": np.array([-1, taps]), "axis": np.array([1])}
    steps = [
        ("Sub", "context centre", "a"), ("Div", "a scale", "b"), ("MatMul", "b w1", "c"), ("Add", "c b1", "d"),
        ("Tanh", "d", "e"), ("MatMul", "e w2", "f"), ("Add", "f b2", "g"), ("Tanh", "g", "h"), ("MatMul", "h w3", "i"),
        ("Add", "i b3", "j"), ("Reshape", "j rows", "k"), ("Abs", "k", "l"), ("ReduceSum", "l axis", "m"),
        ("Add", "m one", "n"), ("Div", "k n", "o"), ("Mul", "o bound", "p"), ("MatMul", "p taps", "said"),
    ]  # fmt: skip
    graph = helper.make_graph(
        [helper.make_node(kind, inputs.split(), [output]) for kind, inputs, output in steps],
        "head",
        [
            helper.make_tensor_value_info("context", TensorProto.DOUBLE, [head.centre.size]),
            helper.make_tensor_value_info("taps", TensorProto.DOUBLE, [taps]),
        ],
        [helper.make_tensor_value_info("said", TensorProto.DOUBLE, [network.MEAN_PREDICTORS])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda _, context, seen: session.run(None, {"context": context, "taps": seen})[0]


def forward_by(name: str, guest: Network) -> None:
    """Put another forward pass of the mean's head in the place of ours; it has to say the same."""
    ours = network.predictors
    other = {"torch": by_torch, "onnxruntime": by_onnx}[name](guest.mean)
    rng = np.random.default_rng(0)
    context, taps = rng.standard_normal(network.MEAN_CONTEXT), rng.standard_normal(network.MEAN_TAPS)
    np.testing.assert_allclose(other(guest.mean, context, taps), ours(guest.mean, context, taps), atol=1e-6)
    network.predictors = lambda head, c, t: (other if head is guest.mean else ours)(head, c, t)


def one(name: str, line: str, cycles: int, guest: Network) -> list[float]:
    """Microseconds of every cycle after a warm-up, with the plant answering."""
    field.TURN_S = 0.1
    match = field.of_line(load_line(line).line, Scenario.load("first-shift"), 1, 30.0)
    law = LawName.ADAPTIVE if name == "adaptive" else LawName.NEURAL
    if name in ("torch", "onnxruntime"):
        forward_by(name, guest)
    told = replace(match.line, control=replace(match.line.control, law=law))
    own = Core(core.configure(told, field.TURN_S, guest=guest), Mode.AUTO)
    return decisions_us(match, own, cycles).tolist()


def chosen(named: str) -> tuple[Network, str]:
    """The network to be measured: the one named or in use; without any, one of random weights costs the same."""
    model = model_of(named, ModelStore(default_folder()))
    if model is not None:
        return network_of(model), model.sha256[:12]
    rng, blank = np.random.default_rng(0), network.blank(24)
    parts = {name: 0.3 * rng.standard_normal(getattr(blank.mean, name).shape) for name in ("w1", "w2", "w3")}
    return blank._replace(mean=blank.mean._replace(**parts)), "random weights"


def picture(rows: list[dict[str, Any]], path: Path) -> None:
    """Medians and 99th percentiles side by side."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, every = pyplot.subplots(1, len(LINES), figsize=(9, 3.2), sharey=True)
    for axes, line, limit_ms in zip(every, LINES, (1.0, 3.0), strict=True):
        mine = [row for row in rows if row["line"] == line]
        places = np.arange(len(mine))
        axes.barh(places, [row["p99_us"] for row in mine], color="#d9d9d4", label="99 % of cycles")
        axes.barh(places, [row["median_us"] for row in mine], color="#5b3a8e", height=0.5, label="median")
        for place, row in zip(places, mine, strict=True):
            axes.text(row["median_us"], place, f" {row['median_us']:.0f} us", va="center", fontsize=8)
        axes.axvline(1e3 * limit_ms, color="#b5533a", lw=1)
        axes.set_yticks(places, [row["forward"] for row in mine])
        axes.set_title(f"{line}: {mine[0]['zones']} zones, limit {limit_ms:g} ms", fontsize=9)
        axes.set_xlabel("core.step, us")
    every[0].legend(frameon=False, fontsize=8, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer cycles, one round")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--model", default="", help="digits of a hash, or a file; without it, the model in use")
    parser.add_argument("--out", type=Path, help="keep the picture here")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    guest, told = chosen(arguments.model)
    if arguments.one:
        name, line, cycles = arguments.one
        print(json.dumps(one(name, line, int(cycles), guest)))
        return
    here = {name: all(importlib.util.find_spec(module) for module in needs) for name, needs in NEEDS.items()}
    cycles, rounds = (200, 1) if arguments.quick else (1500, ROUNDS)
    spent: dict[tuple[str, str], list[float]] = {}
    for number in range(rounds):
        for line in LINES:
            for name in (name for name, installed in here.items() if installed):
                print(f"round {number + 1}: {line}, {name}", file=sys.stderr)
                call = [sys.executable, "-m", "benchmarks.network", "--model", arguments.model]
                done = subprocess.run(
                    [*call, "--one", name, line, str(cycles)], check=True, capture_output=True, text=True
                )
                spent.setdefault((line, name), []).extend(json.loads(done.stdout))
    rows = [
        {
            "line": line,
            "zones": load_line(line).line.zones,
            "forward": name,
            "cycles": len(us),
            "median_us": float(np.median(us)),
            "p99_us": float(np.percentile(us, 99.0)),
            "max_us": float(np.max(us)),
        }
        for (line, name), us in spent.items()
    ]
    left_out = [name for name, installed in here.items() if not installed]
    if arguments.out:
        picture(rows, arguments.out)
    if arguments.json:
        print(json.dumps({"model": told, "rows": rows, "not_installed": left_out, "machine": machine()}))
        return
    print(f"model: {told}" + (f"; not installed: {', '.join(left_out)}" if left_out else ""))
    for row in rows:
        print(
            f"{row['line']:9} {row['forward']:12} median {row['median_us']:7.0f} us   99 % {row['p99_us']:7.0f} us   "
            f"max {row['max_us']:7.0f} us   ({row['cycles']} cycles)"
        )


if __name__ == "__main__":
    main()
