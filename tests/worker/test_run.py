"""One job from bytes to bytes: values, failures, limits. Functions and arguments go through real serialization."""

import asyncio
import base64
import decimal
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from afield.errors import DeserializationError, SerializationError, TaskExecutionFailed
from afield.serialize import AllCodeStrategies, ComputeSerializer, PureSourceTextInspect
from afield.serialize.exceptions import rebuild
from afield.wire.jobs import JOB_VERSION, Job, Outcome, code_digest, decode_outcome, encode_job
from afield.worker.functions import FunctionCache
from afield.worker.run import WorkerStop, run

Function = Callable[..., Any]


def job_of(
    function: Function, *args: Any, serializer: ComputeSerializer | None = None, kwargs: Any = None, **job: Any
) -> Job:
    serializer = serializer or ComputeSerializer()
    code = serializer.pack_buffers([serializer.serialize(function)]).encode()
    payload = serializer.pack_buffers([serializer.serialize(args), serializer.serialize(kwargs or {})]).encode()
    return Job(JOB_VERSION, "a-task", code_digest(code), code, payload, **job)


def outcome_of(job: Job | bytes, functions: FunctionCache | None = None, *, alone: bool = True) -> Outcome:
    return decode_outcome(run(job if isinstance(job, bytes) else encode_job(job), functions, alone=alone))


def value_of(outcome: Outcome) -> Any:
    assert outcome.error_code is None, outcome.data.decode()
    return ComputeSerializer().deserialize(outcome.data.decode())


def failure_of(outcome: Outcome) -> TaskExecutionFailed:
    assert outcome.error_code is not None
    return rebuild(outcome.data.decode(), "0", outcome.exception, outcome.error_code)


def add(x: Any, y: Any = 1) -> Any:
    return x + y


def divide(x: float) -> float:
    def inner() -> float:
        return 1 / x

    return inner()


def test_a_value_comes_back_with_when_and_where() -> None:
    outcome = outcome_of(job_of(add, 20, kwargs={"y": 22}))
    assert value_of(outcome) == 42
    assert (outcome.task_id, outcome.message, outcome.exception) == ("a-task", "", None)
    assert 0 < outcome.began_ns <= outcome.ended_ns
    details = msgspec.msgpack.decode(outcome.details)
    assert details.keys() == {
        "os", "hostname", "worker_pid", "python_version", "dill_version", "globus_compute_sdk_version", "afield_version"
    }  # fmt: skip
    assert details["python_version"] == ".".join(map(str, sys.version_info[:3]))
    assert details["dill_version"][0].isdigit()


@pytest.mark.parametrize("code", [None, AllCodeStrategies(), PureSourceTextInspect()])
def test_functions_of_every_strategy_run(code: Any) -> None:
    assert value_of(outcome_of(job_of(add, "é", "𝄞", serializer=ComputeSerializer(code)))) == "é𝄞"


def test_a_closure_a_lambda_a_class_and_a_bound_method_run() -> None:
    n = 5
    assert value_of(outcome_of(job_of(lambda x: x + n, 1))) == 6
    assert value_of(outcome_of(job_of(decimal.Decimal, "1.5"))) == decimal.Decimal("1.5")
    assert value_of(outcome_of(job_of("a-b".split, "-"))) == ["a", "b"]


def test_a_callable_result_comes_back_as_code() -> None:
    outcome = outcome_of(job_of(lambda: lambda x: x * 2))
    assert outcome.data.startswith(b"01\n")
    assert value_of(outcome)(4) == 8


async def far_away(x: int) -> int:
    await asyncio.sleep(0)
    return x * 2


def test_an_async_function_is_run_to_its_end() -> None:
    assert value_of(outcome_of(job_of(far_away, 21))) == 42


def test_result_strategies_are_tried_in_their_order() -> None:
    json = "globus_compute_sdk.serialize.concretes.JSONData"
    dill = "globus_compute_sdk.serialize.concretes.DillDataBase64"
    assert outcome_of(job_of(add, 1, result_serializers=(json, dill))).data == b"11\n2"
    assert outcome_of(job_of(add, 1j, result_serializers=(json, dill))).data.startswith(b"00\n")


def test_a_result_that_nothing_can_serialize_says_so() -> None:
    def makes_a_generator() -> Iterator[int]:
        return (i for i in range(3))

    outcome = outcome_of(job_of(makes_a_generator))
    assert outcome.error_code == "RemoteExecutionError"
    assert "the function ended well, but its result cannot be sent" in outcome.message
    assert "DillDataBase64 cannot serialize a generator" in outcome.message
    assert isinstance(failure_of(outcome), SerializationError)

    outcome = outcome_of(job_of(makes_a_generator, result_serializers=("afield.serialize.JSONData", "x.y")))
    assert "JSON has nothing for a generator" in outcome.data.decode()
    assert "'x.y'" in outcome.data.decode()


