"""Local accounts, as those who administrate the service make, change and end them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from afield.ids import new_id
from afield.service.auth.oauth.login import WrongLogin
from afield.service.auth.oauth.server import OAuth
from afield.service.auth.tokens import BearerTokens
from afield.service.clock import HandClock
from afield.service.domain.accounts import account_name
from afield.service.domain.caller import Caller
from afield.service.domain.people import ClientRecord, IdentityRecord, LinkRecord, TokenKind
from afield.service.domain.refusals import Refusal
from afield.service.settings import SignIn
from afield.service.store.memory import MemoryStore
from afield.service.use.people.accounts import Accounts
from afield.service.use.people.forget import ForgetExpired
from afield.wire.rest_accounts import AccountChange, AccountWish, OutsideIdentity, PasswordWish

pytestmark = pytest.mark.anyio

PASSWORD = "four words are plenty"
OUTSIDE = OutsideIdentity("https://idp.example.org", "subject-7")


def somebody(name: str, **more: Any) -> Caller:
    return Caller(IdentityRecord(new_id(), name, name, "", 1.0), **more)


#: Hashing that is as slow as it should be would take most of the time of these tests.
QUICK = SignIn(password_memory_kib=64, password_rounds=1)
OPERATOR, STRANGER = somebody("operator", is_admin=True), somebody("stranger")


class Place:
    """A service's accounts, and the doors to it."""

    def __init__(self) -> None:
        self.store, self.clock = MemoryStore(), HandClock(1_000_000.0)
        self.people = self.store.people
        self.tokens = BearerTokens(self.store, self.clock)
        self.oauth = OAuth(self.store, self.clock, self.tokens, secret=b"s" * 32, times=QUICK)
        self.accounts = Accounts(self.store, self.oauth, self.clock)

    async def make(self, username: str = "ada", **said: Any) -> str:
        wish = AccountWish(username, **({"password": PASSWORD} | said))
        return (await self.accounts.make(OPERATOR, wish)).account.id

    async def log_in(self, username: str = "ada", password: str = PASSWORD) -> IdentityRecord:
        return await self.oauth.login.log_in(username, password, "127.0.0.1")

    async def token(self, identity_id: str, kind: TokenKind = TokenKind.ACCESS, **more: Any) -> str:
        return await self.tokens.issue(identity_id, "laptop", kind=kind, **more)

    async def who(self, token: str) -> Caller | None:
        return await self.tokens.authenticate(f"Bearer {token}")


@pytest.fixture
def place() -> Place:
    return Place()


def no(status: int, words: str = "") -> Any:
    return pytest.raises(Refusal, match=rf"{words}.*\({status} ")


# -- make ------------------------------------------------------------------------------------------------------------


async def test_an_account_with_a_password_is_somebody_who_can_log_in(place: Place) -> None:
    made = await place.accounts.make(
        OPERATOR, AccountWish("Ada@Example.org ", "Ada Lovelace", "ada@example.org", "Example", PASSWORD)
    )
    assert made.link is None
    assert (made.account.username, made.account.name, made.account.has_password) == (
        "ada@example.org", "Ada Lovelace", True,
    )  # fmt: skip
    who = await place.log_in("ADA@example.org")
    assert (who.id, who.provider, who.organization) == (made.account.id, "local", "Example")
    assert await place.people.identities_named(["ada@example.org"]) == [who]
    kept = await place.people.account("ada@example.org")
    assert kept is not None
    assert kept.password is not None
    assert kept.password.startswith("$argon2id$")


async def test_without_a_password_the_owner_sets_one_by_a_link_once(place: Place) -> None:
    made = await place.accounts.make(OPERATOR, AccountWish("ada"))
    assert made.link is not None
    assert made.link_expires_at is not None
    assert made.link_expires_at > place.clock.now()
    assert not made.account.has_password
    with pytest.raises(WrongLogin):
        await place.log_in("ada", "")
    assert await place.oauth.invitations.set_password(made.link, PASSWORD) is not None
    assert (await place.log_in()).id == made.account.id
    assert await place.oauth.invitations.set_password(made.link, "another four words") is None


