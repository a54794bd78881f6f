"""Conformance suite for stores: what :class:`afield.service.store.base.Store` promises, as checks.

Each check is given an open, empty store and asserts. Run all of them on each implementation::

    @pytest.mark.parametrize("check", CHECKS)
    async def test_promise(check, store):
        await check(store)

What needs more than one store, such as being opened again, is in the tests of each implementation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from afield.service.store.base import Store
from afield.testing.store import catalogue, lists, progress, tasks, together
from afield.testing.store.records import an_end, some_tasks

__all__ = ["CHECKS", "an_end", "some_tasks"]

#: every check, to be run each with a fresh store
CHECKS: Final[tuple[Callable[[Store], Awaitable[None]], ...]] = (
    catalogue.identities_are_kept_and_replaced,
    catalogue.tokens_are_kept_until_deleted,
    catalogue.functions_never_change,
    catalogue.deleted_functions_still_serve_their_tasks,
    catalogue.endpoints_are_listed_by_age,
    catalogue.user_endpoints_are_listed_by_age,
    catalogue.deleting_an_endpoint_keeps_its_tasks,
    catalogue.task_groups_are_kept_and_replaced,
    tasks.accepted_tasks_are_there_whole,
    tasks.waiting_tasks_come_in_pages,
    tasks.functions_come_with_their_tasks,
    tasks.answers_to_submits_are_remembered,
    tasks.what_is_there_already_stops_all_of_a_submit,
    tasks.the_first_end_wins,
    tasks.ends_are_kept_whole,
    tasks.results_wait_until_somebody_takes_them,
    tasks.old_tasks_are_forgotten,
    tasks.old_groups_without_tasks_are_forgotten,
    tasks.more_than_anybody_asks_for_at_once,
    tasks.big_values_come_back,
    tasks.nothing_is_a_fine_amount,
    tasks.ids_may_be_any_text,
    progress.tasks_are_where_they_were_last_seen,
    progress.only_the_table_of_states_lets_a_task_move,
    progress.an_end_is_not_moved,
    progress.moves_and_ends_follow_the_order_of_calls,
    progress.wishes_are_kept_until_forgotten,
    progress.a_wish_outlives_the_end_of_its_task,
    progress.wishes_are_forgotten_with_their_tasks,
    lists.tasks_are_listed_newest_first,
    lists.tasks_are_found_by_what_they_are,
    lists.tasks_are_found_by_label_and_function,
    lists.a_rare_task_is_found_in_a_long_list,
    lists.functions_are_listed_newest_first,
    lists.text_that_cannot_be_kept_is_refused,
    together.effects_follow_the_order_of_calls,
    together.calls_under_way_together_fail_alone,
    together.an_end_is_given_out_once,
    together.a_caller_that_leaves_breaks_nothing,
    together.closing_finishes_what_is_under_way,
)
