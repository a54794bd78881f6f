"""Questions to a service by somebody who has a login, one at a time: what the command line asks about people."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from afield.errors import ComputeAPIError, ConfigurationError, ServiceError, ServiceUnreachable
from afield.sdk.login.needed import LoginNeeded
from afield.sdk.login.plain_http import LATER, Answer, exchange
from afield.sdk.login.source import Authorizer, checked_url, find_authorizer, find_url
from afield.sdk.retry import TryAgain
from afield.wire.malformed import MALFORMED

__all__ = ["Questions"]

T = TypeVar("T")


class _Refusal(msgspec.Struct):
    code: str = ""
    detail: Any = None
    authorization_parameters: Any = None


class Questions:
    """One service, and one identity towards it.

    :param url: of the service; None: see :mod:`afield.sdk.login.source`
    :param authorizer: what opens it; None: likewise
    :raises ConfigurationError: nothing says where it is, or nothing opens it
    """

    def __init__(
        self, url: str | None = None, authorizer: Authorizer | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        self.url = checked_url(url or find_url(environ=environ)).rstrip("/")
        try:
            found = authorizer or find_authorizer(self.url, environ)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        if found is None:
            raise ConfigurationError(
                f"you are not logged in at {self.url}: run `afield login --service {self.url}`, or set AFIELD_TOKEN"
            )
        self.authorizer = found
        self._from_variable = authorizer is None and bool(environ.get("AFIELD_TOKEN", "").strip())

    def get(self, path: str, kind: type[T], **query: str | None) -> T:
        """Ask for something.

        :raises ServiceError: the service refuses, or cannot be reached
        """
        said = urlencode({name: value for name, value in query.items() if value is not None})
        return self.send("GET", f"{path}?{said}" if said else path, kind)

    def post(self, path: str, body: object, kind: type[T]) -> T:
        """Have something made; see :meth:`get`."""
        return self.send("POST", path, kind, body)

    def put(self, path: str, body: object, kind: type[T]) -> T:
        """Have something changed; see :meth:`get`."""
        return self.send("PUT", path, kind, body)

    def delete(self, path: str) -> None:
        """Have something removed; see :meth:`get`."""
        self.send("DELETE", path, dict[str, Any])

    def send(self, method: str, path: str, kind: type[T], body: object = None) -> T:
        """One question, and once more where its token was not taken."""
        written = None if body is None else msgspec.json.encode(body)
        try:
            answer = self._once(method, path, written)
            if answer.status == 401 and self._renewed():
                answer = self._once(method, path, written)
        except TryAgain as failure:
            raise failure.error from failure.__cause__
        if answer.status >= 300:
            raise self._refused(method, path, answer)
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except MALFORMED as error:
            raise ServiceError(
                f"{self.url} answered {method} {path} with something else than was asked for ({error}). Is that the "
                "address of an Afield service?"
            ) from error

    def _once(self, method: str, path: str, body: bytes | None) -> Answer:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        header = self.authorizer.get_authorization_header()
        if header is not None:
            headers["Authorization"] = header
        return exchange(method, self.url + path, headers, body)

    def _renewed(self) -> bool:
        renew = getattr(self.authorizer, "handle_missing_authorization", None)
        return callable(renew) and bool(renew())

    def _refused(self, method: str, path: str, answer: Answer) -> ServiceError:
        try:
            said = msgspec.json.decode(answer.body, type=_Refusal)
        except MALFORMED:
            said = _Refusal()
        code = said.code or f"HTTP_{answer.status}"
        reason = said.detail if isinstance(said.detail, str) else f"{method} {path} was refused"
        if answer.status in LATER:
            return ServiceUnreachable(f"the service at {self.url} does not answer now ({answer.status}: {reason})")
        if answer.status == 401:
            way = f"run `afield login --service {self.url}`"
            if self._from_variable:  # it goes before a login, so a login alone would change nothing
                way = f"set AFIELD_TOKEN to one that is good there, or `unset AFIELD_TOKEN` and {way}"
            reason = f"the service at {self.url} does not take your token: {way}"
            return ComputeAPIError(401, code, reason)
        if answer.status == 403 and isinstance(said.authorization_parameters, dict):
            return LoginNeeded(403, code, reason, said.authorization_parameters, self.url)
        if answer.status == 404 and code == "ROUTE_NOT_FOUND":
            return ServiceError(f"the service at {self.url} is older than this command and has no {path}: update it")
        return ComputeAPIError(answer.status, code, reason)
