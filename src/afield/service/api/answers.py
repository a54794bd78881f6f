"""How a "no" looks on the wire, whoever says it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from afield.errors import BrokerError, InvalidId
from afield.service.auth.oauth.problems import OAuthError
from afield.service.domain import refusals
from afield.service.domain.refusals import Refusal
from afield.service.store.base import NotText
from afield.service.use.outage import is_outage
from afield.wire.malformed import MALFORMED
from afield.wire.rest import ErrorBody

__all__ = ["as_refusal", "body_of", "internal_error", "no_such_method", "no_such_route"]

_encode = msgspec.json.Encoder().encode


def as_refusal(error: Exception) -> Refusal | None:
    """The refusal that an error means; None: it is a mistake of ours."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, OAuthError):
        return Refusal(error.status, "REQUEST_MALFORMED", error.message, headers=error.headers)
    if isinstance(error, BrokerError):  # the service's own login may everything, so a "no" is about its state, too
        return refusals.broker_away()
    if isinstance(error, InvalidId):
        return refusals.invalid_id(str(error))
    if isinstance(error, NotText):
        return refusals.invalid(str(error))
    if isinstance(error, MALFORMED):
        return refusals.malformed(f"The request's body is not what this route takes: {error}")
    # A file that cannot be read or written is a mistake of ours or of whoever set this up; it does not pass by itself.
    if is_outage(error) and (isinstance(error, ConnectionError) or not isinstance(error, OSError)):
        return refusals.store_away()
    return None


def body_of(refusal: Refusal) -> bytes:
    """Its body."""
    body = ErrorBody(refusal.code, refusal.status, refusal.message, refusal.message, error_args=list(refusal.about))
    if refusal.authorization is not None:
        body.authorization_parameters = dict(refusal.authorization)
    return _encode(body)


def no_such_route(path: str) -> Refusal:
    """Nothing is there."""
    return Refusal(404, "ROUTE_NOT_FOUND", f"This service has no route {path}.")


def no_such_method(method: str, path: str, allowed: Sequence[str]) -> Refusal:
    """Something is there, for other methods."""
    message = f"The route {path} does not take {method}; it takes {', '.join(allowed)}."
    return Refusal(405, "METHOD_NOT_ALLOWED", message, headers={"allow": ", ".join(allowed)})


def internal_error(request_id: str) -> Refusal:
    """What is said when we made a mistake; what it was is in the log, under this id."""
    return Refusal(
        500,
        "INTERNAL_ERROR",
        f"The service made a mistake. Whoever runs it finds it in its log under request {request_id}.",
    )
