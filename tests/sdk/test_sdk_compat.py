"""Scripts for the published SDK as they are: real interpreters, each with a script in a directory of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PUBLISHED_PYTHON = os.environ.get("AFIELD_TEST_PUBLISHED_PYTHON")


@pytest.fixture
def run(tmp_path):
    """Runs a script of these lines, with our way before it or another one."""

    def run(lines, *args, way=("-m", "afield.compat"), path=None, name="script.py"):
        place = tmp_path / "scripts"
        place.mkdir(exist_ok=True)
        (place / name).write_text(lines)
        return subprocess.run(
            [sys.executable, *way, f"scripts/{name}", *args],
            cwd=tmp_path,
            env=os.environ | {"AFIELD_USER_DIR": str(tmp_path)} | ({"PYTHONPATH": str(path)} if path else {}),
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture
def python(tmp_path):
    """Runs code in a fresh interpreter; what it printed."""

    def python(code):
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return python


# -- as python script.py would ----------------------------------------------------------------------------------------

SURROUNDINGS = """
import inspect, os, pathlib, sys
here = sys.modules["__main__"]
print(sys.argv, __name__, __file__, __package__, __spec__, __doc__, sys.path[0])
print(sorted(vars()))
print(here.__dict__ is globals(), __builtins__ is __import__("builtins"), type(__loader__).__name__)
def f(): return 1
print(inspect.getsource(f), inspect.getmodule(f) is here, f.__module__)
sys.exit(7)
"""


def same(run, lines, *args):
    ours, plain = run(lines, *args), run(lines, *args, way=())
    assert (ours.returncode, ours.stdout, ours.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    return ours


def test_a_script_finds_what_it_would_find(run):
    done = same(run, SURROUNDINGS, "one", "--two", "-h")
    assert done.returncode == 7
    assert done.stdout.startswith("['scripts/script.py', 'one', '--two', '-h'] __main__ ")


def test_a_module_beside_the_script_is_found(run, tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "beside.py").write_text("VALUE = 5\n")
    assert same(run, "import beside\nprint(beside.VALUE)\n").stdout == "5\n"


@pytest.mark.parametrize(
    "lines",
    [
        "def f():\n    raise ValueError('oh')\nf()\n",
        "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise KeyError('a') from e\n",
        "print(1)\nif True\n    print(2)\n",
        "raise SystemExit('a last word')\n",
        "import sys\nsys.exit()\n",
        "# -*- coding: latin-1 -*-\nraise OSError('é')\n",
        "import atexit\natexit.register(print, 'the end')\n1 / 0\n",
    ],
)
def test_a_script_ends_as_it_would_end(run, lines):
    same(run, lines)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_script_that_is_interrupted(run):
    done = same(run, "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n")
    assert done.returncode == -signal.SIGINT


def test_what_is_no_script(run):
    assert "usage: python -m afield.compat script.py" in run("", way=("-m", "afield.compat", "--help")).stdout
    done = run("", way=("-m", "afield.compat", "missing.py"))
    assert (done.returncode, done.stderr) == (
        2,
        "afield.compat: missing.py cannot be read: No such file or directory\n",
    )
    done = run("", way=("-m", "afield.compat", "-x"))
    assert done.returncode == 2
    assert done.stderr.startswith("usage")


# -- imports ----------------------------------------------------------------------------------------------------------

SUBMITS = """
import sys
from concurrent.futures import as_completed
from globus_compute_sdk import Client, Executor
from globus_compute_sdk.sdk.executor import ComputeFuture
from globus_compute_sdk.serialize import ComputeSerializer, CombinedCode
from afield.sdk.transport.memory import MemoryService

FACTOR = 3

class Point:
    def __init__(self, x):
        self.x = x

def helper(x):
    return x * FACTOR

def times(x):
    return Point(helper(x))