async def test_a_name_is_taken_once(place: Place) -> None:
    wishes = [place.make(name, password=None) for name in ("ada", "Ada", "\uff21\uff24\uff21", "bob")]
    outcomes = await asyncio.gather(*wishes, return_exceptions=True)
    assert [getattr(one, "status", 200) for one in outcomes] == [200, 409, 409, 200]
    assert len(await place.people.identities_named(["ada"])) == 1
    assert [one.username for one in (await place.accounts.list(OPERATOR)).accounts] == ["ada", "bob"]
    assert [one.username for one in (await place.accounts.list(OPERATOR, "BOB")).accounts] == ["bob"]
    assert (await place.accounts.list(OPERATOR, "a\0")).accounts == []


@pytest.mark.parametrize("name", ["", " ", "-rf", "a b", "a/b", "a\0", "ada?", "../x", "\ud800", "a" * 201, "a\u202eb"])
async def test_what_is_no_username_is_refused(name: str, place: Place) -> None:
    with no(422, "cannot be a username"):
        await place.make(name)
    assert (await place.accounts.list(OPERATOR)).accounts == []


@pytest.mark.parametrize(
    ("written", "kept"), [("  Zoé ", "zoé"), ("Zoe\u0301", "zoé"), ("X+1_a.b-c@d.e", "x+1_a.b-c@d.e")]
)
def test_a_username_has_one_form(written: str, kept: str) -> None:
    assert account_name(written) == kept
    assert account_name(kept) == kept


@pytest.mark.parametrize("password", ["short", "a" * 20, "averylongusername", "x" * 1001])
async def test_a_password_that_nobody_should_have_is_refused(password: str, place: Place) -> None:
    with no(422, "password"):
        await place.make("averylongusername", password=password)
    account_id = await place.make("averylongusername")
    with no(422, "password"):
        await place.accounts.reset_password(OPERATOR, account_id, PasswordWish(password))
    await place.log_in("averylongusername")


async def test_only_operators_may(place: Place) -> None:
    account_id = await place.make()
    owner = Caller((await place.people.identities([account_id]))[account_id])
    assert (await place.accounts.describe(owner, account_id)).username == "ada"
    for caller, status in ((owner, 403), (STRANGER, 404)):
        for asked in (
            place.accounts.change(caller, account_id, AccountChange(is_admin=True)),
            place.accounts.reset_password(caller, account_id, PasswordWish()),
            place.accounts.link(caller, account_id, OUTSIDE),
            place.accounts.unlink(caller, account_id, OUTSIDE),
        ):
            with no(status):
                await asked
        for asked in (place.accounts.list(caller), place.accounts.make(caller, AccountWish("bob"))):
            with no(403):
                await asked
    with no(404):
        await place.accounts.describe(STRANGER, account_id)
    with no(404):
        await place.accounts.describe(OPERATOR, new_id())
    await place.log_in()


# -- disable and enable ----------------------------------------------------------------------------------------------


async def test_a_disabled_account_lets_nobody_in_at_once(place: Place) -> None:
    account_id = await place.make()
    tokens = [await place.token(account_id, kind) for kind in (TokenKind.ACCESS, TokenKind.PERSONAL)]
    assert [(await place.who(token)) is not None for token in tokens] == [True, True]
    shown = await place.accounts.change(OPERATOR, account_id, AccountChange(disabled=True))
    assert shown.disabled_at == place.clock.now()
    assert [await place.who(token) for token in tokens] == [None, None]
    assert await place.people.tokens_of(account_id) == []
    with pytest.raises(WrongLogin):
        await place.log_in()
    place.clock.advance(10)
    again = await place.accounts.change(OPERATOR, account_id, AccountChange(disabled=True))
    assert again.disabled_at == shown.disabled_at
    with no(409, "disabled"):
        await place.accounts.reset_password(OPERATOR, account_id, PasswordWish())
    enabled = await place.accounts.change(OPERATOR, account_id, AccountChange(disabled=False))
    assert enabled.disabled_at is None
    assert (await place.log_in()).id == account_id
    assert [await place.who(token) for token in tokens] == [None, None]


