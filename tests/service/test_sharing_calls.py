"""What ``Client`` asks about people, of a real service: two people, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from afield import Client
from afield.errors import ComputeAPIError
from afield.service.app import Service
from afield.service.auth.tokens import BearerTokens
from afield.service.clock import SystemClock
from afield.service.domain.people import TokenKind
from afield.service.settings import Settings
from afield.service.store.factory import open_store

from .conftest import BOB

pytestmark = pytest.mark.anyio

NOBODY = "0192d3a0-0000-7000-8000-0000000000ff"


@pytest.fixture
async def clients(tmp_path: Path) -> AsyncIterator[tuple[Client, Client]]:
    """Of the person who runs the service, and of bob."""
    store = open_store(tmp_path, data_dir=tmp_path)
    service = Service(store=store)
    running = await service.start(Settings(data_dir=tmp_path, port=0, amqp_port=0))
    await store.people.put_identity(BOB.identity)
    token = await BearerTokens(store, SystemClock()).issue(BOB.id, "a test", 60, kind=TokenKind.PERSONAL)
    made = [Client(service_url=running.service_url, token=one) for one in (running.token, token)]
    yield made[0], made[1]
    for client in made:
        await asyncio.to_thread(client.close)
    await service.stop()


async def done(call: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """What a call that waits comes to, while the service goes on in this loop."""
    return await asyncio.to_thread(call, *args, **named)


async def test_a_group_from_its_beginning_to_its_end(clients):
    mine, bobs = clients
    group = await done(mine.create_group, "The lab", "who works there")
    invitation = await done(mine.invite_to_group, group["id"])
    joined = await done(bobs.join_group, "http://service.example" + invitation["link"])
    assert (joined["name"], joined["role"]) == ("The lab", "member")
    assert [one["id"] for one in await done(bobs.list_groups)] == [group["id"]]
    await done(mine.set_group_role, group["id"], BOB.id, "manager")
    assert (await done(bobs.update_group, group["id"], name="Room 7"))["name"] == "Room 7"
    shown = await done(mine.get_group, group["id"])
    assert [one["role"] for one in shown["members"]] == ["manager", "manager"]
    await done(mine.remove_from_group, group["id"], BOB.id)
    with pytest.raises(ComputeAPIError, match="You are in no group"):
        await done(bobs.get_group, group["id"])
    await done(mine.delete_group, group["id"])
    assert await done(mine.list_groups) == []


async def test_an_endpoint_is_shared_and_taken_back(clients):
    mine, bobs = clients
    registered = await done(mine.register_endpoint, "lab", None, {"afield_wire": 2})
    endpoint_id = registered["endpoint_id"]
    with pytest.raises(ComputeAPIError, match="may not see"):
        await done(bobs.get_endpoint_metadata, endpoint_id)
    grant = await done(mine.share_endpoint, endpoint_id, "bob")
    assert (grant["id"], grant["role"], grant["note"]) == (BOB.id, "run", "")
    assert (await done(bobs.get_endpoint_metadata, endpoint_id))["name"] == "lab"
    group = await done(mine.create_group, "The lab")
    await done(mine.share_endpoint, endpoint_id, group_id=group["id"], role="view")
    assert [one["name"] for one in await done(mine.list_grants, endpoint_id)] == ["bob", "The lab"]
    await done(mine.unshare_endpoint, endpoint_id, "BOB")
    with pytest.raises(ComputeAPIError, match="may not see"):
        await done(bobs.get_endpoint_metadata, endpoint_id)
    await done(mine.unshare_endpoint, endpoint_id, group_id=group["id"])
    with pytest.raises(ComputeAPIError, match="is not shared with"):
        await done(mine.unshare_endpoint, endpoint_id, identity_id=NOBODY)
    assert await done(mine.list_grants, endpoint_id) == []


async def test_a_policy_protects_an_endpoint(clients):
    mine, _ = clients
    policy = await done(mine.create_policy, "Institute", include_domains=["example.org"], session_s=60)
    assert await done(mine.list_policies) == [policy]
    assert await done(mine.get_policy, policy["id"]) == policy
    registered = await done(mine.register_endpoint, "lab", None, {"afield_wire": 2}, auth_policy=policy["id"])
    function_id = await done(mine.register_function, abs)
    with pytest.raises(ComputeAPIError, match="Institute") as caught:
        await done(mine.run, -1, endpoint_id=registered["endpoint_id"], function_id=function_id)
    assert (caught.value.http_status, caught.value.code) == (403, "AuthorizationRequired")
    with pytest.raises(ComputeAPIError, match="cannot be deleted"):
        await done(mine.delete_policy, policy["id"])
    await done(mine.delete_endpoint, registered["endpoint_id"])
    await done(mine.delete_policy, policy["id"])
    assert await done(mine.list_policies) == []
