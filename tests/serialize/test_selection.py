"""Strategies by instance, class and import path."""

from typing import Any

import pytest

from afield.errors import SerdeError
from afield.serialize import (
    DillCode,
    DillCodeTextInspect,
    DillDataBase64,
    JSONData,
    PickleCode,
    SerializationStrategy,
    import_path,
)
from afield.serialize.selection import strategy_for


class Mine(SerializationStrategy):
    """Somebody's own."""

    identifier = "my\n"
    for_code = False

    def serialize(self, data: Any) -> str:
        return f"my\n{data}"

    def deserialize(self, payload: str) -> Any:
        return payload


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        (JSONData, JSONData),
        (JSONData(), JSONData),
        ("afield.serialize.JSONData", JSONData),
        ("afield.serialize.data.JSONData", JSONData),
        ("globus_compute_sdk.serialize.JSONData", JSONData),
        ("globus_compute_sdk.serialize.concretes.JSONData", JSONData),
        ("globus_compute_sdk.serialize.concretes.DillCodeTextInspect", DillCodeTextInspect),
        ("globus_compute_sdk.serialize.DillTextInspect", DillCodeTextInspect),
        ("globus_compute_sdk.serialize.DEFAULT_STRATEGY_DATA", DillDataBase64),
        ("globus_compute_sdk.serialize.DEFAULT_STRATEGY_CODE", DillCode),
    ],
)
def test_a_strategy_has_many_names(named: Any, meant: type[SerializationStrategy]) -> None:
    assert type(strategy_for(named)) is meant
    assert import_path(named) == f"globus_compute_sdk.serialize.concretes.{meant.__name__}"


@pytest.mark.parametrize(
    "named",
    ["os.path", "JSONData", "", "globus_compute_sdk.serialize.concretes.Nothing", "os.path.Nothing",
     "globus_compute_sdk.serialize.concretes.PickleCode", PickleCode, PickleCode(), object, 3, None],
)  # fmt: skip
def test_what_is_no_strategy_is_refused(named: Any) -> None:
    with pytest.raises(SerdeError, match=r"is not a serialization strategy\. Choose one of"):
        strategy_for(named)


def test_the_kind_is_checked() -> None:
    with pytest.raises(SerdeError, match="JSONData is a strategy for data, and one for code is needed"):
        strategy_for(JSONData, for_code=True)
    with pytest.raises(SerdeError, match="DillCode is a strategy for code, and one for data is needed"):
        strategy_for(DillCode, for_code=False)
