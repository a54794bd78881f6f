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
import inspect
import sys
import uuid
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

from afield.errors import SerializationError
from afield.ids import parse_id
from afield.sdk import chain, portal
from afield.sdk.batch import pack_call
from afield.sdk.calls import Call, Origin
from afield.sdk.checks import said, text
from afield.sdk.coalesce import Group, Lane
from afield.sdk.functions import Function, FunctionCache, not_callable
from afield.sdk.future import ComputeFuture
from afield.sdk.here import only_endpoint_here
from afield.sdk.mapping import Results
from afield.sdk.older import executor_arguments
from afield.sdk.options import Asked
from afield.sdk.settings import Settings
from afield.sdk.submitting import ExecutorView, Submitting
from afield.serialize import ComputeSerializer

if TYPE_CHECKING:
    from afield.sdk.client import Client
    from afield.sdk.session import Session
    from afield.serialize.selection import Strategylike

__all__ = ["ComputeFuture", "Executor"]


class Executor(Settings, Submitting, concurrent.futures.Executor):
    """Runs functions on an endpoint; a ``concurrent.futures.Executor``.

    ::

        with Executor() as ex:
            future = ex.submit(pow, 2, 10)
            print(future.result())
            print(list(ex.options(timeout=60).map(pow, range(10), range(10))))

    ``with`` waits, at its end, for everything that was submitted; ``async with`` does so without holding up the event
    loop.

    :param endpoint_id: where to run; None: the one endpoint of yours on this machine
    :param container_id: deprecated, and of no effect: containers are the endpoint's configuration
    :param client: the service to use; None: the one that :class:`~afield.sdk.client.Client` finds
    :param task_group_id: an existing group for the tasks; None: the service makes one with the first
    :param user_endpoint_config: values for the endpoint's template; another configuration is another process there
    :param label: for people
    :param batch_size: most tasks in one request
    :param funcx_client: deprecated name of ``client``
    :param amqp_port: the port of the result stream, where it is not the one that the service says
    :param resource_specification: what each task needs; engines that run MPI read it
    :param serializer: how functions and arguments become bytes; None: the client's
    :param result_serializers: strategies that the worker tries in order on each result
    :param kwargs: ``batch_interval``, ``batch_enabled``, ``api_burst_limit``, ``api_burst_window_s``: published, and
        without effect
    :raises InvalidId: an id is none
    :raises TypeError: a parameter is unknown, or of the wrong kind
    :raises ValueError: a parameter is out of range
    """

    def __init__(  # noqa: PLR0917 - as published
        self,
        endpoint_id: uuid.UUID | str | None = None,
        container_id: uuid.UUID | str | None = None,
        client: Client | None = None,
        task_group_id: uuid.UUID | str | None = None,
        user_endpoint_config: dict[str, Any] | None = None,
        label: str = "",
        batch_size: int = 128,
        funcx_client: Client | None = None,
        amqp_port: int | None = None,
        *,
        resource_specification: dict[str, Any] | None = None,
        serializer: ComputeSerializer | None = None,
        result_serializers: Sequence[Strategylike] | None = None,
        **kwargs: Any,
    ) -> None:
        if _is_client(container_id):  # which comes second in later published versions
            container_id, client = None, container_id
        executor_arguments(kwargs, _PARAMETERS, container_id, funcx_client)
        if label:
            text("label", label)
        client = funcx_client if client is None else client
        if client is None:
            from afield.sdk.client import Client

            client = Client()
        elif not _is_client(client):
            raise TypeError(f"client should be an afield.Client or None, and is {said(client)}")
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
        #: that have more input than they could send so far
        self._maps: weakref.WeakSet[Results[Any]] = weakref.WeakSet()

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
        :raises InvalidId: ``function_id`` is none
        :raises TypeError: ``fn`` cannot be called
        :raises ValueError: this Executor knows the function already, under another id or by an earlier call
        """
        self._usable()
        given = None if function_id is None else parse_id(function_id, "function")
        known = self._functions.find(fn, self._origin.serializer)
        if known is not None:
            if known.id is not None and known.id == given:
                warnings.warn(f"{known.name} is registered already, as {known.id}", stacklevel=2)
                return known.id
            raise ValueError(f"the function {known.name} is registered already, as {known.id or 'part of a submit'}")
        if given is not None and not callable(fn):
            raise not_callable(fn)
        found = given or self._client.register_function(fn, **func_register_kwargs)
        self._functions.put(fn, Function(getattr(fn, "__name__", repr(fn)), found))
        return found

    def register_source_code(self, source: str, function_name: str, **func_register_kwargs: Any) -> str:
        """Register a function given as source; see
        :meth:`Client.register_source_code <afield.sdk.client.Client.register_source_code>`.

        :return: its id, for :meth:`submit_to_registered_function`
        """
        self._usable()
        return self._client.register_source_code(source, function_name, **func_register_kwargs)

    # -- tasks -------------------------------------------------------------------------------------------------------

    def reload_tasks(self, task_group_id: uuid.UUID | str | None = None) -> list[ComputeFuture[Any]]:
        """A future for each task of the group, for instance those of an earlier program.

        :param task_group_id: use this group from now on; None: the Executor's
        :return: in the order in which the tasks were submitted; a task that this process waits for already keeps its
            future
        :raises InvalidId: ``task_group_id`` is none
        :raises ValueError: there is no group
        :raises ServiceError: the service refused, or cannot be reached
        """
        self._usable()
        group_id = self._group.id if task_group_id is None else parse_id(task_group_id, "task group")
        if group_id is None:
            raise ValueError("this Executor has no task group yet; say which one to reload")
        session = self._attached()
        found: list[ComputeFuture[Any]] = session.run(session.pump.reload, group_id, self._origin)
        if group_id != self._group.id:  # not before it is known that there is such a group
            self.task_group_id = group_id
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
        :param cancel_futures: cancel those that have not begun, wherever they are: here, with the service, or waiting
            on the endpoint. This alone does not wait for the answer
        """
        self._stop(cancel=cancel_futures)
        session = self._session
        if session is None or session.over:
            return
        try:
            if cancel_futures:
                session.cancel_all(self._origin)
            if wait:
                session.wait_for(self._origin)
        finally:
            # Interrupted, too: who does not want to wait here does not want to wait at the program's end.
            self._origin.awaited = False
        session.run(session.pump.retire, self._origin)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or not issubclass(kind, _wants_out()):
            self._stop(cancel=kind is not None)
            self.shutdown()
        else:
            self._abandon()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        from asyncio import to_thread

        from afield.sdk.waiting import all_ended

        if kind is not None and issubclass(kind, _wants_out()):
            self._abandon()
            return
        self._stop(cancel=kind is not None)
        session = self._session
        try:
            while session is not None and not session.over:
                left = await to_thread(session.outstanding, self._origin)
                if not left:
                    break
                await all_ended(left)
        except BaseException:
            self._abandon()
            raise
        await to_thread(self.shutdown, wait=False)

    def __reduce__(self) -> Any:
        raise TypeError("an Executor cannot be sent elsewhere; make one where it is used, or send results")

    # -- inside ------------------------------------------------------------------------------------------------------

    def _usable(self) -> None:
        if self._shut:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def _stop(self, *, cancel: bool) -> None:
        """Take no more calls.

        :param cancel: nor the rest of what is being mapped
        """
        if not self._shut and not cancel:
            for results in tuple(self._maps):
                results.submit_all()
        self._shut = True

    def _abandon(self) -> None:
        """Somebody wants to leave now."""
        self._shut, self._origin.awaited = True, False
        if self._session is not None:
            self._session.abandon_soon(self._origin)

    def _taken(self, fn: Callable[..., Any]) -> Function:
        serializer = self._origin.serializer
        return self._functions.find(fn, serializer) or self._functions.take(fn, serializer)

    def _keep_up(self, results: Results[Any]) -> None:
        if results.complete:
            self._maps.add(results)

    def _view(self, asked: Asked) -> ExecutorView:
        return ExecutorView(self, asked)

    def _send(
        self,
        function: Function,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        narrowed: Callable[[Lane], Lane] | None = None,
        search: bool = False,
    ) -> ComputeFuture[Any]:
        self._usable()
        arguments, payload = None, ""
        if search or chain.plainly_futures(args, kwargs):
            arguments = chain.search(args, kwargs)
        if arguments is None:
            try:
                payload = pack_call(self._origin.serializer, function.name, args, kwargs)
            except SerializationError:
                arguments = chain.search(args, kwargs)
                if arguments is None:
                    raise
        session = self._session
        if session is None or session.over:
            session = self._attached()
        lane = self._lane or self._choose_lane(session)
        if narrowed is not None:
            lane = narrowed(lane)
        future: ComputeFuture[Any] = ComputeFuture()
        future.origin = self._origin
        if arguments is None:
            session.pump.send(Call(future, function, lane, payload))
        else:
            self._defer(session, future, function, lane, arguments)
        return future

    def _defer(
        self,
        session: Session,
        future: ComputeFuture[Any],
        function: Function,
        lane: Lane,
        arguments: chain.Arguments,
    ) -> None:
        """Send a call when its arguments are there, as things are now."""
        serializer, pump = self._origin.serializer, session.pump
        # What cannot be sent whatever the futures become is said now, as for any other call.
        pack_call(serializer, function.name, *arguments.filled(lambda _: None))

        def deliver(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            pump.send(Call(future, function, lane, pack_call(serializer, function.name, args, kwargs)))

        future.lane = lane
        pump.defer(future)
        chain.defer(future, function.name, arguments, deliver, pump.undefer)

    def _attached(self) -> Session:
        """The session of this process; another one when the client was closed, and after a fork."""
        session = self._client.session()
        if self._session is not session:
            if self._session is not None:
                old = self._origin
                self._origin = Origin(old.serializer, old.batch_size, old.port)
                # In a forked child another group: of one queue, parent and child would each get some of the results.
                # (And a group that had no name yet will get it in the parent.)
                same = self._life is portal.life
                self._group, self._lane = Group(self._group.id if same else None), None
                self._origin.accepted = old.accepted if same else 0
            self._session, self._life = session, portal.life
            self._origin.keeps = self._client
            weakref.finalize(self, session.retire_soon, self._origin).atexit = False
        return session

    def _choose_lane(self, session: Session) -> Lane:
        if self._endpoint_id is None:
            self._endpoint_id = uuid.UUID(only_endpoint_here(session))
        self._lane = lane = Lane(self._group, str(self._endpoint_id), self._options())
        return lane


def _wants_out() -> tuple[type[BaseException], ...]:
    """What says that somebody wants to leave now: Ctrl-C, which in asyncio's main task is a cancellation."""
    asyncio = sys.modules.get("asyncio")
    return (KeyboardInterrupt,) if asyncio is None else (KeyboardInterrupt, asyncio.CancelledError)


def _is_client(value: object) -> bool:
    return callable(getattr(value, "register_function", None))


_PARAMETERS: Final = [
    name for name, each in inspect.signature(Executor.__init__).parameters.items() if each.kind is not each.VAR_KEYWORD
][1:]
