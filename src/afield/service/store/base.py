"""SEAM: the one durable place.

What every implementation promises, and ``afield.testing.store`` checks:

- A method that writes returns when the write is durable: it survives the process and, where the disk keeps its word,
  the machine. Writes that are under way together share a commit.
- Each method is atomic: all of it happens or nothing. Only ``delete_before``, which may have millions to forget, goes
  in steps: each task is forgotten whole.
- Effects are seen in the order in which the calls were made, also by reads made after them.
- Lists may be long, and looking for a rare thing in one takes time: ``list_tasks`` too may go in steps, so that other
  calls get their turn, and may see what they did between its steps.
- Text that people choose is kept as it is, but for NUL characters and lone surrogates, which not every database
  can keep: names, descriptions and labels with such are refused with :class:`NotText`, and nothing is found by them.
- A record that does not exist is None or absent, never an error. Ids are not checked for form; callers did that.
- A store that cannot be used raises :class:`~afield.errors.DataDirectoryError` from ``open``; afterwards only what is
  wrong with the database itself is raised, as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from afield.service.domain.records import (
    CancelRecord,
    Departure,
    EndpointRecord,
    FinishedTask,
    FunctionRecord,
    HandOver,
    ListedFunction,
    ListedTask,
    SubmitRecord,
    TakenTask,
    TaskGroupRecord,
    TaskMove,
    TaskRecord,
    TaskStep,
    TaskView,
    UserEndpointRecord,
    WaitingTasks,
)
from afield.service.domain.repeats import Attempt, Repeated, Unanswered, Unclear
from afield.service.store.people import People

__all__ = ["AlreadyStored", "NotText", "Store"]


class AlreadyStored(Exception):  # noqa: N818 - says what it is
    """Something that may be stored once only is there: nothing of the call was done.

    Seen when a submit is repeated while its first try is under way: ask :meth:`Store.submit` for the answer.

    :param what: ``"task"``, ``"submit"``, ``"account"`` or ``"link"``
    """


class NotText(ValueError):  # noqa: N818 - says what it is
    """A name, description or label holds a NUL character or a lone surrogate, or is too long to be looked up.

    Nothing of the call was done. Its text is a sentence that may be shown to whoever sent it.
    """


class Store(Protocol):
    """All that the service keeps."""

    async def open(self) -> None:
        """Get ready: make or migrate the tables.

        :raises DataDirectoryError: not writable, in use by another service, or written by a newer version
        """

    async def close(self) -> None:
        """Finish what is under way and let go. Closing twice is fine."""

    # -- who ---------------------------------------------------------------------------------------------------------

    @property
    def people(self) -> People:
        """People, how they come in, and with whom they share."""

    # -- what --------------------------------------------------------------------------------------------------------

    async def put_function(self, function: FunctionRecord) -> None:
        """Add it; one with this id that is there stays as it is.

        :raises NotText: its name, description or group is no text that can be kept
        """

    async def function(self, function_id: str) -> FunctionRecord | None:
        """By id; a deleted one is None."""

    async def functions(self, function_ids: Iterable[str]) -> dict[str, FunctionRecord]:
        """Those of the ids that exist, deleted ones too: tasks that were accepted before still need them."""

    async def delete_function(self, function_id: str) -> bool:
        """Hide it from :meth:`function`; whether there was one."""

    async def list_functions(
        self, owner_id: str, *, search: str | None = None, before: str | None = None, limit: int = 100
    ) -> list[ListedFunction]:
        """Somebody's functions that are not deleted, by falling id: the newest first.

        :param search: only those with this in their name or description, in upper or lower case
        :param before: only those with ids below this one
        """

    # -- where -------------------------------------------------------------------------------------------------------

    async def put_endpoint(self, endpoint: EndpointRecord) -> None:
        """Add, or replace the one with this id.

        :raises NotText: its name or display name is no text that can be kept
        """

    async def endpoint(self, endpoint_id: str) -> EndpointRecord | None:
        """By id."""

    async def endpoints(self, owner_id: str | None = None) -> list[EndpointRecord]:
        """All, or one owner's; the oldest first."""

    async def delete_endpoint(self, endpoint_id: str, now: float) -> Departure | None:
        """Remove it and its user endpoints, and remember its departure, in one commit; its tasks stay readable.

        :return: its departure; None: there is no such endpoint
        """

    async def departures(self) -> list[Departure]:
        """Of deleted endpoints, those that are still remembered; the oldest first."""

    async def forget_departure(self, endpoint_id: str) -> None:
        """Nothing of it is left. User endpoints that were added to it since are removed in the same commit."""

    async def put_user_endpoint(self, user_endpoint: UserEndpointRecord) -> None:
        """Add, or replace the one with this id."""

    async def user_endpoint(self, user_endpoint_id: str) -> UserEndpointRecord | None:
        """By id."""

    async def user_endpoints(self, endpoint_id: str | None = None) -> list[UserEndpointRecord]:
        """All, or one core endpoint's; the oldest first."""

    # -- tasks -------------------------------------------------------------------------------------------------------

    async def put_task_group(self, group: TaskGroupRecord) -> None:
        """Add, or replace the one with this id."""

    async def task_group(self, group_id: str) -> TaskGroupRecord | None:
        """By id."""

    async def add_tasks(
        self,
        tasks: Sequence[TaskRecord],
        submit: SubmitRecord | None = None,
        functions: Sequence[FunctionRecord] = (),
        *,
        to_hand_over: bool = False,
        attempt: Attempt | None = None,
    ) -> Repeated | Unclear | None:
        """Accept these tasks, and remember the answer under ``submit.key``, in one commit.

        :param functions: added in the same commit, as :meth:`put_function` does
        :param to_hand_over: remember that they, who all belong to one user endpoint, are to be put into its queue
        :param attempt: the submit, if nobody named it. One that repeats another (:meth:`repeated`) adds nothing; one of
            its own is remembered as unanswered in the same commit
        :return: None: they were accepted; anything else: nothing was added
        :raises AlreadyStored: one of the task ids or the key is there already; nothing was added
        :raises NotText: a label, or a text of a function, is no text that can be kept
        """

    async def hand_overs(self, before: float, *, limit: int = 100) -> list[HandOver]:
        """What was accepted before this moment, and is still to be put into queues; the oldest first."""

    async def handed_over(self, ids: Iterable[str]) -> None:
        """These hand-overs are done."""

    async def submit(self, key: bytes, *, since: float) -> SubmitRecord | None:
        """The answer to an earlier submit under this key that is not older than ``since``."""

    async def repeated(self, attempt: Attempt) -> Repeated | Unclear | None:
        """Whether this submit repeats one that is unanswered, as :func:`afield.service.domain.repeats.decide` decides.

        Of all who ask, in whichever service, one gets it: its life is then the one that is remembered.
        """

    async def answered(self, keys: Iterable[bytes], life: str) -> None:
        """These submits were answered in this life; if it says that they went astray, they are none to be repeated.

        What another life has taken over is not touched.

        The one write that is durable only against the end of this process: each submit without a key makes it, and who
        loses it to a power cut takes an equal submit for a repetition at worst.
        """

    async def went_astray(self, submits: Sequence[Unanswered]) -> None:
        """The answers to these submits, which may not have been committed yet, went astray in the life they name.

        What another life has taken over is not touched.
        """

    async def finish_tasks(self, finished: Sequence[FinishedTask]) -> list[TaskView]:
        """End tasks. The first end wins: ids that are unknown or already ended change nothing.

        :return: the tasks that this call ended, with their ends, in the order given
        """

    async def move_tasks(self, wanted: Sequence[TaskMove]) -> list[str]:
        """Tasks were seen in other states.

        What :func:`afield.states.may_move` does not allow changes nothing, nor do moves of tasks that are unknown or
        have ended; and a move into a terminal state is no move, but an end (:meth:`finish_tasks`). A move that names a
        life says who has taken the task; one back to waiting for its endpoint says that nobody has. Every move that
        was made can be read again (:meth:`steps`).

        :return: the tasks that moved, each once, in the order given
        """

    async def taken_tasks(self, user_endpoint_id: str | None = None) -> list[TakenTask]:
        """Tasks that have not ended and that somebody has taken, all or one user endpoint's; by rising id."""

    async def steps(self, task_id: str) -> list[TaskStep]:
        """The moves of a task, of an ended one too, the earliest first."""

    async def put_cancels(self, records: Sequence[CancelRecord]) -> None:
        """Somebody wants these tasks ended. An earlier wish for the same task is replaced."""

    async def cancels(self, user_endpoint_id: str | None = None) -> list[CancelRecord]:
        """All wishes that were not forgotten, or those for one user endpoint; by rising task id."""

    async def delete_cancels(self, task_ids: Iterable[str]) -> None:
        """Forget the wishes for these tasks. That a task ends does not do it."""

    async def tasks(self, task_ids: Iterable[str]) -> dict[str, TaskView]:
        """Those of the ids that exist."""

    async def group_tasks(self, group_id: str) -> list[TaskView]:
        """All of a group without their ``finished`` part, by rising id: the oldest first."""

    async def waiting_tasks(self, user_endpoint_id: str, *, after: str = "", limit: int = 1000) -> list[TaskRecord]:
        """Tasks of a user endpoint that have not ended, with payloads, by rising id, ids above ``after``."""

    async def list_tasks(
        self,
        owner_id: str,
        *,
        pending: bool | None = None,
        state: str | None = None,
        endpoint_id: str | None = None,
        function_id: str | None = None,
        group_id: str | None = None,
        search: str | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> list[ListedTask]:
        """Somebody's tasks, by falling id: the newest first.

        :param pending: True: only those that have not ended; False: only those that have
        :param state: only those in this state
        :param search: only those with this in their label or their function's name, in upper or lower case
        :param before: only those with ids below this one
        """

    async def waiting_counts(self) -> dict[str, int]:
        """For each user endpoint with tasks that have not ended, how many."""

    async def waiting_by_state(self) -> list[WaitingTasks]:
        """The same, apart by state, with the age of the oldest; in no certain order. It looks at all that waits."""

    async def undelivered(self, *, after: str = "", limit: int = 1000) -> list[TaskView]:
        """Ended tasks whose result nobody has taken from its group's queue, by rising id, ids above ``after``."""

    async def mark_delivered(self, task_ids: Iterable[str]) -> None:
        """Somebody took the results of these tasks."""

    async def delete_before(self, moment: float, *, group_id: str | None = None, open_too: bool = True) -> int:
        """Forget tasks that ended, or were accepted and never ended, before ``moment``; how many that were.

        With them go the wishes to cancel them. Answers to submits from before ``moment`` are forgotten too, and so are
        task groups made and wishes expressed before it that have no task any more.

        :param group_id: only tasks of this group, and nothing but tasks. None: of those whose group does not say itself
            for how long they are kept
        :param open_too: False: only tasks that ended
        """

    async def groups_with_times(self) -> list[TaskGroupRecord]:
        """The task groups that say themselves how long their tasks are kept, or wait; by rising id."""

    async def overdue(
        self, moment: float, *, seen: float, group_id: str | None = None, limit: int = 1000
    ) -> list[tuple[str, str]]:
        """Tasks that have waited for too long: (task, user endpoint), those of one user endpoint together.

        :param moment: those that wait for their endpoint and were accepted before it
        :param seen: and those that were last seen elsewhere before it
        :param group_id: only those of this group. None: those whose group does not say itself how long they wait
        """

    async def forget_submits(self, moment: float) -> None:
        """Forget the answers to submits from before ``moment``, and which of them are unanswered.

        The answer to one that is remembered as unanswered since a later moment is kept.
        """
