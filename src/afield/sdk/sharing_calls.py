"""The part of ``Client`` that is about people: with whom endpoints are shared, groups, authentication policies."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from afield.ids import parse_id
from afield.sdk.checks import flag, seconds, text
from afield.wire.rest_people import (
    Grant,
    GrantList,
    GrantWish,
    Group,
    GroupChange,
    GroupList,
    GroupWish,
    Invitation,
    InvitationAnswer,
    InvitationWish,
    MemberWish,
    Policy,
    PolicyList,
    PolicyWish,
)

if TYPE_CHECKING:
    from afield.sdk.session import Session

__all__ = ["SharingCalls"]

UUIDlike = uuid.UUID | str
T = TypeVar("T")
R = TypeVar("R", bound=str)

_ENDPOINTS = "/afield/v1/endpoints/"
_GROUPS = "/afield/v1/groups"
_INVITATIONS = "/afield/v1/invitations"
_POLICIES = "/afield/v1/policies"
_DAY = 86_400.0


class SharingCalls(ABC):
    """What a service can be asked about people."""

    @abstractmethod
    def session(self) -> Session:
        """Where to ask."""

    # -- endpoints ---------------------------------------------------------------------------------------------------

    def share_endpoint(
        self,
        endpoint_id: UUIDlike,
        username: str | None = None,
        *,
        identity_id: UUIDlike | None = None,
        group_id: UUIDlike | None = None,
        role: Literal["view", "run", "manage"] = "run",
    ) -> dict[str, Any]:
        """Share an endpoint with a person or a group, or change what they may there.

        Whoever may run tasks there does so as the user who started the endpoint. Ours.

        :param username: with whom; or ``identity_id``, or ``group_id``: one of the three
        :param role: ``view``: find it and read what it says of itself; ``run``: also run tasks there; ``manage``: also
            stop and delete it, and let others in
        :return: principal, id, name, role, since; and a note, where the role has less effect than it says
        :raises ValueError: none or several say with whom, or the role is none
        :raises InvalidId: one of the ids is none
        :raises ComputeAPIError: it is not yours to share, or nobody is known by that name
        """
        wish = GrantWish(_one_of("role", role, ("view", "run", "manage")), *_whom(username, identity_id, group_id))
        return _plain(self._ask("PUT", f"{_ENDPOINTS}{parse_id(endpoint_id, 'endpoint')}/grants", Grant, wish))

    def unshare_endpoint(
        self,
        endpoint_id: UUIDlike,
        username: str | None = None,
        *,
        identity_id: UUIDlike | None = None,
        group_id: UUIDlike | None = None,
    ) -> None:
        """Take back what was shared. What they run there ends, and its futures fail, saying so. Ours.

        :param username: from whom; or ``identity_id``, or ``group_id``: one of the three
        :raises ValueError: none or several say from whom, or it is not shared with anybody of that name
        :raises InvalidId: one of the ids is none
        :raises ComputeAPIError: it is not yours to share, or was not shared with them
        """
        place = f"{_ENDPOINTS}{parse_id(endpoint_id, 'endpoint')}/grants"
        name, identity, group = _whom(username, identity_id, group_id)
        if name is not None:
            grants = self._ask("GET", place, GrantList).grants
            found = [one.id for one in grants if one.principal == "identity" and one.name.lower() == name.lower()]
            if not found:
                raise ValueError(f"endpoint {endpoint_id} is not shared with anybody called {name}")
            identity = found[0]
        kind, one = ("group", group) if group is not None else ("identity", identity)
        self._ask("DELETE", f"{place}/{kind}/{one}", dict[str, Any])

    def list_grants(self, endpoint_id: UUIDlike) -> list[dict[str, Any]]:
        """With whom an endpoint is shared; the oldest first. Ours.

        :raises InvalidId: it is no id
        :raises ComputeAPIError: it is not yours to know
        """
        place = f"{_ENDPOINTS}{parse_id(endpoint_id, 'endpoint')}/grants"
        return [_plain(one) for one in self._ask("GET", place, GrantList).grants]

    # -- groups ------------------------------------------------------------------------------------------------------

    def list_groups(self) -> list[dict[str, Any]]:
        """The groups that you are in, without their members. Ours."""
        return [_plain(one) for one in self._ask("GET", _GROUPS, GroupList).groups]

    def create_group(self, name: str, description: str = "") -> dict[str, Any]:
        """Make a group, of which you are the manager. Ours.

        :raises ValueError: the name is empty or too long
        """
        wish = GroupWish(_name("name", name), text("description", description, 2_000))
        return _plain(self._ask("POST", _GROUPS, Group, wish))

    def get_group(self, group_id: UUIDlike) -> dict[str, Any]:
        """A group, with its members. Ours.

        :raises ComputeAPIError: you are in no such group
        """
        return _plain(self._ask("GET", _group(group_id), Group))

    def update_group(
        self, group_id: UUIDlike, *, name: str | None = None, description: str | None = None
    ) -> dict[str, Any]:
        """Rename a group that you manage, or describe it anew; what is not given stays. Ours."""
        change = GroupChange(
            None if name is None else _name("name", name),
            None if description is None else text("description", description, 2_000),
        )
        return _plain(self._ask("PUT", _group(group_id), Group, change))

    def delete_group(self, group_id: UUIDlike) -> None:
        """Remove a group that you manage. What was shared with it is not shared with it any more. Ours."""
        self._ask("DELETE", _group(group_id), dict[str, Any])

    def invite_to_group(
        self,
        group_id: UUIDlike,
        username: str | None = None,
        *,
        role: Literal["manager", "member"] = "member",
        lifetime_s: float = 7 * _DAY,
    ) -> dict[str, Any]:
        """Make an invitation into a group that you manage. It is good once. Ours.

        :param username: only they may use it; None: whoever has its code
        :param lifetime_s: seconds for which it is good, from a minute to 90 days
        :return: its ``code``, a ``link`` below the service's address, and when it expires
        :raises ValueError: the role is none, or the time is out of range
        """
        lifetime = seconds("lifetime_s", lifetime_s, over=59.999, most=90 * _DAY)
        wish = InvitationWish(_one_of("role", role, ("manager", "member")), username, lifetime)
        return _plain(self._ask("POST", f"{_group(group_id)}/invitations", Invitation, wish))

    def join_group(self, invitation: str) -> dict[str, Any]:
        """Accept an invitation. Ours.

        :param invitation: its code, or the whole link
        :return: the group
        :raises ComputeAPIError: it was used, has expired, or is for somebody else
        """
        code = text("invitation", invitation).strip().rpartition("/")[2]
        return _plain(self._ask("POST", _INVITATIONS, Group, InvitationAnswer(code)))

    def set_group_role(
        self, group_id: UUIDlike, identity_id: UUIDlike, role: Literal["manager", "member"]
    ) -> dict[str, Any]:
        """Make a member a manager of a group that you manage, or a manager a member. Ours."""
        wish = MemberWish(_one_of("role", role, ("manager", "member")))
        return _plain(self._ask("PUT", f"{_group(group_id)}/members/{parse_id(identity_id, 'identity')}", Group, wish))

    def remove_from_group(self, group_id: UUIDlike, identity_id: UUIDlike) -> None:
        """Leave a group, or remove somebody from one that you manage. Ours."""
        self._ask("DELETE", f"{_group(group_id)}/members/{parse_id(identity_id, 'identity')}", dict[str, Any])

    # -- policies ----------------------------------------------------------------------------------------------------

    def create_policy(
        self,
        name: str,
        description: str = "",
        *,
        include_domains: Sequence[str] | None = None,
        exclude_domains: Sequence[str] = (),
        session_s: float | None = None,
        mfa_required: bool = False,
        high_assurance: bool = False,
    ) -> dict[str, Any]:
        """Make an authentication policy; an endpoint names it as its ``authentication_policy``. Ours.

        :param include_domains: of usernames, such as ``example.org`` or ``*.example.org``; None: all
        :param session_s: how long ago, in seconds, one may have logged in at most; None: ever
        :param mfa_required: whether it must have been with a second factor
        :param high_assurance: whether it may protect endpoints of high assurance
        """
        included = None if include_domains is None else [text("include_domains", one) for one in include_domains]
        wish = PolicyWish(
            _name("name", name),
            text("description", description, 2_000),
            flag("high_assurance", high_assurance),
            None if session_s is None else seconds("session_s", session_s, over=0, most=3_650 * _DAY),
            flag("mfa_required", mfa_required),
            included,
            [text("exclude_domains", one) for one in exclude_domains],
        )
        return _plain(self._ask("POST", _POLICIES, Policy, wish))

    def list_policies(self) -> list[dict[str, Any]]:
        """Your authentication policies. Ours."""
        return [_plain(one) for one in self._ask("GET", _POLICIES, PolicyList).policies]

    def get_policy(self, policy_id: UUIDlike) -> dict[str, Any]:
        """An authentication policy: what it asks for. Ours."""
        return _plain(self._ask("GET", f"{_POLICIES}/{parse_id(policy_id, 'policy')}", Policy))

    def delete_policy(self, policy_id: UUIDlike) -> None:
        """Remove a policy that protects nothing. Ours."""
        self._ask("DELETE", f"{_POLICIES}/{parse_id(policy_id, 'policy')}", dict[str, Any])

    def _ask(self, method: str, path: str, kind: type[T], body: object = None) -> T:
        # What makes something new is not repeated: the first try may have had its effect.
        again = method != "POST"
        return self.session().call(lambda service: service.ask(method, path, kind, body), again=again)


def _whom(
    username: str | None, identity_id: UUIDlike | None, group_id: UUIDlike | None
) -> tuple[str | None, str | None, str | None]:
    if [username, identity_id, group_id].count(None) != 2:
        raise ValueError("name one of username, identity_id and group_id: that is with whom it is shared")
    return (
        None if username is None else text("username", username),
        None if identity_id is None else parse_id(identity_id, "identity"),
        None if group_id is None else parse_id(group_id, "group"),
    )


def _one_of(name: str, value: R, known: Sequence[R]) -> R:
    if value not in known:
        raise ValueError(f"{name} should be one of {', '.join(known)}, and is {value!r}")
    return value


def _name(name: str, value: str) -> str:
    if not text(name, value, 200).strip():
        raise ValueError(f"{name} should be what people know it by, and is {value!r}")
    return value


def _group(group_id: UUIDlike) -> str:
    return f"{_GROUPS}/{parse_id(group_id, 'group')}"


def _plain(record: msgspec.Struct) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(record)
    return plain
