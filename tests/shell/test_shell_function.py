"""Commands as functions: what a caller gets, and that nothing of them is left."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from afield.shell import MPIFunction, ShellFunction, ShellResult


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
    monkeypatch.setenv("GC_TASK_SANDBOX_DIR", str(tmp_path))
    return tmp_path


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_runs_in_bash_and_returns_what_was_printed(sandbox):
    result = ShellFunction("echo {what}; echo bad >&2; [[ -d . ]]")(what="it's $HOME")
    assert (result.stdout, result.stderr, result.returncode) == ("it's $HOME\n", "bad\n", 0)
    assert result.exception_name is None
    assert result.cmd.startswith("echo 'it'")


def test_it_runs_in_the_directory_of_the_task_and_leaves_nothing_there(sandbox):
    assert ShellFunction("pwd")().stdout.strip() == str(sandbox)
    assert list(sandbox.iterdir()) == []


def test_a_failure_is_a_result(sandbox):
    result = ShellFunction("exit 3")()
    assert (result.returncode, result.exception_name) == (3, "subprocess.CalledProcessError")
    assert ShellFunction("kill -9 $$")().returncode == -9
    assert ShellFunction("no-such-command-anywhere")().returncode == 127


def test_a_command_reads_nothing_of_the_workers_input(sandbox):
    assert ShellFunction("cat")().stdout == ""


def test_only_the_last_lines_come_back(sandbox):
    assert ShellFunction("seq 1000", snippet_lines=2)().stdout == "999\n1000\n"
    assert ShellFunction("seq 10", snippet_lines=0)().stdout == ""
    assert ShellFunction("printf 'a\\377b'")().stdout == "a\ufffdb"


def test_output_is_appended_to_a_file_and_only_the_new_part_comes_back(sandbox):
    write = ShellFunction("echo {n}; echo e{n} >&2", stdout="logs/out.txt", stderr="logs/err.txt")
    assert write(n=1).stdout == "1\n"
    assert write(n=2).stdout == "2\n"
    assert (sandbox / "logs/out.txt").read_text() == "1\n2\n"
    assert (sandbox / "logs/err.txt").read_text() == "e1\ne2\n"


def test_a_dictionary_on_request(sandbox):
    assert ShellFunction("echo a", return_dict=True)() == {
        "cmd": "echo a", "stdout": "a\n", "stderr": "", "returncode": 0, "exception_name": None,
    }  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, daemons cannot be found")
def test_walltime_stops_every_process(sandbox):
    # One that ignores the request to end, one in a session of its own whose parent is gone, one in the pipeline.
    command = (
        "trap '' TERM; (trap '' TERM; exec sleep 300) & echo $!; "
        "setsid sh -c 'sleep 300 & echo $! > daemon' ; cat daemon; echo $$; sleep 300 | cat"
    )
    result = ShellFunction(command, walltime=1)()
    assert (result.returncode, result.exception_name) == (124, "subprocess.TimeoutExpired")
    pids = [int(line) for line in result.stdout.split()]
    assert len(pids) == 3
    assert not [pid for pid in pids if alive(pid)]


def test_what_was_printed_before_the_walltime_is_there(sandbox):
    assert ShellFunction("echo begun; sleep 300", walltime=0.5)().stdout == "begun\n"


def test_values_go_by_keyword():
    with pytest.raises(TypeError, match="by keyword"):
        ShellFunction("echo {x}")(1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"cmd": ["ls"]}, "one text"),
        ({"cmd": "ls", "walltime": 0}, "seconds above 0"),
        ({"cmd": "ls", "walltime": float("nan")}, "seconds above 0"),
        ({"cmd": "ls", "snippet_lines": -1}, "from 0 up"),
        ({"cmd": "ls", "name": "a b"}, "identifier"),
        ({"cmd": "ls", "name": "class"}, "identifier"),
    ],
)
def test_bad_parameters_are_named(arguments, says):
    with pytest.raises((TypeError, ValueError), match=says):
        ShellFunction(**arguments)


def test_names():
    assert ShellFunction("ls").__name__ == "ShellFunction"
    assert MPIFunction("ls").__name__ == "MPIFunction"
    assert ShellFunction("ls", name="list_them").__name__ == "list_them"


def test_the_launcher_stands_before_an_mpi_command(sandbox, monkeypatch):
    monkeypatch.setenv("PARSL_MPI_PREFIX", "env RANKS=4")
    assert MPIFunction("sh -c 'echo $RANKS {x}'")(x="a b").stdout == "4 a b\n"


def test_they_travel_and_look_the_same():
    function = ShellFunction("echo {x}", walltime=2, name="say", quote=False)
    assert vars(pickle.loads(pickle.dumps(function))) == vars(function)
    result = ShellResult("echo a", "a\n", "", 0)
    assert pickle.loads(pickle.dumps(result)) == result
    assert eval(repr(result)) == result


def test_a_result_reads_well():
    result = ShellResult(
        "make all\nmake check", "".join(f"{n}\n" for n in range(50)), "oh\n", 2, "subprocess.CalledProcessError"
    )
    assert str(result).splitlines()[:2] == ["$ make all …", "exit code 2 (subprocess.CalledProcessError)"]
    assert "49" in str(result)
    assert "\n30\n" not in str(result)
    assert str(result).endswith("stderr:\noh")


def test_importing_it_loads_nothing_else():
    code = (
        "import sys, afield.shell; print(*(m for m in sys.modules if m.startswith(('afield.sdk', 'aiohttp', 'dill'))))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


def test_a_file_that_cannot_be_written_is_named(sandbox):
    (sandbox / "taken").write_text("")
    with pytest.raises(OSError, match="taken"):
        ShellFunction("echo", stdout="taken/out")()
    assert Path.cwd() != sandbox
