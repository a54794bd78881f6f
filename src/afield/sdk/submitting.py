"""What an Executor and a view of it have in common: the ways to submit calls."""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from datetime import timedelta
from types import EllipsisType
from typing import Any, ParamSpec, TypeVar

from afield.ids import parse_id
from afield.sdk import chain
from afield.sdk.checks import flag, seconds, whole
from afield.sdk.chunks import in_chunks
from afield.sdk.coalesce import Lane
from afield.sdk.functions import Function
from afield.sdk.future import ComputeFuture
from afield.sdk.mapping import WINDOW, Input, Results, map_input, starmap_input
from afield.sdk.options import Asked, Resources
from afield.sdk.progress import Bar

__all__ = ["ExecutorView", "Submitting"]

P = ParamSpec("P")
T = TypeVar("T")


class Submitting(ABC):
    """Submits calls."""

    #: for all calls that are submitted here
    _asked = Asked()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> ComputeFuture[T]:
        """Have ``fn(*args, **kwargs)`` called on the endpoint.

        Function and arguments are serialized before this returns: what happens to them afterwards does not matter.

        Futures may stand for arguments, and for what is in lists, tuples and dictionaries at any depth; of this
        Executor or another, or plain ones of ``concurrent.futures``. Then this returns at once all the same, and the
        call is sent when all of them have values; the other arguments must not be changed until then. If one of them
        fails or is cancelled, the call is not made, and its future raises :class:`~afield.errors.DependencyFailed`.

        :return: at once; the future gets its ``task_id`` when the service has accepted the task
        :raises SerializationError: the function, or the argument that the message names, cannot be sent
        :raises TypeError: ``fn`` cannot be called, or is a generator function; or it is a ShellFunction, and a value
            has no place in its command
        :raises ValueError: a value cannot be written where it stands in a ShellFunction's command
        :raises NoEndpoint: nothing says where
        :raises RuntimeError: after ``shutdown``
        """
        self._usable()
        function = self._taken(fn)
        _check_call(fn, args, kwargs)
        return self._send(function, args, kwargs)

    def submit_to_registered_function(
        self, function_id: uuid.UUID | str, args: tuple[Any, ...] | None = None, kwargs: dict[str, Any] | None = None
    ) -> ComputeFuture[Any]:
        """Have a registered function called, yours or anybody's who lets you.

        :param args: its positional arguments; futures may stand for them as in :meth:`submit`
        :param kwargs: its keyword arguments, likewise
        :raises InvalidId: that is no id
        :raises TypeError: ``args`` is no tuple or list, or ``kwargs`` is no dictionary with strings for keys
        """
        self._usable()
        found = parse_id(function_id, "function")
        if not isinstance(args, tuple | list | None):
            raise TypeError(f"args should be a tuple of arguments, such as (x,), and is {args!r}")
        if not _is_named(kwargs):
            raise TypeError(f"kwargs should be a dictionary from names to arguments, and is {kwargs!r}")
        return self._send(Function(f"function {found}", found), tuple(args or ()), kwargs or {})

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        ordered: bool = True,
        progress: bool = False,
        total: int | None = None,
    ) -> Results[T]:
        """``map(fn, *iterables)``, elsewhere and at the same time.

        Input is taken as results are taken, so it may be endless; the first calls are sent before this returns. Closing
        the iterator, leaving its ``with`` block or dropping it half-way cancels what has not ended. Futures in the
        input stand for their values, as in :meth:`submit`.

        :param timeout: seconds from now in which each result must be there; None: as long as it takes
        :param chunksize: calls in one task; their results arrive together, and if one fails, all of them do
        :param buffersize: tasks that were sent and whose results were not handed out yet, at most; None: some thousands
            of calls, and at ``shutdown`` all the rest of an input of known length
        :param ordered: results in the order of the input; False: as they come
        :param progress: whether to draw a bar on stderr
        :param total: how many calls there will be, for the bar; None: as many as the iterables say, if they do
        :return: an iterator over the results. It raises what a call raised, and then ends
        :raises TypeError: a parameter is of the wrong kind
        :raises ValueError: a parameter is out of range
        """
        return self._map(fn, map_input(iterables), timeout, chunksize, buffersize, ordered, progress, total)

    def starmap(
        self,
        fn: Callable[..., T],
        iterable: Iterable[Iterable[Any]],
        *,
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        ordered: bool = True,
        progress: bool = False,
        total: int | None = None,
    ) -> Results[T]:
        """:meth:`map` for arguments that are together already: ``fn(*each)`` for each element.

        :param iterable: of tuples
        """
        return self._map(fn, starmap_input(iterable), timeout, chunksize, buffersize, ordered, progress, total)

    def options(
        self,
        *,
        timeout: float | timedelta | EllipsisType | None = ...,
        retries: int | EllipsisType = ...,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] | EllipsisType | None = ...,
        backoff: float | timedelta | EllipsisType = ...,
        priority: int | EllipsisType = ...,
        resources: Resources | EllipsisType | None = ...,
        user_endpoint_config: dict[str, Any] | EllipsisType | None = ...,
        resource_specification: dict[str, Any] | EllipsisType | None = ...,
        label: str | EllipsisType | None = ...,
    ) -> ExecutorView:
        """A view through which calls are submitted with these options; this object is not changed.

        ::

            careful = ex.options(timeout=60, retries=2, retry_on=OSError)
            careful.submit(fetch, url)
            careful.options(resources={"memory": "8 GB"}).submit(join, parts)  # and all of the above

        What is left out stays as it was. Endpoints of the published software know no options but ``label``,
        ``user_endpoint_config`` and ``resource_specification``; the service refuses the others there.

        :param timeout: how long one attempt may run, in seconds or as timedelta; then it is stopped with all processes
            that it started, and the future raises :class:`~afield.errors.TaskTimeout`. None: for ever
        :param retries: how often it may be run again when its worker or endpoint was lost, or for what ``retry_on``
            says
        :param retry_on: exceptions after which it is run again too: a class, which stands for its subclasses, or a
            tuple of them. None: none
        :param backoff: the time before the first repetition, in seconds or as timedelta, at most 300 s; each further
            one comes after twice as long. 1 s, unless it is given
        :param priority: among waiting tasks of one endpoint, higher goes first: -1000 to 1000
        :param resources: ``cores``, ``memory`` (bytes, or ``"2 GB"``, ``"512 MiB"``) and ``gpus`` that it needs; merged
            key by key. None: forget them
        :param user_endpoint_config: in the place of the Executor's
        :param resource_specification: likewise
        :param label: what the task is called in lists, for people; up to 200 characters
        :raises TypeError: a value is of the wrong kind; the message says which and what is right
        :raises ValueError: a value is out of range, likewise
        """
        return self._view(
            self._asked.merged(
                timeout=timeout,
                retries=retries,
                retry_on=retry_on,
                backoff=backoff,
                priority=priority,
                resources=resources,
                user_endpoint_config=user_endpoint_config,
                resource_specification=resource_specification,
                label=label,
            ),
        )

    # -- inside ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def _usable(self) -> None:
        """RuntimeError after shutdown."""

    @abstractmethod
    def _taken(self, fn: Callable[..., Any]) -> Function:
        """The function that this object is."""

    @abstractmethod
    def _send(
        self,
        function: Function,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        narrowed: Callable[[Lane], Lane] | None = None,
        search: bool = False,
    ) -> ComputeFuture[Any]:
        """Have one call sent.

        :param narrowed: makes the call's lane of the Executor's
        :param search: there are futures in the arguments, as is known already
        """

    def _narrowed(self, lane: Lane) -> Lane:
        """The lane of calls that are submitted here, where ``lane`` is that of the Executor's."""
        return lane

    @abstractmethod
    def _keep_up(self, results: Results[Any]) -> None:
        """Have them send the rest of their input at shutdown."""

    @abstractmethod
    def _view(self, asked: Asked) -> ExecutorView:
        """The Executor with that."""

    def _map(  # noqa: PLR0917 - the parameters of map, in their order
        self,
        fn: Callable[..., T],
        calls: Input,
        timeout: float | None,
        chunksize: int,
        buffersize: int | None,
        ordered: bool,  # noqa: FBT001
        progress: bool,  # noqa: FBT001
        total: int | None,
    ) -> Results[T]:
        self._usable()
        deadline = None if timeout is None else time.monotonic() + seconds("timeout", timeout)
        whole("chunksize (how many calls one task makes)", chunksize, 1, 1 << 31)
        if buffersize is not None:
            whole("buffersize (how many tasks may be under way)", buffersize, 1, 1 << 31)
        if total is not None:
            whole("total (how many calls there will be)", total, 0, 1 << 62)
        flag("ordered", ordered)
        flag("progress", progress)
        function = self._taken(fn if chunksize == 1 else in_chunks(fn))
        lanes: list[Lane] = []

        def first(lane: Lane) -> Lane:
            """All go as the first: what is changed while results are taken is for other calls."""
            if not lanes:
                lanes.append(self._narrowed(lane))
            return lanes[0]

        def submit(chunk: list[tuple[Any, ...]]) -> ComputeFuture[Any]:
            for call in chunk:
                _check_call(fn, call, {})
            if chunksize == 1:
                return self._send(function, chunk[0], {}, narrowed=first)
            search = any(isinstance(each, Future) for call in chunk for each in call)
            return self._send(function, (chunk,), {}, narrowed=first, search=search)

        results: Results[T] = Results(
            submit,
            calls,
            chunksize=chunksize,
            window=buffersize or -(-WINDOW // chunksize),
            complete=buffersize is None and calls.length is not None,
            deadline=deadline,
            ordered=ordered,
            bar=self._bar(fn, calls.length if total is None else total) if progress else None,
        )
        self._keep_up(results)
        return results

    def _bar(self, fn: Callable[..., Any], total: int | None) -> Bar:
        return Bar(total, self._asked.call.label or str(getattr(fn, "__name__", type(fn).__name__)))


def _check_call(fn: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Have a function that knows beforehand which calls must fail, as a ShellFunction does, say so here."""
    check = getattr(type(fn), "check_call", None)
    # What a future will be is not known yet; then the worker says it.
    if check is not None and chain.search(args, kwargs) is None:
        check(fn, *args, **kwargs)


def _is_named(kwargs: object) -> bool:
    return kwargs is None or (isinstance(kwargs, dict) and all(isinstance(name, str) for name in kwargs))


class ExecutorView(Submitting):
    """An Executor with options; :meth:`Executor.options <afield.sdk.executor.Executor.options>` makes it.

    It has no settings and no end of its own: what is changed on the Executor is changed here, unless the options say
    otherwise.
    """

    def __init__(self, executor: Submitting, asked: Asked) -> None:
        self._executor = executor
        self._asked = asked
        #: the Executor's lane, and the one that these options make of it
        self._lanes: tuple[Lane, Lane] | None = None

    def __repr__(self) -> str:
        return f"<{self._executor!r} with {self._asked or 'no options'}>"

    def _usable(self) -> None:
        self._executor._usable()  # noqa: SLF001 - its other half, here and below

    def _taken(self, fn: Callable[..., Any]) -> Function:
        return self._executor._taken(fn)  # noqa: SLF001

    def _send(
        self,
        function: Function,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        narrowed: Callable[[Lane], Lane] | None = None,
        search: bool = False,
    ) -> ComputeFuture[Any]:
        return self._executor._send(  # noqa: SLF001
            function, args, kwargs, narrowed=narrowed or self._narrowed, search=search
        )

    def _keep_up(self, results: Results[Any]) -> None:
        self._executor._keep_up(results)  # noqa: SLF001

    def _view(self, asked: Asked) -> ExecutorView:
        return ExecutorView(self._executor, asked)

    def _narrowed(self, lane: Lane) -> Lane:
        lanes = self._lanes
        if lanes is None or lanes[0] is not lane:
            self._lanes = lanes = (lane, self._asked.applied(lane))
        return lanes[1]
