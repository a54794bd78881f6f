"""Logging in where no browser is: a code is shown, confirmed in a browser anywhere, and asked after (RFC 8628)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec

from afield.errors import ServiceError
from afield.sdk.login.person import Person
from afield.sdk.login.places import Places, Wish
from afield.sdk.login.plain_http import post_form
from afield.sdk.login.stored import StoredToken
from afield.sdk.login.tokens import TokenRefused, ask_for_tokens, decode_refusal
from afield.sdk.retry import TryAgain
from afield.wire.malformed import MALFORMED

__all__ = ["by_device"]

_START: Final = "/v2/oauth2/device_authorization"
_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
#: Seconds to wait more, from now on, each time that the service says so (section 3.5).
_SLOWER_S: Final = 5.0
#: Seconds between two questions when nobody answers, at most.
_LONGEST_S: Final = 60.0


class _Started(msgspec.Struct):
    device_code: str
    user_code: str
    verification_uri: str
    expires_in: float
    verification_uri_complete: str | None = None
    interval: float = 5.0


def by_device(
    places: Places,
    person: Person,
    wish: Wish,
    now: Callable[[], float],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, StoredToken]:
    """Tokens, by a code that the person types in a browser anywhere.

    :param now: a clock, in unix time
    :param sleep: waits for some seconds
    :raises ServiceError: the person said no, or nothing in time
    """
    asked = {"client_id": wish.client_id, "scope": " ".join(wish.scopes), **wish.more}
    answer = post_form(places.url + _START, asked, why="for a login")
    if answer.status != 200:
        raise decode_refusal(places.url, answer)
    try:
        started = msgspec.json.decode(answer.body, type=_Started)
    except MALFORMED as error:
        raise ServiceError(f"{places.url} answered with something that is no code for a device: {error}") from error
    direct = started.verification_uri_complete
    more = f"\nOr open {direct}\n" if direct else ""
    person.tell(f"Open {started.verification_uri} in any browser, and type this code:\n\n  {started.user_code}\n{more}")
    form = {"grant_type": _GRANT, "device_code": started.device_code, "client_id": wish.client_id}
    pause_s, end = started.interval, now() + started.expires_in
    while now() < end:
        sleep(pause_s)
        try:
            return ask_for_tokens(places.url, form, now())
        except TokenRefused as error:
            if error.code == "expired_token":
                break
            pause_s = _slower(pause_s, error)
        except TryAgain:
            pause_s = min(2 * pause_s, _LONGEST_S)  # section 3.5: what times out is asked less often
    raise ServiceError(
        f"nobody confirmed the code {started.user_code} within {started.expires_in / 60:.0f} minutes, and it has "
        "expired. Start again"
    )


def _slower(pause_s: float, error: TokenRefused) -> float:
    """The pause before the next question, if one is to be asked."""
    match error.code:
        case "authorization_pending":
            return pause_s
        case "slow_down":
            return pause_s + _SLOWER_S
    raise error
