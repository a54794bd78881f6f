"""PURE: which of the waiting calls go out together, and when.

Theory. Calls wait in *lanes*: same task group, same endpoint, same options, because one request carries these once for
all its tasks. Nothing ever waits for time:

1. A lane whose last request is answered and that has calls waiting sends them at once, up to its number and to
   ``most_bytes``; a single call that is larger goes alone. What arrives while a request is under way goes with the
   next.
2. A lane has one request under way, so its calls reach the service in order. Lanes do not wait for each other.
3. Except: a task group gets its name from the answer to its first request. Until then only one request of that group
   may be under way, over all its lanes, else there would be two groups.
4. Lanes take turns; the one that waits longest sends first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from afield.wire.messages import CallOptions

__all__ = ["MOST_BYTES", "NOTHING_ASKED", "Coalescer", "Group", "Lane", "Options", "halves"]

T = TypeVar("T")

#: Payload in one request, in bytes: below the 10 MB that a service takes (reference: wire contract section 5.7).
MOST_BYTES: Final = 8_000_000

#: What is asked for an ordinary call.
NOTHING_ASKED: Final = CallOptions()


class Group:
    """A task group as this process knows it. The service names it when it accepts its first task.

    :param id: its UUID; None: not named yet
    """

    __slots__ = ("id",)

    def __init__(self, id: str | None = None) -> None:  # noqa: A002 - the field's name
        self.id = id

    def __repr__(self) -> str:
        return f"Group({self.id!r})"


@dataclass(frozen=True, slots=True)
class Options:
    """What one request says for all its tasks."""

    #: JSON object, or empty
    resource_specification: bytes = b""
    #: JSON object, or empty
    user_endpoint_config: bytes = b""
    #: import paths
    result_serializers: tuple[str, ...] = ()
    #: what is asked for each of the calls
    call: CallOptions = NOTHING_ASKED


@dataclass(frozen=True, slots=True)
class Lane:
    """What must be the same for calls to share a request."""

    group: Group
    endpoint_id: str
    options: Options = Options()
    _hash: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self) -> None:
        # Looked up for each call, so computed once.
        object.__setattr__(self, "_hash", hash((id(self.group), self.endpoint_id, self.options)))

    def __hash__(self) -> int:
        return self._hash


@dataclass(slots=True)
class _Queue(Generic[T]):
    waiting: deque[tuple[T, int]] = field(default_factory=deque)
    most: int = 1
    busy: bool = False


class Coalescer(Generic[T]):
    """Calls come with :meth:`offer` and leave with :meth:`take`; each batch that was taken ends with :meth:`finished`.

    :param most_bytes: payload in one request
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lanes: dict[Lane, _Queue[T]] = {}
        #: lanes that have calls waiting and no request under way; the one that waits longest first
        self._ready: dict[Lane, None] = {}
        self._being_named: set[Group] = set()

    def offer(self, lane: Lane, call: T, size: int, most: int) -> None:
        """A call that wants to go.

        :param size: bytes of its payload
        :param most: how many calls the lane's requests may have from now on
        """
        queue = self._lanes.get(lane)
        if queue is None:
            queue = self._lanes[lane] = _Queue()
        queue.waiting.append((call, size))
        queue.most = most
        if not queue.busy:
            self._ready[lane] = None

    def take(self) -> tuple[Lane, list[T]] | None:
        """The next batch that may go now, or None."""
        for lane in self._ready:
            if lane.group.id is None and lane.group in self._being_named:
                continue
            return lane, self._cut(lane)
        return None

    def finished(self, lane: Lane) -> None:
        """The lane's request is answered, or given up."""
        queue = self._lanes[lane]
        queue.busy = False
        self._being_named.discard(lane.group)
        if queue.waiting:
            self._ready[lane] = None
        else:
            del self._lanes[lane]

    def drop(self, lane: Lane) -> list[T]:
        """Take out what waits in a lane, for it cannot go."""
        queue = self._lanes.get(lane)
        if queue is None:
            return []
        calls = [call for call, _ in queue.waiting]
        queue.waiting.clear()
        self._ready.pop(lane, None)
        if not queue.busy:
            del self._lanes[lane]
        return calls

    def waiting(self) -> Iterator[T]:
        """All calls that wait."""
        for queue in self._lanes.values():
            for call, _ in queue.waiting:
                yield call

    def _cut(self, lane: Lane) -> list[T]:
        queue = self._lanes[lane]
        queue.busy = True
        del self._ready[lane]
        if lane.group.id is None:
            self._being_named.add(lane.group)
        waiting, total = queue.waiting, 0
        calls: list[T] = []
        while waiting and len(calls) < queue.most:
            call, size = waiting[0]
            if calls and total + size > self._most_bytes:
                break
            waiting.popleft()
            calls.append(call)
            total += size
        return calls


def halves(calls: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """Two parts of a batch that was too large, in order. It has at least two calls."""
    middle = len(calls) // 2
    return calls[:middle], calls[middle:]
