"""Tokens, clients and who one is, as the service answers about them."""

from __future__ import annotations

import pytest

from afield.errors import ComputeAPIError
from afield.ids import new_id
from afield.sdk.login.client_credentials import COMPUTE_SCOPE, ClientCredentials
from afield.sdk.login.needed import LoginNeeded
from afield.sdk.login.questions import Questions
from afield.sdk.login.source import BearerToken
from afield.sdk.login.tokens import TokenRefused, ask_for_tokens, basic
from afield.service.domain.people import IdentityRecord, TokenKind
from afield.wire.rest_logins import ClientList, NewClient, NewToken, TokenList, WhoAmI

TOKENS, CLIENTS, WHOAMI = "/afield/v1/tokens", "/afield/v1/clients", "/afield/v1/whoami"


@pytest.fixture
def ada(site):
    return site.asking("ada")


def by(site, token):
    return Questions(site.url, BearerToken(token), environ={})


def test_who_somebody_is(site, ada):
    site.call(
        site.store.people.put_identity(
            IdentityRecord(new_id(), "ada@lab", "Ada L", "", 2.0, "https://lab", person_id="p")
        )
    )
    site.call(site.store.people.put_identity(IdentityRecord(site.ada.id, "ada", "Ada", "a@b", 1.0, person_id="p")))
    group = ada.post("/afield/v1/groups", {"name": "physics"}, dict)
    site.clock.advance(10)  # until then it is believed who ada was
    found = ada.get(WHOAMI, WhoAmI)
    assert (found.identity.id, found.identity.username, found.identity.email) == (site.ada.id, "ada", "a@b")
    assert [(one.username, one.provider) for one in found.linked] == [("ada@lab", "https://lab")]
    assert [(one.id, one.name, one.role) for one in found.groups] == [(group["id"], "physics", "manager")]
    assert not found.is_admin
    assert found.token.kind == "login"
    assert found.token.scopes == [COMPUTE_SCOPE]
    assert site.asking().get(WHOAMI, WhoAmI).is_admin


def test_a_token_that_is_good_for_knowing_who_one_is_alone(site):
    tokens = site.log_in().tokens
    found = by(site, tokens["auth.globus.org"].access_token).get(WHOAMI, WhoAmI)
    assert found.identity.username == "ada"
    with pytest.raises(LoginNeeded, match="ConsentRequired"):
        by(site, tokens["auth.globus.org"].access_token).get(TOKENS, TokenList)


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_a_token_opens_until_it_ends_or_is_revoked(site, ada):
    made = ada.post(TOKENS, {"label": " nightly ", "lifetime_s": 3600.0}, NewToken)
    other = ada.post(TOKENS, {"label": "for ever", "lifetime_s": None}, NewToken)
    assert (made.about.label, made.about.kind, made.about.scopes) == ("nightly", "personal", [COMPUTE_SCOPE])
    assert other.about.expires_at is None
    assert by(site, made.token).get(WHOAMI, WhoAmI).token.id == made.about.id
    listed = ada.get(TOKENS, TokenList).tokens
    assert [(one.kind, one.label) for one in listed][1:] == [("personal", "nightly"), ("personal", "for ever")]
    assert listed[0].kind == "login"
    assert listed[0].label.startswith("afield on ")
    site.clock.advance(3600)
    with pytest.raises(ComputeAPIError, match="afield login --service"):
        by(site, made.token).get(WHOAMI, WhoAmI)
    assert [one.label for one in ada.get(TOKENS, TokenList).tokens][1:] == ["for ever"]
    ada.delete(f"{TOKENS}/{other.about.id}")
    with pytest.raises(ComputeAPIError) as refused:
        by(site, other.token).get(WHOAMI, WhoAmI)
    assert refused.value.http_status == 401


def test_a_login_is_one_entry_and_ends_as_one(site, ada):
    phone = site.log_in()
    entries = ada.get(TOKENS, TokenList).tokens
    assert [one.kind for one in entries] == ["login", "login"]
    mine = ada.get(WHOAMI, WhoAmI).token
    [other] = [one for one in entries if one.id != mine.id]
    ada.delete(f"{TOKENS}/{other.id}")
    with pytest.raises(ComputeAPIError):
        by(site, phone.compute.access_token).get(WHOAMI, WhoAmI)
    form = {"grant_type": "refresh_token", "refresh_token": phone.compute.refresh_token, "client_id": phone.client_id}
    with pytest.raises(TokenRefused, match="revoked"):
        ask_for_tokens(site.url, form, 0.0)
    assert ada.get(WHOAMI, WhoAmI).token == mine


def test_nobody_sees_or_ends_what_is_somebody_elses(site, ada):
    made = ada.post(TOKENS, {"label": "mine"}, NewToken)
    client = ada.post(CLIENTS, {"name": "mine"}, NewClient).client
    site.account("bob")
    bob = site.asking("bob")
    assert [one.kind for one in bob.get(TOKENS, TokenList).tokens] == ["login"]
    assert bob.get(CLIENTS, ClientList).clients == []
    for path, code in (
        (f"{TOKENS}/{made.about.id}", "TOKEN_NOT_FOUND"),
        (f"{CLIENTS}/{client.id}", "CLIENT_NOT_FOUND"),
    ):
        with pytest.raises(ComputeAPIError) as refused:
            bob.delete(path)
        assert (refused.value.http_status, refused.value.code) == (404, code)
    assert by(site, made.token).get(WHOAMI, WhoAmI).identity.username == "ada"