def test_a_name_that_stayed_with_the_script_is_explained() -> None:
    script: dict[str, Any] = {"__name__": "__main__"}
    exec("def uses(): return np.zeros(3)\ndef local():\n    x += 1\n", script)
    text = outcome_of(job_of(script["uses"])).data.decode()
    assert "NameError: name 'np' is not defined\n(A function travels without the other names" in text
    assert "travels without" not in outcome_of(job_of(script["local"])).data.decode()


def test_a_result_whose_own_pickling_fails_shows_where() -> None:
    class Refuses:
        def __reduce__(self) -> str:
            raise LookupError("not today")

    text = outcome_of(job_of(lambda: [Refuses()])).data.decode()
    assert "LookupError: not today" in text
    assert "in __reduce__" in text


def test_a_result_that_is_too_large_is_refused_with_both_sizes() -> None:
    outcome = outcome_of(job_of(lambda: "x" * 1000, result_limit=500))
    assert outcome.error_code == "MaxResultSizeExceeded"
    assert "1381 characters" in outcome.message
    assert "at most 500" in outcome.message
    assert type(failure_of(outcome)).__name__ == "MaxResultSizeExceeded"
    limit = len(outcome_of(job_of(lambda: "x" * 1000)).data)
    assert value_of(outcome_of(job_of(lambda: "x" * 1000, result_limit=limit))) == "x" * 1000


def test_an_exception_comes_back_as_text_and_as_an_object() -> None:
    outcome = outcome_of(job_of(divide, 0))
    assert outcome.error_code == "RemoteExecutionError"
    assert outcome.message == "ZeroDivisionError: division by zero"
    text = outcome.data.decode()
    lines = [line for line in text.splitlines() if line.startswith("  File")]
    assert [line.rpartition(" in ")[2] for line in lines] == ["divide", "inner"]
    assert "afield/worker" not in text
    error = failure_of(outcome)
    assert isinstance(error, ZeroDivisionError)
    assert "in inner" in str(error)


def test_the_text_has_causes_and_groups() -> None:
    def fails() -> None:
        try:
            divide(0)
        except ZeroDivisionError as error:
            raise ExceptionGroup("both", [ValueError("one"), KeyError("two")]) from error

    outcome = outcome_of(job_of(fails))
    text = outcome.data.decode()
    for part in ("ZeroDivisionError: division by zero", "direct cause", "ValueError: one", "KeyError: 'two'"):
        assert part in text
    assert isinstance(failure_of(outcome), ExceptionGroup)


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit, asyncio.CancelledError, BaseException])
def test_what_would_end_a_program_is_a_failed_task(kind: type[BaseException]) -> None:
    def leaves() -> None:
        raise kind("leaving")

    outcome = outcome_of(job_of(leaves))
    assert outcome.error_code == "RemoteExecutionError"
    assert "leaving" in outcome.message
    assert type(failure_of(outcome)) is TaskExecutionFailed


def test_sys_exit_is_a_failed_task() -> None:
    assert outcome_of(job_of(sys.exit, 3)).message == "SystemExit: 3"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, WorkerStop])
def test_what_is_meant_for_the_worker_ends_it(kind: type[BaseException]) -> None:
    def interrupted() -> None:
        raise kind

    with pytest.raises(kind):
        outcome_of(job_of(interrupted))


def test_endless_recursion_is_a_failed_task() -> None:
    def again(n: int) -> int:
        return again(n + 1) + 1

    outcome = outcome_of(job_of(again, 0))
    assert outcome.message.startswith("RecursionError: maximum recursion depth exceeded")
    assert isinstance(failure_of(outcome), RecursionError)


def test_exceptions_with_messages_of_any_size_and_kind_are_bounded() -> None:
    def shouts() -> None:
        raise ValueError("x" * 5_000_000 + "\ud800")

    outcome = outcome_of(job_of(shouts))
    assert len(outcome.data) < 300_000
    assert "characters are left out here" in outcome.data.decode()
    assert len(outcome.message) <= 500

    def surrogate() -> None:
        raise ValueError("\ud800")

    assert "\\ud800" in outcome_of(job_of(surrogate)).message


def test_exceptions_that_cannot_be_put_into_words_are_named() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise OSError("no words")

    def fails() -> None:
        raise Mute

    outcome = outcome_of(job_of(fails))
    assert "Mute" in outcome.message
    assert b"Mute" in outcome.data


