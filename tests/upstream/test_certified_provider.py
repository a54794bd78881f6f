"""Login with a provider that is certified for OpenID Connect, in a process of its own."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec
import pytest

from afield.ids import new_id
from afield.service.domain.people import PolicyRecord
from afield.service.store.factory import open_store

pytestmark = pytest.mark.anyio


@pytest.fixture
async def site(serve, certified):
    site = await serve(certified.settings)
    await asyncio.to_thread(certified.set_up, site.url)
    return site


async def test_who_comes_first_gets_an_identity_and_is_the_same_ever_after(site, certified):
    person = site.person()
    await person.authorize()
    page = await person.click("Log in with Elsewhere")
    assert "Elsewhere: login" in page.text
    page = await person.submit(who="ada")
    assert "act for you?" in site.words(page)
    said = await site.userinfo(person)
    assert said["username"] == "ada@127.0.0.1"
    assert said["name"] == "Ada of Elsewhere"
    assert said["email"] == "ada@lab.example.org"
    assert said["identity_provider"] == certified.issuer
    assert abs(said["last_authentication"] - site.clock.now()) < 30
    link = await site.people.link(certified.issuer, "ada")
    assert link.identity_id == said["sub"]

    again = site.person()
    await again.get("/v2/web/login")
    await again.click("Log in with Elsewhere")
    assert "You are ada@127.0.0.1 on this service" in site.words(await again.submit(who="ada"))
    assert len(await site.people.identities_named(["ada@127.0.0.1"])) == 1


async def test_two_who_are_called_the_same_are_two(site):
    """An account here that has the name, or the e-mail address, is nobody's from elsewhere."""
    account = await site.account("ada@127.0.0.1")
    other = await site.account("ada@lab.example.org")
    person = site.person()
    await person.authorize()
    await person.click("Log in with Elsewhere")
    await person.submit(who="ada")
    said = await site.userinfo(person)
    assert said["sub"] not in {account.id, other.id}
    assert [each["sub"] for each in said["identity_set"]] == [said["sub"]]


async def test_who_declines_there_is_not_let_in_and_nothing_is_made(site, certified):
    person = site.person()
    await person.authorize()
    await person.click("Log in with Elsewhere")
    page = await person.submit(error="access_denied")
    assert page.status_code == 403
    assert "Elsewhere does not let you in here (Somebody said no): you declined there" in site.words(page)
    assert await site.people.link(certified.issuer, "ada") is None
    page = await person.click("Log in")  # with the same errand
    assert page.url.path == "/v2/web/login"
    await person.click("Log in with Elsewhere")
    assert "act for you?" in site.words(await person.submit(who="ada"))


async def test_new_keys_of_the_provider_are_taken_at_once(site, certified):
    for _ in range(2):
        person = site.person()
        await person.get("/v2/web/login")
        await person.click("Log in with Elsewhere")
        assert "You are bob@127.0.0.1" in site.words(await person.submit(who="bob"))
        await asyncio.to_thread(certified.rotate)
        await asyncio.to_thread(certified.set_up, site.url)


async def test_a_new_login_is_asked_for_there_too(site):
    person = site.person()
    await person.authorize()
    await person.click("Log in with Elsewhere")
    await person.submit(who="ada")
    await site.userinfo(person)
    # Without a need the provider, where ada is logged in, sends them back at once.
    await person.get("/v2/web/login")
    assert "You are ada@127.0.0.1" in site.words(await person.click("Log in with Elsewhere"))
    page = await person.authorize(prompt="login")
    assert "This needs a new login" in site.words(page)
    page = await person.click("Log in with Elsewhere")
    assert "Elsewhere: login" in page.text
    assert "act for you?" in site.words(await person.submit(who="ada"))


async def test_more_than_one_factor_counts(site):
    policy = PolicyRecord(new_id(), "x", "Two factors", 1.0, mfa_required=True, session_s=600)
    await site.people.put_policy(policy)
    person = site.person()
    await person.authorize(session_required_policies=policy.id)
    await person.click("Log in with Elsewhere")
    page = await person.submit(who="ada")
    assert "The policy Two factors needs a login of the last 10 minutes, more than one factor." in site.words(page)
    other = site.person()
    await other.authorize(session_required_policies=policy.id)
    await other.click("Log in with Elsewhere")
    assert "act for you?" in site.words(await other.submit(who="ada", factors="2"))
    said = await site.userinfo(other)
    caller = await site.oauth.tokens.authenticate(f"Bearer {said['token']}")
    assert caller.session.mfa == (said["sub"],)


