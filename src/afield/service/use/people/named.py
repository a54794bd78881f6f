"""People as other people name them."""

from __future__ import annotations

from afield.ids import parse_id
from afield.service.domain import people_refusals, refusals
from afield.service.domain.people import IdentityRecord
from afield.service.store.people import People

__all__ = ["find_identity"]


async def find_identity(
    people: People, *, username: str | None = None, identity_id: str | None = None
) -> IdentityRecord:
    """The identity of this username or this id.

    :raises Refusal: nobody has it, or several have the username
    :raises InvalidId: the id is none
    """
    if identity_id is not None:
        found = await people.identity(parse_id(identity_id, "identity"))
        if found is None:
            raise people_refusals.identity_not_found(identity_id)
        return found
    assert username is not None
    named = await people.identities_named([username])
    if not named:
        raise people_refusals.identity_not_found(username)
    if len(named) > 1:
        ids = [one.id for one in named]
        raise refusals.conflict(
            f"{len(ids)} identities are called {username}: name one by its id, of {', '.join(ids)}."
        )
    return named[0]
