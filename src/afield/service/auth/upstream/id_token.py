"""What a provider signed: whether it did, for us, for this login, and now (OpenID Connect Core 3.1.3.7). PURE.

Theory. A token is believed when it is signed with a key that its issuer lists, by an algorithm of a list of ours. That
list has none with a shared secret on it, so nobody can sign with a public key that they read, and "none" is not there
either. Which key is asked for by its id, and where there is none, each one of the right type is tried.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey
from joserfc.jws import JWSRegistry, extract_compact

from afield.service.auth.upstream.problems import lied
from afield.service.settings import ProviderSettings

__all__ = ["ALGORITHMS", "LEEWAY_S", "Key", "UnknownKey", "check_claims", "is_subject", "key_set", "signed_claims"]

Key = RSAKey | ECKey | OKPKey

#: By each algorithm, the type of its keys. Only keys that come in pairs.
ALGORITHMS: Final = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    **dict.fromkeys(("EdDSA", "Ed25519"), "OKP"),
}

#: Seconds by which clocks may differ.
LEEWAY_S: Final = 60.0

_LONGEST: Final = 65_536
_LONGEST_SUBJECT: Final = 255


class UnknownKey(Exception):  # noqa: N818 - it is a question: are there newer keys?
    """A token was signed with a key that is not in the list."""


def key_set(document: Any) -> tuple[Key, ...] | None:
    """The keys of a list that can verify something; those of other kinds are left out (RFC 7517 section 5).

    None: it is no list of keys.
    """
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        return None
    found: list[Key] = []
    for each in document["keys"]:
        if not isinstance(each, dict) or each.get("use", "sig") != "sig" or each.get("kty") not in {"RSA", "EC", "OKP"}:
            continue
        try:
            key = JWKRegistry.import_key(each)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, RSAKey | ECKey | OKPKey):
            found.append(key)
    return tuple(found)


def signed_claims(token: str, keys: Sequence[Key], settings: ProviderSettings, title: str) -> dict[str, Any]:
    """What a token says, once its signature is found good.

    :raises UnknownKey: none of these keys is the one that it names
    :raises LoginFailed: it is not good
    """
    header = _header(token, title)
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in settings.algorithms or algorithm not in ALGORITHMS:
        raise lied(title, f"is signed in a way that is not taken here ({str(algorithm)[:20]})")
    fitting = [key for key in keys if _fits(key, algorithm, key_id)]
    if not fitting:
        raise UnknownKey
    for key in fitting:
        claims = _verified(token, key, algorithm)
        if claims is not None:
            return claims
    raise lied(title, "has a signature that is not its own")


def check_claims(claims: Mapping[str, Any], settings: ProviderSettings, nonce: str, now: float, title: str) -> None:
    """Whether it was said by whom it should be, to us, in this login, and now.

    :raises LoginFailed: no
    """
    if claims.get("iss") != settings.issuer:
        raise lied(title, f"is another provider's ({str(claims.get('iss'))[:200]})")
    audience = claims.get("aud")
    several = [audience] if isinstance(audience, str) else audience if isinstance(audience, list) else []
    party = claims.get("azp")
    if settings.client_id not in several or (party is None and len(several) > 1):
        raise lied(title, "is meant for another program")
    if party is not None and party != settings.client_id:
        raise lied(title, "was given to another program")
    said = claims.get("nonce")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
        raise lied(title, "belongs to another login than this one")
    ends, begins, made = (_time(claims, name, title) for name in ("exp", "nbf", "iat"))
    if ends is None or made is None:
        raise lied(title, "does not say until when it is good")
    if now >= ends + LEEWAY_S:
        raise lied(title, "has expired")
    if max(made, begins or made) > now + LEEWAY_S:
        raise lied(title, "comes from the future: its clock and the one of this service differ")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not is_subject(subject):
        raise lied(title, "does not say who you are")


def is_subject(text: str) -> bool:
    """Whether it can stand for somebody (OpenID Connect Core 2: at most 255 ASCII characters)."""
    return 0 < len(text) <= _LONGEST_SUBJECT and text.isascii() and text.isprintable()


def _time(claims: Mapping[str, Any], name: str, title: str) -> float | None:
    said = claims.get(name)
    if said is None:
        return None
    if isinstance(said, bool) or not isinstance(said, int | float):
        raise lied(title, f"has no time where {name} is")
    return float(said)


def _header(token: str, title: str) -> Mapping[str, Any]:
    if len(token) > _LONGEST or not token.isascii():
        raise lied(title, "is not a token that can be read")
    try:
        header = extract_compact(token.encode()).protected
    except (JoseError, ValueError) as error:
        raise lied(title, "is not a token that can be read") from error
    return header


def _fits(key: Key, algorithm: str, key_id: object) -> bool:
    if key.key_type != ALGORITHMS[algorithm] or key.get("alg", algorithm) != algorithm:
        return False
    return key_id is None or key.get("kid") == key_id


def _verified(token: str, key: Key, algorithm: str) -> dict[str, Any] | None:
    # The registry knows no algorithm but this one.
    registry = JWSRegistry(algorithms=[algorithm])
    try:
        claims = jwt.decode(token, key, registry=registry).claims
    except (JoseError, ValueError, json.JSONDecodeError):
        return None
    return claims
