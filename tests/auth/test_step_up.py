"""A login that must be of a certain kind: what a refusal's authorization parameters ask for, and the pages do."""

from __future__ import annotations

import pytest

from afield.ids import new_id
from afield.service.auth.oauth.needs import NOTHING, Needs, asked, unmet
from afield.service.domain.people import IdentityRecord, PolicyRecord, Session

pytestmark = pytest.mark.anyio


class TestOnThePages:
    async def test_prompt_login_asks_who_is_logged_in_again_once(self, site):
        person = site.person()
        await person.code()
        site.clock.advance(10)
        page = await person.authorize(prompt="login")
        assert page.url.path == "/v2/web/login"
        assert "This needs a new login" in site.words(page)
        assert "You are logged in as ada" in site.words(page)
        page = await person.log_in()
        assert "act for you?" in site.words(page)

    async def test_what_the_program_says_is_shown_as_text(self, site):
        page = await site.person().authorize(session_message="<i>Please</i> show who you are")
        assert "&lt;i&gt;Please&lt;/i&gt; show who you are" in page.text

    async def test_a_certain_identity(self, site):
        bob = await site.account("bob")
        person = site.person()
        await person.code()
        page = await person.authorize(session_required_identities=bob.id)
        assert "This needs a login as bob" in site.words(page)
        assert 'value="bob"' in page.text
        page = await person.log_in("ada")  # the wrong one again
        assert "This needs a login as bob" in site.words(page)
        page = await person.log_in("bob")
        assert "logged in as bob" in site.words(page)
        assert "act for you?" in site.words(page)

    async def test_an_identity_that_is_linked_joins_the_session(self, site):
        one = await site.account("carol", person_id="p")
        site.clock.advance(1)
        two = await site.account("carol@lab.example.org", person_id="p")
        person = site.person()
        await person.authorize(session_required_identities=f"{one.id},{two.id}")
        page = await person.log_in("carol")
        assert page.url.path == "/v2/web/login"
        page = await person.log_in("carol@lab.example.org")
        assert "logged in as carol " in site.words(page)  # the same of the two whichever logs in
        code = site.said_back(await person.submit(decision="allow"))["code"]
        token = (await site.redeem(code)).json()["access_token"]
        said = (await site.get("/v2/oauth2/userinfo", token)).json()
        assert said["sub"] == one.id
        assert {each["sub"] for each in said["identity_set"]} == {one.id, two.id}
        assert all(each["last_authentication"] for each in said["identity_set"])

    async def test_a_certain_domain(self, site):
        await site.account("dan@lab.example.org")
        person = site.person()
        await person.authorize(session_required_single_domain="lab.example.org")
        assert "with an account of lab.example.org" in site.words(person.page)
        assert (await person.log_in("ada")).url.path == "/v2/web/login"
        assert "act for you?" in site.words(await person.log_in("dan@lab.example.org"))

    async def test_more_than_one_factor_which_local_accounts_do_not_have(self, site):
        person = site.person()
        await person.authorize(session_required_mfa="True")
        page = await person.log_in()
        assert page.url.path == "/v2/web/login"
        assert "with more than one factor" in site.words(page)
        nobody = site.person()
        await nobody.code()
        answer = await nobody.authorize(session_required_mfa="True", prompt="none")
        assert site.said_back(answer)["error"] == "login_required"

    async def test_a_policy(self, site):
        policy = PolicyRecord(new_id(), "x", "Fresh logins", 1.0, session_s=600)
        await site.store.people.put_policy(policy)
        person = site.person()
        await person.code()
        assert "act for you?" in site.words(await person.authorize(session_required_policies=policy.id))
        site.clock.advance(601)
        page = await person.authorize(session_required_policies=policy.id)
        assert "The policy Fresh logins needs a login of the last 10 minutes." in site.words(page)
        assert "act for you?" in site.words(await person.log_in())

    async def test_time_that_passes_before_the_consent_counts(self, site):
        policy = PolicyRecord(new_id(), "x", "Fresh logins", 1.0, session_s=600)
        await site.store.people.put_policy(policy)
        person = site.person()
        await person.authorize(session_required_policies=policy.id)
        await person.log_in()
        site.clock.advance(601)
        page = await person.submit(decision="allow")
        assert page.url.path == "/v2/web/login"

    async def test_the_token_says_when_its_holder_had_logged_in(self, site):
        before = site.clock.now()
        token = (await site.tokens())["compute"]
        caller = await site.service_tokens.authenticate(f"Bearer {token}")
        [at] = caller.session.authenticated_at.values()
        assert before <= at <= site.clock.now()


ADA = IdentityRecord("a", "ada@example.org", "Ada", "", 1.0)
LAB = IdentityRecord("b", "ada@lab.example.org", "Ada", "", 2.0)
ONCE = Session({"a": 100.0})


class TestTheDecision:
    @pytest.mark.parametrize(
        ("needs", "session", "is_missing"),
        [
            (NOTHING, Session(), True),
            (NOTHING, ONCE, False),
            (NOTHING, Session({"stranger": 100.0}), True),
            (Needs(since=100.0), ONCE, False),
            (Needs(since=100.5), ONCE, True),
            (Needs(identities=("a",)), ONCE, False),
            (Needs(identities=("ADA@example.org",)), ONCE, False),
            (Needs(identities=("a", "b")), ONCE, True),
            (Needs(identities=("a", "b")), Session({"a": 1.0, "b": 2.0}), False),
            (Needs(domains=("lab.example.org",)), ONCE, True),
            (Needs(domains=("lab.example.org", "example.org")), ONCE, False),
            (Needs(domains=("ample.org",)), ONCE, True),
            (Needs(mfa=True), ONCE, True),
            (Needs(mfa=True), Session({"a": 1.0}, ("a",)), False),
            (Needs(mfa=True), Session({"a": 1.0}, ("b",)), True),
        ],
    )
    async def test_what_is_missing(self, needs, session, is_missing):
        assert unmet(needs, session, (ADA, LAB), (), 101.0) is is_missing

    async def test_a_policy_is_the_one_that_protects_endpoints(self):
        policy = PolicyRecord("p", "x", "P", 1.0, include_domains=("lab.example.org",), session_s=10)
        assert unmet(NOTHING, ONCE, (ADA, LAB), [policy], 101.0)
        assert not unmet(NOTHING, Session({"b": 100.0}), (ADA, LAB), [policy], 101.0)
        assert unmet(NOTHING, Session({"b": 80.0}), (ADA, LAB), [policy], 101.0)

    async def test_it_is_said_in_names_not_in_ids(self):
        assert asked(NOTHING, (), {}) is None
        said = asked(Needs(identities=("a",), mfa=True), (), {"a": "ada@example.org"})
        assert said == "This needs a login as ada@example.org, with more than one factor."
