"""What an Executor is told, and can be told otherwise later: the published properties, each checked when it is set.

What a call needs of them is kept ready, so that a submit computes nothing: a lane for the coalescer, an origin for the
pump.
"""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from afield.ids import parse_id
from afield.sdk.calls import Origin
from afield.sdk.checks import json_object, said
from afield.sdk.coalesce import Group, Lane, Options
from afield.sdk.older import CONTAINER
from afield.serialize import ComputeSerializer, import_path

if TYPE_CHECKING:
    from afield.serialize.selection import Strategylike

__all__ = ["Settings", "import_paths"]


class Settings:
    """The properties of an Executor; see there."""

    def __init__(
        self,
        serializer: ComputeSerializer,
        *,
        endpoint_id: uuid.UUID | str | None,
        container_id: uuid.UUID | str | None,
        task_group_id: uuid.UUID | str | None,
        resource_specification: dict[str, Any] | None,
        user_endpoint_config: dict[str, Any] | None,
        result_serializers: Sequence[Strategylike] | None,
        batch_size: int,
        amqp_port: int | None,
    ) -> None:
        self._origin = Origin(serializer, 1, None)
        self.serializer = serializer
        #: None: something has changed since the last call
        self._lane: Lane | None = None
        self._group = Group()
        self.endpoint_id = endpoint_id
        self._container_id = _uuid(container_id, "container")
        self.task_group_id = task_group_id
        self.resource_specification = resource_specification
        self.user_endpoint_config = user_endpoint_config
        self.result_serializers = result_serializers
        self.batch_size = batch_size
        self.amqp_port = amqp_port

    @property
    def endpoint_id(self) -> uuid.UUID | None:
        """Where tasks that are submitted from now on run."""
        return self._endpoint_id

    @endpoint_id.setter
    def endpoint_id(self, value: uuid.UUID | str | None) -> None:
        self._endpoint_id = _uuid(value, "endpoint")
        self._lane = None

    @property
    def container_id(self) -> uuid.UUID | None:
        """Published, and of no effect: containers are the endpoint's configuration."""
        return self._container_id

    @container_id.setter
    def container_id(self, value: uuid.UUID | str | None) -> None:
        if value is not None:
            warnings.warn(CONTAINER, DeprecationWarning, stacklevel=2)
        self._container_id = _uuid(value, "container")

    @property
    def task_group_id(self) -> uuid.UUID | None:
        """The group of the tasks; the service gives one with the first task that it accepts."""
        return None if self._group.id is None else uuid.UUID(self._group.id)

    @task_group_id.setter
    def task_group_id(self, value: uuid.UUID | str | None) -> None:
        self._group = Group(None if value is None else parse_id(value, "task group"))
        self._lane = None

    @property
    def resource_specification(self) -> dict[str, Any] | None:
        """What each task that is submitted from now on needs."""
        return self._resource_specification

    @resource_specification.setter
    def resource_specification(self, value: dict[str, Any] | None) -> None:
        self._resource_text = json_object(value, "resource_specification")
        self._resource_specification = value
        self._lane = None

    @property
    def user_endpoint_config(self) -> dict[str, Any] | None:
        """Values for the endpoint's template, for tasks that are submitted from now on."""
        return self._user_endpoint_config

    @user_endpoint_config.setter
    def user_endpoint_config(self, value: dict[str, Any] | None) -> None:
        self._config_text = json_object(value, "user_endpoint_config")
        self._user_endpoint_config = value
        self._lane = None

    @property
    def result_serializers(self) -> Sequence[Strategylike] | None:
        """Strategies that the worker tries in order on each result; nothing: its default."""
        return self._result_serializers

    @result_serializers.setter
    def result_serializers(self, value: Sequence[Strategylike] | None) -> None:
        self._result_paths = import_paths(value)
        self._result_serializers = value
        self._lane = None

    @property
    def serializer(self) -> ComputeSerializer:
        """How functions, arguments and results become bytes and come back."""
        return self._origin.serializer

    @serializer.setter
    def serializer(self, value: ComputeSerializer) -> None:
        if not callable(getattr(value, "serialize", None)):
            raise TypeError(f"serializer should be a ComputeSerializer, and is {said(value)}")
        self._origin.serializer = value

    @property
    def batch_size(self) -> int:
        """Most tasks in one request; at least 1."""
        return self._origin.batch_size

    @batch_size.setter
    def batch_size(self, value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"batch_size is how many tasks one request may have, a whole number, not {value!r}")
        if value < 1:
            raise ValueError(f"batch_size is how many tasks one request may have: at least 1, not {value}")
        self._origin.batch_size = value

    @property
    def amqp_port(self) -> int | None:
        """The port of the result stream; None: what the service says."""
        return self._origin.port

    @amqp_port.setter
    def amqp_port(self, value: int | None) -> None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise TypeError(f"amqp_port should be a port number or None, not {value!r}")
        if value is not None and not 0 < value < 65536:
            raise ValueError(f"amqp_port should be a port number or None, not {value}")
        self._origin.port = value

    def _options(self) -> Options:
        return Options(self._resource_text, self._config_text, self._result_paths)


def _uuid(value: uuid.UUID | str | None, what: str) -> uuid.UUID | None:
    return None if value is None else uuid.UUID(parse_id(value, what))


def import_paths(strategies: Sequence[Strategylike] | None) -> tuple[str, ...]:
    """Strategies for results as they travel.

    :raises TypeError: they come in no list or tuple
    :raises SerdeError: one of them is none
    """
    if not isinstance(strategies, list | tuple | None):
        raise TypeError(f"result_serializers should be a list of strategies or None, and is {said(strategies)}")
    return tuple(import_path(each) for each in strategies or ())
