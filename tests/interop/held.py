"""Two tasks that say that they run, and end when they are let go."""

from __future__ import annotations

import json
import os
import select
import subprocess
from pathlib import Path
from typing import Any

from tests.interop.port import PATIENCE_S

__all__ = ["Held", "hear", "tell"]


class Held:
    """Both, and the gate that holds them.

    :param place: a directory for its pipes
    """

    script = """
        def mark(place, i):
            with open(place + "/marks", "w") as marks:
                marks.write(str(i))
            open(place + "/gate").close()  # until somebody opens its other end
            return i
        ex = Executor(endpoint, api_burst_limit=1000)
        place = sys.stdin.readline().strip()
        futures = [ex.submit(mark, place, i) for i in range(2)]
        while not all(f.task_id for f in futures):
            os.sched_yield()
        said([f.task_id for f in futures])
        sys.stdin.readline()
        said([outcome(f) for f in futures])
        said(ex.submit(pow, 2, 3).result(50))
        os._exit(0)
    """

    def __init__(self, place: Path) -> None:
        self.place, self._gate = place, -1
        place.mkdir(exist_ok=True)
        os.mkfifo(place / "gate")
        os.mkfifo(place / "marks")
        self._marks = os.open(place / "marks", os.O_RDWR)

    def wait_until_they_run(self, client: subprocess.Popen[str]) -> list[str]:
        """And until the client has been told that they were accepted, else it would send them again, as new ones.

        :returns: their ids
        """
        tasks: list[str] = hear(client)
        running = ""
        while len(running) < 2:
            running += os.read(self._marks, 100).decode()
        assert sorted(running) == ["0", "1"]
        return tasks

    def let_go(self) -> None:
        """Let them end."""
        if self._gate < 0:
            self._gate = os.open(self.place / "gate", os.O_RDWR)

    def ran_again(self) -> str:
        """The numbers of those that ran once more."""
        os.set_blocking(self._marks, False)
        try:
            return os.read(self._marks, 100).decode()
        except BlockingIOError:
            return ""

    def close(self) -> None:
        """Hold nothing any more."""
        self.let_go()
        os.close(self._marks)
        os.close(self._gate)


def tell(client: subprocess.Popen[str], line: object) -> None:
    """Say a line to a script."""
    assert client.stdin is not None
    client.stdin.write(f"{line}\n")
    client.stdin.flush()


def hear(client: subprocess.Popen[str]) -> Any:
    """The next thing that a script says."""
    assert client.stdout is not None
    assert select.select([client.stdout], [], [], PATIENCE_S)[0], "it says nothing"
    return json.loads(client.stdout.readline())
