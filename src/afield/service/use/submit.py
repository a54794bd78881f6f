"""Accept tasks.

What must not be lost depends on the order here. Everything that could be refused is looked at first; then the tasks are
committed, with the functions that came along and the answer; then they are handed to the queue; then the submitter
hears that they were accepted. From the commit on nothing may fail: if the queue cannot take them, they are in the
store, and get there by use/refill.py.

A submit that is sent again because its answer was lost carries the same key. It joins the first one if that is still
under way, else it gets the answer that was committed with the tasks. What is good for a while only, such as the way to
the results, is not part of that: each answer brings it anew. Submits without a key get one of their own, unless it
turns out at the commit that they repeat one whose answer did not arrive (:mod:`afield.service.domain.repeats`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from hashlib import sha256

import msgspec

from afield.errors import BrokerError
from afield.ids import new_id, new_ids, parse_id
from afield.service.clock import Clock
from afield.service.domain import refusals
from afield.service.domain.access import Action
from afield.service.domain.caller import Caller
from afield.service.domain.documents import to_task
from afield.service.domain.records import (
    EndpointRecord,
    FunctionRecord,
    SubmitRecord,
    TaskOptions,
    TaskRecord,
    UserEndpointRecord,
)
from afield.service.domain.refusals import Refusal
from afield.service.domain.repeats import Repeated
from afield.service.domain.submitting import check_function, check_submit
from afield.service.domain.user_endpoints import endpoint_wire, user_endpoint_id
from afield.service.domain.versions import OLDEST_PUBLISHED_SDK, check_python, workers_python
from afield.service.settings import Limits
from afield.service.store.base import AlreadyStored, Store
from afield.service.use.doubts import Doubts
from afield.service.use.in_flight import InFlight
from afield.service.use.limits import KeepLimits
from afield.service.use.people.permit import Permit
from afield.service.use.queues import Queues
from afield.service.use.records import Records
from afield.service.use.register_function import Functions
from afield.service.use.repeats import Keyless
from afield.service.use.revive import Revive
from afield.service.use.sending import TasksNotSent
from afield.service.use.start_user_endpoint import StartUserEndpoint
from afield.service.use.task_groups import TaskGroups
from afield.service.use.watch import Watch
from afield.wire import v2
from afield.wire.rest import ResultQueue, SubmitRequest, SubmitResponse

__all__ = ["Submit"]

logger = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SubmitResponse).decode


class _Asked(msgspec.Struct, frozen=True):
    """Who submits what, where; and the highest version of the envelope that they read."""

    caller: Caller
    endpoint_id: str
    request: SubmitRequest
    wire: int


class _Repeats(Exception):  # noqa: N818 - not an error
    """A submit without a key turned out to repeat the one with this key; nothing of it was committed."""

    def __init__(self, key: bytes) -> None:
        super().__init__(key)
        self.key = key


def _nobody(_submit: str, _error: TasksNotSent) -> None:
    """A broker that lives in the service is never away."""


class Submit:
    """Accepts tasks, all of a request or none."""

    def __init__(
        self,
        store: Store,
        records: Records,
        queues: Queues,
        *,
        functions: Functions,
        watch: Watch,
        groups: TaskGroups,
        starter: StartUserEndpoint,
        revive: Revive,
        in_flight: InFlight,
        permit: Permit,
        keep: KeepLimits,
        clock: Clock,
        limits: Limits,
        doubts: Doubts,
        handed_over: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._records = records
        self._queues = queues
        self._functions = functions
        self._watch = watch
        self._groups = groups
        self._starter = starter
        self._revive = revive
        self._in_flight = in_flight
        self._permit = permit
        self._keep = keep
        self._clock = clock
        self._limits = limits
        self._doubts = doubts
        self._handed_over = handed_over
        #: told of submits whose sending broke off, by the first task
        self.not_sent: Callable[[str, TasksNotSent], None] = _nobody
        # key -> the answer to come
        self._under_way: dict[bytes, asyncio.Future[SubmitResponse]] = {}

    async def __call__(
        self, caller: Caller, endpoint_id: str, request: SubmitRequest, *, wire: int, key: str | Keyless | None = None
    ) -> bytes:
        """Accept the tasks of a request.

        :param wire: the highest version of the envelope that the submitter reads
        :param key: names this submit; the same key from the same caller for the same endpoint has the same effect,
            once. Of one that has none, what tells whether it repeats another; None: it does not
        :return: a :class:`~afield.wire.rest.SubmitResponse`, as JSON
        :raises Refusal: nothing of it was accepted
        """
        endpoint_id = parse_id(endpoint_id, "endpoint")
        asked = _Asked(caller, endpoint_id, request, wire)
        if key is None:
            accepted = await self._accept(asked, None)
        elif isinstance(key, Keyless):
            accepted = await self._keyless(asked, key)
        else:
            digest = sha256(f"{caller.id}\n{endpoint_id}\n{key}".encode("utf-8", "surrogatepass")).digest()
            accepted = await self._join(asked, digest)
        if wire >= v2.VERSION[0]:
            accepted = await self._completed(accepted, caller, endpoint_id, request)
        return _encode(accepted)

    async def _keyless(self, asked: _Asked, keyless: Keyless) -> SubmitResponse:
        while True:
            try:
                return await self._join(asked, keyless.key, keyless)
            except _Repeats as found:
                keyless.follow(found.key)

    async def _join(self, asked: _Asked, digest: bytes, keyless: Keyless | None = None) -> SubmitResponse:
        first = self._under_way.get(digest)
        if first is not None:
            return await asyncio.shield(first)
        answer: asyncio.Future[SubmitResponse] = asyncio.get_running_loop().create_future()
        self._under_way[digest] = answer
        # Whoever joined is told; if nobody did, nobody needs to look.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            answer.set_result(await self._once(asked, digest, keyless))
        except Exception as error:
            answer.set_exception(error)
            raise
        finally:
            del self._under_way[digest]
            answer.cancel()  # only if this call itself was cancelled
        return answer.result()

    async def _once(self, asked: _Asked, digest: bytes, keyless: Keyless | None) -> SubmitResponse:
        follows = keyless is not None and keyless.follows
        # An answer is kept for as long as somebody is known to have missed it.
        since = 0.0 if follows else self._clock.now() - self._limits.repeat_s
        if follows and (stored := await self._store.submit(digest, since=since)) is not None:
            return await self._found(digest, stored)
        try:
            return await self._accept(asked, digest, keyless)
        except (Refusal, AlreadyStored):
            # Accepted by an earlier try, perhaps in an earlier life or by another replica. What would be refused by
            # now was fine then.
            stored = await self._store.submit(digest, since=since)
            if stored is not None:
                return await self._found(digest, stored)
            if keyless is not None and (found := await keyless.find()) is not None:
                raise _Repeats(found.key) from None
            raise

    async def _found(self, digest: bytes, stored: SubmitRecord) -> SubmitResponse:
        answer = _decode(stored.response)
        await self._doubts.found(digest, [one for ids in answer.tasks.values() for one in ids])
        return answer

    async def _accept(self, asked: _Asked, digest: bytes | None, keyless: Keyless | None = None) -> SubmitResponse:
        caller, endpoint_id, request, wire = asked.caller, asked.endpoint_id, asked.request, asked.wire
        endpoint = await self._endpoint(caller, endpoint_id)
        self._check(request, endpoint, wire)
        count = sum(map(len, request.tasks.values()))
        await self._keep.room(caller, endpoint_id, count)
        new = {key: await self._functions.make(caller, one) for key, one in (request.functions or {}).items()}
        functions = await self._find(caller, endpoint, request, new)
        # A client that does not ask for the queue polls, so nothing is put there for it.
        watching = wire if request.create_queue else 0
        group = await self._groups.propose(caller, request.task_group_id, watching)
        user_endpoint = await self._starter.ensure(caller, endpoint, request.user_endpoint_config, request.user_runtime)
        # That may have taken a while, and what came up has said which Python its workers have.
        endpoint = await self._endpoint(caller, endpoint_id)
        if wire >= v2.VERSION[0]:
            workers = workers_python(endpoint, await self._records.user_endpoint(user_endpoint.id))
            _refuse(check_python(request, functions, workers))
        group = await self._groups.prepare(group, watching, high_assurance=endpoint.high_assurance)
        async with self._keep.turn(caller, user_endpoint, count):
            records = self._make(caller, request, functions, user_endpoint, group.id)
            answer = _answer(endpoint_id, request, records, group.id, new)
            submit = SubmitRecord(digest, _encode(answer), self._clock.now()) if digest is not None else None
            try:
                await self._commit(records, submit, list(new.values()), keyless)
            except Exception as error:
                self._doubts.broke_off(error, digest, user_endpoint.id)
                raise
            for function in new.values():
                self._records.know_function(function)
            self._in_flight.begin(records)
        await self._hand_over(endpoint, records, functions)
        return answer

    async def _completed(
        self, answer: SubmitResponse, caller: Caller, endpoint_id: str, request: SubmitRequest
    ) -> SubmitResponse:
        """The answer with all that its client would ask for next."""
        endpoint = await self._records.endpoint(endpoint_id)
        group = await self._records.group(answer.task_group_id)
        owner_id = caller.id if group is None else group.owner_id  # another identity of theirs may have made it
        one = user_endpoint_id(endpoint_id, caller.id, request.user_endpoint_config, request.user_runtime)
        return msgspec.structs.replace(
            answer,
            result_queue=await self._way_to_results(caller, owner_id) if request.create_queue else None,
            python_version=workers_python(endpoint, await self._records.user_endpoint(one)),
            min_sdk_version=OLDEST_PUBLISHED_SDK,
            payload_bytes=self._limits.payload_bytes,
        )

    async def _way_to_results(self, caller: Caller, owner_id: str) -> ResultQueue | None:
        """None: it cannot be told just now, and is asked for again. The tasks are accepted all the same."""
        try:
            return await self._watch.queues_of(caller, owner_id)
        except BrokerError as error:
            logger.warning("clients cannot be let in to the queues just now: %s", error)
            return None

    # -- before the commit: whatever can be refused -------------------------------------------------------------------

    async def _endpoint(self, caller: Caller, endpoint_id: str) -> EndpointRecord:
        endpoint = await self._records.endpoint(endpoint_id)
        if endpoint is None:
            raise refusals.endpoint_not_found(endpoint_id)
        await self._permit.run_on(caller, endpoint)
        return endpoint

    def _check(self, request: SubmitRequest, endpoint: EndpointRecord, wire: int) -> None:
        _refuse(
            check_submit(
                request,
                client_wire=wire,
                endpoint_wire=endpoint_wire(endpoint),
                most_tasks=self._limits.submit_tasks,
                most_bytes=self._limits.payload_bytes,
            )
        )

    async def _find(
        self,
        caller: Caller,
        endpoint: EndpointRecord,
        request: SubmitRequest,
        new: Mapping[str, FunctionRecord],
    ) -> dict[str, FunctionRecord]:
        """The functions of the tasks, by their keys in the request.

        :param new: those that came along
        """
        found = {}
        for given in request.tasks:
            found[given] = function = new.get(given) or await self._known(caller, given)
            _refuse(check_function(function, endpoint, given if given in new else function.id))
        return found

    async def _known(self, caller: Caller, given: str) -> FunctionRecord:
        function_id = parse_id(given, "function")
        function = await self._records.function(function_id)
        if function is None:
            raise refusals.function_not_found(function_id)
        await self._permit.check(Action.RUN_FUNCTION, caller, function)
        return function

    # -- the commit, and after it ------------------------------------------------------------------------------------

    async def _commit(
        self,
        records: list[TaskRecord],
        submit: SubmitRecord | None,
        functions: list[FunctionRecord],
        keyless: Keyless | None,
    ) -> None:
        attempt = None
        if keyless is not None:
            attempt = await keyless.attempt()
            keyless.commits()
        while True:
            found = await self._store.add_tasks(
                records, submit, functions, to_hand_over=self._queues.survive, attempt=attempt
            )
            if found is None:
                return
            assert keyless is not None
            assert attempt is not None
            if isinstance(found, Repeated):
                raise _Repeats(found.key)
            attempt = await keyless.ask(attempt, found.lives)

    def _make(
        self,
        caller: Caller,
        request: SubmitRequest,
        functions: Mapping[str, FunctionRecord],
        user_endpoint: UserEndpointRecord,
        group_id: str,
    ) -> list[TaskRecord]:
        options = TaskOptions(request.resource_specification, tuple(request.result_serializers or ()), request.options)
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
        tasks = [to_task(record, codes[record.function_id]) for record in records]
        try:
            await self._queues.send_tasks(records[0].user_endpoint_id, endpoint_wire(endpoint), tasks)
            self._handed_over(records[0].id)
            await self._revive.accepted(records[0].user_endpoint_id)
        except TasksNotSent as error:
            logger.warning("%d of %d accepted tasks wait for the broker: %s", len(error.task_ids), len(tasks), error)
            self.not_sent(records[0].id, error)
        except BrokerError as error:
            # They are committed: an error now would make the submitter send them a second time. If their endpoint was
            # deleted at the same moment, they fail (use/depart.py).
            logger.warning("%d accepted tasks could not be queued; they are stored, and wait: %s", len(tasks), error)


def _refuse(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise refusal


def _answer(
    endpoint_id: str,
    request: SubmitRequest,
    records: list[TaskRecord],
    group_id: str,
    new: Mapping[str, FunctionRecord],
) -> SubmitResponse:
    ids = iter(records)
    tasks = {given: [next(ids).id for _ in payloads] for given, payloads in request.tasks.items()}
    functions = {key: function.id for key, function in new.items()}
    return SubmitResponse(new_id(), group_id, endpoint_id, tasks, functions)
