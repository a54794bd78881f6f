"""A provider that is right in all but one thing: nobody comes in by it, and whoever tried reads why."""

from __future__ import annotations

import asyncio
import hmac
import json
from base64 import urlsafe_b64encode
from dataclasses import replace

import pytest
from aiohttp import web
from joserfc.jwk import RSAKey

from afield.ids import new_id
from afield.service.auth.upstream.directory import KEPT_S, RETRY_S, Directory
from afield.service.auth.upstream.fetch import Fetch
from afield.service.auth.upstream.login import AWAY_S
from afield.service.auth.upstream.problems import LoginFailed, unreachable
from afield.service.auth.upstream.providers import completed
from afield.service.domain.people import LinkRecord, PolicyRecord
from afield.service.settings import ProviderSettings

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")]


@pytest.fixture
async def site(serve, liar):
    site = await serve(liar.settings)
    liar.now = site.clock.now
    return site


@pytest.fixture
def trick(closed):
    """Makes the provider do something, and looks that nobody comes in by it, nobody is made, and the page says why."""
    site, liar = closed
    liar.tell_the_truth()
    site.clock.advance(KEPT_S)  # all that it said before is forgotten

    async def trick(status, words, **lies):
        for name, lie in lies.items():
            setattr(liar, name, lie)
        await refused(site, liar, status, words)

    return trick


async def come(site, **query):
    person = site.person()
    await person.authorize(**query)
    await person.click("Log in with Elsewhere")
    return person


async def refused(site, liar, status, words):
    """Nobody came in, nobody was made, and the page says so."""
    person = await come(site)
    assert words in site.words(person.page)
    assert person.page.status_code == status
    assert await site.people.link(liar.issuer, "ada") is None
    assert await site.people.identities_named(["ada@127.0.0.1"]) == []
    assert (await person.authorize()).url.path == "/v2/web/login"


async def test_it_can_tell_the_truth(site, liar):
    """As the certified one does; else all that follows would prove nothing."""
    person = await come(site)
    assert "act for you?" in site.words(person.page)
    said = await site.userinfo(person)
    assert (said["username"], said["name"], said["email"]) == (
        "ada@127.0.0.1", "Ada of Elsewhere", "ada@lab.example.org",
    )  # fmt: skip
    assert (await site.people.link(liar.issuer, "ada")).identity_id == said["sub"]


OLD = 10_000


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"nonce": "another"}, "belongs to another login than this one"),
        ({"nonce": None}, "belongs to another login than this one"),
        ({"iss": "https://elsewhere.example"}, "is another provider's (https://elsewhere.example)"),
        ({"iss": None}, "is another provider's"),
        ({"aud": "another"}, "is meant for another program"),
        ({"aud": None}, "is meant for another program"),
        ({"aud": ["afield & co", "another"]}, "is meant for another program"),
        ({"aud": ["afield & co", "another"], "azp": "another"}, "was given to another program"),
        ({"azp": "another"}, "was given to another program"),
        ({"exp": OLD}, "has expired"),
        ({"exp": None}, "does not say until when it is good"),
        ({"exp": "tomorrow"}, "has no time where exp is"),
        ({"exp": True}, "has no time where exp is"),
        ({"iat": 10**11}, "comes from the future"),
        ({"nbf": 10**11}, "comes from the future"),
        ({"iat": None}, "does not say until when it is good"),
        ({"auth_time": 10**11}, "says that you logged in at a time that is yet to come"),
        ({"sub": None}, "does not say who you are"),
        ({"sub": ""}, "does not say who you are"),
        ({"sub": 7}, "does not say who you are"),
        ({"sub": "a\0da"}, "does not say who you are"),
        ({"sub": "a" * 256}, "does not say who you are"),
    ],
)
async def test_what_is_signed_is_not_for_this_login(trick, claims, words):
    await trick(502, words, claims=claims)


