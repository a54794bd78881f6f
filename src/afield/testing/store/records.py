"""Records to put into a store."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Final, Self

import msgspec

from afield.ids import new_ids
from afield.service.domain.records import FinishedTask, TaskRecord
from afield.states import TaskState

__all__ = ["BIG", "NOW", "an_end", "raises", "some_tasks"]

#: bytes; more than any implementation keeps in a row
BIG: Final = 200_000
#: when what is made here was made, unix seconds
NOW: Final = 1_700_000_000.25


def some_tasks(count: int, **changes: Any) -> list[TaskRecord]:
    """Tasks of one submit, by rising id.

    :param changes: fields that are not as in the others
    """
    group, owner, endpoint, user_endpoint, function = new_ids(5)
    one = TaskRecord(
        id="",
        group_id=group,
        owner_id=owner,
        endpoint_id=endpoint,
        user_endpoint_id=user_endpoint,
        function_id=function,
        payload=b"\x00\xffpayload",
        created_at=NOW,
    )
    one = msgspec.structs.replace(one, **changes)
    return [msgspec.structs.replace(one, id=i) for i in new_ids(count)]


def an_end(task_id: str, data: bytes = b"\x00\xffvalue", **changes: Any) -> FinishedTask:
    """A task's success.

    :param changes: fields that are not as in the others
    """
    end = FinishedTask(id=task_id, state=TaskState.SUCCESS, completed_at=NOW + 1, data=data)
    return msgspec.structs.replace(end, **changes)


class raises:  # noqa: N801 - reads as a sentence
    """The block raises this; :attr:`error` has it afterwards. The suite needs no test framework of its user's."""

    def __init__(self, kind: type[Exception]) -> None:
        self._kind = kind
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        assert error is not None, f"no {self._kind.__name__} was raised"
        self.error = error
        return isinstance(error, self._kind)
