"""What accounts may be called.

Theory. A username is typed, compared and shown. So it has one form, in which everything that is the same to a keyboard
is the same: composed (NFKC) and in lower case. It consists of letters and digits of any language and a few signs, so it
can stand in an address, a policy's domain and a sentence without being quoted.
"""

from __future__ import annotations

import unicodedata
from typing import Final

__all__ = ["account_name"]

_SIGNS: Final = "._-+@"
_LONGEST: Final = 200


def account_name(written: str) -> str | None:
    """The one form of a username, however somebody wrote it; None: no account can have it."""
    name = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", written.strip()).lower())
    is_good = (
        0 < len(name) <= _LONGEST
        and name[0].isalnum()
        and all(one.isalnum() or one in _SIGNS or unicodedata.combining(one) for one in name)
    )
    return name if is_good else None