async def test_whom_an_administrator_linked_with_an_account_comes_in_as_that(serve, liar):
    site = await serve(replace(liar.settings, sign_up=False))
    account = await site.account("lovelace")
    await site.people.put_link(LinkRecord(liar.issuer, "ada", account.id, 1.0))
    person = await come(site)
    said = await site.userinfo(person)
    assert (said["sub"], said["username"], said["name"]) == (account.id, "lovelace", "Lovelace")


async def test_two_audiences_are_fine_where_it_says_which_is_meant(site, liar):
    liar.claims = {"aud": ["afield & co", "another"], "azp": "afield & co"}
    assert "act for you?" in site.words((await come(site)).page)


def signed_with_a_secret(claims, secret):
    parts = (json.dumps({"alg": "HS256", "kid": "one"}).encode(), json.dumps(claims).encode())
    said = b".".join(urlsafe_b64encode(each).rstrip(b"=") for each in parts)
    return (said + b"." + urlsafe_b64encode(hmac.digest(secret, said, "sha256")).rstrip(b"=")).decode()


OTHER = RSAKey.generate_key(2048)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("none", "is signed in a way that is not taken here (none)"),
        ("HS256", "is signed in a way that is not taken here (HS256)"),
        ("another key of the same name", "has a signature that is not its own"),
        ("another key", "is signed with a key that is not its own"),
        ("nothing", "there is no id_token"),
        ("garbage", "is not a token that can be read"),
        ("no object", "has a signature that is not its own"),
    ],
)
async def test_what_it_says_is_not_signed_with_its_key(trick, closed, how, words):
    _, liar = closed
    sign = {
        "none": lambda claims: liar.signed(claims, None, "none"),
        # The classic: its public key, which everybody has, taken for a shared secret.
        "HS256": lambda claims: signed_with_a_secret(claims, liar.key.as_pem(private=False)),
        "another key of the same name": lambda claims: liar.signed(claims, OTHER, "RS256", kid="one"),
        "another key": lambda claims: liar.signed(claims, OTHER, "RS256", kid="two"),
        "nothing": lambda claims: None,
        "garbage": lambda claims: "no.token",
        "no object": lambda claims: liar.signed([1], liar.key, "RS256", kid="one"),
    }[how]
    await trick(502, words, sign=sign)


async def test_a_key_without_a_name_is_found(site, liar):
    liar.sign = lambda claims: liar.signed(claims, liar.key, "RS256")
    assert "act for you?" in site.words((await come(site)).page)


async def test_a_key_that_is_not_there_is_not_looked_for_at_each_login(site, liar):
    liar.sign = lambda claims: liar.signed(claims, OTHER, "RS256", kid="two")
    for _ in range(3):
        await come(site)
    assert liar.requests.count("jwks") == 2  # the first time, and once more
    site.clock.advance(RETRY_S)
    await come(site)
    assert liar.requests.count("jwks") == 3


async def test_what_it_says_about_itself_is_kept_for_a_while(site, liar):
    for _ in range(2):
        await come(site)
    assert (liar.requests.count("openid-configuration"), liar.requests.count("jwks")) == (1, 1)
    site.clock.advance(KEPT_S)
    liar.claims = {"iat": int(site.clock.now()), "exp": int(site.clock.now()) + 300}
    await come(site)
    assert (liar.requests.count("openid-configuration"), liar.requests.count("jwks")) == (2, 2)


def said(document, status=200):
    return lambda: web.json_response(document, status=status)


