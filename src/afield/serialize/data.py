"""The strategies for arguments and results."""

from __future__ import annotations

import binascii
import json
from functools import cache
from typing import Any, ClassVar, Final

from afield.serialize.pickles import CODE_MARK, dumps, loads
from afield.serialize.strategy import (
    STRATEGIES,
    ComboSerializationStrategy,
    SerializationStrategy,
)

__all__ = [
    "DEFAULT_STRATEGY_DATA",
    "AllDataStrategies",
    "DillDataBase64",
    "JSONData",
    "pickle_from_text",
    "text_holds_code",
    "text_of_pickle",
]

#: A line of base64 in mail: 57 bytes become 76 characters. The published package writes such lines; so do we, as long
#: as that takes no time to speak of. Cutting takes longer than encoding, so what is large goes in one line: readers of
#: base64 take both.
_LINE: Final = 57
_CUT_UP_TO: Final = 1024 * _LINE

#: From this length on, text is searched for code rather than decoded.
_SEARCH_FROM: Final = 100_000


def text_of_pickle(data: Any) -> str:
    """A pickle of ``data`` in base64."""
    pickled = dumps(data)
    if _LINE < len(pickled) <= _CUT_UP_TO:
        lines = [binascii.b2a_base64(pickled[at : at + _LINE]) for at in range(0, len(pickled), _LINE)]
        return b"".join(lines).decode("ascii")
    return binascii.b2a_base64(pickled).decode("ascii")


def text_holds_code(text: str) -> bool:
    """Whether there is byte code in what :func:`text_of_pickle` made."""
    if len(text) < _SEARCH_FROM:
        return CODE_MARK in binascii.a2b_base64(text)
    # Decoding takes ten times as long as looking for what the mark may look like in base64.
    if text.find("\n", 0, len(text) - 1) >= 0:
        text = text.replace("\n", "")
    return any(spelled in text for spelled in _spellings(CODE_MARK))


@cache
def _spellings(mark: bytes) -> tuple[str, ...]:
    """The characters that stand for ``mark`` in base64, whatever is before and after it: there are three ways."""
    found = []
    for before in range(3):
        made = binascii.b2a_base64(bytes(before) + mark, newline=False).decode("ascii")
        # The first and the last character may stand for bits of other bytes, too.
        whole = (before + len(mark)) * 8 // 6
        found.append(made[-(-before * 8 // 6) : whole])
    return tuple(found)


def pickle_from_text(text: str) -> Any:
    """What :func:`text_of_pickle` made a text of."""
    return loads(binascii.a2b_base64(text))


@SerializationStrategy.register
class DillDataBase64(SerializationStrategy):
    """Anything that dill can pickle, in base64. The default for data.

    Types must be importable, in a version that fits, where the value is read; those of the running script travel along.
    """

    identifier: ClassVar[str] = "00\n"
    for_code: ClassVar[bool] = False

    def serialize(self, data: Any) -> str:
        """``data`` as a pickle in base64."""
        return self.identifier + text_of_pickle(data)

    def deserialize(self, payload: str) -> Any:
        """The object."""
        return pickle_from_text(self.chomp(payload))

    def carries_code(self, payload: str) -> bool:
        """Whether something of the script travels in it."""
        return text_holds_code(self.chomp(payload))


@SerializationStrategy.register
class JSONData(SerializationStrategy):
    """What JSON can say, readable by any language and any Python. Tuples come back as lists, keys as strings."""

    identifier: ClassVar[str] = "11\n"
    for_code: ClassVar[bool] = False

    def serialize(self, data: Any) -> str:
        """``data`` as JSON."""
        return self.identifier + json.dumps(data)

    def deserialize(self, payload: str) -> Any:
        """The object."""
        return json.loads(self.chomp(payload))


@SerializationStrategy.register
class AllDataStrategies(ComboSerializationStrategy):
    """JSON where it can say it, and a pickle; the reader takes JSON first, so tuples come back as lists."""

    identifier: ClassVar[str] = "13\n"
    for_code: ClassVar[bool] = False
    strategies: ClassVar = (JSONData, DillDataBase64)


#: what data is serialized by when nobody says otherwise
DEFAULT_STRATEGY_DATA: Final = STRATEGIES[DillDataBase64.identifier]
