"""An endpoint shared with people and groups: guests run there, and what is taken back ends."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from msgspec import UNSET

from afield.service.domain.access import ENDED_BY_WITHDRAWAL
from afield.service.domain.caller import Caller
from afield.service.domain.refusals import Refusal
from afield.states import TaskState
from afield.wire.commands import StartCommand
from afield.wire.rest_people import GrantWish, GroupWish, InvitationWish

from .conftest import ADA, BOB, CoreEndpoint, UserEndpoint, World, identity
from .test_access_routes import NOWHERE, Door, door, endpoint

__all__ = ["door"]  # a fixture

pytestmark = pytest.mark.anyio


async def share(world: World, core: CoreEndpoint, role: str = "run", **whom: str) -> None:
    await world.uses.sharing.share(ADA, core.id, GrantWish(role, **(whom or {"username": "bob"})))


async def team_with_bob(world: World) -> str:
    team = await world.uses.teams.make(ADA, GroupWish("lab"))
    invitation = await world.uses.invitations.make(ADA, team.id, InvitationWish())
    await world.uses.invitations.accept(BOB, invitation.code)
    return team.id


async def error_of(world: World, task_id: str) -> tuple[TaskState, str]:
    view = (await world.store.tasks([task_id]))[task_id]
    return view.state, "" if view.finished is None or view.finished.error is None else view.finished.error.code


class TestGuests:
    async def test_a_guest_is_started_as_one_and_says_whose(self, world):
        core = await world.core(online=False)
        await share(world, core)
        function_id = await world.function(BOB)
        accepted = await world.submit(core, function_id, caller=BOB)
        await core.report()
        command = await core.commands.get()
        assert (command.globus_effective_identity, command.shared_by) == (BOB.id, ADA.id)
        user = await (await core.start(command)).consume()
        await user.report()
        task = await user.tasks.get()
        assert [task.task_id] == accepted.tasks[function_id]
        await user.send(world.success(task.task_id))
        results = await world.watch(accepted, BOB)
        assert task.task_id.encode() in (await results.get()).body

    async def test_its_owner_is_no_guest_and_neither_is_who_a_machine_maps(self, world):
        mine, mapped = await world.core(online=False), await world.core(online=False, multi_user=True)
        for core, caller in ((mine, ADA), (mapped, BOB)):
            await world.submit(core, await world.function(caller), caller=caller)
            await core.report()
            assert (await core.commands.get()).shared_by is UNSET
            assert (await told_again(world, core)).shared_by is UNSET

    async def test_a_guest_is_one_also_when_nobody_submits(self, world):
        core = await world.core(online=False)
        await share(world, core)
        await world.submit(core, await world.function(BOB), caller=BOB)
        assert (await told_again(world, core)).shared_by == ADA.id

    async def test_a_published_endpoint_refuses_guests_at_once_and_says_why(self, world):
        core = await world.core(wire=1)
        grant = await world.uses.sharing.share(ADA, core.id, GrantWish("run", username="bob"))
        assert "published endpoint software" in grant.note
        with pytest.raises(Refusal, match="runs only its owner's tasks") as caught:
            await world.submit(core, await world.function(BOB), caller=BOB)
        assert (caught.value.status, caught.value.code) == (403, "ENDPOINT_ACCESS_FORBIDDEN")
        assert core.commands.empty()
        [shown] = (await world.uses.sharing.grants(ADA, core.id)).grants
        assert shown.note == grant.note

    async def test_a_grant_of_ours_has_no_note(self, world):
        core = await world.core(online=False)
        grant = await world.uses.sharing.share(ADA, core.id, GrantWish("manage", username="BOB"))
        assert (grant.principal, grant.id, grant.name, grant.role, grant.note) == (
            "identity", BOB.id, "bob", "manage", "",
        )  # fmt: skip


async def told_again(world: World, core: CoreEndpoint) -> StartCommand:
    """The start command that a core endpoint gets when it comes back and tasks wait."""
    await core.report(heartbeat_period=0)
    while not core.commands.empty():
        core.commands.get_nowait()
    await core.report()
    return await core.commands.get()


class TestTakenBack:
    async def guest(self, world: World, **whom: str):
        """A guest's user endpoint that is up and has a task, and another task of theirs that waits."""
        core = await world.core(online=False)
        await share(world, core, **whom)
        function_id = await world.function(BOB)
        first = await world.submit(core, function_id, caller=BOB)
        await core.report()
        user = await (await core.start()).consume()
        await user.report()
        task = await user.tasks.get()
        assert [task.task_id] == first.tasks[function_id]
        return core, user, function_id, task.task_id

    async def ended(self, world: World, core: CoreEndpoint, user: UserEndpoint, function_id: str, task_id: str) -> None:
        assert await error_of(world, task_id) == (TaskState.FAILED, ENDED_BY_WITHDRAWAL)
        [record] = await world.store.user_endpoints(core.id)
        assert (record.active, record.generation) == (False, 2)
        assert await world.logins.authenticate(*login_of(user)) is None
        with pytest.raises(Refusal) as caught:
            await world.submit(core, function_id, caller=BOB)
        assert caught.value.code == "ENDPOINT_ACCESS_FORBIDDEN"

    async def test_what_runs_and_waits_ends_saying_why(self, world):
        core, user, function_id, task_id = await self.guest(world)
        await world.uses.sharing.unshare(ADA, core.id, "identity", BOB.id)
        await self.ended(world, core, user, function_id, task_id)
        document = await world.uses.watch.task(BOB, task_id, 2)
        assert "was taken back" in document.exception

    async def test_to_view_only_is_taking_back(self, world):
        core, user, function_id, task_id = await self.guest(world)
        await share(world, core, "view")
        await self.ended(world, core, user, function_id, task_id)
        assert (await world.uses.endpoints.describe(BOB, core.id)).uuid == core.id

    async def test_whoever_got_it_may_give_it_back(self, world):
        core, user, function_id, task_id = await self.guest(world)
        await world.uses.sharing.unshare(BOB, core.id, "identity", BOB.id)
        await self.ended(world, core, user, function_id, task_id)

    async def test_leaving_the_group_is_leaving_the_endpoint(self, world):
        team_id = await team_with_bob(world)
        core, user, function_id, task_id = await self.guest(world, group_id=team_id)
        await world.uses.teams.remove(ADA, team_id, BOB.id)
        await self.ended(world, core, user, function_id, task_id)

    async def test_deleting_the_group_is_taking_back(self, world):
        team_id = await team_with_bob(world)
        core, user, function_id, task_id = await self.guest(world, group_id=team_id)
        await world.uses.teams.delete(ADA, team_id)
        await self.ended(world, core, user, function_id, task_id)
        assert (await world.uses.sharing.grants(ADA, core.id)).grants == []

    async def test_one_who_is_let_in_otherwise_stays(self, world):
        team_id = await team_with_bob(world)
        core, _user, function_id, task_id = await self.guest(world, group_id=team_id)
        await share(world, core)
        await world.uses.teams.delete(ADA, team_id)
        assert await error_of(world, task_id) == (TaskState.WAITING_FOR_ENDPOINT, "")
        await world.submit(core, function_id, caller=BOB)

    async def test_the_owners_own_goes_on(self, world):
        core, user, function_id = await world.ready()
        await share(world, core)
        await world.uses.sharing.unshare(ADA, core.id, "identity", BOB.id)
        await world.submit(core, function_id)
        assert (await user.tasks.get()).function_id == function_id

    async def test_let_in_again_one_begins_anew_and_old_tasks_do_not_run(self, world):
        core, _user, function_id, _ = await self.guest(world)
        waiting = await world.submit(core, function_id, caller=BOB)
        await world.uses.sharing.unshare(ADA, core.id, "identity", BOB.id)
        assert (await error_of(world, waiting.tasks[function_id][0]))[1] == ENDED_BY_WITHDRAWAL
        await share(world, core)
        await core.report(heartbeat_period=0)
        third = await world.submit(core, function_id, caller=BOB)
        await core.report()
        again = await (await core.start()).consume()
        await again.report()
        task = await again.tasks.get()
        assert [task.task_id] == third.tasks[function_id]
        assert again.tasks.empty()

    async def test_a_deleted_endpoint_is_shared_with_nobody(self, world):
        core, _, _, _ = await self.guest(world)
        await world.uses.endpoints.delete(ADA, core.id)
        assert await world.store.people.grants_on(core.id) == []


