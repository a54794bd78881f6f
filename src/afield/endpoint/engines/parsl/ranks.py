"""PURE: what a task's ``resource_specification`` asks for, and whether a block can ever give it.

Keys are the published ones. A task gets whole nodes, so ``num_nodes`` must be there; of the number of ranks and how
many each node has, whichever is missing follows from the other, and without both each node has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from afield.endpoint.settings.reading import did_you_mean, shown
from afield.errors import ConfigurationError
from afield.wire.jobs import Job

__all__ = ["Ranks", "ranks_of", "refuse_options"]

_COUNTS: Final = ("num_nodes", "ranks_per_node", "num_ranks")
_OPTIONS: Final = "launcher_options"
_KNOWN: Final = (*_COUNTS, _OPTIONS)
_EXAMPLE: Final = '{"num_nodes": 2, "ranks_per_node": 4}'


class Ranks(NamedTuple):
    """What one task gets."""

    nodes: int
    per_node: int
    ranks: int
    #: for the launcher's command
    options: str

    @property
    def context(self) -> dict[str, Any]:
        """As Parsl's workers want it. It has all keys, or a task would see what an earlier one of its worker had."""
        return {
            "num_nodes": self.nodes,
            "ranks_per_node": self.per_node,
            "num_ranks": self.ranks,
            "launcher_options": self.options,
        }


def ranks_of(job: Job, nodes_per_block: int) -> Ranks:
    """What a job asks for.

    :param nodes_per_block: how many nodes there are for one task at most
    :raises ConfigurationError: it makes no sense, or no block has that much
    """
    asked = job.resource_specification
    if not asked:
        raise ConfigurationError(
            f"task {job.task_id} has no resource_specification, and this endpoint (GlobusMPIEngine) gives each task the"
            f" nodes that it asks for: set the Executor's resource_specification, such as {_EXAMPLE}, or send the task "
            "to an endpoint with another engine"
        )
    _check_keys(job.task_id, asked)
    nodes, per_node, ranks = (asked.get(name) for name in _COUNTS)
    if nodes is None:
        raise _wrong(job.task_id, f"lacks num_nodes, the number of nodes that the task gets: write {_EXAMPLE}")
    if nodes > nodes_per_block:
        raise _wrong(
            job.task_id,
            f"asks for {nodes} nodes, and a block of this endpoint has {nodes_per_block} "
            f"(engine.provider.nodes_per_block): ask for 1 to {nodes_per_block}, or use another endpoint",
        )
    if ranks is None:
        per_node = per_node or 1
        ranks = nodes * per_node
    elif ranks < nodes:
        raise _wrong(
            job.task_id, f"asks for {ranks} ranks on {nodes} nodes, and a node would have none: ask for fewer nodes"
        )
    elif per_node is None:
        per_node = -(-ranks // nodes)
    elif -(-ranks // per_node) != nodes:
        raise _wrong(
            job.task_id,
            f"contradicts itself: {ranks} ranks (num_ranks), {per_node} on each node (ranks_per_node), are not on "
            f"{nodes} nodes (num_nodes): leave num_ranks out, or make it {nodes * per_node}",
        )
    return Ranks(nodes, per_node, ranks, asked.get(_OPTIONS) or "")


def refuse_options(job: Job) -> None:
    """Refuse what says the same in other words, or holds for one process only.

    :raises ConfigurationError: with the reason
    """
    for asked, why in (
        (job.cores != 1, f"{job.cores} cores"),
        (job.gpus > 0, f"{job.gpus} accelerators"),
        (job.memory is not None, f"a memory limit of {job.memory} bytes"),
    ):
        if asked:
            raise ConfigurationError(
                f"task {job.task_id} asks for {why}, and on this endpoint (GlobusMPIEngine) a task gets whole nodes, by"
                " its resource_specification: leave it out, or give the launcher such options (launcher_options)"
            )


def _check_keys(task_id: str, asked: Mapping[str, Any]) -> None:
    for name, value in asked.items():
        if name not in _KNOWN:
            raise _wrong(
                task_id, f"has the key {name}, which nobody knows: there are {', '.join(_KNOWN)}"
                f"{did_you_mean(name, _KNOWN)}",
            )  # fmt: skip
        if name in _COUNTS:
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise _wrong(task_id, f"should have a whole number above 0 as {name}, and has {shown(value)}")
        elif value is not None and (not isinstance(value, str) or "\n" in value):
            raise _wrong(task_id, f"should have a text of one line as {name}, and has {shown(value)}")


def _wrong(task_id: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"the resource_specification of task {task_id} {why}")