async def test_who_came_in_as_another_identity_of_theirs_is_shut_out_too(place: Place) -> None:
    account_id = await place.make()
    outside = IdentityRecord(new_id(), "ada@lab", "Ada", "", 1.0, "https://lab.example.org", person_id=account_id)
    mine = await place.people.identity(account_id)
    assert mine is not None
    for identity in (outside, msgspec.structs.replace(mine, person_id=account_id)):
        await place.people.put_identity(identity)
    token = await place.token(outside.id)
    browser = await place.oauth.browsers.log_in(await place.oauth.browsers.look(None), outside)
    assert await place.who(token) is not None
    account = await place.people.account_of(account_id)
    assert account is not None
    await place.people.put_account(msgspec.structs.replace(account, disabled_at=2.0))
    await place.tokens.doubt()
    assert await place.who(token) is None
    assert (await place.oauth.browsers.look(browser.value)).person is None
    await place.people.put_account(account)
    await place.accounts.change(OPERATOR, account_id, AccountChange(disabled=True))
    assert await place.people.tokens_of(outside.id) == [], "and gets nothing back with the account"


async def test_the_clients_of_a_disabled_account_end_with_it_and_come_back(place: Place) -> None:
    account_id = await place.make()
    robot, retired = ClientRecord(new_id(), "robot", account_id, 1.0), ClientRecord(new_id(), "old", account_id, 2.0)
    for client in (robot, msgspec.structs.replace(retired, disabled_at=5.0)):
        await place.people.put_client(client)
    await place.people.put_identity(IdentityRecord(robot.id, "robot", "robot", "", 1.0, "client"))
    its_own = await place.token(robot.id, client_id=robot.id)
    assert await place.who(its_own) is not None
    await place.accounts.change(OPERATOR, account_id, AccountChange(disabled=True))
    assert await place.who(its_own) is None
    assert [client.disabled_at is None for client in await place.people.clients_of(account_id)] == [False, False]
    await place.accounts.change(OPERATOR, account_id, AccountChange(disabled=False))
    assert [client.disabled_at for client in await place.people.clients_of(account_id)] == [None, 5.0]


@pytest.mark.parametrize("disabled", [True, False])
async def test_a_client_that_is_deleted_while_its_account_is_changed_stays_deleted(place: Place, disabled) -> None:
    account_id = await place.make()
    robot = ClientRecord(new_id(), "robot", account_id, 1.0)
    await place.people.put_client(robot)
    if not disabled:
        await place.accounts.change(OPERATOR, account_id, AccountChange(disabled=True))
    clients_of = place.people.clients_of

    async def and_then_it_is_gone(owner_id: str) -> list[ClientRecord]:
        found = await clients_of(owner_id)
        await place.people.delete_client(robot.id)
        return found

    place.people.clients_of = and_then_it_is_gone  # type: ignore[method-assign]
    await place.accounts.change(OPERATOR, account_id, AccountChange(disabled=disabled))
    assert await place.people.client(robot.id) is None


async def test_nobody_locks_themselves_out(place: Place) -> None:
    account_id = await place.make(is_admin=True)
    me = replace(Caller(await place.log_in()), is_admin=True)
    for wish in (AccountChange(disabled=True), AccountChange(is_admin=False)):
        with no(409, "your own account"):
            await place.accounts.change(me, account_id, wish)
    assert (await place.accounts.change(me, account_id, AccountChange(name="Ada"))).name == "Ada"
    assert (await place.accounts.change(OPERATOR, account_id, AccountChange(is_admin=False))).is_admin is False


async def test_who_is_made_an_operator_is_one_at_once(place: Place) -> None:
    account_id = await place.make()
    token = await place.token(account_id)
    for is_admin in (False, True, False):
        await place.accounts.change(OPERATOR, account_id, AccountChange(is_admin=is_admin))
        caller = await place.who(token)
        assert caller is not None
        assert caller.is_admin is is_admin


async def test_two_changes_at_once_both_stay(place: Place) -> None:
    account_id = await place.make()
    await asyncio.gather(
        place.accounts.change(OPERATOR, account_id, AccountChange(disabled=True)),
        place.accounts.change(OPERATOR, account_id, AccountChange(is_admin=True)),
    )
    account = await place.people.account("ada")
    assert account is not None
    assert (account.is_admin, account.disabled_at) == (True, place.clock.now())


