"""The ``engine`` block of a user endpoint: where its tasks run. One record for each kind of engine, told apart by its
``type``; the names of keys are the published ones wherever there is one (features A10.1 to A10.5).

What a block inside a block holds (``provider``, ``launcher``, ``address``, ``strategy``) is checked by the engine that
uses it, in the user endpoint's process: only there is what knows these keys loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from afield.endpoint.settings.kinds import (
    Accelerators,
    Block,
    Count,
    Flag,
    Names,
    Port,
    Ports,
    Positive,
    Some,
    Text,
)
from afield.endpoint.settings.published import GONE, OLD_ENGINES, UNUSED, plain_block
from afield.endpoint.settings.reading import check, did_you_mean, shown
from afield.errors import ConfigurationError

if TYPE_CHECKING:
    from afield.endpoint.host.marked import Document

__all__ = ["ENGINE_GROUP", "AnyEngineSettings", "EngineSettings", "ExecutorSettings", "HtexSettings", "MpiSettings",
           "ProcessPoolSettings", "ThreadPoolSettings", "engine_settings", "engine_types"]  # fmt: skip

#: Entry points by which other distributions bring an engine: its name is a type, and it makes a
#: ``concurrent.futures.Executor`` from the keys of ``engine.arguments``.
ENGINE_GROUP: Final = "afield.engines"


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What all engines know."""

    #: a name for people, in logs and status
    label: Text | None = None
    #: the directory in which tasks run, absolute or below the user endpoint's
    working_dir: Text = "tasks_working_dir"
    #: each task in a directory of its own below working_dir
    run_in_sandbox: Flag = False
    #: the only strategies that workers may read, by import path; the default is all
    allowed_serializers: Names | None = None
    #: the longest serialized result that may go back, in characters
    result_size_limit: Some = 10 * 1024 * 1024
    #: how often a task runs again whose worker was lost, whatever the submitter asked for
    max_retries_on_system_failure: Count = 0

    @property
    def type(self) -> str:
        """As a file says it."""
        return str(self.__struct_config__.tag)


class ProcessPoolSettings(EngineSettings, frozen=True, kw_only=True, tag_field="type", tag="ProcessPoolEngine"):
    """Processes on this machine."""

    #: workers; the default is one for each processor
    max_workers: Some | None = None
    #: a worker is replaced after so many tasks, for code that leaks memory; the default is never
    max_tasks_per_child: Some | None = None
    #: how workers are bound to processors: none, block (neighbours) or alternating
    cpu_affinity: Text = "none"
    #: how many accelerators tasks may ask for, or their names as CUDA_VISIBLE_DEVICES has them
    available_accelerators: Accelerators = ()


class ThreadPoolSettings(EngineSettings, frozen=True, kw_only=True, tag_field="type", tag="ThreadPoolEngine"):
    """Threads of the user endpoint's process."""

    #: threads; the default is one for each processor
    max_workers: Some | None = None
    #: what the names of threads begin with, for tools that show them
    thread_name_prefix: Text = "afield-worker"


class HtexSettings(EngineSettings, frozen=True, kw_only=True, tag_field="type", tag="GlobusComputeEngine"):
    """Parsl's HighThroughputExecutor, on this machine or by a batch scheduler."""

    #: where workers come from: a provider of Parsl and its keys; the default is LocalProvider
    provider: Block | None = None
    #: the address by which workers reach this machine, or a block such as {type: address_by_interface, ifname: eth0}
    address: Text | Block | None = None
    #: the address by which this process reaches its own interchange
    loopback_address: Text = "127.0.0.1"
    #: the one port that workers connect to; the default is any of worker_port_range
    worker_port: Port | None = None
    #: ports that workers connect to, from and up to but without
    worker_port_range: Ports = (54000, 55000)
    #: ports between this process and its interchange
    interchange_port_range: Ports = (55000, 56000)
    #: workers log everything
    worker_debug: Flag = False
    #: processors for each worker; a fraction has several workers share one
    cores_per_worker: Positive = 1.0
    #: gigabytes of memory for each worker; fewer workers start where there is less
    mem_per_worker: Positive | None = None
    #: workers on one node at most; the default is as many as its processors allow
    max_workers_per_node: Some | None = None
    #: how workers are bound to processors: none, block, alternating, block-reverse, or "list:0-3:4-7"
    cpu_affinity: Text = "none"
    #: accelerators, of which each worker gets its own, or how many there are
    available_accelerators: Accelerators = ()
    #: tasks that a node may hold beyond its workers
    prefetch_capacity: Count = 0
    #: seconds without a sign of life after which a node counts as lost
    heartbeat_threshold: Positive = 120.0
    #: seconds between two signs of life of a node
    heartbeat_period: Positive = 30.0
    #: seconds after which a node takes nothing new and ends; the default is never
    drain_period: Positive | None = None
    #: milliseconds that Parsl's processes wait for something to arrive; less than 200 has no effect
    poll_period: Some = 10
    #: seconds that a worker tries each address; the default is what Parsl takes
    address_probe_timeout: Positive | None = None
    #: where workers write their logs; the default is below the user endpoint's directory
    worker_logdir_root: Text | None = None
    #: traffic between this machine and its workers is encrypted
    encrypted: Flag = True
    #: runs workers in a container: docker, podman, podman-hpc, apptainer, singularity or custom
    container_type: Text | None = None
    #: the image
    container_uri: Text | None = None
    #: more options for the container's command; with custom, all of it
    container_cmd_options: Text | None = None
    #: how blocks come and go: simple, htex_auto_scale or none
    strategy: Text | None = None
    #: strategy, max_idletime and strategy_period of the scaling
    job_status_kwargs: Block | None = None
    #: blocks that keep dying are not asked for again; false: they are, for ever
    block_error_handler: Flag = True
    #: so many blocks in a row that died soon are the end of asking; 0 is as block_error_handler false
    block_deaths_most: Count = 3
    #: seconds that a block's workers must have been connected for it to be of use
    block_proven_after: Positive = 30.0
    #: seconds without asking, until one block is asked for to try
    block_pause: Positive = 600.0
    #: seconds between two questions to the scheduler how blocks are; the default is what Parsl takes, mostly 60
    block_status_period: Positive | None = None


