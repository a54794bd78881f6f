"""Trying again, by a clock that is handed in."""

from __future__ import annotations

import pytest

from afield.errors import ConfigurationError, ServiceUnreachable
from afield.sdk.retry import Pace, Retrying, TryAgain, pace_from_environment, persist

pytestmark = pytest.mark.anyio


class Failing:
    def __init__(self, *failures):
        self.failures, self.calls = list(failures), 0

    async def __call__(self):
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


def not_now(after_s=None):
    return TryAgain(ServiceUnreachable("nobody there"), after_s)


async def test_it_is_tried_until_it_works_with_growing_pauses(clock):
    attempt = Failing(not_now(), not_now(), not_now())
    assert await persist(attempt, clock.pace()) == "done"
    assert clock.slept == [0.05, 0.1, 0.2]


async def test_the_service_is_believed_when_it_says_when(clock):
    assert await persist(Failing(not_now(7)), clock.pace()) == "done"
    assert clock.slept == [7]


async def test_patience_ends(clock):
    attempt = Failing(*[not_now() for _ in range(1000)])
    with pytest.raises(ServiceUnreachable, match="nobody there"):
        await persist(attempt, clock.pace(budget_s=20))
    assert 15 <= clock.now - 1000 <= 20


async def test_who_says_later_than_patience_lasts_is_not_waited_for(clock):
    with pytest.raises(ServiceUnreachable):
        await persist(Failing(not_now(3600)), clock.pace())
    assert clock.slept == []


async def test_other_errors_are_not_repeated(clock):
    attempt = Failing(KeyError())
    with pytest.raises(KeyError):
        await persist(attempt, clock.pace())
    assert attempt.calls == 1


def test_pauses_are_bounded_and_shortened_at_random():
    retrying = Retrying(Pace(budget_s=1e9, longest_s=5, now=lambda: 0.0, chance=lambda: 1.0))
    pauses = [retrying.pause() for _ in range(50)]
    assert pauses[-1] == 2.5
    assert pauses[0] == 0.025


def test_after_success_it_starts_over():
    retrying = Retrying(Pace(budget_s=1e9, now=lambda: 0.0, chance=lambda: 0.0))
    first = retrying.pause()
    retrying.pause()
    retrying.calm()
    assert retrying.pause() == first


def test_the_environment_sets_the_budget():
    assert pace_from_environment({}).budget_s == 60
    assert pace_from_environment({"AFIELD_RETRY_S": "2.5"}).budget_s == 2.5
    with pytest.raises(ConfigurationError, match="AFIELD_RETRY_S='soon'"):
        pace_from_environment({"AFIELD_RETRY_S": "soon"})
