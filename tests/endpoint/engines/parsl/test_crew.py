"""How many workers there are."""

from __future__ import annotations

from afield.endpoint.engines.parsl.crew import Crew, Pool


def test_the_first_worker_of_a_pool_tells_of_all():
    crew = Crew(pools=4, per_pool=1)
    assert (crew.workers, crew.possible) == (0, 4)
    crew.came(1, Pool("a", 64, "0"))
    assert (crew.workers, crew.possible) == (64, 256)
    crew.came(2, Pool("a", 64, "0"))
    assert crew.workers == 64


def test_a_pool_of_which_nobody_lives_is_gone():
    crew = Crew(pools=2, per_pool=2)
    crew.came(1, Pool("a", 2, "0"))
    crew.came(2, Pool("a", 2, "0"))
    crew.left(1, died=True)
    assert crew.workers == 2
    crew.left(2, died=True)
    assert crew.workers == 0


def test_htex_tells_of_pools_whose_workers_have_not_come_and_of_those_that_are_gone():
    crew = Crew(pools=2, per_pool=2)
    crew.told([Pool("a", 2, "0"), Pool("b", 4, "1")])
    assert crew.workers == 6
    crew.came(1, Pool("c", 8, "2"))
    crew.told([Pool("a", 2, "0")])
    assert {pool.uid for pool in crew.pools} == {"a", "c"}
