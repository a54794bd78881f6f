"""``Executor``: run functions elsewhere, through futures.

A call's way::

    Executor.submit(fn, x)      executor.py    future made; fn, x -> bytes, in the caller's thread
          │                     coalesce.py    PURE: what goes out together; never waits for time
          ▼                     pump.py        [portal.py: the one background thread]
    POST …/submit               transport/
     ─────────────────────────────────────────────────────── the service; an endpoint; a worker; back
    results                     stream.py      broker.Connection
          │                     match.py       PURE: early, double, unknown
          ▼                     future.py      opened by the first who asks
    future.result()
"""

from __future__ import annotations

import concurrent.futures
import sys
import time
import uuid
import warnings
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from afield.errors import NoEndpoint
from afield.ids import parse_id
from afield.sdk import portal
from afield.sdk.batch import pack_call
from afield.sdk.calls import Call, Origin
from afield.sdk.coalesce import Group, Lane
from afield.sdk.functions import Function, FunctionCache
from afield.sdk.future import ComputeFuture
from afield.sdk.mapping import chunks, in_chunks, in_order
from afield.sdk.settings import Settings
from afield.serialize import ComputeSerializer

if TYPE_CHECKING:
    from afield.sdk.client import Client
    from afield.sdk.session import Session
    from afield.serialize.selection import Strategylike

__all__ = ["ComputeFuture", "Executor"]

P = ParamSpec("P")
T = TypeVar("T")

#: Accepted for scripts that were written for older published versions, and without effect.
_WITHOUT_EFFECT: Final = frozenset({"batch_interval", "batch_enabled", "api_burst_limit", "api_burst_window_s"})

_SHUT: Final = "cannot schedule new futures after shutdown"


