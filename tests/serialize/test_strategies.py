"""Each strategy by itself: what it takes, what it makes, what it says when it cannot."""

import functools
import json
import textwrap
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afield import serialize
from afield.errors import DeserializationError, SerdeError, SerializationError
from afield.serialize import (
    AllCodeStrategies,
    AllDataStrategies,
    CombinedCode,
    ComputeSerializer,
    DillCode,
    DillCodeSource,
    DillCodeTextInspect,
    DillDataBase64,
    JSONData,
    PickleCode,
    PureSourceDill,
    PureSourceTextInspect,
    SerializationStrategy,
)
from afield.serialize.strategy import STRATEGIES
from afield.shell import ShellFunction

SOURCE = [DillCodeSource, DillCodeTextInspect, PureSourceDill, PureSourceTextInspect]
CODE = [*SOURCE, DillCode, CombinedCode, AllCodeStrategies]
DATA = [DillDataBase64, JSONData, AllDataStrategies]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
values = st.recursive(
    json_values | st.binary(max_size=300) | st.complex_numbers(allow_nan=False) | st.fractions(),
    lambda inner: st.tuples(inner, inner) | st.lists(inner, max_size=3),
    max_leaves=6,
)


def shout(text: str = "a: b") -> str:
    """With a colon: in it."""
    return text.upper() + "É"


@pytest.mark.parametrize("strategy", CODE)
def test_a_function_comes_back(strategy: type[SerializationStrategy]) -> None:
    payload = strategy().serialize(shout)
    assert payload.startswith(strategy.identifier)
    again = strategy().deserialize(payload)
    assert (again(), again("x"), again.__name__) == ("A: BÉ", "XÉ", "shout")


@pytest.mark.parametrize("strategy", DATA)
@given(value=json_values)
def test_data_comes_back(strategy: type[SerializationStrategy], value: Any) -> None:
    assert strategy().deserialize(strategy().serialize(value)) == value


@given(value=values)
def test_whatever_pickles_comes_back(value: Any) -> None:
    assert DillDataBase64().deserialize(DillDataBase64().serialize(value)) == value


def test_the_table_has_the_published_identifiers() -> None:
    assert {identifier: type(strategy).__name__ for identifier, strategy in STRATEGIES.items()} == {
        "00\n": "DillDataBase64",
        "01\n": "DillCode",
        "02\n": "PickleCode",
        "03\n": "DillCodeTextInspect",
        "04\n": "DillCodeSource",
        "10\n": "CombinedCode",
        "11\n": "JSONData",
        "12\n": "AllCodeStrategies",
        "13\n": "AllDataStrategies",
        "sd\n": "PureSourceDill",
        "st\n": "PureSourceTextInspect",
    }
    assert serialize.DillTextInspect is DillCodeTextInspect
    assert isinstance(serialize.DEFAULT_STRATEGY_CODE, DillCode)
    assert isinstance(serialize.DEFAULT_STRATEGY_DATA, DillDataBase64)


@pytest.mark.parametrize("strategy", [*CODE, *DATA])
def test_a_strategy_reads_only_its_own(strategy: type[SerializationStrategy]) -> None:
    with pytest.raises(DeserializationError, match="begin with"):
        strategy().deserialize("zz\nabc")


@pytest.mark.parametrize("size", [0, 57, 58, 500, 58_368, 58_369, 300_000])
def test_data_of_every_size_comes_back(size: int) -> None:
    payload = DillDataBase64().serialize(b"\xff" * size)
    assert payload.endswith("\n")
    assert DillDataBase64().deserialize(payload) == b"\xff" * size


def test_json_turns_tuples_into_lists() -> None:
    assert JSONData().deserialize(JSONData().serialize((1, (2,)))) == [1, [2]]


def test_all_data_strategies_falls_back_to_the_pickle() -> None:
    payload = AllDataStrategies().serialize({1, 2})
    assert "11\n" not in payload
    assert AllDataStrategies().deserialize(payload) == {1, 2}


def test_a_function_defined_inside_another_comes_back_from_its_source() -> None:
    def inner(x: int) -> int:
        return x + 1

    for strategy in (PureSourceTextInspect(), DillCodeTextInspect()):
        assert strategy.deserialize(strategy.serialize(inner))(1) == 2


