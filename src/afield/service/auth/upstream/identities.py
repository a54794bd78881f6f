"""Whom somebody from elsewhere is here: found, made, joined with others of theirs, parted from them.

An identity of a provider has an id that follows from the provider's URL and the subject. So whatever is interrupted on
the way, or done twice at once, ends with one identity and not with halves of two.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final
from uuid import UUID, uuid5

import msgspec

from afield.service.auth.oauth.browser import LoggedIn
from afield.service.auth.tokens import BearerTokens
from afield.service.auth.upstream.arrival import Arrival
from afield.service.auth.upstream.problems import LoginFailed, not_allowed
from afield.service.clock import Clock
from afield.service.domain.people import IdentityRecord, LinkRecord
from afield.service.store.base import AlreadyStored
from afield.service.store.people import People

__all__ = ["OutsideIdentities"]

_SPACE: Final = UUID("4f3f9c52-6c0e-5b0d-9a35-3c1c7f0a6d11")


class OutsideIdentities:
    """Identities that providers vouch for."""

    def __init__(self, people: People, tokens: BearerTokens, clock: Clock) -> None:
        self._people, self._tokens, self._clock = people, tokens, clock

    async def known(self, arrival: Arrival) -> IdentityRecord | None:
        """Whom somebody is here; None: they have never come, and are linked with nobody."""
        link = await self._people.link(arrival.issuer, arrival.subject)
        if link is None:
            return None
        return await self._people.identity(link.identity_id)

    async def admit(self, arrival: Arrival, title: str, *, may_sign_up: bool) -> IdentityRecord:
        """Let somebody in. The first time, they get an identity.

        :param title: of the provider, for messages
        :raises LoginFailed: they may not come
        """
        identity = await self.known(arrival)
        if not may_sign_up and (identity is None or not await self._is_linked(identity)):
            raise not_allowed(
                f"{title} says that you are {arrival.username}, and no account here is linked with that. Only those "
                f"come in by {title} who have an account of this service: log in with that and link them, or ask "
                "whoever runs this service."
            )
        if identity is None:
            identity = await self._made(arrival)
        await self._check_in_use(identity)
        return await self._renewed(identity, arrival)

    async def link(self, arrival: Arrival, person: LoggedIn) -> IdentityRecord:
        """Somebody from elsewhere is this person, too: both are one from now on.

        :raises LoginFailed: they are somebody else here already
        """
        there = await self.known(arrival)
        if there is not None and any(one.id == there.id for one in person.identities):
            return there
        await self._check_in_use(person.identity)
        there = there or await self._made(arrival)
        # Asked last of all, so that nobody who was linked with somebody just now is taken away from them.
        if await self._is_linked(there):
            raise LoginFailed(
                f"You are {there.username} there, who has an account or other identities here. Log in as that one and "
                "unlink these first, or ask whoever runs this service. Nothing was changed.",
                409,
            )
        person_id = _person_id(person.identities)
        joined = msgspec.structs.replace(there, person_id=person_id)
        for one in (*person.identities, joined):
            await self._people.put_identity(msgspec.structs.replace(one, person_id=person_id))
        await self._tokens.doubt()
        return joined

    async def unlink(self, person: LoggedIn, identity_id: str) -> IdentityRecord:
        """Part an identity from the person's others. It comes in by itself from then on; what either came in by ends.

        :raises LoginFailed: it is not theirs, or is the one that the others were linked with
        """
        one = next((each for each in person.identities if each.id == identity_id), None)
        if one is None or one.person_id is None or len(person.identities) < 2:
            raise LoginFailed("That is none of the identities that are linked with you. Look at the list again.", 404)
        if one.id == one.person_id:
            raise LoginFailed(
                f"The others were linked with {one.username}, so that one stays. Unlink the others instead.", 409
            )
        await self._people.put_identity(msgspec.structs.replace(one, person_id=None))
        for each in person.identities:
            await self._tokens.revoke_all(identity_id=each.id)
        return one

    # -- inside ------------------------------------------------------------------------------------------------------

    async def _made(self, arrival: Arrival) -> IdentityRecord:
        now = self._clock.now()
        identity_id = str(uuid5(_SPACE, json.dumps([arrival.issuer, arrival.subject])))
        identity = await self._people.identity(identity_id)
        if identity is None:
            identity = IdentityRecord(
                identity_id, arrival.username, arrival.name, arrival.email, now, arrival.issuer, arrival.organization
            )
            await self._people.put_identity(identity)
        try:
            await self._people.put_link(LinkRecord(arrival.issuer, arrival.subject, identity_id, now))
        except AlreadyStored:
            found = await self.known(arrival)  # somebody was quicker: an administrator, or the same person twice
            return found or identity
        return identity

    async def _renewed(self, identity: IdentityRecord, arrival: Arrival) -> IdentityRecord:
        """With what the provider says of them now; an account keeps the names that it has here."""
        if identity.provider != arrival.issuer:
            return identity
        renewed = msgspec.structs.replace(
            identity,
            username=arrival.username,
            name=arrival.name,
            email=arrival.email,
            organization=arrival.organization,
        )
        if renewed != identity:
            await self._people.put_identity(renewed)
        return renewed

    async def _check_in_use(self, identity: IdentityRecord) -> None:
        for one in await self._person(identity):
            account = await self._people.account_of(one.id)
            if account is not None and account.disabled_at is not None:
                raise not_allowed(
                    f"The account {account.username} is disabled, and you are its owner. Ask whoever runs this service."
                )

    async def _is_linked(self, identity: IdentityRecord) -> bool:
        """Whether it is an account's, or has others beside it."""
        return len(await self._person(identity)) > 1 or await self._people.account_of(identity.id) is not None

    async def _person(self, identity: IdentityRecord) -> Sequence[IdentityRecord]:
        if identity.person_id is None:
            return [identity]
        return await self._people.identities_of(identity.person_id) or [identity]


def _person_id(mine: Sequence[IdentityRecord]) -> str:
    # The same whoever joins them, so that two who do at once make one person.
    return mine[0].person_id or mine[0].id
