"""What an engine on Parsl says of itself, under the published names (reference: wire contract section 5.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from afield.endpoint.engines.base import EngineStatus
from afield.endpoint.engines.parsl.crew import Crew
from afield.endpoint.settings.engines import HtexSettings

if TYPE_CHECKING:
    from afield.endpoint.engines.parsl.htex import FedHtex
    from afield.endpoint.engines.parsl.plant import Plant

__all__ = ["Facts", "report"]


@dataclass
class Facts:
    """What was last heard."""

    #: pools of workers, as the interchange describes them
    managers: list[dict[str, Any]] = field(default_factory=list)
    #: block -> state, in Parsl's words
    blocks: dict[str, str] = field(default_factory=dict)
    #: bytes of the largest node that is known; 0: none is
    memory: int = 0
    #: the Python of the workers that were last connected; empty: there were none, or they have different ones
    python: str = ""

    def looked(self, managers: list[dict[str, Any]], blocks: dict[str, str]) -> None:
        """Somebody looked at both. Who has no workers now will have such as there were."""
        self.managers, self.blocks = managers, blocks
        versions = {manager["python_version"] for manager in managers}
        if versions:
            self.python = versions.pop() if len(versions) == 1 else ""


def report(
    settings: HtexSettings,
    plant: Plant,
    facts: Facts,
    crew: Crew,
    *,
    outstanding: int,
    running: int,
    submitted: int,
    no_channel: str,
    trouble: Mapping[str, Any],
) -> EngineStatus:
    """The status.

    :param outstanding: jobs that are not finished
    :param running: of them, those that have begun
    :param submitted: jobs that there ever were
    :param no_channel: why workers cannot say what they do; empty: they can
    :param trouble: with blocks, for heartbeats; empty: there is none
    """
    htex, provider = plant.htex, plant.provider
    pools = list(crew.pools)
    most = htex.max_workers_per_node
    extra: dict[str, Any] = {
        "total_tasks": submitted,
        "mem_per_worker": settings.mem_per_worker,
        "cores_per_worker": settings.cores_per_worker,
        "prefetch_capacity": settings.prefetch_capacity,
        "provider_type": type(provider).__name__,
        "queue": _first_of(provider, "queue", "partition"),
        "account": _first_of(provider, "account", "allocation", "project"),
        "blocks": facts.blocks,
        "node_info": _node_info(htex, facts.managers),
        **trouble,
    }
    if facts.python:
        extra["python_version"] = facts.python
    if no_channel:
        extra["no_control_channel"] = no_channel
    return EngineStatus(
        engine_type=settings.type,
        total_workers=crew.workers,
        idle_workers=max(0, crew.workers - running),
        pending_tasks=max(0, outstanding - running),
        outstanding_tasks=outstanding,
        managers=len(pools),
        active_managers=sum(pool.active for pool in pools),
        scaling_enabled=provider.max_blocks > 0,
        max_workers_per_node=0 if most == float("inf") else int(most),
        nodes_per_block=provider.nodes_per_block,
        min_blocks=provider.min_blocks,
        max_blocks=provider.max_blocks,
        extra=extra,
    )


def _node_info(htex: FedHtex, managers: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The pools of each batch job."""
    found: dict[str, list[dict[str, Any]]] = {}
    for manager in managers:
        job = htex.blocks_to_job_id.get(manager["block_id"], "")
        found.setdefault(str(job), []).append(
            {name: manager[name] for name in ("worker_count", "idle_duration", "parsl_version", "python_version")}
        )
    return found


def _first_of(provider: object, *names: str) -> str | None:
    for name in names:
        if value := getattr(provider, name, None):
            return str(value)
    return None
