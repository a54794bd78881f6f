"""What ``Executor.submit`` returns: a future that knows where its task is, and can have it cancelled there.

How it behaves as a ``concurrent.futures.Future``, and which locks guard it, is in :mod:`afield.sdk.lazy`. What is said
here of the task changes under the same locks, by what its stream hears. Whoever waits for the answer to a wish to
cancel waits on the same Condition as who waits for the end; so who is woken looks again why.
"""

from __future__ import annotations

import sys
import time
import warnings
from typing import Any, Final, TypeVar

from afield.sdk import portal
from afield.sdk.lazy import FINISHED, LazyFuture, Sealed
from afield.states import TaskState, next_state

__all__ = ["ComputeFuture", "Sealed"]

T = TypeVar("T")

_now = time.time

# Looked up once: for an Enum's members that takes longer than all else that is done with them here.
_UNSENT: Final = TaskState.UNSENT
_ACCEPTED: Final = TaskState.WAITING_FOR_ENDPOINT
_SUCCESS: Final = TaskState.SUCCESS
_FAILED: Final = TaskState.FAILED
_CANCELLED: Final = TaskState.CANCELLED


class ComputeFuture(LazyFuture[T]):
    """A ``concurrent.futures.Future`` that knows its task; it can be awaited, too.

    It is *running*, in the sense of ``concurrent.futures``, once it is on its way to the service; where its task really
    is says :attr:`state`.

    :param task_id: the task, where it is known already
    """

    # As in the base, what most futures never need is on the class.
    _where: TaskState = _UNSENT
    #: attempt and moment of the last notice, so that a late one is known
    _heard: tuple[int, int] = (1, 0)
    #: why the last wish to cancel it was refused; empty: none was
    refusal: str = ""
    #: the Executor that it came from, as far as the pump needs it (:class:`~afield.sdk.calls.Origin`)
    origin: Any = None
    #: what its request says of it (:class:`~afield.sdk.coalesce.Lane`)
    lane: Any = None

    def __init__(self, task_id: str | None = None) -> None:
        #: the task's UUID; None until the service has accepted it
        self.task_id = task_id
        self._life = portal.life
        self._since = _now()

    # -- where it is ---------------------------------------------------------------------------------------------------

    @property
    def state(self) -> TaskState:
        """Where its task is, as far as is known here: pushed by the service, never asked for."""
        self._orphaned()
        return self._where

    @property
    def since(self) -> float:
        """Since when it is there, unix time in seconds."""
        return self._since

    @property
    def attempt(self) -> int:
        """Which try this is; 1 is the first."""
        return self._heard[0]

    @property
    def endpoint_id(self) -> str | None:
        """Where it runs; None where that is not known here, as of a task that was reloaded."""
        return None if self.lane is None else self.lane.endpoint_id

    @property
    def label(self) -> str | None:
        """What it was called by whoever submitted it."""
        return None if self.lane is None else self.lane.options.call.label

    def __repr__(self) -> str:
        label = f" {self.label!r}" if self.label else ""
        endpoint = f" on endpoint {self.endpoint_id}" if self.endpoint_id else ""
        attempt = f", attempt {self.attempt}" if self.attempt > 1 else ""
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        task = self.task_id or "without a task yet"
        return f"<ComputeFuture {task}{label}: {self.state}{endpoint} since {since}{attempt}>"

    def _repr_html_(self) -> str:
        from afield.sdk.notebook import drawn

        return drawn(self)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        del include, exclude  # whoever shows it picks
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    # -- cancelling ----------------------------------------------------------------------------------------------------

    def cancel(self, timeout: float | None = 30.0) -> bool:
        """Have its task not run, or stopped where it runs with all that it started.

        What was not sent yet is cancelled at once. Else the service is asked, and this waits for the confirmed end; a
        wish whose answer was not waited for stands. In a thread that must not wait, such as that of a running asyncio
        loop or of a future's callback, it asks and returns. Where the task cannot be cancelled, a UserWarning says why,
        and so does :attr:`refusal`.

        :param timeout: seconds to wait at most; None: as long as it takes
        :return: whether it is cancelled now
        """
        pump = None if self.origin is None else self.origin.pump
        if self.cancel_unsent() or self.done() or pump is None:
            return self.cancelled()
        self.refusal = ""
        try:
            pump.cancel(self)
        except RuntimeError:  # the interpreter is ending: there is nobody to ask
            return self.cancelled()
        if _must_not_wait():
            return self.cancelled()
        condition = self._condition
        with condition.lock:
            condition.wait_for(lambda: self.done() or self.refusal, timeout)
        if self.refusal and not self.done():
            warnings.warn(f"{self!r} cannot be cancelled: {self.refusal}", UserWarning, stacklevel=2)
        return self.cancelled()

    # -- what its stream hears -----------------------------------------------------------------------------------------

    def accepted(self, task_id: str, at: float) -> None:
        """The service has its task.

        :param at: unix time in seconds
        """
        self.task_id = task_id
        if self._where is _UNSENT:
            self._where, self._since = _ACCEPTED, at

    def told(self, state: TaskState, since: float, heard: tuple[int, int] | None = None) -> None:
        """Somebody says where its task is. What is late, or cannot be, changes nothing.

        :param since: unix time in seconds
        :param heard: which attempt that was, and when, by the clock of who says so
        """
        self._change(lambda: self._move(state, since, heard))

    def tried(self, attempt: int) -> None:
        """It ended with this try; of quick ones nothing may have been heard."""
        if attempt > self._heard[0]:
            self._heard = (attempt, self._heard[1])

    def refused(self, why: str) -> None:
        """A wish to cancel it cannot be fulfilled.

        :param why: for people
        """

        def keep() -> None:
            self.refusal = why

        self._change(keep)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _move(self, state: TaskState, since: float, heard: tuple[int, int] | None) -> None:
        if self.done() or (heard is not None and heard < self._heard):
            return
        if next_state(self._where, state) is state or (state is self._where and heard is None):
            self._where, self._since = state, since
        if heard is not None:
            self._heard = heard

    def _become(self, state: str, failed: bool) -> None:  # noqa: FBT001 - as in the base
        if state == FINISHED:
            self._where = _FAILED if failed else _SUCCESS
        else:
            self._where = _CANCELLED
        self._since = _now()
        self._state = state


def _must_not_wait() -> bool:
    """Whether this thread has an event loop that others wait for."""
    asyncio = sys.modules.get("asyncio")
    return portal.inside() or (asyncio is not None and asyncio._get_running_loop() is not None)  # noqa: SLF001 - public by its documentation
