"""What is checked of a new endpoint's files before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from afield.errors import ConfigurationError

if TYPE_CHECKING:
    from afield.endpoint.host.defaults import Choices
    from afield.endpoint.host.directory import EndpointDirectory

__all__ = ["check_files", "own_files", "yes_or_no"]

_YES: Final = frozenset({"true", "t", "yes", "y", "on", "1"})
_NO: Final = frozenset({"false", "f", "no", "n", "off", "0"})


def yes_or_no(option: str, given: str | None) -> bool | None:
    """A yes or no behind an option, as published commands take it; None: it was not given.

    :raises ConfigurationError: it is neither
    """
    if given is None:
        return None
    word = given.strip().lower()
    if word in _YES or word in _NO:
        return word in _YES
    raise ConfigurationError(f"{option} should be true or false, and is {given!r}")


def own_files(given: Mapping[Path, Path | None]) -> dict[str, str]:
    """The texts of files that an owner brings: name in the endpoint's directory -> text.

    :param given: where each goes -> where it is; None: the owner brings none
    :raises ConfigurationError: one cannot be read
    """
    texts: dict[str, str] = {}
    for target, source in given.items():
        if source is not None:
            try:
                texts[target.name] = source.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigurationError(f"{source} cannot be read: {error}") from error
    return texts


def check_files(directory: EndpointDirectory, choices: Choices) -> list[str]:
    """See that an endpoint with these files could start; warnings.

    :raises ConfigurationError: it could not
    """
    from afield.endpoint.host import marked
    from afield.endpoint.host.defaults import default_files
    from afield.endpoint.host.engine_texts import ENGINES
    from afield.endpoint.manager.template import check_schema, check_syntax
    from afield.endpoint.settings import manager_settings
    from afield.endpoint.settings.reading import did_you_mean

    if choices.engine not in ENGINES:
        raise ConfigurationError(
            f"--engine {choices.engine} is none of {', '.join(ENGINES)}{did_you_mean(choices.engine, ENGINES)}"
        )
    _check_flags(directory, choices)
    files = default_files(directory, choices)
    _, warnings = manager_settings(marked.parse(files[directory.config], str(directory.config)))
    check_schema(files[directory.schema], directory.schema)
    check_syntax(files[directory.template], directory.template)
    marked.parse(files[directory.environment], str(directory.environment), texts=True)
    return warnings


def _check_flags(directory: EndpointDirectory, choices: Choices) -> None:
    """See that what was chosen goes together."""
    if directory.config.name in choices.files:
        given = {
            "--display-name": choices.display_name,
            "--service-url": choices.service_url,
            "--contact-email": choices.email,
            "--auth-policy": choices.auth_policy,
            "--high-assurance": choices.high_assurance or None,
        }
        for option, value in given.items():
            if value is not None:
                raise ConfigurationError(f"{option} would change the file of --manager-config: write it there instead")
        return
    if choices.multi_user and not choices.email:
        raise ConfigurationError(
            "with many users, people must know whom to write to: give --contact-email, or --multi-user false"
        )
    if choices.high_assurance and choices.auth_policy is None:
        raise ConfigurationError(
            "--high-assurance gives results only to who satisfies a policy: say which, with --auth-policy"
        )