async def linked(site, username="ada", who="ada"):
    """Somebody with an account links who they are elsewhere."""
    person = site.person()
    await person.log_in(username)
    await person.get("/v2/web/identities")
    await person.click("Link with who you are at Elsewhere")
    page = await person.submit(who=who)
    assert f"Are both of these you? Here {username} Elsewhere {who}@127.0.0.1" in site.words(page)
    return person


async def test_an_account_and_an_identity_elsewhere_become_one_person_and_two_again(site, certified):
    account = await site.account("ada")
    person = await linked(site)
    page = await person.submit(decision="link")
    assert "All of these are you" in site.words(page)
    link = await site.people.link(certified.issuer, "ada")
    outside = await site.people.identity(link.identity_id)
    assert outside.id != account.id
    assert outside.person_id == (await site.people.identity(account.id)).person_id == account.id

    other = site.person()
    await other.authorize()
    await other.click("Log in with Elsewhere")
    await other.submit(who="ada")
    said = await site.userinfo(other)
    assert said["sub"] == account.id  # the same whichever way they come
    assert {each["sub"] for each in said["identity_set"]} == {account.id, outside.id}

    page = await person.submit("Unlink ada@127.0.0.1")
    assert "ada@127.0.0.1 is somebody of their own from now on" in site.words(page)
    assert await site.oauth.tokens.authenticate(f"Bearer {said['token']}") is None
    alone = site.person()
    await alone.authorize()
    await alone.click("Log in with Elsewhere")
    await alone.submit(who="ada")
    assert [each["sub"] for each in (await site.userinfo(alone))["identity_set"]] == [outside.id]


async def test_nothing_is_linked_without_a_yes(site, certified):
    await site.account("ada")
    person = await linked(site)
    page = await person.submit(decision="no")
    assert "Your identities" in site.words(page)
    assert await site.people.link(certified.issuer, "ada") is None


async def test_what_is_linked_already_is_not_linked_twice(site):
    await site.account("ada")
    person = await linked(site)
    await person.submit(decision="link")
    page = await person.click("Link with who you are at Elsewhere")
    assert "is linked with you already" in site.words(page)


async def test_who_is_linked_with_somebody_else_stays_so(site):
    for name in ("ada", "bob"):
        await site.account(name)
    await (await linked(site, "ada")).submit(decision="link")
    person = await linked(site, "bob")
    page = await person.submit(decision="link")
    assert page.status_code == 409
    assert "You are ada@127.0.0.1 there, who has an account or other identities here" in site.words(page)


async def test_who_came_by_themselves_before_is_joined(site, certified):
    account = await site.account("ada")
    before = site.person()
    await before.get("/v2/web/login")
    await before.click("Log in with Elsewhere")
    await before.submit(who="ada")
    link = await site.people.link(certified.issuer, "ada")
    await (await linked(site)).submit(decision="link")
    assert (await site.people.identity(link.identity_id)).person_id == account.id


async def test_a_disabled_account_is_not_entered_by_what_is_linked_with_it(site):
    identity = await site.account("ada")
    await (await linked(site)).submit(decision="link")
    account = await site.people.account_of(identity.id)
    await site.people.put_account(msgspec.structs.replace(account, disabled_at=1.0))
    person = site.person()
    await person.authorize()
    await person.click("Log in with Elsewhere")
    page = await person.submit(who="ada")
    assert page.status_code == 403
    assert "The account ada is disabled, and you are its owner" in site.words(page)
    assert (await person.authorize()).url.path == "/v2/web/login"


async def test_where_nobody_signs_up_only_linked_ones_come(serve, certified):
    site = await serve(replace(certified.settings, sign_up=False))
    await asyncio.to_thread(certified.set_up, site.url)
    await site.account("ada")
    person = site.person()
    await person.authorize()
    await person.click("Log in with Elsewhere")
    page = await person.submit(who="ada")
    assert page.status_code == 403
    assert "no account here is linked with that" in site.words(page)
    assert await site.people.link(certified.issuer, "ada") is None
    await (await linked(site)).submit(decision="link")
    person = site.person()
    await person.get("/v2/web/login")
    await person.click("Log in with Elsewhere")
    assert "You are ada on this service" in site.words(await person.submit(who="ada"))


async def test_what_is_kept_is_kept_in_a_database_too(serve, certified, tmp_path):
    store = open_store(tmp_path / "kept", data_dir=tmp_path / "kept")
    site = await serve(certified.settings, store=store)
    await asyncio.to_thread(certified.set_up, site.url)
    account = await site.account("ada")
    await (await linked(site)).submit(decision="link")
    person = site.person()
    await person.authorize()
    await person.click("Log in with Elsewhere")
    await person.submit(who="ada")
    said = await site.userinfo(person)
    assert said["sub"] == account.id
    assert [each["identity_provider"] for each in said["identity_set"]] == ["local", certified.issuer]
