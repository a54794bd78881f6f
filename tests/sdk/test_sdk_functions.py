"""Functions as the service knows them: compiled, and in a form for other Pythons."""

from __future__ import annotations

import gc
import os.path
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from afield.errors import SerializationError
from afield.sdk.functions import Function, FunctionCache, describe
from afield.serialize import ComputeSerializer, PureSourceTextInspect, carries_code
from afield.serialize.buffers import unpack_buffers
from afield.wire.rest import FunctionRegistration

SCALE = 3
SERIALIZER = ComputeSerializer()


def helper(x: int) -> int:
    return x + 1


def scaled(x: int) -> int:
    """Scales it."""
    return helper(x) * SCALE


def closure(n: int) -> Callable[[], int]:
    def inner() -> int:
        return n

    return inner


def taken(fn: Callable[..., Any], serializer: ComputeSerializer = SERIALIZER) -> Function:
    return FunctionCache().take(fn, serializer)


def read(registration: FunctionRegistration) -> Any:
    (text,) = unpack_buffers(registration.function_code)
    assert text[:2] == (registration.meta or {})["serde_identifier"]
    return SERIALIZER.deserialize(text)


def as_of_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of an importable module a function goes by name.
    for fn in (helper, scaled):
        monkeypatch.setattr(fn, "__module__", "__main__")


def test_a_function_of_the_script_has_a_form_for_other_pythons(monkeypatch: pytest.MonkeyPatch) -> None:
    as_of_the_script(monkeypatch)
    function = taken(scaled)
    assert function.registration is not None
    assert carries_code(function.registration.function_code)
    other = function.portable()
    assert not carries_code(other.function_code)
    assert (other.function_name, other.description) == ("scaled", "Scales it.")
    assert (other.meta or {})["serde_identifier"] == "st"
    assert (other.meta or {})["python_version"] == (function.registration.meta or {})["python_version"]
    assert read(other)(2) == 9
    assert function.portable() is other


def test_what_goes_by_name_goes_so_everywhere() -> None:
    other = taken(os.path.basename).portable()
    assert (other.meta or {})["serde_identifier"] == "12"
    assert not carries_code(other.function_code)
    assert read(other) is os.path.basename


def test_what_is_source_already_stays_as_it_is() -> None:
    function = taken(helper, ComputeSerializer(strategy_code=PureSourceTextInspect))
    assert function.portable() is function.registration


def test_what_has_no_such_form_says_why() -> None:
    with pytest.raises(SerializationError, match="the function inner cannot be sent as source: inner is a closure"):
        taken(closure(1)).portable()


def test_a_function_that_is_known_by_its_id_has_no_source() -> None:
    with pytest.raises(SerializationError, match="the function f is known here by its id only"):
        Function("f", "4b116d3c-1703-4f8f-9f6f-39921e5864df").portable()


def test_a_function_is_kept_until_it_is_registered() -> None:
    fn = closure(1)
    function, alive = taken(fn), weakref.ref(fn)
    del fn
    gc.collect()
    assert alive() is not None
    function.id = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
    gc.collect()
    assert alive() is None
    with pytest.raises(SerializationError, match="known here by its id only"):
        function.portable()


def test_a_function_that_is_registered_has_another_form_as_long_as_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    as_of_the_script(monkeypatch)
    function = taken(scaled)
    function.id = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
    assert read(function.portable())(2) == 9


def test_an_equal_function_takes_the_place_of_one_that_is_gone() -> None:
    cache = FunctionCache()
    first = closure(1)
    function = cache.take(first, SERIALIZER)
    function.id = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
    del first
    second = closure(1)
    assert cache.take(second, SERIALIZER) is function
    with pytest.raises(SerializationError, match="inner is a closure"):
        function.portable()


def test_objects_that_cannot_be_referred_to_weakly_are_described() -> None:
    class Callable2:
        __slots__ = ()

        def __call__(self) -> int:
            return 1

    function = taken(Callable2())
    function.id = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
    assert function.registration is not None
    assert describe(Callable2(), SERIALIZER).function_name == "Callable2"