service = MemoryService()
client = Client(transport=service, connector=service.broker)
with Executor(endpoint_id="4b116d3c-1703-4f8f-9f6f-39921e5864df", client=client) as gce:
    futures = [gce.submit(times, x) for x in range(3)]
    assert isinstance(futures[0], ComputeFuture)
    print(sorted(future.result().x for future in as_completed(futures)))
client.close()
serializer = ComputeSerializer()
print(repr(serializer.pack_buffers([serializer.serialize(part) for part in (times, (5,), {})])))
"""


def test_functions_of_a_script_travel_by_value(run, python):
    done = run(SUBMITS)
    assert done.returncode == 0, done.stderr
    results, packed = done.stdout.splitlines()
    assert results == "[0, 3, 6]"
    # Somewhere else, where there is no such script.
    code = f"""
from afield import ComputeSerializer
function, args, kwargs = ComputeSerializer().unpack_and_deserialize({packed})
print(function(*args, **kwargs).x)
"""
    assert python(code) == "15\n"


def test_a_script_of_the_first_generation(run):
    done = run("""
from funcx import FuncXClient, FuncXExecutor
from funcx.errors import FuncxTaskExecutionFailed
from afield.sdk.transport.memory import MemoryService

service = MemoryService()
fxc = FuncXClient(transport=service, connector=service.broker)
fx = FuncXExecutor(fxc, "a label", batch_size=5)
one, other = "4b116d3c-1703-4f8f-9f6f-39921e5864df", "00000000-0000-0000-0000-000000000001"
def f(x):
    return 10 // x
futures = [fx.submit(f, x, endpoint_id=ep) for x, ep in ((2, one), (5, other), (0, one))]
print([future.result() for future in futures[:2]], fx.label, fx.batch_size)
print([service.tasks_by_id[future.task_id].endpoint_id == one for future in futures])
try:
    futures[2].result()
except FuncxTaskExecutionFailed as error:
    print("ZeroDivisionError" in str(error))
fx.shutdown()
fxc.close()
""")
    assert done.stdout.splitlines() == ["[5, 2] a label 5", "[True, False, True]", "True"], done.stderr


def test_every_name_of_the_table_is_there(python):
    code = """
import importlib
from afield.compat import install
from afield.compat.names import PUBLISHED
install()
install()
for module, names in PUBLISHED.items():
    there = importlib.import_module(module)
    for name in names:
        getattr(there, name)
    assert set(names) <= set(dir(there)), module
    star = {}
    exec(f"from {module} import *", star)
    assert {name for name in names if not name.startswith("_")} <= set(star), module
import globus_compute_sdk
print(globus_compute_sdk.serialize.JSONData, globus_compute_sdk.__version__ >= "4.19")
"""
    assert python(code) == "<class 'afield.serialize.data.JSONData'> True\n"


def test_importing_costs_nothing_before_a_name_is_used(python):
    code = """
import sys, afield.compat
afield.compat.install()
import globus_compute_sdk.sdk.executor
print({"aiohttp", "dill", "msgspec", "asyncio", "afield.sdk"} & set(sys.modules))
"""
    assert python(code) == "set()\n"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("from globus_compute_sdk import Nobody", "ModuleNotFoundError: Afield has no globus_compute_sdk.Nobody; docs"),
        ("import globus_compute_sdk.nothing", "ModuleNotFoundError: Afield has no globus_compute_sdk.nothing; docs"),
        (
            "from globus_compute_sdk.sdk.auth.whoami import x",
            "no globus_compute_sdk.sdk.auth (the hosted service's login",
        ),
        ("from globus_compute_sdk.sdk.utils import chunk_by", "no globus_compute_sdk.sdk.utils.chunk_by (part of how"),
        ("import funcx\nfuncx.Nobody", "AttributeError: Afield has no funcx.Nobody; docs"),
    ],
)
def test_a_name_that_is_not_here(run, line, says):
    done = run(line + "\n")
    assert done.returncode == 1
    assert says in done.stderr.splitlines()[-1]
    assert str(Path("afield", "compat")) not in done.stderr


def test_who_asks_first_is_answered(python):
    code = """
