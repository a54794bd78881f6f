"""Rates, quotas, turns, repetitions and times: what is decided without waiting for anything."""

from __future__ import annotations

import math

import pytest

from afield.service.domain.fairness import Line
from afield.service.domain.limits import check_times, within
from afield.service.domain.quotas import check_room
from afield.service.domain.rates import Rates
from afield.service.domain.repeats import ASTRAY, Attempt, Unanswered, Unclear, decide
from afield.wire.messages import Result


class TestRates:
    def test_a_burst_then_a_steady_rate(self):
        rates = Rates(rate=2.0, burst=3)
        assert [rates.ask("ada", 0.0) for _ in range(4)] == [None, None, None, 1]
        assert [rates.ask("ada", 1.0) for _ in range(3)] == [None, None, 1]

    def test_it_says_after_how_many_whole_seconds(self):
        rates = Rates(rate=0.1, burst=1)
        assert rates.ask("ada", 0.0) is None
        assert rates.ask("ada", 0.5) == 10  # 9.5, in whole seconds
        assert rates.ask("ada", 10.0) is None

    def test_being_refused_costs_nothing(self):
        rates = Rates(rate=1.0, burst=1)
        rates.ask("ada", 0.0)
        for tenth in range(1, 10):
            assert rates.ask("ada", tenth / 10) == 1
        assert rates.ask("ada", 1.0) is None

    def test_nobody_pays_for_another(self):
        rates = Rates(rate=1.0, burst=1)
        assert [rates.ask(who, 0.0) for who in ("ada", "ada", "bob")] == [None, 1, None]

    def test_off(self):
        assert {Rates(rate=0.0, burst=1).ask("ada", 0.0) for _ in range(1000)} == {None}

    def test_a_clock_that_goes_back_takes_nothing_away(self):
        rates = Rates(rate=1.0, burst=2)
        rates.ask("ada", 1000.0)
        assert rates.ask("ada", 10.0) is None

    def test_what_is_full_again_is_forgotten_and_the_rest_is_not(self):
        rates = Rates(rate=1.0, burst=1)
        for number in range(10_000):
            rates.ask(f"user-{number}", 0.0)
        assert rates.ask("late", 5.0) is None
        assert len(rates._buckets) == 1
        assert rates.ask("late", 5.0) == 1


class TestRatesOfReplicas:
    """Each answers at once, and hears later what the others let through."""

    def exchange(self, replicas, now):
        told = [replica.untold() for replica in replicas]
        for number, replica in enumerate(replicas):
            for other, untold in enumerate(told):
                for who, count in untold.items():
                    if other != number:
                        replica.elsewhere(who, count, now)

    def let_through(self, replica, now, tries=100):
        return sum(replica.ask("ada", now) is None for _ in range(tries))

    def test_over_a_longer_time_the_rate_holds_for_all_together(self):
        replicas = [Rates(rate=2.0, burst=10, shared=True) for _ in range(3)]
        seen = []
        for second in range(100):
            seen.append(sum(self.let_through(replica, float(second)) for replica in replicas))
            self.exchange(replicas, float(second))
        assert seen[0] == 30  # a burst of each, before they had heard of each other
        assert sum(seen) <= 30 + 2 * 100
        assert sum(seen[20:]) >= 2 * 80 - 3  # and nobody pays for longer than for what was too much

    def test_who_is_always_sent_to_the_same_one_has_all_of_it(self):
        replicas = [Rates(rate=2.0, burst=2, shared=True) for _ in range(3)]
        seen = []
        for second in range(50):
            seen.append(self.let_through(replicas[0], float(second)))
            self.exchange(replicas, float(second))
        assert seen == [2] * 50

    def test_what_was_let_through_is_told_once_and_what_was_refused_is_not(self):
        rates = Rates(rate=1.0, burst=3, shared=True)
        assert self.let_through(rates, 0.0) == 3
        rates.ask("bob", 0.0)
        assert rates.untold() == {"ada": 3, "bob": 1}
        assert rates.untold() == {}

    def test_it_says_when_what_others_let_through_is_made_up_for(self):
        rates = Rates(rate=1.0, burst=3, shared=True)
        rates.elsewhere("ada", 8, 0.0)
        assert rates.ask("ada", 0.0) == 6
        assert rates.ask("ada", 6.0) is None

    def test_who_is_alone_remembers_nothing_for_others(self):
        rates = Rates(rate=1.0, burst=3)
        rates.ask("ada", 0.0)
        assert rates.untold() == {}


class TestRoom:
    def check(self, count, of_caller=0, of_endpoint=0, per_user=10, per_endpoint=20):
        refusal = check_room(
            count, "e", of_caller=of_caller, of_endpoint=of_endpoint, per_user=per_user, per_endpoint=per_endpoint
        )
        return None if refusal is None else (refusal.status, refusal.code, dict(refusal.headers))

    @pytest.mark.parametrize(
        ("said", "status"),
        [
            ((10,), None),
            ((11,), 413),
            ((1, 9), None),
            ((1, 10), 429),
            ((2, 9), 429),
            ((1, 0, 19), None),
            ((1, 0, 20), 429),
            ((11, 0, 0, 0, 20), None),
            ((21, 0, 0, 0, 20), 413),
            ((10**6, 10**9, 10**9, 0, 0), None),
        ],
    )
    def test_up_to_the_limit_and_not_beyond(self, said, status):
        found = self.check(*said)
        assert (found and found[0]) == status

    def test_full_says_when_to_come_again_and_never_fitting_does_not(self):
        assert self.check(1, 10) == (429, "TOO_MANY_TASKS_WAITING", {"retry-after": "10"})
        assert self.check(11) == (413, "BATCH_RUN_TOO_LARGE", {})


