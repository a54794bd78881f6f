"""What the owner wrote, read from the disk: the manager's settings, the template, the environment of user endpoints."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from afield.endpoint.host import marked
from afield.endpoint.host.directory import EndpointDirectory
from afield.endpoint.settings import ManagerSettings, manager_settings
from afield.errors import ConfigurationError
from afield.sdk.login.client_credentials import PAIRS

if TYPE_CHECKING:
    from afield.endpoint.manager.template import Template

__all__ = ["below", "read_environment", "read_settings", "read_template", "user_environment", "without_secrets"]

#: What every shell takes for a variable's name.
_VARIABLE: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")
#: By these an endpoint proves to a service who its owner is. Tasks are other people's: they shall not be the owner.
_SECRETS: Final = frozenset({"AFIELD_TOKEN", *(name for pair in PAIRS for name in pair)})


def read_settings(directory: EndpointDirectory) -> tuple[ManagerSettings, list[str]]:
    """The manager's settings, and warnings for their writer.

    :raises ConfigurationError: there are none, or they are wrong
    """
    if not directory.configured:
        raise ConfigurationError(
            f"there is no endpoint {directory.name} in {directory.path.parent}: make one with "
            f"`afield endpoint configure {directory.name}`"
        )
    settings, warnings = manager_settings(marked.read(directory.config))
    program = directory.path / "config.py"
    if program.exists():  # published endpoints would read it, and config.yaml not
        warnings.append(f"{program} is not read: only {directory.config.name} says what the endpoint does")
    return settings, warnings


def read_template(directory: EndpointDirectory, settings: ManagerSettings) -> Template:
    """The template of user endpoints, with the schema of its options.

    :raises ConfigurationError: there is none, or the schema is wrong
    """
    from afield.endpoint.manager.template import Template, load_schema  # loads much, and not before somebody comes

    template_path, schema_path = settings.user_config_template_path, settings.user_config_schema_path
    source = below(directory, template_path) if template_path else directory.template
    if not template_path and not source.exists() and (older := source.with_suffix("")).exists():
        source = older  # published: without .j2, as endpoints of earlier versions have it
    schema = below(directory, schema_path) if schema_path else directory.schema
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the template of user endpoints, {source}, cannot be read: {error}; "
            "`afield endpoint configure` writes one for a new endpoint"
        ) from error
    if schema_path and not schema.exists():
        raise ConfigurationError(f"{schema}, named as user_config_schema_path in {directory.config}, does not exist")
    return Template(text, source, load_schema(schema))


def read_environment(directory: EndpointDirectory) -> Mapping[str, str]:
    """Variables for user endpoints; none where there is no such file.

    :raises ConfigurationError: it holds something other than names and plain values
    """
    if not directory.environment.exists():
        return {}
    document = marked.read(directory.environment, texts=True)
    for name, value in document.data.items():
        where = document.at((str(name),))
        if not _VARIABLE.fullmatch(name):
            raise ConfigurationError(
                f"{where}: {name!r} cannot be a variable's name: letters, digits and _ make one, and no digit first"
            )
        if not isinstance(value, str):
            raise ConfigurationError(f"{where}: the variable {name} should be one plain value, such as {name}: text")
        if not _is_possible(value):
            raise ConfigurationError(f"{where}: the variable {name} holds a character that no variable can hold")
    return document.data


def user_environment(directory: EndpointDirectory, own: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of user endpoints: this process's without what logs its owner in, and what their file says.

    :param own: the environment of this process
    :raises ConfigurationError: as :func:`read_environment`
    """
    return {**without_secrets(own), **read_environment(directory)}


def without_secrets(own: Mapping[str, str]) -> dict[str, str]:
    """An environment without what logs an endpoint's owner in."""
    return {name: value for name, value in own.items() if name not in _SECRETS}


def _is_possible(value: str) -> bool:
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def below(directory: EndpointDirectory, given: str) -> Path:
    """A path that a file gives: absolute, below somebody's home (``~``), or below the endpoint's directory.

    :raises ConfigurationError: nobody knows that home
    """
    try:
        return directory.path / Path(given).expanduser()
    except RuntimeError as error:
        raise ConfigurationError(f"{directory.config} names {given}, and nobody knows that home directory") from error
