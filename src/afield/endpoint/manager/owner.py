"""What the owner wrote, read from the disk: the manager's settings, the template, the environment of user endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from afield.endpoint.host import marked
from afield.endpoint.host.directory import EndpointDirectory
from afield.endpoint.manager.template import Template, load_schema
from afield.endpoint.settings import ManagerSettings, manager_settings
from afield.errors import ConfigurationError

__all__ = ["read_environment", "read_settings", "read_template"]


def read_settings(directory: EndpointDirectory) -> tuple[ManagerSettings, list[str]]:
    """The manager's settings, and warnings for their writer.

    :raises ConfigurationError: there are none, or they are wrong
    """
    if not directory.configured:
        raise ConfigurationError(
            f"there is no endpoint {directory.name} in {directory.path.parent}: make one with "
            f"`afield endpoint configure {directory.name}`"
        )
    return manager_settings(marked.read(directory.config))


def read_template(directory: EndpointDirectory, settings: ManagerSettings) -> Template:
    """The template of user endpoints, with the schema of its options.

    :raises ConfigurationError: there is none, or the schema is wrong
    """
    source = _beside(directory, settings.user_config_template_path, directory.template)
    schema = _beside(directory, settings.user_config_schema_path, directory.schema)
    try:
        text = source.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the template of user endpoints, {source}, cannot be read: {error}; "
            "`afield endpoint configure` writes one for a new endpoint"
        ) from error
    if settings.user_config_schema_path and not schema.exists():
        raise ConfigurationError(f"{schema}, named as user_config_schema_path in {directory.config}, does not exist")
    return Template(text, source, load_schema(schema))


def read_environment(directory: EndpointDirectory) -> Mapping[str, str]:
    """Variables for user endpoints; none where there is no such file.

    :raises ConfigurationError: it holds something other than names and plain values
    """
    if not directory.environment.exists():
        return {}
    document = marked.read(directory.environment)
    for name, value in document.data.items():
        if isinstance(value, dict | list) or value is None:
            raise ConfigurationError(
                f"{document.at((str(name),))}: the variable {name} should be one plain value, such as {name}: text"
            )
    return {str(name): _plain(value) for name, value in document.data.items()}


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _beside(directory: EndpointDirectory, given: str | None, usual: Path) -> Path:
    return directory.path / Path(given).expanduser() if given else usual
