"""How one must have logged in for what is asked (the published step-up parameters; OpenID Connect Core 3.1.2.1). PURE.

Theory. A *session* says which identities of a person logged in, when, and which of them with more than one factor. A
request may *need* more: certain identities, one of certain domains, more factors, a fresh login, or what a policy asks
for. What is not met is said in words, and the person is asked to log in once more; nothing else can meet it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from afield.service.auth.oauth.problems import invalid_request
from afield.service.domain.caller import Caller
from afield.service.domain.people import IdentityRecord, PolicyRecord, Session
from afield.service.domain.policies import check_policy

__all__ = ["NOTHING", "Needs", "asked", "parse_needs", "unmet"]

_MOST: Final = 20
_MESSAGE: Final = 500


class Needs(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a request asks of the login, beyond that there is one."""

    #: ids or usernames, all of which must have logged in
    identities: tuple[str, ...] = ()
    #: of one of these must somebody who logged in be
    domains: tuple[str, ...] = ()
    #: ids of policies, all of which must hold
    policies: tuple[str, ...] = ()
    mfa: bool = False
    #: no login before this time counts; unix time
    since: float | None = None
    #: why, in the words of whoever asks
    message: str | None = None


NOTHING: Final = Needs()


def parse_needs(fields: Mapping[str, str], now: float) -> Needs:
    """The needs in a request's parameters.

    :raises OAuthError: one is not what it must be
    """
    prompts = fields.get("prompt", "").split()
    if any(each not in {"login", "none", "consent", "select_account"} for each in prompts):
        raise invalid_request("prompt may be login, consent or none. Send one of these, or leave it out.")
    if "none" in prompts and len(set(prompts)) > 1:  # OpenID Connect Core 3.1.2.1
        raise invalid_request("prompt is none, and asks for more. Send none alone, or leave it out.")
    mfa = fields.get("session_required_mfa", "false").lower()
    if mfa not in {"true", "false", "1", "0"}:
        raise invalid_request("session_required_mfa is true or false. Send one of these, or leave it out.")
    since = now if {"login", "select_account"} & set(prompts) else None
    if "max_age" in fields:
        age = fields["max_age"]
        if not age.isascii() or not age.isdigit() or len(age) > 9:
            raise invalid_request("max_age is a number of seconds. Send one, or leave it out.")
        since = max(now - int(age), since or 0.0)
    message = fields.get("session_message")
    return Needs(
        identities=_list(fields, "session_required_identities"),
        domains=tuple(each.lower() for each in _list(fields, "session_required_single_domain")),
        policies=_list(fields, "session_required_policies"),
        mfa=mfa in {"true", "1"},
        since=since,
        message=None if message is None else message[:_MESSAGE],
    )


def unmet(
    needs: Needs,
    session: Session,
    person: Sequence[IdentityRecord],
    policies: Sequence[PolicyRecord],
    now: float,
) -> bool:
    """Whether something is missing.

    :param session: which identities logged in, and when
    :param person: all of their identities
    :param policies: those that the needs name
    """
    present = [one for one in person if one.id in session.authenticated_at]
    latest = max((session.authenticated_at[one.id] for one in present), default=None)
    if latest is None or (needs.since is not None and latest < needs.since):
        return True
    names = {one.id for one in present} | {one.username.lower() for one in present}
    if not names >= {each.lower() for each in needs.identities}:
        return True
    if needs.domains and not any(_is_of(one, needs.domains) for one in present):
        return True
    if needs.mfa and not any(one.id in session.mfa for one in present):
        return True
    caller = Caller(person[0], tuple(person[1:]), session=session)
    return any(check_policy(each, caller, now) is not None for each in policies)


def asked(needs: Needs, policies: Sequence[PolicyRecord], names: Mapping[str, str]) -> str | None:
    """What it takes, as a sentence for the person; None: any login does.

    :param names: id -> username, of those that the needs name
    """
    wanted = []
    if needs.identities:
        wanted.append(f"as {' and '.join(names.get(each, each) for each in needs.identities)}")
    if needs.domains:
        wanted.append(f"with an account of {_either(needs.domains)}")
    if needs.mfa:
        wanted.append("with more than one factor")
    said = [f"This needs a login {', '.join(wanted)}."] if wanted else []
    if not said and needs.since is not None:
        said = ["This needs a new login, even where you are logged in."]
    return " ".join([*said, *map(_asks, policies)]) or None


def _is_of(identity: IdentityRecord, domains: Sequence[str]) -> bool:
    return identity.username.lower().rpartition("@")[2] in domains


def _asks(policy: PolicyRecord) -> str:
    asked = []
    if policy.include_domains is not None:
        asked.append(f"an account of {_either(policy.include_domains)}")
    if policy.exclude_domains:
        asked.append(f"none of {_either(policy.exclude_domains)}")
    if policy.session_s is not None:
        asked.append(f"a login of the last {policy.session_s / 60:.0f} minutes")
    if policy.mfa_required:
        asked.append("more than one factor")
    return f"The policy {policy.name} needs {', '.join(asked) or 'a login in this browser'}."


def _either(several: Sequence[str]) -> str:
    return " or ".join(several)


def _list(fields: Mapping[str, str], name: str) -> tuple[str, ...]:
    found = tuple(each for each in (one.strip() for one in fields.get(name, "").split(",")) if each)
    if len(found) > _MOST or any(len(each) > 256 for each in found):
        raise invalid_request(f"{name} has more in it than anybody needs: at most {_MOST} entries. Send fewer.")
    return found