def test_arguments_are_not_shared_with_the_sender() -> None:
    def grow(items: list[int]) -> list[int]:
        items.append(1)
        return items

    mine: list[int] = []
    job = job_of(grow, mine)
    functions = FunctionCache()
    assert [value_of(outcome_of(job, functions)) for _ in range(2)] == [[1], [1]]
    assert mine == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"code": b"junk"}, "packed value should begin"),
        ({"code": b"1\na1\nb"}, "a function should be one serialized value; 2 came"),
        ({"code": b"3\nzz\n"}, r"begins with 'zz\\n'"),
        ({"code": b"\xff\xfe"}, "UnicodeDecodeError"),
        ({"code": None}, "without its function"),
        ({"payload": b"junk"}, "packed value should begin"),
        ({"payload": b"5\n11\n[]"}, "two serialized values, positional and keyword; 1 came"),
        ({"payload": b"9\n00\ngASVBw5\n11\n{}"}, "DillDataBase64 cannot read this value: it is truncated"),
        ({"payload": b"\xff"}, "UnicodeDecodeError"),
        ({"payload": b"4\n11\n35\n11\n{}"}, "TypeError"),
        ({"allowed_serializers": ("afield.serialize.JSONData",)}, "at least one for code and one for data"),
        ({"allowed_serializers": ("afield.*Data", "afield.serialize.PureSourceDill")}, "DillCode is disabled"),
        ({"allowed_serializers": ("afield.*Code", "afield.serialize.JSONData")}, "DillDataBase64 is disabled"),
        ({"sandbox": "/proc/no/such/place"}, "Error"),
    ],
)  # fmt: skip
def test_a_job_that_cannot_be_run_fails_with_its_reason(change: dict[str, Any], says: str) -> None:
    outcome = outcome_of(msgspec.structs.replace(job_of(add, 1), **change))
    assert outcome.error_code == "RemoteExecutionError"
    assert outcome.task_id == "a-task"
    with pytest.raises(AssertionError, match=says):
        value_of(outcome)


def test_what_is_no_job_is_answered_all_the_same() -> None:
    for junk in (b"", b"junk", msgspec.msgpack.encode([99, "t", b"", None, b""])):
        outcome = outcome_of(junk)
        assert outcome.error_code == "RemoteExecutionError"
        assert "WireError" in outcome.message


def test_a_violated_allow_list_is_an_error_that_one_can_catch() -> None:
    job = job_of(add, 1, allowed_serializers=("afield.*Data", "afield.serialize.PureSourceTextInspect"))
    error = failure_of(outcome_of(job))
    assert isinstance(error, DeserializationError)
    assert "ComputeSerializer(strategy_code=PureSourceTextInspect())" in str(error)


def test_a_function_of_a_module_that_is_not_here_says_which() -> None:
    job = job_of(add, 1)
    payload = "01\n" + base64.encodebytes(b"\x80\x04\x8c\x07nowhere\x8c\x01f\x93.").decode()
    code = ComputeSerializer.pack_buffers([payload]).encode()
    outcome = outcome_of(msgspec.structs.replace(job, code=code, digest=b"other"))
    assert "needs the module 'nowhere', which is not installed" in outcome.message


SCRIPT = """
import subprocess, sys
from afield.errors import TaskExecutionFailed
from afield.serialize import ComputeSerializer
from afield.serialize.exceptions import rebuild
from afield.wire.jobs import Job, JOB_VERSION, code_digest, decode_outcome, encode_job

class Point:
    def __init__(self, x):
        self.x = x
    def moved(self, by):
        return type(self)(self.x + by)

class TooFar(Exception):
    def __init__(self, point, *, limit):
        super().__init__(f"{point.x} is beyond {limit}")
        self.point, self.limit = point, limit

def move(point, by, error=TooFar):
    if by > 10:
        raise error(point, limit=10)
    return point.moved(by)

def call(function, *args):
    serializer = ComputeSerializer()
    code = serializer.pack_buffers([serializer.serialize(function)]).encode()
    payload = serializer.pack_buffers([serializer.serialize(args), serializer.serialize({})]).encode()
    job = encode_job(Job(JOB_VERSION, "t", code_digest(code), code, payload))
    worker = "import sys; from afield.worker.run import run; sys.stdout.buffer.write(run(sys.stdin.buffer.read()))"
    done = subprocess.run([sys.executable, "-c", worker], input=job, capture_output=True, check=True)
    outcome = decode_outcome(done.stdout)
    if outcome.error_code:
        raise rebuild(outcome.data.decode(), "1", outcome.exception, outcome.error_code)
    return serializer.deserialize(outcome.data.decode())

if __name__ == "__main__":
    moved = call(move, Point(1), 4)
    assert type(moved) is Point and moved.x == 5
    try:
        call(move, Point(1), 11)
    except TooFar as error:
        assert isinstance(error, TaskExecutionFailed)
        assert error.limit == 10 and error.point.x == 1
        assert "in move" in str(error) and "1 is beyond 10" in str(error)
        print("caught")
"""


def test_a_script_sends_its_own_classes_and_catches_its_own_exceptions(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("caught\n", "")


def test_the_worker_loads_neither_networks_nor_dill_before_it_must() -> None:
    program = (
        "import sys, afield.worker.run\n"
        "heavy = {'dill', 'aiohttp', 'pika', 'asyncio', 'tblib', 'logging', 'concurrent.futures', 'pathlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=os.sep)
