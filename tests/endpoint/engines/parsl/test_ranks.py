"""What a resource_specification asks for, and which are refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from afield.endpoint.engines.parsl.ranks import ranks_of, refuse_options
from afield.errors import ConfigurationError
from afield.testing.jobs import echo, packed_job


def asked(**specification: Any):
    job = msgspec.structs.replace(packed_job(echo, 1), resource_specification=specification)
    return ranks_of(job, 4)


@pytest.mark.parametrize(
    ("specification", "found"),
    [
        ({"num_nodes": 2}, (2, 1, 2)),
        ({"num_nodes": 2, "ranks_per_node": 4}, (2, 4, 8)),
        ({"num_nodes": 2, "num_ranks": 6}, (2, 3, 6)),
        ({"num_nodes": 2, "num_ranks": 3}, (2, 2, 3)),
        ({"num_nodes": 2, "ranks_per_node": 2, "num_ranks": 3}, (2, 2, 3)),
        ({"num_nodes": 4, "ranks_per_node": None, "num_ranks": None, "launcher_options": None}, (4, 1, 4)),
    ],
)
def test_what_is_missing_follows(specification, found):
    ranks = asked(**specification)
    assert (ranks.nodes, ranks.per_node, ranks.ranks, ranks.options) == (*found, "")


def test_parsl_gets_all_keys():
    assert asked(num_nodes=1, launcher_options="--bind-to core").context == {
        "num_nodes": 1, "ranks_per_node": 1, "num_ranks": 1, "launcher_options": "--bind-to core",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("specification", "words"),
    [
        ({}, "has no resource_specification"),
        ({"ranks_per_node": 2}, "lacks num_nodes"),
        ({"num_node": 2}, r"num_node, which nobody knows: .* did you mean num_nodes\?"),
        ({"num_nodes": 5}, r"5 nodes, and a block of this endpoint has 4 \(engine.provider.nodes_per_block\)"),
        ({"num_nodes": 0}, "whole number above 0 as num_nodes, and has 0"),
        ({"num_nodes": "2"}, "whole number above 0 as num_nodes, and has '?\"?2"),
        ({"num_nodes": True}, "whole number above 0 as num_nodes"),
        ({"num_nodes": 1, "ranks_per_node": 1.5}, "whole number above 0 as ranks_per_node, and has 1.5"),
        ({"num_nodes": 4, "num_ranks": 3}, "3 ranks on 4 nodes, and a node would have none"),
        ({"num_nodes": 2, "ranks_per_node": 2, "num_ranks": 8}, "contradicts itself: 8 ranks .* make it 4"),
        ({"num_nodes": 2, "ranks_per_node": 4, "num_ranks": 2}, "contradicts itself: 2 ranks .* make it 8"),
        ({"num_nodes": 1, "launcher_options": ["-x"]}, "text of one line as launcher_options"),
        ({"num_nodes": 1, "launcher_options": "-x\nrm"}, "text of one line as launcher_options"),
    ],
)
def test_what_no_block_can_give_is_refused_in_words(specification, words):
    with pytest.raises(ConfigurationError, match=f"task .*{words}"):
        asked(**specification)


@pytest.mark.parametrize(("option", "words"), [({"cores": 2}, "2 cores"), ({"gpus": 1}, "1 accelerators"),
                                               ({"memory": 1 << 30}, "memory limit of 1073741824 bytes")])  # fmt: skip
def test_options_for_one_process_are_refused(option, words):
    with pytest.raises(ConfigurationError, match=f"{words}, .*whole nodes"):
        refuse_options(msgspec.structs.replace(packed_job(echo, 1), **option))
    refuse_options(packed_job(echo, 1))
