"""Authentication policies: how somebody must have logged in to use what a policy protects.

Theory. A policy admits some of a person's identities: those whose username is of a domain that it includes, if it names
any, and of none that it excludes. ``example.org`` means that domain alone, ``*.example.org`` all below it. One admitted
identity is enough, if that very one logged in as the policy demands: not longer ago than ``session_s`` seconds, with
more than one factor, or at all in this session, where the policy is one of high assurance. The owner of what is
protected is asked the same as everybody.

The refusal is a published authorization-requirements document (``code`` and ``authorization_parameters``): a client
that can, sends its person to log in as asked, and tries once more. A token of a program says nothing about a login, so
it passes only policies that ask for none.
"""

from __future__ import annotations

from typing import Any

from afield.service.domain import people_refusals, refusals
from afield.service.domain.caller import Caller
from afield.service.domain.people import IdentityRecord, PolicyRecord, Session
from afield.service.domain.refusals import Refusal

__all__ = ["admits", "check_policy", "is_domain", "missing_policy"]

_NO_SESSION = Session()


def is_domain(pattern: str) -> bool:
    """Whether it is a domain, or ``*.`` and one, as a policy may name it."""
    labels = pattern.removeprefix("*.").split(".")
    return len(pattern) <= 255 and all(_is_label(label) for label in labels)


def admits(policy: PolicyRecord, username: str) -> bool:
    """Whether an identity of this username counts."""
    _, at, domain = username.rpartition("@")
    domain = domain.lower() if at else ""
    if any(_matches(domain, pattern) for pattern in policy.exclude_domains):
        return False
    return policy.include_domains is None or any(_matches(domain, pattern) for pattern in policy.include_domains)


def check_policy(policy: PolicyRecord, caller: Caller, now: float) -> Refusal | None:
    """Why the caller may not use what this policy protects; None: they may, as far as it is concerned.

    :param now: unix time
    """
    admitted = [one for one in (caller.identity, *caller.linked) if admits(policy, one.username)]
    if not admitted:
        return _of_another_domain(policy)
    session = caller.session or _NO_SESSION
    if any(_suffices(policy, session, one, now) for one in admitted):
        return None
    return _log_in_again(policy, caller, admitted)


def missing_policy(policy_id: str) -> Refusal:
    """What protects it is gone; nobody gets in until its owner names another one, or none."""
    return refusals.endpoint_unprotected(policy_id)


def _is_label(label: str) -> bool:
    return 0 < len(label) <= 63 and label.isascii() and label.replace("-", "a").isalnum() and label.strip("-") == label


def _matches(domain: str, pattern: str) -> bool:
    pattern = pattern.lower()
    return domain.endswith(pattern[1:]) if pattern.startswith("*.") else domain == pattern


def _suffices(policy: PolicyRecord, session: Session, identity: IdentityRecord, now: float) -> bool:
    at = session.authenticated_at.get(identity.id)
    if at is None and (policy.high_assurance or policy.session_s is not None):
        return False
    if policy.session_s is not None and at is not None and now - at >= policy.session_s:
        return False
    return not policy.mfa_required or identity.id in session.mfa


def _of_another_domain(policy: PolicyRecord) -> Refusal:
    parameters: dict[str, Any] = {"session_required_policies": [policy.id]}
    said = ""
    if policy.include_domains is not None:
        said = f", which is of one of {', '.join(policy.include_domains)}"
        if not any(domain.startswith("*") for domain in policy.include_domains):
            parameters["session_required_single_domain"] = list(policy.include_domains)
    elif policy.exclude_domains:
        said = f", which is of none of {', '.join(policy.exclude_domains)}"
    return people_refusals.authorization_required(
        f"Policy {policy.name!r} asks for an identity of yours{said}. Log in with one (`afield login`), or link one.",
        parameters,
    )


def _log_in_again(policy: PolicyRecord, caller: Caller, admitted: list[IdentityRecord]) -> Refusal:
    asked = []
    if policy.session_s is not None:
        asked.append(f"within the last {policy.session_s:g} s")
    if policy.mfa_required:
        asked.append("with a second factor")
    parameters: dict[str, Any] = {
        "session_required_policies": [policy.id],
        "prompt": "login",
    }
    if policy.mfa_required:
        parameters["session_required_mfa"] = True
    of_program = " The token that came with the request says of no login." if caller.session is None else ""
    return people_refusals.authorization_required(
        f"Policy {policy.name!r} asks that {' or '.join(one.username for one in admitted)} has logged in"
        f"{' ' + ' and '.join(asked) if asked else ''}.{of_program} Log in again (`afield login`), and repeat.",
        parameters,
    )
