"""Who is asking, as everybody behind the door knows them."""

from __future__ import annotations

from dataclasses import dataclass

from afield.service.domain.people import IdentityRecord, Session

__all__ = ["Caller"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who was let in.

    :param identity: the one they act as: what they make is this one's
    :param linked: their other identities; what belongs to one of these is theirs too
    :param teams: the ids of the groups that one of their identities is in
    :param scopes: what their token is good for; None: everything
    :param session: how they had logged in; None: not known, as with tokens that programs have
    :param is_admin: may administrate the service
    :param proof: says by which login or token they came in, without being good for anything; none: by neither
    :param is_program: their token was made for a program of theirs, not by logging in
    """

    identity: IdentityRecord
    linked: tuple[IdentityRecord, ...] = ()
    teams: frozenset[str] = frozenset()
    scopes: frozenset[str] | None = None
    session: Session | None = None
    is_admin: bool = False
    is_program: bool = False
    proof: str = ""

    @property
    def id(self) -> str:
        """The id of the identity that they act as."""
        return self.identity.id

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all their identities, the one that they act as first."""
        return (self.identity.id, *(other.id for other in self.linked))

    def is_one_of(self, *identity_ids: str) -> bool:
        """Whether one of these ids is theirs."""
        return self.identity.id in identity_ids or any(other.id in identity_ids for other in self.linked)