class Executor(Settings, concurrent.futures.Executor):
    """Runs functions on an endpoint; a ``concurrent.futures.Executor``.

    ::

        with Executor() as ex:
            future = ex.submit(pow, 2, 10)
            print(future.result())

    :param endpoint_id: where to run; None: the one endpoint of yours on this machine
    :param container_id: published; kept, and of no effect: containers are the endpoint's configuration
    :param client: the service to use; None: the one that :class:`~afield.sdk.client.Client` finds
    :param task_group_id: an existing group for the tasks; None: the service makes one with the first
    :param resource_specification: what each task needs; engines that run MPI read it
    :param user_endpoint_config: values for the endpoint's template; another configuration is another process there
    :param label: for people
    :param batch_size: most tasks in one request
    :param funcx_client: deprecated name of ``client``
    :param amqp_port: the port of the result stream, where it is not the one that the service says
    :param serializer: how functions and arguments become bytes; None: the client's
    :param result_serializers: strategies that the worker tries in order on each result
    """

    def __init__(  # noqa: PLR0917 - as published
        self,
        endpoint_id: uuid.UUID | str | None = None,
        container_id: uuid.UUID | str | None = None,
        client: Client | None = None,
        task_group_id: uuid.UUID | str | None = None,
        resource_specification: dict[str, Any] | None = None,
        user_endpoint_config: dict[str, Any] | None = None,
        label: str = "",
        batch_size: int = 128,
        funcx_client: Client | None = None,
        amqp_port: int | None = None,
        *,
        serializer: ComputeSerializer | None = None,
        result_serializers: Sequence[Strategylike] | None = None,
        **kwargs: Any,
    ) -> None:
        _warn_of(kwargs, funcx_client)
        client = client or funcx_client
        if client is None:
            from afield.sdk.client import Client

            client = Client()
        super().__init__(
            serializer or client.serializer,
            endpoint_id=endpoint_id,
            container_id=container_id,
            task_group_id=task_group_id,
            resource_specification=resource_specification,
            user_endpoint_config=user_endpoint_config,
            result_serializers=result_serializers,
            batch_size=batch_size,
            amqp_port=amqp_port,
        )
        #: for people
        self.label = label
        self._client = client
        self._shut = False
        self._functions = FunctionCache(client.functions)
        self._session: Session | None = None
        self._life = portal.life

    def __repr__(self) -> str:
        label = f"{self.label!r}, " if self.label else ""
        return f"Executor({label}endpoint {self.endpoint_id}, task group {self.task_group_id})"

    @property
    def client(self) -> Client:
        """The service in use."""
        return self._client

    @property
    def task_count_submitted(self) -> int:
        """How many tasks the service has accepted from this Executor."""
        return self._origin.accepted

    # -- functions ---------------------------------------------------------------------------------------------------

    def register_function(
        self, fn: Callable[..., Any], function_id: uuid.UUID | str | None = None, **func_register_kwargs: Any
    ) -> str:
        """Register a function before it is submitted; :meth:`submit` does so by itself.

        :param function_id: it is registered already, under this id; then nothing is asked of the service
        :param func_register_kwargs: for :meth:`Client.register_function <afield.sdk.client.Client.register_function>`
        :return: the function's id
        :raises ValueError: this Executor knows the function already, under another id or by an earlier call
        """
        self._usable()
        known = self._functions.find(fn, self._origin.serializer)
        if known is not None:
            if known.id is not None and known.id == str(function_id):
                warnings.warn(f"{known.name} is registered already, as {known.id}", stacklevel=2)
                return known.id
            raise ValueError(f"the function {known.name} is registered already, as {known.id or 'part of a submit'}")
        if function_id is not None:
            found = parse_id(function_id, "function")
        else:
            found = self._client.register_function(fn, **func_register_kwargs)
        self._functions.put(fn, Function(getattr(fn, "__name__", repr(fn)), found))
        return found

    def register_source_code(self, source: str, function_name: str, **func_register_kwargs: Any) -> str:
        """Register a function given as source; see
        :meth:`Client.register_source_code <afield.sdk.client.Client.register_source_code>`.

        :return: its id, for :meth:`submit_to_registered_function`
        """
        self._usable()
        return self._client.register_source_code(source, function_name, **func_register_kwargs)

    # -- calls -------------------------------------------------------------------------------------------------------

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> ComputeFuture[T]:
        """Have ``fn(*args, **kwargs)`` called on the endpoint.

        Function and arguments are serialized before this returns: what happens to them afterwards does not matter.

        :return: at once; the future gets its ``task_id`` when the service has accepted the task
        :raises SerializationError: the function, or the argument that the message names, cannot be sent
        :raises NoEndpoint: nothing says where
        :raises RuntimeError: after :meth:`shutdown`
        """
        self._usable()
        serializer = self._origin.serializer
        function = self._functions.find(fn, serializer) or self._functions.take(fn, serializer)
        return self._send(function, args, kwargs)

    def submit_to_registered_function(
        self, function_id: uuid.UUID | str, args: tuple[Any, ...] | None = None, kwargs: dict[str, Any] | None = None
    ) -> ComputeFuture[Any]:
        """Have a registered function called, yours or anybody's who lets you.

        :param args: its positional arguments
        :param kwargs: its keyword arguments
        :raises InvalidId: that is no id
        """
        self._usable()
        found = parse_id(function_id, "function")
        return self._send(Function(f"function {found}", found), tuple(args or ()), kwargs or {})

    def map(
        self, fn: Callable[..., T], *iterables: Iterable[Any], timeout: float | None = None, chunksize: int = 1
    ) -> Iterator[T]:
        """``map(fn, *iterables)``, elsewhere and at the same time. All calls are submitted before this returns.

        :param timeout: seconds from now in which each result must be there; None: as long as it takes
        :param chunksize: calls in one task; their results arrive together
        :return: the results in order; closing it cancels what is not on its way yet
        :raises ValueError: ``chunksize`` is less than 1
        """
        if chunksize < 1:
            raise ValueError(f"chunksize is how many calls one task makes: at least 1, not {chunksize}")
        began = time.monotonic()
        if chunksize == 1:
            arguments = zip(*iterables, strict=False)  # the shortest decides, as in the standard library
            return in_order([self.submit(fn, *each) for each in arguments], timeout, began)
        run = in_chunks(fn)
        lists = in_order([self.submit(run, chunk) for chunk in chunks(iterables, chunksize)], timeout, began)
        return _flat(lists)

    def reload_tasks(self, task_group_id: uuid.UUID | str | None = None) -> list[ComputeFuture[Any]]:
        """A future for each task of the group, for instance those of an earlier program.

        :param task_group_id: use this group from now on; None: the Executor's
        :return: in the order in which the tasks were submitted; a task that this process waits for already keeps its
            future
        :raises ValueError: there is no group
        :raises ServiceError: the service refused, or cannot be reached
        """
        self._usable()
        if task_group_id is not None:
            self.task_group_id = task_group_id
        if self._group.id is None:
            raise ValueError("this Executor has no task group yet; say which one to reload")
        session = self._attached()
        found: list[ComputeFuture[Any]] = session.run(session.pump.reload, self._group.id, self._origin)
        return found

    def get_worker_hardware_details(self) -> str:
        """What the machine that runs the endpoint's workers is made of, as text. Waits for it."""
        from afield.sdk.hardware import ENTRY_POINT, SOURCE

        found = self.register_source_code(SOURCE, ENTRY_POINT)
        report: str = self.submit_to_registered_function(found).result()
        return report

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as in the base
        """Take no more calls. May be called several times.

        :param wait: return when all futures have ended
        :param cancel_futures: cancel those that are not on their way yet
        """
        self._shut = True
        session = self._session
        if session is None or session.over:
            return
        if cancel_futures:
            for future in session.outstanding(self._origin):
                future.cancel()
        try:
            if wait:
                session.wait_for(self._origin)
        finally:
            # Interrupted, too: who does not want to wait here does not want to wait at the program's end.
            self._origin.awaited = False
        session.run(session.pump.retire, self._origin)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or not issubclass(kind, _wants_out()):
            self.shutdown()
            return
        self._shut, self._origin.awaited = True, False
        if self._session is not None:
            self._session.abandon_soon(self._origin)

    def __reduce__(self) -> Any:
        raise TypeError("an Executor cannot be sent elsewhere; make one where it is used, or send results")

    # -- inside ------------------------------------------------------------------------------------------------------

    def _usable(self) -> None:
        if self._shut:
            raise RuntimeError(_SHUT)

    def _send(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ComputeFuture[Any]:
        payload = pack_call(self._origin.serializer, function.name, args, kwargs)
        session = self._session
        if session is None or session.over:
            session = self._attached()
        future: ComputeFuture[Any] = ComputeFuture()
        future.origin = self._origin
        session.pump.send(Call(future, function, self._lane or self._choose_lane(session), payload))
        return future

    def _attached(self) -> Session:
        """The session of this process; another one when the client was closed, and after a fork."""
        session = self._client.session()
        if self._session is not session:
            if self._session is not None:
                old = self._origin
                self._origin = Origin(old.serializer, old.batch_size, old.port)
                # In a forked child another group: of one queue, parent and child would each get some of the results.
                # (And a group that had no name yet will get it in the parent.)
                self._group, self._lane = Group(self._group.id if self._life is portal.life else None), None
            self._session, self._life = session, portal.life
            self._origin.keeps = self._client
            weakref.finalize(self, session.retire_soon, self._origin).atexit = False
        return session

    def _choose_lane(self, session: Session) -> Lane:
        if self._endpoint_id is None:
            self._endpoint_id = uuid.UUID(_only_endpoint_here(session))
        self._lane = lane = Lane(self._group, str(self._endpoint_id), self._options())
        return lane


def _only_endpoint_here(session: Session) -> str:
    """The caller's one endpoint on this machine.

    :raises NoEndpoint: there is none, or there are several
    """
    import platform

    endpoints = session.call(lambda service: service.endpoints(None))
    here = [endpoint for endpoint in endpoints if endpoint.hostname == platform.node()]
    if len(here) == 1:
        return here[0].uuid
    found = here or endpoints
    listed = "; you have " + ", ".join(f"{e.name} ({e.uuid})" for e in found) if found else ""
    if here:
        raise NoEndpoint(f"several endpoints of yours run on this machine: say which one with endpoint_id={listed}")
    raise NoEndpoint(
        "no endpoint of yours is on this machine: start service and endpoint together with `afield up`, set one up "
        f"with `afield endpoint configure`, or say where to run with endpoint_id={listed}"
    )


def _wants_out() -> tuple[type[BaseException], ...]:
    """What says that somebody wants to leave now: Ctrl-C, which in asyncio's main task is a cancellation."""
    asyncio = sys.modules.get("asyncio")
    return (KeyboardInterrupt,) if asyncio is None else (KeyboardInterrupt, asyncio.CancelledError)


def _warn_of(unknown: dict[str, Any], funcx_client: object) -> None:
    for name in unknown:
        if name not in _WITHOUT_EFFECT:
            raise TypeError(f"Executor() got an unexpected keyword argument {name!r}")
        warnings.warn(f"{name} has no effect any more", DeprecationWarning, stacklevel=3)
    if funcx_client is not None:
        warnings.warn("funcx_client is now called client", DeprecationWarning, stacklevel=3)


def _flat(lists: Generator[list[T], None, None]) -> Iterator[T]:
    with closing(lists):
        for each in lists:
            yield from each