# -- passwords -------------------------------------------------------------------------------------------------------


async def test_a_forgotten_password_is_set_anew_by_a_link(place: Place) -> None:
    account_id = await place.make()
    token = await place.token(account_id)
    made = await place.accounts.reset_password(OPERATOR, account_id, PasswordWish())
    with pytest.raises(WrongLogin):
        await place.log_in()
    assert made.link is not None
    await place.oauth.invitations.set_password(made.link, "another four words")
    await place.log_in("ada", "another four words")
    assert await place.who(token) is not None, "what runs with a token goes on"


async def test_a_stolen_password_is_replaced_and_everybody_logged_out(place: Place) -> None:
    account_id = await place.make()
    token = await place.token(account_id, TokenKind.REFRESH)
    made = await place.accounts.reset_password(OPERATOR, account_id, PasswordWish("another four words", log_out=True))
    assert made.link is None
    assert await place.who(token) is None
    assert await place.people.tokens_of(account_id) == []
    with pytest.raises(WrongLogin):
        await place.log_in()
    await place.log_in("ada", "another four words")


# -- identities elsewhere --------------------------------------------------------------------------------------------


async def test_somebody_elsewhere_is_linked_and_unlinked(place: Place) -> None:
    account_id, other_id = await place.make(), await place.make("bob")
    for _ in range(2):
        shown = await place.accounts.link(OPERATOR, account_id, OUTSIDE)
        assert shown.outside == [OUTSIDE]
    link = await place.people.link(OUTSIDE.issuer, OUTSIDE.subject)
    assert link is not None
    assert link.identity_id == account_id
    with no(409, "has an account"):
        await place.accounts.link(OPERATOR, other_id, OUTSIDE)
    with no(404, "not linked"):
        await place.accounts.unlink(OPERATOR, other_id, OUTSIDE)
    token = await place.token(account_id)
    assert (await place.accounts.unlink(OPERATOR, account_id, OUTSIDE)).outside == []
    assert await place.people.link(OUTSIDE.issuer, OUTSIDE.subject) is None
    assert await place.who(token) is None
    with no(404, "not linked"):
        await place.accounts.unlink(OPERATOR, account_id, OUTSIDE)


async def test_who_came_in_by_themselves_before_becomes_the_same_person(place: Place) -> None:
    account_id = await place.make()
    outside = IdentityRecord(new_id(), "ada@idp", "Ada", "", 2.0, OUTSIDE.issuer)
    await place.people.put_identity(outside)
    await place.people.put_link(LinkRecord(OUTSIDE.issuer, OUTSIDE.subject, outside.id, 2.0))
    token = await place.token(outside.id)
    assert (await place.accounts.link(OPERATOR, account_id, OUTSIDE)).outside == [OUTSIDE]
    caller = await place.who(token)
    assert caller is not None
    assert caller.is_one_of(account_id)
    another_id = await place.make("bob")
    with no(409, "other identities"):
        await place.accounts.link(OPERATOR, another_id, OUTSIDE)
    await place.accounts.unlink(OPERATOR, account_id, OUTSIDE)
    assert await place.who(token) is None
    caller = await place.who(await place.token(outside.id))
    assert caller is not None
    assert not caller.is_one_of(account_id)
    assert await place.people.link(OUTSIDE.issuer, OUTSIDE.subject) is not None


# -- in the course of time -------------------------------------------------------------------------------------------


async def test_what_expired_is_forgotten_and_nothing_else(place: Place) -> None:
    forget = ForgetExpired(place.people, place.clock)
    account_id = await place.make()
    short, long = [await place.token(account_id, TokenKind.PERSONAL, lifetime_s=one) for one in (60.0, 3600.0)]
    made = await place.accounts.make(OPERATOR, AccountWish("bob"))
    await forget()
    assert len(await place.people.tokens_of(account_id)) == 2
    place.clock.advance(100)
    await forget()
    assert [token.expires_at for token in await place.people.tokens_of(account_id)] == [1_003_600.0]
    assert (await place.who(short), await place.who(long) is not None) == (None, True)
    assert made.link is not None
    assert await place.oauth.invitations.account(made.link) is not None
