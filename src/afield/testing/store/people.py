"""What a store promises about people and how they come in (:class:`afield.service.store.people.People`)."""

from __future__ import annotations

import asyncio
import hashlib

import msgspec

from afield.ids import new_id, new_ids
from afield.service.domain.people import (
    AccountRecord,
    ClientRecord,
    ConsentRecord,
    IdentityRecord,
    KeyRecord,
    LinkRecord,
    Session,
    TicketRecord,
    TokenKind,
    TokenRecord,
)
from afield.service.store.base import AlreadyStored, Store
from afield.testing.store.records import NOW, raises

__all__ = [
    "a_client_goes_with_all_that_came_from_it",
    "a_ticket_is_taken_once",
    "accounts_have_names_of_their_own",
    "an_account_comes_with_its_identity",
    "clients_are_kept_whole",
    "consents_are_kept_until_taken_back",
    "identities_are_found_by_name_in_any_case",
    "identities_are_kept_and_replaced",
    "identities_of_a_person_are_found",
    "keys_are_listed_newest_first",
    "outside_identities_are_linked_once",
    "tickets_keep_what_json_keeps",
    "tokens_are_forgotten_by_what_they_share",
    "tokens_are_kept_until_deleted",
    "tokens_are_kept_whole",
    "what_expired_is_forgotten",
    "what_somebody_did_to_an_account_is_not_undone",
]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _identity(username: str, age: float = 0, **more: str) -> IdentityRecord:
    return IdentityRecord(new_id(), username, username.title(), f"{username}@example.org", NOW - age, **more)


# -- who -------------------------------------------------------------------------------------------------------------


async def identities_are_kept_and_replaced(store: Store) -> None:
    """One id, one identity: the last."""
    ada = IdentityRecord(new_id(), "ada@example.org", "Ada Lovelace ✓", "ada@example.org", NOW)
    full = _identity("bob", provider="https://idp.example.org", organization="Example", person_id=new_id())
    assert await store.people.identity(ada.id) is None
    for one in (ada, full):
        await store.people.put_identity(one)
    assert await store.people.identity(ada.id) == ada
    assert await store.people.identity(full.id) == full
    married = msgspec.structs.replace(ada, name="Ada King")
    await store.people.put_identity(married)
    assert await store.people.identity(ada.id) == married
    assert await store.people.identities([ada.id, new_id(), full.id, ada.id]) == {ada.id: married, full.id: full}
    assert await store.people.identities([]) == {}


async def identities_are_found_by_name_in_any_case(store: Store) -> None:
    """Also by letters of which databases know no lower case; several may have one name."""
    old, young, other = _identity("Émile@Example.org", 5), _identity("émile@example.org"), _identity("bob")
    for one in (young, old, other):
        await store.people.put_identity(one)
    assert await store.people.identities_named(["ÉMILE@example.ORG", "nobody", "émile@example.org"]) == [old, young]
    assert await store.people.identities_named(["bob", "Émile@example.org"]) == [old, young, other]
    assert await store.people.identities_named(["bo_", "%", "e"]) == []
    assert await store.people.identities_named([]) == []
    renamed = msgspec.structs.replace(old, username="Emil")
    await store.people.put_identity(renamed)
    assert await store.people.identities_named(["émile@example.org"]) == [young]
    assert await store.people.identities_named(["EMIL"]) == [renamed]
    many = [_identity(f"many{n}") for n in range(1200)]
    await asyncio.gather(*map(store.people.put_identity, many))
    assert len(await store.people.identities_named(one.username.upper() for one in many)) == len(many)
    assert await store.people.identities(one.id for one in many) == {one.id: one for one in many}


async def identities_of_a_person_are_found(store: Store) -> None:
    """One identity leaves a person when it is put without."""
    person, somebody_else = new_ids(2)
    old, young = _identity("home", 5, person_id=person), _identity("work", person_id=person)
    for one in (young, old, _identity("x", person_id=somebody_else), _identity("y")):
        await store.people.put_identity(one)
    assert await store.people.identities_of(person) == [old, young]
    await store.people.put_identity(msgspec.structs.replace(old, person_id=None))
    assert await store.people.identities_of(person) == [young]
    assert await store.people.identities_of(new_id()) == []


