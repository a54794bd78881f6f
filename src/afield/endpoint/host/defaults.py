"""The files that `afield endpoint configure` writes, with words for whoever opens them."""

from __future__ import annotations

import json
from typing import Final

from afield.endpoint.host.directory import EndpointDirectory
from afield.errors import ConfigurationError

__all__ = ["write_defaults"]

_CONFIG: Final = """\
# What the owner of this endpoint decides. Every line that is commented out shows its default.
# After a change: afield endpoint restart {name}

# How people see this endpoint.
display_name: {display_name}

# The service to register with. The default is the environment's AFIELD_SERVICE_URL, else the service that runs on this
# machine.
{service_url}

# Only these functions may run here, by id. The default is all.
# allowed_functions:
#   - 4b116d3c-1703-4f8f-9f6f-39921e5864df

# Others may find this endpoint. Running tasks on it is another matter.
# public: false

# Seconds between two signs of life, from 5 up.
# heartbeat_period: 30

# A user endpoint that ends by itself within so many seconds of a submit is started again.
# mu_child_ep_grace_period_s: 30

# Log everything.
# debug: false
"""

_TEMPLATE: Final = """\
# How the user endpoints of this endpoint work: a Jinja2 template of YAML. Whoever submits may fill in its variables
# with user_endpoint_config; each different set gets a user endpoint of its own. user_config_schema.json says which
# there are. A change holds for user endpoints that start after it.

engine:
  # ProcessPoolEngine: each worker a process. ThreadPoolEngine: all in one process, for tasks that mostly wait.
  type: ProcessPoolEngine
{% if max_workers is defined %}
  max_workers: {{ max_workers }}
{% endif %}
  # The default is one worker for each processor of this machine.
  # max_workers: 4

  # Where tasks run, absolute or below the user endpoint's directory; and whether each gets a directory of its own.
  # working_dir: tasks_working_dir
  # run_in_sandbox: false

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

_SCHEMA: Final = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {"max_workers": {"type": "integer", "minimum": 1, "description": "workers, each runs one task"}},
    "additionalProperties": True,
}

_ENVIRONMENT: Final = """\
# Environment variables for user endpoints and their tasks, beside those of the process that starts them. What logs its
# owner in, as AFIELD_TOKEN and AFIELD_CLIENT_SECRET do, they do not get from that; only if it is written here.
# EXAMPLE: value
"""


def write_defaults(directory: EndpointDirectory, *, display_name: str | None, service_url: str | None) -> None:
    """Make an endpoint's directory with files that say what can be set.

    :raises ConfigurationError: it is there already, or cannot be written
    """
    if directory.configured:
        raise ConfigurationError(
            f"the endpoint {directory.name} is configured already: edit {directory.config}, or delete it first with "
            f"`afield endpoint delete {directory.name}`"
        )
    url = f"service_url: {json.dumps(service_url)}" if service_url else "# service_url: http://127.0.0.1:5000"
    shown = json.dumps(display_name or directory.name, ensure_ascii=False)
    files = {
        directory.template: _TEMPLATE,
        directory.schema: json.dumps(_SCHEMA, indent=2) + "\n",
        directory.environment: _ENVIRONMENT,
        directory.config: _CONFIG.format(name=directory.name, display_name=shown, service_url=url),  # the last one
    }
    try:
        directory.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, text in files.items():
            path.write_text(text)
    except OSError as error:
        raise ConfigurationError(f"{error.filename} cannot be written: {error.strerror}") from error
