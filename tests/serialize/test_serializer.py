"""ComputeSerializer: which strategy it takes, what it refuses, and what it says."""

import base64
import pickle
import socket
import sys
from typing import Any

import pytest

from afield.errors import DeserializationError, SerdeError, SerializationError
from afield.serialize import (
    AllCodeStrategies,
    ComputeSerializer,
    DillCode,
    DillDataBase64,
    JSONData,
    PureSourceTextInspect,
)


class Bag:
    """Holds things."""

    def __init__(self, **things: Any) -> None:
        self.__dict__.update(things)


class Refuses:
    """Cannot be pickled, and says so in its own way."""

    def __reduce__(self) -> str:
        raise LookupError("not today")


class Exits:
    """Whose pickle runs code that raises."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("not a number",)


def add(x: int, y: int = 1) -> int:
    return x + y


def test_callables_go_by_one_strategy_and_the_rest_by_another() -> None:
    serializer = ComputeSerializer(strategy_code=PureSourceTextInspect(), strategy_data=JSONData)
    assert serializer.serialize(add).startswith("st\nadd:def add")
    assert serializer.serialize([1]) == "11\n[1]"
    assert ComputeSerializer().serialize(add).startswith("01\n")
    assert ComputeSerializer().serialize([1]).startswith("00\n")


def test_any_serializer_reads_what_any_other_made() -> None:
    payload = ComputeSerializer(strategy_data="globus_compute_sdk.serialize.JSONData").serialize([1])
    assert ComputeSerializer().deserialize(payload) == [1]


def test_check_strategies_gives_back_the_call_as_a_worker_sees_it() -> None:
    function, args, kwargs = ComputeSerializer(strategy_data=JSONData()).check_strategies(add, (1, 2), y=3)
    assert (function(1), args, kwargs) == (2, [[1, 2]], {"y": 3})


def test_a_task_is_three_values() -> None:
    serializer = ComputeSerializer()
    packed = serializer.pack_buffers([serializer.serialize(part) for part in (add, (1,), {"y": 5})])
    function, args, kwargs = serializer.unpack_and_deserialize(packed)
    assert function(*args, **kwargs) == 6
    with pytest.raises(DeserializationError, match="three serialized values"):
        serializer.unpack_and_deserialize(serializer.pack_buffers([serializer.serialize(1)]))


def test_from_a_list_the_first_strategy_that_works_is_taken() -> None:
    assert ComputeSerializer.serialize_from_list({1}, [JSONData(), DillDataBase64()]).startswith("00\n")
    assert ComputeSerializer.serialize_from_list([1], [JSONData(), DillDataBase64()]) == "11\n[1]"
    assert ComputeSerializer.serialize_from_list(add, [JSONData(), AllCodeStrategies()]).startswith("12\n")
    assert ComputeSerializer.serialize_from_list(1, []).startswith("00\n")
    assert ComputeSerializer.serialize_from_list(add, ()).startswith("01\n")


def test_when_no_strategy_of_a_list_works_each_says_why() -> None:
    with pytest.raises(SerializationError) as caught:
        ComputeSerializer.serialize_from_list({1}, ["afield.serialize.JSONData", "some.where", DillCode])
    text = str(caught.value)
    assert "JSON has nothing for a set" in text
    assert "'some.where' cannot be imported here: No module named 'some'. A strategy of another package must" in text
    assert "DillCode is a strategy for code" in text


def test_the_error_names_the_part_that_cannot_be_pickled() -> None:
    with socket.socket() as connection:
        with pytest.raises(SerializationError) as caught:
            ComputeSerializer().serialize((1, {"key": Bag(fine=1, connection=connection)}))
        assert "[1]['key'].connection" in str(caught.value)
        assert "a socket cannot be pickled" in str(caught.value)

        def uses() -> object:
            return connection

        with pytest.raises(SerializationError, match=r"the function .*uses.*its variable connection"):
            ComputeSerializer().serialize(uses)


def test_the_error_does_not_look_into_what_pickles_itself() -> None:
    class Alone:
        def __init__(self) -> None:
            self.lock = (n for n in ())

        def __reduce__(self) -> str:
            raise TypeError("stays here")

    with pytest.raises(SerializationError, match=r"at \[0\]: an? .*Alone\): TypeError: stays here"):
        ComputeSerializer().serialize([Alone()])


def test_the_error_says_what_json_cannot_say() -> None:
    with pytest.raises(SerializationError, match=r"at \['a'\]\[1\]: a set\): JSON has nothing for a set"):
        ComputeSerializer(strategy_data=JSONData()).serialize({"a": [1, {2}]})


def test_what_an_object_says_itself_is_passed_on() -> None:
    with pytest.raises(SerializationError, match="LookupError: not today") as caught:
        ComputeSerializer().serialize([Refuses()])
    assert isinstance(caught.value.__cause__, LookupError)


def test_what_is_nested_too_deeply_is_called_so() -> None:
    deep: list[Any] = []
    for _ in range(50_000):
        deep = [deep]
    with pytest.raises(SerializationError, match="nested too deeply"):
        ComputeSerializer().serialize(deep)


def test_a_function_without_source_is_called_so() -> None:
    namespace: dict[str, Any] = {}
    exec("def made(): return 1", namespace)
    with pytest.raises(SerializationError, match="source cannot be found"):
        ComputeSerializer(strategy_code=PureSourceTextInspect()).serialize(namespace["made"])


def of_pickle(data: bytes, identifier: str = "00") -> str:
    return f"{identifier}\n{base64.b64encode(data).decode()}\n"


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ("", "begins with ''"),
        ("00", "begins with '00'"),
        ("zz\nabc", r"begins with 'zz\\n'"),
        ("00\n", "DillDataBase64 .* truncated"),
        ("00\ngASV", "DillDataBase64 .* truncated"),
        ("00\ngARLAS4", "DillDataBase64 .* truncated"),
        ("00\né", "DillDataBase64 .* not made by this strategy"),
        ("11\n{", "JSONData .* damaged"),
        (of_pickle(b"\x80\x63."), "newer version of Python"),
        (of_pickle(b"\x80\x04\x8c\x07nowhere\x8c\x01f\x93.", "01"), "DillCode .*'nowhere'.*not installed"),
        (of_pickle(b"\x80\x04\x8c\x04json\x8c\x07nothing\x93."), "another version of it"),
        (of_pickle(b"\x80\x04\x8c\x08__main__\x8c\x06Colour\x93."), "did not travel along"),
        (of_pickle(pickle.dumps(Exits())), "ValueError: invalid literal"),
        ("st\nno source", "PureSourceTextInspect"),
        ("st\nf:def g(): pass", "PureSourceTextInspect .* should define f, and it defines g"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_cause(payload: str, says: str) -> None:
    with pytest.raises(DeserializationError, match=says):
        ComputeSerializer().deserialize(payload)


def test_the_error_about_a_missing_module_says_which_python_lacks_it() -> None:
    with pytest.raises(DeserializationError) as caught:
        ComputeSerializer().deserialize(of_pickle(b"\x80\x04\x8c\x07nowhere\x8c\x01f\x93."))
    assert sys.executable in str(caught.value)


def test_an_allow_list_lets_through_what_it_names() -> None:
    allowed = ["globus_compute_sdk.serialize.concretes.JSONData", PureSourceTextInspect]
    serializer = ComputeSerializer(allowed_deserializer_types=allowed)
    assert serializer.deserialize("11\n[1]") == [1]
    assert serializer.deserialize("st\nf:def f(): return 1")() == 1
    for payload, says in [
        (ComputeSerializer().serialize(1), "for data it allows JSONData"),
        (ComputeSerializer().serialize(add), r"for code it allows PureSourceTextInspect. Submit with"),
    ]:
        with pytest.raises(DeserializationError, match=says):
            serializer.deserialize(payload)
    with pytest.raises(DeserializationError, match="DillCode is disabled"):
        serializer.assert_deserializer_allowed(DillCode())


@pytest.mark.parametrize("names", [("globus_compute_sdk.*Code", "afield.serialize.JSONData"),
                                   ("afield.*Code", "afield.serialize.data.JSONData")])  # fmt: skip
def test_a_wildcard_allows_all_of_a_kind(names: tuple[str, ...]) -> None:
    serializer = ComputeSerializer(allowed_deserializer_types=names)
    assert serializer.deserialize(ComputeSerializer().serialize(add))(1) == 2
    assert serializer.deserialize(ComputeSerializer(AllCodeStrategies).serialize(add))(1) == 2
    with pytest.raises(DeserializationError, match="DillDataBase64 is disabled"):
        serializer.deserialize(ComputeSerializer().serialize(1))


def test_both_wildcards_allow_everything() -> None:
    serializer = ComputeSerializer(allowed_deserializer_types=["afield.*Code", "globus_compute_sdk.*Data"])
    assert serializer.check_strategies(add, 1, y=2)[1:] == [(1,), {"y": 2}]


@pytest.mark.parametrize(
    ("allowed", "says"),
    [
        (["afield.serialize.JSONData"], "at least one for code and one for data"),
        (["globus_compute_sdk.*Code"], "at least one for code and one for data"),
        (["globus_compute_sdk.*Code", DillCode, JSONData], "wildcard for code and single"),
        (["afield.*Data", JSONData, DillCode], "wildcard for data and single"),
        (["nonsense", DillCode], "'nonsense' is not a serialization strategy"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused(allowed: list[Any], says: str) -> None:
    with pytest.raises(SerdeError, match=says):
        ComputeSerializer(allowed_deserializer_types=allowed)


@pytest.mark.parametrize("empty", [None, (), []])
def test_no_list_allows_everything(empty: Any) -> None:
    serializer = ComputeSerializer(allowed_deserializer_types=empty)
    assert serializer.deserialize(ComputeSerializer().serialize(add))(1) == 2