async def accounts_have_names_of_their_own(store: Store) -> None:
    """In upper or lower case; who gave a name up leaves it to others."""
    ada = AccountRecord(new_id(), "ada", NOW, password="$argon2id$…", disabled_at=NOW + 1, is_admin=True)  # noqa: S106
    zoe = AccountRecord(new_id(), "zoé", NOW - 5)
    for one in (zoe, ada):
        await store.people.put_account(one)
    assert await store.people.account("ADA") == ada
    assert await store.people.account("ZOÉ") == zoe
    assert await store.people.account_of(zoe.identity_id) == zoe
    assert await store.people.account("nobody") is None
    assert await store.people.account_of(new_id()) is None
    assert await store.people.accounts() == [ada, zoe]
    for name in ("ada", "Ada"):
        with raises(AlreadyStored):
            await store.people.put_account(AccountRecord(new_id(), name, NOW))
        with raises(AlreadyStored):
            await store.people.put_account(msgspec.structs.replace(zoe, username=name))
    assert await store.people.accounts() == [ada, zoe]
    await store.people.put_account(msgspec.structs.replace(ada, username="lovelace"))
    await store.people.put_account(AccountRecord(new_id(), "Ada", NOW))
    assert [one.username for one in await store.people.accounts()] == ["Ada", "lovelace", "zoé"]
    tries = [store.people.put_account(AccountRecord(new_id(), "new", NOW)) for _ in range(6)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(one).__name__ for one in outcomes) == ["AlreadyStored"] * 5 + ["NoneType"]


async def an_account_comes_with_its_identity(store: Store) -> None:
    """Both or none."""
    ada = _identity("ada")
    await store.people.put_account(AccountRecord(ada.id, "ada", NOW), ada)
    assert await store.people.identity(ada.id) == ada
    another = _identity("ada")
    with raises(AlreadyStored):
        await store.people.put_account(AccountRecord(another.id, "Ada", NOW), another)
    assert await store.people.identity(another.id) is None
    assert await store.people.identities_named(["ada"]) == [ada]


async def what_somebody_did_to_an_account_is_not_undone(store: Store) -> None:
    """By whoever looked before that, and changes something else."""
    seen = AccountRecord(new_id(), "ada", NOW + 0.1, password="weak")  # noqa: S106
    await store.people.put_account(seen)
    disabled = msgspec.structs.replace(seen, disabled_at=NOW + 0.3)
    assert await store.people.change_account(seen, disabled) is True
    assert await store.people.change_account(seen, msgspec.structs.replace(seen, password="strong")) is False  # noqa: S106
    assert await store.people.account("ada") == disabled
    nobodys = AccountRecord(new_id(), "bob", NOW)
    assert await store.people.change_account(nobodys, nobodys) is False
    assert await store.people.accounts() == [disabled]
    changes = [msgspec.structs.replace(disabled, password=f"{n}") for n in range(8)]
    outcomes = await asyncio.gather(*(store.people.change_account(disabled, one) for one in changes))
    assert outcomes.count(True) == 1
    assert await store.people.account("ada") == changes[outcomes.index(True)]


async def outside_identities_are_linked_once(store: Store) -> None:
    """By issuer and subject, letter by letter."""
    ada = new_id()
    old = LinkRecord("https://idp.example.org", "Ada", ada, NOW - 1)
    young = LinkRecord("https://idp.example.org", "ada", ada, NOW)
    for link in (young, old):
        await store.people.put_link(link)
    for link in (old, msgspec.structs.replace(old, identity_id=new_id())):
        with raises(AlreadyStored):
            await store.people.put_link(link)
    assert await store.people.link(old.issuer, "Ada") == old
    assert await store.people.link(old.issuer, "ADA") is None
    assert await store.people.link("https://other.example.org", "Ada") is None
    assert await store.people.links_of(ada) == [old, young]
    assert await store.people.delete_link(old.issuer, "Ada") is True
    assert await store.people.delete_link(old.issuer, "Ada") is False
    assert await store.people.links_of(ada) == [young]


# -- how they come in ------------------------------------------------------------------------------------------------


async def clients_are_kept_whole(store: Store) -> None:
    """With and without a secret, an owner, addresses."""
    owner = new_id()
    young = ClientRecord(
        id=new_id(),
        name="Portal",
        owner_id=owner,
        created_at=NOW,
        secret_digest=_digest("secret"),
        redirect_uris=("https://portal.example.org/callback?a=1", "http://127.0.0.1/"),
        disabled_at=NOW + 5,
    )
    old = ClientRecord(new_id(), "Notebook", owner, NOW - 5)
    nobodys = ClientRecord(new_id(), "Command line", None, NOW)
    for client in (young, old, nobodys):
        await store.people.put_client(client)
    assert [await store.people.client(one.id) for one in (young, old, nobodys)] == [young, old, nobodys]
    assert await store.people.client(new_id()) is None
    assert await store.people.clients_of(owner) == [old, young]
    await store.people.put_client(msgspec.structs.replace(young, redirect_uris=(), secret_digest=None))
    assert (await store.people.clients_of(owner))[1] == msgspec.structs.replace(
        young, redirect_uris=(), secret_digest=None
    )


