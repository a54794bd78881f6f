"""How the service says no about people: accounts, tokens, clients, groups, grants and policies.

As in :mod:`afield.service.domain.refusals`. Who may not see a thing is told what they would be told if there were none.
"""

from __future__ import annotations

from collections.abc import Mapping

from afield.service.domain.refusals import Refusal

__all__ = [
    "account_not_found",
    "authorization_required",
    "client_not_found",
    "grant_not_found",
    "identity_not_found",
    "invitation_not_found",
    "login_required",
    "operators_only",
    "policy_forbidden",
    "policy_not_found",
    "team_forbidden",
    "team_not_found",
    "token_not_found",
    "too_many",
]


def authorization_required(
    message: str, parameters: Mapping[str, object], code: str = "AuthorizationRequired"
) -> Refusal:
    """The caller must log in in another way, or consent to more; clients that can, do so and ask again.

    :param parameters: of a published authorization-requirements document, without ``session_message``
    """
    refusal = Refusal(403, code, message)
    refusal.authorization = {"session_message": message, **parameters}
    return refusal


def operators_only(_name: str = "") -> Refusal:
    """Only for those who administrate the service."""
    return Refusal(403, "OPERATORS_ONLY", "Only those who administrate this service may do that. Ask whoever runs it.")


def login_required() -> Refusal:
    """A program's token is not enough to administrate the service."""
    return Refusal(
        403,
        "LOGIN_REQUIRED",
        "This is somebody else's, and what an administrator changes of others is not changed with a personal access "
        "token, which programs hold. Run `afield login`, and repeat.",
    )


def identity_not_found(named: str) -> Refusal:
    """Nobody of that name or id."""
    return Refusal(
        404,
        "IDENTITY_NOT_FOUND",
        f"Nobody is known here as {named}. Whoever is meant logs in once first; their name is what `afield whoami` "
        "shows them.",
    )


def account_not_found(named: str) -> Refusal:
    """No such account, or not the caller's to see."""
    return Refusal(404, "ACCOUNT_NOT_FOUND", f"There is no account {named} here.")


def token_not_found(named: str) -> Refusal:
    """No such token, or not the caller's."""
    return Refusal(404, "TOKEN_NOT_FOUND", f"You have no token {named} here.")


def client_not_found(client_id: str) -> Refusal:
    """No such client, or not the caller's."""
    return Refusal(404, "CLIENT_NOT_FOUND", f"You have no client {client_id} here.")


def team_not_found(team_id: str) -> Refusal:
    """No such group of people, or one that the caller is not in: which of the two is nobody else's business."""
    return Refusal(404, "GROUP_NOT_FOUND", f"You are in no group {team_id}.")


def team_forbidden(team_id: str) -> Refusal:
    """A member wants what is its managers' to do."""
    return Refusal(403, "GROUP_ACCESS_FORBIDDEN", f"Only a manager of group {team_id} may do that. Ask one of them.")


def invitation_not_found() -> Refusal:
    """Unknown, used, expired or taken back; which of these is not told."""
    return Refusal(
        404,
        "INVITATION_NOT_FOUND",
        "There is no such invitation: it was used, has expired or was taken back, or a character of it is missing. "
        "Ask whoever invited you for another one.",
    )


def grant_not_found(endpoint_id: str, named: str) -> Refusal:
    """Taking back what was never given."""
    return Refusal(404, "GRANT_NOT_FOUND", f"Endpoint {endpoint_id} is not shared with {named}.")


def policy_not_found(policy_id: str) -> Refusal:
    """No such authentication policy."""
    return Refusal(404, "POLICY_NOT_FOUND", f"There is no authentication policy {policy_id} here.")


def policy_forbidden(policy_id: str) -> Refusal:
    """Somebody else's authentication policy."""
    return Refusal(
        403, "POLICY_ACCESS_FORBIDDEN", f"Authentication policy {policy_id} belongs to somebody else. Ask its owner."
    )


def too_many(what: str, most: int) -> Refusal:
    """Somebody has as many of these as one person may have.

    :param what: a word for one of them: client, token, group or endpoint
    """
    having = "manage" if what == "group" else "have"
    shown = f"`afield {what} list` shows them"
    if what == "endpoint":  # that command knows those of one machine
        shown = "`Client().get_endpoints()` lists them, `afield endpoint list` those of a machine"
    return Refusal(
        409,
        f"TOO_MANY_{what.upper()}S",
        f"This service lets one person {having} {most:,} {what}s, and you do. Remove what you do not need any more "
        f"({shown}), or ask whoever runs the service to allow more.",
    )
