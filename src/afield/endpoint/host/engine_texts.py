"""Templates of user endpoints that `afield endpoint configure --engine` writes: one for each way to run tasks.

Each is a whole engine block and the options that it takes; ``defaults`` puts the same beginning and end around all.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

__all__ = ["ENGINES", "EngineText"]


class EngineText(NamedTuple):
    """How tasks run.

    :param what: for people, after the engine's name
    :param text: the block, with words
    :param options: of its template, as properties of a JSON schema
    """

    what: str
    text: str
    options: Mapping[str, Any]


def _number(what: str) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "description": what}


def _word(what: str) -> dict[str, Any]:
    return {"type": "string", "description": what}


_PLACES: Final = """\

  # Where tasks run, absolute or below the user endpoint's directory; and whether each gets a directory of its own.
  # working_dir: tasks_working_dir
  # run_in_sandbox: false
"""

_PROCESS: Final = """\
engine:
  # ProcessPoolEngine: each worker a process. ThreadPoolEngine: all in one process, for tasks that mostly wait.
  type: ProcessPoolEngine
{% if max_workers is defined %}
  max_workers: {{ max_workers }}
{% endif %}
  # The default is one worker for each processor of this machine.
  # max_workers: 4
  # A worker is replaced after so many tasks, for code that leaks memory. The default is never.
  # max_tasks_per_child: 100
  # How many accelerators tasks may ask for, or their names as CUDA_VISIBLE_DEVICES has them.
  # available_accelerators: 2
"""

_THREADS: Final = """\
engine:
  # All tasks in one process: for tasks that mostly wait. One that crashes takes the others with it.
  type: ThreadPoolEngine
{% if max_workers is defined %}
  max_workers: {{ max_workers }}
{% endif %}
  # The default is one thread for each processor of this machine, and four.
  # max_workers: 16
"""

_PARSL: Final = """\
  # Workers need `pip install "afield[parsl]"` in their Python. Which one that is, worker_init may say.
"""

_HTEX: Final = f"""\
engine:
  # Parsl's HighThroughputExecutor, here with workers on this machine.
{_PARSL}\
  type: GlobusComputeEngine
  max_workers_per_node: {{{{ max_workers | default(4) }}}}
  # processors of each worker, and gigabytes of memory
  # cores_per_worker: 1
  # mem_per_worker: 2
  provider:
    type: LocalProvider
    init_blocks: 0
    min_blocks: 0
    max_blocks: 1
    worker_init: {{{{ worker_init | default("") }}}}
"""

_MPI: Final = f"""\
engine:
  # Parsl's MPIExecutor: a task gets as many nodes of its block as its resource_specification asks for.
{_PARSL}\
  type: GlobusMPIEngine
  # What starts the ranks: srun, mpiexec or aprun.
  mpi_launcher: srun
  # Tasks at once in a block.
  max_workers_per_block: {{{{ max_workers | default(2) }}}}
  provider:
    type: SlurmProvider
    # partition: debug
    # account: abc123
    nodes_per_block: {{{{ nodes | default(2) }}}}
    init_blocks: 0
    min_blocks: 0
    max_blocks: {{{{ max_blocks | default(1) }}}}
    walltime: {{{{ walltime | default('"01:00:00"') }}}}
    worker_init: {{{{ worker_init | default("") }}}}
    # The ranks of a task are started by mpi_launcher, so blocks need no launcher of their own.
    launcher:
      type: SimpleLauncher
"""

_SLURM: Final = f"""\
engine:
  # Parsl's HighThroughputExecutor in jobs of Slurm. A block is one job.
{_PARSL}\
  type: GlobusComputeEngine
  # The address by which nodes reach this machine. The default is all that it has, tried in turn.
  # address: {{type: address_by_interface, ifname: ib0}}
  # The default is one worker for each processor of a node.
  # max_workers_per_node: 32
  provider:
    type: SlurmProvider
    # partition: debug
    # account: abc123
    # Lines for the job's script, such as "#SBATCH --constraint=gpu".
    # scheduler_options: ""
    nodes_per_block: {{{{ nodes | default(1) }}}}
    # Nothing is asked for before there are tasks, and blocks without tasks end.
    init_blocks: 0
    min_blocks: 0
    max_blocks: {{{{ max_blocks | default(1) }}}}
    walltime: {{{{ walltime | default('"01:00:00"') }}}}
    # Shell commands on each node before its workers start, such as `module load python`.
    worker_init: {{{{ worker_init | default("") }}}}
    launcher:
      type: SrunLauncher