async def a_client_goes_with_all_that_came_from_it(store: Store) -> None:
    """Tokens that it got for others, its own, and consents to it; nobody else's."""
    client, other, ada = ClientRecord(new_id(), "Portal", None, NOW), new_id(), new_id()
    await store.people.put_client(client)
    given = TokenRecord(_digest("given"), ada, "", NOW, client_id=client.id)
    own = TokenRecord(_digest("own"), client.id, "", NOW)
    elsewhere = TokenRecord(_digest("elsewhere"), ada, "", NOW, client_id=other)
    for token in (given, own, elsewhere):
        await store.people.put_token(token)
    for to in (client.id, other):
        await store.people.put_consent(ConsentRecord(ada, to, ("a",), NOW))
    assert await store.people.delete_client(new_id()) is False
    assert await store.people.delete_client(client.id) is True
    assert await store.people.delete_client(client.id) is False
    assert await store.people.client(client.id) is None
    assert await store.people.tokens_of(ada) == [elsewhere]
    assert await store.people.tokens_of(client.id) == []
    assert [consent.client_id for consent in await store.people.consents_of(ada)] == [other]


async def tokens_are_kept_until_deleted(store: Store) -> None:
    """By digest, with and without an end."""
    token = TokenRecord(b"\x00\xff" * 16, new_id(), "laptop", NOW)
    other = TokenRecord(b"\x01\xff" * 16, new_id(), "desk", NOW, expires_at=NOW + 3600)
    for each in (token, other):
        await store.people.put_token(each)
    assert await store.people.token(token.digest) == token
    await store.people.put_token(msgspec.structs.replace(token, label="new laptop"))
    assert await store.people.prolong_token(other.digest, NOW + 7200) is True
    assert await store.people.token(other.digest) == msgspec.structs.replace(other, expires_at=NOW + 7200)
    assert await store.people.delete_token(other.digest) is True
    assert await store.people.delete_token(other.digest) is False
    assert await store.people.prolong_token(other.digest, NOW + 7200) is False  # and it is not there again
    found = await store.people.token(token.digest)
    assert found is not None
    assert found.label == "new laptop"
    assert await store.people.token(other.digest) is None


async def tokens_are_kept_whole(store: Store) -> None:
    """No scopes are not the same as all scopes, nor an unknown session as an empty one."""
    ada = new_id()
    session = Session({ada: NOW - 60, new_id(): NOW}, (ada,))
    tokens = [
        TokenRecord(
            digest=_digest(kind),
            identity_id=ada,
            label="Ada's ✓",
            created_at=NOW + age,
            expires_at=NOW + 60,
            kind=kind,
            client_id=new_id(),
            scopes=("openid", "https://example.org/scopes/a[b *c]"),
            family=new_id(),
            session=session,
        )
        for age, kind in enumerate(TokenKind)
    ]
    tokens.append(TokenRecord(_digest("none"), ada, "", NOW + 50, scopes=(), session=Session()))
    tokens.append(TokenRecord(_digest("unknown"), ada, "", NOW + 51, scopes=None, session=None))
    for token in reversed(tokens):
        await store.people.put_token(token)
    assert await store.people.tokens_of(ada) == tokens
    found = await store.people.token(tokens[0].digest)
    assert found == tokens[0]
    assert isinstance(found.kind, TokenKind)
    assert await store.people.tokens_of(new_id()) == []


async def tokens_are_forgotten_by_what_they_share(store: Store) -> None:
    """All that is given must match."""
    ada, bob, client, family, other = new_ids(5)
    tokens = [
        TokenRecord(_digest(f"{n}"), whose, "", NOW + n, client_id=by, family=of)
        for n, (whose, by, of) in enumerate(
            [(ada, client, family), (ada, client, other), (ada, None, None), (bob, client, family), (bob, None, other)]
        )
    ]
    for token in tokens:
        await store.people.put_token(token)
    with raises(ValueError):
        await store.people.delete_tokens()
    assert await store.people.delete_tokens(family=new_id()) == 0
    assert await store.people.delete_tokens(family=family, identity_id=bob) == 1
    assert await store.people.token(tokens[3].digest) is None
    assert await store.people.delete_tokens(client_id=client) == 2
    assert await store.people.tokens_of(ada) == [tokens[2]]
    assert await store.people.delete_tokens(identity_id=ada) == 1
    assert await store.people.tokens_of(bob) == [tokens[4]]


