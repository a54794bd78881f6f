"""Whether somebody may: the records that the decision needs, fetched; see :mod:`afield.service.domain.access`.

Most of what is asked concerns the asker's own, and is decided without a look into the store. Only where that says no
are grants and memberships fetched, each time anew: what is taken back is taken back at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from afield.service.clock import Clock
from afield.service.domain.access import Action, Object, Tie, decide
from afield.service.domain.caller import Caller
from afield.service.domain.people import Principal, TeamRecord
from afield.service.domain.policies import check_policy, missing_policy
from afield.service.domain.records import EndpointRecord, FunctionRecord, TaskView
from afield.service.domain.refusals import Refusal
from afield.service.store.base import Store
from afield.service.use.people.callers import teams_of
from afield.service.use.records import Records

__all__ = ["Permit"]


class Permit:
    """Says yes, or raises the refusal."""

    def __init__(self, store: Store, records: Records, clock: Clock) -> None:
        self._store = store
        self._records = records
        self._clock = clock

    async def check(self, action: Action, caller: Caller, record: Object) -> None:
        """Nothing, if ``caller`` may do ``action`` to ``record``.

        :raises Refusal: they may not
        """
        _raise(await self.refusal(action, caller, record))

    async def refusal(self, action: Action, caller: Caller, record: Object) -> Refusal | None:
        """As :meth:`check`, for those who want to know only."""
        # Which groups they are in is not believed, for whoever says so may have looked some seconds ago.
        bare = replace(caller, teams=frozenset()) if caller.teams else caller
        refusal = decide(action, bare, record)
        if refusal is None:
            return None
        match record:
            case FunctionRecord(group_id=str()):
                ties: Sequence[Tie] = ()
            case EndpointRecord():
                ties = await self._store.people.grants_on(record.id)
                if not any(tie.principal is Principal.TEAM for tie in ties):
                    return decide(action, bare, record, ties)
            case TeamRecord():
                return decide(action, bare, record, await self._store.people.members(record.id))
            case _:
                return refusal
        return decide(action, replace(bare, teams=await teams_of(self._store.people, bare)), record, ties)

    async def visible(self, caller: Caller, endpoints: Iterable[EndpointRecord]) -> list[EndpointRecord]:
        """Those of the endpoints that ``caller`` may see."""
        caller = replace(caller, teams=await teams_of(self._store.people, caller))
        principals = [(Principal.IDENTITY, one) for one in caller.ids]
        principals += [(Principal.TEAM, one) for one in caller.teams]
        grants: dict[str, list[Tie]] = {}
        for grant in await self._store.people.grants_to(principals):
            grants.setdefault(grant.object_id, []).append(grant)
        return [one for one in endpoints if decide(Action.SEE_ENDPOINT, caller, one, grants.get(one.id, ())) is None]

    async def run_on(self, caller: Caller, endpoint: EndpointRecord) -> None:
        """Nothing, if ``caller`` may have tasks run on ``endpoint``, and has logged in as its policy asks.

        :raises Refusal: they may not, or have not
        """
        await self.check(Action.RUN_ON_ENDPOINT, caller, endpoint)
        await self._satisfies(caller, endpoint)

    async def results(self, caller: Caller, tasks: Iterable[TaskView]) -> None:
        """Nothing, if ``caller``, whose tasks these are, may have their results: those of an endpoint of high assurance
        are only for whoever has logged in as its policy asks.

        :raises Refusal: they have not
        """
        for endpoint_id in {task.endpoint_id for task in tasks if task.finished is not None}:
            endpoint = await self._records.endpoint(endpoint_id)
            if endpoint is not None and endpoint.high_assurance:
                await self._satisfies(caller, endpoint)

    async def _satisfies(self, caller: Caller, endpoint: EndpointRecord) -> None:
        if endpoint.authentication_policy is None:
            return
        policy = await self._store.people.policy(endpoint.authentication_policy)
        if policy is None:
            raise missing_policy(endpoint.authentication_policy)
        _raise(check_policy(policy, caller, self._clock.now()))


def _raise(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise refusal
