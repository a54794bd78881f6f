"""What is said of jobs that an engine could not finish."""

from __future__ import annotations

import signal

import pytest

from afield.endpoint.engines.losses import died_under_it, ran_too_long
from afield.endpoint.engines.workers import how_it_ended


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGBUS", "SIGILL", "SIGABRT"])
def test_a_crash_may_come_of_another_python(name: str):
    text = str(died_under_it("a-task", 7, how_it_ended(-getattr(signal, name))))
    assert f"it was killed by signal {name}" in text
    assert "fault in compiled code" in text
    assert "pickled by another minor version of Python" in text


@pytest.mark.parametrize(
    ("code", "said"), [(-signal.SIGKILL, "more memory"), (-signal.SIGFPE, "compiled code"), (3, "ended the process")]
)
def test_other_ends_have_other_causes(code: int, said: str):
    text = str(died_under_it("a-task", 7, how_it_ended(code)))
    assert said in text
    assert "version of Python" not in text


def test_whose_limit_it_was():
    assert "the 2.5 s that its timeout allows" in str(ran_too_long("a-task", 2.5, by_endpoint=False))
    assert "its owner set GC_TASK_TIMEOUT" in str(ran_too_long("a-task", 60, by_endpoint=True))