@pytest.mark.parametrize(
    ("part", "answer", "status", "words"),
    [
        ("openid-configuration", said({}, 404), 502, "answered with status 404. This service is not set up there"),
        ("openid-configuration", said([]), 502, "that is no OpenID provider's document"),
        ("openid-configuration", said({}, 500), 502, "answered with an error of its own (status 500). Neither you nor"),
        ("jwks", said({"keys": 3}), 502, "does not say with which keys it signs"),
        ("jwks", said({"keys": [3, {"kty": "RSA"}, {"kty": "oct", "k": "AA"}]}), 502, "a key that is not its own"),
        ("token", said({"error": "invalid_client"}, 401), 502, "not let this service ask who you are (invalid_client)"),
        ("token", said({"error": "invalid_grant"}, 400), 400, "it was used, or is old. You are not logged in by it."),
        ("token", said({}, 503), 502, "answered with an error of its own (status 503)"),
        ("token", said({}, 404), 502, "answered with status 404"),
        ("token", said({"access_token": 3}), 502, "holds no tokens"),
        ("token", lambda: web.Response(text="<html>"), 502, "holds no tokens"),
        ("token", lambda: web.Response(body=b"[" * 100_000), 502, "holds no tokens"),
        ("token", lambda: web.Response(body=b" " * 1_000_001), 502, "answered with more than anybody can mean"),
        ("token", lambda: web.Response(status=302, headers={"location": "/me"}), 502, "holds no tokens"),
        ("me", said({"sub": "ada"}, 401), 502, "does not tell this service who you are (status 401)"),
        ("me", said({"sub": "eve"}), 502, "is about two people at once"),
        ("me", said(["ada"]), 502, "is about two people at once"),
    ],
)
async def test_a_part_of_it_is_broken(trick, part, answer, status, words):
    await trick(status, words, answers={part: answer})


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"issuer": "https://elsewhere.example"}, "calls itself https://elsewhere.example, and is set up here as"),
        ({"token_endpoint": "http://elsewhere.example/"}, "names addresses without https"),
        ({"jwks_uri": "file:///etc/passwd"}, "names addresses without https"),
        ({"authorization_endpoint": None}, "that is no OpenID provider's document"),
    ],
)
async def test_what_it_says_about_itself_is_wrong(trick, metadata, words):
    await trick(502, words, metadata=metadata)


@pytest.mark.parametrize(
    ("back", "status", "words"),
    [
        (
            {"iss": "https://elsewhere.example"},
            400,
            "comes from https://elsewhere.example, which is not what was asked",
        ),
        ({"iss": None}, 400, "comes from nobody who says their name"),
        ({"code": None}, 502, "has no code in it"),
        ({"code": "another"}, 400, "it was used, or is old"),
        ({"error": "access_denied"}, 403, "you declined there, or are not allowed to come"),
        ({"error": "login_required"}, 403, "was not finished as it has to be (login_required)"),
        ({"error": "server_error"}, 502, "cannot log anybody in at the moment. Neither you nor this service"),
        ({"error": "temporarily_unavailable"}, 502, "cannot log anybody in at the moment"),
        (
            {"error": "invalid_scope"},
            502,
            "does not understand what this service asks (invalid_scope). This service is",
        ),
        ({"error": "<b>", "error_description": "<i>\nx"}, 502, "(<b>) (<i>x)"),
        ({"state": "forged"}, 400, "was not asked for here, was used before, or comes too late"),
        ({"state": None}, 400, "was not asked for here, was used before, or comes too late"),
        ({"scope": "x\0"}, 400, "holds a NUL character"),
    ],
)
async def test_it_sends_the_browser_back_with_something_else(trick, back, status, words):
    await trick(status, words, back=back)


async def test_it_never_answers(serve, liar):
    site = await serve(replace(liar.settings, timeout_s=0.2))
    for part in ("openid-configuration", "token"):
        liar.hanging = part
        await refused(site, liar, 502, "Elsewhere did not answer within 0.2 s. Neither you nor this service")


