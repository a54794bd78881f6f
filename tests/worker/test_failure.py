"""What is said of an exception: its classes, and what is missing here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from afield.serialize import ComputeSerializer
from afield.wire.jobs import JOB_VERSION, Job, Outcome, code_digest, decode_outcome, encode_job
from afield.worker.failure import kinds_of
from afield.worker.run import run


def outcome_of(function: Callable[..., Any], *args: Any, **job: Any) -> Outcome:
    serializer = ComputeSerializer()
    code = serializer.pack_buffers([serializer.serialize(function)]).encode()
    payload = serializer.pack_buffers([serializer.serialize(args), serializer.serialize({})]).encode()
    return decode_outcome(run(encode_job(Job(JOB_VERSION, "a-task", code_digest(code), code, payload, **job))))


def test_the_classes_of_what_was_raised_are_told_itself_first() -> None:
    def fails() -> None:
        raise ConnectionResetError("gone")

    expected = ("ConnectionResetError", "ConnectionError", "OSError", "Exception")
    assert outcome_of(fails).kinds == tuple(f"builtins.{name}" for name in expected)


def test_a_job_that_went_well_has_none() -> None:
    assert outcome_of(lambda: 1).kinds == ()


def test_a_class_of_a_script_is_named_by_where_it_is_written() -> None:
    def fails() -> None:
        class Local(ValueError):
            pass

        raise Local

    first, *others = outcome_of(fails).kinds
    assert first.endswith(".test_a_class_of_a_script_is_named_by_where_it_is_written.<locals>.fails.<locals>.Local")
    assert others == ["builtins.ValueError", "builtins.Exception"]


def test_what_cannot_be_read_has_classes_too() -> None:
    allowed = ("afield.*Data", "afield.serialize.PureSourceTextInspect")
    assert outcome_of(lambda: 1, allowed_serializers=allowed).kinds[0] == "afield.errors.DeserializationError"


class Lying(type):
    """Answers for its classes, and wrongly."""

    def __getattribute__(cls, name: str) -> object:
        raise ZeroDivisionError

    def __eq__(cls, other: object) -> bool:
        raise ZeroDivisionError

    def __hash__(cls) -> int:
        raise ZeroDivisionError


class Liar(Exception, metaclass=Lying):
    __module__ = 7  # type: ignore[assignment]


def test_classes_that_answer_for_themselves_are_not_asked() -> None:
    assert kinds_of(Liar()) == ("?.Liar", "builtins.Exception")


def test_names_are_bounded_and_travel() -> None:
    made = type("X" * 5000, (ValueError,), {"__module__": "\ud800"})
    kinds = kinds_of(made())
    assert len(kinds[0]) < 2000
    assert "\\ud800" in kinds[0]
    assert kinds[1:] == ("builtins.ValueError", "builtins.Exception")
    deep: type[Exception] = Exception
    for _ in range(200):
        deep = type("Deep", (deep,), {})
    assert len(kinds_of(deep())) == 50


def missing() -> None:
    import no_such_module_xyz  # type: ignore[import-not-found]  # noqa: F401


def indirectly() -> None:
    try:
        missing()
    except ModuleNotFoundError as error:
        raise RuntimeError("no way") from error


@pytest.mark.parametrize("function", [missing, indirectly])
def test_a_module_that_is_missing_while_it_runs(function: Callable[[], None]) -> None:
    outcome = outcome_of(function)
    text = outcome.data.decode()
    assert "'no_such_module_xyz' is not installed in the Python that ran this task" in text
    assert sys.executable in text
    assert "Install it there; or, if it is your own, define in your script" in text
    if function is missing:
        assert outcome.message.startswith("ModuleNotFoundError: No module named 'no_such_module_xyz' (The module")
        assert sys.executable in outcome.message
        assert outcome.kinds[0] == "builtins.ModuleNotFoundError"


def test_a_module_that_is_missing_when_it_is_read_is_told_once(tmp_path: Any) -> None:
    (tmp_path / "mine_alone.py").write_text("def f(): return 1\n")
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from mine_alone import f
from afield.serialize import ComputeSerializer
from afield.wire.jobs import *
s = ComputeSerializer()
code = s.pack_buffers([s.serialize(f)]).encode()
payload = s.pack_buffers([s.serialize(()), s.serialize({{}})]).encode()
sys.stdout.buffer.write(encode_job(Job(JOB_VERSION, "t", code_digest(code), code, payload)))
"""
    job = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout
    outcome = decode_outcome(run(job))
    assert "needs the module 'mine_alone', which is not installed in this Python" in outcome.message
    assert sys.executable in outcome.message
    assert outcome.data.decode().count("is not installed in") <= 2
    assert "The module 'mine_alone'" not in outcome.data.decode()


def test_an_import_error_without_a_name_is_left_as_it_is() -> None:
    def fails() -> None:
        raise ModuleNotFoundError("odd")

    assert outcome_of(fails).message == "ModuleNotFoundError: odd"
