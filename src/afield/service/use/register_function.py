"""Functions: register, read, delete."""

from __future__ import annotations

from afield.ids import new_id, parse_id
from afield.service.clock import Clock
from afield.service.domain import refusals
from afield.service.domain.access import Action
from afield.service.domain.caller import Caller
from afield.service.domain.documents import function_document
from afield.service.domain.packing import is_packed, pack_source
from afield.service.domain.records import FunctionRecord
from afield.service.use.people.permit import Permit
from afield.service.use.records import Records
from afield.wire.rest import FunctionDocument, FunctionRegistered, FunctionRegistration

__all__ = ["Functions"]


class Functions:
    """What people register once and call often.

    :param most_bytes: of one function's code
    """

    def __init__(self, records: Records, permit: Permit, clock: Clock, most_bytes: int) -> None:
        self._records = records
        self._permit = permit
        self._clock = clock
        self._most_bytes = most_bytes

    async def register(self, caller: Caller, registration: FunctionRegistration) -> FunctionRegistered:
        """Keep a function.

        :raises Refusal: it is too large, has no name, its packing is broken, or it cannot be bound to that endpoint
        """
        function = await self.make(caller, registration)
        await self._records.put_function(function)
        return FunctionRegistered(function.id)

    async def make(self, caller: Caller, registration: FunctionRegistration) -> FunctionRecord:
        """What is to be kept of a function; nothing is kept yet.

        :raises Refusal: as :meth:`register`
        """
        if not registration.function_name:
            raise refusals.invalid("function_name is empty: every function has a name.")
        code = registration.function_code
        if not registration.serialized:
            code = pack_source(registration.function_name, code)
        elif not is_packed(code, 1):
            raise refusals.invalid(
                "function_code is not one packed buffer (its length, a newline, the serialized function): send what "
                "the SDK's serializer packs, or plain source with serialized=false."
            )
        encoded = code.encode()
        if len(encoded) > self._most_bytes:
            raise refusals.function_too_large(len(encoded), self._most_bytes)
        bound = await self._bound(caller, registration)
        return FunctionRecord(
            id=new_id(),
            owner_id=caller.id,
            name=registration.function_name,
            code=encoded,
            created_at=self._clock.now(),
            description=registration.description,
            metadata=registration.metadata if registration.meta is None else registration.meta,
            public=registration.public,
            # Who is in the group is looked at when somebody runs it, as published; it need not exist yet.
            group_id=None if registration.group is None else parse_id(registration.group, "group"),
            ha_endpoint_id=bound,
        )

    async def read(self, caller: Caller, function_id: str) -> FunctionDocument:
        """A function with its code.

        :raises Refusal: unknown, or somebody else's
        """
        return function_document(await self._find(Action.READ_FUNCTION, caller, function_id))

    async def delete(self, caller: Caller, function_id: str) -> None:
        """Let nobody use it from now on; tasks that were accepted still run.

        :raises Refusal: unknown, or somebody else's
        """
        function = await self._find(Action.DELETE_FUNCTION, caller, function_id)
        await self._records.delete_function(function.id)

    async def _find(self, action: Action, caller: Caller, function_id: str) -> FunctionRecord:
        function_id = parse_id(function_id, "function")
        function = await self._records.function(function_id)
        if function is None:
            raise refusals.function_not_found(function_id)
        await self._permit.check(action, caller, function)
        return function

    async def _bound(self, caller: Caller, registration: FunctionRegistration) -> str | None:
        """The one endpoint, of high assurance, where it may run; None: it is not bound."""
        if registration.ha_endpoint_id is None:
            return None
        if registration.public or registration.group is not None:
            raise refusals.invalid(
                "ha_endpoint_id excludes public and group: functions of high assurance are not shared. Leave one out."
            )
        endpoint_id = parse_id(registration.ha_endpoint_id, "endpoint")
        endpoint = await self._records.endpoint(endpoint_id)
        if endpoint is None:
            raise refusals.endpoint_not_found(endpoint_id)
        await self._permit.check(Action.RUN_ON_ENDPOINT, caller, endpoint)
        if not endpoint.high_assurance:
            raise refusals.invalid(
                f"Endpoint {endpoint_id} is not one of high assurance: leave ha_endpoint_id out, or name another one."
            )
        return endpoint_id
