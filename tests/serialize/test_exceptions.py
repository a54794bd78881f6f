"""What a task raised, at the side of whoever waits."""

import asyncio
import base64
import concurrent.futures
import copy
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from afield.errors import (
    ConfigurationError,
    DeserializationError,
    EndpointLost,
    InvalidId,
    MaxResultSizeExceeded,
    TaskCancelled,
    TaskExecutionFailed,
    TaskPending,
    TaskTimeout,
    WorkerLost,
)
from afield.serialize import ComputeSerializer
from afield.serialize.exceptions import EXCEPTION_LIMIT, _Remote, pack_exception, rebuild

TEXT = 'Traceback (most recent call last):\n  File "far.py", line 7, in far\nSomeError: it\'s the text\n'


class Plain(ValueError):
    pass


class Odd(LookupError):
    """A constructor that nobody can call with ``args``."""

    def __init__(self, name: str, *, code: int) -> None:
        super().__init__(f"{name} failed with {code}")
        self.name, self.code = name, code

    def __str__(self) -> str:
        return f"odd: {self.name}/{self.code}"


class Doubling(Exception):
    """Whose constructor, called with ``args``, would make another message of it."""

    def __init__(self, what: str) -> None:
        super().__init__(f"no {what}")


class Busy(RuntimeError):
    """Holds what cannot be pickled."""

    def __init__(self, generator: Any) -> None:
        super().__init__("busy with", generator)
        self.generator = generator
        self.retries = 3


class SelfMade(Exception):
    def __init__(self, a: int, b: int) -> None:
        self.a, self.b = a, b
        super().__init__(a + b)

    def __reduce__(self) -> tuple[Any, ...]:
        return SelfMade, (self.a, self.b)


class Lying(Exception):
    """Says that it can be pickled, and does not come back."""

    def __reduce__(self) -> tuple[Any, ...]:
        return len, (1,)


class Mute(Exception):
    def __str__(self) -> str:
        raise OSError("no words")


class Registry(Exception):
    def __init_subclass__(cls, code: int) -> None:
        super().__init_subclass__()
        cls.code = code  # type: ignore[attr-defined]


class Registered(Registry, code=5):
    pass


