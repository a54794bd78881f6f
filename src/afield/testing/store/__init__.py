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
from afield.testing.store import catalogue, lists, people, progress, retention, sharing, tasks, together, unanswered
from afield.testing.store.records import an_end, some_tasks

__all__ = ["CHECKS", "an_end", "some_tasks"]

#: every check, to be run each with a fresh store
CHECKS: Final[tuple[Callable[[Store], Awaitable[None]], ...]] = (
    people.identities_are_kept_and_replaced,
    people.identities_are_found_by_name_in_any_case,
    people.identities_of_a_person_are_found,
    people.accounts_have_names_of_their_own,
    people.an_account_comes_with_its_identity,
    people.what_somebody_did_to_an_account_is_not_undone,
    people.outside_identities_are_linked_once,
    people.clients_are_kept_whole,
    people.a_client_goes_with_all_that_came_from_it,
    people.tokens_are_kept_until_deleted,
    people.tokens_are_kept_whole,
    people.tokens_are_forgotten_by_what_they_share,
    people.tickets_keep_what_json_keeps,
    people.a_ticket_is_taken_once,
    people.consents_are_kept_until_taken_back,
    people.keys_are_listed_newest_first,
    people.what_expired_is_forgotten,
    sharing.teams_are_kept_and_replaced,
    sharing.members_are_listed_from_both_ends,
    sharing.grants_are_found_from_both_ends,
    sharing.a_group_goes_with_its_members_and_grants,
    sharing.policies_are_kept_whole,
    sharing.names_of_people_that_cannot_be_kept_are_refused,
    sharing.names_too_long_to_look_up_are_refused,
    sharing.nobody_is_found_by_what_is_no_text,
    sharing.people_may_have_ids_of_any_form,
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
    tasks.what_is_to_be_handed_over_is_known_until_it_was,
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
    retention.groups_say_how_long,
    retention.groups_keep_tasks_for_as_long_as_they_say,
    retention.one_groups_turn_forgets_nothing_else,
    retention.open_tasks_can_be_spared,
    retention.what_has_waited_for_too_long_is_found,
    retention.answers_can_be_forgotten_alone,
    unanswered.what_went_astray_is_repeated_once,
    unanswered.an_equal_submit_under_way_is_not_repeated,
    unanswered.when_a_life_has_ended_its_submits_are_repeated,
    unanswered.an_answered_submit_is_not_repeated,
    unanswered.what_went_astray_before_its_commit_is_repeated,
    unanswered.what_another_life_has_taken_over_is_its_own,
    unanswered.what_went_astray_can_be_none_to_be_repeated,
    unanswered.one_of_many_repeats,
    unanswered.an_answer_is_kept_for_as_long_as_somebody_missed_it,
    progress.tasks_are_where_they_were_last_seen,
    progress.what_waits_is_counted_by_state,
    progress.only_the_table_of_states_lets_a_task_move,
    progress.an_end_is_not_moved,
    progress.moves_and_ends_follow_the_order_of_calls,
    progress.what_was_taken_is_known_until_it_ends,
    progress.where_tasks_have_been_is_kept_with_them,
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
