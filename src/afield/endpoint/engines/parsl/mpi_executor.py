"""Parsl's MPIExecutor as an engine uses it.

A block has one pool of workers, on its first node, and each of its tasks gets some of the block's nodes for itself;
``afield.worker.mpi_pool`` says who gets which.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from parsl import providers
from parsl.executors import MPIExecutor
from parsl.executors.high_throughput.mpi_prefix_composer import VALID_LAUNCHERS
from parsl.launchers import SimpleLauncher

from afield.endpoint.engines.parsl.classes import Maker
from afield.endpoint.engines.parsl.htex import FedHtex, Owner, make_htex
from afield.endpoint.settings.engines import MpiSettings
from afield.endpoint.settings.reading import did_you_mean, shown

__all__ = ["FedMpi", "make_mpi", "mpi_provider"]

_POOL: Final = "afield.worker.mpi_pool"
_LAUNCHER: Final = "SimpleLauncher"
#: Keys of HTEX that mean nothing where a task gets whole nodes -> what does.
_FOREIGN: Final = {
    "max_workers_per_node": ": write max_workers_per_block",
    "cores_per_worker": "",
    "mem_per_worker": "",
    "cpu_affinity": ": the launcher binds ranks (launcher_options)",
    "available_accelerators": ": the launcher gives them to ranks (launcher_options)",
}


class _FirstNode(SimpleLauncher):
    """Parsl's warns of a block's other nodes that they get no workers. They get ranks."""

    def __call__(self, command: str, *_: Any, **__: Any) -> str:
        """The command, which runs on the first node."""
        return command


class FedMpi(FedHtex, MPIExecutor):
    """Fed by an engine."""

    @property
    def workers_per_node(self) -> int:
        """For scaling, which multiplies it by the nodes of a block: what it counts are nodes."""
        return 1

    @property
    def pools_per_block(self) -> int:
        """One, for all of its nodes."""
        return 1

    @property
    def workers_per_pool(self) -> int:
        """Tasks at once in a block."""
        return int(self.max_workers_per_block)


def make_mpi(settings: MpiSettings, directory: Path, places: Mapping[str, str], owner: Owner) -> FedMpi:
    """The executor, not started.

    :param directory: the user endpoint's
    :param places: key path -> ``file, line N``
    :raises ConfigurationError: it cannot be made; with file, line and key
    """
    provider = mpi_provider(Maker(places), settings)
    nodes = provider.get("nodes_per_block") or 1
    executor = make_htex(
        msgspec.structs.replace(settings, provider=provider),
        directory,
        places,
        owner,
        kind=FedMpi,
        pool=f"{_POOL} {nodes}",
        mpi_launcher=settings.mpi_launcher,
        max_workers_per_block=settings.max_workers_per_block or nodes,
    )
    assert isinstance(executor, FedMpi)
    chosen: Any = executor.provider
    chosen.launcher = _FirstNode()
    return executor


def mpi_provider(maker: Maker, settings: MpiSettings) -> Mapping[str, Any]:
    """The block of the provider, with the one launcher that there can be.

    :raises ConfigurationError: the ``engine`` block is wrong; with file, line and key
    """
    for name, instead in _FOREIGN.items():
        if getattr(settings, name) != getattr(MpiSettings(), name):
            path = f"engine.{name}"
            why = f"{path} is no key of GlobusMPIEngine, whose tasks get whole nodes{instead}"
            raise maker.error(path, why)
    if settings.mpi_launcher not in VALID_LAUNCHERS:
        path = "engine.mpi_launcher"
        why = f"{path} {shown(settings.mpi_launcher)} is not one of {', '.join(VALID_LAUNCHERS)}"
        raise maker.error(path, why + did_you_mean(settings.mpi_launcher, VALID_LAUNCHERS))
    block = settings.provider or {"type": "LocalProvider"}
    chosen = block.get("type")
    kind = getattr(providers, chosen, None) if isinstance(chosen, str) else None
    if inspect.isclass(kind) and "launcher" not in inspect.signature(kind).parameters:
        path = "engine.provider.type"
        raise maker.error(
            path, f"{path} {chosen} has no launchers, so it cannot be used with GlobusMPIEngine: use SlurmProvider or "
            "PBSProProvider",
        )  # fmt: skip
    launcher = block.get("launcher")
    if launcher is None:
        return {**block, "launcher": {"type": _LAUNCHER}}
    if isinstance(launcher, Mapping) and launcher.get("type") != _LAUNCHER:
        path = "engine.provider.launcher"
        raise maker.error(
            f"{path}.type", f"{path} should be {_LAUNCHER} with GlobusMPIEngine, and is {shown(launcher.get('type'))}: "
            "the workers of a block run on its first node only, and engine.mpi_launcher starts the ranks. Leave it out",
        )  # fmt: skip
    return block