class Strange(Exception):
    """Nothing that it holds or is can be pickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        raise SystemError

    def __getattribute__(self, name: str) -> Any:
        if name in ("__dict__", "args"):
            raise SystemError(name)
        return super().__getattribute__(name)


def raised(make: Callable[[], BaseException]) -> BaseException:
    def far() -> None:
        try:
            raise KeyError("the cause")
        except KeyError as cause:
            raise make() from cause

    try:
        far()
    except BaseException as error:  # noqa: BLE001 - of every kind, that is the point
        return error
    raise AssertionError


def brought(error: BaseException, text: str = TEXT) -> TaskExecutionFailed:
    return rebuild(text, "1764000000.5", pack_exception(error), "RemoteExecutionError")


CASES: list[Callable[[], Exception]] = [
    lambda: ValueError("bad", 2),
    lambda: Plain("x"),
    lambda: Odd("job", code=3),
    lambda: Doubling("food"),
    lambda: SelfMade(1, 2),
    lambda: Registered("r"),
    lambda: KeyError("k"),
    ZeroDivisionError,
    lambda: FileNotFoundError(2, "No such file", "f.txt"),
    lambda: UnicodeDecodeError("utf8", b"a\xff", 1, 2, "bad"),
    lambda: ImportError("no x", name="x", path="p"),
    lambda: SyntaxError("bad", ("f.py", 1, 2, "x =")),
    lambda: TimeoutError("slow"),
    lambda: InvalidId("task", "zz"),
    lambda: TaskPending("running"),
    lambda: ConfigurationError("wrong"),
]


@pytest.mark.parametrize("make", CASES, ids=lambda make: type(make()).__name__)
def test_it_is_both_what_was_raised_and_a_failed_task(make: Callable[[], Exception]) -> None:
    original = raised(make)
    error = brought(original)
    assert isinstance(error, TaskExecutionFailed)
    assert isinstance(error, type(original))
    assert type(error).__name__ == type(original).__name__
    assert error.args == original.args
    assert repr(error) == repr(original)
    kept = {name: value for name, value in vars(error).items() if name not in ("remote_data", "completion_t")}
    assert kept == vars(original)
    assert (error.remote_data, error.completion_t) == (TEXT, "1764000000.5")
    assert str(original) in str(error)
    assert TEXT.strip() in str(error)


@pytest.mark.parametrize("make", CASES, ids=lambda make: type(make()).__name__)
def test_it_survives_pickling_and_copying(make: Callable[[], Exception]) -> None:
    error = brought(raised(make))
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), pickle.loads(pickle.dumps(error, 2))):
        assert type(again) is type(error)
        assert (str(again), again.args, repr(again)) == (str(error), error.args, repr(error))
        assert vars(again) == vars(error)


def test_fields_of_builtin_exceptions_are_there() -> None:
    missing = brought(FileNotFoundError(2, "No such file", "f.txt"))
    assert isinstance(missing, FileNotFoundError)
    assert (missing.errno, missing.strerror, missing.filename) == (2, "No such file", "f.txt")
    module = brought(ImportError("no x", name="x", path="p"))
    assert isinstance(module, ImportError)
    assert (module.name, module.path) == ("x", "p")


def test_when_it_is_printed_the_frames_where_it_ran_are_shown() -> None:
    error = brought(raised(lambda: Odd("job", code=3)), "only one line")
    try:
        raise error
    except LookupError as caught:
        printed = "".join(traceback.format_exception(caught))
    assert "in far" in printed
    assert "KeyError: 'the cause'" in printed
    assert "only one line" in printed
    assert printed.index("the cause") < printed.index("only one line")


def test_its_cause_is_the_original_with_the_causes_of_that() -> None:
    error = brought(raised(lambda: Odd("job", code=3)))
    assert type(error.__cause__) is Odd
    assert [frame.name for frame in traceback.extract_tb(error.__cause__.__traceback__)] == ["raised", "far"]
    assert isinstance(error.__cause__.__cause__, KeyError)


def test_what_cannot_be_pickled_is_left_behind_and_named() -> None:
    original = Busy(i for i in ())
    error = brought(original)
    assert isinstance(error, Busy)
    assert error.retries == 3
    assert error.args == ("busy with", repr(original.generator))
    assert not hasattr(error, "generator")
    assert "generator" in error.__notes__[-1]


def test_a_class_that_does_not_come_back_by_its_own_pickling_comes_by_its_parts() -> None:
    error = brought(Lying("z"))
    assert isinstance(error, Lying)
    assert error.args == ("z",)


def test_a_class_that_cannot_say_its_message_keeps_the_traceback() -> None:
    error = brought(Mute())
    assert isinstance(error, Mute)
    assert str(error) == f"Mute\n\nWhere it ran:\n{TEXT.strip()}\n"


def test_groups_come_with_their_members() -> None:
    error = brought(ExceptionGroup("two", [Plain("x"), Odd("job", code=3)]))
    assert isinstance(error, ExceptionGroup)
    assert [type(member) for member in error.exceptions] == [Plain, Odd]
    again = pickle.loads(pickle.dumps(error))
    assert [str(member) for member in again.exceptions] == ["x", "odd: job/3"]


@pytest.mark.parametrize(
    "make",
    [lambda: SystemExit(3), KeyboardInterrupt, lambda: StopIteration(4), StopAsyncIteration, asyncio.CancelledError,
     concurrent.futures.CancelledError, GeneratorExit, lambda: WorkerLost("inner"), lambda: TaskExecutionFailed("x")],
)  # fmt: skip
def test_what_would_mean_something_else_here_is_only_a_failed_task(make: Callable[[], BaseException]) -> None:
    original = raised(make)
    error = brought(original)
    assert type(error) is TaskExecutionFailed
    assert error.remote_data == TEXT
    assert type(error.__cause__) is type(original)


def test_what_a_task_got_from_another_task_keeps_the_class_it_had_there() -> None:
    inner = brought(raised(lambda: Odd("job", code=3)), "inner text")
    outer = brought(inner, "outer text")
    assert isinstance(outer, Odd)
    assert outer.remote_data == "outer text"
    assert sum(base.__name__ == "Odd" for base in type(outer).__mro__) == 2
    assert type(outer).__mro__.count(_Remote) == 1


@pytest.mark.parametrize(
    ("code", "kind"),
    [("WorkerLost", WorkerLost), ("EndpointLost", EndpointLost), ("MaxResultSizeExceeded", MaxResultSizeExceeded),
     ("TaskTimeout", TaskTimeout),
     ("RemoteExecutionError", TaskExecutionFailed), ("whatever", TaskExecutionFailed), (None, TaskExecutionFailed)],
)  # fmt: skip
def test_without_an_object_the_code_decides(code: str | None, kind: type[TaskExecutionFailed]) -> None:
    error = rebuild(TEXT, "5", None, code)
    assert type(error) is kind
    assert (error.remote_data, error.completion_t, error.__cause__) == (TEXT, "5", None)


def test_a_task_that_was_cancelled_did_not_fail() -> None:
    error = rebuild("the user asked for it\n", "5", None, "TaskCancelled")
    assert type(error) is TaskCancelled
    assert str(error) == "the user asked for it"
    assert not isinstance(error, TaskExecutionFailed)


def test_a_module_that_is_missing_where_it_is_read_is_named_and_caught_as_what_it_is() -> None:
    with pytest.raises(DeserializationError) as here:
        ComputeSerializer().deserialize("00\n" + base64.encodebytes(b"cno_such_module.inside\nx\n.").decode())
    there = brought(here.value)
    for error in (here.value, there):
        assert isinstance(error, DeserializationError)
        assert isinstance(error, ModuleNotFoundError)
        assert error.name == "no_such_module"
        assert "needs the module 'no_such_module', which is not installed in this Python (" in str(error)
        assert "Install it here; or, if it is your own, define in your script what the task uses" in str(error)
    assert isinstance(there, TaskExecutionFailed)
    assert pickle.loads(pickle.dumps(here.value)).name == "no_such_module"


FOREIGN = [3, [], [(3, [])], [(ValueError(), 3)], (), {}]


@pytest.mark.parametrize("packed", [b"", b"junk", b"cos\nsystem\n.", b"cnowhere\nx\n.", *map(pickle.dumps, FOREIGN)])
def test_what_is_no_exception_leaves_the_text(packed: bytes) -> None:
    error = rebuild(TEXT, "5", packed, None)
    assert type(error) is TaskExecutionFailed
    assert TEXT.strip() in str(error)


def test_what_exits_while_it_is_read_ends_nobody() -> None:
    error = rebuild(TEXT, "5", b"cbuiltins\nexit\n(I3\ntR.", None)
    assert type(error) is TaskExecutionFailed


def test_nothing_that_people_write_makes_packing_raise() -> None:
    assert pack_exception(Strange("x")) is None or brought(Strange("x"))


def test_the_size_is_bounded() -> None:
    assert pack_exception(ValueError("x" * EXCEPTION_LIMIT)) is None
    packed = pack_exception(ValueError("x" * (EXCEPTION_LIMIT - 1000)))
    assert packed is not None
    assert len(packed) < EXCEPTION_LIMIT


def test_deep_recursion_and_rings_of_causes_are_packed() -> None:
    def forever(n: int) -> int:
        return forever(n + 1)

    with pytest.raises(RecursionError) as caught:
        forever(0)
    assert isinstance(brought(caught.value), RecursionError)
    one, two = ValueError(1), ValueError(2)
    one.__cause__, two.__cause__ = two, one
    assert isinstance(brought(one), ValueError)


FAR = """
import sys
from afield.serialize import ComputeSerializer
from afield.serialize.exceptions import pack_exception
function = ComputeSerializer().deserialize(sys.stdin.read())
try:
    function()
