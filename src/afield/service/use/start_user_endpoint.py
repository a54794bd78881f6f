"""Have the process there that a submit needs, before the submit is accepted.

The rules are those of the published service (reference: wire contract section 8.5): tell the core endpoint, wait for
the first report of the user endpoint, refuse the submit if the start failed. Where nobody is there to be told, or the
report does not come in time, the task waits instead of the submitter. See also :mod:`afield.service.domain.starting`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from afield.errors import BrokerError
from afield.service.auth.queue_logins import Logins
from afield.service.clock import Clock
from afield.service.domain import refusals
from afield.service.domain.caller import Caller
from afield.service.domain.liveness import is_online, life
from afield.service.domain.names import UserLogin
from afield.service.domain.queue_infos import user_queues
from afield.service.domain.records import EndpointRecord, UserEndpointRecord
from afield.service.domain.starting import Failures, Starts
from afield.service.domain.user_endpoints import endpoint_wire, groups_of, host_of, start_command, user_endpoint_id
from afield.service.store.base import Store
from afield.service.together.base import News, Together
from afield.service.together.single import Single
from afield.service.use.people.callers import caller_of
from afield.service.use.queues import Queues
from afield.service.use.records import Records

__all__ = ["StartUserEndpoint"]

logger = logging.getLogger(__name__)

_SINGLE: Final = Single()

#: What services tell each other: a user endpoint is up, its start failed, an error came under its core endpoint's id.
_UP: Final = "up"
_FAILED: Final = "start failed"
_CORE: Final = "core failed"

_MOST_TOLD: Final = 50_000

#: Seconds after which a command that nobody has taken is taken back. A core endpoint that reads one after 180 says that
#: the start failed (reference: wire contract section 5.6), and whoever waits for another start would hear that.
_STALE_S: Final = 60.0


async def _nothing(_: UserEndpointRecord) -> None:
    """Until it is put together."""


class StartUserEndpoint:
    """Sends start commands, and lets submits wait for what comes of them.

    :param wait_s: seconds that a submit waits at most
    """

    def __init__(
        self, store: Store, records: Records, queues: Queues, *, logins: Logins, clock: Clock, wait_s: float,
        together: Together = _SINGLE,
    ) -> None:  # fmt: skip
        self._store = store
        self._records = records
        self._queues = queues
        self._logins = logins
        self._clock = clock
        self._wait_s = wait_s
        self._together = together
        #: awaited before a user endpoint is told to start
        self.before_start: Callable[[UserEndpointRecord], Awaitable[None]] = _nothing
        # user endpoint -> the life of it that others were told of
        self._told: dict[str, str] = {}
        for topic, listener in ((_UP, self._others_up), (_FAILED, self._others_failed), (_CORE, self._others_core)):
            together.listen(topic, listener)
        self._starts = Starts()
        #: of starts, also those that other services heard of
        self.failures = Failures()
        # number of a waiter -> resolves with None (it is up) or the reason why not
        self._waiters: dict[int, asyncio.Future[str | None]] = {}
        # core endpoint -> when it was last sent a command
        self._sent: dict[str, float] = {}

    async def ensure(
        self,
        caller: Caller,
        endpoint: EndpointRecord,
        config: Mapping[str, Any] | None,
        runtime: Mapping[str, Any] | None,
    ) -> UserEndpointRecord:
        """The user endpoint for these, with its queue; it is up, or will be told to come up when that is possible.

        :raises Refusal: its start failed, with the endpoint's reason
        """
        one = await self._find(caller, endpoint, config, runtime)
        await self._queues.declare_user(one.id, endpoint_wire(endpoint))
        now = self._clock.now()
        is_up = is_online(one, now)
        if is_up and endpoint_wire(endpoint) > 1:
            return one
        if not is_online(endpoint, now):
            # A command would be stale when it is read. When the endpoint comes, it is told; see use/revive.py.
            return one
        failed = self.failures.just_now(one.id, now)
        if failed is not None and not is_up and endpoint_wire(endpoint) == 1:
            raise _start_failed(failed)
        if is_up:
            # A published user endpoint takes it as fresh credentials, its core endpoint as a reason to revive it.
            await self._try_to_send(one, caller)
            return one
        await self._send_and_wait(caller, endpoint, one)
        return one

    async def _try_to_send(self, user_endpoint: UserEndpointRecord, caller: Caller) -> bool:
        """Whether it was sent. While the broker is away, the task waits; it is sent afterwards (use/revive.py)."""
        try:
            await self.send(user_endpoint, caller)
        except BrokerError as error:
            logger.warning("user endpoint %s cannot be started just now: %s", user_endpoint.id, error)
            return False
        return True

    async def send(self, user_endpoint: UserEndpointRecord, caller: Caller | None = None) -> None:
        """Tell the core endpoint to start it.

        :param caller: for whom; None: for whoever it was first started for
        """
        if caller is None:
            identity = await self._store.people.identity(user_endpoint.identity_id)
            if identity is None:
                logger.warning("user endpoint %s belongs to nobody who is known here", user_endpoint.id)
                return
            caller = await caller_of(self._store.people, identity)
        endpoint = await self._records.endpoint(user_endpoint.endpoint_id)
        if endpoint is None:
            return  # it was deleted a moment ago, and its tasks fail
        wire = endpoint_wire(endpoint)
        # What another service has raised, an earlier login must not be made good again for.
        user_endpoint = await self._now(user_endpoint)
        await self.before_start(user_endpoint)
        await self._queues.declare_core(endpoint.id)
        await self._queues.declare_user(user_endpoint.id, wire)
        url = await self._logins.admit(UserLogin(user_endpoint.id, user_endpoint.generation))
        credentials = user_queues(user_endpoint.id, url, wire)
        self._sent[endpoint.id] = self._clock.now()
        host, groups = host_of(endpoint, caller), groups_of(endpoint, caller)
        command = start_command(caller, user_endpoint, credentials, host, groups)
        await self._queues.send_command(endpoint.id, command)

    async def forget_stale(self) -> None:
        """Take back the commands that core endpoints which went away without a word have not read. May be repeated at
        any time. When they come back, they are told anew what is needed then (use/revive.py).
        """
        before = self._clock.now() - _STALE_S
        for endpoint_id in [one for one, moment in self._sent.items() if moment <= before]:
            del self._sent[endpoint_id]
            await self._queues.forget_commands(endpoint_id)

    # -- what reports say (use/beat.py) ------------------------------------------------------------------------------

    def is_pending(self, user_endpoint_id: str) -> bool:
        """Whether a submit waits for it just now."""
        return self._starts.is_pending(user_endpoint_id)

    def came_up(self, user_endpoint: UserEndpointRecord) -> None:
        """It reported."""
        self.failures.came_up(user_endpoint.id)
        self._tell(self._starts.came_up(user_endpoint.endpoint_id, user_endpoint.id), None)
        its = life(user_endpoint)
        if not its or self._told.get(user_endpoint.id) != its:
            # Once for each life: whoever begins to wait for one that is up sees that in the store.
            if len(self._told) >= _MOST_TOLD:
                self._told.clear()
            self._told[user_endpoint.id] = its
            self._together.tell(News(_UP, user_endpoint.id, user_endpoint.endpoint_id))

    def failed(self, user_endpoint: UserEndpointRecord, reason: str) -> None:
        """Its start failed."""
        now = self._clock.now()
        self.failures.failed(user_endpoint.id, reason, now)
        self._tell(self._starts.failed(user_endpoint.endpoint_id, user_endpoint.id, now), reason)
        self._together.tell(News(_FAILED, user_endpoint.id, f"{user_endpoint.endpoint_id} {reason}"))

    def core_failed(self, endpoint: EndpointRecord, reason: str) -> None:
        """A core endpoint told of an error under its own id."""
        self._tell(self._starts.core_failed(endpoint.id, self._clock.now()), reason)
        self._together.tell(News(_CORE, endpoint.id, reason))

    # -- the same, when another service has read the report ------------------------------------------------------------

    def _others_up(self, news: News) -> None:
        self.failures.came_up(news.about)
        self._tell(self._starts.came_up(news.text or "", news.about), None)

    def _others_failed(self, news: News) -> None:
        endpoint_id, _, reason = (news.text or "").partition(" ")
        now = self._clock.now()
        self.failures.failed(news.about, reason, now)
        self._tell(self._starts.failed(endpoint_id, news.about, now), reason)

    def _others_core(self, news: News) -> None:
        self._tell(self._starts.core_failed(news.about, self._clock.now()), news.text or "")

    def _tell(self, numbers: set[int], reason: str | None) -> None:
        for number in numbers:
            waiter = self._waiters[number]
            if not waiter.done():
                waiter.set_result(reason)

    async def _now(self, user_endpoint: UserEndpointRecord) -> UserEndpointRecord:
        """As it is in the store now, whatever is believed here."""
        return await self._records.user_endpoint(user_endpoint.id, fresh=self._queues.survive) or user_endpoint

    # -- inside ------------------------------------------------------------------------------------------------------

    async def _find(
        self,
        caller: Caller,
        endpoint: EndpointRecord,
        config: Mapping[str, Any] | None,
        runtime: Mapping[str, Any] | None,
    ) -> UserEndpointRecord:
        one = user_endpoint_id(endpoint.id, caller.id, config, runtime)
        found = await self._records.user_endpoint(one)
        if found is not None:
            return found
        return await self._records.add_user_endpoint(
            UserEndpointRecord(
                id=one,
                endpoint_id=endpoint.id,
                identity_id=caller.id,
                created_at=self._clock.now(),
                user_opts=dict(config or {}),
                user_runtime=dict(runtime or {}),
                wire=endpoint_wire(endpoint),
            )
        )

    async def _send_and_wait(self, caller: Caller, endpoint: EndpointRecord, one: UserEndpointRecord) -> None:
        told = self._starts.is_pending(one.id)
        number = self._starts.wait(endpoint.id, one.id)
        waiter = self._waiters[number] = asyncio.get_running_loop().create_future()
        patience = asyncio.ensure_future(self._clock.sleep(self._wait_s))
        try:
            if is_online(await self._now(one), self._clock.now()):
                return  # another service has heard of it since
            if not told and not await self._try_to_send(one, caller):
                return
            await asyncio.wait((waiter, patience), return_when=asyncio.FIRST_COMPLETED)
        finally:
            patience.cancel()
            self._starts.give_up(endpoint.id, one.id, number)
            del self._waiters[number]
        reason = waiter.result() if waiter.done() else None
        if reason is not None:
            raise _start_failed(reason)


def _start_failed(reason: str) -> refusals.Refusal:
    # The published wording: scripts look for it.
    return refusals.invalid(f"Request payload failed validation: {reason}")
