"""Tasks that a witness sees, and a script that sends them when it is told to."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from tests.interop.deployments import Deployment
from tests.interop.endpoints import Endpoint
from tests.interop.held import hear, tell
from tests.witness import Witness

__all__ = ["SCRIPT", "end", "marking", "send"]

#: Sends a task for each number that it hears, and says its id; at the word ``end``, what became of all.
SCRIPT = """
    def leave_a_mark(place, number):
        import os
        with open(place + "/runs", "a") as runs:
            runs.write(f"{number}\\n")
        with open(place + "/marks", "w") as marks:
            marks.write(f"{os.getpid()}\\n")
        open(place + "/gate").close()
        return number
    ex = Executor(endpoint, api_burst_limit=1000)
    futures = []
    for line in iter(sys.stdin.readline, "end\\n"):
        futures.append(ex.submit(leave_a_mark, sys.argv[1], int(line)))
        while not futures[-1].task_id and not futures[-1].done():
            os.sched_yield()
        said(futures[-1].task_id)
    said([outcome(f) for f in futures])
    os._exit(0)
"""

Client = subprocess.Popen[str]


@contextmanager
def marking(deployment: Deployment, witness: Witness, cells: Iterable[tuple[str, Endpoint]]) -> Iterator[list[Client]]:
    """A client of each kind that is named, for each an endpoint; and its first task runs and waits at the gate.

    Their endpoint acknowledges a task half a second after it began; that is waited for, for else it would be delivered
    once more when its connection breaks. The tasks are numbered as the cells are, from 0.
    """
    with ExitStack() as stack:
        clients = [
            stack.enter_context(deployment.scripts(whose).beside(SCRIPT, witness.place, ENDPOINT=one.id))
            for whose, one in cells
        ]
        tasks = send(clients, 0)
        witness.saw(len(clients))
        for task, (_, one) in zip(tasks, cells, strict=True):
            if one.whose == "theirs":
                _until_taken(deployment, one, task)
        yield clients


def send(clients: list[Client], first: int) -> list[str]:
    """Have each client send a task, and be told that it was accepted; their ids.

    :param first: the number of the first client's task
    """
    for number, client in enumerate(clients, first):
        tell(client, number)
    return [hear(client) for client in clients]


def end(clients: list[Client]) -> list[list[object]]:
    """What became of the tasks of each client."""
    for client in clients:
        tell(client, "end")
    return [hear(client) for client in clients]


def _until_taken(deployment: Deployment, one: Endpoint, task_id: str) -> None:
    """Wait until their endpoint has acknowledged a task. Nobody is told, so this asks who knows."""
    if deployment.node is None:
        while (status := deployment.ask("GET", f"/v2/tasks/{task_id}")["status"]) != "waiting-for-launch":
            assert status not in {"success", "failed"}
    else:
        user_endpoints = one.directory.parent.glob(f"uep.{one.id}.*")
        queues = {f"{directory.name.rsplit('.', 1)[1]}.tasks" for directory in user_endpoints}
        while sum(count for name, count in deployment.node.unacknowledged().items() if name in queues):
            assert one.program is not None
            assert one.program.runs
