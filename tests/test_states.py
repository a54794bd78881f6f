"""The table of task states, as a table: what holds for every pair, and for every order of reports."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afield.states import TERMINAL, TRANSITIONS, TaskState, may_move, next_state

STATES = list(TaskState)
ORDER = ["unsent", "received", "waiting-for-ep", "waiting-for-nodes", "waiting-for-launch", "running"]
reports = st.lists(st.sampled_from(STATES), max_size=20)


def run(start: TaskState, moves: list[TaskState]) -> list[TaskState]:
    path = [start]
    for move in moves:
        path.append(next_state(path[-1], move))
    return path


def test_the_table_is_complete() -> None:
    assert set(TRANSITIONS) == set(STATES)
    assert set().union(*TRANSITIONS.values()) <= set(STATES)
    assert {"success", "failed", "cancelled"} == TERMINAL
    assert {state.value for state in TaskState} == {*ORDER, *TERMINAL}


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_terminal_state_is_final(state: TaskState) -> None:
    assert TRANSITIONS[state] == frozenset()
    assert all(next_state(state, reported) is state for reported in STATES)


@pytest.mark.parametrize("state", sorted(set(STATES) - TERMINAL))
def test_from_everywhere_else_a_task_can_end_at_once(state: TaskState) -> None:
    assert TRANSITIONS[state] >= TERMINAL


def test_no_state_moves_to_itself() -> None:
    assert not any(may_move(state, state) for state in STATES)


def test_nothing_is_unaccepted_again() -> None:
    assert [state for state, targets in TRANSITIONS.items() if TaskState.RECEIVED in targets] == [TaskState.UNSENT]
    assert not any(TaskState.UNSENT in targets for targets in TRANSITIONS.values())


def test_the_only_ways_back_are_into_the_queue_and_to_another_attempt() -> None:
    rank = {state: ORDER.index(state) for state in STATES if state not in TERMINAL}
    back = {
        (state, target)
        for state in rank
        for target in TRANSITIONS[state]
        if target in rank and rank[target] < rank[state]
    }
    assert back == {
        ("waiting-for-nodes", "waiting-for-ep"),
        ("waiting-for-launch", "waiting-for-ep"),
        ("running", "waiting-for-ep"),
        ("running", "waiting-for-launch"),
    }


@given(reports)
def test_any_order_of_reports_ends_in_a_legal_state(moves: list[TaskState]) -> None:
    path = run(TaskState.RECEIVED, moves)
    for before, after in itertools.pairwise(path):
        assert after is before or may_move(before, after)


@given(reports)
def test_the_first_end_wins(moves: list[TaskState]) -> None:
    ends = [move for move in moves if move in TERMINAL]
    last = run(TaskState.RECEIVED, moves)[-1]
    assert last is ends[0] if ends else last not in TERMINAL


@given(reports, st.sampled_from(STATES))
def test_a_report_that_comes_twice_counts_once(moves: list[TaskState], again: TaskState) -> None:
    assert run(TaskState.RECEIVED, [*moves, again]) == run(TaskState.RECEIVED, [*moves, again, again])[:-1]


def test_each_state_can_be_reached_and_can_end() -> None:
    reached = {TaskState.UNSENT}
    for _ in STATES:
        reached |= {target for state in reached for target in TRANSITIONS[state]}
    assert reached == set(STATES)


def test_the_values_are_what_travels() -> None:
    assert TaskState("waiting-for-ep") is TaskState.WAITING_FOR_ENDPOINT
    assert f"{TaskState.SUCCESS}" == "success"
