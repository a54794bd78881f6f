"""Functions that are commands: their class to our workers, ours to theirs."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_a_command(cell):
    """`ShellFunction`, with what it returns"""
    kinds, fine, failed, as_data = cell.run("""
        from {sdk} import ShellResult
        with Executor(endpoint) as ex:
            futures = [ex.submit(ShellFunction("echo {word}; echo bad >&2"), word="hello"),
                       ex.submit(ShellFunction("exit 3", name="leave")),
                       ex.submit(ShellFunction("echo one two", return_dict=True))]
            fine, failed, as_data = (f.result(50) for f in futures)
            said([isinstance(fine, ShellResult), isinstance(failed, ShellResult), type(as_data).__name__])
            said([fine.returncode, fine.stdout, "bad" in fine.stderr.splitlines(), fine.cmd])
            said([failed.returncode, failed.exception_name])
            said([as_data["stdout"], as_data["returncode"]])
    """)
    assert kinds == [True, True, "dict"]
    assert fine == [0, "hello\n", True, "echo hello; echo bad >&2"]
    assert failed == [3, "subprocess.CalledProcessError"]
    assert as_data == ["one two\n", 0]


def test_a_command_that_takes_too_long(cell):
    """`walltime` of a `ShellFunction`"""
    said = cell.run("""
        with Executor(endpoint) as ex:
            # Theirs leaves the command running, so it has to end by itself.
            result = ex.submit(ShellFunction("echo begun; sleep 20", walltime=1)).result(50)
            said([result.returncode, result.stdout, result.exception_name])
    """)
    assert said == [[124, "begun\n", "subprocess.TimeoutExpired"]]


@pytest.mark.impossible("theirs puts values in as they are", client="theirs")
def test_values_in_a_command_of_ours_are_quoted(cell):
    """values in a command are quoted, on a worker of theirs too"""
    said = cell.run("""
        with Executor(endpoint) as ex:
            said(ex.submit(ShellFunction("echo {word}"), word="it's; echo $HOME").result(50).stdout)
    """)
    assert said == ["it's; echo $HOME\n"]


def test_a_command_for_a_launcher(cell):
    """`MPIFunction` on a GlobusMPIEngine"""
    said = cell.run("""
        with Executor(endpoint, user_endpoint_config={"mpi": True}) as ex:
            ex.resource_specification = {"num_nodes": 1, "ranks_per_node": 2}
            result = ex.submit(MPIFunction("echo rank of {what}"), what="two").result(50)
            said([result.returncode, result.stdout])
    """)
    assert said == [[0, "rank of two\nrank of two\n"]]
