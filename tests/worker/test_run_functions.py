"""Functions kept between jobs: sent once, read once, and never seen by two calls where that could be noticed."""

import functools
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from afield.errors import DeserializationError
from afield.serialize import ComputeSerializer, PureSourceTextInspect
from afield.wire.jobs import code_digest
from afield.worker.functions import FunctionCache, carries_nothing

Function = Callable[..., Any]
ANY = ComputeSerializer()


def packed(function: Function, serializer: ComputeSerializer = ANY) -> tuple[bytes, bytes]:
    code = serializer.pack_buffers([serializer.serialize(function)]).encode()
    return code_digest(code), code


def kept(functions: FunctionCache, function: Function, serializer: ComputeSerializer = ANY) -> bytes:
    digest, code = packed(function, serializer)
    functions.keep(digest, code)
    return digest


def call(functions: FunctionCache, digest: bytes, *args: Any) -> Any:
    function = functions.get(digest, ANY)
    try:
        return function(*args)
    finally:
        functions.used(digest, function)


def test_a_function_is_read_once() -> None:
    functions = FunctionCache()
    digest = kept(functions, lambda x: x + 1)
    assert functions.get(digest, ANY) is functions.get(digest, ANY)
    assert call(functions, digest, 1) == 2


def test_a_function_that_was_never_sent_is_named() -> None:
    functions = FunctionCache(7)
    with pytest.raises(DeserializationError, match=r"without its function.*616263.*keeps 7"):
        functions.get(b"abc", ANY)


def test_the_one_that_was_not_used_for_longest_goes_first() -> None:
    functions = FunctionCache(2)
    first, second = kept(functions, lambda: 1), kept(functions, lambda: 2)
    functions.get(first, ANY)
    third = kept(functions, lambda: 3)
    assert (first in functions, second in functions, third in functions, len(functions)) == (True, False, True, 2)
    kept(functions, lambda: 4)
    assert (first in functions, third in functions) == (False, True)


def test_code_that_cannot_be_read_is_kept_and_says_so_each_time() -> None:
    functions = FunctionCache()
    functions.keep(b"d", b"5\n01\n!!")
    for _ in range(2):
        with pytest.raises(DeserializationError, match="DillCode cannot read"):
            functions.get(b"d", ANY)


def test_what_one_job_may_read_another_may_not() -> None:
    functions = FunctionCache()
    digest = kept(functions, lambda: 1)
    functions.get(digest, ANY)
    strict = ComputeSerializer(allowed_deserializer_types=[PureSourceTextInspect, "afield.*Data"])
    with pytest.raises(DeserializationError, match="DillCode is disabled"):
        functions.get(digest, strict)


def with_default(x: int, seen: list[int] = []) -> list[int]:  # noqa: B006 - this is what is tested
    seen.append(x)
    return seen


def with_attribute(x: int) -> int:
    with_attribute.count = getattr(with_attribute, "count", 0) + x  # type: ignore[attr-defined]
    return with_attribute.count  # type: ignore[attr-defined, no-any-return]


def with_global(x: int) -> int:
    global total  # noqa: PLW0603 - this is what is tested
    try:
        total += x  # type: ignore[used-before-def]
    except NameError:
        total = x
    return total


def counting() -> Function:
    count = 0

    def closure(x: int) -> int:
        nonlocal count
        count += x
        return count

    return closure


def gathering() -> Function:
    seen: list[int] = []

    def closure(x: int) -> list[int]:
        seen.append(x)
        return seen

    return closure


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self, x: int) -> int:
        self.count += x
        return self.count


def remembering() -> Function:
    calls: dict[str, int] = {}

    @functools.wraps(counting)
    def wrapped(x: int) -> int:
        calls["n"] = calls.get("n", 0) + x
        return calls["n"]

    return wrapped


SOURCE = ComputeSerializer(PureSourceTextInspect)


@pytest.mark.parametrize(
    ("function", "serializer", "result"),
    [
        (with_default, SOURCE, [1]),
        (with_attribute, SOURCE, 1),
        (with_global, SOURCE, 1),
        (gathering(), ANY, [1]),
        (remembering(), ANY, 1),
        (Counter(), ANY, 1),
        (functools.partial(with_default, seen=[]), ANY, [1]),
    ],
)
def test_no_call_sees_what_another_left(function: Function, serializer: ComputeSerializer, result: Any) -> None:
    functions = FunctionCache()
    digest = kept(functions, function, serializer)
    assert [call(functions, digest, 1) for _ in range(3)] == [result] * 3


def test_a_counter_in_a_closure_starts_anew_for_each_call() -> None:
    functions = FunctionCache()
    digest = kept(functions, counting())
    assert [call(functions, digest, 1) for _ in range(3)] == [1, 1, 1]


def test_functions_of_modules_are_the_modules_own() -> None:
    functions = FunctionCache()
    assert functions.get(kept(functions, json.dumps), ANY) is json.dumps


def recursive(n: int) -> int:
    return 1 if n == 0 else n * recursive(n - 1)


def a_class() -> type:
    class Local:
        pass

    return Local


LIMIT, TEXT = 3, "text"


def uses_constants(x: int, y: tuple[int, str] = (1, "a"), *, z: str = TEXT) -> Any:
    return x, y, z, LIMIT


@pytest.mark.parametrize(
    ("function", "answer"),
    [
        (uses_constants, True),
        (recursive, True),
        (json.dumps, True),
        (json.JSONEncoder, True),
        (len, True),
        (lambda x: x, True),
        (lambda x, y=(1, (2, "a")): x, True),
        (lambda x, y=json: x, True),
        (lambda x, y=len: x, True),
        (lambda x, y=[]: x, False),
        (lambda x, y={}: x, False),
        (lambda x, y=(1, []): x, False),
        (lambda *, y=set(): y, False),
        (gathering(), False),
        (counting(), False),
        (remembering(), False),
        (Counter(), False),
        (a_class(), False),
        (functools.partial(len), False),
        (functools.lru_cache(lambda: 1), False),
    ],
)
def test_what_could_carry_something_over_is_told_apart(function: Function, answer: bool) -> None:
    assert carries_nothing(function) is answer


def test_threads_may_share_it() -> None:
    functions = FunctionCache(4)
    digests = [packed(lambda x, n=n: x + n) for n in range(8)]  # type: ignore[misc]
    wrong: list[Any] = []

    def work() -> None:
        for turn in range(200):
            digest, code = digests[turn % 8]
            functions.keep(digest, code)
            try:
                if (found := functions.get(digest, ANY)(1)) != 1 + turn % 8:
                    wrong.append(found)
            except DeserializationError as error:  # another thread used four others in the meantime
                if "without its function" not in str(error):
                    wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(functions) == 4
