"""PURE: the numbers by which AMQP 0-9-1 says what went wrong (section 1.2)."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Reply"]


class Reply(IntEnum):
    """A reply code. 311, 403, 404 and 406 end a channel, the others a connection; 312 ends nothing."""

    CONTENT_TOO_LARGE = 311
    NO_ROUTE = 312
    CONNECTION_FORCED = 320
    ACCESS_REFUSED = 403
    NOT_FOUND = 404
    PRECONDITION_FAILED = 406
    FRAME_ERROR = 501
    SYNTAX_ERROR = 502
    COMMAND_INVALID = 503
    CHANNEL_ERROR = 504
    UNEXPECTED_FRAME = 505
    RESOURCE_ERROR = 506
    NOT_ALLOWED = 530
    NOT_IMPLEMENTED = 540

    def text(self, reason: str) -> str:
        """What a client shows to people: the code's name, then the reason. At most 255 bytes, as a short string is."""
        whole = f"{self.name} - {reason}"
        raw = whole.encode()
        return whole if len(raw) <= 255 else raw[:252].decode(errors="ignore") + "…"
