"""From what a manager was asked to what a user endpoint is told: the same steps, whoever's process takes them.

Where tasks run as the manager's own account, the manager takes them itself. Where identities are mapped, a process of
the account does (:mod:`afield.endpoint.manager.seat`): a template may include files, and those are to be read with the
account's rights, not with root's. So everything that is needed is one record that can travel: an :class:`Errand`.
"""

from __future__ import annotations

import os
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

import msgspec

from afield.endpoint.host.directory import EndpointDirectory
from afield.endpoint.manager.lending import engine_refusal
from afield.endpoint.manager.owner import read_template, without_secrets
from afield.endpoint.settings import ManagerSettings, UserSettings
from afield.errors import ConfigurationError
from afield.wire.commands import StartCommand

if TYPE_CHECKING:
    from afield.endpoint.manager.template import Rendered

__all__ = ["Errand", "Seated", "errand_for", "framed", "rendered", "under"]

_HEADER: Final = Struct(">I")


class Errand(msgspec.Struct, frozen=True):
    """What to make a user endpoint of. Nothing in it is secret.

    :param name: of the user endpoint
    :param template: the administrator's template
    :param source: its file
    :param template_schema: of its options
    :param identity: what the template may know of whom the service named, beside the account
    """

    name: str
    template: str
    source: str
    template_schema: dict[str, Any] | None
    options: dict[str, Any]
    parent_config: dict[str, Any]
    user_runtime: dict[str, Any]
    identity: dict[str, Any]


class Seated(msgspec.Struct, frozen=True):
    """What a process of an account answers when it has done its errand.

    :param directory: of the user endpoint, which exists now
    :param settings: the rendered template
    :param places: where the keys of its engine block stand
    :param facts: what machine and installation say of themselves there
    :param log_from: how long its log was before it wrote
    """

    directory: str
    settings: UserSettings
    places: dict[str, str]
    facts: dict[str, Any]
    warnings: list[str]
    log_from: int


def errand_for(
    directory: EndpointDirectory, settings: ManagerSettings, command: StartCommand, matched: str | None = None
) -> Errand:
    """What a command asks for, by the administrator's files as they are now.

    :param matched: the id of the identity that was mapped; None: none is mapped here
    :raises ConfigurationError: the template or its schema is wrong
    """
    template = read_template(directory, settings)
    options = command.kwargs
    return Errand(
        name=options.name,
        template=template.text,
        source=str(template.source),
        template_schema=dict(template.schema) if template.schema is not None else None,
        options=options.user_opts,
        parent_config=msgspec.to_builtins(settings),
        user_runtime=options.user_runtime,
        identity={"id": matched or command.globus_effective_identity},
    )


def rendered(errand: Errand, local: dict[str, Any]) -> Rendered:
    """The settings that the errand's template makes of its options.

    :param local: the account
    :raises ConfigurationError: as :func:`~afield.endpoint.manager.template.render`
    """
    from afield.endpoint.manager.template import Template, render  # loads much, and not before somebody comes

    return render(
        Template(errand.template, Path(errand.source), errand.template_schema),
        errand.options,
        parent_config=errand.parent_config,
        user_runtime=errand.user_runtime,
        mapped_identity={"local": local, "globus": errand.identity},
        environment=without_secrets(os.environ),
    )


def under(settings: UserSettings, manager: ManagerSettings, *, lent: bool) -> UserSettings:
    """A user endpoint's settings with what the manager's file decides over them.

    :param lent: it is for somebody to whom the machine is lent
    :raises ConfigurationError: they ask for more than is lent
    """
    if lent and (why := engine_refusal(manager.lending, settings.engine, os.cpu_count() or 1)) is not None:
        raise ConfigurationError(why)
    if manager.allowed_functions is not None:
        settings = msgspec.structs.replace(settings, allowed_functions=manager.allowed_functions)
    if manager.debug:
        settings = msgspec.structs.replace(settings, debug=True)
    return settings


def framed(record: Any) -> bytes:
    """A record as a frame: four bytes of length, big-endian, and JSON."""
    body = msgspec.json.encode(record)
    return _HEADER.pack(len(body)) + body
