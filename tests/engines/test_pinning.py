"""Which processors workers are bound to."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afield.endpoint.engines.pinning import share_of
from afield.endpoint.engines.process import ProcessPoolEngine
from afield.errors import ConfigurationError
from afield.testing.engines import running
from afield.testing.jobs import Gate, packed_job, value_of


def test_neighbours_or_in_turn():
    assert [sorted(share_of("block", rank, 2, [0, 1, 2, 3, 4])) for rank in range(2)] == [[0, 1], [2, 3, 4]]
    assert [sorted(share_of("alternating", rank, 2, [0, 1, 2, 3, 4])) for rank in range(2)] == [[0, 2, 4], [1, 3]]
    assert share_of("none", 0, 2, [0, 1]) == frozenset()


def test_another_word_is_refused():
    with pytest.raises(ConfigurationError, match="cpu_affinity blok is not one of none, block, alternating"):
        share_of("blok", 0, 1, [0])


@given(st.sampled_from(["block", "alternating"]), st.integers(1, 40), st.sets(st.integers(0, 200), min_size=1))
def test_every_processor_is_somebodys_and_nobody_has_none(pinning, workers, processors):
    shares = [share_of(pinning, rank, workers, sorted(processors)) for rank in range(workers)]
    assert all(shares)
    assert frozenset().union(*shares) == processors
    if workers <= len(processors):
        assert sum(map(len, shares)) == len(processors), "nobody shares"
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def allowed():
    import os

    return sorted(os.sched_getaffinity(0))


async def where(engine):
    answers = await asyncio.gather(*(engine.submit(packed_job(allowed)) for _ in range(40)))
    return [value_of(each) for each in answers]


@pytest.mark.anyio
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system binds nobody to processors")
async def test_workers_are_bound_and_a_task_with_several_cores_is_not_while_it_runs(tmp_path: Path):
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) < 2:
        pytest.skip("there is one processor only")
    shares = [sorted(share_of("block", rank, 2, mine)) for rank in range(2)]
    gates = [Gate(tmp_path), Gate(tmp_path)]
    async with running(ProcessPoolEngine(max_workers=2, cpu_affinity="block")) as engine:
        held = [engine.submit(gate.job()) for gate in gates]
        for gate in gates:
            await gate.has_begun()  # so both workers are there
        for gate in gates:
            gate.open()
        await asyncio.gather(*held)
        seen = [
            value_of(each) for each in await asyncio.gather(*(engine.submit(packed_job(allowed)) for _ in range(40)))
        ]
        assert all(each in shares for each in seen)
        both = value_of(await engine.submit(msgspec.structs.replace(packed_job(allowed), cores=2)))
        assert both == mine
        after = [
            value_of(each) for each in await asyncio.gather(*(engine.submit(packed_job(allowed)) for _ in range(40)))
        ]
        assert all(each in shares for each in after)