def login_of(user: UserEndpoint) -> tuple[str, str]:
    parts = urlsplit(user.credentials.task_queue_info.connection_url)
    assert parts.username is not None
    assert parts.password is not None
    return parts.username, parts.password


class TestFunctions:
    async def test_one_for_a_group_runs_for_its_members_while_they_are_in_it(self, world):
        team_id = await team_with_bob(world)
        function_id = await world.function(group=team_id.upper())
        core = await world.core(BOB, online=False)
        await world.submit(core, function_id, caller=BOB)
        stale = Caller(BOB.identity, teams=frozenset({team_id}))
        await world.uses.teams.remove(ADA, team_id, BOB.id)
        # What a token was believed to say some seconds ago does not count.
        with pytest.raises(Refusal) as caught:
            await world.submit(core, function_id, caller=stale)
        assert caught.value.code == "FUNCTION_ACCESS_FORBIDDEN"

    async def test_only_listed_functions_run(self, world):
        mine, other = await world.function(), await world.function(public=True)
        core = await world.core(online=False, allowed_functions=[mine])
        await share(world, core)
        await world.submit(core, mine)
        for caller in (ADA, BOB):
            with pytest.raises(Refusal) as caught:
                await world.submit(core, other, caller=caller)
            assert (caught.value.status, caught.value.code) == (403, "FUNCTION_NOT_PERMITTED")
            assert other in caught.value.message


