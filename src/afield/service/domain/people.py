"""What the service keeps about people: who they are, how they come in, with whom they share. Times are unix seconds.

Theory. An *identity* is somebody who can be asked for: a local account's, one that an outside provider vouches for, or
a program's (a *client*). Identities that belong to one person have the same ``person_id``; together they are its
identity set, and what belongs to one is the others' too. Who may come in is proven by a *token*. What may be used once,
and only for a while (an authorization code, a device code, an invitation), is a *ticket*. Of tokens, tickets and
clients' secrets only the SHA-256 is kept, of passwords an argon2 hash: what is kept here opens nothing.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

import msgspec

__all__ = [
    "AccountRecord",
    "ClientRecord",
    "ConsentRecord",
    "GrantRecord",
    "GrantRole",
    "IdentityRecord",
    "KeyRecord",
    "LinkRecord",
    "MemberRecord",
    "MemberRole",
    "PolicyRecord",
    "Principal",
    "Session",
    "TeamRecord",
    "TicketRecord",
    "TokenKind",
    "TokenRecord",
    "family_of_stand_ins",
    "proof_of_family",
]


class IdentityRecord(msgspec.Struct, frozen=True):
    """Somebody who can be asked for."""

    id: str
    #: unique in practice among those that people write down; looked up in lower case
    username: str
    name: str
    email: str
    created_at: float
    #: who vouches for it: ``local``, ``client``, or the issuer's URL
    provider: str = "local"
    organization: str | None = None
    #: the same for all identities of one person; None: it is the only one
    person_id: str | None = None


class AccountRecord(msgspec.Struct, frozen=True):
    """A local account: an identity that logs in here with a password."""

    identity_id: str
    #: in lower case; unique
    username: str
    created_at: float
    #: argon2; None: no login by password
    password: str | None = None
    #: since when nobody comes in by it; None: it is in use
    disabled_at: float | None = None
    #: may administrate the service: accounts, groups, limits
    is_admin: bool = False


class LinkRecord(msgspec.Struct, frozen=True):
    """An identity at an outside provider. The pair is unique; nothing else, no e-mail address, ever links."""

    issuer: str
    subject: str
    identity_id: str
    created_at: float


class ClientRecord(msgspec.Struct, frozen=True):
    """A program that may ask for tokens; a confidential one is an identity of its own, with the same id."""

    id: str
    name: str
    owner_id: str | None
    created_at: float
    #: SHA-256; None: it has none (a native app, which proves itself by PKCE)
    secret_digest: bytes | None = None
    redirect_uris: tuple[str, ...] = ()
    disabled_at: float | None = None


class Session(msgspec.Struct, frozen=True):
    """How somebody who holds a token had logged in (for authentication policies)."""

    #: identity id -> when it last logged in with its provider
    authenticated_at: dict[str, float] = {}
    #: the identities that logged in with more than one factor
    mfa: tuple[str, ...] = ()


class TokenKind(StrEnum):
    """What a token is for."""

    ACCESS = "access"  #: lets in
    REFRESH = "refresh"  #: gets new access tokens, nothing else
    PERSONAL = "personal"  #: lets in; made by a person for a program of theirs
    SERVICE = "service"  #: lets in; made by the service for whoever runs it


#: Characters of :attr:`TokenRecord.shown_id`.
_ID_LENGTH: Final = 16

#: How the families of tokens that stand for a personal one begin. No login's does: those have no colon.
_STAND_IN: Final = "personal:"


class TokenRecord(msgspec.Struct, frozen=True):
    """A bearer token. Only its SHA-256 is kept."""

    digest: bytes
    identity_id: str
    label: str
    created_at: float
    expires_at: float | None = None
    kind: TokenKind = TokenKind.SERVICE
    client_id: str | None = None
    #: None: everything that its identity may
    scopes: tuple[str, ...] | None = None
    #: the same for all tokens of one login; revoking its refresh token means all
    family: str | None = None
    session: Session | None = None

    @property
    def stands_for(self) -> bytes | None:
        """The digest of the personal token in whose place it was given; None: of none. It ends with that one."""
        if self.family is None or not self.family.startswith(_STAND_IN):
            return None
        return bytes.fromhex(self.family.removeprefix(_STAND_IN))

    @property
    def shown_id(self) -> str:
        """By which its owner knows it, good for nothing else: the same for all of one login, and for a personal token
        and all that stand for it.
        """
        named = self.digest if self.family is None else sha256(f"family:{self.family}".encode()).digest()
        return (self.stands_for or named).hex()[:_ID_LENGTH]

    @property
    def proof(self) -> str:
        """Says which login or token it is, without being good for anything: the same for all of one login, and for a
        personal token and all that stand for it.
        """
        if self.family is None:
            return _short(self.digest)
        return proof_of_family(self.family) if self.stands_for is None else _short(self.stands_for)


def proof_of_family(family: str) -> str:
    """:attr:`TokenRecord.proof` of all tokens of one login."""
    return _short(family.encode())


def family_of_stand_ins(personal: bytes) -> str:
    """The family of the tokens that stand for a personal one.

    :param personal: its digest
    """
    return _STAND_IN + personal.hex()


def _short(text: bytes) -> str:
    return sha256(b"proof:" + text).hexdigest()[:16]


class TicketRecord(msgspec.Struct, frozen=True):
    """Something that may be used once, until it expires."""

    #: SHA-256 of what its holder shows
    digest: bytes
    #: ``code``, ``device``, ``login``, ``invitation``, …
    kind: str
    content: dict[str, Any]
    expires_at: float


class ConsentRecord(msgspec.Struct, frozen=True):
    """Somebody let a client act for them."""

    identity_id: str
    client_id: str
    scopes: tuple[str, ...]
    created_at: float


class TeamRecord(msgspec.Struct, frozen=True):
    """A group of people. (``group`` alone means a task group in the store.)"""

    id: str
    name: str
    created_at: float
    description: str = ""


class MemberRole(StrEnum):
    """What somebody is in a group."""

    MANAGER = "manager"  #: invites, removes, renames
    MEMBER = "member"


class MemberRecord(msgspec.Struct, frozen=True):
    """Somebody in a group."""

    team_id: str
    identity_id: str
    role: MemberRole
    created_at: float


class Principal(StrEnum):
    """Whom a grant is for."""

    IDENTITY = "identity"
    TEAM = "group"


class GrantRole(StrEnum):
    """What a grant lets its principal do with an endpoint."""

    VIEW = "view"
    RUN = "run"  #: and view
    MANAGE = "manage"  #: and run: change who may, stop, delete


class GrantRecord(msgspec.Struct, frozen=True):
    """An endpoint shared with a person or a group. One principal has at most one role on one object."""

    object_id: str
    principal: Principal
    principal_id: str
    role: GrantRole
    created_at: float


class PolicyRecord(msgspec.Struct, frozen=True):
    """An authentication policy: how one must have logged in to use what it protects."""

    id: str
    owner_id: str
    name: str
    created_at: float
    description: str = ""
    high_assurance: bool = False
    #: seconds since the login; None: any
    session_s: float | None = None
    mfa_required: bool = False
    #: of usernames, such as ``example.org`` or ``*.example.org``; None: all
    include_domains: tuple[str, ...] | None = None
    exclude_domains: tuple[str, ...] = ()


class KeyRecord(msgspec.Struct, frozen=True):
    """A key that signs what others verify. Its private part is kept encrypted with the service's secret."""

    id: str
    created_at: float
    #: a JWK in JSON
    public: str
    private: bytes
    #: from when on it signs nothing any more; it verifies a while longer
    retired_at: float | None = None
