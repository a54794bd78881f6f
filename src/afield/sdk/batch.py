"""A batch of calls for ``Client.batch_run``, and what is said of the program that sends them (published names)."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from copy import copy
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, NamedTuple

from afield.errors import InvalidId, SerializationError
from afield.ids import parse_id
from afield.sdk.checks import json_object
from afield.sdk.older import also, deprecated
from afield.sdk.settings import import_paths
from afield.sdk.version import PUBLISHED_AUTH_VERSION, PUBLISHED_SDK_VERSION
from afield.serialize import ComputeSerializer
from afield.serialize.selection import Strategylike

__all__ = ["Added", "Batch", "UserRuntime", "pack_call", "this_runtime"]


@dataclass(frozen=True)
class UserRuntime:
    """The environment of the program that submits; endpoints' templates may read it."""

    @dataclass(frozen=True)
    class PythonInfo:
        """The Python that sends."""

        version: str  #: ``"3.13.7"``
        version_description: str  #: all of ``sys.version``
        version_tuple: tuple[int, int, int]
        version_info: tuple[int, int, int, str, int]
        implementation: str  #: ``"CPython"``
        compiler: str

        @classmethod
        def here(cls) -> UserRuntime.PythonInfo:
            """The one that runs this."""
            info = sys.version_info
            return cls(
                version=platform.python_version(),
                version_description=sys.version,
                version_tuple=(info.major, info.minor, info.micro),
                version_info=(info.major, info.minor, info.micro, info.releaselevel, info.serial),
                implementation=platform.python_implementation(),
                compiler=platform.python_compiler(),
            )

    @dataclass(frozen=True)
    class PlatformInfo:
        """The machine that sends."""

        architecture: tuple[str, str]
        machine: str
        node: str
        platform: str
        processor: str
        release: str

        @classmethod
        def here(cls) -> UserRuntime.PlatformInfo:
            """The machine that runs it."""
            return cls(
                # platform.architecture() and processor() would start `file` and `uname`: 10 ms and two processes.
                architecture=("64bit" if sys.maxsize > 2**32 else "32bit", "ELF" if sys.platform == "linux" else ""),
                machine=platform.machine(),
                node=platform.node(),
                platform=sys.platform if sys.platform == "win32" else platform.platform(),
                processor=platform.machine(),
                release=platform.release(),
            )

    #: the published SDK that this client speaks like
    globus_compute_sdk_version: str
    #: the published library that goes with it
    globus_sdk_version: str
    #: ``sys.version``; published as deprecated in favour of :attr:`python`
    python_version: str
    python: PythonInfo
    platform: PlatformInfo

    @classmethod
    def here(cls) -> UserRuntime:
        """Of this program."""
        return cls(
            PUBLISHED_SDK_VERSION, PUBLISHED_AUTH_VERSION, sys.version, cls.PythonInfo.here(), cls.PlatformInfo.here()
        )


@cache
def this_runtime() -> dict[str, Any]:
    """:class:`UserRuntime` of this program as it travels."""
    return asdict(UserRuntime.here())


class Added(NamedTuple):
    """One call of a batch."""

    function_id: str
    #: its arguments, packed
    payload: str
    #: where it is to run, if that was said with the call (the older form); None: where the batch goes
    endpoint_id: str | None


def _add_older(batch: Batch, *given: Any, **named: Any) -> Any:
    """Two older forms: ``add(x, endpoint_id=…, function_id=…)``, whose other arguments are the function's, and
    ``add(function_id, endpoint_id, args=…, kwargs=…)``.
    """
    if {"endpoint_id", "function_id"} <= named.keys() and (given or not _only_packed(named)):
        endpoint, function = named.pop("endpoint_id"), named.pop("function_id")
        args: Any = given
        kwargs: Any = named
    elif "endpoint_id" in named or (1 < len(given) < 5 and _is_id(given[1])):
        present = dict(zip(("function_id", "endpoint_id", "args", "kwargs"), given, strict=False)) | named
        endpoint, function = present["endpoint_id"], present.get("function_id")
        args, kwargs = present.get("args"), present.get("kwargs")
    else:
        return NotImplemented
    deprecated(
        "Batch.add() takes no endpoint any more: write batch.add(function_id, args=(...), kwargs={...}), and name the "
        "endpoint once, in batch_run(endpoint_id, batch)",
        2,
    )
    batch.put(function, args, kwargs, parse_id(endpoint, "endpoint"))
    return None


def _only_packed(named: dict[str, Any]) -> bool:
    """Whether these are the parameters of the second form, and not arguments of a function."""
    return (
        named.keys() <= {"endpoint_id", "function_id", "args", "kwargs"}
        and isinstance(named.get("args"), tuple | list | None)
        and isinstance(named.get("kwargs"), dict | None)
    )


def _is_id(value: object) -> bool:
    try:
        parse_id(value, "endpoint")
    except InvalidId:
        return False
    return True


