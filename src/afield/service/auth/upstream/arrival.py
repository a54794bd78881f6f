"""Who somebody is whom a provider vouches for. PURE.

Theory. They are the pair of the provider's URL and their *subject* there; all else is for people to read, and may
change at each login. A username ends with a domain, and policies go by domains: so it is one that the provider owns,
its host, unless whoever runs this service trusts the provider with whole names. Who may come is asked of what the
provider has verified, never of what people write down about themselves. When somebody logged in is what the provider
says; where it says nothing, that was long ago, so that such a login passes for no fresh one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from afield.service.auth.upstream.id_token import LEEWAY_S
from afield.service.auth.upstream.problems import LoginFailed, lied, not_allowed
from afield.service.settings import ProviderSettings

__all__ = ["LONG_AGO", "Arrival", "arrival", "check_allowed", "logged_in_at", "silent"]

#: When somebody logged in of whom nobody knows when.
LONG_AGO: Final = 0.0

_LONGEST: Final = 150


class Arrival(msgspec.Struct, frozen=True):
    """Somebody whom a provider has sent.

    :param authenticated_at: when they logged in there; unix time
    :param mfa: with more than one factor
    """

    provider: str
    issuer: str
    subject: str
    username: str
    name: str
    email: str
    organization: str | None
    authenticated_at: float
    mfa: bool


def arrival(settings: ProviderSettings, claims: Mapping[str, Any], subject: str, at: float) -> Arrival:
    """Who that is.

    :param claims: all that the provider says
    :param at: see :func:`logged_in_at`
    """
    username = _username(settings, claims, subject)
    organization = _text(claims.get(settings.organization_claim))
    return Arrival(
        provider=settings.name,
        issuer=settings.issuer,
        subject=subject,
        username=username,
        name=_text(claims.get("name")) or username,
        email=_text(claims.get("email")),
        organization=organization or None,
        authenticated_at=at,
        mfa=claims.get("acr") in settings.mfa_acr or bool(set(_texts(claims.get("amr"))) & set(settings.mfa_amr)),
    )


def logged_in_at(
    settings: ProviderSettings,
    claims: Mapping[str, Any],
    now: float,
    *,
    since: float | None,
    is_timed: bool,
    title: str,
) -> float:
    """When somebody logged in at a provider.

    :param since: no login before this time will do
    :param is_timed: one that is too old will not do, so when it was has to be said
    :raises LoginFailed: it was before that, or is not said though it has to be
    """
    said = claims.get(settings.time_claim)
    if isinstance(said, bool) or not isinstance(said, int | float):
        if settings.assume_fresh:
            return now
        if is_timed:
            raise silent(title)
        return LONG_AGO
    if said > now + LEEWAY_S:
        raise lied(title, "says that you logged in at a time that is yet to come: one of the two clocks is wrong")
    at = min(float(said), now)
    if since is None or at >= since:
        return at
    if at < since - LEEWAY_S:
        raise lied(title, "is of a login that is too old, though a new one was asked for")
    # It counts in whole seconds, and by a clock of its own: this is the login that was asked for.
    return since


def silent(title: str) -> LoginFailed:
    """A provider cannot help where it matters when somebody logged in."""
    return not_allowed(
        f"What you want to do needs a login of a certain time, and {title} does not say when anybody logged in. Log in "
        "another way, or ask whoever runs this service."
    )


def check_allowed(settings: ProviderSettings, claims: Mapping[str, Any], title: str) -> None:
    """Whether somebody whom a provider vouches for may come.

    :raises LoginFailed: no
    """
    domains = _domains(claims)
    if settings.allowed_domains and not any(_is_of(one, each) for one in domains for each in settings.allowed_domains):
        raise not_allowed(
            f"{title} says who you are, but only people of {' or '.join(settings.allowed_domains)} may come here from "
            "there. Log in with another account, or ask whoever runs this service."
        )
    for name, values in settings.require.items():
        if not set(_texts(claims.get(name))) & set(values):
            raise not_allowed(
                f"{title} says who you are, but not that you belong to those who may come from there ({name}). Log in "
                "with another account, or ask whoever runs this service."
            )


def _username(settings: ProviderSettings, claims: Mapping[str, Any], subject: str) -> str:
    whole = _text(claims.get(settings.username_claim)) if settings.username_claim else ""
    is_good = settings.username_claim != "email" or claims.get("email_verified") is True
    name, at, domain = whole.partition("@")
    if is_good and at and name and domain and "@" not in domain:
        return whole
    for each in ("preferred_username", "login", "username"):
        local = _text(claims.get(each))
        if local:
            break
    else:
        local = subject
    host = settings.username_domain or urlsplit(settings.issuer).hostname or settings.name
    return f"{_plain(local)[: _LONGEST - len(host)]}@{host}"


def _domains(claims: Mapping[str, Any]) -> list[str]:
    found = [_text(claims.get("hd")), _text(claims.get("eppn")).rpartition("@")[2]]
    if claims.get("email_verified") is True:
        found.append(_text(claims.get("email")).rpartition("@")[2])
    return [each.lower() for each in found if each]


def _is_of(domain: str, pattern: str) -> bool:
    pattern = pattern.lower()
    return domain.endswith(pattern[1:]) if pattern.startswith("*.") else domain == pattern


def _plain(text: str) -> str:
    return "".join(each for each in text if not each.isspace())


def _text(value: object) -> str:
    if not isinstance(value, str):
        return ""
    return "".join(each for each in value if each.isprintable()).strip()[:_LONGEST]


def _texts(value: object) -> list[str]:
    several = value if isinstance(value, list) else [value]
    return [each for each in several if isinstance(each, str)]
