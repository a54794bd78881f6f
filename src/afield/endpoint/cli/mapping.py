"""``afield endpoint check-mapping``: who somebody would be on this machine, without starting anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from afield.endpoint.cli.names import Name
from afield.errors import ConfigurationError

if TYPE_CHECKING:
    from afield.endpoint.manager.mapping import Match
    from afield.endpoint.settings import ManagerSettings

__all__ = ["check_mapping"]


def check_mapping(
    name: Name = "default",
    username: Annotated[
        str | None, typer.Option("--username", "-u", help="Of whom to ask, such as ada@example.org.", metavar="NAME")
    ] = None,
    identities: Annotated[
        Path | None,
        typer.Option(
            "--identities", "-i", help="A JSON list of identities, as the service tells them.", metavar="FILE"
        ),
    ] = None,
) -> None:
    """Check an endpoint's identity mapping, and say whose account somebody would get.

    Programs that the mapping names are run. Without an identity, only the file is checked.

    \b
    Examples:
      afield endpoint check-mapping cluster
      afield endpoint check-mapping cluster --username ada@example.org
    """
    import asyncio

    from afield.endpoint.host.directory import endpoint_directory
    from afield.endpoint.manager.mapping import IdentityMapper
    from afield.endpoint.manager.owner import below, read_settings

    directory = endpoint_directory(name)
    settings, _ = read_settings(directory)
    if settings.identity_mapping_config_path is None:
        raise ConfigurationError(f"{directory.config} has no identity_mapping_config_path: this endpoint maps nobody")
    path = below(directory, settings.identity_mapping_config_path)
    known = directory.identity()
    mapper = IdentityMapper(path, known.endpoint_id if known else "")
    asked = _asked(username, identities)
    if not asked:
        typer.echo(f"{path} can be used. Whose account somebody would get: add --username or --identities")
        return
    match = asyncio.run(mapper.match(asked))
    if match is None:
        raise ConfigurationError(f"by {path}, no account belongs to {_shown(asked)}: tasks of theirs are refused")
    _tell(match, asked, settings)


def _asked(username: str | None, identities: Path | None) -> list[dict[str, Any]]:
    if identities is None:
        return [{"id": "", "username": username, "email": username, "status": "used"}] if username else []
    try:
        found = json.loads(identities.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"--identities {identities} cannot be read as JSON: {error}") from error
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ConfigurationError(f'--identities {identities} should hold a list such as [{{"username": "ada@x.org"}}]')
    return [{"status": "used", **one} for one in found]


def _shown(asked: list[dict[str, Any]]) -> str:
    return ", ".join(str(one.get("username") or one.get("id")) for one in asked)


def _tell(match: Match, asked: list[dict[str, Any]], settings: ManagerSettings) -> None:
    import time

    from afield.endpoint.manager import accounts

    account, refused = accounts.judged(match.account, settings, time.time())
    document = len(match.candidates)
    typer.echo(
        f"{_shown(asked)} would be {account.name} (uid {account.uid}, home {account.home}), by document {document}"
    )
    if refused is not None:
        raise ConfigurationError(refused)
