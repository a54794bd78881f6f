"""Keys take turns, are kept closed, and the one that signs stands first."""

from __future__ import annotations

import itertools

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from afield.errors import ConfigurationError
from afield.service.app import Service
from afield.service.auth.oauth.keys import AHEAD_S, SIGNS_S, VERIFIES_S, SigningKeys, plan
from afield.service.clock import HandClock
from afield.service.domain.people import KeyRecord
from afield.service.settings import Settings
from afield.service.store.memory import MemoryStore

pytestmark = pytest.mark.anyio

DAY = 86_400.0


def key(name: str, created_at: float, retired_at: float | None = None) -> KeyRecord:
    return KeyRecord(name, created_at, "{}", b"", retired_at)


def names(keys) -> str:
    return "".join(one.id for one in keys)


class TestThePlan:
    async def test_without_any_one_is_made_and_signs_at_once(self):
        assert plan([], 0.0).is_one_needed
        found = plan([key("a", 0.0)], 0.0)
        assert (found.signs.id, names(found.listed), found.is_one_needed) == ("a", "a", False)

    async def test_the_next_one_is_known_before_it_signs(self):
        assert plan([key("a", 0.0)], SIGNS_S).is_one_needed
        both = [key("a", 0.0), key("b", SIGNS_S)]
        assert names(plan(both, SIGNS_S + AHEAD_S - 1).listed) == "ab"
        found = plan(both, SIGNS_S + AHEAD_S)
        assert (found.signs.id, names(found.listed), names(found.retired)) == ("b", "ba", "a")

    async def test_one_that_signs_no_more_verifies_a_while_and_goes(self):
        both = [key("a", 0.0, retired_at=100 * DAY), key("b", 90 * DAY)]
        assert names(plan(both, 100 * DAY + VERIFIES_S - 1).listed) == "ba"
        found = plan(both, 100 * DAY + VERIFIES_S)
        assert (names(found.listed), names(found.gone)) == ("b", "a")

    async def test_of_two_that_replicas_made_together_all_take_the_first(self):
        for one, two in itertools.permutations([key("a", 0.0), key("b", 2.0)]):
            for now in (2.0, AHEAD_S, AHEAD_S + 1, AHEAD_S + 2, AHEAD_S + 3, SIGNS_S):
                assert plan([one, two], now).signs.id == "a"

    async def test_over_years_there_is_always_one_and_the_list_does_not_grow(self):
        keys: list[KeyRecord] = []
        signed = set()
        for day in range(1000):
            now = day * DAY
            found = plan(keys, now)
            if found.is_one_needed:
                keys.append(key(f"k{day}", now))
                found = plan(keys, now)
            keys = [one for one in keys if one not in found.gone]
            keys = [key(one.id, one.created_at, now) if one in found.retired else one for one in keys]
            signed.add(found.signs.id)
            assert found.listed[0] == found.signs
            assert len(found.listed) <= 2
        assert len(signed) >= 10


class TestKeys:
    async def test_what_they_sign_the_list_verifies_now_and_after_a_turn(self):
        store, clock = MemoryStore(), HandClock()
        keys = SigningKeys(store.people, clock, b"s" * 32)
        token = await keys.sign({"sub": "a"})
        listed = await keys.listed()
        assert jwt.decode(token, RSAKey.import_key(listed["keys"][0]), algorithms=["RS256"]).claims == {"sub": "a"}
        clock.advance(SIGNS_S)
        await keys.listed()
        clock.advance(AHEAD_S)
        later = await keys.listed()
        assert later["keys"][0]["kid"] != listed["keys"][0]["kid"]
        assert jwt.decode(token, KeySet.import_key_set(later), algorithms=["RS256"]).claims == {"sub": "a"}
        newer = await keys.sign({"sub": "b"})
        assert jwt.decode(newer, RSAKey.import_key(later["keys"][0]), algorithms=["RS256"]).claims == {"sub": "b"}
        clock.advance(VERIFIES_S)
        assert len((await keys.listed())["keys"]) == 1

    async def test_another_process_with_the_secret_uses_the_same(self):
        store, clock = MemoryStore(), HandClock()
        one = await SigningKeys(store.people, clock, b"s" * 32).listed()
        assert await SigningKeys(store.people, clock, b"s" * 32).listed() == one

    async def test_without_the_secret_they_are_closed_and_others_are_made(self):
        store, clock = MemoryStore(), HandClock()
        one = await SigningKeys(store.people, clock, b"s" * 32).listed()
        [kept] = await store.people.keys()
        assert b'"d"' not in kept.private
        other = await SigningKeys(store.people, clock, b"x" * 32).listed()
        assert other["keys"][0]["kid"] != one["keys"][0]["kid"]

    async def test_nothing_private_is_listed(self):
        listed = await SigningKeys(MemoryStore().people, HandClock(), b"s" * 32).listed()
        [one] = listed["keys"]
        assert set(one) == {"kty", "n", "e", "kid", "use", "alg"}
        assert (one["kty"], one["alg"]) == ("RSA", "RS256")


async def test_a_start_makes_none(site):
    """Signing in costs nothing where nobody signs in."""
    assert await site.store.people.keys() == []
    said = (await site.http.get("/jwk.json")).json()
    assert len(said["keys"]) == 1


@pytest.mark.parametrize(
    "url", ["compute.example.org", "ftp://x.org", "https://", "https://x.org/below", "https://x.org?a"]
)
async def test_a_public_url_that_is_none_is_told(tmp_path, url):
    with pytest.raises(ConfigurationError, match="--public-url"):
        await Service().start(Settings(data_dir=tmp_path / "data", port=0, amqp_port=0, public_url=url))
