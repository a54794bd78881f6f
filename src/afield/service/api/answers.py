"""How a "no" looks on the wire, whoever says it."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar.exceptions import HTTPException, ValidationException

from afield.errors import InvalidId
from afield.service.domain import refusals
from afield.service.domain.refusals import Refusal
from afield.wire.rest import ErrorBody

__all__ = ["as_refusal", "body_of", "internal_error"]

_encode = msgspec.json.Encoder().encode

_CODES: Final = {404: "ROUTE_NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}


def as_refusal(error: Exception) -> Refusal | None:
    """The refusal that an error means; None: it is a mistake of ours."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, InvalidId):
        return refusals.invalid_id(str(error))
    if isinstance(error, ValidationException):
        return refusals.malformed(_which(error))
    if isinstance(error, HTTPException) and error.status_code < 500:
        if error.status_code in _CODES:
            return Refusal(error.status_code, _CODES[error.status_code], "There is no such route in this service.")
        return refusals.malformed(str(error.detail))
    if isinstance(error, msgspec.MsgspecError | UnicodeDecodeError | RecursionError):
        return refusals.malformed(f"The request's body is not what this route takes: {error}")
    return None


def body_of(refusal: Refusal) -> bytes:
    """Its body."""
    return _encode(ErrorBody(refusal.code, refusal.status, refusal.message, refusal.message))


def internal_error(request_id: str) -> Refusal:
    """What is said when we made a mistake; what it was is in the log, under this id."""
    return Refusal(
        500,
        "INTERNAL_ERROR",
        f"The service made a mistake. Whoever runs it finds it in its log under request {request_id}.",
    )


def _which(error: ValidationException) -> str:
    found = error.extra if isinstance(error.extra, list) else []
    parts = [
        f"{_where(one)}{one.get('message', '')}" if isinstance(one, dict) else str(one)  # what the framework found
        for one in found
    ]
    return "The request is not what this route takes: " + ("; ".join(parts) or str(error.detail))


def _where(found: dict[str, Any]) -> str:
    # "data" is the framework's word for the body; the message itself says where in it.
    key = found.get("key")
    return f"{key}: " if key and key != "data" else ""
