"""A core endpoint comes and says what it is; it is told how to reach its queues.

Its credentials hold until the next registration: each raises the record's generation, and ends the connections of the
one before, its user endpoints' too. So whatever an earlier life of the endpoint left running on its machine is out of
the way, and what it held goes back into its queues.

Who may take over an id that is online? Its owner, from the same machine and the same local user: an endpoint that was
killed gets back in at once, without waiting until it is missed. From elsewhere it is another one that claims the same
id, and is refused while the first lives.
"""

from __future__ import annotations

import logging

import msgspec

from afield.errors import BrokerError, BrokerRefused
from afield.ids import new_id, parse_id
from afield.service.auth.queue_logins import Logins
from afield.service.clock import Clock
from afield.service.domain import refusals
from afield.service.domain.access import Action, decide
from afield.service.domain.caller import Caller
from afield.service.domain.liveness import is_online
from afield.service.domain.names import CoreLogin, UserLogin
from afield.service.domain.queue_infos import core_queues
from afield.service.domain.records import EndpointRecord
from afield.service.domain.versions import check_endpoint
from afield.service.store.base import Store
from afield.service.use.people.caps import Caps, Kind
from afield.service.use.people.withdraw import Withdraw
from afield.service.use.queues import Queues
from afield.service.use.records import Records
from afield.wire.rest import EndpointRegistered, EndpointRegistration

__all__ = ["RegisterEndpoint", "revoke"]

logger = logging.getLogger(__name__)


class RegisterEndpoint:
    """Registers core endpoints, for the first time and again.

    :param withdraw: ends what guests have on one that no longer lets everybody in
    :param caps: how many one person may have
    """

    def __init__(
        self,
        store: Store,
        records: Records,
        queues: Queues,
        logins: Logins,
        clock: Clock,
        *,
        withdraw: Withdraw,
        caps: Caps,
    ) -> None:
        self._store = store
        self._withdraw = withdraw
        self._caps = caps
        self._records = records
        self._queues = queues
        self._logins = logins
        self._clock = clock

    async def new(self, caller: Caller, registration: EndpointRegistration) -> EndpointRegistered:
        """Register one that has no id yet.

        :raises Refusal: what it says of itself cannot be, or somebody has as many as they may
        """
        await self._check_said(registration)
        now = self._clock.now()
        blank = EndpointRecord(id=new_id(), owner_id=caller.id, name="", created_at=now, generation=0)
        endpoint = _described(blank, registration, now)
        await self._caps.check(Kind.ENDPOINTS, caller, more=1)
        await self._records.put_endpoint(endpoint)
        try:
            await self._caps.check(Kind.ENDPOINTS, caller)
            await self._check_policy(registration)  # once more: it may have been deleted meanwhile
        except refusals.Refusal:
            await self._records.delete_endpoint(endpoint.id)
            await self._store.forget_departure(endpoint.id)  # it has come to nothing yet
            raise
        try:
            return await self._welcome(endpoint)
        except BrokerError:
            # Whoever registers it tries again, and gets another.
            await self._records.delete_endpoint(endpoint.id)
            raise

    async def again(self, caller: Caller, endpoint_id: str, registration: EndpointRegistration) -> EndpointRegistered:
        """Register one that has an id: its process has started anew, or its configuration changed.

        :raises Refusal: unknown, somebody else's, locked, or alive elsewhere
        """
        endpoint_id = parse_id(endpoint_id, "endpoint")
        await self._check_said(registration)
        now = self._clock.now()
        before: list[EndpointRecord] = []

        def change(found: EndpointRecord) -> EndpointRecord:
            self._check(caller, found, registration, now)
            before.append(found)
            return _described(found, registration, now)

        endpoint = await self._records.change_endpoint(endpoint_id, change)
        if endpoint is None:
            raise refusals.endpoint_not_found(endpoint_id)
        await self._check_policy(registration)
        await revoke(before[0], self._store, self._records, self._queues)
        await self._queues.forget_commands(endpoint.id)
        if before[0].multi_user and not endpoint.multi_user:
            # What strangers sent to be run as whoever they are there, must not run as its owner.
            await self._withdraw.of_endpoint(endpoint)
        return await self._welcome(endpoint)

    def _check(self, caller: Caller, found: EndpointRecord, registration: EndpointRegistration, now: float) -> None:
        refusal = decide(Action.REGISTER_ENDPOINT, caller, found)
        if refusal is not None:
            raise refusal
        if now < found.locked_until:
            raise refusals.locked(found.id, found.locked_until - now)
        if is_online(found, now) and _where(found.metadata) != _where(registration.metadata):
            host, user = _where(found.metadata)
            raise refusals.conflict(
                f"Endpoint {found.id} is in use: it runs as {user} on {host}. Stop it there first, or register this "
                "one without an id to get a new one."
            )

    async def _check_said(self, registration: EndpointRegistration) -> None:
        outdated = check_endpoint(registration)
        if outdated is not None:
            raise outdated
        await self._check_policy(registration)

    async def _check_policy(self, registration: EndpointRegistration) -> None:
        named = registration.authentication_policy
        policy = None if named is None else await self._store.people.policy(parse_id(named, "policy"))
        if named is not None and policy is None:
            raise refusals.invalid(
                f"authentication_policy {named} is not known here: make it (POST /afield/v1/policies) or drop it."
            )
        if registration.high_assurance and (policy is None or not policy.high_assurance):
            raise refusals.invalid(
                "An endpoint of high assurance needs an authentication_policy that is of high assurance, too: name "
                "one, or leave high_assurance out."
            )

    async def _welcome(self, endpoint: EndpointRecord) -> EndpointRegistered:
        try:
            await self._queues.declare_core(endpoint.id)
            return core_queues(endpoint.id, await self._logins.admit(CoreLogin(endpoint.id, endpoint.generation)))
        except BrokerRefused:
            # What was made was removed at once, by whoever deleted it or registered it a moment later.
            now = await self._store.endpoint(endpoint.id)
            if now is None:
                raise refusals.endpoint_not_found(endpoint.id) from None
            if now.generation > endpoint.generation:
                raise refusals.conflict(
                    f"Endpoint {endpoint.id} was registered once more, or stopped, at the same moment: the later one "
                    "counts."
                ) from None
            raise