async def tickets_keep_what_json_keeps(store: Store) -> None:
    """The same in every store, so that nothing works with one and fails with another."""
    content = {
        "text": "✓ \u2028 'quoted' \"twice\" %s :name",
        "number": -1.5,
        "big": 2**62,
        "nothing": None,
        "nested": {"list": [1, [True, {}]], "": ""},
    }
    ticket = TicketRecord(_digest("code"), "code", {**content, "tuple": ("a", "b")}, NOW + 60)
    assert await store.people.ticket(ticket.digest) is None
    await store.people.put_ticket(ticket)
    found = await store.people.ticket(ticket.digest)
    assert found == msgspec.structs.replace(ticket, content={**content, "tuple": ["a", "b"]})
    changed = TicketRecord(ticket.digest, "device", {}, NOW + 90)
    await store.people.put_ticket(changed)
    assert await store.people.ticket(ticket.digest) == changed


async def a_ticket_is_taken_once(store: Store) -> None:
    """However many try at the same time; then it is gone."""
    ticket = TicketRecord(_digest("code"), "code", {"n": 1}, NOW + 60)
    other = TicketRecord(_digest("other"), "code", {"n": 2}, NOW + 60)
    assert await store.people.take_ticket(ticket.digest) is None
    for each in (ticket, other):
        await store.people.put_ticket(each)
    taken = await asyncio.gather(*(store.people.take_ticket(ticket.digest) for _ in range(20)))
    assert [one for one in taken if one is not None] == [ticket]
    assert await store.people.ticket(ticket.digest) is None
    assert await store.people.ticket(other.digest) == other


async def consents_are_kept_until_taken_back(store: Store) -> None:
    """One for each client: the last."""
    ada, bob, portal, notebook = new_ids(4)
    old = ConsentRecord(ada, portal, ("openid", "compute"), NOW - 5)
    young = ConsentRecord(ada, notebook, (), NOW)
    for consent in (young, old, ConsentRecord(bob, portal, ("openid",), NOW)):
        await store.people.put_consent(consent)
    assert await store.people.consent(ada, portal) == old
    assert await store.people.consent(bob, notebook) is None
    assert await store.people.consents_of(ada) == [old, young]
    more = msgspec.structs.replace(old, scopes=("openid", "compute", "email"))
    await store.people.put_consent(more)
    assert await store.people.consents_of(ada) == [more, young]
    assert await store.people.delete_consent(ada, portal) is True
    assert await store.people.delete_consent(ada, portal) is False
    assert await store.people.consents_of(ada) == [young]
    assert await store.people.consent(bob, portal) is not None


async def keys_are_listed_newest_first(store: Store) -> None:
    """With their private part, byte for byte."""
    old = KeyRecord(new_id(), NOW - 5, '{"kty":"OKP"}', b"\x00\xff private")
    young = KeyRecord("2026-11-key", NOW, '{"kty":"RSA"}', b"")
    assert await store.people.keys() == []
    for one in (old, young):
        await store.people.put_key(one)
    assert await store.people.keys() == [young, old]
    retired = msgspec.structs.replace(old, retired_at=NOW)
    await store.people.put_key(retired)
    assert await store.people.keys() == [young, retired]
    assert await store.people.delete_key(old.id) is True
    assert await store.people.delete_key(old.id) is False
    assert await store.people.keys() == [young]


# -- in the course of time -------------------------------------------------------------------------------------------


async def what_expired_is_forgotten(store: Store) -> None:
    """Tokens and tickets, not those without an end, nor those whose end is now."""
    ada = new_id()
    ends = [None, NOW - 1, NOW, NOW + 1]
    tokens = [TokenRecord(_digest(f"token {n}"), ada, "", NOW + n, expires_at=end) for n, end in enumerate(ends)]
    tickets = [TicketRecord(_digest(f"ticket {n}"), "code", {}, NOW - 1) for n in range(1100)]
    tickets += [TicketRecord(_digest(f"open {n}"), "code", {}, NOW + n) for n in range(2)]
    await asyncio.gather(*map(store.people.put_token, tokens), *map(store.people.put_ticket, tickets))
    assert await store.people.forget_expired(NOW) == 1101
    assert await store.people.tokens_of(ada) == [tokens[0], tokens[2], tokens[3]]
    assert await store.people.ticket(tickets[0].digest) is None
    assert await store.people.ticket(tickets[-2].digest) == tickets[-2]
    assert await store.people.forget_expired(NOW) == 0