class Batch:
    """Calls to be submitted together. Arguments are serialized when they are added.

    :param task_group_id: the group of the tasks; None: a new one
    :param resource_specification: what each task needs
    :param user_endpoint_config: values for the endpoint's template
    :param request_queue: whether results should be streamed, too
    :param serializer: for arguments; None: the default one
    :param user_runtime: what to say of this program; None: nothing
    :param result_serializers: strategies (instances, classes, import paths), tried in order on each result
    :raises TypeError: a specification or configuration is no dictionary that can be written as JSON
    :raises SerdeError: there is no such strategy
    """

    def __init__(  # noqa: PLR0917 - as published
        self,
        task_group_id: object = None,
        resource_specification: dict[str, Any] | None = None,
        user_endpoint_config: dict[str, Any] | None = None,
        request_queue: bool = False,  # noqa: FBT001, FBT002 - as published
        serializer: ComputeSerializer | None = None,
        user_runtime: UserRuntime | None = None,
        result_serializers: Sequence[Strategylike] | None = None,
    ) -> None:
        self.task_group_id = task_group_id
        json_object(resource_specification, "resource_specification")
        json_object(user_endpoint_config, "user_endpoint_config")
        self.resource_specification = resource_specification
        self.user_endpoint_config = user_endpoint_config
        self.request_queue = request_queue
        self.serializer = serializer or ComputeSerializer()
        self.user_runtime = user_runtime
        self.result_serializers = list(import_paths(result_serializers))
        #: in the order in which they were added
        self.calls: list[Added] = []

    @property
    def task_group_id(self) -> str | None:
        """The group of the tasks; may be set."""
        return self._group_id

    @task_group_id.setter
    def task_group_id(self, value: object) -> None:
        self._group_id = None if value is None else parse_id(value, "task group")

    @property
    def tasks(self) -> dict[str, list[str]]:
        """Function id -> packed arguments, one text per call."""
        found: dict[str, list[str]] = {}
        for call in self.calls:
            found.setdefault(call.function_id, []).append(call.payload)
        return found

    @also(_add_older)
    def add(
        self, function_id: object, args: tuple[Any, ...] | list[Any] | None = None, kwargs: dict[Any, Any] | None = None
    ) -> None:
        """Add one call.

        :param function_id: of a registered function
        :param args: its positional arguments
        :param kwargs: its keyword arguments
        :raises InvalidId: the function id is none
        :raises TypeError: ``args`` is no tuple or list, or ``kwargs`` is no dictionary with strings for keys
        :raises SerializationError: an argument cannot be serialized
        """
        self.put(function_id, args, kwargs, None)

    def put(self, function_id: object, args: Any, kwargs: Any, endpoint_id: str | None) -> None:
        """:meth:`add`, to one endpoint."""
        function = parse_id(function_id, "function")
        if not isinstance(args, tuple | list | None):
            raise TypeError(f"args should be a tuple or list of arguments, and is a {type(args).__name__}")
        if not isinstance(kwargs, dict | None) or not all(isinstance(name, str) for name in kwargs or ()):
            raise TypeError(f"kwargs should be a dictionary from names to arguments, and is {kwargs!r}")
        packed = pack_call(self.serializer, function, tuple(args or ()), kwargs or {})
        self.calls.append(Added(function, packed, endpoint_id))

    def sent_to(self, endpoint_id: str) -> Batch:
        """What of it goes to one endpoint, as a batch."""
        part = copy(self)
        part.calls = [call for call in self.calls if call.endpoint_id in {None, endpoint_id}]
        return part

    def prepare(self) -> dict[str, Any]:
        """What is sent, as JSON would have it."""
        optional = {
            "task_group_id": self.task_group_id,
            "resource_specification": self.resource_specification,
            "user_endpoint_config": self.user_endpoint_config,
            "user_runtime": asdict(self.user_runtime) if self.user_runtime is not None else None,
            "result_serializers": self.result_serializers,
        }
        return {"create_queue": self.request_queue, "tasks": self.tasks} | {
            name: value for name, value in optional.items() if value
        }

    def __len__(self) -> int:
        return len(self.calls)

    def __bool__(self) -> bool:
        return bool(self.calls)

    def __repr__(self) -> str:
        return f"Batch({len(self)} calls of {len(self.tasks)} functions, task group {self.task_group_id})"


def pack_call(serializer: ComputeSerializer, function: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """The arguments of one call as they travel.

    :param function: its name, for messages
    :raises SerializationError: naming the argument that cannot be serialized
    """
    try:
        return serializer.pack_buffers((serializer.serialize(args), serializer.serialize(kwargs)))
    except SerializationError as error:
        raise _named(serializer, function, args, kwargs, error) from error


def _named(
    serializer: ComputeSerializer,
    function: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    whole: SerializationError,
) -> SerializationError:
    """Which argument it is: each is tried alone. One may be fine alone and not together; then the whole is to blame."""
    arguments = [(f"argument {place}", value) for place, value in enumerate(args, 1)]
    arguments += [(f"argument {name!r}", value) for name, value in kwargs.items()]
    for name, value in arguments:
        try:
            serializer.serialize((value,))
        except SerializationError as error:
            return SerializationError(f"{name} of {function} cannot be sent: {error}")
    return SerializationError(f"the arguments of {function} cannot be sent: {whole}")
