"""Where an endpoint's files are.

::

    <user dir>/endpoints/<name>/
        config.yaml                     what its owner decides
        user_config_template.yaml.j2    how its user endpoints work
        user_config_schema.json         the options that users may give
        user_environment.yaml           variables for user endpoints
        endpoint.json                   its id, once it is registered
        lock                            held while it runs; says by whom, and when it last was alive
        status.json                     how it is, or was when it ended
        endpoint.log                    what it said; endpoint.log.1 what it said before that
        uep.<id>.<id>/                  a user endpoint: journal, outbox, status, logs, tasks_working_dir
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from afield.endpoint.host.status import STATUS_FILE
from afield.errors import ConfigurationError, InvalidId
from afield.ids import parse_id
from afield.sdk.login.known import user_dir

__all__ = ["EndpointDirectory", "Identity", "all_endpoints", "endpoint_directory", "find_endpoint"]

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}")


class Identity(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who an endpoint is, as ``endpoint.json`` keeps it."""

    endpoint_id: str
    #: the service that knows it by this id
    service_url: str | None = None


@dataclass(frozen=True, slots=True)
class EndpointDirectory:
    """The files of one endpoint.

    :param name: as its owner calls it
    :param path: its directory
    """

    name: str
    path: Path

    @property
    def config(self) -> Path:
        """The owner's file."""
        return self.path / "config.yaml"

    @property
    def template(self) -> Path:
        """How user endpoints work."""
        return self.path / "user_config_template.yaml.j2"

    @property
    def schema(self) -> Path:
        """The options that users may give."""
        return self.path / "user_config_schema.json"

    @property
    def environment(self) -> Path:
        """Variables for user endpoints."""
        return self.path / "user_environment.yaml"

    @property
    def mapping(self) -> Path:
        """Which accounts people are, if :attr:`config` names this file."""
        return self.path / "identity_mapping_config.json"

    @property
    def lock(self) -> Path:
        """Held while it runs."""
        return self.path / "lock"

    @property
    def log(self) -> Path:
        """What it said."""
        return self.path / "endpoint.log"

    @property
    def status(self) -> Path:
        """How it is, or was when it ended."""
        return self.path / STATUS_FILE

    @property
    def configured(self) -> bool:
        """Whether there is anything to start."""
        return self.config.exists()

    def child(self, name: str) -> Path:
        """The directory of a user endpoint; the name comes from the service and must be one.

        :raises ConfigurationError: it is not
        """
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"the service names a user endpoint {name!r}, which cannot be a directory's name")
        return self.path / name

    def identity(self) -> Identity | None:
        """Who it is; None: it was never registered.

        :raises ConfigurationError: ``endpoint.json`` is broken
        """
        path = self._identity
        try:
            identity = msgspec.json.decode(path.read_bytes(), type=Identity)
            parse_id(identity.endpoint_id, "endpoint")
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, InvalidId) as error:
            raise ConfigurationError(
                f'{path} cannot be read ({error}): it should hold {{"endpoint_id": "..."}}. Remove it to register anew'
            ) from error
        return identity

    def keep_identity(self, identity: Identity) -> None:
        """Remember who it is; the file changes whole or not at all.

        :raises ConfigurationError: it cannot be written
        """
        part = self._identity.with_suffix(".new")
        try:
            part.write_bytes(msgspec.json.format(msgspec.json.encode(identity)) + b"\n")
            part.replace(self._identity)
        except OSError as error:
            raise ConfigurationError(f"{self._identity} cannot be written: {error}") from error

    @property
    def _identity(self) -> Path:
        return self.path / "endpoint.json"


def endpoint_directory(name: str, root: Path | None = None) -> EndpointDirectory:
    """The files of the endpoint ``name``, whether it exists or not.

    :param root: the person's directory; None: the usual one
    :raises ConfigurationError: that cannot be a name
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} cannot be an endpoint's name: at most 128 letters, digits, _, +, - and dots, and no dot first"
        )
    return EndpointDirectory(name, (root or user_dir()) / "endpoints" / name)


def all_endpoints(root: Path | None = None) -> list[EndpointDirectory]:
    """Every endpoint that is configured, by name."""
    place = (root or user_dir()) / "endpoints"
    found = [EndpointDirectory(path.name, path) for path in sorted(place.glob("*")) if _NAME.fullmatch(path.name)]
    return [directory for directory in found if directory.configured]


def find_endpoint(name: str, root: Path | None = None) -> EndpointDirectory:
    """The endpoint of that name or id, whether it exists or not; an id must be that of one here.

    :param root: the person's directory; None: the usual one
    :raises ConfigurationError: that cannot be a name, or is an id that none here has
    """
    directory = endpoint_directory(name, root)
    try:
        wanted = parse_id(name, "endpoint")
    except InvalidId:
        return directory
    if directory.configured:
        return directory  # somebody called it so
    found = [one for one in all_endpoints(root) if _id_of(one) == wanted]
    if found:
        return found[0]
    raise ConfigurationError(
        f"no endpoint in {directory.path.parent} has the id {wanted}: `afield endpoint list` shows which there are"
    )


def _id_of(directory: EndpointDirectory) -> str | None:
    try:
        identity = directory.identity()
    except ConfigurationError:
        return None  # it is told to whoever asks for that one
    return identity.endpoint_id if identity else None
