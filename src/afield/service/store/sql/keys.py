"""Ids as keys: the 16 bytes of a UUID, in the order of its text.

Ids that are no UUIDs (somebody's own login system may have such) become their text behind a mark. They are never 16
bytes long, so the two never meet.
"""

from __future__ import annotations

from functools import lru_cache

__all__ = ["key", "shared_key", "shared_text", "text"]

_MARK = b"~"


def key(name: str) -> bytes:
    """The key of an id."""
    if len(name) == 36:
        try:
            found = bytes.fromhex(name.replace("-", ""))
        except ValueError:
            pass
        else:
            if len(found) == 16:
                return found
    # Lone surrogates have no UTF-8. Nothing with one is ever stored, but somebody may ask for it.
    marked = _MARK + name.encode(errors="surrogatepass")
    return marked + b"\0" if len(marked) == 16 else marked


def text(stored: bytes) -> str:
    """The id of a key."""
    if len(stored) == 16:
        h = stored.hex()
        return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"
    return stored[len(_MARK) :].rstrip(b"\0").decode(errors="surrogatepass")


#: the same for ids that come again and again, such as the owner of many tasks
shared_key = lru_cache(maxsize=4096)(key)
shared_text = lru_cache(maxsize=4096)(text)