except Exception as error:
    sys.stdout.buffer.write(pack_exception(error))
"""

NEAR = """
import subprocess, sys, pickle
from afield.errors import TaskExecutionFailed
from afield.serialize import ComputeSerializer
from afield.serialize.exceptions import rebuild

class Mine(Exception):
    def __init__(self, a, *, b):
        super().__init__(a)
        self.b = b

def fails():
    raise Mine(1, b=2)

def fails_inside():
    class Local(ValueError):
        pass
    raise Local("inside")

def bring(function):
    sent = ComputeSerializer().serialize(with_its_needs(function)).encode()
    done = subprocess.run([sys.executable, sys.argv[1]], input=sent, capture_output=True, check=True)
    return rebuild("text", "1", done.stdout, None)

def with_its_needs(function):
    # dill leaves the globals of a script behind.
    return (lambda function=function, Mine=Mine: (function.__globals__.update(Mine=Mine), function())[1])

try:
    raise bring(fails)
except Mine as error:
    assert isinstance(error, TaskExecutionFailed) and error.args == (1,) and error.b == 2, error
    assert isinstance(pickle.loads(pickle.dumps(error)), Mine)
else:
    raise AssertionError

local = bring(fails_inside)
assert isinstance(local, ValueError) and type(local).__name__ == "Local" and local.args == ("inside",), repr(local)
pickle.dumps(local)
print("fine")
"""


def test_except_clauses_of_a_script_match_its_own_classes(tmp_path: Path) -> None:
    near, far = tmp_path / "near.py", tmp_path / "far.py"
    near.write_text(NEAR)
    far.write_text(FAR)
    done = subprocess.run([sys.executable, near, far], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("fine\n", "")
