"""PURE: the tasks that wait for the engine, in the order in which they shall go there.

Higher priority first, equal ones in the order of arrival. Nearly always nobody asks for a priority; then there is one
lane, and it costs what a queue costs. Each lane is an ordered dict, as one can take from its front and, when somebody
cancels, from its middle, in the same short time however long it is.
"""

from __future__ import annotations

from collections import OrderedDict

from afield.wire.messages import Task

__all__ = ["Line"]


class Line:
    """Tasks that wait."""

    def __init__(self) -> None:
        self._plain: OrderedDict[str, Task] = OrderedDict()
        #: lanes of other priorities, none of them empty
        self._others: dict[int, OrderedDict[str, Task]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, task: Task) -> None:
        """Put a task behind those of its priority. It is not in the line."""
        self._count += 1
        options = task.options
        if options is None or not options.priority:
            self._plain[task.task_id] = task
        else:
            self._others.setdefault(options.priority, OrderedDict())[task.task_id] = task

    def take(self, most: int) -> list[Task]:
        """The first ones, at most so many, which leave the line."""
        if not self._others:
            return self._from(self._plain, most)
        taken: list[Task] = []
        for priority in sorted({0, *self._others}, reverse=True):
            lane = self._others.get(priority, self._plain)
            taken += self._from(lane, most - len(taken))
            if not lane:
                self._others.pop(priority, None)
            if len(taken) == most:
                break
        return taken

    def remove(self, task_id: str) -> Task | None:
        """Take one out, wherever it is; None: it is not in the line."""
        for priority, lane in ((0, self._plain), *self._others.items()):
            task = lane.pop(task_id, None)
            if task is not None:
                self._count -= 1
                if not lane:
                    self._others.pop(priority, None)
                return task
        return None

    def clear(self) -> None:
        """Nobody waits any more."""
        self._plain.clear()
        self._others.clear()
        self._count = 0

    def _from(self, lane: OrderedDict[str, Task], most: int) -> list[Task]:
        taken = [lane.popitem(last=False)[1] for _ in range(min(most, len(lane)))]
        self._count -= len(taken)
        return taken