async def test_many_who_wait_for_it_wait_for_one_answer():
    """Each for itself, one after the other, the last of them would wait for minutes."""
    asked, may_answer, count = asyncio.Event(), asyncio.Event(), 0

    class Slow(Fetch):
        async def json(self, title, url, timeout_s, **_):
            nonlocal count
            count += 1
            asked.set()
            await may_answer.wait()
            raise unreachable(title, "did not answer")

    [settings] = completed([ProviderSettings(name="x", client_id="x", issuer="https://elsewhere.example")]).values()
    directory = Directory(settings, Slow(), lambda: 1.0)
    waiting = [asyncio.ensure_future(directory.places()) for _ in range(5)]
    await asked.wait()
    waiting.pop().cancel()  # somebody hangs up: the others go on waiting
    may_answer.set()
    said = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in said] == [LoginFailed] * 4
    assert count == 1
    with pytest.raises(LoginFailed):
        await directory.places()
    assert count == 2  # it was not kept that it failed


async def test_it_is_not_there(serve, liar):
    site = await serve(liar.settings)
    await liar.close()
    await refused(site, liar, 502, "Elsewhere cannot be reached from here")


# -- what browsers do ------------------------------------------------------------------------------------------------


def callback(person):
    return next(url for url in reversed(person.seen) if "/callback?" in url)


async def test_an_answer_works_once(site, liar):
    person = await come(site)
    page = await person.get(callback(person))
    assert page.status_code == 400
    assert "was not asked for here, was used before, or comes too late" in site.words(page)
    assert liar.requests.count("token") == 1


async def stopped(site, liar):
    """Somebody whose browser is on its way back, and where to."""
    person = site.person()
    await person.get("/v2/web/login")
    there = await person.http.get("/login/elsewhere")
    back = await person.http.get(there.headers["location"])
    return person, back.headers["location"]


async def test_an_answer_is_good_for_the_browser_that_asked(site, liar):
    """Else somebody could have another one log in as themselves, and read what that one then does."""
    person, url = await stopped(site, liar)
    other = site.person()
    await other.get("/v2/web/login")
    page = await other.get(url)
    assert page.status_code == 400
    assert "begun in another browser" in site.words(page)
    assert "You are ada@127.0.0.1" in site.words(await person.get(url))  # nothing is lost by the try


async def test_an_answer_comes_too_late(site, liar):
    person, url = await stopped(site, liar)
    site.clock.advance(AWAY_S)
    page = await person.get(url)
    assert page.status_code == 400
    assert "was not asked for here, was used before, or comes too late" in site.words(page)


async def test_an_answer_to_one_provider_is_none_to_another(serve, liar):
    site = await serve(liar.settings, replace(liar.settings, name="other", title="Other"))
    person, url = await stopped(site, liar)
    page = await person.get(url.replace("/login/elsewhere/", "/login/other/"))
    assert page.status_code == 400
    assert liar.requests.count("token") == 0


async def test_a_provider_that_is_not_there(site):
    for path in ("/login/nobody", "/login/nobody/callback?state=x"):
        page = await site.person().get(path)
        assert page.status_code == 404
        assert "Nobody logs in with nobody here" in site.words(page)


async def test_a_forged_errand(site):
    page = await site.person().get("/login/elsewhere?errand=forged")
    assert page.status_code == 400


async def test_nobody_is_sent_off_to_be_linked_by_a_strangers_page(site):
    await site.account("ada")
    person = site.person()
    await person.log_in()
    page = await person.get("/login/elsewhere?link=forged")
    assert page.status_code == 400
    assert "Linking begins on the page of your identities" in site.words(page)


async def test_an_offer_to_link_is_one_browsers(site, liar):
    await site.account("ada")
    await site.account("bob")
    person = site.person()
    await person.log_in()
    await person.get("/v2/web/identities")
    await person.click("Link with")
    offered = person.page
    other = site.person()
    await other.log_in("bob")
    await other.get("/v2/web/logout")
    offer = offered.text.partition('name="offer" value="')[2].partition('"')[0]
    answer = await other.http.post(
        "/v2/web/identities/link",
        data={"proof": other.page.text.partition('name="proof" value="')[2].partition('"')[0], "offer": offer,
              "decision": "link"},
    )  # fmt: skip
    assert answer.status_code == 400
    assert await site.people.link(liar.issuer, "ada") is None


