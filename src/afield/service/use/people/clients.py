"""Clients: programs that ask for tokens, made by people.

One with a secret is somebody by itself: an identity with the same id, whose endpoints and tasks are its own. One
without is a program with which people log in; where they may be sent back with a code is registered with it.
"""

from __future__ import annotations

import secrets
from typing import Final
from urllib.parse import urlsplit

from afield.ids import new_id, parse_id
from afield.service.auth.oauth.clients import identity_of_client
from afield.service.auth.tokens import BearerTokens, digest_of
from afield.service.clock import Clock
from afield.service.domain import people_refusals, refusals
from afield.service.domain.access import Action, decide
from afield.service.domain.caller import Caller
from afield.service.domain.people import ClientRecord, TokenRecord
from afield.service.store.base import Store
from afield.service.use.people.caps import Caps, Kind
from afield.service.use.people.cut_off import CutOff
from afield.service.use.people.tokens import may_hand_out
from afield.wire.rest_logins import Client, ClientList, ClientWish, NewClient

__all__ = ["Clients"]

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Clients:
    """What can be done with clients.

    :param caps: how many one person may have
    :param cut_off: ends the connections of one that is deleted
    """

    def __init__(self, store: Store, bearer: BearerTokens, clock: Clock, *, caps: Caps, cut_off: CutOff) -> None:
        self._people, self._bearer, self._clock = store.people, bearer, clock
        self._caps = caps
        self._cut_off = cut_off

    async def make(self, caller: Caller, token: TokenRecord | None, wish: ClientWish) -> NewClient:
        """A new one, which is the caller's.

        :param token: the one by which they ask
        :raises Refusal: they may not, have as many as they may, or an address is none to which people may be sent
        """
        may_hand_out(caller, token)
        name = wish.name.strip()
        if not name:
            raise refusals.invalid("The name of a client is empty: people who log in with it know it by that.")
        for uri in wish.redirect_uris:
            _check_address(uri)
        await self._caps.check(Kind.CLIENTS, caller, more=1)
        secret = secrets.token_urlsafe(32) if wish.has_secret else None
        client = ClientRecord(
            new_id(),
            name,
            caller.id,
            self._clock.now(),
            None if secret is None else digest_of(secret),
            tuple(wish.redirect_uris),
        )
        await self._people.put_client(client)
        try:
            await self._caps.check(Kind.CLIENTS, caller)
        except refusals.Refusal:
            await self._people.delete_client(client.id)
            raise
        if secret is not None:
            # So that others can share with it before it has asked for anything.
            await identity_of_client(self._people, client)
        return NewClient(_shown(client), secret)

    async def list(self, caller: Caller) -> ClientList:
        """The caller's, the oldest first."""
        found = [client for identity_id in caller.ids for client in await self._people.clients_of(identity_id)]
        return ClientList([_shown(client) for client in found])

    async def delete(self, caller: Caller, client_id: str) -> None:
        """Remove it: it gets no tokens any more, and those that it has let nobody in.

        :raises Refusal: unknown, or not the caller's
        """
        client_id = parse_id(client_id, "client")
        client = await self._people.client(client_id)
        if client is None:
            raise people_refusals.client_not_found(client_id)
        refusal = decide(Action.USE_CLIENT, caller, client)
        if refusal is not None:
            raise refusal
        await self._people.delete_client(client.id)
        await self._bearer.doubt()
        await self._cut_off.shut_out({client.id})


def _check_address(uri: str) -> None:
    try:
        parts = urlsplit(uri)
        _ = parts.port  # raises where there is a wrong one
    except ValueError:
        parts = urlsplit("")
    is_plain = uri.isascii() and uri.isprintable() and not any(each in uri for each in " \\#") and not parts.username
    if parts.scheme == "http":
        is_good = parts.hostname in _LOOPBACK
    elif parts.scheme == "https":
        is_good = bool(parts.hostname)
    else:
        is_good = "." in parts.scheme  # a program's own (RFC 8252 section 7.1)
    if not is_plain or not is_good:
        raise refusals.invalid(
            f"{uri[:200]!r} is no address to which people may be sent back: write https://…, or http://127.0.0.1/… for "
            "a program on their own machine."
        )


def _shown(client: ClientRecord) -> Client:
    return Client(
        client.id,
        client.name,
        client.created_at,
        client.secret_digest is not None,
        [*client.redirect_uris],
        client.disabled_at,
    )
