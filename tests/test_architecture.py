"""The house rules that a syntax tree can hold: who imports whom, what core may touch, who makes a command."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = ("controller", "firmware_bridge", "plant_sim", "evencoat")  # each may import itself and those to its left
IMPURE = {
    "time", "os", "socket", "threading", "asyncio", "logging", "random", "torch", "can", "datetime", "pathlib",
    "subprocess", "structlog", "numpy.random",
}  # fmt: skip
SOURCES = [path for package in ORDER for path in sorted((ROOT / package).rglob("*.py"))]
EVERY_FILE = [*SOURCES, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "benchmarks").rglob("*.py"))]
UNPICKLERS = {
    "pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "jsonpickle",
    "multiprocessing.reduction", "numpy.lib.format.read_array",
}  # fmt: skip
UNPICKLING_CALLS = {
    "torch.load", "torch.save", "torch.jit.load", "pd.read_pickle", "pandas.read_pickle", "yaml.load",
}  # fmt: skip
CORE = [path for path in SOURCES if path.is_relative_to(ROOT / "controller/core")]
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[str]:
    """Every module that a file names in an import, and `package.name` for what it takes from a package."""
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(module: str, names: set[str] | tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def attributes(path: Path) -> Iterator[str]:
    """Dotted names used in a file, with `np` written out."""
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node).replace("np.", "numpy.", 1)


def code_of(path: Path) -> str:
    """A file without its comments and docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    return ast.unparse(tree)


def test_there_is_something_to_walk() -> None:
    assert len(CORE) >= 8
    assert {path.relative_to(ROOT).parts[0] for path in SOURCES} == set(ORDER)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_point_left(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    right = ORDER[ORDER.index(package) + 1 :]
    for module in imports(path):
        assert not within(module, right), f"{module} stands to the right"
        assert not within(module, ("tests", "benchmarks"))
        if package in ("firmware_bridge", "plant_sim") and within(module, ("controller",)):
            assert within(module, ("controller.line", "controller.port")), f"{module}: only the vocabulary and the port"


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_core_is_pure(path: Path) -> None:
    assert not [module for module in imports(path) if within(module, IMPURE)]
    assert not [name for name in attributes(path) if within(name, {"numpy.random"})]
    calls = {ast.unparse(node.func) for node in ast.walk(TREES[path]) if isinstance(node, ast.Call)}
    assert not calls & {"open", "print", "input", "exec", "eval", "__import__"}


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_core_functions_are_short_and_state_is_never_global(path: Path) -> None:
    for node in ast.walk(TREES[path]):
        assert not isinstance(node, ast.Global | ast.Nonlocal)
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            allowed = 60 if node.name == "step" and path.name == "step.py" else 40
            assert lines <= allowed, f"{node.name} has {lines} lines"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_each_thing_lives_in_its_own_room(path: Path) -> None:
    name, modules = name_of(path), list(imports(path))
    if not name.startswith("firmware_bridge/bus_"):
        assert not [module for module in modules if within(module, {"can"})], (
            "python-can stays in firmware_bridge/bus_*"
        )
    if not name.startswith("controller/learn/"):
        assert not [module for module in modules if within(module, {"torch"})], "torch stays in controller/learn"
    if name.startswith("controller/"):
        text = code_of(path).lower()
        assert not [word for word in ("plant_sim", "simulat", "if sim") if word in text], (
            "the controller knows no plant"
        )


def objects_out_of_bytes(tree: ast.AST) -> Iterator[str]:
    """Whatever in a file could make objects, and so run code, out of bytes: a module, a call, an argument."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            names += [f"{names[0]}.{alias.name}" for alias in node.names if isinstance(node, ast.ImportFrom)]
            yield from (name for name in names if within(name, UNPICKLERS))
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in UNPICKLING_CALLS:
                yield name
            yield from (
                f"{name}({word.arg}={ast.unparse(word.value)})"
                for word in node.keywords
                if word.arg == "allow_pickle"
                and not (isinstance(word.value, ast.Constant) and word.value.value is False)
            )


@pytest.mark.parametrize("path", EVERY_FILE, ids=name_of)
def test_no_pickle_anywhere(path: Path) -> None:
    """Tests and benchmarks too. numpy's own default refuses objects when it reads."""
    assert list(objects_out_of_bytes(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import numpy, _pickle",
        "from multiprocessing import reduction",
        "import marshal as quick",
        "import shelve",
        "torch.load(path)",
        "np.load(path, allow_pickle=True)",
        "numpy.load(path, allow_pickle=anything)",
        "pandas.read_pickle(path)",
    ],
)
def test_a_pickle_would_be_found(line: str) -> None:
    assert list(objects_out_of_bytes(ast.parse(line)))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_only_the_envelope_makes_an_actuator_command(path: Path) -> None:
    makers = [
        node
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "ActuatorCommand"
    ]
    assert bool(makers) == (name_of(path) == "controller/core/envelope.py")


def test_the_daemon_carries_neither_plant_nor_compiler_nor_torch() -> None:
    """Asked of a fresh interpreter: what a control process has loaded once everything it needs is imported."""
    asked = "import sys, evencoat.processes; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"plant_sim", "numba", "llvmlite", "torch", "matplotlib"} & set(loaded.stdout.split())
