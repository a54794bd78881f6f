"""The files that `afield endpoint configure` writes, with words for whoever opens them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from afield.endpoint.host.directory import EndpointDirectory
from afield.endpoint.host.engine_texts import ENGINES
from afield.errors import ConfigurationError

__all__ = ["Choices", "default_files", "write_defaults", "write_files"]

_CONFIG: Final = """\
# What the owner of this endpoint decides. Every line that is commented out shows its default, or an example.
# After a change: afield endpoint restart {name}

# How people see this endpoint.
display_name: {display_name}

# The service to register with. The default is the environment's AFIELD_SERVICE_URL, else the service that runs on this
# machine.
{service_url}

# Whom people may write to about this endpoint. Needed where others' tasks run as their own accounts.
{email}

# Others may find this endpoint. Running tasks on it is another matter.
{public}

# Only these functions may run here, by id. The default is all.
# allowed_functions:
#   - 4b116d3c-1703-4f8f-9f6f-39921e5864df

# The id of the policy, at the service, that everybody who runs tasks here must satisfy; and whether results are given
# only to who satisfies it when they ask for them.
{auth_policy}
{high_assurance}

# Seconds between two signs of life, from 5 up.
# heartbeat_period: 30

# A user endpoint that ends by itself within so many seconds of a submit is started again.
# mu_child_ep_grace_period_s: 30

# Log everything.
# debug: false
{mapping}"""

_MAPPING: Final = """
# Many users: the rules by which people are accounts of this machine. Each person's tasks run as their own account.
# Only root can do that. Try the rules with: afield endpoint check-mapping {name} --username ada@example.org
{line}
"""

_HEAD: Final = """\
# How the user endpoints of this endpoint work: a Jinja2 template of YAML. Whoever submits may fill in its variables
# with user_endpoint_config; each different set gets a user endpoint of its own. user_config_schema.json says which
# there are. A change holds for user endpoints that start after it.
# Try it without starting anything: afield endpoint render {name}

"""

_TAIL: Final = """\

# A user endpoint without tasks for so many heartbeats ends; the next submit starts it again. 0: it stays.
idle_heartbeats_soft: 10

# One whose tasks do not move for so many heartbeats (48 hours with the default period) ends too.
idle_heartbeats_hard: 5760

# Shell commands before the first task, and after the last.
# endpoint_setup: |
#   echo hello
# endpoint_teardown: |
#   echo goodbye
"""

_ENVIRONMENT: Final = """\
# Environment variables for user endpoints and their tasks, beside those of the process that starts them. What logs its
# owner in, as AFIELD_TOKEN and AFIELD_CLIENT_SECRET do, they do not get from that; only if it is written here.
# EXAMPLE: value
"""

_EXAMPLE_MAPPING: Final = [
    {
        "DATA_TYPE": "expression_identity_mapping#1.0.0",
        "mappings": [{"source": "{username}", "match": "(.*)@example\\.com", "output": "{0}"}],
    }
]


@dataclass(frozen=True, slots=True)
class Choices:
    """What an owner said about a new endpoint, beside its name.

    :param display_name: how people see it; None: by its name
    :param service_url: where it registers; None: where its environment says
    :param engine: how tasks run: a key of :data:`~afield.endpoint.host.engine_texts.ENGINES`
    :param multi_user: each person's tasks run as their own account
    :param mapping: an example of the rules for that is written, whether or not they are used
    :param email: whom people may write to
    :param auth_policy: the id of a policy at the service
    :param high_assurance: results only for who satisfies the policy
    :param files: texts of the owner's own, in place of those that would be written: name -> text
    """

    display_name: str | None = None
    service_url: str | None = None
    engine: str = "process"
    multi_user: bool = False
    mapping: bool = False
    email: str | None = None
    auth_policy: str | None = None
    high_assurance: bool = False
    files: Mapping[str, str] = field(default_factory=dict)


def default_files(directory: EndpointDirectory, choices: Choices) -> dict[Path, str]:
    """What to write, in the order in which to write it: with the last one the endpoint is there."""
    mapped = choices.mapping or choices.multi_user or directory.mapping.name in choices.files
    engine = ENGINES[choices.engine]
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": dict(engine.options),
        "additionalProperties": True,
    }
    texts = {
        directory.template: _HEAD.format(name=directory.name) + engine.text + _TAIL,
        directory.schema: json.dumps(schema, indent=2) + "\n",
        directory.environment: _ENVIRONMENT,
        **({directory.mapping: json.dumps(_EXAMPLE_MAPPING, indent=2) + "\n"} if mapped else {}),
        directory.config: _config(directory, choices, mapped=mapped),
    }
    return {path: choices.files.get(path.name, text) for path, text in texts.items()}


def _config(directory: EndpointDirectory, choices: Choices, *, mapped: bool) -> str:
    rules = _set("identity_mapping_config_path", str(directory.mapping) if choices.multi_user else None,
                 str(directory.mapping))  # fmt: skip
    return _CONFIG.format(
        name=directory.name,
        display_name=_shown(choices.display_name or directory.name),
        service_url=_set("service_url", choices.service_url, "http://127.0.0.1:5000"),
        email=_set("email", choices.email, "ada@example.org"),
        public="public: true" if choices.multi_user else "# public: false",
        auth_policy=_set("authentication_policy", choices.auth_policy, "4b116d3c-1703-4f8f-9f6f-39921e5864df"),
        high_assurance="high_assurance: true" if choices.high_assurance else "# high_assurance: false",
        mapping=_MAPPING.format(name=directory.name, line=rules) if mapped else "",
    )


def _set(key: str, value: str | None, example: str) -> str:
    """A line that sets a key, or shows how."""
    return f"{key}: {_shown(value)}" if value is not None else f"# {key}: {example}"


def _shown(text: str) -> str:
    """A text as YAML takes it."""
    return json.dumps(text, ensure_ascii=False)


def write_defaults(directory: EndpointDirectory, *, display_name: str | None, service_url: str | None) -> None:
    """Make an endpoint's directory with files that say what can be set.

    :raises ConfigurationError: it is there already, or cannot be written
    """
    write_files(directory, default_files(directory, Choices(display_name=display_name, service_url=service_url)))


def write_files(directory: EndpointDirectory, files: Mapping[Path, str]) -> None:
    """Make an endpoint's directory with these files.

    :raises ConfigurationError: it is there already, or cannot be written
    """
    if directory.configured:
        raise ConfigurationError(
            f"the endpoint {directory.name} is configured already: edit {directory.config}, or delete it first with "
            f"`afield endpoint delete {directory.name}`"
        )
    try:
        directory.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{error.filename} cannot be written: {error.strerror}") from error
