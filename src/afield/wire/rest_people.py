"""The bodies of the REST API about people: groups, sharing, authentication policies. All of it is ours, below
``/afield/v1``; the published API has no word for it.

A *group* here is one of people. Times are unix seconds.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = [
    "Grant",
    "GrantList",
    "GrantWish",
    "Group",
    "GroupChange",
    "GroupList",
    "GroupWish",
    "Invitation",
    "InvitationAnswer",
    "InvitationShown",
    "InvitationWish",
    "Member",
    "MemberWish",
    "Policy",
    "PolicyList",
    "PolicyWish",
]


_Name = Annotated[str, Meta(min_length=1, max_length=200)]
_Prose = Annotated[str, Meta(max_length=2_000)]
_Domains = Annotated[list[Annotated[str, Meta(min_length=1, max_length=255)]], Meta(max_length=100)]
_Place = Literal["manager", "member"]

_DAY = 86_400.0


class GroupWish(msgspec.Struct, omit_defaults=True):
    """POST /afield/v1/groups: make one; whoever asks becomes its manager."""

    name: _Name
    description: _Prose = ""


class GroupChange(msgspec.Struct, omit_defaults=True):
    """PUT /afield/v1/groups/{id}: what is not said stays."""

    name: _Name | None = None
    description: _Prose | None = None


class Member(msgspec.Struct):
    """Somebody in a group."""

    identity_id: str
    username: str
    name: str
    role: str  #: ``manager`` or ``member``
    since: float


class Group(msgspec.Struct):
    """A group, as its members see it."""

    id: str
    name: str
    description: str
    created_at: float
    #: what the caller is in it; None: they administrate the service
    role: str | None
    #: the oldest first; where one group was asked for
    members: list[Member] = []


class GroupList(msgspec.Struct):
    """GET /afield/v1/groups: those that the caller is in, without members."""

    groups: list[Group]


class MemberWish(msgspec.Struct):
    """PUT /afield/v1/groups/{id}/members/{identity_id}."""

    role: _Place


class InvitationWish(msgspec.Struct, omit_defaults=True):
    """POST /afield/v1/groups/{id}/invitations: let somebody in."""

    role: _Place = "member"
    #: only they may use it; None: whoever has the code
    username: str | None = None
    #: seconds for which it is good
    lifetime_s: Annotated[float, Meta(ge=60, le=90 * _DAY)] = 7 * _DAY


class Invitation(msgspec.Struct):
    """A new one. Nobody is shown its code again."""

    code: str
    #: path below the service's address; what a person is sent
    link: str
    expires_at: float


class InvitationShown(msgspec.Struct):
    """GET /afield/v1/invitations/{code}: what somebody is invited to. Looking does not use it up."""

    group_id: str
    group_name: str
    invited_by: str
    role: str
    expires_at: float


class InvitationAnswer(msgspec.Struct):
    """POST /afield/v1/invitations: accept one."""

    code: str


class GrantWish(msgspec.Struct, omit_defaults=True):
    """PUT /afield/v1/endpoints/{id}/grants. One of username, identity_id and group_id says with whom to share."""

    #: view: find it and read what it says of itself; run: also have tasks run there, as the user who started it;
    #: manage: also stop and delete it, and let others in
    role: Literal["view", "run", "manage"]
    username: str | None = None
    identity_id: str | None = None
    group_id: str | None = None


class Grant(msgspec.Struct):
    """With whom an endpoint is shared."""

    principal: str  #: ``identity`` or ``group``
    id: str  #: of the identity or the group
    name: str  #: username, or the group's name
    role: str
    since: float
    #: why it has less effect than its role says; empty: it has
    note: str = ""


class GrantList(msgspec.Struct):
    """GET /afield/v1/endpoints/{id}/grants."""

    endpoint_id: str
    grants: list[Grant]


class PolicyWish(msgspec.Struct, omit_defaults=True):
    """POST /afield/v1/policies, and PUT /afield/v1/policies/{id}, which replaces it."""

    name: _Name
    description: _Prose = ""
    high_assurance: bool = False
    #: at most so many seconds since the login; None: any
    session_s: Annotated[float, Meta(gt=0, le=3_650 * _DAY)] | None = None
    mfa_required: bool = False
    #: of usernames, such as ``example.org`` or ``*.example.org``; None: all
    include_domains: _Domains | None = None
    exclude_domains: _Domains = []


class Policy(msgspec.Struct):
    """An authentication policy."""

    id: str
    owner: str
    name: str
    description: str
    created_at: float
    high_assurance: bool
    session_s: float | None
    mfa_required: bool
    include_domains: list[str] | None
    exclude_domains: list[str]


class PolicyList(msgspec.Struct):
    """GET /afield/v1/policies: the caller's."""

    policies: list[Policy]
