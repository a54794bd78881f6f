"""Objects as text and back: the published strategies with their identifiers, and the exceptions of tasks.

``ComputeSerializer`` is the face of it all. ``strategy`` says what a strategy is and holds the table of them; ``code``
and ``data`` are the strategies; ``selection`` finds them by name; ``buffers`` puts several values into one text;
``pickles`` is how objects become bytes; ``exceptions`` brings what a task raised to whoever waits for it; ``reasons``
says why something did not work.

Importing this loads neither dill nor anything that speaks to a network.
"""

from afield.errors import DeserializationError, SerdeError, SerializationError
from afield.serialize.code import (
    DEFAULT_STRATEGY_CODE,
    AllCodeStrategies,
    CombinedCode,
    DillCode,
    DillCodeSource,
    DillCodeTextInspect,
    DillTextInspect,
    PickleCode,
    PureSourceDill,
    PureSourceTextInspect,
)
from afield.serialize.data import DEFAULT_STRATEGY_DATA, AllDataStrategies, DillDataBase64, JSONData
from afield.serialize.selection import AllowlistWildcard, import_path
from afield.serialize.serializer import ComputeSerializer
from afield.serialize.strategy import ComboSerializationStrategy, SerializationStrategy, carries_code

__all__ = [
    "DEFAULT_STRATEGY_CODE",
    "DEFAULT_STRATEGY_DATA",
    "AllCodeStrategies",
    "AllDataStrategies",
    "AllowlistWildcard",
    "CombinedCode",
    "ComboSerializationStrategy",
    "ComputeSerializer",
    "DeserializationError",
    "DillCode",
    "DillCodeSource",
    "DillCodeTextInspect",
    "DillDataBase64",
    "DillTextInspect",
    "JSONData",
    "PickleCode",
    "PureSourceDill",
    "PureSourceTextInspect",
    "SerdeError",
    "SerializationError",
    "SerializationStrategy",
    "carries_code",
    "import_path",
]