import afield.compat
afield.compat.install()
import globus_compute_sdk
print(hasattr(globus_compute_sdk, "Nobody"), hasattr(globus_compute_sdk, "Client"))
try:
    from globus_compute_sdk import ContainerSpec
except ImportError as error:
    print("ContainerSpec" in str(error))
try:
    import globus_compute_sdk.sdk.container_spec
except ModuleNotFoundError as error:
    print("containers" in str(error))
"""
    assert python(code).split() == ["False", "True", "True", "True"]


# -- beside the real one ----------------------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path):
    """A directory in which a package of that name is installed."""

    def install(module, distribution, version):
        site = tmp_path / "site"
        (site / module).mkdir(parents=True)
        (site / module / "__init__.py").write_text("")
        (site / f"{module}-{version}.dist-info").mkdir()
        (site / f"{module}-{version}.dist-info" / "METADATA").write_text(f"Name: {distribution}\nVersion: {version}\n")
        return site

    return install


@pytest.mark.parametrize(("module", "distribution"), [("globus_compute_sdk", "globus-compute-sdk"), ("funcx", "funcx")])
def test_it_refuses_beside_the_real_one(run, installed, module, distribution):
    site = installed(module, distribution, "4.19.0")
    done = run("print('ran')\n", path=site)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"afield.compat: {distribution} 4.19.0 is installed here ({site}")
    assert f"pip uninstall {distribution}" in done.stderr
    assert f"write afield instead of {module}" in done.stderr


def test_a_program_that_installs_it_hears_the_same(run, installed):
    lines = "import globus_compute_sdk\nimport afield.compat\nafield.compat.install()\n"
    done = run(lines, way=(), path=installed("globus_compute_sdk", "globus-compute-sdk", "4.15.0"))
    assert "ConfigurationError: globus-compute-sdk 4.15.0 is installed here" in done.stderr


def test_an_empty_folder_of_that_name_is_no_package(run, tmp_path):
    (tmp_path / "left" / "globus_compute_sdk").mkdir(parents=True)
    assert run("from globus_compute_sdk import Client\nprint(1)\n", path=tmp_path / "left").stdout == "1\n"


# -- pickles ----------------------------------------------------------------------------------------------------------

PICKLES = """
import pickle
from globus_compute_sdk import ShellFunction
from globus_compute_sdk.errors import TaskPending
from globus_compute_sdk.sdk.shell_function import ShellResult
print([pickle.dumps(ShellFunction("echo {word}", walltime=5)), pickle.dumps(ShellResult("c", "o", "e", 3))])
"""


def test_objects_with_published_names_can_be_read(python):
    code = """
import pickle, afield.compat
afield.compat.install()
print(repr(pickle.loads(b"cglobus_compute_sdk.errors.error_types\\nTaskPending\\n(S'waiting'\\ntR.")))
result = b"cglobus_compute_sdk.sdk.shell_function\\nShellResult\\n(S'c'\\nS'o'\\nS'e'\\nI3\\ntR."
print(pickle.loads(result).returncode)
"""
    assert python(code).splitlines() == ["TaskPending('waiting')", "3"]


@pytest.mark.skipif(not PUBLISHED_PYTHON, reason="AFIELD_TEST_PUBLISHED_PYTHON names no interpreter")
def test_objects_that_the_published_package_pickled_can_be_read(python):
    done = subprocess.run([PUBLISHED_PYTHON, "-c", PICKLES], capture_output=True, text=True, check=True, timeout=60)
    code = f"""
import pickle, afield.compat
afield.compat.install()
function, result = map(pickle.loads, {done.stdout})
print(type(function).__module__, function.cmd, function.walltime, function(word="hello").stdout.strip())
print(result.returncode)
"""
    assert python(code).splitlines() == ["afield.shell.function echo {word} 5 hello", "3"]


def test_the_pages_name_of_the_command_is_right():
    page = Path(__file__).parents[2] / "docs" / "reference" / "compatibility.md"
    assert "python -m afield.compat script.py" in page.read_text()
