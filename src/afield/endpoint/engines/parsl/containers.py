"""PURE: the command that starts the workers of a node, and what it is wrapped in.

Workers need a Python with ``afield[parsl]``. Which one? In a container, the container's ``python3``. Where the owner's
``worker_init`` prepares an environment, the ``python3`` of that, if it has what is needed. Else the endpoint's own: it
is there on shared file systems, and no PATH is asked.
"""

from __future__ import annotations

import shlex
from typing import Final

from afield.errors import ConfigurationError

__all__ = ["CONTAINERS", "POOL", "pool_command", "wrapped"]

#: The module that is a pool of workers.
POOL: Final = "parsl.executors.high_throughput.process_worker_pool"
_SCRIPT: Final = "process_worker_pool.py"
_DOCKERS: Final = ("docker", "podman", "podman-hpc")
_APPTAINERS: Final = ("apptainer", "singularity")
#: What ``container_type`` may be.
CONTAINERS: Final = (*_DOCKERS, *_APPTAINERS, "custom")
#: Says whether a Python has what workers need, without loading it.
_HAS_ALL: Final = 'import importlib.util as u,sys;sys.exit(not(u.find_spec("parsl") and u.find_spec("afield")))'


def pool_command(template: str, python: str, *, contained: bool, prepared: bool, pool: str = POOL) -> str:
    """Parsl's command for a pool of workers, for a Python instead of a PATH.

    :param template: Parsl's, which begins with the name of a script
    :param python: the endpoint's
    :param contained: it runs in a container
    :param prepared: the owner prepares the environment
    :param pool: the module, and arguments of its own
    """
    if not template.startswith(_SCRIPT):
        return template
    if contained:
        chosen = "python3"
    elif prepared:
        # Nothing in braces: Parsl formats this text twice.
        chosen = f"$(python3 -c '{_HAS_ALL}' 2>/dev/null && echo python3 || echo {shlex.quote(python)})"
    else:
        chosen = shlex.quote(python)
    return f"{chosen} -P -m {pool}{template.removeprefix(_SCRIPT)}"


def wrapped(command: str, kind: str, uri: str | None, options: str | None, rundir: str) -> str:
    """The command in a container.

    :param kind: one of :data:`CONTAINERS`
    :param uri: the image
    :param options: more options; with ``custom`` the whole command, with ``{EXECUTOR_RUNDIR}`` and
        ``{EXECUTOR_LAUNCH_CMD}``
    :param rundir: the user endpoint's directory, which must be the same inside
    :raises ConfigurationError: something is missing
    """
    if kind not in CONTAINERS:
        raise ConfigurationError(f"engine.container_type {kind} is not one of {', '.join(CONTAINERS)}")
    if kind == "custom":
        if not options or "{EXECUTOR_LAUNCH_CMD}" not in options:
            raise ConfigurationError(
                "engine.container_type custom needs engine.container_cmd_options with {EXECUTOR_LAUNCH_CMD} in it: the "
                "command that starts the workers stands there"
            )
        return options.replace("{EXECUTOR_RUNDIR}", rundir).replace("{EXECUTOR_LAUNCH_CMD}", command)
    if not uri:
        raise ConfigurationError(f"engine.container_type {kind} needs engine.container_uri: the image")
    more = f" {options}" if options else ""
    if kind in _DOCKERS:
        directory = shlex.quote(rundir)
        return f"{kind} run{more} -v {directory}:{directory} -t {uri} {command}"
    return f"{kind} run{more} {uri} {command}"
