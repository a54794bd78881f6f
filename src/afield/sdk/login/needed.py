"""When a service asks for another login than the one that came: the published authorization-requirements document, a
403 whose body has ``authorization_parameters`` (reference: wire contract section 3.1).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any, Final

from afield.errors import ComputeAPIError

__all__ = ["OPTIONS", "LoginEnded", "LoginNeeded", "login_command", "query_of", "scopes_of"]

#: The parameters that hold lists, and the options of `afield login` that say the same, each for one entry.
OPTIONS: Final = {
    "session_required_identities": "--session-required-identity",
    "session_required_policies": "--session-required-policy",
    "session_required_single_domain": "--session-required-single-domain",
    "required_scopes": "--scope",
}
_MFA: Final = "session_required_mfa"


class LoginNeeded(ComputeAPIError):  # noqa: N818 - says what it is
    """The service would do it for whoever logs in as it asks.

    :param parameters: what it asks for, under the published names
    :param url: of the service
    """

    def __init__(self, http_status: int, code: str, reason: str, parameters: Mapping[str, Any], url: str) -> None:
        super().__init__(http_status, code, reason)
        self.args = (http_status, code, reason, dict(parameters), url)  # what pickling goes by
        self.parameters, self.url = dict(parameters), url

    @property
    def command(self) -> str:
        """What to type for such a login."""
        return login_command(self.url, self.parameters)

    def __str__(self) -> str:
        return f"{super().__str__()}\nTo log in as it asks, run: {self.command}"


class LoginEnded(ComputeAPIError):  # noqa: N818 - says what it is
    """The login that this machine has for a service is good for nothing any more.

    :param reason: what became of it, and what to do
    """

    def __init__(self, reason: str) -> None:
        super().__init__(401, "LOGIN_ENDED", reason)
        self.args = (reason,)  # what pickling goes by


def login_command(url: str, parameters: Mapping[str, Any]) -> str:
    """`afield login` with these parameters."""
    words = ["afield", "login", "--service", url]
    for name, option in OPTIONS.items():
        for value in _entries(parameters.get(name)):
            words += [option, value]
    if parameters.get(_MFA):
        words.append("--session-required-mfa")
    if parameters.get("prompt"):
        words += ["--prompt", str(parameters["prompt"])]
    return shlex.join(words)


def query_of(parameters: Mapping[str, Any]) -> dict[str, str]:
    """The same for the address at which people log in: lists with commas, as published clients send them."""
    said = {}
    for name in OPTIONS:
        values = ",".join(_entries(parameters.get(name)))
        if values and name != "required_scopes":
            said[name] = values
    if parameters.get(_MFA):
        said[_MFA] = "True"
    for name in ("prompt", "session_message"):
        if parameters.get(name):
            said[name] = str(parameters[name])
    return said


def scopes_of(parameters: Mapping[str, Any]) -> list[str]:
    """The scopes that a login must bring besides the usual ones."""
    return _entries(parameters.get("required_scopes"))


def _entries(value: object) -> list[str]:
    # One may come as plain text.
    if isinstance(value, str):
        return [value]
    return [str(each) for each in value] if isinstance(value, Iterable) else []
