"""Tasks that name modules of the published package, where it is not installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("globus_compute_sdk") is not None, reason="globus-compute-sdk is installed here"
)


def worker(program: str) -> str:
    """What a process printed that answers as a worker does."""
    begin = "from afield.worker.published import answer_published_imports\nanswer_published_imports()\n"
    done = subprocess.run([sys.executable, "-c", begin + program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_name_that_we_have():
    assert worker("import globus_compute_sdk as g; print(g.Executor.__module__)") == "afield.sdk.executor"
    said = worker("from globus_compute_sdk.sdk.hardware_report import run_hardware_report as r; print(r('x'))")
    assert said.startswith("== x ==\nhost: ")


def test_a_name_that_we_do_not_have_says_so():
    said = worker(
        "try:\n    import globus_compute_sdk.sdk.diagnostic\nexcept ModuleNotFoundError as error:\n    print(error)\n"
    )
    assert "Afield has no globus_compute_sdk.sdk.diagnostic" in said


def test_nothing_is_loaded_until_somebody_asks():
    assert worker("import sys; print('afield.compat' in sys.modules)") == "False"


def test_the_real_package_goes_first(tmp_path):
    (tmp_path / "globus_compute_sdk.py").write_text("here = 'the real one'\n")
    told = worker(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import globus_compute_sdk as g; print(g.here)")
    assert told == "the real one"


def test_a_pickle_with_a_published_command_is_read():
    pickled = b"\x80\x04cglobus_compute_sdk.sdk.shell_function\nShellFunction\n."
    said = worker(f"from afield.serialize.pickles import loads; print(loads({pickled!r}).__module__)")
    assert said == "afield.shell.function"
