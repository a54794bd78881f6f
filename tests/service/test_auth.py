"""Who is asking: tokens for people, logins for queues, and what a service makes for itself."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Collection
from hashlib import sha256

import pytest

from afield.errors import DataDirectoryError
from afield.service.auth import tokens as tokens_module
from afield.service.auth.local import local_owner, service_secret
from afield.service.auth.queue_logins import QueueLogins, is_current
from afield.service.auth.tokens import BearerTokens, digest_of
from afield.service.clock import HandClock
from afield.service.domain.names import ClientLogin, CoreLogin, UserLogin, parse_login
from afield.service.domain.people import AccountRecord, ClientRecord, IdentityRecord, TokenKind
from afield.service.domain.records import EndpointRecord, UserEndpointRecord
from afield.service.store.memory import MemoryStore
from afield.service.together.memory import MemoryReplica, Table

pytestmark = pytest.mark.anyio

ADA = IdentityRecord("a0000000-0000-4000-8000-000000000000", "ada", "Ada", "ada@example.org", 0.0)


class TestTokens:
    @pytest.fixture
    async def store(self) -> MemoryStore:
        store = MemoryStore()
        await store.people.put_identity(ADA)
        return store

    @pytest.fixture
    def clock(self) -> HandClock:
        return HandClock()

    @pytest.fixture
    def tokens(self, store, clock) -> BearerTokens:
        return BearerTokens(store, clock)

    async def test_its_holder_is_known(self, tokens):
        token = await tokens.issue(ADA.id, "laptop", kind=TokenKind.SERVICE)
        for scheme in ("Bearer", "bearer", "BEARER"):
            caller = await tokens.authenticate(f"{scheme} {token}")
            assert caller is not None
            assert caller.identity == ADA

    @pytest.mark.parametrize(
        "header", [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic YTpi", "wrong", "Bearer ä€"]
    )
    async def test_nobody_else_is(self, tokens, header):
        await tokens.issue(ADA.id, "laptop", kind=TokenKind.SERVICE)
        assert await tokens.authenticate(header) is None

    async def test_only_its_hash_is_kept(self, tokens, store):
        token = await tokens.issue(ADA.id, "laptop", kind=TokenKind.SERVICE)
        kept = await store.people.token(sha256(token.encode()).digest())
        assert kept is not None
        assert token not in repr(kept)

    async def test_tokens_differ(self, tokens):
        assert await tokens.issue(ADA.id, "a", kind=TokenKind.SERVICE) != await tokens.issue(
            ADA.id, "a", kind=TokenKind.SERVICE
        )

    async def test_it_expires(self, tokens, clock):
        token = await tokens.issue(ADA.id, "laptop", 10, kind=TokenKind.SERVICE)
        assert await tokens.authenticate(f"Bearer {token}")
        clock.advance(9.9)
        assert await tokens.authenticate(f"Bearer {token}")
        clock.advance(0.1)
        assert await tokens.authenticate(f"Bearer {token}") is None

    async def test_it_can_be_prolonged(self, tokens, clock):
        token = await tokens.issue(ADA.id, "laptop", 10, kind=TokenKind.SERVICE)
        await tokens.prolong(token, 100)
        clock.advance(99)
        assert await tokens.authenticate(f"Bearer {token}")
        await tokens.prolong("unknown", 100)
        assert await tokens.authenticate("Bearer unknown") is None

    async def test_it_is_revoked_at_once_here(self, tokens):
        token = await tokens.issue(ADA.id, "laptop", kind=TokenKind.SERVICE)
        await tokens.authenticate(f"Bearer {token}")
        await tokens.revoke(token)
        assert await tokens.authenticate(f"Bearer {token}") is None

    @pytest.fixture
    async def replicas(self) -> tuple[MemoryReplica, MemoryReplica]:
        table = Table()
        both = MemoryReplica(table), MemoryReplica(table)
        for each in both:
            await each.open()
        return both

    @pytest.mark.parametrize("way", ["token", "identity", "doubt"])
    async def test_it_is_refused_elsewhere_at_the_news(self, store, clock, replicas, way):
        here, elsewhere = (BearerTokens(store, clock, each) for each in replicas)
        heard = asyncio.Event()
        replicas[1].listen("doubt", lambda _: heard.set())
        token = await here.issue(ADA.id, "laptop", kind=TokenKind.PERSONAL)
        assert await elsewhere.authenticate(f"Bearer {token}") is not None
        if way == "token":
            await here.revoke(token)
        elif way == "identity":
            await here.revoke_all(identity_id=ADA.id)
        else:
            account = AccountRecord(ADA.id, "ada", 1.0, disabled_at=2.0)
            await store.people.put_account(account)
            await here.doubt()
        await heard.wait()
        assert await elsewhere.authenticate(f"Bearer {token}") is None

    async def test_others_are_believed_on_when_one_is_revoked(self, store, clock, replicas):
        here, elsewhere = (BearerTokens(store, clock, each) for each in replicas)
        heard = asyncio.Event()
        replicas[1].listen("doubt", lambda _: heard.set())
        token, other = [await here.issue(ADA.id, one, kind=TokenKind.PERSONAL) for one in ("laptop", "robot")]
        for each in (token, other):
            assert await elsewhere.authenticate(f"Bearer {each}") is not None
        await here.revoke(other)
        await heard.wait()
        await store.people.delete_token(digest_of(token))  # past all services
        assert await elsewhere.authenticate(f"Bearer {token}") is not None
        assert await elsewhere.authenticate(f"Bearer {other}") is None
        clock.advance(5)
        assert await elsewhere.authenticate(f"Bearer {token}") is None

    async def test_who_hears_nothing_believes_nothing_and_looks_again_afterwards(self, store, clock, replicas):
        here, elsewhere = (BearerTokens(store, clock, each) for each in replicas)
        first, second = [await here.issue(ADA.id, one, kind=TokenKind.PERSONAL) for one in ("laptop", "robot")]
        for each in (first, second):
            assert await elsewhere.authenticate(f"Bearer {each}") is not None
        replicas[1].go_deaf()
        await here.revoke(first)
        assert await elsewhere.authenticate(f"Bearer {first}") is None
        assert await elsewhere.authenticate(f"Bearer {second}") is not None
        await here.revoke(second)
        replicas[1].hear_again()
        assert await elsewhere.authenticate(f"Bearer {second}") is None

    async def test_who_can_tell_nobody_answers_when_nobody_believes_any_more(self, store, clock, monkeypatch):
        class Mute(MemoryReplica):
            async def all_said(self) -> None:
                await asyncio.Event().wait()

        monkeypatch.setattr(tokens_module, "_BELIEVED_S", 0.01)
        here = BearerTokens(store, clock, Mute(Table()))
        token = await here.issue(ADA.id, "laptop", kind=TokenKind.PERSONAL)
        await here.revoke(token)
        assert await here.authenticate(f"Bearer {token}") is None


class TestQueueLogins:
    core = EndpointRecord("c0000000-0000-4000-8000-000000000000", ADA.id, "e", 0.0, generation=3)
    user = UserEndpointRecord("d0000000-0000-4000-8000-000000000000", core.id, ADA.id, 0.0, generation=2)
    core_login, user_login, client_login = CoreLogin(core.id, 3), UserLogin(user.id, 2), ClientLogin(ADA.id, 1010)

    @pytest.fixture
    async def store(self) -> MemoryStore:
        store = MemoryStore()
        await store.put_endpoint(self.core)
        await store.put_user_endpoint(self.user)
        return store

    @pytest.fixture
    def clock(self) -> HandClock:
        return HandClock(1000.0)

    @pytest.fixture
    def logins(self, store, clock) -> QueueLogins:
        logins = QueueLogins(b"k" * 32, store, store.people, clock)
        logins.reach("::1", 5672)
        return logins

    @staticmethod
    def parts(url: str) -> tuple[str, str]:
        name, _, password = url.removeprefix("amqp://").partition("@")[0].partition(":")
        return name, password

    async def test_all_kinds_get_in(self, logins):
        for url in (logins.url(self.core_login), logins.url(self.user_login), logins.url(self.client_login)):
            name, password = self.parts(url)
            assert url == f"amqp://{name}:{password}@[::1]:5672/%2F"
            permissions = await logins.authenticate(name, password)
            assert permissions is not None
            assert permissions.name == name

    async def test_a_password_is_for_one_name(self, logins):
        name, password = self.parts(logins.url(self.core_login))
        other, _ = self.parts(logins.url(self.user_login))
        assert await logins.authenticate(other, password) is None
        for wrong in ("", password[:-1], password.upper(), "ä€\udc80"):
            assert await logins.authenticate(name, wrong) is None
            assert await logins.authenticate("ä€\udc80", wrong) is None

    async def test_a_service_with_another_secret_lets_nobody_in(self, logins, store, clock):
        stranger = QueueLogins(b"x" * 32, store, store.people, clock)
        assert await stranger.authenticate(*self.parts(logins.url(self.core_login))) is None

    @pytest.mark.parametrize(
        "login",
        [CoreLogin(core.id, 2), CoreLogin(core.id, 4), UserLogin(user.id, 1), UserLogin(core.id, 3), CoreLogin("x", 1)],
    )
    async def test_other_generations_and_unknown_ones_are_refused(self, logins, login):
        assert await logins.authenticate(*self.parts(logins.url(login))) is None

    @pytest.mark.parametrize(
        ("login", "now", "or_later"),
        [
            (CoreLogin(core.id, 2), False, False),
            (CoreLogin(core.id, 3), True, True),
            (CoreLogin(core.id, 4), False, True),
            (UserLogin(user.id, 1), False, False),
            (UserLogin(user.id, 3), False, True),
            (UserLogin("x", 3), False, False),
        ],
    )
    async def test_who_tidies_up_spares_what_another_replica_made_a_moment_ago(self, store, login, now, or_later):
        assert await is_current(login, store, 1000.0) is now
        assert await is_current(login, store, 1000.0, or_later=True) is or_later

    async def test_a_user_endpoint_goes_with_its_core_endpoint(self, logins, store):
        await store.delete_endpoint(self.core.id, 0.0)
        await store.put_user_endpoint(self.user)  # left behind
        assert await logins.authenticate(*self.parts(logins.url(self.user_login))) is None

    async def test_a_client_connects_until_its_time_is_over(self, logins, clock):
        name, password = self.parts(logins.url(self.client_login))
        assert name == ClientLogin(ADA.id, 1010).name
        clock.advance(9)
        assert await logins.authenticate(name, password)
        clock.advance(1)
        assert await logins.authenticate(name, password) is None

    async def test_none_of_theirs_lets_in_while_an_account_is_disabled(self, logins, store):
        guests = UserEndpointRecord("e0000000-0000-4000-8000-000000000000", self.core.id, "guest", 0.0, generation=1)
        await store.put_user_endpoint(guests)
        mine = [self.parts(logins.url(one)) for one in (self.core_login, self.user_login, self.client_login)]
        mine.append(self.parts(logins.url(UserLogin(guests.id, 1))))  # its process runs on my machine
        for disabled_at, is_let_in in ((None, True), (5.0, False), (None, True)):
            await store.people.put_account(AccountRecord(ADA.id, "ada", 1.0, disabled_at=disabled_at), ADA)
            assert [await logins.authenticate(*one) is not None for one in mine] == [is_let_in] * 4

    async def test_a_client_that_is_deleted_is_not_let_in(self, logins, store):
        robot = ClientRecord("f0000000-0000-4000-8000-000000000000", "robot", ADA.id, 1.0)
        await store.people.put_client(robot)
        await store.people.put_identity(IdentityRecord(robot.id, "robot", "robot", "", 1.0, "client"))
        login = self.parts(logins.url(ClientLogin(robot.id, 1010)))
        assert await logins.authenticate(*login)
        await store.people.delete_client(robot.id)
        assert await logins.authenticate(*login) is None

    @pytest.mark.parametrize("family", [None, "one login"])
    async def test_a_clients_ends_with_the_token_by_which_it_was_asked_for(self, logins, store, clock, family):
        await store.people.put_identity(ADA)
        tokens = BearerTokens(store, clock)
        token = await tokens.issue(ADA.id, "laptop", 60, kind=TokenKind.ACCESS, family=family)
        caller = await tokens.authenticate(f"Bearer {token}")
        assert caller is not None
        login = ClientLogin(ADA.id, 1010, caller.proof)
        assert parse_login(login.name) == login
        assert token not in login.name
        assert await logins.authenticate(*self.parts(logins.url(login)))
        assert await logins.authenticate(*self.parts(logins.url(ClientLogin(ADA.id, 1010, "0" * 16)))) is None
        ended: list[str] = []

        async def hear(proofs: Collection[str]) -> None:
            ended.extend(proofs)

        tokens.ended = hear
        await tokens.issue(ADA.id, "another", 60, kind=TokenKind.ACCESS)
        await (tokens.revoke(token) if family is None else tokens.revoke_all(family=family))
        assert ended == [caller.proof]
        assert await logins.authenticate(*self.parts(logins.url(login))) is None

    async def test_a_right_password_for_a_name_that_is_no_login_is_refused(self, logins):
        class Odd:
            name = "guest"

        assert await logins.authenticate(*self.parts(logins.url(Odd()))) is None


class TestSecret:
    def test_it_is_made_once_for_its_owner_only(self, tmp_path):
        os.umask(os.umask(0o022))
        secret = service_secret(tmp_path)
        assert len(secret) == 32
        assert service_secret(tmp_path) == secret
        assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
        assert [path.name for path in tmp_path.iterdir()] == ["secret"]

    def test_two_services_have_two(self, tmp_path):
        for name in "ab":
            (tmp_path / name).mkdir()
        assert service_secret(tmp_path / "a") != service_secret(tmp_path / "b")

    @pytest.mark.parametrize("text", ["", "not hex", "abcd"])
    def test_a_damaged_one_is_told_and_left_alone(self, tmp_path, text):
        path = tmp_path / "secret"
        path.write_text(text)
        with pytest.raises(DataDirectoryError, match=str(path)):
            service_secret(tmp_path)
        assert path.read_text() == text

    def test_the_owner_follows_from_it(self):
        one, again, other = local_owner(b"1" * 32, 1.0), local_owner(b"1" * 32, 2.0), local_owner(b"2" * 32, 1.0)
        assert one.id == again.id != other.id
        assert one.username
        assert "@" in one.email