class TestLine:
    def test_all_go_at_once_where_there_is_room(self):
        line = Line(10)
        assert [line.join(who, 5).let_in for who in ("ada", "bob")] == [True, True]

    def test_one_task_of_another_goes_before_a_backlog(self):
        line = Line(10_000)
        backlog = [line.join("ada", 10_000) for _ in range(10)]
        single = line.join("bob", 1)
        assert [turn.let_in for turn in (*backlog, single)] == [True] + [False] * 10
        assert line.leave(backlog[0]) == [single]
        assert line.leave(single) == [backlog[1]]

    def test_equal_backlogs_take_turns(self):
        line = Line(10)
        turns = [line.join(who, 10) for who in ("ada", "ada", "ada", "bob", "bob")]
        order, inside = [], turns[0]
        for _ in turns:
            order.append(inside.who)
            inside = (line.leave(inside) or [None])[0]
        assert order == ["ada", "ada", "bob", "ada", "bob"]

    def test_a_large_one_is_not_overtaken_for_ever(self):
        line = Line(10)
        first, large = line.join("ada", 6), line.join("bob", 10)
        later = [line.join(f"user-{i}", 11) for i in range(3)]
        assert line.leave(first) == [large]
        assert not any(turn.let_in for turn in later)

    def test_one_that_is_larger_than_the_room_goes_alone(self):
        line = Line(10)
        large = line.join("ada", 50)
        other = line.join("bob", 1)
        assert (large.let_in, other.let_in) == (True, False)
        assert line.leave(large) == [other]

    def test_who_goes_away_while_waiting_is_passed_over(self):
        line = Line(1)
        inside, gone, last = (line.join(who, 1) for who in ("ada", "bob", "eve"))
        assert line.leave(gone) == []
        assert line.leave(inside) == [last]
        assert line.leave(inside) == []
        assert line.leave(last) == []
        assert line.join("ada", 1).let_in

    def test_nothing_is_kept_of_those_who_are_done(self):
        line = Line(10)
        turns = [line.join(f"user-{i}", 3) for i in range(100)]
        for turn in turns:
            line.leave(turn)
        assert (line._waiting, line._tags, line._inside) == ([], {}, 0)


def attempt(key: bytes = b"new", **more: object) -> Attempt:
    return Attempt(key, b"body", "mine", at=100.0, since=0.0, **more)


def unanswered(key: bytes, life: str, since: float = 50.0, body: bytes = b"body") -> Unanswered:
    return Unanswered(key, body, life, since)


class TestRepeats:
    def test_what_went_astray_is_repeated_by_an_equal_one_that_comes_in_time(self):
        astray = unanswered(b"old", ASTRAY)
        assert decide(attempt(), [astray]) == astray
        assert decide(attempt(), [unanswered(b"old", ASTRAY, body=b"other")]) is None
        assert decide(attempt(), [unanswered(b"old", ASTRAY, since=-0.1)]) is None
        assert decide(attempt(b"old"), [astray]) is None

    def test_equal_ones_that_somebody_works_on_are_meant(self):
        assert decide(attempt(), [unanswered(b"old", "mine")]) is None
        assert decide(attempt(going_on=frozenset({"theirs"})), [unanswered(b"old", "theirs")]) is None

    def test_who_worked_on_it_is_asked_after_and_when_they_have_ended_it_is_repeated(self):
        left = [unanswered(b"a", "one"), unanswered(b"b", "two"), unanswered(b"c", "mine")]
        assert decide(attempt(), left) == Unclear(frozenset({"one", "two"}))
        asked = {"going_on": frozenset({"one"}), "ended": frozenset({"two"})}
        assert decide(attempt(**asked), left) == left[1]
        assert decide(attempt(going_on=frozenset({"one"})), left) == Unclear(frozenset({"two"}))

    def test_of_several_what_was_missed_for_certain_goes_first_and_then_the_latest(self):
        left = [unanswered(b"a", "gone", 50.0), unanswered(b"b", ASTRAY, 20.0), unanswered(b"c", "gone", 60.0)]
        ended = attempt(ended=frozenset({"gone"}))
        order = []
        while isinstance(found := decide(ended, left), Unanswered):
            order.append(found.key)
            left.remove(found)
        assert order == [b"b", b"c", b"a"]


class TestResults:
    def test_as_large_as_it_may_be(self):
        result = Result("t", b"x" * 10)
        assert within(result, 10) is result

    def test_too_large_is_a_failure_that_says_so(self):
        small = within(Result("t", b"x" * 8, exception=b"x" * 3, details={"os": "Linux"}), 10)
        assert small.error is not None
        assert small.error.code == "MaxResultSizeExceeded"
        assert "11 bytes" in small.error.user_message
        assert (small.task_id, small.exception, small.details) == ("t", None, {"os": "Linux"})


class TestTimes:
    @pytest.mark.parametrize("seconds", [60, 60.0, 86_400, 864_000.0, None])
    def test_sensible(self, seconds):
        assert check_times(864_000.0, retention_s=seconds) is None

    @pytest.mark.parametrize("seconds", [0, -1, 59.9, 864_001, math.inf, math.nan])
    def test_not_sensible(self, seconds):
        refusal = check_times(864_000.0, retention_s=None, waiting_s=seconds)
        assert (refusal.status, refusal.code) == (422, "SEMANTICALLY_INVALID")
        assert "waiting_s" in refusal.message

    def test_a_service_without_a_limit_still_keeps_nothing_for_ever(self):
        assert check_times(0.0, retention_s=9 * 365 * 86_400.0) is None
        assert check_times(0.0, retention_s=1e12) is not None
