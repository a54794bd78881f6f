"""Commands where Afield is not installed."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from afield.shell import MPIFunction, ShellFunction, ShellResult

#: Reads a pickle in a Python that has nothing installed.
READER = [sys.executable, "-I", "-S", "-c"]


def read_elsewhere(sent: object, program: str) -> str:
    begin = "import pickle, sys\nfound = pickle.load(sys.stdin.buffer)\n"
    done = subprocess.run([*READER, begin + program], input=pickle.dumps(sent), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_a_command_runs_and_quotes_its_values():
    function = ShellFunction("echo {word}; echo bad >&2; exit 3", return_dict=True, name="say")
    said = read_elsewhere(function, "found = found(word='it\\'s; $HOME')\nprint(found['stdout'], found['returncode'])")
    assert said == "it's; $HOME\n 3\n"


def test_a_walltime_ends_everything_that_was_started():
    said = read_elsewhere(ShellFunction("sleep 1000 & sleep 1000", walltime=0.1, return_dict=True), "print(found())")
    assert "'returncode': 124" in said


def test_a_command_for_mpi_keeps_its_launcher():
    said = read_elsewhere(MPIFunction("a.out {x}"), "print(found.command(x='a b'))")
    assert said == "$PARSL_MPI_PREFIX a.out 'a b'\n"


def test_a_command_can_be_sent_on_from_there():
    program = "sys.stdout.buffer.write(pickle.dumps(found))"
    done = subprocess.run([*READER, "import pickle, sys\nfound = pickle.load(sys.stdin.buffer)\n" + program],
                          input=pickle.dumps(ShellFunction("echo {x}")), capture_output=True, check=True)  # fmt: skip
    back = pickle.loads(done.stdout)
    assert type(back) is ShellFunction
    assert vars(back) == vars(ShellFunction("echo {x}"))


def test_a_folder_of_that_name_is_no_afield(tmp_path):
    """Such as a copy of its repository in the home directory, in which workers run."""
    (tmp_path / "afield").mkdir()
    place = f"sys.path.insert(0, {str(tmp_path)!r})\n"
    program = f"import pickle, sys\n{place}found = pickle.load(sys.stdin.buffer)\nprint(found()['stdout'])"
    sent = pickle.dumps(ShellFunction("echo here", return_dict=True))
    done = subprocess.run([*READER, program], input=sent, capture_output=True, check=False)
    assert (done.stdout, done.stderr) == (b"here\n\n", b"")


def test_a_result_is_the_published_one_where_that_is_installed(tmp_path):
    place = tmp_path / "globus_compute_sdk" / "sdk"
    place.mkdir(parents=True)
    (place / "shell_function.py").write_text("class ShellResult:\n    pass\n")
    program = f"import pickle, sys\nsys.path.insert(0, {str(tmp_path)!r})\nfound = pickle.load(sys.stdin.buffer)\n"
    sent = pickle.dumps(ShellResult("a", "b", "c", 0))
    done = subprocess.run([*READER, program + "print(type(found).__module__, vars(found))"],
                          input=sent, capture_output=True, check=True)  # fmt: skip
    assert done.stdout.decode().startswith("globus_compute_sdk.sdk.shell_function {'cmd': 'a'")


@pytest.mark.parametrize("how", [pickle.dumps, lambda it: pickle.dumps(it, 2)])
def test_here_it_is_what_it_was(how):
    for one in ShellFunction("echo"), MPIFunction("echo"), ShellResult("a", "b", "c", 0):
        back = pickle.loads(how(one))
        assert type(back) is type(one)
        assert vars(back) == vars(one)


class OwnFunction(ShellFunction):
    """A class of somebody's own."""


def test_a_class_of_ones_own_goes_as_it_did():
    assert type(pickle.loads(pickle.dumps(OwnFunction("echo")))) is OwnFunction
