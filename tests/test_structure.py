"""The house as a whole: arrows point downwards, every module stands alone, no file and no name is a junk drawer."""

import ast
import graphlib
import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import afield

ROOT = Path(__file__).parents[1]
PACKAGE = Path(afield.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 450
JUNK_DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc", "facade", "concretes"}


def module_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


#: ``__main__`` runs what it is for when it is imported.
MODULES = [module_of(file) for file in FILES if file.stem != "__main__"]

#: Imports each module in a process of its own, forked from one that has loaded what is not ours and nothing that is:
#: quick, and no module profits from what another one imported. Says on each line what was wrong.
ALONE = """
import contextlib, importlib, os, sys, threading, traceback, warnings

modules = {modules!r}
ours = "afield"

def foreign():
    for name in modules:
        with contextlib.suppress(BaseException):
            importlib.import_module(name)
    return [name for name in sys.modules if name.partition(".")[0] not in (ours, "__main__")]

def alone(name):
    before = threading.active_count()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            importlib.import_module(name)
        for one in caught:
            print(name, "warns:", warnings.formatwarning(one.message, one.category, one.filename, one.lineno))
        if threading.active_count() != before:
            print(name, "started", [thread.name for thread in threading.enumerate()])
    except BaseException:
        print(name, "does not import alone:", traceback.format_exc())

warnings.simplefilter("ignore")
readable, writable = os.pipe()
child = os.fork()
if not child:
    os.write(writable, "\\n".join(foreign()).encode())
    os._exit(0)
os.close(writable)
with open(readable) as pipe:
    for name in pipe.read().split():
        with contextlib.suppress(BaseException):
            importlib.import_module(name)
os.waitpid(child, 0)
assert not [name for name in sys.modules if name.partition(".")[0] == ours]
for name in modules:
    child = os.fork()
    if not child:
        alone(name)
        sys.stdout.flush()
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(name, "ended the interpreter", flush=True)
"""


def python(code: str) -> str:
    """Run it in a fresh interpreter, away from the sources; what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd="/", timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- arrows ----------------------------------------------------------------------------------------------------------


def test_arrows_point_downwards() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_drawing_has_every_floor() -> None:
    """A folder that is in no layer could be imported by, and import, anything."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    floors = {name.strip() for layer in contracts[0]["layers"] for name in layer.split("|")}
    there = {name for name in MODULES if name.count(".") == 1}
    assert there - floors == set()


# -- modules ---------------------------------------------------------------------------------------------------------


def imported_at_once(file: Path) -> set[str]:
    """The modules of ours that a file imports when it is imported itself."""
    found: set[str] = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_nothing_imports_in_circles() -> None:
    there = set(MODULES)
    arrows = {module_of(file): imported_at_once(file) & there - {module_of(file)} for file in FILES}
    graphlib.TopologicalSorter(arrows).prepare()  # a CycleError names the circle


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks an interpreter for each module")
def test_every_module_imports_alone_and_quietly() -> None:
    """Nothing imports in circles, so whatever another imports at once has been imported alone before it."""
    below = set().union(*map(imported_at_once, FILES))
    tops = [name for name in MODULES if name not in below]
    assert 50 < len(tops) < len(MODULES)
    complaints = python(ALONE.format(modules=tops))
    assert complaints == "", complaints


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        # The top costs nothing until a name is asked for.
        ("afield", {"aiohttp", "asyncio", "dill", "msgspec", "pika", "rich", "typer"}),
        # A worker starts once per process and block: neither HTTP nor queues nor a command line.
        ("afield.worker", {"aiohttp", "pika", "litestar", "sqlalchemy", "pydantic", "rich", "typer", "asyncio"}),
        ("afield.wire", {"aiohttp", "pika", "litestar", "sqlalchemy", "pydantic", "asyncio"}),
        # Whoever only submits needs nothing of the extras.
        ("afield.sdk", {"litestar", "sqlalchemy", "uvicorn", "pydantic", "jinja2", "psutil", "yaml"}),
        ("afield.cli", {"litestar", "sqlalchemy", "uvicorn", "pydantic", "jinja2"}),
        # The two ends never see each other's dependencies.
        ("afield.endpoint", {"litestar", "sqlalchemy", "uvicorn"}),
        ("afield.service", {"parsl"}),
    ],
)
def test_a_floor_loads_nothing_it_does_not_need(module: str, heavy: set[str]) -> None:
    floor = [name for name in MODULES if name == module or (module != "afield" and name.startswith(f"{module}."))]
    # Parsl is chosen by an owner, and loads what it finds.
    parsls = ("afield.endpoint.engines.parsl", "afield.worker.mpi_pool")
    floor = [name for name in floor if not name.startswith(parsls)]
    code = (
        f"import importlib, sys\nfor name in {floor!r}: importlib.import_module(name)\nprint(*sys.modules, sep=chr(10))"
    )
    assert heavy & set(python(code).split()) == set()


# -- files -----------------------------------------------------------------------------------------------------------


def test_no_file_is_too_long_to_read() -> None:
    found = {str(file.relative_to(PACKAGE)): len(file.read_text("utf-8").splitlines()) for file in FILES}
    assert {name: lines for name, lines in found.items() if lines > MAX_LINES} == {}


def test_no_module_is_a_junk_drawer() -> None:
    assert [name for name in MODULES if JUNK_DRAWERS & set(name.strip("_").split("."))] == []


def test_every_module_says_what_it_is_for() -> None:
    assert [str(file) for file in FILES if not file.read_text("utf-8").startswith(('"""', 'r"""'))] == []


def test_every_folder_of_sources_is_a_package() -> None:
    folders = {parent for file in FILES for parent in file.parents if PACKAGE in parent.parents}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


# -- names -----------------------------------------------------------------------------------------------------------


def test_the_public_names_are_sorted_and_real() -> None:
    names = list(getattr(afield, "__all__", []))
    assert names == sorted(set(names))
    assert [name for name in names if not hasattr(afield, name)] == []
    assert set(names) <= set(dir(afield))


def test_what_a_module_lists_is_there_and_once() -> None:
    listed = {name: list(getattr(importlib.import_module(name), "__all__", [])) for name in MODULES}
    absent = {name: [one for one in names if not hasattr(sys.modules[name], one)] for name, names in listed.items()}
    assert {name: names for name, names in absent.items() if names} == {}
    assert [name for name, names in listed.items() if len(set(names)) < len(names)] == []
