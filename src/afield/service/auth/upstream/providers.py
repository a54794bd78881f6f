"""Providers as they are set up: what is left out is filled in, what cannot work is told at the start. PURE.

GitHub is no OpenID provider; its addresses and its words are at https://docs.github.com/en/apps/oauth-apps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from afield.errors import ConfigurationError
from afield.service.auth.upstream.id_token import ALGORITHMS
from afield.service.domain.policies import is_domain
from afield.service.settings import ProviderSettings

__all__ = ["ORGANIZATIONS", "completed", "is_safe"]

#: The claim made of the organisations that GitHub lists.
ORGANIZATIONS: Final = "organizations"

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def is_safe(url: str) -> bool:
    """Whether nobody on the way can read along: by https, or without leaving this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK))


def completed(providers: Iterable[ProviderSettings]) -> dict[str, ProviderSettings]:
    """All providers by their names, with nothing left to guess.

    :raises ConfigurationError: one of them cannot work
    """
    found: dict[str, ProviderSettings] = {}
    for each in providers:
        if not _NAME.fullmatch(each.name):
            raise _wrong(each, "has a name that cannot stand in an address: use small letters, digits and hyphens")
        if each.name in found:
            raise _wrong(each, "is there twice: give one of them another name")
        found[each.name] = _checked(_filled_in(each))
    return found


def _filled_in(one: ProviderSettings) -> ProviderSettings:
    one = replace(one, title=one.title or {"github": "GitHub"}.get(one.kind, one.name))
    if one.kind == "github":
        wants_organizations = ORGANIZATIONS in one.require
        return replace(
            one,
            issuer=one.issuer or "https://github.com",
            scopes=one.scopes or (("read:user", "read:org") if wants_organizations else ("read:user",)),
            authorization_url=one.authorization_url or "https://github.com/login/oauth/authorize",
            token_url=one.token_url or "https://github.com/login/oauth/access_token",
            userinfo_url=one.userinfo_url or "https://api.github.com/user",
        )
    scopes = one.scopes or (("openid", "profile", "email") if one.kind == "oidc" else ())
    if one.kind == "oidc" and "openid" not in scopes:
        scopes = ("openid", *scopes)
    return replace(one, scopes=scopes)


def _checked(one: ProviderSettings) -> ProviderSettings:
    if not is_safe(one.issuer) or urlsplit(one.issuer).query or urlsplit(one.issuer).fragment:
        raise _wrong(
            one,
            f"has the issuer {one.issuer!r}: write the URL by which the provider calls itself, with https:// (http:// "
            "is for this machine only)",
        )
    if one.kind != "oidc":
        for name in ("authorization_url", "token_url", "userinfo_url"):
            if not is_safe(getattr(one, name)):
                raise _wrong(one, f"needs {name}, with https://: {getattr(one, name)!r} is none")
    if not one.client_id:
        raise _wrong(one, "has no client_id: it is what the provider calls this service since it was registered there")
    unknown = sorted(set(one.algorithms) - set(ALGORITHMS))
    if unknown or not one.algorithms:
        raise _wrong(
            one,
            f"may sign with {', '.join(unknown) or 'nothing'}: algorithms are some of {', '.join(ALGORITHMS)}, and "
            "never one with a shared secret",
        )
    for domain in (*one.allowed_domains, *((one.username_domain,) if one.username_domain else ())):
        if not is_domain(domain):
            raise _wrong(one, f"names the domain {domain!r}: write such as example.org or *.example.org")
    if one.timeout_s <= 0:
        raise _wrong(one, "has no time to answer: timeout_s is a number of seconds above 0")
    return one


def _wrong(one: ProviderSettings, what: str) -> ConfigurationError:
    return ConfigurationError(f"the provider {one.name} ([providers.{one.name}] in the configuration file) {what}")
