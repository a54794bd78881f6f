"""Personal access tokens, and the logins of programs, as their owner sees them.

Who has logged in with the ``afield`` command may make tokens for programs of theirs. Such a token may not, nor may any
other program that was let in, or has credentials of its own: what is to end would go on in what it made. Nor may a
token be made that is good for more than the one that asks.

A token is named by the beginning of its digest, which opens nothing. The tokens of one login are one entry, and end
together; so do a personal one and what was given to a program in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from afield.service.auth.oauth.clients import DEFAULT_CLIENT
from afield.service.auth.oauth.problems import OAuthError
from afield.service.auth.oauth.scopes import COMPUTE, parse
from afield.service.auth.tokens import BearerTokens, digest_of
from afield.service.clock import Clock
from afield.service.domain import people_refusals, refusals
from afield.service.domain.caller import Caller
from afield.service.domain.people import IdentityRecord, MemberRole, TokenKind, TokenRecord
from afield.service.store.base import Store
from afield.service.use.people.caps import Caps, Kind
from afield.wire.rest_logins import Known, Membership, NewToken, Token, TokenList, TokenWish, WhoAmI

__all__ = ["Tokens", "may_hand_out"]

_LOGIN: Final = "login"


def may_hand_out(caller: Caller, token: TokenRecord | None) -> None:
    """Nothing, if whoever asks may make what lets programs in.

    :param token: the one by which they ask
    :raises Refusal: a program may not
    """
    # A token without a client is the one that the service left for whoever runs it.
    is_ours = token is not None and token.client_id in {None, DEFAULT_CLIENT.id}
    if token is None or token.kind is TokenKind.PERSONAL or not is_ours or caller.identity.provider == "client":
        raise refusals.Refusal(
            403,
            "LOGIN_REQUIRED",
            "Only somebody who has logged in with the afield command may make tokens and clients, and this was asked "
            "with a personal access token, a client's credentials or another program's login. Run `afield login`, and "
            "repeat.",
        )


class Tokens:
    """What can be done with tokens.

    :param caps: how many personal ones one person may have
    """

    def __init__(self, store: Store, bearer: BearerTokens, clock: Clock, *, caps: Caps) -> None:
        self._people, self._bearer, self._clock = store.people, bearer, clock
        self._caps = caps

    async def behind(self, authorization: str | None) -> TokenRecord | None:
        """The token that came with a request that was let in.

        :param authorization: the value of that header
        """
        return await self._bearer.known(digest_of((authorization or "").partition(" ")[2].strip()))

    async def who(self, caller: Caller, token: TokenRecord | None) -> WhoAmI:
        """Who asks, and by what.

        :raises Refusal: the token was revoked a moment ago
        """
        if token is None:
            raise refusals.unauthenticated()
        memberships = await self._people.memberships(caller.ids)
        teams = await self._people.teams(one.team_id for one in memberships)
        roles: dict[str, str] = {}
        for one in memberships:  # two identities of one person may be in the same group
            if roles.get(one.team_id) != MemberRole.MANAGER:
                roles[one.team_id] = one.role
        return WhoAmI(
            _known(caller.identity),
            [_known(one) for one in caller.linked],
            [Membership(team.id, team.name, roles[team.id]) for team in teams.values()],
            caller.is_admin,
            _shown(token),
        )

    async def make(self, caller: Caller, token: TokenRecord | None, wish: TokenWish) -> NewToken:
        """A personal access token.

        :param token: the one by which the caller asks
        :raises Refusal: they may not, or not for these scopes, or have as many as they may
        """
        may_hand_out(caller, token)
        label = wish.label.strip()
        if not label:
            raise refusals.invalid("The label of a token is empty: you know it by that when you revoke it.")
        scopes = _checked(await self._granted(caller, token), wish.scopes)
        await self._caps.check(Kind.TOKENS, caller, more=1)
        text = await self._bearer.issue(caller.id, label, wish.lifetime_s, kind=TokenKind.PERSONAL, scopes=scopes)
        try:
            await self._caps.check(Kind.TOKENS, caller)
        except refusals.Refusal:
            await self._bearer.revoke_digest(digest_of(text))
            raise
        made = await self._bearer.known(digest_of(text))
        if made is None:  # the account was closed at this moment
            raise refusals.unauthenticated()
        return NewToken(text, _shown(made))

    async def list(self, caller: Caller) -> TokenList:
        """The caller's: personal ones, and logins."""
        return TokenList([_shown(*group) for group in await self._groups(caller)])

    async def revoke(self, caller: Caller, token_id: str) -> None:
        """One of the caller's lets nobody in any more; of a login, all its tokens.

        :raises Refusal: they have none of this id
        """
        wanted = token_id.lower()
        for group in await self._groups(caller):
            if group[0].shown_id == wanted:
                if group[0].family is not None:
                    await self._bearer.revoke_all(family=group[0].family)
                else:
                    await self._bearer.revoke_digest(group[0].digest)
                return
        raise people_refusals.token_not_found(token_id)

    async def _granted(self, caller: Caller, token: TokenRecord | None) -> frozenset[str] | None:
        """What a personal token may be good for: all that its maker's login is, of which the token that asks is the
        part for one resource server. None: everything.
        """
        if caller.scopes is None or token is None or token.family is None:
            return caller.scopes
        login = [one for one in await self._people.tokens_of(token.identity_id) if one.family == token.family]
        alive = [one for one in login if one.expires_at is None or self._clock.now() < one.expires_at]
        return caller.scopes.union(*(one.scopes or () for one in alive))

    async def _groups(self, caller: Caller) -> Sequence[Sequence[TokenRecord]]:
        groups: dict[object, list[TokenRecord]] = {}
        now = self._clock.now()
        for identity_id in caller.ids:
            for record in await self._people.tokens_of(identity_id):
                is_over = record.expires_at is not None and now >= record.expires_at
                # What the service makes for whoever runs it comes and goes with its process.
                if record.kind is not TokenKind.SERVICE and record.stands_for is None and not is_over:
                    groups.setdefault(record.family or record.digest, []).append(record)
        return sorted(groups.values(), key=lambda group: min(record.created_at for record in group))


def _checked(granted: frozenset[str] | None, asked: Iterable[str] | None) -> tuple[str, ...]:
    try:
        scopes = (COMPUTE,) if asked is None else parse(" ".join(asked))
    except OAuthError as error:
        raise refusals.invalid(error.message) from error
    if not scopes:
        raise refusals.invalid("A token without a scope is good for nothing: name one, or leave scopes out.")
    more = [] if granted is None else [scope for scope in scopes if scope not in granted]
    if more:
        raise refusals.scope_missing(more)
    return scopes


def _shown(*group: TokenRecord) -> Token:
    first = group[0]
    is_login = first.kind in {TokenKind.ACCESS, TokenKind.REFRESH}
    expiries = [record.expires_at for record in group]
    scopes = [record.scopes for record in group]
    return Token(
        first.shown_id,
        first.label,
        _LOGIN if is_login else first.kind.value,
        min(record.created_at for record in group),
        None if None in expiries else max(one for one in expiries if one is not None),
        None if None in scopes else sorted({scope for one in scopes if one is not None for scope in one}),
        first.client_id,
    )


def _known(identity: IdentityRecord) -> Known:
    return Known(identity.id, identity.username, identity.name, identity.email, identity.provider)