GRANTS = "/afield/v1/endpoints/{}/grants"

#: (who, method, what follows the path of grants, body) -> status, code, what the sentence names
BAD = [
    ("o", "PUT", "", {}, 400, "REQUEST_MALFORMED", "role"),
    ("o", "PUT", "", [], 400, "REQUEST_MALFORMED", "object"),
    ("o", "PUT", "", {"role": "god", "username": "stranger"}, 400, "REQUEST_MALFORMED", "god"),
    ("o", "PUT", "", {"role": "run"}, 422, "SEMANTICALLY_INVALID", "exactly one"),
    ("o", "PUT", "", {"role": "run", "username": "x", "group_id": NOWHERE}, 422, "SEMANTICALLY_INVALID", "exactly one"),
    ("o", "PUT", "", {"role": "run", "username": 7}, 400, "REQUEST_MALFORMED", "username"),
    ("o", "PUT", "", {"role": "run", "username": "nobody"}, 404, "IDENTITY_NOT_FOUND", "nobody"),
    ("o", "PUT", "", {"role": "run", "username": "a\0b"}, 404, "IDENTITY_NOT_FOUND", "afield whoami"),
    ("o", "PUT", "", {"role": "run", "username": "\ud800"}, 400, "REQUEST_MALFORMED", "body"),
    ("o", "PUT", "", {"role": "run", "identity_id": "x"}, 400, "INVALID_UUID", "x"),
    ("o", "PUT", "", {"role": "run", "identity_id": NOWHERE}, 404, "IDENTITY_NOT_FOUND", NOWHERE),
    ("o", "PUT", "", {"role": "run", "group_id": "x"}, 400, "INVALID_UUID", "x"),
    ("o", "PUT", "", {"role": "run", "group_id": NOWHERE}, 404, "GROUP_NOT_FOUND", NOWHERE),
    ("o", "PUT", "", {"role": "run", "username": "ada"}, 422, "SEMANTICALLY_INVALID", "owns"),
    ("o", "DELETE", f"/people/{NOWHERE}", None, 400, "REQUEST_MALFORMED", "identity or group"),
    ("o", "DELETE", "/identity/x", None, 400, "INVALID_UUID", "x"),
    ("o", "DELETE", f"/identity/{NOWHERE}", None, 404, "GRANT_NOT_FOUND", NOWHERE),
    ("o", "DELETE", f"/group/{NOWHERE}", None, 404, "GRANT_NOT_FOUND", NOWHERE),
    ("x", "PUT", "", {"role": "run", "username": "nobody"}, 403, "ENDPOINT_ACCESS_FORBIDDEN", "share"),
]


@pytest.mark.parametrize(("who", "method", "rest", "body", "status", "code", "named"), BAD)
async def test_bad_input_is_told(door: Door, who, method, rest, body, status, code, named):
    path = GRANTS.format(await endpoint(door.world, "private")) + rest
    got, answer = await door.ask(who, method, path, body)
    assert (got, answer["code"]) == (status, code), answer
    assert named in answer["detail"]


async def test_a_group_that_one_is_not_in_is_not_told(door: Door):
    team = await door.world.uses.teams.make(ADA, GroupWish("secret"))
    core = await door.world.core(BOB, online=False)
    with pytest.raises(Refusal) as caught:
        await door.world.uses.sharing.share(BOB, core.id, GrantWish("run", group_id=team.id))
    assert (caught.value.status, caught.value.code) == (404, "GROUP_NOT_FOUND")
    assert "secret" not in caught.value.message


async def test_a_username_of_several_must_be_named_by_id(door: Door):
    world = door.world
    twin = identity("stranger", 3)
    await world.store.people.put_identity(twin)
    path = GRANTS.format(await endpoint(world, "private"))
    status, answer = await door.ask("o", "PUT", path, {"role": "run", "username": "stranger"})
    assert (status, answer["code"]) == (409, "RESOURCE_CONFLICT")
    assert twin.id in answer["detail"]
    status, answer = await door.ask("o", "PUT", path, {"role": "run", "identity_id": twin.id})
    assert (status, answer["name"]) == (200, "stranger")
