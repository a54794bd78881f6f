"""PURE: which tasks may run again after they failed, how often they were begun, and when the next attempt is due.

Theory. An attempt begins when its task is handed to the engine. One that fails is followed by another if the submitter
allowed it (:class:`~afield.wire.messages.CallOptions`): ``retries`` says how often, and covers a lost worker and a lost
endpoint; ``retry_on`` names what else is covered. Between two attempts is a pause, which doubles each time.

How often a task was begun is on disk, so it counts over all lives of an agent. What became of the attempts of an
earlier life is not: their record says that it is not known. A life does not wait out the pause of an earlier one; to
come back took its time.

Only tasks that may run again are in here. All others cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from afield.endpoint.agent.endings import unknown
from afield.wire.messages import CallOptions, Result, Task

__all__ = ["LONGEST_PAUSE_S", "Retries"]

#: No pause between two attempts is longer, in seconds.
LONGEST_PAUSE_S: Final = 300.0

#: No line about an attempt is longer, in characters: there may be a thousand of them in one result.
_ERROR_MOST: Final = 300

_NO_OPTIONS: Final = CallOptions()


def _options(task: Task) -> CallOptions:
    return task.options or _NO_OPTIONS


class _Tries:
    __slots__ = ("attempts", "begun", "paused", "task")

    def __init__(self, task: Task, begun: int = 0) -> None:
        self.task = task
        self.begun = begun
        self.attempts: list[dict[str, Any]] = unknown(begun)
        self.paused = False


class Retries:
    """The tasks of one agent that may run more than once.

    :param when_lost: how often the owner lets any task run again whose worker or endpoint was lost
    """

    def __init__(self, when_lost: int = 0) -> None:
        self._when_lost = when_lost
        #: task id -> what is known of it; whoever wants to know quickly whether there are any looks here
        self.tries: dict[str, _Tries] = {}
        #: how many are between two attempts
        self.paused = 0

    def revive(self, task: Task, begun: int) -> bool:
        """A task came that earlier lives began so often; whether it may run again."""
        if begun > max(_options(task).retries, self._when_lost):
            return False
        self.tries[task.task_id] = _Tries(task, begun)
        return True

    def begins(self, task: Task) -> None:
        """An attempt begins."""
        if self._when_lost or (task.options is not None and task.options.retries):
            self.tries.setdefault(task.task_id, _Tries(task)).begun += 1

    def untouched(self, task_id: str) -> None:
        """An attempt did not begin after all."""
        tries = self.tries.get(task_id)
        if tries is not None:
            tries.begun -= 1

    def begun(self, task_id: str) -> int:
        """How many attempts have begun, of a task that is in here."""
        tries = self.tries.get(task_id)
        return tries.begun if tries is not None else 0

    def may_follow(self, result: Result, kinds: Sequence[str]) -> bool:
        """Whether another attempt may follow this failure.

        :param kinds: the classes of what went wrong, as ``module.qualified name``
        """
        tries = self.tries.get(result.task_id)
        if tries is None or result.error is None:
            return False
        options = _options(tries.task)
        if result.error.code == "WorkerLost":
            return tries.begun <= max(options.retries, self._when_lost)
        return tries.begun <= options.retries and any(kind in options.retry_on for kind in kinds)

    def failed(self, result: Result, at: int) -> None:
        """Write down how an attempt failed.

        :param at: unix time in nanoseconds, for failures that do not say when they happened
        """
        tries = self.tries[result.task_id]
        assert result.error is not None
        times = [step.timestamp for step in result.statuses]
        began, ended = (times[0], times[-1]) if len(times) > 1 else (0, at)
        lines = f"{result.error.code}: {result.error.user_message}".splitlines()
        tries.attempts.append({"began": began, "ended": ended, "error": lines[0][:_ERROR_MOST]})

    def pause(self, task_id: str) -> float:
        """Wait until the next attempt; for so many seconds."""
        tries = self.tries[task_id]
        options = _options(tries.task)
        tries.paused = True
        self.paused += 1
        # The exponent is bounded: floats overflow after some thousand failures.
        return min(options.backoff_s * 2.0 ** min(tries.begun - 1, 64), LONGEST_PAUSE_S)

    def resume(self, task_id: str) -> Task | None:
        """The pause is over, or given up; the task. None: there is none."""
        tries = self.tries.get(task_id)
        if tries is None or not tries.paused:
            return None
        tries.paused = False
        self.paused -= 1
        return tries.task

    def give_up_pauses(self) -> None:
        """What is between two attempts is left to a later life."""
        for tries in self.tries.values():
            tries.paused = False
        self.paused = 0

    def told(self, result: Result) -> Result:
        """The result, with the attempts that were before."""
        tries = self.tries.get(result.task_id)
        if tries is None or not tries.attempts:
            return result
        return replace(result, details={**(result.details or {}), "attempts": tries.attempts})

    def forget(self, task_ids: Iterable[str]) -> None:
        """Their results are safe."""
        for task_id in task_ids:
            self.tries.pop(task_id, None)

    def counts(self) -> Mapping[str, int]:
        """How often each task in here was begun, where it was."""
        return {task_id: tries.begun for task_id, tries in self.tries.items() if tries.begun}
