"""Two guards by two hands: what the envelope lets slip the gate must not share, and every line has its own test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from evencoat.settings import shipped_lines
from tests.safety import battery

ROOT = Path(__file__).parents[2]
ENVELOPE, GATE = ROOT / "controller/core/envelope.py", ROOT / "firmware_bridge/tx_gate.py"
OURS = ("controller", "firmware_bridge", "plant_sim", "evencoat")


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def defined(path: Path) -> set[str]:
    """Names that a module gives to constants, functions and classes."""
    names: set[str] = set()
    for node in tree(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def bodies(path: Path) -> set[str]:
    """The code of every function without its name, docstring and the names of its arguments' types."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            text = "\n".join(ast.unparse(line) for line in body)
            if len(text) > 60:
                found.add(text)
    return found


def test_the_gate_needs_nothing_of_ours_at_all() -> None:
    assert not [name for name in imported(GATE) if name.split(".")[0] in OURS]
    assert not [name for name in imported(ENVELOPE) if name.split(".")[0] in OURS[1:]]


def test_they_share_no_name_and_no_code() -> None:
    assert len(bodies(GATE)) > 5 and len(bodies(ENVELOPE)) > 5
    assert not bodies(GATE) & bodies(ENVELOPE)
    assert not (defined(GATE) & defined(ENVELOPE)) - {"Array"}


def test_nobody_computes_the_gates_table() -> None:
    """It is built in one place, and there from [gate] of the file alone."""
    made = []
    for package in OURS:
        for path in sorted((ROOT / package).rglob("*.py")):
            calls = (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call))
            made += [ast.unparse(call) for call in calls if ast.unparse(call.func).split(".")[-1] == "GateTable"]
    assert made == ["GateTable(**file.gate.model_dump())"]


@pytest.mark.parametrize("name", sorted(shipped_lines()))
def test_every_shipped_line_has_a_safety_test_of_its_own(name: str) -> None:
    path = Path(__file__).with_name(f"test_{name.replace('-', '_')}.py")
    classes = [node for node in tree(path).body if isinstance(node, ast.ClassDef)]
    assert [ast.unparse(base) for node in classes for base in node.bases] == [battery.SafetyBattery.__name__]
    numbers = {call.args[0].value for call in ast.walk(classes[0]) if isinstance(call, ast.Call) and call.args
               and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)}  # fmt: skip
    assert numbers == {f"{name}.toml"}
    restated = [node for node in ast.walk(classes[0]) if isinstance(node, ast.Constant)]
    assert len(restated) == 20 and not [node for node in ast.walk(classes[0]) if isinstance(node, ast.Attribute)]