async def test_nobody_unlinks_what_is_not_theirs(site):
    account = await site.account("ada")
    person = site.person()
    await person.log_in()
    await person.get("/v2/web/identities")
    await person.click("Link with")
    await person.submit(decision="link")
    for identity in ("somebody", account.id):
        page = await person.submit("Unlink", identity=identity)
        assert page.status_code == (404 if identity == "somebody" else 409)
        await person.get("/v2/web/identities")
    assert "ada@127.0.0.1" in site.words(person.page)


async def test_who_is_not_logged_in_has_no_identities_to_look_at(site):
    assert (await site.person().get("/v2/web/identities")).url.path == "/v2/web/login"


async def test_too_many_logins_that_only_begin(site, liar):
    person = site.person()
    for _ in range(site.oauth.times.tries_per_address * 10):
        site.oauth.outside["elsewhere"]._may_begin("127.0.0.1")
    page = await person.get("/login/elsewhere")
    assert page.status_code == 429
    site.clock.advance(site.oauth.times.tries_s)
    assert "You are ada@127.0.0.1" in site.words(await person.get("/login/elsewhere"))


# -- when somebody logged in -----------------------------------------------------------------------------------------


async def test_a_token_says_when_its_holder_logged_in_there(site, liar):
    at = int(site.clock.now()) - 5000
    liar.claims = {"auth_time": at}
    person = await come(site)
    assert (await site.userinfo(person))["last_authentication"] == at


async def test_a_login_of_unknown_time_is_an_old_one(site, liar):
    liar.claims = {"auth_time": None}
    liar.userinfo = {"auth_time": int(site.clock.now())}  # which is not signed
    person = await come(site)
    assert (await site.userinfo(person))["last_authentication"] == 0


async def test_where_whoever_comes_counts_as_fresh(serve, liar):
    liar.claims = {"auth_time": None}
    site = await serve(replace(liar.settings, assume_fresh=True))
    person = await come(site, prompt="login")
    assert abs((await site.userinfo(person))["last_authentication"] - site.clock.now()) < 30


@pytest.mark.parametrize(
    ("claims", "status", "words"),
    [
        ({"auth_time": OLD}, 502, "is of a login that is too old, though a new one was asked for"),
        ({"auth_time": None}, 403, "Elsewhere does not say when anybody logged in"),
    ],
)
async def test_a_new_login_was_asked_for_and_did_not_happen(site, liar, claims, status, words):
    liar.claims = claims
    person = await come(site, prompt="login")
    assert liar.asked[-1]["prompt"] == "login"
    assert int(liar.asked[-1]["max_age"]) < 60
    assert words in site.words(person.page)
    assert person.page.status_code == status


async def test_its_clock_may_be_a_little_behind(site, liar):
    liar.claims = {"auth_time": int(site.clock.now()) - 20}
    assert "act for you?" in site.words((await come(site, prompt="login")).page)


async def test_what_a_policy_needs_is_asked_for_there(site, liar):
    policy = PolicyRecord(new_id(), "x", "Careful", 1.0, mfa_required=True, session_s=600)
    await site.people.put_policy(policy)
    liar.claims = {"amr": ["pwd"], "acr": "https://refeds.org/profile/mfa"}
    person = await come(site, session_required_policies=policy.id)
    assert liar.asked[-1]["max_age"] == "600"
    assert liar.asked[-1]["acr_values"] == "https://refeds.org/profile/mfa"
    assert "act for you?" in site.words(person.page)


async def test_a_longest_age_is_passed_on(site, liar):
    await come(site, max_age="3600")
    assert 3590 <= int(liar.asked[-1]["max_age"]) <= 3610
    assert "prompt" not in liar.asked[-1]