async def revoke(endpoint: EndpointRecord, store: Store, records: Records, queues: Queues) -> None:
    """End the connections of an endpoint and of its user endpoints, and let none of their credentials in again.

    :param endpoint: as it was; its own generation was raised by whoever calls
    """
    user_endpoints = await store.user_endpoints(endpoint.id)
    for user_endpoint in user_endpoints:
        await records.change_user_endpoint(
            user_endpoint.id,
            # Its process can say nothing any more, so this is its goodbye.
            lambda one: msgspec.structs.replace(
                one, generation=one.generation + 1, active=False, state=one.state | {"active": False}
            ),
        )
    await queues.revoke(
        CoreLogin(endpoint.id, endpoint.generation), *(UserLogin(one.id, one.generation) for one in user_endpoints)
    )


def _where(metadata: dict[str, object]) -> tuple[object, object]:
    return metadata.get("hostname"), metadata.get("local_user")


def _described(found: EndpointRecord, registration: EndpointRegistration, now: float) -> EndpointRecord:
    allowed, policy = registration.allowed_functions, registration.authentication_policy
    return msgspec.structs.replace(
        found,
        name=registration.endpoint_name,
        display_name=registration.display_name,
        metadata=registration.metadata,
        multi_user=registration.multi_user,
        public=registration.public,
        high_assurance=registration.high_assurance,
        allowed_functions=None if allowed is None else [parse_id(one, "function") for one in allowed],
        admins=[parse_id(one, "identity") for one in registration.admins or ()],
        authentication_policy=None if policy is None else parse_id(policy, "policy"),
        subscription_uuid=registration.subscription_uuid,
        generation=found.generation + 1,
        registered_at=now,
        # Offline until the new process reports.
        heartbeat_period=0.0,
    )
