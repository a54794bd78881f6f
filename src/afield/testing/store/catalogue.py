"""What a store promises about functions, endpoints and groups of tasks."""

from __future__ import annotations

import msgspec

from afield.ids import new_id, new_ids
from afield.service.domain.records import (
    Departure,
    EndpointRecord,
    FunctionRecord,
    TaskGroupRecord,
    UserEndpointRecord,
)
from afield.service.store.base import Store
from afield.testing.store.records import NOW, some_tasks

__all__ = [
    "deleted_functions_still_serve_their_tasks",
    "deleting_an_endpoint_keeps_its_tasks",
    "endpoints_are_listed_by_age",
    "functions_never_change",
    "task_groups_are_kept_and_replaced",
    "user_endpoints_are_listed_by_age",
]

# -- what ------------------------------------------------------------------------------------------------------------


async def functions_never_change(store: Store) -> None:
    """A second one of the same id changes nothing."""
    plain = FunctionRecord(new_id(), new_id(), "f", b"\x00code", NOW)
    full = FunctionRecord(
        id=new_id(),
        owner_id=new_id(),
        name="g",
        code=b"",
        created_at=NOW,
        description="adds",
        metadata={"python_version": "3.11", "n": [1, None]},
        public=True,
        group_id=new_id(),
    )
    for function in (plain, full, msgspec.structs.replace(plain, code=b"other")):
        await store.put_function(function)
    assert await store.function(plain.id) == plain
    assert await store.function(full.id) == full
    assert await store.function(new_id()) is None


async def deleted_functions_still_serve_their_tasks(store: Store) -> None:
    """Hidden from whoever wants to submit, there for what was submitted."""
    functions = [FunctionRecord(i, new_id(), "f", b"code", NOW) for i in new_ids(3)]
    for function in functions:
        await store.put_function(function)
    gone = functions[1]
    assert await store.delete_function(gone.id) is True
    assert await store.delete_function(gone.id) is False
    assert await store.delete_function(new_id()) is False
    assert await store.function(gone.id) is None
    await store.put_function(gone)
    assert await store.function(gone.id) is None
    assert await store.functions([f.id for f in functions] + [new_id()]) == {f.id: f for f in functions}
    assert await store.functions([]) == {}


# -- where -----------------------------------------------------------------------------------------------------------


async def endpoints_are_listed_by_age(store: Store) -> None:
    """With every field as it was put."""
    mine, other = new_ids(2)
    old = EndpointRecord(
        id=new_id(),
        owner_id=mine,
        name="cluster",
        created_at=NOW - 100,
        display_name="The cluster",
        metadata={"afield_wire": 2, "hostname": "login-1", "nested": {"a": [1.5, True, None]}},
        multi_user=True,
        public=True,
        high_assurance=True,
        allowed_functions=new_ids(2),
        admins=[other],
        generation=7,
        registered_at=NOW,
        last_report_at=NOW + 1,
        heartbeat_period=30.5,
        locked_until=NOW + 2,
    )
    young = EndpointRecord(new_id(), other, "laptop", NOW, allowed_functions=[])
    for endpoint in (young, old):
        await store.put_endpoint(endpoint)
    assert await store.endpoints() == [old, young]
    assert await store.endpoints(mine) == [old]
    assert await store.endpoint(young.id) == young
    await store.put_endpoint(msgspec.structs.replace(old, generation=8, display_name=None))
    found = await store.endpoint(old.id)
    assert found is not None
    assert (found.generation, found.display_name, found.metadata) == (8, None, old.metadata)


async def user_endpoints_are_listed_by_age(store: Store) -> None:
    """All, and one core endpoint's."""
    core, other = new_ids(2)
    young = UserEndpointRecord(new_id(), core, new_id(), NOW)
    old = UserEndpointRecord(
        id=new_id(),
        endpoint_id=core,
        identity_id=new_id(),
        created_at=NOW - 1,
        user_opts={"n": 2},
        user_runtime={"python": "3.11"},
        wire=2,
        generation=3,
        last_report_at=NOW,
        heartbeat_period=15.0,
        active=True,
        state={"idle": [1, 2]},
    )
    elsewhere = UserEndpointRecord(new_id(), other, new_id(), NOW - 2)
    for user_endpoint in (young, old, elsewhere):
        await store.put_user_endpoint(user_endpoint)
    assert await store.user_endpoints(core) == [old, young]
    assert await store.user_endpoints() == [elsewhere, old, young]
    await store.put_user_endpoint(msgspec.structs.replace(old, active=False, state={}))
    assert await store.user_endpoint(old.id) == msgspec.structs.replace(old, active=False, state={})
    assert await store.user_endpoint(new_id()) is None


async def deleting_an_endpoint_keeps_its_tasks(store: Store) -> None:
    """Its user endpoints go with it; its departure is remembered until somebody says that nothing is left."""
    tasks = some_tasks(1)
    endpoint = EndpointRecord(tasks[0].endpoint_id, new_id(), "laptop", NOW)
    await store.put_endpoint(endpoint)
    its = sorted([tasks[0].user_endpoint_id, new_id()])
    for one in its:
        await store.put_user_endpoint(UserEndpointRecord(one, endpoint.id, new_id(), NOW))
    other = UserEndpointRecord(new_id(), new_id(), new_id(), NOW)
    await store.put_user_endpoint(other)
    await store.add_tasks(tasks)
    departure = Departure(endpoint.id, "laptop", tuple(its), NOW + 5)
    assert await store.delete_endpoint(endpoint.id, NOW + 5) == departure
    assert await store.delete_endpoint(endpoint.id, NOW + 6) is None
    assert await store.endpoint(endpoint.id) is None
    assert await store.user_endpoints() == [other]
    assert list(await store.tasks([tasks[0].id])) == [tasks[0].id]
    alone = EndpointRecord(new_id(), new_id(), "alone", NOW)
    await store.put_endpoint(alone)
    earlier = await store.delete_endpoint(alone.id, NOW + 4)
    assert earlier == Departure(alone.id, "alone", (), NOW + 4)
    assert await store.departures() == [earlier, departure]
    await store.put_user_endpoint(UserEndpointRecord(new_id(), alone.id, new_id(), NOW))
    await store.forget_departure(alone.id)
    await store.forget_departure(alone.id)
    assert await store.departures() == [departure]
    assert await store.user_endpoints() == [other]
    await store.forget_departure(other.endpoint_id)
    assert await store.user_endpoints() == [other], "its endpoint was not deleted"


async def task_groups_are_kept_and_replaced(store: Store) -> None:
    """One id, one group: the last."""
    group = TaskGroupRecord(new_id(), new_id(), NOW)
    await store.put_task_group(group)
    assert await store.task_group(group.id) == group
    await store.put_task_group(msgspec.structs.replace(group, wire=2))
    assert await store.task_group(group.id) == msgspec.structs.replace(group, wire=2)
    assert await store.task_group(new_id()) is None
