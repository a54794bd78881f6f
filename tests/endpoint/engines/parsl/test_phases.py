"""How far a block came, by what is known of it."""

from __future__ import annotations

import subprocess

import pytest

from afield.endpoint.engines.parsl.phases import (
    BEGAN,
    PREPARED,
    TAIL_LINES,
    End,
    Phase,
    complaint,
    marked,
    phase_of,
    story,
    tail_of,
)

NODE = f"{BEGAN} n1\n"
READY = f"{NODE}{PREPARED}\n"
TRACEBACK = 'Traceback (most recent call last):\n  File "<string>", line 1, in <module>\n'


@pytest.mark.parametrize(
    ("end", "phase"),
    [
        (End(refused=True, said="invalid partition"), Phase.QUEUE),
        (End(), Phase.QUEUE),
        (End(said="JobState=CANCELLED"), Phase.QUEUE),
        (End(said="JobState=NODE_FAIL Reason=NodeDown"), Phase.NODE),
        (End(output=NODE), Phase.NODE),
        (End(output=NODE + "module: command not found\n"), Phase.NODE),
        (End(output=READY + "/opt/x/python: No such file or directory\n"), Phase.INTERPRETER),
        (End(output=READY, exit_code=127), Phase.INTERPRETER),
        (End(output=READY + "/usr/bin/python3: No module named parsl\n"), Phase.IMPORT),
        (End(output=READY + TRACEBACK + "ModuleNotFoundError: No module named 'afield'\n"), Phase.IMPORT),
        (End(output=READY + "process_worker_pool.py: command not found\n"), Phase.IMPORT),
        (End(output=READY + TRACEBACK + "ConnectionError: No viable ZMQ url from: tcp://192.0.2.1:5\n"), Phase.CONNECT),
        (End(output=READY), Phase.CONNECT),
        (End(output=READY, connected=True), Phase.RUN),
        (End(output="python3: not found", marks=False), Phase.INTERPRETER),
        (End(marks=False), Phase.NODE),
    ],
)  # fmt: skip
def test_the_phase(end, phase):
    assert phase_of(end) is phase
    assert f'"{phase}"' in story(end)


def test_what_worker_init_complained_of_is_no_word_about_python():
    """It went on all the same, and the workers then did not connect."""
    output = f"{NODE}conda: command not found\n{PREPARED}\n"
    assert phase_of(End(output=output)) is Phase.CONNECT


@pytest.mark.parametrize(
    "said",
    [
        "EnvironmentNameNotFound: Could not find conda environment: nosuch",
        "ERROR: Unable to locate a modulefile for 'python/9'",
        'Lmod has detected the following error: The following module(s) are unknown: "python/9"',
        "bash: line 3: /opt/nosuch/bin/activate: No such file or directory",
        "bash: line 3: module: command not found",
    ],
)
def test_a_python_that_lacks_something_after_worker_init_went_wrong_is_the_wrong_one(said):
    end = End(output=f"{NODE}loading\n{said}\n{PREPARED}\n/usr/bin/python3: No module named parsl\n")
    assert phase_of(end) is Phase.INTERPRETER
    assert f"worker_init went wrong, and the job went on without it: {said}" in story(end)
    assert complaint(READY + said) == "", "that is no word of worker_init's"


def test_marks_come_from_a_real_shell():
    done = subprocess.run(
        ["bash", "-c", marked("export X=1\n") + "no-such-python -c 1"], capture_output=True, text=True, check=False
    )
    assert phase_of(End(output=done.stderr)) is Phase.INTERPRETER
    assert "no-such-python" in story(End(output=done.stderr))
    stopped = subprocess.run(
        ["bash", "-c", marked("echo broken >&2; exit 1")], capture_output=True, text=True, check=False
    )
    assert phase_of(End(output=stopped.stderr)) is Phase.NODE
    assert tail_of(stopped.stderr) == "broken"


def test_the_tail_is_bounded_and_without_marks():
    lines = [f"line {number}" for number in range(1000)]
    tail = tail_of(READY + "\n".join(lines))
    assert tail.splitlines() == lines[-TAIL_LINES:]
    assert len(tail_of("x" * 100_000)) <= 2000


def test_a_story_says_what_the_scheduler_says():
    told = story(End(output=NODE, said="JobState=FAILED ExitCode=1:0"))
    assert "JobState=FAILED ExitCode=1:0" in told
    assert "check worker_init" in told
