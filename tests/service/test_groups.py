"""Groups of people: made, joined by invitation, led, left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256

import msgspec
import pytest

from afield.service.domain.caller import Caller
from afield.service.domain.people import AccountRecord, MemberRole, TicketRecord
from afield.service.domain.refusals import Refusal
from afield.wire.rest_people import GroupChange, GroupWish, InvitationWish, MemberWish

from .conftest import ADA, BOB, World, identity
from .test_access_routes import NOWHERE, PEOPLE, Door, door, put_team

__all__ = ["door"]  # a fixture

pytestmark = pytest.mark.anyio

EVE = Caller(identity("eve", 3))
DAY = 86_400.0


@pytest.fixture
async def team(world: World) -> str:
    await world.store.people.put_identity(EVE.identity)
    return (await world.uses.teams.make(ADA, GroupWish("The lab", "who works there"))).id


async def code(world: World, team_id: str, caller: Caller = ADA, **said: object) -> str:
    return (await world.uses.invitations.make(caller, team_id, InvitationWish(**said))).code


async def join(world: World, team_id: str, caller: Caller, **said: object) -> None:
    await world.uses.invitations.accept(caller, await code(world, team_id, **said))


async def members(world: World, team_id: str) -> dict[str, str]:
    return {one.username: one.role for one in (await world.uses.teams.describe(ADA, team_id)).members}


@contextmanager
def refused(status: int, code: str, match: str = ".") -> Iterator[None]:
    with pytest.raises(Refusal, match=match) as caught:
        yield
    assert (caught.value.status, caught.value.code) == (status, code)


class TestGroups:
    async def test_whoever_makes_one_manages_it(self, world, team):
        shown = await world.uses.teams.describe(ADA, team)
        assert (shown.name, shown.description, shown.role) == ("The lab", "who works there", "manager")
        assert [(one.identity_id, one.username, one.role) for one in shown.members] == [(ADA.id, "ada", "manager")]
        assert [one.id for one in (await world.uses.teams.list(ADA)).groups] == [team]
        assert (await world.uses.teams.list(BOB)).groups == []

    async def test_it_is_renamed(self, world, team):
        changed = await world.uses.teams.change(ADA, team, GroupChange(name=" Room 7 "))
        assert (changed.name, changed.description) == ("Room 7", "who works there")

    async def test_the_last_manager_stays_until_there_is_another(self, world, team):
        await join(world, team, BOB)
        for attempt in (
            world.uses.teams.remove(ADA, team, ADA.id),
            world.uses.teams.set_member(ADA, team, ADA.id, MemberWish("member")),
        ):
            with refused(409, "RESOURCE_CONFLICT", "without a manager"):
                await attempt
        await world.uses.teams.set_member(ADA, team, BOB.id, MemberWish("manager"))
        await world.uses.teams.remove(ADA, team, ADA.id)
        shown = await world.uses.teams.describe(BOB, team)
        assert [(one.username, one.role) for one in shown.members] == [("bob", "manager")]
        with refused(404, "GROUP_NOT_FOUND"):
            await world.uses.teams.describe(ADA, team)

    async def test_two_managers_who_leave_at_once_do_not_both(self, world, team):
        await join(world, team, BOB, role="manager")
        leaving = [world.uses.teams.remove(one, team, one.id) for one in (ADA, BOB)]
        ends = await asyncio.gather(*leaving, return_exceptions=True)
        assert any(isinstance(end, Refusal) for end in ends)
        left = await world.store.people.members(team)
        assert [one.role for one in left].count(MemberRole.MANAGER) >= 1

    async def test_a_member_leaves_and_only_managers_remove_others(self, world, team):
        await join(world, team, BOB)
        await join(world, team, EVE)
        with refused(403, "GROUP_ACCESS_FORBIDDEN"):
            await world.uses.teams.remove(BOB, team, EVE.id)
        await world.uses.teams.remove(BOB, team, BOB.id)
        await world.uses.teams.remove(ADA, team, EVE.id)
        assert await members(world, team) == {"ada": "manager"}
        with refused(404, "IDENTITY_NOT_FOUND"):
            await world.uses.teams.remove(ADA, team, EVE.id)

    async def test_who_is_not_in_it_is_invited_not_put_in(self, world, team):
        with refused(409, "RESOURCE_CONFLICT", "invite them"):
            await world.uses.teams.set_member(ADA, team, BOB.id, MemberWish("member"))
        operator = replace(EVE, is_admin=True)
        await world.uses.teams.set_member(operator, team, BOB.id, MemberWish("member"))
        assert await members(world, team) == {"ada": "manager", "bob": "member"}
        with refused(404, "IDENTITY_NOT_FOUND"):
            await world.uses.teams.set_member(operator, team, NOWHERE, MemberWish("member"))

    async def test_a_manager_who_administrates_puts_nobody_in_by_a_programs_token(self, world, team):
        program = replace(ADA, is_admin=True, is_program=True)
        with refused(409, "RESOURCE_CONFLICT", "invite them"):
            await world.uses.teams.set_member(program, team, BOB.id, MemberWish("member"))
        assert await members(world, team) == {"ada": "manager"}

    async def test_a_linked_identity_is_in_it_too(self, world, team):
        linked = Caller(EVE.identity, linked=(ADA.identity,))
        assert (await world.uses.teams.describe(linked, team)).role == "manager"
        assert [one.role for one in (await world.uses.teams.list(linked)).groups] == ["manager"]

    async def test_a_deleted_one_is_gone(self, world, team):
        open_code = await code(world, team)
        await world.uses.teams.delete(ADA, team)
        with refused(404, "GROUP_NOT_FOUND"):
            await world.uses.teams.describe(ADA, team)
        with refused(404, "INVITATION_NOT_FOUND"):
            await world.uses.invitations.accept(BOB, open_code)


class TestInvitations:
    async def test_a_code_lets_one_in_once(self, world, team):
        one = await code(world, team, role="manager")
        shown = await world.uses.invitations.show(one)
        assert (shown.group_name, shown.invited_by, shown.role) == ("The lab", "ada", "manager")
        joined = await world.uses.invitations.accept(BOB, one)
        assert (joined.id, joined.role) == (team, "manager")
        with refused(404, "INVITATION_NOT_FOUND"):
            await world.uses.invitations.accept(EVE, one)

    async def test_of_two_at_once_one_gets_in(self, world, team):
        one = await code(world, team)
        ends = await asyncio.gather(
            *(world.uses.invitations.accept(who, one) for who in (BOB, EVE)), return_exceptions=True
        )
        assert sorted(isinstance(end, Refusal) for end in ends) == [False, True]
        assert len(await members(world, team)) == 2

    async def test_a_command_takes_no_code_for_an_option(self, world, team):
        codes = [await code(world, team) for _ in range(400)]
        assert not [one for one in codes if one.startswith("-")]

    async def test_the_link_holds_the_code(self, world, team):
        invitation = await world.uses.invitations.make(ADA, team, InvitationWish())
        assert invitation.link == f"/afield/v1/invitations/{invitation.code}"
        assert invitation.expires_at == world.clock.now() + 7 * DAY

    async def test_it_ends_with_its_time(self, world, team):
        one = await code(world, team, lifetime_s=60)
        world.clock.advance(60)
        with refused(404, "INVITATION_NOT_FOUND"):
            await world.uses.invitations.accept(BOB, one)

    async def test_one_for_somebody_is_for_nobody_else_and_stays_good(self, world, team):
        one = await code(world, team, username="bob")
        with refused(404, "INVITATION_NOT_FOUND"):
            await world.uses.invitations.accept(EVE, one)
        await world.uses.invitations.accept(Caller(EVE.identity, linked=(BOB.identity,)), one)
        assert await members(world, team) == {"ada": "manager", "bob": "member"}

    async def test_who_is_in_it_uses_up_nothing_and_loses_nothing(self, world, team):
        one = await code(world, team)
        assert (await world.uses.invitations.accept(ADA, one)).role == "manager"
        await world.uses.invitations.accept(BOB, one)
        await join(world, team, BOB, role="manager")
        assert (await members(world, team))["bob"] == "manager"

    async def test_it_is_as_good_as_whoever_made_it(self, world, team):
        await join(world, team, BOB, role="manager")
        one = await code(world, team, BOB)
        await world.uses.teams.set_member(ADA, team, BOB.id, MemberWish("member"))
        with refused(404, "INVITATION_NOT_FOUND"):
            await world.uses.invitations.show(one)

    async def test_whoever_runs_the_service_stays_who_they_are(self, world, team):
        by_host = await code(world, team, replace(EVE, is_admin=True))
        await world.uses.invitations.accept(EVE, by_host)

    async def test_it_is_taken_back(self, world, team):
        one = await code(world, team)
        await world.uses.invitations.take_back(ADA, one)
        with refused(404, "INVITATION_NOT_FOUND"):
            await world.uses.invitations.accept(BOB, one)

    async def test_what_is_kept_opens_nothing(self, world, team):
        one = await code(world, team)
        kept = await world.store.people.ticket(sha256(one.encode()).digest())
        assert kept is not None
        assert one not in repr(kept)

    async def test_a_ticket_of_another_kind_is_no_invitation(self, world, team):
        content = {"team_id": team, "role": "manager", "invited_by": ADA.id, "by_host": True}
        await world.store.people.put_ticket(TicketRecord(sha256(b"x").digest(), "device", content, 9e9))
        with refused(404, "INVITATION_NOT_FOUND"):
            await world.uses.invitations.accept(BOB, "x")

    async def test_an_account_that_administrates_invites_while_it_does(self, world, team):
        account = AccountRecord(EVE.id, "eve", 1.0, is_admin=True)
        await world.store.people.put_account(account)
        one = await code(world, team, replace(EVE, is_admin=True))
        assert (await world.uses.invitations.show(one)).invited_by == "eve"
        assert await world.store.people.change_account(account, msgspec.structs.replace(account, is_admin=False))
        with refused(404, "INVITATION_NOT_FOUND"):
            await world.uses.invitations.accept(BOB, one)

    async def test_it_ends_with_the_identity_by_which_somebody_administrated(self, world, team):
        linked = identity("eve@elsewhere", 8)
        await world.store.people.put_identity(msgspec.structs.replace(linked, person_id="p"))
        await world.store.people.put_identity(msgspec.structs.replace(EVE.identity, person_id="p"))
        await world.store.people.put_account(AccountRecord(EVE.id, "eve", 1.0, is_admin=True))
        one = await code(world, team, Caller(linked, linked=(EVE.identity,), is_admin=True))
        await world.uses.invitations.show(one)
        await world.store.people.put_identity(linked)  # unlinked
        with refused(404, "INVITATION_NOT_FOUND"):
            await world.uses.invitations.accept(BOB, one)

    async def test_a_disabled_account_invites_nobody(self, world, team):
        account = AccountRecord(BOB.id, "bob", 1.0)
        await world.store.people.put_account(account)
        await join(world, team, BOB, role="manager")
        one = await code(world, team, BOB)
        await world.uses.invitations.show(one)
        assert await world.store.people.change_account(account, msgspec.structs.replace(account, disabled_at=2.0))
        with refused(404, "INVITATION_NOT_FOUND"):
            await world.uses.invitations.accept(EVE, one)


async def test_a_browser_is_told_what_to_do(door: Door):
    team_id = await put_team(door.world)
    one = await code(door.world, team_id)
    status, shown = await door.ask(None, "GET", f"/afield/v1/invitations/{one}")
    assert (status, shown["group_id"], shown["invited_by"]) == (200, team_id, "ada")
    status, page = await door.ask(None, "GET", f"/afield/v1/invitations/{one}", accept="text/html")
    assert status == 200
    assert f"afield group join {one}" in page.decode()
    assert "Join team?" in page.decode()


_GROUP = "/afield/v1/groups/{team}"
LONG = "x" * 201

#: (method, path, body) -> status, code, what the sentence names
BAD = [
    ("POST", "/afield/v1/groups", {}, 400, "REQUEST_MALFORMED", "name"),
    ("POST", "/afield/v1/groups", {"name": ""}, 400, "REQUEST_MALFORMED", "name"),
    ("POST", "/afield/v1/groups", {"name": "  "}, 422, "SEMANTICALLY_INVALID", "empty"),
    ("POST", "/afield/v1/groups", {"name": LONG}, 400, "REQUEST_MALFORMED", "name"),
    ("POST", "/afield/v1/groups", {"name": 7}, 400, "REQUEST_MALFORMED", "name"),
    ("POST", "/afield/v1/groups", {"name": "a\0b"}, 422, "SEMANTICALLY_INVALID", "NUL"),
    ("POST", "/afield/v1/groups", {"name": "a", "description": LONG * 10}, 400, "REQUEST_MALFORMED", "description"),
    ("POST", "/afield/v1/groups", "text", 400, "REQUEST_MALFORMED", "object"),
    ("GET", "/afield/v1/groups/x", None, 400, "INVALID_UUID", "x"),
    ("PUT", _GROUP, {"name": ""}, 400, "REQUEST_MALFORMED", "name"),
    ("PUT", _GROUP, {"name": "\t"}, 422, "SEMANTICALLY_INVALID", "empty"),
    ("PUT", _GROUP + "/members/x", {"role": "manager"}, 400, "INVALID_UUID", "x"),
    ("PUT", _GROUP + "/members/{bob}", {"role": "king"}, 400, "REQUEST_MALFORMED", "king"),
    ("PUT", _GROUP + "/members/{bob}", {}, 400, "REQUEST_MALFORMED", "role"),
    ("DELETE", _GROUP + "/members/x", None, 400, "INVALID_UUID", "x"),
    ("POST", _GROUP + "/invitations", {"role": "king"}, 400, "REQUEST_MALFORMED", "king"),
    ("POST", _GROUP + "/invitations", {"username": "nobody"}, 404, "IDENTITY_NOT_FOUND", "nobody"),
    ("POST", _GROUP + "/invitations", {"lifetime_s": 59}, 400, "REQUEST_MALFORMED", "lifetime_s"),
    ("POST", _GROUP + "/invitations", {"lifetime_s": 91 * DAY}, 400, "REQUEST_MALFORMED", "lifetime_s"),
    ("POST", _GROUP + "/invitations", {"lifetime_s": "soon"}, 400, "REQUEST_MALFORMED", "lifetime_s"),
    ("POST", "/afield/v1/invitations", {}, 400, "REQUEST_MALFORMED", "code"),
    ("POST", "/afield/v1/invitations", {"code": ""}, 404, "INVITATION_NOT_FOUND", "no such invitation"),
    ("POST", "/afield/v1/invitations", {"code": "a\0b" * 9_000}, 404, "INVITATION_NOT_FOUND", "no such invitation"),
    ("GET", "/afield/v1/invitations/x", None, 404, "INVITATION_NOT_FOUND", "no such invitation"),
    ("DELETE", "/afield/v1/invitations/x", None, 404, "INVITATION_NOT_FOUND", "no such invitation"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "code", "named"), BAD)
async def test_bad_input_is_told(door: Door, method, path, body, status, code, named):
    path = path.format(team=await put_team(door.world), bob=PEOPLE["t"].id)
    got, answer = await door.ask("o", method, path, body)
    assert (got, answer["code"]) == (status, code), answer
    assert named in answer["detail"]