@pytest.mark.parametrize("strategy", SOURCE)
def test_a_lambda_has_no_source_to_send(strategy: type[SerializationStrategy]) -> None:
    with pytest.raises(SerializationError, match="DillCode takes others"):
        strategy().serialize(lambda: 1)


def test_a_lambda_goes_with_all_code_strategies() -> None:
    assert AllCodeStrategies().deserialize(AllCodeStrategies().serialize(lambda: 7))() == 7


def test_a_closure_and_a_decorated_function_travel_compiled() -> None:
    factor = 3

    def outer(function: Callable[[int], int]) -> Callable[[int], int]:
        @functools.wraps(function)
        def wrapped(x: int) -> int:
            return function(x) * factor

        return wrapped

    @outer
    def one_more(x: int) -> int:
        return x + 1

    assert DillCode().deserialize(DillCode().serialize(one_more))(1) == 6


def test_pickle_code_is_only_read() -> None:
    with pytest.raises(SerializationError, match="only reads"):
        PickleCode().serialize(shout)


def test_tracebacks_of_functions_sent_as_source_show_the_line() -> None:
    def divide(x: int) -> float:
        return 1 / x  # here it breaks

    again = PureSourceTextInspect().deserialize(PureSourceTextInspect().serialize(divide))
    with pytest.raises(ZeroDivisionError) as caught:
        again(0)
    assert "return 1 / x  # here it breaks" in "".join(traceback.format_exception(caught.value))


def test_a_function_that_came_as_source_can_be_sent_on_as_source() -> None:
    strategy = PureSourceTextInspect()
    payload = strategy.serialize(shout)
    assert strategy.deserialize(strategy.serialize(strategy.deserialize(payload)))("x") == "XÉ"


def test_combined_code_survives_the_loss_of_its_first_members() -> None:
    payload = CombinedCode().serialize(shout)
    members = CombinedCode()._split(CombinedCode().chomp(payload))
    assert [member[:2] for member in members] == ["04", "01", "03", "sd", "st"]
    # The last two are source with colons in it.
    assert all(STRATEGIES[member[:3]].deserialize(member)() == "A: BÉ" for member in members)
    broken = payload.replace("04\n:", "04\n:!").replace("01\n:", "01\n:!").replace("03\n:", "03\n:!")
    assert CombinedCode().deserialize(broken)() == "A: BÉ"


def test_a_combination_says_why_none_of_its_members_works() -> None:
    with pytest.raises(DeserializationError, match=r"none of the 2 values .* JSONDecodeError.*begins with 'zz"):
        AllDataStrategies().deserialize("13\n4\n11\n{5\nzz\nab")
    generator = (i for i in ())
    with pytest.raises(SerializationError, match=r"JSONData: TypeError.*DillDataBase64: TypeError"):
        AllDataStrategies().serialize(generator)


def test_strategies_of_others_must_have_a_proper_identifier() -> None:
    for identifier in ("x", "xx", "xxx", "xxx\n"):
        with pytest.raises(ValueError, match="two characters"):
            type("Mine", (JSONData,), {"identifier": identifier})
    with pytest.raises(SerdeError, match=r"Mine and afield\.serialize\.data\.JSONData have the same identifier, '11'"):
        SerializationStrategy.register(type("Mine", (JSONData,), {}))


def test_functions_of_importable_modules_go_by_name() -> None:
    payload = DillCode().serialize(textwrap.dedent)
    assert len(payload) < 80
    assert DillCode().deserialize(payload) is textwrap.dedent
    assert ComputeSerializer().deserialize(DillCode().serialize(json.JSONEncoder)) is json.JSONEncoder


@pytest.mark.parametrize("strategy", [DillCodeTextInspect, DillCodeSource, PureSourceTextInspect, PureSourceDill])
def test_an_object_that_can_be_called_has_no_source(strategy: type[SerializationStrategy]) -> None:
    """That of its class would be read as another thing, or as nothing, far away."""
    facade = ComputeSerializer(strategy_code=strategy())
    with pytest.raises(SerializationError, match=r"object of the class ShellFunction.*DillCode takes it"):
        facade.serialize(ShellFunction("echo {x}"))
