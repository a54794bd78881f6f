"""Accept tasks.

What must not be lost depends on the order here. Everything that could be refused is looked at first; then the tasks are
committed, with the answer; then they are handed to the queue; then the submitter hears that they were accepted. From
the commit on nothing may fail: if the queue cannot take them, they are in the store, and get there by use/refill.py.

A submit that is sent again because its answer was lost carries the same key. It joins the first one if that is still
under way, else it gets the answer that was committed with the tasks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from hashlib import sha256

import msgspec

from afield.errors import BrokerError
from afield.ids import new_id, new_ids, parse_id
from afield.service.clock import Clock
from afield.service.domain import refusals
from afield.service.domain.access import Action, decide
from afield.service.domain.caller import Caller
from afield.service.domain.packing import is_packed
from afield.service.domain.records import (
    EndpointRecord,
    FunctionRecord,
    SubmitRecord,
    TaskOptions,
    TaskRecord,
    UserEndpointRecord,
)
from afield.service.domain.refusals import Refusal
from afield.service.domain.user_endpoints import check_options, endpoint_wire
from afield.service.settings import Limits
from afield.service.store.base import AlreadyStored, Store
from afield.service.use.in_flight import InFlight
from afield.service.use.queues import Queues
from afield.service.use.records import Records
from afield.service.use.revive import Revive
from afield.service.use.start_user_endpoint import StartUserEndpoint
from afield.service.use.task_groups import TaskGroups
from afield.wire.messages import Task
from afield.wire.plain import is_plain
from afield.wire.rest import SubmitRequest, SubmitResponse

__all__ = ["Submit"]

logger = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode


class Submit:
    """Accepts tasks, all of a request or none."""

    def __init__(
        self,
        store: Store,
        records: Records,
        queues: Queues,
        *,
        groups: TaskGroups,
        starter: StartUserEndpoint,
        revive: Revive,
        in_flight: InFlight,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._store = store
        self._records = records
        self._queues = queues
        self._groups = groups
        self._starter = starter
        self._revive = revive
        self._in_flight = in_flight
        self._clock = clock
        self._limits = limits
        # key -> the answer to come
        self._under_way: dict[bytes, asyncio.Future[bytes]] = {}

    async def __call__(
        self, caller: Caller, endpoint_id: str, request: SubmitRequest, *, wire: int, key: str | None = None
    ) -> bytes:
        """Accept the tasks of a request.

        :param wire: the highest version of the envelope that the submitter reads
        :param key: names this submit; the same key from the same caller for the same endpoint has the same effect, once
        :return: a :class:`~afield.wire.rest.SubmitResponse`, as JSON
        :raises Refusal: nothing of it was accepted
        """
        endpoint_id = parse_id(endpoint_id, "endpoint")
        if key is None:
            return await self._accept(caller, endpoint_id, request, wire, None)
        digest = sha256(f"{caller.id}\n{endpoint_id}\n{key}".encode("utf-8", "surrogatepass")).digest()
        first = self._under_way.get(digest)
        if first is not None:
            return await asyncio.shield(first)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._under_way[digest] = answer
        # Whoever joined is told; if nobody did, nobody needs to look.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            answer.set_result(await self._once(caller, endpoint_id, request, wire, digest))
        except Exception as error:
            answer.set_exception(error)
            raise
        finally:
            del self._under_way[digest]
            answer.cancel()  # only if this call itself was cancelled
        return answer.result()

    async def _once(self, caller: Caller, endpoint_id: str, request: SubmitRequest, wire: int, digest: bytes) -> bytes:
        try:
            return await self._accept(caller, endpoint_id, request, wire, digest)
        except (Refusal, AlreadyStored):
            # Accepted by an earlier try, perhaps in an earlier life or by another replica. What would be refused by
            # now was fine then.
            stored = await self._store.submit(digest, since=self._clock.now() - self._limits.repeat_s)
            if stored is None:
                raise
            return stored.response

    async def _accept(
        self, caller: Caller, endpoint_id: str, request: SubmitRequest, wire: int, digest: bytes | None
    ) -> bytes:
        endpoint = await self._endpoint(caller, endpoint_id)
        self._check(request)
        functions = await self._functions(caller, endpoint, request)
        # A client that does not ask for the queue polls, so nothing is put there for it.
        wire = wire if request.create_queue else 0
        group = await self._groups.propose(caller, request.task_group_id, wire)
        user_endpoint = await self._starter.ensure(caller, endpoint, request.user_endpoint_config, request.user_runtime)
        # That may have taken a while.
        endpoint = await self._endpoint(caller, endpoint_id)
        group = await self._groups.prepare(group, wire)
        records = self._make(caller, request, functions, user_endpoint, group.id)
        answer = _answer(endpoint_id, request, records, group.id)
        submit = SubmitRecord(digest, answer, self._clock.now()) if digest is not None else None
        await self._store.add_tasks(records, submit)
        self._in_flight.begin(records)
        await self._hand_over(endpoint, records, functions)
        return answer

    # -- before the commit: whatever can be refused -------------------------------------------------------------------

    async def _endpoint(self, caller: Caller, endpoint_id: str) -> EndpointRecord:
        endpoint = await self._records.endpoint(endpoint_id)
        if endpoint is None:
            raise refusals.endpoint_not_found(endpoint_id)
        refusal = decide(Action.RUN_ON_ENDPOINT, caller, endpoint)
        if refusal is not None:
            raise refusal
        return endpoint

    def _check(self, request: SubmitRequest) -> None:
        count = sum(map(len, request.tasks.values()))
        if not count:
            raise refusals.invalid("tasks is empty: a submit holds at least one task.")
        if count > self._limits.submit_tasks:
            raise refusals.batch_too_large(count, self._limits.submit_tasks)
        refusal = check_options(request.user_endpoint_config)
        if refusal is not None:
            raise refusal
        for name in ("resource_specification", "user_endpoint_config", "user_runtime"):
            # What cannot be put into a message must be refused now: after the commit it is too late.
            if not is_plain(getattr(request, name)):
                raise refusals.invalid(f"{name} holds a number that needs more than 64 bits: write it as text.")
        most = self._limits.payload_bytes
        for function_id, payloads in request.tasks.items():
            for place, payload in enumerate(payloads):
                # A character is at most four bytes; only what could be too large is counted in bytes.
                if len(payload) > most // 4 and len(payload.encode()) > most:
                    raise refusals.payload_too_large(len(payload.encode()), most)
                if not is_packed(payload, 2):
                    raise refusals.invalid(
                        f"tasks[{function_id}][{place}] is not two packed buffers, for args and kwargs: send what the "
                        "SDK's serializer packs."
                    )

    async def _functions(
        self, caller: Caller, endpoint: EndpointRecord, request: SubmitRequest
    ) -> dict[str, FunctionRecord]:
        found = {}
        for given in request.tasks:
            function_id = parse_id(given, "function")
            function = await self._records.function(function_id)
            if function is None:
                raise refusals.function_not_found(function_id)
            refusal = decide(Action.RUN_FUNCTION, caller, function)
            if refusal is not None:
                raise refusal
            if endpoint.allowed_functions is not None and function_id not in endpoint.allowed_functions:
                raise refusals.function_not_permitted(function_id, endpoint.id)
            found[given] = function
        return found

    # -- the commit, and after it ------------------------------------------------------------------------------------

    def _make(
        self,
        caller: Caller,
        request: SubmitRequest,
        functions: Mapping[str, FunctionRecord],
        user_endpoint: UserEndpointRecord,
        group_id: str,
    ) -> list[TaskRecord]:
        options = TaskOptions(request.resource_specification, tuple(request.result_serializers or ()))
        ids = iter(new_ids(sum(map(len, request.tasks.values()))))
        now = self._clock.now()
        return [
            TaskRecord(
                id=next(ids),
                group_id=group_id,
                owner_id=caller.id,
                endpoint_id=user_endpoint.endpoint_id,
                user_endpoint_id=user_endpoint.id,
                function_id=functions[given].id,
                payload=payload.encode(),
                created_at=now,
                options=options,
            )
            for given, payloads in request.tasks.items()
            for payload in payloads
        ]

    async def _hand_over(
        self, endpoint: EndpointRecord, records: list[TaskRecord], functions: Mapping[str, FunctionRecord]
    ) -> None:
        codes = {function.id: function.code for function in functions.values()}
        tasks = [
            Task(
                task_id=record.id,
                function_id=record.function_id,
                code=codes[record.function_id],
                payload=record.payload,
                resource_specification=record.options.resource_specification,
                result_serializers=record.options.result_serializers,
            )
            for record in records
        ]
        try:
            await self._queues.send_tasks(records[0].user_endpoint_id, endpoint_wire(endpoint), tasks)
            await self._revive.accepted(records[0].user_endpoint_id)
        except BrokerError:
            # They are committed: an error now would make the submitter send them a second time.
            logger.exception("%d accepted tasks could not be queued; they are stored, and wait", len(tasks))


def _answer(endpoint_id: str, request: SubmitRequest, records: list[TaskRecord], group_id: str) -> bytes:
    ids = iter(records)
    tasks = {given: [next(ids).id for _ in payloads] for given, payloads in request.tasks.items()}
    return _encode(SubmitResponse(new_id(), group_id, endpoint_id, tasks))
