"""What comes back by the browser, and from where codes are redeemed. PURE.

Theory. Nothing that a browser brings is believed before its state was found to be ours. Then it is the provider that
speaks: it may say no (RFC 6749 section 4.1.2.1, OpenID Connect Core 3.1.2.6), and it may say who it is (RFC 9207): so
the code of one provider is not redeemed with another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from afield.service.auth.upstream.problems import (
    LoginFailed,
    lied,
    not_allowed,
    set_up_wrongly,
    stale,
    unreachable,
)

__all__ = ["code_in", "redeemed"]

_WORDS: Final = 200

#: What a provider says where the login there did not come to an end, and may be tried again.
_UNFINISHED: Final = frozenset(
    {
        *("login_required", "interaction_required", "consent_required", "account_selection_required"),
        "unmet_authentication_requirements",
    }
)


def code_in(fields: Mapping[str, str], title: str, issuer: str, *, says_who: bool) -> str:
    """The code that a provider sends by the browser.

    :param says_who: the provider always names itself
    :raises LoginFailed: it says no, or is another one
    """
    named = fields.get("iss")
    if named != issuer and (named is not None or says_who):
        raise LoginFailed(
            f"The answer to your login with {title} comes from {named or 'nobody who says their name'}, which is not "
            "what was asked. Somebody may be trying to trick you. Nothing was done. Start the login again.",
            400,
        )
    if "error" in fields:
        raise _refused(fields["error"], _said(fields.get("error_description", "")), title)
    if not fields.get("code"):
        raise lied(title, "has no code in it")
    return fields["code"]


def redeemed(body: Any, status: int, title: str) -> Mapping[str, Any]:
    """What a code brought.

    :param body: the answer, from JSON
    :raises LoginFailed: nothing
    """
    if not isinstance(body, dict):
        raise lied(title, "holds no tokens")
    error = body.get("error")  # GitHub says so with status 200
    if isinstance(error, str):
        words = _said(str(body.get("error_description", "")))
        if error in {"invalid_grant", "bad_verification_code"}:
            raise stale(f"{title} does not take the code that your browser brought{words}: it was used, or is old.")
        raise set_up_wrongly(title, f"does not let this service ask who you are ({error[:80]}){words}")
    if status != 200:
        raise unreachable(title, f"answered with status {status} where it should have said who you are")
    if not isinstance(body.get("access_token"), str):
        raise lied(title, "holds no tokens")
    return body


def _refused(error: str, words: str, title: str) -> LoginFailed:
    if error == "access_denied":
        return not_allowed(
            f"{title} does not let you in here{words}: you declined there, or are not allowed to come. You are not "
            f"logged in. Try again and agree, or ask whoever runs {title}."
        )
    if error in _UNFINISHED:
        return not_allowed(
            f"The login with {title} was not finished as it has to be ({error}){words}. You are not logged in. Try "
            "again, or log in another way."
        )
    if error in {"server_error", "temporarily_unavailable"}:
        return unreachable(title, f"cannot log anybody in at the moment{words}")
    return set_up_wrongly(title, f"does not understand what this service asks ({error[:80]}){words}")


def _said(description: str) -> str:
    words = "".join(each for each in description if each.isprintable())[:_WORDS].strip().rstrip(".")
    return f" ({words})" if words else ""
