"""The fields of a form or of a query, strictly. PURE.

A parameter that is there twice is refused (RFC 6749 section 3.1): two readers of one request could take a different one
of the two, and that is a hole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from afield.service.auth.oauth.problems import invalid_request

__all__ = ["MOST_BYTES", "needed", "parse_fields"]

#: Bytes that a form or a query may have.
MOST_BYTES: Final = 65_536

_MOST_FIELDS: Final = 60


def parse_fields(text: bytes | str) -> dict[str, str]:
    """Names and values; empty values count as absent (RFC 6749 section 3.1).

    :raises OAuthError: it is no form, or a parameter is there twice
    """
    try:
        plain = text if isinstance(text, str) else text.decode("ascii")
        pairs = parse_qsl(plain, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise invalid_request(f"The parameters cannot be read: {error}. Send them form-encoded, in UTF-8.") from error
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise invalid_request(f"The parameter {name[:80]} is there twice. Send it once.")
        if "\0" in value or "\0" in name:
            raise invalid_request(f"The parameter {name[:80]} holds a NUL character. Leave it out.")
        found[name] = value
    return {name: value for name, value in found.items() if value}


def needed(fields: Mapping[str, str], name: str) -> str:
    """The value of a parameter that must be there.

    :raises OAuthError: it is not
    """
    value = fields.get(name)
    if not value:
        raise invalid_request(f"The parameter {name} is not there. Send it.")
    return value
