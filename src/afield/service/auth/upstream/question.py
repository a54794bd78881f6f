"""What a provider is asked (OpenID Connect Core 3.1.2.1, RFC 6749 section 4.1.1, RFC 7636). PURE.

Theory. Who asks is remembered here, under a *state* that nobody can guess and that works once: for which browser, with
which *nonce* (so that no token made for another login is taken) and which *verifier* (so that no code that somebody
else got is). What somebody came for may need a login that is fresh, or one with more than one factor: that is passed
on, and looked at again when the answer is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

import msgspec

from afield.service.auth.oauth.needs import Needs
from afield.service.auth.oauth.pkce import challenge_of
from afield.service.domain.people import PolicyRecord
from afield.service.settings import ProviderSettings

__all__ = ["NOTHING_ELSE", "Asked", "Wanted", "address", "is_silent", "wanted"]

#: A provider that is told a longest age has to say when somebody logged in (OpenID Connect Core 3.1.2.1), so it is told
#: one always; this one, in seconds, makes nobody log in again.
_ANY_AGE: Final = 365 * 86_400

#: Below this age, in seconds, it is said in the other way, too, which more providers understand.
_AGAIN: Final = 60


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the login must be like.

    :param since: none before this time counts; unix time; None: any
    :param age: seconds, the oldest that counts; None: any
    :param mfa: with more than one factor
    """

    since: float | None = None
    age: int | None = None
    mfa: bool = False


NOTHING_ELSE: Final = Wanted()


class Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is remembered while somebody is with a provider."""

    provider: str
    redirect_uri: str
    nonce: str
    verifier: str
    #: a mark of the cookie of the browser that was sent there
    browser: str
    #: what somebody came for, as it was carried along
    errand: str
    since: float | None = None
    #: whether a login that is too old will not do
    is_timed: bool = False
    #: the identity whose owner wants to link theirs; None: somebody logs in
    link_to: str | None = None


def wanted(needs: Needs, policies: Sequence[PolicyRecord], now: float) -> Wanted:
    """What an errand needs of the login at a provider.

    :param policies: those that the needs name
    """
    ages = [each.session_s for each in policies if each.session_s is not None]
    if needs.since is not None:
        ages.append(max(0.0, now - needs.since))
    return Wanted(
        since=needs.since,
        age=int(min(ages)) if ages else None,
        mfa=needs.mfa or any(each.mfa_required for each in policies),
    )


def is_silent(settings: ProviderSettings) -> bool:
    """Whether a provider is of a kind that never says how somebody logged in."""
    return settings.kind != "oidc"


def address(settings: ProviderSettings, endpoint: str, asked: Asked, state: str, want: Wanted) -> str:
    """Where to send the browser.

    :param endpoint: the provider's authorization endpoint
    """
    said = {
        "response_type": "code",
        "client_id": settings.client_id,
        "redirect_uri": asked.redirect_uri,
        "scope": " ".join(settings.scopes),
        "state": state,
        "code_challenge": challenge_of(asked.verifier),
        "code_challenge_method": "S256",
    }
    if not is_silent(settings):
        said["nonce"] = asked.nonce
        said["max_age"] = str(_ANY_AGE if want.age is None else want.age)
        if want.age is not None and want.age < _AGAIN:
            said["prompt"] = "login"
        if want.mfa and settings.mfa_acr:
            said["acr_values"] = " ".join(settings.mfa_acr)
    return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(said)}"