def test_what_was_let_in_lets_nobody_else_in(site, ada):
    made = ada.post(TOKENS, {"label": "nightly"}, NewToken)
    client = ada.post(CLIENTS, {"name": "beamline"}, NewClient)
    program = Questions(site.url, ClientCredentials(site.url, client.client.id, client.secret), environ={})
    for asking in (by(site, made.token), program):
        for path, body in ((TOKENS, {"label": "another"}), (CLIENTS, {"name": "another"})):
            with pytest.raises(ComputeAPIError, match="Only somebody who has logged in") as refused:
                asking.post(path, body, dict)
            assert refused.value.http_status == 403


NO_TOKENS = [
    ({"label": "  "}, 422, "label of a token is empty"),
    ({"label": ""}, 400, "label"),
    ({"label": "x", "lifetime_s": 1}, 400, "lifetime_s"),
    ({"label": "x", "lifetime_s": 1e300}, 400, "lifetime_s"),
    ({"label": "x", "scopes": ["everything"]}, 422, "no scope everything"),
    ({"label": "x", "scopes": []}, 422, "good for nothing"),
    ({"label": "x", "scopes": ["email"]}, 403, "needs one with the scope email"),
]


def test_tokens_that_cannot_be(ada):
    for wish, status, says in NO_TOKENS:
        with pytest.raises(ComputeAPIError, match=says) as refused:
            ada.post(TOKENS, wish, dict)
        assert refused.value.http_status == status, wish
    assert [one.kind for one in ada.get(TOKENS, TokenList).tokens] == ["login"]


def test_who_runs_the_service_may_make_tokens_too(site):
    owner = site.asking()
    made = owner.post(TOKENS, {"label": "x", "scopes": ["openid", COMPUTE_SCOPE]}, NewToken)
    assert made.about.scopes == sorted(["openid", COMPUTE_SCOPE])
    # The token that the service made for them at its start is its own business.
    assert [one.kind for one in owner.get(TOKENS, TokenList).tokens] == ["personal"]
    assert by(site, made.token).get(WHOAMI, WhoAmI).identity.id == site.running.owner.id


# -- clients ----------------------------------------------------------------------------------------------------------


def test_a_client_is_somebody_by_itself_until_it_is_removed(site, ada):
    made = ada.post(CLIENTS, {"name": "beamline 7"}, NewClient)
    credentials = ClientCredentials(site.url, made.client.id, made.secret)
    program = Questions(site.url, credentials, environ={})
    found = program.get(WHOAMI, WhoAmI)
    assert (found.identity.id, found.identity.name, found.identity.provider) == (made.client.id, "beamline 7", "client")
    assert found.token.client_id == made.client.id
    assert [one.id for one in ada.get(CLIENTS, ClientList).clients] == [made.client.id]
    kept = site.call(site.store.people.client(made.client.id))
    assert made.secret.encode() not in kept.secret_digest
    ada.delete(f"{CLIENTS}/{made.client.id}")
    with pytest.raises(ComputeAPIError, match=r"gives client_id .* no token"):
        program.get(WHOAMI, WhoAmI)
    assert ada.get(CLIENTS, ClientList).clients == []


def test_a_program_without_a_secret(site, ada):
    made = ada.post(
        CLIENTS, {"name": "portal", "has_secret": False, "redirect_uris": ["http://127.0.0.1/back"]}, NewClient
    )
    assert made.secret is None
    assert made.client.redirect_uris == ["http://127.0.0.1/back"]
    form = {"grant_type": "client_credentials", "client_id": made.client.id}
    with pytest.raises(TokenRefused, match="without a secret"):
        ask_for_tokens(site.url, form, 0.0)
    login = site.log_in(client_id=made.client.id)
    assert login.client_id == made.client.id
    assert {one.client_id for one in site.tokens(site.ada.id) if one.kind is TokenKind.REFRESH} >= {made.client.id}
    # Whoever lets it in lets it use endpoints; what it made would outlive that.
    with pytest.raises(ComputeAPIError, match="another program's login"):
        by(site, login.compute.access_token).post(TOKENS, {"label": "x"}, dict)


NO_ADDRESSES = [
    "http://example.org/",
    "javascript:alert(1)",
    "https://x/#part",
    "//x",
    "https://",
    "https://a b/",
    "https://u@x/",
    "http://127.0.0.1:99999/",
]


def test_addresses_to_which_nobody_is_sent(ada):
    for address in NO_ADDRESSES:
        with pytest.raises(ComputeAPIError, match="no address to which people may be sent") as refused:
            ada.post(CLIENTS, {"name": "x", "redirect_uris": [address]}, dict)
        assert refused.value.http_status == 422, address


def test_clients_that_cannot_be(ada):
    with pytest.raises(ComputeAPIError, match="name of a client is empty"):
        ada.post(CLIENTS, {"name": " "}, dict)
    with pytest.raises(ComputeAPIError) as refused:
        ada.delete(f"{CLIENTS}/no-id")
    assert refused.value.http_status == 400
    assert basic("a:b", "c d") == "Basic YSUzQWI6YyUyMGQ="
