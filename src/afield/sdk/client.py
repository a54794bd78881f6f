"""``Client``: what a service can be asked, one question at a time."""

from __future__ import annotations

import uuid
import warnings
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from afield.errors import SerdeError, TaskPending
from afield.ids import new_id, parse_id
from afield.sdk import portal
from afield.sdk.batch import Batch, UserRuntime, this_runtime
from afield.sdk.functions import Function, describe, runtime_meta
from afield.sdk.outcome import Arrived
from afield.sdk.places import EndpointCalls
from afield.sdk.retry import Pace, pace_from_environment
from afield.sdk.version import check, sdk_version
from afield.serialize import ComputeSerializer
from afield.wire.rest import FunctionRegistration, SubmitRequest, TaskDocument, TaskGroupDocument

if TYPE_CHECKING:
    from afield.broker.base import Connector
    from afield.sdk.login.source import Authorizer
    from afield.sdk.session import Session
    from afield.sdk.transport.base import Transport
    from afield.serialize.selection import Strategylike

__all__ = ["Client"]

UUIDlike = uuid.UUID | str


class Client(EndpointCalls):
    """One service, and one identity towards it. Making one asks nothing of the service yet.

    :param environment: published; ``"local"`` means port 5000 of this machine
    :param local_compute_services: published; means the same
    :param do_version_check: whether to ask the service, before anything else, if it takes clients like this one
    :param code_serialization_strategy: how functions become text; None: the default
    :param data_serialization_strategy: how arguments become text; None: the default
    :param app: an object of globus-sdk that gives authorizers (``get_authorizer``)
    :param authorizer: an object with ``get_authorization_header()``; excludes ``app``
    :param service_url: where the service is; None: see :mod:`afield.sdk.login.source`
    :param token: the bearer token; None: likewise
    :param transport: how to reach the service; None: HTTP
    :param connector: how to reach its result queues; None: AMQP
    :param pace: how patient to be; None: as ``AFIELD_RETRY_S`` says, else for 60 seconds
    :raises ConfigurationError: nothing says where the service is
    """

    def __init__(
        self,
        environment: str | None = None,
        local_compute_services: bool = False,  # noqa: FBT001, FBT002 - as published
        do_version_check: bool = True,  # noqa: FBT001, FBT002 - as published
        *,
        code_serialization_strategy: Strategylike | None = None,
        data_serialization_strategy: Strategylike | None = None,
        app: Any = None,
        authorizer: Any = None,
        service_url: str | None = None,
        token: str | None = None,
        transport: Transport | None = None,
        connector: Connector | None = None,
        pace: Pace | None = None,
        **kwargs: Any,
    ) -> None:
        for name in kwargs:
            warnings.warn(f"Client() does not know {name!r}; it has no effect", UserWarning, stacklevel=2)
        #: how functions, arguments and results become bytes and come back
        self.serializer = ComputeSerializer(code_serialization_strategy, data_serialization_strategy)
        #: functions by digest, for the Executors of this client
        self.functions: dict[bytes, Function] = {}
        self._do_version_check = do_version_check
        self._transport, self._connector = transport, connector
        self._pace = pace or pace_from_environment()
        self._authorizer = _authorizer(app, authorizer)
        self._token = token
        if transport is not None:
            self._url = transport.url
        else:
            from afield.sdk.login.source import find_url

            self._url = service_url or find_url(environment, local=local_compute_services)
        # Chosen here, so that it can be noted down before anything is sent; the service takes it with the first batch.
        self._group_id = new_id()
        #: the session of this process, by its life; see :meth:`session`
        self._sessions: dict[object, Session] = {}
        weakref.finalize(self, _let_go, self._sessions).atexit = False

    @property
    def service_url(self) -> str:
        """Where the service is."""
        return self._url

    def __repr__(self) -> str:
        return f"Client({self._url})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError("a Client cannot be sent elsewhere; make one where it is used")

    def close(self) -> None:
        """Let go of the connections. Futures that have not ended fail."""
        session = self._sessions.pop(portal.life, None)
        if session is not None:
            session.run(session.close)

    def session(self) -> Session:
        """What this client has in the background thread; for the Executor."""
        found = self._sessions.get(portal.life)
        if found is not None:
            return found
        from afield.sdk.session import Session

        made = Session(
            self._transport or self._http(),
            self._connector or _amqp(),
            pace=self._pace,
            check_version=self._do_version_check,
            user_runtime=this_runtime,
        )
        kept = self._sessions.setdefault(portal.life, made)
        if kept is not made:  # another thread was faster
            portal.current().release(made)
        return kept

    # -- the service -------------------------------------------------------------------------------------------------

    def version_check(self, endpoint_version: str | None = None) -> None:
        """Make sure that the service takes clients like this one.

        :param endpoint_version: published version of an endpoint that it should take, too
        :raises VersionMismatch: it does not
        """
        check(self.session().call(lambda service: service.version()), endpoint_version)

    def logout(self) -> None:
        """Forget the token that was kept for this service on this machine."""
        from afield.sdk.login.source import forget_token

        if self._authorizer is not None or self._token is not None:
            warnings.warn("the credentials came from the program; there is nothing to forget", stacklevel=2)
            return
        forget_token(self._url)

    def get_result_amqp_url(self) -> dict[str, str]:
        """Fresh credentials for the result stream: ``queue_prefix`` and ``connection_url``."""
        found = self.session().call(lambda service: service.result_queue())
        return {"queue_prefix": found.queue_prefix, "connection_url": found.connection_url}

    # -- functions ---------------------------------------------------------------------------------------------------

    def register_function(  # noqa: PLR0917 - as published
        self,
        function: Any,
        description: str | None = None,
        metadata: dict[str, Any] | None = None,
        public: bool = False,  # noqa: FBT001, FBT002 - as published
        group: str | None = None,
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
        """
        return self._register(
            FunctionRegistration(
                function_name=function_name,
                function_code=source,
                serialized=False,
                meta=runtime_meta() | (metadata or {}),
                description=description,
                **_sharing(public, group, ha_endpoint_id),
            )
        )

    def get_function(self, function_id: UUIDlike) -> dict[str, Any]:
        """What the service knows of a function."""
        found = parse_id(function_id, "function")
        return _as_dict(self.session().call(lambda service: service.function(found)))

    def delete_function(self, function_id: UUIDlike) -> dict[str, Any]:
        """Remove a function. Tasks that were accepted before still run."""
        found = parse_id(function_id, "function")
        return self.session().call(lambda service: service.delete_function(found))

    # -- sending tasks -----------------------------------------------------------------------------------------------

    @property
    def session_task_group_id(self) -> str:
        """The group of this client's tasks, for ``Executor.reload_tasks``."""
        return self._group_id

    def create_batch(
        self,
        task_group_id: UUIDlike | None = None,
        resource_specification: dict[str, Any] | None = None,
        user_endpoint_config: dict[str, Any] | None = None,
        create_websocket_queue: bool = False,  # noqa: FBT001, FBT002 - as published
        result_serializers: list[str] | None = None,
    ) -> Batch:
        """An empty batch, to be filled and given to :meth:`batch_run`; see :class:`~afield.sdk.batch.Batch`.

        :param task_group_id: None: :attr:`session_task_group_id`
        :param create_websocket_queue: whether results should be streamed, too
        """
        return Batch(
            task_group_id or self._group_id,
            resource_specification,
            user_endpoint_config,
            request_queue=create_websocket_queue,
            serializer=self.serializer,
            user_runtime=UserRuntime.here(),
            result_serializers=result_serializers,
        )

    def batch_run(self, endpoint_id: UUIDlike, batch: Batch) -> dict[str, Any]:
        """Send a batch.

        :return: ``tasks`` (function id -> task ids, in the order of the batch), ``task_group_id``, ``endpoint_id``,
            ``request_id``
        :raises ValueError: the batch is empty
        """
        endpoint = parse_id(endpoint_id, "endpoint")
        if not batch:
            raise ValueError("the batch is empty: add calls with batch.add(function_id, args, kwargs)")
        request, key = SubmitRequest(**batch.prepare()), new_id()
        return _as_dict(self.session().call(lambda service: service.submit(endpoint, request, key)))

    def run(self, *args: Any, endpoint_id: UUIDlike, function_id: UUIDlike, **kwargs: Any) -> str:
        """Send one call.

        :return: the task's id
        """
        batch = self.create_batch()
        batch.add(function_id, args, kwargs)
        answer = self.batch_run(endpoint_id, batch)
        ids: list[str] = next(iter(answer["tasks"].values()))
        return ids[0]

    # -- what became of tasks ----------------------------------------------------------------------------------------

    def get_task(self, task_id: UUIDlike) -> dict[str, Any]:
        """How a task stands.

        :return: ``task_id``, ``pending``, ``status``; ``details`` where there are any; when it ended ``completion_t``,
            and ``result``, or ``exception`` (an exception) with ``reason`` (its text)
        :raises ComputeAPIError: there is no such task, or it is not yours
        """
        return self._state(self._task(task_id))

    def get_result(self, task_id: UUIDlike) -> Any:
        """What a task returned.

        :raises TaskPending: it has not ended
        :raises TaskExecutionFailed: it failed
        """
        document = self._task(task_id)
        arrived = Arrived.from_document(document)
        if arrived is None:
            raise TaskPending(document.status)
        arrived.serializer = self.serializer
        value, error = arrived.open()
        if error is not None:
            raise error
        return value

    def get_batch_result(self, task_id_list: Sequence[UUIDlike]) -> dict[str, dict[str, Any]]:
        """How several tasks stand, failed ones among them.

        :return: for each id what :meth:`get_task` says; of one that the service does not know, ``status`` is
            ``"unknown"``, or ``"failed"`` with its reason
        """
        ids = [parse_id(task_id, "task") for task_id in task_id_list]
        answer = self.session().call(lambda service: service.tasks(ids))
        unknown = {"pending": True, "status": "unknown"}
        return {
            task_id: self._state(answer.results[task_id])
            if task_id in answer.results
            else {"task_id": task_id} | unknown
            for task_id in ids
        }

    def get_task_group(self, task_group_id: UUIDlike) -> TaskGroupDocument:
        """The tasks of a group."""
        found = parse_id(task_group_id, "task group")
        return self.session().call(lambda service: service.task_group(found))

    # -- inside ------------------------------------------------------------------------------------------------------

    def _http(self) -> Transport:
        from afield.sdk.login.source import authorization, find_token
        from afield.sdk.transport.http import HttpTransport

        token = self._token
        if token is None and self._authorizer is None:
            token = find_token(self._url)
        return HttpTransport(self._url, authorization(token, self._authorizer), f"afield-sdk/{sdk_version()}")

    def _register(self, registration: FunctionRegistration) -> str:
        return self.session().call(lambda service: service.register_function(registration)).function_uuid

    def _task(self, task_id: UUIDlike) -> TaskDocument:
        found = parse_id(task_id, "task")
        return self.session().call(lambda service: service.task(found))

    def _state(self, document: TaskDocument) -> dict[str, Any]:
        arrived = Arrived.from_document(document)
        state: dict[str, Any] = {
            "task_id": document.task_id,
            "pending": arrived is None,
            "status": document.status,
        }
        if isinstance(document.details, dict):
            state["details"] = document.details
        if arrived is None:
            return state
        arrived.serializer = self.serializer
        state["completion_t"] = arrived.completion_t
        value, error = arrived.open()
        if error is None:
            return state | {"result": value}
        reason = str(error) if isinstance(error, SerdeError) else arrived.data.decode(errors="replace")
        return state | {"exception": error, "reason": reason}


def _let_go(sessions: dict[object, Session]) -> None:
    for session in sessions.values():
        session.close_soon()


def _amqp() -> Connector:
    from afield.broker.amqp import AmqpConnector

    return AmqpConnector()


def _authorizer(app: Any, authorizer: Any) -> Authorizer | None:
    if app is not None and authorizer is not None:
        raise ValueError("app and authorizer exclude each other: each alone says who is asking")
    if app is not None:
        # The name under which globus-sdk keeps tokens for this API (reference: wire contract section 2.1).
        authorizer = app.get_authorizer("funcx_service")
    if authorizer is None:
        return None
    from afield.sdk.login.source import as_authorizer

    return as_authorizer(authorizer)


def _sharing(public: bool, group: UUIDlike | None, ha_endpoint_id: UUIDlike | None) -> dict[str, Any]:  # noqa: FBT001
    if ha_endpoint_id is not None and (public or group is not None):
        raise ValueError("ha_endpoint_id excludes public and group: such functions are not shared")
    return {
        "public": public,
        "group": None if group is None else str(group),
        "ha_endpoint_id": None if ha_endpoint_id is None else parse_id(ha_endpoint_id, "endpoint"),
    }


def _as_dict(record: Any) -> dict[str, Any]:
    import msgspec

    return msgspec.structs.asdict(record)
