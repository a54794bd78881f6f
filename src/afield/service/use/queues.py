"""What the service does to queues, in its own words: declare, send, revoke."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Final, Protocol

from afield.broker.base import Binding, BrokerAdmin, Connection, Properties, Publication, QueueSpec
from afield.errors import BrokerError, BrokerRefused, BrokerUnreachable, Unroutable
from afield.service.clock import Clock
from afield.service.domain import names
from afield.service.domain.backlog import Backlog
from afield.service.domain.held_back import HeldBack
from afield.service.domain.records import CancelRecord, FinishedTask, TaskGroupRecord
from afield.service.use import spelling
from afield.service.use.look import look
from afield.service.use.sending import WINDOW, send_parcels
from afield.wire import v2
from afield.wire.commands import CONTENT_TYPE, StartCommand, encode_command
from afield.wire.messages import Notice, Task

__all__ = ["Gauge", "Queues"]

logger = logging.getLogger(__name__)

#: How many tasks are put at once into a queue in memory.
_AT_ONCE: Final = 512

#: How many declared queues are remembered before all are declared again.
_MOST_DECLARED: Final = 100_000


class Gauge(Protocol):
    """What can be known of, and done to, the queues of a broker in this process."""

    def waiting_bytes(self, name: str) -> int:
        """How many bytes wait in a queue, not counting delivered messages."""

    def unacknowledged(self, name: str) -> int:
        """How many messages were delivered from a queue and are not acknowledged."""

    def discard(self, name: str, is_unwanted: Callable[[Properties], bool]) -> int:
        """Drop those of the messages that wait in a queue; how many that were. It looks at all of them."""

    def tell_when_low(self, name: str, size: int, on_low: Callable[[str], None]) -> None:
        """Call ``on_low``, once, with the queue's name when no more than so many bytes wait in it."""


