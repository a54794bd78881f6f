"""PURE: how far a block came that ended before its workers were of use, and what to tell people.

Theory. A block is a job of a batch scheduler that brings workers. Its way has stations, each of which fails for reasons
of its own and is mended by somebody else:

1. *queue*: the scheduler takes the job and finds a node for it. A partition that does not exist, an account that is
   used up, a job that was cancelled while it waited.
2. *node*: the node begins the job's script and prepares what its owner wrote into ``worker_init``. A node that fails, a
   module that cannot be loaded.
3. *interpreter*: the script starts the workers' Python. There is none, or it cannot run here.
4. *import*: that Python imports Parsl and Afield. They are not installed in it, or something that they need is not.
5. *connect*: the workers connect to the endpoint. A wrong address, a firewall, an endpoint that is gone.
6. *run*: they were connected, and ended soon. Too little memory, a node that failed.

A ``worker_init`` that fails does not end its job: it goes on with whatever Python is there, which often lacks
something. So an import that fails after ``worker_init`` complained is told as the wrong interpreter
(:func:`complaint`).

How far a block came is read from four witnesses, of which each may be missing: marks that the job's script writes to
its error output as it goes (:func:`marked`), what the endpoint's side saw (was there ever a connection), the words of
whatever failed, and the exit status.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = [
    "BEGAN",
    "NO_CONTAINER",
    "PREPARED",
    "TAIL_LINES",
    "End",
    "Phase",
    "complaint",
    "marked",
    "phase_of",
    "story",
    "tail_of",
]

#: What the job's script writes when it begins, and when ``worker_init`` is over.
BEGAN: Final = "afield: the job begins on"
PREPARED: Final = "afield: worker_init is over"
#: What a job writes whose container could not be started, by the exit status of ``docker run`` or ``podman run``.
NO_CONTAINER: Final = "afield: the container was not started"

#: How much of the end of the output is told.
TAIL_LINES: Final = 20
_TAIL_MOST: Final = 2000


class Phase(StrEnum):
    """The station that a block did not come past."""

    QUEUE = "queue"
    NODE = "node"
    INTERPRETER = "interpreter"
    IMPORT = "import"
    CONNECT = "connect"
    RUN = "run"


#: For each, what did not happen, and what to look at.
_STORIES: Final = {
    Phase.QUEUE: "the scheduler did not run it: check its partition, account, walltime and scheduler_options",
    Phase.NODE: "it got a node and failed before its Python was started: check worker_init and the node",
    Phase.INTERPRETER: "its Python could not be started: check that worker_init, or the container, has "
    "the workers' Python",
    Phase.IMPORT: "its Python could not import what workers need: install afield[parsl], and the "
    "libraries that it needs, where the job runs",
    Phase.CONNECT: "its workers did not connect to this machine: check the engine's address, its ports and firewalls",
    Phase.RUN: "its workers connected and ended soon: check memory and the node",
}

#: Words of whatever failed -> how far it came. The first that is found counts.
_WORDS: Final = {
    Phase.CONNECT: r"No viable ZMQ url|Unable to connect to interchange|Connection refused|ConnectionError",
    Phase.IMPORT: r"ModuleNotFoundError|ImportError|No module named|(process_worker_pool|afield)\S*:.{0,20}not found",
    Phase.INTERPRETER: r"not found|No such file or directory|bad interpreter|cannot execute|Permission denied"
    r"|Fatal Python error|Exec format error",
}
_PATTERNS: Final = tuple((phase, re.compile(words)) for phase, words in _WORDS.items())

#: By which shells, conda, and both kinds of environment modules say that something is not there.
_COMPLAINTS: Final = re.compile(
    r"Environment(Name|Location)NotFound|Could not find conda environment|CondaError|CommandNotFoundError"
    r"|Unable to locate a modulefile|module\(s\) are unknown|not found|No such file or directory"
)
#: How much of a complaint is told, in characters.
_COMPLAINT_MOST: Final = 300

#: Words of schedulers about jobs that had a node.
_ON_A_NODE: Final = re.compile(r"NODE_FAIL|BOOT_FAIL|NodeList=\S|exec_host = \S")

#: Exit statuses by which a shell says that a command is not there, or cannot be run.
_NO_COMMAND: Final = (126, 127)


@dataclass(frozen=True, slots=True)
class End:
    """What is known of a block that is over."""

    #: its workers were connected
    connected: bool = False
    #: there never was a job: the scheduler refused it
    refused: bool = False
    #: the job's error output, or the end of it
    output: str = ""
    #: the job's script writes marks
    marks: bool = True
    exit_code: int | None = None
    #: what the scheduler says of it
    said: str = ""


def marked(worker_init: str) -> str:
    """``worker_init``, with marks before and after it."""
    before = f'echo "{BEGAN} $(hostname)" >&2'
    after = f'echo "{PREPARED}" >&2'
    return f"{before}\n{worker_init.rstrip()}\n{after}\n"


def phase_of(end: End) -> Phase:
    """The station that it did not come past."""
    if end.connected:
        return Phase.RUN
    began, prepared = (mark in end.output for mark in (BEGAN, PREPARED))
    if end.refused or (end.marks and not began):
        return Phase.NODE if not end.refused and _ON_A_NODE.search(end.said) else Phase.QUEUE
    if end.marks and not prepared:
        return Phase.NODE
    # What worker_init said is no word about what came after it.
    words = end.output.rpartition(PREPARED)[2]
    if NO_CONTAINER in words:
        return Phase.INTERPRETER
    for phase, pattern in _PATTERNS:
        if pattern.search(words):
            return Phase.INTERPRETER if phase is Phase.IMPORT and complaint(end.output) else phase
    if end.exit_code in _NO_COMMAND:
        return Phase.INTERPRETER
    return Phase.CONNECT if prepared else Phase.NODE


def complaint(output: str) -> str:
    """What ``worker_init`` could not find, in the words of whatever looked for it; empty: nothing, or not known."""
    before, mark, _ = output.rpartition(PREPARED)
    lines = before.rpartition(BEGAN)[2].splitlines()[1:] if mark else []
    return next((line.strip()[:_COMPLAINT_MOST] for line in lines if _COMPLAINTS.search(line)), "")


def story(end: End) -> str:
    """What happened, where, and what to look at; then the end of its output."""
    phase = phase_of(end)
    parts = [f'in the phase "{phase}": {_STORIES[phase]}']
    if complained := complaint(end.output):
        parts.append(f"worker_init went wrong, and the job went on without it: {complained}")
    if end.said:
        parts.append(f"The scheduler says: {end.said}")
    tail = tail_of(end.output)
    if tail:
        parts.append(f"The end of its error output:\n{tail}")
    elif not end.refused:
        parts.append("It wrote no error output")
    return ". ".join(parts)


def tail_of(output: str) -> str:
    """The last lines of an output, without marks."""
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith((BEGAN, PREPARED))]
    return "\n".join(lines[-TAIL_LINES:])[-_TAIL_MOST:]
