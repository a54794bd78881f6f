"""Logging in through a browser: a code comes back, and is exchanged for tokens (RFC 6749 section 4.1, with PKCE).

The code comes to an address on this machine, or the person copies it from the service's page.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode

from afield.errors import ServiceError
from afield.sdk.login.loopback import LoopbackPage
from afield.sdk.login.person import Person
from afield.sdk.login.pkce import challenge_of, new_verifier
from afield.sdk.login.places import Places, Wish
from afield.sdk.login.stored import StoredToken
from afield.sdk.login.tokens import TokenRefused, ask_for_tokens

__all__ = ["by_browser", "by_pasted_code"]

#: Seconds for somebody to log in.
_PATIENCE_S: Final = 600.0
#: Where the service shows a code to be copied (reference: wire contract section 1.2).
_PASTE_PATH: Final = "/v2/web/auth-code"


def by_browser(
    places: Places, person: Person, wish: Wish, now: Callable[[], float], *, patience_s: float = _PATIENCE_S
) -> dict[str, StoredToken]:
    """Tokens, by a browser on this machine.

    :param now: a clock, in unix time
    :param patience_s: seconds for the person
    :raises ServiceError: nobody came, or the answer is no
    """
    state, verifier = secrets.token_urlsafe(16), new_verifier()
    with LoopbackPage(state) as page:
        address = _address(places, wish, page.url, verifier, state)
        is_open = person.open(address)
        person.tell(
            f"{'Log in in your browser. If it shows no page' if is_open else 'No browser could be started'}: open this "
            f"address in one on this machine.\n\n  {address}\n"
        )
        said = page.wait(patience_s)
        if said is None:
            raise ServiceError(
                f"nobody logged in within {patience_s / 60:.0f} minutes. Start again; where no browser is on this "
                "machine, use `afield login --device`"
            )
        if "code" not in said:
            raise TokenRefused(403, said.get("error", "access_denied"), said.get("error_description", "it was denied"))
        return _redeem(places, wish, said["code"], (verifier, page.url), now())


def by_pasted_code(places: Places, person: Person, wish: Wish, now: Callable[[], float]) -> dict[str, StoredToken]:
    """Tokens, by a code that the person copies from a browser anywhere.

    :param now: a clock, in unix time
    :raises ServiceError: it is no good code
    :raises EOFError: nobody is there
    """
    verifier, back = new_verifier(), places.issuer + _PASTE_PATH
    person.tell(
        "Log in at this address, in any browser, and copy the code that it shows:\n\n"
        f"  {_address(places, wish, back, verifier)}\n"
    )
    code = person.ask("Code: ")
    if not code:
        raise ServiceError("no code was given. Start again, and paste the code that the page shows")
    return _redeem(places, wish, code, (verifier, back), now())


def _address(places: Places, wish: Wish, back: str, verifier: str, state: str | None = None) -> str:
    query = {
        "client_id": wish.client_id,
        "redirect_uri": back,
        "scope": " ".join(wish.scopes),
        "response_type": "code",
        "access_type": "offline",
        "code_challenge": challenge_of(verifier),
        "code_challenge_method": "S256",
        **wish.more,
    }
    if state is not None:
        query["state"] = state
    return f"{places.authorize}?{urlencode(query)}"


def _redeem(places: Places, wish: Wish, code: str, proof: tuple[str, str], now: float) -> dict[str, StoredToken]:
    # The proof is the verifier, and where the code was to go.
    verifier, back = proof
    form = {
        "grant_type": "authorization_code",
        "client_id": wish.client_id,
        "code": code,
        "code_verifier": verifier,
        "redirect_uri": back,
    }
    return ask_for_tokens(places.url, form, now)