class MpiSettings(HtexSettings, frozen=True, kw_only=True, tag_field="type", tag="GlobusMPIEngine"):
    """Parsl's MPIExecutor: a task gets as many nodes as its resource_specification asks for."""

    #: what starts the ranks: srun, mpiexec or aprun
    mpi_launcher: Text = "mpiexec"
    #: tasks at once in a block; the default is one for each node
    max_workers_per_block: Some | None = None


class ExecutorSettings(EngineSettings, frozen=True, kw_only=True, tag_field="type", tag="ExecutorEngine"):
    """Any ``concurrent.futures.Executor``."""

    #: what makes it, as `package.module:name`, or the name of an entry point of the group afield.engines
    executor: Text = ""
    #: what it is called with
    arguments: Block = {}
    #: tasks that it runs at once; the default is what it says of itself, else one for each processor
    max_workers: Some | None = None


AnyEngineSettings = ProcessPoolSettings | ThreadPoolSettings | HtexSettings | MpiSettings | ExecutorSettings

_RECORDS: Final[dict[str, type[AnyEngineSettings]]] = {
    str(record.__struct_config__.tag): record
    for record in (ProcessPoolSettings, ThreadPoolSettings, HtexSettings, MpiSettings, ExecutorSettings)
}


def engine_types() -> list[str]:
    """What ``engine.type`` may be here, the ones of other distributions included."""
    from importlib.metadata import entry_points  # takes long, and only who errs or brings an engine needs it

    return [*_RECORDS, *sorted(point.name for point in entry_points(group=ENGINE_GROUP))]


def engine_settings(document: Document, block: Mapping[str, Any]) -> tuple[AnyEngineSettings, list[str]]:
    """The record of an ``engine`` block, and warnings.

    :raises ConfigurationError: with file, line and key
    """
    values, warnings = plain_block(document, block)
    name = values.pop("type", None) or "ProcessPoolEngine"
    record = _RECORDS.get(name) if isinstance(name, str) else None
    if record is None:
        known = engine_types()
        if name not in known:
            hint = OLD_ENGINES.get(str(name)) or did_you_mean(str(name), known)
            raise ConfigurationError(
                f"{document.at(('engine', 'type'))}: engine.type {shown(name)} is not an engine that is installed "
                f"here: write one of {', '.join(known)}{hint}"
            )
        record = ExecutorSettings
        values["executor"] = name
    foreign = {key: f"is no key of {name}: it belongs to {owner}" for key, owner in _owners(record).items()}
    unused = {key: why for key, why in UNUSED.items() if key not in record.__struct_fields__}
    settings, more = check(record, document, ("engine",), values, unused=unused, foreign={**foreign, **GONE})
    return record(**settings), warnings + more


def _owners(record: type[AnyEngineSettings]) -> dict[str, str]:
    """Keys that only other engines have -> the first that has it."""
    owners: dict[str, str] = {}
    for name, other in _RECORDS.items():
        for key in other.__struct_fields__:
            if key not in record.__struct_fields__:
                owners.setdefault(key, name)
    return owners
