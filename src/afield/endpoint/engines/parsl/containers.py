"""PURE: the command that starts the workers of a node, and what it is wrapped in.

Workers need a Python with ``afield[parsl]``. Which one? In a container, the container's ``python3``. Where the owner's
``worker_init`` prepares an environment, the ``python3`` of that, if it has what is needed. Else the endpoint's own: it
is there on shared file systems, and no PATH is asked.

Theory. What ``docker run`` and ``podman run`` start is no child of theirs: a block whose processes are ended leaves its
container behind, with the workers in it. So a block does not run them itself but :data:`KEEPER_TEXT`, which gives the
container a name and ends it by that. Two processes see to it: one is told to end, as all processes of a block are; the
other, in a session of its own, sees when the first was killed. Where both are killed at once, nobody is left to do it.
Apptainer's containers are children, and end as all processes of a block do.
"""

from __future__ import annotations

import shlex
from typing import Final

from afield.endpoint.engines.parsl.phases import NO_CONTAINER
from afield.errors import ConfigurationError

__all__ = ["CONTAINERS", "KEEPER", "KEEPER_TEXT", "POOL", "keeps", "pool_command", "wrapped"]

#: The module that is a pool of workers.
POOL: Final = "parsl.executors.high_throughput.process_worker_pool"
_SCRIPT: Final = "process_worker_pool.py"
_DOCKERS: Final = ("docker", "podman", "podman-hpc")
_APPTAINERS: Final = ("apptainer", "singularity")
#: What ``container_type`` may be.
CONTAINERS: Final = (*_DOCKERS, *_APPTAINERS, "custom")
#: Where a node finds :data:`KEEPER_TEXT`: below the user endpoint's directory, which it has to see anyway. The text
#: cannot stand in a block's command, for some of Parsl's launchers have a shell read that twice.
KEEPER: Final = "parsl/container.sh"
#: Stands for the container's name in the command; the keeper puts one there that nothing else on the node has.
_NAME: Final = "afield-block-{{block_id}}"
#: ``container.sh NAME PROGRAM run ... --name NAME ...``
KEEPER_TEXT: Final = r"""# Runs a container, and ends it with whatever ends this: that `run` ends does not end it.
#     container.sh NAME PROGRAM run ... --name NAME ...

end() { "$program" kill "$name"; "$program" rm -f "$name"; } >/dev/null 2>&1

# Until there is nothing left to end: the container may not be there yet.
leave() {
    trap '' TERM INT HUP PIPE
    while kill -TERM "$running" 2>/dev/null; do end; sleep 0.1; done
    end
    echo over >&9
}

if [[ $1 == --after ]]; then
    trap '' TERM INT HUP
    program=$2 name=$3
    read -r _ || end
    exit
fi

base=$1 program=$2 name=$1-$$-$(date +%s) command=()
# Until it is known what to end, that is only noted.
told=
trap 'told=yes' TERM INT HUP
for word in "${@:2}"; do [[ $word == "$base" ]] && word=$name; command+=("$word"); done
exec 9> >(exec setsid bash "$0" --after "$program" "$name" >/dev/null 2>&1)
# What workers write to a terminal, which -t gives them, belongs to the errors of the block.
"${command[@]}" >&2 9>&- &
running=$!
trap leave EXIT
trap 'exit 143' TERM INT HUP
[[ -z $told ]] || exit 143
wait "$running"
code=$?
((code < 125 || code > 127)) || echo "@NO_CONTAINER@ ($program, exit status $code)" >&2
exit "$code"
""".replace("@NO_CONTAINER@", NO_CONTAINER)
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


def keeps(kind: str | None) -> bool:
    """Whether containers of this kind need :data:`KEEPER_TEXT` at :data:`KEEPER`."""
    return kind in _DOCKERS


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
    if keeps(kind):
        directory, keeper = shlex.quote(rundir), shlex.quote(f"{rundir}/{KEEPER}")
        run = f"{kind} run{more} -v {directory}:{directory} -t --name {_NAME} {uri} {command}"
        return f"bash {keeper} {_NAME} {run}"
    return f"{kind} run{more} {uri} {command}"