"""

_PBS: Final = f"""\
engine:
  # Parsl's HighThroughputExecutor in jobs of PBS Pro. A block is one job.
{_PARSL}\
  type: GlobusComputeEngine
  # The address by which nodes reach this machine. The default is all that it has, tried in turn.
  # address: {{type: address_by_interface, ifname: ib0}}
  # The default is one worker for each processor of a node.
  # max_workers_per_node: 32
  provider:
    type: PBSProProvider
    # queue: debug
    # account: abc123
    # More for the select statement, such as "ngpus=4"; and lines for the job's script.
    # select_options: ""
    # scheduler_options: ""
    cpus_per_node: {{{{ cpus_per_node | default(1) }}}}
    nodes_per_block: {{{{ nodes | default(1) }}}}
    # Nothing is asked for before there are tasks, and blocks without tasks end.
    init_blocks: 0
    min_blocks: 0
    max_blocks: {{{{ max_blocks | default(1) }}}}
    walltime: {{{{ walltime | default('"01:00:00"') }}}}
    # Shell commands on each node before its workers start, such as `module load python`.
    worker_init: {{{{ worker_init | default("") }}}}
    launcher:
      type: MpiExecLauncher
"""

_KUBERNETES: Final = """\
engine:
  # Parsl's HighThroughputExecutor in pods of Kubernetes. A block is one pod. Needs `pip install kubernetes` here.
  type: GlobusComputeEngine
  # How many workers a pod has. Take as many as it has processors.
  max_workers_per_node: {{ max_workers | default(1) }}
  # The address by which pods reach this machine.
  # address: {type: address_by_route}
  provider:
    type: KubernetesProvider
    # An image with Python and `pip install "afield[parsl]"`.
    image: {{ image | default('"afield-worker:latest"') }}
    namespace: default
    # Nothing is asked for before there are tasks, and pods without tasks end.
    init_blocks: 0
    min_blocks: 0
    max_blocks: {{ max_blocks | default(1) }}
    init_cpu: 1
    max_cpu: 1
    init_mem: 1024Mi
    max_mem: 1024Mi
    worker_init: {{ worker_init | default("") }}
"""

_WORKERS: Final = {"max_workers": _number("workers, each runs one task")}
_INIT: Final = {"worker_init": _word("shell commands before workers start")}
_JOBS: Final = {
    **_INIT,
    "nodes": _number("nodes of a block"),
    "max_blocks": _number("blocks at once"),
    "walltime": {**_word("how long a block may run"), "pattern": "^[0-9]+:[0-5][0-9]:[0-5][0-9]$"},
}

#: What ``--engine`` may be -> what it writes.
ENGINES: Final[Mapping[str, EngineText]] = MappingProxyType({
    "process": EngineText("processes on this machine", _PROCESS + _PLACES, _WORKERS),
    "threads": EngineText("threads of one process on this machine", _THREADS + _PLACES, _WORKERS),
    "htex": EngineText("Parsl's workers on this machine", _HTEX + _PLACES, _WORKERS | _INIT),
    "mpi": EngineText("MPI programs in jobs of Slurm", _MPI + _PLACES, _WORKERS | _JOBS),
    "slurm": EngineText("jobs of Slurm", _SLURM + _PLACES, _JOBS),
    "pbs": EngineText("jobs of PBS Pro", _PBS + _PLACES, _JOBS | {"cpus_per_node": _number("processors of a node")}),
    "kubernetes": EngineText(
        "pods of Kubernetes",
        _KUBERNETES + _PLACES,
        _WORKERS | _INIT | {"image": _word("the image of pods"), "max_blocks": _number("pods at once")},
    ),
})  # fmt: skip
