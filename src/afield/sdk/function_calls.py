"""The part of ``Client`` that is about functions."""

from __future__ import annotations

import platform
import re
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec

from afield.ids import parse_id
from afield.sdk.checks import json_object, text
from afield.sdk.functions import describe, runtime_meta
from afield.sdk.older import without_effect
from afield.sdk.pages import paged
from afield.serialize import ComputeSerializer
from afield.wire.rest import FunctionRegistration

if TYPE_CHECKING:
    from afield.sdk.session import Session

__all__ = ["FunctionCalls"]

UUIDlike = uuid.UUID | str

_LEFT_OUT: Final = {
    "container_uuid": "containers are the endpoint's configuration",
    "function_name": "a function is registered under its own name",
    "searchable": "your functions are found by Client.list_functions(search=...)",
}


class FunctionCalls(ABC):
    """What a service can be asked about functions."""

    #: how functions become bytes
    serializer: ComputeSerializer

    @abstractmethod
    def session(self) -> Session:
        """Where to ask."""

    @without_effect(_LEFT_OUT, "Client.register_function()")
    def register_function(  # noqa: PLR0917 - as published
        self,
        function: Any,
        description: str | None = None,
        metadata: dict[str, Any] | None = None,
        public: bool = False,  # noqa: FBT001, FBT002 - as published
        group: UUIDlike | None = None,
        ha_endpoint_id: UUIDlike | None = None,
    ) -> str:
        """Register a function.

        :param description: for people; None: its docstring
        :param metadata: more to say about it
        :param public: whether everybody may call it
        :param group: whose members may call it
        :param ha_endpoint_id: the one endpoint where it may run; excludes ``public`` and ``group``
        :return: its id
        :raises SerializationError: it cannot be serialized
        """
        sharing = _sharing(public, group, ha_endpoint_id)
        return self._register(describe(function, self.serializer, description, metadata, **sharing))

    def register_source_code(  # noqa: PLR0917 - as published
        self,
        source: str,
        function_name: str,
        description: str | None = None,
        metadata: dict[str, Any] | None = None,
        public: bool = False,  # noqa: FBT001, FBT002 - as published
        group: UUIDlike | None = None,
        ha_endpoint_id: UUIDlike | None = None,
    ) -> str:
        """Register a function given as source, whatever strategy is set.

        :param source: Python, with its imports
        :param function_name: which function in it to call
        :return: its id
        :raises TypeError: one of them is no text
        :raises ValueError: ``source`` is no Python that this Python reads, or ``function_name`` is no name in it
        """
        sharing = _sharing(public, group, ha_endpoint_id)
        _check_source(source, function_name)
        json_object(metadata, "metadata")
        return self._register(
            FunctionRegistration(
                function_name=function_name,
                function_code=source,
                serialized=False,
                meta=runtime_meta() | (metadata or {}),
                description=None if description is None else text("description", description),
                **sharing,
            )
        )

    def get_function(self, function_id: UUIDlike) -> dict[str, Any]:
        """What the service knows of a function: name, description, code, the Python that it comes from."""
        found = parse_id(function_id, "function")
        return msgspec.structs.asdict(self.session().call(lambda service: service.function(found)))

    def list_functions(self, search: str | None = None, *, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """Your functions, the newest first. The service is asked as far as you iterate.

        :param search: part of the name or of the description
        :param limit: how many at most; None: all
        :return: for each ``function_uuid``, ``function_name``, ``description``, ``created_at`` (unix time in seconds),
            ``public``, ``group``
        :raises TypeError: ``search`` is no text
        :raises ValueError: ``limit`` is less than 1
        """
        if search is not None:
            text("search", search)

        def page(before: str | None, most: int) -> tuple[list[Any], str | None]:
            answer = self.session().call(
                lambda service: service.list_functions(search=search, before=before, limit=most)
            )
            return answer.functions, answer.next

        return paged(page, limit)

    def delete_function(self, function_id: UUIDlike) -> dict[str, Any]:
        """Remove a function. Tasks that were accepted before still run."""
        found = parse_id(function_id, "function")
        return self.session().call(lambda service: service.delete_function(found))

    def _register(self, registration: FunctionRegistration) -> str:
        return self.session().call(lambda service: service.register_function(registration)).function_uuid


def _check_source(source: object, function_name: object) -> None:
    import ast

    written, name = text("source", source), text("function_name", function_name)
    if not name.isidentifier():
        raise ValueError(f"function_name should be the name of a function in the source, not {name!r}")
    try:
        tree = ast.parse(written)
    except SyntaxError as error:
        raise ValueError(
            f"source cannot be read by this Python {platform.python_version()}: line {error.lineno}: {error.msg}. If "
            "it is written for a newer one, register it from there"
        ) from error
    everything = any(isinstance(each, ast.ImportFrom) and each.names[0].name == "*" for each in ast.walk(tree))
    # As a word, however it is bound: under a condition, by an assignment, in globals().
    if not everything and not re.search(rf"\b{re.escape(name)}\b", written):
        raise ValueError(f"function_name should be the name of a function in the source, and {name!r} is not in it")


def _sharing(public: bool, group: UUIDlike | None, ha_endpoint_id: UUIDlike | None) -> dict[str, Any]:  # noqa: FBT001
    if ha_endpoint_id is not None and (public or group is not None):
        raise ValueError("ha_endpoint_id excludes public and group: such functions are not shared")
    return {
        "public": bool(public),
        "group": None if group is None else parse_id(group, "group"),
        "ha_endpoint_id": None if ha_endpoint_id is None else parse_id(ha_endpoint_id, "endpoint"),
    }
