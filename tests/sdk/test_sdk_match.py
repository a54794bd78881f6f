"""Whose result is it: early, double, unknown, in any order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from afield.sdk.match import Matcher, Strays


def test_a_result_finds_who_waits_for_it_once():
    m = Matcher()
    m.asked()
    assert m.answered({"a": "future"}) == []
    assert m.arrived("a", "result") == "future"
    assert m.arrived("a", "result") is None
    assert m.idle


def test_an_early_result_meets_its_future_when_the_answer_comes():
    m = Matcher()
    m.asked()
    assert m.arrived("a", "result") is None
    assert m.answered({"a": "future"}) == [("future", "result")]
    assert m.arrived("a", "result") is None


def test_what_nobody_claims_is_dropped_with_the_last_answer():
    m = Matcher()
    m.asked()
    m.asked()
    m.arrived("b", "result")
    m.refused()
    assert m.answered({"a": "future"}) == []
    m.asked()
    assert m.answered({"b": "other"}) == []


def test_an_unknown_result_is_not_kept_when_nothing_is_under_way():
    m = Matcher()
    m.arrived("a", "result")
    m.asked()
    assert m.answered({"a": "future"}) == []


def test_what_is_kept_is_bounded_and_the_loss_is_told():
    m = Matcher(most_early=2)
    m.asked()
    for task in "abc":
        m.arrived(task, task)
    assert m.spilled
    assert m.answered({"a": "A", "b": "B", "c": "C"}) == [("B", "b"), ("C", "c")]
    assert m.expected == {"a": "A"}
    assert not m.spilled


def test_giving_up_hands_back_all_who_wait():
    m = Matcher()
    m.asked()
    m.answered({"a": "A", "b": "B"})
    assert m.give_up() == ["A", "B"]
    assert m.arrived("a", "x") is None


def test_a_notice_finds_who_waits_as_often_as_it_comes():
    m = Matcher()
    m.asked()
    m.answered({"a": "future"})
    assert m.noticed("a", "runs") == "future"
    assert m.noticed("a", "runs") == "future"
    assert m.noticed("b", "runs") is None
    m.arrived("a", "result")
    assert m.noticed("a", "runs") is None


def test_an_early_notice_meets_its_future_once():
    m = Matcher(most_early=2)
    m.asked()
    m.asked()
    for task in "abbc":
        assert m.noticed(task, f"notice of {task}") is None
    m.answered({"a": "A", "b": "B"})
    assert m.early_notices() == [("B", "notice of b")]
    assert m.early_notices() == []
    m.answered({"c": "C"})
    assert m.early_notices() == [("C", "notice of c")]


def test_notices_that_nobody_claims_are_dropped_with_the_last_answer():
    m = Matcher()
    m.asked()
    m.noticed("a", "runs")
    m.answered({})
    assert m.early_notices() == []
    m.asked()
    m.answered({"a": "A"})
    assert m.early_notices() == []


@given(st.data())
def test_each_task_is_matched_exactly_once_whatever_the_order(data):
    requests = data.draw(st.lists(st.lists(st.integers(0, 30), unique=True, max_size=5), max_size=6))
    requests = [[f"{n}-{task}" for task in tasks] for n, tasks in enumerate(requests)]
    steps = data.draw(
        st.permutations(
            [("answer", n) for n in range(len(requests))]
            + [("result", task) for tasks in requests for task in tasks] * 2
            + [("result", "somebody else's")]
        )
    )
    m, matched = Matcher(), []
    for _ in requests:
        m.asked()
    for kind, what in steps:
        if kind == "answer":
            matched += [who for who, _ in m.answered({task: task for task in requests[what]})]
        elif (who := m.arrived(what, what)) is not None:
            matched.append(who)
    assert sorted(matched) == sorted(task for tasks in requests for task in tasks)
    assert m.idle


def test_what_is_for_nobody_here_goes_round_a_few_times():
    strays = Strays(most=2)
    assert [strays.put_back(each) for each in "abab"] == [True] * 4
    assert not strays.put_back("a")
    assert strays.put_back("a")  # it is not the same message any more


def test_of_strays_only_the_latest_are_remembered():
    strays = Strays(most=1, most_known=2)
    assert [strays.put_back(each) for each in "abc"] == [True] * 3
    assert strays.put_back("a")
    assert not strays.put_back("c")