class Queues:
    """The queues of one service.

    :param admin: declares and revokes
    :param connection: publishes, with the service's own rights
    :param survive: seconds for which the queues of task groups outlive their last reader, where queues and what they
        hold survive the service and are shared with other services; None: they live and die with this one
    :param kept: told of which tasks' results the broker has taken into its keeping, where queues survive
    :param backlog: which results are in queues, where those are in memory; None: a broker sees to that itself
    :param held_back: which tasks are not in queues, likewise
    :param gauge: looks into them, likewise
    :ivar on_low: called with a user endpoint's id when there is room in its queue for what was held back. Must not wait
    """

    def __init__(
        self,
        admin: BrokerAdmin,
        connection: Connection,
        clock: Clock,
        *,
        survive: float | None = None,
        kept: Callable[[Iterable[str]], None] = lambda _: None,
        backlog: Backlog | None = None,
        held_back: HeldBack | None = None,
        gauge: Gauge | None = None,
    ) -> None:
        self.backlog = backlog
        self.held_back = held_back
        self.on_low: Callable[[str], None] = lambda _: None
        self.gauge = gauge
        self._admin = admin
        self._connection = connection
        self._clock = clock
        self._expires_s = survive
        self._kept = kept
        self._declared: set[str] = set()
        # queue -> its exchange, and its time: those that could not be declared while the broker was away
        self._owed: dict[str, tuple[str, float | None]] = {}
        # queue of a task group -> when something was last put there
        self._groups: dict[str, float] = {}

    @property
    def survive(self) -> bool:
        """Whether queues and what they hold survive the service."""
        return self._expires_s is not None

    async def prepare(self) -> None:
        """Make exist what does not belong to anybody. Once more when the broker came back: it may have lost all."""
        self._declared.clear()
        for name, kind in names.EXCHANGES.items():
            await self._admin.declare_exchange(name, kind)
        for spec, binding in names.SHARED_QUEUES:
            await self._admin.declare_queue(spec, binding)
        owed, self._owed = self._owed, {}
        for name, (exchange, expires_s) in owed.items():
            await self._declare(name, exchange, expires_s)

    async def declare_core(self, endpoint_id: str) -> None:
        """Make a core endpoint's queue exist."""
        await self._declare(names.command_queue(endpoint_id), names.COMMANDS)

    async def declare_user(self, user_endpoint_id: str, wire: int) -> None:
        """Make a user endpoint's queues exist.

        :param wire: the version of the envelope that it reads; a published one has no use for the second
        """
        await self._declare(names.task_queue(user_endpoint_id), names.TASKS)
        if wire >= v2.VERSION[0]:
            await self._declare(names.control_queue(user_endpoint_id), names.TASKS)

    async def declare_group(self, group: TaskGroupRecord) -> None:
        """Make a task group's queue exist."""
        await self._declare(names.group_queue(group.owner_id, group.id), names.GROUPS, self._expires_s)

    async def declare(self, spec: QueueSpec) -> None:
        """Make a queue exist that nobody writes to."""
        await self._admin.declare_queue(spec)

    async def exists(self, name: str) -> bool:
        """Whether there is such a queue."""
        try:
            await self._connection.check(queue=name)
        except BrokerRefused:
            return False
        return True

    async def forget_commands(self, endpoint_id: str) -> None:
        """Drop commands that nobody took: they have gone stale."""
        await self._admin.purge(names.command_queue(endpoint_id))

    async def forget_tasks(self, user_endpoint_id: str) -> None:
        """Drop tasks that nobody took: they have ended otherwise."""
        if self.held_back is not None:
            self.held_back.forget(user_endpoint_id)
        await self._admin.purge(names.task_queue(user_endpoint_id))

    async def forget_group(self, group: TaskGroupRecord) -> None:
        """Drop results that nobody took."""
        await self._admin.purge(names.group_queue(group.owner_id, group.id))
        if self.backlog is not None:
            self.backlog.forget(group.id)

    async def results_waiting(self, group: TaskGroupRecord) -> int:
        """How many messages wait for whoever watches this group, or for their acknowledgement."""
        queue = names.group_queue(group.owner_id, group.id)
        unacknowledged = 0 if self.gauge is None else self.gauge.unacknowledged(queue)
        return unacknowledged + await self._admin.depth(queue)

    async def forget_old_groups(self, moment: float) -> None:
        """Remove the queues of task groups that nobody reads and that nothing was put into since ``moment``."""
        for queue in [queue for queue, used in self._groups.items() if used < moment]:
            if not await self._admin.consumers(queue):
                await self._admin.delete_queue(queue)
                self._declared.discard(queue)
                group_id = names.group_of_queue(queue)
                if self.backlog is not None and group_id is not None:
                    self.backlog.forget(group_id)
            del self._groups[queue]

    async def clients(self) -> list[str]:
        """The names of the clients' logins that are in use, or could be."""
        return await self._admin.logins(names.CLIENTS)

    async def revoke(self, *logins: names.Login) -> None:
        """End the connections of these logins, of which the store says already that they let nobody in.

        Where the broker does not answer, whoever is on duty ends them (:meth:`afield.service.broker.Broker.tidy`).
        """
        for login in logins:
            try:
                await self._admin.drop(login.name)
            except BrokerError as error:
                logger.warning("connections to the queues that should end could not be ended just now: %s", error)
                return

    async def delete_endpoint(self, endpoint_id: str, user_endpoint_ids: Iterable[str]) -> None:
        """Remove the queues of an endpoint that is gone."""
        doomed = [names.command_queue(endpoint_id)]
        for one in user_endpoint_ids:
            doomed += [names.task_queue(one), names.control_queue(one)]
            if self.held_back is not None:
                self.held_back.forget(one)
        for name in doomed:
            self._declared.discard(name)
            self._owed.pop(name, None)
            await self._admin.delete_queue(name)

    # -- looking ------------------------------------------------------------------------------------------------------

    async def is_read(self, user_endpoint_id: str) -> bool:
        """Whether somebody reads a user endpoint's tasks."""
        return await self._admin.consumers(names.task_queue(user_endpoint_id)) > 0

    async def waiting(self, user_endpoint_id: str) -> int:
        """How many messages wait for a user endpoint."""
        return await self._admin.depth(names.task_queue(user_endpoint_id))

    async def waiting_tasks(self, user_endpoint_id: str, *, but: Container[str] = frozenset()) -> set[str] | None:
        """The tasks that wait for a published user endpoint, where queues survive; None: somebody reads them, so it
        cannot be seen.

        :param but: these are taken out instead
        """
        queue = names.task_queue(user_endpoint_id)
        try:
            return await look(self._connection, self._admin, queue, but)
        except BrokerRefused:
            return None if await self.exists(queue) else set()

    async def take_out(self, user_endpoint_id: str, task_ids: Container[str]) -> bool:
        """See to it that these tasks, which have ended, do not wait for a published user endpoint; whether that could
        be done, for where queues survive somebody may be reading just now.
        """
        if self.gauge is None:
            return await self.waiting_tasks(user_endpoint_id, but=task_ids) is not None
        queue = names.task_queue(user_endpoint_id)
        self.gauge.discard(queue, lambda properties: properties.headers.get("task_uuid") in task_ids)
        return True

    # -- sending -----------------------------------------------------------------------------------------------------

    async def send_command(self, endpoint_id: str, command: StartCommand) -> None:
        """Tell a core endpoint to start a user endpoint."""
        properties = Properties(content_type=CONTENT_TYPE, timestamp=int(self._clock.now()))
        queue = names.command_queue(endpoint_id)
        publication = Publication(names.COMMANDS, queue, encode_command(command), properties)
        try:
            await self._send(publication)
        except Unroutable:
            if not self.survive:
                raise
            # It could not be declared while the broker was away, or is lost since.
            self._declared.discard(queue)
            await self.declare_core(endpoint_id)
            await self._send(publication)

    async def send_tasks(self, user_endpoint_id: str, wire: int, tasks: Sequence[Task]) -> None:
        """Hand tasks to a user endpoint's queue. What would be too much for a queue in memory stays in the store.

        :param wire: the version of the envelope that it reads
        :raises TasksNotSent: some were not, or nobody knows; it says which may be sent again
        """
        if self.survive:
            await self._send_surely(user_endpoint_id, wire, tasks)
            return
        for begin in range(0, len(tasks), _AT_ONCE):
            await self._send_here(user_endpoint_id, wire, tasks[begin : begin + _AT_ONCE])
            if begin + _AT_ONCE < len(tasks):
                await asyncio.sleep(0)  # others get their turn
        self._watch(user_endpoint_id)

    async def _send_here(self, user_endpoint_id: str, wire: int, tasks: Sequence[Task]) -> None:
        # To a broker in this process, one after the other, which never waits: nothing comes in between.
        queue = names.task_queue(user_endpoint_id)
        if self.held_back is not None and self.gauge is not None:
            sizes = ((task.task_id, spelling.size_of_task(task, wire)) for task in tasks)
            count = self.held_back.admit(user_endpoint_id, self.gauge.waiting_bytes(queue), sizes)
            tasks = tasks[:count]
        for parcel in spelling.of_tasks(queue, wire, tasks):
            await self._connection.publish(parcel.publication)

    async def _send_surely(self, user_endpoint_id: str, wire: int, tasks: Sequence[Task]) -> None:
        queue = names.task_queue(user_endpoint_id)

        async def declare() -> None:
            self._declared.discard(queue)
            await self.declare_user(user_endpoint_id, wire)

        await send_parcels(self._connection.publish, spelling.of_tasks(queue, wire, tasks), declare)

    def next_held_back(self, user_endpoint_id: str) -> list[str]:
        """The next tasks that were held back and that there is room for now. While there is none, ``on_low`` is called
        as soon as there is.
        """
        if self.held_back is None or self.gauge is None or not self.held_back.is_any(user_endpoint_id):
            return []
        inside = self.gauge.waiting_bytes(names.task_queue(user_endpoint_id))
        found = self.held_back.first(user_endpoint_id, inside)
        if not found:
            self._watch(user_endpoint_id)
        return found

    def _watch(self, user_endpoint_id: str) -> None:
        if self.held_back is not None and self.gauge is not None and self.held_back.is_any(user_endpoint_id):
            queue = names.task_queue(user_endpoint_id)
            self.gauge.tell_when_low(queue, self.held_back.low, lambda _: self.on_low(user_endpoint_id))

    async def put_held_back(self, user_endpoint_id: str, wire: int, task_ids: Sequence[str], tasks: list[Task]) -> None:
        """Put tasks that were held back into their queue, unless it was emptied since they were named.

        :param task_ids: by :meth:`next_held_back`
        :param tasks: those of them that have not ended
        """
        if self.held_back is None or not self.held_back.are_first(user_endpoint_id, task_ids):
            return
        # Like above: nothing comes in between.
        for parcel in spelling.of_tasks(names.task_queue(user_endpoint_id), wire, tasks):
            await self._connection.publish(parcel.publication)
        self.held_back.release(user_endpoint_id, len(task_ids))

    async def send_cancels(self, user_endpoint_id: str, wishes: Sequence[CancelRecord]) -> None:
        """Tell a user endpoint of ours which tasks somebody wants ended."""
        queue = names.control_queue(user_endpoint_id)
        await self._declare(queue, names.TASKS)
        await self._send(*spelling.of_cancels(queue, wishes))

    async def send_notices(self, group: TaskGroupRecord, notices: Sequence[Notice]) -> None:
        """Tell whoever watches this group, and reads our envelope, where tasks are. What is not taken may be lost."""
        queue = names.group_queue(group.owner_id, group.id)
        self._used(queue)
        await self._send(*spelling.of_notices(queue, notices))

    async def send_results(self, group: TaskGroupRecord, ends: Sequence[FinishedTask]) -> None:
        """Hand results to whoever watches this group; of one of high assurance only that they are there to be asked
        for (reference: wire contract section 5.4). What would be too much for a queue in memory stays in the store.
        """
        if self.backlog is not None:
            count = self.backlog.admit(group.id, ((end.id, spelling.size_of_end(end)) for end in ends))
            ends = ends[:count]
        if ends:
            await self.put_results(group, ends)

    async def put_results(self, group: TaskGroupRecord, ends: Sequence[FinishedTask]) -> None:
        """The same, whatever is in the queue."""
        queue = names.group_queue(group.owner_id, group.id)
        self._used(queue)
        publications = spelling.of_results(queue, group, ends)
        if self.backlog is not None:
            self.backlog.put(group.id, sum(len(one.body) for one in publications))
        try:
            await self._send(*publications[:1])
        except Unroutable:
            # Nobody declared it in this life of the broker.
            self._declared.discard(queue)
            await self.declare_group(group)
            await self._send(*publications[:1])
        await self._send(*publications[1:])
        if self.survive:
            self._kept(end.id for end in ends)

    def _used(self, queue: str) -> None:
        if not self.survive:  # else the broker sees by itself which are old
            self._groups[queue] = self._clock.now()

    async def _send(self, *publications: Publication) -> None:
        if len(publications) == 1:
            await self._connection.publish(publications[0])
            return
        for begin in range(0, len(publications), WINDOW):
            await asyncio.gather(*map(self._connection.publish, publications[begin : begin + WINDOW]))

    async def _declare(self, name: str, exchange: str, expires_s: float | None = None) -> None:
        if name in self._declared:
            return
        try:
            await self._admin.declare_queue(QueueSpec(name, expires_s=expires_s), Binding(name, exchange, name))
        except BrokerUnreachable:
            if not self.survive:
                raise
            # Whoever sends to it then declares it; but its reader may come first.
            if len(self._owed) < _MOST_DECLARED:
                self._owed[name] = exchange, expires_s
            return
        if len(self._declared) >= _MOST_DECLARED:
            self._declared.clear()
        self._declared.add(name)
